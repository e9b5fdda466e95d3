/* SPDX-License-Identifier: BSD-3-Clause */
/* Paths, groups and containers: what each request takes, and what it answers to what it does not take. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vmig/log.h>

#include "tests/handle/script.h"
#include "vmm.h"

#define PAGE 4096ull
#define BASE 0x40000000ull
#define BAD  ((void *)8)

/* --- paths -------------------------------------------------------------------------------- */

TEST(only_the_paths_of_what_is_there_are_ours)
{
	static const char *const ours[] = { "/dev/vfio/vfio",
					    "/dev/iommu",
					    "/dev/vfio/90",
					    "/dev/vfio/91",
					    "/dev/vfio/devices/vfio0",
					    "/dev/vfio/devices/vfio1" };
	static const char *const others[] = {
		"",
		"/",
		"/dev/vfio",
		"/dev/vfio/",
		"/dev/vfio/89",
		"/dev/vfio/92",
		"/dev/vfio/090",
		"/dev/vfio/+90",
		"/dev/vfio/90 ",
		"/dev/vfio/90/x",
		"/dev/vfio/4294967386", /* 90, if it wrapped */
		"/dev/vfio/18446744073709551706",
		"/dev/vfio/vfio0",
		"/dev/vfio/devices/vfio2",
		"/dev/vfio/devices/vfio",
		"/dev/vfio/devices/vfio00",
		"/dev/iommu0",
		"dev/iommu",
		"/dev/null",
	};
	struct vmm vmm;

	vmm_init(&vmm, NULL, "toy", "toy", NULL);
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
		int fd = way_open(&vmm.way, ours[i]);

		ck_assert_msg(vmig_kabi_owns_path(vmm.way.kabi, ours[i]), "%s", ours[i]);
		ck_assert_int_ge(fd, 0);
		way_close(&vmm.way, fd);
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		ck_assert_msg(!vmig_kabi_owns_path(vmm.way.kabi, others[i]), "%s", others[i]);
		ck_assert_int_eq(way_open(&vmm.way, others[i]), -ENOENT);
	}
	vmm_done(&vmm);
}

TEST(groups_are_numbered_from_where_they_are_told)
{
	struct vmm vmm;

	vmm_init(&vmm, &(struct vmig_kabi_config){ .first_group = 7 }, "toy", NULL);
	ck_assert(vmig_kabi_owns_path(vmm.way.kabi, "/dev/vfio/7"));
	ck_assert(!vmig_kabi_owns_path(vmm.way.kabi, "/dev/vfio/90"));
	vmm_done(&vmm);
}

TEST(a_core_needs_a_device)
{
	struct vmig_kabi_device none = { 0 };
	struct vmig_kabi *kabi;

	ck_assert_int_eq(vmig_kabi_new(&(struct vmig_kabi_config){ 0 }, &kabi), -EINVAL);
	ck_assert_int_eq(vmig_kabi_new(&(struct vmig_kabi_config){ .n_devices = 1, .devices = &none }, &kabi),
			 -EINVAL);
	ck_assert_int_eq(
		vmig_kabi_new(&(struct vmig_kabi_config){ .n_devices = 257, .devices = &none }, &kabi),
		-EINVAL);
	vmig_kabi_free(NULL);
}

/* --- groups ------------------------------------------------------------------------------- */

TEST(a_group_has_one_user)
{
	struct vmm vmm;
	int fd;

	vmm_init(&vmm, NULL, "toy", NULL);
	fd = way_open(&vmm.way, "/dev/vfio/90");
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(way_open(&vmm.way, "/dev/vfio/90"), -EBUSY);
	way_close(&vmm.way, fd);
	ck_assert_int_ge(way_open(&vmm.way, "/dev/vfio/90"), 0);
	vmm_done(&vmm);
}

static int64_t set_container(struct vmm *vmm, int32_t container)
{
	return way_ioctl(&vmm->way, vmm->group[0], VMIG_UAPI_GROUP_SET_CONTAINER, &container);
}

