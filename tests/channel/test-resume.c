/* SPDX-License-Identifier: BSD-3-Clause */
/* A channel that outlives its connections. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "channel/listener.h"
#include "channel/provider.h"
#include "channel/resume.h"
#include "harness.h"

#define LONG_MS 60000u
#define PIECE   (300u << 10)

struct ends {
	struct vmig_listener *listener;
	struct vmig_channel *out, *in;
	const char *faults; /* of what @out sends */
	pthread_t thread;
	size_t total;
};

static void *dial(void *arg)
{
	struct ends *e = arg;
	const struct vmig_channel_options options = { .reconnect_ms = LONG_MS, .fault = e->faults };
	struct vmig_error error = { 0 };
	int r = vmig_channel_connect_with(vmig_listener_address(e->listener), &options, &e->out, &error);

	ck_assert_msg(!r, "%s", error.text);
	return NULL;
}

static void ends_open(struct ends *e, const char *out_faults, const char *in_faults)
{
	const struct vmig_channel_options options = { .reconnect_ms = LONG_MS, .fault = in_faults };

	*e = (struct ends){ .faults = out_faults };
	ck_assert_int_eq(vmig_listener_new_with("tcp:127.0.0.1:0", &options, &e->listener, NULL), 0);
	ck_assert_int_eq(pthread_create(&e->thread, NULL, dial, e), 0);
	ck_assert_int_eq(vmig_listener_accept(e->listener, LONG_MS, &e->in), 0);
	pthread_join(e->thread, NULL);
}

static void ends_close(struct ends *e)
{
	vmig_channel_close(e->out);
	vmig_channel_close(e->in);
	vmig_listener_free(e->listener);
}

static uint8_t byte_at(uint64_t at)
{
	return (uint8_t)(at * 31 + (at >> 8) * 7 + (at >> 16));
}

static int send_pattern(struct vmig_channel *channel, size_t total)
{
	uint8_t *piece = malloc(PIECE);
	int r = 0;

	for (size_t at = 0; at < total && !r;) {
		size_t len = total - at < PIECE ? total - at : PIECE;
		struct iovec iov[2] = { { piece, len / 3 }, { piece + len / 3, len - len / 3 } };

		for (size_t i = 0; i < len; i++)
			piece[i] = byte_at(at + i);
		r = vmig_channel_send(channel, iov, 2);
		at += len;
	}
	free(piece);
	return r;
}

static void recv_pattern(struct vmig_channel *channel, size_t total)
{
	uint8_t *piece = malloc(PIECE);
	size_t wrong = 0;

	for (size_t at = 0; at < total;) {
		struct iovec iov[2] = { { piece, 1000 }, { piece + 1000, PIECE - 1000 } };
		ssize_t n = vmig_channel_recv(channel, iov, 2);

		ck_assert_msg(n > 0, "after %zu bytes: %s", at, strerror((int)-n));
		for (ssize_t i = 0; i < n; i++)
			wrong += piece[i] != byte_at(at + (size_t)i);
		at += (size_t)n;
	}
	ck_assert_uint_eq(wrong, 0);
	free(piece);
}

static void *send_out(void *arg)
{
	struct ends *e = arg;

	ck_assert_int_eq(send_pattern(e->out, e->total), 0);
	return NULL;
}

static void *recv_in(void *arg)
{
	struct ends *e = arg;

	recv_pattern(e->in, e->total);
	return NULL;
}

/* --- what survives --- */

TEST(nothing_is_lost_or_doubled_by_cuts)
{
	struct ends e;

	ends_open(&e, "cut=1000000,cut=2500000,cut=500,cut=4000000,cut=3000001", "cut=200,cut=300");
	e.total = 20u << 20;
	ck_assert_int_eq(pthread_create(&e.thread, NULL, send_out, &e), 0);
	recv_pattern(e.in, e.total);
	pthread_join(e.thread, NULL);
	ck_assert(!vmig_channel_away(e.in));
	ends_close(&e);
}

