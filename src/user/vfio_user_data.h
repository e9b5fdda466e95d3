/* SPDX-License-Identifier: BSD-3-Clause */
/** vfio_user_data - messages of migration data in flight: a ring of calls, for saving and for loading. */
#ifndef VMIG_USER_VFIO_USER_DATA_H
#define VMIG_USER_VFIO_USER_DATA_H

#include "user/vfio_user.h"

struct vmig_vuc_slot {
	struct vmig_vuc_call call; /* first: vmig_vuc_abandon() frees it */
	uint8_t out[VMIG_VU_HEADER_SIZE + VMIG_VU_MIG_DATA_SIZE];
	uint8_t in[VMIG_VU_MIG_DATA_SIZE];
	uint32_t size; /* of the data, as asked for or sent */
	bool stopped;  /* asked for in STOP_COPY */
};

/** Oldest first. */
struct vmig_vuc_ring {
	struct vmig_vuc_slot *slots[VMIG_VUC_DEPTH_MAX];
	uint32_t first, n;
};

/** A message of @command about @size bytes, not yet sent. NULL: no memory. */
struct vmig_vuc_slot *vmig_vuc_slot_new(uint16_t command, uint32_t size);
void vmig_vuc_slot_free(struct vmig_vuc_slot *slot);
struct vmig_vuc_slot *vmig_vuc_ring_oldest(const struct vmig_vuc_ring *ring);
struct vmig_vuc_slot *vmig_vuc_ring_take(struct vmig_vuc_ring *ring);
/** There must be room. */
void vmig_vuc_ring_add(struct vmig_vuc_ring *ring, struct vmig_vuc_slot *slot);

/** The first pieces of @iov that are not empty, at most VMIG_SESSION_IOV_MAX; returns how many. */
int vmig_vuc_pick_pieces(const struct iovec *iov, int n, struct iovec *ret);

#endif
