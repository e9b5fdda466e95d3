/* SPDX-License-Identifier: BSD-3-Clause */
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "report.h"

#define NS_PER_MS 1000000u

const char *tool_text_state(uint32_t state, char buf[TOOL_TEXT_MAX])
{
	const char *name = vmig_state_name(state);

	if (!name) {
		snprintf(buf, TOOL_TEXT_MAX, "%u", state);
		return buf;
	}
	snprintf(buf, TOOL_TEXT_MAX, "%s", name);
	for (char *c = buf; *c; c++)
		*c = *c == '_' ? '-' : (char)tolower((unsigned char)*c);
	/* QEMU writes "stop-copy" and "pre-copy", and so do we by the rule above. */
	return buf;
}

void tool_emit(const char *event, json_t *data)
{
	struct timespec now;
	json_t *line;
	char *text;

	if (!tool_say_json()) {
		json_decref(data);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	line = json_pack("{s:s, s:{s:I, s:I}, s:o}", "event", event, "timestamp", "seconds",
			 (json_int_t)now.tv_sec, "microseconds", (json_int_t)(now.tv_nsec / 1000), "data",
			 data ? data : json_object());
	text = line ? json_dumps(line, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
	if (text)
		fprintf(tool_out(), "%s\n", text); /* one call: stdio's lock keeps the line whole */
	fflush(tool_out());
	free(text);
	json_decref(line);
}

/* QEMU's words for the status of a migration. */
static const char *status_of(enum vmig_stage stage)
{
	switch (stage) {
	case VMIG_STAGE_HELLO:
	case VMIG_STAGE_OFFER:
		return "setup";
	case VMIG_STAGE_PRECOPY:
	case VMIG_STAGE_QUIESCE:
		return "active";
	default:
		return "device";
	}
}

static void emit_stage(struct tool_report *report, enum vmig_stage stage)
{
	bool first = report->stage == VMIG_STAGE_NR;
	const char *old = first ? "none" : status_of(report->stage);

	if (report->leads && strcmp(old, status_of(stage)) != 0)
		tool_emit("MIGRATION", json_pack("{s:s}", "status", status_of(stage)));
	tool_emit("VMIG_STAGE",
		  json_pack("{s:s, s:s}", "stage", vmig_stage_name(stage), "side", report->side));
}

static void emit_state(const struct tool_report *report, const struct vmig_migrate_event *e)
{
	char state[TOOL_TEXT_MAX];

	tool_emit("VFIO_MIGRATION",
		  json_pack("{s:s, s:s, s:s, s:i}", "device-id",
			    e->device < report->n ? report->names[e->device] : "memory", "device-state",
			    tool_text_state(e->state, state), "side", report->side, "index", (int)e->device));
}

static void emit_progress(const struct tool_report *report, const struct vmig_migrate_event *e)
{
	tool_emit("VMIG_PROGRESS",
		  json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:i, s:f, s:f}", "stage",
			    vmig_stage_name(e->stage), "side", report->side, "transferred",
			    (json_int_t)e->bytes, "remaining", (json_int_t)e->remaining, "bandwidth",
			    (json_int_t)e->bandwidth, "dirty-rate", (json_int_t)e->dirty_rate, "pass",
			    (int)e->round, "expected-downtime", (double)e->expected_downtime_ns / NS_PER_MS,
			    "total-time", (double)e->time_ns / NS_PER_MS));
}

static void draw_progress(const struct vmig_migrate_event *e)
{
	char bytes[TOOL_TEXT_MAX], rate[TOOL_TEXT_MAX], dirty[TOOL_TEXT_MAX], down[TOOL_TEXT_MAX];
	char line[256];

	snprintf(line, sizeof(line), "%-10s %s  %s/s  dirty %s/s  round %u  expected downtime %s",
		 vmig_stage_name(e->stage), tool_text_size(e->bytes, bytes),
		 tool_text_size(e->bandwidth, rate), tool_text_size(e->dirty_rate, dirty), e->round,
		 tool_text_time(e->expected_downtime_ns, down));
	tool_progress(line);
}

/* Tests hold a process just where a stage begins: VMIG_HOLD=STAGE[:SIDE] stops it there, until somebody sends SIGCONT. */
static void hold(const struct tool_report *report, enum vmig_stage stage)
{
	static bool held;
	const char *at = getenv("VMIG_HOLD");
	size_t len = at ? strcspn(at, ":") : 0;
	const char *name = vmig_stage_name(stage);

	if (held || !at || strlen(name) != len || strncmp(at, name, len) != 0)
		return;
	if (at[len] && strcmp(at + len + 1, report->side) != 0)
		return;
	/* Once: a source in doubt comes to the same stage again. */
	held = true;
	raise(SIGSTOP);
}

