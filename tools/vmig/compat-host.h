/* SPDX-License-Identifier: BSD-3-Clause */
/** compat-host - the question of compatibility put to a 'vmig receive', which has the devices. */
#ifndef VMIG_TOOLS_COMPAT_HOST_H
#define VMIG_TOOLS_COMPAT_HOST_H

#include "tool.h"

/** @source (a DEVICE or a descriptor) against the device that waits at @address. 0 yes, 1 no, 2: it has been said. */
int tool_compat_host(const struct tool_options *o, const char *source, const char *address);

#endif
