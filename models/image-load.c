/* SPDX-License-Identifier: BSD-3-Clause */
#include "image.h"

#include <errno.h>

#include "frame.h"

/* How many of each lane's last changes are looked for at the end: stale pages are found without reading all. Where that
 * takes no time that would be missed, all are. */
#define PROBES   64u
#define LOOK_ALL 65536u /* cells */

void image_load_start(struct image *image)
{
	struct image_loader *load = &image->load;
	uint8_t *stage = load->stage;

	pthread_mutex_lock(&image->lock);
	memset(load, 0, offsetof(struct image_loader, final));
	load->stage = stage;
	load->final_len = 0;
	load->final_have = 0;
	load->at = image->match_len ? LOAD_MATCH : LOAD_FRAME;
	/* The bits of a round are not needed now: here they say which pages are there. */
	memset(image->round, 0, image->n_words * sizeof(uint64_t));
	pthread_mutex_unlock(&image->lock);
}

static int bad(struct image_loader *load, int error)
{
	load->at = LOAD_BAD;
	load->error = error;
	return error;
}

/* --- frames ---------------------------------------------------------------------------------- */

/** NULL: good. */
static const char *hello_fault(const struct image *image, const struct frame *f)
{
	const struct image_release *ours = &image->release;
	uint16_t major = (uint16_t)f->digest, minor = (uint16_t)(f->digest >> 16);
	uint64_t features = f->digest >> 32;

	if (f->offset != image->device)
		return "it is another kind of device";
	if (major != ours->major)
		return "its stream is of another major version";
	if (minor > ours->minor)
		return "its stream is of a newer minor version";
	if (minor < ours->oldest)
		return "its stream is of a minor version that is not read any more";
	if (features & ~(uint64_t)ours->features)
		return "it uses features that are not here";
	if (f->b != image->lanes)
		return "it has another number of queues";
	return f->a != image->size ? "it has another size of state" : NULL;
}

static int load_hello(struct image *image, const struct frame *f)
{
	if (f->length)
		return -EBADMSG;
	return hello_fault(image, f) ? -EINVAL : 0;
}

int image_check_head(const struct image *image, const uint8_t *head, size_t len, const char **ret_why)
{
	const uint8_t *hello = head + image->match_len;
	struct frame f;

	*ret_why = "the match data are others";
	if (len < image->match_len || memcmp(head, image->match, image->match_len))
		return -EINVAL;
	*ret_why = "it is not the head of a stream of this kind";
	if (len != image->match_len + IMAGE_FRAME)
		return -EINVAL;
	frame_decode(hello, &f);
	if (f.magic != FRAME_MAGIC || f.version != FRAME_VERSION || f.kind != FRAME_HELLO || f.length ||
	    f.chain != frame_chain(0, hello))
		return -EBADMSG;
	*ret_why = hello_fault(image, &f);
	return *ret_why ? -EINVAL : 0;
}

static int load_pages(struct image *image, const struct frame *f)
{
	struct image_loader *load = &image->load;

	if (!f->length || f->length > FRAME_RUN_MAX || (f->offset | f->length) % IMAGE_PAGE ||
	    f->offset >= image->size || f->length > image->size - f->offset)
		return -EBADMSG;
	for (uint64_t p = f->offset / IMAGE_PAGE; p < (f->offset + f->length) / IMAGE_PAGE; p++) {
		load->n_loaded += !image_bit(image->round, p);
		image_set_bit(image->round, p);
		image_set_bit(image->touched, p);
	}
	load->bytes += f->length;
	load->pos = f->offset;
	load->left = f->length;
	load->at = LOAD_PAGES;
	return 0;
}

static int load_final(struct image *image, const struct frame *f)
{
	struct image_loader *load = &image->load;

	if (load->final_len || f->length <= image->lanes * 8 || f->length > sizeof(load->final))
		return -EBADMSG;
	load->final_len = f->length;
	load->final_digest = f->digest;
	load->at = LOAD_FINAL;
	return 0;
}

static int load_end(struct image *image, const struct frame *f)
{
	struct image_loader *load = &image->load;

	if (!load->final_len || f->length || f->offset != load->bytes || load->n_loaded != image->n_pages)
		return -EBADMSG;
	load->at = LOAD_DONE;
	return 0;
}

static int load_frame(struct image *image, const uint8_t *header)
{
	struct image_loader *load = &image->load;
	struct frame f;

	frame_decode(header, &f);
	load->chain = frame_chain(load->chain, header);
	if (f.magic != FRAME_MAGIC || f.version != FRAME_VERSION || f.number != load->number ||
	    f.chain != load->chain)
		return -EBADMSG;
	if (!load->number++)
		return f.kind == FRAME_HELLO ? load_hello(image, &f) : -EBADMSG;
	if (load->final_len)
		return f.kind == FRAME_END ? load_end(image, &f) : -EBADMSG;
	switch (f.kind) {
	case FRAME_PAGES:
		return load_pages(image, &f);
	case FRAME_FINAL:
		return load_final(image, &f);
	}
	return -EBADMSG;
}

