/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * replay SEED [broken]	one world, step by step
 * replay --from SEED --count N | --seconds S [--broken RULE]	many; the first that fails is shown from its beginning
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "worlds.h"

static void print(const char *line, void *opaque)
{
	fprintf(opaque, "%s\n", line);
}

static uint64_t number(const char *text)
{
	return text ? strtoull(text, NULL, 0) : 0;
}

static int one(uint64_t seed, enum vmig_sim_broken broken)
{
	struct world world = { .seed = seed, .broken = broken, .say = print, .opaque = stdout };
	int r = world_run(&world);

	if (r)
		printf("seed %llu: %s\n", (unsigned long long)seed, world.wrong);
	return r ? 1 : 0;
}

static void report(const struct vmig_sim_stats *s, uint64_t worlds, double seconds)
{
	printf("%llu worlds, %llu migrations (%.0f a second), %llu events: done %llu, not done %llu, bad "
	       "input %llu, in doubt "
	       "%llu, source lost %llu, killed %llu\n",
	       (unsigned long long)worlds, (unsigned long long)s->migrations, (double)s->migrations / seconds,
	       (unsigned long long)s->events, (unsigned long long)s->done, (unsigned long long)s->not_done,
	       (unsigned long long)s->bad_input, (unsigned long long)s->in_doubt,
	       (unsigned long long)s->source_lost, (unsigned long long)s->killed);
	for (int i = 0; i < VMIG_SIM_FAULTS; i++)
		printf("  %-16s %llu\n", vmig_sim_fault_name((enum vmig_sim_fault)i),
		       (unsigned long long)s->fault_counts[i]);
}

static double since(uint64_t began)
{
	return (double)(vmig_now_ns() - began) / NS_PER_S;
}

static int many(struct world *world, uint64_t n, uint64_t seconds, uint64_t migrations)
{
	uint64_t began = vmig_now_ns(), i;

	for (i = 0; (!n || i < n) && (!seconds || since(began) < (double)seconds) &&
		    (!migrations || world->stats.migrations < migrations);
	     i++, world->seed++) {
		if (!world_run(world))
			continue;
		report(&world->stats, i + 1, since(began));
		printf("seed %llu: %s\nagain, step by step: tests/sim/replay %llu\n",
		       (unsigned long long)world->seed, world->wrong, (unsigned long long)world->seed);
		return 1;
	}
	report(&world->stats, i, since(began));
	return 0;
}

static enum vmig_sim_broken rule(const char *name)
{
	for (int i = 0; name && i < VMIG_SIM_BROKEN_NR; i++)
		if (!strcmp(name, vmig_sim_broken_name((enum vmig_sim_broken)i)))
			return (enum vmig_sim_broken)i;
	return VMIG_SIM_SOUND;
}

int main(int argc, char **argv)
{
	const char *from = NULL, *count = NULL, *seconds = NULL, *broken = NULL, *seed = NULL,
		   *migrations = NULL;

	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;
		const char **to = !strcmp(argv[i], "--from")         ? &from
				  : !strcmp(argv[i], "--count")      ? &count
				  : !strcmp(argv[i], "--seconds")    ? &seconds
				  : !strcmp(argv[i], "--migrations") ? &migrations
				  : !strcmp(argv[i], "--broken")     ? &broken
								     : NULL;

		if (to)
			i++;
		*(to ? to : &seed) = to ? value : argv[i];
	}
	if (seed)
		return one(number(seed), rule(broken));
	if (!count && !seconds && !migrations) {
		fprintf(stderr, "usage: replay SEED [--broken RULE]\n"
				"       replay [--from SEED] --count N | --seconds S | --migrations N "
				"[--broken RULE]\n");
		return 2;
	}
	struct world world = { .seed = number(from), .broken = rule(broken) };

	return many(&world, number(count), number(seconds), number(migrations));
}
