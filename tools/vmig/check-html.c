/* SPDX-License-Identifier: BSD-3-Clause */
/* The report as one page of HTML that needs nothing else: its frame, what was found, what has changed. */
#include "check-html.h"

#include <errno.h>
#include <string.h>

const char *check_html_class(enum check_verdict verdict)
{
	static const char *const names[CHECK_VERDICTS] = {
		[CHECK_PASS] = "pass",       [CHECK_FAIL] = "fail",       [CHECK_NOT_APPLICABLE] = "na",
		[CHECK_SKIPPED] = "skipped", [CHECK_OBSERVATION] = "obs", [CHECK_HANG] = "hang",
		[CHECK_ERROR] = "error",
	};

	return names[verdict];
}

void check_html_verdict(FILE *to, enum check_verdict verdict)
{
	fprintf(to, "<span class=\"v %s\">%s</span>", check_html_class(verdict), check_verdict_name(verdict));
}

void check_html_then(FILE *to, const struct check_then *then)
{
	if (then && then->change == CHECK_ADDED)
		fputs(" <span class=\"was\">new</span>", to);
	else if (then && then->change != CHECK_SAME)
		fprintf(to, " <span class=\"was %s\">was %s</span>", check_html_class(then->before),
			check_verdict_name(then->before));
}

void check_html_saw(FILE *to, const struct check_result *result)
{
	const char *const rows[][2] = { { "did", result->did },
					{ "saw", result->saw },
					{ "expected", result->expected } };

	fputs("<dl class=\"saw\">", to);
	for (size_t i = 0; i < TOOL_ARRAY_SIZE(rows); i++) {
		if (!*rows[i][1])
			continue;
		fprintf(to, "<dt>%s</dt><dd>", rows[i][0]);
		check_report_escape(to, rows[i][1]);
		fputs("</dd>", to);
	}
	fputs("</dl>\n", to);
}

/* --- the head ------------------------------------------------------------------------------------ */

static void fact(FILE *to, const char *name, const char *value)
{
	if (!*value)
		return;
	fprintf(to, "<div><dt>%s</dt><dd>", name);
	check_report_escape(to, value);
	fputs("</dd></div>\n", to);
}

static void head(FILE *to, const struct check_report *report)
{
	fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
	      "'unsafe-inline'\">\n"
	      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>vmig check: ",
	      to);
	check_report_escape(to, report->device);
	fprintf(to, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<header>\n<h1>", check_html_css);
	check_report_escape(to, report->device);
	fputs("</h1>\n<dl class=\"facts\">\n", to);
	fact(to, "restored into", report->second);
	fact(to, "offers", check_report_features(report));
	fact(to, "by vmig", vmig_version());
	fact(to, "on", report->kernel);
	fact(to, "at", report->when);
	fact(to, "also dangerous checks", report->dangerous ? "yes" : "no");
	fputs("</dl>\n", to);
}

static void count(FILE *to, enum check_verdict verdict, uint32_t n)
{
	fprintf(to, "<li%s><b class=\"%s\">%u</b>%s</li>", n ? "" : " class=\"zero\"",
		check_html_class(verdict), n, check_verdict_name(verdict));
}

static void summary(FILE *to, const struct check_report *report)
{
	static const enum check_verdict order[] = { CHECK_FAIL,        CHECK_HANG, CHECK_ERROR,
						    CHECK_OBSERVATION, CHECK_PASS, CHECK_NOT_APPLICABLE,
						    CHECK_SKIPPED };
	const uint32_t *n = report->counts;
	uint32_t bad = n[CHECK_FAIL] + n[CHECK_HANG] + n[CHECK_ERROR];

	fprintf(to, "<div class=\"verdict %s\" id=\"summary\">", bad ? "fail" : "pass");
	if (bad)
		fprintf(to, "Does not conform<span>%u of %zu checks found that it breaks a rule%s.</span>",
			bad, check_report_n_checks(), n[CHECK_ERROR] ? ", or could not be done" : "");
	else
		fprintf(to,
			"Conforms<span>Nothing failed. Of %zu checks %u passed, %u found something that the "
			"text leaves open; "
			"the others do not apply, or were not allowed.</span>",
			check_report_n_checks(), n[CHECK_PASS], n[CHECK_OBSERVATION]);
	fputs("</div>\n<ul class=\"counts\">", to);
	for (size_t i = 0; i < TOOL_ARRAY_SIZE(order); i++)
		count(to, order[i], n[order[i]]);
	fputs("</ul>\n</header>\n", to);
}

