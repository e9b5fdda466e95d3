/* SPDX-License-Identifier: BSD-3-Clause */
/* Bad streams of a nic: each is refused, only a reset leads out, and then a good one is taken. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "models/frame.h"
#include "models/image.h"
#include "models/nic.h"
#include "rig.h"

#define SPEC       "nic,state=64K,dirty-rate=4M/s"
#define FRAMES_MAX 64

/* A stream taken apart. */
struct parts {
	struct frame frames[FRAMES_MAX];
	const uint8_t *data[FRAMES_MAX];
	size_t len[FRAMES_MAX]; /* of what there is, whatever the frame says */
	int n;
};

static void take_apart(const struct bytes *stream, struct parts *ret)
{
	ret->n = 0;
	for (size_t at = 0; at < stream->len;) {
		struct frame *f = &ret->frames[ret->n];

		ck_assert_int_lt(ret->n, FRAMES_MAX);
		frame_decode(stream->data + at, f);
		ret->len[ret->n] = f->length;
		ret->data[ret->n++] = stream->data + at + 64;
		at += 64 + f->length;
	}
}

/* With good numbers, chain and digest: what is wrong is what the parts say. */
static struct bytes put_together(const struct parts *parts)
{
	struct bytes stream = { 0 };
	uint64_t chain = 0;

	for (int i = 0; i < parts->n; i++) {
		struct frame f = parts->frames[i];
		uint8_t header[64];

		f.number = (uint64_t)i;
		if (f.kind == FRAME_FINAL)
			f.digest = hash64(NIC_DEVICE << 16 | NIC_VENDOR, parts->data[i],
					  MIN(f.length, parts->len[i]));
		frame_encode(header, &f, &chain);
		bytes_add(&stream, header, 64);
		if (f.kind == FRAME_PAGES || f.kind == FRAME_FINAL)
			bytes_add(&stream, parts->data[i], MIN(f.length, parts->len[i]));
	}
	return stream;
}

static struct parts *copy(const struct parts *parts)
{
	struct parts *p = malloc(sizeof(*p));

	ck_assert_ptr_nonnull(p);
	*p = *parts;
	return p;
}

/* Several frames of pages: from pre-copy and after. */
static struct bytes make_stream(const char *spec)
{
	struct bytes stream = { 0 };
	struct vmig_session *save;
	struct vmig_precopy sizes;
	struct rig rig;

	rig_init(&rig, spec);
	rig_wait(rig.w, 20);
	save = rig_start(rig.dev, VMIG_STATE_PRE_COPY);
	ck_assert_int_eq(rig_save(save, &stream, 1 << 20), -ENOMSG);
	rig_made(rig.dev, 1);
	ck_assert_int_eq(vmig_session_query_precopy(save, &sizes), 0);
	ck_assert_int_eq(workload_quiesce(rig.w), 0);
	rig_set(rig.dev, VMIG_STATE_STOP_COPY);
	ck_assert_int_eq(rig_save(save, &stream, 1 << 20), 0);
	vmig_session_close(save);
	rig_done(&rig);
	return stream;
}

/* Refused when it is written, or at the last step; and never to be had by leaving out the rest. */
static void refuse(struct vmig_device *dev, const uint8_t *data, size_t len, const char *what, int i)
{
	struct vmig_session *session = rig_start(dev, VMIG_STATE_RESUMING);
	int r = rig_load(session, data, len, 1 << 16);
	int stop = vmig_device_set_state(dev, VMIG_STATE_STOP, VMIG_STATE_NONE, NULL);

	ck_assert_msg(!r || r == -EBADMSG || r == -EINVAL, "%s %d: %d", what, i, r);
	ck_assert_msg(stop == -EINVAL, "%s %d: STOP says %d", what, i, stop);
	ck_assert_uint_eq(rig_state(dev), VMIG_STATE_RESUMING);
	vmig_session_close(session);
	ck_assert_int_eq(vmig_device_reset(dev), 0);
	ck_assert_uint_eq(rig_state(dev), VMIG_STATE_RUNNING);
}

static void refuse_parts(struct vmig_device *dev, const struct parts *parts, const char *what, size_t i)
{
	struct bytes stream = put_together(parts);

	refuse(dev, stream.data, stream.len, what, (int)i);
	bytes_free(&stream);
}

static void accept_stream(struct vmig_device *dev, const struct bytes *stream)
{
	ck_assert_int_eq(rig_load_all(dev, stream->data, stream->len), 0);
	ck_assert_uint_eq(rig_wrong(dev), 0);
}

