/* SPDX-License-Identifier: BSD-3-Clause */
/* Resuming by the v1 text: what was saved is loaded, and is there again. */
#include <stdlib.h>
#include <string.h>

#include "v1.h"

static void load(struct check_context *c, const struct check_v1_stream *from, enum check_v1_how how)
{
	int r = check_v1_load(c, from, how);

	if (r)
		check_fail(c, "the device takes what it has saved", "%s", strerror(-r));
	check_v1_in(c, V1_RESUMING);
	check_v1_go(c, V1_RUNNING);
}

void check_v1_restore(struct check_context *c)
{
	struct check_v1_stream saved;

	check_did(c, "stopped the device and saved it");
	check_v1_save(c, &saved);
	check_did(c, "loaded %zu bytes in %zu transactions, and let it run", saved.bytes.len, saved.n);
	load(c, &saved, CHECK_V1_PLAIN);
	check_v1_stream_free(&saved);
}

static bool same(const struct check_v1_stream *a, const struct check_v1_stream *b)
{
	return a->bytes.len == b->bytes.len && !memcmp(a->bytes.data, b->bytes.data, a->bytes.len);
}

/* The device has loaded @saved and runs: it saves the same again. */
static void same_again(struct check_context *c, struct check_v1_stream *saved)
{
	struct check_v1_stream again;
	size_t len;
	bool is;

	check_v1_save(c, &again);
	is = same(saved, &again);
	len = again.bytes.len;
	check_v1_stream_free(&again);
	if (!is)
		check_fail(c, "what was loaded is what is saved next", "something else: %zu bytes, and %zu",
			   saved->bytes.len, len);
	check_v1_stream_free(saved);
}

/* What the device has, touched if it may be. */
static void save_touched(struct check_context *c, struct check_v1_stream *ret)
{
	uint8_t ignored[CHECK_TOUCH_MAX];

	check_v1_bring(c, V1_RUNNING);
	if (c->target->touch)
		check_touch(c, c->dev, ignored);
	check_v1_save_same(c, ret);
}

/* It must have something else, or what comes next would prove nothing. It is in _STOP then. */
static void must_be_other(struct check_context *c, const struct check_v1_stream *saved)
{
	struct check_v1_stream other;
	bool is;

	check_v1_save(c, &other);
	is = same(saved, &other);
	check_v1_stream_free(&other);
	if (is)
		check_end(c, CHECK_NOT_APPLICABLE, "",
			  "a device that did not load the data has the same: nothing shows that they are "
			  "used%s",
			  c->target->touch ? "" : " (--touch)");
}

static void make_other(struct check_context *c, const struct check_v1_stream *saved)
{
	uint8_t ignored[CHECK_TOUCH_MAX];

	check_v1_bring(c, V1_RUNNING);
	if (c->target->touch)
		check_touch_otherwise(c, c->dev, ignored);
	else
		(void)check_v1_reset(c);
	must_be_other(c, saved);
}

static void restore_same(struct check_context *c, enum check_v1_how how)
{
	struct check_v1_stream saved;

	save_touched(c, &saved);
	make_other(c, &saved);
	load(c, &saved, how);
	same_again(c, &saved);
}

void check_v1_restore_same(struct check_context *c)
{
	check_did(c, "saved, loaded and saved again");
	restore_same(c, CHECK_V1_PLAIN);
}

void check_v1_consumed(struct check_context *c)
{
	check_did(c, "loaded, and wrote over the data section after each write of data_size");
	restore_same(c, CHECK_V1_SPOIL);
}

void check_v1_restore_mapped(struct check_context *c)
{
	struct check_v1_maps maps;

	check_v1_map(c, &maps); /* not applicable to a trapped section */
	check_v1_unmap(&maps);
	check_did(c, "loaded by what is mapped, and saved again");
	restore_same(c, CHECK_V1_BY_MAP);
}

/* The second device is c->dev from then on; both are put back. */
static void to_second(struct check_context *c)
{
	const struct check_target *t = c->target;
	struct vmig_device *second = NULL;
	char why[CHECK_TEXT_MAX] = "";

	if (t->open_region(t->opaque, true, &second, why, sizeof(why)))
		check_end(c, CHECK_ERROR, "the second device can be opened", "%s", why);
	c->second = c->dev;
	c->dev = second;
}

void check_v1_second(struct check_context *c)
{
	struct check_v1_stream saved;

	check_did(c, "stopped the device and saved it");
	save_touched(c, &saved);
	to_second(c);
	check_did(c, "loaded what the device has saved into the second one, and saved that");
	make_other(c, &saved);
	load(c, &saved, CHECK_V1_PLAIN);
	same_again(c, &saved);
}

#define ROUNDS 8

