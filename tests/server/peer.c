/* SPDX-License-Identifier: BSD-3-Clause */
#include "peer.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vmig/region.h>

/* --- bytes ------------------------------------------------------------------------------------- */

static void grow(struct bytes *b, size_t len)
{
	if (b->len + len <= b->room)
		return;
	b->room = 2 * (b->len + len);
	b->at = realloc(b->at, b->room);
	ck_assert_ptr_nonnull(b->at);
}

void put(struct bytes *b, const void *data, size_t len)
{
	grow(b, len + 1);
	if (len)
		memcpy(b->at + b->len, data, len);
	b->len += len;
}

void put16(struct bytes *b, uint16_t v)
{
	v = htole16(v);
	put(b, &v, sizeof(v));
}

void put32(struct bytes *b, uint32_t v)
{
	v = htole32(v);
	put(b, &v, sizeof(v));
}

void put64(struct bytes *b, uint64_t v)
{
	v = htole64(v);
	put(b, &v, sizeof(v));
}

void bytes_done(struct bytes *b)
{
	free(b->at);
	*b = (struct bytes){ 0 };
}

/* --- messages ------------------------------------------------------------------------------------ */

void peer_put(struct bytes *b, uint16_t id, uint16_t command, uint32_t flags, const void *body, size_t len)
{
	put16(b, id);
	put16(b, command);
	put32(b, (uint32_t)(16 + len));
	put32(b, flags);
	put32(b, 0);
	put(b, body, len);
}

void peer_send_bytes(int fd, const void *data, size_t len, const int *fds, int n_fds)
{
	char control[CMSG_SPACE(64 * sizeof(int))] = { 0 };
	struct iovec iov = { (void *)(uintptr_t)data, len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds) {
		struct cmsghdr *c;

		m.msg_control = control;
		m.msg_controllen = CMSG_SPACE((size_t)n_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN((size_t)n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, (size_t)n_fds * sizeof(int));
	}
	while (iov.iov_len) {
		ssize_t n = sendmsg(fd, &m, MSG_NOSIGNAL);

		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			return; /* the answer, or the lack of it, will show */
		ck_assert_int_gt(n, 0);
		iov.iov_base = (char *)iov.iov_base + n;
		iov.iov_len -= (size_t)n;
		m.msg_controllen = 0;
	}
}

uint16_t peer_send(struct peer *p, uint16_t command, uint32_t flags, struct bytes *body, const int *fds,
		   int n_fds)
{
	struct bytes all = { 0 };

	peer_put(&all, ++p->id, command, flags, body ? body->at : NULL, body ? body->len : 0);
	peer_send_bytes(p->fd, all.at, all.len, fds, n_fds);
	bytes_done(&all);
	if (body)
		bytes_done(body);
	return p->id;
}

static bool recv_all(struct peer *p, uint8_t *to, size_t len)
{
	while (len) {
		char control[CMSG_SPACE(PEER_FDS * sizeof(int))];
		struct iovec iov = { to, len };
		struct msghdr m = { .msg_iov = &iov,
				    .msg_iovlen = 1,
				    .msg_control = control,
				    .msg_controllen = sizeof(control) };
		ssize_t n = recvmsg(p->fd, &m, MSG_CMSG_CLOEXEC);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
			size_t got = c->cmsg_len - CMSG_LEN(0);

			memcpy(p->in.fds + p->in.n_fds, CMSG_DATA(c), got);
			p->in.n_fds += (int)(got / sizeof(int));
		}
		to += n;
		len -= (size_t)n;
	}
	return true;
}

void peer_close_fds(struct peer *p)
{
	while (p->in.n_fds)
		close(p->in.fds[--p->in.n_fds]);
}

bool peer_recv(struct peer *p)
{
	uint8_t head[16];

	peer_close_fds(p);
	if (!recv_all(p, head, sizeof(head)))
		return false;
	p->in.body.len = 0;
	put(&p->in.body, head, sizeof(head));
	p->in.id = (uint16_t)peer_u32(p, 0);
	p->in.command = (uint16_t)(peer_u32(p, 0) >> 16);
	p->in.size = peer_u32(p, 4);
	p->in.flags = peer_u32(p, 8);
	p->in.error = peer_u32(p, 12);
	ck_assert_uint_ge(p->in.size, 16);
	p->in.body.len = 0;
	grow(&p->in.body, p->in.size);
	p->in.body.len = p->in.size - 16;
	return recv_all(p, p->in.body.at, p->in.body.len);
}

