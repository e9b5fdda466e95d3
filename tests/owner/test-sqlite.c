/* SPDX-License-Identifier: BSD-3-Clause */
/* The store in a file: what a swap promises, who wins, what a file can be, and what a kill leaves. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.h"
#include "harness.h"
#include "owner/sqlite.h"
#include "records.h"

struct place {
	char folder[64], path[96], url[128];
};

static struct place begin(void)
{
	struct place p;

	make_folder(p.folder);
	snprintf(p.path, sizeof(p.path), "%s/owner.db", p.folder);
	snprintf(p.url, sizeof(p.url), "sqlite:%s", p.path);
	return p;
}

static struct vmig_owner *open_it(const struct place *p)
{
	struct vmig_owner *owner = NULL;
	struct vmig_error error = { 0 };
	int r = vmig_owner_open(p->url, 60000, &owner, &error);

	ck_assert_msg(!r, "%d: %s", r, error.text);
	return owner;
}

/* The record of device @number is made. */
static struct vmig_ownership create(struct vmig_owner *owner, unsigned int number)
{
	struct vmig_ownership none = { .device = some_uuid(number) }, r = some_record(number);

	ck_assert_int_eq(vmig_owner_swap(owner, &none, &r, 1, NULL), 0);
	return r;
}

static struct vmig_ownership read_one(struct vmig_owner *owner, unsigned int number)
{
	struct vmig_uuid device = some_uuid(number);
	struct vmig_ownership r;

	ck_assert_int_eq(vmig_owner_read(owner, &device, 1, &r, NULL), 0);
	return r;
}

static struct vmig_ownership raised(const struct vmig_ownership *now)
{
	struct vmig_owner_actor actor = some_actor(now->owner, NULL);
	struct vmig_ownership next;

	ck_assert_int_eq(vmig_owner_next(VMIG_OWNER_RAISE, &actor, now, &next), 0);
	return next;
}

TEST(a_record_is_read_as_it_was_written)
{
	struct place p = begin();
	struct vmig_owner *owner = open_it(&p);
	struct vmig_ownership r = read_one(owner, 1), next;
	struct vmig_owner_actor a = some_actor("host/vfio-user:/run/\xc3\xa4.sock", "b");

	ck_assert_int_eq(r.phase, 0);
	ck_assert_int_eq(vmig_owner_next(VMIG_OWNER_CREATE, &a, &r, &next), 0);
	ck_assert_int_eq(vmig_owner_swap(owner, &r, &next, 1, NULL), 0);
	r = next;
	ck_assert_int_eq(vmig_owner_next(VMIG_OWNER_DO_OPEN, &a, &r, &next), 0);
	ck_assert_int_eq(vmig_owner_swap(owner, &r, &next, 1, NULL), 0);
	vmig_owner_close(owner);
	owner = open_it(&p);
	r = read_one(owner, 1);
	ck_assert(vmig_ownership_equal(&r, &next));
	vmig_owner_close(owner);
	remove_folder(p.folder);
}

TEST(a_swap_of_what_is_not_so_is_lost)
{
	struct place p = begin();
	struct vmig_owner *owner = open_it(&p);
	struct vmig_ownership r = create(owner, 1), next = raised(&r), wrong = r, is;
	struct vmig_error error;

	wrong.epoch++;
	ck_assert_int_eq(vmig_owner_swap(owner, &wrong, &next, 1, &error), -EAGAIN);
	wrong = r;
	vmig_uuid_new(&wrong.writer);
	ck_assert_int_eq(vmig_owner_swap(owner, &wrong, &next, 1, &error), -EAGAIN);
	ck_assert_ptr_nonnull(strstr(error.text, "owner is a, epoch 1, stable"));
	wrong.phase = 0; /* and it is not absent */
	ck_assert_int_eq(vmig_owner_swap(owner, &wrong, &next, 1, &error), -EAGAIN);
	is = read_one(owner, 1);
	ck_assert(vmig_ownership_equal(&is, &r));
	ck_assert_int_eq(vmig_owner_swap(owner, &r, &next, 1, &error), 0);
	ck_assert_int_eq(vmig_owner_swap(owner, &r, &wrong, 1, &error), -EINVAL);
	vmig_owner_close(owner);
	remove_folder(p.folder);
}

