/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * mutant - a device that breaks one rule: a provider on top of a good one, which does all the rest as that does.
 *
 * The library keeps a model's author from breaking most of them, so it is not done in a model.
 */
#ifndef VMIG_TESTS_CHECK_MUTANT_H
#define VMIG_TESTS_CHECK_MUTANT_H

#include <vmig/device.h>

/** True if there is a mutant of this name. */
bool mutant_exists(const char *name);

/** A mutant of @inner, which is taken over. */
int mutant_new(const char *name, struct vmig_device *inner, struct vmig_device **ret);

#endif
