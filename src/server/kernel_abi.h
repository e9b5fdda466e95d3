/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * kernel_abi - what the files of the kernel's ABI share: its files, its devices, its address spaces.
 *
 * Locks, in the order in which they are taken:
 *   kabi->lock   who has opened what, which group is in which container, who is attached to what
 *   iommufd->lock  the objects of one iommufd
 *   as->lock     the mappings of one address space, its devices and its dirty tracking
 *   slot->turnstile, slot->flow  the use of a device's data transfer sessions: vmig_kabi_data_hold()
 *   slot->lock   what is remembered of a device; nothing is called with it
 * A device's state calls are made with none of them, but that those that end a session hold its data.
 */
#ifndef VMIG_SERVER_KERNEL_ABI_H
#define VMIG_SERVER_KERNEL_ABI_H

#include <pthread.h>
#include <stdatomic.h>

#include <vmig/kernel_abi.h>
#include <vmig/space.h>
#include <vmig/uapi.h>

#include "base/limits.h"
#include "base/util.h"
#include "wire/digest.h"

#define VMIG_KABI_PAGE  4096ull
#define VMIG_KABI_SHIFT 40u /* of a region's index in the offsets of a device's fd */
#define VMIG_KABI_NONE  UINT32_MAX

/* --- files -------------------------------------------------------------------------------- */

struct vmig_kabi_file {
	struct vmig_kabi *kabi;
	struct vmig_kabi_slot *slot; /* of which device; NULL: of none */
	atomic_uint refs;
	enum vmig_kabi_kind kind;
	bool gone; /* when it is closed: nobody did that, it ended with its process */
};

struct vmig_kabi_container {
	struct vmig_kabi_file file;
	struct vmig_kabi_as *as; /* NULL: no IOMMU is set. Under kabi->lock, as is n_groups. */
	uint32_t n_groups;
};

struct vmig_kabi_group {
	struct vmig_kabi_file file;
	struct vmig_kabi_container *container; /* with a reference; under kabi->lock */
};

struct vmig_kabi_dev {
	struct vmig_kabi_file file;
	struct vmig_kabi_group *group;     /* with a reference; NULL: a character device, then: */
	struct vmig_kabi_iommufd *iommufd; /* with a reference; under kabi->lock */
	uint32_t dev_id;
	atomic_bool ready; /* opened through its group, or bound: before that it answers nothing else */
	_Atomic(uint64_t) pos;
};

struct vmig_kabi_object {
	uint32_t id;
	enum { VMIG_KABI_IOAS, VMIG_KABI_HWPT, VMIG_KABI_DEVID } kind;
	struct vmig_kabi_as *as;       /* of an IOAS */
	struct vmig_kabi_object *ioas; /* of a HWPT */
	struct vmig_kabi_dev *dev;     /* of a DEVID, without a reference: its close removes this */
	struct vmig_kabi_object *pt;   /* what the device is attached to */
	uint32_t users;                /* HWPTs of an IOAS, devices attached */
	bool may_track, tracks;        /* a HWPT for dirty tracking; it does */
};

struct vmig_kabi_iommufd {
	struct vmig_kabi_file file;
	pthread_mutex_t lock;
	struct vmig_kabi_object **objects;
	uint32_t n_objects, next_id;
};

struct vmig_kabi_data {
	struct vmig_kabi_file file;
	struct vmig_session *session; /* NULL: the device was closed. Under slot->flow, as is passed */
	bool loads;
	uint32_t number;             /* of the device's sessions, from 1 */
	uint64_t passed;             /* bytes */
	bool drained;                /* the last read said so */
	struct vmig_digest *digest;  /* of them; NULL: nobody asks */
	struct vmig_kabi_data *next; /* of the same device; under slot->lock */
};

/* --- devices ------------------------------------------------------------------------------ */

/** One of the devices that are shown. */
struct vmig_kabi_slot {
	struct vmig_kabi *kabi;
	uint16_t number;
	struct vmig_kabi_device config;
	struct vmig_device *dev;
	struct vmig_device_info info;
	uint32_t v1_region; /* the index of its migration region; VMIG_KABI_NONE */
	/* What each access asks for. Regions do not change as long as a device is open. */
	struct {
		uint32_t flags;
		uint64_t size;
	} regions[VMIG_LIMIT_REGIONS];

