/* SPDX-License-Identifier: BSD-3-Clause */
/* The report of the conformance suite for people, on a terminal. */
#include <string.h>

#include "check-report.h"

static void print_check(const struct check *check, const struct check_result *result)
{
	char time[TOOL_TEXT_MAX];

	printf("  %-14s  %-30s  %9s  %s\n", check_verdict_name(result->verdict), check->id,
	       tool_text_time(result->ns, time), check->about);
	if (check_report_is_worth_telling(result->verdict)) {
		printf("  %-14s    did       %s\n", "", result->did);
		printf("  %-14s    saw       %s\n", "", result->saw);
		printf("  %-14s    expected  %s\n", "", result->expected);
	} else if (result->verdict != CHECK_PASS) {
		printf("  %-14s    %s\n", "", result->saw);
	}
}

static void print_clause(const struct check_clause *clause, const struct check_result *results)
{
	if (check_clause_has_check(clause))
		printf("  %-14s  %-24s  %-11s  %s\n",
		       check_verdict_name(check_clause_verdict(clause, results)), clause->id, clause->level,
		       clause->text);
}

/* The first word of where a clause is from: the text. */
static size_t text_len(const struct check_clause *clause)
{
	return strcspn(clause->source, " ");
}

static bool same_text(const struct check_clause *a, const struct check_clause *b)
{
	return text_len(a) == text_len(b) && !strncmp(a->source, b->source, text_len(a));
}

static void print_clauses(const struct check_report *report)
{
	uint32_t without = 0;

	for (size_t i = 0; check_clauses[i].id; i++) {
		const struct check_clause *clause = &check_clauses[i];

		if (!i || !same_text(clause, clause - 1))
			printf("\nclauses of %.*s\n", (int)text_len(clause), clause->source);
		print_clause(clause, report->results);
		without += !check_clause_has_check(clause);
	}
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

void check_report_text(const struct check_report *report)
{
	const uint32_t *n = report->counts;

	printf("%s%s%s\nvmig %s on %s, %s\n\nchecks\n", report->device,
	       *report->second ? ", and for what it saves " : "", report->second, vmig_version(),
	       report->kernel, report->when);
	for (size_t i = 0; check_table[i].id; i++)
		print_check(&check_table[i], &report->results[i]);
	print_clauses(report);
	print_transitions(report);
	printf("\n%u passed, %u failed, %u hung, %u errors, %u observations, %u not applicable, %u skipped\n",
	       n[CHECK_PASS], n[CHECK_FAIL], n[CHECK_HANG], n[CHECK_ERROR], n[CHECK_OBSERVATION],
	       n[CHECK_NOT_APPLICABLE], n[CHECK_SKIPPED]);
}
