/* SPDX-License-Identifier: BSD-3-Clause */
/* What a migration would be like: asked of the simulator, about devices that are looked at, or of which nothing but a size is known. */
#include <errno.h>
#include <string.h>

#include <vmig/plan.h>

#include "plan.h"
#include "report.h"

#define ALL_FLAGS (VMIG_MIGRATION_STOP_COPY | VMIG_MIGRATION_P2P | VMIG_MIGRATION_PRE_COPY)

static int no_devices(const struct tool_options *o, struct vmig_plan_device *ret)
{
	if (!o->plan.state)
		return tool_fail(VMIG_BAD_INPUT,
				 "neither a DEVICE nor a size is given: 'vmig plan --state 1G "
				 "--dirty-rate 100M/s --bandwidth 1G/s'");
	*ret = (struct vmig_plan_device){ .migration_flags = ALL_FLAGS, .initial_bytes = o->plan.state };
	return 0;
}

/* What was said counts, not what was seen. */
static void override(const struct tool_options *o, struct vmig_plan_device *d)
{
	if (o->plan.state)
		d->initial_bytes = o->plan.state;
	if (o->plan.dirty_rate)
		d->dirty_rate = o->plan.dirty_rate;
	if (o->plan.changing)
		d->changing_bytes = o->plan.changing;
	if (o->plan.final)
		d->final_bytes = o->plan.final;
	if (o->no_precopy)
		d->migration_flags &= ~(uint64_t)VMIG_MIGRATION_PRE_COPY;
}

static int look_at_all(const struct tool_options *o, struct vmig_plan_device *devices, uint32_t *ret_n)
{
	int r = 0;

	if (o->n_words > VMIG_PLAN_DEVICES_MAX)
		return tool_fail(VMIG_BAD_INPUT, "%d devices are too many: at most %d are planned as one",
				 o->n_words, VMIG_PLAN_DEVICES_MAX);
	*ret_n = o->n_words ? (uint32_t)o->n_words : 1;
	for (uint32_t i = 0; !r && i < *ret_n; i++) {
		r = o->n_words ? tool_plan_look(o->words[i], o, &devices[i]) : no_devices(o, &devices[i]);
		if (!r)
			override(o, &devices[i]);
	}
	return r;
}

/* --- the answer ---------------------------------------------------------------------------- */

static uint64_t sum(const struct vmig_plan_question *q, bool rates)
{
	uint64_t all = 0;

	for (uint32_t i = 0; i < q->n; i++)
		all += rates ? q->devices[i].dirty_rate
			     : q->devices[i].initial_bytes + q->devices[i].final_bytes;
	return all;
}

static void print(const struct vmig_plan_question *q, const struct vmig_plan_answer *a)
{
	char x[TOOL_TEXT_MAX], y[TOOL_TEXT_MAX], z[TOOL_TEXT_MAX];
	FILE *to = tool_out();

	fprintf(to, "%-10s %u host%s, each %u device%s of %s in all, changing %s/s; %s/s\n", "plan", a->hosts,
		a->hosts == 1 ? "" : "s", q->n, q->n == 1 ? "" : "s", tool_text_size(sum(q, false), x),
		tool_text_size(sum(q, true), y), tool_text_size(q->bandwidth, z));
	fprintf(to, "%-10s %s", "time", tool_text_time(a->total_ns, x));
	if (a->hosts > 1)
		fprintf(to, ", half of the hosts in %s", tool_text_time(a->median_ns, x));
	fprintf(to, "\n%-10s %u\n%-10s %s\n", "rounds", a->rounds, "bytes", tool_text_size(a->bytes, x));
	fprintf(to, "%-10s %s", "downtime", tool_text_time(a->downtime_ns, x));
	if (a->hosts > 1)
		fprintf(to, ", of half of the hosts no more than %s",
			tool_text_time(a->downtime_median_ns, x));
	fprintf(to, "\n%-10s %s of it\n", "record", tool_text_time(a->owner_ns, x));
	fprintf(to, "%-10s %s%s\n", "converges", *a->words ? "no: " : "yes", a->words);
}

