/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * dma_log_chunk - the inside of the DMA log, for the file that marks and the file that reports.
 *
 * All ranges of bytes and pages are inclusive at both ends: the last page ends at 2^64.
 */
#ifndef VMIG_DEVICE_DMA_LOG_CHUNK_H
#define VMIG_DEVICE_DMA_LOG_CHUNK_H

#include "base/limits.h"
#include "device/dma_log.h"

#define CHUNK_SHIFT 15
#define CHUNK_PAGES (1ull << CHUNK_SHIFT)
#define CHUNK_WORDS (CHUNK_PAGES / 64)
#define CHUNKS_MAX  (VMIG_LIMIT_LOG_BITMAP / (CHUNK_PAGES / 8))

struct vmig_log_chunk {
	uint64_t number;     /* of its first page, >> CHUNK_SHIFT */
	unsigned int active; /* which bitmap is marked; under log->lock */
	bool any[2];         /* may have bits; belongs to the bitmap, which may be skipped without */
	uint64_t bits[2][CHUNK_WORDS] __attribute__((aligned(64)));
};

static inline uint64_t vmig_log_range_last(const struct vmig_range *range)
{
	return range->iova + (range->length - 1);
}

/** The first range that ends at or behind @iova. */
static inline uint32_t vmig_log_find_range(const struct vmig_dma_log *log, uint64_t iova)
{
	uint32_t low = 0, high = log->n_ranges;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (vmig_log_range_last(&log->ranges[mid]) < iova)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/** The first chunk with this number or a greater one. */
static inline size_t vmig_log_find_chunk(const struct vmig_dma_log *log, uint64_t number)
{
	size_t low = 0, high = log->n_chunks;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (log->chunks[mid]->number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/** The bits of one word for the pages from @page to @last, or to the word's end. */
static inline uint64_t vmig_log_word_mask(uint64_t page, uint64_t last)
{
	unsigned int low = page % 64;
	uint64_t n = last - page;

	return n >= 63 - low ? ~0ull << low : (~0ull >> (63 - n)) << low;
}

#endif
