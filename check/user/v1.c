/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The migration region of v1. The user sees what it reads; so does the judge. Of the data there is a digest for each
 * transaction, so they can be compared when the transactions are the same.
 */
#include "judge.h"

#include <stddef.h>

#define RUNNING     VMIG_UAPI_DEVICE_STATE_V1_RUNNING
#define SAVING      VMIG_UAPI_DEVICE_STATE_V1_SAVING
#define RESUMING    VMIG_UAPI_DEVICE_STATE_V1_RESUMING
#define MASK        (RUNNING | SAVING | RESUMING)
#define IN_ERROR    (SAVING | RESUMING)
#define REGION_MASK ((UINT64_C(1) << 40) - 1)

#define AT(field) offsetof(struct vmig_uapi_device_migration_info, field)
#define REGISTERS sizeof(struct vmig_uapi_device_migration_info)

static const char *name(uint32_t state)
{
	static const char *const names[] = { "_STOP",     "_RUNNING", "stop-and-copy",   "pre-copy",
					     "_RESUMING", "state 5",  "the error state", "state 7" };

	return names[state & MASK];
}

/* The order of what was moved, as one number. */
static uint64_t mix(uint64_t before, uint64_t size)
{
	return (before ^ size) * 0x9e3779b97f4a7c15ull + (size << 1) + 1;
}

/* Of one transaction; 0: its digest was not told, so that nothing is known of the whole. */
static void add_contents(struct user_v1 *v, uint64_t digest)
{
	v->unknown |= !digest;
	v->contents = v->unknown ? 0 : mix(v->contents, digest);
}

static void start_over(struct user_v1 *v)
{
	v->unknown = v->asked_pending = v->asked_offset = v->zero_stopped = v->sequence_failed = false;
	v->pending = v->offered = v->bytes = v->sizes = v->contents = 0;
}

/* --- device_state ----------------------------------------------------------------------------- */

/* What the text draws, the ways back, and the state that the device is in already. */
static bool is_in_table(uint32_t from, uint32_t to)
{
	static const uint8_t ways[] = {
		[0] = 1 << 0 | 1 << RUNNING,
		[RUNNING] = 1 << 0 | 1 << RUNNING | 1 << SAVING | 1 << (RUNNING | SAVING) | 1 << RESUMING,
		[SAVING] = 1 << 0 | 1 << RUNNING | 1 << SAVING,
		[RUNNING | SAVING] = 1 << 0 | 1 << RUNNING | 1 << SAVING | 1 << (RUNNING | SAVING),
		[RESUMING] = 1 << RUNNING | 1 << RESUMING,
	};

	return (from & MASK) < sizeof(ways) && (ways[from & MASK] >> (to & MASK) & 1);
}

static void check_value(struct check_user *u, struct user_v1 *v, uint32_t to)
{
	bool valid = !(to & RESUMING) || (to & MASK) == RESUMING;

	user_keeps(u, USER_V1_VALUES);
	user_keeps(u, USER_V1_TABLE);
	user_keeps(u, USER_V1_RESERVED);
	if (!valid)
		user_breaks(u, USER_V1_VALUES, USER_NOBODY, "a valid state", "%s was written to device_state",
			    name(to));
	else if (!v->in_error && !is_in_table(v->state, to))
		user_breaks(u, USER_V1_TABLE, USER_NOBODY, "a way of the table", "%s was asked for in %s",
			    name(to), name(v->state));
	if ((to & ~MASK) != v->reserved)
		user_breaks(u, USER_V1_RESERVED, USER_NOBODY, "what was read there",
			    "bits 3 to 31 of device_state were changed");
}

static void check_reaction(struct check_user *u, struct user_v1 *v)
{
	if (v->in_error)
		user_breaks(u, USER_V1_RESETS_FROM_ERROR, v->failed_at, "a reset, or the end",
			    "device_state was written in the error state");
	if (v->failed)
		user_breaks(u, USER_V1_ASKS_AFTER_FAILURE, v->failed_at,
			    "device_state is read again, or a reset",
			    "device_state was written again after a write of it had failed");
	v->failed = false;
}

static void leaves_saving(struct check_user *u, struct user_device *d, uint32_t to)
{
	struct user_v1 *v = &d->v1;

	if ((v->state & MASK) != SAVING)
		return;
	if (v->zero_stopped) {
		user_keeps(u, USER_V1_READS_TO_END);
		user_log_saved(u, d);
	} else if (!(to & MASK) && !d->save_failed) {
		v->unread_at = u->number; /* it may be a way back */
	}
}

/* The transaction in hand has been taken: by the next question for pending_bytes, or by moving on. */
static void take(struct check_user *u, struct user_device *d)
{
	struct user_session *s = &d->sessions[0];
	struct user_v1 *v = &d->v1;

	if (!v->offered)
		return;
	v->bytes += v->offered;
	v->sizes = mix(v->sizes, v->offered);
	add_contents(v, v->offered_digest);
	v->offered = 0;
	u->streams[s->stream].bytes = v->bytes;
	u->streams[s->stream].digest = v->sizes;
	u->streams[s->stream].contents = v->contents;
}

