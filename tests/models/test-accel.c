/* SPDX-License-Identifier: BSD-3-Clause */
/* The accel: jobs, match data, no P2P, pre-copy that has the match data only. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "models/accel.h"
#include "models/bytes.h"
#include "rig.h"

#define BUSY "accel,state=1M,dirty-rate=8M/s"

static void read_match(struct vmig_device *dev, uint8_t *match)
{
	ck_assert_int_eq(vmig_device_region_read(dev, NIC_BAR_REGISTERS, ACCEL_MATCH, match, ACCEL_MATCH_LEN),
			 0);
}

/* @spec moves, with or without pre-copy; @other: to a user who has neither its memory nor its jobs. */
static void move(const char *spec, bool precopy, bool other)
{
	struct vmig_device *to = rig_open(spec);
	struct vmig_session *save;
	struct workload *w2 = NULL;
	struct vmig_space *space = NULL;
	struct bytes b = { 0 };
	struct rig rig;
	size_t len;
	void *record;

	rig_init(&rig, spec);
	rig_wait(rig.w, 500);
	save = rig_start(rig.dev, precopy ? VMIG_STATE_PRE_COPY : VMIG_STATE_RUNNING);
	if (precopy)
		ck_assert_int_eq(rig_save(save, &b, 7), -ENOMSG);
	rig_wait(rig.w, 50);
	ck_assert_int_eq(workload_quiesce(rig.w), 0);
	rig_ticks();
	if (precopy)
		rig_set(rig.dev, VMIG_STATE_STOP_COPY);
	else
		save = rig_start(rig.dev, VMIG_STATE_STOP_COPY);
	ck_assert_int_eq(rig_save(save, &b, 1 << 16), 0);
	ck_assert_int_eq(rig_load_all(to, b.data, b.len), 0);
	ck_assert_uint_eq(rig_digest(to), rig_digest(rig.dev));
	ck_assert_int_eq(workload_save(rig.w, &record, &len), 0);
	if (other) {
		ck_assert_int_eq(vmig_space_new(&space), 0);
		ck_assert_int_eq(workload_new(space, &w2), 0);
	}
	ck_assert_int_eq(workload_load(other ? w2 : rig.w, to, record, len), 0);
	rig_set(to, VMIG_STATE_RUNNING);
	ck_assert_int_eq(workload_start(other ? w2 : rig.w), 0);
	rig_wait(other ? w2 : rig.w, 5000);
	ck_assert(rig_report(other ? w2 : rig.w).whole);
	ck_assert_int_eq(workload_verify_device(other ? w2 : rig.w), 0);
	ck_assert_uint_eq(rig_register(to, ACCEL_BAD_JOBS), 0);
	free(record);
	vmig_session_close(save);
	workload_free(w2);
	vmig_space_free(space);
	rig_done(&rig);
	vmig_device_close(to);
	bytes_free(&b);
}

TEST(a_busy_accel_moves_whole)
{
	move(BUSY, false, false);
}

TEST(a_busy_accel_moves_whole_with_precopy)
{
	move(BUSY ",precopy=on", true, false);
}

TEST(another_process_takes_over)
{
	move(BUSY, false, true);
}

TEST(it_has_no_p2p_and_no_precopy_unless_asked)
{
	struct vmig_device *dev = rig_open("accel,state=64K");
	struct vmig_device_info info;

	vmig_device_query_info(dev, &info);
	ck_assert_uint_eq(info.migration_flags, VMIG_MIGRATION_STOP_COPY);
	ck_assert_uint_eq(info.has, VMIG_HAS_TAG | VMIG_HAS_STOP_COPY_SIZE | VMIG_HAS_IOMMU_LOG);
	ck_assert_int_eq(vmig_device_set_state(dev, VMIG_STATE_RUNNING_P2P, VMIG_STATE_NONE, NULL), -EINVAL);
	vmig_device_close(dev);
	dev = rig_open("accel,state=64K,precopy=on");
	vmig_device_query_info(dev, &info);
	ck_assert_uint_eq(info.migration_flags, VMIG_MIGRATION_STOP_COPY | VMIG_MIGRATION_PRE_COPY);
	vmig_device_close(dev);
}

