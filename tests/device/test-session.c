/* SPDX-License-Identifier: BSD-3-Clause */
/* The life of a data transfer session of a model, and what each call answers in which state. */
#include "harness.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/fsm.h"
#include "tiny.h"

static const uint64_t feature_sets[] = {
	VMIG_MIGRATION_STOP_COPY,
	VMIG_MIGRATION_STOP_COPY | VMIG_MIGRATION_P2P,
	VMIG_MIGRATION_STOP_COPY | VMIG_MIGRATION_PRE_COPY,
	TINY_ALL_FLAGS,
};

static uint8_t data[100000], arrived[100000];

static struct vmig_session *walk(struct tiny *tiny, uint32_t to)
{
	struct vmig_session *session;

	ck_assert_int_eq(vmig_device_set_state(tiny->dev, to, VMIG_STATE_NONE, &session), 0);
	return session;
}

static ssize_t read_some(struct vmig_session *session, size_t len)
{
	static uint8_t buf[300000];
	const struct iovec iov = { buf, len };

	return vmig_session_readv(session, &iov, 1);
}

static int write_some(struct vmig_session *session, size_t len)
{
	const struct iovec iov = { data, len };

	return vmig_session_writev(session, &iov, 1);
}

/** A call that is permitted says something else than that the session has ended. */
static bool alive(struct vmig_session *session, bool loads)
{
	return (loads ? write_some(session, 1) : read_some(session, 1)) != -ENODEV;
}

static void give(struct tiny *tiny, size_t len)
{
	tiny->out = data;
	tiny->out_at = 0;
	tiny->out_end = len;
	tiny->in = arrived;
	tiny->in_at = 0;
	tiny->in_size = sizeof(arrived);
}

/* --- which walks start, keep and end one --------------------------------------------------- */

static void session_pair(struct tiny *tiny, uint64_t features, uint32_t from, uint32_t to)
{
	struct vmig_session *before, *after;
	enum vmig_arc_session what = vmig_fsm_walk_session(features, from, to);
	bool has = vmig_fsm_saving(from) || from == VMIG_STATE_RESUMING;
	uint32_t next;
	int r;

	ck_assert_int_eq(vmig_device_reset(tiny->dev), 0);
	tiny_forget(tiny);
	before = walk(tiny, from);
	ck_assert_int_eq(!!before, has);
	r = vmig_device_set_state(tiny->dev, to, VMIG_STATE_NONE, &after);
	ck_assert_int_eq(r, vmig_state_next(features, from, to, &next));
	ck_assert_int_eq(!!after, !r && (what == VMIG_ARC_SAVE || what == VMIG_ARC_LOAD));
	if (before)
		ck_assert_msg(alive(before, from == VMIG_STATE_RESUMING) == (r < 0 || what == VMIG_ARC_KEEP),
			      "%s to %s", vmig_state_name(from), vmig_state_name(to));
	if (after)
		ck_assert(alive(after, to == VMIG_STATE_RESUMING));
	vmig_session_close(before);
	if (after)
		ck_assert(alive(after, to == VMIG_STATE_RESUMING));
	vmig_session_close(after);
}

TEST(each_walk_starts_keeps_or_ends_the_session)
{
	for (int set = 0; set < 4; set++) {
		struct tiny tiny;

		tiny_open(&tiny, feature_sets[set], set % 2 ? TINY_COPIES : TINY_LENDS);
		give(&tiny, 100);
		for (uint32_t from = 1; from < VMIG_STATE_NR; from++)
			for (uint32_t to = 1; to < VMIG_STATE_NR; to++)
				if (vmig_state_supported(feature_sets[set], from))
					session_pair(&tiny, feature_sets[set], from, to);
		tiny_close(&tiny);
	}
}

