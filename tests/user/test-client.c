/* SPDX-License-Identifier: BSD-3-Clause */
/* The client against servers that do as the text says, in every way that it allows. */
#include "harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "peer.h"

#define ALL (VMIG_MIGRATION_STOP_COPY | VMIG_MIGRATION_PRE_COPY)

static const char ours[] = "{\"capabilities\":{\"max_msg_fds\":8,\"max_data_xfer_size\":1048576,"
			   "\"x-vmig\":{\"precopy_info\":true,\"device_info\":true}}}";
static const char small[] = "{\"capabilities\":{\"max_msg_fds\":3,\"max_data_xfer_size\":4096}}";

static uint8_t *pattern(size_t len)
{
	uint8_t *data = malloc(len);

	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	return data;
}

/* Read to the end, in pieces of @piece bytes; the bytes that came. */
static size_t read_all(struct vmig_session *session, uint8_t *to, size_t room, size_t piece)
{
	size_t done = 0;

	for (;;) {
		struct iovec iov[] = { { to + done, 0 }, { to + done, piece / 3 }, { NULL, 0 }, { NULL, 0 } };
		ssize_t n;

		iov[2].iov_base = to + done + piece / 3;
		iov[2].iov_len = piece - piece / 3;
		ck_assert_uint_le(done + piece, room);
		n = vmig_session_readv(session, iov, 4);
		ck_assert_msg(n >= 0, "readv: %zd", n);
		if (!n)
			return done;
		ck_assert_uint_le((size_t)n, piece);
		done += (size_t)n;
	}
}

static void set_state(struct vmig_device *dev, uint32_t state, struct vmig_session **session)
{
	struct vmig_error error;
	int r = vmig_device_set_state(dev, state, VMIG_STATE_NONE, session);

	vmig_device_query_error(dev, &error);
	ck_assert_msg(!r, "to %s: %d: %s: %s", vmig_state_name(state), r, error.where, error.text);
}

TEST(says_what_the_device_is)
{
	struct vmig_device_info info;
	struct vmig_device *dev;
	struct vmig_region region;
	struct vmig_irq irq;
	struct peer p;

	peer_init(&p);
	p.migration_flags = ALL | 1ull << 40;
	dev = peer_open(&p, NULL);
	vmig_device_query_info(dev, &info);
	ck_assert_uint_eq(info.flags, VMIG_DEVICE_FLAG_RESET | VMIG_DEVICE_FLAG_PCI);
	ck_assert_uint_eq(info.n_regions, 9);
	ck_assert_uint_eq(info.n_irqs, 5);
	ck_assert_uint_eq(info.migration_flags, ALL | 1ull << 40);
	ck_assert_uint_eq(info.has, VMIG_HAS_STOP_COPY_SIZE | VMIG_HAS_DMA_LOG);
	ck_assert_uint_eq(info.traits,
			  VMIG_TRAIT_KEEPS_STATE | VMIG_TRAIT_NO_POLL | VMIG_TRAIT_SHORT_READ_ENDS);
	ck_assert_str_eq(info.identity, "pci:1b36:0f01/1af4:0000");
	ck_assert_int_eq(vmig_device_query_region(dev, 7, &region), 0);
	ck_assert_uint_eq(region.size, 256);
	ck_assert_int_eq(region.fd, -1);
	ck_assert_int_eq(vmig_device_query_irq(dev, 2, &irq), 0);
	ck_assert_uint_eq(irq.count, 2048);
	ck_assert_int_eq(vmig_device_query_region(dev, 9, &region), -EINVAL);
	vmig_device_close(dev);
	peer_stop(&p);
	ck_assert_uint_eq(p.seen[PEER_OF_OURS], 0);
}

