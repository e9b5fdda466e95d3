/* SPDX-License-Identifier: BSD-3-Clause */
#include "arcs.h"

#include <string.h>

#include "report.h"

static json_t *state_json(uint32_t state)
{
	char text[TOOL_TEXT_MAX];

	return json_string(tool_text_state(state, text));
}

static json_t *path_json(struct vmig_device *dev, uint32_t from, uint32_t to)
{
	json_t *array = json_array();
	uint32_t at = from;

	for (unsigned int steps = 0; at != to && steps < VMIG_STATE_NR; steps++) {
		if (vmig_device_probe_arc(dev, at, to, &at))
			break;
		json_array_append_new(array, state_json(at));
	}
	return array;
}

json_t *tool_arcs_json(struct vmig_device *dev, uint64_t features)
{
	json_t *array = json_array();

	for (uint32_t from = 0; from < VMIG_STATE_NR; from++)
		for (uint32_t to = 0; to < VMIG_STATE_NR; to++)
			if (from != to && vmig_state_supported(features, from) &&
			    vmig_state_supported(features, to))
				json_array_append_new(array, json_pack("{s:o, s:o, s:o}", "from",
								       state_json(from), "to", state_json(to),
								       "path", path_json(dev, from, to)));
	return array;
}

const char *tool_upper(const char *word, char buf[TOOL_TEXT_MAX])
{
	snprintf(buf, TOOL_TEXT_MAX, "%s", word);
	for (char *c = buf; *c; c++)
		*c = *c == '-' ? '_' : (*c >= 'a' && *c <= 'z') ? (char)(*c - 'a' + 'A') : *c;
	return buf;
}

static bool is(const json_t *arc, const char *key, const char *state)
{
	return !strcmp(json_string_value(json_object_get(arc, key)), state);
}

static void print_from(const json_t *arcs, const char *from, size_t length_from, size_t length_to,
		       const char *left)
{
	char buf[TOOL_TEXT_MAX];
	bool any = false;
	json_t *arc;
	size_t i;

	json_array_foreach((json_t *)arcs, i, arc)
	{
		size_t n = json_array_size(json_object_get(arc, "path"));

		if (!is(arc, "from", from) || n < length_from || n > length_to)
			continue;
		printf("%s %s", any ? "" : left,
		       tool_upper(json_string_value(json_object_get(arc, "to")), buf));
		any = true;
	}
}

void tool_arcs_print(const json_t *device)
{
	const json_t *arcs = json_object_get(device, "arcs");
	char buf[TOOL_TEXT_MAX];
	json_t *state;
	size_t i;

	json_array_foreach(json_object_get(device, "states"), i, state)
	{
		const char *name = json_string_value(state);

		if (!strcmp(name, "error"))
			continue; /* no arc leads out of it, or to it */
		printf("  %-12s%s", i <= 1 ? "arcs" : "", tool_upper(name, buf));
		print_from(arcs, name, 1, 1, " ->");
		print_from(arcs, name, 2, VMIG_STATE_NR, "; on to");
		printf("\n");
	}
}

/* "." is the state itself. */
static const char *cell(const json_t *arcs, const char *from, const char *to)
{
	json_t *arc;
	size_t i;

	json_array_foreach((json_t *)arcs, i, arc)
	{
		size_t n = json_array_size(json_object_get(arc, "path"));

		if (is(arc, "from", from) && is(arc, "to", to))
			return n == 0 ? "-" : n == 1 ? "1" : "+";
	}
	return ".";
}

void tool_arcs_none(const json_t *device)
{
	const json_t *region = json_object_get(device, "v1-region");

	printf("  %-12sdoes not migrate%s\n", "state", region ? " by v2" : "");
	if (region)
		printf("  %-12sby the migration region %d: drive it as v1+%s\n", "v1",
		       (int)json_integer_value(region),
		       json_string_value(json_object_get(device, "device-id")));
}

void tool_arcs_table(const json_t *device)
{
	const json_t *states = json_object_get(device, "states"), *arcs = json_object_get(device, "arcs");
	char buf[TOOL_TEXT_MAX];
	json_t *from, *to;
	size_t i, j;

	printf("%s\n", json_string_value(json_object_get(device, "device-id")));
	if (!states) {
		tool_arcs_none(device);
		return;
	}
	printf("  %-16s", "from, to");
	json_array_foreach((json_t *)states, j, to) printf(" %s", tool_upper(json_string_value(to), buf));
	printf("\n");
	json_array_foreach((json_t *)states, i, from)
	{
		printf("  %-16s", tool_upper(json_string_value(from), buf));
		json_array_foreach((json_t *)states, j, to)
			printf(" %*s", (int)strlen(json_string_value(to)),
			       cell(arcs, json_string_value(from), json_string_value(to)));
		printf("\n");
	}
}