TEST(both_ways_at_once)
{
	struct ends e;
	pthread_t other;

	ends_open(&e, "cut=1000000,cut=900000", "cut=5000");
	e.total = 4u << 20;
	ck_assert_int_eq(pthread_create(&e.thread, NULL, send_out, &e), 0);
	ck_assert_int_eq(pthread_create(&other, NULL, recv_in, &e), 0);
	ck_assert_int_eq(send_pattern(e.in, 100000), 0);
	recv_pattern(e.out, 100000);
	pthread_join(e.thread, NULL);
	pthread_join(other, NULL);
	ends_close(&e);
}

/* Nobody receives at this end: the sender has to look for acknowledgements himself, and keeps what else comes. */
TEST(a_sender_alone_goes_on)
{
	struct ends e;

	ends_open(&e, NULL, NULL);
	e.total = 3 * VMIG_LIMIT_REPLAY;
	ck_assert_int_eq(send_pattern(e.in, 1000), 0);
	ck_assert_int_eq(pthread_create(&e.thread, NULL, recv_in, &e), 0);
	ck_assert_int_eq(send_pattern(e.out, e.total), 0);
	pthread_join(e.thread, NULL);
	recv_pattern(e.out, 1000);
	ends_close(&e);
}

TEST(the_listener_may_be_freed_meanwhile)
{
	struct ends e;

	ends_open(&e, "cut=100000,cut=100000", NULL);
	vmig_listener_free(e.listener);
	e.listener = NULL;
	e.total = 1u << 20;
	ck_assert_int_eq(pthread_create(&e.thread, NULL, send_out, &e), 0);
	recv_pattern(e.in, e.total);
	pthread_join(e.thread, NULL);
	ends_close(&e);
}

/* --- what does not --- */

TEST(an_end_is_no_loss)
{
	uint8_t byte;
	struct iovec iov = { &byte, 1 };
	struct ends e;

	ends_open(&e, NULL, NULL);
	vmig_channel_close(e.out);
	e.out = NULL;
	ck_assert_int_eq(vmig_channel_recv(e.in, &iov, 1), 0);
	ck_assert(!vmig_channel_away(e.in));
	ends_close(&e);
}

TEST(who_does_not_wait_fails_at_once)
{
	struct ends e;

	ends_open(&e, "cut=100000", NULL);
	vmig_channel_hold(e.out, false);
	vmig_channel_hold(e.in, false);
	ck_assert_int_lt(send_pattern(e.out, 1u << 20), 0);
	ck_assert(!vmig_channel_away(e.out));
	ends_close(&e);
}

TEST(a_session_needs_both_ends)
{
	const struct vmig_channel_options options = { .reconnect_ms = LONG_MS };
	static const char other[] =
		"this is not how a session begins, and it is long enough to be more than its "
		"first message would be";
	struct iovec iov = { (void *)(uintptr_t)other, sizeof(other) };
	struct vmig_channel *plain, *in;
	struct vmig_listener *listener;

	ck_assert_int_eq(vmig_listener_new_with("tcp:127.0.0.1:0", &options, &listener, NULL), 0);
	ck_assert_int_eq(vmig_channel_connect(vmig_listener_address(listener), LONG_MS, &plain, NULL), 0);
	ck_assert_int_eq(vmig_channel_send(plain, &iov, 1), 0);
	ck_assert_int_eq(vmig_listener_accept(listener, LONG_MS, &in), -ECONNABORTED);
	ck_assert_ptr_nonnull(strstr(vmig_listener_error(listener)->text, "--reconnect"));
	vmig_channel_close(plain);
	vmig_listener_free(listener);
}

/* --- handshakes of another connection --- */

struct tap {
	struct vmig_listener *listener;
	struct vmig_channel *near, *middle; /* the dialler's, and who listens in */
	struct vmig_resume_terms terms;
	uint8_t hello[80], answer[72], proof[32];
	pthread_t thread;
};

static void *shake(void *arg)
{
	struct tap *t = arg;

	ck_assert_int_eq(vmig_resume_shake_out(t->near, LONG_MS, &t->terms, "tap", NULL), 0);
	return NULL;
}

static void move(struct vmig_channel *from, struct vmig_channel *to, uint8_t *bytes, size_t len)
{
	struct iovec all = { bytes, len };

	for (size_t at = 0; from && at < len;) {
		struct iovec iov = { bytes + at, len - at };
		ssize_t n = vmig_channel_recv(from, &iov, 1);

		ck_assert_int_gt((int)n, 0);
		at += (size_t)n;
	}
	if (to)
		ck_assert_int_eq(vmig_channel_send(to, &all, 1), 0);
}

