/* SPDX-License-Identifier: BSD-3-Clause */
/* VERSION's JSON, as a peer that means no good would write it. */
#include "harness.h"

#include <stdio.h>
#include <string.h>

#include "wire/vfio_user.h"

/* Decode VERSION 0.0 with these @len bytes behind the numbers, in memory of exactly that size. */
static int decode_bytes(const void *text, size_t len, struct vmig_vu_version *ret)
{
	uint8_t *bytes = calloc(1, 4 + len);
	struct vmig_cursor c = vmig_cursor_over(bytes, 4 + len);
	int r;

	ck_assert_ptr_nonnull(bytes);
	memcpy(bytes + 4, text, len);
	r = vmig_vu_version_decode(&c, ret);
	free(bytes);
	return r;
}

static int decode(const char *text, struct vmig_vu_version *ret)
{
	return decode_bytes(text, strlen(text) + 1, ret);
}

static int decode_caps(const char *members, struct vmig_vu_version *ret)
{
	char text[512];

	ck_assert_int_lt(snprintf(text, sizeof(text), "{\"capabilities\":{%s}}", members), (int)sizeof(text));
	return decode(text, ret);
}

TEST(what_is_not_said_has_the_protocols_default)
{
	static const char *const silent[] = {
		"", "{}", "{\"capabilities\":{}}", " { } ",
		"{\"capabilities\":{\"unknown\":[1,{\"max_msg_fds\":-1}]},\"other\":null}"
	};

	for (size_t i = 0; i < ARRAY_SIZE(silent); i++) {
		struct vmig_vu_version v;

		ck_assert_msg(!decode(silent[i], &v), "%s", silent[i]);
		ck_assert_uint_eq(v.caps.present, 0);
		ck_assert_uint_eq(v.caps.max_msg_fds, 1);
		ck_assert_uint_eq(v.caps.max_data_xfer_size, 1048576);
		ck_assert_uint_eq(v.caps.max_dma_maps, 65535);
		ck_assert_uint_eq(v.caps.pgsizes, 4096);
		ck_assert(!v.caps.twin_socket && !v.caps.write_multiple && !v.caps.precopy_info &&
			  !v.caps.device_info);
	}
}

TEST(wrong_members_are_refused)
{
	static const char *const wrong[] = {
		/* A number that is negative, nothing, too large for its field or for any, or no whole number. */
		"\"max_data_xfer_size\":-1",
		"\"max_data_xfer_size\":-9223372036854775808",
		"\"max_data_xfer_size\":0",
		"\"max_data_xfer_size\":4294967296",
		"\"max_data_xfer_size\":18446744073709551616",
		"\"max_data_xfer_size\":1048576.0",
		"\"max_data_xfer_size\":1e6",
		"\"max_data_xfer_size\":\"1048576\"",
		"\"max_data_xfer_size\":null",
		"\"max_data_xfer_size\":[1]",
		"\"max_msg_fds\":-1",
		"\"max_msg_fds\":4294967296",
		"\"max_msg_fds\":true",
		"\"max_dma_maps\":-1",
		"\"max_dma_maps\":4294967296",
		"\"pgsizes\":0",
		"\"pgsizes\":-4096",
		"\"pgsizes\":9223372036854775808",
		/* Objects and booleans that are none. */
		"\"write_multiple\":1",
		"\"twin_socket\":true",
		"\"twin_socket\":{\"supported\":1}",
		"\"twin_socket\":{\"supported\":true,\"fd_index\":-1}",
		"\"twin_socket\":{\"supported\":true,\"fd_index\":4294967296}",
		"\"twin_socket\":{\"supported\":true,\"fd_index\":\"0\"}",
		"\"migration\":[]",
		"\"migration\":{\"pgsize\":0}",
		"\"migration\":{\"pgsize\":-1}",
		"\"migration\":{\"max_bitmap_size\":0}",
		"\"x-vmig\":true",
		"\"x-vmig\":{\"precopy_info\":1}",
		"\"x-vmig\":{\"device_info\":\"true\"}",
		/* Said twice: which one counts? */
		"\"max_msg_fds\":1,\"max_msg_fds\":2",
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct vmig_vu_version v = { .major = 77 };
		int r = decode_caps(wrong[i], &v);

		ck_assert_msg(r == -EPROTO, "%s: %d", wrong[i], r);
		ck_assert_uint_eq(v.major, 77); /* only set on success */
	}
}

TEST(wrong_texts_are_refused)
{
	static const char *const wrong[] = {
		"null",
		"[]",
		"1",
		"\"capabilities\"",
		"{",
		"}",
		"{\"capabilities\":",
		"{} {}",
		"{}x",
		"[[[[",
		" ",
		"{\"capabilities\":null}",
		"{\"capabilities\":[]}",
		"{\"capabilities\":{}",
		"{'capabilities':{}}",
		"{\"capabilities\":{},\"capabilities\":{}}",
		"{\"\\u0000\":1}",
		"{\"\xff\":1}",
		"{\"a\":\"\\ud800\"}",
		"{\"a\":1e999}",
		"\xef\xbb\xbf{}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct vmig_vu_version v;
		int r = decode(wrong[i], &v);

		ck_assert_msg(r == -EPROTO, "%s: %d", wrong[i], r);
	}
}

