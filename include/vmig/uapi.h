/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * uapi - the facts of the kernel's VFIO interface, v1 and v2 side by side, for any system header.
 *
 * The linux/vfio.h and linux/iommufd.h of a distribution are as old as the distribution, and know
 * nothing of what a newer kernel offers nor, by their old names, of what an older one did. Here is our
 * own statement of numbers and layouts; it may be included before, after or without the system's.
 *
 * Names: VMIG_UAPI_X is VFIO_X, struct vmig_uapi_x is struct vfio_x with the same field names;
 * VMIG_UAPI_IOMMUFD_X is IOMMU_X, struct vmig_uapi_iommufd_x is struct iommu_x (vmig/uapi_iommufd.h).
 * Reserved fields may be named otherwise. Structs that end in an array of variable length are given
 * without it, so that C++ takes them too.
 *
 * Where from: a comment that begins with "Linux X.Y" names the first release that had what follows, up
 * to the next such comment; at a line's end it is for that line ("stable 6.12": which got it later).
 * tests/uapi/check-uapi compares every number and layout with the headers of several kernels, and every
 * X.Y with what they have and lack.
 *
 * VMIG_UAPI_PROVISIONAL, defined before, gives also what no release has yet; it may change or go.
 *
 * Names of v1 that Linux 5.18 took away fail to compile here, with a message that tells the new ones. A
 * program that has to keep them includes vmig/uapi_v1_names.h.
 */
#ifndef VMIG_UAPI_H
#define VMIG_UAPI_H

#include <stdint.h>
#include <sys/ioctl.h>

#ifdef __cplusplus
extern "C" {
#endif

/* 64 bits in the kernel's alignment, which is 8 also where the machine's own is 4. */
#define VMIG_UAPI_U64 uint64_t __attribute__((aligned(8)))

/* Linux 3.6 */
#define VMIG_UAPI_TYPE        (';')
#define VMIG_UAPI_BASE        100
#define VMIG_UAPI_API_VERSION 0

/* --- container and group ------------------------------------------------------------------ */

/* Linux 3.6; extensions of a container */
#define VMIG_UAPI_TYPE1_IOMMU   1
#define VMIG_UAPI_TYPE1v2_IOMMU 3  /* Linux 3.15 */
#define VMIG_UAPI_DMA_CC_IOMMU  4  /* Linux 3.15 */
#define VMIG_UAPI_NOIOMMU_IOMMU 8  /* Linux 4.5 */
#define VMIG_UAPI_UNMAP_ALL     9  /* Linux 5.12 */
#define VMIG_UAPI_UPDATE_VADDR  10 /* Linux 5.12 */

/* Linux 3.6 */
#define VMIG_UAPI_GET_API_VERSION _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 0)
#define VMIG_UAPI_CHECK_EXTENSION _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 1)
#define VMIG_UAPI_SET_IOMMU       _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 2)

struct vmig_uapi_group_status {
	uint32_t argsz;
	uint32_t flags;
};
#define VMIG_UAPI_GROUP_FLAGS_VIABLE        (1u << 0)
#define VMIG_UAPI_GROUP_FLAGS_CONTAINER_SET (1u << 1)

#define VMIG_UAPI_GROUP_GET_STATUS      _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 3)
#define VMIG_UAPI_GROUP_SET_CONTAINER   _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 4)
#define VMIG_UAPI_GROUP_UNSET_CONTAINER _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 5)
#define VMIG_UAPI_GROUP_GET_DEVICE_FD   _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 6)

/* --- device ------------------------------------------------------------------------------- */

/* Linux 4.6 */
struct vmig_uapi_info_cap_header {
	uint16_t id;
	uint16_t version;
	uint32_t next; /* from the start of the info struct; 0: the last */
};

/* Linux 3.6 */
struct vmig_uapi_device_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t num_regions;
	uint32_t num_irqs;
	uint32_t cap_offset; /* Linux 5.10 */
};
#define VMIG_UAPI_DEVICE_FLAGS_RESET (1u << 0)
#define VMIG_UAPI_DEVICE_FLAGS_PCI   (1u << 1)
#define VMIG_UAPI_DEVICE_FLAGS_CAPS  (1u << 7) /* Linux 5.10 */

