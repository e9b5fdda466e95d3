/* SPDX-License-Identifier: BSD-3-Clause */
/* What the limits are made of: plain system calls, nothing else. */
#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

uint8_t *raw_memory(uint64_t size)
{
	uint8_t *mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mem == MAP_FAILED)
		die("no memory");
	madvise(mem, size, MADV_HUGEPAGE);
	for (uint64_t i = 0; i < size; i += 8)
		memcpy(mem + i, &i, 8);
	return mem;
}

void raw_send(int fd, const uint8_t *mem, uint64_t len)
{
	for (uint64_t at = 0; at < len;)
		at += (uint64_t)CHECK_ERRNO(write(fd, mem + at, len - at < PIECE ? len - at : PIECE));
}

void raw_receive(int fd, uint8_t *mem, uint64_t room, uint64_t len)
{
	for (uint64_t at = 0, got; at < len; at += got) {
		uint64_t place = at % room, most = PIECE - place % PIECE;

		got = (uint64_t)CHECK_ERRNO(read(fd, mem + place, len - at < most ? len - at : most));
		if (!got)
			die("the other side is gone");
	}
}

static void receive_all(int fd, uint8_t *buf, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t got = CHECK_ERRNO(recv(fd, buf + at, len - at, 0));

		if (!got)
			die("the other side is gone");
		at += (size_t)got;
	}
}

static uint8_t scratch[1 << 18];

void raw_serve(int fd, uint64_t n, size_t request, size_t reply)
{
	for (uint64_t i = 0; i < n; i++) {
		receive_all(fd, scratch, request);
		raw_send(fd, scratch, reply);
	}
}

uint64_t raw_ask(int fd, size_t request, size_t reply)
{
	uint64_t start = now_ns();

	raw_send(fd, scratch, request);
	receive_all(fd, scratch, reply);
	return now_ns() - start;
}

/* --- TCP ---------------------------------------------------------------------------------- */

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

int raw_listen(uint16_t *ret_port)
{
	struct sockaddr_in address = loopback(0);
	socklen_t len = sizeof(address);
	int fd = CHECK_ERRNO(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));

	CHECK_ERRNO(bind(fd, (struct sockaddr *)&address, sizeof(address)));
	CHECK_ERRNO(listen(fd, 1));
	CHECK_ERRNO(getsockname(fd, (struct sockaddr *)&address, &len));
	*ret_port = ntohs(address.sin_port);
	return fd;
}

int raw_accept(int fd)
{
	return CHECK_ERRNO(accept4(fd, NULL, NULL, SOCK_CLOEXEC));
}

int raw_connect(uint16_t port)
{
	struct sockaddr_in address = loopback(port);
	int fd = CHECK_ERRNO(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));

	CHECK_ERRNO(connect(fd, (struct sockaddr *)&address, sizeof(address)));
	return fd;
}

/* --- resident memory ---------------------------------------------------------------------- */

void forget_peak(void)
{
	int fd = CHECK_ERRNO(open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC));

	CHECK_ERRNO(write(fd, "5", 1));
	close(fd);
}

uint64_t peak_rss(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	unsigned long long kib = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmHWM: %llu kB", &kib) == 1)
			break;
	if (!kib)
		die("no VmHWM in /proc/self/status");
	fclose(f);
	return kib << 10;
}
