/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ownership record: what a store does (owner.h), in memory; with what may become of a question on its way.
 *
 *	asked		the question travels
 *	VMIG_SIM_EV_STORE	it is answered: the moment at which a swap happens
 *	VMIG_SIM_EV_ANSWER	the answer arrives
 */
#include "sim/parts.h"

static struct vmig_ownership *record_of(struct vmig_sim *sim, const struct vmig_uuid *device)
{
	uint32_t unit, i, name;

	memcpy(&name, device->bytes + 12, sizeof(name));
	memcpy(&unit, device->bytes + 4, sizeof(unit));
	memcpy(&i, device->bytes + 8, sizeof(i));
	if (unit >= sim->config.units || i >= sim->config.devices) {
		vmig_sim_wrong(sim, "a record of a device that there is not");
		return &sim->records[0];
	}
	/* Of a name that nobody has any more. */
	if (name != sim->units[unit].names[i]) {
		sim->forgotten = (struct vmig_ownership){ .device = *device, .phase = VMIG_OWNER_STABLE };
		return &sim->forgotten;
	}
	return &sim->records[(size_t)unit * sim->config.devices + i];
}

/* --- swaps --- */

static bool matches(const struct vmig_sim *sim, const struct vmig_sim_swap *s, uint32_t i,
		    const struct vmig_ownership *r)
{
	/* Broken on purpose: only whose it is counts. */
	if (sim->config.broken == VMIG_SIM_NO_EPOCH && s->step == VMIG_OWNER_COMMIT)
		return !strcmp(r->owner, s->now[i].owner);
	if (!r->phase && !s->now[i].phase)
		return true;
	return vmig_ownership_equal(r, &s->now[i]) || vmig_ownership_equal(r, &s->next[i]);
}

/* Broken on purpose: a new attempt is the old one again, in number and all. */
static void reuse(struct vmig_sim *sim, const struct vmig_sim_swap *s, uint32_t i, struct vmig_ownership *r)
{
	struct vmig_ownership *old = &sim->old_attempts[r - sim->records];

	if (sim->config.broken != VMIG_SIM_REUSE || s->step != VMIG_OWNER_DO_OPEN)
		return;
	if (old->phase && !strcmp(old->owner, r->owner) && !strcmp(old->peer, r->peer))
		*r = *old;
	else
		*old = *r;
}

static bool swap(struct vmig_sim *sim, const struct vmig_sim_swap *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (!matches(sim, s, i, record_of(sim, &s->now[i].device)))
			return false;
	for (uint32_t i = 0; i < s->n; i++) {
		struct vmig_ownership *r = record_of(sim, &s->now[i].device);

		if (r->epoch > s->next[i].epoch && sim->config.broken == VMIG_SIM_SOUND)
			vmig_sim_wrong(sim, "unit %u: an epoch goes back", s->unit);
		*r = s->next[i];
		reuse(sim, s, i, r);
	}
	SAY(sim, "unit %u: record: %s by %s: owner %s, epoch %llu, %s, peer %s", s->unit,
	    vmig_owner_step_name(s->step), s->me, s->next[0].owner, (unsigned long long)s->next[0].epoch,
	    vmig_owner_phase_name(s->next[0].phase), s->next[0].peer);
	vmig_sim_check(sim, s->unit);
	return true;
}

/* --- what is done much later --- */

static void leave(struct vmig_sim *sim, const struct vmig_sim_swap *s)
{
	struct vmig_sim_swap *late = NULL;
	uint32_t n = sim->config.devices;

	for (uint32_t i = 0; i < VMIG_SIM_LATE_SWAPS && !late; i++)
		late = sim->late[i].n ? NULL : &sim->late[i];
	if (!late)
		return;
	memcpy(late->now, s->now, n * sizeof(*s->now));
	memcpy(late->next, s->next, n * sizeof(*s->next));
	late->n = s->n;
	late->step = s->step;
	late->unit = s->unit;
	memcpy(late->me, s->me, sizeof(late->me));
	vmig_sim_at(sim, sim->now + vmig_random_below(&sim->random, 4 * sim->config.core.timeout_ns),
		    VMIG_SIM_EV_LATE_SWAP, (uint32_t)(late - sim->late), 0, 0);
}

void vmig_sim_late_swap(struct vmig_sim *sim, const struct vmig_sim_event *e)
{
	struct vmig_sim_swap *late = &sim->late[e->a];

	SAY(sim, "unit %u: record: a %s of %s that was under way arrives", late->unit,
	    vmig_owner_step_name(late->step), late->me);
	if (!swap(sim, late))
		SAY(sim, "unit %u: record: and has lost", late->unit);
	late->n = 0;
}

