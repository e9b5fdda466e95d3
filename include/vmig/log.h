/* SPDX-License-Identifier: BSD-3-Clause */
/** log - where the library's messages go. The library itself never prints. */
#ifndef VMIG_LOG_H
#define VMIG_LOG_H

#ifdef __cplusplus
extern "C" {
#endif

enum vmig_log_level { VMIG_LOG_ERROR, VMIG_LOG_WARNING, VMIG_LOG_INFO, VMIG_LOG_DEBUG };

/** One line, without a newline. May be called from any thread, also at the same time. */
typedef void vmig_log_fn(enum vmig_log_level level, const char *line, void *opaque);

/** Set before other threads use the library. NULL: silence (the default). */
void vmig_log_set(enum vmig_log_level most, vmig_log_fn *fn, void *opaque);

#ifdef __cplusplus
}
#endif
#endif
