/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DIRTY_PAGES: the DMA log of a vfio-user server of v1 times, which is the IOMMU's of old in messages.
 *
 * It logs all that is mapped. A bitmap is asked for by mapping, whole (libvfio-user takes nothing else), and asking
 * clears it: what the caller has not asked for is kept here, with the mapping.
 */
#include <endian.h>
#include <string.h>

#include "user/vfio_user.h"

#define WHERE       "DIRTY_PAGES"
#define DIRTY_FIXED (VMIG_VU_DIRTY_PAGES_SIZE + VMIG_VU_BITMAP_RANGE_SIZE)
#define PAGE_SIZE   4096u /* where none was agreed on */

/* --- START, STOP -------------------------------------------------------------------------- */

static int say(struct vmig_vuc *v, uint32_t flags, struct vmig_error *error)
{
	uint8_t out[VMIG_VU_HEADER_SIZE + VMIG_VU_DIRTY_PAGES_SIZE], in[DIRTY_FIXED];
	struct vmig_vu_dirty_pages m = { VMIG_VU_DIRTY_PAGES_SIZE, flags };
	struct vmig_vuc_call call = { .command = VMIG_VU_DIRTY_PAGES, .fixed = in, .fixed_max = sizeof(in) };
	struct vmig_cursor c = vmig_vuc_request(out, sizeof(out));

	vmig_vu_dirty_pages_encode(&c, &m);
	vmig_vuc_request_end(&call, out, &c);
	return vmig_vuc_call(v, &call, error);
}

int vmig_vuc_dirty_probe(struct vmig_vuc *v, struct vmig_error *error)
{
	int r = say(v, VMIG_VU_DIRTY_START, error);

	if (!r)
		r = say(v, VMIG_VU_DIRTY_STOP, error);
	if (v->dead)
		return r;
	return !r;
}

/* What was kept of an earlier log. */
static void forget_all(struct vmig_vuc *v)
{
	pthread_mutex_lock(&v->maps.lock);
	for (uint32_t i = 0; i < v->maps.n; i++) {
		free(v->maps.maps[i]->dirty);
		v->maps.maps[i]->dirty = NULL;
	}
	pthread_mutex_unlock(&v->maps.lock);
}

int vmig_vuc_dirty_start(struct vmig_vuc *v, uint64_t *page_size, struct vmig_error *error)
{
	int r = 0;

	pthread_mutex_lock(&v->scratch_lock);
	if (v->log_page)
		r = vmig_fault(error, -EBUSY, WHERE, "it is started already");
	if (!r)
		r = say(v, VMIG_VU_DIRTY_START, error);
	if (!r) {
		forget_all(v);
		v->log_page = v->caps.migration_pgsize ? v->caps.migration_pgsize : PAGE_SIZE;
		*page_size = v->log_page;
	}
	pthread_mutex_unlock(&v->scratch_lock);
	return r;
}

int vmig_vuc_dirty_stop(struct vmig_vuc *v, struct vmig_error *error)
{
	int r;

	pthread_mutex_lock(&v->scratch_lock);
	r = say(v, VMIG_VU_DIRTY_STOP, error);
	if (!r)
		v->log_page = 0;
	pthread_mutex_unlock(&v->scratch_lock);
	return r;
}

/* --- GET_BITMAP --------------------------------------------------------------------------- */

static int check_reply(struct vmig_vuc *v, const struct vmig_vuc_call *call,
		       const struct vmig_vu_log_report *m, struct vmig_error *error)
{
	struct vmig_cursor c = vmig_cursor_over(call->fixed, call->fixed_len);
	struct vmig_vu_dirty_pages head;
	struct vmig_vu_log_report got;

	if (vmig_vu_dirty_pages_decode(&c, &head) < 0 || head.flags != VMIG_VU_DIRTY_GET_BITMAP ||
	    vmig_vu_bitmap_range_decode(&c, &got) < 0 || got.iova != m->iova || got.length != m->length ||
	    got.page_size != m->page_size || call->data_len != m->bitmap_len)
		return vmig_vuc_broken(v, error, WHERE, "the reply is not the bitmap that was asked for");
	return 0;
}

/* The bitmap of a mapping into @bits, m->bitmap_len bytes. */
static int ask_bitmap(struct vmig_vuc *v, const struct vmig_vu_log_report *m, uint64_t *bits,
		      struct vmig_error *error)
{
	uint8_t out[VMIG_VU_HEADER_SIZE + DIRTY_FIXED], in[DIRTY_FIXED];
	struct vmig_vu_dirty_pages head = { (uint32_t)(DIRTY_FIXED + m->bitmap_len),
					    VMIG_VU_DIRTY_GET_BITMAP };
	struct iovec place = { bits, m->bitmap_len };
	struct vmig_vuc_call call = { .command = VMIG_VU_DIRTY_PAGES,
				      .fixed = in,
				      .fixed_max = sizeof(in),
				      .iov = &place,
				      .n_iov = 1,
				      .data_max = (uint32_t)m->bitmap_len };
	struct vmig_cursor c = vmig_vuc_request(out, sizeof(out));
	int r;