TEST(a_server_of_ours_says_more)
{
	struct vmig_device_info info;
	struct vmig_device *dev;
	struct peer p;

	peer_init(&p);
	p.caps = ours;
	p.migration_flags = ALL;
	p.identity_traits = VMIG_TRAIT_LATE_VALIDATION | VMIG_TRAIT_LENDS;
	dev = peer_open(&p, NULL);
	vmig_device_query_info(dev, &info);
	ck_assert_str_eq(info.identity, "test:peer");
	ck_assert_uint_eq(info.traits,
			  VMIG_TRAIT_KEEPS_STATE | VMIG_TRAIT_NO_POLL | VMIG_TRAIT_LATE_VALIDATION);
	ck_assert_uint_eq(info.has, VMIG_HAS_STOP_COPY_SIZE | VMIG_HAS_DMA_LOG | VMIG_HAS_PRECOPY_INFO);
	vmig_device_close(dev);
	peer_stop(&p);
}

/* What was not proposed is not used, though the server offers it. */
TEST(plain_uses_nothing_experimental)
{
	struct vmig_vfio_user_config config = { .plain = 1 };
	struct vmig_device_info info;
	struct vmig_device *dev;
	struct peer p;

	peer_init(&p);
	p.caps = ours;
	p.migration_flags = ALL;
	dev = peer_open(&p, &config);
	vmig_device_query_info(dev, &info);
	ck_assert_str_eq(info.identity, "pci:1b36:0f01/1af4:0000");
	ck_assert_uint_eq(info.has & VMIG_HAS_PRECOPY_INFO, 0);
	vmig_device_close(dev);
	peer_stop(&p);
	ck_assert_uint_eq(p.seen[PEER_OF_OURS], 0);
}

TEST(a_device_that_does_not_migrate)
{
	struct vmig_device_info info;
	struct vmig_device *dev;
	struct peer p;
	uint32_t state;

	peer_init(&p);
	dev = peer_open(&p, NULL);
	vmig_device_query_info(dev, &info);
	ck_assert_uint_eq(info.migration_flags, 0);
	ck_assert_int_eq(vmig_device_query_state(dev, &state), -EOPNOTSUPP);
	ck_assert_int_eq(vmig_device_reset(dev), 0);
	vmig_device_close(dev);
	peer_stop(&p);
}

/* Larger than one message of the server's takes. */
TEST(regions_are_read_and_written_in_messages_that_fit)
{
	uint8_t *data = pattern(60000), *back = malloc(60000);
	struct vmig_device *dev;
	uint32_t v = 0x12345678, w = 0;
	struct peer p;

	peer_init(&p);
	p.caps = small;
	dev = peer_open(&p, NULL);
	ck_assert_int_eq(vmig_device_region_write(dev, 0, 8, &v, 4), 0);
	ck_assert_int_eq(vmig_device_region_read(dev, 0, 8, &w, 4), 0);
	ck_assert_uint_eq(v, w);
	ck_assert_uint_eq(p.seen[PEER_REGION_WRITE], 1);
	ck_assert_int_eq(vmig_device_region_write(dev, 0, 100, data, 60000), 0);
	ck_assert_int_eq(vmig_device_region_read(dev, 0, 100, back, 60000), 0);
	ck_assert_mem_eq(data, back, 60000);
	ck_assert_uint_eq(p.seen[PEER_REGION_WRITE], 16);
	/* The server's own errno, and its text says who refused. */
	ck_assert_int_eq(vmig_device_region_read(dev, 3, 0, &w, 4), -EINVAL);
	ck_assert_int_eq(vmig_device_region_read(dev, 0, 8, &w, 4), 0);
	vmig_device_close(dev);
	peer_stop(&p);
	free(data);
	free(back);
}

