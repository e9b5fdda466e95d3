/* SPDX-License-Identifier: BSD-3-Clause */
/* Dirty tracking against a reference: by container, by page table of an iommufd, and by the device's own log. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vmig/log.h>

#include "vmm.h"

#define PAGE  4096ull
#define PAGES (VMM_MEMORY / PAGE)
#define BASE  0x40000000ull
#define WORDS (PAGES / 64)

/* --- container ---------------------------------------------------------------------------- */

static int64_t dirty_pages(struct vmm *vmm, uint32_t flags)
{
	struct vmig_uapi_iommu_type1_dirty_bitmap args = { .argsz = sizeof(args), .flags = flags };

	return way_ioctl(&vmm->way, vmm->container, VMIG_UAPI_IOMMU_DIRTY_PAGES, &args);
}

static int64_t start(struct vmm *vmm)
{
	return dirty_pages(vmm, VMIG_UAPI_IOMMU_DIRTY_PAGES_FLAG_START);
}

static int64_t get_bitmap(struct vmm *vmm, uint64_t iova, uint64_t size, uint64_t *bitmap, uint64_t bytes)
{
	struct {
		struct vmig_uapi_iommu_type1_dirty_bitmap head;
		struct vmig_uapi_iommu_type1_dirty_bitmap_get get;
	} args = {
		.head = { .argsz = sizeof(args), .flags = VMIG_UAPI_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP },
		.get = { .iova = iova, .size = size, .bitmap = { PAGE, bytes, bitmap } },
	};

	return way_ioctl(&vmm->way, vmm->container, VMIG_UAPI_IOMMU_DIRTY_PAGES, &args);
}

static void set(uint64_t *bitmap, uint64_t page, uint64_t n)
{
	for (; n; n--, page++)
		bitmap[page / 64] |= 1ull << (page % 64);
}

static void open_dirty(struct vmm *vmm, const char *first, const char *second)
{
	vmm_init(vmm, NULL, first, second, NULL);
	vmm_open_container(vmm);
	ck_assert_int_eq(vmm_map(vmm, BASE, 0, VMM_MEMORY), 0);
}

/** What GET_BITMAP says of all of the memory is @want; and then nothing more. */
static void expect(struct vmm *vmm, const uint64_t *want)
{
	uint64_t bitmap[WORDS], none[WORDS] = { 0 };

	memset(bitmap, 0xee, sizeof(bitmap));
	ck_assert_int_eq(get_bitmap(vmm, BASE, VMM_MEMORY, bitmap, sizeof(bitmap)), 0);
	ck_assert_mem_eq(bitmap, want, sizeof(bitmap));
	ck_assert_int_eq(get_bitmap(vmm, BASE, VMM_MEMORY, bitmap, sizeof(bitmap)), 0);
	ck_assert_mem_eq(bitmap, none, sizeof(bitmap));
}

TEST(a_container_reports_what_its_devices_wrote_since_the_last_time)
{
	uint64_t want[WORDS] = { 0 };
	struct vmm vmm;

	open_dirty(&vmm, "toy", "toy");
	vmm_dirty(&vmm, 0, BASE, 5); /* not tracked yet */
	ck_assert_int_eq(start(&vmm), 0);
	vmm_dirty(&vmm, 0, BASE + 3 * PAGE, 70);
	vmm_dirty(&vmm, 1, BASE + 1000 * PAGE, 3);
	set(want, 3, 70);
	set(want, 1000, 3);
	expect(&vmm, want);
	memset(want, 0, sizeof(want));
	vmm_dirty(&vmm, 1, BASE + (PAGES - 1) * PAGE, 1);
	set(want, PAGES - 1, 1);
	expect(&vmm, want);
	vmm_done(&vmm);
}

TEST(random_writes_of_two_devices_are_reported_as_a_reference_has_them)
{
	struct vmm vmm;

	srand(harness_seed());
	open_dirty(&vmm, "toy", "v1+toy");
	ck_assert_int_eq(start(&vmm), 0);
	for (int round = 0; round < 20; round++) {
		uint64_t want[WORDS] = { 0 };

		for (int i = 0; i < 200; i++) {
			uint64_t page = (uint64_t)rand() % PAGES;

			vmm_dirty(&vmm, i & 1, BASE + page * PAGE, 1);
			set(want, page, 1);
		}
		expect(&vmm, want);
	}
	vmm_done(&vmm);
}

