/* SPDX-License-Identifier: BSD-3-Clause */
/* What a check leaves for the report: transitions, though it hangs or dies; no trust in what it left; sums over all. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check/context.h"
#include "check/left.h"
#include "models/models.h"
#include "tests/harness.h"

static int open_model(void *opaque, bool second, struct vmig_device **ret, char *why, size_t why_size)
{
	struct vmig_error error;

	return models_open(opaque ? opaque : "serial", ret, &error);
}

static struct check_result run(void (*what)(struct check_context *c), const char *spec, uint32_t timeout_ms)
{
	const struct check_target target = { .open = open_model,
					     .opaque = (void *)spec,
					     .timeout_ms = timeout_ms };
	const struct check check = { .id = "x", .about = "y", .run = what };
	struct check_result result;

	check_run(&target, &check, &result);
	return result;
}

static void expect_arc(const struct check_arc *arc, uint32_t from, uint32_t to, enum check_came came)
{
	ck_assert_uint_eq(arc->from, from);
	ck_assert_uint_eq(arc->to, to);
	ck_assert_uint_eq(arc->came, came);
}

static void goes(struct check_context *c)
{
	check_go(c, VMIG_STATE_STOP);
	check_reset(c, c->dev);
	check_go(c, VMIG_STATE_STOP);
	/* A model refuses nothing at all. */
	check_load(c, c->dev, NULL, 0, 1);
}

TEST(what_was_asked_is_there)
{
	struct check_result result = run(goes, NULL, 0);

	ck_assert_uint_eq(result.n_asked, 5);
	expect_arc(&result.arcs[0], VMIG_STATE_RUNNING, VMIG_STATE_STOP, CHECK_CAME_OK);
	expect_arc(&result.arcs[1], VMIG_STATE_STOP, VMIG_STATE_RUNNING, CHECK_CAME_OK);
	ck_assert(result.arcs[1].reset);
	expect_arc(&result.arcs[3], VMIG_STATE_STOP, VMIG_STATE_RESUMING, CHECK_CAME_OK);
	expect_arc(&result.arcs[4], VMIG_STATE_RESUMING, VMIG_STATE_STOP, CHECK_CAME_REFUSED);
	ck_assert_int_lt(result.arcs[4].error, 0);
	ck_assert_uint_gt(result.arcs[0].ns, 0);
	ck_assert_uint_ge(result.arcs[4].at_ns, result.arcs[0].at_ns);
}

TEST(what_failed_is_wrong)
{
	struct check_result result = run(goes, "serial,fault=RUNNING_P2P>STOP:EIO", 0);

	ck_assert_int_eq(result.verdict, CHECK_FAIL);
	ck_assert_uint_eq(result.n_asked, 1);
	expect_arc(&result.arcs[0], VMIG_STATE_RUNNING, VMIG_STATE_STOP, CHECK_CAME_WRONG);
	ck_assert_int_eq(result.arcs[0].error, -EIO);
}

TEST(a_transition_that_hangs_is_there)
{
	struct check_result result;
	uint32_t timeout_ms = 250;

	do { /* it may not have come so far on a machine that is busy */
		result = run(goes, "serial,fault=RUNNING_P2P>STOP:hang=60s", timeout_ms);
		timeout_ms *= 4;
	} while (!result.n_asked && timeout_ms <= 16000);
	ck_assert_int_eq(result.verdict, CHECK_HANG);
	ck_assert_str_eq(result.expected, "y");
	ck_assert_uint_eq(result.n_asked, 1);
	expect_arc(&result.arcs[0], VMIG_STATE_RUNNING, VMIG_STATE_STOP, CHECK_CAME_NOT);
	ck_assert_uint_gt(result.arcs[0].ns, 0);
}

static void dies(struct check_context *c)
{
	check_go(c, VMIG_STATE_STOP);
	check_did(c, "died");
	check_arc_begin(c, VMIG_STATE_RUNNING);
	_exit(7);
}

TEST(of_a_process_that_died_all_is_there)
{
	struct check_result result = run(dies, NULL, 0);

	ck_assert_int_eq(result.verdict, CHECK_ERROR);
	ck_assert_str_eq(result.did, "died");
	ck_assert_uint_eq(result.n_asked, 2);
	expect_arc(&result.arcs[0], VMIG_STATE_RUNNING, VMIG_STATE_STOP, CHECK_CAME_OK);
	expect_arc(&result.arcs[1], VMIG_STATE_STOP, VMIG_STATE_RUNNING, CHECK_CAME_NOT);
}

static void ask_often(struct check_context *c, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		check_arc_end(c, check_arc_begin(c, VMIG_STATE_STOP), CHECK_WANT_EITHER, -(int)i - 1,
			      VMIG_STATE_RUNNING);
}

static void asks_one_less(struct check_context *c)
{
	ask_often(c, CHECK_ARCS_MAX - 1);
}

static void asks_all(struct check_context *c)
{
	ask_often(c, CHECK_ARCS_MAX);
}

static void asks_one_more(struct check_context *c)
{
	ask_often(c, CHECK_ARCS_MAX + 1);
}

