/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which system calls are stopped for the supervisor. The filter is made by hand, not by libseccomp: Debian 12's (2.5) cannot
 * ask for WAIT_KILLABLE_RECV, without which a signal makes the program write its data twice, nor compare one argument
 * with both ends of a range in one rule.
 */
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "server/kernel_abi_seccomp.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
#ifndef __NR_close_range
#define __NR_close_range 436
#endif
#ifndef __NR_openat2
#define __NR_openat2 437
#endif
#ifndef __NR_pidfd_open
#define __NR_pidfd_open 434
#endif
#ifndef __NR_pidfd_getfd
#define __NR_pidfd_getfd 438
#endif

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#else
#define NATIVE_ARCH 0 /* vmig_supervise_enter() refuses */
#endif
#define X32_BIT 0x40000000u

/* When a call is stopped: always; or when the argument, or one of two, is a number of ours. */
enum when { ALWAYS, ARG, EITHER, SPAN };

/* NOTIFY: the supervisor answers. REFUSE: EINVAL; what a device does not have, and what would reach the memory file. */
struct rule {
	int nr;
	enum when when;
	unsigned char arg[2];
	bool refuse;
};

/* In the order of how often they are made: the kernel tries one after the other. */
static const struct rule rules[] = {
	{ __NR_read, ARG, { 0 } },
	{ __NR_write, ARG, { 0 } },
	{ __NR_ioctl, ARG, { 0 } },
	{ __NR_pread64, ARG, { 0 } },
	{ __NR_pwrite64, ARG, { 0 } },
	{ __NR_readv, ARG, { 0 } },
	{ __NR_writev, ARG, { 0 } },
	{ __NR_close, ARG, { 0 } },
	{ __NR_mmap, ARG, { 4 } },
	{ __NR_openat, ALWAYS },
	{ __NR_fcntl, ARG, { 0 } },
	{ __NR_lseek, ARG, { 0 } },
	{ __NR_preadv, ARG, { 0 } },
	{ __NR_pwritev, ARG, { 0 } },
	{ __NR_preadv2, ARG, { 0 } },
	{ __NR_pwritev2, ARG, { 0 } },
	{ __NR_dup, ARG, { 0 } },
	{ __NR_dup3, EITHER, { 0, 1 } },
	{ __NR_openat2, ALWAYS },
	{ __NR_close_range, SPAN, { 0, 1 } },
	{ __NR_execve, ALWAYS },
	{ __NR_execveat, ALWAYS },
#ifdef __NR_open
	{ __NR_open, ALWAYS },
	{ __NR_dup2, EITHER, { 0, 1 } },
#endif
	{ __NR_ftruncate, ARG, { 0 }, true },
	{ __NR_fallocate, ARG, { 0 }, true },
	{ __NR_sendfile, EITHER, { 0, 1 }, true },
	{ __NR_splice, EITHER, { 0, 2 }, true },
	{ __NR_copy_file_range, EITHER, { 0, 2 }, true },
};

#define FIXED_INSNS  8u
#define INSNS_A_RULE 10u

struct program {
	struct sock_filter insns[FIXED_INSNS + INSNS_A_RULE * ARRAY_SIZE(rules)];
	unsigned short n;
};

static void add(struct program *p, unsigned short code, uint32_t k, unsigned char jt, unsigned char jf)
{
	p->insns[p->n++] = (struct sock_filter){ .code = code, .jt = jt, .jf = jf, .k = k };
}

static void load(struct program *p, size_t offset)
{
	add(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

/* A descriptor is an unsigned int: the kernel looks at no more of the register. */
static void load_arg(struct program *p, unsigned int arg)
{
	load(p, offsetof(struct seccomp_data, args) + 8 * arg +
			(__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0));
}

static void verdict(struct program *p, uint32_t action)
{
	add(p, BPF_RET | BPF_K, action, 0, 0);
}

#define GE (BPF_JMP | BPF_JGE | BPF_K)

/* Go on behind the next @skip instructions if the argument is not ours. */
static void skip_others(struct program *p, unsigned int arg, unsigned char skip)
{
	load_arg(p, arg);
	add(p, GE, VMIG_SUPERVISE_FD, 0, (unsigned char)(skip + 1));
	add(p, GE, VMIG_SUPERVISE_FD_END, skip, 0);
}

static void add_condition(struct program *p, const struct rule *rule)
{
	switch (rule->when) {
	case ALWAYS:
		return;
	case ARG:
		skip_others(p, rule->arg[0], 1);
		return;
	case EITHER: /* past the test of the second if the first is ours */
		load_arg(p, rule->arg[0]);
		add(p, GE, VMIG_SUPERVISE_FD, 0, 1);
		add(p, GE, VMIG_SUPERVISE_FD_END, 0, 3);
		skip_others(p, rule->arg[1], 1);
		return;
	case SPAN: /* [first, last] meets ours */
		load_arg(p, rule->arg[0]);
		add(p, GE, VMIG_SUPERVISE_FD_END, 3, 0);
		load_arg(p, rule->arg[1]);
		add(p, GE, VMIG_SUPERVISE_FD, 0, 1);
		return;
	}
}

static void add_rule(struct program *p, const struct rule *rule)
{
	unsigned short test = p->n;

	add(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)rule->nr, 0, 0);
	add_condition(p, rule);
	verdict(p, rule->refuse ? SECCOMP_RET_ERRNO | EINVAL : SECCOMP_RET_USER_NOTIF);
	if (rule->when != ALWAYS)
		verdict(p, SECCOMP_RET_ALLOW);
	p->insns[test].jf = (unsigned char)(p->n - test - 1);
}

static void make_program(struct program *p)
{
	p->n = 0;
	load(p, offsetof(struct seccomp_data, arch));
	add(p, BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCH, 1, 0);
	verdict(p, SECCOMP_RET_USER_NOTIF); /* the supervisor says why it ends it */
	load(p, offsetof(struct seccomp_data, nr));
#ifdef __x86_64__
	add(p, GE, X32_BIT, 0, 1);
	verdict(p, SECCOMP_RET_ERRNO | ENOSYS);
#endif
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		add_rule(p, &rules[i]);
	verdict(p, SECCOMP_RET_ALLOW);
}

static int set_filter(const struct sock_fprog *fprog)
{
	unsigned int flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
	long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, fprog);

	if (fd < 0 && errno == EINVAL)
		fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, fprog);
	return fd < 0 ? -errno : (int)fd;
}

