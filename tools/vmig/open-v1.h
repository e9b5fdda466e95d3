/* SPDX-License-Identifier: BSD-3-Clause */
/** open-v1 - the words of a DEVICE that are about the migration region of v1. */
#ifndef VMIG_TOOLS_OPEN_V1_H
#define VMIG_TOOLS_OPEN_V1_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <vmig/region.h>

struct v1_fault;

struct open_v1 {
	const char *spec; /* what is left of the words */
	bool drive, show;
	struct vmig_v1_drive_config drive_config;
	struct vmig_v1_config config;
};

/** @word without a "v1+" before it. */
const char *open_v1_after(const char *word);
/** Cuts @spec, which must outlive *ret. @show: as if v1=on were among its keys. -EINVAL: *ret_why says why. */
int open_v1_parse(char *spec, bool show, struct open_v1 *ret, const char **ret_why);
/** Show and drive *@dev, which is replaced. On failure it is the caller's still. */
int open_v1_apply(const struct open_v1 *v1, struct vmig_device **dev, struct vmig_error *error);
void open_v1_print_keys(FILE *to);

#endif
