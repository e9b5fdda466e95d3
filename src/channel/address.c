/* SPDX-License-Identifier: BSD-3-Clause */
#include "channel/address.h"

#include <string.h>
#include <sys/socket.h>

#include "base/fault.h"

static int parse_unix(const char *text, const char *path, struct vmig_address *ret, struct vmig_error *error)
{
	if (!*path || strlen(path) >= sizeof(ret->un.sun_path))
		return vmig_fault(error, -EINVAL, text, "a UNIX socket's path has 1 to %zu bytes",
				  sizeof(ret->un.sun_path) - 1);
	ret->is_unix = true;
	ret->un.sun_family = AF_UNIX;
	memcpy(ret->un.sun_path, path, strlen(path) + 1);
	return 0;
}

static bool take(char *to, size_t room, const char *from, size_t len)
{
	if (len >= room)
		return false;
	memcpy(to, from, len);
	to[len] = '\0';
	return true;
}

static int parse_tcp(const char *text, const char *rest, struct vmig_address *ret, struct vmig_error *error)
{
	const char *colon = strrchr(rest, ':'), *end = colon;
	unsigned long port;
	char *stop;

	if (!colon || !colon[1] || !take(ret->port, sizeof(ret->port), colon + 1, strlen(colon + 1)))
		return vmig_fault(error, -EINVAL, text, "no port: tcp:HOST:PORT is needed");
	port = strtoul(ret->port, &stop, 10);
	if (*stop || port > 65535 || ret->port[0] < '0' || ret->port[0] > '9')
		return vmig_fault(error, -EINVAL, text, "the port is a number from 0 to 65535");
	if (*rest == '[') {
		rest++;
		if (end <= rest || *--end != ']')
			return vmig_fault(error, -EINVAL, text,
					  "an IPv6 address is written tcp:[ADDRESS]:PORT");
	} else if (memchr(rest, ':', (size_t)(end - rest))) {
		return vmig_fault(error, -EINVAL, text, "an IPv6 address is written tcp:[ADDRESS]:PORT");
	}
	if (!take(ret->host, sizeof(ret->host), rest, (size_t)(end - rest)))
		return vmig_fault(error, -EINVAL, text, "the host's name is too long");
	return 0;
}

int vmig_address_parse(const char *text, struct vmig_address *ret, struct vmig_error *error)
{
	memset(ret, 0, sizeof(*ret));
	if (!strncmp(text, "unix:", 5))
		return parse_unix(text, text + 5, ret, error);
	if (!strncmp(text, "tcp:", 4))
		return parse_tcp(text, text + 4, ret, error);
	return vmig_fault(error, -EINVAL, text, "an address is tcp:HOST:PORT or unix:PATH");
}
