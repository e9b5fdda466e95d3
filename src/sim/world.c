/* SPDX-License-Identifier: BSD-3-Clause */
/* The world: what there is, who starts migrations, and the loop. */
#include <stdarg.h>
#include <stdio.h>

#include "sim/parts.h"

/* No migration takes so long, whatever goes wrong: a few timeouts for each of its faults. */
#define PATIENCE 40u
/* Nor has a world so many events for each migration. */
#define EVENTS_MAX 2000000u
/* How often the operator goes round all hosts when all is over. */
#define ROUNDS 3u

/* --- words --- */

void vmig_sim_say(struct vmig_sim *sim, const char *format, ...)
{
	char line[VMIG_SIM_SAY_MAX];
	int n = snprintf(line, sizeof(line), "%12.6f ms  ",
			 (double)(sim->now - NS_PER_S) / (double)NS_PER_MS);
	va_list ap;

	va_start(ap, format);
	vsnprintf(line + n, sizeof(line) - (size_t)n, format, ap);
	va_end(ap);
	sim->say(line, sim->opaque);
}

void vmig_sim_wrong(struct vmig_sim *sim, const char *format, ...)
{
	va_list ap;

	if (sim->wrong[0])
		return;
	va_start(ap, format);
	vsnprintf(sim->wrong, sizeof(sim->wrong), format, ap);
	va_end(ap);
	SAY(sim, "WRONG: %s", sim->wrong);
}

void vmig_sim_at(struct vmig_sim *sim, uint64_t at_ns, uint32_t kind, uint32_t a, uint32_t b, uint32_t life)
{
	const struct vmig_sim_event e = { .at_ns = at_ns, .kind = kind, .a = a, .b = b, .life = life };

	if (vmig_sim_queue_put(&sim->queue, &e))
		vmig_sim_wrong(sim, "out of memory");
}

uint64_t vmig_sim_takes(struct vmig_sim *sim, uint64_t ns)
{
	return sim->config.faults ? vmig_random_between(&sim->random, ns / 2, 2 * ns) : ns;
}

/* --- the operator --- */

static bool over(const struct vmig_sim *sim, uint32_t end)
{
	return end == VMIG_SIM_NONE || sim->ends[end]->finished;
}

void vmig_sim_end_over(struct vmig_sim *sim, uint32_t index)
{
	vmig_sim_at(sim, sim->now + vmig_sim_takes(sim, sim->config.arc_ns), VMIG_SIM_EV_OPERATOR,
		    sim->ends[index]->unit, 0, 0);
}

static void count(struct vmig_sim *sim, const struct vmig_sim_end *end)
{
	switch (end->core.result.outcome) {
	case VMIG_DONE:
		sim->stats.done++;
		break;
	case VMIG_NOT_DONE:
		sim->stats.not_done++;
		break;
	case VMIG_BAD_INPUT:
		sim->stats.bad_input++;
		break;
	case VMIG_IN_DOUBT:
		sim->stats.in_doubt++;
		break;
	case VMIG_SOURCE_LOST:
		sim->stats.source_lost++;
		break;
	}
}

/* What a plan wants to know. */
static void note(struct vmig_sim *sim, struct vmig_sim_unit *u)
{
	const struct vmig_core *core = &sim->ends[u->source]->core;
	const struct vmig_migrate_result *r = &core->result;
	const char *words = r->outcome ? r->reason : core->plan.words;

	u->result = (struct vmig_sim_outcome){ .outcome = r->outcome,
					       .rounds = r->rounds,
					       .total_ns = r->total_ns,
					       .downtime_ns = r->downtime_ns,
					       .owner_ns = sim->ends[u->destination]->core.result.owner_ns,
					       .bytes = r->bytes };
	if (*words && !sim->words[0])
		snprintf(sim->words, sizeof(sim->words), "%.800s", words);
}

static void bury(struct vmig_sim *sim, uint32_t *end)
{
	if (*end != VMIG_SIM_NONE)
		vmig_sim_end_done(sim, *end);
	*end = VMIG_SIM_NONE;
}

/* Now and then the operator errs. */
static uint32_t where_it_runs(struct vmig_sim *sim, uint32_t unit)
{
	if (vmig_sim_nameless(sim, unit, 0))
		return sim->units[unit].home;
	if (sim->config.faults && vmig_random_one_in(&sim->random, 12))
		return (uint32_t)vmig_random_below(&sim->random, sim->config.hosts);
	for (uint32_t h = 0; h < sim->config.hosts; h++)
		if (vmig_sim_runs(&vmig_sim_place_of(sim, unit, h)->devices[0]))
			return h;
	return (uint32_t)vmig_random_below(&sim->random, sim->config.hosts);
}

