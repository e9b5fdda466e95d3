/* SPDX-License-Identifier: BSD-3-Clause */
/* The report of the conformance suite: for people, JSON, TAP, JUnit. */
#include "check-report.h"

#include <errno.h>
#include <string.h>

#include <jansson.h>

bool check_report_is_bad(enum check_verdict verdict)
{
	return verdict == CHECK_FAIL || verdict == CHECK_HANG || verdict == CHECK_ERROR;
}

static bool is_worth_telling(enum check_verdict verdict)
{
	return check_report_is_bad(verdict) || verdict == CHECK_OBSERVATION;
}

/* --- for people ---------------------------------------------------------------------------------- */

static void print_check(const struct check *check, const struct check_result *result)
{
	char time[TOOL_TEXT_MAX];

	printf("  %-14s  %-30s  %9s  %s\n", check_verdict_name(result->verdict), check->id,
	       tool_text_time(result->ns, time), check->about);
	if (is_worth_telling(result->verdict)) {
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

void check_report_text(const struct check_report *report)
{
	const uint32_t *n = report->counts;
	uint32_t without = 0;

	printf("%s%s%s\n\nchecks\n", report->device, report->second ? ", and for what it saves " : "",
	       report->second ? report->second : "");
	for (size_t i = 0; check_table[i].id; i++)
		print_check(&check_table[i], &report->results[i]);
	printf("\nclauses of linux/vfio.h\n");
	for (size_t i = 0; check_clauses[i].id; i++) {
		print_clause(&check_clauses[i], report->results);
		without += !check_clause_has_check(&check_clauses[i]);
	}
	printf("  (%u more have no check: docs/conformance.md says why)\n", without);
	printf("\n%u passed, %u failed, %u hung, %u errors, %u observations, %u not applicable, %u skipped\n",
	       n[CHECK_PASS], n[CHECK_FAIL], n[CHECK_HANG], n[CHECK_ERROR], n[CHECK_OBSERVATION],
	       n[CHECK_NOT_APPLICABLE], n[CHECK_SKIPPED]);
}

/* --- JSON ---------------------------------------------------------------------------------------- */

static json_t *check_json(const struct check *check, const struct check_result *result)
{
	json_t *clauses = json_array(), *o;

	for (int i = 0; i < CHECK_CLAUSES_MAX && check->clauses[i]; i++)
		json_array_append_new(clauses, json_string(check->clauses[i]));
	o = json_pack("{s:s, s:s, s:o, s:s, s:I}", "id", check->id, "about", check->about, "clauses", clauses,
		      "verdict", check_verdict_name(result->verdict), "ns", (json_int_t)result->ns);
	/* What a device says may be no UTF-8: then the member is left out. */
	json_object_set_new(o, "did", json_string(result->did));
	json_object_set_new(o, "saw", json_string(result->saw));
	json_object_set_new(o, "expected", json_string(result->expected));
	return o;
}

static json_t *clause_json(const struct check_clause *clause, const struct check_result *results)
{
	json_t *o = json_pack("{s:s, s:s, s:s, s:s}", "id", clause->id, "level", clause->level, "source",
			      clause->source, "text", clause->text);

	if (check_clause_has_check(clause))
		json_object_set_new(o, "verdict",
				    json_string(check_verdict_name(check_clause_verdict(clause, results))));
	else
		json_object_set_new(o, "why-no-check", json_string(clause->why));
	return o;
}

void check_report_json(const struct check_report *report)
{
	json_t *checks = json_array(), *clauses = json_array(), *o;

	for (size_t i = 0; check_table[i].id; i++)
		json_array_append_new(checks, check_json(&check_table[i], &report->results[i]));
	for (size_t i = 0; check_clauses[i].id; i++)
		json_array_append_new(clauses, clause_json(&check_clauses[i], report->results));
	o = json_pack("{s:s, s:s?, s:o, s:o}", "device", report->device, "second", report->second, "checks",
		      checks, "clauses", clauses);
	json_dumpf(o, stdout, JSON_COMPACT);
	printf("\n");
	json_decref(o);
}

/* --- TAP ----------------------------------------------------------------------------------------- */

/* A '#' begins a directive. */
static void print_plain(FILE *to, const char *text)
{
	for (; *text; text++)
		fputc(*text == '#' || (unsigned char)*text < ' ' ? ' ' : *text, to);
}

void check_report_tap(uint32_t number, const struct check *check, const struct check_result *result)
{
	printf("%s %u - %s", check_report_is_bad(result->verdict) ? "not ok" : "ok", number, check->id);
	if (result->verdict == CHECK_NOT_APPLICABLE || result->verdict == CHECK_SKIPPED) {
		printf(" # SKIP %s: ", check_verdict_name(result->verdict));
		print_plain(stdout, result->saw);
	}
	printf("\n");
	if (is_worth_telling(result->verdict)) {
		printf("# %s\n# did: ", check_verdict_name(result->verdict));
		print_plain(stdout, result->did);
		printf("\n# saw: ");
		print_plain(stdout, result->saw);
		printf("\n# expected: ");
		print_plain(stdout, result->expected);
		printf("\n");
	}
	fflush(stdout);
}

/* --- JUnit --------------------------------------------------------------------------------------- */

static void print_xml(FILE *to, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '<':
			fputs("&lt;", to);
			break;
		case '>':
			fputs("&gt;", to);
			break;
		case '&':
			fputs("&amp;", to);
			break;
		case '"':
			fputs("&quot;", to);
			break;
		default:
			fputc((unsigned char)*text < ' ' || (unsigned char)*text > '~' ? '?' : *text, to);
		}
	}
}

