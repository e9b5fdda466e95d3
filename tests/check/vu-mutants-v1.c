/* SPDX-License-Identifier: BSD-3-Clause */
/* Mutants of what only the text of 0.9.1 has. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vu-mutant.h"

#define PAGE  4096u
#define FIXED 40u

enum { START = 1, STOP = 2, GET_BITMAP = 4 };

static bool no_capability(struct vu_proxy *p, struct vu_seen *m)
{
	char *at = vu_is(m, C_VERSION) ? memmem(m->at, m->len, "\"migration\"", 11) : NULL;

	if (at)
		at[1] = 'M';
	return true;
}

static bool is_dirty(const struct vu_seen *m, uint32_t flags)
{
	return vu_is(m, C_DIRTY_PAGES) && vu_seen_u32(m, 4) == flags;
}

static bool start_payload(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is(m, C_DIRTY_PAGES) && !vu_seen_failed(m) && is_dirty(&p->last, START))
		vu_seen_payload(m, p->last.at + PAYLOAD, 8);
	return true;
}

static bool two_flags(struct vu_proxy *p, struct vu_seen *m)
{
	return is_dirty(m, START | STOP) ? VU_SUCCEED(p, m, NULL, 0) : true;
}

static bool bitmap_when_off(struct vu_proxy *p, struct vu_seen *m)
{
	const uint8_t none[FIXED + 8] = { FIXED + 8 };

	p->n |= is_dirty(m, STOP);
	return p->n && is_dirty(m, GET_BITMAP) ? VU_SUCCEED(p, m, none, sizeof(none)) : true;
}

static bool another_range(struct vu_proxy *p, struct vu_seen *m)
{
	if (is_dirty(m, GET_BITMAP) && !vu_seen_failed(m) && vu_seen_u64(m, 16) == 64 * PAGE)
		vu_seen_set32(m, PAYLOAD + 8, PAGE);
	return true;
}

static bool no_argsz(struct vu_proxy *p, struct vu_seen *m)
{
	if (is_dirty(m, GET_BITMAP) && vu_seen_u32(m, 0) == 16)
		vu_seen_set32(m, PAYLOAD, 65536);
	return true;
}

static bool lose_all(struct vu_proxy *p, struct vu_seen *m)
{
	if (is_dirty(m, GET_BITMAP) && !vu_seen_failed(m) && vu_seen_u64(m, 16) == 8 * PAGE)
		memset(m->at + PAYLOAD + FIXED, 0, m->len - PAYLOAD - FIXED);
	return true;
}

/* What was in memory before. */
static bool bitmap_of_heap(struct vu_proxy *p, struct vu_seen *m)
{
	uint64_t len = vu_seen_u64(&p->last, 32);
	uint8_t *out;

	if (!vu_is(m, C_DMA_UNMAP) || vu_seen_u32(&p->last, 4) != 1 || len > 65536)
		return true;
	out = malloc(FIXED + len);
	memcpy(out, p->last.at + PAYLOAD, FIXED);
	memset(out + FIXED, 0x5a, len);
	vu_succeed(p, m, out, FIXED + len);
	free(out);
	return false;
}

const struct vu_mutant vu_mutants_v1[] = {
	{ "no-migration-capability", .reply = no_capability, .v1 = true },
	{ "dirty-start-with-payload", .reply = start_payload, .v1 = true },
	{ "two-flags-at-once", .request = two_flags, .v1 = true },
	{ "bitmap-after-stop", .request = bitmap_when_off, .v1 = true },
	{ "bitmap-of-another-range", .reply = another_range, .v1 = true },
	{ "bitmap-beyond-argsz", .request = no_argsz, .v1 = true },
	{ "dirty-loses-writes", .reply = lose_all, .v1 = true },
	{ "unmap-bitmap-of-heap", .reply = bitmap_of_heap, .v1 = true },
	{ 0 },
};
