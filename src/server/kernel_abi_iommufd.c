/* SPDX-License-Identifier: BSD-3-Clause */
/* An iommufd: its objects, and which of them its devices are attached to. */
#include <string.h>

#include "server/kernel_abi.h"

/* --- structs that begin with their size --------------------------------------------------- */

/* A newer program may know more fields than we do; what it may have set in them must be nothing. */
#define SIZE_LIMIT 4096u

static int check_rest(struct vmig_kabi_ctx *ctx, uint64_t addr, size_t len)
{
	uint8_t rest[256];

	while (len) {
		size_t n = MIN(len, sizeof(rest));
		int r = vmig_kabi_get(ctx, addr, rest, n);

		if (r < 0)
			return r;
		for (size_t i = 0; i < n; i++)
			if (rest[i])
				return -E2BIG;
		addr += n;
		len -= n;
	}
	return 0;
}

int vmig_kabi_get_sized(struct vmig_kabi_ctx *ctx, uint64_t addr, void *buf, size_t min, size_t size)
{
	uint32_t theirs;
	int r = vmig_kabi_get(ctx, addr, &theirs, sizeof(theirs));

	if (r < 0)
		return r;
	if (theirs < min)
		return -EINVAL;
	if (theirs > SIZE_LIMIT)
		return -E2BIG;
	memset(buf, 0, size);
	r = vmig_kabi_get(ctx, addr, buf, MIN(theirs, size));
	if (r < 0)
		return r;
	/* Read twice: what is used is what was checked. */
	memcpy(buf, &theirs, sizeof(theirs));
	return theirs > size ? check_rest(ctx, addr + size, theirs - size) : 0;
}

int vmig_kabi_put_sized(struct vmig_kabi_ctx *ctx, uint64_t addr, const void *buf, size_t size)
{
	uint32_t theirs;

	memcpy(&theirs, buf, sizeof(theirs));
	return vmig_kabi_put(ctx, addr, buf, MIN(theirs, size));
}

/* --- objects ------------------------------------------------------------------------------ */

struct vmig_kabi_object *vmig_kabi_object_find(struct vmig_kabi_iommufd *iommufd, uint32_t id)
{
	for (uint32_t i = 0; i < iommufd->n_objects; i++)
		if (iommufd->objects[i]->id == id)
			return iommufd->objects[i];
	return NULL;
}

int vmig_kabi_object_new(struct vmig_kabi_iommufd *iommufd, struct vmig_kabi_object **ret)
{
	struct vmig_kabi_object **objects, *object;

	if (iommufd->n_objects >= VMIG_LIMIT_IOMMUFD_OBJECTS)
		return -ENOSPC;
	objects = reallocarray(iommufd->objects, iommufd->n_objects + 1, sizeof(*objects));
	if (!objects)
		return -ENOMEM;
	iommufd->objects = objects;
	object = calloc(1, sizeof(*object));
	if (!object)
		return -ENOMEM;
	/* A number that is in use after four thousand million others is passed by. */
	do {
		object->id = ++iommufd->next_id;
	} while (!object->id || vmig_kabi_object_find(iommufd, object->id));
	objects[iommufd->n_objects++] = object;
	*ret = object;
	return 0;
}

void vmig_kabi_object_remove(struct vmig_kabi_iommufd *iommufd, struct vmig_kabi_object *object)
{
	for (uint32_t i = 0; i < iommufd->n_objects; i++) {
		if (iommufd->objects[i] != object)
			continue;
		iommufd->objects[i] = iommufd->objects[--iommufd->n_objects];
		break;
	}
	vmig_kabi_as_unref(object->as);
	free(object);
}

int vmig_kabi_iommufd_open(struct vmig_kabi *kabi, struct vmig_kabi_file **ret)
{
	struct vmig_kabi_iommufd *iommufd = calloc(1, sizeof(*iommufd));

	if (!iommufd)
		return -ENOMEM;
	vmig_kabi_file_init(&iommufd->file, kabi, VMIG_KABI_IOMMUFD, NULL);
	pthread_mutex_init(&iommufd->lock, NULL);
	*ret = &iommufd->file;
	return 0;
}

/* Its devices have references: they are gone. */
void vmig_kabi_iommufd_close(struct vmig_kabi_iommufd *iommufd)
{
	while (iommufd->n_objects)
		vmig_kabi_object_remove(iommufd, iommufd->objects[0]);
	free(iommufd->objects);
	pthread_mutex_destroy(&iommufd->lock);
	free(iommufd);
}

/* --- devices ------------------------------------------------------------------------------ */

int vmig_kabi_iommufd_bind(struct vmig_kabi_iommufd *iommufd, struct vmig_kabi_dev *dev, uint32_t *ret_id)
{
	struct vmig_kabi_object *object;
	int r;

	pthread_mutex_lock(&iommufd->lock);
	r = vmig_kabi_object_new(iommufd, &object);
	if (!r) {
		object->kind = VMIG_KABI_DEVID;
		object->dev = dev;
		*ret_id = object->id;
	}
	pthread_mutex_unlock(&iommufd->lock);
	return r;
}

static struct vmig_kabi_object *object_of(struct vmig_kabi_iommufd *iommufd, const struct vmig_kabi_dev *dev)
{
	for (uint32_t i = 0; i < iommufd->n_objects; i++)
		if (iommufd->objects[i]->dev == dev)
			return iommufd->objects[i];
	return NULL;
}

static struct vmig_kabi_as *as_of(const struct vmig_kabi_object *pt)
{
	return pt->kind == VMIG_KABI_HWPT ? pt->ioas->as : pt->as;
}

