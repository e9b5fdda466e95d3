/* SPDX-License-Identifier: BSD-3-Clause */
/* DEVICE_FEATURE and the structs of its features; MIG_PRECOPY_INFO. */
#include "wire/vfio_user.h"

#define FEATURE_OPS (VMIG_VU_FEATURE_GET | VMIG_VU_FEATURE_SET | VMIG_VU_FEATURE_PROBE)

int vmig_vu_feature_decode(struct vmig_cursor *c, struct vmig_vu_feature *ret)
{
	struct vmig_vu_feature m;
	uint32_t ops;

	m.argsz = vmig_cursor_u32(c);
	m.flags = vmig_cursor_u32(c);
	ops = m.flags & FEATURE_OPS;
	if (!vmig_cursor_ok(c) || m.argsz < VMIG_VU_FEATURE_SIZE)
		return -EPROTO;
	if (m.flags & ~(FEATURE_OPS | VMIG_VU_FEATURE_INDEX) || !ops)
		return -EPROTO;
	if (ops == (VMIG_VU_FEATURE_GET | VMIG_VU_FEATURE_SET))
		return -EPROTO;
	*ret = m;
	return 0;
}

void vmig_vu_feature_encode(struct vmig_cursor *c, const struct vmig_vu_feature *m)
{
	vmig_cursor_put_u32(c, m->argsz);
	vmig_cursor_put_u32(c, m->flags);
}

/* A feature that is one u64. */
static int u64_decode(struct vmig_cursor *c, uint64_t *ret)
{
	uint64_t v = vmig_cursor_u64(c);

	if (!vmig_cursor_ok(c))
		return -EPROTO;
	*ret = v;
	return 0;
}

int vmig_vu_migration_decode(struct vmig_cursor *c, uint64_t *ret_flags)
{
	return u64_decode(c, ret_flags);
}

void vmig_vu_migration_encode(struct vmig_cursor *c, uint64_t flags)
{
	vmig_cursor_put_u64(c, flags);
}

int vmig_vu_mig_data_size_decode(struct vmig_cursor *c, uint64_t *ret_stop_copy_length)
{
	return u64_decode(c, ret_stop_copy_length);
}

void vmig_vu_mig_data_size_encode(struct vmig_cursor *c, uint64_t stop_copy_length)
{
	vmig_cursor_put_u64(c, stop_copy_length);
}

int vmig_vu_mig_state_decode(struct vmig_cursor *c, struct vmig_vu_mig_state *ret)
{
	struct vmig_vu_mig_state m;

	m.device_state = vmig_cursor_u32(c);
	m.data_fd = (int32_t)vmig_cursor_u32(c);
	if (!vmig_cursor_ok(c))
		return -EPROTO;
	*ret = m;
	return 0;
}

void vmig_vu_mig_state_encode(struct vmig_cursor *c, const struct vmig_vu_mig_state *m)
{
	vmig_cursor_put_u32(c, m->device_state);
	vmig_cursor_put_u32(c, (uint32_t)m->data_fd);
}

/* --- DMA logging -------------------------------------------------------------------------- */

/* The last byte of a range may be the last one of the address space. */
static bool range_ok(uint64_t iova, uint64_t length)
{
	return length && add_fits(iova, length - 1);
}

int vmig_vu_log_start_decode(struct vmig_cursor *c, struct vmig_vu_log_start *ret)
{
	struct vmig_vu_log_start m;

	m.page_size = vmig_cursor_u64(c);
	m.num_ranges = vmig_cursor_u32(c);
	vmig_cursor_u32(c); /* reserved */
	if (!vmig_cursor_ok(c) || !is_pow2(m.page_size))
		return -EPROTO;
	if (m.num_ranges > VMIG_LIMIT_LOG_RANGES)
		return -E2BIG;
	if (c->left < m.num_ranges * VMIG_VU_LOG_RANGE_SIZE)
		return -EPROTO;
	*ret = m;
	return 0;
}

void vmig_vu_log_start_encode(struct vmig_cursor *c, const struct vmig_vu_log_start *m)
{
	vmig_cursor_put_u64(c, m->page_size);
	vmig_cursor_put_u32(c, m->num_ranges);
	vmig_cursor_put_u32(c, 0);
}

int vmig_vu_log_range_decode(struct vmig_cursor *c, struct vmig_range *ret)
{
	struct vmig_range m;

	m.iova = vmig_cursor_u64(c);
	m.length = vmig_cursor_u64(c);
	if (!vmig_cursor_ok(c) || !range_ok(m.iova, m.length))
		return -EPROTO;
	*ret = m;
	return 0;
}

void vmig_vu_log_range_encode(struct vmig_cursor *c, const struct vmig_range *range)
{
	vmig_cursor_put_u64(c, range->iova);
	vmig_cursor_put_u64(c, range->length);
}

