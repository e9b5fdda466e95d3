/* SPDX-License-Identifier: BSD-3-Clause */
/* A device that works: where its DMA goes, by which way, and what its log says of it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "wire.h"
#include "vu.h"

#define IOVA   (1ull << 30)
#define PAGES  CHECK_FILL_PAGES
#define AROUND 8u /* pages that are mapped, or that are there */
#define BLANK  0xa5

/* Less than the device likes to write at once. */
#define SMALL "{\"capabilities\":{\"max_msg_fds\":8,\"max_data_xfer_size\":256}}"
#define TWIN                                                                                                 \
	"{\"capabilities\":{\"max_msg_fds\":8,\"max_data_xfer_size\":256,\"twin_socket\":{\"supported\":"    \
	"true}}}"

/* --- the device, by its registers ----------------------------------------------------------------------- */

static int bus_read(void *opaque, uint32_t region, uint64_t offset, void *buf, uint32_t len)
{
	return vu_region_read(opaque, region, offset, buf, len);
}

static int bus_write(void *opaque, uint32_t region, uint64_t offset, const void *buf, uint32_t len)
{
	return vu_region_write(opaque, region, offset, buf, len);
}

static struct check_bus bus_of(struct vu *vu)
{
	return (struct check_bus){ bus_read, bus_write, vu };
}

/* Its registers as at power-on, if it can; and somebody must know them. */
static void needs_work(struct vu *vu)
{
	const struct check_bus bus = bus_of(vu);

	if (!vu->c->target->filler || vu->c->target->filler->calm(&bus))
		check_end(vu->c, CHECK_SKIPPED, "", "nobody here has a driver for this device");
	(void)vu_call(vu, VU_RESET, NULL);
}

static void fill(struct vu *vu)
{
	const struct check_bus bus = bus_of(vu);
	int r = vu->c->target->filler->fill(&bus, IOVA, PAGES);

	if (r == -EOPNOTSUPP)
		check_end(vu->c, CHECK_SKIPPED, "", "nobody here has a driver for this device");
	if (r)
		check_fail(vu->c, "the device is given work", "%s", strerror(-r));
}

static void calm(struct vu *vu)
{
	const struct check_bus bus = bus_of(vu);
	int r = vu->c->target->filler->calm(&bus);

	if (r)
		check_fail(vu->c, "the device stops working", "%s", strerror(-r));
}

static bool changed(const uint8_t *at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (at[i] != BLANK)
			return true;
	return false;
}

static bool is_full(const uint8_t *at)
{
	for (size_t i = 0; i < PAGES; i++)
		if (!changed(at + i * VU_PAGE, VU_PAGE))
			return false;
	return true;
}

/* Until every page was written to; then it writes no more. What was written to the @len bytes at @around is seen soon. */
static void wait_full(struct vu *vu, const uint8_t *at, const uint8_t *around, size_t len)
{
	for (int i = 0; !is_full(at); i++) {
		if (i == vu->patience_ms)
			check_fail(vu->c, "the device writes to the memory that is mapped",
				   "it has not written to all of it after %d ms", vu->patience_ms);
		if (changed(around, len))
			check_fail(vu->c, "the device writes where the mapping is", "it wrote elsewhere");
		(void)vu_wait(vu, 1);
	}
	calm(vu);
}

static void nothing_wrong(struct vu *vu)
{
	if (*vu->dma_wrong)
		check_fail(vu->c, "DMA messages stay within what was agreed on and mapped", "%s",
			   vu->dma_wrong);
}

/* Memory with a descriptor at @offset of it, as large as AROUND pages from there on. */
static uint8_t *map_by_fd(struct vu *vu, uint64_t offset)
{
	uint8_t *at;
	int fd, r;

	vu_needs_maps(vu, true);
	fd = vu_memfd(vu, offset + AROUND * VU_PAGE, &at);
	memset(at, BLANK, offset + AROUND * VU_PAGE);
	r = vu_map(vu, 3, IOVA, AROUND * VU_PAGE, fd, offset);
	if (r)
		check_fail(vu->c, "memory is mapped at an offset of its file", "%s", strerror(-r));
	return at + offset;
}

static uint8_t *map_messages(struct vu *vu, uint32_t flags)
{
	uint8_t *at;

	vu_map_messages(vu, flags, IOVA, AROUND * VU_PAGE, &at);
	memset(at, BLANK, AROUND * VU_PAGE);
	return at;
}

/* --- DMA ------------------------------------------------------------------------------------------------ */

