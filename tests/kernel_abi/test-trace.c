/* SPDX-License-Identifier: BSD-3-Clause */
/* What the trace says of the calls of a migration, in numbers and in words. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm.h"

#define CALLS 256

struct log {
	struct vmig_kabi_call calls[CALLS];
	int n;
};

static void note(void *opaque, const struct vmig_kabi_call *call)
{
	struct log *log = opaque;

	if (log->n < CALLS)
		log->calls[log->n++] = *call;
}

/** The text of the last call. */
static const char *last(const struct log *log)
{
	static char buf[256];

	ck_assert_int_gt(log->n, 0);
	return vmig_kabi_call_text(&log->calls[log->n - 1], buf, sizeof(buf));
}

TEST(every_call_is_told_once_with_its_answer)
{
	static struct log log;
	const struct vmig_kabi_config config = { .trace = note, .opaque = &log };
	struct vmig_kabi_call *call;
	uint8_t buf[4096];
	struct vmm vmm;
	int data, before;

	vmm_init(&vmm, &config, "toy", NULL);
	vmm_open_container(&vmm);
	ck_assert_uint_eq(log.calls[0].op, VMIG_KABI_OPEN);
	ck_assert_uint_eq(log.calls[0].kind, VMIG_KABI_CONTAINER);
	before = log.n;
	ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_PRE_COPY, &data), 0);
	ck_assert_int_eq(log.n, before + 1);
	call = &log.calls[before];
	ck_assert_uint_eq(call->op, VMIG_KABI_IOCTL);
	ck_assert_uint_eq(call->kind, VMIG_KABI_DEVICE);
	ck_assert_uint_eq(call->device, 0);
	ck_assert_uint_eq(call->request, VMIG_UAPI_DEVICE_FEATURE);
	ck_assert_uint_gt(call->time_ns, 0);
	ck_assert_int_eq(call->pid, vmm.way.task.pid);
	ck_assert_str_eq(last(&log), "0: SET_STATE RUNNING -> PRE_COPY data_fd 1003 = 0");
	ck_assert_int_eq(way_read(&vmm.way, data, buf, sizeof(buf)), sizeof(buf));
	ck_assert_str_eq(last(&log), "0: read data_fd, 4096 bytes = 4096");
	ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_RESUMING + 10, NULL), -EINVAL);
	ck_assert_str_eq(last(&log), "0: SET_STATE PRE_COPY -> 14 = EINVAL");
	ck_assert_int_eq(vmm_map(&vmm, 0x10000, 0, 4096), 0);
	ck_assert_ptr_nonnull(strstr(last(&log), "IOMMU_MAP_DMA 0x10000 + 0x1000 at 0x"));
	ck_assert_int_eq(vmm_unmap(&vmm, 0x10000, 4096), 4096);
	ck_assert_str_eq(last(&log), "IOMMU_UNMAP_DMA 0x10000 + 0x1000, flags 0, unmapped 0x1000 = 0");
	vmm_write_register(&vmm, vmm.fd[0], TOY_REG_SCRATCH, 0x1234);
	ck_assert_str_eq(last(&log), "0: write region 0 + 0, 8 bytes: 0x1234 = 8");
	ck_assert_int_eq(way_ioctl(&vmm.way, vmm.fd[0], 0x5401, NULL), -ENOTTY);
	ck_assert_str_eq(last(&log), "0: ioctl 0x5401 of a device = ENOTTY");
	way_close(&vmm.way, data);
	ck_assert_str_eq(last(&log), "0: close data_fd = 0");
	ck_assert_int_eq(way_open(&vmm.way, "/dev/vfio/90"), -EBUSY);
	ck_assert_str_eq(last(&log), "open group = EBUSY");
	vmm_done(&vmm);
}

