/* SPDX-License-Identifier: BSD-3-Clause */
/* Every size, count and flag that a peer controls, at the last good value and the first bad one. */
#include "harness.h"

#include <string.h>

#include "messages.h"

/* The payload of a message being written, and its decoding in memory of exactly that size. */
struct draft {
	uint8_t bytes[65536 + 4096];
	struct vmig_cursor c;
};

static struct draft *new_draft(void)
{
	struct draft *d = calloc(1, sizeof(*d));

	ck_assert_ptr_nonnull(d);
	d->c = vmig_cursor_into(d->bytes, sizeof(d->bytes));
	return d;
}

static void put(struct draft *d, int n, const uint32_t *words)
{
	for (int i = 0; i < n; i++)
		vmig_cursor_put_u32(&d->c, words[i]);
}
#define PUT(d, ...)                                                                                          \
	put(d, (int)ARRAY_SIZE(((const uint32_t[]){ __VA_ARGS__ })), (const uint32_t[]){ __VA_ARGS__ })

/* Decode and free. @m may be NULL. */
static int judge_into(struct draft *d, uint16_t command, bool reply, struct message *m)
{
	struct message *own = m ? NULL : malloc(sizeof(*own));
	size_t len = sizeof(d->bytes) - d->c.left;
	struct vmig_vu_header h = { 1, command, (uint32_t)(VMIG_VU_HEADER_SIZE + len), reply, 0 };
	uint8_t *exact = calloc(1, len ? len : 1);
	struct vmig_cursor c = vmig_cursor_over(exact, len);
	int r;

	memcpy(exact, d->bytes, len);
	r = message_decode_payload(&h, &c, m ? m : own);
	free(exact);
	free(own);
	free(d);
	return r;
}

static int judge(struct draft *d, uint16_t command, bool reply)
{
	return judge_into(d, command, reply, NULL);
}

/* --- header ------------------------------------------------------------------------------- */

static int header(uint32_t size, uint32_t flags)
{
	struct vmig_vu_header h = { 1, VMIG_VU_DEVICE_RESET, size, flags, 0 }, back;
	uint8_t bytes[VMIG_VU_HEADER_SIZE];
	struct vmig_cursor c = vmig_cursor_into(bytes, sizeof(bytes));

	vmig_vu_header_encode(&c, &h);
	c = vmig_cursor_over(bytes, sizeof(bytes));
	return vmig_vu_header_decode(&c, &back);
}

TEST(headers_that_cannot_be)
{
	ck_assert_int_eq(header(0, 0), -EPROTO);
	ck_assert_int_eq(header(15, 0), -EPROTO);
	ck_assert_int_eq(header(16, 0), 0);
	ck_assert_int_eq(header(UINT32_MAX, 0), 0); /* for vmig_vu_header_check() */
	for (uint32_t type = 2; type < 16; type++)
		ck_assert_int_eq(header(16, type), -EPROTO);
	ck_assert_int_eq(header(16, VMIG_VU_TYPE_COMMAND | VMIG_VU_NO_REPLY), 0);
	ck_assert_int_eq(header(16, VMIG_VU_TYPE_COMMAND | VMIG_VU_ERROR), -EPROTO);
	ck_assert_int_eq(header(16, VMIG_VU_TYPE_REPLY | VMIG_VU_ERROR), 0);
}

TEST(errors_of_a_header)
{
	struct vmig_vu_header h = { .flags = VMIG_VU_TYPE_REPLY, .error = 22 };

	ck_assert_int_eq(vmig_vu_header_errno(&h), 0);
	h.flags |= VMIG_VU_ERROR;
	ck_assert_int_eq(vmig_vu_header_errno(&h), -22);
	h.error = 0;
	ck_assert_int_eq(vmig_vu_header_errno(&h), -EREMOTEIO);
	h.error = 4095;
	ck_assert_int_eq(vmig_vu_header_errno(&h), -4095);
	h.error = 4096;
	ck_assert_int_eq(vmig_vu_header_errno(&h), -EREMOTEIO);
	h.error = UINT32_MAX;
	ck_assert_int_eq(vmig_vu_header_errno(&h), -EREMOTEIO);
}

