/* SPDX-License-Identifier: BSD-3-Clause */
/* What a model is made of: configurations, regions, ioeventfds, DMA; and what may run beside a long step. */
#include "harness.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/limits.h"
#include "tiny.h"

#define K4 4096ull

/* --- configurations ------------------------------------------------------------------------------ */

static int step(void *opaque, uint32_t from, uint32_t to, uint32_t *ret_state)
{
	return 0;
}

static ssize_t lend(void *opaque, size_t max, struct iovec *ret_iov, int *ret_n)
{
	return 0;
}

static void give_back(void *opaque, size_t used)
{
}

static ssize_t read_data(void *opaque, void *buf, size_t len)
{
	return 0;
}

static int filled(void *opaque, size_t len)
{
	return 0;
}

static int write_data(void *opaque, const void *buf, size_t len)
{
	return 0;
}

static int sizes(void *opaque, struct vmig_precopy *ret)
{
	return 0;
}

static int region_read(void *opaque, uint32_t index, uint64_t offset, void *buf, size_t len)
{
	return 0;
}

static struct vmig_model_ops good_ops(void)
{
	return (struct vmig_model_ops){ .step = step, .read = read_data, .write = write_data };
}

static struct vmig_model_config good_config(void)
{
	return (struct vmig_model_config){ .name = "m",
					   .identity = "test:m",
					   .migration_flags = VMIG_MIGRATION_STOP_COPY };
}

static int try_both(const struct vmig_model_ops *ops, const struct vmig_model_config *config)
{
	struct vmig_model *model;
	struct vmig_device *dev;
	int r = vmig_model_new(ops, NULL, config, &model, &dev);

	if (!r)
		vmig_device_close(dev);
	return r;
}

static int try_ops(struct vmig_model_ops ops)
{
	struct vmig_model_config config = good_config();

	return try_both(&ops, &config);
}

static int try_config(struct vmig_model_config config)
{
	struct vmig_model_ops ops = good_ops();

	return try_both(&ops, &config);
}

#define OPS(...)                                                                                             \
	({                                                                                                   \
		struct vmig_model_ops o = good_ops();                                                        \
		__VA_ARGS__;                                                                                 \
		try_ops(o);                                                                                  \
	})
#define CONFIG(...)                                                                                          \
	({                                                                                                   \
		struct vmig_model_config c = good_config();                                                  \
		__VA_ARGS__;                                                                                 \
		try_config(c);                                                                               \
	})

TEST(ops_must_fit_together)
{
	ck_assert_int_eq(OPS((void)o), 0);
	ck_assert_int_eq(OPS(o.step = NULL), -EINVAL);
	ck_assert_int_eq(OPS(o.read = NULL), -EINVAL);
	ck_assert_int_eq(OPS(o.write = NULL), -EINVAL);
	ck_assert_int_eq(OPS(o.lend = lend), -EINVAL);
	ck_assert_int_eq(OPS(o.read = NULL; o.lend = lend), -EINVAL);
	ck_assert_int_eq(OPS(o.read = NULL; o.give_back = give_back), -EINVAL);
	ck_assert_int_eq(OPS(o.read = NULL; o.lend = lend; o.give_back = give_back), 0);
	ck_assert_int_eq(OPS(o.room = lend), -EINVAL);
	ck_assert_int_eq(OPS(o.write = NULL; o.room = lend), -EINVAL);
	ck_assert_int_eq(OPS(o.write = NULL; o.filled = filled), -EINVAL);
	ck_assert_int_eq(OPS(o.write = NULL; o.room = lend; o.filled = filled), 0);
}

