/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * frame - the models' saving format: frames of 64 bytes, little-endian, some followed by data.
 *
 *	HELLO	once, first: what device this is
 *	PAGES	then data of @length at @offset of the memory; a later one replaces an earlier one
 *	FINAL	once: then @length bytes: the lanes' counters (u64 each) and the model's registers
 *	END	once, last: the sums
 *
 * The chain goes through every header, so that one that is changed, lost, doubled or moved is found when
 * it is read. Page data has no checksum here: what a page has to hold is known (image.h), and is compared.
 */
#ifndef MODELS_FRAME_H
#define MODELS_FRAME_H

#include "bytes.h"

#define FRAME_MAGIC   0x53444d56u /* "VMDS" */
#define FRAME_VERSION 1u
#define FRAME_RUN_MAX (4u << 20) /* bytes of memory in one PAGES frame */

enum frame_kind { FRAME_HELLO = 1, FRAME_PAGES, FRAME_FINAL, FRAME_END };

struct frame {
	uint32_t magic;
	uint16_t kind, version;
	uint64_t number; /* counts from 0 */
	uint64_t offset; /* HELLO: the device; END: bytes of page data in all */
	uint64_t length; /* HELLO: 0 */
	uint64_t a, b;   /* HELLO: size of the memory, lanes */
	uint64_t digest; /* FINAL: of its data; HELLO: struct image_release */
	uint64_t chain;
};

static inline uint64_t frame_chain(uint64_t chain, const uint8_t *header)
{
	return hash64(chain, header, 56);
}

/** *chain is the last frame's; it moves on. */
static inline void frame_encode(uint8_t *header, const struct frame *f, uint64_t *chain)
{
	put_le32(header, FRAME_MAGIC);
	put_le32(header + 4, f->kind | FRAME_VERSION << 16);
	put_le64(header + 8, f->number);
	put_le64(header + 16, f->offset);
	put_le64(header + 24, f->length);
	put_le64(header + 32, f->a);
	put_le64(header + 40, f->b);
	put_le64(header + 48, f->digest);
	*chain = frame_chain(*chain, header);
	put_le64(header + 56, *chain);
}

static inline void frame_decode(const uint8_t *header, struct frame *ret)
{
	ret->magic = get_le32(header);
	ret->kind = (uint16_t)get_le32(header + 4);
	ret->version = (uint16_t)(get_le32(header + 4) >> 16);
	ret->number = get_le64(header + 8);
	ret->offset = get_le64(header + 16);
	ret->length = get_le64(header + 24);
	ret->a = get_le64(header + 32);
	ret->b = get_le64(header + 40);
	ret->digest = get_le64(header + 48);
	ret->chain = get_le64(header + 56);
}

#endif
