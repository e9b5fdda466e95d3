/* SPDX-License-Identifier: BSD-3-Clause */
/* Regions: their description, their bytes, and what of them can be mapped. */
#include <string.h>
#include <sys/mman.h>

#include "server/kernel_abi.h"

static uint64_t offset_of(uint32_t index)
{
	return (uint64_t)index << VMIG_KABI_SHIFT;
}

/* --- what can be mapped ------------------------------------------------------------------- */

/** Of regions that lie in a file where the device's fd has them, that file. */
int vmig_kabi_region_backing(struct vmig_kabi_slot *slot)
{
	if (!slot->kabi->config.own_mmap || slot->config.no_mmap)
		return -1;
	for (uint32_t i = 0; i < slot->info.n_regions; i++) {
		struct vmig_region region;

		if (!vmig_device_query_region(slot->dev, i, &region) && (region.flags & VMIG_REGION_MMAP) &&
		    region.fd >= 0 && region.fd_offset == offset_of(i))
			return region.fd;
	}
	return -1;
}

static bool can_map(struct vmig_kabi_slot *slot, const struct vmig_region *region)
{
	if (slot->config.no_mmap || !(region->flags & VMIG_REGION_MMAP) || region->fd < 0)
		return false;
	if (!slot->kabi->config.own_mmap)
		return true;
	return region->fd_offset == offset_of(region->index) && region->fd == vmig_kabi_region_backing(slot);
}

/** Does [@pos, @pos + @len) lie in one area that may be mapped? Ends of areas count up to their page. */
static bool in_area(const struct vmig_region *region, uint64_t pos, uint64_t len)
{
	const struct vmig_area whole = { 0, region->size };

	for (uint32_t i = 0; i < MAX(region->n_areas, 1); i++) {
		const struct vmig_area *area = region->n_areas ? &region->areas[i] : &whole;
		uint64_t end = (area->offset + area->size + (VMIG_KABI_PAGE - 1)) & ~(VMIG_KABI_PAGE - 1);

		if (area->size && pos >= area->offset && pos < end && len <= end - pos)
			return true;
	}
	return false;
}

int vmig_kabi_region_mmap(struct vmig_kabi_ctx *ctx, uint64_t offset, uint64_t len, int prot, int *ret_fd,
			  uint64_t *ret_offset)
{
	struct vmig_kabi_slot *slot = ctx->file->slot;
	uint64_t index = offset >> VMIG_KABI_SHIFT, pos = offset - (index << VMIG_KABI_SHIFT);
	struct vmig_region region;

	if (index >= slot->info.n_regions ||
	    vmig_device_query_region(slot->dev, (uint32_t)index, &region) < 0)
		return -EINVAL;
	if (!can_map(slot, &region) || !len || offset % VMIG_KABI_PAGE || !in_area(&region, pos, len))
		return -EINVAL;
	if (((prot & PROT_WRITE) && !(region.flags & VMIG_REGION_WRITE)) ||
	    ((prot & PROT_READ) && !(region.flags & VMIG_REGION_READ)) || (prot & PROT_EXEC))
		return -EINVAL;
	*ret_fd = region.fd;
	*ret_offset = region.fd_offset + pos;
	return 0;
}

/* --- description -------------------------------------------------------------------------- */

struct chain {
	uint8_t bytes[VMIG_REGION_AREAS_MAX * 16 + 64];
	uint32_t len;
	uint32_t *last_next; /* of the last header */
};

#define CHAIN_AT sizeof(struct vmig_uapi_region_info)

/** Room for a capability; the header is linked. */
static void *add_cap(struct chain *chain, uint16_t id, size_t size)
{
	uint8_t *at = chain->bytes + chain->len;
	struct vmig_uapi_info_cap_header header = { .id = id, .version = 1 };
	uint32_t where = (uint32_t)(CHAIN_AT + chain->len);

	if (chain->last_next)
		memcpy(chain->last_next, &where, sizeof(where));
	memset(at, 0, size);
	memcpy(at, &header, sizeof(header));
	chain->last_next = (uint32_t *)(void *)(at + offsetof(struct vmig_uapi_info_cap_header, next));
	chain->len += (uint32_t)((size + 7) & ~7ul);
	return at;
}

