/* SPDX-License-Identifier: BSD-3-Clause */
/** net - sockets to an address, and at one. Private to the library. */
#ifndef VMIG_CHANNEL_NET_H
#define VMIG_CHANNEL_NET_H

#include <sys/stat.h>

#include "channel/address.h"

struct vmig_net_listener {
	int fd;
	char address[sizeof(struct vmig_address)];              /* with the port that was found */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* to be removed; "" for TCP */
	struct stat made;                                       /* the socket file, to remove no other one */
};

/** @anywhere: other hosts too; else -EPERM. @ms: 0 for ever. */
MUST_USE int vmig_net_connect(const char *address, uint32_t ms, bool anywhere, int *ret_fd,
			      struct vmig_error *ret_error);
MUST_USE int vmig_net_listen(const char *address, bool anywhere, struct vmig_net_listener *ret,
			     struct vmig_error *ret_error);
/** Take one that waits. -EAGAIN where the descriptor is non-blocking and nobody does. */
MUST_USE int vmig_net_accept(struct vmig_net_listener *listener, int *ret_fd);
void vmig_net_listener_done(struct vmig_net_listener *listener);

#endif
