/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The supervisor and its threads.
 *
 * A call may block in the core for long, and another thread's call may be what it waits for: so whoever takes the last idle
 * thread starts one more before it answers. Each thread waits in an epoll of its own, because that wakes one of them
 * (EPOLLEXCLUSIVE), the first in line: a program that makes one call after the other is served by one warm thread.
 */
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "server/kernel_abi.h"
#include "server/kernel_abi_seccomp.h"

#define TICK_MS 1000

/* Linux 6.6 */
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS      SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

bool sv_call_valid(const struct sv_call *call)
{
	uint64_t id = call->req->id;

	return !ioctl(call->sv->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id);
}

static const struct vmig_kabi_task_ops task_ops = {
	.read = sv_read,
	.write = sv_write,
	.install = sv_install,
	.lookup = sv_lookup,
	.take_fd = sv_take_fd,
	.memory = sv_memory,
	.release = sv_release,
};

/* --- one call ----------------------------------------------------------------------------- */

static void answer(struct vmig_supervise *sv, const struct seccomp_notif *req)
{
	struct sv_call call = { .sv = sv, .req = req };
	union {
		struct seccomp_notif_resp resp;
		char room[SV_NOTIF];
	} u;
	struct sv_answer a;

	call.task = (struct vmig_kabi_task){ .ops = &task_ops, .tid = (pid_t)req->pid };
	call.task.pid = sv_tgid(sv, call.task.tid);
	a = sv_answer(&call);
	memset(&u, 0, sizeof(u));
	u.resp.id = req->id;
	u.resp.flags = a.go_on ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0;
	u.resp.error = a.go_on || a.result >= 0 ? 0 : (int)a.result;
	u.resp.val = a.go_on || a.result < 0 ? 0 : a.result;
	/* ENOENT: its thread has died meanwhile. Nobody is there to be answered. */
	if (ioctl(sv->listener, SECCOMP_IOCTL_NOTIF_SEND, &u.resp) && errno != ENOENT)
		vmig_log(VMIG_LOG_ERROR, "seccomp: a call cannot be answered: %m");
}

/* Take a call, if there is one. Only one thread at a time: then it is certain not to block. */
static bool receive(struct vmig_supervise *sv, struct seccomp_notif *req)
{
	struct pollfd pollfd = { .fd = sv->listener, .events = POLLIN };
	bool got = false;

	pthread_mutex_lock(&sv->recv_lock);
	if (poll(&pollfd, 1, 0) == 1 && (pollfd.revents & POLLIN)) {
		memset(req, 0, SV_NOTIF);
		got = !ioctl(sv->listener, SECCOMP_IOCTL_NOTIF_RECV, req);
	}
	pthread_mutex_unlock(&sv->recv_lock);
	return got;
}

/* --- threads ------------------------------------------------------------------------------ */

static int add_thread(struct vmig_supervise *sv);

static void serve(struct vmig_supervise *sv, struct seccomp_notif *req)
{
	if (atomic_fetch_sub(&sv->n_idle, 1) == 1 && add_thread(sv) && !atomic_exchange(&sv->said_full, true))
		vmig_log(VMIG_LOG_WARNING, "seccomp: no more threads: some calls wait for others");
	answer(sv, req);
	atomic_fetch_add(&sv->n_idle, 1);
}

static void *run_thread(void *arg)
{
	struct sv_thread *thread = arg;
	struct vmig_supervise *sv = thread->sv;
	struct epoll_event events[2];
	union {
		struct seccomp_notif req;
		char room[SV_NOTIF];
	} u;

	while (!atomic_load(&sv->stopping)) {
		int n = epoll_wait(thread->epoll_fd, events, 2, -1);

		if (n < 0 && errno != EINTR)
			break;
		if (n == 1 && (events[0].events & EPOLLHUP))
			break; /* nobody is left who could call */
		if (n > 0 && receive(sv, &u.req))
			serve(sv, &u.req);
	}
	return NULL;
}

