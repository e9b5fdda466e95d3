/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The planner: when is it time to switch over?
 *
 *   remaining = what the devices in PRE_COPY still have, and all of those that have no PRE_COPY
 *   expected downtime = remaining / bandwidth
 *                     + the transitions on both ends
 *                     + FIN to READY and PROMISE to RUNNING, there and back
 *                     + the commit in the ownership record
 *
 * Switch when that fits the limit, and only when the destination has loaded the initial data. Where more rounds do not help
 * (no device has less left than three rounds ago; their number or their time is used up), the option on_no_converge decides.
 * Nothing is throttled: that is the user's business.
 *
 * What has been sent is not there yet: it lies in buffers, on the way. So before the switchover the destination is asked once more
 * whether all is loaded (INITIAL, with a new number), and nothing is sent until it says so, while the devices still run: else they would
 * stand still for it. Its answers tell the way there and back, and what the link really carries.
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
/* Less than this on the way is not worth a question; and who is never through with it is not asked for ever. */
#define BACKLOG_BYTES (256u << 10)
#define BACKLOG_ASKS  3u

static uint64_t rate(uint64_t bytes, uint64_t ns)
{
	return ns ? (uint64_t)((double)bytes * NS_PER_S / (double)ns) : 0;
}

void vmig_plan_pump_began(struct vmig_core *core)
{
	if (!core->plan.burst_ns)
		core->plan.burst_ns = core->now;
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

/* --- the way there and back --- */

void vmig_plan_asked(struct vmig_core *core)
{
	core->plan.asked_ns = core->now;
	core->plan.asked_bytes = core->bytes;
}

/* All that was sent since the last answer has been loaded now. A little would measure the way, not the link. */
static void note_through(struct vmig_core *core)
{
	struct vmig_plan *plan = &core->plan;
	uint64_t bytes = plan->asked_bytes - plan->loaded_bytes, took = core->now - plan->burst_ns, now_rate;

	if (plan->burst_ns && bytes >= BACKLOG_BYTES && took > 2 * plan->rtt_ns) {
		now_rate = rate(bytes, took - plan->rtt_ns);
		plan->through = plan->through ? (plan->through + now_rate) / 2 : now_rate;
	}
	plan->loaded_bytes = plan->asked_bytes;
	plan->burst_ns = 0;
}

void vmig_plan_answered(struct vmig_core *core)
{
	struct vmig_plan *plan = &core->plan;
	uint64_t took = core->now - plan->asked_ns;

	if (!plan->asked_ns)
		return;
	plan->rtt_ns = plan->rtt_ns ? MIN(plan->rtt_ns, took) : took;
	plan->asked_ns = 0;
	note_through(core);
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

	if (counts && left >= dev->left) {
		uint64_t now_rate = rate(left - dev->left, core->now - dev->round_ns);

		dev->dirty_rate = dev->dirty_rate ? (dev->dirty_rate + now_rate) / 2 : now_rate;
	}
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
	plan->sent_bytes = core->bytes;
	vmig_plan_asked(core);
	return true;
}

/* @left is what it was when it was asked, or when its last round ended: it has changed since. */
static double left_now(const struct vmig_core *core, const struct vmig_core_device *dev)
{
	double left = (double)dev->left;

	if (dev->job != VMIG_JOB_PUMP && dev->round_ns)
		left += (double)dev->dirty_rate * (double)(core->now - dev->round_ns) / NS_PER_S;
	return left;
}

static uint64_t bandwidth_of(const struct vmig_core *core)
{
	/* What buffers take at once is no bandwidth: what came through counts, once it is known. */
	uint64_t bandwidth = core->plan.through     ? core->plan.through
			     : core->plan.bandwidth ? core->plan.bandwidth
						    : GUESSED_BANDWIDTH;

	if (core->config.bandwidth)
		bandwidth = MIN(bandwidth, core->config.bandwidth);
	return MAX(bandwidth, 1);
}

static uint64_t clamped(double value)
{
	return value < 9e18 ? (uint64_t)value : INT64_MAX;
}

static void estimate(struct vmig_core *core)
{
	struct vmig_plan *plan = &core->plan;
	double sum = 0;

	for (uint32_t i = 0; i < core->n; i++)
		sum += left_now(core, &core->devices[i]);
	plan->remaining = clamped(sum);
	plan->fixed_ns = ARCS * plan->arc_ns + 2 * plan->rtt_ns + plan->owner_ns;
	plan->expected_ns = clamped(sum / (double)bandwidth_of(core) * NS_PER_S + (double)plan->fixed_ns);
}

/* What no round makes less must not be what keeps it from ever being time. */
static bool fits(const struct vmig_core *core)
{
	uint64_t fixed = MIN(core->plan.fixed_ns, core->config.downtime_ns / 2);

	return core->plan.expected_ns - core->plan.fixed_ns + fixed <= core->config.downtime_ns;
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

/* Is much still on the way? Then it is asked for once more, and waited for. */
static bool asks_again(struct vmig_core *core)
{
	struct vmig_plan *plan = &core->plan;

	if (core->config.one_way || core->bytes < plan->sent_bytes + BACKLOG_BYTES ||
	    plan->backlog_asks == BACKLOG_ASKS)
		return false;
	plan->backlog_asks++;
	plan->initial_number++;
	return true;
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
	if (switches && asks_again(core))
		return VMIG_PLAN_GO_ON;
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
	if (sent && loaded && fits(core))
		return asks_again(core) ? VMIG_PLAN_GO_ON : VMIG_PLAN_SWITCH;
	/* While the initial data are on their way the rounds are no measure. */
	if (why == VMIG_PLAN_FINE || (why != VMIG_PLAN_TIME && !loaded))
		return VMIG_PLAN_GO_ON;
	return despair(core, why, sent && loaded);
}
