/* SPDX-License-Identifier: BSD-3-Clause */
/* Both ends in one process: each in a thread of its own, with a socket pair between them. */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "side.h"

struct end {
	struct tool_side side;
	struct vmig_channel *channel;
};

static void *run_destination(void *opaque)
{
	struct end *end = opaque;

	tool_side_run(&end->side, end->channel);
	vmig_channel_shutdown(end->channel); /* what was sent can still be read */
	return NULL;
}

static int connect_ends(struct end *from, struct end *to)
{
	int fds[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return tool_fail(VMIG_NOT_DONE, "no socket pair: %s", strerror(errno));
	r = vmig_channel_socket(fds[0], &from->channel);
	if (r)
		close(fds[0]);
	if (!r)
		r = vmig_channel_socket(fds[1], &to->channel);
	else
		close(fds[1]);
	return r ? tool_fail(VMIG_NOT_DONE, "no channel: %s", strerror(-r)) : 0;
}

static int move(struct end *from, struct end *to)
{
	pthread_t thread;
	int r;

	r = pthread_create(&thread, NULL, run_destination, to);
	if (r)
		return tool_fail(VMIG_NOT_DONE, "no thread: %s", strerror(r));
	tool_side_run(&from->side, from->channel);
	/* Whatever has become of one end, the other must not wait for it. */
	vmig_channel_shutdown(from->channel);
	pthread_join(thread, NULL);
	return 0;
}

static int run(const struct tool_options *o)
{
	struct end from = { 0 }, to = { 0 };
	int n = o->n_before_to, r;

	if (n < 1 || o->n_words - n != n)
		return tool_fail(
			VMIG_BAD_INPUT,
			"as many devices have to stand after --to as before it: 'vmig migrate A B --to C D'");
	r = tool_side_open(&from.side, true, o->words, n, o);
	if (!r)
		r = tool_side_open(&to.side, false, o->words + n, n, o);
	to.side.report.leads = false;
	if (!r)
		r = connect_ends(&from, &to);
	if (!r)
		r = tool_side_warm_up(&from.side);
	if (!r)
		r = move(&from, &to);
	if (!r)
		r = tool_side_finish(&from.side, &to.side);
	tool_side_done(&from.side, &to.side);
	vmig_channel_close(from.channel);
	vmig_channel_close(to.channel);
	return r;
}

const struct tool_verb tool_migrate = {
	.name = "migrate",
	.words = "DEVICE... --to DEVICE...",
	.about = "move devices to others on this machine",
	.more = "The first goes to the first, and so on; they move as one unit: all of them, or none.",
	.example = "vmig migrate vfio-user:/run/a.sock --to vfio-user:/run/b.sock --workload",
	.options = TOOL_OPT_RUN | TOOL_OPT_OWNER | TOOL_OPT_SOURCE | TOOL_OPT_TO,
	.min_words = 2,
	.run = run,
};
