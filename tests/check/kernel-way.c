/* SPDX-License-Identifier: BSD-3-Clause */
#include "kernel-way.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "models/models.h"
#include "tests/kernel_abi/way.h"

static int64_t answer(int64_t r)
{
	if (r >= 0)
		return r;
	errno = (int)-r;
	return -1;
}

static int do_open(void *way, const char *path)
{
	return (int)answer(way_open(way, path));
}

/* A session that was read until ENOMSG. */
static int drained = -1;

static int do_ioctl(void *way, int fd, unsigned long request, void *arg)
{
	if (request == VMIG_UAPI_DEVICE_FEATURE)
		drained = -1;
	return (int)answer(way_file(way, fd) ? way_ioctl(way, fd, (uint32_t)request, arg) : -EBADF);
}

static ssize_t do_read(void *way, int fd, void *buf, size_t len)
{
	int64_t r = way_file(way, fd) ? way_read(way, fd, buf, len) : -EBADF;

	drained = r == -ENOMSG ? fd : -1;
	return (ssize_t)answer(r);
}

static ssize_t do_write(void *way, int fd, const void *buf, size_t len)
{
	return (ssize_t)answer(way_file(way, fd) ? way_write(way, fd, buf, len) : -EBADF);
}

/* As the text has it, which is more than the descriptors that a program gets of ours can. */
static int do_poll(void *way, struct pollfd *fds, nfds_t n, int timeout_ms)
{
	int ready = 0;

	for (nfds_t i = 0; i < n; i++) {
		fds[i].revents = !way_file(way, fds[i].fd) ? POLLNVAL
				 : fds[i].fd == drained    ? 0
							   : fds[i].events & (POLLIN | POLLOUT);
		ready += !!fds[i].revents;
	}
	return ready;
}

static int do_close(void *way, int fd)
{
	if (!way_file(way, fd))
		return (int)answer(-EBADF);
	way_close(way, fd);
	return 0;
}

static int do_dup(void *way, int fd)
{
	return (int)answer(way_file(way, fd) ? way_dup(way, fd) : -EBADF);
}

static off_t do_lseek(void *way, int fd, off_t offset, int whence)
{
	return (off_t)answer(way_file(way, fd) ? -ESPIPE : -EBADF);
}

int kernel_way_new(const char *spec, struct check_calls *ret, char *why, size_t why_size)
{
	struct vmig_kabi_device device = { 0 };
	struct vmig_kabi_config config = { .n_devices = 1, .devices = &device };
	struct vmig_error error;
	struct way *way;
	int r = models_open(spec, &device.dev, &error);

	if (r) {
		snprintf(why, why_size, "%s", error.text);
		return r;
	}
	way = calloc(1, sizeof(*way));
	ck_assert_ptr_nonnull(way);
	way_init(way, &config);
	*ret = (struct check_calls){ do_open,  do_ioctl, do_read,  do_write, do_poll,
				     do_close, do_dup,   do_lseek, way };
	return 0;
}
