/* SPDX-License-Identifier: BSD-3-Clause */
/** device - what DEVICE means on the command line, and what is said when one cannot be had. */
#ifndef VMIG_TOOLS_DEVICE_H
#define VMIG_TOOLS_DEVICE_H

#include "tool.h"

/** True if @word is written like a DEVICE. */
bool tool_device_is(const char *word);

/** Open the model that @spec names ("nic,state=1G"); @name is for errors. 0, or an exit status: it has been said. */
int tool_model_open(const char *name, const char *spec, struct vmig_device **ret);

/** Open "model:...", "vfio-user:PATH", "vfio:PATH". @timeout_ns 0: the default. 0, or an exit status: it has been said. */
int tool_device_open(const char *spec, uint64_t timeout_ns, struct vmig_device **ret);

/** The same by the options --timeout and --take: if that is given, from the user that has it (of a vfio-user device). */
int tool_device_take(const char *spec, const struct tool_options *o, struct vmig_device **ret);

/** Are the words of @spec right, as far as they tell? Opens nothing. 0, or an exit status: it has been said. */
int tool_device_check(const char *spec);

/** Say what the handle's last error was; @what: in words. @r: negative errno. Returns @status. */
int tool_device_fail(int status, const char *spec, struct vmig_device *dev, int r, const char *what);

#endif
