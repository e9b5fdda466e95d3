/* SPDX-License-Identifier: BSD-3-Clause */
/* The migration region over devices with habits that a model of ours does not have, but a kernel's or a peer's may. */
#include "harness.h"

#include <errno.h>
#include <string.h>

#include "handle/provider.h"
#include "v1.h"

/** A provider that says what the test wants. */
struct odd {
	struct vmig_device *dev;
	uint32_t state;
	int state_r, write_r, flush_r, set_r;
	uint32_t set_to; /* where a set_state that fails ends */
	bool no_session, reset_keeps;
	const ssize_t *reads;
	int n_writes, n_flushes, n_closed, n_open;
	uint64_t stop_copy;
};

static int odd_query_state(void *p, uint32_t *ret, struct vmig_error *error)
{
	struct odd *odd = p;

	*ret = odd->state;
	return odd->state_r;
}

static ssize_t odd_readv(void *s, const struct iovec *iov, int n, struct vmig_error *error)
{
	struct odd *odd = s;
	ssize_t got = *odd->reads;

	if (got > 0)
		memset(iov->iov_base, 'x', (size_t)got);
	odd->reads += got > 0 || got == -ENOMSG;
	return got;
}

static int odd_writev(void *s, const struct iovec *iov, int n, struct vmig_error *error)
{
	struct odd *odd = s;

	odd->n_writes++;
	return odd->write_r;
}

static int odd_flush(void *s, struct vmig_error *error)
{
	struct odd *odd = s;

	odd->n_flushes++;
	return odd->flush_r;
}

static void odd_close_session(void *s)
{
	((struct odd *)s)->n_open--;
}

static const struct vmig_session_ops saving = { .readv = odd_readv, .close = odd_close_session };
static const struct vmig_session_ops loading = { .writev = odd_writev,
						 .flush = odd_flush,
						 .close = odd_close_session };

static bool in_saving_group(uint32_t state)
{
	return state == VMIG_STATE_STOP_COPY || state == VMIG_STATE_PRE_COPY;
}

static int odd_set_state(void *p, uint32_t target, struct vmig_session_half *ret, struct vmig_error *error)
{
	struct odd *odd = p;
	bool starts =
		target == VMIG_STATE_RESUMING || (in_saving_group(target) && !in_saving_group(odd->state));

	if (odd->set_r) {
		odd->state = odd->set_to;
		return odd->set_r;
	}
	odd->state = target;
	if (!starts || odd->no_session)
		return 0;
	odd->n_open++;
	ret->ops = target == VMIG_STATE_RESUMING ? &loading : &saving;
	ret->s = odd;
	return 0;
}

static int odd_reset(void *p, struct vmig_error *error)
{
	struct odd *odd = p;

	if (!odd->reset_keeps)
		odd->state = VMIG_STATE_RUNNING;
	return 0;
}

static int odd_stop_copy_size(void *p, uint64_t *ret, struct vmig_error *error)
{
	*ret = ((struct odd *)p)->stop_copy;
	return 0;
}

static void odd_close(void *p)
{
	((struct odd *)p)->n_closed++;
}

static const struct vmig_provider_ops odd_ops = {
	.close = odd_close,
	.query_state = odd_query_state,
	.set_state = odd_set_state,
	.reset = odd_reset,
	.query_stop_copy_size = odd_stop_copy_size,
};

static void odd_show(struct odd *odd, struct v1 *v, uint32_t traits)
{
	const struct vmig_device_info info = { .flags = VMIG_DEVICE_FLAG_RESET,
					       .migration_flags =
						       VMIG_MIGRATION_STOP_COPY | VMIG_MIGRATION_PRE_COPY,
					       .has = VMIG_HAS_STOP_COPY_SIZE,
					       .traits = traits };

	if (!odd->state)
		odd->state = VMIG_STATE_RUNNING;
	ck_assert_int_eq(vmig_device_new(&odd_ops, odd, &info, &odd->dev), 0);
	v1_show(v, odd->dev, NULL);
}

static void odd_done(struct odd *odd, struct v1 *v)
{
	v1_close(v);
	ck_assert_int_eq(odd->n_closed, 1);
	ck_assert_int_eq(odd->n_open, 0);
}

/* --- loading ------------------------------------------------------------------------------- */

