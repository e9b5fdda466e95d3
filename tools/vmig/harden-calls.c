/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which system calls are left. A filter is a list of numbers with one answer for those in it and another for all else:
 * a server of devices has a short list of what it may, the others one of what they may not. Forbidden is EPERM, so that a
 * library that only tries goes on; threads are made by clone() in the old form, whose flags a filter can see.
 */
#include "harden-calls.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#define N(a) (sizeof(a) / sizeof((a)[0]))

/* clang-format off */
/* What serving a device takes, once it listens. */
static const int serve_may[] = {
	SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64, SYS_preadv, SYS_pwritev, SYS_preadv2,
	SYS_pwritev2, SYS_lseek, SYS_close, SYS_close_range, SYS_dup, SYS_dup3, SYS_fcntl, SYS_ftruncate,
	SYS_fallocate, SYS_fstat, SYS_newfstatat, SYS_statx, SYS_readlinkat, SYS_openat, SYS_unlinkat,
	SYS_memfd_create, SYS_pipe2,
	/* memory */
	SYS_mmap, SYS_munmap, SYS_mprotect, SYS_mremap, SYS_madvise, SYS_brk, SYS_mincore, SYS_msync,
	/* sockets: those that there are, and twins */
	SYS_accept, SYS_accept4, SYS_recvmsg, SYS_sendmsg, SYS_recvfrom, SYS_sendto, SYS_shutdown, SYS_socketpair,
	SYS_getsockopt, SYS_setsockopt, SYS_getsockname, SYS_getpeername,
	/* waiting */
	SYS_ppoll, SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait, SYS_eventfd2, SYS_timerfd_create,
	SYS_timerfd_settime, SYS_timerfd_gettime, SYS_clock_gettime, SYS_clock_getres, SYS_clock_nanosleep,
	SYS_nanosleep, SYS_gettimeofday, SYS_futex,
	/* threads and signals */
	SYS_set_robust_list, SYS_get_robust_list, SYS_rseq, SYS_membarrier, SYS_sched_yield, SYS_sched_getaffinity,
	SYS_sched_setaffinity, SYS_sched_getparam, SYS_sched_getscheduler, SYS_rt_sigaction, SYS_rt_sigprocmask,
	SYS_rt_sigreturn, SYS_rt_sigtimedwait, SYS_sigaltstack, SYS_restart_syscall, SYS_tgkill, SYS_gettid,
	SYS_getpid, SYS_getppid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_set_tid_address, SYS_prctl,
	SYS_prlimit64, SYS_getrandom, SYS_uname, SYS_sysinfo, SYS_getrusage, SYS_exit, SYS_exit_group,
#ifdef SYS_poll /* what only older architectures have */
	SYS_poll, SYS_epoll_wait, SYS_stat, SYS_lstat, SYS_readlink, SYS_unlink, SYS_open, SYS_dup2, SYS_arch_prctl,
	SYS_time,
#endif
};

/* What nobody needs who moves devices: other programs, other users, the machine itself. */
static const int nobody_may[] = {
	SYS_execve, SYS_execveat, SYS_ptrace, SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_io_uring_setup,
	SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_setns, SYS_unshare, SYS_move_mount, SYS_open_tree,
	SYS_fsopen, SYS_fsmount, SYS_fspick, SYS_fsconfig, SYS_open_by_handle_at,
	SYS_keyctl, SYS_add_key, SYS_request_key,
	SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load, SYS_reboot, SYS_swapon, SYS_swapoff,
	SYS_acct, SYS_quotactl, SYS_settimeofday, SYS_clock_settime, SYS_clock_adjtime, SYS_adjtimex, SYS_sethostname,
	SYS_setdomainname, SYS_syslog, SYS_vhangup, SYS_personality, SYS_mknodat,
	SYS_setuid, SYS_setgid, SYS_setreuid, SYS_setregid, SYS_setresuid, SYS_setresgid, SYS_setgroups, SYS_setfsuid,
	SYS_setfsgid, SYS_capset,
#ifdef SYS_kexec_file_load
	SYS_kexec_file_load,
#endif
#ifdef SYS_iopl
	SYS_iopl, SYS_ioperm, SYS_modify_ldt, SYS_mknod, SYS_uselib, SYS_fork, SYS_vfork,
#endif
};

