/* SPDX-License-Identifier: BSD-3-Clause */
/** made - streams made record by record, and taken apart in pieces of any size. */
#ifndef VMIG_TESTS_STREAM_MADE_H
#define VMIG_TESTS_STREAM_MADE_H

#include "wire/stream.h"

struct made {
	uint8_t *bytes;
	size_t len, room;
	uint32_t n; /* records */
	uint8_t attempt[16];
};

/** A head. The attempt is 00 11 22 .. ff. */
void made_begin(struct made *m);
void made_begin_as(struct made *m, const uint8_t attempt[16]);
void made_end(struct made *m);
void made_bytes(struct made *m, const void *bytes, size_t len);
/** A record with the next number and right digests. */
void made_add(struct made *m, uint16_t type, uint16_t flags, uint32_t device, const void *payload,
	      uint32_t len);
/** The same with a number of the caller's. */
void made_add_numbered(struct made *m, uint16_t type, uint32_t number, const void *payload, uint32_t len);

/** What became of a stream. */
struct taken {
	int code;         /* 0, or the decoder's error */
	uint32_t n;       /* records begun */
	uint32_t n_whole; /* and ended, payload and all */
	uint64_t sum;     /* over all headers and payloads, in their order */
	bool may_end;
	struct vmig_error error;
};

/** Take @len bytes apart; each receive gives 1 to @most bytes (0: all that there are), by chance of *@seed. */
struct taken made_take(const uint8_t *bytes, size_t len, const uint8_t *attempt, size_t most,
		       unsigned int *seed);

#endif