void vu_work_by_fd(struct check_context *c)
{
	const uint64_t offset = 2 * VU_PAGE;
	struct vu vu;
	uint8_t *at;

	vu_start(c, &vu);
	needs_work(&vu);
	check_did(c, "gave the device work, with memory at page 2 of a file");
	at = map_by_fd(&vu, offset);
	fill(&vu);
	wait_full(&vu, at, at - offset, offset);
	if (changed(at - offset, offset) || changed(at + PAGES * VU_PAGE, (AROUND - PAGES) * VU_PAGE))
		check_fail(c, "the device writes where the mapping is in the file",
			   "it wrote around it, too");
}

void vu_work_by_messages(struct check_context *c)
{
	struct vu vu;
	uint8_t *at;

	vu_start_with(c, &vu, SMALL);
	needs_work(&vu);
	check_did(c, "gave the device work, with memory without a descriptor, and max_data_xfer_size 256");
	at = map_messages(&vu, 3);
	fill(&vu);
	wait_full(&vu, at, NULL, 0);
	nothing_wrong(&vu);
	if (changed(at + PAGES * VU_PAGE, (AROUND - PAGES) * VU_PAGE))
		check_fail(c, "the device writes where it was told to", "it wrote behind that, too");
}

/* What it reads is mapped for that only, and what it writes for that only. */
void vu_work_reads(struct check_context *c)
{
	const uint64_t from = IOVA + (1u << 20);
	struct vu vu;
	struct check_bus bus;
	uint8_t *at, *jobs;
	int r;

	vu_start_with(c, &vu, SMALL);
	needs_work(&vu);
	bus = bus_of(&vu);
	at = map_messages(&vu, 2);
	vu_map_messages(&vu, 1, from, AROUND * VU_PAGE, &jobs);
	check_did(c, "gave the device work that it reads, with memory without a descriptor");
	r = c->target->filler->work(&bus, IOVA, PAGES, from, jobs);
	if (r == -EOPNOTSUPP)
		check_end(c, CHECK_SKIPPED, "",
			  "nobody here has a driver for this device, or it only writes");
	if (r)
		check_fail(c, "the device is given work", "%s", strerror(-r));
	wait_full(&vu, at, NULL, 0);
	nothing_wrong(&vu);
	if (c->target->filler->has_read(&bus) != 1)
		check_fail(c, "the device has read what lies in memory", "it has read something else");
}

/* The device wants to write, and waits. */
static void hold_one(struct vu *vu)
{
	vu->hold = true;
	fill(vu);
	for (int i = 0; !vu->n_held; i++) {
		if (i == vu->patience_ms)
			check_fail(vu->c, "a DMA message comes", "none within %d ms", vu->patience_ms);
		(void)vu_wait(vu, 1);
	}
}

void vu_work_not_stalled(struct check_context *c)
{
	struct vu_body b = { 0 };
	struct vu vu;
	uint8_t *at;

	vu_start_with(c, &vu, SMALL);
	needs_work(&vu);
	at = map_messages(&vu, 3);
	hold_one(&vu);
	check_did(c, "sent DEVICE_GET_INFO while a DMA message was not answered");
	vu_32(&b, 16);
	vu_32(&b, 0);
	vu_64(&b, 0);
	vu_must(&vu, VU_GET_INFO, &b, "commands are processed meanwhile");
	vu_answer_held(&vu);
	wait_full(&vu, at, NULL, 0);
	nothing_wrong(&vu);
}

void vu_work_unmap(struct check_context *c)
{
	struct vu vu;
	int r;

	vu_start_with(c, &vu, SMALL);
	needs_work(&vu);
	(void)map_messages(&vu, 3);
	hold_one(&vu);
	check_did(c, "unmapped memory while a DMA message was not answered, and answered it then");
	r = vu_unmap(&vu, 0, IOVA, AROUND * VU_PAGE);
	if (r)
		check_fail(c, "the region is released", "%s", strerror(-r));
	/* From here on any access is to what is not mapped; the answer of before may be late. */
	vu_answer_held(&vu);
	vu.n_memory = 0;
	(void)vu_wait(&vu, 50);
	calm(&vu);
	nothing_wrong(&vu);
}

void vu_work_read_only(struct check_context *c)
{
	struct vu vu;

	vu_start_with(c, &vu, SMALL);
	needs_work(&vu);
	check_did(c, "gave the device work, with memory that it may only read");
	(void)map_messages(&vu, 1);
	fill(&vu);
	for (int i = 0; i < 20 && !*vu.dma_wrong; i++)
		(void)vu_wait(&vu, 10);
	calm(&vu);
	nothing_wrong(&vu);
}

