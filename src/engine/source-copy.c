/* SPDX-License-Identifier: BSD-3-Clause */
/* The source's half of the stages that move the data: precopy, quiesce, switchover. */
#include "base/clock.h"
#include "base/util.h"
#include "engine/stages.h"

/* "A few ms": how soon a drained device is looked at again. */
#define ASK_NS (5 * NS_PER_MS)
/* How much is read at a stretch of a device that does not say how much it has. */
#define BLIND_BUDGET (1ull << 30)

/* --- precopy --- */

static bool asks_sizes(const struct vmig_core_device *dev)
{
	return dev->info.has & VMIG_HAS_PRECOPY_INFO;
}

static uint64_t blind_budget(const struct vmig_core_device *dev)
{
	return dev->stop_copy_size == VMIG_OFFER_SIZE_UNKNOWN || !dev->stop_copy_size ? BLIND_BUDGET
										      : dev->stop_copy_size;
}

static void look_at(struct vmig_core *core, uint32_t i)
{
	if (asks_sizes(&core->devices[i]))
		vmig_core_job(core, i, VMIG_JOB_SIZES);
	else
		vmig_core_pump(core, i, blind_budget(&core->devices[i]));
}

/* True: the stage is over, by a switchover or because it does not converge. */
static bool judge(struct vmig_core *core)
{
	enum vmig_plan_verdict verdict = vmig_plan_judge(core);

	if (verdict == VMIG_PLAN_SWITCH) {
		core->result.expected_downtime_ns = core->plan.expected_ns;
		vmig_core_enter(core, VMIG_STAGE_QUIESCE);
	} else if (verdict == VMIG_PLAN_ABORT) {
		vmig_core_reason(core, -ETIME, "%s", core->plan.words);
		vmig_core_fail(core, VMIG_NOT_DONE);
	}
	return verdict != VMIG_PLAN_GO_ON;
}

static void ask_initial(struct vmig_core *core)
{
	if (!vmig_plan_ask_initial(core))
		return;
	vmig_core_send(core, VMIG_RECORD_INITIAL, VMIG_RECORD_ALL);
	if (core->config.one_way)
		core->plan.initial_acked = core->plan.initial_asked;
}

/* Device @i has nothing under way and @left is fresh: read on, wait a little, or switch over. */
static void consider(struct vmig_core *core, uint32_t i)
{
	struct vmig_core_device *dev = &core->devices[i];

	ask_initial(core);
	if (judge(core))
		return;
	ask_initial(core);
	if (!dev->left || core->plan.initial_asked != core->plan.initial_acked)
		dev->ask_ns = core->now + ASK_NS;
	else
		vmig_core_pump(core, i, asks_sizes(dev) ? dev->left : blind_budget(dev));
}

static void sizes_came(struct vmig_core *core, const struct vmig_core_event *ev)
{
	struct vmig_core_device *dev = &core->devices[ev->device];

	if (ev->code == -EOPNOTSUPP) {
		dev->info.has &= ~VMIG_HAS_PRECOPY_INFO;
		dev->state = VMIG_STATE_PRE_COPY;
		look_at(core, ev->device);
	} else if (ev->code) {
		vmig_core_device_reason(core, ev->device, ev->code, "does not say its sizes", ev->text);
		vmig_core_fail(core, VMIG_NOT_DONE);
	} else {
		vmig_plan_sizes(core, dev, &ev->sizes);
		consider(core, ev->device);
	}
}

static void pump_ended(struct vmig_core *core, const struct vmig_core_event *ev)
{
	struct vmig_core_device *dev = &core->devices[ev->device];

	vmig_plan_pump_ended(core);
	vmig_plan_round(core, dev);
	if (asks_sizes(dev)) {
		look_at(core, ev->device);
		return;
	}
	/* Without a query: ENOMSG says that all of it, the initial data too, has been read. */
	dev->known = true;
	dev->left = ev->pump == VMIG_PUMP_DRAINED ? 0 : blind_budget(dev);
	dev->initial_sent |= ev->pump == VMIG_PUMP_DRAINED;
	consider(core, ev->device);
}

