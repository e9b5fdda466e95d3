/* SPDX-License-Identifier: BSD-3-Clause */
/** check-report - what comes of a run of the conformance suite, in its forms. */
#ifndef VMIG_TOOLS_CHECK_REPORT_H
#define VMIG_TOOLS_CHECK_REPORT_H

#include <jansson.h>

#include "check-baseline.h"
#include "check/check.h"
#include "tool.h"

/* Of the JSON report: docs/check-report.schema.json. It changes when a member goes or means something else. */
#define CHECK_REPORT_FORMAT 1

#define CHECK_REPORT_NAME_MAX 256

struct check_report {
	/* As they were given, made printable; @second is empty if there is none. */
	char device[CHECK_REPORT_NAME_MAX], second[CHECK_REPORT_NAME_MAX];
	bool dangerous;
	uint64_t features;                  /* VMIG_MIGRATION_* that the device says */
	char kernel[CHECK_REPORT_NAME_MAX]; /* "Linux 6.12.95 x86_64" */
	char when[32];                      /* "2026-11-25T09:30:00Z" */
	struct check_result *results;       /* one for each check of check_table */
	uint32_t counts[CHECK_VERDICTS];
	struct check_arc_sum sums[CHECK_SUMS_MAX];
	uint32_t n_sums;
	struct check_baseline *baseline; /* NULL: none was given */
};

/** Ready to be filled by runs. 0, or an exit status: it has been said. */
int check_report_init(struct check_report *report, const struct tool_options *o);
/** When all checks have been done: counts and sums. The same. */
int check_report_finish(struct check_report *report);
void check_report_done(struct check_report *report);

void check_report_text(const struct check_report *report);
void check_report_json(const struct check_report *report);
/** One line, as soon as the check has been done. */
void check_report_tap(uint32_t number, const struct check *check, const struct check_result *result);
/** 0, or an exit status: it has been said. */
int check_report_junit(const struct check_report *report, const char *path);
int check_report_html(const struct check_report *report, const char *path);

/** The rows of check_table. */
size_t check_report_n_checks(void);
/** Does it say that a device does not conform? */
bool check_report_is_bad(enum check_verdict verdict);
bool check_report_conforms(const struct check_report *report);
bool check_report_is_worth_telling(enum check_verdict verdict);

/** What the check of row @i was then; NULL: there is no baseline. */
const struct check_then *check_report_then(const struct check_report *report, size_t i);

/** The text that a clause is of is the first word of its source; how long that is, and whether it is the same. */
size_t check_report_text_len(const struct check_clause *clause);
bool check_report_same_text(const struct check_clause *a, const struct check_clause *b);

/** With what has a meaning in XML and HTML written as it must be there. */
void check_report_escape(FILE *to, const char *text);
/** "PRE_COPY"; "?" of none. */
const char *check_report_state(uint32_t state);
/** "STOP_COPY, P2P, PRE_COPY" */
const char *check_report_features(const struct check_report *report);
/** "ok", "refused", "wrong", "noend": without a space */
const char *check_report_came_class(uint32_t came);
/** "EIO", "error 4095" into @buf, which is returned. */
const char *check_report_errno(int32_t error, char buf[TOOL_TEXT_MAX]);

#endif
