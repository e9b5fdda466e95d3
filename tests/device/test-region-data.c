/* SPDX-License-Identifier: BSD-3-Clause */
/* The data of the migration region: iterations of saving, loading, the kinds of section, any segmentation. */
#include "harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/util.h"
#include "tiny.h"
#include "v1.h"

#define PAGE   4096u
#define STREAM (20u * PAGE + 123)

static uint8_t stream[STREAM];

static void make_stream(void)
{
	for (size_t i = 0; i < STREAM; i++)
		stream[i] = (uint8_t)(i * 7 + i / 251);
}

/** A device that saves all of @stream, in state @bits. */
static void open_saving(struct tiny *tiny, struct v1 *v, const struct vmig_v1_config *config, uint32_t bits)
{
	make_stream();
	tiny_open(tiny, TINY_ALL_FLAGS, TINY_LENDS);
	tiny->out = stream;
	tiny->out_end = STREAM;
	v1_show(v, tiny->dev, config);
	if (bits != 1)
		v1_write_state(v, bits);
}

static const struct vmig_v1_config one_page = { .section = VMIG_V1_SECTION_MAPPED, .section_size = PAGE };

static void check_stream(const struct v1_stream *got, size_t len)
{
	ck_assert_uint_eq(got->len, len);
	ck_assert_mem_eq(got->data, stream, len);
}

/* --- an iteration -------------------------------------------------------------------------- */

/* V1-51: "Repeated read on pending_bytes at this stage should have no side effects." */
TEST(repeated_reads_of_pending_bytes_have_no_side_effects)
{
	struct v1_stream got = { 0 };
	struct tiny tiny;
	struct v1 v;
	uint64_t first;

	open_saving(&tiny, &v, &one_page, 2);
	first = v1_pending(&v);
	for (int i = 0; i < 5; i++)
		ck_assert_uint_eq(v1_pending(&v), first);
	ck_assert_uint_eq(tiny.out_at, PAGE);
	ck_assert_uint_eq(v1_save(&v, &got, SIZE_MAX), (STREAM + PAGE - 1) / PAGE);
	check_stream(&got, STREAM);
	v1_stream_free(&got);
	v1_close(&v);
}

/* V1-56, V1-47: "Read on data_offset and data_size should return the offset and size of the current buffer if the
 * user application reads data_offset and data_size more than once here." */
TEST(offset_and_size_stay_in_an_iteration)
{
	struct tiny tiny;
	struct v1 v;
	uint8_t byte;

	open_saving(&tiny, &v, &one_page, 3);
	for (unsigned int i = 0; i < 3; i++) {
		uint64_t offset, size;

		ck_assert_uint_gt(v1_pending(&v), 0);
		offset = v1_offset(&v);
		size = v1_size(&v);
		for (int k = 0; k < 3; k++) {
			ck_assert_uint_eq(v1_size(&v), size);
			ck_assert_uint_eq(v1_offset(&v), offset);
			v1_section_read(&v, offset, &byte, 1);
			ck_assert_uint_eq(byte, stream[i * PAGE]);
		}
	}
	v1_close(&v);
}

/* V1-58: "f. Read pending_bytes, which indicates that the data from the previous iteration has been read."
 * Whoever has not asked for both, where and how much, cannot have read it. */
TEST(a_buffer_is_taken_only_when_offset_and_size_were_read)
{
	struct tiny tiny;
	struct v1 v;

	open_saving(&tiny, &v, &one_page, 2);
	v1_pending(&v);
	v1_offset(&v);
	v1_pending(&v);
	v1_offset(&v);
	v1_pending(&v);
	ck_assert_uint_eq(tiny.out_at, PAGE);
	v1_size(&v);
	v1_pending(&v);
	ck_assert_uint_eq(tiny.out_at, 2 * PAGE);
	v1_size(&v);
	v1_pending(&v);
	ck_assert_uint_eq(tiny.out_at, 2 * PAGE);
	v1_close(&v);
}

/* V1-49, V1-54: "b. Read data_offset, indicating that the vendor driver should make data available through the
 * data section." */
