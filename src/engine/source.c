/* SPDX-License-Identifier: BSD-3-Clause */
/* The source's half of the stages. Each function gets VMIG_EV_ENTER first, then the events while its stage is in hand. */
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "engine/stages.h"

/* "A few ms": how soon a drained device is looked at again. */
#define ASK_NS (5 * NS_PER_MS)
/* How much is read at a stretch of a device that does not say how much it has. */
#define BLIND_BUDGET (1ull << 30)
/* How long the destination may take to write into the record that it runs. */
#define FREE_NS (2 * NS_PER_S)

/* --- hello --- */

static bool all_migrate(struct vmig_core *core)
{
	for (uint32_t i = 0; i < core->n; i++)
		if (!(core->devices[i].info.migration_flags & VMIG_MIGRATION_STOP_COPY))
			vmig_core_device_reason(core, i, -EOPNOTSUPP, "cannot be migrated",
						"it has no migration (no STOP_COPY)");
	return !core->result.code;
}

static void say_hello(struct vmig_core *core)
{
	vmig_core_send(core, VMIG_RECORD_HELLO, VMIG_RECORD_ALL);
	vmig_plan_asked(core);
}

static void hello_begin(struct vmig_core *core)
{
	if (!all_migrate(core)) {
		vmig_core_fail(core, VMIG_NOT_DONE);
		return;
	}
	/* Where there is a record, it says what the hello says. */
	if (!core->config.owned)
		say_hello(core);
	vmig_own_find(core);
}

/* Do both ends mean the same record? */
static bool agreed(struct vmig_core *core)
{
	if (!core->own.on)
		return true;
	if (!(core->peer.flags & VMIG_HELLO_OWNED))
		vmig_core_reason(
			core, -EOPNOTSUPP,
			"the destination has no ownership record: give both ends the same --owner, or both "
			"'--owner none'");
	else if (!vmig_uuid_equal(&core->peer.store, &core->own.store))
		vmig_core_reason(
			core, -EXDEV,
			"the ownership record of the destination is another one: give both ends the same "
			"--owner (between machines 'etcd:URL'), or both '--owner none'");
	else if (!strcmp(core->peer.name, core->own.me))
		vmig_core_reason(core, -EEXIST, "both ends have the same name, %s: name one with --as",
				 core->own.me);
	if (core->result.code)
		return false;
	memcpy(core->own.peer, core->peer.name, sizeof(core->own.peer));
	return true;
}

/* 2: durable before any message of the attempt. */
static void open_attempt(struct vmig_core *core)
{
	vmig_own_unit(core);
	if (core->n > core->own.unit_max) {
		vmig_core_reason(core, -E2BIG, "%u devices: the record takes at most %u at once", core->n,
				 core->own.unit_max);
		vmig_core_fail(core, VMIG_NOT_DONE);
		return;
	}
	core->own.at = VMIG_OWN_OPENING;
	if (vmig_own_swap(core, VMIG_OWNER_DO_OPEN))
		return;
	vmig_core_reason(core, -EPERM,
			 "the record does not let this end open an attempt: see 'vmig owner show'");
	vmig_core_fail(core, VMIG_NOT_DONE);
}

/* Unknown: this attempt is never used, and the source just runs on. */
static void opened(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (ev->owner == VMIG_OWNER_LOST)
		vmig_core_reason(core, -EAGAIN,
				 "another attempt was begun at the same time: the record has changed");
	else if (ev->owner != VMIG_OWNER_WON)
		vmig_own_reason(core, "the attempt cannot be opened in the record");
	if (core->result.code) {
		vmig_core_fail(core, VMIG_NOT_DONE);
		return;
	}
	core->own.at = VMIG_OWN_TAGGING;
	for (uint32_t i = 0; i < core->n; i++) {
		struct vmig_core_device *dev = &core->devices[i];

		if (dev->tagged && dev->in_unit && !vmig_uuid_equal(&dev->tag.identity, &dev->identity))
			vmig_core_tag(core, i, &dev->identity);
	}
}

