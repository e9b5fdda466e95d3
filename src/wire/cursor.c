/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/cursor.h"

#include <endian.h>
#include <string.h>

struct vmig_cursor vmig_cursor_over(const void *data, size_t len)
{
	/* The put functions are never called on it, so nothing is written through this pointer. */
	return (struct vmig_cursor){ .at = (uint8_t *)(uintptr_t)data, .left = len };
}

struct vmig_cursor vmig_cursor_into(void *room, size_t len)
{
	return (struct vmig_cursor){ .at = room, .left = len };
}

bool vmig_cursor_ok(const struct vmig_cursor *c)
{
	return !c->bad;
}

bool vmig_cursor_at_end(const struct vmig_cursor *c)
{
	return !c->bad && !c->left;
}

/* The one place that moves a cursor. */
static uint8_t *take(struct vmig_cursor *c, size_t len)
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

void vmig_cursor_copy(struct vmig_cursor *c, void *to, size_t len)
{
	const uint8_t *at = take(c, len);

	if (!at)
		memset(to, 0, len);
	else if (len)
		memcpy(to, at, len);
}

uint8_t vmig_cursor_u8(struct vmig_cursor *c)
{
	uint8_t v;

	vmig_cursor_copy(c, &v, sizeof(v));
	return v;
}

uint16_t vmig_cursor_u16(struct vmig_cursor *c)
{
	uint16_t v;

	vmig_cursor_copy(c, &v, sizeof(v));
	return le16toh(v);
}

uint32_t vmig_cursor_u32(struct vmig_cursor *c)
{
	uint32_t v;

	vmig_cursor_copy(c, &v, sizeof(v));
	return le32toh(v);
}

uint64_t vmig_cursor_u64(struct vmig_cursor *c)
{
	uint64_t v;

	vmig_cursor_copy(c, &v, sizeof(v));
	return le64toh(v);
}

const void *vmig_cursor_bytes(struct vmig_cursor *c, size_t len)
{
	return take(c, len);
}

struct vmig_cursor vmig_cursor_rest(struct vmig_cursor *c)
{
	struct vmig_cursor rest = *c;

	if (!c->bad)
		take(c, c->left);
	return rest;
}

void vmig_cursor_put(struct vmig_cursor *c, const void *data, size_t len)
{
	uint8_t *at = take(c, len);

	if (at && len)
		memcpy(at, data, len);
}

void vmig_cursor_put_u8(struct vmig_cursor *c, uint8_t v)
{
	vmig_cursor_put(c, &v, sizeof(v));
}

void vmig_cursor_put_u16(struct vmig_cursor *c, uint16_t v)
{
	v = htole16(v);
	vmig_cursor_put(c, &v, sizeof(v));
}

void vmig_cursor_put_u32(struct vmig_cursor *c, uint32_t v)
{
	v = htole32(v);
	vmig_cursor_put(c, &v, sizeof(v));
}

void vmig_cursor_put_u64(struct vmig_cursor *c, uint64_t v)
{
	v = htole64(v);
	vmig_cursor_put(c, &v, sizeof(v));
}