	/* Under kabi->lock. */
	struct vmig_kabi_group *group; /* that is open; no reference */
	uint32_t n_open;
	bool used;
	struct vmig_kabi_as *as; /* it is attached to this one */

	pthread_mutex_t turnstile, flow;

	pthread_mutex_t lock;
	struct vmig_kabi_data *data; /* those open */
	uint32_t n_data;             /* sessions that there were */
	bool logging;                /* by DMA_LOGGING_START, of: */
	struct vmig_range *log_ranges;
	uint32_t n_log_ranges;
	bool precopy_v2;         /* flags of PRECOPY_INFO have been asked for */
	uint32_t v1_state;       /* the register, as it was last written with success */
	uint64_t v1_data_offset; /* as it was last read */
	uint64_t v1_offered;     /* data_size, as it was last read; 0: it has been counted */
	uint64_t armed[VMIG_LIMIT_IRQ_INDICES][VMIG_LIMIT_IRQS / 64];
};

struct vmig_kabi {
	struct vmig_kabi_config config;
	struct vmig_kabi_slot *slots;
	pthread_mutex_t lock;
};

/* --- one call ----------------------------------------------------------------------------- */

/** A call that is being answered, and what the trace will say about it. */
struct vmig_kabi_ctx {
	struct vmig_kabi *kabi;
	struct vmig_kabi_file *file;
	struct vmig_kabi_task *task;
	struct vmig_kabi_call call;
};

/** The program's memory. 0 or -EFAULT. */
MUST_USE int vmig_kabi_get(struct vmig_kabi_ctx *ctx, uint64_t addr, void *buf, size_t len);
MUST_USE int vmig_kabi_put(struct vmig_kabi_ctx *ctx, uint64_t addr, const void *buf, size_t len);
/** Read a struct that starts with argsz: -EINVAL if that is less than @min. */
MUST_USE int vmig_kabi_get_args(struct vmig_kabi_ctx *ctx, uint64_t addr, void *buf, size_t min);

/** One request that a kind of file answers. */
struct vmig_kabi_request {
	uint32_t request;
	int64_t (*fn)(struct vmig_kabi_ctx *ctx, uint64_t arg);
};

#define VMIG_KABI_REQUESTS 32u

extern const struct vmig_kabi_request vmig_kabi_container_requests[];
extern const struct vmig_kabi_request vmig_kabi_group_requests[];
extern const struct vmig_kabi_request vmig_kabi_device_requests[];
extern const struct vmig_kabi_request vmig_kabi_iommufd_requests[];
extern const struct vmig_kabi_request vmig_kabi_data_requests[];

/** What an ioctl's number does in a table that ends with a NULL fn; -ENOTTY. */
int64_t vmig_kabi_dispatch(const struct vmig_kabi_request *requests, struct vmig_kabi_ctx *ctx,
			   uint32_t request, uint64_t arg);

/* kernel_abi_open.c: what @path is, or -ENOENT, -EBUSY, -ENOMEM. */
int vmig_kabi_open_path(struct vmig_kabi *kabi, const char *path, struct vmig_kabi_file **ret);

/* kernel_abi.c */
void vmig_kabi_file_init(struct vmig_kabi_file *file, struct vmig_kabi *kabi, enum vmig_kabi_kind kind,
			 struct vmig_kabi_slot *slot);

/* kernel_abi_container.c, kernel_abi_group.c */
void vmig_kabi_container_close(struct vmig_kabi_container *container);
void vmig_kabi_group_close(struct vmig_kabi_group *group);

/* kernel_abi_iommufd.c, kernel_abi_ioas.c, kernel_abi_hwpt.c */
int vmig_kabi_iommufd_open(struct vmig_kabi *kabi, struct vmig_kabi_file **ret);
void vmig_kabi_iommufd_close(struct vmig_kabi_iommufd *iommufd);
/** The object @id of a kind; -ENOENT. With iommufd->lock. */
struct vmig_kabi_object *vmig_kabi_object_find(struct vmig_kabi_iommufd *iommufd, uint32_t id);
int vmig_kabi_object_new(struct vmig_kabi_iommufd *iommufd, struct vmig_kabi_object **ret);
void vmig_kabi_object_remove(struct vmig_kabi_iommufd *iommufd, struct vmig_kabi_object *object);
/** Read a struct that starts with its size, as iommufd does: -EINVAL below @min, -E2BIG with unknown fields set. */
MUST_USE int vmig_kabi_get_sized(struct vmig_kabi_ctx *ctx, uint64_t addr, void *buf, size_t min,
				 size_t size);
