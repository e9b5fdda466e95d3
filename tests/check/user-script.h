/* SPDX-License-Identifier: BSD-3-Clause */
/** user-script - the calls of users of devices that do all as it should be, but for one thing. */
#ifndef TESTS_CHECK_USER_SCRIPT_H
#define TESTS_CHECK_USER_SCRIPT_H

#include <stdbool.h>

struct check_user;

/** Tell @user of all that happens. @mutant: what is done wrong (check/user/mutants.tsv); "": nothing. */
void user_script(struct check_user *user, const char *mutant);

#endif
