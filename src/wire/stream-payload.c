/* SPDX-License-Identifier: BSD-3-Clause */
/* The payloads of the stream's records. Each put stands above its get; the fields are in the same order. */
#include <string.h>

#include "base/util.h"
#include "wire/stream.h"

static int ok(const struct vmig_cursor *c)
{
	return vmig_cursor_ok(c) ? 0 : -EBADMSG;
}

static void name_put(struct vmig_cursor *c, const char *name)
{
	size_t len = strnlen(name, VMIG_OWNER_NAME_MAX - 1);

	vmig_cursor_put_u16(c, (uint16_t)len);
	vmig_cursor_put(c, name, len);
}

/* A name goes to a terminal and into the record: as the record's own, it has no control characters. */
static bool name_get(struct vmig_cursor *c, char ret[VMIG_OWNER_NAME_MAX])
{
	uint16_t len = vmig_cursor_u16(c);

	if (len >= VMIG_OWNER_NAME_MAX)
		return false;
	vmig_cursor_copy(c, ret, len);
	ret[len] = '\0';
	for (uint16_t i = 0; i < len; i++)
		if ((unsigned char)ret[i] < ' ' || ret[i] == 0x7f)
			return false;
	return vmig_cursor_ok(c);
}

static void uuid_put(struct vmig_cursor *c, const struct vmig_uuid *uuid)
{
	vmig_cursor_put(c, uuid->bytes, sizeof(uuid->bytes));
}

static void uuid_get(struct vmig_cursor *c, struct vmig_uuid *ret)
{
	vmig_cursor_copy(c, ret->bytes, sizeof(ret->bytes));
}

void vmig_hello_put(struct vmig_cursor *c, const struct vmig_hello *m)
{
	vmig_cursor_put_u32(c, m->n_devices);
	vmig_cursor_put_u32(c, m->flags);
	vmig_cursor_put_u32(c, m->max_data);
	if (!(m->flags & VMIG_HELLO_OWNED))
		return;
	uuid_put(c, &m->store);
	name_put(c, m->name);
}

int vmig_hello_get(struct vmig_cursor *c, struct vmig_hello *ret)
{
	struct vmig_hello m = { 0 };

	m.n_devices = vmig_cursor_u32(c);
	m.flags = vmig_cursor_u32(c);
	m.max_data = vmig_cursor_u32(c);
	if (m.flags & VMIG_HELLO_OWNED) {
		uuid_get(c, &m.store);
		if (!name_get(c, m.name) || !*m.name)
			return -EBADMSG;
	}
	if (!vmig_cursor_ok(c) || !m.n_devices || m.n_devices > VMIG_LIMIT_DEVICES || !m.max_data)
		return -EBADMSG;
	*ret = m;
	return 0;
}

void vmig_claim_put(struct vmig_cursor *c, const struct vmig_ownership *m)
{
	uuid_put(c, &m->device);
	vmig_cursor_put_u64(c, m->epoch);
	vmig_cursor_put_u32(c, (uint32_t)m->phase);
	uuid_put(c, &m->attempt);
	uuid_put(c, &m->writer);
	uuid_put(c, &m->instance);
	name_put(c, m->owner);
	name_put(c, m->peer);
}

int vmig_claim_get(struct vmig_cursor *c, struct vmig_ownership *ret)
{
	struct vmig_ownership m = { 0 };
	uint32_t phase;

	uuid_get(c, &m.device);
	m.epoch = vmig_cursor_u64(c);
	phase = vmig_cursor_u32(c);
	uuid_get(c, &m.attempt);
	uuid_get(c, &m.writer);
	uuid_get(c, &m.instance);
	if (!name_get(c, m.owner) || !name_get(c, m.peer) || !*m.owner)
		return -EBADMSG;
	if (phase < VMIG_OWNER_STABLE || phase > VMIG_OWNER_RUNNING || !m.epoch ||
	    m.epoch > VMIG_OWNER_EPOCH_MAX || vmig_uuid_is_none(&m.device))
		return -EBADMSG;
	m.phase = (enum vmig_owner_phase)phase;
	*ret = m;
	return 0;
}

void vmig_committed_put(struct vmig_cursor *c, uint64_t owner_ns)
{
	vmig_cursor_put_u64(c, owner_ns);
}

void vmig_committed_get(struct vmig_cursor *c, uint64_t *ret_owner_ns)
{
	uint64_t ns = vmig_cursor_u64(c);

	*ret_owner_ns = vmig_cursor_ok(c) ? ns : 0;
}

static void text_put(struct vmig_cursor *c, const char *text)
{
	size_t len = strnlen(text, VMIG_OFFER_TEXT_MAX - 1);

	vmig_cursor_put_u16(c, (uint16_t)len);
	vmig_cursor_put(c, text, len);
}

/* A peer's text goes to a terminal one day: nothing but printable ASCII and UTF-8's upper bytes. */
static bool text_get(struct vmig_cursor *c, char ret[VMIG_OFFER_TEXT_MAX])
{
	uint16_t len = vmig_cursor_u16(c);

	if (len >= VMIG_OFFER_TEXT_MAX)
		return false;
	vmig_cursor_copy(c, ret, len);
	ret[len] = '\0';
	for (uint16_t i = 0; i < len; i++)
		if ((unsigned char)ret[i] < ' ' || ret[i] == 0x7f)
			return false;
	return vmig_cursor_ok(c);
}

