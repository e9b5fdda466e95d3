/* SPDX-License-Identifier: BSD-3-Clause */
/* rings-state - the registers as they are saved and loaded, and as they are at power-on. */
#include <errno.h>

#include "rings.h"

/* Little-endian u64s: the counters, then of each queue what follows. The last one (two) only with an area. */
enum { SAVED_RECORDS, SAVED_BAD_DOORBELLS, SAVED_DMA_FAULTS, SAVED_INTERRUPTS, SAVED_BAD_JOBS };
enum {
	SAVED_BASE,
	SAVED_INDEX,
	SAVED_SLOTS,
	SAVED_ENABLED,
	SAVED_PRODUCER,
	SAVED_CONSUMER,
	SAVED_PUBLISHED,
	SAVED_SKEW,
	SAVED_AREA,
	SAVED_JOBS,
};

static bool has_area(const struct rings *rings)
{
	return rings->setup.class->area_slot;
}

/* Where queue @i starts. */
static size_t queue_at(const struct rings *rings, uint32_t i)
{
	return RINGS_SAVED_LEN(has_area(rings), i);
}

static void save_queue(const struct rings *rings, const struct rings_queue *q, uint8_t *p)
{
	put_le64(p + SAVED_BASE * 8, q->base);
	put_le64(p + SAVED_INDEX * 8, q->index);
	put_le64(p + SAVED_SLOTS * 8, q->slots);
	put_le64(p + SAVED_ENABLED * 8, q->enabled);
	put_le64(p + SAVED_PRODUCER * 8, q->producer);
	put_le64(p + SAVED_CONSUMER * 8, q->consumer);
	put_le64(p + SAVED_PUBLISHED * 8, q->published);
	put_le64(p + SAVED_SKEW * 8, q->skew);
	if (!has_area(rings))
		return;
	put_le64(p + SAVED_AREA * 8, q->area);
	put_le64(p + SAVED_JOBS * 8, q->jobs);
}

size_t rings_save(void *opaque, uint8_t *buf)
{
	struct rings *rings = opaque;

	put_le64(buf + SAVED_RECORDS * 8, rings->records);
	put_le64(buf + SAVED_BAD_DOORBELLS * 8, rings->bad_doorbells);
	put_le64(buf + SAVED_DMA_FAULTS * 8, rings->dma_faults);
	put_le64(buf + SAVED_INTERRUPTS * 8, rings->interrupts);
	if (has_area(rings))
		put_le64(buf + SAVED_BAD_JOBS * 8, rings->bad_jobs);
	for (uint32_t i = 0; i < rings->setup.queues; i++)
		save_queue(rings, &rings->queues[i], buf + queue_at(rings, i));
	return queue_at(rings, rings->setup.queues);
}

static int check_area(const struct rings *rings, const uint8_t *p, uint64_t slots)
{
	uint64_t area = get_le64(p + SAVED_AREA * 8), jobs = get_le64(p + SAVED_JOBS * 8);

	if (area % NIC_RECORD || !area)
		return -EINVAL;
	if (!rings->setup.class->has_jobs)
		return jobs ? -EINVAL : 0;
	return jobs - get_le64(p + SAVED_PRODUCER * 8) > slots ? -EINVAL : 0;
}

static int check_queue(const struct rings *rings, const uint8_t *p)
{
	uint64_t slots = get_le64(p + SAVED_SLOTS * 8), enabled = get_le64(p + SAVED_ENABLED * 8);
	uint64_t ahead = get_le64(p + SAVED_PRODUCER * 8) - get_le64(p + SAVED_CONSUMER * 8);

	if (slots > UINT32_MAX || enabled > 1)
		return -EINVAL;
	if (!enabled)
		return 0;
	if (slots < 2 || slots > NIC_SLOTS_MAX || (slots & (slots - 1)) || ahead > slots)
		return -EINVAL;
	if (get_le64(p + SAVED_BASE * 8) % NIC_RECORD || get_le64(p + SAVED_INDEX * 8) % 8)
		return -EINVAL;
	return has_area(rings) ? check_area(rings, p, slots) : 0;
}

int rings_check(void *opaque, const uint8_t *registers, size_t len)
{
	const struct rings *rings = opaque;
	int r = len == queue_at(rings, rings->setup.queues) ? 0 : -EINVAL;

	for (uint32_t i = 0; !r && i < rings->setup.queues; i++)
		r = check_queue(rings, registers + queue_at(rings, i));
	return r;
}

uint64_t rings_digest(struct rings *rings)
{
	uint8_t registers[IMAGE_REGISTERS_MAX];
	size_t len = rings_save(rings, registers);

	return hash64(image_digest(&rings->base.image), registers, len);
}

static struct rings_queue load_queue(const struct rings *rings, const uint8_t *p)
{
	struct rings_queue q = {
		.base = get_le64(p + SAVED_BASE * 8),
		.index = get_le64(p + SAVED_INDEX * 8),
		.slots = (uint32_t)get_le64(p + SAVED_SLOTS * 8),
		.enabled = get_le64(p + SAVED_ENABLED * 8),
		.producer = get_le64(p + SAVED_PRODUCER * 8),
		.consumer = get_le64(p + SAVED_CONSUMER * 8),
		.published = get_le64(p + SAVED_PUBLISHED * 8),
		.skew = get_le64(p + SAVED_SKEW * 8),
	};

	if (has_area(rings)) {
		q.area = get_le64(p + SAVED_AREA * 8);
		q.jobs = get_le64(p + SAVED_JOBS * 8);
	}
	return q;
}

void rings_load(void *opaque, const uint8_t *registers)
{
	struct rings *rings = opaque;

	pthread_mutex_lock(&rings->lock);
	rings->records = get_le64(registers + SAVED_RECORDS * 8);
	rings->bad_doorbells = get_le64(registers + SAVED_BAD_DOORBELLS * 8);
	rings->dma_faults = get_le64(registers + SAVED_DMA_FAULTS * 8);
	rings->interrupts = get_le64(registers + SAVED_INTERRUPTS * 8);
	rings->bad_jobs = has_area(rings) ? get_le64(registers + SAVED_BAD_JOBS * 8) : 0;
	for (uint32_t i = 0; i < rings->setup.queues; i++) {
		uint64_t epoch = rings->queues[i].epoch;

		rings->queues[i] = load_queue(rings, registers + queue_at(rings, i));
		rings->queues[i].epoch = epoch + 1;
	}
	rings->arrived = rings->base.options.digest ? rings_digest(rings) : 0;
	pthread_mutex_unlock(&rings->lock);
}

void rings_reset(void *opaque)
{
	struct rings *rings = opaque;

	pthread_mutex_lock(&rings->lock);
	rings->records = rings->bad_doorbells = rings->dma_faults = rings->interrupts = 0;
	rings->bad_jobs = rings->result = rings->arrived = 0;
	for (uint32_t i = 0; i < rings->setup.queues; i++)
		rings->queues[i] = (struct rings_queue){ .epoch = rings->queues[i].epoch + 1 };
	memset(rings->msix, 0, sizeof(rings->msix));
	pci_reset(&rings->pci);
	pthread_mutex_unlock(&rings->lock);
}
