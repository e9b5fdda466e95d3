/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The planner: when is it time to switch over?
 *
 *   remaining = what the devices in PRE_COPY still have, and all of those that have no PRE_COPY
 *   expected downtime = remaining / bandwidth + the transitions on both ends
 *
 * Switch when that fits the limit, and only when the destination has loaded the initial data. Where more rounds do not help
 * (no device has less left than three rounds ago; their number or their time is used up), the option on_no_converge decides.
 * Nothing is throttled: that is the user's business.
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

/* What is new since the last pump ended; initial data that are offered anew are no change of the device. */
static void note_dirty_rate(struct vmig_core *core, struct vmig_core_device *dev, uint64_t left,
			    uint32_t flags)
{
	bool counts = dev->rounds && dev->round_ns && !(flags & VMIG_PRECOPY_REINIT);

	if (counts && dev->known && left >= dev->left)
		dev->dirty_rate = (dev->dirty_rate + rate(left - dev->left, core->now - dev->round_ns)) / 2;
	dev->round_ns = core->now;
	core->plan.dirty_rate = 0;
	for (uint32_t i = 0; i < core->n; i++)
		core->plan.dirty_rate += core->devices[i].dirty_rate;
}

void vmig_plan_sizes(struct vmig_core *core, struct vmig_core_device *dev, const struct vmig_precopy *sizes)
{
	uint64_t left = add_fits(sizes->initial_bytes, sizes->dirty_bytes)
				? sizes->initial_bytes + sizes->dirty_bytes
				: UINT64_MAX;

	note_dirty_rate(core, dev, left, sizes->flags);
	dev->left = left;
	dev->known = true;
	dev->initial_sent = !sizes->initial_bytes;
	/* New initial data: what the destination has acknowledged no longer counts. */
	if ((sizes->flags & VMIG_PRECOPY_REINIT) && sizes->initial_bytes)
		core->plan.initial_number++;
	judge_convergence(dev);
}

void vmig_plan_round(struct vmig_core *core, struct vmig_core_device *dev)
{
	uint64_t sent = dev->length - dev->job_length;

	dev->left -= MIN(dev->left, sent);
	if (!sent)
		return;
	/* What changed during the first round has to be asked before anything can be said; later on there is a rate. */
	if (!dev->rounds++)
		dev->known = false;
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

/* While its sizes are being asked, @left does not have what has changed since. */
static double left_now(const struct vmig_core *core, const struct vmig_core_device *dev)
{
	double left = (double)dev->left;

	if (dev->job == VMIG_JOB_SIZES)
		left += (double)dev->dirty_rate * (double)(core->now - dev->round_ns) / NS_PER_S;
	return left;
}

static void estimate(struct vmig_core *core)
{
	struct vmig_plan *plan = &core->plan;
	uint64_t bandwidth = plan->bandwidth ? plan->bandwidth : GUESSED_BANDWIDTH;
	double sum = 0;

	plan->fixed_ns = MIN(ARCS * plan->arc_ns, core->config.downtime_ns / 2);

	for (uint32_t i = 0; i < core->n; i++)
		sum += left_now(core, &core->devices[i]);
	if (core->config.bandwidth)
		bandwidth = MIN(bandwidth, core->config.bandwidth);
	plan->remaining = sum < 9e18 ? (uint64_t)sum : INT64_MAX;
	sum = sum / (double)bandwidth * NS_PER_S + (double)plan->fixed_ns;
	plan->expected_ns = sum < 9e18 ? (uint64_t)sum : INT64_MAX;
}

static bool initial_sent(const struct vmig_core *core)
{
	for (uint32_t i = 0; i < core->n; i++) {
		const struct vmig_core_device *dev = &core->devices[i];

		if (vmig_has_precopy(dev) && (!dev->known || !dev->initial_sent))
			return false;
	}
	return true;
}

/* Would one more round of it leave less? One that has just ended is not judged before its sizes are here. */
static bool improves(const struct vmig_core *core, const struct vmig_core_device *dev)
{
	bool just_read = dev->judged_rounds != dev->rounds && dev->job == VMIG_JOB_SIZES;

	return vmig_has_precopy(dev) && (dev->left || just_read) && dev->worse_rounds < WORSE_ROUNDS &&
	       dev->rounds < core->config.max_rounds;
}

bool vmig_plan_late(const struct vmig_core *core)
{
	return core->config.max_time_ns && core->now >= core->stage_ns + core->config.max_time_ns;
}

/* More rounds are of no use if one device has had all that it may have, and no other becomes less either. */
static enum vmig_plan_why useless(const struct vmig_core *core)
{
	enum vmig_plan_why why = VMIG_PLAN_FINE;

	if (vmig_plan_late(core))
		return VMIG_PLAN_TIME;
	for (uint32_t i = 0; i < core->n; i++) {
		const struct vmig_core_device *dev = &core->devices[i];

		if (improves(core, dev))
			return VMIG_PLAN_FINE;
		if (dev->rounds >= core->config.max_rounds)
			why = VMIG_PLAN_ROUNDS;
		else if (dev->worse_rounds >= WORSE_ROUNDS && why == VMIG_PLAN_FINE)
			why = VMIG_PLAN_STUCK;
	}
	/* Nobody has anything to give before all stand still: what does not fit are devices without PRE_COPY. */
	return why == VMIG_PLAN_FINE ? VMIG_PLAN_STUCK : why;
}

/* Only limits that were given end a wait. */
static bool gives_up(const struct vmig_core *core, enum vmig_plan_why why)
{
	if (core->config.on_no_converge == VMIG_NO_CONVERGE_WAIT)
		return why != VMIG_PLAN_STUCK;
	return core->config.on_no_converge == VMIG_NO_CONVERGE_ABORT;
}

static enum vmig_plan_verdict despair(struct vmig_core *core, enum vmig_plan_why why, bool loaded)
{
	bool aborts = gives_up(core, why), switches = core->config.on_no_converge == VMIG_NO_CONVERGE_SWITCH;

	if (switches && !loaded)
		return VMIG_PLAN_GO_ON;
	if (!core->plan.words[0] || aborts)
		vmig_plan_words(core, why, aborts || !switches);
	if (aborts)
		return VMIG_PLAN_ABORT;
	if (!core->plan.warned)
		vmig_core_warn(core, core->plan.words);
	core->plan.warned = true;
	return switches ? VMIG_PLAN_SWITCH : VMIG_PLAN_GO_ON;
}

enum vmig_plan_verdict vmig_plan_judge(struct vmig_core *core)
{
	bool sent = initial_sent(core), loaded = core->plan.initial_acked == core->plan.initial_number;
	enum vmig_plan_why why = useless(core);

	if (!sent && why != VMIG_PLAN_TIME)
		return VMIG_PLAN_GO_ON;
	estimate(core);
	if (sent && loaded && core->plan.expected_ns <= core->config.downtime_ns)
		return VMIG_PLAN_SWITCH;
	/* While the initial data are on their way the rounds are no measure. */
	if (why == VMIG_PLAN_FINE || (why != VMIG_PLAN_TIME && !loaded))
		return VMIG_PLAN_GO_ON;
	return despair(core, why, sent && loaded);
}
