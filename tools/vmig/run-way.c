/* SPDX-License-Identifier: BSD-3-Clause */
/* The ways in, and which of them can serve a command. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run-program.h"
#include "run.h"

const struct run_way *const run_ways[] = { &run_way_preload, &run_way_seccomp, NULL };

static int unknown(const char *name)
{
	return tool_fail(VMIG_BAD_INPUT, "--intercept: '%s' is not a way in: see 'vmig help run'", name);
}

static int choose_named(struct run *run, const char *name)
{
	char why[RUN_WHY_MAX] = "";

	for (size_t i = 0; run_ways[i]; i++) {
		if (strcmp(run_ways[i]->name, name))
			continue;
		if (!run_ways[i]->check(run, why))
			return tool_fail(VMIG_NOT_DONE, "--intercept=%s cannot serve this: %s", name, why);
		run->way = run_ways[i];
		return 0;
	}
	return unknown(name);
}

int run_way_choose(struct run *run)
{
	const char *name = run->o->intercept;
	char why[RUN_WHY_MAX], all[2 * RUN_WHY_MAX] = "";
	size_t used = 0;

	if (name && strcmp(name, "auto"))
		return choose_named(run, name);
	for (size_t i = 0; run_ways[i] && !run->way; i++) {
		why[0] = 0;
		if (run_ways[i]->check(run, why))
			run->way = run_ways[i];
		else
			used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s: %s", used ? "; " : "",
						 run_ways[i]->name, why);
		used = used < sizeof(all) ? used : sizeof(all) - 1;
	}
	return run->way ? 0 : tool_fail(VMIG_NOT_DONE, "there is no way in to this command: %s", all);
}