#define VMIG_UAPI_DEVICE_GET_INFO _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 7)

/* Linux 6.5 */
#define VMIG_UAPI_DEVICE_INFO_CAP_PCI_ATOMIC_COMP 5
struct vmig_uapi_device_info_cap_pci_atomic_comp {
	struct vmig_uapi_info_cap_header header;
	uint32_t flags;
	uint32_t reserved;
};
#define VMIG_UAPI_PCI_ATOMIC_COMP32  (1u << 0)
#define VMIG_UAPI_PCI_ATOMIC_COMP64  (1u << 1)
#define VMIG_UAPI_PCI_ATOMIC_COMP128 (1u << 2)

/* Linux 3.6 */
struct vmig_uapi_region_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t cap_offset; /* Linux 4.6; reserved before */
	VMIG_UAPI_U64 size;
	VMIG_UAPI_U64 offset; /* from the start of the device's fd */
};
#define VMIG_UAPI_REGION_INFO_FLAG_READ  (1u << 0)
#define VMIG_UAPI_REGION_INFO_FLAG_WRITE (1u << 1)
#define VMIG_UAPI_REGION_INFO_FLAG_MMAP  (1u << 2)
#define VMIG_UAPI_REGION_INFO_FLAG_CAPS  (1u << 3) /* Linux 4.6 */

#define VMIG_UAPI_DEVICE_GET_REGION_INFO _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 8)

/* Linux 4.6 */
#define VMIG_UAPI_REGION_INFO_CAP_SPARSE_MMAP 1
struct vmig_uapi_region_sparse_mmap_area {
	VMIG_UAPI_U64 offset;
	VMIG_UAPI_U64 size;
};
/* Then nr_areas times the struct above. */
struct vmig_uapi_region_info_cap_sparse_mmap {
	struct vmig_uapi_info_cap_header header;
	uint32_t nr_areas;
	uint32_t reserved;
};

#define VMIG_UAPI_REGION_INFO_CAP_TYPE 2
struct vmig_uapi_region_info_cap_type {
	struct vmig_uapi_info_cap_header header;
	uint32_t type;
	uint32_t subtype;
};
#define VMIG_UAPI_REGION_TYPE_PCI_VENDOR_TYPE (1u << 31)
#define VMIG_UAPI_REGION_TYPE_PCI_VENDOR_MASK 0xffffu

/* Linux 4.16; a header only: the table of MSI-X may be mapped with the rest of its BAR */
#define VMIG_UAPI_REGION_INFO_CAP_MSIX_MAPPABLE 3

/* Linux 3.6 */
struct vmig_uapi_irq_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
};
#define VMIG_UAPI_IRQ_INFO_EVENTFD    (1u << 0)
#define VMIG_UAPI_IRQ_INFO_MASKABLE   (1u << 1)
#define VMIG_UAPI_IRQ_INFO_AUTOMASKED (1u << 2)
#define VMIG_UAPI_IRQ_INFO_NORESIZE   (1u << 3)

#define VMIG_UAPI_DEVICE_GET_IRQ_INFO _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 9)

/* Then the data: @count bytes (DATA_BOOL) or 32-bit descriptors (DATA_EVENTFD). */
struct vmig_uapi_irq_set {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t start;
	uint32_t count;
};
#define VMIG_UAPI_IRQ_SET_DATA_NONE      (1u << 0)
#define VMIG_UAPI_IRQ_SET_DATA_BOOL      (1u << 1)
#define VMIG_UAPI_IRQ_SET_DATA_EVENTFD   (1u << 2)
#define VMIG_UAPI_IRQ_SET_ACTION_MASK    (1u << 3)
#define VMIG_UAPI_IRQ_SET_ACTION_UNMASK  (1u << 4)
#define VMIG_UAPI_IRQ_SET_ACTION_TRIGGER (1u << 5)
#define VMIG_UAPI_IRQ_SET_DATA_TYPE_MASK                                                                     \
	(VMIG_UAPI_IRQ_SET_DATA_NONE | VMIG_UAPI_IRQ_SET_DATA_BOOL | VMIG_UAPI_IRQ_SET_DATA_EVENTFD)
