/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Saving: the sequence of the v1 text, one transaction after the other.
 *
 *	a. pending_bytes: is there something?    d. the data themselves, at once, into memory of ours
 *	b. data_offset: make it available        e. they are lent out, behind a frame that keeps their size
 *	c. data_size                             f. pending_bytes again: it was read; that is the next a.
 *
 * Nothing is left in the region between two calls, so the device may change its state between any two; but for f, which
 * a change of the state does first.
 */
#include "user/region.h"
#include "wire/cursor.h"

struct v1_save {
	struct vmig_v1u *v; /* outlives the session: the handle sees to it */
	enum { GOING, ENDED, FAILED } at;
	int error; /* of FAILED: what is said from then on, since part of the data is gone */
	uint8_t *buf;
	size_t room, start, len; /* a frame and its data; lent up to @start */
	uint32_t number;         /* of the next transaction */
	uint32_t n_stalls;
	uint64_t least;   /* pending_bytes so far, in STOP_COPY */
	uint64_t initial; /* what pending_bytes was at first, less what was read */
	bool asked;       /* pending_bytes was read at all */
};

/* --- one transaction ---------------------------------------------------------------------- */

static int read_pending(struct v1_save *s, uint64_t *ret, struct vmig_error *error)
{
	int r = vmig_v1u_pending(s->v, ret, error);

	if (r < 0)
		return r;
	if (!s->asked)
		s->initial = *ret;
	s->asked = true;
	return 0;
}

/* A stopped device that has ever as much to give never ends. */
static int judge_pending(struct v1_save *s, uint64_t pending, struct vmig_error *error)
{
	if (s->v->state != VMIG_STATE_STOP_COPY || pending < s->least) {
		s->least = s->v->state == VMIG_STATE_STOP_COPY ? pending : UINT64_MAX;
		s->n_stalls = 0;
	} else if (++s->n_stalls > VMIG_LIMIT_V1_STALLS) {
		return vmig_fault(error, -EPROTO, "v1 pending_bytes",
				  "a stopped device has given %u pieces and never has less to give",
				  s->n_stalls);
	}
	return 0;
}

static int need_room(struct v1_save *s, size_t room, struct vmig_error *error)
{
	if (s->room >= room)
		return 0;
	free(s->buf);
	s->room = 0;
	s->buf = malloc(room);
	if (!s->buf)
		return vmig_fault(error, -ENOMEM, "v1 data section",
				  "no memory for a transaction of %zu bytes", room);
	s->room = room;
	return 0;
}

static void put_frame(struct v1_save *s, uint64_t size)
{
	struct vmig_cursor c = vmig_cursor_into(s->buf, VMIG_V1U_FRAME);

	vmig_cursor_put_u32(&c, VMIG_V1U_MAGIC);
	vmig_cursor_put_u32(&c, s->number++);
	vmig_cursor_put_u64(&c, size);
	s->start = 0;
	s->len = VMIG_V1U_FRAME + (size_t)size;
}

static int check_size(struct v1_save *s, uint64_t offset, uint64_t size, struct vmig_error *error)
{
	static const char where[] = "v1 data_size";

	if (!size)
		return vmig_fault(error, -EPROTO, where, "0, after pending_bytes was not");
	if (size > s->v->region.size - offset)
		return vmig_fault(error, -EPROTO, where,
				  "%#llx bytes at %#llx are not in the region, which has %#llx",
				  (unsigned long long)size, (unsigned long long)offset,
				  (unsigned long long)s->v->region.size);
	if (size > VMIG_LIMIT_V1_TRANSACTION)
		return vmig_fault(error, -E2BIG, where, "a transaction of %llu bytes; at most %llu are taken",
				  (unsigned long long)size, VMIG_LIMIT_V1_TRANSACTION);
	return 0;
}

/* b, c and d. */
static int take(struct v1_save *s, struct vmig_error *error)
{
	uint64_t offset, size;
	int r = vmig_v1u_data_offset(s->v, &offset, error);

	if (!r)
		r = vmig_v1u_read(s->v, VMIG_V1U_DATA_SIZE, &size, error);
	if (!r)
		r = check_size(s, offset, size, error);
	if (!r)
		r = need_room(s, VMIG_V1U_FRAME + (size_t)size, error);
	if (!r)
		r = vmig_v1u_section_read(s->v, offset, s->buf + VMIG_V1U_FRAME, (size_t)size, error);
	if (r < 0)
		return r;
	s->v->untold = true;
	put_frame(s, size);
	s->initial -= MIN(s->initial, size);
	return 1;
}

