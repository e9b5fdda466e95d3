/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vfio-user client, whole, driven through all that it can do, against a server that is not to be trusted: a real one,
 * whose messages are changed on their way. Byte 0: bit 0: a plain client. Then one record of 4 bytes for each message of
 * the server's: what to do (below; bit 6: put a descriptor to it), a, and b (u16). After the last record all pass as they are.
 *
 * Whatever comes: every call returns, no descriptor is left open.
 */
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vmig/server.h>
#include <vmig/user.h>

#include "base/io.h"
#include "base/util.h"
#include "common/toy.h"
#include "wire/vfio_user.h"

enum { PASS, FLIP, SET, CUT, REFUSE, REPLACE, INJECT, TWICE };

#define IOVA     0x100000u
#define MAP_SIZE 0x10000u

struct between {
	int server, client;
	struct vmig_cursor records;
	uint8_t msg[VMIG_VU_HEADER_SIZE + VMIG_LIMIT_XFER_DEFAULT + 4096];
	size_t len;
	int fds[VMIG_LIMIT_MSG_FDS];
	size_t n_fds;
};

static int memory = -1;

/* --- between server and client ------------------------------------------------------------ */

static void close_fds(struct between *b)
{
	while (b->n_fds)
		close(b->fds[--b->n_fds]);
}

static bool receive(struct between *b, size_t len)
{
	while (b->len < len) {
		union {
			char room[CMSG_SPACE(sizeof(b->fds))];
			struct cmsghdr align;
		} control;
		struct iovec iov = { b->msg + b->len, len - b->len };
		struct msghdr m = { .msg_iov = &iov,
				    .msg_iovlen = 1,
				    .msg_control = &control,
				    .msg_controllen = sizeof(control) };
		ssize_t got = recvmsg(b->server, &m, MSG_CMSG_CLOEXEC);
		struct cmsghdr *c = got > 0 ? CMSG_FIRSTHDR(&m) : NULL;

		if (got <= 0)
			return false;
		b->len += (size_t)got;
		if (!c || c->cmsg_type != SCM_RIGHTS)
			continue;
		b->n_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(b->fds, CMSG_DATA(c), b->n_fds * sizeof(int));
	}
	return true;
}

static bool receive_message(struct between *b)
{
	uint32_t size;

	b->len = 0;
	if (!receive(b, VMIG_VU_HEADER_SIZE))
		return false;
	memcpy(&size, b->msg + 4, sizeof(size));
	MUST(size >= VMIG_VU_HEADER_SIZE && size <= sizeof(b->msg) - 256);
	return receive(b, size);
}

