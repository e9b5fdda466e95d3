/* SPDX-License-Identifier: BSD-3-Clause */
/* A device's file: its info, regions, interrupts and resets, and what its close leaves behind. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm.h"

#define BAD ((void *)8)

static uint64_t at(uint32_t region, uint64_t offset)
{
	return (uint64_t)region << 40 | offset;
}

static void open_one(struct vmm *vmm, const char *spec)
{
	vmm_init(vmm, NULL, spec, NULL);
	vmm_open_container(vmm);
}

/* --- info --------------------------------------------------------------------------------- */

TEST(the_info_is_as_long_as_the_program_knows_it)
{
	struct {
		struct vmig_uapi_device_info info;
		uint8_t rest[64];
	} args;
	struct vmm vmm;

	open_one(&vmm, "toy");
	memset(&args, 0xee, sizeof(args));
	args.info.argsz = 15;
	ck_assert_int_eq(way_ioctl(&vmm.way, vmm.fd[0], VMIG_UAPI_DEVICE_GET_INFO, &args), -EINVAL);
	args.info.argsz = 16;
	ck_assert_int_eq(way_ioctl(&vmm.way, vmm.fd[0], VMIG_UAPI_DEVICE_GET_INFO, &args), 0);
	ck_assert_uint_eq(args.info.num_regions, TOY_N_REGIONS);
	ck_assert_uint_eq(args.info.num_irqs, TOY_N_IRQS);
	ck_assert_uint_eq(args.info.flags & 3, VMIG_UAPI_DEVICE_FLAGS_RESET | VMIG_UAPI_DEVICE_FLAGS_PCI);
	ck_assert_uint_eq(((uint8_t *)&args)[16], 0xee);
	args.info.argsz = sizeof(args);
	ck_assert_int_eq(way_ioctl(&vmm.way, vmm.fd[0], VMIG_UAPI_DEVICE_GET_INFO, &args), 0);
	ck_assert_uint_eq(args.rest[16], 0xee);
	ck_assert_int_eq(way_ioctl(&vmm.way, vmm.fd[0], VMIG_UAPI_DEVICE_GET_INFO, BAD), -EFAULT);
	vmm_done(&vmm);
}

/* --- regions ------------------------------------------------------------------------------ */

struct region {
	struct vmig_uapi_region_info info;
	uint8_t rest[512];
};

static int64_t region_info(struct vmm *vmm, struct region *region, uint32_t argsz, uint32_t index)
{
	memset(region, 0xee, sizeof(*region));
	region->info.argsz = argsz;
	region->info.index = index;
	return way_ioctl(&vmm->way, vmm->fd[0], VMIG_UAPI_DEVICE_GET_REGION_INFO, region);
}

static void *find_cap(struct region *region, uint16_t id)
{
	for (uint32_t where = region->info.cap_offset; where;) {
		struct vmig_uapi_info_cap_header header;

		ck_assert_uint_le(where, region->info.argsz - sizeof(header));
		memcpy(&header, (uint8_t *)region + where, sizeof(header));
		if (header.id == id)
			return (uint8_t *)region + where;
		where = header.next;
	}
	return NULL;
}

TEST(a_region_lies_at_its_index_in_the_descriptor)
{
	struct region region;
	struct vmm vmm;

	open_one(&vmm, "toy");
	ck_assert_int_eq(region_info(&vmm, &region, 31, 0), -EINVAL);
	ck_assert_int_eq(region_info(&vmm, &region, 32, TOY_N_REGIONS), -EINVAL);
	ck_assert_int_eq(region_info(&vmm, &region, 32, TOY_BUFFER), 0);
	ck_assert_uint_eq(region.info.offset, at(TOY_BUFFER, 0));
	ck_assert_uint_eq(region.info.size, TOY_BUFFER_SIZE);
	ck_assert_uint_eq(region.info.flags, 3);
	ck_assert_int_eq(region_info(&vmm, &region, 32, 5), 0); /* not there */
	ck_assert_uint_eq(region.info.size, 0);
	ck_assert_int_eq(way_ioctl(&vmm.way, vmm.fd[0], VMIG_UAPI_DEVICE_GET_REGION_INFO, BAD), -EFAULT);
	vmm_done(&vmm);
}

