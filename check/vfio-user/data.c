/* SPDX-License-Identifier: BSD-3-Clause */
/* Transitions, and the data that are read and written in their states. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"
#include "vu.h"

static void start(struct check_context *c, struct vu *vu)
{
	vu_start(c, vu);
	vu_needs_migration(vu);
}

/* --- transitions ------------------------------------------------------------------------------------------ */

static bool saves(uint32_t state)
{
	return state == VMIG_STATE_PRE_COPY || state == VMIG_STATE_PRE_COPY_P2P ||
	       state == VMIG_STATE_STOP_COPY;
}

/* RESUMING is left with data only, and from STOP_COPY no way leads to pre-copy. */
static bool there_is(const struct vu *vu, uint32_t from, uint32_t to)
{
	bool back = from == VMIG_STATE_STOP_COPY && saves(to) && to != from;

	return from != to && !back && from != VMIG_STATE_RESUMING && vu_has_state(vu, from) &&
	       vu_has_state(vu, to);
}

void vu_every_pair(struct check_context *c)
{
	struct vu vu;

	start(c, &vu);
	for (uint32_t from = VMIG_STATE_STOP; from < VMIG_STATE_NR; from++)
		for (uint32_t to = VMIG_STATE_STOP; to < VMIG_STATE_NR; to++) {
			if (!there_is(&vu, from, to))
				continue;
			vu_to_running(&vu);
			vu_enter(&vu, from);
			check_did(c, "asked for %s in %s", check_state_name(to), check_state_name(from));
			vu_enter(&vu, to);
		}
	vu_to_running(&vu);
}

void vu_reset_recovers(struct check_context *c)
{
	struct vu vu;
	uint32_t state;
	int r;

	start(c, &vu);
	if (!(vu.device_flags & 1))
		check_end(c, CHECK_NOT_APPLICABLE, "", "the device has no reset");
	vu_enter(&vu, VMIG_STATE_RESUMING);
	check_did(c, "left RESUMING without data, and sent DEVICE_RESET");
	if (!vu_set_state(&vu, VMIG_STATE_STOP, CHECK_WANT_ERROR))
		check_end(c, CHECK_SKIPPED, "", "the device loads nothing at all, and so it cannot fail");
	state = vu_state(&vu);
	r = vu_send_reset(&vu);
	if (r)
		check_fail(c, "a reset succeeds after a failure", "%s", strerror(-r));
	if (vu_state(&vu) == VMIG_STATE_RUNNING)
		return;
	/* The sentence is about ERROR. */
	check_end(c, state == VMIG_STATE_ERROR ? CHECK_FAIL : CHECK_OBSERVATION,
		  "a reset leads back to RUNNING", "from %s to %s", check_state_name(state),
		  check_state_name(vu_state(&vu)));
}

/* --- reading ---------------------------------------------------------------------------------------------- */

/* All of it, in pieces of @piece, in STOP_COPY. */
static void read_all(struct vu *vu, uint32_t piece, struct check_bytes *to)
{
	for (;;) {
		int64_t got = vu_data_read(vu, piece);
		uint8_t *more;

		if (got < 0)
			check_fail(vu->c, "the data can be read", "%s after %zu bytes", strerror((int)-got),
				   to->len);
		if (got > CHECK_STREAM_MAX - (int64_t)to->len)
			check_end(vu->c, CHECK_SKIPPED, "",
				  "the stream has more than %u MiB: too much to keep",
				  CHECK_STREAM_MAX >> 20);
		more = realloc(to->data, to->len + (size_t)got + 1);
		if (!more)
			check_end(vu->c, CHECK_ERROR, "", "no memory");
		memcpy(more + to->len, vu->in.body + 8, (size_t)got);
		to->data = more;
		to->len += (size_t)got;
		if (got < piece)
			return;
	}
}

static void save(struct vu *vu, uint32_t piece, struct check_bytes *to)
{
	*to = (struct check_bytes){ 0 };
	vu_enter(vu, VMIG_STATE_STOP_COPY);
	read_all(vu, piece, to);
	vu_enter(vu, VMIG_STATE_STOP);
}

