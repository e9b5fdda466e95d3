/* SPDX-License-Identifier: BSD-3-Clause */
/* device_state of the migration region: what may be written, what the device does, what a failure leaves. */
#include "harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "tiny.h"
#include "v1.h"

#define ERROR_BITS 6u

/* Row: the state now. "-" where nothing happens, "y" where there is a way, "." where there is none. */
static const char *const ways[5] = { "-yy.y", "y-yyy", "yy-..", "yyy-.", "yy..-" };

static const uint64_t feature_sets[] = {
	VMIG_MIGRATION_STOP_COPY,
	VMIG_MIGRATION_STOP_COPY | VMIG_MIGRATION_P2P,
	VMIG_MIGRATION_STOP_COPY | VMIG_MIGRATION_PRE_COPY,
	TINY_ALL_FLAGS,
};

static uint32_t inner_for(uint64_t features, uint32_t bits)
{
	static const uint32_t inner[] = { VMIG_STATE_STOP, VMIG_STATE_RUNNING, VMIG_STATE_STOP_COPY,
					  VMIG_STATE_PRE_COPY, VMIG_STATE_RESUMING };

	/* "Vendor drivers must support the pre-copy state even for implementations where no data is provided to
	 * the user before the stop-and-copy state." */
	return bits == 3 && !(features & VMIG_MIGRATION_PRE_COPY) ? VMIG_STATE_RUNNING : inner[bits];
}

static void open_v1(struct tiny *tiny, struct v1 *v, uint64_t features)
{
	tiny_open(tiny, features, TINY_LENDS);
	v1_show(v, tiny->dev, NULL);
}

/** By a reset and the shortest way. */
static void reach(struct tiny *tiny, struct v1 *v, uint32_t bits)
{
	int fail_at = tiny->fail_at;

	tiny->fail_at = -1;
	ck_assert_int_eq(vmig_device_reset(v->dev), 0);
	ck_assert_uint_eq(v1_state(v), 1);
	v1_write_state(v, bits);
	tiny_forget(tiny);
	tiny->fail_at = fail_at;
}

static void reach_error(struct tiny *tiny, struct v1 *v, uint32_t reserved)
{
	reach(tiny, v, 1);
	v1_write_state(v, 1 | reserved);
	tiny->fail_at = 0;
	tiny->fail_to_error = true;
	ck_assert_int_eq(v1_put32(v, V1_DEVICE_STATE, 0), -EXDEV);
	tiny->fail_at = -1;
	tiny->fail_to_error = false;
	tiny_forget(tiny);
}

/* --- which writes are good ----------------------------------------------------------------- */

/* V1-30, V1-22: "0. Default state of VFIO device is _RUNNING when the user application starts." */
TEST(the_default_is_running)
{
	struct tiny tiny;
	struct v1 v;

	open_v1(&tiny, &v, TINY_ALL_FLAGS);
	ck_assert_uint_eq(v1_state(&v), 1);
	ck_assert_int_eq(tiny.n_arcs, 0);
	v1_close(&v);
}

static void check_way(struct tiny *tiny, struct v1 *v, uint64_t features, uint32_t from, uint32_t to)
{
	char way = ways[from][to];
	int r;

	reach(tiny, v, from);
	r = v1_put32(v, V1_DEVICE_STATE, to);
	ck_assert_int_eq(r, way == '.' ? -EINVAL : 0);
	ck_assert_uint_eq(v1_state(v), way == '.' ? from : to);
	ck_assert_uint_eq(tiny_state(tiny), inner_for(features, way == '.' ? from : to));
	if (way != 'y')
		ck_assert_int_eq(tiny->n_arcs, 0);
}

/* V1-10, V1-26: "After successful transition to a given state, the vendor driver should return success on
 * write(device_state, state) system call." And what real users write beside the diagram: see docs/v1.md. */
TEST(each_transition_does_what_the_table_says)
{
	for (unsigned int set = 0; set < ARRAY_SIZE(feature_sets); set++) {
		struct tiny tiny;
		struct v1 v;

		open_v1(&tiny, &v, feature_sets[set]);
		for (uint32_t from = 0; from < 5; from++)
			for (uint32_t to = 0; to < 5; to++)
				check_way(&tiny, &v, feature_sets[set], from, to);
		v1_close(&v);
	}
}