void vmig_offer_put(struct vmig_cursor *c, const struct vmig_offer *m)
{
	vmig_cursor_put_u64(c, m->migration_flags);
	vmig_cursor_put_u32(c, m->traits);
	vmig_cursor_put_u32(c, m->has);
	vmig_cursor_put_u32(c, m->flags);
	vmig_cursor_put_u64(c, m->stop_copy_size);
	text_put(c, m->identity);
	text_put(c, m->format);
	text_put(c, m->name);
	vmig_cursor_put_u32(c, m->opaque_len);
	vmig_cursor_put(c, m->opaque, m->opaque_len);
	vmig_cursor_put_u32(c, m->descriptor_len);
	vmig_cursor_put(c, m->descriptor, m->descriptor_len);
}

int vmig_offer_get(struct vmig_cursor *c, struct vmig_offer *ret)
{
	struct vmig_offer m;

	m.migration_flags = vmig_cursor_u64(c);
	m.traits = vmig_cursor_u32(c);
	m.has = vmig_cursor_u32(c);
	m.flags = vmig_cursor_u32(c);
	m.stop_copy_size = vmig_cursor_u64(c);
	if (!text_get(c, m.identity) || !text_get(c, m.format) || !text_get(c, m.name))
		return -EBADMSG;
	m.opaque_len = vmig_cursor_u32(c);
	if (m.opaque_len > VMIG_OFFER_OPAQUE_MAX)
		return -EBADMSG;
	m.opaque = vmig_cursor_bytes(c, m.opaque_len);
	/* Of minor version 0 this is the end. */
	m.descriptor_len = vmig_cursor_ok(c) && c->left ? vmig_cursor_u32(c) : 0;
	if (m.descriptor_len > VMIG_OFFER_DESCRIPTOR_MAX)
		return -EBADMSG;
	m.descriptor = vmig_cursor_bytes(c, m.descriptor_len);
	if (!vmig_cursor_ok(c))
		return -EBADMSG;
	*ret = m;
	return 0;
}

void vmig_device_end_put(struct vmig_cursor *c, const struct vmig_device_end *m)
{
	vmig_cursor_put_u64(c, m->length);
	vmig_cursor_put_u64(c, m->chain);
}

int vmig_device_end_get(struct vmig_cursor *c, struct vmig_device_end *ret)
{
	ret->length = vmig_cursor_u64(c);
	ret->chain = vmig_cursor_u64(c);
	return ok(c);
}

void vmig_user_piece_put(struct vmig_cursor *c, const struct vmig_user_piece *m)
{
	vmig_cursor_put_u32(c, m->total);
	vmig_cursor_put_u32(c, m->offset);
	vmig_cursor_put(c, m->bytes, m->len);
}

/* The one payload whose end is the record's: all that follows the two fields is the piece. */
int vmig_user_piece_get(struct vmig_cursor *c, struct vmig_user_piece *ret)
{
	struct vmig_user_piece m;

	m.total = vmig_cursor_u32(c);
	m.offset = vmig_cursor_u32(c);
	m.len = (uint32_t)c->left;
	m.bytes = vmig_cursor_bytes(c, m.len);
	if (!vmig_cursor_ok(c) || m.total > VMIG_LIMIT_USER_RECORD || m.offset > m.total ||
	    m.len > m.total - m.offset)
		return -EBADMSG;
	*ret = m;
	return 0;
}

void vmig_fin_put(struct vmig_cursor *c, const struct vmig_fin *m)
{
	vmig_cursor_put_u32(c, m->n_devices);
	vmig_cursor_put_u64(c, m->length);
	vmig_cursor_put_u64(c, m->chain);
}

int vmig_fin_get(struct vmig_cursor *c, struct vmig_fin *ret)
{
	ret->n_devices = vmig_cursor_u32(c);
	ret->length = vmig_cursor_u64(c);
	ret->chain = vmig_cursor_u64(c);
	return ok(c);
}

void vmig_abort_put(struct vmig_cursor *c, const struct vmig_abort *m)
{
	uint32_t len = MIN(m->text_len, VMIG_REASON_MAX);

	vmig_cursor_put_u32(c, m->code);
	vmig_cursor_put_u32(c, len);
	vmig_cursor_put(c, m->text, len);
}

int vmig_abort_get(struct vmig_cursor *c, struct vmig_abort *ret)
{
	struct vmig_abort m;

	m.code = vmig_cursor_u32(c);
	m.text_len = vmig_cursor_u32(c);
	if (m.text_len > VMIG_REASON_MAX)
		return -EBADMSG;
	m.text = vmig_cursor_bytes(c, m.text_len);
	if (!vmig_cursor_ok(c))
		return -EBADMSG;
	*ret = m;
	return 0;
}

void vmig_number_put(struct vmig_cursor *c, uint64_t number)
{
	vmig_cursor_put_u64(c, number);
}

int vmig_number_get(struct vmig_cursor *c, uint64_t *ret)
{
	*ret = vmig_cursor_u64(c);
	return ok(c);
}

void vmig_join_put(struct vmig_cursor *c, const struct vmig_join *m)
{
	vmig_cursor_put_u32(c, m->index);
	vmig_cursor_put_u32(c, m->of);
}

int vmig_join_get(struct vmig_cursor *c, struct vmig_join *ret)
{
	struct vmig_join m;

	m.index = vmig_cursor_u32(c);
	m.of = vmig_cursor_u32(c);
	if (!vmig_cursor_ok(c) || !m.index || m.index >= m.of || m.of > VMIG_LIMIT_CONNECTIONS)
		return -EBADMSG;
	*ret = m;
	return 0;
}
