/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMIG_VERSION_H
#define VMIG_VERSION_H

#ifdef __cplusplus
extern "C" {
#endif

#define VMIG_VERSION_MAJOR 0
#define VMIG_VERSION_MINOR 1
#define VMIG_VERSION_PATCH 0

/** "0.1.0": of the library that runs, which may be newer than the header. */
const char *vmig_version(void);

#ifdef __cplusplus
}
#endif
#endif