TEST(capabilities_come_when_there_is_room_for_all)
{
	struct vmig_uapi_region_info_cap_sparse_mmap *sparse;
	struct vmig_uapi_region_info_cap_type *type;
	struct region region;
	struct vmm vmm;
	uint32_t size;

	open_one(&vmm, "toy");
	ck_assert_int_eq(region_info(&vmm, &region, 32, TOY_MAPPED), 0);
	size = region.info.argsz;
	ck_assert_uint_eq(size, 32 + 16 + 2 * 16);
	ck_assert_uint_eq(region.info.cap_offset, 0);
	ck_assert_uint_eq(region.rest[0], 0xee);
	ck_assert_int_eq(region_info(&vmm, &region, size - 1, TOY_MAPPED), 0);
	ck_assert_uint_eq(region.rest[0], 0xee);
	ck_assert_int_eq(region_info(&vmm, &region, size, TOY_MAPPED), 0);
	sparse = find_cap(&region, VMIG_UAPI_REGION_INFO_CAP_SPARSE_MMAP);
	ck_assert_ptr_nonnull(sparse);
	ck_assert_uint_eq(sparse->nr_areas, 2);
	ck_assert_ptr_null(find_cap(&region, VMIG_UAPI_REGION_INFO_CAP_TYPE));
	ck_assert_int_eq(region_info(&vmm, &region, sizeof(region), TOY_TYPED), 0);
	type = find_cap(&region, VMIG_UAPI_REGION_INFO_CAP_TYPE);
	ck_assert_ptr_nonnull(type);
	ck_assert_uint_eq(type->type, TOY_TYPE);
	ck_assert_uint_eq(type->subtype, TOY_SUBTYPE);
	vmm_done(&vmm);
}

TEST(bytes_are_read_and_written_where_they_are)
{
	uint8_t buf[128], want[64];
	struct vmm vmm;
	uint64_t value = 0x1122334455667788;
	int fd;

	open_one(&vmm, "toy");
	fd = vmm.fd[0];
	ck_assert_int_eq(way_pwrite(&vmm.way, fd, &value, 8, at(TOY_REGISTERS, 0x100)), 8);
	for (size_t len = 1; len <= 8; len *= 2) {
		memset(buf, 0, sizeof(buf));
		ck_assert_int_eq(way_pread(&vmm.way, fd, buf, len, at(TOY_REGISTERS, 0x100)), (int64_t)len);
		ck_assert_mem_eq(buf, &value, len);
	}
	for (int i = 0; i < 64; i++)
		want[i] = (uint8_t)i;
	/* Longer ones, odd ones, and one that goes beyond the end. */
	ck_assert_int_eq(way_pread(&vmm.way, fd, buf, 64, at(TOY_READ_ONLY, 0)), 64);
	ck_assert_mem_eq(buf, want, 64);
	ck_assert_int_eq(way_pread(&vmm.way, fd, buf, 13, at(TOY_READ_ONLY, 3)), 13);
	ck_assert_mem_eq(buf, want + 3, 13);
	ck_assert_int_eq(way_pread(&vmm.way, fd, buf, 128, at(TOY_READ_ONLY, 60)), 4);
	ck_assert_int_eq(way_pread(&vmm.way, fd, buf, 1, at(TOY_READ_ONLY, 64)), -EINVAL);
	ck_assert_int_eq(way_pread(&vmm.way, fd, buf, 0, at(TOY_READ_ONLY, 0)), 0);
	ck_assert_int_eq(way_pwrite(&vmm.way, fd, buf, 4, at(TOY_READ_ONLY, 0)), -EINVAL);
	ck_assert_int_eq(way_pread(&vmm.way, fd, buf, 4, at(TOY_N_REGIONS, 0)), -EINVAL);
	ck_assert_int_eq(way_pread(&vmm.way, fd, buf, 4, at(5, 0)), -EINVAL);
	ck_assert_int_eq(way_pread(&vmm.way, fd, BAD, 4, at(TOY_READ_ONLY, 0)), -EFAULT);
	ck_assert_int_eq(way_pwrite(&vmm.way, fd, BAD, 4, at(TOY_REGISTERS, 0x100)), -EFAULT);
	ck_assert_int_eq(way_pread(&vmm.way, fd, buf, 4, 1ull << 63), -EINVAL);
	vmm_done(&vmm);
}

