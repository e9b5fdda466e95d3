/* SPDX-License-Identifier: BSD-3-Clause */
/* A process with a core in it: what the driver does for real devices and channels, done for those of the simulation. */
#include <stdio.h>

#include "sim/parts.h"

static void settle(struct vmig_sim *sim, uint32_t index);

/* --- events --- */

static void schedule_tick(struct vmig_sim *sim, uint32_t index)
{
	struct vmig_sim_end *end = sim->ends[index];
	uint64_t at = vmig_core_deadline(&end->core);

	if (at == UINT64_MAX || (end->tick_ns && end->tick_ns <= at && end->tick_ns > sim->now))
		return;
	end->tick_ns = MAX(at, sim->now);
	vmig_sim_at(sim, end->tick_ns, VMIG_SIM_EV_TICK, index, 0, end->life);
}

void vmig_sim_feed(struct vmig_sim *sim, uint32_t index, struct vmig_core_event *ev)
{
	struct vmig_sim_end *end = sim->ends[index];

	if (!end->alive || end->finished)
		return;
	ev->now_ns = sim->now;
	ev->bytes = end->bytes;
	if (vmig_sim_head(sim, end))
		end->heard_ns = sim->now;
	ev->heard_ns = end->heard_ns;
	vmig_core_event(&end->core, ev);
	end->discard |= end->core.phase != VMIG_PHASE_GO;
	settle(sim, index);
	if (end->alive && !end->finished)
		schedule_tick(sim, index);
}

bool vmig_sim_later_if_frozen(struct vmig_sim *sim, struct vmig_sim_end *end, const struct vmig_sim_event *e)
{
	if (end->frozen_ns <= sim->now)
		return false;
	if (e->kind == VMIG_SIM_EV_TICK && e->at_ns == end->tick_ns)
		end->tick_ns = end->frozen_ns;
	vmig_sim_at(sim, end->frozen_ns, e->kind, e->a, e->b, e->life);
	return true;
}

/* --- records out --- */

static void act_send(struct vmig_sim *sim, uint32_t index, const struct vmig_core_action *a)
{
	struct vmig_sim_end *end = sim->ends[index];
	struct vmig_sim_message m = { .type = a->type, .device = a->device };
	struct vmig_cursor c = vmig_cursor_into(sim->scratch, sizeof(sim->scratch));

	if (end->conn == VMIG_SIM_NONE || end->down)
		return;
	/* Who has heard nothing yet has no attempt to speak of. */
	if (end->role == VMIG_SIM_DESTINATION && !end->core.peer.n_devices && a->type != VMIG_RECORD_ABORT)
		return;
	vmig_core_payload(&end->core, a, &c);
	if (!vmig_cursor_ok(&c))
		vmig_sim_wrong(sim, "unit %u: a %s that is too long", end->unit, vmig_record_name(a->type));
	m.len = (uint32_t)(sizeof(sim->scratch) - c.left);
	if (a->type != VMIG_RECORD_PROGRESS)
		SAY(sim, "unit %u: %s at host %u sends %s", end->unit, vmig_sim_role_name(end), end->host,
		    vmig_record_name(a->type));
	vmig_sim_send(sim, end, &m, sim->scratch);
}

/* --- records in --- */

/* What the decoder of a stream would say. */
static const char *bad(struct vmig_sim *sim, struct vmig_sim_end *end, const struct vmig_sim_message *m,
		       int *code)
{
	struct vmig_sim_flow_queue *q = &sim->conns[end->conn].to[end->role != VMIG_SIM_SOURCE];

	*code = -EBADMSG;
	if (m->damaged)
		return "its digest is wrong";
	/* An end that fails before it has heard from the other knows no attempt: it may say so. */
	if (m->type == VMIG_RECORD_ABORT && vmig_uuid_is_none(&m->attempt))
		return m->number == q->expected++ ? NULL : "a record is missing or doubled";
	if (vmig_uuid_is_none(&end->attempt))
		end->attempt = m->attempt;
	if (!vmig_uuid_equal(&m->attempt, &end->attempt))
		return "a record of another attempt";
	*code = -EPROTO;
	return m->number == q->expected++ ? NULL : "a record is missing or doubled";
}

static void lost(struct vmig_sim *sim, uint32_t index, int code, const char *text)
{
	struct vmig_sim_end *end = sim->ends[index];
	struct vmig_core_event ev = { .kind = VMIG_EV_LOST, .code = code, .text = text };

	sim->conns[end->conn].told[end->role != VMIG_SIM_SOURCE] = true;
	SAY(sim, "unit %u: %s at host %u: the connection: %s", end->unit, vmig_sim_role_name(end), end->host,
	    text ? text : "it was closed");
	vmig_sim_feed(sim, index, &ev);
}

