/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * provider - what a kind of channel implements; channel.c dispatches. Private to the library.
 *
 * A channel that wraps another (TLS, a fault injector) is a provider whose @self holds the other.
 */
#ifndef VMIG_CHANNEL_PROVIDER_H
#define VMIG_CHANNEL_PROVIDER_H

#include <vmig/channel.h>

#include "base/util.h"

/** The semantics are those of channel.h. NULL: send and recv -EOPNOTSUPP, rewind -ESPIPE, commit 0, away false. */
struct vmig_channel_ops {
	int (*send)(void *self, const struct iovec *iov, int n);
	int (*send_more)(void *self, const struct iovec *iov, int n); /* NULL: as send */
	ssize_t (*recv)(void *self, const struct iovec *iov, int n);
	ssize_t (*recv_sure)(void *self, const struct iovec *iov, int n, size_t sure); /* NULL: as recv */
	int (*rewind)(void *self);
	void (*set_timeout)(void *self, uint32_t ms);
	void (*shutdown)(void *self);
	void (*hold)(void *self, bool wait_for_it);
	bool (*away)(const void *self);
	int (*commit)(void *self);
	void (*close)(void *self);
};

/** -ENOMEM: @self was not taken over. */
int vmig_channel_new(const struct vmig_channel_ops *ops, void *self, bool one_way, struct vmig_channel **ret);

/** As vmig_channel_send(); more is sent at once, and until then a part may be kept back for a moment. */
int vmig_channel_send_more(struct vmig_channel *channel, const struct iovec *iov, int n);

/** As vmig_channel_recv(). So many bytes are on their way for sure: it need not return for a few of them. */
ssize_t vmig_channel_recv_sure(struct vmig_channel *channel, const struct iovec *iov, int n, size_t sure);

/** Wait until @fd is ready for @events, or @wake_fd (-1: none) is readable: -ECONNRESET. @ms 0: for ever, else -ETIMEDOUT. */
int vmig_channel_wait(int fd, short events, int wake_fd, uint32_t ms);

#endif
