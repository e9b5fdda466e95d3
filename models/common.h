/* SPDX-License-Identifier: BSD-3-Clause */
/** common - what all models share: options, arcs, saving and loading, faults. */
#ifndef MODELS_COMMON_H
#define MODELS_COMMON_H

#include <vmig/model.h>

#include "fault.h"
#include "image.h"
#include "pci.h"
#include "worker.h"

/** From the key=value part of a spec. */
struct model_options {
	uint64_t state;      /* bytes of internal memory */
	uint64_t dirty_rate; /* bytes of it that change in a second */
	uint32_t queues;
	uint64_t records; /* a second, of each queue */
	bool p2p, precopy;
	bool digest;               /* the state is digested when it has been loaded */
	uint32_t type, aggregator; /* of a vgpu */
	bool msi;                  /* of a serial: drivers use MSI with it */
	bool device_log;           /* of an accel: it logs its DMA itself */
	bool pv;                   /* of a vgpu: pv-mode has ppgtt and context, too */
	uint32_t version[3];       /* x.y.z: what the descriptor says, and x.y the stream */
	struct fault fault;
};

/** A model's own part. @opaque is its struct, which has a struct model_base in it. */
struct model_kind {
	/** Write the registers to @buf; returns the length, at most IMAGE_REGISTERS_MAX. The worker is parked. */
	size_t (*save)(void *opaque, uint8_t *buf);
	/** See struct image_ops. */
	int (*check)(void *opaque, const uint8_t *registers, size_t len);
	/** Take registers that have been checked. */
	void (*load)(void *opaque, const uint8_t *registers);
	/** The registers of power-on. The worker is parked. */
	void (*reset)(void *opaque);
	/** The model's work beside changing its memory; NULL: none. Returns as the worker's tick. */
	bool (*tick)(void *opaque, enum worker_level level, uint64_t elapsed_ns);
	/** At worst, what save() writes. */
	size_t registers_len;
	int (*region_read)(void *opaque, uint32_t index, uint64_t offset, void *buf, size_t len);
	int (*region_write)(void *opaque, uint32_t index, uint64_t offset, const void *buf, size_t len);
	void (*free)(void *opaque);
};

/** What an instance of a model is. Not kept. */
struct model_setup {
	const char *name, *identity;
	uint64_t device;      /* a stream of another one is refused; see struct image */
	unsigned int lanes;   /* of its image */
	uint32_t log;         /* VMIG_HAS_DMA_LOG or VMIG_HAS_IOMMU_LOG */
	const uint8_t *match; /* @match_len bytes of match data, first in the stream; may be NULL */
	size_t match_len;
	const char *descriptor;            /* NULL: made of all this */
	struct image_release release;      /* all zero: by the version, 0 features */
	bool late;                         /* all but the match data is saved in STOP_COPY */
	const struct vmig_region *regions; /* PCI_N_REGIONS */
	const struct vmig_irq *irqs;       /* PCI_N_IRQS */
};

struct model_base {
	const struct model_kind *kind;
	void *opaque;
	struct model_options options;
	struct vmig_model *model;
	struct image image;
	struct worker worker;
	uint64_t rest;          /* of a change that is not yet due */
	uint64_t read, written; /* bytes of the session, for faults */
};

/** Make the model and its handle. The device is in RUNNING and its worker runs. On failure nothing is left and
 *  @opaque is the caller's. */
int model_base_open(struct model_base *base, const struct model_kind *kind, void *opaque,
		    const struct model_options *options, const struct model_setup *setup,
		    struct vmig_device **ret);

/** Regions and interrupts of a PCI device that has none; then one of @size that can be read and written. */
void model_no_regions(struct vmig_region *regions, struct vmig_irq *irqs);
void model_region(struct vmig_region *region, uint64_t size);

#endif
