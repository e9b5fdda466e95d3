/* SPDX-License-Identifier: BSD-3-Clause */
/* The migration stream against its specification, docs/stream.md. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "base/util.h"
#include "harness.h"
#include "made.h"
#include "wire/digest-xxh3.h"

/* --- golden vectors --- */

static uint32_t used(const struct vmig_cursor *c, size_t room)
{
	return (uint32_t)(room - c->left);
}

static struct vmig_uuid uuid(uint8_t first)
{
	struct vmig_uuid id;

	for (uint8_t i = 0; i < sizeof(id.bytes); i++)
		id.bytes[i] = (uint8_t)(first + i);
	return id;
}

/* One of each payload, in the order of golden.txt. */
static void make_golden(struct made *m)
{
	const struct vmig_hello hello = { .n_devices = 2, .flags = VMIG_HELLO_COPY, .max_data = 1 << 20 };
	const struct vmig_offer offer = {
		.migration_flags = 7,
		.traits = 0x101,
		.has = 5,
		.flags = VMIG_OFFER_RESET,
		.stop_copy_size = 0x1122334455667788,
		.identity = "pci:1b36:0f01/nic",
		.format = "v2",
		.name = "model:nic",
		.opaque_len = 3,
		.opaque = (const uint8_t *)"abc",
		.descriptor_len = 19,
		.descriptor = "{\"self\":[{\"a\":1}]}\n",
	};
	const struct vmig_device_end end = { .length = 5, .chain = 0x0102030405060708 };
	const struct vmig_user_piece piece = {
		.total = 10, .offset = 6, .len = 4, .bytes = (const uint8_t *)"conf"
	};
	const struct vmig_fin fin = { .n_devices = 2, .length = 0x100000000, .chain = 0x0a0b0c0d0e0f0001 };
	const struct vmig_abort reason = { .code = EIO, .text = "no", .text_len = 2 };
	const struct vmig_hello owned = { .n_devices = 2,
					  .flags = VMIG_HELLO_OWNED,
					  .max_data = 1 << 20,
					  .store = uuid(0x50),
					  .name = "host1/nic" };
	const struct vmig_ownership claim = { .device = uuid(0x60),
					      .owner = "host1/nic",
					      .peer = "host2/nic",
					      .epoch = 7,
					      .attempt = uuid(0x70),
					      .phase = VMIG_OWNER_OPEN,
					      .writer = uuid(0x80),
					      .instance = uuid(0x90) };
	uint8_t p[512];
	struct vmig_cursor c;

	made_begin(m);
	c = vmig_cursor_into(p, sizeof(p));
	vmig_hello_put(&c, &hello);
	made_add(m, VMIG_RECORD_HELLO, 0, VMIG_RECORD_ALL, p, used(&c, sizeof(p)));
	c = vmig_cursor_into(p, sizeof(p));
	vmig_offer_put(&c, &offer);
	made_add(m, VMIG_RECORD_OFFER, 0, 1, p, used(&c, sizeof(p)));
	made_add(m, VMIG_RECORD_ACCEPT, 0, VMIG_RECORD_ALL, NULL, 0);
	made_add(m, VMIG_RECORD_DATA, 0, 1, "hello", 5);
	c = vmig_cursor_into(p, sizeof(p));
	vmig_number_put(&c, 1);
	made_add(m, VMIG_RECORD_INITIAL, 0, VMIG_RECORD_ALL, p, used(&c, sizeof(p)));
	c = vmig_cursor_into(p, sizeof(p));
	vmig_device_end_put(&c, &end);
	made_add(m, VMIG_RECORD_DEVICE_END, 0, 1, p, used(&c, sizeof(p)));
	c = vmig_cursor_into(p, sizeof(p));
	vmig_user_piece_put(&c, &piece);
	made_add(m, VMIG_RECORD_USER_RECORD, 0, 0, p, used(&c, sizeof(p)));
	c = vmig_cursor_into(p, sizeof(p));
	vmig_fin_put(&c, &fin);
	made_add(m, VMIG_RECORD_FIN, 0, VMIG_RECORD_ALL, p, used(&c, sizeof(p)));
	c = vmig_cursor_into(p, sizeof(p));
	vmig_abort_put(&c, &reason);
	made_add(m, VMIG_RECORD_ABORT, 0, VMIG_RECORD_ALL, p, used(&c, sizeof(p)));
	c = vmig_cursor_into(p, sizeof(p));
	vmig_number_put(&c, 4096);
	made_add(m, VMIG_RECORD_PROGRESS, VMIG_RECORD_OPTIONAL, VMIG_RECORD_ALL, p, used(&c, sizeof(p)));
	made_add(m, VMIG_RECORD_DATA, VMIG_RECORD_TRAILER, 0, "world", 5);
	c = vmig_cursor_into(p, sizeof(p));
	vmig_hello_put(&c, &owned);
	made_add(m, VMIG_RECORD_HELLO, 0, VMIG_RECORD_ALL, p, used(&c, sizeof(p)));
	c = vmig_cursor_into(p, sizeof(p));
	vmig_claim_put(&c, &claim);
	made_add(m, VMIG_RECORD_CLAIM, 0, 1, p, used(&c, sizeof(p)));
	c = vmig_cursor_into(p, sizeof(p));
	vmig_committed_put(&c, 1000000);
	made_add(m, VMIG_RECORD_COMMITTED, 0, VMIG_RECORD_ALL, p, used(&c, sizeof(p)));
}

