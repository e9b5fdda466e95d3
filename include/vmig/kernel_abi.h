/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * kernel_abi - shows devices at the /dev/vfio of one program, without a kernel module.
 *
 * The core here answers system calls; a *way in* brings them: an LD_PRELOAD library within the program,
 * or a supervisor of its seccomp notifications. The core does not know which. What it needs of the
 * program it asks through struct vmig_kabi_task.
 *
 *	/dev/vfio/vfio             a container (type1v2)        /dev/iommu                 an iommufd
 *	/dev/vfio/N                the group of device N        /dev/vfio/devices/vfioN    its character device
 *
 * Groups are numbered from config.first_group in the order in which the devices were added.
 *
 * A *file* is what an open descriptor of the program's stands for: container, group, device, iommufd, or
 * the data transfer session's. Files are counted: the way in holds one reference for each descriptor.
 *
 * Threads: every call may come from any thread. Calls on one file may run beside each other; a state
 * transition runs beside reads of the data.
 */
#ifndef VMIG_KERNEL_ABI_H
#define VMIG_KERNEL_ABI_H

#include <vmig/device.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vmig_kabi;
struct vmig_kabi_file;

/* --- what the way in provides ---------------------------------------------------------------- */

struct vmig_kabi_task;

struct vmig_kabi_task_ops {
	/** Copy from and to the program's memory. All or -EFAULT. */
	int (*read)(struct vmig_kabi_task *task, uint64_t addr, void *buf, size_t len);
	int (*write)(struct vmig_kabi_task *task, uint64_t addr, const void *buf, size_t len);
	/**
	 * Where @len bytes of the program's memory lie in this process, for bulk data without a second copy: fills
	 * @ret_iov (room for VMIG_SESSION_IOV_MAX) and returns the number of pieces, which may cover less than @len.
	 * It stays valid during the call. 0: not in this process, by read and write; -EFAULT. May be NULL: as 0.
	 */
	int (*direct)(struct vmig_kabi_task *task, uint64_t addr, size_t len, struct iovec *ret_iov);
	/**
	 * Give the program a descriptor for @file, whose reference passes on when this succeeds.
	 * Returns its number in the program, or -EMFILE, ...
	 */
	int (*install)(struct vmig_kabi_task *task, struct vmig_kabi_file *file, int open_flags);
	/** What the program's descriptor @fd stands for, with a reference for the caller; NULL: nothing of ours. */
	struct vmig_kabi_file *(*lookup)(struct vmig_kabi_task *task, int fd);
	/** A descriptor of our own for what the program has open as @fd (an eventfd); the caller closes it. -EBADF, ... */
	int (*take_fd)(struct vmig_kabi_task *task, int fd);
	/**
	 * How the device is to reach @len bytes of the program's memory at @addr, for as long as they are mapped for DMA.
	 * *ret comes with iova, size and prot, and without a way to the memory (fd -1). Fills in what there is: vaddr (in
	 * this process), fd and fd_offset (the file that is mapped there, if it is shared; it stays the way in's), io.
	 * @release is called when the mapping has gone, with *ret_release (which comes as NULL). Returns 0, -EFAULT, ...
	 */
	int (*memory)(struct vmig_kabi_task *task, uint64_t addr, uint64_t len, struct vmig_dma *ret,
		      void **ret_release);
	void (*release)(void *release);
};

/** One thread of the program, in one call. The way in may have more around it. */
struct vmig_kabi_task {
	const struct vmig_kabi_task_ops *ops;
	int pid, tid; /* for the trace */
};

/* --- what is observed ------------------------------------------------------------------------ */

enum vmig_kabi_kind {
	VMIG_KABI_CONTAINER,
	VMIG_KABI_GROUP,
	VMIG_KABI_DEVICE,
	VMIG_KABI_IOMMUFD,
	VMIG_KABI_DATA,
};

enum vmig_kabi_op {
	VMIG_KABI_OPEN,
	VMIG_KABI_CLOSE,
	VMIG_KABI_IOCTL,
	VMIG_KABI_READ,
	VMIG_KABI_WRITE,
	VMIG_KABI_MMAP,
};

/** One call that has been answered. Plain numbers: it may travel through shared memory. */
struct vmig_kabi_call {
	uint64_t time_ns, took_ns; /* CLOCK_MONOTONIC when it came, and how long it took */
	int32_t pid, tid;
	uint8_t kind, op; /* enum vmig_kabi_kind, enum vmig_kabi_op */
	uint16_t device;  /* its number; UINT16_MAX: of none */
	uint32_t request; /* of an ioctl */
	uint64_t offset,
		len; /* of read, write (offset within the device's fd), mmap; an ioctl's feature and flags in @offset */
	uint64_t v[4];  /* what else tells: by request, see kernel_abi_trace.c */
	int64_t result; /* what the program was answered: >= 0, or -errno */
};

/** One line for a person, without the times: "SET_STATE PRE_COPY -> STOP_COPY = 0". Returns @buf. */
const char *vmig_kabi_call_text(const struct vmig_kabi_call *call, char *buf, size_t size);

#define VMIG_KABI_STATES 256u

