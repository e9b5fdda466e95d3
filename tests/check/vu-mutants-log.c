/* SPDX-License-Identifier: BSD-3-Clause */
/* Mutants of the log of DMA, and of DEVICE_FEATURE. */
#include <errno.h>
#include <string.h>

#include "vu-mutant.h"

#define PAGE 4096u

/* --- the log: what the user at work asks for has 8 pages -------------------------------------------------- */

static bool note_ranges(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is_feature(m, SET | LOG_START))
		p->words[0] = vu_seen_u32(m, 16);
	return true;
}

static bool is_report(const struct vu_seen *m, uint64_t unit)
{
	return vu_is_feature(m, GET | LOG_REPORT) && !vu_seen_failed(m) && m->len > PAYLOAD + 32 &&
	       vu_seen_u64(m, 16) == 8 * PAGE && vu_seen_u64(m, 24) == unit;
}

static void wipe(struct vu_seen *m)
{
	memset(m->at + PAYLOAD + 32, 0, m->len - PAYLOAD - 32);
}

static bool lose_all(struct vu_proxy *p, struct vu_seen *m)
{
	if (is_report(m, PAGE) && p->words[0])
		wipe(m);
	return true;
}

static bool lose_without_ranges(struct vu_proxy *p, struct vu_seen *m)
{
	if (is_report(m, PAGE) && !p->words[0])
		wipe(m);
	return true;
}

static bool lose_finer(struct vu_proxy *p, struct vu_seen *m)
{
	if (is_report(m, PAGE / 4))
		wipe(m);
	return true;
}

static bool lose_coarser(struct vu_proxy *p, struct vu_seen *m)
{
	if (is_report(m, 4 * PAGE))
		wipe(m);
	return true;
}

static bool half_a_log(struct vu_proxy *p, struct vu_seen *m)
{
	if (!vu_is_feature(m, PROBE | GET | LOG_REPORT))
		return true;
	vu_fail(p, m, ENOTTY);
	return false;
}

static bool short_start(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is_feature(m, SET | LOG_START) && !vu_seen_failed(m) && m->len == PAYLOAD + 40)
		vu_seen_payload(m, m->at + PAYLOAD, 24);
	return true;
}

static bool odd_page(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is_feature(m, SET | LOG_START) && !vu_seen_failed(m) && vu_seen_u64(&p->last, 8) == 512)
		vu_seen_set32(m, PAYLOAD + 8, 3);
	return true;
}

static bool report_when_off(struct vu_proxy *p, struct vu_seen *m)
{
	const uint8_t none[40] = { 40 };

	p->n |= vu_is_feature(m, SET | LOG_START);
	if (p->n || !vu_is_feature(m, GET | LOG_REPORT) || m->len != PAYLOAD + 32)
		return true;
	return VU_SUCCEED(p, m, none, sizeof(none));
}

static bool any_unit(struct vu_proxy *p, struct vu_seen *m)
{
	const uint8_t none[40] = { 40 };

	if (!vu_is_feature(m, GET | LOG_REPORT) || vu_seen_u64(m, 24) != 4097)
		return true;
	return VU_SUCCEED(p, m, none, sizeof(none));
}

static bool bits_outside(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is_feature(m, GET | LOG_REPORT) && !vu_seen_failed(m) && vu_seen_u64(m, 16) == 3 * PAGE)
		m->at[PAYLOAD + 39] |= 0x80;
	return true;
}

static bool units_of_pages(struct vu_proxy *p, struct vu_seen *m)
{
	if (!vu_is_feature(m, GET | LOG_REPORT) || vu_seen_u64(m, 24) != 512)
		return true;
	vu_fail(p, m, EINVAL);
	return false;
}

/* --- DEVICE_FEATURE -------------------------------------------------------------------------------------- */

static bool probe_anything(struct vu_proxy *p, struct vu_seen *m)
{
	return vu_is_feature(m, PROBE | SET | MIGRATION) ? VU_SUCCEED(p, m, m->at + PAYLOAD, 8) : true;
}

static bool probe_grows(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is_feature(m, PROBE | GET | MIGRATION) && !vu_seen_failed(m))
		vu_seen_set32(m, PAYLOAD, 16);
	return true;
}

static bool get_echoes(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is_feature(m, GET | MIGRATION) && !vu_seen_failed(m))
		vu_seen_set32(m, PAYLOAD, vu_seen_u32(&p->last, 0));
	return true;
}

static bool get_more(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is_feature(m, GET | MIGRATION))
		vu_seen_set32(m, PAYLOAD, 64);
	return true;
}

static bool get_and_set(struct vu_proxy *p, struct vu_seen *m)
{
	return vu_is_feature(m, GET | SET | STATE) ? VU_SUCCEED(p, m, m->at + PAYLOAD, 16) : true;
}

static bool any_feature(struct vu_proxy *p, struct vu_seen *m)
{
	return vu_is_feature(m, GET | 100) ? VU_SUCCEED(p, m, m->at + PAYLOAD, 8) : true;
}

static bool no_stop_copy(struct vu_proxy *p, struct vu_seen *m)
{
	if (vu_is_feature(m, GET | MIGRATION) && !vu_seen_failed(m))
		m->at[PAYLOAD + 8] &= 0xfe;
	return true;
}

const struct vu_mutant vu_mutants_log[] = {
	{ "log-loses-writes", .request = note_ranges, .reply = lose_all },
	{ "no-log-without-ranges", .request = note_ranges, .reply = lose_without_ranges },
	{ "log-loses-finer", .reply = lose_finer },
	{ "log-loses-coarser", .reply = lose_coarser },
	{ "half-a-log", .request = half_a_log },
	{ "log-start-without-ranges", .reply = short_start },
	{ "log-selects-no-power-of-two", .reply = odd_page },
	{ "log-reports-before-start", .request = report_when_off },
	{ "log-any-unit", .request = any_unit },
	{ "log-bits-outside", .reply = bits_outside },
	{ "log-units-of-pages", .request = units_of_pages },
	{ "probes-anything", .request = probe_anything },
	{ "probe-with-other-argsz", .reply = probe_grows },
	{ "get-echoes-argsz", .reply = get_echoes },
	{ "get-ignores-argsz", .request = get_more },
	{ "gets-and-sets", .request = get_and_set },
	{ "any-feature", .request = any_feature },
	{ "migration-without-stop-copy", .reply = no_stop_copy },
	{ 0 },
};
