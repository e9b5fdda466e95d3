/* SPDX-License-Identifier: BSD-3-Clause */
/* An iommufd's page tables, which are what dirty tracking is asked of; what its hardware can do; its options. */
#include <string.h>

#include "server/kernel_abi.h"

/* The widest page that one word of a report's bits still covers whole: see kernel_abi_dirty.c. */
#define PAGE_MAX (32ull << 20)

static int alloc_locked(struct vmig_kabi_iommufd *iommufd, struct vmig_uapi_iommufd_hwpt_alloc *args)
{
	struct vmig_kabi_object *dev = vmig_kabi_object_find(iommufd, args->dev_id);
	struct vmig_kabi_object *ioas = vmig_kabi_object_find(iommufd, args->pt_id), *hwpt;
	int r;

	if (!dev || dev->kind != VMIG_KABI_DEVID || !ioas)
		return -ENOENT;
	if (ioas->kind != VMIG_KABI_IOAS)
		return -EINVAL;
	r = vmig_kabi_object_new(iommufd, &hwpt);
	if (r < 0)
		return r;
	hwpt->kind = VMIG_KABI_HWPT;
	hwpt->ioas = ioas;
	hwpt->may_track = args->flags & VMIG_UAPI_IOMMUFD_HWPT_ALLOC_DIRTY_TRACKING;
	ioas->users++;
	args->out_hwpt_id = hwpt->id;
	return 0;
}

int64_t vmig_kabi_hwpt_alloc(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	struct vmig_kabi_iommufd *iommufd = (struct vmig_kabi_iommufd *)ctx->file;
	struct vmig_uapi_iommufd_hwpt_alloc args;
	int r = vmig_kabi_get_sized(
		ctx, arg, &args, offsetof(struct vmig_uapi_iommufd_hwpt_alloc, reserved) + 4, sizeof(args));

	if (r < 0)
		return r;
	ctx->call.v[0] = args.dev_id;
	ctx->call.v[1] = args.pt_id;
	ctx->call.v[3] = args.flags;
	if ((args.flags & ~VMIG_UAPI_IOMMUFD_HWPT_ALLOC_DIRTY_TRACKING) || args.reserved || args.reserved2 ||
	    args.data_type != VMIG_UAPI_IOMMUFD_HWPT_DATA_NONE)
		return -EOPNOTSUPP;
	if (args.data_len)
		return -EINVAL;
	pthread_mutex_lock(&iommufd->lock);
	r = alloc_locked(iommufd, &args);
	pthread_mutex_unlock(&iommufd->lock);
	ctx->call.v[2] = args.out_hwpt_id;
	return r < 0 ? r : vmig_kabi_put_sized(ctx, arg, &args, sizeof(args));
}

/* --- dirty tracking ----------------------------------------------------------------------- */

/** Of an IOAS with several page tables: is another one tracking? With iommufd->lock. */
static bool others_track(struct vmig_kabi_iommufd *iommufd, const struct vmig_kabi_object *hwpt)
{
	for (uint32_t i = 0; i < iommufd->n_objects; i++) {
		const struct vmig_kabi_object *other = iommufd->objects[i];

		if (other != hwpt && other->kind == VMIG_KABI_HWPT && other->ioas == hwpt->ioas &&
		    other->tracks)
			return true;
	}
	return false;
}

void vmig_kabi_hwpt_stop(struct vmig_kabi_iommufd *iommufd, struct vmig_kabi_object *hwpt)
{
	struct vmig_kabi_as *as = hwpt->ioas->as;

	if (!hwpt->tracks)
		return;
	hwpt->tracks = false;
	if (others_track(iommufd, hwpt))
		return;
	pthread_mutex_lock(&as->lock);
	vmig_kabi_track_stop(as);
	pthread_mutex_unlock(&as->lock);
}

