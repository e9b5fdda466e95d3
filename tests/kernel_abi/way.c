/* SPDX-License-Identifier: BSD-3-Clause */
#include "way.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static struct way *way_of(struct vmig_kabi_task *task)
{
	return (struct way *)task;
}

/* --- what the core asks for --------------------------------------------------------------- */

/* The kernel looks at the address, so that a bad one is an answer and not a signal. */
static int way_get(struct vmig_kabi_task *task, uint64_t addr, void *buf, size_t len)
{
	struct iovec local = { buf, len }, remote = { (void *)(uintptr_t)addr, len };

	return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)len ? 0 : -EFAULT;
}

static int way_put(struct vmig_kabi_task *task, uint64_t addr, const void *buf, size_t len)
{
	struct iovec local = { (void *)(uintptr_t)buf, len }, remote = { (void *)(uintptr_t)addr, len };

	return process_vm_writev(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)len ? 0 : -EFAULT;
}

/** Is all of it there? Its first and its last byte are. */
static bool is_memory(struct vmig_kabi_task *task, uint64_t addr, uint64_t len)
{
	char byte;

	return !way_get(task, addr, &byte, 1) && !way_get(task, addr + (len - 1), &byte, 1);
}

static int way_direct(struct vmig_kabi_task *task, uint64_t addr, size_t len, struct iovec *ret_iov)
{
	if (!way_of(task)->direct)
		return 0;
	if (!is_memory(task, addr, len))
		return -EFAULT;
	ret_iov[0] = (struct iovec){ (void *)(uintptr_t)addr, len };
	return 1;
}

static int way_install(struct vmig_kabi_task *task, struct vmig_kabi_file *file, int open_flags)
{
	struct way *way = way_of(task);
	int fd = -EMFILE;

	ck_assert_int_eq(open_flags & O_CLOEXEC, O_CLOEXEC);
	if (atomic_load(&way->no_install) >= 0 && atomic_fetch_sub(&way->no_install, 1) <= 0) {
		atomic_store(&way->no_install, 0);
		return -EMFILE;
	}
	pthread_mutex_lock(&way->lock);
	for (int i = 0; i < WAY_FILES; i++) {
		if (way->files[i])
			continue;
		way->files[i] = file;
		fd = WAY_FIRST + i;
		break;
	}
	pthread_mutex_unlock(&way->lock);
	return fd;
}

static struct vmig_kabi_file *way_lookup(struct vmig_kabi_task *task, int fd)
{
	struct way *way = way_of(task);
	struct vmig_kabi_file *file = NULL;

	pthread_mutex_lock(&way->lock);
	if (fd >= WAY_FIRST && fd < WAY_FIRST + WAY_FILES)
		file = way->files[fd - WAY_FIRST];
	if (file)
		vmig_kabi_file_ref(file);
	pthread_mutex_unlock(&way->lock);
	return file;
}

static int way_take_fd(struct vmig_kabi_task *task, int fd)
{
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return own < 0 ? -errno : own;
}

static int io_read(void *opaque, uint64_t iova, void *buf, size_t len)
{
	return -EFAULT;
}

static int io_write(void *opaque, uint64_t iova, const void *buf, size_t len)
{
	return -EFAULT;
}

static const struct vmig_dma_io io = { io_read, io_write, NULL };

static int way_memory(struct vmig_kabi_task *task, uint64_t addr, uint64_t len, struct vmig_dma *ret,
		      void **ret_release)
{
	struct way *way = way_of(task);
	uint32_t kinds = way->kinds ? way->kinds : VMIG_DMA_KIND_ADDRESS;

	ck_assert_ptr_null(*ret_release);
	ck_assert_int_eq(ret->fd, -1);
	ck_assert_uint_eq(ret->size, len);
	if (!is_memory(task, addr, len))
		return -EFAULT;
	if (kinds & VMIG_DMA_KIND_ADDRESS)
		ret->vaddr = (void *)(uintptr_t)addr;
	if (kinds & VMIG_DMA_KIND_FD) {
		ret->fd = way->memory_fd;
		ret->fd_offset = addr - (uintptr_t)way->memory_at;
	}
	if (kinds & VMIG_DMA_KIND_MESSAGE)
		ret->io = &io;
	atomic_fetch_add(&way->mapped, 1);
	*ret_release = way;
	return 0;
}