/* How much of a stream that somebody has saved is what was loaded. */
enum match { NOTHING, BYTES, OTHER_CONTENTS, UNKNOWN_CONTENTS, CONTENTS };

static enum match match(const struct user_stream *stream, const struct user_v1 *v)
{
	if (!stream->v1 || !stream->whole || stream->bytes != v->bytes)
		return NOTHING;
	if (stream->digest != v->sizes)
		return BYTES;
	if (!stream->contents || !v->contents)
		return UNKNOWN_CONTENTS;
	return stream->contents == v->contents ? CONTENTS : OTHER_CONTENTS;
}

static void judge_load(struct check_user *u, enum match best)
{
	user_keeps(u, USER_V1_WHOLE);
	if (best == NOTHING)
		return user_breaks(u, USER_V1_WHOLE, USER_NOBODY,
				   "all that the source's device has given, to its end",
				   "_RESUMING was left for _RUNNING without all of the data");
	user_keeps(u, USER_V1_TRANSACTIONS);
	if (best == BYTES) /* then the data cannot be compared */
		return user_breaks(u, USER_V1_TRANSACTIONS, USER_NOBODY,
				   "the sizes that the source's data_size had",
				   "the data were written in transactions of other sizes");
	if (best == CONTENTS)
		user_keeps(u, USER_V1_AS_READ);
	if (best == OTHER_CONTENTS)
		user_breaks(u, USER_V1_AS_READ, USER_NOBODY, "the data that were read, in their order",
			    "other data were written than had been read");
}

static void loaded(struct check_user *u, struct user_device *d)
{
	enum match best = NOTHING;
	bool any = false;

	for (uint32_t i = 0; i < u->n_streams && i < USER_SAVED; i++) {
		enum match this = match(&u->streams[i], &d->v1);

		any |= u->streams[i].v1;
		best = this > best ? this : best;
	}
	if (any)
		judge_load(u, best);
	if (best > NOTHING || !any)
		user_stream_arrives(u, true, d->v1.bytes, d->v1.sizes);
}

static void moved(struct check_user *u, struct user_device *d, uint32_t to)
{
	struct user_v1 *v = &d->v1;
	uint32_t from = v->state & MASK;

	take(u, d);
	leaves_saving(u, d, to);
	if ((to & SAVING) && !(from & SAVING)) {
		start_over(v);
		d->sessions[0].stream = user_stream_begins(u, d, true);
		u->sum.n_saves++;
		d->saved = true;
	}
	if ((to & MASK) == RESUMING && from != RESUMING) {
		start_over(v);
		u->sum.n_loads++;
	}
	if (from == RESUMING && (to & MASK) == RUNNING)
		loaded(u, d);
	/* The data of pre-copy that were not taken are given again. */
	v->unknown = v->asked_pending = v->asked_offset = false;
	if (!(to & RUNNING) && (from & RUNNING))
		user_log_stopped(u, d);
	if ((to & MASK) == RUNNING) {
		v->unread_at = 0;
		d->save_failed = false;
		user_source_runs(u, d);
	}
	v->state = to;
	d->state = to & RUNNING ? VMIG_STATE_RUNNING : VMIG_STATE_STOP;
}

static void write_state(struct check_user *u, struct user_device *d, uint32_t to)
{
	struct user_v1 *v = &d->v1;

	check_value(u, v, to);
	check_reaction(u, v);
	if (u->call->result >= 0)
		return moved(u, d, to);
	u->sum.n_failures++;
	v->failed = true;
	v->failed_at = u->number;
	if ((v->state & MASK) == RESUMING || (to & MASK) == RESUMING) {
		user_lost(u);
	} else {
		user_save_fails(u, d);
	}
}

static void read_state(struct check_user *u, struct user_device *d)
{
	struct user_v1 *v = &d->v1;

	if (u->call->result < 0)
		return;
	if (v->failed)
		user_keeps(u, USER_V1_ASKS_AFTER_FAILURE);
	v->failed = false;
	v->state = (uint32_t)u->call->v[0];
	v->reserved = v->state & ~MASK;
	v->in_error = (v->state & MASK) == IN_ERROR;
}

/* --- sequences -------------------------------------------------------------------------------- */

/* A read or write of a sequence: what comes after one that failed? False: this one has failed. */
static bool goes_well(struct check_user *u, struct user_device *d)
{
	struct user_v1 *v = &d->v1;

	if (v->sequence_failed) {
		user_breaks(u, USER_V1_ENDS_ON_ERROR, v->failed_at,
			    "the end of the loop, and of the migration",
			    "the sequence went on after an access had failed");
		v->sequence_failed = false;
	}
	if (u->call->result >= 0)
		return true;
	u->sum.n_failures++;
	user_keeps(u, USER_V1_ENDS_ON_ERROR);
	v->sequence_failed = true;
	v->failed_at = u->number;
	if (v->state & SAVING) {
		user_save_fails(u, d);
	} else {
		user_lost(u);
	}
	return false;
}