TEST(features_need_their_ops)
{
	struct vmig_model_config config = good_config();
	struct vmig_model_ops ops = good_ops(), none = { 0 };

	config.migration_flags = TINY_ALL_FLAGS;
	ck_assert_int_eq(try_both(&ops, &config), -EINVAL);
	config.has = VMIG_HAS_REINIT;
	ops.precopy_sizes = sizes;
	ck_assert_int_eq(try_both(&ops, &config), 0);
	config.migration_flags = VMIG_MIGRATION_STOP_COPY;
	ck_assert_int_eq(try_both(&ops, &config), -EINVAL);
	config.has = 0;
	config.migration_flags = 0;
	ck_assert_int_eq(try_both(&none, &config), 0);
	ck_assert_int_eq(CONFIG(c.migration_flags = VMIG_MIGRATION_P2P), -EINVAL);
	ck_assert_int_eq(CONFIG(c.migration_flags = 1 | 1u << 3), -EINVAL);
	ck_assert_int_eq(CONFIG(c.has = VMIG_HAS_PRECOPY_INFO), -EINVAL);
	ck_assert_int_eq(CONFIG(c.traits = VMIG_TRAIT_LENDS), -EINVAL);
	ck_assert_int_eq(CONFIG(c.name = NULL), -EINVAL);
	ck_assert_int_eq(CONFIG(c.identity = NULL), -EINVAL);
}

TEST(an_identity_is_never_cut)
{
	char identity[VMIG_IDENTITY_MAX + 1];

	memset(identity, 'x', sizeof(identity));
	identity[VMIG_IDENTITY_MAX] = '\0';
	ck_assert_int_eq(CONFIG(c.identity = identity), -EINVAL);
	ck_assert_int_eq(CONFIG(c.identity = identity + 1), 0);
}

TEST(regions_and_interrupts_have_limits)
{
	static struct vmig_region regions[VMIG_LIMIT_REGIONS + 1];
	static struct vmig_irq irqs[VMIG_LIMIT_IRQ_INDICES + 1];

	for (uint32_t n = VMIG_LIMIT_REGIONS - 1; n <= VMIG_LIMIT_REGIONS + 1; n++)
		ck_assert_int_eq(CONFIG(c.regions = regions; c.n_regions = n),
				 n <= VMIG_LIMIT_REGIONS ? 0 : -EINVAL);
	for (uint32_t n = VMIG_LIMIT_IRQ_INDICES - 1; n <= VMIG_LIMIT_IRQ_INDICES + 1; n++)
		ck_assert_int_eq(CONFIG(c.irqs = irqs; c.n_irqs = n),
				 n <= VMIG_LIMIT_IRQ_INDICES ? 0 : -EINVAL);
	for (uint32_t n = VMIG_LIMIT_IRQS - 1; n <= VMIG_LIMIT_IRQS + 1; n++) {
		irqs[0].count = n;
		ck_assert_int_eq(CONFIG(c.irqs = irqs; c.n_irqs = 1), n <= VMIG_LIMIT_IRQS ? 0 : -EINVAL);
	}
}

TEST(regions_must_be_possible)
{
	static const struct vmig_region bad[] = {
		{ .flags = VMIG_REGION_READ, .size = 1, .fd = -1 },                       /* no callback */
		{ .flags = VMIG_REGION_WRITE, .size = 1, .fd = -1 },                      /* likewise */
		{ .flags = VMIG_REGION_MMAP, .size = 1, .fd = -1 },                       /* nothing to map */
		{ .size = 1, .fd = -1, .n_areas = VMIG_REGION_AREAS_MAX + 1 },            /* too many */
		{ .size = 8192, .fd = -1, .n_areas = 1, .areas = { { 4096, 4097 } } },    /* out of it */
		{ .size = 8192, .fd = -1, .n_areas = 1, .areas = { { UINT64_MAX, 2 } } }, /* wraps */
	};
	static const uint32_t one = 1;
	static const struct vmig_ioeventfd ioeventfd = { .fd = -1 };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(CONFIG(c.regions = &bad[i]; c.n_regions = 1) == -EINVAL, "case %zu", i);
	ck_assert_int_eq(CONFIG(c.ioeventfds = &ioeventfd; c.ioeventfd_regions = &one; c.n_ioeventfds = 1),
			 -EINVAL);
}

