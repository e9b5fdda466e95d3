/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * kernel-way - a model at a /dev/vfio that is this process's own: what check_calls_system is, for a device that needs neither
 * a kernel's driver nor another process. For one process that ends with it: nothing is freed.
 */
#ifndef VMIG_TESTS_CHECK_KERNEL_WAY_H
#define VMIG_TESTS_CHECK_KERNEL_WAY_H

#include "check/check.h"

/** The calls to a model of @spec. 0, or a negative errno with a sentence in @why. */
int kernel_way_new(const char *spec, struct check_calls *ret, char *why, size_t why_size);

#endif
