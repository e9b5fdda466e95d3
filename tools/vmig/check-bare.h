/* SPDX-License-Identifier: BSD-3-Clause */
/** check-bare - the ways to a DEVICE past the library's handle, for the checks that look at what it hides. */
#ifndef VMIG_TOOLS_CHECK_BARE_H
#define VMIG_TOOLS_CHECK_BARE_H

#include "check/check.h"
#include "tool.h"

/** The ways that there are to the DEVICE of @o, which is @target's opaque. */
void check_bare_ways(const struct tool_options *o, struct check_target *target);

#endif
