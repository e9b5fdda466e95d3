/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * vfio_user - the messages of vfio-user. Pure: bytes to structs and back, no I/O, no state.
 *
 * A message is a header, a small fixed part, and for some commands bulk data, which these functions
 * never touch: it stays where it lies. To send: encode header and fixed part into a buffer on the
 * stack (VMIG_VU_HEADER_SIZE + VMIG_VU_FIXED_MAX) and put the data behind it with an iovec. To receive:
 * read the header, vmig_vu_header_decode(), vmig_vu_header_check(); read vmig_vu_fixed_size() bytes and
 * decode them; then read the data straight to its place.
 *
 * Decoders take a cursor over the bytes behind the header. Those of messages with bulk data take the
 * header as well: from it they know the direction, and how many bytes follow the fixed part, received
 * or not; and @max, the data limit that was agreed on. A decoder leaves the cursor at the data (or at
 * the array's first entry) and says
 *   0            *ret is filled in, and every count in it fits what is there and its limit
 *   -EPROTO      too short, or it contradicts itself (*ret is not to be used; a server answers EINVAL)
 *   -E2BIG       a size over a named limit or over @max
 *   -EOPNOTSUPP  a form that is known and not spoken
 * Requests and replies of one command share a struct where they share a layout. Bytes behind a struct
 * that has an argsz are ignored: newer peers append. Behind any other struct they are -EPROTO.
 *
 * Encoders write what they are given. Too little room makes the cursor bad: ask vmig_cursor_ok().
 */
#ifndef VMIG_WIRE_VFIO_USER_H
#define VMIG_WIRE_VFIO_USER_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vmig/device.h>

#include "base/limits.h"
#include "base/util.h"
#include "wire/cursor.h"

/* --- header ------------------------------------------------------------------------------- */

enum vmig_vu_command {
	VMIG_VU_VERSION = 1,
	VMIG_VU_DMA_MAP = 2,
	VMIG_VU_DMA_UNMAP = 3,
	VMIG_VU_DEVICE_GET_INFO = 4,
	VMIG_VU_DEVICE_GET_REGION_INFO = 5,
	VMIG_VU_DEVICE_GET_REGION_IO_FDS = 6,
	VMIG_VU_DEVICE_GET_IRQ_INFO = 7,
	VMIG_VU_DEVICE_SET_IRQS = 8,
	VMIG_VU_REGION_READ = 9,
	VMIG_VU_REGION_WRITE = 10,
	VMIG_VU_DMA_READ = 11,  /* server to client */
	VMIG_VU_DMA_WRITE = 12, /* server to client */
	VMIG_VU_DEVICE_RESET = 13,
	VMIG_VU_DIRTY_PAGES = 14, /* of v1 times: with devices that have a migration region */
	VMIG_VU_REGION_WRITE_MULTI = 15,
	VMIG_VU_DEVICE_FEATURE = 16,
	VMIG_VU_MIG_DATA_READ = 17,
	VMIG_VU_MIG_DATA_WRITE = 18,
	/* Experimental: only to a peer that agreed to "x-vmig" in VERSION. */
	VMIG_VU_MIG_PRECOPY_INFO = 0x7601,
	VMIG_VU_DEVICE_IDENTITY = 0x7602,
	VMIG_VU_DEVICE_DESCRIPTOR = 0x7603,
	VMIG_VU_DEVICE_OPAQUE = 0x7604,
	VMIG_VU_DEVICE_OPAQUE_CHECK = 0x7605,
	VMIG_VU_DEVICE_TAG = 0x7606,
	VMIG_VU_DEVICE_SET_TAG = 0x7607,
	VMIG_VU_EXPERIMENTAL_END, /* they are numbered without a gap */
};

/** "REGION_READ", or NULL if this library does not know the command. */
const char *vmig_vu_command_name(uint16_t command);

/* Bits of the header's flags. */
#define VMIG_VU_TYPE_MASK    0xfu
#define VMIG_VU_TYPE_COMMAND 0u
#define VMIG_VU_TYPE_REPLY   1u
#define VMIG_VU_NO_REPLY     (1u << 4)
#define VMIG_VU_ERROR        (1u << 5)

#define VMIG_VU_HEADER_SIZE 16u

struct vmig_vu_header {
	uint16_t id;      /* the sender's, echoed in the reply */
	uint16_t command; /* enum vmig_vu_command, or one that we do not know */
	uint32_t size;    /* of the whole message */
	uint32_t flags;
	uint32_t error; /* errno, with VMIG_VU_ERROR */
};

/** -EPROTO: short, size below that of a header, neither command nor reply, a command with the error bit. */
MUST_USE int vmig_vu_header_decode(struct vmig_cursor *c, struct vmig_vu_header *ret);
void vmig_vu_header_encode(struct vmig_cursor *c, const struct vmig_vu_header *h);

static inline bool vmig_vu_is_reply(const struct vmig_vu_header *h)
{
	return (h->flags & VMIG_VU_TYPE_MASK) == VMIG_VU_TYPE_REPLY;
}

/** Bytes behind the header. */
static inline uint32_t vmig_vu_payload(const struct vmig_vu_header *h)
{
	return h->size - VMIG_VU_HEADER_SIZE;
}

/** 0, or of an error reply the negative errno; -EREMOTEIO if it names none, or none that can be. */
int vmig_vu_header_errno(const struct vmig_vu_header *h);

/**
 * May a message of this command be so large? Ask before anything is allocated for it. @max: the data
 * limit agreed on. 0, -E2BIG; an unknown command may have VMIG_VU_UNKNOWN_MAX bytes, to be skipped.
 */
MUST_USE int vmig_vu_header_check(const struct vmig_vu_header *h, uint32_t max);
#define VMIG_VU_UNKNOWN_MAX 65536u

/**
 * The bytes behind the header that must be received before they are decoded: of a message with bulk
 * data its fixed part (the data begins behind it), of any other the whole payload. Never more than the
 * payload; a truncated fixed part is for the decoder to refuse.
 */
uint32_t vmig_vu_fixed_size(const struct vmig_vu_header *h);

/** Room for the fixed part of every message but VERSION, and but for the arrays of WRITE_MULTI and DMA_LOGGING_START. */
#define VMIG_VU_FIXED_MAX 1024u
/** And for VERSION. */
#define VMIG_VU_VERSION_MAX (4u + VMIG_LIMIT_VERSION_JSON)

/* --- VERSION ------------------------------------------------------------------------------ */

#define VMIG_VU_MAJOR 0u
#define VMIG_VU_MINOR 0u

/* Which capabilities were named: a reply offers only those that were proposed. */
#define VMIG_VU_CAP_MAX_MSG_FDS        (1u << 0)
#define VMIG_VU_CAP_MAX_DATA_XFER_SIZE (1u << 1)
#define VMIG_VU_CAP_MAX_DMA_MAPS       (1u << 2)
#define VMIG_VU_CAP_PGSIZES            (1u << 3)
#define VMIG_VU_CAP_TWIN_SOCKET        (1u << 4)
#define VMIG_VU_CAP_TWIN_FD_INDEX      (1u << 5) /* replies only */
#define VMIG_VU_CAP_WRITE_MULTIPLE     (1u << 6)
#define VMIG_VU_CAP_MIGRATION          (1u << 7)
#define VMIG_VU_CAP_PRECOPY_INFO       (1u << 8)  /* x-vmig.precopy_info */
#define VMIG_VU_CAP_DEVICE_INFO        (1u << 9)  /* x-vmig.device_info */
#define VMIG_VU_CAP_COMPAT             (1u << 20) /* x-vmig.compat */
#define VMIG_VU_CAP_TAG                (1u << 21) /* x-vmig.tag */
#define VMIG_VU_CAP_TAKE               (1u << 22) /* x-vmig.take: the device was, or is to be, taken from its user */
#define VMIG_VU_CAP_X_VMIG                                                                                   \
	(VMIG_VU_CAP_PRECOPY_INFO | VMIG_VU_CAP_DEVICE_INFO | VMIG_VU_CAP_COMPAT | VMIG_VU_CAP_TAG |         \
	 VMIG_VU_CAP_TAKE)

/** After decoding, one that was not named has the protocol's default. Encoding names those in @present. */
struct vmig_vu_caps {
	uint32_t present;            /* VMIG_VU_CAP_* */
	uint32_t max_msg_fds;        /* descriptors in one message; more than our limit is cut to it */
	uint32_t max_data_xfer_size; /* likewise */
	uint32_t max_dma_maps;       /* likewise */
	uint64_t pgsizes;
	bool twin_socket;
	uint32_t twin_fd_index; /* which of the reply's descriptors is the twin socket */
	bool write_multiple;
	uint64_t migration_pgsize, migration_max_bitmap_size; /* 0: not named */
	bool precopy_info, device_info, compat, tag, take;
};

/** The protocol's defaults, nothing present. */
extern const struct vmig_vu_caps vmig_vu_caps_default;

struct vmig_vu_version {
	uint16_t major, minor;
	struct vmig_vu_caps caps;
};

/** Also -ENOMEM. -EPROTO: no NUL at the end, no JSON, a key twice, a wrong type, a number that is
 *  negative, or that must not be zero and is, or does not fit 32 bits. Unknown keys are ignored. */
MUST_USE int vmig_vu_version_decode(struct vmig_cursor *c, struct vmig_vu_version *ret);
/** 0, -ENOMEM. */
MUST_USE int vmig_vu_version_encode(struct vmig_cursor *c, const struct vmig_vu_version *v);

/* --- DMA_MAP, DMA_UNMAP ------------------------------------------------------------------- */

#define VMIG_VU_DMA_MAP_SIZE   32u
#define VMIG_VU_DMA_UNMAP_SIZE 24u

#define VMIG_VU_DMA_MAP_READ  (1u << 0)
#define VMIG_VU_DMA_MAP_WRITE (1u << 1)

struct vmig_vu_dma_map {
	uint32_t argsz, flags; /* VMIG_VU_DMA_MAP_*; values as VMIG_DMA_READ, VMIG_DMA_WRITE */
	uint64_t offset;       /* in the descriptor that comes with the message, if one does */
	uint64_t address, size;
};

/** Unknown flags are -EPROTO. Whether address and size are good is the mapping code's affair. */
MUST_USE int vmig_vu_dma_map_decode(struct vmig_cursor *c, struct vmig_vu_dma_map *ret);
void vmig_vu_dma_map_encode(struct vmig_cursor *c, const struct vmig_vu_dma_map *m);

#define VMIG_VU_DMA_UNMAP_DIRTY_BITMAP (1u << 0) /* of v1 times: decoding it is -EOPNOTSUPP */
#define VMIG_VU_DMA_UNMAP_ALL          (1u << 1) /* address and size must be 0 */

/** Request and reply. */
struct vmig_vu_dma_unmap {
	uint32_t argsz, flags;
	uint64_t address, size;
};

MUST_USE int vmig_vu_dma_unmap_decode(struct vmig_cursor *c, struct vmig_vu_dma_unmap *ret);
void vmig_vu_dma_unmap_encode(struct vmig_cursor *c, const struct vmig_vu_dma_unmap *m);

/* --- DEVICE_GET_INFO ---------------------------------------------------------------------- */

#define VMIG_VU_DEVICE_INFO_SIZE 16u

/** Request (only argsz counts) and reply. */
struct vmig_vu_device_info {
	uint32_t argsz, flags; /* flags as VMIG_DEVICE_FLAG_* */
	uint32_t num_regions, num_irqs;
};

/** -E2BIG: more regions or interrupt indices than VMIG_LIMIT_REGIONS, VMIG_LIMIT_IRQ_INDICES. */
MUST_USE int vmig_vu_device_info_decode(struct vmig_cursor *c, struct vmig_vu_device_info *ret);
void vmig_vu_device_info_encode(struct vmig_cursor *c, const struct vmig_vu_device_info *m);

/* --- DEVICE_GET_REGION_INFO --------------------------------------------------------------- */

#define VMIG_VU_REGION_INFO_SIZE 32u /* without capabilities */
#define VMIG_VU_REGION_INFO_MAX  (32u + 16u + 16u * VMIG_REGION_AREAS_MAX + 16u)

#define VMIG_VU_REGION_CAPS (1u << 3) /* beside VMIG_REGION_READ, _WRITE, _MMAP */

#define VMIG_VU_HAS_SPARSE (1u << 0)
#define VMIG_VU_HAS_TYPE   (1u << 1)

/** Request (argsz, index) and reply. */
struct vmig_vu_region_info {
	uint32_t argsz, flags;
	uint32_t index;
	uint64_t size, offset;
	uint32_t caps; /* VMIG_VU_HAS_*: the capabilities that are here; the chain is made from these */
	uint32_t n_areas;
	struct vmig_area areas[VMIG_REGION_AREAS_MAX];
	uint32_t type, subtype;
};

/**
 * The chain of capabilities is walked if it is there (argsz tells if there would be one). A chain that
 * loops, overlaps or points outside, and an area outside the region, are -EPROTO; unknown capabilities
 * are skipped; more areas than VMIG_REGION_AREAS_MAX are -E2BIG.
 */
MUST_USE int vmig_vu_region_info_decode(struct vmig_cursor *c, struct vmig_vu_region_info *ret);
/** The fixed part, and the chain of what is in @caps: then VMIG_VU_REGION_CAPS is set as well. */
void vmig_vu_region_info_encode(struct vmig_cursor *c, const struct vmig_vu_region_info *m);
/** What encoding it takes. */
uint32_t vmig_vu_region_info_size(const struct vmig_vu_region_info *m);
/** The rule of argsz, for a reply: say what it takes, and leave the chain out if @request_argsz is less. */
void vmig_vu_region_info_fit(struct vmig_vu_region_info *m, uint32_t request_argsz);

/* --- DEVICE_GET_REGION_IO_FDS ------------------------------------------------------------- */

#define VMIG_VU_IO_FDS_SIZE 16u
#define VMIG_VU_IO_FD_SIZE  40u
#define VMIG_VU_IO_FDS_MAX  VMIG_LIMIT_MSG_FDS /* entries */

/** Request and reply; @count entries follow in a reply, or none of them when the request's argsz was too small. */
struct vmig_vu_io_fds {
	uint32_t argsz, flags, index, count;
	uint32_t n_here; /* decoded: entries that are there, 0 or count. Not on the wire. */
};

MUST_USE int vmig_vu_io_fds_decode(struct vmig_cursor *c, struct vmig_vu_io_fds *ret);
void vmig_vu_io_fds_encode(struct vmig_cursor *c, const struct vmig_vu_io_fds *m);

#define VMIG_VU_IO_FD_IOEVENTFD  0u
#define VMIG_VU_IO_FD_IOREGIONFD 1u
#define VMIG_VU_IO_FD_SHADOW     2u

struct vmig_vu_io_fd {
	uint64_t offset, size;
	uint32_t fd_index, type, flags;
	uint64_t datamatch; /* an ioregionfd's user_data */
};

MUST_USE int vmig_vu_io_fd_decode(struct vmig_cursor *c, struct vmig_vu_io_fd *ret);
void vmig_vu_io_fd_encode(struct vmig_cursor *c, const struct vmig_vu_io_fd *m);

/* --- DEVICE_GET_IRQ_INFO, DEVICE_SET_IRQS ------------------------------------------------- */

#define VMIG_VU_IRQ_INFO_SIZE 16u
#define VMIG_VU_SET_IRQS_SIZE 20u

#define VMIG_VU_IRQ_EVENTFD    (1u << 0)
#define VMIG_VU_IRQ_MASKABLE   (1u << 1)
#define VMIG_VU_IRQ_AUTOMASKED (1u << 2)
#define VMIG_VU_IRQ_NORESIZE   (1u << 3)

/** Request (argsz, index) and reply. */
struct vmig_vu_irq_info {
	uint32_t argsz, flags, index, count;
};

/** -E2BIG: count over VMIG_LIMIT_IRQS. */
MUST_USE int vmig_vu_irq_info_decode(struct vmig_cursor *c, struct vmig_vu_irq_info *ret);
void vmig_vu_irq_info_encode(struct vmig_cursor *c, const struct vmig_vu_irq_info *m);

struct vmig_vu_set_irqs {
	uint32_t argsz, flags; /* VMIG_IRQ_DATA_* | VMIG_IRQ_ACTION_* */
	uint32_t index, start, count;
	const uint8_t *bools; /* DATA_BOOL: count bytes where they lie in the message; else NULL */
};

/** -EPROTO: not exactly one kind of data and one action, or fewer bools than counted.
 *  -E2BIG: start + count over VMIG_LIMIT_IRQS. The descriptors of DATA_EVENTFD are the receiver's to count. */
MUST_USE int vmig_vu_set_irqs_decode(struct vmig_cursor *c, struct vmig_vu_set_irqs *ret);
/** With the bools, if there are any: see VMIG_LIMIT_IRQS for the room. */
void vmig_vu_set_irqs_encode(struct vmig_cursor *c, const struct vmig_vu_set_irqs *m);

/* --- REGION_READ, REGION_WRITE, REGION_WRITE_MULTI ---------------------------------------- */

#define VMIG_VU_REGION_RW_SIZE 16u

/** Both commands, both ways. @count bytes of data follow in the request of a write and in the reply of a read. */
struct vmig_vu_region_rw {
	uint64_t offset;
	uint32_t region, count;
};

MUST_USE int vmig_vu_region_rw_decode(struct vmig_cursor *c, const struct vmig_vu_header *h, uint32_t max,
				      struct vmig_vu_region_rw *ret);
void vmig_vu_region_rw_encode(struct vmig_cursor *c, const struct vmig_vu_region_rw *m);

#define VMIG_VU_WRITE_MULTI_SIZE 8u
#define VMIG_VU_WRITE_ONE_SIZE   24u

/** Request: *ret_count entries follow. Reply: so many were done. -E2BIG: over VMIG_LIMIT_WRITE_MULTI. */
MUST_USE int vmig_vu_write_multi_decode(struct vmig_cursor *c, const struct vmig_vu_header *h,
					uint32_t *ret_count);
void vmig_vu_write_multi_encode(struct vmig_cursor *c, uint32_t count);

struct vmig_vu_write_one {
	uint64_t offset;
	uint32_t region, count; /* at most 8 */
	uint8_t data[8];
};

MUST_USE int vmig_vu_write_one_decode(struct vmig_cursor *c, struct vmig_vu_write_one *ret);
void vmig_vu_write_one_encode(struct vmig_cursor *c, const struct vmig_vu_write_one *m);

/* --- DMA_READ, DMA_WRITE ------------------------------------------------------------------ */

#define VMIG_VU_DMA_RW_SIZE 16u

/** Both commands, both ways. @count bytes of data follow in the request of a write and in the reply of a read.
 *  The reply of a write may come with a count of 4 or of 8 bytes; it is sent with 8. */
struct vmig_vu_dma_rw {
	uint64_t address, count;
};

MUST_USE int vmig_vu_dma_rw_decode(struct vmig_cursor *c, const struct vmig_vu_header *h, uint32_t max,
				   struct vmig_vu_dma_rw *ret);
void vmig_vu_dma_rw_encode(struct vmig_cursor *c, const struct vmig_vu_dma_rw *m);

/* --- DEVICE_FEATURE ----------------------------------------------------------------------- */

#define VMIG_VU_FEATURE_SIZE 8u

#define VMIG_VU_FEATURE_INDEX 0xffffu /* mask */
#define VMIG_VU_FEATURE_GET   (1u << 16)
#define VMIG_VU_FEATURE_SET   (1u << 17)
#define VMIG_VU_FEATURE_PROBE (1u << 18)

enum vmig_vu_feature_index {
	VMIG_VU_FEATURE_MIGRATION = 1,
	VMIG_VU_FEATURE_MIG_DEVICE_STATE = 2,
	VMIG_VU_FEATURE_DMA_LOGGING_START = 6,
	VMIG_VU_FEATURE_DMA_LOGGING_STOP = 7,
	VMIG_VU_FEATURE_DMA_LOGGING_REPORT = 8,
	VMIG_VU_FEATURE_MIG_DATA_SIZE = 9,
	VMIG_VU_FEATURE_MIG_PRECOPY_INFO_V2 = 12, /* SET, no payload: REINIT may be reported */
};

/** Request and reply: the feature's own struct follows in a SET request, and in the replies of GET and SET. */
struct vmig_vu_feature {
	uint32_t argsz, flags; /* VMIG_VU_FEATURE_GET, _SET, _PROBE and the index */
};

/** -EPROTO: reserved flags, no operation, or GET and SET without PROBE. */
MUST_USE int vmig_vu_feature_decode(struct vmig_cursor *c, struct vmig_vu_feature *ret);
void vmig_vu_feature_encode(struct vmig_cursor *c, const struct vmig_vu_feature *m);

/* The features' own structs: the cursor is behind struct vmig_vu_feature. */

#define VMIG_VU_MIGRATION_SIZE 8u
/** Flags as VMIG_MIGRATION_*; unknown ones are kept. */
MUST_USE int vmig_vu_migration_decode(struct vmig_cursor *c, uint64_t *ret_flags);
void vmig_vu_migration_encode(struct vmig_cursor *c, uint64_t flags);

#define VMIG_VU_MIG_STATE_SIZE 8u
struct vmig_vu_mig_state {
	uint32_t device_state; /* VMIG_STATE_*, or one that we do not know */
	int32_t data_fd;       /* means nothing here; -1 is sent */
};

MUST_USE int vmig_vu_mig_state_decode(struct vmig_cursor *c, struct vmig_vu_mig_state *ret);
void vmig_vu_mig_state_encode(struct vmig_cursor *c, const struct vmig_vu_mig_state *m);

#define VMIG_VU_LOG_START_SIZE 16u
#define VMIG_VU_LOG_RANGE_SIZE 16u
/** @num_ranges ranges follow. None: everything is logged, in this dialect. */
struct vmig_vu_log_start {
	uint64_t page_size; /* a hint; the reply has the one chosen */
	uint32_t num_ranges;
};

/** -EPROTO: page size is no power of two, or fewer ranges than counted. -E2BIG: over VMIG_LIMIT_LOG_RANGES. */
MUST_USE int vmig_vu_log_start_decode(struct vmig_cursor *c, struct vmig_vu_log_start *ret);
void vmig_vu_log_start_encode(struct vmig_cursor *c, const struct vmig_vu_log_start *m);
/** -EPROTO: empty, or it wraps. */
MUST_USE int vmig_vu_log_range_decode(struct vmig_cursor *c, struct vmig_range *ret);
void vmig_vu_log_range_encode(struct vmig_cursor *c, const struct vmig_range *range);

#define VMIG_VU_LOG_REPORT_SIZE 24u
/** Request and reply; the bitmap follows in a reply. */
struct vmig_vu_log_report {
	uint64_t iova, length, page_size;
	uint64_t bitmap_len; /* decoded: the bytes that the bitmap takes. Not on the wire. */
};

/** -EPROTO: page size is no power of two, the range is empty or wraps. -E2BIG: bitmap over VMIG_LIMIT_MSG_BITMAP.
 *  Whether a reply's bitmap is as long is for the receiver to check: header, feature, report, bitmap_len. */
MUST_USE int vmig_vu_log_report_decode(struct vmig_cursor *c, struct vmig_vu_log_report *ret);
void vmig_vu_log_report_encode(struct vmig_cursor *c, const struct vmig_vu_log_report *m);
/* --- DIRTY_PAGES -------------------------------------------------------------------------- */

/*
 * As VFIO_IOMMU_DIRTY_PAGES. START and STOP are the request alone, and no reply's payload is needed. GET_BITMAP has
 * struct vmig_vu_bitmap_range behind it, in the request and in the reply, where the bitmap follows.
 */
#define VMIG_VU_DIRTY_PAGES_SIZE 8u
#define VMIG_VU_DIRTY_START      (1u << 0)
#define VMIG_VU_DIRTY_STOP       (1u << 1)
#define VMIG_VU_DIRTY_GET_BITMAP (1u << 2)

struct vmig_vu_dirty_pages {
	uint32_t argsz, flags; /* one of VMIG_VU_DIRTY_*; argsz: what the reply may have */
};

/** -EPROTO: argsz is below the message's own, or not exactly one operation. */
MUST_USE int vmig_vu_dirty_pages_decode(struct vmig_cursor *c, struct vmig_vu_dirty_pages *ret);
void vmig_vu_dirty_pages_encode(struct vmig_cursor *c, const struct vmig_vu_dirty_pages *m);

#define VMIG_VU_BITMAP_RANGE_SIZE 32u
/** The same as of a REPORT in another order, and the bitmap's length is on the wire. -EPROTO also: it is not that
 *  of so many pages. */
MUST_USE int vmig_vu_bitmap_range_decode(struct vmig_cursor *c, struct vmig_vu_log_report *ret);
void vmig_vu_bitmap_range_encode(struct vmig_cursor *c, const struct vmig_vu_log_report *m);

/** Bytes of the bitmap (u64s) of so many pages; page_size is a power of two. */
uint64_t vmig_vu_bitmap_len(uint64_t length, uint64_t page_size);

#define VMIG_VU_MIG_DATA_SIZE_SIZE 8u
MUST_USE int vmig_vu_mig_data_size_decode(struct vmig_cursor *c, uint64_t *ret_stop_copy_length);
void vmig_vu_mig_data_size_encode(struct vmig_cursor *c, uint64_t stop_copy_length);

/* --- MIG_DATA_READ, MIG_DATA_WRITE -------------------------------------------------------- */

#define VMIG_VU_MIG_DATA_SIZE 8u

/** Both commands, both ways (the reply of a write is a header only). */
struct vmig_vu_mig_data {
	uint32_t argsz;
	uint32_t size; /* bytes of data: asked for, or here */
	uint32_t
		data_len; /* decoded: bytes behind the fixed part; over @size in a padded reply. Not on the wire. */
};

MUST_USE int vmig_vu_mig_data_decode(struct vmig_cursor *c, const struct vmig_vu_header *h, uint32_t max,
				     struct vmig_vu_mig_data *ret);
void vmig_vu_mig_data_encode(struct vmig_cursor *c, const struct vmig_vu_mig_data *m);

/* --- experimental: MIG_PRECOPY_INFO, DEVICE_IDENTITY, what tells compatibility -------------------------------------- */

/** The requests of both. */
#define VMIG_VU_QUERY_SIZE 8u
struct vmig_vu_query {
	uint32_t argsz, flags; /* flags are 0 */
};

MUST_USE int vmig_vu_query_decode(struct vmig_cursor *c, struct vmig_vu_query *ret);
void vmig_vu_query_encode(struct vmig_cursor *c, const struct vmig_vu_query *m);

#define VMIG_VU_PRECOPY_INFO_SIZE 24u
/** The reply. */
struct vmig_vu_precopy_info {
	uint32_t argsz, flags; /* VMIG_PRECOPY_* */
	uint64_t initial_bytes, dirty_bytes;
};

MUST_USE int vmig_vu_precopy_info_decode(struct vmig_cursor *c, struct vmig_vu_precopy_info *ret);
void vmig_vu_precopy_info_encode(struct vmig_cursor *c, const struct vmig_vu_precopy_info *m);

#define VMIG_VU_IDENTITY_SIZE 16u /* without the string */
/** The reply. */
struct vmig_vu_identity {
	uint32_t argsz, traits;           /* VMIG_TRAIT_* */
	uint64_t has;                     /* VMIG_HAS_* */
	char identity[VMIG_IDENTITY_MAX]; /* on the wire as long as it is, with its NUL */
};

/** -EPROTO: no NUL, or characters that are not printable ASCII. -E2BIG: longer than VMIG_IDENTITY_MAX. */
MUST_USE int vmig_vu_identity_decode(struct vmig_cursor *c, struct vmig_vu_identity *ret);
void vmig_vu_identity_encode(struct vmig_cursor *c, const struct vmig_vu_identity *m);

#define VMIG_VU_TAG_SIZE 56u
/** The reply of DEVICE_TAG, and the request of DEVICE_SET_TAG (where the instance says nothing). */
struct vmig_vu_tag {
	uint32_t argsz, flags; /* flags are 0 */
	struct vmig_tag tag;
};

MUST_USE int vmig_vu_tag_decode(struct vmig_cursor *c, struct vmig_vu_tag *ret);
void vmig_vu_tag_encode(struct vmig_cursor *c, const struct vmig_vu_tag *m);

#define VMIG_VU_BLOB_SIZE 16u /* without the bytes */
/**
 * Bytes: the reply of DEVICE_DESCRIPTOR (JSON without a NUL), that of DEVICE_OPAQUE, the request of DEVICE_OPAQUE_CHECK, and
 * its reply, of which @code is the verdict: 0 or the errno with which the driver refuses, and the bytes say why, in words.
 */
struct vmig_vu_blob {
	uint32_t argsz, flags; /* flags are 0 */
	uint32_t code;         /* 0 but in the verdict */
	uint32_t len;
	const uint8_t
		*bytes; /* decoded: in the message; NULL to be encoded: they are put behind by the caller */
};

/** -EPROTO: not as long as it says, flags, a code that is no errno. -E2BIG: more than @max bytes. */
MUST_USE int vmig_vu_blob_decode(struct vmig_cursor *c, uint32_t max, struct vmig_vu_blob *ret);
void vmig_vu_blob_encode(struct vmig_cursor *c, const struct vmig_vu_blob *m);

#endif
