/* SPDX-License-Identifier: BSD-3-Clause */
/* What a device, or a stream, may do wrong to who drives a migration region. */
#include "harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vmig/region.h>

#include "base/limits.h"
#include "base/util.h"
#include "registers.h"

#define FRAME 16u

static struct vmig_device *drive(struct registers *r, const struct registers_config *config)
{
	struct vmig_device *dev;

	registers_open(r, config);
	ck_assert_int_eq(vmig_drive_v1(r->dev, NULL, &dev, NULL), 0);
	registers_log(r);
	return dev;
}

static void end(struct registers *r, struct vmig_device *dev, struct vmig_session *session)
{
	vmig_session_close(session);
	vmig_device_close(dev);
	registers_close(r);
}

static struct vmig_session *start(struct vmig_device *dev, uint32_t target)
{
	struct vmig_session *session;

	ck_assert_int_eq(vmig_device_set_state(dev, target, VMIG_STATE_NONE, &session), 0);
	return session;
}

static ssize_t read_one(struct vmig_session *session)
{
	static char buf[4096];
	struct iovec iov = { buf, sizeof(buf) };

	return vmig_session_readv(session, &iov, 1);
}

/* --- the device: registers that lie ---------------------------------------------------------- */

static const uint32_t one[] = { 100 };

struct lie {
	uint64_t pending, offset, size;
	ssize_t wants;
};

static void check_lie(const struct lie *lie)
{
	struct registers r;
	struct vmig_device *dev = drive(&r, NULL);
	struct vmig_session *session = start(dev, VMIG_STATE_STOP_COPY);
	ssize_t got;

	r.sizes = one;
	r.n_sizes = 1;
	r.lie_pending = lie->pending;
	r.lie_offset = lie->offset;
	r.lie_size = lie->size;
	got = read_one(session);
	ck_assert_msg(got == lie->wants, "pending %#llx offset %#llx size %#llx: %zd",
		      (unsigned long long)lie->pending, (unsigned long long)lie->offset,
		      (unsigned long long)lie->size, got);
	/* What has failed once does not go on as if nothing were lost. */
	if (got < 0)
		ck_assert_int_eq(read_one(session), got);
	end(&r, dev, session);
}

TEST(registers_out_of_range_are_the_devices_fault)
{
	static const struct lie lies[] = {
		{ .pending = UINT64_MAX, .wants = -EPROTO },
		{ .pending = 1ull << 63, .wants = -EPROTO },
		{ .pending = INT64_MAX, .wants = 116 },
		/* Over the registers, at and behind the end. */
		{ .offset = 8, .wants = -EPROTO },
		{ .offset = 31, .wants = -EPROTO },
		{ .offset = 65536, .wants = -EPROTO },
		{ .offset = UINT64_MAX, .wants = -EPROTO },
		{ .offset = 65535, .size = 1, .wants = 17 },
		{ .offset = 65535, .size = 2, .wants = -EPROTO },
		/* Too much, and what wraps. */
		{ .size = 65536 - 4096 + 1, .wants = -EPROTO },
		{ .size = UINT64_MAX, .wants = -EPROTO },
		{ .size = UINT64_MAX - 4095, .wants = -EPROTO },
	};

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++)
		check_lie(&lies[i]);
}

TEST(the_data_section_may_start_right_behind_the_registers)
{
	check_lie(&(struct lie){ .offset = 32, .size = 8, .wants = 24 });
}

/* "If pending_bytes > 0": then there is something. */
TEST(no_data_after_pending_bytes_is_the_devices_fault)
{
	struct registers r;
	struct vmig_device *dev = drive(&r, NULL);
	struct vmig_session *session = start(dev, VMIG_STATE_STOP_COPY);

	r.sizes = one;
	r.n_sizes = 1;
	r.zero_size = true;
	ck_assert_int_eq(read_one(session), -EPROTO);
	end(&r, dev, session);
}

