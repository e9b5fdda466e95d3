/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Saving memory: batches of dirty pages, in the order of their addresses, round and round. While something may still write,
 * pages are copied before they are lent, so that what is digested is what is sent; then they are lent where they lie.
 */
#include <string.h>

#include "base/io.h"
#include "memory/pages.h"
#include "wire/cursor.h"

#define COPY_BYTES (256u << 10)
/* How much of the memory one batch may look through for pages that are not zero: a transition waits as long. */
#define SPAN_BYTES (256ull << 20)

void memory_save_begin(struct memory *memory, bool still)
{
	memory->batch = (struct memory_batch){ 0 };
	memory->ended = false;
	memory->still = still;
	memory->at_region = 0;
	memory->at_page = 0;
	memory->first_pass = true;
	memory_mark_all(memory);
	/* From before the first page is read. */
	if (!still)
		memory_start_tracking(memory);
}

int memory_precopy_sizes(void *opaque, struct vmig_precopy *ret)
{
	struct memory *memory = opaque;
	uint64_t unsent = 0;

	memory_ask_dirty(memory);
	for (uint32_t i = memory->at_region; memory->first_pass && i < memory->n_regions; i++)
		unsent += memory->regions[i].size;
	if (memory->first_pass)
		unsent -= memory->at_page << memory->regions[memory->at_region].shift;
	ret->initial_bytes = unsent;
	ret->dirty_bytes = memory->pending - unsent;
	return 0;
}

/* --- a batch is made ----------------------------------------------------------------------- */

static bool is_zero(const uint8_t *bytes, size_t len)
{
	return !bytes[0] && !memcmp(bytes, bytes + 1, len - 1);
}

static bool page_is_zero(const struct memory_region *region, uint64_t page)
{
	return is_zero(region->view + (page << region->shift), 1ull << region->shift);
}

/* One run from @page on, whose bit is set: @most bytes of it, but one page at least, however large. Clears the bits. */
static uint64_t make_run(struct memory *memory, struct memory_region *region, uint64_t page, uint64_t most)
{
	struct memory_batch *batch = &memory->batch;
	struct memory_run *run = &batch->runs[batch->n_runs++];
	bool zero = page_is_zero(region, page);
	uint64_t end = page + 1;

	if (!zero)
		most = MIN(most, VMIG_LIMIT_MEMORY_BATCH - batch->bytes);
	most >>= region->shift;
	while (end < region->n_pages && end - page < most && bits_test(region->bits, end) &&
	       page_is_zero(region, end) == zero)
		end++;
	bits_clear(region->bits, page, end - 1);
	*run = (struct memory_run){ .region = region,
				    .offset = page << region->shift,
				    .length = (end - page) << region->shift,
				    .zero = zero };
	memory->pending -= run->length;
	if (!zero)
		batch->bytes += run->length;
	return end;
}

static void encode(struct memory_batch *batch)
{
	struct vmig_cursor c = vmig_cursor_into(batch->table, sizeof(batch->table));

	vmig_cursor_put_u32(&c, MEMORY_MAGIC);
	vmig_cursor_put_u32(&c, batch->number);
	vmig_cursor_put_u32(&c, batch->n_runs);
	vmig_cursor_put_u32(&c, batch->end ? MEMORY_END : 0);
	vmig_cursor_put_u64(&c, batch->bytes);
	for (uint32_t i = 0; i < batch->n_runs; i++) {
		const struct memory_run *run = &batch->runs[i];

		vmig_cursor_put_u64(&c, run->region->iova + run->offset);
		vmig_cursor_put_u32(&c, (uint32_t)(run->length / MEMORY_UNIT));
		vmig_cursor_put_u32(&c, run->zero ? MEMORY_ZERO : 0);
	}
	batch->table_len = sizeof(batch->table) - c.left;
}

/* Up to the end of the memory: the next batch starts from the front again. */
static void collect(struct memory *memory)
{
	struct memory_batch *batch = &memory->batch;
	uint64_t span = 0;

	while (memory->at_region < memory->n_regions && batch->n_runs < VMIG_LIMIT_MEMORY_RUNS &&
	       batch->bytes < VMIG_LIMIT_MEMORY_BATCH && span < SPAN_BYTES) {
		struct memory_region *region = &memory->regions[memory->at_region];
		uint64_t page = bits_find(region->bits, memory->at_page, region->n_pages, true);

		if (page < region->n_pages) {
			memory->at_page = make_run(memory, region, page, SPAN_BYTES - span);
			span += batch->runs[batch->n_runs - 1].length;
		} else {
			memory->at_region++;
			memory->at_page = 0;
		}
	}
	if (memory->at_region == memory->n_regions) {
		memory->at_region = 0;
		memory->at_page = 0;
		memory->first_pass = false;
	}
}

/* False: there is nothing (more) now. */
static bool make_batch(struct memory *memory)
{
	struct memory_batch *batch = &memory->batch;
	bool any = memory->pending;

	if (!any && (!memory->still || memory->ended))
		return false;
	batch->number += batch->table_len != 0;
	batch->n_runs = 0;
	batch->bytes = 0;
	batch->at = 0;
	batch->run = 0;
	batch->run_at = 0;
	while (memory->pending && !batch->n_runs)
		collect(memory);
	batch->end = !any;
	memory->ended = !any;
	encode(batch);
	return true;
}

/* --- lending ------------------------------------------------------------------------------- */

/* Another thread or process may be writing there: what comes out may be torn, and then the page is dirty again. */
__attribute__((no_sanitize("thread"))) static void copy_out(uint8_t *to, const struct iovec *iov, int n)
{
	for (int i = 0; i < n; to += iov[i++].iov_len)
		memcpy(to, iov[i].iov_base, iov[i].iov_len);
}

static ssize_t lend_bytes(struct memory *memory, size_t max, struct iovec *ret_iov, int *ret_n)
{
	size_t len;

	if (memory->still)
		return (ssize_t)memory_pieces(&memory->batch, max, ret_iov, ret_n);
	if (!memory->copy)
		memory->copy = malloc(COPY_BYTES);
	if (!memory->copy)
		return -ENOMEM;
	len = memory_pieces(&memory->batch, MIN(max, COPY_BYTES), ret_iov, ret_n);
	copy_out(memory->copy, ret_iov, *ret_n);
	*ret_iov = (struct iovec){ memory->copy, len };
	*ret_n = 1;
	return (ssize_t)len;
}

ssize_t memory_lend(void *opaque, size_t max, struct iovec *ret_iov, int *ret_n)
{
	struct memory *memory = opaque;
	struct memory_batch *batch = &memory->batch;

	if (batch->at == batch->table_len + batch->bytes && !make_batch(memory))
		return 0;
	/* The table apart: then the bytes are as many as the other end has room for at one time. */
	if (batch->at < batch->table_len) {
		size_t len = MIN((size_t)(batch->table_len - batch->at), max);

		*ret_iov = (struct iovec){ batch->table + batch->at, len };
		*ret_n = 1;
		return (ssize_t)len;
	}
	return lend_bytes(memory, max, ret_iov, ret_n);
}

void memory_give_back(void *opaque, size_t used)
{
	struct memory *memory = opaque;

	memory_advance(&memory->batch, used);
}
