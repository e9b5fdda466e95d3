/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * vfio_user - the vfio-user client, shared by its files. Private to src/user.
 *
 * Who reads the main socket. Replies and the server's own commands (DMA_READ, DMA_WRITE) come on one
 * stream, so exactly one thread reads at a time: it holds the role (v->leading).
 *   1. A thread that waits for a reply and finds the role free takes it: it sits in recvmsg() itself and
 *      gets its reply straight into its own memory. No poll, no other thread: this is the usual case.
 *   2. Whatever else it meets on the way it delivers: another's reply goes into that caller's memory
 *      (who sleeps, and cannot leave before), a reply that was asked for ahead is parked in a buffer of
 *      its own, a command of the server's is executed at once. Then it reads on, until its own is there.
 *   3. On leaving it wakes one of those who still wait; that one leads.
 *   4. From the first mapping on that the server can reach only by message, if there is no twin socket, an
 *      idle thread (serve.c) reads when nobody does. It polls without the role, and never blocks for the
 *      first byte with it. On a twin socket a thread of its own does all the serving.
 * Who writes. Whole messages under send_lock. The leader never waits for that lock: it queues its replies
 * (v->out) and whoever holds the lock sends them too. Who might block in a send while nobody reads (the
 * leader itself; a caller, when data was asked for ahead) sends without blocking and reads meanwhile, so
 * that two ends that both send can never wait for each other.
 * When something is wrong the connection dies (vmig_vuc_die()): all who wait get the reason, all later
 * calls ECONNRESET.
 *
 * Locks, in the order in which they are taken: region_lock, scratch_lock or data_lock (held across calls),
 * send_lock, lock; maps.lock is a leaf.
 */
#ifndef VMIG_USER_VFIO_USER_H
#define VMIG_USER_VFIO_USER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/uio.h>

#include <vmig/user.h>

#include "base/io.h"
#include "handle/provider.h"
#include "wire/vfio_user.h"

/* --- input: vfio_user_in.c ---------------------------------------------------------------- */

#define VMIG_VUC_IN_SIZE 4096u

/**
 * How long one may wait. recvmsg() alone waits as long as SO_RCVTIMEO says, the whole timeout; so once a
 * quarter of it has gone by, poll() keeps the deadline. The usual case needs no poll().
 */
struct vmig_vuc_wait {
	uint64_t deadline_ns;  /* 0: none */
	uint64_t poll_from_ns; /* 0: never */
	bool try;              /* -EAGAIN instead of waiting for the first byte */
	bool sending;          /* whoever reads is in the middle of sending a message */
};

/** A stream of messages with descriptors. Bytes that were read too far stay in @buf for the next message. */
struct vmig_vuc_in {
	int fd;
	uint8_t buf[VMIG_VUC_IN_SIZE];
	size_t start, end;
	uint64_t received; /* bytes, ever */
	int fds[VMIG_LIMIT_MSG_FDS];
	uint32_t n_fds;
	uint64_t fds_at; /* they belong to the message that holds byte fds_at - 1 */
	bool fds_lost;   /* more came than there is room for */
};

/** Have @want bytes in the buffer; read up to @hint (>= want) at once.
 *  -EAGAIN (only with wait->try), -ECONNRESET, -ETIMEDOUT, -errno. */
MUST_USE int vmig_vuc_in_fill(struct vmig_vuc_in *in, size_t want, size_t hint, struct vmig_vuc_wait *wait);
/** Take exactly @len bytes. Changes the pieces. */
MUST_USE int vmig_vuc_in_take(struct vmig_vuc_in *in, struct iovec *iov, int n, size_t len,
			      struct vmig_vuc_wait *wait);
MUST_USE int vmig_vuc_in_skip(struct vmig_vuc_in *in, size_t len, struct vmig_vuc_wait *wait);
static inline size_t vmig_vuc_in_buffered(const struct vmig_vuc_in *in)
{
	return in->end - in->start;
}
/** The message that ends here is complete: take its descriptors, at most @max; the others are closed and
 *  *ret_surplus says that there were some. */
uint32_t vmig_vuc_in_take_fds(struct vmig_vuc_in *in, int *fds, uint32_t max, bool *ret_surplus);
void vmig_vuc_in_done(struct vmig_vuc_in *in);