static ssize_t read_transaction_of(uint64_t size)
{
	struct registers r;
	struct vmig_device *dev =
		drive(&r, &(struct registers_config){ .size = 2 * VMIG_LIMIT_V1_TRANSACTION });
	struct vmig_session *session = start(dev, VMIG_STATE_STOP_COPY);
	ssize_t got;

	r.sizes = one;
	r.n_sizes = 1;
	r.lie_size = size;
	got = read_one(session);
	end(&r, dev, session);
	return got;
}

TEST(a_transaction_has_a_limit)
{
	ck_assert_int_eq(read_transaction_of(VMIG_LIMIT_V1_TRANSACTION - 1), 4096);
	ck_assert_int_eq(read_transaction_of(VMIG_LIMIT_V1_TRANSACTION), 4096);
	ck_assert_int_eq(read_transaction_of(VMIG_LIMIT_V1_TRANSACTION + 1), -E2BIG);
}

/* "The user application should iterate in _SAVING (stop-and-copy) until pending_bytes is 0": which may never be. */
TEST(a_stopped_device_that_never_ends_is_left)
{
	struct registers r;
	struct vmig_device *dev = drive(&r, NULL);
	struct vmig_session *session = start(dev, VMIG_STATE_STOP_COPY);
	uint32_t n = 0;
	ssize_t got;

	free(r.log);
	r.log = NULL;
	r.lie_pending = 1000;
	r.lie_size = 8;
	while ((got = read_one(session)) > 0)
		n++;
	ck_assert_int_eq(got, -EPROTO);
	ck_assert_uint_eq(n, VMIG_LIMIT_V1_STALLS + 1); /* the first one is no stall */
	end(&r, dev, session);
}

TEST(a_device_that_has_less_each_time_may_take_as_long_as_it_likes)
{
	struct registers r;
	struct vmig_device *dev = drive(&r, NULL);
	struct vmig_session *session = start(dev, VMIG_STATE_STOP_COPY);

	free(r.log);
	r.log = NULL;
	r.lie_pending = 2 * VMIG_LIMIT_V1_STALLS;
	r.lie_size = 8;
	for (uint32_t i = 0; i < VMIG_LIMIT_V1_STALLS + 10; i++, r.lie_pending--)
		ck_assert_int_eq(read_one(session), 24);
	end(&r, dev, session);
}

/* A mapping of a file that is cut short would be a SIGBUS. */
TEST(a_section_whose_file_is_cut_short_does_no_harm)
{
	struct registers r;
	struct vmig_device *dev = drive(&r, &(struct registers_config){ .mapped = true });
	struct vmig_session *session = start(dev, VMIG_STATE_STOP_COPY);

	r.lie_pending = 100;
	r.lie_size = 8192;
	ck_assert_int_eq(ftruncate(r.fd, 8192), 0);
	ck_assert_int_eq(read_one(session), -EPROTO);
	end(&r, dev, session);
}

/* V1-81 "should then take the next necessary action, for example, failing migration". */
TEST(each_access_of_a_save_may_fail)
{
	static const char *const accesses[] = { "P", "O", "Z", "D100" };

	for (size_t i = 0; i < ARRAY_SIZE(accesses); i++) {
		struct registers r;
		struct vmig_device *dev = drive(&r, NULL);
		struct vmig_session *session = start(dev, VMIG_STATE_STOP_COPY);

		r.sizes = one;
		r.n_sizes = 1;
		r.fail_at = accesses[i];
		r.fail_with = -EREMOTEIO;
		ck_assert_int_eq(read_one(session), -EREMOTEIO);
		r.fail_at = NULL;
		ck_assert_int_eq(read_one(session), -EREMOTEIO);
		ck_assert_int_eq(vmig_device_set_state(dev, VMIG_STATE_RUNNING, VMIG_STATE_NONE, NULL), 0);
		end(&r, dev, session);
	}
}

