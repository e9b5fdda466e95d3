/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * space - the DMA mappings of one user, kept for all the devices that it has attached.
 *
 * The user owns the mappings. A device that is attached gets every mapping that there is, and every
 * later map and unmap; one that is detached loses them. Not safe for concurrent use.
 */
#ifndef VMIG_SPACE_H
#define VMIG_SPACE_H

#include <stdint.h>

#include <vmig/device.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vmig_space;

/** -ENOMEM. */
int vmig_space_new(struct vmig_space **ret);
/** Detaches all devices (they must still be open). NULL is allowed. */
void vmig_space_free(struct vmig_space *space);

/** Map into every attached device, or into none. Errors as vmig_device_map_dma();
 *  -EOPNOTSUPP: a device takes no mapping of this kind. */
int vmig_space_map(struct vmig_space *space, const struct vmig_dma *map);
/** -ENOENT: no such mapping. It is gone from the space in any other case; another error is that of the first device
 *  that could not give it up, which may touch the memory still. */
int vmig_space_unmap(struct vmig_space *space, uint64_t iova, uint64_t size);

/** Its mappings by address: at most @max are filled in (their fds are the space's); returns how many there are. */
uint32_t vmig_space_query_maps(const struct vmig_space *space, struct vmig_dma *ret, uint32_t max);

/** -EEXIST: it is attached. Errors as vmig_space_map(): then it is not attached and has no mapping. */
int vmig_space_attach(struct vmig_space *space, struct vmig_device *dev);
void vmig_space_detach(struct vmig_space *space, struct vmig_device *dev);

#ifdef __cplusplus
}
#endif
#endif
