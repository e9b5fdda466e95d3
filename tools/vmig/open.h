/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * open - what a DEVICE is: from its words to a handle. Says nothing, so that more than the command can link it.
 *
 *	DEVICE	[v1+] model:NAME[,KEY=VALUE...] | vfio-user:PATH | vfio:PATH   [,v1=on[,v1-KEY=VALUE...]]
 *
 * v1+ drives it through its migration region. v1=on, at the end of any of them, shows it through one; v1-section,
 * v1-size, v1-no-mmap and v1-fault say how.
 */
#ifndef VMIG_TOOLS_OPEN_H
#define VMIG_TOOLS_OPEN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <vmig/device.h>

enum open_kind { OPEN_NONE, OPEN_MODEL, OPEN_VFIO_USER, OPEN_KERNEL };

struct open_failure {
	enum open_kind kind;
	bool usage; /* the words themselves are wrong; else what they name cannot be had */
	struct vmig_error error;
};

/** What @word is written like; OPEN_NONE: no DEVICE. */
enum open_kind open_kind_of(const char *word);

/** Zero is a default for all. */
struct open_how {
	uint32_t timeout_ms;
	bool take; /* a vfio-user device, from the user that has it */
};

/** 0 or a negative errno, with *ret_failure. */
int open_device(const char *spec, const struct open_how *how, struct vmig_device **ret,
		struct open_failure *ret_failure);

/** Are the words right, as far as they tell? Opens nothing. 0 or -EINVAL, with *ret_failure. */
int open_check(const char *spec, struct open_failure *ret_failure);

/** The keys of v1, for a help text. */
void open_print_keys(FILE *to);

#endif
