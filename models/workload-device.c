/* SPDX-License-Identifier: BSD-3-Clause */
#include "workload-private.h"

#include <errno.h>
#include <time.h>

#define BAR_WINDOW    0xe0000000u
#define N_BARS        6u
#define QUEUE_WAIT_MS 5000

int workload_read_register(struct vmig_device *dev, uint32_t offset, uint64_t *ret)
{
	uint8_t buf[8];
	int r = vmig_device_region_read(dev, NIC_BAR_REGISTERS, offset, buf, sizeof(buf));

	if (!r)
		*ret = get_le64(buf);
	return r;
}

int workload_write_register(struct vmig_device *dev, uint32_t offset, uint64_t value)
{
	uint8_t buf[8];

	put_le64(buf, value);
	return vmig_device_region_write(dev, NIC_BAR_REGISTERS, offset, buf, sizeof(buf));
}

/* --- configuration space -------------------------------------------------------------------------- */

static int write_config(struct vmig_device *dev, uint64_t offset, uint32_t value, size_t len)
{
	uint8_t buf[4];

	put_le32(buf, value);
	return vmig_device_region_write(dev, VMIG_REGION_PCI_CONFIG, offset, buf, len);
}

static int read_config(struct vmig_device *dev, uint64_t offset, uint32_t *ret)
{
	uint8_t buf[4];
	int r = vmig_device_region_read(dev, VMIG_REGION_PCI_CONFIG, offset, buf, sizeof(buf));

	if (!r)
		*ret = get_le32(buf);
	return r;
}

int workload_read_config(struct vmig_device *dev, uint8_t *config)
{
	return vmig_device_region_read(dev, VMIG_REGION_PCI_CONFIG, 0, config, PCI_CONFIG_SIZE);
}

const struct nic_class *workload_class_of(struct vmig_device *dev)
{
	struct vmig_device_info info;
	uint32_t ids;

	vmig_device_query_info(dev, &info);
	if (!(info.flags & VMIG_DEVICE_FLAG_PCI) || read_config(dev, 0, &ids) || (ids & 0xffff) != NIC_VENDOR)
		return NULL;
	return nic_class_of((uint16_t)(ids >> 16));
}

bool workload_drives(struct vmig_device *dev)
{
	return workload_class_of(dev);
}

/* The place of a capability in @config; 0: there is none. */
static uint8_t find_cap(const uint8_t *config, uint8_t id)
{
	uint8_t at = config[PCI_CAPABILITIES];

	/* What the device says may be a circle. */
	for (unsigned int i = 0; at >= 0x40 && i < PCI_CONFIG_SIZE / 4; at = config[at + 1u] & ~3u, i++)
		if (config[at] == id)
			return at;
	return 0;
}

static uint8_t irq_cap_of(const struct nic_class *class, const uint8_t *config)
{
	return find_cap(config, class->msix ? PCI_CAP_MSIX : PCI_CAP_MSI);
}

static int write_command(struct vmig_device *dev, uint32_t command)
{
	return write_config(dev, PCI_COMMAND, command, 2);
}

/* As every firmware does: write ones, read the size, give an address. */
static int place_bar(struct vmig_device *dev, unsigned int n, uint32_t *next)
{
	uint32_t mask, size;
	int r = write_config(dev, PCI_BAR(n), ~0u, 4);

	r = r ? r : read_config(dev, PCI_BAR(n), &mask);
	if (r || !(mask & ~15u))
		return r;
	size = ~(mask & ~15u) + 1;
	*next = (*next + size - 1) & ~(size - 1);
	r = write_config(dev, PCI_BAR(n), *next, 4);
	*next += size;
	return r;
}

