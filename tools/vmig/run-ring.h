/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * run-ring - the calls of a program, in memory that it shares with `vmig run`.
 *
 * Any number of threads put, none ever waits; any number of readers look on, each with a place of its own. Who reads
 * too slowly loses calls and is told how many. Nothing here trusts the other side: a ring full of nonsense gives
 * nonsense, within bounds.
 */
#ifndef VMIG_TOOLS_RUN_RING_H
#define VMIG_TOOLS_RUN_RING_H

#include <stdbool.h>
#include <stdint.h>

#include <vmig/kernel_abi.h>

#define RUN_RING_SLOTS 65536u /* a power of two */
#define RUN_CALL_WORDS (sizeof(struct vmig_kabi_call) / sizeof(uint64_t))

/* Call number i is in slot i mod RUN_RING_SLOTS. Its tag is 2i + 3 while it is written, 2i + 2 when it is there. */
struct run_slot {
	uint64_t tag;
	uint64_t words[RUN_CALL_WORDS];
};

/** All zeroes: empty. Its fields are used atomically. */
struct run_ring {
	uint64_t head;    /* calls that were put, or dropped */
	uint64_t dropped; /* the slot was in use by a thread that is a whole lap behind */
	struct run_slot slots[RUN_RING_SLOTS];
};

void run_ring_put(struct run_ring *ring, const struct vmig_kabi_call *call);
/** How many there have been. */
uint64_t run_ring_count(const struct run_ring *ring);

/** Where a reader is. Zero: at the first call that there was. */
struct run_reader {
	uint64_t at;
	uint64_t lost;      /* calls that were overrun before they could be read */
	uint64_t waits_for; /* 1 + the call that was not whole when it was asked for the last time */
};

/**
 * The next call. Returns 1; 0: none for now. One that is being written is waited for until it was not whole twice in
 * a row with others behind it (who wrote it may be dead): so do not ask in a tight loop. @last: wait for none.
 */
int run_ring_get(const struct run_ring *ring, struct run_reader *reader, bool last,
		 struct vmig_kabi_call *ret);

#endif
