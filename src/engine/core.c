/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of stages, and what every stage has in common: the peer, time, faults, the end. */
#include "engine/core.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "engine/stages.h"

const struct vmig_stage_row vmig_stages[VMIG_STAGE_NR] = {
	[VMIG_STAGE_HELLO] = { "hello", vmig_source_hello, vmig_destination_hello },
	[VMIG_STAGE_OFFER] = { "offer", vmig_source_offer, vmig_destination_offer },
	[VMIG_STAGE_PRECOPY] = { "precopy", vmig_source_precopy, vmig_destination_precopy },
	[VMIG_STAGE_QUIESCE] = { "quiesce", vmig_source_quiesce, vmig_destination_quiesce },
	[VMIG_STAGE_SWITCHOVER] = { "switchover", vmig_source_switchover, vmig_destination_switchover },
	[VMIG_STAGE_VERIFY] = { "verify", vmig_source_verify, vmig_destination_verify },
	[VMIG_STAGE_COMMIT] = { "commit", vmig_source_commit, vmig_destination_commit },
	[VMIG_STAGE_RUN] = { "run", vmig_source_run, vmig_destination_run },
};

/* Both ends say something at least so often, so that silence means something. */
#define BEAT_NS     NS_PER_S
#define PROGRESS_NS (100 * NS_PER_MS)
/* A peer that has our last word closes at once; a pump that is told to stop ends after a piece. */
#define LINGER_NS (2 * NS_PER_S)
#define STUCK_NS  (2 * NS_PER_S)

const char *vmig_stage_name(enum vmig_stage stage)
{
	return stage < VMIG_STAGE_NR ? vmig_stages[stage].name : NULL;
}

void vmig_core_init(struct vmig_core *core, const struct vmig_core_config *config,
		    struct vmig_core_device *devices, uint32_t n)
{
	/* The ring is large, and all of it that is used is written first. */
	memset(core, 0, offsetof(struct vmig_core, actions));
	core->first = 0;
	core->used = 0;
	core->result = (struct vmig_migrate_result){ 0 };
	core->config = *config;
	core->devices = devices;
	core->n = n;
	core->own.attempt = config->attempt;
	snprintf(core->own.me, sizeof(core->own.me), "%s", config->me ? config->me : "");
	for (uint32_t i = 0; i < n; i++) {
		devices[i].state = VMIG_STATE_NONE;
		devices[i].stop_copy_size = VMIG_OFFER_SIZE_UNKNOWN;
	}
}

/* --- the stage in hand --- */

static void dispatch(struct vmig_core *core, const struct vmig_core_event *ev)
{
	const struct vmig_stage_row *row = &vmig_stages[core->stage];

	if (core->phase == VMIG_PHASE_GO)
		(core->config.source ? row->source : row->destination)(core, ev);
	else if (core->phase == VMIG_PHASE_DOUBT)
		vmig_source_doubt(core, ev);
	else if (core->phase == VMIG_PHASE_ROLLBACK)
		(core->config.source ? vmig_source_rollback : vmig_destination_rollback)(core, ev);
}

static void close_stage(struct vmig_core *core)
{
	core->result.stage_ns[core->stage] += core->now - core->stage_ns;
	core->result.stage_bytes[core->stage] += core->bytes - core->stage_bytes;
	core->stage_ns = core->now;
	core->stage_bytes = core->bytes;
}

void vmig_core_enter(struct vmig_core *core, enum vmig_stage stage)
{
	const struct vmig_core_event enter = { .kind = VMIG_EV_ENTER,
					       .now_ns = core->now,
					       .bytes = core->bytes };

	close_stage(core);
	core->stage = stage;
	core->step = 0;
	core->result.stage = stage;
	vmig_core_push(core, VMIG_ACT_EVENT, 0);
	dispatch(core, &enter);
}

/* --- events that every stage has in common --- */

/* As the devices keep it: what begins to load, and what is reset, is nobody's. */
static void note_tag(struct vmig_core_device *dev, const struct vmig_core_event *ev)
{
	static const struct vmig_uuid none;
	bool loads = ev->job == VMIG_JOB_STATE && dev->target == VMIG_STATE_RESUMING;

	if (ev->job == VMIG_JOB_QUERY_STATE) {
		dev->tagged = ev->tagged;
		dev->tag = ev->tag;
	} else if (ev->job == VMIG_JOB_TAG && !ev->code) {
		dev->tag.identity = ev->tag.identity;
		dev->tag.attempt = ev->tag.attempt;
	} else if (loads || ev->job == VMIG_JOB_RESET) {
		dev->tag.identity = none;
	}
}

