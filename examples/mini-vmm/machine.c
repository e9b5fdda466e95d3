/* SPDX-License-Identifier: BSD-3-Clause */
/* machine - the devices of the VMM: opened by itself, handed over to libvmig, and wired. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <vmig/memory.h>
#include <vmig/uapi.h>
#include <vmig/user.h>

#include "relay.h"
#include "vmm.h"

/* --- devices that the VMM opens itself ----------------------------------------------------- */

/* The handle takes the socket over. */
static int open_vfio_user(const char *path, struct vmig_device **ret, struct vmig_error *error)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		snprintf(error->text, sizeof(error->text), "%s", strerror(errno));
		return -errno;
	}
	return vmig_open_vfio_user_fd(fd, NULL, ret, error);
}

/* As every VMM does: the group, a container of its own, the device. "NUMBER,DEVICE". */
static int open_group(const char *spec, int fds[3])
{
	char path[64];
	const char *name = strchr(spec, ',');

	if (!name)
		return -EINVAL;
	snprintf(path, sizeof(path), "/dev/vfio/%.*s", (int)(name - spec), spec);
	fds[1] = open(path, O_RDWR | O_CLOEXEC);
	fds[2] = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (fds[1] < 0 || fds[2] < 0 || ioctl(fds[1], VMIG_UAPI_GROUP_SET_CONTAINER, &fds[2]) ||
	    ioctl(fds[2], VMIG_UAPI_SET_IOMMU, VMIG_UAPI_TYPE1v2_IOMMU))
		return -errno;
	fds[0] = ioctl(fds[1], VMIG_UAPI_GROUP_GET_DEVICE_FD, name + 1);
	return fds[0] < 0 ? -errno : 0;
}

/* Or the newer way: the cdev, an iommufd, an address space in it. "vfioN". */
static int open_cdev(const char *name, int fds[3], uint32_t *ret_ioas)
{
	struct vmig_uapi_iommufd_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct vmig_uapi_device_attach_iommufd_pt attach = { .argsz = sizeof(attach) };
	struct vmig_uapi_device_bind_iommufd bind = { .argsz = sizeof(bind) };
	char path[64];

	snprintf(path, sizeof(path), "/dev/vfio/devices/%.32s", name);
	fds[0] = open(path, O_RDWR | O_CLOEXEC);
	fds[1] = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	bind.iommufd = fds[1];
	if (fds[0] < 0 || fds[1] < 0 || ioctl(fds[0], VMIG_UAPI_DEVICE_BIND_IOMMUFD, &bind) ||
	    ioctl(fds[1], VMIG_UAPI_IOMMUFD_IOAS_ALLOC, &alloc))
		return -errno;
	attach.pt_id = *ret_ioas = alloc.out_ioas_id;
	return ioctl(fds[0], VMIG_UAPI_DEVICE_ATTACH_IOMMUFD_PT, &attach) ? -errno : 0;
}

/* The handle works on duplicates: these descriptors stay the VMM's. "group:NUMBER,DEVICE,FOLDER" or "cdev:vfioN,FOLDER". */
static int open_kernel(const char *spec, int fds[3], struct vmig_device **ret, struct vmig_error *error)
{
	bool cdev = !strncmp(spec, "cdev:", 5);
	struct vmig_kernel_fds give = { .container = -1, .iommufd = -1 };
	char name[128], *folder;
	int r;

	snprintf(name, sizeof(name), "%s", strchr(spec, ':') + 1);
	folder = strrchr(name, ',');
	if (!folder)
		return -EINVAL;
	*folder++ = '\0';
	r = cdev ? open_cdev(name, fds, &give.ioas) : open_group(name, fds);
	if (r)
		return r;
	give.device = fds[0];
	if (cdev)
		give.iommufd = fds[1];
	else
		give.container = fds[2];
	give.sysfs = folder;
	return vmig_open_kernel_fds(&give, ret, error);
}