/** What a write of @value must return in @from (6: the error state). */
static int expected(uint32_t from, uint32_t value)
{
	uint32_t bits = value & 7;

	if (from == ERROR_BITS)
		return -EIO;
	return bits > 4 || ways[from][bits] == '.' ? -EINVAL : 0;
}

/* V1-23, V1-24, V1-25, V1-12: "101b => Invalid state", "111b => Invalid state", "110b => Error state" (nobody's
 * to ask for). */
TEST(all_values_in_all_states)
{
	static const uint32_t states[] = { 0, 1, 2, 3, 4, ERROR_BITS };
	struct tiny tiny;
	struct v1 v;

	open_v1(&tiny, &v, TINY_ALL_FLAGS);
	for (unsigned int i = 0; i < ARRAY_SIZE(states); i++) {
		for (uint32_t value = 0; value < 256; value++) {
			int want = expected(states[i], value);

			if (states[i] == ERROR_BITS)
				reach_error(&tiny, &v, 0);
			else
				reach(&tiny, &v, states[i]);
			ck_assert_int_eq(v1_put32(&v, V1_DEVICE_STATE, value), want);
			/* "read device_state again to determine the current state" */
			ck_assert_uint_eq(v1_state(&v), want ? states[i] : value);
		}
	}
	v1_close(&v);
}

/* V1-21: "Bits 3 - 31 are reserved for future use. To preserve them, the user application should perform a
 * read-modify-write operation on this field" */
TEST(reserved_bits_are_preserved)
{
	struct tiny tiny;
	struct v1 v;
	const uint32_t high = 0xa5a5a5a8;

	open_v1(&tiny, &v, TINY_ALL_FLAGS);
	v1_write_state(&v, high | 1);
	ck_assert_int_eq(tiny.n_arcs, 0);
	v1_write_state(&v, high | 3);
	ck_assert_uint_eq(v1_state(&v), high | 3);
	/* Nor does a write that is refused, or fails, change them. */
	ck_assert_int_eq(v1_put32(&v, V1_DEVICE_STATE, 7), -EINVAL);
	ck_assert_int_eq(v1_put32(&v, V1_DEVICE_STATE, 4), -EINVAL);
	tiny_forget(&tiny);
	tiny.fail_at = 0;
	ck_assert_int_eq(v1_put32(&v, V1_DEVICE_STATE, 2), -EXDEV);
	ck_assert_uint_eq(v1_state(&v), high | 3);
	v1_close(&v);
}

/* --- the sequences of the diagram and of real users ---------------------------------------- */

struct sequence {
	const char *who;
	const char *writes; /* a digit each */
};

static const struct sequence sequences[] = {
	/* "The vendor driver must support this transition but must not require it." */
	{ "1. Normal Shutdown (optional)", "0" },
	{ "2. Save the state or suspend", "20" },
	{ "3. Save the state during live migration", "320" },
	{ "4. Resuming, 5. Resumed", "41" },
	{ "a VMM that stops the VM and then asks to be sure", "3220" },
	{ "a VMM that starts anew", "11" },
	{ "cancelled in pre-copy", "31" },
	{ "failed in stop-and-copy", "3221" },
	{ "stopped, then it runs on", "01" },
	{ "a VM that is paused is saved", "020" },
	{ "a paused VM is saved, that fails, it runs on", "021" },
	{ "a snapshot is loaded", "041" },
	{ "given up in the middle", "30" },
	{ "a migration after one that was cancelled", "31320" },
};

/* V1-29, V1-31, V1-16: "may optionally change the VFIO device state from _RUNNING to _STOP" ; "The vendor driver
 * must support this transition but must not require it." */
TEST(the_diagram_and_what_real_users_write)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(sequences); i++) {
		struct tiny tiny;
		struct v1 v;

		open_v1(&tiny, &v, TINY_ALL_FLAGS);
		for (const char *p = sequences[i].writes; *p; p++) {
			tiny_forget(&tiny);
			v1_write_state(&v, (uint32_t)(*p - '0'));
		}
		v1_close(&v);
	}
}

