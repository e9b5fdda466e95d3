/* SPDX-License-Identifier: BSD-3-Clause */
/* A container of type1v2: what it says of itself, its mappings, its dirty pages. */
#include <string.h>

#include "server/kernel_abi.h"

/* --- container ---------------------------------------------------------------------------- */

void vmig_kabi_container_close(struct vmig_kabi_container *container)
{
	/* The groups in it have references: there is none. */
	vmig_kabi_as_unref(container->as);
	free(container);
}

static int64_t get_api_version(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	return VMIG_UAPI_API_VERSION;
}

static int64_t check_extension(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	ctx->call.v[0] = arg;
	return arg == VMIG_UAPI_TYPE1v2_IOMMU || arg == VMIG_UAPI_UNMAP_ALL;
}

/** The groups that are in the container already. With kabi->lock. */
static int join_groups(struct vmig_kabi_container *container, struct vmig_kabi_as *as)
{
	struct vmig_kabi *kabi = container->file.kabi;
	int r = 0;

	for (uint32_t i = 0; i < kabi->config.n_devices && !r; i++) {
		struct vmig_kabi_slot *slot = &kabi->slots[i];

		if (slot->group && slot->group->container == container)
			r = vmig_kabi_as_join(as, slot);
	}
	return r;
}

static int set_iommu_locked(struct vmig_kabi_container *container)
{
	struct vmig_kabi_as *as;
	int r;

	if (!container->n_groups || container->as)
		return -EINVAL;
	r = vmig_kabi_as_new(container->file.kabi, &as);
	if (r < 0)
		return r;
	r = join_groups(container, as);
	if (r < 0) {
		vmig_kabi_as_unref(as);
		return r;
	}
	container->as = as;
	return 0;
}

static int64_t set_iommu(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	int r;

	ctx->call.v[0] = arg;
	if (arg != VMIG_UAPI_TYPE1v2_IOMMU)
		return -ENODEV;
	pthread_mutex_lock(&ctx->kabi->lock);
	r = set_iommu_locked((struct vmig_kabi_container *)ctx->file);
	pthread_mutex_unlock(&ctx->kabi->lock);
	return r;
}

/** The container's mappings, with a reference; NULL: no IOMMU is set. */
static struct vmig_kabi_as *take_as(struct vmig_kabi_ctx *ctx)
{
	struct vmig_kabi_container *container = (struct vmig_kabi_container *)ctx->file;
	struct vmig_kabi_as *as;

	pthread_mutex_lock(&ctx->kabi->lock);
	as = container->as;
	if (as)
		vmig_kabi_as_ref(as);
	pthread_mutex_unlock(&ctx->kabi->lock);
	return as;
}

struct iommu_caps {
	struct vmig_uapi_iommu_type1_info_cap_iova_range ranges;
	struct vmig_uapi_iova_range range;
	struct vmig_uapi_iommu_type1_info_cap_migration migration;
	struct vmig_uapi_iommu_type1_info_dma_avail avail;
};
/* How the info and its capabilities lie in the program's memory. */
#define CAPS_AT 24u

static void fill_caps(struct iommu_caps *caps, uint32_t n_maps)
{
	*caps = (struct iommu_caps){
		.ranges = { .header = { VMIG_UAPI_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 1,
					CAPS_AT + offsetof(struct iommu_caps, migration) },
			    .nr_iovas = 1 },
		.range = { 0, UINT64_MAX },
		.migration = { .header = { VMIG_UAPI_IOMMU_TYPE1_INFO_CAP_MIGRATION, 1,
					   CAPS_AT + offsetof(struct iommu_caps, avail) },
			       .pgsize_bitmap = VMIG_KABI_PAGE,
			       .max_dirty_bitmap_size = VMIG_LIMIT_LOG_BITMAP },
		.avail = { .header = { VMIG_UAPI_IOMMU_TYPE1_INFO_DMA_AVAIL, 1, 0 },
			   .avail = VMIG_LIMIT_DMA_MAPS - n_maps },
	};
}
_Static_assert(offsetof(struct iommu_caps, migration) % 8 == 0 && offsetof(struct iommu_caps, avail) % 8 == 0,
	       "capabilities are aligned");

static uint32_t count_maps(struct vmig_kabi_as *as)
{
	uint32_t n;

	pthread_mutex_lock(&as->lock);
	n = as->n_maps;
	pthread_mutex_unlock(&as->lock);
	return n;
}

