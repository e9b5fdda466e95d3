/* SPDX-License-Identifier: BSD-3-Clause */
/* State calls of the handle: what it asks of a provider, what it never asks, recovery, the last error. */
#include "harness.h"

#include <errno.h>
#include <string.h>

#include "script.h"

static struct script script;

static int set(uint32_t target, uint32_t recover)
{
	return vmig_device_set_state(script.dev, target, recover, NULL);
}

static struct vmig_error last_error(void)
{
	struct vmig_error error;

	vmig_device_query_error(script.dev, &error);
	return error;
}

/* --- the guard ----------------------------------------------------------------------------- */

TEST(stop_copy_to_pre_copy_is_never_asked_for)
{
	static const uint32_t targets[] = { VMIG_STATE_PRE_COPY, VMIG_STATE_PRE_COPY_P2P };

	for (int i = 0; i < 2; i++) {
		script_open(&script, 0);
		script.state = VMIG_STATE_STOP_COPY;
		ck_assert_int_eq(set(targets[i], VMIG_STATE_NONE), -EINVAL);
		ck_assert_str_eq(script.asked, "get");
		ck_assert_uint_eq(last_error().from, VMIG_STATE_STOP_COPY);
		ck_assert_uint_eq(last_error().to, targets[i]);
		/* What is remembered counts for nothing here: somebody else may have moved it. */
		script.state = VMIG_STATE_RUNNING;
		ck_assert_int_eq(set(VMIG_STATE_RUNNING, VMIG_STATE_NONE), 0);
		script.state = VMIG_STATE_STOP_COPY;
		script_forget(&script);
		ck_assert_int_eq(set(targets[i], VMIG_STATE_NONE), -EINVAL);
		ck_assert_str_eq(script.asked, "get");
		script_close(&script);
	}
}

TEST(nor_is_it_to_recover)
{
	script_open(&script, 0);
	script.state = VMIG_STATE_STOP_COPY;
	script.set_r[0] = -EIO;
	script.set_to[0] = VMIG_STATE_STOP_COPY;
	ck_assert_int_eq(set(VMIG_STATE_RESUMING, VMIG_STATE_PRE_COPY), -EIO);
	ck_assert_str_eq(script.asked, "get set:4 get get");
	ck_assert_ptr_nonnull(strstr(last_error().text, "STOP_COPY to PRE_COPY"));
	script_close(&script);
}

TEST(when_the_state_cannot_be_asked_pre_copy_is_not_asked_for)
{
	script_open(&script, 0);
	script.state_r = -ECONNRESET;
	ck_assert_int_eq(set(VMIG_STATE_PRE_COPY, VMIG_STATE_RUNNING), -ECONNRESET);
	ck_assert_str_eq(script.asked, "get");
	ck_assert_int_eq(last_error().code, ECONNRESET);
	script_close(&script);
}

TEST(states_that_the_device_has_not_are_refused_unasked)
{
	struct vmig_device_info info = { .migration_flags = VMIG_MIGRATION_STOP_COPY | 1ull << 40 };

	script_open_info(&script, &info);
	ck_assert_int_eq(set(VMIG_STATE_ERROR, VMIG_STATE_NONE), -EINVAL);
	ck_assert_int_eq(set(VMIG_STATE_PRE_COPY, VMIG_STATE_NONE), -EINVAL);
	ck_assert_int_eq(set(VMIG_STATE_RUNNING_P2P, VMIG_STATE_NONE), -EINVAL);
	ck_assert_int_eq(set(8, VMIG_STATE_NONE), -EINVAL);
	ck_assert_int_eq(set(VMIG_STATE_NONE, VMIG_STATE_NONE), -EINVAL);
	ck_assert_int_eq(set(VMIG_STATE_STOP, VMIG_STATE_PRE_COPY), -EINVAL);
	ck_assert_str_eq(script.asked, "");
	script_close(&script);
}

/* --- a newer peer --------------------------------------------------------------------------- */

