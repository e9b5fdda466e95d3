/* SPDX-License-Identifier: BSD-3-Clause */
#include "device.h"

#include "cpu.h"
#include "nic-class.h"
#include "pci.h"

/* Ticks after which something that no interrupt has told of is taken all the same. */
#define LATE 25u

static const char *const names[] = { "nic", "accel", "vgpu" }; /* as in nic_classes */

#define AREA_MAX VGPU_FRAME

struct device devices[DEVICES_MAX];
unsigned int n_devices;

/* What the devices write to, and nothing else does: pages of their own. */
static struct {
	uint8_t ring[SLOTS * NIC_RECORD];
	uint8_t area[SLOTS * AREA_MAX];
	uint8_t index[4096];
} __attribute__((aligned(4096))) memory[DEVICES_MAX][QUEUES_MAX];

/* --- registers ------------------------------------------------------------------------------------------- */

static uint32_t read32(uint32_t address)
{
	return *(volatile uint32_t *)address;
}

static void write32(uint32_t address, uint32_t value)
{
	*(volatile uint32_t *)address = value;
}

uint64_t device_read(const struct device *dev, uint32_t offset)
{
	uint32_t low = read32(dev->registers + offset);

	return low | (uint64_t)read32(dev->registers + offset + 4) << 32;
}

void device_write(const struct device *dev, uint32_t offset, uint64_t value)
{
	write32(dev->registers + offset, (uint32_t)value);
	write32(dev->registers + offset + 4, (uint32_t)(value >> 32));
}

uint64_t device_control(const struct device *dev, uint32_t command)
{
	write32(dev->registers + NIC_CONTROL, command);
	return device_read(dev, NIC_RESULT);
}

const char *device_kind(const struct device *dev)
{
	return names[dev->class - nic_classes];
}

/* --- setting up ------------------------------------------------------------------------------------------ */

static void add_device(unsigned int slot, const struct nic_class *class)
{
	struct device *dev = &devices[n_devices];
	uint64_t queues;

	*dev = (struct device){ .class = class, .number = n_devices, .slot = slot };
	dev->registers = pci_bar(slot, NIC_BAR_REGISTERS);
	dev->doorbells = pci_bar(slot, NIC_BAR_DOORBELLS);
	pci_enable(slot);
	if (!dev->registers || !dev->doorbells || read32(dev->registers + NIC_MAGIC) != class->magic)
		return;
	queues = device_read(dev, NIC_QUEUES);
	dev->n_queues = queues < QUEUES_MAX ? (unsigned int)queues : QUEUES_MAX;
	n_devices++;
}

void devices_find(void)
{
	for (unsigned int slot = 0; slot < 32 && n_devices < DEVICES_MAX; slot++) {
		uint32_t id = pci_read32(slot, 0);
		const struct nic_class *class = nic_class_of((uint16_t)(id >> 16));

		if (class && (id & 0xffff) == NIC_VENDOR)
			add_device(slot, class);
	}
}

static void hand_in_jobs(struct device *dev, unsigned int n)
{
	struct queue *q = &dev->queues[n];
	uint64_t before = q->jobs;

	if (!dev->class->has_jobs || dev->quiet)
		return;
	for (; q->jobs < q->taken + SLOTS; q->jobs++)
		accel_job_make(q->area + (uint32_t)q->jobs % SLOTS * ACCEL_JOB, n, q->jobs);
	if (q->jobs != before)
		write32(dev->doorbells + ACCEL_DOORBELL_JOBS(n), (uint32_t)q->jobs);
}

static void start_queue(struct device *dev, unsigned int n)
{
	uint32_t at = NIC_QUEUE(n);
	struct queue *q = &dev->queues[n];

	*q = (struct queue){ .ring = memory[dev->number][n].ring,
			     .area = memory[dev->number][n].area,
			     .index = (volatile uint32_t *)memory[dev->number][n].index };
	q->taken = q->expected = q->jobs = device_read(dev, at + NIC_QUEUE_PRODUCER);
	q->index[0] = (uint32_t)q->taken;
	q->index[1] = (uint32_t)(q->taken >> 32);
	device_write(dev, at + NIC_QUEUE_BASE, (uint32_t)q->ring);
	device_write(dev, at + NIC_QUEUE_INDEX, (uint32_t)q->index);
	device_write(dev, at + NIC_QUEUE_SLOTS, SLOTS);
	if (dev->class->area_slot)
		device_write(dev, at + NIC_QUEUE_AREA, (uint32_t)q->area);
	write32(dev->registers + at + NIC_QUEUE_CONTROL, 1);
	hand_in_jobs(dev, n);
}

