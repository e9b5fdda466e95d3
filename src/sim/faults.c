/* SPDX-License-Identifier: BSD-3-Clause */
/* What goes wrong, and when: chosen for each migration when it begins. */
#include "sim/parts.h"

const char *vmig_sim_fault_name(enum vmig_sim_fault fault)
{
	static const char *const names[VMIG_SIM_FAULTS] = {
		[VMIG_SIM_KILL_SOURCE] = "kill-source",
		[VMIG_SIM_KILL_DESTINATION] = "kill-destination",
		[VMIG_SIM_KILL_SERVER] = "kill-server",
		[VMIG_SIM_FREEZE] = "freeze",
		[VMIG_SIM_CUT] = "cut",
		[VMIG_SIM_HALF_OPEN] = "half-open",
		[VMIG_SIM_DELAY] = "delay",
		[VMIG_SIM_DROP] = "drop",
		[VMIG_SIM_DOUBLE] = "double",
		[VMIG_SIM_DAMAGE] = "damage",
		[VMIG_SIM_REPLAY] = "replay",
		[VMIG_SIM_RECORD_AWAY] = "record-away",
		[VMIG_SIM_RECORD_UNKNOWN] = "record-unknown",
		[VMIG_SIM_JOB_FAILS] = "job-fails",
		[VMIG_SIM_JOB_TO_ERROR] = "job-to-error",
		[VMIG_SIM_USER_FAILS] = "user-fails",
		[VMIG_SIM_CANCEL] = "cancel",
	};

	return (unsigned int)fault < VMIG_SIM_FAULTS ? names[fault] : NULL;
}

const char *vmig_sim_broken_name(enum vmig_sim_broken broken)
{
	static const char *const names[VMIG_SIM_BROKEN_NR] = {
		[VMIG_SIM_SOUND] = "sound",         [VMIG_SIM_NO_EPOCH] = "no-epoch",
		[VMIG_SIM_RUN_FIRST] = "run-first", [VMIG_SIM_NO_RAISE] = "no-raise",
		[VMIG_SIM_NO_FENCE] = "no-fence",   [VMIG_SIM_REUSE] = "reuse",
		[VMIG_SIM_NO_BUMP] = "no-bump",     [VMIG_SIM_NO_BARRIER] = "no-barrier",
	};

	return (unsigned int)broken < VMIG_SIM_BROKEN_NR ? names[broken] : NULL;
}

/* --- when --- */

/* About as many events as a migration has: so a fault may come at any of them, or too late. */
#define STEPS 160u

void vmig_sim_plan_faults(struct vmig_sim *sim, uint32_t unit)
{
	struct vmig_sim_unit *u = &sim->units[unit];
	uint32_t most = MIN(sim->config.faults, VMIG_SIM_FAULTS_MAX);

	u->steps = 0;
	u->armed = 0;
	u->n_faults = most ? (uint32_t)vmig_random_below(&sim->random, most + 1) : 0;
	for (uint32_t i = 0; i < u->n_faults; i++) {
		struct vmig_sim_planned *f = &u->faults[i];
		bool early = vmig_random_one_in(&sim->random, 2);

		do
			f->kind = (enum vmig_sim_fault)vmig_random_below(&sim->random, VMIG_SIM_FAULTS);
		while (!(sim->config.kinds & 1u << f->kind));
		/* It has to be before the source is. */
		if (f->kind == VMIG_SIM_REPLAY)
			u->armed |= 1u << f->kind;
		f->stage = early ? VMIG_STAGE_NR
				 : (uint32_t)vmig_random_between(&sim->random, VMIG_STAGE_SWITCHOVER,
								 VMIG_STAGE_RUN);
		f->at = (uint32_t)vmig_random_below(
			&sim->random, early ? STEPS * (1 + sim->config.devices / 2) : STEPS / 10);
	}
}

bool vmig_sim_fault_due(struct vmig_sim *sim, uint32_t unit, enum vmig_sim_fault kind)
{
	struct vmig_sim_unit *u = &sim->units[unit];

	if (sim->calm || !(u->armed & 1u << kind))
		return false;
	u->armed &= ~(1u << kind);
	sim->stats.fault_counts[kind]++;
	SAY(sim, "unit %u: fault %s", unit, vmig_sim_fault_name(kind));
	return true;
}