/* Each in its own place of the bitmap, whatever the places of the mappings. */
TEST(a_report_over_several_mappings_puts_their_bits_where_they_belong)
{
	uint64_t want[2] = { 0 }, bitmap[2];
	struct vmm vmm;

	vmm_init(&vmm, NULL, "toy", NULL);
	vmm_open_container(&vmm);
	ck_assert_int_eq(vmm_map(&vmm, BASE, 0, 3 * PAGE), 0);
	ck_assert_int_eq(vmm_map(&vmm, BASE + 5 * PAGE, 8 * PAGE, 90 * PAGE), 0);
	ck_assert_int_eq(start(&vmm), 0);
	vmm_dirty(&vmm, 0, BASE + 2 * PAGE, 1);
	vmm_dirty(&vmm, 0, BASE + 5 * PAGE, 2);
	vmm_dirty(&vmm, 0, BASE + 60 * PAGE, 10);
	set(want, 2, 1);
	set(want, 5, 2);
	set(want, 60, 10);
	ck_assert_int_eq(get_bitmap(&vmm, BASE, 95 * PAGE, bitmap, sizeof(bitmap)), 0);
	ck_assert_mem_eq(bitmap, want, sizeof(want));
	vmm_done(&vmm);
}

TEST(what_is_mapped_while_it_is_tracked_is_tracked_too)
{
	uint64_t bitmap = 0;
	struct vmm vmm;

	vmm_init(&vmm, NULL, "toy", NULL);
	vmm_open_container(&vmm);
	ck_assert_int_eq(start(&vmm), 0);
	ck_assert_int_eq(vmm_map(&vmm, BASE, 0, 8 * PAGE), 0);
	vmm_dirty(&vmm, 0, BASE + 6 * PAGE, 2);
	ck_assert_int_eq(get_bitmap(&vmm, BASE, 8 * PAGE, &bitmap, 8), 0);
	ck_assert_uint_eq(bitmap, 0xc0);
	vmm_done(&vmm);
}

TEST(the_rules_of_get_bitmap)
{
	uint64_t bitmap[WORDS];
	struct vmm vmm;

	open_dirty(&vmm, "toy", NULL);
	ck_assert_int_eq(get_bitmap(&vmm, BASE, VMM_MEMORY, bitmap, sizeof(bitmap)),
			 -EINVAL); /* not started */
	ck_assert_int_eq(start(&vmm), 0);
	ck_assert_int_eq(start(&vmm), 0); /* once more does no harm */
	ck_assert_int_eq(get_bitmap(&vmm, BASE + PAGE, PAGE, bitmap, sizeof(bitmap)), -EINVAL); /* a part */
	ck_assert_int_eq(get_bitmap(&vmm, BASE, 2 * PAGE, bitmap, sizeof(bitmap)), -EINVAL);
	ck_assert_int_eq(get_bitmap(&vmm, BASE, VMM_MEMORY + 1, bitmap, sizeof(bitmap)), -EINVAL);
	ck_assert_int_eq(get_bitmap(&vmm, BASE, 0, bitmap, sizeof(bitmap)), -EINVAL);
	ck_assert_int_eq(get_bitmap(&vmm, BASE, VMM_MEMORY, bitmap, sizeof(bitmap) - 8), -EINVAL);
	ck_assert_int_eq(get_bitmap(&vmm, BASE, VMM_MEMORY, (uint64_t *)8, sizeof(bitmap)), -EFAULT);
	ck_assert_int_eq(get_bitmap(&vmm, 0, 1ull << 63, bitmap, UINT64_MAX),
			 -EINVAL); /* a bitmap too large */
	ck_assert_int_eq(get_bitmap(&vmm, 0, BASE + VMM_MEMORY, bitmap, 8), -EINVAL);
	ck_assert_int_eq(dirty_pages(&vmm, 0), -EINVAL);
	ck_assert_int_eq(dirty_pages(&vmm, 3), -EINVAL);
	ck_assert_int_eq(dirty_pages(&vmm, 8), -EINVAL);
	ck_assert_int_eq(dirty_pages(&vmm, VMIG_UAPI_IOMMU_DIRTY_PAGES_FLAG_STOP), 0);
	ck_assert_int_eq(get_bitmap(&vmm, BASE, VMM_MEMORY, bitmap, sizeof(bitmap)), -EINVAL);
	vmm_done(&vmm);
}