static int listen_to_self(void)
{
	struct program program;
	struct sock_fprog fprog = { .filter = program.insns };
	int fd;

	make_program(&program);
	fprog.len = program.n;
	fd = set_filter(&fprog);
	/* Without privilege: only for a process that can never gain any. */
	if (fd == -EACCES && !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		fd = set_filter(&fprog);
	return fd;
}

static int raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return -errno;
	if (limit.rlim_cur >= VMIG_SUPERVISE_FD_END)
		return 0;
	limit.rlim_cur = VMIG_SUPERVISE_FD_END;
	limit.rlim_max = MAX(limit.rlim_max,
			     limit.rlim_cur); /* the kernel's own is 4096; with privilege it can be raised */
	return setrlimit(RLIMIT_NOFILE, &limit) ? -EMFILE : 0;
}

static int send_fd(int socket_fd, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = "", byte = 'L';
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	ssize_t n;

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	do
		n = sendmsg(socket_fd, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int vmig_supervise_enter(int socket_fd)
{
	int fd, r;

	if (!NATIVE_ARCH)
		return -EOPNOTSUPP;
	r = raise_limit();
	if (r)
		return r;
	fd = listen_to_self();
	if (fd < 0)
		return fd == -EINVAL || fd == -ENOSYS ? -EOPNOTSUPP : fd;
	r = send_fd(socket_fd, fd);
	close(fd);
	return r;
}

/* --- can it be done? ---------------------------------------------------------------------- */

/* In a process of its own: a filter cannot be taken off again. Asks for a descriptor's number in a call that does not exist. */
static void probe(int wait_fd)
{
	struct seccomp_notif_addfd addfd = { 0 };
	int fd, r = raise_limit();
	char byte;

	/* Until the parent has looked at this process. */
	if (read(wait_fd, &byte, 1) < 0)
		_exit(errno);
	if (r)
		_exit(-r);
	fd = listen_to_self();
	if (fd < 0)
		_exit(fd == -EINVAL || fd == -ENOSYS ? EOPNOTSUPP : -fd);
	/* ENOENT: the request is understood, there is no such call; EINVAL: it is not understood. */
	r = ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &addfd);
	_exit(r < 0 && errno != ENOENT ? EOPNOTSUPP : 0);
}

/* What is done to a program: read its memory, take its descriptors. Sandboxes forbid one or the other. */
static int look_at(pid_t pid, int fd)
{
	static char byte;
	struct iovec iov = { &byte, 1 };
	_autoclose_ int pidfd = -1, taken = -1;

	if (process_vm_readv(pid, &iov, 1, &iov, 1, 0) != 1)
		return -errno;
	pidfd = (int)syscall(__NR_pidfd_open, pid, 0);
	if (pidfd < 0)
		return errno == ENOSYS ? -EOPNOTSUPP : -errno;
	taken = (int)syscall(__NR_pidfd_getfd, pidfd, fd, 0);
	return taken >= 0 ? 0 : errno == ENOSYS ? -EOPNOTSUPP : -errno;
}

static int check_with(const int pipe_fds[2])
{
	pid_t pid = fork();
	int status, r;

	if (pid < 0)
		return -errno;
	if (!pid) {
		close(pipe_fds[1]);
		probe(pipe_fds[0]);
	}
	r = look_at(pid, pipe_fds[0]);
	if (write(pipe_fds[1], "", 1) != 1)
		r = -errno;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return r ? r : WIFEXITED(status) ? -WEXITSTATUS(status) : -EOPNOTSUPP;
}

int vmig_supervise_check(void)
{
	int pipe_fds[2], r;

	if (!NATIVE_ARCH)
		return -EOPNOTSUPP;
	if (access("/proc/self/fd", R_OK | X_OK) || pipe2(pipe_fds, O_CLOEXEC))
		return -errno;
	r = check_with(pipe_fds);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	return r;
}
