/* SPDX-License-Identifier: BSD-3-Clause */
/** random - a sequence that is the same on every machine (splitmix64). */
#ifndef VMIG_SIM_RANDOM_H
#define VMIG_SIM_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct vmig_random {
	uint64_t at;
};

static inline uint64_t vmig_random_next(struct vmig_random *r)
{
	uint64_t z = (r->at += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/** From 0 to @n - 1; 0 for @n 0. */
static inline uint64_t vmig_random_below(struct vmig_random *r, uint64_t n)
{
	return n ? (uint64_t)(((unsigned __int128)vmig_random_next(r) * n) >> 64) : 0;
}

static inline uint64_t vmig_random_between(struct vmig_random *r, uint64_t low, uint64_t high)
{
	return low + vmig_random_below(r, high - low + 1);
}

/** True once in @n. */
static inline bool vmig_random_one_in(struct vmig_random *r, uint64_t n)
{
	return n && !vmig_random_below(r, n);
}

#endif