/* --- the stream ------------------------------------------------------------------------------ */

static size_t frame(uint8_t *at, uint32_t number, uint64_t size)
{
	memcpy(at, "VM1T", 4);
	for (int i = 0; i < 4; i++)
		at[4 + i] = (uint8_t)(number >> 8 * i);
	for (int i = 0; i < 8; i++)
		at[8 + i] = (uint8_t)(size >> 8 * i);
	return FRAME;
}

/* Two transactions of 100 and 50 bytes, and the end. */
#define GOOD_LEN (FRAME + 100 + FRAME + 50 + FRAME)
static void good(uint8_t *at)
{
	memset(at, 7, GOOD_LEN);
	frame(at, 0, 100);
	frame(at + FRAME + 100, 1, 50);
	frame(at + FRAME + 100 + FRAME + 50, 2, 0);
}

static int load(struct vmig_session *session, const uint8_t *data, size_t len)
{
	struct iovec iov = { (void *)(uintptr_t)data, len };

	return vmig_session_writev(session, &iov, 1);
}

/* Fails to be written, or to leave RESUMING; and the device is never told to run. */
static void check_refused(const uint8_t *data, size_t len, bool when_written)
{
	struct registers r;
	struct vmig_device *dev = drive(&r, NULL);
	struct vmig_session *session = start(dev, VMIG_STATE_RESUMING);
	int code = load(session, data, len);
	uint32_t state;

	ck_assert_int_eq(code, when_written ? -EBADMSG : 0);
	ck_assert_int_eq(vmig_device_set_state(dev, VMIG_STATE_STOP, VMIG_STATE_NONE, NULL),
			 when_written ? -EIO : -EBADMSG);
	ck_assert_int_eq(vmig_device_set_state(dev, VMIG_STATE_RUNNING, VMIG_STATE_NONE, NULL),
			 when_written ? -EIO : -EBADMSG);
	ck_assert_ptr_null(strstr(registers_log(&r), "S=1"));
	ck_assert_int_eq(vmig_device_query_state(dev, &state), 0);
	ck_assert_uint_eq(state, VMIG_STATE_RESUMING);
	ck_assert_int_eq(vmig_device_reset(dev), 0);
	vmig_session_close(session);
	/* "Restoring into a device that has been used": after the reset all is as at first. */
	session = start(dev, VMIG_STATE_RESUMING);
	end(&r, dev, session);
}

TEST(a_frame_with_a_flipped_bit_is_refused)
{
	uint8_t data[GOOD_LEN];
	struct registers r;
	struct vmig_device *dev;
	struct vmig_session *session;

	good(data);
	dev = drive(&r, NULL);
	session = start(dev, VMIG_STATE_RESUMING);
	ck_assert_int_eq(load(session, data, sizeof(data)), 0);
	ck_assert_int_eq(vmig_device_set_state(dev, VMIG_STATE_RUNNING, VMIG_STATE_NONE, NULL), 0);
	end(&r, dev, session);
	for (size_t at = FRAME + 100; at < FRAME + 100 + FRAME; at++) {
		good(data);
		data[at] ^= 0x10;
		/* A size that is larger, and fits, has not come to its end. */
		check_refused(data, sizeof(data), at != FRAME + 100 + 9);
	}
}

TEST(a_stream_that_is_cut_short_is_refused)
{
	uint8_t data[GOOD_LEN];

	good(data);
	for (size_t len = 1; len < GOOD_LEN; len++)
		check_refused(data, len, false);
}

TEST(what_is_lost_doubled_or_added_is_refused)
{
	uint8_t data[2 * GOOD_LEN];

	good(data);
	memmove(data, data + FRAME + 100, GOOD_LEN - FRAME - 100);
	check_refused(data, GOOD_LEN - FRAME - 100, true);
	good(data);
	memmove(data + 2 * (FRAME + 100), data + FRAME + 100, GOOD_LEN - FRAME - 100);
	memcpy(data + FRAME + 100, data, FRAME + 100);
	check_refused(data, GOOD_LEN + FRAME + 100, true);
	good(data);
	check_refused(data, GOOD_LEN + 1, true);
}