TEST(the_rules_of_groups_and_containers)
{
	struct vmig_uapi_group_status status = { .argsz = sizeof(status) };
	struct way *way;
	struct vmm vmm;
	int other;

	vmm_init(&vmm, NULL, "toy", NULL);
	way = &vmm.way;
	vmm.container = way_open(way, "/dev/vfio/vfio");
	other = way_open(way, "/dev/vfio/vfio");
	vmm.group[0] = way_open(way, "/dev/vfio/90");
	/* Nothing is set yet. */
	ck_assert_int_eq(way_ioctl_number(way, vmm.container, VMIG_UAPI_SET_IOMMU, 3), -EINVAL);
	ck_assert_int_eq(way_ioctl(way, vmm.group[0], VMIG_UAPI_GROUP_GET_DEVICE_FD, "x"), -EINVAL);
	ck_assert_int_eq(way_ioctl(way, vmm.group[0], VMIG_UAPI_GROUP_UNSET_CONTAINER, NULL), -EINVAL);
	ck_assert_int_eq(set_container(&vmm, -1), -EINVAL);
	ck_assert_int_eq(set_container(&vmm, 7777), -EBADF);
	ck_assert_int_eq(set_container(&vmm, vmm.group[0]), -EINVAL);
	ck_assert_int_eq(way_ioctl(way, vmm.group[0], VMIG_UAPI_GROUP_SET_CONTAINER, BAD), -EFAULT);
	ck_assert_int_eq(set_container(&vmm, vmm.container), 0);
	ck_assert_int_eq(set_container(&vmm, other), -EINVAL);
	status.argsz = 4;
	ck_assert_int_eq(way_ioctl(way, vmm.group[0], VMIG_UAPI_GROUP_GET_STATUS, &status), -EINVAL);
	status.argsz = sizeof(status);
	ck_assert_int_eq(way_ioctl(way, vmm.group[0], VMIG_UAPI_GROUP_GET_STATUS, &status), 0);
	ck_assert_uint_eq(status.flags, 3);
	/* No IOMMU yet. */
	ck_assert_int_eq(way_ioctl(way, vmm.group[0], VMIG_UAPI_GROUP_GET_DEVICE_FD, "x"), -EINVAL);
	ck_assert_int_eq(vmm_map(&vmm, BASE, 0, PAGE), -EINVAL);
	ck_assert_int_eq(way_ioctl_number(way, vmm.container, VMIG_UAPI_SET_IOMMU, 1), -ENODEV);
	ck_assert_int_eq(way_ioctl_number(way, vmm.container, VMIG_UAPI_SET_IOMMU, 3), 0);
	ck_assert_int_eq(way_ioctl_number(way, vmm.container, VMIG_UAPI_SET_IOMMU, 3), -EINVAL);
	ck_assert_int_eq(way_ioctl(way, vmm.group[0], VMIG_UAPI_GROUP_GET_DEVICE_FD, BAD), -EFAULT);
	ck_assert_int_eq(way_ioctl(way, vmm.group[0], VMIG_UAPI_GROUP_GET_DEVICE_FD, ""), -EINVAL);
	vmm.fd[0] = (int)way_ioctl(way, vmm.group[0], VMIG_UAPI_GROUP_GET_DEVICE_FD, "x");
	ck_assert_int_ge(vmm.fd[0], 0);
	ck_assert_int_eq(way_ioctl(way, vmm.group[0], VMIG_UAPI_GROUP_UNSET_CONTAINER, NULL), -EBUSY);
	/* Ours are not all ioctls of the world, and numbers mean something by the kind of the file only. */
	ck_assert_int_eq(way_ioctl(way, vmm.group[0], VMIG_UAPI_DEVICE_GET_INFO, NULL), -ENOTTY);
	ck_assert_int_eq(way_ioctl(way, vmm.container, VMIG_UAPI_GROUP_GET_STATUS, NULL), -ENOTTY);
	ck_assert_int_eq(way_ioctl(way, vmm.fd[0], VMIG_UAPI_GROUP_GET_STATUS, NULL), -ENOTTY);
	ck_assert_int_eq(way_ioctl(way, vmm.fd[0], 0x5401, NULL), -ENOTTY);
	vmm_done(&vmm);
}

