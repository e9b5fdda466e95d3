/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * session - one data transfer session: what data_fd is in the uAPI.
 *
 * A session is born by vmig_device_set_state() on an arc that starts one (into the saving group, or
 * into RESUMING) and belongs to the caller, who closes it. It ends when the device leaves the saving
 * group or RESUMING, and with the device's generation: every reset raises it. An ended session says
 * -ENODEV (a provider may say -EINVAL for a transition that the kernel answers so) until it is closed.
 *
 * One thread at a time uses a session; it may run beside a long vmig_device_set_state() in another. But
 * before a transition that ends the session, or a reset, it must have done: no call under way, no loan or
 * room out. What was lent is the device's own memory, which it then uses again.
 * All calls may block up to the device's timeout, unless they say otherwise.
 *
 * Saving has two ways, each works on every provider; the native one (VMIG_TRAIT_LENDS says which)
 * copies nothing, the other goes through one buffer of the library's:
 *   readv  into the caller's memory        lend, return   the device's own memory is looked at
 * Loading likewise (VMIG_TRAIT_ROOMS):
 *   writev from the caller's memory        room, filled   straight into the device's own memory
 */
#ifndef VMIG_SESSION_H
#define VMIG_SESSION_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vmig_session;

/** Most pieces that one lend or room is made of. */
#define VMIG_SESSION_IOV_MAX 16

/** What vmig_session_query_precopy() reports. Sizes in bytes; estimates, see VFIO_MIG_GET_PRECOPY_INFO. */
struct vmig_precopy {
	uint64_t initial_bytes; /* to be loaded at the destination before the switch-over pays */
	uint64_t dirty_bytes;   /* changed since it was read */
	uint32_t flags;         /* VMIG_PRECOPY_* */
};
/** New initial data has appeared: an acknowledgement of the earlier initial data is void (PRECOPY_INFOv2). */
#define VMIG_PRECOPY_REINIT (1u << 0)

/**
 * Read migration data. Permitted in PRE_COPY, PRE_COPY_P2P, STOP_COPY.
 *
 * Returns the number of bytes, which may be fewer than asked for without meaning anything;
 *   0            the end of the stream; only in STOP_COPY
 *   -ENOMSG      drained for now; only in PRE_COPY states. Ask the sizes again later.
 *   -ENODEV      the session has ended      -EINVAL  @n or a length is out of range
 *   -ECONNRESET, -ETIMEDOUT, -EPROTO        the peer is gone, silent, or wrong
 *   another      what the device reported: the data is not to be used
 */
ssize_t vmig_session_readv(struct vmig_session *session, const struct iovec *iov, int n);

/**
 * Borrow up to @max bytes of migration data where they lie.
 *
 * Fills @ret_iov (room for VMIG_SESSION_IOV_MAX) and *ret_n. The memory stays valid and unchanged
 * until vmig_session_return(), which must come before the next call on this session. Of a session that
 * ends it stays valid until vmig_session_close(), but may change.
 * Returns as vmig_session_readv() does. -EBUSY: a loan is out already.
 */
ssize_t vmig_session_lend(struct vmig_session *session, size_t max, struct iovec *ret_iov, int *ret_n);

/** Give the loan back: its first @used bytes have been taken, the others will be lent again. Never blocks. */
void vmig_session_return(struct vmig_session *session, size_t used);

/**
 * Write migration data. Permitted in RESUMING.
 *
 * All of it is taken or the call fails. After any error the device's state is lost: reset the device.
 * Returns 0, or -ENODEV, -EINVAL, -ECONNRESET, -ETIMEDOUT, -EPROTO as above, or what the device reported.
 * A provider that pipelines may report an earlier piece's error here or in vmig_session_flush().
 */
int vmig_session_writev(struct vmig_session *session, const struct iovec *iov, int n);

/**
 * The place where the next bytes (at most @want) are to be put. Permitted in RESUMING.
 *
 * Returns their number (more than 0, perhaps fewer than @want) and fills @ret_iov; else as
 * vmig_session_writev(). What is put there counts only after vmig_session_filled(). Bytes that turn
 * out to be bad are dropped by vmig_session_filled(session, 0).
 */
ssize_t vmig_session_room(struct vmig_session *session, size_t want, struct iovec *ret_iov, int *ret_n);

/** The first @len bytes of the room are filled. Returns as vmig_session_writev(). */
int vmig_session_filled(struct vmig_session *session, size_t len);

/** Wait until everything written has been taken by the device. Returns as vmig_session_writev(). */
int vmig_session_flush(struct vmig_session *session);

/**
 * The sizes of pre-copy. Permitted in PRE_COPY and PRE_COPY_P2P.
 *
 * Returns 0, or -EINVAL in another state, -EOPNOTSUPP if the peer has no such query (plain
 * vfio-user), -ENODEV, -ECONNRESET, -ETIMEDOUT, -EPROTO.
 */
int vmig_session_query_precopy(struct vmig_session *session, struct vmig_precopy *ret);

/** Close. NULL is allowed. Does not change the device's state. A loan that is out is given back. */
void vmig_session_close(struct vmig_session *session);

#ifdef __cplusplus
}
#endif
#endif
