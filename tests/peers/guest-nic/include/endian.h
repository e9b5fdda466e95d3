/* SPDX-License-Identifier: BSD-3-Clause */
/* What models/bytes.h takes of the C library's <endian.h>: this guest is little-endian and has no library. */
#ifndef GUEST_ENDIAN_H
#define GUEST_ENDIAN_H

#define htole32(x) (x)
#define htole64(x) (x)
#define le32toh(x) (x)
#define le64toh(x) (x)

#endif