static void largest_payload(uint16_t command, bool reply, uint32_t max, uint32_t most)
{
	struct vmig_vu_header h = { 1, command, VMIG_VU_HEADER_SIZE + most, reply, 0 };

	ck_assert_msg(!vmig_vu_header_check(&h, max), "%u: %u", command, most);
	h.size++;
	ck_assert_msg(vmig_vu_header_check(&h, max) == -E2BIG, "%u: %u", command, most + 1);
	h.size = UINT32_MAX;
	ck_assert_int_eq(vmig_vu_header_check(&h, max), -E2BIG);
}

TEST(no_message_is_larger_than_its_command_may_be)
{
	largest_payload(VMIG_VU_VERSION, false, 4096, VMIG_VU_VERSION_MAX);
	largest_payload(VMIG_VU_DEVICE_RESET, false, 4096, 0);
	largest_payload(VMIG_VU_REGION_READ, false, 4096, 16);
	largest_payload(VMIG_VU_REGION_READ, true, 4096, 16 + 4096);
	largest_payload(VMIG_VU_REGION_WRITE, false, 4096, 16 + 4096);
	largest_payload(VMIG_VU_REGION_WRITE, true, 4096, 16);
	largest_payload(VMIG_VU_DMA_READ, true, 1, 16 + 1);
	largest_payload(VMIG_VU_DMA_WRITE, false, VMIG_LIMIT_XFER, 16 + VMIG_LIMIT_XFER);
	largest_payload(VMIG_VU_MIG_DATA_READ, true, 4096, 8 + 4096);
	largest_payload(VMIG_VU_MIG_DATA_WRITE, false, 4096, 8 + 4096);
	largest_payload(VMIG_VU_REGION_WRITE_MULTI, false, 0, 8 + VMIG_LIMIT_WRITE_MULTI * 24);
	largest_payload(VMIG_VU_DEVICE_SET_IRQS, false, 0, 20 + VMIG_LIMIT_IRQS);
	largest_payload(VMIG_VU_DEVICE_FEATURE, false, 0, 24 + VMIG_LIMIT_LOG_RANGES * 16);
	largest_payload(VMIG_VU_DEVICE_FEATURE, true, 0, 32 + VMIG_LIMIT_MSG_BITMAP);
	largest_payload(VMIG_VU_DEVICE_GET_REGION_INFO, true, 0, 32 + VMIG_LIMIT_REGION_INFO);
	largest_payload(999, false, 4096, VMIG_VU_UNKNOWN_MAX);
}

/* --- counts ------------------------------------------------------------------------------- */

static int device_info(uint32_t argsz, uint32_t regions, uint32_t irqs)
{
	struct draft *d = new_draft();

	PUT(d, argsz, 0, regions, irqs);
	return judge(d, VMIG_VU_DEVICE_GET_INFO, true);
}

static int irq_info(uint32_t argsz, uint32_t count)
{
	struct draft *d = new_draft();

	PUT(d, argsz, 0, 0, count);
	return judge(d, VMIG_VU_DEVICE_GET_IRQ_INFO, true);
}

TEST(counts_of_regions_and_interrupts)
{
	ck_assert_int_eq(device_info(16, VMIG_LIMIT_REGIONS, VMIG_LIMIT_IRQ_INDICES), 0);
	ck_assert_int_eq(device_info(16, VMIG_LIMIT_REGIONS + 1, 0), -E2BIG);
	ck_assert_int_eq(device_info(16, 0, VMIG_LIMIT_IRQ_INDICES + 1), -E2BIG);
	ck_assert_int_eq(device_info(15, 0, 0), -EPROTO);
	ck_assert_int_eq(irq_info(16, VMIG_LIMIT_IRQS), 0);
	ck_assert_int_eq(irq_info(16, VMIG_LIMIT_IRQS + 1), -E2BIG);
	ck_assert_int_eq(irq_info(15, 0), -EPROTO);
}

static int set_irqs(uint32_t flags, uint32_t start, uint32_t count, uint32_t n_bools)
{
	struct draft *d = new_draft();

	PUT(d, 20, flags, 0, start, count);
	for (uint32_t i = 0; i < n_bools; i++)
		vmig_cursor_put_u8(&d->c, 1);
	return judge(d, VMIG_VU_DEVICE_SET_IRQS, false);
}

TEST(set_irqs_has_one_kind_of_data_and_one_action)
{
	for (uint32_t flags = 0; flags < 128; flags++) {
		bool good = __builtin_popcount(flags & 7) == 1 && __builtin_popcount(flags >> 3) == 1 &&
			    flags < 64;

		ck_assert_msg(set_irqs(flags, 0, 1, 1) == (good ? 0 : -EPROTO), "flags %#x", flags);
	}
}