static void take_data(struct vmig_sim *sim, uint32_t index, const struct vmig_sim_message *m)
{
	struct vmig_sim_end *end = sim->ends[index];
	struct vmig_sim_device *d = vmig_sim_device_of(sim, end, m->device);
	struct vmig_core_event ev = { .kind = VMIG_EV_DATA_FAILED, .device = m->device, .code = -EIO };

	if (end->discard)
		return;
	if (vmig_sim_holds(sim, index) && d->state == VMIG_STATE_RESUMING &&
	    !(vmig_sim_place_of(sim, end->unit, end->host)->dead >> m->device & 1)) {
		vmig_sim_device_write(d, m);
		end->bytes += m->bytes;
		return;
	}
	/* Its server has died, or another has taken it. */
	end->discard = true;
	vmig_sim_feed(sim, index, &ev);
}

static bool wanted(const struct vmig_sim_end *end, const struct vmig_sim_message *m)
{
	if (m->type == VMIG_RECORD_DATA)
		return end->discard || vmig_core_wants_data(&end->core);
	return vmig_core_wants_record(&end->core, m->type);
}

static void take_record(struct vmig_sim *sim, uint32_t index, const struct vmig_sim_message *m)
{
	struct vmig_sim_end *end = sim->ends[index];
	struct vmig_core_event ev = { .kind = VMIG_EV_RECORD,
				      .type = m->type,
				      .device = m->device,
				      .payload = m->payload,
				      .payload_len = m->len,
				      .attempt = m->attempt.bytes };

	if (m->device < sim->config.devices) {
		ev.length = vmig_sim_device_of(sim, end, m->device)->length;
		ev.chain = vmig_sim_device_of(sim, end, m->device)->chain;
	}
	vmig_sim_feed(sim, index, &ev);
}

void vmig_sim_look(struct vmig_sim *sim, uint32_t index)
{
	struct vmig_sim_end *end = sim->ends[index];
	uint32_t life = end->life;
	struct vmig_sim_message *m;

	while (end->life == life && end->alive && !end->finished && end->conn != VMIG_SIM_NONE &&
	       (m = vmig_sim_head(sim, end))) {
		struct vmig_sim_message copy = *m;
		const char *text;
		int code;

		if (sim->conns[end->conn].told[end->role != VMIG_SIM_SOURCE] || end->down) {
			vmig_sim_pop(sim, end);
			continue;
		}
		if (!wanted(end, m))
			return;
		m->payload = NULL;
		text = bad(sim, end, m, &code);
		end->heard_ns = sim->now;
		vmig_sim_pop(sim, end);
		if (text)
			lost(sim, index, code, text);
		else if (copy.type == VMIG_RECORD_DATA)
			take_data(sim, index, &copy);
		else
			take_record(sim, index, &copy);
		free(copy.payload);
	}
	if (end->life == life && end->alive && !end->finished && end->conn != VMIG_SIM_NONE &&
	    vmig_sim_end_is_seen(sim, end))
		lost(sim, index, sim->conns[end->conn].cut ? -ECONNRESET : 0, NULL);
}

/* --- actions --- */

static void ask_user(struct vmig_sim *sim, uint32_t index)
{
	struct vmig_sim_end *end = sim->ends[index];

	vmig_sim_at(sim, sim->now + vmig_sim_takes(sim, sim->config.arc_ns / 8), VMIG_SIM_EV_USER, index,
		    vmig_sim_fault_due(sim, end->unit, VMIG_SIM_USER_FAILS), end->life);
}

static void finish(struct vmig_sim *sim, uint32_t index)
{
	struct vmig_sim_end *end = sim->ends[index];
	const struct vmig_migrate_result *r = &end->core.result;

	end->finished = true;
	SAY(sim, "unit %u: %s at host %u ends: outcome %d%s%s", end->unit, vmig_sim_role_name(end), end->host,
	    r->outcome, r->reason[0] ? ": " : "", r->reason);
	if (end->conn != VMIG_SIM_NONE)
		vmig_sim_shut(sim, end);
	vmig_sim_end_over(sim, index);
}

