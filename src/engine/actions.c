/* SPDX-License-Identifier: BSD-3-Clause */
/* What the core's stages do: actions, jobs, records, reasons, and the way back to RUNNING. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "engine/stages.h"

static struct vmig_core_action *push(struct vmig_core *core, enum vmig_core_action_kind kind, uint32_t device)
{
	struct vmig_core_action *a;

	/* Each event makes a few actions a device at most, and the driver takes all before the next event. */
	if (core->used == VMIG_CORE_ACTIONS)
		return &core->actions[(core->first + core->used - 1) % VMIG_CORE_ACTIONS];
	/* An empty ring begins anew, so that little of it is ever touched. */
	core->first = core->used ? core->first : 0;
	a = &core->actions[(core->first + core->used++) % VMIG_CORE_ACTIONS];
	memset(a, 0, sizeof(*a));
	a->kind = kind;
	a->device = device;
	return a;
}

static void fill_event(const struct vmig_core *core, uint32_t device, struct vmig_migrate_event *e)
{
	e->kind = VMIG_EVENT_STAGE;
	e->stage = core->stage;
	e->device = device;
	e->round = core->result.rounds;
	e->time_ns = core->now - core->start_ns;
	e->bytes = core->bytes;
	e->remaining = core->plan.remaining;
	e->bandwidth = core->plan.bandwidth;
	e->dirty_rate = core->plan.dirty_rate;
	e->expected_downtime_ns = core->plan.expected_ns;
}

void vmig_core_push(struct vmig_core *core, enum vmig_core_action_kind kind, uint32_t device)
{
	struct vmig_core_action *a = push(core, kind, device);

	if (kind == VMIG_ACT_EVENT)
		fill_event(core, device, &a->event);
}

void vmig_core_warn(struct vmig_core *core, const char *text)
{
	struct vmig_core_action *a = push(core, VMIG_ACT_EVENT, 0);

	fill_event(core, 0, &a->event);
	a->event.kind = VMIG_EVENT_WARNING;
	a->event.text = text;
}

bool vmig_core_next(struct vmig_core *core, struct vmig_core_action *ret)
{
	if (!core->used)
		return false;
	*ret = core->actions[core->first];
	core->first = (core->first + 1) % VMIG_CORE_ACTIONS;
	core->used--;
	return true;
}

void vmig_core_send(struct vmig_core *core, enum vmig_record_type type, uint32_t device)
{
	if (core->lost || (core->config.one_way && !core->config.source))
		return;
	core->last_word = !core->config.one_way && (type == VMIG_RECORD_ABORT || type == VMIG_RECORD_REFUSE ||
						    type == VMIG_RECORD_RUNNING);
	push(core, VMIG_ACT_SEND, device)->type = type;
}

static struct vmig_core_action *job(struct vmig_core *core, uint32_t device, enum vmig_job kind)
{
	struct vmig_core_device *dev = &core->devices[device];
	struct vmig_core_action *a = push(core, VMIG_ACT_JOB, device);

	dev->job = kind;
	dev->job_ns = core->now;
	dev->job_length = dev->length;
	dev->ask_ns = 0;
	a->job = kind;
	return a;
}

void vmig_core_job(struct vmig_core *core, uint32_t device, enum vmig_job kind)
{
	job(core, device, kind);
}

void vmig_core_pump(struct vmig_core *core, uint32_t device, uint64_t budget)
{
	vmig_plan_pump_began(core);
	job(core, device, VMIG_JOB_PUMP)->budget = budget;
}

void vmig_core_walk(struct vmig_core *core, uint32_t device, uint32_t target, uint32_t recover)
{
	struct vmig_core_action *a = job(core, device, VMIG_JOB_STATE);

	a->target = target;
	a->recover = recover;
	core->devices[device].target = target;
	core->devices[device].moved = true;
}

void vmig_core_tag(struct vmig_core *core, uint32_t device, const struct vmig_uuid *identity)
{
	struct vmig_core_action *a = job(core, device, VMIG_JOB_TAG);

	a->tag.identity = *identity;
	a->tag.attempt = core->own.attempt;
}

bool vmig_core_idle(const struct vmig_core *core)
{
	for (uint32_t i = 0; i < core->n; i++)
		if (core->devices[i].job)
			return false;
	return true;
}

bool vmig_core_pumping(const struct vmig_core *core)
{
	for (uint32_t i = 0; i < core->n; i++)
		if (core->devices[i].job == VMIG_JOB_PUMP)
			return true;
	return false;
}