/** Give it back in the size that the program has. */
MUST_USE int vmig_kabi_put_sized(struct vmig_kabi_ctx *ctx, uint64_t addr, const void *buf, size_t size);
/** Make a device one of @iommufd's. With kabi->lock. */
int vmig_kabi_iommufd_bind(struct vmig_kabi_iommufd *iommufd, struct vmig_kabi_dev *dev, uint32_t *ret_id);
void vmig_kabi_iommufd_unbind(struct vmig_kabi_iommufd *iommufd, struct vmig_kabi_dev *dev);
/** Attach to an IOAS or HWPT, instead of what it is attached to; *pt_id becomes what that is. */
int vmig_kabi_iommufd_attach(struct vmig_kabi_iommufd *iommufd, struct vmig_kabi_dev *dev, uint32_t *pt_id);
void vmig_kabi_iommufd_detach(struct vmig_kabi_iommufd *iommufd, struct vmig_kabi_dev *dev);
int64_t vmig_kabi_ioas_alloc(struct vmig_kabi_ctx *ctx, uint64_t arg);
int64_t vmig_kabi_ioas_ranges(struct vmig_kabi_ctx *ctx, uint64_t arg);
int64_t vmig_kabi_ioas_allow(struct vmig_kabi_ctx *ctx, uint64_t arg);
int64_t vmig_kabi_ioas_map(struct vmig_kabi_ctx *ctx, uint64_t arg);
int64_t vmig_kabi_ioas_map_file(struct vmig_kabi_ctx *ctx, uint64_t arg);
int64_t vmig_kabi_ioas_copy(struct vmig_kabi_ctx *ctx, uint64_t arg);
int64_t vmig_kabi_ioas_unmap(struct vmig_kabi_ctx *ctx, uint64_t arg);
int64_t vmig_kabi_hwpt_alloc(struct vmig_kabi_ctx *ctx, uint64_t arg);
int64_t vmig_kabi_hwpt_set_tracking(struct vmig_kabi_ctx *ctx, uint64_t arg);
int64_t vmig_kabi_hwpt_get_bitmap(struct vmig_kabi_ctx *ctx, uint64_t arg);
/** It is going to be destroyed. With iommufd->lock. */
void vmig_kabi_hwpt_stop(struct vmig_kabi_iommufd *iommufd, struct vmig_kabi_object *hwpt);
int64_t vmig_kabi_hw_info(struct vmig_kabi_ctx *ctx, uint64_t arg);
int64_t vmig_kabi_option(struct vmig_kabi_ctx *ctx, uint64_t arg);

/* kernel_abi_device.c */
/** A device's file, opened: through @group (with kabi->lock), or as a character device. */
int vmig_kabi_dev_open(struct vmig_kabi_slot *slot, struct vmig_kabi_group *group,
		       struct vmig_kabi_dev **ret);
void vmig_kabi_dev_close(struct vmig_kabi_dev *dev);

/* kernel_abi_region.c */
int64_t vmig_kabi_region_info(struct vmig_kabi_ctx *ctx, uint64_t arg);
int64_t vmig_kabi_region_rw(struct vmig_kabi_ctx *ctx, uint64_t addr, uint64_t len, uint64_t offset,
			    bool is_write);
int vmig_kabi_region_mmap(struct vmig_kabi_ctx *ctx, uint64_t offset, uint64_t len, int prot, int *ret_fd,
			  uint64_t *ret_offset);
/** The memory file that may stand for the device's fd; -1. */
int vmig_kabi_region_backing(struct vmig_kabi_slot *slot);
/** Of a migration region, behind the registers? */
bool vmig_kabi_in_v1_section(const struct vmig_kabi_slot *slot, uint64_t offset);

