/* SPDX-License-Identifier: BSD-3-Clause */
/** record - what a record can be, whoever says so; and its one form as text (etcd compares bytes). */
#ifndef VMIG_OWNER_RECORD_H
#define VMIG_OWNER_RECORD_H

#include <vmig/owner.h>

#include "base/util.h"

/** Not empty, short enough, UTF-8 without control characters. NULL is not. */
bool vmig_owner_name_ok(const char *name);
/** Can there be such a record? */
bool vmig_ownership_ok(const struct vmig_ownership *record);

/** Bytes of the text form: names may be all quotes. */
#define VMIG_OWNER_TEXT_MAX 2048
/** JSON in one line, the same bytes for the same record. Into @ret; its length; 0: no memory. */
size_t vmig_ownership_encode(const struct vmig_ownership *record, char ret[VMIG_OWNER_TEXT_MAX]);
/** Strict: only what vmig_ownership_encode() makes. 0; -EBADMSG; -EOPNOTSUPP: of a newer form. */
int vmig_ownership_decode(const char *text, size_t len, struct vmig_ownership *ret);

#endif
