/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Saving over vfio-user. In STOP_COPY MIG_DATA_READs are sent ahead, and a reply is received straight into the
 * memory of whoever asks for it next; a reply that nobody has asked for yet stays in the socket, or is parked
 * if another call's reply comes behind it. In PRE_COPY states nothing is asked for ahead: a transition might
 * come between, and what "no more" means would be unknown.
 * Fewer bytes than asked for are the end of the stream in STOP_COPY, and "drained for now" in PRE_COPY.
 */
#include <string.h>

#include "user/vfio_user_data.h"

#define READ "MIG_DATA_READ"

struct saver {
	struct vmig_vuc *v;
	struct vmig_vuc_ring ring;
	bool drained;   /* the last read was short: the next one says ENOMSG */
	bool stop_copy; /* the server said so when it was asked, after a transition that failed */
	bool ended;
	int error;
	uint8_t *park; /* what the caller had no room for */
	uint32_t park_at, park_len;
};

static int ask_one(struct saver *s, uint32_t size, bool stopped)
{
	struct vmig_vuc_slot *slot = vmig_vuc_slot_new(VMIG_VU_MIG_DATA_READ, size);

	if (!slot)
		return -ENOMEM;
	slot->stopped = stopped;
	slot->call.data_max = size;
	slot->call.ahead = true;
	vmig_vuc_ring_add(&s->ring, slot);
	vmig_vuc_start(s->v, &slot->call);
	return 0;
}

/* The bytes that one message is to bring, for a caller with room for @room. */
static uint32_t read_size(const struct vmig_vuc *v, size_t room)
{
	return (uint32_t)MIN(room, v->caps.max_data_xfer_size);
}

static int ask_ahead(struct saver *s, uint32_t size, struct vmig_error *error)
{
	bool stopped = s->stop_copy || s->v->state == VMIG_STATE_STOP_COPY;
	uint32_t depth = stopped ? s->v->depth : 1;
	int r = 0;

	while (s->ring.n < depth && !r)
		r = ask_one(s, size, stopped);
	return r < 0 && !s->ring.n ? vmig_fault(error, r, READ, "no memory") : 0;
}

/* After the end, only emptiness may follow. */
static int finish(struct saver *s, struct vmig_error *error)
{
	while (s->ring.n) {
		struct vmig_vuc_slot *slot = vmig_vuc_ring_take(&s->ring);
		int r = vmig_vuc_wait_for(s->v, &slot->call);
		struct vmig_vu_mig_data got;
		struct vmig_cursor c = vmig_cursor_over(slot->in, slot->call.fixed_len);
		bool empty = r < 0 ||
			     (!vmig_vu_mig_data_decode(&c, &slot->call.reply, slot->size, &got) && !got.size);

		if (r < 0 && !slot->call.refused)
			r = vmig_vuc_call_fault(s->v, &slot->call, error);
		else
			r = 0;
		vmig_vuc_slot_free(slot);
		if (r < 0)
			return r;
		if (!empty)
			return vmig_vuc_broken(s->v, error, READ,
					       "data came behind a short read, which is the end");
	}
	return 0;
}

/* The reply to @slot was short: what that says beside the data. */
static int end_of_data(struct saver *s, const struct vmig_vuc_slot *slot, struct vmig_error *error)
{
	uint32_t state = s->v->state;
	int r = 0;

	if (slot->stopped) {
		s->ended = true;
		return finish(s, error);
	}
	if (state == VMIG_STATE_NONE)
		r = vmig_vuc_query_state(s->v, &state, error);
	/* It was asked for before STOP_COPY was reached: ask once more, and believe the answer. */
	s->stop_copy = state == VMIG_STATE_STOP_COPY;
	s->drained = !s->stop_copy;
	return r;
}

/* @got bytes are good, what is behind them is padding. They lie in the caller's memory, or in the slot's park, or both. */
static ssize_t deliver(struct saver *s, struct vmig_vuc_slot *slot, uint32_t got, const struct iovec *iov,
		       int n)
{
	uint32_t in_iov = MIN(slot->call.data_len - slot->call.park_len, got), parked = got - in_iov;

	if (!parked)
		return in_iov;
	s->park = steal_ptr(slot->call.park);
	s->park_at = 0;
	s->park_len = parked;
	if (in_iov)
		return in_iov;
	s->park_at = (uint32_t)vmig_iov_from_buf(iov, n, s->park, parked);
	return s->park_at;
}

static ssize_t take_park(struct saver *s, const struct iovec *iov, int n)
{
	size_t done = vmig_iov_from_buf(iov, n, s->park + s->park_at, s->park_len - s->park_at);

	s->park_at += (uint32_t)done;
	return (ssize_t)done;
}

static void drop_park(struct saver *s)
{
	free(steal_ptr(s->park));
	s->park_at = s->park_len = 0;
}

/* What came for @slot. An ENOMSG of PRE_COPY is an empty reply. */
static int take_reply(struct saver *s, const struct vmig_vuc_slot *slot, struct vmig_vu_mig_data *ret,
		      struct vmig_error *error)
{
	const struct vmig_vuc_call *call = &slot->call;
	struct vmig_cursor c = vmig_cursor_over(slot->in, call->fixed_len);