/* Also with the container's own descriptor closed, and whatever goes first. */
TEST(mappings_go_with_the_last_group_that_leaves_the_container)
{
	struct vmm vmm;

	vmm_init(&vmm, NULL, "toy", "toy", NULL);
	vmm_open_container(&vmm);
	ck_assert_int_eq(vmm_map(&vmm, BASE, 0, PAGE), 0);
	way_close(&vmm.way, vmm.container);
	vmm_dirty(&vmm, 0, BASE, 1);
	way_close(&vmm.way, vmm.fd[0]);
	way_close(&vmm.way, vmm.group[0]);
	vmm_dirty(&vmm, 1, BASE, 1);
	ck_assert_int_eq(atomic_load(&vmm.way.mapped), 1);
	way_close(&vmm.way, vmm.group[1]); /* its device holds it */
	ck_assert_int_eq(atomic_load(&vmm.way.mapped), 1);
	way_close(&vmm.way, vmm.fd[1]);
	ck_assert_int_eq(atomic_load(&vmm.way.mapped), 0);
	vmm_done(&vmm);
}

TEST(a_container_that_all_groups_have_left_has_no_iommu)
{
	struct vmm vmm;

	vmm_init(&vmm, NULL, "toy", NULL);
	vmm_open_container(&vmm);
	ck_assert_int_eq(vmm_map(&vmm, BASE, 0, PAGE), 0);
	way_close(&vmm.way, vmm.fd[0]);
	ck_assert_int_eq(way_ioctl(&vmm.way, vmm.group[0], VMIG_UAPI_GROUP_UNSET_CONTAINER, NULL), 0);
	ck_assert_int_eq(atomic_load(&vmm.way.mapped), 0);
	ck_assert_int_eq(vmm_map(&vmm, BASE, 0, PAGE), -EINVAL);
	ck_assert_int_eq(set_container(&vmm, vmm.container), 0);
	ck_assert_int_eq(way_ioctl_number(&vmm.way, vmm.container, VMIG_UAPI_SET_IOMMU, 3), 0);
	ck_assert_int_eq(vmm_map(&vmm, BASE, 0, PAGE), 0);
	vmm_done(&vmm);
}

TEST(a_device_is_asked_for_by_its_name_if_it_has_one)
{
	const struct vmig_kabi_device device = { .name = "nic0" };
	struct vmm vmm;
	int32_t container;

	vmm_init(&vmm, &(struct vmig_kabi_config){ .devices = &device }, "toy", NULL);
	container = way_open(&vmm.way, "/dev/vfio/vfio");
	vmm.group[0] = way_open(&vmm.way, "/dev/vfio/90");
	ck_assert_int_eq(set_container(&vmm, container), 0);
	ck_assert_int_eq(way_ioctl_number(&vmm.way, container, VMIG_UAPI_SET_IOMMU, 3), 0);
	ck_assert_int_eq(way_ioctl(&vmm.way, vmm.group[0], VMIG_UAPI_GROUP_GET_DEVICE_FD, "nic1"), -ENODEV);
	ck_assert_int_ge(way_ioctl(&vmm.way, vmm.group[0], VMIG_UAPI_GROUP_GET_DEVICE_FD, "nic0"), 0);
	vmm_done(&vmm);
}

TEST(without_a_descriptor_left_a_device_is_not_opened)
{
	struct vmm vmm;

	vmm_init(&vmm, NULL, "toy", NULL);
	vmm_open_container(&vmm);
	way_close(&vmm.way, vmm.fd[0]);
	atomic_store(&vmm.way.no_install, 0);
	ck_assert_int_eq(way_ioctl(&vmm.way, vmm.group[0], VMIG_UAPI_GROUP_GET_DEVICE_FD, "x"), -EMFILE);
	ck_assert_int_eq(vmm.status[0].opened, 0);
	vmm_done(&vmm);
}

/* --- IOMMU_GET_INFO ----------------------------------------------------------------------- */

