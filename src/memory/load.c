/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Loading memory. A table is believed only when all of it has come and every run lies in one region, behind the one before;
 * then its bytes go to their places, however they are cut. No run may reach out of the memory, whatever a source says.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/io.h"
#include "memory/pages.h"
#include "wire/cursor.h"

/* From here on one call is less than the faults. */
#define READY_BYTES (64u << 10)

void memory_load_begin(struct memory *memory)
{
	memory->batch = (struct memory_batch){ .table_len = MEMORY_HEAD_LEN };
	memory->ended = false;
	memory_mark_all(memory);
}

int memory_load_end(const struct memory *memory)
{
	const struct memory_batch *batch = &memory->batch;

	/* Nothing may follow the last batch, and every page must have come once. */
	return memory->ended && !batch->at && !memory->pending ? 0 : -EINVAL;
}

/* --- a table is taken ---------------------------------------------------------------------- */

static struct memory_region *find_region(const struct memory *memory, uint64_t iova, uint64_t length)
{
	uint32_t low = 0, high = memory->n_regions;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (memory->regions[mid].iova + (memory->regions[mid].size - 1) < iova)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == memory->n_regions || memory->regions[low].iova > iova)
		return NULL;
	return length <= memory->regions[low].size - (iova - memory->regions[low].iova)
		       ? &memory->regions[low]
		       : NULL;
}

static int take_head(struct memory *memory)
{
	struct memory_batch *batch = &memory->batch;
	struct vmig_cursor c = vmig_cursor_over(batch->table, MEMORY_HEAD_LEN);
	uint32_t flags;

	if (vmig_cursor_u32(&c) != MEMORY_MAGIC || vmig_cursor_u32(&c) != batch->number)
		return -EBADMSG;
	batch->n_runs = vmig_cursor_u32(&c);
	flags = vmig_cursor_u32(&c);
	batch->bytes = vmig_cursor_u64(&c);
	batch->end = flags & MEMORY_END;
	if ((flags & ~MEMORY_END) || batch->n_runs > VMIG_LIMIT_MEMORY_RUNS)
		return -EBADMSG;
	/* Only the last one is empty. */
	if (batch->end != !batch->n_runs || (batch->end && batch->bytes))
		return -EBADMSG;
	batch->table_len = MEMORY_HEAD_LEN + batch->n_runs * MEMORY_RUN_LEN;
	return 0;
}

/* @end: the first address behind the run before; never 0 again after one that ends at the top. */
static int take_run(struct memory *memory, struct vmig_cursor *c, struct memory_run *run, uint64_t *floor,
		    bool first)
{
	uint64_t iova = vmig_cursor_u64(c), length = (uint64_t)vmig_cursor_u32(c) * MEMORY_UNIT;
	uint32_t flags = vmig_cursor_u32(c);
	struct memory_region *region;

	if ((flags & ~MEMORY_ZERO) || !length || (!first && iova <= *floor))
		return -EBADMSG;
	region = find_region(memory, iova, length);
	if (!region)
		return -EBADMSG;
	*run = (struct memory_run){
		.region = region, .offset = iova - region->iova, .length = length, .zero = flags & MEMORY_ZERO
	};
	/* Whole pages, as the source has them: else a page could come by halves and count as come. */
	if ((run->offset | run->length) & ((1ull << region->shift) - 1))
		return -EBADMSG;
	*floor = iova + (length - 1);
	return 0;
}

/* Our view of it may never have been touched: made in one call, and not by a fault for each page. It is only a hint. */
static void make_ready(const struct memory_run *run)
{
#ifdef MADV_POPULATE_WRITE
	if (!run->zero && run->length >= READY_BYTES)
		(void)!madvise(run->region->view + run->offset, run->length, MADV_POPULATE_WRITE);
#endif
}

static int take_runs(struct memory *memory)
{
	struct memory_batch *batch = &memory->batch;
	struct vmig_cursor c =
		vmig_cursor_over(batch->table + MEMORY_HEAD_LEN, batch->table_len - MEMORY_HEAD_LEN);
	uint64_t bytes = 0, floor = 0;
	int r = 0;

	for (uint32_t i = 0; !r && i < batch->n_runs; i++) {
		r = take_run(memory, &c, &batch->runs[i], &floor, !i);
		if (!r && !batch->runs[i].zero)
			bytes += batch->runs[i].length;
	}
	if (r || bytes != batch->bytes)
		return -EBADMSG;
	for (uint32_t i = 0; i < batch->n_runs; i++)
		make_ready(&batch->runs[i]);
	return 0;
}

/* Pages that are zero already are only looked at, so that they need not be written. */
static void make_zero(uint8_t *bytes, uint64_t length)
{
	for (uint64_t at = 0; at < length; at += MEMORY_UNIT)
		if (bytes[at] || memcmp(bytes + at, bytes + at + 1, MEMORY_UNIT - 1))
			memset(bytes + at, 0, MEMORY_UNIT);
}

/* All of the batch is here: its pages have come. */
static void finish(struct memory *memory)
{
	struct memory_batch *batch = &memory->batch;

	for (uint32_t i = 0; i < batch->n_runs; i++) {
		const struct memory_run *run = &batch->runs[i];
		uint64_t *bits = run->region->bits, page = run->offset >> run->region->shift;
		uint64_t end = page + (run->length >> run->region->shift);

		if (run->zero)
			make_zero(run->region->view + run->offset, run->length);
		for (; (page = bits_find(bits, page, end, true)) < end; page++) {
			bits_clear(bits, page, page);
			memory->pending -= 1ull << run->region->shift;
		}
	}
	memory->ended = batch->end;
	*batch = (struct memory_batch){ .number = batch->number + 1, .table_len = MEMORY_HEAD_LEN };
}

/* --- room ---------------------------------------------------------------------------------- */

ssize_t memory_room(void *opaque, size_t want, struct iovec *ret_iov, int *ret_n)
{
	struct memory *memory = opaque;
	struct memory_batch *batch = &memory->batch;

	if (memory->ended)
		return -EBADMSG;
	if (batch->at >= batch->table_len)
		return (ssize_t)memory_pieces(batch, want, ret_iov, ret_n);
	*ret_iov =
		(struct iovec){ batch->table + batch->at, MIN((size_t)(batch->table_len - batch->at), want) };
	*ret_n = 1;
	return (ssize_t)ret_iov->iov_len;
}

int memory_filled(void *opaque, size_t len)
{
	struct memory *memory = opaque;
	struct memory_batch *batch = &memory->batch;
	int r = 0;

	memory_advance(batch, len);
	if (batch->at < batch->table_len)
		return 0;
	if (batch->at == MEMORY_HEAD_LEN && batch->table_len == MEMORY_HEAD_LEN) {
		r = take_head(memory);
		if (r || batch->at < batch->table_len)
			return r;
	}
	if (batch->at == batch->table_len && !batch->run && !batch->run_at)
		r = take_runs(memory);
	if (!r && batch->at == batch->table_len + batch->bytes)
		finish(memory);
	return r;
}
