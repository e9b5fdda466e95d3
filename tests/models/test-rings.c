/* SPDX-License-Identifier: BSD-3-Clause */
/* nic, accel and vgpu as a guest sees them: one driver, which knows no accesses but those of 4 bytes. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "models/bytes.h"
#include "models/nic-class.h"
#include "rig.h"

#define IOVA  0x200000000ull
#define SIZE  65536u
#define INDEX 0u
#define RING  4096u
#define AREA  8192u
#define SLOTS 16u

static const char *const specs[] = { "nic,state=64K", "accel,state=64K", "vgpu,state=64K" };

static uint32_t get32(struct vmig_device *dev, uint32_t bar, uint64_t offset)
{
	uint8_t buf[4];

	ck_assert_int_eq(vmig_device_region_read(dev, bar, offset, buf, 4), 0);
	return get_le32(buf);
}

static void put32(struct vmig_device *dev, uint32_t bar, uint64_t offset, uint32_t value)
{
	uint8_t buf[4];

	put_le32(buf, value);
	ck_assert_int_eq(vmig_device_region_write(dev, bar, offset, buf, 4), 0);
}

static void put64(struct vmig_device *dev, uint64_t offset, uint64_t value)
{
	put32(dev, NIC_BAR_REGISTERS, offset, (uint32_t)value);
	put32(dev, NIC_BAR_REGISTERS, offset + 4, (uint32_t)(value >> 32));
}

static uint64_t get64(struct vmig_device *dev, uint64_t offset)
{
	return get32(dev, NIC_BAR_REGISTERS, offset) | (uint64_t)get32(dev, NIC_BAR_REGISTERS, offset + 4)
							       << 32;
}

struct guest {
	struct vmig_device *dev;
	const struct nic_class *class;
	uint8_t *memory;
	struct vmig_dma map;
};

static void write_jobs(struct guest *g, uint64_t from, uint64_t to)
{
	for (uint64_t n = from; n < to; n++)
		accel_job_make(g->memory + AREA + n % SLOTS * ACCEL_JOB, 0, n);
}

static void guest_init(struct guest *g, const char *spec)
{
	uint64_t queue = NIC_QUEUE(0);

	*g = (struct guest){ .dev = rig_open(spec) };
	g->class = nic_class_of((uint16_t)get32(g->dev, VMIG_REGION_PCI_CONFIG, 2));
	ck_assert_ptr_nonnull(g->class);
	g->memory = aligned_alloc(4096, SIZE);
	memset(g->memory, 0, SIZE);
	g->map = (struct vmig_dma){ .iova = IOVA,
				    .size = SIZE,
				    .prot = VMIG_DMA_READ | VMIG_DMA_WRITE,
				    .fd = -1,
				    .vaddr = g->memory };
	ck_assert_int_eq(vmig_device_map_dma(g->dev, &g->map), 0);
	put64(g->dev, queue + NIC_QUEUE_BASE, IOVA + RING);
	put64(g->dev, queue + NIC_QUEUE_INDEX, IOVA + INDEX + 8);
	put64(g->dev, queue + NIC_QUEUE_SLOTS, SLOTS);
	put64(g->dev, queue + NIC_QUEUE_AREA, IOVA + AREA);
	put32(g->dev, VMIG_REGION_PCI_CONFIG, 4, 6);
}

static void guest_enable(struct guest *g)
{
	put64(g->dev, NIC_QUEUE(0) + NIC_QUEUE_CONTROL, 1);
	ck_assert_uint_eq(get64(g->dev, NIC_QUEUE(0) + NIC_QUEUE_CONTROL) & NIC_QUEUE_STATUS_REFUSED, 0);
	if (!g->class->has_jobs)
		return;
	write_jobs(g, 0, SLOTS);
	put32(g->dev, NIC_BAR_DOORBELLS, ACCEL_DOORBELL_JOBS(0), SLOTS);
}

static void guest_done(struct guest *g)
{
	vmig_device_close(g->dev);
	free(g->memory);
}

static uint64_t producer(struct guest *g)
{
	uint64_t *at = (uint64_t *)(void *)(g->memory + INDEX + 8);

	return le64toh(__atomic_load_n(at, __ATOMIC_ACQUIRE));
}

static void wait_for(struct guest *g, uint64_t n)
{
	while (producer(g) < n)
		rig_ticks();
}

static void check_record(struct guest *g, uint64_t n)
{
	uint8_t record[NIC_RECORD], frame[VGPU_FRAME];

	nic_record_make(record, 0, n);
	ck_assert_mem_eq(g->memory + RING + n % SLOTS * NIC_RECORD, record, NIC_RECORD);
	if (!g->class->area_slot || g->class->has_jobs)
		return;
	vgpu_frame_make(frame, 0, n);
	ck_assert_mem_eq(g->memory + AREA + n % SLOTS * VGPU_FRAME, frame, VGPU_FRAME);
}

TEST(one_driver_drives_all)
{
	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		struct guest g;

		guest_init(&g, specs[i]);
		ck_assert_uint_eq(get32(g.dev, NIC_BAR_REGISTERS, NIC_MAGIC), g.class->magic);
		ck_assert_uint_eq(get64(g.dev, NIC_QUEUE(0) + NIC_QUEUE_AREA),
				  g.class->area_slot ? IOVA + AREA : 0);
		guest_enable(&g);
		for (uint64_t n = 0; n < 3 * SLOTS; n++) {
			wait_for(&g, n + 1);
			check_record(&g, n);
			put32(g.dev, NIC_BAR_DOORBELLS, NIC_DOORBELL(0), (uint32_t)n + 1);
			if (!g.class->has_jobs)
				continue;
			write_jobs(&g, n + SLOTS, n + SLOTS + 1);
			put32(g.dev, NIC_BAR_DOORBELLS, ACCEL_DOORBELL_JOBS(0), (uint32_t)(n + SLOTS + 1));
		}
		/* It is never overrun, and all that it counts is there. */
		wait_for(&g, 4 * SLOTS);
		rig_ticks();
		ck_assert_uint_eq(producer(&g), 4 * SLOTS);
		ck_assert_uint_eq(get64(g.dev, NIC_RECORDS), 4 * SLOTS);
		ck_assert_uint_eq(get64(g.dev, NIC_QUEUE(0) + NIC_QUEUE_CONSUMER), 3 * SLOTS);
		ck_assert_uint_eq(get64(g.dev, NIC_BAD_DOORBELLS), 0);
		ck_assert_uint_eq(get64(g.dev, NIC_DMA_FAULTS), 0);
		put64(g.dev, NIC_CONTROL, NIC_CONTROL_CHECK);
		ck_assert_uint_eq(get64(g.dev, NIC_RESULT), 0);
		guest_done(&g);
	}
}

