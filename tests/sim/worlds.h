/* SPDX-License-Identifier: BSD-3-Clause */
/** worlds - run a world of chance for a seed. */
#ifndef VMIG_TESTS_SIM_WORLDS_H
#define VMIG_TESTS_SIM_WORLDS_H

#include "sim/sim.h"

struct world {
	uint64_t seed;
	enum vmig_sim_broken broken;
	bool no_faults;
	uint32_t kinds; /* of faults, a bit each; 0: all */
	void (*say)(const char *line, void *opaque);
	void *opaque;
	struct vmig_sim_stats stats; /* added up */
	char wrong[VMIG_SIM_SAY_MAX];
};

/** 0; or what was wrong is in world->wrong. */
int world_run(struct world *world);

#endif