/* Whoever does not know the outcome asks again, with the same nonce. */
TEST(a_swap_may_be_repeated)
{
	struct place p = begin();
	struct vmig_owner *owner = open_it(&p);
	struct vmig_ownership r = create(owner, 1), next = raised(&r), other = raised(&r);

	ck_assert_int_eq(vmig_owner_swap(owner, &r, &next, 1, NULL), 0);
	ck_assert_int_eq(vmig_owner_swap(owner, &r, &next, 1, NULL), 0);
	ck_assert_int_eq(vmig_owner_swap(owner, &r, &other, 1, NULL), -EAGAIN);
	vmig_owner_close(owner);
	remove_folder(p.folder);
}

#define UNIT 64

TEST(all_of_a_unit_or_none)
{
	struct place p = begin();
	struct vmig_owner *owner = open_it(&p);
	struct vmig_ownership now[UNIT], next[UNIT], is[UNIT];
	struct vmig_uuid devices[UNIT];

	for (unsigned int i = 0; i < UNIT; i++) {
		now[i] = create(owner, i + 1);
		next[i] = raised(&now[i]);
		devices[i] = now[i].device;
	}
	now[UNIT - 1].epoch++;
	ck_assert_int_eq(vmig_owner_swap(owner, now, next, UNIT, NULL), -EAGAIN);
	now[UNIT - 1].epoch--;
	ck_assert_int_eq(vmig_owner_read(owner, devices, UNIT, is, NULL), 0);
	for (int i = 0; i < UNIT; i++)
		ck_assert(vmig_ownership_equal(&is[i], &now[i]));
	/* One of them is written already: that is neither as said nor done. */
	ck_assert_int_eq(vmig_owner_swap(owner, now, next, 1, NULL), 0);
	ck_assert_int_eq(vmig_owner_swap(owner, now, next, UNIT, NULL), -EAGAIN);
	ck_assert_int_eq(vmig_owner_swap(owner, now + 1, next + 1, UNIT - 1, NULL), 0);
	ck_assert_int_eq(vmig_owner_swap(owner, now, next, UNIT, NULL), 0);
	vmig_owner_close(owner);
	remove_folder(p.folder);
}

TEST(units_have_a_limit)
{
	static struct vmig_ownership now[VMIG_LIMIT_DEVICES + 1], next[VMIG_LIMIT_DEVICES + 1];
	struct place p = begin();
	struct vmig_owner *owner = open_it(&p);
	struct vmig_uuid store;
	uint32_t max = 0;

	ck_assert_int_eq(vmig_owner_query(owner, &store, &max, NULL), 0);
	ck_assert_uint_eq(max, VMIG_LIMIT_DEVICES);
	for (unsigned int i = 0; i < max + 1; i++) {
		now[i] = (struct vmig_ownership){ .device = some_uuid(i + 1) };
		next[i] = some_record(i + 1);
	}
	ck_assert_int_eq(vmig_owner_swap(owner, now, next, max + 1, NULL), -E2BIG);
	ck_assert_int_eq(vmig_owner_swap(owner, now, next, 0, NULL), -EINVAL);
	ck_assert_int_eq(vmig_owner_swap(owner, now, next, max, NULL), 0);
	next[1] = next[0];
	now[1] = now[0];
	ck_assert_int_eq(vmig_owner_swap(owner, now, next, 2, NULL), -EINVAL);
	vmig_owner_close(owner);
	remove_folder(p.folder);
}

TEST(a_store_has_one_id)
{
	struct place p = begin(), q = begin();
	struct vmig_owner *a = open_it(&p), *b = open_it(&p), *c = open_it(&q);
	struct vmig_uuid ids[3];

	ck_assert_int_eq(vmig_owner_query(a, &ids[0], NULL, NULL), 0);
	ck_assert_int_eq(vmig_owner_query(b, &ids[1], NULL, NULL), 0);
	ck_assert_int_eq(vmig_owner_query(c, &ids[2], NULL, NULL), 0);
	ck_assert(vmig_uuid_equal(&ids[0], &ids[1]));
	ck_assert(!vmig_uuid_equal(&ids[0], &ids[2]));
	vmig_owner_close(a);
	vmig_owner_close(b);
	vmig_owner_close(c);
	remove_folder(p.folder);
	remove_folder(q.folder);
}

static int count_it(const struct vmig_ownership *r, void *opaque)
{
	return ++*(int *)opaque == 3 ? 42 : 0;
}

TEST(all_records_are_listed)
{
	struct place p = begin();
	struct vmig_owner *owner = open_it(&p);
	int n = 0;

	create(owner, 1);
	create(owner, 2);
	ck_assert_int_eq(vmig_owner_list(owner, count_it, &n, NULL), 0);
	ck_assert_int_eq(n, 2);
	create(owner, 3);
	create(owner, 4);
	n = 0;
	ck_assert_int_eq(vmig_owner_list(owner, count_it, &n, NULL), 42);
	ck_assert_int_eq(n, 3);
	vmig_owner_close(owner);
	remove_folder(p.folder);
}

