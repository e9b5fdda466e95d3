/* SPDX-License-Identifier: BSD-3-Clause */
/* Saving and loading through a migration region: the sequences of the v1 text, and the sizes of the transactions. */
#include "harness.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vmig/region.h>

#include "base/util.h"
#include "registers.h"

#define FRAME 16u

struct stream {
	uint8_t *data;
	size_t len, room;
};

static struct vmig_device *drive(struct registers *r, bool no_mmap)
{
	const struct vmig_v1_drive_config config = { .no_mmap = no_mmap };
	struct vmig_device *dev;

	ck_assert_int_eq(vmig_drive_v1(r->dev, &config, &dev, NULL), 0);
	registers_log(r);
	return dev;
}

static void end(struct registers *r, struct vmig_device *dev)
{
	vmig_device_close(dev);
	registers_close(r);
}

static struct vmig_session *start(struct vmig_device *dev, uint32_t target)
{
	struct vmig_session *session;

	ck_assert_int_eq(vmig_device_set_state(dev, target, VMIG_STATE_NONE, &session), 0);
	ck_assert_ptr_nonnull(session);
	return session;
}

static void go(struct vmig_device *dev, uint32_t target)
{
	struct vmig_error error;
	int code = vmig_device_set_state(dev, target, VMIG_STATE_NONE, NULL);

	vmig_device_query_error(dev, &error);
	ck_assert_msg(!code, "to %u: %d: %s", target, code, error.text);
}

/* In pieces of at most @most bytes; until the end or drained, which is returned. */
static int save(struct vmig_session *session, struct stream *to, size_t most)
{
	for (;;) {
		size_t room = most > 1 ? 1 + (size_t)random() % most : 1;
		struct iovec iov;
		ssize_t got;

		if (to->room < to->len + room) {
			to->room = 2 * (to->len + room);
			to->data = realloc(to->data, to->room);
			ck_assert_ptr_nonnull(to->data);
		}
		iov = (struct iovec){ to->data + to->len, room };
		got = vmig_session_readv(session, &iov, 1);
		if (got <= 0)
			return (int)got;
		to->len += (size_t)got;
	}
}

static int load(struct vmig_session *session, const uint8_t *data, size_t len, size_t most)
{
	while (len) {
		size_t wish = most > 1 ? 1 + (size_t)random() % most : 1, part = MIN(len, wish);
		struct iovec iov = { (void *)(uintptr_t)data, part };
		int code = vmig_session_writev(session, &iov, 1);

		if (code)
			return code;
		data += part;
		len -= part;
	}
	return 0;
}

static const uint32_t sizes[] = { 100, 8192, 1, 4096, 61440 };
#define N_SIZES 5u

static void give(struct registers *r)
{
	r->sizes = sizes;
	r->n_sizes = N_SIZES;
	r->n_early = 2;
}

static void save_all(struct registers *r, struct vmig_device *dev, struct stream *to, size_t most)
{
	struct vmig_session *session = start(dev, VMIG_STATE_PRE_COPY);

	ck_assert_int_eq(save(session, to, most), -ENOMSG);
	go(dev, VMIG_STATE_STOP_COPY);
	ck_assert_int_eq(save(session, to, most), 0);
	ck_assert_int_eq(save(session, to, most), 0); /* and again */
	go(dev, VMIG_STATE_STOP);
	vmig_session_close(session);
}

/* --- the sequences --------------------------------------------------------------------------- */

/*
 * V1-50 "Read pending_bytes, indicating the start of a new iteration", V1-49 "Read data_offset", V1-55 "Read data_size",
 * V1-57 "Read data_size bytes of data from (region + data_offset)", V1-58 "Read pending_bytes, which indicates that the
 * data from the previous iteration has been read", V1-59 "If pending_bytes > 0, go to step b", V1-52 "If pending_bytes ==
 * 0, the user application should not iterate", V1-61 "should iterate in _SAVING (stop-and-copy) until pending_bytes is 0".
 * V1-02: each in its "native width and alignment"; the register file takes no other.
 */
TEST(saving_is_the_sequence_of_the_text)
{
	struct stream stream = { 0 };
	struct registers r;
	struct vmig_device *dev;

	registers_open(&r, NULL);
	give(&r);
	dev = drive(&r, false);
	save_all(&r, dev, &stream, 1u << 20);
	ck_assert_str_eq(registers_log(&r), "S S S=3 P O Z D100 P O Z D8192 P "
					    "S S=2 P O Z D1 P O Z D4096 P O Z D61440 P "
					    "S S=0");
	ck_assert_uint_eq(stream.len, 100 + 8192 + 1 + 4096 + 61440 + 6 * FRAME);
	free(stream.data);
	end(&r, dev);
}

