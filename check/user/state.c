/* SPDX-License-Identifier: BSD-3-Clause */
/* The state machine of v2, as its user drives it. */
#include "judge.h"

#include <errno.h>

#include <vmig/state.h>

/* --- targets ---------------------------------------------------------------------------------- */

static bool is_offered(const struct user_device *d, uint32_t state)
{
	uint64_t needs = 0;

	if (state > VMIG_STATE_PRE_COPY_P2P)
		return false;
	if (user_is_p2p(state))
		needs |= VMIG_UAPI_MIGRATION_P2P;
	if (state == VMIG_STATE_PRE_COPY || state == VMIG_STATE_PRE_COPY_P2P)
		needs |= VMIG_UAPI_MIGRATION_PRE_COPY;
	return (d->flags & needs) == needs;
}

static void check_target(struct check_user *u, struct user_device *d, uint32_t from, uint32_t to)
{
	user_keeps(u, USER_NO_ERROR_TARGET);
	user_keeps(u, USER_ONLY_OFFERED);
	if (to == VMIG_STATE_ERROR)
		user_breaks(u, USER_NO_ERROR_TARGET, USER_NOBODY, "another target", "ERROR was asked for");
	else if (!is_offered(d, to))
		user_breaks(u, USER_ONLY_OFFERED, USER_NOBODY, "a state that the flags offer",
			    d->knows_flags ? "%s was asked for, which the device does not offer"
					   : "%s was asked for, and nobody had asked what the device offers",
			    user_state_name(to));
	if (from != VMIG_STATE_STOP_COPY)
		return;
	user_keeps(u, USER_NEVER_BACK);
	if (to == VMIG_STATE_PRE_COPY || to == VMIG_STATE_PRE_COPY_P2P)
		user_breaks(u, USER_NEVER_BACK, USER_NOBODY, "a way out by STOP",
			    "%s was asked for in STOP_COPY", user_state_name(to));
}

static void check_known(struct check_user *u, struct user_device *d)
{
	if (d->knows_state)
		return user_keeps(u, USER_SURE_OF_STATE);
	user_breaks(u, USER_SURE_OF_STATE, USER_NOBODY,
		    "a look at the state, or a reset, before the first transition",
		    "the first transition of a user that does not know where the device is");
	d->knows_state = true;
}

/* --- several devices -------------------------------------------------------------------------- */

static bool stops(uint32_t state)
{
	return state == VMIG_STATE_STOP || state == VMIG_STATE_STOP_COPY;
}

/* Of the devices of one user that migrate together, none may do peer-to-peer DMA to one that has stopped. */
static void check_others(struct check_user *u, struct user_device *d, uint32_t from, uint32_t to)
{
	for (uint32_t i = 0; i < USER_DEVICES; i++) {
		const struct user_device *e = &u->devices[i];

		if (e == d || !e->used || e->pid != d->pid ||
		    !(e->flags & d->flags & VMIG_UAPI_MIGRATION_P2P))
			continue;
		if (e->saved && (user_is_p2p(to) || stops(to)))
			user_keeps(u, USER_P2P_FIRST);
		if (!stops(to) || !(from == VMIG_STATE_RUNNING || user_saves_in(from) || user_is_p2p(from)))
			continue;
		if (e->state == VMIG_STATE_PRE_COPY)
			user_breaks(u, USER_P2P_FIRST, e->state_at,
				    "all devices in a P2P state before one is stopped",
				    "a device was stopped while another one was in PRE_COPY");
		else if (e->saved && e->state == VMIG_STATE_STOP_COPY && !user_is_p2p(from) && !stops(from))
			user_breaks(u, USER_P2P_FIRST, e->state_at,
				    "all devices in a P2P state before one is stopped",
				    "a device was in %s still when another one had been stopped",
				    user_state_name(from));
	}
}

/* --- after a failure -------------------------------------------------------------------------- */

/* Back, or to somewhere that is on the way back from everywhere; or the same once more. */
static bool is_return(const struct user_device *d, uint32_t to)
{
	return to == d->failed_from || to == d->failed_to || to == VMIG_STATE_RUNNING ||
	       to == VMIG_STATE_RUNNING_P2P || to == VMIG_STATE_STOP;
}

