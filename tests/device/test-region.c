/* SPDX-License-Identifier: BSD-3-Clause */
/* The migration region: its place and layout, its registers, what it passes on, faults on purpose. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/util.h"
#include "tiny.h"
#include "v1.h"

#define PAGE     4096u
#define TINY_END 3u /* the first index behind tiny's regions */

static void open_section(struct tiny *tiny, struct v1 *v, enum vmig_v1_section section, uint64_t size)
{
	tiny_open(tiny, TINY_ALL_FLAGS, TINY_LENDS);
	v1_show(v, tiny->dev, &(struct vmig_v1_config){ .section = section, .section_size = size });
}

static int access_region(struct v1 *v, bool is_write, uint64_t offset, size_t len)
{
	uint8_t buf[64] = { 0 };

	return is_write ? vmig_device_region_write(v->dev, v->region.index, offset, buf, len)
			: vmig_device_region_read(v->dev, v->region.index, offset, buf, len);
}

/* --- where it is --------------------------------------------------------------------------- */

/* V1-01: "placed at the 0th offset of the VFIO_REGION_SUBTYPE_MIGRATION region" */
TEST(it_is_the_region_behind_the_others_with_type_3_1)
{
	struct tiny tiny;
	struct v1 v;

	open_section(&tiny, &v, VMIG_V1_SECTION_TRAPPED, 0);
	ck_assert_uint_eq(v.region.index, TINY_END);
	ck_assert_uint_eq(v.region.cap_type, 3);
	ck_assert_uint_eq(v.region.cap_subtype, 1);
	ck_assert_uint_eq(v.region.flags, VMIG_REGION_READ | VMIG_REGION_WRITE);
	ck_assert_uint_eq(v.region.size, 32 + (1 << 20));
	ck_assert_uint_eq(v.region.n_areas, 0);
	ck_assert_int_eq(v.region.fd, -1);
	v1_close(&v);
	ck_assert_int_eq(tiny.closes, 1);
}

/* V1-40: "The structure vfio_device_migration_info is always followed by the data section in the region, so
 * data_offset will always be nonzero." */
TEST(data_offset_is_nonzero_in_every_state)
{
	static const uint32_t way[] = { 1, 3, 2, 0, 1, 4, 0 };

	for (int section = 0; section <= VMIG_V1_SECTION_PARTITIONED; section++) {
		struct tiny tiny;
		struct v1 v;

		open_section(&tiny, &v, section, 0);
		for (unsigned int i = 0; i < ARRAY_SIZE(way); i++) {
			v1_write_state(&v, way[i]);
			ck_assert_uint_ge(v1_offset(&v), 32);
		}
		v1_close(&v);
	}
}

/* V1-43, V1-42: "If mmapped, data_offset must be page aligned" ; "The data section partition can be defined as
 * mapped by the sparse mmap capability." */
TEST(what_is_mapped_is_page_aligned_and_sparse)
{
	for (int section = VMIG_V1_SECTION_MAPPED; section <= VMIG_V1_SECTION_PARTITIONED; section++) {
		struct tiny tiny;
		struct v1 v;

		open_section(&tiny, &v, section, 5 * PAGE);
		ck_assert_uint_eq(v.region.flags, VMIG_REGION_READ | VMIG_REGION_WRITE | VMIG_REGION_MMAP);
		ck_assert_uint_eq(v.region.size, 6 * PAGE);
		ck_assert_uint_eq(v.region.n_areas, section == VMIG_V1_SECTION_MAPPED ? 1 : 2);
		for (uint32_t i = 0; i < v.region.n_areas; i++) {
			const struct vmig_area *area = &v.region.areas[i];

			ck_assert_uint_eq(area->offset % PAGE, 0);
			ck_assert_uint_eq(area->size % PAGE, 0);
			ck_assert_uint_ge(area->offset, PAGE);
			ck_assert_uint_gt(area->size, 0);
			ck_assert_uint_le(area->offset + area->size, v.region.size);
		}
		ck_assert_uint_eq(v1_offset(&v) % PAGE, 0);
		v1_close(&v);
	}
}

