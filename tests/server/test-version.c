/* SPDX-License-Identifier: BSD-3-Clause */
/* VERSION: what is answered to what is proposed; and commands that are nobody's. */
#include "harness.h"
#include "peer.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

static void hello(struct rig *rig, const struct vmig_server_config *config, uint16_t major, uint16_t minor,
		  const char *json)
{
	struct bytes b = { 0 };

	rig_make(rig, NULL, config);
	rig_attach(rig);
	put16(&b, major);
	put16(&b, minor);
	if (json)
		put(&b, json, strlen(json) + 1);
	peer_send(&rig->peer, C_VERSION, 0, &b, NULL, 0);
	ck_assert(peer_recv(&rig->peer));
}

static bool answered(const struct rig *rig, const char *word)
{
	ck_assert_uint_eq(rig->peer.in.flags, F_REPLY);
	ck_assert_int_eq(rig->peer.in.body.at[rig->peer.in.body.len - 1], 0);
	return strstr((const char *)rig->peer.in.body.at + 4, word) != NULL;
}

TEST(an_empty_proposal_gets_an_empty_offer)
{
	static const char *const words[] = { "max_msg_fds", "max_data_xfer_size", "max_dma_maps", "pgsizes",
					     "twin_socket", "write_multiple",     "migration",    "x-vmig" };
	struct rig rig;

	hello(&rig, NULL, 0, 0, NULL);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		ck_assert_msg(!answered(&rig, words[i]), "%s was offered, and not proposed", words[i]);
	ck_assert_int_eq(rig_end(&rig), 0);
}

TEST(what_is_proposed_is_offered)
{
	struct rig rig;

	hello(&rig, NULL, 0, 0,
	      "{\"capabilities\":{\"max_msg_fds\":8,\"max_data_xfer_size\":65536,\"max_dma_maps\":100,"
	      "\"pgsizes\":4096,\"write_multiple\":true,\"migration\":{\"pgsize\":4096,\"max_bitmap_size\":"
	      "4096},"
	      "\"x-vmig\":{\"precopy_info\":true}}}");
	ck_assert(answered(&rig, "\"max_msg_fds\":8"));
	ck_assert(answered(&rig, "\"max_data_xfer_size\":65536"));
	ck_assert(answered(&rig, "\"max_dma_maps\":100"));
	ck_assert(answered(&rig, "\"write_multiple\":true"));
	ck_assert(answered(&rig, "\"max_bitmap_size\":4096"));
	ck_assert(answered(&rig, "\"precopy_info\":true"));
	ck_assert(!answered(&rig, "device_info"));
	ck_assert(!answered(&rig, "twin_socket"));
	ck_assert_int_eq(rig_end(&rig), 0);
}

TEST(a_plain_server_offers_nothing_experimental)
{
	struct vmig_server_config plain = { .plain = 1 };
	struct rig rig;

	hello(&rig, &plain, 0, 0, HELLO_X);
	ck_assert(!answered(&rig, "x-vmig"));
	ck_assert_int_eq(rig_end(&rig), 0);
}

TEST(experimental_commands_do_not_exist_without_agreement)
{
	struct bytes b = { 0 };
	struct rig rig;

	rig_start(&rig, NULL);
	put32(&b, 4096);
	put32(&b, 0);
	ck_assert_int_eq(peer_call(&rig.peer, C_IDENTITY, &b), -ENOSYS);
	put32(&b, 24);
	put32(&b, 0);
	ck_assert_int_eq(peer_call(&rig.peer, C_PRECOPY_INFO, &b), -ENOSYS);
	ck_assert_int_eq(rig_end(&rig), 0);
}

TEST(identity_says_what_the_device_is)
{
	struct bytes b = { 0 };
	struct rig rig;

	hello(&rig, NULL, 0, 0, HELLO_X);
	put32(&b, 200);
	put32(&b, 0);
	ck_assert_int_eq(peer_call(&rig.peer, C_IDENTITY, &b), 0);
	ck_assert_str_eq((char *)rig.peer.in.body.at + 16, "pci:1af4:7e57/toy");
	ck_assert_uint_eq(peer_u32(&rig.peer, 0), rig.peer.in.body.len);
	ck_assert(peer_u32(&rig.peer, 4) & VMIG_TRAIT_LENDS);
	ck_assert_uint_eq(peer_u64(&rig.peer, 8), VMIG_HAS_PRECOPY_INFO | VMIG_HAS_REINIT |
							  VMIG_HAS_STOP_COPY_SIZE | VMIG_HAS_DMA_LOG);
	put32(&b, 20); /* too little room for the string */
	put32(&b, 0);
	ck_assert_int_eq(peer_call(&rig.peer, C_IDENTITY, &b), -EINVAL);
	ck_assert_int_eq(rig_end(&rig), 0);
}

