/* SPDX-License-Identifier: BSD-3-Clause */
/* The data transfer sessions of v2: what of the data was read, and whether that is what was written elsewhere. */
#include "judge.h"

#include <errno.h>

#include <vmig/state.h>

/* --- streams ---------------------------------------------------------------------------------- */

uint32_t user_stream_begins(struct check_user *u, const struct user_device *d, bool v1)
{
	uint32_t at = u->n_streams++ % USER_SAVED;

	u->streams[at] = (struct user_stream){ .v1 = v1, .device = (uint16_t)(d - u->devices) };
	return at;
}

void user_stream_arrives(struct check_user *u, bool v1, uint64_t bytes, uint64_t digest)
{
	u->sum.n_loaded++;
	u->lost = false;
	for (uint32_t i = 0; i < u->n_streams && i < USER_SAVED; i++) {
		const struct user_stream *stream = &u->streams[i];

		if (stream->v1 == v1 && stream->bytes == bytes && stream->digest == digest)
			u->devices[stream->device].saved = false;
	}
}

/** Is what was loaded what was saved? */
static enum user_load compare(const struct check_user *u, bool v1, uint64_t bytes, uint64_t digest)
{
	enum user_load found = USER_LOAD_UNKNOWN;

	for (uint32_t i = 0; i < u->n_streams && i < USER_SAVED; i++) {
		const struct user_stream *stream = &u->streams[i];

		if (stream->v1 != v1)
			continue;
		if (stream->bytes == bytes && stream->digest == digest && stream->whole)
			return USER_LOAD_GOOD;
		if (stream->bytes > bytes || (stream->bytes == bytes && stream->digest == digest))
			found = USER_LOAD_SHORT;
		else if (found == USER_LOAD_UNKNOWN)
			found = USER_LOAD_OTHER;
	}
	return found;
}

/* --- sessions --------------------------------------------------------------------------------- */

struct user_session *user_session(struct user_device *d)
{
	struct user_session *s = &d->sessions[d->at % USER_SESSIONS];

	return s->number ? s : NULL;
}

static struct user_session *find(struct user_device *d, uint64_t number)
{
	for (uint32_t i = 0; i < USER_SESSIONS; i++)
		if (number && d->sessions[i].number == number)
			return &d->sessions[i];
	return NULL;
}

static void check_closed(struct check_user *u, const struct user_session *s)
{
	/* Who ends when something has failed may leave that to its end. */
	if (s->number && s->ended && s->open && !s->failed)
		user_breaks(u, USER_CLOSES_FD, s->began_at, "a close of data_fd once it is finished",
			    "the data_fd of a session %s was left open",
			    s->loads ? "of RESUMING" : "that saved");
}

void user_session_begins(struct check_user *u, struct user_device *d, uint32_t number, bool loads)
{
	const struct user_session *last = user_session(d);

	if (last)
		check_closed(u, last);
	d->sessions[++d->at % USER_SESSIONS] = (struct user_session){
		.number = number, .loads = loads, .open = true, .began_at = u->number, .stream = USER_SAVED
	};
	d->migrated = true;
	if (loads) {
		u->sum.n_loads++;
		return;
	}
	d->sessions[d->at % USER_SESSIONS].stream = user_stream_begins(u, d, false);
	u->sum.n_saves++;
	d->saved = true;
}

static void saving_ended(struct check_user *u, struct user_device *d, struct user_session *s, uint32_t now)
{
	if (d->state != VMIG_STATE_STOP_COPY)
		return;
	if (s->at_end) {
		user_keeps(u, USER_READS_TO_END);
		user_log_saved(u, d);
	} else if (now == VMIG_STATE_STOP && !d->save_failed) {
		/* It may be a way back. */
		d->unread_at = u->number;
		d->unread_drained = s->drained && !s->read_stopped;
	}
}