TEST(a_refused_model_takes_nothing)
{
	struct vmig_region region = { .flags = VMIG_REGION_MMAP | VMIG_REGION_READ, .size = 4096 };
	int fd = memfd_create("region", MFD_CLOEXEC);

	region.fd = fd;
	ck_assert_int_eq(CONFIG(c.regions = &region; c.n_regions = 1), -EINVAL);
	ck_assert_int_eq(close(fd), 0); /* still the caller's */
}

TEST(a_model_says_what_it_is)
{
	struct vmig_region regions[8] = { { .fd = -1 } };
	struct vmig_model_ops ops = good_ops();
	struct vmig_model_config config = good_config();
	struct vmig_device_info info;
	struct vmig_model *model;
	struct vmig_device *dev;

	for (int i = 0; i < 8; i++)
		regions[i] = (struct vmig_region){ .index = 77, .fd = -1 };
	regions[VMIG_REGION_PCI_CONFIG].size = 256;
	regions[VMIG_REGION_PCI_CONFIG].flags = VMIG_REGION_READ;
	ops.region_read = region_read;
	ops.lend = lend;
	ops.give_back = give_back;
	ops.read = NULL;
	config.regions = regions;
	config.n_regions = 8;
	config.traits = VMIG_TRAIT_LATE_VALIDATION;
	ck_assert_int_eq(vmig_model_new(&ops, NULL, &config, &model, &dev), 0);
	vmig_device_query_info(dev, &info);
	ck_assert_uint_eq(info.flags, VMIG_DEVICE_FLAG_PCI);
	ck_assert_uint_eq(info.traits, VMIG_TRAIT_LATE_VALIDATION | VMIG_TRAIT_LENDS);
	ck_assert_uint_eq(info.has, VMIG_HAS_TAG);
	ck_assert_uint_eq(info.generation, 1);
	ck_assert_str_eq(info.identity, "test:m");
	ck_assert_str_eq(info.name, "model:m");
	ck_assert_str_eq(info.format, "v2");
	ck_assert_int_eq(vmig_device_query_region(dev, 3, &regions[0]), 0);
	ck_assert_uint_eq(regions[0].index, 3);
	ck_assert_int_eq(vmig_device_reset(dev), -EOPNOTSUPP);
	vmig_device_close(dev);
}

/* --- regions --------------------------------------------------------------------------------------- */

TEST(accesses_stay_within_the_region)
{
	uint8_t buf[65] = { 0 };
	struct tiny tiny;

	tiny_open(&tiny, 0, TINY_COPIES);
	ck_assert_int_eq(vmig_device_region_read(tiny.dev, 0, 0, buf, 64), 0);
	ck_assert_int_eq(vmig_device_region_read(tiny.dev, 0, 63, buf, 1), 0);
	ck_assert_uint_eq(buf[0], 63);
	ck_assert_int_eq(vmig_device_region_read(tiny.dev, 0, 0, buf, 65), -EINVAL);
	ck_assert_int_eq(vmig_device_region_read(tiny.dev, 0, 63, buf, 2), -EINVAL);
	ck_assert_int_eq(vmig_device_region_read(tiny.dev, 0, 64, buf, 1), -EINVAL);
	ck_assert_int_eq(vmig_device_region_read(tiny.dev, 0, 1ull << 63, buf, 1), -EINVAL);
	ck_assert_int_eq(vmig_device_region_read(tiny.dev, 2, 0, buf, 1), -EINVAL); /* it is not there */
	ck_assert_int_eq(vmig_device_region_read(tiny.dev, 1, 0, buf, 1), 0);
	ck_assert_int_eq(vmig_device_region_write(tiny.dev, 1, 0, buf, 1), -EINVAL); /* read only */
	ck_assert_int_eq(vmig_device_region_write(tiny.dev, 0, 60, buf, 4), 0);
	ck_assert_int_eq(vmig_device_region_write(tiny.dev, 0, 60, buf, 5), -EINVAL);
	buf[0] = 0xee;
	ck_assert_int_eq(vmig_device_region_write(tiny.dev, 0, 0, buf, 1), -EIO); /* what the device says */
	tiny_close(&tiny);
}

