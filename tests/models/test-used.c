/* SPDX-License-Identifier: BSD-3-Clause */
/* A device that has been used, and never reset, takes another one's state: nothing of its own is left. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "models/bytes.h"
#include "models/nic.h"
#include "rig.h"

/* What the destination has done before it is restored into. */
enum past { FRESH, USED, USED_TWICE, N_PASTS };

/* Drive @to, and let it run on with nobody to take its records. */
static void use(struct vmig_device *to)
{
	const uint8_t bell[4] = { 0, 0, 0, 0x40 }; /* counted as a bad one */
	struct vmig_space *space;
	struct workload *w;

	ck_assert_int_eq(vmig_space_new(&space), 0);
	ck_assert_int_eq(workload_new(space, &w), 0);
	ck_assert_int_eq(workload_bind(w, to), 0);
	ck_assert_int_eq(workload_start(w), 0);
	rig_wait(w, 200);
	ck_assert_int_eq(workload_quiesce(w), 0);
	rig_ticks();
	ck_assert_int_eq(vmig_device_region_write(to, NIC_BAR_DOORBELLS, NIC_DOORBELL(0), bell, 4), 0);
	ck_assert_uint_gt(rig_register(to, NIC_BAD_DOORBELLS), 0);
	workload_free(w);
	vmig_space_free(space);
}

/* A save that was begun and given up: no trace of it either. */
static void save_and_give_up(struct vmig_device *dev)
{
	struct vmig_session *save = rig_start(dev, VMIG_STATE_STOP_COPY);
	struct iovec iov;
	uint8_t buf[5000];

	iov = (struct iovec){ buf, sizeof(buf) };
	ck_assert_int_gt(vmig_session_readv(save, &iov, 1), 0);
	rig_set(dev, VMIG_STATE_RUNNING);
	vmig_session_close(save);
}

/* One that validates late has not loaded before it runs. Without bus mastering it then does nothing by itself. */
static bool run_if_late(struct vmig_device *dev)
{
	const uint8_t command[2] = { 0 };
	struct vmig_device_info info;

	vmig_device_query_info(dev, &info);
	if (!(info.traits & VMIG_TRAIT_LATE_VALIDATION))
		return false;
	ck_assert_int_eq(vmig_device_region_write(dev, VMIG_REGION_PCI_CONFIG, 4, command, 2), 0);
	rig_set(dev, VMIG_STATE_RUNNING);
	return true;
}

static void restore(const char *spec, const struct bytes *stream, uint64_t digest, enum past past)
{
	struct vmig_device *to = rig_open(spec);
	struct vmig_device_info before, after;
	struct bytes again = { 0 };

	vmig_device_query_info(to, &before);
	for (enum past i = FRESH; i < past; i++) {
		use(to);
		save_and_give_up(to);
	}
	ck_assert_int_eq(rig_load_all(to, stream->data, stream->len), 0);
	if (run_if_late(to)) {
		ck_assert_msg(rig_digest(to) == digest, "%s, past %d", spec, past);
		rig_set(to, VMIG_STATE_STOP);
	}
	ck_assert_msg(rig_digest(to) == digest, "%s, past %d", spec, past);
	ck_assert_uint_eq(rig_wrong(to), 0);
	rig_save_all(to, &again);
	ck_assert_uint_eq(again.len, stream->len);
	ck_assert_mem_eq(again.data, stream->data, stream->len);
	vmig_device_query_info(to, &after);
	ck_assert_uint_eq(after.generation, before.generation); /* no reset on the way */
	bytes_free(&again);
	vmig_device_close(to);
}

static void restore_into_used(const char *spec)
{
	struct bytes stream = { 0 };
	uint64_t digest;
	struct rig rig;

	rig_init(&rig, spec);
	rig_wait(rig.w, 100);
	ck_assert_int_eq(workload_quiesce(rig.w), 0);
	rig_set(rig.dev, VMIG_STATE_STOP);
	digest = rig_digest(rig.dev);
	rig_save_all(rig.dev, &stream);
	for (enum past past = FRESH; past < N_PASTS; past++)
		restore(spec, &stream, digest, past);
	bytes_free(&stream);
	rig_done(&rig);
}

TEST(a_used_nic_can_be_restored_into)
{
	restore_into_used("nic,state=256K,dirty-rate=16M/s");
}

TEST(a_used_accel_can_be_restored_into)
{
	restore_into_used("accel,state=256K,dirty-rate=16M/s");
}

TEST(a_used_accel_with_precopy_can_be_restored_into)
{
	restore_into_used("accel,state=256K,dirty-rate=16M/s,precopy=on");
}

TEST(a_used_vgpu_can_be_restored_into)
{
	restore_into_used("vgpu,state=256K,records=10000");
}

HARNESS("used", T(a_used_nic_can_be_restored_into), T(a_used_accel_can_be_restored_into),
	T(a_used_accel_with_precopy_can_be_restored_into), T(a_used_vgpu_can_be_restored_into))
