/* SPDX-License-Identifier: BSD-3-Clause */
/* Groups: which container each is in, and the file of its device. */
#include <fcntl.h>
#include <string.h>

#include "server/kernel_abi.h"

/* --- group and container ------------------------------------------------------------------ */

/** With kabi->lock. Nothing of the group is open. */
static void leave_container(struct vmig_kabi_group *group)
{
	struct vmig_kabi_container *container = group->container;

	if (container->as)
		vmig_kabi_as_leave(container->as, group->file.slot);
	/* Without groups there is no IOMMU, and no mapping. */
	if (!--container->n_groups && container->as) {
		vmig_kabi_as_unref(container->as);
		container->as = NULL;
	}
	group->container = NULL;
}

void vmig_kabi_group_close(struct vmig_kabi_group *group)
{
	struct vmig_kabi_container *container;

	pthread_mutex_lock(&group->file.kabi->lock);
	container = group->container;
	if (container)
		leave_container(group);
	group->file.slot->group = NULL;
	pthread_mutex_unlock(&group->file.kabi->lock);
	if (container)
		vmig_kabi_file_unref(&container->file);
	free(group);
}

static int64_t get_status(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	struct vmig_kabi_group *group = (struct vmig_kabi_group *)ctx->file;
	struct vmig_uapi_group_status status;
	int r = vmig_kabi_get_args(ctx, arg, &status, sizeof(status));

	if (r < 0)
		return r;
	status.flags = VMIG_UAPI_GROUP_FLAGS_VIABLE;
	pthread_mutex_lock(&ctx->kabi->lock);
	if (group->container)
		status.flags |= VMIG_UAPI_GROUP_FLAGS_CONTAINER_SET;
	pthread_mutex_unlock(&ctx->kabi->lock);
	ctx->call.v[0] = status.flags;
	return vmig_kabi_put(ctx, arg, &status, sizeof(status));
}

/** With kabi->lock. */
static int join_container(struct vmig_kabi_group *group, struct vmig_kabi_container *container)
{
	int r = 0;

	if (group->container)
		return -EINVAL;
	if (container->as)
		r = vmig_kabi_as_join(container->as, group->file.slot);
	if (r < 0)
		return r;
	container->n_groups++;
	group->container = container;
	vmig_kabi_file_ref(&container->file);
	return 0;
}

static int64_t set_container(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	struct vmig_kabi_group *group = (struct vmig_kabi_group *)ctx->file;
	struct vmig_kabi_file *file;
	int32_t fd;
	int r = vmig_kabi_get(ctx, arg, &fd, sizeof(fd));

	if (r < 0)
		return r;
	ctx->call.v[0] = (uint64_t)(int64_t)fd;
	if (fd < 0)
		return -EINVAL;
	file = ctx->task->ops->lookup(ctx->task, fd);
	if (!file)
		return -EBADF;
	r = -EINVAL;
	if (file->kind == VMIG_KABI_CONTAINER) {
		pthread_mutex_lock(&ctx->kabi->lock);
		r = join_container(group, (struct vmig_kabi_container *)file);
		pthread_mutex_unlock(&ctx->kabi->lock);
	}
	vmig_kabi_file_unref(file);
	return r;
}

static int64_t unset_container(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	struct vmig_kabi_group *group = (struct vmig_kabi_group *)ctx->file;
	struct vmig_kabi_container *container;
	int r = 0;

	pthread_mutex_lock(&ctx->kabi->lock);
	container = group->container;
	if (!container)
		r = -EINVAL;
	else if (group->file.slot->n_open)
		r = -EBUSY;
	else
		leave_container(group);
	pthread_mutex_unlock(&ctx->kabi->lock);
	if (!r)
		vmig_kabi_file_unref(&container->file);
	return r;
}

/* --- a device's file ---------------------------------------------------------------------- */

#define NAME_MAX_LEN 128u

/** The name that the program asks by, however short the memory behind it is. */
static int get_name(struct vmig_kabi_ctx *ctx, uint64_t addr, char name[NAME_MAX_LEN])
{
	for (uint32_t i = 0; i < NAME_MAX_LEN; i++) {
		int r = vmig_kabi_get(ctx, addr + i, &name[i], 1);

		if (r < 0)
			return r;
		if (!name[i])
			return i ? 0 : -EINVAL;
	}
	return -EINVAL;
}

static int open_device(struct vmig_kabi_group *group, struct vmig_kabi_dev **ret)
{
	if (!group->container || !group->container->as)
		return -EINVAL;
	return vmig_kabi_dev_open(group->file.slot, group, ret);
}

static int64_t get_device_fd(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	struct vmig_kabi_group *group = (struct vmig_kabi_group *)ctx->file;
	const char *own = ctx->file->slot->config.name;
	char name[NAME_MAX_LEN];
	struct vmig_kabi_dev *dev;
	int r = get_name(ctx, arg, name);

	if (r < 0)
		return r;
	if (own && strcmp(own, name))
		return -ENODEV;
	pthread_mutex_lock(&ctx->kabi->lock);
	r = open_device(group, &dev);
	pthread_mutex_unlock(&ctx->kabi->lock);
	if (r < 0)
		return r;
	r = ctx->task->ops->install(ctx->task, &dev->file, O_CLOEXEC);
	if (r < 0)
		vmig_kabi_file_unref(&dev->file);
	return r;
}

const struct vmig_kabi_request vmig_kabi_group_requests[] = {
	{ VMIG_UAPI_GROUP_GET_STATUS, get_status },
	{ VMIG_UAPI_GROUP_SET_CONTAINER, set_container },
	{ VMIG_UAPI_GROUP_UNSET_CONTAINER, unset_container },
	{ VMIG_UAPI_GROUP_GET_DEVICE_FD, get_device_fd },
	{ 0 },
};
