/* SPDX-License-Identifier: BSD-3-Clause */
/* Saving to files and pipes, and restoring from them; whole ones, cut ones and damaged ones. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vmig/stream.h>

#include "../stream/made.h"
#include "harness.h"
#include "side.h"

static char folder[64], path[128];

static void make_folder(void)
{
	snprintf(folder, sizeof(folder), "/tmp/vmig-file-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/state", folder);
}

static void remove_folder(void)
{
	unlink(path);
	/* Fails if anything else was left there. */
	ck_assert_int_eq(rmdir(folder), 0);
}

static int save(struct counter *counters, int n, bool keep, struct side *ret)
{
	struct vmig_channel *channel;

	ck_assert_int_eq(vmig_channel_file(path, true, &channel, NULL), 0);
	side_init(ret, true, counters, (uint32_t)n, channel);
	ret->options.keep_source = keep;
	ret->record_size = 100;
	side_run(ret);
	return ret->r;
}

static int restore(struct counter *counters, int n, struct side *ret)
{
	struct vmig_channel *channel;

	ck_assert_int_eq(vmig_channel_file(path, false, &channel, NULL), 0);
	side_init(ret, false, counters, (uint32_t)n, channel);
	ret->record_size = 100;
	side_run(ret);
	return ret->r;
}

static size_t size_of_file(void)
{
	struct stat st;

	return stat(path, &st) ? 0 : (size_t)st.st_size;
}

TEST(a_saved_device_is_restored)
{
	struct counter_config config = { .busy = true };
	struct counter from[3], to[3];
	struct side a, b;

	make_folder();
	side_open(from, 3, &config);
	side_open(to, 3, &(struct counter_config){ 0 });
	for (int i = 0; i < 3; i++)
		counter_work(&from[i], 500);
	ck_assert_msg(save(from, 3, false, &a) == VMIG_DONE, "%s", a.result.reason);
	ck_assert_int_eq(a.resumed, 0);
	ck_assert_uint_gt(size_of_file(), 3 * 64 * COUNTER_PAGE);
	ck_assert_msg(restore(to, 3, &b) == VMIG_DONE, "%s", b.result.reason);
	ck_assert_int_eq(b.loaded, 3);
	ck_assert(b.records_right);
	for (int i = 0; i < 3; i++) {
		ck_assert_uint_eq(counter_state(&from[i]), VMIG_STATE_STOP);
		ck_assert_uint_eq(counter_done(&from[i]), counter_done(&to[i]));
	}
	side_check_running(to, 3);
	side_close(from, 3);
	side_close(to, 3);
	remove_folder();
}

TEST(a_live_save_leaves_the_source_running)
{
	struct counter_config config = { .busy = true };
	struct counter from[2], to[2];
	struct side a, b;

	make_folder();
	side_open(from, 2, &config);
	side_open(to, 2, &(struct counter_config){ 0 });
	ck_assert_msg(save(from, 2, true, &a) == VMIG_DONE, "%s", a.result.reason);
	ck_assert_int_eq(a.quiesced, 1);
	ck_assert_int_eq(a.resumed, 1);
	side_check_running(from, 2);
	ck_assert_msg(restore(to, 2, &b) == VMIG_DONE, "%s", b.result.reason);
	side_check_running(to, 2);
	side_close(from, 2);
	side_close(to, 2);
	remove_folder();
}

/* --- what is wrong with a file --- */

/* A small device's file, and its bytes. */
static uint8_t *make_file(size_t *ret_len)
{
	struct counter_config config = { .size = COUNTER_PAGE };
	struct counter from;
	struct side a;
	uint8_t *bytes;
	FILE *f;

	make_folder();
	counter_open(&from, &config);
	counter_work(&from, 20);
	ck_assert_int_eq(save(&from, 1, false, &a), VMIG_DONE);
	counter_close(&from);
	*ret_len = size_of_file();
	bytes = malloc(*ret_len);
	f = fopen(path, "r");
	ck_assert(f && bytes && fread(bytes, 1, *ret_len, f) == *ret_len);
	fclose(f);
	return bytes;
}

static void write_file(const uint8_t *bytes, size_t len)
{
	FILE *f = fopen(path, "w");

	ck_assert(f && fwrite(bytes, 1, len, f) == len);
	fclose(f);
}

