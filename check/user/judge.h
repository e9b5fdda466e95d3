/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * user-judge - what the files of the judge of users share.
 *
 *	user.c        which call is what; the results
 *	user-state.c  the state machine of v2: targets, failures, the user's hands
 *	user-data.c   the data transfer sessions of v2: what was read, what was written
 *	user-log.c    the log of DMA
 *	user-v1.c     the migration region of v1
 *	user-table.c  the rules
 */
#ifndef CHECK_USER_JUDGE_H
#define CHECK_USER_JUDGE_H

#include <vmig/uapi.h>

#include "user.h"

enum user_rule {
	USER_NO_ERROR_TARGET,
	USER_ONLY_OFFERED,
	USER_NEVER_BACK,
	USER_FUTURE,
	USER_SURE_OF_STATE,
	USER_AFTER_FAILURE,
	USER_RESETS_FROM_ERROR,
	USER_RETURNS,
	USER_HANDS_OFF_P2P,
	USER_HANDS_OFF_STOPPED,
	USER_P2P_FIRST,
	USER_READS_TO_END,
	USER_DRAINED_IS_NO_END,
	USER_LEAVES_AT_ZERO,
	USER_SIZES_IN_PRE_COPY,
	USER_NO_ENDED_SESSION,
	USER_CLOSES_FD,
	USER_AS_READ,
	USER_WHOLE,
	USER_ABORTS_BY_RESET,
	USER_NO_FAILED_LOAD,
	USER_KEEPS_SOURCE,
	USER_LOG_STARTED,
	USER_LOG_ONCE,
	USER_LOG_STOP,
	USER_LOG_RANGES,
	USER_LOG_AFTER_STOP,
	USER_LOG_GIVES_UP,
	USER_LOG_ENDED,
	USER_V1_TABLE,
	USER_V1_VALUES,
	USER_V1_RESERVED,
	USER_V1_WIDTH,
	USER_V1_ITERATION,
	USER_V1_NOT_AT_ZERO,
	USER_V1_READS_TO_END,
	USER_V1_SIZE_WRITTEN,
	USER_V1_RESUMING_ORDER,
	USER_V1_WHOLE,
	USER_V1_TRANSACTIONS,
	USER_V1_AS_READ,
	USER_V1_ASKS_AFTER_FAILURE,
	USER_V1_RESETS_FROM_ERROR,
	USER_V1_ENDS_ON_ERROR,
	USER_N_RULES,
};

#define USER_DEVICES  16u
#define USER_SESSIONS 4u         /* the last ones of a device */
#define USER_SAVED    32u        /* streams that are remembered */
#define USER_NOBODY   UINT64_MAX /* no call */

/** A data transfer session of v2. */
struct user_session {
	uint32_t number; /* 0: there is none */
	bool loads;
	bool open;    /* the user has not closed its descriptor */
	bool gone;    /* it went without that, as when a process ends */
	bool ended;   /* the device has left the states of it */
	bool drained; /* 0 or ENOMSG was read in PRE_COPY */
	bool read_stopped, at_end;
	bool failed; /* a call on it, or an arc of it */
	uint64_t bytes, digest;
	uint64_t initial_left; /* of initial_bytes, as far as the user has asked */
	bool asked, unsure;    /* unsure: the answer was a failure */
	uint32_t stream;       /* of what is saved: which of the streams; USER_SAVED: none */
	uint64_t began_at, drained_at;
};

/** What somebody has saved, as far as it was read. */
struct user_stream {
	bool whole, v1;
	uint16_t device;
	uint64_t bytes, digest; /* of v1: of the sizes of its transactions */
	uint64_t contents;      /* of v1: of the data of its transactions */
};

/** What a device has loaded, beside what was saved in this run. */
enum user_load { USER_LOAD_NONE, USER_LOAD_UNKNOWN, USER_LOAD_GOOD, USER_LOAD_SHORT, USER_LOAD_OTHER };

struct user_v1 {
	uint32_t region; /* its index; 0: not of v1 */
	bool opened;     /* has been used */
	uint32_t state, reserved;
	bool knows_state, failed, in_error, sequence_failed;
	uint64_t failed_at;
	/* of an iteration */
	bool asked_pending, asked_offset;
	uint64_t pending, offered;         /* offered: data_size that was read and not yet counted */
	uint64_t offered_digest, contents; /* contents: a digest of all; 0 if that is not known: */
	bool unknown;
	bool zero_stopped;     /* pending_bytes was 0 in stop-and-copy */
	uint64_t bytes, sizes; /* of this saving or resuming: all, and a digest of the sizes */
	uint64_t unread_at;
};

struct user_device {
	bool used; /* has been opened */
	int32_t pid;
	bool knows_flags, knows_state, migrated;
	uint64_t flags;
	uint32_t state; /* the device's own word */
	uint64_t state_at;
	struct user_session sessions[USER_SESSIONS];
	uint32_t at; /* the last of them */