/* --- unmap with its bitmap ---------------------------------------------------------------- */

static int64_t unmap_with_bitmap(struct vmm *vmm, uint64_t iova, uint64_t size, uint64_t *bitmap,
				 uint64_t bytes, uint64_t *ret_size)
{
	struct {
		struct vmig_uapi_iommu_type1_dma_unmap head;
		struct vmig_uapi_bitmap bitmap;
	} args = {
		.head = { .argsz = sizeof(args),
			  .flags = VMIG_UAPI_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
			  .iova = iova,
			  .size = size },
		.bitmap = { PAGE, bytes, bitmap },
	};
	int64_t r = way_ioctl(&vmm->way, vmm->container, VMIG_UAPI_IOMMU_UNMAP_DMA, &args);

	*ret_size = args.head.size;
	return r;
}

TEST(an_unmap_tells_what_was_written_up_to_it)
{
	uint64_t want[WORDS] = { 0 }, bitmap[WORDS], size;
	struct vmm vmm;

	open_dirty(&vmm, "toy", NULL);
	ck_assert_int_eq(unmap_with_bitmap(&vmm, BASE, VMM_MEMORY, bitmap, sizeof(bitmap), &size), -EINVAL);
	ck_assert_int_eq(start(&vmm), 0);
	vmm_dirty(&vmm, 0, BASE + 17 * PAGE, 200);
	set(want, 17, 200);
	ck_assert_int_eq(unmap_with_bitmap(&vmm, BASE, VMM_MEMORY, bitmap, 8, &size), -EINVAL);
	ck_assert_int_eq(unmap_with_bitmap(&vmm, BASE, VMM_MEMORY, (uint64_t *)8, sizeof(bitmap), &size),
			 -EFAULT);
	ck_assert_int_eq(atomic_load(&vmm.way.mapped), 1); /* none of these has unmapped anything */
	ck_assert_int_eq(unmap_with_bitmap(&vmm, BASE, VMM_MEMORY, bitmap, sizeof(bitmap), &size), 0);
	ck_assert_uint_eq(size, VMM_MEMORY);
	ck_assert_mem_eq(bitmap, want, sizeof(want));
	ck_assert_int_eq(atomic_load(&vmm.way.mapped), 0);
	ck_assert_int_lt(vmig_model_dma_write(toy_model(vmm.toys[0]), BASE, "x", 1), 0);
	vmm_done(&vmm);
}

/* --- devices that come and go, resets, no log ---------------------------------------------- */

static void count_warnings(enum vmig_log_level level, const char *line, void *opaque)
{
	if (level == VMIG_LOG_WARNING && strstr(line, "reported as written"))
		++*(int *)opaque;
}

TEST(without_a_log_every_page_is_dirty_and_that_is_said_once)
{
	uint64_t bitmap[WORDS], all[WORDS];
	int warnings = 0;
	struct vmm vmm;

	vmig_log_set(VMIG_LOG_WARNING, count_warnings, &warnings);
	open_dirty(&vmm, "toy", "toy-no-log");
	ck_assert_int_eq(start(&vmm), 0);
	memset(all, 0xff, sizeof(all));
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(get_bitmap(&vmm, BASE, VMM_MEMORY, bitmap, sizeof(bitmap)), 0);
		ck_assert_mem_eq(bitmap, all, sizeof(all));
	}
	ck_assert_int_eq(warnings, 1);
	vmm_done(&vmm);
	vmig_log_set(VMIG_LOG_ERROR, NULL, NULL);
}

