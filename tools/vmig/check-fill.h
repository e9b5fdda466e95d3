/* SPDX-License-Identifier: BSD-3-Clause */
/** check-fill - a nic or an accel, by its registers: what the checks by messages have for a driver. */
#ifndef TOOLS_CHECK_FILL_H
#define TOOLS_CHECK_FILL_H

#include "check/check.h"

extern const struct check_filler check_fill_nic;

#endif
