/* SPDX-License-Identifier: BSD-3-Clause */
/* The merged log: models' own logs against a naive one, and devices whose logs are odd. */
#include "harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vmig/memory.h>

#include "device/tiny.h"
#include "handle/provider.h"

#define K4  4096ull
#define K64 (64ull << 10)
#define M2  (2ull << 20)

/* --- a device with a log that is odd ------------------------------------------------------------ */

struct odd {
	struct vmig_device *dev;
	/* What it is. */
	uint64_t least_page, chosen; /* smaller pages: EINVAL; what it chooses, 0: as asked */
	uint32_t most_ranges;
	int start_fault, report_fault;
	/* What it was asked. */
	bool on;
	uint64_t page_size;
	struct vmig_range ranges[64];
	uint32_t n_ranges;
	/* What it has written: a page of @page_size at each. A report takes all that lies in the pages it touches. */
	uint64_t written[16];
	uint32_t n_written;
};

static int odd_start(void *p, uint64_t *page_size, const struct vmig_range *ranges, uint32_t n,
		     struct vmig_error *error)
{
	struct odd *odd = p;

	if (odd->start_fault)
		return odd->start_fault;
	if (*page_size < odd->least_page)
		return -EINVAL;
	if (odd->most_ranges && n > odd->most_ranges)
		return -E2BIG;
	ck_assert_uint_le(n, 64);
	memcpy(odd->ranges, ranges, n * sizeof(*ranges));
	odd->n_ranges = n;
	if (odd->chosen)
		*page_size = odd->chosen;
	odd->page_size = *page_size;
	odd->on = true;
	return 0;
}

static int odd_stop(void *p, struct vmig_error *error)
{
	struct odd *odd = p;

	ck_assert(odd->on);
	odd->on = false;
	return 0;
}

static bool within(const struct odd *odd, uint64_t iova, uint64_t length)
{
	for (uint32_t i = 0; i < odd->n_ranges; i++)
		if (iova >= odd->ranges[i].iova && length <= odd->ranges[i].length &&
		    iova - odd->ranges[i].iova <= odd->ranges[i].length - length)
			return true;
	return false;
}

static int odd_report(void *p, uint64_t iova, uint64_t length, uint64_t page_size, uint64_t *bitmap,
		      struct vmig_error *error)
{
	struct odd *odd = p;
	uint32_t kept = 0;

	ck_assert(odd->on);
	ck_assert(within(odd, iova, length));
	ck_assert_uint_eq(page_size, odd->page_size); /* other sizes are where peers err */
	if (odd->report_fault)
		return odd->report_fault;
	for (uint32_t i = 0; i < odd->n_written; i++) {
		uint64_t page = odd->written[i] & ~(page_size - 1);

		if (page + page_size <= iova || page > iova + (length - 1)) {
			odd->written[kept++] = odd->written[i];
			continue;
		}
		page = page > iova ? (page - iova) / page_size : 0;
		bitmap[page / 64] |= 1ull << page % 64;
	}
	odd->n_written = kept;
	return 0;
}

static const struct vmig_provider_ops odd_ops = { .dma_log_start = odd_start,
						  .dma_log_stop = odd_stop,
						  .dma_log_report = odd_report };

static void odd_open_as(struct odd *odd, uint32_t has, uint32_t dma_kinds)
{
	const struct vmig_device_info info = { .has = has, .dma_kinds = dma_kinds, .name = "odd" };

	memset(odd, 0, sizeof(*odd));
	ck_assert_int_eq(vmig_device_new(&odd_ops, odd, &info, &odd->dev), 0);
}

static void odd_open(struct odd *odd)
{
	odd_open_as(odd, VMIG_HAS_IOMMU_LOG, VMIG_DMA_KIND_ADDRESS);
}

static struct vmig_memory_log *log_of(struct odd *odd, const struct vmig_range *ranges, uint32_t n)
{
	struct vmig_memory_log *log;

	ck_assert_int_eq(vmig_memory_log_new(&odd->dev, 1, ranges, n, K4, &log), 0);
	return log;
}

/** One report of at most 64 pages of 4 KiB. */
static uint64_t ask(struct vmig_memory_log *log, uint64_t iova, uint64_t length)
{
	uint64_t bitmap[2] = { 0, 0xfeed };

	ck_assert_int_eq(vmig_memory_log_report(log, iova, length, K4, bitmap), 0);
	ck_assert_uint_eq(bitmap[1], 0xfeed);
	return bitmap[0];
}