static size_t read_golden(uint8_t *to, size_t room)
{
	FILE *f = fopen(GOLDEN, "r");
	char line[256];
	size_t len = 0;

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f)) {
		char *at = line, *end;

		*strchrnul(line, '#') = '\0';
		for (unsigned long byte = strtoul(at, &end, 16); end != at;
		     at = end, byte = strtoul(at, &end, 16)) {
			ck_assert_uint_lt(len, room);
			to[len++] = (uint8_t)byte;
		}
	}
	fclose(f);
	return len;
}

TEST(bytes_are_those_of_the_golden_file)
{
	uint8_t golden[2048];
	size_t len = read_golden(golden, sizeof(golden));
	struct made m;

	make_golden(&m);
	for (size_t i = 0; i < MIN(len, m.len); i++)
		ck_assert_msg(golden[i] == m.bytes[i], "byte %zu is %02x, not %02x", i, m.bytes[i],
			      golden[i]);
	ck_assert_uint_eq(m.len, len);
	made_end(&m);
}

TEST(the_golden_file_is_accepted)
{
	uint8_t golden[2048];
	size_t len = read_golden(golden, sizeof(golden));
	unsigned int seed = harness_seed();
	struct taken t = made_take(golden, len, NULL, 0, &seed);

	ck_assert_msg(!t.code, "%s", t.error.text);
	ck_assert_uint_eq(t.n, 14);
	ck_assert(t.may_end);
}

/* The digest is XXH3-64 with seed 0: as the distribution's own library has it, for all lengths, in pieces of any size. */
TEST(digests_are_xxh3)
{
	static uint8_t data[70000];
	unsigned int seed = harness_seed();
	struct vmig_digest d;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)rand_r(&seed);
	ck_assert_uint_eq(vmig_digest_of(NULL, 0), 0x2d06800538d394c2);
	for (size_t len = 0; len < sizeof(data); len += 1 + len / 7) {
		uint64_t want = XXH3_64bits(data, len);

		ck_assert_uint_eq(vmig_digest_of(data, len), want);
		vmig_digest_start(&d);
		for (size_t at = 0, n; at < len; at += n) {
			n = (size_t)rand_r(&seed) % 5000;
			n = MIN(len - at, n);
			vmig_digest_add(&d, data + at, n);
		}
		ck_assert_uint_eq(vmig_digest_value(&d), want);
	}
}

#ifdef __x86_64__
/* All vector units that this machine has, not only the one that is chosen. */
TEST(digests_are_the_same_on_every_vector_unit)
{
	const struct vmig_digest_ops *others[] = {
		__builtin_cpu_supports("avx2") ? &vmig_digest_avx2 : NULL,
		__builtin_cpu_supports("avx512f") ? &vmig_digest_avx512 : NULL,
	};
	static uint8_t data[5000];
	unsigned int seed = harness_seed();

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)rand_r(&seed);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		for (size_t len = 0; others[i] && len < sizeof(data); len += 1 + len / 9)
			ck_assert_uint_eq(others[i]->of(data, len), vmig_digest_plain.of(data, len));
}
#endif

/* --- segmentation, truncation, damage --- */

