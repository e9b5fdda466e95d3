/* SPDX-License-Identifier: BSD-3-Clause */
/* Calls beside each other, as the threads of a VMM make them; the thread sanitizer looks on. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm.h"

#define PAGE 4096ull
#define BASE 0x40000000ull

struct beside {
	struct vmm *vmm;
	int fd, result;
	atomic_bool stop;
	uint8_t *stream;
	size_t bytes;
};

/* --- data beside transitions ---------------------------------------------------------------- */

static void *read_all(void *opaque)
{
	struct beside *b = opaque;
	static uint8_t buf[16384];

	for (;;) {
		int64_t got = way_read(&b->vmm->way, b->fd, buf, sizeof(buf));

		if (got == -ENOMSG && !atomic_load(&b->stop))
			continue;
		if (got <= 0) {
			b->result = (int)got;
			return NULL;
		}
		b->bytes += (size_t)got;
	}
}

/* The reader never has to wait for the transition's end to learn what it means. */
TEST(a_reader_goes_on_while_the_device_walks)
{
	struct beside b = { 0 };
	struct vmm vmm;
	pthread_t thread;

	vmm_init(&vmm, NULL, "nic,state=4M,dirty-rate=64M/s", NULL);
	vmm_open_container(&vmm);
	b.vmm = &vmm;
	ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_PRE_COPY, &b.fd), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, read_all, &b), 0);
	for (int i = 0; i < 20; i++) {
		ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_PRE_COPY_P2P, NULL), 0);
		(void)vmm_state(&vmm, vmm.fd[0]);
		ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_PRE_COPY, NULL), 0);
	}
	ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_STOP_COPY, NULL), 0);
	pthread_join(thread, NULL);
	ck_assert_int_eq(b.result, 0);
	ck_assert_uint_ge(b.bytes, 4u << 20);
	ck_assert_uint_eq(vmm.status[0].saved, b.bytes);
	vmm_done(&vmm);
}

/* --- what ends a session ---------------------------------------------------------------------- */

enum { BY_RESET, BY_CLOSE, BY_LEAVING };

static void end_session(struct vmm *vmm, int how)
{
	if (how == BY_CLOSE)
		way_close(&vmm->way, vmm->fd[0]);
	else if (how == BY_LEAVING)
		ck_assert_int_eq(vmm_set_state(vmm, vmm->fd[0], VMIG_STATE_RUNNING, NULL), 0);
	else
		ck_assert_int_eq(way_ioctl(&vmm->way, vmm->fd[0], VMIG_UAPI_DEVICE_RESET, NULL), 0);
}

/* The reader looks at the device's own memory, which the device then has back. */
TEST(a_reader_whose_session_ends_is_told)
{
	for (int how = BY_RESET; how <= BY_LEAVING; how++) {
		struct beside b = { 0 };
		struct vmm vmm;
		pthread_t thread;

		vmm_init(&vmm, NULL, "nic,state=4M,dirty-rate=64M/s", NULL);
		vmm_open_container(&vmm);
		b.vmm = &vmm;
		ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_PRE_COPY, &b.fd), 0);
		ck_assert_int_eq(pthread_create(&thread, NULL, read_all, &b), 0);
		end_session(&vmm, how);
		pthread_join(thread, NULL);
		ck_assert_int_eq(b.result, -ENODEV);
		vmm_done(&vmm);
	}
}

static void *write_all(void *opaque)
{
	struct beside *b = opaque;

	b->result = (int)vmm_load(b->vmm, b->fd, b->stream, b->bytes, 16384);
	return NULL;
}