TEST(its_file_has_it_where_a_device_has_it_and_keeps_its_size)
{
	struct tiny tiny;
	struct v1 v;
	struct stat st;

	open_section(&tiny, &v, VMIG_V1_SECTION_MAPPED, 0);
	ck_assert_uint_eq(v.region.fd_offset, (uint64_t)TINY_END << 40);
	ck_assert_int_eq(fstat(v.region.fd, &st), 0);
	ck_assert_uint_eq(st.st_size, v.region.fd_offset + v.region.size);
	ck_assert_int_eq(ftruncate(v.region.fd, 0), -1);
	ck_assert_int_eq(ftruncate(v.region.fd, st.st_size + 1), -1);
	ck_assert_int_eq(fcntl(v.region.fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	v1_close(&v);
}

/* --- what it can be made of ---------------------------------------------------------------- */

static int try_show(uint64_t features, int section, uint64_t size)
{
	struct vmig_v1_config config = { .section = section, .section_size = size };
	struct vmig_device *dev;
	struct tiny tiny;
	int r;

	tiny_open(&tiny, features, TINY_COPIES);
	r = vmig_show_v1(tiny.dev, &config, &dev);
	/* Refused, the device stays the caller's. */
	vmig_device_close(r ? tiny.dev : dev);
	ck_assert_int_eq(tiny.closes, 1);
	return r;
}

TEST(a_section_is_whole_pages_between_its_limits)
{
	uint64_t all = TINY_ALL_FLAGS, most = VMIG_LIMIT_V1_SECTION;

	for (int section = 0; section <= VMIG_V1_SECTION_PARTITIONED; section++) {
		uint64_t least = section == VMIG_V1_SECTION_PARTITIONED ? 4 * PAGE : PAGE;

		ck_assert_int_eq(try_show(all, section, least), 0);
		ck_assert_int_eq(try_show(all, section, least - 1), -EINVAL);
		ck_assert_int_eq(try_show(all, section, least + 1), -EINVAL);
		ck_assert_int_eq(try_show(all, section, most), 0);
		ck_assert_int_eq(try_show(all, section, most - 1), -EINVAL);
		ck_assert_int_eq(try_show(all, section, most + PAGE), -EINVAL);
		ck_assert_int_eq(try_show(all, section, UINT64_MAX), -EINVAL);
	}
	ck_assert_int_eq(try_show(all, VMIG_V1_SECTION_PARTITIONED, 3 * PAGE), -EINVAL);
	ck_assert_int_eq(try_show(all, VMIG_V1_SECTION_PARTITIONED + 1, 0), -EINVAL);
	ck_assert_int_eq(try_show(0, VMIG_V1_SECTION_MAPPED, 0), -EOPNOTSUPP);
}

static int no_read(void *opaque, uint32_t index, uint64_t offset, void *buf, size_t len)
{
	return 0;
}

static int no_step(void *opaque, uint32_t from, uint32_t to, uint32_t *ret_state)
{
	return 0;
}

static ssize_t no_data(void *opaque, void *buf, size_t len)
{
	return 0;
}

static int no_loading(void *opaque, const void *buf, size_t len)
{
	return 0;
}

static int show_one_with_regions(uint32_t n)
{
	static const struct vmig_region none[VMIG_LIMIT_REGIONS];
	const struct vmig_model_ops ops = {
		.step = no_step, .read = no_data, .write = no_loading, .region_read = no_read
	};
	const struct vmig_model_config config = {
		.name = "m", .identity = "test:m", .migration_flags = 1, .n_regions = n, .regions = none
	};
	struct vmig_device *inner, *dev;
	struct vmig_model *model;
	int r;

	ck_assert_int_eq(vmig_model_new(&ops, NULL, &config, &model, &inner), 0);
	r = vmig_show_v1(inner, NULL, &dev);
	vmig_device_close(r ? inner : dev);
	return r;
}

TEST(there_is_room_for_one_more_region)
{
	ck_assert_int_eq(show_one_with_regions(0), 0);
	ck_assert_int_eq(show_one_with_regions(VMIG_LIMIT_REGIONS - 2), 0);
	ck_assert_int_eq(show_one_with_regions(VMIG_LIMIT_REGIONS - 1), 0);
	ck_assert_int_eq(show_one_with_regions(VMIG_LIMIT_REGIONS), -EINVAL);
}

/* --- registers ----------------------------------------------------------------------------- */

static bool is_field(uint64_t offset, size_t len)
{
	return len == 4 ? offset == 0 || offset == 4
			: len == 8 && offset >= 8 && offset < 32 && offset % 8 == 0;
}

/* V1-02, V1-03, V1-01: "Field accesses from this structure are only supported at their native width and
 * alignment. Otherwise, the result is undefined and vendor drivers should return an error." */
TEST(fields_have_their_native_width_and_alignment_only)
{
	struct tiny tiny;
	struct v1 v;

	open_section(&tiny, &v, VMIG_V1_SECTION_TRAPPED, 0);
	v1_write_state(&v, 4); /* where all can be written */
	for (uint64_t offset = 0; offset < 32; offset++) {
		for (size_t len = 1; len <= 40; len++) {
			int want = is_field(offset, len) ? 0 : -EINVAL;

			ck_assert_int_eq(access_region(&v, false, offset, len), want);
			/* The good one of device_state would be a transition: 0 is STOP. */
			if (offset || len != 4)
				ck_assert_int_eq(access_region(&v, true, offset, len), want);
			ck_assert_uint_eq(v1_state(&v), 4);
		}
	}
	v1_close(&v);
}

/* V1-04: "Reads on this field return zero and writes are ignored." */
TEST(reserved_reads_zero_and_ignores_writes)
{
	struct tiny tiny;
	struct v1 v;
	uint32_t value = 1;

	open_section(&tiny, &v, VMIG_V1_SECTION_TRAPPED, 0);
	tiny.out = (const uint8_t *)"state";
	tiny.out_end = 5;
	v1_write_state(&v, 2);
	ck_assert_uint_eq(v1_pending(&v), 5);
	ck_assert_int_eq(v1_put32(&v, V1_RESERVED, UINT32_MAX), 0);
	ck_assert_int_eq(v1_get32(&v, V1_RESERVED, &value), 0);
	ck_assert_uint_eq(value, 0);
	v1_close(&v);
}

/* V1-05, V1-06: "pending_bytes: (read only)", "data_offset: (read only)" */
TEST(read_only_fields_ignore_writes)
{
	struct tiny tiny;
	struct v1 v;

	open_section(&tiny, &v, VMIG_V1_SECTION_TRAPPED, 0);
	ck_assert_int_eq(v1_put64(&v, V1_PENDING_BYTES, UINT64_MAX), 0);
	ck_assert_int_eq(v1_put64(&v, V1_DATA_OFFSET, UINT64_MAX), 0);
	ck_assert_uint_eq(v1_pending(&v), 0);
	ck_assert_uint_eq(v1_offset(&v), 32);
	v1_close(&v);
}

/* --- the edges of the section -------------------------------------------------------------- */

static void check_edges(struct v1 *v, uint64_t start)
{
	uint64_t end = v->region.size;

	v1_write_state(v, 4);
	for (int w = 0; w < 2; w++) {
		ck_assert_int_eq(access_region(v, w, start, 1), 0);
		ck_assert_int_eq(access_region(v, w, start, 64), 0);
		ck_assert_int_eq(access_region(v, w, end - 1, 1), 0);
		ck_assert_int_eq(access_region(v, w, end - 64, 64), 0);
		ck_assert_int_eq(access_region(v, w, start - 1, 1), -EINVAL);
		ck_assert_int_eq(access_region(v, w, start - 8, 16), -EINVAL);
		ck_assert_int_eq(access_region(v, w, end - 63, 64), -EINVAL);
		ck_assert_int_eq(access_region(v, w, end, 1), -EINVAL);
		ck_assert_int_eq(access_region(v, w, end + 4096, 8), -EINVAL);
		ck_assert_int_eq(access_region(v, w, UINT64_MAX - 8, 8), -EINVAL);
		ck_assert_int_eq(access_region(v, w, UINT64_MAX, 8), -EINVAL);
	}
}

TEST(the_section_ends_where_it_ends)
{
	struct tiny tiny;
	struct v1 v;

	for (int section = 0; section <= VMIG_V1_SECTION_PARTITIONED; section++) {
		open_section(&tiny, &v, section, 4 * PAGE);
		check_edges(&v, section == VMIG_V1_SECTION_TRAPPED ? 32 : PAGE);
		v1_close(&v);
	}
}

/* --- faults on purpose --------------------------------------------------------------------- */

struct fault {
	uint64_t offset, value;
	bool is_write;
	int n, r;
};

static int fault(void *opaque, uint64_t offset, bool is_write, uint64_t value)
{
	struct fault *f = opaque;

	if (offset != f->offset || is_write != f->is_write)
		return 0;
	f->n++;
	f->value = value;
	return f->r;
}

static int access_field(struct v1 *v, uint64_t offset, bool is_write, uint64_t value)
{
	if (is_write)
		return offset < 8 ? v1_put32(v, offset, (uint32_t)value) : v1_put64(v, offset, value);
	return offset < 8 ? v1_get32(v, offset, &(uint32_t){ 0 }) : v1_get64(v, offset, &(uint64_t){ 0 });
}

TEST(a_fault_can_be_injected_at_every_register)
{
	static const uint64_t offsets[] = { 0, 4, 8, 16, 24 };
	struct fault f = { 0 };
	struct tiny tiny;
	struct v1 v;

	tiny_open(&tiny, TINY_ALL_FLAGS, TINY_LENDS);
	v1_show(&v, tiny.dev, &(struct vmig_v1_config){ .fault = fault, .opaque = &f });
	for (unsigned int i = 0; i < 2 * ARRAY_SIZE(offsets); i++) {
		struct vmig_error error;

		f = (struct fault){ .offset = offsets[i / 2], .is_write = i % 2, .r = -EUCLEAN };
		ck_assert_int_eq(access_field(&v, f.offset, f.is_write, 3), -EUCLEAN);
		ck_assert_int_eq(f.n, 1);
		ck_assert_uint_eq(f.value, f.is_write ? 3 : 0);
		vmig_device_query_error(v.dev, &error);
		ck_assert_int_eq(error.code, EUCLEAN);
		/* It had no effect, and the next access is as ever. */
		f.r = 0;
		ck_assert_uint_eq(v1_state(&v), 1);
		ck_assert_uint_eq(tiny.n_arcs, 0);
		ck_assert_int_eq(access_field(&v, f.offset, f.is_write, 1),
				 f.is_write && f.offset == V1_DATA_SIZE ? -EINVAL : 0);
	}
	v1_close(&v);
}

/* V1-80: "If an error occurs during the above sequences, the vendor driver can return an error code for next
 * read() or write() operation, which will terminate the loop." */
TEST(an_iteration_goes_on_after_a_fault_without_loss)
{
	static const uint64_t offsets[] = { V1_PENDING_BYTES, V1_DATA_OFFSET, V1_DATA_SIZE };
	static const uint8_t data[] = "none of it is lost";
	struct fault f = { .r = -EIO };
	struct tiny tiny;
	struct v1 v;
	uint8_t got[sizeof(data)];

	tiny_open(&tiny, TINY_ALL_FLAGS, TINY_LENDS);
	tiny.out = data;
	tiny.out_end = sizeof(data);
	v1_show(&v, tiny.dev, &(struct vmig_v1_config){ .fault = fault, .opaque = &f });
	v1_write_state(&v, 2);
	for (unsigned int i = 0; i < ARRAY_SIZE(offsets); i++) {
		f.r = -EIO;
		f.offset = offsets[i];
		ck_assert_int_eq(v1_get64(&v, offsets[i], &(uint64_t){ 0 }), -EIO);
		f.r = 0;
		ck_assert_int_eq(v1_get64(&v, offsets[i], &(uint64_t){ 0 }), 0);
	}
	ck_assert_uint_eq(v1_size(&v), sizeof(data));
	v1_section_read(&v, v1_offset(&v), got, sizeof(data));
	ck_assert_mem_eq(got, data, sizeof(data));
	ck_assert_uint_eq(v1_pending(&v), 0);
	v1_close(&v);
}

/* --- what is passed on --------------------------------------------------------------------- */

TEST(it_is_a_v1_device_and_nothing_else)
{
	struct vmig_device_info before, info;
	struct tiny tiny;
	struct v1 v;
	uint32_t state;

	tiny_open(&tiny, TINY_ALL_FLAGS, TINY_LENDS);
	vmig_device_query_info(tiny.dev, &before);
	v1_show(&v, tiny.dev, NULL);
	vmig_device_query_info(v.dev, &info);
	ck_assert_uint_eq(info.migration_flags, 0);
	ck_assert_uint_eq(info.has, VMIG_HAS_IOMMU_LOG | VMIG_HAS_TAG);
	ck_assert_uint_eq(info.n_regions, before.n_regions + 1);
	ck_assert_uint_eq(info.n_irqs, before.n_irqs);
	ck_assert_uint_eq(info.flags, before.flags);
	ck_assert_uint_eq(info.dma_kinds, before.dma_kinds);
	ck_assert_str_eq(info.identity, before.identity);
	ck_assert_str_eq(info.format, VMIG_FORMAT_V1);
	ck_assert_int_eq(vmig_device_query_state(v.dev, &state), -EOPNOTSUPP);
	ck_assert_int_eq(vmig_device_set_state(v.dev, VMIG_STATE_STOP, VMIG_STATE_NONE, NULL), -EOPNOTSUPP);
	v1_close(&v);
}

TEST(regions_and_interrupts_pass)
{
	struct vmig_ioeventfd io;
	struct vmig_region region;
	struct vmig_irq irq;
	struct vmig_error error;
	struct tiny tiny;
	struct v1 v;
	uint8_t buf[4];

	open_section(&tiny, &v, VMIG_V1_SECTION_MAPPED, 0);
	ck_assert_int_eq(vmig_device_query_region(v.dev, 1, &region), 0);
	ck_assert_uint_eq(region.size, 16);
	ck_assert_int_eq(vmig_device_query_region(v.dev, TINY_END + 1, &region), -EINVAL);
	ck_assert_int_eq(vmig_device_region_read(v.dev, 0, 7, buf, 4), 0);
	ck_assert_uint_eq(buf[3], 7);
	ck_assert_int_eq(vmig_device_region_write(v.dev, 0, 0, "\xee", 1), -EIO);
	ck_assert_int_eq(vmig_device_region_write(v.dev, 1, 0, buf, 1), -EINVAL);
	vmig_device_query_error(v.dev, &error);
	ck_assert_ptr_nonnull(strstr(error.text, "cannot be written"));
	ck_assert_int_eq(vmig_device_query_ioeventfds(v.dev, 0, &io, 1), 0);
	ck_assert_int_eq(vmig_device_query_ioeventfds(v.dev, v.region.index, &io, 1), 0);
	ck_assert_int_eq(vmig_device_query_irq(v.dev, 1, &irq), 0);
	ck_assert_uint_eq(irq.count, 8);
	ck_assert_int_eq(vmig_device_set_irqs(
				 v.dev, &(struct vmig_irq_set){ VMIG_IRQ_DATA_NONE | VMIG_IRQ_ACTION_TRIGGER,
								1, 0, 0, NULL, NULL }),
			 0);
	v1_close(&v);
}

TEST(dma_and_its_log_pass)
{
	static uint8_t memory[2 * PAGE] __attribute__((aligned(4096)));
	struct vmig_dma map = {
		.iova = 0x10000, .size = sizeof(memory), .prot = 3, .fd = -1, .vaddr = memory
	};
	uint64_t page_size = PAGE, bits = 0;
	struct tiny tiny;
	struct v1 v;

	open_section(&tiny, &v, VMIG_V1_SECTION_TRAPPED, 0);
	ck_assert_int_eq(vmig_device_map_dma(v.dev, &map), 0);
	ck_assert_int_eq(vmig_device_dma_log_start(v.dev, &page_size, &(struct vmig_range){ 0, 1 << 20 }, 1),
			 0);
	ck_assert_int_eq(vmig_model_dma_write(tiny.model, 0x11000, "x", 1), 0);
	ck_assert_int_eq(vmig_device_dma_log_report(v.dev, 0x10000, sizeof(memory), PAGE, &bits), 0);
	ck_assert_uint_eq(bits, 2);
	ck_assert_int_eq(vmig_device_dma_log_stop(v.dev), 0);
	ck_assert_int_eq(vmig_device_unmap_dma(v.dev, map.iova, map.size), 0);
	ck_assert_int_eq(vmig_device_unmap_dma(v.dev, map.iova, map.size), -ENOENT);
	v1_close(&v);
}

HARNESS("region", T(it_is_the_region_behind_the_others_with_type_3_1),
	T(data_offset_is_nonzero_in_every_state), T(what_is_mapped_is_page_aligned_and_sparse),
	T(its_file_has_it_where_a_device_has_it_and_keeps_its_size),
	T(a_section_is_whole_pages_between_its_limits), T(there_is_room_for_one_more_region),
	T(fields_have_their_native_width_and_alignment_only), T(reserved_reads_zero_and_ignores_writes),
	T(read_only_fields_ignore_writes), T(the_section_ends_where_it_ends),
	T(a_fault_can_be_injected_at_every_register), T(an_iteration_goes_on_after_a_fault_without_loss),
	T(it_is_a_v1_device_and_nothing_else), T(regions_and_interrupts_pass), T(dma_and_its_log_pass))
