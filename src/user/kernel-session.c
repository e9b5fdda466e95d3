/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/ioctl.h>

#include "user/kernel.h"

struct kernel_session {
	struct vmig_kernel *k; /* outlives the session: the handle sees to it */
	int fd;
};

/* A driver that waits for its hardware says so to a descriptor that does not block; thus the wait has an end. */
static int wait_for(const struct kernel_session *s, short events)
{
	unsigned int ms = atomic_load(&s->k->timeout_ms);
	struct pollfd poll_fd = { .fd = s->fd, .events = events };
	int r = poll(&poll_fd, 1, ms && ms <= INT_MAX ? (int)ms : -1);

	if (r < 0)
		return errno == EINTR ? 0 : -errno;
	return r ? 0 : -ETIMEDOUT;
}

static ssize_t kernel_readv(void *opaque, const struct iovec *iov, int n, struct vmig_error *error)
{
	struct kernel_session *s = opaque;

	for (;;) {
		ssize_t got = readv(s->fd, iov, MIN(n, IOV_MAX));
		int r;

		if (got >= 0)
			return got;
		if (errno == EINTR)
			continue;
		if (errno == ENOMSG)
			return -ENOMSG;
		r = errno == EAGAIN ? wait_for(s, POLLIN) : -errno;
		if (r)
			return vmig_fault(error, r, "read(data_fd)", "the device does not give its state");
	}
}

static int write_piece(struct kernel_session *s, const char *at, size_t left)
{
	while (left) {
		ssize_t put = write(s->fd, at, left);
		int r = 0;

		if (put > 0) {
			at += put;
			left -= (size_t)put;
		} else if (!put) {
			return -EIO;
		} else if (errno == EAGAIN) {
			r = wait_for(s, POLLOUT);
		} else if (errno != EINTR) {
			return -errno;
		}
		if (r)
			return r;
	}
	return 0;
}

/* Piece by piece, not writev(): there the kernel reports the bytes before a bad piece and drops its error, and whoever
 * then writes the rest again may get it accepted. */
static int kernel_writev(void *opaque, const struct iovec *iov, int n, struct vmig_error *error)
{
	struct kernel_session *s = opaque;

	for (int i = 0; i < n; i++) {
		int r = write_piece(s, iov[i].iov_base, iov[i].iov_len);

		if (r) {
			atomic_store(&s->k->load_is_broken, true);
			return vmig_fault(error, r, "write(data_fd)",
					  "the device refuses the state that is loaded into it");
		}
	}
	return 0;
}

static int kernel_query_precopy(void *opaque, struct vmig_precopy *ret, struct vmig_error *error)
{
	struct kernel_session *s = opaque;
	struct vmig_uapi_precopy_info info = { .argsz = sizeof(info) };

	if (ioctl(s->fd, VMIG_UAPI_MIG_GET_PRECOPY_INFO, &info) < 0)
		return vmig_fault(error, errno == ENOTTY ? -EOPNOTSUPP : -errno, "VFIO_MIG_GET_PRECOPY_INFO",
				  "the device does not tell its pre-copy sizes");
	*ret = (struct vmig_precopy){
		.initial_bytes = info.initial_bytes,
		.dirty_bytes = info.dirty_bytes,
		.flags = s->k->info.has & VMIG_HAS_REINIT ? info.flags : 0,
	};
	return 0;
}

static void kernel_session_close(void *opaque)
{
	struct kernel_session *s = opaque;

	close(s->fd);
	free(s);
}

static const struct vmig_session_ops saving_ops = {
	.readv = kernel_readv,
	.query_precopy = kernel_query_precopy,
	.close = kernel_session_close,
};

static const struct vmig_session_ops loading_ops = {
	.writev = kernel_writev,
	.close = kernel_session_close,
};

int vmig_kernel_session_new(struct vmig_kernel *k, int data_fd, bool loading, struct vmig_session_half *ret)
{
	_autoclose_ int fd = data_fd;
	struct kernel_session *s = malloc(sizeof(*s));
	int flags = fcntl(fd, F_GETFL);

	if (!s)
		return -ENOMEM;
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	/* Should this fail, then reads block without a deadline: no more than the kernel offered. */
	if (flags >= 0)
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	*s = (struct kernel_session){ .k = k, .fd = steal_fd(&fd) };
	*ret = (struct vmig_session_half){ .ops = loading ? &loading_ops : &saving_ops, .s = s };
	return 0;
}
