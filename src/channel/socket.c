/* SPDX-License-Identifier: BSD-3-Clause */
/* socket - a connected stream socket, both ways: TCP, UNIX, or one that the caller has. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>

#include "base/io.h"
#include "channel/provider.h"

/* More pieces than one sendmsg of ours has: a header and a loan. */
#define PIECES_MAX 32

struct socket_channel {
	int fd;
	_Atomic uint32_t timeout_ms; /* may be set while another thread waits */
	atomic_bool down;            /* set once */
};

static bool is_down(struct socket_channel *s)
{
	return atomic_load(&s->down);
}

static int send_all(struct socket_channel *s, const struct iovec *iov, int n, int flags)
{
	struct iovec copy[PIECES_MAX], *at = copy;
	int r;

	if (n < 0 || n > PIECES_MAX)
		return -EINVAL;
	memcpy(copy, iov, (size_t)n * sizeof(*iov));
	while (vmig_iov_skip(&at, &n, 0), n) {
		struct msghdr msg = { .msg_iov = at, .msg_iovlen = (size_t)n };
		ssize_t done = sendmsg(s->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT | flags);

		if (done >= 0) {
			vmig_iov_skip(&at, &n, (size_t)done);
			continue;
		}
		if (is_down(s))
			return -ECONNRESET;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		r = vmig_channel_wait(s->fd, POLLOUT, -1, s->timeout_ms);
		if (r)
			return r;
	}
	return 0;
}

static int socket_send(void *self, const struct iovec *iov, int n)
{
	return send_all(self, iov, n, 0);
}

/* TCP then sends whole segments only: a short one at the end of each call wakes the other end for little. */
static int socket_send_more(void *self, const struct iovec *iov, int n)
{
	return send_all(self, iov, n, MSG_MORE);
}

/* Less is not worth waiting for: a wake costs both ends. */
#define WORTH_IT (128u << 10)
#define MOST     (512u << 10)
/* What has come is taken after so long all the same: a slow peer is not a silent one. */
#define PATIENCE_MS 20u

/* Wait for half of what is sure, but not for long. */
static void wait_for_much(struct socket_channel *s, size_t sure)
{
	int low = (int)MIN(sure / 2, MOST), one = 1;

	if (setsockopt(s->fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof(low)) < 0)
		return;
	(void)vmig_channel_wait(s->fd, POLLIN, -1, PATIENCE_MS);
	setsockopt(s->fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
}

static ssize_t socket_recv_sure(void *self, const struct iovec *iov, int n, size_t sure)
{
	struct socket_channel *s = self;
	bool patient = sure >= WORTH_IT;

	for (;;) {
		struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n };
		ssize_t done = recvmsg(s->fd, &msg, MSG_DONTWAIT);
		int r;

		if (is_down(s))
			return -ECONNRESET;
		if (done >= 0)
			return done;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		if (patient) {
			patient = false;
			wait_for_much(s, sure);
			continue;
		}
		r = vmig_channel_wait(s->fd, POLLIN, -1, s->timeout_ms);
		if (r)
			return r;
	}
}

static ssize_t socket_recv(void *self, const struct iovec *iov, int n)
{
	return socket_recv_sure(self, iov, n, 0);
}

static void socket_set_timeout(void *self, uint32_t ms)
{
	struct socket_channel *s = self;

	s->timeout_ms = ms;
}

static void socket_shutdown(void *self)
{
	struct socket_channel *s = self;

	/* What was sent still arrives; a poll in another thread wakes up. */
	atomic_store(&s->down, true);
	shutdown(s->fd, SHUT_RDWR);
}

static void socket_close(void *self)
{
	struct socket_channel *s = self;

	close(s->fd);
	free(s);
}

static const struct vmig_channel_ops socket_ops = {
	.send = socket_send,
	.send_more = socket_send_more,
	.recv = socket_recv,
	.recv_sure = socket_recv_sure,
	.set_timeout = socket_set_timeout,
	.shutdown = socket_shutdown,
	.close = socket_close,
};

int vmig_channel_socket(int fd, struct vmig_channel **ret)
{
	int type, one = 1;
	socklen_t len = sizeof(type);
	struct socket_channel *s;
	int r;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return -errno;
	if (type != SOCK_STREAM)
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->fd = fd;
	r = vmig_channel_new(&socket_ops, s, false, ret);
	if (r) {
		free(s);
		return r;
	}
	/* Fails for a UNIX socket, which has no such delay. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return 0;
}
