/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * asker - asks the ownership record in a thread of its own: a store may take its time, and heartbeats go on.
 *
 * One question at a time, as the core asks them.
 */
#ifndef VMIG_ENGINE_ASKER_H
#define VMIG_ENGINE_ASKER_H

#include <pthread.h>

#include "engine/core.h"

struct vmig_asker {
	struct vmig_owner *owner; /* the caller's */
	pthread_t thread;
	bool started;
	pthread_mutex_t *lock; /* the driver's: guards what follows */
	pthread_cond_t wake, *answered;
	bool busy, ended, quit;
	/* the question: whoever runs */
	enum vmig_owner_ask ask;
	uint32_t n;
	struct vmig_uuid *ids;
	struct vmig_ownership *now, *next, *records;
	struct vmig_uuid store; /* none: not asked yet */
	uint32_t unit_max;
	/* the answer */
	struct vmig_core_event end;
	struct vmig_error error;
};

/** @owner NULL: there is no record, and nothing to be done. @n: the most devices. 0 or -ENOMEM. */
int vmig_asker_init(struct vmig_asker *a, struct vmig_owner *owner, uint32_t n, pthread_mutex_t *lock,
		    pthread_cond_t *answered);
int vmig_asker_start(struct vmig_asker *a);
/** Waits for the question that is under way. */
void vmig_asker_stop(struct vmig_asker *a);
void vmig_asker_done(struct vmig_asker *a);

/** What VMIG_ACT_OWNER says. */
void vmig_asker_ask(struct vmig_asker *a, const struct vmig_core *core,
		    const struct vmig_core_action *action);
/** The same, here and now: *ret is the answer, valid until the next question. */
void vmig_asker_ask_now(struct vmig_asker *a, const struct vmig_core *core,
			const struct vmig_core_action *action, struct vmig_core_event *ret);
/** Under the lock: is there an answer? It is valid until the next question. */
bool vmig_asker_answer(struct vmig_asker *a, struct vmig_core_event *ret);

#endif
