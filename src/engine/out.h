/* SPDX-License-Identifier: BSD-3-Clause */
/** out - what one end sends: records, whole and in order, from several threads over one channel. */
#ifndef VMIG_ENGINE_OUT_H
#define VMIG_ENGINE_OUT_H

#include <pthread.h>
#include <stdatomic.h>

#include <vmig/channel.h>
#include <vmig/session.h>

#include "wire/stream.h"

/**
 * The most bytes of a device's data that travel in one record. Where the digest comes after the data these are as large as
 * may be, since each call of the kernel has its price; where it goes before them they are in the cache still when it has
 * been made.
 */
#define VMIG_OUT_PIECE       VMIG_LIMIT_RECORD_DATA
#define VMIG_OUT_PIECE_FIRST (256u << 10)

struct vmig_out {
	struct vmig_channel *channel;
	pthread_mutex_t lock;
	pthread_cond_t turn;
	atomic_uint controls; /* waiting to send; data let them pass */
	bool begun;           /* the head has been sent; under lock */
	uint32_t number;      /* under lock */
	bool owes;            /* the trailer of what was sent last; under lock */
	uint8_t trailer[VMIG_STREAM_TRAILER_LEN];
	size_t piece;        /* of data: vmig_out_peer() */
	bool trailers;       /* the peer takes digests after their data */
	uint8_t attempt[16]; /* before the first record is sent */
	uint64_t bandwidth;  /* most bytes of data a second; 0: no limit */
	uint64_t next_ns;    /* when the limit allows more; under lock */
};

void vmig_out_init(struct vmig_out *out, struct vmig_channel *channel, uint64_t bandwidth);
void vmig_out_done(struct vmig_out *out);

/** A record that is not data. 0, or as vmig_channel_send(). @only_if_free: 0, unsent, if another thread is sending. */
int vmig_out_control(struct vmig_out *out, const struct vmig_record *record, const void *payload,
		     bool only_if_free);

/** What the peer takes is known. Before the first piece of data. */
void vmig_out_peer(struct vmig_out *out, uint16_t minor, uint32_t max_data);

/**
 * One piece of a device's data. *ret_digest is that of the bytes.
 *
 * To a peer that takes trailers the data are sent first and their digest is made while they are in the cache; it travels
 * with whatever is sent next. So the last piece needs vmig_out_flush(), or another record behind it.
 */
int vmig_out_data(struct vmig_out *out, uint32_t device, const struct iovec *iov, int n,
		  uint64_t *ret_digest);
/** Send the trailer that is owed, if one is. */
int vmig_out_flush(struct vmig_out *out);

/** How long (ns) to wait before @len more bytes may go, by the limit; they count as sent. */
uint64_t vmig_out_delay(struct vmig_out *out, size_t len);

/** What a channel's error means, for a person. */
const char *vmig_out_words(int code);

#endif
