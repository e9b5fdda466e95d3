/* SPDX-License-Identifier: BSD-3-Clause */
/* local, save-file: the same state within one process, against the memory itself. */
#include "bench.h"

#include <models.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct local {
	struct vmig_device *dev;
	uint8_t *mem, *piece;
	char path[64];
};

static double copy_limit(void *group)
{
	struct local *l = group;
	uint64_t start = now_ns();

	for (uint64_t at = 0; at < settings.state; at += PIECE) {
		memcpy(l->piece, l->mem + at, PIECE);
		__asm__ volatile("" ::"r"(l->piece) : "memory");
	}
	return (double)settings.state / (double)(now_ns() - start);
}

static double copy_candidate(void *group)
{
	struct local *l = group;
	struct vmig_session *session;
	uint64_t start, total = 0;
	ssize_t got;

	CHECK(vmig_device_set_state(l->dev, VMIG_STATE_STOP_COPY, VMIG_STATE_NONE, &session));
	start = now_ns();
	do {
		struct iovec iov = { l->piece, PIECE };

		got = CHECK(vmig_session_readv(session, &iov, 1));
		total += (uint64_t)got;
	} while (got);
	start = now_ns() - start;
	vmig_session_close(session);
	CHECK(vmig_device_set_state(l->dev, VMIG_STATE_RUNNING, VMIG_STATE_NONE, NULL));
	return (double)total / (double)start;
}

/* One copy into a new memfd. */
static double file_limit(void *group)
{
	struct local *l = group;
	int fd = CHECK_ERRNO(memfd_create("bench", MFD_CLOEXEC));
	uint64_t start = now_ns();

	raw_send(fd, l->mem, settings.state);
	start = now_ns() - start;
	close(fd);
	return (double)settings.state / (double)start;
}

/* The engine into a new file of a memory file system: with digests, and the file is synced and renamed. */
static double file_candidate(void *group)
{
	struct local *l = group;
	struct vmig_migrate_options options = { .no_precopy = true, .keep_source = true };
	struct vmig_migrate_result result = { 0 };
	struct vmig_channel *channel;
	uint64_t start = now_ns();

	CHECK(vmig_channel_file(l->path, true, &channel, NULL));
	CHECK(vmig_migrate_source(&l->dev, 1, channel, NULL, &options, &result));
	vmig_channel_close(channel);
	start = now_ns() - start;
	if (result.outcome != VMIG_DONE)
		die("the save: %s", result.reason);
	unlink(l->path);
	return (double)result.bytes / (double)start;
}

void bench_local(void)
{
	static const struct row copy = { "local", "GB/s", false, 0, copy_limit, copy_candidate, "memcpy" };
	static const struct row file = {
		"save-file", "GB/s", false, 0, file_limit, file_candidate, "one copy into a memfd"
	};
	struct local l = { 0 };
	char spec[64];

	if (!wanted("local") && !wanted("save-file"))
		return;
	snprintf(spec, sizeof(spec), "nic,records=1,state=%llu", (unsigned long long)settings.state);
	snprintf(l.path, sizeof(l.path), "/dev/shm/vmig-bench.%d", (int)getpid());
	CHECK(models_open(spec, &l.dev, NULL));
	l.mem = raw_memory(settings.state);
	l.piece = raw_memory(PIECE);
	measure(&copy, &l);
	measure(&file, &l);
	vmig_device_close(l.dev);
}
