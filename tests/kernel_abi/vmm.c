/* SPDX-License-Identifier: BSD-3-Clause */
#include "vmm.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "models/models.h"
#include "models/nic.h"
#include <vmig/region.h>

static struct vmig_device *open_toy(const char *spec, struct toy **ret)
{
	const struct toy_config config = {
		.features = strcmp(spec, "toy-stays") ? 0 : TOY_STAYS,
		.no_log = !strcmp(spec, "toy-no-log"),
		.no_reset = !strcmp(spec, "toy-no-reset"),
	};
	struct vmig_device *dev;

	*ret = toy_new(&config, &dev);
	return dev;
}

static struct vmig_device *open_model(const char *spec, struct toy **ret_toy)
{
	struct vmig_error error = { 0 };
	struct vmig_device *dev = NULL, *v1;
	int r;

	if (!strncmp(spec, "v1+", 3)) {
		dev = open_model(spec + 3, ret_toy);
		ck_assert_int_eq(
			vmig_show_v1(dev, &(struct vmig_v1_config){ .section = VMIG_V1_SECTION_MAPPED }, &v1),
			0);
		return v1;
	}
	if (!strncmp(spec, "toy", 3))
		return open_toy(spec, ret_toy);
	r = models_open(spec, &dev, &error);
	ck_assert_msg(!r, "%s: %s", spec, error.text);
	return dev;
}

void vmm_init(struct vmm *vmm, const struct vmig_kabi_config *config, ...)
{
	struct vmig_kabi_config own = config ? *config : (struct vmig_kabi_config){ 0 };
	struct vmig_kabi_device devices[VMM_DEVICES] = { 0 };
	const char *spec;
	va_list ap;

	memset(vmm, 0, sizeof(*vmm));
	va_start(ap, config);
	for (; (spec = va_arg(ap, const char *)); vmm->n++)
		vmm->devices[vmm->n] = open_model(spec, &vmm->toys[vmm->n]);
	va_end(ap);
	for (int i = 0; i < vmm->n; i++) {
		if (own.devices)
			devices[i] = own.devices[i];
		devices[i].dev = vmm->devices[i];
		devices[i].status = &vmm->status[i];
		vmm->group[i] = vmm->fd[i] = -1;
	}
	own.devices = devices;
	own.n_devices = (uint32_t)vmm->n;
	way_init(&vmm->way, &own);
	vmm->memory_fd = memfd_create("guest", MFD_CLOEXEC);
	ck_assert_int_eq(ftruncate(vmm->memory_fd, VMM_MEMORY), 0);
	vmm->memory = mmap(NULL, VMM_MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, vmm->memory_fd, 0);
	ck_assert_ptr_ne(vmm->memory, MAP_FAILED);
	vmm->way.memory_fd = vmm->memory_fd;
	vmm->way.memory_at = vmm->memory;
	vmm->container = vmm->iommufd = -1;
}

void vmm_done(struct vmm *vmm)
{
	way_done(&vmm->way);
	for (int i = 0; i < vmm->n; i++)
		vmig_device_close(vmm->devices[i]);
	munmap(vmm->memory, VMM_MEMORY);
	close(vmm->memory_fd);
}

/* --- opening ------------------------------------------------------------------------------ */

static void open_group(struct vmm *vmm, int i)
{
	struct vmig_uapi_group_status status = { .argsz = sizeof(status) };
	int32_t container = vmm->container;
	char path[64];

	snprintf(path, sizeof(path), "/dev/vfio/%d", 90 + i);
	vmm->group[i] = way_open(&vmm->way, path);
	ck_assert_int_ge(vmm->group[i], 0);
	ck_assert_int_eq(way_ioctl(&vmm->way, vmm->group[i], VMIG_UAPI_GROUP_GET_STATUS, &status), 0);
	ck_assert_uint_eq(status.flags, VMIG_UAPI_GROUP_FLAGS_VIABLE);
	ck_assert_int_eq(way_ioctl(&vmm->way, vmm->group[i], VMIG_UAPI_GROUP_SET_CONTAINER, &container), 0);
}

