/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device's file: its life, and the requests that are about the device as a whole.
 *
 * vfio-pci resets a device when it is opened and when it is closed. Here it is reset when it is opened, if it has been
 * used before or is not in RUNNING: a user finds the same, and what a user has left behind can still be looked at.
 * When it is closed it loses its mappings, interrupts, log and sessions, so that it can do nothing any more.
 */
#include <string.h>

#include "base/log.h"
#include "server/kernel_abi.h"

/* --- open and close ----------------------------------------------------------------------- */

/** @as: what it is attached to, or NULL. */
static int do_reset(struct vmig_kabi_slot *slot, struct vmig_kabi_as *as)
{
	int r;

	vmig_kabi_data_hold(slot);
	r = vmig_device_reset(slot->dev);
	vmig_kabi_data_go_on(slot);
	/* It may have been done in part: what a reset ends has ended. */
	vmig_kabi_irqs_forget(slot);
	pthread_mutex_lock(&slot->lock);
	slot->logging = false;
	pthread_mutex_unlock(&slot->lock);
	if (as)
		vmig_kabi_track_reset(as, slot);
	vmig_kabi_note_reset(slot);
	return r;
}

/** The first user of a device finds it as after power-on; it is attached to nothing yet. With kabi->lock. */
static int first_open(struct vmig_kabi_slot *slot)
{
	uint32_t state = VMIG_STATE_RUNNING;
	bool dirty = slot->used;

	if (slot->info.migration_flags && !vmig_device_query_state(slot->dev, &state))
		dirty |= state != VMIG_STATE_RUNNING;
	slot->used = true;
	if (dirty && (slot->info.flags & VMIG_DEVICE_FLAG_RESET)) {
		int r = do_reset(slot, NULL);

		if (r < 0)
			return r;
	}
	vmig_kabi_note_open(slot, true);
	return 0;
}

/** With kabi->lock. */
static void last_close(struct vmig_kabi_slot *slot)
{
	bool logging;

	vmig_kabi_data_end_all(slot);
	vmig_kabi_irqs_disarm(slot);
	pthread_mutex_lock(&slot->lock);
	logging = slot->logging;
	slot->logging = slot->precopy_v2 = false;
	pthread_mutex_unlock(&slot->lock);
	if (logging)
		(void)vmig_device_dma_log_stop(slot->dev);
	vmig_kabi_as_detach(slot);
	vmig_kabi_note_open(slot, false);
}

int vmig_kabi_dev_open(struct vmig_kabi_slot *slot, struct vmig_kabi_group *group, struct vmig_kabi_dev **ret)
{
	struct vmig_kabi_dev *dev = calloc(1, sizeof(*dev));
	int r = 0;

	if (!dev)
		return -ENOMEM;
	vmig_kabi_file_init(&dev->file, slot->kabi, VMIG_KABI_DEVICE, slot);
	if (group) {
		if (!slot->n_open) {
			r = first_open(slot);
			if (!r)
				r = vmig_kabi_as_attach(group->container->as, slot);
			if (r < 0) {
				last_close(slot);
				free(dev);
				return r;
			}
		}
		slot->n_open++;
		dev->group = group;
		vmig_kabi_file_ref(&group->file);
		atomic_store(&dev->ready, true);
	}
	*ret = dev;
	return 0;
}

void vmig_kabi_dev_close(struct vmig_kabi_dev *dev)
{
	struct vmig_kabi_slot *slot = dev->file.slot;
	struct vmig_kabi *kabi = slot->kabi;

	pthread_mutex_lock(&kabi->lock);
	if (atomic_load(&dev->ready) && !--slot->n_open)
		last_close(slot);
	if (dev->iommufd)
		vmig_kabi_iommufd_unbind(dev->iommufd, dev);
	pthread_mutex_unlock(&kabi->lock);
	if (dev->iommufd)
		vmig_kabi_file_unref(&dev->iommufd->file);
	if (dev->group)
		vmig_kabi_file_unref(&dev->group->file);
	free(dev);
}

/* --- the character device ----------------------------------------------------------------- */

static int bind_locked(struct vmig_kabi_dev *dev, struct vmig_kabi_iommufd *iommufd, uint32_t *ret_id)
{
	struct vmig_kabi_slot *slot = dev->file.slot;
	int r;

	if (atomic_load(&dev->ready))
		return -EINVAL;
	if (slot->group)
		return -EBUSY;
	/* Only groups let a device be opened twice. */
	if (slot->n_open)
		return -EINVAL;
	r = vmig_kabi_iommufd_bind(iommufd, dev, ret_id);
	if (r < 0)
		return r;
	r = first_open(slot);
	if (r < 0) {
		vmig_kabi_iommufd_unbind(iommufd, dev);
		return r;
	}
	slot->n_open++;
	dev->iommufd = iommufd;
	dev->dev_id = *ret_id;
	vmig_kabi_file_ref(&iommufd->file);
	atomic_store(&dev->ready, true);
	return 0;
}

