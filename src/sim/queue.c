/* SPDX-License-Identifier: BSD-3-Clause */
#include "sim/queue.h"

#include "base/util.h"

static bool before(const struct vmig_sim_event *a, const struct vmig_sim_event *b)
{
	return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

int vmig_sim_queue_put(struct vmig_sim_queue *q, const struct vmig_sim_event *event)
{
	struct vmig_sim_event e = *event;
	size_t i = q->used;

	if (q->used == q->room) {
		size_t room = q->room ? 2 * q->room : 256;
		struct vmig_sim_event *events = realloc(q->events, room * sizeof(*events));

		if (!events)
			return -ENOMEM;
		q->events = events;
		q->room = room;
	}
	e.order = q->made++;
	q->used++;
	for (; i && before(&e, &q->events[(i - 1) / 2]); i = (i - 1) / 2)
		q->events[i] = q->events[(i - 1) / 2];
	q->events[i] = e;
	return 0;
}

bool vmig_sim_queue_take(struct vmig_sim_queue *q, struct vmig_sim_event *ret)
{
	struct vmig_sim_event last;
	size_t i = 0;

	if (!q->used)
		return false;
	*ret = q->events[0];
	last = q->events[--q->used];
	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= q->used)
			break;
		if (child + 1 < q->used && before(&q->events[child + 1], &q->events[child]))
			child++;
		if (!before(&q->events[child], &last))
			break;
		q->events[i] = q->events[child];
		i = child;
	}
	q->events[i] = last;
	return true;
}

void vmig_sim_queue_done(struct vmig_sim_queue *q)
{
	free(q->events);
	*q = (struct vmig_sim_queue){ 0 };
}
