/* SPDX-License-Identifier: BSD-3-Clause */
/* Resuming by the v1 text: what was saved is loaded, and is there again. */
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

	check_v1_save(c, &saved);
	check_did(c, "loaded %zu bytes in %zu transactions, and let it run", saved.bytes.len, saved.n);
	load(c, &saved, CHECK_V1_PLAIN);
	check_v1_stream_free(&saved);
}

/* The device has loaded @saved and runs: it saves the same again. */
static void same_again(struct check_context *c, struct check_v1_stream *saved)
{
	struct check_v1_stream again;
	size_t len;
	bool same;

	check_v1_save(c, &again);
	same = again.bytes.len == saved->bytes.len &&
	       !memcmp(again.bytes.data, saved->bytes.data, again.bytes.len);
	len = again.bytes.len;
	check_v1_stream_free(&again);
	if (!same)
		check_fail(c, "what was loaded is what is saved next", "something else: %zu bytes, and %zu",
			   saved->bytes.len, len);
	check_v1_stream_free(saved);
}

static void restore_same(struct check_context *c, enum check_v1_how how)
{
	struct check_v1_stream saved;

	check_v1_save_same(c, &saved);
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

#define ROUNDS 8

void check_v1_restore_live(struct check_context *c)
{
	struct check_v1_stream saved, live = { 0 };

	check_v1_save_same(c, &saved);
	check_v1_bring(c, V1_PRE_COPY);
	check_did(c, "loaded what came in pre-copy and stop-and-copy, and saved again");
	check_v1_iterate(c, ROUNDS, &live);
	check_v1_go(c, V1_SAVING);
	check_v1_iterate(c, SIZE_MAX, &live);
	check_v1_go(c, V1_STOP);
	load(c, &live, CHECK_V1_PLAIN);
	check_v1_stream_free(&live);
	same_again(c, &saved);
}

/* --- failures ------------------------------------------------------------------------------------- */

/* Of what no device has saved: 0 if the device runs with it, else what refused it. */
static int load_foreign(struct check_context *c)
{
	uint8_t bytes[64];
	size_t size = sizeof(bytes);
	struct check_v1_stream foreign = { { bytes, sizeof(bytes) }, &size, 1 };
	int r;

	memset(bytes, 0xa5, sizeof(bytes));
	check_did(c, "loaded 64 bytes of 0xa5");
	r = check_v1_load(c, &foreign, CHECK_V1_PLAIN);
	return r ? r : check_v1_ask(c, V1_RUNNING);
}

void check_v1_foreign(struct check_context *c)
{
	int r = load_foreign(c);
	uint32_t is = check_v1_state(c) & V1_BITS;

	if (!r)
		check_observe(c, "an error at data_size, or at _RUNNING",
			      "the device runs with what no device has saved");
	if (is != V1_RESUMING && is != V1_ERROR)
		check_fail(c, "_RESUMING, or the error state, after the failure", "%s (after: %s)",
			   check_v1_name(is), strerror(-r));
}

void check_v1_reset_after_failure(struct check_context *c)
{
	int r = load_foreign(c);

	if (!r)
		check_end(c, CHECK_NOT_APPLICABLE, "", "the device runs with what no device has saved");
	check_did(c, "reset the device after it had refused data");
	r = vmig_device_reset(c->dev);
	if (r)
		check_fail(c, "a reset", "%s", strerror(-r));
	check_v1_in(c, V1_RUNNING);
	check_v1_go(c, V1_STOP);
}
