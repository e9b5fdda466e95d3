/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vfio-user server, whole, with a device behind it. Byte 0: bit 0: the rest is sent as it is; else it is a list of
 * messages, each: command (an index below; bit 6: no reply wanted, bit 7: with a descriptor), length of the payload (u16),
 * payload; VERSION is put before them with (bit 1) or without capabilities. Bit 2: the device is shown by v1. What looks like a reply to DMA_READ or
 * DMA_WRITE answers the device, if that happens to ask.
 *
 * Whatever comes: the server ends when the client has, leaves no descriptor open, and a reset leads back to RUNNING.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vmig/region.h>
#include <vmig/server.h>

#include "base/util.h"
#include "common/toy.h"
#include "wire/vfio_user.h"

#define SIZE_MAX_IN 8192u

static const struct {
	uint16_t command, type;
} kinds[] = {
	{ VMIG_VU_VERSION, 0 },
	{ VMIG_VU_DMA_MAP, 0 },
	{ VMIG_VU_DMA_UNMAP, 0 },
	{ VMIG_VU_DEVICE_GET_INFO, 0 },
	{ VMIG_VU_DEVICE_GET_REGION_INFO, 0 },
	{ VMIG_VU_DEVICE_GET_REGION_IO_FDS, 0 },
	{ VMIG_VU_DEVICE_GET_IRQ_INFO, 0 },
	{ VMIG_VU_DEVICE_SET_IRQS, 0 },
	{ VMIG_VU_REGION_READ, 0 },
	{ VMIG_VU_REGION_WRITE, 0 },
	{ VMIG_VU_DEVICE_RESET, 0 },
	{ VMIG_VU_REGION_WRITE_MULTI, 0 },
	{ VMIG_VU_DEVICE_FEATURE, 0 },
	{ VMIG_VU_MIG_DATA_READ, 0 },
	{ VMIG_VU_MIG_DATA_WRITE, 0 },
	{ VMIG_VU_MIG_PRECOPY_INFO, 0 },
	{ VMIG_VU_DEVICE_IDENTITY, 0 },
	{ VMIG_VU_DMA_READ, VMIG_VU_TYPE_REPLY },
	{ VMIG_VU_DMA_WRITE, VMIG_VU_TYPE_REPLY },
	{ VMIG_VU_DIRTY_PAGES, 0 },
	{ VMIG_VU_DEVICE_TAG, 0 },
	{ VMIG_VU_DEVICE_SET_TAG, 0 },
};

static const char proposal[] = "{\"capabilities\":{\"max_msg_fds\":16,\"write_multiple\":true,\"x-vmig\":"
			       "{\"precopy_info\":true,\"device_info\":true,\"tag\":true}}}";

static struct vmig_device *dev;
static int memory = -1;

/* --- the client --------------------------------------------------------------------------- */

/* One sendmsg a message, so that a descriptor goes with its own. False: the socket is full. */
static bool send_message(int fd, const struct vmig_vu_header *h, const void *payload, size_t len,
			 bool with_fd)
{
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	uint8_t head[VMIG_VU_HEADER_SIZE];
	struct vmig_cursor c = vmig_cursor_into(head, sizeof(head));
	struct iovec iov[2] = { { head, sizeof(head) }, { (void *)(uintptr_t)payload, len } };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };

	vmig_vu_header_encode(&c, h);
	if (with_fd) {
		m.msg_control = &control;
		m.msg_controllen = sizeof(control);
		control.align = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.align), &memory, sizeof(int));
	}
	return sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

static void send_version(int fd, bool capable)
{
	struct vmig_vu_header h = { .command = VMIG_VU_VERSION };
	uint8_t payload[4 + sizeof(proposal)] = { 0 };
	size_t len = capable ? sizeof(payload) : 4;

	memcpy(payload + 4, proposal, sizeof(proposal));
	h.size = (uint32_t)(VMIG_VU_HEADER_SIZE + len);
	send_message(fd, &h, payload, len, false);
}

static void send_list(int fd, struct vmig_cursor c)
{
	uint16_t id = 0;

	while (c.left >= 3) {
		uint8_t op = vmig_cursor_u8(&c);
		uint16_t len = vmig_cursor_u16(&c);
		size_t n = MIN(len, c.left), i = (op & 0x3f) % ARRAY_SIZE(kinds);
		struct vmig_vu_header h = { .id = ++id, .command = kinds[i].command, .flags = kinds[i].type };

		h.size = (uint32_t)(VMIG_VU_HEADER_SIZE + n);
		if (op & 0x40)
			h.flags |= VMIG_VU_NO_REPLY;
		/* The server's questions have ids of their own, from 1. */
		if (kinds[i].type)
			h.id = 1;
		if (!send_message(fd, &h, vmig_cursor_bytes(&c, n), n, op & 0x80))
			return;
	}
}

/* Takes whatever the server says, so that it never waits for room. Descriptors that come are dropped by the kernel. */
static void *drain(void *opaque)
{
	static uint8_t waste[65536];
	int fd = *(int *)opaque;

	while (read(fd, waste, sizeof(waste)) > 0)
		;
	return NULL;
}

/* --- one input ---------------------------------------------------------------------------- */

static int next_fd(void)
{
	int fd = fcntl(0, F_DUPFD_CLOEXEC, 3);

	MUST(fd >= 0);
	close(fd);
	return fd;
}

static void serve(const uint8_t *data, size_t size)
{
	struct vmig_server_config config = { 0 };
	pthread_t thread;
	int fds[2];

	MUST(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	MUST(!pthread_create(&thread, NULL, drain, &fds[0]));
	if (data[0] & 1) {
		MUST(send(fds[0], data + 1, size - 1, MSG_NOSIGNAL) == (ssize_t)size - 1);
	} else {
		send_version(fds[0], data[0] & 2);
		send_list(fds[0], vmig_cursor_over(data + 1, size - 1));
	}
	shutdown(fds[0], SHUT_WR);
	vmig_server_serve(dev, &config, fds[1]);
	pthread_join(thread, NULL);
	close(fds[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct toy_config config = { .state_size = 8192, .piece = 1000 };
	struct vmig_device *plain;
	uint32_t state;
	int fd;

	if (!size || size > SIZE_MAX_IN)
		return 0;
	if (memory < 0) {
		memory = memfd_create("fuzz", MFD_CLOEXEC);
		MUST(memory >= 0 && !ftruncate(memory, 1 << 20));
	}
	fd = next_fd();
	/* A device of its own for each input, or what one leaves behind would be part of the next. */
	toy_new(&config, &dev);
	plain = dev;
	if (data[0] & 4)
		MUST(!vmig_show_v1(plain, NULL, &dev));
	serve(data, size);
	MUST(!vmig_device_reset(dev));
	/* Shown by v1, it has no such state. */
	if (dev == plain)
		MUST(!vmig_device_query_state(dev, &state) && state == VMIG_STATE_RUNNING);
	vmig_device_close(dev);
	MUST(next_fd() == fd);
	return 0;
}

#ifdef REPLAY_END
__attribute__((destructor)) static void end(void)
{
	close(memory);
}
#endif
