/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * resume - a channel that outlives its connections. Private to the library.
 *
 * What is sent goes in frames with the number of their first byte, and is kept until the peer has said that it has it.
 * When a connection is lost the side that dialled makes another, the two tell each other how far they have come, and what
 * is missing is sent again. Nothing is lost, and nothing comes twice.
 *
 * A connection begins with three messages (resume-shake.c): each side gives a number of its own, made for this once, and
 * proves by it that it knows the key of the session. So what was recorded of another connection opens none.
 */
#ifndef VMIG_CHANNEL_RESUME_H
#define VMIG_CHANNEL_RESUME_H

#include "channel/stack.h"

#define VMIG_RESUME_ID  16u
#define VMIG_RESUME_KEY 16u

void vmig_resume_book_init(struct vmig_resume_book *book);
void vmig_resume_book_done(struct vmig_resume_book *book);

/** What both sides know after a handshake. */
struct vmig_resume_terms {
	uint8_t id[VMIG_RESUME_ID], key[VMIG_RESUME_KEY];
	bool again;        /* the session is not new */
	uint64_t received; /* by us so far */
	uint64_t has;      /* by the peer */
};

/** The side that dialled. -EPROTO: the peer does not do this; -ESTALE: it does not know the session. */
MUST_USE int vmig_resume_shake_out(struct vmig_channel *lower, uint32_t ms, struct vmig_resume_terms *terms,
				   const char *where, struct vmig_error *ret_error);
/**
 * The other side, in two steps: what the peer wants (terms: id, key of a new session, again, has); and the answer, with
 * terms->key and terms->received. -ESTALE: @known is false, and it is told so.
 */
struct vmig_resume_guest {
	uint8_t hello[80];
};
MUST_USE int vmig_resume_shake_in(struct vmig_channel *lower, uint32_t ms, struct vmig_resume_guest *guest,
				  struct vmig_resume_terms *ret, const char *where,
				  struct vmig_error *ret_error);
MUST_USE int vmig_resume_shake_answer(struct vmig_channel *lower, const struct vmig_resume_guest *guest,
				      bool known, const struct vmig_resume_terms *terms, const char *where,
				      struct vmig_error *ret_error);

/**
 * A session over *@channel, which is replaced; when it fails it stays the caller's. @dialled: it is the peer who answers.
 * -EALREADY (accepted only): it was a session's own peer that came back, and *@channel is that session's now.
 */
MUST_USE int vmig_resume_wrap(struct vmig_stack *stack, bool dialled, struct vmig_channel **channel,
			      struct vmig_error *ret_error);

#endif
