/* SPDX-License-Identifier: BSD-3-Clause */
/* The DMA log against a naive one: any ranges, page sizes and addresses, up to the end of the address space. */
#include "harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "tiny.h"

#define K4       4096ull
#define TOP_PAGE (UINT64_MAX - (K4 - 1))

static int io_read(void *opaque, uint64_t iova, void *buf, size_t len)
{
	return 0;
}

static int io_write(void *opaque, uint64_t iova, const void *buf, size_t len)
{
	return 0;
}

/* Memory that is nowhere: what is written to it is forgotten, so that it can lie anywhere and be enormous. */
static const struct vmig_dma_io nowhere = { .read = io_read, .write = io_write };

static void map_nowhere(struct tiny *tiny, uint64_t iova, uint64_t size)
{
	const struct vmig_dma map = {
		.iova = iova, .size = size, .prot = VMIG_DMA_READ | VMIG_DMA_WRITE, .fd = -1, .io = &nowhere
	};

	ck_assert_int_eq(vmig_device_map_dma(tiny->dev, &map), 0);
}

static void start(struct tiny *tiny, uint64_t page_size, uint64_t iova, uint64_t length)
{
	const struct vmig_range range = { iova, length };
	uint64_t chosen = page_size;

	ck_assert_int_eq(vmig_device_dma_log_start(tiny->dev, &chosen, &range, 1), 0);
	ck_assert_uint_eq(chosen, page_size);
}

static void stop(struct tiny *tiny)
{
	ck_assert_int_eq(vmig_device_dma_log_stop(tiny->dev), 0);
}

static void write_at(struct tiny *tiny, uint64_t iova, size_t len)
{
	static const char zeros[1 << 20];

	ck_assert_uint_le(len, sizeof(zeros));
	ck_assert_int_eq(vmig_model_dma_write(tiny->model, iova, zeros, len), 0);
}

/** One report of at most 64 pages. */
static uint64_t report64(struct tiny *tiny, uint64_t iova, uint64_t length, uint64_t page_size)
{
	uint64_t bitmap[2] = { 0, 0xfeed };

	ck_assert_int_eq(vmig_device_dma_log_report(tiny->dev, iova, length, page_size, bitmap), 0);
	ck_assert_uint_eq(bitmap[1], 0xfeed);
	return bitmap[0];
}

/* --- the rules ---------------------------------------------------------------------------- */

TEST(start_and_stop_have_their_errors)
{
	const struct vmig_range good = { 0, 16 * K4 };
	const struct vmig_range bad[] = {
		{ 0, 0 }, { 1, K4 }, { K4, K4 + 1 }, { TOP_PAGE, 2 * K4 }, { UINT64_MAX, K4 },
	};
	uint64_t page = K4, odd = 3 * K4, zero = 0;
	struct tiny tiny;

	tiny_open(&tiny, 0, TINY_COPIES);
	ck_assert_int_eq(vmig_device_dma_log_stop(tiny.dev), -EINVAL);
	ck_assert_int_eq(vmig_device_dma_log_report(tiny.dev, 0, K4, K4, &zero), -EINVAL);
	ck_assert_int_eq(vmig_device_dma_log_start(tiny.dev, &page, &good, 0), -EINVAL);
	ck_assert_int_eq(vmig_device_dma_log_start(tiny.dev, &odd, &good, 1), -EINVAL);
	ck_assert_int_eq(vmig_device_dma_log_start(tiny.dev, &zero, &good, 1), -EINVAL);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_int_eq(vmig_device_dma_log_start(tiny.dev, &page, &bad[i], 1), -EINVAL);
	ck_assert_int_eq(vmig_device_dma_log_start(tiny.dev, &page, &good, 1), 0);
	ck_assert_int_eq(vmig_device_dma_log_start(tiny.dev, &page, &good, 1), -EBUSY);
	ck_assert_int_eq(vmig_device_dma_log_stop(tiny.dev), 0);
	ck_assert_int_eq(vmig_device_dma_log_stop(tiny.dev), -EINVAL);
	tiny_close(&tiny);
}

TEST(overlapping_ranges_are_refused)
{
	const struct vmig_range overlap[] = { { 8 * K4, 2 * K4 }, { 0, K4 }, { 9 * K4, K4 } };
	const struct vmig_range same[] = { { 0, K4 }, { 0, K4 } };
	const struct vmig_range at_the_top[] = { { TOP_PAGE, K4 }, { TOP_PAGE - K4, 2 * K4 } };
	uint64_t page = K4;
	struct tiny tiny;

	tiny_open(&tiny, 0, TINY_COPIES);
	ck_assert_int_eq(vmig_device_dma_log_start(tiny.dev, &page, overlap, 3), -EINVAL);
	ck_assert_int_eq(vmig_device_dma_log_start(tiny.dev, &page, same, 2), -EINVAL);
	ck_assert_int_eq(vmig_device_dma_log_start(tiny.dev, &page, at_the_top, 2), -EINVAL);
	tiny_close(&tiny);
}

