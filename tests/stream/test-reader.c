/* SPDX-License-Identifier: BSD-3-Clause */
/* A small stream, made by hand from the encoders, and everything that can be wrong with it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vmig/stream.h>

#include "harness.h"
#include "wire/stream.h"

static const uint8_t attempt[16] = { 1, 2, 3, 4 };

struct made {
	uint8_t bytes[4096];
	size_t len;
	uint32_t n;
};

static void add(struct made *m, uint16_t type, uint32_t device, const void *payload, uint32_t len)
{
	struct vmig_record r = { .type = type, .device = device, .length = len, .number = m->n++ };

	r.digest = vmig_digest_of(payload, len);
	vmig_stream_put_header(m->bytes + m->len, &r, attempt);
	memcpy(m->bytes + m->len + VMIG_STREAM_HEADER_LEN, payload, len);
	m->len += VMIG_STREAM_HEADER_LEN + len;
}

static uint32_t used(const struct vmig_cursor *c, size_t room)
{
	return (uint32_t)(room - c->left);
}

static void add_control(struct made *m, uint16_t type, uint32_t device, const void *value)
{
	uint8_t payload[512];
	struct vmig_cursor c = vmig_cursor_into(payload, sizeof(payload));

	if (type == VMIG_RECORD_HELLO)
		vmig_hello_put(&c, value);
	else if (type == VMIG_RECORD_OFFER)
		vmig_offer_put(&c, value);
	else if (type == VMIG_RECORD_DEVICE_END)
		vmig_device_end_put(&c, value);
	else
		vmig_fin_put(&c, value);
	add(m, type, device, payload, used(&c, sizeof(payload)));
}

/* Two devices; the first has two pieces of data, "abc" and "de", the second "xyz". */
static void make(struct made *m)
{
	struct vmig_stream_head head = { .major = VMIG_STREAM_MAJOR, .minor = VMIG_STREAM_MINOR };
	struct vmig_hello hello = { .n_devices = 2, .max_data = 1024 };
	struct vmig_offer offer = {
		.migration_flags = 1, .identity = "nic", .format = "v2", .name = "model:nic"
	};
	struct vmig_device_end a = { .length = 5 }, b = { .length = 3 };
	struct vmig_fin fin = { .n_devices = 2, .length = 8 };

	memset(m, 0, sizeof(*m));
	memcpy(head.attempt, attempt, 16);
	vmig_stream_put_head(m->bytes, &head);
	m->len = VMIG_STREAM_HEAD_LEN;
	add_control(m, VMIG_RECORD_HELLO, VMIG_RECORD_ALL, &hello);
	add_control(m, VMIG_RECORD_OFFER, 0, &offer);
	add_control(m, VMIG_RECORD_OFFER, 1, &offer);
	add(m, VMIG_RECORD_DATA, 0, "abc", 3);
	add(m, VMIG_RECORD_DATA, 1, "xyz", 3);
	add(m, VMIG_RECORD_DATA, 0, "de", 2);
	a.chain = vmig_digest_chain(vmig_digest_chain(0, 3, vmig_digest_of("abc", 3)), 2,
				    vmig_digest_of("de", 2));
	b.chain = vmig_digest_chain(0, 3, vmig_digest_of("xyz", 3));
	add_control(m, VMIG_RECORD_DEVICE_END, 0, &a);
	add_control(m, VMIG_RECORD_DEVICE_END, 1, &b);
	fin.chain = vmig_digest_chain(vmig_digest_chain(0, 5, a.chain), 3, b.chain);
	add_control(m, VMIG_RECORD_FIN, VMIG_RECORD_ALL, &fin);
	add(m, VMIG_RECORD_PROMISE, VMIG_RECORD_ALL, "", 0);
}

/* Read all of it: the number of records, or the error. */
static int read_all(const struct made *m, struct vmig_error *ret_error)
{
	struct vmig_stream_reader *reader;
	struct vmig_stream_record record;
	struct vmig_channel *channel;
	struct vmig_error error = { 0 };
	int pipes[2], n = 0, r;
	char path[64];

	ck_assert_int_eq(pipe(pipes), 0);
	ck_assert_int_eq(write(pipes[1], m->bytes, m->len), (int)m->len);
	close(pipes[1]);
	snprintf(path, sizeof(path), "/dev/fd/%d", pipes[0]);
	ck_assert_int_eq(vmig_channel_file(path, false, &channel, &error), 0);
	close(pipes[0]);
	ck_assert_int_eq(vmig_stream_reader_new(channel, &reader), 0);
	while ((r = vmig_stream_reader_next(reader, &record, &error)) > 0)
		n++;
	vmig_stream_reader_free(reader);
	vmig_channel_close(channel);
	if (ret_error)
		*ret_error = error;
	return r < 0 ? r : n;
}

