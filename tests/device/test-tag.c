/* SPDX-License-Identifier: BSD-3-Clause */
/* Whose state a model holds: what keeps the tag, and what takes it away. */
#include "harness.h"

#include <errno.h>

#include "tiny.h"

static const struct vmig_tag given = { .identity = { { 1, 2, 3 } }, .attempt = { { 4, 5, 6 } } };

static struct vmig_tag tag_of(struct tiny *t)
{
	struct vmig_tag tag;

	ck_assert_int_eq(vmig_device_query_tag(t->dev, &tag), 0);
	return tag;
}

static void check_tag(struct tiny *t, bool identity, bool attempt)
{
	struct vmig_tag tag = tag_of(t), none = { 0 };

	ck_assert(vmig_uuid_equal(&tag.identity, identity ? &given.identity : &none.identity));
	ck_assert(vmig_uuid_equal(&tag.attempt, attempt ? &given.attempt : &none.attempt));
}

static void open_tagged(struct tiny *t)
{
	tiny_open(t, TINY_ALL_FLAGS, TINY_COPIES);
	ck_assert_int_eq(vmig_device_set_tag(t->dev, &given), 0);
	check_tag(t, true, true);
}

TEST(a_new_device_is_blank_and_has_an_instance)
{
	struct vmig_device_info info;
	struct vmig_tag a, b;
	struct tiny t, u;

	tiny_open(&t, TINY_ALL_FLAGS, TINY_COPIES);
	tiny_open(&u, TINY_ALL_FLAGS, TINY_COPIES);
	vmig_device_query_info(t.dev, &info);
	ck_assert(info.has & VMIG_HAS_TAG);
	a = tag_of(&t);
	b = tag_of(&u);
	ck_assert(vmig_uuid_is_none(&a.identity) && vmig_uuid_is_none(&a.attempt));
	ck_assert(!vmig_uuid_is_none(&a.instance));
	ck_assert(!vmig_uuid_equal(&a.instance, &b.instance));
	tiny_close(&u);
	tiny_close(&t);
}

TEST(the_instance_is_the_devices_own)
{
	struct vmig_tag before, after;
	struct tiny t;

	tiny_open(&t, TINY_ALL_FLAGS, TINY_COPIES);
	before = tag_of(&t);
	after = given;
	after.instance = given.identity;
	ck_assert_int_eq(vmig_device_set_tag(t.dev, &after), 0);
	after = tag_of(&t);
	ck_assert(vmig_uuid_equal(&after.instance, &before.instance));
	ck_assert_int_eq(vmig_device_reset(t.dev), 0);
	after = tag_of(&t);
	ck_assert(vmig_uuid_equal(&after.instance, &before.instance));
	tiny_close(&t);
}

TEST(saving_and_stopping_keep_it)
{
	static const uint32_t states[] = { VMIG_STATE_PRE_COPY, VMIG_STATE_STOP_COPY, VMIG_STATE_STOP,
					   VMIG_STATE_RUNNING_P2P, VMIG_STATE_RUNNING };
	struct tiny t;

	open_tagged(&t);
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		tiny_go(&t, states[i]);
		check_tag(&t, true, true);
	}
	tiny_close(&t);
}

TEST(loading_takes_the_identity_and_not_the_attempt)
{
	struct tiny t;

	open_tagged(&t);
	tiny_go(&t, VMIG_STATE_RESUMING);
	check_tag(&t, false, true);
	tiny_go(&t, VMIG_STATE_STOP);
	check_tag(&t, false, true);
	tiny_close(&t);
}

TEST(loading_that_did_not_begin_takes_nothing)
{
	struct tiny t;

	open_tagged(&t);
	tiny_go(&t, VMIG_STATE_STOP);
	tiny_forget(&t);
	t.fail_at = 0;
	ck_assert_int_lt(vmig_device_set_state(t.dev, VMIG_STATE_RESUMING, VMIG_STATE_NONE, NULL), 0);
	ck_assert_uint_eq(tiny_state(&t), VMIG_STATE_STOP);
	check_tag(&t, true, true);
	tiny_close(&t);
}

TEST(a_reset_takes_both)
{
	struct tiny t;

	open_tagged(&t);
	ck_assert_int_eq(vmig_device_reset(t.dev), 0);
	check_tag(&t, false, false);
	tiny_close(&t);
}

TEST(a_reset_that_fails_takes_both)
{
	struct tiny t;

	open_tagged(&t);
	t.reset_fault = -EIO;
	ck_assert_int_lt(vmig_device_reset(t.dev), 0);
	check_tag(&t, false, false);
	tiny_close(&t);
}

HARNESS("device-tag", T(a_new_device_is_blank_and_has_an_instance), T(the_instance_is_the_devices_own),
	T(saving_and_stopping_keep_it), T(loading_takes_the_identity_and_not_the_attempt),
	T(loading_that_did_not_begin_takes_nothing), T(a_reset_takes_both), T(a_reset_that_fails_takes_both))
