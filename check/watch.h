/* SPDX-License-Identifier: BSD-3-Clause */
/** watch - a device that is given work, and the memory that it may write to. */
#ifndef CHECK_WATCH_H
#define CHECK_WATCH_H

#include "context.h"

#define CHECK_PAGE     4096ull
#define CHECK_MAPS_MAX 16

struct check_memory {
	struct vmig_dma maps[CHECK_MAPS_MAX];
	uint32_t n;
	uint8_t *was[CHECK_MAPS_MAX]; /* what was in each */
};

/** c->dev has work; with @peer some of it is peer-to-peer DMA. */
void check_work_start(struct check_context *c, bool peer);
/** The memory that is mapped with these of VMIG_DMA_WRITE and VMIG_DMA_REGION, perhaps none. */
void check_memory_find(struct check_context *c, uint32_t prot, struct check_memory *memory);
/** c->dev has work, and this is the memory that it may write to. */
void check_work_begin(struct check_context *c, struct check_memory *memory);
void check_memory_done(struct check_memory *memory);
/** Remember what is in it. */
void check_memory_look(struct check_memory *memory);
/** Since then. */
bool check_memory_changed(const struct check_memory *memory);
bool check_page_changed(const struct check_memory *memory, uint32_t map, uint64_t at);
bool check_comes_to_change(struct check_context *c, const struct check_memory *memory);

/** The driver works with the device until something has changed that the device alone writes to; false: nothing does. */
bool check_work_seen(struct check_context *c, struct check_memory *memory);
/** It does, or the check is skipped. */
void check_work_must(struct check_context *c, struct check_memory *memory);
/** The driver has worked with the device, which runs, and is gone. */
void check_work_once(struct check_context *c);
void check_work_pause(struct check_context *c);
void check_work_resume(struct check_context *c);
/** The driver pauses, and the device goes to STOP. */
void check_work_stop(struct check_context *c);
/** And back: it runs, and the driver goes on. */
void check_work_run(struct check_context *c);
/** How long it is waited for, in milliseconds. */
uint32_t check_patience(const struct check_context *c);
/** How long it is to be watched that does nothing: as long as it took to see that it is at work, and more. */
uint32_t check_watch_ms(const struct check_context *c);
void check_pause_ms(void);

/** The interrupts that have come to the driver, which pauses, since this was asked last. */
uint64_t check_interrupts(struct check_context *c);
/** They come in RUNNING, or the check is skipped. The driver pauses then. */
void check_interrupts_must(struct check_context *c);

struct check_watch {
	const char *what;            /* "the memory of a device at work" */
	struct check_memory *memory; /* NULL: is not looked at */
	bool interrupts;
};

/**
 * Look for something to change, or an interrupt to come, in @state, in which nothing may: the check fails if it does. As
 * long as it takes to see that the device is at work, and more. The driver pauses.
 */
void check_watch(struct check_context *c, uint32_t state, const struct check_watch *watch);

#endif
