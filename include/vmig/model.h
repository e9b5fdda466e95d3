/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * model - the device side: what an author of a userspace device implements to be migratable.
 *
 * The author gives callbacks for single arcs, data and regions. The library owns the state variable,
 * the walk along the arcs, the life of the data session, ENOMSG and the end of the stream, ERROR and
 * reset, the DMA mappings and the DMA log, the interrupts' eventfds. A device cannot get the walk wrong.
 *
 * vmig_model_new() makes a model and a struct vmig_device on it: hand that to a server, to the
 * engine, or drive it. Closing the handle ends the model.
 *
 * Callbacks come from the threads that use the handle. The library calls step, reset and the data
 * callbacks one at a time (one lock); region callbacks come one at a time too (another lock) and may come
 * beside those. The author's own threads may call vmig_model_dma_*() and vmig_model_raise() at any
 * time, but must not do so in a state in which the device is to be silent.
 */
#ifndef VMIG_MODEL_H
#define VMIG_MODEL_H

#include <vmig/device.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vmig_model;

/** All callbacks get the @opaque of vmig_model_new(). Errors are negative errnos. */
struct vmig_model_ops {
	/**
	 * Walk one arc, never more: @from is the state now, @to the next one.
	 * Called only for arcs that a device with the configured features has.
	 * Must have finished the change when it returns: on arcs to STOP and STOP_COPY no DMA and no
	 * interrupt may follow; on arcs to a P2P state no peer-to-peer DMA. RESUMING -> STOP must
	 * check the loaded data and fail if they are incomplete or wrong.
	 * On failure the device is in @from still; if it is not, set *ret_state = VMIG_STATE_ERROR.
	 */
	int (*step)(void *opaque, uint32_t from, uint32_t to, uint32_t *ret_state);

	/* Saving: either lend (the device's own memory) or read (a copy); the other is NULL.
	 * Return the bytes given; 0: nothing (more) now. The library makes of it -ENOMSG in PRE_COPY
	 * states and the end in STOP_COPY; so in STOP_COPY 0 must mean that all has been given.
	 * A loan may be out while step or reset is called: what was lent must not change until it is
	 * given back. If the session ends, it is not given back, and its memory must last until close. */
	ssize_t (*lend)(void *opaque, size_t max, struct iovec *ret_iov, int *ret_n);
	void (*give_back)(void *opaque, size_t used);
	ssize_t (*read)(void *opaque, void *buf, size_t len);

	/* Loading: either room and filled, or write. Report a bad stream as early as it is seen: after an
	 * error no more data comes and RESUMING -> STOP is refused, whatever the device would say.
	 * room may be asked for again before filled: it is the same place. filled comes with more than 0. */
	ssize_t (*room)(void *opaque, size_t want, struct iovec *ret_iov, int *ret_n);
	int (*filled)(void *opaque, size_t len);
	int (*write)(void *opaque, const void *buf, size_t len); /* takes all or fails */

	/* Sizes. precopy_sizes is required with PRE_COPY; stop_copy_size may be NULL. */
	int (*precopy_sizes)(void *opaque, struct vmig_precopy *ret);
	int (*stop_copy_size)(void *opaque, uint64_t *ret_bytes);

	/**
	 * The driver's version data, and its verdict over another device's: vmig_device_query_opaque(). Both or neither.
	 * opaque fills @buf (of VMIG_DEVICE_OPAQUE_MAX bytes) and returns the length. check_opaque returns 0 or a negative
	 * errno and says why in @why (of @why_size bytes), as the rest of a sentence; it must not change the device. They
	 * may come beside any other callback, so they look at what is constant.
	 */
	ssize_t (*opaque)(void *opaque, void *buf);
	int (*check_opaque)(void *opaque, const void *data, size_t len, char *why, size_t why_size);

	/** Back to the state of power-on; the machine is in RUNNING afterwards. NULL: no reset. */
	int (*reset)(void *opaque);