uint64_t vmig_vu_bitmap_len(uint64_t length, uint64_t page_size)
{
	uint64_t pages = length / page_size + !!(length % page_size);

	return (pages / 64 + !!(pages % 64)) * 8;
}

int vmig_vu_log_report_decode(struct vmig_cursor *c, struct vmig_vu_log_report *ret)
{
	struct vmig_vu_log_report m;

	m.iova = vmig_cursor_u64(c);
	m.length = vmig_cursor_u64(c);
	m.page_size = vmig_cursor_u64(c);
	if (!vmig_cursor_ok(c) || !is_pow2(m.page_size) || !range_ok(m.iova, m.length))
		return -EPROTO;
	m.bitmap_len = vmig_vu_bitmap_len(m.length, m.page_size);
	if (m.bitmap_len > VMIG_LIMIT_MSG_BITMAP)
		return -E2BIG;
	*ret = m;
	return 0;
}

void vmig_vu_log_report_encode(struct vmig_cursor *c, const struct vmig_vu_log_report *m)
{
	vmig_cursor_put_u64(c, m->iova);
	vmig_cursor_put_u64(c, m->length);
	vmig_cursor_put_u64(c, m->page_size);
}

/* --- dirty pages, of v1 times --------------------------------------------------------------- */

int vmig_vu_dirty_pages_decode(struct vmig_cursor *c, struct vmig_vu_dirty_pages *ret)
{
	struct vmig_vu_dirty_pages m;

	m.argsz = vmig_cursor_u32(c);
	m.flags = vmig_cursor_u32(c);
	if (!vmig_cursor_ok(c) || m.argsz < VMIG_VU_DIRTY_PAGES_SIZE)
		return -EPROTO;
	if (m.flags != VMIG_VU_DIRTY_START && m.flags != VMIG_VU_DIRTY_STOP &&
	    m.flags != VMIG_VU_DIRTY_GET_BITMAP)
		return -EPROTO;
	*ret = m;
	return 0;
}

void vmig_vu_dirty_pages_encode(struct vmig_cursor *c, const struct vmig_vu_dirty_pages *m)
{
	vmig_cursor_put_u32(c, m->argsz);
	vmig_cursor_put_u32(c, m->flags);
}

int vmig_vu_bitmap_range_decode(struct vmig_cursor *c, struct vmig_vu_log_report *ret)
{
	struct vmig_vu_log_report m;

	m.iova = vmig_cursor_u64(c);
	m.length = vmig_cursor_u64(c);
	m.page_size = vmig_cursor_u64(c);
	m.bitmap_len = vmig_cursor_u64(c);
	if (!vmig_cursor_ok(c) || !is_pow2(m.page_size) || !range_ok(m.iova, m.length) ||
	    m.bitmap_len != vmig_vu_bitmap_len(m.length, m.page_size))
		return -EPROTO;
	if (m.bitmap_len > VMIG_LIMIT_MSG_BITMAP)
		return -E2BIG;
	*ret = m;
	return 0;
}

void vmig_vu_bitmap_range_encode(struct vmig_cursor *c, const struct vmig_vu_log_report *m)
{
	vmig_cursor_put_u64(c, m->iova);
	vmig_cursor_put_u64(c, m->length);
	vmig_cursor_put_u64(c, m->page_size);
	vmig_cursor_put_u64(c, m->bitmap_len);
}

/* --- experimental ------------------------------------------------------------------------- */

int vmig_vu_query_decode(struct vmig_cursor *c, struct vmig_vu_query *ret)
{
	struct vmig_vu_query m;

	m.argsz = vmig_cursor_u32(c);
	m.flags = vmig_cursor_u32(c);
	if (!vmig_cursor_ok(c) || m.argsz < VMIG_VU_QUERY_SIZE || m.flags)
		return -EPROTO;
	*ret = m;
	return 0;
}

void vmig_vu_query_encode(struct vmig_cursor *c, const struct vmig_vu_query *m)
{
	vmig_cursor_put_u32(c, m->argsz);
	vmig_cursor_put_u32(c, m->flags);
}

int vmig_vu_precopy_info_decode(struct vmig_cursor *c, struct vmig_vu_precopy_info *ret)
{
	struct vmig_vu_precopy_info m;

	m.argsz = vmig_cursor_u32(c);
	m.flags = vmig_cursor_u32(c);
	m.initial_bytes = vmig_cursor_u64(c);
	m.dirty_bytes = vmig_cursor_u64(c);
	if (!vmig_cursor_ok(c) || m.argsz < VMIG_VU_PRECOPY_INFO_SIZE)
		return -EPROTO;
	*ret = m;
	return 0;
}

void vmig_vu_precopy_info_encode(struct vmig_cursor *c, const struct vmig_vu_precopy_info *m)
{
	vmig_cursor_put_u32(c, m->argsz);
	vmig_cursor_put_u32(c, m->flags);
	vmig_cursor_put_u64(c, m->initial_bytes);
	vmig_cursor_put_u64(c, m->dirty_bytes);
}