static void check_size(uint64_t size, uint64_t region, int wants)
{
	uint8_t data[FRAME];
	struct registers r;
	struct vmig_device *dev = drive(&r, &(struct registers_config){ .size = region });
	struct vmig_session *session = start(dev, VMIG_STATE_RESUMING);

	frame(data, 0, size);
	ck_assert_int_eq(load(session, data, sizeof(data)), wants);
	end(&r, dev, session);
}

TEST(a_transaction_must_fit_the_section)
{
	check_size(65536 - 4096, 65536, 0);
	check_size(65536 - 4096 + 1, 65536, -EBADMSG);
	check_size(UINT64_MAX, 65536, -EBADMSG);
	check_size(VMIG_LIMIT_V1_TRANSACTION, 2 * VMIG_LIMIT_V1_TRANSACTION, 0);
	check_size(VMIG_LIMIT_V1_TRANSACTION + 1, 2 * VMIG_LIMIT_V1_TRANSACTION, -EBADMSG);
}

TEST(each_access_of_a_load_may_fail)
{
	static const char *const accesses[] = { "O", "D=100", "Z=100" };
	uint8_t data[GOOD_LEN];

	good(data);
	for (size_t i = 0; i < ARRAY_SIZE(accesses); i++) {
		struct registers r;
		struct vmig_device *dev = drive(&r, NULL);
		struct vmig_session *session = start(dev, VMIG_STATE_RESUMING);

		r.fail_at = accesses[i];
		r.fail_with = -ENOSPC;
		ck_assert_int_eq(load(session, data, sizeof(data)), -ENOSPC);
		r.fail_at = NULL;
		ck_assert_int_eq(load(session, data, sizeof(data)), -EIO);
		ck_assert_int_eq(vmig_device_set_state(dev, VMIG_STATE_RUNNING, VMIG_STATE_NONE, NULL), -EIO);
		end(&r, dev, session);
	}
}

/* Validation is late: the write that makes it run fails, and it stays where it was. */
TEST(a_device_that_refuses_what_was_loaded_is_in_stop_still)
{
	uint8_t data[GOOD_LEN];
	struct registers r;
	struct vmig_device *dev = drive(&r, NULL);
	struct vmig_session *session = start(dev, VMIG_STATE_RESUMING);
	uint32_t state;

	good(data);
	ck_assert_int_eq(load(session, data, sizeof(data)), 0);
	ck_assert_int_eq(vmig_device_set_state(dev, VMIG_STATE_STOP, VMIG_STATE_NONE, NULL), 0);
	r.fail_at = "S=1";
	r.fail_with = -EINVAL;
	ck_assert_int_eq(vmig_device_set_state(dev, VMIG_STATE_RUNNING, VMIG_STATE_NONE, NULL), -EINVAL);
	ck_assert_int_eq(vmig_device_query_state(dev, &state), 0);
	ck_assert_uint_eq(state, VMIG_STATE_STOP);
	ck_assert_int_eq(vmig_device_reset(dev), 0);
	ck_assert_int_eq(vmig_device_query_state(dev, &state), 0);
	ck_assert_uint_eq(state, VMIG_STATE_RUNNING);
	end(&r, dev, session);
}

/* --- at random ------------------------------------------------------------------------------- */

static uint64_t odd_value(void)
{
	static const uint64_t odd[] = {
		0,     1,     8,        31,         32,        4095,       4096,
		65535, 65536, 1u << 31, UINT32_MAX, INT64_MAX, 1ull << 63, UINT64_MAX
	};

	return odd[(size_t)random() % ARRAY_SIZE(odd)] + (uint64_t)(random() % 3) - 1;
}

