/* SPDX-License-Identifier: BSD-3-Clause */
/* An earlier report is read strictly: what is wrong in it is said with its place. The file is not trusted. */
#include "check-baseline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check-report.h"

const char *check_change_name(enum check_change change)
{
	static const char *const names[CHECK_CHANGES] = { "same", "new failure", "mended", "changed", "new" };

	return names[change];
}

/* --- reading ------------------------------------------------------------------------------------- */

/* Where in the file something is: "checks[3].verdict". */
struct place {
	const char *path, *list; /* @list: NULL at the top */
	size_t index;
};

static int wrong(const struct place *at, const char *member, const char *what)
{
	if (at->list)
		return tool_fail(VMIG_BAD_INPUT, "%s: %s[%zu]%s%s: %s", at->path, at->list, at->index,
				 *member ? "." : "", member, what);
	return tool_fail(VMIG_BAD_INPUT, "%s: %s: %s", at->path, member, what);
}

static int read_text(const struct place *at, const json_t *from, const char *member,
		     char ret[CHECK_BASELINE_NAME_MAX])
{
	const json_t *value = json_object_get(from, member);

	if (!json_is_string(value))
		return wrong(at, member, value ? "is not a string" : "is missing");
	if (json_string_length(value) >= CHECK_BASELINE_NAME_MAX ||
	    strlen(json_string_value(value)) != json_string_length(value))
		return wrong(at, member, "is too long, or has a NUL in it");
	snprintf(ret, CHECK_BASELINE_NAME_MAX, "%s", json_string_value(value));
	check_text_clean(ret);
	return 0;
}

static int read_verdict(const struct place *at, const json_t *from, enum check_verdict *ret)
{
	char name[CHECK_BASELINE_NAME_MAX];
	int r = read_text(at, from, "verdict", name);

	for (enum check_verdict v = 0; !r && v < CHECK_VERDICTS; v++)
		if (!strcmp(name, check_verdict_name(v))) {
			*ret = v;
			return 0;
		}
	return r ? r : wrong(at, "verdict", "is no verdict");
}

static int read_row(struct place *at, const json_t *from, bool clause, json_t *seen,
		    struct check_baseline *ret)
{
	struct check_was *was = &ret->was[ret->n_was];
	int r;

	if (!json_is_object(from))
		return wrong(at, "", "is not an object");
	r = read_text(at, from, "id", was->id);
	if (!r && json_object_get(seen, was->id))
		r = wrong(at, "id", "is there twice");
	if (r || (clause && json_object_get(from, "why-no-check") && !json_object_get(from, "verdict")))
		return r;
	json_object_set_new(seen, was->id, json_true());
	was->clause = clause;
	r = read_verdict(at, from, &was->verdict);
	ret->n_was += !r;
	return r;
}

static int read_rows(const char *path, const json_t *from, const char *list, struct check_baseline *ret)
{
	struct place at = { path, list, 0 };
	const json_t *rows = json_object_get(from, list);
	json_t *seen = json_object();
	int r = 0;

	for (; at.index < json_array_size(rows) && !r; at.index++)
		r = read_row(&at, json_array_get(rows, at.index), !strcmp(list, "clauses"), seen, ret);
	json_decref(seen);
	return r;
}

static int read_state(const struct place *at, const json_t *from, const char *member, uint32_t *ret)
{
	char name[CHECK_BASELINE_NAME_MAX];
	int r = read_text(at, from, member, name);

	if (r)
		return r;
	*ret = vmig_state_from_name(name);
	return *ret == VMIG_STATE_NONE ? wrong(at, member, "is no state") : 0;
}

static int read_sum(const struct place *at, const json_t *from, struct check_arc_sum *ret)
{
	const json_t *median = json_object_get(from, "median-ns"), *reset = json_object_get(from, "reset");
	int r;

	if (!json_is_object(from))
		return wrong(at, "", "is not an object");
	if (!json_is_boolean(reset))
		return wrong(at, "reset", "is not true or false");
	ret->reset = json_is_true(reset);
	r = read_state(at, from, "from", &ret->from);
	if (!r)
		r = read_state(at, from, "to", &ret->to);
	if (r || !median) /* none succeeded */
		return r;
	if (!json_is_integer(median) || json_integer_value(median) < 0)
		return wrong(at, "median-ns", "is no time");
	ret->median_ns = (uint64_t)json_integer_value(median);
	return 0;
}

