/* SPDX-License-Identifier: BSD-3-Clause */
/* DEVICE_FEATURE and data_fd: the rules of v2 as the kernel has them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm.h"

#define BAD   ((void *)8)
#define GET   VMIG_UAPI_DEVICE_FEATURE_GET
#define SET   VMIG_UAPI_DEVICE_FEATURE_SET
#define PROBE VMIG_UAPI_DEVICE_FEATURE_PROBE
#define STATE VMIG_UAPI_DEVICE_FEATURE_MIG_DEVICE_STATE

static void open_one(struct vmm *vmm, const char *spec)
{
	vmm_init(vmm, NULL, spec, NULL);
	vmm_open_container(vmm);
}

/* --- features ----------------------------------------------------------------------------- */

TEST(features_are_probed)
{
	struct vmm vmm;

	open_one(&vmm, "toy");
	for (uint32_t feature = 0; feature < 40; feature++) {
		bool gets = feature == 1 || feature == 2 || feature == 8 || feature == 9;
		bool sets = feature == 2 || feature == 6 || feature == 7 || feature == 12;
		int64_t absent = gets || sets ? -EINVAL : -ENOTTY;

		ck_assert_int_eq(vmm_feature(&vmm, vmm.fd[0], PROBE | GET | feature, NULL, 0),
				 gets ? 0 : absent);
		ck_assert_int_eq(vmm_feature(&vmm, vmm.fd[0], PROBE | SET | feature, NULL, 0),
				 sets ? 0 : absent);
		ck_assert_int_eq(vmm_feature(&vmm, vmm.fd[0], PROBE | GET | SET | feature, NULL, 0),
				 gets && sets ? 0 : absent);
	}
	vmm_done(&vmm);
}

TEST(the_rules_of_a_features_arguments)
{
	struct {
		struct vmig_uapi_device_feature head;
		uint64_t data;
	} feature = { .head = { .argsz = 4, .flags = GET | 1 } };
	uint64_t data = 0;
	struct vmm vmm;
	int fd;

	open_one(&vmm, "toy");
	fd = vmm.fd[0];
	ck_assert_int_eq(way_ioctl(&vmm.way, fd, VMIG_UAPI_DEVICE_FEATURE, &feature), -EINVAL);
	ck_assert_int_eq(way_ioctl(&vmm.way, fd, VMIG_UAPI_DEVICE_FEATURE, BAD), -EFAULT);
	ck_assert_int_eq(vmm_feature(&vmm, fd, GET | 1 << 20 | 1, &data, 8), -EINVAL);
	ck_assert_int_eq(vmm_feature(&vmm, fd, GET | SET | STATE, &data, 8), -EINVAL);
	ck_assert_int_eq(vmm_feature(&vmm, fd, STATE, &data, 8), -EINVAL);
	ck_assert_int_eq(vmm_feature(&vmm, fd, GET | 1, &data, 7), -EINVAL);
	ck_assert_int_eq(vmm_feature(&vmm, fd, SET | 1, &data, 8), -EINVAL);
	ck_assert_int_eq(vmm_feature(&vmm, fd, GET | 1, &data, 8), 0);
	ck_assert_uint_eq(data, 7);
	ck_assert_int_eq(vmm_feature(&vmm, fd, GET | 9, &data, 8), 0);
	ck_assert_uint_eq(data, 1u << 20);
	vmm_done(&vmm);
}

TEST(what_does_not_migrate_has_no_features)
{
	uint64_t data = 0;
	struct vmm vmm;

	open_one(&vmm, "toy-stays");
	ck_assert_int_eq(vmm_feature(&vmm, vmm.fd[0], GET | 1, &data, 8), -ENOTTY);
	ck_assert_int_eq(vmm_feature(&vmm, vmm.fd[0], GET | STATE, &data, 8), -ENOTTY);
	ck_assert_int_eq(vmm_feature(&vmm, vmm.fd[0], GET | 9, &data, 8), -ENOTTY);
	vmm_done(&vmm);
}

/* --- states ------------------------------------------------------------------------------- */

