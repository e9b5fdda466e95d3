/* SPDX-License-Identifier: BSD-3-Clause */
#include "fsm/fsm.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"

#define ERROR        VMIG_STATE_ERROR
#define STOP         VMIG_STATE_STOP
#define RUNNING      VMIG_STATE_RUNNING
#define STOP_COPY    VMIG_STATE_STOP_COPY
#define RESUMING     VMIG_STATE_RESUMING
#define RUNNING_P2P  VMIG_STATE_RUNNING_P2P
#define PRE_COPY     VMIG_STATE_PRE_COPY
#define PRE_COPY_P2P VMIG_STATE_PRE_COPY_P2P

#define P2P VMIG_MIGRATION_P2P
#define PRE VMIG_MIGRATION_PRE_COPY

/* clang-format off */
static const struct vmig_arc arcs[] = {
	/* from		to		needs		removed	session */
	{ STOP_COPY,	STOP,		0,		0,	VMIG_ARC_END },
	{ RUNNING_P2P,	STOP,		P2P,		0,	VMIG_ARC_NONE },
	{ RUNNING,	STOP,		0,		P2P,	VMIG_ARC_NONE },
	{ RESUMING,	STOP,		0,		0,	VMIG_ARC_END },
	{ PRE_COPY,	RUNNING,	PRE,		0,	VMIG_ARC_END },
	{ RUNNING_P2P,	RUNNING,	P2P,		0,	VMIG_ARC_NONE },
	{ STOP,		RUNNING,	0,		P2P,	VMIG_ARC_NONE },
	{ PRE_COPY_P2P,	RUNNING_P2P,	PRE | P2P,	0,	VMIG_ARC_END },
	{ RUNNING,	RUNNING_P2P,	P2P,		0,	VMIG_ARC_NONE },
	{ STOP,		RUNNING_P2P,	P2P,		0,	VMIG_ARC_NONE },
	{ RUNNING,	PRE_COPY,	PRE,		0,	VMIG_ARC_SAVE },
	{ RUNNING_P2P,	PRE_COPY_P2P,	PRE | P2P,	0,	VMIG_ARC_SAVE },
	{ STOP,		STOP_COPY,	0,		0,	VMIG_ARC_SAVE },
	{ PRE_COPY,	PRE_COPY_P2P,	PRE | P2P,	0,	VMIG_ARC_KEEP },
	{ PRE_COPY_P2P,	PRE_COPY,	PRE | P2P,	0,	VMIG_ARC_KEEP },
	{ PRE_COPY_P2P,	STOP_COPY,	PRE | P2P,	0,	VMIG_ARC_KEEP },
	{ PRE_COPY,	STOP_COPY,	PRE,		P2P,	VMIG_ARC_KEEP },
	{ STOP,		RESUMING,	0,		0,	VMIG_ARC_LOAD },
};

static const struct {
	const char *name;
	uint64_t needs;
	bool saving;
} states[VMIG_STATE_NR] = {
	[ERROR]		= { "ERROR",		0,		false },
	[STOP]		= { "STOP",		0,		false },
	[RUNNING]	= { "RUNNING",		0,		false },
	[STOP_COPY]	= { "STOP_COPY",	0,		true },
	[RESUMING]	= { "RESUMING",		0,		false },
	[RUNNING_P2P]	= { "RUNNING_P2P",	P2P,		false },
	[PRE_COPY]	= { "PRE_COPY",		PRE,		true },
	[PRE_COPY_P2P]	= { "PRE_COPY_P2P",	PRE | P2P,	true },
};

/* The only ways through a state of the saving group: the session carries on along them. */
static const struct {
	uint8_t from, to, via;
	uint64_t needs;
} through_saving[] = {
	{ PRE_COPY,	STOP_COPY,	PRE_COPY_P2P,	PRE | P2P },
};

/* Ways that the text forbids, though arcs would lead there. */
static const struct {
	uint8_t from, to;
} forbidden[] = {
	{ STOP_COPY,	PRE_COPY },
	{ STOP_COPY,	PRE_COPY_P2P },
};
/* clang-format on */

const struct vmig_arc *vmig_fsm_arcs(unsigned int *ret_n)
{
	*ret_n = ARRAY_SIZE(arcs);
	return arcs;
}

