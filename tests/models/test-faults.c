/* SPDX-License-Identifier: BSD-3-Clause */
/* Faults on purpose: at every arc and every call, and what they leave behind. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "models/bytes.h"
#include "rig.h"

static bool is_arc(uint32_t from, uint32_t to)
{
	uint32_t next;

	return from != to && !vmig_state_next(7, from, to, &next) && next == to;
}

static struct vmig_device *open_with(const char *fault)
{
	char spec[128];

	snprintf(spec, sizeof(spec), "nic,state=64K,dirty-rate=1M/s,fault=%s", fault);
	return rig_open(spec);
}

static struct vmig_device *open_with_arc(uint32_t from, uint32_t to, const char *what)
{
	char fault[64];

	snprintf(fault, sizeof(fault), "%s>%s:%s", vmig_state_name(from), vmig_state_name(to), what);
	return open_with(fault);
}

static void make_stream(struct bytes *ret)
{
	struct vmig_device *dev = rig_open("nic,state=64K");

	rig_set(dev, VMIG_STATE_STOP);
	rig_save_all(dev, ret);
	vmig_device_close(dev);
}

/* To the state where the arc starts; RESUMING with all data, so that only the fault can fail. */
static void go_to(struct vmig_device *dev, uint32_t from)
{
	struct bytes stream = { 0 };
	struct vmig_session *session;

	session = rig_start(dev, from);
	if (from == VMIG_STATE_RESUMING) {
		make_stream(&stream);
		ck_assert_int_eq(rig_load(session, stream.data, stream.len, 65536), 0);
		bytes_free(&stream);
	}
	vmig_session_close(session);
}

TEST(a_failed_arc_leaves_the_device_where_it_was)
{
	int n = 0;

	for (uint32_t from = 0; from < VMIG_STATE_NR; from++) {
		for (uint32_t to = 0; to < VMIG_STATE_NR; to++) {
			struct vmig_device *dev;

			if (!is_arc(from, to))
				continue;
			dev = open_with_arc(from, to, "ENOSPC:once");
			go_to(dev, from);
			ck_assert_int_eq(vmig_device_set_state(dev, to, VMIG_STATE_NONE, NULL), -ENOSPC);
			ck_assert_uint_eq(rig_state(dev), from);
			/* Once only: then it goes. */
			rig_set(dev, to);
			ck_assert_uint_eq(rig_state(dev), to);
			vmig_device_close(dev);
			n++;
		}
	}
	ck_assert_int_eq(n, 15); /* with P2P and PRE_COPY; the uAPI's text has them */
}

TEST(an_arc_can_end_in_error)
{
	for (uint32_t from = 0; from < VMIG_STATE_NR; from++) {
		for (uint32_t to = 0; to < VMIG_STATE_NR; to++) {
			struct vmig_device *dev;

			if (!is_arc(from, to))
				continue;
			dev = open_with_arc(from, to, "error");
			go_to(dev, from);
			ck_assert_int_eq(vmig_device_set_state(dev, to, VMIG_STATE_NONE, NULL), -EIO);
			ck_assert_uint_eq(rig_state(dev), VMIG_STATE_ERROR);
			ck_assert_int_lt(
				vmig_device_set_state(dev, VMIG_STATE_RUNNING, VMIG_STATE_NONE, NULL), 0);
			ck_assert_int_eq(vmig_device_reset(dev), 0);
			ck_assert_uint_eq(rig_state(dev), VMIG_STATE_RUNNING);
			ck_assert_uint_eq(rig_wrong(dev), 0);
			vmig_device_close(dev);
		}
	}
}

TEST(recovery_after_a_failed_arc)
{
	struct vmig_device *dev = open_with("STOP>STOP_COPY:EIO");

	rig_set(dev, VMIG_STATE_RUNNING_P2P);
	ck_assert_int_eq(vmig_device_set_state(dev, VMIG_STATE_STOP_COPY, VMIG_STATE_RUNNING, NULL), -EIO);
	ck_assert_uint_eq(rig_state(dev), VMIG_STATE_RUNNING);
	vmig_device_close(dev);
}

