/* SPDX-License-Identifier: BSD-3-Clause */
/* The page's picture of the state machine, by what happened on each arc; all pairs of states; how long they took. */
#include "check-html.h"

/* Two columns and four rows, so that it can be read on a narrow page as well; each arc leads to a neighbour. */
#define WIDTH  360
#define BOX_W  116
#define BOX_H  36
#define ROW_H  86
#define ASIDE  9 /* of the two directions between neighbours */
#define MARGIN 6

struct place {
	uint32_t state;
	int column, row;
};

struct graph {
	const struct check_report *report;
	uint64_t features;
	int row[VMIG_STATE_NR], column[VMIG_STATE_NR]; /* -1: it is not there */
	int n_rows;
};

static void lay_out(struct graph *g, const struct check_report *report)
{
	static const uint32_t rows[][2] = { { VMIG_STATE_RUNNING, VMIG_STATE_PRE_COPY },
					    { VMIG_STATE_RUNNING_P2P, VMIG_STATE_PRE_COPY_P2P },
					    { VMIG_STATE_STOP, VMIG_STATE_STOP_COPY },
					    { VMIG_STATE_RESUMING, VMIG_STATE_ERROR } };

	*g = (struct graph){ .report = report, .features = report->features };
	for (size_t i = 0; i < TOOL_ARRAY_SIZE(rows); i++) {
		bool any = false;

		for (int j = 0; j < 2; j++) {
			bool is = vmig_state_supported(g->features, rows[i][j]);

			g->row[rows[i][j]] = is ? g->n_rows : -1;
			g->column[rows[i][j]] = j;
			any |= is;
		}
		g->n_rows += any;
	}
}

static int x_of(const struct graph *g, uint32_t state)
{
	return g->column[state] ? WIDTH - 90 : 90;
}

static int y_of(const struct graph *g, uint32_t state)
{
	return MARGIN + BOX_H / 2 + ROW_H * g->row[state];
}

/* --- what came of an arc ------------------------------------------------------------------------- */

static const struct check_arc_sum *sum_of(const struct check_report *report, uint32_t from, uint32_t to,
					  bool reset)
{
	for (uint32_t i = 0; i < report->n_sums; i++) {
		const struct check_arc_sum *sum = &report->sums[i];

		if (sum->from == from && sum->to == to && sum->reset == reset)
			return sum;
	}
	return NULL;
}

/* The worst of it; "never" if it was not asked for. */
static const char *class_of(const struct check_arc_sum *sum)
{
	static const enum check_came order[] = { CHECK_CAME_NOT, CHECK_CAME_WRONG, CHECK_CAME_OK,
						 CHECK_CAME_REFUSED };

	for (size_t i = 0; sum && i < TOOL_ARRAY_SIZE(order); i++)
		if (sum->n[order[i]])
			return check_report_came_class(order[i]);
	return "never";
}

static bool is_bad(const struct check_arc_sum *sum)
{
	return sum && (sum->n[CHECK_CAME_NOT] || sum->n[CHECK_CAME_WRONG]);
}

static uint32_t n_asked(const struct check_arc_sum *sum)
{
	uint32_t n = 0;

	for (int i = 0; i < CHECK_CAMES; i++)
		n += sum->n[i];
	return n;
}

/* "STOP -> RUNNING: 33 ok, 1 wrong; median 22.8 us" */
static void title(FILE *to, uint32_t from, uint32_t target, const struct check_arc_sum *sum)
{
	char time[TOOL_TEXT_MAX];

	fprintf(to, "%s &rarr; %s%s: ", check_report_state(from), check_report_state(target),
		sum && sum->reset ? " by a reset" : "");
	if (!sum) {
		fputs("never asked for", to);
		return;
	}
	for (int i = 0, n = 0; i < CHECK_CAMES; i++)
		if (sum->n[i])
			fprintf(to, "%s%u %s", n++ ? ", " : "", sum->n[i], check_came_name(i));
	if (sum->n[CHECK_CAME_OK])
		fprintf(to, "; median %s", tool_text_time(sum->median_ns, time));
}