static void emit(const struct vmig_plan_question *q, const struct vmig_plan_answer *a, int status)
{
	tool_emit("VMIG_PLAN",
		  json_pack("{s:i, s:i, s:I, s:I, s:f, s:f, s:i, s:f, s:f, s:f, s:I, s:b, s:i, s:s}", "hosts",
			    (int)a->hosts, "done", (int)a->done, "state", (json_int_t)sum(q, false),
			    "dirty-rate", (json_int_t)sum(q, true), "total-time", (double)a->total_ns / 1e6,
			    "median-time", (double)a->median_ns / 1e6, "passes", (int)a->rounds, "downtime",
			    (double)a->downtime_ns / 1e6, "median-downtime",
			    (double)a->downtime_median_ns / 1e6, "record-time", (double)a->owner_ns / 1e6,
			    "transferred", (json_int_t)a->bytes, "converges", !*a->words, "exit-status",
			    status, "reason", a->words));
}

static int run(const struct tool_options *o)
{
	struct vmig_plan_device devices[VMIG_PLAN_DEVICES_MAX];
	struct vmig_plan_question q = { .devices = devices,
					.hosts = (uint32_t)o->plan.hosts,
					.bandwidth = o->bandwidth,
					.shared_bandwidth = o->plan.shared_bandwidth,
					.latency_ns = o->plan.latency_ns,
					.transition_ns = o->plan.transition_ns,
					.owner_ns = o->plan.owner_ns,
					.owner_rate = o->plan.owner_rate,
					.downtime_ns = o->downtime_ns,
					.max_time_ns = o->max_time_ns,
					.max_rounds = (uint32_t)o->max_rounds };
	struct vmig_plan_answer a;
	int r, converge = tool_no_converge(o->on_no_converge);

	if (converge < 0)
		return VMIG_BAD_INPUT;
	if (!o->bandwidth)
		return tool_fail(VMIG_BAD_INPUT,
				 "--bandwidth is missing: what a host's link carries, as 1G/s");
	if (q.hosts > VMIG_PLAN_HOSTS_MAX)
		return tool_fail(VMIG_BAD_INPUT, "--hosts: %u are too many: at most %d", q.hosts,
				 VMIG_PLAN_HOSTS_MAX);
	q.on_no_converge = (enum vmig_no_converge)converge;
	r = look_at_all(o, devices, &q.n);
	if (r)
		return r;
	r = vmig_plan(&q, &a);
	if (r == -EINVAL)
		return tool_fail(VMIG_BAD_INPUT, "the sizes or rates are too large to be true");
	if (r)
		return tool_fail(VMIG_NOT_DONE, "no plan: %s", strerror(-r));
	r = a.outcome || *a.words ? VMIG_NOT_DONE : VMIG_DONE;
	if (!tool_say_json() && !tool_say_quiet())
		print(&q, &a);
	emit(&q, &a, r);
	return r;
}

const struct tool_verb tool_plan = {
	.name = "plan",
	.words = "[DEVICE...]",
	.about = "how long a migration will take and be down, and whether it converges",
	.more = "Asks the devices for their sizes, and reads from them for a while to see how fast they "
		"change; they run on. "
		"Or give --state and --dirty-rate instead. The answer is the engine's own, in a simulation; "
		"the exit status is 1 "
		"if it does not converge.",
	.example = "vmig plan --state 1G --dirty-rate 100M/s --bandwidth 1G/s --latency 100us --hosts 100",
	.options = TOOL_OPT_JSON | TOOL_OPT_QUIET | TOOL_OPT_TIMEOUT | TOOL_OPT_SOURCE | TOOL_OPT_PLAN,
	.min_words = 0,
	.run = run,
};
