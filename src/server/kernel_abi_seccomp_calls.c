/* SPDX-License-Identifier: BSD-3-Clause */
/* One function a system call. What is not ours goes on in the kernel. */
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/openat2.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "base/log.h"
#include "server/kernel_abi_seccomp.h"

#ifndef __NR_close_range
#define __NR_close_range 436
#endif
#ifndef __NR_openat2
#define __NR_openat2 437
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1u << 2)
#endif

/* The most that one call reads or writes, as in the kernel. */
#define MAX_RW 0x7ffff000ull
/* Our paths are shorter than that. */
#define PATH_READ 64u
#define PAGE      4096u

static const struct sv_answer go_on = { .go_on = true };

static struct sv_answer result(int64_t value)
{
	return (struct sv_answer){ .result = value };
}

static uint64_t arg(const struct sv_call *call, unsigned int i)
{
	return call->req->data.args[i];
}

static int fd_arg(const struct sv_call *call, unsigned int i)
{
	return (int)(uint32_t)call->req->data.args[i];
}

static bool is_number_of_ours(int fd)
{
	return fd >= VMIG_SUPERVISE_FD && fd < VMIG_SUPERVISE_FD_END;
}

/* --- open --------------------------------------------------------------------------------- */

/** As much of the path as is needed to see that it is ours; what lies behind it may not be mapped. */
static bool read_path(struct sv_call *call, uint64_t addr, char path[PATH_READ + 1])
{
	size_t to_page = PAGE - (size_t)(addr % PAGE), n = MIN(to_page, (size_t)PATH_READ);

	memset(path, 0, PATH_READ + 1);
	if (sv_read(&call->task, addr, path, n))
		return false;
	if (memchr(path, 0, n) || n == PATH_READ)
		return true;
	return path[0] == '/' && !sv_read(&call->task, addr + n, path + n, PATH_READ - n);
}

static struct sv_answer open_path(struct sv_call *call, uint64_t addr, int flags)
{
	struct vmig_kabi_file *file;
	char path[PATH_READ + 1];
	int r;

	if (!read_path(call, addr, path) || !vmig_kabi_owns_path(call->sv->kabi, path))
		return go_on;
	sv_settle(call->sv);
	r = vmig_kabi_open(call->sv->kabi, &call->task, path, flags, &file);
	if (r)
		return result(r);
	r = sv_install(&call->task, file, flags);
	if (r < 0)
		vmig_kabi_file_unref(file);
	return result(r);
}

static struct sv_answer call_open(struct sv_call *call)
{
	return open_path(call, arg(call, 0), (int)arg(call, 1));
}

static struct sv_answer call_openat(struct sv_call *call)
{
	return open_path(call, arg(call, 1), (int)arg(call, 2));
}

static struct sv_answer call_openat2(struct sv_call *call)
{
	struct open_how how;

	if (arg(call, 3) < sizeof(how) || sv_read(&call->task, arg(call, 2), &how, sizeof(how)))
		return go_on;
	return open_path(call, arg(call, 1), (int)how.flags);
}

/* --- calls on a file ---------------------------------------------------------------------- */

typedef struct sv_answer file_call(struct sv_call *call, struct vmig_kabi_file *file);

static struct sv_answer on_file(struct sv_call *call, unsigned int i, file_call *fn)
{
	struct vmig_kabi_file *file = sv_lookup(&call->task, fd_arg(call, i));
	struct sv_answer a;

	if (!file)
		return go_on;
	a = fn(call, file);
	vmig_kabi_file_unref(file);
	return a;
}

static struct sv_answer file_ioctl(struct sv_call *call, struct vmig_kabi_file *file)
{
	/* It may need what has been closed: a device, a group. */
	sv_settle(call->sv);
	return result(vmig_kabi_ioctl(file, &call->task, (uint32_t)arg(call, 1), arg(call, 2)));
}

static struct sv_answer file_read(struct sv_call *call, struct vmig_kabi_file *file)
{
	return result(vmig_kabi_read(file, &call->task, arg(call, 1), MIN(arg(call, 2), MAX_RW), -1));
}

static struct sv_answer file_write(struct sv_call *call, struct vmig_kabi_file *file)
{
	return result(vmig_kabi_write(file, &call->task, arg(call, 1), MIN(arg(call, 2), MAX_RW), -1));
}

static struct sv_answer file_pread(struct sv_call *call, struct vmig_kabi_file *file)
{
	int64_t at = (int64_t)arg(call, 3);

	if (at < 0)
		return result(-EINVAL);
	return result(vmig_kabi_read(file, &call->task, arg(call, 1), MIN(arg(call, 2), MAX_RW), at));
}

static struct sv_answer file_pwrite(struct sv_call *call, struct vmig_kabi_file *file)
{
	int64_t at = (int64_t)arg(call, 3);

	if (at < 0)
		return result(-EINVAL);
	return result(vmig_kabi_write(file, &call->task, arg(call, 1), MIN(arg(call, 2), MAX_RW), at));
}

