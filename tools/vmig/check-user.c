/* SPDX-License-Identifier: BSD-3-Clause */
#include "check-user.h"

#include <stdlib.h>
#include <string.h>

#include <vmig/supervise.h>

#include "models/fault.h"

enum { CONFORMS = 0, DOES_NOT = 1, COULD_NOT_RUN = VMIG_BAD_INPUT };

#define LIMIT_NS 60000000000ull

/* What is tried without --fail: each failure that a migration can meet, on the side that meets it. */
static const char *const usual[] = {
	"none",
	"future-flags",
	"source:RUNNING>PRE_COPY:EIO",
	"source:PRE_COPY>PRE_COPY_P2P:EIO",
	"source:PRE_COPY_P2P>STOP_COPY:EIO",
	"source:PRE_COPY_P2P>STOP_COPY:error",
	"source:PRE_COPY>STOP_COPY:EIO",
	"source:STOP>STOP_COPY:EIO",
	"source:precopy-info:EIO",
	"source:read:EIO",
	"source:report:EIO",
	"destination:STOP>RESUMING:EIO",
	"destination:write:EIO",
	"destination:load:EINVAL",
	"destination:RESUMING>STOP:error",
	"destination:STOP>RUNNING_P2P:EIO",
};

static char *usual_devices[] = { "nic,state=1M", "nic,state=1M" };

/* --- scenarios -------------------------------------------------------------------------------- */

static int add(struct user_report *report, const char *name)
{
	struct user_scenario *s = &report->scenarios[report->n_scenarios];
	const char *fault = name, *why;
	struct fault parsed;

	if (report->n_scenarios == USER_SCENARIOS_MAX || strlen(name) >= sizeof(s->name))
		return tool_fail(VMIG_BAD_INPUT, "--fail: at most %u, each at most %u bytes",
				 USER_SCENARIOS_MAX, USER_NAME_MAX - 1);
	report->n_scenarios++;
	memcpy(s->name, name, strlen(name) + 1);
	s->future = !strcmp(name, "future-flags");
	if (!strcmp(name, "none") || s->future)
		return 0;
	if (!strncmp(name, "source:", 7))
		s->side = USER_SOURCE, fault += 7;
	else if (!strncmp(name, "destination:", 12))
		s->side = USER_DESTINATION, fault += 12;
	s->fault = s->name + (fault - name);
	if (fault_parse(fault, &parsed, &why))
		return tool_fail(VMIG_BAD_INPUT, "--fail: '%s' %s", fault, why);
	return 0;
}

static int add_all(struct user_report *report)
{
	const struct tool_options *o = report->o;
	int r = 0;

	for (int i = 0; i < o->n_faults && !r; i++)
		r = add(report, o->faults[i].text);
	for (size_t i = 0; i < TOOL_ARRAY_SIZE(usual) && !o->n_faults && !r; i++)
		r = add(report, usual[i]);
	return r;
}

bool user_scenario_struck(const struct user_scenario *scenario)
{
	return !scenario->fault || scenario->sum.n_failures;
}

static bool is_bad(enum check_verdict verdict)
{
	return verdict == CHECK_FAIL || verdict == CHECK_ERROR;
}

bool user_scenario_is_bad(const struct user_report *report, const struct user_scenario *scenario)
{
	if (scenario->hung || scenario->crashed)
		return true;
	for (uint32_t i = 0; i < report->n_rules; i++)
		if (is_bad(scenario->results[i].verdict))
			return true;
	return false;
}

/* From the one that counts least. */
static int weight(enum check_verdict verdict)
{
	switch (verdict) {
	case CHECK_FAIL:
		return 4;
	case CHECK_ERROR:
		return 3;
	case CHECK_OBSERVATION:
		return 2;
	case CHECK_PASS:
		return 1;
	default:
		return 0;
	}
}

enum check_verdict user_rule_verdict(const struct user_report *report, uint32_t rule)
{
	enum check_verdict worst = CHECK_NOT_APPLICABLE;

	for (uint32_t i = 0; i < report->n_scenarios; i++)
		if (weight(report->scenarios[i].results[rule].verdict) > weight(worst))
			worst = report->scenarios[i].results[rule].verdict;
	return worst;
}

