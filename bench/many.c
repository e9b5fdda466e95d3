/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * many: 64 devices of 1/64 of the state against one of all of it, between the same two processes over loopback TCP, with
 * pre-copy and digests. The rows
 *
 *	many-total     time of the migration of 64, against that of one
 *	many-down-1    downtime in ms beyond (bytes left at the switchover / the rate that pre-copy had), of one device,
 *	               without the time spent in the ownership record
 *	many-down-64   and of 64
 *	many-record-1  that time: what of the downtime was spent in the record, for one device, beside a bare write of 4 KiB
 *	               with fdatasync() in the same folder
 *	many-record-64 and for 64
 *	many-source, many-destination   peak of resident memory with 64, beyond the devices' own
 *
 * The record is an sqlite file in a folder of its own in $TMPDIR (/var/tmp without that: it has to be on a disk), which
 * both ends open. Each migration is one of devices that are new to it: all four writes are done each time.
 */
#include "bench.h"

#include <fcntl.h>
#include <models.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vmig/owner.h>

#define MANY      64u
#define DOWN_ONE  1.0  /* ms */
#define DOWN_MANY 10.0 /* ms */
#define BOUND_MIB 64.0
#define TIMES     (2u * BENCH_ROUNDS + 2)

struct side {
	struct vmig_device *one[1], *many[MANY];
	struct vmig_owner *owner;
};

struct times {
	double ms[TIMES];
	size_t n;
};

struct ask {
	uint32_t n;      /* devices; 0: end */
	uint32_t memory; /* 1: forget the peak; 2: tell it */
	char address[64];
};

struct told {
	uint64_t down_ns, owner_ns, left, rate, peak;
};

struct many {
	struct side side;
	int control;
	pid_t pid;
	char folder[256];                /* of the record */
	struct times down[2], record[2]; /* of one and of many: ms beyond, ms in the record */
};

static void open_side(struct side *side, const char *folder)
{
	char spec[64], url[300];

	snprintf(url, sizeof(url), "sqlite:%s/owner.db", folder);
	CHECK(vmig_owner_open(url, 0, &side->owner, NULL));
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
	vmig_owner_close(side->owner);
}

static struct vmig_device **devices_of(struct side *side, uint32_t n)
{
	return n == 1 ? side->one : side->many;
}

/* Nobody's again: the next migration is of devices that no record knows. */
static void forget_owner(struct side *side, uint32_t n)
{
	static const struct vmig_tag none;

	for (uint32_t i = 0; i < n; i++)
		CHECK(vmig_device_set_tag(devices_of(side, n)[i], &none));
}

/* --- the source's process --- */

static struct told migrate(struct side *side, const struct ask *ask)
{
	struct vmig_device **devices = devices_of(side, ask->n);
	struct vmig_migrate_options options = { .owner = side->owner, .me = "bench/source" };
	struct vmig_migrate_result r = { 0 };
	struct vmig_channel *channel;

	CHECK(vmig_channel_connect(ask->address, 10000, &channel, NULL));
	CHECK(vmig_migrate_source(devices, ask->n, channel, NULL, &options, &r));
	vmig_channel_close(channel);
	if (r.outcome != VMIG_DONE)
		die("the source: %s", r.reason);
	/* A source that has handed over stands still; here it has to run again for the next round. */
	for (uint32_t i = 0; i < ask->n; i++)
		CHECK(vmig_device_set_state(devices[i], VMIG_STATE_RUNNING, VMIG_STATE_NONE, NULL));
	forget_owner(side, ask->n);
	return (struct told){ .down_ns = r.downtime_ns,
			      .owner_ns = r.owner_ns,
			      .left = r.stage_bytes[VMIG_STAGE_SWITCHOVER],
			      .rate = r.stage_bytes[VMIG_STAGE_PRECOPY] * 1000000000u /
				      (r.stage_ns[VMIG_STAGE_PRECOPY] + 1) };
}

static void serve(int control, const char *folder)
{
	struct side side;
	struct ask ask;

	open_side(&side, folder);
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

static void keep(struct times *t, double ms)
{
	if (t->n < TIMES)
		t->ms[t->n++] = ms;
}

static void keep_times(struct many *m, int which, const struct told *told)
{
	double left_ns = (double)told->left * 1e9 / (double)(told->rate + 1);

	keep(&m->down[which], ((double)told->down_ns - (double)told->owner_ns - left_ns) / 1e6);
	keep(&m->record[which], (double)told->owner_ns / 1e6);
}

static double move(struct many *m, uint32_t n)
{
	struct vmig_migrate_options options = { .owner = m->side.owner, .me = "bench/destination" };
	struct vmig_migrate_result r = { 0 };
	struct vmig_listener *listener;
	struct vmig_channel *channel;
	struct ask ask = { .n = n };
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
	forget_owner(&m->side, n);
	keep_times(m, n > 1, &told);
	if (settings.verbose)
		printf("    %2u: %8.2f ms, down %6.3f ms, %6.3f of it in the record, for %8llu bytes left, "
		       "at %.2f GB/s\n",
		       n, (double)start / 1e6, (double)told.down_ns / 1e6, (double)told.owner_ns / 1e6,
		       (unsigned long long)told.left, (double)told.rate / 1e9);
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

static double middle(struct times *t)
{
	qsort(t->ms, t->n, sizeof(double), compare);
	return t->ms[t->n / 2];
}

/* What a disk asks for the least thing to be durable. */
static double bare_write(const struct many *m)
{
	static const char page[4096];
	struct times t = { 0 };
	char path[300];
	int fd;

	snprintf(path, sizeof(path), "%s/bare", m->folder);
	fd = CHECK_ERRNO(open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
	for (uint32_t i = 0; i <= TIMES; i++) {
		uint64_t start = now_ns();

		CHECK_ERRNO(pwrite(fd, page, sizeof(page), 0));
		CHECK_ERRNO(fdatasync(fd));
		if (i) /* the first one makes the file longer */
			keep(&t, (double)(now_ns() - start) / 1e6);
	}
	close(fd);
	return middle(&t);
}

static void note_times(struct many *m)
{
	double bare = bare_write(m);

	note_bound("many-down-1", "ms", middle(&m->down[0]), DOWN_ONE);
	note_bound("many-down-64", "ms", middle(&m->down[1]), DOWN_MANY);
	note_beside("many-record-1", "ms", middle(&m->record[0]), bare);
	note_beside("many-record-64", "ms", middle(&m->record[1]), bare);
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

static void make_folder(struct many *m)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(m->folder, sizeof(m->folder), "%.200s/vmig-bench.XXXXXX", tmp ? tmp : "/var/tmp");
	if (!mkdtemp(m->folder))
		die("%s: %m", m->folder);
}

static void remove_folder(const struct many *m)
{
	static const char *const names[] = { "owner.db", "owner.db-wal", "owner.db-shm", "bare" };
	char path[300];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", m->folder, names[i]);
		unlink(path);
	}
	rmdir(m->folder);
}

static void begin(struct many *m)
{
	int control[2];

	make_folder(m);
	CHECK_ERRNO(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control));
	m->pid = CHECK_ERRNO(fork());
	if (!m->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(control[0]);
		serve(control[1], m->folder);
		_exit(0);
	}
	close(control[1]);
	m->control = control[0];
	open_side(&m->side, m->folder);
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
	note_times(&m);
	note_memory(&m);
	close_side(&m.side);
	close(m.control);
	CHECK_ERRNO(waitpid(m.pid, NULL, 0));
	remove_folder(&m);
}