void check_v1_restore_live(struct check_context *c)
{
	struct check_v1_stream saved, live = { 0 };

	check_did(c, "loaded what came in pre-copy and stop-and-copy, and saved again");
	save_touched(c, &saved);
	check_v1_bring(c, V1_PRE_COPY);
	check_v1_iterate(c, ROUNDS, &live);
	check_v1_go(c, V1_SAVING);
	check_v1_iterate(c, SIZE_MAX, &live);
	check_v1_go(c, V1_STOP);
	make_other(c, &saved);
	load(c, &live, CHECK_V1_PLAIN);
	check_v1_stream_free(&live);
	same_again(c, &saved);
}

/* --- failures ------------------------------------------------------------------------------------- */

/* 0 if the device runs with these data, else what refused them. */
static int try_to_run(struct check_context *c, const struct check_v1_stream *bad)
{
	int r = check_v1_load(c, bad, CHECK_V1_PLAIN);

	return r ? r : check_v1_ask(c, V1_RUNNING, CHECK_WANT_EITHER);
}

/* A refusal says something only of a device that takes what is good. */
static void save_good(struct check_context *c, struct check_v1_stream *ret)
{
	check_did(c, "saved the device, and loaded that");
	check_v1_save(c, ret);
	if (!ret->n)
		check_end(c, CHECK_NOT_APPLICABLE, "", "the device has nothing to save");
	if (try_to_run(c, ret))
		check_end(c, CHECK_NOT_APPLICABLE, "", "the device refuses what it has saved, too");
}

static void must_refuse(struct check_context *c, const struct check_v1_stream *bad, const char *ran)
{
	int r = try_to_run(c, bad);
	uint32_t is = check_v1_state(c) & V1_BITS;

	if (!r)
		check_observe(c, "an error at data_size, or at _RUNNING", "%s", ran);
	if (is != V1_RESUMING && is != V1_ERROR)
		check_fail(c, "_RESUMING, or the error state, after the failure", "%s (after: %s)",
			   check_v1_name(is), strerror(-r));
}

static uint8_t foreign_bytes[64];
static size_t foreign_size = sizeof(foreign_bytes);

static struct check_v1_stream foreign(struct check_context *c)
{
	memset(foreign_bytes, 0xa5, sizeof(foreign_bytes));
	check_did(c, "loaded %zu bytes of 0xa5", sizeof(foreign_bytes));
	return (struct check_v1_stream){ { foreign_bytes, sizeof(foreign_bytes) }, &foreign_size, 1 };
}

void check_v1_foreign(struct check_context *c)
{
	struct check_v1_stream good, bad;

	save_good(c, &good);
	check_v1_stream_free(&good);
	bad = foreign(c);
	must_refuse(c, &bad, "the device runs with what no device has saved");
}

void check_v1_truncated(struct check_context *c)
{
	struct check_v1_stream saved;

	save_good(c, &saved);
	check_did(c, "loaded %zu transactions without the second half of the last", saved.n);
	saved.sizes[saved.n - 1] /= 2;
	must_refuse(c, &saved, "the device runs with a part of what was saved");
	check_v1_stream_free(&saved);
}

/* The first two, the other way round. */
static void swap(struct check_context *c, struct check_v1_stream *s)
{
	size_t first = s->sizes[0], second = s->sizes[1];
	uint8_t *data = malloc(s->bytes.len + 1);

	if (!data)
		check_end(c, CHECK_ERROR, "", "no memory");
	memcpy(data, s->bytes.data, s->bytes.len);
	memcpy(data, s->bytes.data + first, second);
	memcpy(data + second, s->bytes.data, first);
	free(s->bytes.data);
	s->bytes.data = data;
	s->sizes[0] = second;
	s->sizes[1] = first;
}

void check_v1_reordered(struct check_context *c)
{
	struct check_v1_stream saved;

	save_good(c, &saved);
	if (saved.n < 2)
		check_end(c, CHECK_NOT_APPLICABLE, "", "the device saves %zu transactions", saved.n);
	check_did(c, "loaded the second of %zu transactions before the first", saved.n);
	swap(c, &saved);
	must_refuse(c, &saved, "the device runs with data in another order");
	check_v1_stream_free(&saved);
}

void check_v1_reset_after_failure(struct check_context *c)
{
	const struct check_v1_stream bad = foreign(c);
	int r = try_to_run(c, &bad);

	if (!r)
		check_end(c, CHECK_NOT_APPLICABLE, "", "the device runs with what no device has saved");
	check_did(c, "reset the device after it had refused data");
	r = check_v1_reset(c);
	if (r)
		check_fail(c, "a reset", "%s", strerror(-r));
	check_v1_in(c, V1_RUNNING);
	check_v1_go(c, V1_STOP);
}
