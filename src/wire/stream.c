/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/stream.h"

#include <string.h>

#include "base/fault.h"
#include "base/util.h"

/* As PNG's: a stream that went through a text conversion is seen at once. */
static const uint8_t magic[8] = { 0x89, 'V', 'M', 'I', 'G', '\r', '\n', 0x1a };

static const struct {
	const char *name;
	uint32_t limit;
} types[VMIG_RECORD_NR] = {
	[VMIG_RECORD_HELLO] = { "HELLO", VMIG_LIMIT_RECORD_CONTROL },
	[VMIG_RECORD_OFFER] = { "OFFER", VMIG_LIMIT_RECORD_CONTROL },
	[VMIG_RECORD_ACCEPT] = { "ACCEPT", VMIG_LIMIT_RECORD_CONTROL },
	[VMIG_RECORD_REFUSE] = { "REFUSE", VMIG_LIMIT_RECORD_CONTROL },
	[VMIG_RECORD_INITIAL] = { "INITIAL", VMIG_LIMIT_RECORD_CONTROL },
	[VMIG_RECORD_INITIAL_LOADED] = { "INITIAL_LOADED", VMIG_LIMIT_RECORD_CONTROL },
	[VMIG_RECORD_PRECOPY_DONE] = { "PRECOPY_DONE", VMIG_LIMIT_RECORD_CONTROL },
	[VMIG_RECORD_DATA] = { "DATA", VMIG_LIMIT_RECORD_DATA },
	[VMIG_RECORD_DEVICE_END] = { "DEVICE_END", VMIG_LIMIT_RECORD_CONTROL },
	[VMIG_RECORD_USER_RECORD] = { "USER_RECORD", VMIG_LIMIT_RECORD_CONTROL },
	[VMIG_RECORD_FIN] = { "FIN", VMIG_LIMIT_RECORD_CONTROL },
	[VMIG_RECORD_READY] = { "READY", VMIG_LIMIT_RECORD_CONTROL },
	[VMIG_RECORD_PROMISE] = { "PROMISE", VMIG_LIMIT_RECORD_CONTROL },
	[VMIG_RECORD_CLAIM] = { "CLAIM", VMIG_LIMIT_RECORD_CONTROL },
	[VMIG_RECORD_COMMITTED] = { "COMMITTED", VMIG_LIMIT_RECORD_CONTROL },
	[VMIG_RECORD_RUNNING] = { "RUNNING", VMIG_LIMIT_RECORD_CONTROL },
	[VMIG_RECORD_ABORT] = { "ABORT", VMIG_LIMIT_RECORD_CONTROL },
	[VMIG_RECORD_PROGRESS] = { "PROGRESS", VMIG_LIMIT_RECORD_CONTROL },
	[VMIG_RECORD_JOIN] = { "JOIN", VMIG_LIMIT_RECORD_CONTROL },
	[VMIG_RECORD_MARK] = { "MARK", VMIG_LIMIT_RECORD_CONTROL },
};

const char *vmig_record_name(uint32_t type)
{
	return type < VMIG_RECORD_NR ? types[type].name : NULL;
}

uint32_t vmig_record_limit(uint32_t type)
{
	return vmig_record_name(type) ? types[type].limit : VMIG_LIMIT_RECORD_CONTROL;
}

static uint32_t head_check(const uint8_t head[VMIG_STREAM_HEAD_LEN])
{
	return (uint32_t)vmig_digest_of(head, VMIG_STREAM_HEAD_LEN - sizeof(uint32_t));
}

void vmig_stream_put_head(uint8_t out[VMIG_STREAM_HEAD_LEN], const struct vmig_stream_head *head)
{
	struct vmig_cursor c = vmig_cursor_into(out, VMIG_STREAM_HEAD_LEN);

	vmig_cursor_put(&c, magic, sizeof(magic));
	vmig_cursor_put_u16(&c, head->major);
	vmig_cursor_put_u16(&c, head->minor);
	vmig_cursor_put(&c, head->attempt, sizeof(head->attempt));
	vmig_cursor_put_u32(&c, head_check(out));
}

void vmig_stream_put_header(uint8_t out[VMIG_STREAM_HEADER_LEN], const struct vmig_record *record,
			    const uint8_t attempt[16])
{
	struct vmig_cursor c = vmig_cursor_into(out, VMIG_STREAM_HEADER_LEN);

	vmig_cursor_put_u16(&c, record->type);
	vmig_cursor_put_u16(&c, record->flags);
	vmig_cursor_put_u32(&c, record->device);
	vmig_cursor_put_u32(&c, record->length);
	vmig_cursor_put_u32(&c, record->number);
	vmig_cursor_put(&c, attempt, 16);
	vmig_cursor_put_u64(&c, record->digest);
	vmig_cursor_put_u64(&c, vmig_digest_of(out, VMIG_STREAM_HEADER_LEN - sizeof(uint64_t)));
}

void vmig_stream_put_trailer(uint8_t out[VMIG_STREAM_TRAILER_LEN], uint64_t digest)
{
	struct vmig_cursor c = vmig_cursor_into(out, VMIG_STREAM_TRAILER_LEN);

	vmig_cursor_put_u64(&c, digest);
}

