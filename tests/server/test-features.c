/* SPDX-License-Identifier: BSD-3-Clause */
/* DEVICE_FEATURE: the rules of GET, SET and PROBE; the sizes; the DMA log in its two dialects. */
#include "harness.h"
#include "peer.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "handle/provider.h"

/* --- the rules ------------------------------------------------------------------------------------ */

TEST(probe_tells_what_is_there)
{
	static const struct {
		uint32_t index;
		uint32_t ops;
	} there[] = { { 1, GET }, { 2, GET }, { 2, SET }, { 2, GET | SET },
		      { 6, SET }, { 7, SET }, { 8, GET }, { 9, GET } };
	struct rig rig;

	rig_start(&rig, NULL);
	for (size_t i = 0; i < sizeof(there) / sizeof(there[0]); i++) {
		uint32_t flags = PROBE | there[i].ops | there[i].index;

		ck_assert_int_eq(peer_feature(&rig.peer, 8, flags, NULL), 0);
		ck_assert_uint_eq(rig.peer.in.body.len, 8);
		ck_assert_uint_eq(peer_u32(&rig.peer, 4), flags);
		ck_assert_int_eq(peer_feature(&rig.peer, 8, PROBE | there[i].index, NULL), 0);
	}
	ck_assert_uint_eq(peer_state(&rig.peer), VMIG_STATE_RUNNING);
	ck_assert_int_eq(rig_end(&rig), 0);
}

TEST(what_is_not_there)
{
	static const uint32_t absent[] = { 0, 3, 4, 5, 10, 11, 12, 13, 255, 0xffff };
	struct toy_config config = { .no_log = true };
	struct rig rig;

	rig_start(&rig, &config);
	for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++) {
		ck_assert_int_eq(peer_feature(&rig.peer, 8, PROBE | absent[i], NULL), -ENOTTY);
		ck_assert_int_eq(peer_feature(&rig.peer, 8, PROBE | GET | absent[i], NULL), -ENOTTY);
		ck_assert_int_eq(peer_feature(&rig.peer, 64, GET | absent[i], NULL), -ENOTTY);
	}
	for (uint32_t i = 6; i <= 8; i++)
		ck_assert_int_eq(peer_feature(&rig.peer, 8, PROBE | i, NULL), -ENOTTY);
	ck_assert_int_eq(rig_end(&rig), 0);
}

TEST(wrong_operations)
{
	struct rig rig;

	rig_start(&rig, NULL);
	ck_assert_int_eq(peer_feature(&rig.peer, 64, SET | 1, NULL), -EINVAL);
	ck_assert_int_eq(peer_feature(&rig.peer, 64, PROBE | SET | 1, NULL), -EINVAL);
	ck_assert_int_eq(peer_feature(&rig.peer, 64, GET | 6, NULL), -EINVAL);
	ck_assert_int_eq(peer_feature(&rig.peer, 64, SET | 8, NULL), -EINVAL);
	ck_assert_int_eq(peer_feature(&rig.peer, 64, GET | SET | 2, NULL), -EINVAL);
	ck_assert_int_eq(peer_feature(&rig.peer, 64, 2, NULL), -EINVAL);
	ck_assert_int_eq(peer_feature(&rig.peer, 64, GET | 1 | 1u << 19, NULL), -EINVAL);
	ck_assert_int_eq(peer_feature(&rig.peer, 64, GET | 1 | 1u << 31, NULL), -EINVAL);
	ck_assert_int_eq(peer_feature(&rig.peer, 15, GET | 1, NULL), -EINVAL);
	ck_assert_int_eq(peer_feature(&rig.peer, 7, PROBE | 1, NULL), -EINVAL);
	ck_assert_int_eq(rig_end(&rig), 0);
}

TEST(migration_flags)
{
	for (uint64_t features = 1; features < 8; features += 2) {
		struct toy_config config = { .features = features };
		struct rig rig;

		rig_start(&rig, &config);
		ck_assert_int_eq(peer_feature(&rig.peer, 16, GET | 1, NULL), 0);
		ck_assert_uint_eq(peer_u32(&rig.peer, 0), 16);
		ck_assert_uint_eq(peer_u64(&rig.peer, 8), features);
		ck_assert_int_eq(rig_end(&rig), 0);
	}
}

TEST(data_size)
{
	struct rig rig;

	rig_start(&rig, NULL);
	ck_assert_int_eq(peer_feature(&rig.peer, 16, GET | 9, NULL), 0);
	ck_assert_uint_eq(peer_u64(&rig.peer, 8), 1u << 20);
	ck_assert_int_eq(rig_end(&rig), 0);
}

