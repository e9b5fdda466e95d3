/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * nic - the registers of the nic, and the records that it sends: all that its driver has to know.
 * The accel and the vgpu have the same registers, records and rings, and some more: accel.h, vgpu.h. So one
 * driver drives all three; in what they differ is in nic-class.h.
 *
 * The driver gives each queue a ring of slots in its memory and a place for the queue's producer index.
 * The device writes records into the slots, then the index, then raises the queue's MSI-X vector. The
 * driver takes them and writes its consumer index to the queue's doorbell; the device never overruns it.
 * Indices count from power-on and never wrap; record number n is in slot n mod slots.
 *
 * All registers are little-endian, of 8 bytes (accesses of 4 or 8, aligned), but for the doorbells.
 */
#ifndef MODELS_NIC_H
#define MODELS_NIC_H

#include <stdint.h>

#include "bytes.h"

#define NIC_VENDOR     0x1b36
#define NIC_DEVICE     0x0fe0
#define NIC_QUEUES_MAX 64u
#define NIC_SLOTS_MAX  65536u

#define NIC_BAR_REGISTERS  0u
#define NIC_BAR_DOORBELLS  2u
#define NIC_BAR_MSIX       4u
#define NIC_REGISTERS_SIZE 0x4000u
#define NIC_PAGE_SIZE      0x1000u /* of the other two BARs */
#define NIC_MSIX_PENDING   0x800u

/* BAR 0. */
#define NIC_MAGIC          0x00u /* NIC_MAGIC_VALUE, and the version above it */
#define NIC_QUEUES         0x08u /* how many there are */
#define NIC_STATE_SIZE     0x10u /* bytes of internal memory */
#define NIC_CONTROL        0x18u /* write: NIC_CONTROL_* */
#define NIC_RESULT         0x20u /* of the last NIC_CONTROL_* */
#define NIC_INJECT         0x28u /* write: NIC_INJECT_* | queue << 8: do so with the next record */
#define NIC_ARRIVED        0x30u /* with digest=on: the digest of the state as it was last loaded; else 0 */
#define NIC_RECORDS        0x40u /* sent since power-on, all queues */
#define NIC_BAD_DOORBELLS  0x48u /* a consumer index before the last one, or beyond the producer */
#define NIC_DMA_FAULTS     0x50u /* accesses that failed (they are tried again) */
#define NIC_INTERRUPTS     0x58u
#define NIC_CHANGES        0x60u /* pages of internal memory changed by the dirty rate */
#define NIC_QUEUE(q)       (0x1000u + (q)*0x40u)
#define NIC_QUEUE_BASE     0x00u /* of the ring; a multiple of 64 */
#define NIC_QUEUE_INDEX    0x08u /* where the producer index is to be written; a multiple of 8 */
#define NIC_QUEUE_SLOTS    0x10u /* a power of two, 2 .. NIC_SLOTS_MAX */
#define NIC_QUEUE_CONTROL  0x18u /* write: 1 enables, 0 disables; read: NIC_QUEUE_STATUS_* */
#define NIC_QUEUE_PRODUCER 0x20u /* read only */
#define NIC_QUEUE_CONSUMER 0x28u /* read only: the last good doorbell */
#define NIC_QUEUE_AREA                                                                                       \
	0x30u /* accel: of the ring of jobs; vgpu: of the frames; a multiple of 64. nic: reads 0 */
#define NIC_QUEUE_JOBS 0x38u /* read only; accel: jobs that the driver has handed in, by its doorbell */

#define NIC_MAGIC_VALUE 0x3063696eu /* "nic0" */
#define NIC_VERSION     1u

#define NIC_CONTROL_CHECK                                                                                    \
	1u /* RESULT: pages of internal memory that are not what the sequence numbers imply */
#define NIC_CONTROL_DIGEST 2u /* RESULT: a digest of the whole internal state, registers included */

#define NIC_INJECT_LOST      1u /* one sequence number is left out */
#define NIC_INJECT_DOUBLED   2u /* one comes twice */
#define NIC_INJECT_REORDERED 3u /* two change places */
#define NIC_INJECT_CORRUPT   4u /* a byte is wrong */

#define NIC_QUEUE_STATUS_ENABLED 1u
#define NIC_QUEUE_STATUS_REFUSED 2u /* it was to be enabled, but its registers are not good */
#define NIC_QUEUE_STATUS_ACTIVE  4u /* DMA is under way; after disabling, wait until this is gone */

/* BAR 2: the doorbell of queue q, 4 bytes: the low half of the consumer index. */
#define NIC_DOORBELL(q) ((q)*4u)

/* A record. */
#define NIC_RECORD         64u
#define NIC_RECORD_MAGIC   0x4352434eu
#define NIC_RECORD_QUEUE   4u
#define NIC_RECORD_SEQ     8u
#define NIC_RECORD_PAYLOAD 16u
#define NIC_RECORD_SUM     56u

/** Record number @seq of @queue. */
static inline void nic_record_make(uint8_t *record, uint32_t queue, uint64_t seq)
{
	put_le32(record, NIC_RECORD_MAGIC);
	put_le32(record + NIC_RECORD_QUEUE, queue);
	put_le64(record + NIC_RECORD_SEQ, seq);
	for (uint32_t i = NIC_RECORD_PAYLOAD; i < NIC_RECORD_SUM; i += 8)
		put_le64(record + i, mix64(seq * 64 + queue * 8 + i));
	put_le64(record + NIC_RECORD_SUM, hash64(queue, record, NIC_RECORD_SUM));
}

#endif
