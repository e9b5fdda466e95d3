/* SPDX-License-Identifier: BSD-3-Clause */
/* The ends of a stream, the temporary one and the permanent one, and the sizes of pre-copy, by read(), poll() and ioctl(). */
#include "kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void check_kernel_drained(struct check_context *c)
{
	for (uint32_t state = VMIG_STATE_PRE_COPY; state <= VMIG_STATE_PRE_COPY_P2P; state++) {
		int fd, r;

		if (!check_has_state(c, state))
			continue;
		fd = kernel_bring(c, state);
		check_did(c, "read() in %s until there was no more", check_state_name(state));
		r = kernel_drain(c, fd, NULL);
		kernel_in_state(c, state);
		if (r != -ENOMSG)
			check_fail(c, "ENOMSG from read() where there is nothing for now",
				   "0, which is the end of the stream");
		kernel_close(c, fd);
	}
}

#define READS 3

static void at_the_end(struct check_context *c, int fd)
{
	uint8_t buf[512];

	for (int i = 0; i < READS; i++) {
		ssize_t got = kernel_read(c, fd, buf, sizeof(buf));

		if (got)
			check_fail(c, "0 from read(), always", "%s",
				   got < 0 ? strerror((int)-got) : "more data");
		if (!kernel_readable(c, fd))
			check_fail(c, "poll() says that it is readable, always", "it does not");
	}
}

/* The session of STOP_COPY, and the one that began in PRE_COPY. */
void check_kernel_end(struct check_context *c)
{
	static const uint32_t first[] = { VMIG_STATE_STOP, VMIG_STATE_PRE_COPY };

	for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
		int fd, fresh;

		if (!check_has_state(c, first[i]))
			continue;
		fd = kernel_bring(c, first[i]);
		fresh = kernel_enter(c, VMIG_STATE_STOP_COPY);
		fd = fd < 0 ? fresh : fd;
		check_did(c, "read to the end in STOP_COPY, entered from %s, and %d times more",
			  check_state_name(first[i]), READS);
		if (kernel_drain(c, fd, NULL))
			check_fail(c, "0 from read() at the end", "ENOMSG, in STOP_COPY");
		at_the_end(c, fd);
		kernel_close(c, fd);
	}
}
