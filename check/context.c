/* SPDX-License-Identifier: BSD-3-Clause */
/* What checks share: saying what they do, bringing a device to a state, moving its data. */
#include "context.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void check_did(struct check_context *c, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(c->result->did, sizeof(c->result->did), format, ap);
	va_end(ap);
}

void check_end(struct check_context *c, enum check_verdict verdict, const char *expected, const char *saw,
	       ...)
{
	va_list ap;

	c->result->verdict = verdict;
	snprintf(c->result->expected, sizeof(c->result->expected), "%s", expected);
	va_start(ap, saw);
	vsnprintf(c->result->saw, sizeof(c->result->saw), saw, ap);
	va_end(ap);
	longjmp(c->end, 1);
}

/* --- states ------------------------------------------------------------------------------------- */

const char *check_state_name(uint32_t state)
{
	const char *name = vmig_state_name(state);

	return name ? name : "a state that has no name";
}

bool check_has_state(struct check_context *c, uint32_t state)
{
	return state != VMIG_STATE_ERROR && vmig_state_supported(c->info.migration_flags, state);
}

uint32_t check_state(struct check_context *c)
{
	uint32_t state;
	int r = vmig_device_query_state(c->dev, &state);

	if (r)
		check_fail(c, "the state can be asked for at any time", "%s", strerror(-r));
	c->at = state;
	return state;
}

static void expect_state(struct check_context *c, uint32_t state, uint32_t is)
{
	char expected[64];

	snprintf(expected, sizeof(expected), "the device is in %s", check_state_name(state));
	if (is != state)
		check_fail(c, expected, "it is in %s (%u)", check_state_name(is), is);
}

void check_in_state(struct check_context *c, uint32_t state)
{
	expect_state(c, state, check_state(c));
}

struct vmig_session *check_enter(struct check_context *c, uint32_t state)
{
	struct vmig_session *session = NULL;
	struct vmig_error error;
	char expected[64];
	int r = check_ask(c, c->dev, state, CHECK_WANT_SUCCESS, &session);

	snprintf(expected, sizeof(expected), "the device goes to %s", check_state_name(state));
	if (r) {
		vmig_device_query_error(c->dev, &error);
		check_fail(c, expected, "%s (%s: %s)", strerror(-r), error.where, error.text);
	}
	expect_state(c, state, c->at == VMIG_STATE_NONE ? check_state(c) : c->at);
	return session;
}

void check_go(struct check_context *c, uint32_t state)
{
	vmig_session_close(check_enter(c, state));
}

static void reset_to_running(struct check_context *c, struct vmig_device *dev)
{
	uint32_t state;
	int r = check_reset(c, dev);

	if (!r)
		r = vmig_device_query_state(dev, &state);
	/* A reset that leaves the machine where it is (libvfio-user) is for a walk to make good. */
	if (!r && state != VMIG_STATE_RUNNING && state != VMIG_STATE_ERROR)
		r = check_ask(c, dev, VMIG_STATE_RUNNING, CHECK_WANT_SUCCESS, NULL);
	else if (!r && state == VMIG_STATE_ERROR)
		r = -EIO;
	if (r)
		check_end(c, CHECK_ERROR, "a reset brings the device to RUNNING", "%s", strerror(-r));
}

void check_to_running(struct check_context *c, struct vmig_device *dev)
{
	uint32_t state;
	int r = vmig_device_query_state(dev, &state);

	if (r)
		check_end(c, CHECK_ERROR, "the state can be asked for", "%s", strerror(-r));
	*(dev == c->second ? &c->second_at : &c->at) = state;
	if (state == VMIG_STATE_RUNNING)
		return;
	if (state == VMIG_STATE_ERROR || state == VMIG_STATE_RESUMING ||
	    check_ask(c, dev, VMIG_STATE_RUNNING, CHECK_WANT_EITHER, NULL))
		reset_to_running(c, dev);
}

struct vmig_session *check_bring(struct check_context *c, uint32_t state)
{
	check_to_running(c, c->dev);
	if (state == VMIG_STATE_RUNNING)
		return NULL;
	return check_enter(c, state);
}

