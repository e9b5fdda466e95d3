/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * device - the narrow waist: a handle on anything that can be migrated, with the semantics of v2.
 *
 * Who provides a device (a kernel driver, a vfio-user socket, a model in this process) and who
 * consumes one (the engine, a vfio-user server, a conformance check) know nothing of each other.
 *
 * Threads: state calls (set_state, reset) are serialised by the handle. Region, interrupt, mapping,
 * DMA log and session calls may run beside a long transition, from other threads.
 * Blocking: every call that asks the provider may block up to the handle's timeout and then says
 * -ETIMEDOUT; a kernel ioctl cannot be interrupted and may overrun it.
 * Errors: see error.h. The handle keeps the last one: vmig_device_query_error().
 */
#ifndef VMIG_DEVICE_H
#define VMIG_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <vmig/error.h>
#include <vmig/session.h>
#include <vmig/state.h>
#include <vmig/uuid.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vmig_device;

/* --- what it is --------------------------------------------------------------------------- */

#define VMIG_DEVICE_FLAG_RESET (1u << 0) /* has a reset; values as VFIO_DEVICE_FLAGS_* */
#define VMIG_DEVICE_FLAG_PCI   (1u << 1)

/* Traits: what a provider cannot help. Consumers have one rule for each. */
#define VMIG_TRAIT_LATE_VALIDATION (1u << 0) /* loaded data is judged only when the device runs */
#define VMIG_TRAIT_KEEPS_STATE     (1u << 1) /* the migration state outlives its user (mtty, vfio-user servers) */
#define VMIG_TRAIT_RESET_KEEPS_FSM (1u << 2) /* a reset does not lead back to RUNNING (libvfio-user) */
#define VMIG_TRAIT_SHORT_READ_ENDS                                                                           \
	(1u << 3) /* a short read is the end, or "drained" in PRE_COPY (plain vfio-user) */
#define VMIG_TRAIT_ZERO_IS_DRAINED   (1u << 4) /* read() gives 0 instead of ENOMSG in PRE_COPY (mtty) */
#define VMIG_TRAIT_INFO_STARTS_ROUND (1u << 5) /* the size query starts the next dirty round (mlx5) */
#define VMIG_TRAIT_NO_POLL           (1u << 6) /* poll() says nothing: ask on a timer */
#define VMIG_TRAIT_TRANSACTION_SIZES (1u << 7) /* pieces must be written in the sizes they were read (v1) */
#define VMIG_TRAIT_LENDS             (1u << 8) /* vmig_session_lend() copies nothing */
#define VMIG_TRAIT_ROOMS             (1u << 9) /* vmig_session_room() copies nothing */
/* The stream starts with the driver's version data, and the driver judges them when they are written. */
#define VMIG_TRAIT_MATCH_FIRST (1u << 10)
/* It is memory that the other devices write to: it stops after all of them (vmig/memory.h). */
#define VMIG_TRAIT_MEMORY (1u << 11)

/* Optional queries that the device answers. */
#define VMIG_HAS_PRECOPY_INFO   (1u << 0) /* vmig_session_query_precopy() */
#define VMIG_HAS_REINIT         (1u << 1) /* and it may report VMIG_PRECOPY_REINIT */
#define VMIG_HAS_STOP_COPY_SIZE (1u << 2) /* vmig_device_query_stop_copy_size() */
#define VMIG_HAS_DMA_LOG        (1u << 3) /* vmig_device_dma_log_*() */
/* vmig_device_dma_log_*() work, but as the IOMMU's tracking: the device itself has no such feature. */
#define VMIG_HAS_IOMMU_LOG (1u << 4)
#define VMIG_HAS_TAG       (1u << 5) /* vmig_device_query_tag(), vmig_device_set_tag() */

#define VMIG_IDENTITY_MAX 128

/** Constant while the handle is open, but for @generation. */
struct vmig_device_info {
	uint32_t flags; /* VMIG_DEVICE_FLAG_* */
	uint32_t n_regions, n_irqs;
	uint64_t migration_flags; /* VMIG_MIGRATION_*, unknown bits kept; 0: does not migrate */
	uint32_t traits;          /* VMIG_TRAIT_* */
	uint32_t has;             /* VMIG_HAS_* */
	uint32_t dma_kinds;       /* VMIG_DMA_KIND_*: the kinds of mapping it takes */
	uint64_t generation;      /* raised by every reset through this handle */
	/* What the device is, for "may this stream go in there?": equal strings mean the same type.
	 * From PCI ids and driver or model name, e.g. "pci:1b36:0f01/nic" or "mdev:mtty-1". */
	char identity[VMIG_IDENTITY_MAX];
	char format[VMIG_IDENTITY_MAX]; /* the stream's format: "v2" for opaque v2 data */
	char name[VMIG_IDENTITY_MAX];   /* how it was opened: "vfio-user:/run/nic.sock" */
};

