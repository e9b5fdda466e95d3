/* SPDX-License-Identifier: BSD-3-Clause */
/* What a vfio-user server is asked when it is opened: the device, its features, its identity. A refusal is a "no". */
#include <stdio.h>
#include <string.h>

#include <vmig/region.h>
#include <vmig/uapi.h>

#include "user/vfio_user.h"

/* --- what the device is ------------------------------------------------------------------- */

static int ask_info(struct vmig_vuc *v, struct vmig_error *error)
{
	uint8_t out[VMIG_VU_HEADER_SIZE + VMIG_VU_DEVICE_INFO_SIZE], in[64];
	struct vmig_vu_device_info m = { .argsz = VMIG_VU_DEVICE_INFO_SIZE }, got;
	struct vmig_vuc_call call = { .command = VMIG_VU_DEVICE_GET_INFO,
				      .fixed = in,
				      .fixed_max = sizeof(in) };
	struct vmig_cursor c = vmig_vuc_request(out, sizeof(out));
	int r;

	vmig_vu_device_info_encode(&c, &m);
	vmig_vuc_request_end(&call, out, &c);
	r = vmig_vuc_call(v, &call, error);
	if (r < 0)
		return r;
	c = vmig_cursor_over(in, call.fixed_len);
	if (vmig_vu_device_info_decode(&c, &got) < 0)
		return vmig_vuc_broken(
			v, error, "DEVICE_GET_INFO",
			"the reply contradicts itself, or there are too many regions or interrupts");
	v->info.flags = got.flags;
	v->info.n_regions = got.num_regions;
	v->info.n_irqs = got.num_irqs;
	v->regions = calloc(MAX(got.num_regions, 1u), sizeof(v->regions[0]));
	return v->regions ? 0 : vmig_fault(error, -ENOMEM, "DEVICE_GET_INFO", "no memory");
}

/* A refusal is a "no". 1: yes, 0: no, or how the connection ended. */
static int ask_feature(struct vmig_vuc *v, uint32_t flags, void *ret, size_t ret_max, size_t *ret_len,
		       struct vmig_error *error)
{
	int r = vmig_vuc_feature(v, flags, NULL, 0, ret, ret_max, ret_len, error);

	if (v->dead)
		return r;
	return !r;
}

static int probe(struct vmig_vuc *v, uint32_t feature, uint32_t operation, struct vmig_error *error)
{
	return ask_feature(v, feature | operation | VMIG_VU_FEATURE_PROBE, NULL, 0, NULL, error);
}

static int ask_migration(struct vmig_vuc *v, struct vmig_error *error)
{
	uint8_t in[VMIG_VU_MIGRATION_SIZE];
	struct vmig_cursor c;
	size_t len;
	int r = ask_feature(v, VMIG_VU_FEATURE_MIGRATION | VMIG_VU_FEATURE_GET, in, sizeof(in), &len, error);

	if (r <= 0)
		return r;
	c = vmig_cursor_over(in, len);
	if (vmig_vu_migration_decode(&c, &v->info.migration_flags) < 0)
		return vmig_vuc_broken(v, error, "MIGRATION", "the reply holds no flags");
	return 0;
}

/* All three, or there is no log. */
static int ask_log(struct vmig_vuc *v, struct vmig_error *error)
{
	int r = probe(v, VMIG_VU_FEATURE_DMA_LOGGING_START, VMIG_VU_FEATURE_SET, error);

	if (r > 0)
		r = probe(v, VMIG_VU_FEATURE_DMA_LOGGING_STOP, VMIG_VU_FEATURE_SET, error);
	if (r > 0)
		r = probe(v, VMIG_VU_FEATURE_DMA_LOGGING_REPORT, VMIG_VU_FEATURE_GET, error);
	if (r > 0)
		v->info.has |= VMIG_HAS_DMA_LOG;
	return MIN(r, 0);
}

static bool has_migration_region(struct vmig_vuc *v, struct vmig_error *error)
{
	struct vmig_region region;

	for (uint32_t i = 0; i < v->info.n_regions && !v->dead; i++)
		if (!vmig_vuc_query_region(v, i, &region, error) &&
		    region.cap_type == VMIG_UAPI_REGION_TYPE_MIGRATION_DEPRECATED &&
		    region.cap_subtype == VMIG_UAPI_REGION_SUBTYPE_MIGRATION_DEPRECATED)
			return true;
	return false;
}

/* A server that is of v1 times, or shows its device so, has the log of then. It is the IOMMU's. */
static int ask_dirty_pages(struct vmig_vuc *v, struct vmig_error *error)
{
	int r = has_migration_region(v, error) ? vmig_vuc_dirty_probe(v, error) : 0;

	if (v->dead)
		return r < 0 ? r : error->code ? -error->code : -ECONNRESET;
	v->dirty_pages = r > 0;
	if (v->dirty_pages)
		v->info.has |= VMIG_HAS_IOMMU_LOG;
	return 0;
}

/* The size query; and, if the server has it, the opt-in to be told of new initial data. */
static int ask_precopy(struct vmig_vuc *v, struct vmig_error *error)
{
	const uint32_t v2 = VMIG_VU_FEATURE_MIG_PRECOPY_INFO_V2;
	int r;

	if (!v->caps.precopy_info || !(v->info.migration_flags & VMIG_MIGRATION_PRE_COPY))
		return 0;
	v->info.has |= VMIG_HAS_PRECOPY_INFO;
	r = probe(v, v2, VMIG_VU_FEATURE_SET, error);
	if (r > 0)
		r = ask_feature(v, v2 | VMIG_VU_FEATURE_SET, NULL, 0, NULL, error);
	if (r > 0)
		v->info.has |= VMIG_HAS_REINIT;
	return MIN(r, 0);
}

