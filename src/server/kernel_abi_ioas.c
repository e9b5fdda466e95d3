/* SPDX-License-Identifier: BSD-3-Clause */
/* An iommufd's I/O address spaces. */
#include <fcntl.h>
#include <string.h>

#include "server/kernel_abi.h"

/** The space of an IOAS, with a reference; NULL: there is none of this number. */
static struct vmig_kabi_as *take_as(struct vmig_kabi_ctx *ctx, uint32_t id)
{
	struct vmig_kabi_iommufd *iommufd = (struct vmig_kabi_iommufd *)ctx->file;
	struct vmig_kabi_object *object;
	struct vmig_kabi_as *as = NULL;

	pthread_mutex_lock(&iommufd->lock);
	object = vmig_kabi_object_find(iommufd, id);
	if (object && object->kind == VMIG_KABI_IOAS) {
		as = object->as;
		vmig_kabi_as_ref(as);
	}
	pthread_mutex_unlock(&iommufd->lock);
	return as;
}

static int alloc_locked(struct vmig_kabi_iommufd *iommufd, uint32_t *ret_id)
{
	struct vmig_kabi_object *object;
	struct vmig_kabi_as *as;
	int r = vmig_kabi_as_new(iommufd->file.kabi, &as);

	if (r < 0)
		return r;
	r = vmig_kabi_object_new(iommufd, &object);
	if (r < 0) {
		vmig_kabi_as_unref(as);
		return r;
	}
	object->kind = VMIG_KABI_IOAS;
	object->as = as;
	*ret_id = object->id;
	return 0;
}

int64_t vmig_kabi_ioas_alloc(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	struct vmig_kabi_iommufd *iommufd = (struct vmig_kabi_iommufd *)ctx->file;
	struct vmig_uapi_iommufd_ioas_alloc args;
	int r = vmig_kabi_get_sized(ctx, arg, &args, sizeof(args), sizeof(args));

	if (r < 0)
		return r;
	if (args.flags)
		return -EOPNOTSUPP;
	pthread_mutex_lock(&iommufd->lock);
	r = alloc_locked(iommufd, &args.out_ioas_id);
	pthread_mutex_unlock(&iommufd->lock);
	ctx->call.v[0] = args.out_ioas_id;
	return r < 0 ? r : vmig_kabi_put_sized(ctx, arg, &args, sizeof(args));
}

/* --- addresses ---------------------------------------------------------------------------- */

int64_t vmig_kabi_ioas_ranges(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	const struct vmig_uapi_iommufd_iova_range all = { 0, UINT64_MAX };
	struct vmig_uapi_iommufd_ioas_iova_ranges args;
	struct vmig_kabi_as *as;
	uint32_t room;
	int r = vmig_kabi_get_sized(ctx, arg, &args, sizeof(args), sizeof(args));

	if (r < 0)
		return r;
	if (args.reserved)
		return -EOPNOTSUPP;
	as = take_as(ctx, args.ioas_id);
	if (!as)
		return -ENOENT;
	vmig_kabi_as_unref(as);
	room = args.num_iovas;
	ctx->call.v[0] = args.ioas_id;
	ctx->call.v[1] = room;
	args.num_iovas = 1;
	args.out_iova_alignment = VMIG_KABI_PAGE;
	if (room)
		r = vmig_kabi_put(ctx, args.allowed_iovas, &all, sizeof(all));
	if (!r)
		r = vmig_kabi_put_sized(ctx, arg, &args, sizeof(args));
	return r < 0 ? r : room ? 0 : -EMSGSIZE;
}

static int compare_ranges(const void *a, const void *b)
{
	const struct vmig_range *x = a, *y = b;

	return (x->iova > y->iova) - (x->iova < y->iova);
}

/** Sorted, in whole pages. */
static int get_allowed(struct vmig_kabi_ctx *ctx, uint64_t addr, struct vmig_range *ranges, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct vmig_uapi_iommufd_iova_range range;
		int r = vmig_kabi_get(ctx, addr + i * sizeof(range), &range, sizeof(range));

		if (r < 0)
			return r;
		if (range.start > range.last)
			return -EINVAL;
		ranges[i] = (struct vmig_range){ range.start, range.last - range.start };
		/* The whole of 2^64 is one byte more than a length can say. */
		if (ranges[i].length < UINT64_MAX)
			ranges[i].length++;
	}
	qsort(ranges, n, sizeof(*ranges), compare_ranges);
	for (uint32_t i = 1; i < n; i++)
		if (ranges[i].iova <= ranges[i - 1].iova + (ranges[i - 1].length - 1))
			return -EINVAL;
	return 0;
}

