/* SPDX-License-Identifier: BSD-3-Clause */
/* The log of DMA by DEVICE_FEATURE, of a device that does nothing meanwhile. One that works: vu-work.c. */
#include <errno.h>
#include <string.h>

#include "wire.h"
#include "vu.h"

#define IOVA  (1ull << 30)
#define PAGES 512u /* 2 MiB */

static void map(struct vu *vu)
{
	uint8_t *at;
	int fd = vu_memfd(vu, PAGES * VU_PAGE, &at);

	if (vu_map(vu, 3, IOVA, PAGES * VU_PAGE, fd, 0) && vu_map(vu, 3, IOVA, PAGES * VU_PAGE, -1, 0))
		check_end(vu->c, CHECK_NOT_APPLICABLE, "", "the device takes no memory");
}

static const uint64_t range[2] = { IOVA, PAGES *VU_PAGE };

static void start(struct check_context *c, struct vu *vu)
{
	int r;

	vu_start(c, vu);
	vu_needs_log(vu);
	map(vu);
	r = vu_log_start(vu, VU_PAGE, range, 1);
	if (r)
		check_fail(c, "the log starts", "%s", strerror(-r));
}

static void stop(struct vu *vu)
{
	int r = vu_feature(vu, 8, VU_SET | VU_LOG_STOP, NULL, 0);

	if (r)
		check_fail(vu->c, "the log stops", "%s", strerror(-r));
}

void vu_log_probed(struct check_context *c)
{
	static const struct {
		const char *what;
		uint32_t flags;
	} ways[] = {
		{ "SET of DMA_LOGGING_STOP", VU_SET | VU_LOG_STOP },
		{ "GET of DMA_LOGGING_REPORT", VU_GET | VU_LOG_REPORT },
	};
	struct vu vu;

	vu_start(c, &vu);
	vu_needs_log(&vu);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		check_did(c, "probed %s, as that of DMA_LOGGING_START is there", ways[i].what);
		if (vu_feature(&vu, 8, VU_PROBE | ways[i].flags, NULL, 0))
			check_fail(c, "it is there, too", "%s", strerror((int)vu.in.error));
	}
}

void vu_log_reply(struct check_context *c)
{
	struct vu vu;
	uint64_t page;

	start(c, &vu);
	check_did(c, "started the log with pages of 4096 and one range");
	vu_has(&vu, 40, "the response data will be the same as the request");
	page = vu_u64(&vu, 8);
	if (!page || page & (page - 1))
		check_fail(c, "the page size that the device selected", "%llu", (unsigned long long)page);
	if (vu_u32(&vu, 16) != 1 || vu_u64(&vu, 24) != range[0] || vu_u64(&vu, 32) != range[1])
		check_fail(c, "the response data will be the same as the request", "other ranges");
	stop(&vu);
}

void vu_log_hint(struct check_context *c)
{
	static const uint64_t hints[] = { 4096, 1ull << 20, 512, 1ull << 40, 1 };
	struct vu vu;
	int r;

	vu_start(c, &vu);
	vu_needs_log(&vu);
	map(&vu);
	for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++) {
		uint64_t page;

		check_did(c, "started the log with pages of %llu", (unsigned long long)hints[i]);
		r = vu_log_start(&vu, hints[i], range, 1);
		if (r)
			check_observe(c, "page_size is a hint", "%s", strerror(-r));
		page = vu_u64(&vu, 8);
		if (!page || page & (page - 1))
			check_fail(c, "the page size that the device selected", "%llu",
				   (unsigned long long)page);
		stop(&vu);
	}
}

void vu_log_when_off(struct check_context *c)
{
	struct vu vu;

	vu_start(c, &vu);
	vu_needs_log(&vu);
	map(&vu);
	check_did(c, "asked for a report before the log was started");
	if (!vu_log_report(&vu, IOVA, VU_PAGE, VU_PAGE))
		check_fail(c, "an error: it is only valid if logging was started", "success");
	if (vu_log_start(&vu, VU_PAGE, range, 1))
		check_fail(c, "the log starts", "%s", strerror((int)vu.in.error));
	stop(&vu);
	check_did(c, "asked for a report after the log was stopped");
	if (!vu_log_report(&vu, IOVA, VU_PAGE, VU_PAGE))
		check_fail(c, "an error: it is only valid if logging was started", "success");
}

void vu_log_power(struct check_context *c)
{
	static const uint64_t odd[] = { 3, 4095, 4097, 12288, 0 };
	struct vu vu;

	start(c, &vu);
	/* A division by 0 is no way to find out. */
	for (size_t i = 0; i < 4 + (size_t)c->target->dangerous; i++) {
		const uint64_t data[3] = { IOVA, PAGES * VU_PAGE, odd[i] };

		check_did(c, "asked for a report in pages of %llu", (unsigned long long)odd[i]);
		if (!vu_feature(&vu, 65536, VU_GET | VU_LOG_REPORT, data, sizeof(data)))
			check_fail(c, "an error: page_size must be a power of two", "success");
	}
	vu_must_live(&vu);
}

/* The reply to a request for so many pages; bits behind them are zero. */
static void look_at_report(struct vu *vu, uint64_t pages, uint64_t unit)
{
	uint64_t words = (pages + 63) / 64, last;

	vu_has(vu, 32 + 8 * words, "the bitmap, 64 bits at a time, behind the request");
	if (vu_u32(vu, 0) != vu->in.len)
		check_fail(vu->c, "argsz is the size needed for the full payload", "%u of %zu", vu_u32(vu, 0),
			   vu->in.len);
	if (vu_u64(vu, 8) != IOVA || vu_u64(vu, 16) != pages * unit || vu_u64(vu, 24) != unit)
		check_fail(vu->c, "the data of the request are before the bitmap", "others");
	last = vu_u64(vu, 32 + 8 * (words - 1));
	if (pages % 64 && last >> (pages % 64))
		check_fail(vu->c, "the bits outside of the requested range must be zero",
			   "%#llx, of %llu pages", (unsigned long long)last, (unsigned long long)pages);
}

void vu_log_bitmap(struct check_context *c)
{
	static const uint64_t counts[] = { 1, 3, 63, 64, 65, 130 };
	struct vu vu;
	int r;

	start(c, &vu);
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		check_did(c, "asked for a report of %llu pages", (unsigned long long)counts[i]);
		r = vu_log_report(&vu, IOVA, counts[i] * VU_PAGE, VU_PAGE);
		if (r)
			check_fail(c, "the log is reported", "%s", strerror(-r));
		look_at_report(&vu, counts[i], VU_PAGE);
	}
	stop(&vu);
}

void vu_log_sizes(struct check_context *c)
{
	static const uint64_t sizes[] = { 512, 1024, 2048, 4096, 8192, 65536 };
	struct vu vu;
	int r;

	start(c, &vu);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		const uint64_t length = 128 * VU_PAGE;

		check_did(c, "asked for a report in pages of %llu of a log in pages of 4096",
			  (unsigned long long)sizes[i]);
		r = vu_log_report(&vu, IOVA, length, sizes[i]);
		if (r)
			check_fail(c, "it does not have to match the page size of the log", "%s",
				   strerror(-r));
		look_at_report(&vu, length / sizes[i], sizes[i]);
	}
	stop(&vu);
}
