/* SPDX-License-Identifier: BSD-3-Clause */
/* The errors that were found in the reference server: one test each, which fails if ours has it. */
#include "harness.h"
#include "peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAGE 4096ull
#define IOVA 0x40000000ull
#define MIB  (1u << 20)

static int log_start(struct peer *p, uint64_t page_size, uint64_t length)
{
	struct bytes b = { 0 };

	put64(&b, page_size);
	put32(&b, 1);
	put32(&b, 0);
	put64(&b, IOVA);
	put64(&b, length);
	return peer_feature(p, (uint32_t)(8 + b.len), SET | 6, &b);
}

/* The dirty bits of [IOVA, IOVA + length) in pages of @page_size, up to 64 of them from @first on. */
static uint64_t report(struct peer *p, uint64_t length, uint64_t page_size, uint64_t first)
{
	struct bytes b = { 0 };

	put64(&b, IOVA);
	put64(&b, length);
	put64(&b, page_size);
	ck_assert_int_eq(peer_feature(p, 1u << 20, GET | 8, &b), 0);
	return peer_u64(p, 32 + 8 * (first / 64)) >> first % 64;
}

static void device_writes(struct peer *p, uint64_t iova)
{
	ck_assert_int_eq(peer_set_register(p, TOY_REG_ADDRESS, iova), 0);
	ck_assert_int_eq(peer_set_register(p, TOY_REG_LENGTH, 1), 0);
	ck_assert_int_eq(peer_set_register(p, TOY_REG_COMMAND, TOY_COMMAND_WRITE), 0);
	ck_assert_uint_eq(peer_register(p, TOY_REG_STATUS), 0);
}

static void start_logging(struct rig *rig, uint64_t page_size)
{
	uint8_t *mem;
	int fd = shared_memory(64 * PAGE, &mem);

	rig_start(rig, NULL);
	ck_assert_int_eq(peer_map(&rig->peer, 3, IOVA, 64 * PAGE, fd, 0), 0);
	munmap(mem, 64 * PAGE);
	close(fd);
	ck_assert_int_eq(log_start(&rig->peer, page_size, 64 * PAGE), 0);
}

/* REPORT with a page size finer than the logged one never ended. All of the logged page counts as written. */
TEST(libvfio_user_report_finer_than_logged)
{
	struct rig rig;

	start_logging(&rig, 4 * PAGE);
	device_writes(&rig.peer, IOVA + 6 * PAGE);
	ck_assert_uint_eq(report(&rig.peer, 64 * PAGE, PAGE, 0), 0xf0);
	ck_assert_int_eq(rig_end(&rig), 0);
}

/* With a coarser one bits were lost: those of all but the first logged page in each. */
TEST(libvfio_user_report_coarser_than_logged)
{
	struct rig rig;

	start_logging(&rig, PAGE);
	for (uint64_t page = 0; page < 64; page++) {
		device_writes(&rig.peer, IOVA + page * PAGE + 17);
		ck_assert_uint_eq(report(&rig.peer, 64 * PAGE, 16 * PAGE, 0), 1u << page / 16);
	}
	ck_assert_int_eq(rig_end(&rig), 0);
}

/* Payloads too short for their feature were read out of bounds. */
TEST(libvfio_user_short_device_feature)
{
	static const uint32_t flags[] = { GET | 1, GET | 2, SET | 2,  SET | 6,
					  GET | 8, GET | 9, SET | 12, PROBE | 1 };

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		struct bytes whole = { 0 };
		struct rig rig;

		rig_start(&rig, NULL);
		put32(&whole, 4096);
		put32(&whole, flags[i]);
		for (int k = 0; k < 4; k++)
			put64(&whole, 1);
		for (size_t len = 0; len < whole.len; len++) {
			struct bytes b = { 0 };
			int r;

			put(&b, whole.at, len);
			r = peer_call(&rig.peer, C_FEATURE, &b);
			if (len < 8)
				ck_assert_int_eq(r, -EINVAL);
			if (len < 16 &&
			    (flags[i] == (SET | 2) || flags[i] == (SET | 6) || flags[i] == (GET | 8)))
				ck_assert_int_eq(r, -EINVAL);
		}
		ck_assert_int_eq(rig_end(&rig), 0);
		bytes_done(&whole);
	}
}

