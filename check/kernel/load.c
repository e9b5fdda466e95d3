/* SPDX-License-Identifier: BSD-3-Clause */
/* Data that are not right, by write() and the SET that leaves RESUMING. Into a driver of the kernel only if that was allowed. */
#include "kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Returns what leaving RESUMING said; *ret_write what write() said. The device is wherever that has left it. */
static int load(struct check_context *c, const uint8_t *data, size_t len, int *ret_write)
{
	int fd = kernel_bring(c, VMIG_STATE_RESUMING), none, r;

	*ret_write = kernel_write_all(c, fd, data, len);
	r = kernel_set(c, VMIG_STATE_STOP, CHECK_WANT_EITHER, &none);
	kernel_close(c, fd);
	return r;
}

/* What was refused is missing, so that the data are not complete. */
static bool refused_data(struct check_context *c, const uint8_t *data, size_t len)
{
	int put, r = load(c, data, len, &put);

	if (put && !r) {
		check_was_wrong(c, CHECK_CAME_OK);
		check_fail(c, "RESUMING -> STOP fails, as what was refused is missing",
			   "write() said %s, and RESUMING -> STOP succeeds all the same", strerror(-put));
	}
	kernel_reset(c);
	return put;
}

#define EXCESS 65536u

void check_kernel_refused(struct check_context *c)
{
	struct check_bytes a;
	uint8_t *more;
	uint32_t n = 0;

	kernel_save(c, &a);
	more = calloc(1, a.len + EXCESS);
	if (!more)
		check_end(c, CHECK_ERROR, "", "no memory");
	memcpy(more, a.data, a.len);
	for (size_t at = 0; at < a.len; at += at < 32 ? 4 : 1 + a.len / 8) {
		more[at] ^= 0xff;
		check_did(c, "wrote what was saved with another byte at %zu, and left RESUMING for STOP", at);
		n += refused_data(c, more, a.len);
		more[at] ^= 0xff;
	}
	check_did(c, "wrote what was saved and %u bytes more in one call, and left RESUMING for STOP",
		  EXCESS);
	n += refused_data(c, more, a.len + EXCESS);
	if (!n)
		check_end(c, CHECK_NOT_APPLICABLE, "",
			  "write() refused nothing: what is wrong is found when RESUMING is left, or not at "
			  "all");
	free(more);
	free(a.data);
}

void check_kernel_too_little(struct check_context *c)
{
	struct check_bytes a;
	uint32_t state;
	int put, r;

	kernel_save(c, &a);
	check_did(c, "wrote the first %zu of %zu bytes and left RESUMING for STOP", a.len / 2, a.len);
	r = load(c, a.data, a.len / 2, &put);
	if (!r) {
		check_was_wrong(c, CHECK_CAME_OK);
		check_fail(c, "an error: the data are not complete", "it succeeds");
	}
	state = kernel_state(c);
	if (state != VMIG_STATE_RESUMING && state != VMIG_STATE_ERROR)
		check_fail(c, "the device is in RESUMING or ERROR after that", "it is in %s",
			   check_state_name(state));
	kernel_reset(c);
	free(a.data);
}
