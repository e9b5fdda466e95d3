/* SPDX-License-Identifier: BSD-3-Clause */
/* What the workers do for real devices: state calls, tags, and data, which goes out piece by piece. */
#include "sim/parts.h"

/* How much of a device's data is one piece on the link: small enough to share it fairly, and to be stopped soon. */
#define PIECE_MIN  (64u << 10)
#define PIECE_MOST (64ull << 20)

/* --- jobs --- */

static uint64_t job_ns(struct vmig_sim *sim, const struct vmig_sim_end *end, const struct vmig_core_action *a)
{
	uint64_t ns = sim->config.arc_ns;

	if (a->job != VMIG_JOB_STATE && a->job != VMIG_JOB_RESET)
		ns /= 4;
	return vmig_sim_takes(sim, ns);
}

void vmig_sim_start_job(struct vmig_sim *sim, uint32_t index, const struct vmig_core_action *a)
{
	struct vmig_sim_end *end = sim->ends[index];
	struct vmig_sim_job *job = &end->jobs[a->device];

	if (job->action.kind)
		vmig_sim_wrong(sim, "unit %u: device %u is given two jobs at a time", end->unit, a->device);
	*job = (struct vmig_sim_job){ .action = *a };
	if (a->job == VMIG_JOB_STATE)
		SAY(sim, "unit %u: %s at host %u wants device %u in %s", end->unit, vmig_sim_role_name(end),
		    end->host, a->device, vmig_state_name(a->target));
	vmig_sim_at(sim, sim->now + (a->job == VMIG_JOB_PUMP ? 0 : job_ns(sim, end, a)),
		    a->job == VMIG_JOB_PUMP ? VMIG_SIM_EV_PIECE : VMIG_SIM_EV_JOB, index, a->device,
		    end->life);
}

static void end_job(struct vmig_sim *sim, uint32_t index, uint32_t i, struct vmig_core_event *ev)
{
	struct vmig_sim_end *end = sim->ends[index];

	end->jobs[i].action.kind = VMIG_ACT_NONE;
	vmig_sim_check(sim, end->unit);
	vmig_sim_feed(sim, index, ev);
	vmig_sim_look(sim, index);
}

static void do_state(struct vmig_sim *sim, struct vmig_sim_end *end, uint32_t i,
		     const struct vmig_core_action *a, struct vmig_core_event *ev)
{
	struct vmig_sim_device *d = vmig_sim_device_of(sim, end, i);
	uint32_t was = d->state, target = a->target;

	/* Broken on purpose: who should wait for the others does not. */
	if (sim->config.broken == VMIG_SIM_NO_BARRIER && end->core.stage == VMIG_STAGE_SWITCHOVER &&
	    end->role == VMIG_SIM_SOURCE)
		target = VMIG_STATE_STOP_COPY;
	ev->code = vmig_sim_device_walk(sim, end->unit, end->host, i, target);
	ev->state = d->state;
	if (sim->config.unowned && was == VMIG_STATE_RESUMING && d->state == VMIG_STATE_STOP)
		d->tag.identity = vmig_sim_identity(sim, end->unit, i);
	SAY(sim, "unit %u: device %u of host %u: %s to %s%s", end->unit, i, end->host, vmig_state_name(was),
	    vmig_state_name(d->state), ev->code ? ", refused" : "");
}

/* What the device does is done, whoever hears of it. */
static void do_job(struct vmig_sim *sim, struct vmig_sim_end *end, uint32_t i, struct vmig_core_event *ev)
{
	const struct vmig_core_action *a = &end->jobs[i].action;
	struct vmig_sim_device *d = vmig_sim_device_of(sim, end, i);

	switch (a->job) {
	case VMIG_JOB_STATE:
		do_state(sim, end, i, a, ev);
		break;
	case VMIG_JOB_DESCRIBE:
		ev->size = VMIG_SIM_CHUNKS * 65536u;
		if (sim->config.fluid)
			ev->size = sim->config.flows[i].initial + sim->config.flows[i].rest;
		ev->state = d->state;
		break;
	case VMIG_JOB_SIZES:
		vmig_sim_device_work(sim, end->unit, i, d);
		vmig_sim_device_sizes(sim, d, &ev->sizes);
		break;
	case VMIG_JOB_RESET:
		vmig_sim_device_reset(sim, end->unit, end->host, i);
		SAY(sim, "unit %u: device %u of host %u is reset", end->unit, i, end->host);
		ev->state = d->state;
		break;
	case VMIG_JOB_TAG:
		d->tag.identity = a->tag.identity;
		d->tag.attempt = a->tag.attempt;
		if (vmig_sim_has_identity(d))
			sim->units[end->unit].named |= 1ull << i;
		ev->tag = d->tag;
		break;
	default: /* QUERY_STATE, JUDGE */
		ev->tagged = !sim->config.unowned;
		ev->tag = d->tag;
		ev->state = d->state;
	}
}