/* What stands beside an arc. */
static const char *label(const struct check_arc_sum *sum, char buf[TOOL_TEXT_MAX])
{
	if (!sum)
		return "";
	if (sum->n[CHECK_CAME_NOT])
		return "no end";
	if (sum->n[CHECK_CAME_WRONG])
		return "wrong";
	return sum->n[CHECK_CAME_OK] ? tool_text_time(sum->median_ns, buf) : "refused";
}

/* --- the picture --------------------------------------------------------------------------------- */

static void markers(FILE *to)
{
	static const char *const names[] = { "ok", "refused", "wrong", "noend", "never" };

	fputs("<defs>", to);
	for (size_t i = 0; i < TOOL_ARRAY_SIZE(names); i++)
		fprintf(to,
			"<marker id=\"to-%s\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" "
			"markerHeight=\"8\" "
			"markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path class=\"%s\" d=\"M0 0 8 4 0 "
			"8z\"/></marker>",
			names[i], names[i]);
	fputs("</defs>\n", to);
}

static void begin_arc(FILE *to, uint32_t from, uint32_t target, const struct check_arc_sum *sum)
{
	fputs("<g><title>", to);
	title(to, from, target, sum);
	fprintf(to, "</title><path class=\"arc %s\" marker-end=\"url(#to-%s)\" d=\"", class_of(sum),
		class_of(sum));
}

static void vertical(FILE *to, const struct graph *g, uint32_t from, uint32_t target,
		     const struct check_arc_sum *sum)
{
	int down = g->row[target] > g->row[from] ? 1 : -1, x = x_of(g, from) - ASIDE * down;
	int a = y_of(g, from) + BOX_H / 2 * down, b = y_of(g, target) - (BOX_H / 2 + 1) * down;
	char buf[TOOL_TEXT_MAX];

	begin_arc(to, from, target, sum);
	fprintf(to, "M%d %dV%d\"/><text class=\"label %s %s\" x=\"%d\" y=\"%d\">%s</text></g>\n", x, a, b,
		down > 0 ? "end" : "start", class_of(sum), x - 7 * down, (a + b) / 2 + 4 + 9 * down,
		label(sum, buf));
}

static void horizontal(FILE *to, const struct graph *g, uint32_t from, uint32_t target,
		       const struct check_arc_sum *sum)
{
	int right = g->column[target] > g->column[from] ? 1 : -1, y = y_of(g, from) - ASIDE * right;
	int a = x_of(g, from) + BOX_W / 2 * right, b = x_of(g, target) - (BOX_W / 2 + 1) * right;
	char buf[TOOL_TEXT_MAX];

	begin_arc(to, from, target, sum);
	fprintf(to, "M%d %dH%d\"/><text class=\"label %s\" x=\"%d\" y=\"%d\">%s</text></g>\n", a, y, b,
		class_of(sum), WIDTH / 2, right > 0 ? y - 6 : y + 15, label(sum, buf));
}

/* Of a way of several arcs: past the boxes in between, or across. */
static void around(FILE *to, const struct graph *g, uint32_t from, uint32_t target,
		   const struct check_arc_sum *sum)
{
	int side = g->column[from] ? 1 : -1, other = g->column[target] ? 1 : -1;
	int ax = x_of(g, from), ay = y_of(g, from), bx = x_of(g, target), by = y_of(g, target);

	begin_arc(to, from, target, sum);
	if (side == other)
		fprintf(to, "M%d %dC%d %d %d %d %d %d", ax + BOX_W / 2 * side, ay, ax + 88 * side, ay,
			bx + 88 * side, by, bx + (BOX_W / 2 + 1) * side, by);
	else
		fprintf(to, "M%d %dL%d %d", ax - BOX_W / 2 * side, ay, bx - (BOX_W / 2 + 1) * other, by);
	fputs("\"/></g>\n", to);
}