TEST(the_first_and_the_last_are_kept)
{
	struct check_result result = run(asks_one_less, NULL, 0);

	ck_assert_uint_eq(check_arcs_kept(&result), CHECK_ARCS_MAX - 1);
	result = run(asks_all, NULL, 0);
	ck_assert_uint_eq(check_arcs_kept(&result), CHECK_ARCS_MAX);
	ck_assert_int_eq(result.arcs[CHECK_ARCS_MAX - 1].error, -CHECK_ARCS_MAX);
	result = run(asks_one_more, NULL, 0);
	ck_assert_uint_eq(result.n_asked, CHECK_ARCS_MAX + 1);
	ck_assert_uint_eq(check_arcs_kept(&result), CHECK_ARCS_MAX);
	ck_assert_int_eq(result.arcs[CHECK_ARCS_MAX - 2].error, -(CHECK_ARCS_MAX - 1));
	ck_assert_int_eq(result.arcs[CHECK_ARCS_MAX - 1].error, -(CHECK_ARCS_MAX + 1));
}

TEST(what_was_left_is_not_trusted)
{
	struct check_result *left = check_left_new(), result;

	ck_assert_ptr_nonnull(left);
	memset(left, 0xff, sizeof(*left));
	check_left_take(left, 1000, &result);
	check_left_free(left);
	ck_assert_int_lt(result.verdict, CHECK_VERDICTS);
	ck_assert_uint_eq(strlen(result.did), CHECK_TEXT_MAX - 1);
	ck_assert_uint_eq(strspn(result.saw, "?"), CHECK_TEXT_MAX - 1);
	ck_assert_uint_eq(check_arcs_kept(&result), CHECK_ARCS_MAX);
	for (uint32_t i = 0; i < CHECK_ARCS_MAX; i++) {
		expect_arc(&result.arcs[i], VMIG_STATE_NONE, VMIG_STATE_NONE, CHECK_CAME_NOT);
		ck_assert_uint_le(result.arcs[i].at_ns + result.arcs[i].ns, 1000);
	}
}

TEST(texts_become_printable)
{
	static const struct {
		const char *from, *to;
	} rows[] = {
		{ "", "" },
		{ "a <b> & \"c\"", "a <b> & \"c\"" },
		{ "a\nb\x1b[31m\x7f", "a?b?[31m?" },
		{ "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80", "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80" },
		{ "\xc0\xaf \xe0\x80\xaf \xf0\x80\x80\xaf", "?? ??? ????" }, /* overlong */
		{ "\xed\xa0\x80 \xf4\x90\x80\x80 \xff", "??? ???? ?" },      /* surrogate, too large */
		{ "\xc2\x9b"
		  "31m \xc2\xa0",
		  "??31m \xc2\xa0" }, /* a control character */
		{ "\xe2\x80\xae"
		  "a \xe2\x81\xa6",
		  "???a ???" },                                      /* turns what follows */
		{ "\xef\xbf\xbe \xef\xbf\xbd", "??? \xef\xbf\xbd" }, /* no character */
		{ "\xe2\x82", "??" },
		{ "\xf0\x9f", "??" },
	};
	char text[64];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(text, sizeof(text), "%s", rows[i].from);
		check_text_clean(text);
		ck_assert_str_eq(text, rows[i].to);
	}
}

static void put(struct check_result *result, struct check_arc arc)
{
	result->arcs[result->n_asked++] = arc;
}

TEST(transitions_are_summed_over_all_checks)
{
	struct check_arc_sum sums[CHECK_SUMS_MAX];
	struct check_result *results;
	size_t n = 0;

	while (check_table[n].id)
		n++;
	results = calloc(n, sizeof(*results));
	ck_assert_ptr_nonnull(results);
	for (uint64_t i = 0; i < 5; i++)
		put(&results[i % 2 ? n - 1 : 0],
		    (struct check_arc){ VMIG_STATE_STOP, VMIG_STATE_RUNNING, .ns = 50 - 10 * i });
	put(&results[1],
	    (struct check_arc){ VMIG_STATE_STOP, VMIG_STATE_RUNNING, .came = CHECK_CAME_WRONG, .ns = 1 });
	put(&results[1], (struct check_arc){ VMIG_STATE_STOP, VMIG_STATE_RUNNING, .second = true });
	put(&results[1], (struct check_arc){ VMIG_STATE_NONE, VMIG_STATE_RUNNING });
	put(&results[1], (struct check_arc){ VMIG_STATE_STOP, VMIG_STATE_RUNNING, .reset = true, .ns = 7 });
	ck_assert_int_eq(check_arcs_sum(results, sums), 2);
	ck_assert_uint_eq(sums[0].n[CHECK_CAME_OK], 5);
	ck_assert_uint_eq(sums[0].n[CHECK_CAME_WRONG], 1);
	ck_assert_uint_eq(sums[0].min_ns, 10);
	ck_assert_uint_eq(sums[0].median_ns, 30);
	ck_assert_uint_eq(sums[0].max_ns, 50);
	ck_assert(sums[1].reset && sums[1].n[CHECK_CAME_OK] == 1 && sums[1].median_ns == 7);
	free(results);
}

HARNESS("check-evidence", T(what_was_asked_is_there), T(what_failed_is_wrong),
	T(a_transition_that_hangs_is_there), T(of_a_process_that_died_all_is_there),
	T(the_first_and_the_last_are_kept), T(what_was_left_is_not_trusted), T(texts_become_printable),
	T(transitions_are_summed_over_all_checks))
