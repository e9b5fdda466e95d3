/* SPDX-License-Identifier: BSD-3-Clause */
/** run-folder - where the folder of a run is, for those who make it and those who look for it. */
#ifndef VMIG_TOOLS_RUN_FOLDER_H
#define VMIG_TOOLS_RUN_FOLDER_H

#include <stdbool.h>

#define RUN_NAME_MAX   40
#define RUN_FOLDER_MAX 99 /* with "/control" it fits a socket's address */

/** Letters, digits and "._-"; no dot first. */
bool run_name_is_good(const char *name);

/** The folder of all runs of this user: 0 the first choice, 1 the second. False: it cannot be had, try the next one. */
bool run_folder_base(int choice, char ret[RUN_FOLDER_MAX]);

#endif
