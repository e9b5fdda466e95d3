/* SPDX-License-Identifier: BSD-3-Clause */
/* The suite is tested: each mutant turns exactly the checks red that mutants.tsv names; a good device none. */
#include <stdio.h>
#include <string.h>

#include "judge.h"
#include "models/models.h"
#include "tests/harness.h"
#include "tools/vmig/check-drive.h"

#define SPEC       "nic,state=16K"
#define OTHER      "accel,state=16K,log=device" /* reads, too */
#define SECTION    (8u << 10)                   /* of v1: a few transactions */
#define OF_V1      "v1-"                        /* how rules of the migration region are called, and checks */
#define TIMEOUT_MS 120000
#define LINE_SIZE  1024

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

static bool is_idle(const char *name)
{
	return name && strstr(name, "idle");
}

/* Does it meet a check that is not to find it? One that does nothing would be waited for by each that looks for work. */
static bool meets(const char *name, const char *checks, const struct check *check)
{
	if (is_idle(name) && (check->needs & CHECK_NEEDS_WORK))
		return false;
	return MUTANTS_MEET_ALL || !strcmp(checks, "-");
}

/* @name NULL: a good device; OF_V1: one that is shown by v1. A device of v1 meets the checks of its region. */
static void judge_on(const char *model, const char *name, const char *checks)
{
	const bool v1 = of_v1(name), good = !name || !strcmp(name, OF_V1);
	char spec[LINE_SIZE];
	/* The ring of the first queue. */
	static const struct check_touch touch = { .offset = 0x1000, .bytes = { 0, 0x20 }, .len = 8 };
	const struct check_target target = {
		.open = open_spec,
		.touch = &touch,
		.open_region = v1 ? open_v1 : NULL,
		.dangerous = v1,
		.opaque = spec,
		.driver = &check_drive_workload,
		.has_second = true,
		.timeout_ms = TIMEOUT_MS,
		/* Those that do nothing are waited for. */
		.patience_ms = is_idle(name) ? 3000 : 0,
	};

	snprintf(spec, sizeof(spec), "%s%s%s", model, good ? "" : ",fault=rule:", good ? "" : name);
	for (const struct check *check = check_table; check->id; check++) {
		if (v1 != !!(check->needs & CHECK_BY_REGION))
			continue;
		if (good || judge_expects(checks, check->id) || meets(name, checks, check))
			judge_check(&target, check, name, checks);
	}
}

static void judge(const char *name, const char *checks)
{
	judge_on(SPEC, name, checks);
}

static void judge_other(const char *name, const char *checks)
{
	judge_on(OTHER, name, checks);
}

TEST(mutants_of_another_model)
{
	judge_rows("model:" OTHER, 0, 1, judge_other);
}

TEST(a_good_device_turns_none_red)
{
	judge_on(OTHER, NULL, "");
	judge(NULL, "");
	judge(OF_V1, "");
}

#define PARTS 8
#define PART(n)                                                                                              \
	TEST(mutants_are_found_by_their_checks_only_##n)                                                     \
	{                                                                                                    \
		judge_rows(NULL, n - 1, PARTS, judge);                                                       \
	}
#define T_PART(n) T_SLOW(mutants_are_found_by_their_checks_only_##n, 120)

/* clang-format off */
PART(1) PART(2) PART(3) PART(4) PART(5) PART(6) PART(7) PART(8)

HARNESS("check-mutants", T_SLOW(a_good_device_turns_none_red, 120), T_SLOW(mutants_of_another_model, 120), T_PART(1), T_PART(2), T_PART(3), T_PART(4), T_PART(5),
	T_PART(6), T_PART(7), T_PART(8))
