/* SPDX-License-Identifier: BSD-3-Clause */
/* From bytes and descriptors, in whatever pieces they come, to whole messages. */
#include <string.h>
#include <sys/socket.h>

#include "base/io.h"
#include "server/vfio_user_link.h"

static void close_fds(int *fds, int n)
{
	for (int i = 0; i < n; i++)
		vmig_closep(&fds[i]);
}

void vmig_slink_msg_free(struct vmig_slink_msg *msg)
{
	if (!msg)
		return;
	close_fds(msg->fds, msg->n_fds);
	free(msg->large);
	free(msg);
}

/* --- descriptors: this file is their one owner until their message is complete ------------------ */

static bool takes_fds(uint16_t command)
{
	return command == VMIG_VU_DMA_MAP || command == VMIG_VU_DEVICE_SET_IRQS;
}

/*
 * To which message belong the descriptors that came with the bytes up to now? The kernel ends a recvmsg
 * behind the piece that carried them, so they were sent with that last piece. If each message was sent
 * by itself, that is the last message here; if several were sent at once, it is one before: then the last
 * one that takes descriptors at all. (Sent at once, and several of them may take some: nobody can tell.)
 */
static uint64_t owner_of_fds(const struct vmig_slink *link)
{
	uint64_t at = link->in_at, owner = at;
	size_t head = link->head, size = link->in_got;
	struct vmig_vu_header h = link->in->h;
	bool known = link->in_has_header, found = false;

	for (;;) {
		struct vmig_cursor c = vmig_cursor_over(link->buf + head, link->tail - head);

		if (!known && (vmig_vu_header_decode(&c, &h) || h.size < VMIG_VU_HEADER_SIZE))
			return at; /* it begins here, and is not known yet */
		if (takes_fds(h.command)) {
			owner = at;
			found = true;
		}
		size = known ? vmig_vu_payload(&h) - size : h.size;
		if (size >= link->tail - head)
			return found ? owner : at;
		at += h.size;
		head += size;
		known = false;
	}
}

static void hold_fd(struct vmig_slink *link, int fd, uint64_t owner)
{
	int n = 0;

	for (int i = 0; i < link->n_held; i++)
		n += link->held[i].owner == owner;
	if (n >= (int)VMIG_LIMIT_MSG_FDS || link->n_held == ARRAY_SIZE(link->held)) {
		vmig_closep(&fd);
		fd = -1;
	}
	if (n <= (int)VMIG_LIMIT_MSG_FDS && link->n_held < (int)ARRAY_SIZE(link->held))
		link->held[link->n_held++] = (struct vmig_slink_held){ .fd = fd, .owner = owner };
}

static void hold_fds(struct vmig_slink *link, struct msghdr *m)
{
	uint64_t owner = owner_of_fds(link);

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			hold_fd(link, fd, owner);
		}
	}
	if (m->msg_flags & MSG_CTRUNC)
		hold_fd(link, -1, owner);
}

static void give_fds(struct vmig_slink *link, struct vmig_slink_msg *msg)
{
	int left = 0;

	msg->n_fds = 0;
	msg->fds_lost = false;
	for (int i = 0; i < link->n_held; i++) {
		if (link->held[i].owner != link->in_at)
			link->held[left++] = link->held[i];
		else if (link->held[i].fd < 0)
			msg->fds_lost = true;
		else
			msg->fds[msg->n_fds++] = link->held[i].fd;
	}
	link->n_held = left;
}

/* --- receiving -------------------------------------------------------------------------------- */

/* How far may be read ahead: not into the data of a large message, which have a place of their own. */
static size_t ahead(const struct vmig_slink *link)
{
	const size_t head = VMIG_VU_HEADER_SIZE + VMIG_VU_MIG_DATA_SIZE;
	size_t have = link->tail - link->head;

	if (!link->bulk)
		return sizeof(link->buf) - have;
	if (link->in_has_header)
		return 0;
	return have < head ? head - have : 0;
}