/** With iommufd->lock. */
static void let_go(struct vmig_kabi_object *object, struct vmig_kabi_slot *slot)
{
	if (!object->pt)
		return;
	vmig_kabi_as_leave(as_of(object->pt), slot);
	vmig_kabi_as_detach(slot);
	object->pt->users--;
	object->pt = NULL;
}

static int take(struct vmig_kabi_object *object, struct vmig_kabi_object *pt, struct vmig_kabi_slot *slot)
{
	int r = vmig_kabi_as_join(as_of(pt), slot);

	if (r < 0)
		return r;
	r = vmig_kabi_as_attach(as_of(pt), slot);
	if (r < 0) {
		vmig_kabi_as_leave(as_of(pt), slot);
		return r;
	}
	object->pt = pt;
	pt->users++;
	return 0;
}

static int attach_to(struct vmig_kabi_object *object, struct vmig_kabi_object *pt,
		     struct vmig_kabi_slot *slot)
{
	struct vmig_kabi_object *old = object->pt;
	int r;

	if (old && as_of(old) == as_of(pt)) {
		old->users--;
		pt->users++;
		object->pt = pt;
		return 0;
	}
	let_go(object, slot);
	r = take(object, pt, slot);
	if (r < 0 && old)
		(void)take(object, old, slot);
	return r;
}

int vmig_kabi_iommufd_attach(struct vmig_kabi_iommufd *iommufd, struct vmig_kabi_dev *dev, uint32_t *pt_id)
{
	struct vmig_kabi_object *object, *pt;
	int r;

	pthread_mutex_lock(&iommufd->lock);
	object = object_of(iommufd, dev);
	pt = vmig_kabi_object_find(iommufd, *pt_id);
	if (!object || !pt)
		r = -ENOENT;
	else if (pt->kind == VMIG_KABI_DEVID)
		r = -EINVAL;
	else
		r = attach_to(object, pt, dev->file.slot);
	pthread_mutex_unlock(&iommufd->lock);
	return r;
}

void vmig_kabi_iommufd_detach(struct vmig_kabi_iommufd *iommufd, struct vmig_kabi_dev *dev)
{
	struct vmig_kabi_object *object;

	pthread_mutex_lock(&iommufd->lock);
	object = object_of(iommufd, dev);
	if (object)
		let_go(object, dev->file.slot);
	pthread_mutex_unlock(&iommufd->lock);
}

void vmig_kabi_iommufd_unbind(struct vmig_kabi_iommufd *iommufd, struct vmig_kabi_dev *dev)
{
	struct vmig_kabi_object *object;

	pthread_mutex_lock(&iommufd->lock);
	object = object_of(iommufd, dev);
	if (object) {
		let_go(object, dev->file.slot);
		vmig_kabi_object_remove(iommufd, object);
	}
	pthread_mutex_unlock(&iommufd->lock);
}

/* --- requests ----------------------------------------------------------------------------- */

static int destroy_locked(struct vmig_kabi_iommufd *iommufd, uint32_t id)
{
	struct vmig_kabi_object *object = vmig_kabi_object_find(iommufd, id);

	if (!object)
		return -ENOENT;
	if (object->kind == VMIG_KABI_DEVID || object->users)
		return -EBUSY;
	if (object->kind == VMIG_KABI_HWPT) {
		vmig_kabi_hwpt_stop(iommufd, object);
		object->ioas->users--;
	}
	vmig_kabi_object_remove(iommufd, object);
	return 0;
}

static int64_t destroy(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	struct vmig_kabi_iommufd *iommufd = (struct vmig_kabi_iommufd *)ctx->file;
	struct vmig_uapi_iommufd_destroy args;
	int r = vmig_kabi_get_sized(ctx, arg, &args, sizeof(args), sizeof(args));

	if (r < 0)
		return r;
	ctx->call.v[0] = args.id;
	pthread_mutex_lock(&iommufd->lock);
	r = destroy_locked(iommufd, args.id);
	pthread_mutex_unlock(&iommufd->lock);
	return r;
}

const struct vmig_kabi_request vmig_kabi_iommufd_requests[] = {
	{ VMIG_UAPI_IOMMUFD_DESTROY, destroy },
	{ VMIG_UAPI_IOMMUFD_IOAS_ALLOC, vmig_kabi_ioas_alloc },
	{ VMIG_UAPI_IOMMUFD_IOAS_ALLOW_IOVAS, vmig_kabi_ioas_allow },
	{ VMIG_UAPI_IOMMUFD_IOAS_COPY, vmig_kabi_ioas_copy },
	{ VMIG_UAPI_IOMMUFD_IOAS_IOVA_RANGES, vmig_kabi_ioas_ranges },
	{ VMIG_UAPI_IOMMUFD_IOAS_MAP, vmig_kabi_ioas_map },
	{ VMIG_UAPI_IOMMUFD_IOAS_MAP_FILE, vmig_kabi_ioas_map_file },
	{ VMIG_UAPI_IOMMUFD_IOAS_UNMAP, vmig_kabi_ioas_unmap },
	{ VMIG_UAPI_IOMMUFD_OPTION, vmig_kabi_option },
	{ VMIG_UAPI_IOMMUFD_HWPT_ALLOC, vmig_kabi_hwpt_alloc },
	{ VMIG_UAPI_IOMMUFD_GET_HW_INFO, vmig_kabi_hw_info },
	{ VMIG_UAPI_IOMMUFD_HWPT_SET_DIRTY_TRACKING, vmig_kabi_hwpt_set_tracking },
	{ VMIG_UAPI_IOMMUFD_HWPT_GET_DIRTY_BITMAP, vmig_kabi_hwpt_get_bitmap },
	{ 0 },
};
