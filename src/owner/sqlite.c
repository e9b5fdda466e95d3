/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Records in a table, and a swap is a transaction: BEGIN IMMEDIATE takes the one lock for writing, so what is compared
 * cannot change until COMMIT. Whatever goes wrong before COMMIT leaves no trace; an error of COMMIT itself does not tell.
 */
#include "owner/sqlite.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"

#define COLUMNS "device, owner, peer, epoch, attempt, phase, writer, instance"

static int prepare(struct vmig_sqlite *s, const char *sql, sqlite3_stmt **ret, struct vmig_error *error)
{
	int code = sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL);

	return code == SQLITE_OK ? 0 : vmig_sqlite_fault(s, code, "is no store", error);
}

static int prepare_all(struct vmig_sqlite *s, struct vmig_error *error)
{
	const struct {
		const char *sql;
		sqlite3_stmt **stmt;
	} rows[] = {
		{ "BEGIN IMMEDIATE", &s->begin },
		{ "COMMIT", &s->commit },
		{ "ROLLBACK", &s->rollback },
		{ "SELECT " COLUMNS " FROM ownership WHERE device = ?1", &s->get },
		{ "INSERT INTO ownership (" COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)", &s->insert },
		{ "UPDATE ownership SET owner = ?2, peer = ?3, epoch = ?4, attempt = ?5, phase = ?6, writer "
		  "= ?7, "
		  "instance = ?8 WHERE device = ?1",
		  &s->update },
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rows) && !r; i++)
		r = prepare(s, rows[i].sql, rows[i].stmt, error);
	return r;
}

static void store_close(void *store)
{
	struct vmig_sqlite *s = store;
	sqlite3_stmt *const all[] = { s->begin, s->commit, s->rollback, s->get, s->insert, s->update };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		sqlite3_finalize(all[i]);
	sqlite3_close(s->db);
	free(s);
}