/* Which session, how many bytes, and a digest that is one of the bytes, however they are cut. */
TEST(a_session_is_told_with_its_number_and_a_digest)
{
	static struct log log;
	const struct vmig_kabi_config config = { .trace = note, .opaque = &log, .digest = true };
	uint64_t first = 0, bytes[2] = { 0 };
	uint8_t buf[4096];
	struct vmm vmm;
	int data;

	vmm_init(&vmm, &config, "toy", NULL);
	vmm_open_container(&vmm);
	for (unsigned int round = 0; round < 2; round++) {
		const struct vmig_kabi_call *call;

		ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_STOP_COPY, &data), 0);
		ck_assert_uint_eq(log.calls[log.n - 1].v[3],
				  (uint64_t)(round + 1) << 32 | VMIG_STATE_STOP_COPY);
		while (way_read(&vmm.way, data, buf, round ? 100 : sizeof(buf)) > 0)
			log.n = 1;
		call = &log.calls[log.n - 1];
		ck_assert_uint_eq(call->v[2], round + 1);
		bytes[round] = call->v[1];
		ck_assert(!round || call->v[0] == first);
		first = call->v[0];
		ck_assert_int_eq(vmm_set_state(&vmm, vmm.fd[0], VMIG_STATE_STOP, NULL), 0);
		way_close(&vmm.way, data);
		ck_assert_uint_eq(log.calls[log.n - 1].v[2], round + 1);
		ck_assert_uint_eq(log.calls[log.n - 1].v[0], 0);
	}
	ck_assert_uint_gt(bytes[0], 0);
	ck_assert_uint_eq(bytes[0], bytes[1]);
	ck_assert_uint_ne(first, 0);
	vmm_done(&vmm);
}

TEST(a_report_is_told_with_what_of_it_is_logged)
{
	static struct log log;
	const struct vmig_kabi_config config = { .trace = note, .opaque = &log };
	struct vmig_range ranges[2] = { { 0x10000, 0x4000 }, { 0x20000, 0x4000 } };
	struct vmig_uapi_device_feature_dma_logging_control start = { .page_size = 4096,
								      .num_ranges = 2,
								      .ranges = (uintptr_t)ranges };
	uint64_t bits[4] = { 0 };
	struct vmig_uapi_device_feature_dma_logging_report report = {
		.iova = 0x12000, .length = 0x10000, .page_size = 4096, .bitmap = (uintptr_t)bits
	};
	struct vmm vmm;

	vmm_init(&vmm, &config, "toy", NULL);
	vmm_open_container(&vmm);
	ck_assert_int_eq(
		vmm_feature(&vmm, vmm.fd[0],
			    VMIG_UAPI_DEVICE_FEATURE_SET | VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_START, &start,
			    sizeof(start)),
		0);
	(void)vmm_feature(&vmm, vmm.fd[0],
			  VMIG_UAPI_DEVICE_FEATURE_GET | VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_REPORT, &report,
			  sizeof(report));
	/* 0x12000 to 0x14000, and 0x20000 to 0x22000. */
	ck_assert_uint_eq(log.calls[log.n - 1].len, 0x4000);
	vmm_done(&vmm);
}

/* It may come out of shared memory that another process writes. */
TEST(any_call_has_a_text_that_fits)
{
	unsigned int seed = harness_seed();
	struct vmig_kabi_call call;
	char buf[64];

	for (int i = 0; i < 20000; i++) {
		size_t size = (size_t)i % sizeof(buf);

		for (size_t k = 0; k < sizeof(call); k++)
			((uint8_t *)&call)[k] = (uint8_t)rand_r(&seed);
		if (i & 1) {
			call.kind %= 6;
			call.op %= 7;
			call.request = (uint32_t)(';' << 8) | (call.request & 0xff);
		}
		buf[size] = '#';
		ck_assert_ptr_eq(vmig_kabi_call_text(&call, buf, size), buf);
		ck_assert_int_eq(buf[size], '#');
		ck_assert(!size || memchr(buf, '\0', size));
	}
}

HARNESS("kernel-abi-trace", T(every_call_is_told_once_with_its_answer),
	T(a_session_is_told_with_its_number_and_a_digest), T(a_report_is_told_with_what_of_it_is_logged),
	T(any_call_has_a_text_that_fits))
