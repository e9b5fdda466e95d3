/* SPDX-License-Identifier: BSD-3-Clause */
/* Character devices and iommufd: what each request takes, and what it answers to what it does not take. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm.h"

#define PAGE 4096ull
#define BASE 0x40000000ull
#define BAD  ((void *)8)

#define FIXED VMIG_UAPI_IOMMUFD_IOAS_MAP_FIXED_IOVA
#define RW    (VMIG_UAPI_IOMMUFD_IOAS_MAP_READABLE | VMIG_UAPI_IOMMUFD_IOAS_MAP_WRITEABLE)

static int64_t call(struct vmm *vmm, uint32_t request, void *arg)
{
	return way_ioctl(&vmm->way, vmm->iommufd, request, arg);
}

/* --- binding ------------------------------------------------------------------------------ */

static int64_t bind(struct vmm *vmm, int fd, int iommufd)
{
	struct vmig_uapi_device_bind_iommufd args = { .argsz = sizeof(args), .iommufd = iommufd };

	return way_ioctl(&vmm->way, fd, VMIG_UAPI_DEVICE_BIND_IOMMUFD, &args);
}

TEST(a_device_answers_nothing_before_it_is_bound)
{
	struct vmig_uapi_device_info info = { .argsz = sizeof(info) };
	struct vmig_uapi_device_bind_iommufd args = { .argsz = 8 };
	uint64_t value;
	struct vmm vmm;
	int fd, other;

	vmm_init(&vmm, NULL, "toy", NULL);
	fd = way_open(&vmm.way, "/dev/vfio/devices/vfio0");
	vmm.iommufd = way_open(&vmm.way, "/dev/iommu");
	ck_assert_int_eq(way_ioctl(&vmm.way, fd, VMIG_UAPI_DEVICE_GET_INFO, &info), -EINVAL);
	ck_assert_int_eq(way_pread(&vmm.way, fd, &value, 8, 0), -EINVAL);
	ck_assert_int_eq(vmm_feature(&vmm, fd, 1 << 16 | 2, &value, 8), -EINVAL);
	ck_assert_int_eq(way_ioctl(&vmm.way, fd, VMIG_UAPI_DEVICE_BIND_IOMMUFD, &args), -EINVAL);
	ck_assert_int_eq(way_ioctl(&vmm.way, fd, VMIG_UAPI_DEVICE_BIND_IOMMUFD, BAD), -EFAULT);
	ck_assert_int_eq(bind(&vmm, fd, -1), -EINVAL);
	ck_assert_int_eq(bind(&vmm, fd, 7777), -EBADF);
	ck_assert_int_eq(bind(&vmm, fd, fd), -EBADFD);
	ck_assert_int_eq(bind(&vmm, fd, vmm.iommufd), 0);
	ck_assert_int_eq(bind(&vmm, fd, vmm.iommufd), -EINVAL);
	ck_assert_int_eq(way_ioctl(&vmm.way, fd, VMIG_UAPI_DEVICE_GET_INFO, &info), 0);
	/* One user: another descriptor may be had, and is of no use; nor is the group. */
	other = way_open(&vmm.way, "/dev/vfio/devices/vfio0");
	ck_assert_int_ge(other, 0);
	ck_assert_int_eq(bind(&vmm, other, vmm.iommufd), -EINVAL);
	ck_assert_int_eq(way_open(&vmm.way, "/dev/vfio/90"), -EBUSY);
	way_close(&vmm.way, fd);
	ck_assert_int_eq(bind(&vmm, other, vmm.iommufd), 0);
	vmm_done(&vmm);
}

TEST(a_device_whose_group_is_open_is_not_bound)
{
	struct vmm vmm;
	int fd;

	vmm_init(&vmm, NULL, "toy", NULL);
	ck_assert_int_ge(way_open(&vmm.way, "/dev/vfio/90"), 0);
	fd = way_open(&vmm.way, "/dev/vfio/devices/vfio0");
	vmm.iommufd = way_open(&vmm.way, "/dev/iommu");
	ck_assert_int_eq(bind(&vmm, fd, vmm.iommufd), -EBUSY);
	vmm_done(&vmm);
}

