/* SPDX-License-Identifier: BSD-3-Clause */
/* Mappings and the DMA log. */
#include <sys/mman.h>

#include "guest-kernel.h"

#define HOLD (2u << 20)

/* --- DMA ---------------------------------------------------------------------------------- */

static struct vmig_dma map_of(void *memory, uint64_t iova, uint64_t size)
{
	return (struct vmig_dma){
		.iova = iova, .size = size, .prot = VMIG_DMA_READ | VMIG_DMA_WRITE, .fd = -1, .vaddr = memory
	};
}

static void mappings_are_exact(void)
{
	void *memory = mmap(NULL, HOLD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct vmig_dma low = map_of(memory, 0, HOLD), high = map_of(memory, 1ull << 32, HOLD),
			middle = map_of(memory, HOLD - 4096, 8192), file = map_of(NULL, 1ull << 33, 4096);

	file.fd = 0;
	CHECK_INT(vmig_device_map_dma(a, &low), 0);
	CHECK_INT(vmig_device_map_dma(b, &low), 0);
	CHECK_INT(vmig_device_map_dma(a, &high), 0);
	CHECK_INT(vmig_device_map_dma(a, &low), -EEXIST);
	CHECK_INT(vmig_device_map_dma(a, &middle), -EEXIST);
	CHECK_INT(vmig_device_map_dma(a, &file), -EOPNOTSUPP);
	CHECK_INT(vmig_device_unmap_dma(a, 0, HOLD - 4096), -ENOENT);
	CHECK_INT(vmig_device_unmap_dma(a, 4096, HOLD - 4096), -ENOENT);
	CHECK_INT(vmig_device_unmap_dma(a, 0, 1ull << 34), -ENOENT);
	CHECK_INT(vmig_device_unmap_dma(a, 0, HOLD), 0);
	CHECK_INT(vmig_device_unmap_dma(a, 0, HOLD), -ENOENT);
	CHECK_INT(vmig_device_map_dma(a, &middle), 0);
	CHECK_INT(vmig_device_unmap_dma(a, middle.iova, middle.size), 0);
	CHECK_INT(vmig_device_unmap_dma(a, high.iova, high.size), 0);
	CHECK_INT(vmig_device_reset(b), 0);
	CHECK_INT(vmig_device_map_dma(b, &low), -EEXIST); /* mappings outlive a reset */
	CHECK_INT(vmig_device_unmap_dma(b, 0, HOLD), 0);
	munmap(memory, HOLD);
}

static void a_mapping_dies_with_its_handle(void)
{
	void *memory = mmap(NULL, HOLD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct vmig_dma low = map_of(memory, 0, HOLD);

	CHECK_INT(vmig_device_map_dma(b, &low), 0);
	reopen_b();
	CHECK_INT(vmig_device_map_dma(b, &low), 0);
	CHECK_INT(vmig_device_unmap_dma(b, 0, HOLD), 0);
	munmap(memory, HOLD);
}

static void a_thousand_mappings(void)
{
	char *memory = mmap(NULL, 4096 * 1000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int bad = 0;

	/* Not in their order: 7 has no factor in common with 1000. */
	for (uint64_t i = 0; i < 1000; i++) {
		uint64_t at = i * 7 % 1000 * 4096;
		struct vmig_dma map = map_of(memory + at, at * 2, 4096);

		bad += vmig_device_map_dma(a, &map) != 0;
	}
	for (uint64_t i = 0; i < 1000; i++)
		bad += vmig_device_unmap_dma(a, i * 11 % 1000 * 8192, 4096) != 0;
	CHECK_INT(bad, 0);
	munmap(memory, 4096 * 1000);
}

static void dma_log_in_the_kernels_dialect(void)
{
	const struct vmig_range ranges[2] = { { .iova = 0, .length = 1 << 20 },
					      { .iova = 1 << 21, .length = 1 << 20 } };
	uint64_t page_size = 4096, bitmap[4] = { 0 };
	int r;

	fresh();
	CHECK_INT(vmig_device_dma_log_report(a, 0, 1 << 20, 4096, bitmap), -EINVAL);
	CHECK_INT(vmig_device_dma_log_start(a, &page_size, ranges, 0), -EINVAL);
	CHECK_INT(vmig_device_dma_log_start(a, &page_size, ranges, 2), 0);
	CHECK_INT(page_size, 4096);
	CHECK_INT(vmig_device_dma_log_start(a, &page_size, ranges, 2), -EBUSY);
	/* Debian's own modules cannot report; those of the lab can. */
	r = vmig_device_dma_log_report(a, 0, 1 << 20, 4096, bitmap);
	CHECK(!r || r == -EOPNOTSUPP);
	CHECK(!bitmap[0]); /* mtty does no DMA */
	CHECK_INT(vmig_device_dma_log_stop(a), 0);
	CHECK_INT(vmig_device_dma_log_start(a, &page_size, ranges, 1), 0);
	CHECK_INT(vmig_device_reset(a), 0);
	CHECK_INT(vmig_device_dma_log_report(a, 0, 1 << 20, 4096, bitmap), -EINVAL); /* a reset stops it */
}

TESTS(tests_of_dma, T(mappings_are_exact), T(a_mapping_dies_with_its_handle), T(a_thousand_mappings),
      T(dma_log_in_the_kernels_dialect));
