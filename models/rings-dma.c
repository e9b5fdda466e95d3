/* SPDX-License-Identifier: BSD-3-Clause */
/* rings-dma - what the device does by itself: records, the index, the interrupt. */
#include "rings.h"

/* Batches of a queue in one tick. */
#define BATCHES 64u

/* With the lock. False: the queue is not to send. */
static bool take_batch(struct rings *rings, uint32_t queue, uint64_t due, struct rings_batch *ret)
{
	struct rings_queue *q = &rings->queues[queue];
	uint64_t free, to_end, work;

	q->active = q->enabled && pci_command(&rings->pci) & PCI_COMMAND_MASTER;
	if (!q->active)
		return false;
	free = q->slots - (q->producer - q->consumer);
	to_end = q->slots - q->producer % q->slots;
	work = rings->setup.class->has_jobs ? MIN(due, q->jobs - q->producer) : due;
	*ret = (struct rings_batch){
		.base = q->base,
		.index = q->index,
		.area = q->area,
		.producer = q->producer,
		.skew = q->skew,
		.epoch = q->epoch,
		.queue = queue,
		.slots = q->slots,
		.n = (uint32_t)MIN(MIN(work, RINGS_BATCH), MIN(free, to_end)),
	};
	/* To change places it takes two. */
	if (ret->n >= 2) {
		ret->inject = q->inject;
		q->inject = 0;
	}
	return true;
}

/* From the second record on, one number is missing or comes twice; or the first two change places. */
static void number(struct rings_batch *batch)
{
	uint64_t seq = batch->producer + batch->skew;

	for (uint32_t i = 0; i < batch->n; i++) {
		if (i == 1 && batch->inject == NIC_INJECT_LOST)
			batch->skew++, seq++;
		if (i == 1 && batch->inject == NIC_INJECT_DOUBLED)
			batch->skew--, seq--;
		batch->seq[i] = seq++;
	}
	if (batch->inject == NIC_INJECT_REORDERED) {
		seq = batch->seq[0];
		batch->seq[0] = batch->seq[1];
		batch->seq[1] = seq;
	}
}

int rings_make(struct rings *rings, struct rings_batch *batch, uint8_t *records)
{
	for (uint32_t i = 0; i < batch->n; i++)
		nic_record_make(records + i * NIC_RECORD, batch->queue, batch->seq[i]);
	return 0;
}

static int send_records(struct rings *rings, struct rings_batch *batch)
{
	uint64_t at = batch->base + batch->producer % batch->slots * NIC_RECORD;
	uint8_t records[RINGS_BATCH * NIC_RECORD];
	int r;

	number(batch);
	r = rings->setup.make(rings, batch, records);
	if (r)
		return r;
	if (batch->inject == NIC_INJECT_CORRUPT)
		records[NIC_RECORD + NIC_RECORD_PAYLOAD] ^= 1;
	return vmig_model_dma_write(rings->base.model, at, records, batch->n * NIC_RECORD);
}

/* The index follows the records: whoever sees it must see them. */
static int send_index(struct rings *rings, const struct rings_batch *batch, uint64_t producer)
{
	uint8_t index[8];

	put_le64(index, producer);
	__sync_synchronize();
	return vmig_model_dma_write(rings->base.model, batch->index, index, sizeof(index));
}

/* Records are sent: count them. Returns the index to publish; it must be known here before the driver sees it,
 * for its doorbell may come at once. */
static uint64_t account(struct rings *rings, const struct rings_batch *batch)
{
	struct rings_queue *q = &rings->queues[batch->queue];

	q->producer += batch->n;
	q->skew = batch->skew;
	rings->records += batch->n;
	rings->bad_jobs += batch->bad_jobs;
	image_change(&rings->base.image, 1 + batch->queue, batch->n);
	return q->producer;
}

static void raise_irq(struct rings *rings, uint32_t queue)
{
	if (rings->setup.class->msix)
		vmig_model_raise(rings->base.model, PCI_IRQ_MSIX, queue);
	else
		vmig_model_raise(rings->base.model, PCI_IRQ_MSI, 0);
}

/* One batch. Returns the records sent. */
static uint32_t run_batch(struct rings *rings, struct rings_batch *batch)
{
	struct rings_queue *q = &rings->queues[batch->queue];
	int r = batch->n ? send_records(rings, batch) : 0;
	uint64_t producer = batch->producer;
	bool publish, raise = false;

	pthread_mutex_lock(&rings->lock);
	if (!r && q->epoch == batch->epoch)
		producer = account(rings, batch);
	publish = !r && q->epoch == batch->epoch && q->published != producer;
	rings->dma_faults += !!r;
	pthread_mutex_unlock(&rings->lock);
	if (publish) {
		r = send_index(rings, batch, producer);
		pthread_mutex_lock(&rings->lock);
		raise = !r && q->epoch == batch->epoch;
		if (raise)
			q->published = producer;
		rings->interrupts += raise;
		rings->dma_faults += !!r;
		pthread_mutex_unlock(&rings->lock);
	}
	if (raise)
		raise_irq(rings, batch->queue);
	return r ? 0 : batch->n;
}

static bool run_queue(struct rings *rings, uint32_t queue, uint64_t elapsed_ns)
{
	uint64_t due = worker_due(rings->base.options.records, elapsed_ns, &rings->queues[queue].rest, 1);
	struct rings_batch batch;
	bool active;

	for (uint32_t i = 0; i < BATCHES; i++) {
		uint32_t sent = 0;

		pthread_mutex_lock(&rings->lock);
		active = take_batch(rings, queue, due, &batch);
		pthread_mutex_unlock(&rings->lock);
		if (active)
			sent = run_batch(rings, &batch);
		due -= sent;
		if (!sent || !due)
			break;
	}
	pthread_mutex_lock(&rings->lock);
	rings->queues[queue].active = false;
	pthread_mutex_unlock(&rings->lock);
	return active;
}

bool rings_tick(void *opaque, enum worker_level level, uint64_t elapsed_ns)
{
	struct rings *rings = opaque;
	bool busy = false;

	if (level != WORKER_FULL)
		return false;
	for (uint32_t i = 0; i < rings->setup.queues; i++)
		if (image_may_change(&rings->base.image, RINGS_BATCH * BATCHES))
			busy |= run_queue(rings, i, elapsed_ns);
		else
			busy = true;
	return busy;
}
