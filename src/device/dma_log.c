/* SPDX-License-Identifier: BSD-3-Clause */
#include "device/dma_log.h"

#include <string.h>

#include "base/limits.h"

/* All ranges of bytes and pages are inclusive at both ends: the last page ends at 2^64. */

#define CHUNK_SHIFT 15
#define CHUNK_PAGES (1ull << CHUNK_SHIFT)
#define CHUNK_WORDS (CHUNK_PAGES / 64)
#define CHUNKS_MAX (VMIG_LIMIT_LOG_BITMAP / (CHUNK_PAGES / 8))

struct vmig_log_chunk {
	uint64_t number;     /* of its first page, >> CHUNK_SHIFT */
	unsigned int active; /* which bitmap is marked; under log->lock */
	bool any[2];         /* may have bits; belongs to the bitmap, which may be skipped without */
	uint64_t bits[2][CHUNK_WORDS] __attribute__((aligned(64)));
};

/** What a report is asked for. */
struct report {
	uint64_t iova, last;            /* bytes */
	uint64_t first_page, last_page; /* of the log, touched */
	unsigned int shift;             /* log2 of the report's page size */
	uint64_t *bitmap;
};

void vmig_dma_log_init(struct vmig_dma_log *log)
{
	pthread_rwlockattr_t attr;

	*log = (struct vmig_dma_log){ 0 };
	pthread_mutex_init(&log->call_lock, NULL);
	/* A device that writes all the time must not keep a report waiting. */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&log->lock, &attr);
	pthread_rwlockattr_destroy(&attr);
}

static void clear(struct vmig_dma_log *log)
{
	for (size_t i = 0; i < log->n_chunks; i++)
		free(log->chunks[i]);
	free(log->chunks);
	free(log->ranges);
	log->chunks = NULL;
	log->ranges = NULL;
	log->n_chunks = log->chunk_room = 0;
	log->n_ranges = 0;
	log->on = false;
}

void vmig_dma_log_done(struct vmig_dma_log *log)
{
	clear(log);
	pthread_rwlock_destroy(&log->lock);
	pthread_mutex_destroy(&log->call_lock);
}

/* --- start and stop ----------------------------------------------------------------------- */

static uint64_t range_last(const struct vmig_range *range)
{
	return range->iova + (range->length - 1);
}

static int compare_ranges(const void *a, const void *b)
{
	const struct vmig_range *x = a, *y = b;

	return (x->iova > y->iova) - (x->iova < y->iova);
}

/** A sorted copy. -EINVAL: some overlap. */
static int own_ranges(const struct vmig_range *ranges, uint32_t n, struct vmig_range **ret)
{
	_autofree_ struct vmig_range *own = reallocarray(NULL, n, sizeof(*own));

	if (!own)
		return -ENOMEM;
	memcpy(own, ranges, n * sizeof(*own));
	qsort(own, n, sizeof(*own), compare_ranges);
	for (uint32_t i = 1; i < n; i++)
		if (own[i].iova <= range_last(&own[i - 1]))
			return -EINVAL;
	*ret = steal_ptr(own);
	return 0;
}

int vmig_dma_log_start(struct vmig_dma_log *log, uint64_t page_size, const struct vmig_range *ranges,
		       uint32_t n, struct vmig_error *error)
{
	struct vmig_range *own = NULL;
	int r;

	if (n > VMIG_LIMIT_LOG_RANGES)
		return vmig_fault(error, -E2BIG, "DMA_LOGGING_START", "%u ranges, at most %u are possible", n,
				  VMIG_LIMIT_LOG_RANGES);
	r = own_ranges(ranges, n, &own);
	if (r < 0)
		return vmig_fault(error, r, "DMA_LOGGING_START",
				  r == -EINVAL ? "ranges overlap" : "no memory");
	pthread_mutex_lock(&log->call_lock);
	if (log->on) {
		r = vmig_fault(error, -EBUSY, "DMA_LOGGING_START", "it is started already");
		free(own);
	} else {
		pthread_rwlock_wrlock(&log->lock);
		log->shift = (unsigned int)__builtin_ctzll(page_size);
		log->ranges = own;
		log->n_ranges = n;
		log->on = true;
		pthread_rwlock_unlock(&log->lock);
	}
	pthread_mutex_unlock(&log->call_lock);
	return r;
}