static void lie_at_random(struct registers *r)
{
	static const char *const accesses[] = { "S", "S=1", "S=2", "S=3", "S=4", "P", "O", "Z" };

	r->lie_pending = random() % 2 ? odd_value() : 0;
	r->lie_offset = random() % 2 ? odd_value() : 0;
	r->lie_size = random() % 2 ? odd_value() % (1u << 20) : 0;
	r->fail_at = random() % 4 ? NULL : accesses[(size_t)random() % ARRAY_SIZE(accesses)];
	r->fail_with = -EIO;
	if (random() % 8 == 0)
		r->state = (uint32_t)random();
}

static void do_at_random(struct vmig_device *dev, struct vmig_session **session)
{
	uint8_t data[GOOD_LEN];
	struct iovec iov = { data, 1 + (size_t)random() % sizeof(data) };
	struct vmig_session *fresh = NULL;
	struct vmig_precopy sizes;
	uint32_t state;

	good(data);
	data[(size_t)random() % sizeof(data)] = (uint8_t)random();
	switch (random() % 6) {
	case 0:
	case 1:
		(void)!vmig_device_set_state(dev, (uint32_t)random() % 9,
					     random() % 2 ? VMIG_STATE_RUNNING : VMIG_STATE_NONE, &fresh);
		break;
	case 2:
		if (*session)
			(void)!vmig_session_readv(*session, &iov, 1);
		break;
	case 3:
		if (*session)
			(void)!vmig_session_writev(*session, &iov, 1);
		break;
	case 4:
		if (*session)
			(void)!vmig_session_query_precopy(*session, &sizes);
		(void)!vmig_device_query_state(dev, &state);
		break;
	default:
		if (random() % 4 == 0)
			(void)!vmig_device_reset(dev);
	}
	if (!fresh)
		return;
	vmig_session_close(*session);
	*session = fresh;
}

/* For the sanitizers to see; and a reset always leads back to a device that can be used. */
TEST(a_device_that_lies_at_random_does_no_harm)
{
	static const struct registers_config configs[] = { { .size = 65536 },
							   { .mapped = true },
							   { .mapped = true, .sealed = true },
							   { .mapped = true, .mapped_size = 8192 } };

	srandom(harness_seed());
	for (size_t c = 0; c < ARRAY_SIZE(configs); c++) {
		struct registers r;
		struct vmig_device *dev = drive(&r, &configs[c]);
		struct vmig_session *session = NULL;
		uint32_t state;

		r.sizes = one;
		r.n_sizes = 1;
		for (int i = 0; i < 3000; i++) {
			lie_at_random(&r);
			do_at_random(dev, &session);
			r.n_loaded = 0;
		}
		r.fail_at = NULL;
		ck_assert_int_eq(vmig_device_reset(dev), 0);
		ck_assert_int_eq(vmig_device_query_state(dev, &state), 0);
		ck_assert_uint_eq(state, VMIG_STATE_RUNNING);
		end(&r, dev, session);
	}
}

HARNESS("region-hostile", T(registers_out_of_range_are_the_devices_fault),
	T(the_data_section_may_start_right_behind_the_registers),
	T(no_data_after_pending_bytes_is_the_devices_fault), T(a_transaction_has_a_limit),
	T_SLOW(a_stopped_device_that_never_ends_is_left, 60),
	T_SLOW(a_device_that_has_less_each_time_may_take_as_long_as_it_likes, 60),
	T(a_section_whose_file_is_cut_short_does_no_harm), T(each_access_of_a_save_may_fail),
	T(a_frame_with_a_flipped_bit_is_refused), T(a_stream_that_is_cut_short_is_refused),
	T(what_is_lost_doubled_or_added_is_refused), T(a_transaction_must_fit_the_section),
	T(each_access_of_a_load_may_fail), T(a_device_that_refuses_what_was_loaded_is_in_stop_still),
	T(a_device_that_lies_at_random_does_no_harm))
