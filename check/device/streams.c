/* SPDX-License-Identifier: BSD-3-Clause */
/* Data that is whole: its end, its pieces, saved twice, restored; and data that is not. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/watch.h"

#define PIECE 65536u
/* A device of more than this is read in larger pieces: the many small ones would only take long. */
#define SMALL_MAX (1u << 20)

static size_t odd_piece(size_t len)
{
	return len > SMALL_MAX ? 4093 : len > 4096 ? 61 : 1;
}

static void save(struct check_context *c, struct check_bytes *to)
{
	check_did(c, "stopped the device and saved it");
	check_go(c, VMIG_STATE_STOP);
	check_save(c, PIECE, to);
}

void check_end_stays(struct check_context *c)
{
	struct vmig_session *session = check_session(c, VMIG_STATE_STOP_COPY);
	struct check_bytes bytes = { 0 }, more = { 0 };
	int r;

	r = check_read(c, session, PIECE, &bytes);
	if (r)
		check_fail(c, "the stream ends by read() returning 0", "%s", strerror(-r));
	if (!bytes.len)
		check_fail(c, "the device's state", "a stream of no bytes");
	for (int i = 0; i < 3; i++) {
		check_did(c, "read behind the end of the stream, %d times", i + 1);
		r = check_read(c, session, PIECE, &more);
		if (r || more.len)
			check_fail(c, "0, always", "%s", r ? strerror(-r) : "more data");
	}
	vmig_session_close(session);
	free(bytes.data);
}

void check_no_enomsg(struct check_context *c)
{
	static const uint32_t first[] = { VMIG_STATE_RUNNING, VMIG_STATE_PRE_COPY };

	for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
		struct vmig_session *session, *fresh;
		struct check_bytes bytes = { 0 };

		if (!check_has_state(c, first[i]))
			continue;
		session = check_bring(c, first[i]);
		fresh = check_enter(c, VMIG_STATE_STOP_COPY);
		if (!session && !fresh)
			check_fail(c, "STOP -> STOP_COPY gives a new session", "none");
		check_did(c, "read to the end in STOP_COPY, entered from %s", check_state_name(first[i]));
		if (check_read(c, fresh ? fresh : session, PIECE, &bytes))
			check_fail(c, "no ENOMSG in STOP_COPY", "ENOMSG after %zu bytes", bytes.len);
		vmig_session_close(fresh);
		vmig_session_close(session);
		free(bytes.data);
	}
}

static void same(struct check_context *c, enum check_verdict verdict, const struct check_bytes *a,
		 const struct check_bytes *b, const char *expected)
{
	if (a->len != b->len)
		check_end(c, verdict, expected, "%zu bytes, then %zu", a->len, b->len);
	for (size_t i = 0; i < a->len; i++)
		if (a->data[i] != b->data[i])
			check_end(c, verdict, expected, "%zu bytes, of which the one at %zu differs", a->len,
				  i);
}

/* The stream is opaque, so two of one state need not be the same. */
void check_save_twice(struct check_context *c)
{
	struct check_bytes a, b;

	save(c, &a);
	check_did(c, "saved the device twice, without leaving STOP and STOP_COPY");
	check_save(c, PIECE, &b);
	same(c, CHECK_OBSERVATION, &a, &b,
	     "the same bytes, as nothing has changed (the stream may have more in it)");
	free(a.data);
	free(b.data);
}

static void must_load(struct check_context *c, struct vmig_device *dev, const struct check_bytes *bytes,
		      size_t piece)
{
	struct vmig_error error;
	int r = check_load(c, dev, bytes->data, bytes->len, piece);

	if (r) {
		check_was_wrong(c, CHECK_CAME_REFUSED);
		vmig_device_query_error(dev, &error);
		check_fail(c, "what was saved is loaded", "%s (%s)", strerror(-r), error.text);
	}
}

