/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * left - what the process of a check has left of its result, in memory that it shared with its caller. It may have been
 * ended, or have died, anywhere; what it wrote is not trusted.
 */
#ifndef CHECK_LEFT_H
#define CHECK_LEFT_H

#include "check.h"

/** Shared with processes that are forked from now on; NULL: no memory. */
struct check_result *check_left_new(void);
void check_left_free(struct check_result *left);

/** A copy in which texts end, numbers are in range, and what never came back has taken until @elapsed_ns. */
void check_left_take(const struct check_result *left, uint64_t elapsed_ns, struct check_result *ret);

#endif
