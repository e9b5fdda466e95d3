/* SPDX-License-Identifier: BSD-3-Clause */
/* Migration data over the socket: whole, in pieces, in flight, and when it goes wrong. */
#include "harness.h"
#include "peer.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define MIB (1u << 20)

static void start(struct rig *rig, size_t state_size, size_t piece)
{
	struct toy_config config = { .state_size = state_size, .piece = piece };
	uint32_t x = 1;

	rig_start(rig, &config);
	for (size_t i = 0; i < state_size; i++) {
		x = x * 1664525 + 1013904223;
		toy_state(rig->toy)[i] = (uint8_t)(x >> 24);
	}
}

/* Read to the end (or until drained) by @size; returns the bytes. Every answer but the last is as long as asked for. */
static size_t read_out(struct peer *p, uint32_t size, uint8_t *to, size_t room)
{
	size_t sum = 0;

	for (;;) {
		int64_t n = peer_mig_read(p, size);

		ck_assert_int_ge(n, 0);
		ck_assert_uint_le(sum + (size_t)n, room);
		memcpy(to + sum, p->in.body.at + 8, (size_t)n);
		sum += (size_t)n;
		if (n < size)
			return sum;
	}
}

static void save(size_t state_size, size_t piece, uint32_t size)
{
	uint8_t *got = malloc(state_size);
	struct rig rig;

	start(&rig, state_size, piece);
	ck_assert_int_eq(peer_set_state(&rig.peer, VMIG_STATE_STOP_COPY), 0);
	ck_assert_uint_eq(read_out(&rig.peer, size, got, state_size), state_size);
	ck_assert_mem_eq(got, toy_state(rig.toy), state_size);
	ck_assert_int_eq(peer_mig_read(&rig.peer, size), 0);
	ck_assert_int_eq(rig_end(&rig), 0);
	free(got);
}

TEST(a_short_answer_means_the_end_and_nothing_else)
{
	save(MIB, 0, MIB);
	save(MIB + 1, 0, MIB);
	save(3 * MIB - 1, 100000, MIB); /* the device lends less than is asked for */
	save(70000, 1, 5000);
	save(10, 3, 7);
	save(4096, 512, 4096);
}

TEST(drained_in_precopy_and_on_in_stop_copy)
{
	uint8_t *got = malloc(3 * MIB);
	struct rig rig;
	size_t n;

	start(&rig, 3 * MIB, 300000);
	ck_assert_int_eq(peer_set_state(&rig.peer, VMIG_STATE_PRE_COPY), 0);
	n = read_out(&rig.peer, 65536, got, 3 * MIB);
	ck_assert_uint_eq(n, 3 * MIB / 2);
	ck_assert_int_eq(peer_mig_read(&rig.peer, 65536), 0);
	ck_assert_int_eq(peer_set_state(&rig.peer, VMIG_STATE_STOP_COPY), 0);
	n += read_out(&rig.peer, MIB, got + n, 3 * MIB - n);
	ck_assert_uint_eq(n, 3 * MIB);
	ck_assert_mem_eq(got, toy_state(rig.toy), n);
	ck_assert_int_eq(rig_end(&rig), 0);
	free(got);
}

static void load(size_t state_size, size_t piece, uint32_t size)
{
	uint8_t *data = malloc(state_size);
	struct rig rig;

	start(&rig, state_size, piece);
	for (size_t i = 0; i < state_size; i++)
		data[i] = (uint8_t)(i * 31 + i / 1000);
	ck_assert_int_eq(peer_set_state(&rig.peer, VMIG_STATE_RESUMING), 0);
	for (size_t at = 0; at < state_size; at += size) {
		uint32_t n = (uint32_t)(state_size - at < size ? state_size - at : size);

		ck_assert_int_eq(peer_mig_write(&rig.peer, data + at, n), 0);
	}
	ck_assert_int_eq(peer_set_state(&rig.peer, VMIG_STATE_STOP), 0);
	ck_assert_mem_eq(toy_state(rig.toy), data, state_size);
	ck_assert_int_eq(rig_end(&rig), 0);
	free(data);
}

TEST(load_in_all_sizes)
{
	load(3 * MIB, 0, MIB);
	load(3 * MIB - 1, 100000, MIB);
	load(70000, 1000, 65512);
	load(70000, 7, 65513);
	load(300, 0, 1);
	load(5000, 1, 4999);
}