TEST(a_bulk_transfer_arrives_whole)
{
	uint8_t *buf = malloc(TOY_BUFFER_SIZE), *back = malloc(TOY_BUFFER_SIZE);
	struct vmm vmm;

	open_one(&vmm, "toy");
	for (size_t i = 0; i < TOY_BUFFER_SIZE; i++)
		buf[i] = (uint8_t)(i * 7 + i / 4096);
	ck_assert_int_eq(way_pwrite(&vmm.way, vmm.fd[0], buf, 300001, at(TOY_BUFFER, 5)), 300001);
	ck_assert_int_eq(way_pread(&vmm.way, vmm.fd[0], back, 300001, at(TOY_BUFFER, 5)), 300001);
	ck_assert_mem_eq(back, buf, 300001);
	free(buf);
	free(back);
	vmm_done(&vmm);
}

TEST(read_without_an_offset_goes_on)
{
	uint8_t buf[8];
	struct vmm vmm;

	open_one(&vmm, "toy"); /* region 0 is at the beginning of the descriptor */
	ck_assert_int_eq(way_pwrite(&vmm.way, vmm.fd[0], "abcdefgh", 8, at(TOY_REGISTERS, 0x100)), 8);
	for (int i = 0; i < 0x100 / 8; i++)
		ck_assert_int_eq(way_read(&vmm.way, vmm.fd[0], buf, 8), 8);
	ck_assert_int_eq(way_read(&vmm.way, vmm.fd[0], buf, 8), 8);
	ck_assert_mem_eq(buf, "abcdefgh", 8);
	ck_assert_int_eq(way_write(&vmm.way, vmm.fd[0], "ij", 2), 2);
	ck_assert_int_eq(way_pread(&vmm.way, vmm.fd[0], buf, 2, at(TOY_REGISTERS, 0x108)), 2);
	ck_assert_mem_eq(buf, "ij", 2);
	ck_assert_int_eq(way_read(&vmm.way, vmm.container, buf, 8), -EINVAL);
	ck_assert_int_eq(way_write(&vmm.way, vmm.group[0], buf, 8), -EINVAL);
	vmm_done(&vmm);
}

/* --- mmap --------------------------------------------------------------------------------- */

static int map(struct vmm *vmm, int fd, uint64_t offset, uint64_t len, int prot, int *ret_fd, uint64_t *ret)
{
	return vmig_kabi_mmap(way_file(&vmm->way, fd), &vmm->way.task, offset, len, prot, ret_fd, ret);
}

TEST(what_can_be_mapped_is_mapped_and_nothing_else)
{
	struct vmig_uapi_region_info_cap_sparse_mmap *sparse;
	const struct vmig_uapi_region_sparse_mmap_area *area;
	struct region region;
	uint64_t where;
	struct vmm vmm;
	uint8_t *mem;
	int fd, rw = PROT_READ | PROT_WRITE;

	open_one(&vmm, "toy");
	ck_assert_int_eq(region_info(&vmm, &region, sizeof(region), TOY_MAPPED), 0);
	ck_assert(region.info.flags & VMIG_UAPI_REGION_INFO_FLAG_MMAP);
	sparse = find_cap(&region, VMIG_UAPI_REGION_INFO_CAP_SPARSE_MMAP);
	area = (void *)(sparse + 1);
	ck_assert_int_eq(map(&vmm, vmm.fd[0], at(TOY_MAPPED, area[0].offset), area[0].size, rw, &fd, &where),
			 0);
	ck_assert_uint_eq(where, TOY_MAPPED_SIZE + area[0].offset); /* where the toy's file has it */
	mem = mmap(NULL, area[0].size, rw, MAP_SHARED, fd, (off_t)where);
	ck_assert_ptr_ne(mem, MAP_FAILED);
	munmap(mem, area[0].size);
	/* Between the areas, over their ends, of what is trapped, of another kind. */
	ck_assert_int_eq(map(&vmm, vmm.fd[0], at(TOY_MAPPED, 0), TOY_MAPPED_SIZE, rw, &fd, &where), -EINVAL);
	ck_assert_int_eq(
		map(&vmm, vmm.fd[0], at(TOY_MAPPED, area[0].offset + area[0].size), 4096, rw, &fd, &where),
		-EINVAL);
	ck_assert_int_eq(map(&vmm, vmm.fd[0], at(TOY_MAPPED, area[0].offset), 0, rw, &fd, &where), -EINVAL);
	ck_assert_int_eq(map(&vmm, vmm.fd[0], at(TOY_MAPPED, area[0].offset + 8), 8, rw, &fd, &where),
			 -EINVAL);
	ck_assert_int_eq(map(&vmm, vmm.fd[0], at(TOY_MAPPED, area[0].offset), UINT64_MAX, rw, &fd, &where),
			 -EINVAL);
	ck_assert_int_eq(map(&vmm, vmm.fd[0], at(TOY_MAPPED, area[0].offset), 4096, PROT_EXEC, &fd, &where),
			 -EINVAL);
	ck_assert_int_eq(map(&vmm, vmm.fd[0], at(TOY_REGISTERS, 0), 4096, rw, &fd, &where), -EINVAL);
	ck_assert_int_eq(map(&vmm, vmm.fd[0], at(77, 0), 4096, rw, &fd, &where), -EINVAL);
	ck_assert_int_eq(map(&vmm, vmm.container, 0, 4096, rw, &fd, &where), -ENODEV);
	vmm_done(&vmm);
}

