/* SPDX-License-Identifier: BSD-3-Clause */
#include "peer.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define REPLY 1u
#define ERROR (1u << 5)

/* --- bytes -------------------------------------------------------------------------------- */

static bool send_piece(int fd, const uint8_t *bytes, size_t len, const int *fds, int n_fds)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * PEER_FDS)] = { 0 };
	struct iovec iov = { (void *)(uintptr_t)bytes, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds) {
		struct cmsghdr *c;

		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE((size_t)n_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN((size_t)n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, (size_t)n_fds * sizeof(int));
	}
	while (iov.iov_len) {
		ssize_t n = sendmsg(fd, &msg, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false; /* the client has gone, as it may */
		iov.iov_base = (uint8_t *)iov.iov_base + n;
		iov.iov_len -= (size_t)n;
		msg.msg_control = NULL;
		msg.msg_controllen = 0;
	}
	return true;
}

static void send_to(struct peer *p, int fd, const void *bytes, size_t len, const int *fds, int n_fds)
{
	const uint8_t *at = bytes;

	while (len) {
		size_t part = len;

		/* Mostly small pieces, sometimes all of it. */
		if (p->segments && rand_r(&p->segments) % 8)
			part = 1 + (size_t)rand_r(&p->segments) % (len < 64 ? len : 64);
		if (!send_piece(fd, at, part, fds, n_fds))
			return;
		n_fds = 0;
		at += part;
		len -= part;
	}
}

void peer_send(struct peer *p, const void *bytes, size_t len, const int *fds, int n_fds)
{
	send_to(p, p->fd, bytes, len, fds, n_fds);
}

static void message_to(struct peer *p, int fd, const uint32_t head[4], const void *body, size_t len,
		       const int *fds, int n_fds)
{
	uint8_t *bytes = malloc(PEER_HEADER + len);

	for (int i = 0; i < 4; i++)
		peer_put32(bytes + 4 * i, head[i]);
	if (len)
		memcpy(bytes + PEER_HEADER, body, len);
	send_to(p, fd, bytes, PEER_HEADER + len, fds, n_fds);
	free(bytes);
}

void peer_message(struct peer *p, uint16_t id, uint16_t command, uint32_t flags, uint32_t error,
		  const void *body, size_t len, const int *fds, int n_fds)
{
	uint32_t head[] = { id | (uint32_t)command << 16, (uint32_t)(PEER_HEADER + len), flags, error };

	message_to(p, p->fd, head, body, len, fds, n_fds);
}

void peer_reply(struct peer *p, const struct peer_msg *m, const void *body, size_t len)
{
	peer_message(p, m->id, m->command, REPLY, 0, body, len, NULL, 0);
}

void peer_error(struct peer *p, const struct peer_msg *m, int error)
{
	peer_message(p, m->id, m->command, REPLY | ERROR, (uint32_t)error, NULL, 0, NULL, 0);
}

static bool receive(int fd, uint8_t *buf, size_t len, struct peer_msg *m)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * PEER_FDS)];

	while (len) {
		struct iovec iov = { buf, len };
		struct msghdr msg = { .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = control,
				      .msg_controllen = sizeof(control) };
		ssize_t n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
			size_t bytes = c->cmsg_len - CMSG_LEN(0);

			memcpy(m->fds + m->n_fds, CMSG_DATA(c), bytes);
			m->n_fds += (int)(bytes / sizeof(int));
		}
		buf += n;
		len -= (size_t)n;
	}
	return true;
}

static void free_msg(struct peer_msg *m)
{
	for (int i = 0; i < m->n_fds; i++)
		if (m->fds[i] >= 0)
			close(m->fds[i]);
	free(m->body);
	free(m);
}

static struct peer_msg *receive_msg(int fd)
{
	struct peer_msg *m = calloc(1, sizeof(*m));
	uint8_t head[PEER_HEADER];

	if (receive(fd, head, sizeof(head), m)) {
		m->id = (uint16_t)peer_u32(head);
		m->command = (uint16_t)(peer_u32(head) >> 16);
		m->size = peer_u32(head + 4);
		m->flags = peer_u32(head + 8);
		m->error = peer_u32(head + 12);
		m->len = m->size - PEER_HEADER;
		m->body = calloc(1, m->len + 64); /* so that no short one is read out of bounds */
		if (receive(fd, m->body, m->len, m))
			return m;
	}
	free_msg(m);
	return NULL;
}

