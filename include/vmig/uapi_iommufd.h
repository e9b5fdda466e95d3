/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * uapi_iommufd - the facts of linux/iommufd.h that VFIO devices are used with. Included by vmig/uapi.h,
 * which tells the rules of names, and what "Linux X.Y" says.
 *
 * Every struct begins with its own size: a kernel that knows a shorter one takes a longer one whose rest
 * is zero. So a field that came later may be given to any kernel as long as it is not used.
 */
#ifndef VMIG_UAPI_IOMMUFD_H
#define VMIG_UAPI_IOMMUFD_H

#include <vmig/uapi.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Linux 6.2 */
struct vmig_uapi_iommufd_destroy {
	uint32_t size;
	uint32_t id;
};
#define VMIG_UAPI_IOMMUFD_DESTROY _IO(VMIG_UAPI_TYPE, 0x80)

/* --- I/O address spaces --------------------------------------------------------------------- */

/* Linux 6.2 */
struct vmig_uapi_iommufd_ioas_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t out_ioas_id;
};
#define VMIG_UAPI_IOMMUFD_IOAS_ALLOC _IO(VMIG_UAPI_TYPE, 0x81)

struct vmig_uapi_iommufd_iova_range {
	VMIG_UAPI_U64 start;
	VMIG_UAPI_U64 last;
};
struct vmig_uapi_iommufd_ioas_allow_iovas {
	uint32_t size;
	uint32_t ioas_id;
	uint32_t num_iovas;
	uint32_t reserved;
	VMIG_UAPI_U64 allowed_iovas; /* address of the structs above */
};
#define VMIG_UAPI_IOMMUFD_IOAS_ALLOW_IOVAS _IO(VMIG_UAPI_TYPE, 0x82)

struct vmig_uapi_iommufd_ioas_copy {
	uint32_t size;
	uint32_t flags;
	uint32_t dst_ioas_id;
	uint32_t src_ioas_id;
	VMIG_UAPI_U64 length;
	VMIG_UAPI_U64 dst_iova;
	VMIG_UAPI_U64 src_iova;
};
#define VMIG_UAPI_IOMMUFD_IOAS_COPY _IO(VMIG_UAPI_TYPE, 0x83)

struct vmig_uapi_iommufd_ioas_iova_ranges {
	uint32_t size;
	uint32_t ioas_id;
	uint32_t num_iovas; /* in: room; out: how many there are, with EMSGSIZE if that is more */
	uint32_t reserved;
	VMIG_UAPI_U64 allowed_iovas; /* address of the structs above */
	VMIG_UAPI_U64 out_iova_alignment;
};
#define VMIG_UAPI_IOMMUFD_IOAS_IOVA_RANGES _IO(VMIG_UAPI_TYPE, 0x84)

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

struct vmig_uapi_iommufd_option {
	uint32_t size;
	uint32_t option_id;
	uint16_t op;
	uint16_t reserved;
	uint32_t object_id;
	VMIG_UAPI_U64 val64;
};
#define VMIG_UAPI_IOMMUFD_OPTION_RLIMIT_MODE 0
#define VMIG_UAPI_IOMMUFD_OPTION_HUGE_PAGES  1
#define VMIG_UAPI_IOMMUFD_OPTION_OP_SET      0
#define VMIG_UAPI_IOMMUFD_OPTION_OP_GET      1
#define VMIG_UAPI_IOMMUFD_OPTION             _IO(VMIG_UAPI_TYPE, 0x87)

struct vmig_uapi_iommufd_vfio_ioas {
	uint32_t size;
	uint32_t ioas_id;
	uint16_t op;
	uint16_t reserved;
};
#define VMIG_UAPI_IOMMUFD_VFIO_IOAS_GET   0
#define VMIG_UAPI_IOMMUFD_VFIO_IOAS_SET   1
#define VMIG_UAPI_IOMMUFD_VFIO_IOAS_CLEAR 2
#define VMIG_UAPI_IOMMUFD_VFIO_IOAS       _IO(VMIG_UAPI_TYPE, 0x88)

