/* SPDX-License-Identifier: BSD-3-Clause */
/* A question about the future, put to the simulator. */
#include <vmig/plan.h>

#include <stdio.h>

#include "sim/parts.h"

#define TRANSITION_NS (100000u)
#define OWNER_NS      (1 * NS_PER_MS)
#define OWNER_RATE    2000u

static bool fits(const struct vmig_plan_question *q)
{
	uint64_t sum = 0;

	if (!q->devices || !q->n || q->n > VMIG_PLAN_DEVICES_MAX || q->hosts > VMIG_PLAN_HOSTS_MAX ||
	    !q->bandwidth || q->on_no_converge > VMIG_NO_CONVERGE_WAIT)
		return false;
	for (uint32_t i = 0; i < q->n; i++) {
		const struct vmig_plan_device *d = &q->devices[i];

		if (!(d->migration_flags & VMIG_MIGRATION_STOP_COPY) || !add_fits(sum, d->initial_bytes) ||
		    !add_fits(sum + d->initial_bytes, d->final_bytes) || d->dirty_rate > 1ull << 50)
			return false;
		sum += d->initial_bytes + d->final_bytes;
	}
	return sum <= 1ull << 50;
}

static void flows_of(const struct vmig_plan_question *q, struct vmig_sim_flow *flows)
{
	for (uint32_t i = 0; i < q->n; i++) {
		const struct vmig_plan_device *d = &q->devices[i];
		uint64_t changing = d->changing_bytes ? d->changing_bytes : d->initial_bytes;

		flows[i] = (struct vmig_sim_flow){ .features = d->migration_flags,
						   .initial = d->initial_bytes,
						   .rest = d->final_bytes,
						   .changing = MIN(changing, d->initial_bytes),
						   .dirty_rate = d->dirty_rate };
	}
}

static struct vmig_sim_config config_of(const struct vmig_plan_question *q, const struct vmig_sim_flow *flows)
{
	uint32_t rounds = q->max_rounds                                ? q->max_rounds
			  : q->on_no_converge == VMIG_NO_CONVERGE_WAIT ? UINT32_MAX
								       : 30;

	return (struct vmig_sim_config){
		.hosts = 2 * MAX(q->hosts, 1),
		.units = MAX(q->hosts, 1),
		.devices = q->n,
		.migrations = 1,
		.fluid = true,
		.flows = flows,
		.latency_ns = q->latency_ns,
		.bandwidth = q->bandwidth,
		.shared_bandwidth = q->shared_bandwidth,
		.arc_ns = q->transition_ns ? q->transition_ns : TRANSITION_NS,
		.store_ns = q->owner_ns ? q->owner_ns : OWNER_NS,
		.store_service_ns = NS_PER_S / (q->owner_rate ? q->owner_rate : OWNER_RATE),
		.core = { .downtime_ns = q->downtime_ns ? q->downtime_ns : 300 * NS_PER_MS,
			  .timeout_ns = MAX(30 * NS_PER_S, 10 * q->latency_ns),
			  .max_time_ns = q->max_time_ns,
			  .max_rounds = rounds,
			  .on_no_converge = q->on_no_converge,
			  .allow_no_p2p = true },
	};
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* The median of @n, which are put in order. */
static uint64_t median(uint64_t *values, uint32_t n)
{
	qsort(values, n, sizeof(*values), compare);
	return values[(n - 1) / 2];
}

static int answer(const struct vmig_sim *sim, struct vmig_plan_answer *ret)
{
	uint32_t n = sim->config.units;
	_autofree_ uint64_t *times = calloc(n, sizeof(*times)), *downs = calloc(n, sizeof(*downs));

	if (!times || !downs)
		return -ENOMEM;
	*ret = (struct vmig_plan_answer){ .hosts = n };
	for (uint32_t u = 0; u < n; u++) {
		const struct vmig_sim_outcome *r = &sim->units[u].result;

		times[u] = r->total_ns;
		downs[u] = r->downtime_ns;
		ret->done += r->outcome == VMIG_DONE;
		ret->outcome = MAX(ret->outcome, r->outcome);
		ret->rounds = MAX(ret->rounds, r->rounds);
		ret->total_ns = MAX(ret->total_ns, r->total_ns);
		ret->downtime_ns = MAX(ret->downtime_ns, r->downtime_ns);
		ret->owner_ns = MAX(ret->owner_ns, r->owner_ns);
		ret->bytes += r->bytes;
	}
	ret->median_ns = median(times, n);
	ret->downtime_median_ns = median(downs, n);
	snprintf(ret->words, sizeof(ret->words), "%s", sim->words);
	return 0;
}

int vmig_plan(const struct vmig_plan_question *question, struct vmig_plan_answer *ret)
{
	struct vmig_sim_flow flows[VMIG_PLAN_DEVICES_MAX];
	struct vmig_sim_config config;
	struct vmig_sim *sim;
	int r;

	if (!fits(question))
		return -EINVAL;
	flows_of(question, flows);
	config = config_of(question, flows);
	r = vmig_sim_new(&config, &sim);
	if (r)
		return r;
	r = vmig_sim_run(sim);
	if (r == -EPROTO)
		r = !strcmp(sim->wrong, "out of memory") ? -ENOMEM : -EIO;
	if (!r)
		r = answer(sim, ret);
	vmig_sim_free(sim);
	return r;
}
