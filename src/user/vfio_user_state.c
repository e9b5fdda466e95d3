/* SPDX-License-Identifier: BSD-3-Clause */
/* DEVICE_FEATURE of a vfio-user server: the migration state and the DMA log; and its reset. */
#include <stdio.h>
#include <string.h>

#include "fsm/fsm.h"
#include "user/vfio_user.h"

/* Of a reply: the feature's flags and what all features but the REPORT's bitmap have room in. */
#define FEATURE_FIXED (VMIG_VU_FEATURE_SIZE + VMIG_VU_LOG_REPORT_SIZE)

static const char *feature_name(uint32_t flags)
{
	switch (flags & VMIG_VU_FEATURE_INDEX) {
	case VMIG_VU_FEATURE_MIGRATION:
		return "MIGRATION";
	case VMIG_VU_FEATURE_MIG_DEVICE_STATE:
		return flags & VMIG_VU_FEATURE_SET ? "SET_STATE" : "GET_STATE";
	case VMIG_VU_FEATURE_DMA_LOGGING_START:
		return "DMA_LOGGING_START";
	case VMIG_VU_FEATURE_DMA_LOGGING_STOP:
		return "DMA_LOGGING_STOP";
	case VMIG_VU_FEATURE_DMA_LOGGING_REPORT:
		return "DMA_LOGGING_REPORT";
	case VMIG_VU_FEATURE_MIG_DATA_SIZE:
		return "MIG_DATA_SIZE";
	case VMIG_VU_FEATURE_MIG_PRECOPY_INFO_V2:
		return "MIG_PRECOPY_INFOv2";
	default:
		return "DEVICE_FEATURE";
	}
}

static void begin(struct vmig_vuc *v, struct vmig_vuc_call *call, uint32_t flags, uint32_t argsz)
{
	uint8_t out[VMIG_VU_HEADER_SIZE + VMIG_VU_FEATURE_SIZE];
	struct vmig_vu_feature m = { .argsz = argsz, .flags = flags };
	struct vmig_cursor c = vmig_vuc_request(out, sizeof(out));

	call->command = VMIG_VU_DEVICE_FEATURE;
	vmig_vu_feature_encode(&c, &m);
	vmig_vuc_request_end(call, out, &c);
	vmig_vuc_start(v, call);
	call->out = NULL;
}

/* Wait, and check whose reply came; its fixed part is in call->fixed. */
static int finish(struct vmig_vuc *v, struct vmig_vuc_call *call, uint32_t flags, struct vmig_error *error)
{
	struct vmig_vu_feature got;
	struct vmig_cursor c;

	if (vmig_vuc_wait_for(v, call) < 0) {
		vmig_vuc_call_fault(v, call, error);
		if (error)
			snprintf(error->where, sizeof(error->where), "%s", feature_name(flags));
		return call->result;
	}
	c = vmig_cursor_over(call->fixed, call->fixed_len);
	if (vmig_vu_feature_decode(&c, &got) < 0 || got.flags != flags)
		return vmig_vuc_broken(v, error, feature_name(flags),
				       "the reply is one about another feature");
	return 0;
}

int vmig_vuc_feature(struct vmig_vuc *v, uint32_t flags, const void *in, size_t in_len, void *ret,
		     size_t ret_max, size_t *ret_len, struct vmig_error *error)
{
	uint8_t fixed[FEATURE_FIXED];
	struct iovec data = { (void *)(uintptr_t)in, in_len };
	/* The reply of a SET echoes the request: all of it is let in, and forgotten. */
	struct vmig_vuc_call call = { .data = &data,
				      .n_data = in_len ? 1 : 0,
				      .fixed = fixed,
				      .fixed_max = sizeof(fixed),
				      .data_max = in_len > VMIG_VU_LOG_REPORT_SIZE
							  ? (uint32_t)(in_len - VMIG_VU_LOG_REPORT_SIZE)
							  : 0 };
	size_t len;
	int r;

	begin(v, &call, flags, (uint32_t)(VMIG_VU_FEATURE_SIZE + MAX(in_len, ret_max)));
	r = finish(v, &call, flags, error);
	free(call.park);
	if (r < 0)
		return r;
	len = MIN(call.fixed_len - VMIG_VU_FEATURE_SIZE, ret_max);
	if (len)
		memcpy(ret, fixed + VMIG_VU_FEATURE_SIZE, len);
	if (ret_len)
		*ret_len = len;
	return 0;
}

/* --- state -------------------------------------------------------------------------------- */

