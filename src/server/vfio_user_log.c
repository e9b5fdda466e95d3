/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The DMA log. In vfio-user's dialect a START without ranges asks for all addresses. A device that keeps bits only
 * for what is mapped (a model does) can do that, and is asked for it. Another one logs what is mapped at START, and
 * all else is reported as written, whenever it is asked for: never too little, and too much only where the client
 * maps at new addresses while it logs.
 *
 * To a device that is shown by v1 belongs DIRTY_PAGES, the IOMMU's tracking of v1 times: the same log, always of all.
 */
#include <endian.h>
#include <string.h>

#include <vmig/uapi.h>

#include "server/vfio_user.h"

/* --- START, STOP ------------------------------------------------------------------------------- */

/* Mappings side by side are one range. What does not fit is not logged, hence always reported. */
static void ranges_of_maps(struct vmig_served *s)
{
	struct vmig_range *ranges = s->log.ranges;
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->n_maps; i++) {
		const struct vmig_served_map *map = s->maps[i];

		if (n && ranges[n - 1].iova + ranges[n - 1].length == map->iova)
			ranges[n - 1].length += map->size;
		else if (n < ARRAY_SIZE(s->log.ranges))
			ranges[n++] = (struct vmig_range){ map->iova, map->size };
	}
	s->log.n_ranges = n;
}

static int decode_ranges(struct vmig_served *s, struct vmig_cursor *c, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		int r = vmig_vu_log_range_decode(c, &s->log.ranges[i]);

		if (r < 0)
			return r;
	}
	s->log.n_ranges = n;
	return 0;
}

/* 2^64 bytes are more than one length can say. */
static const struct vmig_range everything[] = { { 0, 1ull << 63 }, { 1ull << 63, 1ull << 63 } };

static int start_all(struct vmig_served *s, uint64_t *page_size)
{
	int r;

	memcpy(s->log.ranges, everything, sizeof(everything));
	s->log.n_ranges = ARRAY_SIZE(everything);
	r = vmig_device_dma_log_start(s->dev, page_size, s->log.ranges, s->log.n_ranges);
	if (!r || r == -EBUSY || r == -ENOMEM)
		return r;
	ranges_of_maps(s);
	return s->log.n_ranges ? vmig_device_dma_log_start(s->dev, page_size, s->log.ranges, s->log.n_ranges)
			       : 0;
}

#define LEAST_PAGE 4096ull

/* Here the page size is a hint; a device wants one that divides its ranges, as the kernel does. Ranges of odd bytes get none. */
static uint64_t page_of_ranges(const struct vmig_served *s, uint64_t hint)
{
	uint64_t all = 0;

	for (uint32_t i = 0; i < s->log.n_ranges; i++)
		all |= s->log.ranges[i].iova | s->log.ranges[i].length;
	return all ? MIN(hint, MAX(all & -all, LEAST_PAGE)) : hint;
}

static int start_ranges(struct vmig_served *s, struct vmig_cursor *c, struct vmig_vu_log_start *start)
{
	int r = decode_ranges(s, c, start->num_ranges);

	if (r < 0)
		return r;
	start->page_size = page_of_ranges(s, start->page_size);
	return vmig_device_dma_log_start(s->dev, &start->page_size, s->log.ranges, s->log.n_ranges);
}

int vmig_served_log_start(struct vmig_served *s, struct vmig_slink_msg *m, struct vmig_cursor *c)
{
	uint8_t out[VMIG_VU_FEATURE_SIZE + VMIG_VU_LOG_START_SIZE];
	struct vmig_cursor o = vmig_cursor_into(out, sizeof(out));
	struct vmig_vu_log_start start;
	struct iovec rest;
	int r = vmig_vu_log_start_decode(c, &start);

	if (r < 0)
		return r;
	if (s->log.on)
		return -EBUSY;
	s->log.all = !start.num_ranges;
	r = s->log.all ? start_all(s, &start.page_size) : start_ranges(s, c, &start);
	if (r < 0)
		return r;
	s->log.on = true;
	/* The request, with the page size that was chosen. */
	vmig_cursor_put(&o, m->body, VMIG_VU_FEATURE_SIZE);
	vmig_vu_log_start_encode(&o, &start);
	rest = (struct iovec){ m->body + sizeof(out), m->body_len - sizeof(out) };
	return vmig_served_reply(s, m, out, sizeof(out), &rest, 1, NULL, 0);
}

static int stop(struct vmig_served *s)
{
	int r = s->log.n_ranges ? vmig_device_dma_log_stop(s->dev) : 0;

	if (!r)
		s->log.on = false;
	return r;
}

int vmig_served_log_stop(struct vmig_served *s, struct vmig_slink_msg *m, struct vmig_cursor *c)
{
	int r = s->log.on ? stop(s) : vmig_device_dma_log_stop(s->dev);

	return r < 0 ? r : vmig_served_reply(s, m, m->body, m->body_len, NULL, 0, NULL, 0);
}

void vmig_served_drop_log(struct vmig_served *s)
{
	if (s->log.on)
		(void)stop(s);
	s->log.on = false;
}

