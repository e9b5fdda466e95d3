/* SPDX-License-Identifier: BSD-3-Clause */
#include "http.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"

static bool send_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		data += n;
		len -= (size_t)n;
	}
	return true;
}

/* The head, and as many bytes as it says; false: the other end has gone. */
static bool take_request(struct http_server *server, int fd)
{
	static _Thread_local char data[1 << 20]; /* there may be two servers */
	size_t len = 0, want = SIZE_MAX;
	const char *body = NULL, *length;

	while (!body || len < want) {
		ssize_t n = recv(fd, data + len, sizeof(data) - 1 - len, 0);

		if (n <= 0)
			return false;
		len += (size_t)n;
		data[len] = '\0';
		body = strstr(data, "\r\n\r\n");
		length = strcasestr(data, "content-length:");
		if (body && length)
			want = (size_t)(body + 4 - data) + strtoul(length + 15, NULL, 10);
	}
	snprintf(server->request, sizeof(server->request), "%s", body + 4);
	server->n_requests++;
	return true;
}

/* Until the other end has had enough. */
static void wait_for_end(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	poll(&p, 1, -1);
}

static void answer(struct http_server *server, int fd)
{
	static const char zeros[65536], space = ' ';

	switch (server->how) {
	case HTTP_CLOSE:
		send_all(fd, server->answer, server->len);
		break;
	case HTTP_SILENT:
		wait_for_end(fd);
		break;
	case HTTP_DRIP:
		for (size_t i = 0;
		     send_all(fd, i < server->len ? (const char *)server->answer + i : &space, 1); i++)
			usleep(1000);
		break;
	case HTTP_ENDLESS:
		send_all(fd, server->answer, server->len);
		while (send_all(fd, zeros, sizeof(zeros)))
			;
		break;
	}
}

static void *serve(void *arg)
{
	struct http_server *server = arg;
	int fd;

	while ((fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		if (take_request(server, fd))
			answer(server, fd);
		close(fd);
	}
	return NULL;
}

static int bind_any(uint16_t *ret_port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t at_len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &at_len), 0);
	*ret_port = ntohs(at.sin_port);
	return fd;
}

uint16_t http_dead_port(int *ret_fd)
{
	uint16_t port;

	*ret_fd = bind_any(&port);
	return port;
}

void http_start(struct http_server *server, const void *answer_bytes, size_t len)
{
	server->answer = answer_bytes;
	server->len = len;
	server->n_requests = 0;
	server->listener = bind_any(&server->port);
	ck_assert_int_eq(listen(server->listener, 8), 0);
	pthread_create(&server->thread, NULL, serve, server);
}

void http_stop(struct http_server *server)
{
	shutdown(server->listener, SHUT_RDWR);
	pthread_join(server->thread, NULL);
	close(server->listener);
}
