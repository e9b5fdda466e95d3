/* SPDX-License-Identifier: BSD-3-Clause */
/** resume-inside - a session, for the files that make it. Private to them. */
#ifndef VMIG_CHANNEL_RESUME_INSIDE_H
#define VMIG_CHANNEL_RESUME_INSIDE_H

#include "base/limits.h"
#include "channel/resume.h"

#define RING       VMIG_LIMIT_REPLAY
#define FRAME_MAX  (1u << 20)
#define STASH      (128u << 10)
#define PIECES_MAX 32
#define HEADER     16u

/* A frame: u32 kind, u32 length, u64 number, then the bytes of DATA. All is little-endian. */
enum { DATA = 1, ACK = 2, BYE = 3 };

struct vmig_resume {
	atomic_uint refs;
	struct vmig_stack *stack;
	struct vmig_listener *listener; /* NULL: we dial */
	struct vmig_resume *next;       /* in the book */
	uint8_t id[VMIG_RESUME_ID], key[VMIG_RESUME_KEY];

	pthread_mutex_t lock;
	pthread_cond_t wake;
	/* All below under lock. */
	enum { UP, AWAY, DOWN } state;
	int error;  /* DOWN: what every call says */
	bool final; /* a lost connection is not waited for */
	bool reviving;
	uint64_t away_ns;
	struct vmig_channel *lower; /* used outside the lock by who is tx or rx */
	struct vmig_channel *come;  /* the peer's next connection, when it is he who dials */
	uint64_t come_has;
	bool tx, rx;
	uint32_t timeout_ms;

	uint8_t *ring;
	uint64_t kept, end; /* the numbers of the first byte that is kept, and of the next to be sent */

	uint64_t received, acked; /* so far; of that, what the peer has been told */
	bool ack_due, ended;
	uint8_t header[HEADER];
	uint32_t have, left, skip; /* of the header; of the frame; of that, what we have already */
	uint8_t stash[STASH];
	size_t stash_at, stash_end;
};

void vmig_resume_put_header(uint8_t to[HEADER], uint32_t kind, uint32_t len, uint64_t number);

/* --- the connection (resume-link.c): all under the lock --- */

/** It is over: what every call says from now on. */
void vmig_resume_fall(struct vmig_resume *r, int error);
/** @lower does not work any more. Nothing if it is not the one in use. */
void vmig_resume_lose(struct vmig_resume *r, const struct vmig_channel *lower, int error);
/** Wait until there is a connection; bring it back if nobody else does. 0; or there will be none. */
int vmig_resume_settle(struct vmig_resume *r);
uint32_t vmig_resume_lower_timeout(const struct vmig_resume *r);

/* --- frames (resume-frames.c) --- */

int vmig_resume_send(void *self, const struct iovec *iov, int n);
ssize_t vmig_resume_recv(void *self, const struct iovec *iov, int n);

#endif