/* --- several pieces ----------------------------------------------------------------------- */

typedef int64_t piece_fn(struct vmig_kabi_file *file, struct vmig_kabi_task *task, uint64_t addr,
			 uint64_t len, int64_t offset);

static int64_t each_piece(struct sv_call *call, struct vmig_kabi_file *file, const struct iovec *iov,
			  size_t n, int64_t at, piece_fn *fn)
{
	int64_t done = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t len = MIN((uint64_t)iov[i].iov_len, MAX_RW - (uint64_t)done);
		int64_t r;

		if (!len)
			continue;
		r = fn(file, &call->task, (uintptr_t)iov[i].iov_base, len, at < 0 ? -1 : at + done);
		if (r < 0)
			return done ? done : r;
		done += r;
		if ((uint64_t)r < len)
			break;
	}
	return done;
}

static struct sv_answer pieces(struct sv_call *call, struct vmig_kabi_file *file, int64_t at, piece_fn *fn)
{
	uint64_t n = arg(call, 2);
	struct iovec *iov;
	int64_t r;

	if (n > IOV_MAX)
		return result(-EINVAL);
	iov = calloc((size_t)n + 1, sizeof(*iov));
	if (!iov)
		return result(-ENOMEM);
	r = sv_read(&call->task, arg(call, 1), iov, (size_t)n * sizeof(*iov));
	r = r ? r : each_piece(call, file, iov, (size_t)n, at, fn);
	free(iov);
	return result(r);
}

static struct sv_answer file_readv(struct sv_call *call, struct vmig_kabi_file *file)
{
	return pieces(call, file, -1, vmig_kabi_read);
}

static struct sv_answer file_writev(struct sv_call *call, struct vmig_kabi_file *file)
{
	return pieces(call, file, -1, vmig_kabi_write);
}

/* preadv2() takes flags, and -1 for the file's own position. */
static struct sv_answer pieces_at(struct sv_call *call, struct vmig_kabi_file *file, bool v2, piece_fn *fn)
{
	int64_t at = (int64_t)arg(call, 3);

	if (v2 && arg(call, 5))
		return result(-EOPNOTSUPP);
	if (at < 0 && !(v2 && at == -1))
		return result(-EINVAL);
	return pieces(call, file, at, fn);
}

static struct sv_answer file_preadv(struct sv_call *call, struct vmig_kabi_file *file)
{
	return pieces_at(call, file, false, vmig_kabi_read);
}

static struct sv_answer file_pwritev(struct sv_call *call, struct vmig_kabi_file *file)
{
	return pieces_at(call, file, false, vmig_kabi_write);
}

static struct sv_answer file_preadv2(struct sv_call *call, struct vmig_kabi_file *file)
{
	return pieces_at(call, file, true, vmig_kabi_read);
}

static struct sv_answer file_pwritev2(struct sv_call *call, struct vmig_kabi_file *file)
{
	return pieces_at(call, file, true, vmig_kabi_write);
}

static struct sv_answer file_lseek(struct sv_call *call, struct vmig_kabi_file *file)
{
	return result(-ESPIPE);
}

/* What is mapped must be what the descriptor is in the program: its call cannot be changed. */
static struct sv_answer file_mmap(struct sv_call *call, struct vmig_kabi_file *file)
{
	uint64_t offset;
	int fd, r;

	/* As of a device in the kernel: a copy of its registers is of no use. */
	if ((arg(call, 3) & MAP_TYPE) == MAP_PRIVATE)
		return arg(call, 3) & MAP_ANONYMOUS ? go_on : result(-EINVAL);
	r = vmig_kabi_mmap(file, &call->task, arg(call, 5), arg(call, 1), (int)arg(call, 2), &fd, &offset);
	if (r)
		return result(r);
	return fd == vmig_kabi_file_backing(file) && offset == arg(call, 5) ? go_on : result(-ENODEV);
}

/* --- more and fewer descriptors ----------------------------------------------------------- */

static struct sv_answer file_dup(struct sv_call *call, struct vmig_kabi_file *file)
{
	return result(sv_dup(call, fd_arg(call, 0), 0));
}

static struct sv_answer file_fcntl(struct sv_call *call, struct vmig_kabi_file *file)
{
	int command = (int)arg(call, 1);

	switch (command) {
	case F_GETFD:
	case F_SETFD:
	case F_GETFL:
	case F_SETFL:
		return go_on;
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		/* Above ours it would be nobody's: an empty file. */
		if ((uint32_t)arg(call, 2) >= VMIG_SUPERVISE_FD_END)
			return result(-EINVAL);
		if ((uint32_t)arg(call, 2) >= VMIG_SUPERVISE_FD)
			return go_on;
		return result(sv_dup(call, fd_arg(call, 0), command == F_DUPFD_CLOEXEC ? O_CLOEXEC : 0));
	default: /* locks and seals: the supervisor's */
		return result(-EINVAL);
	}
}

