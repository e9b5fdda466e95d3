/* SPDX-License-Identifier: BSD-3-Clause */
/* Real models shown through a migration region, moved by a v1 user that follows the text to the letter. */
#include "rig.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vmig/region.h>

#include "models/nic.h"
#include "v1.h"

static void show(struct v1 *ret, const char *spec, enum vmig_v1_section section, uint64_t size)
{
	v1_show(ret, rig_open(spec), &(struct vmig_v1_config){ .section = section, .section_size = size });
}

/** Saving and resuming as the diagram has it, a few rounds of pre-copy first. */
static void move(struct v1 *a, struct v1 *b)
{
	struct v1_stream stream = { 0 };

	v1_write_state(a, 3);
	v1_save(a, &stream, 8);
	v1_write_state(a, 2);
	v1_save(a, &stream, SIZE_MAX);
	ck_assert_uint_eq(v1_pending(a), 0);
	v1_write_state(b, 4);
	v1_load(b, &stream);
	v1_write_state(a, 0);
	v1_write_state(b, 1);
	v1_stream_free(&stream);
}

static void moves(enum vmig_v1_section section, uint64_t size)
{
	struct v1 a, b;

	show(&a, "nic,state=4M,dirty-rate=64M/s,records=0", section, size);
	show(&b, "nic,state=4M,dirty-rate=0,records=0", section, size);
	rig_ticks();
	move(&a, &b);
	ck_assert_uint_eq(rig_digest(a.dev), rig_digest(b.dev));
	ck_assert_uint_eq(rig_wrong(b.dev), 0);
	v1_close(&a);
	v1_close(&b);
}

/* V1-20, V1-38: "Data provided through the migration region should be used to resume the device." ; "the driver
 * should use the device state data received through the migration region to resume the device" */
TEST(a_nic_moves_through_a_trapped_section)
{
	moves(VMIG_V1_SECTION_TRAPPED, 0);
	moves(VMIG_V1_SECTION_TRAPPED, 4096);
}

TEST(a_nic_moves_through_a_mapped_section)
{
	moves(VMIG_V1_SECTION_MAPPED, 0);
	moves(VMIG_V1_SECTION_MAPPED, 64 << 10);
}

TEST(a_nic_moves_through_a_partitioned_section)
{
	moves(VMIG_V1_SECTION_PARTITIONED, 0);
	moves(VMIG_V1_SECTION_PARTITIONED, 16 << 10);
}

/* The v1 of today's QEMU accesses trapped data in pieces of 8 bytes. */
TEST(a_serial_moves_in_pieces_of_8_bytes)
{
	struct v1 a, b;

	show(&a, "serial,state=64K", VMIG_V1_SECTION_TRAPPED, 0);
	show(&b, "serial,state=64K", VMIG_V1_SECTION_TRAPPED, 0);
	a.piece = b.piece = 8;
	move(&a, &b);
	v1_close(&a);
	v1_close(&b);
}

TEST(a_destination_with_a_smaller_section_takes_it_in_parts)
{
	struct v1 a, b;

	show(&a, "nic,state=4M,records=0", VMIG_V1_SECTION_MAPPED, 1 << 20);
	show(&b, "nic,state=4M,records=0", VMIG_V1_SECTION_PARTITIONED, 20 << 10);
	move(&a, &b);
	ck_assert_uint_eq(rig_digest(a.dev), rig_digest(b.dev));
	v1_close(&a);
	v1_close(&b);
}

TEST(a_device_without_pre_copy_moves)
{
	struct v1 a, b;

	show(&a, "nic,state=1M,precopy=off,records=0", VMIG_V1_SECTION_MAPPED, 0);
	show(&b, "nic,state=1M,precopy=off,records=0", VMIG_V1_SECTION_MAPPED, 0);
	v1_write_state(&a, 3);
	ck_assert_uint_eq(v1_pending(&a), 0);
	move(&a, &b);
	ck_assert_uint_eq(rig_digest(a.dev), rig_digest(b.dev));
	v1_close(&a);
	v1_close(&b);
}

/* Restoring into a device that has been used and never reset; and back again. */
TEST(two_devices_change_places_without_a_reset)
{
	struct v1 a, b;

	show(&a, "nic,state=1M,dirty-rate=64M/s,records=0", VMIG_V1_SECTION_MAPPED, 0);
	show(&b, "nic,state=1M,dirty-rate=64M/s,records=0", VMIG_V1_SECTION_MAPPED, 0);
	for (int i = 0; i < 6; i++) {
		struct v1 *from = i % 2 ? &b : &a, *to = i % 2 ? &a : &b;

		rig_ticks();
		move(from, to);
		ck_assert_uint_eq(rig_wrong(to->dev), 0);
	}
	v1_close(&a);
	v1_close(&b);
}

/* --- with its driver at work --------------------------------------------------------------- */