TEST(a_device_walks_combinations_and_gives_a_data_fd_where_one_starts)
{
	static const struct {
		uint32_t to;
		bool fd;
	} steps[] = {
		{ VMIG_STATE_RUNNING, false },   { VMIG_STATE_PRE_COPY, true },
		{ VMIG_STATE_PRE_COPY, false },  { VMIG_STATE_PRE_COPY_P2P, false },
		{ VMIG_STATE_STOP_COPY, false }, { VMIG_STATE_STOP, false },
		{ VMIG_STATE_STOP_COPY, true },  { VMIG_STATE_RUNNING, false },
		{ VMIG_STATE_STOP_COPY, true },  { VMIG_STATE_RUNNING_P2P, false },
		{ VMIG_STATE_RUNNING, false },
	};
	struct vmm vmm;

	open_one(&vmm, "toy");
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		int data;

		ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], steps[i].to, &data), 0);
		ck_assert_int_eq(data >= 0, steps[i].fd);
		ck_assert_uint_eq(vmm_state(&vmm, vmm.fd[0]), steps[i].to);
		ck_assert_uint_eq(vmm.status[0].state, steps[i].to);
		ck_assert_uint_eq(vmm.status[0].states[i].state, steps[i].to);
		ck_assert_uint_eq(vmm.status[0].n_states, i + 1);
	}
	vmm_done(&vmm);
}

/* STOP_COPY to PRE_COPY among them: old kernels never come back from it, so it never reaches one. */
TEST(what_is_no_way_is_refused_and_nothing_moves)
{
	struct vmm vmm;

	open_one(&vmm, "toy");
	ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_ERROR, NULL), -EINVAL);
	ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], 8, NULL), -EINVAL);
	ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], UINT32_MAX, NULL), -EINVAL);
	ck_assert_uint_eq(vmm_state(&vmm, vmm.fd[0]), VMIG_STATE_RUNNING);
	ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_STOP_COPY, NULL), 0);
	ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_PRE_COPY, NULL), -EINVAL);
	ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_PRE_COPY_P2P, NULL), -EINVAL);
	ck_assert_uint_eq(vmm_state(&vmm, vmm.fd[0]), VMIG_STATE_STOP_COPY);
	ck_assert_int_eq(vmm.status[0].states[4].result, -EINVAL);
	vmm_done(&vmm);
}

TEST(memory_that_cannot_be_written_is_found_out_before_the_device_moves)
{
	struct vmm vmm;

	open_one(&vmm, "toy");
	/* A header at the end of the memory that is there; what follows it is not. */
	struct vmig_uapi_device_feature *head = (void *)(vmm.memory + VMM_MEMORY - sizeof(*head));
	head->argsz = 16;
	head->flags = SET | STATE;
	ck_assert_int_eq(way_ioctl(&vmm.way, vmm.fd[0], VMIG_UAPI_DEVICE_FEATURE, head), -EFAULT);
	ck_assert_uint_eq(vmm_state(&vmm, vmm.fd[0]), VMIG_STATE_RUNNING);
	vmm_done(&vmm);
}

TEST(without_a_descriptor_left_the_device_has_moved_as_in_the_kernel)
{
	struct vmm vmm;
	int data;

	open_one(&vmm, "toy");
	atomic_store(&vmm.way.no_install, 0);
	ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_PRE_COPY, &data), -EMFILE);
	ck_assert_int_eq(data, -1);
	ck_assert_uint_eq(vmm_state(&vmm, vmm.fd[0]), VMIG_STATE_PRE_COPY);
	atomic_store(&vmm.way.no_install, -1);
	ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_RUNNING, &data), 0);
	ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_PRE_COPY, &data), 0);
	ck_assert_int_ge(data, 0);
	vmm_done(&vmm);
}

TEST(a_device_that_breaks_is_in_error_until_it_is_reset)
{
	struct vmm vmm;

	open_one(&vmm, "toy");
	toy_break(vmm.toys[0]);
	ck_assert_int_lt(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_STOP, NULL), 0);
	ck_assert_uint_eq(vmm_state(&vmm, vmm.fd[0]), VMIG_STATE_ERROR);
	ck_assert_uint_eq(vmm.status[0].state, VMIG_STATE_ERROR);
	ck_assert_int_lt(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_RUNNING, NULL), 0);
	ck_assert_int_eq(way_ioctl(&vmm.way, vmm.fd[0], VMIG_UAPI_DEVICE_RESET, NULL), 0);
	ck_assert_uint_eq(vmm_state(&vmm, vmm.fd[0]), VMIG_STATE_RUNNING);
	vmm_done(&vmm);
}

