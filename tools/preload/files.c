/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "preload.h"

struct vmig_kabi_file *preload_files[PRELOAD_FDS_MAX];

/* Between finding a file and counting it, it must not go. Held for a few instructions, never over a call. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int highest = -1; /* that was ever ours */
static pid_t owner;      /* of the table; a child of vfork() shares it, but not our descriptors */

static struct vmig_kabi_file *exchange(int fd, struct vmig_kabi_file *file)
{
	struct vmig_kabi_file *old;

	pthread_mutex_lock(&lock);
	old = preload_files[fd];
	__atomic_store_n(&preload_files[fd], file, __ATOMIC_RELAXED);
	if (file && fd > highest)
		highest = fd;
	if (file && !owner)
		owner = getpid();
	pthread_mutex_unlock(&lock);
	return old;
}

struct vmig_kabi_file *preload_file_get(int fd)
{
	struct vmig_kabi_file *file;

	if (!preload_is_ours(fd))
		return NULL;
	pthread_mutex_lock(&lock);
	file = preload_files[fd];
	if (file && file != PRELOAD_PENDING)
		vmig_kabi_file_ref(file);
	pthread_mutex_unlock(&lock);
	return file == PRELOAD_PENDING ? preload_passed(fd) : file;
}

int preload_file_set(int fd, struct vmig_kabi_file *file)
{
	if (fd >= PRELOAD_FDS_MAX) {
		vmig_kabi_file_unref(file);
		return -EMFILE;
	}
	exchange(fd, file);
	return 0;
}

/* One for all, and for ever: an eventfd that is closed leaves the sets that it is in. */
static int ready_fd(void)
{
	static int ready = -1;
	int fd = __atomic_load_n(&ready, __ATOMIC_ACQUIRE), none = -1;

	if (fd >= 0)
		return fd;
	fd = eventfd(1, EFD_CLOEXEC);
	if (fd < 0 ||
	    __atomic_compare_exchange_n(&ready, &none, fd, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return fd;
	close(fd);
	return none; /* another thread was faster */
}

/* Readable at all times, as what has no poll() of its own: a poll() for it does not wait for ever. */
static int make_place_holder(bool cloexec)
{
	struct epoll_event event = { .events = EPOLLIN };
	int fd = epoll_create1(cloexec ? EPOLL_CLOEXEC : 0), saved;

	if (fd >= 0 && !epoll_ctl(fd, EPOLL_CTL_ADD, ready_fd(), &event))
		return fd;
	saved = errno;
	if (fd >= 0)
		close(fd);
	return -saved;
}

int preload_file_install(struct vmig_kabi_file *file, bool cloexec)
{
	int fd = make_place_holder(cloexec);
	int r;

	if (fd < 0)
		return fd;
	r = fd < PRELOAD_FDS_MAX ? preload_file_set(fd, file) : -EMFILE;
	if (r) {
		close(fd);
		return r;
	}
	return fd;
}

void preload_file_drop(int fd)
{
	struct vmig_kabi_file *file;

	if (!preload_is_ours(fd) || getpid() != owner)
		return;
	file = exchange(fd, NULL);
	if (file && file != PRELOAD_PENDING) {
		preload_enter();
		vmig_kabi_file_unref(file);
		preload_leave();
	}
}

void preload_file_drop_range(unsigned int first, unsigned int last)
{
	int top = __atomic_load_n(&highest, __ATOMIC_RELAXED);

	for (int fd = first > (unsigned int)top ? top + 1 : (int)first; fd <= top && (unsigned int)fd <= last;
	     fd++)
		preload_file_drop(fd);
}

void preload_files_forget(void)
{
	pthread_mutex_init(&lock, NULL);
	for (int fd = 0; fd <= highest; fd++)
		preload_files[fd] = NULL;
	owner = 0;
}