TEST(reads_all_records)
{
	struct made m;

	make(&m);
	ck_assert_int_eq(read_all(&m, NULL), 10);
}

TEST(shows_what_is_in_a_record)
{
	struct vmig_stream_reader *reader;
	struct vmig_stream_record r;
	struct vmig_channel *channel;
	struct vmig_error error;
	struct made m;
	int fd = memfd_create("stream", MFD_CLOEXEC);
	char path[64];

	make(&m);
	ck_assert_int_eq(write(fd, m.bytes, m.len), (int)m.len);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ck_assert_int_eq(vmig_channel_file(path, false, &channel, &error), 0);
	close(fd);
	ck_assert_int_eq(vmig_stream_reader_new(channel, &reader), 0);
	ck_assert_int_eq(vmig_stream_reader_next(reader, &r, &error), 1);
	ck_assert_str_eq(r.name, "HELLO");
	ck_assert_uint_eq(r.offset, VMIG_STREAM_HEAD_LEN);
	ck_assert_uint_eq(r.n_devices, 2);
	ck_assert_int_eq(vmig_stream_reader_next(reader, &r, &error), 1);
	ck_assert_str_eq(r.identity, "nic");
	ck_assert_str_eq(r.device_name, "model:nic");
	ck_assert_uint_eq(r.device, 0);
	vmig_stream_reader_free(reader);
	vmig_channel_close(channel);
}

TEST(refuses_every_flipped_bit)
{
	struct made m;

	make(&m);
	for (size_t bit = 0; bit < m.len * 8; bit++) {
		m.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		ck_assert_msg(read_all(&m, NULL) < 0, "bit %zu", bit);
		m.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

TEST(refuses_every_shortening)
{
	struct vmig_error error;
	struct made m;

	make(&m);
	for (size_t len = m.len; m.len-- > 0;) {
		ck_assert_msg(read_all(&m, &error) == -EBADMSG, "%zu of %zu bytes", m.len, len);
		ck_assert_ptr_nonnull(strstr(error.text, "cut short"));
		ck_assert_ptr_nonnull(strstr(error.text, "byte"));
	}
}

TEST(names_the_record_and_the_byte)
{
	struct vmig_error error;
	struct made m;

	make(&m);
	m.bytes[m.len - VMIG_STREAM_HEADER_LEN - 1] ^= 1; /* in the payload of FIN, record 8 */
	ck_assert_int_eq(read_all(&m, &error), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(error.text, "record 8"));
	make(&m);
	m.len -= VMIG_STREAM_HEADER_LEN + 1;
	read_all(&m, &error);
	ck_assert_ptr_nonnull(strstr(error.text, "record 8"));
}

/* Whole records, each with its right digest, but not the stream that was sent. */
TEST(refuses_what_only_the_sums_can_tell)
{
	struct vmig_device_end wrong = { .length = 5, .chain = 1 };
	struct vmig_stream_head head = { .major = VMIG_STREAM_MAJOR };
	struct vmig_hello hello = { .n_devices = 1, .max_data = 1024 };
	struct made m = { .len = VMIG_STREAM_HEAD_LEN };

	memcpy(head.attempt, attempt, 16);
	vmig_stream_put_head(m.bytes, &head);
	add_control(&m, VMIG_RECORD_HELLO, VMIG_RECORD_ALL, &hello);
	add(&m, VMIG_RECORD_DATA, 0, "abcde", 5);
	add_control(&m, VMIG_RECORD_DEVICE_END, 0, &wrong);
	ck_assert_int_eq(read_all(&m, NULL), -EBADMSG);
}

TEST(refuses_data_of_a_device_that_is_not_there)
{
	struct vmig_stream_head head = { .major = VMIG_STREAM_MAJOR };
	struct vmig_hello hello = { .n_devices = 1, .max_data = 1024 };
	struct made m = { .len = VMIG_STREAM_HEAD_LEN };

	memcpy(head.attempt, attempt, 16);
	vmig_stream_put_head(m.bytes, &head);
	add_control(&m, VMIG_RECORD_HELLO, VMIG_RECORD_ALL, &hello);
	add(&m, VMIG_RECORD_DATA, 1, "abcde", 5);
	ck_assert_int_eq(read_all(&m, NULL), -EBADMSG);
}

HARNESS("reader", T(reads_all_records), T(shows_what_is_in_a_record), T_SLOW(refuses_every_flipped_bit, 60),
	T(refuses_every_shortening), T(names_the_record_and_the_byte), T(refuses_what_only_the_sums_can_tell),
	T(refuses_data_of_a_device_that_is_not_there))
