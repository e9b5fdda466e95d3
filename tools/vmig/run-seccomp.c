/* SPDX-License-Identifier: BSD-3-Clause */
/* The way in by seccomp user notification: the devices live here, and the kernel asks for each call of the command. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "run-core.h"
#include "run-program.h"
#include "run.h"

static struct run_core *core;
static struct vmig_supervise *supervise;

static const char *why_not(int r)
{
	switch (r) {
	case -EOPNOTSUPP:
		return "this kernel has no seccomp user notification that can give descriptors (Linux 5.9)";
	case -EBUSY:
		return "this process is supervised by another already: the kernel allows one listener";
	case -EMFILE:
		return "the hard limit of open files (ulimit -Hn) is below 8192";
	case -EPERM:
		return "this process may not look at another one's memory or descriptors: a sandbox, or "
		       "Yama, forbids it";
	default:
		return strerror(-r);
	}
}

static bool check(const struct run *run, char why[RUN_WHY_MAX])
{
	const char *reason = NULL;
	int r;

	if (run->program && run_program_kind(run->program) == RUN_PROGRAM_FOREIGN)
		reason = "the program is for another machine, or of another word size";
	else if ((r = vmig_supervise_check()))
		reason = why_not(r);
	snprintf(why, RUN_WHY_MAX, "%s", reason ? reason : "");
	return !reason;
}

/* In the child. The first descriptor of ours has the first number, and so on: see vmig_supervise_enter(). */
static int open_passed(const struct run *run)
{
	for (uint32_t i = 0; i < run->shared->n_passed; i++) {
		const struct run_passed *passed = &run->shared->passed[i];
		int fd = open(passed->path, O_RDWR);

		if (fd != passed->fd)
			return fd < 0 ? -errno : -EBUSY;
	}
	return 0;
}

__attribute__((noreturn)) static void child(struct run *run, int socket_fd, int report_fd)
{
	int r = vmig_supervise_enter(socket_fd);

	r = r ? r : open_passed(run);
	if (!r)
		run_child_exec(run, report_fd);
	r = -r;
	if (write(report_fd, &r, sizeof(r)) != sizeof(r))
		_exit(125);
	_exit(126);
}

/* Until the child has entered, or has said why it has not. Closes both. */
static int attend(struct run *run, int socket_fd, int report_fd)
{
	int r = vmig_supervise_new(run_core_kabi(core), socket_fd, &supervise), said;

	/* With what may be left in it: a listener that nobody listens to would keep the child waiting. */
	close(socket_fd);
	if (!r)
		return run_child_report(run, report_fd);
	said = run_child_report(run, report_fd);
	return said ? said : tool_fail(VMIG_NOT_DONE, "the command cannot be supervised: %s", why_not(r));
}

static int start_child(struct run *run, pid_t *ret_pid)
{
	int pair[2], report[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return tool_fail(VMIG_NOT_DONE, "no socket: %m");
	if (pipe2(report, O_CLOEXEC)) {
		close(pair[0]);
		close(pair[1]);
		return tool_fail(VMIG_NOT_DONE, "no pipe: %m");
	}
	*ret_pid = fork();
	if (*ret_pid == 0)
		child(run, pair[1], report[1]);
	close(pair[1]);
	close(report[1]);
	if (*ret_pid > 0) {
		r = attend(run, pair[0], report[0]);
	} else {
		r = tool_fail(VMIG_NOT_DONE, "no process: %m");
		close(report[0]);
		close(pair[0]);
	}
	return r;
}

/* What it maps is refused otherwise, in words; but better that it is known before. */
static void say_needs(const struct run *run)
{
	for (uint32_t i = 0; i < run->shared->n_devices && !tool_say_quiet(); i++)
		if (!(run_core_dma_kinds(core, i) & (VMIG_DMA_KIND_FD | VMIG_DMA_KIND_MESSAGE)))
			fprintf(stderr,
				"vmig run: %s cannot reach the command's own memory: its memory has to be "
				"shared; for "
				"QEMU: -object memory-backend-memfd,id=m,size=... -machine "
				"memory-backend=m\n",
				run->shared->devices[i].spec);
}

static int start(struct run *run, pid_t *ret_pid)
{
	int r = run_core_open(run->shared, true, &core);

	if (!r)
		say_needs(run);
	return r ? r : start_child(run, ret_pid);
}

static void finish(struct run *run)
{
	vmig_supervise_free(supervise);
	run_core_close(core);
}

const struct run_way run_way_seccomp = {
	.name = "seccomp",
	.about = "the kernel stops the command at the calls that matter: for any program",
	.first_fd = VMIG_SUPERVISE_FD,
	.orphan_signal = SIGKILL, /* without us it could not even open a file */
	.check = check,
	.start = start,
	.finish = finish,
};
