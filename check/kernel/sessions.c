/* SPDX-License-Identifier: BSD-3-Clause */
/* Sessions by their descriptors: what is left of one that has ended. */
#include "kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- that it has ended ---------------------------------------------------------------------------------- */

/* True: it looks like an end of stream. */
static bool reads_nothing(struct check_context *c, int fd)
{
	uint8_t buf[512];
	ssize_t got = kernel_read(c, fd, buf, sizeof(buf));

	if (got > 0)
		check_fail(c, "an error: the session has ended", "%zd bytes", got);
	return !got;
}

static void say_zero(struct check_context *c, bool zero)
{
	if (zero)
		check_observe(c, "an error: the session has ended",
			      "0, which is the end of the stream for who has not read all of it");
}

/* Nothing was read of the session, so that it has all its data still; a new one does not bring the old one back. */
static void saving_ends(struct check_context *c, uint32_t in, uint32_t to)
{
	int old = kernel_bring(c, in), fd;
	bool zero;

	kernel_enter(c, to);
	check_did(c, "read the data_fd of %s in %s", check_state_name(in), check_state_name(to));
	zero = reads_nothing(c, old);
	fd = kernel_enter(c, in);
	if (fd < 0)
		check_fail(c, "a new data_fd", "none");
	check_did(c, "read the data_fd of %s in %s, when a new session had begun", check_state_name(in),
		  check_state_name(in));
	zero |= reads_nothing(c, old);
	kernel_close(c, fd);
	kernel_close(c, old);
	say_zero(c, zero);
}

void check_kernel_stop_copy_ends(struct check_context *c)
{
	saving_ends(c, VMIG_STATE_STOP_COPY, VMIG_STATE_STOP);
}

void check_kernel_precopy_ends(struct check_context *c)
{
	saving_ends(c, VMIG_STATE_PRE_COPY, VMIG_STATE_RUNNING);
}

void check_kernel_precopy_p2p_ends(struct check_context *c)
{
	saving_ends(c, VMIG_STATE_PRE_COPY_P2P, VMIG_STATE_RUNNING_P2P);
}

static void writes_nothing(struct check_context *c, int fd, const struct check_bytes *bytes)
{
	ssize_t put = kernel_write(c, fd, bytes->data, bytes->len);

	if (put >= 0)
		check_fail(c, "an error: the session has ended", "%zd bytes are taken", put);
}

void check_kernel_resuming_ends(struct check_context *c)
{
	struct check_bytes a;
	int fd, r;

	kernel_save(c, &a);
	fd = kernel_bring(c, VMIG_STATE_RESUMING);
	r = kernel_write_all(c, fd, a.data, a.len);
	if (r)
		check_fail(c, "what was saved is loaded", "%s", strerror(-r));
	kernel_enter(c, VMIG_STATE_STOP);
	check_did(c, "wrote to the data_fd of RESUMING in STOP");
	writes_nothing(c, fd, &a);
	kernel_close(c, fd);
	free(a.data);
}

void check_kernel_reset_ends(struct check_context *c)
{
	struct check_bytes a;
	bool zero;
	int fd;

	kernel_save(c, &a);
	fd = kernel_bring(c, VMIG_STATE_RESUMING);
	kernel_reset(c);
	check_did(c, "wrote to the data_fd of RESUMING after a reset");
	writes_nothing(c, fd, &a);
	kernel_close(c, fd);
	fd = kernel_bring(c, VMIG_STATE_STOP_COPY);
	kernel_reset(c);
	check_did(c, "read the data_fd of STOP_COPY after a reset");
	zero = reads_nothing(c, fd);
	kernel_close(c, fd);
	free(a.data);
	say_zero(c, zero);
}
