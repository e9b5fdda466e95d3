/* SPDX-License-Identifier: BSD-3-Clause */
#include "user/vfio_user_data.h"

struct vmig_vuc_slot *vmig_vuc_slot_new(uint16_t command, uint32_t size)
{
	struct vmig_vuc_slot *slot = calloc(1, sizeof(*slot));
	struct vmig_vu_mig_data m = { .argsz = VMIG_VU_MIG_DATA_SIZE + size, .size = size };
	struct vmig_cursor c;

	if (!slot)
		return NULL;
	slot->size = size;
	slot->call.command = command;
	slot->call.fixed = slot->in;
	slot->call.fixed_max = sizeof(slot->in);
	c = vmig_vuc_request(slot->out, sizeof(slot->out));
	vmig_vu_mig_data_encode(&c, &m);
	vmig_vuc_request_end(&slot->call, slot->out, &c);
	return slot;
}

void vmig_vuc_slot_free(struct vmig_vuc_slot *slot)
{
	free(slot->call.park);
	free(slot);
}

struct vmig_vuc_slot *vmig_vuc_ring_oldest(const struct vmig_vuc_ring *ring)
{
	return ring->slots[ring->first];
}

struct vmig_vuc_slot *vmig_vuc_ring_take(struct vmig_vuc_ring *ring)
{
	struct vmig_vuc_slot *slot = vmig_vuc_ring_oldest(ring);

	ring->first = (ring->first + 1) % VMIG_VUC_DEPTH_MAX;
	ring->n--;
	return slot;
}

void vmig_vuc_ring_add(struct vmig_vuc_ring *ring, struct vmig_vuc_slot *slot)
{
	ring->slots[(ring->first + ring->n) % VMIG_VUC_DEPTH_MAX] = slot;
	ring->n++;
}

int vmig_vuc_pick_pieces(const struct iovec *iov, int n, struct iovec *ret)
{
	int picked = 0;

	for (int i = 0; i < n && picked < VMIG_SESSION_IOV_MAX; i++)
		if (iov[i].iov_len)
			ret[picked++] = iov[i];
	return picked;
}
