/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Migration data over vfio-user. Both directions keep several messages in flight.
 *
 * Saving: in STOP_COPY MIG_DATA_READs are sent ahead, and a reply is received straight into the memory of
 * whoever asks for it next; a reply that nobody has asked for yet stays in the socket, or is parked if
 * another call's reply comes behind it. In PRE_COPY states nothing is asked for ahead: a transition might
 * come between, and what "no more" means would be unknown.
 * Fewer bytes than asked for are the end of the stream in STOP_COPY, and "drained for now" in PRE_COPY.
 *
 * Loading: MIG_DATA_WRITEs are sent without waiting for their replies; an error shows in a later call.
 * Data that was refused is never followed by a transition: some devices count the refused bytes as loaded.
 */
#include <string.h>

#include "fsm/fsm.h"
#include "user/vfio_user.h"

#define READ "MIG_DATA_READ"
#define WRITE "MIG_DATA_WRITE"

/* One message in flight. */
struct slot {
	struct vmig_vuc_call call; /* first: vmig_vuc_abandon() frees it */
	uint8_t out[VMIG_VU_HEADER_SIZE + VMIG_VU_MIG_DATA_SIZE];
	uint8_t in[VMIG_VU_MIG_DATA_SIZE];
	uint32_t asked;
	bool stopped; /* asked for in STOP_COPY */
};

struct vmig_vuc_session {
	struct vmig_vuc *v;
	struct slot *slots[VMIG_VUC_DEPTH_MAX]; /* a ring, oldest first */
	uint32_t first, n;
	/* Saving. */
	bool drained; /* the last read was short: the next one says ENOMSG */
	bool ended;
	int error;
	uint8_t *park; /* what the caller had no room for */
	uint32_t park_at, park_len;
};

static const struct vmig_session_ops saving_ops, loading_ops;

int vmig_vuc_session_new(struct vmig_vuc *v, bool loading, struct vmig_session_half *ret)
{
	struct vmig_vuc_session *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->v = v;
	if (loading) {
		pthread_mutex_lock(&v->data_lock);
		v->loader = s;
		pthread_mutex_unlock(&v->data_lock);
	}
	*ret = (struct vmig_session_half){ loading ? &loading_ops : &saving_ops, s };
	return 0;
}

static struct slot *oldest(struct vmig_vuc_session *s)
{
	return s->slots[s->first];
}

static struct slot *take_oldest(struct vmig_vuc_session *s)
{
	struct slot *slot = oldest(s);

	s->first = (s->first + 1) % VMIG_VUC_DEPTH_MAX;
	s->n--;
	return slot;
}

static void add_slot(struct vmig_vuc_session *s, struct slot *slot)
{
	s->slots[(s->first + s->n) % VMIG_VUC_DEPTH_MAX] = slot;
	s->n++;
}

static void encode(struct slot *slot, uint16_t command, uint32_t argsz, uint32_t size)
{
	struct vmig_vu_mig_data m = { .argsz = argsz, .size = size };
	struct vmig_cursor c = vmig_vuc_request(slot->out, sizeof(slot->out));

	slot->call.command = command;
	vmig_vu_mig_data_encode(&c, &m);
	vmig_vuc_request_end(&slot->call, slot->out, &c);
}

/* --- saving ------------------------------------------------------------------------------- */

static int ask_one(struct vmig_vuc_session *s, uint32_t size, bool stopped)
{
	struct slot *slot = calloc(1, sizeof(*slot));

	if (!slot)
		return -ENOMEM;
	encode(slot, VMIG_VU_MIG_DATA_READ, VMIG_VU_MIG_DATA_SIZE + size, size);
	slot->asked = size;
	slot->stopped = stopped;
	slot->call.fixed = slot->in;
	slot->call.fixed_max = sizeof(slot->in);
	slot->call.data_max = size;
	slot->call.ahead = true;
	add_slot(s, slot);
	vmig_vuc_start(s->v, &slot->call);
	return 0;
}

/* The bytes that one message is to bring, for a caller with room for @room. */
static uint32_t read_size(const struct vmig_vuc *v, size_t room)
{
	return (uint32_t)MIN(room, v->caps.max_data_xfer_size);
}

static int ask_ahead(struct vmig_vuc_session *s, uint32_t size, struct vmig_error *error)
{
	bool stopped = s->v->state == VMIG_STATE_STOP_COPY;
	uint32_t depth = stopped ? s->v->depth : 1;
	int r = 0;

	while (s->n < depth && !r)
		r = ask_one(s, size, stopped);
	return r < 0 && !s->n ? vmig_fault(error, r, READ, "no memory") : 0;
}