TEST(a_reset_ends_the_session_in_every_state)
{
	static const uint32_t states[] = { VMIG_STATE_PRE_COPY, VMIG_STATE_PRE_COPY_P2P, VMIG_STATE_STOP_COPY,
					   VMIG_STATE_RESUMING };

	for (int i = 0; i < 8; i++) {
		bool loads = states[i / 2] == VMIG_STATE_RESUMING;
		struct vmig_session *session;
		struct vmig_precopy sizes;
		struct iovec iov[VMIG_SESSION_IOV_MAX];
		struct tiny tiny;
		int n;

		tiny_open(&tiny, TINY_ALL_FLAGS, i % 2 ? TINY_COPIES : TINY_LENDS);
		give(&tiny, 100);
		session = walk(&tiny, states[i / 2]);
		ck_assert_int_eq(vmig_device_reset(tiny.dev), 0);
		ck_assert_int_eq(vmig_session_query_precopy(session, &sizes), -ENODEV);
		ck_assert_int_eq(read_some(session, 1), -ENODEV);
		ck_assert_int_eq(vmig_session_lend(session, 1, iov, &n), -ENODEV);
		ck_assert_int_eq(write_some(session, 1), -ENODEV);
		ck_assert_int_eq(vmig_session_room(session, 1, iov, &n), -ENODEV);
		ck_assert_int_eq(vmig_session_filled(session, 0), -ENODEV);
		ck_assert_int_eq(vmig_session_flush(session), -ENODEV);
		/* Nor does it come to life again with the next one. */
		vmig_session_close(walk(&tiny, states[i / 2]));
		ck_assert(!alive(session, loads));
		vmig_session_close(session);
		tiny_close(&tiny);
	}
}

TEST(a_step_that_fails_within_the_group_keeps_the_session)
{
	struct vmig_session *session;
	struct tiny tiny;

	tiny_open(&tiny, TINY_ALL_FLAGS, TINY_COPIES);
	give(&tiny, 100);
	session = walk(&tiny, VMIG_STATE_PRE_COPY);
	tiny.fail_at = tiny.n_arcs + 1; /* of PRE_COPY, PRE_COPY_P2P, STOP_COPY */
	ck_assert_int_eq(vmig_device_set_state(tiny.dev, VMIG_STATE_STOP_COPY, VMIG_STATE_PRE_COPY, NULL),
			 -EXDEV);
	ck_assert_uint_eq(tiny_state(&tiny), VMIG_STATE_PRE_COPY);
	ck_assert_int_eq(read_some(session, 10), 10);
	tiny.fail_at = tiny.n_arcs;
	tiny.fail_to_error = true;
	ck_assert_int_eq(vmig_device_set_state(tiny.dev, VMIG_STATE_STOP_COPY, VMIG_STATE_PRE_COPY, NULL),
			 -EXDEV);
	ck_assert_int_eq(read_some(session, 10), -ENODEV);
	vmig_session_close(session);
	tiny_close(&tiny);
}

TEST(a_session_that_nobody_wants_is_closed_at_once)
{
	struct vmig_session *session;
	struct tiny tiny;

	tiny_open(&tiny, TINY_ALL_FLAGS, TINY_COPIES);
	give(&tiny, 10);
	tiny_go(&tiny, VMIG_STATE_PRE_COPY); /* sanitizers see a leak */
	session = walk(&tiny, VMIG_STATE_STOP_COPY);
	ck_assert_ptr_null(session);
	session = walk(&tiny, VMIG_STATE_RESUMING);
	ck_assert_ptr_nonnull(session);
	vmig_session_close(session);
	vmig_session_close(NULL);
	tiny_close(&tiny);
}

TEST(a_session_may_outlive_its_device)
{
	for (int i = 0; i < 2; i++) {
		struct vmig_session *session, *stale;
		struct iovec iov[VMIG_SESSION_IOV_MAX];
		struct tiny tiny;
		int n;

		tiny_open(&tiny, TINY_ALL_FLAGS, i ? TINY_COPIES : TINY_LENDS);
		give(&tiny, 100);
		stale = walk(&tiny, VMIG_STATE_RESUMING);
		session = walk(&tiny, VMIG_STATE_STOP_COPY);
		ck_assert_int_gt(vmig_session_lend(session, 10, iov, &n), 0);
		tiny_close(&tiny);
		vmig_session_return(session, 1);
		ck_assert_int_eq(read_some(session, 1), -ENODEV);
		ck_assert_int_eq(write_some(stale, 1), -ENODEV);
		vmig_session_close(session);
		vmig_session_close(stale);
	}
}

