/* SPDX-License-Identifier: BSD-3-Clause */
#include "judge.h"

#include <stdio.h>
#include <string.h>

#include "tests/harness.h"

#define LINE_SIZE 1024

char judge_expects(const char *checks, const char *id)
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

static char seen(const struct check_result *result)
{
	return result->verdict == CHECK_FAIL ? '!' : result->verdict == CHECK_OBSERVATION ? '?' : 0;
}

void judge_check(const struct check_target *target, const struct check *check, const char *name,
		 const char *checks)
{
	char want = judge_expects(checks, check->id), got;
	struct check_result result;

	check_run(target, check, &result);
	got = seen(&result);
	ck_assert_msg(result.verdict != CHECK_ERROR && result.verdict != CHECK_HANG, "%s, %s: %s: %s", name,
		      check->id, check_verdict_name(result.verdict), result.saw);
	ck_assert_msg(want == got, "%s, %s: %s: did: %s; saw: %s; expected: %s", name, check->id,
		      check_verdict_name(result.verdict), result.did, result.saw, result.expected);
}

void judge_rows(const char *by, unsigned int part, unsigned int parts,
		void (*judge)(const char *name, const char *checks))
{
	FILE *from = fopen(MUTANTS, "re");
	char line[LINE_SIZE];
	unsigned int n = 0;

	ck_assert_ptr_nonnull(from);
	while (fgets(line, sizeof(line), from)) {
		char *rest = line, *name = strsep(&rest, "\t\n"), *checks = strsep(&rest, "\t\n"),
		     *broken = strsep(&rest, "\t\n"), *who = strsep(&rest, "\t\n");

		if (*name == '#' || !broken || strcmp(who ? who : "", by ? by : "") != 0 ||
		    n++ % parts != part)
			continue;
		judge(name, checks);
	}
	fclose(from);
	ck_assert_uint_ge(n, parts);
}

/* Each check's process ends with its threads; ThreadSanitizer would let each sleep a second for them. */
const char *__tsan_default_options(void);
__attribute__((visibility("default"))) const char *__tsan_default_options(void)
{
	return "atexit_sleep_ms=0";
}
