/* SPDX-License-Identifier: BSD-3-Clause */
/* Saving by the v1 text: what is pending, the current buffer, and when it is the next one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "v1.h"

static void must_have_data(struct check_context *c)
{
	if (!check_v1_read(c, V1_PENDING_BYTES))
		check_end(c, CHECK_NOT_APPLICABLE, "", "the device has nothing to save");
}

/* To the end in stop-and-copy, which stays the end. */
static void to_the_end(struct check_context *c, const char *expected)
{
	size_t n = check_v1_iterate(c, SIZE_MAX, NULL);

	for (int i = 0; i < 3; i++)
		if (check_v1_read(c, V1_PENDING_BYTES))
			check_fail(c, expected, "%llu after %zu transactions and a 0",
				   (unsigned long long)check_v1_read(c, V1_PENDING_BYTES), n);
}

void check_v1_ends(struct check_context *c)
{
	check_did(c, "took all data in stop-and-copy");
	check_v1_bring(c, V1_SAVING);
	must_have_data(c);
	to_the_end(c, "pending_bytes is 0 when all data were taken, and stays so");
	check_v1_go(c, V1_STOP);
}

#define ROUNDS 8 /* in pre-copy: a busy device has always more */

void check_v1_pre_copy(struct check_context *c)
{
	check_did(c, "took what the device had in pre-copy, and the rest in stop-and-copy");
	check_v1_bring(c, V1_PRE_COPY);
	check_v1_iterate(c, ROUNDS, NULL);
	check_v1_in(c, V1_PRE_COPY);
	check_v1_go(c, V1_SAVING);
	to_the_end(c, "pending_bytes is 0 when all data were taken, and stays so");
	check_v1_go(c, V1_STOP);
}

void check_v1_leaves_early(struct check_context *c)
{
	check_did(c, "left pre-copy with a buffer that was not taken");
	check_v1_bring(c, V1_PRE_COPY);
	check_v1_read(c, V1_PENDING_BYTES);
	check_v1_go(c, V1_SAVING);
	must_have_data(c);
	check_v1_buffer(c);
	check_did(c, "left stop-and-copy with a buffer that was not taken");
	check_v1_go(c, V1_STOP);
	check_v1_bring(c, V1_RUNNING);
}

static uint64_t pending(struct check_context *c)
{
	return check_v1_read(c, V1_PENDING_BYTES);
}

void check_v1_pending_again(struct check_context *c)
{
	uint64_t first, again;

	check_did(c, "read pending_bytes four times before each transaction of stop-and-copy");
	check_v1_bring(c, V1_SAVING);
	must_have_data(c);
	do {
		first = pending(c);
		for (int i = 0; i < 3; i++) {
			again = pending(c);
			if (again != first)
				check_fail(c, "reading it again has no effect", "%llu, then %llu",
					   (unsigned long long)first, (unsigned long long)again);
		}
	} while (check_v1_iterate(c, 1, NULL));
}

void check_v1_pending_covers(struct check_context *c)
{
	uint64_t first;

	check_did(c, "compared pending_bytes with data_size in stop-and-copy");
	check_v1_bring(c, V1_SAVING);
	must_have_data(c);
	while ((first = pending(c))) {
		struct check_v1_buffer buffer = check_v1_buffer(c);

		free(check_v1_take(c, buffer));
		if (buffer.size > first)
			check_observe(c, "what is there is pending, too", "%llu bytes there, %llu pending",
				      (unsigned long long)buffer.size, (unsigned long long)first);
	}
}

/* --- the current buffer --------------------------------------------------------------------------- */

void check_v1_current(struct check_context *c)
{
	check_did(c, "read data_offset and data_size three times of each buffer");
	check_v1_bring(c, V1_SAVING);
	must_have_data(c);
	while (pending(c)) {
		struct check_v1_buffer first = check_v1_buffer(c), again;

		for (int i = 0; i < 2; i++) {
			again = check_v1_buffer(c);
			if (again.offset != first.offset || again.size != first.size)
				check_fail(c, "the same until the next read of pending_bytes",
					   "%llu bytes at %#llx, then %llu at %#llx",
					   (unsigned long long)first.size, (unsigned long long)first.offset,
					   (unsigned long long)again.size, (unsigned long long)again.offset);
		}
		if (!first.size)
			check_fail(c, "data, since pending_bytes is not 0", "data_size is 0");
		free(check_v1_take(c, first));
	}
}