TEST(the_models_descriptors_are_closed_once)
{
	int shared = memfd_create("shared", MFD_CLOEXEC), event = eventfd(0, EFD_CLOEXEC);
	const struct vmig_region regions[] = {
		{ .flags = VMIG_REGION_MMAP, .size = 4096, .fd = shared },
		{ .flags = VMIG_REGION_MMAP, .size = 4096, .fd = shared, .fd_offset = 4096 },
	};
	const struct vmig_ioeventfd ioeventfds[] = { { .offset = 0, .size = 4, .fd = event },
						     { .offset = 8, .size = 4, .fd = event },
						     { .offset = 16, .fd = -1 } };
	const uint32_t at[] = { 1, 0, 1 };
	struct vmig_model_config config = good_config();
	struct vmig_model_ops ops = good_ops();
	struct vmig_ioeventfd got[3];
	struct vmig_model *model;
	struct vmig_device *dev;

	config.regions = regions;
	config.n_regions = 2;
	config.ioeventfds = ioeventfds;
	config.ioeventfd_regions = at;
	config.n_ioeventfds = 3;
	ck_assert_int_eq(vmig_model_new(&ops, NULL, &config, &model, &dev), 0);
	ck_assert_int_eq(vmig_device_query_ioeventfds(dev, 1, got, 0), 2);
	ck_assert_int_eq(vmig_device_query_ioeventfds(dev, 1, got, 3), 2);
	ck_assert_uint_eq(got[0].offset, 0);
	ck_assert_uint_eq(got[1].offset, 16);
	ck_assert_int_eq(vmig_device_query_ioeventfds(dev, 0, got, 1), 1);
	ck_assert_int_eq(got[0].fd, event);
	vmig_device_close(dev); /* the harness counts what is left */
}

/* --- DMA ---------------------------------------------------------------------------------------------- */

static int map_memory(struct tiny *tiny, uint64_t iova, uint64_t size, uint32_t prot, void *memory)
{
	return vmig_device_map_dma(
		tiny->dev,
		&(struct vmig_dma){ .iova = iova, .size = size, .prot = prot, .fd = -1, .vaddr = memory });
}

TEST(accesses_cross_mappings_that_lie_side_by_side)
{
	static uint8_t memory[4 * 4096], want[4 * 4096], got[4 * 4096];
	struct tiny tiny;

	tiny_open(&tiny, 0, TINY_COPIES);
	/* In another order in memory than in the device's eyes. */
	for (uint64_t i = 0; i < 4; i++)
		ck_assert_int_eq(map_memory(&tiny, (8 + i) * K4, K4, 3, memory + (3 - i) * K4), 0);
	for (size_t i = 0; i < sizeof(want); i++)
		want[i] = (uint8_t)(i * 7 + i / 4096);
	ck_assert_int_eq(vmig_model_dma_write(tiny.model, 8 * K4, want, sizeof(want)), 0);
	for (uint64_t i = 0; i < 4; i++)
		ck_assert(!memcmp(memory + (3 - i) * K4, want + i * K4, K4));
	ck_assert_int_eq(vmig_model_dma_read(tiny.model, 8 * K4 + 5, got, 3 * K4), 0);
	ck_assert(!memcmp(got, want + 5, 3 * K4));
	ck_assert_int_eq(vmig_model_dma_read(tiny.model, 8 * K4 - 1, got, 1), -EFAULT);
	ck_assert_int_eq(vmig_model_dma_read(tiny.model, 12 * K4, got, 1), -EFAULT);
	ck_assert_int_eq(vmig_model_dma_read(tiny.model, 11 * K4, got, 2 * K4), -EFAULT);
	ck_assert_int_eq(vmig_model_dma_read(tiny.model, 0, got, 0), 0);
	tiny_close(&tiny);
}

