/* SPDX-License-Identifier: BSD-3-Clause */
/** bits - bitmaps of pages, in u64s. */
#ifndef VMIG_MEMORY_BITS_H
#define VMIG_MEMORY_BITS_H

#include <stdint.h>

#include "base/util.h"

#define BITS_WORDS(n) (((n) + 63) / 64)

/** Bits @first to @last of the word that has @first; *first moves to the next word's. */
static inline uint64_t bits_mask(uint64_t first, uint64_t last)
{
	uint64_t mask = ~0ull << first % 64;

	if (last / 64 == first / 64)
		mask &= ~0ull >> (63 - last % 64);
	return mask;
}

static inline void bits_set(uint64_t *bits, uint64_t first, uint64_t last)
{
	for (uint64_t word = first / 64; word <= last / 64; word++, first = word * 64)
		bits[word] |= bits_mask(first, last);
}

static inline void bits_clear(uint64_t *bits, uint64_t first, uint64_t last)
{
	for (uint64_t word = first / 64; word <= last / 64; word++, first = word * 64)
		bits[word] &= ~bits_mask(first, last);
}

static inline bool bits_test(const uint64_t *bits, uint64_t at)
{
	return bits[at / 64] >> at % 64 & 1;
}

/** The first bit from @at on, and below @end, that is @value; @end if there is none. */
static inline uint64_t bits_find(const uint64_t *bits, uint64_t at, uint64_t end, bool value)
{
	while (at < end) {
		uint64_t word = (value ? bits[at / 64] : ~bits[at / 64]) >> at % 64;

		if (word)
			return MIN(at + (uint64_t)__builtin_ctzll(word), end);
		at += 64 - at % 64;
	}
	return end;
}

#endif