/* Signals are the caller's threads' business. */
static int create(pthread_t *ret, void *(*fn)(void *), void *arg)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = -pthread_create(ret, NULL, fn, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

static int watch(int epoll_fd, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events };

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int start_thread(struct sv_thread *thread)
{
	struct vmig_supervise *sv = thread->sv;
	int r = watch(thread->epoll_fd, sv->stop_fd, EPOLLIN);

	r = r ? r : watch(thread->epoll_fd, sv->listener, EPOLLIN | EPOLLEXCLUSIVE);
	if (r)
		return r;
	/* Before it can take a call. */
	atomic_fetch_add(&sv->n_idle, 1);
	r = create(&thread->id, run_thread, thread);
	if (r)
		atomic_fetch_sub(&sv->n_idle, 1);
	return r;
}

static int add_thread(struct vmig_supervise *sv)
{
	struct sv_thread *thread = calloc(1, sizeof(*thread));
	int r = -ENOMEM;

	if (!thread)
		return r;
	thread->sv = sv;
	thread->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	pthread_mutex_lock(&sv->lock);
	if (thread->epoll_fd >= 0 && sv->n_threads < VMIG_LIMIT_SUPERVISE_THREADS)
		r = start_thread(thread);
	if (!r) {
		thread->next = sv->threads;
		sv->threads = thread;
		sv->n_threads++;
	}
	pthread_mutex_unlock(&sv->lock);
	if (r) {
		if (thread->epoll_fd >= 0)
			close(thread->epoll_fd);
		free(thread);
	}
	return r;
}

/* Processes end, and exec, without a word: what they had open is looked for now and then. */
static void *keep(void *arg)
{
	struct vmig_supervise *sv = arg;
	struct pollfd fds[2] = { { .fd = sv->stop_fd, .events = POLLIN }, { .fd = sv->listener } };

	while (!atomic_load(&sv->stopping)) {
		int n = poll(fds, 2, TICK_MS);

		sv_reap(sv);
		if (n == 0 && atomic_load(&sv->unsettled) > 0)
			atomic_fetch_sub(&sv->unsettled, 1);
		if (n > 0 && (fds[1].revents & POLLHUP))
			fds[1].fd = -1; /* the last has ended */
	}
	return NULL;
}

/* Threads add threads: go on until there is none that has not been waited for. */
static void join_threads(struct vmig_supervise *sv)
{
	struct sv_thread *thread;

	for (;;) {
		pthread_mutex_lock(&sv->lock);
		thread = sv->threads;
		if (thread)
			sv->threads = thread->next;
		pthread_mutex_unlock(&sv->lock);
		if (!thread)
			return;
		pthread_join(thread->id, NULL);
		close(thread->epoll_fd);
		free(thread);
	}
}

/* --- its life ----------------------------------------------------------------------------- */

static int query_sizes(struct vmig_supervise *sv)
{
	struct seccomp_notif_sizes sizes;

	if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes))
		return -EOPNOTSUPP;
	return sizes.seccomp_notif > SV_NOTIF || sizes.seccomp_notif_resp > SV_NOTIF ? -EOPNOTSUPP : 0;
}

static int fd_of(struct msghdr *msg)
{
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg);
	int fd;

	if (!cmsg || cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS ||
	    cmsg->cmsg_len != CMSG_LEN(sizeof(int)))
		return -EPROTO;
	memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
	return fd;
}

static int receive_listener(int socket_fd)
{
	char control[CMSG_SPACE(sizeof(int))] = "", byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
	};
	ssize_t n;

	do
		n = recvmsg(socket_fd, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? -ECONNRESET : -EPROTO;
	return n ? fd_of(&msg) : -ECONNRESET;
}

static void destroy(struct vmig_supervise *sv)
{
	if (sv->listener >= 0)
		close(sv->listener);
	if (sv->stop_fd >= 0)
		close(sv->stop_fd);
	pthread_mutex_destroy(&sv->recv_lock);
	pthread_mutex_destroy(&sv->close_lock);
	pthread_mutex_destroy(&sv->lock);
	free(sv);
}

static void stop(struct vmig_supervise *sv)
{
	uint64_t one = 1;

	atomic_store(&sv->stopping, true);
	if (write(sv->stop_fd, &one, sizeof(one)) != sizeof(one))
		vmig_log(VMIG_LOG_ERROR, "seccomp: threads cannot be stopped: %m");
	join_threads(sv);
}

static int start(struct vmig_supervise *sv, int socket_fd)
{
	int r = query_sizes(sv);

	if (r)
		return r;
	sv->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (sv->stop_fd < 0)
		return -errno;
	sv->listener = receive_listener(socket_fd);
	if (sv->listener < 0)
		return sv->listener;
	/* Whoever calls waits for us, and we for it: better on its CPU than on one that sleeps. As fast as without when all
	 * goes well, and never three times as slow. */
	if (ioctl(sv->listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP))
		vmig_log(VMIG_LOG_DEBUG, "seccomp: no synchronous wake-ups: %m");
	r = add_thread(sv);
	if (r)
		return r;
	r = create(&sv->keeper, keep, sv);
	if (r)
		stop(sv);
	return r;
}

static bool takes_addresses_only(const struct vmig_kabi *kabi)
{
	for (uint32_t i = 0; i < kabi->config.n_devices; i++)
		if (!(kabi->slots[i].info.dma_kinds & (VMIG_DMA_KIND_FD | VMIG_DMA_KIND_MESSAGE)))
			return true;
	return false;
}

int vmig_supervise_new(struct vmig_kabi *kabi, int socket_fd, struct vmig_supervise **ret)
{
	struct vmig_supervise *sv = calloc(1, sizeof(*sv));
	int r;

	if (!sv)
		return -ENOMEM;
	sv->kabi = kabi;
	sv->needs_address = takes_addresses_only(kabi);
	sv->listener = sv->stop_fd = -1;
	sv->next_fd = VMIG_SUPERVISE_FD;
	pthread_mutex_init(&sv->recv_lock, NULL);
	pthread_mutex_init(&sv->close_lock, NULL);
	pthread_mutex_init(&sv->lock, NULL);
	r = start(sv, socket_fd);
	if (r)
		destroy(sv);
	else
		*ret = sv;
	return r;
}

void vmig_supervise_free(struct vmig_supervise *sv)
{
	if (!sv)
		return;
	stop(sv);
	pthread_join(sv->keeper, NULL);
	sv_close_all(sv);
	destroy(sv);
}
