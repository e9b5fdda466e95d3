/* SPDX-License-Identifier: BSD-3-Clause */
/* The log of DMA against what a device at work has changed in memory, while its driver pauses. */
#include <stdlib.h>
#include <string.h>

#include "check/watch.h"

struct log {
	struct check_memory memory; /* that the device may write to */
	struct check_memory only;   /* that it may only read */
	uint64_t page;              /* that it has chosen */
};

static uint64_t *report(struct check_context *c, const struct vmig_dma *map)
{
	uint64_t *bitmap = calloc((size_t)(map->size / CHECK_PAGE + 63) / 64, 8);
	int r;

	if (!bitmap)
		check_end(c, CHECK_ERROR, "", "no memory");
	r = vmig_device_dma_log_report(c->dev, map->iova, map->size, CHECK_PAGE, bitmap);
	if (r)
		check_fail(c, "a report", "%s", strerror(-r));
	return bitmap;
}

static bool marked(const uint64_t *bitmap, uint64_t page)
{
	return bitmap[page / 64] >> page % 64 & 1;
}

static unsigned long long iova_of(const struct vmig_dma *map, uint64_t page)
{
	return (unsigned long long)(map->iova + page * CHECK_PAGE);
}

static uint32_t add_ranges(const struct check_memory *memory, struct vmig_range *ranges)
{
	for (uint32_t i = 0; i < memory->n; i++)
		ranges[i] = (struct vmig_range){ memory->maps[i].iova, memory->maps[i].size };
	return memory->n;
}

/* From here on all that the device writes is logged. In STOP, so that nothing is between the log and the look. */
static void log_work(struct check_context *c, struct log *log)
{
	struct vmig_range ranges[2 * CHECK_MAPS_MAX];
	uint32_t n;
	int r;

	check_work_must(c, &log->memory);
	check_work_stop(c);
	log->page = CHECK_PAGE;
	n = add_ranges(&log->memory, ranges);
	n += add_ranges(&log->only, ranges + n);
	r = vmig_device_dma_log_start(c->dev, &log->page, ranges, n);
	if (r)
		check_fail(c, "DMA logging starts", "%s", strerror(-r));
	check_memory_look(&log->memory);
	check_work_run(c);
	check_comes_to_change(c, &log->memory);
	check_work_stop(c);
	if (!check_memory_changed(&log->memory))
		check_end(c, CHECK_SKIPPED, "", "the device has written nothing since the log was started");
}

static void done(struct log *log)
{
	check_memory_done(&log->memory);
	check_memory_done(&log->only);
}

static void begin(struct check_context *c, struct log *log)
{
	check_work_begin(c, &log->memory);
	check_memory_find(c, 0, &log->only);
}

void check_log_has_all(struct check_context *c)
{
	struct log log;

	begin(c, &log);
	log_work(c, &log);
	for (uint32_t i = 0; i < log.memory.n; i++) {
		const struct vmig_dma *map = &log.memory.maps[i];
		uint64_t *bitmap = report(c, map), n = map->size / CHECK_PAGE;

		check_did(c, "compared a report of %llu pages with what has changed in memory",
			  (unsigned long long)n);
		for (uint64_t p = 0; p < n; p++)
			if (check_page_changed(&log.memory, i, p * CHECK_PAGE) && !marked(bitmap, p))
				check_fail(c, "a bit for each page that has changed",
					   "page %#llx has changed and has none", iova_of(map, p));
		free(bitmap);
	}
	done(&log);
}

/* Has something changed in what the device's log has one bit for? */
static bool unit_changed(const struct log *log, uint32_t i, uint64_t page)
{
	uint64_t unit = log->page > CHECK_PAGE ? log->page / CHECK_PAGE : 1,
		 n = log->memory.maps[i].size / CHECK_PAGE;

	for (uint64_t p = page / unit * unit; p < n && p < page / unit * unit + unit; p++)
		if (check_page_changed(&log->memory, i, p * CHECK_PAGE))
			return true;
	return false;
}

/* A device may have written what was there before, so a bit too many is nothing that it must not do. */
void check_log_has_no_more(struct check_context *c)
{
	struct log log;

	begin(c, &log);
	log_work(c, &log);
	for (uint32_t i = 0; i < log.memory.n; i++) {
		const struct vmig_dma *map = &log.memory.maps[i];
		uint64_t *bitmap = report(c, map), n = map->size / CHECK_PAGE;

		check_did(c,
			  "compared a report of %llu pages with what has changed in memory, in units of %llu "
			  "bytes",
			  (unsigned long long)n, (unsigned long long)log.page);
		for (uint64_t p = 0; p < n; p++)
			if (marked(bitmap, p) && !unit_changed(&log, i, p))
				check_observe(c, "no bit for a page that has not changed",
					      "page %#llx has one and has not changed", iova_of(map, p));
		free(bitmap);
	}
	done(&log);
}

/* What is mapped for reading only cannot have been written to. */
void check_log_reads(struct check_context *c)
{
	struct log log;

	begin(c, &log);
	if (!log.only.n)
		check_end(c, CHECK_SKIPPED, "", "there is no memory that the device only reads");
	log_work(c, &log);
	for (uint32_t i = 0; i < log.only.n; i++) {
		const struct vmig_dma *map = &log.only.maps[i];
		uint64_t *bitmap = report(c, map), n = map->size / CHECK_PAGE;

		check_did(c, "asked for a report of %llu pages that the device may only read",
			  (unsigned long long)n);
		for (uint64_t p = 0; p < n; p++)
			if (marked(bitmap, p))
				check_fail(c, "no bit for a page that was only read", "page %#llx has one",
					   iova_of(map, p));
		free(bitmap);
	}
	done(&log);
}

void check_log_clears(struct check_context *c)
{
	struct log log;

	begin(c, &log);
	log_work(c, &log);
	for (uint32_t i = 0; i < log.memory.n; i++) {
		const struct vmig_dma *map = &log.memory.maps[i];
		uint64_t n = map->size / CHECK_PAGE, *bitmap;

		free(report(c, map));
		check_did(c, "asked for the report of a device in STOP twice");
		bitmap = report(c, map);
		for (uint64_t p = 0; p < n; p++)
			if (marked(bitmap, p))
				check_fail(c, "no bit in the second report", "one for page %#llx",
					   iova_of(map, p));
		free(bitmap);
	}
	done(&log);
}