static int store_open(const char *rest, uint32_t timeout_ms, void **ret, struct vmig_error *error)
{
	struct vmig_sqlite *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return vmig_fault(error, -ENOMEM, "sqlite", "no memory");
	if (!*rest || *rest == ':' || strlen(rest) >= sizeof(s->path)) {
		free(s);
		return vmig_fault(error, -EINVAL, "sqlite",
				  "'sqlite:PATH': the path is missing, too long, or none");
	}
	memcpy(s->path, rest, strlen(rest) + 1);
	r = vmig_sqlite_open_file(s, timeout_ms, error);
	if (!r)
		r = prepare_all(s, error);
	if (r) {
		store_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

/* One step of a statement without rows. */
static int run(sqlite3_stmt *stmt)
{
	int code = sqlite3_step(stmt);

	sqlite3_reset(stmt);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int begin(struct vmig_sqlite *s, struct vmig_error *error)
{
	int code = run(s->begin);

	return code == SQLITE_OK ? 0 : vmig_sqlite_fault(s, code, "cannot be locked", error);
}

static void give_up(struct vmig_sqlite *s)
{
	if (!sqlite3_get_autocommit(s->db))
		run(s->rollback);
}

/* --- rows ----------------------------------------------------------------------------------------- */

static bool get_uuid(sqlite3_stmt *row, int column, struct vmig_uuid *ret)
{
	const void *blob = sqlite3_column_blob(row, column);

	if (!blob || sqlite3_column_bytes(row, column) != (int)sizeof(ret->bytes))
		return false;
	memcpy(ret->bytes, blob, sizeof(ret->bytes));
	return true;
}

static bool get_name(sqlite3_stmt *row, int column, char ret[VMIG_OWNER_NAME_MAX])
{
	const unsigned char *text = sqlite3_column_text(row, column);
	int len = sqlite3_column_bytes(row, column);

	if (!text || len >= VMIG_OWNER_NAME_MAX || strlen((const char *)text) != (size_t)len)
		return false;
	memcpy(ret, text, (size_t)len + 1);
	return true;
}

/* Whoever may write to the file may have written anything. */
static int get_row(struct vmig_sqlite *s, sqlite3_stmt *row, struct vmig_ownership *ret,
		   struct vmig_error *error)
{
	struct vmig_ownership r = { 0 };
	bool ok = get_uuid(row, 0, &r.device) && get_name(row, 1, r.owner) && get_name(row, 2, r.peer) &&
		  get_uuid(row, 4, &r.attempt) && get_uuid(row, 6, &r.writer) &&
		  get_uuid(row, 7, &r.instance);

	r.epoch = (uint64_t)sqlite3_column_int64(row, 3);
	r.phase = (enum vmig_owner_phase)sqlite3_column_int(row, 5);
	if (!ok || !vmig_ownership_ok(&r))
		return vmig_fault(error, -EBADMSG, "sqlite", "%.120s: holds a record that none can be",
				  s->path);
	*ret = r;
	return 0;
}

static int get(struct vmig_sqlite *s, const struct vmig_uuid *device, struct vmig_ownership *ret,
	       struct vmig_error *error)
{
	int code, r = 0;

	sqlite3_bind_blob(s->get, 1, device->bytes, sizeof(device->bytes), SQLITE_STATIC);
	code = sqlite3_step(s->get);
	if (code == SQLITE_ROW)
		r = get_row(s, s->get, ret, error);
	else if (code == SQLITE_DONE)
		*ret = (struct vmig_ownership){ .device = *device };
	else
		r = vmig_sqlite_fault(s, code, "cannot be read", error);
	sqlite3_reset(s->get);
	return r;
}

static int put(struct vmig_sqlite *s, sqlite3_stmt *stmt, const struct vmig_ownership *r,
	       struct vmig_error *error)
{
	int code;

	sqlite3_bind_blob(stmt, 1, r->device.bytes, sizeof(r->device.bytes), SQLITE_STATIC);
	sqlite3_bind_text(stmt, 2, r->owner, -1, SQLITE_STATIC);
	sqlite3_bind_text(stmt, 3, r->peer, -1, SQLITE_STATIC);
	sqlite3_bind_int64(stmt, 4, (int64_t)r->epoch);
	sqlite3_bind_blob(stmt, 5, r->attempt.bytes, sizeof(r->attempt.bytes), SQLITE_STATIC);
	sqlite3_bind_int(stmt, 6, (int)r->phase);
	sqlite3_bind_blob(stmt, 7, r->writer.bytes, sizeof(r->writer.bytes), SQLITE_STATIC);
	sqlite3_bind_blob(stmt, 8, r->instance.bytes, sizeof(r->instance.bytes), SQLITE_STATIC);
	code = run(stmt);
	sqlite3_clear_bindings(stmt);
	if (code == SQLITE_OK && sqlite3_changes(s->db) != 1)
		return vmig_fault(error, -EIO, "sqlite", "%.120s: %d rows changed, not one", s->path,
				  sqlite3_changes(s->db));
	return code == SQLITE_OK ? 0 : vmig_sqlite_fault(s, code, "cannot be written", error);
}

/* --- calls ---------------------------------------------------------------------------------------- */

static int store_query(void *store, struct vmig_uuid *ret, struct vmig_error *error)
{
	struct vmig_sqlite *s = store;
	sqlite3_stmt *stmt = NULL;
	int code = sqlite3_prepare_v2(s->db, "SELECT id FROM store", -1, &stmt, NULL), r = 0;

	if (code == SQLITE_OK)
		code = sqlite3_step(stmt);
	if (code == SQLITE_ROW && !get_uuid(stmt, 0, ret))
		r = vmig_fault(error, -EBADMSG, "sqlite", "%.120s: its own id is damaged", s->path);
	else if (code != SQLITE_ROW)
		r = vmig_sqlite_fault(s, code == SQLITE_DONE ? SQLITE_CORRUPT : code, "has no id", error);
	sqlite3_finalize(stmt);
	return r;
}

static int read_all(struct vmig_sqlite *s, const struct vmig_uuid *devices, uint32_t n,
		    struct vmig_ownership *ret, struct vmig_error *error)
{
	int r = 0;

	for (uint32_t i = 0; i < n && !r; i++)
		r = get(s, &devices[i], &ret[i], error);
	return r;
}

/* All at one moment: a transaction. It only reads, so it needs no lock for writing, and cannot be lost by giving it up. */
static int store_read(void *store, const struct vmig_uuid *devices, uint32_t n, struct vmig_ownership *ret,
		      struct vmig_error *error)
{
	struct vmig_sqlite *s = store;
	int code = sqlite3_exec(s->db, "BEGIN", NULL, NULL, NULL), r;

	if (code != SQLITE_OK)
		return vmig_sqlite_fault(s, code, "cannot be read", error);
	r = read_all(s, devices, n, ret, error);
	give_up(s);
	return r;
}

/* 1: all are as said; 0: all are written already; -EAGAIN */
static int compare(struct vmig_sqlite *s, const struct vmig_ownership *now, const struct vmig_ownership *next,
		   uint32_t n, struct vmig_error *error)
{
	uint32_t old = 0, written = 0;
	struct vmig_ownership is;

	for (uint32_t i = 0; i < n; i++) {
		int r = get(s, &next[i].device, &is, error);

		if (r)
			return r;
		if (now[i].phase ? vmig_ownership_equal(&is, &now[i]) : !is.phase)
			old++;
		else if (vmig_ownership_equal(&is, &next[i]))
			written++;
		else
			return vmig_store_lost(&is, error);
		if (old && written)
			return vmig_store_lost(&is, error);
	}
	return old == n;
}

static int put_all(struct vmig_sqlite *s, const struct vmig_ownership *now, const struct vmig_ownership *next,
		   uint32_t n, struct vmig_error *error)
{
	int r = 0;

	for (uint32_t i = 0; i < n && !r; i++)
		r = put(s, now[i].phase ? s->update : s->insert, &next[i], error);
	return r;
}

/* After BUSY the transaction is whole and can be given up; of any other error it cannot be said what is on the disk. */
static int commit(struct vmig_sqlite *s, struct vmig_error *error)
{
	int code = run(s->commit);

	if (code == SQLITE_OK)
		return 0;
	vmig_sqlite_fault(s, code, "it is not known whether it was written", error);
	if ((code & 0xff) == SQLITE_BUSY && !sqlite3_get_autocommit(s->db) && run(s->rollback) == SQLITE_OK)
		return vmig_sqlite_fault(s, code, "cannot be written", error);
	give_up(s);
	if (error)
		error->code = EINPROGRESS;
	return -EINPROGRESS;
}

static int store_swap(void *store, const struct vmig_ownership *now, const struct vmig_ownership *next,
		      uint32_t n, struct vmig_error *error)
{
	struct vmig_sqlite *s = store;
	int r = begin(s, error);

	if (r)
		return r;
	r = compare(s, now, next, n, error);
	if (r == 1) {
		r = put_all(s, now, next, n, error);
		if (!r)
			return commit(s, error);
	}
	give_up(s);
	return r;
}

static int store_list(void *store, int (*each)(const struct vmig_ownership *, void *), void *opaque,
		      struct vmig_error *error)
{
	struct vmig_sqlite *s = store;
	sqlite3_stmt *stmt = NULL;
	int code = sqlite3_prepare_v2(s->db, "SELECT " COLUMNS " FROM ownership ORDER BY device", -1, &stmt,
				      NULL);
	struct vmig_ownership record;
	int r = 0;

	while (code == SQLITE_OK && !r) {
		if (sqlite3_step(stmt) != SQLITE_ROW)
			break;
		r = get_row(s, stmt, &record, error);
		if (!r)
			r = each(&record, opaque);
	}
	code = sqlite3_finalize(stmt);
	return !r && code != SQLITE_OK ? vmig_sqlite_fault(s, code, "cannot be read", error) : r;
}

const struct vmig_store_ops vmig_store_sqlite = {
	.scheme = "sqlite",
	.open = store_open,
	.close = store_close,
	.unit_max = VMIG_LIMIT_DEVICES,
	.query = store_query,
	.read = store_read,
	.swap = store_swap,
	.list = store_list,
};