TEST(match_data_comes_first_and_can_be_read_while_it_runs)
{
	struct vmig_device *dev = rig_open("accel,state=64K,queues=5,precopy=on,dirty-rate=8M/s");
	uint8_t match[ACCEL_MATCH_LEN];
	struct vmig_precopy sizes;
	struct vmig_session *save;
	struct bytes b = { 0 };
	uint64_t left;

	read_match(dev, match);
	ck_assert_uint_eq(get_le64(match), ACCEL_MATCH_MAGIC_VALUE);
	ck_assert_uint_eq(get_le32(match + ACCEL_MATCH_VERSION), ACCEL_VERSION);
	ck_assert_uint_eq(get_le32(match + ACCEL_MATCH_DEVICE), 0x0fe11b36);
	ck_assert_uint_eq(get_le32(match + ACCEL_MATCH_QUEUES), 5);
	save = rig_start(dev, VMIG_STATE_PRE_COPY);
	ck_assert_int_eq(vmig_session_query_precopy(save, &sizes), 0);
	ck_assert_uint_eq(sizes.initial_bytes, ACCEL_MATCH_LEN);
	ck_assert_uint_eq(sizes.dirty_bytes, 0);
	ck_assert_int_eq(rig_save(save, &b, 5), -ENOMSG);
	/* That was all, however much changes. */
	ck_assert_uint_eq(b.len, ACCEL_MATCH_LEN);
	ck_assert_mem_eq(b.data, match, ACCEL_MATCH_LEN);
	rig_ticks();
	ck_assert_int_eq(vmig_session_query_precopy(save, &sizes), 0);
	ck_assert_uint_eq(sizes.initial_bytes + sizes.dirty_bytes, 0);
	ck_assert_int_eq(rig_save(save, &b, 5), -ENOMSG);
	ck_assert_int_eq(vmig_device_query_stop_copy_size(dev, &left), 0);
	rig_set(dev, VMIG_STATE_STOP_COPY);
	ck_assert_int_eq(rig_save(save, &b, 65536), 0);
	ck_assert_uint_ge(left, b.len - ACCEL_MATCH_LEN);
	ck_assert_uint_le(left, b.len + 16384);
	vmig_session_close(save);
	bytes_free(&b);
	vmig_device_close(dev);
}

/* Each byte of the match data, alone: refused when it comes, before any that follows it is there. */
TEST(a_mismatch_is_refused_at_the_first_byte_that_differs)
{
	struct vmig_device *dev = rig_open("accel,state=64K");
	uint8_t match[ACCEL_MATCH_LEN];

	read_match(dev, match);
	for (size_t i = 0; i < ACCEL_MATCH_LEN; i++) {
		struct vmig_session *load = rig_start(dev, VMIG_STATE_RESUMING);

		match[i] ^= 0x10;
		ck_assert_int_eq(rig_load(load, match, i, 3), 0);
		ck_assert_msg(rig_load(load, match + i, 1, 1) == -EINVAL, "byte %zu", i);
		ck_assert_int_eq(vmig_device_set_state(dev, VMIG_STATE_STOP, VMIG_STATE_NONE, NULL), -EINVAL);
		vmig_session_close(load);
		ck_assert_int_eq(vmig_device_reset(dev), 0);
		match[i] ^= 0x10;
	}
	vmig_device_close(dev);
}

TEST(the_match_data_of_other_queues_is_refused)
{
	struct vmig_device *dev = rig_open("accel,state=64K"), *to = rig_open("accel,state=64K,queues=3");
	struct vmig_session *load;
	struct bytes b = { 0 };

	rig_set(dev, VMIG_STATE_STOP);
	rig_save_all(dev, &b);
	load = rig_start(to, VMIG_STATE_RESUMING);
	ck_assert_int_eq(rig_load(load, b.data, ACCEL_MATCH_QUEUES, 32), 0);
	ck_assert_int_eq(rig_load(load, b.data + ACCEL_MATCH_QUEUES, 1, 1), -EINVAL);
	vmig_session_close(load);
	bytes_free(&b);
	vmig_device_close(dev);
	vmig_device_close(to);
}

/* The match data alone, or with less than all behind it, is not enough. */
TEST(less_than_all_is_not_enough)
{
	struct vmig_device *dev = rig_open("accel,state=64K");
	struct bytes b = { 0 };

	rig_set(dev, VMIG_STATE_STOP);
	rig_save_all(dev, &b);
	for (size_t len = 0; len < b.len; len += len < 200 ? 1 : 4099) {
		ck_assert_int_lt(rig_load_all(dev, b.data, len), 0);
		ck_assert_int_eq(vmig_device_reset(dev), 0);
	}
	ck_assert_int_eq(rig_load_all(dev, b.data, b.len), 0);
	bytes_free(&b);
	vmig_device_close(dev);
}

static void ring_jobs(struct vmig_device *dev, uint32_t value)
{
	uint8_t bell[4];

	put_le32(bell, value);
	ck_assert_int_eq(vmig_device_region_write(dev, NIC_BAR_DOORBELLS, ACCEL_DOORBELL_JOBS(0), bell, 4),
			 0);
}

/* More jobs than the ring has room for, fewer than before, or of a queue that is not enabled. */
TEST(bad_job_doorbells_are_counted)
{
	struct rig rig;
	uint64_t jobs;

	rig_init(&rig, "accel,state=64K,records=0");
	jobs = rig_register(rig.dev, NIC_QUEUE(0) + NIC_QUEUE_JOBS);
	ck_assert_uint_gt(jobs, 0);
	ring_jobs(rig.dev, (uint32_t)jobs + 1);
	ck_assert_uint_eq(rig_register(rig.dev, NIC_BAD_DOORBELLS), 1);
	ring_jobs(rig.dev, (uint32_t)jobs - 1);
	ck_assert_uint_eq(rig_register(rig.dev, NIC_BAD_DOORBELLS), 2);
	ring_jobs(rig.dev, (uint32_t)jobs);
	ck_assert_uint_eq(rig_register(rig.dev, NIC_BAD_DOORBELLS), 2);
	rig_write_register(rig.dev, NIC_QUEUE(0) + NIC_QUEUE_CONTROL, 0);
	ring_jobs(rig.dev, 1);
	ck_assert_uint_eq(rig_register(rig.dev, NIC_BAD_DOORBELLS), 3);
	ck_assert_uint_eq(rig_register(rig.dev, NIC_QUEUE(0) + NIC_QUEUE_JOBS), 0);
	rig_done(&rig);
}

