/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Check has no "skipped": a test that skips leaves a note, which is read when its process has ended. */
static char skip_note[64];
static jmp_buf skipped;
static int fds_at_start;
static unsigned int seed;

int harness_count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	if (!dir)
		return -1;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 3; /* ".", ".." and the folder itself */
}

unsigned int harness_seed(void)
{
	return seed;
}

void harness_skip_(const char *format, ...)
{
	FILE *f = fopen(skip_note, "w");
	va_list ap;

	va_start(ap, format);
	if (f) {
		vfprintf(f, format, ap);
		fclose(f);
	}
	va_end(ap);
	longjmp(skipped, 1);
}

/* A test's timeout is for what hangs. What is only slow, on a machine that has other things to do, must not fail: the
 * factors are those that scripts/test has for a whole program. */
#if defined(__SANITIZE_THREAD__)
#define PATIENCE 6
#elif defined(__SANITIZE_ADDRESS__)
#define PATIENCE 4
#else
#define PATIENCE 2
#endif

static const struct harness_test *running;

static void run_one(int i)
{
	(void)i;
	fds_at_start = harness_count_fds();
	if (setjmp(skipped))
		return;
	running->fn();
	ck_assert_msg(harness_count_fds() == fds_at_start, "descriptors: %d open before, %d after (seed %u)",
		      fds_at_start, harness_count_fds(), seed);
}

/* Check runs one test at a time here, so that each line of TAP can be printed as it is known. */
static bool run(const char *suite_name, const struct harness_test *test, int number)
{
	Suite *suite = suite_create(suite_name);
	TCase *tcase = tcase_create(test->name);
	TTest ttest = { .name = test->name, .file = suite_name, .line = 0, .fn = run_one };
	SRunner *runner;
	FILE *note;
	bool ok;

	unlink(skip_note);
	running = test;
	tcase_set_timeout(tcase, PATIENCE * (test->timeout_s ? test->timeout_s : 20));
	_tcase_add_test(tcase, &ttest, 0, 0, 0, 1);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	if (getenv("HARNESS_NO_FORK"))
		srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_SILENT);
	ok = !srunner_ntests_failed(runner);
	note = ok ? fopen(skip_note, "r") : NULL;
	if (!ok) {
		TestResult **results = srunner_failures(runner);

		printf("not ok %d - %s.%s\n", number, suite_name, test->name);
		printf("# %s:%d: %s (seed %u)\n", tr_lfile(results[0]), tr_lno(results[0]),
		       tr_msg(results[0]), seed);
		free(results);
	} else if (note) {
		char why[256] = "";

		if (!fgets(why, sizeof(why), note))
			why[0] = '\0';
		printf("ok %d - %s.%s # SKIP %s\n", number, suite_name, test->name, why);
	} else {
		printf("ok %d - %s.%s\n", number, suite_name, test->name);
	}
	if (note)
		fclose(note);
	unlink(skip_note);
	srunner_free(runner);
	fflush(stdout);
	return ok;
}

int harness_main(int argc, char **argv, const char *suite, const struct harness_test *tests, int n)
{
	const char *only = argc > 1 ? argv[1] : NULL;
	const char *wish = getenv("HARNESS_SEED");
	int number = 0, failed = 0, chosen = 0;

	seed = wish ? (unsigned int)strtoul(wish, NULL, 0)
		    : (unsigned int)time(NULL) ^ (unsigned int)getpid();
	snprintf(skip_note, sizeof(skip_note), "/tmp/vmig-test-skip.%d", (int)getpid());
	for (int i = 0; i < n; i++)
		chosen += !only || !strcmp(only, tests[i].name);
	if (!chosen) {
		fprintf(stderr, "%s: no test called %s\n", suite, only);
		return 2;
	}
	printf("1..%d\n", chosen);
	for (int i = 0; i < n; i++)
		if (!only || !strcmp(only, tests[i].name))
			failed += !run(suite, &tests[i], ++number);
	return failed ? 1 : 0;
}