static void precopy_begin(struct vmig_core *core)
{
	core->plan.initial_number = 1;
	for (uint32_t i = 0; i < core->n; i++) {
		struct vmig_core_device *dev = &core->devices[i];

		if (vmig_has_precopy(dev) && !core->config.no_precopy)
			vmig_core_walk(core, i, VMIG_STATE_PRE_COPY, VMIG_STATE_RUNNING);
		else if (dev->stop_copy_size != VMIG_OFFER_SIZE_UNKNOWN)
			dev->left = dev->stop_copy_size;
	}
	if (vmig_core_idle(core))
		vmig_core_enter(core, VMIG_STAGE_QUIESCE);
}

static void precopy_record(struct vmig_core *core, const struct vmig_core_event *ev)
{
	struct vmig_cursor c = vmig_cursor_over(ev->payload, ev->payload_len);
	uint64_t number;

	if (ev->type != VMIG_RECORD_INITIAL_LOADED || vmig_number_get(&c, &number) ||
	    number > core->plan.initial_asked) {
		vmig_core_unexpected(core, ev);
		return;
	}
	core->plan.initial_acked = number;
	vmig_plan_answered(core);
	if (!judge(core))
		ask_initial(core);
}

/* Sizes that are on their way will be judged when they are here. */
static bool asking(const struct vmig_core *core)
{
	for (uint32_t i = 0; i < core->n; i++)
		if (core->devices[i].job == VMIG_JOB_SIZES)
			return true;
	return false;
}

static void ask_again(struct vmig_core *core)
{
	if (vmig_plan_late(core) && !asking(core) && judge(core))
		return;
	for (uint32_t i = 0; i < core->n; i++) {
		struct vmig_core_device *dev = &core->devices[i];

		if (dev->ask_ns && core->now >= dev->ask_ns && !dev->job)
			look_at(core, i);
	}
}

void vmig_source_precopy(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (ev->kind == VMIG_EV_ENTER)
		precopy_begin(core);
	else if (ev->kind == VMIG_EV_RECORD)
		precopy_record(core, ev);
	else if (ev->kind == VMIG_EV_TICK)
		ask_again(core);
	else if (ev->kind == VMIG_EV_JOB && ev->job == VMIG_JOB_STATE)
		look_at(core, ev->device);
	else if (ev->kind == VMIG_EV_JOB && ev->job == VMIG_JOB_SIZES)
		sizes_came(core, ev);
	else if (ev->kind == VMIG_EV_JOB && ev->job == VMIG_JOB_PUMP)
		pump_ended(core, ev);
}

/* --- quiesce --- */

void vmig_source_quiesce(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (ev->kind == VMIG_EV_ENTER) {
		vmig_core_send(core, VMIG_RECORD_PRECOPY_DONE, VMIG_RECORD_ALL);
		vmig_core_stop_pumps(core);
	} else if (ev->kind == VMIG_EV_RECORD && ev->type != VMIG_RECORD_INITIAL_LOADED) {
		vmig_core_unexpected(core, ev);
		return;
	} else if (ev->kind == VMIG_EV_USER && ev->code) {
		vmig_core_reason(core, ev->code, "the user of the devices could not be paused: %s", ev->text);
		vmig_core_fail(core, VMIG_NOT_DONE);
		return;
	} else if (ev->kind == VMIG_EV_USER) {
		core->quiesced = true;
		vmig_core_enter(core, VMIG_STAGE_SWITCHOVER);
		return;
	}
	if (!core->step && vmig_core_idle(core)) {
		core->step = 1;
		vmig_core_push(core, VMIG_ACT_QUIESCE, 0);
	}
}

/* --- switchover --- */

enum { TO_P2P, TO_STOP_COPY, TO_END };