static void migrate(struct vmig_sim *sim, uint32_t unit)
{
	struct vmig_sim_unit *u = &sim->units[unit];
	uint32_t conn;

	u->left--;
	u->from = sim->config.fluid ? 2 * unit : where_it_runs(sim, unit);
	/* Often the same again: an older attempt may still be about there. */
	if (u->to == u->from || vmig_random_one_in(&sim->random, 2))
		u->to = (u->from + 1 + (uint32_t)vmig_random_below(&sim->random, sim->config.hosts - 1)) %
			sim->config.hosts;
	if (sim->config.fluid)
		u->to = u->from + 1;
	u->began_ns = sim->now;
	sim->stats.migrations++;
	vmig_sim_plan_faults(sim, unit);
	SAY(sim, "unit %u: from host %u to host %u", unit, u->from, u->to);
	u->destination = vmig_sim_end_new(sim, VMIG_SIM_DESTINATION, unit, u->to);
	u->source = vmig_sim_end_new(sim, VMIG_SIM_SOURCE, unit, u->from);
	if (sim->wrong[0])
		return;
	conn = vmig_sim_connect(sim, u->source, u->destination);
	sim->ends[u->source]->conn = sim->ends[u->destination]->conn = conn;
	vmig_sim_end_start(sim, u->destination);
	/* Somebody is there before the source, with what another session said: the source finds nobody to listen. */
	if (u->tape.used && vmig_sim_fault_due(sim, unit, VMIG_SIM_REPLAY))
		vmig_sim_replay(sim, u->destination);
	vmig_sim_end_start(sim, u->source);
}

/* All is over and nothing more goes wrong: "vmig owner resolve" at one host after the other. */
static void resolve(struct vmig_sim *sim, uint32_t unit)
{
	struct vmig_sim_unit *u = &sim->units[unit];

	u->began_ns = sim->now;
	u->n_faults = 0;
	u->armed = 0;
	sim->store_away_ns = 0;
	u->source = vmig_sim_end_new(sim, VMIG_SIM_RESOLVER, unit, u->rounds++ % sim->config.hosts);
	sim->stats.resolves++;
	if (!sim->wrong[0])
		vmig_sim_end_start(sim, u->source);
}

static void resolve_beside(struct vmig_sim *sim, uint32_t unit, uint32_t host)
{
	struct vmig_sim_unit *u = &sim->units[unit];

	if (u->extra != VMIG_SIM_NONE || u->waited || sim->config.unowned)
		return;
	u->extra = vmig_sim_end_new(sim, VMIG_SIM_RESOLVER, unit, host);
	sim->stats.resolves++;
	if (!sim->wrong[0])
		vmig_sim_end_start(sim, u->extra);
}

static void operate(struct vmig_sim *sim, uint32_t unit)
{
	struct vmig_sim_unit *u = &sim->units[unit];
	bool began = u->source != VMIG_SIM_NONE || u->destination != VMIG_SIM_NONE;

	if (u->extra != VMIG_SIM_NONE && over(sim, u->extra))
		bury(sim, &u->extra);
	if (!over(sim, u->source) || !over(sim, u->destination) || !over(sim, u->extra) || u->over ||
	    sim->now < u->rest_ns)
		return;
	if (began) {
		if (sim->ends[u->source]->conn != VMIG_SIM_NONE) {
			count(sim, sim->ends[u->source]);
			vmig_sim_conn_free(sim, sim->ends[u->source]->conn);
		}
		if (sim->config.fluid)
			note(sim, u);
		bury(sim, &u->source);
		bury(sim, &u->destination);
	}
	if (u->left) {
		migrate(sim, unit);
	} else if (!u->waited) {
		/* Whatever the dead had under way has come by then. */
		u->waited = true;
		u->began_ns = 0;
		vmig_sim_at(sim, sim->now + 5 * sim->config.core.timeout_ns, VMIG_SIM_EV_OPERATOR, unit, 0,
			    0);
	} else if (!sim->config.unowned && !sim->config.fluid && u->rounds < ROUNDS * sim->config.hosts) {
		resolve(sim, unit);
	} else {
		u->over = true;
	}
}

/* --- life --- */

