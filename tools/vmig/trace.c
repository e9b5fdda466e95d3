/* SPDX-License-Identifier: BSD-3-Clause */
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

/*
 * Seconds since the first call that is shown (calls are shown in the order in which they were answered: one that took
 * long may have come before it), how long it took, whose thread, which device.
 */
static void print_call(const json_t *call, uint64_t first_ns)
{
	const json_t *device = json_object_get(call, "device");
	uint64_t came = number_of(call, "time-ns"),
		 since = came < first_ns ? first_ns - came : came - first_ns;
	char took[TOOL_TEXT_MAX], number[TOOL_TEXT_MAX] = "-";

	if (device)
		snprintf(number, sizeof(number), "%d", (int)json_integer_value(device));
	printf("%c%3llu.%06llu %9s %7llu %3s %s\n", came < first_ns ? '-' : ' ',
	       (unsigned long long)(since / 1000000000), (unsigned long long)(since % 1000000000 / 1000),
	       tool_text_time(number_of(call, "took-ns"), took), (unsigned long long)number_of(call, "tid"),
	       number, text_of(call, "text"));
}

/* True: there is more to come. */
static bool print(const struct tool_options *o, const json_t *line, uint64_t *first_ns)
{
	const json_t *call = json_object_get(line, "call");

	if (o->json) {
		json_dumpf(line, stdout, JSON_COMPACT);
		printf("\n");
	} else if (call) {
		if (!*first_ns)
			*first_ns = number_of(call, "time-ns");
		print_call(call, *first_ns);
	} else if (json_object_get(line, "lost")) {
		printf("... %llu calls were too fast and are lost\n",
		       (unsigned long long)number_of(line, "lost"));
	}
	fflush(stdout);
	return !json_object_get(line, "end");
}

static int run(const struct tool_options *o)
{
	const char *name = run_client_name(o->words[0]);
	uint64_t first_ns = 0;
	bool more = true;
	FILE *stream;
	json_t *line;
	int r;

	if (!name || o->n_words > 1)
		return tool_fail(VMIG_BAD_INPUT, "'%s' is not run:NAME", o->words[name ? 1 : 0]);
	r = run_client_ask(name, "trace", &stream);
	if (r)
		return r;
	while (more && !ferror(stdout) && (line = run_client_next(name, stream, &r))) {
		more = print(o, line, &first_ns);
		json_decref(line);
	}
	fclose(stream);
	return r || !more ? r : tool_fail(VMIG_NOT_DONE, "run:%s: it was killed", name);
}

const struct tool_verb tool_trace = {
	.name = "trace",
	.words = "run:NAME",
	.about = "every call that a run's command makes, decoded",
	.more = "From the oldest that is remembered (65536 calls), until the command ends. A line has the "
		"time since "
		"the first, how\n"
		"long the answer took, the thread, the device's number, the call and its result. A reader "
		"that is "
		"too slow loses calls\n"
		"and is told how many. Accesses to the data section of v1 are there only while somebody "
		"traces.\n"
		"--json prints one object a line: {\"call\": ...}, {\"lost\": N}, {\"end\": STATUS}.",
	.example = "vmig trace run:vm1",
	.options = TOOL_OPT_JSON,
	.min_words = 1,
	.run = run,
};
