/* SPDX-License-Identifier: BSD-3-Clause */
/* The offer: may these devices go into those? Judged at the destination, before any device moves. */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "engine/stages.h"

void vmig_offer_of(const struct vmig_core *core, const struct vmig_core_device *dev, struct vmig_offer *ret)
{
	const struct vmig_device_info *info = &dev->info;

	*ret = (struct vmig_offer){
		.migration_flags = info->migration_flags,
		.traits = info->traits,
		.has = info->has,
		.flags = (info->flags & VMIG_DEVICE_FLAG_RESET ? VMIG_OFFER_RESET : 0) |
			 (core->config.paper ? VMIG_OFFER_PAPER : 0),
		.stop_copy_size = dev->stop_copy_size,
		.opaque = dev->opaque,
		.opaque_len = dev->opaque_len,
		.descriptor = dev->descriptor,
		.descriptor_len = dev->descriptor_len,
	};
	snprintf(ret->identity, sizeof(ret->identity), "%s", info->identity);
	snprintf(ret->format, sizeof(ret->format), "%s", info->format);
	snprintf(ret->name, sizeof(ret->name), "%s", info->name);
}

/* The plan and its rollback, as a walk; states that a device does not have are left out. */
static const uint32_t source_walk[] = { VMIG_STATE_RUNNING,   VMIG_STATE_PRE_COPY, VMIG_STATE_PRE_COPY_P2P,
					VMIG_STATE_STOP_COPY, VMIG_STATE_STOP,     VMIG_STATE_RUNNING_P2P,
					VMIG_STATE_RUNNING };
static const uint32_t destination_walk[] = { VMIG_STATE_RUNNING, VMIG_STATE_STOP,        VMIG_STATE_RESUMING,
					     VMIG_STATE_STOP,    VMIG_STATE_RUNNING_P2P, VMIG_STATE_RUNNING };

static bool walk_is_possible(uint64_t features, const uint32_t *states, size_t n)
{
	uint32_t at = states[0], next;

	for (size_t i = 1; i < n; i++) {
		if (!vmig_state_supported(features, states[i]))
			continue;
		while (at != states[i]) {
			if (vmig_state_next(features, at, states[i], &next))
				return false;
			at = next;
		}
	}
	return true;
}

static void check_pair(struct vmig_core *core, uint32_t i)
{
	const struct vmig_core_device *dev = &core->devices[i];
	const struct vmig_offer *offer = &dev->offer;
	const struct vmig_device_info *info = &dev->info;

	if (offer->flags & VMIG_OFFER_PAPER) {
		if (!(core->peer.flags & VMIG_HELLO_PROBE))
			vmig_core_reason(core, -EPROTO,
					 "device %u: the source offers a descriptor without a device, and "
					 "means to move it",
					 i);
		else if (!dev->judged)
			vmig_core_reason(core, -EOPNOTSUPP,
					 "device %u: %s here publishes no descriptor, so it cannot be told",
					 i, info->name);
		return;
	}
	/* Who publishes descriptors has said more than an identity can. */
	if (!dev->judged && strcmp(offer->identity, info->identity))
		vmig_core_reason(core, -EXDEV, "device %u: the source's %s is a %s, but %s here is a %s", i,
				 offer->name, offer->identity, info->name, info->identity);
	else if (strcmp(offer->format, info->format))
		vmig_core_reason(core, -EXDEV, "device %u: its data come in format %s, but %s here takes %s",
				 i, offer->format, info->name, info->format);
	if (!(offer->migration_flags & VMIG_MIGRATION_STOP_COPY) ||
	    !walk_is_possible(offer->migration_flags, source_walk, ARRAY_SIZE(source_walk)))
		vmig_core_reason(core, -EOPNOTSUPP, "device %u: the source's %s cannot be migrated", i,
				 offer->name);
}

static void check_here(struct vmig_core *core, uint32_t i)
{
	const struct vmig_device_info *info = &core->devices[i].info;

	if (!(info->migration_flags & VMIG_MIGRATION_STOP_COPY) ||
	    !walk_is_possible(info->migration_flags, destination_walk, ARRAY_SIZE(destination_walk)))
		vmig_core_reason(core, -EOPNOTSUPP, "device %u: %s here cannot be migrated", i, info->name);
	if (!(info->flags & VMIG_DEVICE_FLAG_RESET))
		vmig_core_reason(core, -EOPNOTSUPP,
				 "device %u: %s here has no reset, so that a failure could not be undone", i,
				 info->name);
	else if (info->traits & VMIG_TRAIT_RESET_KEEPS_FSM)
		vmig_core_reason(core, -EOPNOTSUPP,
				 "device %u: a reset of %s here does not lead back to RUNNING, so that a "
				 "failure could not be undone",
				 i, info->name);
}

/* Memory for which none comes stays as it is: nobody drove the source's devices, or it was only asked about them. */
static uint32_t asked_about(const struct vmig_core *core)
{
	uint32_t n = core->n;

	while (n > core->peer.n_devices && vmig_is_memory(&core->devices[n - 1]))
		n--;
	return n;
}

static void check_numbers(struct vmig_core *core, uint32_t n)
{
	if (core->peer.n_devices == n)
		return;
	vmig_core_reason(core, -EXDEV, "the source offers %u device(s), and %u are here%s",
			 core->peer.n_devices, n,
			 core->memory_too ? ": it moves their memory too, for which there is none here (vmig "
					    "makes it with --workload)"
					  : "");
}

bool vmig_offer_check(struct vmig_core *core)
{
	uint32_t n = asked_about(core);

	core->n = n;
	check_numbers(core, n);
	for (uint32_t i = 0; i < n; i++) {
		check_here(core, i);
		if (i < core->peer.n_devices)
			check_pair(core, i);
		if (core->devices[i].info.traits & VMIG_TRAIT_LATE_VALIDATION)
			vmig_core_warn(core, "a device judges its data only when it runs: after the commit, "
					     "when nothing can be undone");
	}
	return !core->result.code;
}
