/* SPDX-License-Identifier: BSD-3-Clause */
/* How a check runs: what hangs, dies or cannot be opened is a result; whose state a device holds is kept. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vmig/uuid.h>

#include "check/context.h"
#include "models/models.h"
#include "tests/harness.h"

#define LONG_MS 60000

static int open_model(void *opaque, bool second, struct vmig_device **ret, char *why, size_t why_size)
{
	struct vmig_error error;
	int r = models_open(opaque ? opaque : "serial", ret, &error);

	if (r)
		snprintf(why, why_size, "%s", error.text);
	return r;
}

static void does_nothing(struct check_context *c)
{
}

static void hangs(struct check_context *c)
{
	check_did(c, "paused for ever");
	for (;;)
		pause();
}

static void dies(struct check_context *c)
{
	_exit(7);
}

static struct check_result run(struct check_target target, const struct check check)
{
	struct check_result result;

	if (!target.open)
		target.open = open_model;
	if (!target.timeout_ms)
		target.timeout_ms = LONG_MS;
	check_run(&target, &check, &result);
	return result;
}

#define CHECK(...) ((const struct check){ .id = "x", .about = "y", __VA_ARGS__ })

TEST(a_check_that_returns_has_passed)
{
	struct check_result result = run((struct check_target){ 0 }, CHECK(.run = does_nothing));

	ck_assert_int_eq(result.verdict, CHECK_PASS);
}

TEST(a_hang_is_a_result)
{
	struct check_result result = run((struct check_target){ .timeout_ms = 200 }, CHECK(.run = hangs));

	ck_assert_int_eq(result.verdict, CHECK_HANG);
	ck_assert(!result.lost);
	ck_assert_ptr_nonnull(strstr(result.saw, "200 ms"));
	ck_assert_str_eq(result.did, "paused for ever");
	ck_assert_str_eq(result.expected, "y");
}

static dev_t output_dev;
static ino_t output_ino;

/* One that hangs in the kernel for good would hold a pipe open. */
static void looks_at_its_output(struct check_context *c)
{
	struct stat st;

	for (int fd = 1; fd <= 2; fd++)
		if (fstat(fd, &st) || (st.st_dev == output_dev && st.st_ino == output_ino))
			_exit(1);
}

TEST(a_check_has_no_output_of_its_callers)
{
	int fds[2], out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
	struct check_result result;
	struct stat st;

	ck_assert_int_eq(pipe(fds), 0);
	fflush(NULL);
	dup2(fds[1], STDOUT_FILENO);
	dup2(fds[1], STDERR_FILENO);
	fstat(fds[1], &st);
	output_dev = st.st_dev;
	output_ino = st.st_ino;
	result = run((struct check_target){ 0 }, CHECK(.run = looks_at_its_output));
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	close(out);
	close(err);
	close(fds[0]);
	close(fds[1]);
	ck_assert_int_eq(result.verdict, CHECK_PASS);
}

static void prints(struct check_context *c)
{
	fputs("of a check", stderr);
}

TEST(what_a_check_prints_is_on_standard_error)
{
	char text[32] = "";
	int fds[2], err = dup(STDERR_FILENO);

	ck_assert_int_eq(pipe(fds), 0);
	dup2(fds[1], STDERR_FILENO);
	run((struct check_target){ 0 }, CHECK(.run = prints));
	dup2(err, STDERR_FILENO);
	close(err);
	close(fds[1]);
	ck_assert_int_gt((int)read(fds[0], text, sizeof(text) - 1), 0);
	close(fds[0]);
	ck_assert_str_eq(text, "of a check");
}

TEST(a_process_that_dies_is_an_error)
{
	struct check_result result = run((struct check_target){ 0 }, CHECK(.run = dies));

	ck_assert_int_eq(result.verdict, CHECK_ERROR);
	ck_assert_ptr_nonnull(strstr(result.saw, "status 7"));
}

TEST(a_device_that_cannot_be_opened_is_an_error)
{
	struct check_result result =
		run((struct check_target){ .opaque = (void *)"serial,none=1" }, CHECK(.run = does_nothing));

	ck_assert_int_eq(result.verdict, CHECK_ERROR);
	ck_assert_str_ne(result.saw, "");
}

TEST(what_a_device_lacks_is_not_applicable)
{
	struct check_result result = run((struct check_target){ .opaque = (void *)"serial,p2p=off" },
					 CHECK(.run = does_nothing, .needs = CHECK_NEEDS_P2P));

	ck_assert_int_eq(result.verdict, CHECK_NOT_APPLICABLE);
}

TEST(bad_data_go_into_a_kernel_driver_only_if_allowed)
{
	const struct check check = CHECK(.run = does_nothing, .needs = CHECK_NEEDS_DAMAGE);

	ck_assert_int_eq(run((struct check_target){ .kernel = true }, check).verdict, CHECK_SKIPPED);
	ck_assert_int_eq(run((struct check_target){ .kernel = true, .dangerous = true }, check).verdict,
			 CHECK_PASS);
	ck_assert_int_eq(run((struct check_target){ 0 }, check).verdict, CHECK_PASS);
}

static int open_held(void *opaque, bool second, struct vmig_device **ret, char *why, size_t why_size)
{
	struct vmig_tag tag = { 0 };
	int r = open_model("serial", second, ret, why, why_size);

	memset(&tag.identity, 0x42, sizeof(tag.identity));
	return r ? r : vmig_device_set_tag(*ret, &tag);
}

TEST(a_device_that_holds_a_migrated_state_is_left_alone)
{
	const struct check check = CHECK(.run = does_nothing);
	struct check_result result = run((struct check_target){ .open = open_held }, check);

	ck_assert_int_eq(result.verdict, CHECK_ERROR);
	ck_assert_ptr_nonnull(strstr(result.saw, "--dangerous"));
	ck_assert_int_eq(run((struct check_target){ .open = open_held, .dangerous = true }, check).verdict,
			 CHECK_PASS);
}

TEST(the_worst_check_decides_over_a_clause)
{
	static struct check_result results[1024];
	const struct check_clause clause = { .id = "set.complete" }; /* of more than one check */
	const struct check_clause other = { .id = "none" };

	for (size_t i = 0; check_table[i].id; i++) {
		ck_assert_uint_lt(i, sizeof(results) / sizeof(results[0]));
		results[i].verdict = CHECK_PASS;
	}
	ck_assert_int_eq(check_clause_verdict(&clause, results), CHECK_PASS);
	for (size_t i = 0; check_table[i].id; i++)
		if (!strcmp(check_table[i].id, "the-same-state"))
			results[i].verdict = CHECK_FAIL;
	ck_assert_int_eq(check_clause_verdict(&clause, results), CHECK_FAIL);
	ck_assert(!check_clause_has_check(&other));
}

HARNESS("check-suite", T(a_check_that_returns_has_passed), T(a_hang_is_a_result),
	T(a_check_has_no_output_of_its_callers), T(what_a_check_prints_is_on_standard_error),
	T(a_process_that_dies_is_an_error), T(a_device_that_cannot_be_opened_is_an_error),
	T(what_a_device_lacks_is_not_applicable), T(bad_data_go_into_a_kernel_driver_only_if_allowed),
	T(a_device_that_holds_a_migrated_state_is_left_alone), T(the_worst_check_decides_over_a_clause))
