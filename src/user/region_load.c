/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Loading: the frames of the stream are taken apart, whatever pieces they come in, and each transaction is given to the
 * device as it was at the source:
 *
 *	a. data_offset    b. the data, from there    c. data_size: they are there; returns when they are consumed
 *
 * A transaction that lies whole in a mapped area is put there as it comes; else it is collected and written at once.
 */
#include <string.h>

#include "user/region.h"
#include "wire/cursor.h"

struct v1_load {
	struct vmig_v1u *v; /* outlives the session: the handle sees to it */
	enum { HEADER, DATA, ENDED, FAILED } at;
	uint8_t header[VMIG_V1U_FRAME];
	size_t n_header;
	uint32_t number; /* of the next transaction */
	uint64_t offset, size, done;
	bool direct;
	uint8_t *buf; /* if it is not */
	size_t room;
};

static int bad(struct vmig_error *error, const char *why)
{
	return vmig_fault(error, -EBADMSG, "v1 stream", "%s", why);
}

/* --- one transaction ---------------------------------------------------------------------- */

static int need_room(struct v1_load *s, struct vmig_error *error)
{
	if (s->room >= s->size)
		return 0;
	free(s->buf);
	s->room = 0;
	s->buf = malloc((size_t)s->size);
	if (!s->buf)
		return vmig_fault(error, -ENOMEM, "v1 data section",
				  "no memory for a transaction of %llu bytes", (unsigned long long)s->size);
	s->room = (size_t)s->size;
	return 0;
}

/* a: from where, and has it room? */
static int begin(struct v1_load *s, struct vmig_error *error)
{
	int r = vmig_v1u_data_offset(s->v, &s->offset, error);

	if (r < 0)
		return r;
	if (s->size > s->v->region.size - s->offset)
		return vmig_fault(error, -EBADMSG, "v1 stream",
				  "a transaction of %llu bytes does not fit the data section of %llu",
				  (unsigned long long)s->size,
				  (unsigned long long)(s->v->region.size - s->offset));
	s->direct = vmig_v1u_section_is_direct(s->v, s->offset, s->size);
	s->done = 0;
	s->at = DATA;
	return s->direct ? 0 : need_room(s, error);
}

static int parse(struct v1_load *s, struct vmig_error *error)
{
	struct vmig_cursor c = vmig_cursor_over(s->header, sizeof(s->header));
	uint32_t magic = vmig_cursor_u32(&c), number = vmig_cursor_u32(&c);

	s->size = vmig_cursor_u64(&c);
	s->n_header = 0;
	if (magic != VMIG_V1U_MAGIC)
		return bad(error,
			   "it is not the stream of a v1 device, or it is damaged: a frame has no magic");
	if (number != s->number)
		return bad(error, "a transaction is lost, doubled, or out of order");
	s->number++;
	if (!s->size) {
		s->at = ENDED;
		atomic_store(&s->v->load, VMIG_V1U_WHOLE);
		return 0;
	}
	if (s->size > VMIG_LIMIT_V1_TRANSACTION)
		return bad(error, "a transaction is longer than 1 GiB");
	return begin(s, error);
}

static int put(struct v1_load *s, const uint8_t *data, size_t len, struct vmig_error *error)
{
	int r = 0;

	if (s->direct)
		r = vmig_v1u_section_write(s->v, s->offset + s->done, data, len, error);
	else if (len == s->size) /* all of it is here: no need to collect */
		r = vmig_v1u_section_write(s->v, s->offset, data, len, error);
	else
		memcpy(s->buf + s->done, data, len);
	if (r < 0)
		return r;
	s->done += len;
	if (s->done < s->size)
		return 0;
	if (!s->direct && len != s->size)
		r = vmig_v1u_section_write(s->v, s->offset, s->buf, (size_t)s->size, error);
	if (!r)
		r = vmig_v1u_write(s->v, VMIG_V1U_DATA_SIZE, s->size, error);
	s->at = HEADER;
	return r;
}

/* --- the session -------------------------------------------------------------------------- */

/* Some bytes, from the first on: how many were taken, or an error. */
static ssize_t take(struct v1_load *s, const uint8_t *data, size_t len, struct vmig_error *error)
{
	size_t part;
	int r = 0;

	if (s->at == ENDED)
		return bad(error, "something follows the end of the stream");
	if (s->at == DATA) {
		part = (size_t)MIN(len, s->size - s->done);
		r = put(s, data, part, error);
	} else {
		part = MIN(len, sizeof(s->header) - s->n_header);
		memcpy(s->header + s->n_header, data, part);
		s->n_header += part;
		if (s->n_header == sizeof(s->header))
			r = parse(s, error);
	}
	return r < 0 ? r : (ssize_t)part;
}

static int take_all(struct v1_load *s, const struct iovec *iov, struct vmig_error *error)
{
	const uint8_t *data = iov->iov_base;

	for (size_t done = 0; done < iov->iov_len;) {
		ssize_t n = take(s, data + done, iov->iov_len - done, error);

		if (n < 0)
			return (int)n;
		done += (size_t)n;
	}
	return 0;
}

/* Under the lock. */
static int load(struct v1_load *s, const struct iovec *iov, int n, struct vmig_error *error)
{
	int r = 0;

	if (s->v->session != s)
		return vmig_fault(error, -ENODEV, "v1 device_state", "the device has left RESUMING");
	if (s->at == FAILED)
		return vmig_fault(error, -EIO, "v1 stream", "an earlier transaction has failed");
	if (atomic_load(&s->v->load) == VMIG_V1U_NOTHING)
		atomic_store(&s->v->load, VMIG_V1U_PART);
	for (int i = 0; i < n && !r; i++)
		r = take_all(s, &iov[i], error);
	if (r < 0) {
		s->at = FAILED;
		atomic_store(&s->v->load, VMIG_V1U_BROKEN);
	}
	return r;
}

static int load_writev(void *opaque, const struct iovec *iov, int n, struct vmig_error *error)
{
	struct v1_load *s = opaque;
	int r;

	pthread_mutex_lock(&s->v->lock);
	r = load(s, iov, n, error);
	pthread_mutex_unlock(&s->v->lock);
	return r;
}

static void load_close(void *opaque)
{
	struct v1_load *s = opaque;

	pthread_mutex_lock(&s->v->lock);
	if (s->v->session == s)
		s->v->session = NULL;
	pthread_mutex_unlock(&s->v->lock);
	free(s->buf);
	free(s);
}

static const struct vmig_session_ops load_ops = {
	.writev = load_writev,
	.close = load_close,
};

int vmig_v1u_load_new(struct vmig_v1u *v, struct vmig_session_half *ret)
{
	struct v1_load *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->v = v;
	*ret = (struct vmig_session_half){ .ops = &load_ops, .s = s };
	return 0;
}