/* The device must not have been touched. */
static void refuse(struct counter *to, const char *what, size_t at)
{
	struct side b;

	counter_n_arcs = 0;
	ck_assert_msg(restore(to, 1, &b) == VMIG_BAD_INPUT, "%s %zu: outcome %d", what, at, b.r);
	ck_assert(strlen(b.result.reason) > 10);
	ck_assert_int_eq(counter_n_arcs, 0);
	ck_assert_int_eq(to->resets, 0);
}

TEST(a_file_cut_anywhere_is_refused)
{
	struct counter_config config = { .size = COUNTER_PAGE };
	struct counter to;
	struct side b;
	size_t len;
	uint8_t *bytes = make_file(&len);

	counter_open(&to, &config);
	for (size_t i = 0; i<len; i += i> 600 && i < len - 600 ? 97 : 1) {
		ck_assert_int_eq(truncate(path, 0), 0);
		write_file(bytes, i);
		refuse(&to, "cut at", i);
	}
	write_file(bytes, len);
	ck_assert_int_eq(restore(&to, 1, &b), VMIG_DONE);
	counter_close(&to);
	free(bytes);
	remove_folder();
}

TEST(a_file_with_one_flipped_bit_is_refused)
{
	struct counter_config config = { .size = COUNTER_PAGE };
	struct counter to;
	struct side b;
	size_t len;
	uint8_t *bytes = make_file(&len);

	counter_open(&to, &config);
	for (size_t i = 0; i<len; i += i> 600 && i < len - 600 ? 31 : 1) {
		bytes[i] ^= (uint8_t)(1u << (i % 8));
		write_file(bytes, len);
		refuse(&to, "flipped in byte", i);
		bytes[i] ^= (uint8_t)(1u << (i % 8));
	}
	write_file(bytes, len);
	ck_assert_int_eq(restore(&to, 1, &b), VMIG_DONE);
	counter_close(&to);
	free(bytes);
	remove_folder();
}

TEST(a_file_with_something_after_its_end_is_refused)
{
	struct counter_config config = { .size = COUNTER_PAGE };
	struct counter to;
	size_t len;
	uint8_t *bytes = make_file(&len);

	counter_open(&to, &config);
	bytes = realloc(bytes, len + 1);
	bytes[len] = 0;
	write_file(bytes, len + 1);
	refuse(&to, "one byte more than", len);
	counter_close(&to);
	free(bytes);
	remove_folder();
}

TEST(a_file_of_another_type_is_no_bad_file)
{
	struct counter_config config = { .size = COUNTER_PAGE, .identity = "another" };
	struct counter to;
	struct side b;
	size_t len;
	uint8_t *bytes = make_file(&len);

	counter_open(&to, &config);
	ck_assert_int_eq(restore(&to, 1, &b), VMIG_NOT_DONE);
	ck_assert(strstr(b.result.reason, "another"));
	ck_assert_uint_eq(counter_state(&to), VMIG_STATE_RUNNING);
	counter_close(&to);
	free(bytes);
	remove_folder();
}

/* --- saves that fail --- */

TEST(a_failed_save_leaves_no_file)
{
	struct counter_config config = { .busy = true, .fail_read_at = 100000 };
	struct counter from;
	struct side a;

	make_folder();
	counter_open(&from, &config);
	ck_assert_int_eq(save(&from, 1, false, &a), VMIG_NOT_DONE);
	side_check_running(&from, 1);
	ck_assert_uint_eq(size_of_file(), 0);
	counter_close(&from);
	remove_folder();
}

TEST(a_failed_save_leaves_an_older_file_as_it_was)
{
	struct counter_config config = { .size = COUNTER_PAGE, .fail_read_at = 1000 };
	struct counter from;
	struct side a;
	size_t len;
	uint8_t *bytes = make_file(&len);

	counter_open(&from, &config);
	ck_assert_int_eq(save(&from, 1, false, &a), VMIG_NOT_DONE);
	ck_assert_uint_eq(size_of_file(), len);
	counter_close(&from);
	free(bytes);
	remove_folder();
}

TEST(a_full_disk_is_told)
{
	struct counter_config config = { .busy = true };
	struct vmig_channel *channel;
	struct counter from;
	struct side a;

	if (access("/dev/full", W_OK))
		harness_skip("no /dev/full");
	ck_assert_int_eq(vmig_channel_file("/dev/full", true, &channel, NULL), 0);
	counter_open(&from, &config);
	side_init(&a, true, &from, 1, channel);
	side_run(&a);
	ck_assert_int_eq(a.r, VMIG_NOT_DONE);
	ck_assert_int_eq(a.result.code, ENOSPC);
	ck_assert(strstr(a.result.reason, "no space left"));
	side_check_running(&from, 1);
	counter_close(&from);
}

