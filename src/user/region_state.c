/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The states of v2 on the register device_state of v1. A target is what is asked for; the writes on the way are v1's.
 *
 * v1 has no arc STOP -> RESUMING and none RESUMING -> STOP. So STOP after RESUMING is a word of ours for a device that
 * stays in _RESUMING; and what cannot be had in one write goes through _RUNNING, the only state in between: a user who
 * never asks for a new state never reads one, whatever fails.
 */
#include "user/region.h"

#define RUNNING  VMIG_UAPI_DEVICE_STATE_V1_RUNNING
#define SAVING   VMIG_UAPI_DEVICE_STATE_V1_SAVING
#define RESUMING VMIG_UAPI_DEVICE_STATE_V1_RESUMING
#define MASK     (RUNNING | SAVING | RESUMING)

static bool is_stopped(enum vmig_v1u_load load)
{
	return load == VMIG_V1U_STOPPED || load == VMIG_V1U_STOPPED_EMPTY;
}

uint32_t vmig_v1u_state_of(uint32_t bits, enum vmig_v1u_load load)
{
	switch (bits & MASK) {
	case 0:
		return VMIG_STATE_STOP;
	case RUNNING:
		return VMIG_STATE_RUNNING;
	case SAVING:
		return VMIG_STATE_STOP_COPY;
	case SAVING | RUNNING:
		return VMIG_STATE_PRE_COPY;
	case RESUMING:
		return is_stopped(load) ? VMIG_STATE_STOP : VMIG_STATE_RESUMING;
	case RESUMING | SAVING:
		return VMIG_STATE_ERROR;
	default:
		return VMIG_STATE_NONE;
	}
}

static int ask(struct vmig_v1u *v, uint32_t *ret_bits, uint32_t *ret_state, struct vmig_error *error)
{
	int r = vmig_v1u_read_state(v, ret_bits, error);

	if (r < 0)
		return r;
	*ret_state = vmig_v1u_state_of(*ret_bits, atomic_load(&v->load));
	if (*ret_state == VMIG_STATE_NONE)
		return vmig_fault(error, -EPROTO, "v1 device_state", "%#x is an invalid state", *ret_bits);
	return 0;
}

int vmig_v1u_query_state(void *p, uint32_t *ret_state, struct vmig_error *error)
{
	uint32_t bits;

	return ask(p, &bits, ret_state, error);
}

/* --- ways --------------------------------------------------------------------------------- */

enum way {
	NO_WAY,      /* refused before anything is written */
	STAY,        /* nothing to do */
	DIRECT,      /* one write */
	BY_RUNNING,  /* two: _RUNNING first */
	IN_NAME_ONLY /* none: the device stays in _RESUMING */
};

/* From a state to a state. LOADED is the STOP after RESUMING. */
enum row { STOP_, RUNNING_, STOP_COPY_, RESUMING_, PRE_COPY_, LOADED_, N_ROWS };

static const uint8_t ways[N_ROWS][LOADED_] = {
	/*               STOP          RUNNING  STOP_COPY  RESUMING      PRE_COPY */
	[STOP_] = { STAY, DIRECT, DIRECT, BY_RUNNING, BY_RUNNING },
	[RUNNING_] = { DIRECT, STAY, DIRECT, DIRECT, DIRECT },
	[STOP_COPY_] = { DIRECT, DIRECT, STAY, BY_RUNNING, NO_WAY },
	[RESUMING_] = { IN_NAME_ONLY, DIRECT, NO_WAY, STAY, BY_RUNNING },
	[PRE_COPY_] = { BY_RUNNING, DIRECT, DIRECT, BY_RUNNING, STAY },
	[LOADED_] = { STAY, DIRECT, NO_WAY, IN_NAME_ONLY, BY_RUNNING },
};

