/* SPDX-License-Identifier: BSD-3-Clause */
/* The state machine: every pair of states, where sessions start, failures and the ways out of them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check/context.h"

static bool saving(uint32_t state)
{
	return state == VMIG_STATE_PRE_COPY || state == VMIG_STATE_PRE_COPY_P2P ||
	       state == VMIG_STATE_STOP_COPY;
}

/* STOP_COPY -> PRE_COPY is never asked for: there are kernels that do not come back. RESUMING is left with data only. */
static bool allowed(struct check_context *c, uint32_t from, uint32_t to)
{
	return check_has_state(c, from) && check_has_state(c, to) && from != VMIG_STATE_RESUMING &&
	       !vmig_device_probe_arc(c->dev, from, to, NULL);
}

#define FOR_EACH_PAIR(from, to)                                                                              \
	for (uint32_t from = VMIG_STATE_STOP; from < VMIG_STATE_NR; from++)                                  \
		for (uint32_t to = VMIG_STATE_STOP; to < VMIG_STATE_NR; to++)

static void pair(struct check_context *c, uint32_t from, uint32_t to)
{
	vmig_session_close(check_bring(c, from));
	check_did(c, "asked for %s in %s", check_state_name(to), check_state_name(from));
	check_go(c, to);
}

void check_every_pair(struct check_context *c)
{
	FOR_EACH_PAIR(from, to)
	if (from != to && allowed(c, from, to))
		pair(c, from, to);
}

void check_same_state(struct check_context *c)
{
	for (uint32_t state = VMIG_STATE_STOP; state < VMIG_STATE_NR; state++)
		if (allowed(c, state, state))
			pair(c, state, state);
}

static bool starts(uint32_t from, uint32_t to)
{
	return (saving(to) && !saving(from)) || to == VMIG_STATE_RESUMING;
}

void check_sessions_where_they_start(struct check_context *c)
{
	FOR_EACH_PAIR(from, to)
	{
		struct vmig_session *first, *session;

		if (from == to || !allowed(c, from, to))
			continue;
		first = check_bring(c, from);
		check_did(c, "asked for %s in %s", check_state_name(to), check_state_name(from));
		session = check_enter(c, to);
		if (starts(from, to) && !session)
			check_fail(c, "a new data_fd", "none");
		if (!starts(from, to) && session)
			check_fail(c, "no data_fd: no arc on the way starts a session", "one");
		vmig_session_close(session);
		vmig_session_close(first);
	}
}

/* PRE_COPY -> .. -> STOP_COPY: the one session has the data of all of them. */
void check_group_keeps_session(struct check_context *c)
{
	struct vmig_session *session = check_session(c, VMIG_STATE_PRE_COPY);
	struct check_bytes bytes = { 0 };

	if (check_has_state(c, VMIG_STATE_PRE_COPY_P2P)) {
		check_did(c, "went from PRE_COPY to PRE_COPY_P2P and back, with one session");
		check_go(c, VMIG_STATE_PRE_COPY_P2P);
		check_go(c, VMIG_STATE_PRE_COPY);
	}
	check_did(c, "went from PRE_COPY to STOP_COPY and read the session of before");
	check_go(c, VMIG_STATE_STOP_COPY);
	if (check_read(c, session, 65536, &bytes))
		check_fail(c, "the end of the stream in STOP_COPY", "ENOMSG");
	if (!bytes.len)
		check_fail(c, "the session of PRE_COPY carries on in STOP_COPY", "it has no data");
	vmig_session_close(session);
	free(bytes.data);
}

#define LOOKS 5

/* Nobody asks it for anything. */
void check_stays(struct check_context *c)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	for (uint32_t state = VMIG_STATE_STOP; state < VMIG_STATE_NR; state++) {
		struct vmig_session *session;

		if (!check_has_state(c, state))
			continue;
		session = check_bring(c, state);
		check_did(c, "looked %d times, 1 ms apart, whether it stays in %s", LOOKS,
			  check_state_name(state));
		for (int i = 0; i < LOOKS; i++) {
			check_in_state(c, state);
			nanosleep(&pause, NULL);
		}
		vmig_session_close(session);
	}
}

