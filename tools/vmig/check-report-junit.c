/* SPDX-License-Identifier: BSD-3-Clause */
/* The report as JUnit XML. */
#include <errno.h>
#include <string.h>

#include "check-report.h"

static void print_case(FILE *to, const struct check *check, const struct check_result *result)
{
	const char *element = result->verdict == CHECK_ERROR         ? "error"
			      : check_report_is_bad(result->verdict) ? "failure"
			      : result->verdict == CHECK_NOT_APPLICABLE || result->verdict == CHECK_SKIPPED
				      ? "skipped"
			      : result->verdict == CHECK_OBSERVATION ? "system-out"
								     : NULL;

	fprintf(to, "  <testcase classname=\"vmig.check\" name=\"%s\" time=\"%.6f\">", check->id,
		(double)result->ns / 1e9);
	if (element) {
		fprintf(to, "<%s%s", element, strcmp(element, "system-out") != 0 ? " message=\"" : ">");
		check_report_escape(to, result->saw);
		fputs(strcmp(element, "system-out") != 0 ? "\">" : "; ", to);
		fputs("did: ", to);
		check_report_escape(to, result->did);
		fputs("; expected: ", to);
		check_report_escape(to, result->expected);
		fprintf(to, "</%s>", element);
	}
	fputs("</testcase>\n", to);
}

int check_report_junit(const struct check_report *report, const char *path)
{
	const uint32_t *n = report->counts;
	uint32_t all = 0;
	FILE *to = fopen(path, "we");
	bool bad;

	if (!to)
		return tool_fail(VMIG_BAD_INPUT, "%s: cannot be written: %s", path, strerror(errno));
	for (int i = 0; i < CHECK_VERDICTS; i++)
		all += n[i];
	fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"", to);
	check_report_escape(to, report->device);
	fprintf(to, "\" tests=\"%u\" failures=\"%u\" errors=\"%u\" skipped=\"%u\">\n", all,
		n[CHECK_FAIL] + n[CHECK_HANG], n[CHECK_ERROR], n[CHECK_NOT_APPLICABLE] + n[CHECK_SKIPPED]);
	for (size_t i = 0; check_table[i].id; i++)
		print_case(to, &check_table[i], &report->results[i]);
	fputs("</testsuite>\n", to);
	bad = ferror(to);
	if (fclose(to) || bad)
		return tool_fail(VMIG_BAD_INPUT, "%s: cannot be written: %s", path, strerror(errno));
	return 0;
}