/* The devices run here and are known; the other end may have to be waited for. */
static void hello_goes_on(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (core->own.at == VMIG_OWN_FOUND) {
		core->own.at = VMIG_OWN_SAID;
		if (core->config.owned)
			say_hello(core);
	}
	if (core->own.at == VMIG_OWN_SAID && (core->config.one_way || core->peer.n_devices)) {
		if (!agreed(core))
			vmig_core_fail(core, VMIG_NOT_DONE);
		else if (core->own.on)
			open_attempt(core);
		else
			vmig_core_enter(core, VMIG_STAGE_OFFER);
		return;
	}
	if (core->own.at == VMIG_OWN_OPENING && ev->kind == VMIG_EV_OWNER)
		opened(core, ev);
	if (core->phase == VMIG_PHASE_GO && core->own.at == VMIG_OWN_TAGGING && vmig_core_idle(core))
		vmig_core_enter(core, VMIG_STAGE_OFFER);
}

void vmig_source_hello(struct vmig_core *core, const struct vmig_core_event *ev)
{
	struct vmig_cursor c = vmig_cursor_over(ev->payload, ev->payload_len);

	if (ev->kind == VMIG_EV_ENTER) {
		hello_begin(core);
		return;
	}
	if (ev->kind == VMIG_EV_RECORD &&
	    (ev->type != VMIG_RECORD_HELLO || core->peer.n_devices || vmig_hello_get(&c, &core->peer))) {
		vmig_core_unexpected(core, ev);
		return;
	}
	if (ev->kind == VMIG_EV_RECORD)
		vmig_plan_answered(core);
	if (ev->kind == VMIG_EV_JOB && ev->job == VMIG_JOB_RESET && !core->config.resolve)
		vmig_core_warn(
			core,
			"a device was found in a state that only a reset leads out of; what it held is lost");
	if (!vmig_own_found(core, ev))
		return;
	if (core->config.resolve)
		vmig_core_finish(core, VMIG_DONE);
	else
		hello_goes_on(core, ev);
}

/* --- offer --- */

static uint32_t n_devices(const struct vmig_core *core)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < core->n; i++)
		n += !vmig_is_memory(&core->devices[i]);
	return n;
}

/* While such a one stops in one step, another may still do DMA to it; on paper there is nothing to stop. */
static bool p2p_fits(struct vmig_core *core)
{
	bool all = true;

	for (uint32_t i = 0; n_devices(core) > 1 && !core->config.paper && i < core->n; i++) {
		if (vmig_has_p2p(&core->devices[i]) || vmig_is_memory(&core->devices[i]))
			continue;
		all = false;
		if (!core->config.allow_no_p2p)
			vmig_core_device_reason(
				core, i, -EOPNOTSUPP, "has no P2P and is not alone",
				"it stops in one step, while another may still do DMA to it; move it "
				"alone, or, if none of them does that, with --allow-no-p2p");
	}
	if (!all && core->config.allow_no_p2p)
		vmig_core_warn(
			core,
			"a device without P2P stops in one step: no other device may do DMA to it meanwhile");
	return all || core->config.allow_no_p2p;
}

static void send_offers(struct vmig_core *core)
{
	core->step = 1;
	for (uint32_t i = 0; core->own.on && i < core->n; i++)
		if (core->devices[i].in_unit)
			vmig_core_send(core, VMIG_RECORD_CLAIM, i);
	for (uint32_t i = 0; i < core->n; i++)
		vmig_core_send(core, VMIG_RECORD_OFFER, i);
	if (core->config.one_way)
		vmig_core_enter(core, VMIG_STAGE_PRECOPY);
}

/* A driver that tells its version only at the head of its stream was in PRE_COPY for that: it must be back. */
static bool described(struct vmig_core *core, const struct vmig_core_event *ev)
{
	struct vmig_core_device *dev = &core->devices[ev->device];

	dev->stop_copy_size = ev->size;
	dev->descriptor = ev->descriptor;
	dev->descriptor_len = ev->descriptor_len;
	dev->opaque = ev->opaque;
	dev->opaque_len = ev->opaque_len;
	if (!ev->code)
		return true;
	vmig_core_device_reason(core, ev->device, ev->code, "does not come back from telling its version",
				ev->text);
	vmig_core_fail(core, VMIG_NOT_DONE);
	return false;
}

