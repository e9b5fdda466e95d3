/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMIG_BASE_LOG_H
#define VMIG_BASE_LOG_H

#include <vmig/log.h>

/** Format one line for the callback, if it wants this level. */
__attribute__((format(printf, 2, 3))) void vmig_log(enum vmig_log_level level, const char *format, ...);

#endif
