/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMIG_BASE_CLOCK_H
#define VMIG_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_S  1000000000ull
#define NS_PER_MS 1000000ull

/** Monotonic time. */
static inline uint64_t vmig_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

#endif
