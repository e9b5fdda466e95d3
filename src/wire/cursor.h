/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * cursor - a bounds-checked walk over bytes, so that decoders and encoders read like schemas.
 *
 * A step out of bounds makes the cursor bad: it stays where it is, reads give 0, writes do nothing.
 * So a whole message is decoded without a check between, and vmig_cursor_ok() asked once, before any
 * value is used. Little-endian, whatever the host. Pure.
 */
#ifndef VMIG_WIRE_CURSOR_H
#define VMIG_WIRE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vmig_cursor {
	uint8_t *at;	/* next byte */
	size_t left;	/* bytes from @at to the end */
	bool bad;	/* one writer: cursor.c */
};

/** Over bytes that are only read. The put functions must not be used on it. */
struct vmig_cursor vmig_cursor_over(const void *data, size_t len);
/** Over room to write to. */
struct vmig_cursor vmig_cursor_into(void *room, size_t len);

bool vmig_cursor_ok(const struct vmig_cursor *c);
/** Nothing left and nothing wrong. */
bool vmig_cursor_at_end(const struct vmig_cursor *c);

uint8_t vmig_cursor_u8(struct vmig_cursor *c);
uint16_t vmig_cursor_u16(struct vmig_cursor *c);
uint32_t vmig_cursor_u32(struct vmig_cursor *c);
uint64_t vmig_cursor_u64(struct vmig_cursor *c);
/** @len bytes where they lie, or NULL. */
const void *vmig_cursor_bytes(struct vmig_cursor *c, size_t len);
void vmig_cursor_copy(struct vmig_cursor *c, void *to, size_t len);
/** All that is left, as a cursor of its own. */
struct vmig_cursor vmig_cursor_rest(struct vmig_cursor *c);

void vmig_cursor_put_u8(struct vmig_cursor *c, uint8_t v);
void vmig_cursor_put_u16(struct vmig_cursor *c, uint16_t v);
void vmig_cursor_put_u32(struct vmig_cursor *c, uint32_t v);
void vmig_cursor_put_u64(struct vmig_cursor *c, uint64_t v);
void vmig_cursor_put(struct vmig_cursor *c, const void *data, size_t len);

#endif