TEST(data_is_there_when_data_offset_is_read_even_without_step_a)
{
	struct tiny tiny;
	struct v1 v;
	uint8_t got[PAGE];

	open_saving(&tiny, &v, &one_page, 2);
	v1_section_read(&v, v1_offset(&v), got, sizeof(got));
	ck_assert_uint_eq(v1_size(&v), PAGE);
	ck_assert_mem_eq(got, stream, PAGE);
	v1_close(&v);
}

/* V1-52, V1-53, V1-61: "The number of pending bytes still to be migrated" ; "If pending_bytes == 0, the user
 * application should not iterate" */
TEST(pending_bytes_counts_down_to_what_is_left)
{
	struct v1_stream got = { 0 };
	struct tiny tiny;
	struct v1 v;

	open_saving(&tiny, &v, &one_page, 2);
	for (size_t left = STREAM; left; left -= MIN(left, PAGE)) {
		ck_assert_uint_eq(v1_pending(&v), left);
		v1_save(&v, &got, 1);
	}
	ck_assert_uint_eq(v1_pending(&v), 0);
	ck_assert_uint_eq(v1_size(&v), 0);
	v1_stream_free(&got);
	v1_close(&v);
}

/* V1-53, V1-55: "If pending_bytes > 0, perform the following steps." ; "Read data_size, which is the amount of
 * data in bytes available through the migration region." */
TEST(an_estimate_that_is_wrong_is_never_followed_by_a_size_of_0)
{
	struct v1_stream got = { 0 };
	struct tiny tiny;
	struct v1 v;

	/* In pre-copy tiny always says that 5 bytes are dirty, which never come. */
	open_saving(&tiny, &v, NULL, 3);
	ck_assert_uint_eq(v1_pending(&v), STREAM + 5);
	v1_save(&v, &got, 1);
	ck_assert_uint_eq(v1_pending(&v), 0);
	ck_assert_uint_eq(v1_size(&v), 0);
	check_stream(&got, STREAM);
	v1_stream_free(&got);
	v1_close(&v);
}

/* V1-18, V1-33: "driver should start gathering device state information" ; "the driver should start gathering the
 * device state while the application is still running" */
TEST(pre_copy_that_is_drained_goes_on_when_there_is_more)
{
	struct v1_stream got = { 0 };
	struct tiny tiny;
	struct v1 v;

	open_saving(&tiny, &v, &one_page, 3);
	tiny.out_end = 2 * PAGE + 1;
	ck_assert_uint_eq(v1_save(&v, &got, SIZE_MAX), 3);
	ck_assert_uint_eq(v1_pending(&v), 0);
	ck_assert_uint_eq(v1_pending(&v), 0);
	tiny.out_end = STREAM;
	v1_save(&v, &got, SIZE_MAX);
	check_stream(&got, STREAM);
	v1_stream_free(&got);
	v1_close(&v);
}

/* --- transitions in the middle ------------------------------------------------------------- */

/* V1-36, V1-60: "The user must not be required to consume all migration data before the device transitions to a
 * new state, including the stop-and-copy state." */
static void stop_in_the_middle(int reads)
{
	struct v1_stream got = { 0 };
	struct tiny tiny;
	struct v1 v;

	open_saving(&tiny, &v, &one_page, 3);
	v1_save(&v, &got, 3);
	if (reads > 0)
		v1_pending(&v);
	if (reads > 1)
		v1_offset(&v);
	v1_write_state(&v, 2);
	v1_write_state(&v, 2);
	v1_save(&v, &got, SIZE_MAX);
	check_stream(&got, STREAM);
	v1_stream_free(&got);
	v1_close(&v);
}

TEST(the_user_need_not_drain_before_stop_and_copy)
{
	for (int reads = 0; reads < 3; reads++)
		stop_in_the_middle(reads);
}