void check_any_pieces(struct check_context *c)
{
	struct check_bytes a, b;
	size_t odd;

	save(c, &a);
	odd = odd_piece(a.len);
	check_did(c, "saved the device in pieces of %zu bytes", odd);
	check_save(c, odd, &b);
	check_to_running(c, c->dev);
	check_did(c, "loaded what was saved in pieces of %zu bytes in pieces of %zu", odd, odd + 2);
	must_load(c, c->dev, &b, odd + 2);
	check_in_state(c, VMIG_STATE_STOP);
	free(a.data);
	free(b.data);
}

static void round_trip(struct check_context *c, struct vmig_device *dev)
{
	struct check_bytes a;

	save(c, &a);
	if (dev == c->dev)
		check_to_running(c, dev);
	check_did(c, "loaded what was saved (%zu bytes) and went on to RUNNING", a.len);
	must_load(c, dev, &a, PIECE);
	if (check_ask(c, dev, VMIG_STATE_RUNNING, CHECK_WANT_SUCCESS, NULL))
		check_fail(c, "a device that was restored runs", "it does not");
	free(a.data);
}

void check_round_trip(struct check_context *c)
{
	round_trip(c, c->dev);
	check_in_state(c, VMIG_STATE_RUNNING);
}

void check_second_device(struct check_context *c)
{
	round_trip(c, check_second(c));
}

/* A state that a reset does not give, if there is a way to one. In RUNNING. */
static void give_state(struct check_context *c)
{
	uint8_t ignored[CHECK_TOUCH_MAX];

	if (c->target->touch)
		check_touch(c, c->dev, ignored);
	if (c->target->driver && c->target->driver->drives(c->dev))
		check_work_once(c);
}

static bool is_same(const struct check_bytes *a, const struct check_bytes *b)
{
	return a->len == b->len && !memcmp(a->data, b->data, a->len);
}

/* Of a device that has something else before @a is loaded: else it would show nothing. */
static void save_other(struct check_context *c, const struct check_bytes *a, struct check_bytes *to)
{
	uint8_t ignored[CHECK_TOUCH_MAX];

	check_to_running(c, c->dev);
	if (check_reset(c, c->dev))
		check_fail(c, "the device can be reset", "it cannot");
	if (c->target->touch)
		check_touch_otherwise(c, c->dev, ignored);
	save(c, to);
	if (is_same(a, to))
		check_end(c, CHECK_NOT_APPLICABLE, "",
			  "the device has the same after a reset: nothing shows that the data are used%s",
			  c->target->touch ? "" : " (--touch)");
	check_to_running(c, c->dev);
}

/* Where @a and @other differ, is @b rather @other? A stream may have more in it than the state, so that neither is it. */
static bool rather(const struct check_bytes *a, const struct check_bytes *other, const struct check_bytes *b)
{
	size_t as_a = 0, as_other = 0, len = a->len < other->len ? a->len : other->len;

	for (size_t i = 0; i < len && i < b->len; i++) {
		as_a += a->data[i] != other->data[i] && b->data[i] == a->data[i];
		as_other += a->data[i] != other->data[i] && b->data[i] == other->data[i];
	}
	return as_other > as_a;
}

/* What was loaded is what is saved next. */
void check_restored_again(struct check_context *c)
{
	struct check_bytes a, b, other;

	give_state(c);
	save(c, &a);
	save_other(c, &a, &other);
	check_did(c, "saved, reset and loaded the device, and saved it again from STOP");
	must_load(c, c->dev, &a, PIECE);
	check_save(c, PIECE, &b);
	if (rather(&a, &other, &b))
		check_fail(c, "what was loaded is what the device has then",
			   "it has rather what it had before (%zu bytes)", b.len);
	same(c, CHECK_OBSERVATION, &a, &b,
	     "the same bytes, as the state is the same (the stream may have more in it)");
	free(a.data);
	free(b.data);
	free(other.data);
}