void vmig_stream_decoder_init(struct vmig_stream_decoder *d, const uint8_t *attempt)
{
	memset(d, 0, sizeof(*d));
	d->at = VMIG_STREAM_IN_HEAD;
	if (!attempt)
		return;
	memcpy(d->head.attempt, attempt, sizeof(d->head.attempt));
	d->attempt_known = true;
}

static bool has_trailer(const struct vmig_record *r)
{
	return r->type == VMIG_RECORD_DATA && (r->flags & VMIG_RECORD_TRAILER) && r->length;
}

/* Of what is being read, or, in a payload, of what follows it. */
static uint32_t own_len(const struct vmig_stream_decoder *d)
{
	switch (d->at) {
	case VMIG_STREAM_IN_HEAD:
		return VMIG_STREAM_HEAD_LEN;
	case VMIG_STREAM_IN_TRAILER:
		return VMIG_STREAM_TRAILER_LEN;
	case VMIG_STREAM_IN_PAYLOAD:
		return VMIG_STREAM_HEADER_LEN + (has_trailer(&d->record) ? VMIG_STREAM_TRAILER_LEN : 0);
	default:
		return VMIG_STREAM_HEADER_LEN;
	}
}

void vmig_stream_room(struct vmig_stream_decoder *d, struct iovec *ret)
{
	ret->iov_base = d->buf + d->have;
	ret->iov_len = d->at == VMIG_STREAM_BROKEN ? 0 : own_len(d) - d->have;
}

static int bad(struct vmig_stream_decoder *d, struct vmig_error *error, int code, const char *what)
{
	d->at = VMIG_STREAM_BROKEN;
	return vmig_fault(error, code, "stream", "at byte %llu: %s", (unsigned long long)d->offset, what);
}

static bool is_none(const uint8_t attempt[16])
{
	static const uint8_t none[16];

	return !memcmp(attempt, none, sizeof(none));
}

static int judge_head(struct vmig_stream_decoder *d, struct vmig_error *error)
{
	struct vmig_cursor c = vmig_cursor_over(d->buf, VMIG_STREAM_HEAD_LEN);
	struct vmig_stream_head head;
	uint8_t start[sizeof(magic)];

	vmig_cursor_copy(&c, start, sizeof(start));
	head.major = vmig_cursor_u16(&c);
	head.minor = vmig_cursor_u16(&c);
	vmig_cursor_copy(&c, head.attempt, sizeof(head.attempt));
	/* What the other end was told and this one was not. */
	if (start[0] == 22 && start[1] == 3)
		return bad(d, error, -EBADMSG, "the other end speaks TLS, which was not asked for here");
	if (!memcmp(start, "VMIGzstd", 8))
		return bad(d, error, -EBADMSG, "the other end compresses, which was not asked for here");
	if (memcmp(start, magic, sizeof(magic)))
		return bad(d, error, -EBADMSG, "this is not a migration stream");
	if (vmig_cursor_u32(&c) != head_check(d->buf))
		return bad(d, error, -EBADMSG, "the head is damaged");
	if (head.major != VMIG_STREAM_MAJOR) {
		d->at = VMIG_STREAM_BROKEN;
		return vmig_fault(error, -EPROTONOSUPPORT, "stream", "version %u.%u; this end speaks %u.%u",
				  head.major, head.minor, VMIG_STREAM_MAJOR, VMIG_STREAM_MINOR);
	}
	/* An end that fails before it has heard from the other knows no attempt; it may say so, and nothing else. */
	d->nobodys = d->attempt_known && is_none(head.attempt);
	if (d->nobodys)
		memcpy(head.attempt, d->head.attempt, sizeof(head.attempt));
	if (d->attempt_known && memcmp(head.attempt, d->head.attempt, sizeof(head.attempt)))
		return bad(d, error, -EBADMSG, "the head is one of another attempt");
	d->head = head;
	d->attempt_known = true;
	d->at = VMIG_STREAM_IN_HEADER;
	return 0;
}

static int judge_number(struct vmig_stream_decoder *d, const struct vmig_record *r, struct vmig_error *error)
{
	uint32_t ahead = r->number - d->next_number;

	if (!ahead)
		return 0;
	d->at = VMIG_STREAM_BROKEN;
	return vmig_fault(error, -EPROTO, "stream", "at byte %llu: record %u where %u belongs: %s",
			  (unsigned long long)d->offset, r->number, d->next_number,
			  ahead < UINT32_MAX / 2 ? "records are missing" : "doubled or out of order");
}

