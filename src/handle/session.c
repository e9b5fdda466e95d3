/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A session: the caller's object over the provider's half, its life, and the adapters between the two
 * ways of saving and of loading.
 */
#include <limits.h>
#include <string.h>

#include "base/io.h"
#include "fsm/fsm.h"
#include "handle/handle.h"

/* The one buffer between a side that copies and one that does not; allocated when first needed. */
#define SESSION_BUFFER (512u << 10)

#define READ "MIG_DATA_READ"
#define WRITE "MIG_DATA_WRITE"

struct vmig_session {
	struct vmig_device *dev;
	struct vmig_session *next; /* under dev->lock */
	struct vmig_session_half
		half;      /* ops NULL: the device is closed; under dev->lock while that may happen */
	atomic_bool ended; /* set by the thread that changes the state */

	/* Only the thread that uses the session looks at these. */
	bool loan_out, room_out;
	size_t loan, room;
	char *buf;
	size_t start, end; /* read from the provider, not yet taken */
};

/* --- life --------------------------------------------------------------------------------- */

struct vmig_session *vmig_session_alloc(void)
{
	return calloc(1, sizeof(struct vmig_session));
}

void vmig_session_bind(struct vmig_session *session, struct vmig_device *dev,
		       const struct vmig_session_half *half)
{
	session->dev = dev;
	session->half = *half;
	pthread_mutex_lock(&dev->lock);
	session->next = dev->sessions;
	dev->sessions = session;
	dev->refs++;
	pthread_mutex_unlock(&dev->lock);
}

static bool loads(const struct vmig_session *session)
{
	return session->half.ops->writev || session->half.ops->room;
}

static bool has_place(const struct vmig_session *session, uint32_t state)
{
	return loads(session) ? state == VMIG_STATE_RESUMING : vmig_fsm_saving(state);
}

void vmig_session_end_for(struct vmig_device *dev, uint32_t state)
{
	pthread_mutex_lock(&dev->lock);
	for (struct vmig_session *s = dev->sessions; s; s = s->next)
		if (!has_place(s, state))
			atomic_store(&s->ended, true);
	pthread_mutex_unlock(&dev->lock);
}

/** Close the provider's half, which has its loan back first. */
static void close_half(struct vmig_session *session, const struct vmig_session_half *half)
{
	if (!half->ops)
		return;
	if (session->loan_out && half->ops->give_back)
		half->ops->give_back(half->s, 0);
	if (half->ops->close)
		half->ops->close(half->s);
}

void vmig_session_orphan_all(struct vmig_device *dev)
{
	struct vmig_session *session;

	pthread_mutex_lock(&dev->lock);
	while ((session = dev->sessions)) {
		struct vmig_session_half half = session->half;

		dev->sessions = session->next;
		session->half.ops = NULL;
		atomic_store(&session->ended, true);
		pthread_mutex_unlock(&dev->lock);
		close_half(session, &half);
		pthread_mutex_lock(&dev->lock);
	}
	pthread_mutex_unlock(&dev->lock);
}

void vmig_session_close(struct vmig_session *session)
{
	struct vmig_session_half half;
	struct vmig_session **at;

	if (!session)
		return;
	pthread_mutex_lock(&session->dev->lock);
	half = session->half;
	for (at = &session->dev->sessions; *at; at = &(*at)->next) {
		if (*at == session) {
			*at = session->next;
			break;
		}
	}
	pthread_mutex_unlock(&session->dev->lock);
	close_half(session, &half);
	vmig_device_unref(session->dev);
	free(session->buf);
	free(session);
}

/* --- what all calls do -------------------------------------------------------------------- */

static int fail(struct vmig_session *session, int code, struct vmig_error *error, const char *where)
{
	/* ENOMSG is an answer, not an error. */
	return code == -ENOMSG ? code : vmig_device_keep_error(session->dev, code, error, where);
}

static int check_alive(struct vmig_session *session, const char *where)
{
	if (atomic_load(&session->ended))
		return vmig_device_fault(session->dev, -ENODEV, where, "the session has ended");
	return 0;
}