/* --- pre-copy sizes -------------------------------------------------------------------------------- */

static int precopy_info(struct peer *p, uint32_t argsz)
{
	struct bytes b = { 0 };

	put32(&b, argsz);
	put32(&b, 0);
	return peer_call(p, C_PRECOPY_INFO, &b);
}

static void start_x(struct rig *rig)
{
	rig_make(rig, NULL, NULL);
	rig_attach(rig);
	ck_assert_int_eq(peer_hello(&rig->peer, HELLO_X), 0);
}

TEST(precopy_sizes)
{
	struct rig rig;

	start_x(&rig);
	ck_assert_int_eq(precopy_info(&rig.peer, 24), -EINVAL);
	ck_assert_int_eq(peer_set_state(&rig.peer, VMIG_STATE_PRE_COPY), 0);
	ck_assert_int_eq(precopy_info(&rig.peer, 23), -EINVAL);
	ck_assert_int_eq(precopy_info(&rig.peer, 24), 0);
	ck_assert_uint_eq(rig.peer.in.body.len, 24);
	ck_assert_uint_eq(peer_u64(&rig.peer, 8), 512u << 10);
	ck_assert_int_eq(peer_mig_read(&rig.peer, 1000), 1000);
	ck_assert_int_eq(precopy_info(&rig.peer, 24), 0);
	ck_assert_uint_eq(peer_u64(&rig.peer, 8), (512u << 10) - 1000);
	ck_assert_int_eq(peer_set_state(&rig.peer, VMIG_STATE_STOP_COPY), 0);
	ck_assert_int_eq(precopy_info(&rig.peer, 24), -EINVAL);
	ck_assert_int_eq(rig_end(&rig), 0);
}

TEST(reinit_is_reported_only_to_who_asked_for_it)
{
	struct rig rig;

	start_x(&rig);
	ck_assert_int_eq(peer_set_state(&rig.peer, VMIG_STATE_PRE_COPY), 0);
	toy_reinit(rig.toy);
	ck_assert_int_eq(precopy_info(&rig.peer, 24), 0);
	ck_assert_uint_eq(peer_u32(&rig.peer, 4), 0);
	ck_assert_int_eq(peer_feature(&rig.peer, 8, PROBE | SET | 12, NULL), 0);
	ck_assert_int_eq(peer_feature(&rig.peer, 8, SET | 12, NULL), 0);
	toy_reinit(rig.toy);
	ck_assert_int_eq(precopy_info(&rig.peer, 24), 0);
	ck_assert_uint_eq(peer_u32(&rig.peer, 4), 1);
	ck_assert_int_eq(rig_end(&rig), 0);
}

/* --- the DMA log ------------------------------------------------------------------------------------ */

#define PAGE 4096ull
#define IOVA 0x100000000ull

static int log_start(struct peer *p, uint64_t page_size, uint32_t n, uint64_t iova, uint64_t length)
{
	struct bytes b = { 0 };

	put64(&b, page_size);
	put32(&b, n);
	put32(&b, 0);
	for (uint32_t i = 0; i < n; i++) {
		put64(&b, iova + i * length);
		put64(&b, length);
	}
	return peer_feature(p, (uint32_t)(8 + b.len), SET | 6, &b);
}

static int log_report(struct peer *p, uint32_t argsz, uint64_t iova, uint64_t length, uint64_t page_size)
{
	struct bytes b = { 0 };

	put64(&b, iova);
	put64(&b, length);
	put64(&b, page_size);
	return peer_feature(p, argsz, GET | 8, &b);
}

/* Word @i of the bitmap that came. */
static uint64_t word(const struct peer *p, size_t i)
{
	return peer_u64(p, 8 + 24 + 8 * i);
}

static void device_writes(struct peer *p, uint64_t iova, uint64_t len)
{
	ck_assert_int_eq(peer_set_register(p, TOY_REG_ADDRESS, iova), 0);
	ck_assert_int_eq(peer_set_register(p, TOY_REG_LENGTH, len), 0);
	ck_assert_int_eq(peer_set_register(p, TOY_REG_COMMAND, TOY_COMMAND_WRITE), 0);
	ck_assert_uint_eq(peer_register(p, TOY_REG_STATUS), 0);
}