static void save_with(struct peer *p, const struct vmig_vfio_user_config *config, size_t len, size_t piece)
{
	uint8_t *data = pattern(len), *back = malloc(len + piece);
	struct vmig_session *session;
	struct vmig_device *dev;

	p->migration_flags = ALL;
	p->data = data;
	p->data_len = len;
	dev = peer_open(p, config);
	set_state(dev, VMIG_STATE_STOP_COPY, &session);
	ck_assert_ptr_nonnull(session);
	ck_assert_uint_eq(read_all(session, back, len + piece, piece), len);
	ck_assert_mem_eq(data, back, len);
	set_state(dev, VMIG_STATE_STOP, NULL);
	ck_assert_int_eq(vmig_session_readv(session, &(struct iovec){ back, 1 }, 1), -ENODEV);
	vmig_session_close(session);
	vmig_device_close(dev);
	peer_stop(p);
	free(data);
	free(back);
}

TEST(saves)
{
	struct peer p;

	peer_init(&p);
	save_with(&p, NULL, (5u << 20) + 12345, 1u << 20);
}

TEST(saves_a_length_that_is_a_multiple_of_a_message)
{
	struct peer p;

	peer_init(&p);
	save_with(&p, NULL, 3u << 20, 1u << 20);
}

TEST(saves_nothing)
{
	struct peer p;

	peer_init(&p);
	save_with(&p, NULL, 0, 4096);
}

TEST(saves_from_a_server_that_pads)
{
	struct peer p;

	peer_init(&p);
	p.pad = true;
	save_with(&p, NULL, (2u << 20) + 1, 1u << 20);
}

TEST(saves_one_message_at_a_time)
{
	struct vmig_vfio_user_config config = { .depth = 1 };
	struct peer p;

	peer_init(&p);
	p.caps = small;
	save_with(&p, &config, 100001, 1u << 20);
}

TEST(saves_in_random_segments)
{
	struct peer p;

	peer_init(&p);
	p.segments = harness_seed() | 1;
	p.caps = small;
	save_with(&p, NULL, 70001, 3000);
}

/* The caller's room changes from call to call, under requests that were sent ahead. */
TEST(saves_into_changing_room)
{
	uint8_t *data = pattern(300000), *back = malloc(300000 + 20000);
	unsigned int seed = harness_seed();
	struct vmig_session *session;
	struct vmig_device *dev;
	size_t done = 0;
	ssize_t n;
	struct peer p;

	peer_init(&p);
	p.migration_flags = ALL;
	p.data = data;
	p.data_len = 300000;
	dev = peer_open(&p, NULL);
	set_state(dev, VMIG_STATE_STOP_COPY, &session);
	do {
		struct iovec iov = { back + done, 1 + (size_t)rand_r(&seed) % 20000 };
		uint32_t v;

		n = vmig_session_readv(session, &iov, 1);
		ck_assert_int_ge(n, 0);
		done += (size_t)n;
		/* Another call's reply comes behind those that were asked for ahead: they are parked. */
		if (rand_r(&seed) % 4 == 0)
			ck_assert_int_eq(vmig_device_region_read(dev, 0, 0, &v, 4), 0);
	} while (n);
	ck_assert_uint_eq(done, 300000);
	ck_assert_mem_eq(data, back, done);
	vmig_session_close(session);
	vmig_device_close(dev);
	peer_stop(&p);
	free(data);
	free(back);
}

/* A session is closed, and its device, while replies are under way. */
TEST(closes_with_replies_under_way)
{
	uint8_t *data = pattern(8u << 20), buf[100];
	struct vmig_session *session;
	struct vmig_device *dev;
	struct peer p;
	uint32_t state;

	peer_init(&p);
	p.migration_flags = ALL;
	p.data = data;
	p.data_len = 8u << 20;
	dev = peer_open(&p, NULL);
	set_state(dev, VMIG_STATE_STOP_COPY, &session);
	ck_assert_int_eq(vmig_session_readv(session, &(struct iovec){ buf, 100 }, 1), 100);
	vmig_session_close(session);
	ck_assert_int_eq(vmig_device_query_state(dev, &state), 0);
	ck_assert_uint_eq(state, VMIG_STATE_STOP_COPY);
	set_state(dev, VMIG_STATE_STOP, NULL);
	set_state(dev, VMIG_STATE_STOP_COPY, &session);
	ck_assert_int_eq(vmig_session_readv(session, &(struct iovec){ buf, 100 }, 1), 100);
	vmig_session_close(session);
	vmig_device_close(dev);
	peer_stop(&p);
	free(data);
}

