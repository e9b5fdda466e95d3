/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The handle: what holds for every device, whoever provides it. State calls one at a time, recovery,
 * the last error, and the guard against asking for ways that are forbidden.
 */
#include "handle/handle.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "fsm/fsm.h"

/* --- birth and end ------------------------------------------------------------------------ */

int vmig_device_new(const struct vmig_provider_ops *ops, void *p, const struct vmig_device_info *info,
		    struct vmig_device **ret)
{
	struct vmig_device *dev = calloc(1, sizeof(*dev));

	if (!dev)
		return -ENOMEM;
	dev->ops = ops;
	dev->p = p;
	dev->info = *info;
	dev->info.generation = 1;
	dev->known = VMIG_STATE_NONE;
	dev->error.from = VMIG_STATE_NONE;
	dev->error.to = VMIG_STATE_NONE;
	dev->refs = 1;
	pthread_mutex_init(&dev->state_lock, NULL);
	pthread_mutex_init(&dev->lock, NULL);
	*ret = dev;
	return 0;
}

void vmig_device_unref(struct vmig_device *dev)
{
	unsigned int left;

	pthread_mutex_lock(&dev->lock);
	left = --dev->refs;
	pthread_mutex_unlock(&dev->lock);
	if (left)
		return;
	pthread_mutex_destroy(&dev->lock);
	pthread_mutex_destroy(&dev->state_lock);
	free(dev);
}

void vmig_device_close(struct vmig_device *dev)
{
	if (!dev)
		return;
	vmig_session_orphan_all(dev);
	if (dev->ops->close)
		dev->ops->close(dev->p);
	vmig_device_unref(dev);
}

void vmig_device_query_info(struct vmig_device *dev, struct vmig_device_info *ret)
{
	pthread_mutex_lock(&dev->lock);
	*ret = dev->info;
	pthread_mutex_unlock(&dev->lock);
}

void vmig_device_gain_traits(struct vmig_device *dev, uint32_t traits)
{
	pthread_mutex_lock(&dev->lock);
	dev->info.traits |= traits;
	pthread_mutex_unlock(&dev->lock);
}

void vmig_device_set_note(struct vmig_device *dev, const char *text)
{
	pthread_mutex_lock(&dev->lock);
	snprintf(dev->note, sizeof(dev->note), "%s", text);
	pthread_mutex_unlock(&dev->lock);
}

void vmig_device_query_note(struct vmig_device *dev, char ret[VMIG_NOTE_MAX])
{
	pthread_mutex_lock(&dev->lock);
	memcpy(ret, dev->note, VMIG_NOTE_MAX);
	pthread_mutex_unlock(&dev->lock);
}

void vmig_device_set_timeout(struct vmig_device *dev, uint32_t ms)
{
	if (dev->ops->set_timeout)
		dev->ops->set_timeout(dev->p, ms);
}

/* --- the last error ----------------------------------------------------------------------- */

int vmig_device_keep_error(struct vmig_device *dev, int code, struct vmig_error *error, const char *where)
{
	if (!error->code)
		vmig_fault(error, code, where, "%s",
			   code == -EOPNOTSUPP ? "the device does not offer it" : "it failed");
	error->code = -code;
	pthread_mutex_lock(&dev->lock);
	dev->error = *error;
	pthread_mutex_unlock(&dev->lock);
	return code;
}

int vmig_device_fault(struct vmig_device *dev, int code, const char *where, const char *format, ...)
{
	struct vmig_error error;
	char text[sizeof(error.text)];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	vmig_fault(&error, code, where, "%s", text);
	return vmig_device_keep_error(dev, code, &error, where);
}

void vmig_device_query_error(struct vmig_device *dev, struct vmig_error *ret)
{
	pthread_mutex_lock(&dev->lock);
	*ret = dev->error;
	pthread_mutex_unlock(&dev->lock);
}

/* --- state -------------------------------------------------------------------------------- */

/** A state's name for a message; @buf for those that this library does not know. */
static const char *show(uint32_t state, char buf[24])
{
	const char *name = vmig_state_name(state);

	if (name)
		return name;
	if (state == VMIG_STATE_NONE)
		return "an unknown state";
	snprintf(buf, 24, "state %u", state);
	return buf;
}

