/* SPDX-License-Identifier: BSD-3-Clause */
/** queue - what happens when: events in the order of their time, and of their making where that is the same. */
#ifndef VMIG_SIM_QUEUE_H
#define VMIG_SIM_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vmig_sim_event {
	uint64_t at_ns, order;
	uint32_t kind, a, b; /* the simulator's */
	uint32_t life;       /* of what it is about: an event for an earlier one is void */
};

struct vmig_sim_queue {
	struct vmig_sim_event *events; /* a heap */
	size_t used, room;
	uint64_t made;
};

/** -ENOMEM. */
int vmig_sim_queue_put(struct vmig_sim_queue *q, const struct vmig_sim_event *event);
bool vmig_sim_queue_take(struct vmig_sim_queue *q, struct vmig_sim_event *ret);
void vmig_sim_queue_done(struct vmig_sim_queue *q);

#endif
