/* SPDX-License-Identifier: BSD-3-Clause */
/* The messages that describe the device: its regions with their chains of capabilities, its interrupts, itself. */
#include "wire/vfio_user.h"

#include <string.h>

int vmig_vu_device_info_decode(struct vmig_cursor *c, struct vmig_vu_device_info *ret)
{
	struct vmig_vu_device_info m;

	m.argsz = vmig_cursor_u32(c);
	m.flags = vmig_cursor_u32(c);
	m.num_regions = vmig_cursor_u32(c);
	m.num_irqs = vmig_cursor_u32(c);
	if (!vmig_cursor_ok(c) || m.argsz < VMIG_VU_DEVICE_INFO_SIZE)
		return -EPROTO;
	if (m.num_regions > VMIG_LIMIT_REGIONS || m.num_irqs > VMIG_LIMIT_IRQ_INDICES)
		return -E2BIG;
	*ret = m;
	return 0;
}

void vmig_vu_device_info_encode(struct vmig_cursor *c, const struct vmig_vu_device_info *m)
{
	vmig_cursor_put_u32(c, m->argsz);
	vmig_cursor_put_u32(c, m->flags);
	vmig_cursor_put_u32(c, m->num_regions);
	vmig_cursor_put_u32(c, m->num_irqs);
}

/* --- regions ------------------------------------------------------------------------------ */

#define CAP_HEADER_SIZE 8u
#define CAP_SPARSE      1u
#define CAP_SPARSE_SIZE (CAP_HEADER_SIZE + 8u)
#define CAP_AREA_SIZE   16u
#define CAP_TYPE        2u
#define CAP_TYPE_SIZE   (CAP_HEADER_SIZE + 8u)
#define CAP_VERSION     1u

static int sparse_decode(struct vmig_cursor *c, struct vmig_vu_region_info *m)
{
	uint32_t n = vmig_cursor_u32(c);

	vmig_cursor_u32(c); /* reserved */
	if (!vmig_cursor_ok(c) || m->caps & VMIG_VU_HAS_SPARSE || n > c->left / CAP_AREA_SIZE)
		return -EPROTO;
	if (n > VMIG_REGION_AREAS_MAX)
		return -E2BIG;
	for (uint32_t i = 0; i < n; i++) {
		struct vmig_area *a = &m->areas[i];

		a->offset = vmig_cursor_u64(c);
		a->size = vmig_cursor_u64(c);
		if (!add_fits(a->offset, a->size) || a->offset + a->size > m->size)
			return -EPROTO;
	}
	m->n_areas = n;
	m->caps |= VMIG_VU_HAS_SPARSE;
	return 0;
}

static int type_decode(struct vmig_cursor *c, struct vmig_vu_region_info *m)
{
	m->type = vmig_cursor_u32(c);
	m->subtype = vmig_cursor_u32(c);
	if (!vmig_cursor_ok(c) || m->caps & VMIG_VU_HAS_TYPE)
		return -EPROTO;
	m->caps |= VMIG_VU_HAS_TYPE;
	return 0;
}

/*
 * @chain is over what follows the fixed part; offsets count from the start of the info. Each capability
 * must lie wholly behind the one before, so a walk cannot loop; an unknown one is at least its header.
 */
static int chain_decode(struct vmig_cursor chain, uint32_t offset, struct vmig_vu_region_info *m)
{
	uint32_t end = VMIG_VU_REGION_INFO_SIZE;
	size_t total = chain.left;

	while (offset) {
		struct vmig_cursor c = chain;
		uint16_t id, version;
		uint32_t next;
		int r = 0;

		if (offset < end || !vmig_cursor_bytes(&c, offset - VMIG_VU_REGION_INFO_SIZE))
			return -EPROTO;
		id = vmig_cursor_u16(&c);
		version = vmig_cursor_u16(&c);
		next = vmig_cursor_u32(&c);
		if (!vmig_cursor_ok(&c))
			return -EPROTO;
		if (id == CAP_SPARSE && version == CAP_VERSION)
			r = sparse_decode(&c, m);
		else if (id == CAP_TYPE && version == CAP_VERSION)
			r = type_decode(&c, m);
		if (r < 0)
			return r;
		end = (uint32_t)(VMIG_VU_REGION_INFO_SIZE + total - c.left);
		offset = next;
	}
	return 0;
}

