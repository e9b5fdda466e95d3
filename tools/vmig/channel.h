/* SPDX-License-Identifier: BSD-3-Clause */
/** channel - files and addresses of the command line; what goes wrong is said here. All return 0 or an exit status. */
#ifndef VMIG_TOOLS_CHANNEL_H
#define VMIG_TOOLS_CHANNEL_H

#include "tool.h"

bool tool_address_is(const char *word);
int tool_channel_file(const char *path, bool writing, struct vmig_channel **ret);
int tool_channel_connect(const char *address, const struct tool_options *o, struct vmig_channel **ret);
int tool_channel_listen(const char *address, const struct tool_options *o, struct vmig_listener **ret);

#endif
