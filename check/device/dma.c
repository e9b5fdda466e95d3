/* SPDX-License-Identifier: BSD-3-Clause */
/* The log of a device's DMA: how it is started, asked and stopped. Nothing is mapped and the device has no work. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "check/context.h"

#define PAGE       4096ull
#define SMALL_PAGE 1024ull
#define IOVA       (1ull << 30)
#define LENGTH     (256 * PAGE)
#define WORDS      (LENGTH / PAGE / 64)
/* The ranges that fit into a page: what the kernel promises to take. */
#define RANGES 256u

static int start(struct check_context *c, uint64_t *page)
{
	const struct vmig_range range = { IOVA, LENGTH };

	return vmig_device_dma_log_start(c->dev, page, &range, 1);
}

static uint64_t must_start(struct check_context *c)
{
	uint64_t page = PAGE;
	int r = start(c, &page);

	if (r)
		check_fail(c, "DMA logging starts", "%s", strerror(-r));
	return page;
}

static void must_stop(struct check_context *c)
{
	int r = vmig_device_dma_log_stop(c->dev);

	if (r)
		check_fail(c, "DMA logging stops", "%s", strerror(-r));
}

void check_log_page(struct check_context *c)
{
	uint64_t page;

	check_did(c, "started the log with a page size of %llu", PAGE);
	page = must_start(c);
	if (!page || (page & (page - 1)))
		check_fail(c, "the page size that the device has chosen: a power of two", "%llu",
			   (unsigned long long)page);
	must_stop(c);
}

void check_log_once(struct check_context *c)
{
	uint64_t page = PAGE;

	must_start(c);
	check_did(c, "started the log while it was started");
	if (!start(c, &page))
		check_fail(c, "an error: another start is not allowed in the meantime", "it succeeds");
	must_stop(c);
}

void check_log_restart(struct check_context *c)
{
	check_did(c, "started and stopped the log three times");
	for (int i = 0; i < 3; i++) {
		must_start(c);
		must_stop(c);
	}
}

static int report(struct check_context *c, uint64_t page, uint64_t *bitmap)
{
	return vmig_device_dma_log_report(c->dev, IOVA, LENGTH, page, bitmap);
}

static void must_be_off(struct check_context *c)
{
	uint64_t bitmap[WORDS] = { 0 };

	if (!report(c, PAGE, bitmap))
		check_fail(c, "an error, as the log is not enabled", "it succeeds");
}

void check_log_off(struct check_context *c)
{
	check_did(c, "asked for a report before a start");
	must_be_off(c);
	must_start(c);
	must_stop(c);
	check_did(c, "asked for a report after a stop");
	must_be_off(c);
}

void check_log_reports(struct check_context *c)
{
	uint64_t bitmap[WORDS] = { 0 };
	int r;

	must_start(c);
	check_did(c, "started the log and asked for a report");
	r = report(c, PAGE, bitmap);
	if (r)
		check_fail(c, "a report", "%s, though the log was started", strerror(-r));
	must_stop(c);
}

/* There are kernels that report nothing, though they start. One finding is enough for that. */
static void needs_reports(struct check_context *c, int r)
{
	if (r == -EOPNOTSUPP)
		check_end(c, CHECK_NOT_APPLICABLE, "",
			  "the log starts, but there are no reports (log-reports)");
}

/* In @state it says EOPNOTSUPP. In RUNNING, too? */
static void needs_reports_in_running(struct check_context *c, int r)
{
	uint64_t bitmap[WORDS] = { 0 };

	if (r != -EOPNOTSUPP)
		return;
	must_stop(c);
	check_to_running(c, c->dev);
	must_start(c);
	needs_reports(c, report(c, PAGE, bitmap));
}

void check_log_states(struct check_context *c)
{
	for (uint32_t state = VMIG_STATE_STOP; state < VMIG_STATE_NR; state++) {
		struct vmig_session *session;
		uint64_t bitmap[WORDS] = { 0 };
		int r;

		if (!check_has_state(c, state))
			continue;
		session = check_bring(c, state);
		check_did(c, "started, asked and stopped the log in %s", check_state_name(state));
		must_start(c);
		r = report(c, PAGE, bitmap);
		needs_reports_in_running(c, r);
		if (r)
			check_fail(c, "a report, whatever the migration state", "%s", strerror(-r));
		must_stop(c);
		vmig_session_close(session);
	}
}

static int report_in(struct check_context *c, uint64_t page)
{
	uint64_t bitmap[LENGTH / SMALL_PAGE / 64] = { 0 };

	check_did(c, "asked for a report in pages of %llu bytes", (unsigned long long)page);
	return report(c, page, bitmap);
}

void check_log_sizes(struct check_context *c)
{
	int r;

	must_start(c);
	/* Up to a page as large as the range. */
	for (uint64_t page = PAGE; page <= LENGTH; page *= 4) {
		r = report_in(c, page);
		needs_reports(c, page == PAGE ? r : 0);
		if (r)
			check_fail(c, "a report in pages of any power of two", "%s", strerror(-r));
	}
	r = report_in(c, SMALL_PAGE);
	must_stop(c);
	if (r)
		check_observe(
			c, "a report in pages of any power of two (the kernel's core refuses less than 4096)",
			"%s", strerror(-r));
}

void check_log_only_sets(struct check_context *c)
{
	uint64_t bitmap[WORDS];
	int r;

	must_start(c);
	memset(bitmap, 0xff, sizeof(bitmap));
	check_did(c, "asked for a report into a bitmap of ones");
	r = report(c, PAGE, bitmap);
	needs_reports(c, r);
	if (r)
		check_fail(c, "a report", "%s", strerror(-r));
	for (size_t i = 0; i < WORDS; i++)
		if (bitmap[i] != UINT64_MAX)
			check_fail(c, "all bits are ones still: they are only set", "word %zu is %#llx", i,
				   (unsigned long long)bitmap[i]);
	must_stop(c);
}

void check_log_ranges(struct check_context *c)
{
	struct vmig_range ranges[RANGES];
	uint64_t page = PAGE;
	int r;

	for (uint32_t i = 0; i < RANGES; i++)
		ranges[i] = (struct vmig_range){ IOVA + 2 * i * LENGTH, LENGTH };
	check_did(c, "started the log with %u ranges, as many as fit into a page", RANGES);
	r = vmig_device_dma_log_start(c->dev, &page, ranges, RANGES);
	if (r)
		check_fail(c, "DMA logging starts", "%s", strerror(-r));
	must_stop(c);
}
