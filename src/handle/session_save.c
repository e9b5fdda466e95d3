/* SPDX-License-Identifier: BSD-3-Clause */
/* Saving: readv over a provider that lends, lend over one that reads, and what a 0 means. */
#include <limits.h>
#include <string.h>

#include "base/io.h"
#include "handle/handle.h"

#define READ "MIG_DATA_READ"

static int check_saving(struct vmig_session *session)
{
	int r = vmig_session_check_alive(session, READ);

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
			return vmig_session_fail(session, (int)got, &error, READ);
		if (got || sure)
			return got;
		r = ask_zero(session, &error);
		if (r < 0)
			return vmig_session_fail(session, r, &error, READ);
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
			return vmig_session_fail(session, (int)got, &error, READ);
		if (got && !vmig_session_pieces_agree(iov, *n, got, max)) {
			session->half.ops->give_back(session->half.s, 0);
			return vmig_device_fault(session->dev, -EIO, READ,
						 "the device lent something else than it said");
		}
		if (got || sure)
			return got;
		r = ask_zero(session, &error);
		if (r < 0)
			return vmig_session_fail(session, r, &error, READ);
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
		r = vmig_session_check_iov(session, iov, n, READ);
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
	r = vmig_session_need_buffer(session, READ);
	if (r < 0)
		return r;
	if (session->start == session->end) {
		struct iovec all = { .iov_base = session->buf, .iov_len = MIN(max, VMIG_SESSION_BUFFER) };

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

bool vmig_session_has_loans(const struct vmig_session *session)
{
	return session->half.ops && session->half.ops->lend;
}

int vmig_session_query_precopy(struct vmig_session *session, struct vmig_precopy *ret)
{
	struct vmig_error error = { 0 };
	int r = vmig_session_check_alive(session, "PRECOPY_INFO");

	if (r < 0)
		return r;
	if (vmig_session_loads(session))
		return vmig_device_fault(session->dev, -EINVAL, "PRECOPY_INFO", "it is a loading session");
	if (!session->half.ops->query_precopy || !(session->dev->info.has & VMIG_HAS_PRECOPY_INFO))
		return vmig_device_fault(session->dev, -EOPNOTSUPP, "PRECOPY_INFO",
					 "the device does not offer it");
	r = session->half.ops->query_precopy(session->half.s, ret, &error);
	return r < 0 ? vmig_session_fail(session, r, &error, "PRECOPY_INFO") : 0;
}
