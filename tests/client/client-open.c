/* SPDX-License-Identifier: BSD-3-Clause */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client.h"

static void open_group(struct client *client)
{
	struct vmig_uapi_group_status status = { .argsz = sizeof(status) };
	char path[64];

	client->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	MUST(client->container >= 0);
	MUST(ioctl(client->container, VMIG_UAPI_GET_API_VERSION) == VMIG_UAPI_API_VERSION);
	MUST(ioctl(client->container, VMIG_UAPI_CHECK_EXTENSION, VMIG_UAPI_TYPE1v2_IOMMU) == 1);
	snprintf(path, sizeof(path), "/dev/vfio/%d", 90 + client->number);
	client->group = open(path, O_RDWR | O_CLOEXEC);
	MUST(client->group >= 0);
	MUST(!ioctl(client->group, VMIG_UAPI_GROUP_GET_STATUS, &status));
	MUST(status.flags & VMIG_UAPI_GROUP_FLAGS_VIABLE);
	MUST(!ioctl(client->group, VMIG_UAPI_GROUP_SET_CONTAINER, &client->container));
	MUST(!ioctl(client->container, VMIG_UAPI_SET_IOMMU, VMIG_UAPI_TYPE1v2_IOMMU));
	snprintf(path, sizeof(path), "d%d", client->number);
	client->device = ioctl(client->group, VMIG_UAPI_GROUP_GET_DEVICE_FD, path);
	MUST(client->device >= 0);
}

static void open_cdev(struct client *client)
{
	struct vmig_uapi_device_bind_iommufd bind = { .argsz = sizeof(bind) };
	struct vmig_uapi_iommufd_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct vmig_uapi_device_attach_iommufd_pt attach = { .argsz = sizeof(attach) };
	char path[64];

	client->iommu = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	MUST(client->iommu >= 0);
	snprintf(path, sizeof(path), "/dev/vfio/devices/vfio%d", client->number);
	client->device = open(path, O_RDWR | O_CLOEXEC);
	MUST(client->device >= 0);
	bind.iommufd = client->iommu;
	MUST(!ioctl(client->device, VMIG_UAPI_DEVICE_BIND_IOMMUFD, &bind));
	MUST(!ioctl(client->iommu, VMIG_UAPI_IOMMUFD_IOAS_ALLOC, &alloc));
	attach.pt_id = client->ioas = alloc.out_ioas_id;
	MUST(!ioctl(client->device, VMIG_UAPI_DEVICE_ATTACH_IOMMUFD_PT, &attach));
}

void client_open(struct client *client)
{
	client->container = client->group = client->iommu = client->device = client->irq = -1;
	if (client->iommufd)
		open_cdev(client);
	else
		open_group(client);
}

void client_close(struct client *client)
{
	int *fds[] = { &client->device, &client->group, &client->container, &client->iommu, &client->irq };

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (*fds[i] >= 0)
			MUST(!close(*fds[i]));
		*fds[i] = -1;
	}
}

/* Shared memory begins within its mapping, which begins within its file: so that each has another offset. */
static uint8_t *map_shared(void)
{
	int fd = memfd_create("client", MFD_CLOEXEC);
	uint8_t *memory;

	MUST(fd >= 0 && !ftruncate(fd, 3 * CLIENT_MEMORY));
	memory = mmap(NULL, 2 * CLIENT_MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, fd, CLIENT_MEMORY);
	MUST(memory != MAP_FAILED);
	return memory + CLIENT_MEMORY / 2;
}

uint8_t *client_memory(const struct client *client)
{
	uint8_t *memory;

	if (!client->private)
		return map_shared();
	memory = mmap(NULL, CLIENT_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(memory != MAP_FAILED);
	return memory;
}

void client_map(struct client *client)
{
	struct vmig_uapi_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VMIG_UAPI_DMA_MAP_FLAG_READ | VMIG_UAPI_DMA_MAP_FLAG_WRITE,
		.size = CLIENT_MEMORY,
	};
	struct vmig_uapi_iommufd_ioas_map ioas = {
		.size = sizeof(ioas),
		.flags = VMIG_UAPI_IOMMUFD_IOAS_MAP_FIXED_IOVA | VMIG_UAPI_IOMMUFD_IOAS_MAP_READABLE |
			 VMIG_UAPI_IOMMUFD_IOAS_MAP_WRITEABLE,
		.ioas_id = client->ioas,
		.length = CLIENT_MEMORY,
	};

	client->memory = client_memory(client);
	map.vaddr = ioas.user_va = (uintptr_t)client->memory;
	if (client->iommufd)
		MUST(!ioctl(client->iommu, VMIG_UAPI_IOMMUFD_IOAS_MAP, &ioas));
	else
		MUST(!ioctl(client->container, VMIG_UAPI_IOMMU_MAP_DMA, &map));
}

/* --- a device ----------------------------------------------------------------------------- */

int client_feature(int device, uint32_t flags, void *data, size_t len)
{
	struct {
		struct vmig_uapi_device_feature head;
		uint8_t data[64];
	} feature = { .head = { .argsz = (uint32_t)(sizeof(feature.head) + len), .flags = flags } };
	int r;

	memcpy(feature.data, data, len);
	r = ioctl(device, VMIG_UAPI_DEVICE_FEATURE, &feature);
	memcpy(data, feature.data, len);
	return r;
}

int client_set_state(int device, uint32_t state)
{
	struct vmig_uapi_device_feature_mig_state mig = { .device_state = state, .data_fd = -1 };

	if (client_feature(device, VMIG_UAPI_DEVICE_FEATURE_SET | VMIG_UAPI_DEVICE_FEATURE_MIG_DEVICE_STATE,
			   &mig, sizeof(mig)))
		FAIL("state %u: %s", state, strerror(errno));
	return mig.data_fd;
}

uint32_t client_state(int device)
{
	struct vmig_uapi_device_feature_mig_state mig = { 0 };

	MUST(!client_feature(device, VMIG_UAPI_DEVICE_FEATURE_GET | VMIG_UAPI_DEVICE_FEATURE_MIG_DEVICE_STATE,
			     &mig, sizeof(mig)));
	return mig.device_state;
}

uint64_t client_region_offset(int device, uint32_t index)
{
	struct vmig_uapi_region_info info = { .argsz = sizeof(info), .index = index };

	MUST(!ioctl(device, VMIG_UAPI_DEVICE_GET_REGION_INFO, &info));
	return info.offset;
}
