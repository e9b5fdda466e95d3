/* SPDX-License-Identifier: BSD-3-Clause */
/* rings - the registers, and making such a device. */
#include "rings.h"

#include <errno.h>
#include <stdlib.h>

/* New initial data when a queue is set up during pre-copy: the contexts of the queues. */
#define CONTEXTS (64u << 10)

/* --- BAR 0 ------------------------------------------------------------------------------------ */

static uint64_t queue_register(const struct rings_queue *q, uint32_t offset)
{
	switch (offset) {
	case NIC_QUEUE_BASE:
		return q->base;
	case NIC_QUEUE_INDEX:
		return q->index;
	case NIC_QUEUE_SLOTS:
		return q->slots;
	case NIC_QUEUE_CONTROL:
		return (q->enabled ? NIC_QUEUE_STATUS_ENABLED : 0) |
		       (q->refused ? NIC_QUEUE_STATUS_REFUSED : 0) |
		       (q->active ? NIC_QUEUE_STATUS_ACTIVE : 0);
	case NIC_QUEUE_PRODUCER:
		return q->producer;
	case NIC_QUEUE_CONSUMER:
		return q->consumer;
	case NIC_QUEUE_AREA:
		return q->area;
	case NIC_QUEUE_JOBS:
		return q->jobs;
	}
	return 0;
}

static uint64_t global_register(struct rings *rings, uint32_t offset)
{
	switch (offset) {
	case NIC_MAGIC:
		return rings->setup.class->magic | (uint64_t)NIC_VERSION << 32;
	case NIC_QUEUES:
		return rings->setup.queues;
	case NIC_STATE_SIZE:
		return rings->base.options.state;
	case NIC_RESULT:
		return rings->result;
	case NIC_ARRIVED:
		return rings->arrived;
	case NIC_RECORDS:
		return rings->records;
	case NIC_BAD_DOORBELLS:
		return rings->bad_doorbells;
	case NIC_DMA_FAULTS:
		return rings->dma_faults;
	case NIC_INTERRUPTS:
		return rings->interrupts;
	case NIC_CHANGES:
		return image_count(&rings->base.image, 0);
	}
	return rings->setup.read ? rings->setup.read(rings, offset) : 0;
}

static struct rings_queue *queue_at(struct rings *rings, uint32_t offset, uint32_t *ret_offset)
{
	uint32_t n = (offset - NIC_QUEUE(0)) / 0x40;

	if (offset < NIC_QUEUE(0) || n >= rings->setup.queues)
		return NULL;
	*ret_offset = (offset - NIC_QUEUE(0)) % 0x40;
	return &rings->queues[n];
}

static uint64_t read_register(struct rings *rings, uint32_t offset)
{
	struct rings_queue *q = queue_at(rings, offset, &offset);

	return q ? queue_register(q, offset) : global_register(rings, offset);
}

static void set_half(uint64_t *reg, uint32_t offset, uint32_t value)
{
	unsigned int shift = offset % 8 ? 32 : 0;

	*reg = (*reg & ~(0xffffffffull << shift)) | (uint64_t)value << shift;
}

static bool is_good(const struct rings *rings, const struct rings_queue *q)
{
	if (q->slots < 2 || q->slots > NIC_SLOTS_MAX || (q->slots & (q->slots - 1)))
		return false;
	if (rings->setup.class->area_slot && (q->area % NIC_RECORD || !q->area))
		return false;
	return !(q->base % NIC_RECORD) && !(q->index % 8) && q->index;
}

static void enable_queue(struct rings *rings, struct rings_queue *q, bool enable)
{
	q->refused = enable && !is_good(rings, q);
	enable &= !q->refused;
	if (enable == q->enabled)
		return;
	q->enabled = enable;
	q->epoch++;
	/* What was sent before and not taken is gone with the old ring, and so are the jobs. */
	q->consumer = q->producer;
	q->jobs = rings->setup.class->has_jobs ? q->producer : 0;
	q->published = q->producer - 1;
	q->skew = 0;
	image_save_again(&rings->base.image, CONTEXTS);
}