/* The writer may have been done before: then it was told nothing. */
TEST(a_writer_whose_session_ends_is_told)
{
	for (int how = BY_RESET; how <= BY_CLOSE; how++) {
		struct beside b = { 0 };
		struct vmm vmm;
		pthread_t thread;

		vmm_init(&vmm, NULL, "nic,state=4M", NULL);
		vmm_open_container(&vmm);
		b.vmm = &vmm;
		ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_STOP_COPY, &b.fd), 0);
		ck_assert_int_eq(vmm_save(&vmm, b.fd, 1 << 20, &b.stream, &b.bytes), 0);
		ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_RESUMING, &b.fd), 0);
		ck_assert_int_eq(pthread_create(&thread, NULL, write_all, &b), 0);
		end_session(&vmm, how);
		pthread_join(thread, NULL);
		ck_assert_int_eq(way_write(&vmm.way, b.fd, b.stream, 1), -ENODEV);
		ck_assert(b.result == -ENODEV || !b.result);
		free(b.stream);
		vmm_done(&vmm);
	}
}

/* --- mappings and reports beside DMA -------------------------------------------------------- */

static void *write_pages(void *opaque)
{
	struct beside *b = opaque;
	unsigned int n = 1;

	while (!atomic_load(&b->stop)) {
		/* Some of it is not mapped at this instant: that is the device's to bear. */
		(void)vmig_model_dma_write(toy_model(b->vmm->toys[b->fd]), BASE + (n % 64) * PAGE, "x", 1);
		n = n * 1103515245u + 12345u;
	}
	return NULL;
}

static int64_t dirty_pages(struct vmm *vmm, uint32_t flags, uint64_t *bitmap)
{
	struct {
		struct vmig_uapi_iommu_type1_dirty_bitmap head;
		struct vmig_uapi_iommu_type1_dirty_bitmap_get get;
	} args = {
		.head = { .argsz = sizeof(args), .flags = flags },
		.get = { .iova = BASE, .size = 64 * PAGE, .bitmap = { PAGE, 8, bitmap } },
	};

	return way_ioctl(&vmm->way, vmm->container, VMIG_UAPI_IOMMU_DIRTY_PAGES, &args);
}

TEST(mappings_change_and_are_reported_while_two_devices_write)
{
	struct beside b[2] = { 0 };
	pthread_t threads[2];
	uint64_t bitmap, any = 0;
	struct vmm vmm;

	vmm_init(&vmm, NULL, "toy", "toy", NULL);
	vmm_open_container(&vmm);
	for (int i = 0; i < 2; i++) {
		b[i].vmm = &vmm;
		b[i].fd = i;
		ck_assert_int_eq(pthread_create(&threads[i], NULL, write_pages, &b[i]), 0);
	}
	ck_assert_int_eq(dirty_pages(&vmm, VMIG_UAPI_IOMMU_DIRTY_PAGES_FLAG_START, NULL), 0);
	/* Until both have been seen: however slow the machine is. */
	for (int round = 0; round < 50 || !any; round++) {
		ck_assert_int_eq(vmm_map(&vmm, BASE, 0, 64 * PAGE), 0);
		for (int i = 0; i < 4; i++) {
			bitmap = 0;
			ck_assert_int_eq(
				dirty_pages(&vmm, VMIG_UAPI_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP, &bitmap), 0);
			any |= bitmap;
		}
		ck_assert_int_eq(vmm_unmap(&vmm, BASE, 64 * PAGE), (int64_t)(64 * PAGE));
	}
	for (int i = 0; i < 2; i++) {
		atomic_store(&b[i].stop, true);
		pthread_join(threads[i], NULL);
	}
	vmm_done(&vmm);
}

/* --- everything at once --------------------------------------------------------------------- */

static void *ask_around(void *opaque)
{
	struct beside *b = opaque;
	struct vmig_uapi_region_info info;
	uint64_t value;

	for (int i = 0; i < 200; i++) {
		info = (struct vmig_uapi_region_info){ .argsz = sizeof(info), .index = 0 };
		ck_assert_int_eq(way_ioctl(&b->vmm->way, b->fd, VMIG_UAPI_DEVICE_GET_REGION_INFO, &info), 0);
		ck_assert_int_eq(way_pread(&b->vmm->way, b->fd, &value, 8, TOY_REG_SCRATCH), 8);
		ck_assert_int_eq(way_pwrite(&b->vmm->way, b->fd, &value, 8, 0x100), 8);
	}
	return NULL;
}