void vmm_open_container(struct vmm *vmm)
{
	struct way *way = &vmm->way;

	vmm->container = way_open(way, "/dev/vfio/vfio");
	ck_assert_int_ge(vmm->container, 0);
	ck_assert_int_eq(way_ioctl(way, vmm->container, VMIG_UAPI_GET_API_VERSION, NULL), 0);
	ck_assert_int_eq(
		way_ioctl_number(way, vmm->container, VMIG_UAPI_CHECK_EXTENSION, VMIG_UAPI_TYPE1v2_IOMMU), 1);
	for (int i = 0; i < vmm->n; i++) {
		open_group(vmm, i);
		if (!i)
			ck_assert_int_eq(way_ioctl_number(way, vmm->container, VMIG_UAPI_SET_IOMMU,
							  VMIG_UAPI_TYPE1v2_IOMMU),
					 0);
	}
	for (int i = 0; i < vmm->n; i++) {
		vmm->fd[i] =
			(int)way_ioctl(way, vmm->group[i], VMIG_UAPI_GROUP_GET_DEVICE_FD, "0000:00:01.0");
		ck_assert_int_ge(vmm->fd[i], 0);
	}
}

static void attach(struct vmm *vmm, int i)
{
	struct way *way = &vmm->way;
	struct vmig_uapi_iommufd_hwpt_alloc alloc = { .size = sizeof(alloc),
						      .flags = VMIG_UAPI_IOMMUFD_HWPT_ALLOC_DIRTY_TRACKING,
						      .dev_id = vmm->dev_id[i],
						      .pt_id = vmm->ioas };
	struct vmig_uapi_device_attach_iommufd_pt pt = { .argsz = sizeof(pt) };

	ck_assert_int_eq(way_ioctl(way, vmm->iommufd, VMIG_UAPI_IOMMUFD_HWPT_ALLOC, &alloc), 0);
	vmm->hwpt[i] = pt.pt_id = alloc.out_hwpt_id;
	ck_assert_int_eq(way_ioctl(way, vmm->fd[i], VMIG_UAPI_DEVICE_ATTACH_IOMMUFD_PT, &pt), 0);
	ck_assert_uint_eq(pt.pt_id, alloc.out_hwpt_id);
}

void vmm_open_iommufd(struct vmm *vmm)
{
	struct vmig_uapi_iommufd_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct way *way = &vmm->way;

	vmm->iommufd = way_open(way, "/dev/iommu");
	ck_assert_int_ge(vmm->iommufd, 0);
	for (int i = 0; i < vmm->n; i++) {
		struct vmig_uapi_device_bind_iommufd bind = { .argsz = sizeof(bind),
							      .iommufd = vmm->iommufd };
		char path[64];

		snprintf(path, sizeof(path), "/dev/vfio/devices/vfio%d", i);
		vmm->fd[i] = way_open(way, path);
		ck_assert_int_ge(vmm->fd[i], 0);
		ck_assert_int_eq(way_ioctl(way, vmm->fd[i], VMIG_UAPI_DEVICE_BIND_IOMMUFD, &bind), 0);
		vmm->dev_id[i] = bind.out_devid;
	}
	ck_assert_int_eq(way_ioctl(way, vmm->iommufd, VMIG_UAPI_IOMMUFD_IOAS_ALLOC, &alloc), 0);
	vmm->ioas = alloc.out_ioas_id;
	for (int i = 0; i < vmm->n; i++)
		attach(vmm, i);
}

/* --- memory ------------------------------------------------------------------------------- */

int vmm_map(struct vmm *vmm, uint64_t iova, uint64_t offset, uint64_t size)
{
	struct vmig_uapi_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VMIG_UAPI_DMA_MAP_FLAG_READ | VMIG_UAPI_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)(vmm->memory + offset),
		.iova = iova,
		.size = size,
	};
	struct vmig_uapi_iommufd_ioas_map ioas = {
		.size = sizeof(ioas),
		.flags = VMIG_UAPI_IOMMUFD_IOAS_MAP_FIXED_IOVA | VMIG_UAPI_IOMMUFD_IOAS_MAP_READABLE |
			 VMIG_UAPI_IOMMUFD_IOAS_MAP_WRITEABLE,
		.ioas_id = vmm->ioas,
		.user_va = map.vaddr,
		.length = size,
		.iova = iova,
	};

	if (vmm->container >= 0)
		return (int)way_ioctl(&vmm->way, vmm->container, VMIG_UAPI_IOMMU_MAP_DMA, &map);
	return (int)way_ioctl(&vmm->way, vmm->iommufd, VMIG_UAPI_IOMMUFD_IOAS_MAP, &ioas);
}

