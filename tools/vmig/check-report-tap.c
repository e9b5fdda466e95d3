/* SPDX-License-Identifier: BSD-3-Clause */
/* The result of each check as a line of TAP. */
#include "check-report.h"

/* A '#' begins a directive. */
static void print_plain(FILE *to, const char *text)
{
	for (; *text; text++)
		fputc(*text == '#' || (unsigned char)*text < ' ' ? ' ' : *text, to);
}

void check_report_tap(uint32_t number, const struct check *check, const struct check_result *result)
{
	printf("%s %u - %s", check_report_is_bad(result->verdict) ? "not ok" : "ok", number, check->id);
	if (result->verdict == CHECK_NOT_APPLICABLE || result->verdict == CHECK_SKIPPED) {
		printf(" # SKIP %s: ", check_verdict_name(result->verdict));
		print_plain(stdout, result->saw);
	}
	printf("\n");
	if (check_report_is_worth_telling(result->verdict)) {
		printf("# %s\n# did: ", check_verdict_name(result->verdict));
		print_plain(stdout, result->did);
		printf("\n# saw: ");
		print_plain(stdout, result->saw);
		printf("\n# expected: ");
		print_plain(stdout, result->expected);
		printf("\n");
	}
	fflush(stdout);
}
