/* SPDX-License-Identifier: BSD-3-Clause */
/* Questions whose answers can be worked out by hand. */
#include <vmig/plan.h>

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "harness.h"

#define ALL (VMIG_MIGRATION_STOP_COPY | VMIG_MIGRATION_P2P | VMIG_MIGRATION_PRE_COPY)
#define GIB (1ull << 30)

static struct vmig_plan_answer ask(const struct vmig_plan_device *devices, uint32_t n,
				   struct vmig_plan_question q)
{
	struct vmig_plan_answer a;

	q.devices = devices;
	q.n = n;
	ck_assert_int_eq(vmig_plan(&q, &a), 0);
	return a;
}

static const struct vmig_plan_device still = { .migration_flags = ALL, .initial_bytes = GIB };
static const struct vmig_plan_device busy = { .migration_flags = ALL,
					      .initial_bytes = GIB,
					      .dirty_rate = 100 << 20 };
static const struct vmig_plan_device wild = { .migration_flags = ALL,
					      .initial_bytes = GIB,
					      .dirty_rate = 8 * GIB };

TEST(bytes_by_bandwidth_is_the_least)
{
	struct vmig_plan_answer a = ask(&still, 1, (struct vmig_plan_question){ .bandwidth = GIB });

	ck_assert_int_eq(a.outcome, VMIG_DONE);
	ck_assert_uint_ge(a.bytes, GIB);
	ck_assert_uint_ge(a.total_ns, NS_PER_S);
	ck_assert_uint_le(a.total_ns, NS_PER_S + 50 * NS_PER_MS);
	ck_assert_uint_le(a.downtime_ns, 10 * NS_PER_MS);
	ck_assert_str_eq(a.words, "");
}

TEST(what_changes_meanwhile_is_sent_again)
{
	struct vmig_plan_answer a =
		ask(&busy, 1, (struct vmig_plan_question){ .bandwidth = GIB, .downtime_ns = 20 * NS_PER_MS });

	ck_assert_uint_gt(a.bytes, GIB + (90 << 20));
	ck_assert_uint_ge(a.rounds, 2);
	ck_assert_uint_le(a.downtime_ns, 20 * NS_PER_MS);
	ck_assert_str_eq(a.words, "");
}

TEST(who_changes_faster_than_the_link_does_not_converge)
{
	struct vmig_plan_question q = { .bandwidth = GIB };
	struct vmig_plan_answer a = ask(&wild, 1, q);

	ck_assert_int_eq(a.outcome, VMIG_DONE);
	ck_assert_uint_gt(a.downtime_ns, 300 * NS_PER_MS);
	ck_assert(strstr(a.words, "pre-copy does not converge"));
	q.on_no_converge = VMIG_NO_CONVERGE_ABORT;
	a = ask(&wild, 1, q);
	ck_assert_int_eq(a.outcome, VMIG_NOT_DONE);
	ck_assert_uint_eq(a.done, 0);
	ck_assert(strstr(a.words, "what would help"));
}

TEST(who_has_no_precopy_is_down_for_all_of_it)
{
	const struct vmig_plan_device d = { .migration_flags = VMIG_MIGRATION_STOP_COPY,
					    .initial_bytes = GIB };
	struct vmig_plan_answer a = ask(&d, 1, (struct vmig_plan_question){ .bandwidth = GIB });

	ck_assert_uint_eq(a.rounds, 0);
	ck_assert_uint_ge(a.downtime_ns, NS_PER_S);
}

/* The messages between the stop and the run go to and fro: FIN, READY, PROMISE, RUNNING. */
TEST(the_way_there_and_back_is_in_the_downtime)
{
	struct vmig_plan_question q = { .bandwidth = GIB, .downtime_ns = NS_PER_S };
	uint64_t near = ask(&still, 1, q).downtime_ns, far;

	q.latency_ns = 10 * NS_PER_MS;
	far = ask(&still, 1, q).downtime_ns;
	ck_assert_uint_ge(far - near, 40 * NS_PER_MS);
	ck_assert_uint_le(far - near, 60 * NS_PER_MS);
}

