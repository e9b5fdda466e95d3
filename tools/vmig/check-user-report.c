/* SPDX-License-Identifier: BSD-3-Clause */
/* What comes of `vmig check --user`, in its forms. */
#include <errno.h>
#include <string.h>

#include <jansson.h>

#include "check-report.h"
#include "check-user.h"

#define PAD "                "

static bool is_worth_telling(const struct check_user_result *result)
{
	return result->verdict != CHECK_PASS && result->verdict != CHECK_NOT_APPLICABLE;
}

static void calls_text(const struct check_user_result *result, char *buf, size_t size)
{
	size_t used = 0;

	buf[0] = 0;
	for (uint32_t i = 0; i < result->n_calls && used < size; i++)
		used += (size_t)snprintf(buf + used, size - used, "%s%llu", i ? ", " : "",
					 (unsigned long long)result->calls[i]);
}

void user_ended_text(const struct user_scenario *s, char *buf, size_t size)
{
	if (s->crashed)
		snprintf(buf, size, "what plays the devices crashed");
	else if (s->hung)
		snprintf(buf, size, "it did not end, and was killed");
	else
		snprintf(buf, size, "it ended with status %d", s->status);
}

/* --- for people ------------------------------------------------------------------------------- */

/* The same was seen in an earlier scenario. */
static bool is_told(const struct user_report *report, const struct user_scenario *s, uint32_t rule)
{
	for (const struct user_scenario *e = report->scenarios; e < s; e++)
		if (!strcmp(e->results[rule].saw, s->results[rule].saw))
			return true;
	return false;
}

static void print_rule(const struct check_user_rule *rule, const struct check_user_result *result, bool told)
{
	char calls[64];

	printf("  %-14s  %-26s  %s\n", check_verdict_name(result->verdict), rule->id, rule->about);
	if (told) {
		printf(PAD "  as before: %s\n", result->saw);
		return;
	}
	calls_text(result, calls, sizeof(calls));
	if (calls[0])
		printf(PAD "  calls     %s%s\n", calls, result->n_broken > 1 ? ", and more" : "");
	printf(PAD "  did       %s\n" PAD "  saw       %s\n" PAD "  expected  %s\n" PAD "  clauses  ",
	       result->did, result->saw, result->expected);
	for (int i = 0; i < CHECK_CLAUSES_MAX && rule->clauses[i]; i++)
		printf(" %s", rule->clauses[i]);
	printf("\n");
}

static void print_scenario(const struct user_report *report, const struct user_scenario *s)
{
	char ended[64];
	uint32_t kept = 0, silent = 0;

	user_ended_text(s, ended, sizeof(ended));
	printf("\n%s%s\n  %s; %u saved to the end of %u, %u loaded of %u, %u calls failed\n",
	       s->fault ? "failure: " : "no failure",
	       s->fault    ? s->name
	       : s->future ? ", and a flag that nobody knows"
			   : "",
	       ended, s->sum.n_saved, s->sum.n_saves, s->sum.n_loaded, s->sum.n_loads, s->sum.n_failures);
	if (!user_scenario_struck(s))
		printf("  the failure did not strike: this user does not come to where it is\n");
	for (uint32_t i = 0; i < report->n_rules; i++) {
		if (is_worth_telling(&s->results[i]))
			print_rule(&check_user_rules[i], &s->results[i], is_told(report, s, i));
		kept += s->results[i].verdict == CHECK_PASS;
		silent += s->results[i].verdict == CHECK_NOT_APPLICABLE;
	}
	printf("  %u rules kept, %u not applicable\n", kept, silent);
}

void user_report_text(const struct user_report *report)
{
	uint32_t counts[CHECK_VERDICTS] = { 0 };

	printf("the user:");
	for (int i = 0; report->command[i]; i++)
		printf(" %s", report->command[i]);
	printf("\nits devices:");
	for (uint32_t i = 0; i < report->n_devices; i++)
		printf(" %s", report->devices[i]);
	printf("\n");
	for (uint32_t i = 0; i < report->n_scenarios; i++)
		print_scenario(report, &report->scenarios[i]);
	printf("\nrules, over all of it\n");
	for (uint32_t i = 0; i < report->n_rules; i++) {
		enum check_verdict verdict = user_rule_verdict(report, i);

		counts[verdict]++;
		if (verdict == CHECK_NOT_APPLICABLE)
			continue;
		printf("  %-14s  %-26s  %s\n", check_verdict_name(verdict), check_user_rules[i].id,
		       check_user_rules[i].about);
	}
	printf("\nclauses\n");
	for (size_t i = 0; check_clauses[i].id; i++) {
		enum check_verdict verdict;

		if (user_clause_verdict(report, &check_clauses[i], &verdict) &&
		    verdict != CHECK_NOT_APPLICABLE)
			printf("  %-14s  %-26s  %-11s  %s\n", check_verdict_name(verdict),
			       check_clauses[i].id, check_clauses[i].level, check_clauses[i].text);
	}
	printf("\n%u kept, %u broken, %u observations, %u errors, %u not applicable\n", counts[CHECK_PASS],
	       counts[CHECK_FAIL], counts[CHECK_OBSERVATION], counts[CHECK_ERROR],
	       counts[CHECK_NOT_APPLICABLE]);
}

