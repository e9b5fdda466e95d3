/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "user/kernel.h"

/* The largest struct of a feature that we use; the header goes before it. */
#define FEATURE_DATA_MAX 64u

int vmig_kernel_feature(int device, uint32_t flags, void *data, size_t len)
{
	struct {
		struct vmig_uapi_device_feature head;
		VMIG_UAPI_U64 data[FEATURE_DATA_MAX / sizeof(uint64_t)];
	} feature = { .head = { .argsz = (uint32_t)(sizeof(feature.head) + len), .flags = flags } };

	if (len > FEATURE_DATA_MAX)
		return -EINVAL;
	if (len)
		memcpy(feature.data, data, len);
	if (ioctl(device, VMIG_UAPI_DEVICE_FEATURE, &feature) < 0)
		return -errno;
	if (len)
		memcpy(data, feature.data, len);
	return 0;
}

/* A probe names the ways (GET, SET) that are wanted; a feature that lacks one of them fails it. */
static bool probe(int device, uint32_t feature, uint32_t ways)
{
	return !vmig_kernel_feature(device, VMIG_UAPI_DEVICE_FEATURE_PROBE | ways | feature, NULL, 0);
}

static int query_migration_flags(struct vmig_kernel *k, struct vmig_error *error)
{
	struct vmig_uapi_device_feature_migration migration = { 0 };
	int r = vmig_kernel_feature(k->device,
				    VMIG_UAPI_DEVICE_FEATURE_GET | VMIG_UAPI_DEVICE_FEATURE_MIGRATION,
				    &migration, sizeof(migration));

	/* Before Linux 5.18, and for drivers that do not migrate. */
	if (r == -ENOTTY || r == -EOPNOTSUPP)
		return 0;
	if (r)
		return vmig_fault(error, r, "VFIO_DEVICE_FEATURE_MIGRATION",
				  "the kernel does not say whether the device migrates");
	k->info.migration_flags = migration.flags;
	return 0;
}

static void query_features(struct vmig_kernel *k)
{
	const uint32_t get = VMIG_UAPI_DEVICE_FEATURE_GET, set = VMIG_UAPI_DEVICE_FEATURE_SET;

	if (probe(k->device, VMIG_UAPI_DEVICE_FEATURE_MIG_DATA_SIZE, get))
		k->info.has |= VMIG_HAS_STOP_COPY_SIZE;
	if (probe(k->device, VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_START, set) &&
	    probe(k->device, VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_STOP, set) &&
	    probe(k->device, VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_REPORT, get))
		k->info.has |= VMIG_HAS_DMA_LOG;
	if (!(k->info.migration_flags & VMIG_MIGRATION_PRE_COPY))
		return;
	k->info.has |= VMIG_HAS_PRECOPY_INFO;
	/* Drivers used to leave precopy_info.flags unassigned: only one that takes this opt-in may be believed. */
	if (probe(k->device, VMIG_UAPI_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, set) &&
	    !vmig_kernel_feature(k->device, set | VMIG_UAPI_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, NULL, 0))
		k->info.has |= VMIG_HAS_REINIT;
}

int vmig_kernel_query_all(struct vmig_kernel *k, struct vmig_error *error)
{
	struct vmig_uapi_device_info info = { .argsz = sizeof(info) };
	int r;

	if (ioctl(k->device, VMIG_UAPI_DEVICE_GET_INFO, &info) < 0)
		return vmig_fault(error, -errno, "VFIO_DEVICE_GET_INFO",
				  "the kernel does not describe the device");
	if (info.num_regions > VMIG_LIMIT_REGIONS || info.num_irqs > VMIG_LIMIT_IRQ_INDICES)
		return vmig_fault(error, -E2BIG, "VFIO_DEVICE_GET_INFO",
				  "%u regions and %u kinds of interrupt; at most %u and %u are taken",
				  info.num_regions, info.num_irqs, VMIG_LIMIT_REGIONS,
				  VMIG_LIMIT_IRQ_INDICES);
	k->info.flags = info.flags & (VMIG_DEVICE_FLAG_RESET | VMIG_DEVICE_FLAG_PCI);
	k->info.n_regions = info.num_regions;
	k->info.n_irqs = info.num_irqs;
	r = query_migration_flags(k, error);
	if (r)
		return r;
	if (k->info.migration_flags) {
		/* A device that migrates must have a reset, the only way out of ERROR; mtty has it and does not say so. */
		k->info.flags |= VMIG_DEVICE_FLAG_RESET;
		query_features(k);
	}
	return vmig_kernel_query_regions(k, error);
}