/* --- data_fd: saving ----------------------------------------------------------------------- */

TEST(a_saving_session_from_its_begin_to_its_end)
{
	struct vmig_uapi_precopy_info info = { .argsz = sizeof(info), .flags = 0xff };
	char byte = 0;
	uint8_t *saved = NULL;
	size_t len = 0;
	struct vmm vmm;
	int data;

	open_one(&vmm, "toy");
	memset(toy_state(vmm.toys[0]), 0x5a, toy_state_size(vmm.toys[0]));
	ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_PRE_COPY, &data), 0);
	ck_assert_int_eq(way_ioctl(&vmm.way, data, VMIG_UAPI_MIG_GET_PRECOPY_INFO, &info), 0);
	ck_assert_uint_eq(info.initial_bytes + info.dirty_bytes, 1u << 19);
	ck_assert_uint_eq(info.flags, 0);
	info.argsz = 16;
	ck_assert_int_eq(way_ioctl(&vmm.way, data, VMIG_UAPI_MIG_GET_PRECOPY_INFO, &info), -EINVAL);
	ck_assert_int_eq(way_ioctl(&vmm.way, data, VMIG_UAPI_MIG_GET_PRECOPY_INFO, BAD), -EFAULT);
	ck_assert_int_eq(way_ioctl(&vmm.way, data, VMIG_UAPI_DEVICE_RESET, NULL), -ENOTTY);
	ck_assert_int_eq(way_pread(&vmm.way, data, &byte, 1, 0), -ESPIPE);
	ck_assert_int_eq(way_write(&vmm.way, data, &byte, 1), -EBADF);
	ck_assert_int_eq(way_read(&vmm.way, data, &byte, 0), 0);
	ck_assert_int_eq(way_read(&vmm.way, data, BAD, 4096), -EFAULT);
	/* Short of what was asked for, then drained. */
	ck_assert_int_eq(vmm_save(&vmm, data, 100000, &saved, &len), -ENOMSG);
	ck_assert_uint_eq(len, 1u << 19);
	ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_STOP_COPY, NULL), 0);
	info.argsz = sizeof(info);
	ck_assert_int_eq(way_ioctl(&vmm.way, data, VMIG_UAPI_MIG_GET_PRECOPY_INFO, &info), -EINVAL);
	ck_assert_int_eq(vmm_save(&vmm, data, 100000, &saved, &len), 0);
	ck_assert_uint_eq(len, 1u << 20);
	ck_assert_mem_eq(saved, toy_state(vmm.toys[0]), len);
	ck_assert_int_eq(way_read(&vmm.way, data, &byte, 1), 0); /* still the end */
	ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_STOP, NULL), 0);
	ck_assert_int_eq(way_read(&vmm.way, data, &byte, 1), -ENODEV);
	ck_assert_int_eq(way_ioctl(&vmm.way, data, VMIG_UAPI_MIG_GET_PRECOPY_INFO, &info), -EINVAL);
	free(saved);
	vmm_done(&vmm);
}

TEST(new_initial_data_is_told_to_those_who_asked_for_it)
{
	struct vmig_uapi_precopy_info info = { .argsz = sizeof(info) };
	struct vmm vmm;
	int data;

	open_one(&vmm, "toy");
	ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_PRE_COPY, &data), 0);
	toy_reinit(vmm.toys[0]);
	ck_assert_int_eq(way_ioctl(&vmm.way, data, VMIG_UAPI_MIG_GET_PRECOPY_INFO, &info), 0);
	ck_assert_uint_eq(info.flags, 0);
	ck_assert_int_eq(
		vmm_feature(&vmm, vmm.fd[0], SET | VMIG_UAPI_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, NULL, 0), 0);
	toy_reinit(vmm.toys[0]);
	ck_assert_int_eq(way_ioctl(&vmm.way, data, VMIG_UAPI_MIG_GET_PRECOPY_INFO, &info), 0);
	ck_assert_uint_eq(info.flags, VMIG_UAPI_PRECOPY_INFO_REINIT);
	vmm_done(&vmm);
}