TEST(directions_are_kept)
{
	static uint8_t memory[8192];
	struct tiny tiny;
	uint8_t buf[8];

	tiny_open(&tiny, 0, TINY_COPIES);
	ck_assert_int_eq(map_memory(&tiny, 0, K4, VMIG_DMA_READ, memory), 0);
	ck_assert_int_eq(map_memory(&tiny, K4, K4, VMIG_DMA_WRITE, memory + 4096), 0);
	ck_assert_int_eq(vmig_model_dma_read(tiny.model, 0, buf, 8), 0);
	ck_assert_int_eq(vmig_model_dma_write(tiny.model, 0, buf, 8), -EFAULT);
	ck_assert_int_eq(vmig_model_dma_read(tiny.model, K4, buf, 8), -EFAULT);
	ck_assert_int_eq(vmig_model_dma_write(tiny.model, K4, buf, 8), 0);
	tiny_close(&tiny);
}

TEST(the_last_page_can_be_mapped_and_nothing_behind_it)
{
	static uint8_t memory[8192], buf[8192];
	const uint64_t top = UINT64_MAX - K4 + 1;
	struct tiny tiny;

	tiny_open(&tiny, 0, TINY_COPIES);
	ck_assert_int_eq(map_memory(&tiny, top, K4, 3, memory), 0);
	ck_assert_int_eq(map_memory(&tiny, 0, K4, 3, memory + 4096), 0);
	ck_assert_int_eq(vmig_model_dma_write(tiny.model, UINT64_MAX, buf, 1), 0);
	ck_assert_int_eq(vmig_model_dma_write(tiny.model, UINT64_MAX, buf, 2),
			 -EFAULT); /* it does not wrap */
	ck_assert_int_eq(vmig_model_dma_write(tiny.model, top, buf, K4), 0);
	ck_assert_int_eq(vmig_model_dma_read(tiny.model, top, buf, K4 + 1), -EFAULT);
	tiny_close(&tiny);
}

TEST(mappings_do_not_overlap_and_unmap_is_exact)
{
	static uint8_t memory[64 * 4096];
	struct tiny tiny;

	tiny_open(&tiny, 0, TINY_COPIES);
	ck_assert_int_eq(map_memory(&tiny, 4 * K4, 4 * K4, 3, memory), 0);
	ck_assert_int_eq(map_memory(&tiny, 4 * K4, 4 * K4, 3, memory), -EEXIST);
	ck_assert_int_eq(map_memory(&tiny, 7 * K4, K4, 3, memory), -EEXIST);
	ck_assert_int_eq(map_memory(&tiny, 0, 5 * K4, 3, memory), -EEXIST);
	ck_assert_int_eq(map_memory(&tiny, 0, 64 * K4, 3, memory), -EEXIST);
	ck_assert_int_eq(map_memory(&tiny, 0, 4 * K4, 3, memory), 0);
	ck_assert_int_eq(map_memory(&tiny, 8 * K4, K4, 3, memory), 0);
	ck_assert_int_eq(vmig_device_unmap_dma(tiny.dev, 4 * K4, K4), -ENOENT);
	ck_assert_int_eq(vmig_device_unmap_dma(tiny.dev, 5 * K4, 3 * K4), -ENOENT);
	ck_assert_int_eq(vmig_device_unmap_dma(tiny.dev, 4 * K4, 5 * K4), -ENOENT);
	ck_assert_int_eq(vmig_device_unmap_dma(tiny.dev, 0, 0), -ENOENT);
	ck_assert_int_eq(vmig_device_unmap_dma(tiny.dev, 4 * K4, 4 * K4), 0);
	ck_assert_int_eq(vmig_model_dma_read(tiny.model, 4 * K4, memory, 1), -EFAULT);
	tiny_close(&tiny);
}

TEST(mappings_have_a_limit)
{
	static uint8_t memory[4096];
	struct tiny tiny;

	tiny_open(&tiny, 0, TINY_COPIES);
	for (uint64_t i = 0; i < VMIG_LIMIT_DMA_MAPS; i++)
		ck_assert_int_eq(map_memory(&tiny, 2 * i * K4, K4, 3, memory), 0);
	ck_assert_int_eq(map_memory(&tiny, 1ull << 50, K4, 3, memory), -ENOSPC);
	ck_assert_int_eq(vmig_device_unmap_dma(tiny.dev, 0, K4), 0);
	ck_assert_int_eq(map_memory(&tiny, 1ull << 50, K4, 3, memory), 0);
	tiny_close(&tiny);
}

