/* SPDX-License-Identifier: BSD-3-Clause */
/* The judge of users is tested: who does all right keeps every rule, and each thing that is done wrong breaks its own. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vmig/uapi.h>

#include "check/user/user.h"
#include "tests/harness.h"
#include "user-script.h"

#define LINE_SIZE 1024

static struct check_user *start(void)
{
	return check_user_start(malloc(check_user_size()));
}

/* "id,id?": '?' is an observation. */
static char expected(const char *rules, const char *id)
{
	size_t len = strlen(id);

	for (const char *at = rules; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (!strncmp(at, id, len) && (!at[len] || at[len] == ','))
			return '!';
		if (!strncmp(at, id, len) && at[len] == '?' && (!at[len + 1] || at[len + 1] == ','))
			return '?';
	}
	return 0;
}

static char seen(const struct check_user_result *result)
{
	return result->verdict == CHECK_FAIL ? '!' : result->verdict == CHECK_OBSERVATION ? '?' : 0;
}

static void judge(const char *mutant, const char *rules)
{
	struct check_user *user = start();
	const struct check_user_result *results;

	user_script(user, mutant);
	results = check_user_results(user);
	for (uint32_t i = 0; check_user_rules[i].id; i++) {
		const char *id = check_user_rules[i].id;
		char want = expected(rules, id), got = seen(&results[i]);

		ck_assert_msg(got == want, "%s: %s is '%c', not '%c': did %s; saw %s", mutant, id,
			      got ? got : '-', want ? want : '-', results[i].did, results[i].saw);
		ck_assert_msg(!want || (results[i].saw[0] && results[i].expected[0] && results[i].did[0]),
			      "%s: %s says nothing", mutant, id);
	}
	free(user);
}

TEST(a_good_user_keeps_every_rule)
{
	struct check_user *user = start();

	user_script(user, "");
	for (uint32_t i = 0; check_user_rules[i].id; i++)
		ck_assert_msg(check_user_results(user)[i].verdict == CHECK_PASS, "%s: %s: did %s; saw %s",
			      check_user_rules[i].id, check_verdict_name(check_user_results(user)[i].verdict),
			      check_user_results(user)[i].did, check_user_results(user)[i].saw);
	ck_assert_uint_eq(check_user_sum(user)->n_saved, 4);
	ck_assert_uint_eq(check_user_sum(user)->n_loaded, 3);
	free(user);
}

TEST(each_mutant_breaks_its_rule)
{
	FILE *file = fopen(MUTANTS, "re");
	char line[LINE_SIZE];
	unsigned int n = 0;

	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file)) {
		char *save, *name = strtok_r(line, "\t", &save), *rules = strtok_r(NULL, "\t", &save);

		if (line[0] == '#')
			continue;
		ck_assert_ptr_nonnull(rules);
		judge(name, rules);
		n++;
	}
	fclose(file);
	ck_assert_uint_ge(n, 40);
}

TEST(who_does_nothing_keeps_nothing)
{
	struct check_user *user = start();

	check_user_end(user, true);
	for (uint32_t i = 0; check_user_rules[i].id; i++)
		ck_assert_int_eq(check_user_results(user)[i].verdict, CHECK_NOT_APPLICABLE);
	ck_assert_uint_eq(check_user_sum(user)->n_calls, 0);
	free(user);
}

TEST(lost_calls_are_an_error_and_no_pass)
{
	struct check_user *user = start();

	check_user_end(user, false);
	for (uint32_t i = 0; check_user_rules[i].id; i++)
		ck_assert_int_eq(check_user_results(user)[i].verdict, CHECK_ERROR);
	free(user);
}

/* A call comes through memory that the user of the device may write to. */
TEST(nonsense_is_judged_too)
{
	struct check_user *user = start();
	unsigned int seed = harness_seed();

	for (uint32_t n = 0; n < 200000; n++) {
		struct vmig_kabi_call call;
		unsigned char *bytes = (unsigned char *)&call;

		for (size_t i = 0; i < sizeof(call); i++)
			bytes[i] = (unsigned char)(rand_r(&seed) % 7 ? rand_r(&seed) % 10 : rand_r(&seed));
		call.device = (uint16_t)(rand_r(&seed) % 17);
		if (n % 2)
			call.request = VMIG_UAPI_DEVICE_FEATURE;
		call.offset = n % 3 ? (uint64_t)(rand_r(&seed) % 12) << (rand_r(&seed) % 2 ? 40 : 0) |
					      (uint64_t)(rand_r(&seed) % 4) << 16
				    : call.offset;
		check_user_call(user, n, &call);
	}
	check_user_end(user, true);
	free(user);
}

HARNESS("check.user", T(a_good_user_keeps_every_rule), T(each_mutant_breaks_its_rule),
	T(who_does_nothing_keeps_nothing), T(lost_calls_are_an_error_and_no_pass), T(nonsense_is_judged_too))