static void make_any(struct made *m, unsigned int *seed)
{
	static uint8_t data[3000];

	made_begin(m);
	for (int i = 0; i < 40; i++) {
		uint32_t len = rand_r(seed) % 4 ? (uint32_t)rand_r(seed) % sizeof(data) : 0;
		uint16_t type = (uint16_t)(1 + (unsigned int)rand_r(seed) % (VMIG_RECORD_NR + 3));

		for (uint32_t j = 0; j < len; j++)
			data[j] = (uint8_t)rand_r(seed);
		made_add(m, type, type < VMIG_RECORD_NR ? 0 : VMIG_RECORD_OPTIONAL,
			 (uint32_t)rand_r(seed) % 5, data, len);
	}
}

TEST(segmentation_changes_nothing)
{
	static const size_t most[] = { 1, 2, 7, 47, 48, 49, 100, 5000 };
	unsigned int seed = harness_seed();

	for (int round = 0; round < 20; round++) {
		struct taken whole;
		struct made m;

		make_any(&m, &seed);
		whole = made_take(m.bytes, m.len, m.attempt, 0, &seed);
		ck_assert_msg(!whole.code, "%s", whole.error.text);
		ck_assert_uint_eq(whole.n_whole, 40);
		for (size_t i = 0; i < ARRAY_SIZE(most); i++) {
			struct taken t = made_take(m.bytes, m.len, NULL, most[i], &seed);

			ck_assert_int_eq(t.code, 0);
			ck_assert_uint_eq(t.n, whole.n);
			ck_assert_uint_eq(t.sum, whole.sum);
			ck_assert(t.may_end);
		}
		made_end(&m);
	}
}

TEST(a_stream_ends_only_between_records)
{
	unsigned int seed = harness_seed();
	struct made m;
	size_t ends = 0;

	make_golden(&m);
	for (size_t len = 0; len <= m.len; len++) {
		struct taken t = made_take(m.bytes, len, NULL, 0, &seed);

		ck_assert_int_eq(t.code, 0);
		ck_assert(!t.may_end || t.n == t.n_whole);
		ends += t.may_end;
	}
	ck_assert_uint_eq(ends, 1 + m.n);
	made_end(&m);
}

TEST(every_flipped_bit_is_seen)
{
	unsigned int seed = harness_seed();
	struct made m;

	make_golden(&m);
	for (size_t i = 0; i < m.len * 8; i++) {
		struct taken t;

		m.bytes[i / 8] ^= (uint8_t)(1u << (i % 8));
		t = made_take(m.bytes, m.len, NULL, 0, &seed);
		ck_assert_msg(t.code < 0, "bit %zu of byte %zu", i % 8, i / 8);
		ck_assert_msg(strlen(t.error.text) > 10, "no reason for byte %zu", i / 8);
		m.bytes[i / 8] ^= (uint8_t)(1u << (i % 8));
	}
	made_end(&m);
}

/* --- numbers, attempts, types, versions --- */

static int take_numbers(uint32_t a, uint32_t b, uint32_t c)
{
	unsigned int seed = harness_seed();
	struct taken t;
	struct made m;

	made_begin(&m);
	made_add_numbered(&m, VMIG_RECORD_READY, a, NULL, 0);
	made_add_numbered(&m, VMIG_RECORD_READY, b, NULL, 0);
	made_add_numbered(&m, VMIG_RECORD_READY, c, NULL, 0);
	t = made_take(m.bytes, m.len, NULL, 0, &seed);
	made_end(&m);
	return t.code;
}

TEST(lost_doubled_and_reordered_records_are_seen)
{
	ck_assert_int_eq(take_numbers(0, 1, 2), 0);
	ck_assert_int_eq(take_numbers(1, 2, 3), -EPROTO);
	ck_assert_int_eq(take_numbers(0, 2, 3), -EPROTO);
	ck_assert_int_eq(take_numbers(0, 0, 1), -EPROTO);
	ck_assert_int_eq(take_numbers(0, 2, 1), -EPROTO);
}

TEST(another_attempt_is_refused)
{
	unsigned int seed = harness_seed();
	uint8_t other[16] = { 1 };
	struct made m;

	made_begin(&m);
	made_add(&m, VMIG_RECORD_READY, 0, VMIG_RECORD_ALL, NULL, 0);
	ck_assert_int_eq(made_take(m.bytes, m.len, m.attempt, 0, &seed).code, 0);
	ck_assert_int_eq(made_take(m.bytes, m.len, other, 0, &seed).code, -EBADMSG);
	/* The head is right, and then a record of another attempt. */
	m.attempt[3] ^= 1;
	made_add(&m, VMIG_RECORD_READY, 0, VMIG_RECORD_ALL, NULL, 0);
	ck_assert_int_eq(made_take(m.bytes, m.len, NULL, 0, &seed).code, -EBADMSG);
	made_end(&m);
}