TEST(set_irqs_stays_within_its_index)
{
	const uint32_t eventfds = VMIG_IRQ_DATA_EVENTFD | VMIG_IRQ_ACTION_TRIGGER;
	const uint32_t bools = VMIG_IRQ_DATA_BOOL | VMIG_IRQ_ACTION_MASK;

	ck_assert_int_eq(set_irqs(eventfds, 0, VMIG_LIMIT_IRQS, 0), 0);
	ck_assert_int_eq(set_irqs(eventfds, 0, VMIG_LIMIT_IRQS + 1, 0), -E2BIG);
	ck_assert_int_eq(set_irqs(eventfds, VMIG_LIMIT_IRQS, 0, 0), 0);
	ck_assert_int_eq(set_irqs(eventfds, VMIG_LIMIT_IRQS, 1, 0), -E2BIG);
	ck_assert_int_eq(set_irqs(eventfds, 1, UINT32_MAX, 0), -E2BIG);
	ck_assert_int_eq(set_irqs(eventfds, UINT32_MAX, 1, 0), -E2BIG);
	ck_assert_int_eq(set_irqs(bools, 0, VMIG_LIMIT_IRQS, VMIG_LIMIT_IRQS), 0);
	ck_assert_int_eq(set_irqs(bools, 0, VMIG_LIMIT_IRQS, VMIG_LIMIT_IRQS - 1), -EPROTO);
}

static int io_fds(uint32_t argsz, uint32_t count, uint32_t n_here)
{
	struct draft *d = new_draft();

	PUT(d, argsz, 0, 0, count);
	for (uint32_t i = 0; i < n_here; i++)
		PUT(d, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0);
	return judge(d, VMIG_VU_DEVICE_GET_REGION_IO_FDS, true);
}

TEST(entries_of_io_fds)
{
	ck_assert_int_eq(io_fds(16, VMIG_VU_IO_FDS_MAX, VMIG_VU_IO_FDS_MAX), 0);
	ck_assert_int_eq(io_fds(16, VMIG_VU_IO_FDS_MAX + 1, VMIG_VU_IO_FDS_MAX + 1), -E2BIG);
	ck_assert_int_eq(io_fds(16, UINT32_MAX, 0), -E2BIG);
	ck_assert_int_eq(io_fds(16, 2, 1), -EPROTO);
	ck_assert_int_eq(io_fds(16, 2, 0), 0); /* the request's argsz was too small */
	ck_assert_int_eq(io_fds(15, 0, 0), -EPROTO);
}

static int write_multi(uint32_t low, uint32_t high, uint32_t n_here, uint32_t width)
{
	struct draft *d = new_draft();

	PUT(d, low, high);
	for (uint32_t i = 0; i < n_here; i++)
		PUT(d, 0, 0, 0, width, 0, 0);
	return judge(d, VMIG_VU_REGION_WRITE_MULTI, false);
}

TEST(entries_of_write_multi)
{
	ck_assert_int_eq(write_multi(VMIG_LIMIT_WRITE_MULTI, 0, VMIG_LIMIT_WRITE_MULTI, 8), 0);
	ck_assert_int_eq(write_multi(VMIG_LIMIT_WRITE_MULTI + 1, 0, VMIG_LIMIT_WRITE_MULTI + 1, 8), -E2BIG);
	ck_assert_int_eq(write_multi(1, 0, 1, 9), -EPROTO);
	ck_assert_int_eq(write_multi(1, 0, 2, 8), -EPROTO);
	ck_assert_int_eq(write_multi(2, 0, 1, 8), -EPROTO);
	ck_assert_int_eq(write_multi(1, 1, 1, 8), -E2BIG);
	/* 24 * count is 0 in 64 bits */
	ck_assert_int_eq(write_multi(0, 0x20000000, 0, 8), -E2BIG);
}

/* --- features ----------------------------------------------------------------------------- */

static int feature(uint32_t argsz, uint32_t flags)
{
	struct draft *d = new_draft();

	PUT(d, argsz, flags);
	return judge(d, VMIG_VU_DEVICE_FEATURE, false);
}

