/* SPDX-License-Identifier: BSD-3-Clause */
/* Looks at a stream as a destination would, but for the devices: the decoder, and the sums over each device's data. */
#include <string.h>

#include <vmig/stream.h>

#include "base/fault.h"
#include "base/util.h"
#include "wire/stream.h"

#define PIECE (64u << 10)

struct reader_device {
	uint64_t length, chain;
	bool ended;
};

struct vmig_stream_reader {
	struct vmig_channel *channel;
	struct vmig_stream_decoder decoder;
	uint32_t n_devices, n_ended; /* n_devices 0: HELLO has not been read */
	bool fin, promise;           /* PROMISE ends a stream that goes one way */
	struct reader_device devices[VMIG_LIMIT_DEVICES];
	uint8_t piece[PIECE];
};

_Static_assert(PIECE >= VMIG_LIMIT_RECORD_CONTROL, "a control record's payload is looked at in one piece");

int vmig_stream_reader_new(struct vmig_channel *channel, struct vmig_stream_reader **ret)
{
	/* The digest's state has vector registers' alignment, which malloc() does not promise. */
	struct vmig_stream_reader *reader =
		aligned_alloc(_Alignof(struct vmig_stream_reader), sizeof(*reader));

	if (!reader)
		return -ENOMEM;
	memset(reader, 0, sizeof(*reader));
	reader->channel = channel;
	vmig_stream_decoder_init(&reader->decoder, NULL);
	*ret = reader;
	return 0;
}

void vmig_stream_reader_free(struct vmig_stream_reader *reader)
{
	free(reader);
}

void vmig_stream_reader_head(const struct vmig_stream_reader *reader, uint16_t *ret_major,
			     uint16_t *ret_minor, uint8_t ret_attempt[16])
{
	*ret_major = reader->decoder.head.major;
	*ret_minor = reader->decoder.head.minor;
	memcpy(ret_attempt, reader->decoder.head.attempt, 16);
}

/* What the decoder says names the byte; the record's number belongs to it. */
static int name_record(const struct vmig_stream_reader *reader, int r, struct vmig_error *error)
{
	struct vmig_error was = *error;

	return vmig_fault(error, r, "stream", "record %u: %.200s", reader->decoder.next_number, was.text);
}

static int bad(const struct vmig_stream_reader *reader, uint64_t offset, struct vmig_error *error,
	       const char *what)
{
	return vmig_fault(error, -EBADMSG, "stream", "record %u at byte %llu: %s",
			  reader->decoder.record.number, (unsigned long long)offset, what);
}

/* Bytes that were received of what is not whole yet, so that "cut short" can name the byte. */
static int cut_short(const struct vmig_stream_reader *reader, uint64_t more, struct vmig_error *error)
{
	const struct vmig_stream_decoder *d = &reader->decoder;
	bool payload = d->at == VMIG_STREAM_IN_PAYLOAD || d->at == VMIG_STREAM_IN_TRAILER;

	return vmig_fault(error, -EBADMSG, "stream", "record %u: the stream is cut short at byte %llu",
			  payload ? d->record.number : d->next_number,
			  (unsigned long long)(d->offset + more));
}

static ssize_t receive(struct vmig_stream_reader *reader, void *to, size_t len, struct vmig_error *error)
{
	struct iovec iov = { .iov_base = to, .iov_len = len };
	ssize_t n = vmig_channel_recv(reader->channel, &iov, 1);

	if (n < 0)
		vmig_fault(error, (int)n, "stream", "byte %llu and on cannot be read",
			   (unsigned long long)reader->decoder.offset);
	return n;
}

/* 1: a record begins; 0: the stream ends here, and may. */
static int read_header(struct vmig_stream_reader *reader, struct vmig_error *error)
{
	struct iovec room;
	ssize_t n;
	int r;

	do {
		vmig_stream_room(&reader->decoder, &room);
		n = receive(reader, room.iov_base, room.iov_len, error);
		if (n < 0)
			return (int)n;
		if (!n && vmig_stream_may_end(&reader->decoder))
			return 0;
		if (!n)
			return cut_short(reader, reader->decoder.have, error);
		r = vmig_stream_filled(&reader->decoder, (size_t)n, error);
	} while (!r);
	return r < 0 ? name_record(reader, r, error) : r;
}

static int read_trailer(struct vmig_stream_reader *reader, struct vmig_error *error)
{
	struct vmig_stream_decoder *d = &reader->decoder;
	int r = 0;

	while (!r && d->at == VMIG_STREAM_IN_TRAILER) {
		struct iovec room;
		ssize_t n;

		vmig_stream_room(d, &room);
		n = receive(reader, room.iov_base, room.iov_len, error);
		if (n < 0)
			return (int)n;
		if (!n)
			return cut_short(reader, (uint64_t)d->record.length + d->have, error);
		r = vmig_stream_filled(d, (size_t)n, error);
	}
	return r;
}

/* All of it goes through the digest; a control record's lies in the piece afterwards. */
static int read_payload(struct vmig_stream_reader *reader, struct vmig_error *error)
{
	uint32_t length = reader->decoder.record.length, have = 0;
	bool control = length <= PIECE;
	int r = 0;

	while (have < length) {
		uint8_t *to = control ? reader->piece + have : reader->piece;
		ssize_t n = receive(reader, to, MIN(length - have, PIECE - (control ? have : 0)), error);

		if (n < 0)
			return (int)n;
		if (!n)
			return cut_short(reader, have, error);
		have += (uint32_t)n;
		r = vmig_stream_payload(&reader->decoder, to, (size_t)n, error);
		if (r < 0)
			return r;
	}
	return read_trailer(reader, error);
}

