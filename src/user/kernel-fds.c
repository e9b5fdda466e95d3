/* SPDX-License-Identifier: BSD-3-Clause */
/* A device that a VMM has opened itself: nothing of what the VMM did to it is undone, and all of what was done here. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "user/kernel.h"

static int duplicate(int fd, int *ret)
{
	if (fd < 0)
		return 0;
	*ret = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return *ret < 0 ? -errno : 0;
}

/* Of a cdev its number leads to its folder; a descriptor from a group says nothing of whose it is. */
static int find_folder(const struct vmig_kernel *k, const struct vmig_kernel_fds *fds, char **ret_dir,
		       struct vmig_error *error)
{
	char dir[PATH_MAX];
	struct stat st;

	if (fds->sysfs)
		snprintf(dir, sizeof(dir), "%s", fds->sysfs);
	else if (!fstat(k->device, &st) && S_ISCHR(st.st_mode))
		snprintf(dir, sizeof(dir), "/sys/dev/char/%u:%u/device", major(st.st_rdev),
			 minor(st.st_rdev));
	else
		return vmig_fault(
			error, -EINVAL, "open",
			"the descriptor is not a cdev's, so the device's folder in sysfs is needed");
	*ret_dir = strdup(dir);
	return *ret_dir ? 0 : vmig_fault(error, -ENOMEM, "open", "no memory");
}

static int check_device(const struct vmig_kernel *k, struct vmig_error *error)
{
	struct vmig_uapi_device_info info = { .argsz = sizeof(info) };

	if (!ioctl(k->device, VMIG_UAPI_DEVICE_GET_INFO, &info))
		return 0;
	return vmig_fault(error, -EINVAL, "VFIO_DEVICE_GET_INFO",
			  "the descriptor is no VFIO device's, or one that is not bound yet (%s)",
			  strerror(errno));
}

int vmig_kernel_take_fds(struct vmig_kernel *k, const struct vmig_kernel_fds *fds, char **ret_dir,
			 struct vmig_error *error)
{
	int r;

	if (fds->container >= 0 && fds->iommufd >= 0)
		return vmig_fault(error, -EINVAL, "open", "a container and an iommufd: it has only one");
	k->borrowed = true;
	k->ioas = fds->ioas;
	r = fds->device < 0 ? -EBADF : duplicate(fds->device, &k->device);
	r = r ? r : duplicate(fds->container, &k->container);
	r = r ? r : duplicate(fds->iommufd, &k->iommufd);
	if (r)
		return vmig_fault(error, r, "open", "the descriptors cannot be duplicated");
	r = check_device(k, error);
	return r ? r : find_folder(k, fds, ret_dir, error);
}

void vmig_kernel_give_back(struct vmig_kernel *k)
{
	if (k->device < 0)
		return;
	vmig_kernel_disarm(k);
	if (atomic_load(&k->logging))
		(void)!vmig_kernel_dma_log_stop(k, NULL);
	while (k->n_maps) {
		const struct vmig_kernel_map map = k->maps[k->n_maps - 1];

		if (vmig_kernel_unmap_dma(k, map.iova, map.size, NULL))
			k->n_maps--;
	}
}