TEST(a_device_can_be_shown_without_mmap)
{
	const struct vmig_kabi_device device = { .no_mmap = true };
	struct region region;
	uint64_t where;
	struct vmm vmm;
	int fd;

	vmm_init(&vmm, &(struct vmig_kabi_config){ .devices = &device }, "toy", NULL);
	vmm_open_container(&vmm);
	ck_assert_int_eq(region_info(&vmm, &region, sizeof(region), TOY_MAPPED), 0);
	ck_assert_uint_eq(region.info.flags, 3);
	ck_assert_int_eq(map(&vmm, vmm.fd[0], at(TOY_MAPPED, 0), 4096, PROT_READ, &fd, &where), -EINVAL);
	vmm_done(&vmm);
}

/* Of a way in that cannot change mmap(): only what lies in the descriptor's own file, at its place. */
TEST(with_a_backing_file_only_what_lies_in_it_can_be_mapped)
{
	struct region region;
	struct vmm vmm;
	int fd;

	vmm_init(&vmm, &(struct vmig_kabi_config){ .own_mmap = true }, "v1+toy", NULL);
	vmm_open_container(&vmm);
	ck_assert_int_eq(region_info(&vmm, &region, sizeof(region), TOY_MAPPED), 0);
	ck_assert(!(region.info.flags & VMIG_UAPI_REGION_INFO_FLAG_MMAP));
	ck_assert_int_eq(region_info(&vmm, &region, sizeof(region), TOY_N_REGIONS), 0);
	ck_assert(region.info.flags & VMIG_UAPI_REGION_INFO_FLAG_MMAP);
	fd = vmig_kabi_file_backing(way_file(&vmm.way, vmm.fd[0]));
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(vmig_kabi_file_backing(way_file(&vmm.way, vmm.group[0])), -1);
	vmm_done(&vmm);
}

/* --- interrupts --------------------------------------------------------------------------- */

static int64_t set_irqs(struct vmm *vmm, uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
			const void *data, size_t len)
{
	struct {
		struct vmig_uapi_irq_set head;
		uint8_t data[1024];
	} args = { .head = { .argsz = (uint32_t)(sizeof(args.head) + len),
			     .flags = flags,
			     .index = index,
			     .start = start,
			     .count = count } };

	if (len)
		memcpy(args.data, data, len);
	return way_ioctl(&vmm->way, vmm->fd[0], VMIG_UAPI_DEVICE_SET_IRQS, &args);
}

#define TRIGGER VMIG_UAPI_IRQ_SET_ACTION_TRIGGER
#define EVENTFD (VMIG_UAPI_IRQ_SET_DATA_EVENTFD | TRIGGER)
#define NONE    (VMIG_UAPI_IRQ_SET_DATA_NONE | TRIGGER)
#define MSIX    2u

static void raise_irq(struct vmm *vmm, uint32_t index, uint32_t sub)
{
	uint64_t value = (uint64_t)index << 32 | sub;

	ck_assert_int_eq(way_pwrite(&vmm->way, vmm->fd[0], &value, 8, at(TOY_REGISTERS, TOY_REG_RAISE)), 8);
}