static const struct vmig_range sixteen = { 16 * K64, K64 }; /* 16 pages of 4 KiB */

TEST(ranges_that_are_too_many_are_merged_where_they_are_closest)
{
	const struct vmig_range ranges[] = {
		{ 0, K4 }, { 2 * K4, K4 }, { 100 * K4, K4 }, { 103 * K4, K4 }, { 1000 * K4, 2 * K4 }
	};
	struct vmig_memory_log *log;
	struct odd odd;

	odd_open(&odd);
	odd.most_ranges = 2;
	log = log_of(&odd, ranges, 5);
	ck_assert_str_eq(vmig_memory_log_note(log), "");
	ck_assert_uint_le(odd.n_ranges, 2);
	odd.written[odd.n_written++] = 1001 * K4;
	odd.written[odd.n_written++] = 2 * K4;
	ck_assert_uint_eq(ask(log, 2 * K4, K4), 1);
	ck_assert_uint_eq(ask(log, 0, K4), 0);
	ck_assert_uint_eq(ask(log, 1000 * K4, 2 * K4), 2);
	vmig_memory_log_free(log);
	ck_assert(!odd.on);
	vmig_device_close(odd.dev);
}

TEST(a_device_that_takes_no_small_pages_is_asked_for_larger_ones)
{
	const struct vmig_range ranges[] = { { K4, K4 }, { 3 * K4, K4 }, { 40 * K4, K4 } };
	struct vmig_memory_log *log;
	struct odd odd;

	odd_open(&odd);
	odd.least_page = K64;
	log = log_of(&odd, ranges, 3);
	ck_assert_uint_eq(odd.page_size, K64);
	ck_assert_uint_eq(odd.n_ranges, 2);
	odd.written[odd.n_written++] = 2 * K4; /* between ours, but in a page of its that we have two in */
	ck_assert_uint_eq(ask(log, K4, K4), 1);
	ck_assert_uint_eq(ask(log, 3 * K4, K4), 1); /* though the device has cleared it */
	ck_assert_uint_eq(ask(log, 3 * K4, K4), 0);
	ck_assert_uint_eq(ask(log, 40 * K4, K4), 0);
	vmig_memory_log_free(log);
	vmig_device_close(odd.dev);
}

TEST(a_page_size_that_the_device_chooses_loses_nothing)
{
	struct vmig_memory_log *log;
	struct odd odd;

	odd_open(&odd);
	odd.chosen = M2;
	log = log_of(&odd, &sixteen, 1);
	odd.written[odd.n_written++] = sixteen.iova + 5 * K4;
	ck_assert_uint_eq(ask(log, sixteen.iova, 2 * K4), 3);
	ck_assert_uint_eq(ask(log, sixteen.iova, K64), 0xfffc);
	ck_assert_uint_eq(ask(log, sixteen.iova, K64), 0);
	vmig_memory_log_free(log);
	vmig_device_close(odd.dev);
}

TEST(a_report_that_fails_makes_all_dirty_once)
{
	struct vmig_memory_log *log;
	struct odd odd;

	odd_open(&odd);
	log = log_of(&odd, &sixteen, 1);
	odd.report_fault = -EOPNOTSUPP;
	ck_assert_uint_eq(ask(log, sixteen.iova, 2 * K4), 3);
	ck_assert_ptr_nonnull(strstr(vmig_memory_log_note(log), "did not report"));
	odd.report_fault = 0;
	ck_assert_uint_eq(ask(log, sixteen.iova, K64), 0xfffc);
	ck_assert_uint_eq(ask(log, sixteen.iova, K64), 0);
	vmig_memory_log_free(log);
	vmig_device_close(odd.dev);
}

TEST(a_log_that_does_not_start_makes_all_dirty_always)
{
	struct vmig_memory_log *log;
	struct odd odd;

	odd_open(&odd);
	odd.start_fault = -EIO;
	log = log_of(&odd, &sixteen, 1);
	ck_assert_ptr_nonnull(strstr(vmig_memory_log_note(log), "odd does not start"));
	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(ask(log, sixteen.iova, K64), 0xffff);
	vmig_memory_log_free(log);
	vmig_device_close(odd.dev);
}