struct info {
	struct vmig_uapi_iommu_type1_info head;
	uint8_t rest[1024];
};

static int64_t get_info(struct vmm *vmm, struct info *info, uint32_t argsz)
{
	memset(info, 0xee, sizeof(*info));
	info->head.argsz = argsz;
	return way_ioctl(&vmm->way, vmm->container, VMIG_UAPI_IOMMU_GET_INFO, info);
}

static void *find_cap(struct info *info, uint16_t id)
{
	uint32_t at = info->head.cap_offset;

	for (int i = 0; at && i < 16; i++) {
		struct vmig_uapi_info_cap_header header;

		ck_assert_uint_le(at, info->head.argsz - sizeof(header));
		memcpy(&header, (uint8_t *)info + at, sizeof(header));
		if (header.id == id)
			return (uint8_t *)info + at;
		at = header.next;
	}
	return NULL;
}

TEST(the_info_says_how_large_it_would_be_and_then_all_of_it)
{
	struct vmig_uapi_iommu_type1_info_cap_iova_range *ranges;
	struct vmig_uapi_iommu_type1_info_cap_migration *migration;
	struct vmig_uapi_iommu_type1_info_dma_avail *avail;
	struct info info;
	struct vmm vmm;
	uint32_t size;

	vmm_init(&vmm, NULL, "toy", NULL);
	vmm_open_container(&vmm);
	ck_assert_int_eq(vmm_map(&vmm, BASE, 0, PAGE), 0);
	ck_assert_int_eq(get_info(&vmm, &info, 15), -EINVAL);
	ck_assert_int_eq(get_info(&vmm, &info, 16), 0); /* of a program from before capabilities */
	ck_assert_uint_eq(info.head.cap_offset, 0xeeeeeeee);
	ck_assert_int_eq(get_info(&vmm, &info, 24), 0);
	ck_assert_uint_eq(info.head.cap_offset, 0);
	ck_assert_uint_eq(info.rest[0], 0xee);
	size = info.head.argsz;
	ck_assert_uint_gt(size, 24);
	ck_assert_int_eq(get_info(&vmm, &info, size), 0);
	ck_assert_uint_eq(info.head.flags, VMIG_UAPI_IOMMU_INFO_PGSIZES | VMIG_UAPI_IOMMU_INFO_CAPS);
	ck_assert_uint_eq(info.head.iova_pgsizes & (2 * PAGE - 1), PAGE);
	ranges = find_cap(&info, VMIG_UAPI_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE);
	ck_assert_ptr_nonnull(ranges);
	ck_assert_uint_eq(ranges->nr_iovas, 1);
	migration = find_cap(&info, VMIG_UAPI_IOMMU_TYPE1_INFO_CAP_MIGRATION);
	ck_assert_ptr_nonnull(migration);
	ck_assert_uint_eq(migration->pgsize_bitmap, PAGE);
	ck_assert_uint_ge(migration->max_dirty_bitmap_size, 32u << 20);
	avail = find_cap(&info, VMIG_UAPI_IOMMU_TYPE1_INFO_DMA_AVAIL);
	ck_assert_ptr_nonnull(avail);
	ck_assert_uint_eq(avail->avail, 65534);
	ck_assert_int_eq(way_ioctl(&vmm.way, vmm.container, VMIG_UAPI_IOMMU_GET_INFO, BAD), -EFAULT);
	vmm_done(&vmm);
}

TEST(extensions_are_those_that_work)
{
	struct vmm vmm;

	vmm_init(&vmm, NULL, "toy", NULL);
	vmm.container = way_open(&vmm.way, "/dev/vfio/vfio");
	for (uint64_t i = 0; i < 20; i++)
		ck_assert_int_eq(way_ioctl_number(&vmm.way, vmm.container, VMIG_UAPI_CHECK_EXTENSION, i),
				 i == VMIG_UAPI_TYPE1v2_IOMMU || i == VMIG_UAPI_UNMAP_ALL);
	vmm_done(&vmm);
}

/* --- mappings ----------------------------------------------------------------------------- */

