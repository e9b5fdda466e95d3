/* SPDX-License-Identifier: BSD-3-Clause */
/* The workload: what it must notice it notices, and it says nothing of what is well. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "models/bytes.h"
#include "models/nic.h"
#include "models/sequence.h"
#include "rig.h"

static struct sequence take(uint64_t first, const uint64_t *numbers, int n)
{
	struct sequence s;

	sequence_init(&s, first);
	for (int i = 0; i < n; i++)
		sequence_take(&s, numbers[i]);
	return s;
}

#define TAKE(first, ...)                                                                                     \
	take(first, (const uint64_t[]){ __VA_ARGS__ },                                                       \
	     sizeof((const uint64_t[]){ __VA_ARGS__ }) / sizeof(uint64_t))

static void is(struct sequence s, uint64_t lost, uint64_t doubled, uint64_t reordered)
{
	ck_assert_uint_eq(s.lost, lost);
	ck_assert_uint_eq(s.doubled, doubled);
	ck_assert_uint_eq(s.reordered, reordered);
}

TEST(a_sequence_knows_what_came)
{
	is(TAKE(5, 5, 6, 7), 0, 0, 0);
	is(TAKE(5, 6, 7), 1, 0, 0);
	is(TAKE(5, 5, 5, 6), 0, 1, 0);
	is(TAKE(5, 4, 5), 0, 1, 0);
	is(TAKE(5, 6, 5, 7), 0, 0, 1);
	is(TAKE(5, 6, 5, 5, 7), 0, 1, 1);
	is(TAKE(5, 9, 6, 7), 2, 0, 2);
	is(TAKE(0, 5000, 1), 4999 + 1, 1, 0); /* later than the window: lost, then doubled */
	is(TAKE(0, 1023, 0), 1022, 0, 1);     /* just within it */
	is(TAKE(0, 1024, 0), 1024, 1, 0);
	is(TAKE(0, 1024, 1, 0), 1023, 1, 1);
}

/* The device does wrong once; the workload sees this and nothing else. */
static struct workload_report inject(uint32_t what)
{
	struct workload_report report;
	struct rig rig;

	rig_init(&rig, "nic,state=64K");
	rig_wait(rig.w, 100);
	ck_assert(rig_report(rig.w).whole);
	report = rig_inject(&rig, what | 1 << 8);
	ck_assert_uint_eq(report.lost + report.doubled + report.reordered + report.corrupt, 1);
	rig_done(&rig);
	return report;
}

TEST(a_lost_record_is_noticed)
{
	ck_assert_uint_eq(inject(NIC_INJECT_LOST).lost, 1);
}

TEST(a_doubled_record_is_noticed)
{
	ck_assert_uint_eq(inject(NIC_INJECT_DOUBLED).doubled, 1);
}

TEST(two_records_in_the_wrong_order_are_noticed)
{
	ck_assert_uint_eq(inject(NIC_INJECT_REORDERED).reordered, 1);
}

TEST(a_damaged_record_is_noticed)
{
	ck_assert_uint_eq(inject(NIC_INJECT_CORRUPT).corrupt, 1);
}

static void verdict_is(struct workload_report report, const char *words)
{
	char text[256];

	workload_verdict(&report, text, sizeof(text));
	ck_assert_msg(strstr(text, words), "%s", text);
}

TEST(the_verdict_is_in_words)
{
	struct workload_report report = { .phase_records = { 4, 5, 6 }, .whole = true };
	char small[8];

	verdict_is(report, "4 records before, 5 during, 6 after: none lost, doubled, reordered or corrupt");
	workload_verdict(&report, small, sizeof(small));
	ck_assert_uint_lt(strlen(small), sizeof(small));
	report.whole = false;
	report.lost = 3;
	verdict_is(report, "3 LOST, 0 DOUBLED, 0 REORDERED, 0 CORRUPT");
	report.error = ECONNRESET;
	verdict_is(report, "the device failed: Connection reset by peer");
}

TEST(records_belong_to_their_phase)
{
	struct workload_report before, after;
	struct rig rig;

	rig_init(&rig, "nic,state=64K");
	rig_wait(rig.w, 100);
	workload_mark(rig.w, WORKLOAD_DURING);
	before = rig_report(rig.w);
	rig_wait(rig.w, 100);
	after = rig_report(rig.w);
	ck_assert_uint_ge(before.phase_records[WORKLOAD_BEFORE], 100);
	ck_assert_uint_eq(after.phase_records[WORKLOAD_BEFORE], before.phase_records[WORKLOAD_BEFORE]);
	ck_assert_uint_ge(after.phase_records[WORKLOAD_DURING], 100);
	ck_assert_uint_eq(after.phase_records[WORKLOAD_AFTER], 0);
	ck_assert_uint_eq(after.records, after.phase_records[0] + after.phase_records[1]);
	rig_done(&rig);
}

/* Stop the rig's device and take both records of it. */
static void freeze(struct rig *rig, struct bytes *stream, void **record, size_t *len)
{
	ck_assert_int_eq(workload_quiesce(rig->w), 0);
	rig_set(rig->dev, VMIG_STATE_STOP);
	rig_save_all(rig->dev, stream);
	ck_assert_int_eq(workload_save(rig->w, record, len), 0);
}