TEST(operations_on_a_feature)
{
	const uint32_t get = VMIG_VU_FEATURE_GET, set = VMIG_VU_FEATURE_SET, probe = VMIG_VU_FEATURE_PROBE;

	ck_assert_int_eq(feature(8, get | 1), 0);
	ck_assert_int_eq(feature(7, get | 1), -EPROTO);
	ck_assert_int_eq(feature(8, 1), -EPROTO);
	ck_assert_int_eq(feature(8, get | set | 1), -EPROTO);
	ck_assert_int_eq(feature(8, get | set | probe | 1), 0);
	ck_assert_int_eq(feature(8, probe | 65535), 0);
	ck_assert_int_eq(feature(8, get | 1u << 19 | 1), -EPROTO);
	ck_assert_int_eq(feature(8, get | 1u << 31 | 1), -EPROTO);
	/* Short payloads: the feature's own struct is not there. */
	ck_assert_int_eq(feature(16, set | VMIG_VU_FEATURE_MIG_DEVICE_STATE), -EPROTO);
	ck_assert_int_eq(feature(24, set | VMIG_VU_FEATURE_DMA_LOGGING_START), -EPROTO);
	ck_assert_int_eq(feature(32, get | VMIG_VU_FEATURE_DMA_LOGGING_REPORT), -EPROTO);
}

static int log_start(uint64_t page_size, uint32_t n, uint32_t n_here, uint64_t iova, uint64_t length)
{
	struct draft *d = new_draft();

	PUT(d, 24, VMIG_VU_FEATURE_SET | VMIG_VU_FEATURE_DMA_LOGGING_START);
	vmig_cursor_put_u64(&d->c, page_size);
	PUT(d, n, 0);
	for (uint32_t i = 0; i < n_here; i++) {
		vmig_cursor_put_u64(&d->c, iova);
		vmig_cursor_put_u64(&d->c, length);
	}
	return judge(d, VMIG_VU_DEVICE_FEATURE, false);
}

TEST(ranges_to_log)
{
	const uint32_t most = VMIG_LIMIT_LOG_RANGES;

	ck_assert_int_eq(log_start(4096, most, most, 0, 4096), 0);
	ck_assert_int_eq(log_start(4096, most + 1, most + 1, 0, 4096), -E2BIG);
	ck_assert_int_eq(log_start(4096, UINT32_MAX, 0, 0, 4096), -E2BIG);
	ck_assert_int_eq(log_start(4096, 2, 1, 0, 4096), -EPROTO);
	ck_assert_int_eq(log_start(0, 0, 0, 0, 0), -EPROTO);
	ck_assert_int_eq(log_start(4095, 0, 0, 0, 0), -EPROTO);
	ck_assert_int_eq(log_start(1ull << 63, 0, 0, 0, 0), 0);
	ck_assert_int_eq(log_start(4096, 1, 1, 0, 0), -EPROTO);
	ck_assert_int_eq(log_start(4096, 1, 1, UINT64_MAX - 4095, 4096), 0);
	ck_assert_int_eq(log_start(4096, 1, 1, UINT64_MAX - 4095, 4097), -EPROTO);
}

static int log_report(uint64_t iova, uint64_t length, uint64_t page_size)
{
	struct draft *d = new_draft();

	PUT(d, 32, VMIG_VU_FEATURE_GET | VMIG_VU_FEATURE_DMA_LOGGING_REPORT);
	vmig_cursor_put_u64(&d->c, iova);
	vmig_cursor_put_u64(&d->c, length);
	vmig_cursor_put_u64(&d->c, page_size);
	return judge(d, VMIG_VU_DEVICE_FEATURE, false);
}

TEST(ranges_to_report)
{
	const uint64_t most = 8ull * VMIG_LIMIT_MSG_BITMAP;

	ck_assert_int_eq(log_report(0, most, 1), 0);
	ck_assert_int_eq(log_report(0, most - 1, 1), 0);
	ck_assert_int_eq(log_report(0, most + 1, 1), -E2BIG);
	ck_assert_int_eq(log_report(0, UINT64_MAX, 1), -E2BIG);
	ck_assert_int_eq(log_report(0, UINT64_MAX, 1ull << 63), 0);
	ck_assert_int_eq(log_report(1, UINT64_MAX, 1ull << 63), 0);
	ck_assert_int_eq(log_report(2, UINT64_MAX, 1ull << 63), -EPROTO);
	ck_assert_int_eq(log_report(0, 0, 4096), -EPROTO);
	ck_assert_int_eq(log_report(0, 4096, 0), -EPROTO);
	ck_assert_int_eq(log_report(0, 4096, 6), -EPROTO);
}