#define VMIG_UAPI_IRQ_SET_ACTION_TYPE_MASK                                                                   \
	(VMIG_UAPI_IRQ_SET_ACTION_MASK | VMIG_UAPI_IRQ_SET_ACTION_UNMASK | VMIG_UAPI_IRQ_SET_ACTION_TRIGGER)

#define VMIG_UAPI_DEVICE_SET_IRQS _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 10)
#define VMIG_UAPI_DEVICE_RESET    _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 11)

/* --- PCI ---------------------------------------------------------------------------------- */

/* Linux 3.6 */
#define VMIG_UAPI_PCI_BAR0_REGION_INDEX   0
#define VMIG_UAPI_PCI_BAR1_REGION_INDEX   1
#define VMIG_UAPI_PCI_BAR2_REGION_INDEX   2
#define VMIG_UAPI_PCI_BAR3_REGION_INDEX   3
#define VMIG_UAPI_PCI_BAR4_REGION_INDEX   4
#define VMIG_UAPI_PCI_BAR5_REGION_INDEX   5
#define VMIG_UAPI_PCI_ROM_REGION_INDEX    6
#define VMIG_UAPI_PCI_CONFIG_REGION_INDEX 7
#define VMIG_UAPI_PCI_VGA_REGION_INDEX    8 /* Linux 3.9 */
#define VMIG_UAPI_PCI_NUM_REGIONS         9 /* what follows tells by its capability what it is */

#define VMIG_UAPI_PCI_INTX_IRQ_INDEX 0
#define VMIG_UAPI_PCI_MSI_IRQ_INDEX  1
#define VMIG_UAPI_PCI_MSIX_IRQ_INDEX 2
#define VMIG_UAPI_PCI_ERR_IRQ_INDEX  3 /* Linux 3.10 */
#define VMIG_UAPI_PCI_REQ_IRQ_INDEX  4 /* Linux 4.0 */
#define VMIG_UAPI_PCI_NUM_IRQS       5

/* Linux 3.12 */
struct vmig_uapi_pci_dependent_device {
	uint32_t group_id; /* the devid of a device that is bound to an iommufd */
	uint16_t segment;
	uint8_t bus;
	uint8_t devfn;
};
/* Then @count times the struct above. */
struct vmig_uapi_pci_hot_reset_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t count;
};
#define VMIG_UAPI_DEVICE_GET_PCI_HOT_RESET_INFO _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 12)
/* Then @count group fds, of 32 bits. */
struct vmig_uapi_pci_hot_reset {
	uint32_t argsz;
	uint32_t flags;
	uint32_t count;
};
#define VMIG_UAPI_DEVICE_PCI_HOT_RESET _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 13)

/* Linux 6.6 */
#define VMIG_UAPI_PCI_DEVID_OWNED                 0
#define VMIG_UAPI_PCI_DEVID_NOT_OWNED             -1
#define VMIG_UAPI_PCI_HOT_RESET_FLAG_DEV_ID       (1u << 0)
#define VMIG_UAPI_PCI_HOT_RESET_FLAG_DEV_ID_OWNED (1u << 1)

/* Linux 4.17; a doorbell: a write to the device when an eventfd fires */
struct vmig_uapi_device_ioeventfd {
	uint32_t argsz;
	uint32_t flags;
	VMIG_UAPI_U64 offset;
	VMIG_UAPI_U64 data;
	int32_t fd;
	uint32_t reserved; /* Linux 6.7 */
};
#define VMIG_UAPI_DEVICE_IOEVENTFD_8         (1u << 0)
#define VMIG_UAPI_DEVICE_IOEVENTFD_16        (1u << 1)
#define VMIG_UAPI_DEVICE_IOEVENTFD_32        (1u << 2)
#define VMIG_UAPI_DEVICE_IOEVENTFD_64        (1u << 3)
#define VMIG_UAPI_DEVICE_IOEVENTFD_SIZE_MASK 0xfu

