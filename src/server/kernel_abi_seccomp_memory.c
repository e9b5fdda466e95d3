/* SPDX-License-Identifier: BSD-3-Clause */
/* The program's memory and descriptors, for the length of a call: by the number of its thread, which stands still meanwhile. */
#include <sys/syscall.h>
#include <sys/uio.h>

#include "base/log.h"
#include "server/kernel_abi_seccomp.h"

#ifndef __NR_pidfd_open
#define __NR_pidfd_open 434
#endif
#ifndef __NR_pidfd_getfd
#define __NR_pidfd_getfd 438
#endif

int sv_cannot_look(struct vmig_supervise *sv, int error)
{
	if (error == EPERM && !atomic_exchange(&sv->said_memory, true))
		vmig_log(VMIG_LOG_ERROR, "seccomp: the program's memory may not be looked at: it is not "
					 "dumpable, or Yama's ptrace_scope forbids it");
	return -EFAULT;
}

int sv_read(struct vmig_kabi_task *task, uint64_t addr, void *buf, size_t len)
{
	struct sv_call *call = sv_call_of(task);
	struct iovec ours = { buf, len }, theirs = { (void *)(uintptr_t)addr, len };
	ssize_t n = len ? process_vm_readv(task->tid, &ours, 1, &theirs, 1, 0) : 0;

	if (n < 0)
		return sv_cannot_look(call->sv, errno);
	/* Was it the thread's memory that was read, or that of another which has its number now? */
	return (size_t)n == len && sv_call_valid(call) ? 0 : -EFAULT;
}

int sv_write(struct vmig_kabi_task *task, uint64_t addr, const void *buf, size_t len)
{
	struct sv_call *call = sv_call_of(task);
	struct iovec ours = { (void *)(uintptr_t)buf, len }, theirs = { (void *)(uintptr_t)addr, len };
	ssize_t n;

	if (!len)
		return 0;
	if (!sv_call_valid(call))
		return -EFAULT;
	n = process_vm_writev(task->tid, &ours, 1, &theirs, 1, 0);
	if (n < 0)
		return sv_cannot_look(call->sv, errno);
	return (size_t)n == len ? 0 : -EFAULT;
}

/* --- descriptors -------------------------------------------------------------------------- */

int sv_take_from(pid_t tgid, int fd)
{
	_autoclose_ int pidfd = (int)syscall(__NR_pidfd_open, tgid, 0);
	int ours;

	if (pidfd < 0)
		return -errno;
	ours = (int)syscall(__NR_pidfd_getfd, pidfd, fd, 0);
	return ours < 0 ? -errno : ours;
}

int sv_take_fd(struct vmig_kabi_task *task, int fd)
{
	struct sv_call *call = sv_call_of(task);
	int ours = fd < 0 ? -EBADF : sv_take_from(task->pid, fd);

	if (ours >= 0 && !sv_call_valid(call)) {
		close(ours);
		return -EBADF;
	}
	return ours;
}
