/* SPDX-License-Identifier: BSD-3-Clause */
/* The calls of VMMs in their order, of FACTS measured with QEMU: the whole of a migration by system calls alone. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm.h"

/** As QEMU 10 and 11: PRE_COPY while it runs, PRE_COPY_P2P, STOP_COPY on the same data_fd, STOP. */
static void save_v2(struct vmm *vmm, int fd, uint8_t **ret, size_t *ret_len, uint64_t *ret_digest)
{
	struct vmig_uapi_precopy_info info = { .argsz = sizeof(info) };
	int data, none;

	ck_assert_int_eq(vmm_set_state(vmm, fd, VMIG_STATE_PRE_COPY, &data), 0);
	ck_assert_int_ge(data, 0);
	ck_assert_int_eq(way_ioctl(&vmm->way, data, VMIG_UAPI_MIG_GET_PRECOPY_INFO, &info), 0);
	ck_assert_uint_gt(info.initial_bytes, 0);
	ck_assert_int_eq(vmm_save(vmm, data, 1 << 20, ret, ret_len), -ENOMSG);
	ck_assert_int_eq(vmm_set_state(vmm, fd, VMIG_STATE_PRE_COPY_P2P, &none), 0);
	ck_assert_int_eq(none, -1);
	ck_assert_int_eq(vmm_set_state(vmm, fd, VMIG_STATE_STOP_COPY, &none), 0);
	ck_assert_int_eq(none, -1);
	ck_assert_int_eq(way_ioctl(&vmm->way, data, VMIG_UAPI_MIG_GET_PRECOPY_INFO, &info), -EINVAL);
	ck_assert_int_eq(vmm_save(vmm, data, 1 << 20, ret, ret_len), 0);
	ck_assert_int_eq(vmm_set_state(vmm, fd, VMIG_STATE_STOP, NULL), 0);
	*ret_digest = vmm_digest(vmm, fd);
	way_close(&vmm->way, data);
}

static void load_v2(struct vmm *vmm, int fd, const uint8_t *data, size_t len)
{
	int data_fd;

	ck_assert_int_eq(vmm_set_state(vmm, fd, VMIG_STATE_RESUMING, &data_fd), 0);
	ck_assert_int_ge(data_fd, 0);
	ck_assert_int_eq(vmm_load(vmm, data_fd, data, len, 32 << 10), 0);
	ck_assert_int_eq(vmm_set_state(vmm, fd, VMIG_STATE_STOP, NULL), 0);
	way_close(&vmm->way, data_fd);
}

static void migrate(void (*open)(struct vmm *vmm), bool direct)
{
	struct vmm source, target;
	uint8_t *data = NULL;
	uint64_t digest;
	size_t len = 0;

	vmm_init(&source, NULL, "nic,state=4M,dirty-rate=16M/s", NULL);
	vmm_init(&target, NULL, "nic,state=4M", NULL);
	source.way.direct = target.way.direct = direct;
	open(&source);
	open(&target);
	ck_assert_int_eq(vmm_map(&source, 0, 0, VMM_MEMORY), 0);
	save_v2(&source, source.fd[0], &data, &len, &digest);
	load_v2(&target, target.fd[0], data, len);
	ck_assert_uint_eq(vmm_digest(&target, target.fd[0]), digest);
	ck_assert_int_eq(vmm_set_state(&target, target.fd[0], VMIG_STATE_RUNNING, NULL), 0);
	ck_assert_uint_eq(target.status[0].state, VMIG_STATE_RUNNING);
	ck_assert_uint_eq(source.status[0].saved, len);
	ck_assert_uint_eq(target.status[0].loaded, len);
	free(data);
	vmm_done(&source);
	vmm_done(&target);
}

TEST(v2_moves_a_nic_between_containers)
{
	migrate(vmm_open_container, false);
	migrate(vmm_open_container, true);
}

TEST(v2_moves_a_nic_between_iommufds)
{
	migrate(vmm_open_iommufd, false);
}

HARNESS("kernel-abi-vmm", T(v2_moves_a_nic_between_containers), T(v2_moves_a_nic_between_iommufds))
