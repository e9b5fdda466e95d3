/* SPDX-License-Identifier: BSD-3-Clause */
/* The /dev/vfio of one program: what there is to open, the life of its files, and where each call goes. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "server/kernel_abi.h"

#define FIRST_GROUP 90u

/* --- birth and end ------------------------------------------------------------------------ */

/** A region that cannot be asked for is not there. A device of v1 is known by its region's type. */
static void query_regions(struct vmig_kabi_slot *slot)
{
	slot->v1_region = VMIG_KABI_NONE;
	for (uint32_t i = 0; i < MIN(slot->info.n_regions, VMIG_LIMIT_REGIONS); i++) {
		struct vmig_region region;

		if (vmig_device_query_region(slot->dev, i, &region) < 0)
			continue;
		slot->regions[i].flags = region.flags;
		slot->regions[i].size = region.size;
		if (slot->v1_region == VMIG_KABI_NONE && region.size &&
		    region.cap_type == VMIG_UAPI_REGION_TYPE_MIGRATION_DEPRECATED &&
		    region.cap_subtype == VMIG_UAPI_REGION_SUBTYPE_MIGRATION_DEPRECATED)
			slot->v1_region = i;
	}
}

static void init_slot(struct vmig_kabi_slot *slot, struct vmig_kabi *kabi, uint16_t number,
		      const struct vmig_kabi_device *config)
{
	slot->kabi = kabi;
	slot->number = number;
	slot->config = *config;
	slot->dev = config->dev;
	vmig_device_query_info(slot->dev, &slot->info);
	query_regions(slot);
	slot->v1_state = VMIG_UAPI_DEVICE_STATE_V1_RUNNING;
	pthread_mutex_init(&slot->turnstile, NULL);
	pthread_mutex_init(&slot->flow, NULL);
	pthread_mutex_init(&slot->lock, NULL);
	if (config->status)
		memcpy(config->status->name, slot->info.name, sizeof(config->status->name));
	vmig_kabi_note_state(slot, VMIG_STATE_NONE, 0);
}

int vmig_kabi_new(const struct vmig_kabi_config *config, struct vmig_kabi **ret)
{
	struct vmig_kabi *kabi;

	if (!config->n_devices || config->n_devices > VMIG_LIMIT_DEVICES || !config->devices)
		return -EINVAL;
	for (uint32_t i = 0; i < config->n_devices; i++)
		if (!config->devices[i].dev)
			return -EINVAL;
	kabi = calloc(1, sizeof(*kabi));
	if (!kabi)
		return -ENOMEM;
	kabi->slots = calloc(config->n_devices, sizeof(*kabi->slots));
	if (!kabi->slots) {
		free(kabi);
		return -ENOMEM;
	}
	kabi->config = *config;
	kabi->config.devices = NULL;
	if (!kabi->config.first_group)
		kabi->config.first_group = FIRST_GROUP;
	pthread_mutex_init(&kabi->lock, NULL);
	for (uint32_t i = 0; i < config->n_devices; i++)
		init_slot(&kabi->slots[i], kabi, (uint16_t)i, &config->devices[i]);
	*ret = kabi;
	return 0;
}

void vmig_kabi_free(struct vmig_kabi *kabi)
{
	if (!kabi)
		return;
	for (uint32_t i = 0; i < kabi->config.n_devices; i++) {
		free(kabi->slots[i].log_ranges);
		pthread_mutex_destroy(&kabi->slots[i].lock);
		pthread_mutex_destroy(&kabi->slots[i].flow);
		pthread_mutex_destroy(&kabi->slots[i].turnstile);
	}
	pthread_mutex_destroy(&kabi->lock);
	free(kabi->slots);
	free(kabi);
}

/* --- files -------------------------------------------------------------------------------- */

void vmig_kabi_file_init(struct vmig_kabi_file *file, struct vmig_kabi *kabi, enum vmig_kabi_kind kind,
			 struct vmig_kabi_slot *slot)
{
	file->kabi = kabi;
	file->kind = kind;
	file->slot = slot;
	atomic_init(&file->refs, 1);
}

void vmig_kabi_file_ref(struct vmig_kabi_file *file)
{
	atomic_fetch_add(&file->refs, 1);
}

static void trace(struct vmig_kabi_ctx *ctx, uint64_t start_ns, int64_t result)
{
	const struct vmig_kabi_config *config = &ctx->kabi->config;

	if (!config->trace)
		return;
	ctx->call.time_ns = start_ns;
	ctx->call.took_ns = vmig_now_ns() - start_ns;
	ctx->call.result = result;
	config->trace(config->opaque, &ctx->call);
}

/* One store for each field: a compiler clears the whole of it by "rep stos", which is dear for an access of 8 bytes. */
static void begin(struct vmig_kabi_ctx *ctx, struct vmig_kabi *kabi, struct vmig_kabi_file *file,
		  struct vmig_kabi_task *task, enum vmig_kabi_op op)
{
	struct vmig_kabi_call *call = &ctx->call;