int vmig_vu_region_info_decode(struct vmig_cursor *c, struct vmig_vu_region_info *ret)
{
	struct vmig_vu_region_info m = { 0 };
	uint32_t cap_offset;
	int r = 0;

	m.argsz = vmig_cursor_u32(c);
	m.flags = vmig_cursor_u32(c);
	m.index = vmig_cursor_u32(c);
	cap_offset = vmig_cursor_u32(c);
	m.size = vmig_cursor_u64(c);
	m.offset = vmig_cursor_u64(c);
	if (!vmig_cursor_ok(c) || m.argsz < VMIG_VU_REGION_INFO_SIZE)
		return -EPROTO;
	if (c->left > VMIG_LIMIT_REGION_INFO)
		return -E2BIG;
	/* With only the fixed part sent, an offset may be there that leads nowhere yet. */
	if (m.flags & VMIG_VU_REGION_CAPS && c->left)
		r = chain_decode(vmig_cursor_rest(c), cap_offset, &m);
	if (r < 0)
		return r;
	*ret = m;
	return 0;
}

uint32_t vmig_vu_region_info_size(const struct vmig_vu_region_info *m)
{
	uint32_t size = VMIG_VU_REGION_INFO_SIZE;

	if (m->caps & VMIG_VU_HAS_SPARSE)
		size += CAP_SPARSE_SIZE + m->n_areas * CAP_AREA_SIZE;
	if (m->caps & VMIG_VU_HAS_TYPE)
		size += CAP_TYPE_SIZE;
	return size;
}

void vmig_vu_region_info_fit(struct vmig_vu_region_info *m, uint32_t request_argsz)
{
	m->argsz = vmig_vu_region_info_size(m);
	if (m->caps)
		m->flags |= VMIG_VU_REGION_CAPS;
	if (m->argsz > request_argsz)
		m->caps = 0;
}

static void cap_header_encode(struct vmig_cursor *c, uint16_t id, uint32_t next)
{
	vmig_cursor_put_u16(c, id);
	vmig_cursor_put_u16(c, CAP_VERSION);
	vmig_cursor_put_u32(c, next);
}

static void chain_encode(struct vmig_cursor *c, const struct vmig_vu_region_info *m)
{
	bool typed = m->caps & VMIG_VU_HAS_TYPE;

	if (m->caps & VMIG_VU_HAS_SPARSE) {
		uint32_t end = VMIG_VU_REGION_INFO_SIZE + CAP_SPARSE_SIZE + m->n_areas * CAP_AREA_SIZE;

		cap_header_encode(c, CAP_SPARSE, typed ? end : 0);
		vmig_cursor_put_u32(c, m->n_areas);
		vmig_cursor_put_u32(c, 0);
		for (uint32_t i = 0; i < m->n_areas; i++) {
			vmig_cursor_put_u64(c, m->areas[i].offset);
			vmig_cursor_put_u64(c, m->areas[i].size);
		}
	}
	if (typed) {
		cap_header_encode(c, CAP_TYPE, 0);
		vmig_cursor_put_u32(c, m->type);
		vmig_cursor_put_u32(c, m->subtype);
	}
}

void vmig_vu_region_info_encode(struct vmig_cursor *c, const struct vmig_vu_region_info *m)
{
	uint32_t flags = m->caps ? m->flags | VMIG_VU_REGION_CAPS : m->flags;

	vmig_cursor_put_u32(c, m->argsz);
	vmig_cursor_put_u32(c, flags);
	vmig_cursor_put_u32(c, m->index);
	/* Also where the chain is left out: QEMU refuses an info with capabilities and no offset. */
	vmig_cursor_put_u32(c, flags & VMIG_VU_REGION_CAPS ? VMIG_VU_REGION_INFO_SIZE : 0);
	vmig_cursor_put_u64(c, m->size);
	vmig_cursor_put_u64(c, m->offset);
	chain_encode(c, m);
}

int vmig_vu_io_fds_decode(struct vmig_cursor *c, struct vmig_vu_io_fds *ret)
{
	struct vmig_vu_io_fds m;

	m.argsz = vmig_cursor_u32(c);
	m.flags = vmig_cursor_u32(c);
	m.index = vmig_cursor_u32(c);
	m.count = vmig_cursor_u32(c);
	if (!vmig_cursor_ok(c) || m.argsz < VMIG_VU_IO_FDS_SIZE)
		return -EPROTO;
	if (m.count > VMIG_VU_IO_FDS_MAX)
		return -E2BIG;
	if (c->left && c->left < m.count * VMIG_VU_IO_FD_SIZE)
		return -EPROTO;
	m.n_here = c->left ? m.count : 0;
	*ret = m;
	return 0;
}