static uint64_t taken(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

TEST(interrupts_arrive_at_the_programs_eventfds)
{
	int fds[3];
	struct vmm vmm;

	open_one(&vmm, "toy");
	fds[0] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	fds[1] = -1;
	fds[2] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ck_assert_int_eq(set_irqs(&vmm, EVENTFD, MSIX, 4, 3, fds, sizeof(fds)), 0);
	ck_assert_uint_eq(vmm.status[0].n_interrupts, 2);
	raise_irq(&vmm, MSIX, 4);
	raise_irq(&vmm, MSIX, 5);
	raise_irq(&vmm, MSIX, 6);
	ck_assert_uint_eq(taken(fds[0]), 1);
	ck_assert_uint_eq(taken(fds[2]), 1);
	ck_assert_int_eq(set_irqs(&vmm, EVENTFD, MSIX, 4, 1, &fds[1], 4), 0); /* -1 disarms */
	raise_irq(&vmm, MSIX, 4);
	ck_assert_uint_eq(taken(fds[0]), 0);
	ck_assert_uint_eq(vmm.status[0].n_interrupts, 1);
	ck_assert_int_eq(set_irqs(&vmm, NONE, MSIX, 6, 1, NULL, 0), 0); /* by loopback */
	ck_assert_uint_eq(taken(fds[2]), 1);
	ck_assert_int_eq(set_irqs(&vmm, NONE, MSIX, 0, 0, NULL, 0), 0); /* all off */
	raise_irq(&vmm, MSIX, 6);
	ck_assert_uint_eq(taken(fds[2]), 0);
	ck_assert_uint_eq(vmm.status[0].n_interrupts, 0);
	close(fds[0]);
	close(fds[2]);
	vmm_done(&vmm);
}

TEST(the_rules_of_interrupts)
{
	struct vmig_uapi_irq_info info = { .argsz = sizeof(info), .index = MSIX };
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), bad = 7777, minus = -2, tty = 0;
	int many[TOY_N_MSIX + 1];
	struct vmm vmm;

	for (size_t i = 0; i < sizeof(many) / sizeof(many[0]); i++)
		many[i] = fd;
	open_one(&vmm, "toy");
	ck_assert_int_eq(way_ioctl(&vmm.way, vmm.fd[0], VMIG_UAPI_DEVICE_GET_IRQ_INFO, &info), 0);
	ck_assert_uint_eq(info.count, TOY_N_MSIX);
	info.argsz = 12;
	ck_assert_int_eq(way_ioctl(&vmm.way, vmm.fd[0], VMIG_UAPI_DEVICE_GET_IRQ_INFO, &info), -EINVAL);
	info = (struct vmig_uapi_irq_info){ .argsz = sizeof(info), .index = TOY_N_IRQS };
	ck_assert_int_eq(way_ioctl(&vmm.way, vmm.fd[0], VMIG_UAPI_DEVICE_GET_IRQ_INFO, &info), -EINVAL);
	ck_assert_int_eq(set_irqs(&vmm, EVENTFD, TOY_N_IRQS, 0, 1, &fd, 4), -EINVAL);
	ck_assert_int_eq(set_irqs(&vmm, EVENTFD, MSIX, TOY_N_MSIX, 1, &fd, 4), -EINVAL);
	ck_assert_int_eq(set_irqs(&vmm, EVENTFD, MSIX, 0, TOY_N_MSIX + 1, many, sizeof(many)), -EINVAL);
	ck_assert_int_eq(set_irqs(&vmm, EVENTFD, MSIX, 1, UINT32_MAX, &fd, 4), -EINVAL);
	ck_assert_int_eq(set_irqs(&vmm, EVENTFD, MSIX, 0, 2, &fd, 4), -EINVAL); /* data for one */
	ck_assert_int_eq(set_irqs(&vmm, EVENTFD, MSIX, 0, 0, &fd, 0), -EINVAL);
	ck_assert_int_eq(set_irqs(&vmm, EVENTFD | 1, MSIX, 0, 1, &fd, 4), -EINVAL); /* two kinds of data */
	ck_assert_int_eq(set_irqs(&vmm, EVENTFD | 8, MSIX, 0, 1, &fd, 4), -EINVAL); /* two actions */
	ck_assert_int_eq(set_irqs(&vmm, EVENTFD | 64, MSIX, 0, 1, &fd, 4), -EINVAL);
	ck_assert_int_eq(set_irqs(&vmm, EVENTFD, MSIX, 0, 1, &bad, 4), -EBADF);
	ck_assert_int_eq(set_irqs(&vmm, EVENTFD, MSIX, 0, 1, &minus, 4), -EBADF);
	ck_assert_int_eq(set_irqs(&vmm, EVENTFD, MSIX, 0, 1, &tty, 4), -EINVAL); /* no eventfd */
	ck_assert_int_eq(way_ioctl(&vmm.way, vmm.fd[0], VMIG_UAPI_DEVICE_SET_IRQS, BAD), -EFAULT);
	ck_assert_int_eq(set_irqs(&vmm, EVENTFD, MSIX, 0, 1, &fd, 4), 0);
	close(fd);
	vmm_done(&vmm);
}