/* An end that failed before it heard from the other may say so, and only so. */
TEST(of_no_attempt_is_only_an_abort)
{
	static const uint8_t abort_text[] = { 0, 0, 0, 0, 0, 0, 0, 0 };
	static const uint16_t types[] = { VMIG_RECORD_ABORT, VMIG_RECORD_READY };
	unsigned int seed = harness_seed();
	uint8_t mine[16] = { 1 }, none[16] = { 0 };

	for (size_t i = 0; i < 2; i++) {
		struct made m;

		made_begin_as(&m, none);
		made_add(&m, types[i], 0, VMIG_RECORD_ALL, abort_text, i ? 0 : sizeof(abort_text));
		ck_assert_int_eq(made_take(m.bytes, m.len, mine, 0, &seed).code, i ? -EBADMSG : 0);
		made_end(&m);
	}
}

TEST(unknown_records_are_skipped_if_optional)
{
	unsigned int seed = harness_seed();
	struct taken t;
	struct made m;

	made_begin(&m);
	made_add(&m, 0x4000, VMIG_RECORD_OPTIONAL, 3, "later", 5);
	made_add(&m, VMIG_RECORD_READY, 0, VMIG_RECORD_ALL, NULL, 0);
	t = made_take(m.bytes, m.len, NULL, 0, &seed);
	ck_assert_int_eq(t.code, 0);
	ck_assert_uint_eq(t.n_whole, 2);
	made_add(&m, 0x4000, 0, 3, "later", 5);
	ck_assert_int_eq(made_take(m.bytes, m.len, NULL, 0, &seed).code, -EPROTO);
	made_end(&m);
}

static int take_version(uint16_t major, uint16_t minor)
{
	struct vmig_stream_head head = { .major = major, .minor = minor };
	uint8_t bytes[VMIG_STREAM_HEAD_LEN];
	unsigned int seed = harness_seed();

	vmig_stream_put_head(bytes, &head);
	return made_take(bytes, sizeof(bytes), NULL, 0, &seed).code;
}

TEST(a_later_minor_version_is_read_another_major_is_not)
{
	ck_assert_int_eq(take_version(VMIG_STREAM_MAJOR, 99), 0);
	ck_assert_int_eq(take_version(VMIG_STREAM_MAJOR + 1, 0), -EPROTONOSUPPORT);
	ck_assert_int_eq(take_version(0, 0), -EPROTONOSUPPORT);
}

/* --- limits --- */

static int take_length(uint16_t type, uint32_t length)
{
	struct vmig_record r = { .type = type, .flags = VMIG_RECORD_OPTIONAL, .length = length };
	uint8_t header[VMIG_STREAM_HEADER_LEN];
	unsigned int seed = harness_seed();
	struct taken t;
	struct made m;

	made_begin(&m);
	vmig_stream_put_header(header, &r, m.attempt);
	made_bytes(&m, header, sizeof(header));
	t = made_take(m.bytes, m.len, NULL, 0, &seed);
	made_end(&m);
	return t.code;
}

TEST(every_type_has_a_limit)
{
	for (uint16_t type = 1; type <= VMIG_RECORD_NR; type++) {
		uint32_t limit =
			type == VMIG_RECORD_DATA ? VMIG_LIMIT_RECORD_DATA : VMIG_LIMIT_RECORD_CONTROL;

		ck_assert_int_eq(take_length(type, limit - 1), 0);
		ck_assert_int_eq(take_length(type, limit), 0);
		ck_assert_int_eq(take_length(type, limit + 1), -E2BIG);
		ck_assert_int_eq(take_length(type, UINT32_MAX), -E2BIG);
	}
}

static int get_hello(uint32_t n_devices, uint32_t max_data)
{
	struct vmig_hello m = { .n_devices = n_devices, .max_data = max_data };
	uint8_t p[64];
	struct vmig_cursor c = vmig_cursor_into(p, sizeof(p));

	vmig_hello_put(&c, &m);
	c = vmig_cursor_over(p, sizeof(p) - c.left);
	return vmig_hello_get(&c, &m);
}