static int dirty_get(uint32_t argsz, uint32_t flags, uint64_t length, uint64_t page_size, uint64_t bitmap_len)
{
	struct draft *d = new_draft();

	PUT(d, argsz, flags);
	vmig_cursor_put_u64(&d->c, 0);
	vmig_cursor_put_u64(&d->c, length);
	vmig_cursor_put_u64(&d->c, page_size);
	vmig_cursor_put_u64(&d->c, bitmap_len);
	return judge(d, VMIG_VU_DIRTY_PAGES, false);
}

TEST(dirty_pages_to_get)
{
	const uint64_t most = VMIG_LIMIT_MSG_BITMAP;

	ck_assert_int_eq(dirty_get(8, 4, 8 * most, 1, most), 0);
	ck_assert_int_eq(dirty_get(8, 4, 8 * most - 64, 1, most - 8), 0);
	ck_assert_int_eq(dirty_get(8, 4, 8 * most + 1, 1, most + 8), -E2BIG);
	ck_assert_int_eq(dirty_get(8, 4, UINT64_MAX, 1, 1ull << 61), -E2BIG);
	/* The bitmap's length must be that of so many pages. */
	ck_assert_int_eq(dirty_get(8, 4, 65 * 4096, 4096, 16), 0);
	ck_assert_int_eq(dirty_get(8, 4, 65 * 4096, 4096, 8), -EPROTO);
	ck_assert_int_eq(dirty_get(8, 4, 65 * 4096, 4096, 24), -EPROTO);
	ck_assert_int_eq(dirty_get(8, 4, 65 * 4096, 4096, 0), -EPROTO);
	ck_assert_int_eq(dirty_get(8, 4, 4096, 4096, UINT64_MAX), -EPROTO);
	ck_assert_int_eq(dirty_get(8, 4, 0, 4096, 0), -EPROTO);
	ck_assert_int_eq(dirty_get(8, 4, 4096, 0, 8), -EPROTO);
	ck_assert_int_eq(dirty_get(8, 4, 4096, 4095, 8), -EPROTO);
	/* argsz, and one operation. */
	ck_assert_int_eq(dirty_get(7, 4, 4096, 4096, 8), -EPROTO);
	for (uint32_t flags = 0; flags < 16; flags++)
		ck_assert_int_eq(dirty_get(8, flags, 4096, 4096, 8),
				 flags == 1 || flags == 2 || flags == 4 ? 0 : -EPROTO);
}

TEST(length_of_a_bitmap)
{
	ck_assert_uint_eq(vmig_vu_bitmap_len(1, 4096), 8);
	ck_assert_uint_eq(vmig_vu_bitmap_len(64 * 4096, 4096), 8);
	ck_assert_uint_eq(vmig_vu_bitmap_len(64 * 4096 + 1, 4096), 16);
	ck_assert_uint_eq(vmig_vu_bitmap_len(4ull << 30, 4096), 131072);
	ck_assert_uint_eq(vmig_vu_bitmap_len(UINT64_MAX, 1), 1ull << 61);
	ck_assert_uint_eq(vmig_vu_bitmap_len(UINT64_MAX, 1ull << 63), 8);
}

/* --- bulk data ---------------------------------------------------------------------------- */

static int region_rw(uint16_t command, bool reply, uint64_t offset, uint32_t count, uint32_t here)
{
	struct vmig_vu_region_rw m = { offset, 0, count };
	struct vmig_vu_header h = { 1, command, VMIG_VU_HEADER_SIZE + VMIG_VU_REGION_RW_SIZE + here, reply,
				    0 };
	uint8_t fixed[VMIG_VU_REGION_RW_SIZE];
	struct vmig_cursor c = vmig_cursor_into(fixed, sizeof(fixed));

	vmig_vu_region_rw_encode(&c, &m);
	c = vmig_cursor_over(fixed, sizeof(fixed));
	return vmig_vu_region_rw_decode(&c, &h, 4096, &m);
}

