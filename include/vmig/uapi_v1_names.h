/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * uapi_v1_names - the names of Linux 5.8 to 5.17 for the migration region, for a program that has to keep them.
 *
 *	VFIO_REGION_TYPE_MIGRATION		now ..._MIGRATION_DEPRECATED
 *	VFIO_REGION_SUBTYPE_MIGRATION		now ..._MIGRATION_DEPRECATED
 *	VFIO_DEVICE_STATE_STOP, _RUNNING, _SAVING, _RESUMING	now VFIO_DEVICE_STATE_V1_...
 *	VFIO_DEVICE_STATE_MASK, _VALID(), _IS_ERROR(), _SET_ERROR(), struct vfio_device_migration_info
 *
 * Three of them are names of v2's states today, with other values: RUNNING is 1 here and 2 there. So a source
 * file speaks one protocol: what includes this can have v1's names only, and v2's own (its other states and its
 * features) are poisoned in it. Include it before anything that uses a name of either; the system's
 * linux/vfio.h, of any age, is included from here.
 */
#ifndef VMIG_UAPI_V1_NAMES_H
#define VMIG_UAPI_V1_NAMES_H

#ifdef __has_include
#if __has_include(<linux/vfio.h>)
#include <linux/vfio.h>
#endif
#endif
#include <vmig/uapi.h>

#undef VFIO_REGION_TYPE_MIGRATION
#undef VFIO_REGION_SUBTYPE_MIGRATION
#define VFIO_REGION_TYPE_MIGRATION    VMIG_UAPI_REGION_TYPE_MIGRATION_DEPRECATED
#define VFIO_REGION_SUBTYPE_MIGRATION VMIG_UAPI_REGION_SUBTYPE_MIGRATION_DEPRECATED

/* Over macros of the kernel's v1, and over the states of its v2, which are enumerators. */
#undef VFIO_DEVICE_STATE_STOP
#undef VFIO_DEVICE_STATE_RUNNING
#undef VFIO_DEVICE_STATE_SAVING
#undef VFIO_DEVICE_STATE_RESUMING
#define VFIO_DEVICE_STATE_STOP     VMIG_UAPI_DEVICE_STATE_V1_STOP
#define VFIO_DEVICE_STATE_RUNNING  VMIG_UAPI_DEVICE_STATE_V1_RUNNING
#define VFIO_DEVICE_STATE_SAVING   VMIG_UAPI_DEVICE_STATE_V1_SAVING
#define VFIO_DEVICE_STATE_RESUMING VMIG_UAPI_DEVICE_STATE_V1_RESUMING

/* Ours in any case: up to 5.17 the last of them did not compile (it said "SATE" for STATE). */
#undef VFIO_DEVICE_STATE_MASK
#undef VFIO_DEVICE_STATE_VALID
#undef VFIO_DEVICE_STATE_IS_ERROR
#undef VFIO_DEVICE_STATE_SET_ERROR
#define VFIO_DEVICE_STATE_MASK             VMIG_UAPI_DEVICE_STATE_MASK
#define VFIO_DEVICE_STATE_VALID(state)     VMIG_UAPI_DEVICE_STATE_VALID(state)
#define VFIO_DEVICE_STATE_IS_ERROR(state)  VMIG_UAPI_DEVICE_STATE_IS_ERROR(state)
#define VFIO_DEVICE_STATE_SET_ERROR(state) VMIG_UAPI_DEVICE_STATE_SET_ERROR(state)

/* Every kernel's header since 5.8 has the struct; without such a header it is ours by another name. */
#ifndef VFIO_IOMMU_DIRTY_PAGES
#define vfio_device_migration_info vmig_uapi_device_migration_info
#endif

#undef VFIO_DEVICE_FEATURE_MIGRATION
#undef VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE
#pragma GCC poison VFIO_DEVICE_FEATURE_MIGRATION VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE
#pragma GCC poison VFIO_DEVICE_STATE_ERROR VFIO_DEVICE_STATE_STOP_COPY VFIO_DEVICE_STATE_RUNNING_P2P
#pragma GCC poison VFIO_DEVICE_STATE_PRE_COPY VFIO_DEVICE_STATE_PRE_COPY_P2P

#endif
