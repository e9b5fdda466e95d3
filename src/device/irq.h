/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * irq - the interrupts of a device: who is signalled, what is masked, what is pending.
 *
 * An edge (MSI, MSI-X, ...) that comes while masked is pending and is signalled once when unmasked.
 * A level (VFIO_IRQ_INFO_AUTOMASKED: INTx) is a line that stays up until it is lowered: a signal
 * masks it, an unmask with the line still up signals again. The line is remembered while nobody listens,
 * as a wire would; an edge to nobody is lost.
 */
#ifndef VMIG_DEVICE_IRQ_H
#define VMIG_DEVICE_IRQ_H

#include <pthread.h>

#include <vmig/device.h>

#include "base/fault.h"
#include "base/util.h"

struct vmig_irq_line;
struct vmig_irq_watch;

struct vmig_irqs {
	pthread_mutex_t lock;
	uint32_t n;
	struct vmig_irq *info;        /* of each index */
	struct vmig_irq_line **lines; /* of each index, info.count of them */
	struct vmig_irq_watch *watch; /* made when the first eventfd is to mask or unmask */
};

/** Copies @info. -ENOMEM. */
int vmig_irqs_init(struct vmig_irqs *irqs, const struct vmig_irq *info, uint32_t n);
void vmig_irqs_done(struct vmig_irqs *irqs);

/** As vmig_device_set_irqs(); the handle has checked the form. All of it is done or, with an error, nothing. */
int vmig_irqs_set(struct vmig_irqs *irqs, const struct vmig_irq_set *set, struct vmig_error *error);
/** As after power-on: nobody listens, nothing is masked or pending, lines are down. */
void vmig_irqs_reset(struct vmig_irqs *irqs);

void vmig_irqs_raise(struct vmig_irqs *irqs, uint32_t index, uint32_t sub);
void vmig_irqs_lower(struct vmig_irqs *irqs, uint32_t index, uint32_t sub);

#endif
