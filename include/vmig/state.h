/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * state - the migration states, the features that make some of them optional, and the arcs.
 *
 * The words and the values are those of the uAPI, enum vfio_device_mig_state and
 * VFIO_MIGRATION_* in linux/vfio.h. A newer peer may report a state or a flag that is not listed
 * here: it is kept as the number it is, shown as such, and never guessed.
 */
#ifndef VMIG_STATE_H
#define VMIG_STATE_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VMIG_STATE_ERROR        0u /* failed; only a reset leads out */
#define VMIG_STATE_STOP         1u /* changes neither internal nor external state */
#define VMIG_STATE_RUNNING      2u
#define VMIG_STATE_STOP_COPY    3u         /* stopped; the internal state can be read out */
#define VMIG_STATE_RESUMING     4u         /* stopped; loads a new internal state */
#define VMIG_STATE_RUNNING_P2P  5u         /* running, but starts no peer-to-peer DMA (needs P2P) */
#define VMIG_STATE_PRE_COPY     6u         /* running, and tracks its changes (needs PRE_COPY) */
#define VMIG_STATE_PRE_COPY_P2P 7u         /* needs PRE_COPY and P2P */
#define VMIG_STATE_NR           8u         /* number of states known to this library */
#define VMIG_STATE_NONE         UINT32_MAX /* "no state": no recovery wanted */

/* Feature flags of VFIO_DEVICE_FEATURE_MIGRATION. STOP_COPY is set by every device that migrates. */
#define VMIG_MIGRATION_STOP_COPY (1ull << 0)
#define VMIG_MIGRATION_P2P       (1ull << 1)
#define VMIG_MIGRATION_PRE_COPY  (1ull << 2)

/** The uAPI's word for @state ("PRE_COPY_P2P"), or NULL if this library does not know the state. */
const char *vmig_state_name(uint32_t state);

/** The state called @name (the uAPI's word, any case), or VMIG_STATE_NONE. */
uint32_t vmig_state_from_name(const char *name);

/** True if a device with @features (VMIG_MIGRATION_*) has @state. ERROR belongs to every device. */
bool vmig_state_supported(uint64_t features, uint32_t state);

/**
 * The next single step on the way from @from to @to, for a device with @features.
 *
 * Equal states are a way of length nought: *ret_next is @to. Pure; never blocks.
 *
 * Returns 0, or
 *   -EINVAL  @from or @to is not a state of such a device; or there is no way: to or from ERROR,
 *            and STOP_COPY to PRE_COPY or PRE_COPY_P2P, which the uAPI forbids.
 */
int vmig_state_next(uint64_t features, uint32_t from, uint32_t to, uint32_t *ret_next);

#ifdef __cplusplus
}
#endif
#endif
