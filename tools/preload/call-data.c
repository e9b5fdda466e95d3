/* SPDX-License-Identifier: BSD-3-Clause */
/* ioctl, read and write in all their forms, mmap, lseek. */
#include <errno.h>
#include <stdarg.h>
#include <sys/ioctl.h>

#include "call.h"

/* --- a call of ours -------------------------------------------------------------------------- */

static ssize_t answer(int64_t r)
{
	if (r >= 0)
		return (ssize_t)r;
	errno = (int)-r;
	return -1;
}

/* The number is ours, but not what it stands for any more (another thread has closed it): the kernel answers. */
static int64_t transfer_one(bool is_write, int fd, const struct iovec *iov, int64_t offset)
{
	struct vmig_kabi_file *file = preload_file_borrow(fd);
	uint64_t addr = (uint64_t)(uintptr_t)iov->iov_base;
	int64_t r;

	if (!file)
		return -EBADF;
	preload_enter();
	r = is_write ? vmig_kabi_write(file, preload_task(), addr, iov->iov_len, offset)
		     : vmig_kabi_read(file, preload_task(), addr, iov->iov_len, offset);
	preload_file_return(fd, file);
	preload_leave();
	return r;
}

ssize_t preload_transfer(bool is_write, int fd, const struct iovec *iov, int n, int64_t offset)
{
	int64_t done = 0, r;

	if (n < 0 || (n && !iov) || offset < -1)
		return answer(-EINVAL);
	for (int i = 0; i < n; i++) {
		if (!iov[i].iov_len && n > 1)
			continue;
		r = transfer_one(is_write, fd, &iov[i], offset < 0 ? -1 : offset + done);
		if (r < 0)
			return done ? (ssize_t)done : answer(r);
		done += r;
		if ((uint64_t)r < iov[i].iov_len)
			break;
	}
	return (ssize_t)done;
}

static ssize_t ours_read(int fd, void *buf, size_t len, int64_t offset)
{
	return preload_transfer(false, fd, &(struct iovec){ buf, len }, 1, offset);
}

static ssize_t ours_write(int fd, const void *buf, size_t len, int64_t offset)
{
	return preload_transfer(true, fd, &(struct iovec){ (void *)(uintptr_t)buf, len }, 1, offset);
}

/* pread() takes no negative offset; in here, -1 is "none". */
static int64_t at(int64_t offset)
{
	return offset < 0 ? -2 : offset;
}

/* --- ioctl ----------------------------------------------------------------------------------- */

static int ours_ioctl(int fd, unsigned long request, void *arg)
{
	struct vmig_kabi_file *file = preload_file_borrow(fd);
	int64_t r;

	if (!file)
		return (int)answer(-EBADF);
	preload_enter();
	r = vmig_kabi_ioctl(file, preload_task(), (uint32_t)request, (uint64_t)(uintptr_t)arg);
	preload_file_return(fd, file);
	preload_leave();
	return (int)answer(r);
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	return preload_is_ours(fd) ? ours_ioctl(fd, request, arg) : REAL(ioctl)(fd, request, arg);
}

/* --- read and write -------------------------------------------------------------------------- */

#define DEFINE_READ(name)                                                                                    \
	ssize_t name(int fd, void *buf, size_t len)                                                          \
	{                                                                                                    \
		return preload_is_ours(fd) ? ours_read(fd, buf, len, -1) : REAL(name)(fd, buf, len);         \
	}
DEFINE_READ(read)
DEFINE_READ(__read)

ssize_t __read_chk(int fd, void *buf, size_t len, size_t room)
{
	return preload_is_ours(fd) && len <= room ? ours_read(fd, buf, len, -1)
						  : REAL(__read_chk)(fd, buf, len, room);
}

#define DEFINE_PREAD(name, off_type)                                                                         \
	ssize_t name(int fd, void *buf, size_t len, off_type offset)                                         \
	{                                                                                                    \
		return preload_is_ours(fd) ? ours_read(fd, buf, len, at(offset))                             \
					   : REAL(name)(fd, buf, len, offset);                               \
	}
DEFINE_PREAD(pread, off_t)
DEFINE_PREAD(pread64, off64_t)
DEFINE_PREAD(__pread64, off64_t)

#define DEFINE_PREAD_CHK(name, off_type)                                                                     \
	ssize_t name(int fd, void *buf, size_t len, off_type offset, size_t room)                            \
	{                                                                                                    \
		return preload_is_ours(fd) && len <= room ? ours_read(fd, buf, len, at(offset))              \
							  : REAL(name)(fd, buf, len, offset, room);          \
	}
DEFINE_PREAD_CHK(__pread_chk, off_t)
DEFINE_PREAD_CHK(__pread64_chk, off64_t)

