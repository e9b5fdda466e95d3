/* SPDX-License-Identifier: BSD-3-Clause */
#include "image.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "bytes.h"

static uint64_t gcd(uint64_t a, uint64_t b)
{
	while (b) {
		uint64_t t = a % b;

		a = b;
		b = t;
	}
	return a;
}

/* About the golden ratio of n: neighbours in time lie far apart in memory. */
static uint64_t choose_stride(uint64_t n)
{
	uint64_t stride = n / 1000 * 618 + n % 1000 * 618 / 1000;

	stride = stride ? stride : 1;
	while (gcd(stride, n) != 1)
		stride++;
	return stride;
}

static uint64_t *new_bits(const struct image *image)
{
	return calloc(image->n_words, sizeof(uint64_t));
}

int image_init(struct image *image, uint64_t device, uint64_t size, unsigned int lanes,
	       const struct image_ops *ops, void *opaque)
{
	*image = (struct image){
		.ops = ops, .opaque = opaque, .device = device, .lanes = lanes, .size = size
	};
	image->n_pages = size / IMAGE_PAGE;
	image->n_words = (image->n_pages + 63) / 64;
	image->stride = choose_stride(image->n_pages);
	pthread_mutex_init(&image->lock, NULL);
	image->memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (image->memory == MAP_FAILED)
		image->memory = NULL;
	image->dirty = new_bits(image);
	image->round = new_bits(image);
	image->touched = new_bits(image);
	image->waiting = calloc(IMAGE_WAITING_MAX, sizeof(*image->waiting));
	image->load.stage = malloc(IMAGE_STAGE);
	if (!image->memory || !image->dirty || !image->round || !image->touched || !image->waiting ||
	    !image->load.stage) {
		image_done(image);
		return -ENOMEM;
	}
	madvise(image->memory, size, MADV_HUGEPAGE); /* fewer faults; a wish, not a need */
	for (uint64_t p = 0; p < image->n_pages; p++)
		image_fill_page(image, p);
	return 0;
}

void image_set_release(struct image *image, const struct image_release *release)
{
	image->release = *release;
}

void image_set_match(struct image *image, const uint8_t *match, size_t len, bool late)
{
	image->match_len = MIN(len, IMAGE_MATCH_MAX);
	if (image->match_len)
		memcpy(image->match, match, image->match_len);
	image->late = late;
}

void image_done(struct image *image)
{
	if (image->memory)
		munmap(image->memory, image->size);
	free(image->dirty);
	free(image->round);
	free(image->touched);
	free(image->waiting);
	free(image->load.stage);
	pthread_mutex_destroy(&image->lock);
}

void image_reset(struct image *image)
{
	pthread_mutex_lock(&image->lock);
	for (uint64_t p = 0; p < image->n_pages; p++)
		if (image_bit(image->touched, p))
			image_fill_page(image, p);
	memset(image->touched, 0, image->n_words * sizeof(uint64_t));
	memset(image->dirty, 0, image->n_words * sizeof(uint64_t));
	memset(image->counts, 0, sizeof(image->counts));
	image->n_waiting = 0;
	image->save.phase = SAVE_NONE;
	image->save.n_loans = 0;
	image->load.at = LOAD_NONE;
	pthread_mutex_unlock(&image->lock);
}

/* --- changes ------------------------------------------------------------------------------- */

static bool is_lent(const struct image *image, uint64_t page)
{
	const struct image_saver *save = &image->save;

	for (unsigned int i = 0; i < save->n_loans; i++)
		if (page >= save->loans[i].from && page < save->loans[i].to)
			return true;
	return false;
}

void image_flush(struct image *image)
{
	for (unsigned int i = 0; i < image->n_waiting; i++)
		put_le64(image_cell(image, image->waiting[i].lane, image->waiting[i].page),
			 image->waiting[i].value);
	image->n_waiting = 0;
}

bool image_may_change(struct image *image, unsigned int n)
{
	bool may;

	pthread_mutex_lock(&image->lock);
	may = n <= IMAGE_WAITING_MAX - image->n_waiting;
	pthread_mutex_unlock(&image->lock);
	return may;
}

static void change(struct image *image, unsigned int lane)
{
	uint64_t s = image->counts[lane]++, page = image_page_of(image, lane, s);

	image_set_bit(image->dirty, page);
	image_set_bit(image->touched, page);
	if (is_lent(image, page))
		image->waiting[image->n_waiting++] = (struct image_waiting){ page, s + 1, lane };
	else
		put_le64(image_cell(image, lane, page), s + 1);
}

void image_change(struct image *image, unsigned int lane, unsigned int n)
{
	pthread_mutex_lock(&image->lock);
	while (n--)
		change(image, lane);
	pthread_mutex_unlock(&image->lock);
}

uint64_t image_count(struct image *image, unsigned int lane)
{
	uint64_t count;

	pthread_mutex_lock(&image->lock);
	count = image->counts[lane];
	pthread_mutex_unlock(&image->lock);
	return count;
}

/* --- proof --------------------------------------------------------------------------------- */

bool image_cell_is_right(const struct image *image, unsigned int lane, uint64_t count, uint64_t k,
			 uint64_t *ret_page)
{
	/* Change number count - 1 - k; where there was none yet, the page it would have met is still 0. */
	uint64_t s = k < count ? count - 1 - k : image->n_pages - 1 - (k - count);

	*ret_page = image_page_of(image, lane, s);
	return get_le64(image_cell(image, lane, *ret_page)) == (k < count ? s + 1 : 0);
}

static void check_lane(const struct image *image, unsigned int lane, uint64_t *bad)
{
	uint64_t page;

	for (uint64_t k = 0; k < image->n_pages; k++)
		if (!image_cell_is_right(image, lane, image->counts[lane], k, &page))
			image_set_bit(bad, page);
}

uint64_t image_check(struct image *image)
{
	uint64_t *bad = new_bits(image), n = 0;

	if (!bad)
		return UINT64_MAX;
	pthread_mutex_lock(&image->lock);
	for (unsigned int lane = 0; lane < image->lanes; lane++)
		check_lane(image, lane, bad);
	for (uint64_t p = 0; p < image->n_pages; p++)
		if (!image_pattern_is_right(image, p))
			image_set_bit(bad, p);
	pthread_mutex_unlock(&image->lock);
	for (uint64_t w = 0; w < image->n_words; w++)
		n += (uint64_t)__builtin_popcountll(bad[w]);
	free(bad);
	return n;
}

uint64_t image_digest(struct image *image)
{
	uint64_t h;

	pthread_mutex_lock(&image->lock);
	h = hash64(image->size, image->counts, image->lanes * sizeof(uint64_t));
	for (uint64_t p = 0; p < image->n_pages; p++)
		h = hash64(h, image->memory + p * IMAGE_PAGE, IMAGE_PAGE);
	pthread_mutex_unlock(&image->lock);
	return h;
}