TEST(reading_fails_where_it_is_told)
{
	struct vmig_device *dev = open_with("read@20000:EILSEQ");
	struct vmig_session *save = rig_start(dev, VMIG_STATE_PRE_COPY);
	struct bytes b = { 0 };

	ck_assert_int_eq(rig_save(save, &b, 1000), -EILSEQ);
	ck_assert_uint_ge(b.len, 20000);
	ck_assert_uint_lt(b.len, 21000);
	ck_assert_int_eq(rig_save(save, &b, 1000), -EILSEQ);
	vmig_session_close(save);
	rig_set(dev, VMIG_STATE_RUNNING);
	bytes_free(&b);
	vmig_device_close(dev);
}

TEST(writing_fails_where_it_is_told)
{
	struct vmig_device *dev = open_with("write@20000:ENOMEM:once");
	struct bytes b = { 0 };

	make_stream(&b);
	ck_assert_int_eq(rig_load_all(dev, b.data, b.len), -ENOMEM);
	/* What failed cannot be had by leaving out the rest, though the fault comes only once. */
	ck_assert_int_eq(vmig_device_set_state(dev, VMIG_STATE_STOP, VMIG_STATE_NONE, NULL), -EINVAL);
	ck_assert_int_eq(vmig_device_reset(dev), 0);
	ck_assert_int_eq(rig_load_all(dev, b.data, b.len), 0);
	bytes_free(&b);
	vmig_device_close(dev);
}

TEST(loading_fails_at_the_last_step)
{
	struct vmig_device *dev = open_with("load:EPERM:once");
	struct bytes b = { 0 };

	make_stream(&b);
	ck_assert_int_eq(rig_load_all(dev, b.data, b.len), -EPERM);
	ck_assert_uint_eq(rig_state(dev), VMIG_STATE_RESUMING);
	rig_set(dev, VMIG_STATE_STOP);
	vmig_device_close(dev);
	dev = open_with("load:error");
	ck_assert_int_eq(rig_load_all(dev, b.data, b.len), -EIO);
	ck_assert_uint_eq(rig_state(dev), VMIG_STATE_ERROR);
	bytes_free(&b);
	vmig_device_close(dev);
}

TEST(the_size_query_fails)
{
	struct vmig_device *dev = open_with("precopy-info:EAGAIN:once");
	struct vmig_session *save = rig_start(dev, VMIG_STATE_PRE_COPY);
	struct vmig_precopy sizes;

	ck_assert_int_eq(vmig_session_query_precopy(save, &sizes), -EAGAIN);
	ck_assert_int_eq(vmig_session_query_precopy(save, &sizes), 0);
	vmig_session_close(save);
	vmig_device_close(dev);
}

TEST(a_reset_fails)
{
	struct vmig_device *dev = open_with("reset:EIO:once");

	ck_assert_int_eq(vmig_device_reset(dev), -EIO);
	ck_assert_uint_eq(rig_state(dev), VMIG_STATE_ERROR);
	ck_assert_int_eq(vmig_device_reset(dev), 0);
	ck_assert_uint_eq(rig_state(dev), VMIG_STATE_RUNNING);
	vmig_device_close(dev);
}

TEST(a_hang_takes_its_time_and_goes_on)
{
	struct vmig_device *dev = open_with("RUNNING>PRE_COPY:hang=30ms");
	struct timespec from, to;

	clock_gettime(CLOCK_MONOTONIC, &from);
	rig_set(dev, VMIG_STATE_PRE_COPY);
	clock_gettime(CLOCK_MONOTONIC, &to);
	ck_assert_int_ge((to.tv_sec - from.tv_sec) * 1000000000 + to.tv_nsec - from.tv_nsec, 30000000);
	ck_assert_uint_eq(rig_state(dev), VMIG_STATE_PRE_COPY);
	vmig_device_close(dev);
}

HARNESS("faults", T(a_failed_arc_leaves_the_device_where_it_was), T(an_arc_can_end_in_error),
	T(recovery_after_a_failed_arc), T(reading_fails_where_it_is_told), T(writing_fails_where_it_is_told),
	T(loading_fails_at_the_last_step), T(the_size_query_fails), T(a_reset_fails),
	T(a_hang_takes_its_time_and_goes_on))