void vmig_core_stop_pumps(struct vmig_core *core)
{
	for (uint32_t i = 0; i < core->n; i++) {
		core->devices[i].ask_ns = 0;
		if (core->devices[i].job == VMIG_JOB_PUMP)
			push(core, VMIG_ACT_PUMP_STOP, i);
	}
}

/* --- records --- */

void vmig_core_fin(const struct vmig_core *core, struct vmig_fin *ret)
{
	*ret = (struct vmig_fin){ .n_devices = core->n };
	for (uint32_t i = 0; i < core->n; i++) {
		ret->length += core->devices[i].length;
		ret->chain = vmig_digest_chain(ret->chain, core->devices[i].length, core->devices[i].chain);
	}
}

static void put_hello(const struct vmig_core *core, struct vmig_cursor *c)
{
	struct vmig_hello m = { .n_devices = core->n, .max_data = VMIG_LIMIT_RECORD_DATA };

	if (core->config.source ? core->own.on
				: core->config.owned && (core->peer.flags & VMIG_HELLO_OWNED)) {
		m.flags |= VMIG_HELLO_OWNED;
		m.store = core->own.store;
		memcpy(m.name, core->own.me, sizeof(m.name));
	}

	if (core->config.source && core->config.keep_source)
		m.flags |= VMIG_HELLO_COPY;
	if (core->config.source && core->config.probe)
		m.flags |= VMIG_HELLO_PROBE;
	/* The destination grants what it was asked for, or less. */
	m.flags |= (core->config.source ? MIN(MAX(core->config.connections, 1), VMIG_LIMIT_CONNECTIONS)
					: vmig_core_connections(core))
		   << VMIG_HELLO_CONNECTIONS_SHIFT;
	vmig_hello_put(c, &m);
}

static void put_device(const struct vmig_core *core, const struct vmig_core_action *action,
		       struct vmig_cursor *c)
{
	const struct vmig_core_device *dev = &core->devices[action->device];
	struct vmig_device_end end = { .length = dev->length, .chain = dev->chain };
	struct vmig_offer offer;

	if (action->type == VMIG_RECORD_DEVICE_END) {
		vmig_device_end_put(c, &end);
		return;
	}
	vmig_offer_of(core, dev, &offer);
	vmig_offer_put(c, &offer);
}

void vmig_core_payload(const struct vmig_core *core, const struct vmig_core_action *action,
		       struct vmig_cursor *c)
{
	const struct vmig_migrate_result *r = &core->result;
	struct vmig_abort reason = { .code = (uint32_t)r->code, .text = r->reason };
	struct vmig_fin fin;

	switch (action->type) {
	case VMIG_RECORD_HELLO:
		put_hello(core, c);
		break;
	case VMIG_RECORD_OFFER:
	case VMIG_RECORD_DEVICE_END:
		put_device(core, action, c);
		break;
	case VMIG_RECORD_CLAIM:
		vmig_claim_put(c, &core->devices[action->device].record);
		break;
	case VMIG_RECORD_COMMITTED:
		vmig_committed_put(c, core->result.owner_ns);
		break;
	case VMIG_RECORD_INITIAL:
		vmig_number_put(c, core->plan.initial_asked);
		break;
	case VMIG_RECORD_INITIAL_LOADED:
		vmig_number_put(c, core->plan.initial_acked);
		break;
	case VMIG_RECORD_PROGRESS:
		vmig_number_put(c, core->bytes);
		break;
	case VMIG_RECORD_FIN:
		vmig_core_fin(core, &fin);
		vmig_fin_put(c, &fin);
		break;
	case VMIG_RECORD_REFUSE:
	case VMIG_RECORD_ABORT:
		reason.text_len = (uint32_t)strnlen(r->reason, VMIG_REASON_MAX);
		vmig_abort_put(c, &reason);
		break;
	}
}

/* --- reasons --- */

void vmig_core_reason(struct vmig_core *core, int code, const char *format, ...)
{
	struct vmig_migrate_result *r = &core->result;
	size_t have = strlen(r->reason);
	va_list ap;

	if (!r->code)
		r->code = -code;
	if (have && have < sizeof(r->reason) - 1)
		r->reason[have++] = '\n';
	va_start(ap, format);
	vsnprintf(r->reason + have, sizeof(r->reason) - have, format, ap);
	va_end(ap);
}

void vmig_core_unreason(struct vmig_core *core)
{
	core->result.code = 0;
	core->result.reason[0] = '\0';
}

