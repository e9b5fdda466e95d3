/* SPDX-License-Identifier: BSD-3-Clause */
/** fault - fill in a struct vmig_error. */
#ifndef VMIG_BASE_FAULT_H
#define VMIG_BASE_FAULT_H

#include <vmig/error.h>

/** Set *@error (may be NULL) and return @code, which is negative. No arc. */
__attribute__((format(printf, 4, 5))) int vmig_fault(struct vmig_error *error, int code, const char *where,
						     const char *format, ...);

#endif