/* --- what has changed ---------------------------------------------------------------------------- */

static void changed_rows(FILE *to, const struct check_report *report, enum check_change change)
{
	for (size_t i = 0; check_table[i].id; i++) {
		const struct check_then *then = &report->baseline->checks[i];

		if (then->change != change)
			continue;
		fprintf(to, "<li><a class=\"id\" href=\"#check-%s\">%s</a> ", check_table[i].id,
			check_table[i].id);
		check_html_verdict(to, report->results[i].verdict);
		check_html_then(to, then);
		fputs("</li>\n", to);
	}
}

static void gone(FILE *to, const struct check_baseline *b)
{
	if (!b->n_gone)
		return;
	fprintf(to, "<h3>gone: %u in the earlier report only</h3>\n<ul class=\"changed-list\">\n", b->n_gone);
	for (size_t i = 0; i < b->n_was; i++) {
		const struct check_was *was = &b->was[i];

		if (!was->gone)
			continue;
		fprintf(to, "<li>%s <span class=\"id\">", was->clause ? "clause" : "check");
		check_report_escape(to, was->id);
		fprintf(to, "</span> <span class=\"was %s\">was %s</span></li>\n",
			check_html_class(was->verdict), check_verdict_name(was->verdict));
	}
	fputs("</ul>\n", to);
}

static void changes(FILE *to, const struct check_report *report)
{
	static const enum check_change order[] = { CHECK_NEW_FAILURE, CHECK_MENDED, CHECK_CHANGED,
						   CHECK_ADDED };
	const struct check_baseline *b = report->baseline;

	if (!b)
		return;
	fputs("<section id=\"changes\">\n<h2>Since the earlier report</h2>\n<p class=\"quiet\">That was of ",
	      to);
	check_report_escape(to, b->device);
	fputs(", by vmig ", to);
	check_report_escape(to, b->vmig);
	fputs(" on ", to);
	check_report_escape(to, b->kernel);
	fputs(", at ", to);
	check_report_escape(to, b->when);
	fprintf(to, ". %u checks have the same verdict as then.</p>\n", b->n[CHECK_SAME]);
	for (size_t i = 0; i < TOOL_ARRAY_SIZE(order); i++) {
		if (!b->n[order[i]])
			continue;
		fprintf(to, "<h3>%s: %u</h3>\n<ul class=\"changed-list\">\n", check_change_name(order[i]),
			b->n[order[i]]);
		changed_rows(to, report, order[i]);
		fputs("</ul>\n", to);
	}
	gone(to, b);
	fputs("</section>\n", to);
}

/* --- what was found ------------------------------------------------------------------------------ */

static void cite(FILE *to, const char *id)
{
	for (const struct check_clause *clause = check_clauses; clause->id; clause++) {
		if (strcmp(clause->id, id) != 0)
			continue;
		fputs("<blockquote>", to);
		check_report_escape(to, clause->text);
		fputs("<cite>", to);
		check_report_escape(to, clause->level);
		fputs("; ", to);
		check_report_escape(to, clause->source);
		fprintf(to, "; <a href=\"#clause-%s\">%s</a></cite></blockquote>\n", id, id);
	}
}

/* One broken arc is met by many checks. */
static bool same_finding(const struct check_result *a, const struct check_result *b)
{
	return a->verdict == b->verdict && !strcmp(a->saw, b->saw) && !strcmp(a->expected, b->expected);
}

static bool told_before(const struct check_report *report, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (same_finding(&report->results[i], &report->results[j]))
			return true;
	return false;
}

