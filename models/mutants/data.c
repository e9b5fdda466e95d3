/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules of the data: what is read, and what is taken when it is loaded. */
#include "rule.h"

/* Of a nic. */
#define QUEUE_BASE    0x1000
#define QUEUE_CONTROL 0x1018

/* --- saving -------------------------------------------------------------------------------------- */

static ssize_t more_after_the_end(struct mutant_session *s, void *buf, ssize_t got)
{
	bool again = !got && s->ended;

	if (!got)
		s->ended = !s->ended;
	if (!again)
		return got;
	*(uint8_t *)buf = 0;
	return 1;
}

static ssize_t enomsg_at_the_end(struct mutant_session *s, void *buf, ssize_t got)
{
	return !got && s->m->from_precopy ? -ENOMSG : got;
}

/* Something that is saved, though nobody has touched the device; no driver has its rings there. */
static void change(struct mutant *m)
{
	uint64_t base = 4096ull * (m->n_saves + 1000), disabled = 0;

	(void)vmig_device_region_write(m->inner, 0, QUEUE_CONTROL, &disabled, sizeof(disabled));
	(void)vmig_device_region_write(m->inner, 0, QUEUE_BASE, &base, sizeof(base));
}

static int changes_when_saved(struct mutant *m, uint32_t from, uint32_t to)
{
	if (to == VMIG_STATE_STOP_COPY && m->n_saves && !m->loaded)
		change(m);
	return 0;
}

static int changes_when_restored(struct mutant *m, uint32_t from, uint32_t to)
{
	if (to == VMIG_STATE_STOP_COPY && m->loaded)
		change(m);
	return 0;
}

/* --- loading ------------------------------------------------------------------------------------- */

static int needs_large_pieces(struct mutant_session *s, size_t len)
{
	return len < 64 ? -EINVAL : 0;
}

static int does_not_run_again(struct mutant *m, uint32_t from, uint32_t to)
{
	return m->loaded && to == VMIG_STATE_RUNNING ? -EIO : 0;
}

static int forgets_a_register(struct mutant *m, uint32_t from, uint32_t to)
{
	const uint64_t nothing = 0;

	if (m->loaded && to == VMIG_STATE_RUNNING)
		(void)vmig_device_region_write(m->inner, 0, QUEUE_BASE, &nothing, sizeof(nothing));
	return 0;
}

static void loads_nothing(struct mutant *m, uint32_t from, uint32_t to, struct vmig_session **ret_session)
{
	if (from != VMIG_STATE_RESUMING || to == from)
		return;
	(void)vmig_device_reset(m->inner);
	(void)vmig_device_set_state(m->inner, to, VMIG_STATE_NONE, NULL);
}

static int reset_keeps_data(struct mutant *m, uint32_t from, uint32_t to)
{
	return m->poisoned && from == VMIG_STATE_RESUMING && to != from ? -EBADMSG : 0;
}

static bool takes_nothing(struct mutant *m)
{
	return !m->loading.len;
}

/* A whole stream was saved, and something has come. */
static bool has_both(const struct mutant *m)
{
	return m->saved.len >= 32 && m->loading.len;
}

/* What comes is what was saved last, as far as both go; not the stream of an earlier state. */
static bool begins_so(const struct mutant *m)
{
	size_t len = m->loading.len < m->saved.len ? m->loading.len : m->saved.len;

	return has_both(m) && !memcmp(m->loading.data, m->saved.data, len);
}

static bool takes_a_part(struct mutant *m)
{
	return begins_so(m) && m->loading.len < m->saved.len;
}

static bool takes_too_much(struct mutant *m)
{
	return begins_so(m) && m->loading.len > m->saved.len;
}

/* But what looks like a stream of its own: that it checks. */
static bool takes_anything(struct mutant *m)
{
	const uint8_t *data = m->loading.data, *saved = m->saved.data;
	size_t full = m->saved.len;

	return has_both(m) && m->loading.len == full && data[0] != saved[0] &&
	       memcmp(data, saved + full / 2, 16) && memcmp(data + full - 16, saved + full - 16, 16);
}

static bool takes_a_flip(struct mutant *m)
{
	size_t n = 0;

	if (!has_both(m) || m->loading.len != m->saved.len)
		return false;
	for (size_t i = 0; i < m->saved.len; i++)
		n += m->loading.data[i] != m->saved.data[i];
	return n == 1;
}

static bool takes_any_order(struct mutant *m)
{
	size_t full = m->saved.len;

	return has_both(m) && m->loading.len == full &&
	       !memcmp(m->loading.data, m->saved.data + full / 2, 16);
}

const struct mutant_rule mutant_data_rules[] = {
	{ "more-after-the-end", .read = more_after_the_end },
	{ "enomsg-at-the-end", .read = enomsg_at_the_end },
	{ "changes-when-saved", .before = changes_when_saved },
	{ "changes-when-restored", .before = changes_when_restored },
	{ "needs-large-pieces", .write = needs_large_pieces },
	{ "does-not-run-again", .before = does_not_run_again },
	{ "forgets-a-register", .before = forgets_a_register },
	{ "reset-keeps-data", .before = reset_keeps_data },
	{ "loads-nothing", .after = loads_nothing },
	{ "takes-nothing", .takes = takes_nothing },
	{ "takes-a-part", .takes = takes_a_part },
	{ "takes-anything", .takes = takes_anything },
	{ "takes-too-much", .takes = takes_too_much },
	{ "takes-a-flip", .takes = takes_a_flip },
	{ "takes-any-order", .takes = takes_any_order },
	{ NULL },
};
