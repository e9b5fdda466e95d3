/* SPDX-License-Identifier: BSD-3-Clause */
/** out - what one end sends over one connection: records, whole and in order, from several threads. */
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

/** The limit that all connections of a migration have in common. */
struct vmig_pace {
	pthread_mutex_t lock;
	uint64_t bandwidth; /* most bytes of data a second; 0: no limit */
	uint64_t next_ns;   /* when the limit allows more; under lock */
};

void vmig_pace_init(struct vmig_pace *pace, uint64_t bandwidth);
void vmig_pace_done(struct vmig_pace *pace);
/** How long (ns) to wait before @len more bytes may go, by the limit; they count as sent. */
uint64_t vmig_pace_delay(struct vmig_pace *pace, size_t len);

/** A device that waits for its turn. */
struct vmig_out_waiter {
	struct vmig_out_waiter *next;
	uint32_t device;
	bool granted;
	pthread_cond_t wake;
};

/**
 * Who sends. Control records go before data. Devices take turns, in the order in which they come; a turn may be several
 * pieces, for so long as VMIG_OUT_TURN_NS, since to wake another thread for each piece would cost as much as to send it.
 */
#define VMIG_OUT_TURN_NS (5 * 1000000u)

struct vmig_out {
	struct vmig_channel *channel;
	uint8_t attempt[16]; /* before the first record is sent */
	uint64_t bandwidth;  /* of the pace: a slow stream is sent evenly */

	pthread_mutex_t lock;
	bool busy;         /* somebody sends; what follows, up to @piece, is his */
	uint32_t controls; /* that wait */
	pthread_cond_t free;
	struct vmig_out_waiter *first, **last;
	uint32_t keeper; /* whose turn it is; VMIG_RECORD_ALL: nobody's */
	uint64_t turn_end_ns;

	bool begun;      /* the head has been sent */
	uint32_t number; /* of the next record */
	bool owes;       /* the trailer of what was sent last */
	uint8_t trailer[VMIG_STREAM_TRAILER_LEN];

	size_t piece;   /* of data: vmig_out_peer() */
	bool trailers;  /* the peer takes digests after their data */
	bool ends_more; /* behind a DEVICE_END something follows soon */
};

void vmig_out_init(struct vmig_out *out, struct vmig_channel *channel, uint64_t bandwidth);
void vmig_out_done(struct vmig_out *out);

/** A record that is not data. 0, or as vmig_channel_send(). @only_if_free: 0, unsent, if another thread is sending. */
int vmig_out_control(struct vmig_out *out, const struct vmig_record *record, const void *payload,
		     bool only_if_free);

/** What the peer takes is known. Before the first piece of data. */
void vmig_out_peer(struct vmig_out *out, uint16_t minor, uint32_t max_data);

/**
 * One piece of a device's data. *ret_digest is that of the bytes. @stays: the device's next piece, or vmig_out_leave(), comes
 * at once: as long as its turn lasts no other device is woken.
 *
 * To a peer that takes trailers the data are sent first and their digest is made while they are in the cache; it travels
 * with whatever is sent next. So the last piece needs vmig_out_leave(), or another record behind it.
 */
int vmig_out_data(struct vmig_out *out, uint32_t device, const struct iovec *iov, int n, bool stays,
		  uint64_t *ret_digest);
/** The device's turn is over. @flush: send the trailer that is owed, if one is: nothing may be behind it. */
int vmig_out_leave(struct vmig_out *out, uint32_t device, bool flush);

/** What a channel's error means, for a person. */
const char *vmig_out_words(int code);

#endif
