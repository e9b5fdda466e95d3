/* SPDX-License-Identifier: BSD-3-Clause */
/* What is read out of a device and loaded into one. */
#include "guest-kernel.h"

/* --- saving ------------------------------------------------------------------------------- */

static void precopy_drains_and_ends_only_in_stop_copy(void)
{
	struct vmig_session *session = NULL, *other = NULL;
	struct vmig_precopy sizes;
	uint8_t buf[256];

	fresh();
	CHECK_INT(go(a, VMIG_STATE_PRE_COPY, &session), 0);
	if (!CHECK(session != NULL))
		return;
	CHECK_INT(vmig_session_query_precopy(session, &sizes), 0);
	CHECK_INT(sizes.initial_bytes, STATE_HEADER);
	CHECK_INT(sizes.dirty_bytes, 0);
	CHECK_INT(sizes.flags, 0);
	CHECK_INT(read_up_to(session, buf, 10), 10);
	CHECK_INT(vmig_session_query_precopy(session, &sizes), 0);
	CHECK_INT(sizes.initial_bytes, STATE_HEADER - 10);
	CHECK_INT(read_up_to(session, buf, sizeof(buf)), STATE_HEADER - 10);
	/* The driver's read() gives 0 here. */
	CHECK_INT(read_up_to(session, buf, sizeof(buf)), -ENOMSG);
	CHECK_INT(read_up_to(session, buf, sizeof(buf)), -ENOMSG);
	CHECK_INT(go(a, VMIG_STATE_PRE_COPY_P2P, &other), 0);
	CHECK(!other);
	CHECK_INT(vmig_session_query_precopy(session, &sizes), 0);
	CHECK_INT(read_up_to(session, buf, sizeof(buf)), -ENOMSG);
	CHECK_INT(go(a, VMIG_STATE_STOP_COPY, &other), 0);
	CHECK(!other);
	CHECK_INT(vmig_session_query_precopy(session, &sizes), -EINVAL);
	CHECK_INT(read_up_to(session, buf, sizeof(buf)), STATE_SIZE - STATE_HEADER);
	CHECK_INT(read_up_to(session, buf, sizeof(buf)), 0);
	CHECK_INT(read_up_to(session, buf, sizeof(buf)), 0);
	CHECK_INT(go(a, VMIG_STATE_STOP, &other), 0);
	CHECK(!other);
	CHECK_INT(read_up_to(session, buf, sizeof(buf)), -ENODEV);
	vmig_session_close(session);
}

static void a_second_session_gives_the_same(void)
{
	uint8_t one[256], two[256];

	fresh();
	set_scratch(a, 0x77);
	CHECK_INT(save(a, one, sizeof(one)), STATE_SIZE);
	CHECK_INT(save(a, two, sizeof(two)), STATE_SIZE);
	CHECK(!memcmp(one, two, STATE_SIZE));
}

static void setting_the_current_state_changes_nothing(void)
{
	struct vmig_session *session = NULL, *other = NULL;
	uint8_t buf[256];

	fresh();
	CHECK_INT(go(a, VMIG_STATE_STOP_COPY, &session), 0);
	CHECK_INT(go(a, VMIG_STATE_STOP_COPY, &other), 0);
	CHECK(session && !other);
	CHECK_INT(read_up_to(session, buf, sizeof(buf)), STATE_SIZE);
	vmig_session_close(session);
}

static void precopy_is_cancelled_and_done_again(void)
{
	struct vmig_session *session = NULL;
	uint8_t buf[256];

	fresh();
	set_scratch(a, 0x21);
	CHECK_INT(go(a, VMIG_STATE_PRE_COPY, &session), 0);
	CHECK_INT(read_up_to(session, buf, 10), 10);
	CHECK_INT(go(a, VMIG_STATE_RUNNING, NULL), 0);
	CHECK_INT(read_up_to(session, buf, 10), -ENODEV);
	vmig_session_close(session);
	set_scratch(a, 0x22);
	CHECK_INT(save(a, buf, sizeof(buf)), STATE_SIZE);
	check_usable(b, buf, STATE_SIZE, 0x22);
}

/* --- loading ------------------------------------------------------------------------------ */

static void state_arrives_in_odd_pieces(void)
{
	struct vmig_session *session;
	uint8_t buf[256];

	fresh();
	set_scratch(a, 0xa5);
	set_scratch(b, 0x11);
	CHECK_INT(save(a, buf, sizeof(buf)), STATE_SIZE);
	session = resume(b);
	for (size_t at = 0; at < STATE_SIZE; at += 7) {
		size_t part = STATE_SIZE - at < 7 ? STATE_SIZE - at : 7, half = part / 2;
		const struct iovec iov[2] = { { .iov_base = buf + at, .iov_len = half },
					      { .iov_base = buf + at + half, .iov_len = part - half } };

		CHECK_INT(vmig_session_writev(session, iov, 2), 0);
	}
	CHECK_INT(vmig_session_flush(session), 0);
	CHECK_INT(go(b, VMIG_STATE_RUNNING, NULL), 0);
	CHECK_INT(write_all(session, buf, 1), -ENODEV);
	vmig_session_close(session);
	CHECK_INT(scratch(b), 0xa5);
}