/* Nor these, but for who looks into the programs that it supervises. */
static const int supervisor_may[] = {
	SYS_process_vm_readv, SYS_process_vm_writev, SYS_pidfd_getfd, SYS_pidfd_open, SYS_kcmp, SYS_process_madvise,
};
/* clang-format on */

#if defined(__x86_64__)
#define NATIVE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define NATIVE AUDIT_ARCH_RISCV64
#endif

#ifdef NATIVE

#define ERROR(e)  (SECCOMP_RET_ERRNO | (e))
#define MAX_INSNS 512

struct filter {
	struct sock_filter insns[MAX_INSNS];
	unsigned short n;
};

static void put(struct filter *f, struct sock_filter insn)
{
	if (f->n < MAX_INSNS)
		f->insns[f->n++] = insn;
}

static void load(struct filter *f, size_t at)
{
	put(f, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)at));
}

static void answer(struct filter *f, uint32_t what)
{
	put(f, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, what));
}

static void answer_if(struct filter *f, int nr, uint32_t what)
{
	put(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)nr, 0, 1));
	answer(f, what);
}

static void answer_list(struct filter *f, const int *list, size_t n, uint32_t what)
{
	for (size_t i = 0; i < n; i++)
		answer_if(f, list[i], what);
}

static void begin(struct filter *f)
{
	load(f, offsetof(struct seccomp_data, arch));
	put(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE, 1, 0));
	answer(f, ERROR(EPERM));
	load(f, offsetof(struct seccomp_data, nr));
#ifdef __x86_64__
	/* The x32 numbers are another table. */
	put(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000u, 0, 1));
	answer(f, ERROR(EPERM));
#endif
}

/* Threads: yes. Processes and namespaces: no. The C library falls back from clone3, whose flags are out of sight. */
static void clones(struct filter *f)
{
	const uint32_t forbidden = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |
				   CLONE_NEWUTS | CLONE_NEWCGROUP;

	answer_if(f, SYS_clone3, ERROR(ENOSYS));
	put(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 5));
	load(f, offsetof(struct seccomp_data, args[0]));
	put(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, forbidden, 2, 0));
	put(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1));
	answer(f, SECCOMP_RET_ALLOW);
	answer(f, ERROR(EPERM));
}

/* A terminal may be written to, not typed at. */
static void ioctls(struct filter *f)
{
	put(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 4));
	load(f, offsetof(struct seccomp_data, args[1]));
	put(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x5412 /* TIOCSTI */, 0, 1));
	answer(f, ERROR(EPERM));
	answer(f, SECCOMP_RET_ALLOW);
}

static void make(struct filter *f, enum harden_role role)
{
	begin(f);
	clones(f);
	/* The first list decides whether all else is allowed. */
	if (role == HARDEN_SERVE) {
		answer_list(f, serve_may, N(serve_may), SECCOMP_RET_ALLOW);
		ioctls(f);
		answer(f, ERROR(EPERM));
		return;
	}
	answer_list(f, nobody_may, N(nobody_may), ERROR(EPERM));
	if (role != HARDEN_RUN)
		answer_list(f, supervisor_may, N(supervisor_may), ERROR(EPERM));
	ioctls(f);
	answer(f, SECCOMP_RET_ALLOW);
}

void harden_calls_install(enum harden_role role)
{
	struct filter f = { .n = 0 };
	struct sock_fprog program = { .filter = f.insns };

	make(&f, role);
	program.len = f.n;
	syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
}

#else

void harden_calls_install(enum harden_role role)
{
}

#endif