TEST(a_device_without_a_log_makes_all_dirty_but_one_without_dma_does_not)
{
	struct vmig_memory_log *log;
	struct odd odd;

	odd_open_as(&odd, 0, VMIG_DMA_KIND_FD);
	log = log_of(&odd, &sixteen, 1);
	ck_assert_ptr_nonnull(strstr(vmig_memory_log_note(log), "tracks"));
	ck_assert_uint_eq(ask(log, sixteen.iova, K64), 0xffff);
	vmig_memory_log_free(log);
	vmig_device_close(odd.dev);

	odd_open_as(&odd, 0, 0);
	log = log_of(&odd, &sixteen, 1);
	ck_assert_str_eq(vmig_memory_log_note(log), "");
	ck_assert_uint_eq(ask(log, sixteen.iova, K64), 0);
	vmig_memory_log_free(log);
	vmig_device_close(odd.dev);
}

TEST(bad_arguments_have_their_errors)
{
	const struct vmig_range bad[] = {
		{ 0, 0 }, { 1, K4 }, { 0, K4 + 1 }, { UINT64_MAX - K4 + 1, 2 * K4 }
	};
	const struct vmig_range overlap[] = { { K4, 2 * K4 }, { 0, 2 * K4 } };
	struct vmig_range many[1025];
	struct vmig_memory_log *log;
	uint64_t bitmap[1] = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ck_assert_int_eq(vmig_memory_log_new(NULL, 0, &bad[i], 1, K4, &log), -EINVAL);
	ck_assert_int_eq(vmig_memory_log_new(NULL, 0, overlap, 2, K4, &log), -EINVAL);
	ck_assert_int_eq(vmig_memory_log_new(NULL, 0, overlap, 0, K4, &log), -EINVAL);
	ck_assert_int_eq(vmig_memory_log_new(NULL, 0, &sixteen, 1, 3 * K4, &log), -EINVAL);
	for (uint32_t i = 0; i < 1025; i++)
		many[i] = (struct vmig_range){ 2 * i * K4, K4 };
	ck_assert_int_eq(vmig_memory_log_new(NULL, 0, many, 1025, K4, &log), -E2BIG);
	ck_assert_int_eq(vmig_memory_log_new(NULL, 0, many, 1024, K4, &log), 0);
	ck_assert_int_eq(vmig_memory_log_report(log, 0, 2 * K4, K4, bitmap), -EINVAL);
	ck_assert_int_eq(vmig_memory_log_report(log, K4, K4, K4, bitmap), -EINVAL);
	ck_assert_int_eq(vmig_memory_log_report(log, 0, 0, K4, bitmap), -EINVAL);
	ck_assert_int_eq(vmig_memory_log_report(log, 0, K4, 3, bitmap), -EINVAL);
	ck_assert_int_eq(vmig_memory_log_report(log, UINT64_MAX, 2, K4, bitmap), -EINVAL);
	vmig_memory_log_mark(log, UINT64_MAX - 1, UINT64_MAX); /* of nobody's */
	ck_assert_int_eq(vmig_memory_log_report(log, 0, K4, K4, bitmap), 0);
	ck_assert_uint_eq(bitmap[0], 0);
	vmig_memory_log_free(log);
	vmig_memory_log_free(NULL);
}

/* --- against a naive one ------------------------------------------------------------------------ */

#define PAGES 2048u /* of 4 KiB: 8 MiB, in two ranges with a hole */
#define HOLE  900u
#define HOLES 64u
#define BASE  (1ull << 40)

static int io_read(void *opaque, uint64_t iova, void *buf, size_t len)
{
	return 0;
}

static int io_write(void *opaque, uint64_t iova, const void *buf, size_t len)
{
	return 0;
}

static const struct vmig_dma_io nowhere = { .read = io_read, .write = io_write };

static bool is_hole(uint64_t page)
{
	return page >= HOLE && page < HOLE + HOLES;
}

struct naive {
	uint64_t page; /* of the log, in pages of 4 KiB */
	bool dirty[PAGES];
};