static void map_at(struct rig *rig, uint64_t iova, uint64_t size)
{
	uint8_t *mem;
	int fd = shared_memory(size, &mem);

	ck_assert_int_eq(peer_map(&rig->peer, 3, iova, size, fd, 0), 0);
	munmap(mem, size);
	close(fd);
}

TEST(log_of_a_range)
{
	struct rig rig;

	rig_start(&rig, NULL);
	map_at(&rig, IOVA, 128 * PAGE);
	ck_assert_int_eq(log_start(&rig.peer, PAGE, 1, IOVA, 128 * PAGE), 0);
	ck_assert_uint_eq(rig.peer.in.body.len, 8 + 16 + 16);
	ck_assert_uint_eq(peer_u64(&rig.peer, 8), PAGE);
	ck_assert_int_eq(log_start(&rig.peer, PAGE, 1, IOVA, 128 * PAGE), -EBUSY);
	device_writes(&rig.peer, IOVA + 3 * PAGE + 10, 1);
	device_writes(&rig.peer, IOVA + 64 * PAGE - 1, 2);
	ck_assert_int_eq(log_report(&rig.peer, 48, IOVA, 128 * PAGE, PAGE), 0);
	ck_assert_uint_eq(rig.peer.in.body.len, 48);
	ck_assert_uint_eq(peer_u32(&rig.peer, 0), 48);
	ck_assert_uint_eq(peer_u32(&rig.peer, 4), GET | 8);
	ck_assert_uint_eq(peer_u64(&rig.peer, 8), IOVA);
	ck_assert_uint_eq(word(&rig.peer, 0), 1ull << 63 | 1 << 3);
	ck_assert_uint_eq(word(&rig.peer, 1), 1);
	ck_assert_int_eq(log_report(&rig.peer, 48, IOVA, 128 * PAGE, PAGE), 0);
	ck_assert_uint_eq(word(&rig.peer, 0) | word(&rig.peer, 1), 0);
	ck_assert_int_eq(log_report(&rig.peer, 47, IOVA, 128 * PAGE, PAGE), -EINVAL);
	ck_assert_int_eq(log_report(&rig.peer, 4096, IOVA - PAGE, 2 * PAGE, PAGE), -EINVAL);
	ck_assert_int_eq(peer_feature(&rig.peer, 8, SET | 7, NULL), 0);
	ck_assert_int_eq(peer_feature(&rig.peer, 8, SET | 7, NULL), -EINVAL);
	ck_assert_int_eq(log_report(&rig.peer, 48, IOVA, 128 * PAGE, PAGE), -EINVAL);
	ck_assert_int_eq(rig_end(&rig), 0);
}

TEST(bad_log_requests)
{
	struct bytes b = { 0 };
	struct rig rig;

	rig_start(&rig, NULL);
	ck_assert_int_eq(log_start(&rig.peer, 0, 1, IOVA, PAGE), -EINVAL);
	ck_assert_int_eq(log_start(&rig.peer, 4097, 1, IOVA, PAGE), -EINVAL);
	ck_assert_int_eq(log_start(&rig.peer, PAGE, 1, IOVA, 0), -EINVAL);
	ck_assert_int_eq(log_start(&rig.peer, PAGE, 1, UINT64_MAX - PAGE + 1, 2 * PAGE), -EINVAL);
	ck_assert_int_eq(log_start(&rig.peer, PAGE, 1, IOVA + 1, PAGE), -EINVAL);
	ck_assert_int_eq(log_start(&rig.peer, PAGE, 1024, IOVA, PAGE), 0);
	ck_assert_int_eq(log_report(&rig.peer, UINT32_MAX, IOVA, PAGE, 0), -EINVAL);
	ck_assert_int_eq(log_report(&rig.peer, UINT32_MAX, IOVA, PAGE, 3), -EINVAL);
	ck_assert_int_eq(log_report(&rig.peer, UINT32_MAX, IOVA, 0, PAGE), -EINVAL);
	ck_assert_int_eq(log_report(&rig.peer, UINT32_MAX, UINT64_MAX, 2, PAGE), -EINVAL);
	ck_assert_int_eq(log_report(&rig.peer, UINT32_MAX, 0, UINT64_MAX, 1), -E2BIG);
	ck_assert_int_eq(peer_feature(&rig.peer, 8, SET | 7, NULL), 0);
	/* More ranges named than sent. */
	put64(&b, PAGE);
	put32(&b, 2);
	put32(&b, 0);
	put64(&b, IOVA);
	put64(&b, PAGE);
	ck_assert_int_eq(peer_feature(&rig.peer, 4096, SET | 6, &b), -EINVAL);
	ck_assert_int_eq(rig_end(&rig), 0);
}

