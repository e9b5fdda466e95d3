/* SPDX-License-Identifier: BSD-3-Clause */
/* A nic shown through a migration region and moved by a v1 user that follows the text to the letter. */
#include "rig.h"

#include <string.h>
#include <sys/mman.h>

#include <vmig/region.h>

#include "v1.h"

static void show(const char *spec, enum vmig_v1_section section, uint64_t size, struct v1 *ret)
{
	v1_show(ret, rig_open(spec), &(struct vmig_v1_config){ .section = section, .section_size = size });
}

/** The seed of nothing: a nic with changing memory goes from @a to @b. */
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

	show("nic,state=4M,dirty-rate=64M/s,records=0", section, size, &a);
	show("nic,state=4M,dirty-rate=0,records=0", section, size, &b);
	rig_ticks();
	move(&a, &b);
	ck_assert_uint_eq(rig_digest(a.dev), rig_digest(b.dev));
	ck_assert_uint_eq(rig_wrong(b.dev), 0);
	v1_close(&a);
	v1_close(&b);
}

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

HARNESS("region-nic", T(a_nic_moves_through_a_trapped_section), T(a_nic_moves_through_a_mapped_section),
	T(a_nic_moves_through_a_partitioned_section))