TEST(a_device_of_a_group_has_no_iommufd)
{
	struct vmig_uapi_device_attach_iommufd_pt pt = { .argsz = sizeof(pt) };
	struct vmm vmm;

	vmm_init(&vmm, NULL, "toy", NULL);
	vmm_open_container(&vmm);
	ck_assert_int_eq(bind(&vmm, vmm.fd[0], vmm.container), -ENOTTY);
	ck_assert_int_eq(way_ioctl(&vmm.way, vmm.fd[0], VMIG_UAPI_DEVICE_ATTACH_IOMMUFD_PT, &pt), -ENOTTY);
	vmm_done(&vmm);
}

/* --- structs that begin with their size ---------------------------------------------------- */

TEST(a_struct_may_be_longer_if_the_rest_says_nothing)
{
	struct {
		struct vmig_uapi_iommufd_ioas_alloc args;
		uint32_t rest[4];
	} longer = { .args = { .size = sizeof(longer) } };
	struct vmm vmm;

	vmm_init(&vmm, NULL, "toy", NULL);
	vmm.iommufd = way_open(&vmm.way, "/dev/iommu");
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_IOAS_ALLOC, &longer), 0);
	ck_assert_uint_gt(longer.args.out_ioas_id, 0);
	longer.rest[3] = 1;
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_IOAS_ALLOC, &longer), -E2BIG);
	longer.args.size = 8;
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_IOAS_ALLOC, &longer), -EINVAL);
	longer.args.size = 1u << 30;
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_IOAS_ALLOC, &longer), -E2BIG);
	longer.args.size = sizeof(longer.args);
	longer.args.flags = 1;
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_IOAS_ALLOC, &longer), -EOPNOTSUPP);
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_IOAS_ALLOC, BAD), -EFAULT);
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_VFIO_IOAS, &longer), -ENOTTY);
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_GET_API_VERSION, NULL), -ENOTTY);
	vmm_done(&vmm);
}

/* --- attaching ---------------------------------------------------------------------------- */

static int64_t attach(struct vmm *vmm, uint32_t id)
{
	struct vmig_uapi_device_attach_iommufd_pt pt = { .argsz = sizeof(pt), .pt_id = id };

	return way_ioctl(&vmm->way, vmm->fd[0], VMIG_UAPI_DEVICE_ATTACH_IOMMUFD_PT, &pt);
}

static int64_t destroy(struct vmm *vmm, uint32_t id)
{
	struct vmig_uapi_iommufd_destroy args = { .size = sizeof(args), .id = id };

	return call(vmm, VMIG_UAPI_IOMMUFD_DESTROY, &args);
}

TEST(what_is_in_use_is_not_destroyed)
{
	struct vmig_uapi_device_detach_iommufd_pt detach = { .argsz = sizeof(detach) };
	struct vmm vmm;

	vmm_init(&vmm, NULL, "toy", NULL);
	vmm_open_iommufd(&vmm);
	ck_assert_int_eq(vmm_map(&vmm, BASE, 0, PAGE), 0);
	ck_assert_int_eq(destroy(&vmm, vmm.ioas), -EBUSY);
	ck_assert_int_eq(destroy(&vmm, vmm.hwpt[0]), -EBUSY);
	ck_assert_int_eq(destroy(&vmm, vmm.dev_id[0]), -EBUSY);
	ck_assert_int_eq(destroy(&vmm, 4711), -ENOENT);
	vmm_dirty(&vmm, 0, BASE, 1);
	ck_assert_int_eq(way_ioctl(&vmm.way, vmm.fd[0], VMIG_UAPI_DEVICE_DETACH_IOMMUFD_PT, &detach), 0);
	ck_assert_int_eq(way_ioctl(&vmm.way, vmm.fd[0], VMIG_UAPI_DEVICE_DETACH_IOMMUFD_PT, &detach), 0);
	ck_assert_int_lt(vmig_model_dma_write(toy_model(vmm.toys[0]), BASE, "x", 1), 0);
	ck_assert_int_eq(destroy(&vmm, vmm.hwpt[0]), 0);
	ck_assert_int_eq(atomic_load(&vmm.way.mapped), 1);
	ck_assert_int_eq(destroy(&vmm, vmm.ioas), 0);
	ck_assert_int_eq(atomic_load(&vmm.way.mapped), 0);
	ck_assert_int_eq(attach(&vmm, vmm.ioas), -ENOENT);
	vmm_done(&vmm);
}