static void note_job(struct vmig_core *core, const struct vmig_core_event *ev)
{
	struct vmig_core_device *dev = &core->devices[ev->device];
	bool new_state =
		ev->job == VMIG_JOB_STATE || ev->job == VMIG_JOB_QUERY_STATE || ev->job == VMIG_JOB_RESET;

	dev->job = VMIG_JOB_NONE;
	if (ev->note)
		vmig_core_warn(core, ev->note);
	if (new_state) {
		struct vmig_core_action *a;

		dev->state = ev->state;
		vmig_core_push(core, VMIG_ACT_EVENT, ev->device);
		a = &core->actions[(core->first + core->used - 1) % VMIG_CORE_ACTIONS];
		a->event.kind = VMIG_EVENT_STATE;
		a->event.state = ev->state;
	}
	note_tag(dev, ev);
	if (ev->job == VMIG_JOB_RESET && !ev->code)
		core->result.resets++;
	if (ev->job == VMIG_JOB_STATE)
		core->plan.arc_ns = MAX(core->plan.arc_ns, core->now - dev->job_ns);
	if (ev->job == VMIG_JOB_PUMP) {
		dev->length = ev->length;
		dev->chain = ev->chain;
	}
	/* A device that fails to give data may be in ERROR by now: it will be asked. */
	if (ev->code && (ev->job == VMIG_JOB_PUMP || ev->job == VMIG_JOB_SIZES))
		dev->state = VMIG_STATE_NONE;
	/* Nor is one that does not come back from being asked where it was left: in whatever phase that is heard. */
	if (ev->code &&
	    (ev->job == VMIG_JOB_DESCRIBE || ev->job == VMIG_JOB_JUDGE || ev->job == VMIG_JOB_TAG)) {
		dev->state = VMIG_STATE_NONE;
		dev->moved = true;
	}
}

/* Failures that the stage itself judges: estimates, and the release of a source that is needed no more. */
static bool may_fail(const struct vmig_core *core, enum vmig_job job)
{
	return job == VMIG_JOB_DESCRIBE || job == VMIG_JOB_JUDGE || job == VMIG_JOB_SIZES ||
	       (core->config.source && core->stage == VMIG_STAGE_RUN);
}

static void job_event(struct vmig_core *core, const struct vmig_core_event *ev)
{
	struct vmig_core_device *dev = &core->devices[ev->device];
	char what[96];

	note_job(core, ev);
	if (ev->code && core->phase == VMIG_PHASE_GO && !may_fail(core, ev->job)) {
		const char *target = vmig_state_name(dev->target);

		if (ev->job == VMIG_JOB_STATE)
			snprintf(what, sizeof(what), "cannot go to %s", target ? target : "?");
		else if (ev->job == VMIG_JOB_RESET)
			snprintf(what, sizeof(what), "cannot be reset");
		else if (ev->job == VMIG_JOB_TAG)
			snprintf(what, sizeof(what), "cannot be tagged");
		else
			snprintf(what, sizeof(what), "cannot read its data");
		vmig_core_device_reason(core, ev->device, ev->code, what, ev->text);
		/* Where it is not known whose it is, it is left as it is. */
		vmig_core_fail(core, !dev->moved && dev->state != VMIG_STATE_RUNNING && core->config.source
					     ? VMIG_IN_DOUBT
					     : VMIG_NOT_DONE);
		return;
	}
	dispatch(core, ev);
}

static bool bad_stream(int code)
{
	return code == -EBADMSG || code == -EPROTO || code == -E2BIG || code == -EPROTONOSUPPORT;
}

/* A destination is given a stream to read. A source that is answered by something else was given a wrong address. */
static bool may_judge(const struct vmig_core *core)
{
	return !core->config.source || core->stage == VMIG_STAGE_HELLO;
}

