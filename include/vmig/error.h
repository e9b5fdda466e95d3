/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * error - what went wrong, where, and at which arc.
 *
 * Functions of this library return 0 or a count, else a negative errno. One meaning each:
 *   EINVAL      the caller's mistake          EPROTO      the peer broke the protocol
 *   EBADMSG     the stream is corrupt         EOPNOTSUPP  the feature is absent
 *   EBUSY       wrong state, or another user  ECONNRESET  the peer is gone
 *   ETIMEDOUT   the deadline passed           ENOMSG      nothing to read now (as in the uAPI)
 *   ENODEV      the session or the device has ended (reset, close)
 *   E2BIG       a size over a named limit     EREMOTEIO   the peer answered with an error without errno
 * Any other value is the errno that the kernel or the device gave.
 */
#ifndef VMIG_ERROR_H
#define VMIG_ERROR_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The last error of a handle. @from and @to are VMIG_STATE_NONE when no arc was being walked. */
struct vmig_error {
	int code;          /* positive errno, 0: none yet */
	uint32_t from, to; /* the transition that was asked for */
	char where[64];    /* the call or message: "SET_STATE", "MIG_DATA_READ" */
	char text[256];    /* one sentence for a person, without the errno's own words */
};

#ifdef __cplusplus
}
#endif
#endif
