/* SPDX-License-Identifier: BSD-3-Clause */
/** plan - what 'vmig plan' sees of a device. */
#ifndef VMIG_TOOLS_PLAN_H
#define VMIG_TOOLS_PLAN_H

#include <vmig/plan.h>

#include "device.h"

/**
 * Its size, and how fast it changes: a little of a pre-copy, whose data go nowhere. It runs on.
 * 0, or an exit status: it has been said.
 */
int tool_plan_look(const char *spec, const struct tool_options *o, struct vmig_plan_device *ret);

#endif
