/* SPDX-License-Identifier: BSD-3-Clause */
/* One source against one destination, attribute by attribute; or against many candidates, ranked. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "channel.h"
#include "compat-host.h"
#include "descriptor.h"
#include "device.h"

#define IGNORE_MAX 64u

struct candidate {
	const char *name;
	bool by_driver;                    /* it was asked, too */
	char driver[320];                  /* why it says no; "": it does not */
	int index;                         /* as given */
	struct vmig_compat_answer *answer; /* NULL: it could not be judged */
	uint64_t took_ns;
};

struct candidates {
	struct candidate *all;
	size_t n, n_compatible, n_bad;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* --- judging ------------------------------------------------------------------------------------ */

/* "a,b" into @names, which point into @copy. */
static int split_ignore(char *copy, const char **names, struct vmig_compat_options *options)
{
	char *rest = copy, *name;

	while ((name = strsep(&rest, ","))) {
		if (!*name)
			continue;
		if (options->n_ignore == IGNORE_MAX)
			return tool_fail(VMIG_BAD_INPUT, "--ignore: more than %u attributes", IGNORE_MAX);
		names[options->n_ignore++] = name;
	}
	options->ignore = names;
	return 0;
}

/*
 * Two devices, and the descriptors say yes: the driver has the last word. Of a driver that tells nothing, or cannot tell,
 * the descriptors' word stands.
 */
static int ask_both_drivers(const char *source, struct candidate *c, uint64_t timeout_ns)
{
	uint8_t data[VMIG_DEVICE_OPAQUE_MAX];
	struct vmig_device *dev;
	struct vmig_error error;
	size_t len;
	int r = tool_device_open(source, timeout_ns, &dev), told;

	if (r)
		return r;
	told = vmig_device_query_opaque(dev, data, &len);
	vmig_device_query_error(dev, &error);
	vmig_device_close(dev);
	if (told == -EOPNOTSUPP)
		return 0;
	if (told)
		return tool_fail(VMIG_NOT_DONE, "%s: its driver cannot be asked: %s", source,
				 error.text[0] ? error.text : strerror(-told));
	r = tool_device_open(c->name, timeout_ns, &dev);
	if (r)
		return r;
	r = vmig_device_check_opaque(dev, data, len);
	vmig_device_query_error(dev, &error);
	vmig_device_close(dev);
	c->by_driver = r != -EOPNOTSUPP;
	if (r && c->by_driver)
		snprintf(c->driver, sizeof(c->driver), "the descriptors say yes, and are wrong: %s",
			 error.text);
	return 0;
}

static bool is_yes(const struct candidate *c)
{
	return c->answer && c->answer->compatible && !*c->driver;
}

static int judge(const char *source_name, const struct vmig_descriptor *source, struct candidate *c,
		 const struct vmig_compat_options *options, uint64_t timeout_ns)
{
	struct vmig_descriptor *destination;
	uint64_t begin = now_ns();
	struct vmig_error error;
	int r = tool_descriptor_open(c->name, timeout_ns, &destination);

	if (r)
		return r;
	r = vmig_compat_check(source, destination, options, &c->answer, &error);
	vmig_descriptor_free(destination);
	if (!r && c->answer->compatible && tool_device_is(source_name) && tool_device_is(c->name)) {
		r = ask_both_drivers(source_name, c, timeout_ns);
		if (r) {
			/* Half an answer is none: it must not be ranked as a yes. */
			vmig_compat_answer_free(c->answer);
			c->answer = NULL;
			return r;
		}
	}
	c->took_ns = now_ns() - begin;
	if (r)
		return tool_fail(r == -ENOMEM ? VMIG_NOT_DONE : VMIG_BAD_INPUT, "%s against %s: %s",
				 source_name, c->name, error.text);
	return 0;
}

/* Compatible ones first, the better rank before; else as they were given. */
static int better(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	bool x_yes = is_yes(x), y_yes = is_yes(y);

	if (x_yes != y_yes)
		return x_yes ? -1 : 1;
	if (!x->answer != !y->answer)
		return x->answer ? -1 : 1;
	if (x_yes && x->answer->rank != y->answer->rank)
		return x->answer->rank > y->answer->rank ? -1 : 1;
	return x->index - y->index;
}

static int same_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Two candidates with one name are a mistake of whoever made the list: which of them would be meant? */
static int check_names(char *const *words, size_t n)
{
	const char **sorted = malloc(n * sizeof(*sorted));
	int r = 0;

	if (!sorted)
		return tool_fail(VMIG_NOT_DONE, "no memory for %zu candidates", n);
	for (size_t i = 0; i < n; i++)
		sorted[i] = words[i];
	qsort(sorted, n, sizeof(*sorted), same_name);
	for (size_t i = 1; i < n && !r; i++)
		if (!strcmp(sorted[i - 1], sorted[i]))
			r = tool_fail(VMIG_BAD_INPUT, "%s: is given twice: name each candidate once",
				      sorted[i]);
	free(sorted);
	return r;
}

/* --- saying ------------------------------------------------------------------------------------- */

static const char *verdict_name(enum vmig_compat_verdict verdict)
{
	static const char *const names[] = {
		[VMIG_COMPAT_OK] = "ok",           [VMIG_COMPAT_DIFFERS] = "differs",
		[VMIG_COMPAT_MISSING] = "missing", [VMIG_COMPAT_UNKNOWN] = "unknown",
		[VMIG_COMPAT_IGNORED] = "ignored",
	};

	return names[verdict];
}

static const char *side_name(enum vmig_compat_side side)
{
	static const char *const names[] = {
		[VMIG_COMPAT_DESTINATION] = "destination",
		[VMIG_COMPAT_SOURCE] = "source",
		[VMIG_COMPAT_BOTH] = "both",
		[VMIG_COMPAT_NEITHER] = "neither",
	};

	return names[side];
}

static void print_rows(const struct vmig_compat_answer *a)
{
	printf("  %-18s %-24s %-24s %-8s %s\n", "attribute", "has", "accepted", "verdict", "why");
	for (size_t i = 0; i < a->n_rows; i++) {
		const struct vmig_compat_row *row = &a->rows[i];

		printf("  %-18s %-24s %-24s %-8s %s\n", row->attribute, row->has ? row->has : "-",
		       row->accepted ? row->accepted : "-", verdict_name(row->verdict), row->reason);
	}
}

static void print_one(const char *source, const struct candidate *c)
{
	const struct vmig_compat_answer *a = c->answer;

	printf("%s to %s: %s\n", source, c->name, is_yes(c) ? "yes" : "no");
	printf("  %s%s\n", *c->driver ? c->driver : a->reason,
	       c->by_driver && !*c->driver ? ", and so does its driver" : "");
	if (a->n_entries > 1)
		printf("  %s entry: %u of %u\n", a->compatible ? "the accepting" : "the nearest", a->entry,
		       a->n_entries);
	print_rows(a);
}

static void print_many(const char *source, const struct candidates *list)
{
	uint64_t all_ns = 0;
	char text[TOOL_TEXT_MAX];

	for (size_t i = 0; i < list->n; i++) {
		const struct candidate *c = &list->all[i];

		all_ns += c->took_ns;
		if (!c->answer)
			printf("%6s  %-10s %s\n", "-", "unreadable", c->name);
		else if (is_yes(c))
			printf("%6zu  %-10s %s: %s\n", i + 1, "yes", c->name, c->answer->reason);
		else
			printf("%6s  %-10s %s: %s\n", "-", "no", c->name,
			       *c->driver ? c->driver : c->answer->reason);
	}
	printf("%s: %zu of %zu candidates are compatible", source, list->n_compatible, list->n);
	if (list->n_compatible)
		printf("; best: %s", list->all[0].name);
	printf("; %s each\n", tool_text_time(all_ns / list->n, text));
}

static json_t *json_text(const char *text)
{
	return text ? json_string(text) : json_null();
}

static json_t *candidate_json(const struct candidate *c)
{
	const struct vmig_compat_answer *a = c->answer;
	json_t *o = json_pack("{s:s, s:I}", "destination", c->name, "took-ns", (json_int_t)c->took_ns), *rows;

	if (!a) {
		json_object_set_new(o, "compatible", json_null());
		return o;
	}
	json_object_set_new(o, "compatible", json_boolean(is_yes(c)));
	json_object_set_new(o, "decided-by", json_string(c->by_driver ? "driver" : side_name(a->decided)));
	json_object_set_new(o, "reason", json_string(*c->driver ? c->driver : a->reason));
	json_object_set_new(o, "entry", json_integer(a->entry));
	json_object_set_new(o, "entries", json_integer(a->n_entries));
	rows = json_array();
	for (size_t i = 0; i < a->n_rows; i++)
		json_array_append_new(rows, json_pack("{s:s, s:o, s:o, s:s, s:s}", "attribute",
						      a->rows[i].attribute, "has", json_text(a->rows[i].has),
						      "accepted", json_text(a->rows[i].accepted), "verdict",
						      verdict_name(a->rows[i].verdict), "reason",
						      a->rows[i].reason));
	json_object_set_new(o, "attributes", rows);
	return o;
}

static void print_json(const char *source, const struct candidates *list)
{
	json_t *array = json_array(), *o;

	for (size_t i = 0; i < list->n; i++)
		json_array_append_new(array, candidate_json(&list->all[i]));
	o = json_pack("{s:i, s:s, s:o, s:o}", "version", 1, "source", source, "best",
		      json_text(list->n_compatible ? list->all[0].name : NULL), "candidates", array);
	json_dumpf(o, stdout, JSON_INDENT(2));
	printf("\n");
	json_decref(o);
}

static void say(const struct tool_options *o, const struct candidates *list)
{
	if (o->json)
		print_json(o->words[0], list);
	else if (o->quiet)
		return;
	else if (list->n > 1)
		print_many(o->words[0], list);
	else if (list->all[0].answer)
		print_one(o->words[0], &list->all[0]);
}

/* --- the verb ----------------------------------------------------------------------------------- */

static int judge_all(const struct tool_options *o, const struct vmig_descriptor *source,
		     const struct vmig_compat_options *options, struct candidates *list)
{
	int worst = 0;

	for (size_t i = 0; i < list->n; i++) {
		struct candidate *c = &list->all[i];
		int r;

		*c = (struct candidate){ .name = o->words[1 + i], .index = (int)i };
		r = judge(o->words[0], source, c, options, o->timeout_ns);
		if (r && (!worst || r == VMIG_NOT_DONE))
			worst = r;
		list->n_bad += !!r;
		list->n_compatible += !r && is_yes(c);
	}
	qsort(list->all, list->n, sizeof(*list->all), better);
	say(o, list);
	if (list->n_compatible)
		return 0;
	return worst ? worst : VMIG_NOT_DONE;
}

static void say_verdict(const struct tool_options *o, int code, const char *reason)
{
	json_t *answer;

	if (!o->json) {
		printf("%s: %s: %s\n", o->words[0], code ? "no" : "yes", reason);
		return;
	}
	answer = json_pack("{s:i, s:s, s:b, s:s, s:s}", "version", 1, "destination", o->words[0],
			   "compatible", !code, "decided-by", "driver", "reason", reason);
	json_dumpf(answer, stdout, JSON_INDENT(2));
	printf("\n");
	json_decref(answer);
}

/* The driver's verdict alone: no parse of ours is in between. */
static int ask_driver(const struct tool_options *o)
{
	struct vmig_device *dev = NULL;
	struct vmig_error error;
	char *data;
	size_t len;
	int r;

	if (o->n_words != 1 || !tool_device_is(o->words[0]))
		return tool_fail(VMIG_BAD_INPUT, "--opaque: 'vmig compat --opaque FILE DEVICE', one device");
	r = tool_file_read(o->opaque, VMIG_DEVICE_OPAQUE_MAX, &data, &len);
	if (r)
		return r;
	if (!len)
		r = tool_fail(VMIG_BAD_INPUT, "%s: is empty: no version data", o->opaque);
	if (!r)
		r = tool_device_open(o->words[0], o->timeout_ns, &dev);
	if (!r) {
		r = vmig_device_check_opaque(dev, data, len);
		vmig_device_query_error(dev, &error);
		if (r == -EOPNOTSUPP)
			r = tool_device_fail(VMIG_BAD_INPUT, o->words[0], dev, r, "its driver cannot tell");
		else if (!o->quiet)
			say_verdict(o, r, r ? error.text : "the driver takes it");
	}
	vmig_device_close(dev);
	free(data);
	return r < 0 ? VMIG_NOT_DONE : r;
}

static int run(const struct tool_options *o)
{
	struct candidates list = { .n = (size_t)o->n_words - 1 };
	struct vmig_compat_options options = { .symmetric = o->symmetric };
	struct vmig_descriptor *source = NULL;
	const char *ignore[IGNORE_MAX];
	char *copy = NULL;
	int r;

	if (o->opaque)
		return ask_driver(o);
	if (o->n_words < 2)
		return tool_fail(VMIG_BAD_INPUT,
				 "too few words: 'vmig compat SOURCE DESTINATION...', or with --opaque "
				 "one DEVICE");
	if (tool_address_is(o->words[1])) {
		if (list.n > 1 || o->ignore || o->symmetric)
			return tool_fail(VMIG_BAD_INPUT,
					 "%s: another host is asked alone, and by its own rules",
					 o->words[1]);
		return tool_compat_host(o, o->words[0], o->words[1]);
	}
	r = check_names(o->words + 1, list.n);

	if (!r && o->ignore) {
		copy = strdup(o->ignore);
		r = copy ? split_ignore(copy, ignore, &options) : tool_fail(VMIG_NOT_DONE, "no memory");
	}
	if (!r)
		r = tool_descriptor_open(o->words[0], o->timeout_ns, &source);
	if (!r) {
		list.all = calloc(list.n, sizeof(*list.all));
		r = list.all ? judge_all(o, source, &options, &list) : tool_fail(VMIG_NOT_DONE, "no memory");
	}
	for (size_t i = 0; list.all && i < list.n; i++)
		vmig_compat_answer_free(list.all[i].answer);
	free(list.all);
	free(copy);
	vmig_descriptor_free(source);
	return r;
}

const struct tool_verb tool_compat = {
	.name = "compat",
	.words = "SOURCE DESTINATION...",
	.about = "may this device's state go into that one? yes or no, and why",
	.more = "SOURCE and DESTINATION are descriptors (JSON: vmig-descriptor(5)), or DEVICEs that publish "
		"one;\n"
		"'-' is standard input. A DESTINATION may also be the ADDRESS of a 'vmig receive', which "
		"answers\n"
		"and goes on waiting. With --opaque FILE the driver of one DEVICE is asked instead about "
		"the\n"
		"version data that 'vmig info --opaque' wrote on the source: its word is the last.\n"
		"The destination's list of what it accepts decides; the source's list of targets where the\n"
		"destination publishes none. Of several destinations the compatible ones are ranked: the "
		"same\n"
		"minor version first, then the nearest, then the higher bugfix number.\n"
		"Exit status: 0 yes (of several: at least one), 1 no, 2 input that cannot be read.",
	.example = "vmig compat source.json destination.json",
	.options = TOOL_OPT_JSON | TOOL_OPT_QUIET | TOOL_OPT_TIMEOUT | TOOL_OPT_COMPAT | TOOL_OPT_CHANNEL,
	.min_words = 1,
	.run = run,
};