/* DMA_UNMAP with a dirty bitmap (of v1 times) answered with memory that was never written. */
TEST(libvfio_user_unmap_with_bitmap)
{
	struct bytes b = { 0 };
	struct rig rig;

	rig_start(&rig, NULL);
	ck_assert_int_eq(peer_map(&rig.peer, 3, IOVA, PAGE, -1, 0), 0);
	put32(&b, 24 + 16 + 4096);
	put32(&b, 1);
	put64(&b, IOVA);
	put64(&b, PAGE);
	put64(&b, PAGE);
	put64(&b, 4096);
	ck_assert_int_eq(peer_call(&rig.peer, C_DMA_UNMAP, &b), -EOPNOTSUPP);
	ck_assert_int_eq(peer_unmap(&rig.peer, IOVA, PAGE), 0); /* it is still there */
	ck_assert_int_eq(rig_end(&rig), 0);
}

/* The first number behind the last state was taken for one. */
TEST(libvfio_user_state_bound)
{
	for (uint64_t features = 1; features < 8; features += 2) {
		struct toy_config config = { .features = features };
		struct rig rig;

		rig_start(&rig, &config);
		for (uint32_t state = 8; state < 40; state++)
			ck_assert_int_eq(peer_set_state(&rig.peer, state), -EINVAL);
		if (!(features & VMIG_MIGRATION_P2P))
			ck_assert_int_eq(peer_set_state(&rig.peer, VMIG_STATE_RUNNING_P2P), -EINVAL);
		if (!(features & VMIG_MIGRATION_PRE_COPY))
			ck_assert_int_eq(peer_set_state(&rig.peer, VMIG_STATE_PRE_COPY), -EINVAL);
		ck_assert_uint_eq(peer_state(&rig.peer), VMIG_STATE_RUNNING);
		ck_assert_int_eq(rig_end(&rig), 0);
	}
}

/* Limits that are negative, zero or more than 32 bits were accepted. */
TEST(libvfio_user_max_data_xfer_size)
{
	static const char *const bad[] = { "-1",  "0",        "4294967296", "9223372036854775807",
					   "1.5", "\"4096\"", "null" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char json[100];
		struct rig rig;

		snprintf(json, sizeof(json), "{\"capabilities\":{\"max_data_xfer_size\":%s}}", bad[i]);
		rig_make(&rig, NULL, NULL);
		rig_attach(&rig);
		ck_assert_msg(peer_hello(&rig.peer, json) == -EINVAL, "%s was accepted", bad[i]);
		ck_assert_int_eq(rig_detach(&rig), -EPROTO);
		rig_done(&rig);
	}
}

/* A header had to come in one piece. */
TEST(libvfio_user_header_in_pieces)
{
	for (size_t cut = 1; cut < 16; cut++) {
		struct bytes b = { 0 };
		struct rig rig;

		rig_start(&rig, NULL);
		peer_put(&b, 5, C_FEATURE, 0, "\x10\0\0\0\x02\0\x01\0", 8);
		peer_send_bytes(rig.peer.fd, b.at, cut, NULL, 0);
		/* The server has seen the first piece alone when another request can no longer come before it. */
		while (true) {
			int unread = 0;

			ck_assert_int_eq(ioctl(rig.served_fd, FIONREAD, &unread), 0);
			if (!unread)
				break;
			sched_yield();
		}
		peer_send_bytes(rig.peer.fd, b.at + cut, b.len - cut, NULL, 0);
		ck_assert(peer_recv(&rig.peer));
		ck_assert_uint_eq(rig.peer.in.id, 5);
		ck_assert_uint_eq(peer_u32(&rig.peer, 8), VMIG_STATE_RUNNING);
		ck_assert_int_eq(rig_end(&rig), 0);
		bytes_done(&b);
	}
}

