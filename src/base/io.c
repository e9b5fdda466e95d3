/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/io.h"

#include <string.h>

int vmig_read_all(int fd, void *buf, size_t len)
{
	char *p = buf;

	while (len) {
		ssize_t n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -ENODATA;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int vmig_write_all(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

size_t vmig_iov_len(const struct iovec *iov, int n)
{
	size_t sum = 0;

	for (int i = 0; i < n; i++)
		if (__builtin_add_overflow(sum, iov[i].iov_len, &sum))
			return SIZE_MAX;
	return sum;
}

void vmig_iov_skip(struct iovec **iov, int *n, size_t len)
{
	while (*n && len >= (*iov)->iov_len) {
		len -= (*iov)->iov_len;
		(*iov)++;
		(*n)--;
	}
	if (*n && len) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + len;
		(*iov)->iov_len -= len;
	}
}

int vmig_iov_cut(struct iovec *iov, int n, size_t max)
{
	int i;

	for (i = 0; i < n && max; i++) {
		if (iov[i].iov_len > max)
			iov[i].iov_len = max;
		max -= iov[i].iov_len;
	}
	return i;
}

size_t vmig_iov_to_buf(const struct iovec *iov, int n, void *buf, size_t len)
{
	size_t done = 0;

	for (int i = 0; i < n && done < len; i++) {
		size_t part = MIN(iov[i].iov_len, len - done);

		if (part)
			memcpy((char *)buf + done, iov[i].iov_base, part);
		done += part;
	}
	return done;
}

size_t vmig_iov_from_buf(const struct iovec *iov, int n, const void *buf, size_t len)
{
	size_t done = 0;

	for (int i = 0; i < n && done < len; i++) {
		size_t part = MIN(iov[i].iov_len, len - done);

		if (part)
			memcpy(iov[i].iov_base, (const char *)buf + done, part);
		done += part;
	}
	return done;
}