/* The stream of before, the record of now: the device does again what the user has seen already. */
TEST(a_device_that_goes_back_is_noticed)
{
	struct bytes old = { 0 }, stream = { 0 };
	void *old_record, *record;
	struct workload_report report;
	struct rig rig;
	size_t len;

	rig_init(&rig, "nic,state=64K");
	rig_wait(rig.w, 100);
	freeze(&rig, &old, &old_record, &len);
	rig_set(rig.dev, VMIG_STATE_RUNNING);
	ck_assert_int_eq(workload_resume(rig.w), 0);
	rig_wait(rig.w, 100);
	freeze(&rig, &stream, &record, &len);
	ck_assert_int_eq(rig_load_all(rig.dev, old.data, old.len), 0);
	rig_set(rig.dev, VMIG_STATE_RUNNING);
	ck_assert_int_eq(workload_start(rig.w), 0);
	report = rig_report(rig.w);
	ck_assert_uint_ge(report.doubled, 50);
	ck_assert(!report.whole);
	free(old_record);
	free(record);
	bytes_free(&old);
	bytes_free(&stream);
	rig_done(&rig);
}

/* And the reverse: the user's record is older than the device. */
TEST(a_record_that_is_too_old_is_noticed)
{
	struct bytes old = { 0 }, stream = { 0 };
	struct vmig_device *to = rig_open("nic,state=64K");
	struct vmig_space *space;
	struct workload *other;
	void *old_record, *record;
	size_t len, old_len;
	struct rig rig;

	rig_init(&rig, "nic,state=64K");
	rig_wait(rig.w, 100);
	freeze(&rig, &old, &old_record, &old_len);
	rig_set(rig.dev, VMIG_STATE_RUNNING);
	ck_assert_int_eq(workload_resume(rig.w), 0);
	rig_wait(rig.w, 100);
	freeze(&rig, &stream, &record, &len);
	ck_assert_int_eq(vmig_space_new(&space), 0);
	ck_assert_int_eq(workload_new(space, &other), 0);
	ck_assert_int_eq(rig_load_all(to, stream.data, stream.len), 0);
	ck_assert_int_eq(workload_load(other, to, old_record, old_len), 0);
	rig_set(to, VMIG_STATE_RUNNING);
	ck_assert_int_eq(workload_start(other), 0);
	ck_assert_uint_ge(rig_report(other).lost, 50);
	workload_free(other);
	vmig_space_free(space);
	vmig_device_close(to);
	free(old_record);
	free(record);
	bytes_free(&old);
	bytes_free(&stream);
	rig_done(&rig);
}

/* Loaded on the new device, then the migration fails: the old one goes on, and the new one is free again. */
TEST(a_load_can_be_undone)
{
	struct vmig_device *to = rig_open("nic,state=64K");
	struct bytes stream = { 0 };
	struct rig rig;
	void *record;
	size_t len;

	rig_init(&rig, "nic,state=64K");
	rig_wait(rig.w, 100);
	for (int i = 0; i < 2; i++) {
		freeze(&rig, &stream, &record, &len);
		ck_assert_int_eq(rig_load_all(to, stream.data, stream.len), 0);
		ck_assert_int_eq(workload_load(rig.w, to, record, len), 0);
		free(record);
		bytes_free(&stream);
		rig_set(rig.dev, VMIG_STATE_RUNNING);
		ck_assert_int_eq(workload_resume(rig.w), 0);
		rig_wait(rig.w, 100);
		ck_assert_int_eq(vmig_device_reset(to), 0);
	}
	ck_assert(rig_report(rig.w).whole);
	ck_assert_int_eq(workload_verify_device(rig.w), 0);
	rig_done(&rig);
	vmig_device_close(to);
}

/* A record of our own that is older than the memory: the memory is not turned back. */
TEST(our_own_memory_is_left_as_it_is)
{
	struct vmig_device *to = rig_open("nic,state=64K");
	struct rig rig;
	void *record;
	size_t len;

	rig_init(&rig, "nic,state=64K");
	rig_wait(rig.w, 100);
	ck_assert_int_eq(workload_quiesce(rig.w), 0);
	ck_assert_int_eq(workload_save(rig.w, &record, &len), 0);
	rig_ticks(); /* the device writes on */
	rig_set(rig.dev, VMIG_STATE_STOP);
	ck_assert_int_eq(workload_load(rig.w, to, record, len), 0);
	ck_assert_int_eq(workload_load(rig.w, to, record, len), 0);
	rig_set(rig.dev, VMIG_STATE_RUNNING);
	ck_assert_int_eq(workload_resume(rig.w), 0);
	rig_wait(rig.w, 500);
	ck_assert(rig_report(rig.w).whole);
	free(record);
	rig_done(&rig);
	vmig_device_close(to);
}

