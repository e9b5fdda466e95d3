/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "user/kernel.h"

static int open_node(const char *path, int *ret_fd, struct vmig_error *error)
{
	*ret_fd = open(path, O_RDWR | O_CLOEXEC);
	return *ret_fd < 0 ? vmig_kernel_open_fault(error, -errno, path) : 0;
}

static int check_viable(struct vmig_kernel *k, const char *group, struct vmig_error *error)
{
	struct vmig_uapi_group_status status = { .argsz = sizeof(status) };

	if (ioctl(k->group, VMIG_UAPI_GROUP_GET_STATUS, &status) < 0)
		return vmig_fault(error, -errno, "VFIO_GROUP_GET_STATUS", "%s does not answer", group);
	if (!(status.flags & VMIG_UAPI_GROUP_FLAGS_VIABLE))
		return vmig_fault(
			error, -EPERM, "VFIO_GROUP_GET_STATUS",
			"group %s is not viable: bind every device of it to a VFIO driver, or to none",
			group);
	return 0;
}

static int open_container(struct vmig_kernel *k, const char *group, struct vmig_error *error)
{
	int r = open_node("/dev/vfio/vfio", &k->container, error);

	if (r)
		return r;
	if (ioctl(k->container, VMIG_UAPI_GET_API_VERSION) != VMIG_UAPI_API_VERSION)
		return vmig_fault(error, -EPROTO, "VFIO_GET_API_VERSION",
				  "the kernel speaks another version of VFIO");
	if (ioctl(k->container, VMIG_UAPI_CHECK_EXTENSION, VMIG_UAPI_TYPE1v2_IOMMU) != 1)
		return vmig_fault(error, -EOPNOTSUPP, "VFIO_CHECK_EXTENSION",
				  "the kernel has no type1v2 IOMMU: load vfio_iommu_type1");
	if (ioctl(k->group, VMIG_UAPI_GROUP_SET_CONTAINER, &k->container) < 0)
		return vmig_fault(error, -errno, "VFIO_GROUP_SET_CONTAINER", "group %s joins no container",
				  group);
	if (ioctl(k->container, VMIG_UAPI_SET_IOMMU, VMIG_UAPI_TYPE1v2_IOMMU) < 0)
		return vmig_fault(error, -errno, "VFIO_SET_IOMMU", "group %s takes no type1v2 IOMMU", group);
	return 0;
}

/* The device is asked for by its name on its bus, which is that of its folder behind all links. */
static int open_device(struct vmig_kernel *k, const char *dir, struct vmig_error *error)
{
	char real[PATH_MAX];
	const char *name;

	if (!realpath(dir, real))
		return vmig_kernel_open_fault(error, -errno, dir);
	name = strrchr(real, '/') + 1;
	k->device = ioctl(k->group, VMIG_UAPI_GROUP_GET_DEVICE_FD, name);
	if (k->device < 0)
		return vmig_fault(error, -errno, "VFIO_GROUP_GET_DEVICE_FD",
				  "its group does not hand out %s: is it bound to a VFIO driver?", name);
	/* The kernel opens it with O_CLOEXEC, but that is in no text. */
	fcntl(k->device, F_SETFD, FD_CLOEXEC);
	return 0;
}

int vmig_kernel_open_group(struct vmig_kernel *k, const char *dir, struct vmig_error *error)
{
	char group[NAME_MAX + 1], path[NAME_MAX + sizeof("/dev/vfio/")];
	int r = vmig_kernel_link_word(dir, "iommu_group", group, sizeof(group));

	if (r == -ENOENT)
		return vmig_fault(error, r, "sysfs",
				  "%s has no iommu_group: it is no VFIO device, or the machine has no IOMMU",
				  dir);
	if (r)
		return vmig_fault(error, r, "sysfs", "cannot read %s/iommu_group", dir);
	snprintf(path, sizeof(path), "/dev/vfio/%s", group);
	r = open_node(path, &k->group, error);
	if (r)
		return r;
	r = check_viable(k, path, error);
	if (r)
		return r;
	r = open_container(k, path, error);
	return r ? r : open_device(k, dir, error);
}