static void arc(FILE *to, const struct graph *g, uint32_t from, uint32_t target)
{
	const struct check_arc_sum *sum = sum_of(g->report, from, target, false);
	uint32_t next;
	bool direct = !vmig_state_next(g->features, from, target, &next) && next == target;

	if (from == target || (!direct && !is_bad(sum)))
		return;
	if (direct && g->column[from] == g->column[target])
		vertical(to, g, from, target, sum);
	else if (direct && g->row[from] == g->row[target])
		horizontal(to, g, from, target, sum);
	else
		around(to, g, from, target, sum);
}

static bool is_in(const struct check_arc *arc, uint32_t state)
{
	return !arc->second && (arc->from == state || arc->then == state);
}

static bool entered(const struct check_report *report, uint32_t state)
{
	for (size_t i = 0; check_table[i].id; i++)
		for (uint32_t j = 0; j < check_arcs_kept(&report->results[i]); j++)
			if (is_in(&report->results[i].arcs[j], state))
				return true;
	return false;
}

static void box(FILE *to, const struct graph *g, uint32_t state)
{
	bool in = entered(g->report, state);
	int x = x_of(g, state), y = y_of(g, state);

	fprintf(to,
		"<g><title>%s%s</title><rect class=\"box%s\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" "
		"rx=\"6\"/>"
		"<text%s x=\"%d\" y=\"%d\">%s</text></g>\n",
		check_report_state(state), in ? "" : ": never entered",
		!in                         ? " never"
		: state == VMIG_STATE_ERROR ? " entered"
					    : "",
		x - BOX_W / 2, y - BOX_H / 2, BOX_W, BOX_H, in ? "" : " class=\"never\"", x, y + 5,
		check_report_state(state));
}

#define FOR_EACH_STATE(g, state)                                                                             \
	for (uint32_t state = 0; state < VMIG_STATE_NR; state++)                                             \
		if ((g)->row[state] >= 0)

static void picture(FILE *to, const struct graph *g)
{
	fprintf(to,
		"<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"the state machine, by what happened on "
		"each "
		"arc\">\n",
		WIDTH, 2 * MARGIN + BOX_H + ROW_H * (g->n_rows - 1));
	markers(to);
	FOR_EACH_STATE(g, state)
	box(to, g, state);
	FOR_EACH_STATE(g, from)
	FOR_EACH_STATE(g, target)
	arc(to, g, from, target);
	fputs("</svg>\n<ul class=\"key\"><li><i class=\"ok\"></i>succeeded, median time</li><li><i "
	      "class=\"refused\"></i>"
	      "refused, as it may</li><li><i class=\"wrong\"></i>wrong</li><li><i class=\"noend\"></i>no "
	      "end</li>"
	      "<li><i class=\"never\"></i>never asked for by itself</li></ul>\n",
	      to);
}

/* --- all pairs ----------------------------------------------------------------------------------- */

static void cell(FILE *to, const struct graph *g, uint32_t from, uint32_t target, bool reset)
{
	const struct check_arc_sum *sum = sum_of(g->report, from, target, reset);
	uint32_t next;
	bool way = reset || !vmig_state_next(g->features, from, target, &next);

	fprintf(to, "<td class=\"%s\" title=\"", class_of(sum));
	title(to, from, target, sum);
	if (!sum)
		fprintf(to, "\">%s</td>", way ? "&middot;" : "");
	else
		fprintf(to, "\">%u</td>", n_asked(sum));
}

