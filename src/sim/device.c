/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device of the simulation: the states by the table of the real ones, and a content whose every part has a version.
 *
 * The truth of a logical device is the newest version of each chunk, wherever it was written. Who runs must have just these.
 */
#include "sim/parts.h"

#define CHUNK_BYTES (64u << 10)
#define ALL_CHUNKS  ((1u << VMIG_SIM_CHUNKS) - 1)

static const struct vmig_sim_flow *flow_of(const struct vmig_sim *sim, uint32_t i)
{
	return &sim->config.flows[i];
}

/* --- life --- */

static void blank(struct vmig_sim_device *d)
{
	d->state = VMIG_STATE_RUNNING;
	memset(&d->tag.identity, 0, sizeof(d->tag.identity));
	memset(&d->tag.attempt, 0, sizeof(d->tag.attempt));
	memset(d->have, 0, sizeof(d->have));
	d->todo = 0;
	d->first_pass = 0;
	d->length = 0;
	d->chain = 0;
}

/* What nobody has named yet is just a new device. */
static void fill(struct vmig_sim *sim, uint32_t unit, uint32_t i, struct vmig_sim_device *d)
{
	struct vmig_sim_unit *u = &sim->units[unit];

	for (uint32_t k = 0; k < VMIG_SIM_CHUNKS; k++) {
		u->truth[i][k] = ++u->version;
		d->have[k] = u->version;
	}
}

void vmig_sim_device_reset(struct vmig_sim *sim, uint32_t unit, uint32_t host, uint32_t i)
{
	struct vmig_sim_device *d = &vmig_sim_place_of(sim, unit, host)->devices[i];

	blank(d);
	if (host == sim->units[unit].home && vmig_sim_nameless(sim, unit, i))
		fill(sim, unit, i, d);
}

void vmig_sim_device_reborn(struct vmig_sim *sim, uint32_t unit, uint32_t host, uint32_t i)
{
	struct vmig_sim_device *d = &vmig_sim_place_of(sim, unit, host)->devices[i];
	bool was_named = vmig_sim_has_identity(d);

	d->tag.instance = vmig_sim_some_uuid(sim);
	if (was_named)
		blank(d);
	else
		vmig_sim_device_reset(sim, unit, host, i);
}

void vmig_sim_device_init(struct vmig_sim *sim, uint32_t unit, uint32_t host, uint32_t i)
{
	struct vmig_sim_device *d = &vmig_sim_place_of(sim, unit, host)->devices[i];

	blank(d);
	d->tag.instance = vmig_sim_some_uuid(sim);
	if (host != sim->units[unit].home)
		return;
	fill(sim, unit, i, d);
	if (sim->config.unowned || vmig_sim_record(sim, unit)[i].phase)
		vmig_sim_device_name(sim, unit, i, d);
}

void vmig_sim_device_name(struct vmig_sim *sim, uint32_t unit, uint32_t i, struct vmig_sim_device *d)
{
	d->tag.identity = vmig_sim_identity(sim, unit, i);
	sim->units[unit].named |= 1ull << i;
}

/* --- running --- */

bool vmig_sim_has_identity(const struct vmig_sim_device *d)
{
	return !vmig_uuid_is_none(&d->tag.identity);
}

bool vmig_sim_nameless(struct vmig_sim *sim, uint32_t unit, uint32_t device)
{
	return !(sim->units[unit].named >> device & 1);
}

static bool is_running(uint32_t state)
{
	return state == VMIG_STATE_RUNNING || state == VMIG_STATE_RUNNING_P2P ||
	       state == VMIG_STATE_PRE_COPY || state == VMIG_STATE_PRE_COPY_P2P;
}

bool vmig_sim_runs(const struct vmig_sim_device *d)
{
	return vmig_sim_has_identity(d) && is_running(d->state);
}

static void flow(struct vmig_sim *sim, uint32_t i, struct vmig_sim_device *d)
{
	const struct vmig_sim_flow *f = flow_of(sim, i);
	double s = (double)(sim->now - d->flowed_ns) / NS_PER_S;
	double clean = (double)f->changing - d->dirty;

	d->flowed_ns = sim->now;
	if (d->state != VMIG_STATE_PRE_COPY || clean <= 0 || !f->dirty_rate)
		return;
	/* What is written a second time was dirty already: the more is dirty, the less becomes so. */
	d->dirty += clean - clean / (1 + s * (double)f->dirty_rate / (double)f->changing);
}

void vmig_sim_device_work(struct vmig_sim *sim, uint32_t unit, uint32_t i, struct vmig_sim_device *d)
{
	struct vmig_sim_unit *u = &sim->units[unit];
	uint32_t k;

	if (sim->config.fluid) {
		flow(sim, i, d);
		return;
	}
	if (!vmig_sim_runs(d) || d->state == VMIG_STATE_RUNNING_P2P || d->state == VMIG_STATE_PRE_COPY_P2P)
		return;
	if (!vmig_random_one_in(&sim->random, 3))
		return;
	k = (uint32_t)vmig_random_below(&sim->random, VMIG_SIM_CHUNKS);
	u->truth[i][k] = ++u->version;
	d->have[k] = u->version;
	d->todo |= 1u << k;
}

/* --- states --- */

static void begin_saving(struct vmig_sim *sim, uint32_t i, struct vmig_sim_device *d, bool precopy)
{
	d->todo = ALL_CHUNKS;
	d->first_pass = precopy ? ALL_CHUNKS : 0;
	d->length = 0;
	d->chain = 0;
	if (!sim->config.fluid)
		return;
	d->initial = precopy ? (double)flow_of(sim, i)->initial : 0;
	d->rest = (double)flow_of(sim, i)->rest + (precopy ? 0 : (double)flow_of(sim, i)->initial);
	d->dirty = 0;
	d->flowed_ns = sim->now;
}