#define VMIG_UAPI_DEVICE_IOEVENTFD _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 16)

/* --- the device's character device and iommufd --------------------------------------------- */

/* Linux 6.6 */
struct vmig_uapi_device_bind_iommufd {
	uint32_t argsz;
	uint32_t flags;
	int32_t iommufd;
	uint32_t out_devid;
	/* Newer kernels have more; argsz says what is known. */
};
#define VMIG_UAPI_DEVICE_BIND_IOMMUFD _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 18)

struct vmig_uapi_device_attach_iommufd_pt {
	uint32_t argsz;
	uint32_t flags;
	uint32_t pt_id;
};
#define VMIG_UAPI_DEVICE_ATTACH_IOMMUFD_PT _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 19)

struct vmig_uapi_device_detach_iommufd_pt {
	uint32_t argsz;
	uint32_t flags;
};
#define VMIG_UAPI_DEVICE_DETACH_IOMMUFD_PT _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 20)

/* Linux 6.15; flags of attach and detach that nobody here sets, and some set at us */
#define VMIG_UAPI_DEVICE_ATTACH_PASID (1u << 0)
#define VMIG_UAPI_DEVICE_DETACH_PASID (1u << 0)

/* Linux 6.17; the same, of bind */
#define VMIG_UAPI_DEVICE_BIND_FLAG_TOKEN (1u << 0)

/* --- features: one ioctl, the feature's own struct follows its header ---------------------- */

/* Linux 5.7 */
struct vmig_uapi_device_feature {
	uint32_t argsz;
	uint32_t flags; /* the feature's number and FEATURE_GET, _SET, _PROBE */
};
#define VMIG_UAPI_DEVICE_FEATURE_MASK  0xffffu
#define VMIG_UAPI_DEVICE_FEATURE_GET   (1u << 16)
#define VMIG_UAPI_DEVICE_FEATURE_SET   (1u << 17)
#define VMIG_UAPI_DEVICE_FEATURE_PROBE (1u << 18)

#define VMIG_UAPI_DEVICE_FEATURE _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 17)

#define VMIG_UAPI_DEVICE_FEATURE_PCI_VF_TOKEN 0

/* Linux 5.18; migration v2 */
#define VMIG_UAPI_DEVICE_FEATURE_MIGRATION 1
struct vmig_uapi_device_feature_migration {
	VMIG_UAPI_U64 flags;
};
#define VMIG_UAPI_MIGRATION_STOP_COPY (1u << 0)
#define VMIG_UAPI_MIGRATION_P2P       (1u << 1)
#define VMIG_UAPI_MIGRATION_PRE_COPY  (1u << 2) /* Linux 6.2 */

#define VMIG_UAPI_DEVICE_FEATURE_MIG_DEVICE_STATE 2
struct vmig_uapi_device_feature_mig_state {
	uint32_t device_state;
	int32_t data_fd;
};
#define VMIG_UAPI_DEVICE_STATE_ERROR        0
#define VMIG_UAPI_DEVICE_STATE_STOP         1
#define VMIG_UAPI_DEVICE_STATE_RUNNING      2
#define VMIG_UAPI_DEVICE_STATE_STOP_COPY    3
#define VMIG_UAPI_DEVICE_STATE_RESUMING     4
#define VMIG_UAPI_DEVICE_STATE_RUNNING_P2P  5
#define VMIG_UAPI_DEVICE_STATE_PRE_COPY     6 /* Linux 6.2 */
#define VMIG_UAPI_DEVICE_STATE_PRE_COPY_P2P 7 /* Linux 6.2 */

/* Linux 6.1; power, which some VMMs probe */
#define VMIG_UAPI_DEVICE_FEATURE_LOW_POWER_ENTRY             3
#define VMIG_UAPI_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP 4
#define VMIG_UAPI_DEVICE_FEATURE_LOW_POWER_EXIT              5