TEST(a_nic_moves_under_its_driver)
{
	struct workload_report report;
	struct vmig_space *space;
	struct workload *w;
	struct v1 a, b;
	void *record;
	size_t len;

	show(&a, "nic,state=1M,dirty-rate=16M/s", VMIG_V1_SECTION_MAPPED, 0);
	show(&b, "nic,state=1M,dirty-rate=16M/s", VMIG_V1_SECTION_TRAPPED, 0);
	ck_assert_int_eq(vmig_space_new(&space), 0);
	ck_assert_int_eq(workload_new(space, &w), 0);
	ck_assert_int_eq(workload_bind(w, a.dev), 0);
	ck_assert_int_eq(workload_start(w), 0);
	rig_wait(w, 100);
	/* Cancelled once: the driver notices nothing. */
	v1_write_state(&a, 3);
	ck_assert_uint_gt(v1_pending(&a), 0);
	rig_wait(w, 100);
	v1_write_state(&a, 1);
	rig_wait(w, 100);
	ck_assert_int_eq(workload_quiesce(w), 0);
	move(&a, &b);
	ck_assert_int_eq(workload_save(w, &record, &len), 0);
	ck_assert_int_eq(workload_load(w, b.dev, record, len), 0);
	ck_assert_int_eq(workload_start(w), 0);
	rig_wait(w, 100);
	report = rig_report(w);
	ck_assert(report.whole);
	workload_free(w);
	vmig_space_free(space);
	free(record);
	v1_close(&a);
	v1_close(&b);
}

/* --- faults of the device ------------------------------------------------------------------ */

struct arc_fault {
	const char *fault, *writes; /* the last write fails */
	uint32_t left;
};

TEST(a_device_that_fails_an_arc)
{
	static const struct arc_fault faults[] = {
		{ "RUNNING>PRE_COPY:EIO:once", "3", 1 },        { "PRE_COPY>PRE_COPY_P2P:EIO:once", "32", 3 },
		{ "PRE_COPY_P2P>STOP_COPY:EIO:once", "32", 3 }, { "STOP_COPY>STOP:EIO:once", "320", 2 },
		{ "STOP>RESUMING:EIO:once", "4", 1 },           { "STOP>RUNNING_P2P:EIO:once", "01", 0 },
		{ "PRE_COPY>RUNNING:EIO:once", "31", 3 },       { "RUNNING>PRE_COPY:error", "3", 6 },
		{ "PRE_COPY_P2P>STOP_COPY:error", "32", 6 },    { "STOP_COPY>STOP:error", "20", 6 },
	};

	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		const char *p = faults[i].writes;
		char spec[128];
		struct v1 v;

		snprintf(spec, sizeof(spec), "nic,state=64K,fault=%s", faults[i].fault);
		show(&v, spec, VMIG_V1_SECTION_MAPPED, 0);
		for (; p[1]; p++)
			v1_write_state(&v, (uint32_t)(*p - '0'));
		ck_assert_int_eq(v1_put32(&v, V1_DEVICE_STATE, (uint32_t)(*p - '0')), -EIO);
		ck_assert_uint_eq(v1_state(&v), faults[i].left);
		if (faults[i].left == 6)
			ck_assert_int_eq(vmig_device_reset(v.dev), 0);
		else
			v1_write_state(&v, (uint32_t)(*p - '0'));
		v1_close(&v);
	}
}

TEST(a_bad_stream_is_refused_and_a_reset_helps)
{
	struct v1_stream stream = { 0 };
	struct v1 a, b;
	int r;

	show(&a, "nic,state=1M,records=0", VMIG_V1_SECTION_MAPPED, 64 << 10);
	show(&b, "nic,state=1M,records=0", VMIG_V1_SECTION_MAPPED, 64 << 10);
	v1_write_state(&a, 2);
	v1_save(&a, &stream, SIZE_MAX);
	stream.data[0] ^= 1;
	v1_write_state(&b, 4);
	r = v1_try_load(&b, &stream);
	if (!r)
		r = v1_put32(&b, V1_DEVICE_STATE, 1);
	ck_assert_int_lt(r, 0);
	ck_assert_uint_eq(v1_state(&b), 4);
	ck_assert_int_lt(v1_put32(&b, V1_DEVICE_STATE, 1), 0);
	ck_assert_int_eq(vmig_device_reset(b.dev), 0);
	stream.data[0] ^= 1;
	v1_write_state(&b, 4);
	v1_load(&b, &stream);
	v1_write_state(&b, 1);
	ck_assert_uint_eq(rig_digest(a.dev), rig_digest(b.dev));
	v1_stream_free(&stream);
	v1_close(&a);
	v1_close(&b);
}

TEST(half_a_stream_is_refused)
{
	struct v1_stream stream = { 0 };
	struct v1 a, b;

	show(&a, "nic,state=1M,records=0", VMIG_V1_SECTION_TRAPPED, 64 << 10);
	show(&b, "nic,state=1M,records=0", VMIG_V1_SECTION_TRAPPED, 64 << 10);
	v1_write_state(&a, 2);
	v1_save(&a, &stream, 3);
	v1_write_state(&b, 4);
	v1_load(&b, &stream);
	ck_assert_int_lt(v1_put32(&b, V1_DEVICE_STATE, 1), 0);
	ck_assert_uint_eq(v1_state(&b), 4);
	v1_stream_free(&stream);
	v1_close(&a);
	v1_close(&b);
}

