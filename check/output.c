/* SPDX-License-Identifier: BSD-3-Clause */
#include "output.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PRINTED_MAX (64u << 10)

int check_output_new(void)
{
	return memfd_create("check", MFD_CLOEXEC);
}

void check_output_take(int fd)
{
	int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (nothing >= 0) {
		(void)dup2(nothing, STDIN_FILENO);
		close(nothing);
	}
	if (fd >= 0) {
		(void)dup2(fd, STDOUT_FILENO);
		(void)dup2(fd, STDERR_FILENO);
		close(fd);
	}
}

void check_output_give(int fd)
{
	char buf[4096];
	ssize_t got;

	if (fd < 0)
		return;
	for (off_t at = 0; at < PRINTED_MAX && (got = pread(fd, buf, sizeof(buf), at)) > 0; at += got)
		if (write(STDERR_FILENO, buf, (size_t)got) != got)
			break;
	close(fd);
}
