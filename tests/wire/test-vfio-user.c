/* SPDX-License-Identifier: BSD-3-Clause */
/* Every message against golden vectors, cut off at every byte, and round with random contents. */
#include "harness.h"

#include <stdio.h>
#include <string.h>

#include "golden.h"
#include "messages.h"

#define CMD(number)                                                                                          \
	{                                                                                                    \
		number, number, 0, VMIG_VU_TYPE_COMMAND, 0                                                   \
	}
#define REPLY(number)                                                                                        \
	{                                                                                                    \
		number, number, 0, VMIG_VU_TYPE_REPLY, 0                                                     \
	}
#define FROM_SERVER(id, number, type)                                                                        \
	{                                                                                                    \
		id, number, 0, type, 0                                                                       \
	}

#define FEATURE(flags, name, size)                                                                           \
	{                                                                                                    \
		size, flags | VMIG_VU_FEATURE_##name                                                         \
	}
#define GET   VMIG_VU_FEATURE_GET
#define SET   VMIG_VU_FEATURE_SET
#define PROBE VMIG_VU_FEATURE_PROBE

static const uint8_t bytes_1_to_8[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
static const uint8_t padded[] = { 1, 2, 3, 4, 5, 6, 0, 0 };
static const uint8_t command_was[] = { 0x06, 0x00, 0x10, 0x00 }, command_is[] = { 0x06, 0x05, 0x10, 0x00 };
static const uint8_t bitmap[] = { 0x01, 0, 0, 0, 0, 0, 0, 0x80, 0, 0x80, 0, 0, 0, 0, 0, 0 };
static const uint8_t bools[] = { 1, 0, 1 };

/* What the bytes mean. @shorter: lengths at which cutting it off leaves another valid message; 0 ends. */
static const struct expected {
	const char *name;
	struct message m;
	size_t shorter[2];
} expected[] = {
	{ "version",
	  { .h = { 1, VMIG_VU_VERSION },
	    .version = { 0,
			 0,
			 { .present = VMIG_VU_CAP_MAX_MSG_FDS | VMIG_VU_CAP_MAX_DATA_XFER_SIZE |
				      VMIG_VU_CAP_MAX_DMA_MAPS | VMIG_VU_CAP_PGSIZES |
				      VMIG_VU_CAP_WRITE_MULTIPLE | VMIG_VU_CAP_MIGRATION,
			   .max_msg_fds = 16,
			   .max_data_xfer_size = 1048576,
			   .max_dma_maps = 65535,
			   .pgsizes = 4096,
			   .write_multiple = true,
			   .migration_pgsize = 4096,
			   .migration_max_bitmap_size = 268435456 } } },
	  { 20 } },
	{ "version.no-json",
	  { .h = { 1, VMIG_VU_VERSION },
	    .version = { 0,
			 1,
			 { .max_msg_fds = 1,
			   .max_data_xfer_size = 1048576,
			   .max_dma_maps = 65535,
			   .pgsizes = 4096 } } } },
	{ "version-reply",
	  { .h = REPLY(1),
	    .version = { 0,
			 0,
			 { .present = VMIG_VU_CAP_MAX_MSG_FDS | VMIG_VU_CAP_TWIN_SOCKET |
				      VMIG_VU_CAP_TWIN_FD_INDEX | VMIG_VU_CAP_PRECOPY_INFO |
				      VMIG_VU_CAP_DEVICE_INFO,
			   .max_msg_fds = 8,
			   .max_data_xfer_size = 1048576,
			   .max_dma_maps = 65535,
			   .pgsizes = 4096,
			   .twin_socket = true,
			   .twin_fd_index = 0,
			   .precopy_info = true } } },
	  { 20 } },
	{ "dma-map", { .h = CMD(2), .dma_map = { 32, 3, 0x1000, 0x80000000, 0x200000 } } },
	{ "dma-map-reply", { .h = REPLY(2) } },
	{ "dma-map-reply.error", { .h = { 2, 2, 0, VMIG_VU_TYPE_REPLY | VMIG_VU_ERROR, EEXIST } } },
	{ "dma-unmap", { .h = CMD(3), .dma_unmap = { 24, 0, 0x80000000, 0x200000 } } },
	{ "dma-unmap-reply", { .h = REPLY(3), .dma_unmap = { 24, 0, 0x80000000, 0x200000 } } },
	{ "device-info", { .h = CMD(4), .device_info = { 16, 0, 0, 0 } } },
	{ "device-info-reply",
	  { .h = REPLY(4), .device_info = { 16, VMIG_DEVICE_FLAG_RESET | VMIG_DEVICE_FLAG_PCI, 9, 5 } } },
	{ "region-info", { .h = CMD(5), .region_info = { .argsz = 4096, .index = 2 } } },
	{ "region-info-reply",
	  { .h = REPLY(5),
	    .region_info = { .argsz = 32, .flags = 3, .index = 2, .size = 4096, .offset = 0x2000000 } } },
	{ "region-info-reply.caps",
	  { .h = REPLY(5),
	    .region_info = { .argsz = 96,
			     .flags = 15,
			     .index = 2,
			     .size = 0x4000,
			     .offset = 0x2000000,
			     .caps = VMIG_VU_HAS_SPARSE | VMIG_VU_HAS_TYPE,
			     .n_areas = 2,
			     .areas = { { 0x1000, 0x1000 }, { 0x3000, 0x1000 } },
			     .type = 0x80008086,
			     .subtype = 1 } },
	  { 16 + 32 } },
	{ "region-info-reply.argsz",
	  { .h = REPLY(5),
	    .region_info = { .argsz = 96, .flags = 15, .index = 2, .size = 0x4000, .offset = 0x2000000 } } },
	{ "io-fds", { .h = CMD(6), .io_fds = { 512, 0, 0, 0, 0 } } },
	{ "io-fds-reply",
	  { .h = REPLY(6),
	    .io_fds = { 96, 0, 0, 2, 2 },
	    .io_fd = { { 0x1000, 4, 0, VMIG_VU_IO_FD_IOEVENTFD, 1, 7 },
		       { 0x1004, 0, 1, VMIG_VU_IO_FD_IOEVENTFD, 0, 0 } } },
	  { 16 + 16 } },
	{ "io-fds-reply.argsz", { .h = REPLY(6), .io_fds = { 96, 0, 0, 2, 0 } } },
	{ "irq-info", { .h = CMD(7), .irq_info = { 16, 0, 2, 0 } } },
	{ "irq-info-reply",
	  { .h = REPLY(7), .irq_info = { 16, VMIG_VU_IRQ_EVENTFD | VMIG_VU_IRQ_NORESIZE, 2, 2048 } } },
	{ "set-irqs",
	  { .h = CMD(8),
	    .set_irqs = { 20, VMIG_IRQ_DATA_EVENTFD | VMIG_IRQ_ACTION_TRIGGER, 2, 1, 3, NULL } } },
	{ "set-irqs.bools",
	  { .h = CMD(8), .set_irqs = { 23, VMIG_IRQ_DATA_BOOL | VMIG_IRQ_ACTION_UNMASK, 0, 0, 3, bools } } },
	{ "set-irqs.off",
	  { .h = CMD(8), .set_irqs = { 20, VMIG_IRQ_DATA_NONE | VMIG_IRQ_ACTION_TRIGGER, 2, 0, 0, NULL } } },
	{ "set-irqs-reply", { .h = REPLY(8) } },
	{ "region-read", { .h = CMD(9), .region_rw = { 4, 7, 4 } } },
	{ "region-read-reply",
	  { .h = REPLY(9), .region_rw = { 4, 7, 4 }, .data = command_was, .data_len = 4 } },
	{ "region-write",
	  { .h = { 10, 10, 0, VMIG_VU_NO_REPLY },
	    .region_rw = { 4, 7, 4 },
	    .data = command_is,
	    .data_len = 4 } },
	{ "region-write-reply", { .h = REPLY(10), .region_rw = { 4, 7, 4 } } },
	{ "dma-read", { .h = FROM_SERVER(1, VMIG_VU_DMA_READ, 0), .dma_rw = { 0x80000000, 8 } } },
	{ "dma-read-reply",
	  { .h = FROM_SERVER(1, VMIG_VU_DMA_READ, 1),
	    .dma_rw = { 0x80000000, 8 },
	    .data = bytes_1_to_8,
	    .data_len = 8 } },
	{ "dma-write",
	  { .h = FROM_SERVER(2, VMIG_VU_DMA_WRITE, 0),
	    .dma_rw = { 0x80000000, 8 },
	    .data = bytes_1_to_8,
	    .data_len = 8 } },
	{ "dma-write-reply",
	  { .h = FROM_SERVER(2, VMIG_VU_DMA_WRITE, 1), .dma_rw = { 0x80000000, 8 } },
	  { 16 + 12 } },
	{ "reset", { .h = CMD(13) } },
	{ "reset-reply", { .h = REPLY(13) } },
	{ "write-multi",
	  { .h = CMD(15),
	    .write_count = 2,
	    .one = { { 0x1000, 0, 4, { 42 } }, { 0x1008, 1, 1, { 255 } } } } },
	{ "write-multi-reply", { .h = REPLY(15), .write_count = 2 } },
	{ "migration", { .h = CMD(16), .feature = FEATURE(GET, MIGRATION, 16) } },
	{ "migration-reply", { .h = REPLY(16), .feature = FEATURE(GET, MIGRATION, 16), .u64 = 7 } },
	{ "mig-state-get", { .h = CMD(16), .feature = FEATURE(GET, MIG_DEVICE_STATE, 16) } },
	{ "mig-state-get-reply",
	  { .h = REPLY(16),
	    .feature = FEATURE(GET, MIG_DEVICE_STATE, 16),
	    .mig_state = { VMIG_STATE_PRE_COPY, -1 } } },
	{ "mig-state-set",
	  { .h = CMD(16),
	    .feature = FEATURE(SET, MIG_DEVICE_STATE, 16),
	    .mig_state = { VMIG_STATE_STOP_COPY, -1 } } },
	{ "mig-state-set-reply",
	  { .h = REPLY(16),
	    .feature = FEATURE(SET, MIG_DEVICE_STATE, 16),
	    .mig_state = { VMIG_STATE_STOP_COPY, -1 } } },
	{ "log-start",
	  { .h = CMD(16),
	    .feature = FEATURE(SET, DMA_LOGGING_START, 56),
	    .log_start = { 4096, 2 },
	    .range = { { 0, 0xa00000 }, { 0x100000000, 0x40000000 } } } },
	{ "log-start.all",
	  { .h = CMD(16), .feature = FEATURE(SET, DMA_LOGGING_START, 24), .log_start = { 4096, 0 } } },
	{ "log-start-reply",
	  { .h = REPLY(16), .feature = FEATURE(SET, DMA_LOGGING_START, 24), .log_start = { 65536, 0 } } },
	{ "log-stop", { .h = CMD(16), .feature = FEATURE(SET, DMA_LOGGING_STOP, 8) } },
	{ "log-stop-reply", { .h = REPLY(16), .feature = FEATURE(SET, DMA_LOGGING_STOP, 8) } },
	{ "log-report",
	  { .h = CMD(16),
	    .feature = FEATURE(GET, DMA_LOGGING_REPORT, 48),
	    .log_report = { 0x80000000, 0x50000, 4096, 16 } } },
	{ "log-report-reply",
	  { .h = REPLY(16),
	    .feature = FEATURE(GET, DMA_LOGGING_REPORT, 48),
	    .log_report = { 0x80000000, 0x50000, 4096, 16 },
	    .data = bitmap,
	    .data_len = 16 } },
	{ "dirty-start", { .h = CMD(14), .dirty_pages = { 8, VMIG_VU_DIRTY_START } } },
	{ "dirty-stop", { .h = CMD(14), .dirty_pages = { 8, VMIG_VU_DIRTY_STOP } } },
	{ "dirty-stop-reply", { .h = REPLY(14) } },
	{ "dirty-get",
	  { .h = CMD(14),
	    .dirty_pages = { 56, VMIG_VU_DIRTY_GET_BITMAP },
	    .log_report = { 0x80000000, 0x50000, 4096, 16 } } },
	{ "dirty-get-reply",
	  { .h = REPLY(14),
	    .dirty_pages = { 56, VMIG_VU_DIRTY_GET_BITMAP },
	    .log_report = { 0x80000000, 0x50000, 4096, 16 },
	    .data = bitmap,
	    .data_len = 16 },
	  { 16 } }, /* the reply of a STOP */
	{ "mig-data-size", { .h = CMD(16), .feature = FEATURE(GET, MIG_DATA_SIZE, 16) } },
	{ "mig-data-size-reply",
	  { .h = REPLY(16), .feature = FEATURE(GET, MIG_DATA_SIZE, 16), .u64 = 1u << 30 } },
	{ "precopy-info-v2", { .h = CMD(16), .feature = FEATURE(SET, MIG_PRECOPY_INFO_V2, 8) } },
	{ "precopy-info-v2-reply", { .h = REPLY(16), .feature = FEATURE(SET, MIG_PRECOPY_INFO_V2, 8) } },
	{ "probe", { .h = CMD(16), .feature = FEATURE(PROBE | GET | SET, MIG_DEVICE_STATE, 8) } },
	{ "probe-reply", { .h = REPLY(16), .feature = FEATURE(PROBE | GET | SET, MIG_DEVICE_STATE, 8) } },
	{ "mig-data-read", { .h = CMD(17), .mig_data = { 0x100008, 0x100000, 0 } } },
	{ "mig-data-read-reply",
	  { .h = REPLY(17), .mig_data = { 14, 6, 6 }, .data = bytes_1_to_8, .data_len = 6 } },
	{ "mig-data-read-reply.padded",
	  { .h = REPLY(17), .mig_data = { 16, 6, 8 }, .data = padded, .data_len = 8 },
	  { 16 + 8 + 6, 16 + 8 + 7 } },
	{ "mig-data-write", { .h = CMD(18), .mig_data = { 14, 6, 6 }, .data = bytes_1_to_8, .data_len = 6 } },
	{ "mig-data-write-reply", { .h = REPLY(18) } },
	{ "precopy-info", { .h = { 1, VMIG_VU_MIG_PRECOPY_INFO }, .query = { 8, 0 } } },
	{ "precopy-info-reply",
	  { .h = { 1, VMIG_VU_MIG_PRECOPY_INFO, 0, VMIG_VU_TYPE_REPLY },
	    .precopy_info = { 24, VMIG_PRECOPY_REINIT, 4096, 65536 } } },
	{ "identity", { .h = { 1, VMIG_VU_DEVICE_IDENTITY }, .query = { 0x90, 0 } } },
	{ "identity-reply",
	  { .h = { 1, VMIG_VU_DEVICE_IDENTITY, 0, VMIG_VU_TYPE_REPLY },
	    .identity = { 34, VMIG_TRAIT_LENDS,
			  VMIG_HAS_PRECOPY_INFO | VMIG_HAS_STOP_COPY_SIZE | VMIG_HAS_DMA_LOG,
			  "pci:1b36:0f01/nic" } } },
	{ "descriptor", { .h = { 1, VMIG_VU_DEVICE_DESCRIPTOR }, .query = { 0x8000, 0 } } },
	{ "descriptor-reply",
	  { .h = { 1, VMIG_VU_DEVICE_DESCRIPTOR, 0, VMIG_VU_TYPE_REPLY },
	    .blob = { .argsz = 36, .len = 20 },
	    .data = (const uint8_t *)"{\"self\":[{\"a\":\"b\"}]}",
	    .data_len = 20 } },
	{ "opaque", { .h = { 1, VMIG_VU_DEVICE_OPAQUE }, .query = { 0x1010, 0 } } },
	{ "opaque-reply",
	  { .h = { 1, VMIG_VU_DEVICE_OPAQUE, 0, VMIG_VU_TYPE_REPLY },
	    .blob = { .argsz = 20, .len = 4 },
	    .data = (const uint8_t *)"VMDS",
	    .data_len = 4 } },
	{ "opaque-check",
	  { .h = { 1, VMIG_VU_DEVICE_OPAQUE_CHECK },
	    .blob = { .argsz = 20, .len = 4 },
	    .data = (const uint8_t *)"VMDS",
	    .data_len = 4 } },
	{ "opaque-check-reply",
	  { .h = { 1, VMIG_VU_DEVICE_OPAQUE_CHECK, 0, VMIG_VU_TYPE_REPLY },
	    .blob = { .argsz = 21, .code = 22, .len = 5 },
	    .data = (const uint8_t *)"other",
	    .data_len = 5 } },
	{ "tag", { .h = { 1, VMIG_VU_DEVICE_TAG }, .query = { 56, 0 } } },
	{ "tag-reply",
	  { .h = { 1, VMIG_VU_DEVICE_TAG, 0, VMIG_VU_TYPE_REPLY },
	    .tag = { 56,
		     0,
		     { { { 0x11, [15] = 0x1f } },
		       { { 0x22, [15] = 0x2f } },
		       { { 0x33, [15] = 0x3f } } } } } },
	{ "set-tag",
	  { .h = { 1, VMIG_VU_DEVICE_SET_TAG },
	    .tag = { 56, 0, { { { 0x11, [15] = 0x1f } }, { { 0x22, [15] = 0x2f } }, { { 0 } } } } } },
	{ "set-tag-reply", { .h = { 1, VMIG_VU_DEVICE_SET_TAG, 0, VMIG_VU_TYPE_REPLY } } },
};

static struct golden *vectors;
static unsigned int n_vectors;

static const struct golden *vector(const char *name)
{
	if (!vectors)
		vectors = golden_load(GOLDEN, &n_vectors);
	for (unsigned int i = 0; i < n_vectors; i++)
		if (!strcmp(vectors[i].name, name))
			return &vectors[i];
	return NULL;
}

static struct message *new_message(void)
{
	struct message *m = malloc(sizeof(*m));

	ck_assert_ptr_nonnull(m);
	return m;
}

/* An exact copy on the heap, so that a sanitizer sees any step over its end. */
static uint8_t *exact(const void *bytes, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, bytes, len);
	return copy;
}

