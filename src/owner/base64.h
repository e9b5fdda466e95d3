/* SPDX-License-Identifier: BSD-3-Clause */
/** base64 - keys and values in etcd's JSON (RFC 4648, with padding). */
#ifndef VMIG_OWNER_BASE64_H
#define VMIG_OWNER_BASE64_H

#include <stddef.h>

/** A new string; NULL: no memory. */
char *vmig_base64_encode(const void *data, size_t len);
/** Strict. New bytes with a zero after them in *ret. 0; -EBADMSG; -ENOMEM. */
int vmig_base64_decode(const char *text, char **ret, size_t *ret_len);

#endif
