/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * LD_PRELOAD=ioctl-log.so IOCTL_LOG=FILE COMMAND... : every request for a migration state, one line each:
 *
 *	STATE 1 -> 4 = 0
 *	DATA 4e2c3e8c...
 *
 * that is, the state before, the one asked for, and the errno; and what was written into a RESUMING device. Out of STOP_COPY into PRE_COPY or PRE_COPY_P2P a kernel of
 * before 2026 loops for ever: such a request is written down as FORBIDDEN and kept from the kernel.
 * IOCTL_KILL=N: the process dies by SIGKILL after the line N that it writes.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vmig/uapi.h>

struct request {
	struct vmig_uapi_device_feature head;
	struct vmig_uapi_device_feature_mig_state state;
};

static int lines;           /* written by this process; one thread at a time has the device */
static int loading_fd = -1; /* of the last device that went to RESUMING */

typedef ssize_t write_fn(int fd, const void *buf, size_t len);
typedef int ioctl_fn(int fd, unsigned long number, void *arg);

static ioctl_fn *next_ioctl(void)
{
	return (ioctl_fn *)(uintptr_t)dlsym(RTLD_NEXT, "ioctl");
}

static int state_of(int fd)
{
	struct request get = { .head = { sizeof(get), VMIG_UAPI_DEVICE_FEATURE_GET |
							      VMIG_UAPI_DEVICE_FEATURE_MIG_DEVICE_STATE } };

	return next_ioctl()(fd, VMIG_UAPI_DEVICE_FEATURE, &get) < 0 ? -1 : (int)get.state.device_state;
}

static void put(const char *format, ...)
{
	const char *path = getenv("IOCTL_LOG");
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
	va_list ap;

	if (fd < 0)
		return;
	va_start(ap, format);
	vdprintf(fd, format, ap);
	va_end(ap);
	close(fd);
	if (getenv("IOCTL_KILL") && ++lines == atoi(getenv("IOCTL_KILL")))
		kill(getpid(), SIGKILL);
}

static int set_state(int fd, struct request *set)
{
	int from = state_of(fd), to = (int)set->state.device_state, r, code;

	if (from == VMIG_UAPI_DEVICE_STATE_STOP_COPY &&
	    (to == VMIG_UAPI_DEVICE_STATE_PRE_COPY || to == VMIG_UAPI_DEVICE_STATE_PRE_COPY_P2P)) {
		put("FORBIDDEN %d -> %d\n", from, to);
		errno = EINVAL;
		return -1;
	}
	r = next_ioctl()(fd, VMIG_UAPI_DEVICE_FEATURE, set);
	code = r < 0 ? errno : 0;
	put("STATE %d -> %d = %d\n", from, to, code);
	if (!r && to == VMIG_UAPI_DEVICE_STATE_RESUMING)
		loading_fd = set->state.data_fd;
	errno = code;
	return r;
}

int ioctl(int fd, unsigned long number, ...)
{
	struct vmig_uapi_device_feature head;
	va_list ap;
	void *arg;

	va_start(ap, number);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (number == VMIG_UAPI_DEVICE_FEATURE) {
		memcpy(&head, arg, sizeof(head));
		if (head.flags == (VMIG_UAPI_DEVICE_FEATURE_SET | VMIG_UAPI_DEVICE_FEATURE_MIG_DEVICE_STATE))
			return set_state(fd, arg);
	}
	return next_ioctl()(fd, number, arg);
}

ssize_t write(int fd, const void *buf, size_t len)
{
	write_fn *next = (write_fn *)(uintptr_t)dlsym(RTLD_NEXT, "write");
	char line[2 * 256 + 1] = "";

	if (fd == loading_fd) {
		for (size_t i = 0; i < len && i < 256; i++)
			snprintf(line + 2 * i, 3, "%02x", ((const unsigned char *)buf)[i]);
		put("DATA %s\n", line);
	}
	return next(fd, buf, len);
}
