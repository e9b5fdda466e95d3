/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "user/kernel.h"

int vmig_kernel_link_word(const char *dir, const char *name, char *ret, size_t room)
{
	char path[PATH_MAX], target[PATH_MAX];
	const char *word;
	ssize_t n;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, name) >= sizeof(path))
		return -E2BIG;
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = '\0';
	word = strrchr(target, '/');
	word = word ? word + 1 : target;
	if (!*word || strlen(word) >= room)
		return -E2BIG;
	strcpy(ret, word);
	return 0;
}

/* The number in a file such as "vendor" ("0x15b3\n"). */
static int read_id(const char *dir, const char *name, unsigned int *ret)
{
	char path[PATH_MAX], text[16];
	_autoclose_ int fd = -1;
	unsigned long v;
	ssize_t n;
	char *end;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, name) >= sizeof(path))
		return -E2BIG;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	errno = 0;
	v = strtoul(text, &end, 16);
	if (errno || end == text || (*end && *end != '\n') || v > 0xffff)
		return -EPROTO;
	*ret = (unsigned int)v;
	return 0;
}

static int describe(char ret[VMIG_IDENTITY_MAX], const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static int describe(char ret[VMIG_IDENTITY_MAX], const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(ret, VMIG_IDENTITY_MAX, format, ap);
	va_end(ap);
	/* Two long names cut short could be equal when the types are not. */
	return n >= VMIG_IDENTITY_MAX ? -E2BIG : 0;
}

static int identity(const char *dir, char ret[VMIG_IDENTITY_MAX])
{
	char type[NAME_MAX + 1], driver[NAME_MAX + 1];
	unsigned int vendor, device;
	int r;

	r = vmig_kernel_link_word(dir, "mdev_type", type, sizeof(type));
	if (!r)
		return describe(ret, "mdev:%s", type);
	r = vmig_kernel_link_word(dir, "driver", driver, sizeof(driver));
	if (r)
		return r;
	if (!read_id(dir, "vendor", &vendor) && !read_id(dir, "device", &device))
		return describe(ret, "pci:%04x:%04x/%s", vendor, device, driver);
	r = vmig_kernel_link_word(dir, "subsystem", type, sizeof(type));
	return r ? r : describe(ret, "%s:%s", type, driver);
}

int vmig_kernel_identity(const char *dir, char ret[VMIG_IDENTITY_MAX], struct vmig_error *error)
{
	int r = identity(dir, ret);

	if (r == -ENOENT)
		return vmig_fault(error, r, "sysfs",
				  "%s names neither a mediated type nor a driver: bind it to one", dir);
	return r ? vmig_fault(error, r, "sysfs", "%s does not say what kind of device it is", dir) : 0;
}