static int64_t map_as(struct vmm *vmm, uint32_t argsz, uint32_t flags, uint64_t vaddr, uint64_t iova,
		      uint64_t size)
{
	struct vmig_uapi_iommu_type1_dma_map map = {
		.argsz = argsz, .flags = flags, .vaddr = vaddr, .iova = iova, .size = size
	};

	return way_ioctl(&vmm->way, vmm->container, VMIG_UAPI_IOMMU_MAP_DMA, &map);
}

TEST(the_rules_of_map_dma)
{
	uint64_t at;
	struct vmm vmm;

	vmm_init(&vmm, NULL, "toy", NULL);
	vmm_open_container(&vmm);
	at = (uintptr_t)vmm.memory;
	ck_assert_int_eq(map_as(&vmm, 31, 3, at, BASE, PAGE), -EINVAL);
	ck_assert_int_eq(map_as(&vmm, 32, 0, at, BASE, PAGE), -EINVAL);
	ck_assert_int_eq(map_as(&vmm, 32, 7, at, BASE, PAGE), -EINVAL);
	ck_assert_int_eq(map_as(&vmm, 32, 3, at + 1, BASE, PAGE), -EINVAL);
	ck_assert_int_eq(map_as(&vmm, 32, 3, at, BASE + 1, PAGE), -EINVAL);
	ck_assert_int_eq(map_as(&vmm, 32, 3, at, BASE, PAGE + 1), -EINVAL);
	ck_assert_int_eq(map_as(&vmm, 32, 3, at, BASE, 0), -EINVAL);
	ck_assert_int_eq(map_as(&vmm, 32, 3, at, 0ull - PAGE, 2 * PAGE), -EINVAL);
	ck_assert_int_eq(map_as(&vmm, 32, 3, 0ull - PAGE, BASE, 2 * PAGE), -EINVAL);
	ck_assert_int_eq(map_as(&vmm, 32, 3, PAGE, BASE, PAGE), -EFAULT);
	ck_assert_int_eq(map_as(&vmm, 32, 3, at, BASE, 2 * PAGE), 0);
	ck_assert_int_eq(map_as(&vmm, 32, 3, at, BASE + PAGE, PAGE), -EEXIST);
	ck_assert_int_eq(map_as(&vmm, 32, 3, at, BASE - PAGE, 2 * PAGE), -EEXIST);
	ck_assert_int_eq(map_as(&vmm, 32, 1, at, 0ull - PAGE, PAGE), 0); /* the last page there is */
	ck_assert_int_eq(map_as(&vmm, 32, 2, at, 0, PAGE), 0);
	ck_assert_int_eq(way_ioctl(&vmm.way, vmm.container, VMIG_UAPI_IOMMU_MAP_DMA, BAD), -EFAULT);
	ck_assert_int_eq(atomic_load(&vmm.way.mapped), 3);
	/* Read only is read only. */
	ck_assert_int_lt(vmig_model_dma_write(toy_model(vmm.toys[0]), 0ull - PAGE, "x", 1), 0);
	vmm_done(&vmm);
}

static int64_t unmap_as(struct vmm *vmm, uint32_t flags, uint64_t iova, uint64_t size, uint64_t *ret)
{
	struct vmig_uapi_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap), .flags = flags, .iova = iova, .size = size
	};
	int64_t r = way_ioctl(&vmm->way, vmm->container, VMIG_UAPI_IOMMU_UNMAP_DMA, &unmap);

	*ret = unmap.size;
	return r;
}

