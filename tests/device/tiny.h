/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * tiny - the smallest model that a test can look into: it notes the arcs that it is asked for, fails
 * the one that it is told to, saves a byte string and loads one.
 */
#ifndef VMIG_TESTS_DEVICE_TINY_H
#define VMIG_TESTS_DEVICE_TINY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vmig/model.h>

#define TINY_ARCS 16

struct tiny {
	struct vmig_model *model;
	struct vmig_device *dev;

	/* What it has seen. */
	struct {
		uint32_t from, to;
	} arcs[TINY_ARCS];
	int n_arcs, resets, closes, given_back;

	/* What it is to do. */
	int fail_at;        /* the arc of this number fails; -1: none */
	bool fail_to_error; /* and leaves it in ERROR */
	uint32_t fail_to;   /* or says that it is in this state, if it is not 0 */
	bool fail_next;     /* and the arc after it fails, too */
	int reset_fault;    /* what reset returns */
	int load_fault;     /* what loading returns */

	/* Saving: @out up to @out_end may be given now, @out_at has been. */
	const uint8_t *out;
	size_t out_at, out_end;
	/* Loading. */
	uint8_t *in;
	size_t in_at, in_size;
	size_t piece; /* most bytes that a lend or a room has; 0: no limit */
};

enum tiny_kind {
	TINY_COPIES, /* read and write */
	TINY_LENDS,  /* lend and room */
};

#define TINY_ALL_FLAGS (VMIG_MIGRATION_STOP_COPY | VMIG_MIGRATION_P2P | VMIG_MIGRATION_PRE_COPY)

/** A model with region 0 (64 bytes, read and write), two interrupt indices and a DMA log. */
void tiny_open(struct tiny *tiny, uint64_t migration_flags, enum tiny_kind kind);
void tiny_close(struct tiny *tiny);
/** Forget the arcs seen. */
void tiny_forget(struct tiny *tiny);
uint32_t tiny_state(struct tiny *tiny);
/** Walk there; the test fails if that fails. Any session is closed. */
void tiny_go(struct tiny *tiny, uint32_t state);
/** Bring a device to @state by a reset and a walk. */
void tiny_reach(struct tiny *tiny, uint32_t state);

#endif