TEST(an_unknown_state_is_kept_and_left_by_asking)
{
	uint32_t state;

	script_open(&script, 0);
	script.state = 9;
	ck_assert_int_eq(vmig_device_query_state(script.dev, &state), 0);
	ck_assert_uint_eq(state, 9);
	ck_assert_int_eq(set(VMIG_STATE_PRE_COPY, VMIG_STATE_NONE),
			 0); /* the way there is the peer's to know */
	script.set_r[1] = -EIO;
	script.set_to[1] = 9;
	ck_assert_int_eq(set(VMIG_STATE_STOP, VMIG_STATE_RUNNING), -EIO);
	ck_assert_str_eq(script.asked, "get get set:6 set:1 get set:2");
	ck_assert_uint_eq(script.state, VMIG_STATE_RUNNING);
	script_close(&script);
}

TEST(an_unknown_state_does_not_end_a_session)
{
	static const ssize_t reads[] = { 5, 6 };
	struct vmig_session *session;
	char buf[16];
	struct iovec iov = { buf, sizeof(buf) };

	script_open(&script, 0);
	script.starts_session = true;
	script.reads = reads;
	script.n_reads = 2;
	ck_assert_int_eq(vmig_device_set_state(script.dev, VMIG_STATE_PRE_COPY, VMIG_STATE_NONE, &session),
			 0);
	script.set_r[1] = -EIO;
	script.set_to[1] = 12;
	ck_assert_int_eq(set(VMIG_STATE_STOP_COPY, VMIG_STATE_NONE), -EIO);
	ck_assert_int_eq(vmig_session_readv(session, &iov, 1), 5);
	vmig_session_close(session);
	script_close(&script);
}

/* --- recovery ------------------------------------------------------------------------------- */

TEST(after_a_failure_the_state_is_asked_for)
{
	script_open(&script, 0);
	ck_assert_int_eq(set(VMIG_STATE_STOP, VMIG_STATE_NONE), 0);
	script_forget(&script);
	script.set_r[0] = -EBUSY;
	script.set_to[0] = VMIG_STATE_STOP;
	ck_assert_int_eq(set(VMIG_STATE_RESUMING, VMIG_STATE_NONE), -EBUSY);
	ck_assert_str_eq(script.asked, "set:4 get");
	ck_assert_uint_eq(last_error().from, VMIG_STATE_STOP);
	script_close(&script);
}