/* V1-13, V1-16: the previous state is the previous one in all: its stream goes on. */
static void fail_and_go_on(uint32_t from, uint32_t to, int at)
{
	struct v1_stream got = { 0 };
	struct tiny tiny;
	struct v1 v;

	open_saving(&tiny, &v, &one_page, from);
	v1_save(&v, &got, 2);
	v1_pending(&v);
	tiny_forget(&tiny);
	tiny.fail_at = at;
	ck_assert_int_eq(v1_put32(&v, V1_DEVICE_STATE, to), -EXDEV);
	tiny.fail_at = -1;
	ck_assert_uint_eq(v1_state(&v), from);
	v1_save(&v, &got, 3);
	v1_write_state(&v, 2);
	v1_save(&v, &got, SIZE_MAX);
	check_stream(&got, STREAM);
	v1_stream_free(&got);
	v1_close(&v);
}

TEST(saving_goes_on_where_it_was_after_a_transition_that_failed)
{
	fail_and_go_on(3, 2, 0); /* PRE_COPY -> PRE_COPY_P2P */
	fail_and_go_on(3, 2, 1); /* PRE_COPY_P2P -> STOP_COPY, and back */
	fail_and_go_on(3, 1, 0);
	fail_and_go_on(2, 0, 0);
	fail_and_go_on(2, 1, 0);
}

TEST(leaving_the_saving_states_drops_what_is_buffered)
{
	struct v1_stream got = { 0 };
	struct tiny tiny;
	struct v1 v;

	open_saving(&tiny, &v, &one_page, 3);
	ck_assert_uint_gt(v1_pending(&v), 0);
	v1_write_state(&v, 1);
	ck_assert_uint_eq(v1_pending(&v), 0);
	ck_assert_uint_eq(v1_size(&v), 0);
	tiny.out_at = 0; /* the next session starts from the start */
	v1_write_state(&v, 3);
	v1_save(&v, &got, SIZE_MAX);
	check_stream(&got, STREAM);
	v1_stream_free(&got);
	v1_close(&v);
}

TEST(outside_of_the_saving_states_nothing_is_pending)
{
	static const uint32_t states[] = { 1, 0, 4 };
	struct tiny tiny;
	struct v1 v;

	open_saving(&tiny, &v, &one_page, 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(states); i++) {
		v1_write_state(&v, states[i]);
		ck_assert_uint_eq(v1_pending(&v), 0);
		ck_assert_uint_eq(v1_size(&v), 0);
	}
	ck_assert_uint_eq(tiny.out_at, 0);
	v1_close(&v);
}

/* --- failures of saving -------------------------------------------------------------------- */

static ssize_t fail_after_two(void *opaque, void *buf, size_t len)
{
	int *n = opaque;

	if (++*n > 2)
		return -ENXIO;
	memset(buf, 'x', 10);
	return 10;
}

static int no_step(void *opaque, uint32_t from, uint32_t to, uint32_t *ret_state)
{
	return 0;
}

static int no_loading(void *opaque, const void *buf, size_t len)
{
	return 0;
}

static int no_sizes(void *opaque, struct vmig_precopy *ret)
{
	return 0;
}

/* V1-80, V1-81: "the vendor driver can return an error code for next read() or write() operation, which will
 * terminate the loop" */
TEST(a_failure_to_save_is_told_behind_what_is_good)
{
	const struct vmig_model_ops ops = { .step = no_step, .read = fail_after_two, .write = no_loading };
	const struct vmig_model_config config = { .name = "m", .identity = "test:m", .migration_flags = 1 };
	struct vmig_model *model;
	struct vmig_device *dev;
	struct vmig_error error;
	struct v1 v;
	int n = 0;

	ck_assert_int_eq(vmig_model_new(&ops, &n, &config, &model, &dev), 0);
	v1_show(&v, dev, NULL);
	v1_write_state(&v, 2);
	ck_assert_uint_eq(v1_pending(&v), 20);
	v1_offset(&v);
	ck_assert_uint_eq(v1_size(&v), 20);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(v1_get64(&v, V1_PENDING_BYTES, &(uint64_t){ 0 }), -ENXIO);
	vmig_device_query_error(v.dev, &error);
	ck_assert_int_eq(error.code, ENXIO);
	ck_assert_int_eq(n, 3);
	/* The way out is free. */
	v1_write_state(&v, 1);
	ck_assert_uint_eq(v1_pending(&v), 0);
	v1_close(&v);
}

