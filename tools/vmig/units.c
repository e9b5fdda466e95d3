/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers with units, as people write and read them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

static int parse_number(const char *text, uint64_t *ret, const char **ret_unit)
{
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	*ret_unit = end;
	return errno ? -ERANGE : 0;
}

int tool_parse_time(const char *text, uint64_t *ret_ns)
{
	static const struct {
		const char *unit;
		uint64_t ns;
	} units[] = { { "ns", 1 },         { "us", 1000 },          { "ms", 1000000 },
		      { "s", 1000000000 }, { "m", 60000000000ull }, { "h", 3600000000000ull } };
	const char *unit;
	uint64_t number;
	int r = parse_number(text, &number, &unit);

	if (r)
		return r;
	for (size_t i = 0; i < TOOL_ARRAY_SIZE(units); i++)
		if (!strcmp(units[i].unit, unit))
			return __builtin_mul_overflow(number, units[i].ns, ret_ns) ? -ERANGE : 0;
	return -EINVAL;
}

int tool_parse_rate(const char *text, uint64_t *ret)
{
	static const char units[] = "KMGT";
	const char *unit, *found;
	uint64_t number;
	int r = parse_number(text, &number, &unit);

	if (r)
		return r;
	if (*unit && *unit != '/') {
		found = strchr(units, *unit++);
		if (!found)
			return -EINVAL;
		if (__builtin_mul_overflow(number, 1ull << (10 * (found - units + 1)), &number))
			return -ERANGE;
	}
	if (*unit && strcmp(unit, "/s") != 0)
		return -EINVAL;
	*ret = number;
	return number ? 0 : -EINVAL;
}

const char *tool_text_size(uint64_t bytes, char buf[TOOL_TEXT_MAX])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes;
	size_t i = 0;

	for (; value >= 1024 && i + 1 < TOOL_ARRAY_SIZE(units); i++)
		value /= 1024;
	snprintf(buf, TOOL_TEXT_MAX, "%.*f %s", i && value < 100 ? 1 : 0, value, units[i]);
	return buf;
}

const char *tool_text_time(uint64_t ns, char buf[TOOL_TEXT_MAX])
{
	static const char *const units[] = { "ns", "us", "ms", "s" };
	double value = (double)ns;
	size_t i = 0;

	for (; value >= 1000 && i + 1 < TOOL_ARRAY_SIZE(units); i++)
		value /= 1000;
	snprintf(buf, TOOL_TEXT_MAX, "%.*f %s", i && value < 100 ? 1 : 0, value, units[i]);
	return buf;
}
