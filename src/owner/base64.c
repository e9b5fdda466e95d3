/* SPDX-License-Identifier: BSD-3-Clause */
#include "owner/base64.h"

#include <stdint.h>
#include <string.h>

#include "base/util.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *vmig_base64_encode(const void *data, size_t len)
{
	char *text = malloc((len + 2) / 3 * 4 + 1), *at = text;
	const uint8_t *in = data;

	if (!text)
		return NULL;
	for (size_t i = 0; i < len; i += 3) {
		size_t left = len - i;
		uint32_t v = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
			     (left > 2 ? in[i + 2] : 0);

		*at++ = alphabet[v >> 18];
		*at++ = alphabet[v >> 12 & 63];
		*at++ = left > 1 ? alphabet[v >> 6 & 63] : '=';
		*at++ = left > 2 ? alphabet[v & 63] : '=';
	}
	*at = '\0';
	return text;
}

/* Four characters to one to three bytes; 0: they are none. Padding only at the @last, and no bits in it. */
static int decode_four(const char *text, bool last, char *out)
{
	int n = 4;
	uint32_t v = 0;

	if (last && text[3] == '=')
		n = text[2] == '=' ? 2 : 3;
	for (int i = 0; i < n; i++) {
		const char *found = strchr(alphabet, text[i]);

		if (!found)
			return 0;
		v |= (uint32_t)(found - alphabet) << (18 - 6 * i);
	}
	for (int i = 0; i < n - 1; i++)
		out[i] = (char)(v >> (16 - 8 * i));
	return v & ((1u << (24 - 8 * (n - 1))) - 1) ? 0 : n - 1;
}

int vmig_base64_decode(const char *text, char **ret, size_t *ret_len)
{
	size_t len = strlen(text), n = 0;
	_autofree_ char *out = malloc(len / 4 * 3 + 1);

	if (!out)
		return -ENOMEM;
	if (len % 4)
		return -EBADMSG;
	for (size_t i = 0; i < len; i += 4) {
		int got = decode_four(text + i, i + 4 == len, out + n);

		if (!got)
			return -EBADMSG;
		n += (size_t)got;
	}
	out[n] = '\0';
	*ret = steal_ptr(out);
	*ret_len = n;
	return 0;
}
