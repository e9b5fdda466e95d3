/* SPDX-License-Identifier: BSD-3-Clause */
/** region - the provider "user/region": a device that is driven through its migration region (v1). Private to src/user. */
#ifndef VMIG_USER_REGION_H
#define VMIG_USER_REGION_H

#include <pthread.h>
#include <stdatomic.h>

#include <vmig/region.h>
#include <vmig/uapi.h>

#include "base/limits.h"
#include "handle/provider.h"

/* The registers: struct vmig_uapi_device_migration_info. */
#define VMIG_V1U_DEVICE_STATE  0u
#define VMIG_V1U_PENDING_BYTES 8u
#define VMIG_V1U_DATA_OFFSET   16u
#define VMIG_V1U_DATA_SIZE     24u
#define VMIG_V1U_REGISTERS     32u

/* A frame of the stream, see region.h. */
#define VMIG_V1U_FRAME 16u
#define VMIG_V1U_MAGIC 0x54314d56u /* "VM1T" */

/**
 * How far a load has come. STOP after RESUMING exists only here: the device itself stays in _RESUMING. All of these
 * are about a device in _RESUMING; out of it the value means nothing.
 */
enum vmig_v1u_load {
	VMIG_V1U_NOTHING,       /* in RESUMING; not a byte has come */
	VMIG_V1U_PART,          /* in RESUMING; the end of the stream has not come */
	VMIG_V1U_WHOLE,         /* in RESUMING; it has */
	VMIG_V1U_BROKEN,        /* in RESUMING; only a reset leads out */
	VMIG_V1U_STOPPED_EMPTY, /* shown as STOP; nothing was loaded */
	VMIG_V1U_STOPPED,       /* shown as STOP; the state is loaded and has not been judged */
};

/** A part of the data section that can be reached without the device. */
struct vmig_v1u_area {
	uint64_t offset, size; /* in the region */
	void *mem;             /* mapped; NULL: read and written through the descriptor */
};

struct vmig_v1u {
	struct vmig_device *dev;  /* whose region it is; ours */
	struct vmig_device *self; /* the handle over this */
	struct vmig_device_info info;
	struct vmig_region region;
	uint32_t n_areas;
	struct vmig_v1u_area areas[VMIG_REGION_AREAS_MAX];

	/* One iteration or one change of the state at a time: their accesses have an order. */
	pthread_mutex_t lock;
	void *session;    /* the half that is alive, or NULL */
	bool untold;      /* a transaction was taken; the read of pending_bytes that says so has not come */
	uint32_t state;   /* as the last change left it; VMIG_STATE_NONE: to be asked */
	atomic_uint load; /* enum vmig_v1u_load; written under the lock */
};

/* region_state.c */

/** The bits of device_state as a state of v2, or VMIG_STATE_NONE: they are an invalid combination. */
uint32_t vmig_v1u_state_of(uint32_t bits, enum vmig_v1u_load load);
int vmig_v1u_query_state(void *p, uint32_t *ret_state, struct vmig_error *error);
int vmig_v1u_set_state(void *p, uint32_t target, struct vmig_session_half *ret, struct vmig_error *error);
int vmig_v1u_probe_arc(void *p, uint32_t from, uint32_t to, uint32_t *ret_next);
int vmig_v1u_reset(void *p, struct vmig_error *error);

/* region_section.c: the registers, and the data section. */

/** Access a register in its native width: 4 bytes of device_state, 8 of the others. */
int vmig_v1u_read_state(struct vmig_v1u *v, uint32_t *ret, struct vmig_error *error);
int vmig_v1u_write_state(struct vmig_v1u *v, uint32_t value, struct vmig_error *error);
int vmig_v1u_read(struct vmig_v1u *v, uint32_t offset, uint64_t *ret, struct vmig_error *error);
int vmig_v1u_write(struct vmig_v1u *v, uint32_t offset, uint64_t value, struct vmig_error *error);
/** Read pending_bytes, under the lock: the transaction before has been taken. -EPROTO: so much cannot be. */
int vmig_v1u_pending(struct vmig_v1u *v, uint64_t *ret, struct vmig_error *error);
/** Read data_offset; -EPROTO: it is not in the data section. */
int vmig_v1u_data_offset(struct vmig_v1u *v, uint64_t *ret, struct vmig_error *error);

void vmig_v1u_section_open(struct vmig_v1u *v);
void vmig_v1u_section_close(struct vmig_v1u *v);
/** @offset and @len lie in the region: checked by the caller. */
int vmig_v1u_section_read(struct vmig_v1u *v, uint64_t offset, void *buf, size_t len,
			  struct vmig_error *error);
int vmig_v1u_section_write(struct vmig_v1u *v, uint64_t offset, const void *buf, size_t len,
			   struct vmig_error *error);
/** Does all of it lie in one area, so that pieces can be put there as they come? */
bool vmig_v1u_section_is_direct(const struct vmig_v1u *v, uint64_t offset, uint64_t len);
/** Keep what the device has said last, as *error. Returns @r. */
int vmig_v1u_keep(struct vmig_v1u *v, int r, struct vmig_error *error);

/* region_save.c, region_load.c: a half session each; -ENOMEM. */
int vmig_v1u_save_new(struct vmig_v1u *v, struct vmig_session_half *ret);
int vmig_v1u_load_new(struct vmig_v1u *v, struct vmig_session_half *ret);

/* region_pass.c: what is the device's own business. */
int vmig_v1u_query_descriptor(void *p, char **ret, struct vmig_error *error);
int vmig_v1u_query_opaque(void *p, void *buf, size_t *ret_len, struct vmig_error *error);
int vmig_v1u_query_tag(void *p, struct vmig_tag *ret, struct vmig_error *error);
int vmig_v1u_set_tag(void *p, const struct vmig_tag *tag, struct vmig_error *error);
int vmig_v1u_check_opaque(void *p, const void *data, size_t len, struct vmig_error *error);
int vmig_v1u_query_region(void *p, uint32_t index, struct vmig_region *ret, struct vmig_error *error);
int vmig_v1u_region_read(void *p, uint32_t index, uint64_t offset, void *buf, size_t len,
			 struct vmig_error *error);
int vmig_v1u_region_write(void *p, uint32_t index, uint64_t offset, const void *buf, size_t len,
			  struct vmig_error *error);
int vmig_v1u_query_ioeventfds(void *p, uint32_t index, struct vmig_ioeventfd *ret, int max,
			      struct vmig_error *error);
int vmig_v1u_query_irq(void *p, uint32_t index, struct vmig_irq *ret, struct vmig_error *error);
int vmig_v1u_set_irqs(void *p, const struct vmig_irq_set *set, struct vmig_error *error);
int vmig_v1u_map_dma(void *p, const struct vmig_dma *map, struct vmig_error *error);
int vmig_v1u_unmap_dma(void *p, uint64_t iova, uint64_t size, struct vmig_error *error);
int vmig_v1u_dma_log_start(void *p, uint64_t *page_size, const struct vmig_range *ranges, uint32_t n,
			   struct vmig_error *error);
int vmig_v1u_dma_log_stop(void *p, struct vmig_error *error);
int vmig_v1u_dma_log_report(void *p, uint64_t iova, uint64_t length, uint64_t page_size, uint64_t *bitmap,
			    struct vmig_error *error);

#endif