/* As soon as a byte of it differs: nobody has to wait for the rest. */
static ssize_t take_match(struct image *image, const uint8_t *p, size_t len)
{
	struct image_loader *load = &image->load;
	size_t n = MIN(len, image->match_len - load->pos);

	if (memcmp(p, image->match + load->pos, n))
		return -EINVAL;
	load->pos += n;
	if (load->pos == image->match_len)
		load->at = LOAD_FRAME;
	return (ssize_t)n;
}

static int check_final(struct image *image)
{
	struct image_loader *load = &image->load;
	size_t lanes = image->lanes * 8;

	load->at = LOAD_FRAME;
	if (hash64(image->device, load->final, load->final_len) != load->final_digest)
		return -EBADMSG;
	return image->ops->check(image->opaque, load->final + lanes, load->final_len - lanes);
}

/* --- bytes ----------------------------------------------------------------------------------- */

/* Pages are there: each is looked at while it is at hand, but for the lanes' cells, which are right in the end only. */
static int take_pages(struct image *image, uint64_t len)
{
	struct image_loader *load = &image->load;
	uint64_t page = load->pos / IMAGE_PAGE;

	load->pos += len;
	load->left -= len;
	if (!load->left)
		load->at = LOAD_FRAME;
	for (; page < load->pos / IMAGE_PAGE; page++)
		if (!image_pattern_is_right(image, page))
			return -EBADMSG;
	return 0;
}

/* Take one thing from @p: returns its bytes, 0 if there are too few, or an error. */
static ssize_t take(struct image *image, const uint8_t *p, size_t len)
{
	struct image_loader *load = &image->load;
	size_t n;
	int r = 0;

	switch (load->at) {
	case LOAD_MATCH:
		return take_match(image, p, len);
	case LOAD_PAGES:
		n = MIN(len, load->left);
		memcpy(image->memory + load->pos, p, n);
		r = take_pages(image, n);
		return r ? r : (ssize_t)n;
	case LOAD_FINAL:
		n = MIN(len, load->final_len - load->final_have);
		memcpy(load->final + load->final_have, p, n);
		load->final_have += n;
		if (load->final_have == load->final_len)
			r = check_final(image);
		return r ? r : (ssize_t)n;
	case LOAD_FRAME:
		if (len < IMAGE_FRAME)
			return 0;
		r = load_frame(image, p);
		return r ? r : (ssize_t)IMAGE_FRAME;
	default:
		return -EBADMSG; /* bytes after the end */
	}
}

static int take_stage(struct image *image)
{
	struct image_loader *load = &image->load;
	size_t at = 0;

	while (at < load->staged) {
		ssize_t n = take(image, load->stage + at, load->staged - at);

		if (n < 0)
			return bad(load, (int)n);
		if (!n)
			break;
		at += (size_t)n;
	}
	load->staged -= at;
	memmove(load->stage, load->stage + at, load->staged);
	return 0;
}

ssize_t image_room(struct image *image, size_t want, struct iovec *ret_iov, int *ret_n)
{
	struct image_loader *load = &image->load;
	size_t rest;
	int n = 0;

	if (load->at == LOAD_BAD)
		return load->error;
	if (load->at == LOAD_NONE || load->at == LOAD_DONE)
		return bad(load, -EBADMSG); /* bytes after the end */
	/* The pages of a frame go where they belong; what follows them is looked at first. */
	load->direct = load->at == LOAD_PAGES ? MIN(want, load->left) : 0;
	if (load->direct)
		ret_iov[n++] = (struct iovec){ image->memory + load->pos, load->direct };
	rest = MIN(want - load->direct, IMAGE_STAGE - load->staged);
	if (rest)
		ret_iov[n++] = (struct iovec){ load->stage + load->staged, rest };
	*ret_n = n;
	return (ssize_t)(load->direct + rest);
}

int image_filled(struct image *image, size_t len)
{
	struct image_loader *load = &image->load;
	size_t direct = MIN(len, load->direct);

	if (load->at == LOAD_BAD)
		return load->error;
	load->direct = 0;
	if (direct && take_pages(image, direct))
		return bad(load, -EBADMSG);
	load->staged += len - direct;
	return take_stage(image);
}

/* --- the end --------------------------------------------------------------------------------- */

static bool lane_is_right(const struct image *image, unsigned int lane, uint64_t count)
{
	uint64_t n = image->n_pages * image->lanes <= LOOK_ALL ? image->n_pages
							       : MIN(MIN(PROBES, image->n_pages), count);
	uint64_t page;

	for (uint64_t k = 0; k < n; k++)
		if (!image_cell_is_right(image, lane, count, k, &page))
			return false;
	return true;
}

int image_load_finish(struct image *image, const uint8_t **ret, size_t *ret_len)
{
	struct image_loader *load = &image->load;
	size_t lanes = image->lanes * 8;

	if (load->at != LOAD_DONE || load->staged)
		return -EINVAL;
	for (unsigned int lane = 0; lane < image->lanes; lane++)
		if (!lane_is_right(image, lane, get_le64(load->final + lane * 8)))
			return -EINVAL;
	pthread_mutex_lock(&image->lock);
	for (unsigned int lane = 0; lane < image->lanes; lane++)
		image->counts[lane] = get_le64(load->final + lane * 8);
	load->at = LOAD_NONE;
	pthread_mutex_unlock(&image->lock);
	*ret = load->final + lanes;
	*ret_len = load->final_len - lanes;
	return 0;
}
