/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules of sessions: what has ended goes on. */
#include <errno.h>
#include <string.h>

#include "kernel-rule.h"

static ssize_t some(void *buf, size_t len)
{
	memset(buf, 0, len < 16 ? len : 16);
	return len < 16 ? (ssize_t)len : 16;
}

static bool walked(const struct kernel_mutant *m, uint32_t from, uint32_t to)
{
	return m->from == from && m->state == to && !m->was_reset;
}

static ssize_t stop_copy_goes_on(struct kernel_mutant *m, int fd, void *buf, size_t len, ssize_t r)
{
	return r < 0 && walked(m, VMIG_STATE_STOP_COPY, VMIG_STATE_STOP) ? some(buf, len) : r;
}

static ssize_t pre_copy_goes_on(struct kernel_mutant *m, int fd, void *buf, size_t len, ssize_t r)
{
	return r < 0 && walked(m, VMIG_STATE_PRE_COPY, VMIG_STATE_RUNNING) ? some(buf, len) : r;
}

static ssize_t pre_copy_p2p_goes_on(struct kernel_mutant *m, int fd, void *buf, size_t len, ssize_t r)
{
	return r < 0 && walked(m, VMIG_STATE_PRE_COPY_P2P, VMIG_STATE_RUNNING_P2P) ? some(buf, len) : r;
}

/* The old descriptor is good again for the new session. */
static ssize_t comes_back(struct kernel_mutant *m, int fd, void *buf, size_t len, ssize_t r)
{
	return r < 0 && walked(m, VMIG_STATE_STOP, VMIG_STATE_STOP_COPY) && fd != m->session_fd
		       ? m->good.read(m->good.opaque, m->session_fd, buf, len)
		       : r;
}

static ssize_t ends_by_zero(struct kernel_mutant *m, int fd, void *buf, size_t len, ssize_t r)
{
	return r < 0 && walked(m, VMIG_STATE_STOP_COPY, VMIG_STATE_STOP) ? 0 : r;
}

static ssize_t reset_goes_on(struct kernel_mutant *m, int fd, void *buf, size_t len, ssize_t r)
{
	return r < 0 && m->was_reset && m->from == VMIG_STATE_STOP_COPY ? some(buf, len) : r;
}

static ssize_t resuming_goes_on(struct kernel_mutant *m, int fd, const void *buf, size_t len)
{
	ssize_t r = m->good.write(m->good.opaque, fd, buf, len);

	return r < 0 && walked(m, VMIG_STATE_RESUMING, VMIG_STATE_STOP) ? (ssize_t)len : r;
}

static ssize_t reset_takes_more(struct kernel_mutant *m, int fd, const void *buf, size_t len)
{
	ssize_t r = m->good.write(m->good.opaque, fd, buf, len);

	return r < 0 && m->was_reset && m->from == VMIG_STATE_RESUMING ? (ssize_t)len : r;
}

/* Out of a session of the saving group, into STOP_COPY: one more descriptor. */
static int group_gives_new_fd(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	struct feature_arg *f = kernel_feature_of(request, arg);
	bool there = kernel_is(f, STATE, SET) && f->state.device_state == VMIG_STATE_STOP_COPY &&
		     m->state == VMIG_STATE_PRE_COPY;
	int r = kernel_good_ioctl(m, fd, request, arg);

	if (there && !r)
		f->state.data_fd = m->good.dup(m->good.opaque, m->session_fd);
	return r;
}

/* What began in PRE_COPY is at its end in STOP_COPY. */
static ssize_t group_ends_fd(struct kernel_mutant *m, int fd, void *buf, size_t len, ssize_t r)
{
	return r > 0 && walked(m, VMIG_STATE_PRE_COPY, VMIG_STATE_STOP_COPY) ? 0 : r;
}

static void close_moves(struct kernel_mutant *m, int fd)
{
	if (fd == m->session_fd && m->state == VMIG_STATE_PRE_COPY)
		kernel_good_set(m, m->device_fd, VMIG_STATE_RUNNING);
}

/* Any descriptor that is closed ends it for all. */
static void close_ends(struct kernel_mutant *m, int fd)
{
	m->n = fd == m->session_fd;
}

static ssize_t read_unless_closed(struct kernel_mutant *m, int fd, void *buf, size_t len, ssize_t r)
{
	return m->n && fd != m->session_fd ? kernel_mutant_error(ENODEV) : r;
}

/* The session outlives its device. */
static ssize_t outlives(struct kernel_mutant *m, int fd, void *buf, size_t len, ssize_t r)
{
	return r < 0 && m->device_fd < 0 ? some(buf, len) : r;
}

const struct kernel_rule kernel_rules_sessions[] = {
	{ "stop-copy-goes-on", .read = stop_copy_goes_on },
	{ "pre-copy-goes-on", .read = pre_copy_goes_on },
	{ "pre-copy-p2p-goes-on", .read = pre_copy_p2p_goes_on },
	{ "session-comes-back", .read = comes_back },
	{ "ends-by-zero", .read = ends_by_zero },
	{ "reset-goes-on", .read = reset_goes_on },
	{ "reset-takes-more", .write = reset_takes_more },
	{ "resuming-goes-on", .write = resuming_goes_on },
	{ "group-gives-new-fd", .ioctl = group_gives_new_fd },
	{ "group-ends-fd", .read = group_ends_fd },
	{ "close-moves", .close = close_moves },
	{ "close-ends", .close = close_ends, .read = read_unless_closed },
	{ "session-outlives-device", .read = outlives },
	{ 0 },
};