TEST(ranges_have_a_limit)
{
	for (uint32_t n = VMIG_LIMIT_LOG_RANGES - 1; n <= VMIG_LIMIT_LOG_RANGES + 1; n++) {
		struct vmig_range *ranges = calloc(n, sizeof(*ranges));
		uint64_t page = K4;
		struct tiny tiny;

		for (uint32_t i = 0; i < n; i++)
			ranges[i] = (struct vmig_range){ 2 * K4 * (n - i), K4 };
		tiny_open(&tiny, 0, TINY_COPIES);
		ck_assert_int_eq(vmig_device_dma_log_start(tiny.dev, &page, ranges, n),
				 n <= VMIG_LIMIT_LOG_RANGES ? 0 : -E2BIG);
		tiny_close(&tiny);
		free(ranges);
	}
}

/* A chunk of bits is 4 KiB, for 128 MiB of memory in 4 KiB pages; chunks are made for what is mapped. */
#define CHUNK_COVERS (4096ull * 8 * K4)

TEST(bitmaps_have_a_limit_at_start_and_at_map)
{
	const uint64_t most = VMIG_LIMIT_LOG_BITMAP / 4096 * CHUNK_COVERS;
	const struct vmig_range all[] = { { 0, 1ull << 63 }, { 1ull << 63, 1ull << 63 } };
	const struct vmig_dma one_more = {
		.iova = 1ull << 60, .size = K4, .prot = VMIG_DMA_WRITE, .fd = -1, .io = &nowhere
	};
	uint64_t page = K4;
	struct tiny tiny;

	tiny_open(&tiny, 0, TINY_COPIES);
	map_nowhere(&tiny, 0, most + K4);
	ck_assert_int_eq(vmig_device_dma_log_start(tiny.dev, &page, all, 2), -ENOSPC);
	ck_assert_int_eq(vmig_device_dma_log_stop(tiny.dev), -EINVAL); /* it is not half on */
	ck_assert_int_eq(vmig_device_unmap_dma(tiny.dev, 0, most + K4), 0);
	map_nowhere(&tiny, 0, most - CHUNK_COVERS);
	ck_assert_int_eq(vmig_device_dma_log_start(tiny.dev, &page, all, 2), 0);
	map_nowhere(&tiny, most - CHUNK_COVERS, CHUNK_COVERS);
	ck_assert_int_eq(vmig_device_map_dma(tiny.dev, &one_more), -ENOSPC);
	ck_assert_int_eq(vmig_device_dma_log_stop(tiny.dev), 0);
	ck_assert_int_eq(vmig_device_map_dma(tiny.dev, &one_more), 0);
	tiny_close(&tiny);
}

