/* SPDX-License-Identifier: BSD-3-Clause */
/** kernel - the provider "user/kernel": a device of the kernel's VFIO. Private to src/user. */
#ifndef VMIG_USER_KERNEL_H
#define VMIG_USER_KERNEL_H

#include <pthread.h>
#include <stdatomic.h>

#include <vmig/uapi.h>
#include <vmig/user.h>

#include "base/limits.h"
#include "handle/provider.h"

/** A mapping made through this handle: the kernel unmaps more than that, so exactness is kept here. */
struct vmig_kernel_map {
	uint64_t iova, size;
};

struct vmig_kernel {
	int device;           /* what all ioctls of the device go to */
	int group, container; /* through a group; else -1 */
	int iommufd;          /* through the cdev; else -1 */
	uint32_t ioas;        /* of iommufd */
	bool borrowed; /* the caller has the device open, too: what was done here is undone at the close */
	struct vmig_device_info info;
	char *folder;                /* in sysfs */
	struct vmig_region *regions; /* info.n_regions of them, asked at open */
	atomic_uint timeout_ms;      /* of a read that waits for data; ioctls cannot be interrupted */
	/* The loading session has refused data, or another user's was found: the kernel may still count refused
	 * bytes as loaded (mtty does), so nothing but a reset may lead out of RESUMING. */
	atomic_bool load_is_broken;
	atomic_uint armed;            /* interrupt indices with something wired, as bits */
	atomic_bool logging;          /* a DMA log was started */
	pthread_mutex_t lock;         /* of the mappings */
	struct vmig_kernel_map *maps; /* sorted by iova */
	size_t n_maps, room_maps;
};

/* kernel-feature.c */

/** One VFIO_DEVICE_FEATURE. @flags: the feature's number and GET or SET; @data goes both ways. 0 or -errno. */
int vmig_kernel_feature(int device, uint32_t flags, void *data, size_t len);
/** Ask for everything that vmig_device_query_info() tells. */
int vmig_kernel_query_all(struct vmig_kernel *k, struct vmig_error *error);

/* kernel-sysfs.c: what a device is and where its nodes are. @dir is its folder in sysfs. */

/** "mdev:mtty-1" or "pci:15b3:101e/mlx5_vfio_pci": never what is unique to one instance. */
int vmig_kernel_identity(const char *dir, char ret[VMIG_IDENTITY_MAX], struct vmig_error *error);
/** The last word of the link @name in @dir. -ENOENT: no such link; -E2BIG. */
int vmig_kernel_link_word(const char *dir, const char *name, char *ret, size_t room);

/** kernel-descriptor.c: the descriptor of the device with the folder @dir, for the caller to free. -ENOMEM. */
int vmig_kernel_descriptor(const char *dir, uint64_t migration_flags, const uint64_t *stop_copy_size,
			   char **ret);

/* kernel-open.c, kernel-group.c, kernel-cdev.c */

/** Open the device with the folder @dir through its group and a container of its own. */
int vmig_kernel_open_group(struct vmig_kernel *k, const char *dir, struct vmig_error *error);
/** Open the cdev at @path, bind it to an iommufd of its own. */
int vmig_kernel_open_cdev(struct vmig_kernel *k, const char *path, struct vmig_error *error);
/** The path of the cdev of the device with the folder @dir. -ENOENT: it has none. */
int vmig_kernel_find_cdev(const char *dir, char *ret, size_t room);
/** Turn an errno of an open() into a sentence: who or what is in the way. */
int vmig_kernel_open_fault(struct vmig_error *error, int code, const char *path);

/* kernel-fds.c */

/** Take duplicates of a VMM's descriptors. *ret_dir: its folder, for the caller to free. */
int vmig_kernel_take_fds(struct vmig_kernel *k, const struct vmig_kernel_fds *fds, char **ret_dir,
			 struct vmig_error *error);
/** Undo what was done to a borrowed device. */
void vmig_kernel_give_back(struct vmig_kernel *k);

/* kernel-session.c */

/** A half session on @data_fd, which is taken over. -ENOMEM: it is closed. */
int vmig_kernel_session_new(struct vmig_kernel *k, int data_fd, bool loading, struct vmig_session_half *ret);

/* kernel-region.c */

/** Take apart what GET_REGION_INFO gave: @len bytes, the capabilities included. Pure. -EPROTO: it makes no sense. */
int vmig_kernel_parse_region(const void *data, size_t len, struct vmig_region *ret);
int vmig_kernel_query_regions(struct vmig_kernel *k, struct vmig_error *error);
int vmig_kernel_query_region(void *p, uint32_t index, struct vmig_region *ret, struct vmig_error *error);
int vmig_kernel_region_read(void *p, uint32_t index, uint64_t offset, void *buf, size_t len,
			    struct vmig_error *error);
int vmig_kernel_region_write(void *p, uint32_t index, uint64_t offset, const void *buf, size_t len,
			     struct vmig_error *error);

/* kernel-irq.c */
int vmig_kernel_query_irq(void *p, uint32_t index, struct vmig_irq *ret, struct vmig_error *error);
int vmig_kernel_set_irqs(void *p, const struct vmig_irq_set *set, struct vmig_error *error);
/** Unwire all that was wired. */
void vmig_kernel_disarm(struct vmig_kernel *k);

/* kernel-dma.c */
int vmig_kernel_map_dma(void *p, const struct vmig_dma *map, struct vmig_error *error);
int vmig_kernel_unmap_dma(void *p, uint64_t iova, uint64_t size, struct vmig_error *error);
int vmig_kernel_dma_log_start(void *p, uint64_t *page_size, const struct vmig_range *ranges, uint32_t n,
			      struct vmig_error *error);
int vmig_kernel_dma_log_stop(void *p, struct vmig_error *error);
int vmig_kernel_dma_log_report(void *p, uint64_t iova, uint64_t length, uint64_t page_size, uint64_t *bitmap,
			       struct vmig_error *error);

#endif
