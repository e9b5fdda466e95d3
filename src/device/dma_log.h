/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * dma_log - which pages the device has written: any set of ranges, any power-of-two page size.
 *
 * Bits are kept in chunks, made when memory in the ranges is mapped, so that marking never allocates
 * and an enormous range costs only what is mapped in it. Each chunk has two bitmaps: the device marks
 * in the active one; a report swaps them under the write lock, which is the grace period (every mark
 * holds the read lock), and then has the other one to itself: plain reads and writes, no locked
 * exchange for each word. A chunk that was reported in part keeps the rest in its inactive bitmap.
 */
#ifndef VMIG_DEVICE_DMA_LOG_H
#define VMIG_DEVICE_DMA_LOG_H

#include <pthread.h>

#include <vmig/device.h>

#include "base/fault.h"
#include "base/util.h"

struct vmig_log_chunk;

struct vmig_dma_log {
	pthread_mutex_t call_lock; /* start, stop, cover, report: one at a time */
	pthread_rwlock_t lock;     /* a mark reads what follows; changed under the write lock */
	bool on;
	unsigned int shift;        /* log2 of the page size */
	struct vmig_range *ranges; /* sorted */
	uint32_t n_ranges;
	struct vmig_log_chunk **chunks; /* sorted */
	size_t n_chunks, chunk_room;
};

void vmig_dma_log_init(struct vmig_dma_log *log);
void vmig_dma_log_done(struct vmig_dma_log *log);

/*
 * The handle has checked the arguments: page sizes are powers of two, ranges are not empty, do not wrap
 * and are multiples of the page size.
 */

/** -EBUSY: started already. -EINVAL: ranges overlap. -E2BIG: over VMIG_LIMIT_LOG_RANGES. -ENOMEM. */
int vmig_dma_log_start(struct vmig_dma_log *log, uint64_t page_size, const struct vmig_range *ranges,
		       uint32_t n, struct vmig_error *error);
/** -EINVAL: not started. */
int vmig_dma_log_stop(struct vmig_dma_log *log, struct vmig_error *error);

/** Memory is mapped at [@iova, @iova + @size): make room for its bits, where it lies in the ranges.
 *  No-op if not started. -ENOSPC: over VMIG_LIMIT_LOG_BITMAP. */
int vmig_dma_log_cover(struct vmig_dma_log *log, uint64_t iova, uint64_t size, struct vmig_error *error);

/** The device has written [@iova, @iova + @len), @len > 0. After the write, never before it. Any thread. */
void vmig_dma_log_mark(struct vmig_dma_log *log, uint64_t iova, size_t len);

/** As vmig_device_dma_log_report(). -EINVAL: not started, or not within the ranges. */
int vmig_dma_log_report(struct vmig_dma_log *log, uint64_t iova, uint64_t length, uint64_t page_size,
			uint64_t *bitmap, struct vmig_error *error);

#endif
