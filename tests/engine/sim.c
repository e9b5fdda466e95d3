/* SPDX-License-Identifier: BSD-3-Clause */
#include "sim.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"

/* Check's own note every assertion that holds, with a system call: here are millions. */
#define MUST(condition, ...)                                                                                 \
	do {                                                                                                 \
		if (!(condition))                                                                            \
			ck_abort_msg(__VA_ARGS__);                                                           \
	} while (0)
#define HOLDS(condition) MUST(condition, "not: %s", #condition)

#define SOURCE      0
#define DESTINATION 1

static void settle(struct sim *sim, int s);
static const struct vmig_uuid uuid_none;

/* --- what must hold at every instant --- */

static bool runs(uint32_t state)
{
	return state == VMIG_STATE_RUNNING || state == VMIG_STATE_RUNNING_P2P ||
	       state == VMIG_STATE_PRE_COPY || state == VMIG_STATE_PRE_COPY_P2P;
}

/* May do DMA to another device. */
static bool active(uint32_t state)
{
	return state == VMIG_STATE_RUNNING || state == VMIG_STATE_PRE_COPY;
}

/* Memory is saved to its end only when nobody writes to it any more. */
static void check_memory(const struct sim *sim)
{
	const struct sim_side *s = &sim->side[0];

	for (uint32_t i = 0; s->core.phase == VMIG_PHASE_GO && i < sim->n; i++) {
		if (!(s->devices[i].info.traits & VMIG_TRAIT_MEMORY) ||
		    s->real[i].state != VMIG_STATE_STOP_COPY)
			continue;
		for (uint32_t j = 0; j < sim->n; j++)
			MUST(!runs(s->real[j].state), "memory %u has stopped, device %u runs", i, j);
	}
}

/* No device that knows P2P may be stopped while another that knows it still starts DMA to its peers. */
static void check_barrier(const struct sim *sim, int s)
{
	const struct sim_device *d = sim->side[s].real;

	for (uint32_t i = 0; i < sim->n; i++) {
		if (!(d[i].features & VMIG_MIGRATION_P2P) || d[i].was_reset)
			continue;
		for (uint32_t j = 0; j < sim->n; j++) {
			bool stopped = d[j].state == VMIG_STATE_STOP_COPY || d[j].state == VMIG_STATE_STOP;

			if (!(d[j].features & VMIG_MIGRATION_P2P) || d[j].was_reset || !active(d[i].state) ||
			    !stopped)
				continue;
			/* The destination parks blank devices; nothing of the migrated runs there before the last stage. */
			MUST(s == DESTINATION && sim->side[s].core.stage < VMIG_STAGE_RUN,
			     "side %d: device %u is in %s while %u is in %s", s, i,
			     vmig_state_name(d[i].state), j, vmig_state_name(d[j].state));
		}
	}
}

static void check_one_runs(const struct sim *sim)
{
	const struct sim_side *d = &sim->side[DESTINATION];

	if (d->core.stage != VMIG_STAGE_RUN || sim->side[SOURCE].core.config.keep_source)
		return;
	for (uint32_t i = 0; i < sim->n; i++)
		MUST(!runs(sim->side[SOURCE].real[i].state) || sim->side[SOURCE].real[i].was_reset,
		     "device %u runs on both sides", i);
}

/* Running, and not blank. */
bool sim_owner_runs(const struct sim *sim, int s)
{
	for (uint32_t i = 0; i < sim->n; i++) {
		const struct sim_device *d = &sim->side[s].real[i];

		if (runs(d->state) && (s == SOURCE ? !d->was_reset : !vmig_uuid_is_none(&d->tag.identity)))
			return true;
	}
	return false;
}

static const char *const names[2] = { "host/source", "host/destination" };

/* Never two; and who runs is who the record says. */
static void check_record(const struct sim *sim)
{
	bool here = sim_owner_runs(sim, SOURCE), there = sim_owner_runs(sim, DESTINATION);

	if (!sim->owned)
		return;
	MUST(!(here && there), "both sides run (fault %d at %u)", sim->fault, sim->fault_at);
	for (uint32_t i = 0; i < sim->n; i++) {
		const struct vmig_ownership *r = &sim->record[i];

		if (!r->phase)
			continue;
		MUST(!here || !strcmp(r->owner, names[SOURCE]), "the source runs what is %s's", r->owner);
		MUST(!there || !strcmp(r->owner, names[DESTINATION]), "the destination runs what is %s's",
		     r->owner);
	}
}

/* --- the record --- */

static struct vmig_uuid uuid(uint8_t kind, uint32_t i)
{
	return (struct vmig_uuid){ { kind, (uint8_t)(i + 1) } };
}

