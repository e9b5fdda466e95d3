/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The model's data transfer session: what may be done with it in which state, ENOMSG and the end of the
 * stream. A session is alive while it is the model's; all else answers -ENODEV.
 */
#include "device/core.h"

struct vmig_model_session {
	struct vmig_model *model;
	bool loads;
};

struct vmig_model_session *vmig_model_session_new(struct vmig_model *model, bool loads)
{
	struct vmig_model_session *s = calloc(1, sizeof(*s));

	if (s) {
		s->model = model;
		s->loads = loads;
	}
	return s;
}

/** Take the model's lock for a session that is alive. On failure the lock is not held. */
static int enter(struct vmig_model_session *s, const char *where, struct vmig_error *error)
{
	vmig_model_lock(s->model);
	if (s->model->session == s)
		return 0;
	vmig_model_unlock(s->model);
	return vmig_fault(error, -ENODEV, where, "the session has ended");
}

static void leave(struct vmig_model_session *s)
{
	vmig_model_unlock(s->model);
}

static bool in_precopy(struct vmig_model *model)
{
	uint32_t state = atomic_load(&model->state);

	return state == VMIG_STATE_PRE_COPY || state == VMIG_STATE_PRE_COPY_P2P;
}

static void session_close(void *opaque)
{
	struct vmig_model_session *s = opaque;

	vmig_model_lock(s->model);
	if (s->model->session == s)
		s->model->session = NULL;
	vmig_model_unlock(s->model);
	free(s);
}

/* --- saving ------------------------------------------------------------------------------- */

/** What the device's answer to "more data?" means in the state that it is in. */
static ssize_t saved(struct vmig_model_session *s, ssize_t got, struct vmig_error *error)
{
	if (!got && in_precopy(s->model))
		return -ENOMSG;
	if (got < 0)
		return vmig_fault(error, (int)got, "MIG_DATA_READ", "the device failed to save its state");
	return got;
}

static ssize_t save_readv(void *opaque, const struct iovec *iov, int n, struct vmig_error *error)
{
	struct vmig_model_session *s = opaque;
	ssize_t got;
	int r = enter(s, "MIG_DATA_READ", error);

	if (r < 0)
		return r;
	/* One piece a call: a short read means nothing, an error behind good bytes would be lost. */
	while (n > 1 && !iov->iov_len) {
		iov++;
		n--;
	}
	got = s->model->ops.read(s->model->opaque, iov->iov_base, iov->iov_len);
	if (got > 0 && (size_t)got > iov->iov_len)
		got = -EIO;
	got = saved(s, got, error);
	leave(s);
	return got;
}

static ssize_t save_lend(void *opaque, size_t max, struct iovec *ret_iov, int *ret_n,
			 struct vmig_error *error)
{
	struct vmig_model_session *s = opaque;
	ssize_t got;
	int r = enter(s, "MIG_DATA_READ", error);

	if (r < 0)
		return r;
	got = s->model->ops.lend(s->model->opaque, max, ret_iov, ret_n);
	got = saved(s, got, error);
	leave(s);
	return got;
}

static void save_give_back(void *opaque, size_t used)
{
	struct vmig_model_session *s = opaque;

	/* A loan ends with its session. */
	if (enter(s, "MIG_DATA_READ", NULL) < 0)
		return;
	s->model->ops.give_back(s->model->opaque, used);
	leave(s);
}

static int save_query_precopy(void *opaque, struct vmig_precopy *ret, struct vmig_error *error)
{
	struct vmig_model_session *s = opaque;
	int r = enter(s, "PRECOPY_INFO", error);

	if (r < 0)
		return r;
	*ret = (struct vmig_precopy){ 0 };
	if (!in_precopy(s->model))
		r = vmig_fault(error, -EINVAL, "PRECOPY_INFO",
			       "asked in %s, permitted in PRE_COPY states only",
			       vmig_state_name(atomic_load(&s->model->state)));
	else
		r = s->model->ops.precopy_sizes(s->model->opaque, ret);
	leave(s);
	return r < 0 ? r : 0;
}

/* --- loading ------------------------------------------------------------------------------ */

/** As enter(), for bytes that are to be loaded: after a failure no more are taken. */
static int enter_loading(struct vmig_model_session *s, struct vmig_error *error)
{
	int r = enter(s, "MIG_DATA_WRITE", error);

	if (!r && s->model->load_fault) {
		r = vmig_fault(error, s->model->load_fault, "MIG_DATA_WRITE",
			       "an earlier piece was refused: reset the device");
		leave(s);
	}
	return r;
}

static int loaded(struct vmig_model_session *s, int r, struct vmig_error *error)
{
	if (r >= 0)
		return 0;
	s->model->load_fault = r;
	return vmig_fault(error, r, "MIG_DATA_WRITE", "the device refused the data");
}

static int load_writev(void *opaque, const struct iovec *iov, int n, struct vmig_error *error)
{
	struct vmig_model_session *s = opaque;
	int r = enter_loading(s, error);

	if (r < 0)
		return r;
	for (int i = 0; i < n && !r; i++)
		if (iov[i].iov_len)
			r = loaded(s, s->model->ops.write(s->model->opaque, iov[i].iov_base, iov[i].iov_len),
				   error);
	leave(s);
	return r;
}

static ssize_t load_room(void *opaque, size_t want, struct iovec *ret_iov, int *ret_n,
			 struct vmig_error *error)
{
	struct vmig_model_session *s = opaque;
	ssize_t got = enter_loading(s, error);

	if (got < 0)
		return got;
	got = s->model->ops.room(s->model->opaque, want, ret_iov, ret_n);
	if (!got)
		got = -ENOSPC;
	if (got < 0)
		got = loaded(s, (int)got, error);
	leave(s);
	return got;
}

static int load_filled(void *opaque, size_t len, struct vmig_error *error)
{
	struct vmig_model_session *s = opaque;
	int r = enter_loading(s, error);

	if (r < 0)
		return r;
	if (len)
		r = loaded(s, s->model->ops.filled(s->model->opaque, len), error);
	leave(s);
	return r;
}

static int load_query_precopy(void *opaque, struct vmig_precopy *ret, struct vmig_error *error)
{
	return vmig_fault(error, -EINVAL, "PRECOPY_INFO", "it is a loading session");
}

/* --- the four kinds of half --------------------------------------------------------------- */

static const struct vmig_session_ops save_by_read = { .readv = save_readv,
						      .query_precopy = save_query_precopy,
						      .close = session_close };
static const struct vmig_session_ops save_by_lend = { .lend = save_lend,
						      .give_back = save_give_back,
						      .query_precopy = save_query_precopy,
						      .close = session_close };
static const struct vmig_session_ops load_by_write = { .writev = load_writev,
						       .query_precopy = load_query_precopy,
						       .close = session_close };
static const struct vmig_session_ops load_by_room = {
	.room = load_room, .filled = load_filled, .query_precopy = load_query_precopy, .close = session_close
};

struct vmig_session_half vmig_model_session_half(struct vmig_model_session *s)
{
	const struct vmig_model_ops *ops = &s->model->ops;
	struct vmig_session_half half = { .s = s };

	if (s->loads)
		half.ops = ops->room ? &load_by_room : &load_by_write;
	else
		half.ops = ops->lend ? &save_by_lend : &save_by_read;
	return half;
}
