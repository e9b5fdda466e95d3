/* SPDX-License-Identifier: BSD-3-Clause */
/** sqlite - a store in one file on a local disk. */
#ifndef VMIG_OWNER_SQLITE_H
#define VMIG_OWNER_SQLITE_H

#include <sqlite3.h>
#include <pthread.h>

#include "owner/store.h"

struct vmig_sqlite {
	sqlite3 *db;
	char path[4096];
	sqlite3_stmt *begin, *commit, *rollback, *get, *insert, *update;
};

/** What the disk of @f_type (statfs) is not to be: another machine's. */
bool vmig_sqlite_is_network(unsigned long f_type);
/** Open the file, make it if it is not there, and look whether it is a store of ours. */
int vmig_sqlite_open_file(struct vmig_sqlite *s, uint32_t timeout_ms, struct vmig_error *error);
/** -errno of what sqlite said last, and the words. */
int vmig_sqlite_fault(struct vmig_sqlite *s, int code, const char *doing, struct vmig_error *error);

#endif
