/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * link - one socket to a client: whole messages in and out, and questions to the client.
 *
 * Receiving is a role that one thread has at a time: normally the serving thread, which blocks in
 * recvmsg for the next command. While that thread is busy in the device, a thread that waits for the
 * answer to a question of its own takes the role, so that neither can wait for the other for ever;
 * commands that it meets are put by for the serving thread. The role may change hands between any two
 * bytes: what has come of a message is kept here, not on a stack.
 */
#ifndef VMIG_SERVER_VFIO_USER_LINK_H
#define VMIG_SERVER_VFIO_USER_LINK_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/uio.h>

#include <vmig/session.h>

#include "base/limits.h"
#include "base/util.h"
#include "wire/vfio_user.h"

/* What is read ahead in one recvmsg: many small messages, or one. */
#define VMIG_SLINK_BUFFER (64u << 10)

/* Most messages of a client have no more payload than this. */
#define VMIG_SLINK_SMALL 512u

struct vmig_slink_msg {
	struct vmig_vu_header h;
	uint8_t *body;   /* the payload, or its beginning */
	size_t body_len; /* bytes at @body */
	size_t unread;   /* payload behind @body that is still to be received: vmig_slink_payload() */
	size_t taken;    /* of @body, by vmig_slink_payload() */
	int fds[VMIG_LIMIT_MSG_FDS];
	int n_fds;
	bool fds_lost; /* more came than one message may carry; those were closed */
	struct vmig_slink_msg *next;
	uint8_t small[VMIG_SLINK_SMALL];
	uint8_t *large;
	size_t large_size;
};

/** What questions are about: a mapping. When it goes, they are answered -ECANCELED, now and ever after. */
struct vmig_slink_target {
	atomic_bool gone; /* one writer: vmig_slink_cancel() */
};

/** A question to the client: DMA_READ or DMA_WRITE. Lives on the stack of the one who asks. */
struct vmig_slink_ask {
	struct vmig_slink_target *target;
	uint16_t command, id;
	struct vmig_vu_dma_rw rw;
	void *buf; /* where the data of a DMA_READ go */
	bool done;
	int status;
	struct vmig_slink_ask *next;
};

/* A descriptor that has come, and the place in the stream of the message that it belongs to; fd -1: some were lost. */
struct vmig_slink_held {
	int fd;
	uint64_t owner;
};

struct vmig_slink {
	int fd;
	uint32_t max;            /* bytes of data in one message */
	bool versioned;          /* VERSION has been agreed on; before that nothing else is taken */
	bool takes_none;         /* a twin socket: only answers come */
	struct vmig_slink *main; /* of a twin: dies with it */

	/* Receiving. Belongs to whoever has the reader's role. */
	struct vmig_slink_msg *in; /* being put together */
	bool in_has_header;
	size_t in_got;   /* bytes of its body */
	uint64_t in_at;  /* where in the stream it begins */
	uint64_t buf_at; /* where in the stream buf[head] is */
	size_t head, tail;
	bool bulk; /* the last message was large: read no more than the next one's head */
	struct vmig_slink_held held[2 * (VMIG_LIMIT_MSG_FDS + 1)];
	int n_held;

	bool payload_role; /* the serving thread's own: it keeps the role until a payload has been received */
	struct vmig_slink_msg *_Atomic spare; /* one that is done with, and its memory */

	pthread_mutex_t tx; /* one message at a time goes out */

	pthread_mutex_t lock; /* for all below */
	pthread_cond_t changed;
	int dead;          /* 0, or why: -errno */
	bool reading;      /* somebody has the reader's role */
	bool reader_polls; /* and can be woken by wake_fd */
	bool wanted;       /* the serving thread waits for the role */
	int wake_fd;
	pthread_t server; /* the serving thread */
	struct vmig_slink_msg *queue, **queue_end;
	uint32_t n_queued;
	size_t queued_bytes;
	struct vmig_slink_ask *asks;
	uint16_t last_id;
	uint8_t id_used[65536 / 8]; /* asked, and not yet answered, even if nobody waits any more */

	uint8_t buf[VMIG_SLINK_BUFFER];
};

/** Takes @fd over when it succeeds. -ENOMEM, -EMFILE. */
MUST_USE int vmig_slink_new(int fd, struct vmig_slink **ret);
/** Bytes that were received before it was made: at most VMIG_SLINK_BUFFER. No thread may be in it yet. */
void vmig_slink_give(struct vmig_slink *link, const void *bytes, size_t len);
/** No thread may be in it any more. NULL is allowed. */
void vmig_slink_free(struct vmig_slink *link);

/** End it: whoever sends, receives or asks gets @error (negative) or -ECONNRESET. Any thread, more than once. */
void vmig_slink_kill(struct vmig_slink *link, int error);

/**
 * The next command, for the serving thread. Of a MIG_DATA_WRITE perhaps only the fixed part has been
 * received. vmig_slink_done() must follow before the next one.
 * 0, -ENODATA: the client has gone between two messages; -ECONNRESET: in the midst of one; -EPROTO,
 * -E2BIG, -ENOMEM: the stream cannot be followed any further.
 */
MUST_USE int vmig_slink_next(struct vmig_slink *link, struct vmig_slink_msg **ret);

/** Receive the next @len bytes of the payload into @iov, which is changed. */
MUST_USE int vmig_slink_payload(struct vmig_slink *link, struct vmig_slink_msg *msg, struct iovec *iov, int n,
				size_t len);

/** Receive and drop what is left of the payload. */
MUST_USE int vmig_slink_skip(struct vmig_slink *link, struct vmig_slink_msg *msg);

/** The command has been dealt with: closes its descriptors that are still there. */
void vmig_slink_done(struct vmig_slink *link, struct vmig_slink_msg *msg);

/** Send one message: @fixed and then @iov behind the header, whose size is set here. Kills the link on failure. */
int vmig_slink_send(struct vmig_slink *link, struct vmig_vu_header *h, const void *fixed, size_t fixed_len,
		    const struct iovec *iov, int n, const int *fds, int n_fds);

/**
 * Ask the client for memory, or give it some, and wait for the answer: at most link->max bytes.
 * 0; -ECANCELED: the target went; -ECONNRESET: the client did; -ENOBUFS: the client has sent more commands
 * than wait here; -EBUSY: not from where the payload of a command is being received; or the client's errno.
 */
int vmig_slink_ask(struct vmig_slink *link, struct vmig_slink_target *target, uint16_t command,
		   uint64_t address, void *buf, size_t len);

/** No question about @target is under way or comes later. */
void vmig_slink_cancel(struct vmig_slink *link, struct vmig_slink_target *target);

/* Between vfio_user_link.c, vfio_user_receive.c and vfio_user_ask.c. */

void vmig_slink_msg_free(struct vmig_slink_msg *msg);

/** Put together what has been received. 1: a message is in link->in; 0: more must be received. @whole: with all its payload. */
int vmig_slink_parse(struct vmig_slink *link, bool whole);
/** One recvmsg. 0; -EAGAIN (only with MSG_DONTWAIT), -ENODATA, -ECONNRESET, ... */
int vmig_slink_receive(struct vmig_slink *link, int flags);
/** The message that has been put together; NULL: no memory for the next one. */
struct vmig_slink_msg *vmig_slink_take(struct vmig_slink *link);
/** Give up the reader's role. */
void vmig_slink_release(struct vmig_slink *link);
void vmig_slink_recycle(struct vmig_slink *link, struct vmig_slink_msg *msg);
int vmig_slink_reply_came(struct vmig_slink *link, struct vmig_slink_msg *msg);

#endif