/* No ranges means all, also what is mapped later. */
TEST(log_of_everything)
{
	struct rig rig;

	rig_start(&rig, NULL);
	map_at(&rig, IOVA, 64 * PAGE);
	ck_assert_int_eq(log_start(&rig.peer, PAGE, 0, 0, 0), 0);
	ck_assert_int_eq(log_start(&rig.peer, PAGE, 0, 0, 0), -EBUSY);
	map_at(&rig, 2 * IOVA, 64 * PAGE);
	device_writes(&rig.peer, IOVA + PAGE, 1);
	device_writes(&rig.peer, 2 * IOVA + 2 * PAGE, 1);
	ck_assert_int_eq(log_report(&rig.peer, 4096, IOVA, 64 * PAGE, PAGE), 0);
	ck_assert_uint_eq(word(&rig.peer, 0), 1 << 1);
	ck_assert_int_eq(log_report(&rig.peer, 4096, 2 * IOVA, 64 * PAGE, PAGE), 0);
	ck_assert_uint_eq(word(&rig.peer, 0), 1 << 2);
	/* Across the middle of the address space, where two ranges meet. */
	ck_assert_int_eq(log_report(&rig.peer, 4096, (1ull << 63) - PAGE, 2 * PAGE, PAGE), 0);
	ck_assert_uint_eq(word(&rig.peer, 0), 0);
	ck_assert_int_eq(peer_feature(&rig.peer, 8, SET | 7, NULL), 0);
	ck_assert_int_eq(rig_end(&rig), 0);
}

/* A device that refuses to log more than 1 GiB: bit i of a report is set where page i's number is a multiple of 3. */
struct narrow {
	struct vmig_range ranges[8];
	uint32_t n;
};

static int narrow_start(void *p, uint64_t *page_size, const struct vmig_range *ranges, uint32_t n,
			struct vmig_error *error)
{
	struct narrow *narrow = p;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += ranges[i].length >> 20;
	if (sum > 1024)
		return -ENOSPC;
	memcpy(narrow->ranges, ranges, n * sizeof(*ranges));
	narrow->n = n;
	return 0;
}

static int narrow_stop(void *p, struct vmig_error *error)
{
	return 0;
}

static int narrow_report(void *p, uint64_t iova, uint64_t length, uint64_t page_size, uint64_t *bitmap,
			 struct vmig_error *error)
{
	struct narrow *narrow = p;
	bool within = false;

	for (uint32_t i = 0; i < narrow->n; i++)
		within |= iova >= narrow->ranges[i].iova &&
			  iova + length <= narrow->ranges[i].iova + narrow->ranges[i].length;
	if (!within)
		return -EINVAL;
	for (uint64_t i = 0; i < (length + page_size - 1) / page_size; i++)
		if (!((iova / page_size + i) % 3))
			bitmap[i / 64] |= 1ull << i % 64;
	return 0;
}

static int narrow_map(void *p, const struct vmig_dma *map, struct vmig_error *error)
{
	return 0;
}

static int narrow_unmap(void *p, uint64_t iova, uint64_t size, struct vmig_error *error)
{
	return 0;
}

static void narrow_close(void *p)
{
}

static const struct vmig_provider_ops narrow_ops = {
	.close = narrow_close,
	.map_dma = narrow_map,
	.unmap_dma = narrow_unmap,
	.dma_log_start = narrow_start,
	.dma_log_stop = narrow_stop,
	.dma_log_report = narrow_report,
};

/* Mapped at the start: pages 10-99 (in two mappings), 200-264. Later: 300-363. */
static bool is_logged(uint64_t page)
{
	return (page >= 10 && page < 100) || (page >= 200 && page < 265);
}

static void check_report(struct peer *p, uint64_t first, uint64_t n)
{
	ck_assert_int_eq(log_report(p, 4096, first * PAGE, n * PAGE, PAGE), 0);
	for (uint64_t i = 0; i < n; i++) {
		bool dirty = word(p, i / 64) >> i % 64 & 1;
		bool want = !is_logged(first + i) || !((first + i) % 3);

		ck_assert_msg(dirty == want, "report from %d: page %d is %s", (int)first, (int)(first + i),
			      dirty ? "dirty" : "clean");
	}
	for (uint64_t i = n; i % 64; i++)
		ck_assert_msg(!(word(p, i / 64) >> i % 64 & 1), "a bit behind the last page");
}

