/* SPDX-License-Identifier: BSD-3-Clause */
/* nic - the device: registers and their state. What it does by itself is in nic-dma.c. */
#include "nic-private.h"

#include <errno.h>
#include <stdlib.h>

#include "models.h"

/* New initial data when a queue is set up during pre-copy: the contexts of the queues. */
#define CONTEXTS (64u << 10)

/* --- BAR 0 ------------------------------------------------------------------------------------ */

static size_t save_registers(void *opaque, uint8_t *buf);

static uint64_t queue_register(const struct nic_queue *q, uint32_t offset)
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
	}
	return 0;
}

static uint64_t global_register(struct nic *nic, uint32_t offset)
{
	switch (offset) {
	case NIC_MAGIC:
		return NIC_MAGIC_VALUE | (uint64_t)NIC_VERSION << 32;
	case NIC_QUEUES:
		return nic->base.options.queues;
	case NIC_STATE_SIZE:
		return nic->base.options.state;
	case NIC_RESULT:
		return nic->result;
	case NIC_RECORDS:
		return nic->records;
	case NIC_BAD_DOORBELLS:
		return nic->bad_doorbells;
	case NIC_DMA_FAULTS:
		return nic->dma_faults;
	case NIC_INTERRUPTS:
		return nic->interrupts;
	case NIC_CHANGES:
		return image_count(&nic->base.image, 0);
	}
	return 0;
}

static struct nic_queue *queue_at(struct nic *nic, uint32_t offset, uint32_t *ret_offset)
{
	uint32_t n = (offset - NIC_QUEUE(0)) / 0x40;

	if (offset < NIC_QUEUE(0) || n >= nic->base.options.queues)
		return NULL;
	*ret_offset = (offset - NIC_QUEUE(0)) % 0x40;
	return &nic->queues[n];
}

static uint64_t read_register(struct nic *nic, uint32_t offset)
{
	struct nic_queue *q = queue_at(nic, offset, &offset);

	return q ? queue_register(q, offset) : global_register(nic, offset);
}

static void set_half(uint64_t *reg, uint32_t offset, uint32_t value)
{
	unsigned int shift = offset % 8 ? 32 : 0;

	*reg = (*reg & ~(0xffffffffull << shift)) | (uint64_t)value << shift;
}

static void enable_queue(struct nic *nic, struct nic_queue *q, bool enable)
{
	q->refused = enable && (q->slots < 2 || q->slots > NIC_SLOTS_MAX || (q->slots & (q->slots - 1)) ||
				q->base % NIC_RECORD || q->index % 8 || !q->index);
	enable &= !q->refused;
	if (enable == q->enabled)
		return;
	q->enabled = enable;
	q->epoch++;
	/* What was sent before and not taken is gone with the old ring. */
	q->consumer = q->producer;
	q->published = q->producer - 1;
	q->skew = 0;
	image_save_again(&nic->base.image, CONTEXTS);
}

static void write_queue(struct nic *nic, struct nic_queue *q, uint32_t offset, uint32_t value)
{
	uint64_t slots = q->slots;

	if (offset == NIC_QUEUE_CONTROL) {
		enable_queue(nic, q, value & 1);
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
	case NIC_QUEUE_SLOTS:
		set_half(&slots, offset, value);
		q->slots = (uint32_t)slots;
		break;
	}
}

static void control(struct nic *nic, uint32_t command)
{
	uint8_t registers[IMAGE_REGISTERS_MAX];
	size_t len;

	if (command == NIC_CONTROL_CHECK) {
		nic->result = image_check(&nic->base.image);
		for (uint32_t i = 0; i < nic->base.options.queues; i++)
			nic->result += image_count(&nic->base.image, 1 + i) != nic->queues[i].producer;
	} else if (command == NIC_CONTROL_DIGEST) {
		len = save_registers(nic, registers);
		nic->result = hash64(image_digest(&nic->base.image), registers, len);
	}
}

