/* SPDX-License-Identifier: BSD-3-Clause */
/* Which pages were written while the memory is sent: by the devices, by the user; by whom nobody knows. */
#include <stdio.h>
#include <string.h>

#include "handle/provider.h"
#include "memory/pages.h"

/* Pages of one question: a bitmap of 128 KiB. */
#define QUESTION_PAGES (1ull << 20)

bool memory_is_tracked(const struct memory *memory, char why[VMIG_NOTE_MAX])
{
	for (uint32_t i = 0; i < memory->n_devices; i++) {
		struct vmig_device_info info;

		vmig_device_query_info(memory->devices[i], &info);
		if (!info.dma_kinds || (info.has & (VMIG_HAS_DMA_LOG | VMIG_HAS_IOMMU_LOG)))
			continue;
		snprintf(why, VMIG_NOTE_MAX,
			 "%.64s does DMA that neither it nor an IOMMU tracks: every page counts as dirty, "
			 "and all of "
			 "the memory is sent when the devices have stopped",
			 info.name);
		return false;
	}
	if (memory->dirty || memory->quiet)
		return true;
	snprintf(
		why, VMIG_NOTE_MAX,
		"its user does not tell what it writes: every page counts as dirty, and all of the memory is "
		"sent when the devices have stopped");
	return false;
}

/* --- start and stop ------------------------------------------------------------------------ */

static uint64_t smallest_page(const struct memory *memory)
{
	unsigned int shift = memory->regions[0].shift;

	for (uint32_t i = 1; i < memory->n_regions; i++)
		shift = MIN(shift, memory->regions[i].shift);
	return 1ull << shift;
}

static void say(struct memory *memory)
{
	if (memory->log && vmig_memory_log_note(memory->log)[0])
		vmig_device_set_note(memory->dev, vmig_memory_log_note(memory->log));
}

void memory_start_tracking(struct memory *memory)
{
	_autofree_ struct vmig_range *ranges = calloc(memory->n_regions, sizeof(*ranges));

	memory_stop_tracking(memory);
	if (!memory->report)
		memory->report = malloc(BITS_WORDS(QUESTION_PAGES) * 8);
	for (uint32_t i = 0; ranges && i < memory->n_regions; i++)
		ranges[i] = (struct vmig_range){ memory->regions[i].iova, memory->regions[i].size };
	if (!ranges || !memory->report ||
	    vmig_memory_log_new(memory->devices, memory->n_devices, ranges, memory->n_regions,
				smallest_page(memory), &memory->log)) {
		memory->log = NULL;
		vmig_device_set_note(memory->dev, "no memory for a log: every page counts as dirty");
		return;
	}
	vmig_device_set_note(memory->dev, "");
	say(memory);
}

void memory_stop_tracking(struct memory *memory)
{
	vmig_memory_log_free(memory->log);
	memory->log = NULL;
}

/* --- what is dirty ------------------------------------------------------------------------- */

static uint64_t popcount(const uint64_t *words, uint64_t n)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < n; i++)
		sum += (uint64_t)__builtin_popcountll(words[i]);
	return sum;
}

static int ask_piece(struct memory *memory, struct memory_region *region, uint64_t page, uint64_t n)
{
	uint64_t iova = region->iova + (page << region->shift), length = n << region->shift;
	uint64_t *to = &region->bits[page / 64], words = BITS_WORDS(n);
	int r;

	memset(memory->report, 0, words * 8);
	r = vmig_memory_log_report(memory->log, iova, length, 1ull << region->shift, memory->report);
	if (!r && memory->dirty)
		r = memory->dirty(memory->opaque, iova, length, 1ull << region->shift, memory->report);
	if (r)
		return r;
	/* A callback that sets more than it was asked for sets nothing here. */
	if (n % 64)
		memory->report[words - 1] &= ~0ull >> (64 - n % 64);
	for (uint64_t i = 0; i < words; i++)
		to[i] |= memory->report[i];
	return 0;
}

static int ask_region(struct memory *memory, struct memory_region *region)
{
	int r = 0;

	for (uint64_t page = 0; !r && page < region->n_pages; page += QUESTION_PAGES)
		r = ask_piece(memory, region, page, MIN(region->n_pages - page, QUESTION_PAGES));
	return r;
}

void memory_ask_dirty(struct memory *memory)
{
	int r = memory->log ? 0 : -ENOMEM;

	for (uint32_t i = 0; !r && i < memory->n_regions; i++)
		r = ask_region(memory, &memory->regions[i]);
	if (r) {
		memory_mark_all(memory);
		if (memory->log)
			vmig_device_set_note(memory->dev, "its user cannot tell what it has written: every "
							  "page counts as dirty");
		return;
	}
	memory->pending = 0;
	for (uint32_t i = 0; i < memory->n_regions; i++) {
		struct memory_region *region = &memory->regions[i];

		memory->pending += popcount(region->bits, BITS_WORDS(region->n_pages)) << region->shift;
	}
	say(memory);
}
