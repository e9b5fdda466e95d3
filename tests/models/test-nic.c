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
		rig_made(from, 1);
		ck_assert_int_eq(vmig_session_query_precopy(save, &sizes), 0);
		ck_assert_uint_eq(sizes.initial_bytes, 0);
		ck_assert_uint_gt(sizes.dirty_bytes, 0);
	}
	ck_assert_int_eq(workload_quiesce(w), 0);
	rig_ticks(); /* so that there are records in the rings that nobody has taken */
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

static void same_config(struct vmig_device *a, struct vmig_device *b)
{
	uint8_t config[2][256];

	ck_assert_int_eq(vmig_device_region_read(a, VMIG_REGION_PCI_CONFIG, 0, config[0], 256), 0);
	ck_assert_int_eq(vmig_device_region_read(b, VMIG_REGION_PCI_CONFIG, 0, config[1], 256), 0);
	ck_assert_mem_eq(config[0], config[1], 256);
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
	same_config(rig.dev, to);
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

/* --- saving -------------------------------------------------------------------------------------- */

TEST(a_stopped_nic_saves_the_same_twice)
{
	struct vmig_device *to = rig_open(BUSY);
	struct bytes a = { 0 }, b = { 0 }, c = { 0 };
	struct rig rig;

	rig_init(&rig, BUSY);
	rig_wait(rig.w, 100);
	ck_assert_int_eq(workload_quiesce(rig.w), 0);
	rig_set(rig.dev, VMIG_STATE_STOP);
	rig_save_all(rig.dev, &a);
	rig_save_all(rig.dev, &b);
	ck_assert_uint_eq(a.len, b.len);
	ck_assert_mem_eq(a.data, b.data, a.len);
	/* And so does the one that has loaded it. */
	ck_assert_int_eq(rig_load_all(to, a.data, a.len), 0);
	rig_save_all(to, &c);
	ck_assert_uint_eq(a.len, c.len);
	ck_assert_mem_eq(a.data, c.data, a.len);
	bytes_free(&a);
	bytes_free(&b);
	bytes_free(&c);
	rig_done(&rig);
	vmig_device_close(to);
}

TEST(what_arrived_is_digested_when_asked_for)
{
	struct vmig_device *to = rig_open("nic,state=256K,digest=on");
	struct bytes data = { 0 };
	uint64_t digest;
	struct rig rig;

	rig_init(&rig, "nic,state=256K,dirty-rate=64M/s");
	rig_wait(rig.w, 100);
	ck_assert_int_eq(workload_quiesce(rig.w), 0);
	rig_set(rig.dev, VMIG_STATE_STOP);
	digest = rig_digest(rig.dev);
	rig_save_all(rig.dev, &data);
	ck_assert_uint_eq(rig_register(to, NIC_ARRIVED), 0);
	ck_assert_int_eq(rig_load_all(to, data.data, data.len), 0);
	ck_assert_uint_eq(rig_register(to, NIC_ARRIVED), digest);
	bytes_free(&data);
	rig_done(&rig);
	vmig_device_close(to);
}

TEST(the_stop_copy_size_is_right)
{
	struct vmig_device *dev = rig_open("nic,state=32M");
	uint64_t before, after;
	struct bytes b = { 0 };

	ck_assert_int_eq(vmig_device_query_stop_copy_size(dev, &before), 0);
	rig_set(dev, VMIG_STATE_STOP);
	rig_save_all(dev, &b);
	ck_assert_uint_ge(before, b.len);
	ck_assert_uint_le(before, b.len + 16384); /* the registers at their most */
	ck_assert_int_eq(vmig_device_query_stop_copy_size(dev, &after), 0);
	ck_assert_uint_eq(after, before);
	bytes_free(&b);
	vmig_device_close(dev);
}

TEST(the_size_query_takes_the_next_round)
{
	struct vmig_precopy sizes;
	struct vmig_session *save;
	struct bytes b = { 0 };
	struct rig rig;
	size_t before;

	rig_init(&rig, "nic,state=1M");
	save = rig_start(rig.dev, VMIG_STATE_PRE_COPY);
	ck_assert_int_eq(vmig_session_query_precopy(save, &sizes), 0);
	ck_assert_uint_eq(sizes.initial_bytes, 1u << 20);
	ck_assert_uint_eq(sizes.flags, 0);
	ck_assert_int_eq(rig_save(save, &b, 65536), -ENOMSG);
	rig_made(rig.dev, 200); /* in two queues: in each it meets a page once */
	/* Not asked: no round. */
	before = b.len;
	ck_assert_int_eq(rig_save(save, &b, 65536), -ENOMSG);
	ck_assert_uint_eq(b.len, before);
	ck_assert_int_eq(vmig_session_query_precopy(save, &sizes), 0);
	ck_assert_uint_eq(sizes.initial_bytes, 0);
	ck_assert_uint_ge(sizes.dirty_bytes, 4096 * 20);
	ck_assert_int_eq(rig_save(save, &b, 65536), -ENOMSG);
	ck_assert_uint_ge(b.len - before, sizes.dirty_bytes);
	/* Only what was dirty then is in the round. */
	ck_assert_uint_le(b.len - before, sizes.dirty_bytes + sizes.dirty_bytes / 4096 * 64);
	vmig_session_close(save);
	bytes_free(&b);
	rig_done(&rig);
}

#define TWO_THIRDS (64 + 2 * (64 + (4 << 20)))

/* Asked in the middle of the initial data, it tells and takes nothing. */
TEST(no_round_before_the_initial_data_is_read)
{
	struct vmig_precopy sizes;
	struct vmig_session *save;
	struct iovec iov[VMIG_SESSION_IOV_MAX];
	struct bytes b = { 0 };
	struct rig rig;
	int n;

	rig_init(&rig, "nic,state=12M");
	save = rig_start(rig.dev, VMIG_STATE_PRE_COPY);
	/* Two frames, to their last byte; the third is not begun. */
	ck_assert_int_eq(vmig_session_lend(save, TWO_THIRDS, iov, &n), TWO_THIRDS);
	vmig_session_return(save, TWO_THIRDS);
	rig_made(rig.dev, 200);
	ck_assert_int_eq(vmig_session_query_precopy(save, &sizes), 0);
	ck_assert_uint_eq(sizes.initial_bytes, 4 << 20);
	ck_assert_uint_gt(sizes.dirty_bytes, 0);
	ck_assert_int_eq(rig_save(save, &b, 65536), -ENOMSG);
	ck_assert_uint_eq(b.len, (4 << 20) + 64);
	vmig_session_close(save);
	bytes_free(&b);
	rig_done(&rig);
}

/* A queue that is set up during pre-copy: the contexts are initial data once more. */
TEST(a_new_queue_reinits)
{
	struct vmig_device *dev = rig_open("nic,state=1M"), *to = rig_open("nic,state=1M");
	struct vmig_session *save = rig_start(dev, VMIG_STATE_PRE_COPY);
	struct vmig_precopy sizes;
	struct bytes b = { 0 };

	ck_assert_int_eq(rig_save(save, &b, 1 << 20), -ENOMSG);
	rig_write_register(dev, NIC_QUEUE(1) + NIC_QUEUE_BASE, 0x10000);
	rig_write_register(dev, NIC_QUEUE(1) + NIC_QUEUE_INDEX, 0x8000);
	rig_write_register(dev, NIC_QUEUE(1) + NIC_QUEUE_SLOTS, 16);
	rig_write_register(dev, NIC_QUEUE(1) + NIC_QUEUE_CONTROL, 1);
	ck_assert_uint_eq(rig_register(dev, NIC_QUEUE(1) + NIC_QUEUE_CONTROL), NIC_QUEUE_STATUS_ENABLED);
	ck_assert_int_eq(vmig_session_query_precopy(save, &sizes), 0);
	ck_assert_uint_eq(sizes.flags, VMIG_PRECOPY_REINIT);
	ck_assert_uint_eq(sizes.initial_bytes, 65536);
	ck_assert_int_eq(rig_save(save, &b, 1 << 20), -ENOMSG);
	ck_assert_int_eq(vmig_session_query_precopy(save, &sizes), 0);
	ck_assert_uint_eq(sizes.flags, 0);
	ck_assert_uint_eq(sizes.initial_bytes, 0);
	rig_set(dev, VMIG_STATE_STOP_COPY);
	ck_assert_int_eq(rig_save(save, &b, 1 << 20), 0);
	ck_assert_int_eq(rig_load_all(to, b.data, b.len), 0);
	ck_assert_uint_eq(rig_register(to, NIC_QUEUE(1) + NIC_QUEUE_SLOTS), 16);
	ck_assert_uint_eq(rig_digest(to), rig_digest(dev));
	vmig_session_close(save);
	bytes_free(&b);
	vmig_device_close(dev);
	vmig_device_close(to);
}

/* What is lent stays as it is, however busy the device is; the changes are not lost. */
TEST(a_loan_does_not_change)
{
	struct vmig_session *save;
	struct iovec iov[VMIG_SESSION_IOV_MAX];
	struct bytes b = { 0 };
	uint64_t changes;
	struct rig rig;
	int n;

	/* So slow that what waits for the loan does not fill its list before we are done, however busy the machine is. */
	rig_init(&rig, "nic,state=256K,dirty-rate=4M/s,records=200");
	save = rig_start(rig.dev, VMIG_STATE_PRE_COPY);
	/* Nearly all of the memory. */
	ck_assert_int_gt(vmig_session_lend(save, 260000, iov, &n), 250000);
	for (int i = 0; i < n; i++)
		bytes_add(&b, iov[i].iov_base, iov[i].iov_len);
	changes = rig_register(rig.dev, NIC_CHANGES);
	while (rig_register(rig.dev, NIC_CHANGES) < changes + 1000)
		rig_ticks();
	rig_wait(rig.w, 100);
	for (size_t i = 0, at = 0; i < (size_t)n; at += iov[i++].iov_len)
		ck_assert_mem_eq(iov[i].iov_base, b.data + at, iov[i].iov_len);
	vmig_session_return(save, 100000);
	ck_assert_int_eq(workload_verify_device(rig.w), 0);
	vmig_session_close(save);
	bytes_free(&b);
	rig_done(&rig);
}

/* A loan that is out for ever: the device waits with its changes, goes on with nothing else lost. */
TEST(a_long_loan_stops_changes_only_when_too_many_wait)
{
	struct vmig_session *save;
	struct iovec iov[VMIG_SESSION_IOV_MAX];
	struct rig rig;
	uint64_t was, now;
	int n;

	rig_init(&rig, "nic,state=64K,dirty-rate=256M/s");
	save = rig_start(rig.dev, VMIG_STATE_PRE_COPY);
	ck_assert_int_gt(vmig_session_lend(save, 65536, iov, &n), 60000);
	for (was = 0, now = 1; was != now; now = rig_register(rig.dev, NIC_CHANGES)) {
		was = now;
		rig_ticks();
		rig_ticks();
	}
	/* It still stops when told. */
	ck_assert_int_eq(workload_quiesce(rig.w), 0);
	rig_set(rig.dev, VMIG_STATE_RUNNING);
	vmig_session_close(save);
	ck_assert_int_eq(workload_resume(rig.w), 0);
	rig_wait(rig.w, 100);
	ck_assert_int_eq(workload_verify_device(rig.w), 0);
	rig_done(&rig);
}

HARNESS("nic", T(a_busy_nic_moves_whole), T(a_busy_nic_moves_whole_in_small_pieces),
	T(another_process_takes_over), T(going_back_is_as_if_nothing_had_been),
	T(a_stopped_nic_saves_the_same_twice), T(what_arrived_is_digested_when_asked_for),
	T(the_stop_copy_size_is_right), T(the_size_query_takes_the_next_round),
	T(no_round_before_the_initial_data_is_read), T(a_new_queue_reinits), T(a_loan_does_not_change),
	T(a_long_loan_stops_changes_only_when_too_many_wait))
