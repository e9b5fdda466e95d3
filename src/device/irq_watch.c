/* SPDX-License-Identifier: BSD-3-Clause */
#include "device/irq_watch.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>

#define KEY_STOP UINT64_MAX

struct vmig_irq_watch {
	int epoll, stop;
	pthread_t thread;
	void (*seen)(void *opaque, uint64_t key);
	void *opaque;
};

static void *run(void *opaque)
{
	struct vmig_irq_watch *watch = opaque;
	struct epoll_event events[16];

	for (;;) {
		int n = epoll_wait(watch->epoll, events, ARRAY_SIZE(events), -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.u64 == KEY_STOP)
				return NULL;
			watch->seen(watch->opaque, events[i].data.u64);
		}
	}
}

/** Signals are for the program's own threads. */
static int start_thread(struct vmig_irq_watch *watch)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&watch->thread, NULL, run, watch);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -r;
}

int vmig_irq_watch_new(void (*seen)(void *opaque, uint64_t key), void *opaque, struct vmig_irq_watch **ret)
{
	_autoclose_ int epoll = epoll_create1(EPOLL_CLOEXEC);
	_autoclose_ int stop = eventfd(0, EFD_CLOEXEC);
	_autofree_ struct vmig_irq_watch *watch = calloc(1, sizeof(*watch));
	int r;

	if (epoll < 0 || stop < 0)
		return -errno;
	if (!watch)
		return -ENOMEM;
	watch->epoll = epoll;
	watch->stop = stop;
	watch->seen = seen;
	watch->opaque = opaque;
	r = vmig_irq_watch_add(watch, stop, KEY_STOP);
	if (!r)
		r = start_thread(watch);
	if (r < 0)
		return r;
	steal_fd(&epoll);
	steal_fd(&stop);
	*ret = steal_ptr(watch);
	return 0;
}

void vmig_irq_watch_free(struct vmig_irq_watch *watch)
{
	const uint64_t one = 1;

	if (!watch)
		return;
	/* A fresh eventfd takes a 1 in any case. */
	while (write(watch->stop, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	pthread_join(watch->thread, NULL);
	close(watch->stop);
	close(watch->epoll);
	free(watch);
}

int vmig_irq_watch_add(struct vmig_irq_watch *watch, int fd, uint64_t key)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = key };

	return epoll_ctl(watch->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void vmig_irq_watch_remove(struct vmig_irq_watch *watch, int fd)
{
	/* Closing would not do it: the user has the eventfd open, too. */
	epoll_ctl(watch->epoll, EPOLL_CTL_DEL, fd, NULL);
}

bool vmig_eventfd_take(int fd)
{
	uint64_t value;
	struct iovec all = { .iov_base = &value, .iov_len = sizeof(value) };
	struct pollfd can = { .fd = fd, .events = POLLIN };
	ssize_t n = preadv2(fd, &all, 1, -1, RWF_NOWAIT);

	/* An old kernel: somebody else who reads it could make this one wait, but nobody should. */
	if (n < 0 && errno == EOPNOTSUPP && poll(&can, 1, 0) > 0)
		n = read(fd, &value, sizeof(value));
	return n == sizeof(value);
}

bool vmig_is_eventfd(int fd)
{
	char path[40], target[64];
	ssize_t n;

	if (fd < 0)
		return false;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return fcntl(fd, F_GETFD) >= 0; /* no /proc: take its word */
	target[n] = '\0';
	return !strcmp(target, "anon_inode:[eventfd]");
}
