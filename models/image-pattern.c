/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * image-pattern - what is in a page beside the lanes' cells. It is looked at of every page that is loaded, so it is made to
 * be fast: with AVX2, where there is that, it takes no time beside that of bringing the page.
 */
#include "image.h"

#include "bytes.h"

/* In each page the lanes' cells come first; the pattern starts where the most lanes end, at a cache line. */
#define CELLS 576u
#define WORDS ((IMAGE_PAGE - CELLS) / 8)
#define STEP  0x9e3779b97f4a7c15ull
_Static_assert(CELLS >= IMAGE_LANES_MAX * 8 && WORDS % 8 == 0, "two vectors at once");

static uint64_t first_word(uint64_t page)
{
	return mix64(page);
}

void image_fill_page(struct image *image, uint64_t page)
{
	uint8_t *p = image->memory + page * IMAGE_PAGE;

	memset(p, 0, CELLS);
	for (unsigned int i = 0; i < WORDS; i++)
		put_le64(p + CELLS + i * 8, first_word(page) + i * STEP);
}

static bool by_words(const uint8_t *p, uint64_t first)
{
	uint64_t wrong = 0;

	for (unsigned int i = 0; i < WORDS; i++)
		wrong |= get_le64(p + i * 8) ^ (first + i * STEP);
	return !wrong;
}

#if defined(__x86_64__)
typedef uint64_t vector __attribute__((vector_size(32), aligned(8), may_alias));

__attribute__((target("avx2"))) static bool by_avx2(const uint8_t *p, uint64_t first)
{
	vector a = { first, first + STEP, first + 2 * STEP, first + 3 * STEP }, b = a + 4 * STEP;
	vector wrong_a = { 0 }, wrong_b = { 0 };

	for (unsigned int i = 0; i < WORDS; i += 8, a += 8 * STEP, b += 8 * STEP) {
		vector is[2];

		memcpy(is, p + i * 8, sizeof(is));
		wrong_a |= is[0] ^ a;
		wrong_b |= is[1] ^ b;
	}
	wrong_a |= wrong_b;
	return !(wrong_a[0] | wrong_a[1] | wrong_a[2] | wrong_a[3]);
}
#endif

bool image_pattern_is_right(const struct image *image, uint64_t page)
{
	const uint8_t *p = image->memory + page * IMAGE_PAGE;
	uint64_t wrong = 0;

	for (unsigned int i = image->lanes * 8; i < CELLS; i += 8)
		wrong |= get_le64(p + i);
	if (wrong)
		return false;
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx2"))
		return by_avx2(p + CELLS, first_word(page));
#endif
	return by_words(p + CELLS, first_word(page));
}