int64_t vmig_kabi_ioas_allow(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	struct vmig_uapi_iommufd_ioas_allow_iovas args;
	_autofree_ struct vmig_range *ranges = NULL;
	struct vmig_kabi_as *as;
	int r = vmig_kabi_get_sized(ctx, arg, &args, sizeof(args), sizeof(args));

	if (r < 0)
		return r;
	ctx->call.v[0] = args.ioas_id;
	ctx->call.v[1] = args.num_iovas;
	if (args.reserved)
		return -EOPNOTSUPP;
	if (args.num_iovas > VMIG_LIMIT_IOVA_RANGES)
		return -E2BIG;
	ranges = calloc(args.num_iovas ? args.num_iovas : 1, sizeof(*ranges));
	if (!ranges)
		return -ENOMEM;
	r = get_allowed(ctx, args.allowed_iovas, ranges, args.num_iovas);
	if (r < 0)
		return r;
	as = take_as(ctx, args.ioas_id);
	if (!as)
		return -ENOENT;
	pthread_mutex_lock(&as->lock);
	free(as->allowed);
	as->allowed = steal_ptr(ranges);
	as->n_allowed = args.num_iovas;
	pthread_mutex_unlock(&as->lock);
	vmig_kabi_as_unref(as);
	return 0;
}

/* --- map ---------------------------------------------------------------------------------- */

static int prot_of(uint32_t flags, uint32_t *ret)
{
	const uint32_t all = VMIG_UAPI_IOMMUFD_IOAS_MAP_FIXED_IOVA | VMIG_UAPI_IOMMUFD_IOAS_MAP_WRITEABLE |
			     VMIG_UAPI_IOMMUFD_IOAS_MAP_READABLE;

	if (flags & ~all)
		return -EOPNOTSUPP;
	*ret = (flags & VMIG_UAPI_IOMMUFD_IOAS_MAP_READABLE ? VMIG_DMA_READ : 0) |
	       (flags & VMIG_UAPI_IOMMUFD_IOAS_MAP_WRITEABLE ? VMIG_DMA_WRITE : 0);
	return *ret ? 0 : -EINVAL;
}

static int check_range(uint64_t start, uint64_t length)
{
	if (!length || (start | length) % VMIG_KABI_PAGE)
		return -EINVAL;
	return add_fits(start, length - 1) ? 0 : -EOVERFLOW;
}

static int map_at(struct vmig_kabi_ctx *ctx, struct vmig_kabi_as *as, struct vmig_kabi_map *want, bool fixed)
{
	int r = check_range(fixed ? want->iova : 0, want->size);

	if (!r)
		r = check_range(want->fd >= 0 ? want->fd_offset : want->vaddr, want->size);
	if (r < 0)
		return r;
	ctx->call.v[0] = want->iova;
	ctx->call.v[1] = want->size;
	ctx->call.v[2] = want->fd >= 0 ? want->fd_offset : want->vaddr;
	r = fixed ? vmig_kabi_as_map(as, ctx->task, want) : vmig_kabi_as_map_anywhere(as, ctx->task, want);
	ctx->call.v[0] = want->iova;
	return r;
}

int64_t vmig_kabi_ioas_map(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	struct vmig_uapi_iommufd_ioas_map args;
	struct vmig_kabi_map want = { .fd = -1 };
	struct vmig_kabi_as *as;
	int r = vmig_kabi_get_sized(ctx, arg, &args, sizeof(args), sizeof(args));

	if (r < 0)
		return r;
	ctx->call.v[3] = args.flags;
	if (args.reserved)
		return -EOPNOTSUPP;
	r = prot_of(args.flags, &want.prot);
	if (r < 0)
		return r;
	as = take_as(ctx, args.ioas_id);
	if (!as)
		return -ENOENT;
	want.iova = args.iova;
	want.size = args.length;
	want.vaddr = args.user_va;
	r = map_at(ctx, as, &want, args.flags & VMIG_UAPI_IOMMUFD_IOAS_MAP_FIXED_IOVA);
	vmig_kabi_as_unref(as);
	args.iova = want.iova;
	return r < 0 ? r : vmig_kabi_put_sized(ctx, arg, &args, sizeof(args));
}