static bool migrates(const struct vmig_device *dev)
{
	return dev->info.migration_flags && dev->ops->query_state && dev->ops->set_state;
}

static int ask_state(struct vmig_device *dev, uint32_t *ret, struct vmig_error *error)
{
	error->code = 0;
	return dev->ops->query_state(dev->p, ret, error);
}

int vmig_device_query_state(struct vmig_device *dev, uint32_t *ret_state)
{
	struct vmig_error error;
	int r;

	if (!migrates(dev))
		return vmig_device_fault(dev, -EOPNOTSUPP, "GET_STATE", "the device does not migrate");
	/* Without state_lock: it is asked for beside a long transition, too. */
	r = ask_state(dev, ret_state, &error);
	return r < 0 ? vmig_device_keep_error(dev, r, &error, "GET_STATE") : 0;
}

/** After a failure the state is asked for, not assumed. */
static void settle(struct vmig_device *dev)
{
	struct vmig_error ignored;

	if (ask_state(dev, &dev->known, &ignored) < 0) {
		dev->known = VMIG_STATE_NONE;
		return;
	}
	/* What a state of a newer peer means for a session is the provider's to say. */
	if (dev->known < VMIG_STATE_NR)
		vmig_session_end_for(dev, dev->known);
}

/*
 * Old kernels loop for ever on STOP_COPY -> PRE_COPY and -> PRE_COPY_P2P: never asked for. So before
 * either the state is asked for; a remembered one could be wrong.
 */
static int guard(struct vmig_device *dev, uint32_t target, struct vmig_error *error)
{
	bool risky = target == VMIG_STATE_PRE_COPY || target == VMIG_STATE_PRE_COPY_P2P;

	if (risky || dev->known == VMIG_STATE_NONE) {
		uint32_t state;
		int r = ask_state(dev, &state, error);

		dev->known = r < 0 ? VMIG_STATE_NONE : state;
		if (r < 0)
			return r;
	}
	if (risky && dev->known == VMIG_STATE_STOP_COPY)
		return vmig_fault(error, -EINVAL, "SET_STATE", "no way leads from STOP_COPY to %s",
				  vmig_state_name(target));
	return 0;
}

static void drop_half(const struct vmig_session_half *half)
{
	if (half->ops && half->ops->close)
		half->ops->close(half->s);
}

/** One request of the provider, and what it means for the sessions. */
static int walk(struct vmig_device *dev, uint32_t target, struct vmig_session **ret_session,
		struct vmig_error *error)
{
	struct vmig_session *session = ret_session ? vmig_session_alloc() : NULL;
	struct vmig_session_half half = { 0 };
	uint32_t from;
	int r;

	if (ret_session && !session)
		return vmig_fault(error, -ENOMEM, "SET_STATE", "no memory for a session");
	r = guard(dev, target, error);
	from = dev->known;
	if (!r) {
		error->code = 0;
		r = dev->ops->set_state(dev->p, target, &half, error);
		if (r < 0) {
			if (!error->code)
				vmig_fault(error, r, "SET_STATE", "the device refused it");
			settle(dev);
		}
	}
	if (r < 0) {
		error->from = from;
		error->to = target;
		free(session);
		return r;
	}
	dev->known = target;
	/* A session that starts ends the one before, whatever the states were. */
	vmig_session_end_for(dev, half.ops ? VMIG_STATE_NONE : target);
	if (half.ops && session) {
		vmig_session_bind(session, dev, &half);
		*ret_session = steal_ptr(session);
	} else {
		drop_half(&half);
	}
	free(session);
	return 0;
}

/** Walk to @recover if that can do any good. What goes wrong here is added to what went wrong first. */
static void recover_to(struct vmig_device *dev, uint32_t recover, struct vmig_error *first)
{
	char buf[24], text[2 * sizeof(first->text) + 128];
	struct vmig_error error;

	if (recover == VMIG_STATE_NONE || dev->known == VMIG_STATE_NONE || dev->known == VMIG_STATE_ERROR ||
	    dev->known == recover)
		return;
	if (!walk(dev, recover, NULL, &error))
		return;
	snprintf(text, sizeof(text), "%s; back to %s failed too: %s; it is in %s", first->text,
		 vmig_state_name(recover), error.text, show(dev->known, buf));
	text[sizeof(first->text) - 1] = '\0';
	memcpy(first->text, text, sizeof(first->text));
}