static void assert_same(const char *name, const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	size_t at = 0;

	while (at < MIN(a_len, b_len) && a[at] == b[at])
		at++;
	ck_assert_msg(at == a_len && at == b_len, "%s: %zu and %zu bytes, they differ at %zu", name, a_len,
		      b_len, at);
}

TEST(what_is_meant_encodes_to_the_golden_bytes)
{
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		const struct golden *g = vector(expected[i].name);
		uint8_t room[GOLDEN_MAX_LEN];

		if (!strcmp(expected[i].name, "version.no-json"))
			continue; /* ours always has JSON */
		ck_assert_msg(g != NULL, "no vector %s", expected[i].name);
		assert_same(g->name, room, message_encode(&expected[i].m, room, sizeof(room)), g->bytes,
			    g->len);
	}
	free(vectors);
}

TEST(golden_bytes_decode_to_what_is_meant)
{
	struct message *m = new_message();

	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		const struct golden *g = vector(expected[i].name);
		uint8_t a[GOLDEN_MAX_LEN], b[GOLDEN_MAX_LEN];
		int r = message_decode(g->bytes, g->len, m);

		ck_assert_msg(!r, "%s: %d", g->name, r);
		/* Compared by what they encode to, since structs have holes; and what is not on the wire by itself. */
		assert_same(g->name, a, message_encode(m, a, sizeof(a)), b,
			    message_encode(&expected[i].m, b, sizeof(b)));
		if (m->h.command == VMIG_VU_DEVICE_GET_REGION_IO_FDS)
			ck_assert_uint_eq(m->io_fds.n_here, expected[i].m.io_fds.n_here);
		if (m->feature.flags == (GET | VMIG_VU_FEATURE_DMA_LOGGING_REPORT))
			ck_assert_uint_eq(m->log_report.bitmap_len, 16);
		if (m->h.command == VMIG_VU_VERSION)
			ck_assert_uint_eq(m->version.caps.max_data_xfer_size,
					  expected[i].m.version.caps.max_data_xfer_size);
	}
	free(m);
	free(vectors);
}

