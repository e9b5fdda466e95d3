/* SPDX-License-Identifier: BSD-3-Clause */
/* The way in by LD_PRELOAD: the devices live within the program, in tools/preload's library. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run-program.h"
#include "run.h"

#define LIBRARY "libvmig-preload.so"

/* Beside the command in its build folder, or where it is installed. Empty: it is nowhere. */
static void find_library(char ret[PATH_MAX])
{
	char here[PATH_MAX - 64], *slash;
	ssize_t n = readlink("/proc/self/exe", here, sizeof(here) - 1);

	here[n > 0 ? n : 0] = 0;
	slash = strrchr(here, '/');
	if (slash) {
		*slash = 0;
		snprintf(ret, PATH_MAX, "%s/../preload/" LIBRARY, here);
		if (!access(ret, R_OK))
			return;
	}
	snprintf(ret, PATH_MAX, "%s", VMIG_PRELOAD_DIR "/" LIBRARY);
	if (access(ret, R_OK))
		ret[0] = 0;
}

static bool check(const struct run *run, char why[RUN_WHY_MAX])
{
	char library[PATH_MAX];
	const char *reason = NULL;

	find_library(library);
	if (!library[0])
		reason = "its library " LIBRARY " is not installed";
	else if (strpbrk(library, " :"))
		reason = "the path of its library has a space or a colon in it";
	switch (run->program ? run_program_kind(run->program) : RUN_PROGRAM_OTHER) {
	case RUN_PROGRAM_STATIC:
		reason = "the program is linked statically";
		break;
	case RUN_PROGRAM_FOREIGN:
		reason = "the program is for another machine, or of another word size";
		break;
	case RUN_PROGRAM_PRIVILEGED:
		reason = "the program changes its user or group, and so takes no library";
		break;
	default:
		break;
	}
	snprintf(why, RUN_WHY_MAX, "%s", reason ? reason : "");
	return !reason;
}

static int set_environment(const struct run *run)
{
	const char *before = getenv("LD_PRELOAD");
	char library[PATH_MAX], all[2 * PATH_MAX];

	find_library(library);
	snprintf(all, sizeof(all), "%s%s%s", library, before && *before ? ":" : "", before ? before : "");
	if (run->shared->n_passed && setenv(RUN_ENV_PASSED, "1", 1))
		return -1;
	return setenv("LD_PRELOAD", all, 1) || setenv(RUN_ENV, run->shared_path, 1) ? -1 : 0;
}

/* The library knows them by their inode. Not close-on-exec: that is what they are for. */
static int make_place_holder(struct run_passed *passed)
{
	int fd = memfd_create(passed->path, 0), r;
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return -1;
	passed->dev = st.st_dev;
	passed->ino = st.st_ino;
	if (fd == passed->fd)
		return 0;
	r = fcntl(passed->fd, F_GETFD) < 0 ? dup2(fd, passed->fd) : -1;
	close(fd);
	return r < 0 ? -1 : 0;
}

static int make_place_holders(struct run *run)
{
	for (uint32_t i = 0; i < run->shared->n_passed; i++)
		if (make_place_holder(&run->shared->passed[i]))
			return tool_fail(VMIG_NOT_DONE, "descriptor %d cannot be had for %s: %s",
					 run->shared->passed[i].fd, run->shared->passed[i].path,
					 strerror(errno ? errno : EBUSY));
	return 0;
}

static int start(struct run *run, pid_t *ret_pid)
{
	int report[2], r = make_place_holders(run);
	pid_t pid;

	if (r)
		return r;
	if (pipe2(report, O_CLOEXEC))
		return tool_fail(VMIG_NOT_DONE, "no pipe: %m");
	pid = fork();
	if (pid == 0) {
		if (set_environment(run))
			_exit(125);
		run_child_exec(run, report[1]);
	}
	close(report[1]);
	if (pid < 0) {
		close(report[0]);
		return tool_fail(VMIG_NOT_DONE, "no process: %m");
	}
	*ret_pid = pid;
	return run_child_report(run, report[0]);
}

static void finish(struct run *run)
{
	/* The program could write there. */
	for (uint32_t i = 0; i < run->shared->n_passed && i < RUN_PASSED_MAX; i++)
		close(run->shared->passed[i].fd);
}

const struct run_way run_way_preload = {
	.name = "preload",
	.about = "a library loaded into the command: fast; not for static or setuid programs",
	.first_fd = 300,
	.orphan_signal = SIGTERM,
	.check = check,
	.start = start,
	.finish = finish,
};