int vmig_vuc_query_state(void *p, uint32_t *ret_state, struct vmig_error *error)
{
	const uint32_t flags = VMIG_VU_FEATURE_MIG_DEVICE_STATE | VMIG_VU_FEATURE_GET;
	struct vmig_vuc *v = p;
	uint8_t in[VMIG_VU_MIG_STATE_SIZE];
	struct vmig_vu_mig_state got;
	struct vmig_cursor c;
	size_t len;
	int r = vmig_vuc_feature(v, flags, NULL, 0, in, sizeof(in), &len, error);

	if (r < 0)
		return r;
	c = vmig_cursor_over(in, len);
	if (vmig_vu_mig_state_decode(&c, &got) < 0 || got.device_state == VMIG_STATE_NONE)
		return vmig_vuc_broken(v, error, "GET_STATE", "the reply holds no state");
	*ret_state = got.device_state;
	return 0;
}

static int ask_for(struct vmig_vuc *v, uint32_t target, struct vmig_error *error)
{
	const uint32_t flags = VMIG_VU_FEATURE_MIG_DEVICE_STATE | VMIG_VU_FEATURE_SET;
	uint8_t out[VMIG_VU_MIG_STATE_SIZE];
	struct vmig_vu_mig_state m = { .device_state = target, .data_fd = -1 };
	struct vmig_cursor c = vmig_cursor_into(out, sizeof(out));

	vmig_vu_mig_state_encode(&c, &m);
	return vmig_vuc_feature(v, flags, out, sizeof(out), NULL, 0, NULL, error);
}

/* The session that is to start on the way from where it is to @target, if one does. */
static int prepare_session(struct vmig_vuc *v, uint32_t target, struct vmig_session_half *ret,
			   struct vmig_error *error)
{
	uint32_t from = v->state;
	enum vmig_arc_session kind;
	int r = 0;

	if (from == VMIG_STATE_NONE)
		r = vmig_vuc_query_state(v, &from, error);
	if (r < 0)
		return r;
	kind = from < VMIG_STATE_NR ? vmig_fsm_walk_session(v->info.migration_flags, from, target)
				    : VMIG_ARC_NONE;
	if (kind == VMIG_ARC_SAVE)
		r = vmig_vuc_saver_new(v, ret);
	else if (kind == VMIG_ARC_LOAD)
		r = vmig_vuc_loader_new(v, ret);
	return r < 0 ? vmig_fault(error, r, "SET_STATE", "no memory for a session") : 0;
}

int vmig_vuc_set_state(void *p, uint32_t target, struct vmig_session_half *ret, struct vmig_error *error)
{
	struct vmig_vuc *v = p;
	struct vmig_session_half half = { 0 };
	int r = vmig_vuc_settle_load(v, error);

	if (!r)
		r = prepare_session(v, target, &half, error);
	if (r < 0)
		return r;
	r = ask_for(v, target, error);
	v->state = r < 0 ? VMIG_STATE_NONE : target;
	if (r < 0) {
		if (half.ops)
			half.ops->close(half.s);
		return r;
	}
	*ret = half;
	return 0;
}

/* libvfio-user, for one, resets the device and leaves its state machine where it was. */
static int check_reset(struct vmig_vuc *v, struct vmig_error *error)
{
	const char *name;
	uint32_t state;
	int r = vmig_vuc_query_state(v, &state, error);

	if (r < 0)
		return r;
	v->state = state;
	if (state == VMIG_STATE_RUNNING)
		return 0;
	vmig_device_gain_traits(v->dev, VMIG_TRAIT_RESET_KEEPS_FSM);
	name = vmig_state_name(state);
	return vmig_fault(error, -EIO, "DEVICE_RESET", "reset leaves it in %s: its state is lost",
			  name ? name : "a state that is not known");
}

int vmig_vuc_reset(void *p, struct vmig_error *error)
{
	struct vmig_vuc *v = p;
	uint8_t out[VMIG_VU_HEADER_SIZE];
	struct vmig_vuc_call call = { .command = VMIG_VU_DEVICE_RESET };
	struct vmig_cursor c = vmig_vuc_request(out, sizeof(out));
	int r;

	vmig_vuc_request_end(&call, out, &c);
	v->state = VMIG_STATE_NONE;
	r = vmig_vuc_call(v, &call, error);
	if (r < 0)
		return r;
	vmig_vuc_forget_load(v);
	/* Not all servers stop their log, but for the user it has stopped. */
	if (v->dirty_pages)
		r = vmig_vuc_dirty_stop(v, error);
	if (r < 0 && v->dead)
		return r;
	return v->info.migration_flags ? check_reset(v, error) : 0;
}