/*
 * V1-70 "Read data_offset from where the user application should write data", V1-71 "for the length determined by
 * data_size from the migration source", V1-72 "Write data_size" (V1-07), V1-82 "in the same order as the data is
 * received", V1-83 "the data should be of same transaction size at the source".
 */
TEST(loading_is_the_sequence_of_the_text)
{
	struct stream stream = { 0 };
	struct registers from, to;
	struct vmig_device *source, *dest;
	struct vmig_session *session;

	registers_open(&from, NULL);
	give(&from);
	source = drive(&from, false);
	save_all(&from, source, &stream, 1u << 20);
	registers_open(&to, NULL);
	dest = drive(&to, false);
	session = start(dest, VMIG_STATE_RESUMING);
	ck_assert_int_eq(load(session, stream.data, stream.len, 700), 0);
	ck_assert_int_eq(vmig_session_flush(session), 0);
	go(dest, VMIG_STATE_STOP);
	go(dest, VMIG_STATE_RUNNING);
	ck_assert_str_eq(registers_log(&to), "S S S=4 "
					     "O D=100 Z=100 O D=8192 Z=8192 O D=1 Z=1 O D=4096 Z=4096 "
					     "O D=61440 Z=61440 S S S=1");
	ck_assert(to.loaded_right);
	vmig_session_close(session);
	free(stream.data);
	end(&to, dest);
	end(&from, source);
}

/* V1-60 "regardless of the number of pending bytes". */
TEST(a_transaction_that_is_half_lent_survives_the_stop)
{
	struct stream stream = { 0 };
	struct registers r;
	struct vmig_device *dev;
	struct vmig_session *session;
	struct iovec iov = { malloc(50), 50 };

	registers_open(&r, NULL);
	give(&r);
	dev = drive(&r, false);
	session = start(dev, VMIG_STATE_PRE_COPY);
	ck_assert_int_eq(vmig_session_readv(session, &iov, 1), 50);
	go(dev, VMIG_STATE_STOP_COPY);
	ck_assert_int_eq(save(session, &stream, 1000), 0);
	ck_assert_str_eq(registers_log(&r), "S S S=3 P O Z D100 S P S=2 P O Z D8192 P O Z D1 P O Z D4096 "
					    "P O Z D61440 P");
	for (uint32_t i = 0; i < 66; i++)
		ck_assert_uint_eq(stream.data[i], registers_byte(0, 34 + i));
	vmig_session_close(session);
	free(stream.data);
	free(iov.iov_base);
	end(&r, dev);
}

TEST(a_cancelled_save_begins_anew)
{
	struct stream stream = { 0 };
	struct registers r;
	struct vmig_device *dev;
	struct vmig_session *session;
	struct iovec iov = { (char[10]){ 0 }, 10 };

	registers_open(&r, NULL);
	give(&r);
	dev = drive(&r, false);
	session = start(dev, VMIG_STATE_PRE_COPY);
	ck_assert_int_eq(vmig_session_readv(session, &iov, 1), 10);
	go(dev, VMIG_STATE_RUNNING);
	ck_assert_int_eq(vmig_session_readv(session, &iov, 1), -ENODEV);
	vmig_session_close(session);
	save_all(&r, dev, &stream, 1000);
	ck_assert_uint_eq(stream.len, 100 + 8192 + 1 + 4096 + 61440 + 6 * FRAME);
	free(stream.data);
	end(&r, dev);
}

/* --- any segmentation ------------------------------------------------------------------------ */

static void carry(const struct registers_config *a, const struct registers_config *b, size_t most,
		  bool no_mmap)
{
	struct stream stream = { 0 };
	struct registers from, to;
	struct vmig_device *source, *dest;
	struct vmig_session *session;

	registers_open(&from, a);
	give(&from);
	source = drive(&from, no_mmap);
	save_all(&from, source, &stream, most);
	registers_open(&to, b);
	dest = drive(&to, no_mmap);
	session = start(dest, VMIG_STATE_RESUMING);
	ck_assert_int_eq(load(session, stream.data, stream.len, most), 0);
	go(dest, VMIG_STATE_RUNNING);
	ck_assert_uint_eq(to.n_loaded, N_SIZES);
	ck_assert_int_eq(memcmp(to.loaded, sizes, sizeof(sizes)), 0);
	ck_assert(to.loaded_right);
	ck_assert_ptr_null(strstr(registers_log(&from), "BAD"));
	ck_assert_ptr_null(strstr(registers_log(&to), "BAD"));
	vmig_session_close(session);
	free(stream.data);
	end(&to, dest);
	end(&from, source);
}

