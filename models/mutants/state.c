/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules of the state machine. */
#include "rule.h"

static void no_stop_copy_flag(struct vmig_device_info *info)
{
	info->migration_flags &= ~VMIG_MIGRATION_STOP_COPY;
}

static int reports_late(struct mutant *m, uint32_t from, uint32_t to)
{
	if (from == VMIG_STATE_STOP && to == VMIG_STATE_RUNNING_P2P) {
		m->n_lies = 1;
		m->lie = from;
	}
	return 0;
}

static int refuses_the_same_state(struct mutant *m, uint32_t from, uint32_t to)
{
	return from == to ? -EINVAL : 0;
}

static void moves_by_itself(struct mutant *m, uint32_t *state)
{
	if (m->n_looks > 3 && *state == VMIG_STATE_RUNNING_P2P)
		*state = VMIG_STATE_RUNNING;
}

static void no_session(struct mutant *m, uint32_t from, uint32_t to, struct vmig_session **ret_session)
{
	if (from == VMIG_STATE_RUNNING_P2P && to == VMIG_STATE_PRE_COPY_P2P) {
		vmig_session_close(*ret_session);
		*ret_session = NULL;
	}
}

static ssize_t drops_group_session(struct mutant_session *s, void *buf, ssize_t got)
{
	return s->m->from_precopy && mutant_state(s->m) == VMIG_STATE_STOP_COPY ? 0 : got;
}

static void wrong_state_after_failure(struct mutant *m)
{
	if (m->n_written)
		return;
	m->n_lies = 2; /* to the handle, and to whoever asks then */
	m->lie = VMIG_STATE_RUNNING_P2P;
}

static int reset_stops(struct mutant *m)
{
	return vmig_device_set_state(m->inner, VMIG_STATE_STOP, VMIG_STATE_NONE, NULL);
}

static int no_config_in_stop(struct mutant *m)
{
	return mutant_state(m) == VMIG_STATE_STOP ? -EIO : 0;
}

/* The state that a user finds who comes later. */
static uint32_t kept_state = VMIG_STATE_RUNNING;

static void find_state(struct mutant *m)
{
	(void)vmig_device_set_state(m->inner, kept_state, VMIG_STATE_NONE, NULL);
}

static void keep_state(struct mutant *m)
{
	kept_state = mutant_state(m);
}

const struct mutant_rule mutant_state_rules[] = {
	{ "no-stop-copy-flag", .info = no_stop_copy_flag },
	{ "reports-late", .before = reports_late },
	{ "refuses-the-same-state", .before = refuses_the_same_state },
	{ "moves-by-itself", .look = moves_by_itself },
	{ "no-session", .after = no_session },
	{ "drops-group-session", .read = drops_group_session },
	{ "wrong-state-after-failure", .not_loaded = wrong_state_after_failure },
	{ "reset-stops", .reset = reset_stops },
	{ "no-config-in-stop", .region_read = no_config_in_stop },
	{ "keeps-state", .open = find_state, .close = keep_state },
	{ NULL },
};