TEST(many_devices_share_the_link_alike)
{
	struct vmig_plan_device devices[16];
	struct vmig_plan_answer a;

	for (int i = 0; i < 16; i++)
		devices[i] = (struct vmig_plan_device){ .migration_flags = ALL, .initial_bytes = GIB / 16 };
	a = ask(devices, 16, (struct vmig_plan_question){ .bandwidth = GIB });
	ck_assert_int_eq(a.outcome, VMIG_DONE);
	ck_assert_uint_ge(a.total_ns, NS_PER_S);
	ck_assert_uint_le(a.total_ns, NS_PER_S + 50 * NS_PER_MS);
}

TEST(many_hosts_wait_for_what_they_have_in_common)
{
	struct vmig_plan_question q = { .bandwidth = GIB, .downtime_ns = 10 * NS_PER_S };
	struct vmig_plan_answer one = ask(&still, 1, q), many, shared;

	q.hosts = 100;
	many = ask(&still, 1, q);
	ck_assert_uint_eq(many.done, 100);
	ck_assert_uint_eq(many.bytes, 100 * one.bytes);
	/* 100 commits at 2000 a second, of which each other question is in the way, too. */
	ck_assert_uint_ge(many.owner_ns, 45 * NS_PER_MS);
	ck_assert_uint_ge(many.downtime_ns, one.downtime_ns + 40 * NS_PER_MS);
	q.shared_bandwidth = 10 * GIB;
	shared = ask(&still, 1, q);
	ck_assert_uint_ge(shared.total_ns, 10 * NS_PER_S);
	ck_assert_uint_le(shared.total_ns, 11 * NS_PER_S);
}

TEST(the_same_question_has_the_same_answer)
{
	struct vmig_plan_question q = { .bandwidth = GIB, .latency_ns = 12345, .hosts = 7 };
	struct vmig_plan_answer a = ask(&busy, 1, q), b = ask(&busy, 1, q);

	ck_assert_mem_eq(&a, &b, sizeof(a));
}

TEST(bounds)
{
	struct vmig_plan_device devices[VMIG_PLAN_DEVICES_MAX + 1];
	struct vmig_plan_question q = { .devices = devices, .n = VMIG_PLAN_DEVICES_MAX, .bandwidth = GIB };
	struct vmig_plan_answer a;

	for (uint32_t i = 0; i <= VMIG_PLAN_DEVICES_MAX; i++)
		devices[i] = (struct vmig_plan_device){ .migration_flags = ALL, .initial_bytes = 1 << 20 };
	ck_assert_int_eq(vmig_plan(&q, &a), 0);
	q.n = VMIG_PLAN_DEVICES_MAX + 1;
	ck_assert_int_eq(vmig_plan(&q, &a), -EINVAL);
	q.n = 0;
	ck_assert_int_eq(vmig_plan(&q, &a), -EINVAL);
	q.n = 1;
	q.hosts = VMIG_PLAN_HOSTS_MAX + 1;
	ck_assert_int_eq(vmig_plan(&q, &a), -EINVAL);
	q.hosts = 1;
	q.bandwidth = 0;
	ck_assert_int_eq(vmig_plan(&q, &a), -EINVAL);
	q.bandwidth = 1;
	devices[0].initial_bytes = UINT64_MAX;
	ck_assert_int_eq(vmig_plan(&q, &a), -EINVAL);
	devices[0].initial_bytes = 1;
	devices[0].migration_flags = VMIG_MIGRATION_PRE_COPY;
	ck_assert_int_eq(vmig_plan(&q, &a), -EINVAL);
}

HARNESS("plan", T(bytes_by_bandwidth_is_the_least), T(what_changes_meanwhile_is_sent_again),
	T(who_changes_faster_than_the_link_does_not_converge), T(who_has_no_precopy_is_down_for_all_of_it),
	T(the_way_there_and_back_is_in_the_downtime), T(many_devices_share_the_link_alike),
	T(many_hosts_wait_for_what_they_have_in_common), T(the_same_question_has_the_same_answer), T(bounds))