static int read_sums(const char *path, const json_t *from, struct check_baseline *ret)
{
	struct place at = { path, "transitions", 0 };
	const json_t *rows = json_object_get(from, at.list);
	int r = 0;

	for (; at.index < json_array_size(rows) && !r; at.index++)
		r = read_sum(&at, json_array_get(rows, at.index), &ret->sums[ret->n_sums++]);
	return r;
}

/* How many rows @list has; negative: it has been said what is wrong. */
static int list_size(const struct place *at, const json_t *from, const char *list, size_t *ret)
{
	const json_t *rows = json_object_get(from, list);

	*ret = json_array_size(rows);
	if (!json_is_array(rows))
		return wrong(at, list, rows ? "is not an array" : "is missing");
	return *ret > CHECK_BASELINE_ROWS_MAX ? wrong(at, list, "has too many rows") : 0;
}

static int read_format(const struct place *at, const json_t *from)
{
	const json_t *format = json_object_get(from, "format");

	if (!json_is_object(from) || !json_is_integer(format))
		return tool_fail(VMIG_BAD_INPUT,
				 "%s: this is no report of vmig check --json: it has no number as 'format'",
				 at->path);
	if (json_integer_value(format) != CHECK_REPORT_FORMAT)
		return tool_fail(VMIG_BAD_INPUT,
				 "%s: a report of format %lld; this vmig reads %d only: make it again",
				 at->path, (long long)json_integer_value(format), CHECK_REPORT_FORMAT);
	return 0;
}

static int read_head(const struct place *at, const json_t *from, struct check_baseline *ret)
{
	int r = read_text(at, from, "device", ret->device);

	if (!r)
		r = read_text(at, from, "vmig", ret->vmig);
	if (!r)
		r = read_text(at, from, "kernel", ret->kernel);
	return r ? r : read_text(at, from, "time", ret->when);
}

static int read_report(const char *path, const json_t *from, struct check_baseline *ret)
{
	const struct place top = { .path = path };
	size_t n[3];
	int r = read_format(&top, from);

	if (r || (r = read_head(&top, from, ret)) || (r = list_size(&top, from, "clauses", &n[0])) ||
	    (r = list_size(&top, from, "checks", &n[1])) || (r = list_size(&top, from, "transitions", &n[2])))
		return r;
	ret->was = calloc(n[0] + n[1] + 1, sizeof(*ret->was)); /* and one to read into */
	ret->sums = calloc(n[2] + 1, sizeof(*ret->sums));
	if (!ret->was || !ret->sums)
		return tool_fail(VMIG_BAD_INPUT, "no memory");
	r = read_rows(path, from, "clauses", ret);
	if (!r)
		r = read_rows(path, from, "checks", ret);
	return r ? r : read_sums(path, from, ret);
}

/* *@ret is for free(). */
static int read_file(const char *path, char **ret, size_t *ret_len)
{
	FILE *from = fopen(path, "re");
	int r = 0;

	*ret = malloc(CHECK_BASELINE_SIZE_MAX + 1);
	if (!from || !*ret) {
		r = tool_fail(VMIG_BAD_INPUT, "%s: cannot be read: %s", path, strerror(errno));
	} else {
		*ret_len = fread(*ret, 1, CHECK_BASELINE_SIZE_MAX + 1, from);
		if (ferror(from))
			r = tool_fail(VMIG_BAD_INPUT, "%s: cannot be read: %s", path, strerror(errno));
		else if (*ret_len > CHECK_BASELINE_SIZE_MAX)
			r = tool_fail(VMIG_BAD_INPUT, "%s: has more than %u MiB", path,
				      CHECK_BASELINE_SIZE_MAX >> 20);
	}
	if (from)
		fclose(from);
	return r;
}

