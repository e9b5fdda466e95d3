/* SPDX-License-Identifier: BSD-3-Clause */
/* `vmig info run:NAME`, for a person. */
#include <string.h>

#include "run-control.h"

static const char *text_of(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text ? text : "?";
}

static uint64_t number_of(const json_t *o, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(o, key));
}

static void print_state(const char *text)
{
	for (; *text; text++)
		putchar(*text == '-' ? '_' : *text >= 'a' && *text <= 'z' ? *text - 'a' + 'A' : *text);
}

static void print_states(const json_t *device)
{
	const json_t *states = json_object_get(device, "states"), *state;
	const char *error;
	size_t i;

	printf("    passed    ");
	json_array_foreach((json_t *)states, i, state)
	{
		error = json_string_value(json_object_get(state, "error"));
		printf(i ? " " : "");
		if (error)
			printf("(");
		print_state(text_of(state, "device-state"));
		if (error)
			printf(": %s)", error);
	}
	printf("%s\n", json_array_size(states) ? "" : "-");
}

static void print_device(const json_t *o)
{
	char saved[TOOL_TEXT_MAX], loaded[TOOL_TEXT_MAX];

	printf("  /dev/vfio/%llu  %s\n    state     ", (unsigned long long)number_of(o, "group"),
	       text_of(o, "device-id"));
	print_state(text_of(o, "device-state"));
	printf(", %s\n", json_is_true(json_object_get(o, "open")) ? "open" : "not open");
	print_states(o);
	printf("    resets    %llu\n", (unsigned long long)number_of(o, "resets"));
	printf("    data      %s saved, %s loaded\n", tool_text_size(number_of(o, "saved"), saved),
	       tool_text_size(number_of(o, "loaded"), loaded));
	printf("    dirty     %llu reports, %llu pages\n", (unsigned long long)number_of(o, "reports"),
	       (unsigned long long)number_of(o, "dirty-pages"));
	printf("    sysfsdev  %s\n", text_of(o, "sysfsdev"));
}

void run_info_print(const json_t *o)
{
	const json_t *command = json_object_get(o, "command"), *devices = json_object_get(o, "devices"), *row;
	size_t i;

	printf("run:%s  pid %llu, by %s, %llu calls:", text_of(o, "name"),
	       (unsigned long long)number_of(o, "pid"), text_of(o, "intercept"),
	       (unsigned long long)number_of(o, "calls"));
	json_array_foreach((json_t *)command, i, row) printf(" %.60s", json_string_value(row));
	printf("\n");
	json_array_foreach((json_t *)devices, i, row) print_device(row);
}

int run_info_query(const char *name, json_t **ret)
{
	FILE *stream;
	int r = run_client_ask(name, "info", &stream);

	if (r)
		return r;
	*ret = run_client_next(name, stream, &r);
	fclose(stream);
	if (!*ret && !r)
		r = tool_fail(VMIG_NOT_DONE, "run:%s: it has just ended", name);
	return r;
}