/* --- several threads ----------------------------------------------------------------------- */

struct crowd {
	struct v1 v;
	unsigned int seed;
};

#define CROWD_ROUNDS 400

static void *write_states(void *opaque)
{
	struct crowd *c = opaque;
	unsigned int seed = c->seed;

	for (int i = 0; i < CROWD_ROUNDS; i++)
		(void)v1_put32(&c->v, V1_DEVICE_STATE, (uint32_t)rand_r(&seed) % 5);
	return NULL;
}

static void *iterate(void *opaque)
{
	struct crowd *c = opaque;
	uint8_t buf[64];

	for (int i = 0; i < CROWD_ROUNDS; i++) {
		uint64_t offset, value;

		(void)v1_get64(&c->v, V1_PENDING_BYTES, &value);
		if (v1_get64(&c->v, V1_DATA_OFFSET, &offset) < 0)
			continue;
		(void)v1_get64(&c->v, V1_DATA_SIZE, &value);
		ck_assert_int_eq(vmig_device_region_read(c->v.dev, c->v.region.index, offset, buf, 64), 0);
		(void)vmig_device_region_write(c->v.dev, c->v.region.index, offset, buf, 64);
		(void)v1_put64(&c->v, V1_DATA_SIZE, 64);
	}
	return NULL;
}

static void *reset_and_look(void *opaque)
{
	struct crowd *c = opaque;

	for (int i = 0; i < CROWD_ROUNDS; i++) {
		uint32_t state;

		ck_assert_int_eq(v1_get32(&c->v, V1_DEVICE_STATE, &state), 0);
		ck_assert_uint_le(state, 6);
		(void)rig_register(c->v.dev, NIC_RECORDS);
		if (i % 16 == 0)
			ck_assert_int_eq(vmig_device_reset(c->v.dev), 0);
	}
	return NULL;
}

TEST(threads_meet_at_the_registers)
{
	static void *(*const parts[])(void *) = { write_states, iterate, iterate, reset_and_look };
	struct crowd c = { .seed = harness_seed() };
	pthread_t threads[4];

	show(&c.v, "nic,state=256K,dirty-rate=64M/s", VMIG_V1_SECTION_PARTITIONED, 16 << 10);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, parts[i], &c), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(vmig_device_reset(c.v.dev), 0);
	ck_assert_uint_eq(v1_state(&c.v), 1);
	ck_assert_uint_eq(rig_wrong(c.v.dev), 0);
	v1_close(&c.v);
}

/* --- a fault that blocks ------------------------------------------------------------------- */

struct gate {
	struct v1 v;
	sem_t came, go;
	int r;
};

static int wait_at_the_gate(void *opaque, uint64_t offset, bool is_write, uint64_t value)
{
	struct gate *g = opaque;

	if (offset != V1_DATA_OFFSET)
		return 0;
	sem_post(&g->came);
	sem_wait(&g->go);
	return -ETIME;
}

static void *read_offset(void *opaque)
{
	struct gate *g = opaque;
	uint64_t offset;

	g->r = v1_get64(&g->v, V1_DATA_OFFSET, &offset);
	return NULL;
}

TEST(a_fault_that_blocks_keeps_nobody_else)
{
	struct gate g = { 0 };
	pthread_t thread;

	sem_init(&g.came, 0, 0);
	sem_init(&g.go, 0, 0);
	v1_show(&g.v, rig_open("nic,state=64K"),
		&(struct vmig_v1_config){ .fault = wait_at_the_gate, .opaque = &g });
	v1_write_state(&g.v, 2);
	ck_assert_int_eq(pthread_create(&thread, NULL, read_offset, &g), 0);
	sem_wait(&g.came);
	ck_assert_uint_gt(v1_pending(&g.v), 0);
	ck_assert_int_eq(vmig_device_reset(g.v.dev), 0);
	ck_assert_uint_eq(v1_state(&g.v), 1);
	sem_post(&g.go);
	pthread_join(thread, NULL);
	ck_assert_int_eq(g.r, -ETIME);
	v1_close(&g.v);
}

HARNESS("region-nic", T(a_nic_moves_through_a_trapped_section), T(a_nic_moves_through_a_mapped_section),
	T(a_nic_moves_through_a_partitioned_section), T(a_serial_moves_in_pieces_of_8_bytes),
	T(a_destination_with_a_smaller_section_takes_it_in_parts), T(a_device_without_pre_copy_moves),
	T(two_devices_change_places_without_a_reset), T(a_nic_moves_under_its_driver),
	T(a_device_that_fails_an_arc), T(a_bad_stream_is_refused_and_a_reset_helps),
	T(half_a_stream_is_refused), T(threads_meet_at_the_registers),
	T(a_fault_that_blocks_keeps_nobody_else))
