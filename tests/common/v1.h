/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * v1 - a user of a migration region, for tests: registers by name, and the sequences of the text. It finds the region
 * by its capability, maps what can be mapped, and reads and writes the rest. Failures fail the test.
 */
#ifndef VMIG_TESTS_V1_H
#define VMIG_TESTS_V1_H

#include <stddef.h>
#include <stdint.h>

#include <vmig/region.h>

struct v1 {
	struct vmig_device *dev;
	struct vmig_region region;
	uint8_t *maps[VMIG_REGION_AREAS_MAX]; /* of the areas; NULL: not mapped */
	size_t piece; /* most bytes of one access to a trapped part; 0: as many as there are */
};

/* struct vfio_device_migration_info */
#define V1_DEVICE_STATE  0u
#define V1_RESERVED      4u
#define V1_PENDING_BYTES 8u
#define V1_DATA_OFFSET   16u
#define V1_DATA_SIZE     24u

/** Show @inner (taken over) and open it. */
void v1_show(struct v1 *v, struct vmig_device *inner, const struct vmig_v1_config *config);
/** Find the region of @dev (taken over). */
void v1_open(struct v1 *v, struct vmig_device *dev);
void v1_close(struct v1 *v);

/* Registers: 0 or what the access failed with. */
int v1_get32(struct v1 *v, uint64_t offset, uint32_t *ret);
int v1_get64(struct v1 *v, uint64_t offset, uint64_t *ret);
int v1_put32(struct v1 *v, uint64_t offset, uint32_t value);
int v1_put64(struct v1 *v, uint64_t offset, uint64_t value);

/* And those that must not fail. */
uint32_t v1_state(struct v1 *v);
void v1_write_state(struct v1 *v, uint32_t state);
uint64_t v1_pending(struct v1 *v);
uint64_t v1_offset(struct v1 *v);
uint64_t v1_size(struct v1 *v);

/** Bytes of the data section, by mapping where there is one. */
void v1_section_read(struct v1 *v, uint64_t offset, void *buf, size_t len);
void v1_section_write(struct v1 *v, uint64_t offset, const void *buf, size_t len);

/** What was saved, transaction by transaction. */
struct v1_stream {
	uint8_t *data;
	size_t len, room;
	size_t *sizes;
	size_t n, n_room;
};
void v1_stream_free(struct v1_stream *s);

/** Steps a-f until pending_bytes is 0, at most @max times. Returns how often. */
size_t v1_save(struct v1 *v, struct v1_stream *s, size_t max);
/** Steps a-c for each transaction. */
void v1_load(struct v1 *v, const struct v1_stream *s);
/** The same; 0, or what a write of data_size failed with. */
int v1_try_load(struct v1 *v, const struct v1_stream *s);

#endif