TEST(a_hello_has_1_to_256_devices)
{
	ck_assert_int_eq(get_hello(0, 1), -EBADMSG);
	ck_assert_int_eq(get_hello(1, 1), 0);
	ck_assert_int_eq(get_hello(VMIG_LIMIT_DEVICES - 1, 1), 0);
	ck_assert_int_eq(get_hello(VMIG_LIMIT_DEVICES, 1), 0);
	ck_assert_int_eq(get_hello(VMIG_LIMIT_DEVICES + 1, 1), -EBADMSG);
	ck_assert_int_eq(get_hello(1, 0), -EBADMSG);
}

/* An offer whose identity has @identity_len bytes, each @fill, and @opaque_len bytes of version data. */
static int get_offer(uint16_t identity_len, char fill, uint32_t opaque_len)
{
	static uint8_t p[8192];
	struct vmig_cursor c = vmig_cursor_into(p, sizeof(p));
	struct vmig_offer m;

	memset(p, fill, sizeof(p));
	for (int i = 0; i < 7; i++)
		vmig_cursor_put_u32(&c, 0);
	vmig_cursor_put_u16(&c, identity_len);
	c.at += identity_len;
	c.left -= identity_len;
	vmig_cursor_put_u16(&c, 0);
	vmig_cursor_put_u16(&c, 0);
	vmig_cursor_put_u32(&c, opaque_len);
	c = vmig_cursor_over(p, sizeof(p) - c.left + opaque_len);
	return vmig_offer_get(&c, &m);
}

TEST(an_offers_texts_are_bounded_and_printable)
{
	ck_assert_int_eq(get_offer(VMIG_OFFER_TEXT_MAX - 2, 'x', 0), 0);
	ck_assert_int_eq(get_offer(VMIG_OFFER_TEXT_MAX - 1, 'x', 0), 0);
	ck_assert_int_eq(get_offer(VMIG_OFFER_TEXT_MAX, 'x', 0), -EBADMSG);
	ck_assert_int_eq(get_offer(4, '\033', 0), -EBADMSG);
	ck_assert_int_eq(get_offer(4, '\0', 0), -EBADMSG);
	ck_assert_int_eq(get_offer(4, 'x', VMIG_OFFER_OPAQUE_MAX - 1), 0);
	ck_assert_int_eq(get_offer(4, 'x', VMIG_OFFER_OPAQUE_MAX), 0);
	ck_assert_int_eq(get_offer(4, 'x', VMIG_OFFER_OPAQUE_MAX + 1), -EBADMSG);
}

static int get_piece(uint32_t total, uint32_t offset, uint32_t len)
{
	static uint8_t p[VMIG_LIMIT_RECORD_CONTROL];
	struct vmig_cursor c = vmig_cursor_into(p, sizeof(p));
	struct vmig_user_piece m;

	vmig_cursor_put_u32(&c, total);
	vmig_cursor_put_u32(&c, offset);
	c = vmig_cursor_over(p, 8 + len);
	return vmig_user_piece_get(&c, &m);
}

TEST(a_piece_lies_within_its_record)
{
	ck_assert_int_eq(get_piece(VMIG_LIMIT_USER_RECORD - 1, 0, 4), 0);
	ck_assert_int_eq(get_piece(VMIG_LIMIT_USER_RECORD, 0, 4), 0);
	ck_assert_int_eq(get_piece(VMIG_LIMIT_USER_RECORD + 1, 0, 4), -EBADMSG);
	ck_assert_int_eq(get_piece(10, 6, 3), 0);
	ck_assert_int_eq(get_piece(10, 6, 4), 0);
	ck_assert_int_eq(get_piece(10, 6, 5), -EBADMSG);
	ck_assert_int_eq(get_piece(10, 11, 0), -EBADMSG);
	ck_assert_int_eq(get_piece(0, 0, 0), 0);
}

static int get_abort(uint32_t text_len)
{
	static uint8_t p[VMIG_REASON_MAX + 64];
	struct vmig_cursor c = vmig_cursor_into(p, sizeof(p));
	struct vmig_abort m;

	vmig_cursor_put_u32(&c, 5);
	vmig_cursor_put_u32(&c, text_len);
	c = vmig_cursor_over(p, 8 + MIN(text_len, VMIG_REASON_MAX + 8u));
	return vmig_abort_get(&c, &m);
}

