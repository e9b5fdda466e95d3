/* SPDX-License-Identifier: BSD-3-Clause */
/* The nic, moved by hand: what arrives is what left, whatever happens meanwhile. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "models/bytes.h"
#include "models/nic.h"
#include "rig.h"

#define BUSY "nic,state=1M,dirty-rate=8M/s"

/* Pre-copy in some rounds, then the rest, into @to, both ends alive at once. */
static void move(struct vmig_device *from, struct vmig_device *to, struct workload *w, size_t most,
		 int rounds)
{
	struct vmig_session *save = rig_start(from, VMIG_STATE_PRE_COPY),
			    *load = rig_start(to, VMIG_STATE_RESUMING);
	struct vmig_precopy sizes;
	struct bytes b = { 0 };

	for (int i = 0; i < rounds; i++) {
		ck_assert_int_eq(rig_save(save, &b, most), -ENOMSG);
		rig_wait(w, 50);
		ck_assert_int_eq(vmig_session_query_precopy(save, &sizes), 0);
		ck_assert_uint_eq(sizes.initial_bytes, 0);
		ck_assert_uint_gt(sizes.dirty_bytes, 0);
	}
	ck_assert_int_eq(workload_quiesce(w), 0);
	rig_set(from, VMIG_STATE_STOP_COPY);
	ck_assert_int_eq(rig_save(save, &b, most), 0);
	ck_assert_int_eq(rig_load(load, b.data, b.len, most), 0);
	rig_set(to, VMIG_STATE_STOP);
	vmig_session_close(save);
	vmig_session_close(load);
	bytes_free(&b);
}

static void move_busy(size_t most)
{
	struct vmig_device *to = rig_open(BUSY);
	struct workload_report report;
	struct rig rig;
	size_t len;
	void *record;

	rig_init(&rig, BUSY);
	rig_wait(rig.w, 100);
	move(rig.dev, to, rig.w, most, 3);
	ck_assert_uint_eq(rig_digest(rig.dev), rig_digest(to));
	ck_assert_uint_eq(rig_wrong(to), 0);
	ck_assert_int_eq(workload_save(rig.w, &record, &len), 0);
	ck_assert_int_eq(workload_load(rig.w, to, record, len), 0);
	free(record);
	rig_set(to, VMIG_STATE_RUNNING);
	ck_assert_int_eq(workload_start(rig.w), 0);
	workload_mark(rig.w, WORKLOAD_AFTER);
	rig_wait(rig.w, 500);
	report = rig_report(rig.w);
	ck_assert(report.whole);
	ck_assert_uint_ge(report.phase_records[WORKLOAD_AFTER], 500);
	ck_assert_int_eq(workload_verify_device(rig.w), 0);
	rig_done(&rig);
	vmig_device_close(to);
}

TEST(a_busy_nic_moves_whole)
{
	move_busy(1 << 20);
}

TEST(a_busy_nic_moves_whole_in_small_pieces)
{
	move_busy(100);
}

TEST(another_process_takes_over)
{
	struct vmig_device *to = rig_open(BUSY);
	struct workload *other;
	struct vmig_space *space;
	struct rig rig;
	size_t len;
	void *record;

	ck_assert_int_eq(vmig_space_new(&space), 0);
	ck_assert_int_eq(workload_new(space, &other), 0);
	rig_init(&rig, BUSY);
	rig_wait(rig.w, 100);
	move(rig.dev, to, rig.w, 1 << 20, 1);
	ck_assert_int_eq(workload_save(rig.w, &record, &len), 0);
	ck_assert_int_eq(workload_load(other, to, record, len), 0);
	rig_set(to, VMIG_STATE_RUNNING);
	ck_assert_int_eq(workload_start(other), 0);
	rig_wait(other, 500);
	ck_assert(rig_report(other).whole);
	ck_assert_uint_ge(rig_report(other).records, rig_report(rig.w).records + 500);
	ck_assert_uint_gt(rig_report(other).longest_gap_ns, 0);
	ck_assert_int_eq(workload_verify_device(other), 0);
	free(record);
	workload_free(other);
	vmig_space_free(space);
	vmig_device_close(to);
	rig_done(&rig);
}

TEST(going_back_is_as_if_nothing_had_been)
{
	struct vmig_session *save;
	struct rig rig;

	rig_init(&rig, BUSY);
	rig_wait(rig.w, 100);
	save = rig_start(rig.dev, VMIG_STATE_PRE_COPY);
	ck_assert_int_eq(workload_quiesce(rig.w), 0);
	rig_set(rig.dev, VMIG_STATE_STOP_COPY);
	rig_set(rig.dev, VMIG_STATE_RUNNING);
	vmig_session_close(save);
	ck_assert_int_eq(workload_resume(rig.w), 0);
	rig_wait(rig.w, 500);
	ck_assert(rig_report(rig.w).whole);
	ck_assert_int_eq(workload_verify_device(rig.w), 0);
	rig_done(&rig);
}

HARNESS("nic", T(a_busy_nic_moves_whole), T(a_busy_nic_moves_whole_in_small_pieces),
	T(another_process_takes_over), T(going_back_is_as_if_nothing_had_been))
