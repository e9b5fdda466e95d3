/* SPDX-License-Identifier: BSD-3-Clause */
/* What must hold, at every instant and at the end. */
#include <stdio.h>

#include "sim/parts.h"

static bool any_runs(struct vmig_sim *sim, uint32_t unit, uint32_t host)
{
	for (uint32_t i = 0; i < sim->config.devices; i++)
		if (vmig_sim_runs(&vmig_sim_place_of(sim, unit, host)->devices[i]))
			return true;
	return false;
}

/* Never two. */
static void check_one(struct vmig_sim *sim, uint32_t unit)
{
	uint32_t first = VMIG_SIM_NONE;

	for (uint32_t h = 0; h < sim->config.hosts; h++) {
		if (!any_runs(sim, unit, h))
			continue;
		if (first != VMIG_SIM_NONE)
			vmig_sim_wrong(sim, "unit %u runs at host %u and at host %u", unit, first, h);
		first = h;
	}
}

/* Whoever runs is the record's owner. */
static void check_owner(struct vmig_sim *sim, uint32_t unit)
{
	const struct vmig_ownership *r = vmig_sim_record(sim, unit);
	char me[16];

	for (uint32_t h = 0; h < sim->config.hosts; h++) {
		const struct vmig_sim_device *d = vmig_sim_place_of(sim, unit, h)->devices;

		snprintf(me, sizeof(me), "h%u", h);
		for (uint32_t i = 0; i < sim->config.devices; i++)
			if (vmig_sim_runs(&d[i]) && strcmp(r[i].owner, me) != 0)
				vmig_sim_wrong(sim,
					       "unit %u: device %u runs at host %u, and the record says %s",
					       unit, i, h, r[i].owner);
	}
}

/* May do DMA to another. */
static bool active(const struct vmig_sim_device *d)
{
	return vmig_sim_has_identity(d) &&
	       (d->state == VMIG_STATE_RUNNING || d->state == VMIG_STATE_PRE_COPY);
}

static bool stopped(const struct vmig_sim_device *d)
{
	return vmig_sim_has_identity(d) && (d->state == VMIG_STATE_STOP || d->state == VMIG_STATE_STOP_COPY);
}

/* No device is stopped while another may still write into it; those that cannot help it are not asked. */
static void check_barrier(struct vmig_sim *sim, uint32_t unit)
{
	for (uint32_t h = 0; h < sim->config.hosts; h++) {
		const struct vmig_sim_device *d = vmig_sim_place_of(sim, unit, h)->devices;
		uint32_t a = VMIG_SIM_NONE, s = VMIG_SIM_NONE;

		for (uint32_t i = 0; i < sim->config.devices; i++) {
			bool p2p = d[i].features & VMIG_MIGRATION_P2P;

			a = p2p && active(&d[i]) ? i : a;
			s = p2p && stopped(&d[i]) ? i : s;
		}
		if (a != VMIG_SIM_NONE && s != VMIG_SIM_NONE && !sim->units[unit].lost)
			vmig_sim_wrong(sim, "unit %u: at host %u device %u is in %s while device %u is in %s",
				       unit, h, a, vmig_state_name(d[a].state), s,
				       vmig_state_name(d[s].state));
	}
}

void vmig_sim_check(struct vmig_sim *sim, uint32_t unit)
{
	if (sim->config.fluid)
		return;
	check_one(sim, unit);
	if (!sim->config.unowned)
		check_owner(sim, unit);
	check_barrier(sim, unit);
}

/* --- the end --- */

static uint32_t count_running(struct vmig_sim *sim, uint32_t unit, uint32_t *ret_host)
{
	uint32_t n = 0;

	for (uint32_t h = 0; h < sim->config.hosts; h++) {
		if (!any_runs(sim, unit, h))
			continue;
		*ret_host = h;
		n++;
	}
	return n;
}

static void check_unit_end(struct vmig_sim *sim, uint32_t unit)
{
	uint32_t host = 0, n = count_running(sim, unit, &host);
	const struct vmig_sim_device *d = vmig_sim_place_of(sim, unit, host)->devices;

	if (sim->units[unit].lost || sim->config.unowned)
		return;
	/* It has never been moved: nobody has given it a name. */
	for (uint32_t i = 0; i < sim->config.devices; i++) {
		if (!vmig_sim_nameless(sim, unit, i))
			continue;
		n = 1;
		host = sim->units[unit].home;
		d = vmig_sim_place_of(sim, unit, host)->devices;
	}
	if (!n)
		vmig_sim_wrong(sim, "unit %u: all is over, and it runs nowhere", unit);
	for (uint32_t i = 0; n && i < sim->config.devices; i++)
		if (d[i].state != VMIG_STATE_RUNNING)
			vmig_sim_wrong(sim, "unit %u: all is over, and device %u of host %u is in %s", unit,
				       i, host, vmig_state_name(d[i].state));
}

void vmig_sim_check_end(struct vmig_sim *sim)
{
	for (uint32_t u = 0; u < sim->config.units; u++)
		check_unit_end(sim, u);
}