/* V1-17, V1-32, V1-34: "When the device state is changed to _STOP, driver should stop the device before write()
 * returns." */
TEST(the_device_has_stopped_when_the_write_returns)
{
	static const struct {
		uint32_t from, to, inner;
	} stops[] = {
		{ 1, 0, VMIG_STATE_STOP }, { 1, 2, VMIG_STATE_STOP_COPY }, { 3, 2, VMIG_STATE_STOP_COPY },
		{ 3, 0, VMIG_STATE_STOP }, { 1, 4, VMIG_STATE_RESUMING },  { 2, 0, VMIG_STATE_STOP },
	};
	struct tiny tiny;
	struct v1 v;

	open_v1(&tiny, &v, TINY_ALL_FLAGS);
	for (unsigned int i = 0; i < ARRAY_SIZE(stops); i++) {
		reach(&tiny, &v, stops[i].from);
		v1_write_state(&v, stops[i].to);
		ck_assert_int_gt(tiny.n_arcs, 0);
		ck_assert_uint_eq(tiny.arcs[tiny.n_arcs - 1].to, stops[i].inner);
	}
	v1_close(&v);
}

/* V1-35: "Vendor drivers must support the pre-copy state even for implementations where no data is provided [...]
 * before" */
TEST(pre_copy_of_a_device_that_has_none)
{
	struct tiny tiny;
	struct v1 v;

	open_v1(&tiny, &v, VMIG_MIGRATION_STOP_COPY | VMIG_MIGRATION_P2P);
	tiny.out = (const uint8_t *)"state";
	tiny.out_end = 5;
	v1_write_state(&v, 3);
	ck_assert_uint_eq(v1_state(&v), 3);
	ck_assert_int_eq(tiny.n_arcs, 0);
	ck_assert_uint_eq(tiny_state(&tiny), VMIG_STATE_RUNNING);
	ck_assert_uint_eq(v1_pending(&v), 0);
	ck_assert_uint_ge(v1_offset(&v), 32);
	ck_assert_uint_eq(v1_size(&v), 0);
	v1_write_state(&v, 2);
	ck_assert_uint_eq(v1_pending(&v), 5);
	v1_close(&v);
}

/* --- failures ------------------------------------------------------------------------------ */

/** Fail arc @at of @from -> @to. False: the way has no such arc. */
static bool fail_arc(struct tiny *tiny, struct v1 *v, uint64_t features, uint32_t from, uint32_t to, int at)
{
	uint32_t now;

	reach(tiny, v, from);
	tiny->fail_at = at;
	if (!v1_put32(v, V1_DEVICE_STATE, to)) {
		tiny->fail_at = -1;
		return false;
	}
	tiny->fail_at = -1;
	now = v1_state(v);
	if (tiny->fail_to_error) {
		ck_assert_uint_eq(now, ERROR_BITS);
		ck_assert_uint_eq(tiny_state(tiny), VMIG_STATE_ERROR);
		return true;
	}
	ck_assert_uint_eq(now, from);
	/* What was loaded is kept: see below. */
	if (from != 4 || tiny_state(tiny) != VMIG_STATE_STOP)
		ck_assert_uint_eq(tiny_state(tiny), inner_for(features, from));
	/* "the user application may attempt to transition the device to any valid state reachable from the current
	 * state" */
	tiny_forget(tiny);
	v1_write_state(v, to);
	ck_assert_uint_eq(tiny_state(tiny), inner_for(features, to));
	return true;
}

static void fail_all_arcs(bool to_error)
{
	for (unsigned int set = 0; set < ARRAY_SIZE(feature_sets); set++) {
		struct tiny tiny;
		struct v1 v;

		open_v1(&tiny, &v, feature_sets[set]);
		tiny.fail_to_error = to_error;
		for (uint32_t from = 0; from < 5; from++)
			for (uint32_t to = 0; to < 5; to++)
				for (int at = 0; ways[from][to] == 'y'; at++)
					if (!fail_arc(&tiny, &v, feature_sets[set], from, to, at))
						break;
		v1_close(&v);
	}
}

/* V1-13, V1-16: "The vendor driver should return previous state of the device" */
TEST(a_transition_that_fails_at_any_arc_returns_the_previous_state)
{
	fail_all_arcs(false);
}

