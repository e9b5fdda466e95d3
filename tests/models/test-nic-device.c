/* SPDX-License-Identifier: BSD-3-Clause */
/* The nic as a device: it stands still when it must, its DMA and the log of it, configuration space, reset. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "models/bytes.h"
#include "models/nic.h"
#include "rig.h"

/* --- standing still ------------------------------------------------------------------------------ */

static uint64_t ring_hash(struct workload *w)
{
	void *record;
	uint64_t h;
	size_t len;

	/* The record has all of the ring memory in it; what changes by itself, the time, is in its head. */
	ck_assert_int_eq(workload_save(w, &record, &len), 0);
	h = hash64(0, (uint8_t *)record + 400, len - 408);
	free(record);
	return h;
}

TEST(nothing_moves_in_stop)
{
	static const uint32_t still[] = { VMIG_STATE_STOP, VMIG_STATE_STOP_COPY };
	uint64_t digest, hash;
	struct rig rig;

	rig_init(&rig, "nic,state=256K,dirty-rate=64M/s");
	for (size_t i = 0; i < ARRAY_SIZE(still); i++) {
		rig_wait(rig.w, 50);
		ck_assert_int_eq(workload_quiesce(rig.w), 0);
		rig_set(rig.dev, still[i]);
		digest = rig_digest(rig.dev);
		hash = ring_hash(rig.w);
		rig_ticks();
		ck_assert_uint_eq(rig_digest(rig.dev), digest);
		ck_assert_uint_eq(ring_hash(rig.w), hash);
		rig_set(rig.dev, VMIG_STATE_RUNNING);
		ck_assert_int_eq(workload_resume(rig.w), 0);
	}
	rig_made(rig.dev, 1);
	ck_assert_uint_ne(rig_digest(rig.dev), digest);
	rig_done(&rig);
}

/* Internal memory goes on changing, but nothing leaves the device. */
TEST(no_dma_in_p2p_states)
{
	static const uint32_t quiet[] = { VMIG_STATE_RUNNING_P2P, VMIG_STATE_PRE_COPY_P2P };
	struct rig rig;

	rig_init(&rig, "nic,state=256K,dirty-rate=64M/s");
	for (size_t i = 0; i < ARRAY_SIZE(quiet); i++) {
		uint64_t records, hash, changes;

		rig_wait(rig.w, 50);
		ck_assert_int_eq(workload_quiesce(rig.w), 0);
		rig_set(rig.dev, quiet[i]);
		hash = ring_hash(rig.w);
		records = rig_register(rig.dev, NIC_RECORDS);
		changes = rig_register(rig.dev, NIC_CHANGES);
		while (rig_register(rig.dev, NIC_CHANGES) < changes + 100)
			rig_ticks();
		ck_assert_uint_eq(rig_register(rig.dev, NIC_RECORDS), records);
		ck_assert_uint_eq(ring_hash(rig.w), hash);
		rig_set(rig.dev, VMIG_STATE_RUNNING);
		ck_assert_int_eq(workload_resume(rig.w), 0);
	}
	rig_wait(rig.w, 50);
	ck_assert(rig_report(rig.w).whole);
	rig_done(&rig);
}

/* --- DMA ----------------------------------------------------------------------------------------- */

TEST(the_log_has_the_pages_that_were_written)
{
	const uint64_t iova = 0x100000000, size = 1 << 20;
	struct vmig_range range = { iova, size };
	uint64_t page_size = 4096, bits[4] = { 0 }, now[4];
	struct rig rig;

	rig_init(&rig, "nic,state=64K,records=200,queues=1");
	ck_assert_int_eq(workload_quiesce(rig.w), 0);
	rig_set(rig.dev, VMIG_STATE_RUNNING_P2P);
	ck_assert_int_eq(vmig_device_dma_log_start(rig.dev, &page_size, &range, 1), 0);
	uint64_t from = rig_register(rig.dev, NIC_QUEUE(0) + NIC_QUEUE_PRODUCER);
	rig_set(rig.dev, VMIG_STATE_RUNNING);
	ck_assert_int_eq(workload_resume(rig.w), 0);
	rig_made(rig.dev, 20);
	ck_assert_int_eq(workload_quiesce(rig.w), 0);
	rig_set(rig.dev, VMIG_STATE_RUNNING_P2P);
	uint64_t to = rig_register(rig.dev, NIC_QUEUE(0) + NIC_QUEUE_PRODUCER);
	ck_assert_int_eq(vmig_device_dma_log_report(rig.dev, iova, size, page_size, bits), 0);
	/* The index page, and the slots from the first to the last record of 64 bytes. */
	memset(now, 0, sizeof(now));
	now[0] |= 1;
	for (uint64_t i = from; i < to; i++)
		now[(4096 + i % 4096 * 64) / 4096 / 64] |= 1ull << ((4096 + i % 4096 * 64) / 4096 % 64);
	ck_assert_uint_gt(to, from);
	ck_assert_mem_eq(bits, now, sizeof(bits));
	/* Read and cleared; nothing is written meanwhile. */
	memset(bits, 0, sizeof(bits));
	memset(now, 0, sizeof(now));
	ck_assert_int_eq(vmig_device_dma_log_report(rig.dev, iova, size, page_size, bits), 0);
	ck_assert_mem_eq(bits, now, sizeof(bits));
	ck_assert_int_eq(vmig_device_dma_log_stop(rig.dev), 0);
	rig_done(&rig);
}

