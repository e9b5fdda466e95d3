/* SPDX-License-Identifier: BSD-3-Clause */
/** irq_watch - a thread that waits for the eventfds by which a user masks and unmasks. */
#ifndef VMIG_DEVICE_IRQ_WATCH_H
#define VMIG_DEVICE_IRQ_WATCH_H

#include <stdint.h>

#include "base/util.h"

struct vmig_irq_watch;

/** @seen is called in the watch's thread, without any lock, with the key of an eventfd that was signalled. */
MUST_USE int vmig_irq_watch_new(void (*seen)(void *opaque, uint64_t key), void *opaque,
				struct vmig_irq_watch **ret);
/** Ends the thread: no call of @seen afterwards. NULL is allowed. */
void vmig_irq_watch_free(struct vmig_irq_watch *watch);

MUST_USE int vmig_irq_watch_add(struct vmig_irq_watch *watch, int fd, uint64_t key);
/** A call of @seen for it may still be under way. */
void vmig_irq_watch_remove(struct vmig_irq_watch *watch, int fd);

/** Take the signal out of an eventfd. False: there is none. Never blocks, whatever its flags. */
bool vmig_eventfd_take(int fd);
bool vmig_is_eventfd(int fd);

#endif
