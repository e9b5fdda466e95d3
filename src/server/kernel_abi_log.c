/* SPDX-License-Identifier: BSD-3-Clause */
/* The device's own DMA log: DMA_LOGGING_START, STOP and REPORT, in the kernel's dialect. */
#include <string.h>

#include "base/log.h"
#include "server/kernel_abi.h"

/* Pages that are reported at a time: 64 KiB of bits. A multiple of 64. */
#define CHUNK (512u << 10)

static int by_iova(const void *a, const void *b)
{
	const struct vmig_range *one = a, *other = b;

	return one->iova < other->iova ? -1 : one->iova > other->iova;
}

/** Sorts them. Each fits into the address space. */
static bool overlap(struct vmig_range *ranges, uint32_t n)
{
	qsort(ranges, n, sizeof(*ranges), by_iova);
	for (uint32_t i = 1; i < n; i++)
		if (ranges[i].iova - ranges[i - 1].iova < ranges[i - 1].length)
			return true;
	return false;
}

static int get_ranges(struct vmig_kabi_ctx *ctx,
		      const struct vmig_uapi_device_feature_dma_logging_control *control,
		      struct vmig_range *ranges)
{
	uint64_t page = control->page_size, total = 0;
	int r = vmig_kabi_get(ctx, control->ranges, ranges, control->num_ranges * sizeof(*ranges));

	_Static_assert(sizeof(struct vmig_range) == sizeof(struct vmig_uapi_device_feature_dma_logging_range),
		       "ranges are taken as they are");
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < control->num_ranges; i++) {
		if (!add_fits(ranges[i].iova, ranges[i].length))
			return -EOVERFLOW;
		if ((ranges[i].iova | ranges[i].length) & (page - 1))
			return -EINVAL;
		total += ranges[i].length;
	}
	ctx->call.v[2] = total;
	return overlap(ranges, control->num_ranges) ? -EINVAL : 0;
}

/** An IOMMU's tracking that is made of the same log cannot run beside it. */
static int claim(struct vmig_kabi_slot *slot)
{
	bool tracked = false;

	pthread_mutex_lock(&slot->kabi->lock);
	if (slot->as) {
		pthread_mutex_lock(&slot->as->lock);
		tracked = slot->as->tracks;
		pthread_mutex_unlock(&slot->as->lock);
	}
	if (!tracked) {
		pthread_mutex_lock(&slot->lock);
		tracked = slot->logging;
		slot->logging = true;
		pthread_mutex_unlock(&slot->lock);
	} else {
		vmig_log(VMIG_LOG_ERROR,
			 "%s: its DMA log is in use already, for the dirty tracking of its address space",
			 slot->info.name);
	}
	pthread_mutex_unlock(&slot->kabi->lock);
	return tracked ? -EBUSY : 0;
}

static void give_up(struct vmig_kabi_slot *slot)
{
	pthread_mutex_lock(&slot->lock);
	slot->logging = false;
	pthread_mutex_unlock(&slot->lock);
}

int64_t vmig_kabi_log_start(struct vmig_kabi_ctx *ctx, uint64_t addr)
{
	struct vmig_kabi_slot *slot = ctx->file->slot;
	struct vmig_uapi_device_feature_dma_logging_control control;
	_autofree_ struct vmig_range *ranges = NULL;
	uint64_t page_size;
	int r = vmig_kabi_get(ctx, addr, &control, sizeof(control));

	if (r < 0)
		return r;
	page_size = control.page_size;
	ctx->call.v[0] = page_size;
	ctx->call.v[1] = control.num_ranges;
	if (!control.num_ranges || !is_pow2(page_size))
		return -EINVAL;
	if (control.num_ranges > VMIG_LIMIT_LOG_RANGES)
		return -E2BIG;
	ranges = malloc(control.num_ranges * sizeof(*ranges));
	if (!ranges)
		return -ENOMEM;
	r = get_ranges(ctx, &control, ranges);
	/* Memory that cannot be written is found out before the log runs. */
	if (!r)
		r = vmig_kabi_put(ctx, addr, &control, sizeof(control));
	if (!r)
		r = claim(slot);
	if (r < 0)
		return r;
	r = vmig_device_dma_log_start(slot->dev, &page_size, ranges, control.num_ranges);
	if (r < 0) {
		give_up(slot);
		return r;
	}
	pthread_mutex_lock(&slot->lock);
	free(slot->log_ranges);
	slot->log_ranges = steal_ptr(ranges);
	slot->n_log_ranges = control.num_ranges;
	pthread_mutex_unlock(&slot->lock);
	control.page_size = page_size;
	return vmig_kabi_put(ctx, addr, &control, sizeof(control));
}