static void read_pending(struct check_user *u, struct user_device *d)
{
	struct user_v1 *v = &d->v1;

	take(u, d);
	v->pending = u->call->v[0];
	v->asked_pending = true;
	v->asked_offset = false;
	if (v->pending || (v->state & MASK) != SAVING)
		return;
	if (!v->zero_stopped)
		u->sum.n_saved++;
	v->zero_stopped = true;
	u->streams[d->sessions[0].stream].whole = true;
}

static void read_offset(struct check_user *u, struct user_device *d)
{
	struct user_v1 *v = &d->v1;

	v->asked_offset = true;
	if (!(v->state & SAVING))
		return;
	user_keeps(u, USER_V1_ITERATION);
	user_keeps(u, USER_V1_NOT_AT_ZERO);
	if (!v->asked_pending)
		user_breaks(u, USER_V1_ITERATION, USER_NOBODY,
			    "pending_bytes, data_offset, data_size, the data",
			    "data_offset was read, and pending_bytes had not been");
	else if (!v->pending)
		user_breaks(u, USER_V1_NOT_AT_ZERO, USER_NOBODY, "no iteration while pending_bytes is 0",
			    "data_offset was read, and pending_bytes had been 0");
}

static void read_size(struct check_user *u, struct user_device *d)
{
	struct user_v1 *v = &d->v1;

	if (!(v->state & SAVING))
		return;
	user_keeps(u, USER_V1_ITERATION);
	if (!v->asked_offset)
		user_breaks(u, USER_V1_ITERATION, USER_NOBODY,
			    "pending_bytes, data_offset, data_size, the data",
			    "data_size was read, and data_offset had not been in this iteration");
	v->offered = u->call->v[0];
	v->offered_digest = u->call->v[1];
}

static void write_size(struct check_user *u, struct user_device *d)
{
	struct user_v1 *v = &d->v1;

	user_keeps(u, USER_V1_SIZE_WRITTEN);
	if ((v->state & MASK) != RESUMING) {
		user_breaks(u, USER_V1_SIZE_WRITTEN, USER_NOBODY, "writes of data_size in _RESUMING only",
			    "data_size was written in %s", name(v->state));
		return;
	}
	user_keeps(u, USER_V1_RESUMING_ORDER);
	if (!v->asked_offset)
		user_breaks(u, USER_V1_RESUMING_ORDER, USER_NOBODY, "data_offset, the data, data_size",
			    "data_size was written, and data_offset had not been read in this iteration");
	v->asked_offset = false;
	v->bytes += u->call->v[0];
	v->sizes = mix(v->sizes, u->call->v[0]);
	add_contents(v, u->call->v[1]);
}

/* --- accesses --------------------------------------------------------------------------------- */

static bool check_width(struct check_user *u, uint64_t at, uint64_t len)
{
	bool whole = at == AT(device_state) || at == AT(reserved) ? len == sizeof(uint32_t)
		     : at % sizeof(uint64_t)                      ? false
								  : len == sizeof(uint64_t);

	user_keeps(u, USER_V1_WIDTH);
	if (!whole)
		user_breaks(u, USER_V1_WIDTH, USER_NOBODY, "accesses of a field as a whole",
			    "an access of the registers of another width or alignment");
	return whole;
}

void user_v1_access(struct check_user *u, struct user_device *d)
{
	uint64_t at = u->call->offset & REGION_MASK;
	bool is_write = u->call->op == VMIG_KABI_WRITE;

	if (!d->v1.opened) {
		d->v1.opened = true;
		d->v1.state = RUNNING;
	}
	/* The data themselves may go in any pieces, and by a mapping. */
	if (at >= REGISTERS || !check_width(u, at, u->call->len))
		return;
	if (at == AT(device_state))
		return is_write ? write_state(u, d, (uint32_t)u->call->v[0]) : read_state(u, d);
	if (!goes_well(u, d))
		return;
	if (at == AT(pending_bytes) && !is_write)
		read_pending(u, d);
	else if (at == AT(data_offset) && !is_write)
		read_offset(u, d);
	else if (at == AT(data_size))
		(is_write ? write_size : read_size)(u, d);
}

void user_v1_reset(struct check_user *u, struct user_device *d)
{
	struct user_v1 *v = &d->v1;

	if (!v->opened)
		return;
	if (v->failed)
		user_keeps(u, USER_V1_ASKS_AFTER_FAILURE);
	if (v->in_error)
		user_keeps(u, USER_V1_RESETS_FROM_ERROR);
	v->failed = v->in_error = false;
	v->unread_at = 0;
	v->state = RUNNING | v->reserved;
	start_over(v);
}

void user_v1_closed(struct check_user *u, struct user_device *d)
{
	struct user_v1 *v = &d->v1;

	if (v->failed)
		user_keeps(u, USER_V1_ASKS_AFTER_FAILURE);
	if (v->in_error)
		user_keeps(u, USER_V1_RESETS_FROM_ERROR);
	if (v->unread_at)
		user_breaks(u, USER_V1_READS_TO_END, v->unread_at, "pending_bytes of 0 in stop-and-copy",
			    "stop-and-copy was left for _STOP, and pending_bytes was not 0 yet");
	v->unread_at = 0;
}