const char *vmig_state_name(uint32_t state)
{
	return state < VMIG_STATE_NR ? states[state].name : NULL;
}

uint32_t vmig_state_from_name(const char *name)
{
	for (uint32_t s = 0; s < VMIG_STATE_NR; s++)
		if (!strcasecmp(states[s].name, name))
			return s;
	return VMIG_STATE_NONE;
}

bool vmig_state_supported(uint64_t features, uint32_t state)
{
	return state < VMIG_STATE_NR && !(states[state].needs & ~features);
}

bool vmig_fsm_saving(uint32_t state)
{
	return state < VMIG_STATE_NR && states[state].saving;
}

static bool arc_exists(const struct vmig_arc *arc, uint64_t features)
{
	return !(arc->needs & ~features) && !(arc->removed & features);
}

const struct vmig_arc *vmig_fsm_arc(uint64_t features, uint32_t from, uint32_t to)
{
	for (size_t i = 0; i < ARRAY_SIZE(arcs); i++)
		if (arcs[i].from == from && arcs[i].to == to && arc_exists(&arcs[i], features))
			return &arcs[i];
	return NULL;
}

/*
 * The lengths of the shortest ways from every state to @to, by relaxation: at most VMIG_STATE_NR
 * rounds over the arcs. A state of the saving group is never an interior point, so its own length is
 * not handed on.
 */
static void lengths_to(uint64_t features, uint32_t to, uint8_t length[VMIG_STATE_NR])
{
	memset(length, UINT8_MAX, VMIG_STATE_NR);
	length[to] = 0;
	for (unsigned int round = 0; round < VMIG_STATE_NR; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(arcs); i++) {
			const struct vmig_arc *arc = &arcs[i];

			if (!arc_exists(arc, features) || length[arc->to] == UINT8_MAX)
				continue;
			if (arc->to != to && states[arc->to].saving)
				continue;
			length[arc->from] = MIN(length[arc->from], length[arc->to] + 1);
		}
	}
}

static bool is_forbidden(uint32_t from, uint32_t to)
{
	for (size_t i = 0; i < ARRAY_SIZE(forbidden); i++)
		if (forbidden[i].from == from && forbidden[i].to == to)
			return true;
	return from == ERROR || to == ERROR;
}

int vmig_state_next(uint64_t features, uint32_t from, uint32_t to, uint32_t *ret_next)
{
	uint8_t length[VMIG_STATE_NR];

	if (!vmig_state_supported(features, from) || !vmig_state_supported(features, to))
		return -EINVAL;
	if (is_forbidden(from, to))
		return -EINVAL;
	if (from == to) {
		*ret_next = to;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(through_saving); i++) {
		if (through_saving[i].from == from && through_saving[i].to == to &&
		    !(through_saving[i].needs & ~features)) {
			*ret_next = through_saving[i].via;
			return 0;
		}
	}
	lengths_to(features, to, length);
	for (size_t i = 0; i < ARRAY_SIZE(arcs); i++) {
		const struct vmig_arc *arc = &arcs[i];

		if (arc->from != from || !arc_exists(arc, features) || length[arc->to] == UINT8_MAX)
			continue;
		if (arc->to != to && states[arc->to].saving)
			continue;
		if (length[arc->to] + 1 == length[from]) {
			*ret_next = arc->to;
			return 0;
		}
	}
	return -EINVAL;
}

enum vmig_arc_session vmig_fsm_walk_session(uint64_t features, uint32_t from, uint32_t to)
{
	enum vmig_arc_session last = VMIG_ARC_NONE;
	uint32_t next;

	if (from == to)
		return vmig_fsm_saving(from) || from == RESUMING ? VMIG_ARC_KEEP : VMIG_ARC_NONE;
	for (; from != to; from = next) {
		const struct vmig_arc *arc;

		if (vmig_state_next(features, from, to, &next) < 0)
			return VMIG_ARC_NONE;
		arc = vmig_fsm_arc(features, from, next);
		/* A session that starts on the way and carries on is still the new one. */
		if (!(arc->session == VMIG_ARC_KEEP && last == VMIG_ARC_SAVE))
			last = arc->session;
	}
	return last == VMIG_ARC_END ? VMIG_ARC_NONE : last;
}