static void ask(struct sim_side *side)
{
	struct sim_question *q = &side->question;

	HOLDS((q->ask) == (VMIG_OWNER_ASK_NONE));
	q->ask = side->core.own.ask;
	q->n = 0;
	for (uint32_t i = 0; i < side->core.n; i++) {
		if (!side->devices[i].in_unit)
			continue;
		q->ids[q->n] = side->devices[i].identity;
		q->now[q->n] = side->devices[i].record;
		q->next[q->n++] = side->devices[i].next;
	}
}

static struct vmig_ownership *record_of(struct sim *sim, const struct vmig_uuid *id)
{
	for (uint32_t i = 0; i < sim->n; i++)
		if (vmig_uuid_equal(&sim->record[i].device, id))
			return &sim->record[i];
	ck_abort_msg("no such device is known");
}

static bool swap(struct sim *sim, const struct sim_question *q)
{
	for (uint32_t i = 0; i < q->n; i++) {
		const struct vmig_ownership *r = record_of(sim, &q->ids[i]);
		bool absent = !r->phase && !q->now[i].phase;

		if (!absent && !vmig_ownership_equal(r, &q->now[i]) && !vmig_ownership_equal(r, &q->next[i]))
			return false;
	}
	for (uint32_t i = 0; i < q->n; i++)
		*record_of(sim, &q->ids[i]) = q->next[i];
	return true;
}

static void read_records(struct sim *sim, struct sim_side *side, struct vmig_core_event *ev)
{
	for (uint32_t i = 0; i < side->question.n; i++)
		side->answer[i] = *record_of(sim, &side->question.ids[i]);
	ev->owner = VMIG_OWNER_RECORDS;
	ev->records = side->answer;
	ev->store = uuid(9, 0);
	ev->unit_max = SIM_DEVICES;
}

static bool fault_now(struct sim *sim, enum sim_fault a, enum sim_fault b);

/* A question is answered, well or not. */
static void do_question(struct sim *sim, struct sim_side *side, struct vmig_core_event *ev)
{
	const struct sim_question *q = &side->question;
	bool is_swap = q->ask == VMIG_OWNER_ASK_SWAP;

	if (fault_now(sim, SIM_RECORD_AWAY, SIM_RECORD_AWAY))
		sim->away = 4;
	sim->gone |= fault_now(sim, SIM_RECORD_GONE, SIM_RECORD_GONE);
	/* What it has lost may be whole at the destination: who has promised and raises this loses it. */
	ck_assert(side != &sim->side[SOURCE] || !is_swap || side->core.own.step != VMIG_OWNER_RAISE ||
		  side->core.config.resolve || !side->core.promised || !side->real[0].gone);
	ev->code = -ETIMEDOUT;
	if (sim->gone || sim->away) {
		sim->away -= sim->away > 0;
		ev->owner = VMIG_OWNER_UNREACHABLE;
	} else if (!is_swap) {
		ev->code = 0;
		read_records(sim, side, ev);
	} else if (fault_now(sim, SIM_RECORD_UNKNOWN_DONE, SIM_RECORD_UNKNOWN_DONE)) {
		swap(sim, q);
		ev->owner = VMIG_OWNER_UNKNOWN;
	} else if (fault_now(sim, SIM_RECORD_UNKNOWN_NOT, SIM_RECORD_LATE)) {
		if (sim->fault == SIM_RECORD_LATE)
			sim->late = *q;
		ev->owner = VMIG_OWNER_UNKNOWN;
	} else {
		ev->code = 0;
		ev->owner = swap(sim, q) ? VMIG_OWNER_WON : VMIG_OWNER_LOST;
	}
}

/* A swap of somebody who did not learn of it is done now, or never was possible. */
static void do_late(struct sim *sim)
{
	if (!sim->late.ask || rand_r(&sim->seed) % 8)
		return;
	swap(sim, &sim->late);
	sim->late.ask = VMIG_OWNER_ASK_NONE;
	check_record(sim);
}

static void bump_all(struct sim *sim)
{
	struct vmig_owner_actor somebody = { .me = "host/somebody", .writer = uuid(8, sim->step) };

	for (uint32_t i = 0; i < sim->n; i++)
		if (vmig_owner_next(VMIG_OWNER_BUMP, &somebody, &sim->record[i], &sim->record[i]))
			return;
}

static void feed(struct sim *sim, int s, struct vmig_core_event *ev);

static void answer(struct sim *sim, int s)
{
	struct vmig_core_event ev = { .kind = VMIG_EV_OWNER, .text = "the record" };

	do_question(sim, &sim->side[s], &ev);
	sim->side[s].question.ask = VMIG_OWNER_ASK_NONE;
	sim->now += 300000;
	check_record(sim);
	feed(sim, s, &ev);
	check_record(sim);
}

/* --- the channel --- */