/* Linux 6.1; DMA logging */
#define VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_START 6
struct vmig_uapi_device_feature_dma_logging_control {
	VMIG_UAPI_U64 page_size;
	uint32_t num_ranges;
	uint32_t reserved;
	VMIG_UAPI_U64 ranges; /* address of the structs below */
};
struct vmig_uapi_device_feature_dma_logging_range {
	VMIG_UAPI_U64 iova;
	VMIG_UAPI_U64 length;
};
#define VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_STOP   7
#define VMIG_UAPI_DEVICE_FEATURE_DMA_LOGGING_REPORT 8
struct vmig_uapi_device_feature_dma_logging_report {
	VMIG_UAPI_U64 iova;
	VMIG_UAPI_U64 length;
	VMIG_UAPI_U64 page_size;
	VMIG_UAPI_U64 bitmap; /* address of u64s */
};

/* Linux 6.2 */
#define VMIG_UAPI_DEVICE_FEATURE_MIG_DATA_SIZE 9
struct vmig_uapi_device_feature_mig_data_size {
	VMIG_UAPI_U64 stop_copy_length;
};

/* Linux 6.7; of no PCI device */
#define VMIG_UAPI_DEVICE_FEATURE_BUS_MASTER 10

/* Linux 6.19; a region as a dma-buf, which QEMU 11 probes */
#define VMIG_UAPI_DEVICE_FEATURE_DMA_BUF 11

/* Linux 7.1; SET without data: from then on precopy_info.flags is assigned */
#define VMIG_UAPI_DEVICE_FEATURE_MIG_PRECOPY_INFOv2 12

/* Linux 7.3; of s390's PCI only */
#define VMIG_UAPI_DEVICE_FEATURE_ZPCI_ERROR 13

/* Linux 6.2; on the data transfer session's fd, in PRE_COPY states */
struct vmig_uapi_precopy_info {
	uint32_t argsz;
	uint32_t flags;
	VMIG_UAPI_U64 initial_bytes;
	VMIG_UAPI_U64 dirty_bytes;
};
#define VMIG_UAPI_PRECOPY_INFO_REINIT (1u << 0) /* Linux 7.1 */

#define VMIG_UAPI_MIG_GET_PRECOPY_INFO _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 21)

/* --- the migration region of v1: in use until v2 came; its numbers are reserved for ever ---- */

/* Linux 5.18, which gave these names to what had come without "_DEPRECATED" */
#define VMIG_UAPI_REGION_TYPE_MIGRATION_DEPRECATED    3
#define VMIG_UAPI_REGION_SUBTYPE_MIGRATION_DEPRECATED 1

/* Linux 5.8 */
struct vmig_uapi_device_migration_info {
	uint32_t device_state;
	uint32_t reserved;
	VMIG_UAPI_U64 pending_bytes;
	VMIG_UAPI_U64 data_offset;
	VMIG_UAPI_U64 data_size;
};

/* Linux 5.18, which put "_V1_" into these: their old names are the names of v2's states now */
#define VMIG_UAPI_DEVICE_STATE_V1_STOP     0
#define VMIG_UAPI_DEVICE_STATE_V1_RUNNING  (1 << 0)
#define VMIG_UAPI_DEVICE_STATE_V1_SAVING   (1 << 1)
#define VMIG_UAPI_DEVICE_STATE_V1_RESUMING (1 << 2)

/* Linux 5.8 */
#define VMIG_UAPI_DEVICE_STATE_MASK                                                                          \
	(VMIG_UAPI_DEVICE_STATE_V1_RUNNING | VMIG_UAPI_DEVICE_STATE_V1_SAVING |                              \
	 VMIG_UAPI_DEVICE_STATE_V1_RESUMING)
/* As the kernel has it: 110b, the error state, counts as invalid, reserved bits do not matter. */
#define VMIG_UAPI_DEVICE_STATE_VALID(state)                                                                  \
	((state)&VMIG_UAPI_DEVICE_STATE_V1_RESUMING                                                          \
		 ? ((state)&VMIG_UAPI_DEVICE_STATE_MASK) == VMIG_UAPI_DEVICE_STATE_V1_RESUMING               \
		 : 1)