static int open_device(struct vmm *vmm, uint32_t i, const char *spec)
{
	struct vmig_error error = { 0 };
	int r = -EINVAL;

	if (!strcmp(spec, "relay"))
		r = relay_open(&vmm->devices[i]);
	else if (!strncmp(spec, "vfio-user:", 10))
		r = open_vfio_user(spec + 10, &vmm->devices[i], &error);
	else if (!strncmp(spec, "group:", 6) || !strncmp(spec, "cdev:", 5))
		r = open_kernel(spec, vmm->device_fds[i], &vmm->devices[i], &error);
	if (r)
		fprintf(stderr, "mini-vmm: %s: %s\n", spec, error.text[0] ? error.text : strerror(-r));
	return r;
}

/* --- wiring -------------------------------------------------------------------------------- */

static int make_ram(struct vmm *vmm)
{
	struct vmig_dma map = { .iova = VMM_RAM_IOVA,
				.size = VMM_RAM_SIZE,
				.prot = VMIG_DMA_READ | VMIG_DMA_WRITE };

	vmm->ram_fd = memfd_create("ram", MFD_CLOEXEC);
	vmm->irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	vmm->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (vmm->ram_fd < 0 || vmm->irq_fd < 0 || vmm->kick_fd < 0 || ftruncate(vmm->ram_fd, VMM_RAM_SIZE))
		return -errno;
	vmm->ram = mmap(NULL, VMM_RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, vmm->ram_fd, 0);
	vmm->ram_for_devices = mmap(NULL, VMM_RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, vmm->ram_fd, 0);
	if (vmm->ram == MAP_FAILED || vmm->ram_for_devices == MAP_FAILED)
		return -ENOMEM;
	map.fd = vmm->ram_fd;
	map.vaddr = vmm->ram_for_devices;
	return vmig_space_map(vmm->space, &map);
}

/* BAR 2 of the second device, where the first one can write to it: its content is the second device's and moves with it. */
static int map_inbox(struct vmm *vmm)
{
	struct vmig_dma map = { .iova = VMM_INBOX_IOVA,
				.size = RELAY_RING_SIZE,
				.prot = VMIG_DMA_READ | VMIG_DMA_WRITE | VMIG_DMA_REGION };
	struct vmig_region region;
	int r = vmig_device_query_region(vmm->devices[VMM_SECOND], RELAY_BAR_INBOX, &region);

	if (r || !(region.flags & VMIG_REGION_MMAP))
		return r ? r : -ENODEV;
	vmm->inbox = mmap(NULL, RELAY_RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, region.fd,
			  (off_t)region.fd_offset);
	if (vmm->inbox == MAP_FAILED)
		return -errno;
	map.fd = region.fd;
	map.fd_offset = region.fd_offset;
	map.vaddr = vmm->inbox;
	return vmig_device_map_dma(vmm->devices[VMM_FIRST], &map);
}

/* What the guest itself has written, for the memory's rounds. */
static int guest_wrote(void *opaque, uint64_t iova, uint64_t length, uint64_t page_size, uint64_t *bitmap)
{
	struct vmm *vmm = opaque;

	if (iova != VMM_RAM_IOVA || length != VMM_RAM_SIZE || page_size != 4096)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(vmm->dirty) / 8; i++)
		bitmap[i] |= __atomic_exchange_n(&vmm->dirty[i], 0, __ATOMIC_ACQUIRE);
	return 0;
}

static int make_memory(struct vmm *vmm)
{
	const struct vmig_memory_config config = { .space = vmm->space,
						   .devices = vmm->devices,
						   .n_devices = VMM_DEVICES,
						   .dirty = guest_wrote,
						   .opaque = vmm };

	return vmig_memory_new(&config, &vmm->memory);
}