static void way_release(void *release)
{
	atomic_fetch_sub(&((struct way *)release)->mapped, 1);
}

static const struct vmig_kabi_task_ops ops = {
	.read = way_get,
	.write = way_put,
	.direct = way_direct,
	.install = way_install,
	.lookup = way_lookup,
	.take_fd = way_take_fd,
	.memory = way_memory,
	.release = way_release,
};

/* --- the program's calls ------------------------------------------------------------------ */

void way_init(struct way *way, const struct vmig_kabi_config *config)
{
	*way = (struct way){ .task = { .ops = &ops, .pid = getpid(), .tid = gettid() }, .no_install = -1 };
	pthread_mutex_init(&way->lock, NULL);
	ck_assert_int_eq(vmig_kabi_new(config, &way->kabi), 0);
}

void way_done(struct way *way)
{
	for (int i = 0; i < WAY_FILES; i++)
		if (way->files[i])
			way_close(way, WAY_FIRST + i);
	vmig_kabi_free(way->kabi);
	pthread_mutex_destroy(&way->lock);
	ck_assert_int_eq(atomic_load(&way->mapped), 0);
}

int way_open(struct way *way, const char *path)
{
	struct vmig_kabi_file *file = NULL;
	int r = vmig_kabi_open(way->kabi, &way->task, path, O_RDWR | O_CLOEXEC, &file);

	return r < 0 ? r : way_install(&way->task, file, O_CLOEXEC);
}

void way_close(struct way *way, int fd)
{
	struct vmig_kabi_file *file = way_file(way, fd);

	ck_assert_ptr_nonnull(file);
	pthread_mutex_lock(&way->lock);
	way->files[fd - WAY_FIRST] = NULL;
	pthread_mutex_unlock(&way->lock);
	vmig_kabi_file_unref(file);
}

int way_dup(struct way *way, int fd)
{
	struct vmig_kabi_file *file = way_lookup(&way->task, fd);
	int again = way_install(&way->task, file, O_CLOEXEC);

	if (again < 0)
		vmig_kabi_file_unref(file);
	return again;
}

struct vmig_kabi_file *way_file(struct way *way, int fd)
{
	struct vmig_kabi_file *file = way_lookup(&way->task, fd);

	if (file)
		vmig_kabi_file_unref(file);
	return file;
}

int64_t way_ioctl_number(struct way *way, int fd, uint32_t request, uint64_t arg)
{
	struct vmig_kabi_file *file = way_lookup(&way->task, fd);
	int64_t r;

	ck_assert_ptr_nonnull(file);
	r = vmig_kabi_ioctl(file, &way->task, request, arg);
	vmig_kabi_file_unref(file);
	return r;
}

int64_t way_ioctl(struct way *way, int fd, uint32_t request, const void *arg)
{
	return way_ioctl_number(way, fd, request, (uintptr_t)arg);
}

static int64_t transfer(struct way *way, int fd, void *buf, size_t len, int64_t offset, bool is_write)
{
	struct vmig_kabi_file *file = way_lookup(&way->task, fd);
	int64_t r;

	ck_assert_ptr_nonnull(file);
	r = (is_write ? vmig_kabi_write : vmig_kabi_read)(file, &way->task, (uintptr_t)buf, len, offset);
	vmig_kabi_file_unref(file);
	return r;
}

int64_t way_read(struct way *way, int fd, void *buf, size_t len)
{
	return transfer(way, fd, buf, len, -1, false);
}

int64_t way_write(struct way *way, int fd, const void *buf, size_t len)
{
	return transfer(way, fd, (void *)(uintptr_t)buf, len, -1, true);
}

int64_t way_pread(struct way *way, int fd, void *buf, size_t len, uint64_t offset)
{
	return transfer(way, fd, buf, len, (int64_t)offset, false);
}

int64_t way_pwrite(struct way *way, int fd, const void *buf, size_t len, uint64_t offset)
{
	return transfer(way, fd, (void *)(uintptr_t)buf, len, (int64_t)offset, true);
}
