/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * toy - a small model for tests: every kind of region, DMA from a register write or from a thread of its own,
 * interrupts, a state that is lent and filled in pieces of a size that the test chooses, and faults on demand.
 *
 * Its stream is its state, byte by byte: the first half in PRE_COPY, the rest in STOP_COPY. Loading less than all of
 * it is found out by RESUMING -> STOP. The scratch register is the state's last 8 bytes.
 */
#ifndef VMIG_TESTS_TOY_H
#define VMIG_TESTS_TOY_H

#include <vmig/model.h>

struct toy;

struct toy_config {
	uint64_t features; /* VMIG_MIGRATION_*; 0: all three; TOY_STAYS: none */
	size_t state_size; /* 1 MiB */
	size_t piece;      /* most bytes of one loan or room; 0: as asked */
	bool no_log, no_reset;
};
#define TOY_STAYS (1ull << 63) /* does not migrate */

/* Regions. The others are not there. */
#define TOY_REGISTERS      0u /* read and written, trapped; TOY_REGISTERS_SIZE bytes */
#define TOY_MAPPED         1u /* a memfd with two sparse areas */
#define TOY_BUFFER         2u /* the DMA buffer: plain memory, 2 MiB */
#define TOY_READ_ONLY      3u /* 64 bytes; byte i is i */
#define TOY_TYPED          4u /* with a capability of type 0x8000_1af4/7, whole of it may be mapped */
#define TOY_N_REGIONS      9u
#define TOY_REGISTERS_SIZE 4096u
#define TOY_MAPPED_SIZE    65536u
#define TOY_BUFFER_SIZE    (2u << 20)
#define TOY_TYPE           0x80001af4u
#define TOY_SUBTYPE        7u

/* Registers, 8 bytes wide. All else in the region is plain memory. */
#define TOY_REG_SCRATCH         0x00u /* migrates */
#define TOY_REG_ADDRESS         0x08u /* of the user's memory */
#define TOY_REG_LENGTH          0x10u /* the buffer's first bytes */
#define TOY_REG_COMMAND         0x18u /* TOY_COMMAND_* */
#define TOY_REG_STATUS          0x20u /* of the last command: TOY_BUSY, or 0 or -errno */
#define TOY_REG_RAISE           0x28u /* index << 32 | sub */
#define TOY_COMMAND_READ        1u    /* from the user's memory, within the register's write */
#define TOY_COMMAND_WRITE       2u
#define TOY_COMMAND_READ_LATER  3u /* the same by the toy's own thread */
#define TOY_COMMAND_WRITE_LATER 4u
#define TOY_BUSY                1u

/* Writes to these only raise an eventfd. */
#define TOY_DOORBELL    0x800u
#define TOY_N_DOORBELLS 3u

#define TOY_N_IRQS 5u
#define TOY_N_MSIX 64u

/** Never fails (the test does). The toy goes with vmig_device_close(). */
struct toy *toy_new(const struct toy_config *config, struct vmig_device **ret_dev);
struct vmig_model *toy_model(struct toy *toy);

/** Its state, as it would be saved. Not while it moves. */
uint8_t *toy_state(struct toy *toy);
size_t toy_state_size(const struct toy *toy);
/** An eventfd that a write at TOY_DOORBELL + 4 * @i raises. */
int toy_doorbell(struct toy *toy, unsigned int i);
/** Loading fails (-EIO) when so many bytes have been taken. */
void toy_fail_load_at(struct toy *toy, size_t at);
/** Saving fails (-EIO) when so many bytes have been given. */
void toy_fail_save_at(struct toy *toy, size_t at);
/** The next step fails, and leaves the toy in ERROR. */
void toy_break(struct toy *toy);
/** The states that were entered since the last call, at most @max of them; returns how many. Not while it moves. */
unsigned int toy_trace(struct toy *toy, uint32_t *ret_states, unsigned int max);
/** Report new initial data once. */
void toy_reinit(struct toy *toy);
/** Mappings that came and went, as the toy heard of it. */
unsigned int toy_dma_changes(struct toy *toy);
/** Wait until the toy's thread is at rest; returns the last command's status. */
int64_t toy_wait(struct toy *toy);

#endif