/* A handshake, all of whose bytes are kept. Returns the listener's connection. */
static struct vmig_channel *listen_in(struct tap *t)
{
	struct vmig_channel *far;

	ck_assert_int_eq(vmig_channel_connect(vmig_listener_address(t->listener), LONG_MS, &far, NULL), 0);
	ck_assert_int_eq(pthread_create(&t->thread, NULL, shake, t), 0);
	move(t->middle, far, t->hello, sizeof(t->hello));
	return far;
}

static void finish_shake(struct tap *t, struct vmig_channel *far)
{
	move(far, t->middle, t->answer, sizeof(t->answer));
	move(t->middle, far, t->proof, sizeof(t->proof));
	pthread_join(t->thread, NULL);
}

static void pump_until_answered(struct tap *t, struct vmig_channel *far)
{
	vmig_listener_pump(t->listener, LONG_MS);
	finish_shake(t, far);
}

static void replay(struct tap *t, const char *refusal)
{
	struct vmig_channel *far, *in;

	ck_assert_int_eq(vmig_channel_connect(vmig_listener_address(t->listener), LONG_MS, &far, NULL), 0);
	move(NULL, far, t->hello, sizeof(t->hello));
	move(NULL, far, t->proof, sizeof(t->proof));
	ck_assert_int_eq(vmig_listener_accept(t->listener, LONG_MS, &in), -ECONNABORTED);
	ck_assert_msg(strstr(vmig_listener_error(t->listener)->text, refusal), "%s",
		      vmig_listener_error(t->listener)->text);
	vmig_channel_close(far);
}

TEST(a_replayed_handshake_is_refused)
{
	const struct vmig_channel_options options = { .reconnect_ms = LONG_MS };
	struct vmig_channel *first, *second, *in;
	struct tap t = { .terms = { .id = "an id", .key = "a key" } };
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_int_eq(vmig_channel_socket(fds[0], &t.near), 0);
	ck_assert_int_eq(vmig_channel_socket(fds[1], &t.middle), 0);
	ck_assert_int_eq(vmig_listener_new_with("tcp:127.0.0.1:0", &options, &t.listener, NULL), 0);
	first = listen_in(&t);
	pump_until_answered(&t, first);
	ck_assert_int_eq(vmig_listener_accept(t.listener, LONG_MS, &in), 0);
	replay(&t, "not known here");
	t.terms.again = true;
	second = listen_in(&t);
	pump_until_answered(&t, second);
	replay(&t, "not the one of this session");
	vmig_channel_close(in);
	replay(&t, "not known here");
	vmig_channel_close(first);
	vmig_channel_close(second);
	vmig_channel_close(t.near);
	vmig_channel_close(t.middle);
	vmig_listener_free(t.listener);
}

TEST(who_leaves_in_the_middle_of_a_handshake_is_forgotten)
{
	const struct vmig_channel_options options = { .reconnect_ms = LONG_MS };
	static uint8_t hello[80] = "VMIGRSM1";
	struct vmig_channel *plain, *in;
	struct vmig_listener *listener;

	ck_assert_int_eq(vmig_listener_new_with("tcp:127.0.0.1:0", &options, &listener, NULL), 0);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(vmig_channel_connect(vmig_listener_address(listener), LONG_MS, &plain, NULL),
				 0);
		move(NULL, plain, hello, sizeof(hello));
		vmig_channel_close(plain);
		ck_assert_int_eq(vmig_listener_accept(listener, LONG_MS, &in), -ECONNABORTED);
		ck_assert_ptr_nonnull(strstr(vmig_listener_error(listener)->text, "no agreement"));
	}
	vmig_listener_free(listener);
}

HARNESS("resume", T(who_leaves_in_the_middle_of_a_handshake_is_forgotten),
	T(nothing_is_lost_or_doubled_by_cuts), T(both_ways_at_once), T(a_sender_alone_goes_on),
	T(the_listener_may_be_freed_meanwhile), T(an_end_is_no_loss), T(who_does_not_wait_fails_at_once),
	T(a_session_needs_both_ends), T(a_replayed_handshake_is_refused))
