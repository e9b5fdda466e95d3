/* SPDX-License-Identifier: BSD-3-Clause */
/* DMA, its log and the mappings with many threads at once: no bit is lost, no access outlives its mapping. */
#include "harness.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tiny.h"

#define K4      4096ull
#define WRITERS 4
#define PAGES   120000ull /* four chunks or so */

static int io_write(void *opaque, uint64_t iova, const void *buf, size_t len)
{
	return 0;
}

static const struct vmig_dma_io nowhere = { .read = NULL, .write = io_write };

static struct tiny tiny;
static pthread_barrier_t together;

static void open_logged(void)
{
	const struct vmig_dma map = { .size = PAGES * K4, .prot = VMIG_DMA_WRITE, .fd = -1, .io = &nowhere };
	const struct vmig_range range = { 0, PAGES * K4 };
	uint64_t page = K4;

	tiny_open(&tiny, 0, TINY_COPIES);
	ck_assert_int_eq(vmig_device_map_dma(tiny.dev, &map), 0);
	ck_assert_int_eq(vmig_device_dma_log_start(tiny.dev, &page, &range, 1), 0);
}

/* --- every bit exactly once --------------------------------------------------------------- */

static _Atomic int writing;

/** Each writer writes its share of the pages, each once, neighbours in a word with the other writers. */
static void *write_share(void *opaque)
{
	size_t share = (size_t)opaque;

	pthread_barrier_wait(&together);
	for (uint64_t p = share; p < PAGES; p += WRITERS)
		if (vmig_model_dma_write(tiny.model, p * K4 + p % K4, "x", 1) < 0)
			abort();
	atomic_fetch_sub(&writing, 1);
	return NULL;
}

/** A report of a random stretch; counts how often each page has been said to be dirty. */
static void count_some(uint8_t *times)
{
	static uint64_t bitmap[PAGES / 64 + 1];
	uint64_t first = 0, n = PAGES;

	if (random() % 3) {
		first = (uint64_t)random() % PAGES;
		n = 1 + (uint64_t)random() % (PAGES - first);
	}
	memset(bitmap, 0, sizeof(bitmap));
	ck_assert_int_eq(vmig_device_dma_log_report(tiny.dev, first * K4, n * K4, K4, bitmap), 0);
	for (uint64_t i = 0; i < n; i++)
		times[first + i] += bitmap[i / 64] >> i % 64 & 1;
}

TEST(each_written_page_is_reported_once)
{
	static uint8_t times[PAGES];
	pthread_t threads[WRITERS];

	srandom(harness_seed());
	open_logged();
	pthread_barrier_init(&together, NULL, WRITERS + 1);
	atomic_store(&writing, WRITERS);
	for (size_t i = 0; i < WRITERS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, write_share, (void *)i), 0);
	pthread_barrier_wait(&together);
	while (atomic_load(&writing))
		count_some(times);
	for (size_t i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 20; i++)
		count_some(times);
	{
		static uint64_t bitmap[PAGES / 64 + 1];

		ck_assert_int_eq(vmig_device_dma_log_report(tiny.dev, 0, PAGES * K4, K4, bitmap), 0);
		for (uint64_t i = 0; i < PAGES; i++)
			times[i] += bitmap[i / 64] >> i % 64 & 1;
	}
	for (uint64_t i = 0; i < PAGES; i++)
		ck_assert_msg(times[i] == 1, "page %llu was reported %u times (seed %u)",
			      (unsigned long long)i, times[i], harness_seed());
	tiny_close(&tiny);
}

/* --- a write that has ended is in the report that starts then -------------------------------- */

static _Atomic uint64_t written;

static void *write_upwards(void *opaque)
{
	pthread_barrier_wait(&together);
	for (uint64_t p = 0; p < PAGES; p++) {
		if (vmig_model_dma_write(tiny.model, p * K4, "x", 1) < 0)
			abort();
		atomic_store(&written, p + 1);
	}
	return NULL;
}