void vmig_vu_io_fds_encode(struct vmig_cursor *c, const struct vmig_vu_io_fds *m)
{
	vmig_cursor_put_u32(c, m->argsz);
	vmig_cursor_put_u32(c, m->flags);
	vmig_cursor_put_u32(c, m->index);
	vmig_cursor_put_u32(c, m->count);
}

int vmig_vu_io_fd_decode(struct vmig_cursor *c, struct vmig_vu_io_fd *ret)
{
	struct vmig_vu_io_fd m;

	m.offset = vmig_cursor_u64(c);
	m.size = vmig_cursor_u64(c);
	m.fd_index = vmig_cursor_u32(c);
	m.type = vmig_cursor_u32(c);
	m.flags = vmig_cursor_u32(c);
	vmig_cursor_u32(c); /* padding */
	m.datamatch = vmig_cursor_u64(c);
	if (!vmig_cursor_ok(c) || !add_fits(m.offset, m.size))
		return -EPROTO;
	*ret = m;
	return 0;
}

void vmig_vu_io_fd_encode(struct vmig_cursor *c, const struct vmig_vu_io_fd *m)
{
	vmig_cursor_put_u64(c, m->offset);
	vmig_cursor_put_u64(c, m->size);
	vmig_cursor_put_u32(c, m->fd_index);
	vmig_cursor_put_u32(c, m->type);
	vmig_cursor_put_u32(c, m->flags);
	vmig_cursor_put_u32(c, 0);
	vmig_cursor_put_u64(c, m->datamatch);
}

/* --- interrupts --------------------------------------------------------------------------- */

int vmig_vu_irq_info_decode(struct vmig_cursor *c, struct vmig_vu_irq_info *ret)
{
	struct vmig_vu_irq_info m;

	m.argsz = vmig_cursor_u32(c);
	m.flags = vmig_cursor_u32(c);
	m.index = vmig_cursor_u32(c);
	m.count = vmig_cursor_u32(c);
	if (!vmig_cursor_ok(c) || m.argsz < VMIG_VU_IRQ_INFO_SIZE)
		return -EPROTO;
	if (m.count > VMIG_LIMIT_IRQS)
		return -E2BIG;
	*ret = m;
	return 0;
}

void vmig_vu_irq_info_encode(struct vmig_cursor *c, const struct vmig_vu_irq_info *m)
{
	vmig_cursor_put_u32(c, m->argsz);
	vmig_cursor_put_u32(c, m->flags);
	vmig_cursor_put_u32(c, m->index);
	vmig_cursor_put_u32(c, m->count);
}

#define IRQ_DATA   (VMIG_IRQ_DATA_NONE | VMIG_IRQ_DATA_BOOL | VMIG_IRQ_DATA_EVENTFD)
#define IRQ_ACTION (VMIG_IRQ_ACTION_MASK | VMIG_IRQ_ACTION_UNMASK | VMIG_IRQ_ACTION_TRIGGER)

int vmig_vu_set_irqs_decode(struct vmig_cursor *c, struct vmig_vu_set_irqs *ret)
{
	struct vmig_vu_set_irqs m = { 0 };

	m.argsz = vmig_cursor_u32(c);
	m.flags = vmig_cursor_u32(c);
	m.index = vmig_cursor_u32(c);
	m.start = vmig_cursor_u32(c);
	m.count = vmig_cursor_u32(c);
	if (!vmig_cursor_ok(c) || m.flags & ~(IRQ_DATA | IRQ_ACTION))
		return -EPROTO;
	if (!is_pow2(m.flags & IRQ_DATA) || !is_pow2(m.flags & IRQ_ACTION))
		return -EPROTO;
	if ((uint64_t)m.start + m.count > VMIG_LIMIT_IRQS)
		return -E2BIG;
	if (m.flags & VMIG_IRQ_DATA_BOOL) {
		m.bools = vmig_cursor_bytes(c, m.count);
		if (!vmig_cursor_ok(c))
			return -EPROTO;
	}
	*ret = m;
	return 0;
}

