/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules of the sizes. */
#include "rule.h"

static int no_info_in_p2p(struct mutant_session *s, int r, struct vmig_precopy *ret)
{
	return mutant_state(s->m) == VMIG_STATE_PRE_COPY_P2P ? -ENOTTY : r;
}

static int info_in_stop_copy(struct mutant_session *s, int r, struct vmig_precopy *ret)
{
	if (mutant_state(s->m) != VMIG_STATE_STOP_COPY)
		return r;
	*ret = (struct vmig_precopy){ 0 };
	return 0;
}

static int initial_zero(struct mutant_session *s, int r, struct vmig_precopy *ret)
{
	if (!r && !s->n_infos) {
		ret->initial_bytes = 0;
		ret->dirty_bytes = 0;
	}
	return r;
}

static int initial_grows(struct mutant_session *s, int r, struct vmig_precopy *ret)
{
	if (!r)
		ret->initial_bytes += 4096 * s->n_infos;
	return r;
}

static int dirty_at_first(struct mutant_session *s, int r, struct vmig_precopy *ret)
{
	if (!r && !s->n_infos)
		ret->dirty_bytes += 4096;
	return r;
}

/* One that keeps count of what has changed, though all of it is initial data now. */
static int reinit_keeps_dirty(struct mutant_session *s, int r, struct vmig_precopy *ret)
{
	if (!r && (ret->flags & VMIG_PRECOPY_REINIT))
		ret->dirty_bytes += 4096;
	return r;
}

static ssize_t drained_says_zero(struct mutant_session *s, void *buf, ssize_t got)
{
	return got == -ENOMSG ? 0 : got;
}

static ssize_t zero_after_both_zero(struct mutant_session *s, void *buf, ssize_t got)
{
	return got == -ENOMSG && s->both_zero ? 0 : got;
}

static int no_size_in_stop_copy(struct mutant *m, int r, uint64_t *ret)
{
	return mutant_state(m) == VMIG_STATE_STOP_COPY ? -EBUSY : r;
}

static int size_is_off(struct mutant *m, int r, uint64_t *ret)
{
	if (!r)
		*ret *= 10;
	return r;
}

const struct mutant_rule mutant_precopy_rules[] = {
	{ "no-info-in-p2p", .precopy = no_info_in_p2p },
	{ "info-in-stop-copy", .precopy = info_in_stop_copy },
	{ "initial-zero", .precopy = initial_zero },
	{ "initial-grows", .precopy = initial_grows },
	{ "dirty-at-first", .precopy = dirty_at_first },
	{ "reinit-keeps-dirty", .precopy = reinit_keeps_dirty },
	{ "drained-says-zero", .read = drained_says_zero },
	{ "zero-after-both-zero", .read = zero_after_both_zero },
	{ "no-size-in-stop-copy", .size = no_size_in_stop_copy },
	{ "size-is-off", .size = size_is_off },
	{ NULL },
};