static void act(struct vmig_sim *sim, uint32_t index, const struct vmig_core_action *a)
{
	struct vmig_sim_end *end = sim->ends[index];

	switch (a->kind) {
	case VMIG_ACT_SEND:
		act_send(sim, index, a);
		break;
	case VMIG_ACT_JOB:
		vmig_sim_start_job(sim, index, a);
		break;
	case VMIG_ACT_PUMP_STOP:
		vmig_sim_stop_pump(sim, index, a->device);
		break;
	case VMIG_ACT_QUIESCE:
	case VMIG_ACT_SAVE_RECORD:
	case VMIG_ACT_LOAD_RECORD:
	case VMIG_ACT_CHANNEL_COMMIT:
		ask_user(sim, index);
		break;
	case VMIG_ACT_CHANNEL_SHUTDOWN:
		end->down = true;
		if (end->conn != VMIG_SIM_NONE)
			vmig_sim_shut(sim, end);
		break;
	case VMIG_ACT_FINISH:
		finish(sim, index);
		break;
	case VMIG_ACT_OWNER:
		vmig_sim_ask(sim, index, a);
		break;
	case VMIG_ACT_RESUME:
	case VMIG_ACT_START:
	case VMIG_ACT_EVENT:
	case VMIG_ACT_NONE:
		break;
	}
}

static void settle(struct vmig_sim *sim, uint32_t index)
{
	struct vmig_sim_end *end = sim->ends[index];
	struct vmig_core_action a;

	while (!end->finished && vmig_core_next(&end->core, &a))
		act(sim, index, &a);
}

void vmig_sim_end_event(struct vmig_sim *sim, const struct vmig_sim_event *e)
{
	struct vmig_sim_end *end = sim->ends[e->a];
	struct vmig_core_event ev = { .kind = VMIG_EV_TICK };

	if (end->life != e->life || !end->alive || end->finished)
		return;
	if (e->kind == VMIG_SIM_EV_JOB) {
		vmig_sim_job_done(sim, e);
		return;
	}
	if (e->kind == VMIG_SIM_EV_PIECE) {
		vmig_sim_piece(sim, e);
		return;
	}
	if (e->kind == VMIG_SIM_EV_STORE) {
		vmig_sim_store_event(sim, e);
		return;
	}
	if (vmig_sim_later_if_frozen(sim, end, e))
		return;
	if (e->kind == VMIG_SIM_EV_ANSWER) {
		vmig_sim_answer(sim, end, &ev);
		vmig_sim_feed(sim, e->a, &ev);
	} else if (e->kind == VMIG_SIM_EV_TICK && e->at_ns == end->tick_ns) {
		end->tick_ns = 0;
		vmig_sim_feed(sim, e->a, &ev);
	} else if (e->kind == VMIG_SIM_EV_USER) {
		ev.kind = VMIG_EV_USER;
		ev.code = e->b ? -EPERM : 0;
		vmig_sim_feed(sim, e->a, &ev);
	}
	vmig_sim_look(sim, e->a);
}

/* --- life --- */

struct vmig_uuid vmig_sim_some_uuid(struct vmig_sim *sim)
{
	struct vmig_uuid u;
	uint64_t words[2] = { vmig_random_next(&sim->random), vmig_random_next(&sim->random) | 1 };

	memcpy(u.bytes, words, sizeof(u.bytes));
	return u;
}

/* A source that has no name for its device makes one: if an earlier one got as far as the record only, another. */
static void name(struct vmig_sim *sim, const struct vmig_sim_end *end, uint32_t i)
{
	struct vmig_sim_unit *u = &sim->units[end->unit];

	if (sim->config.fluid || end->role != VMIG_SIM_SOURCE || end->host != u->home || u->lost ||
	    !vmig_sim_nameless(sim, end->unit, i) || !vmig_sim_record(sim, end->unit)[i].phase)
		return;
	u->names[i]++;
	vmig_sim_record(sim, end->unit)[i] = (struct vmig_ownership){ 0 };
}

static void fill_info(struct vmig_sim *sim, struct vmig_sim_end *end)
{
	for (uint32_t i = 0; i < sim->config.devices; i++) {
		struct vmig_device_info *info = &end->devices[i].info;

		memset(&end->devices[i], 0, sizeof(end->devices[i]));
		info->migration_flags = vmig_sim_device_of(sim, end, i)->features;
		info->has = VMIG_HAS_PRECOPY_INFO | VMIG_HAS_STOP_COPY_SIZE;
		info->flags = VMIG_DEVICE_FLAG_RESET;
		snprintf(info->identity, sizeof(info->identity), "sim");
		snprintf(info->format, sizeof(info->format), "v2");
		snprintf(info->name, sizeof(info->name), "sim");
		name(sim, end, i);
		end->devices[i].fresh = vmig_sim_identity(sim, end->unit, i);
		if (end->role == VMIG_SIM_SOURCE && vmig_random_one_in(&sim->random, 2))
			end->devices[i].given = end->devices[i].fresh;
	}
}

void vmig_sim_end_free(struct vmig_sim_end *end)
{
	if (!end)
		return;
	free(end->devices);
	free(end->jobs);
	free(end->records);
	free(end);
}