TEST(closing_gives_a_loan_back)
{
	struct iovec iov[VMIG_SESSION_IOV_MAX];
	struct vmig_session *session;
	struct tiny tiny;
	int n;

	tiny_open(&tiny, TINY_ALL_FLAGS, TINY_LENDS);
	give(&tiny, 100);
	session = walk(&tiny, VMIG_STATE_STOP_COPY);
	ck_assert_int_eq(vmig_session_lend(session, 10, iov, &n), 10);
	vmig_session_close(session);
	ck_assert_int_eq(tiny.given_back, 1);
	ck_assert_uint_eq(tiny.out_at, 0);
	tiny_close(&tiny);
}

TEST(a_loan_ends_with_its_session)
{
	struct iovec iov[VMIG_SESSION_IOV_MAX];
	struct vmig_session *session;
	struct tiny tiny;
	int n;

	tiny_open(&tiny, TINY_ALL_FLAGS, TINY_LENDS);
	give(&tiny, 100);
	session = walk(&tiny, VMIG_STATE_STOP_COPY);
	ck_assert_int_eq(vmig_session_lend(session, 10, iov, &n), 10);
	tiny_go(&tiny, VMIG_STATE_STOP);
	vmig_session_return(session, 10);
	ck_assert_int_eq(tiny.given_back, 0);
	vmig_session_close(session);
	tiny_close(&tiny);
}

/* --- what reading says --------------------------------------------------------------------- */

TEST(drained_is_enomsg_and_the_end_is_0)
{
	for (int i = 0; i < 2; i++) {
		struct iovec iov[VMIG_SESSION_IOV_MAX];
		struct vmig_session *session;
		struct vmig_error error;
		struct tiny tiny;
		int n;

		tiny_open(&tiny, TINY_ALL_FLAGS, i ? TINY_COPIES : TINY_LENDS);
		give(&tiny, 10);
		session = walk(&tiny, VMIG_STATE_PRE_COPY);
		ck_assert_int_eq(read_some(session, 100), 10);
		ck_assert_int_eq(read_some(session, 100), -ENOMSG);
		ck_assert_int_eq(vmig_session_lend(session, 100, iov, &n), -ENOMSG);
		tiny.out_end = 15;
		ck_assert_int_eq(read_some(session, 100), 5);
		ck_assert_ptr_null(walk(&tiny, VMIG_STATE_PRE_COPY_P2P));
		ck_assert_int_eq(read_some(session, 100), -ENOMSG);
		ck_assert_ptr_null(walk(&tiny, VMIG_STATE_STOP_COPY));
		ck_assert_int_eq(read_some(session, 100), 0);
		tiny.out_end = 20;
		ck_assert_int_eq(vmig_session_lend(session, 3, iov, &n), 3);
		ck_assert_int_eq(read_some(session, 100), -EBUSY);
		ck_assert_int_eq(vmig_session_lend(session, 3, iov, &n), -EBUSY);
		vmig_session_return(session, 1000); /* no more than was lent */
		ck_assert_int_eq(read_some(session, 100), 2);
		ck_assert_int_eq(read_some(session, 100), 0);
		ck_assert_int_eq(vmig_session_lend(session, 100, iov, &n), 0);
		vmig_device_query_error(tiny.dev, &error);
		ck_assert_int_eq(error.code, EBUSY); /* ENOMSG and the end are no errors */
		vmig_session_close(session);
		tiny_close(&tiny);
	}
}

