/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "channel.h"
#include "device.h"
#include "side.h"
#include "store.h"

#define WORKLOAD_NS 1000000000ull

/* --- Ctrl-C -------------------------------------------------------------------------------- */

static volatile sig_atomic_t begun;
static bool cancel; /* the engine polls it */

static void on_signal(int signal)
{
	static const char said[] = "vmig: cancelled before anything was moved\n";

	if (!begun) {
		if (write(STDERR_FILENO, said, sizeof(said) - 1) < 0)
			_exit(VMIG_NOT_DONE);
		_exit(VMIG_NOT_DONE);
	}
	__atomic_store_n(&cancel, true, __ATOMIC_RELAXED);
}

static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

void tool_cancel_begin(void)
{
	begun = 1;
}

bool tool_cancelled(void)
{
	return __atomic_load_n(&cancel, __ATOMIC_RELAXED);
}

/* --- open ---------------------------------------------------------------------------------- */

/*
 * A user that was killed leaves its device anywhere. A source is brought back to RUNNING from everywhere;
 * a destination that stands in STOP is left there: it may be the stopped source of an earlier migration,
 * whose place is taken, and must not run again before it is loaded anew.
 */
static int put_in_order(const struct tool_side *side, uint32_t i)
{
	struct vmig_device *dev = side->devices[i];
	const char *name = side->names[i];
	bool was_reset = false;
	uint32_t was;
	int r;

	/* Whose state it holds is known: the engine goes by the record. */
	if (side->owner && tool_store_identified(dev))
		return 0;
	r = vmig_device_query_state(dev, &was);
	if (r == -EOPNOTSUPP)
		return tool_fail(VMIG_NOT_DONE,
				 "%s: cannot be migrated: it has no migration; see 'vmig info %s'", name,
				 name);
	if (r)
		return tool_device_fail(VMIG_NOT_DONE, name, dev, r, "its state cannot be asked");
	if (was == VMIG_STATE_RUNNING || (!side->source && was == VMIG_STATE_STOP))
		return 0;
	r = vmig_recover(dev, &was, &was_reset);
	if (r == -EPERM && !side->source)
		return 0;
	if (r == -EPERM)
		return tool_fail(VMIG_NOT_DONE,
				 "%s: is a stopped copy of a device that may run elsewhere by now: 'vmig "
				 "owner resolve "
				 "%s' asks the record",
				 name, name);
	if (r)
		return tool_device_fail(
			side->source ? VMIG_SOURCE_LOST : VMIG_NOT_DONE, name, dev, r,
			"it was left by an earlier user and cannot be brought back to RUNNING");
	if (!tool_say_quiet())
		tool_warn("%s: was left in %s by an earlier user: %s", name,
			  vmig_state_name(was) ? vmig_state_name(was) : "an unknown state",
			  was_reset ? "reset, its content was lost" : "brought back to RUNNING");
	return 0;
}

static int open_all(struct tool_side *side)
{
	int r = 0;

	for (uint32_t i = 0; !r && i < side->n; i++) {
		r = tool_device_take(side->names[i], side->options, &side->devices[i]);
		if (!r)
			r = put_in_order(side, i);
	}
	return r;
}

static int open_record(struct tool_side *side)
{
	const struct tool_options *o = side->options;
	int r;

	if (!o->owned)
		return 0;
	r = tool_store_open(o->owner, 0, &side->owner);
	/* --as and --id are the source's where both ends are here. */
	if (!r)
		r = tool_store_name(side->source || o->n_before_to < 0 ? o->as : NULL, side->names[0],
				    side->source, side->me);
	if (!r && side->source)
		r = tool_store_ids(o->id, side->n, &side->ids);
	return r;
}

/* The record cannot be had: is there a device that has stopped, and waits for its word? */
static bool any_stands_still(struct tool_side *side)
{
	uint32_t state;
	bool any = false;

	for (uint32_t i = 0; i < side->n; i++)
		if (!tool_device_open(side->names[i], side->options->timeout_ns, &side->devices[i]))
			any |= tool_store_identified(side->devices[i]) &&
			       !vmig_device_query_state(side->devices[i], &state) &&
			       (state == VMIG_STATE_STOP || state == VMIG_STATE_STOP_COPY);
	return any;
}

