/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * workload-record - the user's own record: little-endian, in this order.
 *
 *	u64 magic, u32 version, u32 queues, u32 slots, u32 memory (0: it moves by itself, and nothing of it is here),
 *	u64 iova, u64 nonce, u64 last record (wall clock, ns), 256 bytes of configuration space
 *	u64 records, 3 u64 by phase, u64 corrupt, u64 longest gap, 3 u64 by phase
 *	of each queue: u64 consumer, expected, lost, doubled, reordered, then the window's bits; u64 producer
 *	index, u64 live, and so many records, of a vgpu each with its frame: those that have come and were not taken
 *	u64 hash of all before it
 */
#include "workload-private.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define MAGIC          0x314c4b5747494d56ull /* "VMIGWKL1" */
#define VERSION        1u
#define HEAD           (8 + 4 * 4 + 3 * 8 + PCI_CONFIG_SIZE)
#define COUNTERS       ((3 + 2 * WORKLOAD_PHASES) * 8)
#define QUEUE          (7 * 8 + SEQUENCE_WINDOW / 8)
#define RECORD(queues) (HEAD + COUNTERS + (size_t)(queues)*QUEUE + 8) /* without the records in the rings */

static uint64_t wall_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* --- save ------------------------------------------------------------------------------------------- */

static void put32(uint8_t **p, uint32_t v)
{
	put_le32(*p, v);
	*p += 4;
}

static void put64(uint8_t **p, uint64_t v)
{
	put_le64(*p, v);
	*p += 8;
}

static void put_head(uint8_t **p, const struct workload *w)
{
	put64(p, MAGIC);
	put32(p, VERSION);
	put32(p, w->n_queues);
	put32(p, w->slots);
	put32(p, w->apart ? 0 : WORKLOAD_MEMORY);
	put64(p, w->iova);
	put64(p, w->nonce);
	put64(p, w->last_ns ? wall_ns() - (workload_now_ns() - w->last_ns) : 0);
	memcpy(*p, w->config, PCI_CONFIG_SIZE);
	*p += PCI_CONFIG_SIZE;
}

static void put_counters(uint8_t **p, const struct workload_report *report)
{
	put64(p, report->records);
	for (unsigned int i = 0; i < WORKLOAD_PHASES; i++)
		put64(p, report->phase_records[i]);
	put64(p, report->corrupt);
	put64(p, report->longest_gap_ns);
	for (unsigned int i = 0; i < WORKLOAD_PHASES; i++)
		put64(p, report->phase_gap_ns[i]);
}

static uint8_t *slot(const struct workload *w, uint32_t queue, uint64_t index)
{
	return w->memory + workload_ring(w, queue) + index % w->slots * NIC_RECORD;
}

/* The records in the ring that are still to be taken. A device that lies about its index has none. */
static uint64_t live(const struct workload *w, uint32_t queue, uint64_t producer)
{
	uint64_t n = producer - w->queues[queue].consumer;

	return n <= w->slots && !w->apart ? n : 0;
}

/* What is carried of the area with each record: of frames, all that is live; jobs can be written again. */
static size_t carried(const struct nic_class *class)
{
	return class->has_jobs ? 0 : class->area_slot;
}

static void put_queue(uint8_t **p, const struct workload *w, uint32_t queue, uint64_t producer)
{
	const struct workload_queue *q = &w->queues[queue];
	uint64_t n = live(w, queue, producer);

	put64(p, q->consumer);
	put64(p, q->sequence.expected);
	put64(p, q->sequence.lost);
	put64(p, q->sequence.doubled);
	put64(p, q->sequence.reordered);
	for (unsigned int i = 0; i < SEQUENCE_WINDOW / 64; i++)
		put64(p, q->sequence.seen[i]);
	put64(p, producer);
	put64(p, n);
	for (uint64_t i = 0; i < n; i++, *p += NIC_RECORD + carried(w->class)) {
		memcpy(*p, slot(w, queue, q->consumer + i), NIC_RECORD);
		memcpy(*p + NIC_RECORD, w->memory + workload_area(w, queue, q->consumer + i),
		       carried(w->class));
	}
}