void tool_report_event(const struct vmig_migrate_event *e, void *opaque)
{
	struct tool_report *report = opaque;

	switch (e->kind) {
	case VMIG_EVENT_STAGE:
		emit_stage(report, e->stage);
		report->stage = e->stage;
		hold(report, e->stage);
		break;
	case VMIG_EVENT_STATE:
		emit_state(report, e);
		return;
	case VMIG_EVENT_ROUND:
		if (report->leads)
			tool_emit("MIGRATION_PASS", json_pack("{s:i}", "pass", (int)e->round));
		break;
	case VMIG_EVENT_PROGRESS:
		if (report->leads)
			emit_progress(report, e);
		break;
	case VMIG_EVENT_WARNING:
		if (!tool_say_quiet())
			tool_warn("%s", e->text ? e->text : "?");
		return;
	}
	if (report->leads)
		draw_progress(e);
}

/* --- the end ------------------------------------------------------------------------------- */

static const char *happened(const struct tool_report *report, const struct vmig_migrate_result *r,
			    enum vmig_stage stage, char *buf, size_t room)
{
	bool source = !strcmp(report->side, "source");

	switch (stage) {
	case VMIG_STAGE_HELLO:
		return "versions and limits agreed";
	case VMIG_STAGE_OFFER:
		snprintf(buf, room, "%u device%s accepted%s", report->n, report->n == 1 ? "" : "s",
			 !report->memory  ? ""
			 : report->n == 1 ? ", with its memory"
					  : ", with their memory");
		return buf;
	case VMIG_STAGE_PRECOPY:
		if (!r->rounds)
			return "none";
		snprintf(buf, room, "%u round%s while the source ran", r->rounds, r->rounds == 1 ? "" : "s");
		return buf;
	case VMIG_STAGE_QUIESCE:
		return "the user paused";
	case VMIG_STAGE_SWITCHOVER:
		return "devices stopped, the rest copied";
	case VMIG_STAGE_VERIFY:
		return "lengths and digests are right";
	case VMIG_STAGE_COMMIT:
		return "ownership passed";
	default:
		return source ? "released" : "runs here";
	}
}

static void print_row(const struct tool_report *report, const struct vmig_migrate_result *r,
		      enum vmig_stage stage)
{
	char what[64], bytes[TOOL_TEXT_MAX] = "-", took[TOOL_TEXT_MAX];
	const char *text;

	if (r->code && stage == r->stage)
		text = r->outcome == VMIG_NOT_DONE ? "failed, rolled back" : "failed";
	else
		text = happened(report, r, stage, what, sizeof(what));
	if (r->stage_bytes[stage])
		tool_text_size(r->stage_bytes[stage], bytes);
	fprintf(tool_out(), "%-11s %-34s %10s %10s\n", vmig_stage_name(stage), text, bytes,
		tool_text_time(r->stage_ns[stage], took));
}

/* Whose they are now, and what the record cost: its time within the downtime on a line of its own. */
static void print_record(const struct vmig_migrate_result *r)
{
	char down[TOOL_TEXT_MAX], all[TOOL_TEXT_MAX], what[64];

	if (!r->owned)
		return;
	snprintf(what, sizeof(what), "%s of the downtime, epoch %llu", tool_text_time(r->owner_ns, down),
		 (unsigned long long)r->epoch);
	fprintf(tool_out(), "%-11s %-34s %10s %10s\n", "record", what, "",
		tool_text_time(r->owner_total_ns, all));
}

void tool_report_table(const struct tool_report *report, const struct vmig_migrate_result *r)
{
	char bytes[TOOL_TEXT_MAX], total[TOOL_TEXT_MAX], down[TOOL_TEXT_MAX];

	tool_progress_end();
	if (tool_say_json() || tool_say_quiet())
		return;
	fprintf(tool_out(), "%-11s %-34s %10s %10s\n", "phase", "what happened", "bytes", "time");
	for (int stage = 0; stage < VMIG_STAGE_NR; stage++)
		if (!r->code || stage <= (int)r->stage)
			print_row(report, r, (enum vmig_stage)stage);
	fprintf(tool_out(), "%-11s %u round%s, downtime %s, %u reset%s %*s %10s\n", "total", r->rounds,
		r->rounds == 1 ? "" : "s", tool_text_time(r->downtime_ns, down), r->resets,
		r->resets == 1 ? "" : "s", 0, tool_text_size(r->bytes, bytes),
		tool_text_time(r->total_ns, total));
	print_record(r);
}

static const char *const outcomes[] = { "done", "not-done", "bad-input", "in-doubt", "source-lost" };

static json_t *stages_json(const struct vmig_migrate_result *r)
{
	json_t *array = json_array();

	for (int s = 0; s < VMIG_STAGE_NR; s++)
		if (!r->code || s <= (int)r->stage)
			json_array_append_new(array, json_pack("{s:s, s:I, s:f}", "stage",
							       vmig_stage_name((enum vmig_stage)s),
							       "transferred", (json_int_t)r->stage_bytes[s],
							       "time", (double)r->stage_ns[s] / NS_PER_MS));
	return array;
}

