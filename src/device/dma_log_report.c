/* SPDX-License-Identifier: BSD-3-Clause */
/* A report of the DMA log: what was marked, in pages of the asker's size. */
#include <string.h>

#include "device/dma_log_chunk.h"

/** What a report is asked for. */
struct report {
	uint64_t iova, last;            /* bytes */
	uint64_t first_page, last_page; /* of the log, touched */
	unsigned int shift;             /* log2 of the report's page size */
	uint64_t *bitmap;
};

static void set_bits(uint64_t *bitmap, uint64_t first, uint64_t last)
{
	for (;;) {
		bitmap[first / 64] |= vmig_log_word_mask(first, last);
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
		bits[first / 64] &= ~vmig_log_word_mask(first, last);
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
	for (uint32_t i = vmig_log_find_range(log, iova); i < log->n_ranges && log->ranges[i].iova <= at;
	     i++) {
		if (iova + (length - 1) <= vmig_log_range_last(&log->ranges[i]))
			return 0;
		at = vmig_log_range_last(&log->ranges[i]) + 1;
	}
	return vmig_fault(error, -EINVAL, "DMA_LOGGING_REPORT",
			  "%#llx + %#llx is not within the logged ranges", (unsigned long long)iova,
			  (unsigned long long)length);
}

static void report(struct vmig_dma_log *log, const struct report *rep)
{
	size_t first = vmig_log_find_chunk(log, rep->first_page >> CHUNK_SHIFT), end = first;

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
