/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers with units, as people read them. (How they write them: models/parse.h.) */
#include "tool.h"

uint32_t tool_ms(uint64_t ns)
{
	uint64_t ms = ns / 1000000 + (ns % 1000000 != 0);

	return ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
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
