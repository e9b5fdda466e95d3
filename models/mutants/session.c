/* SPDX-License-Identifier: BSD-3-Clause */
/* The sessions of a mutant: what passes through them, and what is kept where a rule judges a whole stream. */
#include "rule.h"

/* As large a stream as a rule that judges one is of use for. */
#define KEPT_MAX (64u << 20)

static int keep(struct mutant_bytes *to, const void *data, size_t len)
{
	size_t size = to->size ? to->size : 4096;
	void *grown;

	if (len > KEPT_MAX - to->len)
		return -ENOSPC;
	while (size < to->len + len)
		size *= 2;
	if (size != to->size) {
		grown = realloc(to->data, size);
		if (!grown)
			return -ENOMEM;
		to->data = grown;
		to->size = size;
	}
	memcpy(to->data + to->len, data, len);
	to->len += len;
	return 0;
}

static int told(struct mutant *m, int r, struct vmig_error *error)
{
	if (r < 0)
		vmig_device_query_error(m->inner, error);
	return r;
}

static ssize_t session_readv(void *opaque, const struct iovec *iov, int n, struct vmig_error *error)
{
	struct mutant_session *s = opaque;
	struct mutant *m = s->m;
	ssize_t got = vmig_session_readv(s->inner, iov, 1);

	if (got < 0 && got != -ENOMSG)
		return told(m, (int)got, error);
	if (got > 0 && m->rule->takes && !mutant_in_precopy(m) && keep(&m->saved, iov->iov_base, (size_t)got))
		return -ENOMEM;
	return m->rule->read ? m->rule->read(s, iov->iov_base, got) : got;
}

static struct vmig_session *inner_of(struct mutant_session *s)
{
	return s->inner ? s->inner : s->m->loader;
}

static int session_query_precopy(void *opaque, struct vmig_precopy *ret, struct vmig_error *error)
{
	struct mutant_session *s = opaque;
	int r = vmig_session_query_precopy(inner_of(s), ret);

	if (s->m->rule->precopy)
		r = s->m->rule->precopy(s, r, ret);
	else
		told(s->m, r, error);
	s->both_zero = !r && !ret->initial_bytes && !ret->dirty_bytes;
	s->n_infos += !r;
	return r;
}

static int session_writev(void *opaque, const struct iovec *iov, int n, struct vmig_error *error)
{
	struct mutant_session *s = opaque;
	struct mutant *m = s->m;
	int r = 0;

	for (int i = 0; i < n && !r; i++) {
		if (m->rule->write)
			r = m->rule->write(s, iov[i].iov_len);
		if (!r && m->rule->takes)
			r = keep(&m->loading, iov[i].iov_base, iov[i].iov_len);
		else if (!r)
			r = told(m, vmig_session_writev(s->inner, &iov[i], 1), error);
		m->n_written += iov[i].iov_len;
	}
	return r;
}

static int session_flush(void *opaque, struct vmig_error *error)
{
	struct mutant_session *s = opaque;

	return s->inner ? told(s->m, vmig_session_flush(s->inner), error) : 0;
}

static void session_close(void *opaque)
{
	struct mutant_session *s = opaque;

	vmig_session_close(s->inner);
	free(s);
}

static const struct vmig_session_ops save_ops = {
	.readv = session_readv,
	.query_precopy = session_query_precopy,
	.close = session_close,
};

static const struct vmig_session_ops load_ops = {
	.writev = session_writev,
	.flush = session_flush,
	.query_precopy = session_query_precopy,
	.close = session_close,
};

int mutant_session_start(struct mutant *m, struct vmig_session *inner, bool loads,
			 struct vmig_session_half *ret)
{
	struct mutant_session *s = calloc(1, sizeof(*s));

	if (!s) {
		vmig_session_close(inner);
		return -ENOMEM;
	}
	*s = (struct mutant_session){ .m = m, .inner = inner };
	if (loads && m->rule->takes) {
		/* Whoever closes it before RESUMING is left has written all the same. */
		vmig_session_close(m->loader);
		m->loader = inner;
		s->inner = NULL;
	}
	*ret = (struct vmig_session_half){ loads ? &load_ops : &save_ops, s };
	return 0;
}

/* What was kept. */
static int feed(struct mutant *m)
{
	struct iovec iov = { m->loading.data, m->loading.len };
	int r = iov.iov_len ? vmig_session_writev(m->loader, &iov, 1) : 0;

	return r ? r : vmig_session_flush(m->loader);
}

int mutant_session_loaded(struct mutant *m, uint32_t to)
{
	int r = 0;

	if (m->rule->takes && m->rule->takes(m))
		(void)vmig_device_reset(m->inner);
	else if (m->rule->takes)
		r = feed(m);
	if (!r)
		r = vmig_device_set_state(m->inner, to, VMIG_STATE_NONE, NULL);
	m->loaded = !r;
	if (r && m->rule->not_loaded)
		m->rule->not_loaded(m);
	return r;
}
