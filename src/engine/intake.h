/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * intake - a decoder on a channel: record by record, payloads straight to where they belong.
 *
 * While the last bytes of a payload are received, its trailer and the next header come with the same call.
 */
#ifndef VMIG_ENGINE_INTAKE_H
#define VMIG_ENGINE_INTAKE_H

#include <stdatomic.h>

#include <vmig/channel.h>
#include <vmig/session.h>

#include "wire/stream.h"

struct vmig_intake {
	struct vmig_stream_decoder decoder;
	struct vmig_channel *channel;
	atomic_uint_least64_t *heard_ns; /* set whenever something comes */
	uint64_t digest;                 /* of the last payload, once it is whole */
	int ready;                       /* 1: the next record's header is here; negative: it is bad */
	struct vmig_error later;         /* why */
};

void vmig_intake_init(struct vmig_intake *in, struct vmig_channel *channel, const uint8_t *attempt,
		      atomic_uint_least64_t *heard_ns);

/** 1: a record, *ret; its payload must be taken before the next call. 0: the stream has ended between two records. */
int vmig_intake_next(struct vmig_intake *in, struct vmig_record *ret, struct vmig_error *ret_error);

/** All of the payload into @iov, at most VMIG_SESSION_IOV_MAX + 1 of them, which have just its length. 0, or -EBADMSG: it is damaged; -ENODATA: cut short. */
int vmig_intake_payload(struct vmig_intake *in, struct iovec *iov, int n, struct vmig_error *ret_error);

/** Take the payload and forget it; its digest is checked. */
int vmig_intake_skip(struct vmig_intake *in, struct vmig_error *ret_error);

#endif