TEST(a_failure_in_pre_copy_holds_in_stop_and_copy)
{
	struct vmig_model_ops ops = { .step = no_step, .read = fail_after_two, .write = no_loading };
	const struct vmig_model_config config = { .name = "m", .identity = "test:m", .migration_flags = 5 };
	struct vmig_model *model;
	struct vmig_device *dev;
	struct v1 v;
	int n = 2;

	ops.precopy_sizes = no_sizes;
	ck_assert_int_eq(vmig_model_new(&ops, &n, &config, &model, &dev), 0);
	v1_show(&v, dev, NULL);
	v1_write_state(&v, 3);
	ck_assert_int_eq(v1_get64(&v, V1_PENDING_BYTES, &(uint64_t){ 0 }), -ENXIO);
	n = 0; /* it would go on as if nothing had happened */
	v1_write_state(&v, 2);
	ck_assert_int_eq(v1_get64(&v, V1_PENDING_BYTES, &(uint64_t){ 0 }), -ENXIO);
	v1_write_state(&v, 1);
	v1_write_state(&v, 3);
	ck_assert_uint_eq(v1_pending(&v), 20);
	v1_close(&v);
}

/* --- loading ------------------------------------------------------------------------------- */

static void open_loading(struct tiny *tiny, struct v1 *v, const struct vmig_v1_config *config,
			 enum tiny_kind kind, uint8_t *in, size_t size)
{
	make_stream();
	tiny_open(tiny, TINY_ALL_FLAGS, kind);
	tiny->in = in;
	tiny->in_size = size;
	v1_show(v, tiny->dev, config);
	v1_write_state(v, 4);
}

/* V1-73, V1-74, V1-07: "Vendor driver must return this write operations on consuming data." */
TEST(the_write_of_data_size_returns_when_it_is_consumed)
{
	for (int kind = TINY_COPIES; kind <= TINY_LENDS; kind++) {
		struct tiny tiny;
		struct v1 v;
		uint8_t in[3000];

		open_loading(&tiny, &v, &one_page, kind, in, sizeof(in));
		tiny.piece = 100;
		v1_section_write(&v, v1_offset(&v), stream, 1234);
		ck_assert_uint_eq(tiny.in_at, 0);
		ck_assert_int_eq(v1_put64(&v, V1_DATA_SIZE, 1234), 0);
		ck_assert_uint_eq(tiny.in_at, 1234);
		ck_assert_mem_eq(in, stream, 1234);
		ck_assert_uint_eq(v1_size(&v), 1234);
		v1_close(&v);
	}
}

TEST(a_data_size_is_at_most_the_section)
{
	struct tiny tiny;
	struct v1 v;
	static uint8_t in[2 * PAGE];

	open_loading(&tiny, &v, &one_page, TINY_LENDS, in, sizeof(in));
	ck_assert_int_eq(v1_put64(&v, V1_DATA_SIZE, 0), 0);
	ck_assert_int_eq(v1_put64(&v, V1_DATA_SIZE, PAGE + 1), -EINVAL);
	ck_assert_int_eq(v1_put64(&v, V1_DATA_SIZE, UINT64_MAX), -EINVAL);
	ck_assert_uint_eq(tiny.in_at, 0);
	ck_assert_int_eq(v1_put64(&v, V1_DATA_SIZE, PAGE - 1), 0);
	ck_assert_int_eq(v1_put64(&v, V1_DATA_SIZE, PAGE), 0);
	ck_assert_uint_eq(tiny.in_at, 2 * PAGE - 1);
	v1_close(&v);
}

/* V1-19: "driver should prepare to resume the device" */
TEST(data_is_written_in_resuming_only)
{
	static const uint32_t states[] = { 1, 3, 2, 0 };
	struct tiny tiny;
	struct v1 v;

	open_saving(&tiny, &v, NULL, 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(states); i++) {
		v1_write_state(&v, states[i]);
		ck_assert_int_eq(v1_put64(&v, V1_DATA_SIZE, 1), -EINVAL);
		ck_assert_int_eq(vmig_device_region_write(v.dev, v.region.index, v1_offset(&v), "x", 1),
				 -EINVAL);
	}
	v1_close(&v);
}

