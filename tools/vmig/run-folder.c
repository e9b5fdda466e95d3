/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * $XDG_RUNTIME_DIR/vmig/NAME, or /tmp/vmig-UID/NAME where there is none, of mode 0700:
 *
 *	lock       held as long as the run lives; a folder whose lock is free is a leftover
 *	control    the socket
 *	shared     struct run_shared
 *	dN/        for sysfsdev= of device N: QEMU follows two of its links, vmig the third; nobody asks for more
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "run.h"

#define SWEEP_S 60

bool run_name_is_good(const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	size_t len = strlen(name);

	return len >= 1 && len <= RUN_NAME_MAX && name[0] != '.' && strspn(name, letters) == len;
}

bool run_folder_base(int choice, char ret[RUN_FOLDER_MAX])
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	int n = -1;

	if (choice == 0 && runtime && runtime[0] == '/' && !access(runtime, W_OK | X_OK))
		n = snprintf(ret, RUN_FOLDER_MAX, "%s/vmig", runtime);
	else if (choice == 1)
		n = snprintf(ret, RUN_FOLDER_MAX, "/tmp/vmig-%u", (unsigned int)geteuid());
	return n > 0 && (size_t)n + 1 + RUN_NAME_MAX < RUN_FOLDER_MAX;
}

/* /tmp is everybody's: somebody else may have made the folder, or a link in its place. */
static bool make_base(const char *path)
{
	struct stat st;

	if (mkdir(path, 0700) && errno != EEXIST)
		return false;
	if (lstat(path, &st))
		return false;
	if (S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 0077))
		return true;
	errno = EPERM;
	return false;
}

static bool path_in(const char *folder, const char *name, char ret[PATH_MAX])
{
	return snprintf(ret, PATH_MAX, "%s/%s", folder, name) < PATH_MAX;
}

/* The folder is ours alone, and two levels deep at most. What is called @keep (may be NULL) stays. */
static void empty(const char *folder, const char *keep)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	char path[PATH_MAX];

	while (dir && (entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
		    (keep && !strcmp(entry->d_name, keep)) || !path_in(folder, entry->d_name, path))
			continue;
		if (unlink(path) && (errno == EISDIR || errno == EPERM)) {
			empty(path, NULL);
			rmdir(path);
		}
	}
	if (dir)
		closedir(dir);
}

/* -1: EWOULDBLOCK somebody has it, ESTALE or ENOENT the folder has just been removed, or another errno. */
static int lock_folder(const char *folder)
{
	char path[PATH_MAX];
	struct stat held, there;
	int fd, saved;

	if (!path_in(folder, "lock", path))
		return -1;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -1;
	if (!flock(fd, LOCK_EX | LOCK_NB)) {
		if (!fstat(fd, &held) && !stat(path, &there) && held.st_ino == there.st_ino)
			return fd;
		errno = ESTALE;
	}
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/* What runs that were killed have left. Not the youngest: they may be on the point of being locked. */
static void sweep(const char *base)
{
	DIR *dir = opendir(base);
	struct dirent *entry;
	char path[PATH_MAX];
	struct stat st;
	int fd;

	while (dir && (entry = readdir(dir))) {
		if (!run_name_is_good(entry->d_name) || !path_in(base, entry->d_name, path) ||
		    lstat(path, &st) || !S_ISDIR(st.st_mode) || time(NULL) - st.st_mtime < SWEEP_S)
			continue;
		fd = lock_folder(path);
		if (fd < 0)
			continue;
		empty(path, NULL);
		rmdir(path);
		close(fd);
	}
	if (dir)
		closedir(dir);
}

static int make_and_lock(const char *folder)
{
	int fd = -1;

	/* Whoever ends removes the folder: it may go between two steps, but not for ever. */
	for (int tries = 0; tries < 100 && fd < 0; tries++) {
		if (mkdir(folder, 0700) && errno != EEXIST)
			return -1;
		fd = lock_folder(folder);
		if (fd < 0 && errno != ENOENT && errno != ESTALE)
			return -1;
	}
	return fd;
}

static int make_device(const struct run *run, uint32_t number)
{
	char path[PATH_MAX], link[PATH_MAX], group[64];

	run_folder_device(run, number, path);
	snprintf(group, sizeof(group), "/sys/kernel/iommu_groups/%u", RUN_GROUP + number);
	if (mkdir(path, 0700))
		return -1;
	if (!path_in(path, "iommu_group", link) || symlink(group, link))
		return -1;
	if (!path_in(path, "driver", link) || symlink("/sys/bus/pci/drivers/vmig", link))
		return -1;
	return path_in(path, "subsystem", link) ? symlink("/sys/bus/pci", link) : -1;
}

static int cannot(const char *path)
{
	return tool_fail(VMIG_NOT_DONE,
			 "%s: cannot be made: %m; set XDG_RUNTIME_DIR to a short folder of your own", path);
}

static int make_base_and_lock(struct run *run)
{
	char base[RUN_FOLDER_MAX];

	for (int choice = 0; choice < 2; choice++) {
		if (!run_folder_base(choice, base) || !make_base(base))
			continue;
		if ((size_t)snprintf(run->folder, sizeof(run->folder), "%s/%s", base, run->name) >=
		    sizeof(run->folder))
			continue;
		sweep(base);
		run->lock_fd = make_and_lock(run->folder);
		if (run->lock_fd >= 0)
			return 0;
		if (errno == EWOULDBLOCK)
			return tool_fail(VMIG_NOT_DONE, "run:%s: there is one: take another --name",
					 run->name);
	}
	return cannot(run->folder[0] ? run->folder : base);
}

int run_folder_make(struct run *run)
{
	int r = make_base_and_lock(run);

	if (r)
		return r;
	empty(run->folder, "lock"); /* a leftover of one that was killed */
	snprintf(run->shared_path, sizeof(run->shared_path), "%s/shared", run->folder);
	run->shared = run_shared_new(run->shared_path);
	return run->shared ? 0 : cannot(run->shared_path);
}

int run_folder_add_devices(struct run *run)
{
	for (uint32_t i = 0; i < run->shared->n_devices; i++)
		if (make_device(run, i))
			return cannot(run->folder);
	return 0;
}

void run_folder_device(const struct run *run, uint32_t number, char ret[PATH_MAX])
{
	snprintf(ret, PATH_MAX, "%s/d%u", run->folder, number);
}

void run_folder_remove(struct run *run)
{
	run_shared_done(run->shared);
	run->shared = NULL;
	if (run->lock_fd < 0)
		return;
	empty(run->folder, NULL);
	rmdir(run->folder);
	close(run->lock_fd);
	run->lock_fd = -1;
}
