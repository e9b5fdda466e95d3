/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/digest.h"

#include <endian.h>

#include "wire/digest-xxh3.h"

/* Asked anew each time: it is one load and a test, and needs no set-up. */
static const struct vmig_digest_ops *ops(void)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx512f"))
		return &vmig_digest_avx512;
	if (__builtin_cpu_supports("avx2"))
		return &vmig_digest_avx2;
#endif
	return &vmig_digest_plain;
}

void vmig_digest_start(struct vmig_digest *d)
{
	ops()->start(d);
}

void vmig_digest_add(struct vmig_digest *d, const void *data, size_t len)
{
	if (len)
		ops()->add(d, data, len);
}

uint64_t vmig_digest_value(const struct vmig_digest *d)
{
	return ops()->value(d);
}

uint64_t vmig_digest_of(const void *data, size_t len)
{
	return ops()->of(len ? data : "", len);
}

uint64_t vmig_digest_of_iov(const struct iovec *iov, int n)
{
	struct vmig_digest d;

	if (n == 1)
		return vmig_digest_of(iov->iov_base, iov->iov_len);
	vmig_digest_start(&d);
	for (int i = 0; i < n; i++)
		vmig_digest_add(&d, iov[i].iov_base, iov[i].iov_len);
	return vmig_digest_value(&d);
}

uint64_t vmig_digest_chain(uint64_t before, uint64_t length, uint64_t payload)
{
	const uint64_t link[3] = { htole64(before), htole64(length), htole64(payload) };

	return vmig_digest_of(link, sizeof(link));
}
