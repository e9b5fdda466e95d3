/* SPDX-License-Identifier: BSD-3-Clause */
/* The restart rule without a migration: the core's stage hello, with its jobs done here, one after the other. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/util.h"
#include "engine/asker.h"

struct resolver {
	struct vmig_core core;
	struct vmig_device *const *devices;
	struct vmig_core_device *core_devices;
	struct vmig_ownership *scratch;
	struct vmig_asker asker;
	pthread_mutex_t lock;
	pthread_cond_t answered;
	bool finished;
};

static void feed(struct resolver *r, struct vmig_core_event *ev)
{
	ev->now_ns = vmig_now_ns();
	ev->heard_ns = ev->now_ns;
	vmig_core_event(&r->core, ev);
}

static void do_job(struct resolver *r, const struct vmig_core_action *action)
{
	struct vmig_device *dev = r->devices[action->device];
	struct vmig_core_event ev = { .kind = VMIG_EV_JOB, .device = action->device, .job = action->job };
	struct vmig_error error = { 0 };

	if (action->job == VMIG_JOB_STATE)
		ev.code = vmig_device_set_state(dev, action->target, action->recover, NULL);
	else if (action->job == VMIG_JOB_RESET)
		ev.code = vmig_device_reset(dev);
	else if (action->job == VMIG_JOB_QUERY_STATE)
		ev.tagged = !vmig_device_query_tag(dev, &ev.tag);
	else
		ev.code = -EOPNOTSUPP;
	if (ev.code)
		vmig_device_query_error(dev, &error);
	ev.text = error.text;
	if (vmig_device_query_state(dev, &ev.state))
		ev.state = VMIG_STATE_NONE;
	feed(r, &ev);
}

static void perform(struct resolver *r, const struct vmig_core_action *action)
{
	struct vmig_core_event ev;

	if (action->kind == VMIG_ACT_JOB) {
		do_job(r, action);
	} else if (action->kind == VMIG_ACT_OWNER) {
		vmig_asker_ask_now(&r->asker, &r->core, action, &ev);
		feed(r, &ev);
	} else if (action->kind == VMIG_ACT_FINISH) {
		r->finished = true;
	}
}

static void wait_for_tick(struct resolver *r)
{
	struct vmig_core_event ev = { .kind = VMIG_EV_TICK };
	uint64_t at = vmig_core_deadline(&r->core), now = vmig_now_ns();

	if (at > now) {
		struct timespec t = { .tv_sec = (time_t)((at - now) / NS_PER_S),
				      .tv_nsec = (long)((at - now) % NS_PER_S) };

		nanosleep(&t, NULL);
	}
	feed(r, &ev);
}

static void run(struct resolver *r)
{
	struct vmig_core_event start = { .kind = VMIG_EV_START };
	struct vmig_core_action action;

	feed(r, &start);
	while (!r->finished) {
		while (vmig_core_next(&r->core, &action))
			perform(r, &action);
		if (!r->finished)
			wait_for_tick(r);
	}
}

static int prepare(struct resolver *r, uint32_t n, struct vmig_owner *owner, const char *me,
		   const struct vmig_uuid *ids, uint64_t timeout_ns)
{
	struct vmig_core_config config = {
		.source = true,
		.one_way = true,
		.owned = true,
		.resolve = true,
		.name_by_server = true,
		.me = me,
		.timeout_ns = timeout_ns ? timeout_ns : 30 * NS_PER_S,
	};

	r->core_devices = calloc(n, sizeof(*r->core_devices));
	r->scratch = calloc(n, sizeof(*r->scratch));
	if (!r->core_devices || !r->scratch)
		return -ENOMEM;
	vmig_uuid_new(&config.nonce);
	config.scratch = r->scratch;
	for (uint32_t i = 0; i < n; i++) {
		vmig_device_query_info(r->devices[i], &r->core_devices[i].info);
		if (ids)
			r->core_devices[i].given = ids[i];
	}
	vmig_core_init(&r->core, &config, r->core_devices, n);
	return vmig_asker_init(&r->asker, owner, n, &r->lock, &r->answered);
}

int vmig_owner_resolve(struct vmig_device *const *devices, uint32_t n, struct vmig_owner *owner,
		       const char *me, const struct vmig_uuid *ids, uint64_t timeout_ns,
		       struct vmig_migrate_result *ret)
{
	struct resolver *r;
	int result;

	memset(ret, 0, sizeof(*ret));
	if (!n || n > VMIG_MIGRATE_DEVICES_MAX || !owner || !me || !*me)
		return -EINVAL;
	r = aligned_alloc(_Alignof(struct resolver), sizeof(*r));
	if (!r)
		return -ENOMEM;
	memset(r, 0, sizeof(*r));
	r->devices = devices;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->answered, NULL);
	result = prepare(r, n, owner, me, ids, timeout_ns);
	if (!result) {
		run(r);
		*ret = r->core.result;
		result = (int)ret->outcome;
	}
	vmig_asker_done(&r->asker);
	pthread_cond_destroy(&r->answered);
	pthread_mutex_destroy(&r->lock);
	free(r->core_devices);
	free(r->scratch);
	free(r);
	return result;
}
