/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver with real devices, over real sockets and files. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vmig/migrate.h>

#include "harness.h"
#include "counter.h"

#define MOST 5

struct side {
	bool source;
	struct vmig_device *devices[MOST];
	uint32_t n;
	struct vmig_channel *channel;
	struct vmig_migrate_user user;
	struct vmig_migrate_options options;
	struct vmig_migrate_result result;
	int r;
	int quiesced, resumed, started, saved, loaded;
	pthread_t thread;
};

static int quiesce(void *opaque)
{
	((struct side *)opaque)->quiesced++;
	return 0;
}

static void resume(void *opaque)
{
	((struct side *)opaque)->resumed++;
}

static void start(void *opaque)
{
	((struct side *)opaque)->started++;
}

static void *run(void *opaque)
{
	struct side *side = opaque;

	side->r = (side->source ? vmig_migrate_source : vmig_migrate_destination)(
		side->devices, side->n, side->channel, &side->user, &side->options, &side->result);
	vmig_channel_close(side->channel);
	return NULL;
}

static void prepare(struct side *side, bool source, struct counter *counters, uint32_t n,
		    struct vmig_channel *channel)
{
	memset(side, 0, sizeof(*side));
	side->source = source;
	side->n = n;
	for (uint32_t i = 0; i < n; i++)
		side->devices[i] = counters[i].dev;
	side->channel = channel;
	side->user = (struct vmig_migrate_user){
		.quiesce = quiesce, .resume = resume, .start = start, .opaque = side
	};
}

static void pair(struct vmig_channel **a, struct vmig_channel **b)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_int_eq(vmig_channel_socket(fds[0], a), 0);
	ck_assert_int_eq(vmig_channel_socket(fds[1], b), 0);
}

static void run_both(struct side *a, struct side *b)
{
	ck_assert_int_eq(pthread_create(&b->thread, NULL, run, b), 0);
	run(a);
	pthread_join(b->thread, NULL);
}

static void open_all(struct counter *counters, int n, const struct counter_config *config)
{
	for (int i = 0; i < n; i++)
		counter_open(&counters[i], config);
}

static void close_all(struct counter *counters, int n)
{
	for (int i = 0; i < n; i++)
		counter_close(&counters[i]);
}

static void migrate_busy(int n, const struct counter_config *config)
{
	struct vmig_channel *a, *b;
	struct counter from[MOST], to[MOST];
	struct counter_config idle = *config;
	struct side source, destination;

	idle.busy = false;
	open_all(from, n, config);
	open_all(to, n, &idle);
	for (int i = 0; i < n; i++)
		counter_work(&from[i], 1000);
	pair(&a, &b);
	prepare(&source, true, from, (uint32_t)n, a);
	prepare(&destination, false, to, (uint32_t)n, b);
	run_both(&source, &destination);
	ck_assert_msg(source.r == VMIG_DONE, "%s", source.result.reason);
	ck_assert_msg(destination.r == VMIG_DONE, "%s", destination.result.reason);
	ck_assert_int_eq(source.quiesced, 1);
	ck_assert_int_eq(source.resumed, 0);
	ck_assert_int_eq(destination.started, 1);
	for (int i = 0; i < n; i++) {
		ck_assert_uint_eq(counter_state(&from[i]), VMIG_STATE_STOP);
		ck_assert_uint_eq(counter_state(&to[i]), VMIG_STATE_RUNNING);
		ck_assert(to[i].done >= 1000 && to[i].done == from[i].done);
		ck_assert(counter_is_whole(&to[i]));
	}
	close_all(from, n);
	close_all(to, n);
}

TEST(a_busy_device_moves)
{
	migrate_busy(1, &(struct counter_config){ .size = 16 << 20, .busy = true });
}

TEST(a_device_that_copies_moves)
{
	migrate_busy(1, &(struct counter_config){ .size = 4 << 20, .busy = true, .copies = true });
}

TEST(five_devices_move)
{
	migrate_busy(5, &(struct counter_config){ .size = 2 << 20, .busy = true });
}

TEST(a_stop_copy_only_device_moves)
{
	migrate_busy(2, &(struct counter_config){ .flags = VMIG_MIGRATION_STOP_COPY, .busy = true });
}

HARNESS("driver", T(a_busy_device_moves), T(a_device_that_copies_moves), T(five_devices_move),
	T(a_stop_copy_only_device_moves))