/* --- REPORT ------------------------------------------------------------------------------------ */

static void set_bits(uint64_t *bitmap, uint64_t from, uint64_t to)
{
	for (; from < to && from % 64; from++)
		bitmap[from / 64] |= 1ull << (from % 64);
	for (; from + 64 <= to; from += 64)
		bitmap[from / 64] = UINT64_MAX;
	for (; from < to; from++)
		bitmap[from / 64] |= 1ull << (from % 64);
}

/* Add @n bits of @add to @bitmap from bit @at on. */
static void add_bits(uint64_t *bitmap, uint64_t at, const uint64_t *add, uint64_t n)
{
	unsigned int shift = at % 64;

	for (uint64_t i = 0; i < (n + 63) / 64; i++) {
		uint64_t *to = bitmap + at / 64 + i;

		to[0] |= add[i] << shift;
		if (shift && add[i] >> (64 - shift))
			to[1] |= add[i] >> (64 - shift);
	}
}

static uint64_t n_pages(const struct vmig_vu_log_report *req)
{
	return (req->length - 1) / req->page_size + 1;
}

/* The whole pages of the report that lie in @range: [*ret_first, *ret_end). */
static void pages_in(const struct vmig_vu_log_report *req, const struct vmig_range *range,
		     uint64_t *ret_first, uint64_t *ret_end)
{
	uint64_t last = req->iova + (req->length - 1), range_last = range->iova + (range->length - 1);

	*ret_first = *ret_end = 0;
	if (range_last < req->iova || range->iova > last)
		return;
	if (range->iova > req->iova)
		*ret_first = (range->iova - req->iova - 1) / req->page_size + 1;
	*ret_end = range_last >= last ? n_pages(req) : (range_last - req->iova + 1) / req->page_size;
	*ret_end = MAX(*ret_first, *ret_end);
}

static int report_pages(struct vmig_served *s, const struct vmig_vu_log_report *req, uint64_t first,
			uint64_t end, uint64_t *bitmap)
{
	uint64_t from = first * req->page_size, to = end == n_pages(req) ? req->length : end * req->page_size;
	_autofree_ uint64_t *part = NULL;
	int r;

	if (!(first % 64)) /* in place; nearly always */
		return vmig_device_dma_log_report(s->dev, req->iova + from, to - from, req->page_size,
						  bitmap + first / 64);
	part = calloc((end - first + 63) / 64, sizeof(*part));
	if (!part)
		return -ENOMEM;
	r = vmig_device_dma_log_report(s->dev, req->iova + from, to - from, req->page_size, part);
	if (!r)
		add_bits(bitmap, first, part, end - first);
	return r;
}

static int report_all(struct vmig_served *s, const struct vmig_vu_log_report *req, uint64_t *bitmap)
{
	uint64_t done = 0, first, end;

	for (uint32_t i = 0; i < s->log.n_ranges; i++) {
		int r;

		pages_in(req, &s->log.ranges[i], &first, &end);
		if (first == end)
			continue;
		set_bits(bitmap, done, first);
		r = report_pages(s, req, first, end, bitmap);
		if (r < 0)
			return r;
		done = end;
	}
	set_bits(bitmap, done, n_pages(req));
	return 0;
}

static uint32_t report_size(const struct vmig_vu_log_report *req)
{
	return (uint32_t)(VMIG_VU_FEATURE_SIZE + VMIG_VU_LOG_REPORT_SIZE + req->bitmap_len);
}

static void to_wire(uint64_t *bitmap, uint64_t len)
{
	if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
		return;
	for (uint64_t i = 0; i < len / sizeof(*bitmap); i++)
		bitmap[i] = htole64(bitmap[i]);
}

/* Memory for a bitmap: all zero, and to be left so. */
static uint64_t *zero_bitmap(struct vmig_served *s, size_t len)
{
	if (len > s->bitmap_size) {
		free(s->bitmap);
		s->bitmap = calloc(1, len);
		s->bitmap_size = s->bitmap ? len : 0;
	}
	return s->bitmap;
}

static int report(struct vmig_served *s, const struct vmig_vu_log_report *req, uint64_t *bitmap)
{
	if (s->log.all)
		return report_all(s, req, bitmap);
	return vmig_device_dma_log_report(s->dev, req->iova, req->length, req->page_size, bitmap);
}

static int reply_report(struct vmig_served *s, struct vmig_slink_msg *m, const struct vmig_vu_log_report *req,
			uint64_t *bitmap)
{
	struct vmig_vu_feature head = { .argsz = report_size(req),
					.flags = VMIG_VU_FEATURE_GET | VMIG_VU_FEATURE_DMA_LOGGING_REPORT };
	uint8_t out[VMIG_VU_FEATURE_SIZE + VMIG_VU_LOG_REPORT_SIZE];
	struct vmig_cursor o = vmig_cursor_into(out, sizeof(out));
	struct iovec iov = { bitmap, req->bitmap_len };

	to_wire(bitmap, req->bitmap_len);
	vmig_vu_feature_encode(&o, &head);
	vmig_vu_log_report_encode(&o, req);
	return vmig_served_reply(s, m, out, sizeof(out), &iov, 1, NULL, 0);
}

