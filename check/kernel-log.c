/* SPDX-License-Identifier: BSD-3-Clause */
/* The log of DMA by its arguments. Nothing is mapped and the device has no work. */
#include "kernel.h"

#include <errno.h>
#include <string.h>

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

static int report(struct check_context *c)
{
	uint64_t bitmap[LENGTH / PAGE / 64] = { 0 };
	struct vmig_uapi_device_feature_dma_logging_report r = {
		.iova = IOVA, .length = LENGTH, .page_size = PAGE, .bitmap = (uintptr_t)bitmap
	};

	return kernel_feature(c, VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_REPORT | GET, &r, sizeof(r));
}

/* There are kernels that start a log which they cannot report. */
void check_kernel_log(struct check_context *c)
{
	int r = start_one(c);

	check_did(c, "probed the log, which is there, and started it");
	if (r)
		check_fail(c, "it starts", "%s", strerror(-r));
	check_did(c, "started the log and asked for a report");
	r = report(c);
	if (r)
		check_fail(c, "a report", "%s, though PROBE and START succeeded", strerror(-r));
	check_did(c, "stopped the log");
	r = stop(c);
	if (r)
		check_fail(c, "it stops", "%s", strerror(-r));
}
