/* SPDX-License-Identifier: BSD-3-Clause */
/** harden-calls - the filter of system calls. Private to harden. */
#ifndef VMIG_TOOLS_HARDEN_CALLS_H
#define VMIG_TOOLS_HARDEN_CALLS_H

#include "harden.h"

void harden_calls_install(enum harden_role role);

#endif
