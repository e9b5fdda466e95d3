/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <errno.h>
#include <string.h>

#include <vmig/uuid.h>

TEST(text_and_back)
{
	static const char text[] = "0123abcd-4567-489a-bcde-f00112233445";
	struct vmig_uuid uuid, other;
	char out[VMIG_UUID_TEXT_MAX];

	ck_assert_int_eq(vmig_uuid_parse(text, &uuid), 0);
	ck_assert_int_eq(uuid.bytes[0], 0x01);
	ck_assert_int_eq(uuid.bytes[15], 0x45);
	ck_assert_str_eq(vmig_uuid_text(&uuid, out), text);
	ck_assert_int_eq(vmig_uuid_parse("0123ABCD-4567-489A-BCDE-F00112233445", &other), 0);
	ck_assert(vmig_uuid_equal(&uuid, &other));
}

TEST(what_is_no_uuid)
{
	static const char good[] = "0123abcd-4567-489a-bcde-f00112233445";
	struct vmig_uuid uuid = { { 7 } };
	char bad[sizeof(good) + 1];

	for (size_t len = 0; len < sizeof(good) - 1; len++) {
		memcpy(bad, good, len);
		bad[len] = '\0';
		ck_assert_int_eq(vmig_uuid_parse(bad, &uuid), -EINVAL);
		memcpy(bad, good, sizeof(good));
		bad[len] = good[len] == '-' ? '0' : 'g';
		ck_assert_int_eq(vmig_uuid_parse(bad, &uuid), -EINVAL);
	}
	memcpy(bad, good, sizeof(good));
	strcat(bad, "0");
	ck_assert_int_eq(vmig_uuid_parse(bad, &uuid), -EINVAL);
	ck_assert_int_eq(uuid.bytes[0], 7);
}

TEST(new_ones_differ)
{
	struct vmig_uuid a, b;

	vmig_uuid_new(&a);
	vmig_uuid_new(&b);
	ck_assert(!vmig_uuid_equal(&a, &b));
	ck_assert(!vmig_uuid_is_none(&a));
	ck_assert_int_eq(a.bytes[6] >> 4, 4);
	ck_assert_int_eq(a.bytes[8] >> 6, 2);
}

TEST(none_is_all_zero)
{
	struct vmig_uuid uuid = { { 0 } };

	ck_assert(vmig_uuid_is_none(&uuid));
	uuid.bytes[15] = 1;
	ck_assert(!vmig_uuid_is_none(&uuid));
}

HARNESS("uuid", T(text_and_back), T(what_is_no_uuid), T(new_ones_differ), T(none_is_all_zero))