	ctx->kabi = kabi;
	ctx->file = file;
	ctx->task = task;
	call->pid = task ? task->pid : 0;
	call->tid = task ? task->tid : 0;
	call->kind = file ? (uint8_t)file->kind : 0;
	call->op = (uint8_t)op;
	call->device = file && file->slot ? file->slot->number : UINT16_MAX;
	call->request = 0;
	call->offset = call->len = 0;
	call->v[0] = call->v[1] = call->v[2] = call->v[3] = 0;
}

void vmig_kabi_file_unref(struct vmig_kabi_file *file)
{
	struct vmig_kabi_ctx ctx;
	uint64_t now;

	if (atomic_fetch_sub(&file->refs, 1) > 1)
		return;
	begin(&ctx, file->kabi, file, NULL, VMIG_KABI_CLOSE);
	ctx.call.v[0] = file->gone;
	now = vmig_now_ns();
	switch (file->kind) {
	case VMIG_KABI_CONTAINER:
		vmig_kabi_container_close((struct vmig_kabi_container *)file);
		break;
	case VMIG_KABI_GROUP:
		vmig_kabi_group_close((struct vmig_kabi_group *)file);
		break;
	case VMIG_KABI_DEVICE:
		vmig_kabi_dev_close((struct vmig_kabi_dev *)file);
		break;
	case VMIG_KABI_IOMMUFD:
		vmig_kabi_iommufd_close((struct vmig_kabi_iommufd *)file);
		break;
	case VMIG_KABI_DATA:
		ctx.call.v[2] = ((struct vmig_kabi_data *)file)->number;
		vmig_kabi_data_close((struct vmig_kabi_data *)file);
		break;
	}
	trace(&ctx, now, 0);
}

enum vmig_kabi_kind vmig_kabi_file_kind(const struct vmig_kabi_file *file)
{
	return file->kind;
}

int vmig_kabi_file_backing(const struct vmig_kabi_file *file)
{
	return file->kind == VMIG_KABI_DEVICE ? vmig_kabi_region_backing(file->slot) : -1;
}

/* --- open ---------------------------------------------------------------------------------- */

int vmig_kabi_open(struct vmig_kabi *kabi, struct vmig_kabi_task *task, const char *path, int flags,
		   struct vmig_kabi_file **ret)
{
	uint64_t now = vmig_now_ns();
	struct vmig_kabi_ctx ctx;
	int r = vmig_kabi_open_path(kabi, path, ret);

	if (r == -ENOENT)
		return r;
	begin(&ctx, kabi, r < 0 ? NULL : *ret, task, VMIG_KABI_OPEN);
	if (r < 0)
		ctx.call.kind = strncmp(path, "/dev/vfio/devices/", 18) ? VMIG_KABI_GROUP : VMIG_KABI_DEVICE;
	ctx.call.offset = (uint64_t)(unsigned int)flags;
	trace(&ctx, now, r);
	return r;
}

/* --- the program's memory ----------------------------------------------------------------- */

int vmig_kabi_get(struct vmig_kabi_ctx *ctx, uint64_t addr, void *buf, size_t len)
{
	if (!len)
		return 0;
	if (!addr || !add_fits(addr, len))
		return -EFAULT;
	return ctx->task->ops->read(ctx->task, addr, buf, len) < 0 ? -EFAULT : 0;
}

int vmig_kabi_put(struct vmig_kabi_ctx *ctx, uint64_t addr, const void *buf, size_t len)
{
	if (!len)
		return 0;
	if (!addr || !add_fits(addr, len))
		return -EFAULT;
	return ctx->task->ops->write(ctx->task, addr, buf, len) < 0 ? -EFAULT : 0;
}

int vmig_kabi_get_args(struct vmig_kabi_ctx *ctx, uint64_t addr, void *buf, size_t min)
{
	uint32_t argsz;
	int r = vmig_kabi_get(ctx, addr, buf, min);

	if (r < 0)
		return r;
	memcpy(&argsz, buf, sizeof(argsz));
	return argsz < min ? -EINVAL : 0;
}

/* --- calls -------------------------------------------------------------------------------- */

int64_t vmig_kabi_dispatch(const struct vmig_kabi_request *requests, struct vmig_kabi_ctx *ctx,
			   uint32_t request, uint64_t arg)
{
	for (; requests->fn; requests++)
		if (requests->request == request)
			return requests->fn(ctx, arg);
	return -ENOTTY;
}

/* A device that is not bound yet answers BIND only. */
static int64_t device_ioctl(struct vmig_kabi_ctx *ctx, uint32_t request, uint64_t arg)
{
	struct vmig_kabi_dev *dev = (struct vmig_kabi_dev *)ctx->file;

	if (!atomic_load(&dev->ready) && request != VMIG_UAPI_DEVICE_BIND_IOMMUFD)
		return -EINVAL;
	return vmig_kabi_dispatch(vmig_kabi_device_requests, ctx, request, arg);
}