static enum row row_of(uint32_t state)
{
	switch (state) {
	case VMIG_STATE_STOP:
		return STOP_;
	case VMIG_STATE_RUNNING:
		return RUNNING_;
	case VMIG_STATE_STOP_COPY:
		return STOP_COPY_;
	case VMIG_STATE_RESUMING:
		return RESUMING_;
	case VMIG_STATE_PRE_COPY:
		return PRE_COPY_;
	default:
		return N_ROWS;
	}
}

static uint32_t bits_of(uint32_t state)
{
	switch (state) {
	case VMIG_STATE_RUNNING:
		return RUNNING;
	case VMIG_STATE_STOP_COPY:
		return SAVING;
	case VMIG_STATE_PRE_COPY:
		return SAVING | RUNNING;
	case VMIG_STATE_RESUMING:
		return RESUMING;
	default:
		return 0;
	}
}

int vmig_v1u_probe_arc(void *p, uint32_t from, uint32_t to, uint32_t *ret_next)
{
	enum row a = row_of(from), b = row_of(to);

	if (a >= LOADED_ || b >= LOADED_ || ways[a][b] == NO_WAY)
		return -EINVAL;
	*ret_next = ways[a][b] == BY_RUNNING ? VMIG_STATE_RUNNING : to;
	return 0;
}

/* What stands against leaving _RESUMING. */
static int check_load(enum vmig_v1u_load load, uint32_t target, struct vmig_error *error)
{
	static const char where[] = "v1 device_state";

	if (load == VMIG_V1U_BROKEN)
		return vmig_fault(
			error, -EIO, where,
			"the state loaded into the device is not whole: only a reset leads out of RESUMING");
	if (load == VMIG_V1U_PART)
		return vmig_fault(error, -EBADMSG, where,
				  "the end of the stream has not come: more data, or a reset");
	if (load == VMIG_V1U_STOPPED && target == VMIG_STATE_RESUMING)
		return vmig_fault(error, -EINVAL, where,
				  "a device of v1 does not forget what was loaded: run it, or reset it");
	return 0;
}

static int find_way(uint32_t bits, uint32_t from, uint32_t target, enum vmig_v1u_load load, enum way *ret,
		    struct vmig_error *error)
{
	bool held = (bits & MASK) == RESUMING;
	enum row row = held && is_stopped(load) ? LOADED_ : row_of(from);

	if (from == VMIG_STATE_ERROR)
		return vmig_fault(error, -EIO, "v1 device_state",
				  "the device is in the error state: only a reset leads out");
	*ret = ways[row][row_of(target)];
	if (*ret == NO_WAY)
		return vmig_fault(error, -EINVAL, "v1 device_state", "%s",
				  held ? "a device of v1 that was loaded must run before it can be saved"
				       : "no way leads from STOP_COPY to PRE_COPY");
	return held && *ret != STAY ? check_load(load, target, error) : 0;
}

/* --- the walk ----------------------------------------------------------------------------- */

/* "The user application should perform a read-modify-write operation": the other bits are not ours. */
static int write_bits(struct vmig_v1u *v, uint32_t was, uint32_t bits, struct vmig_error *error)
{
	return vmig_v1u_write_state(v, (was & ~(uint32_t)MASK) | bits, error);
}

static int write_way(struct vmig_v1u *v, enum way way, uint32_t was, uint32_t target,
		     struct vmig_error *error)
{
	int r = 0;

	if (way == BY_RUNNING) {
		r = write_bits(v, was, RUNNING, error);
		if (!r)
			r = vmig_v1u_read_state(v, &was, error);
	}
	return r < 0 ? r : write_bits(v, was, bits_of(target), error);
}

static void rename_load(struct vmig_v1u *v, uint32_t target)
{
	enum vmig_v1u_load load = atomic_load(&v->load);

	if (target == VMIG_STATE_RESUMING)
		load = VMIG_V1U_NOTHING;
	else
		load = load == VMIG_V1U_NOTHING ? VMIG_V1U_STOPPED_EMPTY : VMIG_V1U_STOPPED;
	atomic_store(&v->load, load);
}