TEST(an_unmap_takes_whole_mappings_and_says_how_much)
{
	uint64_t size;
	struct vmm vmm;

	vmm_init(&vmm, NULL, "toy", NULL);
	vmm_open_container(&vmm);
	for (uint64_t i = 0; i < 4; i++)
		ck_assert_int_eq(vmm_map(&vmm, BASE + i * 4 * PAGE, i * 4 * PAGE, 2 * PAGE), 0);
	ck_assert_int_eq(unmap_as(&vmm, 0, BASE, PAGE, &size), -EINVAL); /* a part */
	ck_assert_int_eq(unmap_as(&vmm, 0, BASE + PAGE, 8 * PAGE, &size), -EINVAL);
	ck_assert_int_eq(unmap_as(&vmm, 0, BASE, 5 * PAGE, &size), -EINVAL);
	ck_assert_int_eq(unmap_as(&vmm, 0, BASE, 0, &size), -EINVAL);
	ck_assert_int_eq(unmap_as(&vmm, 0, BASE + 1, PAGE, &size), -EINVAL);
	ck_assert_int_eq(unmap_as(&vmm, 0, 0ull - PAGE, 2 * PAGE, &size), -EINVAL);
	ck_assert_int_eq(unmap_as(&vmm, 4, BASE, 2 * PAGE, &size), -EINVAL);
	ck_assert_int_eq(atomic_load(&vmm.way.mapped), 4);
	ck_assert_int_eq(unmap_as(&vmm, 0, BASE, 7 * PAGE, &size), 0);
	ck_assert_uint_eq(size, 4 * PAGE);
	ck_assert_int_eq(unmap_as(&vmm, 0, BASE, 7 * PAGE, &size), 0); /* nothing there */
	ck_assert_uint_eq(size, 0);
	ck_assert_int_lt(vmig_model_dma_write(toy_model(vmm.toys[0]), BASE, "x", 1), 0);
	vmm_dirty(&vmm, 0, BASE + 8 * PAGE, 1);
	ck_assert_int_eq(unmap_as(&vmm, VMIG_UAPI_DMA_UNMAP_FLAG_ALL, BASE, 0, &size), -EINVAL);
	ck_assert_int_eq(unmap_as(&vmm, 3, 0, 0, &size), -EINVAL);
	ck_assert_int_eq(unmap_as(&vmm, VMIG_UAPI_DMA_UNMAP_FLAG_ALL, 0, 0, &size), 0);
	ck_assert_uint_eq(size, 4 * PAGE);
	ck_assert_int_eq(atomic_load(&vmm.way.mapped), 0);
	vmm_done(&vmm);
}

TEST(there_is_a_limit_to_mappings)
{
	struct vmm vmm;

	vmm_init(&vmm, NULL, "toy", NULL);
	vmm_open_container(&vmm);
	for (uint64_t i = 0; i < 65535; i++)
		ck_assert_int_eq(vmm_map(&vmm, BASE + i * 2 * PAGE, 0, PAGE), 0);
	ck_assert_int_eq(vmm_map(&vmm, 0, 0, PAGE), -ENOSPC);
	ck_assert_int_eq(vmm_unmap(&vmm, BASE, PAGE), (int64_t)PAGE);
	ck_assert_int_eq(vmm_map(&vmm, 0, 0, PAGE), 0);
	ck_assert_int_eq(vmm_unmap(&vmm, BASE, 65536 * 2 * PAGE), (int64_t)(65534 * PAGE));
	vmm_done(&vmm);
}

/* --- two devices, kinds of memory ---------------------------------------------------------- */

TEST(devices_of_one_container_share_its_mappings)
{
	struct vmm vmm;

	vmm_init(&vmm, NULL, "toy", "toy", NULL);
	vmm_open_container(&vmm);
	ck_assert_int_eq(vmm_map(&vmm, BASE, 0, 2 * PAGE), 0);
	ck_assert_int_eq(vmig_model_dma_write(toy_model(vmm.toys[0]), BASE, "one", 3), 0);
	ck_assert_int_eq(vmig_model_dma_write(toy_model(vmm.toys[1]), BASE + PAGE, "two", 3), 0);
	ck_assert_mem_eq(vmm.memory, "one", 3);
	ck_assert_mem_eq(vmm.memory + PAGE, "two", 3);
	/* A device that is closed has none; the other keeps them. */
	way_close(&vmm.way, vmm.fd[0]);
	ck_assert_int_lt(vmig_model_dma_write(toy_model(vmm.toys[0]), BASE, "x", 1), 0);
	ck_assert_int_eq(vmig_model_dma_write(toy_model(vmm.toys[1]), BASE, "x", 1), 0);
	vmm_done(&vmm);
}