struct vmig_session *check_session(struct check_context *c, uint32_t state)
{
	struct vmig_session *session;
	char expected[64];

	check_did(c, "went to %s", check_state_name(state));
	session = check_bring(c, state);
	snprintf(expected, sizeof(expected), "a new session on the way to %s", check_state_name(state));
	if (!session)
		check_fail(c, expected, "none");
	return session;
}

/* --- data --------------------------------------------------------------------------------------- */

static void append(struct check_context *c, struct check_bytes *to, const void *data, size_t len)
{
	uint8_t *more;

	if (len > CHECK_STREAM_MAX - to->len)
		check_end(c, CHECK_SKIPPED, "", "the stream has more than %u MiB: too much to keep",
			  CHECK_STREAM_MAX >> 20);
	more = realloc(to->data, to->len + len);
	if (!more)
		check_end(c, CHECK_ERROR, "", "no memory");
	memcpy(more + to->len, data, len);
	to->data = more;
	to->len += len;
}

#define PIECE_MAX (256u << 10)

int check_read(struct check_context *c, struct vmig_session *session, size_t piece, struct check_bytes *to)
{
	static uint8_t buf[PIECE_MAX];
	struct iovec iov = { buf, piece < sizeof(buf) ? piece : sizeof(buf) };
	struct vmig_error error;
	ssize_t got;

	while ((got = vmig_session_readv(session, &iov, 1)) > 0) {
		if ((size_t)got > iov.iov_len)
			check_fail(c, "read() gives no more than was asked for", "%zd of %zu bytes", got,
				   iov.iov_len);
		append(c, to, buf, (size_t)got);
	}
	if (!got || got == -ENOMSG)
		return (int)got;
	vmig_device_query_error(c->dev, &error);
	check_fail(c, "the device's data can be read", "%s after %zu bytes (%s)", strerror((int)-got),
		   to->len, error.text);
}

void check_save(struct check_context *c, size_t piece, struct check_bytes *to)
{
	struct vmig_session *session = check_enter(c, VMIG_STATE_STOP_COPY);
	int r;

	*to = (struct check_bytes){ 0 };
	if (!session)
		check_fail(c, "STOP -> STOP_COPY gives a new session", "none");
	r = check_read(c, session, piece, to);
	if (r)
		check_fail(c, "in STOP_COPY the stream ends by 0", "ENOMSG after %zu bytes", to->len);
	vmig_session_close(session);
	check_go(c, VMIG_STATE_STOP);
}

static int write_all(struct vmig_session *session, const uint8_t *data, size_t len, size_t piece)
{
	int r = 0;

	for (size_t at = 0; at < len && !r; at += piece) {
		struct iovec iov = { (void *)(data + at), len - at < piece ? len - at : piece };

		r = vmig_session_writev(session, &iov, 1);
	}
	return r ? r : vmig_session_flush(session);
}

int check_load(struct check_context *c, struct vmig_device *dev, const uint8_t *data, size_t len,
	       size_t piece)
{
	struct vmig_session *session = NULL;
	int r = check_ask(c, dev, VMIG_STATE_RESUMING, CHECK_WANT_SUCCESS, &session);

	if (r || !session)
		check_fail(c, "RESUMING is entered, with a new session", "%s",
			   r ? strerror(-r) : "no session");
	r = write_all(session, data, len, piece);
	/* A write that failed makes the rest meaningless (and one driver counts those bytes all the same). */
	if (!r)
		r = check_ask(c, dev, VMIG_STATE_STOP, CHECK_WANT_EITHER, NULL);
	vmig_session_close(session);
	return r;
}

struct vmig_device *check_second(struct check_context *c)
{
	char why[CHECK_TEXT_MAX] = "";

	if (!c->second && c->target->open(c->target->opaque, true, &c->second, why, sizeof(why)))
		check_end(c, CHECK_ERROR, "the second device can be opened", "%s", why);
	vmig_device_set_timeout(c->second, 0);
	check_to_running(c, c->second);
	return c->second;
}
