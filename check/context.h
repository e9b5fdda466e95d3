/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * context - what a check works with. A check that meets something else than it expects says so and ends at once: none of
 * these returns then.
 */
#ifndef CHECK_CONTEXT_H
#define CHECK_CONTEXT_H

#include <setjmp.h>
#include <stdarg.h>

#include "check.h"

/* The most bytes of a device's stream that are kept: checks of data are skipped for devices of more. */
#define CHECK_STREAM_MAX (64u << 20)

struct check_context {
	const struct check_target *target;
	struct vmig_device *dev; /* in RUNNING */
	struct vmig_device_info info;
	struct vmig_device *second; /* NULL until check_second() */
	bool region;                /* CHECK_BY_REGION: @dev shows the migration region of v1 */
	struct check_kernel kernel; /* CHECK_BY_KERNEL; the state is as it was found */
	int socket;                 /* CHECK_BY_SOCKET */
	struct vmig_space *space;   /* NULL until the device has work; so is @work */
	void *work;
	uint32_t work_ms;            /* that it took to see that it does something */
	struct check_result *result; /* where the caller sees it, whatever becomes of this process */
	uint64_t begun_ns;
	uint32_t at, second_at; /* the states they were last seen in; VMIG_STATE_NONE */
	jmp_buf end;
};

struct check_bytes {
	uint8_t *data;
	size_t len;
};

/** What the check is doing now: a later sentence takes the place of an earlier one. */
__attribute__((format(printf, 2, 3))) void check_did(struct check_context *c, const char *format, ...);
/** Ends the check. */
__attribute__((noreturn, format(printf, 4, 5))) void
check_end(struct check_context *c, enum check_verdict verdict, const char *expected, const char *saw, ...);
#define check_fail(c, expected, ...)    check_end(c, CHECK_FAIL, expected, __VA_ARGS__)
#define check_observe(c, expected, ...) check_end(c, CHECK_OBSERVATION, expected, __VA_ARGS__)

uint64_t check_now_ns(void);

/**
 * Every transition is asked for by these, which put down what came of it for the report's graph and timings; those who ask
 * past the handle put it down themselves. It is put down first, and asked for then: what does not come back is seen.
 */
enum check_want {
	CHECK_WANT_SUCCESS,
	CHECK_WANT_EITHER,
	CHECK_WANT_ERROR,
};

/** As vmig_device_set_state(); the device's state is asked for thereafter: c->at or c->second_at. */
int check_ask(struct check_context *c, struct vmig_device *dev, uint32_t state, enum check_want want,
	      struct vmig_session **ret);
/** As vmig_device_reset(), which must succeed. */
int check_reset(struct check_context *c, struct vmig_device *dev);
/** The last transition was wrong, as is known now only, if it came as @if_came: it succeeded with data that were none. */
void check_was_wrong(struct check_context *c, enum check_came if_came);

/** From c->at to @to (or by a reset). Never fails. */
struct check_arc *check_arc_begin(struct check_context *c, uint32_t to);
/** It has come back: what is asked thereafter is not part of its time. */
void check_arc_back(const struct check_context *c, struct check_arc *arc);
/** It has returned 0 or a negative errno, and the device is in @then now. */
void check_arc_end(struct check_context *c, struct check_arc *arc, enum check_want want, int r,
		   uint32_t then);

const char *check_state_name(uint32_t state);
bool check_has_state(struct check_context *c, uint32_t state);
uint32_t check_state(struct check_context *c);
/** The state is @state, or the check fails. */
void check_in_state(struct check_context *c, uint32_t state);
/** A transition that must succeed, and that ends in @state; the session that it starts, or NULL. */
struct vmig_session *check_enter(struct check_context *c, uint32_t state);
/** The same without a look at the session. */
void check_go(struct check_context *c, uint32_t state);
/** By whatever way: the device is in RUNNING. A way to it that the device does not offer makes the check an ERROR. */
void check_to_running(struct check_context *c, struct vmig_device *dev);
/** @state by a way that is known to work, of a device that is anywhere; the session in it, or NULL. */
struct vmig_session *check_bring(struct check_context *c, uint32_t state);
/** The same for a state that has one: there is a session, or the check fails. */
struct vmig_session *check_session(struct check_context *c, uint32_t state);

/** Read until the end (0) or until it is drained (-ENOMSG), in pieces of @piece; returns which. Another error fails. */
int check_read(struct check_context *c, struct vmig_session *session, size_t piece, struct check_bytes *to);
/** The whole stream of a device in STOP, which is in STOP again then. */
void check_save(struct check_context *c, size_t piece, struct check_bytes *to);
/** A device @dev, in RUNNING, loads @len bytes in pieces of @piece. 0 in STOP, or the first error of writing or leaving. */
int check_load(struct check_context *c, struct vmig_device *dev, const uint8_t *data, size_t len,
	       size_t piece);
/** The other device, in RUNNING. */
struct vmig_device *check_second(struct check_context *c);

/** Write to what was named by --touch, or something else; *ret is what is there then: CHECK_TOUCH_MAX bytes. */
void check_touch(struct check_context *c, struct vmig_device *dev, uint8_t *ret);
void check_touch_otherwise(struct check_context *c, struct vmig_device *dev, uint8_t *ret);

extern void check_every_pair(struct check_context *c),
	check_sessions_where_they_start(struct check_context *c),
	check_group_keeps_session(struct check_context *c), check_stays(struct check_context *c),
	check_same_state(struct check_context *c), check_reset_everywhere(struct check_context *c),
	check_failed_state(struct check_context *c), check_reset_after_failure(struct check_context *c),
	check_flags(struct check_context *c), check_config_in_stop(struct check_context *c),
	check_reopen(struct check_context *c);
extern void check_end_stays(struct check_context *c), check_no_enomsg(struct check_context *c),
	check_save_twice(struct check_context *c), check_any_pieces(struct check_context *c),
	check_restored_again(struct check_context *c), check_second_device(struct check_context *c),
	check_after_reset(struct check_context *c), check_round_trip(struct check_context *c);
extern void check_touched(struct check_context *c);
extern void check_empty(struct check_context *c), check_truncated(struct check_context *c),
	check_foreign(struct check_context *c), check_extended(struct check_context *c),
	check_flipped(struct check_context *c), check_reordered(struct check_context *c);
extern void check_info_there(struct check_context *c), check_info_outside(struct check_context *c),
	check_initial(struct check_context *c), check_initial_shrinks(struct check_context *c),
	check_dirty_zero(struct check_context *c), check_drained(struct check_context *c),
	check_both_zero(struct check_context *c), check_size_everywhere(struct check_context *c),
	check_size_near(struct check_context *c);
extern void check_log_page(struct check_context *c), check_log_reports(struct check_context *c),
	check_log_once(struct check_context *c), check_log_off(struct check_context *c),
	check_log_states(struct check_context *c), check_log_sizes(struct check_context *c),
	check_log_only_sets(struct check_context *c), check_log_ranges(struct check_context *c),
	check_log_restart(struct check_context *c);
extern void check_no_interrupts(struct check_context *c), check_silent_when_loaded(struct check_context *c),
	check_p2p_quiet(struct check_context *c), check_precopy_p2p_quiet(struct check_context *c),
	check_precopy_p2p_returns(struct check_context *c);
extern void check_silent(struct check_context *c), check_works_in_precopy(struct check_context *c),
	check_log_has_all(struct check_context *c), check_log_clears(struct check_context *c),
	check_log_has_no_more(struct check_context *c), check_log_reads(struct check_context *c),
	check_reinit(struct check_context *c), check_works_again(struct check_context *c);

#endif
