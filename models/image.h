/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * image - the internal state of a model: its memory, what changed in it, how it is saved and loaded.
 *
 * The memory is a pure function of a few counters, so that whoever has the counters can tell whether
 * the memory is right, down to the byte: each *lane* (lane 0 changes by the device's dirty rate, lane
 * 1 + q with every record of queue q) counts its changes; change number s of lane l writes s + 1 into
 * the lane's cell of page (s * stride + l) mod n_pages. The stride has no divisor in common with
 * n_pages: a lane meets every page before it meets one twice. All else is a fixed pattern.
 *
 * Saving lends this memory itself, while the device runs. What is lent must not change, so a change
 * that meets a lent page waits in a list until the loan is returned, then is made, and makes the page
 * dirty. Loading fills this memory in place.
 *
 * Threads: all functions may be called from any thread (one lock), but for save and load: one at a time.
 */
#ifndef MODELS_IMAGE_H
#define MODELS_IMAGE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <vmig/session.h>

#define IMAGE_PAGE          4096u
#define IMAGE_SIZE_MAX      (1ull << 40) /* 1T */
#define IMAGE_LANES_MAX     65u
#define IMAGE_REGISTERS_MAX 16384u /* what a model adds of its own to the final record */
#define IMAGE_FINAL_MAX     (IMAGE_LANES_MAX * 8 + IMAGE_REGISTERS_MAX)

#define IMAGE_FRAME       64u /* bytes of a frame's header */
#define IMAGE_PLAN        7u  /* frames prepared at once: header and pages of each in one lend */
#define IMAGE_WAITING_MAX 8192u
#define IMAGE_HEAD_MAX    (IMAGE_MATCH_MAX + IMAGE_FRAME)
#define IMAGE_STAGE       65536u
#define IMAGE_MATCH_MAX   IMAGE_FRAME

/** What a stream says of its writer, beside the device: who reads it must know it. */
struct image_release {
	uint16_t major, minor; /* of the stream's format */
	uint16_t oldest;       /* minor that is read still */
	uint16_t features;     /* bits: what the device uses; a reader must have all of them */
};

struct image_frame {
	uint8_t header[IMAGE_FRAME];
	const uint8_t *data;
	uint64_t len, done; /* of header and data together */
	bool initial;
};

struct image_saver {
	enum { SAVE_NONE, SAVE_RUNNING, SAVE_STOPPED, SAVE_TAIL, SAVE_DONE } phase;
	uint64_t initial;          /* the next page of the first pass */
	uint64_t again, again_end; /* initial data that appeared anew */
	bool reinit;               /* not yet told */
	bool matched;              /* the match data is on its way */
	uint64_t round_at, round_left;
	bool round_initial; /* the pages of this round are initial data: what was dirty when they appeared anew */
	uint64_t number, chain, pages, bytes;
	struct image_frame plan[IMAGE_PLAN];
	unsigned int first, n;
	bool lent;
	struct {
		uint64_t from, to; /* pages */
	} loans[IMAGE_PLAN];
	unsigned int n_loans;
	uint8_t final[IMAGE_FINAL_MAX];
	size_t final_len;
};

struct image_loader {
	enum { LOAD_NONE, LOAD_MATCH, LOAD_FRAME, LOAD_PAGES, LOAD_FINAL, LOAD_END, LOAD_DONE, LOAD_BAD } at;
	int error; /* of LOAD_BAD */
	uint64_t pos, left, number, chain, pages, n_loaded, bytes;
	size_t direct, staged;
	uint8_t *stage;
	uint8_t final[IMAGE_FINAL_MAX];
	size_t final_len, final_have;
	uint64_t final_digest;
};

/** What a model adds of its own. */
struct image_ops {
	/** Are these @len bytes of registers good? -EINVAL if not. Changes nothing. */
	int (*check)(void *opaque, const uint8_t *registers, size_t len);
};

struct image {
	pthread_mutex_t lock;
	const struct image_ops *ops;
	void *opaque;
	uint64_t device; /* what the model is: another one's stream is refused */
	unsigned int lanes;
	uint8_t match
		[IMAGE_MATCH_MAX]; /* match data: the first bytes of the stream, before its first frame */
	size_t match_len;
	struct image_release release;
	bool late; /* while the device runs, there is nothing but the match data to save */
	uint8_t *memory;
	uint64_t size, n_pages, n_words, stride;
	uint64_t counts[IMAGE_LANES_MAX];
	/* One bit a page: changed since it was sent; in this round; not as at power-on (also: loaded). */
	uint64_t *dirty, *round, *touched;
	struct image_waiting {
		uint64_t page, value;
		unsigned int lane;
	} * waiting;
	unsigned int n_waiting;
	struct image_saver save;
	struct image_loader load;
};

