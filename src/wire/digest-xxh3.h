/* SPDX-License-Identifier: BSD-3-Clause */
/** digest-xxh3 - xxhash compiled for one kind of vector unit. Private to digest. */
#ifndef VMIG_WIRE_DIGEST_XXH3_H
#define VMIG_WIRE_DIGEST_XXH3_H

#include "wire/digest.h"

struct vmig_digest_ops {
	void (*start)(struct vmig_digest *d);
	void (*add)(struct vmig_digest *d, const void *data, size_t len);
	uint64_t (*value)(const struct vmig_digest *d);
	uint64_t (*of)(const void *data, size_t len);
};

extern const struct vmig_digest_ops vmig_digest_plain;
#ifdef __x86_64__
extern const struct vmig_digest_ops vmig_digest_avx2;
extern const struct vmig_digest_ops vmig_digest_avx512;
#endif

#endif