/** Never blocks, never fails: everything was asked when the handle was opened. */
void vmig_device_query_info(struct vmig_device *dev, struct vmig_device_info *ret);

/** The last error on this handle (code 0: none). Never blocks. */
void vmig_device_query_error(struct vmig_device *dev, struct vmig_error *ret);

#define VMIG_NOTE_MAX 256

/** What the device cannot do as well as it might, for a person; "" if nothing. Changes with its state. Never blocks. */
void vmig_device_query_note(struct vmig_device *dev, char ret[VMIG_NOTE_MAX]);

/** The longest that one call may take, in ms; 0: for ever. 10,000 at birth. */
void vmig_device_set_timeout(struct vmig_device *dev, uint32_t ms);

/** Close. NULL is allowed. The device's migration state is not changed; mappings and interrupts are gone. */
void vmig_device_close(struct vmig_device *dev);

/* --- state -------------------------------------------------------------------------------- */

/** The state now; may be one that this library does not know. -EOPNOTSUPP: does not migrate. */
int vmig_device_query_state(struct vmig_device *dev, uint32_t *ret_state);

/**
 * Walk to @target; the arcs on the way belong to whoever implements the machine.
 *
 * If that fails and @recover is not VMIG_STATE_NONE, walk to @recover, so that a failed call leaves
 * the device in @recover if it can; after any failure ask vmig_device_query_state(). A failed walk
 * whose end is ERROR is left there: only vmig_device_reset() leads out.
 *
 * If the last arcs start a data transfer session, *ret_session is the new one (the caller closes it),
 * else NULL. @ret_session may be NULL: then a session that starts is closed at once.
 * A transition within the saving group keeps the session that the caller has.
 * The device must not be touched by its user in a stopped or P2P state.
 *
 * Returns 0, or
 *   -EINVAL      @target is ERROR or not a state of this device, or there is no way to it
 *                (STOP_COPY to PRE_COPY is never even asked of a peer: old kernels hang on it)
 *   -EOPNOTSUPP  does not migrate
 *   -ECONNRESET, -ETIMEDOUT, -EPROTO   the peer; the state is unknown
 *   another      what the device reported
 */
int vmig_device_set_state(struct vmig_device *dev, uint32_t target, uint32_t recover,
			  struct vmig_session **ret_session);

/**
 * Can this device be asked to go from @from to @to? What VFIO_DEVICE_MIG_ARC_SUPPORTED was to be: each arc of a plan,
 * and of its rollback, can be probed before the device leaves RUNNING. Never blocks and asks nothing of the device:
 * the features that it has named decide, or, of a device of v1, what v1 can do.
 *
 * *ret_next (may be NULL) is the first state on the way: @to itself if it is one step.
 *
 * Returns 0, or
 *   -EINVAL      one of them is not a state of this device, or is ERROR, or there is no way
 *   -EOPNOTSUPP  does not migrate
 */
int vmig_device_probe_arc(struct vmig_device *dev, uint32_t from, uint32_t to, uint32_t *ret_next);

/** Reset. Ends all sessions (-ENODEV), raises the generation, leads to RUNNING (also out of ERROR). The DMA log stops.
 *  Mappings stay, interrupts are disarmed. -EOPNOTSUPP: no reset. */
int vmig_device_reset(struct vmig_device *dev);

/** Estimate of the bytes that STOP_COPY will yield; in any state. -EOPNOTSUPP: not offered. */
int vmig_device_query_stop_copy_size(struct vmig_device *dev, uint64_t *ret_bytes);

/* --- what it is, for a decision before anything moves ------------------------------------- */

/** The most bytes that a device's own descriptor and its driver's version data may have. */
#define VMIG_DEVICE_DESCRIPTOR_MAX (32u << 10)
#define VMIG_DEVICE_OPAQUE_MAX     4096u

/** The device's descriptor, JSON (vmig-descriptor(5)) with a NUL at its end, for the caller to free(). In any state.
 *  -EOPNOTSUPP: it publishes none. -EPROTO: what it publishes is none. */
int vmig_device_query_descriptor(struct vmig_device *dev, char **ret_json);

