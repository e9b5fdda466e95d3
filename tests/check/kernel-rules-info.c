/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules of PRECOPY_INFO. */
#include <errno.h>

#include "kernel-rule.h"

static struct vmig_uapi_precopy_info *info_of(unsigned long request, void *arg)
{
	return request == VMIG_UAPI_MIG_GET_PRECOPY_INFO ? arg : NULL;
}

static bool in_precopy(const struct kernel_mutant *m)
{
	return m->state == VMIG_STATE_PRE_COPY || m->state == VMIG_STATE_PRE_COPY_P2P;
}

static int info_takes_short(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	struct vmig_uapi_precopy_info *info = info_of(request, arg);

	if (info && info->argsz == 16)
		info->argsz = sizeof(*info);
	return kernel_good_ioctl(m, fd, request, arg);
}

static int info_refuses_longer(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	const struct vmig_uapi_precopy_info *info = info_of(request, arg);

	return info && info->argsz > sizeof(*info) ? kernel_mutant_error(EINVAL)
						   : kernel_good_ioctl(m, fd, request, arg);
}

/* By the state that was when the session ended. */
static int info_after_the_end(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	return info_of(request, arg) && m->state == VMIG_STATE_STOP ? 0
								    : kernel_good_ioctl(m, fd, request, arg);
}

static int info_is_busy(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	return info_of(request, arg) && m->state == VMIG_STATE_STOP_COPY
		       ? kernel_mutant_error(EBUSY)
		       : kernel_good_ioctl(m, fd, request, arg);
}

/* As mtty, which does not know the call on such a session. */
static int no_info_while_loading(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	return info_of(request, arg) && m->state == VMIG_STATE_RESUMING
		       ? kernel_mutant_error(ENOTTY)
		       : kernel_good_ioctl(m, fd, request, arg);
}

static int says_zero(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	struct vmig_uapi_precopy_info *info = info_of(request, arg);
	int r = kernel_good_ioctl(m, fd, request, arg);

	if (info && !r)
		info->initial_bytes = info->dirty_bytes = 0;
	return r;
}

/* But not behind data. */
static ssize_t zero_when_both_are_zero(struct kernel_mutant *m, int fd, void *buf, size_t len, ssize_t r)
{
	return r < 0 && errno == ENOMSG && len == 1 ? 0 : r;
}

/* @n: somebody has opted in. */
static void note_opt_in(struct kernel_mutant *m, unsigned long request, void *arg)
{
	if (kernel_is(kernel_feature_of(request, arg), VMIG_UAPI_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, SET))
		m->n = 1;
}

static int reinit_uninvited(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	struct vmig_uapi_precopy_info *info = info_of(request, arg);
	int r = kernel_good_ioctl(m, fd, request, arg);

	note_opt_in(m, request, arg);
	if (info && !r && !m->n && in_precopy(m))
		info->flags |= VMIG_UAPI_PRECOPY_INFO_REINIT;
	return r;
}

/* As the drivers before Linux 7.1, and after the opt-in as well. */
static int flags_as_they_came(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	struct vmig_uapi_precopy_info *info = info_of(request, arg);
	uint32_t came = info ? info->flags : 0;
	int r = kernel_good_ioctl(m, fd, request, arg);

	if (info && !r)
		info->flags = came;
	return r;
}

const struct kernel_rule kernel_rules_info[] = {
	{ "info-takes-short", .ioctl = info_takes_short },
	{ "info-refuses-longer", .ioctl = info_refuses_longer },
	{ "info-after-the-end", .ioctl = info_after_the_end },
	{ "info-is-busy", .ioctl = info_is_busy },
	{ "no-info-while-loading", .ioctl = no_info_while_loading },
	{ "info-says-zero", .ioctl = says_zero },
	{ "zero-when-both-are-zero", .read = zero_when_both_are_zero },
	{ "reinit-uninvited", .ioctl = reinit_uninvited },
	{ "flags-as-they-came", .ioctl = flags_as_they_came },
	{ 0 },
};
