/* SPDX-License-Identifier: BSD-3-Clause */
/* What a device is asked for, and what comes of it, as the report has it. The caller of check_run() sees it at once. */
#include <errno.h>
#include <time.h>

#include "context.h"

uint64_t check_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* The first ones and the last. */
static struct check_arc *place(struct check_result *result, uint32_t n)
{
	return &result->arcs[n < CHECK_ARCS_MAX ? n : CHECK_ARCS_MAX - 1];
}

struct check_arc *check_arc_begin(struct check_context *c, uint32_t to)
{
	struct check_arc *arc = place(c->result, c->result->n_asked);

	*arc = (struct check_arc){ .from = c->at,
				   .to = to,
				   .then = VMIG_STATE_NONE,
				   .came = CHECK_CAME_NOT,
				   .at_ns = check_now_ns() - c->begun_ns };
	if (c->result->n_asked < UINT32_MAX)
		c->result->n_asked++;
	return arc;
}

static enum check_came came(const struct check_arc *arc, enum check_want want)
{
	if (arc->error)
		return want == CHECK_WANT_SUCCESS ? CHECK_CAME_WRONG : CHECK_CAME_REFUSED;
	return want != CHECK_WANT_ERROR && arc->then == arc->to ? CHECK_CAME_OK : CHECK_CAME_WRONG;
}

void check_arc_back(const struct check_context *c, struct check_arc *arc)
{
	arc->ns = check_now_ns() - c->begun_ns - arc->at_ns;
}

void check_arc_end(struct check_context *c, struct check_arc *arc, enum check_want want, int r, uint32_t then)
{
	if (!arc->ns)
		check_arc_back(c, arc);
	arc->error = r < 0 ? r : 0;
	arc->then = then;
	arc->came = came(arc, want);
	*(arc->second ? &c->second_at : &c->at) = then;
}

static struct check_arc *begin_of(struct check_context *c, const struct vmig_device *dev, uint32_t to)
{
	struct check_arc *arc = check_arc_begin(c, to);

	arc->second = dev == c->second;
	if (arc->second)
		arc->from = c->second_at;
	return arc;
}

static void end_of(struct check_context *c, struct vmig_device *dev, struct check_arc *arc,
		   enum check_want want, int r)
{
	uint32_t then;

	check_arc_back(c, arc);
	if (vmig_device_query_state(dev, &then))
		then = VMIG_STATE_NONE;
	check_arc_end(c, arc, want, r, then);
}

int check_ask(struct check_context *c, struct vmig_device *dev, uint32_t state, enum check_want want,
	      struct vmig_session **ret)
{
	struct check_arc *arc = begin_of(c, dev, state);
	int r = vmig_device_set_state(dev, state, VMIG_STATE_NONE, ret);

	end_of(c, dev, arc, want, r);
	return r;
}

int check_reset(struct check_context *c, struct vmig_device *dev)
{
	struct check_arc *arc = begin_of(c, dev, VMIG_STATE_RUNNING);
	int r;

	arc->reset = true;
	r = vmig_device_reset(dev);
	end_of(c, dev, arc, CHECK_WANT_SUCCESS, r);
	return r;
}

void check_was_wrong(struct check_context *c, enum check_came if_came)
{
	struct check_arc *last;

	if (!c->result->n_asked)
		return;
	last = place(c->result, c->result->n_asked - 1);
	if (last->came == if_came)
		last->came = CHECK_CAME_WRONG;
}