static void without_twin(struct vu *vu)
{
	for (int i = 0; i < 50 && !vu->n_dma; i++)
		(void)vu_wait(vu, 1);
	calm(vu);
	if (vu->n_dma)
		check_observe(vu->c, "a server that sends commands should have a twin socket",
			      "%u commands, and none", vu->n_dma);
	check_end(vu->c, CHECK_NOT_APPLICABLE, "", "it has no twin socket, which is optional");
}

void vu_work_twin(struct check_context *c)
{
	struct vu vu;
	uint8_t *at;

	vu_start_with(c, &vu, TWIN);
	needs_work(&vu);
	at = map_messages(&vu, 3);
	fill(&vu);
	if (vu.twin < 0)
		without_twin(&vu);
	check_did(c, "gave the device work, with a twin socket");
	wait_full(&vu, at, NULL, 0);
	nothing_wrong(&vu);
	if (!vu.n_dma)
		check_fail(c, "DMA messages come by the twin socket", "none did");
}

/* --- its log -------------------------------------------------------------------------------------------- */

static bool bit(struct vu *vu, size_t at, uint64_t i)
{
	return vu_u64(vu, at + 8 * (i / 64)) >> (i % 64) & 1;
}

/* Every unit of the report that was written to must be in it. */
static void report_has_all(struct vu *vu, const uint8_t *at, uint64_t unit)
{
	int r = vu_log_report(vu, IOVA, AROUND * VU_PAGE, unit);

	if (r)
		check_fail(vu->c, "the log is reported", "%s", strerror(-r));
	for (uint64_t i = 0; i * unit < AROUND * VU_PAGE; i++)
		if (changed(at + i * unit, unit) && !bit(vu, 32, i))
			check_fail(vu->c, "all that was written to is reported",
				   "%llu bytes at %#llx are not, which the device has written to",
				   (unsigned long long)unit, (unsigned long long)(IOVA + i * unit));
}

static void log_work(struct check_context *c, uint64_t unit, bool ranges)
{
	const uint64_t range[2] = { IOVA, AROUND * VU_PAGE };
	struct vu vu;
	uint8_t *at;
	int r;

	vu_start(c, &vu);
	vu_needs_log(&vu);
	needs_work(&vu);
	at = map_by_fd(&vu, 0);
	r = vu_log_start(&vu, VU_PAGE, range, ranges ? 1 : 0);
	if (r)
		check_fail(c, "the log starts", "%s", strerror(-r));
	fill(&vu);
	wait_full(&vu, at, NULL, 0);
	check_did(c, "logged with pages of 4096, %s, and asked for a report in pages of %llu",
		  ranges ? "one range" : "no ranges", (unsigned long long)unit);
	report_has_all(&vu, at, unit);
	r = vu_feature(&vu, 8, VU_SET | VU_LOG_STOP, NULL, 0);
	if (r)
		check_fail(c, "the log stops", "%s", strerror(-r));
}

void vu_log_all(struct check_context *c)
{
	log_work(c, VU_PAGE, true);
}

void vu_log_no_ranges(struct check_context *c)
{
	log_work(c, VU_PAGE, false);
}

void vu_log_finer(struct check_context *c)
{
	log_work(c, 1024, true);
}

void vu_log_coarser(struct check_context *c)
{
	log_work(c, 4 * VU_PAGE, true);
}

/* In the way of 0.9.1. */
void vu_dirty_all(struct check_context *c)
{
	const uint64_t words[5] = { 32 + 8 + 8, IOVA, AROUND * VU_PAGE, VU_PAGE, 8 };
	struct vu_body start = { 0 }, get = { 0 };
	struct vu vu;
	uint8_t *at;

	vu_start(c, &vu);
	if (!vu_is_v1(&vu))
		check_end(c, CHECK_NOT_APPLICABLE, "",
			  "it has no migration region, as devices of 0.9.1 have");
	needs_work(&vu);
	at = map_by_fd(&vu, 0);
	vu_64(&start, 8 | 1ull << 32);
	if (vu_call(&vu, VU_DIRTY_PAGES, &start))
		check_end(c, CHECK_NOT_APPLICABLE, "", "it does not track dirty pages, which is optional");
	fill(&vu);
	wait_full(&vu, at, NULL, 0);
	check_did(c, "logged dirty pages, and asked for their bitmap");
	vu_64(&get, words[0] | 4ull << 32);
	vu_bytes(&get, words + 1, sizeof(words) - 8);
	vu_must(&vu, VU_DIRTY_PAGES, &get, "the bitmap");
	for (uint64_t i = 0; i < AROUND; i++)
		if (changed(at + i * VU_PAGE, VU_PAGE) && !bit(&vu, 40, i))
			check_fail(c, "all that was written to is in the bitmap", "page %llu is not",
				   (unsigned long long)i);
}
