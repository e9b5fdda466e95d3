/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * user - the user side: open a device that somebody else provides.
 *
 * On failure *ret_error (may be NULL) says what and where, since there is no handle yet to ask.
 */
#ifndef VMIG_USER_H
#define VMIG_USER_H

#include <vmig/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Zero is a default for all. */
struct vmig_vfio_user_config {
	uint32_t timeout_ms; /* of the handshake and of each call; 10,000 */
	uint32_t max_write;  /* most bytes of migration data in one message; 0: what the server negotiates.
				 * 36,520 for libvfio-user as of June 2026 */
	uint32_t depth;      /* messages of migration data in flight; 4 */
	int plain;           /* propose no experimental capability */
	/*
	 * Take the device from the user that it has: that one's connection is ended, its command in hand is waited for (so
	 * give it time), what it had sent beyond is dropped, and all that was its own (mappings, interrupts, DMA log,
	 * session) is released, before this one is served. A server that cannot do so says -EBUSY, as without it.
	 */
	int take;
};

/**
 * Connect to the vfio-user server at @path (or on the connected socket @fd, which is taken over).
 *
 * Returns 0, or
 *   -ENOENT, -ECONNREFUSED, -EACCES   no socket, nobody listens, not allowed
 *   -EPROTO      what answers is not a vfio-user server, or speaks another major version
 *   -EBUSY       the device has another user
 *   -ECONNRESET  the server closed the connection while it was asked
 *   -ETIMEDOUT   no answer in time
 *   -ENAMETOOLONG   @path does not fit a socket's address
 */
int vmig_open_vfio_user(const char *path, const struct vmig_vfio_user_config *config,
			struct vmig_device **ret, struct vmig_error *ret_error);
int vmig_open_vfio_user_fd(int fd, const struct vmig_vfio_user_config *config, struct vmig_device **ret,
			   struct vmig_error *ret_error);

/**
 * Open a device of the kernel's VFIO: @path is a cdev (/dev/vfio/devices/vfioN; through iommufd) or a
 * device's folder in sysfs (through its group and a type1 container).
 *
 * Returns 0, or
 *   -ENOENT      no such device, or it has no IOMMU group
 *   -EBUSY       the device or its group has another user
 *   -EINVAL      @path is neither
 *   -EACCES, -EPERM   not allowed
 */
int vmig_open_kernel(const char *path, struct vmig_device **ret, struct vmig_error *ret_error);

/** A device of the kernel's VFIO that a VMM has opened itself. -1: none. */
struct vmig_kernel_fds {
	int device;        /* of its cdev, bound and attached; or from VFIO_GROUP_GET_DEVICE_FD */
	int container;     /* through a group: for mappings through the handle; its IOMMU is set */
	int iommufd;       /* through a cdev: for mappings through the handle, in @ioas */
	uint32_t ioas;     /* of @iommufd */
	const char *sysfs; /* the device's folder; NULL: found by @device, if that is a cdev's */
};

/**
 * A handle on a device that the caller has open and goes on using: what a VMM that links the library hands over in order to
 * migrate it. The descriptors are duplicated and stay the caller's. Without @container and @iommufd the handle maps nothing
 * (-EOPNOTSUPP); the caller has its mappings already, and they are not known here.
 *
 * vmig_device_close() gives back only what was done through the handle: its mappings, its interrupts, its DMA log. The
 * device stays open and in its state, with the caller's mappings and interrupts. A reset disarms what was armed through
 * the handle only.
 *
 * Returns 0, or
 *   -EBADF       @device is no descriptor
 *   -EINVAL      @device is no VFIO device, or both a container and an iommufd are given, or @sysfs is missing
 *   -ENOENT      what @sysfs says is no device
 */
int vmig_open_kernel_fds(const struct vmig_kernel_fds *fds, struct vmig_device **ret,
			 struct vmig_error *ret_error);

#ifdef __cplusplus
}
#endif
#endif