static int64_t do_ioctl(struct vmig_kabi_ctx *ctx, uint32_t request, uint64_t arg)
{
	switch (ctx->file->kind) {
	case VMIG_KABI_CONTAINER:
		return vmig_kabi_dispatch(vmig_kabi_container_requests, ctx, request, arg);
	case VMIG_KABI_GROUP:
		return vmig_kabi_dispatch(vmig_kabi_group_requests, ctx, request, arg);
	case VMIG_KABI_DEVICE:
		return device_ioctl(ctx, request, arg);
	case VMIG_KABI_IOMMUFD:
		return vmig_kabi_dispatch(vmig_kabi_iommufd_requests, ctx, request, arg);
	case VMIG_KABI_DATA:
		return vmig_kabi_dispatch(vmig_kabi_data_requests, ctx, request, arg);
	}
	return -ENOTTY;
}

int64_t vmig_kabi_ioctl(struct vmig_kabi_file *file, struct vmig_kabi_task *task, uint32_t request,
			uint64_t arg)
{
	struct vmig_kabi_ctx ctx;
	uint64_t now = vmig_now_ns();
	int64_t r;

	begin(&ctx, file->kabi, file, task, VMIG_KABI_IOCTL);
	ctx.call.request = request;
	r = do_ioctl(&ctx, request, arg);
	trace(&ctx, now, r);
	return r;
}

/** read() and pread(), write() and pwrite(): of what has bytes. */
static int64_t transfer(struct vmig_kabi_ctx *ctx, uint64_t addr, uint64_t len, int64_t offset, bool is_write)
{
	struct vmig_kabi_dev *dev = (struct vmig_kabi_dev *)ctx->file;
	int64_t r;

	if (ctx->file->kind == VMIG_KABI_DATA) {
		if (offset != -1)
			return -ESPIPE;
		return is_write ? vmig_kabi_data_write(ctx, addr, len) : vmig_kabi_data_read(ctx, addr, len);
	}
	if (ctx->file->kind != VMIG_KABI_DEVICE || !atomic_load(&dev->ready) || offset < -1)
		return -EINVAL;
	if (offset != -1)
		return vmig_kabi_region_rw(ctx, addr, len, (uint64_t)offset, is_write);
	ctx->call.offset = atomic_load(&dev->pos);
	r = vmig_kabi_region_rw(ctx, addr, len, ctx->call.offset, is_write);
	if (r > 0)
		atomic_fetch_add(&dev->pos, (uint64_t)r);
	return r;
}

/* As the kernel does: no single transfer is larger. */
#define TRANSFER_MAX 0x7ffff000u

/** Of a data section of v1 there are millions of accesses, which tell nothing but their number. */
static bool is_traced(const struct vmig_kabi_file *file, int64_t offset)
{
	const uint32_t *all = file->kabi->config.trace_all;

	return !all || offset < 0 || file->kind != VMIG_KABI_DEVICE ||
	       !vmig_kabi_in_v1_section(file->slot, (uint64_t)offset) ||
	       __atomic_load_n(all, __ATOMIC_RELAXED);
}

static int64_t traced_transfer(struct vmig_kabi_file *file, struct vmig_kabi_task *task, uint64_t addr,
			       uint64_t len, int64_t offset, enum vmig_kabi_op op)
{
	struct vmig_kabi_ctx ctx;
	bool traced = is_traced(file, offset);
	uint64_t now = traced ? vmig_now_ns() : 0;
	int64_t r;

	begin(&ctx, file->kabi, file, task, op);
	ctx.call.offset = offset == -1 ? 0 : (uint64_t)offset;
	ctx.call.len = len;
	r = transfer(&ctx, addr, MIN(len, TRANSFER_MAX), offset, op == VMIG_KABI_WRITE);
	if (traced)
		trace(&ctx, now, r);
	return r;
}

int64_t vmig_kabi_read(struct vmig_kabi_file *file, struct vmig_kabi_task *task, uint64_t addr, uint64_t len,
		       int64_t offset)
{
	return traced_transfer(file, task, addr, len, offset, VMIG_KABI_READ);
}

int64_t vmig_kabi_write(struct vmig_kabi_file *file, struct vmig_kabi_task *task, uint64_t addr, uint64_t len,
			int64_t offset)
{
	return traced_transfer(file, task, addr, len, offset, VMIG_KABI_WRITE);
}

int vmig_kabi_mmap(struct vmig_kabi_file *file, struct vmig_kabi_task *task, uint64_t offset, uint64_t len,
		   int prot, int *ret_fd, uint64_t *ret_offset)
{
	struct vmig_kabi_ctx ctx;
	uint64_t now = vmig_now_ns();
	int r = -ENODEV;

	begin(&ctx, file->kabi, file, task, VMIG_KABI_MMAP);
	ctx.call.offset = offset;
	ctx.call.len = len;
	ctx.call.v[0] = (uint64_t)(unsigned int)prot;
	if (file->kind == VMIG_KABI_DEVICE)
		r = atomic_load(&((struct vmig_kabi_dev *)file)->ready)
			    ? vmig_kabi_region_mmap(&ctx, offset, len, prot, ret_fd, ret_offset)
			    : -EINVAL;
	trace(&ctx, now, r);
	return r;
}