/**
 * The driver's version data: what the driver of a destination judges. Read while the device runs; a driver that tells it
 * only at the head of its stream (VMIG_TRAIT_MATCH_FIRST) is taken to PRE_COPY for that, and back to RUNNING.
 * At most VMIG_DEVICE_OPAQUE_MAX bytes into @buf; *ret_len is their number, never 0.
 * -EOPNOTSUPP: it has none, or none that could be had in the state that it is in. Else as vmig_device_set_state().
 */
int vmig_device_query_opaque(struct vmig_device *dev, void *buf, size_t *ret_len);

/**
 * Would the driver take a stream of a device with this version data? A driver that can only tell from the head of a
 * stream is fed it: the device must be idle (RUNNING without a user), and is reset afterwards.
 * Returns 0; -EOPNOTSUPP: it cannot tell; another: no, vmig_device_query_error() has the driver's reason.
 */
int vmig_device_check_opaque(struct vmig_device *dev, const void *data, size_t len);

/* --- whose state it holds --------------------------------------------------------------------- */

/**
 * Kept with the device as long as it lives, whoever its user is: so whoever opens it after a crash learns whose state is
 * in it. A device that begins to load (RESUMING) holds nobody's complete state any more: that takes @identity away. A
 * reset takes @identity and @attempt.
 */
struct vmig_tag {
	struct vmig_uuid
		identity; /* the logical device whose state it holds, complete; none: blank, or not complete */
	struct vmig_uuid attempt; /* the migration's attempt that it is, or was, bound to; none */
	struct vmig_uuid
		instance; /* of this device, made when it began: another one means that all state is gone */
};

/** In any state, also beside a long transition. -EOPNOTSUPP: it carries none (a kernel device, a foreign server). */
int vmig_device_query_tag(struct vmig_device *dev, struct vmig_tag *ret);

/** Set @identity and @attempt; @instance is not looked at. Not while a transition is under way: it is waited for.
 *  -EOPNOTSUPP as above. */
int vmig_device_set_tag(struct vmig_device *dev, const struct vmig_tag *tag);

/* --- regions ------------------------------------------------------------------------------ */

#define VMIG_REGION_READ  (1u << 0) /* values as VFIO_REGION_INFO_FLAG_* */
#define VMIG_REGION_WRITE (1u << 1)
#define VMIG_REGION_MMAP  (1u << 2)

#define VMIG_REGION_AREAS_MAX  16
#define VMIG_REGION_PCI_CONFIG 7u /* region index of PCI config space, as VFIO_PCI_CONFIG_REGION_INDEX */

struct vmig_area {
	uint64_t offset, size;
};

struct vmig_region {
	uint32_t index, flags; /* VMIG_REGION_* */
	uint64_t size;
	int fd;             /* for mmap, owned by the device handle: do not close; -1: none */
	uint64_t fd_offset; /* where the region starts in fd */
	uint32_t n_areas;   /* sparse areas that may be mapped; 0 with MMAP: all of it */
	struct vmig_area areas[VMIG_REGION_AREAS_MAX];
	/* A capability of type (VFIO_REGION_INFO_CAP_TYPE) where there is one, else 0. */
	uint32_t cap_type, cap_subtype;
};

/** -EINVAL: no such region. A region of size 0 is not there. */
int vmig_device_query_region(struct vmig_device *dev, uint32_t index, struct vmig_region *ret);

/** Read or write @len bytes at @offset; accesses of 1, 2, 4 and 8 bytes reach the device in that width.
 *  Returns 0, -EINVAL if out of the region or not readable (writable), or what the device reported. */
int vmig_device_region_read(struct vmig_device *dev, uint32_t index, uint64_t offset, void *buf, size_t len);
int vmig_device_region_write(struct vmig_device *dev, uint32_t index, uint64_t offset, const void *buf,
			     size_t len);

/** A part of a region at which a write only raises an eventfd. The fd is the device handle's: do not close. */
struct vmig_ioeventfd {
	uint64_t offset, size, datamatch;
	uint32_t flags; /* KVM_IOEVENTFD_FLAG_* */
	int fd;
};

/** The ioeventfds of a region: at most @max are filled in; returns how many there are (often 0), -EINVAL: no such region. */
int vmig_device_query_ioeventfds(struct vmig_device *dev, uint32_t index, struct vmig_ioeventfd *ret,
				 int max);

/* --- interrupts --------------------------------------------------------------------------- */

struct vmig_irq {
	uint32_t index, flags, count; /* flags: VFIO_IRQ_INFO_* */
};

int vmig_device_query_irq(struct vmig_device *dev, uint32_t index, struct vmig_irq *ret);