TEST(data_of_a_region)
{
	ck_assert_int_eq(region_rw(VMIG_VU_REGION_READ, false, 0, 4096, 0), 0);
	ck_assert_int_eq(region_rw(VMIG_VU_REGION_READ, false, 0, 4097, 0), -E2BIG);
	ck_assert_int_eq(region_rw(VMIG_VU_REGION_READ, false, 0, 4, 4), -EPROTO);
	ck_assert_int_eq(region_rw(VMIG_VU_REGION_READ, true, 0, 4096, 4096), 0);
	ck_assert_int_eq(region_rw(VMIG_VU_REGION_READ, true, 0, 4095, 4096), -EPROTO);
	ck_assert_int_eq(region_rw(VMIG_VU_REGION_READ, true, 0, 4096, 4095), -EPROTO);
	ck_assert_int_eq(region_rw(VMIG_VU_REGION_WRITE, false, 0, 4096, 4096), 0);
	ck_assert_int_eq(region_rw(VMIG_VU_REGION_WRITE, false, 0, 4, 3), -EPROTO);
	ck_assert_int_eq(region_rw(VMIG_VU_REGION_WRITE, false, 0, 4, 5), -EPROTO);
	ck_assert_int_eq(region_rw(VMIG_VU_REGION_WRITE, true, 0, 4, 0), 0);
	ck_assert_int_eq(region_rw(VMIG_VU_REGION_WRITE, true, 0, 4, 4), -EPROTO);
	ck_assert_int_eq(region_rw(VMIG_VU_REGION_READ, false, UINT64_MAX - 4, 4, 0), 0);
	ck_assert_int_eq(region_rw(VMIG_VU_REGION_READ, false, UINT64_MAX - 4, 5, 0), -EPROTO);
}

static int dma_rw(uint16_t command, bool reply, uint64_t address, uint64_t count, uint32_t here)
{
	struct vmig_vu_dma_rw m = { address, count };
	struct vmig_vu_header h = { 1, command, VMIG_VU_HEADER_SIZE + VMIG_VU_DMA_RW_SIZE + here, reply, 0 };
	uint8_t fixed[VMIG_VU_DMA_RW_SIZE];
	struct vmig_cursor c = vmig_cursor_into(fixed, sizeof(fixed));

	vmig_vu_dma_rw_encode(&c, &m);
	c = vmig_cursor_over(fixed, sizeof(fixed));
	return vmig_vu_dma_rw_decode(&c, &h, 4096, &m);
}

TEST(data_of_dma)
{
	ck_assert_int_eq(dma_rw(VMIG_VU_DMA_READ, false, 0, 4096, 0), 0);
	ck_assert_int_eq(dma_rw(VMIG_VU_DMA_READ, false, 0, 4097, 0), -E2BIG);
	ck_assert_int_eq(dma_rw(VMIG_VU_DMA_READ, false, 0, UINT64_MAX, 0), -E2BIG);
	ck_assert_int_eq(dma_rw(VMIG_VU_DMA_READ, false, 2, UINT64_MAX, 0), -EPROTO);
	/* The last byte of the address space is one like any other. */
	ck_assert_int_eq(dma_rw(VMIG_VU_DMA_READ, false, UINT64_MAX - 7, 8, 0), 0);
	ck_assert_int_eq(dma_rw(VMIG_VU_DMA_READ, false, UINT64_MAX - 7, 9, 0), -EPROTO);
	ck_assert_int_eq(dma_rw(VMIG_VU_DMA_READ, true, 0, 8, 8), 0);
	ck_assert_int_eq(dma_rw(VMIG_VU_DMA_READ, true, 0, 8, 7), -EPROTO);
	ck_assert_int_eq(dma_rw(VMIG_VU_DMA_WRITE, false, 0, 8, 8), 0);
	ck_assert_int_eq(dma_rw(VMIG_VU_DMA_WRITE, false, 0, 8, 9), -EPROTO);
	ck_assert_int_eq(dma_rw(VMIG_VU_DMA_WRITE, true, 0, 8, 0), 0);
	/* Equal but for 2^32. */
	ck_assert_int_eq(dma_rw(VMIG_VU_DMA_WRITE, false, 0, (1ull << 32) + 8, 8), -E2BIG);
}

TEST(a_dma_write_is_answered_in_either_width)
{
	struct draft *d = new_draft();
	struct message *m = malloc(sizeof(*m));

	PUT(d, 0x1000, 0, 8);
	ck_assert_int_eq(judge_into(d, VMIG_VU_DMA_WRITE, true, m), 0);
	ck_assert_uint_eq(m->dma_rw.address, 0x1000);
	ck_assert_uint_eq(m->dma_rw.count, 8);
	d = new_draft();
	PUT(d, 0x1000, 0, 8);
	ck_assert_int_eq(judge_into(d, VMIG_VU_DMA_READ, false, m), -EPROTO);
	free(m);
}

