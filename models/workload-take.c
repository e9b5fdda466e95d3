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

/* Is the frame that record @index is about what record number @seq says? */
static bool frame_is_good(const struct workload *w, uint32_t queue, uint64_t index, uint64_t seq)
{
	uint8_t should[VGPU_FRAME];

	vgpu_frame_make(should, queue, seq);
	return !memcmp(w->memory + workload_area(w, queue, index), should, VGPU_FRAME);
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
	bool frames = w->class->area_slot && !w->class->has_jobs;
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
		if (!record_is_good(record, queue, &seq) ||
		    (frames && !frame_is_good(w, queue, q->consumer, seq))) {
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
	int r = 0;

	while (!r && q->consumer < producer) {
		uint64_t before = q->consumer;

		pthread_mutex_lock(&w->lock);
		take_batch(w, queue, producer);
		pthread_mutex_unlock(&w->lock);
		r = workload_ring_doorbell(w->dev, NIC_DOORBELL(queue), q->consumer);
		/* The jobs that are done make room for as many. */
		if (!r && w->class->has_jobs) {
			workload_write_jobs(w, queue, before + w->slots, q->consumer + w->slots);
			r = workload_ring_doorbell(w->dev, ACCEL_DOORBELL_JOBS(queue),
						   q->consumer + w->slots);
		}
	}
	return r;
}

/* The queues that interrupt @irq is about. */
static int take_queues_of(struct workload *w, uint32_t irq)
{
	int r = 0;

	if (w->class->msix)
		return take_queue(w, irq);
	for (uint32_t q = 0; !r && q < w->n_queues; q++)
		r = take_queue(w, q);
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
	uint32_t n = workload_n_irqs(w->class, w->n_queues);
	struct pollfd fds[NIC_QUEUES_MAX + 1];
	int r = 0;

	for (uint32_t i = 0; i < n; i++)
		fds[i] = (struct pollfd){ .fd = w->irq_fds[i], .events = POLLIN, .revents = POLLIN };
	fds[n] = (struct pollfd){ .fd = w->kick_fd, .events = POLLIN };
	for (;;) {
		for (uint32_t i = 0; !r && i < n; i++) {
			if (!fds[i].revents)
				continue;
			drain_fd(w->irq_fds[i]);
			r = take_queues_of(w, i);
		}
		if (r || fds[n].revents)
			return r;
		if (poll(fds, n + 1, -1) < 0 && errno != EINTR)
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
