/* SPDX-License-Identifier: BSD-3-Clause */
/* The layers of a connection that go wrong on purpose, and that compress. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include <vmig/channel.h>

#include "harness.h"

struct end {
	struct vmig_listener *listener; /* NULL: connects */
	const char *address;
	struct vmig_channel_options options;
	struct vmig_channel *channel;
	struct vmig_error error;
	int code;
};

static void *run_end(void *opaque)
{
	struct end *e = opaque;

	if (e->listener) {
		e->code = vmig_listener_accept(e->listener, 10000, &e->channel);
		if (e->code)
			e->error = *vmig_listener_error(e->listener);
	} else {
		e->code = vmig_channel_connect_with(e->address, &e->options, &e->channel, &e->error);
	}
	return NULL;
}

/* One more connection to a listener. */
static void meet(struct end *server, struct end *client)
{
	pthread_t thread;

	pthread_create(&thread, NULL, run_end, server);
	client->address = vmig_listener_address(server->listener);
	run_end(client);
	pthread_join(thread, NULL);
}

static void open_ends(struct end *server, struct end *client)
{
	ck_assert_int_eq(vmig_listener_new_with("tcp:127.0.0.1:0", &server->options, &server->listener,
						&server->error),
			 0);
	meet(server, client);
	ck_assert_msg(!server->code && !client->code, "%s %s", server->error.text, client->error.text);
}

static void close_ends(struct end *server, struct end *client)
{
	vmig_channel_close(server->channel);
	vmig_channel_close(client->channel);
	vmig_listener_free(server->listener);
}

static int send_text(struct vmig_channel *channel, const char *text)
{
	struct iovec iov = { (void *)(uintptr_t)text, strlen(text) };

	return vmig_channel_send(channel, &iov, 1);
}

/* To the end: what arrives, or the errno instead. */
static ssize_t recv_all(struct vmig_channel *channel, char *text, size_t room)
{
	size_t at = 0;

	memset(text, 0, room);
	for (;;) {
		struct iovec iov = { text + at, room - at - 1 };
		ssize_t n = vmig_channel_recv(channel, &iov, 1);

		if (n <= 0)
			return n ? n : (ssize_t)at;
		at += (size_t)n;
	}
}

/* --- faults --- */

/* What arrives of "abcdefgh", sent as "abc" and "defgh" with this fault. */
static int with_fault(const char *fault, char text[16])
{
	struct end server = { 0 }, client = { .options = { .fault = fault } };
	int r;

	open_ends(&server, &client);
	r = send_text(client.channel, "abc");
	if (!r) {
		struct iovec iov[3] = { { "d", 1 }, { "ef", 2 }, { "gh", 2 } };

		r = vmig_channel_send(client.channel, iov, 3);
	}
	vmig_channel_shutdown(client.channel);
	ck_assert_int_ge(recv_all(server.channel, text, 16), 0);
	close_ends(&server, &client);
	return r;
}

TEST(a_fault_comes_at_its_byte)
{
	char text[16], want[16], fault[32];

	for (int at = 0; at <= 9; at++) {
		snprintf(fault, sizeof(fault), "cut=%d", at);
		ck_assert_int_eq(with_fault(fault, text), at < 8 ? -ECONNRESET : 0);
		snprintf(want, sizeof(want), "%.*s", at, "abcdefgh");
		ck_assert_str_eq(text, want);
		snprintf(fault, sizeof(fault), "drop=%d", at);
		ck_assert_int_eq(with_fault(fault, text), 0);
		snprintf(want, sizeof(want), "%.*s%s", at, "abcdefgh", at < 8 ? "abcdefgh" + at + 1 : "");
		ck_assert_str_eq(text, want);
		snprintf(fault, sizeof(fault), "corrupt=%d", at);
		ck_assert_int_eq(with_fault(fault, text), 0);
		snprintf(want, sizeof(want), "abcdefgh");
		if (at < 8)
			want[at] ^= 0x55;
		ck_assert_str_eq(text, want);
	}
	ck_assert_int_eq(with_fault("delay=1", text), 0);
	ck_assert_str_eq(text, "abcdefgh");
}

TEST(each_connection_has_its_own_fault)
{
	struct end server = { .options = { .fault = "cut=0,cut=1" } }, client = { 0 };

	open_ends(&server, &client);
	ck_assert_int_eq(send_text(server.channel, "x"), -ECONNRESET);
	for (int i = 0; i < 2; i++) {
		vmig_channel_close(server.channel);
		vmig_channel_close(client.channel);
		meet(&server, &client);
		ck_assert_int_eq(send_text(server.channel, "x"), 0);
		ck_assert_int_eq(send_text(server.channel, "x"), i ? 0 : -ECONNRESET);
	}
	close_ends(&server, &client);
}