TEST(a_queue_needs_its_area)
{
	static const uint64_t bad[] = { 0, 32, IOVA + 8 };

	for (size_t i = 1; i < ARRAY_SIZE(specs); i++) {
		struct guest g;

		guest_init(&g, specs[i]);
		for (size_t k = 0; k < ARRAY_SIZE(bad); k++) {
			put64(g.dev, NIC_QUEUE(0) + NIC_QUEUE_AREA, bad[k]);
			put64(g.dev, NIC_QUEUE(0) + NIC_QUEUE_CONTROL, 1);
			ck_assert_uint_eq(get64(g.dev, NIC_QUEUE(0) + NIC_QUEUE_CONTROL),
					  NIC_QUEUE_STATUS_REFUSED);
		}
		guest_done(&g);
	}
}

/* What the device wrote, and nothing else, is in the log; it is the IOMMU's but for the nic. */
TEST(the_log_has_the_areas_too)
{
	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		struct vmig_range range = { IOVA, SIZE };
		uint64_t page = 4096, bits = 0, should;
		struct vmig_device_info info;
		struct guest g;

		guest_init(&g, specs[i]);
		vmig_device_query_info(g.dev, &info);
		ck_assert_uint_eq(info.has & (VMIG_HAS_DMA_LOG | VMIG_HAS_IOMMU_LOG),
				  i ? VMIG_HAS_IOMMU_LOG : VMIG_HAS_DMA_LOG);
		ck_assert_int_eq(vmig_device_dma_log_start(g.dev, &page, &range, 1), 0);
		guest_enable(&g);
		wait_for(&g, SLOTS);
		ck_assert_int_eq(vmig_device_dma_log_report(g.dev, IOVA, SIZE, page, &bits), 0);
		should = 1u << INDEX / 4096 | 1u << RING / 4096;
		if (g.class->device == VGPU_DEVICE)
			should |= 0xfu << AREA / 4096; /* 16 frames of 1024 bytes */
		ck_assert_uint_eq(bits, should);
		ck_assert_int_eq(vmig_device_dma_log_stop(g.dev), 0);
		guest_done(&g);
	}
}

/* What a firmware asks: sizes by writing ones, powers of two; capabilities that end; an interrupt that can be armed. */
TEST(the_configuration_space_is_sane)
{
	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		struct vmig_device *dev = rig_open(specs[i]);
		struct vmig_region region;
		struct vmig_irq irq;
		const struct nic_class *class;
		uint32_t at, bar;

		class = nic_class_of((uint16_t)(get32(dev, VMIG_REGION_PCI_CONFIG, 0) >> 16));
		for (uint32_t n = 0; n < 6; n++) {
			put32(dev, VMIG_REGION_PCI_CONFIG, 0x10 + 4 * n, ~0u);
			bar = get32(dev, VMIG_REGION_PCI_CONFIG, 0x10 + 4 * n);
			ck_assert_int_eq(vmig_device_query_region(dev, n, &region), 0);
			ck_assert_uint_eq(region.size & (region.size - 1), 0);
			ck_assert_uint_eq(bar ? ~(bar & ~15u) + 1 : 0, region.size);
		}
		at = get32(dev, VMIG_REGION_PCI_CONFIG, 0x34) & 0xff;
		bar = get32(dev, VMIG_REGION_PCI_CONFIG, at);
		ck_assert_uint_eq(bar & 0xff, class->msix ? 0x11 : 0x05);
		ck_assert_uint_eq(bar >> 8 & 0xff, 0);
		ck_assert_int_eq(vmig_device_query_irq(dev, class->msix ? 2 : 1, &irq), 0);
		ck_assert_uint_eq(irq.count, class->msix ? 2 : 1);
		vmig_device_close(dev);
	}
}

HARNESS("rings", T(one_driver_drives_all), T(a_queue_needs_its_area), T(the_log_has_the_areas_too),
	T(the_configuration_space_is_sane))
