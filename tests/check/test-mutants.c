/* SPDX-License-Identifier: BSD-3-Clause */
/* The suite is tested: each mutant turns exactly the checks red that mutants.tsv names; a good device none. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/check.h"
#include "models/models.h"
#include "tests/harness.h"
#include "tools/vmig/check-drive.h"

#define SPEC       "nic,state=16K"
#define SECTION    (8u << 10) /* of v1: a few transactions */
#define OF_V1      "v1-"      /* how rules of the migration region are called, and checks */
#define TIMEOUT_MS 120000
#define LINE_SIZE  1024

/* Does each mutant meet all checks, or its own? All take long; one build of the three does so. */
#ifndef MUTANTS_MEET_ALL
#define MUTANTS_MEET_ALL false
#endif

static int open_spec(void *opaque, bool second, struct vmig_device **ret, char *why, size_t why_size)
{
	struct vmig_error error;
	int r = models_open(opaque, ret, &error);

	if (r)
		snprintf(why, why_size, "%s", error.text);
	return r;
}

static int open_v1(void *opaque, bool second, struct vmig_device **ret, char *why, size_t why_size)
{
	const struct vmig_v1_config config = { .section = VMIG_V1_SECTION_MAPPED, .section_size = SECTION };
	struct vmig_error error;
	int r = models_open_v1(opaque, &config, ret, &error);

	if (r)
		snprintf(why, why_size, "%s", error.text);
	return r;
}

static bool of_v1(const char *name)
{
	return name && !strncmp(name, OF_V1, strlen(OF_V1));
}

/* "id,id?": '?' is an observation. */
static char expected(const char *checks, const char *id)
{
	size_t len = strlen(id);

	for (const char *at = checks; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (!strncmp(at, id, len) && (!at[len] || at[len] == ','))
			return '!';
		if (!strncmp(at, id, len) && at[len] == '?' && (!at[len + 1] || at[len + 1] == ','))
			return '?';
	}
	return 0;
}

/* What every good device of this kind has. */
static bool usual(const char *id)
{
	return !strcmp(id, "flipped-bit");
}

static char seen(const struct check_result *result)
{
	return result->verdict == CHECK_FAIL ? '!' : result->verdict == CHECK_OBSERVATION ? '?' : 0;
}

/* @name NULL: a good device; OF_V1: one that is shown by v1. A device of v1 meets the checks of its region. */
static void judge(const char *name, const char *checks)
{
	const bool v1 = of_v1(name), good = !name || !strcmp(name, OF_V1);
	char spec[LINE_SIZE];
	const struct check_target target = {
		.open = open_spec,
		.open_region = v1 ? open_v1 : NULL,
		.dangerous = v1,
		.opaque = spec,
		.driver = &check_drive_workload,
		.has_second = true,
		.timeout_ms = TIMEOUT_MS,
		/* Those that do nothing are waited for. */
		.patience_ms = name && strstr(name, "idle") ? 3000 : 0,
	};

	snprintf(spec, sizeof(spec), SPEC "%s%s", good ? "" : ",fault=rule:", good ? "" : name);
	for (const struct check *check = check_table; check->id; check++) {
		char want = expected(checks, check->id), got;
		struct check_result result;

		if ((!good && !want && !MUTANTS_MEET_ALL) || v1 != !!(check->needs & CHECK_BY_REGION))
			continue;
		check_run(&target, check, &result);
		got = seen(&result);
		ck_assert_msg(result.verdict != CHECK_ERROR && result.verdict != CHECK_HANG, "%s, %s: %s: %s",
			      name, check->id, check_verdict_name(result.verdict), result.saw);
		if (!want && got == '?' && usual(check->id))
			continue;
		ck_assert_msg(want == got, "%s, %s: %s: did: %s; saw: %s; expected: %s", name, check->id,
			      check_verdict_name(result.verdict), result.did, result.saw, result.expected);
	}
}

TEST(a_good_device_turns_none_red)
{
	judge(NULL, "");
	judge(OF_V1, "");
}

/* Each line of the table that a model breaks and whose number is @part, of @parts. */
static void judge_part(unsigned int part, unsigned int parts)
{
	FILE *from = fopen(MUTANTS, "re");
	char line[LINE_SIZE];
	unsigned int n = 0;

	ck_assert_ptr_nonnull(from);
	while (fgets(line, sizeof(line), from)) {
		char *rest = line, *name = strsep(&rest, "\t\n"), *checks = strsep(&rest, "\t\n"),
		     *broken = strsep(&rest, "\t\n"), *by = strsep(&rest, "\t\n");

		if (*name == '#' || !broken || (by && *by) || n++ % parts != part)
			continue;
		judge(name, checks);
	}
	fclose(from);
	ck_assert_uint_gt(n, parts);
}

TEST(mutants_are_found_by_their_checks_only_1)
{
	judge_part(0, 4);
}

TEST(mutants_are_found_by_their_checks_only_2)
{
	judge_part(1, 4);
}

TEST(mutants_are_found_by_their_checks_only_3)
{
	judge_part(2, 4);
}

TEST(mutants_are_found_by_their_checks_only_4)
{
	judge_part(3, 4);
}

HARNESS("check-mutants", T_SLOW(a_good_device_turns_none_red, 120),
	T_SLOW(mutants_are_found_by_their_checks_only_1, 120),
	T_SLOW(mutants_are_found_by_their_checks_only_2, 120),
	T_SLOW(mutants_are_found_by_their_checks_only_3, 120),
	T_SLOW(mutants_are_found_by_their_checks_only_4, 120))
