/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The merged log. It has bits of its own: what a device reports goes there first, in whole pages of that device, so that a
 * peer that clears more than it was asked for, or logs in larger pages, loses nothing; and there the user marks.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <vmig/memory.h>

#include "base/limits.h"
#include "memory/bits.h"

/* Pages of one report: 4 GiB in pages of 4 KiB, a bitmap of 128 KiB, which any server takes. */
#define REPORT_PAGES (1ull << 20)

struct log_range {
	uint64_t iova, last; /* bytes, both within */
	uint64_t *bits;      /* atomically: a user marks at any time */
};

struct log_device {
	struct vmig_device *dev;
	uint64_t page_size; /* 0: it does not log */
	struct vmig_range *ranges;
	uint32_t n_ranges;
};

struct vmig_memory_log {
	unsigned int shift;
	struct log_range *ranges; /* sorted */
	uint32_t n_ranges;
	struct log_device *devices;
	uint32_t n_devices;
	bool blind; /* somebody writes whom nobody tracks */
	uint64_t *report;
	char note[VMIG_NOTE_MAX];
};

/* --- its own bits -------------------------------------------------------------------------- */

/** The first range that ends at or behind @iova. */
static uint32_t find_range(const struct vmig_memory_log *log, uint64_t iova)
{
	uint32_t low = 0, high = log->n_ranges;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (log->ranges[mid].last < iova)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void mark(struct vmig_memory_log *log, uint64_t iova, uint64_t last)
{
	for (uint32_t i = find_range(log, iova); i < log->n_ranges && log->ranges[i].iova <= last; i++) {
		struct log_range *range = &log->ranges[i];
		uint64_t first = (MAX(iova, range->iova) - range->iova) >> log->shift;
		uint64_t end = (MIN(last, range->last) - range->iova) >> log->shift;

		for (uint64_t word = first / 64; word <= end / 64; word++, first = word * 64)
			__atomic_fetch_or(&range->bits[word], bits_mask(first, end), __ATOMIC_RELEASE);
	}
}

void vmig_memory_log_mark(struct vmig_memory_log *log, uint64_t iova, uint64_t length)
{
	if (length)
		mark(log, iova, add_fits(iova, length - 1) ? iova + (length - 1) : UINT64_MAX);
}

static void mark_all(struct vmig_memory_log *log)
{
	for (uint32_t i = 0; i < log->n_ranges; i++)
		mark(log, log->ranges[i].iova, log->ranges[i].last);
}

/** What is asked for: bytes @iova to @last, answered in pages of 1 << @shift. */
struct question {
	uint64_t iova, last;
	unsigned int shift;
	uint64_t *bitmap;
};

/* Pages [@page, @end) of @range are dirty. */
static void answer(const struct vmig_memory_log *log, const struct log_range *range, uint64_t page,
		   uint64_t end, const struct question *q)
{
	uint64_t from = MAX(range->iova + (page << log->shift), q->iova);
	uint64_t to = MIN(range->iova + ((end << log->shift) - 1), q->last);

	bits_set(q->bitmap, (from - q->iova) >> q->shift, (to - q->iova) >> q->shift);
}

/* Take the bits of @range that are asked for; a page that is asked for in part stays for the other part. */
static void take(struct vmig_memory_log *log, struct log_range *range, const struct question *q)
{
	uint64_t page_mask = (1ull << log->shift) - 1;
	uint64_t from = MAX(q->iova, range->iova) - range->iova;
	uint64_t to = MIN(q->last, range->last) - range->iova;
	uint64_t first = from >> log->shift, last = to >> log->shift;
	uint64_t whole = first + !!(from & page_mask), whole_end = (to + 1) >> log->shift;

	for (uint64_t word = first / 64, at = first; word <= last / 64; word++, at = word * 64) {
		uint64_t mask = bits_mask(at, last), clear = 0, bits;
		uint64_t low = MAX(word * 64, whole), high = MIN(word * 64 + 64, whole_end);

		if (!__atomic_load_n(&range->bits[word], __ATOMIC_RELAXED))
			continue;
		if (low < high)
			clear = bits_mask(low, high - 1);
		bits = __atomic_fetch_and(&range->bits[word], ~clear, __ATOMIC_ACQUIRE) & mask;
		for (uint64_t bit = bits_find(&bits, 0, 64, true), end; bit < 64;
		     bit = bits_find(&bits, end, 64, true)) {
			end = bits_find(&bits, bit, 64, false);
			answer(log, range, word * 64 + bit, word * 64 + end, q);
		}
	}
}

/* --- the devices' logs --------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static void note(struct vmig_memory_log *log, struct vmig_device *dev,
						       const char *format, ...)
{
	struct vmig_device_info info;
	char why[160];
	va_list ap;

	if (log->note[0])
		return;
	vmig_device_query_info(dev, &info);
	va_start(ap, format);
	vsnprintf(why, sizeof(why), format, ap);
	va_end(ap);
	snprintf(log->note, sizeof(log->note), "%.64s %s: all memory counts as dirty", info.name, why);
}

static void note_error(struct vmig_memory_log *log, struct vmig_device *dev, int code, const char *what)
{
	struct vmig_error error;

	vmig_device_query_error(dev, &error);
	note(log, dev, "%s (%.100s)", what, error.code == -code ? error.text : strerror(-code));
}

/* One piece of a device's log into our bits: at most REPORT_PAGES, in its pages. */
static int report_piece(struct vmig_memory_log *log, const struct log_device *d, uint64_t iova, uint64_t last)
{
	uint64_t pages = (last - iova) / d->page_size + 1, at = 0;
	int r;

	memset(log->report, 0, BITS_WORDS(pages) * 8);
	r = vmig_device_dma_log_report(d->dev, iova, last - iova + 1, d->page_size, log->report);
	while (!r && (at = bits_find(log->report, at, pages, true)) < pages) {
		uint64_t end = bits_find(log->report, at, pages, false);
		uint64_t to = iova + (end - 1) * d->page_size + (d->page_size - 1);

		mark(log, iova + at * d->page_size, MIN(to, last));
		at = end;
	}
	return r;
}

static int report_range(struct vmig_memory_log *log, const struct log_device *d,
			const struct vmig_range *range, uint64_t iova, uint64_t last)
{
	uint64_t end = range->iova + (range->length - 1), mask = d->page_size - 1;
	uint64_t from = MAX(iova & ~mask, range->iova), to = MIN(last | mask, end);
	int r = 0;

	while (!r) {
		uint64_t part = MIN(to - from, REPORT_PAGES * d->page_size - 1);

		r = report_piece(log, d, from, from + part);
		if (part == to - from)
			break;
		from += part + 1;
	}
	return r;
}

static void ask_devices(struct vmig_memory_log *log, uint64_t iova, uint64_t last)
{
	for (uint32_t i = 0; i < log->n_devices; i++) {
		const struct log_device *d = &log->devices[i];
		int r = 0;

		for (uint32_t k = 0; d->page_size && !r && k < d->n_ranges; k++) {
			const struct vmig_range *range = &d->ranges[k];

			if (range->iova <= last && range->iova + (range->length - 1) >= iova)
				r = report_range(log, d, range, iova, last);
		}
		if (!r)
			continue;
		/* What was not reported may be lost, wherever it was. */
		mark_all(log);
		note_error(log, d->dev, r, "did not report what it wrote");
	}
}

static bool is_covered(const struct vmig_memory_log *log, uint64_t iova, uint64_t last)
{
	for (uint32_t i = find_range(log, iova); i < log->n_ranges && log->ranges[i].iova <= iova; i++) {
		if (last <= log->ranges[i].last)
			return true;
		iova = log->ranges[i].last + 1;
	}
	return false;
}

int vmig_memory_log_report(struct vmig_memory_log *log, uint64_t iova, uint64_t length, uint64_t page_size,
			   uint64_t *bitmap)
{
	struct question q = { .iova = iova, .bitmap = bitmap };

	if (!is_pow2(page_size) || !length || !add_fits(iova, length - 1))
		return -EINVAL;
	q.last = iova + (length - 1);
	q.shift = (unsigned int)__builtin_ctzll(page_size);
	if (!is_covered(log, iova, q.last))
		return -EINVAL;
	if (log->blind)
		mark(log, iova, q.last);
	else
		ask_devices(log, iova, q.last);
	for (uint32_t i = find_range(log, iova); i < log->n_ranges && log->ranges[i].iova <= q.last; i++)
		take(log, &log->ranges[i], &q);
	return 0;
}

const char *vmig_memory_log_note(const struct vmig_memory_log *log)
{
	return log->note;
}

/* --- start --------------------------------------------------------------------------------- */

/* Of two neighbours the pair with the smallest gap becomes one. */
static uint32_t merge_closest(struct vmig_range *ranges, uint32_t n)
{
	uint32_t best = 0;
	uint64_t least = UINT64_MAX;

	for (uint32_t i = 0; i + 1 < n; i++) {
		uint64_t gap = ranges[i + 1].iova - (ranges[i].iova + (ranges[i].length - 1));

		if (gap < least) {
			least = gap;
			best = i;
		}
	}
	ranges[best].length = ranges[best + 1].iova - ranges[best].iova + ranges[best + 1].length;
	memmove(&ranges[best + 1], &ranges[best + 2], (n - best - 2) * sizeof(*ranges));
	return n - 1;
}

/* The log's ranges in whole pages of @page_size, at most @most of them. Returns how many. */
static uint32_t make_ranges(const struct vmig_memory_log *log, uint64_t page_size, uint32_t most,
			    struct vmig_range *ret)
{
	uint64_t mask = page_size - 1, end = 0; /* @end: the last byte of the range before */
	uint32_t n = 0;

	for (uint32_t i = 0; i < log->n_ranges; i++) {
		uint64_t iova = log->ranges[i].iova & ~mask, last = log->ranges[i].last | mask;

		/* A length of 2^64 cannot be said, and no device has so much. */
		if (!iova && last == UINT64_MAX)
			last = UINT64_MAX - page_size;
		if (n && iova <= end) {
			ret[n - 1].length = last - ret[n - 1].iova + 1;
		} else {
			ret[n++] = (struct vmig_range){ iova, last - iova + 1 };
		}
		end = last;
	}
	while (n > most)
		n = merge_closest(ret, n);
	return n;
}

/* With ranges that grow fewer while they are too many. */
static int start_with(struct vmig_memory_log *log, struct log_device *d, uint64_t page_size)
{
	uint32_t most = log->n_ranges;

	for (;;) {
		uint32_t n = make_ranges(log, page_size, most, d->ranges);
		uint64_t chosen = page_size;
		int r = vmig_device_dma_log_start(d->dev, &chosen, d->ranges, n);

		if (!r && !is_pow2(chosen)) {
			(void)vmig_device_dma_log_stop(d->dev);
			return -EPROTO;
		}
		if (!r) {
			d->n_ranges = n;
			d->page_size = chosen;
		}
		if (r != -E2BIG || n == 1)
			return r;
		most = n / 2;
	}
}

/* What devices are known to want where they do not take the smallest. */
static const uint64_t page_sizes[] = { 64u << 10, 2u << 20 };

static void start_device(struct vmig_memory_log *log, struct log_device *d)
{
	uint64_t page_size = 1ull << log->shift;
	struct vmig_device_info info;
	int r;

	vmig_device_query_info(d->dev, &info);
	/* One that takes no mapping writes to no memory. */
	if (!info.dma_kinds)
		return;
	if (!(info.has & (VMIG_HAS_DMA_LOG | VMIG_HAS_IOMMU_LOG))) {
		note(log, d->dev, "does DMA that neither it nor an IOMMU tracks");
		log->blind = true;
		return;
	}
	r = start_with(log, d, page_size);
	for (size_t i = 0; (r == -EINVAL || r == -ENOSPC) && i < ARRAY_SIZE(page_sizes); i++)
		if (page_sizes[i] > page_size)
			r = start_with(log, d, page_sizes[i]);
	if (!r)
		return;
	note_error(log, d->dev, r, "does not start to track its DMA");
	log->blind = true;
}

/* --- life ---------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	const struct log_range *x = a, *y = b;

	return (x->iova > y->iova) - (x->iova < y->iova);
}

static int take_ranges(struct vmig_memory_log *log, const struct vmig_range *ranges, uint32_t n)
{
	uint64_t page_size = 1ull << log->shift, pages = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t iova = ranges[i].iova, length = ranges[i].length;

		if (!length || ((iova | length) & (page_size - 1)) || !add_fits(iova, length - 1))
			return -EINVAL;
		log->ranges[i] = (struct log_range){ .iova = iova, .last = iova + (length - 1) };
		pages += length >> log->shift;
		if (pages > VMIG_LIMIT_MEMORY_PAGES)
			return -E2BIG;
	}
	log->n_ranges = n;
	qsort(log->ranges, n, sizeof(*log->ranges), compare);
	for (uint32_t i = 0; i < n; i++) {
		struct log_range *range = &log->ranges[i];

		if (i && range->iova <= log->ranges[i - 1].last)
			return -EINVAL;
		range->bits = calloc(BITS_WORDS(((range->last - range->iova) >> log->shift) + 1), 8);
		if (!range->bits)
			return -ENOMEM;
	}
	return 0;
}

static int take_devices(struct vmig_memory_log *log, struct vmig_device *const *devices, uint32_t n)
{
	log->devices = calloc(n ? n : 1, sizeof(*log->devices));
	log->report = malloc(BITS_WORDS(REPORT_PAGES) * 8);
	if (!log->devices || !log->report)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		struct log_device *d = &log->devices[log->n_devices++];

		d->dev = devices[i];
		d->ranges = calloc(log->n_ranges, sizeof(*d->ranges));
		if (!d->ranges)
			return -ENOMEM;
	}
	return 0;
}

int vmig_memory_log_new(struct vmig_device *const *devices, uint32_t n_devices,
			const struct vmig_range *ranges, uint32_t n_ranges, uint64_t page_size,
			struct vmig_memory_log **ret)
{
	struct vmig_memory_log *log;
	int r;

	if (!is_pow2(page_size) || page_size < 4096 || !n_ranges)
		return -EINVAL;
	if (n_ranges > VMIG_LIMIT_LOG_RANGES)
		return -E2BIG;
	log = calloc(1, sizeof(*log));
	if (!log)
		return -ENOMEM;
	log->shift = (unsigned int)__builtin_ctzll(page_size);
	log->ranges = calloc(n_ranges, sizeof(*log->ranges));
	r = log->ranges ? take_ranges(log, ranges, n_ranges) : -ENOMEM;
	r = r ? r : take_devices(log, devices, n_devices);
	if (r) {
		vmig_memory_log_free(log);
		return r;
	}
	for (uint32_t i = 0; i < n_devices; i++)
		start_device(log, &log->devices[i]);
	*ret = log;
	return 0;
}

void vmig_memory_log_free(struct vmig_memory_log *log)
{
	if (!log)
		return;
	for (uint32_t i = 0; log->devices && i < log->n_devices; i++) {
		/* A device that was reset meanwhile has stopped by itself. */
		if (log->devices[i].page_size)
			(void)vmig_device_dma_log_stop(log->devices[i].dev);
		free(log->devices[i].ranges);
	}
	for (uint32_t i = 0; log->ranges && i < log->n_ranges; i++)
		free(log->ranges[i].bits);
	free(log->ranges);
	free(log->devices);
	free(log->report);
	free(log);
}
