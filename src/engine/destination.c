/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The destination's half of the stages, hello and offer. Over a one-way channel the answers are made all the same, and not sent.
 * What takes the data is in destination-copy.c, what takes the devices over or lets them go in destination-end.c.
 */
#include <string.h>

#include "base/util.h"
#include "engine/stages.h"

void vmig_destination_broken(struct vmig_core *core, const char *what)
{
	vmig_core_reason(core, -EBADMSG, "the stream: %s", what);
	vmig_core_fail(core, VMIG_BAD_INPUT);
}

/* --- hello --- */

/* Whether a record decides is the source's to say, and which one both ends must agree upon. */
static bool agreed(struct vmig_core *core, const struct vmig_core_event *ev)
{
	bool owned = core->peer.flags & VMIG_HELLO_OWNED;

	core->own.on = owned && core->config.owned;
	for (uint32_t i = 0; i < core->n; i++)
		core->devices[i].in_unit = false;
	if (ev->attempt)
		memcpy(core->own.attempt.bytes, ev->attempt, sizeof(core->own.attempt.bytes));
	if (!core->own.on)
		return true;
	if (!vmig_uuid_equal(&core->peer.store, &core->own.store))
		vmig_core_reason(
			core, -EXDEV,
			"the ownership record of the source is another one: give both ends the same --owner "
			"(between machines 'etcd:URL'), or both '--owner none'");
	else if (!strcmp(core->peer.name, core->own.me))
		vmig_core_reason(core, -EEXIST, "both ends have the same name, %s: name one with --as",
				 core->own.me);
	if (core->result.code)
		return false;
	memcpy(core->own.peer, core->peer.name, sizeof(core->own.peer));
	return true;
}

static void hello(struct vmig_core *core, const struct vmig_core_event *ev)
{
	struct vmig_cursor c = vmig_event_payload(ev);

	if (ev->type != VMIG_RECORD_HELLO) {
		vmig_core_unexpected(core, ev);
	} else if (vmig_hello_get(&c, &core->peer)) {
		vmig_destination_broken(core, "a HELLO that is too short or out of bounds");
	} else if ((core->peer.flags & VMIG_HELLO_COPY) && !core->config.one_way) {
		vmig_destination_broken(core, "the source means to run on, over a channel where it must not");
	} else if (core->own.refuses) {
		vmig_core_fail(core, core->result.outcome);
	} else if (!agreed(core, ev)) {
		vmig_core_fail(core, VMIG_NOT_DONE);
	} else {
		vmig_core_send(core, VMIG_RECORD_HELLO, VMIG_RECORD_ALL);
		vmig_core_enter(core, VMIG_STAGE_OFFER);
	}
}

void vmig_destination_hello(struct vmig_core *core, const struct vmig_core_event *ev)
{
	/* A device that does not migrate is refused with all the other reasons, once the offer is here. */
	if (ev->kind == VMIG_EV_ENTER)
		vmig_own_find(core);
	else if (ev->kind == VMIG_EV_RECORD)
		hello(core, ev);
	if (ev->kind != VMIG_EV_RECORD && core->own.at < VMIG_OWN_FOUND)
		vmig_own_found(core, ev);
}

/* --- offer --- */

enum { COLLECT, JUDGE, ASK_RECORD, TO_RESUMING, TO_BIND };

void vmig_destination_walk_all(struct vmig_core *core, uint32_t target)
{
	for (uint32_t i = 0; i < core->n; i++)
		vmig_core_walk(core, i, target, VMIG_STATE_NONE);
}

static void refuse(struct vmig_core *core)
{
	vmig_core_send(core, VMIG_RECORD_REFUSE, VMIG_RECORD_ALL);
	vmig_core_finish(core, VMIG_NOT_DONE);
}

static void judge(struct vmig_core *core)
{
	bool good = vmig_offer_check(core);

	if (good && (core->peer.flags & VMIG_HELLO_PROBE)) {
		vmig_core_send(core, VMIG_RECORD_ACCEPT, VMIG_RECORD_ALL);
		core->result.probed = true;
		vmig_core_reason(core, -ECANCELED, "it was only asked whether it could be done: yes");
		vmig_core_finish(core, VMIG_NOT_DONE);
		return;
	}
	if (good && core->own.on) {
		core->step = ASK_RECORD;
		vmig_own_patience(core, core->config.timeout_ns / 2);
		vmig_own_read(core);
		return;
	}
	if (good) {
		/* At once, not by way of STOP: that is the device's business, and one of v1 knows no such way. */
		core->step = TO_RESUMING;
		vmig_destination_walk_all(core, VMIG_STATE_RESUMING);
		return;
	}
	core->result.probed = core->peer.flags & VMIG_HELLO_PROBE;
	refuse(core);
}

/* 2, as the destination sees it: the attempt is open, for this end, and the record says just what the source says. */
static void check_claims(struct vmig_core *core)
{
	for (uint32_t i = 0; i < core->n; i++) {
		const struct vmig_core_device *dev = &core->devices[i];
		const struct vmig_ownership *r = &dev->record;
		const char *why = NULL;

		if (vmig_is_memory(dev) && !dev->in_unit)
			continue;
		if (!dev->in_unit)
			why = "the source does not claim it, and there is a record";
		else if (!vmig_ownership_equal(r, &dev->next))
			why = "the record does not say what the source says it does";
		else if (r->phase != VMIG_OWNER_OPEN || strcmp(r->owner, core->own.peer) != 0)
			why = "by the record it is not the source's to move";
		else if (strcmp(r->peer, core->own.me) != 0 ||
			 !vmig_uuid_equal(&r->attempt, &core->own.attempt))
			why = "by the record it is promised to another, or in another attempt";
		if (why)
			vmig_core_device_reason(core, i, -EACCES, "is not taken", why);
	}
}