static bool fails(struct vmig_sim *sim, struct vmig_sim_end *end, uint32_t i, struct vmig_core_event *ev)
{
	struct vmig_sim_device *d = vmig_sim_device_of(sim, end, i);
	bool error = false;

	if (!vmig_sim_holds(sim, (uint32_t)ev->size) ||
	    vmig_sim_place_of(sim, end->unit, end->host)->dead >> i & 1) {
		ev->size = 0;
		ev->code = -ENOTCONN;
		ev->text = "its server has ended, or has been taken by another";
		ev->state = VMIG_STATE_NONE;
		return true;
	}
	ev->size = 0;
	if (!vmig_sim_fault_due(sim, end->unit, VMIG_SIM_JOB_FAILS)) {
		error = vmig_sim_fault_due(sim, end->unit, VMIG_SIM_JOB_TO_ERROR);
		if (!error)
			return false;
	}
	ev->code = -EIO;
	ev->text = "it is broken";
	if (error && (ev->job == VMIG_JOB_STATE || ev->job == VMIG_JOB_RESET || ev->job == VMIG_JOB_PUMP))
		vmig_sim_device_error(sim, end->unit, end->host, i);
	ev->state = d->state;
	ev->length = d->length;
	ev->chain = d->chain;
	SAY(sim, "unit %u: device %u of host %u fails at its job%s", end->unit, i, end->host,
	    error ? ", and is in ERROR" : "");
	return true;
}

static struct vmig_core_event job_event(uint32_t index, uint32_t i, const struct vmig_sim_job *job)
{
	/* @size says to fails() whose job it is. */
	return (struct vmig_core_event){
		.kind = VMIG_EV_JOB, .device = i, .job = job->action.job, .size = index
	};
}

void vmig_sim_job_done(struct vmig_sim *sim, const struct vmig_sim_event *e)
{
	struct vmig_sim_end *end = sim->ends[e->a];
	struct vmig_sim_job *job = &end->jobs[e->b];

	if (!job->done) {
		job->end = job_event(e->a, e->b, job);
		if (!fails(sim, end, e->b, &job->end))
			do_job(sim, end, e->b, &job->end);
		job->done = true;
		vmig_sim_check(sim, end->unit);
	}
	if (!vmig_sim_later_if_frozen(sim, end, e)) {
		struct vmig_core_event ev = job->end;

		end_job(sim, e->a, e->b, &ev);
	}
}

/* --- data --- */

static uint64_t piece_of(struct vmig_sim *sim, uint32_t i)
{
	uint64_t size = sim->config.fluid ? sim->config.flows[i].initial / 32 : PIECE_MIN;

	return MAX(MIN(size, PIECE_MOST), PIECE_MIN);
}

static void pump_ends(struct vmig_sim *sim, uint32_t index, uint32_t i, struct vmig_core_event *ev)
{
	struct vmig_sim_device *d = vmig_sim_device_of(sim, sim->ends[index], i);

	if (!ev->code && !sim->ends[index]->jobs[i].stop && ev->pump != VMIG_PUMP_STOPPED)
		ev->pump = d->state == VMIG_STATE_STOP_COPY ? VMIG_PUMP_END : VMIG_PUMP_DRAINED;
	ev->length = d->length;
	ev->chain = d->chain;
	end_job(sim, index, i, ev);
}

void vmig_sim_piece(struct vmig_sim *sim, const struct vmig_sim_event *e)
{
	struct vmig_sim_end *end = sim->ends[e->a];
	struct vmig_sim_job *job = &end->jobs[e->b];
	struct vmig_sim_message m = { .type = VMIG_RECORD_DATA, .device = e->b };
	struct vmig_core_event ev = job_event(e->a, e->b, job);
	uint64_t max = MIN(piece_of(sim, e->b), job->action.budget - job->sent);
	struct vmig_sim_device *d = vmig_sim_device_of(sim, end, e->b);

	if (vmig_sim_later_if_frozen(sim, end, e) || job->waits)
		return;
	vmig_sim_device_work(sim, end->unit, e->b, d);
	if (fails(sim, end, e->b, &ev)) {
		pump_ends(sim, e->a, e->b, &ev);
	} else if (job->stop || !max) {
		ev.pump = VMIG_PUMP_STOPPED;
		pump_ends(sim, e->a, e->b, &ev);
	} else if (vmig_sim_full(sim, end)) {
		job->waits = true;
	} else if (!vmig_sim_device_read(sim, d, max, &m)) {
		ev.pump = VMIG_PUMP_DRAINED;
		pump_ends(sim, e->a, e->b, &ev);
	} else {
		job->sent += m.bytes;
		end->bytes += m.bytes;
		vmig_sim_at(sim, vmig_sim_send(sim, end, &m, NULL), VMIG_SIM_EV_PIECE, e->a, e->b, e->life);
	}
}

void vmig_sim_stop_pump(struct vmig_sim *sim, uint32_t index, uint32_t i)
{
	struct vmig_sim_end *end = sim->ends[index];

	end->jobs[i].stop = true;
	if (end->jobs[i].waits)
		vmig_sim_at(sim, sim->now, VMIG_SIM_EV_PIECE, index, i, end->life);
	end->jobs[i].waits = false;
}