static void fill_chain(struct chain *chain, const struct vmig_region *region, bool maps)
{
	struct vmig_uapi_region_info_cap_sparse_mmap *sparse;
	struct vmig_uapi_region_info_cap_type *type;

	if (maps && region->n_areas) {
		struct vmig_uapi_region_sparse_mmap_area *areas;

		sparse = add_cap(chain, VMIG_UAPI_REGION_INFO_CAP_SPARSE_MMAP,
				 sizeof(*sparse) + region->n_areas * sizeof(*areas));
		sparse->nr_areas = region->n_areas;
		areas = (void *)(sparse + 1);
		for (uint32_t i = 0; i < region->n_areas; i++) {
			areas[i].offset = region->areas[i].offset;
			areas[i].size = region->areas[i].size;
		}
	}
	if (region->cap_type) {
		type = add_cap(chain, VMIG_UAPI_REGION_INFO_CAP_TYPE, sizeof(*type));
		type->type = region->cap_type;
		type->subtype = region->cap_subtype;
	}
}

int64_t vmig_kabi_region_info(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	struct vmig_kabi_slot *slot = ctx->file->slot;
	struct chain chain = { .len = 0 };
	struct vmig_uapi_region_info info;
	struct vmig_region region;
	bool maps;
	int r = vmig_kabi_get_args(ctx, arg, &info, sizeof(info));

	if (r < 0)
		return r;
	ctx->call.v[0] = info.index;
	if (info.index >= slot->info.n_regions)
		return -EINVAL;
	r = vmig_device_query_region(slot->dev, info.index, &region);
	if (r < 0)
		return r;
	maps = can_map(slot, &region);
	info.flags = (region.flags & (VMIG_REGION_READ | VMIG_REGION_WRITE)) |
		     (maps ? VMIG_UAPI_REGION_INFO_FLAG_MMAP : 0);
	info.size = region.size;
	info.offset = offset_of(info.index);
	info.cap_offset = 0;
	fill_chain(&chain, &region, maps);
	if (chain.len)
		info.flags |= VMIG_UAPI_REGION_INFO_FLAG_CAPS;
	if (chain.len && info.argsz < CHAIN_AT + chain.len) {
		info.argsz = (uint32_t)(CHAIN_AT + chain.len);
	} else if (chain.len) {
		info.cap_offset = CHAIN_AT;
		r = vmig_kabi_put(ctx, arg + CHAIN_AT, chain.bytes, chain.len);
	}
	ctx->call.v[1] = info.size;
	ctx->call.v[2] = info.flags;
	ctx->call.v[3] = info.index == slot->v1_region;
	return r < 0 ? r : vmig_kabi_put(ctx, arg, &info, sizeof(info));
}

/* --- bytes -------------------------------------------------------------------------------- */

/* What goes through a buffer at a time, if it may be split. */
#define BOUNCE (64u << 10)

static bool natural(uint64_t pos, uint64_t len)
{
	return (len == 1 || len == 2 || len == 4 || len == 8) && !(pos & (len - 1));
}

/** How much of the access is one access of the device's. */
static uint64_t next_width(const struct vmig_kabi_slot *slot, uint32_t index, uint64_t pos, uint64_t left)
{
	/* Config space and bulk data are bytes; a migration region judges the access as it was made. */
	if (natural(pos, left) || index == VMIG_REGION_PCI_CONFIG || index == slot->v1_region)
		return MIN(left, BOUNCE);
	/* Registers: as the kernel's drivers split an access. */
	for (uint64_t width = 8; width > 1; width /= 2)
		if (left >= width && !(pos % width))
			return width;
	return 1;
}

#define V1_REGISTERS sizeof(struct vmig_uapi_device_migration_info)

bool vmig_kabi_in_v1_section(const struct vmig_kabi_slot *slot, uint64_t offset)
{
	return offset >> VMIG_KABI_SHIFT == slot->v1_region &&
	       offset - offset_of(slot->v1_region) >= V1_REGISTERS;
}

/** A write of the device_state of a device of v1 is a transition. */
static int write_v1_state(struct vmig_kabi_slot *slot, const void *buf)
{
	uint32_t state;
	int r;

	memcpy(&state, buf, sizeof(state));
	r = vmig_kabi_fault(slot, VMIG_KABI_FAULT_ARC, state | 1u << 31, 0);
	if (!r)
		r = vmig_device_region_write(slot->dev, slot->v1_region, 0, buf, sizeof(state));
	vmig_kabi_note_state(slot, state | 1u << 31, r);
	return r;
}

static int write_one(struct vmig_kabi_slot *slot, uint32_t index, uint64_t pos, const void *buf, size_t len)
{
	if (index == slot->v1_region && !pos && len == sizeof(uint32_t))
		return write_v1_state(slot, buf);
	return vmig_device_region_write(slot->dev, index, pos, buf, len);
}