int vmig_vuc_query_stop_copy_size(void *p, uint64_t *ret, struct vmig_error *error)
{
	struct vmig_vuc *v = p;
	uint8_t in[VMIG_VU_MIG_DATA_SIZE_SIZE];
	struct vmig_cursor c;
	size_t len;
	int r = vmig_vuc_feature(v, VMIG_VU_FEATURE_MIG_DATA_SIZE | VMIG_VU_FEATURE_GET, NULL, 0, in,
				 sizeof(in), &len, error);

	if (r < 0)
		return r;
	c = vmig_cursor_over(in, len);
	if (vmig_vu_mig_data_size_decode(&c, ret) < 0)
		return vmig_vuc_broken(v, error, "MIG_DATA_SIZE", "the reply holds no size");
	return 0;
}

/* --- DMA log ------------------------------------------------------------------------------ */

/* No ranges would mean "all" in this dialect: that never reaches the wire. */
int vmig_vuc_log_start(void *p, uint64_t *page_size, const struct vmig_range *ranges, uint32_t n,
		       struct vmig_error *error)
{
	const uint32_t flags = VMIG_VU_FEATURE_DMA_LOGGING_START | VMIG_VU_FEATURE_SET;
	struct vmig_vuc *v = p;
	size_t len = VMIG_VU_LOG_START_SIZE + (size_t)n * VMIG_VU_LOG_RANGE_SIZE, got_len;
	_autofree_ uint8_t *out = NULL;
	uint8_t in[VMIG_VU_LOG_START_SIZE];
	struct vmig_vu_log_start m = { *page_size, n };
	struct vmig_cursor c;
	int r;

	if (v->dirty_pages)
		return vmig_vuc_dirty_start(v, page_size, error);
	if (!n || n > VMIG_LIMIT_LOG_RANGES)
		return vmig_fault(error, n ? -E2BIG : -EINVAL, "DMA_LOGGING_START",
				  "%u ranges; 1 to %u are possible", n, VMIG_LIMIT_LOG_RANGES);
	out = malloc(len);
	if (!out)
		return vmig_fault(error, -ENOMEM, "DMA_LOGGING_START", "no memory for %u ranges", n);
	c = vmig_cursor_into(out, len);
	vmig_vu_log_start_encode(&c, &m);
	for (uint32_t i = 0; i < n; i++)
		vmig_vu_log_range_encode(&c, &ranges[i]);
	r = vmig_vuc_feature(v, flags, out, len, in, sizeof(in), &got_len, error);
	if (r < 0)
		return r;
	c = vmig_cursor_over(in, got_len);
	m.page_size = vmig_cursor_u64(&c);
	if (!vmig_cursor_ok(&c) || !is_pow2(m.page_size))
		return vmig_vuc_broken(v, error, "DMA_LOGGING_START", "the reply names a page size of %llu",
				       (unsigned long long)m.page_size);
	*page_size = m.page_size;
	return 0;
}

int vmig_vuc_log_stop(void *p, struct vmig_error *error)
{
	const uint32_t flags = VMIG_VU_FEATURE_DMA_LOGGING_STOP | VMIG_VU_FEATURE_SET;
	struct vmig_vuc *v = p;

	if (v->dirty_pages)
		return vmig_vuc_dirty_stop(v, error);
	return vmig_vuc_feature(p, flags, NULL, 0, NULL, 0, NULL, error);
}

/* 32 bytes at a time; the caller's bitmap is aligned to u64 only. */
typedef uint64_t bits __attribute__((vector_size(32), aligned(8), may_alias));
#define BLOCK 16u /* u64s that are looked at together */

static bool block_is_zero(const uint64_t *at)
{
	bits any = *(const bits *)at | *(const bits *)(at + 4) | *(const bits *)(at + 8) |
		   *(const bits *)(at + 12);

	return !(any[0] | any[1] | any[2] | any[3]);
}

static bool is_zero(const uint64_t *at, uint64_t n)
{
	for (; n >= BLOCK; at += BLOCK, n -= BLOCK)
		if (!block_is_zero(at))
			return false;
	while (n)
		if (at[--n])
			return false;
	return true;
}

/* Bits are only ever set; mostly there are few. */
static void or_bits(uint64_t *to, const uint64_t *from, uint64_t n)
{
	for (; n >= BLOCK; to += BLOCK, from += BLOCK, n -= BLOCK) {
		if (block_is_zero(from))
			continue;
		for (unsigned int i = 0; i < BLOCK; i += 4)
			*(bits *)(to + i) |= *(const bits *)(from + i);
	}
	while (n--)
		to[n] |= from[n];
}