TEST(what_a_device_wrote_before_it_was_closed_is_not_forgotten)
{
	uint64_t want[WORDS] = { 0 };
	struct vmm vmm;

	open_dirty(&vmm, "toy", "toy");
	ck_assert_int_eq(start(&vmm), 0);
	vmm_dirty(&vmm, 1, BASE + 9 * PAGE, 4);
	way_close(&vmm.way, vmm.fd[1]);
	set(want, 9, 4);
	expect(&vmm, want);
	vmm_done(&vmm);
}

TEST(a_device_that_is_opened_while_it_is_tracked_is_tracked)
{
	uint64_t want[WORDS] = { 0 };
	struct vmm vmm;

	open_dirty(&vmm, "toy", NULL);
	way_close(&vmm.way, vmm.fd[0]);
	ck_assert_int_eq(start(&vmm), 0);
	vmm.fd[0] = (int)way_ioctl(&vmm.way, vmm.group[0], VMIG_UAPI_GROUP_GET_DEVICE_FD, "any");
	ck_assert_int_ge(vmm.fd[0], 0);
	vmm_dirty(&vmm, 0, BASE, 1);
	set(want, 0, 1);
	expect(&vmm, want);
	vmm_done(&vmm);
}

/* The device's log is gone with it: what it may have held is reported, too much rather than too little. */
TEST(a_reset_while_it_is_tracked_loses_nothing)
{
	uint64_t bitmap[WORDS], want[WORDS] = { 0 };
	struct vmm vmm;

	open_dirty(&vmm, "toy", NULL);
	ck_assert_int_eq(start(&vmm), 0);
	vmm_dirty(&vmm, 0, BASE + 5 * PAGE, 1);
	ck_assert_int_eq(way_ioctl(&vmm.way, vmm.fd[0], VMIG_UAPI_DEVICE_RESET, NULL), 0);
	ck_assert_int_eq(get_bitmap(&vmm, BASE, VMM_MEMORY, bitmap, sizeof(bitmap)), 0);
	ck_assert_uint_eq(bitmap[0] >> 5 & 1, 1);
	vmm_dirty(&vmm, 0, BASE + 7 * PAGE, 1);
	set(want, 7, 1);
	expect(&vmm, want);
	vmm_done(&vmm);
}

/* --- by iommufd --------------------------------------------------------------------------- */

static int64_t track(struct vmm *vmm, uint32_t hwpt, uint32_t flags)
{
	struct vmig_uapi_iommufd_hwpt_set_dirty_tracking args = { .size = sizeof(args),
								  .flags = flags,
								  .hwpt_id = hwpt };

	return way_ioctl(&vmm->way, vmm->iommufd, VMIG_UAPI_IOMMUFD_HWPT_SET_DIRTY_TRACKING, &args);
}

static int64_t hwpt_bitmap(struct vmm *vmm, uint32_t flags, uint64_t page, uint64_t *bitmap)
{
	struct vmig_uapi_iommufd_hwpt_get_dirty_bitmap args = {
		.size = sizeof(args),
		.hwpt_id = vmm->hwpt[0],
		.flags = flags,
		.iova = BASE,
		.length = VMM_MEMORY,
		.page_size = page,
		.data = (uintptr_t)bitmap,
	};

	return way_ioctl(&vmm->way, vmm->iommufd, VMIG_UAPI_IOMMUFD_HWPT_GET_DIRTY_BITMAP, &args);
}

static void open_tracked(struct vmm *vmm)
{
	vmm_init(vmm, NULL, "toy", NULL);
	vmm_open_iommufd(vmm);
	ck_assert_int_eq(vmm_map(vmm, BASE, 0, VMM_MEMORY), 0);
	ck_assert_int_eq(track(vmm, vmm->hwpt[0], VMIG_UAPI_IOMMUFD_HWPT_DIRTY_TRACKING_ENABLE), 0);
}