static void write_register(struct nic *nic, uint32_t offset, uint32_t value)
{
	struct nic_queue *q = queue_at(nic, offset, &offset);

	if (q) {
		write_queue(nic, q, offset, value);
	} else if (offset == NIC_CONTROL) {
		control(nic, value);
	} else if (offset == NIC_INJECT && (value >> 8) < nic->base.options.queues) {
		nic->queues[value >> 8].inject = (uint8_t)value;
	}
}

/* Any width may be read: the bytes of the registers that it touches. */
static void read_registers(struct nic *nic, uint64_t offset, uint8_t *buf, size_t len)
{
	while (len) {
		uint64_t value = read_register(nic, (uint32_t)offset & ~7u);
		size_t skip = offset % 8, n = MIN(len, 8 - skip);
		uint8_t bytes[8];

		put_le64(bytes, value);
		memcpy(buf, bytes + skip, n);
		buf += n;
		offset += n;
		len -= n;
	}
}

static int write_registers(struct nic *nic, uint64_t offset, const uint8_t *buf, size_t len)
{
	if ((offset | len) % 4)
		return -EINVAL;
	for (size_t i = 0; i < len; i += 4)
		write_register(nic, (uint32_t)(offset + i), get_le32(buf + i));
	return 0;
}

/* --- BAR 2 ------------------------------------------------------------------------------------ */

static int ring_doorbell(struct nic *nic, uint64_t offset, const uint8_t *buf, size_t len)
{
	struct nic_queue *q = &nic->queues[offset / 4];
	uint32_t step;

	if (len != 4 || offset % 4)
		return -EINVAL;
	if (offset / 4 >= nic->base.options.queues)
		return 0;
	step = get_le32(buf) - (uint32_t)q->consumer;
	if (step > q->producer - q->consumer)
		nic->bad_doorbells++;
	else
		q->consumer += step;
	return 0;
}

/* --- regions ---------------------------------------------------------------------------------- */

static int nic_region_read(void *opaque, uint32_t index, uint64_t offset, void *buf, size_t len)
{
	struct nic *nic = opaque;

	pthread_mutex_lock(&nic->lock);
	if (index == VMIG_REGION_PCI_CONFIG)
		pci_read(&nic->pci, offset, buf, len);
	else if (index == NIC_BAR_REGISTERS)
		read_registers(nic, offset, buf, len);
	else if (index == NIC_BAR_MSIX)
		memcpy(buf, nic->msix + offset, len);
	else
		memset(buf, 0, len);
	pthread_mutex_unlock(&nic->lock);
	return 0;
}

static int nic_region_write(void *opaque, uint32_t index, uint64_t offset, const void *buf, size_t len)
{
	struct nic *nic = opaque;
	int r = 0;

	pthread_mutex_lock(&nic->lock);
	if (index == VMIG_REGION_PCI_CONFIG)
		pci_write(&nic->pci, offset, buf, len);
	else if (index == NIC_BAR_REGISTERS)
		r = write_registers(nic, offset, buf, len);
	else if (index == NIC_BAR_DOORBELLS)
		r = ring_doorbell(nic, offset, buf, len);
	else if (index == NIC_BAR_MSIX && offset + len <= NIC_MSIX_PENDING)
		memcpy(nic->msix + offset, buf, len);
	pthread_mutex_unlock(&nic->lock);
	return r;
}

/* --- registers in the stream ------------------------------------------------------------------- */

/* Little-endian u64s: the counters, then of each queue what follows. */
enum { SAVED_RECORDS, SAVED_BAD_DOORBELLS, SAVED_DMA_FAULTS, SAVED_INTERRUPTS, SAVED_GLOBALS };
enum {
	SAVED_BASE,
	SAVED_INDEX,
	SAVED_SLOTS,
	SAVED_ENABLED,
	SAVED_PRODUCER,
	SAVED_CONSUMER,
	SAVED_PUBLISHED,
	SAVED_SKEW,
	SAVED_QUEUE
};

