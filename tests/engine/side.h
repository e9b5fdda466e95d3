/* SPDX-License-Identifier: BSD-3-Clause */
/** side - one end of a migration in a test: its devices, a user that counts its calls, options, the result. */
#ifndef VMIG_TESTS_ENGINE_SIDE_H
#define VMIG_TESTS_ENGINE_SIDE_H

#include <pthread.h>

#include <vmig/migrate.h>

#include "counter.h"

#define SIDE_DEVICES 5

struct side {
	bool source;
	struct vmig_device *devices[SIDE_DEVICES];
	uint32_t n;
	struct vmig_channel *channel;
	struct vmig_migrate_user user;
	struct vmig_migrate_options options;
	struct vmig_migrate_result result;
	int r;
	int quiesced, resumed, started, saved, loaded;
	int user_fault;     /* what save_record or load_record returns */
	size_t record_size; /* of each device's record; the bytes follow from the index */
	bool records_right;
	pthread_t thread;
};

void side_init(struct side *side, bool source, struct counter *counters, uint32_t n,
	       struct vmig_channel *channel);
/** To the end; closes the channel. */
void side_run(struct side *side);
/** Both at once, one in a thread. */
void side_run_both(struct side *a, struct side *b);

/** Two connected channels, over a UNIX socket. */
void side_pair(struct vmig_channel **a, struct vmig_channel **b);

void side_open(struct counter *counters, int n, const struct counter_config *config);
void side_close(struct counter *counters, int n);
/** Every device is RUNNING and its workload is whole. */
void side_check_running(struct counter *counters, int n);

#endif