TEST(bad_records_are_refused)
{
	struct vmig_device *to = rig_open("nic,state=64K"), *serial = rig_open("serial");
	struct vmig_device *wide = rig_open("nic,state=64K,queues=3");
	struct bytes stream = { 0 };
	struct vmig_space *space;
	struct workload *other;
	struct rig rig;
	uint8_t *record;
	void *p;
	size_t len;

	rig_init(&rig, "nic,state=64K");
	rig_wait(rig.w, 100);
	freeze(&rig, &stream, &p, &len);
	record = p;
	ck_assert_int_eq(vmig_space_new(&space), 0);
	ck_assert_int_eq(workload_new(space, &other), 0);
	ck_assert_int_eq(workload_load(other, to, record, 0), -EBADMSG);
	ck_assert_int_eq(workload_load(other, to, record, len - 1), -EBADMSG);
	for (size_t i = 0; i < len; i += i < 400 ? 1 : 12345) {
		record[i] ^= 0x20;
		ck_assert_msg(workload_load(other, to, record, len) == -EBADMSG, "byte %zu", i);
		record[i] ^= 0x20;
	}
	ck_assert_int_eq(workload_load(other, serial, record, len), -EOPNOTSUPP);
	ck_assert_int_eq(workload_load(other, wide, record, len), -EOPNOTSUPP);
	ck_assert_int_eq(workload_load(rig.w, rig.dev, record, len), -EBUSY);
	/* None of it has done any harm. */
	ck_assert_int_eq(rig_load_all(to, stream.data, stream.len), 0);
	ck_assert_int_eq(workload_load(other, to, record, len), 0);
	rig_set(to, VMIG_STATE_RUNNING);
	ck_assert_int_eq(workload_start(other), 0);
	rig_wait(other, 100);
	ck_assert(rig_report(other).whole);
	workload_free(other);
	vmig_space_free(space);
	vmig_device_close(to);
	vmig_device_close(wide);
	vmig_device_close(serial);
	free(p);
	bytes_free(&stream);
	rig_done(&rig);
}

TEST(only_a_nic_is_driven)
{
	struct vmig_device *serial = rig_open("serial");
	struct vmig_space *space;
	struct workload *w;

	ck_assert_int_eq(vmig_space_new(&space), 0);
	ck_assert_int_eq(workload_new(space, &w), 0);
	ck_assert(!workload_drives(serial));
	ck_assert_int_eq(workload_bind(w, serial), -EOPNOTSUPP);
	ck_assert_int_eq(workload_start(w), -EINVAL);
	ck_assert_int_eq(workload_quiesce(w), -EINVAL);
	ck_assert_int_eq(workload_resume(w), -EINVAL);
	ck_assert_int_eq(workload_verify_device(w), -EINVAL);
	workload_free(w);
	workload_free(NULL);
	vmig_space_free(space);
	vmig_device_close(serial);
}

TEST(many_share_a_space)
{
	enum { N = 3 };
	struct vmig_device *devs[N];
	struct workload *w[N];
	struct vmig_space *space;

	ck_assert_int_eq(vmig_space_new(&space), 0);
	for (int i = 0; i < N; i++) {
		devs[i] = rig_open("nic,state=64K,queues=64,records=100");
		ck_assert_int_eq(workload_new(space, &w[i]), 0);
		ck_assert_int_eq(workload_bind(w[i], devs[i]), 0);
		ck_assert_int_eq(workload_start(w[i]), 0);
	}
	for (int i = 0; i < N; i++) {
		rig_wait(w[i], 640);
		ck_assert(rig_report(w[i]).whole);
		ck_assert_int_eq(workload_verify_device(w[i]), 0);
		workload_free(w[i]);
	}
	vmig_space_free(space);
	for (int i = 0; i < N; i++)
		vmig_device_close(devs[i]);
}

/* A device that an earlier driver has left running is taken over from nothing. */
TEST(a_device_is_bound_again)
{
	struct workload *w;
	struct rig rig;

	rig_init(&rig, "nic,state=64K");
	rig_wait(rig.w, 100);
	workload_free(rig.w);
	ck_assert_int_eq(workload_new(rig.space, &w), 0);
	ck_assert_int_eq(workload_bind(w, rig.dev), 0);
	ck_assert_int_eq(workload_bind(w, rig.dev), -EBUSY);
	ck_assert_int_eq(workload_start(w), 0);
	rig_wait(w, 100);
	ck_assert(rig_report(w).whole);
	rig.w = w;
	rig_done(&rig);
}

HARNESS("workload", T(a_sequence_knows_what_came), T(a_lost_record_is_noticed),
	T(a_doubled_record_is_noticed), T(two_records_in_the_wrong_order_are_noticed),
	T(a_damaged_record_is_noticed), T(the_verdict_is_in_words), T(records_belong_to_their_phase),
	T(a_device_that_goes_back_is_noticed), T(a_record_that_is_too_old_is_noticed),
	T(a_load_can_be_undone), T(our_own_memory_is_left_as_it_is), T(bad_records_are_refused),
	T(only_a_nic_is_driven), T(many_share_a_space), T(a_device_is_bound_again))
