/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * way - a way into the kernel's ABI for tests: the program and the core are one process, descriptors are numbers of a
 * table (from WAY_FIRST on), and a bad address is EFAULT, as the kernel has it. Failures fail the test.
 */
#ifndef VMIG_TESTS_WAY_H
#define VMIG_TESTS_WAY_H

#include <pthread.h>
#include <stdatomic.h>

#include <vmig/kernel_abi.h>
#include <vmig/uapi.h>

#include "harness.h"

#define WAY_FIRST 1000
#define WAY_FILES 64

/** One program. */
struct way {
	struct vmig_kabi_task task;
	struct vmig_kabi *kabi;
	pthread_mutex_t lock;
	struct vmig_kabi_file *files[WAY_FILES];
	atomic_int mapped;     /* pieces of memory that are mapped for DMA */
	atomic_int no_install; /* so many more descriptors, then EMFILE; < 0: no end */
	bool direct;           /* memory is reached directly */
	uint32_t kinds;        /* of memory that devices get; 0: an address */
	int memory_fd;         /* with VMIG_DMA_KIND_FD: the file, mapped at memory_at */
	void *memory_at;
};

/** @configs: one for each device; its fields but dev may be 0. */
void way_init(struct way *way, const struct vmig_kabi_config *config);
/** Closes what is open. Nothing may be mapped after it. */
void way_done(struct way *way);

/* As the system calls: a descriptor, a count, or -errno. */
int way_open(struct way *way, const char *path);
void way_close(struct way *way, int fd);
/** Another descriptor of the same file. */
int way_dup(struct way *way, int fd);
int64_t way_ioctl(struct way *way, int fd, uint32_t request, const void *arg);
int64_t way_ioctl_number(struct way *way, int fd, uint32_t request, uint64_t arg);
int64_t way_read(struct way *way, int fd, void *buf, size_t len);
int64_t way_write(struct way *way, int fd, const void *buf, size_t len);
int64_t way_pread(struct way *way, int fd, void *buf, size_t len, uint64_t offset);
int64_t way_pwrite(struct way *way, int fd, const void *buf, size_t len, uint64_t offset);
/** What the descriptor stands for, without a reference. */
struct vmig_kabi_file *way_file(struct way *way, int fd);

#endif