#define VMIG_IRQ_DATA_NONE      (1u << 0) /* values as VFIO_IRQ_SET_* */
#define VMIG_IRQ_DATA_BOOL      (1u << 1)
#define VMIG_IRQ_DATA_EVENTFD   (1u << 2)
#define VMIG_IRQ_ACTION_MASK    (1u << 3)
#define VMIG_IRQ_ACTION_UNMASK  (1u << 4)
#define VMIG_IRQ_ACTION_TRIGGER (1u << 5)

/** As struct vfio_irq_set. @fds (DATA_EVENTFD; -1 disarms that one) and @bools have @count entries. fds stay the caller's. */
struct vmig_irq_set {
	uint32_t flags, index, start, count;
	const int *fds;
	const uint8_t *bools;
};

int vmig_device_set_irqs(struct vmig_device *dev, const struct vmig_irq_set *set);

/* --- DMA ---------------------------------------------------------------------------------- */

#define VMIG_DMA_READ  (1u << 0) /* the device may read */
#define VMIG_DMA_WRITE (1u << 1)
/* It is a part of another device's region: peer-to-peer. Its content belongs to that device and does not move as memory. */
#define VMIG_DMA_REGION (1u << 2)

#define VMIG_DMA_KIND_FD      (1u << 0) /* by file descriptor */
#define VMIG_DMA_KIND_ADDRESS (1u << 1) /* by address in this process (the kernel pins it) */
#define VMIG_DMA_KIND_MESSAGE (1u << 2) /* by asking the user for each access: struct vmig_dma_io */

/** How to reach memory that is not in this process. Called from any of the device's threads; may block;
 *  0 or a negative errno. */
struct vmig_dma_io {
	int (*read)(void *opaque, uint64_t iova, void *buf, size_t len);
	int (*write)(void *opaque, uint64_t iova, const void *buf, size_t len);
	void *opaque;
};

/**
 * One mapping: memory of the user's that the device may reach at @iova.
 *
 * @vaddr is where the memory is in this process, or NULL; then @io (valid until unmap) reaches it.
 * @fd (-1: none) may be passed on to a device in another process; it stays the caller's and may be
 * closed after the call.
 */
struct vmig_dma {
	uint64_t iova, size;
	uint32_t prot; /* VMIG_DMA_READ | VMIG_DMA_WRITE, VMIG_DMA_REGION */
	int fd;
	uint64_t fd_offset;
	void *vaddr;
	const struct vmig_dma_io *io;
};

/** -EEXIST: overlaps a mapping. -EINVAL: not page-aligned (4096), empty, it wraps, or there is no way to the memory.
 *  -EOPNOTSUPP: none of the ways that there are is of a kind that the device takes.
 *  -ENOSPC: too many, or the DMA log has no room for it. */
int vmig_device_map_dma(struct vmig_device *dev, const struct vmig_dma *map);
/** Exactly a mapping made before. -ENOENT: there is none. On return the device no longer touches it: this waits for
 *  its accesses, calls of struct vmig_dma_io too. Who answers those must answer, or fail, the ones that are out. */
int vmig_device_unmap_dma(struct vmig_device *dev, uint64_t iova, uint64_t size);

struct vmig_range {
	uint64_t iova, length;
};

/** Start logging the device's writes to @ranges at (about) *page_size, which is set to the one chosen.
 *  -EBUSY: started already. -EINVAL: no range, a bad one (empty, wraps, overlaps another, not a multiple of the page
 *  size), or a page size that is no power of two. -E2BIG: too many ranges. -ENOSPC: too much memory for one log.
 *  -EOPNOTSUPP. A model keeps bits only for what is mapped within the ranges, so a range may be enormous. */
int vmig_device_dma_log_start(struct vmig_device *dev, uint64_t *page_size, const struct vmig_range *ranges,
			      uint32_t n_ranges);
int vmig_device_dma_log_stop(struct vmig_device *dev);
/**
 * Read and clear the log for [@iova, @iova + @length): bit i of @bitmap (u64s, as many as it takes) is set
 * if page i of @page_size was written. Bits are only ever set. A write that races is in this report or the next.
 * A page of the log that is asked for only in part stays marked for the other part.
 * -EINVAL as above or not within the logged ranges, or not started. After another error all memory counts as dirty.
 */
int vmig_device_dma_log_report(struct vmig_device *dev, uint64_t iova, uint64_t length, uint64_t page_size,
			       uint64_t *bitmap);

#ifdef __cplusplus
}
#endif
#endif
