/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * supervise - a way in to the kernel ABI (kernel_abi.h) for any program: by seccomp user notification.
 *
 * The kernel stops the program at the system calls that matter and asks this process, which answers them from a
 * struct vmig_kabi. Nothing is loaded into the program: it may be static, written in any language, and do its
 * system calls without libc. It needs no privilege: a program without it gets no_new_privs.
 *
 *	socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv)
 *	fork:   the child calls vmig_supervise_enter(sv[1]), then exec
 *	        the parent calls vmig_supervise_new(kabi, sv[0], ...), and reaps the child when it ends
 *	vmig_supervise_free(), then vmig_kabi_free()
 *
 * The core must have been made with config.own_mmap. Its files get descriptors from VMIG_SUPERVISE_FD to
 * VMIG_SUPERVISE_FD_END - 1, because the filter tells ours from others by the number alone: the soft limit of open
 * files is raised for that. What follows for the program:
 *   - open() of one of our paths returns such a number, not the lowest that is free; so does dup();
 *   - dup2() of such a descriptor to a number outside of them fails with EBADF, F_DUPFD from above them with EINVAL;
 *   - calls of a 32-bit ABI end it (SIGKILL), since they cannot be told apart; x32 calls say ENOSYS;
 *   - io_uring, and descriptors sent to a process that is not supervised, reach an empty file.
 * Processes that it forks are supervised too, also after an exec, also as daemons. Under Yama they must be descendants
 * of this process: be their subreaper (PR_SET_CHILD_SUBREAPER) if daemons are to be served.
 * A program that may not be looked at (not dumpable) by this process cannot be served.
 *
 * A signal does not interrupt a call that is being answered, but a fatal one ends it (Linux 5.19; before that, any
 * signal does, and the call is made again). A signal that comes in the moment before somebody takes the call up restarts
 * it; where its handler was set without SA_RESTART, the program sees EINTR.
 */
#ifndef VMIG_SUPERVISE_H
#define VMIG_SUPERVISE_H

#include <vmig/kernel_abi.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VMIG_SUPERVISE_FD     4096
#define VMIG_SUPERVISE_FD_END 8192

struct vmig_supervise;

/**
 * Can programs be supervised by this process? 0, or -errno:
 *   -EOPNOTSUPP  this kernel has no user notification that can give descriptors (Linux 5.9)
 *   -EBUSY       this process is itself supervised: there is one listener for a process
 *   -EMFILE      the hard limit of open files is below VMIG_SUPERVISE_FD_END, and cannot be raised
 *   another      a sandbox forbids it (-EPERM: to look at another process, perhaps), or there is no /proc
 * Starts a process for a moment.
 */
int vmig_supervise_check(void);

/**
 * In the child, after fork() and before exec: put the filter in force for this process and all that will come of it,
 * and send its listener to the parent over @socket_fd (which stays the caller's). Only system calls: may be called
 * in the child of a process that has threads. From its return the first open() of one of our paths gets the number
 * VMIG_SUPERVISE_FD, the next the one after it: descriptors that are to be passed through exec are opened so.
 * 0, or -errno as above.
 */
int vmig_supervise_enter(int socket_fd);

/**
 * In the parent: receive the listener from @socket_fd (which stays the caller's) and answer, in threads of its own,
 * until vmig_supervise_free(). @kabi must outlive it. Waits until the child has entered or has ended.
 * -ECONNRESET: the child ended, or closed its socket, without entering; -EPROTO: something else came; -ENOMEM.
 */
int vmig_supervise_new(struct vmig_kabi *kabi, int socket_fd, struct vmig_supervise **ret);

/**
 * Stop answering, and close all files that are open. What the program calls from now on, of the calls that are stopped
 * for us, fails with ENOSYS: end it before. Waits for calls that are being answered. NULL is allowed.
 */
void vmig_supervise_free(struct vmig_supervise *sv);

#ifdef __cplusplus
}
#endif
#endif