	if (call->result == -ENOMSG && call->refused) {
		*ret = (struct vmig_vu_mig_data){ 0 };
		/* In STOP_COPY it would be taken for an answer that means something. */
		return slot->stopped ? vmig_fault(error, -EREMOTEIO, READ,
						  "the server says \"drained\" in STOP_COPY")
				     : 0;
	}
	if (call->result < 0)
		return vmig_vuc_call_fault(s->v, call, error);
	if (vmig_vu_mig_data_decode(&c, &call->reply, slot->size, ret) < 0)
		return vmig_vuc_broken(s->v, error, READ,
				       "the reply to a request for %u bytes contradicts itself: %u came",
				       slot->size, call->data_len);
	return 0;
}

/* The oldest message's data, or what it says without any. */
static ssize_t read_oldest(struct saver *s, const struct iovec *iov, int n, struct vmig_error *error)
{
	struct iovec direct[VMIG_SESSION_IOV_MAX];
	struct vmig_vuc_slot *slot = vmig_vuc_ring_oldest(&s->ring);
	struct vmig_vu_mig_data got;
	ssize_t r;

	memcpy(direct, iov, (size_t)n * sizeof(iov[0]));
	vmig_vuc_attach(s->v, &slot->call, direct, n);
	r = vmig_vuc_wait_for(s->v, &slot->call);
	vmig_vuc_ring_take(&s->ring);
	r = take_reply(s, slot, &got, error);
	if (!r && got.size < slot->size)
		r = end_of_data(s, slot, error);
	if (!r)
		r = deliver(s, slot, got.size, iov, n);
	vmig_vuc_slot_free(slot);
	return r;
}

static ssize_t none_now(struct saver *s, struct vmig_error *error)
{
	s->drained = false;
	return vmig_fault(error, -ENOMSG, READ, "drained for now");
}

static ssize_t session_readv(void *p, const struct iovec *all, int n_all, struct vmig_error *error)
{
	struct saver *s = p;
	struct iovec iov[VMIG_SESSION_IOV_MAX];
	int n = vmig_vuc_pick_pieces(all, n_all, iov);
	ssize_t r = 0;

	if (s->park_at < s->park_len)
		return take_park(s, iov, n);
	drop_park(s);
	if (s->error)
		return vmig_fault(error, s->error, READ, "an earlier read has failed");
	if (s->drained && s->v->state != VMIG_STATE_STOP_COPY)
		return none_now(s, error);
	s->drained = false;
	while (!r && !s->ended && !s->drained) {
		r = ask_ahead(s, read_size(s->v, vmig_iov_len(iov, n)), error);
		if (!r)
			r = read_oldest(s, iov, n, error);
	}
	if (r < 0)
		s->error = (int)r;
	return !r && s->drained ? none_now(s, error) : r;
}

static int session_query_precopy(void *p, struct vmig_precopy *ret, struct vmig_error *error)
{
	struct saver *s = p;
	uint8_t out[VMIG_VU_HEADER_SIZE + VMIG_VU_QUERY_SIZE], in[64];
	struct vmig_vu_query m = { .argsz = VMIG_VU_PRECOPY_INFO_SIZE };
	struct vmig_vu_precopy_info got;
	struct vmig_vuc_call call = { .command = VMIG_VU_MIG_PRECOPY_INFO,
				      .fixed = in,
				      .fixed_max = sizeof(in) };
	struct vmig_cursor c = vmig_vuc_request(out, sizeof(out));
	int r;

	if (!s->v->caps.precopy_info)
		return vmig_fault(error, -EOPNOTSUPP, "MIG_PRECOPY_INFO", "the server has no such query");
	vmig_vu_query_encode(&c, &m);
	vmig_vuc_request_end(&call, out, &c);
	r = vmig_vuc_call(s->v, &call, error);
	if (r < 0)
		return r;
	c = vmig_cursor_over(in, call.fixed_len);
	if (vmig_vu_precopy_info_decode(&c, &got) < 0)
		return vmig_vuc_broken(s->v, error, "MIG_PRECOPY_INFO", "the reply holds no sizes");
	*ret = (struct vmig_precopy){ got.initial_bytes, got.dirty_bytes, got.flags };
	return 0;
}

static void session_close_saving(void *p)
{
	struct saver *s = p;

	while (s->ring.n)
		vmig_vuc_abandon(s->v, &vmig_vuc_ring_take(&s->ring)->call);
	drop_park(s);
	free(s);
}

static const struct vmig_session_ops saving_ops = {
	.readv = session_readv,
	.query_precopy = session_query_precopy,
	.close = session_close_saving,
};

int vmig_vuc_saver_new(struct vmig_vuc *v, struct vmig_session_half *ret)
{
	struct saver *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->v = v;
	*ret = (struct vmig_session_half){ &saving_ops, s };
	return 0;
}