static bool send_message(struct between *b)
{
	union {
		char room[CMSG_SPACE(sizeof(b->fds))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { b->msg, b->len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t sent;

	if (b->n_fds) {
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(b->n_fds * sizeof(int));
		control.align = (struct cmsghdr){ CMSG_LEN(b->n_fds * sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.align), b->fds, b->n_fds * sizeof(int));
	}
	sent = sendmsg(b->client, &m, MSG_NOSIGNAL);
	return sent >= 0 && !vmig_write_all(b->client, b->msg + sent, b->len - (size_t)sent);
}

static void set_size(struct between *b, size_t len)
{
	uint32_t size = (uint32_t)len;

	b->len = len;
	memcpy(b->msg + 4, &size, sizeof(size));
}

static bool inject(struct between *b, uint8_t a, uint16_t length)
{
	struct vmig_vu_header h = { .id = 99, .command = a & 1 ? VMIG_VU_DMA_WRITE : VMIG_VU_DMA_READ };
	struct vmig_vu_dma_rw rw = { IOVA + (a & 0xfeu) * 256, length };
	uint8_t out[VMIG_VU_HEADER_SIZE + VMIG_VU_DMA_RW_SIZE + 4096] = { 0 };
	struct vmig_cursor c = vmig_cursor_into(out, sizeof(out));

	h.size = (uint32_t)(VMIG_VU_HEADER_SIZE + VMIG_VU_DMA_RW_SIZE + (a & 1 ? MIN(length, 4096) : 0));
	vmig_vu_header_encode(&c, &h);
	vmig_vu_dma_rw_encode(&c, &rw);
	return !vmig_write_all(b->client, out, h.size);
}

/* True: it can go on. What has changed the header ends the conversation, or the client would wait for what never comes. */
static bool change(struct between *b)
{
	uint8_t op = vmig_cursor_u8(&b->records), a = vmig_cursor_u8(&b->records);
	uint16_t v = vmig_cursor_u16(&b->records);
	size_t at = v % b->len, payload = b->len - VMIG_VU_HEADER_SIZE;

	if (!vmig_cursor_ok(&b->records))
		return true;
	if (op & 0x40 && b->n_fds < ARRAY_SIZE(b->fds))
		b->fds[b->n_fds++] = fcntl(memory, F_DUPFD_CLOEXEC, 3);
	switch (op & 7) {
	case FLIP:
		b->msg[at] ^= a;
		return at >= VMIG_VU_HEADER_SIZE;
	case SET:
		b->msg[at] = a;
		return at >= VMIG_VU_HEADER_SIZE;
	case CUT:
		set_size(b, VMIG_VU_HEADER_SIZE + MIN(payload, v));
		return true;
	case REFUSE:
		set_size(b, VMIG_VU_HEADER_SIZE);
		b->msg[8] |= VMIG_VU_ERROR;
		b->msg[12] = a;
		return true;
	case REPLACE:
		payload = MIN(v, b->records.left);
		vmig_cursor_copy(&b->records, b->msg + VMIG_VU_HEADER_SIZE, MIN(payload, 4096));
		set_size(b, VMIG_VU_HEADER_SIZE + MIN(payload, 4096));
		return true;
	case INJECT:
		return inject(b, a, v);
	case TWICE:
		return send_message(b) && false;
	default:
		return true;
	}
}

static void *to_client(void *opaque)
{
	struct between *b = opaque;
	bool more = true;

	while (more && receive_message(b)) {
		more = change(b);
		more = send_message(b) && more;
		close_fds(b);
	}
	close_fds(b);
	shutdown(b->client, SHUT_RDWR);
	shutdown(b->server, SHUT_RDWR);
	return NULL;
}

/* With the descriptors: DMA_MAP and SET_IRQS have some. */
static void *to_server(void *opaque)
{
	struct between *b = opaque, *back = malloc(sizeof(*back));

	MUST(back);
	*back = (struct between){ .server = b->client, .client = b->server };
	while (receive_message(back)) {
		bool sent = send_message(back);

		close_fds(back);
		if (!sent)
			break;
	}
	close_fds(back);
	shutdown(b->server, SHUT_RDWR);
	free(back);
	return NULL;
}

static void *serve(void *opaque)
{
	struct toy_config config = { .state_size = 8192, .piece = 1000 };
	struct vmig_server_config server = { 0 };
	struct vmig_device *dev;

	toy_new(&config, &dev);
	vmig_server_serve(dev, &server, *(int *)opaque);
	vmig_device_close(dev);
	return NULL;
}

/* --- the client --------------------------------------------------------------------------- */

static void use_regions(struct vmig_device *dev)
{
	struct vmig_device_info info;
	struct vmig_ioeventfd io[4];
	struct vmig_region region;
	uint64_t value = 0;

	vmig_device_query_info(dev, &info);
	for (uint32_t i = 0; i < MIN(info.n_regions, 10u); i++) {
		if (!vmig_device_query_region(dev, i, &region))
			MUST(region.n_areas <= VMIG_REGION_AREAS_MAX);
		(void)vmig_device_query_ioeventfds(dev, i, io, 4);
		(void)vmig_device_region_read(dev, i, 0, &value, sizeof(value));
		(void)vmig_device_region_write(dev, i, 0, &value, sizeof(value));
	}
}

static void use_irqs(struct vmig_device *dev)
{
	struct vmig_irq_set set = { VMIG_IRQ_DATA_EVENTFD | VMIG_IRQ_ACTION_TRIGGER, 2, 0, 1, &memory, NULL };
	struct vmig_irq irq;

	(void)vmig_device_query_irq(dev, 2, &irq);
	(void)vmig_device_set_irqs(dev, &set);
}

/* Once by descriptor, once by message; and the toy reaches for it. */
static void use_dma(struct vmig_device *dev, void *own)
{
	struct vmig_dma map = { .iova = IOVA, .size = MAP_SIZE, .prot = 3, .fd = memory };
	struct vmig_dma by_message = {
		.iova = IOVA + MAP_SIZE, .size = MAP_SIZE, .prot = 3, .fd = -1, .vaddr = own
	};
	struct vmig_range range = { IOVA, 2 * MAP_SIZE };
	const uint64_t writes[][2] = { { TOY_REG_ADDRESS, IOVA + MAP_SIZE },
				       { TOY_REG_LENGTH, 4096 },
				       { TOY_REG_COMMAND, TOY_COMMAND_READ },
				       { TOY_REG_COMMAND, TOY_COMMAND_WRITE } };
	uint64_t page_size = 4096, bitmap = 0;

	(void)vmig_device_map_dma(dev, &map);
	(void)vmig_device_map_dma(dev, &by_message);
	(void)vmig_device_dma_log_start(dev, &page_size, &range, 1);
	for (size_t i = 0; i < ARRAY_SIZE(writes); i++)
		(void)vmig_device_region_write(dev, TOY_REGISTERS, writes[i][0], &writes[i][1], 8);
	(void)vmig_device_dma_log_report(dev, IOVA, 2 * MAP_SIZE, 4096, &bitmap);
	(void)vmig_device_dma_log_stop(dev);
	(void)vmig_device_unmap_dma(dev, IOVA, MAP_SIZE);
	(void)vmig_device_unmap_dma(dev, IOVA + MAP_SIZE, MAP_SIZE);
}

static void save(struct vmig_device *dev)
{
	static uint8_t buf[3000];
	struct vmig_session *session = NULL;
	struct vmig_precopy sizes;
	uint64_t size;

	if (vmig_device_set_state(dev, VMIG_STATE_PRE_COPY, VMIG_STATE_RUNNING, &session) || !session)
		return;
	(void)vmig_session_query_precopy(session, &sizes);
	(void)vmig_device_query_stop_copy_size(dev, &size);
	(void)vmig_device_set_state(dev, VMIG_STATE_STOP_COPY, VMIG_STATE_RUNNING, NULL);
	for (int i = 0; i < 20; i++) {
		struct iovec iov = { buf, sizeof(buf) };
		ssize_t got = vmig_session_readv(session, &iov, 1);

		MUST(got <= (ssize_t)sizeof(buf));
		if (got <= 0)
			break;
	}
	vmig_session_close(session);
	(void)vmig_device_set_state(dev, VMIG_STATE_RUNNING, VMIG_STATE_NONE, NULL);
}

static void load(struct vmig_device *dev)
{
	static uint8_t buf[5000];
	struct vmig_session *session = NULL;
	struct iovec iov = { buf, sizeof(buf) };

	if (vmig_device_set_state(dev, VMIG_STATE_RESUMING, VMIG_STATE_NONE, &session) || !session)
		return;
	(void)vmig_session_writev(session, &iov, 1);
	(void)vmig_session_flush(session);
	vmig_session_close(session);
	(void)vmig_device_set_state(dev, VMIG_STATE_STOP, VMIG_STATE_NONE, NULL);
	(void)vmig_device_reset(dev);
}

static void use(int fd, bool plain)
{
	struct vmig_vfio_user_config config = { .timeout_ms = 5000, .plain = plain };
	_Alignas(4096) static uint8_t own[MAP_SIZE];
	struct vmig_error error;
	struct vmig_device *dev;

	if (vmig_open_vfio_user_fd(fd, &config, &dev, &error))
		return;
	use_regions(dev);
	use_irqs(dev);
	use_dma(dev, own);
	save(dev);
	load(dev);
	vmig_device_close(dev);
}

static int next_fd(void)
{
	int fd = fcntl(0, F_DUPFD_CLOEXEC, 3);

	MUST(fd >= 0);
	close(fd);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct between b;
	pthread_t server, there, back;
	int front[2], rear[2], fd;

	if (!size || size > 4096)
		return 0;
	if (memory < 0) {
		signal(SIGPIPE, SIG_IGN); /* what stands between writes to ends that may be gone */
		memory = memfd_create("fuzz", MFD_CLOEXEC);
		MUST(memory >= 0 && !ftruncate(memory, MAP_SIZE));
	}
	fd = next_fd();
	MUST(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, front));
	MUST(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, rear));
	b.client = front[1];
	b.server = rear[0];
	b.records = vmig_cursor_over(data + 1, size - 1);
	MUST(!pthread_create(&server, NULL, serve, &rear[1]));
	MUST(!pthread_create(&there, NULL, to_server, &b));
	MUST(!pthread_create(&back, NULL, to_client, &b));
	use(front[0], data[0] & 1);
	pthread_join(there, NULL);
	pthread_join(back, NULL);
	pthread_join(server, NULL);
	close(b.client);
	close(b.server);
	MUST(next_fd() == fd);
	return 0;
}

#ifdef REPLAY_END
__attribute__((destructor)) static void end(void)
{
	close(memory);
}
#endif