TEST(recovery_is_one_request_and_only_where_it_can_help)
{
	static const struct {
		uint32_t ends_in;
		int state_r;
		const char *asked;
	} cases[] = {
		{ VMIG_STATE_STOP, 0, "get set:4 get set:2" },
		{ VMIG_STATE_RUNNING, 0, "get set:4 get" }, /* there already */
		{ VMIG_STATE_ERROR, 0, "get set:4 get" },   /* stays there */
		{ 9, 0, "get set:4 get set:2" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		script_open(&script, 0);
		script.set_r[0] = -EIO;
		script.set_to[0] = cases[i].ends_in;
		ck_assert_int_eq(set(VMIG_STATE_RESUMING, VMIG_STATE_RUNNING), -EIO);
		ck_assert_str_eq(script.asked, cases[i].asked);
		script_close(&script);
	}
}

static int gone(void *p, uint32_t *ret_state, struct vmig_error *error)
{
	return -ECONNRESET;
}

static int gone_set(void *p, uint32_t target, struct vmig_session_half *ret, struct vmig_error *error)
{
	(*(int *)p)++;
	return -ETIMEDOUT;
}

TEST(a_peer_that_is_gone_is_not_asked_to_recover)
{
	static struct vmig_provider_ops ops = { .set_state = gone_set };
	const struct vmig_device_info info = { .migration_flags = 1 };
	struct vmig_device *dev;
	int asked = 0;

	ops.query_state = gone;
	ck_assert_int_eq(vmig_device_new(&ops, &asked, &info, &dev), 0);
	ck_assert_int_eq(vmig_device_set_state(dev, VMIG_STATE_STOP, VMIG_STATE_RUNNING, NULL), -ECONNRESET);
	ck_assert_int_eq(asked, 0);
	vmig_device_close(dev);
}

TEST(a_session_that_recovery_starts_is_closed)
{
	struct vmig_session *session;

	script_open(&script, 0);
	script.set_r[0] = -EIO;
	script.set_to[0] = VMIG_STATE_STOP;
	script.starts_session = true;
	ck_assert_int_eq(
		vmig_device_set_state(script.dev, VMIG_STATE_STOP_COPY, VMIG_STATE_PRE_COPY, &session), -EIO);
	ck_assert_ptr_null(session);
	ck_assert_int_eq(script.halves, 0);
	script_close(&script);
}

TEST(a_session_that_starts_ends_the_one_before)
{
	struct vmig_session *first, *second;
	static const ssize_t reads[] = { 5 };
	char buf[16];
	struct iovec iov = { buf, sizeof(buf) };

	script_open(&script, 0);
	script.starts_session = true;
	script.reads = reads;
	script.n_reads = 1;
	ck_assert_int_eq(vmig_device_set_state(script.dev, VMIG_STATE_STOP_COPY, VMIG_STATE_NONE, &first), 0);
	ck_assert_int_eq(vmig_device_set_state(script.dev, VMIG_STATE_STOP_COPY, VMIG_STATE_NONE, &second),
			 0);
	ck_assert_int_eq(vmig_session_readv(first, &iov, 1), -ENODEV);
	ck_assert_int_eq(vmig_session_readv(second, &iov, 1), 5);
	vmig_session_close(first);
	vmig_session_close(second);
	script_close(&script);
}

/* --- the last error -------------------------------------------------------------------------- */

TEST(the_last_error_says_where_and_what)
{
	struct vmig_region region;

	script_open(&script, 0);
	ck_assert_int_eq(last_error().code, 0);
	ck_assert_uint_eq(last_error().from, VMIG_STATE_NONE);
	script.set_r[0] = -EIO;
	script.set_to[0] = VMIG_STATE_STOP;
	script.fault = "the disk is on fire";
	ck_assert_int_eq(set(VMIG_STATE_STOP_COPY, VMIG_STATE_NONE), -EIO);
	ck_assert_int_eq(last_error().code, EIO);
	ck_assert_uint_eq(last_error().from, VMIG_STATE_RUNNING);
	ck_assert_uint_eq(last_error().to, VMIG_STATE_STOP_COPY);
	ck_assert_str_eq(last_error().where, "PROVIDER");
	ck_assert_str_eq(last_error().text, "the disk is on fire");
	script.fault = NULL;
	script.r = -ENXIO;
	ck_assert_int_eq(vmig_device_query_region(script.dev, 1, &region), -ENXIO);
	ck_assert_int_eq(last_error().code, ENXIO);
	ck_assert_uint_eq(last_error().from, VMIG_STATE_NONE);
	ck_assert_str_eq(last_error().where, "REGION_INFO");
	ck_assert_str_ne(last_error().text, "");
	script_close(&script);
}

TEST(a_long_text_of_two_failures_is_cut_not_overrun)
{
	char text[256];

	memset(text, 'x', sizeof(text) - 1);
	text[255] = '\0';
	script_open(&script, 0);
	script.set_r[0] = script.set_r[1] = -EIO;
	script.set_to[0] = script.set_to[1] = VMIG_STATE_STOP;
	script.fault = text;
	ck_assert_int_eq(set(VMIG_STATE_RESUMING, VMIG_STATE_RUNNING), -EIO);
	ck_assert_uint_eq(strlen(last_error().text), 255);
	script_close(&script);
}

/* --- reset ----------------------------------------------------------------------------------- */

static uint64_t generation(void)
{
	struct vmig_device_info info;

	vmig_device_query_info(script.dev, &info);
	return info.generation;
}

TEST(a_reset_raises_the_generation_and_ends_the_sessions)
{
	struct vmig_session *session;
	char buf[16];
	struct iovec iov = { buf, sizeof(buf) };

	for (int i = 0; i < 2; i++) {
		script_open(&script, 0);
		script.starts_session = true;
		ck_assert_uint_eq(generation(), 1);
		ck_assert_int_eq(
			vmig_device_set_state(script.dev, VMIG_STATE_STOP_COPY, VMIG_STATE_NONE, &session),
			0);
		script.r = i ? -ETIMEDOUT : 0; /* it may have been done, or in part */
		ck_assert_int_eq(vmig_device_reset(script.dev), script.r);
		ck_assert_uint_eq(generation(), 2);
		ck_assert_int_eq(vmig_session_readv(session, &iov, 1), -ENODEV);
		vmig_session_close(session);
		script_close(&script);
	}
}

TEST(the_state_after_a_reset_is_asked_for)
{
	script_open(&script, 0);
	ck_assert_int_eq(set(VMIG_STATE_STOP, VMIG_STATE_NONE), 0);
	ck_assert_int_eq(vmig_device_reset(script.dev), 0);
	script.state = VMIG_STATE_RESUMING; /* as some peers do */
	script_forget(&script);
	script.set_r[0] = -EINVAL;
	script.set_to[0] = VMIG_STATE_RESUMING;
	ck_assert_int_eq(set(VMIG_STATE_RUNNING, VMIG_STATE_NONE), -EINVAL);
	ck_assert_str_eq(script.asked, "get set:2 get");
	ck_assert_uint_eq(last_error().from, VMIG_STATE_RESUMING);
	script_close(&script);
}

TEST(a_device_without_reset_says_so)
{
	struct vmig_device_info info = { .migration_flags = 1 };

	script_open_info(&script, &info);
	ck_assert_int_eq(vmig_device_reset(script.dev), -EOPNOTSUPP);
	ck_assert_uint_eq(generation(), 1);
	ck_assert_str_eq(script.asked, "");
	script_close(&script);
}

/* --- probing ------------------------------------------------------------------------------- */

TEST(arcs_are_probed_by_the_features_and_the_device_is_not_asked)
{
	script_open(&script, 0);
	for (uint32_t from = 0; from <= VMIG_STATE_NR; from++) {
		for (uint32_t to = 0; to <= VMIG_STATE_NR; to++) {
			uint32_t next = 99, want = 99;
			int r = vmig_state_next(7, from, to, &want);

			ck_assert_int_eq(vmig_device_probe_arc(script.dev, from, to, &next), r);
			ck_assert_uint_eq(next, want);
			ck_assert_int_eq(vmig_device_probe_arc(script.dev, from, to, NULL), r);
		}
	}
	ck_assert_str_eq(script.asked, "");
	script_close(&script);
}

TEST(a_device_that_does_not_migrate_has_no_arcs)
{
	const struct vmig_device_info info = { .name = "still" };

	script_open_info(&script, &info);
	ck_assert_int_eq(vmig_device_probe_arc(script.dev, VMIG_STATE_RUNNING, VMIG_STATE_STOP, NULL),
			 -EOPNOTSUPP);
	script_close(&script);
}

HARNESS("handle-state", T(arcs_are_probed_by_the_features_and_the_device_is_not_asked),
	T(a_device_that_does_not_migrate_has_no_arcs), T(stop_copy_to_pre_copy_is_never_asked_for),
	T(nor_is_it_to_recover), T(when_the_state_cannot_be_asked_pre_copy_is_not_asked_for),
	T(states_that_the_device_has_not_are_refused_unasked), T(an_unknown_state_is_kept_and_left_by_asking),
	T(an_unknown_state_does_not_end_a_session), T(after_a_failure_the_state_is_asked_for),
	T(recovery_is_one_request_and_only_where_it_can_help), T(a_peer_that_is_gone_is_not_asked_to_recover),
	T(a_session_that_recovery_starts_is_closed), T(a_session_that_starts_ends_the_one_before),
	T(the_last_error_says_where_and_what), T(a_long_text_of_two_failures_is_cut_not_overrun),
	T(a_reset_raises_the_generation_and_ends_the_sessions), T(the_state_after_a_reset_is_asked_for),
	T(a_device_without_reset_says_so))
