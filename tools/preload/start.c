/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Nothing happens before the program opens something of /dev/vfio: a shell on the way to the VMM, a VMM that becomes
 * a daemon first, and programs that have nothing to do with it cost nothing.
 *
 * One process has the devices. They go with it: a child of fork() has none of our descriptors (its copies of the
 * place holders fail), and may become the owner when its parent is gone.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "preload.h"
#include "tools/vmig/run-core.h"
#include "tools/vmig/tool.h"

static struct {
	pthread_mutex_t lock;
	struct run_shared *shared;
	struct run_core *core;
	bool failed, needs_files;
} start = { .lock = PTHREAD_MUTEX_INITIALIZER };

static __thread unsigned int inside;
static __thread int errno_outside;

void *preload_find(const char *name)
{
	void *fn = dlsym(RTLD_NEXT, name);

	/* A function that this C library does not have is not called by a program that was linked with it. */
	if (!fn)
		abort();
	return fn;
}

bool preload_inside(void)
{
	return inside;
}

void preload_enter(void)
{
	if (!inside++)
		errno_outside = errno;
}

void preload_leave(void)
{
	if (!--inside)
		errno = errno_outside;
}

bool preload_is_near(const char *path)
{
	return path && !strncmp(path, "/dev/", 5) &&
	       (!strncmp(path + 5, "vfio/", 5) || !strcmp(path + 5, "iommu"));
}

/* --- threads of ours ------------------------------------------------------------------------- */

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);

/* No signal of the program's is to end in one of our threads: it may count on having it blocked everywhere. */
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = __real_pthread_create(thread, attr, fn, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

/* --- the owner ------------------------------------------------------------------------------- */

static bool is_gone(int32_t pid)
{
	return kill(pid, 0) && errno == ESRCH;
}

/* False: another process of the program has the devices. */
static bool become_owner(struct run_shared *shared)
{
	int32_t before = __atomic_load_n(&shared->owner, __ATOMIC_ACQUIRE);

	while (before == 0 || before == getpid() || is_gone(before))
		if (__atomic_compare_exchange_n(&shared->owner, &before, getpid(), false, __ATOMIC_ACQ_REL,
						__ATOMIC_ACQUIRE))
			return true;
	return false;
}

static void look_at_devices(void)
{
	const struct run_shared *shared = start.shared;

	for (uint32_t i = 0; i < shared->n_devices; i++)
		start.needs_files |= strstr(shared->devices[i].spec, "vfio-user:") != NULL;
}

static struct run_shared *map_shared(void)
{
	const char *path = getenv(RUN_ENV);

	if (!start.shared && path)
		start.shared = run_shared_open(path);
	return start.shared;
}

static int start_now(void)
{
	if (!map_shared())
		return ENOENT; /* not of a run, or of one that is over: all is as without us */
	if (!become_owner(start.shared))
		return EBUSY;
	tool_say_begin("run", false, false);
	look_at_devices();
	/* What went wrong has been said; it would go wrong again. */
	start.failed = run_core_open(start.shared, false, &start.core) != 0;
	return start.failed ? ENODEV : 0;
}

struct vmig_kabi *preload_kabi(int *ret_error)
{
	struct run_core *core = __atomic_load_n(&start.core, __ATOMIC_ACQUIRE);

	*ret_error = 0;
	if (core)
		return run_core_kabi(core);
	pthread_mutex_lock(&start.lock);
	preload_enter();
	if (start.failed)
		*ret_error = ENODEV;
	else if (!start.core)
		*ret_error = start_now();
	core = start.core;
	preload_leave();
	pthread_mutex_unlock(&start.lock);
	return core ? run_core_kabi(core) : NULL;
}

bool preload_needs_files(void)
{
	return start.needs_files;
}

/* --- what was passed at the start -------------------------------------------------------------- */

static const struct run_passed *find_passed(int fd)
{
	for (uint32_t i = 0; i < start.shared->n_passed; i++)
		if (start.shared->passed[i].fd == fd)
			return &start.shared->passed[i];
	return NULL;
}

/* It has been marked, and is used for the first time. */
struct vmig_kabi_file *preload_passed(int fd)
{
	const struct run_passed *passed = find_passed(fd);
	struct vmig_kabi_file *file = NULL;
	struct vmig_kabi *kabi;
	int error;

	kabi = preload_kabi(&error);
	pthread_mutex_lock(&start.lock);
	preload_enter();
	/* If not, another thread was faster: ask again. */
	if (preload_is_pending(fd) && kabi && passed &&
	    !vmig_kabi_open(kabi, preload_task(), passed->path, O_RDWR, &file)) {
		vmig_kabi_file_ref(file); /* first: it may be closed as soon as it is there */
		preload_file_set(fd, file);
	}
	preload_leave();
	pthread_mutex_unlock(&start.lock);
	if (file)
		return file;
	return preload_is_pending(fd) ? NULL : preload_file_get(fd);
}

static void mark_passed(void)
{
	struct stat st;

	for (uint32_t i = 0; i < start.shared->n_passed; i++) {
		const struct run_passed *passed = &start.shared->passed[i];

		if (passed->fd >= 0 && passed->fd < PRELOAD_FDS_MAX && !fstat(passed->fd, &st) &&
		    st.st_dev == passed->dev && st.st_ino == passed->ino)
			preload_file_set(passed->fd, PRELOAD_PENDING);
	}
}

/* --- birth of a process ---------------------------------------------------------------------- */

static void after_fork(void)
{
	preload_files_forget();
	preload_task_forget();
	pthread_mutex_init(&start.lock, NULL);
	start.core = NULL; /* its threads are the parent's: there is nothing to free */
	start.failed = false;
}

__attribute__((constructor)) static void begin(void)
{
	pthread_atfork(NULL, NULL, after_fork);
	if (getenv(RUN_ENV_PASSED) && map_shared())
		mark_passed();
}
