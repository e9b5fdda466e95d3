/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * uapi - the facts of the kernel's VFIO interface that this library stands on, for any system header.
 *
 * The linux/vfio.h and linux/iommufd.h of a distribution are as old as the distribution, and know
 * nothing of what a newer kernel offers. Here is our own statement of numbers and layouts; it may be
 * included before, after or without the system's.
 *
 * Names: VMIG_UAPI_X is VFIO_X, struct vmig_uapi_x is struct vfio_x with the same field names;
 * VMIG_UAPI_IOMMUFD_X is IOMMU_X, struct vmig_uapi_iommufd_x is struct iommu_x. By this rule
 * tests/uapi/check-uapi compares every number and layout with the headers of several kernels.
 * Reserved fields may be named otherwise. Structs that end in an array of variable length are given
 * without it, so that C++ takes them too.
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

#define VMIG_UAPI_TYPE        (';')
#define VMIG_UAPI_BASE        100
#define VMIG_UAPI_API_VERSION 0

/* --- container and group ------------------------------------------------------------------ */

#define VMIG_UAPI_TYPE1v2_IOMMU 3

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

struct vmig_uapi_info_cap_header {
	uint16_t id;
	uint16_t version;
	uint32_t next; /* from the start of the info struct; 0: the last */
};

struct vmig_uapi_device_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t num_regions;
	uint32_t num_irqs;
	/* Newer kernels have more; argsz says what we know. */
};
#define VMIG_UAPI_DEVICE_FLAGS_RESET (1u << 0)
#define VMIG_UAPI_DEVICE_FLAGS_PCI   (1u << 1)
#define VMIG_UAPI_DEVICE_FLAGS_CAPS  (1u << 7)

#define VMIG_UAPI_DEVICE_GET_INFO _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 7)

struct vmig_uapi_region_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t cap_offset;
	VMIG_UAPI_U64 size;
	VMIG_UAPI_U64 offset; /* from the start of the device's fd */
};
#define VMIG_UAPI_REGION_INFO_FLAG_READ  (1u << 0)
#define VMIG_UAPI_REGION_INFO_FLAG_WRITE (1u << 1)
#define VMIG_UAPI_REGION_INFO_FLAG_MMAP  (1u << 2)
#define VMIG_UAPI_REGION_INFO_FLAG_CAPS  (1u << 3)

#define VMIG_UAPI_DEVICE_GET_REGION_INFO _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 8)

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

#define VMIG_UAPI_DEVICE_SET_IRQS _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 10)
#define VMIG_UAPI_DEVICE_RESET    _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 11)

/* --- the device's character device and iommufd (Linux 6.6) -------------------------------- */

struct vmig_uapi_device_bind_iommufd {
	uint32_t argsz;
	uint32_t flags;
	int32_t iommufd;
	uint32_t out_devid;
};
#define VMIG_UAPI_DEVICE_BIND_IOMMUFD _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 18)

struct vmig_uapi_device_attach_iommufd_pt {
	uint32_t argsz;
	uint32_t flags;
	uint32_t pt_id;
};
#define VMIG_UAPI_DEVICE_ATTACH_IOMMUFD_PT _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 19)

/* --- features: one ioctl, the feature's own struct follows its header ---------------------- */

struct vmig_uapi_device_feature {
	uint32_t argsz;
	uint32_t flags; /* the feature's number and FEATURE_GET, _SET, _PROBE */
};
#define VMIG_UAPI_DEVICE_FEATURE_MASK  0xffffu
#define VMIG_UAPI_DEVICE_FEATURE_GET   (1u << 16)
#define VMIG_UAPI_DEVICE_FEATURE_SET   (1u << 17)
#define VMIG_UAPI_DEVICE_FEATURE_PROBE (1u << 18)

#define VMIG_UAPI_DEVICE_FEATURE _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 17)

/* Migration v2 (Linux 5.18; P2P 5.18, PRE_COPY 6.2). */
#define VMIG_UAPI_DEVICE_FEATURE_MIGRATION 1
struct vmig_uapi_device_feature_migration {
	VMIG_UAPI_U64 flags;
};
#define VMIG_UAPI_MIGRATION_STOP_COPY (1u << 0)
#define VMIG_UAPI_MIGRATION_P2P       (1u << 1)
#define VMIG_UAPI_MIGRATION_PRE_COPY  (1u << 2)

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
#define VMIG_UAPI_DEVICE_STATE_PRE_COPY     6
#define VMIG_UAPI_DEVICE_STATE_PRE_COPY_P2P 7

/* DMA logging (Linux 6.1). */
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

