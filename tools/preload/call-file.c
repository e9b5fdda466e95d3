/* SPDX-License-Identifier: BSD-3-Clause */
/* Descriptors come and go: open, dup, close. */
#include <errno.h>
#include <stdarg.h>

#include "call.h"

/* --- open ------------------------------------------------------------------------------------ */

static int open_ours(struct vmig_kabi *kabi, const char *path, int flags)
{
	struct vmig_kabi_file *file = NULL;
	int fd;

	preload_enter();
	fd = vmig_kabi_open(kabi, preload_task(), path, flags, &file);
	if (!fd) {
		fd = preload_file_install(file, flags & O_CLOEXEC);
		if (fd < 0)
			vmig_kabi_file_unref(file);
	}
	preload_leave();
	return fd;
}

/* False: @path is not ours, and may be the kernel's. */
static bool try_open(const char *path, int flags, int *ret)
{
	struct vmig_kabi *kabi;
	int error;

	if (preload_inside())
		return false;
	kabi = preload_kabi(&error);
	if (!kabi && error == ENOENT)
		return false;
	if (kabi && !vmig_kabi_owns_path(kabi, path))
		return false;
	*ret = kabi ? open_ours(kabi, path, flags) : -error;
	if (*ret < 0) {
		errno = -*ret;
		*ret = -1;
	}
	return true;
}

#define TRY_OPEN(path, flags)                                                                                \
	do {                                                                                                 \
		int ours_;                                                                                   \
		if (preload_is_near(path) && try_open(path, flags, &ours_))                                  \
			return ours_;                                                                        \
	} while (0)

/* The last argument of open(), where there is one. */
#define GET_MODE(flags, mode)                                                                                \
	do {                                                                                                 \
		if ((flags) & (O_CREAT | __O_TMPFILE)) {                                                     \
			va_list args_;                                                                       \
			va_start(args_, flags);                                                              \
			mode = va_arg(args_, mode_t);                                                        \
			va_end(args_);                                                                       \
		}                                                                                            \
	} while (0)

#define DEFINE_OPEN(name)                                                                                    \
	int name(const char *path, int flags, ...)                                                           \
	{                                                                                                    \
		mode_t mode = 0;                                                                             \
		GET_MODE(flags, mode);                                                                       \
		TRY_OPEN(path, flags);                                                                       \
		return REAL(name)(path, flags, mode);                                                        \
	}
DEFINE_OPEN(open)
DEFINE_OPEN(open64)
DEFINE_OPEN(__open)
DEFINE_OPEN(__open64)

/* A path of ours is absolute: the folder does not matter. */
#define DEFINE_OPENAT(name)                                                                                  \
	int name(int dir, const char *path, int flags, ...)                                                  \
	{                                                                                                    \
		mode_t mode = 0;                                                                             \
		GET_MODE(flags, mode);                                                                       \
		TRY_OPEN(path, flags);                                                                       \
		return REAL(name)(dir, path, flags, mode);                                                   \
	}
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

#define DEFINE_OPEN_2(name)                                                                                  \
	int name(const char *path, int flags)                                                                \
	{                                                                                                    \
		TRY_OPEN(path, flags);                                                                       \
		return REAL(name)(path, flags);                                                              \
	}
DEFINE_OPEN_2(__open_2)
DEFINE_OPEN_2(__open64_2)

#define DEFINE_OPENAT_2(name)                                                                                \
	int name(int dir, const char *path, int flags)                                                       \
	{                                                                                                    \
		TRY_OPEN(path, flags);                                                                       \
		return REAL(name)(dir, path, flags);                                                         \
	}
DEFINE_OPENAT_2(__openat_2)
DEFINE_OPENAT_2(__openat64_2)

/* --- close ----------------------------------------------------------------------------------- */

/* Our entry goes first: once the number is free, another thread may get it for another file. */
#define DEFINE_CLOSE(name)                                                                                   \
	int name(int fd)                                                                                     \
	{                                                                                                    \
		if (preload_is_ours(fd))                                                                     \
			preload_file_drop(fd);                                                               \
		return REAL(name)(fd);                                                                       \
	}
DEFINE_CLOSE(close)
DEFINE_CLOSE(__close)

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1u << 2)
#endif

int close_range(unsigned int first, unsigned int last, int flags)
{
	if (!((unsigned int)flags & CLOSE_RANGE_CLOEXEC))
		preload_file_drop_range(first, last);
	return REAL(close_range)(first, last, flags);
}

void closefrom(int first)
{
	preload_file_drop_range(first < 0 ? 0 : (unsigned int)first, ~0u);
	REAL(closefrom)(first);
}

/* --- dup ------------------------------------------------------------------------------------- */

/* @copy, a duplicate that the kernel has just made of @fd, stands for what @fd does. Takes @file over (may be NULL). */
static int stand_for(struct vmig_kabi_file *file, int copy)
{
	int r;

	if (!file)
		return copy;
	if (copy < 0) {
		preload_enter();
		vmig_kabi_file_unref(file);
		preload_leave();
		return copy;
	}
	r = preload_file_set(copy, file);
	if (!r)
		return copy;
	REAL(close)(copy);
	errno = -r;
	return -1;
}

int dup(int fd)
{
	struct vmig_kabi_file *file = preload_file_get_own(fd);

	return stand_for(file, REAL(dup)(fd));
}

/* @to is about to become what @fd is: unless that is nothing, then it stays. */
static void give_way(int fd, int to)
{
	int saved = errno;

	if (fd != to && preload_is_ours(to) && REAL(fcntl)(fd, F_GETFD) >= 0)
		preload_file_drop(to);
	errno = saved;
}

#define DEFINE_DUP2(name)                                                                                    \
	int name(int fd, int to)                                                                             \
	{                                                                                                    \
		struct vmig_kabi_file *file = fd == to ? NULL : preload_file_get_own(fd);                    \
		give_way(fd, to);                                                                            \
		return stand_for(file, REAL(name)(fd, to));                                                  \
	}
DEFINE_DUP2(dup2)
DEFINE_DUP2(__dup2)

int dup3(int fd, int to, int flags)
{
	struct vmig_kabi_file *file = fd == to ? NULL : preload_file_get_own(fd);

	give_way(fd, to);
	return stand_for(file, REAL(dup3)(fd, to, flags));
}

#define DEFINE_FCNTL(name)                                                                                   \
	int name(int fd, int command, ...)                                                                   \
	{                                                                                                    \
		struct vmig_kabi_file *file = NULL;                                                          \
		va_list args;                                                                                \
		void *arg;                                                                                   \
		va_start(args, command);                                                                     \
		arg = va_arg(args, void *);                                                                  \
		va_end(args);                                                                                \
		if ((command == F_DUPFD || command == F_DUPFD_CLOEXEC) && preload_is_ours(fd))               \
			file = preload_file_get_own(fd);                                                     \
		return stand_for(file, REAL(name)(fd, command, arg));                                        \
	}
DEFINE_FCNTL(fcntl)
DEFINE_FCNTL(fcntl64)
DEFINE_FCNTL(__fcntl)
