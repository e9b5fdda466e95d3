/* SPDX-License-Identifier: BSD-3-Clause */
/* Which descriptor of the program is which file, and when a file is closed. See kernel_abi_seccomp.h for the idea. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "server/kernel_abi.h"
#include "server/kernel_abi_seccomp.h"

/* The byte that the program's open file description locks: behind any region. */
#define LOCK_AT ((off_t)1 << 61)
/* So many ticks of the keeper the files are looked at closely, after something may have been closed. */
#define UNSETTLED_TICKS 2

/* --- files -------------------------------------------------------------------------------- */

static struct vmig_kabi_file *use(struct sv_file *file)
{
	vmig_kabi_file_ref(file->file);
	return file->file;
}

/** With sv->lock. */
static struct sv_file *find(struct vmig_supervise *sv, dev_t dev, ino_t ino)
{
	struct sv_file *file = sv->files;

	while (file && (file->ino != ino || file->dev != dev))
		file = file->next;
	return file;
}

static struct sv_cached *cached(struct vmig_supervise *sv, pid_t tid, int fd)
{
	return &sv->cache[((unsigned int)tid * 31 + (unsigned int)fd) % SV_CACHE];
}

struct vmig_kabi_file *sv_lookup(struct vmig_kabi_task *task, int fd)
{
	struct vmig_supervise *sv = sv_call_of(task)->sv;
	struct sv_cached *entry = cached(sv, task->tid, fd);
	struct vmig_kabi_file *ret = NULL;
	struct sv_file *file;
	dev_t dev;
	ino_t ino;

	if (fd < VMIG_SUPERVISE_FD || fd >= VMIG_SUPERVISE_FD_END)
		return NULL;
	pthread_mutex_lock(&sv->lock);
	if (!atomic_load(&sv->unsettled) && entry->file && entry->tid == task->tid && entry->fd == fd)
		ret = use(entry->file);
	pthread_mutex_unlock(&sv->lock);
	if (ret || !sv_fd_inode(task->tid, fd, &dev, &ino))
		return ret;
	pthread_mutex_lock(&sv->lock);
	file = find(sv, dev, ino);
	if (file) {
		ret = use(file);
		/* Else it would be believed afterwards: who closes then does not empty the cache once more. */
		if (!atomic_load(&sv->unsettled))
			*entry = (struct sv_cached){ .tid = task->tid, .fd = fd, .file = file };
	}
	pthread_mutex_unlock(&sv->lock);
	return ret;
}

void sv_unsettle(struct vmig_supervise *sv)
{
	pthread_mutex_lock(&sv->lock);
	if (sv->files && atomic_exchange(&sv->unsettled, UNSETTLED_TICKS) < UNSETTLED_TICKS)
		memset(sv->cache, 0, sizeof(sv->cache));
	pthread_mutex_unlock(&sv->lock);
}

/* --- a file's end ------------------------------------------------------------------------- */

static void take_out(struct vmig_supervise *sv, struct sv_file *file)
{
	struct sv_file **at;

	pthread_mutex_lock(&sv->lock);
	for (at = &sv->files; *at && *at != file; at = &(*at)->next)
		;
	if (*at)
		*at = file->next;
	for (unsigned int i = 0; i < SV_CACHE; i++)
		if (sv->cache[i].file == file)
			sv->cache[i].file = NULL;
	pthread_mutex_unlock(&sv->lock);
}

/** With sv->close_lock: who opens next waits until this is closed. */
static void close_file(struct vmig_supervise *sv, struct sv_file *file, bool gone)
{
	take_out(sv, file);
	file->file->gone = gone;
	if (file->memory_fd >= 0)
		close(file->memory_fd);
	vmig_kabi_file_unref(file->file);
	free(file);
}

/** Is there no descriptor of it any more, in any process? Then nobody holds its lock. */
static bool is_gone(const struct sv_file *file)
{
	int fd = file->memory_fd >= 0 ? file->memory_fd : vmig_kabi_file_backing(file->file);
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LOCK_AT, .l_len = 1 };

	return !fcntl(fd, F_OFD_GETLK, &lock) && lock.l_type == F_UNLCK;
}