int check_baseline_read(const char *path, struct check_baseline *ret)
{
	json_error_t error;
	json_t *report = NULL;
	size_t len = 0;
	char *text;
	int r;

	*ret = (struct check_baseline){ .path = path };
	r = read_file(path, &text, &len);
	if (!r)
		report = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	if (!r && !report) {
		check_text_clean(error.text);
		r = tool_fail(VMIG_BAD_INPUT, "%s: line %d, column %d: %s", path, error.line, error.column,
			      error.text);
	}
	free(text);
	if (!r)
		r = read_report(path, report, ret);
	json_decref(report);
	if (r)
		check_baseline_done(ret);
	return r;
}

void check_baseline_done(struct check_baseline *baseline)
{
	free(baseline->was);
	free(baseline->sums);
	free(baseline->checks);
	free(baseline->clauses);
}

/* --- comparing ----------------------------------------------------------------------------------- */

static struct check_was *find(const struct check_baseline *baseline, bool clause, const char *id)
{
	for (size_t i = 0; i < baseline->n_was; i++)
		if (baseline->was[i].clause == clause && !strcmp(baseline->was[i].id, id))
			return &baseline->was[i];
	return NULL;
}

static enum check_change change(enum check_verdict before, enum check_verdict now)
{
	if (before == now)
		return CHECK_SAME;
	if (check_report_is_bad(now) && !check_report_is_bad(before))
		return CHECK_NEW_FAILURE;
	if (check_report_is_bad(before) && (now == CHECK_PASS || now == CHECK_OBSERVATION))
		return CHECK_MENDED;
	return CHECK_CHANGED;
}

static struct check_then compare(const struct check_baseline *baseline, bool clause, const char *id,
				 enum check_verdict now)
{
	struct check_was *was = find(baseline, clause, id);

	if (!was)
		return (struct check_then){ CHECK_ADDED, CHECK_SKIPPED };
	was->gone = false;
	return (struct check_then){ change(was->verdict, now), was->verdict };
}

static void compare_checks(struct check_baseline *baseline, const struct check_result *results)
{
	for (size_t i = 0; check_table[i].id; i++) {
		baseline->checks[i] = compare(baseline, false, check_table[i].id, results[i].verdict);
		baseline->n[baseline->checks[i].change]++;
	}
}

static void compare_clauses(struct check_baseline *baseline, const struct check_result *results)
{
	for (size_t i = 0; check_clauses[i].id; i++) {
		const struct check_clause *clause = &check_clauses[i];

		if (!check_clause_has_check(clause))
			continue;
		baseline->clauses[i] =
			compare(baseline, true, clause->id, check_clause_verdict(clause, results));
		baseline->n_clauses[baseline->clauses[i].change]++;
	}
}

static size_t n_clauses(void)
{
	size_t n = 0;

	while (check_clauses[n].id)
		n++;
	return n;
}

int check_baseline_compare(struct check_baseline *baseline, const struct check_result *results)
{
	baseline->checks = calloc(check_report_n_checks(), sizeof(*baseline->checks));
	baseline->clauses = calloc(n_clauses(), sizeof(*baseline->clauses));
	if (!baseline->checks || !baseline->clauses)
		return tool_fail(VMIG_BAD_INPUT, "no memory");
	for (size_t i = 0; i < baseline->n_was; i++)
		baseline->was[i].gone = true;
	compare_checks(baseline, results);
	compare_clauses(baseline, results);
	for (size_t i = 0; i < baseline->n_was; i++)
		baseline->n_gone += baseline->was[i].gone;
	return 0;
}

uint64_t check_baseline_median(const struct check_baseline *baseline, const struct check_arc_sum *sum)
{
	for (size_t i = 0; i < baseline->n_sums; i++) {
		const struct check_arc_sum *then = &baseline->sums[i];

		if (then->from == sum->from && then->to == sum->to && then->reset == sum->reset)
			return then->median_ns;
	}
	return 0;
}