/* Nothing is pending: drained, or the end. */
static int nothing(struct v1_save *s, struct vmig_error *error)
{
	uint32_t state = s->v->state;
	int r = state == VMIG_STATE_NONE ? vmig_v1u_query_state(s->v, &state, error) : 0;

	if (r < 0)
		return r;
	if (state == VMIG_STATE_PRE_COPY)
		return -ENOMSG;
	if (state != VMIG_STATE_STOP_COPY)
		return vmig_fault(error, -ENODEV, "v1 device_state", "the device has left the saving states");
	r = need_room(s, VMIG_V1U_FRAME, error);
	if (r < 0)
		return r;
	put_frame(s, 0);
	s->at = ENDED;
	return 1;
}

/* Under the lock. 1: there is something to lend. */
static int fetch(struct v1_save *s, struct vmig_error *error)
{
	uint64_t pending;
	int r;

	if (s->v->session != s)
		return vmig_fault(error, -ENODEV, "v1 device_state", "the device has left the saving states");
	r = read_pending(s, &pending, error);
	if (!r && !pending)
		return nothing(s, error);
	if (!r)
		r = judge_pending(s, pending, error);
	return r < 0 ? r : take(s, error);
}

/* --- the session -------------------------------------------------------------------------- */

static int fill(struct v1_save *s, struct vmig_error *error)
{
	int r;

	if (s->at == FAILED)
		return vmig_fault(error, s->error, "v1 data section", "an earlier transaction was lost");
	if (s->at == ENDED)
		return 0;
	pthread_mutex_lock(&s->v->lock);
	r = fetch(s, error);
	pthread_mutex_unlock(&s->v->lock);
	if (r < 0 && r != -ENOMSG) {
		s->at = FAILED;
		s->error = r;
	}
	return r;
}

static ssize_t save_lend(void *opaque, size_t max, struct iovec *ret_iov, int *ret_n,
			 struct vmig_error *error)
{
	struct v1_save *s = opaque;

	if (s->start == s->len) {
		int r = fill(s, error);

		if (r <= 0)
			return r;
	}
	*ret_iov = (struct iovec){ .iov_base = s->buf + s->start, .iov_len = MIN(max, s->len - s->start) };
	*ret_n = 1;
	return (ssize_t)ret_iov->iov_len;
}

static void save_give_back(void *opaque, size_t used)
{
	struct v1_save *s = opaque;

	s->start += used;
}

/* How much of it is initial? What there was when it was first asked, so that this has an end. */
static int save_query_precopy(void *opaque, struct vmig_precopy *ret, struct vmig_error *error)
{
	struct v1_save *s = opaque;
	uint64_t pending = 0;
	int r;

	pthread_mutex_lock(&s->v->lock);
	if (s->v->session != s || s->v->state != VMIG_STATE_PRE_COPY)
		r = vmig_fault(error, -EINVAL, "v1 pending_bytes", "the device is not in PRE_COPY");
	else
		r = read_pending(s, &pending, error);
	pthread_mutex_unlock(&s->v->lock);
	if (r < 0)
		return r;
	ret->initial_bytes = MIN(s->initial, pending);
	ret->dirty_bytes = pending - ret->initial_bytes + (s->len - s->start);
	ret->flags = 0;
	return 0;
}

static void save_close(void *opaque)
{
	struct v1_save *s = opaque;

	pthread_mutex_lock(&s->v->lock);
	if (s->v->session == s)
		s->v->session = NULL;
	pthread_mutex_unlock(&s->v->lock);
	free(s->buf);
	free(s);
}

static const struct vmig_session_ops save_ops = {
	.lend = save_lend,
	.give_back = save_give_back,
	.query_precopy = save_query_precopy,
	.close = save_close,
};

int vmig_v1u_save_new(struct vmig_v1u *v, struct vmig_session_half *ret)
{
	struct v1_save *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->v = v;
	s->least = UINT64_MAX;
	*ret = (struct vmig_session_half){ .ops = &save_ops, .s = s };
	return 0;
}
