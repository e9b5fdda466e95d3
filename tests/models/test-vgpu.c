/* SPDX-License-Identifier: BSD-3-Clause */
/* The vgpu: v1 only, types, the aggregator, frames. It is driven through its migration region. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "models/bytes.h"
#include "models/vgpu.h"
#include "rig.h"

static struct vmig_device *open_shown(const char *spec)
{
	struct vmig_device *dev = NULL;

	ck_assert_int_eq(models_open(spec, &dev, NULL), 0);
	return dev;
}

TEST(it_migrates_by_v1_only)
{
	struct vmig_device *dev = open_shown("vgpu,state=64K");
	struct vmig_device_info info;
	struct vmig_region region;

	vmig_device_query_info(dev, &info);
	ck_assert_uint_eq(info.migration_flags, 0);
	ck_assert_uint_eq(info.has & VMIG_HAS_IOMMU_LOG, VMIG_HAS_IOMMU_LOG);
	ck_assert_int_eq(vmig_device_query_region(dev, info.n_regions - 1, &region), 0);
	ck_assert_uint_eq(region.cap_type, 3);
	ck_assert_uint_eq(region.cap_subtype, 1);
	vmig_device_close(dev);
}

TEST(the_section_is_chosen_by_who_opens_it)
{
	struct vmig_v1_config config = { .section = VMIG_V1_SECTION_MAPPED, .section_size = 65536 };
	struct vmig_device *dev = NULL;
	struct vmig_device_info info;
	struct vmig_region region;
	struct vmig_error error;

	ck_assert_int_eq(models_open_v1("vgpu,state=64K", &config, &dev, NULL), 0);
	vmig_device_query_info(dev, &info);
	ck_assert_int_eq(vmig_device_query_region(dev, info.n_regions - 1, &region), 0);
	ck_assert(region.flags & VMIG_REGION_MMAP);
	vmig_device_close(dev);
	config.section_size = 5000;
	ck_assert_int_eq(models_open_v1("nic,state=64K", &config, &dev, &error), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error.text, "migration region"));
}

/* A type has half of what the next one has, and an aggregator multiplies. */
TEST(types_and_the_aggregator_have_their_resources)
{
	static const struct {
		const char *spec, *identity;
		uint64_t type, aggregator, state, queues;
	} all[] = {
		{ "vgpu", "mdev:i915-GVTg_V5_4", 4, 1, 4u << 20, 1 },
		{ "vgpu,type=i915-GVTg_V5_4", "mdev:i915-GVTg_V5_4", 4, 1, 4u << 20, 1 },
		{ "vgpu,type=i915-GVTg_V5_2", "mdev:i915-GVTg_V5_2", 2, 1, 8u << 20, 2 },
		{ "vgpu,aggregator=8", "mdev:i915-GVTg_V5_4,aggregator=8", 4, 8, 32u << 20, 8 },
		{ "vgpu,type=i915-GVTg_V5_2,aggregator=3,state=64K", "mdev:i915-GVTg_V5_2,aggregator=3", 2, 3,
		  192u << 10, 6 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct vmig_device *dev = rig_open(all[i].spec);
		struct vmig_device_info info;

		vmig_device_query_info(dev, &info);
		ck_assert_str_eq(info.identity, all[i].identity);
		ck_assert_uint_eq(rig_register(dev, VGPU_TYPE), all[i].type);
		ck_assert_uint_eq(rig_register(dev, VGPU_AGGREGATOR), all[i].aggregator);
		ck_assert_uint_eq(rig_register(dev, NIC_STATE_SIZE), all[i].state);
		ck_assert_uint_eq(rig_register(dev, NIC_QUEUES), all[i].queues);
		vmig_device_close(dev);
	}
}

static void says(const char *spec, const char *words)
{
	struct vmig_error error = { 0 };
	struct vmig_device *dev = NULL;

	ck_assert_int_eq(models_open(spec, &dev, &error), -EINVAL);
	ck_assert_msg(strstr(error.text, words), "%s: \"%s\"", spec, error.text);
}

TEST(bad_types_and_numbers_are_explained)
{
	says("vgpu,type=V5_4", "is neither i915-GVTg_V5_2 nor i915-GVTg_V5_4");
	says("vgpu,aggregator=0", "is not a number from 1 to 8");
	says("vgpu,aggregator=9", "is not a number from 1 to 8");
	says("vgpu,p2p=on", "unknown key \"p2p\"");
	says("vgpu,state=1T,aggregator=2", "cannot be made");
	says("nic,aggregator=2", "unknown key");
}

/* @spec moves, to the same user or to one who has none of its memory. */
static void move(const char *spec, bool other)
{
	struct vmig_device *to = rig_open(spec);
	struct vmig_session *save, *load = rig_start(to, VMIG_STATE_RESUMING);
	struct workload *w2 = NULL, *w;
	struct vmig_space *space = NULL;
	struct bytes b = { 0 };
	struct rig rig;
	size_t len;
	void *record;
	uint64_t digest;

	rig_init(&rig, spec);
	rig_wait(rig.w, 100);
	save = rig_start(rig.dev, VMIG_STATE_PRE_COPY);
	ck_assert_int_eq(rig_save(save, &b, 65536), -ENOMSG);
	rig_wait(rig.w, 50);
	ck_assert_int_eq(workload_quiesce(rig.w), 0);
	rig_ticks();
	rig_set(rig.dev, VMIG_STATE_STOP_COPY);
	digest = rig_digest(rig.dev);
	ck_assert_int_eq(rig_save(save, &b, 65536), 0);
	ck_assert_int_eq(rig_load(load, b.data, b.len, 65536), 0);
	ck_assert_int_eq(workload_save(rig.w, &record, &len), 0);
	if (other) {
		ck_assert_int_eq(vmig_space_new(&space), 0);
		ck_assert_int_eq(workload_new(space, &w2), 0);
	}
	w = other ? w2 : rig.w;
	rig_set(to, VMIG_STATE_STOP);
	ck_assert_int_eq(workload_load(w, to, record, len), 0);
	rig_set(to, VMIG_STATE_RUNNING);
	ck_assert_int_eq(workload_start(w), 0);
	rig_wait(w, 500);
	rig_made(to, 1);
	ck_assert(rig_report(w).whole);
	ck_assert_int_eq(workload_verify_device(w), 0);
	ck_assert_uint_ne(rig_digest(to), digest); /* it goes on */
	free(record);
	vmig_session_close(save);
	vmig_session_close(load);
	workload_free(w2);
	vmig_space_free(space);
	rig_done(&rig);
	vmig_device_close(to);
	bytes_free(&b);
}

TEST(a_busy_vgpu_moves_whole)
{
	move("vgpu,state=256K,dirty-rate=4M/s", false);
}

TEST(several_of_one_type_move_as_one)
{
	move("vgpu,type=i915-GVTg_V5_2,state=64K,aggregator=8,dirty-rate=1M/s", false);
}

TEST(another_process_takes_over)
{
	move("vgpu,state=64K,records=100000", true);
}

/* As the list of the i915 example has it: two V5_4 are one V5_2. */
TEST(as_many_engines_of_another_type_take_the_stream)
{
	struct vmig_device *from = rig_open("vgpu,type=i915-GVTg_V5_2"), *to = rig_open("vgpu,aggregator=2");
	struct vmig_session *load = rig_start(to, VMIG_STATE_RESUMING);
	struct bytes b = { 0 };

	rig_set(from, VMIG_STATE_STOP);
	rig_save_all(from, &b);
	ck_assert_int_eq(rig_load(load, b.data, b.len, 1 << 20), 0);
	rig_set(to, VMIG_STATE_STOP);
	ck_assert_uint_eq(rig_digest(to), rig_digest(from));
	vmig_session_close(load);
	vmig_device_close(to);
	vmig_device_close(from);
	bytes_free(&b);
}

TEST(the_stream_of_another_number_or_release_is_refused)
{
	static const char *const others[] = {
		"vgpu,type=i915-GVTg_V5_4,state=64K,aggregator=2,gvt-version=v2",
		"vgpu,type=i915-GVTg_V5_2,state=64K,aggregator=4,gvt-version=v2",
		"vgpu,type=i915-GVTg_V5_2,state=128K,aggregator=2,gvt-version=v1",
		"vgpu,type=i915-GVTg_V5_2,state=128K,aggregator=2,gvt-version=v4", "nic,state=256K,queues=4"
	};
	struct vmig_device *from =
		rig_open("vgpu,type=i915-GVTg_V5_2,state=128K,aggregator=2,gvt-version=v2");
	struct bytes b = { 0 };

	rig_set(from, VMIG_STATE_STOP);
	rig_save_all(from, &b);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		struct vmig_device *to = rig_open(others[i]);
		struct vmig_session *load = rig_start(to, VMIG_STATE_RESUMING);

		ck_assert_msg(rig_load(load, b.data, b.len, 1 << 20) < 0, "%s", others[i]);
		vmig_session_close(load);
		vmig_device_close(to);
	}
	bytes_free(&b);
	vmig_device_close(from);
}