static int ask_sizes(struct vmig_vuc *v, struct vmig_error *error)
{
	int r = probe(v, VMIG_VU_FEATURE_MIG_DATA_SIZE, VMIG_VU_FEATURE_GET, error);

	if (r > 0)
		v->info.has |= VMIG_HAS_STOP_COPY_SIZE;
	return MIN(r, 0);
}

/* --- identity ----------------------------------------------------------------------------- */

/* Traits of the device itself; the others belong to the way to it. */
#define DEVICE_TRAITS                                                                                        \
	(VMIG_TRAIT_LATE_VALIDATION | VMIG_TRAIT_RESET_KEEPS_FSM | VMIG_TRAIT_INFO_STARTS_ROUND |            \
	 VMIG_TRAIT_TRANSACTION_SIZES)

static int ask_identity(struct vmig_vuc *v, struct vmig_error *error)
{
	uint8_t out[VMIG_VU_HEADER_SIZE + VMIG_VU_QUERY_SIZE], in[VMIG_VU_IDENTITY_SIZE + VMIG_IDENTITY_MAX];
	struct vmig_vu_query m = { .argsz = sizeof(in) };
	struct vmig_vuc_call call = { .command = VMIG_VU_DEVICE_IDENTITY,
				      .fixed = in,
				      .fixed_max = sizeof(in) };
	struct vmig_cursor c = vmig_vuc_request(out, sizeof(out));
	struct vmig_vu_identity got;
	int r;

	vmig_vu_query_encode(&c, &m);
	vmig_vuc_request_end(&call, out, &c);
	r = vmig_vuc_call(v, &call, error);
	if (r < 0)
		return r;
	c = vmig_cursor_over(in, call.fixed_len);
	if (vmig_vu_identity_decode(&c, &got) < 0)
		return vmig_vuc_broken(v, error, "DEVICE_IDENTITY", "the identity cannot be read");
	v->info.traits |= got.traits & DEVICE_TRAITS;
	/* What keeps the sizes of transactions has frames of its own around them. */
	if (got.traits & VMIG_TRAIT_TRANSACTION_SIZES)
		snprintf(v->info.format, sizeof(v->info.format), VMIG_FORMAT_V1);
	v->info.has &= (uint32_t)got.has | ~(VMIG_HAS_PRECOPY_INFO | VMIG_HAS_REINIT);
	memcpy(v->info.identity, got.identity, sizeof(v->info.identity));
	return 0;
}

#define PCI_VENDOR           0x00u
#define PCI_SUBSYSTEM_VENDOR 0x2cu
#define PCI_IDS_END          0x30u

/* A plain server says nothing of itself, but PCI config space does. */
static int identify_pci(struct vmig_vuc *v, struct vmig_error *error)
{
	uint8_t config[PCI_IDS_END];
	struct vmig_cursor ids = vmig_cursor_over(config + PCI_VENDOR, 4), sub;
	uint16_t vendor, device, sub_vendor, sub_device;
	int r;

	if (!(v->info.flags & VMIG_DEVICE_FLAG_PCI) || v->info.n_regions <= VMIG_REGION_PCI_CONFIG)
		return 0;
	r = vmig_vuc_region_read(v, VMIG_REGION_PCI_CONFIG, 0, config, sizeof(config), error);
	if (r < 0)
		return v->dead ? r : 0;
	sub = vmig_cursor_over(config + PCI_SUBSYSTEM_VENDOR, 4);
	vendor = vmig_cursor_u16(&ids);
	device = vmig_cursor_u16(&ids);
	sub_vendor = vmig_cursor_u16(&sub);
	sub_device = vmig_cursor_u16(&sub);
	snprintf(v->info.identity, sizeof(v->info.identity), "pci:%04x:%04x/%04x:%04x", vendor, device,
		 sub_vendor, sub_device);
	return 0;
}

int vmig_vuc_ask(struct vmig_vuc *v, struct vmig_error *error)
{
	int r;

	v->info.traits = VMIG_TRAIT_KEEPS_STATE | VMIG_TRAIT_NO_POLL;
	v->info.dma_kinds = VMIG_DMA_KIND_ADDRESS | VMIG_DMA_KIND_MESSAGE;
	if (v->caps.max_msg_fds)
		v->info.dma_kinds |= VMIG_DMA_KIND_FD;
	snprintf(v->info.format, sizeof(v->info.format), "v2");
	snprintf(v->info.identity, sizeof(v->info.identity), "vfio-user:unknown");
	r = ask_info(v, error);
	if (!r)
		r = ask_migration(v, error);
	if (!r && v->info.migration_flags)
		r = ask_sizes(v, error);
	if (!r && v->info.migration_flags)
		r = ask_log(v, error);
	if (!r && !v->info.migration_flags)
		r = ask_dirty_pages(v, error);
	if (!r)
		r = ask_precopy(v, error);
	if (r < 0)
		return r;
	if (v->caps.tag)
		v->info.has |= VMIG_HAS_TAG;
	if (v->caps.device_info)
		return ask_identity(v, error);
	v->info.traits |= VMIG_TRAIT_SHORT_READ_ENDS;
	return identify_pci(v, error);
}
