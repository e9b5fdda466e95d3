/* SPDX-License-Identifier: BSD-3-Clause */
/* Interrupts: their description, and the eventfds of the program. */
#include <string.h>

#include "server/kernel_abi.h"

int64_t vmig_kabi_irq_info(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	struct vmig_kabi_slot *slot = ctx->file->slot;
	struct vmig_uapi_irq_info info;
	struct vmig_irq irq;
	int r = vmig_kabi_get_args(ctx, arg, &info, sizeof(info));

	if (r < 0)
		return r;
	ctx->call.v[0] = info.index;
	if (info.index >= slot->info.n_irqs)
		return -EINVAL;
	r = vmig_device_query_irq(slot->dev, info.index, &irq);
	if (r < 0)
		return r;
	info.flags = irq.flags;
	info.count = irq.count;
	ctx->call.v[1] = info.count;
	ctx->call.v[2] = info.flags;
	return vmig_kabi_put(ctx, arg, &info, sizeof(info));
}

/* --- what is armed ------------------------------------------------------------------------ */

static void count_armed(struct vmig_kabi_slot *slot)
{
	if (slot->config.status)
		__atomic_store_n(&slot->config.status->n_interrupts,
				 vmig_kabi_count_bits(&slot->armed[0][0], sizeof(slot->armed) / 8),
				 __ATOMIC_RELAXED);
}

static void note_armed(struct vmig_kabi_slot *slot, const struct vmig_irq_set *set)
{
	if (!(set->flags & VMIG_IRQ_ACTION_TRIGGER) || set->index >= VMIG_LIMIT_IRQ_INDICES)
		return;
	pthread_mutex_lock(&slot->lock);
	if (!set->count)
		memset(slot->armed[set->index], 0, sizeof(slot->armed[0]));
	for (uint32_t i = 0; (set->flags & VMIG_IRQ_DATA_EVENTFD) && i < set->count; i++) {
		uint32_t n = set->start + i;
		uint64_t bit = 1ull << (n % 64);

		if (n >= VMIG_LIMIT_IRQS)
			break;
		if (set->fds[i] >= 0)
			slot->armed[set->index][n / 64] |= bit;
		else
			slot->armed[set->index][n / 64] &= ~bit;
	}
	count_armed(slot);
	pthread_mutex_unlock(&slot->lock);
}

void vmig_kabi_irqs_forget(struct vmig_kabi_slot *slot)
{
	pthread_mutex_lock(&slot->lock);
	memset(slot->armed, 0, sizeof(slot->armed));
	count_armed(slot);
	pthread_mutex_unlock(&slot->lock);
}

void vmig_kabi_irqs_disarm(struct vmig_kabi_slot *slot)
{
	for (uint32_t i = 0; i < slot->info.n_irqs; i++) {
		const struct vmig_irq_set none = { .flags = VMIG_IRQ_DATA_NONE | VMIG_IRQ_ACTION_TRIGGER,
						   .index = i };
		struct vmig_irq irq;

		if (!vmig_device_query_irq(slot->dev, i, &irq) && irq.count)
			(void)vmig_device_set_irqs(slot->dev, &none);
	}
	vmig_kabi_irqs_forget(slot);
}

/* --- SET_IRQS ----------------------------------------------------------------------------- */

static uint32_t width_of(uint32_t data)
{
	switch (data) {
	case VMIG_UAPI_IRQ_SET_DATA_BOOL:
		return 1;
	case VMIG_UAPI_IRQ_SET_DATA_EVENTFD:
		return 4;
	}
	return 0;
}

static int check(const struct vmig_kabi_slot *slot, const struct vmig_uapi_irq_set *args)
{
	const uint32_t all = VMIG_UAPI_IRQ_SET_DATA_TYPE_MASK | VMIG_UAPI_IRQ_SET_ACTION_TYPE_MASK;
	uint32_t data = args->flags & VMIG_UAPI_IRQ_SET_DATA_TYPE_MASK, width = width_of(data);
	struct vmig_irq irq;

	if (args->index >= slot->info.n_irqs || (args->flags & ~all) || !is_pow2(data) ||
	    !is_pow2(args->flags & VMIG_UAPI_IRQ_SET_ACTION_TYPE_MASK))
		return -EINVAL;
	if (vmig_device_query_irq(slot->dev, args->index, &irq) < 0 || args->start >= irq.count ||
	    args->count > irq.count - args->start || args->count > VMIG_LIMIT_IRQS)
		return -EINVAL;
	/* Only "nothing at all" disables. */
	if (width ? !args->count || args->argsz - sizeof(*args) < (uint64_t)args->count * width
		  : !args->count && !(args->flags & VMIG_UAPI_IRQ_SET_ACTION_TRIGGER))
		return -EINVAL;
	return 0;
}

static void close_fds(int *fds, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		vmig_closep(&fds[i]);
}

/** Our own descriptors for the program's: all of them, or none. -1 stays -1. */
static int take_fds(struct vmig_kabi_ctx *ctx, int *fds, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		int fd = fds[i];

		if (fd == -1)
			continue;
		fd = fd < 0 ? -EBADF : ctx->task->ops->take_fd(ctx->task, fd);
		if (fd < 0) {
			close_fds(fds, i);
			return fd;
		}
		fds[i] = fd;
	}
	return 0;
}

static int set_locked(struct vmig_kabi_ctx *ctx, const struct vmig_irq_set *set)
{
	struct vmig_kabi_slot *slot = ctx->file->slot;
	int r = vmig_device_set_irqs(slot->dev, set);

	if (!r)
		note_armed(slot, set);
	return r;
}

int64_t vmig_kabi_set_irqs(struct vmig_kabi_ctx *ctx, uint64_t arg)
{
	struct vmig_uapi_irq_set args;
	struct vmig_irq_set set;
	_autofree_ void *data = NULL;
	uint32_t width;
	int r = vmig_kabi_get_args(ctx, arg, &args, sizeof(args));

	if (r < 0)
		return r;
	ctx->call.v[0] = args.flags;
	ctx->call.v[1] = args.index;
	ctx->call.v[2] = args.start;
	ctx->call.v[3] = args.count;
	r = check(ctx->file->slot, &args);
	if (r < 0)
		return r;
	set = (struct vmig_irq_set){
		.flags = args.flags, .index = args.index, .start = args.start, .count = args.count
	};
	width = width_of(args.flags & VMIG_UAPI_IRQ_SET_DATA_TYPE_MASK);
	if (!width)
		return set_locked(ctx, &set);
	data = malloc((size_t)args.count * width);
	if (!data)
		return -ENOMEM;
	r = vmig_kabi_get(ctx, arg + sizeof(args), data, (size_t)args.count * width);
	if (r < 0)
		return r;
	if (width == 1) {
		set.bools = data;
		return set_locked(ctx, &set);
	}
	r = take_fds(ctx, data, args.count);
	if (r < 0)
		return r;
	set.fds = data;
	r = set_locked(ctx, &set);
	close_fds(data, args.count);
	return r;
}