static int judge_type(struct vmig_stream_decoder *d, const struct vmig_record *r, struct vmig_error *error)
{
	const char *name = vmig_record_name(r->type);

	if (!name && !(r->flags & VMIG_RECORD_OPTIONAL)) {
		d->at = VMIG_STREAM_BROKEN;
		return vmig_fault(error, -EPROTO, "stream",
				  "at byte %llu: record %u is of the unknown type %u",
				  (unsigned long long)d->offset, r->number, r->type);
	}
	if (r->length <= vmig_record_limit(r->type))
		return 0;
	d->at = VMIG_STREAM_BROKEN;
	return vmig_fault(error, -E2BIG, "stream",
			  "at byte %llu: a %s record of %u bytes; at most %u are allowed",
			  (unsigned long long)d->offset, name ? name : "unknown", r->length,
			  vmig_record_limit(r->type));
}

static int judge_header(struct vmig_stream_decoder *d, struct vmig_error *error)
{
	struct vmig_cursor c = vmig_cursor_over(d->buf, VMIG_STREAM_HEADER_LEN);
	struct vmig_record r;
	uint8_t attempt[16];
	int err;

	r.type = vmig_cursor_u16(&c);
	r.flags = vmig_cursor_u16(&c);
	r.device = vmig_cursor_u32(&c);
	r.length = vmig_cursor_u32(&c);
	r.number = vmig_cursor_u32(&c);
	vmig_cursor_copy(&c, attempt, sizeof(attempt));
	r.digest = vmig_cursor_u64(&c);
	if (vmig_cursor_u64(&c) != vmig_digest_of(d->buf, VMIG_STREAM_HEADER_LEN - sizeof(uint64_t)))
		return bad(d, error, -EBADMSG, "a record's header is damaged (its digest is wrong)");
	if (memcmp(attempt, d->head.attempt, sizeof(attempt)) &&
	    !(d->nobodys && r.type == VMIG_RECORD_ABORT && is_none(attempt)))
		return bad(d, error, -EBADMSG, "a record of another attempt");
	err = judge_number(d, &r, error);
	if (!err)
		err = judge_type(d, &r, error);
	if (err)
		return err;
	d->record = r;
	d->next_number++;
	d->payload_left = r.length;
	if (r.length)
		d->at = VMIG_STREAM_IN_PAYLOAD;
	vmig_digest_start(&d->digest);
	if (!r.length && r.digest != vmig_digest_of(NULL, 0))
		return bad(d, error, -EBADMSG, "an empty record with the digest of another");
	return 1;
}

/* The payload that is whole now has this digest: was it sent with it? */
static int judge_payload(struct vmig_stream_decoder *d, uint64_t sent, struct vmig_error *error)
{
	const char *name = vmig_record_name(d->record.type);

	if (vmig_digest_value(&d->digest) == sent) {
		d->record.digest = sent;
		d->offset += d->record.length;
		d->at = VMIG_STREAM_IN_HEADER;
		return 1;
	}
	d->at = VMIG_STREAM_BROKEN;
	return vmig_fault(error, -EBADMSG, "stream",
			  "at byte %llu: the payload of record %u (%s) is damaged: its digest is wrong",
			  (unsigned long long)d->offset, d->record.number, name ? name : "unknown");
}

/* What came behind the trailer stays. */
static int judge_trailer(struct vmig_stream_decoder *d, struct vmig_error *error)
{
	struct vmig_cursor c = vmig_cursor_over(d->buf, VMIG_STREAM_TRAILER_LEN);
	int r = judge_payload(d, vmig_cursor_u64(&c), error);

	if (r < 0)
		return r;
	d->have -= VMIG_STREAM_TRAILER_LEN;
	memmove(d->buf, d->buf + VMIG_STREAM_TRAILER_LEN, d->have);
	d->offset += VMIG_STREAM_TRAILER_LEN;
	return 0;
}

int vmig_stream_filled(struct vmig_stream_decoder *d, size_t len, struct vmig_error *error)
{
	uint32_t whole = own_len(d), most = d->at == VMIG_STREAM_IN_TRAILER ? sizeof(d->buf) : whole;
	int r;

	if (d->at == VMIG_STREAM_BROKEN || d->at == VMIG_STREAM_IN_PAYLOAD || len > most - d->have)
		return bad(d, error, -EINVAL, "out of turn");
	d->have += (uint32_t)len;
	if (d->have < whole)
		return 0;
	if (d->at == VMIG_STREAM_IN_TRAILER)
		return judge_trailer(d, error);
	r = d->at == VMIG_STREAM_IN_HEAD ? judge_head(d, error) : judge_header(d, error);
	if (r >= 0) {
		d->have = 0;
		d->offset += whole;
	}
	return r;
}

int vmig_stream_payload(struct vmig_stream_decoder *d, const void *data, size_t len, struct vmig_error *error)
{
	if (d->at != VMIG_STREAM_IN_PAYLOAD || len > d->payload_left)
		return bad(d, error, -EINVAL, "out of turn");
	vmig_digest_add(&d->digest, data, len);
	d->payload_left -= (uint32_t)len;
	if (d->payload_left)
		return 0;
	if (!has_trailer(&d->record))
		return judge_payload(d, d->record.digest, error);
	d->at = VMIG_STREAM_IN_TRAILER;
	return 0;
}

bool vmig_stream_may_end(const struct vmig_stream_decoder *d)
{
	return d->at == VMIG_STREAM_IN_HEADER && !d->have;
}
