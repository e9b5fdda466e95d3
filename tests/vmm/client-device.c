/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <vmig/uapi.h>

#include "client.h"
#include "models/nic.h"

#define WAIT_MS     20000
#define PCI_COMMAND 4
#define PCI_ON      6 /* memory, bus master */

/* --- registers ------------------------------------------------------------------------------- */

uint64_t client_read(struct client *c, uint32_t reg)
{
	uint64_t value;

	need(pread(c->fd, &value, sizeof(value), (off_t)(c->bar0 + reg)) == sizeof(value), "read a register");
	return value;
}

static void write_register(struct client *c, uint32_t reg, uint64_t value)
{
	need(pwrite(c->fd, &value, sizeof(value), (off_t)(c->bar0 + reg)) == sizeof(value),
	     "write a register");
}

void client_region(struct client *c, uint32_t index, uint64_t *ret_offset, uint64_t *ret_size,
		   uint32_t *ret_type)
{
	union {
		struct vmig_uapi_region_info info;
		uint8_t bytes[1024];
	} u = { .info = { .argsz = sizeof(u), .index = index } };
	struct vmig_uapi_region_info_cap_type *type;

	need(!ioctl(c->fd, VMIG_UAPI_DEVICE_GET_REGION_INFO, &u), "GET_REGION_INFO");
	*ret_offset = u.info.offset;
	*ret_size = u.info.size;
	*ret_type = 0;
	for (uint32_t at = u.info.cap_offset; at && at + sizeof(*type) <= sizeof(u); at = type->header.next) {
		type = (struct vmig_uapi_region_info_cap_type *)(u.bytes + at);
		if (type->header.id == VMIG_UAPI_REGION_INFO_CAP_TYPE)
			*ret_type = type->type;
	}
}

/* --- opening --------------------------------------------------------------------------------- */

static void open_container(struct client *c)
{
	struct vmig_uapi_group_status status = { .argsz = sizeof(status) };
	char path[32];

	c->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	need(c->container >= 0, "/dev/vfio/vfio");
	snprintf(path, sizeof(path), "/dev/vfio/%u", 90 + c->groups_before);
	c->group = open(path, O_RDWR);
	need(c->group >= 0, path);
	need(!ioctl(c->group, VMIG_UAPI_GROUP_GET_STATUS, &status), "GROUP_GET_STATUS");
	need(!ioctl(c->group, VMIG_UAPI_GROUP_SET_CONTAINER, &c->container), "SET_CONTAINER");
	need(!ioctl(c->container, VMIG_UAPI_SET_IOMMU, VMIG_UAPI_TYPE1v2_IOMMU), "SET_IOMMU");
	c->fd = ioctl(c->group, VMIG_UAPI_GROUP_GET_DEVICE_FD, "0000:00:01.0");
	need(c->fd >= 0, "GROUP_GET_DEVICE_FD");
}

static void map_container(struct client *c)
{
	struct vmig_uapi_iommu_type1_dma_map map = { .argsz = sizeof(map),
						     .flags = VMIG_UAPI_DMA_MAP_FLAG_READ |
							      VMIG_UAPI_DMA_MAP_FLAG_WRITE,
						     .vaddr = (uintptr_t)c->memory,
						     .iova = CLIENT_IOVA,
						     .size = CLIENT_MEMORY };

	need(!ioctl(c->container, VMIG_UAPI_IOMMU_MAP_DMA, &map), "MAP_DMA");
}

static void open_iommufd(struct client *c)
{
	struct vmig_uapi_device_bind_iommufd bind = { .argsz = sizeof(bind), .iommufd = atoi(c->iommufd) };
	struct vmig_uapi_device_attach_iommufd_pt pt = { .argsz = sizeof(pt) };
	struct vmig_uapi_iommufd_ioas_alloc alloc = { .size = sizeof(alloc) };

	c->container = bind.iommufd;
	c->group = -1;
	c->fd = atoi(c->cdev);
	need(!ioctl(c->fd, VMIG_UAPI_DEVICE_BIND_IOMMUFD, &bind), "BIND_IOMMUFD");
	need(!ioctl(c->container, VMIG_UAPI_IOMMUFD_IOAS_ALLOC, &alloc), "IOAS_ALLOC");
	pt.pt_id = alloc.out_ioas_id;
	need(!ioctl(c->fd, VMIG_UAPI_DEVICE_ATTACH_IOMMUFD_PT, &pt), "ATTACH_PT");
}

static void map_iommufd(struct client *c)
{
	struct vmig_uapi_iommufd_ioas_map map = { .size = sizeof(map),
						  .flags = VMIG_UAPI_IOMMUFD_IOAS_MAP_FIXED_IOVA |
							   VMIG_UAPI_IOMMUFD_IOAS_MAP_READABLE |
							   VMIG_UAPI_IOMMUFD_IOAS_MAP_WRITEABLE,
						  .user_va = (uintptr_t)c->memory,
						  .length = CLIENT_MEMORY,
						  .iova = CLIENT_IOVA };
	struct vmig_uapi_iommufd_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct vmig_uapi_device_attach_iommufd_pt pt = { .argsz = sizeof(pt) };

	/* A page table of its own, so that its number is known here. */
	need(!ioctl(c->container, VMIG_UAPI_IOMMUFD_IOAS_ALLOC, &alloc), "IOAS_ALLOC");
	map.ioas_id = pt.pt_id = alloc.out_ioas_id;
	need(!ioctl(c->fd, VMIG_UAPI_DEVICE_ATTACH_IOMMUFD_PT, &pt), "ATTACH_PT");
	need(!ioctl(c->container, VMIG_UAPI_IOMMUFD_IOAS_MAP, &map), "IOAS_MAP");
}

