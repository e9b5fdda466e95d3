/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One thread, one loop: signals (as a descriptor), the control socket, the ends of processes.
 *
 * The run lasts until the command has ended and all that it left behind: a VMM that became a daemon has the devices
 * still. What it leaves behind becomes our child, since we are its reaper.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harden.h"
#include "run-control.h"

static sigset_t signals_before;
static pid_t own_pid;

/* What is passed on. The stop signals of a terminal reach the command by themselves. */
static const int forwarded[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGCONT };

static void block_signals(sigset_t *ret)
{
	sigemptyset(ret);
	sigaddset(ret, SIGCHLD);
	for (size_t i = 0; i < TOOL_ARRAY_SIZE(forwarded); i++)
		sigaddset(ret, forwarded[i]);
	sigprocmask(SIG_BLOCK, ret, &signals_before);
}

void run_child_exec(struct run *run, int report_fd)
{
	int saved;

	signal(SIGPIPE, SIG_DFL);
	if (run->watch) {
		/* A group of its own, that can be ended as one; and what it says is not part of a report. */
		setpgid(0, 0);
		dup2(STDERR_FILENO, STDOUT_FILENO);
	}
	sigprocmask(SIG_SETMASK, &signals_before, NULL);
	/* Who kills the run ends the command: nobody else would. */
	prctl(PR_SET_PDEATHSIG, run->way->orphan_signal);
	if (getppid() != own_pid)
		_exit(1);
	execvp(run->command[0], run->command);
	saved = errno;
	if (write(report_fd, &saved, sizeof(saved)) != sizeof(saved))
		_exit(125);
	_exit(saved == ENOENT ? 127 : 126);
}

int run_child_report(struct run *run, int report_fd)
{
	int code = 0;
	ssize_t n;

	do
		n = read(report_fd, &code, sizeof(code));
	while (n < 0 && errno == EINTR);
	close(report_fd);
	if (n != sizeof(code))
		return 0;
	return tool_fail(code == ENOENT ? 127 : 126, "%s: cannot be run: %s", run->command[0],
			 strerror(code));
}

/* --- while it runs --------------------------------------------------------------------------- */

struct loop {
	struct run *run;
	struct run_control *control;
	int signal_fd;
	pid_t pid;                /* of the command; 0: it has ended */
	int status;               /* then: what it said */
	bool nothing;             /* no process is left to wait for */
	struct run_reader reader; /* of the one who looks on from within */
	uint64_t started_ns;
};

#define PATIENCE_NS 5000000000ull

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void reap(struct loop *loop)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != loop->pid)
			continue;
		loop->pid = 0;
		loop->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	}
	/* It may be true already, by a signal: then what is left runs on without us. */
	if (pid < 0 && errno == ECHILD)
		loop->nothing = true;
}

static void on_signal(struct loop *loop)
{
	struct signalfd_siginfo info;

	if (read(loop->signal_fd, &info, sizeof(info)) != sizeof(info) || info.ssi_signo == SIGCHLD)
		return;
	/* A key on the terminal has reached the command already, unless it is in a group of its own. */
	if (info.ssi_code == SI_KERNEL && info.ssi_signo != SIGHUP && !loop->run->watch)
		return;
	/* The command has ended, and a daemon is left that we know nothing of: end the run, not the daemon. */
	if (loop->pid)
		kill(loop->pid, (int)info.ssi_signo);
	else if (info.ssi_signo != SIGCONT)
		loop->nothing = true;
}

/* --- who looks on from within ---------------------------------------------------------------- */

#define WATCH_MS 5

/* What has come until now: a program may be faster than this, and there is more to look after. */
static void watch(struct loop *loop, bool last)
{
	struct run_watch *w = loop->run->watch;
	const struct run_ring *ring = &loop->run->shared->ring;
	uint64_t until = run_ring_count(ring);
	struct vmig_kabi_call call;

	if (!w)
		return;
	while (loop->reader.at < until && run_ring_get(ring, &loop->reader, last, &call) > 0)
		w->call(w->opaque, loop->reader.at - 1, &call);
	w->lost = loop->reader.lost + __atomic_load_n(&ring->dropped, __ATOMIC_RELAXED);
}

/* What it has left behind is ours, in whatever group it is. */
static void kill_children(void)
{
	char path[64];
	FILE *file;
	int pid;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	file = fopen(path, "re");
	while (file && fscanf(file, "%d", &pid) == 1)
		kill(pid, SIGKILL);
	if (file)
		fclose(file);
}

static void watch_time(struct loop *loop)
{
	struct run_watch *w = loop->run->watch;

	if (!w || !w->limit_ns || now_ns() - loop->started_ns < w->limit_ns)
		return;
	w->timed_out = true;
	if (loop->pid)
		kill(-loop->pid, SIGKILL);
	kill_children();
	/* What does not die, in the kernel perhaps, is not waited for. */
	if (now_ns() - loop->started_ns > w->limit_ns + PATIENCE_NS)
		loop->nothing = true;
}

static void look_round(struct loop *loop)
{
	struct pollfd fds[1 + RUN_CONTROL_FDS] = { { .fd = loop->signal_fd, .events = POLLIN } };
	int ms = -1, n;

	n = run_control_fds(loop->control, fds + 1, RUN_CONTROL_FDS, &ms);
	ms = loop->run->watch ? WATCH_MS : ms;
	if (poll(fds, (nfds_t)(1 + n), ms) < 0 && errno != EINTR)
		loop->nothing = true;
	if (fds[0].revents)
		on_signal(loop);
	run_control_step(loop->control, fds + 1, n);
	watch(loop, false);
	watch_time(loop);
}

static int start(struct loop *loop)
{
	struct run *run = loop->run;
	int r = run_control_new(run, &loop->control);

	if (r)
		return r;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	r = run->way->start(run, &loop->pid);
	if (r)
		run_control_free(loop->control, r);
	else
		run_control_started(loop->control, loop->pid);
	return r;
}

/* Once the command is there: none of this is its affair. What a supervisor opens is in its word, so files stay. */
static void give_up(void)
{
	harden_process(false);
	harden_calls(HARDEN_RUN);
}

int run_child(struct run *run)
{
	struct loop loop = { .run = run };
	sigset_t signals;
	int r;

	own_pid = getpid();
	block_signals(&signals);
	loop.signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (loop.signal_fd < 0)
		return tool_fail(VMIG_NOT_DONE, "signals cannot be waited for: %m");
	loop.started_ns = now_ns();
	r = start(&loop);
	if (!r && run->watch)
		run->watch->started = true;
	if (!r && !run->o->no_sandbox)
		give_up();
	if (!r) {
		for (reap(&loop); !loop.nothing; reap(&loop))
			look_round(&loop);
		run_control_free(loop.control, loop.status);
		r = loop.status;
	}
	if (run->way->finish)
		run->way->finish(run); /* closes what is open still: that is seen, too */
	watch(&loop, true);
	close(loop.signal_fd);
	return r;
}