void user_went_on(struct check_user *u, struct user_device *d, const char *what)
{
	if (!d->failed)
		return;
	d->failed = false;
	user_breaks(u, USER_AFTER_FAILURE, d->failed_at,
		    "the state asked for, a way back, a reset, or the end", "%s after %s to %s had failed",
		    what, user_state_name(d->failed_from), user_state_name(d->failed_to));
}

static void reacts(struct check_user *u, struct user_device *d)
{
	if (d->failed)
		user_keeps(u, USER_AFTER_FAILURE);
	d->failed = false;
}

static void check_reaction(struct check_user *u, struct user_device *d, uint32_t to)
{
	if (d->load_failed)
		user_breaks(u, USER_ABORTS_BY_RESET, d->load_failed_at, "a reset, or the end",
			    "%s was asked for after the loading had failed", user_state_name(to));
	if (d->failed && !is_return(d, to))
		return user_went_on(u, d, "another transition was asked for");
	if (d->save_failed && is_return(d, to) && (to == d->failed_from || !user_saves_in(to)))
		d->tried_return = true;
	reacts(u, d);
}

static void check_in_error(struct check_user *u, struct user_device *d, uint32_t to)
{
	if (d->state != VMIG_STATE_ERROR)
		return;
	/* Who has only been told that something failed may try to return, once. */
	if (d->told_error || d->tries_in_error++)
		user_breaks(u, USER_RESETS_FROM_ERROR, d->error_at, "a reset, or the end",
			    "%s was asked for in ERROR", user_state_name(to));
}

void user_save_fails(struct check_user *u, struct user_device *d)
{
	if (d->save_failed)
		return;
	d->save_failed = true;
	d->tried_return = false;
	d->save_failed_at = u->number;
}

static void failed(struct check_user *u, struct user_device *d, uint32_t from, uint32_t to, uint32_t now)
{
	u->sum.n_failures++;
	d->failed = true;
	d->failed_from = from;
	d->failed_to = to;
	d->failed_at = u->number;
	if (from == VMIG_STATE_RESUMING || to == VMIG_STATE_RESUMING)
		user_load_fails(u, d, from == VMIG_STATE_RESUMING);
	else if (user_saves_in(from) || user_saves_in(to) ||
		 (to == VMIG_STATE_STOP && from != VMIG_STATE_ERROR))
		user_save_fails(u, d);
	if (now == VMIG_STATE_ERROR && d->state != VMIG_STATE_ERROR) {
		d->told_error = false;
		d->tries_in_error = 0;
		d->error_at = u->number;
	}
}

/* --- transitions ------------------------------------------------------------------------------ */

static bool runs(uint32_t state)
{
	return state == VMIG_STATE_RUNNING || state == VMIG_STATE_RUNNING_P2P;
}

static void enter(struct check_user *u, struct user_device *d, uint32_t from, uint32_t now)
{
	if (now != d->state)
		d->state_at = u->number;
	d->state = now;
	if (user_is_p2p(now))
		user_keeps(u, USER_HANDS_OFF_P2P);
	if (stops(now))
		user_keeps(u, USER_HANDS_OFF_STOPPED);
	if (stops(now) && !stops(from))
		user_log_stopped(u, d);
	if (now == VMIG_STATE_STOP_COPY && from != now)
		user_saving_stops(u, d, from);
	if (runs(now) && d->save_failed) {
		user_keeps(u, USER_RETURNS);
		d->save_failed = false;
	}
	if (runs(now))
		user_runs(u, d);
}

void user_set_state(struct check_user *u, struct user_device *d)
{
	const struct vmig_kabi_call *call = u->call;
	uint32_t from = (uint32_t)call->v[0], to = (uint32_t)call->v[1], now = (uint32_t)call->v[3];
	uint32_t number = (uint32_t)(call->v[3] >> 32);

	if (!call->v[2])
		return; /* no such device, or nothing that could be understood */
	check_target(u, d, from, to);
	check_known(u, d);
	check_in_error(u, d, to);
	check_reaction(u, d, to);
	if (call->result < 0) {
		failed(u, d, from, to, now);
		if ((user_saves_in(from) && !user_saves_in(now)) ||
		    (from == VMIG_STATE_RESUMING && now != from))
			user_session_ends(u, d, now);
		d->state = now;
		return;
	}
	check_others(u, d, from, to);
	if ((user_saves_in(from) && !user_saves_in(now)) || (from == VMIG_STATE_RESUMING && now != from) ||
	    number)
		user_session_ends(u, d, now);
	if (number)
		user_session_begins(u, d, number, now == VMIG_STATE_RESUMING);
	enter(u, d, from, now);
}