TEST(a_report_must_lie_within_the_ranges)
{
	const struct vmig_range ranges[] = { { 16 * K4, 4 * K4 }, { 4 * K4, 4 * K4 }, { 20 * K4, 4 * K4 } };
	const struct {
		uint64_t iova, length, page_size;
		int r;
	} cases[] = {
		{ 4 * K4, 4 * K4, K4, 0 },        { 5 * K4, K4, K4, 0 },
		{ 16 * K4, 8 * K4, K4, 0 }, /* two neighbours */
		{ 4 * K4, 5 * K4, K4, -EINVAL },  { 3 * K4, 2 * K4, K4, -EINVAL },
		{ 4 * K4, 16 * K4, K4, -EINVAL }, /* a gap between */
		{ 4 * K4, 0, K4, -EINVAL },       { 4 * K4, K4, 0, -EINVAL },
		{ 4 * K4, K4, 3, -EINVAL },       { 4 * K4, UINT64_MAX, K4, -EINVAL },
		{ 24 * K4, K4, K4, -EINVAL },
	};
	uint64_t page = K4, bitmap[8] = { 0 };
	struct tiny tiny;

	tiny_open(&tiny, 0, TINY_COPIES);
	ck_assert_int_eq(vmig_device_dma_log_start(tiny.dev, &page, ranges, 3), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_msg(vmig_device_dma_log_report(tiny.dev, cases[i].iova, cases[i].length,
							 cases[i].page_size, bitmap) == cases[i].r,
			      "case %zu", i);
	tiny_close(&tiny);
}

TEST(only_writes_within_the_ranges_are_logged)
{
	char buf[64];
	struct tiny tiny;

	tiny_open(&tiny, 0, TINY_COPIES);
	map_nowhere(&tiny, 0, 64 * K4);
	start(&tiny, K4, 8 * K4, 8 * K4);
	write_at(&tiny, 0, 64 * K4);
	ck_assert_uint_eq(report64(&tiny, 8 * K4, 8 * K4, K4), 0xff);
	ck_assert_uint_eq(report64(&tiny, 8 * K4, 8 * K4, K4), 0);
	ck_assert_int_eq(vmig_model_dma_read(tiny.model, 9 * K4, buf, sizeof(buf)), 0);
	ck_assert_uint_eq(report64(&tiny, 8 * K4, 8 * K4, K4), 0);
	write_at(&tiny, 10 * K4 - 1, 2);
	ck_assert_uint_eq(report64(&tiny, 8 * K4, 8 * K4, K4), 6);
	tiny_close(&tiny);
}

TEST(the_whole_address_space_can_be_logged)
{
	const struct vmig_range all[] = { { 1ull << 63, 1ull << 63 }, { 0, 1ull << 63 } };
	uint64_t page = K4;
	struct tiny tiny;

	tiny_open(&tiny, 0, TINY_COPIES);
	map_nowhere(&tiny, TOP_PAGE - 3 * K4, 4 * K4);
	ck_assert_int_eq(vmig_device_dma_log_start(tiny.dev, &page, all, 2), 0);
	map_nowhere(&tiny, (1ull << 63) - 2 * K4, 4 * K4); /* after the start, across the ranges' border */
	write_at(&tiny, UINT64_MAX, 1);
	write_at(&tiny, (1ull << 63) - 1, 2);
	ck_assert_uint_eq(report64(&tiny, TOP_PAGE - 3 * K4, 4 * K4, K4), 8);
	ck_assert_uint_eq(report64(&tiny, (1ull << 63) - 2 * K4, 4 * K4, K4), 6);
	write_at(&tiny, TOP_PAGE, 1);
	ck_assert_uint_eq(report64(&tiny, 1ull << 63, 1ull << 63, 1ull << 62), 2);
	ck_assert_uint_eq(report64(&tiny, TOP_PAGE, K4, K4), 0);
	tiny_close(&tiny);
}

TEST(bits_outlive_the_mapping)
{
	struct tiny tiny;

	tiny_open(&tiny, 0, TINY_COPIES);
	map_nowhere(&tiny, 0, 4 * K4);
	start(&tiny, K4, 0, 16 * K4);
	write_at(&tiny, 2 * K4, 1);
	ck_assert_int_eq(vmig_device_unmap_dma(tiny.dev, 0, 4 * K4), 0);
	ck_assert_uint_eq(report64(&tiny, 0, 16 * K4, K4), 4);
	tiny_close(&tiny);
}

TEST(a_log_starts_empty_and_a_reset_stops_it)
{
	struct tiny tiny;

	tiny_open(&tiny, 0, TINY_COPIES);
	map_nowhere(&tiny, 0, 4 * K4);
	write_at(&tiny, 0, 1);
	start(&tiny, K4, 0, 4 * K4);
	ck_assert_uint_eq(report64(&tiny, 0, 4 * K4, K4), 0);
	write_at(&tiny, 0, 1);
	stop(&tiny);
	start(&tiny, K4, 0, 4 * K4);
	ck_assert_uint_eq(report64(&tiny, 0, 4 * K4, K4), 0);
	ck_assert_int_eq(vmig_device_reset(tiny.dev), 0);
	ck_assert_int_eq(vmig_device_dma_log_stop(tiny.dev), -EINVAL);
	tiny_close(&tiny);
}

/* Errors that others had: an endless loop when finer, lost bits when coarser. */
TEST(finer_and_coarser_reports_lose_nothing)
{
	struct tiny tiny;

	tiny_open(&tiny, 0, TINY_COPIES);
	map_nowhere(&tiny, 0, 64 * K4);
	start(&tiny, K4, 0, 64 * K4);
	write_at(&tiny, 5 * K4 + 7, 1);
	ck_assert_uint_eq(report64(&tiny, 4 * K4, 4 * K4, 512), 0xff00);
	write_at(&tiny, 5 * K4, 1);
	write_at(&tiny, 63 * K4, 1);
	ck_assert_uint_eq(report64(&tiny, 0, 64 * K4, 4 * K4), 0x8002);
	write_at(&tiny, 17 * K4, 1);
	ck_assert_uint_eq(report64(&tiny, 0, 64 * K4, 1ull << 63), 1);
	/* A page that is asked for in part stays marked for the other part. */
	write_at(&tiny, 2 * K4, 1);
	ck_assert_uint_eq(report64(&tiny, 2 * K4, 1024, 512), 3);
	ck_assert_uint_eq(report64(&tiny, 2 * K4 + 1024, K4 - 1024, 512), 0x3f);
	ck_assert_uint_eq(report64(&tiny, 2 * K4, K4, 512), 0xff);
	ck_assert_uint_eq(report64(&tiny, 2 * K4, K4, 512), 0);
	tiny_close(&tiny);
}

TEST(what_a_partial_report_leaves_comes_with_the_next)
{
	struct tiny tiny;

	tiny_open(&tiny, 0, TINY_COPIES);
	map_nowhere(&tiny, 0, 64 * K4);
	start(&tiny, K4, 0, 64 * K4);
	write_at(&tiny, 0, 64 * K4);
	ck_assert_uint_eq(report64(&tiny, 0, K4, K4), 1); /* the rest is in one bitmap */
	write_at(&tiny, 9 * K4, 1);                       /* and this in the other */
	ck_assert_uint_eq(report64(&tiny, K4, K4, K4), 1);
	ck_assert_uint_eq(report64(&tiny, 0, 64 * K4, K4), ~3ull);
	ck_assert_uint_eq(report64(&tiny, 0, 64 * K4, K4), 0);
	tiny_close(&tiny);
}

TEST(a_report_may_end_within_the_first_page_of_a_chunk)
{
	const uint64_t end = CHUNK_COVERS;
	struct tiny tiny;

	tiny_open(&tiny, 0, TINY_COPIES);
	map_nowhere(&tiny, 0, 2 * CHUNK_COVERS);
	start(&tiny, K4, 0, 2 * CHUNK_COVERS);
	write_at(&tiny, end - K4, 2 * K4);
	ck_assert_uint_eq(report64(&tiny, end - K4, K4 + 512, 512), 0x1ff);
	ck_assert_uint_eq(report64(&tiny, end - K4, 2 * K4, K4), 2);
	tiny_close(&tiny);
}

/* --- against a naive log ------------------------------------------------------------------ */

#define WINDOW 80000ull /* log pages: three chunks or so */

/** The same as the library's log, one flag a page, with offsets from @base instead of addresses. */
struct naive {
	uint64_t base, page;
	uint8_t dirty[WINDOW], ranged[WINDOW];
};

static uint64_t random64(void)
{
	return (uint64_t)random() << 42 ^ (uint64_t)random() << 21 ^ (uint64_t)random();
}

static void naive_write(struct naive *naive, uint64_t offset, uint64_t len)
{
	for (uint64_t p = offset / naive->page; p <= (offset + len - 1) / naive->page; p++)
		naive->dirty[p] |= naive->ranged[p];
}

static void naive_report(struct naive *naive, uint64_t offset, uint64_t len, uint64_t page_size,
			 uint64_t *bitmap)
{
	for (uint64_t p = offset / naive->page; p <= (offset + len - 1) / naive->page; p++) {
		uint64_t from = p * naive->page, to = from + naive->page;
		uint64_t cut_from = from < offset ? offset : from,
			 cut_to = to > offset + len ? offset + len : to;

		if (!naive->dirty[p])
			continue;
		for (uint64_t bit = (cut_from - offset) / page_size; bit <= (cut_to - 1 - offset) / page_size;
		     bit++)
			bitmap[bit / 64] |= 1ull << bit % 64;
		if (cut_from == from && cut_to == to)
			naive->dirty[p] = 0;
	}
}

/** A stretch within one range, of log pages or of any bytes. */
static void choose_stretch(const struct vmig_range *range, uint64_t page, uint64_t *ret_iova,
			   uint64_t *ret_length)
{
	uint64_t unit = random() % 2 ? page : 1, units = range->length / unit;
	uint64_t first, n;

	if (random() % 4 == 0) {
		*ret_iova = range->iova;
		*ret_length = range->length;
		return;
	}
	first = random64() % units;
	if (random() % 2)
		first -= first % 64;
	n = 1 + random64() % (random() % 2 ? units - first : (units - first < 300 ? units - first : 300));
	*ret_iova = range->iova + first * unit;
	*ret_length = n * unit;
}

static void compare_report(struct tiny *tiny, struct naive *naive, const struct vmig_range *range)
{
	uint64_t iova, length, page_size, words, *got, *want;

	choose_stretch(range, naive->page, &iova, &length);
	do {
		page_size = 1ull << random() % 40;
	} while (length / page_size > 1000000);
	if (random() % 2)
		page_size = naive->page;
	words = (length - 1) / page_size / 64 + 1;
	got = malloc(words * 8);
	want = malloc(words * 8);
	for (uint64_t i = 0; i < words; i++)
		got[i] = want[i] = random() % 8 ? 0 : random64(); /* bits are only ever set */
	ck_assert_int_eq(vmig_device_dma_log_report(tiny->dev, iova, length, page_size, got), 0);
	naive_report(naive, iova - naive->base, length, page_size, want);
	ck_assert_msg(!memcmp(got, want, words * 8),
		      "iova %#llx length %#llx page size %#llx, logged at %#llx (seed %u)",
		      (unsigned long long)iova, (unsigned long long)length, (unsigned long long)page_size,
		      (unsigned long long)naive->page, harness_seed());
	free(got);
	free(want);
}

/** Ranges in the window: one, or many with gaps and neighbours, in any order. */
static uint32_t choose_ranges(struct naive *naive, struct vmig_range *ranges, uint32_t max)
{
	uint64_t at = random() % 3 ? random64() % 1000 : 0;
	uint32_t n = 0, want = random() % 2 ? 1 : 1 + random() % max;

	while (n < want && at < WINDOW) {
		uint64_t length = 1 + random64() % (WINDOW - at);

		if (n + 1 < want)
			length = 1 + length / 8;
		ranges[n++] = (struct vmig_range){ naive->base + at * naive->page, length * naive->page };
		memset(naive->ranged + at, 1, length);
		at += length + (random() % 2 ? random() % 100 : 0);
	}
	for (uint32_t i = 0; i < n; i++) {
		uint32_t k = (uint32_t)random() % n;
		struct vmig_range range = ranges[i];

		ranges[i] = ranges[k];
		ranges[k] = range;
	}
	return n;
}

static void compare_one_log(struct naive *naive)
{
	struct vmig_range ranges[20];
	unsigned int shift = random() % 2 ? 12 : 12 + random() % 20;
	uint64_t span = WINDOW << shift;
	struct tiny tiny;
	uint32_t n;

	memset(naive, 0, sizeof(*naive));
	naive->page = 1ull << shift;
	/* Anywhere, or so that the last page ends at 2^64. */
	naive->base = random() % 3 ? (random64() & ((1ull << 52) - 1)) << 12 >> shift << shift : -span;
	if (naive->base > -span)
		naive->base = -span;
	n = choose_ranges(naive, ranges, 20);
	tiny_open(&tiny, 0, TINY_COPIES);
	map_nowhere(&tiny, naive->base, span / 2);
	ck_assert_int_eq(vmig_device_dma_log_start(tiny.dev, &naive->page, ranges, n), 0);
	map_nowhere(&tiny, naive->base + span / 2, span / 2);
	for (int i = 0; i < 60; i++) {
		for (int k = random() % 100; k; k--) {
			uint64_t offset = random64() % span;
			uint64_t len = 1 + random64() % (random() % 10 ? 70000 : 1 << 20);

			if (len > span - offset)
				len = span - offset;
			write_at(&tiny, naive->base + offset, len);
			naive_write(naive, offset, len);
		}
		compare_report(&tiny, naive, &ranges[random() % n]);
	}
	tiny_close(&tiny);
}

TEST(random_logs_are_what_a_naive_log_says)
{
	static struct naive naive;

	srandom(harness_seed());
	for (int i = 0; i < 40; i++)
		compare_one_log(&naive);
}

HARNESS("dma-log", T(start_and_stop_have_their_errors), T(overlapping_ranges_are_refused),
	T(ranges_have_a_limit), T(bitmaps_have_a_limit_at_start_and_at_map),
	T(a_report_must_lie_within_the_ranges), T(only_writes_within_the_ranges_are_logged),
	T(the_whole_address_space_can_be_logged), T(bits_outlive_the_mapping),
	T(a_log_starts_empty_and_a_reset_stops_it), T(finer_and_coarser_reports_lose_nothing),
	T(what_a_partial_report_leaves_comes_with_the_next),
	T(a_report_may_end_within_the_first_page_of_a_chunk),
	T_SLOW(random_logs_are_what_a_naive_log_says, 120))