static int check_iov(struct vmig_session *session, const struct iovec *iov, int n, const char *where)
{
	if (n < 0 || n > IOV_MAX || vmig_iov_len(iov, n) > SSIZE_MAX)
		return vmig_device_fault(session->dev, -EINVAL, where, "%d pieces, or too many bytes", n);
	return 0;
}

static int need_buffer(struct vmig_session *session, const char *where)
{
	if (!session->buf)
		session->buf = malloc(SESSION_BUFFER);
	return session->buf ? 0 : vmig_device_fault(session->dev, -ENOMEM, where, "no memory for a buffer");
}

/** What a provider hands out must be what it says. */
static bool pieces_agree(const struct iovec *iov, int n, ssize_t len, size_t max)
{
	return n > 0 && n <= VMIG_SESSION_IOV_MAX && (size_t)len <= max &&
	       vmig_iov_len(iov, n) == (size_t)len;
}

/* --- saving ------------------------------------------------------------------------------- */

static int check_saving(struct vmig_session *session)
{
	int r = check_alive(session, READ);

	if (r < 0)
		return r;
	if (!session->half.ops->readv && !session->half.ops->lend)
		return vmig_device_fault(session->dev, -EINVAL, READ, "it is a loading session");
	if (session->loan_out)
		return vmig_device_fault(session->dev, -EBUSY, READ, "a loan is out");
	return 0;
}

/*
 * What a 0 means of a provider that says it in PRE_COPY, too. It counts as the end only when it was
 * read after STOP_COPY had been seen: a transition may run beside the read.
 * Returns -ENOMSG: drained; 1: it is STOP_COPY; another error.
 */
static int ask_zero(struct vmig_session *session, struct vmig_error *error)
{
	struct vmig_device *dev = session->dev;
	uint32_t state;
	int r = dev->ops->query_state(dev->p, &state, error);

	if (r < 0)
		return r;
	if (state == VMIG_STATE_PRE_COPY || state == VMIG_STATE_PRE_COPY_P2P)
		return -ENOMSG;
	if (state != VMIG_STATE_STOP_COPY)
		return vmig_fault(error, -ENODEV, READ, "the device has left the saving states");
	return 1;
}

static ssize_t pull(struct vmig_session *session, const struct iovec *iov, int n)
{
	bool asks = session->dev->info.traits & VMIG_TRAIT_ZERO_IS_DRAINED;
	struct vmig_error error;

	for (bool sure = !asks;; sure = true) {
		ssize_t got;
		int r;

		error.code = 0;
		got = session->half.ops->readv(session->half.s, iov, n, &error);
		if (got < 0)
			return fail(session, (int)got, &error, READ);
		if (got || sure)
			return got;
		r = ask_zero(session, &error);
		if (r < 0)
			return fail(session, r, &error, READ);
	}
}

static ssize_t borrow(struct vmig_session *session, size_t max, struct iovec *iov, int *n)
{
	bool asks = session->dev->info.traits & VMIG_TRAIT_ZERO_IS_DRAINED;
	struct vmig_error error;

	for (bool sure = !asks;; sure = true) {
		ssize_t got;
		int r;

		error.code = 0;
		*n = 0;
		got = session->half.ops->lend(session->half.s, max, iov, n, &error);
		if (got < 0)
			return fail(session, (int)got, &error, READ);
		if (got && !pieces_agree(iov, *n, got, max)) {
			session->half.ops->give_back(session->half.s, 0);
			return vmig_device_fault(session->dev, -EIO, READ,
						 "the device lent something else than it said");
		}
		if (got || sure)
			return got;
		r = ask_zero(session, &error);
		if (r < 0)
			return fail(session, r, &error, READ);
	}
}

/** Take from the buffer what an earlier loan left there. */
static size_t take_left(struct vmig_session *session, const struct iovec *iov, int n)
{
	size_t done = vmig_iov_from_buf(iov, n, session->buf + session->start, session->end - session->start);

	session->start += done;
	return done;
}

