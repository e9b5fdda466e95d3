/* SPDX-License-Identifier: BSD-3-Clause */
/* Looking at a device for a plan: a pre-copy that leads nowhere. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "plan.h"

#define PIECE      (1u << 20)
#define MEASURE_NS 500000000u
/* Who changes faster than it can be read would be read for ever. */
#define READ_NS 5000000000u

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void wait_ns(uint64_t ns)
{
	struct timespec t = { .tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u) };

	nanosleep(&t, NULL);
}

/* All that there is now. How much, or a negative errno. */
static int64_t drain(struct vmig_session *session, void *buf)
{
	uint64_t until = now_ns() + READ_NS;
	int64_t all = 0;
	ssize_t r = 1;

	while (r > 0 && now_ns() < until) {
		struct iovec iov = { buf, PIECE };

		r = vmig_session_readv(session, &iov, 1);
		all += r > 0 ? r : 0;
	}
	return r < 0 && r != -ENOMSG ? r : all;
}

static int measure(struct vmig_session *session, void *buf, struct vmig_plan_device *ret)
{
	int64_t read = drain(session, buf), again;
	uint64_t began = now_ns();
	struct vmig_precopy sizes;

	if (read < 0)
		return (int)read;
	ret->initial_bytes = ret->initial_bytes > (uint64_t)read ? ret->initial_bytes : (uint64_t)read;
	wait_ns(MEASURE_NS);
	/* By this some begin a new round. */
	if (vmig_session_query_precopy(session, &sizes))
		sizes = (struct vmig_precopy){ 0 };
	again = drain(session, buf);
	if (again < 0)
		return (int)again;
	ret->dirty_rate = (uint64_t)((double)again * 1e9 / (double)(now_ns() - began));
	return 0;
}

static int run_a_little(struct vmig_device *dev, struct vmig_plan_device *ret)
{
	struct vmig_session *session = NULL;
	void *buf = malloc(PIECE);
	int r = buf ? 0 : -ENOMEM, back;

	if (!r)
		r = vmig_device_set_state(dev, VMIG_STATE_PRE_COPY, VMIG_STATE_RUNNING, &session);
	if (!r) {
		r = measure(session, buf, ret);
		back = vmig_device_set_state(dev, VMIG_STATE_RUNNING, VMIG_STATE_NONE, NULL);
		r = r ? r : back;
	}
	vmig_session_close(session);
	free(buf);
	return r;
}

static int look(struct vmig_device *dev, const char *spec, const struct tool_options *o,
		struct vmig_plan_device *ret)
{
	struct vmig_device_info info;
	uint32_t state;
	int r = vmig_device_query_state(dev, &state);

	vmig_device_query_info(dev, &info);
	if (r || !(info.migration_flags & VMIG_MIGRATION_STOP_COPY))
		return tool_fail(VMIG_NOT_DONE, "%s: cannot be migrated: it has no migration", spec);
	if (state != VMIG_STATE_RUNNING)
		return tool_fail(VMIG_NOT_DONE, "%s: is in %s: 'vmig plan' looks at devices that run", spec,
				 vmig_state_name(state) ? vmig_state_name(state) : "an unknown state");
	*ret = (struct vmig_plan_device){ .migration_flags = info.migration_flags };
	if (vmig_device_query_stop_copy_size(dev, &ret->initial_bytes))
		ret->initial_bytes = 0;
	if ((info.migration_flags & VMIG_MIGRATION_PRE_COPY) && !o->plan.dirty_rate && !o->no_precopy)
		r = run_a_little(dev, ret);
	if (r)
		return tool_device_fail(VMIG_NOT_DONE, spec, dev, r, "cannot be looked at");
	if (!ret->initial_bytes && !o->plan.state)
		return tool_fail(VMIG_NOT_DONE, "%s: does not say how large its state is: --state does",
				 spec);
	return 0;
}

int tool_plan_look(const char *spec, const struct tool_options *o, struct vmig_plan_device *ret)
{
	struct vmig_device *dev = NULL;
	int r = tool_device_open(spec, o->timeout_ns, &dev);

	if (!r)
		r = look(dev, spec, o, ret);
	vmig_device_close(dev);
	return r;
}
