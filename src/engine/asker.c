/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/asker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

int vmig_asker_init(struct vmig_asker *a, struct vmig_owner *owner, uint32_t n, pthread_mutex_t *lock,
		    pthread_cond_t *answered)
{
	*a = (struct vmig_asker){ .owner = owner, .lock = lock, .answered = answered };
	pthread_cond_init(&a->wake, NULL);
	if (!owner)
		return 0;
	a->ids = calloc(n, sizeof(*a->ids));
	a->now = calloc(n, sizeof(*a->now));
	a->next = calloc(n, sizeof(*a->next));
	a->records = calloc(n, sizeof(*a->records));
	return a->ids && a->now && a->next && a->records ? 0 : -ENOMEM;
}

void vmig_asker_done(struct vmig_asker *a)
{
	pthread_cond_destroy(&a->wake);
	free(a->ids);
	free(a->now);
	free(a->next);
	free(a->records);
}

/* --- the question --- */

static void take_question(struct vmig_asker *a, const struct vmig_core *core,
			  const struct vmig_core_action *action)
{
	a->ask = action->ask;
	a->n = 0;
	for (uint32_t i = 0; i < core->n; i++) {
		const struct vmig_core_device *dev = &core->devices[i];

		if (!dev->in_unit)
			continue;
		a->ids[a->n] = dev->identity;
		a->now[a->n] = dev->record;
		a->now[a->n].device = dev->identity;
		a->next[a->n++] = dev->next;
	}
}

static int query_store(struct vmig_asker *a)
{
	if (!vmig_uuid_is_none(&a->store))
		return 0;
	return vmig_owner_query(a->owner, &a->store, &a->unit_max, &a->error);
}

static void read_records(struct vmig_asker *a)
{
	int r = query_store(a);

	if (!r && a->n)
		r = vmig_owner_read(a->owner, a->ids, a->n, a->records, &a->error);
	a->end.owner = r ? VMIG_OWNER_UNREACHABLE : VMIG_OWNER_RECORDS;
	a->end.code = r;
	a->end.records = a->records;
	a->end.store = a->store;
	a->end.unit_max = a->unit_max;
}

static void swap(struct vmig_asker *a)
{
	int r = vmig_owner_swap(a->owner, a->now, a->next, a->n, &a->error);

	a->end.code = r;
	a->end.owner = !r                  ? VMIG_OWNER_WON
		       : r == -EAGAIN      ? VMIG_OWNER_LOST
		       : r == -EINPROGRESS ? VMIG_OWNER_UNKNOWN
					   : VMIG_OWNER_UNREACHABLE;
}

static void perform(struct vmig_asker *a)
{
	a->end = (struct vmig_core_event){ .kind = VMIG_EV_OWNER };
	a->error = (struct vmig_error){ 0 };
	if (a->ask == VMIG_OWNER_ASK_READ)
		read_records(a);
	else
		swap(a);
	if (a->end.code)
		a->end.text = a->error.text[0] ? a->error.text : strerror(-a->end.code);
}

/* --- the thread --- */

static void *run(void *arg)
{
	struct vmig_asker *a = arg;

	pthread_mutex_lock(a->lock);
	for (;;) {
		while (!a->busy && !a->quit)
			pthread_cond_wait(&a->wake, a->lock);
		if (!a->busy)
			break;
		pthread_mutex_unlock(a->lock);
		perform(a);
		pthread_mutex_lock(a->lock);
		a->busy = false;
		a->ended = true;
		pthread_cond_signal(a->answered);
	}
	pthread_mutex_unlock(a->lock);
	return NULL;
}

int vmig_asker_start(struct vmig_asker *a)
{
	int r;

	if (!a->owner)
		return 0;
	r = pthread_create(&a->thread, NULL, run, a);
	a->started = !r;
	if (!r)
		pthread_setname_np(a->thread, "vmig-owner");
	return -r;
}

void vmig_asker_stop(struct vmig_asker *a)
{
	if (!a->started)
		return;
	pthread_mutex_lock(a->lock);
	a->quit = true;
	pthread_cond_signal(&a->wake);
	pthread_mutex_unlock(a->lock);
	pthread_join(a->thread, NULL);
	a->started = false;
}

void vmig_asker_ask(struct vmig_asker *a, const struct vmig_core *core, const struct vmig_core_action *action)
{
	pthread_mutex_lock(a->lock);
	take_question(a, core, action);
	a->busy = true;
	pthread_cond_signal(&a->wake);
	pthread_mutex_unlock(a->lock);
}

void vmig_asker_ask_now(struct vmig_asker *a, const struct vmig_core *core,
			const struct vmig_core_action *action, struct vmig_core_event *ret)
{
	take_question(a, core, action);
	perform(a);
	*ret = a->end;
}

bool vmig_asker_answer(struct vmig_asker *a, struct vmig_core_event *ret)
{
	if (!a->ended)
		return false;
	a->ended = false;
	*ret = a->end;
	return true;
}