/* --- JSON ------------------------------------------------------------------------------------- */

static json_t *clauses_json(const struct check_user_rule *rule)
{
	json_t *clauses = json_array();

	for (int i = 0; i < CHECK_CLAUSES_MAX && rule->clauses[i]; i++)
		json_array_append_new(clauses, json_string(rule->clauses[i]));
	return clauses;
}

static json_t *result_json(const struct check_user_rule *rule, const struct check_user_result *result)
{
	json_t *calls = json_array(), *o;

	for (uint32_t i = 0; i < result->n_calls; i++)
		json_array_append_new(calls, json_integer((json_int_t)result->calls[i]));
	o = json_pack("{s:s, s:s, s:i, s:o}", "id", rule->id, "verdict", check_verdict_name(result->verdict),
		      "times", (int)result->n_broken, "calls", calls);
	if (is_worth_telling(result)) {
		json_object_set_new(o, "did", json_string(result->did));
		json_object_set_new(o, "saw", json_string(result->saw));
		json_object_set_new(o, "expected", json_string(result->expected));
	}
	return o;
}

static json_t *scenario_json(const struct user_report *report, const struct user_scenario *s)
{
	json_t *rules = json_array();

	for (uint32_t i = 0; i < report->n_rules; i++)
		json_array_append_new(rules, result_json(&check_user_rules[i], &s->results[i]));
	return json_pack("{s:s, s:i, s:b, s:b, s:b, s:I, s:i, s:i, s:i, s:i, s:i, s:o}", "name", s->name,
			 "status", s->status, "hung", s->hung, "crashed", s->crashed, "struck",
			 user_scenario_struck(s), "calls", (json_int_t)s->sum.n_calls, "saves",
			 (int)s->sum.n_saves, "saved", (int)s->sum.n_saved, "loads", (int)s->sum.n_loads,
			 "loaded", (int)s->sum.n_loaded, "failures", (int)s->sum.n_failures, "rules", rules);
}

static json_t *all_clauses_json(const struct user_report *report)
{
	json_t *clauses = json_array();
	enum check_verdict verdict;

	for (size_t i = 0; check_clauses[i].id; i++)
		if (user_clause_verdict(report, &check_clauses[i], &verdict))
			json_array_append_new(
				clauses, json_pack("{s:s, s:s, s:s, s:s}", "id", check_clauses[i].id, "level",
						   check_clauses[i].level, "text", check_clauses[i].text,
						   "verdict", check_verdict_name(verdict)));
	return clauses;
}

void user_report_json(const struct user_report *report)
{
	json_t *command = json_array(), *devices = json_array(), *scenarios = json_array(),
	       *rules = json_array(), *o;

	/* What is no UTF-8 is left out. */
	for (int i = 0; report->command[i]; i++)
		json_array_append_new(command, json_string(report->command[i]));
	for (uint32_t i = 0; i < report->n_devices; i++)
		json_array_append_new(devices, json_string(report->devices[i]));
	for (uint32_t i = 0; i < report->n_scenarios; i++)
		json_array_append_new(scenarios, scenario_json(report, &report->scenarios[i]));
	for (uint32_t i = 0; i < report->n_rules; i++)
		json_array_append_new(rules, json_pack("{s:s, s:s, s:o, s:s}", "id", check_user_rules[i].id,
						       "about", check_user_rules[i].about, "clauses",
						       clauses_json(&check_user_rules[i]), "verdict",
						       check_verdict_name(user_rule_verdict(report, i))));
	o = json_pack("{s:i, s:o, s:o, s:o, s:o, s:o}", "vmig-check-user", 1, "user", command, "devices",
		      devices, "scenarios", scenarios, "rules", rules, "clauses", all_clauses_json(report));
	json_dumpf(o, stdout, JSON_COMPACT);
	printf("\n");
	json_decref(o);
}

/* --- TAP and JUnit: one test for each scenario and rule ---------------------------------------- */