void user_session_ends(struct check_user *u, struct user_device *d, uint32_t now)
{
	struct user_session *s = user_session(d);

	if (!s || s->ended)
		return;
	s->ended = true;
	s->failed |= u->call && u->call->result < 0;
	user_keeps(u, USER_NO_ENDED_SESSION);
	if (!s->loads)
		return saving_ended(u, d, s, now);
	d->load = compare(u, false, s->bytes, s->digest);
	d->loaded_at = u->number;
}

/* --- running ---------------------------------------------------------------------------------- */

static void arrives(struct check_user *u, struct user_device *d)
{
	const struct user_session *s = user_session(d);

	user_stream_arrives(u, false, s ? s->bytes : 0, s ? s->digest : 0);
	d->holds_nothing = false;
}

void user_source_runs(struct check_user *u, struct user_device *d)
{
	if (!d->owes || d->was_reset)
		return;
	d->owes = false;
	user_keeps(u, USER_KEEPS_SOURCE);
}

void user_runs(struct check_user *u, struct user_device *d)
{
	enum user_load load = d->load;

	user_source_runs(u, d);
	d->unread_at = 0;
	d->load = USER_LOAD_NONE;
	switch (load) {
	case USER_LOAD_NONE:
		return;
	case USER_LOAD_UNKNOWN:
		return arrives(u, d);
	case USER_LOAD_GOOD:
		user_keeps(u, USER_WHOLE);
		user_keeps(u, USER_AS_READ);
		return arrives(u, d);
	case USER_LOAD_SHORT:
		user_breaks(u, USER_WHOLE, d->loaded_at, "all that the source's stream has, read to its end",
			    "a device runs that has not been given all of the stream");
		return;
	case USER_LOAD_OTHER:
		user_breaks(u, USER_AS_READ, d->loaded_at, "the bytes that were read, in their order",
			    "a device runs that has been given other bytes than were read");
		return;
	}
}

void user_lost(struct check_user *u)
{
	if (!u->lost)
		u->lost_at = u->number;
	u->lost = true;
	for (uint32_t i = 0; i < USER_DEVICES; i++)
		u->devices[i].owes |= u->devices[i].used && u->devices[i].saved;
}

void user_load_fails(struct check_user *u, struct user_device *d, bool began)
{
	user_lost(u);
	if (!d->load_failed)
		d->load_failed_at = u->number;
	if (began)
		d->load_failed = true;
	else
		d->holds_nothing = true;
}

void user_saving_stops(struct check_user *u, struct user_device *d, uint32_t from)
{
	const struct user_session *s = user_session(d);

	if (!s || !user_saves_in(from) || s->unsure)
		return;
	user_keeps(u, USER_LEAVES_AT_ZERO);
	if (!s->asked)
		user_breaks(u, USER_LEAVES_AT_ZERO, s->began_at, "PRECOPY_INFO says 0 for initial_bytes",
			    "pre-copy was left, and PRECOPY_INFO had never been asked");
	else if (s->initial_left)
		user_breaks(u, USER_LEAVES_AT_ZERO, s->began_at, "initial_bytes that have been read",
			    "pre-copy was left before initial_bytes had been read");
}

/* --- calls ------------------------------------------------------------------------------------ */

static bool is_no_failure(int64_t result)
{
	return result >= 0 || result == -EINTR || result == -EAGAIN;
}

/* Not one whose session has ended; then it is said. */
static struct user_session *in_use(struct check_user *u, struct user_device *d, uint64_t number)
{
	struct user_session *s = find(d, number);

	if (s && s->ended) {
		user_breaks(u, USER_NO_ENDED_SESSION, s->began_at,
			    "no use of a data_fd whose session has ended",
			    "the data_fd of a session that has ended was used");
		return NULL;
	}
	return s;
}

static void read_some(struct check_user *u, struct user_device *d, struct user_session *s)
{
	uint64_t n = (uint64_t)u->call->result;

	s->bytes = u->call->v[1];
	s->digest = u->call->v[0];
	s->initial_left -= n < s->initial_left ? n : s->initial_left;
	u->streams[s->stream].bytes = s->bytes;
	u->streams[s->stream].digest = s->digest;
	s->read_stopped |= d->state == VMIG_STATE_STOP_COPY;
}