void vmig_sim_leave_swap(struct vmig_sim *sim, const struct vmig_sim_end *end)
{
	if (end->asking && !end->answered && end->ask == VMIG_OWNER_ASK_SWAP &&
	    vmig_random_one_in(&sim->random, 2))
		leave(sim, &end->swap);
}

/* --- asking --- */

void vmig_sim_ask(struct vmig_sim *sim, uint32_t index, const struct vmig_core_action *a)
{
	struct vmig_sim_end *end = sim->ends[index];
	struct vmig_sim_swap *s = &end->swap;
	uint64_t start = MAX(sim->now + vmig_sim_takes(sim, sim->config.store_ns / 2), sim->store_free);

	if (end->asking)
		vmig_sim_wrong(sim, "unit %u: the record is asked two things at a time", end->unit);
	end->asking = true;
	end->answered = false;
	end->ask = a->ask;
	s->n = 0;
	s->step = a->step;
	s->unit = end->unit;
	for (uint32_t i = 0; i < sim->config.devices; i++) {
		if (!end->devices[i].in_unit)
			continue;
		s->now[s->n] = end->devices[i].record;
		s->now[s->n].device = end->devices[i].identity;
		s->next[s->n++] = end->devices[i].next;
	}
	if (a->ask == VMIG_OWNER_ASK_SWAP && a->step == VMIG_OWNER_COMMIT &&
	    sim->config.broken == VMIG_SIM_RUN_FIRST)
		for (uint32_t i = 0; i < sim->config.devices; i++)
			(void)vmig_sim_device_walk(sim, end->unit, end->host, i, VMIG_STATE_RUNNING_P2P);
	sim->store_free = start + sim->config.store_service_ns;
	vmig_sim_at(sim, start + sim->config.store_service_ns, VMIG_SIM_EV_STORE, index, 0, end->life);
}

/* --- answering --- */

static enum vmig_owner_answer unknown(struct vmig_sim *sim, struct vmig_sim_end *end)
{
	switch (vmig_random_below(&sim->random, 3)) {
	case 0:
		(void)swap(sim, &end->swap);
		break;
	case 1:
		leave(sim, &end->swap);
		break;
	}
	return VMIG_OWNER_UNKNOWN;
}

static enum vmig_owner_answer answer_swap(struct vmig_sim *sim, struct vmig_sim_end *end)
{
	if (sim->config.broken == VMIG_SIM_NO_RAISE && end->swap.step == VMIG_OWNER_RAISE)
		return VMIG_OWNER_WON;
	if (sim->config.broken == VMIG_SIM_NO_BUMP && end->swap.step == VMIG_OWNER_BUMP)
		return VMIG_OWNER_WON;
	if (vmig_sim_fault_due(sim, end->unit, VMIG_SIM_RECORD_UNKNOWN))
		return unknown(sim, end);
	return swap(sim, &end->swap) ? VMIG_OWNER_WON : VMIG_OWNER_LOST;
}

static enum vmig_owner_answer answer_read(struct vmig_sim *sim, struct vmig_sim_end *end)
{
	for (uint32_t i = 0; i < end->swap.n; i++) {
		struct vmig_uuid device = end->swap.now[i].device;

		end->records[i] = *record_of(sim, &device);
		end->records[i].device = device;
	}
	return VMIG_OWNER_RECORDS;
}

void vmig_sim_store_event(struct vmig_sim *sim, const struct vmig_sim_event *e)
{
	struct vmig_sim_end *end = sim->ends[e->a];

	if (sim->store_away_ns > sim->now)
		end->answer = VMIG_OWNER_UNREACHABLE;
	else if (end->ask == VMIG_OWNER_ASK_READ)
		end->answer = answer_read(sim, end);
	else
		end->answer = answer_swap(sim, end);
	end->answered = true;
	vmig_sim_at(sim, sim->now + vmig_sim_takes(sim, sim->config.store_ns / 2), VMIG_SIM_EV_ANSWER, e->a,
		    0, e->life);
}

void vmig_sim_answer(struct vmig_sim *sim, struct vmig_sim_end *end, struct vmig_core_event *ret)
{
	end->asking = false;
	*ret = (struct vmig_core_event){ .kind = VMIG_EV_OWNER,
					 .owner = end->answer,
					 .records = end->records,
					 .store = { { 1 } },
					 .unit_max = VMIG_LIMIT_DEVICES };
	if (end->answer == VMIG_OWNER_UNREACHABLE || end->answer == VMIG_OWNER_UNKNOWN) {
		ret->code = end->answer == VMIG_OWNER_UNKNOWN ? -EINPROGRESS : -ETIMEDOUT;
		ret->text = "the store is away";
	}
}
