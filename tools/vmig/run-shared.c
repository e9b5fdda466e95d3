/* SPDX-License-Identifier: BSD-3-Clause */
#include "run-shared.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static struct run_shared *map(int fd)
{
	struct run_shared *shared;
	struct stat st;

	/* A file that is too short would be SIGBUS later. */
	if (fstat(fd, &st))
		return NULL;
	if (st.st_size != (off_t)sizeof(*shared)) {
		errno = EPROTO;
		return NULL;
	}
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return shared == MAP_FAILED ? NULL : shared;
}

static struct run_shared *close_and(int fd, struct run_shared *shared)
{
	int saved = errno;

	close(fd);
	errno = saved;
	return shared;
}

struct run_shared *run_shared_new(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct run_shared *shared;

	if (fd < 0)
		return NULL;
	if (ftruncate(fd, sizeof(*shared)))
		return close_and(fd, NULL);
	shared = map(fd);
	if (shared) {
		shared->magic = RUN_MAGIC;
		shared->size = sizeof(*shared);
	}
	return close_and(fd, shared);
}

struct run_shared *run_shared_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	struct run_shared *shared;

	if (fd < 0)
		return NULL;
	shared = map(fd);
	if (shared && (shared->magic != RUN_MAGIC || shared->size != sizeof(*shared) ||
		       shared->n_devices > RUN_DEVICES_MAX || shared->n_passed > RUN_PASSED_MAX)) {
		munmap(shared, sizeof(*shared));
		shared = NULL;
		errno = EPROTO;
	}
	return close_and(fd, shared);
}

void run_shared_done(struct run_shared *shared)
{
	if (shared)
		munmap(shared, sizeof(*shared));
}