static int64_t get_iommu_info(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	const size_t min = offsetof(struct vmig_uapi_iommu_type1_info, iova_pgsizes) + 8;
	struct vmig_uapi_iommu_type1_info info = { 0 };
	struct vmig_kabi_as *as = take_as(ctx);
	struct iommu_caps caps;
	uint32_t n_maps, size;
	int r;

	if (!as)
		return -EINVAL;
	n_maps = count_maps(as);
	vmig_kabi_as_unref(as);
	r = vmig_kabi_get_args(ctx, arg, &info, min);
	if (r < 0)
		return r;
	size = info.argsz;
	info.flags = VMIG_UAPI_IOMMU_INFO_PGSIZES | VMIG_UAPI_IOMMU_INFO_CAPS;
	info.iova_pgsizes = ~(VMIG_KABI_PAGE - 1);
	fill_caps(&caps, n_maps);
	if (size < CAPS_AT + sizeof(caps)) {
		info.argsz = CAPS_AT + sizeof(caps);
	} else {
		info.cap_offset = CAPS_AT;
		r = vmig_kabi_put(ctx, arg + CAPS_AT, &caps, sizeof(caps));
		if (r < 0)
			return r;
	}
	return vmig_kabi_put(ctx, arg, &info, MIN(size, sizeof(info)));
}

/* --- mappings ----------------------------------------------------------------------------- */

static bool bad_range(uint64_t start, uint64_t size)
{
	return !size || (start | size) % VMIG_KABI_PAGE || !add_fits(start, size - 1);
}

static int64_t map_dma(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	const uint32_t rw = VMIG_UAPI_DMA_MAP_FLAG_READ | VMIG_UAPI_DMA_MAP_FLAG_WRITE;
	struct vmig_kabi_as *as = take_as(ctx);
	struct vmig_uapi_iommu_type1_dma_map args;
	struct vmig_kabi_map want;
	int r;

	if (!as)
		return -EINVAL;
	r = vmig_kabi_get_args(ctx, arg, &args, sizeof(args));
	if (!r) {
		ctx->call.v[0] = args.iova;
		ctx->call.v[1] = args.size;
		ctx->call.v[2] = args.vaddr;
		ctx->call.v[3] = args.flags;
		if ((args.flags & ~rw) || !args.flags || bad_range(args.iova, args.size) ||
		    bad_range(args.vaddr, args.size))
			r = -EINVAL;
	}
	if (!r) {
		want = (struct vmig_kabi_map){
			.iova = args.iova,
			.size = args.size,
			.prot = (args.flags & VMIG_UAPI_DMA_MAP_FLAG_READ ? VMIG_DMA_READ : 0) |
				(args.flags & VMIG_UAPI_DMA_MAP_FLAG_WRITE ? VMIG_DMA_WRITE : 0),
			.vaddr = args.vaddr,
			.fd = -1,
		};
		r = vmig_kabi_as_map(as, ctx->task, &want);
	}
	vmig_kabi_as_unref(as);
	return r;
}

/* What GET_DIRTY_BITMAP is to fill. */
static int check_bitmap(const struct vmig_uapi_bitmap *bitmap, uint64_t size)
{
	uint64_t pages = size / VMIG_KABI_PAGE, need = (pages + 63) / 64 * 8;

	if (bitmap->pgsize != VMIG_KABI_PAGE || need > VMIG_LIMIT_LOG_BITMAP || bitmap->size < need)
		return -EINVAL;
	return 0;
}

/** Zeros where the bits will be: what cannot be written is found out while nothing has happened yet. */
static int probe_bitmap(struct vmig_kabi_ctx *ctx, const struct vmig_uapi_bitmap *bitmap, uint64_t size)
{
	static const uint8_t zeros[4096];
	uint64_t addr = (uintptr_t)bitmap->data, left = (size / VMIG_KABI_PAGE + 63) / 64 * 8;

	while (left) {
		size_t n = MIN(left, sizeof(zeros));
		int r = vmig_kabi_put(ctx, addr, zeros, n);

		if (r < 0)
			return r;
		addr += n;
		left -= n;
	}
	return 0;
}

static int unmap_with_bitmap(struct vmig_kabi_as *as, struct vmig_kabi_ctx *ctx, uint64_t arg,
			     struct vmig_uapi_iommu_type1_dma_unmap *args)
{
	struct vmig_uapi_bitmap bitmap;
	uint64_t last = args->iova + (args->size - 1), dirty;
	int r;

	if (args->argsz < sizeof(*args) + sizeof(bitmap))
		return -EINVAL;
	r = vmig_kabi_get(ctx, arg + sizeof(*args), &bitmap, sizeof(bitmap));
	if (!r)
		r = check_bitmap(&bitmap, args->size);
	if (!r)
		r = probe_bitmap(ctx, &bitmap, args->size);
	if (r < 0)
		return r;
	pthread_mutex_lock(&as->lock);
	if (!as->tracks || !vmig_kabi_as_bounded(as, args->iova, last)) {
		r = -EINVAL;
	} else {
		/* First no device writes any more, then what was written is known. */
		vmig_kabi_as_withdraw(as, args->iova, last);
		r = vmig_kabi_track_report(as, ctx, args->iova, last, VMIG_KABI_PAGE, (uintptr_t)bitmap.data,
					   0, &dirty);
		args->size = vmig_kabi_as_drop(as, args->iova, last);
	}
	pthread_mutex_unlock(&as->lock);
	return r;
}