/* After the end, only emptiness may follow. */
static int finish(struct vmig_vuc_session *s, struct vmig_error *error)
{
	while (s->n) {
		struct slot *slot = take_oldest(s);
		int r = vmig_vuc_wait_for(s->v, &slot->call);
		struct vmig_vu_mig_data got;
		struct vmig_cursor c = vmig_cursor_over(slot->in, slot->call.fixed_len);
		bool empty = r < 0 || (!vmig_vu_mig_data_decode(&c, &slot->call.reply, slot->asked, &got) &&
				       !got.size);

		if (r < 0 && !slot->call.refused)
			r = vmig_vuc_call_fault(s->v, &slot->call, error);
		else
			r = 0;
		free(slot->call.park);
		free(slot);
		if (r < 0)
			return r;
		if (!empty)
			return vmig_vuc_broken(s->v, error, READ,
					       "data came behind a short read, which is the end");
	}
	return 0;
}

/* What a reply of @size bytes, where more were asked for, says beside its data. */
static int end_of_data(struct vmig_vuc_session *s, const struct slot *slot, struct vmig_error *error)
{
	uint32_t state = s->v->state;
	int r = 0;

	if (slot->stopped) {
		s->ended = true;
		return finish(s, error);
	}
	if (state == VMIG_STATE_NONE)
		r = vmig_vuc_query_state(s->v, &state, error);
	/* It was asked for before STOP_COPY was reached: ask once more. */
	s->drained = state != VMIG_STATE_STOP_COPY;
	return r;
}

/* @got bytes are good, what is behind them is padding. They lie in the caller's memory, or in the slot's park, or both. */
static ssize_t deliver(struct vmig_vuc_session *s, struct slot *slot, uint32_t got, const struct iovec *iov,
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

static ssize_t take_park(struct vmig_vuc_session *s, const struct iovec *iov, int n)
{
	size_t done = vmig_iov_from_buf(iov, n, s->park + s->park_at, s->park_len - s->park_at);

	s->park_at += (uint32_t)done;
	return (ssize_t)done;
}

static void drop_park(struct vmig_vuc_session *s)
{
	free(steal_ptr(s->park));
	s->park_at = s->park_len = 0;
}

/* The oldest slot's reply: its data, or what it says without any. */
static ssize_t read_slot(struct vmig_vuc_session *s, const struct iovec *iov, int n, struct vmig_error *error)
{
	struct iovec direct[VMIG_SESSION_IOV_MAX];
	struct slot *slot = oldest(s);
	struct vmig_vu_mig_data got;
	struct vmig_cursor c;
	ssize_t r;

	memcpy(direct, iov, (size_t)n * sizeof(iov[0]));
	vmig_vuc_attach(s->v, &slot->call, direct, n);
	r = vmig_vuc_wait_for(s->v, &slot->call);
	take_oldest(s);
	c = vmig_cursor_over(slot->in, slot->call.fixed_len);
	if (r == -ENOMSG && slot->call.refused && !slot->stopped) {
		s->drained = true;
		r = 0;
	} else if (r == -ENOMSG && slot->call.refused)
		/* It would be taken for an answer, which it is in PRE_COPY states only. */
		r = vmig_fault(error, -EREMOTEIO, READ, "the server says \"drained\" in STOP_COPY");
	else if (r < 0)
		vmig_vuc_call_fault(s->v, &slot->call, error);
	else if (vmig_vu_mig_data_decode(&c, &slot->call.reply, slot->asked, &got) < 0)
		r = vmig_vuc_broken(s->v, error, READ,
				    "the reply to a request for %u bytes contradicts itself: %u came",
				    slot->asked, slot->call.data_len);
	else {
		if (got.size < slot->asked)
			r = end_of_data(s, slot, error);
		if (!r)
			r = deliver(s, slot, got.size, iov, n);
	}
	free(slot->call.park);
	free(slot);
	return r;
}

/* As many pieces as fit a message, without the empty ones. */
static int pick_pieces(const struct iovec *iov, int n, struct iovec *ret)
{
	int picked = 0;

	for (int i = 0; i < n && picked < VMIG_SESSION_IOV_MAX; i++)
		if (iov[i].iov_len)
			ret[picked++] = iov[i];
	return picked;
}

static ssize_t none_now(struct vmig_vuc_session *s, struct vmig_error *error)
{
	s->drained = false;
	return vmig_fault(error, -ENOMSG, READ, "drained for now");
}

static ssize_t session_readv(void *p, const struct iovec *all, int n_all, struct vmig_error *error)
{
	struct vmig_vuc_session *s = p;
	struct iovec iov[VMIG_SESSION_IOV_MAX];
	int n = pick_pieces(all, n_all, iov);
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
			r = read_slot(s, iov, n, error);
	}
	if (r < 0)
		s->error = (int)r;
	return !r && s->drained ? none_now(s, error) : r;
}

static int session_query_precopy(void *p, struct vmig_precopy *ret, struct vmig_error *error)
{
	struct vmig_vuc_session *s = p;
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
	struct vmig_vuc_session *s = p;

	while (s->n)
		vmig_vuc_abandon(s->v, &take_oldest(s)->call);
	drop_park(s);
	free(s);
}

static const struct vmig_session_ops saving_ops = {
	.readv = session_readv,
	.query_precopy = session_query_precopy,
	.close = session_close_saving,
};

