/* SPDX-License-Identifier: BSD-3-Clause */
/* The header, the table of what a message may be, and the messages about DMA mappings, interrupts and data. */
#include "wire/vfio_user.h"

#include <string.h>

#define ERRNO_MAX 4095u /* as the kernel has it */

/* Behind the fixed part there may be @more bytes: bulk data, an array, or what a newer peer has appended. */
struct shape {
	uint32_t fixed, more;
	bool bulk;
};

#define NOTHING                                                                                              \
	{                                                                                                    \
		0, 0, false                                                                                  \
	}
#define ONLY(size)                                                                                           \
	{                                                                                                    \
		size, 0, false                                                                               \
	}
#define OPEN(size)                                                                                           \
	{                                                                                                    \
		size, 4096, false                                                                            \
	}
#define ARRAY(size, n)                                                                                       \
	{                                                                                                    \
		size, n, false                                                                               \
	}
#define DATA(size)                                                                                           \
	{                                                                                                    \
		size, 0, true                                                                                \
	} /* as much as was agreed on */
#define BITMAP(size)                                                                                         \
	{                                                                                                    \
		size, VMIG_LIMIT_MSG_BITMAP, true                                                            \
	}

#define LOG_START_SIZE (VMIG_VU_FEATURE_SIZE + VMIG_VU_LOG_START_SIZE)

static const struct row {
	uint16_t command;
	const char *name;
	struct shape request, reply;
} table[] = {
	{ VMIG_VU_VERSION, "VERSION", ARRAY(4, VMIG_LIMIT_VERSION_JSON), ARRAY(4, VMIG_LIMIT_VERSION_JSON) },
	{ VMIG_VU_DMA_MAP, "DMA_MAP", OPEN(VMIG_VU_DMA_MAP_SIZE), OPEN(0) },
	{ VMIG_VU_DMA_UNMAP, "DMA_UNMAP", OPEN(VMIG_VU_DMA_UNMAP_SIZE), OPEN(VMIG_VU_DMA_UNMAP_SIZE) },
	{ VMIG_VU_DEVICE_GET_INFO, "DEVICE_GET_INFO", OPEN(VMIG_VU_DEVICE_INFO_SIZE),
	  OPEN(VMIG_VU_DEVICE_INFO_SIZE) },
	{ VMIG_VU_DEVICE_GET_REGION_INFO, "DEVICE_GET_REGION_INFO", OPEN(VMIG_VU_REGION_INFO_SIZE),
	  ARRAY(VMIG_VU_REGION_INFO_SIZE, VMIG_LIMIT_REGION_INFO) },
	{ VMIG_VU_DEVICE_GET_REGION_IO_FDS, "DEVICE_GET_REGION_IO_FDS", OPEN(VMIG_VU_IO_FDS_SIZE),
	  OPEN(VMIG_VU_IO_FDS_SIZE) },
	{ VMIG_VU_DEVICE_GET_IRQ_INFO, "DEVICE_GET_IRQ_INFO", OPEN(VMIG_VU_IRQ_INFO_SIZE),
	  OPEN(VMIG_VU_IRQ_INFO_SIZE) },
	{ VMIG_VU_DEVICE_SET_IRQS, "DEVICE_SET_IRQS", ARRAY(VMIG_VU_SET_IRQS_SIZE, VMIG_LIMIT_IRQS),
	  NOTHING },
	{ VMIG_VU_REGION_READ, "REGION_READ", ONLY(VMIG_VU_REGION_RW_SIZE), DATA(VMIG_VU_REGION_RW_SIZE) },
	{ VMIG_VU_REGION_WRITE, "REGION_WRITE", DATA(VMIG_VU_REGION_RW_SIZE), ONLY(VMIG_VU_REGION_RW_SIZE) },
	{ VMIG_VU_DMA_READ, "DMA_READ", ONLY(VMIG_VU_DMA_RW_SIZE), DATA(VMIG_VU_DMA_RW_SIZE) },
	{ VMIG_VU_DMA_WRITE, "DMA_WRITE", DATA(VMIG_VU_DMA_RW_SIZE), ONLY(VMIG_VU_DMA_RW_SIZE) },
	{ VMIG_VU_DEVICE_RESET, "DEVICE_RESET", NOTHING, NOTHING },
	{ VMIG_VU_DIRTY_PAGES, "DIRTY_PAGES", OPEN(VMIG_VU_DIRTY_PAGES_SIZE),
	  BITMAP(VMIG_VU_DIRTY_PAGES_SIZE + VMIG_VU_BITMAP_RANGE_SIZE) },
	{ VMIG_VU_REGION_WRITE_MULTI, "REGION_WRITE_MULTI",
	  ARRAY(VMIG_VU_WRITE_MULTI_SIZE, VMIG_LIMIT_WRITE_MULTI *VMIG_VU_WRITE_ONE_SIZE),
	  ONLY(VMIG_VU_WRITE_MULTI_SIZE) },
	{ VMIG_VU_DEVICE_FEATURE, "DEVICE_FEATURE",
	  ARRAY(LOG_START_SIZE, VMIG_LIMIT_LOG_RANGES *VMIG_VU_LOG_RANGE_SIZE),
	  BITMAP(VMIG_VU_FEATURE_SIZE + VMIG_VU_LOG_REPORT_SIZE) },
	{ VMIG_VU_MIG_DATA_READ, "MIG_DATA_READ", OPEN(VMIG_VU_MIG_DATA_SIZE), DATA(VMIG_VU_MIG_DATA_SIZE) },
	{ VMIG_VU_MIG_DATA_WRITE, "MIG_DATA_WRITE", DATA(VMIG_VU_MIG_DATA_SIZE), OPEN(0) },
	{ VMIG_VU_MIG_PRECOPY_INFO, "MIG_PRECOPY_INFO", OPEN(VMIG_VU_QUERY_SIZE),
	  OPEN(VMIG_VU_PRECOPY_INFO_SIZE) },
	{ VMIG_VU_DEVICE_IDENTITY, "DEVICE_IDENTITY", OPEN(VMIG_VU_QUERY_SIZE), OPEN(VMIG_VU_IDENTITY_SIZE) },
	{ VMIG_VU_DEVICE_DESCRIPTOR, "DEVICE_DESCRIPTOR", OPEN(VMIG_VU_QUERY_SIZE),
	  ARRAY(VMIG_VU_BLOB_SIZE, VMIG_DEVICE_DESCRIPTOR_MAX) },
	{ VMIG_VU_DEVICE_OPAQUE, "DEVICE_OPAQUE", OPEN(VMIG_VU_QUERY_SIZE),
	  ARRAY(VMIG_VU_BLOB_SIZE, VMIG_DEVICE_OPAQUE_MAX) },
	{ VMIG_VU_DEVICE_OPAQUE_CHECK, "DEVICE_OPAQUE_CHECK",
	  ARRAY(VMIG_VU_BLOB_SIZE, VMIG_DEVICE_OPAQUE_MAX),
	  ARRAY(VMIG_VU_BLOB_SIZE, VMIG_DEVICE_OPAQUE_MAX) },
	{ VMIG_VU_DEVICE_TAG, "DEVICE_TAG", OPEN(VMIG_VU_QUERY_SIZE), OPEN(VMIG_VU_TAG_SIZE) },
	{ VMIG_VU_DEVICE_SET_TAG, "DEVICE_SET_TAG", OPEN(VMIG_VU_TAG_SIZE), OPEN(0) },
};

