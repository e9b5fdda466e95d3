/* SPDX-License-Identifier: BSD-3-Clause */
#include "image.h"

#include <errno.h>

#include "frame.h"

/* Frames beside the pages: HELLO, FINAL, END. */
#define FRAMES_BESIDE 3u

void image_save_start(struct image *image, bool running)
{
	struct image_saver *save = &image->save;

	pthread_mutex_lock(&image->lock);
	image_flush(image);
	memset(image->dirty, 0, image->n_words * sizeof(uint64_t));
	memset(image->round, 0, image->n_words * sizeof(uint64_t));
	memset(save, 0, offsetof(struct image_saver, final));
	save->phase = running ? SAVE_RUNNING : SAVE_STOPPED;
	pthread_mutex_unlock(&image->lock);
}

void image_save_final(struct image *image, const void *registers, size_t len)
{
	struct image_saver *save = &image->save;

	pthread_mutex_lock(&image->lock);
	for (unsigned int lane = 0; lane < image->lanes; lane++)
		put_le64(save->final + lane * 8, image->counts[lane]);
	memcpy(save->final + image->lanes * 8, registers, len);
	save->final_len = image->lanes * 8 + len;
	save->phase = SAVE_STOPPED;
	pthread_mutex_unlock(&image->lock);
}

void image_save_end(struct image *image)
{
	pthread_mutex_lock(&image->lock);
	image->save.phase = SAVE_NONE;
	image->save.n_loans = 0;
	image_flush(image);
	pthread_mutex_unlock(&image->lock);
}

void image_save_again(struct image *image, uint64_t bytes)
{
	struct image_saver *save = &image->save;
	uint64_t pages = MIN(bytes / IMAGE_PAGE, image->n_pages);

	pthread_mutex_lock(&image->lock);
	if (save->phase == SAVE_RUNNING && !image->late) {
		save->again = 0;
		/* What the first pass has not reached yet is initial data as it is. */
		save->again_end = MIN(pages, save->initial);
		save->reinit = true;
	}
	pthread_mutex_unlock(&image->lock);
}

/* --- what comes next ------------------------------------------------------------------------ */

static void add_frame(struct image *image, struct frame f, const uint8_t *data, bool initial)
{
	struct image_saver *save = &image->save;
	struct image_frame *to = &save->plan[(save->first + save->n++) % IMAGE_PLAN];

	f.number = save->number++;
	frame_encode(to->header, &f, &save->chain);
	to->data = data;
	to->len = IMAGE_FRAME + (data ? f.length : 0);
	to->done = 0;
	to->initial = initial;
}

static void add_match(struct image *image)
{
	struct image_saver *save = &image->save;
	struct image_frame *to = &save->plan[(save->first + save->n++) % IMAGE_PLAN];

	memcpy(to->header, image->match, image->match_len);
	to->data = NULL;
	to->len = image->match_len;
	to->done = 0;
	to->initial = true;
	save->matched = true;
}

/* Pages [@from, @to) are on their way: from now on a change makes them dirty again. */
static void add_pages(struct image *image, uint64_t from, uint64_t to, bool initial)
{
	struct frame f = { .kind = FRAME_PAGES,
			   .offset = from * IMAGE_PAGE,
			   .length = (to - from) * IMAGE_PAGE };
	struct image_saver *save = &image->save;

	for (uint64_t p = from; p < to; p++) {
		if (image_bit(image->round, p))
			save->round_left--;
		image_clear_bit(image->round, p);
		image_clear_bit(image->dirty, p);
	}
	save->bytes += f.length;
	add_frame(image, f, image->memory + f.offset, initial);
}

/* The next run of pages within [*at, @end), if any. */
static bool plan_range(struct image *image, uint64_t *at, uint64_t end)
{
	uint64_t from = *at, to = MIN(end, from + FRAME_RUN_MAX / IMAGE_PAGE);

	if (from >= end)
		return false;
	*at = to;
	add_pages(image, from, to, true);
	return true;
}

/* The next run of pages that are set in @bits, from *at on. */
static bool plan_bits(struct image *image, const uint64_t *bits, uint64_t *at, bool initial)
{
	uint64_t w = *at / 64, from, to;

	for (; w < image->n_words && !bits[w]; w++)
		;
	if (w == image->n_words)
		return false;
	from = w * 64 + (uint64_t)__builtin_ctzll(bits[w]);
	for (to = from; to < image->n_pages && image_bit(bits, to) && to - from < FRAME_RUN_MAX / IMAGE_PAGE;
	     to++)
		;
	*at = w *
	      64; /* the bits of this run are cleared now: those that follow it in the word are found next */
	add_pages(image, from, to, initial);
	return true;
}

