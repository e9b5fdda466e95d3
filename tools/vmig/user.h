/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * user - who drives the devices while the command has them: the models' workload on the nics, nobody on the others.
 *
 * The memory to which the workload has the devices write moves as a device of its own (vmig/memory.h).
 * Its record travels with the migration. Of a nic at work that is the workload's; of another device with PCI
 * config space, that space. (A device that no one drives has no interrupt set-up to carry.)
 */
#ifndef VMIG_TOOLS_USER_H
#define VMIG_TOOLS_USER_H

#include <jansson.h>

#include "tool.h"

struct tool_user;

/**
 * 0, or an exit status: it has been said. The arrays must outlive it.
 * @workload: drive the nics among @devices.
 */
int tool_user_new(struct vmig_device *const *devices, char *const *names, uint32_t n, bool workload,
		  struct tool_user **ret);
void tool_user_free(struct tool_user *user);

/** The memory of the workloads, as a device that moves beside the others, behind them; NULL: there is none. */
struct vmig_device *tool_user_memory(const struct tool_user *user);

/** For the engine. */
void tool_user_callbacks(struct tool_user *user, struct vmig_migrate_user *ret);
/** What a callback that failed has to say; "" otherwise. */
const char *tool_user_detail(const struct tool_user *user);

/** The workload starts here, on devices that run. 0, or an exit status: it has been said. */
int tool_user_start(struct tool_user *user);
/** Let it work for so long, or until Ctrl-C. */
void tool_user_work(struct tool_user *user, uint64_t ns);
/** What is counted from now on was during (after) the migration. */
void tool_user_mark_during(struct tool_user *user);
void tool_user_mark_after(struct tool_user *user);

/**
 * Stop it, ask the devices (if they @run here) for their own view, and print what was counted. Sets *ret_json (if there
 * is a workload) to the same. Returns false if something was lost, doubled, out of order or damaged.
 */
bool tool_user_verdict(struct tool_user *user, bool run, json_t **ret_json);

#endif
