/* SPDX-License-Identifier: BSD-3-Clause */
/* Migrations with a real record, over the driver: a file for both ends, a handle each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"
#include "counter.h"
#include "harness.h"
#include "side.h"

#define N 3

struct unit {
	char folder[64], path[96], other[96];
	struct counter from[N], to[N];
	struct side source, destination;
	struct vmig_owner *here, *there;
	int n;
};

static struct vmig_owner *open_store(const char *path)
{
	struct vmig_owner *owner;
	char url[128];

	snprintf(url, sizeof(url), "sqlite:%s", path);
	ck_assert_int_eq(vmig_owner_open(url, 0, &owner, NULL), 0);
	return owner;
}

static void unit_open(struct unit *u, int n)
{
	const struct counter_config config = { .size = 1 << 20 };
	struct vmig_channel *x, *y;

	snprintf(u->folder, sizeof(u->folder), "/tmp/vmig-owned.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(u->folder));
	snprintf(u->path, sizeof(u->path), "%s/a.db", u->folder);
	snprintf(u->other, sizeof(u->other), "%s/b.db", u->folder);
	u->n = n;
	side_open(u->from, n, &config);
	side_open(u->to, n, &config);
	for (int i = 0; i < n; i++)
		counter_work(&u->from[i], 1000);
	side_pair(&x, &y);
	side_init(&u->source, true, u->from, (uint32_t)n, x);
	side_init(&u->destination, false, u->to, (uint32_t)n, y);
	u->here = open_store(u->path);
	u->there = open_store(u->path);
	u->source.options.owner = u->here;
	u->source.options.me = "host/a";
	u->destination.options.owner = u->there;
	u->destination.options.me = "host/b";
}

static void unlink_all(const struct unit *u)
{
	static const char *const ends[] = { "", "-wal", "-shm", "-journal" };

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		char path[128];

		snprintf(path, sizeof(path), "%s%s", u->path, ends[i]);
		unlink(path);
		snprintf(path, sizeof(path), "%s%s", u->other, ends[i]);
		unlink(path);
	}
	rmdir(u->folder);
}

static void unit_close(struct unit *u)
{
	side_close(u->from, u->n);
	side_close(u->to, u->n);
	vmig_owner_close(u->here);
	vmig_owner_close(u->there);
	unlink_all(u);
}

static struct vmig_uuid identity(struct counter *c)
{
	struct vmig_tag tag;

	ck_assert_int_eq(vmig_device_query_tag(c->dev, &tag), 0);
	return tag.identity;
}

static struct vmig_ownership record(struct unit *u, struct counter *c)
{
	struct vmig_uuid id = identity(c);
	struct vmig_ownership r;

	ck_assert(!vmig_uuid_is_none(&id));
	ck_assert_int_eq(vmig_owner_read(u->here, &id, 1, &r, NULL), 0);
	return r;
}

static void check_refused(struct unit *u, const char *why)
{
	ck_assert_msg(u->source.r == VMIG_NOT_DONE, "%d: %s", u->source.r, u->source.result.reason);
	ck_assert_int_eq(u->destination.r, VMIG_NOT_DONE);
	ck_assert_msg(strstr(u->source.result.reason, why), "%s", u->source.result.reason);
	side_check_running(u->from, u->n);
}

TEST(a_unit_moves_and_the_record_says_so)
{
	struct unit u;

	unit_open(&u, N);
	side_run_both(&u.source, &u.destination);
	ck_assert_msg(u.source.r == VMIG_DONE, "%s", u.source.result.reason);
	ck_assert_int_eq(u.destination.r, VMIG_DONE);
	ck_assert(u.source.result.owned && u.destination.result.owned);
	ck_assert_uint_gt(u.destination.result.owner_ns, 0);
	ck_assert_uint_le(u.destination.result.owner_ns, u.destination.result.downtime_ns);
	ck_assert_uint_gt(u.source.result.owner_ns, 0);
	for (int i = 0; i < N; i++) {
		struct vmig_ownership r = record(&u, &u.to[i]);
		struct vmig_uuid old = identity(&u.from[i]), new = identity(&u.to[i]);

		ck_assert(vmig_uuid_equal(&old, &new));
		ck_assert_str_eq(r.owner, "host/b");
		ck_assert_int_eq(r.phase, VMIG_OWNER_RUNNING);
		ck_assert(vmig_uuid_equal(&r.attempt, &u.source.result.attempt));
		ck_assert_uint_eq(counter_state(&u.from[i]), VMIG_STATE_STOP);
		ck_assert_uint_eq(counter_state(&u.to[i]), VMIG_STATE_RUNNING);
	}
	unit_close(&u);
}

/* The same channel's ends changed: back to where it came from, whose old copies are overwritten. */
TEST(a_unit_moves_there_and_back)
{
	struct unit u;
	struct side back, forth;
	struct vmig_channel *x, *y;

	unit_open(&u, 2);
	side_run_both(&u.source, &u.destination);
	ck_assert_int_eq(u.source.r, VMIG_DONE);
	side_pair(&x, &y);
	side_init(&back, true, u.to, 2, x);
	side_init(&forth, false, u.from, 2, y);
	back.options = u.destination.options;
	forth.options = u.source.options;
	side_run_both(&back, &forth);
	ck_assert_msg(back.r == VMIG_DONE, "%s", back.result.reason);
	ck_assert_str_eq(record(&u, &u.from[0]).owner, "host/a");
	ck_assert_uint_eq(record(&u, &u.from[0]).epoch, 5);
	ck_assert_uint_eq(counter_state(&u.from[0]), VMIG_STATE_RUNNING);
	ck_assert_uint_eq(counter_state(&u.to[0]), VMIG_STATE_STOP);
	unit_close(&u);
}