TEST(the_sizes_are_asked_in_pre_copy_only)
{
	struct vmig_session *session;
	struct vmig_precopy sizes;
	struct vmig_device_info info;
	uint64_t size;
	struct tiny tiny;

	tiny_open(&tiny, TINY_ALL_FLAGS, TINY_COPIES);
	give(&tiny, 10);
	vmig_device_query_info(tiny.dev, &info);
	ck_assert_uint_eq(info.has,
			  VMIG_HAS_TAG | VMIG_HAS_PRECOPY_INFO | VMIG_HAS_STOP_COPY_SIZE | VMIG_HAS_DMA_LOG);
	ck_assert_int_eq(vmig_device_query_stop_copy_size(tiny.dev, &size), 0);
	ck_assert_uint_eq(size, 10);
	session = walk(&tiny, VMIG_STATE_PRE_COPY);
	memset(&sizes, 0xff, sizeof(sizes));
	ck_assert_int_eq(vmig_session_query_precopy(session, &sizes), 0);
	ck_assert_uint_eq(sizes.initial_bytes, 10);
	ck_assert_uint_eq(sizes.dirty_bytes, 5);
	ck_assert_uint_eq(sizes.flags, 0);
	ck_assert_ptr_null(walk(&tiny, VMIG_STATE_PRE_COPY_P2P));
	ck_assert_int_eq(vmig_session_query_precopy(session, &sizes), 0);
	ck_assert_ptr_null(walk(&tiny, VMIG_STATE_STOP_COPY));
	ck_assert_int_eq(vmig_session_query_precopy(session, &sizes), -EINVAL);
	vmig_session_close(session);
	session = walk(&tiny, VMIG_STATE_RESUMING);
	ck_assert_int_eq(vmig_session_query_precopy(session, &sizes), -EINVAL);
	vmig_session_close(session);
	tiny_close(&tiny);
}

TEST(each_session_goes_one_way)
{
	struct iovec iov[VMIG_SESSION_IOV_MAX];
	struct vmig_session *session;
	struct tiny tiny;
	int n;

	tiny_open(&tiny, TINY_ALL_FLAGS, TINY_LENDS);
	give(&tiny, 10);
	session = walk(&tiny, VMIG_STATE_STOP_COPY);
	ck_assert_int_eq(write_some(session, 1), -EINVAL);
	ck_assert_int_eq(vmig_session_room(session, 1, iov, &n), -EINVAL);
	ck_assert_int_eq(vmig_session_filled(session, 0), -EINVAL);
	ck_assert_int_eq(vmig_session_flush(session), -EINVAL);
	vmig_session_close(session);
	session = walk(&tiny, VMIG_STATE_RESUMING);
	ck_assert_int_eq(read_some(session, 1), -EINVAL);
	ck_assert_int_eq(vmig_session_lend(session, 1, iov, &n), -EINVAL);
	vmig_session_close(session);
	tiny_close(&tiny);
}

TEST(sizes_and_counts_are_checked)
{
	static struct iovec many[IOV_MAX + 1];
	struct iovec iov = { data, 1 }, huge[2] = { { data, SIZE_MAX }, { data, 2 } }, *none = many;
	struct iovec lent[VMIG_SESSION_IOV_MAX];
	struct vmig_session *session;
	struct tiny tiny;
	int n;

	tiny_open(&tiny, TINY_ALL_FLAGS, TINY_COPIES);
	give(&tiny, 10);
	session = walk(&tiny, VMIG_STATE_STOP_COPY);
	for (int i = 0; i <= IOV_MAX; i++)
		many[i] = (struct iovec){ data, i == IOV_MAX - 2 };
	ck_assert_int_eq(vmig_session_readv(session, &iov, -1), -EINVAL);
	ck_assert_int_eq(vmig_session_readv(session, &iov, 0), -EINVAL);
	ck_assert_int_eq(vmig_session_readv(session, none, 2), -EINVAL); /* 0 would read as the end */
	ck_assert_int_eq(vmig_session_readv(session, huge, 1), -EINVAL);
	ck_assert_int_eq(vmig_session_readv(session, huge, 2), -EINVAL);
	ck_assert_int_eq(vmig_session_readv(session, many, IOV_MAX + 1), -EINVAL);
	ck_assert_int_eq(vmig_session_readv(session, many, IOV_MAX), 1);
	ck_assert_int_eq(vmig_session_readv(session, many, IOV_MAX - 1), 1);
	ck_assert_int_eq(vmig_session_lend(session, 0, lent, &n), -EINVAL);
	ck_assert_int_eq(vmig_session_lend(session, SIZE_MAX, lent, &n), -EINVAL);
	vmig_session_close(session);
	session = walk(&tiny, VMIG_STATE_RESUMING);
	ck_assert_int_eq(vmig_session_writev(session, &iov, -1), -EINVAL);
	ck_assert_int_eq(vmig_session_writev(session, huge, 2), -EINVAL);
	ck_assert_int_eq(vmig_session_writev(session, many, IOV_MAX + 1), -EINVAL);
	ck_assert_int_eq(vmig_session_writev(session, many, IOV_MAX), 0);
	ck_assert_int_eq(vmig_session_writev(session, &iov, 0), 0);
	ck_assert_int_eq(vmig_session_room(session, 0, lent, &n), -EINVAL);
	ck_assert_int_eq(vmig_session_room(session, SIZE_MAX, lent, &n), -EINVAL);
	ck_assert_int_eq(vmig_session_filled(session, 0), -EINVAL); /* there is no room out */
	ck_assert_int_eq(vmig_session_room(session, 7, lent, &n), 7);
	ck_assert_int_eq(vmig_session_writev(session, &iov, 1), -EBUSY);
	ck_assert_int_eq(vmig_session_filled(session, 8), -EINVAL);
	ck_assert_int_eq(vmig_session_filled(session, 7), 0);
	ck_assert_uint_eq(tiny.in_at, 8);
	vmig_session_close(session);
	tiny_close(&tiny);
}