TEST(what_is_no_fault_is_refused)
{
	static const char *const bad[] = { "",
					   "cut",
					   "cut=",
					   "cut=x",
					   "cut=-1",
					   "cut=1,",
					   ",cut=1",
					   "cut=1;cut=2",
					   "burn=1",
					   "cut=99999999999999999999",
					   "delay=2147483648" };
	char many[65 * 6 + 1] = "";
	struct vmig_error error;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const struct vmig_channel_options options = { .fault = bad[i] };
		struct vmig_listener *listener;

		ck_assert_msg(vmig_listener_new_with("tcp:127.0.0.1:0", &options, &listener, &error) ==
				      -EINVAL,
			      "%s", bad[i]);
	}
	for (int i = 0; i < 65; i++) {
		const struct vmig_channel_options options = { .fault = many };
		struct vmig_listener *listener;
		int r;

		strcat(many, i ? ",cut=1" : "cut=1");
		r = vmig_listener_new_with("tcp:127.0.0.1:0", &options, &listener, &error);
		ck_assert_int_eq(r, i < 64 ? 0 : -EINVAL);
		if (!r)
			vmig_listener_free(listener);
	}
}

struct sleeper {
	struct vmig_channel *channel;
	int code;
};

static void *send_late(void *opaque)
{
	struct sleeper *s = opaque;

	s->code = send_text(s->channel, "x");
	return NULL;
}

TEST(a_shutdown_wakes_who_is_held_back)
{
	struct end server = { 0 }, client = { .options = { .fault = "delay=1000000" } };
	struct sleeper s;
	pthread_t thread;

	open_ends(&server, &client);
	s.channel = client.channel;
	pthread_create(&thread, NULL, send_late, &s);
	vmig_channel_shutdown(client.channel);
	pthread_join(thread, NULL);
	ck_assert_int_eq(s.code, -ECONNRESET);
	close_ends(&server, &client);
}

/* --- compression --- */

#define MUCH (4u << 20)

/* Half of it can be packed, half cannot. */
static void fill(uint8_t *data, unsigned int *seed)
{
	for (size_t i = 0; i < MUCH; i++)
		data[i] = i & 0x10000 ? (uint8_t)rand_r(seed) : (uint8_t)(i >> 10);
}

struct flow {
	struct vmig_channel *channel;
	uint8_t *data;
	unsigned int seed;
};

static void *send_flow(void *opaque)
{
	struct flow *f = opaque;
	size_t at = 0;

	while (at < MUCH) {
		size_t len = 1 + (size_t)rand_r(&f->seed) % (rand_r(&f->seed) % 2 ? 40 : 400000);
		struct iovec iov;

		len = len < MUCH - at ? len : MUCH - at;
		iov = (struct iovec){ f->data + at, len };
		ck_assert_int_eq(vmig_channel_send(f->channel, &iov, 1), 0);
		at += len;
	}
	return NULL;
}

static void *recv_flow(void *opaque)
{
	struct flow *f = opaque;
	uint8_t *data = malloc(200000);
	size_t at = 0;

	while (at < MUCH) {
		size_t len = 1 + (size_t)rand_r(&f->seed) % 100000;
		struct iovec iov[2] = { { data, len }, { data + len, len } };
		ssize_t n = vmig_channel_recv(f->channel, iov, 2);

		if (n <= 0 || memcmp(data, f->data + at, (size_t)n))
			ck_abort_msg("at %zu: %zd", at, n);
		at += (size_t)n;
	}
	free(data);
	return NULL;
}

