/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What only the text of 0.9.1 has: DIRTY_PAGES, a bitmap when memory is unmapped, the migration capability. It is about
 * devices with a migration region. The region itself is checked by v1-*.c, over the same messages.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"
#include "vu.h"

#define IOVA  (1ull << 30)
#define PAGES 130u

enum { START = 1, STOP = 2, GET_BITMAP = 4 };

#define FIXED 40u /* of a reply: argsz, flags, and the range with its bitmap's struct */

#define CAP_TYPE   2u
#define TYPE       3u
#define SUBTYPE    1u
#define CHAIN_MAX  4096u
#define CAPS_MAX   64
#define CAPS_AT    12u
#define HEAD_OF(v) ((v)&0xffff)

/* Does the chain of the reply have the type of a migration region? */
static bool has_type(struct vu *vu)
{
	uint32_t at = vu_u32(vu, CAPS_AT);

	for (int i = 0; at >= 32 && at + 16 <= vu->in.len && i < CAPS_MAX; i++) {
		if (HEAD_OF(vu_u32(vu, at)) == CAP_TYPE && vu_u32(vu, at + 8) == TYPE &&
		    vu_u32(vu, at + 12) == SUBTYPE)
			return true;
		at = vu_u32(vu, at + 4);
	}
	return false;
}

int vu_v1_region(struct vu *vu)
{
	for (uint32_t i = 0; i < vu->n_regions && i < 64; i++) {
		struct vu_body b = { 0 };

		vu_32(&b, CHAIN_MAX);
		vu_32(&b, 0);
		vu_32(&b, i);
		vu_32(&b, 0);
		vu_64(&b, 0);
		vu_64(&b, 0);
		if (!vu_call(vu, VU_REGION_INFO, &b) && (vu_u32(vu, 4) & 8) && has_type(vu))
			return (int)i;
	}
	return -1;
}

bool vu_is_v1(struct vu *vu)
{
	return vu_v1_region(vu) >= 0;
}

static void start(struct check_context *c, struct vu *vu)
{
	vu_start(c, vu);
	if (!vu_is_v1(vu))
		check_end(c, CHECK_NOT_APPLICABLE, "",
			  "it has no migration region, as devices of 0.9.1 have");
}

void vu_v1_capability(struct check_context *c)
{
	struct vu vu;

	start(c, &vu);
	if (!vu.migration)
		check_fail(c, "migration among the capabilities, as it was proposed", "none");
}

/* --- DIRTY_PAGES ------------------------------------------------------------------------------------------ */

static int dirty(struct vu *vu, uint32_t flags, uint32_t argsz)
{
	struct vu_body b = { 0 };

	vu_32(&b, argsz);
	vu_32(&b, flags);
	return vu_call(vu, VU_DIRTY_PAGES, &b);
}

static uint64_t bitmap_len(uint64_t pages)
{
	return (pages + 63) / 64 * 8;
}

static int get(struct vu *vu, uint64_t pages, uint64_t unit, uint32_t argsz)
{
	struct vu_body b = { 0 };

	vu_32(&b, argsz);
	vu_32(&b, GET_BITMAP);
	vu_64(&b, IOVA);
	vu_64(&b, pages * unit);
	vu_64(&b, unit);
	vu_64(&b, bitmap_len(pages));
	return vu_call(vu, VU_DIRTY_PAGES, &b);
}

static void map(struct vu *vu)
{
	uint8_t *at;
	int fd = vu_memfd(vu, PAGES * VU_PAGE, &at);

	if (vu_map(vu, 3, IOVA, PAGES * VU_PAGE, fd, 0) && vu_map(vu, 3, IOVA, PAGES * VU_PAGE, -1, 0))
		check_end(vu->c, CHECK_NOT_APPLICABLE, "", "the device takes no memory");
}

static void start_log(struct check_context *c, struct vu *vu)
{
	int r;

	start(c, vu);
	map(vu);
	r = dirty(vu, START, 8);
	if (r)
		check_end(c, CHECK_NOT_APPLICABLE, "", "it does not track dirty pages, which is optional: %s",
			  strerror(-r));
}

void vu_dirty_start(struct check_context *c)
{
	struct vu vu;
	int r;

	start_log(c, &vu);
	check_did(c, "started to log dirty pages, and stopped");
	vu_has(&vu, 0, "there is no reply payload to START");
	r = dirty(&vu, STOP, 8);
	if (r)
		check_fail(c, "STOP succeeds", "%s", strerror(-r));
	vu_has(&vu, 0, "there is no reply payload to STOP");
}

