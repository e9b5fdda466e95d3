/* SPDX-License-Identifier: BSD-3-Clause */
/* The checks by messages are tested: each mutant of a server turns exactly the checks red that mutants.tsv names. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/check.h"
#include "judge.h"
#include "tests/harness.h"
#include "tools/vmig/check-fill.h"
#include "vu-mutant.h"

#define TIMEOUT_MS 120000
#define PARTS      4
#define ROUNDS     4

static int open_nothing(void *opaque, bool second, struct vmig_device **ret, char *why, size_t why_size)
{
	return -1; /* these checks have no handle */
}

static int open_socket(void *opaque, int *ret_fd, char *why, size_t why_size)
{
	int r = vu_mutant_connect(opaque, ret_fd);

	if (r)
		snprintf(why, why_size, "%s", strerror(-r));
	return r;
}

/* These wait for nothing to happen: that is long for those who have nothing to do with it. */
static bool is_long(const char *id)
{
	return !strcmp(id, "vu-dma-read-only") || !strcmp(id, "vu-dma-unmapped");
}

static bool meets(const char *id, const char *checks)
{
	return judge_expects(checks, id) || (MUTANTS_MEET_ALL && !is_long(id));
}

static void judge(const char *name, const char *checks)
{
	const struct vu_mutant *mutant = name ? vu_mutant_find(name) : NULL;
	const struct check_target target = {
		.open = open_nothing,
		.open_socket = open_socket,
		.opaque = (void *)(uintptr_t)mutant,
		.filler = &check_fill_nic,
		.dangerous = true,
		.timeout_ms = TIMEOUT_MS,
		/* One that says nothing is waited for. */
		.patience_ms = name && !strcmp(name, "stalls") ? 2000 : 60000,
	};

	ck_assert_msg(!name || mutant, "there is no mutant %s", name);
	for (const struct check *check = check_table; check->id; check++)
		if (check->needs & CHECK_BY_SOCKET && (!name || meets(check->id, checks)))
			judge_check(&target, check, name, checks);
}

TEST(a_good_server_turns_none_red)
{
	judge(NULL, "");
}

TEST(mutants_are_found_by_their_checks_only_1)
{
	judge_rows("vu-mutants", 0, PARTS, judge);
}

TEST(mutants_are_found_by_their_checks_only_2)
{
	judge_rows("vu-mutants", 1, PARTS, judge);
}

TEST(mutants_are_found_by_their_checks_only_3)
{
	judge_rows("vu-mutants", 2, PARTS, judge);
}

TEST(mutants_are_found_by_their_checks_only_4)
{
	judge_rows("vu-mutants", 3, PARTS, judge);
}

/* What comes then means nothing; the process of the check must stand it. */
static bool garble(struct vu_proxy *p, struct vu_seen *m)
{
	for (size_t i = 0; i < m->len && i < 256; i++)
		if (!(rand() % 300) && (i < 4 || i > 7 || !(rand() % 4)))
			m->at[i] ^= (uint8_t)(1u << rand() % 8);
	return true;
}

TEST(a_server_that_says_anything_brings_no_check_down)
{
	static const struct vu_mutant any = { "any", .reply = garble };
	const struct check_target target = {
		.open = open_nothing,
		.open_socket = open_socket,
		.opaque = (void *)(uintptr_t)&any,
		.filler = &check_fill_nic,
		.dangerous = true,
		.timeout_ms = TIMEOUT_MS,
		.patience_ms = 20,
	};
	struct check_result result;

	for (const struct check *check = check_table; check->id; check++)
		for (unsigned int i = 0; i < ROUNDS && check->needs & CHECK_BY_SOCKET; i++) {
			srand(harness_seed() + i + ROUNDS * (unsigned int)(check - check_table));
			check_run(&target, check, &result);
			ck_assert_msg(!strstr(result.saw, "the process of the check"), "%s: %s", check->id,
				      result.saw);
			ck_assert_msg(result.verdict != CHECK_HANG, "%s: %s", check->id, result.saw);
		}
}

HARNESS("check-vu-mutants", T_SLOW(a_server_that_says_anything_brings_no_check_down, 120),
	T_SLOW(a_good_server_turns_none_red, 120), T_SLOW(mutants_are_found_by_their_checks_only_1, 120),
	T_SLOW(mutants_are_found_by_their_checks_only_2, 120),
	T_SLOW(mutants_are_found_by_their_checks_only_3, 120),
	T_SLOW(mutants_are_found_by_their_checks_only_4, 120))
