/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * stream - the migration stream: docs/stream.md in code. Pure.
 *
 * A stream is a head and then records, each a header and a payload. The decoder sees only heads and
 * headers; a payload is received by whoever knows where it belongs (a device's own memory), in pieces of
 * any size, and only its digest passes through here:
 *
 *	for (;;) {
 *		receive into vmig_stream_room();
 *		vmig_stream_filled() == 1: decoder.record is the next record
 *			receive decoder.record.length bytes, each piece to vmig_stream_payload()
 *			which says 1 after the last one, if the digest is right
 *	}
 */
#ifndef VMIG_WIRE_STREAM_H
#define VMIG_WIRE_STREAM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include <vmig/error.h>
#include <vmig/owner.h>

#include "base/limits.h"
#include "wire/cursor.h"
#include "wire/digest.h"

#define VMIG_STREAM_MAJOR         1u
#define VMIG_STREAM_MINOR         2u
#define VMIG_STREAM_MINOR_TRAILER 2u /* since when a digest may come after the data */
#define VMIG_STREAM_HEAD_LEN      32u
#define VMIG_STREAM_HEADER_LEN    48u
#define VMIG_STREAM_TRAILER_LEN   8u

enum vmig_record_type {
	VMIG_RECORD_HELLO = 1,
	VMIG_RECORD_OFFER = 2,
	VMIG_RECORD_ACCEPT = 3,
	VMIG_RECORD_REFUSE = 4,
	VMIG_RECORD_INITIAL = 5,
	VMIG_RECORD_INITIAL_LOADED = 6,
	VMIG_RECORD_PRECOPY_DONE = 7,
	VMIG_RECORD_DATA = 8,
	VMIG_RECORD_DEVICE_END = 9,
	VMIG_RECORD_USER_RECORD = 10,
	VMIG_RECORD_FIN = 11,
	VMIG_RECORD_READY = 12,
	VMIG_RECORD_PROMISE = 13,
	VMIG_RECORD_COMMITTED = 14,
	VMIG_RECORD_RUNNING = 15,
	VMIG_RECORD_ABORT = 16,
	VMIG_RECORD_PROGRESS = 17,
	VMIG_RECORD_CLAIM = 18,
	VMIG_RECORD_JOIN = 19,
	VMIG_RECORD_MARK = 20,
	VMIG_RECORD_NR,
};

/** "DATA", or NULL for a type that this library does not know. */
const char *vmig_record_name(uint32_t type);
/** The longest payload that a record of this type may have. */
uint32_t vmig_record_limit(uint32_t type);

#define VMIG_RECORD_OPTIONAL (1u << 0) /* who does not know the type skips the record */
/* Of DATA with a payload: the digest comes after it, and the header's is not used. To a peer of minor version 2 only. */
#define VMIG_RECORD_TRAILER (1u << 1)

struct vmig_record {
	uint16_t type;   /* enum vmig_record_type, or one of a later minor version */
	uint16_t flags;  /* VMIG_RECORD_OPTIONAL, VMIG_RECORD_TRAILER */
	uint32_t device; /* or VMIG_RECORD_ALL */
	uint32_t length; /* of the payload */
	uint32_t number; /* counts from 0 in each direction, modulo 2^32 */
	uint64_t digest; /* of the payload; with a trailer known when that has been read */
};
#define VMIG_RECORD_ALL UINT32_MAX /* the record is about no one device */

struct vmig_stream_head {
	uint16_t major, minor;
	uint8_t attempt[16];
};

void vmig_stream_put_head(uint8_t out[VMIG_STREAM_HEAD_LEN], const struct vmig_stream_head *head);
void vmig_stream_put_header(uint8_t out[VMIG_STREAM_HEADER_LEN], const struct vmig_record *record,
			    const uint8_t attempt[16]);
void vmig_stream_put_trailer(uint8_t out[VMIG_STREAM_TRAILER_LEN], uint64_t digest);

struct vmig_stream_decoder {
	enum {
		VMIG_STREAM_IN_HEAD,
		VMIG_STREAM_IN_HEADER,
		VMIG_STREAM_IN_PAYLOAD,
		VMIG_STREAM_IN_TRAILER, /* as a header, it is the decoder's own to take */
		VMIG_STREAM_BROKEN,
	} at;
	struct vmig_stream_head head; /* valid when the head has been read */
	struct vmig_record record;    /* the last one */
	uint64_t offset;              /* of the next byte that has not been judged */
	/* private */
	bool attempt_known;
	bool nobodys; /* the head names no attempt: its end failed before it heard of one */
	uint32_t next_number;
	uint32_t payload_left;
	uint32_t have;
	uint8_t buf[VMIG_STREAM_TRAILER_LEN + VMIG_STREAM_HEADER_LEN];
	struct vmig_digest digest;
};

/** @attempt: the id that the stream must have, or NULL: whichever it has. */
void vmig_stream_decoder_init(struct vmig_stream_decoder *d, const uint8_t *attempt);

/**
 * Where the next bytes of the stream that are the decoder's own belong. While a payload is under way
 * this is the place of the bytes after it, so that one receive can take the rest of a payload, its trailer and the next
 * header. Who does that gives it all to vmig_stream_filled() once the payload is whole, and asks it again, with a length
 * of 0, when it has judged a trailer: the header behind it may be there already.
 */
void vmig_stream_room(struct vmig_stream_decoder *d, struct iovec *ret);

/**
 * @len bytes were put into the room. Not while a payload is under way.
 * Returns 1: a record begins, see d->record (in IN_PAYLOAD if it has a payload); 0: more is needed, or a trailer was right
 * and the decoder is out of IN_TRAILER; or, with *ret_error,
 *   -EBADMSG   a trailer that is not its payload's; not a migration stream, a header that is damaged, or one of another attempt
 *   -EPROTO    a record is missing, doubled or out of order; unknown and not optional
 *   -E2BIG     longer than a record of its type may be
 *   -EPROTONOSUPPORT   another major version
 * After an error the decoder stays broken.
 */
int vmig_stream_filled(struct vmig_stream_decoder *d, size_t len, struct vmig_error *ret_error);

/** The next @len bytes of the payload (never more than are left). 1: it is whole and its digest is right; 0: more, or it is
 *  whole and the decoder is IN_TRAILER; -EBADMSG: the digest is wrong. */
int vmig_stream_payload(struct vmig_stream_decoder *d, const void *data, size_t len,
			struct vmig_error *ret_error);

/** True where a stream may end: between two records. */
bool vmig_stream_may_end(const struct vmig_stream_decoder *d);

/* --- payloads: one struct, one put and one get each ----------------------------------------- */

/* Bytes after the fields of a payload are ignored: a later minor version may append some. The get
 * functions return 0 or -EBADMSG (too short, or a value over its limit). */

struct vmig_hello {
	uint32_t n_devices;
	uint32_t flags;    /* VMIG_HELLO_*; the answer has only what was proposed */
	uint32_t max_data; /* the longest DATA payload that this end takes */
	/* Since minor version 2, with VMIG_HELLO_OWNED; else empty. */
	struct vmig_uuid store;         /* the ownership record's own id */
	char name[VMIG_OWNER_NAME_MAX]; /* this end's name in it */
};
#define VMIG_HELLO_COPY  (1u << 0) /* the source will run on: this is a copy (save --live) */
#define VMIG_HELLO_PROBE (1u << 1) /* only a question: after the answer to the offer nothing follows */
#define VMIG_HELLO_OWNED (1u << 2) /* a record decides who may run the devices */

/* How many connections the source would like, and the destination takes: 0 and 1 are one. In the flags. */
#define VMIG_HELLO_CONNECTIONS_SHIFT 24

#define VMIG_OFFER_TEXT_MAX       128u      /* bytes of identity, format and name each */
#define VMIG_OFFER_OPAQUE_MAX     4096u     /* bytes of the driver's version data */
#define VMIG_OFFER_RESET          (1u << 0) /* the device can be reset */
#define VMIG_OFFER_PAPER          (1u << 1) /* there is no device yet: only the descriptor counts */
#define VMIG_OFFER_DESCRIPTOR_MAX (32u << 10)
#define VMIG_OFFER_SIZE_UNKNOWN   UINT64_MAX

struct vmig_offer {
	uint64_t migration_flags; /* VMIG_MIGRATION_* */
	uint32_t traits, has;     /* VMIG_TRAIT_*, VMIG_HAS_* */
	uint32_t flags;           /* VMIG_OFFER_* */
	uint64_t stop_copy_size;  /* estimate in bytes */
	char identity[VMIG_OFFER_TEXT_MAX], format[VMIG_OFFER_TEXT_MAX], name[VMIG_OFFER_TEXT_MAX];
	uint32_t opaque_len;   /* 0: none */
	const uint8_t *opaque; /* in the payload */
	/* Since minor version 1. JSON, vmig-descriptor(5); not terminated; 0: none. */
	uint32_t descriptor_len;
	const char *descriptor; /* in the payload */
};

struct vmig_device_end {
	uint64_t length; /* bytes of all DATA payloads of the device */
	uint64_t chain;  /* vmig_digest_chain() over them */
};

struct vmig_user_piece {
	uint32_t total, offset, len; /* this piece is @len bytes at @offset of @total */
	const uint8_t *bytes;        /* in the payload */
};

struct vmig_fin {
	uint32_t n_devices;
	uint64_t length; /* of all devices */
	uint64_t chain;  /* over the devices' (length, chain), in their order */
};

struct vmig_abort {
	uint32_t code;     /* positive errno of Linux, 0: unknown */
	const char *text;  /* reasons, one a line; not terminated */
	uint32_t text_len; /* at most VMIG_REASON_MAX */
};
#define VMIG_REASON_MAX 8192u

void vmig_hello_put(struct vmig_cursor *c, const struct vmig_hello *m);
int vmig_hello_get(struct vmig_cursor *c, struct vmig_hello *ret);
void vmig_offer_put(struct vmig_cursor *c, const struct vmig_offer *m);
int vmig_offer_get(struct vmig_cursor *c, struct vmig_offer *ret);
void vmig_device_end_put(struct vmig_cursor *c, const struct vmig_device_end *m);
int vmig_device_end_get(struct vmig_cursor *c, struct vmig_device_end *ret);
void vmig_user_piece_put(struct vmig_cursor *c, const struct vmig_user_piece *m);
int vmig_user_piece_get(struct vmig_cursor *c, struct vmig_user_piece *ret);
void vmig_fin_put(struct vmig_cursor *c, const struct vmig_fin *m);
int vmig_fin_get(struct vmig_cursor *c, struct vmig_fin *ret);
/** REFUSE and ABORT. */
void vmig_abort_put(struct vmig_cursor *c, const struct vmig_abort *m);
int vmig_abort_get(struct vmig_cursor *c, struct vmig_abort *ret);
/** CLAIM: the record of a device, as the source has written it. */
void vmig_claim_put(struct vmig_cursor *c, const struct vmig_ownership *m);
int vmig_claim_get(struct vmig_cursor *c, struct vmig_ownership *ret);
/** COMMITTED: how long (ns) the record took; of minor version 1 it is empty: 0. */
void vmig_committed_put(struct vmig_cursor *c, uint64_t owner_ns);
void vmig_committed_get(struct vmig_cursor *c, uint64_t *ret_owner_ns);
/** JOIN: the first record of a connection beside the first one. */
struct vmig_join {
	uint32_t index, of; /* the connection's, from 1; how many there are */
};
void vmig_join_put(struct vmig_cursor *c, const struct vmig_join *m);
int vmig_join_get(struct vmig_cursor *c, struct vmig_join *ret);
/** INITIAL, INITIAL_LOADED and MARK (which initial data), PROGRESS (bytes loaded or sent): one number. */
void vmig_number_put(struct vmig_cursor *c, uint64_t number);
int vmig_number_get(struct vmig_cursor *c, uint64_t *ret);

#endif
