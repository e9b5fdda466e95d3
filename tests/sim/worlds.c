/* SPDX-License-Identifier: BSD-3-Clause */
#include "worlds.h"

#include <string.h>

static void add(struct vmig_sim_stats *to, const struct vmig_sim_stats *from)
{
	uint64_t *a = (uint64_t *)to;
	const uint64_t *b = (const uint64_t *)from;

	for (size_t i = 0; i < sizeof(*to) / sizeof(*a); i++)
		a[i] += b[i];
}

int world_run(struct world *world)
{
	struct vmig_sim_config config;
	struct vmig_sim *sim;
	int r;

	vmig_sim_chance(world->seed, &config);
	config.broken = world->broken;
	if (world->kinds)
		config.kinds = world->kinds;
	if (world->no_faults)
		config.faults = 0;
	r = vmig_sim_new(&config, &sim);
	if (r) {
		strcpy(world->wrong, "there is no such world");
		return r;
	}
	sim->say = world->say;
	sim->opaque = world->opaque;
	r = vmig_sim_run(sim);
	add(&world->stats, &sim->stats);
	memcpy(world->wrong, sim->wrong, sizeof(sim->wrong));
	vmig_sim_free(sim);
	return r;
}
