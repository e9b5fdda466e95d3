/* SPDX-License-Identifier: BSD-3-Clause */
#include "workload-private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

uint64_t workload_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint32_t workload_slots(const struct nic_class *class, uint32_t n_queues)
{
	uint32_t size = NIC_RECORD + class->area_slot, slots = 2;
	uint32_t most = (WORKLOAD_MEMORY - WORKLOAD_HEAD) / size / n_queues;

	while (slots * 2 <= most && slots < 4096)
		slots *= 2;
	return slots;
}

uint64_t workload_ring(const struct workload *w, uint32_t queue)
{
	return WORKLOAD_HEAD + (uint64_t)queue * w->slots * NIC_RECORD;
}

uint64_t workload_area(const struct workload *w, uint32_t queue, uint64_t n)
{
	uint64_t slot = (uint64_t)queue * w->slots + n % w->slots;

	return workload_ring(w, w->n_queues) + slot * w->class->area_slot;
}

uint32_t workload_n_irqs(const struct nic_class *class, uint32_t n_queues)
{
	return class->msix ? n_queues : 1;
}

void workload_write_jobs(struct workload *w, uint32_t queue, uint64_t from, uint64_t to)
{
	for (; from < to; from++) {
		accel_job_make(w->memory + workload_area(w, queue, from), queue, from);
		workload_note_written(w, workload_area(w, queue, from), ACCEL_JOB);
	}
}

/* --- memory that another moves --------------------------------------------------------------------- */

void workload_note_written(struct workload *w, uint64_t at, uint64_t len)
{
	for (uint64_t page = at / 4096; page <= (at + len - 1) / 4096; page++)
		__atomic_fetch_or(&w->written[page / 64], 1ull << page % 64, __ATOMIC_RELEASE);
}

int workload_give_memory(struct workload *w, struct vmig_memory_region *ret)
{
	int r = workload_map(w, 0);

	if (r)
		return r;
	w->apart = true;
	*ret = (struct vmig_memory_region){ .iova = w->iova, .size = WORKLOAD_MEMORY, .fd = w->memory_fd };
	return 0;
}

int workload_dirty(struct workload *w, uint64_t iova, uint64_t length, uint64_t page_size, uint64_t *bitmap)
{
	if (iova != w->iova || length != WORKLOAD_MEMORY || page_size != 4096)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(w->written); i++)
		bitmap[i] |= __atomic_exchange_n(&w->written[i], 0, __ATOMIC_ACQUIRE);
	return 0;
}

/* --- life ------------------------------------------------------------------------------------------ */

static int open_fds(struct workload *w)
{
	w->kick_fd = -1;
	for (uint32_t q = 0; q < NIC_QUEUES_MAX; q++)
		w->irq_fds[q] = -1;
	w->memory_fd = memfd_create("vmig-workload", MFD_CLOEXEC);
	w->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->memory_fd < 0 || w->kick_fd < 0 || ftruncate(w->memory_fd, WORKLOAD_MEMORY))
		return -errno;
	return 0;
}

int workload_open_irqs(struct workload *w, uint32_t n)
{
	for (uint32_t q = 0; q < n; q++) {
		if (w->irq_fds[q] < 0)
			w->irq_fds[q] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (w->irq_fds[q] < 0)
			return -errno;
	}
	return 0;
}