TEST(a_page_table_adds_what_was_written_to_the_bitmap)
{
	uint64_t bitmap[WORDS] = { 0 }, want[WORDS] = { 0 };
	struct vmm vmm;

	open_tracked(&vmm);
	set(bitmap, 100, 1);
	set(want, 100, 1);
	vmm_dirty(&vmm, 0, BASE + 62 * PAGE, 4);
	set(want, 62, 4);
	ck_assert_int_eq(hwpt_bitmap(&vmm, 0, PAGE, bitmap), 0);
	ck_assert_mem_eq(bitmap, want, sizeof(want));
	memset(bitmap, 0, sizeof(bitmap));
	memset(want, 0, sizeof(want));
	ck_assert_int_eq(hwpt_bitmap(&vmm, 0, PAGE, bitmap), 0);
	ck_assert_mem_eq(bitmap, want, sizeof(want));
	vmm_done(&vmm);
}

TEST(bits_that_are_not_to_be_cleared_come_again)
{
	uint64_t want[WORDS] = { 0 };
	struct vmm vmm;

	open_tracked(&vmm);
	vmm_dirty(&vmm, 0, BASE + 130 * PAGE, 2);
	set(want, 130, 2);
	for (int i = 0; i < 3; i++) {
		uint64_t bitmap[WORDS] = { 0 };

		/* Twice kept, then taken. */
		ck_assert_int_eq(hwpt_bitmap(&vmm,
					     i < 2 ? VMIG_UAPI_IOMMUFD_HWPT_GET_DIRTY_BITMAP_NO_CLEAR : 0,
					     PAGE, bitmap),
				 0);
		ck_assert_mem_eq(bitmap, want, sizeof(want));
		if (!i) {
			vmm_dirty(&vmm, 0, BASE + 140 * PAGE, 1);
			set(want, 140, 1);
		}
	}
	memset(want, 0, sizeof(want));
	ck_assert_int_eq(hwpt_bitmap(&vmm, 0, PAGE, want), 0);
	for (size_t i = 0; i < WORDS; i++)
		ck_assert_uint_eq(want[i], 0);
	vmm_done(&vmm);
}

TEST(larger_pages_are_dirty_when_a_part_of_them_is)
{
	uint64_t bitmap[WORDS] = { 0 };
	struct vmm vmm;

	open_tracked(&vmm);
	vmm_dirty(&vmm, 0, BASE + 513 * PAGE, 1); /* in the second 2 MiB */
	ck_assert_int_eq(hwpt_bitmap(&vmm, 0, 2u << 20, bitmap), 0);
	ck_assert_uint_eq(bitmap[0], 2);
	ck_assert_uint_eq(bitmap[1], 0);
	vmm_done(&vmm);
}

TEST(the_rules_of_a_page_tables_tracking)
{
	struct vmig_uapi_iommufd_hwpt_alloc alloc = { .size = sizeof(alloc) };
	struct vmig_uapi_iommufd_hwpt_get_dirty_bitmap get = { .size = sizeof(get), .page_size = PAGE };
	uint64_t bitmap[WORDS] = { 0 };
	struct vmm vmm;

	open_tracked(&vmm);
	ck_assert_int_eq(hwpt_bitmap(&vmm, 2, PAGE, bitmap), -EOPNOTSUPP);
	ck_assert_int_eq(hwpt_bitmap(&vmm, 0, 0, bitmap), -EINVAL);
	ck_assert_int_eq(hwpt_bitmap(&vmm, 0, 3 * PAGE, bitmap), -EINVAL);
	ck_assert_int_eq(hwpt_bitmap(&vmm, 0, 1ull << 30, bitmap), -EINVAL);
	vmm_dirty(&vmm, 0, BASE, 1);
	ck_assert_int_eq(hwpt_bitmap(&vmm, 0, PAGE, (uint64_t *)8), -EFAULT);
	get.hwpt_id = vmm.hwpt[0];
	get.length = 1ull << 43; /* a bitmap of 256 MiB, of which nothing is to be written */
	ck_assert_int_eq(way_ioctl(&vmm.way, vmm.iommufd, VMIG_UAPI_IOMMUFD_HWPT_GET_DIRTY_BITMAP, &get), 0);
	get.length += 8 * PAGE;
	ck_assert_int_eq(way_ioctl(&vmm.way, vmm.iommufd, VMIG_UAPI_IOMMUFD_HWPT_GET_DIRTY_BITMAP, &get),
			 -E2BIG);
	ck_assert_int_eq(track(&vmm, vmm.ioas, 1), -ENOENT);
	ck_assert_int_eq(track(&vmm, vmm.hwpt[0], 2), -EOPNOTSUPP);
	ck_assert_int_eq(track(&vmm, vmm.hwpt[0], 0), 0);
	ck_assert_int_eq(hwpt_bitmap(&vmm, 0, PAGE, bitmap), -EINVAL);
	alloc.dev_id = vmm.dev_id[0];
	alloc.pt_id = vmm.ioas;
	ck_assert_int_eq(way_ioctl(&vmm.way, vmm.iommufd, VMIG_UAPI_IOMMUFD_HWPT_ALLOC, &alloc), 0);
	ck_assert_int_eq(track(&vmm, alloc.out_hwpt_id, 1), -EOPNOTSUPP);
	vmm_done(&vmm);
}