int vmig_served_log_report(struct vmig_served *s, struct vmig_slink_msg *m, struct vmig_cursor *c)
{
	struct vmig_cursor request = vmig_cursor_over(m->body, m->body_len);
	struct vmig_vu_log_report req;
	uint64_t *bitmap;
	int r = vmig_vu_log_report_decode(c, &req);

	if (r < 0)
		return r;
	if (!s->log.on || vmig_cursor_u32(&request) < report_size(&req))
		return -EINVAL;
	bitmap = zero_bitmap(s, req.bitmap_len);
	if (!bitmap)
		return -ENOMEM;
	r = report(s, &req, bitmap);
	if (!r)
		r = reply_report(s, m, &req, bitmap);
	/* Here and not before the report: the client is busy with the answer meanwhile. */
	memset(bitmap, 0, req.bitmap_len);
	return r;
}

/* --- DIRTY_PAGES ------------------------------------------------------------------------------- */

/* Who drives a device by v1 speaks the dialect of v1 times; nobody else does. */
static bool is_shown_by_v1(struct vmig_served *s)
{
	struct vmig_region region;

	for (uint32_t i = 0; i < s->info.n_regions; i++)
		if (!vmig_device_query_region(s->dev, i, &region) &&
		    region.cap_type == VMIG_UAPI_REGION_TYPE_MIGRATION_DEPRECATED &&
		    region.cap_subtype == VMIG_UAPI_REGION_SUBTYPE_MIGRATION_DEPRECATED)
			return true;
	return false;
}

#define DIRTY_FIXED (VMIG_VU_DIRTY_PAGES_SIZE + VMIG_VU_BITMAP_RANGE_SIZE)

static int reply_dirty(struct vmig_served *s, struct vmig_slink_msg *m, const struct vmig_vu_log_report *req,
		       uint64_t *bitmap)
{
	struct vmig_vu_dirty_pages head = { .argsz = (uint32_t)(DIRTY_FIXED + req->bitmap_len),
					    .flags = VMIG_VU_DIRTY_GET_BITMAP };
	struct iovec iov = { bitmap, bitmap ? req->bitmap_len : 0 };
	uint8_t out[DIRTY_FIXED];
	struct vmig_cursor o = vmig_cursor_into(out, sizeof(out));

	vmig_vu_dirty_pages_encode(&o, &head);
	/* Where the reply has no room for it, only the head is sent: it says how much there has to be. */
	if (!bitmap)
		return vmig_served_reply_to(s, m, out, &o);
	to_wire(bitmap, req->bitmap_len);
	vmig_vu_bitmap_range_encode(&o, req);
	return vmig_served_reply(s, m, out, sizeof(out), &iov, 1, NULL, 0);
}

static int get_dirty(struct vmig_served *s, struct vmig_slink_msg *m, struct vmig_cursor *c, uint32_t argsz)
{
	struct vmig_vu_log_report req;
	uint64_t *bitmap;
	int r = vmig_vu_bitmap_range_decode(c, &req);

	if (r < 0)
		return r;
	if (!s->log.on)
		return -EINVAL;
	if (argsz < DIRTY_FIXED + req.bitmap_len)
		return reply_dirty(s, m, &req, NULL);
	bitmap = zero_bitmap(s, req.bitmap_len);
	if (!bitmap)
		return -ENOMEM;
	r = report(s, &req, bitmap);
	if (!r)
		r = reply_dirty(s, m, &req, bitmap);
	memset(bitmap, 0, req.bitmap_len);
	return r;
}

/* START twice is no error, as of the kernel. */
static int start_dirty(struct vmig_served *s)
{
	uint64_t page_size = s->caps.migration_pgsize ? s->caps.migration_pgsize : 4096;
	int r = 0;

	if (s->log.on)
		return 0;
	s->log.all = true;
	r = start_all(s, &page_size);
	s->log.on = !r;
	return r;
}

int vmig_served_dirty_pages(struct vmig_served *s, struct vmig_slink_msg *m)
{
	struct vmig_cursor c = vmig_cursor_over(m->body, m->body_len);
	struct vmig_vu_dirty_pages req;
	int r;

	if (!is_shown_by_v1(s))
		return -ENOSYS;
	if (!(s->info.has & (VMIG_HAS_DMA_LOG | VMIG_HAS_IOMMU_LOG)))
		return -EOPNOTSUPP;
	r = vmig_vu_dirty_pages_decode(&c, &req);
	if (r < 0)
		return r;
	if (req.flags == VMIG_VU_DIRTY_GET_BITMAP)
		return get_dirty(s, m, &c, req.argsz);
	if (req.flags == VMIG_VU_DIRTY_START)
		r = start_dirty(s);
	else
		r = s->log.on ? stop(s) : 0;
	return r < 0 ? r : vmig_served_reply(s, m, NULL, 0, NULL, 0, NULL, 0);
}