int workload_set_up_config(struct workload *w, struct vmig_device *dev)
{
	uint32_t next = BAR_WINDOW;
	uint8_t config[PCI_CONFIG_SIZE], cap;
	int r = write_command(dev, 0);

	for (unsigned int n = 0; !r && n < N_BARS; n++)
		r = place_bar(dev, n, &next);
	r = r ? r : workload_read_config(dev, config);
	if (r)
		return r;
	cap = irq_cap_of(w->class, config);
	if (!cap)
		return -EOPNOTSUPP;
	r = write_config(dev, cap + 2u, w->class->msix ? PCI_MSIX_ENABLE : PCI_MSI_ENABLE, 2);
	return r ? r : write_command(dev, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

/* Address and message. */
static int restore_msi(struct vmig_device *dev, const uint8_t *config, uint8_t cap)
{
	int r = 0;

	for (uint32_t at = cap + 4u; !r && at <= cap + 12u; at += 4)
		r = write_config(dev, at, get_le32(config + at), 4);
	return r;
}

int workload_restore_config(struct workload *w, struct vmig_device *dev, const uint8_t *config)
{
	uint8_t now[PCI_CONFIG_SIZE], cap = irq_cap_of(w->class, config);
	int r = workload_read_config(dev, now);

	/* The same device has its capabilities at the same places. */
	if (!r && (!cap || irq_cap_of(w->class, now) != cap))
		r = -EOPNOTSUPP;
	for (unsigned int n = 0; !r && n < N_BARS; n++)
		r = write_config(dev, PCI_BAR(n), get_le32(config + PCI_BAR(n)), 4);
	r = r ? r : write_config(dev, 0x0c, get_le32(config + 0x0c), 2);
	r = r ? r : write_config(dev, PCI_INTERRUPT_LINE, config[PCI_INTERRUPT_LINE], 1);
	if (!r && !w->class->msix)
		r = restore_msi(dev, config, cap);
	r = r ? r : write_config(dev, cap + 2u, get_le32(config + cap) >> 16, 2);
	/* Last: from here on the device may do DMA, as soon as it runs. */
	return r ? r : write_command(dev, get_le32(config + PCI_COMMAND) & 0xffff);
}

/* --- interrupts ----------------------------------------------------------------------------------- */

int workload_arm(struct workload *w, struct vmig_device *dev)
{
	struct vmig_irq_set set = {
		.flags = VMIG_IRQ_DATA_EVENTFD | VMIG_IRQ_ACTION_TRIGGER,
		.index = w->class->msix ? PCI_IRQ_MSIX : PCI_IRQ_MSI,
		.count = workload_n_irqs(w->class, w->n_queues),
		.fds = w->irq_fds,
	};

	return vmig_device_set_irqs(dev, &set);
}

void workload_disarm(struct workload *w, struct vmig_device *dev)
{
	struct vmig_irq_set set = { .flags = VMIG_IRQ_DATA_NONE | VMIG_IRQ_ACTION_TRIGGER,
				    .index = w->class->msix ? PCI_IRQ_MSIX : PCI_IRQ_MSI };

	/* A device that is gone is disarmed. */
	(void)vmig_device_set_irqs(dev, &set);
}

/* --- queues --------------------------------------------------------------------------------------- */

/* Until it does not touch its old ring any more. */
static int stop_queue(struct vmig_device *dev, uint32_t at)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	uint64_t status = 0;
	int r = workload_write_register(dev, at + NIC_QUEUE_CONTROL, 0);

	for (int i = 0; !r && i < QUEUE_WAIT_MS; i++) {
		r = workload_read_register(dev, at + NIC_QUEUE_CONTROL, &status);
		if (r || !(status & NIC_QUEUE_STATUS_ACTIVE))
			return r;
		nanosleep(&ms, NULL);
	}
	return r ? r : -EBUSY;
}

int workload_ring_doorbell(struct vmig_device *dev, uint32_t offset, uint64_t value)
{
	uint8_t doorbell[4];

	put_le32(doorbell, (uint32_t)value);
	return vmig_device_region_write(dev, NIC_BAR_DOORBELLS, offset, doorbell, sizeof(doorbell));
}

/* As many as there are slots: the device always has work. */
static int hand_in_jobs(struct workload *w, struct vmig_device *dev, uint32_t queue)
{
	uint64_t from = w->queues[queue].consumer;

	workload_write_jobs(w, queue, from, from + w->slots);
	return workload_ring_doorbell(dev, ACCEL_DOORBELL_JOBS(queue), from + w->slots);
}

static int set_up_queue(struct workload *w, struct vmig_device *dev, uint32_t queue)
{
	uint32_t at = NIC_QUEUE(queue);
	uint64_t producer = 0, status = 0;
	int r = stop_queue(dev, at);

	r = r ? r : workload_write_register(dev, at + NIC_QUEUE_BASE, w->iova + workload_ring(w, queue));
	r = r ? r : workload_write_register(dev, at + NIC_QUEUE_INDEX, w->iova + queue * NIC_RECORD);
	r = r ? r : workload_write_register(dev, at + NIC_QUEUE_SLOTS, w->slots);
	if (!r && w->class->area_slot)
		r = workload_write_register(dev, at + NIC_QUEUE_AREA, w->iova + workload_area(w, queue, 0));
	r = r ? r : workload_read_register(dev, at + NIC_QUEUE_PRODUCER, &producer);
	if (r)
		return r;
	put_le64(w->memory + queue * NIC_RECORD, producer);
	workload_note_written(w, queue * NIC_RECORD, 8);
	w->queues[queue].consumer = producer;
	sequence_init(&w->queues[queue].sequence, producer);
	r = workload_write_register(dev, at + NIC_QUEUE_CONTROL, 1);
	r = r ? r : workload_read_register(dev, at + NIC_QUEUE_CONTROL, &status);
	if (!r && !(status & NIC_QUEUE_STATUS_ENABLED))
		r = -EIO;
	if (!r && w->class->has_jobs)
		r = hand_in_jobs(w, dev, queue);
	return r;
}

int workload_set_up_queues(struct workload *w, struct vmig_device *dev)
{
	int r = 0;

	for (uint32_t q = 0; !r && q < w->n_queues; q++)
		r = set_up_queue(w, dev, q);
	return r;
}
