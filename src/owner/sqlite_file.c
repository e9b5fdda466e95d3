/* SPDX-License-Identifier: BSD-3-Clause */
/* The file: where it may be, and whether it is one of ours. */
#include "owner/sqlite.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/limits.h"

#define APPLICATION_ID 0x766d6967 /* "vmig" */
#define SCHEMA         1

/* Locks there are kept by the machine that has the disk, or by nobody; and a commit may not be on the disk when it says so. */
bool vmig_sqlite_is_network(unsigned long f_type)
{
	static const unsigned long types[] = {
		0x6969 /* NFS */,
		0x517b /* SMB */,
		0xff534d42 /* CIFS */,
		0xfe534d42 /* SMB2 */,
		0x00c36400 /* Ceph */,
		0x5346414f /* AFS */,
		0x73757245 /* Coda */,
		0x564c /* NCP */,
		0x01021997 /* 9P */,
		0x0bd00bd0 /* Lustre */,
		0x01161970 /* GFS2 */,
		0x7461636f /* OCFS2 */,
		0x65735546 /* FUSE: sshfs, virtiofs, glusterfs */,
	};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if ((uint32_t)f_type == types[i])
			return true;
	return false;
}

static int to_errno(int code)
{
	switch (code & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -ETIMEDOUT;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_PERM:
	case SQLITE_AUTH:
	case SQLITE_CANTOPEN:
	case SQLITE_READONLY:
		return -EACCES;
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
	case SQLITE_SCHEMA:
	case SQLITE_ERROR: /* a table that is not there */
		return -EBADMSG;
	case SQLITE_TOOBIG:
		return -E2BIG;
	default:
		return -EIO;
	}
}

int vmig_sqlite_fault(struct vmig_sqlite *s, int code, const char *doing, struct vmig_error *error)
{
	int r = to_errno(code);

	return vmig_fault(error, r, "sqlite", "%.120s: %s: %.80s", s->path, doing,
			  r == -ETIMEDOUT ? "another program has had it locked all the time"
					  : sqlite3_errmsg(s->db));
}

/* The folder's, as long as there is no file. */
static int check_place(const char *path, struct vmig_error *error)
{
	_autofree_ char *folder = strdup(path);
	struct statfs fs;
	struct stat st;
	char *slash;

	if (!folder)
		return vmig_fault(error, -ENOMEM, "sqlite", "no memory");
	if (!stat(path, &st) && !S_ISREG(st.st_mode))
		return vmig_fault(error, -EBADMSG, "sqlite", "%.150s: is no file", path);
	slash = strrchr(folder, '/');
	if (slash)
		slash[slash == folder] = '\0';
	if (statfs(path, &fs) && statfs(slash ? folder : ".", &fs))
		return vmig_fault(error, -errno, "sqlite",
				  "%.150s: its folder cannot be used: %m: make it, or name another", path);
	if (vmig_sqlite_is_network((unsigned long)fs.f_type))
		return vmig_fault(
			error, -EOPNOTSUPP, "sqlite",
			"%.120s: is on a network's file system, whose locks cannot be trusted: name a local "
			"file, or an etcd for several machines",
			path);
	return 0;
}

/*
 * Nobody else's to read. Its descriptor must not be closed while another handle of this process has the file open (that
 * would take its locks away): it is made only if it is not there, and openings are done one after the other.
 */
static int make_file(const char *path, struct vmig_error *error)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0 && errno != EEXIST)
		return vmig_fault(error, -errno, "sqlite", "%.150s: cannot be made: %m", path);
	if (fd >= 0)
		close(fd);
	return 0;
}

static int run_sql(struct vmig_sqlite *s, const char *sql, const char *doing, struct vmig_error *error)
{
	int code = sqlite3_exec(s->db, sql, NULL, NULL, NULL);

	return code == SQLITE_OK ? 0 : vmig_sqlite_fault(s, code, doing, error);
}

static int get_number(struct vmig_sqlite *s, const char *sql, int64_t *ret, struct vmig_error *error)
{
	sqlite3_stmt *stmt = NULL;
	int code = sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL), r = 0;

	if (code == SQLITE_OK)
		code = sqlite3_step(stmt);
	if (code == SQLITE_ROW)
		*ret = sqlite3_column_int64(stmt, 0);
	else
		r = vmig_sqlite_fault(s, code, "cannot be read", error);
	sqlite3_finalize(stmt);
	return r;
}

