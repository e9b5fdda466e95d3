/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * dma - the user's memory as the device sees it: the table of mappings, and accesses through it.
 *
 * Memory that is in this process is copied under the table's read lock, so that an unmap, which takes
 * the write lock, waits for it. Memory that is reached by message is asked for without any lock: a
 * mapping counts such calls, and an unmap waits until there are none.
 */
#ifndef VMIG_DEVICE_DMA_H
#define VMIG_DEVICE_DMA_H

#include <pthread.h>

#include "device/dma_log.h"

struct vmig_mapping;

struct vmig_dma_table {
	pthread_mutex_t call_lock; /* map and unmap, one at a time; never held while waiting for an access */
	pthread_rwlock_t lock;
	struct vmig_mapping **maps; /* sorted by iova */
	size_t n_maps, room;
	pthread_mutex_t drain_lock; /* the calls that are out, of each mapping */
	pthread_cond_t drained;
	struct vmig_dma_log log;
	void (*changed)(void *opaque); /* may be NULL; under call_lock */
	void *opaque;
};

void vmig_dma_init(struct vmig_dma_table *table, void (*changed)(void *opaque), void *opaque);
/** Nobody accesses it any more. */
void vmig_dma_done(struct vmig_dma_table *table);

/** As vmig_device_map_dma() and its fellows; the handle has checked the arguments. */
int vmig_dma_map(struct vmig_dma_table *table, const struct vmig_dma *map, struct vmig_error *error);
int vmig_dma_unmap(struct vmig_dma_table *table, uint64_t iova, uint64_t size, struct vmig_error *error);
int vmig_dma_start_log(struct vmig_dma_table *table, uint64_t page_size, const struct vmig_range *ranges,
		       uint32_t n, struct vmig_error *error);

/** As vmig_model_dma_read() and _write(). */
int vmig_dma_read(struct vmig_dma_table *table, uint64_t iova, void *buf, size_t len);
int vmig_dma_write(struct vmig_dma_table *table, uint64_t iova, const void *buf, size_t len);

#endif