static struct sv_answer refuse_low(struct sv_call *call)
{
	if (!atomic_exchange(&call->sv->said_low, true))
		vmig_log(VMIG_LOG_WARNING,
			 "seccomp: a descriptor of /dev/vfio cannot become number %d: only %d to %d",
			 fd_arg(call, 1), VMIG_SUPERVISE_FD, VMIG_SUPERVISE_FD_END - 1);
	return result(-EBADF);
}

/* dup2() and dup3(): the second may be closed by it. */
static struct sv_answer call_dup2(struct sv_call *call)
{
	struct vmig_kabi_file *file = sv_lookup(&call->task, fd_arg(call, 0));
	dev_t dev;
	ino_t ino;

	if (file)
		vmig_kabi_file_unref(file);
	if (file && !is_number_of_ours(fd_arg(call, 1)))
		return refuse_low(call);
	if (fd_arg(call, 0) != fd_arg(call, 1) && is_number_of_ours(fd_arg(call, 1)) &&
	    sv_fd_inode(call->task.tid, fd_arg(call, 0), &dev, &ino))
		sv_closing(call, (unsigned int)fd_arg(call, 1), (unsigned int)fd_arg(call, 1));
	return go_on;
}

static struct sv_answer call_close(struct sv_call *call)
{
	sv_closing(call, (unsigned int)fd_arg(call, 0), (unsigned int)fd_arg(call, 0));
	return go_on;
}

static struct sv_answer call_close_range(struct sv_call *call)
{
	if (!(arg(call, 2) & CLOSE_RANGE_CLOEXEC))
		sv_closing(call, (unsigned int)arg(call, 0), (unsigned int)arg(call, 1));
	return go_on;
}

static struct sv_answer call_exec(struct sv_call *call)
{
	sv_unsettle(call->sv);
	return go_on;
}

/* --- which ------------------------------------------------------------------------------- */

#define FILE_CALL(name)                                                                                      \
	static struct sv_answer call_##name(struct sv_call *call)                                            \
	{                                                                                                    \
		return on_file(call, 0, file_##name);                                                        \
	}
FILE_CALL(read)
FILE_CALL(write)
FILE_CALL(ioctl)
FILE_CALL(pread)
FILE_CALL(pwrite)
FILE_CALL(readv)
FILE_CALL(writev)
FILE_CALL(preadv)
FILE_CALL(pwritev)
FILE_CALL(preadv2)
FILE_CALL(pwritev2)
FILE_CALL(lseek)
FILE_CALL(dup)
FILE_CALL(fcntl)

static struct sv_answer call_mmap(struct sv_call *call)
{
	return on_file(call, 4, file_mmap);
}

static const struct {
	int nr;
	struct sv_answer (*fn)(struct sv_call *call);
} calls[] = {
	{ __NR_read, call_read },       { __NR_write, call_write },
	{ __NR_ioctl, call_ioctl },     { __NR_pread64, call_pread },
	{ __NR_pwrite64, call_pwrite }, { __NR_readv, call_readv },
	{ __NR_writev, call_writev },   { __NR_close, call_close },
	{ __NR_mmap, call_mmap },       { __NR_openat, call_openat },
	{ __NR_fcntl, call_fcntl },     { __NR_lseek, call_lseek },
	{ __NR_preadv, call_preadv },   { __NR_pwritev, call_pwritev },
	{ __NR_preadv2, call_preadv2 }, { __NR_pwritev2, call_pwritev2 },
	{ __NR_dup, call_dup },         { __NR_dup3, call_dup2 },
	{ __NR_openat2, call_openat2 }, { __NR_close_range, call_close_range },
	{ __NR_execve, call_exec },     { __NR_execveat, call_exec },
#ifdef __NR_open
	{ __NR_open, call_open },       { __NR_dup2, call_dup2 },
#endif
};

/* The native calls have their numbers from the headers; the filter lets no other architecture's through. */
static bool is_native(uint32_t arch)
{
#if defined(__x86_64__)
	return arch == AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
	return arch == AUDIT_ARCH_AARCH64;
#else
	return false;
#endif
}

static struct sv_answer end_foreign(struct sv_call *call)
{
	if (!atomic_exchange(&call->sv->said_foreign, true))
		vmig_log(VMIG_LOG_ERROR,
			 "seccomp: process %d makes 32-bit system calls, which cannot be served: it is ended",
			 (int)call->task.pid);
	/* Only who is known to be the one: its number may be another's by now, and 0 would be ourselves. */
	if (call->task.pid > 0 && sv_call_valid(call))
		kill(call->task.pid, SIGKILL);
	return result(-ENOSYS);
}

struct sv_answer sv_answer(struct sv_call *call)
{
	if (!is_native(call->req->data.arch))
		return end_foreign(call);
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		if (calls[i].nr == call->req->data.nr)
			return calls[i].fn(call);
	return go_on;
}