TEST(packed_both_ways_at_once_and_unpacked)
{
	struct end server = { .options = { .compress = true } }, client = { .options = { .compress = true } };
	uint8_t *data = malloc(MUCH);
	unsigned int seed = harness_seed();
	struct flow flows[4];
	pthread_t threads[4];

	fill(data, &seed);
	open_ends(&server, &client);
	for (unsigned int i = 0; i < 4; i++) {
		flows[i] =
			(struct flow){ i == 0 || i == 3 ? client.channel : server.channel, data, seed + i };
		pthread_create(&threads[i], NULL, i % 2 ? recv_flow : send_flow, &flows[i]);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	close_ends(&server, &client);
	free(data);
}

TEST(each_send_arrives_by_itself)
{
	struct end server = { .options = { .compress = true } }, client = { .options = { .compress = true } };

	open_ends(&server, &client);
	for (int i = 0; i < 50; i++) {
		char text[16];
		struct iovec iov = { text, sizeof(text) };

		ck_assert_int_eq(send_text(client.channel, "word"), 0);
		ck_assert_int_eq(vmig_channel_recv(server.channel, &iov, 1), 4);
		ck_assert_int_eq(memcmp(text, "word", 4), 0);
	}
	close_ends(&server, &client);
}

TEST(one_end_that_compresses_alone_is_told)
{
	struct end server = { .options = { .compress = true } }, client = { 0 };
	char text[64];

	ck_assert_int_eq(
		vmig_listener_new_with("tcp:127.0.0.1:0", &server.options, &server.listener, &server.error),
		0);
	client.address = vmig_listener_address(server.listener);
	run_end(&client);
	ck_assert_int_eq(client.code, 0);
	ck_assert_int_eq(send_text(client.channel, "\x89VMIG"), 0);
	run_end(&server);
	ck_assert_int_eq(server.code, -ECONNABORTED);
	ck_assert_ptr_nonnull(strstr(server.error.text, "does not compress"));
	recv_all(client.channel, text, sizeof(text));
	ck_assert_str_eq(text, "VMIGzstd\1");
	vmig_channel_close(client.channel);
	vmig_listener_free(server.listener);
	/* And who connects to somebody who does not answer so. */
	server = (struct end){ 0 };
	ck_assert_int_eq(vmig_listener_new("tcp:127.0.0.1:0", &server.listener, NULL), 0);
	client = (struct end){ .options = { .compress = true, .timeout_ms = 200 } };
	client.address = vmig_listener_address(server.listener);
	run_end(&client);
	ck_assert_int_eq(client.code, -ETIMEDOUT);
	ck_assert_ptr_nonnull(strstr(client.error.text, "both have to"));
	vmig_listener_free(server.listener);
}

/* Packed by hand, behind the preamble; what comes of it at the other end. */
static ssize_t unpacked(const void *data, size_t len, void *to, size_t room)
{
	struct end server = { .options = { .compress = true } }, client = { 0 };
	struct iovec iov[2] = { { (char[32]){ "VMIGzstd\1" }, 32 }, { (void *)(uintptr_t)data, len } };
	struct iovec in = { to, room };
	ssize_t n;

	ck_assert_int_eq(
		vmig_listener_new_with("tcp:127.0.0.1:0", &server.options, &server.listener, &server.error),
		0);
	client.address = vmig_listener_address(server.listener);
	run_end(&client);
	ck_assert_int_eq(vmig_channel_send(client.channel, iov, 2), 0);
	run_end(&server);
	ck_assert_int_eq(server.code, 0);
	n = vmig_channel_recv(server.channel, &in, 1);
	close_ends(&server, &client);
	return n;
}

static size_t packed(int window_log, const void *data, size_t len, void *to, size_t room)
{
	ZSTD_CCtx *c = ZSTD_createCCtx();
	ZSTD_inBuffer from = { data, len, 0 };
	ZSTD_outBuffer out = { to, room, 0 };
	size_t r;

	ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, window_log);
	/* Flushed only, so that the frame does not know how small it is. */
	r = ZSTD_compressStream2(c, &out, &from, ZSTD_e_flush);
	ck_assert(!ZSTD_isError(r) && !r);
	ZSTD_freeCCtx(c);
	return out.pos;
}

TEST(a_window_has_its_limit)
{
	static uint8_t frame[4096];
	char text[16];

	for (int log = 19; log <= 22; log++) {
		size_t len = packed(log, "content", 7, frame, sizeof(frame));

		ck_assert_int_eq(unpacked(frame, len, text, sizeof(text)), log <= 20 ? 7 : -EBADMSG);
	}
	ck_assert_int_eq(unpacked("this is no frame", 16, text, sizeof(text)), -EBADMSG);
}

/* 64 MiB in some KiB: nobody gets more than he has room for. */
TEST(a_bomb_fills_no_more_than_the_room)
{
	const size_t big = 64u << 20;
	uint8_t *zeros = calloc(1, big), *frame = malloc(1u << 20), room[1000];
	size_t len = packed(20, zeros, big, frame, 1u << 20);

	free(zeros);
	ck_assert_int_lt(len, 100000);
	ck_assert_int_eq(unpacked(frame, len, room, sizeof(room)), sizeof(room));
	free(frame);
}

HARNESS("layers", T(a_fault_comes_at_its_byte), T(each_connection_has_its_own_fault),
	T(what_is_no_fault_is_refused), T(a_shutdown_wakes_who_is_held_back),
	T(packed_both_ways_at_once_and_unpacked), T(each_send_arrives_by_itself),
	T(one_end_that_compresses_alone_is_told), T(a_window_has_its_limit),
	T(a_bomb_fills_no_more_than_the_room))