TEST(any_bit_of_a_header_counts)
{
	struct bytes good = make_stream(SPEC);
	struct vmig_device *dev = rig_open("nic,state=64K");
	struct parts parts;
	size_t at = 0;

	take_apart(&good, &parts);
	ck_assert_int_ge(parts.n, 5);
	for (int i = 0; i < parts.n; i++) {
		for (size_t j = 0; j < 64; j++) {
			uint8_t bit = (uint8_t)(1 << ((i * 64 + (int)j) % 8));

			good.data[at + j] ^= bit;
			refuse(dev, good.data, good.len, "header byte", (int)(at + j));
			good.data[at + j] ^= bit;
		}
		at += 64 + parts.frames[i].length;
	}
	accept_stream(dev, &good);
	vmig_device_close(dev);
	bytes_free(&good);
}

TEST(any_byte_of_the_final_record_counts)
{
	struct bytes good = make_stream(SPEC);
	struct vmig_device *dev = rig_open("nic,state=64K");
	size_t len, at;
	struct parts parts;

	take_apart(&good, &parts);
	len = parts.frames[parts.n - 2].length;
	at = good.len - 64 - len;
	for (size_t i = 0; i < len; i++) {
		good.data[at + i] ^= 0x10;
		refuse(dev, good.data, good.len, "final byte", (int)i);
		good.data[at + i] ^= 0x10;
	}
	accept_stream(dev, &good);
	vmig_device_close(dev);
	bytes_free(&good);
}

TEST(a_part_of_it_is_not_enough)
{
	struct bytes good = make_stream(SPEC);
	struct vmig_device *dev = rig_open("nic,state=64K");
	struct parts parts;
	size_t at = 0;

	take_apart(&good, &parts);
	refuse(dev, good.data, 0, "nothing", 0);
	for (int i = 0; i < parts.n; i++) {
		refuse(dev, good.data, at + 1, "cut", (int)at + 1);
		refuse(dev, good.data, at + 63, "cut", (int)at + 63);
		refuse(dev, good.data, at + 64, i == parts.n - 1 ? "nothing" : "cut", (int)at + 64);
		at += 64 + parts.frames[i].length;
		if (i < parts.n - 1)
			refuse(dev, good.data, at - 1, "cut", (int)at - 1);
		if (i == parts.n - 2)
			break; /* with the next one it is whole */
	}
	refuse(dev, good.data, good.len - 1, "cut", (int)good.len - 1);
	accept_stream(dev, &good);
	vmig_device_close(dev);
	bytes_free(&good);
}

TEST(nothing_may_follow_the_end)
{
	struct bytes good = make_stream(SPEC);
	struct vmig_device *dev = rig_open("nic,state=64K");
	struct bytes more = { 0 };
	const uint8_t nought = 0;

	bytes_add(&more, good.data, good.len);
	bytes_add(&more, &nought, 1);
	refuse(dev, more.data, more.len, "one byte more", 0);
	more.len--;
	bytes_add(&more, good.data, good.len);
	refuse(dev, more.data, more.len, "twice", 0);
	accept_stream(dev, &good);
	vmig_device_close(dev);
	bytes_free(&more);
	bytes_free(&good);
}

TEST(frames_do_not_change_places)
{
	struct bytes good = make_stream(SPEC);
	struct vmig_device *dev = rig_open("nic,state=64K");
	struct parts parts;

	take_apart(&good, &parts);
	/* Taken as they lie: moved, left out, doubled. */
	for (int i = 0; i + 1 < parts.n; i++) {
		struct bytes moved = { 0 }, less = { 0 }, twice = { 0 };
		const uint8_t *one = parts.data[i] - 64, *two = parts.data[i + 1] - 64;
		const uint8_t *end = two + 64 + parts.frames[i + 1].length;

		bytes_add(&moved, good.data, (size_t)(one - good.data));
		bytes_add(&less, good.data, (size_t)(one - good.data));
		bytes_add(&twice, good.data, (size_t)(two - good.data));
		bytes_add(&moved, two, (size_t)(end - two));
		bytes_add(&moved, one, (size_t)(two - one));
		bytes_add(&moved, end, good.len - (size_t)(end - good.data));
		bytes_add(&less, two, good.len - (size_t)(two - good.data));
		bytes_add(&twice, one, good.len - (size_t)(one - good.data));
		refuse(dev, moved.data, moved.len, "moved", i);
		refuse(dev, less.data, less.len, "left out", i);
		refuse(dev, twice.data, twice.len, "doubled", i);
		bytes_free(&moved);
		bytes_free(&less);
		bytes_free(&twice);
	}
	accept_stream(dev, &good);
	vmig_device_close(dev);
	bytes_free(&good);
}

/* From here on the chain is good: somebody made the stream on purpose. */

