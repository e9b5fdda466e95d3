/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "device/dma_log_chunk.h"

void vmig_dma_log_init(struct vmig_dma_log *log)
{
	pthread_rwlockattr_t attr;

	*log = (struct vmig_dma_log){ 0 };
	pthread_mutex_init(&log->call_lock, NULL);
	/* A device that writes all the time must not keep a report waiting. */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&log->lock, &attr);
	pthread_rwlockattr_destroy(&attr);
}

static void clear(struct vmig_dma_log *log)
{
	for (size_t i = 0; i < log->n_chunks; i++)
		free(log->chunks[i]);
	free(log->chunks);
	free(log->ranges);
	log->chunks = NULL;
	log->ranges = NULL;
	log->n_chunks = log->chunk_room = 0;
	log->n_ranges = 0;
	log->on = false;
}

void vmig_dma_log_done(struct vmig_dma_log *log)
{
	clear(log);
	pthread_rwlock_destroy(&log->lock);
	pthread_mutex_destroy(&log->call_lock);
}

/* --- start and stop ----------------------------------------------------------------------- */

static int compare_ranges(const void *a, const void *b)
{
	const struct vmig_range *x = a, *y = b;

	return (x->iova > y->iova) - (x->iova < y->iova);
}

/** A sorted copy. -EINVAL: some overlap. */
static int own_ranges(const struct vmig_range *ranges, uint32_t n, struct vmig_range **ret)
{
	_autofree_ struct vmig_range *own = reallocarray(NULL, n, sizeof(*own));

	if (!own)
		return -ENOMEM;
	memcpy(own, ranges, n * sizeof(*own));
	qsort(own, n, sizeof(*own), compare_ranges);
	for (uint32_t i = 1; i < n; i++)
		if (own[i].iova <= vmig_log_range_last(&own[i - 1]))
			return -EINVAL;
	*ret = steal_ptr(own);
	return 0;
}

int vmig_dma_log_start(struct vmig_dma_log *log, uint64_t page_size, const struct vmig_range *ranges,
		       uint32_t n, struct vmig_error *error)
{
	struct vmig_range *own = NULL;
	int r;

	if (n > VMIG_LIMIT_LOG_RANGES)
		return vmig_fault(error, -E2BIG, "DMA_LOGGING_START", "%u ranges, at most %u are possible", n,
				  VMIG_LIMIT_LOG_RANGES);
	r = own_ranges(ranges, n, &own);
	if (r < 0)
		return vmig_fault(error, r, "DMA_LOGGING_START",
				  r == -EINVAL ? "ranges overlap" : "no memory");
	pthread_mutex_lock(&log->call_lock);
	if (log->on) {
		r = vmig_fault(error, -EBUSY, "DMA_LOGGING_START", "it is started already");
		free(own);
	} else {
		pthread_rwlock_wrlock(&log->lock);
		log->shift = (unsigned int)__builtin_ctzll(page_size);
		log->ranges = own;
		log->n_ranges = n;
		log->on = true;
		pthread_rwlock_unlock(&log->lock);
	}
	pthread_mutex_unlock(&log->call_lock);
	return r;
}

int vmig_dma_log_stop(struct vmig_dma_log *log, struct vmig_error *error)
{
	int r = 0;

	pthread_mutex_lock(&log->call_lock);
	if (log->on) {
		pthread_rwlock_wrlock(&log->lock);
		clear(log);
		pthread_rwlock_unlock(&log->lock);
	} else {
		r = vmig_fault(error, -EINVAL, "DMA_LOGGING_STOP", "it is not started");
	}
	pthread_mutex_unlock(&log->call_lock);
	return r;
}

/* --- making room -------------------------------------------------------------------------- */

