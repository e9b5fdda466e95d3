/* SPDX-License-Identifier: BSD-3-Clause */
/* The log of DMA by its arguments. Nothing is mapped and the device has no work. */
#include "kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE   4096ull
#define IOVA   (1ull << 30)
#define LENGTH (256 * PAGE)

static int start(struct check_context *c, const struct vmig_uapi_device_feature_dma_logging_range *ranges,
		 uint32_t n)
{
	struct vmig_uapi_device_feature_dma_logging_control control = { .page_size = PAGE,
									.num_ranges = n,
									.ranges = (uintptr_t)ranges };

	return kernel_feature(c, VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_START | SET, &control, sizeof(control));
}

static int start_one(struct check_context *c)
{
	const struct vmig_uapi_device_feature_dma_logging_range range = { IOVA, LENGTH };

	return start(c, &range, 1);
}

static int stop(struct check_context *c)
{
	return kernel_feature(c, VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_STOP | SET, NULL, 0);
}

/* Nothing to write to where the page size is odd: it is refused before. */
static int report_in(struct check_context *c, uint64_t page)
{
	uint64_t bitmap[LENGTH / 64] = { 0 };
	struct vmig_uapi_device_feature_dma_logging_report r = {
		.iova = IOVA, .length = LENGTH, .page_size = page, .bitmap = (uintptr_t)bitmap
	};

	return kernel_feature(c, VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_REPORT | GET, &r, sizeof(r));
}

static int report(struct check_context *c)
{
	return report_in(c, PAGE);
}

static void must_start(struct check_context *c)
{
	int r = start_one(c);

	if (r)
		check_fail(c, "DMA logging starts", "%s", strerror(-r));
}

static void must_stop(struct check_context *c)
{
	int r = stop(c);

	if (r)
		check_fail(c, "DMA logging stops", "%s", strerror(-r));
}

/* There are kernels that start a log which they cannot report. */
void check_kernel_log(struct check_context *c)
{
	int r;

	check_did(c, "probed the log, which is there, and started it");
	must_start(c);
	check_did(c, "started the log and asked for a report");
	r = report(c);
	(void)stop(c);
	if (r)
		check_fail(c, "a report", "%s, though PROBE and START succeeded", strerror(-r));
	check_did(c, "started the log again and stopped it");
	must_start(c);
	must_stop(c);
}

void check_kernel_log_twice(struct check_context *c)
{
	int r;

	must_start(c);
	check_did(c, "START while the log was started");
	r = start_one(c);
	(void)stop(c);
	if (!r)
		check_fail(c, "an error: another start is not allowed in the meantime", "it succeeds");
}

void check_kernel_log_off(struct check_context *c)
{
	check_did(c, "REPORT before START");
	if (!report(c))
		check_fail(c, "an error, as the log is not enabled", "it succeeds");
	must_start(c);
	must_stop(c);
	check_did(c, "REPORT after STOP");
	if (!report(c))
		check_fail(c, "an error, as the log is not enabled", "it succeeds");
}

void check_kernel_log_page(struct check_context *c)
{
	static const uint64_t odd[] = { 0, 3, PAGE + 1, 3 * PAGE };

	must_start(c);
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		int r = report_in(c, odd[i]);

		check_did(c, "REPORT in pages of %llu bytes", (unsigned long long)odd[i]);
		if (!r)
			(void)stop(c);
		if (!r)
			check_fail(c, "an error: it is no power of two", "it succeeds");
	}
	must_stop(c);
}

/* As many as fit into a page of this machine's kernel, which may have larger ones than most. */
void check_kernel_log_ranges(struct check_context *c)
{
	struct vmig_uapi_device_feature_dma_logging_range *ranges;
	uint32_t n = (uint32_t)sysconf(_SC_PAGESIZE) / sizeof(*ranges);
	int r;

	ranges = calloc(n, sizeof(*ranges));
	if (!ranges)
		check_end(c, CHECK_ERROR, "", "no memory");
	for (uint32_t i = 0; i < n; i++)
		ranges[i] =
			(struct vmig_uapi_device_feature_dma_logging_range){ IOVA + 2 * i * LENGTH, LENGTH };
	check_did(c, "START with %u ranges", n);
	r = start(c, ranges, n);
	free(ranges);
	if (r)
		check_fail(c, "it succeeds, as they fit into a page", "%s", strerror(-r));
	must_stop(c);
}

/* --- arguments that make no sense --------------------------------------------------------------------------- */

static const struct odd {
	const char *what;
	uint32_t n;
	struct vmig_uapi_device_feature_dma_logging_range ranges[2];
} odd_starts[] = {
	{ "no range", 0, { { 0 } } },
	{ "a range that is not aligned to its page size", 1, { { IOVA + 8, LENGTH } } },
	{ "a length that is not aligned to its page size", 1, { { IOVA, LENGTH + 8 } } },
	{ "two ranges that overlap", 2, { { IOVA, LENGTH }, { IOVA + PAGE, LENGTH } } },
	{ "a range beyond the end of all addresses", 1, { { -PAGE, 2 * PAGE } } },
};

static int start_odd(struct check_context *c, const struct odd *odd)
{
	struct vmig_uapi_device_feature_dma_logging_control control = {
		.page_size = PAGE,
		.num_ranges = odd->n,
		.ranges = (uintptr_t)odd->ranges,
	};

	return kernel_feature(c, VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_START | SET, &control, sizeof(control));
}

/* What the text leaves open, the kernel's core refuses; and what was refused has not begun. */
void check_kernel_log_odd(struct check_context *c)
{
	const char *taken = NULL;

	for (size_t i = 0; i < sizeof(odd_starts) / sizeof(odd_starts[0]); i++) {
		check_did(c, "START with %s, and START as it should be", odd_starts[i].what);
		if (!start_odd(c, &odd_starts[i])) {
			taken = odd_starts[i].what;
			must_stop(c);
		}
		must_start(c);
		must_stop(c);
	}
	if (taken)
		check_observe(c, "an error, as of the kernel's core", "%s: it is taken", taken);
}
