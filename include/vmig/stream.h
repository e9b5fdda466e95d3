/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * stream - look at a migration stream record by record, without a device: a saved file, or what comes through a pipe.
 *
 * Every byte that is read is checked: the head, each record's header, each payload's digest, the length and
 * the chain of digests of each device's data, and the sum at the end. Nothing is believed before it is checked.
 */
#ifndef VMIG_STREAM_H
#define VMIG_STREAM_H

#include <stdint.h>

#include <vmig/channel.h>
#include <vmig/device.h>
#include <vmig/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vmig_stream_reader;

#define VMIG_STREAM_NO_DEVICE UINT32_MAX /* the record is about no one device */

/** One record. What does not belong to its type is zero. Strings are printable. */
struct vmig_stream_record {
	uint64_t offset; /* of its header, in bytes from the start of the stream */
	uint32_t number; /* counts from 0 */
	uint32_t type;
	const char *name;   /* of the type: "DATA"; NULL: a later version's, and optional */
	uint32_t device;    /* or VMIG_STREAM_NO_DEVICE */
	uint32_t length;    /* bytes of payload */
	uint64_t digest;    /* of the payload; it is right */
	uint32_t n_devices; /* HELLO, FIN */
	uint64_t
		total; /* DEVICE_END: bytes of the device's data; FIN: of all; USER_RECORD: of the whole record */
	uint64_t migration_flags; /* OFFER */
	char identity[VMIG_IDENTITY_MAX], format[VMIG_IDENTITY_MAX],
		device_name[VMIG_IDENTITY_MAX]; /* OFFER */
};

/** @channel stays the caller's and must outlive the reader. -ENOMEM. */
int vmig_stream_reader_new(struct vmig_channel *channel, struct vmig_stream_reader **ret);

/**
 * The next record, payload and all. May block, as the channel does.
 *
 * Returns 1; 0: the stream has ended where it may, after its last record; or, with *ret_error, which
 * names the record and the byte:
 *   -EBADMSG	      not a migration stream; damaged; cut short
 *   -EPROTO	      a record is missing, doubled, out of order or unknown
 *   -E2BIG	      a record is longer than one of its type may be
 *   -EPROTONOSUPPORT a later major version
 *   another	      what the channel says
 */
int vmig_stream_reader_next(struct vmig_stream_reader *reader, struct vmig_stream_record *ret,
			    struct vmig_error *ret_error);

/** The stream's version and the 16 bytes of its attempt; valid after the first record. */
void vmig_stream_reader_head(const struct vmig_stream_reader *reader, uint16_t *ret_major,
			     uint16_t *ret_minor, uint8_t ret_attempt[16]);

void vmig_stream_reader_free(struct vmig_stream_reader *reader);

#ifdef __cplusplus
}
#endif
#endif