/* --- loading ------------------------------------------------------------------------------- */

TEST(data_that_was_refused_stays_refused)
{
	for (int i = 0; i < 2; i++) {
		struct iovec iov[VMIG_SESSION_IOV_MAX];
		struct vmig_session *session;
		struct tiny tiny;
		int n;

		tiny_open(&tiny, TINY_ALL_FLAGS, i ? TINY_COPIES : TINY_LENDS);
		give(&tiny, 0);
		session = walk(&tiny, VMIG_STATE_RESUMING);
		ck_assert_int_eq(write_some(session, 10), 0);
		tiny.load_fault = -EBADMSG;
		ck_assert_int_eq(write_some(session, 10), -EBADMSG);
		tiny.load_fault = 0;
		ck_assert_int_eq(write_some(session, 10), -EBADMSG);
		if (!i)
			ck_assert_int_eq(vmig_session_room(session, 10, iov, &n), -EBADMSG);
		tiny_forget(&tiny);
		ck_assert_int_eq(vmig_device_set_state(tiny.dev, VMIG_STATE_STOP, VMIG_STATE_RUNNING, NULL),
				 -EINVAL);
		ck_assert_uint_eq(tiny_state(&tiny), VMIG_STATE_RESUMING);
		ck_assert_int_eq(tiny.n_arcs, 0);
		ck_assert_int_eq(vmig_device_reset(tiny.dev), 0);
		vmig_session_close(session);
		session = walk(&tiny, VMIG_STATE_RESUMING);
		ck_assert_int_eq(write_some(session, 10), 0);
		tiny_go(&tiny, VMIG_STATE_RUNNING);
		vmig_session_close(session);
		tiny_close(&tiny);
	}
}

TEST(a_dropped_room_counts_for_nothing)
{
	for (int i = 0; i < 2; i++) {
		struct iovec iov[VMIG_SESSION_IOV_MAX];
		struct vmig_session *session;
		struct tiny tiny;
		int n;

		tiny_open(&tiny, TINY_ALL_FLAGS, i ? TINY_COPIES : TINY_LENDS);
		give(&tiny, 0);
		session = walk(&tiny, VMIG_STATE_RESUMING);
		ck_assert_int_eq(vmig_session_room(session, 10, iov, &n), 10);
		ck_assert_int_eq(vmig_session_filled(session, 0), 0);
		ck_assert_uint_eq(tiny.in_at, 0);
		ck_assert_int_eq(vmig_session_room(session, 10, iov, &n), 10);
		ck_assert_int_eq(vmig_session_room(session, 5, iov, &n), 5); /* the same place */
		ck_assert_int_eq(vmig_session_filled(session, 5), 0);
		ck_assert_uint_eq(tiny.in_at, 5);
		ck_assert_int_eq(vmig_session_flush(session), 0);
		vmig_session_close(session);
		tiny_close(&tiny);
	}
}