/* --- ordinary answers --------------------------------------------------------------------- */

static void answer_version(struct peer *p, struct peer_msg *m)
{
	const char *caps =
		p->caps ? p->caps : "{\"capabilities\":{\"max_msg_fds\":8,\"max_data_xfer_size\":1048576}}";
	uint8_t body[4096] = { 0 };
	size_t len = strlen(caps) + 1;
	bool twin = strstr(caps, "fd_index");

	memcpy(body + 4, caps, len);
	if (twin) {
		int pair[2];

		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		p->twin_fd = pair[0];
		peer_message(p, m->id, m->command, REPLY, 0, body, 4 + len, &pair[1], 1);
		close(pair[1]);
		return;
	}
	peer_reply(p, m, body, 4 + len);
}

static void answer_feature(struct peer *p, struct peer_msg *m)
{
	uint32_t flags = peer_u32(m->body + 4), feature = flags & 0xffff;
	bool get = flags & 1u << 16, known = feature <= 2 || (feature >= 6 && feature <= 9);
	uint8_t body[32] = { 0 };

	memcpy(body + 4, m->body + 4, 4);
	if (!p->migration_flags || !known) {
		peer_error(p, m, EINVAL);
	} else if (flags & 1u << 18) {
		peer_reply(p, m, m->body, m->len);
	} else if (feature == 1 || feature == 9) {
		peer_put32(body, 16);
		peer_put64(body + 8, feature == 1 ? p->migration_flags : p->data_len);
		peer_reply(p, m, body, 16);
	} else if (feature == 2 && get) {
		peer_put32(body, 16);
		peer_put32(body + 8, p->state);
		peer_reply(p, m, body, 16);
	} else if (feature == 2) {
		p->state = peer_u32(m->body + 8);
		p->data_at = 0;
		peer_reply(p, m, m->body, m->len);
	} else if (feature == 8) {
		uint64_t pages = peer_u64(m->body + 16) / peer_u64(m->body + 24);
		size_t len = (pages + 63) / 64 * 8;
		uint8_t *report = calloc(1, 32 + len);

		memcpy(report, m->body, 32);
		memset(report + 32, 0xa5, len);
		peer_reply(p, m, report, 32 + len);
		free(report);
	} else {
		if (feature == 6)
			p->log_page_size = peer_u64(m->body + 8);
		peer_reply(p, m, m->body, m->len);
	}
}

static void answer_region(struct peer *p, struct peer_msg *m)
{
	uint64_t offset = peer_u64(m->body);
	uint32_t region = peer_u32(m->body + 8), count = peer_u32(m->body + 12);
	uint8_t *at = region == 7 ? p->config : p->bar, *body;
	size_t size = region == 7 ? sizeof(p->config) : sizeof(p->bar);

	if ((region != 0 && region != 7) || offset + count > size) {
		peer_error(p, m, EINVAL);
		return;
	}
	if (m->command == PEER_REGION_WRITE) {
		memcpy(at + offset, m->body + 16, count);
		peer_reply(p, m, m->body, 16);
		return;
	}
	body = malloc(16 + count);
	memcpy(body, m->body, 16);
	memcpy(body + 16, at + offset, count);
	peer_reply(p, m, body, 16 + count);
	free(body);
}

static void answer_region_info(struct peer *p, struct peer_msg *m)
{
	uint32_t index = peer_u32(m->body + 8);
	uint8_t body[32] = { 0 };

	peer_put32(body, 32);
	peer_put32(body + 8, index);
	if (index == 0 || index == 7) {
		peer_put32(body + 4, 3);
		peer_put64(body + 16, index ? sizeof(p->config) : sizeof(p->bar));
	}
	peer_reply(p, m, body, sizeof(body));
}

static void answer_irqs(struct peer *p, struct peer_msg *m)
{
	uint8_t body[16] = { 0 };

	if (m->command == PEER_SET_IRQS) {
		uint32_t *call = p->irq_calls[p->n_irq_calls++ % 8];

		call[0] = peer_u32(m->body + 12);
		call[1] = peer_u32(m->body + 16);
		call[2] = (uint32_t)m->n_fds;
		peer_reply(p, m, NULL, 0);
		return;
	}
	peer_put32(body, 16);
	peer_put32(body + 4, 1);
	memcpy(body + 8, m->body + 8, 4);
	peer_put32(body + 12, 2048);
	peer_reply(p, m, body, sizeof(body));
}

