/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * registers - a v1 device that is nothing but a migration region: it notes every access, and lies where it is told to.
 *
 * The notes, one word an access: S device_state, P pending_bytes, O data_offset, Z data_size, D data; "S" is a read,
 * "S=3" a write. An access of another width or place than v1's is noted as "BAD".
 */
#ifndef VMIG_TESTS_REGISTERS_H
#define VMIG_TESTS_REGISTERS_H

#include <vmig/device.h>

#define REGISTERS_MAX  4096u /* transactions */
#define REGISTERS_DATA 4096u /* where the data section starts */

struct registers_config {
	uint32_t index, n_regions; /* of the migration region; the others have 64 bytes and take anything */
	uint32_t type, subtype, flags; /* 0: those of a migration region; READ and WRITE */
	uint64_t size;                 /* of the region; 64 KiB */
	bool mapped;                   /* the data section can be mapped: a file that may be shortened */
	bool sealed;                   /* and this one may not */
	uint64_t mapped_size;          /* of it, from its start; 0: all */
	bool no_reset;
};

struct registers {
	struct registers_config config;
	struct vmig_device *dev;
	char *log; /* of registers_log_size bytes; NULL: nothing is noted */
	size_t used;
	int closes, resets, fd, other_calls;

	uint32_t state; /* all 32 bits */
	/* To be saved: the first @n_early of them in pre-copy. */
	const uint32_t *sizes;
	uint32_t n_sizes, n_early, at;
	bool offered; /* data_offset was read: the next read of pending_bytes is that of the next transaction */
	/* Loaded. */
	uint32_t loaded[REGISTERS_MAX], n_loaded;
	bool loaded_right; /* the bytes are those that would be saved */

	/* On purpose. 0: nothing. */
	const char *fail_at;       /* the access, as it would be noted ("S=1") */
	int fail_with, fail_after; /* negative errno; so many of them succeed first */
	bool fail_to_error;        /* and device_state is the error state then */
	uint64_t lie_pending, lie_offset, lie_size;
	bool zero_size;
};

void registers_open(struct registers *r, const struct registers_config *config);
void registers_close(struct registers *r);
/** What was noted since the last call. */
const char *registers_log(struct registers *r);
/** Byte @at of transaction @number. */
uint8_t registers_byte(uint32_t number, uint64_t at);

#endif
