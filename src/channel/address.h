/* SPDX-License-Identifier: BSD-3-Clause */
/** address - "tcp:HOST:PORT", "tcp:[HOST]:PORT" or "unix:PATH", taken apart. Private to the library. */
#ifndef VMIG_CHANNEL_ADDRESS_H
#define VMIG_CHANNEL_ADDRESS_H

#include <stdbool.h>
#include <sys/un.h>

#include <vmig/error.h>

#include "base/util.h"

struct vmig_address {
	bool is_unix;
	char host[256], port[32];
	struct sockaddr_un un;
};

/** -EINVAL, with *ret_error. An empty HOST is any (to listen at) or this host (to connect to). */
MUST_USE int vmig_address_parse(const char *text, struct vmig_address *ret, struct vmig_error *ret_error);

#endif
