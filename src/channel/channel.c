/* SPDX-License-Identifier: BSD-3-Clause */
#include <limits.h>
#include <poll.h>

#include "base/clock.h"
#include "channel/provider.h"

struct vmig_channel {
	const struct vmig_channel_ops *ops;
	void *self;
	bool one_way;
};

int vmig_channel_new(const struct vmig_channel_ops *ops, void *self, bool one_way, struct vmig_channel **ret)
{
	struct vmig_channel *channel = malloc(sizeof(*channel));

	if (!channel)
		return -ENOMEM;
	*channel = (struct vmig_channel){ .ops = ops, .self = self, .one_way = one_way };
	*ret = channel;
	return 0;
}

int vmig_channel_wait(int fd, short events, int wake_fd, uint32_t ms)
{
	struct pollfd fds[2] = { { .fd = fd, .events = events }, { .fd = wake_fd, .events = POLLIN } };
	uint64_t end = vmig_now_ns() + ms * NS_PER_MS;

	for (;;) {
		uint64_t now = vmig_now_ns();
		/* Rounded up, or the last millisecond would be a busy loop. */
		int left = ms ? (int)MIN((end - MIN(now, end)) / NS_PER_MS + 1, (uint64_t)INT_MAX) : -1;
		int n = ms && now >= end ? 0 : poll(fds, 2, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n && ms && vmig_now_ns() >= end)
			return -ETIMEDOUT;
		if (fds[1].revents)
			return -ECONNRESET;
		if (fds[0].revents)
			return 0;
	}
}

bool vmig_channel_one_way(const struct vmig_channel *channel)
{
	return channel->one_way;
}

int vmig_channel_rewind(struct vmig_channel *channel)
{
	return channel->ops->rewind ? channel->ops->rewind(channel->self) : -ESPIPE;
}

int vmig_channel_send(struct vmig_channel *channel, const struct iovec *iov, int n)
{
	return channel->ops->send ? channel->ops->send(channel->self, iov, n) : -EOPNOTSUPP;
}

int vmig_channel_send_more(struct vmig_channel *channel, const struct iovec *iov, int n)
{
	return channel->ops->send_more ? channel->ops->send_more(channel->self, iov, n)
				       : vmig_channel_send(channel, iov, n);
}

ssize_t vmig_channel_recv(struct vmig_channel *channel, const struct iovec *iov, int n)
{
	return channel->ops->recv ? channel->ops->recv(channel->self, iov, n) : -EOPNOTSUPP;
}

ssize_t vmig_channel_recv_sure(struct vmig_channel *channel, const struct iovec *iov, int n, size_t sure)
{
	return channel->ops->recv_sure ? channel->ops->recv_sure(channel->self, iov, n, sure)
				       : vmig_channel_recv(channel, iov, n);
}

void vmig_channel_set_timeout(struct vmig_channel *channel, uint32_t ms)
{
	if (channel->ops->set_timeout)
		channel->ops->set_timeout(channel->self, ms);
}

void vmig_channel_shutdown(struct vmig_channel *channel)
{
	if (channel->ops->shutdown)
		channel->ops->shutdown(channel->self);
}

void vmig_channel_hold(struct vmig_channel *channel, bool wait_for_it)
{
	if (channel->ops->hold)
		channel->ops->hold(channel->self, wait_for_it);
}

bool vmig_channel_away(const struct vmig_channel *channel)
{
	return channel->ops->away && channel->ops->away(channel->self);
}

int vmig_channel_commit(struct vmig_channel *channel)
{
	return channel->ops->commit ? channel->ops->commit(channel->self) : 0;
}

void vmig_channel_close(struct vmig_channel *channel)
{
	if (!channel)
		return;
	channel->ops->close(channel->self);
	free(channel);
}
