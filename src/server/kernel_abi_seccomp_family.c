/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which processes there are, and what they have open, by /proc.
 *
 * The processes are those that have called, and all that descend from this one: a fork that has not called yet may hold
 * the last descriptor of a file.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "server/kernel_abi_seccomp.h"

/* --- thread to process -------------------------------------------------------------------- */

static pid_t read_tgid(pid_t tid)
{
	char path[64], buf[1024], *at;
	_autoclose_ int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);
	if (n <= 0)
		return tid;
	buf[n] = 0;
	at = strstr(buf, "\nTgid:");
	return at ? (pid_t)strtol(at + 6, NULL, 10) : tid;
}

static bool is_thread_of(pid_t tgid, pid_t tid)
{
	return !syscall(SYS_tgkill, tgid, tid, 0) || errno == EPERM;
}

/** With sv->lock. */
static void note_process(struct vmig_supervise *sv, pid_t tgid)
{
	unsigned int i;

	for (i = 0; i < sv->n_seen; i++)
		if (sv->seen[i] == tgid)
			return;
	for (i = 0; i < sv->n_seen; i++)
		if (kill(sv->seen[i], 0) && errno == ESRCH)
			break;
	if (i == VMIG_LIMIT_SUPERVISED)
		return; /* its descriptors are found if it descends from us */
	sv->seen[i] = tgid;
	if (i == sv->n_seen)
		sv->n_seen++;
}

pid_t sv_tgid(struct vmig_supervise *sv, pid_t tid)
{
	unsigned int at = (unsigned int)tid % SV_CACHE;
	pid_t tgid = 0;

	pthread_mutex_lock(&sv->lock);
	if (sv->groups[at].tid == tid)
		tgid = sv->groups[at].tgid;
	pthread_mutex_unlock(&sv->lock);
	if (tgid && is_thread_of(tgid, tid))
		return tgid;
	tgid = read_tgid(tid);
	pthread_mutex_lock(&sv->lock);
	sv->groups[at].tid = tid;
	sv->groups[at].tgid = tgid;
	note_process(sv, tgid);
	pthread_mutex_unlock(&sv->lock);
	return tgid;
}

/* --- descriptors -------------------------------------------------------------------------- */

bool sv_fd_inode(pid_t pid, int fd, dev_t *ret_dev, ino_t *ret_ino)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
	if (stat(path, &st))
		return false;
	*ret_dev = st.st_dev;
	*ret_ino = st.st_ino;
	return true;
}

bool sv_each_fd(pid_t pid, int first, bool (*fn)(void *opaque, pid_t pid, int fd), void *opaque, bool *unsure)
{
	char path[64];
	struct dirent *entry;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	if (!dir) {
		*unsure |= errno != ENOENT && errno != ESRCH;
		return false;
	}
	while (!found && (entry = readdir(dir))) {
		int fd = isdigit((unsigned char)entry->d_name[0]) ? atoi(entry->d_name) : -1;

		if (fd >= first)
			found = fn(opaque, pid, fd);
	}
	closedir(dir);
	return found;
}

/* --- processes ---------------------------------------------------------------------------- */

struct family {
	pid_t pids[VMIG_LIMIT_SUPERVISED];
	unsigned int n;
	bool unsure;
};

static void add(struct family *family, pid_t pid)
{
	for (unsigned int i = 0; i < family->n; i++)
		if (family->pids[i] == pid)
			return;
	if (family->n < VMIG_LIMIT_SUPERVISED)
		family->pids[family->n++] = pid;
	else
		family->unsure = true;
}

/* The children of one thread: "12 34 56 ". */
static void add_children_of(struct family *family, int task_dir, const char *tid)
{
	char path[64];
	FILE *file;
	int fd, pid;

	snprintf(path, sizeof(path), "%.20s/children", tid);
	fd = openat(task_dir, path, O_RDONLY | O_CLOEXEC);
	file = fd < 0 ? NULL : fdopen(fd, "r");
	if (!file) {
		/* A thread that has ended has no children; a kernel without this file may have any. */
		family->unsure |= fd >= 0 || (errno != ESRCH && !faccessat(task_dir, tid, F_OK, 0));
		if (fd >= 0)
			close(fd);
		return;
	}
	while (fscanf(file, "%d", &pid) == 1)
		add(family, (pid_t)pid);
	fclose(file);
}

static void add_children(struct family *family, pid_t pid)
{
	char path[64];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	if (!dir)
		return; /* it has ended: its children are another's */
	while ((entry = readdir(dir)))
		if (isdigit((unsigned char)entry->d_name[0]))
			add_children_of(family, dirfd(dir), entry->d_name);
	closedir(dir);
}

bool sv_each_process(struct vmig_supervise *sv, bool (*fn)(void *opaque, pid_t pid, int fd), void *opaque,
		     bool *unsure)
{
	struct family *family = calloc(1, sizeof(*family));
	bool found = false;

	if (!family) {
		*unsure = true;
		return false;
	}
	pthread_mutex_lock(&sv->lock);
	memcpy(family->pids, sv->seen, sv->n_seen * sizeof(sv->seen[0]));
	family->n = sv->n_seen;
	pthread_mutex_unlock(&sv->lock);
	add_children(family, getpid());
	for (unsigned int i = 0; i < family->n; i++)
		add_children(family, family->pids[i]);
	for (unsigned int i = 0; i < family->n && !found; i++)
		found = sv_each_fd(family->pids[i], VMIG_SUPERVISE_FD, fn, opaque, &family->unsure);
	*unsure |= family->unsure;
	free(family);
	return found;
}
