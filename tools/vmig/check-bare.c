/* SPDX-License-Identifier: BSD-3-Clause */
#include "check-bare.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "check/kernel/kernel.h"
#include "open-v1.h"
#include "open.h"

#define SOCKET "vfio-user:"
#define KERNEL "vfio:"

static int open_region(void *opaque, bool second, struct vmig_device **ret, char *why, size_t why_size)
{
	const struct tool_options *o = opaque;
	const char *spec = open_v1_after(second ? o->second : o->words[0]);
	struct open_failure failure;
	int r = open_device(spec, &(struct open_how){ .timeout_ms = tool_ms(o->timeout_ns), .take = o->take },
			    ret, &failure);

	if (r)
		snprintf(why, why_size, "%s: cannot be opened: %s: %s", spec, failure.error.text,
			 strerror(-r));
	return r;
}

static int open_socket(void *opaque, int *ret_fd, char *why, size_t why_size)
{
	const struct tool_options *o = opaque;
	const char *path = open_v1_after(o->words[0]) + strlen(SOCKET);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = strcspn(path, ",");
	int fd, r;

	if (len >= sizeof(address.sun_path)) {
		snprintf(why, why_size, "%s: too long for the address of a socket", path);
		return -ENAMETOOLONG;
	}
	memcpy(address.sun_path, path, len);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && !connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		*ret_fd = fd;
		return 0;
	}
	r = -errno;
	snprintf(why, why_size, "%s: %s", address.sun_path, strerror(-r));
	if (fd >= 0)
		close(fd);
	return r;
}

static int open_kernel(void *opaque, bool second, struct check_kernel *ret, char *why, size_t why_size)
{
	const struct tool_options *o = opaque;
	const char *spec = second ? o->second : o->words[0], *path = spec + strlen(KERNEL);
	size_t len = strcspn(path, ",");
	char word[PATH_MAX];

	if (len >= sizeof(word)) {
		snprintf(why, why_size, "%s: too long for a path", path);
		return -ENAMETOOLONG;
	}
	memcpy(word, path, len);
	word[len] = '\0';
	return check_kernel_open(&check_calls_system, word, ret, why, why_size);
}

/* "vfio:PATH", as it is: not by v1, and not shown as one of v1. */
static bool is_kernel(const char *word)
{
	return open_kind_of(word) == OPEN_KERNEL && open_v1_after(word) == word && !strchr(word, ',');
}

void check_bare_ways(const struct tool_options *o, struct check_target *target)
{
	const char *word = o->words[0];

	if (open_v1_after(word) != word)
		target->open_region = open_region;
	if (open_kind_of(open_v1_after(word)) == OPEN_VFIO_USER)
		target->open_socket = open_socket;
	if (is_kernel(word))
		target->open_kernel = open_kernel;
}