static void make_memory(struct client *c)
{
	int fd = c->memfd ? memfd_create("guest", MFD_CLOEXEC) : -1;

	need(!c->memfd || (fd >= 0 && !ftruncate(fd, CLIENT_MEMORY)), "memfd");
	c->memory = mmap(NULL, CLIENT_MEMORY, PROT_READ | PROT_WRITE,
			 c->memfd ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);
	need(c->memory != MAP_FAILED, "memory");
}

void client_open(struct client *c)
{
	uint64_t size;
	uint32_t type;

	make_memory(c);
	if (c->iommufd) {
		open_iommufd(c);
		map_iommufd(c);
	} else {
		open_container(c);
		map_container(c);
	}
	client_region(c, NIC_BAR_REGISTERS, &c->bar0, &size, &type);
	client_region(c, NIC_BAR_DOORBELLS, &c->doorbells, &size, &type);
	client_region(c, VMIG_UAPI_PCI_CONFIG_REGION_INDEX, &c->config_offset, &size, &type);
	c->irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	need(c->irq_fd >= 0, "eventfd");
}

void client_close(struct client *c)
{
	close(c->fd);
	if (c->group >= 0)
		close(c->group);
	close(c->container);
}

void client_arm(struct client *c)
{
	struct {
		struct vmig_uapi_irq_set set;
		int32_t fd;
	} irqs = { .set = { .argsz = sizeof(irqs),
			    .flags = VMIG_UAPI_IRQ_SET_DATA_EVENTFD | VMIG_UAPI_IRQ_SET_ACTION_TRIGGER,
			    .index = VMIG_UAPI_PCI_MSIX_IRQ_INDEX,
			    .count = 1 },
		   .fd = c->irq_fd };
	uint16_t command = PCI_ON;

	need(pwrite(c->fd, &command, sizeof(command), (off_t)(c->config_offset + PCI_COMMAND)) ==
		     sizeof(command),
	     "PCI command");
	need(!ioctl(c->fd, VMIG_UAPI_DEVICE_SET_IRQS, &irqs), "SET_IRQS");
}

/* --- the queue ------------------------------------------------------------------------------- */

void client_start_queue(struct client *c)
{
	write_register(c, NIC_QUEUE(0) + NIC_QUEUE_BASE, CLIENT_IOVA);
	write_register(c, NIC_QUEUE(0) + NIC_QUEUE_INDEX, CLIENT_IOVA + CLIENT_INDEX);
	write_register(c, NIC_QUEUE(0) + NIC_QUEUE_SLOTS, CLIENT_SLOTS);
	write_register(c, NIC_QUEUE(0) + NIC_QUEUE_CONTROL, 1);
	if (!(client_read(c, NIC_QUEUE(0) + NIC_QUEUE_CONTROL) & NIC_QUEUE_STATUS_ENABLED))
		fail("the queue was refused");
}

static uint64_t producer(struct client *c)
{
	return __atomic_load_n((uint64_t *)(void *)(c->memory + CLIENT_INDEX), __ATOMIC_ACQUIRE);
}

static void wait_for_interrupt(struct client *c)
{
	struct pollfd poll_fd = { .fd = c->irq_fd, .events = POLLIN };
	eventfd_t count;

	if (poll(&poll_fd, 1, WAIT_MS) != 1)
		fail("no interrupt: %llu records, %llu taken", (unsigned long long)producer(c),
		     (unsigned long long)c->consumer);
	eventfd_read(c->irq_fd, &count);
}

static void take_one(struct client *c)
{
	uint8_t want[NIC_RECORD];

	while (producer(c) == c->consumer)
		wait_for_interrupt(c);
	nic_record_make(want, 0, c->consumer);
	if (memcmp(want, c->memory + c->consumer % CLIENT_SLOTS * NIC_RECORD, sizeof(want)) != 0)
		fail("record %llu is not what was to come", (unsigned long long)c->consumer);
	c->consumer++;
}

static void ring_doorbell(struct client *c)
{
	uint32_t low = (uint32_t)c->consumer;

	need(pwrite(c->fd, &low, sizeof(low), (off_t)(c->doorbells + NIC_DOORBELL(0))) == sizeof(low),
	     "the doorbell");
}

void client_take(struct client *c, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		take_one(c);
		if (i % 16 == 15)
			ring_doorbell(c);
	}
	ring_doorbell(c);
}

void client_fill(struct client *c)
{
	while (producer(c) < c->consumer + CLIENT_SLOTS)
		wait_for_interrupt(c);
}

uint64_t client_digest(struct client *c)
{
	write_register(c, NIC_CONTROL, NIC_CONTROL_DIGEST);
	return client_read(c, NIC_RESULT);
}
