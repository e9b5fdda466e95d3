/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * many: 64 devices of 1/64 of the state against one of all of it, between the same two processes over loopback TCP, with
 * pre-copy and digests. The rows
 *
 *	many-total     time of the migration of 64, against that of one
 *	many-down-1    downtime in ms beyond (bytes left at the switchover / the rate that pre-copy had), of one device
 *	many-down-64   and of 64
 *	many-source, many-destination   peak of resident memory with 64, beyond the devices' own
 *
 * No ownership record is asked: its time is its own (the line "record" of the command).
 */
#include "bench.h"

#include <models.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MANY      64u
#define DOWN_ONE  1.0  /* ms */
#define DOWN_MANY 10.0 /* ms */
#define BOUND_MIB 64.0

struct side {
	struct vmig_device *one[1], *many[MANY];
};

struct ask {
	uint32_t n;      /* devices; 0: end */
	uint32_t memory; /* 1: forget the peak; 2: tell it */
	char address[64];
};

struct told {
	uint64_t total_ns, down_ns, left, rate, peak;
};

struct many {
	struct side side;
	int control;
	pid_t pid;
	double down[2][2 * BENCH_ROUNDS + 2]; /* of one and of many, ms beyond */
	int n_down[2];
};

static void open_side(struct side *side)
{
	char spec[64];

	snprintf(spec, sizeof(spec), "nic,records=1,state=%llu", (unsigned long long)settings.state);
	CHECK(models_open(spec, &side->one[0], NULL));
	snprintf(spec, sizeof(spec), "nic,records=1,state=%llu", (unsigned long long)settings.state / MANY);
	for (unsigned int i = 0; i < MANY; i++)
		CHECK(models_open(spec, &side->many[i], NULL));
}

static void close_side(struct side *side)
{
	vmig_device_close(side->one[0]);
	for (unsigned int i = 0; i < MANY; i++)
		vmig_device_close(side->many[i]);
}

static struct vmig_device **devices_of(struct side *side, uint32_t n)
{
	return n == 1 ? side->one : side->many;
}

/* --- the source's process --- */

static struct told migrate(struct side *side, const struct ask *ask)
{
	struct vmig_device **devices = devices_of(side, ask->n);
	struct vmig_migrate_options options = { 0 };
	struct vmig_migrate_result r = { 0 };
	struct vmig_channel *channel;
	struct told told;

	CHECK(vmig_channel_connect(ask->address, 10000, &channel, NULL));
	CHECK(vmig_migrate_source(devices, ask->n, channel, NULL, &options, &r));
	vmig_channel_close(channel);
	if (r.outcome != VMIG_DONE)
		die("the source: %s", r.reason);
	/* A source that has handed over stands still; here it has to run again for the next round. */
	for (uint32_t i = 0; i < ask->n; i++)
		CHECK(vmig_device_set_state(devices[i], VMIG_STATE_RUNNING, VMIG_STATE_NONE, NULL));
	told = (struct told){ .total_ns = r.total_ns,
			      .down_ns = r.downtime_ns,
			      .left = r.stage_bytes[VMIG_STAGE_SWITCHOVER],
			      .rate = r.stage_bytes[VMIG_STAGE_PRECOPY] * 1000000000u /
				      (r.stage_ns[VMIG_STAGE_PRECOPY] + 1) };
	return told;
}

static void serve(int control)
{
	struct side side;
	struct ask ask;

	open_side(&side);
	while (read(control, &ask, sizeof(ask)) == sizeof(ask) && ask.n) {
		struct told told = { 0 };

		if (ask.memory == 1)
			forget_peak();
		else if (ask.memory == 2)
			told.peak = peak_rss();
		else
			told = migrate(&side, &ask);
		CHECK_ERRNO(write(control, &told, sizeof(told)));
	}
	close_side(&side);
}

/* --- the destination's --- */

static struct told answer(const struct many *m)
{
	struct told told;

	if (read(m->control, &told, sizeof(told)) != sizeof(told))
		die("the source is gone");
	return told;
}

static struct told ask_memory(const struct many *m, uint32_t what)
{
	const struct ask ask = { .n = 1, .memory = what };

	CHECK_ERRNO(write(m->control, &ask, sizeof(ask)));
	return answer(m);
}

static double move(struct many *m, uint32_t n)
{
	struct vmig_migrate_options options = { 0 };
	struct vmig_migrate_result r = { 0 };
	struct vmig_listener *listener;
	struct vmig_channel *channel;
	struct ask ask = { .n = n };
	int which = n > 1;
	struct told told;
	uint64_t start;

	CHECK(vmig_listener_new("tcp:127.0.0.1:0", &listener, NULL));
	snprintf(ask.address, sizeof(ask.address), "%s", vmig_listener_address(listener));
	start = now_ns();
	CHECK_ERRNO(write(m->control, &ask, sizeof(ask)));
	CHECK(vmig_listener_accept(listener, 10000, &channel));
	CHECK(vmig_migrate_destination(devices_of(&m->side, n), n, channel, NULL, &options, &r));
	start = now_ns() - start;
	if (r.outcome != VMIG_DONE)
		die("the destination: %s", r.reason);
	told = answer(m);
	vmig_channel_close(channel);
	vmig_listener_free(listener);
	if (m->n_down[which] < 2 * BENCH_ROUNDS + 2)
		m->down[which][m->n_down[which]++] =
			((double)told.down_ns - (double)told.left * 1e9 / (double)(told.rate + 1)) / 1e6;
	if (settings.verbose)
		printf("    %2u: %8.2f ms, down %6.3f ms for %8llu bytes left, at %.2f GB/s\n", n,
		       (double)start / 1e6, (double)told.down_ns / 1e6, (unsigned long long)told.left,
		       (double)told.rate / 1e9);
	return (double)start / 1e6;
}

static double one(void *group)
{
	return move(group, 1);
}

static double many(void *group)
{
	return move(group, MANY);
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void note_down(struct many *m, int which, const char *name, double bound)
{
	qsort(m->down[which], (size_t)m->n_down[which], sizeof(double), compare);
	note_bound(name, "ms", m->down[which][m->n_down[which] / 2], bound);
}

static void note_memory(struct many *m)
{
	uint64_t before = peak_rss(), there;

	ask_memory(m, 1);
	there = ask_memory(m, 2).peak;
	forget_peak();
	before = peak_rss();
	move(m, MANY);
	note_bound("many-source", "MiB", (double)(int64_t)(ask_memory(m, 2).peak - there) / (double)MIB,
		   BOUND_MIB);
	note_bound("many-destination", "MiB", (double)(int64_t)(peak_rss() - before) / (double)MIB,
		   BOUND_MIB);
}

static void begin(struct many *m)
{
	int control[2];

	CHECK_ERRNO(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control));
	m->pid = CHECK_ERRNO(fork());
	if (!m->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(control[0]);
		serve(control[1]);
		_exit(0);
	}
	close(control[1]);
	m->control = control[0];
	open_side(&m->side);
}

void bench_many(void)
{
	static const struct row row = {
		"many-total", "ms", true, 1.15, one, many, "one device of all of it"
	};
	struct many m = { 0 };

	if (!wanted("many"))
		return;
	begin(&m);
	measure(&row, &m);
	note_down(&m, 0, "many-down-1", DOWN_ONE);
	note_down(&m, 1, "many-down-64", DOWN_MANY);
	note_memory(&m);
	close_side(&m.side);
	close(m.control);
	CHECK_ERRNO(waitpid(m.pid, NULL, 0));
}
