/* SPDX-License-Identifier: BSD-3-Clause */
#include "made.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

void made_bytes(struct made *m, const void *bytes, size_t len)
{
	if (m->len + len > m->room) {
		m->room = 2 * (m->len + len);
		m->bytes = realloc(m->bytes, m->room);
		ck_assert_ptr_nonnull(m->bytes);
	}
	if (len)
		memcpy(m->bytes + m->len, bytes, len);
	m->len += len;
}

void made_begin_as(struct made *m, const uint8_t attempt[16])
{
	struct vmig_stream_head head = { .major = VMIG_STREAM_MAJOR, .minor = VMIG_STREAM_MINOR };
	uint8_t bytes[VMIG_STREAM_HEAD_LEN];

	memset(m, 0, sizeof(*m));
	memcpy(m->attempt, attempt, sizeof(m->attempt));
	memcpy(head.attempt, m->attempt, sizeof(head.attempt));
	vmig_stream_put_head(bytes, &head);
	made_bytes(m, bytes, sizeof(bytes));
}

void made_begin(struct made *m)
{
	uint8_t attempt[16];

	for (int i = 0; i < 16; i++)
		attempt[i] = (uint8_t)(0x11 * i);
	made_begin_as(m, attempt);
}

void made_end(struct made *m)
{
	free(m->bytes);
}

static void add(struct made *m, struct vmig_record *r, const void *payload)
{
	uint8_t header[VMIG_STREAM_HEADER_LEN], trailer[VMIG_STREAM_TRAILER_LEN];
	bool behind = r->type == VMIG_RECORD_DATA && (r->flags & VMIG_RECORD_TRAILER) && r->length;

	r->digest = behind ? 0 : vmig_digest_of(payload, r->length);
	vmig_stream_put_header(header, r, m->attempt);
	made_bytes(m, header, sizeof(header));
	made_bytes(m, payload, r->length);
	if (!behind)
		return;
	vmig_stream_put_trailer(trailer, vmig_digest_of(payload, r->length));
	made_bytes(m, trailer, sizeof(trailer));
}

void made_add(struct made *m, uint16_t type, uint16_t flags, uint32_t device, const void *payload,
	      uint32_t len)
{
	struct vmig_record r = {
		.type = type, .flags = flags, .device = device, .length = len, .number = m->n++
	};

	add(m, &r, payload);
}

void made_add_numbered(struct made *m, uint16_t type, uint32_t number, const void *payload, uint32_t len)
{
	struct vmig_record r = { .type = type, .device = VMIG_RECORD_ALL, .length = len, .number = number };

	add(m, &r, payload);
}

static size_t part(size_t left, size_t most, unsigned int *seed)
{
	size_t n = most ? 1 + (size_t)rand_r(seed) % most : left;

	return MIN(n, left);
}

static void note(struct taken *t, uint64_t value)
{
	t->sum = vmig_digest_chain(t->sum, value, 0);
}

static int take_own(struct vmig_stream_decoder *d, const uint8_t *bytes, size_t len, struct taken *t)
{
	bool trailer = d->at == VMIG_STREAM_IN_TRAILER;
	struct iovec room;
	int r;

	vmig_stream_room(d, &room);
	memcpy(room.iov_base, bytes, MIN(len, room.iov_len));
	r = vmig_stream_filled(d, MIN(len, room.iov_len), &t->error);
	t->n_whole += trailer && d->at == VMIG_STREAM_IN_HEADER;
	if (r != 1)
		return r;
	t->n++;
	t->n_whole += !d->record.length;
	note(t, d->record.type);
	note(t, d->record.device);
	note(t, d->record.length);
	return 0;
}

static int take_payload(struct vmig_stream_decoder *d, const uint8_t *bytes, size_t len, struct taken *t)
{
	int r;

	for (size_t i = 0; i < len; i++)
		note(t, bytes[i]);
	r = vmig_stream_payload(d, bytes, len, &t->error);
	t->n_whole += r == 1;
	return MIN(r, 0);
}

struct taken made_take(const uint8_t *bytes, size_t len, const uint8_t *attempt, size_t most,
		       unsigned int *seed)
{
	struct vmig_stream_decoder d;
	struct taken t = { 0 };
	uint32_t left = 0;

	vmig_stream_decoder_init(&d, attempt);
	while (len && !t.code) {
		bool payload = d.at == VMIG_STREAM_IN_PAYLOAD;
		struct iovec room;
		size_t n;

		vmig_stream_room(&d, &room);
		n = part(MIN(len, payload ? left : room.iov_len), most, seed);
		t.code = payload ? take_payload(&d, bytes, n, &t) : take_own(&d, bytes, n, &t);
		left = payload ? left - (uint32_t)n : d.record.length;
		bytes += n;
		len -= n;
	}
	t.may_end = vmig_stream_may_end(&d);
	return t;
}