TEST(every_kind_has_a_vector_and_every_vector_a_meaning)
{
	ck_assert_ptr_null(vector(""));
	for (unsigned int i = 0; i < message_n_kinds; i++)
		ck_assert_msg(vector(message_kinds[i].name) != NULL, "no vector %s", message_kinds[i].name);
	ck_assert_uint_eq(n_vectors, ARRAY_SIZE(expected));
	free(vectors);
}

static bool may_be_shorter(const struct expected *e, size_t len)
{
	return len == e->shorter[0] || len == e->shorter[1];
}

/* Cut off, with the header saying so or still promising the whole. */
static void cut_off(const struct expected *e, const struct golden *g, size_t len, struct message *m)
{
	uint8_t *bytes = exact(g->bytes, len);
	struct vmig_vu_header h;
	struct vmig_cursor c = vmig_cursor_over(bytes, len);
	int r;

	if (len < VMIG_VU_HEADER_SIZE) {
		r = vmig_vu_header_decode(&c, &h);
		ck_assert_msg(r == -EPROTO, "%s: a header of %zu bytes: %d", g->name, len, r);
		free(bytes);
		return;
	}
	ck_assert_int_eq(vmig_vu_header_decode(&c, &h), 0);
	message_decode_payload(&h, &c, m); /* may be happy with an optional part missing; must stay inside */
	memcpy(bytes + 4, &(uint32_t){ (uint32_t)len }, 4);
	r = message_decode(bytes, len, m);
	if (may_be_shorter(e, len))
		ck_assert_msg(!r, "%s: %zu of its bytes are a message: %d", g->name, len, r);
	else
		ck_assert_msg(r == -EPROTO, "%s: cut off at %zu: %d", g->name, len, r);
	free(bytes);
}

