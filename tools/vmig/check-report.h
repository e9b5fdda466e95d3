/* SPDX-License-Identifier: BSD-3-Clause */
/** check-report - what comes of a run of the conformance suite, in its forms. */
#ifndef VMIG_TOOLS_CHECK_REPORT_H
#define VMIG_TOOLS_CHECK_REPORT_H

#include "check/check.h"
#include "tool.h"

struct check_report {
	const char *device, *second;  /* as they were given; @second may be NULL */
	struct check_result *results; /* one for each check of check_table */
	uint32_t counts[CHECK_VERDICTS];
};

void check_report_text(const struct check_report *report);
void check_report_json(const struct check_report *report);
/** One line, as soon as the check has been done. */
void check_report_tap(uint32_t number, const struct check *check, const struct check_result *result);
/** 0, or an exit status: it has been said. */
int check_report_junit(const struct check_report *report, const char *path);

/** Does it say that a device does not conform? */
bool check_report_is_bad(enum check_verdict verdict);

#endif
