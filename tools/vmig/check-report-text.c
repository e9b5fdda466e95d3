/* SPDX-License-Identifier: BSD-3-Clause */
/* The report of the conformance suite for people, on a terminal. */
#include <string.h>

#include "check-report.h"

#define WIDTH  116
#define INDENT 18

static bool applies(enum check_verdict verdict)
{
	return verdict != CHECK_NOT_APPLICABLE && verdict != CHECK_SKIPPED;
}

/* One more of a list of words; *@column is 0 at first. */
static void put_word(const char *word, int *column)
{
	int len = (int)strlen(word);

	if (*column && *column + len + 2 > WIDTH) {
		printf(",\n");
		*column = 0;
	} else if (*column) {
		*column += printf(", ");
	}
	if (!*column)
		*column = printf("%*s", INDENT, "");
	*column += printf("%s", word);
}

/* --- checks -------------------------------------------------------------------------------------- */

static void print_check(const struct check *check, const struct check_result *result)
{
	char time[TOOL_TEXT_MAX];

	printf("  %-14s  %-30s  %9s  %s\n", check_verdict_name(result->verdict), check->id,
	       tool_text_time(result->ns, time), check->about);
	if (check_report_is_worth_telling(result->verdict)) {
		printf("  %-14s    did       %s\n", "", result->did);
		printf("  %-14s    saw       %s\n", "", result->saw);
		printf("  %-14s    expected  %s\n", "", result->expected);
	}
}

static bool same_reason(const struct check_result *a, const struct check_result *b)
{
	return a->verdict == b->verdict && !strcmp(a->saw, b->saw);
}

/* All that say the same as the one of row @i, unless an earlier one does. */
static void print_reason(const struct check_report *report, size_t i)
{
	const struct check_result *results = report->results;
	int column = 0;

	for (size_t j = 0; j < i; j++)
		if (same_reason(&results[i], &results[j]))
			return;
	printf("  %-14s  %s:\n", check_verdict_name(results[i].verdict), results[i].saw);
	for (size_t j = i; check_table[j].id; j++)
		if (same_reason(&results[i], &results[j]))
			put_word(check_table[j].id, &column);
	printf("\n");
}

static void print_checks(const struct check_report *report)
{
	printf("\nchecks\n");
	for (size_t i = 0; check_table[i].id; i++)
		if (applies(report->results[i].verdict))
			print_check(&check_table[i], &report->results[i]);
	for (size_t i = 0; check_table[i].id; i++)
		if (!applies(report->results[i].verdict))
			print_reason(report, i);
}

/* --- clauses ------------------------------------------------------------------------------------- */

static void print_clause(const struct check_clause *clause, enum check_verdict verdict)
{
	printf("  %-14s  %-24s  %-11s  %s\n", check_verdict_name(verdict), clause->id, clause->level,
	       clause->text);
}

/* Those of the text that begins at row @i. */
static void print_others(const struct check_report *report, size_t i, enum check_verdict verdict)
{
	int column = 0;

	for (size_t j = i;
	     check_clauses[j].id && check_report_same_text(&check_clauses[i], &check_clauses[j]); j++)
		if (check_clause_has_check(&check_clauses[j]) &&
		    check_clause_verdict(&check_clauses[j], report->results) == verdict) {
			if (!column)
				printf("  %s:\n", check_verdict_name(verdict));
			put_word(check_clauses[j].id, &column);
		}
	if (column)
		printf("\n");
}

/* From row @i on; the row after it. */
static size_t print_text(const struct check_report *report, size_t i)
{
	size_t j = i;

	printf("\nclauses of %.*s\n", (int)check_report_text_len(&check_clauses[i]), check_clauses[i].source);
	for (; check_clauses[j].id && check_report_same_text(&check_clauses[i], &check_clauses[j]); j++) {
		enum check_verdict verdict = check_clause_verdict(&check_clauses[j], report->results);

		if (check_clause_has_check(&check_clauses[j]) && applies(verdict))
			print_clause(&check_clauses[j], verdict);
	}
	print_others(report, i, CHECK_NOT_APPLICABLE);
	print_others(report, i, CHECK_SKIPPED);
	return j;
}

static void print_clauses(const struct check_report *report)
{
	uint32_t without = 0;

	for (size_t i = 0; check_clauses[i].id;)
		i = print_text(report, i);
	for (size_t i = 0; check_clauses[i].id; i++)
		without += !check_clause_has_check(&check_clauses[i]);
	printf("\n  (%u more have no check: docs/conformance.md says why)\n", without);
}

