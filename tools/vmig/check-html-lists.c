/* SPDX-License-Identifier: BSD-3-Clause */
/* The page's lists: clauses with their verdicts, checks with what they saw and asked for. */
#include <string.h>

#include "check-html.h"

/* --- clauses ------------------------------------------------------------------------------------- */

static bool cites(const struct check *check, const char *clause)
{
	for (int i = 0; i < CHECK_CLAUSES_MAX && check->clauses[i]; i++)
		if (!strcmp(check->clauses[i], clause))
			return true;
	return false;
}

static void checks_of(FILE *to, const char *clause)
{
	fputs("<td class=\"checks-of\">", to);
	for (const struct check *check = check_table; check->id; check++)
		if (cites(check, clause))
			fprintf(to, "<a class=\"id\" href=\"#check-%s\">%s</a>", check->id, check->id);
	fputs("</td>", to);
}

static void clause_row(FILE *to, const struct check_report *report, size_t i)
{
	const struct check_clause *clause = &check_clauses[i];
	enum check_verdict verdict = check_clause_verdict(clause, report->results);
	const struct check_then *then = report->baseline ? &report->baseline->clauses[i] : NULL;

	fprintf(to, "<tr class=\"row %s%s\" id=\"clause-%s\"><td>", check_html_class(verdict),
		then && then->change != CHECK_SAME ? " changed" : "", clause->id);
	check_html_verdict(to, verdict);
	check_html_then(to, then);
	fprintf(to, "</td><td class=\"id\">%s</td><td>", clause->id);
	check_report_escape(to, clause->text);
	fputs("<small>", to);
	check_report_escape(to, clause->level);
	fputs("; ", to);
	check_report_escape(to, clause->source);
	fputs("</small></td>", to);
	checks_of(to, clause->id);
	fputs("</tr>\n", to);
}

/* The clauses of the text that the one of row @i is of: their verdicts, counted. */
static void count_text(const struct check_report *report, size_t i, uint32_t ret[CHECK_VERDICTS])
{
	for (size_t j = 0; check_clauses[j].id; j++)
		if (check_report_same_text(&check_clauses[i], &check_clauses[j]) &&
		    check_clause_has_check(&check_clauses[j]))
			ret[check_clause_verdict(&check_clauses[j], report->results)]++;
}

static void begin_text(FILE *to, const struct check_report *report, size_t i)
{
	static const enum check_verdict order[] = { CHECK_FAIL,        CHECK_HANG, CHECK_ERROR,
						    CHECK_OBSERVATION, CHECK_PASS, CHECK_NOT_APPLICABLE,
						    CHECK_SKIPPED };
	uint32_t n[CHECK_VERDICTS] = { 0 }, n_apply = 0;

	count_text(report, i, n);
	fprintf(to, "<h3>%.*s <span class=\"was\">", (int)check_report_text_len(&check_clauses[i]),
		check_clauses[i].source);
	for (size_t j = 0, told = 0; j < TOOL_ARRAY_SIZE(order); j++) {
		if (n[order[j]])
			fprintf(to, "%s%u %s", told++ ? ", " : "", n[order[j]], check_verdict_name(order[j]));
		n_apply += order[j] == CHECK_NOT_APPLICABLE || order[j] == CHECK_SKIPPED ? 0 : n[order[j]];
	}
	fprintf(to,
		"</span></h3>\n<table class=\"clauses stack%s\"><thead><tr><th>verdict</th><th>clause</th>"
		"<th>what the text says</th><th>checks</th></tr></thead><tbody>\n",
		n_apply ? "" : " none-apply");
}

void check_html_clauses(FILE *to, const struct check_report *report)
{
	const struct check_clause *last = NULL;

	fputs("<section id=\"clauses\">\n<h2>Clauses</h2>\n"
	      "<p class=\"quiet\">What the texts say, each with the worst that a check of it has "
	      "found.</p>\n",
	      to);
	for (size_t i = 0; check_clauses[i].id; i++) {
		const struct check_clause *clause = &check_clauses[i];

		if (!check_clause_has_check(clause))
			continue;
		if (!last || !check_report_same_text(last, clause)) {
			if (last)
				fputs("</tbody></table>\n", to);
			begin_text(to, report, i);
		}
		clause_row(to, report, i);
		last = clause;
	}
	fputs(last ? "</tbody></table>\n</section>\n" : "</section>\n", to);
}