/* V1-80: "can return an error code for next read() or write() operation, which will terminate the loop" */
TEST(data_that_is_refused_is_not_forgotten)
{
	struct tiny tiny;
	struct v1 v;
	uint8_t in[PAGE];

	open_loading(&tiny, &v, &one_page, TINY_LENDS, in, sizeof(in));
	tiny.load_fault = -EBADMSG;
	ck_assert_int_eq(v1_put64(&v, V1_DATA_SIZE, 1), -EBADMSG);
	tiny.load_fault = 0;
	tiny_forget(&tiny);
	ck_assert_int_eq(v1_put64(&v, V1_DATA_SIZE, 1), -EBADMSG);
	ck_assert_int_eq(v1_put32(&v, V1_DEVICE_STATE, 1), -EBADMSG);
	ck_assert_int_eq(v1_put32(&v, V1_DEVICE_STATE, 0), -EBADMSG);
	ck_assert_int_eq(v1_put32(&v, V1_DEVICE_STATE, 4), 0);
	ck_assert_uint_eq(v1_state(&v), 4);
	ck_assert_int_eq(tiny.n_arcs, 0);
	ck_assert_int_eq(vmig_device_reset(v.dev), 0);
	v1_write_state(&v, 4);
	ck_assert_int_eq(v1_put64(&v, V1_DATA_SIZE, 1), 0);
	v1_write_state(&v, 1);
	v1_close(&v);
}

/* --- the kinds of section ------------------------------------------------------------------ */

/* V1-44: "The user is not required to access through mmap regardless of the capabilities of the region mmap." */
TEST(a_mapped_section_still_serves_reads_and_writes)
{
	struct tiny tiny;
	struct v1 v;
	uint8_t got[64], in[PAGE];
	uint64_t offset;

	open_saving(&tiny, &v, &one_page, 2);
	v1_pending(&v);
	offset = v1_offset(&v);
	ck_assert_int_eq(vmig_device_region_read(v.dev, v.region.index, offset + 8, got, 64), 0);
	ck_assert_mem_eq(got, stream + 8, 64);
	ck_assert_mem_eq(v.maps[0] + 8, stream + 8, 64);
	v1_write_state(&v, 0);
	tiny.in = in;
	tiny.in_size = sizeof(in);
	v1_write_state(&v, 4);
	offset = v1_offset(&v);
	ck_assert_int_eq(vmig_device_region_write(v.dev, v.region.index, offset, "half by write ", 14), 0);
	memcpy(v.maps[0] + 14, "half by mmap", 12);
	ck_assert_int_eq(v1_put64(&v, V1_DATA_SIZE, 26), 0);
	ck_assert_mem_eq(in, "half by write half by mmap", 26);
	v1_close(&v);
}

static bool is_mapped(const struct v1 *v, uint64_t offset)
{
	for (uint32_t i = 0; i < v->region.n_areas; i++)
		if (offset >= v->region.areas[i].offset &&
		    offset < v->region.areas[i].offset + v->region.areas[i].size)
			return true;
	return false;
}

/* V1-41, V1-45: "The data section can be trapped, mmapped, or partitioned, depending on how the kernel driver
 * defines the data section." */
TEST(partitioned_some_transactions_are_mapped_some_trapped_some_both)
{
	const struct vmig_v1_config config = { .section = VMIG_V1_SECTION_PARTITIONED,
					       .section_size = 4 * PAGE };
	unsigned int all_mapped = 0, all_trapped = 0, both = 0;
	struct tiny tiny;
	struct v1 v;

	open_saving(&tiny, &v, &config, 2);
	while (v1_pending(&v)) {
		uint64_t offset = v1_offset(&v), size = v1_size(&v), n = 0;

		for (uint64_t i = 0; i < size; i++)
			n += is_mapped(&v, offset + i);
		if (n == size)
			ck_assert_uint_eq(offset % PAGE, 0);
		all_mapped += n == size;
		all_trapped += !n;
		both += n && n < size;
	}
	ck_assert(all_mapped && all_trapped && both);
	v1_close(&v);
}

/* --- any segmentation ---------------------------------------------------------------------- */