int peer_call_fds(struct peer *p, uint16_t command, struct bytes *body, const int *fds, int n_fds)
{
	uint16_t id = peer_send(p, command, 0, body, fds, n_fds);

	if (!peer_recv(p))
		return -ECONNRESET;
	ck_assert_uint_eq(p->in.id, id);
	ck_assert_uint_eq(p->in.command, command);
	ck_assert_uint_eq(p->in.flags & ~F_ERROR, F_REPLY);
	if (!(p->in.flags & F_ERROR))
		return 0;
	ck_assert_uint_eq(p->in.size, 16);
	ck_assert_uint_ne(p->in.error, 0);
	return -(int)p->in.error;
}

int peer_call(struct peer *p, uint16_t command, struct bytes *body)
{
	return peer_call_fds(p, command, body, NULL, 0);
}

void peer_close(struct peer *p)
{
	peer_close_fds(p);
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	bytes_done(&p->in.body);
}

uint32_t peer_u32(const struct peer *p, size_t at)
{
	uint32_t v;

	ck_assert_uint_le(at + sizeof(v), p->in.body.len);
	memcpy(&v, p->in.body.at + at, sizeof(v));
	return le32toh(v);
}

uint64_t peer_u64(const struct peer *p, size_t at)
{
	return peer_u32(p, at) | (uint64_t)peer_u32(p, at + 4) << 32;
}

/* --- commands ------------------------------------------------------------------------------------ */

int peer_hello(struct peer *p, const char *json)
{
	struct bytes b = { 0 };

	put16(&b, 0);
	put16(&b, 0);
	put(&b, json, strlen(json) + 1);
	return peer_call(p, C_VERSION, &b);
}

int peer_region_read(struct peer *p, uint32_t region, uint64_t offset, void *buf, uint32_t len)
{
	struct bytes b = { 0 };
	int r;

	put64(&b, offset);
	put32(&b, region);
	put32(&b, len);
	r = peer_call(p, C_REGION_READ, &b);
	if (r < 0)
		return r;
	ck_assert_uint_eq(p->in.body.len, 16 + len);
	ck_assert_uint_eq(peer_u64(p, 0), offset);
	ck_assert_uint_eq(peer_u32(p, 8), region);
	ck_assert_uint_eq(peer_u32(p, 12), len);
	memcpy(buf, p->in.body.at + 16, len);
	return 0;
}

int peer_region_write(struct peer *p, uint32_t region, uint64_t offset, const void *buf, uint32_t len)
{
	struct bytes b = { 0 };
	int r;

	put64(&b, offset);
	put32(&b, region);
	put32(&b, len);
	put(&b, buf, len);
	r = peer_call(p, C_REGION_WRITE, &b);
	if (r < 0)
		return r;
	ck_assert_uint_eq(p->in.body.len, 16);
	ck_assert_uint_eq(peer_u32(p, 12), len);
	return 0;
}

int peer_set_register(struct peer *p, uint64_t offset, uint64_t v)
{
	v = htole64(v);
	return peer_region_write(p, TOY_REGISTERS, offset, &v, sizeof(v));
}

uint64_t peer_register(struct peer *p, uint64_t offset)
{
	uint64_t v = 0;

	ck_assert_int_eq(peer_region_read(p, TOY_REGISTERS, offset, &v, sizeof(v)), 0);
	return le64toh(v);
}

int peer_map(struct peer *p, uint32_t flags, uint64_t iova, uint64_t size, int fd, uint64_t offset)
{
	struct bytes b = { 0 };

	put32(&b, 32);
	put32(&b, flags);
	put64(&b, offset);
	put64(&b, iova);
	put64(&b, size);
	return peer_call_fds(p, C_DMA_MAP, &b, &fd, fd >= 0);
}

int peer_unmap(struct peer *p, uint64_t iova, uint64_t size)
{
	struct bytes b = { 0 };

	put32(&b, 24);
	put32(&b, 0);
	put64(&b, iova);
	put64(&b, size);
	return peer_call(p, C_DMA_UNMAP, &b);
}

int peer_feature(struct peer *p, uint32_t argsz, uint32_t flags, struct bytes *extra)
{
	struct bytes b = { 0 };

	put32(&b, argsz);
	put32(&b, flags);
	if (extra) {
		put(&b, extra->at, extra->len);
		bytes_done(extra);
	}
	return peer_call(p, C_FEATURE, &b);
}

int peer_set_state(struct peer *p, uint32_t state)
{
	struct bytes b = { 0 };

	put32(&b, state);
	put32(&b, UINT32_MAX);
	return peer_feature(p, 16, SET | 2, &b);
}