static void send(struct sim *sim, int to, const struct sim_message *m)
{
	struct sim_side *peer = &sim->side[to];

	if (sim->silent || sim->side[!to].down || sim->side[!to].dead)
		return;
	HOLDS((peer->used) < (SIM_QUEUE));
	peer->in[(peer->first + peer->used++) % SIM_QUEUE] = *m;
}

static void feed(struct sim *sim, int s, struct vmig_core_event *ev)
{
	struct sim_side *side = &sim->side[s];

	if (side->finished || side->dead)
		return;
	ev->now_ns = sim->now;
	ev->bytes = side->bytes;
	ev->heard_ns = side->used ? sim->now : side->heard;
	vmig_core_event(&side->core, ev);
	side->discard |= side->core.phase != VMIG_PHASE_GO;
	settle(sim, s);
}

static void feed_user(struct sim *sim, int s)
{
	bool fails = sim->fault == SIM_USER_FAILS && !sim->fault_done && sim->step >= sim->fault_at;
	struct vmig_core_event ev = { .kind = VMIG_EV_USER, .code = fails ? -EPERM : 0, .text = "not today" };

	sim->fault_done |= fails;
	feed(sim, s, &ev);
}

/* --- actions --- */

static void act_send(struct sim *sim, int s, const struct vmig_core_action *a)
{
	struct sim_message m = { .type = a->type, .device = a->device };
	struct vmig_cursor c = vmig_cursor_into(m.payload, sizeof(m.payload));

	vmig_core_payload(&sim->side[s].core, a, &c);
	HOLDS(vmig_cursor_ok(&c));
	m.len = (uint32_t)(sizeof(m.payload) - c.left);
	send(sim, !s, &m);
}

static void act(struct sim *sim, int s, const struct vmig_core_action *a)
{
	struct sim_side *side = &sim->side[s];

	switch (a->kind) {
	case VMIG_ACT_SEND:
		act_send(sim, s, a);
		break;
	case VMIG_ACT_JOB:
		HOLDS((side->pending[a->device].kind) == (VMIG_ACT_NONE));
		side->pending[a->device] = *a;
		side->stop[a->device] = false;
		side->ready_ns[a->device] = a->job == VMIG_JOB_STATE ? sim->now + sim->slow_ns : 0;
		break;
	case VMIG_ACT_PUMP_STOP:
		side->stop[a->device] = true;
		break;
	case VMIG_ACT_QUIESCE:
		side->quiesced++;
		feed_user(sim, s);
		break;
	case VMIG_ACT_RESUME:
		side->resumed++;
		break;
	case VMIG_ACT_SAVE_RECORD:
		side->saved++;
		feed_user(sim, s);
		break;
	case VMIG_ACT_LOAD_RECORD:
		side->loaded++;
		feed_user(sim, s);
		break;
	case VMIG_ACT_START:
		side->started++;
		break;
	case VMIG_ACT_CHANNEL_COMMIT:
		sim->commits++;
		feed_user(sim, s);
		break;
	case VMIG_ACT_CHANNEL_SHUTDOWN:
		side->down = true;
		break;
	case VMIG_ACT_OWNER:
		ask(side);
		break;
	case VMIG_ACT_EVENT:
		side->events++;
		break;
	case VMIG_ACT_FINISH:
		HOLDS(!side->finished);
		side->finished = true;
		side->down = true;
		break;
	case VMIG_ACT_NONE:
		break;
	}
}

static void settle(struct sim *sim, int s)
{
	struct vmig_core_action a;

	while (vmig_core_next(&sim->side[s].core, &a))
		act(sim, s, &a);
}

/* --- jobs --- */

static bool fault_now(struct sim *sim, enum sim_fault a, enum sim_fault b)
{
	if (sim->fault_done || sim->step < sim->fault_at || (sim->fault != a && sim->fault != b))
		return false;
	sim->fault_done = true;
	return true;
}

static void do_state(struct sim *sim, int s, struct sim_device *d, const struct vmig_core_action *a,
		     struct vmig_core_event *ev)
{
	bool starts = a->target == VMIG_STATE_RUNNING || a->target == VMIG_STATE_RUNNING_P2P;
	uint32_t next, at = d->state;

	/* What is stopped at a destination may be an earlier source, whose device runs elsewhere. */
	MUST(s == 0 || !starts || at != VMIG_STATE_STOP || sim->side[s].core.committed ||
		     sim->side[s].core.config.resolve,
	     "a stopped destination is run before the commit");
	while (at != a->target) {
		MUST(!vmig_state_next(d->features, at, a->target, &next), "%s to %s is no way",
		     vmig_state_name(at), vmig_state_name(a->target));
		at = next;
	}
	d->state = a->target;
	if (d->state == VMIG_STATE_RESUMING)
		d->tag.identity = uuid_none;
	ev->state = d->state;
}