static int64_t bind(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	struct vmig_kabi_dev *dev = (struct vmig_kabi_dev *)ctx->file;
	struct vmig_uapi_device_bind_iommufd args;
	struct vmig_kabi_file *file;
	int r;

	/* One that came through a group has no such thing. */
	if (dev->group)
		return -ENOTTY;
	r = vmig_kabi_get_args(ctx, arg, &args, sizeof(args));
	if (r < 0)
		return r;
	ctx->call.v[0] = (uint64_t)(int64_t)args.iommufd;
	if (args.flags || args.iommufd < 0)
		return -EINVAL;
	file = ctx->task->ops->lookup(ctx->task, args.iommufd);
	if (!file)
		return -EBADF;
	if (file->kind == VMIG_KABI_IOMMUFD) {
		pthread_mutex_lock(&ctx->kabi->lock);
		r = bind_locked(dev, (struct vmig_kabi_iommufd *)file, &args.out_devid);
		pthread_mutex_unlock(&ctx->kabi->lock);
	} else {
		r = -EBADFD;
	}
	vmig_kabi_file_unref(file);
	ctx->call.v[1] = args.out_devid;
	return r < 0 ? r : vmig_kabi_put(ctx, arg, &args, sizeof(args));
}

static int64_t attach(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	struct vmig_kabi_dev *dev = (struct vmig_kabi_dev *)ctx->file;
	struct vmig_uapi_device_attach_iommufd_pt args;
	int r;

	if (!dev->iommufd)
		return -ENOTTY;
	r = vmig_kabi_get_args(ctx, arg, &args,
			       offsetof(struct vmig_uapi_device_attach_iommufd_pt, pt_id) + 4);
	if (r < 0)
		return r;
	ctx->call.v[0] = args.pt_id;
	if (args.flags)
		return -EINVAL;
	pthread_mutex_lock(&ctx->kabi->lock);
	r = vmig_kabi_iommufd_attach(dev->iommufd, dev, &args.pt_id);
	pthread_mutex_unlock(&ctx->kabi->lock);
	if (r < 0)
		return r;
	return vmig_kabi_put(ctx, arg + offsetof(struct vmig_uapi_device_attach_iommufd_pt, pt_id),
			     &args.pt_id, sizeof(args.pt_id));
}

static int64_t detach(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	struct vmig_kabi_dev *dev = (struct vmig_kabi_dev *)ctx->file;
	struct vmig_uapi_device_detach_iommufd_pt args;
	int r;

	if (!dev->iommufd)
		return -ENOTTY;
	r = vmig_kabi_get_args(ctx, arg, &args,
			       offsetof(struct vmig_uapi_device_detach_iommufd_pt, flags) + 4);
	if (r < 0)
		return r;
	if (args.flags)
		return -EINVAL;
	pthread_mutex_lock(&ctx->kabi->lock);
	vmig_kabi_iommufd_detach(dev->iommufd, dev);
	pthread_mutex_unlock(&ctx->kabi->lock);
	return 0;
}

/* --- what it is, reset -------------------------------------------------------------------- */

static int64_t get_info(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	const struct vmig_kabi_slot *slot = ctx->file->slot;
	const size_t min = offsetof(struct vmig_uapi_device_info, num_irqs) + 4;
	struct vmig_uapi_device_info info = { 0 };
	size_t size;
	int r = vmig_kabi_get_args(ctx, arg, &info, min);

	if (r < 0)
		return r;
	size = MIN(info.argsz, sizeof(info));
	info.flags = slot->info.flags & (VMIG_UAPI_DEVICE_FLAGS_RESET | VMIG_UAPI_DEVICE_FLAGS_PCI);
	info.num_regions = slot->info.n_regions;
	info.num_irqs = slot->info.n_irqs;
	ctx->call.v[0] = info.flags;
	ctx->call.v[1] = info.num_regions;
	ctx->call.v[2] = info.num_irqs;
	return vmig_kabi_put(ctx, arg, &info, size);
}

