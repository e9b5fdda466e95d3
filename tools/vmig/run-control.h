/* SPDX-License-Identifier: BSD-3-Clause */
/** run-control - the control socket of a run: its server, in the loop of run-child.c, and its clients. */
#ifndef VMIG_TOOLS_RUN_CONTROL_H
#define VMIG_TOOLS_RUN_CONTROL_H

#include <jansson.h>

#include "run.h"

/* --- the server ------------------------------------------------------------------------------ */

#define RUN_CONTROL_FDS 20

struct run_control;
struct pollfd;

/** Listen at FOLDER/control; begin the file of --trace. 0, or an exit status: it has been said. */
int run_control_new(struct run *run, struct run_control **ret);
/** The command has been started. */
void run_control_started(struct run_control *control, pid_t pid);
/** Descriptors to poll, at most @max; *ret_ms: the longest to wait, -1: for ever. */
int run_control_fds(const struct run_control *control, struct pollfd *fds, int max, int *ret_ms);
/** After poll(). Never blocks. */
void run_control_step(struct run_control *control, const struct pollfd *fds, int n);
/** The command has ended, with @status: tell those who look on, and stop. NULL is allowed. */
void run_control_free(struct run_control *control, int status);

/* --- clients --------------------------------------------------------------------------------- */

/** Is @word "run:NAME"? Then where its name starts, else NULL. */
const char *run_client_name(const char *word);
/** Ask the run @name: *ret is a stream of its answers, one a line. 0, or an exit status: it has been said. */
int run_client_ask(const char *name, const char *command, FILE **ret);
/** The next line; NULL: there is no more (*ret_status: 0, or it has been said). */
json_t *run_client_next(const char *name, FILE *stream, int *ret_status);

/** The whole answer to "info", and how a person sees it. */
int run_info_query(const char *name, json_t **ret);
void run_info_print(const json_t *info);

#endif
