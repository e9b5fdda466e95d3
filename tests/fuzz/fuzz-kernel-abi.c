/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz-kernel-abi: the system calls of a hostile program. The input is a list of calls, each
 *
 *	op  file  request  length  (so many bytes: the struct, or what is written)
 *
 * The program's memory is an arena at ARENA; structs lie at ARENA + ARG. Ids and descriptors are small numbers, so that what
 * the bytes say often means something. Whatever comes: no crash, no leak, and in the end nothing is mapped any more.
 */
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vmig/kernel_abi.h>
#include <vmig/region.h>
#include <vmig/uapi.h>

#include "tests/common/toy.h"

#define ARENA      0x100000ull
#define ARENA_SIZE (256u << 10)
#define ARG        0x1000u
#define FILES      24

static uint8_t arena[ARENA_SIZE] __attribute__((aligned(4096)));
static struct vmig_device *devices[2];
static struct vmig_kabi *kabi;
static struct vmig_kabi_status status[2];
static struct vmig_kabi_file *files[FILES];
static int mapped, memory_fd = -1, event_fd = -1;

/* --- the way in --------------------------------------------------------------------------- */

static void *at(uint64_t addr, uint64_t len)
{
	if (addr < ARENA || addr - ARENA > ARENA_SIZE || len > ARENA_SIZE - (addr - ARENA))
		return NULL;
	return arena + (addr - ARENA);
}

static int get(struct vmig_kabi_task *task, uint64_t addr, void *buf, size_t len)
{
	void *from = at(addr, len);

	return from ? (memcpy(buf, from, len), 0) : -EFAULT;
}

static int put(struct vmig_kabi_task *task, uint64_t addr, const void *buf, size_t len)
{
	void *to = at(addr, len);

	return to ? (memcpy(to, buf, len), 0) : -EFAULT;
}

static int direct(struct vmig_kabi_task *task, uint64_t addr, size_t len, struct iovec *ret_iov)
{
	void *mem = at(addr, len);

	if (addr & 1)
		return 0;
	ret_iov[0] = (struct iovec){ mem, len };
	return mem ? 1 : -EFAULT;
}

static int install(struct vmig_kabi_task *task, struct vmig_kabi_file *file, int open_flags)
{
	for (int i = 0; i < FILES; i++) {
		if (files[i])
			continue;
		files[i] = file;
		return i;
	}
	return -EMFILE;
}

static struct vmig_kabi_file *lookup(struct vmig_kabi_task *task, int fd)
{
	if (fd < 0 || fd >= FILES || !files[fd])
		return NULL;
	vmig_kabi_file_ref(files[fd]);
	return files[fd];
}

static int take_fd(struct vmig_kabi_task *task, int fd)
{
	int own = fd == 100 ? memory_fd : fd == 101 ? event_fd : -1;

	return own < 0 ? -EBADF : fcntl(own, F_DUPFD_CLOEXEC, 0);
}

static int memory(struct vmig_kabi_task *task, uint64_t addr, uint64_t len, struct vmig_dma *ret,
		  void **ret_release)
{
	ret->vaddr = at(addr, len);
	if (!ret->vaddr)
		return -EFAULT;
	mapped++;
	*ret_release = &mapped;
	return 0;
}

static void release(void *what)
{
	--*(int *)what;
}

static const struct vmig_kabi_task_ops ops = { get, put, direct, install, lookup, take_fd, memory, release };
static struct vmig_kabi_task task = { &ops, 1, 1 };

/* --- the calls ---------------------------------------------------------------------------- */

static const uint32_t requests[] = {
	VMIG_UAPI_GET_API_VERSION,
	VMIG_UAPI_CHECK_EXTENSION,
	VMIG_UAPI_SET_IOMMU,
	VMIG_UAPI_GROUP_GET_STATUS,
	VMIG_UAPI_GROUP_SET_CONTAINER,
	VMIG_UAPI_GROUP_UNSET_CONTAINER,
	VMIG_UAPI_GROUP_GET_DEVICE_FD,
	VMIG_UAPI_DEVICE_GET_INFO,
	VMIG_UAPI_DEVICE_GET_REGION_INFO,
	VMIG_UAPI_DEVICE_GET_IRQ_INFO,
	VMIG_UAPI_DEVICE_SET_IRQS,
	VMIG_UAPI_DEVICE_RESET,
	VMIG_UAPI_DEVICE_GET_PCI_HOT_RESET_INFO, /* IOMMU_GET_INFO */
	VMIG_UAPI_DEVICE_PCI_HOT_RESET,          /* IOMMU_MAP_DMA */
	VMIG_UAPI_IOMMU_UNMAP_DMA,
	VMIG_UAPI_DEVICE_FEATURE, /* IOMMU_DIRTY_PAGES */
	VMIG_UAPI_DEVICE_BIND_IOMMUFD,
	VMIG_UAPI_DEVICE_ATTACH_IOMMUFD_PT,
	VMIG_UAPI_DEVICE_DETACH_IOMMUFD_PT,
	VMIG_UAPI_MIG_GET_PRECOPY_INFO,
	VMIG_UAPI_IOMMUFD_DESTROY,
	VMIG_UAPI_IOMMUFD_IOAS_ALLOC,
	VMIG_UAPI_IOMMUFD_IOAS_ALLOW_IOVAS,
	VMIG_UAPI_IOMMUFD_IOAS_COPY,
	VMIG_UAPI_IOMMUFD_IOAS_IOVA_RANGES,
	VMIG_UAPI_IOMMUFD_IOAS_MAP,
	VMIG_UAPI_IOMMUFD_IOAS_MAP_FILE,
	VMIG_UAPI_IOMMUFD_IOAS_UNMAP,
	VMIG_UAPI_IOMMUFD_OPTION,
	VMIG_UAPI_IOMMUFD_HWPT_ALLOC,
	VMIG_UAPI_IOMMUFD_GET_HW_INFO,
	VMIG_UAPI_IOMMUFD_HWPT_SET_DIRTY_TRACKING,
	VMIG_UAPI_IOMMUFD_HWPT_GET_DIRTY_BITMAP,
};
#define N_REQUESTS (sizeof(requests) / sizeof(requests[0]))