TEST(cut_off_anywhere_it_is_refused)
{
	struct message *m = new_message();

	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		const struct golden *g = vector(expected[i].name);

		for (size_t len = 0; len < g->len; len++)
			cut_off(&expected[i], g, len, m);
	}
	free(m);
	free(vectors);
}

/* The receiver's question: how much to read before decoding, and may it be so large? */
TEST(fixed_size_ends_where_bulk_data_begins)
{
	struct message *m = new_message();

	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		const struct golden *g = vector(expected[i].name);

		ck_assert_int_eq(message_decode(g->bytes, g->len, m), 0);
		/* The bytes of a blob are decoded with it: they are no bulk data. */
		if (m->h.command >= VMIG_VU_DEVICE_DESCRIPTOR)
			m->data_len = 0;
		ck_assert_msg(VMIG_VU_HEADER_SIZE + vmig_vu_fixed_size(&m->h) == g->len - m->data_len,
			      "%s: %u", g->name, vmig_vu_fixed_size(&m->h));
		ck_assert_uint_le(vmig_vu_fixed_size(&m->h), VMIG_VU_FIXED_MAX);
	}
	free(m);
	free(vectors);
}

/* Encode into a room of every size up to the right one: refused, nothing written outside. */
TEST(too_little_room_is_noticed)
{
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		const struct golden *g = vector(expected[i].name);
		uint8_t whole[GOLDEN_MAX_LEN];
		size_t full = message_encode(&expected[i].m, whole, sizeof(whole));

		ck_assert_uint_gt(full, 0);
		for (size_t len = 0; len <= full; len++) {
			uint8_t *room = malloc(len ? len : 1);

			ck_assert_msg(message_encode(&expected[i].m, room, len) == (len == full ? full : 0),
				      "%s: %zu", g->name, len);
			free(room);
		}
	}
	free(vectors);
}