TEST(a_file_is_mapped_here_if_nobody_else_has)
{
	int fd = memfd_create("memory", MFD_CLOEXEC);
	struct vmig_dma map = { .iova = K4, .size = K4, .prot = 3, .fd = fd, .fd_offset = K4 };
	struct tiny tiny;
	char buf[8] = { 0 };

	tiny_open(&tiny, 0, TINY_COPIES);
	ck_assert_int_eq(ftruncate(fd, 2 * K4), 0);
	ck_assert_int_eq(vmig_device_map_dma(tiny.dev, &map), 0);
	map.iova = 2 * K4;
	map.fd_offset = 2 * K4;
	ck_assert_int_eq(vmig_device_map_dma(tiny.dev, &map), -EINVAL); /* would be a SIGBUS */
	map.fd_offset = 5;
	ck_assert_int_eq(vmig_device_map_dma(tiny.dev, &map), -EINVAL);
	map.fd = 9999;
	ck_assert_int_eq(vmig_device_map_dma(tiny.dev, &map), -EBADF);
	ck_assert_int_eq(vmig_model_dma_write(tiny.model, K4 + 8, "written", 8), 0);
	ck_assert_int_eq(pread(fd, buf, 8, K4 + 8), 8);
	ck_assert_str_eq(buf, "written");
	close(fd);
	ck_assert_int_eq(vmig_device_unmap_dma(tiny.dev, K4, K4), 0);
	tiny_close(&tiny);
}

static int answer;

static int io_read(void *opaque, uint64_t iova, void *buf, size_t len)
{
	memset(buf, (int)(iova >> 12), len);
	return answer;
}

static int io_write(void *opaque, uint64_t iova, const void *buf, size_t len)
{
	*(uint64_t *)opaque = iova + len;
	return answer;
}

TEST(memory_elsewhere_is_asked_for)
{
	uint64_t end = 0, bits = 0, page = K4;
	const struct vmig_range range = { 0, 16 * K4 };
	const struct vmig_dma_io io = { .read = io_read, .write = io_write, .opaque = &end };
	const struct vmig_dma map = { .iova = 8 * K4, .size = 4 * K4, .prot = 3, .fd = -1, .io = &io };
	struct tiny tiny;
	char buf[64];

	tiny_open(&tiny, 0, TINY_COPIES);
	ck_assert_int_eq(vmig_device_map_dma(tiny.dev, &map), 0);
	ck_assert_int_eq(vmig_device_dma_log_start(tiny.dev, &page, &range, 1), 0);
	ck_assert_int_eq(vmig_model_dma_read(tiny.model, 9 * K4, buf, sizeof(buf)), 0);
	ck_assert_int_eq(buf[63], 9);
	ck_assert_int_eq(vmig_model_dma_write(tiny.model, 9 * K4, buf, 33), 0);
	ck_assert_uint_eq(end, 9 * K4 + 33);
	answer = -EPERM;
	ck_assert_int_eq(vmig_model_dma_read(tiny.model, 8 * K4, buf, 1), -EPERM);
	ck_assert_int_eq(vmig_model_dma_write(tiny.model, 10 * K4, buf, 1), -EPERM); /* perhaps in part */
	ck_assert_int_eq(vmig_device_dma_log_report(tiny.dev, 0, 16 * K4, K4, &bits), 0);
	ck_assert_uint_eq(bits, 1 << 9 | 1 << 10);
	tiny_close(&tiny);
}

/* --- beside a long step ------------------------------------------------------------------------------- */

static pthread_barrier_t stepping, go_on;
static struct vmig_device *slow;
static struct vmig_model *slow_model;

static int slow_step(void *opaque, uint32_t from, uint32_t to, uint32_t *ret_state)
{
	pthread_barrier_wait(&stepping);
	pthread_barrier_wait(&go_on);
	return 0;
}