TEST(a_failure_to_save_is_told_by_read)
{
	static uint8_t buf[1 << 20];
	struct vmm vmm;
	int data;

	open_one(&vmm, "toy");
	toy_fail_save_at(vmm.toys[0], 4096);
	ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_STOP_COPY, &data), 0);
	ck_assert_int_eq(way_read(&vmm.way, data, buf, 4096), 4096);
	ck_assert_int_eq(way_read(&vmm.way, data, buf, sizeof(buf)), -EIO);
	vmm_done(&vmm);
}

/* --- data_fd: loading ---------------------------------------------------------------------- */

static void loads(bool direct)
{
	static uint8_t state[1 << 20];
	struct vmig_uapi_precopy_info info = { .argsz = sizeof(info) };
	char byte;
	struct vmm vmm;
	int data;

	for (size_t i = 0; i < sizeof(state); i++)
		state[i] = (uint8_t)(i * 13 + i / 256);
	open_one(&vmm, "toy");
	vmm.way.direct = direct;
	ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_RESUMING, &data), 0);
	ck_assert_int_eq(way_read(&vmm.way, data, &byte, 1), -EBADF);
	ck_assert_int_eq(way_ioctl(&vmm.way, data, VMIG_UAPI_MIG_GET_PRECOPY_INFO, &info), -EINVAL);
	ck_assert_int_eq(way_pwrite(&vmm.way, data, state, 1, 0), -ESPIPE);
	ck_assert_int_eq(way_write(&vmm.way, data, state, 0), 0);
	ck_assert_int_eq(way_write(&vmm.way, data, BAD, 4096), -EFAULT);
	ck_assert_int_eq(vmm_load(&vmm, data, state, sizeof(state), 77777), 0);
	ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_RUNNING, NULL), 0);
	ck_assert_mem_eq(toy_state(vmm.toys[0]), state, sizeof(state));
	ck_assert_int_eq(way_write(&vmm.way, data, state, 1), -ENODEV);
	ck_assert_uint_eq(vmm.status[0].loaded, sizeof(state));
	vmm_done(&vmm);
}

TEST(a_loading_session_from_its_begin_to_its_end)
{
	loads(false);
	loads(true);
}

TEST(too_little_data_is_refused_and_the_device_stays_in_resuming)
{
	uint8_t some[4096] = { 0 };
	struct vmm vmm;
	int data;

	open_one(&vmm, "toy");
	ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_RESUMING, &data), 0);
	ck_assert_int_eq(vmm_load(&vmm, data, some, sizeof(some), sizeof(some)), 0);
	ck_assert_int_lt(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_STOP, NULL), 0);
	ck_assert_uint_eq(vmm_state(&vmm, vmm.fd[0]), VMIG_STATE_RESUMING);
	ck_assert_int_eq(vmm_load(&vmm, data, some, sizeof(some), sizeof(some)), 0);
	vmm_done(&vmm);
}

/* QEMU goes on when only the last transition fails: the write must say it. */
TEST(bad_data_are_told_by_write)
{
	uint8_t some[8192] = { 0 };
	struct vmm vmm;
	int data;

	open_one(&vmm, "toy");
	toy_fail_load_at(vmm.toys[0], 4096);
	ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_RESUMING, &data), 0);
	ck_assert_int_eq(way_write(&vmm.way, data, some, sizeof(some)), -EIO);
	ck_assert_int_lt(way_write(&vmm.way, data, some, sizeof(some)), 0);
	vmm_done(&vmm);
}