static void write_queue(struct rings *rings, struct rings_queue *q, uint32_t offset, uint32_t value)
{
	uint64_t slots = q->slots;

	if (offset == NIC_QUEUE_CONTROL) {
		enable_queue(rings, q, value & 1);
		return;
	}
	if (q->enabled)
		return; /* as on real hardware, a write that is not allowed is lost */
	switch (offset & ~7u) {
	case NIC_QUEUE_BASE:
		set_half(&q->base, offset, value);
		break;
	case NIC_QUEUE_INDEX:
		set_half(&q->index, offset, value);
		break;
	case NIC_QUEUE_AREA:
		if (rings->setup.class->area_slot)
			set_half(&q->area, offset, value);
		break;
	case NIC_QUEUE_SLOTS:
		set_half(&slots, offset, value);
		q->slots = (uint32_t)slots;
		break;
	}
}

static void control(struct rings *rings, uint32_t command)
{
	if (command == NIC_CONTROL_CHECK) {
		rings->result = image_check(&rings->base.image);
		for (uint32_t i = 0; i < rings->setup.queues; i++)
			rings->result += image_count(&rings->base.image, 1 + i) != rings->queues[i].producer;
	} else if (command == NIC_CONTROL_DIGEST) {
		rings->result = rings_digest(rings);
	}
}

static void write_register(struct rings *rings, uint32_t offset, uint32_t value)
{
	struct rings_queue *q = queue_at(rings, offset, &offset);

	if (q) {
		write_queue(rings, q, offset, value);
	} else if (offset == NIC_CONTROL) {
		control(rings, value);
	} else if (offset == NIC_INJECT && (value >> 8) < rings->setup.queues) {
		rings->queues[value >> 8].inject = (uint8_t)value;
	}
}

/* Any width may be read: the bytes of the registers that it touches. */
static void read_registers(struct rings *rings, uint64_t offset, uint8_t *buf, size_t len)
{
	while (len) {
		uint64_t value = read_register(rings, (uint32_t)offset & ~7u);
		size_t skip = offset % 8, n = MIN(len, 8 - skip);
		uint8_t bytes[8];

		put_le64(bytes, value);
		memcpy(buf, bytes + skip, n);
		buf += n;
		offset += n;
		len -= n;
	}
}

static int write_registers(struct rings *rings, uint64_t offset, const uint8_t *buf, size_t len)
{
	if ((offset | len) % 4)
		return -EINVAL;
	for (size_t i = 0; i < len; i += 4)
		write_register(rings, (uint32_t)(offset + i), get_le32(buf + i));
	return 0;
}

/* --- BAR 2 ------------------------------------------------------------------------------------ */

static void take_consumer(struct rings *rings, struct rings_queue *q, uint32_t value)
{
	uint32_t step = value - (uint32_t)q->consumer;

	if (step > q->producer - q->consumer)
		rings->bad_doorbells++;
	else
		q->consumer += step;
}

static void take_jobs(struct rings *rings, struct rings_queue *q, uint32_t value)
{
	uint32_t step = value - (uint32_t)q->jobs;

	if (!q->enabled || step > q->slots - (q->jobs - q->producer))
		rings->bad_doorbells++;
	else
		q->jobs += step;
}

static int ring_doorbell(struct rings *rings, uint64_t offset, const uint8_t *buf, size_t len)
{
	bool jobs = offset >= ACCEL_DOORBELL_JOBS(0);
	uint64_t queue = (jobs ? offset - ACCEL_DOORBELL_JOBS(0) : offset) / 4;

	if (len != 4 || offset % 4)
		return -EINVAL;
	if (queue >= rings->setup.queues)
		return 0;
	if (!jobs)
		take_consumer(rings, &rings->queues[queue], get_le32(buf));
	else if (rings->setup.class->has_jobs)
		take_jobs(rings, &rings->queues[queue], get_le32(buf));
	return 0;
}

/* --- regions ---------------------------------------------------------------------------------- */

static int rings_region_read(void *opaque, uint32_t index, uint64_t offset, void *buf, size_t len)
{
	struct rings *rings = opaque;

	pthread_mutex_lock(&rings->lock);
	if (index == VMIG_REGION_PCI_CONFIG)
		pci_read(&rings->pci, offset, buf, len);
	else if (index == NIC_BAR_REGISTERS)
		read_registers(rings, offset, buf, len);
	else if (index == NIC_BAR_MSIX)
		memcpy(buf, rings->msix + offset, len);
	else
		memset(buf, 0, len);
	pthread_mutex_unlock(&rings->lock);
	return 0;
}