TEST(log_of_everything_on_a_device_that_cannot)
{
	struct vmig_device_info info = { .has = VMIG_HAS_DMA_LOG, .dma_kinds = VMIG_DMA_KIND_MESSAGE };
	struct narrow narrow = { 0 };
	struct rig rig = { .served_fd = -1 };

	ck_assert_int_eq(vmig_device_new(&narrow_ops, &narrow, &info, &rig.dev), 0);
	rig_attach(&rig);
	ck_assert_int_eq(peer_hello(&rig.peer, HELLO), 0);
	ck_assert_int_eq(peer_map(&rig.peer, 3, 10 * PAGE, 40 * PAGE, -1, 0), 0);
	ck_assert_int_eq(peer_map(&rig.peer, 3, 200 * PAGE, 65 * PAGE, -1, 0), 0);
	ck_assert_int_eq(peer_map(&rig.peer, 3, 50 * PAGE, 50 * PAGE, -1, 0), 0);
	ck_assert_int_eq(log_start(&rig.peer, PAGE, 0, 0, 0), 0);
	ck_assert_uint_eq(narrow.n, 2);
	ck_assert_int_eq(peer_map(&rig.peer, 3, 300 * PAGE, 64 * PAGE, -1, 0), 0);
	for (uint64_t first = 0; first < 320; first += 1 + first % 11)
		for (uint64_t n = 1; n < 300; n += 13 + first % 37)
			check_report(&rig.peer, first, n);
	ck_assert_int_eq(peer_feature(&rig.peer, 8, SET | 7, NULL), 0);
	ck_assert_int_eq(rig_end(&rig), 0);
}

/* With larger pages, one that is logged only in part is dirty. */
TEST(a_page_logged_in_part_is_dirty)
{
	struct vmig_device_info info = { .has = VMIG_HAS_DMA_LOG, .dma_kinds = VMIG_DMA_KIND_MESSAGE };
	struct narrow narrow = { 0 };
	struct rig rig = { .served_fd = -1 };

	ck_assert_int_eq(vmig_device_new(&narrow_ops, &narrow, &info, &rig.dev), 0);
	rig_attach(&rig);
	ck_assert_int_eq(peer_hello(&rig.peer, HELLO), 0);
	/* Of pages of 64 KiB: 1 in part (its number is no multiple of 3), 2 wholly, 4 and 5 in part. */
	ck_assert_int_eq(peer_map(&rig.peer, 3, 17 * PAGE, 31 * PAGE, -1, 0), 0);
	ck_assert_int_eq(peer_map(&rig.peer, 3, 64 * PAGE, 17 * PAGE, -1, 0), 0);
	ck_assert_int_eq(log_start(&rig.peer, PAGE, 0, 0, 0), 0);
	ck_assert_int_eq(log_report(&rig.peer, 4096, 0, 96 * PAGE, 16 * PAGE), 0);
	/* Page 0: not mapped; 1: in part; 2: clean; 3: not mapped; 4: wholly, no multiple; 5: in part. */
	ck_assert_uint_eq(word(&rig.peer, 0), 0x2b);
	ck_assert_int_eq(rig_end(&rig), 0);
}

TEST(nothing_mapped_and_everything_logged)
{
	struct vmig_device_info info = { .has = VMIG_HAS_DMA_LOG, .dma_kinds = VMIG_DMA_KIND_MESSAGE };
	struct narrow narrow = { 0 };
	struct rig rig = { .served_fd = -1 };

	ck_assert_int_eq(vmig_device_new(&narrow_ops, &narrow, &info, &rig.dev), 0);
	rig_attach(&rig);
	ck_assert_int_eq(peer_hello(&rig.peer, HELLO), 0);
	ck_assert_int_eq(log_start(&rig.peer, PAGE, 0, 0, 0), 0);
	ck_assert_int_eq(log_report(&rig.peer, 4096, 0, 3 * PAGE, PAGE), 0);
	ck_assert_uint_eq(word(&rig.peer, 0), 7);
	ck_assert_int_eq(rig_end(&rig), 0);
}

HARNESS("server-features", T(probe_tells_what_is_there), T(what_is_not_there), T(wrong_operations),
	T(migration_flags), T(data_size), T(precopy_sizes), T(reinit_is_reported_only_to_who_asked_for_it),
	T(log_of_a_range), T(bad_log_requests), T(log_of_everything),
	T(log_of_everything_on_a_device_that_cannot), T(a_page_logged_in_part_is_dirty),
	T(nothing_mapped_and_everything_logged))