/** Wait for poll @events; returns those that came. -ETIMEDOUT, -errno. */
MUST_USE int vmig_vuc_poll(int fd, short events, uint64_t deadline_ns);

/* --- the connection: vfio_user_conn.c, _recv.c, _send.c ------------------------------------ */

enum vmig_vuc_call_state { VMIG_VUC_NEW, VMIG_VUC_SENT, VMIG_VUC_RECEIVING, VMIG_VUC_DONE };

/** One command under way. The owner fills in the request and where the reply is to go. */
struct vmig_vuc_call {
	uint16_t command;
	/* The request: room for a header, then the fixed part; then data, and descriptors. */
	uint8_t *out;
	size_t out_len;
	const struct iovec *data;
	int n_data;
	const int *send_fds;
	uint32_t n_send_fds;
	/* The reply: its fixed part, its data, its descriptors. Data for which @iov has no room is parked. */
	void *fixed;
	uint32_t fixed_max;
	struct iovec *iov; /* changed */
	int n_iov;
	uint32_t data_max;
	int *fds;
	uint32_t fds_max;
	/* What came. */
	int result;   /* 0, or the negative errno of an error reply or of the connection's end */
	bool refused; /* it is the server's error reply */
	struct vmig_vu_header reply;
	uint32_t fixed_len, data_len, n_fds;
	uint8_t *park;
	uint32_t park_len;
	bool ahead; /* set by the owner: nobody may be waiting for the data, see v->ahead */
	/* The connection's own. */
	struct vmig_vuc_call *next;
	enum vmig_vuc_call_state state;
	bool waiting, orphan, late;
	uint16_t id;
	pthread_cond_t cond;
};

/** A reply of ours that waits to be sent. */
struct vmig_vuc_out {
	struct vmig_vuc_out *next;
	size_t len;
	uint8_t bytes[];
};

struct vmig_vuc_mapping {
	struct vmig_dma map; /* fd is not kept */
	unsigned int busy;   /* accesses under way */
	uint64_t *
		dirty; /* DIRTY_PAGES: what was reported and not yet asked for; a bit a page of the log; or NULL */
};

/** What the server may reach, sorted by iova. */
struct vmig_vuc_maps {
	pthread_mutex_t lock;
	pthread_cond_t idle;
	struct vmig_vuc_mapping **maps;
	uint32_t n, room;
};

struct vmig_vuc_region {
	bool known, io_known;
	struct vmig_region info;
	int n_io;
	struct vmig_ioeventfd io[VMIG_VU_IO_FDS_MAX];
};

/* Messages of migration data in flight. */
#define VMIG_VUC_DEPTH     4u
#define VMIG_VUC_DEPTH_MAX 16u

struct vmig_vuc_loader;

struct vmig_vuc {
	struct vmig_vuc_in in; /* its owner is whoever holds the role */
	_Atomic uint32_t timeout_ms;
	struct vmig_vu_caps caps; /* agreed on */
	bool agreed;
	uint32_t depth, max_write;

	pthread_mutex_t send_lock;
	pthread_mutex_t lock; /* of what follows */
	bool leading;
	struct vmig_vuc_call *calls, **tail; /* sent, not answered; oldest first */
	uint16_t next_id;
	struct vmig_error death; /* code 0: alive */
	_Atomic bool dead;       /* the same, for those who do not hold the lock */
	struct vmig_vuc_out *out, **out_tail;
	size_t out_bytes;
	_Atomic unsigned int ahead; /* replies with data that nobody may be waiting for */

	struct vmig_vuc_maps maps;
	int twin_fd, wake_fd;
	pthread_t server; /* serves the twin socket, or the main one when nobody reads */
	bool has_server, stop;
	pthread_cond_t server_cond;

	struct vmig_device *dev; /* whose provider this is */
	struct vmig_device_info info;
	_Atomic uint32_t state;    /* VMIG_STATE_NONE: to be asked */
	pthread_mutex_t data_lock; /* of the next three */
	struct vmig_vuc_loader *loader;
	int load_error; /* data was refused: the device's state is lost */
	struct vmig_error load_fault;
	pthread_mutex_t region_lock;
	struct vmig_vuc_region *regions;
	void *scratch;                /* of REPORT */
	pthread_mutex_t scratch_lock; /* also of the next two, and of the mappings' dirty bits */
	bool dirty_pages;             /* its log is DIRTY_PAGES of v1 times */
	uint64_t log_page;            /* of that log; 0: it is not started */
};