TEST(a_write_that_has_ended_is_in_the_next_report)
{
	static uint64_t bitmap[PAGES / 64 + 1]; /* only ever set: it collects them all */
	pthread_t thread;
	uint64_t before = 0, checked = 0;

	open_logged();
	pthread_barrier_init(&together, NULL, 2);
	ck_assert_int_eq(pthread_create(&thread, NULL, write_upwards, NULL), 0);
	pthread_barrier_wait(&together);
	while (before < PAGES) {
		before = atomic_load(&written);
		ck_assert_int_eq(vmig_device_dma_log_report(tiny.dev, 0, PAGES * K4, K4, bitmap), 0);
		for (; checked < before; checked++)
			ck_assert_msg(bitmap[checked / 64] >> checked % 64 & 1,
				      "page %llu of %llu is missing", (unsigned long long)checked,
				      (unsigned long long)before);
	}
	pthread_join(thread, NULL);
	tiny_close(&tiny);
}

/* --- mappings come and go under the device --------------------------------------------------- */

#define SLOTS 8
static _Atomic bool done;

static void *access_all_over(void *opaque)
{
	unsigned int seed = (unsigned int)(size_t)opaque;
	char buf[3000];

	memset(buf, 1, sizeof(buf));
	pthread_barrier_wait(&together);
	while (!atomic_load(&done)) {
		uint64_t iova = (uint64_t)rand_r(&seed) % (SLOTS * 4 * K4);
		size_t len = 1 + (size_t)rand_r(&seed) % sizeof(buf);
		int r;

		if (rand_r(&seed) % 2)
			r = vmig_model_dma_write(tiny.model, iova, buf, len);
		else
			r = vmig_model_dma_read(tiny.model, iova, buf, len);
		if (r && r != -EFAULT && r != -ECANCELED)
			abort();
	}
	return NULL;
}

static _Atomic int io_calls;

static int slow_read(void *opaque, uint64_t iova, void *buf, size_t len)
{
	atomic_fetch_add(&io_calls, 1);
	sched_yield();
	memset(buf, 0, len);
	atomic_fetch_sub(&io_calls, 1);
	return 0;
}

static int slow_write(void *opaque, uint64_t iova, const void *buf, size_t len)
{
	atomic_fetch_add(&io_calls, 1);
	sched_yield();
	atomic_fetch_sub(&io_calls, 1);
	return 0;
}