/* kernel_abi_irq.c */
int64_t vmig_kabi_irq_info(struct vmig_kabi_ctx *ctx, uint64_t arg);
int64_t vmig_kabi_set_irqs(struct vmig_kabi_ctx *ctx, uint64_t arg);
/** All interrupts are disarmed: of a reset (the device has done it), or of a close. */
void vmig_kabi_irqs_forget(struct vmig_kabi_slot *slot);
void vmig_kabi_irqs_disarm(struct vmig_kabi_slot *slot);

/* kernel_abi_feature.c, kernel_abi_log.c */
int64_t vmig_kabi_feature(struct vmig_kabi_ctx *ctx, uint64_t arg);
/** 0: go on; 1: it was a probe, and is there; -EINVAL. */
int vmig_kabi_feature_check(uint32_t flags, uint32_t ops, size_t len, size_t min);
int64_t vmig_kabi_log_start(struct vmig_kabi_ctx *ctx, uint64_t addr);
int64_t vmig_kabi_log_stop(struct vmig_kabi_ctx *ctx);
int64_t vmig_kabi_log_report(struct vmig_kabi_ctx *ctx, uint64_t addr);

/* kernel_abi_data.c */
int vmig_kabi_data_new(struct vmig_kabi_slot *slot, struct vmig_session *session, bool loads,
		       struct vmig_kabi_data **ret);
void vmig_kabi_data_close(struct vmig_kabi_data *data);
/** The device is being closed: its sessions end. */
void vmig_kabi_data_end_all(struct vmig_kabi_slot *slot);
/**
 * Wait until nobody copies data of the device, and let nobody begin. Reads look at the device's own memory, writes fill
 * it: whoever ends a session, by a reset or a transition, holds its data, or they see memory that is in use again.
 */
void vmig_kabi_data_hold(struct vmig_kabi_slot *slot);
void vmig_kabi_data_go_on(struct vmig_kabi_slot *slot);
int64_t vmig_kabi_data_read(struct vmig_kabi_ctx *ctx, uint64_t addr, uint64_t len);
int64_t vmig_kabi_data_write(struct vmig_kabi_ctx *ctx, uint64_t addr, uint64_t len);

/* kernel_abi_status.c: what is observed of a device. slot->config.status may be NULL. */
/** A fault on purpose: 0, or the errno with which to fail. */
int vmig_kabi_fault(struct vmig_kabi_slot *slot, enum vmig_kabi_fault where, uint32_t to, uint64_t bytes);
void vmig_kabi_note_open(struct vmig_kabi_slot *slot, bool open);
/** A transition to @state came to @result; the state that is known after it is asked of the device. */
void vmig_kabi_note_state(struct vmig_kabi_slot *slot, uint32_t state, int result);
void vmig_kabi_note_reset(struct vmig_kabi_slot *slot);
void vmig_kabi_note_report(struct vmig_kabi_slot *slot, uint64_t dirty);
void vmig_kabi_note_data(struct vmig_kabi_slot *slot, bool loaded, uint64_t bytes);
/** A register of the migration region, of 8 bytes, was read or written with success. */
void vmig_kabi_note_v1(struct vmig_kabi_slot *slot, uint64_t pos, bool is_write, uint64_t value);

/* --- address spaces: kernel_abi_as.c, _map.c, _dirty.c ------------------------------------ */

struct vmig_kabi_map {
	uint64_t iova, size;
	uint32_t prot;
	uint64_t vaddr; /* in the program */
	int fd;         /* mapped from this file instead: our own, as is the memory */
	uint64_t fd_offset;
	void *own;
	void (*release)(void *release);
	void *to_release;
	bool all_dirty;
	uint64_t *kept; /* bits that were taken from the devices' logs, and not yet from here. NULL: none */
};

/** A device that is attached. */
struct vmig_kabi_user {
	struct vmig_kabi_slot *slot;
	bool logs;         /* its log runs for our tracking */
	bool complained;   /* that it cannot */
	uint32_t n_ranges; /* what it logs; 0: everything */
	struct vmig_range *ranges;
};

struct vmig_kabi_as {
	struct vmig_kabi *kabi;
	atomic_uint refs;
	pthread_mutex_t lock;
	struct vmig_space *space;
	struct vmig_kabi_map *maps; /* sorted by iova */
	uint32_t n_maps, room;
	struct vmig_kabi_slot **members; /* devices whose mappings these are to be, open or not */
	uint32_t n_members;
	struct vmig_kabi_user *users;
	uint32_t n_users;
	bool tracks;
	struct vmig_range *allowed; /* by IOAS_ALLOW_IOVAS, for addresses that we choose */
	uint32_t n_allowed;
};