static const char make_tables[] = "PRAGMA application_id = 1986881895;"
				  "PRAGMA user_version = 1;"
				  "CREATE TABLE store (id BLOB NOT NULL CHECK (length(id) = 16)) STRICT;"
				  "INSERT INTO store VALUES (randomblob(16));"
				  "CREATE TABLE ownership ("
				  " device BLOB NOT NULL PRIMARY KEY CHECK (length(device) = 16),"
				  " owner TEXT NOT NULL, peer TEXT NOT NULL,"
				  " epoch INTEGER NOT NULL CHECK (epoch > 0),"
				  " attempt BLOB NOT NULL CHECK (length(attempt) = 16),"
				  " phase INTEGER NOT NULL CHECK (phase BETWEEN 1 AND 4),"
				  " writer BLOB NOT NULL CHECK (length(writer) = 16),"
				  " instance BLOB NOT NULL CHECK (length(instance) = 16)"
				  ") STRICT, WITHOUT ROWID;";
_Static_assert(APPLICATION_ID == 1986881895 && SCHEMA == 1, "make_tables says so");

/* In one transaction: of two that find an empty file one makes the tables, and the other sees them. */
static int check_schema(struct vmig_sqlite *s, struct vmig_error *error)
{
	int64_t id = 0, schema = 0, tables = 0;
	int r = get_number(s, "PRAGMA application_id", &id, error);

	if (!r)
		r = get_number(s, "PRAGMA user_version", &schema, error);
	if (!r)
		r = get_number(s, "SELECT count(*) FROM sqlite_master", &tables, error);
	if (r)
		return r;
	if (id == APPLICATION_ID && schema == SCHEMA)
		return 0;
	if (id == APPLICATION_ID)
		return vmig_fault(
			error, -EOPNOTSUPP, "sqlite",
			"%.120s: is of form %lld, and this vmig knows %d: use the vmig that made it", s->path,
			(long long)schema, SCHEMA);
	if (id || schema || tables)
		return vmig_fault(error, -EBADMSG, "sqlite", "%.120s: is a database of something else",
				  s->path);
	return run_sql(s, make_tables, "cannot be made a store", error);
}

/*
 * WAL: readers are not held up, and a commit is one write and one flush. EXTRA makes the other ways of journalling as
 * durable, since the file stays with them as long as it is in use by others when this is asked for.
 */
static int use_wal(struct vmig_sqlite *s, struct vmig_error *error)
{
	int code = sqlite3_exec(s->db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);

	if (code == SQLITE_OK || (code & 0xff) == SQLITE_BUSY || (code & 0xff) == SQLITE_LOCKED)
		return 0;
	return vmig_sqlite_fault(s, code, "cannot be opened", error);
}

static int set_up(struct vmig_sqlite *s, uint32_t timeout_ms, struct vmig_error *error)
{
	int r;

	sqlite3_busy_timeout(s->db, (int)MIN(timeout_ms, (uint32_t)INT32_MAX));
	sqlite3_limit(s->db, SQLITE_LIMIT_LENGTH, (int)VMIG_LIMIT_OWNER_ROW);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	r = run_sql(s, "PRAGMA synchronous = EXTRA; PRAGMA cell_size_check = ON; BEGIN IMMEDIATE",
		    "cannot be opened", error);
	if (!r)
		r = check_schema(s, error);
	if (!r)
		r = run_sql(s, "COMMIT", "cannot be made a store", error);
	return r ? r : use_wal(s, error);
}

int vmig_sqlite_open_file(struct vmig_sqlite *s, uint32_t timeout_ms, struct vmig_error *error)
{
	static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
	int code, r = check_place(s->path, error);

	if (r)
		return r;
	pthread_mutex_lock(&one_at_a_time);
	r = make_file(s->path, error);
	if (!r) {
		code = sqlite3_open_v2(s->path, &s->db,
				       SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
				       NULL);
		r = code == SQLITE_OK ? set_up(s, timeout_ms, error)
				      : vmig_sqlite_fault(s, code, "cannot be opened", error);
	}
	pthread_mutex_unlock(&one_at_a_time);
	return r;
}