/** What is in the data section now, @len bytes of it: for whoever looks on. */
static void tell_v1_data(struct vmig_kabi_ctx *ctx, uint64_t len)
{
	struct vmig_kabi_slot *slot = ctx->file->slot;
	_autofree_ uint8_t *buf = malloc(MIN(len, BOUNCE));
	struct vmig_digest digest;
	uint64_t from;

	pthread_mutex_lock(&slot->lock);
	from = slot->v1_data_offset;
	pthread_mutex_unlock(&slot->lock);
	if (!from)
		return;
	vmig_digest_start(&digest);
	for (uint64_t at = 0, n; at < len; at += n) {
		n = MIN(len - at, BOUNCE);
		if (!buf || !add_fits(from, at) ||
		    vmig_device_region_read(slot->dev, slot->v1_region, from + at, buf, n))
			return;
		vmig_digest_add(&digest, buf, n);
	}
	ctx->call.v[1] = vmig_digest_value(&digest);
}

/** data_size tells of data: of those that can be read, or of those that were written, before they are consumed. */
static void look_at_v1(struct vmig_kabi_ctx *ctx, uint64_t pos, bool is_write)
{
	struct vmig_kabi_slot *slot = ctx->file->slot;
	uint64_t value = ctx->call.v[0];

	if (pos == offsetof(struct vmig_uapi_device_migration_info, data_offset) && !is_write) {
		pthread_mutex_lock(&slot->lock);
		slot->v1_data_offset = value;
		pthread_mutex_unlock(&slot->lock);
	} else if (pos == offsetof(struct vmig_uapi_device_migration_info, pending_bytes)) {
		pthread_mutex_lock(&slot->lock);
		slot->v1_data_offset = 0; /* a new iteration: not read yet */
		pthread_mutex_unlock(&slot->lock);
	} else if (pos == offsetof(struct vmig_uapi_device_migration_info, data_size) && value &&
		   value <= slot->regions[slot->v1_region].size) {
		tell_v1_data(ctx, value);
	}
}

static int one_access(struct vmig_kabi_ctx *ctx, uint32_t index, uint64_t addr, uint64_t pos, uint64_t len,
		      bool is_write, void *buf)
{
	struct vmig_kabi_slot *slot = ctx->file->slot;
	int r = is_write ? vmig_kabi_get(ctx, addr, buf, len)
			 : vmig_device_region_read(slot->dev, index, pos, buf, len);

	if (r < 0)
		return r;
	if (len <= 8)
		memcpy(&ctx->call.v[0], buf, len);
	if (index == slot->v1_region && len == sizeof(uint64_t) && slot->kabi->config.digest)
		look_at_v1(ctx, pos, is_write);
	r = is_write ? write_one(slot, index, pos, buf, len) : vmig_kabi_put(ctx, addr, buf, len);
	if (!r && index == slot->v1_region && pos < V1_REGISTERS && len == sizeof(uint64_t))
		vmig_kabi_note_v1(slot, pos, is_write, ctx->call.v[0]);
	return r;
}

int64_t vmig_kabi_region_rw(struct vmig_kabi_ctx *ctx, uint64_t addr, uint64_t len, uint64_t offset,
			    bool is_write)
{
	struct vmig_kabi_slot *slot = ctx->file->slot;
	uint64_t index = offset >> VMIG_KABI_SHIFT, pos = offset - (index << VMIG_KABI_SHIFT), done = 0;
	uint8_t small[256];
	_autofree_ uint8_t *large = NULL;

	if (index >= MIN(slot->info.n_regions, VMIG_LIMIT_REGIONS) ||
	    !(slot->regions[index].flags & (is_write ? VMIG_REGION_WRITE : VMIG_REGION_READ)))
		return -EINVAL;
	if (!len)
		return 0;
	if (pos >= slot->regions[index].size)
		return -EINVAL;
	len = MIN(len, slot->regions[index].size - pos);
	if (len > sizeof(small)) {
		large = malloc(MIN(len, BOUNCE));
		if (!large)
			return -ENOMEM;
	}
	while (done < len) {
		uint64_t n = next_width(slot, (uint32_t)index, pos + done, len - done);
		int r = one_access(ctx, (uint32_t)index, addr + done, pos + done, n, is_write,
				   large ? large : small);

		if (r < 0)
			return done ? (int64_t)done : r;
		done += n;
	}
	return (int64_t)done;
}