static void write_command(struct vmig_device *dev, uint16_t command)
{
	ck_assert_int_eq(vmig_device_region_write(dev, VMIG_REGION_PCI_CONFIG, 4, &command, 2), 0);
}

TEST(without_bus_mastering_there_is_no_dma)
{
	uint64_t records;
	struct rig rig;

	rig_init(&rig, "nic,state=64K");
	rig_wait(rig.w, 50);
	write_command(rig.dev, 2);
	while (rig_register(rig.dev, NIC_QUEUE(0) + NIC_QUEUE_CONTROL) & NIC_QUEUE_STATUS_ACTIVE)
		;
	rig_ticks();
	records = rig_register(rig.dev, NIC_RECORDS);
	rig_ticks();
	ck_assert_uint_eq(rig_register(rig.dev, NIC_RECORDS), records);
	write_command(rig.dev, 6);
	rig_wait(rig.w, 50);
	ck_assert(rig_report(rig.w).whole);
	rig_done(&rig);
}

/* Memory that goes away and comes back: faults are counted, and no record is lost for it. */
TEST(dma_that_fails_is_tried_again)
{
	struct rig rig;
	int fd;

	rig_init(&rig, "nic,state=64K");
	rig_wait(rig.w, 50);
	vmig_space_detach(rig.space, rig.dev);
	for (fd = 0; fd < 1000 && !rig_register(rig.dev, NIC_DMA_FAULTS); fd++)
		rig_ticks();
	ck_assert_uint_gt(rig_register(rig.dev, NIC_DMA_FAULTS), 0);
	ck_assert_int_eq(vmig_space_attach(rig.space, rig.dev), 0);
	rig_wait(rig.w, 50);
	ck_assert(rig_report(rig.w).whole);
	ck_assert_int_eq(workload_verify_device(rig.w), 0);
	rig_done(&rig);
}

/* A driver that takes nothing: the ring fills up and is never overrun. */
TEST(a_full_ring_waits)
{
	uint64_t producer, consumer;
	struct rig rig;

	rig_init(&rig, "nic,state=64K,records=1000000,queues=1");
	rig_wait(rig.w, 5000);
	ck_assert_int_eq(workload_quiesce(rig.w), 0);
	do {
		rig_ticks();
		producer = rig_register(rig.dev, NIC_QUEUE(0) + NIC_QUEUE_PRODUCER);
		consumer = rig_register(rig.dev, NIC_QUEUE(0) + NIC_QUEUE_CONSUMER);
	} while (producer < consumer + 4096);
	rig_ticks();
	ck_assert_uint_eq(rig_register(rig.dev, NIC_QUEUE(0) + NIC_QUEUE_PRODUCER), consumer + 4096);
	ck_assert_int_eq(workload_resume(rig.w), 0);
	rig_wait(rig.w, 5000);
	ck_assert(rig_report(rig.w).whole);
	rig_done(&rig);
}

TEST(bad_doorbells_are_counted)
{
	struct rig rig;
	uint8_t bell[4];

	rig_init(&rig, "nic,state=64K,records=0");
	for (uint32_t i = 0; i < 2; i++) {
		put_le32(bell, i ? -1u : 5);
		ck_assert_int_eq(
			vmig_device_region_write(rig.dev, NIC_BAR_DOORBELLS, NIC_DOORBELL(1), bell, 4), 0);
		ck_assert_uint_eq(rig_register(rig.dev, NIC_BAD_DOORBELLS), i + 1);
	}
	ck_assert_int_eq(workload_verify_device(rig.w), -EBADMSG);
	ck_assert_int_eq(vmig_device_region_write(rig.dev, NIC_BAR_DOORBELLS, 1, bell, 2), -EINVAL);
	rig_done(&rig);
}