static void cannot_read(struct vu *vu, const char *where)
{
	int64_t r;

	check_did(vu->c, "read migration data %s", where);
	r = vu_data_read(vu, 4096);
	if (r >= 0)
		check_fail(vu->c, "an error", "%lld bytes", (long long)r);
	if (vu->closed)
		check_fail(vu->c, "an error", "the connection was closed");
}

static void cannot_write(struct vu *vu, const char *where)
{
	check_did(vu->c, "wrote migration data %s", where);
	if (!vu_data_write(vu, "0123456789abcdef", 16))
		check_fail(vu->c, "an error", "success");
	if (vu->closed)
		check_fail(vu->c, "an error", "the connection was closed");
}

void vu_data_outside(struct check_context *c)
{
	struct vu vu;

	start(c, &vu);
	cannot_read(&vu, "in RUNNING");
	cannot_write(&vu, "in RUNNING");
	vu_enter(&vu, VMIG_STATE_STOP);
	cannot_read(&vu, "in STOP");
	cannot_write(&vu, "in STOP");
	vu_enter(&vu, VMIG_STATE_STOP_COPY);
	cannot_write(&vu, "in STOP_COPY");
	vu_to_running(&vu);
	vu_enter(&vu, VMIG_STATE_RESUMING);
	cannot_read(&vu, "in RESUMING");
	vu_to_running(&vu);
}

void vu_data_session_ends(struct check_context *c)
{
	struct check_bytes bytes;
	struct vu vu;

	start(c, &vu);
	save(&vu, 65536, &bytes);
	cannot_read(&vu, "in STOP, which came after STOP_COPY");
	if (vu_has_state(&vu, VMIG_STATE_PRE_COPY)) {
		vu_to_running(&vu);
		vu_enter(&vu, VMIG_STATE_PRE_COPY);
		vu_enter(&vu, VMIG_STATE_RUNNING);
		cannot_read(&vu, "in RUNNING, which came after PRE_COPY");
	}
	vu_to_running(&vu);
}

void vu_data_sizes(struct check_context *c)
{
	static const uint32_t pieces[] = { 1, 64, 1000, 4096 };
	struct vu vu;

	start(c, &vu);
	vu_enter(&vu, VMIG_STATE_STOP_COPY);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		int64_t got;

		check_did(c, "read %u bytes of migration data", pieces[i]);
		got = vu_data_read(&vu, pieces[i]);
		if (got < 0)
			check_fail(c, "the data can be read in STOP_COPY", "%s", strerror((int)-got));
		if (vu_u32(&vu, 0) != 8 + (uint32_t)got)
			check_fail(c, "argsz is the size of the structure including the data",
				   "%u, with %lld bytes", vu_u32(&vu, 0), (long long)got);
		if (vu.in.len != 8 + (size_t)got)
			check_observe(c, "the reply is as long as its data", "%zu bytes with %lld of data",
				      vu.in.len, (long long)got);
	}
	vu_to_running(&vu);
}

void vu_data_end(struct check_context *c)
{
	struct check_bytes bytes = { 0 };
	struct vu vu;

	start(c, &vu);
	vu_enter(&vu, VMIG_STATE_STOP_COPY);
	read_all(&vu, 65536, &bytes);
	check_did(c, "read on behind the end");
	for (int i = 0; i < 3; i++) {
		int64_t got = vu_data_read(&vu, 4096);

		if (got < 0)
			check_fail(c, "no data, and no error", "%s", strerror((int)-got));
		if (got)
			check_fail(c, "less than the requested size: no more migration data to read",
				   "%lld bytes more", (long long)got);
	}
	vu_to_running(&vu);
}