/* --- resets and closes -------------------------------------------------------------------- */

TEST(a_reset_leads_to_running_and_disarms)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), data;
	struct vmm vmm;
	char byte;

	open_one(&vmm, "toy");
	ck_assert_int_eq(set_irqs(&vmm, EVENTFD, MSIX, 0, 1, &fd, 4), 0);
	ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_STOP_COPY, &data), 0);
	ck_assert_int_eq(way_ioctl(&vmm.way, vmm.fd[0], VMIG_UAPI_DEVICE_RESET, NULL), 0);
	ck_assert_uint_eq(vmm_state(&vmm, vmm.fd[0]), VMIG_STATE_RUNNING);
	ck_assert_int_eq(way_read(&vmm.way, data, &byte, 1), -ENODEV);
	ck_assert_uint_eq(vmm.status[0].n_interrupts, 0);
	ck_assert_uint_eq(vmm.status[0].n_resets, 1);
	ck_assert_uint_eq(vmm.status[0].state, VMIG_STATE_RUNNING);
	close(fd);
	vmm_done(&vmm);
}

TEST(what_has_no_reset_is_not_reset)
{
	struct vmm vmm;

	open_one(&vmm, "toy-no-reset");
	ck_assert_int_eq(way_ioctl(&vmm.way, vmm.fd[0], VMIG_UAPI_DEVICE_RESET, NULL), -EINVAL);
	way_close(&vmm.way, vmm.fd[0]);
	ck_assert_int_ge(way_ioctl(&vmm.way, vmm.group[0], VMIG_UAPI_GROUP_GET_DEVICE_FD, "x"), 0);
	ck_assert_uint_eq(vmm.status[0].n_resets, 0);
	vmm_done(&vmm);
}

TEST(a_device_is_alone_on_its_bus_when_that_is_reset)
{
	struct {
		struct vmig_uapi_pci_hot_reset_info head;
		struct vmig_uapi_pci_dependent_device one;
	} info = { .head = { .argsz = 12 } };
	struct {
		struct vmig_uapi_pci_hot_reset head;
		int32_t fd[2];
	} reset = { .head = { .argsz = 16, .count = 1 } };
	struct vmm vmm;
	int fd;

	vmm_init(&vmm, NULL, "toy", "toy", NULL);
	vmm_open_container(&vmm);
	fd = vmm.fd[1];
	ck_assert_int_eq(way_ioctl(&vmm.way, fd, VMIG_UAPI_DEVICE_GET_PCI_HOT_RESET_INFO, &info), -ENOSPC);
	ck_assert_uint_eq(info.head.count, 1);
	info.head.argsz = sizeof(info);
	ck_assert_int_eq(way_ioctl(&vmm.way, fd, VMIG_UAPI_DEVICE_GET_PCI_HOT_RESET_INFO, &info), 0);
	ck_assert_uint_eq(info.one.group_id, 91);
	reset.fd[0] = vmm.group[0];
	ck_assert_int_eq(way_ioctl(&vmm.way, fd, VMIG_UAPI_DEVICE_PCI_HOT_RESET, &reset), -EINVAL);
	reset.fd[0] = fd;
	ck_assert_int_eq(way_ioctl(&vmm.way, fd, VMIG_UAPI_DEVICE_PCI_HOT_RESET, &reset), -EINVAL);
	reset.fd[0] = 7777;
	ck_assert_int_eq(way_ioctl(&vmm.way, fd, VMIG_UAPI_DEVICE_PCI_HOT_RESET, &reset), -EBADF);
	reset.fd[0] = vmm.group[1];
	ck_assert_int_eq(way_ioctl(&vmm.way, fd, VMIG_UAPI_DEVICE_PCI_HOT_RESET, &reset), 0);
	ck_assert_uint_eq(vmm.status[1].n_resets, 1);
	reset.head.count = 2;
	ck_assert_int_eq(way_ioctl(&vmm.way, fd, VMIG_UAPI_DEVICE_PCI_HOT_RESET, &reset), -EINVAL);
	vmm_done(&vmm);
}