static void print_case(FILE *to, const struct check *check, const struct check_result *result)
{
	const char *element = result->verdict == CHECK_ERROR         ? "error"
			      : check_report_is_bad(result->verdict) ? "failure"
			      : result->verdict == CHECK_NOT_APPLICABLE || result->verdict == CHECK_SKIPPED
				      ? "skipped"
			      : result->verdict == CHECK_OBSERVATION ? "system-out"
								     : NULL;

	fprintf(to, "  <testcase classname=\"vmig.check\" name=\"%s\" time=\"%.6f\">", check->id,
		(double)result->ns / 1e9);
	if (element) {
		fprintf(to, "<%s%s", element, strcmp(element, "system-out") != 0 ? " message=\"" : ">");
		print_xml(to, result->saw);
		fputs(strcmp(element, "system-out") != 0 ? "\">" : "; ", to);
		fputs("did: ", to);
		print_xml(to, result->did);
		fputs("; expected: ", to);
		print_xml(to, result->expected);
		fprintf(to, "</%s>", element);
	}
	fputs("</testcase>\n", to);
}

int check_report_junit(const struct check_report *report, const char *path)
{
	const uint32_t *n = report->counts;
	uint32_t all = 0;
	FILE *to = fopen(path, "we");
	bool bad;

	if (!to)
		return tool_fail(VMIG_BAD_INPUT, "%s: cannot be written: %s", path, strerror(errno));
	for (int i = 0; i < CHECK_VERDICTS; i++)
		all += n[i];
	fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"", to);
	print_xml(to, report->device);
	fprintf(to, "\" tests=\"%u\" failures=\"%u\" errors=\"%u\" skipped=\"%u\">\n", all,
		n[CHECK_FAIL] + n[CHECK_HANG], n[CHECK_ERROR], n[CHECK_NOT_APPLICABLE] + n[CHECK_SKIPPED]);
	for (size_t i = 0; check_table[i].id; i++)
		print_case(to, &check_table[i], &report->results[i]);
	fputs("</testsuite>\n", to);
	bad = ferror(to);
	if (fclose(to) || bad)
		return tool_fail(VMIG_BAD_INPUT, "%s: cannot be written: %s", path, strerror(errno));
	return 0;
}
