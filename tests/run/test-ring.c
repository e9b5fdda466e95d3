/* SPDX-License-Identifier: BSD-3-Clause */
/* The ring of calls between a program and `vmig run`. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "tools/vmig/run-ring.h"

static struct run_ring *ring_new(void)
{
	struct run_ring *ring = calloc(1, sizeof(*ring));

	ck_assert_ptr_nonnull(ring);
	return ring;
}

/* All fields tell the same number, so that a torn one is seen. */
static struct vmig_kabi_call call_of(uint64_t n)
{
	return (struct vmig_kabi_call){ .time_ns = n,
					.took_ns = n,
					.pid = (int32_t)n,
					.offset = n,
					.len = n,
					.v = { n, n, n, n },
					.result = (int64_t)n };
}

static void put(struct run_ring *ring, uint64_t n)
{
	struct vmig_kabi_call call = call_of(n);

	run_ring_put(ring, &call);
}

static void check_call(const struct vmig_kabi_call *call)
{
	uint64_t n = call->time_ns;

	ck_assert(call->took_ns == n && call->offset == n && call->len == n && call->v[0] == n &&
		  call->v[3] == n && call->result == (int64_t)n);
}

static uint64_t next(struct run_ring *ring, struct run_reader *reader)
{
	struct vmig_kabi_call call;

	ck_assert_int_eq(run_ring_get(ring, reader, false, &call), 1);
	check_call(&call);
	return call.time_ns;
}

static void is_empty(struct run_ring *ring, struct run_reader *reader)
{
	struct vmig_kabi_call call;

	ck_assert_int_eq(run_ring_get(ring, reader, false, &call), 0);
}

TEST(calls_come_in_order)
{
	struct run_ring *ring = ring_new();
	struct run_reader reader = { 0 };

	is_empty(ring, &reader);
	for (uint64_t i = 0; i < 10; i++)
		put(ring, i);
	for (uint64_t i = 0; i < 10; i++)
		ck_assert_uint_eq(next(ring, &reader), i);
	is_empty(ring, &reader);
	ck_assert_uint_eq(reader.lost, 0);
	free(ring);
}

TEST(a_full_ring_loses_nothing_yet)
{
	struct run_ring *ring = ring_new();
	struct run_reader reader = { 0 };

	for (uint64_t i = 0; i < RUN_RING_SLOTS; i++)
		put(ring, i);
	for (uint64_t i = 0; i < RUN_RING_SLOTS; i++)
		ck_assert_uint_eq(next(ring, &reader), i);
	ck_assert_uint_eq(reader.lost, 0);
	free(ring);
}

TEST(one_more_is_an_overrun_and_is_counted)
{
	struct run_ring *ring = ring_new();
	struct run_reader reader = { 0 };
	uint64_t seen = 1;

	for (uint64_t i = 0; i <= RUN_RING_SLOTS; i++)
		put(ring, i);
	ck_assert_uint_eq(next(ring, &reader), RUN_RING_SLOTS / 2 + 1);
	while (reader.at < run_ring_count(ring)) {
		next(ring, &reader);
		seen++;
	}
	ck_assert_uint_eq(seen + reader.lost, RUN_RING_SLOTS + 1);
	free(ring);
}

TEST(readers_do_not_know_of_each_other)
{
	struct run_ring *ring = ring_new();
	struct run_reader a = { 0 }, b = { 0 };

	put(ring, 7);
	ck_assert_uint_eq(next(ring, &a), 7);
	ck_assert_uint_eq(next(ring, &b), 7);
	free(ring);
}

TEST(a_call_that_is_never_finished_is_given_up)
{
	struct run_ring *ring = ring_new();
	struct run_reader reader = { 0 };
	struct vmig_kabi_call call;

	put(ring, 0);
	put(ring, 1);
	ring->slots[0].tag |= 1; /* whoever wrote it is dead */
	is_empty(ring, &reader);
	ck_assert_uint_eq(next(ring, &reader), 1);
	ck_assert_uint_eq(reader.lost, 1);
	/* At the end nobody is waited for. */
	reader = (struct run_reader){ 0 };
	ck_assert_int_eq(run_ring_get(ring, &reader, true, &call), 1);
	ck_assert_uint_eq(call.time_ns, 1);
	free(ring);
}

TEST(a_slot_in_use_a_lap_later_drops_the_call)
{
	struct run_ring *ring = ring_new();

	ring->slots[0].tag = 3; /* call 0 is being written */
	ring->head = RUN_RING_SLOTS;
	put(ring, 5);
	ck_assert_uint_eq(ring->dropped, 1);
	ck_assert_uint_eq(ring->slots[0].tag, 3);
	free(ring);
}

TEST(nonsense_in_it_stays_within_bounds)
{
	static const uint64_t heads[] = { 0, 1, RUN_RING_SLOTS, UINT64_MAX, UINT64_MAX / 2 };
	struct run_ring *ring = ring_new();
	struct vmig_kabi_call call;

	memset(ring->slots, 0xff, sizeof(ring->slots));
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		struct run_reader reader = { .at = i };

		ring->head = heads[i];
		for (int tries = 0; tries < 4; tries++)
			run_ring_get(ring, &reader, tries & 1, &call);
		put(ring, 1);
	}
	free(ring);
}

/* --- threads --------------------------------------------------------------------------------- */

#define WRITERS 3
#define CALLS   100000

static struct run_ring *shared;
static atomic_int running;

static void *write_calls(void *opaque)
{
	for (int i = 0; i < CALLS; i++)
		put(shared, (uint64_t)i);
	atomic_fetch_sub(&running, 1);
	return NULL;
}

TEST(writers_and_a_reader_at_once)
{
	struct run_reader reader = { 0 };
	struct vmig_kabi_call call;
	pthread_t threads[WRITERS];
	uint64_t seen = 0;

	shared = ring_new();
	running = WRITERS;
	for (int i = 0; i < WRITERS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, write_calls, NULL), 0);
	while (atomic_load(&running) || reader.at < run_ring_count(shared)) {
		if (run_ring_get(shared, &reader, !atomic_load(&running), &call) <= 0)
			continue;
		check_call(&call);
		seen++;
	}
	for (int i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(run_ring_count(shared), WRITERS * CALLS);
	ck_assert_uint_eq(seen + reader.lost, WRITERS * CALLS);
	free(shared);
}

HARNESS("run-ring", T(calls_come_in_order), T(a_full_ring_loses_nothing_yet),
	T(one_more_is_an_overrun_and_is_counted), T(readers_do_not_know_of_each_other),
	T(a_call_that_is_never_finished_is_given_up), T(a_slot_in_use_a_lap_later_drops_the_call),
	T(nonsense_in_it_stays_within_bounds), T(writers_and_a_reader_at_once))