/** A cursor behind the header's room. */
struct vmig_cursor vmig_vuc_request(void *out, size_t size);
/** Set the request's length from the cursor that was used to encode it. */
void vmig_vuc_request_end(struct vmig_vuc_call *call, void *out, const struct vmig_cursor *c);

/** Send it. Failures show in vmig_vuc_wait_for(). */
void vmig_vuc_start(struct vmig_vuc *v, struct vmig_vuc_call *call);
/** Wait until it is done; returns its result. */
MUST_USE int vmig_vuc_wait_for(struct vmig_vuc *v, struct vmig_vuc_call *call);
/** If the reply has not begun to arrive: have its data put there. */
void vmig_vuc_attach(struct vmig_vuc *v, struct vmig_vuc_call *call, struct iovec *iov, int n);
bool vmig_vuc_is_done(struct vmig_vuc *v, struct vmig_vuc_call *call);
/** Nobody wants the reply: the call (on the heap, with its park) is freed when it has come. */
void vmig_vuc_abandon(struct vmig_vuc *v, struct vmig_vuc_call *call);
/** Start, wait, and say in words what went wrong. */
MUST_USE int vmig_vuc_call(struct vmig_vuc *v, struct vmig_vuc_call *call, struct vmig_error *error);
/** The words for a call's result. Returns it. */
int vmig_vuc_call_fault(struct vmig_vuc *v, const struct vmig_vuc_call *call, struct vmig_error *error);

/** The connection is of no use any more. Returns @code. */
__attribute__((format(printf, 4, 5))) int vmig_vuc_die(struct vmig_vuc *v, int code, const char *where,
						       const char *format, ...);
/** The same, and the caller's own *error. */
__attribute__((format(printf, 4, 5))) int vmig_vuc_broken(struct vmig_vuc *v, struct vmig_error *error,
							  const char *where, const char *format, ...);
void vmig_vuc_conn_init(struct vmig_vuc *v, int fd);
void vmig_vuc_conn_done(struct vmig_vuc *v);
/** One round of the idle reader: -EAGAIN: nothing there. Called with v->lock held and the role free. */
void vmig_vuc_read_idle(struct vmig_vuc *v);
int vmig_vuc_set_timeouts(struct vmig_vuc *v, uint32_t ms);

/* --- DMA: vfio_user_dma.c ----------------------------------------------------------------- */

void vmig_vuc_maps_init(struct vmig_vuc_maps *maps);
void vmig_vuc_maps_done(struct vmig_vuc_maps *maps);
int vmig_vuc_map_dma(void *p, const struct vmig_dma *map, struct vmig_error *error);
int vmig_vuc_unmap_dma(void *p, uint64_t iova, uint64_t size, struct vmig_error *error);
/** The mapping that ends behind @iova first, kept in place until vmig_vuc_release_mapping(). NULL: none. */
struct vmig_vuc_mapping *vmig_vuc_hold_mapping(struct vmig_vuc_maps *maps, uint64_t iova);
void vmig_vuc_release_mapping(struct vmig_vuc_maps *maps, struct vmig_vuc_mapping *m);
/** The server's access to [@iova, @iova + @len). 0, -EINVAL, -EFAULT, or what the memory's owner says. */
MUST_USE int vmig_vuc_access(struct vmig_vuc_maps *maps, uint64_t iova, uint8_t *buf, size_t len, bool write);

/* --- serving: vfio_user_serve.c ----------------------------------------------------------- */

/** Receive the rest of a command of the server's from @in, execute it, and make the reply (NULL: none is wanted).
 *  Else how the connection is to die, with words. */
MUST_USE int vmig_vuc_serve_command(struct vmig_vuc *v, struct vmig_vuc_in *in,
				    const struct vmig_vu_header *h, struct vmig_vuc_wait *wait,
				    struct vmig_vuc_out **ret);
/** Have a thread that serves when nobody else does, if it takes one: @by_message: the server has no other way to
 *  some mapping. */
MUST_USE int vmig_vuc_start_server(struct vmig_vuc *v, bool by_message);
/** Stop the thread that serves, if there is one. */
void vmig_vuc_stop_server(struct vmig_vuc *v);

/* --- the device: vfio_user_regions.c, _irqs.c, _state.c, _save.c, _load.c ---------------- */