/* Several requests in flight, both ways: answers in order, nothing lost. */
TEST(several_in_flight)
{
	enum { N = 8, DEPTH = 4 };
	uint8_t *got = malloc((size_t)N * MIB);
	struct rig rig;
	int sent = 0;

	start(&rig, (size_t)N * MIB, 0);
	ck_assert_int_eq(peer_set_state(&rig.peer, VMIG_STATE_STOP_COPY), 0);
	for (int i = 0; i < N; i++) {
		for (; sent < N && sent < i + DEPTH; sent++) {
			struct bytes b = { 0 };

			put32(&b, 8 + MIB);
			put32(&b, MIB);
			peer_send(&rig.peer, C_MIG_READ, 0, &b, NULL, 0);
		}
		ck_assert(peer_recv(&rig.peer));
		ck_assert_uint_eq(rig.peer.in.id, rig.peer.id - (uint16_t)(sent - 1 - i));
		ck_assert_uint_eq(peer_u32(&rig.peer, 4), MIB);
		memcpy(got + (size_t)i * MIB, rig.peer.in.body.at + 8, MIB);
	}
	ck_assert_mem_eq(got, toy_state(rig.toy), (size_t)N * MIB);
	ck_assert_int_eq(peer_call(&rig.peer, C_RESET, NULL), 0);
	ck_assert_int_eq(peer_set_state(&rig.peer, VMIG_STATE_RESUMING), 0);
	for (int i = 0; i < N; i++) {
		struct bytes b = { 0 };

		put32(&b, 8 + MIB);
		put32(&b, MIB);
		put(&b, got + (size_t)i * MIB, MIB);
		peer_send(&rig.peer, C_MIG_WRITE, 0, &b, NULL, 0);
	}
	for (int i = 0; i < N; i++) {
		ck_assert(peer_recv(&rig.peer));
		ck_assert_uint_eq(rig.peer.in.flags, F_REPLY);
	}
	ck_assert_mem_eq(got, toy_state(rig.toy), (size_t)N * MIB);
	ck_assert_int_eq(peer_set_state(&rig.peer, VMIG_STATE_RUNNING), 0);
	ck_assert_int_eq(rig_end(&rig), 0);
	free(got);
}

/* A write that fails half-way: its payload is consumed, and the next command is understood. */
TEST(a_failed_write_keeps_the_stream_in_step)
{
	static const size_t fail_at[] = { 1, 100, 65535, 65536, 65537, 500000, MIB - 1 };
	uint8_t *data = calloc(1, MIB);

	for (size_t i = 0; i < sizeof(fail_at) / sizeof(fail_at[0]); i++) {
		struct rig rig;

		start(&rig, MIB, 10000);
		ck_assert_int_eq(peer_set_state(&rig.peer, VMIG_STATE_RESUMING), 0);
		toy_fail_load_at(rig.toy, fail_at[i]);
		ck_assert_int_eq(peer_mig_write(&rig.peer, data, MIB), -EIO);
		ck_assert_int_lt(peer_mig_write(&rig.peer, data, MIB), 0);
		ck_assert_int_lt(peer_set_state(&rig.peer, VMIG_STATE_STOP), 0);
		ck_assert_int_eq(peer_call(&rig.peer, C_RESET, NULL), 0);
		ck_assert_uint_eq(peer_state(&rig.peer), VMIG_STATE_RUNNING);
		ck_assert_int_eq(rig_end(&rig), 0);
	}
	free(data);
}

TEST(more_than_the_device_takes)
{
	uint8_t *data = calloc(1, MIB);
	struct rig rig;

	start(&rig, 1000, 0);
	ck_assert_int_eq(peer_set_state(&rig.peer, VMIG_STATE_RESUMING), 0);
	ck_assert_int_eq(peer_mig_write(&rig.peer, data, MIB), -ENOSPC);
	ck_assert_uint_eq(peer_state(&rig.peer), VMIG_STATE_RESUMING);
	ck_assert_int_eq(rig_end(&rig), 0);
	free(data);
}

TEST(too_little_is_found_out)
{
	uint8_t data[999] = { 0 };
	struct rig rig;

	start(&rig, 1000, 0);
	ck_assert_int_eq(peer_set_state(&rig.peer, VMIG_STATE_RESUMING), 0);
	ck_assert_int_eq(peer_mig_write(&rig.peer, data, 999), 0);
	ck_assert_int_eq(peer_set_state(&rig.peer, VMIG_STATE_RUNNING), -EINVAL);
	ck_assert_uint_eq(peer_state(&rig.peer), VMIG_STATE_RESUMING);
	ck_assert_int_eq(peer_mig_write(&rig.peer, data, 1), 0);
	ck_assert_int_eq(peer_set_state(&rig.peer, VMIG_STATE_RUNNING), 0);
	ck_assert_int_eq(rig_end(&rig), 0);
}

TEST(a_failed_read)
{
	struct rig rig;

	start(&rig, MIB, 1000);
	ck_assert_int_eq(peer_set_state(&rig.peer, VMIG_STATE_STOP_COPY), 0);
	toy_fail_save_at(rig.toy, 5000);
	ck_assert_int_eq(peer_mig_read(&rig.peer, 2000), 2000);
	ck_assert_int_eq(peer_mig_read(&rig.peer, 65536), -EIO);
	ck_assert_uint_eq(peer_state(&rig.peer), VMIG_STATE_STOP_COPY);
	ck_assert_int_eq(rig_end(&rig), 0);
}

