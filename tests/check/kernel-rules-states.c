/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules of GET and SET. */
#include <errno.h>
#include <unistd.h>

#include "kernel-rule.h"

static uint32_t target_of(const struct feature_arg *f)
{
	return kernel_is(f, STATE, SET) ? f->state.device_state : VMIG_STATE_NONE;
}

static int get_tells_a_fd(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	struct feature_arg *f = kernel_feature_of(request, arg);
	bool get = kernel_is(f, STATE, GET);
	int r = kernel_good_ioctl(m, fd, request, arg);

	if (get)
		f->state.data_fd = 0;
	return r;
}

/* It was not assigned: what came goes back. */
static int get_leaves_fd(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	struct feature_arg *f = kernel_feature_of(request, arg);
	bool get = kernel_is(f, STATE, GET);
	int32_t came = get ? f->state.data_fd : -1;
	int r = kernel_good_ioctl(m, fd, request, arg);

	if (get)
		f->state.data_fd = came;
	return r;
}

static int same_state_new_fd(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	struct feature_arg *f = kernel_feature_of(request, arg);
	bool same = target_of(f) == m->state;
	int r = kernel_good_ioctl(m, fd, request, arg);

	if (same && m->state == VMIG_STATE_STOP_COPY)
		f->state.data_fd = m->good.dup(m->good.opaque, m->session_fd);
	return r;
}

static int goes_to_error(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	return target_of(kernel_feature_of(request, arg)) == VMIG_STATE_ERROR
		       ? 0
		       : kernel_good_ioctl(m, fd, request, arg);
}

/* Refused, but not as it should be: the device has moved. */
static int error_moves(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	if (target_of(kernel_feature_of(request, arg)) != VMIG_STATE_ERROR)
		return kernel_good_ioctl(m, fd, request, arg);
	if (m->state == VMIG_STATE_RUNNING)
		kernel_good_set(m, fd, VMIG_STATE_STOP);
	return kernel_mutant_error(EINVAL);
}

static bool unknown(uint32_t target)
{
	return target != VMIG_STATE_NONE && target >= VMIG_STATE_NR;
}

static int goes_to_unknown(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	return unknown(target_of(kernel_feature_of(request, arg))) ? 0
								   : kernel_good_ioctl(m, fd, request, arg);
}

static int unknown_is_odd(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	return unknown(target_of(kernel_feature_of(request, arg))) ? kernel_mutant_error(EOPNOTSUPP)
								   : kernel_good_ioctl(m, fd, request, arg);
}

static int takes_optional(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	uint32_t target = target_of(kernel_feature_of(request, arg));

	return target == VMIG_STATE_RUNNING_P2P ? 0 : kernel_good_ioctl(m, fd, request, arg);
}

static int takes_pre_copy(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	uint32_t target = target_of(kernel_feature_of(request, arg));

	return target == VMIG_STATE_PRE_COPY_P2P ? 0 : kernel_good_ioctl(m, fd, request, arg);
}

/* One that goes to ERROR when it was given no data, and leaves it by SET. @n: it is there. */
static int leaves_error(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	struct feature_arg *f = kernel_feature_of(request, arg);
	uint32_t target = target_of(f);
	int r;

	if (m->n && kernel_is(f, STATE, GET)) {
		f->state = (struct vmig_uapi_device_feature_mig_state){ VMIG_STATE_ERROR, -1 };
		return 0;
	}
	if (m->n && target != VMIG_STATE_NONE && target != VMIG_STATE_STOP)
		return kernel_mutant_error(EINVAL);
	if (m->n && target == VMIG_STATE_STOP)
		kernel_good_ioctl(m, fd, VMIG_UAPI_DEVICE_RESET, NULL);
	r = kernel_good_ioctl(m, fd, request, arg);
	if (target == VMIG_STATE_STOP || request == VMIG_UAPI_DEVICE_RESET)
		m->n = r < 0 && m->state == VMIG_STATE_RESUMING && !m->written;
	return r;
}

static int goes_back(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	uint32_t target = target_of(kernel_feature_of(request, arg));

	return m->state == VMIG_STATE_STOP_COPY && target == VMIG_STATE_PRE_COPY
		       ? 0
		       : kernel_good_ioctl(m, fd, request, arg);
}

static int never_comes_back(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	uint32_t target = target_of(kernel_feature_of(request, arg));

	while (m->state == VMIG_STATE_STOP_COPY && target == VMIG_STATE_PRE_COPY)
		pause();
	return kernel_good_ioctl(m, fd, request, arg);
}

const struct kernel_rule kernel_rules_states[] = {
	{ "get-tells-a-fd", .ioctl = get_tells_a_fd },
	{ "get-leaves-fd", .ioctl = get_leaves_fd },
	{ "same-state-new-fd", .ioctl = same_state_new_fd },
	{ "goes-to-error", .ioctl = goes_to_error },
	{ "error-moves", .ioctl = error_moves },
	{ "goes-to-unknown", .ioctl = goes_to_unknown },
	{ "unknown-is-odd", .ioctl = unknown_is_odd },
	{ "takes-p2p", .ioctl = takes_optional, .spec = "nic,state=16K,p2p=off" },
	{ "takes-pre-copy", .ioctl = takes_pre_copy, .spec = "nic,state=16K,precopy=off" },
	{ "leaves-error", .ioctl = leaves_error },
	{ "never-comes-back", .ioctl = never_comes_back },
	{ "goes-back", .ioctl = goes_back },
	{ 0 },
};