void vmig_vu_set_irqs_encode(struct vmig_cursor *c, const struct vmig_vu_set_irqs *m)
{
	vmig_cursor_put_u32(c, m->argsz);
	vmig_cursor_put_u32(c, m->flags);
	vmig_cursor_put_u32(c, m->index);
	vmig_cursor_put_u32(c, m->start);
	vmig_cursor_put_u32(c, m->count);
	if (m->bools)
		vmig_cursor_put(c, m->bools, m->count);
}

/* --- experimental ------------------------------------------------------------------------- */

int vmig_vu_identity_decode(struct vmig_cursor *c, struct vmig_vu_identity *ret)
{
	struct vmig_vu_identity m = { 0 };
	const char *text;
	size_t len, left;

	m.argsz = vmig_cursor_u32(c);
	m.traits = vmig_cursor_u32(c);
	m.has = vmig_cursor_u64(c);
	left = c->left;
	text = vmig_cursor_bytes(c, left);
	if (!vmig_cursor_ok(c) || m.argsz < VMIG_VU_IDENTITY_SIZE)
		return -EPROTO;
	len = strnlen(text, left);
	if (len == left)
		return -EPROTO;
	if (len >= sizeof(m.identity))
		return -E2BIG;
	for (size_t i = 0; i < len; i++)
		if (text[i] < ' ' || text[i] > '~')
			return -EPROTO;
	memcpy(m.identity, text, len);
	*ret = m;
	return 0;
}

void vmig_vu_identity_encode(struct vmig_cursor *c, const struct vmig_vu_identity *m)
{
	size_t len = strnlen(m->identity, sizeof(m->identity) - 1);

	vmig_cursor_put_u32(c, m->argsz);
	vmig_cursor_put_u32(c, m->traits);
	vmig_cursor_put_u64(c, m->has);
	vmig_cursor_put(c, m->identity, len);
	vmig_cursor_put_u8(c, 0);
}

int vmig_vu_blob_decode(struct vmig_cursor *c, uint32_t max, struct vmig_vu_blob *ret)
{
	struct vmig_vu_blob m;

	m.argsz = vmig_cursor_u32(c);
	m.flags = vmig_cursor_u32(c);
	m.code = vmig_cursor_u32(c);
	m.len = vmig_cursor_u32(c);
	if (!vmig_cursor_ok(c) || m.argsz < VMIG_VU_BLOB_SIZE || m.flags || m.code > 4095)
		return -EPROTO;
	if (m.len > max)
		return -E2BIG;
	if (m.len != c->left)
		return -EPROTO;
	m.bytes = vmig_cursor_bytes(c, m.len);
	if (!vmig_cursor_ok(c))
		return -EPROTO;
	*ret = m;
	return 0;
}

void vmig_vu_blob_encode(struct vmig_cursor *c, const struct vmig_vu_blob *m)
{
	vmig_cursor_put_u32(c, m->argsz);
	vmig_cursor_put_u32(c, m->flags);
	vmig_cursor_put_u32(c, m->code);
	vmig_cursor_put_u32(c, m->len);
	if (m->bytes)
		vmig_cursor_put(c, m->bytes, m->len);
}

int vmig_vu_tag_decode(struct vmig_cursor *c, struct vmig_vu_tag *ret)
{
	struct vmig_vu_tag m;

	m.argsz = vmig_cursor_u32(c);
	m.flags = vmig_cursor_u32(c);
	vmig_cursor_copy(c, m.tag.identity.bytes, sizeof(m.tag.identity.bytes));
	vmig_cursor_copy(c, m.tag.attempt.bytes, sizeof(m.tag.attempt.bytes));
	vmig_cursor_copy(c, m.tag.instance.bytes, sizeof(m.tag.instance.bytes));
	if (!vmig_cursor_ok(c) || m.argsz < VMIG_VU_TAG_SIZE || m.flags)
		return -EPROTO;
	*ret = m;
	return 0;
}

void vmig_vu_tag_encode(struct vmig_cursor *c, const struct vmig_vu_tag *m)
{
	vmig_cursor_put_u32(c, m->argsz);
	vmig_cursor_put_u32(c, m->flags);
	vmig_cursor_put(c, m->tag.identity.bytes, sizeof(m->tag.identity.bytes));
	vmig_cursor_put(c, m->tag.attempt.bytes, sizeof(m->tag.attempt.bytes));
	vmig_cursor_put(c, m->tag.instance.bytes, sizeof(m->tag.instance.bytes));
}