/* --- pipes --- */

static int open_pipe(struct vmig_channel **ret_in, struct vmig_channel **ret_out)
{
	int fd;

	make_folder();
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	/* So that neither end waits for the other to open. */
	fd = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(vmig_channel_file(path, true, ret_out, NULL), 0);
	ck_assert_int_eq(vmig_channel_file(path, false, ret_in, NULL), 0);
	return fd;
}

TEST(a_pipe_carries_it)
{
	struct counter_config config = { .size = 1 << 20, .busy = true };
	struct vmig_channel *in, *out;
	struct counter from, to;
	struct side a, b;
	int fd = open_pipe(&in, &out);

	close(fd);
	counter_open(&from, &config);
	counter_open(&to, &(struct counter_config){ .size = 1 << 20 });
	counter_work(&from, 500);
	side_init(&a, true, &from, 1, out);
	side_init(&b, false, &to, 1, in);
	side_run_both(&a, &b);
	ck_assert_msg(a.r == VMIG_DONE, "%s", a.result.reason);
	ck_assert_msg(b.r == VMIG_DONE, "%s", b.result.reason);
	ck_assert_uint_eq(counter_done(&from), counter_done(&to));
	side_check_running(&to, 1);
	counter_close(&from);
	counter_close(&to);
	remove_folder();
}

TEST(a_pipe_whose_reader_goes_is_told)
{
	struct counter_config config = { .size = 1 << 20, .busy = true };
	struct vmig_channel *in, *out;
	struct counter from;
	struct side a;
	int fd = open_pipe(&in, &out);

	counter_open(&from, &config);
	vmig_channel_close(in);
	close(fd);
	side_init(&a, true, &from, 1, out);
	side_run(&a);
	ck_assert_int_eq(a.r, VMIG_NOT_DONE);
	ck_assert_int_eq(a.result.code, EPIPE);
	side_check_running(&from, 1);
	counter_close(&from);
	remove_folder();
}

/* How many bytes of device data lie in records that end before byte @at. */
static uint64_t data_before(size_t at)
{
	struct vmig_stream_reader *reader;
	struct vmig_stream_record record;
	struct vmig_channel *channel;
	uint64_t sum = 0;

	ck_assert_int_eq(vmig_channel_file(path, false, &channel, NULL), 0);
	ck_assert_int_eq(vmig_stream_reader_new(channel, &reader), 0);
	while (vmig_stream_reader_next(reader, &record, NULL) > 0)
		if (!strcmp(record.name, "DATA") && record.offset + 48 + record.length <= at)
			sum += record.length;
	vmig_stream_reader_free(reader);
	vmig_channel_close(channel);
	return sum;
}

static void restore_flawed(struct counter *to, uint8_t *bytes, size_t len, size_t at)
{
	struct vmig_channel *in;
	struct side b;
	char name[32];
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fds[0]);
	ck_assert_int_eq(vmig_channel_file(name, false, &in, NULL), 0);
	close(fds[0]);
	bytes[at] ^= 0x10;
	ck_assert_int_eq(write(fds[1], bytes, len), (ssize_t)len);
	bytes[at] ^= 0x10;
	close(fds[1]);
	side_init(&b, false, to, 1, in);
	side_run(&b);
	ck_assert_msg(b.r == VMIG_BAD_INPUT, "byte %zu: %d", at, b.r);
	ck_assert_int_eq(b.started, 0);
}

/* Through a pipe a flaw is seen when it comes: the device gets what was right, then a reset; never the flawed piece. */
static void flaws_in_a_pipe(bool copies, size_t most)
{
	struct counter_config config = { .size = COUNTER_PAGE, .copies = copies, .most = most };
	size_t len;
	uint8_t *bytes = make_file(&len);

	for (size_t at = 100; at < len; at += 53) {
		struct counter to;

		counter_open(&to, &config);
		restore_flawed(&to, bytes, len, at);
		ck_assert_uint_eq(to.in_bytes, data_before(at));
		ck_assert_uint_eq(counter_state(&to), VMIG_STATE_RUNNING);
		ck_assert_uint_eq(counter_done(&to), 0);
		counter_close(&to);
	}
	free(bytes);
	remove_folder();
}

