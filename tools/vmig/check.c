/* SPDX-License-Identifier: BSD-3-Clause */
/* The conformance suite on one DEVICE. Each check opens it in a process of its own, so nothing is open here. */
#include <errno.h>
#include <string.h>

#include "check-bare.h"
#include "check-drive.h"
#include "check-fill.h"
#include "check-report.h"
#include "check-touch.h"
#include "check-user.h"
#include "device.h"
#include "open.h"

enum { CONFORMS = 0, DOES_NOT = 1, COULD_NOT_RUN = VMIG_BAD_INPUT };

static int open_one(void *opaque, bool second, struct vmig_device **ret, char *why, size_t why_size)
{
	const struct tool_options *o = opaque;
	const char *spec = second ? o->second : o->words[0];
	struct open_failure failure;
	int r = open_device(spec, &(struct open_how){ .timeout_ms = tool_ms(o->timeout_ns), .take = o->take },
			    ret, &failure);

	if (r)
		snprintf(why, why_size, "%s: cannot be opened: %s: %s", spec, failure.error.text,
			 strerror(-r));
	return r;
}

static void only_open(struct check_context *c)
{
}

/* A device that cannot be opened, or that holds somebody's state, is not checked at all. */
static int look(const struct check_target *target)
{
	const struct check check = { .id = "open", .run = only_open, .about = "it can be opened" };
	struct check_result result;

	check_run(target, &check, &result);
	if (result.verdict == CHECK_NOT_APPLICABLE)
		return tool_fail(COULD_NOT_RUN, "%s; one of v1 is driven by v1+DEVICE", result.saw);
	if (result.verdict != CHECK_PASS)
		return tool_fail(COULD_NOT_RUN, "%s", result.saw);
	return 0;
}

/* One that is not asked any more, as an earlier check has lost the device. */
static void skip(const char *loser, struct check_result *ret)
{
	*ret = (struct check_result){ .verdict = CHECK_SKIPPED };
	snprintf(ret->saw, sizeof(ret->saw), "the device hangs: %s did not come back", loser);
}

static void run_all(const struct tool_options *o, const struct check_target *target,
		    struct check_report *report)
{
	const char *loser = NULL;
	uint32_t n = (uint32_t)check_report_n_checks();

	if (o->tap)
		printf("1..%u\n", n);
	for (uint32_t i = 0; i < n; i++) {
		char line[128];

		snprintf(line, sizeof(line), "%u of %u: %s", i + 1, n, check_table[i].id);
		tool_progress(line);
		if (loser)
			skip(loser, &report->results[i]);
		else
			check_run(target, &check_table[i], &report->results[i]);
		if (report->results[i].lost)
			loser = check_table[i].id;
		if (o->tap)
			check_report_tap(i + 1, &check_table[i], &report->results[i]);
	}
	tool_progress_end();
}

static int tell(const struct tool_options *o, const struct check_report *report)
{
	if (o->json)
		check_report_json(report);
	else if (!o->tap && !o->quiet)
		check_report_text(report);
	if (o->junit && check_report_junit(report, o->junit))
		return COULD_NOT_RUN;
	if (o->html && check_report_html(report, o->html))
		return COULD_NOT_RUN;
	return check_report_conforms(report) ? CONFORMS : DOES_NOT;
}

static int look_and_report(const struct tool_options *o, const struct check_target *target,
			   struct check_baseline *baseline)
{
	static struct check_report report;
	int r = look(target);

	if (!r)
		r = check_report_init(&report, o);
	if (r)
		return r;
	report.baseline = baseline;
	run_all(o, target, &report);
	r = check_report_finish(&report);
	if (!r)
		r = tell(o, &report);
	check_report_done(&report);
	return r;
}

static int run(const struct tool_options *o)
{
	struct check_target target = {
		.open = open_one,
		.opaque = (void *)o,
		.driver = &check_drive_workload,
		.filler = &check_fill_nic,
		.has_second = o->second,
		.dangerous = o->dangerous,
		.kernel = open_kind_of(o->words[0]) == OPEN_KERNEL,
		.timeout_ms = tool_ms(o->timeout_ns),
	};
	struct check_baseline baseline;
	struct check_touch touch;
	int r;

	if (o->user)
		return check_user_verb(o);
	if (o->n_before_command >= 0 || o->n_faults)
		return tool_fail(VMIG_BAD_INPUT, "a COMMAND and --fail are for --user");
	check_bare_ways(o, &target);
	if (o->n_words > 1)
		return tool_fail(VMIG_BAD_INPUT, "one DEVICE at a time: '%s' is too many (--second?)",
				 o->words[1]);
	if (o->json && o->tap)
		return tool_fail(VMIG_BAD_INPUT, "--json and --tap: one of them");
	if (tool_device_check(o->words[0]) || (o->second && tool_device_check(o->second)))
		return VMIG_BAD_INPUT;
	if (o->touch && check_touch_parse(o->touch, &touch))
		return VMIG_BAD_INPUT;
	target.touch = o->touch ? &touch : NULL;
	if (!o->baseline)
		return look_and_report(o, &target, NULL);
	/* Before the device is touched. */
	r = check_baseline_read(o->baseline, &baseline);
	if (r)
		return r;
	r = look_and_report(o, &target, &baseline);
	check_baseline_done(&baseline);
	return r;
}

const struct tool_verb tool_check = {
	.name = "check",
	.words = "DEVICE",
	.about = "what a device does against the published texts",
	.more = "The state of the device is lost. One that holds a migrated device's state is not touched "
		"without "
		"--dangerous.\n"
		"Exit status: 0 nothing failed; 1 something did; 2 it could not be checked. Observations are "
		"no "
		"failures.",
	.example = "vmig check model:nic --second model:nic",
	.options = TOOL_OPT_CHECK | TOOL_OPT_USER | TOOL_OPT_JSON | TOOL_OPT_QUIET | TOOL_OPT_TIMEOUT |
		   TOOL_OPT_TAKE,
	.min_words = 1,
	.run = run,
};
