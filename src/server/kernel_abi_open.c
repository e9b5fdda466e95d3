/* SPDX-License-Identifier: BSD-3-Clause */
/* What there is to open, by its path. */
#include <string.h>

#include "server/kernel_abi.h"

/* --- paths -------------------------------------------------------------------------------- */

enum path { NOT_OURS, CONTAINER, GROUP, CDEV, IOMMUFD };

/** A number without sign, blanks or leading zeros, and nothing behind it. */
static bool read_number(const char *s, uint32_t *ret)
{
	uint64_t n = 0;

	if (!*s || (*s == '0' && s[1]))
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		n = n * 10 + (uint64_t)(*s - '0');
		if (n > UINT32_MAX)
			return false;
	}
	*ret = (uint32_t)n;
	return true;
}

static const char *after(const char *s, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(s, prefix, len) ? NULL : s + len;
}

static enum path parse_path(const struct vmig_kabi *kabi, const char *path, uint32_t *ret_number)
{
	const char *rest = after(path, "/dev/");
	enum path kind = NOT_OURS;
	uint32_t n;

	if (!rest)
		return NOT_OURS;
	if (!strcmp(rest, "iommu"))
		return IOMMUFD;
	if (!strcmp(rest, "vfio/vfio"))
		return CONTAINER;
	path = after(rest, "vfio/devices/vfio");
	if (path && read_number(path, &n)) {
		kind = CDEV;
	} else {
		path = after(rest, "vfio/");
		if (!path || !read_number(path, &n) || n < kabi->config.first_group)
			return NOT_OURS;
		n -= kabi->config.first_group;
		kind = GROUP;
	}
	*ret_number = n;
	return n < kabi->config.n_devices ? kind : NOT_OURS;
}

bool vmig_kabi_owns_path(const struct vmig_kabi *kabi, const char *path)
{
	uint32_t n;

	return parse_path(kabi, path, &n) != NOT_OURS;
}

/* --- open --------------------------------------------------------------------------------- */

static int open_container(struct vmig_kabi *kabi, struct vmig_kabi_file **ret)
{
	struct vmig_kabi_container *container = calloc(1, sizeof(*container));

	if (!container)
		return -ENOMEM;
	vmig_kabi_file_init(&container->file, kabi, VMIG_KABI_CONTAINER, NULL);
	*ret = &container->file;
	return 0;
}

static int open_group(struct vmig_kabi_slot *slot, struct vmig_kabi_file **ret)
{
	struct vmig_kabi_group *group = calloc(1, sizeof(*group));
	int r = 0;

	if (!group)
		return -ENOMEM;
	vmig_kabi_file_init(&group->file, slot->kabi, VMIG_KABI_GROUP, slot);
	pthread_mutex_lock(&slot->kabi->lock);
	/* One user: another of the group, or of the device by its cdev. */
	if (slot->group || slot->n_open)
		r = -EBUSY;
	else
		slot->group = group;
	pthread_mutex_unlock(&slot->kabi->lock);
	if (r < 0) {
		free(group);
		return r;
	}
	*ret = &group->file;
	return 0;
}

static int open_cdev(struct vmig_kabi_slot *slot, struct vmig_kabi_file **ret)
{
	struct vmig_kabi_dev *dev;
	int r = vmig_kabi_dev_open(slot, NULL, &dev);

	if (!r)
		*ret = &dev->file;
	return r;
}

int vmig_kabi_open_path(struct vmig_kabi *kabi, const char *path, struct vmig_kabi_file **ret)
{
	uint32_t n;

	switch (parse_path(kabi, path, &n)) {
	case CONTAINER:
		return open_container(kabi, ret);
	case GROUP:
		return open_group(&kabi->slots[n], ret);
	case CDEV:
		return open_cdev(&kabi->slots[n], ret);
	case IOMMUFD:
		return vmig_kabi_iommufd_open(kabi, ret);
	case NOT_OURS:
		break;
	}
	return -ENOENT;
}
