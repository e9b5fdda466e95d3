/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * messages - one whole vfio-user message in host form, for tests and fuzz targets.
 *
 * The library's decoders work part by part; here they are put together as a receiver does it, so that
 * one function takes any message apart and one puts it together again.
 */
#ifndef VMIG_TESTS_WIRE_MESSAGES_H
#define VMIG_TESTS_WIRE_MESSAGES_H

#include "wire/vfio_user.h"

/** A kind of message: what tells which decoder takes it. @feature only with DEVICE_FEATURE and DIRTY_PAGES. */
struct kind {
	const char *name;
	uint16_t command;
	bool reply;
	uint32_t feature; /* flags of struct vmig_vu_feature, vmig_vu_dirty_pages */
};

extern const struct kind message_kinds[];
extern const unsigned int message_n_kinds;

struct message {
	struct vmig_vu_header h;
	struct vmig_vu_feature feature;
	struct vmig_vu_dirty_pages dirty_pages;
	union {
		struct vmig_vu_version version;
		struct vmig_vu_dma_map dma_map;
		struct vmig_vu_dma_unmap dma_unmap;
		struct vmig_vu_device_info device_info;
		struct vmig_vu_region_info region_info;
		struct vmig_vu_io_fds io_fds;
		struct vmig_vu_irq_info irq_info;
		struct vmig_vu_set_irqs set_irqs;
		struct vmig_vu_region_rw region_rw;
		struct vmig_vu_dma_rw dma_rw;
		uint32_t write_count;
		uint64_t u64; /* MIGRATION, MIG_DATA_SIZE */
		struct vmig_vu_mig_state mig_state;
		struct vmig_vu_log_start log_start;
		struct vmig_vu_log_report log_report;
		struct vmig_vu_mig_data mig_data;
		struct vmig_vu_query query;
		struct vmig_vu_precopy_info precopy_info;
		struct vmig_vu_identity identity;
		struct vmig_vu_tag tag;
		struct vmig_vu_blob blob; /* its bytes are @data */
	};
	/* The entries of an array: as many as its message says. */
	union {
		struct vmig_vu_io_fd io_fd[VMIG_VU_IO_FDS_MAX];
		struct vmig_vu_write_one one[VMIG_LIMIT_WRITE_MULTI];
		struct vmig_range range[VMIG_LIMIT_LOG_RANGES];
	};
	/* Bulk data, where it lies in what was decoded. */
	const uint8_t *data;
	size_t data_len;
};

/** The data limit that decoding is done with. */
#define MESSAGE_MAX_XFER VMIG_LIMIT_XFER_DEFAULT

/** Take apart the message of @len bytes with its header. 0, or what the first decoder that refused said. */
int message_decode(const void *bytes, size_t len, struct message *ret);
/** The same behind the header, which is given. */
int message_decode_payload(const struct vmig_vu_header *h, struct vmig_cursor *c, struct message *ret);
/** Put it together; the header's size is set to what it comes to. Returns the length, 0: no room. */
size_t message_encode(const struct message *m, void *room, size_t room_len);

/** The message of this kind with random contents that are valid. @data: at least MESSAGE_RANDOM_DATA bytes. */
#define MESSAGE_RANDOM_DATA 65536u
void message_random(const struct kind *kind, unsigned int *seed, const uint8_t *data, struct message *ret);

#endif