/* --- races ---------------------------------------------------------------------------------------- */

#define WRITERS 4
#define RACES   25

struct writer {
	const struct place *place;
	pthread_barrier_t *start;
	struct vmig_ownership wrote[RACES];
	bool won[RACES];
};

/* Each round all raise what all have read; in between all wait, so that all have read the same. */
static void *write_in_race(void *arg)
{
	struct writer *w = arg;
	struct vmig_owner *owner = open_it(w->place);

	for (int i = 0; i < RACES; i++) {
		struct vmig_ownership now = read_one(owner, 1);
		int r;

		w->wrote[i] = raised(&now);
		pthread_barrier_wait(w->start);
		r = vmig_owner_swap(owner, &now, &w->wrote[i], 1, NULL);
		ck_assert(r == 0 || r == -EAGAIN);
		w->won[i] = !r;
		pthread_barrier_wait(w->start);
	}
	vmig_owner_close(owner);
	return NULL;
}

TEST(of_writers_that_race_one_wins)
{
	static struct writer writers[WRITERS];
	struct place p = begin();
	struct vmig_owner *owner = open_it(&p);
	struct vmig_ownership is;
	pthread_t threads[WRITERS];
	pthread_barrier_t start;

	create(owner, 1);
	pthread_barrier_init(&start, NULL, WRITERS);
	for (int i = 0; i < WRITERS; i++) {
		writers[i].place = &p;
		writers[i].start = &start;
		pthread_create(&threads[i], NULL, write_in_race, &writers[i]);
	}
	for (int i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	for (int round = 0; round < RACES; round++) {
		int winners = 0;

		for (int i = 0; i < WRITERS; i++)
			winners += writers[i].won[round];
		ck_assert_int_eq(winners, 1);
	}
	is = read_one(owner, 1);
	ck_assert_uint_eq(is.epoch, 1 + RACES);
	pthread_barrier_destroy(&start);
	vmig_owner_close(owner);
	remove_folder(p.folder);
}

/* Processes that each make it their own @n times, whatever the others do: no raise is lost, none counts twice. */
static void raise_many(const struct place *p, int n)
{
	struct vmig_owner *owner = open_it(p);

	for (int done = 0; done < n;) {
		struct vmig_ownership now = read_one(owner, 1), next = raised(&now);
		int r = vmig_owner_swap(owner, &now, &next, 1, NULL);

		if (r && r != -EAGAIN)
			_exit(1);
		done += !r;
	}
	vmig_owner_close(owner);
	_exit(0);
}

TEST(processes_do_not_lose_each_others_writes)
{
	struct place p = begin();
	struct vmig_owner *owner = open_it(&p);
	struct vmig_ownership is;
	pid_t child[3];

	create(owner, 1);
	vmig_owner_close(owner);
	for (int i = 0; i < 3; i++) {
		child[i] = fork();
		if (!child[i])
			raise_many(&p, 20);
	}
	for (int i = 0; i < 3; i++) {
		int status;

		ck_assert_int_eq(waitpid(child[i], &status, 0), child[i]);
		ck_assert_int_eq(status, 0);
	}
	owner = open_it(&p);
	is = read_one(owner, 1);
	ck_assert_uint_eq(is.epoch, 61);
	vmig_owner_close(owner);
	remove_folder(p.folder);
}

/* Of those that find no file one makes it, and all have the same. */
TEST(processes_that_open_a_new_file_at_once)
{
	struct place p = begin();
	struct vmig_owner *owner;
	pid_t child[4];

	for (int i = 0; i < 4; i++) {
		child[i] = fork();
		if (!child[i]) {
			create(open_it(&p), (unsigned int)i + 1);
			_exit(0);
		}
	}
	for (int i = 0; i < 4; i++) {
		int status;

		ck_assert_int_eq(waitpid(child[i], &status, 0), child[i]);
		ck_assert_int_eq(status, 0);
	}
	owner = open_it(&p);
	for (unsigned int i = 0; i < 4; i++)
		ck_assert_int_eq(read_one(owner, i + 1).phase, VMIG_OWNER_STABLE);
	vmig_owner_close(owner);
	remove_folder(p.folder);
}

/* --- a kill in the middle ------------------------------------------------------------------------- */

/* Swaps all of a unit for ever; says on the pipe which epoch is written. */
static void swap_for_ever(const struct place *p, int fd)
{
	static struct vmig_ownership now[UNIT], next[UNIT];
	struct vmig_owner *owner = open_it(p);

	for (unsigned int i = 0; i < UNIT; i++)
		now[i] = read_one(owner, i + 1);
	for (;;) {
		for (unsigned int i = 0; i < UNIT; i++)
			next[i] = raised(&now[i]);
		if (vmig_owner_swap(owner, now, next, UNIT, NULL) ||
		    write(fd, &next[0].epoch, sizeof(next[0].epoch)) < 0)
			_exit(1);
		memcpy(now, next, sizeof(now));
	}
}

TEST(a_kill_leaves_the_old_or_the_new)
{
	struct place p = begin();
	struct vmig_owner *owner = open_it(&p);

	for (unsigned int i = 0; i < UNIT; i++)
		create(owner, i + 1);
	vmig_owner_close(owner);
	for (int round = 0; round < 10; round++) {
		uint64_t said = 0, epoch;
		int fds[2], status;
		pid_t child;

		ck_assert_int_eq(pipe(fds), 0);
		child = fork();
		if (!child)
			swap_for_ever(&p, fds[1]);
		close(fds[1]);
		for (int i = 0; i < 1 + round % 4; i++)
			ck_assert_int_eq(read(fds[0], &said, sizeof(said)), sizeof(said));
		kill(child, SIGKILL); /* anywhere in the next one */
		ck_assert_int_eq(waitpid(child, &status, 0), child);
		ck_assert(WIFSIGNALED(status));
		while (read(fds[0], &epoch, sizeof(epoch)) == sizeof(epoch))
			said = epoch;
		close(fds[0]);
		owner = open_it(&p);
		epoch = read_one(owner, 1).epoch;
		ck_assert(epoch == said || epoch == said + 1);
		for (unsigned int i = 1; i < UNIT; i++)
			ck_assert_uint_eq(read_one(owner, i + 1).epoch, epoch);
		vmig_owner_close(owner);
	}
	remove_folder(p.folder);
}

/* --- files that cannot be used -------------------------------------------------------------------- */

static int open_error(const char *url, struct vmig_error *error)
{
	struct vmig_owner *owner = NULL;
	int r = vmig_owner_open(url, 100, &owner, error);

	vmig_owner_close(owner);
	return r;
}

static void run_sql(const struct place *p, const char *sql)
{
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(p->path, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

TEST(urls_that_name_no_store)
{
	static const char *const bad[] = { "",        "sqlite",       "sqlite:", "/tmp/x",
					   "mysql:x", "sqlit:/tmp/x", "none" };
	struct vmig_error error;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(open_error(bad[i], &error) == -EINVAL, "%s", bad[i]);
	ck_assert_int_eq(open_error("sqlite:/nowhere/at/all", &error), -ENOENT);
	ck_assert_int_eq(open_error("sqlite:/tmp", &error), -EBADMSG);
}

TEST(a_file_of_something_else_is_left_alone)
{
	struct place p = begin();
	struct vmig_error error;
	char text[4096] = "this is the diary of somebody, and no database at all. ";
	int fd = open(p.path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_eq(write(fd, text, sizeof(text)), sizeof(text));
	ck_assert_int_eq(open_error(p.url, &error), -EBADMSG);
	memset(text, 0, sizeof(text));
	ck_assert_int_eq(pread(fd, text, sizeof(text), 0), sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "diary"));
	close(fd);
	unlink(p.path);
	run_sql(&p, "CREATE TABLE recipes (name)");
	ck_assert_int_eq(open_error(p.url, &error), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(error.text, "something else"));
	remove_folder(p.folder);
}

TEST(a_newer_file_is_refused)
{
	struct place p = begin();
	struct vmig_error error;

	vmig_owner_close(open_it(&p));
	run_sql(&p, "PRAGMA user_version = 2");
	ck_assert_int_eq(open_error(p.url, &error), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(error.text, "form 2"));
	remove_folder(p.folder);
}

/* What anybody with the file can write that the tables' own checks let through. */
TEST(records_that_none_can_be_are_refused)
{
	static const char *const bad[] = {
		"UPDATE ownership SET owner = ''",
		"UPDATE ownership SET owner = 'a' || char(10) || 'b'",
		"UPDATE ownership SET owner = 'a' || char(0) || 'b'",
		"UPDATE ownership SET owner = hex(zeroblob(128))",
		"UPDATE ownership SET peer = 'b'",
		"UPDATE ownership SET phase = 2",
		"UPDATE ownership SET owner = hex(zeroblob(40000))",
	};
	struct vmig_error error;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct place p = begin();
		struct vmig_owner *owner = open_it(&p);
		struct vmig_ownership r = create(owner, 1), next = raised(&r);
		int got;

		run_sql(&p, bad[i]);
		got = vmig_owner_read(owner, &r.device, 1, &r, &error);
		ck_assert_msg(got == -EBADMSG || got == -E2BIG, "%s: %d", bad[i], got);
		got = vmig_owner_swap(owner, &r, &next, 1, &error);
		ck_assert_msg(got == -EBADMSG || got == -E2BIG, "%s: %d", bad[i], got);
		vmig_owner_close(owner);
		remove_folder(p.folder);
	}
}

TEST(a_network_file_system_is_refused)
{
	ck_assert(vmig_sqlite_is_network(0x6969));                         /* NFS */
	ck_assert(vmig_sqlite_is_network((unsigned long)0xff534d42));      /* CIFS */
	ck_assert(vmig_sqlite_is_network((unsigned long)(int)0xfe534d42)); /* with its sign */
	ck_assert(!vmig_sqlite_is_network(0xef53));                        /* ext4 */
	ck_assert(!vmig_sqlite_is_network(0x01021994));                    /* tmpfs */
}

TEST(a_file_that_is_locked_is_waited_for_and_no_longer)
{
	struct place p = begin();
	struct vmig_owner *owner = open_it(&p), *hasty = NULL;
	struct vmig_ownership r = create(owner, 1), next = raised(&r), is;
	struct vmig_error error;
	sqlite3 *db;

	ck_assert_int_eq(vmig_owner_open(p.url, 50, &hasty, NULL), 0);
	ck_assert_int_eq(sqlite3_open(p.path, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	ck_assert_int_eq(vmig_owner_swap(hasty, &r, &next, 1, &error), -ETIMEDOUT);
	is = read_one(hasty, 1); /* reading goes on */
	ck_assert(vmig_ownership_equal(&is, &r));
	ck_assert_int_eq(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	ck_assert_int_eq(vmig_owner_swap(hasty, &r, &next, 1, &error), 0);
	vmig_owner_close(hasty);
	vmig_owner_close(owner);
	remove_folder(p.folder);
}

/* A file that may not grow stands for a full disk: the record stays what it was, or it is said that it is not known. */
TEST(a_full_disk_leaves_the_old_record)
{
	struct place p = begin();
	struct vmig_owner *owner = open_it(&p);
	struct vmig_ownership r = create(owner, 1), next = raised(&r), is;
	struct rlimit old, small;
	struct vmig_error error;
	int got;

	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 1024;
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	got = vmig_owner_swap(owner, &r, &next, 1, &error);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
	ck_assert_msg(got < 0 && got != -EAGAIN, "%d", got);
	is = read_one(owner, 1);
	ck_assert(vmig_ownership_equal(&is, &r));
	ck_assert_int_eq(vmig_owner_swap(owner, &r, &next, 1, &error), 0);
	vmig_owner_close(owner);
	remove_folder(p.folder);
}

TEST(a_file_of_somebody_else_is_refused)
{
	struct place p = begin();
	struct vmig_error error;

	vmig_owner_close(open_it(&p));
	ck_assert_int_eq(chmod(p.path, 0400), 0);
	if (geteuid() == 0 && (chown(p.folder, 65534, 65534) || seteuid(65534)))
		harness_skip("root, and cannot be another user");
	ck_assert_int_eq(open_error(p.url, &error), -EACCES);
	if (getuid() == 0)
		ck_assert_int_eq(seteuid(0), 0);
	remove_folder(p.folder);
}

HARNESS("owner-sqlite", T(a_record_is_read_as_it_was_written), T(a_swap_of_what_is_not_so_is_lost),
	T(a_swap_may_be_repeated), T(all_of_a_unit_or_none), T_SLOW(units_have_a_limit, 60),
	T(a_store_has_one_id), T(all_records_are_listed), T_SLOW(of_writers_that_race_one_wins, 60),
	T_SLOW(processes_do_not_lose_each_others_writes, 60), T(processes_that_open_a_new_file_at_once),
	T_SLOW(a_kill_leaves_the_old_or_the_new, 60), T(urls_that_name_no_store),
	T(a_file_of_something_else_is_left_alone), T(a_newer_file_is_refused),
	T(records_that_none_can_be_are_refused), T(a_network_file_system_is_refused),
	T(a_file_that_is_locked_is_waited_for_and_no_longer), T(a_full_disk_leaves_the_old_record),
	T(a_file_of_somebody_else_is_refused))