/* V1-14, V1-24: "unless the vendor driver has encountered an internal error, in which case the vendor driver may
 * report the device_state VFIO_DEVICE_STATE_ERROR" */
TEST(an_internal_error_is_reported_as_the_error_state)
{
	fail_all_arcs(true);
}

/* V1-11: "If the device state transition fails, the vendor driver should return an appropriate -errno for the
 * fault condition." */
TEST(a_failure_says_what_the_device_said)
{
	struct vmig_error error;
	struct tiny tiny;
	struct v1 v;

	open_v1(&tiny, &v, TINY_ALL_FLAGS);
	tiny.fail_at = 1;
	ck_assert_int_eq(v1_put32(&v, V1_DEVICE_STATE, 2), -EXDEV);
	vmig_device_query_error(v.dev, &error);
	ck_assert_int_eq(error.code, EXDEV);
	ck_assert_ptr_nonnull(strstr(error.text, "failed the step from RUNNING_P2P to STOP"));
	v1_close(&v);
}

/* V1-14: "the vendor driver may report the device_state VFIO_DEVICE_STATE_ERROR" */
TEST(a_way_back_that_fails_too_is_the_error_state)
{
	struct tiny tiny;
	struct v1 v;

	open_v1(&tiny, &v, TINY_ALL_FLAGS);
	tiny.fail_at = 1;
	tiny.fail_next = true;
	ck_assert_int_eq(v1_put32(&v, V1_DEVICE_STATE, 2), -EXDEV);
	ck_assert_uint_eq(v1_state(&v), ERROR_BITS);
	tiny.fail_next = false;
	tiny.fail_at = -1;
	ck_assert_int_eq(vmig_device_reset(v.dev), 0);
	ck_assert_uint_eq(v1_state(&v), 1);
	ck_assert_uint_eq(tiny_state(&tiny), VMIG_STATE_RUNNING);
	v1_close(&v);
}

/* V1-15: "The user application must use the device reset ioctl to recover the device from VFIO_DEVICE_STATE_ERROR
 * state." */
TEST(only_a_reset_leads_out_of_the_error_state)
{
	const uint32_t high = 0x12345678 & ~7u;
	struct tiny tiny;
	struct v1 v;

	open_v1(&tiny, &v, TINY_ALL_FLAGS);
	reach_error(&tiny, &v, high);
	ck_assert_uint_eq(v1_state(&v), high | ERROR_BITS);
	for (uint32_t to = 0; to < 8; to++)
		ck_assert_int_eq(v1_put32(&v, V1_DEVICE_STATE, to), -EIO);
	ck_assert_int_eq(v1_get64(&v, V1_PENDING_BYTES, &(uint64_t){ 0 }), -EIO);
	ck_assert_int_eq(v1_get64(&v, V1_DATA_OFFSET, &(uint64_t){ 0 }), -EIO);
	ck_assert_int_eq(v1_get64(&v, V1_DATA_SIZE, &(uint64_t){ 0 }), -EIO);
	ck_assert_int_eq(v1_put64(&v, V1_DATA_SIZE, 0), -EINVAL);
	ck_assert_int_eq(vmig_device_reset(v.dev), 0);
	ck_assert_uint_eq(v1_state(&v), 1);
	v1_write_state(&v, 3);
	v1_close(&v);
}

TEST(a_reset_that_fails_is_the_error_state)
{
	struct tiny tiny;
	struct v1 v;

	open_v1(&tiny, &v, TINY_ALL_FLAGS);
	v1_write_state(&v, 3);
	tiny.reset_fault = -EBUSY;
	ck_assert_int_eq(vmig_device_reset(v.dev), -EBUSY);
	ck_assert_uint_eq(v1_state(&v), ERROR_BITS);
	tiny.reset_fault = 0;
	ck_assert_int_eq(vmig_device_reset(v.dev), 0);
	ck_assert_uint_eq(v1_state(&v), 1);
	v1_close(&v);
}

