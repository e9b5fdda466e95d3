/* SPDX-License-Identifier: BSD-3-Clause */
#include "check-touch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

/* A number, decimal or 0x.., and a colon behind it. */
static bool number(const char **at, uint64_t max, uint64_t *ret)
{
	char *end;

	if (**at < '0' || **at > '9')
		return false;
	errno = 0;
	*ret = strtoull(*at, &end, 0);
	if (errno || *ret > max || *end != ':')
		return false;
	*at = end + 1;
	return true;
}

/* As many bytes as a register has: 1, 2, 4 or 8, in the order in which they lie in it. */
static bool bytes(const char *at, struct check_touch *ret)
{
	static const char digits[] = "0123456789abcdef";
	size_t len = strlen(at);

	if (len != 2 && len != 4 && len != 8 && len != (size_t)2 * CHECK_TOUCH_MAX)
		return false;
	ret->len = (uint32_t)len / 2;
	for (size_t i = 0; i < len; i++) {
		char c = at[i] >= 'A' && at[i] <= 'F' ? (char)(at[i] - 'A' + 'a') : at[i];
		const char *digit = strchr(digits, c);

		if (!digit)
			return false;
		ret->bytes[i / 2] = (uint8_t)(ret->bytes[i / 2] << 4 | (digit - digits));
	}
	return true;
}

int check_touch_parse(const char *words, struct check_touch *ret)
{
	const char *at = words;
	uint64_t region;

	*ret = (struct check_touch){ 0 };
	if (!number(&at, UINT32_MAX, &region) || !number(&at, UINT64_MAX, &ret->offset) || !bytes(at, ret))
		return tool_fail(VMIG_BAD_INPUT,
				 "--touch %s: a region, an offset, and 1, 2, 4 or 8 bytes: 0:0x7:5a", words);
	ret->region = (uint32_t)region;
	return 0;
}