static void record_says(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (ev->kind == VMIG_EV_TICK && vmig_own_due(core)) {
		vmig_own_read(core);
		return;
	}
	if (ev->kind != VMIG_EV_OWNER)
		return;
	if (ev->owner == VMIG_OWNER_RECORDS)
		check_claims(core);
	else if (vmig_own_again(core))
		return;
	else
		vmig_own_reason(core, "the destination cannot ask the ownership record");
	if (core->result.code) {
		refuse(core);
		return;
	}
	core->step = TO_RESUMING;
	vmig_destination_walk_all(core, VMIG_STATE_RESUMING);
}

/* 3: from now on they belong to this attempt, and to nobody yet. */
static void bind_all(struct vmig_core *core)
{
	static const struct vmig_uuid nobody;

	core->step = TO_BIND;
	for (uint32_t i = 0; core->own.on && i < core->n; i++)
		if (core->devices[i].tagged && core->devices[i].in_unit)
			vmig_core_tag(core, i, &nobody);
}

static void claim_record(struct vmig_core *core, const struct vmig_core_event *ev)
{
	struct vmig_cursor c = vmig_event_payload(ev);
	struct vmig_ownership claim;

	/* In order; memory has no owner of its own, and no claim. */
	if (core->step != COLLECT || core->n_offers || ev->device < core->own.n_claims ||
	    ev->device >= core->peer.n_devices) {
		vmig_core_unexpected(core, ev);
		return;
	}
	if (vmig_claim_get(&c, &claim)) {
		vmig_destination_broken(core, "a CLAIM that is too short or out of bounds");
		return;
	}
	for (uint32_t i = 0; i < MIN(core->own.n_claims, core->n); i++) {
		if (!core->devices[i].in_unit || !vmig_uuid_equal(&core->devices[i].identity, &claim.device))
			continue;
		vmig_destination_broken(core, "two CLAIMs of one device");
		return;
	}
	core->own.n_claims = ev->device + 1;
	if (ev->device >= core->n)
		return;
	core->devices[ev->device].in_unit = true;
	core->devices[ev->device].identity = claim.device;
	core->devices[ev->device].next = claim;
}

static void offer_record(struct vmig_core *core, const struct vmig_core_event *ev)
{
	struct vmig_cursor c = vmig_event_payload(ev);
	struct vmig_offer offer;

	if (ev->type != VMIG_RECORD_OFFER || core->step != COLLECT || ev->device != core->n_offers) {
		vmig_core_unexpected(core, ev);
		return;
	}
	if (vmig_offer_get(&c, &offer)) {
		vmig_destination_broken(core, "an OFFER that is too short or out of bounds");
		return;
	}
	/* The driver keeps these for the judges. */
	offer.opaque = NULL;
	offer.opaque_len = 0;
	offer.descriptor = NULL;
	offer.descriptor_len = 0;
	if (core->n_offers < core->n)
		core->devices[core->n_offers].offer = offer;
	else
		core->memory_too |= offer.traits & VMIG_TRAIT_MEMORY;
	if (++core->n_offers < core->peer.n_devices)
		return;
	core->step = JUDGE;
	for (uint32_t i = 0; i < MIN(core->n, core->n_offers); i++)
		vmig_core_job(core, i, VMIG_JOB_JUDGE);
}

/* In the order of the devices, whoever was judged first. */
static void give_reasons(struct vmig_core *core)
{
	for (uint32_t i = 0; i < core->n; i++) {
		const char *line = core->devices[i].refusal ? core->devices[i].refusal : "";

		while (*line) {
			int len = (int)strcspn(line, "\n");

			vmig_core_reason(core, -EXDEV, "device %u (%s): %.*s", i, core->devices[i].info.name,
					 len, line);
			line += len + (line[len] == '\n');
		}
	}
}

/* Every reason of every device counts. */
static void judged(struct vmig_core *core, const struct vmig_core_event *ev)
{
	struct vmig_core_device *dev = &core->devices[ev->device];
	bool silent = !ev->text || !*ev->text;

	core->result.resets += ev->resets;
	if (ev->code) {
		vmig_core_device_reason(core, ev->device, ev->code,
					"does not come back from judging the offer", ev->text);
		vmig_core_fail(core, VMIG_NOT_DONE);
		return;
	}
	dev->judged = ev->verdict != VMIG_VERDICT_NONE;
	/* A no is one, whether it has words or not. */
	if (ev->verdict == VMIG_VERDICT_NO)
		dev->refusal = silent ? "it is not compatible, and does not say why" : ev->text;
	if (!vmig_core_idle(core))
		return;
	give_reasons(core);
	judge(core);
}

void vmig_destination_offer(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (ev->kind == VMIG_EV_RECORD && ev->type == VMIG_RECORD_CLAIM && core->own.on)
		claim_record(core, ev);
	else if (ev->kind == VMIG_EV_RECORD)
		offer_record(core, ev);
	else if (core->step == ASK_RECORD)
		record_says(core, ev);
	else if (ev->kind == VMIG_EV_JOB && core->step == JUDGE)
		judged(core, ev);
	else if (ev->kind == VMIG_EV_JOB && core->step == TO_RESUMING && vmig_core_idle(core))
		bind_all(core);
	if (core->phase == VMIG_PHASE_GO && core->step == TO_BIND && vmig_core_idle(core)) {
		vmig_core_send(core, VMIG_RECORD_ACCEPT, VMIG_RECORD_ALL);
		vmig_core_enter(core, VMIG_STAGE_PRECOPY);
	}
}