static int check_target(struct vmig_device *dev, uint32_t target, uint32_t recover)
{
	uint64_t flags = dev->info.migration_flags;
	char buf[24];

	if (!migrates(dev))
		return vmig_device_fault(dev, -EOPNOTSUPP, "SET_STATE", "the device does not migrate");
	if (target == VMIG_STATE_ERROR || !vmig_state_supported(flags, target))
		return vmig_device_fault(dev, -EINVAL, "SET_STATE", "%s is no state to ask this device for",
					 show(target, buf));
	if (recover != VMIG_STATE_NONE &&
	    (recover == VMIG_STATE_ERROR || !vmig_state_supported(flags, recover)))
		return vmig_device_fault(dev, -EINVAL, "SET_STATE", "%s is no state to recover to",
					 show(recover, buf));
	return 0;
}

int vmig_device_set_state(struct vmig_device *dev, uint32_t target, uint32_t recover,
			  struct vmig_session **ret_session)
{
	struct vmig_error error;
	char buf[2][24];
	uint32_t end;
	int r;

	if (ret_session)
		*ret_session = NULL;
	r = check_target(dev, target, recover);
	if (r < 0)
		return r;
	pthread_mutex_lock(&dev->state_lock);
	r = walk(dev, target, ret_session, &error);
	if (r < 0)
		recover_to(dev, recover, &error);
	end = dev->known;
	pthread_mutex_unlock(&dev->state_lock);
	vmig_log(VMIG_LOG_DEBUG, "%s: to %s: %s, in %s", dev->info.name, show(target, buf[0]),
		 r < 0 ? "failed" : "done", show(end, buf[1]));
	return r < 0 ? vmig_device_keep_error(dev, r, &error, "SET_STATE") : 0;
}

int vmig_device_probe_arc(struct vmig_device *dev, uint32_t from, uint32_t to, uint32_t *ret_next)
{
	uint32_t next;
	int r;

	if (!migrates(dev))
		return vmig_device_fault(dev, -EOPNOTSUPP, "PROBE_ARC", "the device does not migrate");
	r = vmig_state_next(dev->info.migration_flags, from, to, &next);
	if (!r && from != to && dev->ops->probe_arc)
		r = dev->ops->probe_arc(dev->p, from, to, &next);
	if (r)
		return vmig_device_fault(dev, -EINVAL, "PROBE_ARC", "no way leads from state %u to state %u",
					 from, to);
	if (ret_next)
		*ret_next = next;
	return 0;
}

int vmig_device_reset(struct vmig_device *dev)
{
	struct vmig_error error = { 0 };
	int r;

	if (!dev->ops->reset || !(dev->info.flags & VMIG_DEVICE_FLAG_RESET))
		return vmig_device_fault(dev, -EOPNOTSUPP, "RESET", "the device has no reset");
	pthread_mutex_lock(&dev->state_lock);
	r = dev->ops->reset(dev->p, &error);
	dev->known = VMIG_STATE_NONE;
	/* A reset that failed may have been done in part: nothing that was under way can be trusted. */
	vmig_session_end_for(dev, VMIG_STATE_NONE);
	pthread_mutex_lock(&dev->lock);
	dev->info.generation++;
	pthread_mutex_unlock(&dev->lock);
	pthread_mutex_unlock(&dev->state_lock);
	return r < 0 ? vmig_device_keep_error(dev, r, &error, "RESET") : 0;
}

int vmig_device_query_stop_copy_size(struct vmig_device *dev, uint64_t *ret_bytes)
{
	struct vmig_error error = { 0 };
	int r;

	if (!dev->ops->query_stop_copy_size || !(dev->info.has & VMIG_HAS_STOP_COPY_SIZE))
		return vmig_device_fault(dev, -EOPNOTSUPP, "MIG_DATA_SIZE", "the device does not offer it");
	r = dev->ops->query_stop_copy_size(dev->p, ret_bytes, &error);
	return r < 0 ? vmig_device_keep_error(dev, r, &error, "MIG_DATA_SIZE") : 0;
}