/* The kernel's mtty counts the bytes that it has refused, and then starts. */
TEST(a_device_that_forgets_what_it_refused_is_not_started)
{
	struct odd odd = { .write_r = -EFAULT };
	struct v1 v;

	odd_show(&odd, &v, 0);
	v1_write_state(&v, 4);
	ck_assert_int_eq(v1_put64(&v, V1_DATA_SIZE, 1), -EFAULT);
	odd.write_r = 0;
	ck_assert_int_eq(v1_put64(&v, V1_DATA_SIZE, 1), -EFAULT);
	ck_assert_int_eq(odd.n_writes, 1);
	ck_assert_int_eq(v1_put32(&v, V1_DEVICE_STATE, 1), -EFAULT);
	ck_assert_uint_eq(odd.state, VMIG_STATE_RESUMING);
	odd_done(&odd, &v);
}

/* V1-73: "Vendor driver must return this write operations on consuming data." */
TEST(a_write_waits_for_a_device_that_works_behind)
{
	struct odd odd = { 0 };
	struct v1 v;

	odd_show(&odd, &v, 0);
	v1_write_state(&v, 4);
	ck_assert_int_eq(v1_put64(&v, V1_DATA_SIZE, 100), 0);
	ck_assert_int_eq(odd.n_flushes, 1);
	odd.flush_r = -EBADMSG;
	ck_assert_int_eq(v1_put64(&v, V1_DATA_SIZE, 100), -EBADMSG);
	ck_assert_int_eq(v1_put32(&v, V1_DEVICE_STATE, 1), -EBADMSG);
	odd_done(&odd, &v);
}

/* --- saving -------------------------------------------------------------------------------- */

TEST(the_end_counts_and_not_the_estimate)
{
	static const ssize_t reads[] = { 10, 20, 0 };
	struct odd odd = { .reads = reads, .stop_copy = 1000 };
	struct v1 v;

	odd_show(&odd, &v, 0);
	v1_write_state(&v, 2);
	ck_assert_uint_eq(v1_pending(&v), 30);
	ck_assert_uint_eq(v1_size(&v), 30);
	v1_offset(&v);
	ck_assert_uint_eq(v1_pending(&v), 0);
	odd_done(&odd, &v);
}

TEST(an_estimate_near_the_end_of_numbers_does_not_wrap)
{
	static const ssize_t reads[] = { 1 << 20, 1 << 20, 0 };
	struct odd odd = { .reads = reads, .stop_copy = UINT64_MAX };
	struct v1 v;

	odd_show(&odd, &v, 0);
	v1_write_state(&v, 2);
	ck_assert_uint_eq(v1_pending(&v), UINT64_MAX);
	v1_size(&v);
	v1_offset(&v);
	ck_assert_uint_eq(v1_pending(&v), UINT64_MAX - (1 << 20));
	odd_done(&odd, &v);
}

/* Without the sizes of pre-copy: what can be read is what is pending. */
TEST(pre_copy_without_sizes)
{
	static const ssize_t reads[] = { 10, -ENOMSG, -ENOMSG, 7, -ENOMSG, 3, 0 };
	struct odd odd = { .reads = reads };
	struct v1 v;

	odd_show(&odd, &v, 0);
	v1_write_state(&v, 3);
	ck_assert_uint_eq(v1_pending(&v), 10);
	v1_size(&v);
	v1_offset(&v);
	ck_assert_uint_eq(v1_pending(&v), 0);
	ck_assert_uint_eq(v1_pending(&v), 7);
	v1_write_state(&v, 2);
	ck_assert_uint_eq(v1_pending(&v), 7);
	v1_size(&v);
	v1_offset(&v);
	ck_assert_uint_eq(v1_pending(&v), 3);
	odd_done(&odd, &v);
}

TEST(a_device_that_gives_no_session)
{
	struct odd odd = { .no_session = true };
	struct v1 v;

	odd_show(&odd, &v, 0);
	v1_write_state(&v, 2);
	ck_assert_int_eq(v1_get64(&v, V1_PENDING_BYTES, &(uint64_t){ 0 }), -EIO);
	v1_write_state(&v, 0);
	v1_write_state(&v, 4);
	ck_assert_int_eq(v1_put64(&v, V1_DATA_SIZE, 1), -EIO);
	odd_done(&odd, &v);
}

/* --- state --------------------------------------------------------------------------------- */

TEST(a_reset_that_leaves_the_state_is_helped)
{
	struct odd odd = { .reset_keeps = true };
	struct v1 v;

	odd_show(&odd, &v, VMIG_TRAIT_RESET_KEEPS_FSM);
	v1_write_state(&v, 4);
	ck_assert_int_eq(vmig_device_reset(v.dev), 0);
	ck_assert_uint_eq(v1_state(&v), 1);
	ck_assert_uint_eq(odd.state, VMIG_STATE_RUNNING);
	odd_done(&odd, &v);
}