/* A session that was given up must not leave anything in the next one. */
void check_after_reset(struct check_context *c)
{
	struct vmig_session *session;
	struct check_bytes a;
	struct iovec iov;

	save(c, &a);
	session = check_session(c, VMIG_STATE_RESUMING);
	iov = (struct iovec){ a.data, a.len / 2 };
	if (iov.iov_len && vmig_session_writev(session, &iov, 1))
		check_fail(c, "the first half of what was saved is taken", "it is not");
	check_did(c, "loaded half of a stream, reset the device, and loaded the whole of it");
	if (check_reset(c, c->dev))
		check_fail(c, "a reset aborts RESUMING", "it fails");
	vmig_session_close(session);
	check_to_running(c, c->dev);
	must_load(c, c->dev, &a, PIECE);
	free(a.data);
}

/* --- damage ------------------------------------------------------------------------------------- */

enum expect { MUST_REFUSE, MAY_TAKE };

/* Load it; whatever comes of it, the device must be usable after a reset. */
static void bad(struct check_context *c, enum expect expect, const uint8_t *data, size_t len)
{
	int r;

	check_to_running(c, c->dev);
	r = check_load(c, c->dev, data, len, PIECE);
	if (!r && expect == MUST_REFUSE)
		check_was_wrong(c, CHECK_CAME_OK);
	check_to_running(c, c->dev);
	if (!r)
		check_end(c, expect == MUST_REFUSE ? CHECK_FAIL : CHECK_OBSERVATION,
			  expect == MUST_REFUSE ? "an error from write() or from RESUMING -> STOP"
						: "an error; a device that cannot tell may take it",
			  "the device took it and went to STOP");
}

void check_empty(struct check_context *c)
{
	static const uint8_t nothing;

	check_did(c, "left RESUMING for STOP without data");
	bad(c, MUST_REFUSE, &nothing, 0);
}

void check_truncated(struct check_context *c)
{
	struct check_bytes a;

	save(c, &a);
	for (size_t part = 1; part < 4; part++) {
		size_t len = part < 3 ? a.len * part / 3 : a.len - 1;

		check_did(c, "loaded the first %zu of %zu bytes", len, a.len);
		bad(c, MUST_REFUSE, a.data, len);
	}
	free(a.data);
}

void check_foreign(struct check_context *c)
{
	struct check_bytes a;

	save(c, &a);
	/* Of the right length, so that only the content is wrong. */
	for (size_t i = 0; i < a.len; i++)
		a.data[i] = (uint8_t)(0x5a ^ i * 31 ^ i >> 8);
	check_did(c, "loaded %zu bytes that no device has saved", a.len);
	bad(c, MUST_REFUSE, a.data, a.len);
	free(a.data);
}

void check_extended(struct check_context *c)
{
	struct check_bytes a;
	uint8_t *more;

	save(c, &a);
	more = calloc(1, a.len + 64);
	if (!more)
		check_end(c, CHECK_ERROR, "", "no memory");
	memcpy(more, a.data, a.len);
	check_did(c, "loaded what was saved (%zu bytes) and 64 bytes more", a.len);
	bad(c, MAY_TAKE, more, a.len + 64);
	free(more);
	free(a.data);
}

void check_flipped(struct check_context *c)
{
	struct check_bytes a;

	save(c, &a);
	for (size_t i = 0; i < 4; i++) {
		size_t at = (a.len - 1) * i / 3;

		a.data[at] ^= 0x10;
		check_did(c, "loaded what was saved (%zu bytes) with a bit flipped in the byte at %zu", a.len,
			  at);
		bad(c, MAY_TAKE, a.data, a.len);
		a.data[at] ^= 0x10;
	}
	free(a.data);
}

void check_reordered(struct check_context *c)
{
	struct check_bytes a;
	uint8_t *turned;
	size_t half;

	save(c, &a);
	half = a.len / 2;
	turned = malloc(a.len + 1);
	if (!turned)
		check_end(c, CHECK_ERROR, "", "no memory");
	memcpy(turned, a.data + half, a.len - half);
	memcpy(turned + a.len - half, a.data, half);
	if (!memcmp(turned, a.data, a.len))
		check_end(c, CHECK_NOT_APPLICABLE, "", "both halves of the stream are the same");
	check_did(c, "loaded the second half of what was saved before the first");
	bad(c, MAY_TAKE, turned, a.len);
	free(turned);
	free(a.data);
}
