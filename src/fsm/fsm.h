/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * fsm - the v2 state machine as one constant table of arcs. Pure: no I/O, no allocation, no log.
 *
 * The next hop is derived: the shortest way along arcs, with no state of the saving group between its
 * ends (see vfio.h, "The remaining possible transitions"). An exception is written in the table: of a
 * device with P2P, PRE_COPY reaches STOP_COPY through PRE_COPY_P2P.
 */
#ifndef VMIG_FSM_FSM_H
#define VMIG_FSM_FSM_H

#include <stdbool.h>
#include <stdint.h>

#include <vmig/state.h>

/** What an arc does to the data transfer session. */
enum vmig_arc_session {
	VMIG_ARC_NONE, /* there is none before or after */
	VMIG_ARC_SAVE, /* starts a saving session */
	VMIG_ARC_LOAD, /* starts a loading session */
	VMIG_ARC_KEEP, /* the session carries on */
	VMIG_ARC_END,  /* ends the session */
};

struct vmig_arc {
	uint8_t from, to;
	uint8_t needs;   /* VMIG_MIGRATION_*: not an arc without all of these */
	uint8_t removed; /* VMIG_MIGRATION_*: not an arc with any of these */
	enum vmig_arc_session session;
};

/** All arcs, of all feature sets; *ret_n of them. */
const struct vmig_arc *vmig_fsm_arcs(unsigned int *ret_n);

/** The arc from @from to @to of a device with @features, or NULL: that is no single step. */
const struct vmig_arc *vmig_fsm_arc(uint64_t features, uint32_t from, uint32_t to);

/** True for PRE_COPY, PRE_COPY_P2P, STOP_COPY. */
bool vmig_fsm_saving(uint32_t state);

/** Does the walk from @from to @to end with a new session? VMIG_ARC_SAVE, _LOAD; _KEEP; else _NONE. */
enum vmig_arc_session vmig_fsm_walk_session(uint64_t features, uint32_t from, uint32_t to);

#endif
