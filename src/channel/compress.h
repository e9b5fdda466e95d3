/* SPDX-License-Identifier: BSD-3-Clause */
/** compress - a channel that compresses, above another. Private to the library. */
#ifndef VMIG_CHANNEL_COMPRESS_H
#define VMIG_CHANNEL_COMPRESS_H

#include <vmig/channel.h>

#include "base/util.h"

/**
 * Say, and hear within @ms, that both ends compress. *@channel is replaced; when it fails it stays. -EPROTO: the other
 * end does not.
 */
MUST_USE int vmig_zstd_wrap(const char *where, uint32_t ms, struct vmig_channel **channel,
			    struct vmig_error *ret_error);

#endif