void vmig_source_offer(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (ev->kind == VMIG_EV_ENTER) {
		for (uint32_t i = 0; i < core->n; i++)
			vmig_core_job(core, i, VMIG_JOB_DESCRIBE);
	} else if (ev->kind == VMIG_EV_JOB) {
		if (!described(core, ev))
			return;
	} else if (ev->kind == VMIG_EV_RECORD) {
		if (ev->type == VMIG_RECORD_ACCEPT && core->step == 1 && core->config.probe)
			vmig_core_finish(core, VMIG_DONE);
		else if (ev->type == VMIG_RECORD_ACCEPT && core->step == 1)
			vmig_core_enter(core, VMIG_STAGE_PRECOPY);
		else
			vmig_core_unexpected(core, ev);
		return;
	}
	if (core->step || !vmig_core_idle(core))
		return;
	if (p2p_fits(core))
		send_offers(core);
	else
		vmig_core_fail(core, VMIG_NOT_DONE);
}

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

/* --- verify --- */

/* A live save: all that was wanted of the devices is in the channel, so they run again before it is made durable. */
static void run_on(struct vmig_core *core)
{
	if (!vmig_core_return(core))
		return;
	if (!vmig_core_all_run(core)) {
		vmig_core_fail(core, VMIG_NOT_DONE);
		return;
	}
	vmig_core_end_downtime(core);
	vmig_core_push(core, VMIG_ACT_RESUME, 0);
	core->quiesced = false;
	vmig_core_enter(core, VMIG_STAGE_COMMIT);
}

void vmig_source_verify(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (core->config.keep_source)
		run_on(core);
	else if (core->config.one_way || (ev->kind == VMIG_EV_RECORD && ev->type == VMIG_RECORD_READY))
		vmig_core_enter(core, VMIG_STAGE_COMMIT);
	else if (ev->kind == VMIG_EV_RECORD)
		vmig_core_unexpected(core, ev);
}

/* --- commit --- */

/* 8: from here on this end runs the devices only by a raise of its own. */
static void promise(struct vmig_core *core)
{
	vmig_core_send(core, VMIG_RECORD_PROMISE, VMIG_RECORD_ALL);
	if (core->config.one_way) {
		vmig_core_push(core, VMIG_ACT_CHANNEL_COMMIT, 0);
		return;
	}
	core->promised = true;
	/* The destination may be a while at the record; it says that it lives, but not for ever. */
	if (core->own.on)
		core->own.again_ns = core->now + 2 * core->config.timeout_ns;
}

/* Where there is a record this is a hint only: the record tells when the copy here is needed no more. */
static void committed(struct vmig_core *core, const struct vmig_core_event *ev)
{
	struct vmig_cursor c = vmig_cursor_over(ev->payload, ev->payload_len);
	uint64_t ns;

	core->promised = true;
	core->committed = true;
	core->own.again_ns = 0;
	if (core->own.on) {
		vmig_committed_get(&c, &ns);
		core->result.owner_ns += MIN(ns, core->now - core->stage_ns);
	}
	vmig_core_enter(core, VMIG_STAGE_RUN);
}

void vmig_source_commit(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (ev->kind == VMIG_EV_ENTER) {
		promise(core);
	} else if (ev->kind == VMIG_EV_USER && ev->code) {
		vmig_core_reason(core, ev->code, "%s", ev->text);
		vmig_core_fail(core, VMIG_NOT_DONE);
	} else if (ev->kind == VMIG_EV_USER ||
		   (ev->kind == VMIG_EV_RECORD && ev->type == VMIG_RECORD_COMMITTED)) {
		committed(core, ev);
	} else if (ev->kind == VMIG_EV_RECORD) {
		vmig_core_unexpected(core, ev);
	} else if (ev->kind == VMIG_EV_TICK && vmig_own_due(core)) {
		vmig_core_reason(core, -ETIMEDOUT, "the destination has the promise and does not commit");
		vmig_core_fail(core, VMIG_NOT_DONE);
	}
}