int vmig_vuc_query_region(void *p, uint32_t index, struct vmig_region *ret, struct vmig_error *error);
int vmig_vuc_query_ioeventfds(void *p, uint32_t index, struct vmig_ioeventfd *ret, int max,
			      struct vmig_error *error);
int vmig_vuc_region_read(void *p, uint32_t index, uint64_t offset, void *buf, size_t len,
			 struct vmig_error *error);
int vmig_vuc_region_write(void *p, uint32_t index, uint64_t offset, const void *buf, size_t len,
			  struct vmig_error *error);
int vmig_vuc_query_irq(void *p, uint32_t index, struct vmig_irq *ret, struct vmig_error *error);
int vmig_vuc_set_irqs(void *p, const struct vmig_irq_set *set, struct vmig_error *error);
void vmig_vuc_regions_done(struct vmig_vuc *v);

/** A DEVICE_FEATURE: @in_len bytes of @in are sent behind the flags, the reply's data (at most @ret_max bytes) is
 *  put into @ret, *ret_len (may be NULL) says how much came. */
MUST_USE int vmig_vuc_feature(struct vmig_vuc *v, uint32_t flags, const void *in, size_t in_len, void *ret,
			      size_t ret_max, size_t *ret_len, struct vmig_error *error);
int vmig_vuc_query_state(void *p, uint32_t *ret_state, struct vmig_error *error);
int vmig_vuc_set_state(void *p, uint32_t target, struct vmig_session_half *ret, struct vmig_error *error);
int vmig_vuc_reset(void *p, struct vmig_error *error);
int vmig_vuc_query_stop_copy_size(void *p, uint64_t *ret, struct vmig_error *error);
int vmig_vuc_query_descriptor(void *p, char **ret, struct vmig_error *error);
int vmig_vuc_query_opaque(void *p, void *buf, size_t *ret_len, struct vmig_error *error);
int vmig_vuc_query_tag(void *p, struct vmig_tag *ret, struct vmig_error *error);
int vmig_vuc_set_tag(void *p, const struct vmig_tag *tag, struct vmig_error *error);
int vmig_vuc_check_opaque(void *p, const void *data, size_t len, struct vmig_error *error);
int vmig_vuc_log_start(void *p, uint64_t *page_size, const struct vmig_range *ranges, uint32_t n,
		       struct vmig_error *error);
int vmig_vuc_log_stop(void *p, struct vmig_error *error);
int vmig_vuc_log_report(void *p, uint64_t iova, uint64_t length, uint64_t page_size, uint64_t *bitmap,
			struct vmig_error *error);

/** Has the server DIRTY_PAGES? 1: yes, 0: no, or how the connection ended. Nothing is logged afterwards. */
MUST_USE int vmig_vuc_dirty_probe(struct vmig_vuc *v, struct vmig_error *error);
MUST_USE int vmig_vuc_dirty_start(struct vmig_vuc *v, uint64_t *page_size, struct vmig_error *error);
MUST_USE int vmig_vuc_dirty_stop(struct vmig_vuc *v, struct vmig_error *error);
MUST_USE int vmig_vuc_dirty_report(struct vmig_vuc *v, uint64_t iova, uint64_t length, uint64_t page_size,
				   uint64_t *bitmap, struct vmig_error *error);

/** -ENOMEM. */
MUST_USE int vmig_vuc_saver_new(struct vmig_vuc *v, struct vmig_session_half *ret);
MUST_USE int vmig_vuc_loader_new(struct vmig_vuc *v, struct vmig_session_half *ret);
/** Wait for all data that was written, before RESUMING is left. 0, or the error that some piece met. */
MUST_USE int vmig_vuc_settle_load(struct vmig_vuc *v, struct vmig_error *error);
/** The device was reset: what went wrong while loading is of no account any more. */
void vmig_vuc_forget_load(struct vmig_vuc *v);

/* --- opening: vfio_user_version.c, _ask.c, _open.c ---------------------------------------- */

/** Agree on VERSION. */
MUST_USE int vmig_vuc_hello(struct vmig_vuc *v, const struct vmig_vfio_user_config *config,
			    struct vmig_error *error);
/** Ask what the device is: fills in v->info. */
MUST_USE int vmig_vuc_ask(struct vmig_vuc *v, struct vmig_error *error);

#endif