void user_get_state(struct check_user *u, struct user_device *d)
{
	reacts(u, d);
	if (u->call->result < 0)
		return;
	d->knows_state = true;
	d->told_error = d->state == VMIG_STATE_ERROR;
}

void user_reset(struct check_user *u, struct user_device *d)
{
	reacts(u, d);
	if (d->state == VMIG_STATE_ERROR)
		user_keeps(u, USER_RESETS_FROM_ERROR);
	else if (d->save_failed && !d->tried_return && !d->v1.region)
		user_breaks(u, USER_RETURNS, d->save_failed_at,
			    "a try to return to RUNNING, which keeps the state",
			    "a reset in %s, which loses the device's state", user_state_name(d->state));
	if (d->load_failed)
		user_keeps(u, USER_ABORTS_BY_RESET);
	user_session_ends(u, d, VMIG_STATE_RUNNING);
	d->holds_nothing |= d->load_failed;
	/* A failure of its own is another rule's affair. */
	d->saved &= !d->save_failed;
	d->was_reset |= d->saved;
	d->load_failed = d->save_failed = false;
	d->load = USER_LOAD_NONE;
	d->unread_at = 0;
	d->knows_state = true;
	d->state = VMIG_STATE_RUNNING;
	d->state_at = u->number;
}

/* --- the user's hands -------------------------------------------------------------------------- */

void user_touch(struct check_user *u, struct user_device *d)
{
	if (user_is_p2p(d->state))
		user_breaks(u, USER_HANDS_OFF_P2P, d->state_at, "no access to its regions",
			    "a region was touched in %s", user_state_name(d->state));
	else if (stops(d->state))
		user_breaks(u, USER_HANDS_OFF_STOPPED, d->state_at, "no access to its regions",
			    "a region was touched in %s", user_state_name(d->state));
	if (d->state == VMIG_STATE_ERROR)
		user_breaks(u, USER_RESETS_FROM_ERROR, d->error_at, "a reset, or the end",
			    "a region was touched in ERROR");
	if (d->holds_nothing) {
		user_breaks(u, USER_NO_FAILED_LOAD, d->load_failed_at,
			    "a device that is not used, or loaded again",
			    "a device whose loading had failed was reset and then worked with");
		d->holds_nothing = false;
	}
}

/* --- the end ----------------------------------------------------------------------------------- */

#define KNOWN_FLAGS (VMIG_UAPI_MIGRATION_STOP_COPY | VMIG_UAPI_MIGRATION_P2P | VMIG_UAPI_MIGRATION_PRE_COPY)

static void check_future(struct check_user *u, struct user_device *d)
{
	if (!(d->flags & ~(uint64_t)KNOWN_FLAGS))
		return;
	user_keeps(u, USER_FUTURE);
	if (!d->migrated)
		user_breaks(u, USER_FUTURE, USER_NOBODY, "a migration by the states that are known",
			    "a device with a flag that nobody knows was not migrated");
}

void user_device_closed(struct check_user *u, struct user_device *d)
{
	check_future(u, d);
	reacts(u, d);
	if (d->load_failed)
		user_keeps(u, USER_ABORTS_BY_RESET);
	if (d->state == VMIG_STATE_ERROR)
		user_keeps(u, USER_RESETS_FROM_ERROR);
	if (d->holds_nothing)
		user_keeps(u, USER_NO_FAILED_LOAD);
	d->failed = d->load_failed = d->holds_nothing = false;
}

/* A source has its state as long as it is stopped or runs; once it is closed, when it ran. */
static bool has_its_state(const struct user_device *d)
{
	return !d->was_reset && (runs(d->state) || d->state == VMIG_STATE_PRE_COPY);
}

void user_states_end(struct check_user *u)
{
	if (!u->lost)
		return;
	for (uint32_t i = 0; i < USER_DEVICES; i++) {
		const struct user_device *d = &u->devices[i];

		if (!d->owes || !d->saved)
			continue;
		user_keeps(u, USER_KEEPS_SOURCE);
		if (!has_its_state(d))
			user_breaks(u, USER_KEEPS_SOURCE, u->lost_at, "the source's device in RUNNING again",
				    "a loading failed, and the device that was saved ended %s%s: nobody has "
				    "its state",
				    d->was_reset ? "reset, in " : "in ", user_state_name(d->state));
	}
}