/* --- what --- */

static bool alive(const struct vmig_sim *sim, uint32_t end)
{
	return end != VMIG_SIM_NONE && sim->ends[end]->alive && !sim->ends[end]->finished;
}

static uint32_t one_of(struct vmig_sim *sim, const struct vmig_sim_unit *u)
{
	return vmig_random_one_in(&sim->random, 2) ? u->source : u->destination;
}

/* Is there then nobody who has it all? Who dies with the owner's state, or with one that a commit may be under way for, may. */
static void may_be_lost(struct vmig_sim *sim, uint32_t unit, const struct vmig_sim_device *d)
{
	if (vmig_sim_has_identity(d))
		sim->units[unit].lost = true;
}

void vmig_sim_device_error(struct vmig_sim *sim, uint32_t unit, uint32_t host, uint32_t i)
{
	struct vmig_sim_device *d = &vmig_sim_place_of(sim, unit, host)->devices[i];

	may_be_lost(sim, unit, d);
	if (host == sim->units[unit].home && vmig_sim_nameless(sim, unit, i))
		sim->units[unit].lost = true;
	d->state = VMIG_STATE_ERROR;
	memset(&d->tag.identity, 0, sizeof(d->tag.identity));
}

static void kill_server(struct vmig_sim *sim, uint32_t unit)
{
	struct vmig_sim_unit *u = &sim->units[unit];
	uint32_t host = vmig_random_one_in(&sim->random, 2) ? u->from : u->to;
	uint32_t i = (uint32_t)vmig_random_below(&sim->random, sim->config.devices);
	struct vmig_sim_place *place = vmig_sim_place_of(sim, unit, host);

	SAY(sim, "unit %u: the server of device %u of host %u dies", unit, i, host);
	may_be_lost(sim, unit, &place->devices[i]);
	place->late[i].job = VMIG_JOB_NONE;
	vmig_sim_device_reborn(sim, unit, host, i);
	/* Whoever had it in hand finds nobody there at his next word. */
	place->dead |= 1ull << i;
}

static void freeze(struct vmig_sim *sim, const struct vmig_sim_unit *u)
{
	uint32_t end = one_of(sim, u);
	uint64_t most = 3 * sim->config.core.timeout_ns;

	if (!alive(sim, end))
		return;
	sim->ends[end]->frozen_ns = sim->now + vmig_random_below(&sim->random, most);
	/* Somebody may take it for dead. */
	if (vmig_random_one_in(&sim->random, 2))
		vmig_sim_at(sim, sim->now + vmig_random_below(&sim->random, most), VMIG_SIM_EV_IMPATIENT,
			    (uint32_t)(u - sim->units), sim->ends[end]->host, 0);
}

static void harm_conn(struct vmig_sim *sim, const struct vmig_sim_unit *u, enum vmig_sim_fault kind)
{
	uint32_t end = alive(sim, u->source) ? u->source : u->destination, conn;

	if (!alive(sim, end) || (conn = sim->ends[end]->conn) == VMIG_SIM_NONE)
		return;
	if (kind == VMIG_SIM_CUT)
		vmig_sim_cut(sim, conn);
	else if (kind == VMIG_SIM_HALF_OPEN)
		sim->conns[conn].half_open = true;
	else
		sim->conns[conn].extra_ns = vmig_random_below(&sim->random, 2 * sim->config.core.timeout_ns);
}

static void make(struct vmig_sim *sim, uint32_t unit, enum vmig_sim_fault kind)
{
	struct vmig_sim_unit *u = &sim->units[unit];
	uint32_t end;

	switch (kind) {
	case VMIG_SIM_KILL_SOURCE:
	case VMIG_SIM_KILL_DESTINATION:
		end = kind == VMIG_SIM_KILL_SOURCE ? u->source : u->destination;
		if (alive(sim, end))
			vmig_sim_end_kill(sim, end);
		break;
	case VMIG_SIM_KILL_SERVER:
		kill_server(sim, unit);
		break;
	case VMIG_SIM_FREEZE:
		freeze(sim, u);
		break;
	case VMIG_SIM_CUT:
	case VMIG_SIM_HALF_OPEN:
	case VMIG_SIM_DELAY:
		harm_conn(sim, u, kind);
		break;
	case VMIG_SIM_RECORD_AWAY:
		sim->store_away_ns =
			sim->now + vmig_random_below(&sim->random, 3 * sim->config.core.timeout_ns);
		break;
	case VMIG_SIM_CANCEL:
		end = one_of(sim, u);
		if (alive(sim, end) && sim->ends[end]->frozen_ns <= sim->now)
			vmig_sim_end_cancel(sim, end);
		break;
	default:
		u->armed |= 1u << kind; /* where the thing is done */
		return;
	}
	sim->stats.fault_counts[kind]++;
}