/* --- run --- */

/* It runs elsewhere: what this end still holds is given up. That may fail without harm. */
static void release(struct vmig_core *core)
{
	core->step = 1;
	if (!core->config.one_way)
		vmig_core_end_downtime(core);
	for (uint32_t i = 0; i < core->n; i++)
		if (core->devices[i].state == VMIG_STATE_STOP_COPY)
			vmig_core_walk(core, i, VMIG_STATE_STOP, VMIG_STATE_NONE);
	if (!core->own.on || core->own.arrived)
		return;
	vmig_own_patience(core, FREE_NS);
	vmig_own_read(core);
}

/* 11: the copy is free when the record says that the device runs. True: it does, of all; or this end is the owner: doubt. */
static bool runs_there(const struct vmig_core *core, bool *ret_mine)
{
	bool all = true;

	for (uint32_t i = 0; i < core->n; i++) {
		const struct vmig_ownership *r = &core->devices[i].record;

		if (!core->devices[i].in_unit)
			continue;
		*ret_mine |= !strcmp(r->owner, core->own.me);
		all &= r->phase && r->phase != VMIG_OWNER_TAKEN;
	}
	return all;
}

static void look_up(struct vmig_core *core, const struct vmig_core_event *ev)
{
	bool mine = false, records = ev->owner == VMIG_OWNER_RECORDS,
	     there = records && runs_there(core, &mine);

	if (mine) {
		vmig_core_reason(core, -EPROTO,
				 "the destination says that it runs, and the record says that it must not");
		vmig_core_fail(core, VMIG_NOT_DONE);
	} else if (there || !vmig_own_again(core)) {
		core->own.arrived = true;
		if (!there)
			vmig_core_warn(core,
				       "the record does not say yet that the devices run at the destination: "
				       "keep the source's until it does");
	}
}

static void run_record(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (ev->type == VMIG_RECORD_RUNNING && !core->step)
		release(core);
	else if (!core->own.on || !core->step)
		vmig_core_unexpected(core, ev);
}

void vmig_source_run(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (ev->kind == VMIG_EV_ENTER && (core->config.one_way || core->own.arrived))
		release(core);
	else if (ev->kind == VMIG_EV_RECORD)
		run_record(core, ev);
	else if (ev->kind == VMIG_EV_JOB && ev->code)
		vmig_core_warn(
			core,
			"a device of the source could not be brought to STOP; it runs at the destination");
	else if (ev->kind == VMIG_EV_OWNER)
		look_up(core, ev);
	else if (ev->kind == VMIG_EV_TICK && vmig_own_due(core))
		vmig_own_read(core);
	if (core->phase == VMIG_PHASE_GO && core->step && vmig_core_idle(core) &&
	    (core->own.arrived || !core->own.on))
		vmig_core_finish(core, VMIG_DONE);
}

/* --- doubt --- */

/* 12, won: nobody else can run them any more. */
static void raised(struct vmig_core *core)
{
	core->promised = false;
	core->committed = false;
	core->result.outcome = VMIG_NOT_DONE;
	vmig_core_roll_back(core);
}

/* The answer was lost, and the record has it: they run there. */
static void arrived(struct vmig_core *core)
{
	vmig_core_unreason(core);
	core->result.outcome = VMIG_DONE;
	core->own.arrived = true;
	core->phase = VMIG_PHASE_GO;
	vmig_core_warn(
		core, "the destination was not heard to the end; by the record the devices are its, and run");
	vmig_core_enter(core, VMIG_STAGE_RUN);
}

static void kept(struct vmig_core *core)
{
	/* Who has given up, and says so, will not write any more. */
	if (!core->told && vmig_own_again(core))
		return;
	vmig_core_reason(core, -EINPROGRESS,
			 "by the record the devices are %s's, which has not written that it runs them; the "
			 "copy here is "
			 "kept",
			 core->own.peer);
	vmig_core_finish(core, VMIG_IN_DOUBT);
}