static void lost(struct vmig_core *core, const struct vmig_core_event *ev)
{
	bool bad = bad_stream(ev->code), to_read = core->config.one_way && !core->config.source;

	/* The commit has passed and the other end is needed no more. */
	if (core->phase == VMIG_PHASE_GO && core->promised &&
	    (!core->config.source || (core->stage == VMIG_STAGE_RUN && core->step))) {
		core->lost = true;
		return;
	}
	if (core->phase == VMIG_PHASE_GO) {
		/* What the peer says can no longer be used, but it may still listen and be told why. */
		core->lost = !bad;
		vmig_core_reason(core, ev->code ? ev->code : -ECONNRESET, "%s",
				 ev->text ? ev->text : "the other end has closed the connection");
		vmig_core_fail(core, to_read || (bad && may_judge(core)) ? VMIG_BAD_INPUT : VMIG_NOT_DONE);
	}
	core->lost = true;
	vmig_core_push(core, VMIG_ACT_CHANNEL_SHUTDOWN, 0);
	if (core->phase == VMIG_PHASE_LINGER) {
		core->phase = VMIG_PHASE_OVER;
		vmig_core_push(core, VMIG_ACT_FINISH, 0);
	}
}

/* A peer's text goes to a terminal. */
static void peer_text(const struct vmig_abort *m, char ret[VMIG_REASON_MAX + 1])
{
	uint32_t len = MIN(m->text_len, VMIG_REASON_MAX);

	for (uint32_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)m->text[i];

		ret[i] = (c < ' ' && c != '\n') || c == 0x7f ? '?' : (char)c;
	}
	ret[len] = '\0';
}

static void aborted(struct vmig_core *core, const struct vmig_core_event *ev)
{
	struct vmig_cursor c = vmig_cursor_over(ev->payload, ev->payload_len);
	char text[VMIG_REASON_MAX + 1];
	struct vmig_abort m;

	core->told = true;
	if (core->phase == VMIG_PHASE_LINGER) {
		const struct vmig_core_event end = { .kind = VMIG_EV_LOST };

		lost(core, &end);
		return;
	}
	if (core->phase != VMIG_PHASE_GO || (!core->config.source && core->promised))
		return;
	if (vmig_abort_get(&c, &m))
		m = (struct vmig_abort){ .text = "it does not say why", .text_len = 19 };
	peer_text(&m, text);
	vmig_core_reason(core, m.code ? -(int)MIN(m.code, 4095u) : -EREMOTEIO, "%s%s: %s",
			 core->config.source ? "the destination" : "the source",
			 ev->type == VMIG_RECORD_REFUSE ? " refuses" : "", text);
	/* Its word that it will never run these: while it has not taken over, the promise is void. Where there is a record, it
	 * takes more than a word: only that this attempt is closed there. */
	if (!core->committed && !core->own.on)
		core->promised = false;
	vmig_core_fail(core, VMIG_NOT_DONE);
}

static void record_event(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (ev->type == VMIG_RECORD_PROGRESS)
		return;
	if (ev->type == VMIG_RECORD_ABORT || (ev->type == VMIG_RECORD_REFUSE && core->config.source))
		aborted(core, ev);
	else if (core->phase == VMIG_PHASE_GO)
		dispatch(core, ev);
}

static bool silent(const struct vmig_core *core)
{
	return !core->config.one_way && !core->lost && core->config.timeout_ns &&
	       core->now >= core->heard_ns + core->config.timeout_ns;
}

/*
 * A peer that says a byte now and then is not silent, and could keep its place for ever: until it is accepted each
 * stage has its time, in which this end waits for it (and not it for this end).
 */
static bool waits_for_word(const struct vmig_core *core)
{
	return !core->config.one_way && !core->config.source && !core->lost && core->config.timeout_ns &&
	       core->phase == VMIG_PHASE_GO && core->stage <= VMIG_STAGE_OFFER && vmig_core_idle(core);
}

static bool too_slow(const struct vmig_core *core)
{
	return waits_for_word(core) && core->now >= core->stage_ns + core->config.timeout_ns;
}

static uint64_t beat_ns(const struct vmig_core *core)
{
	return core->config.timeout_ns ? MIN(BEAT_NS, core->config.timeout_ns / 4 + 1) : BEAT_NS;
}