/** What holds the memory. @map itself is the caller's. */
void vmig_kabi_map_free(struct vmig_kabi_map *map);

int vmig_kabi_as_new(struct vmig_kabi *kabi, struct vmig_kabi_as **ret);
void vmig_kabi_as_ref(struct vmig_kabi_as *as);
void vmig_kabi_as_unref(struct vmig_kabi_as *as);

/** Devices that are going to be attached: what they cannot take is refused from the first mapping on. */
int vmig_kabi_as_join(struct vmig_kabi_as *as, struct vmig_kabi_slot *slot);
void vmig_kabi_as_leave(struct vmig_kabi_as *as, struct vmig_kabi_slot *slot);
/** With kabi->lock. Errors as vmig_space_attach(). */
int vmig_kabi_as_attach(struct vmig_kabi_as *as, struct vmig_kabi_slot *slot);
void vmig_kabi_as_detach(struct vmig_kabi_slot *slot);

/** What is asked for; what vmig_kabi_map has of it is filled in. 0; -EEXIST, -ENOSPC, -EFAULT, -EOPNOTSUPP, ... */
int vmig_kabi_as_map(struct vmig_kabi_as *as, struct vmig_kabi_task *task, const struct vmig_kabi_map *want);
/** As above, at an address that we choose. */
int vmig_kabi_as_map_anywhere(struct vmig_kabi_as *as, struct vmig_kabi_task *task,
			      struct vmig_kabi_map *want);
/** All mappings in [@iova, @last]; *ret_bytes is their sum. -EINVAL: one lies in it in part only. */
int vmig_kabi_as_unmap(struct vmig_kabi_as *as, uint64_t iova, uint64_t last, uint64_t *ret_bytes);
/** The place of the first mapping that ends at or behind @iova. With as->lock. */
uint32_t vmig_kabi_as_find(const struct vmig_kabi_as *as, uint64_t iova);
/** Is [@iova, @last] bounded by mappings' bounds wherever one lies at its ends? With as->lock. */
bool vmig_kabi_as_bounded(const struct vmig_kabi_as *as, uint64_t iova, uint64_t last);
/** The parts of an unmap: out of the devices, and out of the list. With as->lock. */
void vmig_kabi_as_withdraw(struct vmig_kabi_as *as, uint64_t iova, uint64_t last);
uint64_t vmig_kabi_as_drop(struct vmig_kabi_as *as, uint64_t iova, uint64_t last);

/* Dirty tracking of an address space, in pages of VMIG_KABI_PAGE. With as->lock. */
int vmig_kabi_track_start(struct vmig_kabi_as *as);
void vmig_kabi_track_stop(struct vmig_kabi_as *as);
/** A device comes or goes while it is tracked. */
int vmig_kabi_track_user(struct vmig_kabi_as *as, struct vmig_kabi_user *user);
void vmig_kabi_track_leave(struct vmig_kabi_as *as, struct vmig_kabi_user *user);
/** A device has been reset. Without as->lock. */
void vmig_kabi_track_reset(struct vmig_kabi_as *as, struct vmig_kabi_slot *slot);

#define VMIG_KABI_REPORT_KEEP (1u << 0) /* the bits stay set */
#define VMIG_KABI_REPORT_ADD  (1u << 1) /* bits are set in the program's bitmap, else it is overwritten */

/** The pages of [@iova, @last] that were written, into the program's bitmap at @addr. 0, -EFAULT, -ENOMEM. */
int vmig_kabi_track_report(struct vmig_kabi_as *as, struct vmig_kabi_ctx *ctx, uint64_t iova, uint64_t last,
			   uint64_t page_size, uint64_t addr, uint32_t flags, uint64_t *ret_dirty);

/** Set the bits of @bits, @n words, in the program's bitmap. */
MUST_USE int vmig_kabi_add_words(struct vmig_kabi_ctx *ctx, uint64_t addr, const uint64_t *bits, size_t n);
uint64_t vmig_kabi_count_bits(const uint64_t *bits, size_t n);

#endif