void vmig_core_device_reason(struct vmig_core *core, uint32_t device, int code, const char *what,
			     const char *text)
{
	const char *why = text && *text ? text : strerror(-code);

	vmig_core_reason(core, code, "device %u (%s) %s: %s", device, core->devices[device].info.name, what,
			 why);
}

/* --- the way back --- */

/*
 * A destination that is found in STOP stays there: it may be the source of an earlier migration, whose device runs
 * elsewhere by now.
 */
static bool stays_stopped(const struct vmig_core *core, uint32_t state)
{
	return state == VMIG_STATE_STOP && !core->config.source && !core->own.mine;
}

/* Has one that was to be in its P2P state not got there? Then none may do DMA to it. */
static bool one_is_stopped(const struct vmig_core *core)
{
	for (uint32_t i = 0; i < core->n; i++) {
		const struct vmig_core_device *dev = &core->devices[i];
		bool stopped = dev->state == VMIG_STATE_STOP || dev->state == VMIG_STATE_STOP_COPY;

		if (dev->moved && vmig_has_p2p(dev) && stopped && !stays_stopped(core, dev->state))
			return true;
	}
	return false;
}

static void back(struct vmig_core *core, uint32_t i, uint32_t step)
{
	struct vmig_core_device *dev = &core->devices[i];
	uint32_t state = dev->state;

	if (step > VMIG_BACK_STOP && stays_stopped(core, state))
		return;
	if (step == VMIG_BACK_QUERY && state == VMIG_STATE_NONE)
		vmig_core_job(core, i, VMIG_JOB_QUERY_STATE);
	/* Only before anything was begun: what such a device held is lost already. */
	if (step == VMIG_BACK_STOP && core->stage == VMIG_STAGE_HELLO && core->phase == VMIG_PHASE_GO &&
	    (state == VMIG_STATE_RESUMING || state == VMIG_STATE_ERROR))
		vmig_core_job(core, i, VMIG_JOB_RESET);
	if (step == VMIG_BACK_STOP && state == VMIG_STATE_STOP_COPY)
		vmig_core_walk(core, i, VMIG_STATE_STOP, VMIG_STATE_NONE);
	if (step == VMIG_BACK_P2P && vmig_has_p2p(dev) &&
	    (state == VMIG_STATE_STOP || state == VMIG_STATE_PRE_COPY_P2P))
		vmig_core_walk(core, i, VMIG_STATE_RUNNING_P2P, VMIG_STATE_NONE);
	if (step == VMIG_BACK_RUN && !(vmig_has_p2p(dev) && one_is_stopped(core)) &&
	    (state == VMIG_STATE_STOP || state == VMIG_STATE_RUNNING_P2P || state == VMIG_STATE_PRE_COPY))
		vmig_core_walk(core, i, VMIG_STATE_RUNNING, VMIG_STATE_NONE);
}

bool vmig_core_return(struct vmig_core *core)
{
	while (core->step < VMIG_BACK_DONE && vmig_core_idle(core)) {
		for (uint32_t i = 0; i < core->n; i++)
			if (core->devices[i].moved)
				back(core, i, core->step);
		core->step++;
	}
	return core->step == VMIG_BACK_DONE && vmig_core_idle(core);
}

bool vmig_core_found(struct vmig_core *core)
{
	if (!vmig_core_return(core))
		return false;
	for (uint32_t i = 0; i < core->n; i++) {
		struct vmig_core_device *dev = &core->devices[i];

		if (!dev->moved)
			continue;
		if (dev->state != VMIG_STATE_RUNNING && !stays_stopped(core, dev->state)) {
			if (!core->config.source)
				vmig_core_all_run(core);
			vmig_core_fail(core, VMIG_NOT_DONE);
			return false;
		}
	}
	for (uint32_t i = 0; i < core->n; i++)
		core->devices[i].moved = false;
	return true;
}

bool vmig_core_all_run(struct vmig_core *core)
{
	bool all = true;

	for (uint32_t i = 0; i < core->n; i++) {
		const struct vmig_core_device *dev = &core->devices[i];
		const char *name = vmig_state_name(dev->state);
		char what[64];

		if (!dev->moved || dev->state == VMIG_STATE_RUNNING)
			continue;
		snprintf(what, sizeof(what), "DOES NOT RUN, it is in %s", name ? name : "an unknown state");
		vmig_core_device_reason(core, i, -EIO, what,
					dev->state == VMIG_STATE_ERROR
						? "only a reset leads out, and its state is lost with it"
						: "try again to bring it back to RUNNING");
		all = false;
	}
	return all;
}
