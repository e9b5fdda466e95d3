/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BUSY_PAGES 64u /* written to all the time */

static struct vmig_model *model;
static atomic_bool closing;
static pthread_t busy_thread;

static int write_page(uint64_t page)
{
	return vmig_model_dma_write(model, DEVICE_IOVA + page * 4096, &page, 8);
}

/* The device goes on writing while it is asked what it wrote: 64 pages, 10,000 times a second. */
static void *keep_busy(void *opaque)
{
	(void)opaque;
	while (!closing) {
		for (uint64_t page = 0; page < BUSY_PAGES && !closing; page++)
			(void)write_page(page); /* -EFAULT until there is a user */
		nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
	}
	return NULL;
}

void bench_device_dirty(uint32_t per_cent)
{
	for (uint64_t page = 0; per_cent && page < DEVICE_PAGES; page += 100 / per_cent)
		CHECK(write_page(page));
}

static int step(void *opaque, uint32_t from, uint32_t to, uint32_t *ret_state)
{
	return 0;
}

static ssize_t read_data(void *opaque, void *buf, size_t len)
{
	return 0;
}

static int write_data(void *opaque, const void *buf, size_t len)
{
	return 0;
}

static int region_read(void *opaque, uint32_t index, uint64_t offset, void *buf, size_t len)
{
	memset(buf, 0x5a, len);
	return 0;
}

static void end(void *opaque)
{
	closing = true;
	pthread_join(busy_thread, NULL);
}

void bench_device_open(struct vmig_device **ret)
{
	static const struct vmig_region regions[] = { { .flags = VMIG_REGION_READ, .size = 4096, .fd = -1 } };
	static const struct vmig_model_ops ops = {
		.step = step,
		.read = read_data,
		.write = write_data,
		.region_read = region_read,
		.close = end,
	};
	const struct vmig_model_config config = {
		.name = "bench",
		.identity = "bench:device",
		.migration_flags = VMIG_MIGRATION_STOP_COPY,
		.has = VMIG_HAS_DMA_LOG,
		.n_regions = 1,
		.regions = regions,
	};

	CHECK(vmig_model_new(&ops, NULL, &config, &model, ret));
	if (pthread_create(&busy_thread, NULL, keep_busy, NULL))
		die("no thread");
}