static bool due(struct vmig_core *core, uint64_t *deadline, uint64_t again_ns)
{
	if (!*deadline || core->now < *deadline)
		return false;
	*deadline = again_ns ? core->now + again_ns : 0;
	return true;
}

static void tick(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (silent(core) || too_slow(core)) {
		const struct vmig_core_event end = {
			.kind = VMIG_EV_LOST,
			.code = -ETIMEDOUT,
			.text = silent(core) ? "the other end is silent"
					     : "the other end takes too long to say what it wants",
		};

		lost(core, &end);
		return;
	}
	if (due(core, &core->beat_ns, beat_ns(core)) && !core->config.one_way &&
	    core->phase != VMIG_PHASE_LINGER)
		vmig_core_send(core, VMIG_RECORD_PROGRESS, VMIG_RECORD_ALL);
	if (due(core, &core->progress_ns, PROGRESS_NS)) {
		vmig_core_push(core, VMIG_ACT_EVENT, 0);
		core->actions[(core->first + core->used - 1) % VMIG_CORE_ACTIONS].event.kind =
			VMIG_EVENT_PROGRESS;
	}
	if (due(core, &core->stuck_ns, 0) && !core->lost) {
		core->lost = true;
		vmig_core_push(core, VMIG_ACT_CHANNEL_SHUTDOWN, 0);
	}
	if (due(core, &core->linger_ns, 0)) {
		core->phase = VMIG_PHASE_OVER;
		vmig_core_push(core, VMIG_ACT_FINISH, 0);
		return;
	}
	dispatch(core, ev);
}

static void start(struct vmig_core *core)
{
	core->start_ns = core->now;
	core->stage_ns = core->now;
	core->heard_ns = core->now;
	core->beat_ns = core->now + beat_ns(core);
	core->progress_ns = core->now + PROGRESS_NS;
	vmig_core_enter(core, VMIG_STAGE_HELLO);
}

static void cancel(struct vmig_core *core)
{
	core->own.impatient = true;
	if (core->phase == VMIG_PHASE_DOUBT)
		core->own.until_ns = core->now;
	if (core->phase != VMIG_PHASE_GO || core->promised)
		return;
	vmig_core_reason(core, -ECANCELED, "cancelled");
	vmig_core_fail(core, VMIG_NOT_DONE);
}

void vmig_core_event(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (core->phase == VMIG_PHASE_OVER)
		return;
	core->now = MAX(core->now, ev->now_ns);
	core->bytes = MAX(core->bytes, ev->bytes);
	core->heard_ns = MAX(core->heard_ns, ev->heard_ns);
	switch (ev->kind) {
	case VMIG_EV_START:
		start(core);
		break;
	case VMIG_EV_RECORD:
		record_event(core, ev);
		break;
	case VMIG_EV_JOB:
		job_event(core, ev);
		break;
	case VMIG_EV_TICK:
		tick(core, ev);
		break;
	case VMIG_EV_LOST:
		lost(core, ev);
		break;
	case VMIG_EV_CANCEL:
		cancel(core);
		break;
	case VMIG_EV_OWNER:
		vmig_own_note(core, ev);
		dispatch(core, ev);
		break;
	case VMIG_EV_DATA_FAILED:
		if (core->phase != VMIG_PHASE_GO)
			break;
		vmig_core_device_reason(core, ev->device, ev->code, "does not take its data", ev->text);
		vmig_core_fail(core, VMIG_NOT_DONE);
		break;
	case VMIG_EV_USER:
	case VMIG_EV_ENTER:
		dispatch(core, ev);
		break;
	}
}

/* --- the end --- */

void vmig_core_roll_back(struct vmig_core *core)
{
	core->phase = VMIG_PHASE_ROLLBACK;
	core->step = 0;
	core->stuck_ns = core->now + STUCK_NS;
	vmig_core_stop_pumps(core);
	dispatch(core, NULL);
}

void vmig_core_fail(struct vmig_core *core, enum vmig_outcome outcome)
{
	if (core->phase != VMIG_PHASE_GO)
		return;
	core->result.outcome = outcome;
	if (core->promised && core->config.source && core->own.on) {
		core->phase = VMIG_PHASE_DOUBT;
		dispatch(core, NULL);
	} else if (core->promised) {
		/* Nothing may be undone any more by this end alone. */
		if (!core->config.source)
			vmig_core_send(core, VMIG_RECORD_ABORT, VMIG_RECORD_ALL);
		vmig_core_finish(core, core->config.source && !core->told ? VMIG_IN_DOUBT : VMIG_SOURCE_LOST);
	} else {
		vmig_core_roll_back(core);
	}
}

