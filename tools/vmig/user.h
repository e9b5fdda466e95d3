/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * user - who drives the devices while the command has them: the models' workload on the nics, nobody on the others.
 *
 * Its record travels with the migration: of a device with PCI config space that, and what the workload needs to go on.
 * (A device that no one drives has no interrupt set-up to carry.)
 */
#ifndef VMIG_TOOLS_USER_H
#define VMIG_TOOLS_USER_H

#include <jansson.h>

#include "tool.h"

struct tool_user;

/** What the workload counted, all nics together. "Before", "during" and "after" the migration, as this end saw it. */
struct tool_verdict {
	uint64_t before, during, after;
	uint64_t lost, doubled, reordered;
	bool failed; /* the workload itself could not go on */
};

/** @workload: drive the nics among @devices. 0, or an exit status: it has been said. The arrays must outlive it. */
int tool_user_new(struct vmig_device *const *devices, char *const *names, uint32_t n, bool workload,
		  struct tool_user **ret);
void tool_user_free(struct tool_user *user);

/** For the engine. */
void tool_user_callbacks(struct tool_user *user, struct vmig_migrate_user *ret);
/** What a callback that failed has to say; "" otherwise. */
const char *tool_user_detail(const struct tool_user *user);

/** The workload starts here. 0, or an exit status: it has been said. */
int tool_user_start(struct tool_user *user);
/** Let it work for so long, or until Ctrl-C. */
void tool_user_work(struct tool_user *user, uint64_t ns);
/** The migration begins, or has ended: where the counts are divided. */
void tool_user_mark(struct tool_user *user);
/** Stop it and count. False: there is no workload. */
bool tool_user_verdict(struct tool_user *user, struct tool_verdict *ret);

void tool_verdict_add(struct tool_verdict *sum, const struct tool_verdict *v);
bool tool_verdict_whole(const struct tool_verdict *v);
void tool_verdict_print(const struct tool_verdict *v);
json_t *tool_verdict_json(const struct tool_verdict *v);

#endif
