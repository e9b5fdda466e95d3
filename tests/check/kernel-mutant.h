/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * kernel-mutant - a device of the kernel that breaks one rule: its calls stand between a check and a good one.
 *
 * What is broken here the library keeps from models and their users, or does not ask for: it is seen by bare calls only.
 */
#ifndef VMIG_TESTS_CHECK_KERNEL_MUTANT_H
#define VMIG_TESTS_CHECK_KERNEL_MUTANT_H

#include "check/check.h"

/** The model that the mutant @name is made of; NULL: no such mutant. @name NULL: that of a good device. */
const char *kernel_mutant_spec(const char *name);

/** Put the mutant @name between. *calls is changed; @name NULL: it is not. Nothing is freed. */
void kernel_mutant_break(const char *name, struct check_calls *calls);

#endif
