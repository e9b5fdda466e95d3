/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * {} {N}            the folder for sysfsdev= of the first device, of device N
 * {iommufd}         the descriptor that stands for /dev/iommu
 * {cdev} {cdevN}    the descriptor that stands for the device's cdev
 *
 * Only these words are replaced; any other brace (JSON for QEMU!) stays as it is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "run-words.h"

/* At most 4 of them; none is 0. */
static uint32_t digits(const char **at)
{
	const char *from = *at;
	uint32_t value = 0;

	for (; **at >= '0' && **at <= '9' && *at - from < 4; ++*at)
		value = value * 10 + (uint32_t)(**at - '0');
	return value;
}

size_t run_word_parse(const char *text, enum run_word *ret, uint32_t *ret_number)
{
	const char *at = text + 1;

	*ret_number = 0;
	*ret = RUN_WORD_FOLDER;
	if (!strncmp(at, "iommufd", 7)) {
		*ret = RUN_WORD_IOMMUFD;
		at += 7;
	} else {
		if (!strncmp(at, "cdev", 4)) {
			*ret = RUN_WORD_CDEV;
			at += 4;
		}
		*ret_number = digits(&at);
	}
	return *at == '}' ? (size_t)(at + 1 - text) : 0;
}

struct buffer {
	char *text;
	size_t len;
};

static int append(struct buffer *b, const char *text, size_t len)
{
	char *more = realloc(b->text, b->len + len + 1);

	if (!more)
		return -ENOMEM;
	memcpy(more + b->len, text, len);
	b->text = more;
	b->len += len;
	more[b->len] = 0;
	return 0;
}

int run_word_replace(const char *word, run_word_fn *value, void *opaque, char **ret)
{
	struct buffer b = { 0 };
	char text[RUN_WORD_MAX];
	enum run_word kind;
	uint32_t number;
	int r = append(&b, "", 0);

	while (!r && *word) {
		size_t plain = strcspn(word, "{"), len;

		if (plain) {
			r = append(&b, word, plain);
			word += plain;
			continue;
		}
		len = run_word_parse(word, &kind, &number);
		if (len) {
			r = value(opaque, kind, number, text);
			r = r ? r : append(&b, text, strlen(text));
		} else {
			r = append(&b, word, 1);
		}
		word += len ? len : 1;
	}
	if (r)
		free(b.text);
	else
		*ret = b.text;
	return r;
}
