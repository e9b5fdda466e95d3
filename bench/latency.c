/* SPDX-License-Identifier: BSD-3-Clause */
/* region-read, report-*: single questions to a device behind a socket, against messages of the same sizes. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct latency {
	struct peer peer;
	struct vmig_device *dev;
	uint32_t per_cent;
	uint64_t *bitmap;
};

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median_us(uint64_t *ns, size_t n)
{
	qsort(ns, n, sizeof(*ns), compare);
	return (double)ns[n / 2] / 1e3;
}

/* --- region-read -------------------------------------------------------------------------- */

#define BATCHES 50
#define BATCH   200

static double ping_limit(void *group)
{
	struct latency *l = group;
	struct order order = { .op = OP_PING, .n = BATCHES * BATCH };
	uint64_t ns[BATCHES];

	peer_order(&l->peer, &order);
	for (int i = 0; i < BATCHES; i++) {
		uint64_t start = now_ns();

		for (int k = 0; k < BATCH; k++)
			raw_ask(l->peer.raw, 32, 36);
		ns[i] = now_ns() - start;
	}
	peer_answer(&l->peer);
	return median_us(ns, BATCHES) / BATCH;
}

static double region_read(void *group)
{
	struct latency *l = group;
	uint64_t ns[BATCHES];
	uint32_t value;

	for (int i = 0; i < BATCHES; i++) {
		uint64_t start = now_ns();

		for (int k = 0; k < BATCH; k++)
			CHECK(vmig_device_region_read(l->dev, 0, 8, &value, sizeof(value)));
		ns[i] = now_ns() - start;
	}
	if (value != 0x5a5a5a5a)
		die("the register is wrong");
	return median_us(ns, BATCHES) / BATCH;
}

/* --- report ------------------------------------------------------------------------------- */

/* Let the device write, and everybody come to rest, before either question. */
static void prepare(const struct latency *l)
{
	if (l->per_cent)
		peer_do(&l->peer, OP_DIRTY, l->per_cent, 0);
	nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

static size_t n_reports(const struct latency *l)
{
	return l->per_cent == 100 ? 10 : 50;
}

static double report_limit(void *group)
{
	struct latency *l = group;
	struct order order = { .op = OP_REPLY, .n = 1 };
	uint64_t ns[50];

	for (size_t i = 0; i < n_reports(l); i++) {
		if (l->per_cent)
			peer_do(&l->peer, OP_DIRTY, l->per_cent, 0);
		peer_order(&l->peer, &order);
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
		ns[i] = raw_ask(l->peer.raw, 48, 131120);
		peer_answer(&l->peer);
	}
	return median_us(ns, n_reports(l));
}

static uint64_t count_bits(const uint64_t *bitmap)
{
	uint64_t n = 0;

	for (size_t i = 0; i < DEVICE_PAGES / 64; i++)
		n += (uint64_t)__builtin_popcountll(bitmap[i]);
	return n;
}

static double report(void *group)
{
	struct latency *l = group;
	uint64_t ns[50];

	/* What was written for the limit is not this report's. */
	CHECK(vmig_device_dma_log_report(l->dev, DEVICE_IOVA, DEVICE_PAGES * 4096ull, 4096, l->bitmap));
	for (size_t i = 0; i < n_reports(l); i++) {
		uint64_t start, n;

		prepare(l);
		start = now_ns();
		CHECK(vmig_device_dma_log_report(l->dev, DEVICE_IOVA, DEVICE_PAGES * 4096ull, 4096,
						 l->bitmap));
		ns[i] = now_ns() - start;
		n = count_bits(l->bitmap);
		if (n < (uint64_t)DEVICE_PAGES / 100 * l->per_cent ||
		    n > (uint64_t)DEVICE_PAGES / 100 * (l->per_cent + 1))
			die("%u %% was written, %llu pages are reported", l->per_cent, (unsigned long long)n);
	}
	return median_us(ns, n_reports(l));
}

static void map_all(struct vmig_device *dev)
{
	int fd = CHECK_ERRNO(memfd_create("bench", MFD_CLOEXEC));
	struct vmig_dma map = { .size = DEVICE_MAP, .prot = VMIG_DMA_READ | VMIG_DMA_WRITE, .fd = fd };

	CHECK_ERRNO(ftruncate(fd, DEVICE_MAP));
	for (map.iova = DEVICE_IOVA; map.iova < DEVICE_IOVA + DEVICE_PAGES * 4096ull; map.iova += DEVICE_MAP)
		CHECK(vmig_device_map_dma(dev, &map));
	close(fd);
}

static void reports(struct latency *l)
{
	static const struct {
		struct row row;
		uint32_t per_cent;
	} rows[] = {
		{ { "report-empty", "us", true, 1.2, report_limit, report, "131,120 bytes in reply to 48" },
		  0 },
		{ { "report-1pct", "us", true, 1.2, report_limit, report, "131,120 bytes in reply to 48" },
		  1 },
		{ { "report-full", "us", true, 1.2, report_limit, report, "131,120 bytes in reply to 48" },
		  100 },
	};
	struct vmig_range range = { DEVICE_IOVA, DEVICE_PAGES * 4096ull };
	uint64_t page_size = 4096;

	if (!wanted("report-empty") && !wanted("report-1pct") && !wanted("report-full"))
		return;
	map_all(l->dev);
	CHECK(vmig_device_dma_log_start(l->dev, &page_size, &range, 1));
	l->bitmap = calloc(DEVICE_PAGES / 64, sizeof(*l->bitmap));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		l->per_cent = rows[i].per_cent;
		measure(&rows[i].row, l);
	}
}

void bench_latency(void)
{
	static const struct row read_row = {
		"region-read", "us", true, 1.1, ping_limit, region_read, "AF_UNIX, 32 bytes there and 36 back"
	};
	struct vmig_vfio_user_config config = { .plain = 1 };
	struct latency l = { 0 };

	peer_start(&l.peer, "bench");
	CHECK(vmig_open_vfio_user_fd(l.peer.device, &config, &l.dev, NULL));
	measure(&read_row, &l);
	reports(&l);
	vmig_device_close(l.dev);
	peer_stop(&l.peer);
}