static void do_pump(struct sim *sim, int s, uint32_t i, uint64_t budget, struct vmig_core_event *ev)
{
	struct sim_device *d = &sim->side[s].real[i];
	bool last = d->state == VMIG_STATE_STOP_COPY;
	uint64_t all = d->initial + d->dirty + (last ? d->rest : 0);
	struct sim_message m = { .type = VMIG_RECORD_DATA, .device = i };

	HOLDS(last || d->state == VMIG_STATE_PRE_COPY || d->state == VMIG_STATE_PRE_COPY_P2P);
	m.data = sim->side[s].stop[i] ? all / 2 : MIN(all, budget);
	sim->now += m.data; /* 1 GB/s */
	if (m.data) {
		send(sim, !s, &m);
		d->chain = vmig_digest_chain(d->chain, m.data, i);
		d->sent += m.data;
		sim->side[s].bytes += m.data;
	}
	ev->pump = m.data < all || sim->side[s].stop[i] ? VMIG_PUMP_STOPPED
		   : last                               ? VMIG_PUMP_END
							: VMIG_PUMP_DRAINED;
	if (m.data == all) {
		d->initial = 0;
		d->dirty = 0;
		d->rest = last ? 0 : d->rest;
	} else {
		d->dirty = all - m.data - (last ? d->rest : 0);
		d->initial = 0;
	}
	ev->length = d->sent;
	ev->chain = d->chain;
}

static void reset(struct sim_device *d)
{
	d->state = VMIG_STATE_RUNNING;
	d->was_reset = true;
	d->tag.identity = uuid_none;
}

static void do_sizes(struct sim_device *d, struct vmig_core_event *ev)
{
	d->dirty += d->dirties;
	d->dirties /= d->calms ? 2 : 1;
	if (++d->looks == d->reinit_at) {
		d->initial += 500;
		ev->sizes.flags = VMIG_PRECOPY_REINIT;
	}
	ev->sizes.initial_bytes = d->initial;
	ev->sizes.dirty_bytes = d->dirty;
}

static void do_job(struct sim *sim, int s, uint32_t i, struct vmig_core_event *ev)
{
	struct vmig_core_action *a = &sim->side[s].pending[i];
	struct sim_device *d = &sim->side[s].real[i];

	switch (a->job) {
	case VMIG_JOB_STATE:
		do_state(sim, s, d, a, ev);
		break;
	case VMIG_JOB_QUERY_STATE:
		ev->state = d->state;
		ev->tagged = sim->owned;
		ev->tag = d->tag;
		break;
	case VMIG_JOB_TAG:
		d->tag.identity = a->tag.identity;
		d->tag.attempt = a->tag.attempt;
		ev->tag = d->tag;
		break;
	case VMIG_JOB_JUDGE:
		ev->state = d->state;
		break;
	case VMIG_JOB_DESCRIBE:
		ev->state = d->state;
		ev->size = d->initial + d->rest;
		break;
	case VMIG_JOB_SIZES:
		do_sizes(d, ev);
		break;
	case VMIG_JOB_PUMP:
		do_pump(sim, s, i, a->budget, ev);
		break;
	case VMIG_JOB_RESET:
		reset(d);
		ev->state = d->state;
		break;
	case VMIG_JOB_NONE:
		ck_abort_msg("no job");
	}
}

static void fail_job(struct sim *sim, int s, uint32_t i, struct vmig_core_event *ev)
{
	struct sim_device *d = &sim->side[s].real[i];

	ev->code = -EIO;
	ev->text = "it is broken";
	if (sim->fault == SIM_JOB_TO_ERROR && ev->job != VMIG_JOB_DESCRIBE && ev->job != VMIG_JOB_JUDGE &&
	    ev->job != VMIG_JOB_SIZES)
		d->state = VMIG_STATE_ERROR;
	ev->state = d->state;
	ev->length = d->sent;
	ev->chain = d->chain;
	sim->faulty_device = true;
}

/* As the driver sees it: the state cannot be asked, everything else fails. */
static void nobody_answers(struct sim *sim, int s, uint32_t i, struct vmig_core_event *ev)
{
	ev->code = ev->job == VMIG_JOB_QUERY_STATE ? 0 : -ECONNRESET;
	ev->text = "its server has gone";
	sim->must_give |= s == DESTINATION && ev->job == VMIG_JOB_QUERY_STATE &&
			  sim->side[s].core.stage == VMIG_STAGE_COMMIT;
	ev->state = VMIG_STATE_NONE;
	ev->length = sim->side[s].real[i].sent;
	ev->chain = sim->side[s].real[i].chain;
}