/* Of small pages these would be two hundred million million: what is not mapped is passed by. */
TEST(a_report_of_large_pages_takes_no_longer_than_what_is_mapped)
{
	struct vmig_uapi_iommufd_hwpt_get_dirty_bitmap get = { .size = sizeof(get),
							       .length = 1ull << 55,
							       .page_size = 32u << 20 };
	uint64_t bitmap[2] = { 0 };
	struct vmm vmm;

	open_tracked(&vmm);
	vmm_dirty(&vmm, 0, BASE, 1);
	get.hwpt_id = vmm.hwpt[0];
	get.data = (uintptr_t)bitmap;
	ck_assert_int_eq(way_ioctl(&vmm.way, vmm.iommufd, VMIG_UAPI_IOMMUFD_HWPT_GET_DIRTY_BITMAP, &get), 0);
	ck_assert_uint_eq(bitmap[0], 1ull << (BASE / get.page_size % 64));
	ck_assert_uint_eq(bitmap[1], 0);
	vmm_done(&vmm);
}

/* --- the device's own log ----------------------------------------------------------------- */

#define SET VMIG_UAPI_DEVICE_FEATURE_SET
#define GET VMIG_UAPI_DEVICE_FEATURE_GET

static int64_t log_start(struct vmm *vmm, int device, uint64_t page,
			 const struct vmig_uapi_device_feature_dma_logging_range *ranges, uint32_t n)
{
	struct vmig_uapi_device_feature_dma_logging_control control = { .page_size = page,
									.num_ranges = n,
									.ranges = (uintptr_t)ranges };

	return vmm_feature(vmm, vmm->fd[device], SET | VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_START, &control,
			   sizeof(control));
}

static int64_t log_report(struct vmm *vmm, uint64_t iova, uint64_t length, uint64_t page, uint64_t *bitmap)
{
	struct vmig_uapi_device_feature_dma_logging_report report = {
		.iova = iova, .length = length, .page_size = page, .bitmap = (uintptr_t)bitmap
	};

	return vmm_feature(vmm, vmm->fd[0], GET | VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_REPORT, &report,
			   sizeof(report));
}

static const struct vmig_uapi_device_feature_dma_logging_range whole = { BASE, VMM_MEMORY };

TEST(a_device_reports_what_it_wrote)
{
	uint64_t bitmap[WORDS] = { 0 }, want[WORDS] = { 0 };
	struct vmm vmm;

	open_dirty(&vmm, "toy", NULL);
	ck_assert_int_eq(log_start(&vmm, 0, PAGE, &whole, 1), 0);
	vmm_dirty(&vmm, 0, BASE + 60 * PAGE, 9);
	set(want, 60, 9);
	set(want, 1, 1);
	set(bitmap, 1, 1); /* is kept */
	ck_assert_int_eq(log_report(&vmm, BASE, VMM_MEMORY, PAGE, bitmap), 0);
	ck_assert_mem_eq(bitmap, want, sizeof(want));
	ck_assert_uint_eq(vmm.status[0].n_reports, 1);
	ck_assert_uint_eq(vmm.status[0].dirty_pages, 9);
	memset(bitmap, 0, sizeof(bitmap));
	ck_assert_int_eq(log_report(&vmm, BASE, VMM_MEMORY, PAGE, bitmap), 0);
	for (size_t i = 0; i < WORDS; i++)
		ck_assert_uint_eq(bitmap[i], 0);
	vmm_done(&vmm);
}

