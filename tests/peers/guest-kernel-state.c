/* SPDX-License-Identifier: BSD-3-Clause */
/* States, what outlives a user, and who may be one. */
#include "guest-kernel.h"

/* --- states ------------------------------------------------------------------------------- */

static void never_back_from_stop_copy(void)
{
	struct vmig_session *session = NULL;

	fresh();
	CHECK_INT(go(a, VMIG_STATE_STOP_COPY, &session), 0);
	CHECK_INT(go(a, VMIG_STATE_PRE_COPY, NULL), -EINVAL);
	CHECK_INT(go(a, VMIG_STATE_PRE_COPY_P2P, NULL), -EINVAL);
	CHECK_INT(state_of(a), VMIG_STATE_STOP_COPY);
	vmig_session_close(session);
	/* A handle that was not there when the state was entered. */
	vmig_device_close(a);
	CHECK_INT(vmig_open_kernel(path_a, &a, NULL), 0);
	CHECK_INT(state_of(a), VMIG_STATE_STOP_COPY);
	CHECK_INT(go(a, VMIG_STATE_PRE_COPY, NULL), -EINVAL);
	CHECK_INT(go(a, VMIG_STATE_RUNNING, NULL), 0);
}

/* From a state with all the data that it wants; a session is expected where the uAPI has one. */
static void walk_pair(uint32_t from, uint32_t to, const uint8_t *state)
{
	struct vmig_session *first = NULL, *second = NULL;
	uint32_t next;
	int r, expected = vmig_state_next(7, from, to, &next);

	if (to == VMIG_STATE_ERROR)
		expected = -EINVAL;
	CHECK_INT(vmig_device_reset(b), 0);
	CHECK_INT(go(b, from, &first), 0);
	if (from == VMIG_STATE_RESUMING)
		CHECK_INT(write_all(first, state, STATE_SIZE), 0);
	r = go(b, to, &second);
	if (r != expected || state_of(b) != (r ? from : to))
		CHECK(!printf("# %s -> %s: %d, expected %d; now in %u\n", vmig_state_name(from),
			      vmig_state_name(to), r, expected, state_of(b)));
	vmig_session_close(first);
	vmig_session_close(second);
}

static void every_pair_of_states(void)
{
	uint8_t state[256];

	good_state(state);
	for (uint32_t from = VMIG_STATE_STOP; from < VMIG_STATE_NR; from++)
		for (uint32_t to = VMIG_STATE_ERROR; to <= VMIG_STATE_NR; to++)
			walk_pair(from, to, state);
}

static void recovery_state_is_taken_after_a_failure(void)
{
	struct vmig_session *session = NULL;

	fresh();
	CHECK_INT(go(b, VMIG_STATE_PRE_COPY, &session), 0);
	CHECK_INT(vmig_device_set_state(b, VMIG_STATE_NR, VMIG_STATE_RUNNING, NULL), -EINVAL);
	vmig_session_close(session);
	CHECK_INT(go(b, VMIG_STATE_RUNNING, NULL), 0);
}

static void a_reset_ends_sessions(void)
{
	struct vmig_session *session = NULL;
	struct vmig_device_info before, after;
	uint8_t buf[16];

	fresh();
	vmig_device_query_info(a, &before);
	CHECK_INT(go(a, VMIG_STATE_PRE_COPY, &session), 0);
	CHECK_INT(vmig_device_reset(a), 0);
	vmig_device_query_info(a, &after);
	CHECK(after.generation > before.generation);
	CHECK_INT(state_of(a), VMIG_STATE_RUNNING);
	CHECK_INT(read_up_to(session, buf, sizeof(buf)), -ENODEV);
	vmig_session_close(session);
}

static void state_outlives_its_user(void)
{
	fresh();
	set_scratch(b, 0x42);
	CHECK_INT(go(b, VMIG_STATE_STOP, NULL), 0);
	reopen_b();
	CHECK_INT(state_of(b), VMIG_STATE_STOP);
	CHECK_INT(go(b, VMIG_STATE_RUNNING, NULL), 0);
	CHECK_INT(scratch(b), 0x42);
}

/* Another user may have left anything in there, with a write that failed. */
static void resuming_that_was_found_is_left_by_reset_only(void)
{
	struct vmig_session *session;
	uint8_t good[256];

	good_state(good);
	session = resume(b);
	CHECK_INT(write_all(session, good, STATE_SIZE), 0);
	vmig_session_close(session);
	reopen_b();
	CHECK_INT(state_of(b), VMIG_STATE_RESUMING);
	CHECK_INT(go(b, VMIG_STATE_RUNNING, NULL), -EIO);
	check_usable(b, good, STATE_SIZE, 0x33);
}

/* --- users -------------------------------------------------------------------------------- */

static void check_busy(const char *path)
{
	struct vmig_device *dev = NULL;
	struct vmig_error error = { 0 };

	CHECK_INT(vmig_open_kernel(path, &dev, &error), -EBUSY);
	CHECK(!dev && strstr(error.text, "another user"));
}

static void a_second_user_is_told(void)
{
	check_busy(path_a);
	check_busy(path_busy);
}

static void descriptors_come_and_go(void)
{
	struct vmig_session *session = NULL;
	struct vmig_device *dev = NULL;
	bool cloexec;
	int before = count_fds(&cloexec);

	CHECK_INT(vmig_open_kernel(path_other, &dev, NULL), 0);
	CHECK_INT(go(dev, VMIG_STATE_PRE_COPY, &session), 0);
	CHECK(count_fds(&cloexec) > before);
	CHECK(cloexec);
	/* A device that is closed before its session. */
	vmig_device_close(dev);
	vmig_session_close(session);
	CHECK_INT(count_fds(&cloexec), before);
	CHECK_INT(vmig_open_kernel(path_other, &dev, NULL), 0);
	CHECK_INT(vmig_device_reset(dev), 0);
	vmig_device_close(dev);
}

TESTS(tests_of_state, T(never_back_from_stop_copy), T(every_pair_of_states),
      T(recovery_state_is_taken_after_a_failure), T(a_reset_ends_sessions), T(state_outlives_its_user),
      T(resuming_that_was_found_is_left_by_reset_only), T(a_second_user_is_told), T(descriptors_come_and_go));