/* --- loading (v->data_lock is held) ------------------------------------------------------- */

/* Wait for the oldest message's reply. The first error that is met is the load's. */
static void settle_one(struct vmig_vuc_session *s)
{
	struct slot *slot = take_oldest(s);
	int r = vmig_vuc_wait_for(s->v, &slot->call);

	if (r < 0 && !s->v->load_error) {
		s->v->load_error = r;
		vmig_vuc_call_fault(s->v, &slot->call, &s->v->load_fault);
	}
	free(slot);
}

static int settle(struct vmig_vuc_session *s, uint32_t most)
{
	while (s->n > most)
		settle_one(s);
	return s->v->load_error;
}

static int load_fault(struct vmig_vuc *v, struct vmig_error *error)
{
	if (v->load_error && error)
		*error = v->load_fault;
	return v->load_error;
}

static int write_one(struct vmig_vuc_session *s, const struct iovec *iov, int n, struct vmig_error *error)
{
	uint32_t size = (uint32_t)vmig_iov_len(iov, n);
	struct slot *slot;

	if (settle(s, s->v->depth - 1) < 0)
		return load_fault(s->v, error);
	slot = calloc(1, sizeof(*slot));
	if (!slot)
		return vmig_fault(error, -ENOMEM, WRITE, "no memory");
	encode(slot, VMIG_VU_MIG_DATA_WRITE, VMIG_VU_MIG_DATA_SIZE + size, size);
	slot->call.fixed = slot->in;
	slot->call.fixed_max = sizeof(slot->in);
	slot->call.data = iov;
	slot->call.n_data = n;
	add_slot(s, slot);
	vmig_vuc_start(s->v, &slot->call);
	slot->call.data = NULL;
	/* Errors that have come already are told now. */
	while (s->n && vmig_vuc_is_done(s->v, &oldest(s)->call))
		settle_one(s);
	return load_fault(s->v, error);
}

/* The next message's pieces, of at most @most bytes. */
static int next_pieces(const struct iovec *iov, int n, uint32_t most, struct iovec *ret)
{
	n = pick_pieces(iov, n, ret);
	return vmig_iov_cut(ret, n, most);
}

static int session_writev(void *p, const struct iovec *all, int n_all, struct vmig_error *error)
{
	struct vmig_vuc_session *s = p;
	struct vmig_vuc *v = s->v;
	uint32_t most =
		v->max_write ? MIN(v->max_write, v->caps.max_data_xfer_size) : v->caps.max_data_xfer_size;
	struct iovec *rest = malloc((size_t)n_all * sizeof(rest[0])), *at = rest;
	struct iovec iov[VMIG_SESSION_IOV_MAX];
	int n = n_all, r;

	if (!rest)
		return vmig_fault(error, -ENOMEM, WRITE, "no memory");
	memcpy(rest, all, (size_t)n_all * sizeof(rest[0]));
	pthread_mutex_lock(&v->data_lock);
	r = load_fault(v, error);
	vmig_iov_skip(&at, &n, 0);
	while (n && !r) {
		int picked = next_pieces(at, n, most, iov);

		r = write_one(s, iov, picked, error);
		vmig_iov_skip(&at, &n, vmig_iov_len(iov, picked));
	}
	pthread_mutex_unlock(&v->data_lock);
	free(rest);
	return r;
}

static int session_flush(void *p, struct vmig_error *error)
{
	struct vmig_vuc_session *s = p;
	int r;

	pthread_mutex_lock(&s->v->data_lock);
	settle(s, 0);
	r = load_fault(s->v, error);
	pthread_mutex_unlock(&s->v->data_lock);
	return r;
}

static void session_close_loading(void *p)
{
	struct vmig_vuc_session *s = p;
	struct vmig_vuc *v = s->v;

	pthread_mutex_lock(&v->data_lock);
	settle(s, 0);
	if (v->loader == s)
		v->loader = NULL;
	pthread_mutex_unlock(&v->data_lock);
	free(s);
}

static const struct vmig_session_ops loading_ops = {
	.writev = session_writev,
	.flush = session_flush,
	.close = session_close_loading,
};

int vmig_vuc_settle_load(struct vmig_vuc *v, struct vmig_error *error)
{
	int r = 0;

	pthread_mutex_lock(&v->data_lock);
	if (v->loader)
		settle(v->loader, 0);
	if (v->load_error)
		r = vmig_fault(error, v->load_error, "SET_STATE",
			       "data was refused while loading, so the device's state is lost until it is "
			       "reset: %.120s",
			       v->load_fault.text);
	pthread_mutex_unlock(&v->data_lock);
	return r;
}

void vmig_vuc_forget_load(struct vmig_vuc *v)
{
	pthread_mutex_lock(&v->data_lock);
	if (v->loader)
		settle(v->loader, 0);
	v->load_error = 0;
	pthread_mutex_unlock(&v->data_lock);
}