/* A server that takes less than the default must say so, even to a client that named no size. */
TEST(a_smaller_limit_is_said_and_kept)
{
	struct vmig_server_config small = { .max_data_xfer_size = 4096 };
	static uint8_t data[4097];
	struct rig rig;

	hello(&rig, &small, 0, 0, NULL);
	ck_assert(answered(&rig, "\"max_data_xfer_size\":4096"));
	ck_assert_int_eq(peer_region_read(&rig.peer, TOY_BUFFER, 0, data, 4095), 0);
	ck_assert_int_eq(peer_region_read(&rig.peer, TOY_BUFFER, 0, data, 4096), 0);
	ck_assert_int_eq(peer_region_read(&rig.peer, TOY_BUFFER, 0, data, 4097), -E2BIG);
	ck_assert_int_eq(peer_region_write(&rig.peer, TOY_BUFFER, 0, data, 4096), 0);
	/* A larger message than was agreed on is not even received. */
	ck_assert_int_eq(peer_region_write(&rig.peer, TOY_BUFFER, 0, data, 4097), -ECONNRESET);
	ck_assert_int_eq(rig_join(&rig), -E2BIG);
	rig_done(&rig);
}

/* What a client can take is not the most that it may ask for: libvfio-user's clients go beyond it. */
TEST(a_client_may_ask_for_more_than_it_takes_unasked)
{
	static uint8_t data[12288];
	struct rig rig;

	hello(&rig, NULL, 0, 0, "{\"capabilities\":{\"max_data_xfer_size\":1024}}");
	ck_assert(answered(&rig, "\"max_data_xfer_size\":1024"));
	ck_assert_int_eq(peer_region_read(&rig.peer, TOY_BUFFER, 0, data, sizeof(data)), 0);
	ck_assert_int_eq(peer_region_write(&rig.peer, TOY_BUFFER, 0, data, sizeof(data)), 0);
	ck_assert_int_eq(rig_end(&rig), 0);
}

TEST(a_newer_minor_is_answered_with_ours)
{
	struct rig rig;

	hello(&rig, NULL, 0, 2, NULL);
	ck_assert_uint_eq(peer_u32(&rig.peer, 0), 0);
	ck_assert_int_eq(rig_end(&rig), 0);
}

static void refused(uint16_t major, const char *json)
{
	struct rig rig;

	hello(&rig, NULL, major, 0, json);
	ck_assert_msg(rig.peer.in.flags & F_ERROR, "%u %s was accepted", major, json);
	ck_assert_uint_eq(rig.peer.in.error, EINVAL);
	ck_assert_msg(!peer_recv(&rig.peer), "the connection was kept");
	ck_assert_int_eq(rig_join(&rig), -EPROTO);
	rig_done(&rig);
}

TEST(bad_versions_close)
{
	refused(1, NULL);
	refused(0, "nonsense");
	refused(0, "{\"capabilities\":{\"pgsizes\":512}}");
	refused(0, "{\"capabilities\":{\"max_msg_fds\":-1}}");
}

TEST(only_once)
{
	struct rig rig;

	rig_start(&rig, NULL);
	ck_assert_int_eq(peer_hello(&rig.peer, HELLO), -EINVAL);
	ck_assert_uint_eq(peer_state(&rig.peer), VMIG_STATE_RUNNING);
	ck_assert_int_eq(rig_end(&rig), 0);
}

TEST(nothing_goes_before_it)
{
	struct rig rig;

	rig_make(&rig, NULL, NULL);
	rig_attach(&rig);
	peer_send(&rig.peer, C_RESET, 0, NULL, NULL, 0);
	ck_assert(!peer_recv(&rig.peer));
	ck_assert_int_eq(rig_join(&rig), -EPROTO);
	rig_done(&rig);
}

TEST(unknown_commands_leave_the_stream_in_step)
{
	static const uint16_t unknown[] = { 0, C_DMA_READ, C_DMA_WRITE, C_DIRTY_PAGES, 19, 0x7600, 0xffff };
	struct rig rig;

	rig_start(&rig, NULL);
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		struct bytes b = { 0 };

		put64(&b, 0);
		put64(&b, 0);
		ck_assert_msg(peer_call(&rig.peer, unknown[i], &b) == -ENOSYS, "command %u", unknown[i]);
	}
	ck_assert_uint_eq(peer_state(&rig.peer), VMIG_STATE_RUNNING);
	ck_assert_int_eq(rig_end(&rig), 0);
}

TEST(bad_sizes_close)
{
	static const uint32_t sizes[] = { 0, 15, 16 + 65536 + 1, UINT32_MAX };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct bytes b = { 0 };
		struct rig rig;

		rig_start(&rig, NULL);
		put16(&b, 9);
		put16(&b, 99); /* unknown: up to 64 KiB are skipped */
		put32(&b, sizes[i]);
		put64(&b, 0);
		peer_send_bytes(rig.peer.fd, b.at, b.len, NULL, 0);
		ck_assert_msg(!peer_recv(&rig.peer), "size %u was taken", sizes[i]);
		ck_assert_int_lt(rig_join(&rig), 0);
		rig_done(&rig);
		bytes_done(&b);
	}
}

HARNESS("server-version", T(an_empty_proposal_gets_an_empty_offer), T(what_is_proposed_is_offered),
	T(a_plain_server_offers_nothing_experimental),
	T(experimental_commands_do_not_exist_without_agreement), T(identity_says_what_the_device_is),
	T(a_smaller_limit_is_said_and_kept), T(a_client_may_ask_for_more_than_it_takes_unasked),
	T(a_newer_minor_is_answered_with_ours), T(bad_versions_close), T(only_once),
	T(nothing_goes_before_it), T(unknown_commands_leave_the_stream_in_step), T(bad_sizes_close))
