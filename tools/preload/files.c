/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "preload.h"

/*
 * A word is a file and, above its address, how many calls have borrowed it: so one exchange both finds it and keeps it,
 * and no call waits for another. When the word changes, what is lent becomes references of the file's own, and who
 * brings a file back where it is not lent any more drops such a reference. Which of them is whose does not matter.
 */
uint64_t preload_files[PRELOAD_FDS_MAX];

#define LENT_SHIFT 48
#define ONE_LENT   (1ull << LENT_SHIFT)
#define LENT_MAX   (UINT64_MAX >> LENT_SHIFT)

/* Over all changes, which are rare; never over a call. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int highest = -1; /* that was ever ours */
static pid_t owner;      /* of the table; a child of vfork() shares it, but not our descriptors */

static struct vmig_kabi_file *file_of(uint64_t word)
{
	return (struct vmig_kabi_file *)(uintptr_t)(word & (ONE_LENT - 1));
}

static uint64_t lent(uint64_t word)
{
	return word >> LENT_SHIFT;
}

static bool change(int fd, uint64_t *word, uint64_t to)
{
	return __atomic_compare_exchange_n(&preload_files[fd], word, to, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE);
}

static bool is_file(const struct vmig_kabi_file *file)
{
	return file && file != PRELOAD_PENDING;
}

/* Returns what was there, with the table's reference. */
static struct vmig_kabi_file *exchange(int fd, struct vmig_kabi_file *file)
{
	struct vmig_kabi_file *old;
	uint64_t word, given = 0;

	pthread_mutex_lock(&lock);
	word = __atomic_load_n(&preload_files[fd], __ATOMIC_ACQUIRE);
	old = file_of(word);
	/* Before it shows: a borrower may drop one at once. */
	do {
		for (; given < lent(word); given++)
			vmig_kabi_file_ref(old);
	} while (!change(fd, &word, (uintptr_t)file));
	if (file && fd > highest)
		__atomic_store_n(&highest, fd, __ATOMIC_RELAXED);
	if (file && !owner)
		owner = getpid();
	pthread_mutex_unlock(&lock);
	for (; given > lent(word); given--)
		vmig_kabi_file_unref(old); /* not the last */
	return old;
}

struct vmig_kabi_file *preload_file_borrow(int fd)
{
	struct vmig_kabi_file *file;
	uint64_t word;

	if (!preload_is_ours(fd))
		return NULL;
	word = __atomic_load_n(&preload_files[fd], __ATOMIC_ACQUIRE);
	do {
		while (lent(word) == LENT_MAX) {
			sched_yield();
			word = __atomic_load_n(&preload_files[fd], __ATOMIC_ACQUIRE);
		}
		file = file_of(word);
		if (!is_file(file))
			return file ? preload_passed(fd) : NULL;
	} while (!change(fd, &word, word + ONE_LENT));
	return file;
}

void preload_file_return(int fd, struct vmig_kabi_file *file)
{
	uint64_t word = __atomic_load_n(&preload_files[fd], __ATOMIC_ACQUIRE);

	while (file_of(word) == file && lent(word))
		if (change(fd, &word, word - ONE_LENT))
			return;
	vmig_kabi_file_unref(file);
}

struct vmig_kabi_file *preload_file_get(int fd)
{
	struct vmig_kabi_file *file = preload_file_borrow(fd);

	if (file) {
		vmig_kabi_file_ref(file);
		preload_file_return(fd, file);
	}
	return file;
}

struct vmig_kabi_file *preload_file_get_own(int fd)
{
	return preload_is_ours(fd) && getpid() == owner ? preload_file_get(fd) : NULL;
}

static void forget(struct vmig_kabi_file *file)
{
	if (!is_file(file))
		return;
	preload_enter();
	vmig_kabi_file_unref(file);
	preload_leave();
}

int preload_file_set(int fd, struct vmig_kabi_file *file)
{
	if (fd >= PRELOAD_FDS_MAX) {
		vmig_kabi_file_unref(file);
		return -EMFILE;
	}
	/* What it stood for before was closed in a way that did not come through here. */
	forget(exchange(fd, file));
	return 0;
}

/* One for all, and for ever: an eventfd that is closed leaves the sets that it is in. The program may close it. */
static int ready_fd(bool anew)
{
	static int ready = -1;
	int before = __atomic_load_n(&ready, __ATOMIC_ACQUIRE), fd;

	if (before >= 0 && !anew)
		return before;
	fd = eventfd(1, EFD_CLOEXEC);
	if (fd < 0 ||
	    __atomic_compare_exchange_n(&ready, &before, fd, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return fd;
	close(fd);
	return before; /* another thread was faster */
}

/* Readable at all times, as what has no poll() of its own: a poll() for it does not wait for ever. */
static int make_place_holder(bool cloexec)
{
	struct epoll_event event = { .events = EPOLLIN };
	int fd = epoll_create1(cloexec ? EPOLL_CLOEXEC : 0), saved;

	for (int tries = 0; fd >= 0 && tries < 2; tries++)
		if (!epoll_ctl(fd, EPOLL_CTL_ADD, ready_fd(tries), &event))
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
	if (preload_is_ours(fd) && getpid() == owner)
		forget(exchange(fd, NULL));
}

void preload_file_drop_range(unsigned int first, unsigned int last)
{
	int top = __atomic_load_n(&highest, __ATOMIC_RELAXED);

	if (top < 0)
		return;
	for (int fd = first > (unsigned int)top ? top + 1 : (int)first; fd <= top && (unsigned int)fd <= last;
	     fd++)
		preload_file_drop(fd);
}

void preload_files_forget(void)
{
	pthread_mutex_init(&lock, NULL);
	owner = 0;
	for (int fd = 0; fd <= highest; fd++) {
		if (preload_is_pending(fd))
			owner = getpid(); /* a VMM that becomes a daemon uses it only now */
		else
			preload_files[fd] = 0;
	}
}