static struct vmig_sim_end *make(struct vmig_sim *sim)
{
	struct vmig_sim_end *end = calloc(1, sizeof(*end));

	if (!end)
		return NULL;
	end->devices = calloc(sim->config.devices, sizeof(*end->devices));
	end->jobs = calloc(sim->config.devices, sizeof(*end->jobs));
	end->records = calloc(4 * (size_t)sim->config.devices, sizeof(*end->records));
	if (!end->devices || !end->jobs || !end->records) {
		vmig_sim_end_free(end);
		return NULL;
	}
	end->scratch = end->records + sim->config.devices;
	end->swap.now = end->scratch + sim->config.devices;
	end->swap.next = end->swap.now + sim->config.devices;
	return end;
}

uint32_t vmig_sim_end_new(struct vmig_sim *sim, enum vmig_sim_role role, uint32_t unit, uint32_t host)
{
	uint32_t i = sim->next_end;
	struct vmig_sim_end *end;

	/* There are never more than three of a unit. */
	while (sim->ends[i] && sim->ends[i]->alive)
		i = (i + 1) % sim->n_ends;
	sim->next_end = (i + 1) % sim->n_ends;
	if (!sim->ends[i])
		sim->ends[i] = make(sim);
	if (!sim->ends[i]) {
		vmig_sim_wrong(sim, "out of memory");
		return VMIG_SIM_NONE;
	}
	end = sim->ends[i];
	end->life++;
	end->alive = true;
	end->finished = end->down = end->discard = false;
	end->role = role;
	end->unit = unit;
	end->host = host;
	end->conn = VMIG_SIM_NONE;
	end->frozen_ns = end->tick_ns = end->bytes = 0;
	end->began_ns = sim->now;
	end->attempt = (struct vmig_uuid){ { 0 } };
	end->asking = false;
	memset(end->jobs, 0, sim->config.devices * sizeof(*end->jobs));
	vmig_sim_place_of(sim, unit, host)->holder = i;
	vmig_sim_take(sim, unit, host);
	return i;
}

void vmig_sim_end_start(struct vmig_sim *sim, uint32_t index)
{
	struct vmig_sim_end *end = sim->ends[index];
	struct vmig_core_config config = sim->config.core;
	struct vmig_core_event ev = { .kind = VMIG_EV_START };

	fill_info(sim, end);
	snprintf(end->swap.me, sizeof(end->swap.me), "h%u", end->host);
	config.source = end->role != VMIG_SIM_DESTINATION;
	config.resolve = end->role == VMIG_SIM_RESOLVER;
	config.one_way = config.resolve;
	config.owned = !sim->config.unowned;
	config.me = end->swap.me;
	config.scratch = end->scratch;
	config.nonce = vmig_sim_some_uuid(sim);
	if (end->role == VMIG_SIM_SOURCE)
		end->attempt = vmig_sim_some_uuid(sim);
	config.attempt = end->attempt;
	vmig_core_init(&end->core, &config, end->devices, sim->config.devices);
	end->heard_ns = sim->now;
	SAY(sim, "unit %u: %s begins at host %u", end->unit, vmig_sim_role_name(end), end->host);
	vmig_sim_feed(sim, index, &ev);
	/* Nobody looks at a progress line. */
	end->core.progress_ns = 0;
}

void vmig_sim_end_cancel(struct vmig_sim *sim, uint32_t index)
{
	struct vmig_core_event ev = { .kind = VMIG_EV_CANCEL };

	vmig_sim_feed(sim, index, &ev);
}

/* The command that its device is at may still be done, when nobody expects it any more. */
void vmig_sim_end_kill(struct vmig_sim *sim, uint32_t index)
{
	struct vmig_sim_end *end = sim->ends[index];

	SAY(sim, "unit %u: %s at host %u is killed in stage %s", end->unit, vmig_sim_role_name(end),
	    end->host, vmig_stage_name(end->core.stage));
	for (uint32_t i = 0; i < sim->config.devices; i++)
		vmig_sim_leave_job(sim, end, i);
	vmig_sim_leave_swap(sim, end);
	if (end->conn != VMIG_SIM_NONE)
		vmig_sim_shut(sim, end);
	end->finished = true;
	sim->stats.killed++;
	vmig_sim_end_over(sim, index);
}

void vmig_sim_end_done(struct vmig_sim *sim, uint32_t index)
{
	struct vmig_sim_end *end = sim->ends[index];
	struct vmig_sim_place *place = vmig_sim_place_of(sim, end->unit, end->host);

	if (place->holder == index)
		place->holder = VMIG_SIM_NONE;
	end->alive = false;
	end->life++;
}