/* Others are a failure; a device that lets go of them when they have been read says so. */
static void data_stay(struct check_context *c, struct check_v1_buffer buffer)
{
	uint8_t *first = check_v1_take(c, buffer), *again = malloc((size_t)buffer.size + 1);
	bool same;
	int r;

	if (!again)
		check_end(c, CHECK_ERROR, "", "no memory");
	r = check_v1_data(c, buffer.offset, again, (size_t)buffer.size);
	same = !r && !memcmp(first, again, (size_t)buffer.size);
	free(first);
	free(again);
	if (r)
		check_observe(c, "the data are there until the next read of pending_bytes",
			      "%s at the second reading", strerror(-r));
	if (!same)
		check_fail(c, "the same data until the next read of pending_bytes",
			   "others at the second reading, of %llu bytes", (unsigned long long)buffer.size);
}

void check_v1_data_stays(struct check_context *c)
{
	check_did(c, "read the data of each buffer twice");
	check_v1_bring(c, V1_SAVING);
	must_have_data(c);
	while (pending(c))
		data_stay(c, check_v1_buffer(c));
}

static bool same_streams(const struct check_v1_stream *a, const struct check_v1_stream *b)
{
	return a->bytes.len == b->bytes.len && !memcmp(a->bytes.data, b->bytes.data, a->bytes.len);
}

/* All that may be asked twice is; what comes out of it is what comes without. */
void check_v1_next(struct check_context *c)
{
	struct check_v1_stream first, again = { 0 };
	size_t len;
	bool same;

	check_did(c, "saved once with each register read once, and once with each read twice");
	check_v1_save_same(c, &first);
	check_v1_bring(c, V1_SAVING);
	while (check_v1_transaction(c, true, &again))
		;
	same = same_streams(&first, &again);
	len = again.bytes.len;
	check_v1_stream_free(&again);
	if (!same)
		check_fail(c, "the same data", "others: %zu bytes, and %zu", first.bytes.len, len);
	check_v1_stream_free(&first);
}

/* As QEMU reads what is not mapped. */
static bool read_in_pieces(struct check_context *c, struct check_v1_buffer buffer, uint8_t *to)
{
	for (uint64_t done = 0, n; done < buffer.size; done += n) {
		n = buffer.size - done < 8 ? buffer.size - done : 8;
		if (check_v1_data(c, buffer.offset + done, to + done, (size_t)n))
			return false;
	}
	return true;
}

void check_v1_pieces(struct check_context *c)
{
	check_did(c, "read data by accesses of 8 bytes, and in one piece");
	check_v1_bring(c, V1_SAVING);
	must_have_data(c);
	for (int i = 0; i < 4 && pending(c); i++) {
		struct check_v1_buffer buffer = check_v1_buffer(c);
		uint8_t *pieces = calloc(1, (size_t)buffer.size + 1), *whole;
		bool can, same;

		if (!pieces)
			check_end(c, CHECK_ERROR, "", "no memory");
		can = read_in_pieces(c, buffer, pieces);
		whole = check_v1_take(c, buffer);
		same = can && !memcmp(pieces, whole, (size_t)buffer.size);
		free(pieces);
		free(whole);
		if (!same)
			check_observe(c, "the same data, as users do read so (QEMU)", "%s",
				      can ? "others" : "an access fails");
	}
}

/* --- mapped --------------------------------------------------------------------------------------- */

/* Bytes that are mapped and not 0: those of a file that nobody has written to are 0, too. */
static size_t compare(struct check_context *c, const struct check_v1_maps *maps,
		      struct check_v1_buffer buffer, const uint8_t *data)
{
	size_t shown = 0;

	for (size_t done = 0, n; done < buffer.size; done += n) {
		const uint8_t *at;

		n = (size_t)buffer.size - done;
		at = check_v1_mapped(maps, buffer.offset + done, &n);
		if (at && memcmp(at, data + done, n))
			check_fail(c, "what is mapped has the data that an access reads",
				   "others within %zu bytes at %#llx", n,
				   (unsigned long long)(buffer.offset + done));
		for (size_t i = 0; at && i < n; i++)
			shown += data[done + i] != 0;
	}
	return shown;
}

void check_v1_maps_same(struct check_context *c)
{
	struct check_v1_maps maps;
	size_t shown = 0;

	check_v1_map(c, &maps);
	check_did(c, "compared the data of stop-and-copy by accesses with what is mapped");
	check_v1_bring(c, V1_SAVING);
	must_have_data(c);
	while (pending(c)) {
		struct check_v1_buffer buffer = check_v1_buffer(c);
		uint8_t *data = check_v1_take(c, buffer);

		shown += compare(c, &maps, buffer, data);
		free(data);
	}
	check_v1_unmap(&maps);
	if (!shown)
		check_end(c, CHECK_NOT_APPLICABLE, "", "no data but zeros lie in what can be mapped");
}