/** Once an unmap has returned, the memory may go: a later access would be a fault of the process. */
static void remap(int slot)
{
	static void *mem[SLOTS];
	static struct vmig_dma_io *io[SLOTS];
	uint64_t iova = (uint64_t)slot * 4 * K4;
	struct vmig_dma map = {
		.iova = iova, .size = 4 * K4, .prot = VMIG_DMA_READ | VMIG_DMA_WRITE, .fd = -1
	};

	if (mem[slot] || io[slot]) {
		ck_assert_int_eq(vmig_device_unmap_dma(tiny.dev, iova, 4 * K4), 0);
		if (mem[slot])
			munmap(mem[slot], 4 * K4);
		free(io[slot]); /* the io of a mapping, too */
		mem[slot] = io[slot] = NULL;
		return;
	}
	if (slot % 2) {
		io[slot] = malloc(sizeof(*io[slot]));
		*io[slot] = (struct vmig_dma_io){ .read = slow_read, .write = slow_write };
		map.io = io[slot];
	} else {
		mem[slot] = mmap(NULL, 4 * K4, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		map.vaddr = mem[slot];
	}
	ck_assert_int_eq(vmig_device_map_dma(tiny.dev, &map), 0);
}

TEST(an_unmap_waits_for_the_accesses)
{
	const struct vmig_range all = { 0, SLOTS * 4 * K4 };
	uint64_t bitmap[SLOTS * 4 / 64 + 1], page = K4;
	pthread_t threads[2];

	srandom(harness_seed());
	tiny_open(&tiny, 0, TINY_COPIES);
	pthread_barrier_init(&together, NULL, 3);
	for (size_t i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, access_all_over, (void *)(i + 1)), 0);
	pthread_barrier_wait(&together);
	for (int i = 0; i < 3000; i++) {
		remap((int)random() % SLOTS);
		if (i % 16 == 0 && vmig_device_dma_log_start(tiny.dev, &page, &all, 1) < 0)
			ck_assert_int_eq(vmig_device_dma_log_stop(tiny.dev), 0);
		vmig_device_dma_log_report(tiny.dev, 0, all.length, K4, bitmap);
	}
	atomic_store(&done, true);
	for (size_t i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	tiny_close(&tiny);
}

/* --- a message that is out when its mapping goes ---------------------------------------------- */

static pthread_barrier_t asked, answer;

static int late_read(void *opaque, uint64_t iova, void *buf, size_t len)
{
	pthread_barrier_wait(&asked);
	pthread_barrier_wait(&answer);
	return *(int *)opaque;
}

static void *read_late(void *opaque)
{
	char buf[8];

	*(int *)opaque = vmig_model_dma_read(tiny.model, 0, buf, sizeof(buf));
	return NULL;
}

static void *unmap_late(void *opaque)
{
	*(int *)opaque = vmig_device_unmap_dma(tiny.dev, 0, K4);
	return NULL;
}

/* The user answers with @status when the mapping is hidden already, and the unmap waits. */
static void answer_late(int status, int expected)
{
	const struct vmig_dma_io io = { .read = late_read, .opaque = &status };
	struct vmig_dma map = { .size = K4, .prot = VMIG_DMA_READ, .fd = -1, .io = &io };
	pthread_t reader, unmapper;
	int read_r = 1, unmap_r = 1;
	char mem[4096], buf[8];

	tiny_open(&tiny, 0, TINY_COPIES);
	ck_assert_int_eq(vmig_device_map_dma(tiny.dev, &map), 0);
	pthread_barrier_init(&asked, NULL, 2);
	pthread_barrier_init(&answer, NULL, 2);
	ck_assert_int_eq(pthread_create(&reader, NULL, read_late, &read_r), 0);
	pthread_barrier_wait(&asked);
	ck_assert_int_eq(pthread_create(&unmapper, NULL, unmap_late, &unmap_r), 0);
	/* Until it has hidden the mapping, which is all that it does before it waits. */
	while (vmig_device_map_dma(tiny.dev,
				   &(struct vmig_dma){ .size = K4, .prot = 3, .fd = -1, .vaddr = mem }) ==
	       -EEXIST)
		sched_yield();
	ck_assert_int_eq(vmig_model_dma_read(tiny.model, 0, buf, sizeof(buf)), 0);
	pthread_barrier_wait(&answer);
	pthread_join(reader, NULL);
	pthread_join(unmapper, NULL);
	ck_assert_int_eq(read_r, expected);
	ck_assert_int_eq(unmap_r, 0);
	pthread_barrier_destroy(&asked);
	pthread_barrier_destroy(&answer);
	tiny_close(&tiny);
}

TEST(an_unmap_does_not_lock_out_others_while_a_message_is_out)
{
	answer_late(-EIO, -ECANCELED);
}

/* A user that answers and then unmaps: it has done what it was asked for. */
TEST(an_answer_that_came_before_the_unmap_returned_counts)
{
	answer_late(0, 0);
}

HARNESS("dma-threads", T_SLOW(each_written_page_is_reported_once, 120),
	T_SLOW(a_write_that_has_ended_is_in_the_next_report, 120),
	T_SLOW(an_unmap_waits_for_the_accesses, 120),
	T(an_unmap_does_not_lock_out_others_while_a_message_is_out),
	T(an_answer_that_came_before_the_unmap_returned_counts))
