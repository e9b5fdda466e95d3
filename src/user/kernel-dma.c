/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "user/kernel.h"

_Static_assert(sizeof(struct vmig_range) == sizeof(struct vmig_uapi_device_feature_dma_logging_range),
	       "ranges are handed to the kernel as they are");

/* --- the list of mappings ----------------------------------------------------------------- */

/* Index of the first mapping that ends above @iova. */
static size_t find_map(const struct vmig_kernel *k, uint64_t iova)
{
	size_t low = 0, high = k->n_maps;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (k->maps[mid].iova + (k->maps[mid].size - 1) < iova)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int make_room(struct vmig_kernel *k)
{
	size_t room = k->room_maps ? 2 * k->room_maps : 16;
	struct vmig_kernel_map *maps;

	if (k->n_maps == VMIG_LIMIT_DMA_MAPS)
		return -ENOSPC;
	if (k->n_maps < k->room_maps)
		return 0;
	maps = realloc(k->maps, room * sizeof(*maps));
	if (!maps)
		return -ENOMEM;
	k->maps = maps;
	k->room_maps = room;
	return 0;
}

static void insert_map(struct vmig_kernel *k, size_t at, uint64_t iova, uint64_t size)
{
	memmove(k->maps + at + 1, k->maps + at, (k->n_maps - at) * sizeof(*k->maps));
	k->maps[at] = (struct vmig_kernel_map){ .iova = iova, .size = size };
	k->n_maps++;
}

static void remove_map(struct vmig_kernel *k, size_t at)
{
	k->n_maps--;
	memmove(k->maps + at, k->maps + at + 1, (k->n_maps - at) * sizeof(*k->maps));
}

/* --- the two kinds of address space ------------------------------------------------------- */

static int map_type1(struct vmig_kernel *k, const struct vmig_dma *map)
{
	struct vmig_uapi_iommu_type1_dma_map raw = {
		.argsz = sizeof(raw),
		.flags = (map->prot & VMIG_DMA_READ ? VMIG_UAPI_DMA_MAP_FLAG_READ : 0) |
			 (map->prot & VMIG_DMA_WRITE ? VMIG_UAPI_DMA_MAP_FLAG_WRITE : 0),
		.vaddr = (uintptr_t)map->vaddr,
		.iova = map->iova,
		.size = map->size,
	};

	return ioctl(k->container, VMIG_UAPI_IOMMU_MAP_DMA, &raw) < 0 ? -errno : 0;
}

static int map_ioas(struct vmig_kernel *k, const struct vmig_dma *map)
{
	struct vmig_uapi_iommufd_ioas_map raw = {
		.size = sizeof(raw),
		.flags = VMIG_UAPI_IOMMUFD_IOAS_MAP_FIXED_IOVA |
			 (map->prot & VMIG_DMA_READ ? VMIG_UAPI_IOMMUFD_IOAS_MAP_READABLE : 0) |
			 (map->prot & VMIG_DMA_WRITE ? VMIG_UAPI_IOMMUFD_IOAS_MAP_WRITEABLE : 0),
		.ioas_id = k->ioas,
		.user_va = (uintptr_t)map->vaddr,
		.length = map->size,
		.iova = map->iova,
	};

	return ioctl(k->iommufd, VMIG_UAPI_IOMMUFD_IOAS_MAP, &raw) < 0 ? -errno : 0;
}

static int unmap_type1(struct vmig_kernel *k, uint64_t iova, uint64_t size)
{
	struct vmig_uapi_iommu_type1_dma_unmap raw = { .argsz = sizeof(raw), .iova = iova, .size = size };

	return ioctl(k->container, VMIG_UAPI_IOMMU_UNMAP_DMA, &raw) < 0 ? -errno : 0;
}

static int unmap_ioas(struct vmig_kernel *k, uint64_t iova, uint64_t size)
{
	struct vmig_uapi_iommufd_ioas_unmap raw = {
		.size = sizeof(raw), .ioas_id = k->ioas, .iova = iova, .length = size
	};

	return ioctl(k->iommufd, VMIG_UAPI_IOMMUFD_IOAS_UNMAP, &raw) < 0 ? -errno : 0;
}

static int map_locked(struct vmig_kernel *k, const struct vmig_dma *map, struct vmig_error *error)
{
	size_t at;
	int r;

	at = find_map(k, map->iova);
	if (at < k->n_maps && k->maps[at].iova <= map->iova + (map->size - 1))
		return vmig_fault(error, -EEXIST, "map", "%#llx is mapped already",
				  (unsigned long long)k->maps[at].iova);
	if (k->container < 0 && k->iommufd < 0)
		return vmig_fault(error, -EOPNOTSUPP, "map", "its mappings are its user's");
	r = make_room(k);
	if (!r)
		r = k->container >= 0 ? map_type1(k, map) : map_ioas(k, map);
	if (r)
		return vmig_fault(error, r, k->container >= 0 ? "VFIO_IOMMU_MAP_DMA" : "IOMMU_IOAS_MAP",
				  "%llu bytes at %#llx are not mapped%s", (unsigned long long)map->size,
				  (unsigned long long)map->iova,
				  r == -ENOMEM ? ": perhaps over RLIMIT_MEMLOCK (ulimit -l)" : "");
	insert_map(k, at, map->iova, map->size);
	return 0;
}

int vmig_kernel_map_dma(void *p, const struct vmig_dma *map, struct vmig_error *error)
{
	struct vmig_kernel *k = p;
	int r;

	pthread_mutex_lock(&k->lock);
	r = map_locked(k, map, error);
	pthread_mutex_unlock(&k->lock);
	return r;
}

static int unmap_locked(struct vmig_kernel *k, uint64_t iova, uint64_t size, struct vmig_error *error)
{
	size_t at = find_map(k, iova);
	int r;

	if (at == k->n_maps || k->maps[at].iova != iova || k->maps[at].size != size)
		return vmig_fault(error, -ENOENT, "unmap", "%llu bytes at %#llx are no mapping",
				  (unsigned long long)size, (unsigned long long)iova);
	r = k->container >= 0 ? unmap_type1(k, iova, size) : unmap_ioas(k, iova, size);
	if (r)
		return vmig_fault(error, r, k->container >= 0 ? "VFIO_IOMMU_UNMAP_DMA" : "IOMMU_IOAS_UNMAP",
				  "%llu bytes at %#llx stay mapped", (unsigned long long)size,
				  (unsigned long long)iova);
	remove_map(k, at);
	return 0;
}

int vmig_kernel_unmap_dma(void *p, uint64_t iova, uint64_t size, struct vmig_error *error)
{
	struct vmig_kernel *k = p;
	int r;

	pthread_mutex_lock(&k->lock);
	r = unmap_locked(k, iova, size, error);
	pthread_mutex_unlock(&k->lock);
	return r;
}

/* --- the DMA log -------------------------------------------------------------------------- */

int vmig_kernel_dma_log_start(void *p, uint64_t *page_size, const struct vmig_range *ranges, uint32_t n,
			      struct vmig_error *error)
{
	struct vmig_kernel *k = p;
	struct vmig_uapi_device_feature_dma_logging_control control = {
		.page_size = *page_size,
		.num_ranges = n,
		.ranges = (uintptr_t)ranges,
	};
	int r;

	/* Drivers have an errno each for this, or none. */
	if (atomic_load(&k->logging))
		return vmig_fault(error, -EBUSY, "VFIO_DEVICE_FEATURE_DMA_LOGGING_START",
				  "the DMA log is started already");
	r = vmig_kernel_feature(k->device,
				VMIG_UAPI_DEVICE_FEATURE_SET | VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_START,
				&control, sizeof(control));
	if (r)
		return vmig_fault(error, r, "VFIO_DEVICE_FEATURE_DMA_LOGGING_START",
				  "the device logs no DMA to %u ranges", n);
	*page_size = control.page_size;
	atomic_store(&k->logging, true);
	return 0;
}

int vmig_kernel_dma_log_stop(void *p, struct vmig_error *error)
{
	struct vmig_kernel *k = p;
	int r = vmig_kernel_feature(
		k->device, VMIG_UAPI_DEVICE_FEATURE_SET | VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_STOP, NULL, 0);

	if (r)
		return vmig_fault(error, r, "VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP",
				  "the DMA log does not stop");
	atomic_store(&k->logging, false);
	return 0;
}

int vmig_kernel_dma_log_report(void *p, uint64_t iova, uint64_t length, uint64_t page_size, uint64_t *bitmap,
			       struct vmig_error *error)
{
	struct vmig_kernel *k = p;
	struct vmig_uapi_device_feature_dma_logging_report report = {
		.iova = iova, .length = length, .page_size = page_size, .bitmap = (uintptr_t)bitmap
	};
	int r;

	if (!atomic_load(&k->logging))
		return vmig_fault(error, -EINVAL, "VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT",
				  "the DMA log is not started");
	r = vmig_kernel_feature(k->device,
				VMIG_UAPI_DEVICE_FEATURE_GET | VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_REPORT,
				&report, sizeof(report));
	if (r == -EOPNOTSUPP)
		return vmig_fault(
			error, r, "VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT",
			"this kernel starts a DMA log and cannot report it: all memory counts as dirty");
	return r ? vmig_fault(error, r, "VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT",
			      "the DMA log is not reported")
		 : 0;
}