static ssize_t receive_iov(struct vmig_slink *link, struct iovec *iov, int n, int flags, struct msghdr *ret)
{
	static const struct msghdr none;
	ssize_t got;

	do {
		void *control = ret->msg_control;
		size_t len = ret->msg_controllen;

		*ret = none;
		ret->msg_iov = iov;
		ret->msg_iovlen = (size_t)n;
		ret->msg_control = control;
		ret->msg_controllen = len;
		got = recvmsg(link->fd, ret, flags | MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

static int receive_failed(struct vmig_slink *link, ssize_t got)
{
	bool between = !link->in_has_header && link->head == link->tail;

	if (got == -EAGAIN || got == -EWOULDBLOCK)
		return -EAGAIN;
	if (!got || got == -ECONNRESET || got == -EPIPE)
		return between ? -ENODATA : -ECONNRESET;
	return (int)got;
}

int vmig_slink_receive(struct vmig_slink *link, int flags)
{
	union {
		char room[CMSG_SPACE(VMIG_LIMIT_MSG_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct msghdr m = { .msg_control = &control, .msg_controllen = sizeof(control) };
	struct vmig_slink_msg *in = link->in;
	struct iovec iov[2] = { 0 };
	ssize_t got;
	size_t direct;

	if (link->head) {
		memmove(link->buf, link->buf + link->head, link->tail - link->head);
		link->tail -= link->head;
		link->head = 0;
	}
	if (link->in_has_header)
		iov[0] = (struct iovec){ in->body + link->in_got, in->body_len - link->in_got };
	iov[1] = (struct iovec){ link->buf + link->tail, ahead(link) };
	got = receive_iov(link, iov, 2, flags, &m);
	if (got <= 0)
		return receive_failed(link, got);
	direct = MIN((size_t)got, iov[0].iov_len);
	link->in_got += direct;
	link->buf_at += direct;
	link->tail += (size_t)got - direct;
	if (m.msg_controllen || (m.msg_flags & MSG_CTRUNC))
		hold_fds(link, &m);
	return 0;
}

static int make_body(struct vmig_slink_msg *in, size_t len)
{
	in->body = in->small;
	in->body_len = len;
	if (len <= sizeof(in->small))
		return 0;
	if (len > in->large_size) {
		free(in->large);
		in->large_size = 0;
		in->large = malloc(len);
		if (!in->large)
			return -ENOMEM;
		in->large_size = len;
	}
	in->body = in->large;
	return 0;
}

/* Everything about a message that can be wrong before its payload is known. */
static int check_header(const struct vmig_slink *link, const struct vmig_vu_header *h)
{
	if (link->takes_none && !vmig_vu_is_reply(h))
		return -EPROTO;
	if (!link->versioned && (h->command != VMIG_VU_VERSION || vmig_vu_is_reply(h)))
		return -EPROTO;
	return vmig_vu_header_check(h, link->max);
}

static int parse_header(struct vmig_slink *link, bool whole)
{
	struct vmig_cursor c = vmig_cursor_over(link->buf + link->head, VMIG_VU_HEADER_SIZE);
	struct vmig_slink_msg *in = link->in;
	size_t len;
	int r = vmig_vu_header_decode(&c, &in->h);

	if (!r)
		r = check_header(link, &in->h);
	if (r < 0)
		return r;
	len = vmig_vu_payload(&in->h);
	if (!whole && in->h.command == VMIG_VU_MIG_DATA_WRITE && !vmig_vu_is_reply(&in->h))
		len = vmig_vu_fixed_size(&in->h);
	in->unread = vmig_vu_payload(&in->h) - len;
	in->taken = MIN(len, vmig_vu_fixed_size(&in->h));
	r = make_body(in, len);
	if (r < 0)
		return r;
	link->in_at = link->buf_at;
	link->in_got = 0;
	link->in_has_header = true;
	link->head += VMIG_VU_HEADER_SIZE;
	link->buf_at += VMIG_VU_HEADER_SIZE;
	return 0;
}

/* Take up to @len bytes from what has been read ahead. */
static size_t from_buffer(struct vmig_slink *link, void *to, size_t len)
{
	len = MIN(len, link->tail - link->head);
	memcpy(to, link->buf + link->head, len);
	link->head += len;
	link->buf_at += len;
	return len;
}

int vmig_slink_parse(struct vmig_slink *link, bool whole)
{
	struct vmig_slink_msg *in = link->in;
	int r;

	if (!link->in_has_header) {
		link->in_at = link->buf_at;
		if (link->tail - link->head < VMIG_VU_HEADER_SIZE)
			return 0;
		r = parse_header(link, whole);
		if (r < 0)
			return r;
	}
	if (link->in_got < in->body_len)
		link->in_got += from_buffer(link, in->body + link->in_got, in->body_len - link->in_got);
	if (link->in_got < in->body_len)
		return 0;
	give_fds(link, in);
	link->in_has_header = false;
	link->bulk = in->h.command == VMIG_VU_MIG_DATA_WRITE && in->h.size > sizeof(link->buf) / 4;
	return 1;
}

void vmig_slink_recycle(struct vmig_slink *link, struct vmig_slink_msg *msg)
{
	close_fds(msg->fds, msg->n_fds);
	msg->n_fds = 0;
	vmig_slink_msg_free(atomic_exchange(&link->spare, msg));
}

struct vmig_slink_msg *vmig_slink_take(struct vmig_slink *link)
{
	struct vmig_slink_msg *fresh = atomic_exchange(&link->spare, NULL);
	struct vmig_slink_msg *msg = link->in;

	if (!fresh)
		fresh = calloc(1, sizeof(*fresh));
	if (!fresh)
		return NULL;
	link->in = fresh;
	msg->next = NULL;
	return msg;
}

int vmig_slink_payload(struct vmig_slink *link, struct vmig_slink_msg *msg, struct iovec *iov, int n,
		       size_t len)
{
	struct msghdr m = { 0 };
	ssize_t got;

	n = vmig_iov_cut(iov, n, len);
	got = (ssize_t)vmig_iov_from_buf(iov, n, msg->body + msg->taken, msg->body_len - msg->taken);
	msg->taken += (size_t)got;
	vmig_iov_skip(&iov, &n, (size_t)got);
	got = (ssize_t)vmig_iov_from_buf(iov, n, link->buf + link->head,
					 MIN(msg->unread, link->tail - link->head));
	link->head += (size_t)got;
	for (;;) {
		link->buf_at += (size_t)got;
		msg->unread -= (size_t)got;
		vmig_iov_skip(&iov, &n, (size_t)got);
		if (!n || !msg->unread)
			return 0;
		got = receive_iov(link, iov, n, 0, &m);
		if (got <= 0)
			return got && got != -EPIPE ? (int)got : -ECONNRESET;
	}
}

int vmig_slink_skip(struct vmig_slink *link, struct vmig_slink_msg *msg)
{
	char waste[4096];
	int r = 0;

	msg->taken = msg->body_len;
	while (!r && msg->unread) {
		struct iovec iov = { waste, sizeof(waste) };

		r = vmig_slink_payload(link, msg, &iov, 1, MIN(sizeof(waste), msg->unread));
	}
	return r;
}

void vmig_slink_done(struct vmig_slink *link, struct vmig_slink_msg *msg)
{
	if (link->payload_role) {
		link->payload_role = false;
		vmig_slink_release(link);
	}
	vmig_slink_recycle(link, msg);
}