TEST(a_flaw_in_a_pipe_never_reaches_the_device)
{
	flaws_in_a_pipe(false, 0);
	flaws_in_a_pipe(false, 100);
	flaws_in_a_pipe(true, 0);
}

/* --- streams that no source of ours makes --- */

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
	made_add(m, type, 0, device, payload, (uint32_t)(sizeof(payload) - c.left));
}

static void made_start(struct made *m)
{
	struct vmig_hello hello = { .n_devices = 1, .max_data = 1 << 20 };
	struct vmig_offer offer = {
		.migration_flags = 1, .identity = "counter", .format = "v2", .name = "made"
	};

	made_begin(m);
	add_control(m, VMIG_RECORD_HELLO, VMIG_RECORD_ALL, &hello);
	add_control(m, VMIG_RECORD_OFFER, 0, &offer);
	made_add(m, VMIG_RECORD_PRECOPY_DONE, 0, VMIG_RECORD_ALL, NULL, 0);
}

/* Through a pipe; *ret_bytes: what the device took. */
static int restore_made(const struct made *m, uint64_t *ret_bytes)
{
	struct counter_config config = { .size = COUNTER_PAGE };
	struct vmig_channel *in;
	struct counter to;
	struct side b;
	char name[32];
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fds[0]);
	ck_assert_int_eq(vmig_channel_file(name, false, &in, NULL), 0);
	close(fds[0]);
	ck_assert_int_eq(write(fds[1], m->bytes, m->len), (ssize_t)m->len);
	close(fds[1]);
	counter_open(&to, &config);
	side_init(&b, false, &to, 1, in);
	side_run(&b);
	ck_assert_uint_eq(counter_state(&to), VMIG_STATE_RUNNING);
	ck_assert_int_eq(b.started, 0);
	*ret_bytes = to.in_bytes;
	counter_close(&to);
	return b.r;
}

TEST(data_of_a_device_that_has_ended_are_refused)
{
	struct vmig_device_end end = { .length = 3,
				       .chain = vmig_digest_chain(0, 3, vmig_digest_of("abc", 3)) };
	uint64_t bytes;
	struct made m;

	made_start(&m);
	made_add(&m, VMIG_RECORD_DATA, 0, 0, "abc", 3);
	add_control(&m, VMIG_RECORD_DEVICE_END, 0, &end);
	made_add(&m, VMIG_RECORD_DATA, 0, 0, "d", 1);
	ck_assert_int_eq(restore_made(&m, &bytes), VMIG_BAD_INPUT);
	ck_assert_uint_eq(bytes, 3);
	made_end(&m);
}

TEST(data_of_no_device_are_refused)
{
	uint64_t bytes;
	struct made m;

	made_start(&m);
	made_add(&m, VMIG_RECORD_DATA, 0, 1, "abc", 3);
	ck_assert_int_eq(restore_made(&m, &bytes), VMIG_BAD_INPUT);
	ck_assert_uint_eq(bytes, 0);
	made_end(&m);
}

TEST(unknown_optional_records_are_skipped)
{
	uint64_t bytes;
	struct made m;

	made_start(&m);
	made_add(&m, 0x7777, VMIG_RECORD_OPTIONAL, 0, "of a later version", 18);
	made_add(&m, VMIG_RECORD_DATA, 0, 0, "abc", 3);
	ck_assert_int_eq(restore_made(&m, &bytes), VMIG_BAD_INPUT); /* it is cut short */
	ck_assert_uint_eq(bytes, 3);
	made_end(&m);
}

HARNESS("file", T(data_of_a_device_that_has_ended_are_refused), T(data_of_no_device_are_refused),
	T(unknown_optional_records_are_skipped), T(a_saved_device_is_restored),
	T(a_live_save_leaves_the_source_running), T(a_file_cut_anywhere_is_refused),
	T(a_file_with_one_flipped_bit_is_refused), T(a_file_with_something_after_its_end_is_refused),
	T(a_file_of_another_type_is_no_bad_file), T(a_failed_save_leaves_no_file),
	T(a_failed_save_leaves_an_older_file_as_it_was), T(a_full_disk_is_told), T(a_pipe_carries_it),
	T(a_pipe_whose_reader_goes_is_told), T(a_flaw_in_a_pipe_never_reaches_the_device))