int vmm_arm(struct vmm *vmm, uint32_t device)
{
	const struct vmig_irq_set set = { .flags = VMIG_IRQ_DATA_EVENTFD | VMIG_IRQ_ACTION_TRIGGER,
					  .index = RELAY_IRQ,
					  .count = 1,
					  .fds = &vmm->irq_fd };

	return device == VMM_SECOND ? vmig_device_set_irqs(vmm->devices[device], &set) : 0;
}

int vmm_write(struct vmm *vmm, uint32_t device, uint32_t index, uint64_t offset, uint64_t value, size_t len)
{
	return vmig_device_region_write(vmm->devices[device], index, offset, &value, len);
}

int vmm_read(struct vmm *vmm, uint32_t device, uint64_t offset, uint64_t *ret)
{
	return vmig_device_region_read(vmm->devices[device], RELAY_BAR_REGISTERS, offset, ret, sizeof(*ret));
}

int vmm_set_up(struct vmm *vmm)
{
	const uint64_t targets[] = { VMM_INBOX_IOVA, VMM_RAM_IOVA + VMM_RING };
	const uint64_t roles[] = { RELAY_GENERATES, RELAY_FORWARDS };
	int r = 0;

	for (uint32_t i = VMM_DEVICES; !r && i-- > 0;) {
		r = vmig_device_reset(vmm->devices[i]); /* whoever had it before */
		r = r ? r : vmm_arm(vmm, i);
		r = r ? r : vmm_write(vmm, i, RELAY_BAR_REGISTERS, RELAY_TARGET, targets[i], 8);
		r = r ? r : vmm_write(vmm, i, RELAY_BAR_REGISTERS, RELAY_ROLE, roles[i], 8);
		r = r ? r : vmm_write(vmm, i, VMIG_REGION_PCI_CONFIG, RELAY_COMMAND, RELAY_MASTER, 2);
	}
	return r;
}

/* --- life ---------------------------------------------------------------------------------- */

int vmm_open(struct vmm *vmm, char **specs)
{
	int r;

	memset(vmm, 0, sizeof(*vmm));
	memset(vmm->device_fds, -1, sizeof(vmm->device_fds));
	vmm->ram_fd = vmm->irq_fd = vmm->kick_fd = -1;
	vmm->ram = vmm->ram_for_devices = vmm->inbox = MAP_FAILED;
	pthread_mutex_init(&vmm->lock, NULL);
	for (uint32_t i = 0; i < VMM_DEVICES; i++) {
		r = open_device(vmm, i, specs[i]);
		if (r)
			return r;
	}
	r = vmig_space_new(&vmm->space);
	r = r ? r : make_ram(vmm);
	for (uint32_t i = 0; !r && i < VMM_DEVICES; i++)
		r = vmig_space_attach(vmm->space, vmm->devices[i]);
	r = r ? r : map_inbox(vmm);
	r = r ? r : make_memory(vmm);
	if (r)
		fprintf(stderr, "mini-vmm: the machine cannot be wired: %s\n", strerror(-r));
	return r;
}

void vmm_close(struct vmm *vmm)
{
	int fds[] = { vmm->ram_fd, vmm->irq_fd, vmm->kick_fd };

	guest_pause(vmm);
	vmig_device_close(vmm->memory);
	vmig_space_free(vmm->space);
	for (uint32_t i = 0; i < VMM_DEVICES; i++)
		vmig_device_close(vmm->devices[i]);
	for (uint32_t i = 0; i < VMM_DEVICES * 3; i++)
		if (vmm->device_fds[i / 3][i % 3] >= 0)
			close(vmm->device_fds[i / 3][i % 3]);
	for (uint32_t i = 0; i < 3; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (vmm->ram != MAP_FAILED)
		munmap(vmm->ram, VMM_RAM_SIZE);
	if (vmm->ram_for_devices != MAP_FAILED)
		munmap(vmm->ram_for_devices, VMM_RAM_SIZE);
	if (vmm->inbox != MAP_FAILED)
		munmap(vmm->inbox, RELAY_RING_SIZE);
	pthread_mutex_destroy(&vmm->lock);
}
