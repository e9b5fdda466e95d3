/* SPDX-License-Identifier: BSD-3-Clause */
/** bytes - little-endian numbers in buffers, and the hash that the models use. */
#ifndef MODELS_BYTES_H
#define MODELS_BYTES_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)     ((a) < (b) ? (a) : (b))
#define MAX(a, b)     ((a) > (b) ? (a) : (b))

static inline void put_le32(void *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void put_le64(void *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof(v));
}

static inline uint32_t get_le32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static inline uint64_t get_le64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

/** Every bit of @x reaches every bit of the result (the finaliser of splitmix64). */
static inline uint64_t mix64(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

/** Against accidents, not against an enemy. What is left of the last 8 bytes counts as zeros. */
static inline uint64_t hash64(uint64_t seed, const void *buf, size_t len)
{
	const uint8_t *p = buf;
	uint64_t lane[4] = { seed, ~seed, len, 0 }, h, last = 0;

	/* Four at once: one alone would wait for its own multiplication. */
	for (; len >= 32; p += 32, len -= 32)
		for (unsigned int i = 0; i < 4; i++) {
			lane[i] = (lane[i] ^ get_le64(p + i * 8)) * 0x9ddfea08eb382d69ull;
			lane[i] ^= lane[i] >> 29;
		}
	h = mix64(lane[0]) ^ mix64(lane[1] + 1) ^ mix64(lane[2] + 2) ^ mix64(lane[3] + 3);
	for (; len >= 8; p += 8, len -= 8)
		h = mix64(h ^ get_le64(p));
	memcpy(&last, p, len);
	return mix64(h ^ le64toh(last));
}

#endif
