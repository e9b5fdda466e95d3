/* SPDX-License-Identifier: BSD-3-Clause */
/* Chains of region capabilities: good ones in any order, and every way in which one can be bad. */
#include "harness.h"

#include <string.h>

#include "wire/vfio_user.h"

#define SPARSE 1u
#define TYPE   2u
#define END    0u

struct cap {
	uint16_t id, version;
	uint32_t next;
	uint32_t words[2 + 4 * (VMIG_REGION_AREAS_MAX + 1)];
	uint32_t n_words;
};

/* A region of 64 KiB whose chain starts at @first and is made of @caps, one after the other. */
static int decode(uint32_t first, const struct cap *caps, size_t n, struct vmig_vu_region_info *ret)
{
	struct vmig_vu_region_info info = { .argsz = 4096, .flags = VMIG_VU_REGION_CAPS, .size = 65536 };
	uint8_t bytes[1024], *exact;
	struct vmig_cursor c = vmig_cursor_into(bytes, sizeof(bytes)), in;
	size_t len;
	int r;

	vmig_vu_region_info_encode(&c, &info);
	memcpy(bytes + 12, &first, sizeof(first));
	for (size_t i = 0; i < n; i++) {
		vmig_cursor_put_u16(&c, caps[i].id);
		vmig_cursor_put_u16(&c, caps[i].version);
		vmig_cursor_put_u32(&c, caps[i].next);
		for (uint32_t w = 0; w < caps[i].n_words; w++)
			vmig_cursor_put_u32(&c, caps[i].words[w]);
	}
	ck_assert(vmig_cursor_ok(&c));
	len = sizeof(bytes) - c.left;
	exact = malloc(len);
	memcpy(exact, bytes, len);
	in = vmig_cursor_over(exact, len);
	r = vmig_vu_region_info_decode(&in, ret);
	free(exact);
	return r;
}

static struct cap type(uint32_t next)
{
	return (struct cap){ TYPE, 1, next, { 3, 1 }, 2 };
}

static struct cap sparse(uint32_t next, uint32_t n, uint32_t n_here)
{
	struct cap cap = { SPARSE, 1, next, { n }, 2 + 4 * n_here };

	for (uint32_t i = 0; i < n_here; i++) {
		cap.words[2 + 4 * i] = 4096 * i;
		cap.words[4 + 4 * i] = 4096;
	}
	return cap;
}

static int one(uint32_t first, struct cap cap)
{
	struct vmig_vu_region_info info;

	return decode(first, &cap, 1, &info);
}

static int two(uint32_t first, struct cap a, struct cap b)
{
	struct cap caps[] = { a, b };
	struct vmig_vu_region_info info;

	return decode(first, caps, 2, &info);
}

TEST(capabilities_come_in_any_order)
{
	struct cap type_first[] = { type(48), sparse(END, 2, 2) },
		   sparse_first[] = { sparse(80, 2, 2), type(END) };
	struct vmig_vu_region_info a, b;

	ck_assert_int_eq(decode(32, type_first, 2, &a), 0);
	ck_assert_int_eq(decode(32, sparse_first, 2, &b), 0);
	ck_assert_uint_eq(a.caps, VMIG_VU_HAS_SPARSE | VMIG_VU_HAS_TYPE);
	ck_assert_uint_eq(a.type, 3);
	ck_assert_uint_eq(a.subtype, 1);
	ck_assert_uint_eq(a.n_areas, 2);
	ck_assert_uint_eq(a.areas[1].offset, 4096);
	ck_assert_mem_eq(&a, &b, sizeof(a));
}

TEST(unknown_capabilities_are_skipped)
{
	struct cap caps[] = { { 99, 1, 48, { 0xffffffff, 0xffffffff }, 2 },
			      type(64),
			      { TYPE, 2, END, { 7, 7 }, 2 } };
	struct vmig_vu_region_info info;

	ck_assert_int_eq(decode(32, caps, 3, &info), 0);
	ck_assert_uint_eq(info.caps, VMIG_VU_HAS_TYPE);
	ck_assert_uint_eq(info.type, 3);
	ck_assert_int_eq(one(32, (struct cap){ 99, 1, END, { 0 }, 0 }), 0);
}

TEST(a_gap_between_two_is_allowed)
{
	struct cap with_gap = type(56);

	with_gap.n_words = 4;
	ck_assert_int_eq(two(32, with_gap, type(END)), -EPROTO); /* the same twice */
	ck_assert_int_eq(two(32, with_gap, sparse(END, 0, 0)), 0);
}

TEST(loops_are_refused)
{
	ck_assert_int_eq(one(32, type(32)), -EPROTO);
	ck_assert_int_eq(two(32, type(48), sparse(32, 0, 0)), -EPROTO);
	ck_assert_int_eq(two(48, sparse(END, 0, 0), type(32)), -EPROTO);
	/* Unknown ones, of which nothing else is checked. */
	ck_assert_int_eq(one(32, (struct cap){ 99, 1, 32, { 0 }, 2 }), -EPROTO);
	ck_assert_int_eq(two(32, (struct cap){ 99, 1, 48, { 0 }, 2 }, (struct cap){ 98, 1, 32, { 0 }, 2 }),
			 -EPROTO);
}