int vmig_dma_log_stop(struct vmig_dma_log *log, struct vmig_error *error)
{
	int r = 0;

	pthread_mutex_lock(&log->call_lock);
	if (log->on) {
		pthread_rwlock_wrlock(&log->lock);
		clear(log);
		pthread_rwlock_unlock(&log->lock);
	} else {
		r = vmig_fault(error, -EINVAL, "DMA_LOGGING_STOP", "it is not started");
	}
	pthread_mutex_unlock(&log->call_lock);
	return r;
}

/* --- finding ------------------------------------------------------------------------------ */

/** The first range that ends at or behind @iova. */
static uint32_t find_range(const struct vmig_dma_log *log, uint64_t iova)
{
	uint32_t low = 0, high = log->n_ranges;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (range_last(&log->ranges[mid]) < iova)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/** The first chunk with this number or a greater one. */
static size_t find_chunk(const struct vmig_dma_log *log, uint64_t number)
{
	size_t low = 0, high = log->n_chunks;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (log->chunks[mid]->number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* --- making room -------------------------------------------------------------------------- */

static int insert_chunk(struct vmig_dma_log *log, size_t at, uint64_t number)
{
	struct vmig_log_chunk *chunk = aligned_alloc(64, sizeof(*chunk));
	int r = -ENOMEM;

	if (!chunk)
		return -ENOMEM;
	memset(chunk, 0, sizeof(*chunk));
	chunk->number = number;
	pthread_rwlock_wrlock(&log->lock);
	if (log->n_chunks == log->chunk_room) {
		size_t room = log->chunk_room ? 2 * log->chunk_room : 64;
		struct vmig_log_chunk **chunks = reallocarray(log->chunks, room, sizeof(*chunks));

		if (chunks) {
			log->chunks = chunks;
			log->chunk_room = room;
		}
	}
	if (log->n_chunks < log->chunk_room) {
		memmove(&log->chunks[at + 1], &log->chunks[at],
			(log->n_chunks - at) * sizeof(log->chunks[0]));
		log->chunks[at] = chunk;
		log->n_chunks++;
		chunk = NULL;
		r = 0;
	}
	pthread_rwlock_unlock(&log->lock);
	free(chunk);
	return r;
}

/** Chunks for the pages of [@iova, @last], which lies in one range. */
static int cover_part(struct vmig_dma_log *log, uint64_t iova, uint64_t last)
{
	uint64_t first = iova >> log->shift >> CHUNK_SHIFT, end = last >> log->shift >> CHUNK_SHIFT;

	if (end - first >= CHUNKS_MAX)
		return -ENOSPC;
	for (uint64_t number = first; number - first <= end - first; number++) {
		size_t at = find_chunk(log, number);
		int r;

		if (at < log->n_chunks && log->chunks[at]->number == number)
			continue;
		if (log->n_chunks >= CHUNKS_MAX)
			return -ENOSPC;
		r = insert_chunk(log, at, number);
		if (r < 0)
			return r;
	}
	return 0;
}

int vmig_dma_log_cover(struct vmig_dma_log *log, uint64_t iova, uint64_t size, struct vmig_error *error)
{
	uint64_t last = iova + (size - 1);
	int r = 0;

	pthread_mutex_lock(&log->call_lock);
	for (uint32_t i = find_range(log, iova); i < log->n_ranges && log->ranges[i].iova <= last && !r; i++)
		r = cover_part(log, MAX(iova, log->ranges[i].iova), MIN(last, range_last(&log->ranges[i])));
	pthread_mutex_unlock(&log->call_lock);
	if (r < 0)
		vmig_fault(error, r, "DMA_LOGGING", "no room for the bits of %#llx + %#llx: %s",
			   (unsigned long long)iova, (unsigned long long)size,
			   r == -ENOSPC ? "the bitmaps would be larger than their limit" : "no memory");
	return r;
}

/* --- marking ------------------------------------------------------------------------------ */

/** The bits of one word for the pages from @page to @last, or to the word's end. */
static uint64_t word_mask(uint64_t page, uint64_t last)
{
	unsigned int low = page % 64;
	uint64_t n = last - page;

	return n >= 63 - low ? ~0ull << low : (~0ull >> (63 - n)) << low;
}

static void mark_pages(struct vmig_dma_log *log, uint64_t page, uint64_t last)
{
	size_t at = find_chunk(log, page >> CHUNK_SHIFT);

	for (;;) {
		uint64_t mask = word_mask(page, last);

		while (at < log->n_chunks && log->chunks[at]->number < page >> CHUNK_SHIFT)
			at++;
		if (at < log->n_chunks && log->chunks[at]->number == page >> CHUNK_SHIFT) {
			struct vmig_log_chunk *chunk = log->chunks[at];
			uint64_t *word = &chunk->bits[chunk->active][page % CHUNK_PAGES / 64];

			/* Most writes hit pages that are marked already: no locked access for those. */
			if ((__atomic_load_n(word, __ATOMIC_RELAXED) & mask) != mask)
				__atomic_fetch_or(word, mask, __ATOMIC_RELAXED);
			if (!__atomic_load_n(&chunk->any[chunk->active], __ATOMIC_RELAXED))
				__atomic_store_n(&chunk->any[chunk->active], true, __ATOMIC_RELAXED);
		}
		if (last - page <= 63 - page % 64)
			return;
		page += 64 - page % 64;
	}
}

void vmig_dma_log_mark(struct vmig_dma_log *log, uint64_t iova, size_t len)
{
	uint64_t last = iova + (len - 1);

	/* The lock is taken even to learn that the log is off: it orders the write before the mark. */
	pthread_rwlock_rdlock(&log->lock);
	for (uint32_t i = find_range(log, iova); i < log->n_ranges && log->ranges[i].iova <= last; i++)
		mark_pages(log, MAX(iova, log->ranges[i].iova) >> log->shift,
			   MIN(last, range_last(&log->ranges[i])) >> log->shift);
	pthread_rwlock_unlock(&log->lock);
}

/* --- reporting ---------------------------------------------------------------------------- */

static void set_bits(uint64_t *bitmap, uint64_t first, uint64_t last)
{
	for (;;) {
		bitmap[first / 64] |= word_mask(first, last);
		if (last - first <= 63 - first % 64)
			return;
		first += 64 - first % 64;
	}
}

/** Pages @page to @last of the log are dirty: say so in pages of the report. */
static void report_run(const struct vmig_dma_log *log, const struct report *rep, uint64_t page, uint64_t last)
{
	uint64_t from = page << log->shift, to = (last << log->shift) | ((1ull << log->shift) - 1);

	from = MAX(from, rep->iova);
	to = MIN(to, rep->last);
	set_bits(rep->bitmap, (from - rep->iova) >> rep->shift, (to - rep->iova) >> rep->shift);
}

/* Two words at once: what every 64-bit machine can do, and what the compiler does not find by itself here. */
typedef uint64_t two_words __attribute__((vector_size(16), aligned(8), may_alias));

/** Move 512 bits, if there are any. A report of a whole machine's memory is mostly this. */
static inline void take_line(uint64_t *bits, uint64_t *out)
{
	two_words *in = (two_words *)bits, *to = (two_words *)out;
	two_words a = in[0], b = in[1], c = in[2], d = in[3], any = a | b | c | d;

	if (!(any[0] | any[1]))
		return;
	to[0] |= a;
	to[1] |= b;
	to[2] |= c;
	to[3] |= d;
	in[0] = in[1] = in[2] = in[3] = (two_words){ 0, 0 };
}

/** The same page size and words that lie alike: words are handed over whole. Bits @first to @last of @bits. */
static void take_words(uint64_t *bits, uint64_t first, uint64_t last, uint64_t *out)
{
	uint64_t word = first / 64, end = (last + 1) / 64;

	for (; word + 8 <= end; word += 8, out += 8)
		take_line(&bits[word], out);
	for (; word < end; word++) {
		*out++ |= bits[word];
		bits[word] = 0;
	}
	if ((last + 1) % 64) {
		uint64_t mask = ~(~0ull << (last + 1) % 64);

		*out |= bits[word] & mask;
		bits[word] &= ~mask;
	}
}

/** Any sizes and offsets: runs of set bits. @base is the chunk's first page. */
static void take_runs(const struct vmig_dma_log *log, const struct report *rep, const uint64_t *bits,
		      uint64_t base, uint64_t first, uint64_t last)
{
	bool in_run = false;
	uint64_t start = 0;

	for (uint64_t at = first; at <= last;) {
		/* The next bit that is other than those of the run (or gap) we are in. */
		uint64_t word = (in_run ? ~bits[at / 64] : bits[at / 64]) >> at % 64;
		uint64_t step = word ? (uint64_t)__builtin_ctzll(word) : 64 - at % 64;

		at += step;
		if (!word || at > last)
			continue;
		if (in_run)
			report_run(log, rep, base + start, base + at - 1);
		start = at;
		in_run = !in_run;
	}
	if (in_run)
		report_run(log, rep, base + start, base + last);
}

static void clear_bits(uint64_t *bits, uint64_t first, uint64_t last)
{
	for (;;) {
		bits[first / 64] &= ~word_mask(first, last);
		if (last - first <= 63 - first % 64)
			return;
		first += 64 - first % 64;
	}
}

static bool any_bits(const uint64_t *bits)
{
	uint64_t any = 0;

	for (size_t i = 0; i < CHUNK_WORDS; i++)
		any |= bits[i];
	return any;
}

/** Move what is asked for out of the inactive bitmap. Nobody else looks at it. */
static void take(const struct vmig_dma_log *log, const struct report *rep, struct vmig_log_chunk *chunk)
{
	uint64_t *bits = chunk->bits[!chunk->active];
	bool *any = &chunk->any[!chunk->active];
	uint64_t page = 1ull << log->shift, base = chunk->number << CHUNK_SHIFT;
	uint64_t first = MAX(base, rep->first_page) - base;
	uint64_t last = MIN(base + (CHUNK_PAGES - 1), rep->last_page) - base;
	bool whole_pages = !(rep->iova & (page - 1)) && !((rep->last + 1) & (page - 1));

	if (!*any)
		return;
	if (rep->shift == log->shift && whole_pages && !(rep->first_page % 64)) {
		take_words(bits, first, last, &rep->bitmap[(base + first - rep->first_page) / 64]);
		*any = (first || last < CHUNK_PAGES - 1) && any_bits(bits);
	} else {
		take_runs(log, rep, bits, base, first, last);
		/* A page that was asked for in part stays marked for the other part. */
		if (base + first == rep->first_page && (rep->iova & (page - 1)))
			first++;
		if (base + last == rep->last_page && ((rep->last + 1) & (page - 1)))
			last--;
		if (first <= last && last < CHUNK_PAGES)
			clear_bits(bits, first, last);
		*any = any_bits(bits);
	}
}

static int check_report(const struct vmig_dma_log *log, uint64_t iova, uint64_t length,
			struct vmig_error *error)
{
	uint64_t at = iova;

	if (!log->on)
		return vmig_fault(error, -EINVAL, "DMA_LOGGING_REPORT", "it is not started");
	for (uint32_t i = find_range(log, iova); i < log->n_ranges && log->ranges[i].iova <= at; i++) {
		if (iova + (length - 1) <= range_last(&log->ranges[i]))
			return 0;
		at = range_last(&log->ranges[i]) + 1;
	}
	return vmig_fault(error, -EINVAL, "DMA_LOGGING_REPORT",
			  "%#llx + %#llx is not within the logged ranges", (unsigned long long)iova,
			  (unsigned long long)length);
}

static void report(struct vmig_dma_log *log, const struct report *rep)
{
	size_t first = find_chunk(log, rep->first_page >> CHUNK_SHIFT), end = first;

	for (; end < log->n_chunks && log->chunks[end]->number <= rep->last_page >> CHUNK_SHIFT; end++)
		take(log, rep, log->chunks[end]);
	/* Who has marked in the active bitmap has left; who comes now marks in the other. */
	pthread_rwlock_wrlock(&log->lock);
	for (size_t i = first; i < end; i++)
		log->chunks[i]->active ^= 1;
	pthread_rwlock_unlock(&log->lock);
	for (size_t i = first; i < end; i++)
		take(log, rep, log->chunks[i]);
}

int vmig_dma_log_report(struct vmig_dma_log *log, uint64_t iova, uint64_t length, uint64_t page_size,
			uint64_t *bitmap, struct vmig_error *error)
{
	int r;

	pthread_mutex_lock(&log->call_lock);
	r = check_report(log, iova, length, error);
	if (!r) {
		struct report rep = {
			.iova = iova,
			.last = iova + (length - 1),
			.first_page = iova >> log->shift,
			.last_page = (iova + (length - 1)) >> log->shift,
			.shift = (unsigned int)__builtin_ctzll(page_size),
			.bitmap = bitmap,
		};

		report(log, &rep);
	}
	pthread_mutex_unlock(&log->call_lock);
	return r;
}
