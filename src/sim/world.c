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

static void bury(struct vmig_sim *sim, uint32_t *end, struct vmig_migrate_result *ret)
{
	if (*end == VMIG_SIM_NONE)
		return;
	if (sim->config.fluid)
		*ret = sim->ends[*end]->core.result;
	vmig_sim_end_done(sim, *end);
	*end = VMIG_SIM_NONE;
}

static uint32_t where_it_runs(struct vmig_sim *sim, uint32_t unit)
{
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
	u->from = sim->config.fluid ? 2 * unit % sim->config.hosts : where_it_runs(sim, unit);
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
	vmig_sim_end_start(sim, u->source);
}

static void operate(struct vmig_sim *sim, uint32_t unit)
{
	struct vmig_sim_unit *u = &sim->units[unit];
	bool began = u->source != VMIG_SIM_NONE || u->destination != VMIG_SIM_NONE;

	if (!over(sim, u->source) || !over(sim, u->destination) || u->over)
		return;
	if (began) {
		if (u->source != VMIG_SIM_NONE)
			count(sim, sim->ends[u->source]);
		vmig_sim_conn_free(sim, sim->ends[u->source]->conn);
		bury(sim, &u->source, &u->result[0]);
		bury(sim, &u->destination, &u->result[1]);
	}
	if (u->left)
		migrate(sim, unit);
	else
		u->over = true;
}

/* --- life --- */

static bool allocate(struct vmig_sim *sim)
{
	const struct vmig_sim_config *c = &sim->config;
	size_t places = (size_t)c->units * c->hosts, devices = places * c->devices;

	sim->units = calloc(c->units, sizeof(*sim->units));
	sim->places = calloc(places, sizeof(*sim->places));
	sim->all_devices = calloc(devices, sizeof(*sim->all_devices));
	sim->all_late = calloc(devices, sizeof(*sim->all_late));
	sim->all_truth = calloc((size_t)c->units * c->devices, sizeof(*sim->all_truth));
	sim->n_ends = 2 * c->units + 2;
	sim->ends = calloc(sim->n_ends, sizeof(struct vmig_sim_end *));
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

static void populate(struct vmig_sim *sim)
{
	const struct vmig_sim_config *c = &sim->config;

	for (uint32_t u = 0; u < c->units; u++) {
		uint32_t home =
			c->fluid ? 2 * u % c->hosts : (uint32_t)vmig_random_below(&sim->random, c->hosts);

		sim->units[u] = (struct vmig_sim_unit){ .truth = sim->all_truth + (size_t)u * c->devices,
							.left = c->migrations,
							.source = VMIG_SIM_NONE,
							.destination = VMIG_SIM_NONE };
		for (uint32_t i = 0; i < c->devices; i++) {
			uint64_t features = c->flows ? c->flows[i].features : some_features(sim);

			for (uint32_t h = 0; h < c->hosts; h++)
				vmig_sim_place_of(sim, u, h)->devices[i].features = features;
		}
		for (uint32_t h = 0; h < c->hosts; h++)
			for (uint32_t i = 0; i < c->devices; i++)
				vmig_sim_device_init(sim, u, i, &vmig_sim_place_of(sim, u, h)->devices[i],
						     h == home);
		vmig_sim_at(sim, sim->now, VMIG_SIM_EV_OPERATOR, u, 0, 0);
	}
}

int vmig_sim_new(const struct vmig_sim_config *config, struct vmig_sim **ret)
{
	struct vmig_sim *sim;

	if (config->hosts < 2 || !config->units || !config->devices || config->devices > 64 ||
	    (config->fluid && !config->flows))
		return -EINVAL;
	sim = calloc(1, sizeof(*sim));
	if (!sim)
		return -ENOMEM;
	sim->config = *config;
	sim->random.at = config->seed;
	sim->now = NS_PER_S;
	if (!allocate(sim)) {
		vmig_sim_free(sim);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < config->units * config->hosts; i++) {
		sim->places[i].holder = VMIG_SIM_NONE;
		sim->places[i].devices = sim->all_devices + (size_t)i * config->devices;
		sim->places[i].late = sim->all_late + (size_t)i * config->devices;
	}
	*ret = sim;
	return 0;
}

static void free_ends(struct vmig_sim *sim)
{
	for (uint32_t i = 0; sim->ends && i < sim->n_ends; i++) {
		if (!sim->ends[i])
			continue;
		free(sim->ends[i]->devices);
		free(sim->ends[i]->jobs);
		free(sim->ends[i]);
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
	free(sim->up_free);
	free(sim->down_free);
	vmig_sim_queue_done(&sim->queue);
	free(sim);
}

/* --- the loop --- */

static uint32_t unit_of(const struct vmig_sim *sim, const struct vmig_sim_event *e)
{
	if (e->kind == VMIG_SIM_EV_OPERATOR)
		return e->a;
	if (e->kind == VMIG_SIM_EV_LATE)
		return e->a / sim->config.hosts;
	return sim->ends[e->a]->unit;
}

static void happen(struct vmig_sim *sim, const struct vmig_sim_event *e)
{
	uint32_t unit = unit_of(sim, e);
	struct vmig_sim_unit *u = &sim->units[unit];

	if (e->kind == VMIG_SIM_EV_OPERATOR)
		operate(sim, unit);
	else if (e->kind == VMIG_SIM_EV_LATE)
		vmig_sim_late_job(sim, e);
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
	if (!sim->wrong[0])
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