TEST(two_pages_of_half_of_all_addresses_are_reported)
{
	const struct vmig_uapi_device_feature_dma_logging_range all = { 0, UINT64_MAX - (PAGE - 1) };
	uint64_t bitmap[1] = { 0 };
	struct vmm vmm;

	open_dirty(&vmm, "toy", NULL);
	ck_assert_int_eq(log_start(&vmm, 0, PAGE, &all, 1), 0);
	vmm_dirty(&vmm, 0, BASE, 1);
	ck_assert_int_eq(log_report(&vmm, all.iova, all.length, 1ull << 63, bitmap), 0);
	ck_assert_uint_eq(bitmap[0], 1);
	vmm_done(&vmm);
}

TEST(the_rules_of_the_device_log)
{
	const struct vmig_uapi_device_feature_dma_logging_range odd = { BASE + 1, PAGE };
	const struct vmig_uapi_device_feature_dma_logging_range wraps = { 0ull - PAGE, 2 * PAGE };
	const struct vmig_uapi_device_feature_dma_logging_range twice[2] = { whole, whole };
	uint64_t bitmap[WORDS] = { 0 };
	struct vmm vmm;
	int fd;

	open_dirty(&vmm, "toy", "toy-no-log");
	fd = vmm.fd[0];
	ck_assert_int_eq(log_report(&vmm, BASE, PAGE, PAGE, bitmap), -EINVAL); /* not started */
	ck_assert_int_eq(log_start(&vmm, 0, PAGE, &whole, 0), -EINVAL);
	ck_assert_int_eq(log_start(&vmm, 0, 3000, &whole, 1), -EINVAL);
	ck_assert_int_eq(log_start(&vmm, 0, 0, &whole, 1), -EINVAL);
	ck_assert_int_eq(log_start(&vmm, 0, PAGE, &odd, 1), -EINVAL);
	ck_assert_int_eq(log_start(&vmm, 0, PAGE, &wraps, 1), -EOVERFLOW);
	ck_assert_int_eq(log_start(&vmm, 0, PAGE, twice, 2), -EINVAL);
	ck_assert_int_eq(log_start(&vmm, 0, PAGE, &whole, 1025), -E2BIG);
	ck_assert_int_eq(log_start(&vmm, 0, PAGE, (void *)8, 1), -EFAULT);
	ck_assert_int_eq(log_start(&vmm, 1, PAGE, &whole, 1), -ENOTTY);
	ck_assert_int_eq(log_start(&vmm, 0, PAGE, &whole, 1), 0);
	ck_assert_int_eq(log_start(&vmm, 0, PAGE, &whole, 1), -EBUSY);
	ck_assert_int_eq(log_report(&vmm, BASE, PAGE, 512, bitmap), -EINVAL);
	ck_assert_int_eq(log_report(&vmm, BASE, 0, PAGE, bitmap), -EINVAL);
	ck_assert_int_eq(log_report(&vmm, BASE + VMM_MEMORY, PAGE, PAGE, bitmap), -EINVAL);
	ck_assert_int_eq(log_report(&vmm, 0ull - PAGE, 2 * PAGE, PAGE, bitmap), -EOVERFLOW);
	/* A bitmap of 256 MiB, and one that is larger. */
	ck_assert_int_eq(log_report(&vmm, 0, 1ull << 43, PAGE, bitmap), -EINVAL);
	ck_assert_int_eq(log_report(&vmm, 0, (1ull << 43) + 8 * PAGE, PAGE, bitmap), -E2BIG);
	vmm_dirty(&vmm, 0, BASE, 1);
	ck_assert_int_eq(log_report(&vmm, BASE, PAGE, PAGE, (uint64_t *)8), -EFAULT);
	ck_assert_int_eq(vmm_feature(&vmm, fd, SET | VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_STOP, NULL, 0), 0);
	ck_assert_int_eq(vmm_feature(&vmm, fd, SET | VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_STOP, NULL, 0), 0);
	vmm_done(&vmm);
}