static uint64_t workload_ns(const struct tool_side *side)
{
	return side->options->workload_ns ? side->options->workload_ns : WORKLOAD_NS;
}

int tool_side_warm_up(struct tool_side *side)
{
	int r = 0;

	tool_cancel_begin();
	if (!side->options->workload)
		return 0;
	r = tool_user_start(side->user);
	if (!r)
		tool_user_work(side->user, workload_ns(side));
	return r;
}

int tool_side_open(struct tool_side *side, bool source, char **names, int n,
		   const struct tool_options *options)
{
	int r;

	*side = (struct tool_side){ .options = options, .source = source, .names = names, .n = (uint32_t)n };
	if (tool_no_converge(options->on_no_converge) < 0)
		return VMIG_BAD_INPUT;
	if (n > VMIG_MIGRATE_DEVICES_MAX)
		return tool_fail(VMIG_BAD_INPUT, "%d devices are too many: at most %d move as one", n,
				 VMIG_MIGRATE_DEVICES_MAX);
	side->report = (struct tool_report){ .side = source ? "source" : "destination",
					     .names = (const char *const *)names,
					     .n = side->n,
					     .leads = true,
					     .stage = VMIG_STAGE_NR };
	side->n_moved = side->n;
	side->devices = calloc((size_t)n + 1, sizeof(struct vmig_device *)); /* and memory */
	if (!side->devices)
		return tool_fail(VMIG_NOT_DONE, "out of memory");
	catch_signals();
	r = open_record(side);
	if (r == VMIG_IN_DOUBT && !any_stands_still(side))
		r = VMIG_NOT_DONE;
	if (!r)
		r = open_all(side);
	if (r)
		return r;
	r = tool_user_new(side->devices, side->names, side->n, options->workload, &side->user);
	if (!r && tool_user_memory(side->user)) {
		if (side->n == VMIG_MIGRATE_DEVICES_MAX)
			return tool_fail(VMIG_BAD_INPUT, "%d devices and their memory are too many", n);
		side->devices[n] = tool_user_memory(side->user);
		side->n_moved++;
		side->report.memory = true;
	}
	return r;
}

static void close_devices(struct tool_side *side)
{
	for (uint32_t i = 0; side->devices && i < side->n; i++)
		vmig_device_close(side->devices[i]);
	free(side->devices);
	free(side->ids);
	vmig_owner_close(side->owner);
	*side = (struct tool_side){ 0 };
}

void tool_side_done(struct tool_side *side, struct tool_side *other)
{
	/* The users first: they hold on to the devices of both ends. */
	if (other)
		tool_user_free(other->user);
	tool_user_free(side->user);
	close_devices(side);
	if (other)
		close_devices(other);
}

/* --- run ----------------------------------------------------------------------------------- */

static int one_more(void *opaque, uint32_t timeout_ms, struct vmig_channel **ret)
{
	struct tool_side *side = opaque;

	if (side->listener)
		return vmig_listener_accept(side->listener, timeout_ms, ret);
	return tool_channel_connect(side->address, side->options, ret) ? -ENOTCONN : 0;
}

static struct vmig_migrate_options engine_options(struct tool_side *side)
{
	const struct tool_options *o = side->options;

	return (struct vmig_migrate_options){ .downtime_ns = o->downtime_ns,
					      .bandwidth = o->bandwidth,
					      .max_rounds = (uint32_t)o->max_rounds,
					      .max_time_ns = o->max_time_ns,
					      .on_no_converge = (enum vmig_no_converge)tool_no_converge(
						      o->on_no_converge),
					      .timeout_ns = o->timeout_ns,
					      .no_precopy = o->no_precopy,
					      .keep_source = o->live,
					      .allow_no_p2p = o->allow_no_p2p,
					      .owner = side->owner,
					      .me = side->me,
					      .name_by_server = !o->as,
					      .ids = side->ids,
					      .connections = (uint32_t)o->connections,
					      .more = side->listener || side->address ? one_more : NULL,
					      .more_opaque = side,
					      .event = tool_report_event,
					      .opaque = &side->report,
					      .cancel = side->report.leads ? &cancel : NULL };
}

