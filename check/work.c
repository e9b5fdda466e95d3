/* SPDX-License-Identifier: BSD-3-Clause */
/* A device at work: what changes in memory is what it has written, while its driver pauses. */
#include <stdlib.h>
#include <string.h>

#include "watch.h"

void check_works_in_precopy(struct check_context *c)
{
	struct vmig_session *session;
	struct check_memory memory;

	check_work_begin(c, &memory);
	check_work_must(c, &memory);
	session = check_enter(c, VMIG_STATE_PRE_COPY);
	check_did(c, "watched the memory of a device at work in PRE_COPY");
	if (!check_work_seen(c, &memory))
		check_fail(c, "the device goes on writing to memory", "nothing within %u ms",
			   check_patience(c));
	vmig_session_close(session);
	check_memory_done(&memory);
}

static void stop(struct check_context *c)
{
	check_work_pause(c);
	check_go(c, VMIG_STATE_STOP);
}

static void run(struct check_context *c)
{
	check_go(c, VMIG_STATE_RUNNING);
	check_work_resume(c);
}

void check_works_again(struct check_context *c)
{
	struct check_memory memory;

	check_work_begin(c, &memory);
	check_work_must(c, &memory);
	stop(c);
	run(c);
	check_did(c, "took a device at work to STOP and to RUNNING again, and watched its memory");
	if (!check_work_seen(c, &memory))
		check_fail(c, "the device goes on writing to memory", "nothing within %u ms",
			   check_patience(c));
	check_memory_done(&memory);
}

/* --- the log against what has changed -------------------------------------------------------------- */

static uint64_t *bitmap_new(struct check_context *c, const struct check_memory *memory, uint32_t map)
{
	uint64_t *bitmap = calloc((size_t)(memory->maps[map].size / CHECK_PAGE + 63) / 64, 8);

	if (!bitmap)
		check_end(c, CHECK_ERROR, "", "no memory");
	return bitmap;
}

static uint64_t *report(struct check_context *c, const struct check_memory *memory, uint32_t map)
{
	uint64_t *bitmap = bitmap_new(c, memory, map);
	int r = vmig_device_dma_log_report(c->dev, memory->maps[map].iova, memory->maps[map].size, CHECK_PAGE,
					   bitmap);

	if (r)
		check_fail(c, "a report", "%s", strerror(-r));
	return bitmap;
}

/* From here on all that the device writes is logged. In STOP, so that nothing is between the log and the look. */
static void log_work(struct check_context *c, struct check_memory *memory)
{
	struct vmig_range ranges[CHECK_MAPS_MAX];
	uint64_t page = CHECK_PAGE;
	int r;

	check_work_begin(c, memory);
	check_work_must(c, memory);
	stop(c);
	for (uint32_t i = 0; i < memory->n; i++)
		ranges[i] = (struct vmig_range){ memory->maps[i].iova, memory->maps[i].size };
	r = vmig_device_dma_log_start(c->dev, &page, ranges, memory->n);
	if (r)
		check_fail(c, "DMA logging starts", "%s", strerror(-r));
	check_memory_look(memory);
	run(c);
	check_comes_to_change(c, memory);
	stop(c);
	if (!check_memory_changed(memory))
		check_end(c, CHECK_SKIPPED, "", "the device has written nothing since the log was started");
}

void check_log_has_all(struct check_context *c)
{
	struct check_memory memory;

	log_work(c, &memory);
	for (uint32_t i = 0; i < memory.n; i++) {
		uint64_t *bitmap = report(c, &memory, i), n = memory.maps[i].size / CHECK_PAGE;

		check_did(c, "compared a report of %llu pages with what has changed in memory",
			  (unsigned long long)n);
		for (uint64_t p = 0; p < n; p++)
			if (check_page_changed(&memory, i, p * CHECK_PAGE) && !(bitmap[p / 64] >> p % 64 & 1))
				check_fail(c, "a bit for each page that has changed",
					   "page %#llx has changed and has none",
					   (unsigned long long)(memory.maps[i].iova + p * CHECK_PAGE));
		free(bitmap);
	}
	check_memory_done(&memory);
}

void check_log_clears(struct check_context *c)
{
	struct check_memory memory;

	log_work(c, &memory);
	for (uint32_t i = 0; i < memory.n; i++) {
		uint64_t n = memory.maps[i].size / CHECK_PAGE, *bitmap;

		free(report(c, &memory, i));
		check_did(c, "asked for the report of a device in STOP twice");
		bitmap = report(c, &memory, i);
		for (uint64_t p = 0; p < n; p++)
			if (bitmap[p / 64] >> p % 64 & 1)
				check_fail(c, "no bit in the second report", "one for page %#llx",
					   (unsigned long long)(memory.maps[i].iova + p * CHECK_PAGE));
		free(bitmap);
	}
	check_memory_done(&memory);
}
