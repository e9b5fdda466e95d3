/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * check-user - `vmig check --user`: what a COMMAND that uses devices does against the texts.
 *
 *	check-user.c         the verb: which scenarios there are
 *	check-user-run.c     one scenario: the COMMAND with devices of ours, in a process of its own
 *	check-user-report.c  what comes of it, for people, JSON, TAP and JUnit; check-user-html.c as a page
 */
#ifndef VMIG_TOOLS_CHECK_USER_H
#define VMIG_TOOLS_CHECK_USER_H

#include "check/user/user.h"
#include "tool.h"

#define USER_SCENARIOS_MAX 64
#define USER_NAME_MAX      160

/** Which devices fail. The first half of them is the source's, if there is more than one. */
enum user_side { USER_ALL, USER_SOURCE, USER_DESTINATION };

struct user_scenario {
	char name[USER_NAME_MAX]; /* as it was asked for: "none", "write:EIO", "source:read:EIO" */
	enum user_side side;
	const char *fault; /* NULL: none. Within @name */
	bool future;       /* the devices show a flag that nobody knows yet */

	/* What came of it. */
	int status;   /* of the COMMAND */
	bool hung;    /* it was ended by us */
	bool crashed; /* what plays the devices was */
	struct check_user_sum sum;
	struct check_user_result results[CHECK_USER_RULES_MAX];
};

struct user_report {
	const struct tool_options *o;
	char **command; /* ends with NULL */
	char **devices; /* @n_devices, as they were given */
	uint32_t n_devices, n_scenarios, n_rules;
	uint64_t limit_ns; /* for a scenario */
	struct user_scenario scenarios[USER_SCENARIOS_MAX];
};

/** The whole of the verb. Returns the exit status. */
int check_user_verb(const struct tool_options *o);

/** Run the COMMAND once. 0, or an exit status: it has been said. */
int user_scenario_run(const struct user_report *report, struct user_scenario *scenario);

/** Did the failure strike? Of none: always. */
bool user_scenario_struck(const struct user_scenario *scenario);
bool user_scenario_is_bad(const struct user_report *report, const struct user_scenario *scenario);
/** Of a rule, over all scenarios. */
enum check_verdict user_rule_verdict(const struct user_report *report, uint32_t rule);
/** Of a clause, over the rules that cite it; false: none does. */
bool user_clause_verdict(const struct user_report *report, const struct check_clause *clause,
			 enum check_verdict *ret);

void user_report_text(const struct user_report *report);
void user_report_json(const struct user_report *report);
void user_report_tap(const struct user_report *report);
/** 0, or an exit status: it has been said. */
int user_report_junit(const struct user_report *report, const char *path);
int user_report_html(const struct user_report *report, const char *path);
/** "it ended with status 0" */
void user_ended_text(const struct user_scenario *scenario, char *buf, size_t size);

#endif
