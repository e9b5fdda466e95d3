/* SPDX-License-Identifier: BSD-3-Clause */
/* The program's memory is our own, its descriptors are too: there is little to do. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "preload.h"

static void *at(uint64_t addr)
{
	return (void *)(uintptr_t)addr;
}

/* A bad address is the program's own end, as it would be in any function of a library. */
static int task_read(struct vmig_kabi_task *task, uint64_t addr, void *buf, size_t len)
{
	memcpy(buf, at(addr), len);
	return 0;
}

static int task_write(struct vmig_kabi_task *task, uint64_t addr, const void *buf, size_t len)
{
	memcpy(at(addr), buf, len);
	return 0;
}

static int task_direct(struct vmig_kabi_task *task, uint64_t addr, size_t len, struct iovec *ret_iov)
{
	ret_iov[0] = (struct iovec){ .iov_base = at(addr), .iov_len = len };
	return 1;
}

static int task_install(struct vmig_kabi_task *task, struct vmig_kabi_file *file, int open_flags)
{
	return preload_file_install(file, open_flags & O_CLOEXEC);
}

static struct vmig_kabi_file *task_lookup(struct vmig_kabi_task *task, int fd)
{
	return preload_file_get(fd);
}

static int task_take_fd(struct vmig_kabi_task *task, int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	return copy < 0 ? -errno : copy;
}

static int task_memory(struct vmig_kabi_task *task, uint64_t addr, uint64_t len, struct vmig_dma *ret,
		       void **ret_release)
{
	int *fd = malloc(sizeof(*fd));

	if (!fd)
		return -ENOMEM;
	ret->vaddr = at(addr);
	ret->io = NULL;
	*fd = preload_needs_files() ? preload_memory_file(addr, len, &ret->fd_offset) : -1;
	ret->fd = *fd;
	*ret_release = fd;
	return 0;
}

static void task_release(void *release)
{
	int *fd = release;

	if (!fd)
		return;
	if (*fd >= 0)
		close(*fd);
	free(fd);
}

static const struct vmig_kabi_task_ops ops = {
	.read = task_read,
	.write = task_write,
	.direct = task_direct,
	.install = task_install,
	.lookup = task_lookup,
	.take_fd = task_take_fd,
	.memory = task_memory,
	.release = task_release,
};

static __thread struct vmig_kabi_task this_task;

struct vmig_kabi_task *preload_task(void)
{
	if (!this_task.tid)
		this_task = (struct vmig_kabi_task){ .ops = &ops, .pid = getpid(), .tid = gettid() };
	return &this_task;
}

void preload_task_forget(void)
{
	this_task.tid = 0;
}