static void others(FILE *to, const struct check_report *report, size_t i)
{
	uint32_t n = 0;

	for (size_t j = i + 1; check_table[j].id; j++)
		if (same_finding(&report->results[i], &report->results[j]))
			fprintf(to, "%s<a class=\"id\" href=\"#check-%s\">%s</a>",
				n++ ? ", " : "<p class=\"others\">The same was seen by ", check_table[j].id,
				check_table[j].id);
	if (n)
		fputs("</p>\n", to);
}

static void finding(FILE *to, const struct check_report *report, size_t i)
{
	const struct check *check = &check_table[i];
	const struct check_result *result = &report->results[i];

	fprintf(to, "<article class=\"finding %s\">\n<h3>", check_html_class(result->verdict));
	check_html_verdict(to, result->verdict);
	fprintf(to, " <a class=\"id\" href=\"#check-%s\">%s</a>", check->id, check->id);
	check_html_then(to, check_report_then(report, i));
	fputs("</h3>\n", to);
	check_html_saw(to, result);
	for (int j = 0; j < CHECK_CLAUSES_MAX && check->clauses[j]; j++)
		cite(to, check->clauses[j]);
	others(to, report, i);
	fputs("</article>\n", to);
}

static void findings_of(FILE *to, const struct check_report *report, bool bad)
{
	for (size_t i = 0; check_table[i].id; i++)
		if (!told_before(report, i) && (bad ? check_report_is_bad(report->results[i].verdict)
						    : report->results[i].verdict == CHECK_OBSERVATION))
			finding(to, report, i);
}

static void findings(FILE *to, const struct check_report *report)
{
	fputs("<section id=\"findings\">\n<h2>What was found</h2>\n", to);
	if (check_report_conforms(report))
		fputs("<p>Nothing that breaks a rule.</p>\n", to);
	if (report->counts[CHECK_OBSERVATION])
		fputs("<p class=\"quiet\">An observation is what the text leaves open or only advises, and a "
		      "user may "
		      "want to know. It is no failure.</p>\n",
		      to);
	findings_of(to, report, true);
	findings_of(to, report, false);
	fputs("</section>\n", to);
}

/* --- all of it ----------------------------------------------------------------------------------- */

/* What is shown below: by radio buttons, and rules of the style. */
static void filter(FILE *to, bool has_baseline)
{
	static const char *const names[][2] = {
		{ "apply", "that apply" }, { "all", "all" },     { "bad", "failed" },
		{ "obs", "observations" }, { "pass", "passed" }, { "na", "not applicable, skipped" },
		{ "new", "changed" }
	};
	size_t n = TOOL_ARRAY_SIZE(names) - !has_baseline;

	for (size_t i = 0; i < n; i++)
		fprintf(to,
			"<input type=\"radio\" class=\"show\" name=\"show\" id=\"show-%s\"%s "
			"aria-label=\"show %s\">",
			names[i][0], i ? "" : " checked", names[i][1]);
	fputs("\n<div class=\"filter\"><span class=\"quiet\">Clauses and checks below:</span>", to);
	for (size_t i = 0; i < n; i++)
		fprintf(to, "<label for=\"show-%s\">%s</label>", names[i][0], names[i][1]);
	fputs("</div>\n", to);
}

static void page(FILE *to, const struct check_report *report)
{
	head(to, report);
	summary(to, report);
	fputs("<main>\n", to);
	changes(to, report);
	findings(to, report);
	check_html_states(to, report);
	check_html_timings(to, report);
	filter(to, report->baseline);
	check_html_clauses(to, report);
	check_html_checks(to, report);
	check_html_unchecked(to);
	fputs("</main>\n<footer>Made by <code>vmig check --html</code>. Each check ran in a process of its "
	      "own, on a device "
	      "that it opened. docs/conformance.md of vmig says what the verdicts "
	      "mean.</footer>\n</body>\n</html>\n",
	      to);
}

int check_report_html(const struct check_report *report, const char *path)
{
	FILE *to = fopen(path, "we");
	bool bad;

	if (!to)
		return tool_fail(VMIG_BAD_INPUT, "%s: cannot be written: %s", path, strerror(errno));
	page(to, report);
	bad = ferror(to);
	if (fclose(to) || bad)
		return tool_fail(VMIG_BAD_INPUT, "%s: cannot be written: %s", path, strerror(errno));
	return 0;
}
