/* SPDX-License-Identifier: BSD-3-Clause */
/** listener - what sessions need of it: they outlive vmig_listener_free(), and their peers come back to it. Private. */
#ifndef VMIG_CHANNEL_LISTENER_H
#define VMIG_CHANNEL_LISTENER_H

#include <vmig/channel.h>

/** One more user. */
struct vmig_listener *vmig_listener_ref(struct vmig_listener *listener);
/** NULL is nothing. Not by a thread that the listener itself has, if it may be the last. */
void vmig_listener_unref(struct vmig_listener *listener);
/** Let in who comes within @ms, to his handshake only. Any thread. */
void vmig_listener_pump(struct vmig_listener *listener, uint32_t ms);

#endif
