/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * vgpu - what the vgpu has beside the registers, rings and records of nic.h.
 *
 * The driver gives each queue (an engine of the GPU) room for frames as well (NIC_QUEUE_AREA: as many places of
 * VGPU_FRAME bytes as the ring has slots). The device draws frame number n into place n mod slots, then sends
 * record number n, which says that it is there; the place is the driver's until it has taken the record.
 * It has one interrupt for all queues, by MSI, and no BAR 4.
 */
#ifndef MODELS_VGPU_H
#define MODELS_VGPU_H

#include "nic.h"

#define VGPU_DEVICE 0x0fe2

#define VGPU_MAGIC_VALUE 0x30757067u /* "gpu0", in NIC_MAGIC */

/* BAR 0, beside the nic's. */
#define VGPU_TYPE       0x70u /* 2 or 4: i915-GVTg_V5_2 has twice as much of everything as _V5_4 */
#define VGPU_AGGREGATOR 0x78u /* so many of that type are one device: 1 .. 8 */

#define VGPU_FRAME 1024u

/** Frame number @seq of @queue. */
static inline void vgpu_frame_make(uint8_t *frame, uint32_t queue, uint64_t seq)
{
	for (uint32_t i = 0; i < VGPU_FRAME / 8; i++)
		put_le64(frame + i * 8, mix64(seq * 8192 + queue * 128 + i));
}

#endif