/** With sv->close_lock, so that none goes meanwhile; new ones are put in front. */
static struct sv_file *first_file(struct vmig_supervise *sv)
{
	struct sv_file *file;

	pthread_mutex_lock(&sv->lock);
	file = sv->files;
	pthread_mutex_unlock(&sv->lock);
	return file;
}

void sv_reap(struct vmig_supervise *sv)
{
	struct sv_file *file, *next;

	pthread_mutex_lock(&sv->close_lock);
	for (file = first_file(sv); file; file = next) {
		next = file->next;
		if (is_gone(file))
			close_file(sv, file, true);
	}
	pthread_mutex_unlock(&sv->close_lock);
}

void sv_settle(struct vmig_supervise *sv)
{
	if (atomic_load(&sv->unsettled))
		sv_reap(sv);
}

void sv_close_all(struct vmig_supervise *sv)
{
	pthread_mutex_lock(&sv->close_lock);
	while (sv->files)
		close_file(sv, sv->files, true);
	pthread_mutex_unlock(&sv->close_lock);
}

/* --- close() ------------------------------------------------------------------------------ */

/* Is there a descriptor of a file but those that are being closed? */
struct search {
	const struct sv_file *file;
	pid_t tgid;
	int first, last;
};

static bool closes(const struct search *search, pid_t pid, int fd)
{
	return pid == search->tgid && fd >= search->first && fd <= search->last;
}

static bool is_other(void *opaque, pid_t pid, int fd)
{
	const struct search *search = opaque;
	dev_t dev;
	ino_t ino;

	return !closes(search, pid, fd) && sv_fd_inode(pid, fd, &dev, &ino) && ino == search->file->ino &&
	       dev == search->file->dev;
}

static bool is_one_of(void *opaque, pid_t pid, int fd)
{
	const struct search *search = opaque;
	dev_t dev;
	ino_t ino;

	return closes(search, pid, fd) && sv_fd_inode(pid, fd, &dev, &ino) && ino == search->file->ino &&
	       dev == search->file->dev;
}

/*
 * The kernel closes it after us, and then its lock goes; but close() is to return when the device has let go of the
 * program's memory. So the last descriptor is looked for beforehand. In doubt there is another: then the lock tells.
 */
static bool has_others(struct vmig_supervise *sv, struct search *search)
{
	bool unsure = false;

	return sv_each_process(sv, is_other, search, &unsure) || unsure;
}

/** With sv->close_lock. Returns true if it goes in a way that will have to be looked for. */
static bool closing_file(struct vmig_supervise *sv, struct sv_file *file, struct search *search)
{
	bool unsure = false;

	search->file = file;
	if (!sv_each_fd(search->tgid, search->first, is_one_of, search, &unsure))
		return unsure;
	if (has_others(sv, search))
		return true;
	close_file(sv, file, false);
	return false;
}

void sv_closing(struct sv_call *call, unsigned int first, unsigned int last)
{
	struct vmig_supervise *sv = call->sv;
	struct search search = { .tgid = call->task.pid };
	struct sv_file *file, *next;
	bool looked_for = false;

	search.first = (int)MAX(first, (unsigned int)VMIG_SUPERVISE_FD);
	search.last = (int)MIN(last, VMIG_SUPERVISE_FD_END - 1u);
	if (search.first > search.last)
		return;
	pthread_mutex_lock(&sv->close_lock);
	for (file = first_file(sv); file; file = next) {
		next = file->next;
		looked_for |= closing_file(sv, file, &search);
	}
	pthread_mutex_unlock(&sv->close_lock);
	if (looked_for)
		sv_unsettle(sv);
}

/* --- a new descriptor --------------------------------------------------------------------- */

