/* SPDX-License-Identifier: BSD-3-Clause */
/* device_state: which writes are good, how the device beneath walks for them, and what a failure leaves. */
#include "device/region.h"

#include <vmig/state.h>

/*
 * From a row to a column. The diagram of the text has 1->0, 1->2->0, 1->3->2->0, 1->4, 4->1. Users write more:
 * 3->1, 2->1 and 0->1 when a migration was cancelled or has failed and when a VM runs on, 0->2 for a VM that is
 * paused, 0->4 when a stopped VM loads a snapshot. 3->0 is a shutdown in the middle, and 4->0 one that keeps what
 * was loaded. Nobody has a use for the others, and 2->3 is one that the device beneath must never be asked for.
 */
static const bool allowed[5][5] = {
	/*                  STOP   RUNNING SAVING PRE_COPY RESUMING */
	[V1_STOP] = { true, true, true, false, true },      [V1_RUNNING] = { true, true, true, true, true },
	[V1_SAVING] = { true, true, true, false, false },   [V1_PRE_COPY] = { true, true, true, true, false },
	[V1_RESUMING] = { true, true, false, false, true },
};

static uint32_t inner_state(const struct vmig_v1 *v, uint32_t bits)
{
	switch (bits) {
	case V1_STOP:
		return VMIG_STATE_STOP;
	case V1_SAVING:
		return VMIG_STATE_STOP_COPY;
	case V1_RESUMING:
		return VMIG_STATE_RESUMING;
	case V1_PRE_COPY:
		/* Without a pre-copy of its own the device just runs on. */
		if (v->info.migration_flags & VMIG_MIGRATION_PRE_COPY)
			return VMIG_STATE_PRE_COPY;
	}
	return VMIG_STATE_RUNNING;
}

static void drop_session(struct vmig_v1 *v)
{
	vmig_session_close(v->session);
	v->session = NULL;
	vmig_v1_save_init(v);
	v->loaded = 0;
}

static void enter_error(struct vmig_v1 *v)
{
	drop_session(v);
	v->state = (uint32_t)VMIG_UAPI_DEVICE_STATE_SET_ERROR(v->state);
}

/** The state was @bits and is again, by a walk there and back. */
static void session_anew(struct vmig_v1 *v, struct vmig_session *session)
{
	bool taken = v->save.given > 0;

	drop_session(v);
	v->session = session;
	vmig_v1_save_init(v);
	/* The stream starts again: whoever has had a part of the old one must not go on with this one. */
	if (taken)
		v->save.error = -EIO;
}

/*
 * A walk has failed. "The vendor driver should return previous state of the device unless [it] has encountered an
 * internal error": so the device beneath is walked back, and where that cannot be done it is the error state.
 */
void vmig_v1_settle(struct vmig_v1 *v)
{
	uint32_t state, want = inner_state(v, vmig_v1_bits(v));
	struct vmig_session *session = NULL;

	if (vmig_device_query_state(v->inner, &state) < 0 || state == VMIG_STATE_ERROR) {
		enter_error(v);
		return;
	}
	if (state == want)
		return;
	/* What was loaded is good and would be lost by a way back to RESUMING: STOP, from where RUNNING can be
	 * tried again. */
	if (want == VMIG_STATE_RESUMING) {
		want = VMIG_STATE_STOP;
		drop_session(v);
	}
	if (state != want && vmig_device_set_state(v->inner, want, VMIG_STATE_NONE, &session) < 0) {
		enter_error(v);
		return;
	}
	if (session)
		session_anew(v, session);
}

static int move(struct vmig_v1 *v, uint32_t value, struct vmig_error *error)
{
	uint32_t to = value & V1_MASK;
	struct vmig_session *session = NULL;
	int r = vmig_device_set_state(v->inner, inner_state(v, to), VMIG_STATE_NONE, &session);

	if (r < 0) {
		vmig_v1_passed(v, r, error);
		vmig_v1_settle(v);
		return r;
	}
	/* 3 -> 2 carries on with the session that there is. */
	if (session || !(to == V1_SAVING && vmig_v1_bits(v) == V1_PRE_COPY)) {
		drop_session(v);
		v->session = session;
	}
	v->state = value;
	if (to == V1_SAVING)
		vmig_v1_save_stopped(v);
	return 0;
}

int vmig_v1_write_state(struct vmig_v1 *v, uint32_t value, struct vmig_error *error)
{
	uint32_t from = vmig_v1_bits(v), to = value & V1_MASK;

	if (VMIG_UAPI_DEVICE_STATE_IS_ERROR(v->state))
		return vmig_fault(error, -EIO, "device_state",
				  "the device is in the error state: only a reset leads out");
	if (!VMIG_UAPI_DEVICE_STATE_VALID(to))
		return vmig_fault(error, -EINVAL, "device_state", "%#x is no state to ask for", value);
	if (!allowed[from][to])
		return vmig_fault(error, -EINVAL, "device_state", "no transition leads from %u to %u", from,
				  to);
	if (from == V1_RESUMING && to != from && v->load_error)
		return vmig_fault(error, v->load_error, "device_state",
				  "what was loaded is bad: only a reset leads out of _RESUMING");
	if (from != to)
		return move(v, value, error);
	v->state = value;
	return 0;
}

uint32_t vmig_v1_first_state(struct vmig_v1 *v)
{
	uint32_t state;

	if (vmig_device_query_state(v->inner, &state) < 0)
		return V1_ERROR;
	if (state == VMIG_STATE_STOP || state == VMIG_STATE_RUNNING)
		return state == VMIG_STATE_STOP ? V1_STOP : V1_RUNNING;
	/* In the middle of something of an earlier user's, whose session is gone. */
	if (state == VMIG_STATE_STOP_COPY)
		return vmig_device_set_state(v->inner, VMIG_STATE_STOP, VMIG_STATE_NONE, NULL) < 0 ? V1_ERROR
												   : V1_STOP;
	if (state == VMIG_STATE_RUNNING_P2P || state == VMIG_STATE_PRE_COPY ||
	    state == VMIG_STATE_PRE_COPY_P2P)
		return vmig_device_set_state(v->inner, VMIG_STATE_RUNNING, VMIG_STATE_NONE, NULL) < 0
			       ? V1_ERROR
			       : V1_RUNNING;
	return V1_ERROR;
}

int vmig_v1_reset(struct vmig_v1 *v, struct vmig_error *error)
{
	uint32_t state;
	int r;

	drop_session(v);
	r = vmig_device_reset(v->inner);
	if (!r)
		r = vmig_device_query_state(v->inner, &state);
	/* VMIG_TRAIT_RESET_KEEPS_FSM. */
	if (!r && state != VMIG_STATE_RUNNING)
		r = vmig_device_set_state(v->inner, VMIG_STATE_RUNNING, VMIG_STATE_NONE, NULL);
	if (r < 0) {
		enter_error(v);
		return vmig_v1_passed(v, r, error);
	}
	v->state = V1_RUNNING;
	v->load_error = 0;
	return 0;
}