void vu_data_argsz(struct check_context *c)
{
	struct vu_body b = { 0 };
	struct vu vu;
	int r;

	start(c, &vu);
	vu_enter(&vu, VMIG_STATE_STOP_COPY);
	check_did(c, "read 4096 bytes of migration data with an argsz of 24");
	vu_32(&b, 24);
	vu_32(&b, 4096);
	r = vu_call(&vu, VU_DATA_READ, &b);
	if (!r && vu.in.len > 24)
		check_fail(c, "argsz is the maximum size of the reply payload", "%zu bytes", vu.in.len);
	vu_to_running(&vu);
}

void vu_data_pre_copy(struct check_context *c)
{
	struct check_bytes before = { 0 }, after = { 0 };
	struct vu vu;
	int64_t got;

	start(c, &vu);
	if (!vu_has_state(&vu, VMIG_STATE_PRE_COPY))
		check_end(c, CHECK_NOT_APPLICABLE, "", "the device has no PRE_COPY");
	vu_enter(&vu, VMIG_STATE_PRE_COPY);
	check_did(c, "read in PRE_COPY");
	got = vu_data_read(&vu, 4096);
	if (got < 0)
		check_fail(c, "data can be read in PRE_COPY", "%s", strerror((int)-got));
	before.len = (size_t)got;
	vu_enter(&vu, VMIG_STATE_STOP_COPY);
	check_did(c, "went from PRE_COPY to STOP_COPY, and read on");
	read_all(&vu, 65536, &after);
	if (!after.len && !before.len)
		check_fail(c, "migration data continue to be transferred", "there are none");
	vu_to_running(&vu);
}

/* --- writing ---------------------------------------------------------------------------------------------- */

static void load(struct vu *vu, const struct check_bytes *bytes, uint32_t piece)
{
	vu_to_running(vu);
	vu_enter(vu, VMIG_STATE_RESUMING);
	for (size_t at = 0; at < bytes->len; at += piece) {
		size_t n = bytes->len - at < piece ? bytes->len - at : piece;
		int r = vu_data_write(vu, bytes->data + at, (uint32_t)n);

		if (r)
			check_fail(vu->c, "data are written in RESUMING", "%s for %zu bytes at %zu",
				   strerror(-r), n, at);
		vu_has(vu, 0, "there is no reply payload for this message");
	}
}

static void restore(struct check_context *c, uint32_t piece)
{
	struct check_bytes bytes, again;
	struct vu vu;

	start(c, &vu);
	save(&vu, 4096, &bytes);
	if (piece > vu.max_data)
		piece = vu.max_data;
	check_did(c, "loaded the %zu bytes that were saved, in pieces of %u at most", bytes.len, piece);
	load(&vu, &bytes, piece);
	vu_enter(&vu, VMIG_STATE_STOP);
	check_did(c, "saved again what was loaded");
	save(&vu, 65536, &again);
	if (again.len != bytes.len || memcmp(again.data, bytes.data, bytes.len) != 0)
		check_observe(c, "the data are treated like a stream: the same come back",
			      "%zu bytes, which are other ones, for %zu", again.len, bytes.len);
	vu_to_running(&vu);
}

void vu_data_write_small(struct check_context *c)
{
	restore(c, 333);
}

void vu_data_write_large(struct check_context *c)
{
	restore(c, 1u << 20);
}

void vu_data_part(struct check_context *c)
{
	struct check_bytes bytes;
	struct vu vu;
	uint32_t state;

	start(c, &vu);
	save(&vu, 4096, &bytes);
	if (bytes.len < 2)
		check_end(c, CHECK_SKIPPED, "", "%zu bytes have no half", bytes.len);
	bytes.len /= 2;
	check_did(c, "left RESUMING with the first %zu bytes of the data", bytes.len);
	load(&vu, &bytes, 4096);
	if (!vu_set_state(&vu, VMIG_STATE_STOP, CHECK_WANT_ERROR))
		check_fail(c, "the SET command fails, as the data are incomplete", "success");
	state = vu_state(&vu);
	if (state != VMIG_STATE_RESUMING && state != VMIG_STATE_ERROR && state != VMIG_STATE_STOP)
		check_fail(c, "RESUMING, or ERROR", "%s", check_state_name(state));
	vu_to_running(&vu);
}