	/* A transition that has failed, until the user does something about it. */
	bool failed;
	uint32_t failed_from, failed_to;
	uint64_t failed_at;
	/* ERROR */
	bool told_error;
	uint32_t tries_in_error;
	uint64_t error_at;
	/* Saving that went wrong, until the device runs again. */
	bool save_failed, tried_return;
	uint64_t save_failed_at;
	bool owes;      /* it was the source, still open, when a loading failed */
	bool was_reset; /* since it was loaded or saved: what it had is gone */
	bool saved;     /* it was the source of something that has not arrived */
	/* Loading that went wrong. */
	bool load_failed; /* and nothing was done about it */
	bool holds_nothing;
	uint64_t load_failed_at;
	enum user_load load; /* what it holds, until it runs */
	uint64_t loaded_at;
	uint64_t unread_at; /* it was stopped, saved and stopped again, and not all was read */
	bool unread_drained;

	bool logging, reported_since_stop;
	bool log_stopped_early;       /* while the device was being saved, and ran */
	uint64_t log_at, log_refused; /* log_refused: so many ranges were too many */
	uint64_t log_refused_at;
	struct user_v1 v1;
};

struct check_user {
	struct check_user_sum sum;
	struct check_user_result results[USER_N_RULES];
	struct user_device devices[USER_DEVICES];
	struct user_stream streams[USER_SAVED];
	uint32_t n_streams;
	bool lost; /* a load has failed, and nothing has arrived since then */
	uint64_t lost_at;
	/* The call in hand. */
	uint64_t number;
	const struct vmig_kabi_call *call; /* NULL: the end */
};

/** Here the rule can be kept or broken. */
void user_keeps(struct check_user *u, enum user_rule rule);
/** It is broken by the call in hand; @earlier (or USER_NOBODY) has to do with it. */
__attribute__((format(printf, 5, 6))) void user_breaks(struct check_user *u, enum user_rule rule,
						       uint64_t earlier, const char *expected,
						       const char *saw, ...);
const char *user_state_name(uint32_t state);
bool user_saves_in(uint32_t state);
bool user_is_p2p(uint32_t state);

/* user-state.c */
void user_set_state(struct check_user *u, struct user_device *d);
void user_get_state(struct check_user *u, struct user_device *d);
void user_reset(struct check_user *u, struct user_device *d);
void user_touch(struct check_user *u, struct user_device *d);
void user_device_closed(struct check_user *u, struct user_device *d);
/** Something else was done: what does that say of a transition that has failed? */
void user_went_on(struct check_user *u, struct user_device *d, const char *what);
void user_states_end(struct check_user *u);

/* user-data.c */
struct user_session *user_session(struct user_device *d);
void user_session_begins(struct check_user *u, struct user_device *d, uint32_t number, bool loads);
void user_session_ends(struct check_user *u, struct user_device *d, uint32_t now);
void user_saving_stops(struct check_user *u, struct user_device *d, uint32_t from);
void user_runs(struct check_user *u, struct user_device *d);
/** @began: in RESUMING; else that could not be reached. */
void user_load_fails(struct check_user *u, struct user_device *d, bool began);
/** A load has failed: what was to arrive is its source's to keep. */
void user_lost(struct check_user *u);
void user_save_fails(struct check_user *u, struct user_device *d);
/** A device is in RUNNING again, by its user's will. */
void user_source_runs(struct check_user *u, struct user_device *d);
void user_data_read(struct check_user *u, struct user_device *d);
void user_data_written(struct check_user *u, struct user_device *d);
void user_data_sizes(struct check_user *u, struct user_device *d);
void user_data_closed(struct check_user *u, struct user_device *d);
/** The user is alive, so what is gone was closed. */
void user_data_alive(struct user_device *d);
/** The device is closed. */
void user_data_device_closed(struct check_user *u, struct user_device *d);
/** Nothing can come any more. */
void user_data_end(struct check_user *u, struct user_device *d);
/** One more; its place. The oldest are forgotten. */
uint32_t user_stream_begins(struct check_user *u, const struct user_device *d, bool v1);
/** A stream has come to where it is to run: it is no more its source's to keep. */
void user_stream_arrives(struct check_user *u, bool v1, uint64_t bytes, uint64_t digest);

/* user-log.c */
void user_log_start(struct check_user *u, struct user_device *d);
void user_log_stop(struct check_user *u, struct user_device *d);
void user_log_report(struct check_user *u, struct user_device *d);
void user_log_stopped(struct check_user *u, struct user_device *d);
/** Saving has come to its end. */
void user_log_saved(struct check_user *u, struct user_device *d);
void user_log_closed(struct check_user *u, struct user_device *d);

/* user-v1.c */
void user_v1_access(struct check_user *u, struct user_device *d);
void user_v1_reset(struct check_user *u, struct user_device *d);
void user_v1_closed(struct check_user *u, struct user_device *d);

#endif