static int start(struct vmig_kabi_object *hwpt)
{
	struct vmig_kabi_as *as = hwpt->ioas->as;
	int r = 0;

	pthread_mutex_lock(&as->lock);
	if (!as->tracks)
		r = vmig_kabi_track_start(as);
	pthread_mutex_unlock(&as->lock);
	if (!r)
		hwpt->tracks = true;
	return r;
}

static int set_locked(struct vmig_kabi_iommufd *iommufd, uint32_t id, bool enable)
{
	struct vmig_kabi_object *hwpt = vmig_kabi_object_find(iommufd, id);

	if (!hwpt || hwpt->kind != VMIG_KABI_HWPT)
		return -ENOENT;
	if (!hwpt->may_track)
		return -EOPNOTSUPP;
	if (enable)
		return start(hwpt);
	vmig_kabi_hwpt_stop(iommufd, hwpt);
	return 0;
}

int64_t vmig_kabi_hwpt_set_tracking(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	struct vmig_kabi_iommufd *iommufd = (struct vmig_kabi_iommufd *)ctx->file;
	struct vmig_uapi_iommufd_hwpt_set_dirty_tracking args;
	int r = vmig_kabi_get_sized(ctx, arg, &args, sizeof(args), sizeof(args));

	if (r < 0)
		return r;
	ctx->call.v[0] = args.hwpt_id;
	ctx->call.v[1] = args.flags;
	if ((args.flags & ~VMIG_UAPI_IOMMUFD_HWPT_DIRTY_TRACKING_ENABLE) || args.reserved)
		return -EOPNOTSUPP;
	pthread_mutex_lock(&iommufd->lock);
	r = set_locked(iommufd, args.hwpt_id, args.flags & VMIG_UAPI_IOMMUFD_HWPT_DIRTY_TRACKING_ENABLE);
	pthread_mutex_unlock(&iommufd->lock);
	return r;
}

/** The space whose bits are asked for, with a reference. */
static int take_tracked(struct vmig_kabi_iommufd *iommufd, uint32_t id, struct vmig_kabi_as **ret)
{
	struct vmig_kabi_object *hwpt;
	int r = 0;

	pthread_mutex_lock(&iommufd->lock);
	hwpt = vmig_kabi_object_find(iommufd, id);
	if (!hwpt || hwpt->kind != VMIG_KABI_HWPT)
		r = -ENOENT;
	else if (!hwpt->may_track)
		r = -EOPNOTSUPP;
	else if (!hwpt->tracks)
		r = -EINVAL;
	else
		vmig_kabi_as_ref(*ret = hwpt->ioas->as);
	pthread_mutex_unlock(&iommufd->lock);
	return r;
}

static int check_bitmap(const struct vmig_uapi_iommufd_hwpt_get_dirty_bitmap *args)
{
	uint64_t page = args->page_size;

	if (!args->length || page < VMIG_KABI_PAGE || page > PAGE_MAX || !is_pow2(page))
		return -EINVAL;
	if (!add_fits(args->iova, args->length - 1))
		return -EOVERFLOW;
	if ((args->iova | args->length) & (page - 1))
		return -EINVAL;
	return args->length / page / 8 > VMIG_LIMIT_LOG_BITMAP ? -E2BIG : 0;
}

int64_t vmig_kabi_hwpt_get_bitmap(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	struct vmig_kabi_iommufd *iommufd = (struct vmig_kabi_iommufd *)ctx->file;
	struct vmig_uapi_iommufd_hwpt_get_dirty_bitmap args;
	struct vmig_kabi_as *as;
	uint64_t dirty = 0;
	uint32_t flags = VMIG_KABI_REPORT_ADD;
	int r = vmig_kabi_get_sized(ctx, arg, &args, sizeof(args), sizeof(args));

	if (r < 0)
		return r;
	ctx->call.v[0] = args.iova;
	ctx->call.v[1] = args.length;
	ctx->call.v[2] = args.page_size;
	if ((args.flags & ~VMIG_UAPI_IOMMUFD_HWPT_GET_DIRTY_BITMAP_NO_CLEAR) || args.reserved)
		return -EOPNOTSUPP;
	r = check_bitmap(&args);
	if (!r)
		r = take_tracked(iommufd, args.hwpt_id, &as);
	if (r < 0)
		return r;
	if (args.flags & VMIG_UAPI_IOMMUFD_HWPT_GET_DIRTY_BITMAP_NO_CLEAR)
		flags |= VMIG_KABI_REPORT_KEEP;
	pthread_mutex_lock(&as->lock);
	r = vmig_kabi_track_report(as, ctx, args.iova, args.iova + (args.length - 1), args.page_size,
				   args.data, flags, &dirty);
	pthread_mutex_unlock(&as->lock);
	vmig_kabi_as_unref(as);
	ctx->call.v[3] = dirty;
	return r;
}

