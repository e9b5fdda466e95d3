/* SPDX-License-Identifier: BSD-3-Clause */
#include "session.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "channel/provider.h"

struct tee {
	struct vmig_channel *lower;
	struct session *session;
};

static int tee_send(void *self, const struct iovec *iov, int n)
{
	struct tee *t = self;
	struct session *s = t->session;

	for (int i = 0; i < n; i++) {
		s->bytes = realloc(s->bytes, s->len + iov[i].iov_len + 1);
		ck_assert_ptr_nonnull(s->bytes);
		memcpy(s->bytes + s->len, iov[i].iov_base, iov[i].iov_len);
		s->len += iov[i].iov_len;
	}
	return vmig_channel_send(t->lower, iov, n);
}

static ssize_t tee_recv(void *self, const struct iovec *iov, int n)
{
	struct tee *t = self;

	return vmig_channel_recv(t->lower, iov, n);
}

static void tee_shutdown(void *self)
{
	struct tee *t = self;

	vmig_channel_shutdown(t->lower);
}

static void tee_close(void *self)
{
	struct tee *t = self;

	vmig_channel_close(t->lower);
	free(t);
}

static const struct vmig_channel_ops tee_ops = {
	.send = tee_send,
	.recv = tee_recv,
	.shutdown = tee_shutdown,
	.close = tee_close,
};

void session_record(struct session *session, struct vmig_channel **channel)
{
	struct tee *t = calloc(1, sizeof(*t));

	ck_assert_ptr_nonnull(t);
	*t = (struct tee){ *channel, session };
	ck_assert_int_eq(vmig_channel_new(&tee_ops, t, false, channel), 0);
}

/* Whole records, as they lie in memory. */
void session_take(struct session *session)
{
	struct vmig_stream_decoder d;
	struct vmig_error error;
	size_t at = 0;

	vmig_stream_decoder_init(&d, NULL);
	while (at < session->len || d.at == VMIG_STREAM_IN_PAYLOAD) {
		struct iovec room;
		int r;

		vmig_stream_room(&d, &room);
		ck_assert_uint_le(at + room.iov_len, session->len);
		memcpy(room.iov_base, session->bytes + at, room.iov_len);
		at += room.iov_len;
		r = vmig_stream_filled(&d, room.iov_len, &error);
		ck_assert_msg(r >= 0, "%s", error.text);
		if (!r)
			continue;
		ck_assert_uint_lt(session->n, SESSION_RECORDS);
		session->records[session->n] = d.record;
		session->payloads[session->n++] = session->bytes + at;
		if (d.at == VMIG_STREAM_IN_PAYLOAD)
			ck_assert_int_ge(
				vmig_stream_payload(&d, session->bytes + at, d.record.length, &error), 0);
		at += d.record.length;
	}
	memcpy(session->attempt, d.head.attempt, sizeof(session->attempt));
}

void session_done(struct session *session)
{
	free(session->bytes);
	memset(session, 0, sizeof(*session));
}

void session_begin(const struct session *session, uint32_t n, struct made *ret)
{
	memset(ret, 0, sizeof(*ret));
	made_bytes(ret, session->bytes, VMIG_STREAM_HEAD_LEN);
	memcpy(ret->attempt, session->attempt, sizeof(ret->attempt));
	for (uint32_t i = 0; i < n; i++)
		made_add(ret, session->records[i].type, session->records[i].flags, session->records[i].device,
			 session->payloads[i], session->records[i].length);
}

size_t session_offers_end(const struct session *session)
{
	for (uint32_t i = session->n; i-- > 0;)
		if (session->records[i].type == VMIG_RECORD_OFFER)
			return (size_t)(session->payloads[i] - session->bytes) + session->records[i].length;
	ck_abort_msg("no OFFER");
}

static bool hear_bytes(struct vmig_channel *channel, void *data, size_t len)
{
	for (size_t at = 0; at < len;) {
		struct iovec iov = { (uint8_t *)data + at, len - at };
		ssize_t n = vmig_channel_recv(channel, &iov, 1);

		if (n <= 0)
			return false;
		at += (size_t)n;
	}
	return true;
}

void session_hear(struct vmig_channel *channel, uint32_t type)
{
	static uint8_t payload[VMIG_LIMIT_RECORD_CONTROL];
	struct vmig_stream_decoder d;
	struct vmig_error error;
	struct iovec room;
	int r;

	vmig_stream_decoder_init(&d, NULL);
	for (;;) {
		vmig_stream_room(&d, &room);
		if (!hear_bytes(channel, room.iov_base, room.iov_len))
			return;
		r = vmig_stream_filled(&d, room.iov_len, &error);
		ck_assert_msg(r >= 0, "%s", error.text);
		if (r && d.record.type == type)
			return;
		if (d.at != VMIG_STREAM_IN_PAYLOAD)
			continue;
		if (!hear_bytes(channel, payload, d.record.length))
			return;
		ck_assert_int_eq(vmig_stream_payload(&d, payload, d.record.length, &error), 1);
	}
}
