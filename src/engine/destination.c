/* SPDX-License-Identifier: BSD-3-Clause */
/* The destination's half of the stages. Over a one-way channel the answers are made all the same, and not sent. */
#include <string.h>

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

void vmig_destination_hello(struct vmig_core *core, const struct vmig_core_event *ev)
{
	struct vmig_cursor c = payload(ev);

	if (ev->kind == VMIG_EV_ENTER) {
		/* A device that does not migrate is refused with all the other reasons, once the offer is here. */
		vmig_core_find(core);
	} else if (ev->kind == VMIG_EV_JOB) {
		vmig_core_found(core);
	} else if (ev->kind == VMIG_EV_RECORD) {
		if (ev->type != VMIG_RECORD_HELLO) {
			vmig_core_unexpected(core, ev);
		} else if (vmig_hello_get(&c, &core->peer)) {
			broken(core, "a HELLO that is too short or out of bounds");
		} else if ((core->peer.flags & VMIG_HELLO_COPY) && !core->config.one_way) {
			broken(core, "the source means to run on, over a channel where it must not");
		} else {
			vmig_core_send(core, VMIG_RECORD_HELLO, VMIG_RECORD_ALL);
			vmig_core_enter(core, VMIG_STAGE_OFFER);
		}
	}
}

/* --- offer --- */

enum { COLLECT, JUDGE, TO_RESUMING };

static void walk_all(struct vmig_core *core, uint32_t target)
{
	for (uint32_t i = 0; i < core->n; i++)
		vmig_core_walk(core, i, target, VMIG_STATE_NONE);
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
	if (good) {
		/* At once, not by way of STOP: that is the device's business, and one of v1 knows no such way. */
		core->step = TO_RESUMING;
		walk_all(core, VMIG_STATE_RESUMING);
		return;
	}
	core->result.probed = core->peer.flags & VMIG_HELLO_PROBE;
	vmig_core_send(core, VMIG_RECORD_REFUSE, VMIG_RECORD_ALL);
	vmig_core_finish(core, VMIG_NOT_DONE);
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
	if (ev->kind == VMIG_EV_RECORD) {
		offer_record(core, ev);
	} else if (ev->kind == VMIG_EV_JOB && core->step == JUDGE) {
		judged(core, ev);
	} else if (ev->kind == VMIG_EV_JOB && core->step == TO_RESUMING && vmig_core_idle(core)) {
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

void vmig_destination_verify(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (ev->kind == VMIG_EV_ENTER) {
		/* RESUMING to STOP is where a device judges what it was given. */
		walk_all(core, VMIG_STATE_STOP);
	} else if (ev->kind == VMIG_EV_JOB && vmig_core_idle(core)) {
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

void vmig_destination_commit(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (ev->kind != VMIG_EV_RECORD)
		return;
	if (ev->type != VMIG_RECORD_PROMISE) {
		vmig_core_unexpected(core, ev);
		return;
	}
	core->promised = true;
	core->committed = true;
	vmig_core_send(core, VMIG_RECORD_COMMITTED, VMIG_RECORD_ALL);
	vmig_core_enter(core, VMIG_STAGE_RUN);
}

/* --- run --- */

enum { TO_P2P, TO_RUNNING };

static void run_all(struct vmig_core *core)
{
	core->step = TO_RUNNING;
	for (uint32_t i = 0; i < core->n; i++)
		vmig_core_walk(core, i, VMIG_STATE_RUNNING, VMIG_STATE_NONE);
}

static void p2p_all(struct vmig_core *core)
{
	for (uint32_t i = 0; i < core->n; i++)
		if (vmig_has_p2p(&core->devices[i]))
			vmig_core_walk(core, i, VMIG_STATE_RUNNING_P2P, VMIG_STATE_NONE);
	if (vmig_core_idle(core))
		run_all(core);
}

void vmig_destination_run(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (ev->kind == VMIG_EV_ENTER) {
		p2p_all(core);
	} else if (ev->kind == VMIG_EV_JOB && vmig_core_idle(core)) {
		if (core->step == TO_P2P) {
			run_all(core);
			return;
		}
		vmig_core_push(core, VMIG_ACT_START, 0);
		vmig_core_send(core, VMIG_RECORD_RUNNING, VMIG_RECORD_ALL);
		vmig_core_finish(core, VMIG_DONE);
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
	while (core->step != TO_LOOK && vmig_core_idle(core))
		if (core->step++ == TO_IDLE)
			reset_all(core);
	if (!vmig_core_idle(core))
		return;
	look(core);
	vmig_core_finish(core, core->result.outcome);
}