/* --- transitions --------------------------------------------------------------------------------- */

static const char *count(uint32_t n, char buf[TOOL_TEXT_MAX])
{
	snprintf(buf, TOOL_TEXT_MAX, n ? "%u" : "-", n);
	return buf;
}

static void print_sum(const struct check_arc_sum *sum)
{
	char name[96], n[CHECK_CAMES][TOOL_TEXT_MAX], time[3][TOOL_TEXT_MAX] = { "-", "-", "-" };

	snprintf(name, sizeof(name), "%s -> %s%s", vmig_state_name(sum->from), vmig_state_name(sum->to),
		 sum->reset ? " by a reset" : "");
	for (int i = 0; i < CHECK_CAMES; i++)
		count(sum->n[i], n[i]);
	if (sum->n[CHECK_CAME_OK]) {
		tool_text_time(sum->min_ns, time[0]);
		tool_text_time(sum->median_ns, time[1]);
		tool_text_time(sum->max_ns, time[2]);
	}
	printf("  %-35s %5s %8s %6s %7s  %9s %9s %9s\n", name, n[CHECK_CAME_OK], n[CHECK_CAME_REFUSED],
	       n[CHECK_CAME_WRONG], n[CHECK_CAME_NOT], time[0], time[1], time[2]);
}

static void print_transitions(const struct check_report *report)
{
	if (!report->n_sums)
		return;
	printf("\n%-37s %5s %8s %6s %7s  %9s %9s %9s\n", "transitions", "ok", "refused", "wrong", "no end",
	       "shortest", "median", "longest");
	for (uint32_t i = 0; i < report->n_sums; i++)
		print_sum(&report->sums[i]);
}

/* --- since then ---------------------------------------------------------------------------------- */

static void print_then(const char *kind, const char *id, const struct check_then *then,
		       enum check_verdict now)
{
	if (then->change == CHECK_ADDED)
		printf("  %-12s  %-6s  %-30s  %s\n", check_change_name(then->change), kind, id,
		       check_verdict_name(now));
	else if (then->change != CHECK_SAME)
		printf("  %-12s  %-6s  %-30s  %s, was %s\n", check_change_name(then->change), kind, id,
		       check_verdict_name(now), check_verdict_name(then->before));
}

static void print_changes(const struct check_report *report)
{
	const struct check_baseline *b = report->baseline;

	if (!b)
		return;
	printf("\nsince %s: %s\n  vmig %s on %s, %s\n", b->path, b->device, b->vmig, b->kernel, b->when);
	for (size_t i = 0; check_table[i].id; i++)
		print_then("check", check_table[i].id, &b->checks[i], report->results[i].verdict);
	for (size_t i = 0; check_clauses[i].id; i++)
		print_then("clause", check_clauses[i].id, &b->clauses[i],
			   check_clause_verdict(&check_clauses[i], report->results));
	for (size_t i = 0; i < b->n_was; i++)
		if (b->was[i].gone)
			printf("  %-12s  %-6s  %-30s  was %s\n", "gone",
			       b->was[i].clause ? "clause" : "check", b->was[i].id,
			       check_verdict_name(b->was[i].verdict));
	printf("  checks: %u new failures, %u mended, %u changed otherwise, %u new, %u the same\n",
	       b->n[CHECK_NEW_FAILURE], b->n[CHECK_MENDED], b->n[CHECK_CHANGED], b->n[CHECK_ADDED],
	       b->n[CHECK_SAME]);
}

void check_report_text(const struct check_report *report)
{
	const uint32_t *n = report->counts;

	printf("%s%s%s\nvmig %s on %s, %s\n", report->device,
	       *report->second ? ", and for what it saves " : "", report->second, vmig_version(),
	       report->kernel, report->when);
	print_checks(report);
	print_clauses(report);
	print_transitions(report);
	print_changes(report);
	printf("\n%u passed, %u failed, %u hung, %u errors, %u observations, %u not applicable, %u skipped\n",
	       n[CHECK_PASS], n[CHECK_FAIL], n[CHECK_HANG], n[CHECK_ERROR], n[CHECK_OBSERVATION],
	       n[CHECK_NOT_APPLICABLE], n[CHECK_SKIPPED]);
}