/* --- any pieces, the same bytes -------------------------------------------------------------- */

static size_t random_size(size_t most)
{
	switch (random() % 4) {
	case 0:
		return 1 + (size_t)random() % (most < 3 ? most : 3);
	case 1:
		return most;
	default:
		return 1 + (size_t)random() % most;
	}
}

/** Cut @len bytes at @p into random pieces, some of them empty. */
static int cut(struct iovec *iov, int max, void *p, size_t len)
{
	int n = 0;

	while (len && n < max - 1) {
		size_t part = random() % 8 ? random_size(len) : 0;

		iov[n++] = (struct iovec){ p, part };
		p = (char *)p + part;
		len -= part;
	}
	iov[n++] = (struct iovec){ p, len };
	return n;
}

/** Move up to some bytes from one to the other by random means. 0: the end. */
static ssize_t move(struct vmig_session *from, struct vmig_session *to)
{
	static uint8_t buf[600000];
	size_t len = random_size(random() % 2 ? sizeof(buf) : 100), done = 0;
	struct iovec iov[VMIG_SESSION_IOV_MAX], room[VMIG_SESSION_IOV_MAX];
	ssize_t got, space;
	int n, n_room;

	if (random() % 2) {
		got = vmig_session_readv(from, iov, cut(iov, 10, buf, len));
		if (got <= 0)
			return got;
	} else {
		got = vmig_session_lend(from, len, iov, &n);
		if (got <= 0)
			return got;
		ck_assert_int_le(got, (ssize_t)len);
		got = random() % 4 ? got : (ssize_t)random_size((size_t)got);
		for (int i = 0; i < n && done < (size_t)got; done += iov[i++].iov_len)
			memcpy(buf + done, iov[i].iov_base,
			       iov[i].iov_len < (size_t)got - done ? iov[i].iov_len : (size_t)got - done);
		vmig_session_return(from, (size_t)got);
	}
	if (random() % 2) {
		ck_assert_int_eq(vmig_session_writev(to, iov, cut(iov, 10, buf, (size_t)got)), 0);
		return got;
	}
	for (done = 0; done < (size_t)got; done += (size_t)space) {
		size_t at = 0;

		space = vmig_session_room(to, (size_t)got - done, room, &n_room);
		ck_assert_int_gt(space, 0);
		if (random() % 4 == 0)
			space = (ssize_t)random_size((size_t)space);
		for (int i = 0; i < n_room && at < (size_t)space; at += room[i++].iov_len)
			memcpy(room[i].iov_base, buf + done + at,
			       room[i].iov_len < (size_t)space - at ? room[i].iov_len : (size_t)space - at);
		ck_assert_int_eq(vmig_session_filled(to, (size_t)space), 0);
	}
	return got;
}

static void carry(enum tiny_kind from_kind, enum tiny_kind to_kind)
{
	struct vmig_session *from, *to;
	struct tiny source, destination;
	size_t source_piece, destination_piece, len = sizeof(data);
	ssize_t got;

	tiny_open(&source, TINY_ALL_FLAGS, from_kind);
	tiny_open(&destination, TINY_ALL_FLAGS, to_kind);
	source_piece = random() % 2 ? 0 : random_size(5000);
	destination_piece = random() % 2 ? 0 : random_size(5000);
	/* By single bytes it need not be much. */
	if ((source_piece && source_piece < 100) || (destination_piece && destination_piece < 100))
		len = 5000;
	give(&source, len);
	give(&destination, 0);
	source.piece = source_piece;
	destination.piece = destination_piece;
	memset(arrived, 0, sizeof(arrived));
	from = walk(&source, VMIG_STATE_STOP_COPY);
	to = walk(&destination, VMIG_STATE_RESUMING);
	do {
		got = move(from, to);
		ck_assert_int_ge(got, 0);
	} while (got);
	ck_assert_uint_eq(destination.in_at, len);
	ck_assert_msg(!memcmp(data, arrived, len), "kinds %d and %d (seed %u)", from_kind, to_kind,
		      harness_seed());
	tiny_go(&destination, VMIG_STATE_RUNNING);
	vmig_session_close(from);
	vmig_session_close(to);
	tiny_close(&source);
	tiny_close(&destination);
}