TEST(a_reset_leads_to_running_from_every_state)
{
	struct tiny tiny;
	struct v1 v;

	open_v1(&tiny, &v, TINY_ALL_FLAGS);
	for (uint32_t from = 0; from < 5; from++) {
		reach(&tiny, &v, from);
		ck_assert_int_eq(vmig_device_reset(v.dev), 0);
		ck_assert_uint_eq(v1_state(&v), 1);
		ck_assert_uint_eq(v1_pending(&v), 0);
	}
	v1_close(&v);
}

/* --- resuming ------------------------------------------------------------------------------ */

/** With @tiny's input set, in RESUMING, "abc" loaded. */
static void load_abc(struct tiny *tiny, struct v1 *v, uint8_t *in, size_t size)
{
	tiny->in = in;
	tiny->in_size = size;
	v1_write_state(v, 4);
	v1_section_write(v, v1_offset(v), "abc", 3);
	ck_assert_int_eq(v1_put64(v, V1_DATA_SIZE, 3), 0);
	tiny_forget(tiny);
}

/* V1-13, V1-38: "should return previous state of the device unless the vendor driver has encountered an internal
 * error" ; "the driver should use the device state data received through the migration region to resume the
 * device" */
TEST(loaded_data_that_is_refused_leaves_resuming)
{
	struct tiny tiny;
	struct v1 v;
	uint8_t in[8];

	open_v1(&tiny, &v, TINY_ALL_FLAGS);
	load_abc(&tiny, &v, in, sizeof(in));
	tiny.fail_at = 0; /* RESUMING -> STOP, which validates */
	ck_assert_int_eq(v1_put32(&v, V1_DEVICE_STATE, 1), -EXDEV);
	ck_assert_uint_eq(v1_state(&v), 4);
	/* More can come, and then it may be good. */
	tiny.fail_at = -1;
	v1_section_write(&v, v1_offset(&v), "d", 1);
	ck_assert_int_eq(v1_put64(&v, V1_DATA_SIZE, 1), 0);
	tiny_forget(&tiny);
	v1_write_state(&v, 1);
	ck_assert_uint_eq(tiny.in_at, 4);
	v1_close(&v);
}

TEST(a_start_that_fails_after_good_data_can_be_tried_again)
{
	struct tiny tiny;
	struct v1 v;
	uint8_t in[8];

	open_v1(&tiny, &v, TINY_ALL_FLAGS);
	load_abc(&tiny, &v, in, sizeof(in));
	tiny.fail_at = 2; /* RUNNING_P2P -> RUNNING */
	ck_assert_int_eq(v1_put32(&v, V1_DEVICE_STATE, 1), -EXDEV);
	ck_assert_uint_eq(v1_state(&v), 4);
	ck_assert_uint_eq(tiny_state(&tiny), VMIG_STATE_STOP);
	/* It has been judged already: no more of it. */
	ck_assert_int_eq(v1_put64(&v, V1_DATA_SIZE, 1), -EIO);
	tiny.fail_at = -1;
	tiny_forget(&tiny);
	v1_write_state(&v, 1);
	ck_assert_uint_eq(tiny_state(&tiny), VMIG_STATE_RUNNING);
	ck_assert_int_eq(tiny.n_arcs, 2);
	v1_close(&v);
}

/* --- saving that is left and comes back ---------------------------------------------------- */

static void fail_to_leave_saving(struct tiny *tiny, struct v1 *v, bool take)
{
	open_v1(tiny, v, TINY_ALL_FLAGS);
	tiny->out = (const uint8_t *)"state";
	tiny->out_end = 5;
	v1_write_state(v, 2);
	ck_assert_uint_eq(v1_pending(v), 5);
	if (take) {
		v1_offset(v);
		v1_size(v);
		v1_pending(v);
	}
	tiny_forget(tiny);
	tiny->fail_at = 1; /* STOP -> RUNNING_P2P */
	ck_assert_int_eq(v1_put32(v, V1_DEVICE_STATE, 1), -EXDEV);
	tiny->fail_at = -1;
	ck_assert_uint_eq(v1_state(v), 2);
	ck_assert_uint_eq(tiny_state(tiny), VMIG_STATE_STOP_COPY);
}

