/* SPDX-License-Identifier: BSD-3-Clause */
/** call - the names of the C library under which a call may come, where its headers do not declare them. */
#ifndef VMIG_PRELOAD_CALL_H
#define VMIG_PRELOAD_CALL_H

#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include "preload.h"

/* With -D_FORTIFY_SOURCE. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dir, const char *path, int flags);
int __openat64_2(int dir, const char *path, int flags);
ssize_t __read_chk(int fd, void *buf, size_t len, size_t room);
ssize_t __pread_chk(int fd, void *buf, size_t len, off_t offset, size_t room);
ssize_t __pread64_chk(int fd, void *buf, size_t len, off64_t offset, size_t room);

/* Older programs, and the C library's own aliases. */
int __open(const char *path, int flags, ...);
int __open64(const char *path, int flags, ...);
ssize_t __read(int fd, void *buf, size_t len);
ssize_t __write(int fd, const void *buf, size_t len);
ssize_t __pread64(int fd, void *buf, size_t len, off64_t offset);
ssize_t __pwrite64(int fd, const void *buf, size_t len, off64_t offset);
int __close(int fd);
int __dup2(int fd, int to);
int __fcntl(int fd, int command, ...);
off_t __lseek(int fd, off_t offset, int whence);

#endif
