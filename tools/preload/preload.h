/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * preload - the library that `vmig run` loads into a program: the devices live in the program's own process.
 *
 *	call-*.c   what stands in the way of the C library's functions: is it about a descriptor of ours?
 *	start.c    the devices, opened when /dev/vfio is for the first time; fork; what was passed at the start
 *	files.c    which descriptor stands for which file of the core
 *	task.c     what the core asks of the program: its memory is our own
 *	memory.c   which file the program has mapped somewhere
 *
 * Every read() of the program comes through here, so the answer "not ours" is one look into an array.
 *
 * A descriptor of ours is open in the kernel as an epoll: an anonymous inode like a real one, its number cannot be
 * given away, and a call that came past us fails instead of doing something silently.
 */
#ifndef VMIG_PRELOAD_H
#define VMIG_PRELOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <vmig/kernel_abi.h>

#include "tools/vmig/run-shared.h"

#define PRELOAD_FDS_MAX (1 << 20)

/* --- the functions of the C library that we stand before ----------------------------------------- */

/** The real one of the function @name: REAL(close)(fd). Looked for once. */
#define REAL(name)                                                                                           \
	({                                                                                                   \
		static __typeof__(&name) real_##name;                                                        \
		__typeof__(&name) fn_##name = __atomic_load_n(&real_##name, __ATOMIC_RELAXED);               \
		if (!fn_##name) {                                                                            \
			fn_##name = (__typeof__(&name))preload_find(#name);                                  \
			__atomic_store_n(&real_##name, fn_##name, __ATOMIC_RELAXED);                         \
		}                                                                                            \
		fn_##name;                                                                                   \
	})
void *preload_find(const char *name);

/* --- start ----------------------------------------------------------------------------------- */

/** The core, started now if it has not been. NULL: this program has no devices, or they cannot be had (*ret_error: errno). */
struct vmig_kabi *preload_kabi(int *ret_error);
/** May @path be one of ours? Cheap. */
bool preload_is_near(const char *path);
/** True while this thread is in our own code: what that opens is the kernel's. */
bool preload_inside(void);
void preload_enter(void);
/** errno is as it was when this thread entered: a call of ours that succeeds does not change it. */
void preload_leave(void);
/** Does a device live in another process, so that it needs the files behind the memory? */
bool preload_needs_files(void);

/* --- files ----------------------------------------------------------------------------------- */

/* Of each descriptor; 0: it is not ours. What is in a word: files.c. */
extern uint64_t preload_files[PRELOAD_FDS_MAX];
/** Of a descriptor that was passed at the start and has not been used yet. */
#define PRELOAD_PENDING ((struct vmig_kabi_file *)1)

static inline bool preload_is_ours(int fd)
{
	return fd >= 0 && fd < PRELOAD_FDS_MAX && __atomic_load_n(&preload_files[fd], __ATOMIC_RELAXED);
}

static inline bool preload_is_pending(int fd)
{
	return __atomic_load_n(&preload_files[fd], __ATOMIC_ACQUIRE) == (uintptr_t)PRELOAD_PENDING;
}

/** The file that @fd stands for, for one call, which gives it back; NULL: none (any more). Never waits for another call. */
struct vmig_kabi_file *preload_file_borrow(int fd);
void preload_file_return(int fd, struct vmig_kabi_file *file);
/** The file that @fd stands for, with a reference; NULL: none (any more). */
struct vmig_kabi_file *preload_file_get(int fd);
/** A new descriptor for @file, whose reference passes on. -EMFILE, ... */
int preload_file_install(struct vmig_kabi_file *file, bool cloexec);
/** @fd (open already) stands for @file from now on; its reference passes on. */
int preload_file_set(int fd, struct vmig_kabi_file *file);
/** @fd is about to be closed, or to become something else. */
void preload_file_drop(int fd);
void preload_file_drop_range(unsigned int first, unsigned int last);
/** For what duplicates a descriptor: as preload_file_get(), but NULL in a child of vfork(), which shares the table only. */
struct vmig_kabi_file *preload_file_get_own(int fd);
/** Only the first. In a child after fork(): nothing is ours but what was passed and has not been used yet. */
void preload_files_forget(void);
/** Mark what was passed at the start; make a file of one of them when it is used. */
void preload_pass(const struct run_shared *shared);
struct vmig_kabi_file *preload_passed(int fd);

/* --- calls ----------------------------------------------------------------------------------- */

/** The task of this thread. */
struct vmig_kabi_task *preload_task(void);
void preload_task_forget(void);

ssize_t preload_transfer(bool is_write, int fd, const struct iovec *iov, int n, int64_t offset);

/** The file that is mapped, shared and writable, at all of [@addr, @addr + @len): a descriptor of our own and the
 *  offset in it. -1: there is none. */
int preload_memory_file(uint64_t addr, uint64_t len, uint64_t *ret_offset);

#endif
