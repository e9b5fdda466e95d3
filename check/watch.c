/* SPDX-License-Identifier: BSD-3-Clause */
/* A device that is given work, and the memory that it may write to. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "watch.h"

#define LOG_MAX     (64ull << 20) /* the most memory of a driver that is looked at */
#define PATIENCE_MS 8000u
#define WATCHED_MS  20u

void check_pause_ms(void)
{
	const struct timespec ms = { .tv_nsec = 1000000 };

	nanosleep(&ms, NULL);
}

void check_memory_look(struct check_memory *memory)
{
	for (uint32_t i = 0; i < memory->n; i++)
		memcpy(memory->was[i], memory->maps[i].vaddr, (size_t)memory->maps[i].size);
}

bool check_page_changed(const struct check_memory *memory, uint32_t map, uint64_t at)
{
	return memcmp(memory->was[map] + at, (const uint8_t *)memory->maps[map].vaddr + at, CHECK_PAGE);
}

bool check_memory_changed(const struct check_memory *memory)
{
	for (uint32_t i = 0; i < memory->n; i++)
		for (uint64_t at = 0; at < memory->maps[i].size; at += CHECK_PAGE)
			if (check_page_changed(memory, i, at))
				return true;
	return false;
}

void check_work_start(struct check_context *c, bool peer)
{
	int r = vmig_space_new(&c->space);

	if (!r)
		r = c->target->driver->start(c->dev, c->space, peer, &c->work);
	if (r == -EOPNOTSUPP && peer)
		check_end(c, CHECK_SKIPPED, "", "its driver has no use for peer-to-peer DMA");
	if (r)
		check_end(c, CHECK_ERROR, "the device can be driven", "%s", strerror(-r));
}

void check_memory_find(struct check_context *c, uint32_t prot, struct check_memory *memory)
{
	struct vmig_dma maps[CHECK_MAPS_MAX];
	uint32_t n = vmig_space_query_maps(c->space, maps, CHECK_MAPS_MAX);
	uint64_t size = 0;

	*memory = (struct check_memory){ 0 };
	for (uint32_t i = 0; i < n && i < CHECK_MAPS_MAX; i++) {
		if (!maps[i].vaddr || (maps[i].prot & (VMIG_DMA_WRITE | VMIG_DMA_REGION)) != prot)
			continue;
		size += maps[i].size;
		if (size > LOG_MAX)
			check_end(c, CHECK_SKIPPED, "", "the driver has too much memory to look at");
		memory->maps[memory->n] = maps[i];
		memory->was[memory->n] = calloc(1, (size_t)maps[i].size);
		if (!memory->was[memory->n++])
			check_end(c, CHECK_ERROR, "", "no memory");
	}
}

void check_work_begin(struct check_context *c, struct check_memory *memory)
{
	check_work_start(c, false);
	check_memory_find(c, VMIG_DMA_WRITE, memory);
	if (!memory->n)
		check_end(c, CHECK_SKIPPED, "", "the driver has no memory that can be looked at");
}

void check_memory_done(struct check_memory *memory)
{
	for (uint32_t i = 0; i < memory->n; i++)
		free(memory->was[i]);
}

uint32_t check_patience(const struct check_context *c)
{
	return c->target->patience_ms ? c->target->patience_ms : PATIENCE_MS;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

bool check_comes_to_change(struct check_context *c, const struct check_memory *memory)
{
	uint64_t begun = now_ms(), now = begun;
	bool changed;

	do {
		changed = check_memory_changed(memory);
		if (!changed)
			check_pause_ms();
		now = now_ms();
	} while (!changed && now - begun < check_patience(c));
	c->work_ms = (uint32_t)(now - begun);
	return changed;
}

uint32_t check_watch_ms(const struct check_context *c)
{
	uint32_t ms = c->work_ms < check_patience(c) / 4 ? 4 * c->work_ms : check_patience(c);

	return ms > WATCHED_MS ? ms : WATCHED_MS;
}

uint64_t check_interrupts(struct check_context *c)
{
	return c->target->driver->interrupts(c->work);
}

void check_interrupts_must(struct check_context *c)
{
	uint64_t begun = now_ms(), n = 0;

	if (!c->target->driver->interrupts)
		check_end(c, CHECK_SKIPPED, "", "its driver counts no interrupts");
	while (!n && now_ms() - begun < check_patience(c)) {
		check_work_resume(c);
		check_work_pause(c);
		check_pause_ms();
		n = check_interrupts(c);
	}
	if (!n)
		check_end(c, CHECK_SKIPPED, "",
			  "the device raises no interrupts in RUNNING, though it has work");
}

void check_watch(struct check_context *c, uint32_t state, const struct check_watch *watch)
{
	uint64_t begun = now_ms(), n = 0;
	uint32_t ms = check_watch_ms(c);

	check_did(c, "watched %s for %u ms in %s", watch->what, ms, check_state_name(state));
	if (watch->memory)
		check_memory_look(watch->memory);
	/* One that was raised before may be on its way still; memory may not change any more. */
	check_pause_ms();
	if (watch->interrupts)
		(void)check_interrupts(c);
	do {
		/* That it stays there is for another check. */
		if (check_state(c) != state)
			check_end(c, CHECK_SKIPPED, "", "the device does not stay in the state");
		if (watch->memory && check_memory_changed(watch->memory))
			check_fail(c, "nothing changes", "it has changed");
		n = watch->interrupts ? check_interrupts(c) : 0;
		if (n)
			check_fail(c, "no interrupt", "%llu came", (unsigned long long)n);
		check_pause_ms();
	} while (now_ms() - begun < ms);
}

/* The driver works with the device until something has changed that the device alone writes to; false: nothing does. */
bool check_work_seen(struct check_context *c, struct check_memory *memory)
{
	check_memory_look(memory);
	return check_comes_to_change(c, memory);
}

void check_work_must(struct check_context *c, struct check_memory *memory)
{
	if (!check_work_seen(c, memory))
		check_end(c, CHECK_SKIPPED, "", "the device does no DMA, though it has work");
}

void check_work_once(struct check_context *c)
{
	struct check_memory memory;

	check_work_start(c, false);
	check_memory_find(c, VMIG_DMA_WRITE, &memory);
	(void)check_work_seen(c, &memory);
	check_work_pause(c);
	c->target->driver->end(c->work);
	c->work = NULL;
	vmig_space_free(c->space);
	c->space = NULL;
	check_memory_done(&memory);
}

void check_work_pause(struct check_context *c)
{
	int r = c->target->driver->pause(c->work);

	if (r)
		check_fail(c, "the device serves its driver", "%s", strerror(-r));
}

void check_work_resume(struct check_context *c)
{
	int r = c->target->driver->resume(c->work);

	if (r)
		check_fail(c, "the device serves its driver", "%s", strerror(-r));
}

void check_work_stop(struct check_context *c)
{
	check_work_pause(c);
	check_go(c, VMIG_STATE_STOP);
}

void check_work_run(struct check_context *c)
{
	check_go(c, VMIG_STATE_RUNNING);
	check_work_resume(c);
}
