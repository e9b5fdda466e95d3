/* SPDX-License-Identifier: BSD-3-Clause */
/* What comes of `vmig check --user` as one page of HTML that needs nothing else. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check-html.h"
#include "check-user.h"

static void words(FILE *to, char *const *list, uint32_t n)
{
	for (uint32_t i = 0; i < n && list[i]; i++) {
		char *word = strdup(list[i]);

		if (!word)
			return;
		check_text_clean(word); /* arguments may be no UTF-8 */
		fputs(i ? " " : "", to);
		check_report_escape(to, word);
		free(word);
	}
}

static void head(FILE *to, const struct user_report *report)
{
	fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
	      "'unsafe-inline'\">\n"
	      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	      "<title>vmig check --user</title>\n",
	      to);
	fprintf(to, "<style>\n%s</style>\n</head>\n<body>\n<header>\n<h1>", check_html_css);
	words(to, report->command, UINT32_MAX);
	fputs("</h1>\n<dl class=\"facts\">\n<div><dt>its devices</dt><dd>", to);
	words(to, report->devices, report->n_devices);
	fprintf(to, "</dd></div>\n<div><dt>by vmig</dt><dd>%s</dd></div>\n</dl>\n</header>\n<main>\n",
		vmig_version());
}

/* --- how often what --------------------------------------------------------------------------- */

static void summary(FILE *to, const struct user_report *report)
{
	uint32_t counts[CHECK_VERDICTS] = { 0 };
	bool bad = false;

	for (uint32_t i = 0; i < report->n_rules; i++)
		counts[user_rule_verdict(report, i)]++;
	for (uint32_t i = 0; i < report->n_scenarios; i++)
		bad |= user_scenario_is_bad(report, &report->scenarios[i]);
	fprintf(to,
		"<p class=\"verdict %s\">%s<span>%u rules kept, %u broken, %u observations, %u errors, %u "
		"not "
		"applicable, in %u runs</span></p>\n",
		bad ? "fail" : "pass", bad ? "A rule is broken." : "No rule is broken.", counts[CHECK_PASS],
		counts[CHECK_FAIL], counts[CHECK_OBSERVATION], counts[CHECK_ERROR],
		counts[CHECK_NOT_APPLICABLE], report->n_scenarios);
}

/* --- runs ------------------------------------------------------------------------------------- */

static void finding(FILE *to, const struct check_user_rule *rule, const struct check_user_result *result)
{
	const char *const rows[][2] = { { "did", result->did },
					{ "saw", result->saw },
					{ "expected", result->expected } };

	fprintf(to, "<div class=\"finding %s\"><h3>", check_html_class(result->verdict));
	check_html_verdict(to, result->verdict);
	fprintf(to, " <span class=\"id\">%s</span></h3>\n<p>%s</p>\n<dl class=\"saw\">", rule->id,
		rule->about);
	for (size_t i = 0; i < TOOL_ARRAY_SIZE(rows); i++) {
		fprintf(to, "<dt>%s</dt><dd>", rows[i][0]);
		check_report_escape(to, rows[i][1]);
		fputs("</dd>", to);
	}
	if (result->n_calls)
		fputs("<dt>calls</dt><dd>", to);
	for (uint32_t i = 0; i < result->n_calls; i++)
		fprintf(to, "%s%llu", i ? ", " : "", (unsigned long long)result->calls[i]);
	fprintf(to, "%s<dt>times</dt><dd>%u</dd><dt>clauses</dt><dd>", result->n_calls ? "</dd>" : "",
		result->n_broken);
	for (int i = 0; i < CHECK_CLAUSES_MAX && rule->clauses[i]; i++)
		fprintf(to, "%s%s", i ? ", " : "", rule->clauses[i]);
	fputs("</dd></dl></div>\n", to);
}