/* A job that is damaged has a damaged result: the driver cannot take it for a good one. */
TEST(a_bad_job_is_noticed)
{
	uint8_t memory[3 * 4096] __attribute__((aligned(4096)));
	struct vmig_device *dev = rig_open("accel,state=64K,queues=1");
	struct vmig_dma map = {
		.iova = 0x10000, .size = sizeof(memory), .prot = 3, .fd = -1, .vaddr = memory
	};
	const uint16_t master = 6;
	uint8_t record[NIC_RECORD];

	memset(memory, 0, sizeof(memory));
	ck_assert_int_eq(vmig_device_map_dma(dev, &map), 0);
	ck_assert_int_eq(vmig_device_region_write(dev, VMIG_REGION_PCI_CONFIG, 4, &master, 2), 0);
	rig_write_register(dev, NIC_QUEUE(0) + NIC_QUEUE_BASE, 0x11000);
	rig_write_register(dev, NIC_QUEUE(0) + NIC_QUEUE_INDEX, 0x10008);
	rig_write_register(dev, NIC_QUEUE(0) + NIC_QUEUE_SLOTS, 4);
	rig_write_register(dev, NIC_QUEUE(0) + NIC_QUEUE_AREA, 0x12000);
	rig_write_register(dev, NIC_QUEUE(0) + NIC_QUEUE_CONTROL, 1);
	for (uint64_t n = 0; n < 3; n++)
		accel_job_make(memory + 0x2000 + n * ACCEL_JOB, 0, n);
	memory[0x2000 + ACCEL_JOB + 20] ^= 1;
	ring_jobs(dev, 3);
	while (rig_register(dev, NIC_RECORDS) < 3)
		rig_ticks();
	for (uint64_t n = 0; n < 3; n++) {
		nic_record_make(record, 0, n);
		ck_assert_int_eq(!memcmp(memory + 0x1000 + n * NIC_RECORD, record, NIC_RECORD), n != 1);
	}
	ck_assert_uint_eq(rig_register(dev, ACCEL_BAD_JOBS), 1);
	vmig_device_close(dev);
}

/* fault= is at the same places as the nic's; an early one is within the match data. */
TEST(it_fails_where_it_is_told)
{
	struct vmig_device *dev = rig_open("accel,state=64K,fault=read:EIO:once");
	struct bytes b = { 0 }, none = { 0 };
	struct vmig_session *save;

	save = rig_start(dev, VMIG_STATE_STOP_COPY);
	ck_assert_int_eq(rig_save(save, &none, 100), -EIO);
	vmig_session_close(save);
	rig_set(dev, VMIG_STATE_STOP);
	rig_save_all(dev, &b);
	vmig_device_close(dev);
	dev = rig_open("accel,state=64K,fault=write@10:ENOSPC:once");
	ck_assert_int_eq(rig_load_all(dev, b.data, b.len), -ENOSPC);
	ck_assert_int_eq(vmig_device_reset(dev), 0);
	ck_assert_int_eq(rig_load_all(dev, b.data, b.len), 0);
	vmig_device_close(dev);
	dev = rig_open("accel,state=64K,precopy=on,fault=RUNNING>PRE_COPY:EBUSY");
	ck_assert_int_eq(vmig_device_set_state(dev, VMIG_STATE_PRE_COPY, VMIG_STATE_NONE, NULL), -EBUSY);
	ck_assert_uint_eq(rig_state(dev), VMIG_STATE_RUNNING);
	vmig_device_close(dev);
	bytes_free(&b);
	bytes_free(&none);
}

TEST(faults_are_noticed_in_results)
{
	for (uint32_t what = NIC_INJECT_LOST; what <= NIC_INJECT_CORRUPT; what++) {
		struct workload_report r;
		struct rig rig;

		rig_init(&rig, "accel,state=64K");
		rig_wait(rig.w, 100);
		r = rig_inject(&rig, what | 1 << 8);
		ck_assert_uint_eq(r.lost + r.doubled + r.reordered + r.corrupt, 1);
		rig_done(&rig);
	}
}

HARNESS("accel", T(a_busy_accel_moves_whole), T(a_busy_accel_moves_whole_with_precopy),
	T(another_process_takes_over), T(it_has_no_p2p_and_no_precopy_unless_asked),
	T(match_data_comes_first_and_can_be_read_while_it_runs),
	T(a_mismatch_is_refused_at_the_first_byte_that_differs), T(the_match_data_of_other_queues_is_refused),
	T(less_than_all_is_not_enough), T(bad_job_doorbells_are_counted), T(a_bad_job_is_noticed),
	T(it_fails_where_it_is_told), T(faults_are_noticed_in_results))