static void read_end(struct check_user *u, struct user_device *d, struct user_session *s)
{
	if (d->state != VMIG_STATE_STOP_COPY) {
		s->drained = true;
		s->drained_at = u->number;
		return;
	}
	if (!s->at_end)
		u->sum.n_saved++;
	s->read_stopped = s->at_end = true;
	u->streams[s->stream].whole = true;
	if (s->drained)
		user_keeps(u, USER_DRAINED_IS_NO_END);
}

void user_data_read(struct check_user *u, struct user_device *d)
{
	struct user_session *s = in_use(u, d, u->call->v[2]);
	int64_t n = u->call->result;

	if (!s || s->loads)
		return;
	user_went_on(u, d, "data were read");
	if (n > 0) {
		read_some(u, d, s);
	} else if (!n || (n == -ENOMSG && d->state != VMIG_STATE_STOP_COPY)) {
		read_end(u, d, s);
	} else if (!is_no_failure(n)) {
		u->sum.n_failures++;
		s->failed = true;
		user_save_fails(u, d);
	}
}

void user_data_written(struct check_user *u, struct user_device *d)
{
	struct user_session *s = in_use(u, d, u->call->v[2]);

	if (!s || !s->loads)
		return;
	if (d->load_failed)
		user_breaks(u, USER_ABORTS_BY_RESET, d->load_failed_at, "a reset, or the end",
			    "data were written after the loading had failed");
	if (!is_no_failure(u->call->result)) {
		u->sum.n_failures++;
		s->failed = true;
		user_load_fails(u, d, true);
		return;
	}
	s->bytes = u->call->v[1];
	s->digest = u->call->v[0];
}

void user_data_sizes(struct check_user *u, struct user_device *d)
{
	struct user_session *s = user_session(d);

	if (u->call->request != VMIG_UAPI_MIG_GET_PRECOPY_INFO || !s || s->loads)
		return;
	user_keeps(u, USER_SIZES_IN_PRE_COPY);
	if (d->state != VMIG_STATE_PRE_COPY && d->state != VMIG_STATE_PRE_COPY_P2P)
		user_breaks(u, USER_SIZES_IN_PRE_COPY, s->began_at, "the question in PRE_COPY states only",
			    "PRECOPY_INFO was asked in %s", user_state_name(d->state));
	if (u->call->result < 0) {
		u->sum.n_failures++;
		s->unsure = true;
		return;
	}
	s->asked = true;
	s->unsure = false;
	s->initial_left = u->call->v[0];
}

/* --- descriptors ------------------------------------------------------------------------------ */

void user_data_closed(struct check_user *u, struct user_device *d)
{
	struct user_session *s = find(d, u->call->v[2]);

	if (!s)
		return;
	if (u->call->v[0]) {
		s->gone = true;
		return;
	}
	s->open = false;
	user_keeps(u, USER_CLOSES_FD);
}

void user_data_alive(struct user_device *d)
{
	for (uint32_t i = 0; i < USER_SESSIONS; i++)
		if (d->sessions[i].gone)
			d->sessions[i].open = false;
}

void user_data_device_closed(struct check_user *u, struct user_device *d)
{
	if (!d->unread_at)
		return;
	if (d->unread_drained)
		user_breaks(u, USER_DRAINED_IS_NO_END, d->unread_at, "data that are read in STOP_COPY, too",
			    "a session that was drained in PRE_COPY was not read any more in STOP_COPY");
	else
		user_breaks(u, USER_READS_TO_END, d->unread_at, "a read of 0 bytes in STOP_COPY",
			    "STOP_COPY was left for STOP before the end of the stream");
	d->unread_at = 0;
}

void user_data_end(struct check_user *u, struct user_device *d)
{
	for (uint32_t i = 0; i < USER_SESSIONS; i++)
		check_closed(u, &d->sessions[i]);
}