static json_t *owner_json(const struct vmig_migrate_result *r)
{
	char attempt[VMIG_UUID_TEXT_MAX];

	return json_pack("{s:s, s:I, s:f, s:f, s:s?}", "attempt", vmig_uuid_text(&r->attempt, attempt),
			 "epoch", (json_int_t)r->epoch, "downtime", (double)r->owner_ns / NS_PER_MS, "time",
			 (double)r->owner_total_ns / NS_PER_MS, "verdict", r->verdict);
}

void tool_report_result(const struct tool_report *report, const struct vmig_migrate_result *r, int status,
			json_t *more)
{
	const char *word = !r->code ? "completed" : r->code == ECANCELED ? "cancelled" : "failed";
	json_t *data;

	tool_emit("MIGRATION", json_pack("{s:s}", "status", word));
	data = json_pack("{s:s, s:s, s:s, s:i, s:s, s:I, s:i, s:f, s:f, s:i, s:o, s:s}", "status", word,
			 "side", report->side, "outcome",
			 (size_t)r->outcome < TOOL_ARRAY_SIZE(outcomes) ? outcomes[r->outcome] : "?",
			 "exit-status", status, "stage", vmig_stage_name(r->stage), "transferred",
			 (json_int_t)r->bytes, "passes", (int)r->rounds, "total-time",
			 (double)r->total_ns / NS_PER_MS, "downtime", (double)r->downtime_ns / NS_PER_MS,
			 "resets", (int)r->resets, "stages", stages_json(r), "reason", r->reason);
	if (r->expected_downtime_ns && data)
		json_object_set_new(data, "expected-downtime",
				    json_real((double)r->expected_downtime_ns / NS_PER_MS));
	if (r->owned && data)
		json_object_set_new(data, "owner", owner_json(r));
	if (more && data)
		json_object_update(data, more);
	json_decref(more);
	tool_emit("VMIG_RESULT", data);
}

static int say_lost(const struct tool_report *report, const struct vmig_migrate_result *r, const char *why)
{
	char stage[32];

	snprintf(stage, sizeof(stage), "%s", vmig_stage_name(r->stage));
	for (char *c = stage; *c; c++)
		*c = (char)toupper((unsigned char)*c);
	return tool_fail(VMIG_SOURCE_LOST,
			 "LOST AT %s: THE SOURCE DOES NOT RUN, AND NOTHING ARRIVED: %s; RESET THE DEVICE: "
			 "'vmig info --recover %s'",
			 stage, why, report->n ? report->names[0] : "DEVICE");
}

/* In doubt, where a record decides. */
static int say_record(const struct tool_report *report, const struct vmig_migrate_result *r, const char *why)
{
	return tool_fail(VMIG_IN_DOUBT,
			 "in doubt at %s: %s; the devices here stay stopped: when the record can be asked, "
			 "'vmig owner "
			 "resolve %s%s' brings them back if that is allowed",
			 vmig_stage_name(r->stage), why, report->n ? report->names[0] : "DEVICE",
			 report->n > 1 ? " ..." : "");
}

static const char *what_is_here(const struct tool_report *report, const struct vmig_migrate_result *r)
{
	bool other = r->verdict && (!strcmp(r->verdict, "keep") || !strcmp(r->verdict, "discard"));

	if (other && r->stage == VMIG_STAGE_HELLO)
		return "nothing is run here";
	return !strcmp(report->side, "source") ? "the source runs on"
					       : "the device here can be used as before";
}

int tool_report_failure(const struct tool_report *report, const struct vmig_migrate_result *r,
			const char *detail)
{
	const char *stage = vmig_stage_name(r->stage);
	char why[sizeof(r->reason) + 400];

	snprintf(why, sizeof(why), "%s%s%.300s", *r->reason ? r->reason : strerror(r->code),
		 detail && *detail ? ": " : "", detail ? detail : "");
	switch (r->outcome) {
	case VMIG_BAD_INPUT:
		return tool_fail(VMIG_BAD_INPUT, "refused at %s: %s; the device here can be used as before",
				 stage, why);
	case VMIG_IN_DOUBT:
		if (r->owned || r->verdict)
			return say_record(report, r, why);
		return tool_fail(VMIG_IN_DOUBT,
				 "in doubt at %s: %s; the source stays stopped: see whether the other end "
				 "runs, and only "
				 "if it does not: 'vmig info --recover %s'",
				 stage, why, report->n ? report->names[0] : "DEVICE");
	case VMIG_SOURCE_LOST:
		return say_lost(report, r, why);
	default:
		return tool_fail(VMIG_NOT_DONE, "not done, at %s: %s; %s", stage, why,
				 what_is_here(report, r));
	}
}