static int insert_chunk(struct vmig_dma_log *log, size_t at, uint64_t number)
{
	struct vmig_log_chunk *chunk = aligned_alloc(64, sizeof(*chunk));
	int r = -ENOMEM;

	if (!chunk)
		return -ENOMEM;
	memset(chunk, 0, sizeof(*chunk));
	chunk->number = number;
	pthread_rwlock_wrlock(&log->lock);
	if (log->n_chunks == log->chunk_room) {
		size_t room = log->chunk_room ? 2 * log->chunk_room : 64;
		struct vmig_log_chunk **chunks = reallocarray(log->chunks, room, sizeof(*chunks));

		if (chunks) {
			log->chunks = chunks;
			log->chunk_room = room;
		}
	}
	if (log->n_chunks < log->chunk_room) {
		memmove(&log->chunks[at + 1], &log->chunks[at],
			(log->n_chunks - at) * sizeof(log->chunks[0]));
		log->chunks[at] = chunk;
		log->n_chunks++;
		chunk = NULL;
		r = 0;
	}
	pthread_rwlock_unlock(&log->lock);
	free(chunk);
	return r;
}

/** Chunks for the pages of [@iova, @last], which lies in one range. */
static int cover_part(struct vmig_dma_log *log, uint64_t iova, uint64_t last)
{
	uint64_t first = iova >> log->shift >> CHUNK_SHIFT, end = last >> log->shift >> CHUNK_SHIFT;

	if (end - first >= CHUNKS_MAX)
		return -ENOSPC;
	for (uint64_t number = first; number - first <= end - first; number++) {
		size_t at = vmig_log_find_chunk(log, number);
		int r;

		if (at < log->n_chunks && log->chunks[at]->number == number)
			continue;
		if (log->n_chunks >= CHUNKS_MAX)
			return -ENOSPC;
		r = insert_chunk(log, at, number);
		if (r < 0)
			return r;
	}
	return 0;
}

int vmig_dma_log_cover(struct vmig_dma_log *log, uint64_t iova, uint64_t size, struct vmig_error *error)
{
	uint64_t last = iova + (size - 1);
	int r = 0;

	pthread_mutex_lock(&log->call_lock);
	for (uint32_t i = vmig_log_find_range(log, iova);
	     i < log->n_ranges && log->ranges[i].iova <= last && !r; i++)
		r = cover_part(log, MAX(iova, log->ranges[i].iova),
			       MIN(last, vmig_log_range_last(&log->ranges[i])));
	pthread_mutex_unlock(&log->call_lock);
	if (r < 0)
		vmig_fault(error, r, "DMA_LOGGING", "no room for the bits of %#llx + %#llx: %s",
			   (unsigned long long)iova, (unsigned long long)size,
			   r == -ENOSPC ? "the bitmaps would be larger than their limit" : "no memory");
	return r;
}

/* --- marking ------------------------------------------------------------------------------ */

static void mark_pages(struct vmig_dma_log *log, uint64_t page, uint64_t last)
{
	size_t at = vmig_log_find_chunk(log, page >> CHUNK_SHIFT);

	for (;;) {
		uint64_t mask = vmig_log_word_mask(page, last);

		while (at < log->n_chunks && log->chunks[at]->number < page >> CHUNK_SHIFT)
			at++;
		if (at < log->n_chunks && log->chunks[at]->number == page >> CHUNK_SHIFT) {
			struct vmig_log_chunk *chunk = log->chunks[at];
			uint64_t *word = &chunk->bits[chunk->active][page % CHUNK_PAGES / 64];

			/* Most writes hit pages that are marked already: no locked access for those. */
			if ((__atomic_load_n(word, __ATOMIC_RELAXED) & mask) != mask)
				__atomic_fetch_or(word, mask, __ATOMIC_RELAXED);
			if (!__atomic_load_n(&chunk->any[chunk->active], __ATOMIC_RELAXED))
				__atomic_store_n(&chunk->any[chunk->active], true, __ATOMIC_RELAXED);
		}
		if (last - page <= 63 - page % 64)
			return;
		page += 64 - page % 64;
	}
}

void vmig_dma_log_mark(struct vmig_dma_log *log, uint64_t iova, size_t len)
{
	uint64_t last = iova + (len - 1);

	/* The lock is taken even to learn that the log is off: it orders the write before the mark. */
	pthread_rwlock_rdlock(&log->lock);
	for (uint32_t i = vmig_log_find_range(log, iova); i < log->n_ranges && log->ranges[i].iova <= last;
	     i++)
		mark_pages(log, MAX(iova, log->ranges[i].iova) >> log->shift,
			   MIN(last, vmig_log_range_last(&log->ranges[i])) >> log->shift);
	pthread_rwlock_unlock(&log->lock);
}
