/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The migration stream. The first byte chooses:
 *   0  the rest is a stream as it is: taken in one byte at a time or at once, the judgement is the same
 *   1  the rest tells how to make a stream with right digests: it is accepted; with one bit flipped it is not
 *   2  and more: the payload of one kind of record: what decodes encodes to something that decodes to the same
 */
#include "fuzz.h"

#include <string.h>

#include "base/util.h"
#include "wire/stream.h"

#define MAX_STREAM 65536

struct judgement {
	int code; /* 0: it may end here; 1: it is cut off; else what the decoder said */
	uint64_t offset;
	uint32_t records;
};

/* Take @stream in, at most @step bytes at a time, as a receiver does. */
static struct judgement take(const uint8_t *stream, size_t len, size_t step)
{
	struct vmig_stream_decoder d;
	struct judgement j = { 0 };

	vmig_stream_decoder_init(&d, NULL);
	while (len) {
		bool payload = d.at == VMIG_STREAM_IN_PAYLOAD;
		size_t part = MIN(len, step);
		int r;

		if (payload) {
			part = MIN(part, d.payload_left);
			r = vmig_stream_payload(&d, stream, part, NULL);
		} else {
			struct iovec room;

			vmig_stream_room(&d, &room);
			MUST(room.iov_len > 0);
			part = MIN(part, room.iov_len);
			memcpy(room.iov_base, stream, part);
			r = vmig_stream_filled(&d, part, NULL);
		}
		stream += part;
		len -= part;
		if (r < 0) {
			MUST(d.at == VMIG_STREAM_BROKEN);
			j.code = r;
			j.offset = d.offset;
			return j;
		}
		if (!payload && r == 1) {
			j.records++;
			MUST(d.record.length <= vmig_record_limit(d.record.type));
		}
	}
	j.code = !vmig_stream_may_end(&d);
	j.offset = d.offset;
	return j;
}

static struct judgement take_both_ways(const uint8_t *stream, size_t len)
{
	struct judgement at_once = take(stream, len, len), bytewise = take(stream, len, 1);

	MUST(at_once.code == bytewise.code);
	MUST(at_once.offset == bytewise.offset);
	MUST(at_once.records == bytewise.records);
	return at_once;
}

/* --- a stream with right digests ---------------------------------------------------------- */

static uint8_t stream[MAX_STREAM];

/* One record from the recipe; returns its length, or 0 at the end of the recipe or of the room. */
static size_t put_record(struct vmig_cursor *recipe, uint32_t number, const uint8_t attempt[16], uint8_t *to,
			 size_t room)
{
	struct vmig_record r = { .number = number };
	const uint8_t *payload;
	size_t len;

	r.type = vmig_cursor_u8(recipe);
	r.flags = vmig_cursor_u8(recipe);
	r.device = vmig_cursor_u8(recipe);
	r.length = vmig_cursor_u8(recipe);
	payload = vmig_cursor_bytes(recipe, r.length);
	len = VMIG_STREAM_HEADER_LEN + r.length;
	if (!vmig_cursor_ok(recipe) || len + VMIG_STREAM_TRAILER_LEN > room)
		return 0;
	if (!vmig_record_name(r.type))
		r.flags |= VMIG_RECORD_OPTIONAL;
	r.digest = vmig_digest_of(payload, r.length);
	vmig_stream_put_header(to, &r, attempt);
	if (r.length)
		memcpy(to + VMIG_STREAM_HEADER_LEN, payload, r.length);
	if (r.type != VMIG_RECORD_DATA || !(r.flags & VMIG_RECORD_TRAILER) || !r.length)
		return len;
	vmig_stream_put_trailer(to + len, r.digest);
	return len + VMIG_STREAM_TRAILER_LEN;
}

static void repaired(const uint8_t *data, size_t size)
{
	struct vmig_stream_head head = { VMIG_STREAM_MAJOR, 0, { 0 } };
	struct vmig_cursor recipe = vmig_cursor_over(data, size);
	struct judgement j;
	uint32_t where, n = 0;
	size_t len = VMIG_STREAM_HEAD_LEN, part;

	where = vmig_cursor_u32(&recipe);
	head.minor = vmig_cursor_u16(&recipe);
	vmig_cursor_copy(&recipe, head.attempt, sizeof(head.attempt));
	vmig_stream_put_head(stream, &head);
	while ((part = put_record(&recipe, n, head.attempt, stream + len, sizeof(stream) - len)) > 0) {
		len += part;
		n++;
	}
	j = take_both_ways(stream, len);
	MUST(j.code == 0 && j.offset == len && j.records == n);
	stream[where / 8 % len] ^= (uint8_t)(1u << where % 8);
	j = take_both_ways(stream, len);
	MUST(j.code < 0);
}

/* --- payloads ----------------------------------------------------------------------------- */

union payload {
	struct vmig_hello hello;
	struct vmig_offer offer;
	struct vmig_device_end end;
	struct vmig_user_piece piece;
	struct vmig_fin fin;
	struct vmig_abort abort;
	struct vmig_ownership claim;
	uint64_t number;
};

static int get(unsigned int kind, struct vmig_cursor *c, union payload *m)
{
	switch (kind) {
	case 0:
		return vmig_hello_get(c, &m->hello);
	case 1:
		return vmig_offer_get(c, &m->offer);
	case 2:
		return vmig_device_end_get(c, &m->end);
	case 3:
		return vmig_user_piece_get(c, &m->piece);
	case 4:
		return vmig_fin_get(c, &m->fin);
	case 5:
		return vmig_abort_get(c, &m->abort);
	case 6:
		return vmig_claim_get(c, &m->claim);
	default:
		return vmig_number_get(c, &m->number);
	}
}

static size_t put(unsigned int kind, const union payload *m, uint8_t *to, size_t room)
{
	struct vmig_cursor c = vmig_cursor_into(to, room);

	if (kind == 0)
		vmig_hello_put(&c, &m->hello);
	else if (kind == 1)
		vmig_offer_put(&c, &m->offer);
	else if (kind == 2)
		vmig_device_end_put(&c, &m->end);
	else if (kind == 3)
		vmig_user_piece_put(&c, &m->piece);
	else if (kind == 4)
		vmig_fin_put(&c, &m->fin);
	else if (kind == 5)
		vmig_abort_put(&c, &m->abort);
	else if (kind == 6)
		vmig_claim_put(&c, &m->claim);
	else
		vmig_number_put(&c, m->number);
	MUST(vmig_cursor_ok(&c));
	return room - c.left;
}

static void payload_round_trip(unsigned int kind, const uint8_t *data, size_t size)
{
	static uint8_t first[MAX_STREAM + 8], again[MAX_STREAM + 8];
	struct vmig_cursor c = vmig_cursor_over(data, size);
	union payload m;
	size_t len;

	if (get(kind, &c, &m))
		return;
	len = put(kind, &m, first, sizeof(first));
	c = vmig_cursor_over(first, len);
	MUST(!get(kind, &c, &m) && vmig_cursor_at_end(&c));
	MUST(put(kind, &m, again, sizeof(again)) == len && !memcmp(first, again, len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size || size > MAX_STREAM)
		return 0;
	if (data[0] == 0)
		take_both_ways(data + 1, size - 1);
	else if (data[0] == 1)
		repaired(data + 1, size - 1);
	else
		payload_round_trip((data[0] - 2u) % 8, data + 1, size - 1);
	return 0;
}
