/* SPDX-License-Identifier: BSD-3-Clause */
/** worker - a model's thread: ticks while the device runs, stands still when it must. */
#ifndef MODELS_WORKER_H
#define MODELS_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* A state of the device in which it ... */
enum worker_level {
	WORKER_PARKED,   /* does nothing at all */
	WORKER_INTERNAL, /* changes itself but touches nothing else: P2P states */
	WORKER_FULL,     /* does everything */
};

struct worker {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake, settled;
	enum worker_level want, at;
	bool kicked, idle, exit;
	uint64_t last_ns;
	/** Do the work that has become due in @elapsed_ns. False: nothing to do until worker_kick(). */
	bool (*tick)(void *opaque, enum worker_level level, uint64_t elapsed_ns);
	void *opaque;
};

/** Starts the thread, parked. -EAGAIN, -ENOMEM. */
int worker_init(struct worker *worker, bool (*tick)(void *, enum worker_level, uint64_t), void *opaque);
/** Ends the thread. */
void worker_done(struct worker *worker);

/** On return the thread is at @level: whatever it did at a higher one is finished. */
void worker_set(struct worker *worker, enum worker_level level);

/** The level at which the thread is. */
enum worker_level worker_level(struct worker *worker);

/** There may be something to do. From any thread, but not from tick. */
void worker_kick(struct worker *worker);

/** How many things of @size units are due after @elapsed_ns at @units a second; *rest carries what is left of one. */
uint64_t worker_due(uint64_t units, uint64_t elapsed_ns, uint64_t *rest, uint32_t size);

#endif