/* Linux 6.2. */
#define VMIG_UAPI_DEVICE_FEATURE_MIG_DATA_SIZE 9
struct vmig_uapi_device_feature_mig_data_size {
	VMIG_UAPI_U64 stop_copy_length;
};

/* SET without data: from then on precopy_info.flags is assigned (Linux 7). */
#define VMIG_UAPI_DEVICE_FEATURE_MIG_PRECOPY_INFOv2 12

/* On the data transfer session's fd, in PRE_COPY states (Linux 6.2). */
struct vmig_uapi_precopy_info {
	uint32_t argsz;
	uint32_t flags;
	VMIG_UAPI_U64 initial_bytes;
	VMIG_UAPI_U64 dirty_bytes;
};
#define VMIG_UAPI_PRECOPY_INFO_REINIT (1u << 0)

#define VMIG_UAPI_MIG_GET_PRECOPY_INFO _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 21)

/* --- the migration region of v1 (Linux 5.7 to 5.17; the numbers are reserved for ever) ------ */

#define VMIG_UAPI_REGION_TYPE_MIGRATION_DEPRECATED    3
#define VMIG_UAPI_REGION_SUBTYPE_MIGRATION_DEPRECATED 1

struct vmig_uapi_device_migration_info {
	uint32_t device_state;
	uint32_t reserved;
	VMIG_UAPI_U64 pending_bytes;
	VMIG_UAPI_U64 data_offset;
	VMIG_UAPI_U64 data_size;
};
#define VMIG_UAPI_DEVICE_STATE_V1_STOP     0
#define VMIG_UAPI_DEVICE_STATE_V1_RUNNING  (1 << 0)
#define VMIG_UAPI_DEVICE_STATE_V1_SAVING   (1 << 1)
#define VMIG_UAPI_DEVICE_STATE_V1_RESUMING (1 << 2)
#define VMIG_UAPI_DEVICE_STATE_MASK                                                                          \
	(VMIG_UAPI_DEVICE_STATE_V1_RUNNING | VMIG_UAPI_DEVICE_STATE_V1_SAVING |                              \
	 VMIG_UAPI_DEVICE_STATE_V1_RESUMING)
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

/* --- DMA mappings of a type1 container ---------------------------------------------------- */

struct vmig_uapi_iommu_type1_dma_map {
	uint32_t argsz;
	uint32_t flags;
	VMIG_UAPI_U64 vaddr;
	VMIG_UAPI_U64 iova;
	VMIG_UAPI_U64 size;
};
#define VMIG_UAPI_DMA_MAP_FLAG_READ  (1u << 0)
#define VMIG_UAPI_DMA_MAP_FLAG_WRITE (1u << 1)

#define VMIG_UAPI_IOMMU_MAP_DMA _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 13)

struct vmig_uapi_iommu_type1_dma_unmap {
	uint32_t argsz;
	uint32_t flags;
	VMIG_UAPI_U64 iova;
	VMIG_UAPI_U64 size; /* in: to unmap; out: unmapped */
};
#define VMIG_UAPI_IOMMU_UNMAP_DMA _IO(VMIG_UAPI_TYPE, VMIG_UAPI_BASE + 14)

/* --- iommufd ------------------------------------------------------------------------------ */

struct vmig_uapi_iommufd_ioas_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t out_ioas_id;
};
#define VMIG_UAPI_IOMMUFD_IOAS_ALLOC _IO(VMIG_UAPI_TYPE, 0x81)

struct vmig_uapi_iommufd_ioas_map {
	uint32_t size;
	uint32_t flags;
	uint32_t ioas_id;
	uint32_t reserved;
	VMIG_UAPI_U64 user_va;
	VMIG_UAPI_U64 length;
	VMIG_UAPI_U64 iova;
};
#define VMIG_UAPI_IOMMUFD_IOAS_MAP_FIXED_IOVA (1u << 0)
#define VMIG_UAPI_IOMMUFD_IOAS_MAP_WRITEABLE  (1u << 1)
#define VMIG_UAPI_IOMMUFD_IOAS_MAP_READABLE   (1u << 2)
#define VMIG_UAPI_IOMMUFD_IOAS_MAP            _IO(VMIG_UAPI_TYPE, 0x85)

struct vmig_uapi_iommufd_ioas_unmap {
	uint32_t size;
	uint32_t ioas_id;
	VMIG_UAPI_U64 iova;
	VMIG_UAPI_U64 length; /* in: to unmap; out: unmapped */
};
#define VMIG_UAPI_IOMMUFD_IOAS_UNMAP _IO(VMIG_UAPI_TYPE, 0x86)

#ifdef __cplusplus
}
#endif
#endif
