/* SPDX-License-Identifier: BSD-3-Clause */
/* workload-take - the thread that takes the records, and what it sees in them. */
#include "workload-private.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

/* Records taken before the device hears of it. */
#define BATCH 256u

/* --- taking records -------------------------------------------------------------------------------- */

static bool record_is_good(const uint8_t *record, uint32_t queue, uint64_t *ret_seq)
{
	uint8_t should[NIC_RECORD];

	*ret_seq = get_le64(record + NIC_RECORD_SEQ);
	nic_record_make(should, queue, *ret_seq);
	return !memcmp(record, should, NIC_RECORD);
}

static void note_time(struct workload *w)
{
	uint64_t now = workload_now_ns(), gap = w->last_ns && !w->verifying ? now - w->last_ns : 0;
	struct workload_report *report = &w->report;

	w->last_ns = now;
	report->longest_gap_ns = MAX(report->longest_gap_ns, gap);
	report->phase_gap_ns[w->phase] = MAX(report->phase_gap_ns[w->phase], gap);
}

/* With the lock: take the records of @queue up to @producer, at most a batch. */
static void take_batch(struct workload *w, uint32_t queue, uint64_t producer)
{
	struct workload_queue *q = &w->queues[queue];
	uint64_t end = MIN(producer, q->consumer + BATCH);

	note_time(w);
	w->report.records += end - q->consumer;
	w->report.phase_records[w->phase] += end - q->consumer;
	for (; q->consumer < end; q->consumer++) {
		const uint8_t *at = w->memory + workload_ring(w, queue) + q->consumer % w->slots * NIC_RECORD;
		uint8_t record[NIC_RECORD];
		uint64_t seq;

		memcpy(record, at, sizeof(record));
		if (!record_is_good(record, queue, &seq)) {
			w->report.corrupt++;
			seq = q->sequence.expected; /* its number says nothing */
		}
		sequence_take(&q->sequence, seq);
	}
}

/* How far the device has come. */
static uint64_t producer_of(struct workload *w, uint32_t queue)
{
	struct workload_queue *q = &w->queues[queue];
	uint64_t *index = (uint64_t *)(void *)(w->memory + queue * NIC_RECORD);
	uint64_t producer = le64toh(__atomic_load_n(index, __ATOMIC_ACQUIRE));

	/* It has gone back: what it sends again is found to be doubled. Or it overran us: what we
	 * did not see is found to be lost. */
	if (producer < q->consumer)
		q->consumer = producer;
	else if (producer - q->consumer > w->slots)
		q->consumer = producer - w->slots;
	return producer;
}

static int take_queue(struct workload *w, uint32_t queue)
{
	struct workload_queue *q = &w->queues[queue];
	uint64_t producer = producer_of(w, queue);
	uint8_t doorbell[4];
	int r = 0;

	while (!r && q->consumer < producer) {
		pthread_mutex_lock(&w->lock);
		take_batch(w, queue, producer);
		pthread_mutex_unlock(&w->lock);
		put_le32(doorbell, (uint32_t)q->consumer);
		r = vmig_device_region_write(w->dev, NIC_BAR_DOORBELLS, NIC_DOORBELL(queue), doorbell,
					     sizeof(doorbell));
	}
	return r;
}

/* --- the thread ------------------------------------------------------------------------------------ */

static void drain_fd(int fd)
{
	uint64_t n;

	(void)!read(fd, &n, sizeof(n));
}

/* Take what there is, then wait for interrupts, until something else is wanted. */
static int take_all(struct workload *w)
{
	struct pollfd fds[NIC_QUEUES_MAX + 1];
	int r = 0;

	for (uint32_t q = 0; q < w->n_queues; q++)
		fds[q] = (struct pollfd){ .fd = w->irq_fds[q], .events = POLLIN, .revents = POLLIN };
	fds[w->n_queues] = (struct pollfd){ .fd = w->kick_fd, .events = POLLIN };
	for (;;) {
		for (uint32_t q = 0; !r && q < w->n_queues; q++) {
			if (!fds[q].revents)
				continue;
			drain_fd(w->irq_fds[q]);
			r = take_queue(w, q);
		}
		if (r || fds[w->n_queues].revents)
			return r;
		if (poll(fds, w->n_queues + 1, -1) < 0 && errno != EINTR)
			return -errno;
	}
}

static void *run(void *opaque)
{
	struct workload *w = opaque;

	pthread_mutex_lock(&w->lock);
	while (w->want != WORKLOAD_EXIT) {
		int r;

		w->at = w->want;
		pthread_cond_broadcast(&w->settled);
		if (w->want == WORKLOAD_PARK) {
			pthread_cond_wait(&w->settled, &w->lock);
			continue;
		}
		pthread_mutex_unlock(&w->lock);
		r = take_all(w);
		drain_fd(w->kick_fd);
		pthread_mutex_lock(&w->lock);
		if (r) {
			w->report.error = -r;
			w->want = WORKLOAD_PARK;
		}
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

void workload_settle(struct workload *w, int want)
{
	uint64_t one = 1;

	pthread_mutex_lock(&w->lock);
	w->want = want;
	if (w->at == WORKLOAD_RUN)
		(void)!write(w->kick_fd, &one, sizeof(one));
	pthread_cond_broadcast(&w->settled);
	while (w->at != w->want && w->want != WORKLOAD_EXIT)
		pthread_cond_wait(&w->settled, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

int workload_ensure_thread(struct workload *w)
{
	int r = 0;

	if (!w->has_thread)
		r = pthread_create(&w->thread, NULL, run, w);
	w->has_thread = !r;
	return -r;
}