static void *walk_slowly(void *opaque)
{
	*(int *)opaque = vmig_device_set_state(slow, VMIG_STATE_STOP, VMIG_STATE_NONE, NULL);
	return NULL;
}

TEST(a_long_step_holds_up_nothing_else)
{
	static uint8_t memory[4096];
	const struct vmig_region region = { .flags = VMIG_REGION_READ, .size = 8, .fd = -1 };
	const struct vmig_irq irq = { .flags = 1, .count = 1 };
	const struct vmig_irq_set set = { .flags = VMIG_IRQ_DATA_NONE | VMIG_IRQ_ACTION_TRIGGER, .count = 1 };
	const struct vmig_range range = { 0, K4 };
	struct vmig_model_ops ops = good_ops();
	struct vmig_model_config config = good_config();
	uint64_t page = K4, bits = 0;
	struct vmig_device_info info;
	struct vmig_error error;
	pthread_t thread;
	uint32_t state;
	int r = 1;

	ops.step = slow_step;
	ops.region_read = region_read;
	config.regions = &region;
	config.n_regions = 1;
	config.irqs = &irq;
	config.n_irqs = 1;
	config.has = VMIG_HAS_DMA_LOG;
	ck_assert_int_eq(vmig_model_new(&ops, NULL, &config, &slow_model, &slow), 0);
	pthread_barrier_init(&stepping, NULL, 2);
	pthread_barrier_init(&go_on, NULL, 2);
	ck_assert_int_eq(pthread_create(&thread, NULL, walk_slowly, &r), 0);
	pthread_barrier_wait(&stepping);
	ck_assert_int_eq(vmig_device_query_state(slow, &state), 0);
	ck_assert_uint_eq(state, VMIG_STATE_RUNNING);
	ck_assert_uint_eq(vmig_model_state(slow_model), VMIG_STATE_RUNNING);
	ck_assert_int_eq(vmig_device_region_read(slow, 0, 0, memory, 8), 0);
	ck_assert_int_eq(vmig_device_set_irqs(slow, &set), 0);
	vmig_model_raise(slow_model, 0, 0);
	ck_assert_int_eq(
		vmig_device_map_dma(slow,
				    &(struct vmig_dma){ .size = K4, .prot = 3, .fd = -1, .vaddr = memory }),
		0);
	ck_assert_int_eq(vmig_device_dma_log_start(slow, &page, &range, 1), 0);
	ck_assert_int_eq(vmig_model_dma_write(slow_model, 0, "x", 1), 0);
	ck_assert_int_eq(vmig_device_dma_log_report(slow, 0, K4, K4, &bits), 0);
	ck_assert_uint_eq(bits, 1);
	ck_assert_int_eq(vmig_device_dma_log_stop(slow), 0);
	ck_assert_int_eq(vmig_device_unmap_dma(slow, 0, K4), 0);
	vmig_device_query_info(slow, &info);
	vmig_device_query_error(slow, &error);
	ck_assert_int_eq(error.code, 0);
	pthread_barrier_wait(&go_on);
	pthread_join(thread, NULL);
	ck_assert_int_eq(r, 0);
	vmig_device_close(slow);
}

HARNESS("model", T(ops_must_fit_together), T(features_need_their_ops), T(an_identity_is_never_cut),
	T(regions_and_interrupts_have_limits), T(regions_must_be_possible), T(a_refused_model_takes_nothing),
	T(a_model_says_what_it_is), T(accesses_stay_within_the_region),
	T(the_models_descriptors_are_closed_once), T(accesses_cross_mappings_that_lie_side_by_side),
	T(directions_are_kept), T(the_last_page_can_be_mapped_and_nothing_behind_it),
	T(mappings_do_not_overlap_and_unmap_is_exact), T(mappings_have_a_limit),
	T(a_file_is_mapped_here_if_nobody_else_has), T(memory_elsewhere_is_asked_for),
	T(a_long_step_holds_up_nothing_else))