/* One log has one reader: whoever comes second is refused. */
TEST(the_log_is_either_the_programs_or_the_containers)
{
	uint64_t bitmap[WORDS];
	struct vmm vmm;
	int fd;

	open_dirty(&vmm, "toy", NULL);
	fd = vmm.fd[0];
	ck_assert_int_eq(log_start(&vmm, 0, PAGE, &whole, 1), 0);
	ck_assert_int_eq(start(&vmm), -EBUSY);
	ck_assert_int_eq(get_bitmap(&vmm, BASE, VMM_MEMORY, bitmap, sizeof(bitmap)), -EINVAL);
	ck_assert_int_eq(vmm_feature(&vmm, fd, SET | VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_STOP, NULL, 0), 0);
	ck_assert_int_eq(start(&vmm), 0);
	ck_assert_int_eq(log_start(&vmm, 0, PAGE, &whole, 1), -EBUSY);
	ck_assert_int_eq(log_report(&vmm, BASE, PAGE, PAGE, bitmap), -EINVAL);
	ck_assert_int_eq(dirty_pages(&vmm, VMIG_UAPI_IOMMU_DIRTY_PAGES_FLAG_STOP), 0);
	ck_assert_int_eq(log_start(&vmm, 0, PAGE, &whole, 1), 0);
	vmm_done(&vmm);
}

static int leave_out(void *opaque, enum vmig_kabi_fault where, uint32_t from, uint32_t to, uint64_t bytes)
{
	return where == VMIG_KABI_FAULT_REPORT ? *(int *)opaque : 0;
}

TEST(a_report_can_be_made_to_forget_a_page)
{
	uint64_t bitmap[1] = { 0 };
	int fault = -EAGAIN;
	const struct vmig_kabi_device device = { .fault = leave_out, .opaque = &fault };
	struct vmm vmm;

	vmm_init(&vmm, &(struct vmig_kabi_config){ .devices = &device }, "toy", NULL);
	vmm_open_container(&vmm);
	ck_assert_int_eq(vmm_map(&vmm, BASE, 0, VMM_MEMORY), 0);
	ck_assert_int_eq(log_start(&vmm, 0, PAGE, &whole, 1), 0);
	vmm_dirty(&vmm, 0, BASE + 3 * PAGE, 3);
	ck_assert_int_eq(log_report(&vmm, BASE, 64 * PAGE, PAGE, bitmap), 0);
	ck_assert_uint_eq(bitmap[0], 0x30);
	fault = -EIO;
	ck_assert_int_eq(log_report(&vmm, BASE, 64 * PAGE, PAGE, bitmap), -EIO);
	vmm_done(&vmm);
}

HARNESS("kernel-abi-dirty", T(a_container_reports_what_its_devices_wrote_since_the_last_time),
	T(random_writes_of_two_devices_are_reported_as_a_reference_has_them),
	T(a_report_over_several_mappings_puts_their_bits_where_they_belong),
	T(what_is_mapped_while_it_is_tracked_is_tracked_too), T(the_rules_of_get_bitmap),
	T(an_unmap_tells_what_was_written_up_to_it),
	T(without_a_log_every_page_is_dirty_and_that_is_said_once),
	T(what_a_device_wrote_before_it_was_closed_is_not_forgotten),
	T(a_device_that_is_opened_while_it_is_tracked_is_tracked),
	T(a_reset_while_it_is_tracked_loses_nothing), T(a_page_table_adds_what_was_written_to_the_bitmap),
	T(bits_that_are_not_to_be_cleared_come_again), T(larger_pages_are_dirty_when_a_part_of_them_is),
	T(the_rules_of_a_page_tables_tracking),
	T(a_report_of_large_pages_takes_no_longer_than_what_is_mapped),
	T(two_pages_of_half_of_all_addresses_are_reported), T(a_device_reports_what_it_wrote),
	T(the_rules_of_the_device_log), T(the_log_is_either_the_programs_or_the_containers),
	T(a_report_can_be_made_to_forget_a_page))
