/* SPDX-License-Identifier: BSD-3-Clause */
/* What the forms of the report have in common. */
#include "check-report.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

size_t check_report_n_checks(void)
{
	size_t n = 0;

	while (check_table[n].id)
		n++;
	return n;
}

static void set_name(char to[CHECK_REPORT_NAME_MAX], const char *from)
{
	snprintf(to, CHECK_REPORT_NAME_MAX, "%s", from ? from : "");
	check_text_clean(to);
}

static void look_around(struct check_report *report)
{
	time_t now = time(NULL);
	struct utsname host;
	struct tm tm;

	if (gmtime_r(&now, &tm))
		strftime(report->when, sizeof(report->when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (!uname(&host))
		snprintf(report->kernel, sizeof(report->kernel), "%s %s %s", host.sysname, host.release,
			 host.machine);
	check_text_clean(report->kernel);
}

int check_report_init(struct check_report *report, const struct tool_options *o)
{
	*report = (struct check_report){ .dangerous = o->dangerous };
	set_name(report->device, o->words[0]);
	set_name(report->second, o->second);
	look_around(report);
	report->results = calloc(check_report_n_checks(), sizeof(*report->results));
	return report->results ? 0 : tool_fail(VMIG_BAD_INPUT, "no memory");
}

int check_report_finish(struct check_report *report)
{
	int n = check_arcs_sum(report->results, report->sums);

	if (n < 0)
		return tool_fail(VMIG_BAD_INPUT, "no memory");
	report->n_sums = (uint32_t)n;
	for (size_t i = 0; check_table[i].id; i++) {
		report->counts[report->results[i].verdict]++;
		if (!report->features)
			report->features = report->results[i].features;
	}
	return report->baseline ? check_baseline_compare(report->baseline, report->results) : 0;
}

void check_report_done(struct check_report *report)
{
	free(report->results);
}

bool check_report_is_bad(enum check_verdict verdict)
{
	return verdict == CHECK_FAIL || verdict == CHECK_HANG || verdict == CHECK_ERROR;
}

bool check_report_conforms(const struct check_report *report)
{
	for (enum check_verdict v = 0; v < CHECK_VERDICTS; v++)
		if (check_report_is_bad(v) && report->counts[v])
			return false;
	return true;
}

bool check_report_is_worth_telling(enum check_verdict verdict)
{
	return check_report_is_bad(verdict) || verdict == CHECK_OBSERVATION;
}

const char *check_report_errno(int32_t error, char buf[TOOL_TEXT_MAX])
{
	const char *name = strerrorname_np(-error);

	if (name)
		snprintf(buf, TOOL_TEXT_MAX, "%s", name);
	else
		snprintf(buf, TOOL_TEXT_MAX, "error %d", -error);
	return buf;
}

const struct check_then *check_report_then(const struct check_report *report, size_t i)
{
	return report->baseline ? &report->baseline->checks[i] : NULL;
}

size_t check_report_text_len(const struct check_clause *clause)
{
	return strcspn(clause->source, " ");
}

bool check_report_same_text(const struct check_clause *a, const struct check_clause *b)
{
	size_t len = check_report_text_len(a);

	return check_report_text_len(b) == len && !strncmp(a->source, b->source, len);
}

void check_report_escape(FILE *to, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '<':
			fputs("&lt;", to);
			break;
		case '>':
			fputs("&gt;", to);
			break;
		case '&':
			fputs("&amp;", to);
			break;
		case '"':
			fputs("&quot;", to);
			break;
		case '\'':
			fputs("&#39;", to);
			break;
		default:
			fputc(*text, to);
		}
	}
}

const char *check_report_state(uint32_t state)
{
	const char *name = vmig_state_name(state);

	return name ? name : "?";
}

const char *check_report_features(const struct check_report *report)
{
	static const char *const names[] = { "none",          "STOP_COPY",
					     "P2P",           "STOP_COPY, P2P",
					     "PRE_COPY",      "STOP_COPY, PRE_COPY",
					     "P2P, PRE_COPY", "STOP_COPY, P2P, PRE_COPY" };

	return names[report->features & 7];
}

const char *check_report_came_class(uint32_t came)
{
	return came == CHECK_CAME_NOT ? "noend" : check_came_name(came);
}