TEST(a_stream_that_nobody_has_begun_starts_again)
{
	struct tiny tiny;
	struct v1 v;

	fail_to_leave_saving(&tiny, &v, false);
	tiny.out_at = 0;
	ck_assert_uint_eq(v1_pending(&v), 5);
	v1_close(&v);
}

TEST(half_a_stream_is_not_continued_by_another)
{
	struct tiny tiny;
	struct v1 v;

	fail_to_leave_saving(&tiny, &v, true);
	tiny.out_at = 0;
	ck_assert_int_eq(v1_get64(&v, V1_PENDING_BYTES, &(uint64_t){ 0 }), -EIO);
	tiny_forget(&tiny);
	v1_write_state(&v, 0);
	v1_write_state(&v, 2);
	ck_assert_uint_eq(v1_pending(&v), 5);
	v1_close(&v);
}

/* --- a device that was left somewhere ------------------------------------------------------ */

TEST(it_is_shown_where_it_is)
{
	static const uint32_t want[VMIG_STATE_NR] = {
		[VMIG_STATE_STOP] = 0,         [VMIG_STATE_RUNNING] = 1,     [VMIG_STATE_STOP_COPY] = 0,
		[VMIG_STATE_RESUMING] = 6,     [VMIG_STATE_RUNNING_P2P] = 1, [VMIG_STATE_PRE_COPY] = 1,
		[VMIG_STATE_PRE_COPY_P2P] = 1,
	};

	for (uint32_t state = 1; state < VMIG_STATE_NR; state++) {
		struct tiny tiny;
		struct v1 v;

		tiny_open(&tiny, TINY_ALL_FLAGS, TINY_COPIES);
		tiny_go(&tiny, state);
		v1_show(&v, tiny.dev, NULL);
		ck_assert_uint_eq(v1_state(&v), want[state]);
		v1_close(&v);
	}
}

/* --- a user never reads a state that it did not ask for ------------------------------------ */

static void random_write(struct tiny *tiny, struct v1 *v, uint32_t *last)
{
	uint32_t value = (uint32_t)rand() % 16, now;
	int r;

	tiny_forget(tiny);
	tiny->fail_at = rand() % 3 ? -1 : rand() % 5;
	tiny->fail_next = rand() % 4 == 0;
	tiny->fail_to_error = rand() % 4 == 0;
	r = v1_put32(v, V1_DEVICE_STATE, value);
	now = v1_state(v);
	if (!r)
		*last = value;
	ck_assert(now == *last || (now & 7) == ERROR_BITS);
	if ((now & 7) != ERROR_BITS)
		return;
	tiny->fail_at = -1;
	ck_assert_int_eq(vmig_device_reset(v->dev), 0);
	*last = 1;
}

TEST(a_user_never_reads_a_state_that_it_did_not_ask_for)
{
	srand(harness_seed());
	for (unsigned int set = 0; set < ARRAY_SIZE(feature_sets); set++) {
		struct tiny tiny;
		struct v1 v;
		uint32_t last = 1;

		open_v1(&tiny, &v, feature_sets[set]);
		for (int i = 0; i < 3000; i++)
			random_write(&tiny, &v, &last);
		v1_close(&v);
	}
}

HARNESS("region-state", T(the_default_is_running), T(each_transition_does_what_the_table_says),
	T(all_values_in_all_states), T(reserved_bits_are_preserved), T(the_diagram_and_what_real_users_write),
	T(the_device_has_stopped_when_the_write_returns), T(pre_copy_of_a_device_that_has_none),
	T(a_transition_that_fails_at_any_arc_returns_the_previous_state),
	T(an_internal_error_is_reported_as_the_error_state), T(a_failure_says_what_the_device_said),
	T(a_way_back_that_fails_too_is_the_error_state), T(only_a_reset_leads_out_of_the_error_state),
	T(a_reset_that_fails_is_the_error_state), T(a_reset_leads_to_running_from_every_state),
	T(loaded_data_that_is_refused_leaves_resuming),
	T(a_start_that_fails_after_good_data_can_be_tried_again),
	T(a_stream_that_nobody_has_begun_starts_again), T(half_a_stream_is_not_continued_by_another),
	T(it_is_shown_where_it_is), T(a_user_never_reads_a_state_that_it_did_not_ask_for))
