/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * rings - a device of rings of records: what nic, accel and vgpu have in common, which is nearly all.
 *
 * A model gives its class, what it is, and how its records are made; rings.c has the registers, rings-state.c
 * what is saved of them, rings-dma.c what the device does by itself.
 */
#ifndef MODELS_RINGS_H
#define MODELS_RINGS_H

#include <pthread.h>

#include "common.h"
#include "nic-class.h"

/* Records in one DMA write. */
#define RINGS_BATCH 64u

/* With an area: one counter and two registers of each queue more. */
#define RINGS_SAVED_LEN(has_area, queues) ((4 + !!(has_area) + (8 + 2 * !!(has_area)) * (queues)) * 8)

struct rings_queue {
	uint64_t base, index, area;
	uint32_t slots;
	bool enabled, refused, active;
	uint64_t producer, consumer; /* producer - consumer <= slots */
	uint64_t jobs;               /* jobs - producer <= slots */
	uint64_t published;          /* the producer index that is in the driver's memory */
	uint64_t skew;               /* sequence numbers left out (or, below zero, doubled) on purpose */
	uint64_t epoch; /* raised when the queue is set up anew: DMA under way counts for nothing */
	uint8_t inject;
	uint64_t rest; /* of a record that is not yet due; the worker's own */
};

/** What the worker does with a queue while it does not hold the lock. */
struct rings_batch {
	uint64_t base, index, area, producer, skew, epoch;
	uint32_t queue, slots, n;
	uint8_t inject;
	uint64_t seq
		[RINGS_BATCH]; /* the numbers to send: those that follow producer, but for what is injected */
	uint32_t bad_jobs;     /* that make() has found */
};

struct rings;

struct rings_setup {
	const struct nic_class *class;
	const char *name, *identity;
	uint64_t device;
	uint32_t class_code; /* of PCI */
	uint32_t queues;
	uint32_t log; /* VMIG_HAS_DMA_LOG or VMIG_HAS_IOMMU_LOG */
	const uint8_t *match;
	size_t match_len;
	bool late;
	const char *descriptor; /* as in struct model_setup */
	struct image_release release;
	/** Make the records of @batch, with all DMA that has to come before they are seen. Without the lock. */
	int (*make)(struct rings *rings, struct rings_batch *batch, uint8_t *records);
	/** The registers of BAR 0 that no other model has; NULL: none. With the lock. */
	uint64_t (*read)(const struct rings *rings, uint32_t offset);
};

struct rings {
	struct model_base base;
	struct rings_setup setup;
	/* Registers, by the user's threads and the worker. Never held while DMA is under way: where DMA is a
	 * message to the user, the one who would answer it may be waiting for this lock. */
	pthread_mutex_t lock;
	struct pci_config pci;
	struct rings_queue queues[NIC_QUEUES_MAX];
	uint64_t records, bad_doorbells, dma_faults, interrupts, bad_jobs, result, arrived;
	uint8_t msix[NIC_PAGE_SIZE];
};

/** @setup is copied, its match data and strings not kept. */
int rings_open(const struct rings_setup *setup, const struct model_options *options,
	       struct vmig_device **ret);

/* --- rings-state.c ------------------------------------------------------------------------------- */

size_t rings_save(void *opaque, uint8_t *buf);
/** Of the whole state. With the lock. */
uint64_t rings_digest(struct rings *rings);
int rings_check(void *opaque, const uint8_t *registers, size_t len);
void rings_load(void *opaque, const uint8_t *registers);
void rings_reset(void *opaque);

/* --- rings-dma.c --------------------------------------------------------------------------------- */

/** Send what is due. True if some queue is enabled. */
bool rings_tick(void *opaque, enum worker_level level, uint64_t elapsed_ns);
/** A make() that only makes records. */
int rings_make(struct rings *rings, struct rings_batch *batch, uint8_t *records);

#endif