TEST(memory_may_be_had_by_its_file)
{
	struct vmm vmm;

	vmm_init(&vmm, NULL, "toy", NULL);
	vmm.way.kinds = VMIG_DMA_KIND_FD;
	vmm_open_container(&vmm);
	ck_assert_int_eq(vmm_map(&vmm, BASE, 3 * PAGE, PAGE), 0);
	ck_assert_int_eq(vmig_model_dma_write(toy_model(vmm.toys[0]), BASE + 5, "file", 4), 0);
	ck_assert_mem_eq(vmm.memory + 3 * PAGE + 5, "file", 4);
	vmm_done(&vmm);
}

static void keep_line(enum vmig_log_level level, const char *line, void *opaque)
{
	if (level == VMIG_LOG_ERROR)
		snprintf(opaque, 512, "%s", line);
}

/* Before the device is opened: the program learns it at its first mapping, the person in words. */
TEST(memory_that_a_device_cannot_reach_is_refused_in_words)
{
	const struct vmig_device_info info = { .dma_kinds = VMIG_DMA_KIND_ADDRESS, .name = "kernel:mtty" };
	struct script script = { .state = VMIG_STATE_RUNNING };
	struct vmig_kabi_device device;
	char line[512] = "";
	struct vmm vmm = { .iommufd = -1 };
	char memory[8192];
	uint64_t at = ((uintptr_t)memory + 4095) & ~4095ull;
	int32_t container;

	script_open_info(&script, &info);
	device = (struct vmig_kabi_device){ .dev = script.dev };
	vmig_log_set(VMIG_LOG_ERROR, keep_line, line);
	way_init(&vmm.way, &(struct vmig_kabi_config){ .n_devices = 1, .devices = &device });
	vmm.way.kinds = VMIG_DMA_KIND_MESSAGE;
	vmm.container = container = way_open(&vmm.way, "/dev/vfio/vfio");
	vmm.group[0] = way_open(&vmm.way, "/dev/vfio/90");
	ck_assert_int_eq(set_container(&vmm, container), 0);
	ck_assert_int_eq(way_ioctl_number(&vmm.way, container, VMIG_UAPI_SET_IOMMU, 3), 0);
	ck_assert_int_eq(map_as(&vmm, 32, 3, at, BASE, PAGE), -EOPNOTSUPP);
	ck_assert_int_eq(atomic_load(&vmm.way.mapped), 0);
	ck_assert_ptr_nonnull(strstr(line, "kernel:mtty reaches memory by an address in this process"));
	ck_assert_ptr_nonnull(strstr(line, "can be had by messages"));
	ck_assert_ptr_nonnull(strstr(line, "memfd"));
	vmm.way.kinds = VMIG_DMA_KIND_ADDRESS;
	ck_assert_int_eq(map_as(&vmm, 32, 3, at, BASE, PAGE), 0);
	way_done(&vmm.way);
	vmig_log_set(VMIG_LOG_ERROR, NULL, NULL);
	script_close(&script);
}

HARNESS("kernel-abi-container", T(only_the_paths_of_what_is_there_are_ours),
	T(groups_are_numbered_from_where_they_are_told), T(a_core_needs_a_device), T(a_group_has_one_user),
	T(the_rules_of_groups_and_containers), T(mappings_go_with_the_last_group_that_leaves_the_container),
	T(a_container_that_all_groups_have_left_has_no_iommu),
	T(a_device_is_asked_for_by_its_name_if_it_has_one),
	T(without_a_descriptor_left_a_device_is_not_opened),
	T(the_info_says_how_large_it_would_be_and_then_all_of_it), T(extensions_are_those_that_work),
	T(the_rules_of_map_dma), T(an_unmap_takes_whole_mappings_and_says_how_much),
	T_SLOW(there_is_a_limit_to_mappings, 60), T(devices_of_one_container_share_its_mappings),
	T(memory_may_be_had_by_its_file), T(memory_that_a_device_cannot_reach_is_refused_in_words))