/** A number that is free in the program. */
static int choose_number(struct sv_call *call)
{
	struct vmig_supervise *sv = call->sv;
	dev_t dev;
	ino_t ino;
	int fd = -1;

	for (int tries = VMIG_SUPERVISE_FD; tries < VMIG_SUPERVISE_FD_END; tries++) {
		pthread_mutex_lock(&sv->lock);
		fd = sv->next_fd++;
		if (sv->next_fd == VMIG_SUPERVISE_FD_END)
			sv->next_fd = VMIG_SUPERVISE_FD;
		pthread_mutex_unlock(&sv->lock);
		if (!sv_fd_inode(call->task.tid, fd, &dev, &ino))
			return fd;
	}
	return -EMFILE;
}

/** Give the program our @fd. Its number there. */
static int give(struct sv_call *call, int fd, int open_flags)
{
	struct seccomp_notif_addfd addfd = {
		.id = call->req->id,
		.flags = SECCOMP_ADDFD_FLAG_SETFD,
		.srcfd = (uint32_t)fd,
		.newfd_flags = open_flags & O_CLOEXEC ? O_CLOEXEC : 0,
	};
	int number = choose_number(call), r;

	if (number < 0)
		return number;
	addfd.newfd = (uint32_t)number;
	do
		r = ioctl(call->sv->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &addfd);
	while (r < 0 && errno == EINTR);
	/* Its limit of open files is lower than it was: that is what it is told. */
	return r >= 0 ? number : errno == EBADF ? -EMFILE : -errno;
}

static int make_memory(void)
{
	int fd = memfd_create("vmig", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	/* A call that is missed fails loudly, as far as that can be had. */
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)) {
		close(fd);
		return -EOPNOTSUPP;
	}
	return fd;
}

/** An open file description of its own for the program, that holds the lock. */
static int open_for_program(int memory_fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LOCK_AT, .l_len = 1 };
	char path[64];
	int fd, r;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", memory_fd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (!fcntl(fd, F_OFD_SETLK, &lock))
		return fd;
	/* EAGAIN: the file before this one is mapped still by a program that closed it. */
	r = errno == EAGAIN ? -EBUSY : -errno;
	close(fd);
	return r;
}

static void put_in(struct vmig_supervise *sv, struct sv_file *file)
{
	pthread_mutex_lock(&sv->lock);
	file->next = sv->files;
	sv->files = file;
	pthread_mutex_unlock(&sv->lock);
}

static void drop(struct sv_file *file)
{
	if (file->memory_fd >= 0)
		close(file->memory_fd);
	free(file);
}

/** The file's entry, and the description for the program. */
static int prepare(struct vmig_kabi_file *of, struct sv_file **ret, int *ret_fd)
{
	int backing = vmig_kabi_file_backing(of), fd;
	struct sv_file *file = calloc(1, sizeof(*file));
	struct stat st;

	if (!file)
		return -ENOMEM;
	file->file = of;
	file->memory_fd = backing >= 0 ? -1 : make_memory();
	if (backing < 0)
		backing = file->memory_fd;
	fd = backing < 0 ? backing : open_for_program(backing);
	if (fd < 0 || fstat(fd, &st)) {
		drop(file);
		return fd < 0 ? fd : -EIO;
	}
	file->dev = st.st_dev;
	file->ino = st.st_ino;
	*ret = file;
	*ret_fd = fd;
	return 0;
}

int sv_install(struct vmig_kabi_task *task, struct vmig_kabi_file *file, int open_flags)
{
	struct sv_call *call = sv_call_of(task);
	struct sv_file *entry = NULL;
	int fd = -1, r = prepare(file, &entry, &fd);

	if (r < 0)
		return r;
	/* Before it is the program's, so that another of its threads finds it at once. The keeper does not take it
	 * away: our description has the lock meanwhile. */
	put_in(call->sv, entry);
	r = give(call, fd, open_flags);
	/* Nothing is closed here, where the core may hold locks: with a reference of its own it is found to be gone. */
	if (r < 0)
		vmig_kabi_file_ref(file);
	close(fd);
	if (r < 0)
		sv_unsettle(call->sv);
	return r;
}

int sv_dup(struct sv_call *call, int fd, int open_flags)
{
	int ours = sv_take_fd(&call->task, fd), r;

	if (ours < 0)
		return ours;
	r = give(call, ours, open_flags);
	close(ours);
	return r;
}