static void begin_loading(struct vmig_sim_device *d)
{
	memset(&d->tag.identity, 0, sizeof(d->tag.identity));
	memset(d->have, 0, sizeof(d->have));
	d->length = 0;
	d->chain = 0;
}

static bool whole(const struct vmig_sim *sim, const struct vmig_sim_device *d)
{
	for (uint32_t k = 0; !sim->config.fluid && k < VMIG_SIM_CHUNKS; k++)
		if (!d->have[k])
			return false;
	return true;
}

/* Never on old or mixed state. */
static void begin_running(struct vmig_sim *sim, uint32_t unit, uint32_t host, uint32_t i,
			  const struct vmig_sim_device *d)
{
	const struct vmig_sim_unit *u = &sim->units[unit];

	for (uint32_t k = 0; !sim->config.fluid && vmig_sim_has_identity(d) && k < VMIG_SIM_CHUNKS; k++)
		if (d->have[k] != u->truth[i][k])
			vmig_sim_wrong(sim,
				       "unit %u: device %u runs at host %u with chunk %u of version %u, the "
				       "newest is "
				       "%u",
				       unit, i, host, k, d->have[k], u->truth[i][k]);
}

/* One arc. */
static int step(struct vmig_sim *sim, uint32_t unit, uint32_t host, uint32_t i, uint32_t next)
{
	struct vmig_sim_device *d = &vmig_sim_place_of(sim, unit, host)->devices[i];
	uint32_t at = d->state;
	bool saves = at == VMIG_STATE_PRE_COPY || at == VMIG_STATE_PRE_COPY_P2P;

	if (next == VMIG_STATE_PRE_COPY || (next == VMIG_STATE_PRE_COPY_P2P && !saves))
		begin_saving(sim, i, d, true);
	else if (next == VMIG_STATE_STOP_COPY && !saves)
		begin_saving(sim, i, d, false);
	else if (next == VMIG_STATE_STOP_COPY)
		d->todo |= 1; /* something is always read at the end: the registers */
	else if (next == VMIG_STATE_RESUMING)
		begin_loading(d);
	else if (at == VMIG_STATE_RESUMING && !whole(sim, d))
		return -EINVAL;
	d->state = next;
	if (is_running(next) && !is_running(at))
		begin_running(sim, unit, host, i, d);
	return 0;
}

int vmig_sim_device_walk(struct vmig_sim *sim, uint32_t unit, uint32_t host, uint32_t i, uint32_t target)
{
	struct vmig_sim_device *d = &vmig_sim_place_of(sim, unit, host)->devices[i];
	uint32_t next;
	int r = 0;

	vmig_sim_device_work(sim, unit, i, d);
	while (!r && d->state != target) {
		r = vmig_state_next(d->features, d->state, target, &next);
		if (!r)
			r = step(sim, unit, host, i, next);
	}
	return r;
}

/* --- data --- */

static uint64_t bytes_of(uint32_t chunks)
{
	return (uint64_t)__builtin_popcount(chunks) * CHUNK_BYTES;
}

void vmig_sim_device_sizes(struct vmig_sim *sim, struct vmig_sim_device *d, struct vmig_precopy *ret)
{
	*ret = (struct vmig_precopy){ .initial_bytes = bytes_of(d->todo & d->first_pass),
				      .dirty_bytes = bytes_of(d->todo & ~d->first_pass) };
	if (sim->config.fluid)
		*ret = (struct vmig_precopy){ .initial_bytes = (uint64_t)d->initial,
					      .dirty_bytes = (uint64_t)d->dirty };
}

static bool read_flow(struct vmig_sim_device *d, uint64_t max, struct vmig_sim_message *m)
{
	double *from = d->initial >= 1 ? &d->initial : d->dirty >= 1 ? &d->dirty : &d->rest;

	if (from == &d->rest && (d->state != VMIG_STATE_STOP_COPY || d->rest < 1))
		return false;
	m->bytes = *from < (double)max ? (uint64_t)*from : max;
	*from -= (double)m->bytes;
	return true;
}

static bool read_chunk(struct vmig_sim_device *d, struct vmig_sim_message *m)
{
	uint32_t k;

	if (!d->todo)
		return false;
	k = (uint32_t)__builtin_ctz(d->todo & d->first_pass ? d->todo & d->first_pass : d->todo);
	d->todo &= ~(1u << k);
	d->first_pass &= ~(1u << k);
	m->chunk = k;
	m->version = d->have[k];
	m->bytes = CHUNK_BYTES;
	return true;
}

static void note(struct vmig_sim_device *d, const struct vmig_sim_message *m)
{
	d->length += m->bytes;
	d->chain = vmig_digest_chain(d->chain, m->bytes, m->version * VMIG_SIM_CHUNKS + m->chunk);
}

bool vmig_sim_device_read(struct vmig_sim *sim, struct vmig_sim_device *d, uint64_t max,
			  struct vmig_sim_message *m)
{
	if (!(sim->config.fluid ? read_flow(d, max, m) : read_chunk(d, m)))
		return false;
	note(d, m);
	return true;
}

void vmig_sim_device_write(struct vmig_sim_device *d, const struct vmig_sim_message *m)
{
	d->have[m->chunk] = m->version;
	note(d, m);
}
