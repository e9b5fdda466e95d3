/* SPDX-License-Identifier: BSD-3-Clause */
/** check-html - the parts of the page that vmig check --html writes. Errors of @to are seen when it is closed. */
#ifndef VMIG_TOOLS_CHECK_HTML_H
#define VMIG_TOOLS_CHECK_HTML_H

#include "check-report.h"

extern const char check_html_css[];

/** The class of a verdict in the page: "pass", "na". */
const char *check_html_class(enum check_verdict verdict);
/** <span class="v ..">verdict</span>, as of something outside of a row. */
void check_html_verdict(FILE *to, enum check_verdict verdict);
/** "(was fail)", if there is a baseline and it was. */
void check_html_then(FILE *to, const struct check_then *then);
/** did, saw, expected. */
void check_html_saw(FILE *to, const struct check_result *result);

/** The sections. */
void check_html_states(FILE *to, const struct check_report *report);
void check_html_timings(FILE *to, const struct check_report *report);
void check_html_clauses(FILE *to, const struct check_report *report);
void check_html_checks(FILE *to, const struct check_report *report);
void check_html_unchecked(FILE *to);

#endif