TEST(a_device_can_be_attached_to_another_space)
{
	struct vmig_uapi_iommufd_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct vmm vmm;
	uint32_t first;

	vmm_init(&vmm, NULL, "toy", NULL);
	vmm_open_iommufd(&vmm);
	first = vmm.ioas;
	ck_assert_int_eq(vmm_map(&vmm, BASE, 0, PAGE), 0);
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_IOAS_ALLOC, &alloc), 0);
	vmm.ioas = alloc.out_ioas_id;
	ck_assert_int_eq(vmm_map(&vmm, BASE, PAGE, PAGE), 0);
	ck_assert_int_eq(vmig_model_dma_write(toy_model(vmm.toys[0]), BASE, "1", 1), 0);
	ck_assert_int_eq(attach(&vmm, vmm.ioas), 0);
	ck_assert_int_eq(vmig_model_dma_write(toy_model(vmm.toys[0]), BASE, "2", 1), 0);
	ck_assert_int_eq(attach(&vmm, first), 0);
	ck_assert_int_eq(vmig_model_dma_write(toy_model(vmm.toys[0]), BASE, "3", 1), 0);
	ck_assert_int_eq(vmm.memory[0], '3');
	ck_assert_int_eq(vmm.memory[PAGE], '2');
	ck_assert_int_eq(attach(&vmm, vmm.dev_id[0]), -EINVAL);
	vmm_dirty(&vmm, 0, BASE, 1);
	vmm_done(&vmm);
}

TEST(the_rules_of_page_tables)
{
	struct vmig_uapi_iommufd_hwpt_alloc alloc = { .size = sizeof(alloc) }, bad;
	struct vmm vmm;

	vmm_init(&vmm, NULL, "toy", NULL);
	vmm_open_iommufd(&vmm);
	alloc.dev_id = vmm.dev_id[0];
	alloc.pt_id = vmm.ioas;
	bad = alloc;
	bad.flags = VMIG_UAPI_IOMMUFD_HWPT_ALLOC_NEST_PARENT;
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_HWPT_ALLOC, &bad), -EOPNOTSUPP);
	bad = alloc;
	bad.data_type = 1;
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_HWPT_ALLOC, &bad), -EOPNOTSUPP);
	bad = alloc;
	bad.dev_id = vmm.ioas;
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_HWPT_ALLOC, &bad), -ENOENT);
	bad = alloc;
	bad.pt_id = vmm.hwpt[0];
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_HWPT_ALLOC, &bad), -EINVAL);
	bad = alloc;
	bad.size = 24; /* of a kernel header of 6.6 */
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_HWPT_ALLOC, &bad), 0);
	ck_assert_int_eq(destroy(&vmm, bad.out_hwpt_id), 0);
	vmm_done(&vmm);
}

TEST(there_is_a_limit_to_objects)
{
	struct vmig_uapi_iommufd_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct vmm vmm;

	vmm_init(&vmm, NULL, "toy", NULL);
	vmm.iommufd = way_open(&vmm.way, "/dev/iommu");
	for (int i = 0; i < 1024; i++)
		ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_IOAS_ALLOC, &alloc), 0);
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_IOAS_ALLOC, &alloc), -ENOSPC);
	ck_assert_int_eq(destroy(&vmm, 1), 0);
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_IOAS_ALLOC, &alloc), 0);
	vmm_done(&vmm);
}

/* --- addresses and mappings ---------------------------------------------------------------- */

TEST(ranges_are_asked_for_twice)
{
	struct vmig_uapi_iommufd_iova_range range = { 1, 1 };
	struct vmig_uapi_iommufd_ioas_iova_ranges args = { .size = sizeof(args) };
	struct vmm vmm;

	vmm_init(&vmm, NULL, "toy", NULL);
	vmm_open_iommufd(&vmm);
	args.ioas_id = vmm.ioas;
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_IOAS_IOVA_RANGES, &args), -EMSGSIZE);
	ck_assert_uint_eq(args.num_iovas, 1);
	ck_assert_uint_eq(args.out_iova_alignment, PAGE);
	args.allowed_iovas = (uintptr_t)&range;
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_IOAS_IOVA_RANGES, &args), 0);
	ck_assert_uint_eq(range.start, 0);
	ck_assert_uint_eq(range.last, UINT64_MAX);
	args.allowed_iovas = 8;
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_IOAS_IOVA_RANGES, &args), -EFAULT);
	args.ioas_id = vmm.hwpt[0];
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_IOAS_IOVA_RANGES, &args), -ENOENT);
	vmm_done(&vmm);
}

