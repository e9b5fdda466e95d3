/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODELS_WORKLOAD_PRIVATE_H
#define MODELS_WORKLOAD_PRIVATE_H

#include <pthread.h>

#include "nic-class.h"
#include "pci.h"
#include "sequence.h"
#include "workload.h"

#define WORKLOAD_MEMORY (1u << 20)
#define WORKLOAD_HEAD   4096u /* the producer indices, NIC_RECORD apart; then the rings; then the areas */

struct workload_queue {
	uint64_t consumer; /* as the device knows it */
	struct sequence sequence;
};

struct workload {
	struct vmig_space *space;
	int memory_fd;
	/* Two views of the memory: the device's, and our own. */
	uint8_t *device_view, *memory;
	uint64_t iova;
	bool mapped;
	bool split, peer; /* workload_split() */
	struct workload_piece {
		uint64_t at, to;
		uint32_t prot;
	} pieces[3]; /* that the memory is mapped as */
	unsigned int n_pieces;
	bool apart;                                    /* another moves the memory */
	uint64_t written[WORKLOAD_MEMORY / 4096 / 64]; /* pages that we wrote ourselves; atomically */
	uint64_t nonce;                                /* tells our own record from another's */

	struct vmig_device *dev, *next;  /* @next: loaded, not yet started */
	const struct nic_class *class;   /* of both */
	uint8_t config[PCI_CONFIG_SIZE]; /* as of the last quiesce */
	uint32_t n_queues, slots;
	struct workload_queue queues[NIC_QUEUES_MAX];
	int irq_fds[NIC_QUEUES_MAX], kick_fd;

	pthread_t thread;
	bool has_thread;
	pthread_mutex_t lock; /* from here on */
	pthread_cond_t settled;
	enum { WORKLOAD_PARK, WORKLOAD_RUN, WORKLOAD_EXIT } want, at;
	enum workload_phase phase;
	bool verifying;                /* its silence is our own doing */
	uint64_t last_ns;              /* of the last record; 0: none yet */
	struct workload_report report; /* sums; the rest is made when it is asked for */
};

uint64_t workload_now_ns(void);
/** The ring's slots for @n_queues queues. */
uint32_t workload_slots(const struct nic_class *class, uint32_t n_queues);
/** Where in the memory the ring of @queue starts. */
uint64_t workload_ring(const struct workload *w, uint32_t queue);
/** Where in its area the slot of record (job, frame) number @n is. */
uint64_t workload_area(const struct workload *w, uint32_t queue, uint64_t n);
uint32_t workload_n_irqs(const struct nic_class *class, uint32_t n_queues);
/** We have written so many bytes of the memory, from @at on: after that. */
void workload_note_written(struct workload *w, uint64_t at, uint64_t len);
/** Write the jobs [@from, @to) of @queue. */
void workload_write_jobs(struct workload *w, uint32_t queue, uint64_t from, uint64_t to);

/* --- workload-device.c: what is said to the device ---------------------------------------------- */

/** NULL: none that the workload can drive. */
const struct nic_class *workload_class_of(struct vmig_device *dev);
int workload_read_register(struct vmig_device *dev, uint32_t offset, uint64_t *ret);
int workload_write_register(struct vmig_device *dev, uint32_t offset, uint64_t value);
int workload_read_config(struct vmig_device *dev, uint8_t *config);
/** BAR addresses, command, MSI-X, from nothing. */
int workload_set_up_config(struct workload *w, struct vmig_device *dev);
/** The same as @config has them. */
int workload_restore_config(struct workload *w, struct vmig_device *dev, const uint8_t *config);
int workload_arm(struct workload *w, struct vmig_device *dev);
void workload_disarm(struct workload *w, struct vmig_device *dev);
int workload_set_up_queues(struct workload *w, struct vmig_device *dev);
/** Ring a doorbell: the low half of @value. */
int workload_ring_doorbell(struct vmig_device *dev, uint32_t offset, uint64_t value);

/* --- workload-take.c --------------------------------------------------------------------------- */

/** -EAGAIN. The thread is parked at first. */
int workload_ensure_thread(struct workload *w);
/** On return the thread is where it is wanted (WORKLOAD_RUN, ...), or parked by an error. */
void workload_settle(struct workload *w, int want);

/* --- workload-map.c --------------------------------------------------------------------------- */

/** Map the memory at @iova, or at a free place if 0. */
int workload_map(struct workload *w, uint64_t iova);
/** Not mapped: 0. */
int workload_unmap(struct workload *w);

/* --- workload.c ---------------------------------------------------------------------------------- */

/** @n eventfds for interrupts; those that are there stay. */
int workload_open_irqs(struct workload *w, uint32_t n);
/** Disarm and detach; *dev becomes NULL. */
void workload_let_go(struct workload *w, struct vmig_device **dev);

#endif
