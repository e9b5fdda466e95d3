/* SPDX-License-Identifier: BSD-3-Clause */
/* device_state of the v1 text: what leads where, what is refused, and what a refusal leaves. */
#include <stdio.h>
#include <string.h>

#include "v1.h"

static void must_have_reset(struct check_context *c)
{
	if (!(c->info.flags & VMIG_DEVICE_FLAG_RESET))
		check_end(c, CHECK_NOT_APPLICABLE, "", "the device has no reset");
}

void check_v1_initial(struct check_context *c)
{
	int r;

	must_have_reset(c);
	check_v1_bring(c, V1_RUNNING);
	check_did(c, "reset the device and read device_state");
	r = check_v1_reset(c);
	if (r)
		check_fail(c, "a reset", "%s", strerror(-r));
	check_v1_in(c, V1_RUNNING);
}

void check_v1_new_user(struct check_context *c)
{
	uint32_t found;

	check_v1_bring(c, V1_RUNNING);
	check_did(c, "let go of the device in _RUNNING, and opened it again");
	check_v1_reopen(c);
	check_v1_in(c, V1_RUNNING);
	check_did(c, "let go of the device in _STOP, and opened it again");
	check_v1_go(c, V1_STOP);
	check_v1_reopen(c);
	found = check_v1_state(c);
	if ((found & V1_BITS) != V1_RUNNING)
		check_observe(c, "the device is in _RUNNING, the default state", "it is in %s (%#x)",
			      check_v1_name(found), found);
}

/* The ways of the diagram, each with its end. Data are not looked at, but taken: a device may want that. */
void check_v1_arcs(struct check_context *c)
{
	static const struct {
		uint32_t n, to[3];
	} ways[] = { { 1, { V1_STOP } },
		     { 2, { V1_SAVING, V1_STOP } },
		     { 3, { V1_PRE_COPY, V1_SAVING, V1_STOP } },
		     { 1, { V1_RESUMING } } };

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		check_v1_bring(c, V1_RUNNING);
		for (uint32_t n = 0; n < ways[i].n; n++) {
			check_did(c, "took the device to %s", check_v1_name(ways[i].to[n]));
			check_v1_go(c, ways[i].to[n]);
			if (ways[i].to[n] == V1_SAVING)
				check_v1_iterate(c, SIZE_MAX, NULL);
		}
	}
}

/* A refusal of @to has left the device where it was, or in the error state. */
static void refused(struct check_context *c, uint32_t from, uint32_t to)
{
	uint32_t is = check_v1_state(c);
	char expected[96];

	snprintf(expected, sizeof(expected), "%s, or the error state, after %s was refused",
		 check_v1_name(from), check_v1_name(to));
	if ((is & V1_BITS) != (from & V1_BITS) && (is & V1_BITS) != V1_ERROR)
		check_fail(c, expected, "%s (%#x)", check_v1_name(is), is);
}

static void try_arc(struct check_context *c, uint32_t from, uint32_t to)
{
	check_did(c, "wrote %u in %s", to, check_v1_name(from));
	check_v1_bring(c, from);
	if (from == V1_SAVING)
		check_v1_iterate(c, SIZE_MAX, NULL);
	if (check_v1_ask(c, to, CHECK_WANT_EITHER))
		refused(c, from, to);
	else
		check_v1_in(c, to);
}

/* Of a kernel driver that has nobody's leave: not what a v2 beneath hangs on, and no run of what was never loaded. */
static bool too_dangerous(const struct check_context *c, uint32_t from, uint32_t to)
{
	return c->target->kernel && !c->target->dangerous &&
	       (from == V1_RESUMING || (from == V1_SAVING && to == V1_PRE_COPY));
}

void check_v1_other_arcs(struct check_context *c)
{
	for (uint32_t from = 0; from <= V1_RESUMING; from++)
		for (uint32_t to = 0; to <= V1_RESUMING; to++)
			if (!too_dangerous(c, from, to))
				try_arc(c, from, to);
}

static void must_be_refused(struct check_context *c, uint32_t from, uint32_t value)
{
	char expected[64];

	check_did(c, "wrote %u in %s", value, check_v1_name(from));
	check_v1_bring(c, from);
	snprintf(expected, sizeof(expected), "%u is refused", value);
	if (!check_v1_ask(c, value, CHECK_WANT_ERROR))
		check_fail(c, expected, "the write succeeds, and device_state is %#x then",
			   check_v1_state(c));
	refused(c, from, value);
}

void check_v1_invalid(struct check_context *c)
{
	for (uint32_t from = 0; from <= V1_RESUMING; from++) {
		must_be_refused(c, from, 5);
		must_be_refused(c, from, 7);
	}
}

void check_v1_error(struct check_context *c)
{
	uint32_t is;

	check_v1_bring(c, V1_RUNNING);
	check_did(c, "wrote 6 in _RUNNING");
	if (check_v1_ask(c, V1_ERROR, CHECK_WANT_EITHER)) {
		refused(c, V1_RUNNING, V1_ERROR);
		return;
	}
	is = check_v1_state(c);
	if ((is & V1_BITS) != V1_ERROR)
		check_fail(c, "6 is refused, or is the error state",
			   "the write succeeds, and it is in %s (%#x)", check_v1_name(is), is);
}

void check_v1_reserved_bits(struct check_context *c)
{
	for (uint32_t bit = 3; bit < 32; bit++) {
		uint32_t value = V1_STOP | 1u << bit, is;
		int r;

		check_v1_bring(c, V1_RUNNING);
		check_did(c, "asked for _STOP with bit %u set", bit);
		r = check_v1_put(c, V1_DEVICE_STATE, &value, sizeof(value));
		is = check_v1_state(c);
		if (r)
			refused(c, V1_RUNNING, value);
		else if ((is & V1_BITS) != V1_STOP)
			check_fail(c, "the device is in _STOP", "%s (%#x)", check_v1_name(is), is);
		value = V1_RUNNING;
		(void)check_v1_put(c, V1_DEVICE_STATE, &value, sizeof(value));
	}
}

void check_v1_reset_everywhere(struct check_context *c)
{
	must_have_reset(c);
	for (uint32_t from = 0; from <= V1_RESUMING; from++) {
		uint32_t is;
		int r;

		check_v1_bring(c, from);
		check_did(c, "reset the device in %s", check_v1_name(from));
		r = check_v1_reset(c);
		if (r)
			check_observe(c, "a reset in each state", "%s in %s", strerror(-r),
				      check_v1_name(from));
		is = check_v1_state(c);
		if ((is & V1_BITS) != V1_RUNNING)
			check_observe(c, "a reset leads to _RUNNING, the default state", "%s (%#x)",
				      check_v1_name(is), is);
	}
}