TEST(a_device_that_is_gone_is_in_the_error_state)
{
	struct odd odd = { 0 };
	struct v1 v;

	odd_show(&odd, &v, 0);
	odd.set_r = odd.state_r = -ECONNRESET;
	ck_assert_int_eq(v1_put32(&v, V1_DEVICE_STATE, 3), -ECONNRESET);
	ck_assert_uint_eq(v1_state(&v), 6);
	odd_done(&odd, &v);
}

/* A state of a newer protocol, reached by a walk that failed: the user of v1 sees the one that it knows. */
TEST(a_state_that_is_unknown_is_not_shown)
{
	struct odd odd = { 0 };
	struct v1 v;

	odd_show(&odd, &v, 0);
	odd.set_r = -EIO;
	odd.set_to = 77;
	ck_assert_int_eq(v1_put32(&v, V1_DEVICE_STATE, 3), -EIO);
	ck_assert_uint_eq(v1_state(&v), 6);
	odd_done(&odd, &v);
	odd = (struct odd){ .state = 77 };
	odd_show(&odd, &v, 0);
	ck_assert_uint_eq(v1_state(&v), 6);
	odd_done(&odd, &v);
	odd = (struct odd){ .state_r = -ECONNRESET };
	odd_show(&odd, &v, 0);
	ck_assert_uint_eq(v1_state(&v), 6);
	odd_done(&odd, &v);
}

/* --- version data at the head of the stream ------------------------------------------------ */

TEST(the_head_is_asked_for_in_running_only)
{
	static const ssize_t reads[] = { 12, -ENOMSG, 12, -ENOMSG, 5, -ENOMSG };
	struct odd odd = { .reads = reads };
	uint8_t buf[VMIG_DEVICE_OPAQUE_MAX];
	struct v1 v;
	size_t len;

	odd_show(&odd, &v, VMIG_TRAIT_MATCH_FIRST);
	ck_assert_int_eq(vmig_device_query_opaque(v.dev, buf, &len), 0);
	ck_assert_uint_eq(len, 12);
	ck_assert_uint_eq(odd.state, VMIG_STATE_RUNNING);
	ck_assert_int_eq(vmig_device_check_opaque(v.dev, buf, len), 0);
	ck_assert_uint_eq(odd.state, VMIG_STATE_RUNNING);
	/* The session of a user that saves is not touched. */
	v1_write_state(&v, 3);
	ck_assert_uint_eq(v1_pending(&v), 12);
	ck_assert_int_eq(vmig_device_query_opaque(v.dev, buf, &len), -EOPNOTSUPP);
	ck_assert_int_eq(vmig_device_check_opaque(v.dev, buf, 12), -EOPNOTSUPP);
	ck_assert_uint_eq(odd.state, VMIG_STATE_PRE_COPY);
	v1_offset(&v);
	v1_size(&v);
	ck_assert_uint_eq(v1_pending(&v), 5);
	odd_done(&odd, &v);
}

TEST(a_question_that_leaves_the_device_elsewhere_is_the_error_state)
{
	struct odd odd = { 0 };
	uint8_t buf[VMIG_DEVICE_OPAQUE_MAX];
	struct v1 v;
	size_t len;

	odd_show(&odd, &v, VMIG_TRAIT_MATCH_FIRST);
	odd.set_r = -EIO;
	odd.set_to = VMIG_STATE_PRE_COPY;
	ck_assert_int_eq(vmig_device_query_opaque(v.dev, buf, &len), -EIO);
	ck_assert_uint_eq(v1_state(&v), 6);
	odd_done(&odd, &v);
}

HARNESS("region-odd", T(a_device_that_forgets_what_it_refused_is_not_started),
	T(a_write_waits_for_a_device_that_works_behind), T(the_end_counts_and_not_the_estimate),
	T(an_estimate_near_the_end_of_numbers_does_not_wrap), T(pre_copy_without_sizes),
	T(a_device_that_gives_no_session), T(a_reset_that_leaves_the_state_is_helped),
	T(a_device_that_is_gone_is_in_the_error_state), T(a_state_that_is_unknown_is_not_shown),
	T(the_head_is_asked_for_in_running_only),
	T(a_question_that_leaves_the_device_elsewhere_is_the_error_state))