static void *come_and_go(void *opaque)
{
	struct beside *b = opaque;

	for (int i = 0; i < 50; i++) {
		int fd = (int)way_ioctl(&b->vmm->way, b->fd, VMIG_UAPI_GROUP_GET_DEVICE_FD, "x");

		ck_assert_int_ge(fd, 0);
		way_close(&b->vmm->way, fd);
	}
	return NULL;
}

TEST(calls_of_all_kinds_run_beside_each_other)
{
	struct beside b[3] = { 0 };
	pthread_t threads[3];
	struct vmm vmm;

	vmm_init(&vmm, NULL, "toy", "toy", NULL);
	vmm_open_container(&vmm);
	way_close(&vmm.way, vmm.fd[1]);
	for (int i = 0; i < 3; i++) {
		b[i].vmm = &vmm;
		b[i].fd = i == 2 ? vmm.group[1] : vmm.fd[0];
		ck_assert_int_eq(pthread_create(&threads[i], NULL, i == 2 ? come_and_go : ask_around, &b[i]),
				 0);
	}
	for (uint64_t i = 0; i < 100; i++) {
		ck_assert_int_eq(vmm_map(&vmm, BASE + i * PAGE, 0, PAGE), 0);
		ck_assert_int_eq(
			vmm_set_state(&vmm, vmm.fd[0], i & 1 ? VMIG_STATE_RUNNING : VMIG_STATE_STOP, NULL),
			0);
		if (i % 10 == 9)
			ck_assert_int_eq(vmm_unmap(&vmm, BASE + (i - 9) * PAGE, 10 * PAGE),
					 (int64_t)(10 * PAGE));
	}
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	vmm_done(&vmm);
}

static void *reset_again(void *opaque)
{
	struct beside *b = opaque;

	while (!atomic_load(&b->stop))
		ck_assert_int_eq(way_ioctl(&b->vmm->way, b->fd, VMIG_UAPI_DEVICE_RESET, NULL), 0);
	return NULL;
}

TEST(a_device_is_reset_while_it_moves_from_space_to_space)
{
	struct vmig_uapi_iommufd_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct vmig_uapi_iommufd_hwpt_set_dirty_tracking track = { .size = sizeof(track), .flags = 1 };
	struct vmig_uapi_device_attach_iommufd_pt pt = { .argsz = sizeof(pt) };
	struct beside b = { 0 };
	pthread_t thread;
	struct vmm vmm;

	vmm_init(&vmm, NULL, "toy", NULL);
	vmm_open_iommufd(&vmm);
	ck_assert_int_eq(vmm_map(&vmm, BASE, 0, 64 * PAGE), 0);
	track.hwpt_id = vmm.hwpt[0];
	ck_assert_int_eq(way_ioctl(&vmm.way, vmm.iommufd, VMIG_UAPI_IOMMUFD_HWPT_SET_DIRTY_TRACKING, &track),
			 0);
	b.vmm = &vmm;
	b.fd = vmm.fd[0];
	ck_assert_int_eq(pthread_create(&thread, NULL, reset_again, &b), 0);
	for (int i = 0; i < 50; i++) {
		ck_assert_int_eq(way_ioctl(&vmm.way, vmm.iommufd, VMIG_UAPI_IOMMUFD_IOAS_ALLOC, &alloc), 0);
		pt.pt_id = i & 1 ? vmm.hwpt[0] : alloc.out_ioas_id;
		ck_assert_int_eq(way_ioctl(&vmm.way, vmm.fd[0], VMIG_UAPI_DEVICE_ATTACH_IOMMUFD_PT, &pt), 0);
	}
	atomic_store(&b.stop, true);
	pthread_join(thread, NULL);
	vmm_done(&vmm);
}

HARNESS("kernel-abi-threads", T(a_reader_goes_on_while_the_device_walks),
	T(a_reader_whose_session_ends_is_told), T(a_writer_whose_session_ends_is_told),
	T(mappings_change_and_are_reported_while_two_devices_write),
	T(calls_of_all_kinds_run_beside_each_other), T(a_device_is_reset_while_it_moves_from_space_to_space))