TEST(precopy_is_drained_by_a_short_read)
{
	uint8_t *data = pattern(10000), buf[8192];
	struct vmig_session *session;
	struct vmig_precopy sizes;
	struct vmig_device *dev;
	struct iovec iov = { buf, sizeof(buf) };
	struct peer p;

	peer_init(&p);
	p.caps = ours;
	p.migration_flags = ALL;
	p.data = data;
	p.data_len = 10000;
	dev = peer_open(&p, NULL);
	set_state(dev, VMIG_STATE_PRE_COPY, &session);
	ck_assert_int_eq(vmig_session_query_precopy(session, &sizes), 0);
	ck_assert_uint_eq(sizes.initial_bytes, 1000);
	ck_assert_uint_eq(sizes.dirty_bytes, 10000);
	ck_assert_int_eq(vmig_session_readv(session, &iov, 1), 8192);
	ck_assert_uint_eq(p.seen[PEER_DATA_READ], 1); /* nothing was asked for ahead */
	ck_assert_int_eq(vmig_session_readv(session, &iov, 1), 1808);
	ck_assert_int_eq(vmig_session_readv(session, &iov, 1), -ENOMSG);
	ck_assert_uint_eq(p.seen[PEER_DATA_READ], 2); /* known without asking */
	ck_assert_int_eq(vmig_session_readv(session, &iov, 1), -ENOMSG);
	ck_assert_uint_eq(p.seen[PEER_DATA_READ], 3);
	/* The session carries on into STOP_COPY, where the same answer is the end. */
	struct vmig_session *none;
	set_state(dev, VMIG_STATE_STOP_COPY, &none);
	ck_assert_ptr_null(none);
	ck_assert_int_eq(vmig_session_readv(session, &iov, 1), 8192);
	ck_assert_int_eq(vmig_session_readv(session, &iov, 1), 1808);
	ck_assert_int_eq(vmig_session_readv(session, &iov, 1), 0);
	ck_assert_int_eq(vmig_session_readv(session, &iov, 1), 0);
	vmig_session_close(session);
	vmig_device_close(dev);
	peer_stop(&p);
	free(data);
}

/* A short read just before the switch-over must not end the stream after it. */
TEST(drained_is_forgotten_in_stop_copy)
{
	uint8_t *data = pattern(10000), buf[8192];
	struct vmig_session *session;
	struct vmig_device *dev;
	struct iovec iov = { buf, sizeof(buf) };
	struct peer p;

	peer_init(&p);
	p.migration_flags = ALL;
	p.data = data;
	p.data_len = 1000;
	dev = peer_open(&p, NULL);
	set_state(dev, VMIG_STATE_PRE_COPY, &session);
	ck_assert_int_eq(vmig_session_readv(session, &iov, 1), 1000);
	set_state(dev, VMIG_STATE_STOP_COPY, NULL);
	ck_assert_int_eq(vmig_session_readv(session, &iov, 1), 1000);
	ck_assert_int_eq(vmig_session_readv(session, &iov, 1), 0);
	vmig_session_close(session);
	vmig_device_close(dev);
	peer_stop(&p);
	free(data);
}

/* Goes to STOP_COPY, and says that it has failed. */
static bool hook_goes_and_says_no(struct peer *p, struct peer_msg *m)
{
	if (m->command != PEER_FEATURE || peer_u32(m->body + 4) != (2 | 1u << 17) ||
	    peer_u32(m->body + 8) != VMIG_STATE_STOP_COPY)
		return false;
	p->state = VMIG_STATE_STOP_COPY;
	peer_error(p, m, EIO);
	return true;
}