TEST(ends_that_mean_different_records_are_refused)
{
	struct unit u;

	unit_open(&u, 1);
	vmig_owner_close(u.there);
	u.there = open_store(u.other);
	u.destination.options.owner = u.there;
	side_run_both(&u.source, &u.destination);
	check_refused(&u, "give both ends the same --owner");
	unit_close(&u);
}

TEST(a_destination_without_a_record_is_refused)
{
	struct unit u;

	unit_open(&u, 1);
	u.destination.options.owner = NULL;
	side_run_both(&u.source, &u.destination);
	check_refused(&u, "the destination has no ownership record");
	unit_close(&u);
}

TEST(ends_of_one_name_are_refused)
{
	struct unit u;

	unit_open(&u, 1);
	u.destination.options.me = "host/a";
	side_run_both(&u.source, &u.destination);
	check_refused(&u, "both ends have the same name");
	unit_close(&u);
}

TEST(what_is_another_s_is_not_moved)
{
	struct unit u;
	struct side again;
	struct vmig_channel *x, *y;

	unit_open(&u, 1);
	side_run_both(&u.source, &u.destination);
	ck_assert_int_eq(u.source.r, VMIG_DONE);
	/* The old copy, once more. */
	side_pair(&x, &y);
	side_init(&again, true, u.from, 1, x);
	again.options = u.source.options;
	side_init(&u.destination, false, u.to, 1, y);
	u.destination.options = again.options;
	u.destination.options.owner = u.there;
	u.destination.options.me = "host/b";
	side_run_both(&again, &u.destination);
	ck_assert_msg(again.r == VMIG_NOT_DONE, "%d: %s", again.r, again.result.reason);
	ck_assert_ptr_nonnull(strstr(again.result.reason, "old copy"));
	ck_assert_uint_eq(counter_state(&u.from[0]), VMIG_STATE_STOP);
	ck_assert_uint_eq(counter_state(&u.to[0]), VMIG_STATE_RUNNING);
	unit_close(&u);
}

/* Somebody runs there by the record: nothing is loaded over it. */
TEST(a_device_in_use_is_no_destination)
{
	struct unit a, b;

	unit_open(&a, 1);
	side_run_both(&a.source, &a.destination);
	ck_assert_int_eq(a.source.r, VMIG_DONE);
	unit_open(&b, 1);
	b.source.options.owner = a.here;
	b.source.options.me = "host/c";
	b.destination.devices[0] = a.to[0].dev;
	b.destination.options.owner = a.there;
	side_run_both(&b.source, &b.destination);
	check_refused(&b, "is in use");
	ck_assert_uint_eq(counter_state(&a.to[0]), VMIG_STATE_RUNNING);
	ck_assert_uint_ge(counter_done(&a.to[0]), 1000);
	unit_close(&b);
	unit_close(&a);
}

