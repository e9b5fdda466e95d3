/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * stack - how a connection is made: options of one side, and the layers that they stand for.
 *
 *	socket -> fault -> TLS  | one connection: vmig_stack_dial(), vmig_stack_answer()
 *	-> resume -> zstd       | what may outlive a connection: vmig_stack_top()
 *
 * Private to the library. A stack is shared by the channels and the listener that were made with it.
 */
#ifndef VMIG_CHANNEL_STACK_H
#define VMIG_CHANNEL_STACK_H

#include <pthread.h>
#include <stdatomic.h>

#include <vmig/channel.h>

#include "base/util.h"
#include "channel/fault.h"

struct vmig_resume;

/** The sessions of a listener, for a peer that comes again (resume.h). */
struct vmig_resume_book {
	pthread_mutex_t lock;
	struct vmig_resume *first;
};

#define VMIG_STACK_TIMEOUT_MS 10000u

struct vmig_stack {
	atomic_uint refs;
	uint32_t timeout_ms; /* never 0 */
	bool insecure, compress;
	uint32_t reconnect_ms;
	struct vmig_tls *tls; /* NULL: plain */
	struct vmig_fault_plan faults;
	char *address;                  /* to dial, or listened at */
	struct vmig_listener *listener; /* NULL: to dial */
	struct vmig_resume_book sessions;
	atomic_bool closed; /* no new ones */
};

/** A copy of @options (may be NULL), checked. */
MUST_USE int vmig_stack_new(const char *address, const struct vmig_channel_options *options,
			    struct vmig_stack **ret, struct vmig_error *ret_error);
struct vmig_stack *vmig_stack_ref(struct vmig_stack *stack);
void vmig_stack_unref(struct vmig_stack *stack);

/** May it go to other hosts? */
bool vmig_stack_anywhere(const struct vmig_stack *stack);
/** Does a new connection begin with a handshake? */
bool vmig_stack_shakes(const struct vmig_stack *stack);

/** Connect once more to stack->address. */
MUST_USE int vmig_stack_dial(struct vmig_stack *stack, struct vmig_channel **ret,
			     struct vmig_error *ret_error);
/** The same of a socket that was accepted. Takes @fd over, also when it fails. */
MUST_USE int vmig_stack_answer(struct vmig_stack *stack, int fd, struct vmig_channel **ret,
			       struct vmig_error *ret_error);
/** The layers above. *@channel is replaced; when it fails it stays the caller's; but -EALREADY: it belongs to a session, whose
 *  peer has come back. */
MUST_USE int vmig_stack_top(struct vmig_stack *stack, bool dialled, struct vmig_channel **channel,
			    struct vmig_error *ret_error);

#endif