#define VMIG_UAPI_DEVICE_STATE_IS_ERROR(state)                                                               \
	(((state)&VMIG_UAPI_DEVICE_STATE_MASK) ==                                                            \
	 (VMIG_UAPI_DEVICE_STATE_V1_SAVING | VMIG_UAPI_DEVICE_STATE_V1_RESUMING))
#define VMIG_UAPI_DEVICE_STATE_SET_ERROR(state)                                                              \
	(((state) & ~VMIG_UAPI_DEVICE_STATE_MASK) | VMIG_UAPI_DEVICE_STATE_V1_SAVING |                       \
	 VMIG_UAPI_DEVICE_STATE_V1_RESUMING)

/* What these are called now. No macros: a system header that still has the names may come later. */
#if defined(__has_attribute) && __has_attribute(unavailable)
#define VMIG_UAPI_GONE(text) __attribute__((unavailable(text)))
#else
#define VMIG_UAPI_GONE(text) __attribute__((deprecated(text)))
#endif
enum {
#ifndef VFIO_REGION_TYPE_MIGRATION
	VFIO_REGION_TYPE_MIGRATION VMIG_UAPI_GONE(
		"v1; use VMIG_UAPI_REGION_TYPE_MIGRATION_DEPRECATED, or include <vmig/uapi_v1_names.h>") = 3,
#endif
#ifndef VFIO_REGION_SUBTYPE_MIGRATION
	VFIO_REGION_SUBTYPE_MIGRATION VMIG_UAPI_GONE(
		"v1; use VMIG_UAPI_REGION_SUBTYPE_MIGRATION_DEPRECATED, or include <vmig/uapi_v1_names.h>") =
		1,
#endif
#ifndef VFIO_DEVICE_STATE_SAVING
	VFIO_DEVICE_STATE_SAVING VMIG_UAPI_GONE(
		"v1; use VMIG_UAPI_DEVICE_STATE_V1_SAVING (and _V1_STOP, _V1_RUNNING, _V1_RESUMING: without "
		"_V1_ those are v2's states), or include <vmig/uapi_v1_names.h>") = 2,
#endif
	VMIG_UAPI_REGION_TYPE_MIGRATION VMIG_UAPI_GONE("v1; use VMIG_UAPI_REGION_TYPE_MIGRATION_DEPRECATED") =
		3,
	VMIG_UAPI_REGION_SUBTYPE_MIGRATION VMIG_UAPI_GONE(
		"v1; use VMIG_UAPI_REGION_SUBTYPE_MIGRATION_DEPRECATED") = 1,
	VMIG_UAPI_DEVICE_STATE_SAVING VMIG_UAPI_GONE(
		"v1; use VMIG_UAPI_DEVICE_STATE_V1_SAVING (and _V1_STOP, "
		"_V1_RUNNING, _V1_RESUMING)") = 2,
};

/* --- DMA of a type1 container -------------------------------------------------------------- */

/* Linux 3.6 */
struct vmig_uapi_iommu_type1_info {
	uint32_t argsz;
	uint32_t flags;
	VMIG_UAPI_U64 iova_pgsizes;
	uint32_t cap_offset; /* Linux 5.4 */
};
#define VMIG_UAPI_IOMMU_INFO_PGSIZES (1u << 0)
#define VMIG_UAPI_IOMMU_INFO_CAPS    (1u << 1) /* Linux 5.4 */
#define VMIG_UAPI_IOMMU_GET_INFO     _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 12)

/* Linux 5.4 */
#define VMIG_UAPI_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE 1
struct vmig_uapi_iova_range {
	uint64_t start;
	uint64_t end; /* the last byte, not the one behind it */
};
/* Then nr_iovas times the struct above. */
struct vmig_uapi_iommu_type1_info_cap_iova_range {
	struct vmig_uapi_info_cap_header header;
	uint32_t nr_iovas;
	uint32_t reserved;
};