int64_t vmm_unmap(struct vmm *vmm, uint64_t iova, uint64_t size)
{
	struct vmig_uapi_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap), .iova = iova, .size = size };
	struct vmig_uapi_iommufd_ioas_unmap ioas = {
		.size = sizeof(ioas), .ioas_id = vmm->ioas, .iova = iova, .length = size
	};
	int64_t r;

	if (vmm->container >= 0) {
		r = way_ioctl(&vmm->way, vmm->container, VMIG_UAPI_IOMMU_UNMAP_DMA, &unmap);
		return r < 0 ? r : (int64_t)unmap.size;
	}
	r = way_ioctl(&vmm->way, vmm->iommufd, VMIG_UAPI_IOMMUFD_IOAS_UNMAP, &ioas);
	return r < 0 ? r : (int64_t)ioas.length;
}

/* --- a device ----------------------------------------------------------------------------- */

int64_t vmm_feature(struct vmm *vmm, int fd, uint32_t flags, void *data, size_t len)
{
	struct {
		struct vmig_uapi_device_feature head;
		uint8_t data[64];
	} feature = { .head = { .argsz = (uint32_t)(sizeof(feature.head) + len), .flags = flags } };
	int64_t r;

	ck_assert_uint_le(len, sizeof(feature.data));
	if (len)
		memcpy(feature.data, data, len);
	r = way_ioctl(&vmm->way, fd, VMIG_UAPI_DEVICE_FEATURE, &feature);
	if (len)
		memcpy(data, feature.data, len);
	return r;
}

int64_t vmm_set_state(struct vmm *vmm, int fd, uint32_t state, int *ret_fd)
{
	struct vmig_uapi_device_feature_mig_state mig = { .device_state = state, .data_fd = -1 };
	int64_t r =
		vmm_feature(vmm, fd, VMIG_UAPI_DEVICE_FEATURE_SET | VMIG_UAPI_DEVICE_FEATURE_MIG_DEVICE_STATE,
			    &mig, sizeof(mig));

	if (ret_fd)
		*ret_fd = mig.data_fd;
	return r;
}

uint32_t vmm_state(struct vmm *vmm, int fd)
{
	struct vmig_uapi_device_feature_mig_state mig = { 0 };

	ck_assert_int_eq(vmm_feature(vmm, fd,
				     VMIG_UAPI_DEVICE_FEATURE_GET | VMIG_UAPI_DEVICE_FEATURE_MIG_DEVICE_STATE,
				     &mig, sizeof(mig)),
			 0);
	ck_assert_int_eq(mig.data_fd, -1);
	return mig.device_state;
}

uint64_t vmm_register(struct vmm *vmm, int fd, uint32_t offset)
{
	uint64_t value;

	ck_assert_int_eq(way_pread(&vmm->way, fd, &value, sizeof(value), offset), sizeof(value));
	return value;
}

void vmm_write_register(struct vmm *vmm, int fd, uint32_t offset, uint64_t value)
{
	ck_assert_int_eq(way_pwrite(&vmm->way, fd, &value, sizeof(value), offset), sizeof(value));
}

uint64_t vmm_digest(struct vmm *vmm, int fd)
{
	vmm_write_register(vmm, fd, NIC_CONTROL, NIC_CONTROL_DIGEST);
	return vmm_register(vmm, fd, NIC_RESULT);
}

void vmm_dirty(struct vmm *vmm, int device, uint64_t iova, uint64_t pages)
{
	for (uint64_t i = 0; i < pages; i++)
		ck_assert_int_eq(vmig_model_dma_write(toy_model(vmm->toys[device]), iova + i * 4096, "x", 1),
				 0);
}

int64_t vmm_save(struct vmm *vmm, int data_fd, size_t piece, uint8_t **ret, size_t *ret_len)
{
	for (;;) {
		int64_t got;

		*ret = realloc(*ret, *ret_len + piece);
		ck_assert_ptr_nonnull(*ret);
		got = way_read(&vmm->way, data_fd, *ret + *ret_len, piece);
		if (got <= 0)
			return got;
		*ret_len += (size_t)got;
	}
}

int64_t vmm_load(struct vmm *vmm, int data_fd, const uint8_t *data, size_t len, size_t piece)
{
	while (len) {
		size_t n = len < piece ? len : piece;
		int64_t r = way_write(&vmm->way, data_fd, data, n);

		if (r < 0)
			return r;
		ck_assert_int_eq(r, (int64_t)n);
		data += n;
		len -= n;
	}
	return 0;
}
