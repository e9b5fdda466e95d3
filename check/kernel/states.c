/* SPDX-License-Identifier: BSD-3-Clause */
/* The state machine by GET and SET: what they answer, and what is no target. */
#include "kernel.h"

#include <errno.h>
#include <string.h>

#define FOR_EACH_STATE(state) for (uint32_t state = VMIG_STATE_STOP; state < VMIG_STATE_NR; state++)

void check_kernel_get(struct check_context *c)
{
	FOR_EACH_STATE(state)
	{
		struct vmig_uapi_device_feature_mig_state m;
		int fd, r;

		if (!check_has_state(c, state))
			continue;
		fd = kernel_bring(c, state);
		check_did(c, "GET in %s, where data_fd came as %#x", check_state_name(state),
			  KERNEL_NO_FD_GIVEN);
		r = kernel_get(c, &m);
		if (r)
			check_fail(c, "the state can be asked for at any time", "%s", strerror(-r));
		if (m.data_fd != -1)
			check_fail(c, "data_fd is -1", "it is %d", m.data_fd);
		kernel_close(c, fd);
	}
}

void check_kernel_same(struct check_context *c)
{
	FOR_EACH_STATE(state)
	{
		int fd, again, r;

		if (!check_has_state(c, state))
			continue;
		fd = kernel_bring(c, state);
		check_did(c, "SET %s in %s", check_state_name(state), check_state_name(state));
		r = kernel_set(c, state, CHECK_WANT_SUCCESS, &again);
		if (r)
			check_fail(c, "it succeeds, as the device is there", "%s", strerror(-r));
		kernel_in_state(c, state);
		if (again != -1)
			check_fail(c, "data_fd is -1: no new session starts", "it is %d", again);
		kernel_close(c, fd);
	}
}

/* --- what is refused ------------------------------------------------------------------------------------ */

/* No way leads there, so that the state must stay. The text does not say which error; what the kernel's core says is known. */
static int refused(struct check_context *c, uint32_t from, uint32_t target)
{
	int session = kernel_bring(c, from), fd, r;

	check_did(c, "SET %s (%u) in %s", check_state_name(target), target, check_state_name(from));
	r = kernel_set(c, target, CHECK_WANT_ERROR, &fd);
	if (!r)
		check_fail(c, "an error", "it succeeds, and the state is %s",
			   check_state_name(kernel_state(c)));
	kernel_in_state(c, from);
	kernel_close(c, session);
	return r;
}

static void refused_everywhere(struct check_context *c, const uint32_t *targets, size_t n)
{
	int other = 0;

	FOR_EACH_STATE(from)
	for (size_t i = 0; i < n && check_has_state(c, from); i++) {
		int r = refused(c, from, targets[i]);

		other = r != -EINVAL ? r : other;
	}
	if (other)
		check_observe(c, "EINVAL, as the kernel's core says", "%s", strerror(-other));
}

void check_kernel_error(struct check_context *c)
{
	static const uint32_t targets[] = { VMIG_STATE_ERROR };

	refused_everywhere(c, targets, 1);
}

void check_kernel_unknown(struct check_context *c)
{
	static const uint32_t targets[] = { 8, 9, 255, 0x7fffffff, 0xffffffff };

	refused_everywhere(c, targets, sizeof(targets) / sizeof(targets[0]));
}

/* From STOP_COPY to PRE_COPY is a check of its own, as it may not come back. */
void check_kernel_optional(struct check_context *c)
{
	uint32_t n = 0;
	int other = 0;

	FOR_EACH_STATE(from)
	FOR_EACH_STATE(target)
	{
		int r;

		if (!check_has_state(c, from) || check_has_state(c, target) ||
		    (from == VMIG_STATE_STOP_COPY && target >= VMIG_STATE_PRE_COPY))
			continue;
		n++;
		r = refused(c, from, target);
		other = r != -EINVAL ? r : other;
	}
	if (!n)
		check_end(c, CHECK_NOT_APPLICABLE, "", "the device has all states that there are");
	if (other)
		check_observe(c, "EINVAL, as the kernel's core says", "%s", strerror(-other));
}

/* RESUMING without data is left: the one failure that every device has. Not all go to ERROR for it. */
static bool brought_to_error(struct check_context *c)
{
	int session = kernel_bring(c, VMIG_STATE_RESUMING), fd;

	(void)kernel_set(c, VMIG_STATE_STOP, CHECK_WANT_EITHER, &fd);
	kernel_close(c, session);
	return kernel_state(c) == VMIG_STATE_ERROR;
}

void check_kernel_out_of_error(struct check_context *c)
{
	FOR_EACH_STATE(target)
	{
		int fd;

		if (!check_has_state(c, target))
			continue;
		if (!brought_to_error(c))
			check_end(c, CHECK_NOT_APPLICABLE, "",
				  "the device does not go to ERROR when it was given no data");
		check_did(c, "SET %s in ERROR", check_state_name(target));
		if (!kernel_set(c, target, CHECK_WANT_ERROR, &fd))
			check_fail(c, "an error: only a reset leads out of ERROR", "it succeeds");
		kernel_in_state(c, VMIG_STATE_ERROR);
		kernel_reset(c);
	}
}

void check_kernel_back(struct check_context *c)
{
	for (uint32_t to = VMIG_STATE_PRE_COPY; to <= VMIG_STATE_PRE_COPY_P2P; to++)
		if (check_has_state(c, to))
			refused(c, VMIG_STATE_STOP_COPY, to);
}
