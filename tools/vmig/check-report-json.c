/* SPDX-License-Identifier: BSD-3-Clause */
/* The report as one JSON object: docs/check-report.schema.json. */
#include "check-report.h"

static json_t *state_json(uint32_t state)
{
	const char *name = vmig_state_name(state);

	return name ? json_string(name) : json_null();
}

static json_t *arc_json(const struct check_arc *arc)
{
	char error[TOOL_TEXT_MAX];
	json_t *o = json_pack("{s:o, s:o, s:o, s:s, s:I, s:I}", "from", state_json(arc->from), "to",
			      state_json(arc->to), "then", state_json(arc->then), "came",
			      check_came_name(arc->came), "at-ns", (json_int_t)arc->at_ns, "ns",
			      (json_int_t)arc->ns);

	if (arc->error)
		json_object_set_new(o, "error", json_string(check_report_errno(arc->error, error)));
	if (arc->reset)
		json_object_set_new(o, "reset", json_true());
	if (arc->second)
		json_object_set_new(o, "second", json_true());
	return o;
}

static json_t *check_json(const struct check *check, const struct check_result *result)
{
	json_t *clauses = json_array(), *arcs = json_array(), *o;

	for (int i = 0; i < CHECK_CLAUSES_MAX && check->clauses[i]; i++)
		json_array_append_new(clauses, json_string(check->clauses[i]));
	for (uint32_t i = 0; i < check_arcs_kept(result); i++)
		json_array_append_new(arcs, arc_json(&result->arcs[i]));
	o = json_pack("{s:s, s:s, s:o, s:s, s:I}", "id", check->id, "about", check->about, "clauses", clauses,
		      "verdict", check_verdict_name(result->verdict), "ns", (json_int_t)result->ns);
	json_object_update_new(o, json_pack("{s:s, s:s, s:s}", "did", result->did, "saw", result->saw,
					    "expected", result->expected));
	json_object_set_new(o, "asked", json_integer(result->n_asked));
	json_object_set_new(o, "transitions", arcs);
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

static json_t *sum_json(const struct check_arc_sum *sum)
{
	json_t *o = json_pack("{s:o, s:o, s:b}", "from", state_json(sum->from), "to", state_json(sum->to),
			      "reset", sum->reset);

	for (int i = 0; i < CHECK_CAMES; i++)
		json_object_set_new(o, check_came_name(i), json_integer(sum->n[i]));
	if (sum->n[CHECK_CAME_OK])
		json_object_update_new(o, json_pack("{s:I, s:I, s:I}", "min-ns", (json_int_t)sum->min_ns,
						    "median-ns", (json_int_t)sum->median_ns, "max-ns",
						    (json_int_t)sum->max_ns));
	return o;
}

/* --- since then ---------------------------------------------------------------------------------- */

static void add_then(json_t *to, const char *id, const struct check_then *then, enum check_verdict now)
{
	json_t *o;

	if (then->change == CHECK_SAME)
		return;
	o = json_pack("{s:s, s:s, s:s}", "id", id, "change", check_change_name(then->change), "verdict",
		      check_verdict_name(now));
	if (then->change != CHECK_ADDED)
		json_object_set_new(o, "before", json_string(check_verdict_name(then->before)));
	json_array_append_new(to, o);
}

static json_t *gone_json(const struct check_baseline *b, bool clause)
{
	json_t *gone = json_array();

	for (size_t i = 0; i < b->n_was; i++)
		if (b->was[i].gone && b->was[i].clause == clause)
			json_array_append_new(gone, json_pack("{s:s, s:s}", "id", b->was[i].id, "before",
							      check_verdict_name(b->was[i].verdict)));
	return gone;
}

static json_t *baseline_json(const struct check_report *report)
{
	const struct check_baseline *b = report->baseline;
	json_t *checks = json_array(), *clauses = json_array();

	for (size_t i = 0; check_table[i].id; i++)
		add_then(checks, check_table[i].id, &b->checks[i], report->results[i].verdict);
	for (size_t i = 0; check_clauses[i].id; i++)
		add_then(clauses, check_clauses[i].id, &b->clauses[i],
			 check_clause_verdict(&check_clauses[i], report->results));
	return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o}", "device", b->device, "vmig", b->vmig,
			 "kernel", b->kernel, "time", b->when, "checks", checks, "clauses", clauses,
			 "gone-checks", gone_json(b, false), "gone-clauses", gone_json(b, true));
}

static json_t *features_json(uint64_t features)
{
	static const char *const names[] = { "STOP_COPY", "P2P", "PRE_COPY" };
	json_t *array = json_array();

	for (size_t i = 0; i < TOOL_ARRAY_SIZE(names); i++)
		if (features & 1ull << i)
			json_array_append_new(array, json_string(names[i]));
	return array;
}

static json_t *head_json(const struct check_report *report)
{
	json_t *counts = json_object();
	json_t *o = json_pack("{s:i, s:s, s:s, s:s, s:s, s:b, s:b}", "format", CHECK_REPORT_FORMAT, "vmig",
			      vmig_version(), "kernel", report->kernel, "time", report->when, "device",
			      report->device, "dangerous", report->dangerous, "conforms",
			      check_report_conforms(report));

	if (*report->second)
		json_object_set_new(o, "second", json_string(report->second));
	for (enum check_verdict v = 0; v < CHECK_VERDICTS; v++)
		json_object_set_new(counts, check_verdict_name(v), json_integer(report->counts[v]));
	json_object_set_new(o, "counts", counts);
	json_object_set_new(o, "migration-flags", features_json(report->features));
	return o;
}

void check_report_json(const struct check_report *report)
{
	json_t *checks = json_array(), *clauses = json_array(), *sums = json_array();
	json_t *o = head_json(report);

	for (size_t i = 0; check_table[i].id; i++)
		json_array_append_new(checks, check_json(&check_table[i], &report->results[i]));
	for (size_t i = 0; check_clauses[i].id; i++)
		json_array_append_new(clauses, clause_json(&check_clauses[i], report->results));
	for (uint32_t i = 0; i < report->n_sums; i++)
		json_array_append_new(sums, sum_json(&report->sums[i]));
	json_object_set_new(o, "clauses", clauses);
	json_object_set_new(o, "checks", checks);
	json_object_set_new(o, "transitions", sums);
	if (report->baseline)
		json_object_set_new(o, "baseline", baseline_json(report));
	json_dumpf(o, stdout, JSON_COMPACT);
	printf("\n");
	json_decref(o);
}