/* No bit behind the last page. */
static void cut_tail(uint64_t *bitmap, uint64_t n_pages)
{
	if (n_pages % 64)
		bitmap[n_pages / 64] &= (1ull << (n_pages % 64)) - 1;
}

static int check_report(struct vmig_vuc *v, const struct vmig_vuc_call *call,
			const struct vmig_vu_log_report *m, struct vmig_error *error)
{
	struct vmig_cursor c = vmig_cursor_over((uint8_t *)call->fixed + VMIG_VU_FEATURE_SIZE,
						call->fixed_len - VMIG_VU_FEATURE_SIZE);
	struct vmig_vu_log_report got;

	if (vmig_vu_log_report_decode(&c, &got) < 0 || got.iova != m->iova || got.length != m->length ||
	    got.page_size != m->page_size || call->data_len != vmig_vu_bitmap_len(m->length, m->page_size))
		return vmig_vuc_broken(v, error, "DMA_LOGGING_REPORT",
				       "the reply is not the bitmap that was asked for");
	return 0;
}

static void put_report(uint64_t *bitmap, uint64_t *from, const struct vmig_vu_log_report *m)
{
	cut_tail(from, m->length / m->page_size + !!(m->length % m->page_size));
	if (from != bitmap)
		or_bits(bitmap, from, vmig_vu_bitmap_len(m->length, m->page_size) / sizeof(uint64_t));
}

/*
 * One REPORT. Where the caller has no bits yet, the server's come straight into its bitmap; that is found out
 * while the server is at work. Else they are put over them from v->scratch. v->scratch_lock is held.
 */
static int ask_report(struct vmig_vuc *v, const struct vmig_vu_log_report *m, uint64_t *bitmap,
		      struct vmig_error *error)
{
	const uint32_t flags = VMIG_VU_FEATURE_DMA_LOGGING_REPORT | VMIG_VU_FEATURE_GET;
	uint64_t len = vmig_vu_bitmap_len(m->length, m->page_size);
	uint8_t out[VMIG_VU_LOG_REPORT_SIZE], in[FEATURE_FIXED];
	struct iovec data = { out, sizeof(out) }, place = { bitmap, len };
	struct vmig_vuc_call call = {
		.data = &data, .n_data = 1, .fixed = in, .fixed_max = sizeof(in), .data_max = (uint32_t)len
	};
	struct vmig_cursor c = vmig_cursor_into(out, sizeof(out));
	int r;

	vmig_vu_log_report_encode(&c, m);
	begin(v, &call, flags, (uint32_t)(FEATURE_FIXED + len));
	if (!is_zero(bitmap, len / sizeof(uint64_t)))
		place.iov_base = v->scratch;
	vmig_vuc_attach(v, &call, &place, 1);
	r = finish(v, &call, flags, error);
	if (!r)
		r = check_report(v, &call, m, error);
	/* Parked: another thread has received it before the place was known. */
	if (!r)
		put_report(bitmap, call.park ? (void *)call.park : place.iov_base, m);
	free(call.park);
	return r;
}

/* One REPORT covers at most this much bitmap: the server has to hold it, and so have we. */
#define REPORT_BYTES (1u << 20)

static uint64_t report_bytes(const struct vmig_vuc *v)
{
	uint64_t most = v->caps.migration_max_bitmap_size;

	return most >= sizeof(uint64_t) && most < REPORT_BYTES ? most / sizeof(uint64_t) * sizeof(uint64_t)
							       : REPORT_BYTES;
}

int vmig_vuc_log_report(void *p, uint64_t iova, uint64_t length, uint64_t page_size, uint64_t *bitmap,
			struct vmig_error *error)
{
	struct vmig_vuc *v = p;
	uint64_t most = report_bytes(v);
	int r = 0;

	if (v->dirty_pages)
		return vmig_vuc_dirty_report(v, iova, length, page_size, bitmap, error);
	pthread_mutex_lock(&v->scratch_lock);
	if (!v->scratch)
		v->scratch = malloc(REPORT_BYTES);
	if (!v->scratch)
		r = vmig_fault(error, -ENOMEM, "DMA_LOGGING_REPORT", "no memory");
	while (length && !r) {
		uint64_t part = length / page_size >= most * 8 ? most * 8 * page_size : length;
		struct vmig_vu_log_report m = { .iova = iova, .length = part, .page_size = page_size };

		r = ask_report(v, &m, bitmap, error);
		bitmap += part / page_size / 64;
		iova += part;
		length -= part;
	}
	pthread_mutex_unlock(&v->scratch_lock);
	return r;
}
