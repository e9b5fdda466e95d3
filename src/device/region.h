/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * region - the migration region of v1 over another device's handle: what its files share.
 *
 *	region.c         birth and end, and what is passed on to the device beneath
 *	region_access.c  who is asked for at an offset: a register, or the data section
 *	region_state.c   device_state and the walks of the device beneath
 *	region_save.c    an iteration of the saving states: pending_bytes, data_offset, data_size
 *	region_load.c    RESUMING: what the write of data_size does
 *
 * Two things are kept apart: the state that the user has asked for (@state, the register) and the one
 * that the device beneath is in. The register changes only by the user's writes, by a reset, and to the
 * error state: so a user never reads a state of a newer protocol.
 */
#ifndef VMIG_DEVICE_REGION_H
#define VMIG_DEVICE_REGION_H

#include <pthread.h>

#include <vmig/region.h>
#include <vmig/uapi.h>

#include "handle/provider.h"

/* The registers: struct vfio_device_migration_info at offset 0. */
#define V1_DEVICE_STATE   0u
#define V1_RESERVED       4u
#define V1_PENDING_BYTES  8u
#define V1_DATA_OFFSET    16u
#define V1_DATA_SIZE      24u
#define V1_REGISTERS_SIZE 32u

#define V1_MASK     ((uint32_t)VMIG_UAPI_DEVICE_STATE_MASK)
#define V1_STOP     ((uint32_t)VMIG_UAPI_DEVICE_STATE_V1_STOP)
#define V1_RUNNING  ((uint32_t)VMIG_UAPI_DEVICE_STATE_V1_RUNNING)
#define V1_SAVING   ((uint32_t)VMIG_UAPI_DEVICE_STATE_V1_SAVING)
#define V1_PRE_COPY (V1_SAVING | V1_RUNNING)
#define V1_RESUMING ((uint32_t)VMIG_UAPI_DEVICE_STATE_V1_RESUMING)
#define V1_ERROR    (V1_SAVING | V1_RESUMING)

/* Where one transaction of saving is put: within the section. Partitioned, they go in turn. */
struct vmig_v1_place {
	uint64_t offset, size;
};
#define V1_PLACES_MAX 4

/** The iteration under way. */
struct vmig_v1_save {
	uint64_t fill;               /* bytes of the current buffer; 0: there is none */
	uint64_t rest;               /* an estimate of what is behind it */
	uint64_t stop_copy;          /* what STOP_COPY was said to yield, less what came */
	uint64_t given;              /* bytes of this session that the user has taken */
	unsigned int place;          /* the current buffer's, or the next one's */
	bool offset_read, size_read; /* since the buffer is there: both, and pending_bytes means "taken" */
	bool ended;                  /* the end of the stream has been read */
	int error; /* of the session, behind the current buffer: what would come then is not to be used */
};

struct vmig_v1 {
	struct vmig_device *inner;
	struct vmig_device_info info; /* the inner one's, when this was made */
	struct vmig_v1_config config;
	struct vmig_region region;
	uint64_t data_at; /* where the section starts in the region */
	struct vmig_v1_place places[V1_PLACES_MAX];
	unsigned int n_places;
	uint8_t *section; /* config.section_size bytes, mapped */

	pthread_mutex_t lock; /* over all below, and over the calls that move the device beneath */
	uint32_t state;       /* device_state, reserved bits included */
	struct vmig_session *session;
	struct vmig_v1_save save;
	uint64_t loaded; /* the last data_size that was written */
	int load_error;  /* loading has failed: only a reset leads on */
};

static inline uint32_t vmig_v1_bits(const struct vmig_v1 *v)
{
	return v->state & V1_MASK;
}

/** Is there data to be had: is the device beneath in its saving group? */
static inline bool vmig_v1_saves(const struct vmig_v1 *v)
{
	return vmig_v1_bits(v) == V1_SAVING || vmig_v1_bits(v) == V1_PRE_COPY;
}

/** The inner handle's call has returned @r: take its error with it. */
int vmig_v1_passed(struct vmig_v1 *v, int r, struct vmig_error *error);

/* region_state.c; all with the lock held. */
/** The register's value for the state that the device beneath is in when the region is made. */
uint32_t vmig_v1_first_state(struct vmig_v1 *v);
int vmig_v1_write_state(struct vmig_v1 *v, uint32_t value, struct vmig_error *error);
/** The device beneath may be elsewhere after a failure: walk it back, or enter the error state. */
void vmig_v1_settle(struct vmig_v1 *v);
/** Reset the device beneath: back to RUNNING. */
int vmig_v1_reset(struct vmig_v1 *v, struct vmig_error *error);

/* region_save.c; all with the lock held. */
/** A new session, or none: nothing is buffered. */
void vmig_v1_save_init(struct vmig_v1 *v);
/** STOP_COPY has been entered, with the session that was there or a new one. */
void vmig_v1_save_stopped(struct vmig_v1 *v);
int vmig_v1_read_pending(struct vmig_v1 *v, uint64_t *ret, struct vmig_error *error);
int vmig_v1_read_data_offset(struct vmig_v1 *v, uint64_t *ret, struct vmig_error *error);
int vmig_v1_read_data_size(struct vmig_v1 *v, uint64_t *ret, struct vmig_error *error);

/* region_load.c; with the lock held. */
int vmig_v1_write_data_size(struct vmig_v1 *v, uint64_t value, struct vmig_error *error);

/* region_access.c; these take the lock. */
int vmig_v1_read(struct vmig_v1 *v, uint64_t offset, void *buf, size_t len, struct vmig_error *error);
int vmig_v1_write(struct vmig_v1 *v, uint64_t offset, const void *buf, size_t len, struct vmig_error *error);

#endif