static const struct registers_config trapped = { .size = 65536 }, mapped = { .mapped = true },
				     sealed = { .mapped = true, .sealed = true },
				     partly = { .mapped = true, .mapped_size = 8192 };

TEST(sizes_are_kept_whatever_the_pieces)
{
	srandom(harness_seed());
	for (size_t most = 1; most < 1u << 18; most *= 5)
		carry(&trapped, &trapped, most, false);
}

TEST(mapped_sections_say_the_same)
{
	srandom(harness_seed());
	for (size_t most = 1; most < 1u << 18; most *= 19) {
		carry(&mapped, &trapped, most, false);
		carry(&sealed, &mapped, most, false);
		carry(&trapped, &sealed, most, false);
		carry(&partly, &trapped, most, false);
		carry(&trapped, &partly, most, false);
	}
}

static void check_accesses(const struct registers_config *config, bool no_mmap, bool wants)
{
	struct stream stream = { 0 };
	struct registers r;
	struct vmig_device *dev;

	registers_open(&r, config);
	give(&r);
	dev = drive(&r, no_mmap);
	save_all(&r, dev, &stream, 4096);
	ck_assert_int_eq(!!strchr(registers_log(&r), 'D'), wants);
	free(stream.data);
	end(&r, dev);
}

/* V1-46 "The user application should read the device data from this offset within the migration region". */
TEST(mapped_data_are_not_accessed_through_the_region_unless_asked_for)
{
	check_accesses(&mapped, false, false);
	check_accesses(&sealed, false, false);
	check_accesses(&partly, false, true);
	check_accesses(&mapped, true, true);
	check_accesses(&sealed, true, true);
}

/* --- the sizes of pre-copy ------------------------------------------------------------------- */

TEST(what_was_pending_first_is_initial)
{
	static const uint32_t more[] = { 1000, 2000, 500 };
	struct vmig_precopy sizes_now;
	struct registers r;
	struct vmig_device *dev;
	struct vmig_session *session;
	struct stream stream = { 0 };

	registers_open(&r, NULL);
	r.sizes = more;
	r.n_sizes = 3;
	r.n_early = 2;
	dev = drive(&r, false);
	session = start(dev, VMIG_STATE_PRE_COPY);
	for (int i = 0; i < 3;
	     i++) { /* "Repeated read on pending_bytes at this stage should have no side effects" */
		ck_assert_int_eq(vmig_session_query_precopy(session, &sizes_now), 0);
		ck_assert_uint_eq(sizes_now.initial_bytes, 3000);
		ck_assert_uint_eq(sizes_now.dirty_bytes, 0);
	}
	ck_assert_int_eq(save(session, &stream, 100000), -ENOMSG);
	r.n_early = 3;
	ck_assert_int_eq(vmig_session_query_precopy(session, &sizes_now), 0);
	ck_assert_uint_eq(sizes_now.initial_bytes, 0);
	ck_assert_uint_eq(sizes_now.dirty_bytes, 500);
	go(dev, VMIG_STATE_STOP_COPY);
	ck_assert_int_eq(vmig_session_query_precopy(session, &sizes_now), -EINVAL);
	vmig_session_close(session);
	free(stream.data);
	end(&r, dev);
}

/* --- two threads ----------------------------------------------------------------------------- */

static void *stop_it(void *dev)
{
	go(dev, VMIG_STATE_STOP_COPY);
	return NULL;
}

TEST(the_device_stops_while_it_is_read)
{
	struct stream stream = { 0 };
	struct registers r;
	struct vmig_device *dev;
	struct vmig_session *session;
	pthread_t thread;
	int code;

	registers_open(&r, NULL);
	give(&r);
	dev = drive(&r, false);
	session = start(dev, VMIG_STATE_PRE_COPY);
	ck_assert_int_eq(pthread_create(&thread, NULL, stop_it, dev), 0);
	do
		code = save(session, &stream, 300);
	while (code == -ENOMSG);
	pthread_join(thread, NULL);
	ck_assert_int_eq(code, 0);
	ck_assert_uint_eq(stream.len, 100 + 8192 + 1 + 4096 + 61440 + 6 * FRAME);
	vmig_session_close(session);
	free(stream.data);
	end(&r, dev);
}

HARNESS("region-data", T(saving_is_the_sequence_of_the_text), T(loading_is_the_sequence_of_the_text),
	T(a_transaction_that_is_half_lent_survives_the_stop), T(a_cancelled_save_begins_anew),
	T(sizes_are_kept_whatever_the_pieces), T(mapped_sections_say_the_same),
	T(mapped_data_are_not_accessed_through_the_region_unless_asked_for),
	T(what_was_pending_first_is_initial), T(the_device_stops_while_it_is_read))
