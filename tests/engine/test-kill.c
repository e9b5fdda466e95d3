/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One end is killed, by SIGKILL, at its n-th event, for every n until it comes to its end first. Whatever the moment:
 * the other end is where it should be, and never do both run.
 */
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "side.h"

#define N           2
#define MOST_EVENTS 200

struct doom {
	int left;
};

static void die_at(const struct vmig_migrate_event *event, void *opaque)
{
	struct doom *doom = opaque;

	(void)event;
	if (!doom->left--)
		raise(SIGKILL);
}

static void start_and_tell(void *opaque)
{
	*(bool *)opaque = true;
}

/* The child: @source or not, dies at event @n. *@runs: its devices' user was told to start (destination). */
static pid_t doomed(bool source, int n, int fd, bool *runs)
{
	pid_t pid = fork();
	struct counter_config config = { .size = 1 << 20 };
	struct counter counters[N];
	struct vmig_channel *channel;
	struct doom doom = { n };
	struct side side;

	if (pid)
		return pid;
	side_open(counters, N, &config);
	if (vmig_channel_socket(fd, &channel))
		_exit(99);
	side_init(&side, source, counters, N, channel);
	side.options.event = die_at;
	side.options.opaque = &doom;
	if (!source)
		side.user = (struct vmig_migrate_user){ .start = start_and_tell, .opaque = runs };
	side_run(&side);
	_exit(side.r);
}

static void check_source(struct counter *from, const struct side *side, bool there)
{
	switch (side->r) {
	case VMIG_NOT_DONE:
		ck_assert(!there);
		ck_assert_int_eq(side->resumed, side->quiesced);
		side_check_running(from, N);
		break;
	case VMIG_IN_DOUBT:
	case VMIG_DONE:
		for (int i = 0; i < N; i++)
			ck_assert_uint_eq(counter_state(&from[i]),
					  side->r == VMIG_DONE ? VMIG_STATE_STOP : VMIG_STATE_STOP_COPY);
		break;
	default:
		ck_abort_msg("outcome %d: %s", side->r, side->result.reason);
	}
}

static void check_destination(struct counter *to, const struct side *side)
{
	side_check_running(to, N);
	for (int i = 0; i < N && side->r != VMIG_DONE; i++)
		ck_assert_uint_eq(counter_done(&to[i]), 0);
	ck_assert_int_eq(side->started, side->r == VMIG_DONE);
	ck_assert(side->r == VMIG_DONE || side->r == VMIG_NOT_DONE);
}

/* False when the child has come to its end alive. */
static bool kill_at(bool source_dies, int n)
{
	struct counter_config config = { .size = 1 << 20, .busy = !source_dies };
	bool *there = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct vmig_channel *channel;
	struct counter counters[N];
	struct side side;
	int fds[2], status;
	pid_t pid;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	pid = doomed(source_dies, n, fds[1], there);
	close(fds[1]);
	side_open(counters, N, &config);
	for (int i = 0; i < N && !source_dies; i++)
		counter_work(&counters[i], 100);
	ck_assert_int_eq(vmig_channel_socket(fds[0], &channel), 0);
	side_init(&side, !source_dies, counters, N, channel);
	side_run(&side);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	if (source_dies)
		check_destination(counters, &side);
	else
		check_source(counters, &side, *there);
	side_close(counters, N);
	munmap(there, 4096);
	ck_assert(WIFSIGNALED(status) || WEXITSTATUS(status) == VMIG_DONE);
	return WIFSIGNALED(status);
}

static void kill_everywhere(bool source_dies)
{
	int n = 0;

	while (n < MOST_EVENTS && kill_at(source_dies, n))
		n++;
	ck_assert_int_ge(n, 10);
	ck_assert_int_lt(n, MOST_EVENTS);
}

TEST(a_killed_destination_leaves_the_source_running)
{
	kill_everywhere(false);
}

TEST(a_killed_source_leaves_the_destination_reset)
{
	kill_everywhere(true);
}

HARNESS("kill", T_SLOW(a_killed_destination_leaves_the_source_running, 60),
	T_SLOW(a_killed_source_leaves_the_destination_reset, 60))