static void end_job(struct sim *sim, int s, uint32_t i)
{
	struct sim_side *side = &sim->side[s];
	struct vmig_core_event ev = { .kind = VMIG_EV_JOB, .device = i, .job = side->pending[i].job };

	sim->now += 50000;
	sim->ran |= s == DESTINATION && ev.job == VMIG_JOB_STATE && !side->core.config.resolve &&
		    (side->pending[i].target == VMIG_STATE_RUNNING ||
		     side->pending[i].target == VMIG_STATE_RUNNING_P2P);
	MUST(!sim->ran || !sim->must_give, "it is run though a device of it has gone");
	if (side->real[i].gone)
		nobody_answers(sim, s, i, &ev);
	else if (fault_now(sim, SIM_JOB_FAILS, SIM_JOB_TO_ERROR))
		fail_job(sim, s, i, &ev);
	else
		do_job(sim, s, i, &ev);
	side->pending[i].kind = VMIG_ACT_NONE;
	check_barrier(sim, s);
	check_memory(sim);
	check_record(sim);
	feed(sim, s, &ev);
	check_one_runs(sim);
}

/* --- records --- */

static bool may_arrive(const struct sim *sim, const struct sim_side *side)
{
	const struct sim_message *m = &side->in[side->first];

	if (!side->used || side->finished || side->dead)
		return false;
	/* A file has its name only when it is whole. */
	if (sim->one_way && !(sim->side[SOURCE].finished && !sim->side[SOURCE].core.result.outcome))
		return false;
	if (m->type != VMIG_RECORD_DATA)
		return vmig_core_wants_record(&side->core, m->type);
	return side->discard || vmig_core_wants_data(&side->core);
}

static void take_data(struct sim *sim, struct sim_side *side, const struct sim_message *m)
{
	struct sim_device *d = &side->real[m->device];

	if (side->discard || fault_now(sim, SIM_DATA_VANISH, SIM_DATA_VANISH))
		return;
	HOLDS(d->gone || d->state == VMIG_STATE_RESUMING);
	d->sent += m->data;
	d->chain = vmig_digest_chain(d->chain, m->data, m->device);
	side->bytes += m->data;
	if (d->gone || fault_now(sim, SIM_DATA_FAILS, SIM_DATA_FAILS)) {
		struct vmig_core_event ev = { .kind = VMIG_EV_DATA_FAILED,
					      .device = m->device,
					      .code = -EIO };

		side->discard = true;
		feed(sim, (int)(side - sim->side), &ev);
	}
}

static void arrive(struct sim *sim, int s)
{
	struct sim_side *side = &sim->side[s];
	struct sim_message m = side->in[side->first];
	struct vmig_uuid attempt = uuid(7, 0);
	struct vmig_core_event ev = { .kind = VMIG_EV_RECORD,
				      .type = m.type,
				      .device = m.device,
				      .payload = m.payload,
				      .payload_len = m.len,
				      .attempt = attempt.bytes };

	side->first = (side->first + 1) % SIM_QUEUE;
	side->used--;
	sim->now += 20000;
	side->heard = sim->now;
	if (fault_now(sim, SIM_BAD_STREAM, SIM_BAD_STREAM)) {
		ev = (struct vmig_core_event){ .kind = VMIG_EV_LOST,
					       .code = -EBADMSG,
					       .text = "its digest is wrong" };
		side->told_end = true;
		side->used = 0;
	} else if (s == DESTINATION && !side->core.promised && !side->discard &&
		   fault_now(sim, SIM_WRONG_RECORD, SIM_WRONG_RECORD)) {
		ev.type = VMIG_RECORD_READY;
	} else if (m.type == VMIG_RECORD_DATA) {
		take_data(sim, side, &m);
		return;
	} else if (m.device < sim->n) {
		ev.length = side->real[m.device].sent;
		ev.chain = side->real[m.device].chain;
	}
	feed(sim, s, &ev);
	check_one_runs(sim);
}

/* --- the end of the channel, faults, time --- */

static bool end_is_seen(const struct sim *sim, int s)
{
	const struct sim_side *side = &sim->side[s], *peer = &sim->side[!s];

	return (peer->down || side->down) && !sim->silent && !side->used && !side->told_end &&
	       !side->finished && !side->dead && !sim->one_way;
}

static void see_end(struct sim *sim, int s)
{
	struct vmig_core_event ev = { .kind = VMIG_EV_LOST, .code = sim->side[s].down ? -ECONNRESET : 0 };

	sim->side[s].told_end = true;
	feed(sim, s, &ev);
}

static void die(struct sim *sim, int s)
{
	/* What it had asked of the record may still be done. */
	if (sim->side[s].question.ask == VMIG_OWNER_ASK_SWAP)
		sim->late = sim->side[s].question;
	sim->side[s].question.ask = VMIG_OWNER_ASK_NONE;
	sim->side[s].dead = true;
	sim->side[s].down = true;
	sim->side[s].used = 0;
}