/* The ordinary commands have their places in the table. */
_Static_assert(VMIG_VU_VERSION == 1 && VMIG_VU_MIG_DATA_WRITE == 18,
	       "the table is in the order of the commands");

static const struct row *find(uint16_t command)
{
	size_t i = command - 1u;

	if (command > VMIG_VU_MIG_DATA_WRITE)
		i = VMIG_VU_MIG_DATA_WRITE + (command - VMIG_VU_MIG_PRECOPY_INFO);
	return i < ARRAY_SIZE(table) && table[i].command == command ? &table[i] : NULL;
}

static const struct shape *shape_of(const struct vmig_vu_header *h)
{
	const struct row *row = find(h->command);

	if (!row)
		return NULL;
	return vmig_vu_is_reply(h) ? &row->reply : &row->request;
}

const char *vmig_vu_command_name(uint16_t command)
{
	const struct row *row = find(command);

	return row ? row->name : NULL;
}

int vmig_vu_header_decode(struct vmig_cursor *c, struct vmig_vu_header *ret)
{
	struct vmig_vu_header h;
	uint32_t type;

	h.id = vmig_cursor_u16(c);
	h.command = vmig_cursor_u16(c);
	h.size = vmig_cursor_u32(c);
	h.flags = vmig_cursor_u32(c);
	h.error = vmig_cursor_u32(c);
	type = h.flags & VMIG_VU_TYPE_MASK;
	if (!vmig_cursor_ok(c) || h.size < VMIG_VU_HEADER_SIZE)
		return -EPROTO;
	if (type != VMIG_VU_TYPE_COMMAND && type != VMIG_VU_TYPE_REPLY)
		return -EPROTO;
	if (type == VMIG_VU_TYPE_COMMAND && h.flags & VMIG_VU_ERROR)
		return -EPROTO;
	*ret = h;
	return 0;
}