TEST(bad_queues_are_refused)
{
	static const struct {
		uint64_t base, index, slots;
	} bad[] = { { 32, 8, 16 }, { 64, 4, 16 }, { 64, 0, 16 },    { 64, 8, 0 },
		    { 64, 8, 1 },  { 64, 8, 24 }, { 64, 8, 131072 } };
	struct vmig_device *dev = rig_open("nic,state=64K");

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		rig_write_register(dev, NIC_QUEUE(0) + NIC_QUEUE_BASE, bad[i].base);
		rig_write_register(dev, NIC_QUEUE(0) + NIC_QUEUE_INDEX, bad[i].index);
		rig_write_register(dev, NIC_QUEUE(0) + NIC_QUEUE_SLOTS, bad[i].slots);
		rig_write_register(dev, NIC_QUEUE(0) + NIC_QUEUE_CONTROL, 1);
		ck_assert_uint_eq(rig_register(dev, NIC_QUEUE(0) + NIC_QUEUE_CONTROL),
				  NIC_QUEUE_STATUS_REFUSED);
	}
	vmig_device_close(dev);
}

/* --- configuration space, reset ------------------------------------------------------------------- */

TEST(bars_tell_their_sizes)
{
	static const uint32_t sizes[] = { NIC_REGISTERS_SIZE, 0, NIC_PAGE_SIZE, 0, NIC_PAGE_SIZE, 0 };
	struct vmig_device *dev = rig_open("nic,state=64K");
	struct vmig_region region;
	uint32_t bar;

	for (uint32_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		bar = ~0u;
		ck_assert_int_eq(vmig_device_region_write(dev, VMIG_REGION_PCI_CONFIG, 0x10 + 4 * i, &bar, 4),
				 0);
		ck_assert_int_eq(vmig_device_region_read(dev, VMIG_REGION_PCI_CONFIG, 0x10 + 4 * i, &bar, 4),
				 0);
		ck_assert_uint_eq(bar, sizes[i] ? -sizes[i] : 0);
		ck_assert_int_eq(vmig_device_query_region(dev, i, &region), 0);
		ck_assert_uint_eq(region.size, sizes[i]);
		ck_assert(!(region.flags & VMIG_REGION_MMAP));
	}
	/* What is read only stays. */
	bar = 0;
	ck_assert_int_eq(vmig_device_region_write(dev, VMIG_REGION_PCI_CONFIG, 0, &bar, 4), 0);
	ck_assert_int_eq(vmig_device_region_read(dev, VMIG_REGION_PCI_CONFIG, 0, &bar, 4), 0);
	ck_assert_uint_eq(bar, 0x0fe01b36);
	vmig_device_close(dev);
}

TEST(a_reset_leads_to_power_on)
{
	uint64_t digest;
	uint8_t before[256], after[256];
	struct rig rig;

	rig.dev = rig_open("nic,state=1M");
	ck_assert_int_eq(vmig_device_region_read(rig.dev, VMIG_REGION_PCI_CONFIG, 0, before, 256), 0);
	vmig_device_close(rig.dev);
	rig_init(&rig, "nic,state=1M");
	rig_wait(rig.w, 100);
	ck_assert_int_eq(workload_quiesce(rig.w), 0);
	rig_set(rig.dev, VMIG_STATE_PRE_COPY);
	ck_assert_int_eq(vmig_device_reset(rig.dev), 0);
	ck_assert_uint_eq(rig_state(rig.dev), VMIG_STATE_RUNNING);
	ck_assert_uint_eq(rig_wrong(rig.dev), 0);
	ck_assert_uint_eq(rig_register(rig.dev, NIC_RECORDS), 0);
	ck_assert_uint_eq(rig_register(rig.dev, NIC_QUEUE(0) + NIC_QUEUE_CONTROL), 0);
	ck_assert_int_eq(vmig_device_region_read(rig.dev, VMIG_REGION_PCI_CONFIG, 0, after, 256), 0);
	ck_assert_mem_eq(before, after, 256);
	digest = rig_digest(rig.dev);
	rig_done(&rig);
	/* As one that has never done anything. */
	rig.dev = rig_open("nic,state=1M");
	ck_assert_uint_eq(rig_digest(rig.dev), digest);
	vmig_device_close(rig.dev);
}

HARNESS("nic-device", T(nothing_moves_in_stop), T(no_dma_in_p2p_states),
	T(the_log_has_the_pages_that_were_written), T(without_bus_mastering_there_is_no_dma),
	T(dma_that_fails_is_tried_again), T(a_full_ring_waits), T(bad_doorbells_are_counted),
	T(bad_queues_are_refused), T(bars_tell_their_sizes), T(a_reset_leads_to_power_on))