static void server_dies(struct sim *sim, int s)
{
	struct sim_device *d = &sim->side[s].real[0];

	reset(d);
	d->gone = true;
	sim->faulty_device = true;
}

static void make_fault(struct sim *sim)
{
	struct vmig_core_event ev = { .kind = VMIG_EV_CANCEL };

	if (sim->fault_done || sim->step < sim->fault_at)
		return;
	sim->fault_done = true;
	switch (sim->fault) {
	case SIM_CHANNEL_LOST:
		sim->side[0].down = sim->side[1].down = true;
		sim->side[0].used = sim->side[1].used = 0;
		break;
	case SIM_SOURCE_DIES:
		die(sim, SOURCE);
		break;
	case SIM_DESTINATION_DIES:
		die(sim, DESTINATION);
		break;
	case SIM_BOTH_DIE:
		die(sim, SOURCE);
		die(sim, DESTINATION);
		break;
	case SIM_SOURCE_CUT_OFF:
		sim->side[0].down = sim->side[1].down = true;
		server_dies(sim, SOURCE);
		break;
	case SIM_SOURCE_SERVER_DIES:
		server_dies(sim, SOURCE);
		break;
	case SIM_DESTINATION_SERVER_DIES:
		server_dies(sim, DESTINATION);
		break;
	case SIM_SILENCE:
		sim->silent = true;
		sim->side[0].used = sim->side[1].used = 0;
		break;
	case SIM_CANCEL_SOURCE:
		feed(sim, SOURCE, &ev);
		break;
	case SIM_CANCEL_DESTINATION:
		feed(sim, DESTINATION, &ev);
		break;
	case SIM_RECORD_BUMPED:
		bump_all(sim);
		break;
	default:
		sim->fault_done = false; /* where the thing is done */
	}
}

static bool tick(struct sim *sim)
{
	uint64_t at = UINT64_MAX;
	struct vmig_core_event ev = { .kind = VMIG_EV_TICK };

	for (int s = 0; s < 2; s++)
		if (!sim->side[s].finished && !sim->side[s].dead)
			at = MIN(at, vmig_core_deadline(&sim->side[s].core));
	if (at == UINT64_MAX)
		return false;
	sim->now = MAX(sim->now, at);
	for (int s = 0; s < 2; s++)
		if (vmig_core_deadline(&sim->side[s].core) <= sim->now)
			feed(sim, s, &ev);
	return true;
}

enum { JOB, ARRIVE, END, ANSWER };
struct choice {
	int kind, side;
	uint32_t device;
};

static int choices(const struct sim *sim, struct choice *ret)
{
	int n = 0;

	for (int s = 0; s < 2; s++) {
		for (uint32_t i = 0; i < sim->n; i++)
			if (sim->side[s].pending[i].kind && !sim->side[s].dead &&
			    sim->side[s].ready_ns[i] <= sim->now)
				ret[n++] = (struct choice){ JOB, s, i };
		if (sim->side[s].question.ask && !sim->side[s].dead)
			ret[n++] = (struct choice){ ANSWER, s, 0 };
		if (may_arrive(sim, &sim->side[s]))
			ret[n++] = (struct choice){ ARRIVE, s, 0 };
		if (end_is_seen(sim, s))
			ret[n++] = (struct choice){ END, s, 0 };
	}
	return n;
}

static bool do_one(struct sim *sim)
{
	struct choice all[2 * SIM_DEVICES + 6], *c;
	int n;

	make_fault(sim);
	do_late(sim);
	n = choices(sim, all);
	sim->step++;
	/* Time passes also while things may happen. */
	if (!n || !(rand_r(&sim->seed) % 16))
		return tick(sim) || n;
	c = &all[rand_r(&sim->seed) % n];
	if (c->kind == JOB)
		end_job(sim, c->side, c->device);
	else if (c->kind == ARRIVE)
		arrive(sim, c->side);
	else if (c->kind == ANSWER)
		answer(sim, c->side);
	else
		see_end(sim, c->side);
	return true;
}

static bool over(const struct sim *sim)
{
	for (int s = 0; s < 2; s++)
		if (!sim->side[s].finished && !sim->side[s].dead)
			return false;
	return true;
}

static void init_device(struct sim_device *d, struct vmig_device_info *info, uint64_t features)
{
	*d = (struct sim_device){
		.features = features,
		.state = VMIG_STATE_RUNNING,
		.initial = features & VMIG_MIGRATION_PRE_COPY ? 1000 : 0,
		.rest = 100,
	};
	info->migration_flags = features;
	info->has = VMIG_HAS_PRECOPY_INFO | VMIG_HAS_STOP_COPY_SIZE;
	info->flags = VMIG_DEVICE_FLAG_RESET;
	snprintf(info->identity, sizeof(info->identity), "sim");
	snprintf(info->format, sizeof(info->format), "v2");
	snprintf(info->name, sizeof(info->name), "sim");
}