#define DEFINE_WRITE(name)                                                                                   \
	ssize_t name(int fd, const void *buf, size_t len)                                                    \
	{                                                                                                    \
		return preload_is_ours(fd) ? ours_write(fd, buf, len, -1) : REAL(name)(fd, buf, len);        \
	}
DEFINE_WRITE(write)
DEFINE_WRITE(__write)

#define DEFINE_PWRITE(name, off_type)                                                                        \
	ssize_t name(int fd, const void *buf, size_t len, off_type offset)                                   \
	{                                                                                                    \
		return preload_is_ours(fd) ? ours_write(fd, buf, len, at(offset))                            \
					   : REAL(name)(fd, buf, len, offset);                               \
	}
DEFINE_PWRITE(pwrite, off_t)
DEFINE_PWRITE(pwrite64, off64_t)
DEFINE_PWRITE(__pwrite64, off64_t)

#define DEFINE_VECTOR(name, is_write)                                                                        \
	ssize_t name(int fd, const struct iovec *iov, int n)                                                 \
	{                                                                                                    \
		return preload_is_ours(fd) ? preload_transfer(is_write, fd, iov, n, -1)                      \
					   : REAL(name)(fd, iov, n);                                         \
	}
DEFINE_VECTOR(readv, false)
DEFINE_VECTOR(writev, true)

#define DEFINE_VECTOR_AT(name, is_write, off_type)                                                           \
	ssize_t name(int fd, const struct iovec *iov, int n, off_type offset)                                \
	{                                                                                                    \
		return preload_is_ours(fd) ? preload_transfer(is_write, fd, iov, n, at(offset))              \
					   : REAL(name)(fd, iov, n, offset);                                 \
	}
DEFINE_VECTOR_AT(preadv, false, off_t)
DEFINE_VECTOR_AT(preadv64, false, off64_t)
DEFINE_VECTOR_AT(pwritev, true, off_t)
DEFINE_VECTOR_AT(pwritev64, true, off64_t)

/* Here -1 is "at the current position". */
#define DEFINE_VECTOR_2(name, is_write, off_type)                                                            \
	ssize_t name(int fd, const struct iovec *iov, int n, off_type offset, int flags)                     \
	{                                                                                                    \
		return preload_is_ours(fd) ? preload_transfer(is_write, fd, iov, n, offset)                  \
					   : REAL(name)(fd, iov, n, offset, flags);                          \
	}
DEFINE_VECTOR_2(preadv2, false, off_t)
DEFINE_VECTOR_2(preadv64v2, false, off64_t)
DEFINE_VECTOR_2(pwritev2, true, off_t)
DEFINE_VECTOR_2(pwritev64v2, true, off64_t)

/* --- mmap and lseek -------------------------------------------------------------------------- */

static void *ours_mmap(void *addr, size_t len, int prot, int flags, int fd, off64_t offset)
{
	struct vmig_kabi_file *file = preload_file_borrow(fd);
	uint64_t instead_offset;
	void *p = MAP_FAILED;
	int instead_fd;
	int64_t r;

	if (!file) {
		answer(-EBADF);
		return p;
	}
	preload_enter();
	/* As of a device in the kernel: a copy of its registers is of no use. */
	r = (flags & MAP_TYPE) == MAP_PRIVATE ? -EINVAL
					      : vmig_kabi_mmap(file, preload_task(), (uint64_t)offset, len,
							       prot, &instead_fd, &instead_offset);
	preload_leave();
	if (!r)
		p = REAL(mmap64)(addr, len, prot, flags, instead_fd, (off64_t)instead_offset);
	/* Only now: the file's descriptor goes with the last reference. */
	preload_enter();
	preload_file_return(fd, file);
	preload_leave();
	if (r)
		answer(r);
	return p;
}

#define DEFINE_MMAP(name, off_type)                                                                          \
	void *name(void *addr, size_t len, int prot, int flags, int fd, off_type offset)                     \
	{                                                                                                    \
		return !(flags & MAP_ANONYMOUS) && preload_is_ours(fd)                                       \
			       ? ours_mmap(addr, len, prot, flags, fd, offset)                               \
			       : REAL(name)(addr, len, prot, flags, fd, offset);                             \
	}
DEFINE_MMAP(mmap, off_t)
DEFINE_MMAP(mmap64, off64_t)

/* Nothing of /dev/vfio has a position. */
#define DEFINE_LSEEK(name, off_type)                                                                         \
	off_type name(int fd, off_type offset, int whence)                                                   \
	{                                                                                                    \
		return preload_is_ours(fd) ? (off_type)answer(-ESPIPE) : REAL(name)(fd, offset, whence);     \
	}
DEFINE_LSEEK(lseek, off_t)
DEFINE_LSEEK(lseek64, off64_t)
DEFINE_LSEEK(__lseek, off_t)