/* The state is asked for; and the end of the stream in the state that it turns out to be is the end. */
TEST(the_end_is_seen_after_a_transition_that_failed)
{
	struct vmig_session *session;
	struct vmig_device *dev;
	uint8_t buf[8192];
	struct iovec iov = { buf, sizeof(buf) };
	struct peer p;

	peer_init(&p);
	p.migration_flags = ALL;
	p.hook = hook_goes_and_says_no;
	dev = peer_open(&p, NULL);
	set_state(dev, VMIG_STATE_PRE_COPY, &session);
	ck_assert_int_eq(vmig_device_set_state(dev, VMIG_STATE_STOP_COPY, VMIG_STATE_NONE, NULL), -EIO);
	ck_assert_int_eq(vmig_session_readv(session, &iov, 1), 0);
	vmig_session_close(session);
	vmig_device_close(dev);
	peer_stop(&p);
}

static void load_with(struct peer *p, const struct vmig_vfio_user_config *config, size_t len, size_t piece)
{
	uint8_t *data = pattern(len);
	struct vmig_session *session;
	struct vmig_device *dev;

	p->migration_flags = ALL;
	dev = peer_open(p, config);
	set_state(dev, VMIG_STATE_RESUMING, &session);
	ck_assert_ptr_nonnull(session);
	for (size_t done = 0; done < len; done += piece) {
		size_t part = len - done < piece ? len - done : piece;
		struct iovec iov[] = { { data + done, part / 4 },
				       { NULL, 0 },
				       { data + done + part / 4, part - part / 4 } };

		ck_assert_int_eq(vmig_session_writev(session, iov, 3), 0);
	}
	ck_assert_int_eq(vmig_session_flush(session), 0);
	set_state(dev, VMIG_STATE_STOP, NULL);
	vmig_session_close(session);
	vmig_device_close(dev);
	ck_assert_uint_eq(p->loaded_len, len);
	ck_assert_mem_eq(p->loaded, data, len);
	peer_stop(p);
	free(data);
}

TEST(loads)
{
	struct peer p;

	peer_init(&p);
	load_with(&p, NULL, (5u << 20) + 777, 1u << 20);
}

TEST(loads_into_a_server_of_small_messages)
{
	struct vmig_vfio_user_config config = { .max_write = 36520 };
	struct peer p;

	peer_init(&p);
	p.max_body = 36528;
	load_with(&p, &config, 1u << 20, 300000);
}

TEST(loads_with_segmented_replies)
{
	struct peer p;

	peer_init(&p);
	p.segments = harness_seed() | 1;
	load_with(&p, NULL, 200000, 999);
}

/* An earlier piece's error is told by a later call, and the device does not go on with half of its state. */
TEST(an_error_while_loading_is_not_lost)
{
	uint8_t *data = pattern(100000);
	struct vmig_session *session;
	struct vmig_device *dev;
	struct peer p;
	int r;

	peer_init(&p);
	p.migration_flags = ALL;
	p.max_body = 36528;
	dev = peer_open(&p, NULL);
	set_state(dev, VMIG_STATE_RESUMING, &session);
	r = vmig_session_writev(session, &(struct iovec){ data, 40000 }, 1);
	ck_assert(r == 0 || r == -E2BIG);
	ck_assert_int_eq(vmig_device_set_state(dev, VMIG_STATE_STOP, VMIG_STATE_NONE, NULL), -E2BIG);
	ck_assert_uint_eq(p.state, VMIG_STATE_RESUMING);
	ck_assert_int_eq(vmig_session_flush(session), -E2BIG);
	ck_assert_int_eq(vmig_session_writev(session, &(struct iovec){ data, 10 }, 1), -E2BIG);
	vmig_session_close(session);
	ck_assert_int_eq(vmig_device_set_state(dev, VMIG_STATE_RUNNING, VMIG_STATE_NONE, NULL), -E2BIG);
	ck_assert_int_eq(vmig_device_reset(dev), 0);
	set_state(dev, VMIG_STATE_STOP, NULL);
	vmig_device_close(dev);
	peer_stop(&p);
	free(data);
}

