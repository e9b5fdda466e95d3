/* SPDX-License-Identifier: BSD-3-Clause */
/** core - what the files of this folder share: the model. */
#ifndef VMIG_DEVICE_CORE_H
#define VMIG_DEVICE_CORE_H

#include <pthread.h>
#include <stdatomic.h>

#include <vmig/model.h>

#include "device/dma.h"
#include "device/irq.h"
#include "handle/provider.h"

/** One data transfer session of a model: the provider's half. */
struct vmig_model_session;

/**
 * Locks, each with its own duty; those of dma, its log and irq are taken inside any of these:
 *   turnstile   taken before lock by a transition or a reset, which keeps it, and passed through by data
 *               calls, so that a thread that reads and reads cannot keep a transition waiting
 *   lock        step, reset and the data callbacks, one at a time; the state and the session
 *   region_lock the region callbacks, one at a time
 */
struct vmig_model {
	struct vmig_model_ops ops;
	void *opaque;
	uint64_t migration_flags;
	char *descriptor; /* NULL: none is published */
	uint32_t n_regions, n_ioeventfds;
	struct vmig_region *regions;
	struct vmig_ioeventfd *ioeventfds;
	uint32_t *ioeventfd_regions;

	pthread_mutex_t turnstile, lock;
	_Atomic uint32_t state;             /* one writer: vmig_model_enter(); read without the lock, too */
	struct vmig_model_session *session; /* the one that is alive, or NULL */
	int load_fault;                     /* what the session's loading failed with, 0: nothing */

	pthread_mutex_t tag_lock; /* a leaf; all that writes the tag holds lock as well */
	struct vmig_tag tag;

	pthread_mutex_t region_lock;
	struct vmig_dma_table dma;
	struct vmig_irqs irqs;
};

/* walk.c */
/** For the callbacks other than step and reset. */
void vmig_model_lock(struct vmig_model *model);
void vmig_model_unlock(struct vmig_model *model);
int vmig_model_walk(struct vmig_model *model, uint32_t target, struct vmig_session_half *ret,
		    struct vmig_error *error);
int vmig_model_reset(struct vmig_model *model, struct vmig_error *error);

/* tag.c */
void vmig_model_tag_init(struct vmig_model *model);
int vmig_model_query_tag(void *p, struct vmig_tag *ret, struct vmig_error *error);
int vmig_model_set_tag(void *p, const struct vmig_tag *tag, struct vmig_error *error);
/** With the lock: what is here is to be replaced; or it was not after all; or it is gone. */
void vmig_model_tag_loading(struct vmig_model *model);
void vmig_model_tag_restore(struct vmig_model *model, const struct vmig_tag *tag);
void vmig_model_tag_blank(struct vmig_model *model);

/* data.c */
struct vmig_model_session *vmig_model_session_new(struct vmig_model *model, bool loads);
struct vmig_session_half vmig_model_session_half(struct vmig_model_session *s);

#endif