static bool allocate(struct vmig_sim *sim)
{
	const struct vmig_sim_config *c = &sim->config;
	size_t places = (size_t)c->units * sim->slots, devices = places * c->devices;

	sim->units = calloc(c->units, sizeof(*sim->units));
	sim->places = calloc(places, sizeof(*sim->places));
	sim->all_devices = calloc(devices, sizeof(*sim->all_devices));
	sim->all_late = calloc(devices, sizeof(*sim->all_late));
	sim->all_truth = calloc((size_t)c->units * c->devices, sizeof(*sim->all_truth));
	sim->all_names = calloc((size_t)c->units * c->devices, sizeof(*sim->all_names));
	sim->n_ends = 3 * c->units;
	sim->ends = calloc(sim->n_ends, sizeof(struct vmig_sim_end *));
	sim->records = calloc(2 * (size_t)c->units * c->devices, sizeof(*sim->records));
	sim->all_swaps = calloc(2 * VMIG_SIM_LATE_SWAPS * (size_t)c->devices, sizeof(*sim->all_swaps));
	sim->n_conns = c->units + 1;
	sim->conns = calloc(sim->n_conns, sizeof(*sim->conns));
	sim->up_free = calloc(c->hosts, sizeof(*sim->up_free));
	sim->down_free = calloc(c->hosts, sizeof(*sim->down_free));
	return sim->units && sim->places && sim->all_devices && sim->all_late && sim->all_truth &&
	       sim->ends && sim->conns && sim->up_free && sim->down_free;
}

static uint64_t some_features(struct vmig_sim *sim)
{
	static const uint64_t kinds[] = {
		VMIG_MIGRATION_STOP_COPY | VMIG_MIGRATION_P2P | VMIG_MIGRATION_PRE_COPY,
		VMIG_MIGRATION_STOP_COPY | VMIG_MIGRATION_P2P,
	};

	if (sim->config.devices == 1 && vmig_random_one_in(&sim->random, 3))
		return VMIG_MIGRATION_STOP_COPY |
		       (vmig_random_one_in(&sim->random, 2) ? VMIG_MIGRATION_PRE_COPY : 0);
	return kinds[vmig_random_below(&sim->random, 4) / 3];
}

/* Some units have been moved before, or at least have been given a record. */
static void make_records(struct vmig_sim *sim, uint32_t unit, uint32_t home)
{
	for (uint32_t i = 0; i < sim->config.devices; i++) {
		struct vmig_ownership *r = &sim->records[(size_t)unit * sim->config.devices + i];

		*r = (struct vmig_ownership){ .device = vmig_sim_identity(sim, unit, i),
					      .epoch = 1,
					      .phase = VMIG_OWNER_STABLE };
		snprintf(r->owner, sizeof(r->owner), "h%u", home);
	}
}

static void populate(struct vmig_sim *sim)
{
	const struct vmig_sim_config *c = &sim->config;

	for (uint32_t u = 0; u < c->units; u++) {
		uint32_t home = c->fluid ? 2 * u : (uint32_t)vmig_random_below(&sim->random, c->hosts);

		sim->units[u] = (struct vmig_sim_unit){ .truth = sim->all_truth + (size_t)u * c->devices,
							.names = sim->all_names + (size_t)u * c->devices,
							.left = c->migrations,
							.home = home,
							.source = VMIG_SIM_NONE,
							.destination = VMIG_SIM_NONE,
							.extra = VMIG_SIM_NONE };
		for (uint32_t i = 0; i < c->devices; i++) {
			uint64_t features = c->flows ? c->flows[i].features : some_features(sim);

			for (uint32_t h = 0; h < sim->slots; h++)
				sim->places[(size_t)u * sim->slots + h].devices[i].features = features;
		}
		if (c->fluid || vmig_random_one_in(&sim->random, 2))
			make_records(sim, u, home);
		for (uint32_t h = 0; h < sim->slots; h++)
			for (uint32_t i = 0; i < c->devices; i++)
				vmig_sim_device_init(sim, u, c->fluid ? 2 * u + h : h, i);
		vmig_sim_at(sim, sim->now, VMIG_SIM_EV_OPERATOR, u, 0, 0);
	}
}

int vmig_sim_new(const struct vmig_sim_config *config, struct vmig_sim **ret)
{
	struct vmig_sim *sim;

	if (config->hosts < 2 || (config->fluid && config->hosts != 2 * config->units) || !config->units ||
	    !config->devices || config->devices > 64 || (config->fluid && !config->flows))
		return -EINVAL;
	sim = calloc(1, sizeof(*sim));
	if (!sim)
		return -ENOMEM;
	sim->config = *config;
	sim->random.at = config->seed;
	sim->now = NS_PER_S;
	sim->slots = config->fluid ? 2 : config->hosts;
	if (!allocate(sim)) {
		vmig_sim_free(sim);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < config->units * sim->slots; i++) {
		sim->places[i].holder = VMIG_SIM_NONE;
		sim->places[i].devices = sim->all_devices + (size_t)i * config->devices;
		sim->places[i].late = sim->all_late + (size_t)i * config->devices;
	}
	sim->old_attempts = sim->records + (size_t)config->units * config->devices;
	for (uint32_t i = 0; i < VMIG_SIM_LATE_SWAPS; i++) {
		sim->late[i].now = sim->all_swaps + (size_t)(2 * i) * config->devices;
		sim->late[i].next = sim->late[i].now + config->devices;
	}
	*ret = sim;
	return 0;
}