static void run(FILE *to, const struct user_report *report, const struct user_scenario *s)
{
	char ended[64];

	fputs("<h3>", to);
	check_report_escape(to, s->fault    ? s->name
				: s->future ? "no failure, and a flag that nobody knows yet"
					    : "no failure");
	user_ended_text(s, ended, sizeof(ended));
	fprintf(to,
		"</h3>\n<p class=\"quiet\">%s; %u saved to the end of %u, %u loaded of %u, %u calls "
		"failed%s</p>\n",
		ended, s->sum.n_saved, s->sum.n_saves, s->sum.n_loaded, s->sum.n_loads, s->sum.n_failures,
		user_scenario_struck(s) ? "" : "; the failure did not strike");
	for (uint32_t i = 0; i < report->n_rules; i++)
		if (s->results[i].verdict != CHECK_PASS && s->results[i].verdict != CHECK_NOT_APPLICABLE)
			finding(to, &check_user_rules[i], &s->results[i]);
}

static void runs(FILE *to, const struct user_report *report)
{
	fputs("<section id=\"runs\">\n<h2>Runs</h2>\n", to);
	for (uint32_t i = 0; i < report->n_scenarios; i++)
		run(to, report, &report->scenarios[i]);
	fputs("</section>\n", to);
}

/* --- rules and clauses ------------------------------------------------------------------------ */

static void rules(FILE *to, const struct user_report *report)
{
	fputs("<section id=\"rules\">\n<h2>Rules, over all runs</h2>\n<table class=\"clauses "
	      "stack\">\n<thead><tr><th>verdict</th>"
	      "<th>rule</th><th>what must be seen</th><th>clauses</th></tr></thead>\n<tbody>\n",
	      to);
	for (uint32_t i = 0; i < report->n_rules; i++) {
		const struct check_user_rule *rule = &check_user_rules[i];
		enum check_verdict verdict = user_rule_verdict(report, i);

		fprintf(to,
			"<tr class=\"row %s\"><td><span class=\"v\">%s</span></td><td "
			"class=\"id\">%s</td><td>%s</td><td>",
			check_html_class(verdict), check_verdict_name(verdict), rule->id, rule->about);
		for (int k = 0; k < CHECK_CLAUSES_MAX && rule->clauses[k]; k++)
			fprintf(to, "%s%s", k ? ", " : "", rule->clauses[k]);
		fputs("</td></tr>\n", to);
	}
	fputs("</tbody></table>\n</section>\n", to);
}

static void clauses(FILE *to, const struct user_report *report)
{
	fputs("<section id=\"clauses\">\n<h2>Clauses</h2>\n<table class=\"clauses "
	      "stack\">\n<thead><tr><th>verdict</th><th>clause"
	      "</th><th>what the text says</th><th>level</th></tr></thead>\n<tbody>\n",
	      to);
	for (size_t i = 0; check_clauses[i].id; i++) {
		enum check_verdict verdict;

		if (!user_clause_verdict(report, &check_clauses[i], &verdict))
			continue;
		fprintf(to,
			"<tr class=\"row %s\"><td><span class=\"v\">%s</span></td><td "
			"class=\"id\">%s</td><td>",
			check_html_class(verdict), check_verdict_name(verdict), check_clauses[i].id);
		check_report_escape(to, check_clauses[i].text);
		fprintf(to, "</td><td>%s</td></tr>\n", check_clauses[i].level);
	}
	fputs("</tbody></table>\n</section>\n", to);
}

int user_report_html(const struct user_report *report, const char *path)
{
	FILE *to = fopen(path, "we");
	bool bad;

	if (!to)
		return tool_fail(VMIG_BAD_INPUT, "%s: cannot be written: %s", path, strerror(errno));
	head(to, report);
	summary(to, report);
	runs(to, report);
	rules(to, report);
	clauses(to, report);
	fputs("</main>\n</body>\n</html>\n", to);
	bad = ferror(to);
	if (fclose(to) || bad)
		return tool_fail(VMIG_BAD_INPUT, "%s: cannot be written: %s", path, strerror(errno));
	return 0;
}