static void round_trip(const struct kind *kind, unsigned int *seed, const uint8_t *data, uint8_t *room,
		       size_t room_len)
{
	struct message *m = new_message(), *back = new_message();
	uint8_t *first, *again = room + room_len / 2;
	size_t len, again_len;
	int r;

	message_random(kind, seed, data, m);
	len = message_encode(m, room, room_len / 2);
	ck_assert_msg(len != 0, "%s", kind->name);
	first = exact(room, len);
	r = message_decode(first, len, back);
	ck_assert_msg(!r, "%s: %d", kind->name, r);
	again_len = message_encode(back, again, room_len / 2);
	assert_same(kind->name, first, len, again, again_len);
	ck_assert_int_eq(back->h.error, m->h.error);
	free(first);
	free(m);
	free(back);
}

TEST(random_contents_come_back)
{
	unsigned int seed = harness_seed();
	size_t room_len = 4u << 16;
	uint8_t *data = malloc(MESSAGE_RANDOM_DATA), *room = malloc(room_len);

	for (size_t i = 0; i < MESSAGE_RANDOM_DATA; i++)
		data[i] = (uint8_t)rand_r(&seed);
	for (unsigned int i = 0; i < message_n_kinds; i++)
		for (int n = 0; n < 200; n++)
			round_trip(&message_kinds[i], &seed, data, room, room_len);
	free(data);
	free(room);
}

