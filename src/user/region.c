/* SPDX-License-Identifier: BSD-3-Clause */
/* A device with a migration region of v1, opened as one with the semantics of v2. */
#include <stdio.h>
#include <string.h>

#include "user/region.h"

static void v1u_set_timeout(void *p, uint32_t ms)
{
	struct vmig_v1u *v = p;

	vmig_device_set_timeout(v->dev, ms);
}

/* All but the device below. */
static void discard(struct vmig_v1u *v)
{
	vmig_v1u_section_close(v);
	pthread_mutex_destroy(&v->lock);
	free(v);
}

static void v1u_close(void *p)
{
	struct vmig_v1u *v = p;
	struct vmig_device *dev = v->dev;

	discard(v);
	vmig_device_close(dev);
}

static const struct vmig_provider_ops v1u_ops = {
	.close = v1u_close,
	.set_timeout = v1u_set_timeout,
	.query_state = vmig_v1u_query_state,
	.set_state = vmig_v1u_set_state,
	.probe_arc = vmig_v1u_probe_arc,
	.reset = vmig_v1u_reset,
	.query_descriptor = vmig_v1u_query_descriptor,
	.query_opaque = vmig_v1u_query_opaque,
	.check_opaque = vmig_v1u_check_opaque,
	.query_tag = vmig_v1u_query_tag,
	.set_tag = vmig_v1u_set_tag,
	.query_region = vmig_v1u_query_region,
	.region_read = vmig_v1u_region_read,
	.region_write = vmig_v1u_region_write,
	.query_ioeventfds = vmig_v1u_query_ioeventfds,
	.query_irq = vmig_v1u_query_irq,
	.set_irqs = vmig_v1u_set_irqs,
	.map_dma = vmig_v1u_map_dma,
	.unmap_dma = vmig_v1u_unmap_dma,
	.dma_log_start = vmig_v1u_dma_log_start,
	.dma_log_stop = vmig_v1u_dma_log_stop,
	.dma_log_report = vmig_v1u_dma_log_report,
};

/* --- open --------------------------------------------------------------------------------- */

static bool is_migration(const struct vmig_region *region)
{
	return region->size && region->cap_type == VMIG_UAPI_REGION_TYPE_MIGRATION_DEPRECATED &&
	       region->cap_subtype == VMIG_UAPI_REGION_SUBTYPE_MIGRATION_DEPRECATED;
}

/* By its capability: an index means nothing, and another subtype is another interface. */
static int find_region(struct vmig_v1u *v, struct vmig_error *error)
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < v->info.n_regions; i++) {
		struct vmig_region region;
		int r = vmig_device_query_region(v->dev, i, &region);

		if (r < 0)
			return vmig_v1u_keep(v, r, error);
		if (!is_migration(&region))
			continue;
		region.index = i;
		v->region = region;
		found++;
	}
	if (!found)
		return vmig_fault(error, -EOPNOTSUPP, "v1", "the device has no migration region of v1");
	if (found > 1)
		return vmig_fault(error, -EPROTO, "v1", "the device has %u migration regions", found);
	return 0;
}

static int check_region(const struct vmig_region *region, struct vmig_error *error)
{
	const uint32_t both = VMIG_REGION_READ | VMIG_REGION_WRITE;

	if ((region->flags & both) != both)
		return vmig_fault(error, -EPROTO, "v1", "its migration region cannot be read and written");
	if (region->size <= VMIG_V1U_REGISTERS)
		return vmig_fault(error, -EPROTO, "v1",
				  "its migration region of %llu bytes has no room for registers and data",
				  (unsigned long long)region->size);
	return 0;
}

/* What another user has loaded before is not known: good, bad, or half of it. */
static int look_at_state(struct vmig_v1u *v, struct vmig_error *error)
{
	uint32_t state;
	int r = vmig_v1u_query_state(v, &state, error);

	if (!r && state == VMIG_STATE_RESUMING)
		atomic_store(&v->load, VMIG_V1U_BROKEN);
	return r;
}

static void describe(struct vmig_v1u *v)
{
	char name[VMIG_IDENTITY_MAX];
	struct vmig_device_info *info = &v->info;

	info->migration_flags = VMIG_MIGRATION_STOP_COPY | VMIG_MIGRATION_PRE_COPY;
	info->traits &= VMIG_TRAIT_KEEPS_STATE | VMIG_TRAIT_RESET_KEEPS_FSM;
	info->traits |= VMIG_TRAIT_LATE_VALIDATION | VMIG_TRAIT_TRANSACTION_SIZES | VMIG_TRAIT_NO_POLL;
	info->has &= VMIG_HAS_DMA_LOG | VMIG_HAS_IOMMU_LOG | VMIG_HAS_TAG;
	info->has |= VMIG_HAS_PRECOPY_INFO;
	if (v->region.index + 1 == info->n_regions)
		info->n_regions--;
	/* Shown on a device that was itself driven, its data have frames of their own. */
	if (strncmp(info->format, VMIG_FORMAT_V1, strlen(VMIG_FORMAT_V1)) != 0)
		snprintf(info->format, sizeof(info->format), VMIG_FORMAT_V1);
	memcpy(name, info->name, sizeof(name));
	snprintf(info->name, sizeof(info->name), "v1+%.*s", VMIG_IDENTITY_MAX - 4, name);
}

static int open_region(struct vmig_v1u *v, struct vmig_error *error)
{
	int r = find_region(v, error);

	if (!r)
		r = check_region(&v->region, error);
	return r ? r : look_at_state(v, error);
}

int vmig_drive_v1(struct vmig_device *dev, const struct vmig_v1_drive_config *config,
		  struct vmig_device **ret, struct vmig_error *ret_error)
{
	struct vmig_v1u *v = calloc(1, sizeof(*v));
	int r;

	if (!v)
		return vmig_fault(ret_error, -ENOMEM, "v1", "no memory");
	v->dev = dev;
	v->state = VMIG_STATE_NONE;
	pthread_mutex_init(&v->lock, NULL);
	vmig_device_query_info(dev, &v->info);
	r = open_region(v, ret_error);
	if (!r) {
		if (!config || !config->no_mmap)
			vmig_v1u_section_open(v);
		describe(v);
		r = vmig_device_new(&v1u_ops, v, &v->info, &v->self);
		if (r < 0)
			vmig_fault(ret_error, r, "v1", "no memory");
	}
	if (r < 0) {
		discard(v);
		return r;
	}
	*ret = v->self;
	return 0;
}