void check_reset_everywhere(struct check_context *c)
{
	for (uint32_t state = VMIG_STATE_STOP; state < VMIG_STATE_NR; state++) {
		struct vmig_session *session;
		int r;

		if (!check_has_state(c, state))
			continue;
		session = check_bring(c, state);
		check_did(c, "reset the device in %s", check_state_name(state));
		r = check_reset(c, c->dev);
		if (r)
			check_fail(c, "a reset succeeds in every state", "%s", strerror(-r));
		check_in_state(c, VMIG_STATE_RUNNING);
		vmig_session_close(session);
	}
}

/* RESUMING -> STOP without data is the one failure that every device has. */
static int fail_to_load(struct check_context *c)
{
	struct vmig_session *session = check_bring(c, VMIG_STATE_RESUMING);
	int r = check_ask(c, c->dev, VMIG_STATE_STOP, CHECK_WANT_EITHER, NULL);

	check_did(c, "left RESUMING for STOP without having written anything");
	vmig_session_close(session);
	if (!r)
		check_end(c, CHECK_NOT_APPLICABLE, "",
			  "the device took a stream of no bytes: nothing fails here");
	return r;
}

void check_failed_state(struct check_context *c)
{
	uint32_t state;

	fail_to_load(c);
	state = c->at == VMIG_STATE_NONE ? check_state(c) : c->at;
	if (state != VMIG_STATE_RESUMING && state != VMIG_STATE_ERROR)
		check_fail(c, "after a failure: the state of before, one on the way, or ERROR", "%s (%u)",
			   check_state_name(state), state);
}

void check_reset_after_failure(struct check_context *c)
{
	int r;

	fail_to_load(c);
	check_did(c, "reset the device after RESUMING -> STOP had failed, and went to STOP and back");
	r = check_reset(c, c->dev);
	if (r)
		check_fail(c, "a reset leads out of a failure", "%s", strerror(-r));
	check_in_state(c, VMIG_STATE_RUNNING);
	check_go(c, VMIG_STATE_STOP);
	check_go(c, VMIG_STATE_RUNNING);
}

void check_flags(struct check_context *c)
{
	check_did(c, "asked for the features of migration");
	if (c->info.migration_flags && !(c->info.migration_flags & VMIG_MIGRATION_STOP_COPY))
		check_fail(c, "VMIG_MIGRATION_STOP_COPY, at least", "flags %#llx",
			   (unsigned long long)c->info.migration_flags);
	if (!c->info.migration_flags)
		check_end(c, CHECK_NOT_APPLICABLE, "", "the device does not migrate");
	for (uint32_t state = VMIG_STATE_STOP; state < VMIG_STATE_NR; state++)
		if (check_has_state(c, state)) {
			check_did(c, "went to each state that the flags stand for");
			vmig_session_close(check_bring(c, state));
		}
}

void check_config_in_stop(struct check_context *c)
{
	static const uint32_t states[] = { VMIG_STATE_STOP, VMIG_STATE_STOP_COPY };

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		struct vmig_session *session = check_bring(c, states[i]);
		uint32_t id = 0;
		int r;

		check_did(c, "read the ids in PCI configuration space in %s", check_state_name(states[i]));
		r = vmig_device_region_read(c->dev, VMIG_REGION_PCI_CONFIG, 0, &id, sizeof(id));
		if (r)
			check_fail(c, "PCI configuration space answers", "%s", strerror(-r));
		if (!id || id == UINT32_MAX)
			check_fail(c, "the device's ids", "%08x", id);
		vmig_session_close(session);
	}
}

/* What the text leaves open: the state that a new user finds. */
void check_reopen(struct check_context *c)
{
	char why[CHECK_TEXT_MAX] = "";
	uint32_t state;

	check_go(c, VMIG_STATE_STOP);
	check_did(c, "closed the device in STOP and opened it again");
	vmig_device_close(c->dev);
	c->dev = NULL;
	if (c->target->open(c->target->opaque, false, &c->dev, why, sizeof(why)))
		check_fail(c, "the device can be opened again", "%s", why);
	state = check_state(c);
	if (state != VMIG_STATE_RUNNING)
		check_observe(c, "the text leaves open in which state a new user finds the device", "%s",
			      check_state_name(state));
}