/* The late stages are short, and the most is at stake there. */
static bool is_time(struct vmig_sim *sim, struct vmig_sim_unit *u, struct vmig_sim_planned *f)
{
	if (f->stage != VMIG_STAGE_NR) {
		if (!alive(sim, u->destination) || sim->ends[u->destination]->core.stage < f->stage)
			return false;
		f->stage = VMIG_STAGE_NR;
		f->at += u->steps;
	}
	return f->at == u->steps;
}

void vmig_sim_fault_step(struct vmig_sim *sim, uint32_t unit)
{
	struct vmig_sim_unit *u = &sim->units[unit];

	for (uint32_t i = 0; !sim->calm && i < u->n_faults; i++) {
		if (!is_time(sim, u, &u->faults[i]))
			continue;
		SAY(sim, "unit %u: fault %s is made at step %u", unit, vmig_sim_fault_name(u->faults[i].kind),
		    u->steps);
		sim->stats.faults++;
		make(sim, unit, u->faults[i].kind);
	}
	u->steps++;
}

/* --- what the dead had under way --- */

void vmig_sim_leave_job(struct vmig_sim *sim, const struct vmig_sim_end *end, uint32_t i)
{
	const struct vmig_sim_job *job = &end->jobs[i];
	struct vmig_sim_place *place = vmig_sim_place_of(sim, end->unit, end->host);
	bool changes = job->action.job == VMIG_JOB_STATE || job->action.job == VMIG_JOB_RESET;

	if (!job->action.kind || job->done || !changes || vmig_random_one_in(&sim->random, 2) ||
	    place->holder == VMIG_SIM_NONE || sim->ends[place->holder] != end)
		return;
	place->late[i] = (struct vmig_sim_late){ job->action.job, job->action.target };
	vmig_sim_at(sim, sim->now + vmig_random_below(&sim->random, 4 * sim->config.core.timeout_ns),
		    VMIG_SIM_EV_LATE, end->unit * sim->slots + end->host, i, 0);
}

static void do_late(struct vmig_sim *sim, uint32_t unit, uint32_t host, uint32_t i)
{
	struct vmig_sim_late *late = &vmig_sim_place_of(sim, unit, host)->late[i];

	if (late->job == VMIG_JOB_NONE)
		return;
	SAY(sim, "unit %u: device %u of host %u does what a dead end had asked for: %s", unit, i, host,
	    late->job == VMIG_JOB_RESET ? "a reset" : vmig_state_name(late->target));
	if (late->job == VMIG_JOB_RESET)
		vmig_sim_device_reset(sim, unit, host, i);
	else if (vmig_sim_device_walk(sim, unit, host, i, late->target))
		SAY(sim, "unit %u: and cannot", unit);
	late->job = VMIG_JOB_NONE;
	vmig_sim_check(sim, unit);
}

void vmig_sim_late_job(struct vmig_sim *sim, const struct vmig_sim_event *e)
{
	do_late(sim, e->a / sim->slots, e->a % sim->slots, e->b);
}

/* The command in hand is waited for, and what was sent beyond it is dropped. */
void vmig_sim_take(struct vmig_sim *sim, uint32_t unit, uint32_t host)
{
	struct vmig_sim_place *place = vmig_sim_place_of(sim, unit, host);

	place->dead = 0;
	for (uint32_t i = 0; i < sim->config.devices && sim->config.broken != VMIG_SIM_NO_FENCE; i++) {
		if (vmig_random_one_in(&sim->random, 2))
			do_late(sim, unit, host, i);
		place->late[i].job = VMIG_JOB_NONE;
	}
}