void vmig_core_unexpected(struct vmig_core *core, const struct vmig_core_event *ev)
{
	const char *name = vmig_record_name(ev->type);

	vmig_core_reason(core, -EPROTO, "the other end sends %s in stage %s",
			 name ? name : "an unknown record", vmig_stage_name(core->stage));
	vmig_core_fail(core, core->config.source ? VMIG_NOT_DONE : VMIG_BAD_INPUT);
}

void vmig_core_end_downtime(struct vmig_core *core)
{
	if (core->down_ns)
		core->result.downtime_ns = core->now - core->down_ns;
	core->down_ns = 0;
}

void vmig_core_finish(struct vmig_core *core, enum vmig_outcome outcome)
{
	struct vmig_migrate_result *r = &core->result;

	close_stage(core);
	r->outcome = outcome;
	r->owned = core->own.on || (core->config.owned && core->stage == VMIG_STAGE_HELLO);
	r->attempt = core->own.attempt;
	r->total_ns = core->now - core->start_ns;
	vmig_core_end_downtime(core);
	r->bytes = core->bytes;
	core->stuck_ns = 0;
	core->beat_ns = 0;
	core->progress_ns = 0;
	if (core->last_word && !core->lost && !core->told) {
		core->phase = VMIG_PHASE_LINGER;
		core->linger_ns = core->now + LINGER_NS;
		return;
	}
	core->phase = VMIG_PHASE_OVER;
	vmig_core_push(core, VMIG_ACT_FINISH, 0);
}

uint64_t vmig_core_deadline(const struct vmig_core *core)
{
	const uint64_t deadlines[] = { core->beat_ns, core->progress_ns, core->linger_ns, core->stuck_ns };
	uint64_t first = UINT64_MAX;

	if (core->phase == VMIG_PHASE_OVER)
		return UINT64_MAX;
	if (core->own.again_ns && core->phase != VMIG_PHASE_LINGER)
		first = core->own.again_ns;
	for (size_t i = 0; i < ARRAY_SIZE(deadlines); i++)
		if (deadlines[i])
			first = MIN(first, deadlines[i]);
	for (uint32_t i = 0; core->phase == VMIG_PHASE_GO && i < core->n; i++)
		if (core->devices[i].ask_ns)
			first = MIN(first, core->devices[i].ask_ns);
	if (!core->config.one_way && !core->lost && core->config.timeout_ns)
		first = MIN(first, core->heard_ns + core->config.timeout_ns);
	if (waits_for_word(core))
		first = MIN(first, core->stage_ns + core->config.timeout_ns);
	return first;
}

bool vmig_core_wants_record(const struct vmig_core *core, uint32_t type)
{
	bool works_it_out = core->stage == VMIG_STAGE_HELLO || core->stage == VMIG_STAGE_OFFER ||
			    core->stage == VMIG_STAGE_VERIFY;

	if (type == VMIG_RECORD_PROGRESS || type == VMIG_RECORD_ABORT)
		return true;
	/* Nor while the record is being asked. */
	if (works_it_out && core->phase == VMIG_PHASE_GO && !core->config.source &&
	    (core->own.ask || core->own.again_ns ||
	     (core->stage == VMIG_STAGE_HELLO && core->own.at < VMIG_OWN_FOUND)))
		return false;
	return core->phase != VMIG_PHASE_GO || core->config.source || !works_it_out || vmig_core_idle(core);
}

uint32_t vmig_core_connections(const struct vmig_core *core)
{
	uint32_t theirs = core->peer.flags >> VMIG_HELLO_CONNECTIONS_SHIFT;

	return MAX(MIN(MIN(core->config.connections, VMIG_LIMIT_CONNECTIONS), theirs), 1);
}

bool vmig_core_wants_data(const struct vmig_core *core)
{
	return core->phase == VMIG_PHASE_GO && !core->config.source && core->stage >= VMIG_STAGE_PRECOPY &&
	       core->stage <= VMIG_STAGE_SWITCHOVER;
}