static int mig_data(uint16_t command, bool reply, uint32_t size, uint32_t here)
{
	struct vmig_vu_mig_data m = { .argsz = 8, .size = size };
	struct vmig_vu_header h = { 1, command, VMIG_VU_HEADER_SIZE + VMIG_VU_MIG_DATA_SIZE + here, reply,
				    0 };
	uint8_t fixed[VMIG_VU_MIG_DATA_SIZE];
	struct vmig_cursor c = vmig_cursor_into(fixed, sizeof(fixed));
	int r;

	vmig_vu_mig_data_encode(&c, &m);
	c = vmig_cursor_over(fixed, sizeof(fixed));
	r = vmig_vu_mig_data_decode(&c, &h, 4096, &m);
	if (!r)
		ck_assert_uint_eq(m.data_len, here);
	return r;
}

TEST(migration_data)
{
	ck_assert_int_eq(mig_data(VMIG_VU_MIG_DATA_READ, false, 4096, 0), 0);
	ck_assert_int_eq(mig_data(VMIG_VU_MIG_DATA_READ, false, 4097, 0), -E2BIG);
	ck_assert_int_eq(mig_data(VMIG_VU_MIG_DATA_READ, true, 4096, 4096), 0);
	ck_assert_int_eq(mig_data(VMIG_VU_MIG_DATA_READ, true, 4096, 4095), -EPROTO);
	ck_assert_int_eq(mig_data(VMIG_VU_MIG_DATA_READ, true, 0, 4096), 0); /* all of it padding */
	ck_assert_int_eq(mig_data(VMIG_VU_MIG_DATA_READ, true, 0, 4097), -E2BIG);
	ck_assert_int_eq(mig_data(VMIG_VU_MIG_DATA_WRITE, false, 4096, 4096), 0);
	ck_assert_int_eq(mig_data(VMIG_VU_MIG_DATA_WRITE, false, 4097, 4097), -E2BIG);
	ck_assert_int_eq(mig_data(VMIG_VU_MIG_DATA_WRITE, false, 8, 7), -EPROTO);
	ck_assert_int_eq(mig_data(VMIG_VU_MIG_DATA_WRITE, false, 8, 9), -EPROTO);
}

/* --- DMA_MAP, DMA_UNMAP, identity --------------------------------------------------------- */

TEST(flags_of_mappings)
{
	for (uint32_t flags = 0; flags < 16; flags++) {
		struct draft *d = new_draft();

		PUT(d, 32, flags, 0, 0, 0, 0, 4096, 0);
		ck_assert_int_eq(judge(d, VMIG_VU_DMA_MAP, false), flags < 4 ? 0 : -EPROTO);
	}
}

static int unmap(uint32_t flags, uint32_t size)
{
	struct draft *d = new_draft();

	PUT(d, 24, flags, 0, 0, size, 0);
	if (flags & VMIG_VU_DMA_UNMAP_DIRTY_BITMAP)
		PUT(d, 4096, 0, 8, 0);
	return judge(d, VMIG_VU_DMA_UNMAP, false);
}

TEST(the_old_bitmap_of_unmap_is_refused_by_name)
{
	ck_assert_int_eq(unmap(0, 4096), 0);
	ck_assert_int_eq(unmap(VMIG_VU_DMA_UNMAP_DIRTY_BITMAP, 4096), -EOPNOTSUPP);
	ck_assert_int_eq(unmap(VMIG_VU_DMA_UNMAP_ALL, 0), 0);
	ck_assert_int_eq(unmap(VMIG_VU_DMA_UNMAP_ALL, 4096), -EPROTO);
	ck_assert_int_eq(unmap(4, 4096), -EPROTO);
}

static int identity(const char *text, size_t len, struct message *m)
{
	struct draft *d = new_draft();

	PUT(d, 16, 0, 0, 0);
	vmig_cursor_put(&d->c, text, len);
	return judge_into(d, VMIG_VU_DEVICE_IDENTITY, true, m);
}