/* Linux 5.8; that it is there says that the container can log dirty pages */
#define VMIG_UAPI_IOMMU_TYPE1_INFO_CAP_MIGRATION 2
struct vmig_uapi_iommu_type1_info_cap_migration {
	struct vmig_uapi_info_cap_header header;
	uint32_t flags;
	uint64_t pgsize_bitmap;
	uint64_t max_dirty_bitmap_size; /* in bytes */
};

/* Linux 5.10 */
#define VMIG_UAPI_IOMMU_TYPE1_INFO_DMA_AVAIL 3
struct vmig_uapi_iommu_type1_info_dma_avail {
	struct vmig_uapi_info_cap_header header;
	uint32_t avail;
};

/* Linux 3.6 */
struct vmig_uapi_iommu_type1_dma_map {
	uint32_t argsz;
	uint32_t flags;
	uint64_t vaddr;
	uint64_t iova;
	uint64_t size;
};
#define VMIG_UAPI_DMA_MAP_FLAG_READ  (1u << 0)
#define VMIG_UAPI_DMA_MAP_FLAG_WRITE (1u << 1)
#define VMIG_UAPI_DMA_MAP_FLAG_VADDR (1u << 2) /* Linux 5.12 */

#define VMIG_UAPI_IOMMU_MAP_DMA _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 13)

/* With GET_DIRTY_BITMAP, a struct vmig_uapi_bitmap follows. */
struct vmig_uapi_iommu_type1_dma_unmap {
	uint32_t argsz;
	uint32_t flags;
	uint64_t iova;
	uint64_t size; /* in: to unmap; out: unmapped */
};
#define VMIG_UAPI_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP (1u << 0) /* Linux 5.8 */
#define VMIG_UAPI_DMA_UNMAP_FLAG_ALL              (1u << 1) /* Linux 5.12 */
#define VMIG_UAPI_DMA_UNMAP_FLAG_VADDR            (1u << 2) /* Linux 5.12 */

#define VMIG_UAPI_IOMMU_UNMAP_DMA _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 14)

/* Linux 5.8; the dirty pages of a container, which came with v1 and is what v1 has */
struct vmig_uapi_bitmap {
	uint64_t pgsize;
	uint64_t size; /* in bytes */
	uint64_t *data;
};
/* With GET_BITMAP, the struct below follows. One flag at a time. */
struct vmig_uapi_iommu_type1_dirty_bitmap {
	uint32_t argsz;
	uint32_t flags;
};
#define VMIG_UAPI_IOMMU_DIRTY_PAGES_FLAG_START      (1u << 0)
#define VMIG_UAPI_IOMMU_DIRTY_PAGES_FLAG_STOP       (1u << 1)
#define VMIG_UAPI_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP (1u << 2)
struct vmig_uapi_iommu_type1_dirty_bitmap_get {
	uint64_t iova;
	uint64_t size;
	struct vmig_uapi_bitmap bitmap;
};
#define VMIG_UAPI_IOMMU_DIRTY_PAGES _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 17)

/* --- provisional: in no release -------------------------------------------------------------- */

#ifdef VMIG_UAPI_PROVISIONAL
/*
 * VFIO_DEVICE_FEATURE_DMA_BUF_TPH, processing hints of a region's dma-buf: v9 as posted to kvm@vger.kernel.org
 * on 22 June 2026 (message 20260622184211.2229399-4-zhipingz@meta.com). Without its number: that was 13, which
 * Linux 7.3 has given to another feature.
 */
struct vmig_uapi_device_feature_dma_buf_tph {
	int32_t dmabuf_fd;
	uint32_t flags;
	uint16_t steering_tag_ext;
	uint8_t steering_tag;
	uint8_t ph;
};
#define VMIG_UAPI_DMA_BUF_TPH_ST     (1u << 0)
#define VMIG_UAPI_DMA_BUF_TPH_ST_EXT (1u << 1)
#endif

#ifdef __cplusplus
}
#endif

#include <vmig/uapi_iommufd.h>

#endif