static struct vmig_v1_config random_config(void)
{
	return (struct vmig_v1_config){ .section = rand() % 3, .section_size = (4 + rand() % 5) * PAGE };
}

/** Reads that must not matter. */
static void read_again(struct v1 *v)
{
	for (int n = rand() % 3; n > 0; n--) {
		if (rand() % 2)
			v1_offset(v);
		else
			v1_size(v);
	}
}

static void save_at_random(struct tiny *tiny, struct v1 *v, struct v1_stream *got)
{
	static const size_t pieces[] = { 0, 1, 8, 77, 4096 };
	int stop_at = rand() % 12;

	v1_write_state(v, rand() % 2 ? 3 : 2);
	while (got->len < STREAM) {
		v->piece = pieces[rand() % 5];
		tiny->piece = rand() % 2 ? 0 : 1 + (size_t)rand() % (3 * PAGE);
		v1_save(v, got, 1);
		if (rand() % 4 == 0)
			read_again(v);
		if (!stop_at--)
			v1_write_state(v, 2);
	}
	v1_write_state(v, 2);
	ck_assert_uint_eq(v1_pending(v), 0);
	check_stream(got, STREAM);
}

/** The transactions of the source, some of them split. */
static void load_at_random(struct tiny *tiny, struct v1 *v, const struct v1_stream *from)
{
	size_t room = v->region.size - v1_offset(v), at = 0;

	for (size_t i = 0; i < from->n; i++) {
		for (size_t left = from->sizes[i], n; left; left -= n, at += n) {
			n = MIN(left, room);
			if (rand() % 3 == 0)
				n = 1 + (size_t)rand() % n;
			v->piece = rand() % 3 ? 0 : 1 + (size_t)rand() % 100;
			tiny->piece = rand() % 2 ? 0 : 1 + (size_t)rand() % PAGE;
			v1_section_write(v, v1_offset(v), from->data + at, n);
			ck_assert_int_eq(v1_put64(v, V1_DATA_SIZE, n), 0);
		}
	}
}

/* V1-83: "the data should be of same transaction size at the source" */
TEST(any_segmentation_gives_the_same_bytes)
{
	static uint8_t in[STREAM];

	srand(harness_seed());
	for (int i = 0; i < 60; i++) {
		struct vmig_v1_config a = random_config(), b = random_config();
		struct v1_stream got = { 0 };
		struct tiny source, destination;
		struct v1 from, to;

		open_saving(&source, &from, &a, 1);
		save_at_random(&source, &from, &got);
		open_loading(&destination, &to, &b, rand() % 2, in, STREAM);
		load_at_random(&destination, &to, &got);
		v1_write_state(&to, 1);
		ck_assert_uint_eq(destination.in_at, STREAM);
		ck_assert_mem_eq(in, stream, STREAM);
		v1_stream_free(&got);
		v1_close(&from);
		v1_close(&to);
	}
}

HARNESS("region-data", T(repeated_reads_of_pending_bytes_have_no_side_effects),
	T(offset_and_size_stay_in_an_iteration), T(a_buffer_is_taken_only_when_offset_and_size_were_read),
	T(data_is_there_when_data_offset_is_read_even_without_step_a),
	T(pending_bytes_counts_down_to_what_is_left),
	T(an_estimate_that_is_wrong_is_never_followed_by_a_size_of_0),
	T(pre_copy_that_is_drained_goes_on_when_there_is_more),
	T(the_user_need_not_drain_before_stop_and_copy),
	T(saving_goes_on_where_it_was_after_a_transition_that_failed),
	T(leaving_the_saving_states_drops_what_is_buffered),
	T(outside_of_the_saving_states_nothing_is_pending), T(a_failure_to_save_is_told_behind_what_is_good),
	T(a_failure_in_pre_copy_holds_in_stop_and_copy),
	T(the_write_of_data_size_returns_when_it_is_consumed), T(a_data_size_is_at_most_the_section),
	T(data_is_written_in_resuming_only), T(data_that_is_refused_is_not_forgotten),
	T(a_mapped_section_still_serves_reads_and_writes),
	T(partitioned_some_transactions_are_mapped_some_trapped_some_both),
	T(any_segmentation_gives_the_same_bytes))
