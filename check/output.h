/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * output - where a check's process prints. Not to where its caller does: one that hangs in the kernel for good would hold a
 * pipe open, and whoever reads the report from that (`vmig check .. | less`) would never see its end.
 */
#ifndef CHECK_OUTPUT_H
#define CHECK_OUTPUT_H

/** A file in memory; -1: there is none, and what is printed goes to where the caller's does. */
int check_output_new(void);

/** In the process of the check: what it prints goes to @fd. */
void check_output_take(int fd);

/** In the caller's: to standard error with what was printed, if anything was. */
void check_output_give(int fd);

#endif