TEST(a_reset_that_leaves_resuming_is_said)
{
	struct vmig_session *session;
	struct vmig_device_info info;
	struct vmig_device *dev;
	struct vmig_error error;
	struct peer p;

	peer_init(&p);
	p.migration_flags = ALL;
	p.reset_keeps = true;
	dev = peer_open(&p, NULL);
	ck_assert_int_eq(vmig_device_reset(dev), 0);
	set_state(dev, VMIG_STATE_RESUMING, &session);
	ck_assert_int_eq(vmig_device_reset(dev), -EIO);
	vmig_device_query_error(dev, &error);
	ck_assert_ptr_nonnull(strstr(error.text, "RESUMING"));
	vmig_device_query_info(dev, &info);
	ck_assert_uint_ne(info.traits & VMIG_TRAIT_RESET_KEEPS_FSM, 0);
	vmig_session_close(session);
	vmig_device_close(dev);
	peer_stop(&p);
}

TEST(the_dma_log_is_put_over_the_callers_bits)
{
	struct vmig_range range = { 0x100000, 100 * 4096 };
	uint64_t page_size = 4096, bits[3] = { 2, 0, 7 };
	struct vmig_device *dev;
	struct peer p;

	peer_init(&p);
	p.migration_flags = ALL;
	dev = peer_open(&p, NULL);
	ck_assert_int_eq(vmig_device_dma_log_start(dev, &page_size, &range, 0), -EINVAL);
	ck_assert_uint_eq(p.log_page_size, 0);
	ck_assert_int_eq(vmig_device_dma_log_start(dev, &page_size, &range, 1), 0);
	ck_assert_uint_eq(p.log_page_size, 4096);
	ck_assert_int_eq(vmig_device_dma_log_report(dev, range.iova, range.length, page_size, bits), 0);
	ck_assert_uint_eq(bits[0], 0xa5a5a5a5a5a5a5a7);
	ck_assert_uint_eq(bits[1], 0xa5a5a5a5a5a5a5a5 & ((1ull << 36) - 1)); /* nothing behind page 100 */
	ck_assert_uint_eq(bits[2], 7);
	ck_assert_int_eq(vmig_device_dma_log_stop(dev), 0);
	vmig_device_close(dev);
	peer_stop(&p);
}

TEST(a_large_log_comes_in_parts)
{
	static const char tiny_bitmaps[] =
		"{\"capabilities\":{\"migration\":{\"pgsize\":4096,\"max_bitmap_size\":20}}}";
	uint64_t bits[8] = { 0 };
	struct vmig_device *dev;
	struct peer p;

	peer_init(&p);
	p.caps = tiny_bitmaps;
	p.migration_flags = ALL;
	dev = peer_open(&p, NULL);
	ck_assert_int_eq(vmig_device_dma_log_report(dev, 0, 500 * 4096, 4096, bits), 0);
	for (int i = 0; i < 7; i++)
		ck_assert_uint_eq(bits[i], 0xa5a5a5a5a5a5a5a5);
	ck_assert_uint_eq(bits[7], 0xa5a5a5a5a5a5a5a5 & ((1ull << 52) - 1));
	vmig_device_close(dev);
	peer_stop(&p);
}

