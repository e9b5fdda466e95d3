/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * side - one end of a migration in the command: its devices, their user, its report.
 *
 *	tool_side_open()	the devices are open and in order
 *	tool_side_warm_up()	a source's workload starts, and runs for its time
 *	tool_side_run()		the migration itself
 *	tool_side_finish()	the workload's time after; what there is to say; the exit status
 *	tool_side_done()	always
 */
#ifndef VMIG_TOOLS_SIDE_H
#define VMIG_TOOLS_SIDE_H

#include "report.h"
#include "user.h"

struct tool_side {
	const struct tool_options *options;
	bool source;
	char **names;
	uint32_t n, n_moved;          /* with the memory that moves with them */
	struct vmig_device **devices; /* @n_moved of them; the memory is the user's */
	struct tool_user *user;
	struct vmig_owner *owner; /* NULL: no record decides */
	char me[VMIG_OWNER_NAME_MAX];
	struct vmig_uuid *ids;          /* NULL: by the tags */
	const char *address;            /* send: for more connections; NULL: there are none */
	struct vmig_listener *listener; /* receive: likewise */
	struct tool_report report;
	struct vmig_migrate_result result;
};

/** 0, or an exit status: it has been said. */
int tool_side_open(struct tool_side *side, bool source, char **names, int n,
		   const struct tool_options *options);
/** From here on Ctrl-C cancels. */
int tool_side_warm_up(struct tool_side *side);
/** Says nothing but events. */
void tool_side_run(struct tool_side *side, struct vmig_channel *channel);
int tool_side_finish(struct tool_side *side, struct tool_side *other);
void tool_side_done(struct tool_side *side, struct tool_side *other);

/* --- Ctrl-C -------------------------------------------------------------------------------- */

/** From now on SIGINT, SIGTERM and SIGHUP set the flag; before, they end the process with status 1. */
void tool_cancel_begin(void);
bool tool_cancelled(void);

#endif
