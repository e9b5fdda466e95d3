/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/fault.h"

#include <stdarg.h>
#include <stdio.h>

#include <vmig/state.h>

int vmig_fault(struct vmig_error *error, int code, const char *where, const char *format, ...)
{
	va_list ap;

	if (!error)
		return code;
	error->code = -code;
	error->from = VMIG_STATE_NONE;
	error->to = VMIG_STATE_NONE;
	snprintf(error->where, sizeof(error->where), "%s", where);
	va_start(ap, format);
	vsnprintf(error->text, sizeof(error->text), format, ap);
	va_end(ap);
	return code;
}