static int mig(struct peer *p, uint16_t command, uint32_t argsz, uint32_t size, size_t len)
{
	struct bytes b = { 0 };
	uint8_t *data = calloc(1, len + 1);

	put32(&b, argsz);
	put32(&b, size);
	put(&b, data, len);
	free(data);
	return peer_call(p, command, &b);
}

TEST(bad_sizes)
{
	struct rig rig;

	start(&rig, MIB, 0);
	ck_assert_int_eq(peer_set_state(&rig.peer, VMIG_STATE_STOP_COPY), 0);
	ck_assert_int_eq(mig(&rig.peer, C_MIG_READ, 8 + MIB + 1, MIB + 1, 0), -E2BIG);
	ck_assert_int_eq(mig(&rig.peer, C_MIG_READ, UINT32_MAX, UINT32_MAX, 0), -E2BIG);
	ck_assert_int_eq(mig(&rig.peer, C_MIG_READ, 7, 0, 0), -EINVAL);
	ck_assert_int_eq(mig(&rig.peer, C_MIG_READ, 8 + 99, 100, 0), -EINVAL);
	ck_assert_int_eq(mig(&rig.peer, C_MIG_READ, 8 + 100, 100, 0), 0);
	ck_assert_int_eq(mig(&rig.peer, C_MIG_READ, 8, 0, 0), 0);
	ck_assert_int_eq(peer_set_state(&rig.peer, VMIG_STATE_RESUMING), 0);
	ck_assert_int_eq(mig(&rig.peer, C_MIG_WRITE, 8 + 100, 100, 99), -EINVAL);
	ck_assert_int_eq(mig(&rig.peer, C_MIG_WRITE, 8 + 100, 100, 101), -EINVAL);
	ck_assert_int_eq(mig(&rig.peer, C_MIG_WRITE, 8 + 100, UINT32_MAX, 100), -E2BIG);
	ck_assert_int_eq(mig(&rig.peer, C_MIG_WRITE, 8, 0, 0), 0);
	ck_assert_int_eq(mig(&rig.peer, C_MIG_WRITE, 8 + 100, 100, 100), 0);
	ck_assert_int_eq(rig_end(&rig), 0);
}

TEST(out_of_state)
{
	uint8_t data[100] = { 0 };
	struct rig rig;

	start(&rig, MIB, 0);
	ck_assert_int_eq(peer_mig_read(&rig.peer, 100), -EINVAL);
	ck_assert_int_eq(peer_mig_write(&rig.peer, data, 100), -EINVAL);
	ck_assert_int_eq(peer_set_state(&rig.peer, VMIG_STATE_STOP_COPY), 0);
	ck_assert_int_eq(peer_mig_write(&rig.peer, data, 100), -EINVAL);
	ck_assert_int_eq(peer_set_state(&rig.peer, VMIG_STATE_RESUMING), 0);
	ck_assert_int_eq(peer_mig_read(&rig.peer, 100), -EINVAL);
	ck_assert_int_eq(peer_call(&rig.peer, C_RESET, NULL), 0);
	ck_assert_int_eq(peer_mig_write(&rig.peer, data, 100), -EINVAL);
	ck_assert_int_eq(rig_end(&rig), 0);
}

/* The client goes in the midst of a write: the device is as it was, and the next client finds it so. */
TEST(cut_off_in_a_write)
{
	struct bytes b = { 0 };
	uint8_t *data = calloc(1, MIB);
	struct rig rig;

	start(&rig, MIB, 0);
	ck_assert_int_eq(peer_set_state(&rig.peer, VMIG_STATE_RESUMING), 0);
	put32(&b, 8 + MIB);
	put32(&b, MIB);
	put(&b, data, MIB);
	{
		struct bytes all = { 0 };

		peer_put(&all, 7, C_MIG_WRITE, 0, b.at, b.len);
		peer_send_bytes(rig.peer.fd, all.at, all.len / 2, NULL, 0);
		bytes_done(&all);
	}
	bytes_done(&b);
	ck_assert_int_eq(rig_detach(&rig), -ECONNRESET);
	rig_attach(&rig);
	ck_assert_int_eq(peer_hello(&rig.peer, HELLO), 0);
	ck_assert_uint_eq(peer_state(&rig.peer), VMIG_STATE_RESUMING);
	/* The session was the other client's. */
	ck_assert_int_eq(peer_mig_write(&rig.peer, data, 100), -EINVAL);
	ck_assert_int_eq(peer_call(&rig.peer, C_RESET, NULL), 0);
	ck_assert_int_eq(rig_end(&rig), 0);
	free(data);
}

HARNESS("server-data", T(a_short_answer_means_the_end_and_nothing_else),
	T(drained_in_precopy_and_on_in_stop_copy), T(load_in_all_sizes), T(several_in_flight),
	T(a_failed_write_keeps_the_stream_in_step), T(more_than_the_device_takes), T(too_little_is_found_out),
	T(a_failed_read), T(bad_sizes), T(out_of_state), T(cut_off_in_a_write))
