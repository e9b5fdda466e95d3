/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules of the data that are read and written, and where they cannot be. */
#include <errno.h>

#include "kernel-rule.h"

static ssize_t drained_is_the_end(struct kernel_mutant *m, int fd, void *buf, size_t len, ssize_t r)
{
	return r < 0 && errno == ENOMSG ? 0 : r;
}

static ssize_t byte_after_the_end(struct kernel_mutant *m, int fd, void *buf, size_t len, ssize_t r)
{
	if (r || m->state != VMIG_STATE_STOP_COPY || ++m->n < 3)
		return r;
	*(uint8_t *)buf = 0;
	return 1;
}

static ssize_t small_reads_end(struct kernel_mutant *m, int fd, void *buf, size_t len, ssize_t r)
{
	return m->state == VMIG_STATE_STOP_COPY && len == 64 && r > 0 ? 0 : r;
}

static int not_readable_at_the_end(struct kernel_mutant *m, struct pollfd *fds, int r)
{
	if (m->state != VMIG_STATE_STOP_COPY)
		return r;
	fds[0].revents = 0;
	return 0;
}

static int always_readable(struct kernel_mutant *m, struct pollfd *fds, int r)
{
	fds[0].revents |= POLLIN;
	return 1;
}

static ssize_t writes_while_saving(struct kernel_mutant *m, int fd, const void *buf, size_t len)
{
	return m->state == VMIG_STATE_STOP_COPY ? (ssize_t)len : m->good.write(m->good.opaque, fd, buf, len);
}

static ssize_t reads_while_loading(struct kernel_mutant *m, int fd, void *buf, size_t len, ssize_t r)
{
	return r < 0 && m->state == VMIG_STATE_RESUMING ? 0 : r;
}

/* As mtty: the error is told, and the data are counted all the same. */
static ssize_t refuses_and_counts(struct kernel_mutant *m, int fd, const void *buf, size_t len)
{
	if (m->written || *(const uint8_t *)buf == m->first)
		return m->good.write(m->good.opaque, fd, buf, len);
	m->refused = true;
	return kernel_mutant_error(EFAULT);
}

/* RESUMING is left with what was there before. */
static int leave_resuming(struct kernel_mutant *m, int fd)
{
	kernel_good_ioctl(m, fd, VMIG_UAPI_DEVICE_RESET, NULL);
	return kernel_good_set(m, fd, VMIG_STATE_STOP);
}

static bool leaves(const struct kernel_mutant *m, const struct feature_arg *f)
{
	return kernel_is(f, STATE, SET) && m->state == VMIG_STATE_RESUMING &&
	       f->state.device_state == VMIG_STATE_STOP;
}

static int counts_what_was_refused(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	return leaves(m, kernel_feature_of(request, arg)) && m->refused
		       ? leave_resuming(m, fd)
		       : kernel_good_ioctl(m, fd, request, arg);
}

static int takes_half(struct kernel_mutant *m, int fd, unsigned long request, void *arg)
{
	return leaves(m, kernel_feature_of(request, arg)) && m->written == m->saved / 2
		       ? leave_resuming(m, fd)
		       : kernel_good_ioctl(m, fd, request, arg);
}

const struct kernel_rule kernel_rules_data[] = {
	{ "drained-is-the-end", .read = drained_is_the_end },
	{ "byte-after-the-end", .read = byte_after_the_end },
	{ "small-reads-end", .read = small_reads_end },
	{ "not-readable-at-the-end", .poll = not_readable_at_the_end },
	{ "readable-when-drained", .poll = always_readable },
	{ "counts-what-was-refused", .write = refuses_and_counts, .ioctl = counts_what_was_refused },
	{ "takes-half", .ioctl = takes_half },
	{ "writes-while-saving", .write = writes_while_saving },
	{ "reads-while-loading", .read = reads_while_loading },
	{ "seeks", .seeks = true },
	{ 0 },
};
