/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages: sent whole or in odd pieces, received with limits; the server's own commands are answered on the way. */
#include "wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* --- sending -------------------------------------------------------------------------------------- */

void vu_bytes(struct vu_body *b, const void *data, size_t len)
{
	if (len > sizeof(b->at) - b->len)
		abort(); /* a check that is wrong */
	memcpy(b->at + b->len, data, len);
	b->len += len;
}

void vu_16(struct vu_body *b, uint16_t v)
{
	vu_bytes(b, &v, sizeof(v));
}

void vu_32(struct vu_body *b, uint32_t v)
{
	vu_bytes(b, &v, sizeof(v));
}

void vu_64(struct vu_body *b, uint64_t v)
{
	vu_bytes(b, &v, sizeof(v));
}

static void attach(struct msghdr *m, char *control, size_t room, int fd)
{
	struct cmsghdr *h;

	m->msg_control = control;
	m->msg_controllen = room;
	h = CMSG_FIRSTHDR(m);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &fd, sizeof(int));
}

/* Whoever does not read what is sent is waited for as long as for an answer. */
void vu_send_to(struct vu *vu, int to, const void *data, size_t len, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { (void *)(uintptr_t)data, len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct pollfd p = { .fd = to, .events = POLLOUT };

	if (fd > 0)
		attach(&m, control, sizeof(control), fd);
	while (iov.iov_len) {
		ssize_t n = sendmsg(to, &m, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN) {
			if (poll(&p, 1, vu->patience_ms) == 0)
				check_fail(vu->c, "the server takes what is sent",
					   "it does not read for %d ms", vu->patience_ms);
			continue;
		}
		if (n < 0)
			return; /* it has closed: seen when the answer is read */
		iov.iov_base = (char *)iov.iov_base + n;
		iov.iov_len -= (size_t)n;
		m.msg_controllen = 0;
	}
}

void vu_send_raw(struct vu *vu, const void *data, size_t len, int fd)
{
	vu_send_to(vu, vu->fd, data, len, fd);
}

void vu_put_header(uint8_t *to, uint16_t id, uint16_t command, uint32_t size, uint32_t flags)
{
	const uint32_t error = 0;

	memcpy(to, &id, 2);
	memcpy(to + 2, &command, 2);
	memcpy(to + 4, &size, 4);
	memcpy(to + 8, &flags, 4);
	memcpy(to + 12, &error, 4);
}

size_t vu_put(struct vu *vu, uint8_t *to, uint16_t id, uint16_t command, uint32_t flags,
	      const struct vu_body *body)
{
	size_t len = body ? body->len : 0, more = body ? body->data_len : 0;

	(void)vu;
	vu_put_header(to, id, command, (uint32_t)(VU_HEADER + len + more), flags);
	if (len)
		memcpy(to + VU_HEADER, body->at, len);
	if (more)
		memcpy(to + VU_HEADER + len, body->data, more);
	return VU_HEADER + len + more;
}

uint16_t vu_send(struct vu *vu, uint16_t command, uint32_t flags, const struct vu_body *body)
{
	size_t len = VU_HEADER + (body ? body->len + body->data_len : 0);
	uint8_t *all = malloc(len);

	if (!all)
		check_end(vu->c, CHECK_ERROR, "", "no memory");
	vu_put(vu, all, ++vu->id, command, flags, body);
	vu_send_raw(vu, all, len, body ? body->fd : -1);
	free(all);
	return vu->id;
}

void vu_send_header(struct vu *vu, uint16_t command, uint32_t size, uint32_t flags)
{
	uint8_t head[VU_HEADER];

	vu_put_header(head, ++vu->id, command, size, flags);
	vu_send_raw(vu, head, sizeof(head), -1);
}

/* --- receiving ------------------------------------------------------------------------------------ */

static void close_fds(struct vu_message *m)
{
	while (m->n_fds)
		close(m->fds[--m->n_fds]);
	m->fds_lost = false;
}

static void take_fds(struct vu_message *m, struct msghdr *h)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		size_t n = c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS
				   ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int)
				   : 0;

		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (m->n_fds < VU_FDS_MAX)
				m->fds[m->n_fds++] = fd;
			else
				close(fd);
		}
	}
	m->fds_lost |= h->msg_flags & MSG_CTRUNC;
}