TEST(overlaps_are_refused)
{
	for (uint32_t next = 33; next < 48; next++)
		ck_assert_msg(two(32, type(next), type(END)) == -EPROTO, "next at %u", next);
	for (uint32_t next = 1; next < 32; next++)
		ck_assert_msg(one(next, type(END)) == -EPROTO, "first at %u", next);
	ck_assert_int_eq(two(32, sparse(48, 1, 1), type(END)), -EPROTO);
}

TEST(offsets_outside_are_refused)
{
	for (uint32_t first = 33; first < 64; first++)
		ck_assert_msg(one(first, type(END)) == -EPROTO, "first at %u", first);
	ck_assert_int_eq(one(48, type(END)), -EPROTO); /* the very end: no header there */
	ck_assert_int_eq(one(UINT32_MAX, type(END)), -EPROTO);
	ck_assert_int_eq(one(32, type(UINT32_MAX)), -EPROTO);
	ck_assert_int_eq(one(32, type(48)), -EPROTO);
	ck_assert_int_eq(one(32, (struct cap){ 99, 1, 41, { 0 }, 2 }), -EPROTO);
}

TEST(capabilities_that_are_cut_off_are_refused)
{
	struct cap cut = type(END);

	cut.n_words = 1;
	ck_assert_int_eq(one(32, cut), -EPROTO);
	ck_assert_int_eq(one(32, sparse(END, 2, 1)), -EPROTO);
	ck_assert_int_eq(one(32, sparse(END, UINT32_MAX, 1)), -EPROTO);
	ck_assert_int_eq(one(32, sparse(END, 0x10000001, 1)), -EPROTO); /* 16 * n is 16 in 32 bits */
}

TEST(areas_are_counted)
{
	ck_assert_int_eq(one(32, sparse(END, 0, 0)), 0);
	ck_assert_int_eq(one(32, sparse(END, VMIG_REGION_AREAS_MAX - 1, VMIG_REGION_AREAS_MAX - 1)), 0);
	ck_assert_int_eq(one(32, sparse(END, VMIG_REGION_AREAS_MAX, VMIG_REGION_AREAS_MAX)), 0);
	ck_assert_int_eq(one(32, sparse(END, VMIG_REGION_AREAS_MAX + 1, VMIG_REGION_AREAS_MAX + 1)), -E2BIG);
}

TEST(areas_lie_within_the_region)
{
	struct cap cap = sparse(END, 1, 1);

	cap.words[2] = 65536 - 4096;
	ck_assert_int_eq(one(32, cap), 0);
	cap.words[2]++;
	ck_assert_int_eq(one(32, cap), -EPROTO);
	cap.words[2] = cap.words[3] = UINT32_MAX; /* wraps to within the region */
	ck_assert_int_eq(one(32, cap), -EPROTO);
}

TEST(a_chain_counts_only_if_the_flag_says_so)
{
	struct vmig_vu_region_info info = { .argsz = 48, .size = 65536, .caps = VMIG_VU_HAS_TYPE };
	uint8_t bytes[VMIG_VU_REGION_INFO_MAX];
	struct vmig_cursor c = vmig_cursor_into(bytes, sizeof(bytes));

	vmig_vu_region_info_encode(&c, &info);
	bytes[4] = 0;
	c = vmig_cursor_over(bytes, 48);
	ck_assert_int_eq(vmig_vu_region_info_decode(&c, &info), 0);
	ck_assert_uint_eq(info.caps, 0);
}

TEST(a_reply_fits_what_was_asked_for)
{
	struct vmig_vu_region_info info = { .caps = VMIG_VU_HAS_SPARSE | VMIG_VU_HAS_TYPE, .n_areas = 2 },
				   fit = info;

	vmig_vu_region_info_fit(&fit, 96);
	ck_assert_uint_eq(fit.argsz, 96);
	ck_assert_uint_eq(fit.caps, info.caps);
	fit = info;
	vmig_vu_region_info_fit(&fit, 95);
	ck_assert_uint_eq(fit.argsz, 96);
	ck_assert_uint_eq(fit.caps, 0);
	ck_assert_uint_eq(fit.flags, VMIG_VU_REGION_CAPS);
	info.n_areas = VMIG_REGION_AREAS_MAX;
	ck_assert_uint_eq(vmig_vu_region_info_size(&info), VMIG_VU_REGION_INFO_MAX);
	ck_assert_uint_le(VMIG_VU_REGION_INFO_MAX, VMIG_VU_FIXED_MAX);
}

HARNESS("region-caps", T(capabilities_come_in_any_order), T(unknown_capabilities_are_skipped),
	T(a_gap_between_two_is_allowed), T(loops_are_refused), T(overlaps_are_refused),
	T(offsets_outside_are_refused), T(capabilities_that_are_cut_off_are_refused), T(areas_are_counted),
	T(areas_lie_within_the_region), T(a_chain_counts_only_if_the_flag_says_so),
	T(a_reply_fits_what_was_asked_for))
