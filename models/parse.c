/* SPDX-License-Identifier: BSD-3-Clause */
#include "parse.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "bytes.h"

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit sizes[] = {
	{ "", 1 }, { "K", 1ull << 10 }, { "M", 1ull << 20 }, { "G", 1ull << 30 }, { "T", 1ull << 40 },
};

static const struct unit rates[] = {
	{ "", 1 },
	{ "K", 1ull << 10 },
	{ "M", 1ull << 20 },
	{ "G", 1ull << 30 },
	{ "T", 1ull << 40 },
	{ "/s", 1 },
	{ "K/s", 1ull << 10 },
	{ "M/s", 1ull << 20 },
	{ "G/s", 1ull << 30 },
	{ "T/s", 1ull << 40 },
};

static const struct unit times[] = {
	{ "ns", 1 },         { "us", 1000 },       { "ms", 1000000 },
	{ "s", 1000000000 }, { "m", 60000000000 }, { "", 1000000000 },
};

static int parse(const char *text, const struct unit *units, size_t n, uint64_t *ret)
{
	uint64_t value = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
			return -ERANGE;
	if (p == text)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(p, units[i].name))
			continue;
		if (__builtin_mul_overflow(value, units[i].factor, &value))
			return -ERANGE;
		*ret = value;
		return 0;
	}
	return -EINVAL;
}

int parse_size(const char *text, uint64_t *ret)
{
	return parse(text, sizes, ARRAY_SIZE(sizes), ret);
}

int parse_time_ns(const char *text, uint64_t *ret)
{
	return parse(text, times, ARRAY_SIZE(times), ret);
}

int parse_rate(const char *text, uint64_t *ret)
{
	return parse(text, rates, ARRAY_SIZE(rates), ret);
}

const char *parse_size_reason(int error)
{
	return error == -ERANGE ? "is too large" : "is not a size like 64K or 1G";
}

const char *parse_time_reason(int error)
{
	return error == -ERANGE ? "is too long" : "is not a time like 50ms or 2s";
}

const char *parse_rate_reason(int error)
{
	return error == -ERANGE ? "is too large" : "is not a rate like 64M/s";
}