static int rings_region_write(void *opaque, uint32_t index, uint64_t offset, const void *buf, size_t len)
{
	struct rings *rings = opaque;
	int r = 0;

	pthread_mutex_lock(&rings->lock);
	if (index == VMIG_REGION_PCI_CONFIG)
		pci_write(&rings->pci, offset, buf, len);
	else if (index == NIC_BAR_REGISTERS)
		r = write_registers(rings, offset, buf, len);
	else if (index == NIC_BAR_DOORBELLS)
		r = ring_doorbell(rings, offset, buf, len);
	else if (index == NIC_BAR_MSIX && offset + len <= NIC_MSIX_PENDING)
		memcpy(rings->msix + offset, buf, len);
	pthread_mutex_unlock(&rings->lock);
	return r;
}

/* --- making one -------------------------------------------------------------------------------- */

static void rings_free(void *opaque)
{
	struct rings *rings = opaque;

	pthread_mutex_destroy(&rings->lock);
	free(rings);
}

static const struct model_kind rings_kind = {
	.save = rings_save,
	.check = rings_check,
	.load = rings_load,
	.reset = rings_reset,
	.tick = rings_tick,
	.registers_len = RINGS_SAVED_LEN(true, NIC_QUEUES_MAX),
	.region_read = rings_region_read,
	.region_write = rings_region_write,
	.free = rings_free,
};
_Static_assert(RINGS_SAVED_LEN(true, NIC_QUEUES_MAX) <= IMAGE_REGISTERS_MAX, "the registers must fit");
_Static_assert(NIC_QUEUES_MAX + 1 <= IMAGE_LANES_MAX, "a lane for each queue");

static void init_pci(struct rings *rings)
{
	const struct pci_ids ids = { NIC_VENDOR, rings->setup.class->device, rings->setup.class_code, 1, 0, 0 };

	pci_init(&rings->pci, &ids, false);
	pci_add_bar(&rings->pci, NIC_BAR_REGISTERS, NIC_REGISTERS_SIZE, false);
	pci_add_bar(&rings->pci, NIC_BAR_DOORBELLS, NIC_PAGE_SIZE, false);
	if (rings->setup.class->msix) {
		pci_add_bar(&rings->pci, NIC_BAR_MSIX, NIC_PAGE_SIZE, false);
		pci_add_msix(&rings->pci, rings->setup.queues, NIC_BAR_MSIX, 0, NIC_MSIX_PENDING);
	} else {
		pci_add_msi(&rings->pci);
	}
	pci_seal(&rings->pci);
}

static void init_regions(const struct rings *rings, struct vmig_region *regions, struct vmig_irq *irqs)
{
	bool msix = rings->setup.class->msix;
	struct vmig_irq *irq = &irqs[msix ? PCI_IRQ_MSIX : PCI_IRQ_MSI];

	model_no_regions(regions, irqs);
	model_region(&regions[NIC_BAR_REGISTERS], NIC_REGISTERS_SIZE);
	model_region(&regions[NIC_BAR_DOORBELLS], NIC_PAGE_SIZE);
	if (msix)
		model_region(&regions[NIC_BAR_MSIX], NIC_PAGE_SIZE);
	model_region(&regions[VMIG_REGION_PCI_CONFIG], PCI_CONFIG_SIZE);
	irq->count = msix ? rings->setup.queues : 1;
	irq->flags = PCI_IRQ_EVENTFD | PCI_IRQ_NORESIZE;
}

int rings_open(const struct rings_setup *setup, const struct model_options *options, struct vmig_device **ret)
{
	struct vmig_region regions[PCI_N_REGIONS];
	struct vmig_irq irqs[PCI_N_IRQS];
	const struct model_setup model = {
		.name = setup->name,
		.identity = setup->identity,
		.device = setup->device,
		.lanes = setup->queues + 1,
		.log = setup->log,
		.match = setup->match,
		.match_len = setup->match_len,
		.late = setup->late,
		.descriptor = setup->descriptor,
		.release = setup->release,
		.regions = regions,
		.irqs = irqs,
	};
	struct rings *rings = calloc(1, sizeof(*rings));
	int r;

	if (!rings)
		return -ENOMEM;
	pthread_mutex_init(&rings->lock, NULL);
	rings->setup = *setup;
	/* The worker looks at these as soon as it is there. */
	rings->base.options = *options;
	init_regions(rings, regions, irqs);
	init_pci(rings);
	r = model_base_open(&rings->base, &rings_kind, rings, options, &model, ret);
	if (r)
		rings_free(rings);
	return r;
}
