/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODELS_NIC_PRIVATE_H
#define MODELS_NIC_PRIVATE_H

#include <pthread.h>

#include "common.h"
#include "nic.h"

#define NIC_SAVED_LEN(queues) ((4 + 8 * (queues)) * 8)

struct nic_queue {
	uint64_t base, index;
	uint32_t slots;
	bool enabled, refused, active;
	uint64_t producer, consumer; /* producer - consumer <= slots */
	uint64_t published;          /* the producer index that is in the driver's memory */
	uint64_t skew;               /* sequence numbers left out (or, below zero, doubled) on purpose */
	uint64_t epoch; /* raised when the queue is set up anew: DMA under way counts for nothing */
	uint8_t inject;
	uint64_t rest; /* of a record that is not yet due; the worker's own */
};

struct nic {
	struct model_base base;
	/* Registers, by the user's threads and the worker. Never held while DMA is under way: where DMA is a
	 * message to the user, the one who would answer it may be waiting for this lock. */
	pthread_mutex_t lock;
	struct pci_config pci;
	struct nic_queue queues[NIC_QUEUES_MAX];
	uint64_t records, bad_doorbells, dma_faults, interrupts, result;
	uint8_t msix[NIC_PAGE_SIZE];
};

/** Send what is due. True if some queue is enabled. */
bool nic_tick(void *opaque, enum worker_level level, uint64_t elapsed_ns);

#endif