TEST(a_device_that_was_used_is_reset_for_its_next_user)
{
	struct vmm vmm;
	int fd, data;

	open_one(&vmm, "toy");
	ck_assert_uint_eq(vmm.status[0].opened, 1);
	ck_assert_uint_eq(vmm.status[0].n_resets, 0);
	vmm_write_register(&vmm, vmm.fd[0], TOY_REG_SCRATCH, 77);
	ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_STOP_COPY, &data), 0);
	way_close(&vmm.way, vmm.fd[0]);
	ck_assert_uint_eq(vmm.status[0].opened, 0);
	ck_assert_uint_eq(vmm.status[0].state, VMIG_STATE_STOP_COPY); /* as it was left */
	ck_assert_int_eq(way_read(&vmm.way, data, &fd, 1), -ENODEV);
	fd = (int)way_ioctl(&vmm.way, vmm.group[0], VMIG_UAPI_GROUP_GET_DEVICE_FD, "x");
	ck_assert_int_ge(fd, 0);
	ck_assert_uint_eq(vmm.status[0].n_resets, 1);
	ck_assert_uint_eq(vmm_state(&vmm, fd), VMIG_STATE_RUNNING);
	ck_assert_uint_eq(vmm_register(&vmm, fd, TOY_REG_SCRATCH), 0);
	ck_assert_int_eq(way_read(&vmm.way, data, &fd, 1), -ENODEV);
	vmm_done(&vmm);
}

TEST(a_device_that_was_left_running_is_reset_for_its_next_user_too)
{
	struct vmm vmm;
	int fd;

	open_one(&vmm, "toy");
	vmm_write_register(&vmm, vmm.fd[0], TOY_REG_SCRATCH, 77);
	way_close(&vmm.way, vmm.fd[0]);
	fd = (int)way_ioctl(&vmm.way, vmm.group[0], VMIG_UAPI_GROUP_GET_DEVICE_FD, "x");
	ck_assert_uint_eq(vmm_register(&vmm, fd, TOY_REG_SCRATCH), 0);
	vmm_done(&vmm);
}

TEST(a_group_may_open_its_device_twice)
{
	struct vmm vmm;
	int fd;

	open_one(&vmm, "toy");
	fd = (int)way_ioctl(&vmm.way, vmm.group[0], VMIG_UAPI_GROUP_GET_DEVICE_FD, "x");
	ck_assert_int_ge(fd, 0);
	vmm_write_register(&vmm, vmm.fd[0], TOY_REG_SCRATCH, 5);
	way_close(&vmm.way, vmm.fd[0]);
	ck_assert_uint_eq(vmm_register(&vmm, fd, TOY_REG_SCRATCH), 5);
	ck_assert_uint_eq(vmm.status[0].opened, 1);
	vmm_done(&vmm);
}

HARNESS("kernel-abi-device", T(the_info_is_as_long_as_the_program_knows_it),
	T(a_region_lies_at_its_index_in_the_descriptor), T(capabilities_come_when_there_is_room_for_all),
	T(bytes_are_read_and_written_where_they_are), T(a_bulk_transfer_arrives_whole),
	T(read_without_an_offset_goes_on), T(what_can_be_mapped_is_mapped_and_nothing_else),
	T(a_device_can_be_shown_without_mmap), T(with_a_backing_file_only_what_lies_in_it_can_be_mapped),
	T(interrupts_arrive_at_the_programs_eventfds), T(the_rules_of_interrupts),
	T(a_reset_leads_to_running_and_disarms), T(what_has_no_reset_is_not_reset),
	T(a_device_is_alone_on_its_bus_when_that_is_reset),
	T(a_device_that_was_used_is_reset_for_its_next_user),
	T(a_device_that_was_left_running_is_reset_for_its_next_user_too),
	T(a_group_may_open_its_device_twice))