TEST(pages_lie_within_the_memory)
{
	static const struct {
		uint64_t offset, length;
	} bad[] = {
		{ 0, 0 },           { 1, 4096 },  { 2048, 4096 },     { 65536, 4096 },
		{ 61440, 8192 },    { 0, 69632 }, { -4096ull, 4096 }, { -4096ull, 8192 },
		{ 4096, -4096ull }, { 0, -1ull }, { 0, 100 },         { 1ull << 63, 4096 },
	};
	struct bytes good = make_stream(SPEC), same;
	struct vmig_device *dev = rig_open("nic,state=64K");
	struct parts parts;

	take_apart(&good, &parts);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct parts *p = copy(&parts);

		/* In place of the first frame of pages, whose data are enough for what is good of it. */
		p->frames[1].offset = bad[i].offset;
		p->frames[1].length = bad[i].length;
		p->n = 2;
		refuse_parts(dev, p, "range", i);
		free(p);
	}
	same = put_together(&parts);
	ck_assert_uint_eq(same.len, good.len);
	ck_assert_mem_eq(same.data, good.data, good.len);
	accept_stream(dev, &good);
	vmig_device_close(dev);
	bytes_free(&same);
	bytes_free(&good);
}

/* The page that is missing is as at power-on on both sides: only counting finds it. */
TEST(every_page_must_be_there)
{
	struct vmig_device *dev = rig_open("nic,state=64K");
	struct bytes good = { 0 };
	struct parts parts;

	rig_set(dev, VMIG_STATE_STOP);
	rig_save_all(dev, &good);
	take_apart(&good, &parts);
	parts.frames[1].length -= 4096;
	parts.frames[parts.n - 1].offset -= 4096;
	refuse_parts(dev, &parts, "a page less", 0);
	accept_stream(dev, &good);
	vmig_device_close(dev);
	bytes_free(&good);
}

TEST(frames_come_in_their_order)
{
	struct bytes good = make_stream(SPEC);
	struct vmig_device *dev = rig_open("nic,state=64K");
	struct parts parts, *p;
	int last;

	take_apart(&good, &parts);
	last = parts.n - 1;
	p = copy(&parts); /* END before FINAL */
	p->frames[last - 1] = parts.frames[last];
	p->n = last;
	refuse_parts(dev, p, "no final record", 0);
	*p = parts; /* FINAL twice */
	p->frames[last] = parts.frames[last - 1];
	p->data[last] = parts.data[last - 1];
	p->len[last] = parts.len[last - 1];
	p->frames[last + 1] = parts.frames[last];
	p->n++;
	refuse_parts(dev, p, "two final records", 0);
	*p = parts; /* pages after FINAL */
	p->frames[last] = parts.frames[1];
	p->data[last] = parts.data[1];
	p->len[last] = parts.len[1];
	p->frames[last + 1] = parts.frames[last];
	p->frames[last + 1].offset += parts.frames[1].length;
	p->n++;
	refuse_parts(dev, p, "pages after the final record", 0);
	*p = parts; /* HELLO twice */
	p->frames[1] = parts.frames[0];
	refuse_parts(dev, p, "two hellos", 0);
	*p = parts; /* none */
	p->frames[0] = parts.frames[1];
	p->data[0] = parts.data[1];
	p->len[0] = parts.len[1];
	refuse_parts(dev, p, "no hello", 0);
	*p = parts; /* unknown */
	p->frames[1].kind = 9;
	refuse_parts(dev, p, "an unknown kind", 0);
	*p = parts;
	p->frames[last].offset += 4096;
	refuse_parts(dev, p, "a wrong sum", 0);
	free(p);
	accept_stream(dev, &good);
	vmig_device_close(dev);
	bytes_free(&good);
}

TEST(registers_must_be_possible)
{
	/* Of the first queue: see nic.c. Offset in the record, value. */
	static const struct {
		size_t at;
		uint64_t value;
	} bad[] = {
		{ 6, 3 },                                                               /* slots */
		{ 6, 1 },          { 6, 1u << 17 }, { 6, 1ull << 32 | 4096 }, { 7, 2 }, /* enabled */
		{ 4, 1 },                                                               /* ring address */
		{ 5, 4 },                                                               /* index address */
		{ 9, 1ull << 40 }, /* consumer, beyond the producer */
		{ 8, 1ull << 40 }  /* producer, far beyond the ring */
	};
	struct bytes good = make_stream(SPEC);
	struct vmig_device *dev = rig_open("nic,state=64K");
	struct parts parts;

	take_apart(&good, &parts);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		/* The final record starts with the counters of three lanes. */
		uint8_t *at = (uint8_t *)(uintptr_t)parts.data[parts.n - 2] + 3 * 8 + bad[i].at * 8, old[8];

		memcpy(old, at, 8);
		put_le64(at, bad[i].value);
		refuse_parts(dev, &parts, "registers", i);
		memcpy(at, old, 8);
	}
	parts.frames[parts.n - 2].length -= 8;
	refuse_parts(dev, &parts, "short registers", 0);
	parts.frames[parts.n - 2].length = 0;
	refuse_parts(dev, &parts, "no registers", 0);
	parts.frames[parts.n - 2].length = 1u << 20;
	refuse_parts(dev, &parts, "long registers", 0);
	accept_stream(dev, &good);
	vmig_device_close(dev);
	bytes_free(&good);
}