static void loading_borrows_a_room(void)
{
	struct vmig_session *session;
	struct iovec room[VMIG_SESSION_IOV_MAX];
	uint8_t buf[256];
	int n = 0;

	fresh();
	set_scratch(a, 0xa6);
	CHECK_INT(save(a, buf, sizeof(buf)), STATE_SIZE);
	session = resume(b);
	if (CHECK_INT(vmig_session_room(session, STATE_SIZE, room, &n), STATE_SIZE)) {
		memcpy(room[0].iov_base, buf, STATE_SIZE);
		CHECK_INT(vmig_session_filled(session, STATE_SIZE), 0);
	}
	CHECK_INT(go(b, VMIG_STATE_RUNNING, NULL), 0);
	vmig_session_close(session);
	CHECK_INT(scratch(b), 0xa6);
}

/* mtty counts the bytes of a failed write as loaded: its RESUMING -> STOP would succeed. */
static void refused_data_never_leads_out_of_resuming(struct vmig_session *session, const uint8_t *good)
{
	struct vmig_error error;

	CHECK_INT(go(b, VMIG_STATE_STOP, NULL), -EIO);
	vmig_device_query_error(b, &error);
	CHECK(strstr(error.text, "reset") != NULL);
	CHECK_INT(go(b, VMIG_STATE_RUNNING, NULL), -EIO);
	CHECK_INT(state_of(b), VMIG_STATE_RESUMING);
	vmig_session_close(session);
	CHECK_INT(go(b, VMIG_STATE_STOP, NULL), -EIO);
	check_usable(b, good, STATE_SIZE, 0x33);
}

static void a_corrupt_header_is_fatal(void)
{
	uint8_t good[256], bad[256];
	struct vmig_session *session;

	good_state(good);
	memcpy(bad, good, sizeof(bad));
	bad[0] ^= 1;
	session = resume(b);
	CHECK_INT(write_all(session, bad, STATE_SIZE), -EFAULT);
	refused_data_never_leads_out_of_resuming(session, good);
}

/* In one writev() the kernel would report the pieces before the bad one, and not its error. */
static void a_corrupt_header_in_a_later_piece_is_fatal(void)
{
	uint8_t good[256], bad[256];
	struct vmig_session *session;
	const struct iovec iov[3] = { { .iov_base = bad, .iov_len = 8 },
				      { .iov_base = bad + 8, .iov_len = 24 },
				      { .iov_base = bad + 32, .iov_len = STATE_SIZE - 32 } };

	good_state(good);
	memcpy(bad, good, sizeof(bad));
	bad[0] ^= 1;
	session = resume(b);
	CHECK_INT(vmig_session_writev(session, iov, 3), -EFAULT);
	refused_data_never_leads_out_of_resuming(session, good);
}

static void a_byte_too_many_is_fatal(void)
{
	uint8_t good[256];
	struct vmig_session *session;

	good_state(good);
	session = resume(b);
	CHECK_INT(write_all(session, good, STATE_SIZE), 0);
	CHECK_INT(write_all(session, good, 1), -ENOMEM);
	refused_data_never_leads_out_of_resuming(session, good);
}

static void a_byte_too_few_stays_in_resuming(void)
{
	uint8_t good[256];
	struct vmig_session *session;

	good_state(good);
	session = resume(b);
	CHECK_INT(write_all(session, good, STATE_SIZE - 1), 0);
	CHECK_INT(go(b, VMIG_STATE_RUNNING, NULL), -EINVAL);
	CHECK_INT(state_of(b), VMIG_STATE_RESUMING);
	vmig_session_close(session);
	check_usable(b, good, STATE_SIZE, 0x33);
}

static void state_of_another_type_is_refused(void)
{
	struct vmig_device *other = NULL;
	struct vmig_device_info info;
	struct vmig_session *session;
	uint8_t good[256], foreign[256];
	uint64_t size = 0;

	good_state(good);
	if (!CHECK_INT(vmig_open_kernel(path_other, &other, NULL), 0))
		return;
	vmig_device_query_info(other, &info);
	CHECK(!strcmp(info.identity, "mdev:mtty-2"));
	CHECK_INT(vmig_device_query_stop_copy_size(other, &size), 0);
	CHECK_INT(size, STATE_SIZE_OTHER);
	CHECK_INT(save(other, foreign, sizeof(foreign)), STATE_SIZE_OTHER);
	CHECK_INT(go(other, VMIG_STATE_RUNNING, NULL), 0);
	vmig_device_close(other);
	session = resume(b);
	CHECK(write_all(session, foreign, STATE_SIZE_OTHER) < 0);
	refused_data_never_leads_out_of_resuming(session, good);
}

TESTS(tests_of_data, T(precopy_drains_and_ends_only_in_stop_copy), T(a_second_session_gives_the_same),
      T(setting_the_current_state_changes_nothing), T(precopy_is_cancelled_and_done_again),
      T(state_arrives_in_odd_pieces), T(loading_borrows_a_room), T(a_corrupt_header_is_fatal),
      T(a_corrupt_header_in_a_later_piece_is_fatal), T(a_byte_too_many_is_fatal),
      T(a_byte_too_few_stays_in_resuming), T(state_of_another_type_is_refused));