static void undecided(struct vmig_core *core, enum vmig_settled settled)
{
	if (settled == VMIG_SETTLE_AWAY)
		vmig_own_reason(core, "the ownership record cannot be asked");
	else
		vmig_core_reason(core, -EBUSY, "the ownership record does not decide: see 'vmig owner show'");
	vmig_core_finish(core, VMIG_IN_DOUBT);
}

/*
 * Whose state is here, still complete? A source whose device has gone keeps its promise: what it raised would be lost, while the
 * destination may have it whole.
 */
static bool looked_again(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (!ev) {
		vmig_own_patience(core, core->own.impatient ? 0 : core->config.timeout_ns);
		for (uint32_t i = 0; i < core->n; i++)
			if (core->devices[i].in_unit && !core->devices[i].job)
				vmig_core_job(core, i, VMIG_JOB_QUERY_STATE);
	}
	return vmig_core_idle(core);
}

static void gone(struct vmig_core *core)
{
	if (vmig_own_again(core))
		return;
	vmig_core_reason(core, -EIO,
			 "a device here has gone with its state, and the destination has the promise: it may "
			 "take over, nobody else can");
	vmig_core_finish(core, VMIG_IN_DOUBT);
}

void vmig_source_doubt(struct vmig_core *core, const struct vmig_core_event *ev)
{
	enum vmig_settled settled;

	if (!looked_again(core, ev))
		return;
	if (ev && ev->kind == VMIG_EV_JOB)
		ev = NULL;
	/* What was asked before has to be answered first. */
	if (!ev && core->own.ask)
		return;
	settled = vmig_own_settle(core, ev, true);
	switch (settled) {
	case VMIG_SETTLE_PENDING:
		break;
	case VMIG_SETTLE_RUN:
		raised(core);
		break;
	case VMIG_SETTLE_DISCARD:
		arrived(core);
		break;
	case VMIG_SETTLE_KEEP:
		kept(core);
		break;
	case VMIG_SETTLE_LOST:
		gone(core);
		break;
	case VMIG_SETTLE_WON:
	case VMIG_SETTLE_GIVEN:
	case VMIG_SETTLE_ABSENT:
	case VMIG_SETTLE_DOUBT:
	case VMIG_SETTLE_AWAY:
		undecided(core, settled);
		break;
	}
}

/* --- rollback --- */

enum { CLOSING = 1000 };

/* The devices run again, so that nobody waits: the attempt is closed in the record too, once. If that fails it is dead all the same. */
static bool close_attempt(struct vmig_core *core, bool all)
{
	if (!core->own.opened || !all)
		return false;
	core->own.at = CLOSING;
	return vmig_own_swap(core, VMIG_OWNER_RAISE);
}

static bool back(struct vmig_core *core)
{
	bool all;

	if (!vmig_core_return(core))
		return false;
	all = vmig_core_all_run(core);
	if (core->quiesced && all) {
		vmig_core_push(core, VMIG_ACT_RESUME, 0);
		core->quiesced = false;
	}
	vmig_core_end_downtime(core);
	/* Only now: the devices' way back must not wait for a peer that does not read. */
	if (!core->told)
		vmig_core_send(core, VMIG_RECORD_ABORT, VMIG_RECORD_ALL);
	if (!all)
		core->result.outcome = VMIG_SOURCE_LOST;
	return true;
}

void vmig_source_rollback(struct vmig_core *core, const struct vmig_core_event *ev)
{
	bool owner = ev && ev->kind == VMIG_EV_OWNER;

	if (!ev) {
		core->step = VMIG_BACK_QUERY;
		core->own.again_ns = 0;
		core->own.at = 0;
	}
	if (core->own.at == CLOSING) {
		if (owner)
			vmig_core_finish(core, core->result.outcome);
		return;
	}
	/* An attempt that is just being opened: closed when that is answered. */
	if (core->own.ask || !back(core))
		return;
	if (!close_attempt(core, core->result.outcome != VMIG_SOURCE_LOST))
		vmig_core_finish(core, core->result.outcome);
}
