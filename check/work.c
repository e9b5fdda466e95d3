/* SPDX-License-Identifier: BSD-3-Clause */
/* A device at work: what changes in memory is what it has written, while its driver pauses. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "context.h"

#define PAGE        4096ull
#define MAPS_MAX    16
#define LOG_MAX     (64ull << 20) /* the most memory of a driver that is looked at */
#define WATCHED_MS  20
#define PATIENCE_MS 8000u

struct memory {
	struct vmig_dma maps[MAPS_MAX];
	uint32_t n;
	uint8_t *was[MAPS_MAX]; /* what was in each */
};

static void pause_ms(void)
{
	const struct timespec ms = { .tv_nsec = 1000000 };

	nanosleep(&ms, NULL);
}

static bool is_memory(const struct vmig_dma *map)
{
	return map->vaddr && (map->prot & VMIG_DMA_WRITE) && !(map->prot & VMIG_DMA_REGION);
}

static void look(struct memory *memory)
{
	for (uint32_t i = 0; i < memory->n; i++)
		memcpy(memory->was[i], memory->maps[i].vaddr, (size_t)memory->maps[i].size);
}

static bool page_changed(const struct memory *memory, uint32_t map, uint64_t at)
{
	return memcmp(memory->was[map] + at, (const uint8_t *)memory->maps[map].vaddr + at, PAGE);
}

static bool changed(const struct memory *memory)
{
	for (uint32_t i = 0; i < memory->n; i++)
		for (uint64_t at = 0; at < memory->maps[i].size; at += PAGE)
			if (page_changed(memory, i, at))
				return true;
	return false;
}

/* The device has work, and this is the memory that it may write to. */
static void begin(struct check_context *c, struct memory *memory)
{
	struct vmig_dma maps[MAPS_MAX];
	uint64_t size = 0;
	uint32_t n;
	int r = vmig_space_new(&c->space);

	if (!r)
		r = c->target->driver->start(c->dev, c->space, &c->work);
	if (r)
		check_end(c, CHECK_ERROR, "the device can be driven", "%s", strerror(-r));
	n = vmig_space_query_maps(c->space, maps, MAPS_MAX);
	*memory = (struct memory){ 0 };
	for (uint32_t i = 0; i < n && i < MAPS_MAX; i++) {
		if (!is_memory(&maps[i]))
			continue;
		size += maps[i].size;
		if (size > LOG_MAX)
			check_end(c, CHECK_SKIPPED, "", "the driver has too much memory to look at");
		memory->maps[memory->n] = maps[i];
		memory->was[memory->n] = calloc(1, (size_t)maps[i].size);
		if (!memory->was[memory->n++])
			check_end(c, CHECK_ERROR, "", "no memory");
	}
	if (!memory->n)
		check_end(c, CHECK_SKIPPED, "", "the driver has no memory that can be looked at");
}

static void done(struct memory *memory)
{
	for (uint32_t i = 0; i < memory->n; i++)
		free(memory->was[i]);
}

static uint32_t patience(const struct check_context *c)
{
	return c->target->patience_ms ? c->target->patience_ms : PATIENCE_MS;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static bool comes_to_change(struct check_context *c, const struct memory *memory)
{
	uint64_t end = now_ms() + patience(c);

	do {
		if (changed(memory))
			return true;
		pause_ms();
	} while (now_ms() < end);
	return changed(memory);
}

/* The driver works with the device until something has changed that the device alone writes to; false: nothing does. */
static bool works(struct check_context *c, struct memory *memory)
{
	look(memory);
	return comes_to_change(c, memory);
}

static void must_work(struct check_context *c, struct memory *memory)
{
	if (!works(c, memory))
		check_end(c, CHECK_SKIPPED, "", "the device does no DMA, though it has work");
}

static void pause_driver(struct check_context *c)
{
	int r = c->target->driver->pause(c->work);

	if (r)
		check_fail(c, "the device serves its driver", "%s", strerror(-r));
}

static void resume_driver(struct check_context *c)
{
	int r = c->target->driver->resume(c->work);

	if (r)
		check_fail(c, "the device serves its driver", "%s", strerror(-r));
}

void check_silent(struct check_context *c)
{
	static const uint32_t states[] = { VMIG_STATE_STOP, VMIG_STATE_STOP_COPY };
	struct memory memory;

	begin(c, &memory);
	must_work(c, &memory);
	pause_driver(c);
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		struct vmig_session *session = check_enter(c, states[i]);

		check_did(c, "watched the memory of a device at work for %d ms in %s", WATCHED_MS,
			  check_state_name(states[i]));
		look(&memory);
		for (int n = 0; n < WATCHED_MS; n++) {
			pause_ms();
			check_in_state(c, states[i]);
			if (changed(&memory))
				check_fail(c, "nothing changes", "memory has changed");
		}
		vmig_session_close(session);
	}
	done(&memory);
}