static void answer_data(struct peer *p, struct peer_msg *m)
{
	uint32_t size = peer_u32(m->body + 4);
	size_t part = p->data_len - p->data_at;
	uint8_t *body;

	if (m->command == PEER_DATA_WRITE) {
		if (p->max_body && m->len > p->max_body) {
			peer_error(p, m, E2BIG);
			return;
		}
		p->loaded = realloc(p->loaded, p->loaded_len + size);
		memcpy(p->loaded + p->loaded_len, m->body + 8, size);
		p->loaded_len += size;
		peer_reply(p, m, NULL, 0);
		return;
	}
	if (part > size)
		part = size;
	body = malloc(8 + size);
	memset(body, 0xee, 8 + size);
	if (part)
		memcpy(body + 8, p->data + p->data_at, part);
	p->data_at += part;
	peer_put32(body, (uint32_t)(8 + part));
	peer_put32(body + 4, (uint32_t)part);
	peer_reply(p, m, body, 8 + (p->pad ? size : part));
	free(body);
}

static void answer_info(struct peer *p, struct peer_msg *m)
{
	uint8_t body[64] = { 0 };
	const char *identity = "test:peer";

	switch (m->command) {
	case PEER_GET_INFO:
		peer_put32(body, 16);
		peer_put32(body + 4, 3);
		peer_put32(body + 8, 9);
		peer_put32(body + 12, 5);
		peer_reply(p, m, body, 16);
		break;
	case PEER_PRECOPY_INFO:
		peer_put32(body, 24);
		peer_put64(body + 8, 1000);
		peer_put64(body + 16, p->data_len - p->data_at);
		peer_reply(p, m, body, 24);
		break;
	case PEER_IDENTITY:
		peer_put32(body, 16 + (uint32_t)strlen(identity) + 1);
		peer_put32(body + 4, p->identity_traits);
		peer_put64(body + 8, 0xf);
		memcpy(body + 16, identity, strlen(identity) + 1);
		peer_reply(p, m, body, 16 + strlen(identity) + 1);
		break;
	default:
		peer_error(p, m, ENOTSUP);
	}
}

void peer_answer(struct peer *p, struct peer_msg *m)
{
	switch (m->command) {
	case PEER_VERSION:
		answer_version(p, m);
		break;
	case PEER_FEATURE:
		answer_feature(p, m);
		break;
	case PEER_REGION_READ:
	case PEER_REGION_WRITE:
		answer_region(p, m);
		break;
	case PEER_REGION_INFO:
		answer_region_info(p, m);
		break;
	case PEER_IRQ_INFO:
	case PEER_SET_IRQS:
		answer_irqs(p, m);
		break;
	case PEER_DATA_READ:
	case PEER_DATA_WRITE:
		answer_data(p, m);
		break;
	case PEER_DMA_MAP:
	case PEER_RESET:
		if (m->command == PEER_RESET && !p->reset_keeps)
			p->state = 2;
		p->maps += m->command == PEER_DMA_MAP;
		peer_reply(p, m, NULL, 0);
		break;
	case PEER_DMA_UNMAP:
		p->maps--;
		peer_reply(p, m, m->body, m->len);
		break;
	default:
		answer_info(p, m);
	}
}

/* --- DMA ---------------------------------------------------------------------------------- */

/* The reply to @id; commands that come before it wait until this one is done. */
static struct peer_msg *wait_reply(struct peer *p, int fd, uint16_t id)
{
	for (;;) {
		struct peer_msg *m = receive_msg(fd), **tail = &p->pending;

		if (!m || ((m->flags & 15) == REPLY && m->id == id))
			return m;
		ck_assert_uint_eq(m->flags & 15, 0);
		while (*tail)
			tail = &(*tail)->next;
		*tail = m;
	}
}

static int dma_fd(const struct peer *p)
{
	return p->twin_fd >= 0 ? p->twin_fd : p->fd;
}