void sim_init(struct sim *sim, uint32_t n, const uint64_t *features, uint32_t n_features, unsigned int seed)
{
	memset(sim, 0, sizeof(*sim));
	sim->n = n;
	sim->seed = seed;
	sim->now = NS_PER_S;
	for (uint32_t i = 0; i < 2 * n; i++)
		init_device(&sim->side[i % 2].real[i / 2], &sim->side[i % 2].devices[i / 2].info,
			    features[i / 2 % n_features]);
	sim_set_config(sim, &(struct vmig_core_config){ .downtime_ns = 300 * NS_PER_MS,
							.timeout_ns = NS_PER_S,
							.max_rounds = 30 });
}

void sim_set_config(struct sim *sim, const struct vmig_core_config *config)
{
	struct vmig_core_config c = *config;

	c.allow_no_p2p = true;
	sim->one_way = c.one_way;
	c.source = true;
	vmig_core_init(&sim->side[SOURCE].core, &c, sim->side[SOURCE].devices, sim->n);
	c.source = false;
	c.keep_source = false;
	vmig_core_init(&sim->side[DESTINATION].core, &c, sim->side[DESTINATION].devices, sim->n);
}

void sim_set_owned(struct sim *sim, bool fresh)
{
	sim->owned = true;
	for (int s = 0; s < 2; s++) {
		struct sim_side *side = &sim->side[s];
		struct vmig_core_config c = side->core.config;

		c.owned = true;
		c.me = names[s];
		c.attempt = s == SOURCE ? uuid(7, 0) : uuid_none;
		c.nonce = uuid((uint8_t)(5 + s), 0);
		c.scratch = side->scratch;
		vmig_core_init(&side->core, &c, side->devices, sim->n);
		for (uint32_t i = 0; i < sim->n; i++)
			side->real[i].tag.instance = uuid((uint8_t)(3 + s), i);
	}
	for (uint32_t i = 0; i < sim->n; i++) {
		struct vmig_ownership *r = &sim->record[i];

		r->device = uuid(1, i);
		sim->side[SOURCE].devices[i].fresh = uuid(1, i);
		if (fresh)
			continue;
		sim->side[SOURCE].real[i].tag.identity = uuid(1, i);
		r->phase = VMIG_OWNER_STABLE;
		r->epoch = 1;
		snprintf(r->owner, sizeof(r->owner), "%s", names[SOURCE]);
	}
}

static void new_process(struct sim *sim, int s)
{
	struct sim_side *side = &sim->side[s];
	const struct vmig_core_config c = {
		.source = true,
		.one_way = true,
		.owned = true,
		.resolve = true,
		.me = names[s],
		.timeout_ns = NS_PER_S,
		.nonce = uuid((uint8_t)(10 + s), 0),
		.scratch = side->scratch,
	};

	for (uint32_t i = 0; i < sim->n; i++) {
		struct vmig_device_info info = side->devices[i].info;

		side->devices[i] = (struct vmig_core_device){ .info = info };
		side->real[i].gone = false;
		side->pending[i].kind = VMIG_ACT_NONE;
	}
	side->question.ask = VMIG_OWNER_ASK_NONE;
	side->finished = side->dead = false;
	side->used = 0;
	vmig_core_init(&side->core, &c, side->devices, sim->n);
}

static bool resolve_step(struct sim *sim, int s)
{
	struct vmig_core_event tick_event = { .kind = VMIG_EV_TICK };
	struct sim_side *side = &sim->side[s];

	do_late(sim);
	if (side->question.ask) {
		answer(sim, s);
		return true;
	}
	for (uint32_t i = 0; i < sim->n; i++) {
		if (!side->pending[i].kind)
			continue;
		end_job(sim, s, i);
		return true;
	}
	if (vmig_core_deadline(&side->core) == UINT64_MAX)
		return false;
	sim->now = MAX(sim->now, vmig_core_deadline(&side->core));
	feed(sim, s, &tick_event);
	return true;
}

static void start(struct sim *sim, int s);

void sim_resolve(struct sim *sim)
{
	int first = rand_r(&sim->seed) % 2;

	sim->gone = false;
	sim->away = 0;
	sim->fault = SIM_NONE;
	for (int k = 0; k < 2; k++) {
		int s = k ? !first : first;
		uint32_t steps = 0;

		new_process(sim, s);
		start(sim, s);
		while (!sim->side[s].finished)
			HOLDS(resolve_step(sim, s) && ++steps < 2000);
	}
	if (sim->late.ask)
		swap(sim, &sim->late);
	check_record(sim);
}

