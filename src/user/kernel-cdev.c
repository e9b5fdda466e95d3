/* SPDX-License-Identifier: BSD-3-Clause */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "user/kernel.h"

int vmig_kernel_find_cdev(const char *dir, char *ret, size_t room)
{
	char path[PATH_MAX];
	struct dirent *entry;
	int r = -ENOENT;
	DIR *list;

	if ((size_t)snprintf(path, sizeof(path), "%s/vfio-dev", dir) >= sizeof(path))
		return -E2BIG;
	list = opendir(path);
	if (!list)
		return -errno;
	while (r && (entry = readdir(list)))
		if (!strncmp(entry->d_name, "vfio", 4))
			r = (size_t)snprintf(ret, room, "/dev/vfio/devices/%s", entry->d_name) >= room
				    ? -E2BIG
				    : 0;
	closedir(list);
	return r;
}

static int open_iommufd(struct vmig_kernel *k, struct vmig_error *error)
{
	struct vmig_uapi_iommufd_ioas_alloc alloc = { .size = sizeof(alloc) };

	k->iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (k->iommufd < 0)
		return vmig_kernel_open_fault(error, -errno, "/dev/iommu");
	if (ioctl(k->iommufd, VMIG_UAPI_IOMMUFD_IOAS_ALLOC, &alloc) < 0)
		return vmig_fault(error, -errno, "IOMMU_IOAS_ALLOC", "iommufd gives no address space");
	k->ioas = alloc.out_ioas_id;
	return 0;
}

static int bind_iommufd(struct vmig_kernel *k, const char *path, struct vmig_error *error)
{
	struct vmig_uapi_device_bind_iommufd bind = { .argsz = sizeof(bind), .iommufd = k->iommufd };

	if (!ioctl(k->device, VMIG_UAPI_DEVICE_BIND_IOMMUFD, &bind))
		return 0;
	/* Our arguments are good: EINVAL is how the kernel says that the device was opened before. EBUSY is the group. */
	if (errno == EINVAL || errno == EBUSY)
		return vmig_fault(error, -EBUSY, "VFIO_DEVICE_BIND_IOMMUFD", "%s has another user (%s)", path,
				  errno == EBUSY ? "through its group" : "through its cdev");
	if (errno == ENOTTY)
		return vmig_fault(error, -EINVAL, "VFIO_DEVICE_BIND_IOMMUFD", "%s is no VFIO device", path);
	return vmig_fault(error, -errno, "VFIO_DEVICE_BIND_IOMMUFD", "%s does not bind to an iommufd", path);
}

int vmig_kernel_open_cdev(struct vmig_kernel *k, const char *path, struct vmig_error *error)
{
	struct vmig_uapi_device_attach_iommufd_pt attach = { .argsz = sizeof(attach) };
	int r;

	k->device = open(path, O_RDWR | O_CLOEXEC);
	if (k->device < 0)
		return vmig_kernel_open_fault(error, -errno, path);
	r = open_iommufd(k, error);
	if (r)
		return r;
	r = bind_iommufd(k, path, error);
	if (r)
		return r;
	attach.pt_id = k->ioas;
	if (ioctl(k->device, VMIG_UAPI_DEVICE_ATTACH_IOMMUFD_PT, &attach) < 0)
		return vmig_fault(error, -errno, "VFIO_DEVICE_ATTACH_IOMMUFD_PT", "%s takes no address space",
				  path);
	return 0;
}