/* Linux 6.13; memory by its file instead of its address */
struct vmig_uapi_iommufd_ioas_map_file {
	uint32_t size;
	uint32_t flags;
	uint32_t ioas_id;
	int32_t fd;
	VMIG_UAPI_U64 start;
	VMIG_UAPI_U64 length;
	VMIG_UAPI_U64 iova;
};
#define VMIG_UAPI_IOMMUFD_IOAS_MAP_FILE _IO(VMIG_UAPI_TYPE, 0x8f)

/* Linux 6.13; live update of a VMM: the mappings change to another process */
struct vmig_uapi_iommufd_ioas_change_process {
	uint32_t size;
	uint32_t reserved;
};
#define VMIG_UAPI_IOMMUFD_IOAS_CHANGE_PROCESS _IO(VMIG_UAPI_TYPE, 0x92)

/* --- hardware page tables, with dirty tracking ----------------------------------------------- */

/* Linux 6.6 */
struct vmig_uapi_iommufd_hwpt_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t dev_id;
	uint32_t pt_id;
	uint32_t out_hwpt_id;
	uint32_t reserved;
	uint32_t data_type;      /* Linux 6.8 */
	uint32_t data_len;       /* Linux 6.8 */
	VMIG_UAPI_U64 data_uptr; /* Linux 6.8 */
	uint32_t fault_id;       /* Linux 6.11 */
	uint32_t reserved2;      /* Linux 6.11 */
};
#define VMIG_UAPI_IOMMUFD_HWPT_ALLOC_NEST_PARENT    (1u << 0) /* Linux 6.7 */
#define VMIG_UAPI_IOMMUFD_HWPT_ALLOC_DIRTY_TRACKING (1u << 1) /* Linux 6.7 */
#define VMIG_UAPI_IOMMUFD_HWPT_FAULT_ID_VALID       (1u << 2) /* Linux 6.11 */
#define VMIG_UAPI_IOMMUFD_HWPT_ALLOC_PASID          (1u << 3) /* Linux 6.15 */
#define VMIG_UAPI_IOMMUFD_HWPT_DATA_NONE            0         /* Linux 6.8 */
#define VMIG_UAPI_IOMMUFD_HWPT_ALLOC                _IO(VMIG_UAPI_TYPE, 0x89)

struct vmig_uapi_iommufd_hw_info {
	uint32_t size;
	uint32_t flags;
	uint32_t dev_id;
	uint32_t data_len;
	VMIG_UAPI_U64 data_uptr;
	uint32_t out_data_type;
	uint8_t out_max_pasid_log2; /* Linux 6.15, stable 6.12; reserved before */
	uint8_t reserved[3];
	VMIG_UAPI_U64 out_capabilities; /* Linux 6.7 */
};
#define VMIG_UAPI_IOMMUFD_HW_INFO_TYPE_NONE      0
#define VMIG_UAPI_IOMMUFD_HW_INFO_TYPE_INTEL_VTD 1
#define VMIG_UAPI_IOMMUFD_HW_CAP_DIRTY_TRACKING  (1u << 0) /* Linux 6.7 */
#define VMIG_UAPI_IOMMUFD_GET_HW_INFO            _IO(VMIG_UAPI_TYPE, 0x8a)

/* Linux 6.7 */
struct vmig_uapi_iommufd_hwpt_set_dirty_tracking {
	uint32_t size;
	uint32_t flags;
	uint32_t hwpt_id;
	uint32_t reserved;
};
#define VMIG_UAPI_IOMMUFD_HWPT_DIRTY_TRACKING_ENABLE 1
#define VMIG_UAPI_IOMMUFD_HWPT_SET_DIRTY_TRACKING    _IO(VMIG_UAPI_TYPE, 0x8b)

struct vmig_uapi_iommufd_hwpt_get_dirty_bitmap {
	uint32_t size;
	uint32_t hwpt_id;
	uint32_t flags;
	uint32_t reserved;
	VMIG_UAPI_U64 iova;
	VMIG_UAPI_U64 length;
	VMIG_UAPI_U64 page_size;
	VMIG_UAPI_U64 data; /* address of the bitmap */
};
#define VMIG_UAPI_IOMMUFD_HWPT_GET_DIRTY_BITMAP_NO_CLEAR 1
#define VMIG_UAPI_IOMMUFD_HWPT_GET_DIRTY_BITMAP          _IO(VMIG_UAPI_TYPE, 0x8c)

#ifdef __cplusplus
}
#endif
#endif