TEST(a_stream_that_ends_in_memory_that_is_not_there_is_taken_up_to_it)
{
	struct vmm vmm;
	int64_t put;
	int data;

	open_one(&vmm, "toy");
	ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_RESUMING, &data), 0);
	/* As far as the pieces of the device's room are filled. */
	put = way_write(&vmm.way, data, vmm.memory + VMM_MEMORY - 4096, 8192);
	ck_assert_int_gt(put, 0);
	ck_assert_int_le(put, 4096);
	ck_assert_int_eq(way_write(&vmm.way, data, vmm.memory + VMM_MEMORY, 4096), -EFAULT);
	ck_assert_uint_eq(vmm.status[0].loaded, (uint64_t)put);
	vmm_done(&vmm);
}

/* --- faults on purpose --------------------------------------------------------------------- */

struct faults {
	enum vmig_kabi_fault where;
	int code;
	uint64_t from_bytes;
	uint32_t from, to;
};

static int fault(void *opaque, enum vmig_kabi_fault where, uint32_t from, uint32_t to, uint64_t bytes)
{
	struct faults *f = opaque;

	if (where != f->where || bytes < f->from_bytes)
		return 0;
	f->from = from;
	f->to = to;
	return f->code;
}

TEST(faults_strike_where_they_are_told_to)
{
	struct faults f = { .where = VMIG_KABI_FAULT_ARC, .code = -EIO };
	const struct vmig_kabi_device device = { .fault = fault, .opaque = &f };
	struct vmig_uapi_precopy_info info = { .argsz = sizeof(info) };
	static uint8_t buf[8192];
	struct vmm vmm;
	int data;

	vmm_init(&vmm, &(struct vmig_kabi_config){ .devices = &device }, "toy", NULL);
	vmm_open_container(&vmm);
	ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_STOP, NULL), -EIO);
	ck_assert_uint_eq(f.from, VMIG_STATE_RUNNING);
	ck_assert_uint_eq(f.to, VMIG_STATE_STOP);
	ck_assert_uint_eq(vmm_state(&vmm, vmm.fd[0]), VMIG_STATE_RUNNING);
	f.where = VMIG_KABI_FAULT_PRECOPY_INFO;
	ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_PRE_COPY, &data), 0);
	ck_assert_int_eq(way_ioctl(&vmm.way, data, VMIG_UAPI_MIG_GET_PRECOPY_INFO, &info), -EIO);
	f.where = VMIG_KABI_FAULT_READ;
	f.from_bytes = 8192;
	ck_assert_int_eq(way_read(&vmm.way, data, buf, sizeof(buf)), sizeof(buf));
	ck_assert_int_eq(way_read(&vmm.way, data, buf, sizeof(buf)), -EIO);
	ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_RUNNING, NULL), 0);
	f.where = VMIG_KABI_FAULT_WRITE;
	f.from_bytes = 0;
	ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_RESUMING, &data), 0);
	ck_assert_int_eq(way_write(&vmm.way, data, buf, sizeof(buf)), -EIO);
	f.where = VMIG_KABI_FAULT_RESET;
	ck_assert_int_eq(way_ioctl(&vmm.way, vmm.fd[0], VMIG_UAPI_DEVICE_RESET, NULL), -EIO);
	ck_assert_uint_eq(vmm_state(&vmm, vmm.fd[0]), VMIG_STATE_RESUMING);
	vmm_done(&vmm);
}

HARNESS("kernel-abi-migration", T(features_are_probed), T(the_rules_of_a_features_arguments),
	T(what_does_not_migrate_has_no_features),
	T(a_device_walks_combinations_and_gives_a_data_fd_where_one_starts),
	T(what_is_no_way_is_refused_and_nothing_moves),
	T(memory_that_cannot_be_written_is_found_out_before_the_device_moves),
	T(without_a_descriptor_left_the_device_has_moved_as_in_the_kernel),
	T(a_device_that_breaks_is_in_error_until_it_is_reset), T(a_saving_session_from_its_begin_to_its_end),
	T(new_initial_data_is_told_to_those_who_asked_for_it), T(a_failure_to_save_is_told_by_read),
	T(a_loading_session_from_its_begin_to_its_end),
	T(too_little_data_is_refused_and_the_device_stays_in_resuming), T(bad_data_are_told_by_write),
	T(a_stream_that_ends_in_memory_that_is_not_there_is_taken_up_to_it),
	T(faults_strike_where_they_are_told_to))
