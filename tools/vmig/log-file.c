/* SPDX-License-Identifier: BSD-3-Clause */
#include "log-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <vmig/log.h>

static int log_fd = -1;

static void on_line(enum vmig_log_level level, const char *line, void *opaque)
{
	struct timespec now;
	char text[600];
	int len;

	clock_gettime(CLOCK_MONOTONIC, &now);
	len = snprintf(text, sizeof(text), "%lld%09ld %s\n", (long long)now.tv_sec, now.tv_nsec, line);
	/* A full disk must not hold up the device. */
	if (write(log_fd, text, len < (int)sizeof(text) ? (size_t)len : sizeof(text) - 1) < 0)
		return;
}

int log_file_open(const char *path)
{
	log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (log_fd < 0)
		return -errno;
	vmig_log_set(VMIG_LOG_DEBUG, on_line, NULL);
	return 0;
}