TEST(it_fails_where_it_is_told)
{
	struct vmig_device *dev = rig_open("vgpu,state=64K,fault=RUNNING>PRE_COPY:EBUSY:once");

	ck_assert_int_lt(vmig_device_set_state(dev, VMIG_STATE_PRE_COPY, VMIG_STATE_NONE, NULL), 0);
	ck_assert_uint_eq(rig_state(dev), VMIG_STATE_RUNNING);
	rig_set(dev, VMIG_STATE_PRE_COPY);
	vmig_device_close(dev);
	dev = rig_open("vgpu,state=64K,fault=STOP>STOP_COPY:error");
	ck_assert_int_lt(vmig_device_set_state(dev, VMIG_STATE_STOP_COPY, VMIG_STATE_NONE, NULL), 0);
	ck_assert_uint_eq(rig_state(dev), VMIG_STATE_ERROR);
	ck_assert_int_eq(vmig_device_reset(dev), 0);
	ck_assert_uint_eq(rig_state(dev), VMIG_STATE_RUNNING);
	vmig_device_close(dev);
}

TEST(faults_are_noticed_in_frames)
{
	for (uint32_t what = NIC_INJECT_LOST; what <= NIC_INJECT_CORRUPT; what++) {
		struct workload_report r;
		struct rig rig;

		rig_init(&rig, "vgpu,state=64K,records=10000");
		rig_wait(rig.w, 100);
		r = rig_inject(&rig, what);
		ck_assert_uint_eq(r.lost + r.doubled + r.reordered + r.corrupt, 1);
		rig_done(&rig);
	}
}

HARNESS("vgpu", T(it_migrates_by_v1_only), T(the_section_is_chosen_by_who_opens_it),
	T(types_and_the_aggregator_have_their_resources), T(bad_types_and_numbers_are_explained),
	T(a_busy_vgpu_moves_whole), T(several_of_one_type_move_as_one), T(another_process_takes_over),
	T(as_many_engines_of_another_type_take_the_stream),
	T(the_stream_of_another_number_or_release_is_refused), T(it_fails_where_it_is_told),
	T(faults_are_noticed_in_frames))