static int unmap_locked(struct vmig_kabi_as *as, struct vmig_kabi_ctx *ctx, uint64_t arg,
			struct vmig_uapi_iommu_type1_dma_unmap *args)
{
	bool all = args->flags & VMIG_UAPI_DMA_UNMAP_FLAG_ALL;
	bool bitmap = args->flags & VMIG_UAPI_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;

	if ((args->flags & ~(VMIG_UAPI_DMA_UNMAP_FLAG_ALL | VMIG_UAPI_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP)) ||
	    (all && bitmap))
		return -EINVAL;
	if (all) {
		if (args->iova || args->size)
			return -EINVAL;
		return vmig_kabi_as_unmap(as, 0, UINT64_MAX, &args->size);
	}
	if (bad_range(args->iova, args->size))
		return -EINVAL;
	if (bitmap)
		return unmap_with_bitmap(as, ctx, arg, args);
	return vmig_kabi_as_unmap(as, args->iova, args->iova + (args->size - 1), &args->size);
}

static int64_t unmap_dma(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	struct vmig_kabi_as *as = take_as(ctx);
	struct vmig_uapi_iommu_type1_dma_unmap args;
	int r;

	if (!as)
		return -EINVAL;
	r = vmig_kabi_get_args(ctx, arg, &args, sizeof(args));
	if (!r) {
		ctx->call.v[0] = args.iova;
		ctx->call.v[1] = args.size;
		ctx->call.v[3] = args.flags;
		r = unmap_locked(as, ctx, arg, &args);
		ctx->call.v[2] = args.size;
	}
	vmig_kabi_as_unref(as);
	return r < 0 ? r : vmig_kabi_put(ctx, arg, &args, sizeof(args));
}

/* --- dirty pages -------------------------------------------------------------------------- */

static int get_bitmap(struct vmig_kabi_as *as, struct vmig_kabi_ctx *ctx, uint64_t arg, uint32_t argsz)
{
	struct vmig_uapi_iommu_type1_dirty_bitmap_get get;
	uint64_t last, dirty = 0;
	int r;

	if (argsz < sizeof(struct vmig_uapi_iommu_type1_dirty_bitmap) + sizeof(get))
		return -EINVAL;
	r = vmig_kabi_get(ctx, arg + sizeof(struct vmig_uapi_iommu_type1_dirty_bitmap), &get, sizeof(get));
	if (r < 0)
		return r;
	ctx->call.v[1] = get.iova;
	ctx->call.v[2] = get.size;
	if (bad_range(get.iova, get.size))
		return -EINVAL;
	r = check_bitmap(&get.bitmap, get.size);
	if (r < 0)
		return r;
	last = get.iova + (get.size - 1);
	pthread_mutex_lock(&as->lock);
	if (!as->tracks || !vmig_kabi_as_bounded(as, get.iova, last))
		r = -EINVAL;
	else
		r = vmig_kabi_track_report(as, ctx, get.iova, last, VMIG_KABI_PAGE,
					   (uintptr_t)get.bitmap.data, 0, &dirty);
	pthread_mutex_unlock(&as->lock);
	ctx->call.v[3] = dirty;
	return r;
}

static int start_or_stop(struct vmig_kabi_as *as, bool start)
{
	int r = 0;

	pthread_mutex_lock(&as->lock);
	if (start && !as->tracks)
		r = vmig_kabi_track_start(as);
	else if (!start && as->tracks)
		vmig_kabi_track_stop(as);
	pthread_mutex_unlock(&as->lock);
	return r;
}

static int64_t dirty_pages(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	struct vmig_kabi_as *as = take_as(ctx);
	struct vmig_uapi_iommu_type1_dirty_bitmap args;
	int r;

	if (!as)
		return -EINVAL;
	r = vmig_kabi_get_args(ctx, arg, &args, sizeof(args));
	if (!r) {
		ctx->call.v[0] = args.flags;
		if (args.flags == VMIG_UAPI_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP)
			r = get_bitmap(as, ctx, arg, args.argsz);
		else if (args.flags == VMIG_UAPI_IOMMU_DIRTY_PAGES_FLAG_START ||
			 args.flags == VMIG_UAPI_IOMMU_DIRTY_PAGES_FLAG_STOP)
			r = start_or_stop(as, args.flags == VMIG_UAPI_IOMMU_DIRTY_PAGES_FLAG_START);
		else
			r = -EINVAL;
	}
	vmig_kabi_as_unref(as);
	return r;
}

const struct vmig_kabi_request vmig_kabi_container_requests[] = {
	{ VMIG_UAPI_GET_API_VERSION, get_api_version },
	{ VMIG_UAPI_CHECK_EXTENSION, check_extension },
	{ VMIG_UAPI_SET_IOMMU, set_iommu },
	{ VMIG_UAPI_IOMMU_GET_INFO, get_iommu_info },
	{ VMIG_UAPI_IOMMU_MAP_DMA, map_dma },
	{ VMIG_UAPI_IOMMU_UNMAP_DMA, unmap_dma },
	{ VMIG_UAPI_IOMMU_DIRTY_PAGES, dirty_pages },
	{ 0 },
};