static bool cites(const struct check_user_rule *rule, const char *clause)
{
	for (int i = 0; i < CHECK_CLAUSES_MAX && rule->clauses[i]; i++)
		if (!strcmp(rule->clauses[i], clause))
			return true;
	return false;
}

bool user_clause_verdict(const struct user_report *report, const struct check_clause *clause,
			 enum check_verdict *ret)
{
	bool any = false;

	*ret = CHECK_NOT_APPLICABLE;
	for (uint32_t i = 0; i < report->n_rules; i++) {
		enum check_verdict verdict = user_rule_verdict(report, i);

		if (!cites(&check_user_rules[i], clause->id))
			continue;
		any = true;
		if (weight(verdict) > weight(*ret))
			*ret = verdict;
	}
	return any;
}

/* --- the verb --------------------------------------------------------------------------------- */

static int run_all(struct user_report *report)
{
	int r = 0;

	for (uint32_t i = 0; i < report->n_scenarios && !r; i++) {
		char line[USER_NAME_MAX + 32];

		snprintf(line, sizeof(line), "%u of %u: %s", i + 1, report->n_scenarios,
			 report->scenarios[i].name);
		tool_progress(line);
		r = user_scenario_run(report, &report->scenarios[i]);
	}
	tool_progress_end();
	return r;
}

/* Was there anything to be judged? */
static bool is_something(const struct user_report *report)
{
	for (uint32_t i = 0; i < report->n_scenarios; i++)
		if (report->scenarios[i].hung || report->scenarios[i].crashed)
			return true;
	for (uint32_t i = 0; i < report->n_rules; i++)
		if (user_rule_verdict(report, i) != CHECK_NOT_APPLICABLE)
			return true;
	return false;
}

static int tell(const struct user_report *report)
{
	const struct tool_options *o = report->o;
	bool bad = false;

	if (o->json)
		user_report_json(report);
	else if (o->tap)
		user_report_tap(report);
	else if (!o->quiet)
		user_report_text(report);
	if ((o->junit && user_report_junit(report, o->junit)) ||
	    (o->html && user_report_html(report, o->html)))
		return COULD_NOT_RUN;
	if (!is_something(report))
		return tool_fail(COULD_NOT_RUN,
				 "the command did not migrate a device: there is nothing to judge");
	for (uint32_t i = 0; i < report->n_scenarios; i++)
		bad |= user_scenario_is_bad(report, &report->scenarios[i]);
	return bad ? DOES_NOT : CONFORMS;
}

static int check_words(const struct tool_options *o)
{
	if (o->n_before_command < 0 || o->n_before_command == o->n_words)
		return tool_fail(VMIG_BAD_INPUT,
				 "--user: no command: write it after '--', as in vmig check --user -- "
				 "COMMAND");
	if (o->json && o->tap)
		return tool_fail(VMIG_BAD_INPUT, "--json and --tap: one of them");
	if (o->baseline)
		return tool_fail(VMIG_BAD_INPUT, "--baseline is not for --user");
	if (o->second)
		return tool_fail(VMIG_BAD_INPUT, "--second: with --user a device more is one more --device");
	return 0;
}

/* Whatever starts two VMMs is served by the kernel's help alone: by preload the devices live in one process. */
static const char *way_for(const struct tool_options *o)
{
	return o->intercept ? o->intercept : vmig_supervise_check() ? "auto" : "seccomp";
}

int check_user_verb(const struct tool_options *o)
{
	static struct user_report report;
	struct tool_options own = *o;
	int r = check_words(o);

	if (r)
		return r;
	o->words[o->n_words] = NULL; /* there was at least "--" more */
	own.intercept = way_for(o);
	report = (struct user_report){ .o = &own,
				       .command = o->words + o->n_before_command,
				       .devices = o->n_before_command ? o->words : usual_devices,
				       .n_devices = o->n_before_command ? (uint32_t)o->n_before_command
									: TOOL_ARRAY_SIZE(usual_devices),
				       .limit_ns = o->timeout_ns ? o->timeout_ns : LIMIT_NS };
	while (check_user_rules[report.n_rules].id)
		report.n_rules++;
	r = add_all(&report);
	r = r ? r : run_all(&report);
	return r ? r : tell(&report);
}