/* Descriptors of a message that had too many of them were lost, and stayed open for ever. */
TEST(libvfio_user_descriptors_of_a_truncated_message)
{
	struct bytes b = { 0 };
	int fds[60], before;
	struct rig rig;

	for (int i = 0; i < 60; i++)
		fds[i] = STDERR_FILENO;
	rig_start(&rig, NULL);
	before = harness_count_fds();
	for (int n = 0; n <= 60; n++) {
		put32(&b, 20);
		put32(&b, 0x24);
		put32(&b, 2);
		put32(&b, 0);
		put32(&b, (uint32_t)n);
		if (n)
			ck_assert_int_eq(peer_call_fds(&rig.peer, C_SET_IRQS, &b, fds, n), -EINVAL);
		bytes_done(&b);
		peer_state(&rig.peer); /* the one before has been dealt with */
		ck_assert_int_eq(harness_count_fds(), before);
	}
	ck_assert_int_eq(rig_end(&rig), 0);
}

/* A MIG_DATA_WRITE above some 36 KB failed, and what was left of it was taken for the next command. */
TEST(libvfio_user_large_data_write)
{
	static const uint32_t sizes[] = { 36519, 36520, 36521, 40000, 65535, 65536, 65537, 500000, MIB };
	uint8_t *data = malloc(MIB);

	for (size_t i = 0; i < MIB; i++)
		data[i] = (uint8_t)(i * 5 + i / 300);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct toy_config config = { .state_size = sizes[i] };
		struct rig rig;

		rig_start(&rig, &config);
		ck_assert_int_eq(peer_mig_write(&rig.peer, data, sizes[i]),
				 -EINVAL); /* out of state: in step as well */
		ck_assert_int_eq(peer_set_state(&rig.peer, VMIG_STATE_RESUMING), 0);
		ck_assert_int_eq(peer_mig_write(&rig.peer, data, sizes[i]), 0);
		ck_assert_int_eq(peer_set_state(&rig.peer, VMIG_STATE_STOP), 0);
		ck_assert_mem_eq(toy_state(rig.toy), data, sizes[i]);
		ck_assert_int_eq(rig_end(&rig), 0);
	}
	free(data);
}

/* RESET left the state machine where it was. */
TEST(libvfio_user_reset_of_the_state_machine)
{
	static const uint32_t states[] = { VMIG_STATE_STOP,     VMIG_STATE_STOP_COPY,
					   VMIG_STATE_RESUMING, VMIG_STATE_RUNNING_P2P,
					   VMIG_STATE_PRE_COPY, VMIG_STATE_PRE_COPY_P2P };

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		struct rig rig;

		rig_start(&rig, NULL);
		ck_assert_int_eq(peer_set_state(&rig.peer, states[i]), 0);
		ck_assert_int_eq(peer_call(&rig.peer, C_RESET, NULL), 0);
		ck_assert_uint_eq(peer_state(&rig.peer), VMIG_STATE_RUNNING);
		ck_assert_int_eq(peer_mig_read(&rig.peer, 8), -EINVAL);
		ck_assert_int_eq(rig_end(&rig), 0);
	}
}

HARNESS("server-libvfio-user", T(libvfio_user_report_finer_than_logged),
	T(libvfio_user_report_coarser_than_logged), T(libvfio_user_short_device_feature),
	T(libvfio_user_unmap_with_bitmap), T(libvfio_user_state_bound), T(libvfio_user_max_data_xfer_size),
	T(libvfio_user_header_in_pieces), T(libvfio_user_descriptors_of_a_truncated_message),
	T(libvfio_user_large_data_write), T(libvfio_user_reset_of_the_state_machine))