/* --- what there is ------------------------------------------------------------------------ */

static bool has_device(struct vmig_kabi_iommufd *iommufd, uint32_t id)
{
	struct vmig_kabi_object *object;
	bool has;

	pthread_mutex_lock(&iommufd->lock);
	object = vmig_kabi_object_find(iommufd, id);
	has = object && object->kind == VMIG_KABI_DEVID;
	pthread_mutex_unlock(&iommufd->lock);
	return has;
}

/** Nothing is told about the kind of IOMMU: what the program has room for is cleared. */
static int clear_data(struct vmig_kabi_ctx *ctx, uint64_t addr, uint32_t len)
{
	static const uint8_t zeros[256];

	while (len) {
		uint32_t n = (uint32_t)MIN(len, sizeof(zeros));
		int r = vmig_kabi_put(ctx, addr, zeros, n);

		if (r < 0)
			return r;
		addr += n;
		len -= n;
	}
	return 0;
}

int64_t vmig_kabi_hw_info(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	struct vmig_uapi_iommufd_hw_info args;
	int r = vmig_kabi_get_sized(ctx, arg, &args, offsetof(struct vmig_uapi_iommufd_hw_info, reserved) + 3,
				    sizeof(args));

	if (r < 0)
		return r;
	ctx->call.v[0] = args.dev_id;
	if (args.flags)
		return -EOPNOTSUPP;
	if (args.data_len > VMIG_LIMIT_REGION_INFO)
		return -E2BIG;
	if (!has_device((struct vmig_kabi_iommufd *)ctx->file, args.dev_id))
		return -ENOENT;
	r = clear_data(ctx, args.data_uptr, args.data_len);
	if (r < 0)
		return r;
	args.data_len = 0;
	args.out_data_type = VMIG_UAPI_IOMMUFD_HW_INFO_TYPE_NONE;
	args.out_max_pasid_log2 = 0;
	args.out_capabilities = VMIG_UAPI_IOMMUFD_HW_CAP_DIRTY_TRACKING;
	return vmig_kabi_put_sized(ctx, arg, &args, sizeof(args));
}

/* Pages are not pinned here and their size is not chosen: the options are what they are. */
int64_t vmig_kabi_option(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	struct vmig_uapi_iommufd_option args;
	bool huge;
	int r = vmig_kabi_get_sized(ctx, arg, &args, sizeof(args), sizeof(args));

	if (r < 0)
		return r;
	ctx->call.v[0] = args.option_id;
	ctx->call.v[1] = args.op;
	huge = args.option_id == VMIG_UAPI_IOMMUFD_OPTION_HUGE_PAGES;
	if (args.reserved || (!huge && args.option_id != VMIG_UAPI_IOMMUFD_OPTION_RLIMIT_MODE) ||
	    args.op > VMIG_UAPI_IOMMUFD_OPTION_OP_GET)
		return -EOPNOTSUPP;
	if (args.op == VMIG_UAPI_IOMMUFD_OPTION_OP_SET)
		return args.val64 > 1 ? -EINVAL : 0;
	args.val64 = huge;
	return vmig_kabi_put_sized(ctx, arg, &args, sizeof(args));
}