static void naive_write(struct naive *naive, uint64_t at, uint64_t len)
{
	for (uint64_t page = at / K4; page <= (at + len - 1) / K4; page++)
		naive->dirty[page / naive->page * naive->page] |= !is_hole(page);
}

static void naive_report(struct naive *naive, uint64_t at, uint64_t len, uint64_t page_size, uint64_t *bitmap)
{
	for (uint64_t page = at / K4; page <= (at + len - 1) / K4; page++) {
		uint64_t first = page / naive->page * naive->page, bit = (page * K4 - at) / page_size;

		if (is_hole(page) || !naive->dirty[first])
			continue;
		bitmap[bit / 64] |= 1ull << bit % 64;
	}
	for (uint64_t first = 0; first < PAGES; first += naive->page)
		if (first * K4 >= at && (first + naive->page) * K4 <= at + len)
			naive->dirty[first] = false;
}

static void random_write(struct tiny *tinies, struct vmig_memory_log *log, struct naive *naive)
{
	static const char zeros[3 * 4096];
	uint64_t at = (uint64_t)rand() % (PAGES * K4), len = 1 + (uint64_t)rand() % sizeof(zeros);

	len = MIN(len, PAGES * K4 - at);
	if (rand() % 3)
		ck_assert_int_eq(vmig_model_dma_write(tinies[rand() % 2].model, BASE + at, zeros, len), 0);
	else
		vmig_memory_log_mark(log, BASE + at, len);
	naive_write(naive, at, len);
}

/* From a page of 4 KiB on, so many; not across the hole, which is not of the log. */
static void random_report(struct vmig_memory_log *log, struct naive *naive)
{
	uint64_t got[PAGES / 64 + 1] = { 0 }, want[PAGES / 64 + 1] = { 0 };
	uint64_t first = (uint64_t)rand() % PAGES, n = 1 + (uint64_t)rand() % (PAGES - first);
	uint64_t page_size = K4 << rand() % 10;

	if (is_hole(first))
		first = HOLE + HOLES;
	n = MIN(n, (first < HOLE ? HOLE : PAGES) - first);
	ck_assert_int_eq(vmig_memory_log_report(log, BASE + first * K4, n * K4, page_size, got), 0);
	naive_report(naive, first * K4, n * K4, page_size, want);
	ck_assert_mem_eq(got, want, sizeof(got));
}

static void compare_with_naive(uint64_t page_size)
{
	const struct vmig_range ranges[] = { { BASE + (HOLE + HOLES) * K4, (PAGES - HOLE - HOLES) * K4 },
					     { BASE, HOLE * K4 } };
	struct vmig_dma map = { .iova = BASE, .size = PAGES * K4, .prot = 3, .fd = -1, .io = &nowhere };
	struct naive naive = { .page = page_size / K4 };
	struct vmig_device *devices[2];
	struct vmig_memory_log *log;
	struct tiny tinies[2];

	for (int i = 0; i < 2; i++) {
		tiny_open(&tinies[i], 0, TINY_COPIES);
		devices[i] = tinies[i].dev;
		ck_assert_int_eq(vmig_device_map_dma(devices[i], &map), 0);
	}
	ck_assert_int_eq(vmig_memory_log_new(devices, 2, ranges, 2, page_size, &log), 0);
	ck_assert_str_eq(vmig_memory_log_note(log), "");
	for (int i = 0; i < 1500; i++)
		if (rand() % 4)
			random_write(tinies, log, &naive);
		else
			random_report(log, &naive);
	vmig_memory_log_free(log);
	for (int i = 0; i < 2; i++)
		tiny_close(&tinies[i]);
}

TEST(any_writes_and_reports_are_as_a_naive_log_has_them)
{
	srand(harness_seed());
	compare_with_naive(K4);
	compare_with_naive(4 * K4);
}

HARNESS("memory-log", T(ranges_that_are_too_many_are_merged_where_they_are_closest),
	T(a_device_that_takes_no_small_pages_is_asked_for_larger_ones),
	T(a_page_size_that_the_device_chooses_loses_nothing), T(a_report_that_fails_makes_all_dirty_once),
	T(a_log_that_does_not_start_makes_all_dirty_always),
	T(a_device_without_a_log_makes_all_dirty_but_one_without_dma_does_not),
	T(bad_arguments_have_their_errors), T(any_writes_and_reports_are_as_a_naive_log_has_them))