static bool saves(uint32_t state)
{
	return state == VMIG_STATE_PRE_COPY || state == VMIG_STATE_STOP_COPY;
}

/* Made before the device moves, so that nothing can fail once it has. */
static int prepare(struct vmig_v1u *v, uint32_t from, uint32_t target, struct vmig_session_half *ret)
{
	if (target == VMIG_STATE_RESUMING && from != target)
		return vmig_v1u_load_new(v, ret);
	if (saves(target) && !saves(from))
		return vmig_v1u_save_new(v, ret);
	return 0;
}

/* The device is in @target now: what ends, what begins. */
static void arrived(struct vmig_v1u *v, uint32_t from, uint32_t target, const struct vmig_session_half *half)
{
	v->state = target;
	v->untold = v->untold && saves(target);
	if (half->ops)
		v->session = half->s;
	else if (from != target && !(saves(from) && saves(target)))
		v->session = NULL;
}

/* f of the last transaction, before the state changes: else the device could think that it was not taken, and give it again. */
static int tell(struct vmig_v1u *v, uint32_t from, uint32_t target, struct vmig_error *error)
{
	uint64_t pending;

	return v->untold && from == VMIG_STATE_PRE_COPY && target == VMIG_STATE_STOP_COPY
		       ? vmig_v1u_pending(v, &pending, error)
		       : 0;
}

/* Under the lock. */
static int walk(struct vmig_v1u *v, uint32_t target, struct vmig_session_half *half, struct vmig_error *error)
{
	uint32_t bits, from;
	enum way way = STAY;
	int r = ask(v, &bits, &from, error);

	if (!r)
		r = find_way(bits, from, target, atomic_load(&v->load), &way, error);
	if (!r)
		r = prepare(v, from, target, half);
	if (!r)
		r = tell(v, from, target, error);
	if (r < 0)
		return r;
	v->state = VMIG_STATE_NONE;
	if ((bits & MASK) != RESUMING)
		atomic_store(&v->load, VMIG_V1U_NOTHING);
	if (way == IN_NAME_ONLY) {
		rename_load(v, target);
	} else if (way != STAY) {
		r = write_way(v, way, bits, target, error);
		if (!r)
			atomic_store(&v->load, VMIG_V1U_NOTHING);
	}
	if (!r)
		arrived(v, from, target, half);
	return r;
}

int vmig_v1u_set_state(void *p, uint32_t target, struct vmig_session_half *ret, struct vmig_error *error)
{
	struct vmig_session_half half = { 0 };
	struct vmig_v1u *v = p;
	int r;

	pthread_mutex_lock(&v->lock);
	r = walk(v, target, &half, error);
	pthread_mutex_unlock(&v->lock);
	if (!r)
		*ret = half;
	else if (half.ops)
		half.ops->close(half.s);
	return r;
}

/* --- reset -------------------------------------------------------------------------------- */

/* "The user application must use the device reset ioctl to recover the device": it must then run. */
static int check_reset(struct vmig_v1u *v, struct vmig_error *error)
{
	uint32_t bits, state;
	int r = ask(v, &bits, &state, error);

	if (r < 0 || state == VMIG_STATE_RUNNING)
		return r;
	vmig_device_gain_traits(v->self, VMIG_TRAIT_RESET_KEEPS_FSM);
	return vmig_fault(error, -EIO, "v1 device_state", "after a reset it is in %s: its state is lost",
			  vmig_state_name(state));
}

int vmig_v1u_reset(void *p, struct vmig_error *error)
{
	struct vmig_v1u *v = p;
	int r;

	pthread_mutex_lock(&v->lock);
	v->session = NULL;
	v->state = VMIG_STATE_NONE;
	r = vmig_device_reset(v->dev);
	if (r < 0) {
		vmig_v1u_keep(v, r, error);
	} else {
		atomic_store(&v->load, VMIG_V1U_NOTHING);
		r = check_reset(v, error);
	}
	pthread_mutex_unlock(&v->lock);
	return r;
}