static struct vmig_uapi_iommufd_ioas_map map_of(struct vmm *vmm, uint32_t flags, uint64_t iova, uint64_t size)
{
	return (struct vmig_uapi_iommufd_ioas_map){
		.size = sizeof(struct vmig_uapi_iommufd_ioas_map),
		.flags = flags,
		.ioas_id = vmm->ioas,
		.user_va = (uintptr_t)vmm->memory,
		.length = size,
		.iova = iova,
	};
}

static int64_t map(struct vmm *vmm, uint32_t flags, uint64_t iova, uint64_t size)
{
	struct vmig_uapi_iommufd_ioas_map args = map_of(vmm, flags, iova, size);

	return call(vmm, VMIG_UAPI_IOMMUFD_IOAS_MAP, &args);
}

TEST(the_rules_of_ioas_map)
{
	struct vmig_uapi_iommufd_ioas_map args;
	struct vmm vmm;

	vmm_init(&vmm, NULL, "toy", NULL);
	vmm_open_iommufd(&vmm);
	ck_assert_int_eq(map(&vmm, FIXED, BASE, PAGE), -EINVAL);
	ck_assert_int_eq(map(&vmm, FIXED | RW | 8, BASE, PAGE), -EOPNOTSUPP);
	ck_assert_int_eq(map(&vmm, FIXED | RW, BASE, 0), -EINVAL);
	ck_assert_int_eq(map(&vmm, FIXED | RW, BASE, 100), -EINVAL);
	ck_assert_int_eq(map(&vmm, FIXED | RW, BASE + 8, PAGE), -EINVAL);
	ck_assert_int_eq(map(&vmm, FIXED | RW, 0ull - PAGE, 2 * PAGE), -EOVERFLOW);
	args = map_of(&vmm, FIXED | RW, BASE, PAGE);
	args.user_va = PAGE;
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_IOAS_MAP, &args), -EFAULT);
	args = map_of(&vmm, FIXED | RW, BASE, PAGE);
	args.ioas_id = vmm.dev_id[0];
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_IOAS_MAP, &args), -ENOENT);
	ck_assert_int_eq(map(&vmm, FIXED | RW, BASE, PAGE), 0);
	ck_assert_int_eq(map(&vmm, FIXED | RW, BASE, PAGE), -EEXIST);
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_IOAS_MAP, BAD), -EFAULT);
	ck_assert_int_eq(atomic_load(&vmm.way.mapped), 1);
	vmm_done(&vmm);
}

TEST(an_address_is_chosen_where_none_is_given)
{
	const struct vmig_uapi_iommufd_iova_range allowed[] = { { 0x10000, 0x12fff }, { 0x1000, 0x1fff } };
	struct vmig_uapi_iommufd_ioas_allow_iovas allow = { .size = sizeof(allow),
							    .num_iovas = 2,
							    .allowed_iovas = (uintptr_t)allowed };
	struct vmig_uapi_iommufd_ioas_map args;
	uint64_t seen[4];
	struct vmm vmm;

	vmm_init(&vmm, NULL, "toy", NULL);
	vmm_open_iommufd(&vmm);
	for (int i = 0; i < 3; i++) {
		args = map_of(&vmm, RW, 0x77, 3 * PAGE);
		ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_IOAS_MAP, &args), 0);
		ck_assert_uint_eq(args.iova % PAGE, 0);
		ck_assert_uint_ne(args.iova, 0);
		vmm_dirty(&vmm, 0, args.iova, 3);
		ck_assert_int_eq(vmm_unmap(&vmm, args.iova, 3 * PAGE), (int64_t)(3 * PAGE));
	}
	allow.ioas_id = vmm.ioas;
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_IOAS_ALLOW_IOVAS, &allow), 0);
	for (int i = 0; i < 4; i++) {
		args = map_of(&vmm, RW, 0, PAGE);
		ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_IOAS_MAP, &args), 0);
		seen[i] = args.iova;
	}
	ck_assert_uint_eq(seen[0], 0x1000);
	ck_assert_uint_eq(seen[1], 0x10000);
	ck_assert_uint_eq(seen[3], 0x12000);
	args = map_of(&vmm, RW, 0, PAGE);
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_IOAS_MAP, &args), -ENOSPC);
	vmm_done(&vmm);
}

