/* SPDX-License-Identifier: BSD-3-Clause */
/* data_fd as a descriptor: one for the saving group, one way, what closing it and closing the device do. */
#include "kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- the saving group ----------------------------------------------------------------------------------- */

static void no_new_fd(struct check_context *c, uint32_t to)
{
	int fd, r = kernel_set(c, to, CHECK_WANT_SUCCESS, &fd);

	check_did(c, "SET %s in a session that began in PRE_COPY", check_state_name(to));
	if (r)
		check_fail(c, "it succeeds", "%s", strerror(-r));
	if (fd != -1)
		check_fail(c, "data_fd is -1: the session goes on", "it is %d", fd);
}

void check_kernel_group(struct check_context *c)
{
	struct check_bytes bytes = { 0 };
	int fd = kernel_bring(c, VMIG_STATE_PRE_COPY);

	if (check_has_state(c, VMIG_STATE_PRE_COPY_P2P)) {
		no_new_fd(c, VMIG_STATE_PRE_COPY_P2P);
		no_new_fd(c, VMIG_STATE_PRE_COPY);
	}
	no_new_fd(c, VMIG_STATE_STOP_COPY);
	check_did(c, "read data_fd of PRE_COPY to the end in STOP_COPY");
	if (kernel_drain(c, fd, &bytes))
		check_fail(c, "0 from read() at the end", "ENOMSG, in STOP_COPY");
	if (!bytes.len)
		check_fail(c, "the device's state", "a stream of no bytes");
	kernel_close(c, fd);
	free(bytes.data);
}

/* --- one way, from the beginning to the end ------------------------------------------------------------- */

void check_kernel_one_way(struct check_context *c)
{
	uint8_t buf[64] = { 0 };
	int saving = kernel_bring(c, VMIG_STATE_STOP_COPY), loading;
	ssize_t put, got = kernel_read(c, saving, buf, sizeof(buf));

	check_did(c, "read and wrote data_fd of STOP_COPY, and read that of RESUMING");
	if (got <= 0)
		check_fail(c, "data from read() in STOP_COPY", "%s", got ? strerror((int)-got) : "0");
	put = kernel_write(c, saving, buf, sizeof(buf));
	kernel_close(c, saving);
	loading = kernel_bring(c, VMIG_STATE_RESUMING);
	got = kernel_read(c, loading, buf, sizeof(buf));
	kernel_close(c, loading);
	kernel_reset(c);
	if (put >= 0)
		check_observe(c, "an error from write() in STOP_COPY", "%zd", put);
	if (got >= 0)
		check_observe(c, "an error from read() in RESUMING", "%zd", got);
}

void check_kernel_seek(struct check_context *c)
{
	static const uint32_t states[] = { VMIG_STATE_STOP_COPY, VMIG_STATE_RESUMING };
	const struct check_calls *calls = c->kernel.calls;

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		int fd = kernel_bring(c, states[i]);

		check_did(c, "lseek() of data_fd in %s", check_state_name(states[i]));
		if (calls->lseek(calls->opaque, fd, 0, SEEK_SET) >= 0)
			check_observe(c, "ESPIPE: a stream has no places", "it succeeds");
		if (errno != ESPIPE)
			check_observe(c, "ESPIPE: a stream has no places", "%s", strerror(errno));
		kernel_close(c, fd);
	}
	kernel_reset(c);
}

/* --- closing -------------------------------------------------------------------------------------------- */

/* In a process that was born with it. Only the system has those. */
static void close_inherited(struct check_context *c, int fd)
{
	const struct check_calls *calls = c->kernel.calls;
	int status;
	pid_t pid;

	if (calls != &check_calls_system)
		return;
	pid = fork();
	if (!pid)
		_exit(calls->close(calls->opaque, fd) ? 1 : 0);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		check_end(c, CHECK_ERROR, "a process of its own closes the descriptor", "it does not");
}

static void still_reads(struct check_context *c, int fd)
{
	uint8_t buf[16];
	ssize_t got = kernel_read(c, fd, buf, sizeof(buf));

	if (got <= 0)
		check_fail(c, "the session goes on", "%s from read()", got ? strerror((int)-got) : "0");
}

static void closed_in(struct check_context *c, uint32_t state)
{
	const struct check_calls *calls = c->kernel.calls;
	int fd = kernel_bring(c, state), other;

	check_did(c, "closed a data_fd of %s that is open once more", check_state_name(state));
	other = calls->dup(calls->opaque, fd);
	if (other < 0)
		check_end(c, CHECK_ERROR, "the descriptor can be duplicated", "%s", strerror(errno));
	close_inherited(c, fd);
	kernel_close(c, fd);
	if (state != VMIG_STATE_RESUMING)
		still_reads(c, other);
	check_did(c, "closed data_fd in %s", check_state_name(state));
	kernel_close(c, other);
	kernel_in_state(c, state);
}

void check_kernel_closing(struct check_context *c)
{
	static const uint32_t states[] = { VMIG_STATE_STOP_COPY, VMIG_STATE_PRE_COPY, VMIG_STATE_RESUMING };

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (check_has_state(c, states[i]))
			closed_in(c, states[i]);
	kernel_reset(c);
}

/* What the text leaves open: a session whose device nobody has open any more. */
void check_kernel_fd_outlives(struct check_context *c)
{
	char why[CHECK_TEXT_MAX] = "";
	uint8_t buf[64];
	ssize_t got, then;
	int fd = kernel_bring(c, VMIG_STATE_STOP_COPY);

	check_did(c, "read data_fd of STOP_COPY when the device was closed, and when it was open again");
	check_kernel_close(&c->kernel);
	got = kernel_read(c, fd, buf, sizeof(buf));
	if (c->target->open_kernel(c->target->opaque, false, &c->kernel, why, sizeof(why)))
		check_fail(c, "the device can be opened again", "%s", why);
	then = kernel_read(c, fd, buf, sizeof(buf));
	kernel_close(c, fd);
	if (got >= 0 || then >= 0)
		check_observe(c, "an error: the device has no user any more", "%zd, and then %zd", got, then);
}
