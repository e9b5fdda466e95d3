/* SPDX-License-Identifier: BSD-3-Clause */
/* The checks by the kernel's calls are tested: each mutant is found by its checks, a good device by none, by group and cdev. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check/kernel/kernel.h"
#include "judge.h"
#include "kernel-mutant.h"
#include "kernel-way.h"
#include "tests/harness.h"

#define TIMEOUT_MS 120000
#define HANG_MS    1000
#define CDEV       "/dev/vfio/devices/vfio0"

struct which {
	const char *name, *spec, *path;
};

static int open_mutant(void *opaque, bool second, struct check_kernel *ret, char *why, size_t why_size)
{
	/* A device that was closed may be opened again. */
	static struct check_calls calls;
	const struct which *which = opaque;
	int r = 0;

	if (!calls.open) {
		r = kernel_way_new(which->spec, &calls, why, why_size);
		if (!r)
			kernel_mutant_break(which->name, &calls);
	}
	return r ? r : check_kernel_open(&calls, which->path, ret, why, why_size);
}

static void judge_at(struct which which, const char *checks)
{
	const struct check_target target = {
		.open_kernel = open_mutant, .opaque = &which, .dangerous = true, .timeout_ms = TIMEOUT_MS
	};

	for (const struct check *check = check_table; check->id; check++)
		if ((check->needs & CHECK_BY_KERNEL) &&
		    (!which.name || judge_expects(checks, check->id) || MUTANTS_MEET_ALL))
			judge_check(&target, check, which.name, checks);
}

static void judge(const char *name, const char *checks)
{
	const char *spec = kernel_mutant_spec(name);

	ck_assert_msg(spec != NULL, "%s: no such mutant", name);
	judge_at((struct which){ name, spec, CDEV }, checks);
}

static void good(const char *spec, const char *usual)
{
	judge_at((struct which){ NULL, spec, CDEV }, usual);
}

TEST(good_devices_turn_none_red_by_cdev)
{
	good("nic,state=16K", "");
	good("accel,state=16K,precopy=on", "");
	good("serial", "");
}

TEST(devices_without_optional_states_turn_none_red)
{
	good("nic,state=16K,p2p=off", "");
	good("nic,state=16K,precopy=off", "");
	good("serial,p2p=off,precopy=off", "");
}

static const struct check *find_check(const char *id)
{
	const struct check *check = check_table;

	while (check->id && strcmp(check->id, id) != 0)
		check++;
	ck_assert_ptr_nonnull(check->id);
	return check;
}

/* It cannot load, so that it meets one check only. */
TEST(a_device_that_goes_to_error_is_good)
{
	struct which which = { NULL, "serial,fault=load:error", CDEV };
	const struct check_target target = { .open_kernel = open_mutant,
					     .opaque = &which,
					     .timeout_ms = TIMEOUT_MS };
	struct check_result result;

	check_run(&target, find_check("out-of-error-by-reset-only"), &result);
	ck_assert_msg(result.verdict == CHECK_PASS, "%s: %s", result.did, result.saw);
}

/* As kernels up to 6.12.95, but that its process can be killed. */
TEST(a_device_that_never_comes_back_hangs)
{
	struct which which = { "never-comes-back", kernel_mutant_spec("never-comes-back"), CDEV };
	const struct check_target target = {
		.open_kernel = open_mutant, .opaque = &which, .dangerous = true, .timeout_ms = HANG_MS
	};
	struct check_result result;

	check_run(&target, find_check("stop-copy-to-pre-copy"), &result);
	ck_assert_msg(result.verdict == CHECK_HANG, "%s: %s", result.did, result.saw);
}

/* A folder as sysfs has it for a device of group 90. */
TEST(a_good_device_turns_none_red_by_group)
{
	char folder[] = "/tmp/vmig-check.XXXXXX", link[64];

	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(link, sizeof(link), "%s/iommu_group", folder);
	ck_assert_int_eq(symlink("../../kernel/iommu_groups/90", link), 0);
	judge_at((struct which){ NULL, "nic,state=16K", folder }, "");
	unlink(link);
	rmdir(folder);
}

static void judge_part(unsigned int part)
{
	judge_rows("tests/check/kernel-mutant.c", part, 4, judge);
}

TEST(mutants_are_found_by_their_checks_only_1)
{
	judge_part(0);
}

TEST(mutants_are_found_by_their_checks_only_2)
{
	judge_part(1);
}

TEST(mutants_are_found_by_their_checks_only_3)
{
	judge_part(2);
}

TEST(mutants_are_found_by_their_checks_only_4)
{
	judge_part(3);
}

HARNESS("check-kernel-mutants", T_SLOW(good_devices_turn_none_red_by_cdev, 120),
	T_SLOW(devices_without_optional_states_turn_none_red, 120),
	T_SLOW(a_good_device_turns_none_red_by_group, 120), T(a_device_that_goes_to_error_is_good),
	T(a_device_that_never_comes_back_hangs), T_SLOW(mutants_are_found_by_their_checks_only_1, 120),
	T_SLOW(mutants_are_found_by_their_checks_only_2, 120),
	T_SLOW(mutants_are_found_by_their_checks_only_3, 120),
	T_SLOW(mutants_are_found_by_their_checks_only_4, 120))