static const char *const paths[] = { "/dev/vfio/vfio",          "/dev/vfio/90", "/dev/vfio/91",
				     "/dev/vfio/devices/vfio0", "/dev/iommu",   "/dev/vfio/devices/vfio1" };

static void open_one(uint8_t which)
{
	struct vmig_kabi_file *file = NULL;
	int r = vmig_kabi_open(kabi, &task, paths[which % 6], O_RDWR, &file);

	MUST(r < 0 || file);
	if (!r && install(&task, file, 0) < 0)
		vmig_kabi_file_unref(file);
}

static void drop(int fd)
{
	struct vmig_kabi_file *file = files[fd];

	files[fd] = NULL;
	vmig_kabi_file_unref(file);
}

/** The offset is in the struct; most of it is at the beginning of some region. */
static void transfer(struct vmig_kabi_file *file, uint8_t how, const uint8_t *bytes, size_t len)
{
	uint64_t offset = 0, count = how >> 2 ? 1ull << (how >> 2) % 20 : 8;
	int fd;

	memcpy(&offset, bytes, len < 8 ? len : 8);
	offset = (offset & 0xffff) | (offset >> 16 & 0xf) << 40;
	if (how & 2)
		(void)vmig_kabi_mmap(file, &task, offset, count, PROT_READ, &fd, &offset);
	else if (vmig_kabi_file_kind(file) == VMIG_KABI_DATA)
		offset = UINT64_MAX;
	if (how & 1)
		MUST(vmig_kabi_write(file, &task, ARENA + ARG, count, (int64_t)offset) <= (int64_t)count);
	else
		MUST(vmig_kabi_read(file, &task, ARENA + ARG, count, (int64_t)offset) <= (int64_t)count);
}

static void one_call(const uint8_t *head, const uint8_t *bytes, size_t len)
{
	int fd = head[1] % FILES;
	struct vmig_kabi_file *file = lookup(&task, fd);

	memcpy(arena + ARG, bytes, len);
	if ((head[0] & 3) == 3)
		open_one(head[1]);
	if (!file)
		return;
	/* A number instead of an address where that is what is asked for. */
	if ((head[0] & 3) == 0)
		(void)vmig_kabi_ioctl(file, &task, requests[head[2] % N_REQUESTS], ARENA + ARG);
	else if ((head[0] & 3) == 1)
		transfer(file, head[2], bytes, len);
	else if (head[2] & 1)
		(void)vmig_kabi_ioctl(file, &task, requests[head[2] / 2 % N_REQUESTS], head[3]);
	vmig_kabi_file_unref(file);
	if ((head[0] & 3) == 2 && !(head[2] & 1))
		drop(fd);
}

static void begin(void)
{
	struct vmig_kabi_device configs[2] = { { .status = &status[0] }, { .status = &status[1] } };
	struct vmig_device *dev;

	if (kabi)
		return;
	toy_new(&(struct toy_config){ .state_size = 8192, .piece = 1000 }, &devices[0]);
	toy_new(&(struct toy_config){ .state_size = 8192 }, &dev);
	MUST(!vmig_show_v1(dev, NULL, &devices[1]));
	configs[0].dev = devices[0];
	configs[1].dev = devices[1];
	MUST(!vmig_kabi_new(&(struct vmig_kabi_config){ .n_devices = 2, .devices = configs }, &kabi));
	memory_fd = memfd_create("fuzz", MFD_CLOEXEC);
	MUST(!ftruncate(memory_fd, ARENA_SIZE));
	event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	begin();
	while (size >= 4) {
		size_t len = data[3] < size - 4 ? data[3] : size - 4;

		one_call(data, data + 4, len);
		data += 4 + len;
		size -= 4 + len;
	}
	for (int i = 0; i < FILES; i++)
		if (files[i])
			drop(i);
	MUST(!mapped);
	MUST(!status[0].opened && !status[1].opened);
	return 0;
}

#ifdef REPLAY_END
__attribute__((destructor)) static void end(void)
{
	vmig_kabi_free(kabi);
	vmig_device_close(devices[0]);
	vmig_device_close(devices[1]);
	close(memory_fd);
	close(event_fd);
}
#endif