static size_t save_registers(void *opaque, uint8_t *buf)
{
	struct nic *nic = opaque;
	uint8_t *p = buf + SAVED_GLOBALS * 8;

	put_le64(buf + SAVED_RECORDS * 8, nic->records);
	put_le64(buf + SAVED_BAD_DOORBELLS * 8, nic->bad_doorbells);
	put_le64(buf + SAVED_DMA_FAULTS * 8, nic->dma_faults);
	put_le64(buf + SAVED_INTERRUPTS * 8, nic->interrupts);
	for (uint32_t i = 0; i < nic->base.options.queues; i++, p += SAVED_QUEUE * 8) {
		const struct nic_queue *q = &nic->queues[i];

		put_le64(p + SAVED_BASE * 8, q->base);
		put_le64(p + SAVED_INDEX * 8, q->index);
		put_le64(p + SAVED_SLOTS * 8, q->slots);
		put_le64(p + SAVED_ENABLED * 8, q->enabled);
		put_le64(p + SAVED_PRODUCER * 8, q->producer);
		put_le64(p + SAVED_CONSUMER * 8, q->consumer);
		put_le64(p + SAVED_PUBLISHED * 8, q->published);
		put_le64(p + SAVED_SKEW * 8, q->skew);
	}
	return (size_t)(p - buf);
}

static int check_queue(const uint8_t *p)
{
	uint64_t slots = get_le64(p + SAVED_SLOTS * 8), enabled = get_le64(p + SAVED_ENABLED * 8);
	uint64_t ahead = get_le64(p + SAVED_PRODUCER * 8) - get_le64(p + SAVED_CONSUMER * 8);

	if (slots > UINT32_MAX || enabled > 1)
		return -EINVAL;
	if (!enabled)
		return 0;
	if (slots < 2 || slots > NIC_SLOTS_MAX || (slots & (slots - 1)) || ahead > slots)
		return -EINVAL;
	return get_le64(p + SAVED_BASE * 8) % NIC_RECORD || get_le64(p + SAVED_INDEX * 8) % 8 ? -EINVAL : 0;
}

static int check_registers(void *opaque, const uint8_t *registers, size_t len)
{
	struct nic *nic = opaque;
	int r = len == NIC_SAVED_LEN(nic->base.options.queues) ? 0 : -EINVAL;

	for (uint32_t i = 0; !r && i < nic->base.options.queues; i++)
		r = check_queue(registers + (SAVED_GLOBALS + i * SAVED_QUEUE) * 8);
	return r;
}

static void load_registers(void *opaque, const uint8_t *registers)
{
	struct nic *nic = opaque;
	const uint8_t *p = registers + SAVED_GLOBALS * 8;

	pthread_mutex_lock(&nic->lock);
	nic->records = get_le64(registers + SAVED_RECORDS * 8);
	nic->bad_doorbells = get_le64(registers + SAVED_BAD_DOORBELLS * 8);
	nic->dma_faults = get_le64(registers + SAVED_DMA_FAULTS * 8);
	nic->interrupts = get_le64(registers + SAVED_INTERRUPTS * 8);
	for (uint32_t i = 0; i < nic->base.options.queues; i++, p += SAVED_QUEUE * 8)
		nic->queues[i] = (struct nic_queue){
			.base = get_le64(p + SAVED_BASE * 8),
			.index = get_le64(p + SAVED_INDEX * 8),
			.slots = (uint32_t)get_le64(p + SAVED_SLOTS * 8),
			.enabled = get_le64(p + SAVED_ENABLED * 8),
			.producer = get_le64(p + SAVED_PRODUCER * 8),
			.consumer = get_le64(p + SAVED_CONSUMER * 8),
			.published = get_le64(p + SAVED_PUBLISHED * 8),
			.skew = get_le64(p + SAVED_SKEW * 8),
			.epoch = nic->queues[i].epoch + 1,
		};
	pthread_mutex_unlock(&nic->lock);
}

