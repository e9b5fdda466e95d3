/* SPDX-License-Identifier: BSD-3-Clause */
/* The destination's half of the stages that move the data: precopy, quiesce, switchover. */
#include "base/util.h"
#include "engine/stages.h"

/* --- precopy --- */

void vmig_destination_precopy(struct vmig_core *core, const struct vmig_core_event *ev)
{
	struct vmig_cursor c = vmig_event_payload(ev);

	if (ev->kind != VMIG_EV_RECORD)
		return;
	if (ev->type == VMIG_RECORD_PRECOPY_DONE) {
		vmig_core_enter(core, VMIG_STAGE_QUIESCE);
	} else if (ev->type != VMIG_RECORD_INITIAL) {
		vmig_core_unexpected(core, ev);
	} else if (vmig_number_get(&c, &core->plan.initial_acked)) {
		vmig_destination_broken(core, "an INITIAL that is too short");
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
	struct vmig_cursor c = vmig_event_payload(ev);
	struct vmig_device_end end;

	if (!dev || dev->ended || vmig_device_end_get(&c, &end)) {
		vmig_destination_broken(core, "a DEVICE_END of no device, doubled, or too short");
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
	struct vmig_cursor c = vmig_event_payload(ev);
	struct vmig_user_piece piece;

	if (!dev || vmig_user_piece_get(&c, &piece) || piece.offset != dev->record_have ||
	    (dev->has_record && piece.total != dev->record_total) || (dev->has_record && !piece.len)) {
		vmig_destination_broken(core, "a USER_RECORD of no device, out of order, or out of bounds");
		return;
	}
	dev->has_record = true;
	dev->record_total = piece.total;
	dev->record_have += piece.len;
	if (!records_fit(core))
		vmig_destination_broken(core, "the user's records are longer than 64 MiB in all");
}

static void fin(struct vmig_core *core, const struct vmig_core_event *ev)
{
	struct vmig_cursor c = vmig_event_payload(ev);
	struct vmig_fin here;

	vmig_core_fin(core, &here);
	for (uint32_t i = 0; i < core->n; i++) {
		if (core->devices[i].ended && core->devices[i].record_have == core->devices[i].record_total)
			continue;
		vmig_destination_broken(
			core, "its end comes before the end of a device's data or of the user's record");
		return;
	}
	if (vmig_fin_get(&c, &core->fin) || core->fin.n_devices != here.n_devices ||
	    core->fin.length != here.length || core->fin.chain != here.chain)
		vmig_destination_broken(core, "the sum of all devices' data is wrong");
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