TEST(identities)
{
	struct message *m = malloc(sizeof(*m));
	char text[VMIG_IDENTITY_MAX + 2];

	ck_assert_int_eq(identity("", 1, m), 0);
	ck_assert_int_eq(identity("nic", 3, m), -EPROTO);
	ck_assert_int_eq(identity("nic\0more", 8, m), 0);
	ck_assert_str_eq(m->identity.identity, "nic");
	ck_assert_int_eq(identity("n\nic", 5, m), -EPROTO);
	ck_assert_int_eq(identity("n\x7fic", 5, m), -EPROTO);
	ck_assert_int_eq(identity("n\x80ic", 5, m), -EPROTO);
	for (size_t len = VMIG_IDENTITY_MAX - 2; len <= VMIG_IDENTITY_MAX; len++) {
		memset(text, 'x', sizeof(text));
		text[len] = '\0';
		ck_assert_int_eq(identity(text, len + 1, m), len < VMIG_IDENTITY_MAX ? 0 : -E2BIG);
	}
	free(m);
}

/* The verdict's errno, and as many bytes as it says there are, up to the command's limit. */
TEST(blobs)
{
	static const struct {
		uint16_t command;
		uint32_t max;
	} rows[] = { { VMIG_VU_DEVICE_DESCRIPTOR, VMIG_DEVICE_DESCRIPTOR_MAX },
		     { VMIG_VU_DEVICE_OPAQUE, VMIG_DEVICE_OPAQUE_MAX },
		     { VMIG_VU_DEVICE_OPAQUE_CHECK, VMIG_DEVICE_OPAQUE_MAX } };
	static const uint8_t zeros[VMIG_DEVICE_DESCRIPTOR_MAX + 1];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (uint32_t len = rows[i].max - 1; len <= rows[i].max + 1; len++) {
			struct draft *d = new_draft();

			PUT(d, 16 + len, 0, 0, len);
			vmig_cursor_put(&d->c, zeros, len);
			ck_assert_int_eq(judge(d, rows[i].command, true) != 0, len > rows[i].max);
		}
	}
	for (uint32_t code = 4094; code <= 4096; code++) {
		struct draft *d = new_draft();

		PUT(d, 16, 0, code, 0);
		ck_assert_int_eq(judge(d, VMIG_VU_DEVICE_OPAQUE_CHECK, true), code > 4095 ? -EPROTO : 0);
	}
	for (uint32_t said = 3; said <= 5; said++) {
		struct draft *d = new_draft();

		PUT(d, 20, 0, 0, said);
		vmig_cursor_put(&d->c, zeros, 4);
		ck_assert_int_eq(judge(d, VMIG_VU_DEVICE_OPAQUE_CHECK, false), said == 4 ? 0 : -EPROTO);
	}
}

TEST(queries_have_no_flags_yet)
{
	struct draft *d = new_draft();

	PUT(d, 8, 1);
	ck_assert_int_eq(judge(d, VMIG_VU_MIG_PRECOPY_INFO, false), -EPROTO);
	d = new_draft();
	PUT(d, 7, 0);
	ck_assert_int_eq(judge(d, VMIG_VU_DEVICE_IDENTITY, false), -EPROTO);
}

TEST(tags)
{
	for (uint32_t argsz = 55; argsz <= 57; argsz++) {
		for (uint32_t size = 55; size <= 57; size++) {
			struct draft *d = new_draft();

			PUT(d, argsz, 0);
			for (uint32_t i = 8; i < size; i++)
				vmig_cursor_put_u8(&d->c, 0);
			ck_assert_int_eq(judge(d, VMIG_VU_DEVICE_TAG, true),
					 argsz < 56 || size < 56 ? -EPROTO : 0);
		}
	}
}

HARNESS("vfio-user-limits", T(headers_that_cannot_be), T(errors_of_a_header),
	T(no_message_is_larger_than_its_command_may_be), T(counts_of_regions_and_interrupts),
	T(set_irqs_has_one_kind_of_data_and_one_action), T(set_irqs_stays_within_its_index),
	T(entries_of_io_fds), T(entries_of_write_multi), T(operations_on_a_feature), T(ranges_to_log),
	T(ranges_to_report), T(dirty_pages_to_get), T(length_of_a_bitmap), T(data_of_a_region),
	T(data_of_dma), T(a_dma_write_is_answered_in_either_width), T(migration_data), T(flags_of_mappings),
	T(the_old_bitmap_of_unmap_is_refused_by_name), T(identities), T(blobs), T(queries_have_no_flags_yet),
	T(tags))