int64_t vmig_kabi_ioas_map_file(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	struct vmig_uapi_iommufd_ioas_map_file args;
	struct vmig_kabi_map want = { .fd = -1 };
	struct vmig_kabi_as *as;
	int r = vmig_kabi_get_sized(ctx, arg, &args, sizeof(args), sizeof(args));

	if (r < 0)
		return r;
	ctx->call.v[3] = args.flags;
	r = prot_of(args.flags, &want.prot);
	if (r < 0)
		return r;
	as = take_as(ctx, args.ioas_id);
	if (!as)
		return -ENOENT;
	want.iova = args.iova;
	want.size = args.length;
	want.fd_offset = args.start;
	want.fd = args.fd < 0 ? -EBADF : ctx->task->ops->take_fd(ctx->task, args.fd);
	r = want.fd < 0 ? want.fd
			: map_at(ctx, as, &want, args.flags & VMIG_UAPI_IOMMUFD_IOAS_MAP_FIXED_IOVA);
	vmig_closep(&want.fd);
	vmig_kabi_as_unref(as);
	args.iova = want.iova;
	return r < 0 ? r : vmig_kabi_put_sized(ctx, arg, &args, sizeof(args));
}

/** Where the memory of [@iova, @iova + @size) comes from, which must be one mapping's. *ret_fd is a copy. */
static int find_source(struct vmig_kabi_as *as, uint64_t iova, uint64_t size, struct vmig_kabi_map *want)
{
	uint32_t at;
	int r = -ENOENT;

	pthread_mutex_lock(&as->lock);
	at = vmig_kabi_as_find(as, iova);
	if (at < as->n_maps && as->maps[at].iova <= iova) {
		const struct vmig_kabi_map *map = &as->maps[at];
		uint64_t skip = iova - map->iova;

		r = size <= map->size - skip ? 0 : -EOPNOTSUPP;
		want->vaddr = map->vaddr + skip;
		want->fd_offset = map->fd_offset + skip;
		if (!r && map->fd >= 0) {
			want->fd = fcntl(map->fd, F_DUPFD_CLOEXEC, 0);
			r = want->fd < 0 ? -errno : 0;
		}
	}
	pthread_mutex_unlock(&as->lock);
	return r;
}

int64_t vmig_kabi_ioas_copy(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	struct vmig_uapi_iommufd_ioas_copy args;
	struct vmig_kabi_map want = { .fd = -1 };
	struct vmig_kabi_as *from, *to;
	int r = vmig_kabi_get_sized(ctx, arg, &args, sizeof(args), sizeof(args));

	if (!r)
		r = prot_of(args.flags, &want.prot);
	if (!r)
		r = check_range(args.src_iova, args.length);
	if (r < 0)
		return r;
	ctx->call.v[3] = args.flags;
	from = take_as(ctx, args.src_ioas_id);
	to = take_as(ctx, args.dst_ioas_id);
	want.iova = args.dst_iova;
	want.size = args.length;
	r = from && to ? find_source(from, args.src_iova, args.length, &want) : -ENOENT;
	if (!r)
		r = map_at(ctx, to, &want, args.flags & VMIG_UAPI_IOMMUFD_IOAS_MAP_FIXED_IOVA);
	vmig_closep(&want.fd);
	vmig_kabi_as_unref(from);
	vmig_kabi_as_unref(to);
	args.dst_iova = want.iova;
	return r < 0 ? r : vmig_kabi_put_sized(ctx, arg, &args, sizeof(args));
}

/** Whole mappings in the range, all of them if it is everything. A range that holds none is an error. */
static int unmap(struct vmig_kabi_as *as, struct vmig_uapi_iommufd_ioas_unmap *args)
{
	uint64_t last = UINT64_MAX, bytes = 0;
	bool all = !args->iova && args->length == UINT64_MAX;
	int r;

	if (!all) {
		if (!args->length)
			return -EINVAL;
		if (!add_fits(args->iova, args->length - 1))
			return -EOVERFLOW;
		last = args->iova + (args->length - 1);
	}
	r = vmig_kabi_as_unmap(as, args->iova, last, &bytes);
	args->length = bytes;
	/* What lies in the range in part only has no place in iommufd's answer but this. */
	if (r == -EINVAL)
		return -ENOENT;
	return !r && !bytes && !all ? -ENOENT : r;
}

int64_t vmig_kabi_ioas_unmap(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	struct vmig_uapi_iommufd_ioas_unmap args;
	struct vmig_kabi_as *as;
	int r = vmig_kabi_get_sized(ctx, arg, &args, sizeof(args), sizeof(args));

	if (r < 0)
		return r;
	ctx->call.v[0] = args.iova;
	ctx->call.v[1] = args.length;
	as = take_as(ctx, args.ioas_id);
	if (!as)
		return -ENOENT;
	r = unmap(as, &args);
	vmig_kabi_as_unref(as);
	ctx->call.v[2] = args.length;
	return r < 0 ? r : vmig_kabi_put_sized(ctx, arg, &args, sizeof(args));
}
