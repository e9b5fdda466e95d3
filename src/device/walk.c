/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The model's state machine: the walk by single arcs, what each does to the session, ERROR and reset.
 */
#include "base/log.h"
#include "device/core.h"
#include "fsm/fsm.h"

void vmig_model_lock(struct vmig_model *model)
{
	pthread_mutex_lock(&model->turnstile);
	pthread_mutex_unlock(&model->turnstile);
	pthread_mutex_lock(&model->lock);
}

void vmig_model_unlock(struct vmig_model *model)
{
	pthread_mutex_unlock(&model->lock);
}

static void lock_to_move(struct vmig_model *model)
{
	pthread_mutex_lock(&model->turnstile);
	pthread_mutex_lock(&model->lock);
}

static void unlock_moved(struct vmig_model *model)
{
	pthread_mutex_unlock(&model->lock);
	pthread_mutex_unlock(&model->turnstile);
}

/** The one writer of the state. A state outside the saving group and RESUMING has no session. */
static void enter(struct vmig_model *model, uint32_t state)
{
	if (!vmig_fsm_saving(state) && state != VMIG_STATE_RESUMING)
		model->session = NULL;
	atomic_store(&model->state, state);
	vmig_log(VMIG_LOG_DEBUG, "state: %s", vmig_state_name(state));
}

static int step_failed(struct vmig_model *model, uint32_t from, uint32_t to, uint32_t state, int code,
		       struct vmig_error *error)
{
	/* The text allows two ends of a failed arc. What else a device may say is not to be trusted. */
	if (state != from)
		enter(model, VMIG_STATE_ERROR);
	vmig_fault(error, code, "SET_STATE", "the device failed the step from %s to %s%s",
		   vmig_state_name(from), vmig_state_name(to), state != from ? " and is in ERROR" : "");
	return code;
}

/** One arc. The device does it; the library decides what it means. */
static int step(struct vmig_model *model, const struct vmig_arc *arc, struct vmig_model_session *fresh,
		struct vmig_error *error)
{
	uint32_t from = arc->from, to = arc->to, state = from;
	struct vmig_tag tag = model->tag;
	int r;

	/* Data that the device has refused cannot become good by leaving out the rest. */
	if (from == VMIG_STATE_RESUMING && model->load_fault)
		return vmig_fault(error, -EINVAL, "SET_STATE",
				  "what was loaded is bad: only a reset leads out of RESUMING");
	vmig_log(VMIG_LOG_DEBUG, "step: %s to %s", vmig_state_name(from), vmig_state_name(to));
	if (to == VMIG_STATE_RESUMING)
		vmig_model_tag_loading(model);
	r = model->ops.step(model->opaque, from, to, &state);
	if (r < 0 && state == from)
		vmig_model_tag_restore(model, &tag);
	if (r < 0)
		return step_failed(model, from, to, state, r, error);
	if (arc->session == VMIG_ARC_SAVE || arc->session == VMIG_ARC_LOAD)
		model->session = fresh;
	enter(model, to);
	return 0;
}

static int walk(struct vmig_model *model, uint32_t target, struct vmig_model_session *fresh,
		struct vmig_error *error)
{
	while (atomic_load(&model->state) != target) {
		uint32_t at = atomic_load(&model->state), next;
		int r = vmig_state_next(model->migration_flags, at, target, &next);

		if (r < 0)
			return vmig_fault(
				error, r, "SET_STATE", "no way leads from %s to %s", vmig_state_name(at),
				vmig_state_name(target) ? vmig_state_name(target) : "an unknown state");
		r = step(model, vmig_fsm_arc(model->migration_flags, at, next), fresh, error);
		if (r < 0)
			return r;
	}
	return 0;
}

int vmig_model_walk(struct vmig_model *model, uint32_t target, struct vmig_session_half *ret,
		    struct vmig_error *error)
{
	struct vmig_model_session *fresh = NULL;
	enum vmig_arc_session end;
	int r = 0;

	lock_to_move(model);
	end = vmig_fsm_walk_session(model->migration_flags, atomic_load(&model->state), target);
	/* Made before the first step, so that nothing can fail after the last. */
	if (end == VMIG_ARC_SAVE || end == VMIG_ARC_LOAD) {
		fresh = vmig_model_session_new(model, end == VMIG_ARC_LOAD);
		if (!fresh)
			r = vmig_fault(error, -ENOMEM, "SET_STATE", "no memory for a session");
	}
	if (!r)
		r = walk(model, target, fresh, error);
	if (!r && fresh)
		*ret = vmig_model_session_half(steal_ptr(fresh));
	unlock_moved(model);
	free(fresh);
	return r;
}

int vmig_model_reset(struct vmig_model *model, struct vmig_error *error)
{
	int r;

	lock_to_move(model);
	vmig_log(VMIG_LOG_DEBUG, "step: reset");
	/* First, so that nobody sees the old name on a state that is gone. */
	vmig_model_tag_blank(model);
	r = model->ops.reset(model->opaque);
	/* Whatever came of it, no session survives, and what failed to reset is not to be trusted. */
	enter(model, r < 0 ? VMIG_STATE_ERROR : VMIG_STATE_RUNNING);
	model->load_fault = 0;
	unlock_moved(model);
	vmig_irqs_reset(&model->irqs);
	(void)vmig_dma_log_stop(&model->dma.log, NULL);
	return r < 0 ? vmig_fault(error, r, "RESET", "the device failed to reset") : 0;
}
