/* SPDX-License-Identifier: BSD-3-Clause */
#include "fault.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <vmig/state.h>

#include "bytes.h"
#include "mutants/mutants.h"
#include "parse.h"

#define TEXT_MAX  128
#define ERRNO_MAX 133 /* EHWPOISON, the last that Linux has */

static const struct {
	const char *name;
	enum fault_where where;
	bool error, after;
} places[] = {
	{ "read", FAULT_READ, false, true },
	{ "write", FAULT_WRITE, false, true },
	{ "load", FAULT_LOAD, true, false },
	{ "precopy-info", FAULT_PRECOPY_INFO, false, false },
	{ "reset", FAULT_RESET, false, false },
	{ "report", FAULT_REPORT, false, false },
	{ "descriptor", FAULT_DESCRIPTOR, true, false },
};

static const char why_where[] = "needs a WHERE of read, write, load, precopy-info, reset, report, descriptor "
				"or an arc like RUNNING>STOP";
static const char why_what[] = "needs a WHAT of an errno's name, error, or hang=TIME";

static int parse_arc(char *text, struct fault *ret)
{
	char *to = strchr(text, '>');

	if (!to)
		return -EINVAL;
	*to++ = 0;
	ret->where = FAULT_ARC;
	ret->from = vmig_state_from_name(text);
	ret->to = vmig_state_from_name(to);
	return ret->from == VMIG_STATE_NONE || ret->to == VMIG_STATE_NONE ? -EINVAL : 0;
}

static int parse_where(char *text, struct fault *ret, bool *ret_may_error, const char **ret_why)
{
	char *after = strchr(text, '@');

	*ret_why = why_where;
	*ret_may_error = true;
	if (after)
		*after++ = 0;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		if (strcmp(text, places[i].name))
			continue;
		ret->where = places[i].where;
		*ret_may_error = places[i].error;
		if (!after)
			return 0;
		*ret_why = "has an @ that is no size, or at a place that moves no data";
		return places[i].after ? parse_size(after, &ret->after) : -EINVAL;
	}
	return after ? -EINVAL : parse_arc(text, ret);
}

static int errno_from_name(const char *name)
{
	for (int e = 1; e <= ERRNO_MAX; e++) {
		const char *known = strerrorname_np(e);

		if (known && !strcmp(known, name))
			return -e;
	}
	return 0;
}

static int parse_what(const char *text, struct fault *ret, bool may_error, const char **ret_why)
{
	*ret_why = why_what;
	if (!strncmp(text, "hang=", 5))
		return parse_time_ns(text + 5, &ret->hang_ns);
	if (strcmp(text, "error")) {
		ret->code = errno_from_name(text);
		return ret->code ? 0 : -EINVAL;
	}
	*ret_why = "can go to ERROR only on an arc or at load";
	ret->code = -EIO;
	ret->to_error = true;
	return may_error ? 0 : -EINVAL;
}

static int parse_rule(const char *name, struct fault *ret, const char **ret_why)
{
	*ret_why = "has no rule of this name: 'vmig help serve' lists them";
	*ret = (struct fault){ .where = FAULT_RULE, .rule = mutant_find(name) };
	return ret->rule ? 0 : -EINVAL;
}

int fault_parse(const char *text, struct fault *ret, const char **ret_why)
{
	struct fault fault = { 0 };
	char copy[TEXT_MAX], *what, *once;
	bool may_error;

	*ret_why = "has the form WHERE:WHAT, as in fault=RUNNING>PRE_COPY:EIO";
	if (!strncmp(text, "rule:", 5))
		return parse_rule(text + 5, ret, ret_why);
	if (strlen(text) >= sizeof(copy))
		return -EINVAL;
	strcpy(copy, text);
	what = strchr(copy, ':');
	if (!what)
		return -EINVAL;
	*what++ = 0;
	once = strchr(what, ':');
	if (once) {
		*once++ = 0;
		if (strcmp(once, "once"))
			return -EINVAL;
		fault.once = true;
	}
	if (parse_where(copy, &fault, &may_error, ret_why) || parse_what(what, &fault, may_error, ret_why))
		return -EINVAL;
	*ret = fault;
	return 0;
}

static void hang(uint64_t ns)
{
	struct timespec t = { .tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000) };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

static int fire(struct fault *fault, bool *ret_error)
{
	/* Two threads may come at once: one of them is the first. */
	if (__atomic_exchange_n(&fault->fired, true, __ATOMIC_RELAXED) && fault->once)
		return 0;
	if (fault->hang_ns)
		hang(fault->hang_ns);
	if (ret_error)
		*ret_error = fault->to_error;
	return fault->code;
}

int fault_check(struct fault *fault, enum fault_where where, uint64_t bytes, bool *ret_error)
{
	return fault->where == where && bytes >= fault->after ? fire(fault, ret_error) : 0;
}

int fault_check_arc(struct fault *fault, uint32_t from, uint32_t to, bool *ret_error)
{
	return fault->where == FAULT_ARC && fault->from == from && fault->to == to ? fire(fault, ret_error)
										   : 0;
}