static uint8_t *view(struct workload *w)
{
	void *p = mmap(NULL, WORKLOAD_MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, w->memory_fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

int workload_new(struct vmig_space *space, struct workload **ret)
{
	struct workload *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->space = space;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->settled, NULL);
	r = open_fds(w);
	if (!r) {
		w->device_view = view(w);
		w->memory = view(w);
		w->nonce = mix64((uint64_t)(uintptr_t)w ^ workload_now_ns() ^ (uint64_t)getpid() << 40);
		r = w->device_view && w->memory ? 0 : -ENOMEM;
	}
	if (r) {
		workload_free(w);
		return r;
	}
	*ret = w;
	return 0;
}

void workload_let_go(struct workload *w, struct vmig_device **dev)
{
	if (!*dev)
		return;
	workload_disarm(w, *dev);
	vmig_space_detach(w->space, *dev);
	*dev = NULL;
}

void workload_free(struct workload *w)
{
	if (!w)
		return;
	if (w->has_thread) {
		workload_settle(w, WORKLOAD_EXIT);
		pthread_join(w->thread, NULL);
	}
	workload_let_go(w, &w->next);
	workload_let_go(w, &w->dev);
	(void)workload_unmap(w);
	if (w->memory)
		munmap(w->memory, WORKLOAD_MEMORY);
	if (w->device_view)
		munmap(w->device_view, WORKLOAD_MEMORY);
	for (uint32_t q = 0; q < NIC_QUEUES_MAX; q++)
		if (w->irq_fds[q] >= 0)
			close(w->irq_fds[q]);
	if (w->memory_fd >= 0)
		close(w->memory_fd);
	if (w->kick_fd >= 0)
		close(w->kick_fd);
	pthread_cond_destroy(&w->settled);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

/* How many queues it has, and so how large the rings are. */
static int learn(struct workload *w, struct vmig_device *dev)
{
	uint64_t n;
	int r = workload_set_up_config(w, dev);

	r = r ? r : workload_read_register(dev, NIC_QUEUES, &n);
	if (r)
		return r;
	if (!n || n > NIC_QUEUES_MAX)
		return -EOPNOTSUPP;
	w->n_queues = (uint32_t)n;
	w->slots = workload_slots(w->class, w->n_queues);
	return 0;
}

static int set_up(struct workload *w, struct vmig_device *dev)
{
	int r = workload_open_irqs(w, workload_n_irqs(w->class, w->n_queues));

	r = r ? r : workload_arm(w, dev);
	return r ? r : workload_set_up_queues(w, dev);
}

int workload_bind(struct workload *w, struct vmig_device *dev)
{
	int r;

	if (w->dev || w->next)
		return -EBUSY;
	w->class = workload_class_of(dev);
	if (!w->class)
		return -EOPNOTSUPP;
	r = learn(w, dev);
	r = r ? r : workload_map(w, 0);
	r = r ? r : vmig_space_attach(w->space, dev);
	if (r)
		return r;
	w->dev = dev;
	r = set_up(w, dev);
	if (r)
		workload_let_go(w, &w->dev);
	return r;
}

void workload_split(struct workload *w, bool peer)
{
	w->split = true;
	w->peer = peer;
}

int workload_set_up_again(struct workload *w)
{
	int r = workload_quiesce(w);

	return r ? r : workload_set_up_queues(w, w->dev);
}

uint64_t workload_interrupts(struct workload *w)
{
	uint64_t sum = 0, n;

	for (uint32_t q = 0; q < NIC_QUEUES_MAX; q++)
		if (w->irq_fds[q] >= 0 && read(w->irq_fds[q], &n, sizeof(n)) == (ssize_t)sizeof(n))
			sum += n;
	return sum;
}

/* --- start and stop -------------------------------------------------------------------------------- */

/* A device whose state is older (newer) than our record has forgotten what it sent (sends what we never saw):
 * only our doorbells move its consumer index. */
static int compare_consumers(struct workload *w)
{
	for (uint32_t i = 0; i < w->n_queues; i++) {
		struct workload_queue *q = &w->queues[i];
		uint64_t consumer;
		int r = workload_read_register(w->dev, NIC_QUEUE(i) + NIC_QUEUE_CONSUMER, &consumer);

		if (r)
			return r;
		pthread_mutex_lock(&w->lock);
		if (consumer < q->consumer)
			q->sequence.doubled += q->consumer - consumer;
		else
			q->sequence.lost += consumer - q->consumer;
		pthread_mutex_unlock(&w->lock);
	}
	return 0;
}

static int start(struct workload *w)
{
	int r = w->dev ? 0 : -EINVAL;

	r = r ? r : workload_ensure_thread(w);
	r = r ? r : compare_consumers(w);
	if (r)
		return r;
	workload_settle(w, WORKLOAD_RUN);
	return 0;
}

int workload_start(struct workload *w)
{
	struct vmig_device *old = NULL;
	int r;

	if (w->next) {
		old = w->dev;
		w->dev = w->next;
		w->next = NULL;
	}
	r = start(w);
	/* After, because the user's time without records runs. */
	workload_let_go(w, &old);
	return r;
}

int workload_resume(struct workload *w)
{
	if (!w->dev)
		return -EINVAL;
	workload_let_go(w, &w->next);
	return start(w);
}

int workload_quiesce(struct workload *w)
{
	int r;

	if (!w->dev)
		return -EINVAL;
	if (w->has_thread)
		workload_settle(w, WORKLOAD_PARK);
	r = -w->report.error;
	/* Now, because a stopped device must not be touched when the record is made. */
	return r ? r : workload_read_config(w->dev, w->config);
}

/* --- report ---------------------------------------------------------------------------------------- */

void workload_mark(struct workload *w, enum workload_phase phase)
{
	pthread_mutex_lock(&w->lock);
	w->phase = phase;
	pthread_mutex_unlock(&w->lock);
}

void workload_report(struct workload *w, struct workload_report *ret)
{
	pthread_mutex_lock(&w->lock);
	*ret = w->report;
	for (uint32_t q = 0; q < w->n_queues; q++) {
		ret->lost += w->queues[q].sequence.lost;
		ret->doubled += w->queues[q].sequence.doubled;
		ret->reordered += w->queues[q].sequence.reordered;
	}
	pthread_mutex_unlock(&w->lock);
	ret->whole = !ret->lost && !ret->doubled && !ret->reordered && !ret->corrupt && !ret->error;
}

void workload_verdict(const struct workload_report *report, char *ret, size_t size)
{
	const uint64_t *n = report->phase_records;
	int len = snprintf(ret, size,
			   "%llu records before, %llu during, %llu after: ", (unsigned long long)n[0],
			   (unsigned long long)n[1], (unsigned long long)n[2]);

	if (len < 0 || (size_t)len >= size)
		return;
	if (report->whole)
		snprintf(ret + len, size - (size_t)len, "none lost, doubled, reordered or corrupt");
	else if (report->error)
		snprintf(ret + len, size - (size_t)len, "the device failed: %s", strerror(report->error));
	else
		snprintf(ret + len, size - (size_t)len,
			 "%llu LOST, %llu DOUBLED, %llu REORDERED, %llu CORRUPT",
			 (unsigned long long)report->lost, (unsigned long long)report->doubled,
			 (unsigned long long)report->reordered, (unsigned long long)report->corrupt);
}

/* While the device checks all of its memory it sends nothing: our own doing, and no gap of a migration. */
static void set_verifying(struct workload *w, bool verifying)
{
	pthread_mutex_lock(&w->lock);
	w->verifying = verifying;
	if (!verifying && w->last_ns)
		w->last_ns = workload_now_ns();
	pthread_mutex_unlock(&w->lock);
}

int workload_verify_device(struct workload *w)
{
	uint64_t wrong = 0, doorbells = 0;
	int r = w->dev ? 0 : -EINVAL;

	set_verifying(w, true);
	r = r ? r : workload_write_register(w->dev, NIC_CONTROL, NIC_CONTROL_CHECK);
	r = r ? r : workload_read_register(w->dev, NIC_RESULT, &wrong);
	r = r ? r : workload_read_register(w->dev, NIC_BAD_DOORBELLS, &doorbells);
	set_verifying(w, false);
	if (r)
		return r;
	return wrong || doorbells ? -EBADMSG : 0;
}