/* A dirty page that was not sent again: the device finds it when it loads. */
TEST(a_stale_page_is_found)
{
	struct bytes good = make_stream(SPEC), stale;
	struct vmig_device *dev = rig_open("nic,state=64K");
	struct parts parts;
	int last;

	take_apart(&good, &parts);
	last = parts.n - 1;
	while (last > 1 && parts.frames[last].kind != FRAME_PAGES)
		last--;
	ck_assert_int_gt(last, 1);
	parts.frames[parts.n - 1].offset -= parts.frames[last].length;
	for (int i = last; i + 1 < parts.n; i++) {
		parts.frames[i] = parts.frames[i + 1];
		parts.data[i] = parts.data[i + 1];
		parts.len[i] = parts.len[i + 1];
	}
	parts.n--;
	stale = put_together(&parts);
	refuse(dev, stale.data, stale.len, "a stale page", 0);
	accept_stream(dev, &good);
	vmig_device_close(dev);
	bytes_free(&stale);
	bytes_free(&good);
}

/* Where its frames say nothing of: what a page has to hold is known. */
static void refuse_flipped(const struct bytes *good, uint8_t *at, const char *what)
{
	struct vmig_device *dev = rig_open("nic,state=64K");

	*at ^= 1;
	refuse(dev, good->data, good->len, what, 0);
	*at ^= 1;
	accept_stream(dev, good);
	vmig_device_close(dev);
}

TEST(a_wrong_byte_in_a_page_is_found)
{
	struct bytes good = make_stream(SPEC);
	struct parts parts;
	uint8_t *page;

	take_apart(&good, &parts);
	page = good.data + (parts.data[parts.n - 3] - good.data);
	refuse_flipped(&good, page + 2048, "the pattern");
	refuse_flipped(&good, page + 4095, "the last byte");
	refuse_flipped(&good, page + 575, "a cell of no lane");
	refuse_flipped(&good, page, "the dirty rate's cell");
	refuse_flipped(&good, page + 7, "a lane's cell, beyond what it can count to");
	bytes_free(&good);
}

/* An old change of a large state: to look at all of them would take time, and the device stands still meanwhile. */
TEST(a_wrong_cell_of_a_large_state_is_found_when_asked)
{
	struct vmig_device *dev = rig_open("nic,state=8M,queues=64");
	struct bytes own = { 0 };

	rig_set(dev, VMIG_STATE_STOP);
	rig_save_all(dev, &own);
	own.data[2 * IMAGE_FRAME + 512 * IMAGE_PAGE] ^= 1;
	ck_assert_int_eq(rig_load_all(dev, own.data, own.len), 0);
	ck_assert_uint_eq(rig_wrong(dev), 1);
	vmig_device_close(dev);
	bytes_free(&own);
}

/* At once, by its first frame: before anything of the old state is lost, and long before the source stops. */
TEST(the_stream_of_another_device_is_refused)
{
	static const char *const others[] = { "nic,state=128K", "nic,state=64K,queues=3",
					      "serial,state=64K" };
	struct bytes good = make_stream(SPEC);

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		struct vmig_device *dev = rig_open(others[i]);
		struct vmig_session *load = rig_start(dev, VMIG_STATE_RESUMING);
		struct bytes own = { 0 };

		ck_assert_int_eq(rig_load(load, good.data, 64, 64), -EINVAL);
		vmig_session_close(load);
		ck_assert_int_eq(vmig_device_reset(dev), 0);
		refuse(dev, good.data, good.len, others[i], 0);
		rig_set(dev, VMIG_STATE_STOP);
		rig_save_all(dev, &own);
		ck_assert_int_eq(rig_load_all(dev, own.data, own.len), 0);
		bytes_free(&own);
		vmig_device_close(dev);
	}
	bytes_free(&good);
}

HARNESS("stream", T_SLOW(any_bit_of_a_header_counts, 60), T_SLOW(any_byte_of_the_final_record_counts, 60),
	T(a_part_of_it_is_not_enough), T(nothing_may_follow_the_end), T(frames_do_not_change_places),
	T(pages_lie_within_the_memory), T(every_page_must_be_there), T(frames_come_in_their_order),
	T(registers_must_be_possible), T(a_stale_page_is_found), T(a_wrong_byte_in_a_page_is_found),
	T(a_wrong_cell_of_a_large_state_is_found_when_asked), T(the_stream_of_another_device_is_refused))
