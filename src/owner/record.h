/* SPDX-License-Identifier: BSD-3-Clause */
/** record - what a record can be, whoever says so; and its one form as text (etcd compares bytes). */
#ifndef VMIG_OWNER_RECORD_H
#define VMIG_OWNER_RECORD_H

#include <vmig/owner.h>

#include "base/util.h"

/** Not empty, short enough, no control characters. NULL is not. */
bool vmig_owner_name_ok(const char *name);
/** Can there be such a record? */
bool vmig_ownership_ok(const struct vmig_ownership *record);

#endif
