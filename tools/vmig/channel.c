/* SPDX-License-Identifier: BSD-3-Clause */
#include "channel.h"

#include <errno.h>
#include <string.h>

#define CONNECT_MS 10000u

bool tool_address_is(const char *word)
{
	return !strncmp(word, "tcp:", 4) || !strncmp(word, "unix:", 5);
}

static const char *what_to_do(int code)
{
	switch (code) {
	case ENOENT:
	case ECONNREFUSED:
		return "; start the other end first: vmig receive";
	case EADDRINUSE:
		return "; take another address, or port 0 for any that is free";
	case EADDRNOTAVAIL:
		return "; take an address of this host";
	case EACCES:
	case EPERM:
		return "; check the permissions";
	case ETIMEDOUT:
		return "; see whether the host is up, and what --timeout allows";
	default:
		return "";
	}
}

static int fail(int status, const char *name, int r, const struct vmig_error *error, const char *what)
{
	return tool_fail(status, "%s: %s: %s%s%s%s", name, what, error->text, *error->text ? ": " : "",
			 strerror(-r), what_to_do(-r));
}

int tool_channel_file(const char *path, bool writing, struct vmig_channel **ret)
{
	struct vmig_error error = { 0 };
	int r = vmig_channel_file(path, writing, ret, &error);

	if (!r)
		return 0;
	return fail(writing ? VMIG_NOT_DONE : VMIG_BAD_INPUT, path, r, &error,
		    writing ? "cannot be written" : "cannot be read");
}

int tool_channel_connect(const char *address, uint64_t timeout_ns, struct vmig_channel **ret)
{
	struct vmig_error error = { 0 };
	int r = vmig_channel_connect(address, timeout_ns ? tool_ms(timeout_ns) : CONNECT_MS, ret, &error);

	return r ? fail(r == -EINVAL ? VMIG_BAD_INPUT : VMIG_NOT_DONE, address, r, &error,
			"cannot be connected to")
		 : 0;
}

int tool_channel_listen(const char *address, struct vmig_listener **ret)
{
	struct vmig_error error = { 0 };
	int r = vmig_listener_new(address, ret, &error);

	return r ? fail(r == -EINVAL ? VMIG_BAD_INPUT : VMIG_NOT_DONE, address, r, &error,
			"cannot be listened at")
		 : 0;
}
