/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * harness - every test in its own process, with a timeout and a count of its open descriptors.
 *
 * A test program is one table:
 *
 *	TEST(walks_to_stop)
 *	{
 *		ck_assert_int_eq(...);
 *	}
 *	HARNESS("fsm", T(walks_to_stop), T(other))
 *
 * A test that leaves a descriptor open fails. Output is TAP. The first argument, if any, is the name of the
 * one test to run. HARNESS_NO_FORK=1 in the environment runs all in one process, for a debugger.
 */
#ifndef VMIG_TESTS_HARNESS_H
#define VMIG_TESTS_HARNESS_H

#include <check.h>
#include <stdbool.h>

struct harness_test {
	const char *name;
	void (*fn)(void);
	int timeout_s; /* 0: 20; on an idle machine, without sanitizers */
};

#define TEST(name) static void test_##name(void)
/* clang-format off */
#define T(name) { #name, test_##name, 0 }
#define T_SLOW(name, seconds) { #name, test_##name, seconds }
/* clang-format on */

/** In a test that cannot be done here (a peer is absent, no permission): counted as skipped, never as passed. */
#define harness_skip(...) harness_skip_(__VA_ARGS__)
__attribute__((noreturn, format(printf, 1, 2))) void harness_skip_(const char *format, ...);

int harness_main(int argc, char **argv, const char *suite, const struct harness_test *tests, int n);

/** The number of descriptors that this process has open. */
int harness_count_fds(void);

/** The seed of this run: HARNESS_SEED from the environment, or a fresh one; printed when a test fails. */
unsigned int harness_seed(void);

#define HARNESS(suite, ...)                                                                                  \
	static const struct harness_test harness_tests[] = { __VA_ARGS__ };                                  \
	int main(int argc, char **argv)                                                                      \
	{                                                                                                    \
		return harness_main(argc, argv, suite, harness_tests,                                        \
				    sizeof(harness_tests) / sizeof(harness_tests[0]));                       \
	}

#endif