	vmig_vu_dirty_pages_encode(&c, &head);
	vmig_vu_bitmap_range_encode(&c, m);
	vmig_vuc_request_end(&call, out, &c);
	r = vmig_vuc_call(v, &call, error);
	return r < 0 ? r : check_reply(v, &call, m, error);
}

/* Add to m->dirty what has been written since. */
static int fetch(struct vmig_vuc *v, struct vmig_vuc_mapping *m, struct vmig_error *error)
{
	struct vmig_vu_log_report ask = { .iova = m->map.iova,
					  .length = m->map.size,
					  .page_size = v->log_page };
	_autofree_ uint64_t *bits = NULL;
	int r;

	ask.bitmap_len = vmig_vu_bitmap_len(ask.length, ask.page_size);
	if (ask.bitmap_len > VMIG_LIMIT_MSG_BITMAP)
		return vmig_fault(error, -E2BIG, WHERE, "a mapping of 0x%llx bytes is too large for a bitmap",
				  (unsigned long long)ask.length);
	bits = calloc(1, ask.bitmap_len);
	if (!m->dirty)
		m->dirty = calloc(1, ask.bitmap_len);
	if (!bits || !m->dirty)
		return vmig_fault(error, -ENOMEM, WHERE, "no memory");
	r = ask_bitmap(v, &ask, bits, error);
	for (uint64_t i = 0; !r && i < ask.bitmap_len / sizeof(uint64_t); i++)
		m->dirty[i] |= le64toh(bits[i]);
	return r;
}

/* The part of a report that is asked for. */
struct wanted {
	uint64_t iova, last, page_size;
	uint64_t *bitmap;
};

/* Page [@first, @last] of the log is dirty. True: nobody has to hear of it any more. */
static bool give_page(const struct wanted *w, uint64_t first, uint64_t last)
{
	uint64_t from = MAX(first, w->iova), to = MIN(last, w->last);

	if (from > to)
		return false;
	from = (from - w->iova) / w->page_size;
	to = (to - w->iova) / w->page_size;
	for (uint64_t i = from; i <= to; i++)
		w->bitmap[i / 64] |= 1ull << (i % 64);
	return first >= w->iova && last <= w->last;
}

static void give(struct vmig_vuc *v, struct vmig_vuc_mapping *m, const struct wanted *w)
{
	uint64_t end = m->map.iova + (m->map.size - 1), n_pages = (m->map.size - 1) / v->log_page + 1;

	for (uint64_t i = 0; i < (n_pages + 63) / 64; i++) {
		uint64_t left = m->dirty[i];

		for (; left; left &= left - 1) {
			uint64_t page = i * 64 + (uint64_t)__builtin_ctzll(left);
			uint64_t first = m->map.iova + page * v->log_page;

			/* Bits behind the last page mean nothing. */
			if (page >= n_pages || give_page(w, first, MIN(first + (v->log_page - 1), end)))
				m->dirty[i] &= ~(1ull << (page % 64));
		}
	}
}

/* Of one mapping. One that has been unmapped meanwhile has nothing to report. */
static int report_mapping(struct vmig_vuc *v, struct vmig_vuc_mapping *m, const struct wanted *w,
			  struct vmig_error *error)
{
	int r = fetch(v, m, error);

	if (!r)
		give(v, m, w);
	return r;
}

int vmig_vuc_dirty_report(struct vmig_vuc *v, uint64_t iova, uint64_t length, uint64_t page_size,
			  uint64_t *bitmap, struct vmig_error *error)
{
	const struct wanted w = { iova, iova + (length - 1), page_size, bitmap };
	struct vmig_vuc_mapping *m;
	uint64_t at = iova, end;
	int r = 0;

	pthread_mutex_lock(&v->scratch_lock);
	if (!v->log_page)
		r = vmig_fault(error, -EINVAL, WHERE, "it is not started");
	while (!r && (m = vmig_vuc_hold_mapping(&v->maps, at))) {
		end = m->map.iova + (m->map.size - 1);
		if (m->map.iova <= w.last)
			r = report_mapping(v, m, &w, error);
		vmig_vuc_release_mapping(&v->maps, m);
		if (end >= w.last)
			break;
		at = end + 1;
	}
	pthread_mutex_unlock(&v->scratch_lock);
	return r;
}