	/** @offset and @len are within the region, readable (writable). PCI config space included. */
	int (*region_read)(void *opaque, uint32_t index, uint64_t offset, void *buf, size_t len);
	int (*region_write)(void *opaque, uint32_t index, uint64_t offset, const void *buf, size_t len);

	/** A mapping came, or is about to go (may be NULL). One that goes is not found any more: new accesses
	 *  fail with -EFAULT. The unmap waits for those under way after this call. It must not map or unmap. */
	void (*dma_changed)(void *opaque);

	/** The handle is being closed: stop all threads and free @opaque. */
	void (*close)(void *opaque);
};

/** What a model is: constant. Copied by vmig_model_new(), but for the fds, which pass to the model (those of
 *  regions with VMIG_REGION_MMAP, and of ioeventfds unless -1; one fd may stand in several places). */
struct vmig_model_config {
	const char *name;         /* "nic" */
	const char *identity;     /* see struct vmig_device_info */
	const char *descriptor;   /* JSON: vmig-descriptor(5); NULL: it publishes none. Copied */
	uint64_t migration_flags; /* VMIG_MIGRATION_*; 0: does not migrate */
	uint32_t traits; /* VMIG_TRAIT_LATE_VALIDATION and the like; LENDS and ROOMS follow from the ops */
	uint32_t
		has; /* of VMIG_HAS_REINIT and one of VMIG_HAS_DMA_LOG and VMIG_HAS_IOMMU_LOG; the others follow from the ops */
	uint32_t n_regions, n_irqs;
	const struct vmig_region
		*regions;            /* index is the place in the array; PCI: config space is number 7 */
	const struct vmig_irq *irqs; /* likewise; PCI: INTx 0, MSI 1, MSI-X 2, ERR 3, REQ 4 */
	uint32_t n_ioeventfds;
	const struct vmig_ioeventfd *ioeventfds;
	const uint32_t *ioeventfd_regions; /* the region of each */
	const char *format;                /* of its data: see struct vmig_device_info; NULL: "v2". Copied */
};

/**
 * Make a model and its handle. The model belongs to the handle: *ret_model is valid until
 * vmig_device_close(*ret_dev), which calls ops->close.
 * Returns 0, -EINVAL (an op that the features need is missing, too many regions), -ENOMEM; on failure
 * ops->close is not called and the fds stay the caller's.
 */
int vmig_model_new(const struct vmig_model_ops *ops, void *opaque, const struct vmig_model_config *config,
		   struct vmig_model **ret_model, struct vmig_device **ret_dev);

/**
 * DMA: read or write the user's memory at @iova, across mappings that lie side by side. Writes are
 * logged. May block where the user is asked by message.
 * Returns 0, -EFAULT (not mapped, or not for this direction), -ECANCELED (unmapped meanwhile), or
 * what the user answered. A failed access may have been done in part.
 */
int vmig_model_dma_read(struct vmig_model *model, uint64_t iova, void *buf, size_t len);
int vmig_model_dma_write(struct vmig_model *model, uint64_t iova, const void *buf, size_t len);

/**
 * Raise interrupt @sub of @index (signals its eventfd). A masked one is kept pending. Never blocks.
 * No-op if not armed; but the line of a level (VFIO_IRQ_INFO_AUTOMASKED: INTx) is up until it is lowered:
 * it signals when it is armed, and again when it is unmasked. A reset of the device lowers all.
 */
void vmig_model_raise(struct vmig_model *model, uint32_t index, uint32_t sub);

/** Lower a level-triggered interrupt (INTx). What was pending is forgotten, of any interrupt. */
void vmig_model_lower(struct vmig_model *model, uint32_t index, uint32_t sub);

/** The state of the machine now (for a model's own threads; may be old when it returns). */
uint32_t vmig_model_state(struct vmig_model *model);

#ifdef __cplusplus
}
#endif
#endif