static bool is_running(struct workload *w)
{
	bool running;

	pthread_mutex_lock(&w->lock);
	running = w->at == WORKLOAD_RUN;
	pthread_mutex_unlock(&w->lock);
	return running;
}

int workload_save(struct workload *w, void **ret, size_t *ret_len)
{
	uint64_t producers[NIC_QUEUES_MAX];
	size_t len = RECORD(w->n_queues);
	uint8_t *buf, *p;

	if (!w->dev || is_running(w))
		return -EINVAL;
	/* Once, for all: it is the device's to write, and a bad one could write it now. */
	for (uint32_t q = 0; q < w->n_queues; q++) {
		producers[q] = get_le64(w->memory + q * NIC_RECORD);
		len += live(w, q, producers[q]) * (NIC_RECORD + carried(w->class));
	}
	buf = malloc(len);
	if (!buf)
		return -ENOMEM;
	p = buf;
	put_head(&p, w);
	put_counters(&p, &w->report);
	for (uint32_t q = 0; q < w->n_queues; q++)
		put_queue(&p, w, q, producers[q]);
	put64(&p, hash64(0, buf, len - 8));
	*ret = buf;
	*ret_len = len;
	return 0;
}

/* --- load ------------------------------------------------------------------------------------------- */

struct head {
	uint32_t queues, slots, memory;
	uint64_t iova, nonce, last_wall_ns;
	const uint8_t *config;
	const struct nic_class *class; /* by @config */
};

static uint32_t get32(const uint8_t **p)
{
	*p += 4;
	return get_le32(*p - 4);
}

static uint64_t get64(const uint8_t **p)
{
	*p += 8;
	return get_le64(*p - 8);
}

static void get_counters(const uint8_t **p, struct workload_report *report)
{
	report->records = get64(p);
	for (unsigned int i = 0; i < WORKLOAD_PHASES; i++)
		report->phase_records[i] = get64(p);
	report->corrupt = get64(p);
	report->longest_gap_ns = get64(p);
	for (unsigned int i = 0; i < WORKLOAD_PHASES; i++)
		report->phase_gap_ns[i] = get64(p);
}

/* @there: the memory is the one that was saved, or has been filled from it: as new as its device left it, never older
 * than the record. */
static void get_queue(const uint8_t **p, struct workload *w, uint32_t queue, bool there)
{
	struct workload_queue *q = &w->queues[queue];
	uint64_t index, n;

	q->consumer = get64(p);
	q->sequence.expected = get64(p);
	q->sequence.lost = get64(p);
	q->sequence.doubled = get64(p);
	q->sequence.reordered = get64(p);
	for (unsigned int i = 0; i < SEQUENCE_WINDOW / 64; i++)
		q->sequence.seen[i] = get64(p);
	index = get64(p);
	n = get64(p);
	if (!there)
		put_le64(w->memory + queue * NIC_RECORD, index);
	for (uint64_t i = 0; i < n; i++, *p += NIC_RECORD + carried(w->class)) {
		if (there)
			continue;
		memcpy(slot(w, queue, q->consumer + i), *p, NIC_RECORD);
		memcpy(w->memory + workload_area(w, queue, q->consumer + i), *p + NIC_RECORD,
		       carried(w->class));
	}
	if (!there && w->class->has_jobs)
		workload_write_jobs(w, queue, q->consumer, q->consumer + w->slots);
}

/* Are the queues as long as they say? @p is where they start, @len without the hash at the end. */
static int check_queues(const uint8_t *p, size_t len, const struct head *head)
{
	size_t each = NIC_RECORD + carried(head->class);

	for (uint32_t q = 0; q < head->queues; q++) {
		uint64_t n = len < QUEUE ? UINT64_MAX : get_le64(p + QUEUE - 8);

		if (n > head->slots || len < QUEUE + n * each)
			return -EBADMSG;
		p += QUEUE + n * each;
		len -= QUEUE + n * each;
	}
	return len ? -EBADMSG : 0;
}

