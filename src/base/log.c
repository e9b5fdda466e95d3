/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

static struct {
	enum vmig_log_level most;
	vmig_log_fn *fn;
	void *opaque;
} sink;

void vmig_log_set(enum vmig_log_level most, vmig_log_fn *fn, void *opaque)
{
	sink.most = most;
	sink.fn = fn;
	sink.opaque = opaque;
}

void vmig_log(enum vmig_log_level level, const char *format, ...)
{
	char line[512];
	va_list ap;

	if (!sink.fn || level > sink.most)
		return;
	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	sink.fn(level, line, sink.opaque);
}