uint32_t peer_state(struct peer *p)
{
	ck_assert_int_eq(peer_feature(p, 16, GET | 2, NULL), 0);
	ck_assert_uint_eq(p->in.body.len, 16);
	return peer_u32(p, 8);
}

int64_t peer_mig_read(struct peer *p, uint32_t size)
{
	struct bytes b = { 0 };
	int r;

	put32(&b, 8 + size);
	put32(&b, size);
	r = peer_call(p, C_MIG_READ, &b);
	if (r < 0)
		return r;
	ck_assert_uint_eq(peer_u32(p, 0), p->in.body.len);
	ck_assert_uint_eq(peer_u32(p, 4), p->in.body.len - 8);
	ck_assert_uint_le(peer_u32(p, 4), size);
	return peer_u32(p, 4);
}

int peer_mig_write(struct peer *p, const void *data, uint32_t size)
{
	struct bytes b = { 0 };
	int r;

	put32(&b, 8 + size);
	put32(&b, size);
	put(&b, data, size);
	r = peer_call(p, C_MIG_WRITE, &b);
	if (!r)
		ck_assert_uint_eq(p->in.size, 16);
	return r;
}

int peer_set_irqs(struct peer *p, uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
		  const int *fds, int n)
{
	struct bytes b = { 0 };

	put32(&b, 20);
	put32(&b, flags);
	put32(&b, index);
	put32(&b, start);
	put32(&b, count);
	return peer_call_fds(p, C_SET_IRQS, &b, fds, n);
}

void peer_answer_dma(struct peer *p, uint8_t *memory, uint64_t iova)
{
	uint64_t address = peer_u64(p, 0), count = peer_u64(p, 8);
	bool read = p->in.command == C_DMA_READ;
	struct bytes b = { 0 }, all = { 0 };

	ck_assert(read || p->in.command == C_DMA_WRITE);
	ck_assert_uint_eq(p->in.flags, 0);
	ck_assert_uint_eq(p->in.body.len, read ? 16 : 16 + count);
	put64(&b, address);
	put64(&b, count);
	if (read)
		put(&b, memory + (address - iova), count);
	else
		memcpy(memory + (address - iova), p->in.body.at + 16, count);
	peer_put(&all, p->in.id, p->in.command, F_REPLY, b.at, b.len);
	peer_send_bytes(p->fd, all.at, all.len, NULL, 0);
	bytes_done(&b);
	bytes_done(&all);
}

/* --- the rig --------------------------------------------------------------------------------------- */

void rig_make(struct rig *rig, const struct toy_config *toy, const struct vmig_server_config *config)
{
	*rig = (struct rig){ .peer.fd = -1, .served_fd = -1 };
	if (config)
		rig->config = *config;
	rig->toy = toy_new(toy, &rig->dev);
}

static void *serve(void *arg)
{
	struct rig *rig = arg;

	rig->result = vmig_server_serve(rig->dev, &rig->config, rig->served_fd);
	return NULL;
}

void rig_attach(struct rig *rig)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	rig->peer = (struct peer){ .fd = fds[0] };
	rig->served_fd = fds[1];
	ck_assert_int_eq(pthread_create(&rig->thread, NULL, serve, rig), 0);
}

int rig_join(struct rig *rig)
{
	ck_assert_int_eq(pthread_join(rig->thread, NULL), 0);
	return rig->result;
}

int rig_detach(struct rig *rig)
{
	peer_close(&rig->peer);
	return rig_join(rig);
}

void rig_start(struct rig *rig, const struct toy_config *toy)
{
	rig_make(rig, toy, NULL);
	rig_attach(rig);
	ck_assert_int_eq(peer_hello(&rig->peer, HELLO), 0);
}

void rig_start_v1(struct rig *rig, const struct toy_config *toy)
{
	struct vmig_device *plain;

	rig_make(rig, toy, NULL);
	plain = rig->dev;
	ck_assert_int_eq(vmig_show_v1(plain, NULL, &rig->dev), 0);
	rig_attach(rig);
	ck_assert_int_eq(peer_hello(&rig->peer, HELLO), 0);
}

void rig_done(struct rig *rig)
{
	peer_close(&rig->peer);
	vmig_device_close(rig->dev);
}

int rig_end(struct rig *rig)
{
	int r = rig_detach(rig);

	rig_done(rig);
	return r;
}

int shared_memory(size_t size, uint8_t **ret)
{
	int fd = memfd_create("user", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
	*ret = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(*ret, MAP_FAILED);
	return fd;
}
