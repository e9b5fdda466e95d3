/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * kernel_abi_seccomp - the supervisor of a program's system calls: what its files share.
 *
 *	kernel_abi_seccomp.c         the supervisor and its threads
 *	kernel_abi_seccomp_filter.c  the filter, and entering it
 *	kernel_abi_seccomp_calls.c   one function a system call
 *	kernel_abi_seccomp_files.c   which descriptor of the program is which file, and when a file is closed
 *	kernel_abi_seccomp_family.c  which processes there are, and what they have open
 *	kernel_abi_seccomp_memory.c  the program's memory and descriptors, in a call
 *	kernel_abi_seccomp_dma.c     its memory for DMA
 *
 * What a descriptor of the program's stands for is not kept in tables, which forks, exec, threads and sent descriptors
 * would make wrong: it is asked of the kernel. Each file of the core's has a memory file of its own, the program's
 * descriptor is one of that, so its inode tells the file (a cache holds what was found, while nothing is closed).
 * The program's open file description of it holds a lock; when the lock has gone, no descriptor is left in any process,
 * whatever became of them.
 *
 * Locks, in the order in which they are taken: close_lock (a file is being closed), lock (lists and caches: nothing
 * is called with it), recv_lock (one receiver at a time).
 */
#ifndef VMIG_SERVER_KERNEL_ABI_SECCOMP_H
#define VMIG_SERVER_KERNEL_ABI_SECCOMP_H

#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include <vmig/supervise.h>

#include "base/limits.h"
#include "base/util.h"

#define SV_CACHE 1024u /* entries; a power of two */
#define SV_NOTIF 512u  /* bytes: room for the kernel's structures as they grow */

/** A file of the core's that the program has open. */
struct sv_file {
	struct sv_file *next;
	struct vmig_kabi_file *file; /* with a reference */
	dev_t dev;
	ino_t ino;
	int memory_fd; /* the memory file, by a description of our own; not the file's backing: closed with this */
};

/** Something of the program's that a DMA mapping is made through; several mappings share one. */
struct sv_back {
	struct sv_back *next;
	pid_t tgid; /* of a process's memory; 0: a file */
	dev_t dev;
	ino_t ino;
	int fd;
	unsigned int refs;
};

struct sv_cached {
	pid_t tid;
	int fd;
	struct sv_file *file;
};

struct sv_thread {
	struct sv_thread *next;
	struct vmig_supervise *sv;
	pthread_t id;
	int epoll_fd;
};

struct vmig_supervise {
	struct vmig_kabi *kabi;
	int listener, stop_fd;
	bool needs_address; /* one of the devices reaches memory of this process only */
	pthread_t keeper;

	pthread_mutex_t recv_lock;
	atomic_int n_idle;
	atomic_bool stopping, said_memory, said_low, said_copy, said_foreign, said_full;

	pthread_mutex_t close_lock;

	pthread_mutex_t lock;
	struct sv_thread *threads;
	unsigned int n_threads;
	struct sv_file *files;
	struct sv_back *backs;
	int next_fd;
	/* Something has been closed, perhaps: the cache is not used, and files are looked at before an open. Counts down
	 * with the keeper's ticks. */
	atomic_int unsettled;
	struct sv_cached cache[SV_CACHE];
	struct {
		pid_t tid, tgid;
	} groups[SV_CACHE];
	pid_t seen[VMIG_LIMIT_SUPERVISED];
	unsigned int n_seen;
};

/** One call of the program's. */
struct sv_call {
	struct vmig_kabi_task task;
	struct vmig_supervise *sv;
	const struct seccomp_notif *req;
};

static inline struct sv_call *sv_call_of(struct vmig_kabi_task *task)
{
	return (struct sv_call *)task;
}

/** Is it the same call still, or has its thread died, and its number perhaps become another's? */
bool sv_call_valid(const struct sv_call *call);

/** What becomes of a call. */
struct sv_answer {
	int64_t result; /* or -errno */
	bool go_on;     /* let the kernel do it */
};

struct sv_answer sv_answer(struct sv_call *call);

/* --- files -------------------------------------------------------------------------------- */

struct vmig_kabi_file *sv_lookup(struct vmig_kabi_task *task, int fd);
int sv_install(struct vmig_kabi_task *task, struct vmig_kabi_file *file, int open_flags);
/** dup(): another descriptor for what @fd is. Its number, or -errno. */
int sv_dup(struct sv_call *call, int fd, int open_flags);
/** The thread's descriptors from @first to @last are about to be closed: a file that has no other one is closed now. */
void sv_closing(struct sv_call *call, unsigned int first, unsigned int last);
/** Descriptors may go in a way that is not seen: look more closely for a while. */
void sv_unsettle(struct vmig_supervise *sv);
/** Close the files that have no descriptor any more. */
void sv_reap(struct vmig_supervise *sv);
/** The same, if there may be one. */
void sv_settle(struct vmig_supervise *sv);
void sv_close_all(struct vmig_supervise *sv);

/* --- processes ---------------------------------------------------------------------------- */

/** The process that thread @tid belongs to. */
pid_t sv_tgid(struct vmig_supervise *sv, pid_t tid);
/** The file that @fd is in process or thread @pid. */
bool sv_fd_inode(pid_t pid, int fd, dev_t *ret_dev, ino_t *ret_ino);
/** Call @fn for the descriptors of @pid from @first, until it returns true, and return that. *@unsure: they cannot be read. */
bool sv_each_fd(pid_t pid, int first, bool (*fn)(void *opaque, pid_t pid, int fd), void *opaque,
		bool *unsure);
/** The same for our descriptors in all processes that the supervised one, or a fork of it, may be. */
bool sv_each_process(struct vmig_supervise *sv, bool (*fn)(void *opaque, pid_t pid, int fd), void *opaque,
		     bool *unsure);

/* --- memory ------------------------------------------------------------------------------- */

int sv_read(struct vmig_kabi_task *task, uint64_t addr, void *buf, size_t len);
int sv_write(struct vmig_kabi_task *task, uint64_t addr, const void *buf, size_t len);
int sv_take_fd(struct vmig_kabi_task *task, int fd);
/** The same of any process, without a call. */
int sv_take_from(pid_t tgid, int fd);
/** What is said of it, once; -EFAULT. */
int sv_cannot_look(struct vmig_supervise *sv, int error);
int sv_memory(struct vmig_kabi_task *task, uint64_t addr, uint64_t len, struct vmig_dma *ret,
	      void **ret_release);
void sv_release(void *release);

#endif