static bool is_bad(const struct check_user_result *result)
{
	return result->verdict == CHECK_FAIL || result->verdict == CHECK_ERROR;
}

/* A '#' begins a directive. */
static void print_plain(const char *text)
{
	for (; *text; text++)
		putchar(*text == '#' || (unsigned char)*text < ' ' ? ' ' : *text);
}

static void tap_result(uint32_t number, const struct user_scenario *s, uint32_t rule)
{
	const struct check_user_result *result = &s->results[rule];

	printf("%s %u - ", is_bad(result) ? "not ok" : "ok", number);
	print_plain(s->name);
	printf(": %s%s\n", check_user_rules[rule].id,
	       result->verdict == CHECK_NOT_APPLICABLE ? " # SKIP not applicable" : "");
	if (!is_worth_telling(result))
		return;
	printf("# %s\n# did: ", check_verdict_name(result->verdict));
	print_plain(result->did);
	printf("\n# saw: ");
	print_plain(result->saw);
	printf("\n# expected: ");
	print_plain(result->expected);
	printf("\n");
}

void user_report_tap(const struct user_report *report)
{
	uint32_t number = 0;

	printf("1..%u\n", report->n_scenarios * (report->n_rules + 1));
	for (uint32_t i = 0; i < report->n_scenarios; i++) {
		const struct user_scenario *s = &report->scenarios[i];

		printf("%s %u - ", s->hung || s->crashed ? "not ok" : "ok", ++number);
		print_plain(s->name);
		printf(": the command ends%s\n",
		       user_scenario_struck(s) ? "" : " # SKIP the failure did not strike");
		for (uint32_t rule = 0; rule < report->n_rules; rule++)
			tap_result(++number, s, rule);
	}
}

static void junit_result(FILE *to, const struct user_scenario *s, uint32_t rule)
{
	const struct check_user_result *result = &s->results[rule];

	fputs("  <testcase classname=\"vmig.check.user.", to);
	check_report_escape(to, s->name);
	fprintf(to, "\" name=\"%s\">", check_user_rules[rule].id);
	if (is_bad(result)) {
		fputs("<failure message=\"", to);
		check_report_escape(to, result->saw);
		fputs("\">did: ", to);
		check_report_escape(to, result->did);
		fputs("; expected: ", to);
		check_report_escape(to, result->expected);
		fputs("</failure>", to);
	} else if (result->verdict == CHECK_NOT_APPLICABLE) {
		fputs("<skipped/>", to);
	} else if (result->verdict == CHECK_OBSERVATION) {
		fputs("<system-out>", to);
		check_report_escape(to, result->saw);
		fputs("</system-out>", to);
	}
	fputs("</testcase>\n", to);
}

static void junit_scenario(FILE *to, const struct user_report *report, const struct user_scenario *s)
{
	char ended[64];

	fputs("  <testcase classname=\"vmig.check.user.", to);
	check_report_escape(to, s->name);
	fputs("\" name=\"the-command-ends\">", to);
	if (s->hung || s->crashed) {
		user_ended_text(s, ended, sizeof(ended));
		fprintf(to, "<failure message=\"%s\"/>", ended);
	}
	fputs("</testcase>\n", to);
	for (uint32_t rule = 0; rule < report->n_rules; rule++)
		junit_result(to, s, rule);
}

int user_report_junit(const struct user_report *report, const char *path)
{
	uint32_t failures = 0, skipped = 0;
	FILE *to = fopen(path, "we");
	bool bad;

	if (!to)
		return tool_fail(VMIG_BAD_INPUT, "%s: cannot be written: %s", path, strerror(errno));
	for (uint32_t i = 0; i < report->n_scenarios; i++) {
		failures += report->scenarios[i].hung || report->scenarios[i].crashed;
		for (uint32_t rule = 0; rule < report->n_rules; rule++) {
			failures += is_bad(&report->scenarios[i].results[rule]);
			skipped += report->scenarios[i].results[rule].verdict == CHECK_NOT_APPLICABLE;
		}
	}
	fprintf(to,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"vmig check --user\" "
		"tests=\"%u\" "
		"failures=\"%u\" errors=\"0\" skipped=\"%u\">\n",
		report->n_scenarios * (report->n_rules + 1), failures, skipped);
	for (uint32_t i = 0; i < report->n_scenarios; i++)
		junit_scenario(to, report, &report->scenarios[i]);
	fputs("</testsuite>\n", to);
	bad = ferror(to);
	if (fclose(to) || bad)
		return tool_fail(VMIG_BAD_INPUT, "%s: cannot be written: %s", path, strerror(errno));
	return 0;
}