/* --- what each type means ------------------------------------------------------------------- */

static struct reader_device *device_of(struct vmig_stream_reader *reader)
{
	uint32_t device = reader->decoder.record.device;

	return device < reader->n_devices ? &reader->devices[device] : NULL;
}

static int take_hello(struct vmig_stream_reader *reader, struct vmig_cursor *c,
		      struct vmig_stream_record *ret, struct vmig_error *error)
{
	struct vmig_hello m;

	if (vmig_hello_get(c, &m))
		return bad(reader, ret->offset, error, "a HELLO that makes no sense");
	ret->n_devices = reader->n_devices = m.n_devices;
	return 0;
}

static int take_offer(struct vmig_stream_reader *reader, struct vmig_cursor *c,
		      struct vmig_stream_record *ret, struct vmig_error *error)
{
	struct vmig_offer m;

	if (vmig_offer_get(c, &m) || !device_of(reader))
		return bad(reader, ret->offset, error, "an OFFER that makes no sense");
	ret->migration_flags = m.migration_flags;
	memcpy(ret->identity, m.identity, sizeof(ret->identity));
	memcpy(ret->format, m.format, sizeof(ret->format));
	memcpy(ret->device_name, m.name, sizeof(ret->device_name));
	return 0;
}
_Static_assert(VMIG_IDENTITY_MAX == VMIG_OFFER_TEXT_MAX, "an offer's texts fit");

static int take_data(struct vmig_stream_reader *reader, const struct vmig_stream_record *ret,
		     struct vmig_error *error)
{
	struct reader_device *device = device_of(reader);

	if (!device || device->ended)
		return bad(reader, ret->offset, error, "data of a device that was not offered, or has ended");
	device->length += ret->length;
	device->chain = vmig_digest_chain(device->chain, ret->length, ret->digest);
	return 0;
}

static int take_end(struct vmig_stream_reader *reader, struct vmig_cursor *c, struct vmig_stream_record *ret,
		    struct vmig_error *error)
{
	struct reader_device *device = device_of(reader);
	struct vmig_device_end m;

	if (vmig_device_end_get(c, &m) || !device || device->ended)
		return bad(reader, ret->offset, error, "a DEVICE_END that makes no sense");
	if (m.length != device->length || m.chain != device->chain)
		return bad(reader, ret->offset, error,
			   "the length or the digest of the device's data is wrong");
	device->ended = true;
	reader->n_ended++;
	ret->total = m.length;
	return 0;
}

static int take_fin(struct vmig_stream_reader *reader, struct vmig_cursor *c, struct vmig_stream_record *ret,
		    struct vmig_error *error)
{
	struct vmig_fin m;
	uint64_t length = 0, chain = 0;

	for (uint32_t i = 0; i < reader->n_devices; i++) {
		length += reader->devices[i].length;
		chain = vmig_digest_chain(chain, reader->devices[i].length, reader->devices[i].chain);
	}
	if (vmig_fin_get(c, &m) || m.n_devices != reader->n_devices || reader->n_ended != reader->n_devices ||
	    m.length != length || m.chain != chain)
		return bad(reader, ret->offset, error, "the sum over all devices is wrong");
	ret->n_devices = m.n_devices;
	ret->total = m.length;
	reader->fin = true;
	return 0;
}

static int take(struct vmig_stream_reader *reader, struct vmig_stream_record *ret, struct vmig_error *error)
{
	struct vmig_cursor c = vmig_cursor_over(reader->piece, MIN(ret->length, PIECE));
	struct vmig_user_piece piece;

	if (reader->promise)
		return bad(reader, ret->offset, error, "it comes after the end");
	switch (ret->type) {
	case VMIG_RECORD_HELLO:
		return take_hello(reader, &c, ret, error);
	case VMIG_RECORD_OFFER:
		return take_offer(reader, &c, ret, error);
	case VMIG_RECORD_DATA:
		return take_data(reader, ret, error);
	case VMIG_RECORD_DEVICE_END:
		return take_end(reader, &c, ret, error);
	case VMIG_RECORD_USER_RECORD:
		if (vmig_user_piece_get(&c, &piece))
			return bad(reader, ret->offset, error, "a USER_RECORD that makes no sense");
		ret->total = piece.total;
		return 0;
	case VMIG_RECORD_FIN:
		return take_fin(reader, &c, ret, error);
	case VMIG_RECORD_PROMISE:
		if (!reader->fin)
			return bad(reader, ret->offset, error,
				   "the end comes before the sum over all devices");
		reader->promise = true;
		return 0;
	default:
		return 0;
	}
}

static int end(const struct vmig_stream_reader *reader, struct vmig_error *error)
{
	return reader->promise ? 0 : cut_short(reader, 0, error);
}

int vmig_stream_reader_next(struct vmig_stream_reader *reader, struct vmig_stream_record *ret,
			    struct vmig_error *ret_error)
{
	const struct vmig_record *r = &reader->decoder.record;
	struct vmig_stream_record record = { 0 };
	struct vmig_error ignored;
	struct vmig_error *error = ret_error ? ret_error : &ignored;
	int err = read_header(reader, error);

	if (err <= 0)
		return err ? err : end(reader, error);
	record.offset = reader->decoder.offset - VMIG_STREAM_HEADER_LEN;
	record.number = r->number;
	record.type = r->type;
	record.name = vmig_record_name(r->type);
	record.device = r->device;
	record.length = r->length;
	err = read_payload(reader, error);
	record.digest = r->digest;
	if (!err)
		err = take(reader, &record, error);
	if (err)
		return err;
	*ret = record;
	return 1;
}
