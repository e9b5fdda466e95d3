/* SPDX-License-Identifier: BSD-3-Clause */
/** vfio_user_conn - what the three files of the connection share: its calls, its receiving, its sending. */
#ifndef VMIG_USER_VFIO_USER_CONN_H
#define VMIG_USER_VFIO_USER_CONN_H

#include "user/vfio_user.h"

/* --- vfio_user_conn.c --------------------------------------------------------------------- */

/** For messages: never NULL. */
const char *vmig_vuc_command_name(uint16_t command);
/** The wait of a call that begins now. */
struct vmig_vuc_wait vmig_vuc_wait_from_now(struct vmig_vuc *v);
/** Give it an id and a place among those that wait; -ECONNRESET: the connection has ended, and so has the call. */
MUST_USE int vmig_vuc_enlist(struct vmig_vuc *v, struct vmig_vuc_call *call);
/** Take *@at out of the list. v->lock is held. */
void vmig_vuc_unlink(struct vmig_vuc *v, struct vmig_vuc_call **at);
/** The one place where a call ends. v->lock is held. */
void vmig_vuc_complete(struct vmig_vuc *v, struct vmig_vuc_call *call, int result);
void vmig_vuc_die_locked(struct vmig_vuc *v, const struct vmig_error *why);
/** Die of a failed send or receive, in words. Returns @code. */
int vmig_vuc_die_of(struct vmig_vuc *v, int code, const char *where);

/* --- vfio_user_recv.c --------------------------------------------------------------------- */

/** Read one message, of which up to @hint bytes at once, and deal with it. The caller holds the role.
 *  Whatever is wrong kills the connection. -EAGAIN: only with wait->try. */
MUST_USE int vmig_vuc_pump(struct vmig_vuc *v, size_t hint, struct vmig_vuc_wait *wait);
/** The role is free: wake one who waits, or else the one who reads for nobody. v->lock is held. */
void vmig_vuc_pass_on(struct vmig_vuc *v);

/* --- vfio_user_send.c --------------------------------------------------------------------- */

void vmig_vuc_queue_out(struct vmig_vuc *v, struct vmig_vuc_out *out);
struct vmig_vuc_out *vmig_vuc_next_out(struct vmig_vuc *v);
/** Send what is queued, or leave it to whoever sends now. @leader: the caller holds the role; @sending: and is
 *  in the middle of a message of its own. */
void vmig_vuc_flush_out(struct vmig_vuc *v, bool leader, bool sending);

#endif