/** Copy all of @from; @to has room enough. */
static void copy_pieces(const struct iovec *to, const struct iovec *from, int n)
{
	size_t at = 0;

	for (int i = 0; i < n; i++) {
		for (size_t done = 0, part; done < from[i].iov_len; done += part, at += part) {
			while (at == to->iov_len) {
				to++;
				at = 0;
			}
			part = MIN(from[i].iov_len - done, to->iov_len - at);
			memcpy((char *)to->iov_base + at, (const char *)from[i].iov_base + done, part);
		}
	}
}

ssize_t vmig_session_readv(struct vmig_session *session, const struct iovec *iov, int n)
{
	struct iovec lent[VMIG_SESSION_IOV_MAX];
	int r, n_lent;
	ssize_t got;

	r = check_saving(session);
	if (!r)
		r = check_iov(session, iov, n, READ);
	if (r < 0)
		return r;
	if (!vmig_iov_len(iov, n))
		return vmig_device_fault(session->dev, -EINVAL, READ, "there is no room to read into");
	if (session->start < session->end)
		return (ssize_t)take_left(session, iov, n);
	if (session->half.ops->readv)
		return pull(session, iov, n);
	got = borrow(session, vmig_iov_len(iov, n), lent, &n_lent);
	if (got <= 0)
		return got;
	copy_pieces(iov, lent, n_lent);
	session->half.ops->give_back(session->half.s, (size_t)got);
	return got;
}

ssize_t vmig_session_lend(struct vmig_session *session, size_t max, struct iovec *ret_iov, int *ret_n)
{
	ssize_t got;
	int r;

	r = check_saving(session);
	if (r < 0)
		return r;
	if (!max || max > SSIZE_MAX)
		return vmig_device_fault(session->dev, -EINVAL, READ, "a loan of %zu bytes", max);
	if (session->half.ops->lend) {
		got = borrow(session, max, ret_iov, ret_n);
		if (got > 0) {
			session->loan_out = true;
			session->loan = (size_t)got;
		}
		return got;
	}
	r = need_buffer(session, READ);
	if (r < 0)
		return r;
	if (session->start == session->end) {
		struct iovec all = { .iov_base = session->buf, .iov_len = MIN(max, SESSION_BUFFER) };

		got = pull(session, &all, 1);
		if (got <= 0)
			return got;
		session->start = 0;
		session->end = (size_t)got;
	}
	session->loan_out = true;
	session->loan = MIN(max, session->end - session->start);
	*ret_iov = (struct iovec){ .iov_base = session->buf + session->start, .iov_len = session->loan };
	*ret_n = 1;
	return (ssize_t)session->loan;
}

void vmig_session_return(struct vmig_session *session, size_t used)
{
	if (!session->loan_out)
		return;
	used = MIN(used, session->loan);
	session->loan_out = false;
	if (!session->half.ops)
		return;
	if (session->half.ops->lend)
		session->half.ops->give_back(session->half.s, used);
	else
		session->start += used;
}

/* --- loading ------------------------------------------------------------------------------ */

static int check_loading(struct vmig_session *session)
{
	int r = check_alive(session, WRITE);

	if (r < 0)
		return r;
	if (!loads(session))
		return vmig_device_fault(session->dev, -EINVAL, WRITE, "it is a saving session");
	return 0;
}

static int push(struct vmig_session *session, const struct iovec *iov, int n)
{
	struct vmig_error error = { 0 };
	int r = session->half.ops->writev(session->half.s, iov, n, &error);

	return r < 0 ? fail(session, r, &error, WRITE) : 0;
}

static ssize_t ask_room(struct vmig_session *session, size_t want, struct iovec *iov, int *n)
{
	struct vmig_error error = { 0 };
	ssize_t got;

	*n = 0;
	got = session->half.ops->room(session->half.s, want, iov, n, &error);
	if (got < 0)
		return fail(session, (int)got, &error, WRITE);
	if (!got || !pieces_agree(iov, *n, got, want))
		return vmig_device_fault(session->dev, -EIO, WRITE,
					 "the device made no room, or other than it said");
	return got;
}

