/* SPDX-License-Identifier: BSD-3-Clause */
/** descriptor - where a descriptor comes from on the command line: a file, or a DEVICE that publishes one. */
#ifndef VMIG_TOOLS_DESCRIPTOR_H
#define VMIG_TOOLS_DESCRIPTOR_H

#include "tool.h"

/** Read what @word names: a DEVICE, "-" (standard input) or a file. 0, or an exit status: it has been said. */
int tool_descriptor_open(const char *word, uint64_t timeout_ns, struct vmig_descriptor **ret);

/** The descriptor of a DEVICE as it publishes it, for the caller to free. 0, or an exit status: it has been said. */
int tool_device_descriptor(const char *word, uint64_t timeout_ns, char **ret);

/** At most @max bytes of a file; *ret is terminated by a 0 that does not count. 0, or an exit status: it has been said. */
int tool_file_read(const char *path, size_t max, char **ret, size_t *ret_len);

#endif
