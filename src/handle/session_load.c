/* SPDX-License-Identifier: BSD-3-Clause */
/* Loading: writev over a provider that has rooms, and room over one that is written to. */
#include <limits.h>

#include "base/io.h"
#include "handle/handle.h"

#define WRITE "MIG_DATA_WRITE"

static int check_loading(struct vmig_session *session)
{
	int r = vmig_session_check_alive(session, WRITE);

	if (r < 0)
		return r;
	if (!vmig_session_loads(session))
		return vmig_device_fault(session->dev, -EINVAL, WRITE, "it is a saving session");
	return 0;
}

static int push(struct vmig_session *session, const struct iovec *iov, int n)
{
	struct vmig_error error = { 0 };
	int r = session->half.ops->writev(session->half.s, iov, n, &error);

	return r < 0 ? vmig_session_fail(session, r, &error, WRITE) : 0;
}

static ssize_t ask_room(struct vmig_session *session, size_t want, struct iovec *iov, int *n)
{
	struct vmig_error error = { 0 };
	ssize_t got;

	*n = 0;
	got = session->half.ops->room(session->half.s, want, iov, n, &error);
	if (got < 0)
		return vmig_session_fail(session, (int)got, &error, WRITE);
	if (!got || !vmig_session_pieces_agree(iov, *n, got, want))
		return vmig_device_fault(session->dev, -EIO, WRITE,
					 "the device made no room, or other than it said");
	return got;
}

static int say_filled(struct vmig_session *session, size_t len)
{
	struct vmig_error error = { 0 };
	int r = session->half.ops->filled(session->half.s, len, &error);

	return r < 0 ? vmig_session_fail(session, r, &error, WRITE) : 0;
}

bool vmig_session_has_rooms(const struct vmig_session *session)
{
	return session->half.ops && session->half.ops->room;
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
		r = vmig_session_check_iov(session, iov, n, WRITE);
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
		r = vmig_session_need_buffer(session, WRITE);
		if (r < 0)
			return r;
		got = (ssize_t)MIN(want, VMIG_SESSION_BUFFER);
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
	return r < 0 ? vmig_session_fail(session, r, &error, WRITE) : 0;
}