TEST(the_text_ends_with_its_nul_and_there)
{
	struct vmig_vu_version v;

	ck_assert_int_eq(decode_bytes("{}", 3, &v), 0);
	ck_assert_int_eq(decode_bytes("{}", 2, &v), -EPROTO);
	ck_assert_int_eq(decode_bytes("{", 1, &v), -EPROTO);
	ck_assert_int_eq(decode_bytes("{}\0", 4, &v), -EPROTO);
	ck_assert_int_eq(decode_bytes("{}\0{}", 6, &v), -EPROTO);
	ck_assert_int_eq(decode_bytes("\0{}", 4, &v), -EPROTO);
	ck_assert_int_eq(decode_bytes("", 0, &v), 0);
	ck_assert_int_eq(decode_bytes("", 1, &v), 0);
}

TEST(depth_and_length_are_bounded)
{
	char text[VMIG_LIMIT_VERSION_JSON + 2];
	struct vmig_vu_version v;

	for (size_t len = VMIG_LIMIT_VERSION_JSON - 1; len <= VMIG_LIMIT_VERSION_JSON + 1; len++) {
		memset(text, ' ', sizeof(text));
		memcpy(text, "{}", 2);
		text[len - 1] = '\0';
		ck_assert_int_eq(decode_bytes(text, len, &v), len <= VMIG_LIMIT_VERSION_JSON ? 0 : -E2BIG);
	}
	memset(text, '[', sizeof(text));
	text[VMIG_LIMIT_VERSION_JSON - 1] = '\0';
	ck_assert_int_eq(decode_bytes(text, VMIG_LIMIT_VERSION_JSON, &v), -EPROTO);
}

/* A number over our limit is a wish that is cut; one over its 32 bits is a mistake. */
static void cut_to(const char *key, uint32_t limit, size_t offset)
{
	static const struct {
		int64_t above; /* the limit */
		bool cut;
	} at[] = { { -1, false }, { 0, false }, { 1, true } };

	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		int64_t asked = (int64_t)limit + at[i].above;
		struct vmig_vu_version v;
		char member[64];
		uint32_t got;

		snprintf(member, sizeof(member), "\"%s\":%lld", key, (long long)asked);
		ck_assert_int_eq(decode_caps(member, &v), 0);
		memcpy(&got, (char *)&v.caps + offset, sizeof(got));
		ck_assert_msg(got == (at[i].cut ? limit : asked), "%s: %u", member, got);
	}
}

TEST(wishes_are_cut_to_our_limits)
{
	struct vmig_vu_version v;

	cut_to("max_msg_fds", VMIG_LIMIT_MSG_FDS, offsetof(struct vmig_vu_caps, max_msg_fds));
	cut_to("max_data_xfer_size", VMIG_LIMIT_XFER, offsetof(struct vmig_vu_caps, max_data_xfer_size));
	cut_to("max_dma_maps", VMIG_LIMIT_DMA_MAPS, offsetof(struct vmig_vu_caps, max_dma_maps));
	ck_assert_int_eq(decode_caps("\"max_data_xfer_size\":4294967295,\"max_msg_fds\":0", &v), 0);
	ck_assert_uint_eq(v.caps.max_data_xfer_size, VMIG_LIMIT_XFER);
	ck_assert_uint_eq(v.caps.max_msg_fds, 0); /* a peer that takes none */
	ck_assert_int_eq(decode_caps("\"max_data_xfer_size\":1", &v), 0);
	ck_assert_uint_eq(v.caps.max_data_xfer_size, 1);
}

TEST(a_reply_names_only_what_is_present)
{
	for (uint32_t bit = 0; bit < 23; bit++) {
		struct vmig_vu_version v = { .caps = vmig_vu_caps_default }, back;
		uint8_t room[VMIG_VU_VERSION_MAX];
		struct vmig_cursor c = vmig_cursor_into(room, sizeof(room)), in;

		v.caps.twin_socket = v.caps.write_multiple = v.caps.precopy_info = v.caps.device_info = true;
		v.caps.compat = v.caps.tag = v.caps.take = true;
		v.caps.present = 1u << bit;
		if (bit >= 10 && !(v.caps.present & VMIG_VU_CAP_X_VMIG))
			continue;
		ck_assert_int_eq(vmig_vu_version_encode(&c, &v), 0);
		in = vmig_cursor_over(room, sizeof(room) - c.left);
		ck_assert_int_eq(vmig_vu_version_decode(&in, &back), 0);
		ck_assert_uint_eq(back.caps.present, v.caps.present);
	}
}

HARNESS("vfio-user-json", T(what_is_not_said_has_the_protocols_default), T(wrong_members_are_refused),
	T(wrong_texts_are_refused), T(the_text_ends_with_its_nul_and_there), T(depth_and_length_are_bounded),
	T(wishes_are_cut_to_our_limits), T(a_reply_names_only_what_is_present))