TEST(a_failed_migration_leaves_a_record_without_an_attempt)
{
	struct unit u;

	unit_open(&u, 1);
	u.destination.user_fault = -EIO;
	u.source.record_size = 10;
	side_run_both(&u.source, &u.destination);
	ck_assert_int_eq(u.source.r, VMIG_NOT_DONE);
	side_check_running(u.from, 1);
	ck_assert_int_eq(record(&u, &u.from[0]).phase, VMIG_OWNER_STABLE);
	ck_assert_str_eq(record(&u, &u.from[0]).owner, "host/a");
	unit_close(&u);
}

/* --- the restart rule ------------------------------------------------------------------------- */

static int resolve(struct unit *u, struct counter *c, const char *me, struct vmig_migrate_result *ret)
{
	struct vmig_device *devices[N];

	for (int i = 0; i < u->n; i++)
		devices[i] = c[i].dev;
	return vmig_owner_resolve(devices, (uint32_t)u->n, u->here, me, NULL, 100 * NS_PER_MS, ret);
}

TEST(what_stopped_and_is_mine_is_raised_and_run)
{
	struct vmig_migrate_result result;
	struct unit u;
	uint64_t epoch;

	unit_open(&u, 2);
	side_run_both(&u.source, &u.destination);
	ck_assert_int_eq(u.source.r, VMIG_DONE);
	epoch = record(&u, &u.to[0]).epoch;
	/* As a crash would leave them. */
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(vmig_device_set_state(u.to[i].dev, VMIG_STATE_STOP, VMIG_STATE_NONE, NULL),
				 0);
	ck_assert_int_eq(resolve(&u, u.to, "host/b", &result), VMIG_DONE);
	ck_assert_str_eq(result.verdict, "raise-then-run");
	ck_assert_uint_eq(counter_state(&u.to[0]), VMIG_STATE_RUNNING);
	ck_assert_uint_eq(counter_state(&u.to[1]), VMIG_STATE_RUNNING);
	ck_assert_uint_eq(record(&u, &u.to[0]).epoch, epoch + 1);
	unit_close(&u);
}

TEST(an_old_copy_is_reset)
{
	struct vmig_migrate_result result;
	struct vmig_uuid none;
	struct unit u;

	unit_open(&u, 1);
	side_run_both(&u.source, &u.destination);
	ck_assert_int_eq(u.source.r, VMIG_DONE);
	ck_assert_int_eq(resolve(&u, u.from, "host/a", &result), VMIG_DONE);
	ck_assert_str_eq(result.verdict, "discard");
	none = identity(&u.from[0]);
	ck_assert(vmig_uuid_is_none(&none));
	ck_assert_int_eq(resolve(&u, u.from, "host/a", &result), VMIG_NOT_DONE);
	unit_close(&u);
}

/* Recovery without the record leaves alone what may run elsewhere. */
TEST(recover_does_not_run_a_stopped_copy)
{
	struct unit u;

	unit_open(&u, 1);
	side_run_both(&u.source, &u.destination);
	ck_assert_int_eq(u.source.r, VMIG_DONE);
	ck_assert_int_eq(vmig_recover(u.from[0].dev, NULL, NULL), -EPERM);
	ck_assert_uint_eq(counter_state(&u.from[0]), VMIG_STATE_STOP);
	unit_close(&u);
}

HARNESS("owned", T(a_unit_moves_and_the_record_says_so), T(a_unit_moves_there_and_back),
	T(ends_that_mean_different_records_are_refused), T(a_destination_without_a_record_is_refused),
	T(ends_of_one_name_are_refused), T(what_is_another_s_is_not_moved),
	T(a_device_in_use_is_no_destination), T(a_failed_migration_leaves_a_record_without_an_attempt),
	T(what_stopped_and_is_mine_is_raised_and_run), T(an_old_copy_is_reset),
	T(recover_does_not_run_a_stopped_copy))