static void free_ends(struct vmig_sim *sim)
{
	for (uint32_t i = 0; sim->units && i < sim->config.units; i++)
		vmig_sim_tape_clear(&sim->units[i].tape);
	for (uint32_t i = 0; sim->ends && i < sim->n_ends; i++) {
		vmig_sim_end_free(sim->ends[i]);
	}
	for (uint32_t i = 0; sim->conns && i < sim->n_conns; i++) {
		vmig_sim_conn_free(sim, i);
		free(sim->conns[i].to[0].ring);
		free(sim->conns[i].to[1].ring);
	}
}

void vmig_sim_free(struct vmig_sim *sim)
{
	if (!sim)
		return;
	free_ends(sim);
	free(sim->ends);
	free(sim->conns);
	free(sim->units);
	free(sim->places);
	free(sim->all_devices);
	free(sim->all_late);
	free(sim->all_truth);
	free(sim->all_names);
	free(sim->records);
	free(sim->all_swaps);
	free(sim->up_free);
	free(sim->down_free);
	vmig_sim_queue_done(&sim->queue);
	free(sim);
}

/* --- the loop --- */

static uint32_t unit_of(const struct vmig_sim *sim, const struct vmig_sim_event *e)
{
	if (e->kind == VMIG_SIM_EV_OPERATOR || e->kind == VMIG_SIM_EV_IMPATIENT)
		return e->a;
	if (e->kind == VMIG_SIM_EV_LATE)
		return e->a / sim->slots;
	if (e->kind == VMIG_SIM_EV_LATE_SWAP)
		return sim->late[e->a].unit;
	return sim->ends[e->a]->unit;
}

static void happen(struct vmig_sim *sim, const struct vmig_sim_event *e)
{
	uint32_t unit = unit_of(sim, e);
	struct vmig_sim_unit *u = &sim->units[unit];

	if (e->kind == VMIG_SIM_EV_OPERATOR)
		operate(sim, unit);
	else if (e->kind == VMIG_SIM_EV_IMPATIENT)
		resolve_beside(sim, unit, e->b);
	else if (e->kind == VMIG_SIM_EV_LATE)
		vmig_sim_late_job(sim, e);
	else if (e->kind == VMIG_SIM_EV_LATE_SWAP)
		vmig_sim_late_swap(sim, e);
	else
		vmig_sim_end_event(sim, e);
	if (u->n_faults)
		vmig_sim_fault_step(sim, unit);
	if (!sim->config.fluid && !u->over && u->began_ns &&
	    sim->now > u->began_ns + PATIENCE * sim->config.core.timeout_ns)
		vmig_sim_wrong(sim, "unit %u: its migration does not end", unit);
}

int vmig_sim_run(struct vmig_sim *sim)
{
	struct vmig_sim_event e;
	uint64_t most = (uint64_t)EVENTS_MAX * sim->config.units * sim->config.migrations;

	if (!sim->units[0].truth)
		populate(sim);
	while (!sim->wrong[0] && vmig_sim_queue_take(&sim->queue, &e)) {
		sim->now = MAX(sim->now, e.at_ns);
		if (++sim->stats.events > most)
			vmig_sim_wrong(sim, "it goes on for ever");
		happen(sim, &e);
	}
	if (!sim->wrong[0] && !sim->config.fluid)
		vmig_sim_check_end(sim);
	return sim->wrong[0] ? -EPROTO : 0;
}

void vmig_sim_chance(uint64_t seed, struct vmig_sim_config *ret)
{
	struct vmig_random r = { seed ^ 0x5eed };

	*ret = (struct vmig_sim_config){
		.seed = seed,
		.hosts = (uint32_t)vmig_random_between(&r, 2, 4),
		.units = vmig_random_one_in(&r, 8) ? (uint32_t)vmig_random_between(&r, 2, 4) : 1,
		.devices = (uint32_t)vmig_random_between(&r, 1, vmig_random_one_in(&r, 2) ? 4 : 2),
		.migrations = (uint32_t)vmig_random_between(&r, 2, 8),
		.faults = 3,
		.kinds = (1u << VMIG_SIM_FAULTS) - 1,
		.core = { .downtime_ns = 300 * NS_PER_MS,
			  .timeout_ns = NS_PER_S,
			  .max_rounds = (uint32_t)vmig_random_between(&r, 1, 6) },
		.latency_ns = vmig_random_between(&r, 10000, 2 * NS_PER_MS),
		.bandwidth = 1ull << vmig_random_between(&r, 26, 32),
		.arc_ns = vmig_random_between(&r, 10000, 4 * NS_PER_MS),
		.store_ns = vmig_random_between(&r, 100000, 4 * NS_PER_MS),
	};
}