void vu_dirty_exclusive(struct check_context *c)
{
	static const uint32_t odd[] = { START | STOP, START | GET_BITMAP, 7, 0 };
	struct vu vu;

	start_log(c, &vu);
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		check_did(c, "sent DIRTY_PAGES with flags %u", odd[i]);
		if (!dirty(&vu, odd[i], 8))
			check_fail(c, "an error: the flags are mutually exclusive", "success");
	}
	(void)dirty(&vu, STOP, 8);
	vu_must_live(&vu);
}

void vu_dirty_when_off(struct check_context *c)
{
	struct vu vu;

	start_log(c, &vu);
	(void)dirty(&vu, STOP, 8);
	check_did(c, "asked for the dirty bitmap after STOP");
	if (!get(&vu, 1, VU_PAGE, 4096))
		check_fail(c, "an error: it is only valid if logging was started", "success");
}

void vu_dirty_bitmap(struct check_context *c)
{
	static const uint64_t counts[] = { PAGES, 64 };
	struct vu vu;
	int r;

	start_log(c, &vu);
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		uint64_t pages = counts[i], len = bitmap_len(pages);

		check_did(c, "asked for the dirty bitmap of %llu pages", (unsigned long long)pages);
		r = get(&vu, pages, VU_PAGE, (uint32_t)(FIXED + len));
		if (r)
			check_fail(c, "the bitmap", "%s", strerror(-r));
		vu_has(&vu, FIXED + len, "the bitmap range of the request, and the bitmap");
		if (vu_u32(&vu, 0) != FIXED + len || vu_u32(&vu, 4) != GET_BITMAP)
			check_fail(c,
				   "argsz is the size required for the full reply payload; flags GET_BITMAP",
				   "argsz %u, flags %u", vu_u32(&vu, 0), vu_u32(&vu, 4));
		if (vu_u64(&vu, 8) != IOVA || vu_u64(&vu, 16) != pages * VU_PAGE ||
		    vu_u64(&vu, 24) != VU_PAGE || vu_u64(&vu, 32) != len)
			check_fail(c, "the same bitmap range as in the request", "another");
		if (pages % 64 && vu_u64(&vu, FIXED + len - 8) >> (pages % 64))
			check_observe(c, "no bits behind those of the range", "%#llx",
				      (unsigned long long)vu_u64(&vu, FIXED + len - 8));
	}
	(void)dirty(&vu, STOP, 8);
}

void vu_dirty_argsz(struct check_context *c)
{
	struct vu vu;
	int r;

	start_log(c, &vu);
	check_did(c, "asked for the dirty bitmap of %u pages with an argsz of 16", PAGES);
	r = get(&vu, PAGES, VU_PAGE, 16);
	if (r)
		check_observe(c, "the argsz that is needed", "%s", strerror(-r));
	if (vu.in.len > 16)
		check_fail(c, "the payload reply header only, as argsz has no room for more", "%zu bytes",
			   vu.in.len);
	if (vu_u32(&vu, 0) != FIXED + bitmap_len(PAGES))
		check_fail(c, "argsz is the size needed for the full payload", "%u", vu_u32(&vu, 0));
	(void)dirty(&vu, STOP, 8);
}

/* --- DMA_UNMAP -------------------------------------------------------------------------------------------- */

void vu_unmap_bitmap(struct check_context *c)
{
	struct vu_body b = { 0 };
	struct vu vu;
	uint64_t len = bitmap_len(PAGES);
	int r;

	start_log(c, &vu);
	check_did(c, "unmapped %u pages that nobody has written to, with their dirty bitmap", PAGES);
	vu_32(&b, (uint32_t)(40 + len));
	vu_32(&b, 1);
	vu_64(&b, IOVA);
	vu_64(&b, PAGES * VU_PAGE);
	vu_64(&b, VU_PAGE);
	vu_64(&b, len);
	r = vu_call(&vu, VU_DMA_UNMAP, &b);
	if (r == -EOPNOTSUPP || r == -ENOTSUP)
		check_end(c, CHECK_NOT_APPLICABLE, "", "it does not track dirty pages so, which is optional");
	if (r)
		check_fail(c, "the bitmap is populated before unmapping", "%s", strerror(-r));
	vu_has(&vu, 40 + len, "the DMA entry, the bitmap's struct, and the bitmap");
	for (uint64_t i = 0; i < len; i += 8)
		if (vu_u64(&vu, 40 + i))
			check_fail(c, "no page is dirty", "%#llx at byte %llu of the bitmap",
				   (unsigned long long)vu_u64(&vu, 40 + i), (unsigned long long)i);
	if (!vu_unmap(&vu, 0, IOVA, PAGES * VU_PAGE))
		check_fail(c, "the region is unmapped", "it could be unmapped again");
}
