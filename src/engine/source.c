/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The source's half of the stages, hello and offer. Each function of a stage gets VMIG_EV_ENTER first, then the events while its
 * stage is in hand. What moves the data is in source-copy.c, what gives the devices up or takes them back in source-end.c.
 */
#include <string.h>

#include "base/util.h"
#include "engine/stages.h"

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
