/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * harden - what a process that listens to others gives up, before it listens.
 *
 * Whoever breaks into it then finds no program to start, no file but those that it was told of, and no core with keys
 * in it. As far as the kernel has it (Landlock: Linux 5.13); without it, it does without. What is forbidden fails with
 * an errno: nothing is killed. A build with a sanitizer gives up only what that does not need.
 */
#ifndef VMIG_TOOLS_HARDEN_H
#define VMIG_TOOLS_HARDEN_H

#include <stdbool.h>
#include <stdint.h>

#define HARDEN_READ   (1u << 0) /* files there and below, and the folders' lists */
#define HARDEN_WRITE  (1u << 1) /* and write, make, remove them */
#define HARDEN_SOCKET (1u << 2) /* make and remove sockets there */

struct harden_path {
	const char *path; /* NULL, or one that is not there: nothing */
	uint32_t access;
	bool folder; /* its folder is meant */
};

/** No privilege by exec, no core; with @secrets, nobody of the same user may look into it either. */
void harden_process(bool secrets);

/** From here on this thread, and those that it starts, open nothing else. Without privilege: after harden_process(). */
void harden_files(const struct harden_path *paths, int n);

enum harden_role {
	HARDEN_SERVE,   /* a device's server: only the calls that are known to be needed */
	HARDEN_RECEIVE, /* libraries for records and encryption come along: all but what none of them needs */
	HARDEN_RUN,     /* the same, and looks into the programs that it supervises */
};

/** All threads, those that there are already too. */
void harden_calls(enum harden_role role);

#endif
