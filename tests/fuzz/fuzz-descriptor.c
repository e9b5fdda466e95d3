/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz-descriptor: two descriptors, parted by a NUL, and what they say of each other. */
#include "fuzz.h"

#include <errno.h>
#include <string.h>

#include <vmig/compat.h>

static struct vmig_descriptor *take(const uint8_t *data, size_t size)
{
	struct vmig_descriptor *d = NULL;
	struct vmig_error error;
	int r = vmig_descriptor_parse((const char *)data, size, &d, &error);

	MUST(!r == !!d);
	MUST(!r ||
	     ((r == -EBADMSG || r == -E2BIG) && error.text[0] && memchr(error.text, 0, sizeof(error.text))));
	return d;
}

/* Who accepts has a reason for each attribute; who does not has one that is not met, or has an empty list. */
static void check_answer(const struct vmig_compat_answer *a)
{
	size_t n_bad = 0;

	for (size_t i = 0; i < a->n_rows; i++) {
		n_bad += a->rows[i].verdict != VMIG_COMPAT_OK && a->rows[i].verdict != VMIG_COMPAT_IGNORED;
		MUST(a->rows[i].attribute && a->rows[i].reason && (a->rows[i].has || a->rows[i].accepted));
	}
	MUST(a->reason && *a->reason);
	MUST(a->compatible == (a->entry && !n_bad));
	MUST(a->entry <= a->n_entries);
}

static void hold(const struct vmig_descriptor *source, const struct vmig_descriptor *destination,
		 bool symmetric)
{
	const char *const ignore[] = { "a", "version" };
	const struct vmig_compat_options options = { .ignore = ignore,
						     .n_ignore = symmetric ? 2 : 0,
						     .symmetric = symmetric };
	struct vmig_compat_answer *answer = NULL;
	struct vmig_error error;
	int r = vmig_compat_check(source, destination, &options, &answer, &error);

	MUST(r == 0 || (r == -EDOM && error.text[0]));
	if (!r)
		check_answer(answer);
	vmig_compat_answer_free(answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = memchr(data, 0, size);
	size_t first = end ? (size_t)(end - data) : size;
	struct vmig_descriptor *a = take(data, first), *b = NULL;

	if (end)
		b = take(end + 1, size - first - 1);
	if (a)
		hold(a, a, true);
	if (a && b) {
		hold(a, b, false);
		hold(b, a, false);
		hold(a, b, true);
	}
	vmig_descriptor_free(a);
	vmig_descriptor_free(b);
	return 0;
}
