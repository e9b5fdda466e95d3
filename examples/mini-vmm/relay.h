/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * relay - the device of mini-vmm: it makes records, or passes on those in its inbox, by DMA into a ring.
 *
 * The ring may lie in the guest's memory, or be another relay's inbox, which is memory in BAR 2: peer-to-peer DMA. One that
 * generates, writing into the inbox of one that forwards, writing into the guest's memory, make the chain of mini-vmm.
 */
#ifndef MINI_VMM_RELAY_H
#define MINI_VMM_RELAY_H

#include <stdint.h>

#include <vmig/device.h>

/* A ring: the producer index in the first page, then the slots. */
#define RELAY_SLOTS      64u
#define RELAY_RECORD     64u
#define RELAY_RING_SIZE  8192u
#define RELAY_RING_AT(n) (4096u + (uint32_t)((n) % RELAY_SLOTS) * RELAY_RECORD)

#define RELAY_BAR_REGISTERS 0u /* trapped; 8 bytes each */
#define RELAY_BAR_INBOX     2u /* a ring, mapped by whoever wants to write into it */
#define RELAY_IRQ           1u /* MSI, of one vector: the ring has new records */

#define RELAY_ROLE      0x00u /* RELAY_GENERATES, RELAY_FORWARDS; 0: does nothing */
#define RELAY_TARGET    0x08u /* IOVA of the ring that it writes */
#define RELAY_CONSUMER  0x10u /* doorbell: how far the reader at the end of the chain has come */
#define RELAY_PRODUCED  0x18u /* read only */
#define RELAY_INTRUDED  0x20u /* read only: how often the inbox was written while the device stood still */
#define RELAY_REGISTERS 5u

#define RELAY_GENERATES 1u
#define RELAY_FORWARDS  2u

#define RELAY_COMMAND 0x04u /* of PCI config space, 2 bytes: without the bus master bit it does no DMA */
#define RELAY_MASTER  (1u << 2)

/** Record number @seq: 64 bytes, all of which follow from it. */
static inline void relay_record(uint64_t seq, uint64_t record[RELAY_RECORD / 8])
{
	for (uint64_t i = 0; i < RELAY_RECORD / 8; i++)
		record[i] = i ? (seq + i) * 0x9e3779b97f4a7c15ull : seq;
}

/** In this process. Goes with vmig_device_close(). 0 or a negative errno. */
int relay_open(struct vmig_device **ret);
/** Serve one behind a vfio-user socket, until its user has gone. Returns an exit status. */
int relay_serve(const char *socket);

#endif