TEST(the_rules_of_allowed_addresses)
{
	struct vmig_uapi_iommufd_iova_range ranges[2] = { { 0x2000, 0x2fff }, { 0x2fff, 0x3fff } };
	struct vmig_uapi_iommufd_ioas_allow_iovas allow = { .size = sizeof(allow),
							    .num_iovas = 2,
							    .allowed_iovas = (uintptr_t)ranges };
	struct vmm vmm;

	vmm_init(&vmm, NULL, "toy", NULL);
	vmm_open_iommufd(&vmm);
	allow.ioas_id = vmm.ioas;
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_IOAS_ALLOW_IOVAS, &allow), -EINVAL); /* overlap */
	ranges[1] = (struct vmig_uapi_iommufd_iova_range){ 5, 4 };
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_IOAS_ALLOW_IOVAS, &allow), -EINVAL);
	allow.allowed_iovas = 8;
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_IOAS_ALLOW_IOVAS, &allow), -EFAULT);
	allow.num_iovas = 1025;
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_IOAS_ALLOW_IOVAS, &allow), -E2BIG);
	vmm_done(&vmm);
}

TEST(memory_is_mapped_by_its_file)
{
	struct vmig_uapi_iommufd_ioas_map_file args = { .size = sizeof(args), .flags = FIXED | RW };
	struct vmm vmm;

	vmm_init(&vmm, NULL, "toy", NULL);
	vmm_open_iommufd(&vmm);
	args.ioas_id = vmm.ioas;
	args.fd = vmm.memory_fd;
	args.start = 2 * PAGE;
	args.length = PAGE;
	args.iova = BASE;
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_IOAS_MAP_FILE, &args), 0);
	ck_assert_int_eq(vmig_model_dma_write(toy_model(vmm.toys[0]), BASE, "file", 4), 0);
	ck_assert_mem_eq(vmm.memory + 2 * PAGE, "file", 4);
	args.iova = 2 * BASE;
	args.start = VMM_MEMORY;
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_IOAS_MAP_FILE, &args), -EINVAL); /* behind its end */
	args.start = 0;
	args.fd = 7777;
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_IOAS_MAP_FILE, &args), -EBADF);
	args.fd = -1;
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_IOAS_MAP_FILE, &args), -EBADF);
	ck_assert_int_eq(vmm_unmap(&vmm, BASE, PAGE), (int64_t)PAGE);
	vmm_done(&vmm);
}

TEST(a_part_of_a_mapping_is_copied)
{
	struct vmig_uapi_iommufd_ioas_copy copy = { .size = sizeof(copy), .flags = FIXED | RW };
	struct vmm vmm;

	vmm_init(&vmm, NULL, "toy", NULL);
	vmm_open_iommufd(&vmm);
	ck_assert_int_eq(vmm_map(&vmm, BASE, 0, 8 * PAGE), 0);
	copy.src_ioas_id = copy.dst_ioas_id = vmm.ioas;
	copy.src_iova = BASE + 3 * PAGE;
	copy.dst_iova = 2 * BASE;
	copy.length = 2 * PAGE;
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_IOAS_COPY, &copy), 0);
	ck_assert_int_eq(vmig_model_dma_write(toy_model(vmm.toys[0]), 2 * BASE + PAGE, "copy", 4), 0);
	ck_assert_mem_eq(vmm.memory + 4 * PAGE, "copy", 4);
	copy.src_iova = BASE + 8 * PAGE;
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_IOAS_COPY, &copy), -ENOENT);
	copy.src_iova = BASE + 7 * PAGE;
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_IOAS_COPY, &copy), -EOPNOTSUPP);
	copy.src_ioas_id = 99;
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_IOAS_COPY, &copy), -ENOENT);
	vmm_done(&vmm);
}

