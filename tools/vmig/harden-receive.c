/* SPDX-License-Identifier: BSD-3-Clause */
#include "harden-receive.h"

#include <string.h>

#include "harden.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

/* What the C library, and those for records and encryption, read on their way: how names are looked up, whom to trust. And
 * what the kernel tells of devices. */
static const char *const system_files[] = {
	"/etc/resolv.conf", "/etc/hosts",    "/etc/nsswitch.conf",
	"/etc/host.conf",   "/etc/gai.conf", "/etc/services",
	"/etc/ssl",         "/etc/gnutls",   "/etc/localtime",
	"/etc/ld.so.cache", "/run/systemd",  "/usr/lib",
	"/usr/lib64",       "/lib",          "/lib64",
	"/usr/local/lib",   "/usr/share",    "/sys",
	"/proc/self",       "/dev/urandom",  "/dev/null",
};

static const char *after(const char *text, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(text, prefix, len) ? NULL : text + len;
}

void harden_receive(const char *address, const char *owner)
{
	struct harden_path paths[N(system_files) + 2];
	int n = 0;

	for (size_t i = 0; i < N(system_files); i++)
		paths[n++] = (struct harden_path){ system_files[i], HARDEN_READ, false };
	paths[n++] = (struct harden_path){ after(address, "unix:"), HARDEN_SOCKET, true };
	/* Its journal is beside it. */
	paths[n++] = (struct harden_path){ after(owner, "sqlite:"), HARDEN_WRITE, true };
	harden_process(true);
	harden_files(paths, n);
	harden_calls(HARDEN_RECEIVE);
}