static void start(struct sim *sim, int s)
{
	struct vmig_core_event ev = { .kind = VMIG_EV_START };

	sim->side[s].heard = sim->now;
	feed(sim, s, &ev);
}

void sim_run(struct sim *sim)
{
	start(sim, SOURCE);
	start(sim, DESTINATION);
	while (!over(sim)) {
		bool moved = do_one(sim);

		/* A save that failed leaves no file, and nobody to restore it. */
		if (sim->one_way && sim->side[SOURCE].finished && sim->side[SOURCE].core.result.outcome)
			sim->side[DESTINATION].dead = true;
		MUST((moved || over(sim)) && sim->step < 20000,
		     "it does not end: stages %s and %s, phases %d and %d, step %u",
		     vmig_stage_name(sim->side[0].core.stage), vmig_stage_name(sim->side[1].core.stage),
		     sim->side[0].core.phase, sim->side[1].core.phase, sim->step);
	}
}

/* --- what must hold at the end --- */

bool sim_all_in(const struct sim_side *side, uint32_t n, uint32_t state)
{
	for (uint32_t i = 0; i < n; i++)
		if (side->real[i].state != state)
			return false;
	return true;
}

static bool any_runs(const struct sim *sim, int s)
{
	for (uint32_t i = 0; i < sim->n; i++)
		if (runs(sim->side[s].real[i].state))
			return true;
	return false;
}

static void check_source(const struct sim *sim)
{
	const struct sim_side *s = &sim->side[SOURCE];
	const struct vmig_migrate_result *r = &s->core.result;
	bool kept = s->core.config.keep_source;

	HOLDS((r->outcome == VMIG_DONE) == (r->code == 0));
	HOLDS((r->outcome == VMIG_DONE) == (r->reason[0] == '\0'));
	switch (r->outcome) {
	case VMIG_DONE:
		HOLDS(kept ? sim_all_in(s, sim->n, VMIG_STATE_RUNNING) : !any_runs(sim, SOURCE));
		HOLDS((s->resumed) == (kept ? s->quiesced : 0));
		break;
	case VMIG_BAD_INPUT:
		HOLDS((r->stage) == (VMIG_STAGE_HELLO));
		HOLDS(sim_all_in(s, sim->n, VMIG_STATE_RUNNING));
		break;
	case VMIG_NOT_DONE:
		MUST(sim_all_in(s, sim->n, VMIG_STATE_RUNNING), "%s", r->reason);
		HOLDS((s->resumed) <= (s->quiesced));
		break;
	case VMIG_IN_DOUBT:
		HOLDS(sim->faulty_device || (s->core.promised && !any_runs(sim, SOURCE)));
		HOLDS((s->resumed) == (0));
		break;
	case VMIG_SOURCE_LOST:
		HOLDS(!sim_all_in(s, sim->n, VMIG_STATE_RUNNING) && sim->faulty_device);
		break;
	default:
		ck_abort_msg("the source says %d: %s", r->outcome, r->reason);
	}
}

static void check_destination(const struct sim *sim)
{
	const struct sim_side *d = &sim->side[DESTINATION];
	const struct vmig_migrate_result *r = &d->core.result;

	HOLDS((r->outcome == VMIG_DONE) == (r->code == 0));
	HOLDS((d->started) == (r->outcome == VMIG_DONE));
	if (r->outcome == VMIG_DONE)
		HOLDS(sim_all_in(d, sim->n, VMIG_STATE_RUNNING));
	else if (r->outcome == VMIG_IN_DOUBT)
		HOLDS(sim->owned && sim_all_in(d, sim->n, VMIG_STATE_STOP));
	else if (r->outcome == VMIG_SOURCE_LOST)
		HOLDS(sim->faulty_device && d->core.promised);
	else if (!sim->faulty_device)
		/* Blank: never touched, or reset. */
		MUST(sim_all_in(d, sim->n, VMIG_STATE_RUNNING), "%s", r->reason);
}

void sim_check(struct sim *sim)
{
	const struct sim_side *s = &sim->side[SOURCE], *d = &sim->side[DESTINATION];

	if (!s->dead)
		check_source(sim);
	if (!d->dead)
		check_destination(sim);
	if (sim->fault_done && (sim->fault == SIM_DATA_VANISH || sim->fault == SIM_WRONG_RECORD))
		HOLDS((d->core.result.outcome) == (VMIG_BAD_INPUT));
	if (s->dead || d->dead)
		return;
	if (s->core.result.outcome == VMIG_DONE && !sim->one_way)
		HOLDS((d->core.result.outcome) == (VMIG_DONE));
	if (d->core.result.outcome == VMIG_DONE && !sim->one_way)
		HOLDS(s->core.result.outcome == VMIG_DONE || s->core.result.outcome == VMIG_IN_DOUBT);
}