TEST(commands_have_names)
{
	ck_assert_str_eq(vmig_vu_command_name(VMIG_VU_REGION_READ), "REGION_READ");
	ck_assert_str_eq(vmig_vu_command_name(VMIG_VU_DEVICE_IDENTITY), "DEVICE_IDENTITY");
	ck_assert_str_eq(vmig_vu_command_name(VMIG_VU_DIRTY_PAGES), "DIRTY_PAGES");
	for (uint32_t command = 0; command < 65536; command++) {
		bool known = (command >= VMIG_VU_VERSION && command <= VMIG_VU_MIG_DATA_WRITE) ||
			     (command >= VMIG_VU_MIG_PRECOPY_INFO && command < VMIG_VU_EXPERIMENTAL_END);

		ck_assert_msg(!vmig_vu_command_name((uint16_t)command) == !known, "%u", command);
	}
}

HARNESS("vfio-user", T(what_is_meant_encodes_to_the_golden_bytes), T(golden_bytes_decode_to_what_is_meant),
	T(every_kind_has_a_vector_and_every_vector_a_meaning), T(cut_off_anywhere_it_is_refused),
	T(fixed_size_ends_where_bulk_data_begins), T(too_little_room_is_noticed),
	T(random_contents_come_back), T(commands_have_names))