TEST(the_rules_of_ioas_unmap)
{
	struct vmm vmm;

	vmm_init(&vmm, NULL, "toy", NULL);
	vmm_open_iommufd(&vmm);
	for (uint64_t i = 0; i < 3; i++)
		ck_assert_int_eq(vmm_map(&vmm, BASE + 4 * i * PAGE, 0, 2 * PAGE), 0);
	ck_assert_int_eq(vmm_unmap(&vmm, BASE, PAGE), -ENOENT);
	ck_assert_int_eq(vmm_unmap(&vmm, BASE, 0), -EINVAL);
	ck_assert_int_eq(vmm_unmap(&vmm, 2, UINT64_MAX), -EOVERFLOW);
	ck_assert_int_eq(vmm_unmap(&vmm, 5 * BASE, PAGE), -ENOENT);
	ck_assert_int_eq(vmm_unmap(&vmm, BASE, 2 * PAGE), (int64_t)(2 * PAGE));
	ck_assert_int_eq(vmm_unmap(&vmm, 0, UINT64_MAX), (int64_t)(4 * PAGE));
	ck_assert_int_eq(vmm_unmap(&vmm, 0, UINT64_MAX), 0);
	vmm_done(&vmm);
}

/* --- what there is ------------------------------------------------------------------------ */

TEST(the_hardware_can_track_and_tells_nothing_else)
{
	uint8_t data[300];
	struct vmig_uapi_iommufd_hw_info info = { .size = sizeof(info),
						  .data_len = sizeof(data),
						  .data_uptr = (uintptr_t)data };
	struct vmm vmm;

	vmm_init(&vmm, NULL, "toy", NULL);
	vmm_open_iommufd(&vmm);
	info.dev_id = vmm.dev_id[0];
	memset(data, 1, sizeof(data));
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_GET_HW_INFO, &info), 0);
	ck_assert_uint_eq(info.data_len, 0);
	ck_assert_uint_eq(info.out_data_type, VMIG_UAPI_IOMMUFD_HW_INFO_TYPE_NONE);
	ck_assert_uint_eq(info.out_capabilities, VMIG_UAPI_IOMMUFD_HW_CAP_DIRTY_TRACKING);
	ck_assert_uint_eq(data[299], 0);
	info.dev_id = vmm.ioas;
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_GET_HW_INFO, &info), -ENOENT);
	info.dev_id = vmm.dev_id[0];
	info.data_len = 8;
	info.data_uptr = 8;
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_GET_HW_INFO, &info), -EFAULT);
	info.flags = 1;
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_GET_HW_INFO, &info), -EOPNOTSUPP);
	vmm_done(&vmm);
}

TEST(options_are_taken_and_told)
{
	struct vmig_uapi_iommufd_option option = { .size = sizeof(option),
						   .option_id = VMIG_UAPI_IOMMUFD_OPTION_HUGE_PAGES,
						   .op = VMIG_UAPI_IOMMUFD_OPTION_OP_GET };
	struct vmm vmm;

	vmm_init(&vmm, NULL, "toy", NULL);
	vmm_open_iommufd(&vmm);
	option.object_id = vmm.ioas;
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_OPTION, &option), 0);
	ck_assert_uint_eq(option.val64, 1);
	option.op = 2;
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_OPTION, &option), -EOPNOTSUPP);
	option.op = VMIG_UAPI_IOMMUFD_OPTION_OP_SET;
	option.option_id = 7;
	ck_assert_int_eq(call(&vmm, VMIG_UAPI_IOMMUFD_OPTION, &option), -EOPNOTSUPP);
	vmm_done(&vmm);
}

HARNESS("kernel-abi-iommufd", T(a_device_answers_nothing_before_it_is_bound),
	T(a_device_whose_group_is_open_is_not_bound), T(a_device_of_a_group_has_no_iommufd),
	T(a_struct_may_be_longer_if_the_rest_says_nothing), T(what_is_in_use_is_not_destroyed),
	T(a_device_can_be_attached_to_another_space), T(the_rules_of_page_tables),
	T(there_is_a_limit_to_objects), T(ranges_are_asked_for_twice), T(the_rules_of_ioas_map),
	T(an_address_is_chosen_where_none_is_given), T(the_rules_of_allowed_addresses),
	T(memory_is_mapped_by_its_file), T(a_part_of_a_mapping_is_copied), T(the_rules_of_ioas_unmap),
	T(the_hardware_can_track_and_tells_nothing_else), T(options_are_taken_and_told))
