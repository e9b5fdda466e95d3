/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers and versions in text. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compat/descriptor.h"

static bool part(const char **at, uint64_t *ret)
{
	char *end;

	if (**at < '0' || **at > '9')
		return false;
	errno = 0;
	*ret = strtoull(*at, &end, 10);
	*at = end;
	return !errno && *ret <= UINT32_MAX;
}

bool vmig_version_parse(const char *text, struct vmig_version *ret)
{
	struct vmig_version v = { 0 };
	uint64_t *const parts[] = { &v.major, &v.minor, &v.bugfix };

	text += *text == 'v';
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		if (!part(&text, parts[i]))
			return false;
		if (!*text) {
			*ret = v;
			return true;
		}
		if (*text++ != '.')
			return false;
	}
	return false;
}

bool vmig_number_parse(const char *text, int64_t *ret)
{
	char *end;

	if (*text != '-' && (*text < '0' || *text > '9'))
		return false;
	errno = 0;
	*ret = strtoll(text, &end, 10);
	return !errno && end != text && !*end;
}
