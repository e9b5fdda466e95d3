/* SPDX-License-Identifier: BSD-3-Clause */
#include <vmig/version.h>

#define STR(x)          #x
#define DOTTED(a, b, c) STR(a) "." STR(b) "." STR(c)

const char *vmig_version(void)
{
	return DOTTED(VMIG_VERSION_MAJOR, VMIG_VERSION_MINOR, VMIG_VERSION_PATCH);
}
