/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Compiled once for each vector unit, with -DVARIANT=name: xxhash chooses its inner loop when it is
 * compiled, and the distribution's libxxhash stays at SSE2, a third of the speed.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "wire/digest-xxh3.h"

#define PASTE_(a, b) a##b
#define PASTE(a, b)  PASTE_(a, b)

_Static_assert(sizeof(XXH3_state_t) <= sizeof(struct vmig_digest), "room for xxhash");

static void start(struct vmig_digest *d)
{
	XXH3_64bits_reset((XXH3_state_t *)d->state);
}

static void add(struct vmig_digest *d, const void *data, size_t len)
{
	XXH3_64bits_update((XXH3_state_t *)d->state, data, len);
}

static uint64_t value(const struct vmig_digest *d)
{
	return XXH3_64bits_digest((const XXH3_state_t *)d->state);
}

static uint64_t of(const void *data, size_t len)
{
	return XXH3_64bits(data, len);
}

const struct vmig_digest_ops PASTE(vmig_digest_, VARIANT) = { start, add, value, of };