/* 10 eventfds with a hole of 2, to a server that takes 3 in a message. */
TEST(interrupts_are_set_in_messages_that_fit)
{
	static const uint32_t want[][3] = { { 20, 3, 3 }, { 23, 2, 2 }, { 25, 2, 0 }, { 27, 3, 3 } };
	int fds[10], efd = eventfd(0, EFD_CLOEXEC);
	struct vmig_irq_set set = { .flags = VMIG_IRQ_DATA_EVENTFD | VMIG_IRQ_ACTION_TRIGGER,
				    .index = 2,
				    .start = 20,
				    .count = 10,
				    .fds = fds };
	struct vmig_device *dev;
	struct peer p;

	peer_init(&p);
	p.caps = small;
	dev = peer_open(&p, NULL);
	for (int i = 0; i < 10; i++)
		fds[i] = i == 5 || i == 6 ? -1 : efd;
	ck_assert_int_eq(vmig_device_set_irqs(dev, &set), 0);
	ck_assert_uint_eq(p.n_irq_calls, 4);
	ck_assert_mem_eq(p.irq_calls, want, sizeof(want));
	vmig_device_close(dev);
	peer_stop(&p);
	close(efd);
}

/* Two entries, one descriptor. */
static bool hook_doorbells(struct peer *p, struct peer_msg *m)
{
	uint8_t body[16 + 2 * 40] = { 0 };
	int efd;

	if (m->command != PEER_IO_FDS)
		return false;
	efd = eventfd(0, EFD_CLOEXEC);
	peer_put32(body, sizeof(body));
	peer_put32(body + 12, 2);
	for (unsigned int i = 0; i < 2; i++) {
		peer_put64(body + 16 + 40 * i, 0x100 + 4 * i);
		peer_put64(body + 24 + 40 * i, 4);
	}
	peer_message(p, m->id, m->command, 1, 0, body, sizeof(body), &efd, 1);
	close(efd);
	return true;
}

TEST(doorbells_may_share_a_descriptor)
{
	struct vmig_ioeventfd io[2];
	struct vmig_device *dev;
	eventfd_t count;
	struct peer p;

	peer_init(&p);
	p.hook = hook_doorbells;
	dev = peer_open(&p, NULL);
	ck_assert_int_eq(vmig_device_query_ioeventfds(dev, 0, io, 2), 2);
	ck_assert_uint_eq(io[1].offset, 0x104);
	ck_assert_int_eq(eventfd_write(io[0].fd, 3), 0);
	ck_assert_int_eq(eventfd_read(io[1].fd, &count), 0);
	ck_assert_uint_eq(count, 3);
	vmig_device_close(dev);
	peer_stop(&p);
}

TEST(a_server_without_doorbells)
{
	struct vmig_ioeventfd io[2];
	struct vmig_device *dev;
	struct peer p;

	peer_init(&p);
	dev = peer_open(&p, NULL);
	ck_assert_int_eq(vmig_device_query_ioeventfds(dev, 0, io, 2), 0);
	ck_assert_int_eq(vmig_device_query_ioeventfds(dev, 0, io, 2), 0);
	ck_assert_uint_eq(p.seen[PEER_IO_FDS], 1);
	vmig_device_close(dev);
	peer_stop(&p);
}

HARNESS("client", T(says_what_the_device_is), T(a_server_of_ours_says_more),
	T(plain_uses_nothing_experimental), T(a_device_that_does_not_migrate),
	T(regions_are_read_and_written_in_messages_that_fit), T(saves),
	T(saves_a_length_that_is_a_multiple_of_a_message), T(saves_nothing), T(saves_from_a_server_that_pads),
	T(saves_one_message_at_a_time), T(saves_in_random_segments), T(saves_into_changing_room),
	T(closes_with_replies_under_way), T(precopy_is_drained_by_a_short_read),
	T(drained_is_forgotten_in_stop_copy), T(the_end_is_seen_after_a_transition_that_failed), T(loads),
	T(loads_into_a_server_of_small_messages), T(loads_with_segmented_replies),
	T(an_error_while_loading_is_not_lost), T(a_reset_that_leaves_resuming_is_said),
	T(the_dma_log_is_put_over_the_callers_bits), T(a_large_log_comes_in_parts),
	T(interrupts_are_set_in_messages_that_fit), T(doorbells_may_share_a_descriptor),
	T(a_server_without_doorbells))