void tool_side_run(struct tool_side *side, struct vmig_channel *channel)
{
	struct vmig_migrate_options options = engine_options(side);
	struct vmig_migrate_user user;
	int r;

	tool_user_callbacks(side->user, &user);
	tool_user_mark_during(side->user);
	if (side->source)
		r = vmig_migrate_source(side->devices, side->n_moved, channel, &user, &options,
					&side->result);
	else
		r = vmig_migrate_destination(side->devices, side->n_moved, channel, &user, &options,
					     &side->result);
	if (r < 0) { /* nothing has begun */
		side->result.outcome = VMIG_NOT_DONE;
		side->result.code = -r;
	}
}

/* --- the end ------------------------------------------------------------------------------- */

/* Do the devices run here, under this side's user, now? */
static bool runs_here(const struct tool_side *side)
{
	bool done = side->result.outcome == VMIG_DONE;

	if (side->source)
		return done ? side->options->live : side->result.outcome == VMIG_NOT_DONE;
	return done;
}

/*
 * Both ends are here, so what one does not know the other does. The downtime of either is from what it
 * sees; on one clock the longer one is right. The source cannot see how long the other's start took.
 */
static void merge(struct tool_side *side, const struct tool_side *other)
{
	struct vmig_migrate_result *r = &side->result;
	const struct vmig_migrate_result *there = &other->result;

	if (r->outcome == VMIG_IN_DOUBT && there->outcome == VMIG_DONE) {
		r->outcome = VMIG_DONE;
		r->code = 0;
	}
	if (r->outcome == VMIG_DONE && there->outcome != VMIG_DONE) {
		r->outcome =
			VMIG_SOURCE_LOST; /* it was stopped for good, and now the destination does not run */
		r->code = there->code;
		r->stage = there->stage;
		snprintf(r->reason, sizeof(r->reason), "%s", there->reason);
	}
	if (r->outcome == VMIG_DONE) {
		r->owner_ns = there->owner_ns;
		r->owner_total_ns += there->owner_total_ns;
		r->epoch = there->epoch;
	}
	if (r->outcome == VMIG_DONE)
		r->stage_ns[VMIG_STAGE_RUN] = there->stage_ns[VMIG_STAGE_RUN];
	if (r->outcome == VMIG_DONE && there->downtime_ns > r->downtime_ns)
		r->downtime_ns = there->downtime_ns;
	r->resets += there->resets;
}

static const char *detail(const struct tool_side *side, const struct tool_side *other)
{
	const char *text = tool_user_detail(side->user);

	return *text || !other ? text : tool_user_detail(other->user);
}

/* The workload goes on for its time where the devices run now, and is judged there. */
static bool judge(struct tool_side *side, struct tool_side *other, json_t **ret_json)
{
	struct tool_side *where = other && runs_here(other) ? other : side;
	bool run = runs_here(where);

	tool_user_mark_after(where->user);
	if (run)
		tool_user_work(where->user, workload_ns(where));
	return tool_user_verdict(where->user, run, ret_json);
}

int tool_side_finish(struct tool_side *side, struct tool_side *other)
{
	json_t *counts = NULL;
	int status;
	bool whole;

	if (other)
		merge(side, other);
	status = (int)side->result.outcome;
	tool_report_table(&side->report, &side->result);
	whole = judge(side, other, &counts);
	if (status)
		status = tool_report_failure(&side->report, &side->result, detail(side, other));
	else if (!whole)
		status = tool_fail(VMIG_NOT_DONE,
				   "it was moved, but its workload is not whole: see the counts");
	tool_report_result(&side->report, &side->result, status,
			   counts ? json_pack("{s:o}", "workload", counts) : NULL);
	return status;
}
