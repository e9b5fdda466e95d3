/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The receiving end of a vfio-user socket. Small messages come with one recvmsg(); so more may be read
 * than was meant (an error reply is shorter than the reply that was expected), and the surplus waits in
 * the buffer. Descriptors: the kernel ends a read behind the bytes that carry some, so they belong to
 * the message that holds the last byte of that read.
 */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "user/vfio_user.h"

int vmig_vuc_poll(int fd, short events, uint64_t deadline_ns)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = events };
		struct timespec left;
		uint64_t now;
		int r;

		if (deadline_ns) {
			now = vmig_now_ns();
			if (now >= deadline_ns)
				return -ETIMEDOUT;
			left.tv_sec = (time_t)((deadline_ns - now) / NS_PER_S);
			left.tv_nsec = (long)((deadline_ns - now) % NS_PER_S);
		}
		r = ppoll(&p, 1, deadline_ns ? &left : NULL, NULL);
		if (r > 0)
			return p.revents;
		if (r < 0 && errno != EINTR)
			return -errno;
	}
}

/* Keep what fits; close the others, which the protocol has no place for. */
static void keep_fds(struct vmig_vuc_in *in, const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (in->n_fds < ARRAY_SIZE(in->fds)) {
			in->fds[in->n_fds++] = fds[i];
		} else {
			in->fds_lost = true;
			close(fds[i]);
		}
	}
	in->fds_at = in->received;
}

static void take_control(struct vmig_vuc_in *in, struct msghdr *msg)
{
	int fds[VMIG_LIMIT_MSG_FDS];

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t len = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		len = MIN(len, sizeof(fds));
		memcpy(fds, CMSG_DATA(c), len);
		keep_fds(in, fds, len / sizeof(int));
	}
	/* The kernel has closed those for which there was no room. */
	if (msg->msg_flags & MSG_CTRUNC)
		in->fds_lost = true;
}

/* One recvmsg() with its deadline. The number of bytes, more than 0, or -errno. */
static ssize_t receive(struct vmig_vuc_in *in, struct iovec *iov, int n, int flags,
		       struct vmig_vuc_wait *wait)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * VMIG_LIMIT_MSG_FDS)];
	} control;
	struct msghdr msg;
	ssize_t r;

	for (;;) {
		if (!wait->try && wait->poll_from_ns && vmig_now_ns() >= wait->poll_from_ns) {
			r = vmig_vuc_poll(in->fd, POLLIN, wait->deadline_ns);
			if (r < 0)
				return r;
		}
		msg = (struct msghdr){ .msg_iov = iov,
				       .msg_iovlen = (size_t)n,
				       .msg_control = control.bytes,
				       .msg_controllen = sizeof(control.bytes) };
		r = recvmsg(in->fd, &msg, flags | MSG_CMSG_CLOEXEC | (wait->try ? MSG_DONTWAIT : 0));
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return wait->try ? -EAGAIN : -ETIMEDOUT;
		if (r < 0)
			return errno == EPIPE ? -ECONNRESET : -errno;
		if (!r)
			return -ECONNRESET;
		wait->try = false;
		in->received += (uint64_t)r;
		if (msg.msg_controllen || (msg.msg_flags & MSG_CTRUNC))
			take_control(in, &msg);
		return r;
	}
}

int vmig_vuc_in_fill(struct vmig_vuc_in *in, size_t want, size_t hint, struct vmig_vuc_wait *wait)
{
	if (in->start == in->end)
		in->start = in->end = 0;
	if (in->start + hint > sizeof(in->buf)) {
		memmove(in->buf, in->buf + in->start, in->end - in->start);
		in->end -= in->start;
		in->start = 0;
	}
	while (in->end - in->start < want) {
		/* What is in the buffer was read too far: no further, so that descriptors keep one owner. */
		size_t goal = in->end == in->start ? MIN(hint, sizeof(in->buf)) : want;
		struct iovec iov = { in->buf + in->end, in->start + goal - in->end };
		ssize_t r = receive(in, &iov, 1, 0, wait);

		if (r < 0)
			return (int)r;
		in->end += (size_t)r;
	}
	return 0;
}

int vmig_vuc_in_take(struct vmig_vuc_in *in, struct iovec *iov, int n, size_t len, struct vmig_vuc_wait *wait)
{
	size_t part = MIN(len, in->end - in->start);

	n = vmig_iov_cut(iov, n, len);
	if (part) {
		part = vmig_iov_from_buf(iov, n, in->buf + in->start, part);
		in->start += part;
		vmig_iov_skip(&iov, &n, part);
		len -= part;
	}
	while (len) {
		ssize_t r = receive(in, iov, n, MSG_WAITALL, wait);

		if (r < 0)
			return (int)r;
		len -= (size_t)r;
		vmig_iov_skip(&iov, &n, (size_t)r);
	}
	return 0;
}

int vmig_vuc_in_skip(struct vmig_vuc_in *in, size_t len, struct vmig_vuc_wait *wait)
{
	uint8_t nowhere[4096];
	int r = 0;

	while (len && !r) {
		struct iovec iov = { nowhere, MIN(len, sizeof(nowhere)) };
		size_t part = iov.iov_len;

		r = vmig_vuc_in_take(in, &iov, 1, part, wait);
		len -= part;
	}
	return r;
}

uint32_t vmig_vuc_in_take_fds(struct vmig_vuc_in *in, int *fds, uint32_t max, bool *ret_surplus)
{
	uint64_t message_end = in->received - (in->end - in->start);
	uint32_t n = 0;

	*ret_surplus = false;
	if (in->fds_at > message_end)
		return 0;
	*ret_surplus = in->fds_lost || in->n_fds > max;
	for (uint32_t i = 0; i < in->n_fds; i++) {
		if (n < max)
			fds[n++] = in->fds[i];
		else
			close(in->fds[i]);
	}
	in->n_fds = 0;
	in->fds_lost = false;
	return n;
}

void vmig_vuc_in_done(struct vmig_vuc_in *in)
{
	for (uint32_t i = 0; i < in->n_fds; i++)
		close(in->fds[i]);
	in->n_fds = 0;
	if (in->fd >= 0)
		close(in->fd);
	in->fd = -1;
}