void check_html_unchecked(FILE *to)
{
	uint32_t n = 0;

	for (size_t i = 0; check_clauses[i].id; i++)
		n += !check_clause_has_check(&check_clauses[i]);
	fprintf(to,
		"<section id=\"unchecked\">\n<h2>Clauses without a check</h2>\n<details "
		"class=\"plain\"><summary>%u, each "
		"with the reason for it</summary>\n<div class=\"in\"><table class=\"clauses "
		"stack\"><thead><tr><th>level</th>"
		"<th>clause</th><th>what the text says</th><th>why there is no "
		"check</th></tr></thead><tbody>\n",
		n);
	for (size_t i = 0; check_clauses[i].id; i++) {
		const struct check_clause *clause = &check_clauses[i];

		if (check_clause_has_check(clause))
			continue;
		fprintf(to, "<tr><td>%s</td><td class=\"id\">%s</td><td>", clause->level, clause->id);
		check_report_escape(to, clause->text);
		fputs("<small>", to);
		check_report_escape(to, clause->source);
		fputs("</small></td><td>", to);
		check_report_escape(to, clause->why);
		fputs("</td></tr>\n", to);
	}
	fputs("</tbody></table></div></details>\n</section>\n", to);
}

/* --- checks -------------------------------------------------------------------------------------- */

static void arc_row(FILE *to, const struct check_arc *arc)
{
	char at[TOOL_TEXT_MAX], took[TOOL_TEXT_MAX], error[TOOL_TEXT_MAX] = "";
	const char *from = check_report_state(arc->from), *then = check_report_state(arc->then);

	if (arc->error)
		check_report_errno(arc->error, error);
	fprintf(to,
		"<tr class=\"%s\"><td>%s &rarr; %s%s%s</td><td>%s%s%s</td><td>%s</td><td class=\"n\">%s</td>"
		"<td class=\"n\">%s</td></tr>\n",
		check_report_came_class(arc->came), from, check_report_state(arc->to),
		arc->reset ? " by a reset" : "", arc->second ? " (the second device)" : "",
		check_came_name(arc->came), *error ? ": " : "", error,
		arc->came == CHECK_CAME_NOT || arc->then == arc->to ? "" : then,
		tool_text_time(arc->ns, took), tool_text_time(arc->at_ns, at));
}

static void evidence(FILE *to, const struct check_result *result)
{
	uint32_t kept = check_arcs_kept(result);

	if (!kept)
		return;
	fprintf(to, "<details class=\"plain\"><summary>asked for %u transition%s", result->n_asked,
		result->n_asked == 1 ? "" : "s");
	if (kept < result->n_asked)
		fprintf(to, "; the first %u and the last are here", kept - 1);
	fputs("</summary>\n<div class=\"in\"><table "
	      "class=\"evidence\"><thead><tr><th>transition</th><th>came</th>"
	      "<th>is in</th><th class=\"n\">took</th><th class=\"n\">at</th></tr></thead><tbody>\n",
	      to);
	for (uint32_t i = 0; i < kept; i++)
		arc_row(to, &result->arcs[i]);
	fputs("</tbody></table></div></details>\n", to);
}

static void check_item(FILE *to, const struct check_report *report, size_t i)
{
	const struct check *check = &check_table[i];
	const struct check_result *result = &report->results[i];
	const struct check_then *then = check_report_then(report, i);
	char time[TOOL_TEXT_MAX];

	fprintf(to, "<details class=\"row %s%s\" id=\"check-%s\"><summary>",
		check_html_class(result->verdict), then && then->change != CHECK_SAME ? " changed" : "",
		check->id);
	fputs("<span>", to);
	check_html_verdict(to, result->verdict);
	check_html_then(to, then);
	fprintf(to, "</span><span class=\"id\">%s</span><span class=\"took\">%s</span><span class=\"about\">",
		check->id, tool_text_time(result->ns, time));
	check_report_escape(to, check->about);
	fputs("</span></summary>\n<div class=\"in\">", to);
	check_html_saw(to, result);
	fputs("<p class=\"quiet\">clauses:", to);
	for (int j = 0; j < CHECK_CLAUSES_MAX && check->clauses[j]; j++)
		fprintf(to, " <a class=\"id\" href=\"#clause-%s\">%s</a>", check->clauses[j],
			check->clauses[j]);
	fputs("</p>\n", to);
	evidence(to, result);
	fputs("</div></details>\n", to);
}

void check_html_checks(FILE *to, const struct check_report *report)
{
	fputs("<section id=\"checks\">\n<h2>Checks</h2>\n<p class=\"quiet\">What each did, saw and expected, "
	      "and every "
	      "transition that it has asked for.</p>\n",
	      to);
	for (size_t i = 0; check_table[i].id; i++)
		check_item(to, report, i);
	fputs("</section>\n", to);
}
