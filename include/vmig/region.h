/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * region - the migration region of v1, on both ends. Decorators: each makes a device of a device.
 *
 *	vmig_show_v1()	a device that migrates by v2 becomes one that migrates by v1 only: it has one more
 *			region, of type 3, subtype 1, and no v2 features any more
 *	vmig_drive_v1()	a device with such a region becomes one with the semantics of struct vmig_device
 *
 * So every composition works: v1 shown on a v2 device, driven as v2, shown as v1 again.
 *
 * v1 was never stable and is off unless asked for: nobody calls vmig_show_v1() by default.
 */
#ifndef VMIG_REGION_H
#define VMIG_REGION_H

#include <vmig/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How the data section of the region can be reached. */
enum vmig_v1_section {
	VMIG_V1_SECTION_TRAPPED,     /* by read and write of the region only */
	VMIG_V1_SECTION_MAPPED,      /* it can be mapped as well: a sparse area behind the registers */
	VMIG_V1_SECTION_PARTITIONED, /* several areas that can be mapped, with data outside of them too */
};

/** Zero is a default for all. */
struct vmig_v1_config {
	enum vmig_v1_section section;
	uint64_t section_size; /* bytes, a multiple of 4096; 1 MiB */
	/**
	 * A failure on purpose, at each access to a register: @offset is the register's, @value what is being
	 * written. Returns 0, or a negative errno with which the access fails. NULL: none. May block.
	 */
	int (*fault)(void *opaque, uint64_t offset, bool is_write, uint64_t value);
	void *opaque;
};

/**
 * The format of a device that vmig_drive_v1() has made: its stream keeps the sizes of the transactions, so only a v1
 * device takes it. "v1+v1": that was shown by v1 again, and driven again.
 */
#define VMIG_FORMAT_V1 "v1"

/**
 * Show @dev through a migration region: its index is the number of regions that @dev has.
 * @dev is taken over when this succeeds. @config may be NULL: all defaults.
 *
 * Everything else of @dev is passed through. The DMA log, if there is one, stays usable through the handle, as the
 * IOMMU's (VMIG_HAS_IOMMU_LOG): v1 knows no device feature for it. A reset of the handle resets @dev, and leads out
 * of the error state.
 *
 * The registers are those of struct vfio_device_migration_info, at offset 0. An access that is not of one register's
 * own width, at its place, or of bytes within the data section, is -EINVAL.
 *
 *	device_state   written: -EINVAL for 5, 6, 7 and for transitions that are not in the table; -EIO in the
 *	               error state; else what the device answered, which has stopped when 0, 2 or 4 is written.
 *	               Read: what was last written with success, bits 3 to 31 too; after a failure still that,
 *	               since the device is walked back; the error state (6) where that cannot be done.
 *	pending_bytes  fills the section as far as there is data, so that it is 0 exactly when there is none.
 *	               It says "the last buffer has been taken" only after data_offset and data_size were read.
 *	data_offset    nonzero in every state
 *	data_size      written in _RESUMING only, with at most the section's size; returns when @dev has taken the
 *	               data. A failure is remembered: only a reset leads on.
 *
 *	      to 0 STOP  1 RUNNING  2 SAVING  3 PRE-COPY  4 RESUMING
 *	from 0     -        yes        yes        no         yes
 *	     1    yes        -         yes        yes        yes
 *	     2    yes       yes         -         no         no
 *	     3    yes       yes        yes         -         no
 *	     4    yes       yes        no         no          -
 *
 * A device without a pre-copy of its own runs on in 3, with pending_bytes 0. In 4, STOP and RUNNING judge what was
 * loaded; if they refuse it the device stays in 4. The device is shown in 1 or 0, as it is; one that was left in
 * the middle of something is brought to one of these, or shown in the error state.
 *
 * The mapped file of the section has the region at offset index << 40, where it is in a VFIO device's descriptor.
 * Its size is sealed.
 *
 * Returns 0, or -EOPNOTSUPP (it does not migrate), -EINVAL (a section size that cannot be: no multiple of 4096, more
 * than 1 GiB, less than 4 pages where it is partitioned; or too many regions), -ENOMEM, -EMFILE.
 */
int vmig_show_v1(struct vmig_device *dev, const struct vmig_v1_config *config, struct vmig_device **ret);

/** Zero is a default for all. */
struct vmig_v1_drive_config {
	/* Reach the data section by read and write of the region only, also where it says that it can be mapped. */
	bool no_mmap;
};

/**
 * Drive @dev through its migration region, which is found by its capability (type 3, subtype 1; never by its
 * index). @config may be NULL. @dev is taken over when this succeeds. The region itself is not shown any more.
 *
 * What is asked of such a handle is a target; v1 has other arcs than v2:
 *	- RESUMING is entered from RUNNING, and left for RUNNING, in one write each. STOP after RESUMING writes nothing:
 *	  the data are judged by the write that makes the device run (VMIG_TRAIT_LATE_VALIDATION). STOP before RESUMING
 *	  is a real one; who then asks for RESUMING makes the device run for an instant. Ask for RESUMING at once.
 *	- A device whose state has been loaded must run before it can be saved or loaded again: -EINVAL until then.
 *	- There is no P2P. Every device has PRE_COPY; it may have no data in it.
 *
 * Its stream is of the format VMIG_FORMAT_V1: each transaction of the region, in the order and of the size in which
 * the device gave it, behind 16 bytes, little-endian:
 *
 *	"VM1T"  u32 number of the transaction, from 0  u64 its size; 0: the end of the stream
 *
 * The stream may be cut anywhere on its way (VMIG_TRAIT_TRANSACTION_SIZES is kept by these frames). A frame that is
 * not the next one, or does not fit the data section, fails the write with -EBADMSG; a stream that has not come to
 * its end keeps the device from leaving RESUMING by anything but a reset.
 *
 * Returns 0, or, with *ret_error (may be NULL) filled in:
 *   -EOPNOTSUPP  there is no migration region    -EPROTO  there is one, but it cannot be one
 *   -ENOMEM, -ECONNRESET, ...
 */
int vmig_drive_v1(struct vmig_device *dev, const struct vmig_v1_drive_config *config,
		  struct vmig_device **ret, struct vmig_error *ret_error);

#ifdef __cplusplus
}
#endif
#endif