void vmig_vu_header_encode(struct vmig_cursor *c, const struct vmig_vu_header *h)
{
	vmig_cursor_put_u16(c, h->id);
	vmig_cursor_put_u16(c, h->command);
	vmig_cursor_put_u32(c, h->size);
	vmig_cursor_put_u32(c, h->flags);
	vmig_cursor_put_u32(c, h->error);
}

int vmig_vu_header_errno(const struct vmig_vu_header *h)
{
	if (!(h->flags & VMIG_VU_ERROR))
		return 0;
	return h->error && h->error <= ERRNO_MAX ? -(int)h->error : -EREMOTEIO;
}

int vmig_vu_header_check(const struct vmig_vu_header *h, uint32_t max)
{
	const struct shape *s = shape_of(h);
	uint64_t most;

	if (!s)
		most = VMIG_VU_UNKNOWN_MAX;
	else if (s->bulk && !s->more)
		most = (uint64_t)s->fixed + max;
	else
		most = (uint64_t)s->fixed + s->more;
	return vmig_vu_payload(h) > most ? -E2BIG : 0;
}

uint32_t vmig_vu_fixed_size(const struct vmig_vu_header *h)
{
	const struct shape *s = shape_of(h);
	uint32_t payload = vmig_vu_payload(h);

	return s && s->bulk ? MIN(s->fixed, payload) : payload;
}

/* The bytes of the message behind its fixed part, or -1 if it does not even have that. */
static int64_t behind(const struct vmig_vu_header *h, uint32_t fixed)
{
	return (int64_t)vmig_vu_payload(h) - fixed;
}

/* --- DMA ---------------------------------------------------------------------------------- */

int vmig_vu_dma_map_decode(struct vmig_cursor *c, struct vmig_vu_dma_map *ret)
{
	struct vmig_vu_dma_map m;

	m.argsz = vmig_cursor_u32(c);
	m.flags = vmig_cursor_u32(c);
	m.offset = vmig_cursor_u64(c);
	m.address = vmig_cursor_u64(c);
	m.size = vmig_cursor_u64(c);
	if (!vmig_cursor_ok(c) || m.flags & ~(VMIG_VU_DMA_MAP_READ | VMIG_VU_DMA_MAP_WRITE))
		return -EPROTO;
	*ret = m;
	return 0;
}

void vmig_vu_dma_map_encode(struct vmig_cursor *c, const struct vmig_vu_dma_map *m)
{
	vmig_cursor_put_u32(c, m->argsz);
	vmig_cursor_put_u32(c, m->flags);
	vmig_cursor_put_u64(c, m->offset);
	vmig_cursor_put_u64(c, m->address);
	vmig_cursor_put_u64(c, m->size);
}

int vmig_vu_dma_unmap_decode(struct vmig_cursor *c, struct vmig_vu_dma_unmap *ret)
{
	struct vmig_vu_dma_unmap m;

	m.argsz = vmig_cursor_u32(c);
	m.flags = vmig_cursor_u32(c);
	m.address = vmig_cursor_u64(c);
	m.size = vmig_cursor_u64(c);
	if (!vmig_cursor_ok(c))
		return -EPROTO;
	/* Its reply would hold a bitmap; DMA_LOGGING_REPORT has taken its place. */
	if (m.flags & VMIG_VU_DMA_UNMAP_DIRTY_BITMAP)
		return -EOPNOTSUPP;
	if (m.flags & ~VMIG_VU_DMA_UNMAP_ALL)
		return -EPROTO;
	if (m.flags && (m.address || m.size))
		return -EPROTO;
	*ret = m;
	return 0;
}

void vmig_vu_dma_unmap_encode(struct vmig_cursor *c, const struct vmig_vu_dma_unmap *m)
{
	vmig_cursor_put_u32(c, m->argsz);
	vmig_cursor_put_u32(c, m->flags);
	vmig_cursor_put_u64(c, m->address);
	vmig_cursor_put_u64(c, m->size);
}

/* How many bytes of data belong behind the fixed part of a read or write: in one direction none. */
static bool count_fits(const struct vmig_vu_header *h, bool is_read, uint64_t count, int64_t data_len)
{
	bool has_data = is_read == vmig_vu_is_reply(h);

	return data_len >= 0 && (uint64_t)data_len == (has_data ? count : 0);
}

int vmig_vu_dma_rw_decode(struct vmig_cursor *c, const struct vmig_vu_header *h, uint32_t max,
			  struct vmig_vu_dma_rw *ret)
{
	bool is_read = h->command == VMIG_VU_DMA_READ;
	/* The text gives the count in the reply of a write 4 bytes, everybody's code 8. */
	bool narrow = !is_read && vmig_vu_is_reply(h) && vmig_vu_payload(h) == 12;
	struct vmig_vu_dma_rw m;