uint16_t peer_dma_start(struct peer *p, bool write, uint64_t address, const void *buf, uint64_t len)
{
	uint16_t id = p->next_id++;
	size_t payload = 16 + (write ? (size_t)len : 0);
	uint8_t *body = malloc(payload);
	uint32_t head[] = { id | (uint32_t)(write ? PEER_DMA_WRITE : PEER_DMA_READ) << 16,
			    (uint32_t)(PEER_HEADER + payload), 0, 0 };

	peer_put64(body, address);
	peer_put64(body + 8, len);
	if (write)
		memcpy(body + 16, buf, (size_t)len);
	message_to(p, dma_fd(p), head, body, payload, NULL, 0);
	free(body);
	return id;
}

int peer_dma_finish(struct peer *p, uint16_t id, bool write, uint64_t address, void *buf, uint64_t len)
{
	struct peer_msg *reply = wait_reply(p, dma_fd(p), id);
	int r;

	if (!reply)
		return ECONNRESET;
	r = reply->flags & ERROR ? (int)reply->error : 0;
	if (!r) {
		ck_assert_uint_eq(reply->command, write ? PEER_DMA_WRITE : PEER_DMA_READ);
		ck_assert_uint_eq(reply->len, write ? 16 : 16 + len);
		ck_assert_uint_eq(peer_u64(reply->body), address);
		if (!write)
			memcpy(buf, reply->body + 16, (size_t)len);
	}
	free_msg(reply);
	return r;
}

int peer_dma(struct peer *p, bool write, uint64_t address, void *buf, uint64_t len)
{
	return peer_dma_finish(p, peer_dma_start(p, write, address, buf, len), write, address, buf, len);
}

/* --- life --------------------------------------------------------------------------------- */

static struct peer_msg *next_msg(struct peer *p)
{
	struct peer_msg *m = p->pending;

	if (!m)
		return receive_msg(p->fd);
	p->pending = m->next;
	return m;
}

static void *run(void *opaque)
{
	struct peer *p = opaque;
	struct peer_msg *m;

	while ((m = next_msg(p))) {
		p->seen[m->command < PEER_OF_OURS ? m->command : PEER_OF_OURS]++;
		p->fds_seen += (unsigned int)m->n_fds;
		if (!p->hook || !p->hook(p, m))
			peer_answer(p, m);
		free_msg(m);
	}
	return NULL;
}

void peer_init(struct peer *p)
{
	int pair[2];

	memset(p, 0, sizeof(*p));
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	p->fd = pair[0];
	p->client_fd = pair[1];
	p->twin_fd = -1;
	p->state = VMIG_STATE_RUNNING;
	p->config[0] = 0x36;
	p->config[1] = 0x1b;
	p->config[2] = 0x01;
	p->config[3] = 0x0f;
	p->config[0x2c] = 0xf4;
	p->config[0x2d] = 0x1a;
}

void peer_start(struct peer *p)
{
	p->started = true;
	ck_assert_int_eq(pthread_create(&p->thread, NULL, run, p), 0);
}

struct vmig_device *peer_open(struct peer *p, const struct vmig_vfio_user_config *config)
{
	struct vmig_device *dev = NULL;
	struct vmig_error error = { 0 };
	int r;

	peer_start(p);
	r = vmig_open_vfio_user_fd(p->client_fd, config, &dev, &error);
	ck_assert_msg(!r, "open: %d: %s: %s", r, error.where, error.text);
	return dev;
}

int peer_open_fails(struct peer *p, const struct vmig_vfio_user_config *config, struct vmig_error *error)
{
	struct vmig_device *dev = NULL;
	int r;

	peer_start(p);
	r = vmig_open_vfio_user_fd(p->client_fd, config, &dev, error);
	ck_assert_int_lt(r, 0);
	ck_assert_ptr_null(dev);
	ck_assert_int_eq(error->code, -r);
	ck_assert_str_ne(error->text, "");
	peer_stop(p);
	return r;
}

void peer_stop(struct peer *p)
{
	if (p->started)
		pthread_join(p->thread, NULL);
	while (p->pending) {
		struct peer_msg *m = p->pending;

		p->pending = m->next;
		free_msg(m);
	}
	close(p->fd);
	if (p->twin_fd >= 0)
		close(p->twin_fd);
	free(p->loaded);
}
