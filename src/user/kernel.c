/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state machine of a kernel device, opened.
 *
 * Two requests are never passed on: out of STOP_COPY into PRE_COPY or PRE_COPY_P2P, on which kernels before 7.2 (and
 * 6.12.107) loop for ever in the core, and anything out of ERROR, on which they warn, which may be set to panic.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <vmig/user.h>

#include "user/kernel.h"

#define TIMEOUT_DEFAULT_MS 10000u

static int query_state(struct vmig_kernel *k, uint32_t *ret)
{
	struct vmig_uapi_device_feature_mig_state state = { .data_fd = -1 };
	int r = vmig_kernel_feature(k->device,
				    VMIG_UAPI_DEVICE_FEATURE_GET | VMIG_UAPI_DEVICE_FEATURE_MIG_DEVICE_STATE,
				    &state, sizeof(state));

	if (!r)
		*ret = state.device_state;
	return r;
}

static int kernel_query_state(void *p, uint32_t *ret_state, struct vmig_error *error)
{
	int r = query_state(p, ret_state);

	return r ? vmig_fault(error, r, "VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE",
			      "the device does not tell its state")
		 : 0;
}

/* Is it safe to ask the kernel for this? */
static int check_request(struct vmig_kernel *k, uint32_t from, uint32_t to, struct vmig_error *error)
{
	static const char where[] = "VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE";

	if (from == VMIG_STATE_ERROR)
		return vmig_fault(error, -EIO, where, "the device is in ERROR: only a reset leads out");
	if (from == VMIG_STATE_STOP_COPY && (to == VMIG_STATE_PRE_COPY || to == VMIG_STATE_PRE_COPY_P2P))
		return vmig_fault(error, -EINVAL, where, "there is no way from STOP_COPY back to pre-copy");
	if (from == VMIG_STATE_RESUMING && to != from && atomic_load(&k->load_is_broken))
		return vmig_fault(
			error, -EIO, where,
			"the state loaded into the device is not whole: only a reset leads out of RESUMING");
	return 0;
}

static int kernel_set_state(void *p, uint32_t target, struct vmig_session_half *ret, struct vmig_error *error)
{
	struct vmig_kernel *k = p;
	struct vmig_uapi_device_feature_mig_state state = { .device_state = target, .data_fd = -1 };
	uint32_t from = VMIG_STATE_NONE;
	int r = kernel_query_state(k, &from, error);

	if (!r)
		r = check_request(k, from, target, error);
	if (r)
		return r;
	r = vmig_kernel_feature(k->device,
				VMIG_UAPI_DEVICE_FEATURE_SET | VMIG_UAPI_DEVICE_FEATURE_MIG_DEVICE_STATE,
				&state, sizeof(state));
	if (r)
		return vmig_fault(error, r, "VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE",
				  "the device does not go to %s",
				  vmig_state_name(target) ? vmig_state_name(target) : "an unknown state");
	if (state.data_fd < 0)
		return 0;
	if (target == VMIG_STATE_RESUMING)
		atomic_store(&k->load_is_broken, false);
	return vmig_kernel_session_new(k, state.data_fd, target == VMIG_STATE_RESUMING, ret);
}

static int kernel_reset(void *p, struct vmig_error *error)
{
	struct vmig_kernel *k = p;

	if (!(k->info.flags & VMIG_DEVICE_FLAG_RESET))
		return vmig_fault(error, -EOPNOTSUPP, "VFIO_DEVICE_RESET", "the device has no reset");
	/* The kernel keeps both over a reset; a handle promises that they are gone. */
	vmig_kernel_disarm(k);
	if (atomic_exchange(&k->logging, false))
		(void)!vmig_kernel_dma_log_stop(k, NULL);
	if (ioctl(k->device, VMIG_UAPI_DEVICE_RESET) < 0)
		return vmig_fault(error, errno == ENOTTY ? -EOPNOTSUPP : -errno, "VFIO_DEVICE_RESET",
				  "the device does not reset");
	atomic_store(&k->load_is_broken, false);
	return 0;
}

static int kernel_query_stop_copy_size(void *p, uint64_t *ret, struct vmig_error *error)
{
	struct vmig_kernel *k = p;
	struct vmig_uapi_device_feature_mig_data_size size = { 0 };
	int r = vmig_kernel_feature(k->device,
				    VMIG_UAPI_DEVICE_FEATURE_GET | VMIG_UAPI_DEVICE_FEATURE_MIG_DATA_SIZE,
				    &size, sizeof(size));

	if (r)
		return vmig_fault(error, r == -ENOTTY ? -EOPNOTSUPP : r, "VFIO_DEVICE_FEATURE_MIG_DATA_SIZE",
				  "the device does not tell the size of its state");
	*ret = size.stop_copy_length;
	return 0;
}