void devices_start(bool poll)
{
	for (unsigned int i = 0; i < n_devices; i++) {
		struct device *dev = &devices[i];

		dev->poll = poll;
		/* Again: a reset that the guest was not told of has undone it. */
		pci_enable(dev->slot);
		if (!poll)
			dev->n_vectors = pci_enable_msi(dev->slot, i * VECTORS, dev->n_queues);
		for (unsigned int n = 0; n < dev->n_queues; n++)
			start_queue(dev, n);
	}
}

void devices_stop(void)
{
	for (unsigned int i = 0; i < n_devices; i++)
		for (unsigned int n = 0; n < devices[i].n_queues; n++) {
			uint32_t control = devices[i].registers + NIC_QUEUE(n) + NIC_QUEUE_CONTROL;

			write32(control, 0);
			while (read32(control) & NIC_QUEUE_STATUS_ACTIVE)
				;
		}
}

void devices_quiet(bool quiet)
{
	for (unsigned int i = 0; i < n_devices; i++) {
		devices[i].quiet = quiet;
		for (unsigned int n = 0; n < devices[i].n_queues && !quiet; n++) {
			write32(devices[i].doorbells + NIC_DOORBELL(n), (uint32_t)devices[i].queues[n].taken);
			hand_in_jobs(&devices[i], n);
		}
	}
}

/* --- taking records -------------------------------------------------------------------------------------- */

static void check_frame(struct device *dev, unsigned int n, uint64_t seq)
{
	static uint8_t frame[VGPU_FRAME];
	const struct queue *q = &dev->queues[n];

	vgpu_frame_make(frame, n, seq);
	if (memcmp(q->area + (uint32_t)seq % SLOTS * VGPU_FRAME, frame, VGPU_FRAME))
		dev->bad_frames++;
}

/* The record itself tells whether it is whole, its number whether it is the one whose turn it is. */
static void check_record(struct device *dev, unsigned int n, const uint8_t *record)
{
	struct queue *q = &dev->queues[n];
	uint64_t seq = get_le64(record + NIC_RECORD_SEQ);
	uint8_t good[NIC_RECORD];

	nic_record_make(good, n, seq);
	if (memcmp(record, good, NIC_RECORD)) {
		dev->corrupt++;
		q->expected++;
		return;
	}
	if (seq < q->expected) {
		dev->doubled++;
		return;
	}
	dev->lost += (uint32_t)(seq - q->expected);
	q->expected = seq + 1;
	if (dev->class->area_slot && !dev->class->has_jobs)
		check_frame(dev, n, seq);
}

static uint32_t waiting(const struct queue *q)
{
	return q->index[0] - (uint32_t)q->taken;
}

static bool take(struct device *dev, unsigned int n)
{
	struct queue *q = &dev->queues[n];
	uint32_t there = waiting(q);

	if (!there)
		return false;
	if (there > SLOTS) {
		dev->overruns++;
		there = SLOTS;
	}
	for (; there; there--, q->taken++)
		check_record(dev, n, q->ring + (uint32_t)q->taken % SLOTS * NIC_RECORD);
	if (!dev->quiet)
		write32(dev->doorbells + NIC_DOORBELL(n), (uint32_t)q->taken);
	hand_in_jobs(dev, n);
	return true;
}

/* Whether the queue's turn has come: by its interrupt, or by waiting in vain for one. */
static bool is_due(struct device *dev, unsigned int n, bool new_tick)
{
	unsigned int vector = n < dev->n_vectors ? n : 0;
	struct queue *q = &dev->queues[n];
	uint32_t now = interrupts[dev->number * VECTORS + vector];

	if (dev->poll || now != q->seen) {
		q->seen = now;
		q->waits = 0;
		return true;
	}
	if (!waiting(q))
		q->waits = 0;
	else if (new_tick && ++q->waits > LATE) {
		q->waits = 0;
		dev->late++;
		return true;
	}
	return false;
}

bool devices_work(uint32_t tick)
{
	static uint32_t last;
	bool any = false, new_tick = tick != last;

	last = tick;
	for (unsigned int i = 0; i < n_devices; i++)
		for (unsigned int n = 0; n < devices[i].n_queues; n++)
			if (devices[i].queues[n].ring && is_due(&devices[i], n, new_tick))
				any |= take(&devices[i], n);
	return any;
}