static int reset_device(struct vmig_kabi_slot *slot)
{
	struct vmig_kabi_as *as;
	int r;

	if (!(slot->info.flags & VMIG_DEVICE_FLAG_RESET))
		return -EINVAL;
	r = vmig_kabi_fault(slot, VMIG_KABI_FAULT_RESET, VMIG_STATE_NONE, 0);
	if (r < 0)
		return r;
	/* Another thread may detach it meanwhile. */
	pthread_mutex_lock(&slot->kabi->lock);
	as = slot->as;
	if (as)
		vmig_kabi_as_ref(as);
	pthread_mutex_unlock(&slot->kabi->lock);
	r = do_reset(slot, as);
	vmig_kabi_as_unref(as);
	return r;
}

static int64_t reset(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	return reset_device(ctx->file->slot);
}

/* --- PCI's own reset: of a bus with one device --------------------------------------------- */

static int64_t hot_reset_info(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	struct vmig_kabi_dev *dev = (struct vmig_kabi_dev *)ctx->file;
	const struct vmig_kabi_slot *slot = ctx->file->slot;
	struct {
		uint32_t argsz, flags, count;
	} info;
	struct vmig_uapi_pci_dependent_device one = { .devfn = 8 };
	int r;

	if (!(slot->info.flags & VMIG_DEVICE_FLAG_PCI))
		return -ENOTTY;
	r = vmig_kabi_get_args(ctx, arg, &info, sizeof(info));
	if (r < 0)
		return r;
	if (!(slot->info.flags & VMIG_DEVICE_FLAG_RESET))
		return -ENODEV;
	one.group_id = dev->group ? ctx->kabi->config.first_group + slot->number : dev->dev_id;
	info.flags =
		dev->group ? 0
			   : VMIG_UAPI_PCI_HOT_RESET_FLAG_DEV_ID | VMIG_UAPI_PCI_HOT_RESET_FLAG_DEV_ID_OWNED;
	info.count = 1;
	r = vmig_kabi_put(ctx, arg, &info, sizeof(info));
	if (r < 0)
		return r;
	if (info.argsz < sizeof(info) + sizeof(one))
		return -ENOSPC;
	return vmig_kabi_put(ctx, arg + sizeof(info), &one, sizeof(one));
}

/** Who resets by groups must have them: here, the one. */
static int check_group(struct vmig_kabi_ctx *ctx, uint64_t addr)
{
	struct vmig_kabi_file *file;
	int32_t fd;
	int r = vmig_kabi_get(ctx, addr, &fd, sizeof(fd));

	if (r < 0)
		return r;
	file = ctx->task->ops->lookup(ctx->task, fd);
	if (!file)
		return -EBADF;
	if (file->kind != VMIG_KABI_GROUP)
		r = -EINVAL;
	else if (file->slot != ctx->file->slot)
		r = -EINVAL;
	vmig_kabi_file_unref(file);
	return r;
}

static int64_t hot_reset(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	struct vmig_kabi_dev *dev = (struct vmig_kabi_dev *)ctx->file;
	struct {
		uint32_t argsz, flags, count;
	} args;
	int r;

	if (!(ctx->file->slot->info.flags & VMIG_DEVICE_FLAG_PCI))
		return -ENOTTY;
	r = vmig_kabi_get_args(ctx, arg, &args, sizeof(args));
	if (r < 0)
		return r;
	if (args.flags || args.count != (dev->group ? 1 : 0) || args.argsz < sizeof(args) + 4 * args.count)
		return -EINVAL;
	if (args.count)
		r = check_group(ctx, arg + sizeof(args));
	return r < 0 ? r : reset_device(ctx->file->slot);
}

const struct vmig_kabi_request vmig_kabi_device_requests[] = {
	{ VMIG_UAPI_DEVICE_GET_INFO, get_info },
	{ VMIG_UAPI_DEVICE_GET_REGION_INFO, vmig_kabi_region_info },
	{ VMIG_UAPI_DEVICE_GET_IRQ_INFO, vmig_kabi_irq_info },
	{ VMIG_UAPI_DEVICE_SET_IRQS, vmig_kabi_set_irqs },
	{ VMIG_UAPI_DEVICE_RESET, reset },
	{ VMIG_UAPI_DEVICE_FEATURE, vmig_kabi_feature },
	{ VMIG_UAPI_DEVICE_BIND_IOMMUFD, bind },
	{ VMIG_UAPI_DEVICE_ATTACH_IOMMUFD_PT, attach },
	{ VMIG_UAPI_DEVICE_DETACH_IOMMUFD_PT, detach },
	{ VMIG_UAPI_DEVICE_GET_PCI_HOT_RESET_INFO, hot_reset_info },
	{ VMIG_UAPI_DEVICE_PCI_HOT_RESET, hot_reset },
	{ 0 },
};
