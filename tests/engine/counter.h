/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * counter - a model with memory and a workload, for the engine: it counts in random pages of its memory all the time,
 * and the sum over the pages must stay the count of what it has done, wherever it goes. It fails where it is told to,
 * and notes the arcs of all counters in one list, so that a test sees the order between devices.
 */
#ifndef VMIG_TESTS_ENGINE_COUNTER_H
#define VMIG_TESTS_ENGINE_COUNTER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vmig/model.h>

#define COUNTER_PAGE      4096u
#define COUNTER_ALL_FLAGS (VMIG_MIGRATION_STOP_COPY | VMIG_MIGRATION_P2P | VMIG_MIGRATION_PRE_COPY)
#define COUNTER_NEVER     UINT64_MAX

struct counter_config {
	size_t size;          /* of its memory; a multiple of COUNTER_PAGE */
	uint64_t flags;       /* 0: all */
	const char *identity; /* NULL: "counter" */
	bool copies;          /* read and write instead of lend and room */
	bool no_reset;
	bool busy;                            /* has the workload's thread */
	uint64_t fail_read_at, fail_write_at; /* the byte of the stream; 0: never */
	size_t most;                          /* bytes that one lend, read or room has; 0: no limit */
};

struct counter {
	struct counter_config config;
	struct vmig_model *model;
	struct vmig_device *dev;
	int id;

	/* What it is to do: fail the arc @fail_from to @fail_to, so often; to ERROR. */
	uint32_t fail_from, fail_to;
	int fail_times;
	bool fail_to_error;
	int reset_fault;
	bool stalls; /* under lock: loading waits until this is false */

	pthread_mutex_t lock;
	pthread_cond_t stalled;
	pthread_t thread;
	bool quit, running;
	uint64_t *memory;
	uint64_t done;  /* what the workload has done */
	uint8_t *dirty; /* one byte a page */
	size_t n_dirty, dirty_at;
	uint64_t out_at; /* of the first pass over the memory; then @size */
	uint64_t out_bytes, in_bytes;
	size_t loan_from, loan_to;
	bool out_end_made, in_end_seen;
	uint8_t stage[16 + COUNTER_PAGE];
	size_t stage_len, stage_at;
	uint8_t in[16 + COUNTER_PAGE];
	size_t in_have;
	int resets;
};

void counter_open(struct counter *counter, const struct counter_config *config);
/** Loading waits from now on; or goes on. */
void counter_stall(struct counter *counter, bool stalls);
void counter_close(struct counter *counter);
/** A few things done by the caller's hand. */
void counter_work(struct counter *counter, int times);
/** Nothing lost, nothing doubled. */
bool counter_is_whole(struct counter *counter);
uint64_t counter_done(struct counter *counter);
uint32_t counter_state(struct counter *counter);

struct counter_arc {
	int id;
	uint32_t from, to;
};
#define COUNTER_ARCS 512
extern struct counter_arc counter_arcs[COUNTER_ARCS];
extern int counter_n_arcs;

#endif