static void matrix(FILE *to, const struct graph *g)
{
	fputs("<div>\n<table class=\"matrix\"><caption>How often each was asked for, from the state on the "
	      "left to that "
	      "above</caption><thead><tr><th></th>",
	      to);
	FOR_EACH_STATE(g, target)
	if (target != VMIG_STATE_ERROR)
		fprintf(to, "<th><span>%s</span></th>", check_report_state(target));
	fputs("<th><span>a reset</span></th></tr></thead><tbody>\n", to);
	FOR_EACH_STATE(g, from)
	{
		if (from == VMIG_STATE_ERROR && !sum_of(g->report, from, VMIG_STATE_RUNNING, true))
			continue;
		fprintf(to, "<tr><th>%s</th>", check_report_state(from));
		FOR_EACH_STATE(g, target)
		if (target != VMIG_STATE_ERROR)
			cell(to, g, from, target, false);
		cell(to, g, from, VMIG_STATE_RUNNING, true);
		fputs("</tr>\n", to);
	}
	fputs("</tbody></table>\n<p class=\"quiet\">Empty: the text has no such way. A dot: never asked "
	      "for.</p>\n</div>\n",
	      to);
}

void check_html_states(FILE *to, const struct check_report *report)
{
	struct graph g;

	lay_out(&g, report);
	fputs("<section id=\"states\">\n<h2>States</h2>\n<div class=\"states\">\n<div>\n", to);
	picture(to, &g);
	fputs("</div>\n", to);
	matrix(to, &g);
	fputs("</div>\n</section>\n", to);
}

/* --- how long ------------------------------------------------------------------------------------ */

static void number(FILE *to, const char *name, uint32_t n)
{
	if (n)
		fprintf(to, "<td data-l=\"%s\">%u</td>", name, n);
	else
		fprintf(to, "<td class=\"none\" data-l=\"%s\">-</td>", name);
}

static void time_cell(FILE *to, const char *name, const struct check_arc_sum *sum, uint64_t ns)
{
	char time[TOOL_TEXT_MAX];

	fprintf(to, "<td data-l=\"%s\">%s</td>", name,
		sum->n[CHECK_CAME_OK] ? tool_text_time(ns, time) : "-");
}

static void median_then(FILE *to, const struct check_report *report, const struct check_arc_sum *sum)
{
	uint64_t ns = report->baseline ? check_baseline_median(report->baseline, sum) : 0;
	char time[TOOL_TEXT_MAX];

	if (report->baseline)
		fprintf(to, "<td data-l=\"median then\">%s</td>", ns ? tool_text_time(ns, time) : "-");
}

static void timing(FILE *to, const struct check_report *report, const struct check_arc_sum *sum)
{
	static const char *const names[CHECK_CAMES] = { "ok", "refused", "wrong", "no end" };

	fprintf(to, "<tr><td>%s &rarr; %s%s</td>", check_report_state(sum->from), check_report_state(sum->to),
		sum->reset ? " by a reset" : "");
	for (int i = 0; i < CHECK_CAMES; i++)
		number(to, names[i], sum->n[i]);
	time_cell(to, "shortest", sum, sum->min_ns);
	time_cell(to, "median", sum, sum->median_ns);
	time_cell(to, "longest", sum, sum->max_ns);
	median_then(to, report, sum);
	fputs("</tr>\n", to);
}

void check_html_timings(FILE *to, const struct check_report *report)
{
	fputs("<section id=\"timings\">\n<h2>Timings</h2>\n<details class=\"plain\" open><summary>each "
	      "transition that "
	      "the device was asked for, with the times of those that succeeded</summary>\n<div class=\"in\">"
	      "<table class=\"timings "
	      "stack\"><thead><tr><th>transition</th><th>ok</th><th>refused</th><th>wrong</th>"
	      "<th>no end</th><th>shortest</th><th>median</th><th>longest</th>",
	      to);
	fputs(report->baseline ? "<th>median then</th></tr></thead><tbody>\n" : "</tr></thead><tbody>\n", to);
	for (uint32_t i = 0; i < report->n_sums; i++)
		timing(to, report, &report->sums[i]);
	fputs("</tbody></table></div></details>\n</section>\n", to);
}
