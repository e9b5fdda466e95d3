/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The planner: when is it time to switch over?
 *
 *   remaining = what the devices in PRE_COPY still have, and all of those that have no PRE_COPY
 *   expected downtime = remaining / bandwidth + the transitions on both ends
 *
 * Switch when that fits the limit; or when more rounds do not help: their number is used up, or a
 * device changes as fast as it is read, three rounds in a row.
 */
#include "base/clock.h"
#include "base/util.h"
#include "engine/stages.h"

/* A smaller sample measures the start of a transfer, not the bandwidth. */
#define SAMPLE_BYTES      (64u << 10)
#define GUESSED_BANDWIDTH (1ull << 30)
#define WORSE_ROUNDS      3u
/* P2P and STOP_COPY here, STOP, RUNNING_P2P and RUNNING there. */
#define ARCS 5u

static uint64_t rate(uint64_t bytes, uint64_t ns)
{
	return ns ? (uint64_t)((double)bytes * NS_PER_S / (double)ns) : 0;
}

void vmig_plan_pump_began(struct vmig_core *core)
{
	if (vmig_core_pumping(core))
		return;
	core->plan.sample_ns = core->now;
	core->plan.sample_bytes = core->bytes;
}

void vmig_plan_pump_ended(struct vmig_core *core)
{
	struct vmig_plan *plan = &core->plan;
	uint64_t bytes = core->bytes - plan->sample_bytes, now_rate;

	if (bytes < SAMPLE_BYTES)
		return;
	now_rate = rate(bytes, core->now - plan->sample_ns);
	plan->bandwidth = plan->bandwidth ? (plan->bandwidth + now_rate) / 2 : now_rate;
	plan->sample_ns = core->now;
	plan->sample_bytes = core->bytes;
}

static void judge_convergence(struct vmig_core_device *dev)
{
	if (dev->rounds == dev->judged_rounds)
		return;
	if (dev->judged_rounds && dev->left && dev->left >= dev->last_left - dev->last_left / 20)
		dev->worse_rounds++;
	else
		dev->worse_rounds = 0;
	dev->judged_rounds = dev->rounds;
	dev->last_left = dev->left;
}

void vmig_plan_sizes(struct vmig_core *core, struct vmig_core_device *dev, const struct vmig_precopy *sizes)
{
	dev->left = add_fits(sizes->initial_bytes, sizes->dirty_bytes)
			    ? sizes->initial_bytes + sizes->dirty_bytes
			    : UINT64_MAX;
	dev->known = true;
	dev->initial_sent = !sizes->initial_bytes;
	/* New initial data: what the destination has acknowledged no longer counts. */
	if ((sizes->flags & VMIG_PRECOPY_REINIT) && sizes->initial_bytes)
		core->plan.initial_number++;
	if (dev->rounds && dev->round_ns)
		dev->dirty_rate = (dev->dirty_rate + rate(sizes->dirty_bytes, core->now - dev->round_ns)) / 2;
	dev->round_ns = core->now;
	judge_convergence(dev);
	core->plan.dirty_rate = 0;
	for (uint32_t i = 0; i < core->n; i++)
		core->plan.dirty_rate += core->devices[i].dirty_rate;
}

void vmig_plan_round(struct vmig_core *core, struct vmig_core_device *dev)
{
	uint64_t sent = dev->length - dev->job_length;

	dev->left -= MIN(dev->left, sent);
	if (!sent)
		return;
	dev->rounds++;
	core->result.rounds = MAX(core->result.rounds, dev->rounds);
	vmig_core_push(core, VMIG_ACT_EVENT, (uint32_t)(dev - core->devices));
	core->actions[(core->first + core->used - 1) % VMIG_CORE_ACTIONS].event.kind = VMIG_EVENT_ROUND;
}

bool vmig_plan_ask_initial(struct vmig_core *core)
{
	struct vmig_plan *plan = &core->plan;

	if (plan->initial_asked == plan->initial_number)
		return false;
	for (uint32_t i = 0; i < core->n; i++)
		if (vmig_has_precopy(&core->devices[i]) && !core->devices[i].initial_sent)
			return false;
	plan->initial_asked = plan->initial_number;
	return true;
}

static void estimate(struct vmig_core *core)
{
	struct vmig_plan *plan = &core->plan;
	uint64_t bandwidth = plan->bandwidth ? plan->bandwidth : GUESSED_BANDWIDTH;
	uint64_t arcs = MIN(ARCS * plan->arc_ns, core->config.downtime_ns / 2);
	double sum = 0;

	for (uint32_t i = 0; i < core->n; i++)
		sum += (double)core->devices[i].left;
	if (core->config.bandwidth)
		bandwidth = MIN(bandwidth, core->config.bandwidth);
	plan->remaining = sum < 9e18 ? (uint64_t)sum : INT64_MAX;
	sum = sum / (double)bandwidth * NS_PER_S + (double)arcs;
	plan->expected_ns = sum < 9e18 ? (uint64_t)sum : INT64_MAX;
}

bool vmig_plan_switch(struct vmig_core *core)
{
	bool useless = false;

	for (uint32_t i = 0; i < core->n; i++) {
		const struct vmig_core_device *dev = &core->devices[i];

		if (vmig_has_precopy(dev) && (!dev->known || !dev->initial_sent))
			return false;
		if (dev->rounds >= core->config.max_rounds || dev->worse_rounds >= WORSE_ROUNDS)
			useless = true;
	}
	estimate(core);
	if (core->plan.initial_acked != core->plan.initial_number)
		return false;
	if (core->plan.expected_ns <= core->config.downtime_ns)
		return true;
	if (useless)
		vmig_core_warn(core,
			       "pre-copy does not converge: the downtime will be longer than wished for");
	return useless;
}
