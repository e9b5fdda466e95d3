/* SPDX-License-Identifier: BSD-3-Clause */
/* A device of the kernel's VFIO, opened without the library: by its group and a container, or by its cdev and an iommufd. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel.h"

/* --- the system's calls ------------------------------------------------------------------------------ */

static int system_open(void *opaque, const char *path)
{
	return open(path, O_RDWR | O_CLOEXEC);
}

static int system_ioctl(void *opaque, int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg);
}

static ssize_t system_read(void *opaque, int fd, void *buf, size_t len)
{
	return read(fd, buf, len);
}

static ssize_t system_write(void *opaque, int fd, const void *buf, size_t len)
{
	return write(fd, buf, len);
}

static int system_poll(void *opaque, struct pollfd *fds, nfds_t n, int timeout_ms)
{
	return poll(fds, n, timeout_ms);
}

static int system_close(void *opaque, int fd)
{
	return close(fd);
}

static int system_dup(void *opaque, int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

static off_t system_lseek(void *opaque, int fd, off_t offset, int whence)
{
	return lseek(fd, offset, whence);
}

const struct check_calls check_calls_system = {
	.open = system_open,
	.ioctl = system_ioctl,
	.read = system_read,
	.write = system_write,
	.poll = system_poll,
	.close = system_close,
	.dup = system_dup,
	.lseek = system_lseek,
};

/* --- opening ------------------------------------------------------------------------------------------- */

struct opening {
	struct check_kernel *k;
	char *why;
	size_t why_size;
};

static int failed(struct opening *o, const char *what, int error)
{
	snprintf(o->why, o->why_size, "%s: %s", what, strerror(error));
	return -error;
}

static int call(struct opening *o, int fd, unsigned long request, void *arg, const char *name)
{
	int r = o->k->calls->ioctl(o->k->calls->opaque, fd, request, arg);

	return r < 0 ? failed(o, name, errno) : r;
}

static int open_node(struct opening *o, const char *path, int *ret_fd)
{
	*ret_fd = o->k->calls->open(o->k->calls->opaque, path);
	return *ret_fd < 0 ? failed(o, path, errno) : 0;
}

static int join_container(struct opening *o)
{
	struct check_kernel *k = o->k;
	int r = open_node(o, "/dev/vfio/vfio", &k->container);

	if (r >= 0)
		r = call(o, k->group, VMIG_UAPI_GROUP_SET_CONTAINER, &k->container,
			 "VFIO_GROUP_SET_CONTAINER");
	if (r >= 0)
		r = call(o, k->container, VMIG_UAPI_SET_IOMMU, (void *)VMIG_UAPI_TYPE1v2_IOMMU,
			 "VFIO_SET_IOMMU");
	return r < 0 ? r : 0;
}

static int open_by_group(struct opening *o, const char *node, const char *name)
{
	int r = open_node(o, node, &o->k->group);

	if (!r)
		r = join_container(o);
	if (!r)
		r = call(o, o->k->group, VMIG_UAPI_GROUP_GET_DEVICE_FD, (void *)(uintptr_t)name,
			 "VFIO_GROUP_GET_DEVICE_FD");
	if (r < 0)
		return r;
	o->k->device = r;
	return 0;
}

static int open_by_cdev(struct opening *o, const char *path)
{
	struct vmig_uapi_iommufd_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct vmig_uapi_device_bind_iommufd bind = { .argsz = sizeof(bind) };
	struct vmig_uapi_device_attach_iommufd_pt attach = { .argsz = sizeof(attach) };
	struct check_kernel *k = o->k;
	int r = open_node(o, path, &k->device);

	if (!r)
		r = open_node(o, "/dev/iommu", &k->iommufd);
	bind.iommufd = k->iommufd;
	if (!r)
		r = call(o, k->device, VMIG_UAPI_DEVICE_BIND_IOMMUFD, &bind, "VFIO_DEVICE_BIND_IOMMUFD");
	if (!r)
		r = call(o, k->iommufd, VMIG_UAPI_IOMMUFD_IOAS_ALLOC, &alloc, "IOMMU_IOAS_ALLOC");
	attach.pt_id = alloc.out_ioas_id;
	return r ? r
		 : call(o, k->device, VMIG_UAPI_DEVICE_ATTACH_IOMMUFD_PT, &attach,
			"VFIO_DEVICE_ATTACH_IOMMUFD_PT");
}

/* "/dev/vfio/N" of a device's folder. */
static int find_group(struct opening *o, const char *folder, char *ret, size_t room)
{
	char path[PATH_MAX], link[PATH_MAX];
	const char *word;
	ssize_t n;

	if ((size_t)snprintf(path, sizeof(path), "%s/iommu_group", folder) >= sizeof(path))
		return failed(o, folder, ENAMETOOLONG);
	n = readlink(path, link, sizeof(link) - 1);
	if (n < 0)
		return failed(o, path, errno);
	link[n] = '\0';
	word = strrchr(link, '/');
	if ((size_t)snprintf(ret, room, "/dev/vfio/%s", word ? word + 1 : link) >= room)
		return failed(o, path, ENAMETOOLONG);
	return 0;
}

static bool find_cdev(const char *folder, char *ret, size_t room)
{
	char path[PATH_MAX];
	struct dirent *entry;
	bool found = false;
	DIR *list;

	if ((size_t)snprintf(path, sizeof(path), "%s/vfio-dev", folder) >= sizeof(path))
		return false;
	list = opendir(path);
	while (list && !found && (entry = readdir(list)))
		found = !strncmp(entry->d_name, "vfio", 4) &&
			(size_t)snprintf(ret, room, "/dev/vfio/devices/%s", entry->d_name) < room;
	if (list)
		closedir(list);
	return found;
}

/* By its group, unless there is none of this number. The device goes by the name of its folder, behind all links. */
static int open_by_folder(struct opening *o, const char *folder)
{
	char real[PATH_MAX], group[NAME_MAX + sizeof("/dev/vfio/")],
		cdev[NAME_MAX + sizeof("/dev/vfio/devices/")];
	int r = find_group(o, folder, group, sizeof(group));

	if (r)
		return r;
	if (access(group, F_OK) < 0 && find_cdev(folder, cdev, sizeof(cdev)))
		return open_by_cdev(o, cdev);
	if (!realpath(folder, real))
		return failed(o, folder, errno);
	return open_by_group(o, group, strrchr(real, '/') + 1);
}

int check_kernel_open(const struct check_calls *calls, const char *path, struct check_kernel *ret, char *why,
		      size_t why_size)
{
	struct opening o = { ret, why, why_size };
	struct stat st;
	int r;

	*ret = (struct check_kernel){ -1, -1, -1, -1, calls };
	r = !stat(path, &st) && S_ISDIR(st.st_mode) ? open_by_folder(&o, path) : open_by_cdev(&o, path);
	if (r)
		check_kernel_close(ret);
	return r;
}

/* The kernel wants the device gone before the group leaves its container. */
void check_kernel_close(struct check_kernel *k)
{
	int *const fds[] = { &k->device, &k->group, &k->container, &k->iommufd };

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (*fds[i] >= 0)
			k->calls->close(k->calls->opaque, *fds[i]);
		*fds[i] = -1;
	}
}