/** What has become of one device. Plain numbers, one writer; it may lie in shared memory. */
struct vmig_kabi_status {
	char name[VMIG_IDENTITY_MAX]; /* how it was opened */
	uint32_t opened;              /* it has a user now */
	uint32_t state; /* the last that is known, VMIG_STATE_* ; of v1: the register's bits | 1 << 31 */
	uint32_t n_resets;
	uint32_t n_states; /* how many transitions there were; states[] is a ring of the last ones */
	struct {
		uint64_t time_ns;
		uint32_t state;
		int32_t result; /* 0, or -errno of a transition that failed; then @state is what was asked for */
	} states[VMIG_KABI_STATES];
	uint64_t saved, loaded;          /* bytes of migration data, since the start; of v1: by data_size */
	uint64_t n_reports, dirty_pages; /* reports of the DMA log, and the bits that they had set */
	uint64_t n_interrupts;           /* vectors that are armed */
};

/* --- the core --------------------------------------------------------------------------------- */

/** Where a failure on purpose may strike; see struct vmig_kabi_device. */
enum vmig_kabi_fault {
	VMIG_KABI_FAULT_ARC,  /* @from to @to: a whole request, not the arcs on its way */
	VMIG_KABI_FAULT_READ, /* of migration data; @bytes have passed */
	VMIG_KABI_FAULT_WRITE,
	VMIG_KABI_FAULT_PRECOPY_INFO,
	VMIG_KABI_FAULT_RESET,
	VMIG_KABI_FAULT_REPORT, /* -EAGAIN: the report leaves out the first page that is dirty */
};

struct vmig_kabi_device {
	struct vmig_device *dev;         /* stays the caller's; must outlive the core */
	struct vmig_kabi_status *status; /* may be NULL */
	bool no_mmap;                    /* show no region as one that can be mapped */
	uint64_t
		more_flags; /* of VFIO_DEVICE_FEATURE_MIGRATION, beside its own: as a later revision might have them */
	const char *name; /* the one of GROUP_GET_DEVICE_FD; stays the caller's. NULL: any name will do */
	/** 0, or a negative errno; may block. NULL: none. */
	int (*fault)(void *opaque, enum vmig_kabi_fault where, uint32_t from, uint32_t to, uint64_t bytes);
	void *opaque;
};

struct vmig_kabi_config {
	uint32_t first_group; /* 0: 90 */
	uint32_t n_devices;
	const struct vmig_kabi_device *devices; /* copied */
	/** Called when a call has been answered, in its thread. Must not block. May be NULL. */
	void (*trace)(void *opaque, const struct vmig_kabi_call *call);
	void *opaque;
	/**
	 * While this is 0, accesses to the data section of v1 are not traced: a program may make one for each 8 bytes.
	 * It is read atomically, at each of them. NULL: they are.
	 */
	const uint32_t *trace_all;
	/** The only fd that can be mapped is the device's own: see vmig_kabi_file_backing(). For ways in that cannot change mmap. */
	bool own_mmap;
	/** Calls on a data transfer session, and accesses of v1's data_size, tell a digest of the data: they are read once more for that. */
	bool digest;
};

/** -EINVAL: no device, or too many; -ENOMEM. */
int vmig_kabi_new(const struct vmig_kabi_config *config, struct vmig_kabi **ret);
/** No file may be open any more. NULL is allowed. */
void vmig_kabi_free(struct vmig_kabi *kabi);

/** Is @path (absolute, as the program wrote it) one of ours? Cheap, no lock. */
bool vmig_kabi_owns_path(const struct vmig_kabi *kabi, const char *path);
/** open(). -ENOENT: not ours. -EBUSY: a group or device has one user at a time. */
int vmig_kabi_open(struct vmig_kabi *kabi, struct vmig_kabi_task *task, const char *path, int flags,
		   struct vmig_kabi_file **ret);

void vmig_kabi_file_ref(struct vmig_kabi_file *file);
/**
 * The last one closes. A device that nobody has open any more has no mapping, interrupt, log or session; it is reset when
 * it is opened again, not before: what a program has left behind can be looked at.
 */
void vmig_kabi_file_unref(struct vmig_kabi_file *file);
enum vmig_kabi_kind vmig_kabi_file_kind(const struct vmig_kabi_file *file);
/**
 * A descriptor that may stand for @file in the program, owned by the file: with own_mmap, of a device whose regions
 * all lie in one memory file at the offsets of the device's fd, that memory file, so that mmap() needs no help.
 * -1: there is none, any will do.
 */
int vmig_kabi_file_backing(const struct vmig_kabi_file *file);

/* The calls. Each returns what the system call is to return, or -errno. */
int64_t vmig_kabi_ioctl(struct vmig_kabi_file *file, struct vmig_kabi_task *task, uint32_t request,
			uint64_t arg);
/** @offset -1: read(), not pread(). */
int64_t vmig_kabi_read(struct vmig_kabi_file *file, struct vmig_kabi_task *task, uint64_t addr, uint64_t len,
		       int64_t offset);
int64_t vmig_kabi_write(struct vmig_kabi_file *file, struct vmig_kabi_task *task, uint64_t addr, uint64_t len,
			int64_t offset);
/** What to map instead: *ret_fd is the device's (do not close). 0; -EINVAL, -ENODEV: that cannot be mapped. */
int vmig_kabi_mmap(struct vmig_kabi_file *file, struct vmig_kabi_task *task, uint64_t offset, uint64_t len,
		   int prot, int *ret_fd, uint64_t *ret_offset);

#ifdef __cplusplus
}
#endif
#endif
