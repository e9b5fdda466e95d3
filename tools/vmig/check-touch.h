/* SPDX-License-Identifier: BSD-3-Clause */
/** check-touch - what may be written to a device: REGION:OFFSET:HEX. */
#ifndef VMIG_TOOLS_CHECK_TOUCH_H
#define VMIG_TOOLS_CHECK_TOUCH_H

#include "check/check.h"

/** 0, or VMIG_BAD_INPUT and it was said why. */
int check_touch_parse(const char *words, struct check_touch *ret);

#endif