static void reset_registers(void *opaque)
{
	struct nic *nic = opaque;

	pthread_mutex_lock(&nic->lock);
	nic->records = nic->bad_doorbells = nic->dma_faults = nic->interrupts = nic->result = 0;
	for (uint32_t i = 0; i < nic->base.options.queues; i++)
		nic->queues[i] = (struct nic_queue){ .epoch = nic->queues[i].epoch + 1 };
	memset(nic->msix, 0, sizeof(nic->msix));
	pci_reset(&nic->pci);
	pthread_mutex_unlock(&nic->lock);
}

/* --- making one -------------------------------------------------------------------------------- */

static void nic_free(void *opaque)
{
	struct nic *nic = opaque;

	pthread_mutex_destroy(&nic->lock);
	free(nic);
}

static const struct model_kind nic_kind = {
	.name = "nic",
	.identity = "pci:1b36:0fe0/nic",
	.save = save_registers,
	.check = check_registers,
	.load = load_registers,
	.reset = reset_registers,
	.tick = nic_tick,
	.registers_len = NIC_SAVED_LEN(NIC_QUEUES_MAX),
	.region_read = nic_region_read,
	.region_write = nic_region_write,
	.free = nic_free,
};
_Static_assert(NIC_SAVED_LEN(NIC_QUEUES_MAX) <= IMAGE_REGISTERS_MAX, "the registers must fit");
_Static_assert(NIC_SAVED_LEN(1) == (SAVED_GLOBALS + SAVED_QUEUE) * 8, "as saved");
_Static_assert(NIC_QUEUES_MAX + 1 <= IMAGE_LANES_MAX, "a lane for each queue");

static void init_pci(struct nic *nic)
{
	static const struct pci_ids ids = { NIC_VENDOR, NIC_DEVICE, 0x020000, 1 };

	pci_init(&nic->pci, &ids, false);
	pci_add_bar(&nic->pci, NIC_BAR_REGISTERS, NIC_REGISTERS_SIZE, false);
	pci_add_bar(&nic->pci, NIC_BAR_DOORBELLS, NIC_PAGE_SIZE, false);
	pci_add_bar(&nic->pci, NIC_BAR_MSIX, NIC_PAGE_SIZE, false);
	pci_add_msix(&nic->pci, nic->base.options.queues, NIC_BAR_MSIX, 0, NIC_MSIX_PENDING);
	pci_seal(&nic->pci);
}

int nic_open(const struct model_options *options, struct vmig_device **ret)
{
	struct vmig_region regions[PCI_N_REGIONS];
	struct vmig_irq irqs[PCI_N_IRQS];
	struct nic *nic = calloc(1, sizeof(*nic));
	int r;

	if (!nic)
		return -ENOMEM;
	model_no_regions(regions, irqs);
	model_region(&regions[NIC_BAR_REGISTERS], NIC_REGISTERS_SIZE);
	model_region(&regions[NIC_BAR_DOORBELLS], NIC_PAGE_SIZE);
	model_region(&regions[NIC_BAR_MSIX], NIC_PAGE_SIZE);
	model_region(&regions[VMIG_REGION_PCI_CONFIG], PCI_CONFIG_SIZE);
	irqs[PCI_IRQ_MSIX].count = options->queues;
	irqs[PCI_IRQ_MSIX].flags = PCI_IRQ_EVENTFD | PCI_IRQ_NORESIZE;
	pthread_mutex_init(&nic->lock, NULL);
	nic->base.options = *options;
	init_pci(nic);
	r = model_base_open(&nic->base, &nic_kind, nic, options, NIC_DEVICE << 16 | NIC_VENDOR,
			    options->queues + 1, regions, irqs, ret);
	if (r)
		nic_free(nic);
	return r;
}
