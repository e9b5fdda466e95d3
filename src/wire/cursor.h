/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * cursor - a bounds-checked walk over bytes, so that decoders and encoders read like schemas.
 *
 * A step out of bounds makes the cursor bad: it stays where it is, reads give 0, writes do nothing.
 * So a whole message is decoded without a check between, and vmig_cursor_ok() asked once, before any
 * value is used. Little-endian, whatever the host. Pure. All inline: a message has a dozen of these, and
 * a register access has four messages' worth.
 */
#ifndef VMIG_WIRE_CURSOR_H
#define VMIG_WIRE_CURSOR_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct vmig_cursor {
	uint8_t *at; /* next byte */
	size_t left; /* bytes from @at to the end */
	bool bad;    /* one writer: vmig_cursor_take() */
};

/** Over bytes that are only read. The put functions must not be used on it. */
static inline struct vmig_cursor vmig_cursor_over(const void *data, size_t len)
{
	/* The put functions are never called on it, so nothing is written through this pointer. */
	return (struct vmig_cursor){ .at = (uint8_t *)(uintptr_t)data, .left = len };
}

/** Over room to write to. */
static inline struct vmig_cursor vmig_cursor_into(void *room, size_t len)
{
	return (struct vmig_cursor){ .at = (uint8_t *)room, .left = len };
}

static inline bool vmig_cursor_ok(const struct vmig_cursor *c)
{
	return !c->bad;
}

/** Nothing left and nothing wrong. */
static inline bool vmig_cursor_at_end(const struct vmig_cursor *c)
{
	return !c->bad && !c->left;
}

/* The one place that moves a cursor. */
static inline uint8_t *vmig_cursor_take(struct vmig_cursor *c, size_t len)
{
	uint8_t *at = c->at;

	if (c->bad || len > c->left) {
		c->bad = true;
		return NULL;
	}
	c->at += len;
	c->left -= len;
	return at;
}

/* --- reading ------------------------------------------------------------------------------ */

static inline void vmig_cursor_copy(struct vmig_cursor *c, void *to, size_t len)
{
	const uint8_t *at = vmig_cursor_take(c, len);

	if (!at)
		memset(to, 0, len);
	else if (len)
		memcpy(to, at, len);
}

static inline uint8_t vmig_cursor_u8(struct vmig_cursor *c)
{
	uint8_t v;

	vmig_cursor_copy(c, &v, sizeof(v));
	return v;
}

static inline uint16_t vmig_cursor_u16(struct vmig_cursor *c)
{
	uint16_t v;

	vmig_cursor_copy(c, &v, sizeof(v));
	return le16toh(v);
}

static inline uint32_t vmig_cursor_u32(struct vmig_cursor *c)
{
	uint32_t v;

	vmig_cursor_copy(c, &v, sizeof(v));
	return le32toh(v);
}

static inline uint64_t vmig_cursor_u64(struct vmig_cursor *c)
{
	uint64_t v;

	vmig_cursor_copy(c, &v, sizeof(v));
	return le64toh(v);
}

/** @len bytes where they lie, or NULL. */
static inline const void *vmig_cursor_bytes(struct vmig_cursor *c, size_t len)
{
	return vmig_cursor_take(c, len);
}

/** All that is left, as a cursor of its own. */
static inline struct vmig_cursor vmig_cursor_rest(struct vmig_cursor *c)
{
	struct vmig_cursor rest = *c;

	if (!c->bad)
		vmig_cursor_take(c, c->left);
	return rest;
}

/* --- writing ------------------------------------------------------------------------------ */

static inline void vmig_cursor_put(struct vmig_cursor *c, const void *data, size_t len)
{
	uint8_t *at = vmig_cursor_take(c, len);

	if (at && len)
		memcpy(at, data, len);
}

static inline void vmig_cursor_put_u8(struct vmig_cursor *c, uint8_t v)
{
	vmig_cursor_put(c, &v, sizeof(v));
}

static inline void vmig_cursor_put_u16(struct vmig_cursor *c, uint16_t v)
{
	v = htole16(v);
	vmig_cursor_put(c, &v, sizeof(v));
}

static inline void vmig_cursor_put_u32(struct vmig_cursor *c, uint32_t v)
{
	v = htole32(v);
	vmig_cursor_put(c, &v, sizeof(v));
}

static inline void vmig_cursor_put_u64(struct vmig_cursor *c, uint64_t v)
{
	v = htole64(v);
	vmig_cursor_put(c, &v, sizeof(v));
}

#endif