/* Memory is what the others write to: it stops when all of them have. */
static void stop_memory(struct vmig_core *core)
{
	for (uint32_t i = 0; i < core->n; i++)
		if (!vmig_is_memory(&core->devices[i]) && core->devices[i].state != VMIG_STATE_STOP_COPY)
			return;
	for (uint32_t i = 0; i < core->n; i++)
		if (vmig_is_memory(&core->devices[i]) && core->devices[i].state != VMIG_STATE_STOP_COPY &&
		    !core->devices[i].job)
			vmig_core_walk(core, i, VMIG_STATE_STOP_COPY, VMIG_STATE_NONE);
}

static void stop_all(struct vmig_core *core)
{
	core->step = TO_STOP_COPY;
	for (uint32_t i = 0; i < core->n; i++)
		if (!vmig_is_memory(&core->devices[i]))
			vmig_core_walk(core, i, VMIG_STATE_STOP_COPY, VMIG_STATE_NONE);
	stop_memory(core);
}

static void p2p_all(struct vmig_core *core)
{
	core->down_ns = core->now;
	for (uint32_t i = 0; i < core->n; i++) {
		struct vmig_core_device *dev = &core->devices[i];

		if (vmig_has_p2p(dev))
			vmig_core_walk(core, i,
				       dev->state == VMIG_STATE_PRE_COPY ? VMIG_STATE_PRE_COPY_P2P
									 : VMIG_STATE_RUNNING_P2P,
				       VMIG_STATE_NONE);
	}
	if (vmig_core_idle(core))
		stop_all(core);
}

static bool all_in(const struct vmig_core *core, uint32_t state)
{
	for (uint32_t i = 0; i < core->n; i++)
		if (core->devices[i].state != state)
			return false;
	return true;
}

static bool all_ended(const struct vmig_core *core)
{
	for (uint32_t i = 0; i < core->n; i++)
		if (!core->devices[i].ended)
			return false;
	return true;
}

static void next_record(struct vmig_core *core)
{
	if (core->next_record < core->n)
		vmig_core_push(core, VMIG_ACT_SAVE_RECORD, core->next_record);
	else
		core->records_done = true;
}

static void switchover_job(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (ev->job == VMIG_JOB_STATE && core->step == TO_P2P) {
		if (vmig_core_idle(core))
			stop_all(core);
	} else if (ev->job == VMIG_JOB_STATE) {
		/* Each device's data flow as soon as it has stopped; the user's records when all have. */
		vmig_core_pump(core, ev->device, UINT64_MAX);
		stop_memory(core);
		if (all_in(core, VMIG_STATE_STOP_COPY)) {
			core->step = TO_END;
			next_record(core);
		}
	} else if (ev->job == VMIG_JOB_PUMP) {
		vmig_plan_pump_ended(core);
		core->devices[ev->device].left = 0;
		core->devices[ev->device].ended = true;
		vmig_core_send(core, VMIG_RECORD_DEVICE_END, ev->device);
	}
}

void vmig_source_switchover(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (ev->kind == VMIG_EV_ENTER) {
		p2p_all(core);
	} else if (ev->kind == VMIG_EV_JOB) {
		switchover_job(core, ev);
	} else if (ev->kind == VMIG_EV_USER && ev->code) {
		vmig_core_device_reason(core, core->next_record, ev->code,
					"the user's record of it cannot be saved", ev->text);
		vmig_core_fail(core, VMIG_NOT_DONE);
	} else if (ev->kind == VMIG_EV_USER) {
		core->next_record++;
		next_record(core);
	} else if (ev->kind == VMIG_EV_RECORD && ev->type != VMIG_RECORD_INITIAL_LOADED) {
		vmig_core_unexpected(core, ev);
	}
	if (core->phase == VMIG_PHASE_GO && core->stage == VMIG_STAGE_SWITCHOVER && core->records_done &&
	    all_ended(core)) {
		vmig_core_send(core, VMIG_RECORD_FIN, VMIG_RECORD_ALL);
		vmig_core_enter(core, VMIG_STAGE_VERIFY);
	}
}
