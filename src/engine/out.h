/* SPDX-License-Identifier: BSD-3-Clause */
/** out - what one end sends: records, whole and in order, from several threads over one channel. */
#ifndef VMIG_ENGINE_OUT_H
#define VMIG_ENGINE_OUT_H

#include <pthread.h>
#include <stdatomic.h>

#include <vmig/channel.h>
#include <vmig/session.h>

#include "wire/stream.h"

/** The size of the pieces in which a device's data travel: in the cache still when their digest has been made. */
#define VMIG_OUT_PIECE (256u << 10)

struct vmig_out {
	struct vmig_channel *channel;
	pthread_mutex_t lock;
	pthread_cond_t turn;
	atomic_uint controls; /* waiting to send; data let them pass */
	bool begun;           /* the head has been sent; under lock */
	uint32_t number;      /* under lock */
	uint8_t attempt[16];  /* before the first record is sent */
	uint64_t bandwidth;   /* most bytes of data a second; 0: no limit */
	uint64_t next_ns;     /* when the limit allows more; under lock */
};

void vmig_out_init(struct vmig_out *out, struct vmig_channel *channel, uint64_t bandwidth);
void vmig_out_done(struct vmig_out *out);

/** A record that is not data. 0, or as vmig_channel_send(). @only_if_free: 0, unsent, if another thread is sending. */
int vmig_out_control(struct vmig_out *out, const struct vmig_record *record, const void *payload,
		     bool only_if_free);

/** One piece of a device's data, with its digest. */
int vmig_out_data(struct vmig_out *out, uint32_t device, const struct iovec *iov, int n, uint64_t digest);

/** How long (ns) to wait before @len more bytes may go, by the limit; they count as sent. */
uint64_t vmig_out_delay(struct vmig_out *out, size_t len);

/** What a channel's error means, for a person. */
const char *vmig_out_words(int code);

#endif
