/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * run - `vmig run`: a command with devices at its /dev/vfio.
 *
 *	run.c             the verb: its parts in order
 *	run-plan.c        what the command line asks for, into struct run_shared
 *	run-folder.c      the private folder: the control socket, the shared file, a folder for `sysfsdev=` of each device
 *	run-words.c       {} and its like in COMMAND
 *	run-way.c         the ways in: which one can serve this command
 *	run-child.c       start it, forward signals, wait for it and for what it leaves behind
 *	run-core.c        the devices and the core over them, wherever that is
 *	run-control.c     the control socket; run-json.c what it says, run-client.c its other end
 *	trace.c           `vmig trace run:NAME`; `vmig info run:NAME` is in run-info.c
 */
#ifndef VMIG_TOOLS_RUN_H
#define VMIG_TOOLS_RUN_H

#include <limits.h>
#include <signal.h>

#include "run-folder.h"
#include "run-shared.h"
#include "tool.h"

#define RUN_WHY_MAX 512

struct run_way;
struct run_control;

/** Who looks at a run from within: `vmig check --user`. */
struct run_watch {
	/** Each call, in the order in which they were answered, soon after. Never in another thread. */
	void (*call)(void *opaque, uint64_t number, const struct vmig_kabi_call *call);
	void *opaque;
	uint64_t more_flags; /* that the devices show */
	uint64_t limit_ns;   /* then the command, and what it has started, is killed; 0: never */
	bool started;        /* there was a command */
	bool timed_out;      /* it was killed */
	uint64_t lost;       /* calls that came too fast to be seen */
};

/** A run. Filled in from top to bottom, before the command starts; constant then. */
struct run {
	const struct tool_options *o;
	char name[RUN_NAME_MAX + 1];
	char folder[RUN_FOLDER_MAX];
	int lock_fd;
	char shared_path[128];
	struct run_shared *shared; /* specs, faults, passed descriptors; status and ring */
	const struct run_way *way;
	char *program;           /* the path that is executed; NULL: not found */
	char **command;          /* ends with NULL; {} and so on replaced */
	struct run_watch *watch; /* may be NULL */
};

/** A way in: how the calls of the command reach the core (see vmig/kernel_abi.h). */
struct run_way {
	const char *name, *about;
	int first_fd;      /* the passed descriptors are numbered from here */
	int orphan_signal; /* what the command gets when the run is killed */
	/** Can it serve run->program (may be NULL) with these devices? If not, say why, as the end of a sentence. */
	bool (*check)(const struct run *run, char why[RUN_WHY_MAX]);
	/**
	 * Start run->command, in a child that run_child_exec() makes ready. Called once, in the only thread.
	 * 0, or an exit status: it has been said.
	 */
	int (*start)(struct run *run, pid_t *ret_pid);
	/** All processes have ended, or start() has failed. May be NULL. */
	void (*finish)(struct run *run);
};

/** In the order in which "auto" tries them; ends with NULL. */
extern const struct run_way *const run_ways[];
extern const struct run_way run_way_preload, run_way_seccomp;

/* --- parts ----------------------------------------------------------------------------------- */

/** All of it: run->o, and perhaps run->watch, are there. Returns the command's status, or another one: it has been said. */
int run_whole(struct run *run);

/* Each returns 0, or an exit status: it has been said. */
int run_plan(struct run *run);
/** Make run->folder and run->shared. */
int run_folder_make(struct run *run);
/** A folder for each device; after run_plan(). */
int run_folder_add_devices(struct run *run);
void run_folder_remove(struct run *run);
/** The folder that `sysfsdev=` is to name for device @number. */
void run_folder_device(const struct run *run, uint32_t number, char ret[PATH_MAX]);
int run_way_choose(struct run *run);
int run_words(struct run *run);
/** Start, serve the control socket, wait. Returns the command's status. */
int run_child(struct run *run);

/** In the child: signals as they were, descriptors of run->shared->passed in place; then exec, or report to @report_fd and _exit. */
__attribute__((noreturn)) void run_child_exec(struct run *run, int report_fd);
/** In the parent, after fork(): has it been executed? 0, 126, 127: it has been said. Closes @report_fd. */
int run_child_report(struct run *run, int report_fd);

#endif
