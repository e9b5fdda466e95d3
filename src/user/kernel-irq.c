/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "user/kernel.h"

int vmig_kernel_query_irq(void *p, uint32_t index, struct vmig_irq *ret, struct vmig_error *error)
{
	struct vmig_kernel *k = p;
	struct vmig_uapi_irq_info info = { .argsz = sizeof(info), .index = index };

	*ret = (struct vmig_irq){ .index = index };
	if (ioctl(k->device, VMIG_UAPI_DEVICE_GET_IRQ_INFO, &info) < 0)
		return errno == EINVAL
			       ? 0 /* this device has none of the kind */
			       : vmig_fault(error, -errno, "VFIO_DEVICE_GET_IRQ_INFO",
					    "the kernel does not describe interrupts of kind %u", index);
	ret->flags = info.flags;
	ret->count = info.count;
	return 0;
}

static size_t entry_size(const struct vmig_irq_set *set)
{
	if (set->flags & VMIG_IRQ_DATA_EVENTFD)
		return sizeof(int32_t);
	return set->flags & VMIG_IRQ_DATA_BOOL ? 1 : 0;
}

int vmig_kernel_set_irqs(void *p, const struct vmig_irq_set *set, struct vmig_error *error)
{
	struct vmig_kernel *k = p;
	size_t entry = entry_size(set), size = sizeof(struct vmig_uapi_irq_set) + entry * set->count;
	_autofree_ struct vmig_uapi_irq_set *raw = NULL;

	if (set->count > VMIG_LIMIT_IRQS)
		return vmig_fault(error, -E2BIG, "VFIO_DEVICE_SET_IRQS", "%u interrupts at once; at most %u",
				  set->count, VMIG_LIMIT_IRQS);
	raw = calloc(1, size);
	if (!raw)
		return -ENOMEM;
	*raw = (struct vmig_uapi_irq_set){ .argsz = (uint32_t)size,
					   .flags = set->flags,
					   .index = set->index,
					   .start = set->start,
					   .count = set->count };
	if (entry && set->count)
		memcpy(raw + 1, entry == 1 ? (const void *)set->bools : (const void *)set->fds,
		       entry * set->count);
	if (ioctl(k->device, VMIG_UAPI_DEVICE_SET_IRQS, raw) < 0)
		return vmig_fault(error, -errno, "VFIO_DEVICE_SET_IRQS",
				  "interrupts %u to %u of kind %u are not set", set->start,
				  set->start + set->count, set->index);
	if (set->flags & VMIG_IRQ_DATA_EVENTFD)
		atomic_fetch_or(&k->armed, 1u << set->index);
	return 0;
}

void vmig_kernel_disarm(struct vmig_kernel *k)
{
	unsigned int armed = atomic_exchange(&k->armed, 0);

	for (uint32_t i = 0; i < k->info.n_irqs; i++) {
		const struct vmig_irq_set none = { .flags = VMIG_IRQ_DATA_NONE | VMIG_IRQ_ACTION_TRIGGER,
						   .index = i };

		/* Drivers refuse it for kinds that need no disarming; nothing is lost then. */
		if (armed & 1u << i)
			(void)!vmig_kernel_set_irqs(k, &none, NULL);
	}
}