/* --- image.c: the memory ------------------------------------------------------------------- */

/** @size: a multiple of IMAGE_PAGE. -ENOMEM. */
int image_init(struct image *image, uint64_t device, uint64_t size, unsigned int lanes,
	       const struct image_ops *ops, void *opaque);
void image_done(struct image *image);

/** The stream starts with @match (copied; at most IMAGE_MATCH_MAX bytes), and one that does not is refused at the
 *  first byte that differs. @late: all the rest is saved when the device has stopped. Once, before all else. */
void image_set_match(struct image *image, const uint8_t *match, size_t len, bool late);

/** The memory of power-on; ends saving and loading. */
void image_reset(struct image *image);

/** May a model make up to @n changes now? False while too many wait for a loan: do nothing and ask again. */
bool image_may_change(struct image *image, unsigned int n);
/** Make the next @n changes of @lane. */
void image_change(struct image *image, unsigned int lane, unsigned int n);

/** The number of changes that @lane has seen. */
uint64_t image_count(struct image *image, unsigned int lane);

/** The number of pages that are not what the counters imply. Reads all of the memory. */
uint64_t image_check(struct image *image);
/** A digest of memory and counters. Reads all of the memory. */
uint64_t image_digest(struct image *image);

/* --- image-save.c -------------------------------------------------------------------------- */

/** Begin to save from the start: @running tells whether the device goes on changing. */
void image_save_start(struct image *image, bool running);
/** The device has stopped; @registers are the model's share of the final record. */
void image_save_final(struct image *image, const void *registers, size_t len);
void image_save_end(struct image *image);
/** The first @bytes of the memory count as initial data once more. */
void image_save_again(struct image *image, uint64_t bytes);

/** As in struct vmig_model_ops. */
ssize_t image_lend(struct image *image, size_t max, struct iovec *ret_iov, int *ret_n);
void image_give_back(struct image *image, size_t used);
/** Takes the next round when the last one has been read. */
void image_precopy_sizes(struct image *image, struct vmig_precopy *ret);
uint64_t image_stop_copy_size(struct image *image, size_t registers_len);

/* --- image-load.c -------------------------------------------------------------------------- */

void image_load_start(struct image *image);
/** Of power-on: 1.0, no features. Before the first save or load. */
void image_set_release(struct image *image, const struct image_release *release);

/** The bytes with which every stream of this device begins: match data and the HELLO frame. At most IMAGE_HEAD_MAX. */
size_t image_head(const struct image *image, uint8_t *buf);
/** Would the loader take a stream with this head? As image_filled(); *ret_why (static) ends a sentence. Changes nothing. */
int image_check_head(const struct image *image, const uint8_t *head, size_t len, const char **ret_why);

/** As in struct vmig_model_ops: -EBADMSG a corrupt stream, -EINVAL the stream of another device. */
ssize_t image_room(struct image *image, size_t want, struct iovec *ret_iov, int *ret_n);
int image_filled(struct image *image, size_t len);
/** All is there and right: the counters are taken over, *ret are the model's registers (valid until the next call).
 *  -EINVAL: incomplete, or the memory is not what the counters imply. */
int image_load_finish(struct image *image, const uint8_t **ret, size_t *ret_len);

/* --- private: shared by the three ----------------------------------------------------------- */

static inline bool image_bit(const uint64_t *bits, uint64_t i)
{
	return bits[i / 64] >> (i % 64) & 1;
}

static inline void image_set_bit(uint64_t *bits, uint64_t i)
{
	bits[i / 64] |= 1ull << (i % 64);
}

static inline void image_clear_bit(uint64_t *bits, uint64_t i)
{
	bits[i / 64] &= ~(1ull << (i % 64));
}

/** The page of change number @s of @lane. */
static inline uint64_t image_page_of(const struct image *image, unsigned int lane, uint64_t s)
{
	return (s % image->n_pages * image->stride + lane) % image->n_pages;
}

static inline uint8_t *image_cell(const struct image *image, unsigned int lane, uint64_t page)
{
	return image->memory + page * IMAGE_PAGE + lane * 8;
}

/** As @page is at power-on. */
void image_fill_page(struct image *image, uint64_t page);
/** Is all of @page right, but for the cells of lanes? */
bool image_pattern_is_right(const struct image *image, uint64_t page);
/** The change that a lane made last in each page is one of its last n_pages ones: is the one before the @k last ones there,
 *  of a lane that has made @count? *ret_page is where it is looked for. */
bool image_cell_is_right(const struct image *image, unsigned int lane, uint64_t count, uint64_t k,
			 uint64_t *ret_page);

/** Make the changes that waited for a loan. With the lock. */
void image_flush(struct image *image);

#endif
