/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Loading over vfio-user. MIG_DATA_WRITEs are sent without waiting for their replies; an error shows in a
 * later call. Data that was refused is never followed by a transition: some devices count the refused bytes
 * as loaded.
 */
#include <string.h>

#include "user/vfio_user_data.h"

#define WRITE "MIG_DATA_WRITE"

struct vmig_vuc_loader {
	struct vmig_vuc *v;
	struct vmig_vuc_ring ring; /* under v->data_lock, as all that follows */
};

/* Wait for the oldest message's reply. The first error that is met is the load's. */
static void settle_one(struct vmig_vuc_loader *s)
{
	struct vmig_vuc_slot *slot = vmig_vuc_ring_take(&s->ring);
	int r = vmig_vuc_wait_for(s->v, &slot->call);

	if (r < 0 && !s->v->load_error) {
		s->v->load_error = r;
		vmig_vuc_call_fault(s->v, &slot->call, &s->v->load_fault);
	}
	vmig_vuc_slot_free(slot);
}

static int settle(struct vmig_vuc_loader *s, uint32_t most)
{
	while (s->ring.n > most)
		settle_one(s);
	return s->v->load_error;
}

static int load_fault(struct vmig_vuc *v, struct vmig_error *error)
{
	if (v->load_error && error)
		*error = v->load_fault;
	return v->load_error;
}

static int write_one(struct vmig_vuc_loader *s, const struct iovec *iov, int n, struct vmig_error *error)
{
	uint32_t size = (uint32_t)vmig_iov_len(iov, n);
	struct vmig_vuc_slot *slot;

	if (settle(s, s->v->depth - 1) < 0)
		return load_fault(s->v, error);
	slot = vmig_vuc_slot_new(VMIG_VU_MIG_DATA_WRITE, size);
	if (!slot)
		return vmig_fault(error, -ENOMEM, WRITE, "no memory");
	slot->call.data = iov;
	slot->call.n_data = n;
	vmig_vuc_ring_add(&s->ring, slot);
	vmig_vuc_start(s->v, &slot->call);
	slot->call.data = NULL;
	/* Errors that have come already are told now. */
	while (s->ring.n && vmig_vuc_is_done(s->v, &vmig_vuc_ring_oldest(&s->ring)->call))
		settle_one(s);
	return load_fault(s->v, error);
}

/* The next message's pieces, of at most @most bytes. */
static int next_pieces(const struct iovec *iov, int n, uint32_t most, struct iovec *ret)
{
	n = vmig_vuc_pick_pieces(iov, n, ret);
	return vmig_iov_cut(ret, n, most);
}

static int session_writev(void *p, const struct iovec *all, int n_all, struct vmig_error *error)
{
	struct vmig_vuc_loader *s = p;
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
	struct vmig_vuc_loader *s = p;
	int r;

	pthread_mutex_lock(&s->v->data_lock);
	settle(s, 0);
	r = load_fault(s->v, error);
	pthread_mutex_unlock(&s->v->data_lock);
	return r;
}

static void session_close_loading(void *p)
{
	struct vmig_vuc_loader *s = p;
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

int vmig_vuc_loader_new(struct vmig_vuc *v, struct vmig_session_half *ret)
{
	struct vmig_vuc_loader *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->v = v;
	pthread_mutex_lock(&v->data_lock);
	v->loader = s;
	pthread_mutex_unlock(&v->data_lock);
	*ret = (struct vmig_session_half){ &loading_ops, s };
	return 0;
}