TEST(the_same_bytes_arrive_whatever_the_pieces)
{
	srandom(harness_seed());
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)random();
	for (int i = 0; i < 24; i++)
		carry(i % 2 ? TINY_LENDS : TINY_COPIES, i / 2 % 2 ? TINY_LENDS : TINY_COPIES);
}

/* --- threads --------------------------------------------------------------------------------- */

static _Atomic int64_t total;

/** Read until the end, or until the session ends. */
static void *read_to_the_end(void *opaque)
{
	ssize_t got;

	do {
		got = read_some(opaque, 777);
		if (got > 0)
			atomic_fetch_add(&total, got);
	} while (got > 0 || got == -ENOMSG);
	return (void *)got;
}

TEST(a_session_is_read_beside_a_transition)
{
	for (int i = 0; i < 20; i++) {
		struct vmig_session *session;
		struct tiny tiny;
		pthread_t thread;
		void *end;

		atomic_store(&total, 0);
		tiny_open(&tiny, TINY_ALL_FLAGS, i % 2 ? TINY_COPIES : TINY_LENDS);
		give(&tiny, sizeof(data));
		session = walk(&tiny, VMIG_STATE_PRE_COPY);
		ck_assert_int_eq(pthread_create(&thread, NULL, read_to_the_end, session), 0);
		while (atomic_load(&total) < 10000)
			sched_yield();
		ck_assert_ptr_null(walk(&tiny, VMIG_STATE_STOP_COPY));
		pthread_join(thread, &end);
		ck_assert_ptr_null(end);
		ck_assert_int_eq(atomic_load(&total), sizeof(data));
		vmig_session_close(session);
		tiny_close(&tiny);
	}
}

TEST(a_session_ends_under_its_reader)
{
	for (int i = 0; i < 20; i++) {
		struct vmig_session *session;
		struct tiny tiny;
		pthread_t thread;
		void *end;

		atomic_store(&total, 0);
		tiny_open(&tiny, TINY_ALL_FLAGS, i % 2 ? TINY_COPIES : TINY_LENDS);
		give(&tiny, sizeof(data));
		session = walk(&tiny, VMIG_STATE_PRE_COPY);
		ck_assert_int_eq(pthread_create(&thread, NULL, read_to_the_end, session), 0);
		while (atomic_load(&total) < 10000)
			sched_yield();
		if (i % 4 < 2)
			tiny_go(&tiny, VMIG_STATE_RUNNING);
		else
			ck_assert_int_eq(vmig_device_reset(tiny.dev), 0);
		pthread_join(thread, &end);
		ck_assert_int_eq((int)(intptr_t)end, -ENODEV);
		vmig_session_close(session);
		tiny_close(&tiny);
	}
}

HARNESS("session", T(each_walk_starts_keeps_or_ends_the_session), T(a_reset_ends_the_session_in_every_state),
	T(a_step_that_fails_within_the_group_keeps_the_session),
	T(a_session_that_nobody_wants_is_closed_at_once), T(a_session_may_outlive_its_device),
	T(closing_gives_a_loan_back), T(a_loan_ends_with_its_session), T(drained_is_enomsg_and_the_end_is_0),
	T(the_sizes_are_asked_in_pre_copy_only), T(each_session_goes_one_way),
	T(sizes_and_counts_are_checked), T(data_that_was_refused_stays_refused),
	T(a_dropped_room_counts_for_nothing), T_SLOW(the_same_bytes_arrive_whatever_the_pieces, 60),
	T_SLOW(a_session_is_read_beside_a_transition, 60), T_SLOW(a_session_ends_under_its_reader, 60))