static int say_filled(struct vmig_session *session, size_t len)
{
	struct vmig_error error = { 0 };
	int r = session->half.ops->filled(session->half.s, len, &error);

	return r < 0 ? fail(session, r, &error, WRITE) : 0;
}

/** writev over a provider that has rooms: piece by piece, each copied once. */
static int fill(struct vmig_session *session, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		struct iovec room[VMIG_SESSION_IOV_MAX];
		ssize_t got;
		int n, r;

		got = ask_room(session, len, room, &n);
		if (got < 0)
			return (int)got;
		vmig_iov_from_buf(room, n, p, (size_t)got);
		r = say_filled(session, (size_t)got);
		if (r < 0)
			return r;
		p += got;
		len -= (size_t)got;
	}
	return 0;
}

int vmig_session_writev(struct vmig_session *session, const struct iovec *iov, int n)
{
	int r = check_loading(session);

	if (!r)
		r = check_iov(session, iov, n, WRITE);
	if (!r && session->room_out)
		r = vmig_device_fault(session->dev, -EBUSY, WRITE, "a room is out");
	if (r < 0 || !vmig_iov_len(iov, n))
		return r;
	if (session->half.ops->writev)
		return push(session, iov, n);
	for (int i = 0; i < n && !r; i++)
		r = fill(session, iov[i].iov_base, iov[i].iov_len);
	return r;
}

ssize_t vmig_session_room(struct vmig_session *session, size_t want, struct iovec *ret_iov, int *ret_n)
{
	ssize_t got;
	int r;

	r = check_loading(session);
	if (r < 0)
		return r;
	if (!want || want > SSIZE_MAX)
		return vmig_device_fault(session->dev, -EINVAL, WRITE, "a room of %zu bytes", want);
	if (session->half.ops->room) {
		got = ask_room(session, want, ret_iov, ret_n);
		if (got < 0)
			return got;
	} else {
		r = need_buffer(session, WRITE);
		if (r < 0)
			return r;
		got = (ssize_t)MIN(want, SESSION_BUFFER);
		*ret_iov = (struct iovec){ .iov_base = session->buf, .iov_len = (size_t)got };
		*ret_n = 1;
	}
	session->room_out = true;
	session->room = (size_t)got;
	return got;
}

int vmig_session_filled(struct vmig_session *session, size_t len)
{
	struct iovec all = { .iov_base = session->buf, .iov_len = len };
	int r = check_loading(session);

	if (r < 0)
		return r;
	if (!session->room_out || len > session->room)
		return vmig_device_fault(session->dev, -EINVAL, WRITE,
					 "%zu bytes were put where there was no room", len);
	session->room_out = false;
	if (session->half.ops->room)
		return say_filled(session, len);
	return len ? push(session, &all, 1) : 0;
}

int vmig_session_flush(struct vmig_session *session)
{
	struct vmig_error error = { 0 };
	int r = check_loading(session);

	if (r < 0 || !session->half.ops->flush)
		return r;
	r = session->half.ops->flush(session->half.s, &error);
	return r < 0 ? fail(session, r, &error, WRITE) : 0;
}

int vmig_session_query_precopy(struct vmig_session *session, struct vmig_precopy *ret)
{
	struct vmig_error error = { 0 };
	int r = check_alive(session, "PRECOPY_INFO");

	if (r < 0)
		return r;
	if (loads(session))
		return vmig_device_fault(session->dev, -EINVAL, "PRECOPY_INFO", "it is a loading session");
	if (!session->half.ops->query_precopy || !(session->dev->info.has & VMIG_HAS_PRECOPY_INFO))
		return vmig_device_fault(session->dev, -EOPNOTSUPP, "PRECOPY_INFO",
					 "the device does not offer it");
	r = session->half.ops->query_precopy(session->half.s, ret, &error);
	return r < 0 ? fail(session, r, &error, "PRECOPY_INFO") : 0;
}