/* All @len bytes. False: the end has come before. */
static bool read_all(struct vu *vu, int from, struct vu_message *m, void *to, size_t len)
{
	struct pollfd p = { .fd = from, .events = POLLIN };

	while (len) {
		union {
			char room[CMSG_SPACE(VU_FDS_MAX * sizeof(int))];
			struct cmsghdr align;
		} control;
		struct iovec iov = { to, len };
		struct msghdr h = { .msg_iov = &iov,
				    .msg_iovlen = 1,
				    .msg_control = &control,
				    .msg_controllen = sizeof(control) };
		ssize_t n;

		if (poll(&p, 1, vu->patience_ms) == 0)
			check_fail(vu->c, "an answer comes", "none within %d ms", vu->patience_ms);
		n = recvmsg(from, &h, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			return false;
		take_fds(m, &h);
		to = (char *)to + n;
		len -= (size_t)n;
	}
	return true;
}

static bool read_message(struct vu *vu, int from, struct vu_message *m)
{
	uint8_t head[VU_HEADER];

	close_fds(m);
	m->len = 0;
	if (!read_all(vu, from, m, head, sizeof(head)))
		return false;
	memcpy(&m->id, head, 2);
	memcpy(&m->command, head + 2, 2);
	memcpy(&m->size, head + 4, 4);
	memcpy(&m->flags, head + 8, 4);
	memcpy(&m->error, head + 12, 4);
	if (m->size < VU_HEADER || m->size > VU_BODY_MAX)
		check_fail(vu->c, "Message size contains the size of the entire message",
			   "a message of command %u with a size of %u", m->command, m->size);
	if (m->size - VU_HEADER > m->room) {
		free(m->body);
		m->room = m->size - VU_HEADER;
		m->body = malloc(m->room);
		if (!m->body)
			check_end(vu->c, CHECK_ERROR, "", "no memory");
	}
	m->len = m->size - VU_HEADER;
	return read_all(vu, from, m, m->body, m->len);
}

static void take_command(struct vu *vu, int from, struct vu_message *m)
{
	if (!vu->hold) {
		vu_answer(vu, from, m);
		return;
	}
	vu->n_held++;
	free(vu->held.body);
	vu->held = *m;
	*m = (struct vu_message){ 0 };
}

/* What is ready: 0 nothing within @ms, 1 the main socket, 2 the twin. */
static int ready(struct vu *vu, int ms)
{
	struct pollfd p[2] = { { .fd = vu->fd, .events = POLLIN }, { .fd = vu->twin, .events = POLLIN } };

	if (poll(p, 2, ms) <= 0)
		return 0;
	return p[1].revents ? 2 : 1;
}

/* One message. 1: it is a reply; 0: it was a command; -1: the end. */
static int one(struct vu *vu, int which)
{
	struct vu_message twin = { 0 };

	if (which == 2) {
		if (!read_message(vu, vu->twin, &twin)) {
			vu->twin = -1;
			return 0;
		}
		take_command(vu, vu->twin, &twin);
		free(twin.body);
		return 0;
	}
	if (!read_message(vu, vu->fd, &vu->in)) {
		vu->closed = true;
		return -1;
	}
	if ((vu->in.flags & VU_TYPE) == VU_REPLY)
		return 1;
	if (vu->twin >= 0)
		vu_wrong(vu, "command %u of the server beside the twin socket", vu->in.command);
	take_command(vu, vu->fd, &vu->in);
	return 0;
}

bool vu_receive(struct vu *vu)
{
	for (;;) {
		int which = ready(vu, vu->patience_ms), r;

		if (!which)
			check_fail(vu->c, "an answer comes", "none within %d ms", vu->patience_ms);
		r = one(vu, which);
		if (r)
			return r > 0;
	}
}

bool vu_wait(struct vu *vu, int ms)
{
	uint64_t end = check_now_ns() + (uint64_t)ms * 1000000, now;
	uint8_t head[VU_HEADER];

	while ((now = check_now_ns()) < end && !vu->closed) {
		int which = ready(vu, (int)((end - now) / 1000000) + 1);

		if (!which)
			return false;
		/* A reply is left where it is. */
		if (which == 1 && recv(vu->fd, head, sizeof(head), MSG_PEEK | MSG_DONTWAIT) == sizeof(head) &&
		    (head[8] & VU_TYPE) == VU_REPLY)
			return true;
		(void)one(vu, which);
		if (vu->hold)
			return false;
	}
	return false;
}

int vu_call(struct vu *vu, uint16_t command, const struct vu_body *body)
{
	uint16_t id = vu_send(vu, command, 0, body);

	if (!vu_receive(vu))
		return -ECONNRESET;
	if (vu->in.id != id || vu->in.command != command)
		check_fail(vu->c, "the reply echoes the message ID and the command",
			   "a reply to message %u, command %u, for %u, %u", vu->in.id, vu->in.command, id,
			   command);
	if (!(vu->in.flags & VU_ERROR))
		return 0;
	return vu->in.error && vu->in.error < 4096 ? -(int)vu->in.error : -EREMOTEIO;
}

void vu_must(struct vu *vu, uint16_t command, const struct vu_body *body, const char *what)
{
	int r = vu_call(vu, command, body);

	if (r)
		check_fail(vu->c, what, "%s",
			   r == -ECONNRESET && vu->closed ? "the connection was closed" : strerror(-r));
}

uint32_t vu_u32(struct vu *vu, size_t at)
{
	uint32_t v;

	if (vu->in.len < sizeof(v) || at > vu->in.len - sizeof(v))
		check_fail(vu->c, "the reply is as long as the text has it", "%zu bytes to command %u",
			   vu->in.len, vu->in.command);
	memcpy(&v, vu->in.body + at, sizeof(v));
	return v;
}

uint64_t vu_u64(struct vu *vu, size_t at)
{
	return vu_u32(vu, at) | (uint64_t)vu_u32(vu, at + 4) << 32;
}

void vu_has(struct vu *vu, size_t len, const char *expected)
{
	if (vu->in.len != len)
		check_fail(vu->c, expected, "%zu bytes behind the header of the reply, not %zu", vu->in.len,
			   len);
}
