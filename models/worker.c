/* SPDX-License-Identifier: BSD-3-Clause */
#include "worker.h"

#include <time.h>

#include "bytes.h"

#define TICK_NS 1000000ull
/* After a long wait for a processor the work is not made up for at once. */
#define ELAPSED_MAX_NS 100000000ull
#define NS_PER_S       1000000000ull

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t worker_due(uint64_t units, uint64_t elapsed_ns, uint64_t *rest, uint32_t size)
{
	/* __extension__: -Wpedantic does not know 128 bits; a rate of 2^40 in 100 ms needs 67. */
	__extension__ unsigned __int128 sum = (unsigned __int128)units * elapsed_ns + *rest;
	uint64_t one = NS_PER_S * size;

	*rest = (uint64_t)(sum % one);
	return (uint64_t)(sum / one);
}

/* With the lock: until the next tick is due, or something has changed. */
static void wait_for_tick(struct worker *worker, bool busy)
{
	uint64_t next = worker->last_ns + TICK_NS;
	struct timespec t = { .tv_sec = (time_t)(next / NS_PER_S), .tv_nsec = (long)(next % NS_PER_S) };
	int r = 0;

	while (!worker->exit && worker->want == worker->at && !r) {
		if (busy) {
			r = pthread_cond_timedwait(&worker->wake, &worker->lock, &t);
		} else if (worker->kicked) {
			return;
		} else {
			worker->idle = true;
			pthread_cond_wait(&worker->wake, &worker->lock);
			worker->idle = false;
		}
	}
}

/* With the lock, which is let go while the tick runs. */
static bool tick(struct worker *worker)
{
	uint64_t now = now_ns(), elapsed = MIN(now - worker->last_ns, ELAPSED_MAX_NS);
	enum worker_level level = worker->at;
	bool busy;

	worker->last_ns = now;
	worker->kicked = false;
	pthread_mutex_unlock(&worker->lock);
	busy = worker->tick(worker->opaque, level, elapsed);
	pthread_mutex_lock(&worker->lock);
	return busy;
}

static void *run(void *opaque)
{
	struct worker *worker = opaque;

	pthread_mutex_lock(&worker->lock);
	while (!worker->exit) {
		bool busy = false;

		if (worker->at != worker->want) {
			if (worker->at == WORKER_PARKED)
				worker->last_ns = now_ns();
			worker->at = worker->want;
			pthread_cond_broadcast(&worker->settled);
		}
		if (worker->at != WORKER_PARKED)
			busy = tick(worker);
		else
			worker->kicked = false;
		wait_for_tick(worker, busy);
	}
	pthread_mutex_unlock(&worker->lock);
	return NULL;
}

int worker_init(struct worker *worker, bool (*fn)(void *, enum worker_level, uint64_t), void *opaque)
{
	pthread_condattr_t attr;
	int r;

	*worker = (struct worker){ .tick = fn, .opaque = opaque };
	pthread_mutex_init(&worker->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&worker->wake, &attr);
	pthread_condattr_destroy(&attr);
	pthread_cond_init(&worker->settled, NULL);
	r = pthread_create(&worker->thread, NULL, run, worker);
	if (r) {
		pthread_cond_destroy(&worker->settled);
		pthread_cond_destroy(&worker->wake);
		pthread_mutex_destroy(&worker->lock);
	}
	return -r;
}

void worker_done(struct worker *worker)
{
	pthread_mutex_lock(&worker->lock);
	worker->exit = true;
	pthread_cond_signal(&worker->wake);
	pthread_mutex_unlock(&worker->lock);
	pthread_join(worker->thread, NULL);
	pthread_cond_destroy(&worker->settled);
	pthread_cond_destroy(&worker->wake);
	pthread_mutex_destroy(&worker->lock);
}

void worker_set(struct worker *worker, enum worker_level level)
{
	pthread_mutex_lock(&worker->lock);
	worker->want = level;
	pthread_cond_signal(&worker->wake);
	while (worker->at != level)
		pthread_cond_wait(&worker->settled, &worker->lock);
	pthread_mutex_unlock(&worker->lock);
}

enum worker_level worker_level(struct worker *worker)
{
	enum worker_level level;

	pthread_mutex_lock(&worker->lock);
	level = worker->at;
	pthread_mutex_unlock(&worker->lock);
	return level;
}

void worker_kick(struct worker *worker)
{
	pthread_mutex_lock(&worker->lock);
	worker->kicked = true;
	if (worker->idle) /* a busy one looks at the next tick */
		pthread_cond_signal(&worker->wake);
	pthread_mutex_unlock(&worker->lock);
}