/** An OFFER of @minor, with a descriptor of @len bytes. */
static int get_described(unsigned int minor, uint32_t len, struct vmig_offer *ret)
{
	static uint8_t p[VMIG_OFFER_DESCRIPTOR_MAX + 512];
	static char text[VMIG_OFFER_DESCRIPTOR_MAX + 1];
	const struct vmig_offer m = {
		.opaque_len = 3, .opaque = (const uint8_t *)"abc", .descriptor_len = len, .descriptor = text
	};
	struct vmig_cursor c = vmig_cursor_into(p, sizeof(p));
	size_t n;

	vmig_offer_put(&c, &m);
	ck_assert(vmig_cursor_ok(&c));
	n = sizeof(p) - c.left;
	c = vmig_cursor_over(p, minor ? n : n - 4);
	return vmig_offer_get(&c, ret);
}

TEST(an_offer_of_minor_version_0_has_no_descriptor)
{
	struct vmig_offer offer;

	ck_assert_int_eq(get_described(0, 0, &offer), 0);
	ck_assert_uint_eq(offer.opaque_len, 3);
	ck_assert_uint_eq(offer.descriptor_len, 0);
	ck_assert_int_eq(get_described(0, 1, &offer), -EBADMSG);
}

TEST(a_descriptor_is_bounded)
{
	struct vmig_offer offer;

	ck_assert_int_eq(get_described(1, VMIG_OFFER_DESCRIPTOR_MAX - 1, &offer), 0);
	ck_assert_int_eq(get_described(1, VMIG_OFFER_DESCRIPTOR_MAX, &offer), 0);
	ck_assert_uint_eq(offer.descriptor_len, VMIG_OFFER_DESCRIPTOR_MAX);
	ck_assert_int_eq(get_described(1, VMIG_OFFER_DESCRIPTOR_MAX + 1, &offer), -EBADMSG);
}

TEST(a_reason_is_bounded)
{
	ck_assert_int_eq(get_abort(VMIG_REASON_MAX - 1), 0);
	ck_assert_int_eq(get_abort(VMIG_REASON_MAX), 0);
	ck_assert_int_eq(get_abort(VMIG_REASON_MAX + 1), -EBADMSG);
	ck_assert_int_eq(get_abort(UINT32_MAX), -EBADMSG);
}

/* Every payload cut short at every byte is refused, and longer ones (of a later version) are taken. */
TEST(payloads_cut_short_are_refused)
{
	uint8_t p[64] = { 1, 0, 0, 0, 0, 0, 0, 0, 1 };
	struct vmig_device_end end;
	struct vmig_hello hello;
	struct vmig_fin fin;
	uint64_t number;

	for (size_t len = 0; len < sizeof(p); len++) {
		struct vmig_cursor a = vmig_cursor_over(p, len), b = a, c = a, d = a;

		ck_assert_int_eq(vmig_hello_get(&a, &hello), len < 12 ? -EBADMSG : 0);
		ck_assert_int_eq(vmig_device_end_get(&b, &end), len < 16 ? -EBADMSG : 0);
		ck_assert_int_eq(vmig_fin_get(&c, &fin), len < 20 ? -EBADMSG : 0);
		ck_assert_int_eq(vmig_number_get(&d, &number), len < 8 ? -EBADMSG : 0);
	}
}

HARNESS("stream", T(bytes_are_those_of_the_golden_file), T(the_golden_file_is_accepted), T(digests_are_xxh3),
#ifdef __x86_64__
	T(digests_are_the_same_on_every_vector_unit),
#endif

	T(segmentation_changes_nothing), T(a_stream_ends_only_between_records), T(every_flipped_bit_is_seen),
	T(lost_doubled_and_reordered_records_are_seen), T(another_attempt_is_refused),
	T(of_no_attempt_is_only_an_abort), T(unknown_records_are_skipped_if_optional),
	T(a_later_minor_version_is_read_another_major_is_not), T(every_type_has_a_limit),
	T(a_hello_has_1_to_256_devices), T(an_offers_texts_are_bounded_and_printable),
	T(a_piece_lies_within_its_record), T(an_offer_of_minor_version_0_has_no_descriptor),
	T(a_descriptor_is_bounded), T(a_reason_is_bounded), T(payloads_cut_short_are_refused))