	m.address = vmig_cursor_u64(c);
	m.count = narrow ? vmig_cursor_u32(c) : vmig_cursor_u64(c);
	if (!vmig_cursor_ok(c) || (m.count && !add_fits(m.address, m.count - 1)))
		return -EPROTO;
	if (m.count > max)
		return -E2BIG;
	if (!count_fits(h, is_read, m.count, narrow ? 0 : behind(h, VMIG_VU_DMA_RW_SIZE)))
		return -EPROTO;
	*ret = m;
	return 0;
}

void vmig_vu_dma_rw_encode(struct vmig_cursor *c, const struct vmig_vu_dma_rw *m)
{
	vmig_cursor_put_u64(c, m->address);
	vmig_cursor_put_u64(c, m->count);
}

/* --- region data -------------------------------------------------------------------------- */

int vmig_vu_region_rw_decode(struct vmig_cursor *c, const struct vmig_vu_header *h, uint32_t max,
			     struct vmig_vu_region_rw *ret)
{
	bool is_read = h->command == VMIG_VU_REGION_READ;
	struct vmig_vu_region_rw m;

	m.offset = vmig_cursor_u64(c);
	m.region = vmig_cursor_u32(c);
	m.count = vmig_cursor_u32(c);
	if (!vmig_cursor_ok(c) || !add_fits(m.offset, m.count))
		return -EPROTO;
	if (m.count > max)
		return -E2BIG;
	if (!count_fits(h, is_read, m.count, behind(h, VMIG_VU_REGION_RW_SIZE)))
		return -EPROTO;
	*ret = m;
	return 0;
}

void vmig_vu_region_rw_encode(struct vmig_cursor *c, const struct vmig_vu_region_rw *m)
{
	vmig_cursor_put_u64(c, m->offset);
	vmig_cursor_put_u32(c, m->region);
	vmig_cursor_put_u32(c, m->count);
}

int vmig_vu_write_multi_decode(struct vmig_cursor *c, const struct vmig_vu_header *h, uint32_t *ret_count)
{
	uint64_t count = vmig_cursor_u64(c), entries;

	if (!vmig_cursor_ok(c))
		return -EPROTO;
	if (count > VMIG_LIMIT_WRITE_MULTI)
		return -E2BIG;
	entries = vmig_vu_is_reply(h) ? 0 : count * VMIG_VU_WRITE_ONE_SIZE;
	if (c->left != entries)
		return -EPROTO;
	*ret_count = (uint32_t)count;
	return 0;
}

void vmig_vu_write_multi_encode(struct vmig_cursor *c, uint32_t count)
{
	vmig_cursor_put_u64(c, count);
}

int vmig_vu_write_one_decode(struct vmig_cursor *c, struct vmig_vu_write_one *ret)
{
	struct vmig_vu_write_one m;

	m.offset = vmig_cursor_u64(c);
	m.region = vmig_cursor_u32(c);
	m.count = vmig_cursor_u32(c);
	vmig_cursor_copy(c, m.data, sizeof(m.data));
	if (!vmig_cursor_ok(c) || m.count > sizeof(m.data) || !add_fits(m.offset, m.count))
		return -EPROTO;
	*ret = m;
	return 0;
}

void vmig_vu_write_one_encode(struct vmig_cursor *c, const struct vmig_vu_write_one *m)
{
	vmig_cursor_put_u64(c, m->offset);
	vmig_cursor_put_u32(c, m->region);
	vmig_cursor_put_u32(c, m->count);
	vmig_cursor_put(c, m->data, sizeof(m->data));
}

/* --- migration data ----------------------------------------------------------------------- */

int vmig_vu_mig_data_decode(struct vmig_cursor *c, const struct vmig_vu_header *h, uint32_t max,
			    struct vmig_vu_mig_data *ret)
{
	int64_t data_len = behind(h, VMIG_VU_MIG_DATA_SIZE);
	bool is_read = h->command == VMIG_VU_MIG_DATA_READ;
	struct vmig_vu_mig_data m;

	m.argsz = vmig_cursor_u32(c);
	m.size = vmig_cursor_u32(c);
	if (!vmig_cursor_ok(c) || data_len < 0)
		return -EPROTO;
	if (m.size > max || data_len > max)
		return -E2BIG;
	/* libvfio-user pads a short reply to the size that was asked for: more than size is data of no meaning. */
	if (is_read && vmig_vu_is_reply(h) && data_len < m.size)
		return -EPROTO;
	if (!is_read && data_len != m.size)
		return -EPROTO;
	m.data_len = (uint32_t)data_len;
	*ret = m;
	return 0;
}

void vmig_vu_mig_data_encode(struct vmig_cursor *c, const struct vmig_vu_mig_data *m)
{
	vmig_cursor_put_u32(c, m->argsz);
	vmig_cursor_put_u32(c, m->size);
}