static void kernel_set_timeout(void *p, uint32_t ms)
{
	struct vmig_kernel *k = p;

	atomic_store(&k->timeout_ms, ms);
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* The device before what it stands on. */
static void kernel_close(void *p)
{
	struct vmig_kernel *k = p;

	if (k->borrowed)
		vmig_kernel_give_back(k);
	close_fd(k->device);
	close_fd(k->group);
	close_fd(k->container);
	close_fd(k->iommufd);
	free(k->regions);
	free(k->folder);
	free(k->maps);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

static int kernel_query_descriptor(void *p, char **ret, struct vmig_error *error)
{
	struct vmig_kernel *k = p;
	uint64_t size;
	bool sized = k->info.has & VMIG_HAS_STOP_COPY_SIZE && !kernel_query_stop_copy_size(k, &size, NULL);

	return vmig_kernel_descriptor(k->folder, k->info.migration_flags, sized ? &size : NULL, ret);
}

static const struct vmig_provider_ops kernel_ops = {
	.close = kernel_close,
	.set_timeout = kernel_set_timeout,
	.query_state = kernel_query_state,
	.set_state = kernel_set_state,
	.reset = kernel_reset,
	.query_stop_copy_size = kernel_query_stop_copy_size,
	.query_descriptor = kernel_query_descriptor,
	.query_region = vmig_kernel_query_region,
	.region_read = vmig_kernel_region_read,
	.region_write = vmig_kernel_region_write,
	.query_irq = vmig_kernel_query_irq,
	.set_irqs = vmig_kernel_set_irqs,
	.map_dma = vmig_kernel_map_dma,
	.unmap_dma = vmig_kernel_unmap_dma,
	.dma_log_start = vmig_kernel_dma_log_start,
	.dma_log_stop = vmig_kernel_dma_log_stop,
	.dma_log_report = vmig_kernel_dma_log_report,
};

/* --- open --------------------------------------------------------------------------------- */

int vmig_kernel_open_fault(struct vmig_error *error, int code, const char *path)
{
	switch (code) {
	case -EBUSY:
		return vmig_fault(error, code, "open", "%s has another user", path);
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
		return vmig_fault(error, -ENOENT, "open", "there is no %s", path);
	case -EACCES:
	case -EPERM:
		return vmig_fault(error, code, "open", "not allowed to open %s: become root, or own it",
				  path);
	default:
		return vmig_fault(error, code, "open", "cannot open %s", path);
	}
}

static int identify(struct vmig_kernel *k, const char *dir, struct vmig_error *error)
{
	k->folder = strdup(dir);
	if (!k->folder)
		return vmig_fault(error, -ENOMEM, "open", "no memory");
	return vmig_kernel_identity(dir, k->info.identity, error);
}

/* A kernel may be built without groups: then the folder leads to the cdev. */
static int open_by_folder(struct vmig_kernel *k, const char *dir, struct vmig_error *error)
{
	char cdev[PATH_MAX], group[NAME_MAX + 1], node[NAME_MAX + sizeof("/dev/vfio/")];
	int r = vmig_kernel_link_word(dir, "iommu_group", group, sizeof(group));

	snprintf(node, sizeof(node), "/dev/vfio/%s", r ? "" : group);
	if (!r && access(node, F_OK) < 0 && !vmig_kernel_find_cdev(dir, cdev, sizeof(cdev)))
		r = vmig_kernel_open_cdev(k, cdev, error);
	else
		r = vmig_kernel_open_group(k, dir, error);
	return r ? r : identify(k, dir, error);
}

static int open_by_node(struct vmig_kernel *k, const char *path, dev_t number, struct vmig_error *error)
{
	char dir[64], device[sizeof(dir) + sizeof("/device")], subsystem[NAME_MAX + 1];
	int r;

	snprintf(dir, sizeof(dir), "/sys/dev/char/%u:%u", major(number), minor(number));
	if (vmig_kernel_link_word(dir, "subsystem", subsystem, sizeof(subsystem)) ||
	    strcmp(subsystem, "vfio-dev"))
		return vmig_fault(
			error, -EINVAL, "open",
			"%s is no VFIO device: give /dev/vfio/devices/vfioN, or the device's folder in sysfs",
			path);
	r = vmig_kernel_open_cdev(k, path, error);
	snprintf(device, sizeof(device), "%s/device", dir);
	return r ? r : identify(k, device, error);
}

static int open_by_path(struct vmig_kernel *k, const char *path, struct vmig_error *error)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return vmig_kernel_open_fault(error, -errno, path);
	if (S_ISDIR(st.st_mode))
		return open_by_folder(k, path, error);
	if (S_ISCHR(st.st_mode))
		return open_by_node(k, path, st.st_rdev, error);
	return vmig_fault(error, -EINVAL, "open",
			  "%s is neither a character device nor a device's folder in sysfs", path);
}

/* A device keeps its state over a close. What another user has loaded before is unknown to us, good or bad; and mtty has
 * thrown it away at the close, so that leaving RESUMING by anything but a reset is a NULL dereference in the kernel. */
static int look_at_state(struct vmig_kernel *k, struct vmig_error *error)
{
	uint32_t state = VMIG_STATE_NONE;
	int r = k->info.migration_flags ? kernel_query_state(k, &state, error) : 0;

	if (!r && k->info.migration_flags && state == VMIG_STATE_RESUMING)
		atomic_store(&k->load_is_broken, true);
	return r;
}

/* Drivers that are known to do what the text leaves open. */
static uint32_t traits_of(const char *identity)
{
	const char *driver = strrchr(identity, '/');
	uint32_t traits = VMIG_TRAIT_KEEPS_STATE | VMIG_TRAIT_ZERO_IS_DRAINED | VMIG_TRAIT_NO_POLL;

	if (driver && !strcmp(driver, "/mlx5_vfio_pci"))
		traits |= VMIG_TRAIT_INFO_STARTS_ROUND;
	/* Their streams begin with what they check: a header, match data. */
	if (!strncmp(identity, "mdev:mtty-", 10) || (driver && !strcmp(driver, "/hisi_acc_vfio_pci")))
		traits |= VMIG_TRAIT_MATCH_FIRST;
	return traits;
}

static int learn(struct vmig_kernel *k, const char *name, struct vmig_error *error)
{
	int r = vmig_kernel_query_all(k, error);

	if (!r)
		r = look_at_state(k, error);
	if (r)
		return r;
	k->info.traits = traits_of(k->info.identity);
	k->info.dma_kinds = VMIG_DMA_KIND_ADDRESS;
	snprintf(k->info.format, sizeof(k->info.format), "v2");
	snprintf(k->info.name, sizeof(k->info.name), "vfio:%s", name);
	return 0;
}

static void kernel_closep(struct vmig_kernel **k)
{
	if (*k)
		kernel_close(*k);
}

static struct vmig_kernel *new_kernel(void)
{
	struct vmig_kernel *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->device = k->group = k->container = k->iommufd = -1;
	pthread_mutex_init(&k->lock, NULL);
	atomic_init(&k->timeout_ms, TIMEOUT_DEFAULT_MS);
	return k;
}

int vmig_open_kernel(const char *path, struct vmig_device **ret, struct vmig_error *ret_error)
{
	_cleanup_(kernel_closep) struct vmig_kernel *k = new_kernel();
	int r;

	if (!k)
		return vmig_fault(ret_error, -ENOMEM, "open", "no memory for %s", path);
	r = open_by_path(k, path, ret_error);
	r = r ? r : learn(k, path, ret_error);
	if (r)
		return r;
	r = vmig_device_new(&kernel_ops, k, &k->info, ret);
	if (r)
		return vmig_fault(ret_error, r, "open", "no memory for %s", path);
	(void)steal_ptr(k);
	return 0;
}

int vmig_open_kernel_fds(const struct vmig_kernel_fds *fds, struct vmig_device **ret,
			 struct vmig_error *ret_error)
{
	_cleanup_(kernel_closep) struct vmig_kernel *k = new_kernel();
	_autofree_ char *dir = NULL;
	int r;

	if (!k)
		return vmig_fault(ret_error, -ENOMEM, "open", "no memory for a device");
	r = vmig_kernel_take_fds(k, fds, &dir, ret_error);
	r = r ? r : identify(k, dir, ret_error);
	r = r ? r : learn(k, dir, ret_error);
	if (r)
		return r;
	r = vmig_device_new(&kernel_ops, k, &k->info, ret);
	if (r)
		return vmig_fault(ret_error, r, "open", "no memory for a device");
	(void)steal_ptr(k);
	return 0;
}
