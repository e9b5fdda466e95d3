/* SPDX-License-Identifier: BSD-3-Clause */
/** check-drive - the workload as the driver of the conformance suite. */
#ifndef VMIG_TOOLS_CHECK_DRIVE_H
#define VMIG_TOOLS_CHECK_DRIVE_H

#include "check/check.h"

extern const struct check_driver check_drive_workload;

#endif
