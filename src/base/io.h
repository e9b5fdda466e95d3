/* SPDX-License-Identifier: BSD-3-Clause */
/** io - whole reads and writes, iovec arithmetic, descriptors. */
#ifndef VMIG_BASE_IO_H
#define VMIG_BASE_IO_H

#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/util.h"

/** Read or write all of it. 0; -ENODATA: the end came early; else -errno. Retries EINTR. */
MUST_USE int vmig_read_all(int fd, void *buf, size_t len);
MUST_USE int vmig_write_all(int fd, const void *buf, size_t len);

/** The sum of the lengths, or SIZE_MAX if it does not fit. */
size_t vmig_iov_len(const struct iovec *iov, int n);

/** Drop the first @len bytes: pieces that are used up go, *@iov and *@n move on. Changes the pieces. */
void vmig_iov_skip(struct iovec **iov, int *n, size_t len);

/** Cut the total to at most @max bytes. Returns the number of pieces left. Changes the pieces. */
int vmig_iov_cut(struct iovec *iov, int n, size_t max);

/** Copy between a buffer and pieces; returns the bytes copied: the shorter of both. */
size_t vmig_iov_to_buf(const struct iovec *iov, int n, void *buf, size_t len);
size_t vmig_iov_from_buf(const struct iovec *iov, int n, const void *buf, size_t len);

#endif
