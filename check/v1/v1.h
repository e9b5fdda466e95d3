/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * v1 - what the checks of the v1 text share: the registers of the migration region by name, and the sequences of the text.
 * c->dev is the handle that shows the region. As in context.h, what does not go as it must ends the check.
 *
 * Data go by accesses to the region, which a user may always do; the checks of a mapped section map it themselves.
 */
#ifndef CHECK_V1_H
#define CHECK_V1_H

#include <vmig/uapi.h>

#include "check/context.h"

/* struct vfio_device_migration_info */
#define V1_DEVICE_STATE  0u
#define V1_RESERVED      4u
#define V1_PENDING_BYTES 8u
#define V1_DATA_OFFSET   16u
#define V1_DATA_SIZE     24u
#define V1_REGISTERS     32u

#define V1_STOP     0u
#define V1_RUNNING  1u
#define V1_SAVING   2u /* stop-and-copy */
#define V1_PRE_COPY 3u
#define V1_RESUMING 4u
#define V1_ERROR    6u
#define V1_BITS     7u

/* What was saved: transaction by transaction. */
struct check_v1_stream {
	struct check_bytes bytes;
	size_t *sizes, n;
};

/** The region, found by its capability; *ret is set. */
void check_v1_find(struct check_context *c, struct vmig_region *ret);
const char *check_v1_name(uint32_t bits);

/** Registers of c->dev: 0 or what the access failed with. */
int check_v1_get(struct check_context *c, uint64_t offset, void *ret, size_t width);
int check_v1_put(struct check_context *c, uint64_t offset, const void *value, size_t width);
/** One of 8 bytes, which must be there. */
uint64_t check_v1_read(struct check_context *c, uint32_t offset);
/** device_state with its reserved bits. */
uint32_t check_v1_state(struct check_context *c);
/** Ask for @bits, by a read-modify-write: 0 or what the write failed with. */
int check_v1_ask(struct check_context *c, uint32_t bits, enum check_want want);
int check_v1_reset(struct check_context *c);
/** The device is in @bits, or the check fails. */
void check_v1_in(struct check_context *c, uint32_t bits);
/** A transition that must succeed. */
void check_v1_go(struct check_context *c, uint32_t bits);
/** By whatever way: the device is in _RUNNING. False: it cannot be brought there. */
bool check_v1_to_running(struct check_context *c);
/** All devices that were opened are, if they can be. */
void check_v1_put_back(struct check_context *c);
/** @bits from _RUNNING, by the way of the diagram. */
void check_v1_bring(struct check_context *c, uint32_t bits);

/** Bytes of the data section, whole: 0 or the error. */
int check_v1_data(struct check_context *c, uint64_t offset, void *buf, size_t len);

/* The buffer of one iteration: steps b and c. */
struct check_v1_buffer {
	uint64_t offset, size;
};
struct check_v1_buffer check_v1_buffer(struct check_context *c);
/** Step d; free() it. */
uint8_t *check_v1_take(struct check_context *c, struct check_v1_buffer buffer);
/** Steps a to d, a to c each @twice or once, into @to (NULL: thrown away). False: nothing was pending. */
bool check_v1_transaction(struct check_context *c, bool twice, struct check_v1_stream *to);
/** Steps a to f until pending_bytes is 0, or @max times, into @to (NULL: thrown away). How many transactions. */
size_t check_v1_iterate(struct check_context *c, size_t max, struct check_v1_stream *to);
/** From _RUNNING through stop-and-copy to _STOP. */
void check_v1_save(struct check_context *c, struct check_v1_stream *to);
/** A device that does not stop changing cannot be compared with what it was: ends the check. *ret: what it is now, in _STOP. */
void check_v1_save_same(struct check_context *c, struct check_v1_stream *ret);
/** A new user: closes the handle and opens it again. */
void check_v1_reopen(struct check_context *c);

enum check_v1_how {
	CHECK_V1_PLAIN,
	CHECK_V1_SPOIL, /* what is behind data_size's write is overwritten at once */
	CHECK_V1_BY_MAP,
};
/** From _RUNNING to _RESUMING, and steps a to c. 0, or what a write failed with. */
int check_v1_load(struct check_context *c, const struct check_v1_stream *from, enum check_v1_how how);
void check_v1_stream_free(struct check_v1_stream *s);

/** The areas of @region that can be mapped, mapped. */
struct check_v1_maps {
	struct vmig_region region;
	uint32_t n;
	uint8_t *at[VMIG_REGION_AREAS_MAX];
};
void check_v1_map(struct check_context *c, struct check_v1_maps *ret);
void check_v1_unmap(struct check_v1_maps *maps);
/** Where @offset is mapped, or NULL; *len is cut to what is alike. */
uint8_t *check_v1_mapped(const struct check_v1_maps *maps, uint64_t offset, size_t *len);

extern void check_v1_region(struct check_context *c), check_v1_initial(struct check_context *c),
	check_v1_new_user(struct check_context *c), check_v1_arcs(struct check_context *c),
	check_v1_other_arcs(struct check_context *c), check_v1_invalid(struct check_context *c),
	check_v1_error(struct check_context *c), check_v1_reserved_bits(struct check_context *c),
	check_v1_reset_everywhere(struct check_context *c), check_v1_reserved(struct check_context *c),
	check_v1_read_only(struct check_context *c), check_v1_width(struct check_context *c),
	check_v1_offset(struct check_context *c), check_v1_aligned(struct check_context *c);
extern void check_v1_ends(struct check_context *c), check_v1_pre_copy(struct check_context *c),
	check_v1_pending_again(struct check_context *c), check_v1_current(struct check_context *c),
	check_v1_data_stays(struct check_context *c), check_v1_next(struct check_context *c),
	check_v1_leaves_early(struct check_context *c), check_v1_pieces(struct check_context *c),
	check_v1_pending_covers(struct check_context *c), check_v1_maps_same(struct check_context *c);
extern void check_v1_restore(struct check_context *c), check_v1_restore_same(struct check_context *c),
	check_v1_restore_live(struct check_context *c), check_v1_restore_mapped(struct check_context *c),
	check_v1_consumed(struct check_context *c), check_v1_foreign(struct check_context *c),
	check_v1_truncated(struct check_context *c), check_v1_reordered(struct check_context *c),
	check_v1_second(struct check_context *c), check_v1_reset_after_failure(struct check_context *c);
extern void check_v1_silent(struct check_context *c), check_v1_no_interrupts(struct check_context *c),
	check_v1_works(struct check_context *c);

#endif
