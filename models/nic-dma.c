/* SPDX-License-Identifier: BSD-3-Clause */
#include "nic-private.h"

/* Records in one DMA write. */
#define BATCH 64u
/* Batches of a queue in one tick. */
#define BATCHES 64u

/* What the worker does with a queue while it does not hold the lock. */
struct job {
	uint64_t base, index, producer, skew, epoch;
	uint32_t queue, slots, n;
	uint8_t inject;
};

/* With the lock. False: the queue is not to send. */
static bool take_job(struct nic *nic, uint32_t queue, uint64_t due, struct job *ret)
{
	struct nic_queue *q = &nic->queues[queue];
	uint64_t free, to_end;

	q->active = q->enabled && pci_command(&nic->pci) & PCI_COMMAND_MASTER;
	if (!q->active)
		return false;
	free = q->slots - (q->producer - q->consumer);
	to_end = q->slots - q->producer % q->slots;
	*ret = (struct job){
		.base = q->base,
		.index = q->index,
		.producer = q->producer,
		.skew = q->skew,
		.epoch = q->epoch,
		.queue = queue,
		.slots = q->slots,
		.n = (uint32_t)MIN(MIN(due, BATCH), MIN(free, to_end)),
	};
	/* To change places it takes two. */
	if (ret->n >= 2) {
		ret->inject = q->inject;
		q->inject = 0;
	}
	return true;
}

static int send_records(struct nic *nic, struct job *job)
{
	uint64_t at = job->base + job->producer % job->slots * NIC_RECORD;
	uint8_t records[BATCH * NIC_RECORD], *second = records + NIC_RECORD;
	uint64_t seq = job->producer + job->skew;

	/* From the second record on, one number is missing or comes twice. */
	for (uint32_t i = 0; i < job->n; i++) {
		if (i == 1 && job->inject == NIC_INJECT_LOST)
			job->skew++, seq++;
		if (i == 1 && job->inject == NIC_INJECT_DOUBLED)
			job->skew--, seq--;
		nic_record_make(records + i * NIC_RECORD, job->queue, seq++);
	}
	if (job->inject == NIC_INJECT_REORDERED) {
		memcpy(second, records, NIC_RECORD);
		nic_record_make(records, job->queue, job->producer + job->skew + 1);
	}
	if (job->inject == NIC_INJECT_CORRUPT)
		second[NIC_RECORD_PAYLOAD] ^= 1;
	return vmig_model_dma_write(nic->base.model, at, records, job->n * NIC_RECORD);
}

/* The index follows the records: whoever sees it must see them. */
static int send_index(struct nic *nic, const struct job *job, uint64_t producer)
{
	uint8_t index[8];

	put_le64(index, producer);
	__sync_synchronize();
	return vmig_model_dma_write(nic->base.model, job->index, index, sizeof(index));
}

/* Records are sent: count them. Returns the index to publish; it must be known here before the driver sees it,
 * for its doorbell may come at once. */
static uint64_t account(struct nic *nic, const struct job *job)
{
	struct nic_queue *q = &nic->queues[job->queue];

	q->producer += job->n;
	q->skew = job->skew;
	nic->records += job->n;
	image_change(&nic->base.image, 1 + job->queue, job->n);
	return q->producer;
}

/* One batch. Returns the records sent. */
static uint32_t run_job(struct nic *nic, struct job *job)
{
	struct nic_queue *q = &nic->queues[job->queue];
	int r = job->n ? send_records(nic, job) : 0;
	uint64_t producer = job->producer;
	bool publish, raise = false;

	pthread_mutex_lock(&nic->lock);
	if (!r && q->epoch == job->epoch)
		producer = account(nic, job);
	publish = !r && q->epoch == job->epoch && q->published != producer;
	nic->dma_faults += !!r;
	pthread_mutex_unlock(&nic->lock);
	if (publish) {
		r = send_index(nic, job, producer);
		pthread_mutex_lock(&nic->lock);
		raise = !r && q->epoch == job->epoch;
		if (raise)
			q->published = producer;
		nic->interrupts += raise;
		nic->dma_faults += !!r;
		pthread_mutex_unlock(&nic->lock);
	}
	if (raise)
		vmig_model_raise(nic->base.model, PCI_IRQ_MSIX, job->queue);
	return r ? 0 : job->n;
}

static bool run_queue(struct nic *nic, uint32_t queue, uint64_t elapsed_ns)
{
	uint64_t due = worker_due(nic->base.options.records, elapsed_ns, &nic->queues[queue].rest, 1);
	struct job job;
	bool active;

	for (uint32_t i = 0; i < BATCHES; i++) {
		uint32_t sent = 0;

		pthread_mutex_lock(&nic->lock);
		active = take_job(nic, queue, due, &job);
		pthread_mutex_unlock(&nic->lock);
		if (active)
			sent = run_job(nic, &job);
		due -= sent;
		if (!sent || !due)
			break;
	}
	pthread_mutex_lock(&nic->lock);
	nic->queues[queue].active = false;
	pthread_mutex_unlock(&nic->lock);
	return active;
}

bool nic_tick(void *opaque, enum worker_level level, uint64_t elapsed_ns)
{
	struct nic *nic = opaque;
	bool busy = false;

	if (level != WORKER_FULL)
		return false;
	for (uint32_t i = 0; i < nic->base.options.queues; i++)
		if (image_may_change(&nic->base.image, BATCH * BATCHES))
			busy |= run_queue(nic, i, elapsed_ns);
		else
			busy = true;
	return busy;
}
