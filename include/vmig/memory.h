/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * memory - the memory that devices do DMA to, as a thing that migrates, and which of its pages were written.
 *
 * Two levels. A user who leaves its memory to vmig makes a device of it (vmig_memory_new()) and puts that beside the
 * others into vmig_migrate_source() and vmig_migrate_destination(): its pages move in rounds while the devices run, and
 * what is dirty then when all of them have stopped. A VMM that moves its memory itself asks a log (vmig_memory_log_new())
 * which pages its devices have written: one bitmap, whoever tracks.
 *
 * Who can track: a device's own DMA log, or the IOMMU's dirty tracking (VMIG_HAS_DMA_LOG, VMIG_HAS_IOMMU_LOG), and the
 * user, for what it writes itself. Where one of them cannot, every page counts as dirty, and that is said:
 * vmig_device_query_note(), vmig_memory_log_note(), and a VMIG_EVENT_WARNING of the migration.
 */
#ifndef VMIG_MEMORY_H
#define VMIG_MEMORY_H

#include <stdint.h>

#include <vmig/device.h>
#include <vmig/space.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- memory as a device ------------------------------------------------------------------- */

/** The most regions of one memory. */
#define VMIG_MEMORY_REGIONS_MAX 1024u

/** Memory that lies at @iova for the devices. @iova and @size are multiples of @page_size. */
struct vmig_memory_region {
	uint64_t iova, size;
	uint64_t page_size; /* in which it is tracked and sent: a power of two from 4096 on, 4096 if 0 */
	void *vaddr;        /* where it is in this process; may be NULL if there is an @fd */
	int fd;             /* -1: none. With one, it is mapped anew, and @vaddr is not used */
	uint64_t fd_offset;
};

/**
 * Read and clear what the user itself has written since the last call: set bit i of @bitmap if page i of @page_size from
 * @iova on was. A page must be marked after it was written, not before. From the threads of the migration. 0 or a
 * negative errno: then all of it counts as dirty.
 */
typedef int (*vmig_memory_dirty)(void *opaque, uint64_t iova, uint64_t length, uint64_t page_size,
				 uint64_t *bitmap);

struct vmig_memory_config {
	/* The memory: regions, in any order, or, if there are none, all that is mapped in @space now but for what is
	 * marked VMIG_DMA_REGION. Memory that can only be had by struct vmig_dma_io cannot be moved so. */
	const struct vmig_memory_region *regions;
	uint32_t n_regions;
	struct vmig_space *space;
	/* Whose DMA may write to it. They must outlive the memory's device, and nobody else starts a log of theirs. */
	struct vmig_device *const *devices;
	uint32_t n_devices;
	vmig_memory_dirty dirty; /* NULL: see @quiet */
	bool quiet; /* the user itself writes nothing to it while it migrates. Neither this nor @dirty: every page is dirty */
	void *opaque;
};

/**
 * Make a device of memory: VMIG_TRAIT_MEMORY, so that it stops after all others; STOP_COPY and P2P, and PRE_COPY if all
 * that may write to it can be tracked. At the destination the memory must have the same regions (iova, size, page size), which is
 * judged at the offer; what is loaded lies in it before any device runs. A region may not be unmapped, moved or cut short
 * while the device is open; an fd may be closed, and the arrays are copied.
 *
 * Returns 0; -EINVAL: no region, a bad one (not aligned, empty, wraps, no way to it), two overlap; -E2BIG: too many;
 * -ENOMEM; or the errno of mmap().
 */
int vmig_memory_new(const struct vmig_memory_config *config, struct vmig_device **ret);

/* --- the merged log ----------------------------------------------------------------------- */

struct vmig_memory_log;

/**
 * Start to log what @devices write to @ranges, in pages of @page_size (the finest that will be asked for). A device that
 * cannot log, or fails to, does not fail this: all memory counts as dirty then. One that cannot take so many ranges, or
 * no pages so small, is asked for fewer and larger ones. @devices must outlive the log.
 * -EINVAL: no range, or a bad one (as vmig_device_dma_log_start()), or they overlap. -E2BIG: over 1024 ranges, or too
 * many pages. -ENOMEM.
 */
int vmig_memory_log_new(struct vmig_device *const *devices, uint32_t n_devices,
			const struct vmig_range *ranges, uint32_t n_ranges, uint64_t page_size,
			struct vmig_memory_log **ret);
/** Stop them all. NULL is allowed. */
void vmig_memory_log_free(struct vmig_memory_log *log);

/**
 * Read and clear: bit i of @bitmap is set if page i of @page_size from @iova on was written by any of the devices, or marked.
 * Bits are only ever set. A write that races is in this report or in the next. A page of the log that is asked for only in
 * part stays dirty for the other part. Blocks; one report at a time.
 * Returns 0; -EINVAL: empty, wraps, not within the ranges, or @page_size is no power of two. A device that fails to report
 * makes all of its memory dirty: in this report what was asked for, in the next ones the rest.
 */
int vmig_memory_log_report(struct vmig_memory_log *log, uint64_t iova, uint64_t length, uint64_t page_size,
			   uint64_t *bitmap);

/** The user has written [@iova, @iova + @length): after it did. What is not within the ranges is ignored. Any thread, never blocks. */
void vmig_memory_log_mark(struct vmig_memory_log *log, uint64_t iova, uint64_t length);

/** Why all memory counts as dirty, for a person; "" if it does not. Valid until the next report. */
const char *vmig_memory_log_note(const struct vmig_memory_log *log);

#ifdef __cplusplus
}
#endif
#endif
