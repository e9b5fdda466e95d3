/* SPDX-License-Identifier: BSD-3-Clause */
/* net - sockets to an address, and at one. */
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/fault.h"
#include "channel/address.h"
#include "channel/net.h"
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

static bool is_loopback(const struct sockaddr *addr)
{
	const struct in6_addr *six = &((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr;
	const struct in_addr *four = &((const struct sockaddr_in *)(const void *)addr)->sin_addr;

	if (addr->sa_family == AF_INET)
		return ntohl(four->s_addr) >> 24 == IN_LOOPBACKNET;
	if (addr->sa_family != AF_INET6)
		return false;
	return IN6_IS_ADDR_LOOPBACK(six) || (IN6_IS_ADDR_V4MAPPED(six) && six->s6_addr[12] == IN_LOOPBACKNET);
}

/*
 * All that the name means, or none: which of them is taken may be another one tomorrow. "Any address"
 * (0.0.0.0, ::) is not this host alone.
 */
static int check_loopback(const char *text, const struct addrinfo *info, struct vmig_error *error)
{
	for (; info; info = info->ai_next)
		if (!is_loopback(info->ai_addr))
			return vmig_fault(error, -EPERM, text,
					  "this is not only this host: without TLS, whoever is on the way "
					  "could read and change all");
	return 0;
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

static int connect_tcp(const char *text, const struct vmig_address *a, uint32_t ms, bool anywhere,
		       int *ret_fd, struct vmig_error *error)
{
	_cleanup_(free_infop) struct addrinfo *info = NULL;
	int r = resolve(text, a, false, &info, error);

	if (!r && !anywhere)
		r = check_loopback(text, info, error);
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

int vmig_net_connect(const char *address, uint32_t ms, bool anywhere, int *ret_fd, struct vmig_error *error)
{
	struct vmig_address a;
	int r = vmig_address_parse(address, &a, error);

	if (r)
		return r;
	return a.is_unix ? connect_unix(address, &a, ms, ret_fd, error)
			 : connect_tcp(address, &a, ms, anywhere, ret_fd, error);
}

/* --- listen --- */

static int listen_at(int fd, const struct sockaddr *addr, socklen_t len)
{
	return bind(fd, addr, len) < 0 || listen(fd, 8) < 0 ? -errno : 0;
}

static int listen_tcp(const char *text, const struct vmig_address *a, bool anywhere, int *ret_fd,
		      struct vmig_error *error)
{
	_cleanup_(free_infop) struct addrinfo *info = NULL;
	int one = 1, r = resolve(text, a, true, &info, error);

	if (!r && !anywhere)
		r = check_loopback(text, info, error);
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
static void name_tcp(struct vmig_net_listener *listener)
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

static void name_unix(struct vmig_net_listener *listener, const struct vmig_address *a)
{
	snprintf(listener->address, sizeof(listener->address), "unix:%s", a->un.sun_path);
	memcpy(listener->path, a->un.sun_path, sizeof(listener->path));
	if (lstat(listener->path, &listener->made) < 0)
		listener->path[0] = '\0';
}

int vmig_net_listen(const char *address, bool anywhere, struct vmig_net_listener *ret,
		    struct vmig_error *error)
{
	struct vmig_address a;
	int r = vmig_address_parse(address, &a, error);

	if (r)
		return r;
	memset(ret, 0, sizeof(*ret));
	ret->fd = -1;
	r = a.is_unix ? listen_unix(address, &a, &ret->fd, error)
		      : listen_tcp(address, &a, anywhere, &ret->fd, error);
	if (r)
		return r;
	if (a.is_unix)
		name_unix(ret, &a);
	else
		name_tcp(ret);
	return 0;
}

int vmig_net_accept(struct vmig_net_listener *listener, int *ret_fd)
{
	int fd;

	do {
		fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
	} while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

void vmig_net_listener_done(struct vmig_net_listener *listener)
{
	struct stat now;

	close(listener->fd);
	if (listener->path[0] && !lstat(listener->path, &now) && now.st_ino == listener->made.st_ino &&
	    now.st_dev == listener->made.st_dev)
		unlink(listener->path);
}
