/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules of the log of DMA. */
#include "rule.h"

#define FEW 16u

static int page_is_odd(struct mutant *m, int r, uint64_t *page)
{
	if (!r)
		*page = 3;
	return r;
}

static int starts_twice(struct mutant *m, int r, uint64_t *page)
{
	return r == -EBUSY ? 0 : r;
}

static int starts_never_again(struct mutant *m, uint32_t n)
{
	return m->n_logs ? -EBUSY : 0;
}

static int not_in_stop(struct mutant *m, uint32_t n)
{
	return mutant_state(m) == VMIG_STATE_STOP ? -EBUSY : 0;
}

static int few_ranges(struct mutant *m, uint32_t n)
{
	return n > FEW ? -E2BIG : 0;
}

static int reports_when_off(struct mutant *m, int r, uint64_t page, uint64_t *bitmap, uint64_t n_pages)
{
	return 0;
}

static int pages_of_one_size(struct mutant *m, int r, uint64_t page, uint64_t *bitmap, uint64_t n_pages)
{
	return page != 4096 ? -EINVAL : r;
}

static int reports_nothing(struct mutant *m, int r, uint64_t page, uint64_t *bitmap, uint64_t n_pages)
{
	return r ? r : -EOPNOTSUPP;
}

/* Of a device without work: of another it is the same as a report that loses what was written. */
static int clears(struct mutant *m, int r, uint64_t page, uint64_t *bitmap, uint64_t n_pages)
{
	if (!r && !mutant_memory(m, false))
		bitmap[0] = 0;
	return r;
}

static int loses_all(struct mutant *m, int r, uint64_t page, uint64_t *bitmap, uint64_t n_pages)
{
	if (mutant_memory(m, false))
		memset(bitmap, 0, (size_t)(n_pages + 63) / 64 * 8);
	return r;
}

static int repeats(struct mutant *m, int r, uint64_t page, uint64_t *bitmap, uint64_t n_pages)
{
	if (mutant_memory(m, false)) {
		bitmap[0] |= m->last_word;
		m->last_word |= bitmap[0] | 1;
	}
	return r;
}

static void mark(uint64_t *bitmap, uint64_t page)
{
	bitmap[page / 64] |= 1ull << page % 64;
}

/* And the page behind each. */
static int marks_neighbours(struct mutant *m, int r, uint64_t page, uint64_t *bitmap, uint64_t n_pages)
{
	for (uint64_t p = n_pages; !r && mutant_memory(m, false) && p-- > 1;)
		if (bitmap[(p - 1) / 64] >> (p - 1) % 64 & 1)
			mark(bitmap, p);
	return r;
}

/* All that may be read and not written. */
static int marks_reads(struct mutant *m, int r, uint64_t page, uint64_t *bitmap, uint64_t n_pages)
{
	for (size_t i = 0; !r && i < MUTANT_MAPS_MAX; i++)
		if (m->maps[i].size && m->maps[i].iova == m->report_iova &&
		    !(m->maps[i].prot & VMIG_DMA_WRITE))
			memset(bitmap, 0xff, (size_t)n_pages / 8);
	return r;
}

const struct mutant_rule mutant_log_rules[] = {
	{ "log-page-is-odd", .log_started = page_is_odd },
	{ "log-starts-twice", .log_started = starts_twice },
	{ "log-starts-never-again", .log_start = starts_never_again },
	{ "log-reports-when-off", .log_report = reports_when_off },
	{ "log-not-in-stop", .log_start = not_in_stop },
	{ "log-pages-of-one-size", .log_report = pages_of_one_size },
	{ "log-reports-nothing", .log_report = reports_nothing },
	{ "log-clears", .log_report = clears },
	{ "log-few-ranges", .log_start = few_ranges },
	{ "log-marks-neighbours", .log_report = marks_neighbours },
	{ "log-marks-reads", .log_report = marks_reads },
	{ "log-loses-all", .log_report = loses_all },
	{ "log-repeats", .log_report = repeats },
	{ NULL },
};