void check_works_in_precopy(struct check_context *c)
{
	struct vmig_session *session;
	struct memory memory;

	begin(c, &memory);
	must_work(c, &memory);
	session = check_enter(c, VMIG_STATE_PRE_COPY);
	check_did(c, "watched the memory of a device at work in PRE_COPY");
	if (!works(c, &memory))
		check_fail(c, "the device goes on writing to memory", "nothing within %u ms", patience(c));
	vmig_session_close(session);
	done(&memory);
}

static void stop(struct check_context *c)
{
	pause_driver(c);
	check_go(c, VMIG_STATE_STOP);
}

static void run(struct check_context *c)
{
	check_go(c, VMIG_STATE_RUNNING);
	resume_driver(c);
}

void check_works_again(struct check_context *c)
{
	struct memory memory;

	begin(c, &memory);
	must_work(c, &memory);
	stop(c);
	run(c);
	check_did(c, "took a device at work to STOP and to RUNNING again, and watched its memory");
	if (!works(c, &memory))
		check_fail(c, "the device goes on writing to memory", "nothing within %u ms", patience(c));
	done(&memory);
}

/* --- the log against what has changed -------------------------------------------------------------- */

static uint64_t *bitmap_new(struct check_context *c, const struct memory *memory, uint32_t map)
{
	uint64_t *bitmap = calloc((size_t)(memory->maps[map].size / PAGE + 63) / 64, 8);

	if (!bitmap)
		check_end(c, CHECK_ERROR, "", "no memory");
	return bitmap;
}

static uint64_t *report(struct check_context *c, const struct memory *memory, uint32_t map)
{
	uint64_t *bitmap = bitmap_new(c, memory, map);
	int r = vmig_device_dma_log_report(c->dev, memory->maps[map].iova, memory->maps[map].size, PAGE,
					   bitmap);

	if (r)
		check_fail(c, "a report", "%s", strerror(-r));
	return bitmap;
}

/* From here on all that the device writes is logged. In STOP, so that nothing is between the log and the look. */
static void log_work(struct check_context *c, struct memory *memory)
{
	struct vmig_range ranges[MAPS_MAX];
	uint64_t page = PAGE;
	int r;

	begin(c, memory);
	must_work(c, memory);
	stop(c);
	for (uint32_t i = 0; i < memory->n; i++)
		ranges[i] = (struct vmig_range){ memory->maps[i].iova, memory->maps[i].size };
	r = vmig_device_dma_log_start(c->dev, &page, ranges, memory->n);
	if (r)
		check_fail(c, "DMA logging starts", "%s", strerror(-r));
	look(memory);
	run(c);
	comes_to_change(c, memory);
	stop(c);
	if (!changed(memory))
		check_end(c, CHECK_SKIPPED, "", "the device has written nothing since the log was started");
}

void check_log_has_all(struct check_context *c)
{
	struct memory memory;

	log_work(c, &memory);
	for (uint32_t i = 0; i < memory.n; i++) {
		uint64_t *bitmap = report(c, &memory, i), n = memory.maps[i].size / PAGE;

		check_did(c, "compared a report of %llu pages with what has changed in memory",
			  (unsigned long long)n);
		for (uint64_t p = 0; p < n; p++)
			if (page_changed(&memory, i, p * PAGE) && !(bitmap[p / 64] >> p % 64 & 1))
				check_fail(c, "a bit for each page that has changed",
					   "page %#llx has changed and has none",
					   (unsigned long long)(memory.maps[i].iova + p * PAGE));
		free(bitmap);
	}
	done(&memory);
}

void check_log_clears(struct check_context *c)
{
	struct memory memory;

	log_work(c, &memory);
	for (uint32_t i = 0; i < memory.n; i++) {
		uint64_t n = memory.maps[i].size / PAGE, *bitmap;

		free(report(c, &memory, i));
		check_did(c, "asked for the report of a device in STOP twice");
		bitmap = report(c, &memory, i);
		for (uint64_t p = 0; p < n; p++)
			if (bitmap[p / 64] >> p % 64 & 1)
				check_fail(c, "no bit in the second report", "one for page %#llx",
					   (unsigned long long)(memory.maps[i].iova + p * PAGE));
		free(bitmap);
	}
	done(&memory);
}