static bool plan_tail(struct image *image)
{
	struct image_saver *save = &image->save;
	struct frame final = { .kind = FRAME_FINAL, .length = save->final_len };
	struct frame end = { .kind = FRAME_END, .offset = save->bytes };

	if (save->phase == SAVE_STOPPED) {
		final.digest = hash64(image->device, save->final, save->final_len);
		add_frame(image, final, save->final, false);
		save->phase = SAVE_TAIL;
		return true;
	}
	if (save->phase != SAVE_TAIL)
		return false;
	add_frame(image, end, NULL, false);
	save->phase = SAVE_DONE;
	return true;
}

/* HELLO: the device, its memory, its lanes, its release. */
static struct frame hello_of(const struct image *image)
{
	const struct image_release *r = &image->release;

	return (struct frame){
		.kind = FRAME_HELLO,
		.offset = image->device,
		.a = image->size,
		.b = image->lanes,
		.digest = r->major | (uint64_t)r->minor << 16 | (uint64_t)r->features << 32,
	};
}

size_t image_head(const struct image *image, uint8_t *buf)
{
	struct frame hello = hello_of(image);
	uint64_t chain = 0;

	memcpy(buf, image->match, image->match_len);
	frame_encode(buf + image->match_len, &hello, &chain);
	return image->match_len + IMAGE_FRAME;
}

static bool plan_next(struct image *image)
{
	struct frame hello = hello_of(image);
	struct image_saver *save = &image->save;

	if (image->match_len && !save->matched) {
		add_match(image);
		return true;
	}
	if (image->late && save->phase == SAVE_RUNNING)
		return false;
	if (!save->number) {
		add_frame(image, hello, NULL, true);
		return true;
	}
	if (plan_range(image, &save->initial, image->n_pages) ||
	    plan_range(image, &save->again, save->again_end))
		return true;
	if (save->phase == SAVE_RUNNING)
		return save->round_left &&
		       plan_bits(image, image->round, &save->round_at, save->round_initial);
	save->round_at = 0;
	return (save->phase == SAVE_STOPPED && plan_bits(image, image->dirty, &save->round_at, false)) ||
	       plan_tail(image);
}

/* --- loans ---------------------------------------------------------------------------------- */

static void note_loan(struct image *image, const uint8_t *data, size_t len)
{
	struct image_saver *save = &image->save;
	uint64_t at = (uint64_t)(data - image->memory);

	if (data < image->memory || at >= image->size)
		return; /* the final record */
	save->loans[save->n_loans].from = at / IMAGE_PAGE;
	save->loans[save->n_loans++].to = (at + len + IMAGE_PAGE - 1) / IMAGE_PAGE;
}

/* Lend what is left of @f, at most @max bytes. */
static size_t lend_frame(struct image *image, struct image_frame *f, size_t max, struct iovec *iov, int *n)
{
	uint64_t at = f->done, head = MIN(f->len, IMAGE_FRAME);
	size_t total = 0;

	if (at < head && max) {
		total = MIN(head - at, max);
		iov[(*n)++] = (struct iovec){ f->header + at, total };
		at += total;
	}
	if (at >= IMAGE_FRAME && at < f->len && total < max) {
		size_t len = MIN(f->len - at, max - total);
		uint8_t *data = (uint8_t *)(uintptr_t)f->data + (at - IMAGE_FRAME);

		iov[(*n)++] = (struct iovec){ data, len };
		note_loan(image, data, len);
		total += len;
	}
	return total;
}

ssize_t image_lend(struct image *image, size_t max, struct iovec *ret_iov, int *ret_n)
{
	struct image_saver *save = &image->save;
	size_t total = 0;
	int n = 0;

	pthread_mutex_lock(&image->lock);
	save->n_loans = 0;
	for (unsigned int i = 0; save->phase != SAVE_NONE && i < IMAGE_PLAN && total < max; i++) {
		if (i == save->n && !plan_next(image))
			break;
		total += lend_frame(image, &save->plan[(save->first + i) % IMAGE_PLAN], max - total, ret_iov,
				    &n);
	}
	pthread_mutex_unlock(&image->lock);
	*ret_n = n;
	return (ssize_t)total;
}

