/* SPDX-License-Identifier: BSD-3-Clause */
/* A device's own log of DMA. */
#include "judge.h"

void user_log_start(struct check_user *u, struct user_device *d)
{
	uint64_t n = u->call->v[1];

	user_keeps(u, USER_LOG_ONCE);
	if (d->logging)
		user_breaks(u, USER_LOG_ONCE, d->log_at, "a stop first", "a start while the log is on");
	if (d->log_refused) {
		user_keeps(u, USER_LOG_GIVES_UP);
		if (n >= d->log_refused)
			user_breaks(u, USER_LOG_GIVES_UP, d->log_refused_at, "fewer ranges, or none",
				    "a start with as many ranges as had been refused");
	}
	if (u->call->result >= 0) {
		d->logging = true;
		d->log_at = u->number;
		d->reported_since_stop = d->log_stopped_early = false;
		d->log_refused = 0;
	} else if (n && !d->logging) {
		d->log_refused = n;
		d->log_refused_at = u->number;
	}
}

void user_log_stop(struct check_user *u, struct user_device *d)
{
	user_keeps(u, USER_LOG_STOP);
	if (!d->logging)
		user_breaks(u, USER_LOG_STOP, USER_NOBODY, "a stop of a log that was started",
			    "a stop of the log, which was not on");
	if (u->call->result < 0 || !d->logging)
		return;
	d->logging = false;
	d->log_stopped_early = user_saves_in(d->state) && !d->reported_since_stop;
	user_keeps(u, USER_LOG_ENDED);
}

void user_log_report(struct check_user *u, struct user_device *d)
{
	const struct vmig_kabi_call *call = u->call;

	user_keeps(u, USER_LOG_STARTED);
	if (!d->logging) {
		user_breaks(u, USER_LOG_STARTED, USER_NOBODY, "a start first",
			    "a report of a log that is not on");
		return;
	}
	d->reported_since_stop = true;
	u->sum.n_failures += call->result < 0;
	if (!call->v[2])
		return; /* nothing that could be understood */
	user_keeps(u, USER_LOG_RANGES);
	if (call->len < call->v[1])
		user_breaks(u, USER_LOG_RANGES, d->log_at, "reports within the ranges of the start",
			    "a report of a range that is not logged");
}

void user_log_stopped(struct check_user *u, struct user_device *d)
{
	d->reported_since_stop = false;
}

void user_log_saved(struct check_user *u, struct user_device *d)
{
	if (!d->logging && !d->log_stopped_early)
		return;
	user_keeps(u, USER_LOG_AFTER_STOP);
	if (!d->reported_since_stop)
		user_breaks(u, USER_LOG_AFTER_STOP, d->log_at, "one more report once the device has stopped",
			    "the device was saved, and no report was asked for after it had stopped");
}

void user_log_closed(struct check_user *u, struct user_device *d)
{
	/* Who is killed stops nothing. */
	if (!d->logging || !u->call || u->call->v[0])
		return;
	user_breaks(u, USER_LOG_ENDED, d->log_at, "a stop of the log that was started",
		    "the device was closed with its log on");
}
