/* SPDX-License-Identifier: BSD-3-Clause */
/* net - connect and listen. */
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/fault.h"
#include "channel/address.h"
#include "channel/provider.h"

static void free_infop(struct addrinfo **info)
{
	if (*info)
		freeaddrinfo(*info);
}

static int resolve(const char *text, const struct vmig_address *a, bool listening, struct addrinfo **ret,
		   struct vmig_error *error)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
	int r;

	if (listening)
		hints.ai_flags |= AI_PASSIVE;
	r = getaddrinfo(a->host[0] ? a->host : NULL, a->port, &hints, ret);
	if (!r)
		return 0;
	*ret = NULL;
	return vmig_fault(error, r == EAI_SYSTEM ? -errno : -EHOSTUNREACH, text, "the host is not known: %s",
			  gai_strerror(r));
}

/* Connects within the time, then leaves the socket blocking; the channel asks for MSG_DONTWAIT itself. */
static int connect_one(int domain, const struct sockaddr *addr, socklen_t len, uint32_t ms, int *ret_fd)
{
	_autoclose_ int fd = socket(domain, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int err = 0, r;
	socklen_t err_len = sizeof(err);

	if (fd < 0)
		return -errno;
	if (connect(fd, addr, len) < 0) {
		if (errno != EINPROGRESS && errno != EINTR)
			return -errno;
		r = vmig_channel_wait(fd, POLLOUT, -1, ms);
		if (r)
			return r;
		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &err_len) < 0)
			return -errno;
		if (err)
			return -err;
	}
	if (fcntl(fd, F_SETFL, 0) < 0)
		return -errno;
	*ret_fd = steal_fd(&fd);
	return 0;
}

static int connect_tcp(const char *text, const struct vmig_address *a, uint32_t ms, int *ret_fd,
		       struct vmig_error *error)
{
	_cleanup_(free_infop) struct addrinfo *info = NULL;
	int r = resolve(text, a, false, &info, error);

	if (r)
		return r;
	for (const struct addrinfo *i = info; i; i = i->ai_next) {
		r = connect_one(i->ai_family, i->ai_addr, i->ai_addrlen, ms, ret_fd);
		if (!r)
			return 0;
	}
	return vmig_fault(error, r, text, "cannot connect: %s", strerror(-r));
}

static int connect_unix(const char *text, const struct vmig_address *a, uint32_t ms, int *ret_fd,
			struct vmig_error *error)
{
	int r = connect_one(AF_UNIX, (const struct sockaddr *)&a->un, sizeof(a->un), ms, ret_fd);

	return r ? vmig_fault(error, r, text, "cannot connect: %s", strerror(-r)) : 0;
}

int vmig_channel_connect(const char *address, uint32_t timeout_ms, struct vmig_channel **ret,
			 struct vmig_error *error)
{
	struct vmig_address a;
	_autoclose_ int fd = -1;
	int r = vmig_address_parse(address, &a, error);

	if (r)
		return r;
	r = (a.is_unix ? connect_unix : connect_tcp)(address, &a, timeout_ms, &fd, error);
	if (r)
		return r;
	r = vmig_channel_socket(fd, ret);
	if (r)
		return vmig_fault(error, r, address, "cannot make a channel: %s", strerror(-r));
	steal_fd(&fd);
	return 0;
}

struct vmig_listener {
	int fd;
	char address[sizeof(struct vmig_address)];
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* to be removed; "" for TCP */
	struct stat made;                                       /* the socket file, to remove no other one */
};

static int listen_at(int fd, const struct sockaddr *addr, socklen_t len)
{
	return bind(fd, addr, len) < 0 || listen(fd, 8) < 0 ? -errno : 0;
}

static int listen_tcp(const char *text, const struct vmig_address *a, int *ret_fd, struct vmig_error *error)
{
	_cleanup_(free_infop) struct addrinfo *info = NULL;
	int one = 1, r = resolve(text, a, true, &info, error);

	if (r)
		return r;
	for (const struct addrinfo *i = info; i; i = i->ai_next) {
		_autoclose_ int fd = socket(i->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (fd < 0) {
			r = -errno;
			continue;
		}
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		r = listen_at(fd, i->ai_addr, i->ai_addrlen);
		if (r)
			continue;
		*ret_fd = steal_fd(&fd);
		return 0;
	}
	return vmig_fault(error, r, text, "cannot listen: %s", strerror(-r));
}

/* A socket file that nobody serves any more is in the way: remove it, and no other file. */
static void remove_stale(const struct sockaddr_un *un)
{
	_autoclose_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;

	if (fd < 0 || lstat(un->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return;
	if (connect(fd, (const struct sockaddr *)un, sizeof(*un)) < 0 && errno == ECONNREFUSED)
		unlink(un->sun_path);
}

static int listen_unix(const char *text, const struct vmig_address *a, int *ret_fd, struct vmig_error *error)
{
	_autoclose_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return vmig_fault(error, -errno, text, "cannot make a socket: %s", strerror(errno));
	remove_stale(&a->un);
	r = listen_at(fd, (const struct sockaddr *)&a->un, sizeof(a->un));
	if (r)
		return vmig_fault(error, r, text, "cannot listen: %s", strerror(-r));
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* The address as a peer would write it, with the port that was found. */
static void name_tcp(struct vmig_listener *listener)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);
	char host[NI_MAXHOST] = "", port[NI_MAXSERV] = "";

	if (!getsockname(listener->fd, (struct sockaddr *)&addr, &len))
		getnameinfo((struct sockaddr *)&addr, len, host, sizeof(host), port, sizeof(port),
			    NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(listener->address, sizeof(listener->address),
		 strchr(host, ':') ? "tcp:[%s]:%s" : "tcp:%s:%s", host, port);
}

int vmig_listener_new(const char *address, struct vmig_listener **ret, struct vmig_error *error)
{
	_autofree_ struct vmig_listener *listener = calloc(1, sizeof(*listener));
	struct vmig_address a;
	int r;

	if (!listener)
		return vmig_fault(error, -ENOMEM, address, "no memory");
	r = vmig_address_parse(address, &a, error);
	if (r)
		return r;
	r = (a.is_unix ? listen_unix : listen_tcp)(address, &a, &listener->fd, error);
	if (r)
		return r;
	if (a.is_unix) {
		snprintf(listener->address, sizeof(listener->address), "unix:%s", a.un.sun_path);
		memcpy(listener->path, a.un.sun_path, sizeof(listener->path));
		if (lstat(listener->path, &listener->made) < 0)
			listener->path[0] = '\0';
	} else {
		name_tcp(listener);
	}
	*ret = steal_ptr(listener);
	return 0;
}

const char *vmig_listener_address(const struct vmig_listener *listener)
{
	return listener->address;
}

int vmig_listener_accept(struct vmig_listener *listener, uint32_t timeout_ms, struct vmig_channel **ret)
{
	_autoclose_ int fd = -1;
	int r;

	do {
		r = vmig_channel_wait(listener->fd, POLLIN, -1, timeout_ms);
		if (r)
			return r;
		fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
	} while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	if (fd < 0)
		return -errno;
	r = vmig_channel_socket(fd, ret);
	if (!r)
		steal_fd(&fd);
	return r;
}

void vmig_listener_free(struct vmig_listener *listener)
{
	struct stat now;

	if (!listener)
		return;
	close(listener->fd);
	if (listener->path[0] && !lstat(listener->path, &now) && now.st_ino == listener->made.st_ino &&
	    now.st_dev == listener->made.st_dev)
		unlink(listener->path);
	free(listener);
}
