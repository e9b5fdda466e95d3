/* SPDX-License-Identifier: BSD-3-Clause */
/* The destination's half of the stages. Over a one-way channel the answers are made all the same, and not sent. */
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "engine/stages.h"

static struct vmig_cursor payload(const struct vmig_core_event *ev)
{
	return vmig_cursor_over(ev->payload, ev->payload_len);
}

static void broken(struct vmig_core *core, const char *what)
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
	struct vmig_cursor c = payload(ev);

	if (ev->type != VMIG_RECORD_HELLO) {
		vmig_core_unexpected(core, ev);
	} else if (vmig_hello_get(&c, &core->peer)) {
		broken(core, "a HELLO that is too short or out of bounds");
	} else if ((core->peer.flags & VMIG_HELLO_COPY) && !core->config.one_way) {
		broken(core, "the source means to run on, over a channel where it must not");
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

static void walk_all(struct vmig_core *core, uint32_t target)
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
		walk_all(core, VMIG_STATE_RESUMING);
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
	walk_all(core, VMIG_STATE_RESUMING);
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
	struct vmig_cursor c = payload(ev);
	struct vmig_ownership claim;

	/* In order; memory has no owner of its own, and no claim. */
	if (core->step != COLLECT || core->n_offers || ev->device < core->own.n_claims ||
	    ev->device >= core->peer.n_devices) {
		vmig_core_unexpected(core, ev);
		return;
	}
	if (vmig_claim_get(&c, &claim)) {
		broken(core, "a CLAIM that is too short or out of bounds");
		return;
	}
	for (uint32_t i = 0; i < MIN(core->own.n_claims, core->n); i++) {
		if (!core->devices[i].in_unit || !vmig_uuid_equal(&core->devices[i].identity, &claim.device))
			continue;
		broken(core, "two CLAIMs of one device");
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
	struct vmig_cursor c = payload(ev);
	struct vmig_offer offer;

	if (ev->type != VMIG_RECORD_OFFER || core->step != COLLECT || ev->device != core->n_offers) {
		vmig_core_unexpected(core, ev);
		return;
	}
	if (vmig_offer_get(&c, &offer)) {
		broken(core, "an OFFER that is too short or out of bounds");
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

/* --- precopy --- */

void vmig_destination_precopy(struct vmig_core *core, const struct vmig_core_event *ev)
{
	struct vmig_cursor c = payload(ev);

	if (ev->kind != VMIG_EV_RECORD)
		return;
	if (ev->type == VMIG_RECORD_PRECOPY_DONE) {
		vmig_core_enter(core, VMIG_STAGE_QUIESCE);
	} else if (ev->type != VMIG_RECORD_INITIAL) {
		vmig_core_unexpected(core, ev);
	} else if (vmig_number_get(&c, &core->plan.initial_acked)) {
		broken(core, "an INITIAL that is too short");
	} else {
		/* The driver has waited for the devices to take all that came before. */
		vmig_core_send(core, VMIG_RECORD_INITIAL_LOADED, VMIG_RECORD_ALL);
	}
}

/* --- quiesce --- */

void vmig_destination_quiesce(struct vmig_core *core, const struct vmig_core_event *ev)
{
	/* There is nobody here yet to be paused. */
	core->down_ns = core->now;
	vmig_core_enter(core, VMIG_STAGE_SWITCHOVER);
}

/* --- switchover --- */

static void device_end(struct vmig_core *core, const struct vmig_core_event *ev)
{
	struct vmig_core_device *dev = ev->device < core->n ? &core->devices[ev->device] : NULL;
	struct vmig_cursor c = payload(ev);
	struct vmig_device_end end;

	if (!dev || dev->ended || vmig_device_end_get(&c, &end)) {
		broken(core, "a DEVICE_END of no device, doubled, or too short");
		return;
	}
	if (end.length != ev->length || end.chain != ev->chain) {
		vmig_core_device_reason(core, ev->device, -EBADMSG, "got other data than were sent",
					"their length or digest is wrong");
		vmig_core_fail(core, VMIG_BAD_INPUT);
		return;
	}
	dev->length = end.length;
	dev->chain = end.chain;
	dev->ended = true;
}

static bool records_fit(const struct vmig_core *core)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < core->n; i++)
		sum += core->devices[i].record_total;
	return sum <= VMIG_LIMIT_USER_RECORDS;
}

static void user_piece(struct vmig_core *core, const struct vmig_core_event *ev)
{
	struct vmig_core_device *dev = ev->device < core->n ? &core->devices[ev->device] : NULL;
	struct vmig_cursor c = payload(ev);
	struct vmig_user_piece piece;

	if (!dev || vmig_user_piece_get(&c, &piece) || piece.offset != dev->record_have ||
	    (dev->has_record && piece.total != dev->record_total) || (dev->has_record && !piece.len)) {
		broken(core, "a USER_RECORD of no device, out of order, or out of bounds");
		return;
	}
	dev->has_record = true;
	dev->record_total = piece.total;
	dev->record_have += piece.len;
	if (!records_fit(core))
		broken(core, "the user's records are longer than 64 MiB in all");
}

static void fin(struct vmig_core *core, const struct vmig_core_event *ev)
{
	struct vmig_cursor c = payload(ev);
	struct vmig_fin here;

	vmig_core_fin(core, &here);
	for (uint32_t i = 0; i < core->n; i++) {
		if (core->devices[i].ended && core->devices[i].record_have == core->devices[i].record_total)
			continue;
		broken(core, "its end comes before the end of a device's data or of the user's record");
		return;
	}
	if (vmig_fin_get(&c, &core->fin) || core->fin.n_devices != here.n_devices ||
	    core->fin.length != here.length || core->fin.chain != here.chain)
		broken(core, "the sum of all devices' data is wrong");
	else
		vmig_core_enter(core, VMIG_STAGE_VERIFY);
}

void vmig_destination_switchover(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (ev->kind != VMIG_EV_RECORD)
		return;
	if (ev->type == VMIG_RECORD_DEVICE_END)
		device_end(core, ev);
	else if (ev->type == VMIG_RECORD_USER_RECORD)
		user_piece(core, ev);
	else if (ev->type == VMIG_RECORD_FIN)
		fin(core, ev);
	else
		vmig_core_unexpected(core, ev);
}

/* --- verify --- */

static void load_next_record(struct vmig_core *core)
{
	while (core->next_record < core->n && !core->devices[core->next_record].has_record)
		core->next_record++;
	if (core->next_record < core->n) {
		vmig_core_push(core, VMIG_ACT_LOAD_RECORD, core->next_record);
		return;
	}
	vmig_core_send(core, VMIG_RECORD_READY, VMIG_RECORD_ALL);
	vmig_core_enter(core, VMIG_STAGE_COMMIT);
}

/* Each holds the state of its device, complete: after a crash that is what tells. */
static void name_all(struct vmig_core *core)
{
	core->step = 1;
	for (uint32_t i = 0; core->own.on && i < core->n; i++)
		if (core->devices[i].tagged && core->devices[i].in_unit)
			vmig_core_tag(core, i, &core->devices[i].identity);
}

void vmig_destination_verify(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (ev->kind == VMIG_EV_ENTER) {
		/* RESUMING to STOP is where a device judges what it was given. */
		walk_all(core, VMIG_STATE_STOP);
	} else if (ev->kind == VMIG_EV_JOB && vmig_core_idle(core)) {
		if (!core->step)
			name_all(core);
		if (vmig_core_idle(core))
			load_next_record(core);
	} else if (ev->kind == VMIG_EV_USER && ev->code) {
		vmig_core_device_reason(core, core->next_record, ev->code,
					"the user's record of it cannot be loaded", ev->text);
		vmig_core_fail(core, VMIG_NOT_DONE);
	} else if (ev->kind == VMIG_EV_USER) {
		core->next_record++;
		load_next_record(core);
	} else if (ev->kind == VMIG_EV_RECORD) {
		vmig_core_unexpected(core, ev);
	}
}

/* --- commit --- */

enum { AWAIT, COMMITTING, SETTLING, CHECKING };

static void taken(struct vmig_core *core)
{
	core->committed = true;
	vmig_core_send(core, VMIG_RECORD_COMMITTED, VMIG_RECORD_ALL);
	vmig_core_enter(core, VMIG_STAGE_RUN);
}

/* Whose they are has been decided, and not for this end: what it holds is worth nothing. */
static void discard(struct vmig_core *core, const char *why)
{
	if (why)
		vmig_core_reason(core, -EAGAIN, "%s", why);
	core->promised = false;
	core->own.same_life = false;
	core->own.again_ns = 0;
	vmig_core_fail(core, VMIG_NOT_DONE);
}

static void in_doubt(struct vmig_core *core, enum vmig_outcome outcome)
{
	core->own.again_ns = 0;
	core->result.outcome = outcome;
	vmig_core_finish(core, outcome);
}

/* 9: one compare-and-swap over all, with the records of the claims. Beside it the devices are asked whether they are still there:
 * between commit and run nothing may stand. */
static void commit(struct vmig_core *core)
{
	core->own.at = COMMITTING;
	vmig_own_patience(core, core->config.timeout_ns);
	if (!vmig_own_swap(core, VMIG_OWNER_COMMIT)) {
		discard(core, "the rules do not let this end take over");
		return;
	}
	for (uint32_t i = 0; i < core->n; i++)
		vmig_core_job(core, i, VMIG_JOB_QUERY_STATE);
}

static void settle(struct vmig_core *core, const struct vmig_core_event *ev);

static void begin_settling(struct vmig_core *core)
{
	core->own.at = SETTLING;
	vmig_own_patience(core, core->config.timeout_ns);
	settle(core, NULL);
}

/* The record has it. 10, or 13 where a device has gone meanwhile. */
static void check(struct vmig_core *core)
{
	core->own.at = CHECKING;
	if (!vmig_core_idle(core))
		return;
	for (uint32_t i = 0; i < core->n; i++) {
		if (core->devices[i].state == VMIG_STATE_STOP)
			continue;
		vmig_core_device_reason(core, i, -EIO, "has gone",
					"after the commit, before anything was run");
		begin_settling(core);
		return;
	}
	taken(core);
}

static void settle(struct vmig_core *core, const struct vmig_core_event *ev)
{
	switch (vmig_own_settle(core, ev, true)) {
	case VMIG_SETTLE_PENDING:
		break;
	case VMIG_SETTLE_WON:
		core->own.same_life = true;
		check(core);
		break;
	case VMIG_SETTLE_RUN:
		check(core);
		break;
	case VMIG_SETTLE_GIVEN:
		discard(core, "it was given back to the source");
		break;
	case VMIG_SETTLE_DISCARD:
	case VMIG_SETTLE_KEEP:
		discard(core, "the record says that the devices are another's");
		break;
	case VMIG_SETTLE_LOST:
		in_doubt(core, VMIG_SOURCE_LOST);
		break;
	case VMIG_SETTLE_ABSENT:
	case VMIG_SETTLE_DOUBT:
		vmig_core_reason(core, -EBUSY, "the ownership record does not decide: see 'vmig owner show'");
		in_doubt(core, VMIG_IN_DOUBT);
		break;
	case VMIG_SETTLE_AWAY:
		vmig_own_reason(core, "the ownership record cannot be asked");
		in_doubt(core, VMIG_IN_DOUBT);
		break;
	}
}

static void commit_answered(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (ev->owner == VMIG_OWNER_WON) {
		core->own.same_life = true;
		check(core);
	} else if (ev->owner == VMIG_OWNER_LOST && !core->own.unknown) {
		discard(core, "the record has changed: the attempt was ended before the commit");
	} else if (ev->owner != VMIG_OWNER_LOST && vmig_own_again(core)) {
		return;
	} else if (core->own.unknown) {
		begin_settling(core);
	} else {
		vmig_own_reason(core, "the commit could not be written");
		discard(core, NULL);
	}
}

static void decide(struct vmig_core *core, const struct vmig_core_event *ev)
{
	bool owner = ev->kind == VMIG_EV_OWNER;

	if (core->own.at == SETTLING)
		settle(core, ev);
	else if (core->own.at == CHECKING && ev->kind == VMIG_EV_JOB)
		check(core);
	else if (core->own.at == COMMITTING && owner)
		commit_answered(core, ev);
	else if (core->own.at == COMMITTING && ev->kind == VMIG_EV_TICK && vmig_own_due(core))
		vmig_own_repeat(core);
}

void vmig_destination_commit(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (core->promised) {
		decide(core, ev);
		return;
	}
	if (ev->kind != VMIG_EV_RECORD)
		return;
	if (ev->type != VMIG_RECORD_PROMISE) {
		vmig_core_unexpected(core, ev);
		return;
	}
	core->promised = true;
	if (core->own.on)
		commit(core);
	else
		taken(core);
}

/* --- run --- */

enum { TO_P2P, TO_RUNNING, TO_WRITE };

/* How long it is tried to write that they run. */
#define WRITE_NS (2 * NS_PER_S)

static void run_all(struct vmig_core *core)
{
	core->step = TO_RUNNING;
	for (uint32_t i = 0; i < core->n; i++)
		vmig_core_walk(core, i, VMIG_STATE_RUNNING, VMIG_STATE_NONE);
}

static void p2p_all(struct vmig_core *core)
{
	core->own.same_life = false;
	for (uint32_t i = 0; i < core->n; i++)
		if (vmig_has_p2p(&core->devices[i]))
			vmig_core_walk(core, i, VMIG_STATE_RUNNING_P2P, VMIG_STATE_NONE);
	if (vmig_core_idle(core))
		run_all(core);
}

/* 11: only when this is written may the source free its copy. */
static void runs(struct vmig_core *core)
{
	vmig_core_push(core, VMIG_ACT_START, 0);
	vmig_core_send(core, VMIG_RECORD_RUNNING, VMIG_RECORD_ALL);
	vmig_core_end_downtime(core);
	if (!core->own.on) {
		vmig_core_finish(core, VMIG_DONE);
		return;
	}
	core->step = TO_WRITE;
	vmig_own_patience(core, WRITE_NS);
	if (!vmig_own_swap(core, VMIG_OWNER_DONE))
		vmig_core_finish(core, VMIG_DONE);
}

static void write_done(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (ev->kind == VMIG_EV_TICK && vmig_own_due(core)) {
		vmig_own_repeat(core);
		return;
	}
	if (ev->kind != VMIG_EV_OWNER)
		return;
	if (ev->owner != VMIG_OWNER_WON && ev->owner != VMIG_OWNER_LOST && vmig_own_again(core))
		return;
	if (ev->owner != VMIG_OWNER_WON)
		vmig_core_warn(
			core,
			"the devices run, and the record could not be told so: the source keeps its copy "
			"until 'vmig owner resolve' has told it");
	vmig_core_finish(core, VMIG_DONE);
}

void vmig_destination_run(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (ev->kind == VMIG_EV_ENTER) {
		p2p_all(core);
	} else if (core->step == TO_WRITE) {
		write_done(core, ev);
	} else if (ev->kind == VMIG_EV_JOB && vmig_core_idle(core)) {
		if (core->step == TO_P2P)
			run_all(core);
		else
			runs(core);
	}
}

/* --- rollback --- */

enum { TO_IDLE, TO_RESET, TO_LOOK };

static void reset_all(struct vmig_core *core)
{
	for (uint32_t i = 0; i < core->n; i++)
		if (core->devices[i].moved)
			vmig_core_job(core, i, VMIG_JOB_RESET);
}

static void look(struct vmig_core *core)
{
	for (uint32_t i = 0; i < core->n; i++)
		if (core->devices[i].moved && core->devices[i].state != VMIG_STATE_RUNNING)
			vmig_core_device_reason(core, i, -EIO, "could not be reset",
						"it is not to be used before it is");
}

void vmig_destination_rollback(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (!ev) {
		core->step = TO_IDLE;
		if (!core->told)
			vmig_core_send(core, VMIG_RECORD_ABORT, VMIG_RECORD_ALL);
	}
	/* They are this end's own, on their way back to RUNNING: they go on, whatever becomes of the migration. */
	if (core->own.mine) {
		if (vmig_core_return(core))
			vmig_core_finish(core, core->result.outcome);
		return;
	}
	while (core->step != TO_LOOK && vmig_core_idle(core))
		if (core->step++ == TO_IDLE)
			reset_all(core);
	if (!vmig_core_idle(core))
		return;
	look(core);
	vmig_core_finish(core, core->result.outcome);
}