/* *p moves behind the head. */
static int check_record(const uint8_t **p, size_t len, struct head *ret)
{
	const uint8_t *start = *p;

	if (len < RECORD(1) || get64(p) != MAGIC || get32(p) != VERSION)
		return -EBADMSG;
	ret->queues = get32(p);
	ret->slots = get32(p);
	ret->memory = get32(p);
	if (!ret->queues || ret->queues > NIC_QUEUES_MAX || len < RECORD(ret->queues) ||
	    (ret->memory && ret->memory != WORKLOAD_MEMORY))
		return -EBADMSG;
	ret->iova = get64(p);
	ret->nonce = get64(p);
	ret->last_wall_ns = get64(p);
	ret->config = *p;
	*p += PCI_CONFIG_SIZE;
	ret->class = nic_class_of((uint16_t)(get_le32(ret->config) >> 16));
	if (!ret->class || ret->slots != workload_slots(ret->class, ret->queues))
		return -EBADMSG;
	if (!ret->iova || hash64(0, start, len - 8) != get_le64(start + len - 8))
		return -EBADMSG;
	return check_queues(*p + COUNTERS, len - HEAD - COUNTERS - 8, ret);
}

/* Another's record: how long ago its last record came is known by the wall clock only. */
static void take_time(struct workload *w, uint64_t last_wall_ns)
{
	uint64_t wall = wall_ns();

	w->last_ns = last_wall_ns && last_wall_ns < wall ? workload_now_ns() - (wall - last_wall_ns) : 0;
}

static void take_record(struct workload *w, const struct head *head, const uint8_t *p)
{
	bool own = head->nonce == w->nonce, there = own || !head->memory;

	pthread_mutex_lock(&w->lock);
	get_counters(&p, &w->report);
	for (uint32_t q = 0; q < head->queues; q++)
		get_queue(&p, w, q, there);
	if (!own)
		take_time(w, head->last_wall_ns);
	memcpy(w->config, head->config, PCI_CONFIG_SIZE);
	pthread_mutex_unlock(&w->lock);
}

static int check_device(struct vmig_device *dev, const struct head *head)
{
	const struct nic_class *class;
	struct vmig_irq irq;
	int r;

	class = workload_class_of(dev);
	if (!class || class->device != head->class->device)
		return -EOPNOTSUPP;
	r = vmig_device_query_irq(dev, head->class->msix ? PCI_IRQ_MSIX : PCI_IRQ_MSI, &irq);
	if (r)
		return r;
	return irq.count == workload_n_irqs(head->class, head->queues) ? 0 : -EOPNOTSUPP;
}

static int hand_over(struct workload *w, struct vmig_device *dev, const struct head *head)
{
	int r;

	r = workload_open_irqs(w, workload_n_irqs(head->class, head->queues));
	r = r ? r : workload_map(w, head->iova);
	r = r ? r : vmig_space_attach(w->space, dev);
	if (r)
		return r;
	w->next = dev;
	w->class = head->class;
	w->n_queues = head->queues;
	w->slots = head->slots;
	r = workload_arm(w, dev);
	return r ? r : workload_restore_config(w, dev, head->config);
}

int workload_load(struct workload *w, struct vmig_device *dev, const void *data, size_t len)
{
	const uint8_t *p = data;
	struct head head;
	int r;

	if (is_running(w) || (w->dev && w->dev == dev))
		return -EBUSY;
	workload_let_go(w, &w->next); /* of a load that led to nothing */
	r = check_record(&p, len, &head);
	/* Somebody has to have filled the memory. */
	if (!r && !head.memory && !w->apart)
		r = -EBADMSG;
	r = r ? r : check_device(dev, &head);
	/* A workload that drives a device takes its own record only: else there would be no way back. */
	if (!r && w->dev && (head.nonce != w->nonce || head.class->device != w->class->device))
		r = -EBUSY;
	r = r ? r : hand_over(w, dev, &head);
	if (r) {
		workload_let_go(w, &w->next);
		return r;
	}
	take_record(w, &head, p);
	return 0;
}