void image_give_back(struct image *image, size_t used)
{
	struct image_saver *save = &image->save;

	pthread_mutex_lock(&image->lock);
	while (used && save->n) {
		struct image_frame *f = &save->plan[save->first];
		uint64_t taken = MIN(used, f->len - f->done);

		f->done += taken;
		used -= taken;
		if (f->done < f->len)
			break;
		save->first = (save->first + 1) % IMAGE_PLAN;
		save->n--;
	}
	save->n_loans = 0;
	image_flush(image);
	pthread_mutex_unlock(&image->lock);
}

/* --- sizes ---------------------------------------------------------------------------------- */

/* The pages of the first pass that it has met: of one word. Beyond it everything is initial, changed or not. */
static uint64_t passed(const struct image *image, uint64_t word)
{
	uint64_t whole = image->save.initial / 64;

	if (word != whole)
		return word < whole ? ~0ull : 0;
	return (1ull << image->save.initial % 64) - 1;
}

/* Of the dirty ones, those that count as initial data, or those that do not. */
static uint64_t count_dirty(const struct image *image, bool initial)
{
	const struct image_saver *save = &image->save;
	uint64_t n = 0;

	for (uint64_t w = 0; w < image->n_words; w++) {
		uint64_t as_initial = save->round_initial ? image->round[w] : 0;
		uint64_t bits = initial ? as_initial : ~as_initial;

		n += (uint64_t)__builtin_popcountll(image->dirty[w] & bits & passed(image, w));
	}
	return n;
}

static void take_round(struct image *image, bool initial)
{
	struct image_saver *save = &image->save;

	save->round_left = 0;
	for (uint64_t w = 0; w < image->n_words; w++) {
		image->round[w] = image->dirty[w] & passed(image, w);
		save->round_left += (uint64_t)__builtin_popcountll(image->round[w]);
	}
	save->round_at = 0;
	save->round_initial = initial;
}

/* New initial data: dirty is what changes from now on, so what is dirty now belongs to them. */
static void start_anew(struct image *image)
{
	struct image_saver *save = &image->save;

	take_round(image, true);
	for (unsigned int i = 0; i < save->n; i++)
		save->plan[(save->first + i) % IMAGE_PLAN].initial = true;
}

/* What is left, initial and not; frames that are prepared count as what they are. */
static void sum_up(const struct image *image, struct vmig_precopy *ret)
{
	const struct image_saver *save = &image->save;

	*ret = (struct vmig_precopy){ .initial_bytes = save->matched ? 0 : image->match_len };
	if (!image->late || save->phase != SAVE_RUNNING) {
		ret->initial_bytes += (image->n_pages - save->initial + save->again_end - save->again +
				       count_dirty(image, true)) *
				      IMAGE_PAGE;
		ret->dirty_bytes = count_dirty(image, false) * IMAGE_PAGE;
	}
	for (unsigned int i = 0; i < save->n; i++) {
		const struct image_frame *f = &save->plan[(save->first + i) % IMAGE_PLAN];

		*(f->initial ? &ret->initial_bytes : &ret->dirty_bytes) += f->len - f->done;
	}
}

void image_precopy_sizes(struct image *image, struct vmig_precopy *ret)
{
	struct image_saver *save = &image->save;

	pthread_mutex_lock(&image->lock);
	if (save->reinit)
		start_anew(image);
	sum_up(image, ret);
	ret->flags = save->reinit ? VMIG_PRECOPY_REINIT : 0;
	save->reinit = false;
	if (!ret->initial_bytes && !save->n && !save->round_left)
		take_round(image, false);
	pthread_mutex_unlock(&image->lock);
}

uint64_t image_stop_copy_size(struct image *image, size_t registers_len)
{
	uint64_t beside = image->match_len + FRAMES_BESIDE * IMAGE_FRAME + image->lanes * 8 + registers_len,
		 bytes = image->size;
	struct vmig_precopy left;

	pthread_mutex_lock(&image->lock);
	if (image->save.phase != SAVE_NONE && !(image->late && image->save.phase == SAVE_RUNNING)) {
		sum_up(image, &left);
		bytes = left.initial_bytes + left.dirty_bytes;
	}
	pthread_mutex_unlock(&image->lock);
	return bytes + (bytes / FRAME_RUN_MAX + 1) * IMAGE_FRAME + beside;
}