/** How many bytes of the report are within what was asked to be logged. With slot->lock. */
static uint64_t within_ranges(const struct vmig_kabi_slot *slot,
			      const struct vmig_uapi_device_feature_dma_logging_report *args)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < slot->n_log_ranges; i++) {
		const struct vmig_range *range = &slot->log_ranges[i];
		uint64_t from = MAX(range->iova, args->iova);
		uint64_t to = MIN(range->iova + range->length, args->iova + args->length);

		sum += to > from ? to - from : 0;
	}
	return sum;
}

int64_t vmig_kabi_log_stop(struct vmig_kabi_ctx *ctx)
{
	struct vmig_kabi_slot *slot = ctx->file->slot;
	bool was;

	pthread_mutex_lock(&slot->lock);
	was = slot->logging;
	slot->logging = false;
	pthread_mutex_unlock(&slot->lock);
	/* The kernel's answer is 0 whether it ran or not. */
	return was ? vmig_device_dma_log_stop(slot->dev) : 0;
}

/** On purpose: the first page that is dirty is left out. */
static void forget_first(uint64_t *bits, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (bits[i]) {
			bits[i] &= bits[i] - 1;
			return;
		}
	}
}

static int report(struct vmig_kabi_ctx *ctx, const struct vmig_uapi_device_feature_dma_logging_report *args,
		  bool forgets, uint64_t *ret_dirty)
{
	unsigned int shift = (unsigned int)__builtin_ctzll(args->page_size);
	uint64_t pages = ((args->length - 1) >> shift) + 1, done = 0;
	_autofree_ uint64_t *bits = malloc(MIN(CHUNK, (pages + 63) & ~63ull) / 8);

	if (!bits)
		return -ENOMEM;
	while (done < pages) {
		uint64_t n = MIN(pages - done, CHUNK), words = (n + 63) / 64, at = done << shift, count;
		/* The last pages are not whole, perhaps: of the largest ones, all would be more than 2^64 bytes. */
		uint64_t length = n == pages - done ? args->length - at : n << shift;
		int r;

		memset(bits, 0, words * 8);
		r = vmig_device_dma_log_report(ctx->file->slot->dev, args->iova + at, length, args->page_size,
					       bits);
		if (r < 0)
			return r;
		count = vmig_kabi_count_bits(bits, words);
		if (forgets && count) {
			forget_first(bits, words);
			forgets = false;
		}
		*ret_dirty += count;
		r = vmig_kabi_add_words(ctx, args->bitmap + done / 8, bits, words);
		if (r < 0)
			return r;
		done += n;
	}
	return 0;
}

int64_t vmig_kabi_log_report(struct vmig_kabi_ctx *ctx, uint64_t addr)
{
	struct vmig_kabi_slot *slot = ctx->file->slot;
	struct vmig_uapi_device_feature_dma_logging_report args;
	uint64_t dirty = 0;
	bool ours;
	int r = vmig_kabi_get(ctx, addr, &args, sizeof(args)), fault;

	if (r < 0)
		return r;
	ctx->call.v[0] = args.iova;
	ctx->call.v[1] = args.length;
	ctx->call.v[2] = args.page_size;
	if (args.page_size < VMIG_KABI_PAGE || !is_pow2(args.page_size) || !args.length)
		return -EINVAL;
	if (!add_fits(args.iova, args.length))
		return -EOVERFLOW;
	if (args.length / args.page_size / 8 > VMIG_LIMIT_LOG_BITMAP)
		return -E2BIG;
	pthread_mutex_lock(&slot->lock);
	ours = slot->logging;
	ctx->call.len = within_ranges(slot, &args);
	pthread_mutex_unlock(&slot->lock);
	/* Not started, or started for the address space: its bits are not to be taken away. */
	if (!ours)
		return -EINVAL;
	fault = vmig_kabi_fault(slot, VMIG_KABI_FAULT_REPORT, VMIG_STATE_NONE, 0);
	if (fault < 0 && fault != -EAGAIN)
		return fault;
	r = report(ctx, &args, fault == -EAGAIN, &dirty);
	ctx->call.v[3] = dirty;
	if (!r)
		vmig_kabi_note_report(slot, dirty);
	return r;
}
