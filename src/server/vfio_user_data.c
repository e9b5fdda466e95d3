/* SPDX-License-Identifier: BSD-3-Clause */
/* Migration data: from the device's own memory to the socket, and from the socket into it. */
#include <string.h>

#include "base/io.h"
#include "server/vfio_user.h"

/* --- MIG_DATA_READ ------------------------------------------------------------------------------ */

static int reply_data(struct vmig_served *s, struct vmig_slink_msg *m, const struct iovec *iov, int n,
		      size_t len)
{
	struct vmig_vu_mig_data head = { .argsz = (uint32_t)(VMIG_VU_MIG_DATA_SIZE + len),
					 .size = (uint32_t)len };
	uint8_t out[VMIG_VU_MIG_DATA_SIZE];
	struct vmig_cursor o = vmig_cursor_into(out, sizeof(out));

	vmig_vu_mig_data_encode(&o, &head);
	return vmig_served_reply(s, m, out, sizeof(out), iov, n, NULL, 0);
}

/*
 * A short answer means the end (or "drained" in PRE_COPY), so it must not come of a short loan. The first
 * loan is sent as it lies if it is enough; else loans are gathered until there are enough or no more.
 */
static int gather(struct vmig_served *s, struct vmig_slink_msg *m, struct iovec *iov, int n, size_t have,
		  size_t want)
{
	uint8_t *data = vmig_served_data(s, want);
	struct iovec all = { data, 0 };

	if (!data) {
		vmig_session_return(s->session, 0);
		return -ENOMEM;
	}
	for (;;) {
		ssize_t got;

		all.iov_len += vmig_iov_to_buf(iov, n, data + all.iov_len, have);
		vmig_session_return(s->session, have);
		if (all.iov_len == want)
			break;
		got = vmig_session_lend(s->session, want - all.iov_len, iov, &n);
		if (got < 0 && got != -ENOMSG)
			return (int)got;
		if (got <= 0)
			break;
		have = (size_t)got;
	}
	return reply_data(s, m, &all, 1, all.iov_len);
}

int vmig_served_data_read(struct vmig_served *s, struct vmig_slink_msg *m)
{
	struct vmig_cursor c = vmig_cursor_over(m->body, m->body_len);
	struct iovec iov[VMIG_SESSION_IOV_MAX];
	struct vmig_vu_mig_data req;
	ssize_t got;
	int n = 0;
	int r = vmig_vu_mig_data_decode(&c, &m->h, s->link->max, &req);

	if (r < 0)
		return r;
	if (!s->session || req.argsz < VMIG_VU_MIG_DATA_SIZE + (uint64_t)req.size)
		return -EINVAL;
	/* Nobody waits for an answer, so nothing is taken from the stream. */
	if (!req.size || (m->h.flags & VMIG_VU_NO_REPLY))
		return reply_data(s, m, NULL, 0, 0);
	got = vmig_session_lend(s->session, req.size, iov, &n);
	if (!got || got == -ENOMSG)
		return reply_data(s, m, NULL, 0, 0);
	if (got < 0)
		return (int)got;
	if ((size_t)got < req.size)
		return gather(s, m, iov, n, (size_t)got, req.size);
	r = reply_data(s, m, iov, n, (size_t)got);
	vmig_session_return(s->session, (size_t)got);
	return r;
}

/* --- MIG_DATA_WRITE ----------------------------------------------------------------------------- */

/* One room's worth, from the socket to its place. */
static ssize_t fill_room(struct vmig_served *s, struct vmig_slink_msg *m, size_t want)
{
	struct iovec iov[VMIG_SESSION_IOV_MAX];
	int n = 0, r;
	ssize_t len = vmig_session_room(s->session, want, iov, &n);

	if (len <= 0)
		return len ? len : -EIO;
	r = vmig_slink_payload(s->link, m, iov, n, (size_t)len);
	if (r < 0) {
		(void)vmig_session_filled(s->session, 0);
		return r;
	}
	r = vmig_session_filled(s->session, (size_t)len);
	return r < 0 ? r : len;
}

/* Whatever goes wrong, the rest of the payload is skipped by the loop. */
int vmig_served_data_write(struct vmig_served *s, struct vmig_slink_msg *m)
{
	struct vmig_cursor c = vmig_cursor_over(m->body, m->body_len);
	struct vmig_vu_mig_data req;
	int r = vmig_vu_mig_data_decode(&c, &m->h, s->link->max, &req);

	if (r < 0)
		return r;
	if (!s->session || req.size != req.data_len)
		return -EINVAL;
	for (size_t left = req.size; left;) {
		ssize_t len = fill_room(s, m, left);

		if (len < 0)
			return (int)len;
		left -= (size_t)len;
	}
	return vmig_served_reply(s, m, NULL, 0, NULL, 0, NULL, 0);
}

/* --- experimental ------------------------------------------------------------------------------- */

int vmig_served_precopy_info(struct vmig_served *s, struct vmig_slink_msg *m)
{
	struct vmig_cursor c = vmig_cursor_over(m->body, m->body_len);
	uint8_t out[VMIG_VU_PRECOPY_INFO_SIZE];
	struct vmig_cursor o = vmig_cursor_into(out, sizeof(out));
	struct vmig_vu_precopy_info info = { .argsz = sizeof(out) };
	struct vmig_precopy sizes;
	struct vmig_vu_query req;
	int r = vmig_vu_query_decode(&c, &req);

	if (r < 0)
		return r;
	if (req.flags || req.argsz < sizeof(out) || !s->session)
		return -EINVAL;
	r = vmig_session_query_precopy(s->session, &sizes);
	if (r < 0)
		return r;
	info.initial_bytes = sizes.initial_bytes;
	info.dirty_bytes = sizes.dirty_bytes;
	info.flags = s->reinit ? sizes.flags & VMIG_PRECOPY_REINIT : 0;
	vmig_vu_precopy_info_encode(&o, &info);
	return vmig_served_reply_to(s, m, out, &o);
}

int vmig_served_identity(struct vmig_served *s, struct vmig_slink_msg *m)
{
	struct vmig_cursor c = vmig_cursor_over(m->body, m->body_len);
	uint8_t out[VMIG_VU_IDENTITY_SIZE + VMIG_IDENTITY_MAX];
	struct vmig_cursor o = vmig_cursor_into(out, sizeof(out));
	struct vmig_vu_identity id = { .traits = s->info.traits,
				       .has = s->info.has & ~(s->caps.tag ? 0 : VMIG_HAS_TAG) };
	struct vmig_vu_query req;
	int r = vmig_vu_query_decode(&c, &req);

	if (r < 0)
		return r;
	memcpy(id.identity, s->info.identity, sizeof(id.identity));
	id.argsz = (uint32_t)(VMIG_VU_IDENTITY_SIZE + strnlen(id.identity, sizeof(id.identity) - 1) + 1);
	if (req.flags || req.argsz < id.argsz)
		return -EINVAL;
	vmig_vu_identity_encode(&o, &id);
	return vmig_served_reply_to(s, m, out, &o);
}
