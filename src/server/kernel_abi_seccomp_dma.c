/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The program's memory for DMA, as long as it is mapped for that.
 *
 * DMA goes to the file that is mapped, where one is shared. Otherwise to the memory itself by /proc/PID/mem, opened when
 * it was mapped: that is this process's memory and never another's, also when the process has ended or runs another program.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/log.h"
#include "server/kernel_abi_seccomp.h"

/* --- what is mapped there ----------------------------------------------------------------- */

/** One line of /proc/PID/maps. */
struct area {
	uint64_t start, end, offset;
	unsigned long ino;
	dev_t dev;
	bool shared, writable;
};

static bool parse_area(const char *line, struct area *ret)
{
	char perms[5];
	unsigned int major, minor;

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %lu", &ret->start, &ret->end, perms,
		   &ret->offset, &major, &minor, &ret->ino) != 7)
		return false;
	ret->dev = makedev(major, minor);
	ret->shared = perms[3] == 's';
	ret->writable = perms[1] == 'w';
	return true;
}

/** Does @next go on where @area ends, in the same file? */
static bool goes_on(const struct area *area, const struct area *next)
{
	return next->start == area->end && next->shared == area->shared && next->ino == area->ino &&
	       next->dev == area->dev && next->offset == area->offset + (area->end - area->start);
}

/**
 * The area that @addr is in; neighbours of the same file that go on where it ends are one with it.
 * -EFAULT: not all of the memory is there.
 */
static int find_area(pid_t pid, uint64_t addr, uint64_t len, struct area *ret)
{
	char path[64], line[VMIG_LIMIT_PROC_LINE];
	uint64_t there = addr; /* up to here */
	struct area area;
	bool whole = true; /* the line before this one ended */
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	maps = fopen(path, "re");
	if (!maps)
		return -errno;
	while (there - addr < len && fgets(line, sizeof(line), maps)) {
		bool begins = whole;

		/* What is in the middle of a long path is the program's word. */
		whole = strchr(line, '\n');
		if (!begins || !parse_area(line, &area) || area.end <= there)
			continue;
		if (area.start > there)
			break;
		if (there == addr) {
			*ret = area;
		} else if (goes_on(ret, &area)) {
			ret->end = area.end;
		}
		ret->writable &= area.writable;
		there = area.end;
	}
	fclose(maps);
	return there - addr >= len ? 0 : -EFAULT;
}

/* --- what mappings go through ------------------------------------------------------------- */

static void back_unref(struct vmig_supervise *sv, struct sv_back *back)
{
	struct sv_back **at;
	bool last;

	pthread_mutex_lock(&sv->lock);
	last = !--back->refs;
	for (at = &sv->backs; last && *at; at = &(*at)->next) {
		if (*at == back) {
			*at = back->next;
			break;
		}
	}
	pthread_mutex_unlock(&sv->lock);
	if (last) {
		close(back->fd);
		free(back);
	}
}

/** One that is there already, of the same process or file, with a reference. */
static struct sv_back *back_find(struct vmig_supervise *sv, pid_t tgid, dev_t dev, ino_t ino)
{
	struct sv_back *back;

	pthread_mutex_lock(&sv->lock);
	for (back = sv->backs; back; back = back->next)
		if (back->tgid == tgid && back->dev == dev && back->ino == ino)
			break;
	if (back)
		back->refs++;
	pthread_mutex_unlock(&sv->lock);
	return back;
}

/** @fd becomes its own, whatever comes of it. */
static struct sv_back *back_new(struct vmig_supervise *sv, pid_t tgid, dev_t dev, ino_t ino, int fd)
{
	struct sv_back *back = calloc(1, sizeof(*back));

	if (!back) {
		close(fd);
		return NULL;
	}
	*back = (struct sv_back){ .tgid = tgid, .dev = dev, .ino = ino, .fd = fd, .refs = 1 };
	pthread_mutex_lock(&sv->lock);
	back->next = sv->backs;
	sv->backs = back;
	pthread_mutex_unlock(&sv->lock);
	return back;
}

/** The memory of the call's process. One of before that has ended, or of another program, reads nothing. */
static struct sv_back *process_back(struct sv_call *call, uint64_t addr)
{
	struct vmig_supervise *sv = call->sv;
	struct sv_back *back = back_find(sv, call->task.pid, 0, 0);
	char path[64], byte;
	int fd;

	if (back && pread(back->fd, &byte, 1, (off_t)addr) == 1)
		return back;
	if (back)
		back_unref(sv, back);
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)call->task.tid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		sv_cannot_look(sv, errno == EACCES ? EPERM : errno);
		return NULL;
	}
	return back_new(sv, call->task.pid, 0, 0, fd);
}

/** Of the files that the program has open, the one that is mapped: a descriptor of ours. */
struct wanted {
	const struct area *area;
	bool writable;
	int fd;
};

static bool is_wanted(const struct wanted *want, int fd)
{
	struct stat st;
	int flags = fcntl(fd, F_GETFL);

	return !fstat(fd, &st) && st.st_ino == want->area->ino && st.st_dev == want->area->dev &&
	       flags >= 0 && (flags & O_ACCMODE) != O_WRONLY &&
	       (!want->writable || (flags & O_ACCMODE) == O_RDWR);
}

static bool take_wanted(void *opaque, pid_t pid, int number)
{
	struct wanted *want = opaque;
	dev_t dev;
	ino_t ino;
	int fd;

	if (!sv_fd_inode(pid, number, &dev, &ino) || ino != want->area->ino || dev != want->area->dev)
		return false;
	fd = sv_take_from(pid, number);
	if (fd >= 0 && is_wanted(want, fd)) {
		want->fd = fd;
		return true;
	}
	if (fd >= 0)
		close(fd);
	return false;
}

/** By /proc/PID/map_files, which is there also when the program has closed its descriptor, but for the privileged only. */
static int open_map_file(const struct sv_call *call, const struct wanted *want)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, (int)call->task.tid,
		 want->area->start, want->area->end);
	fd = open(path, (want->writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	if (fd >= 0 && !is_wanted(want, fd)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static struct sv_back *file_back(struct sv_call *call, const struct area *area, bool writable)
{
	struct wanted want = { .area = area, .writable = writable, .fd = -1 };
	struct sv_back *back = back_find(call->sv, 0, area->dev, area->ino);
	bool unsure = false;

	if (back && is_wanted(&want, back->fd))
		return back;
	if (back)
		back_unref(call->sv, back);
	if (!sv_each_fd(call->task.pid, 0, take_wanted, &want, &unsure))
		want.fd = open_map_file(call, &want);
	return want.fd < 0 ? NULL : back_new(call->sv, 0, area->dev, area->ino, want.fd);
}

/* --- DMA ---------------------------------------------------------------------------------- */

struct dma {
	struct vmig_supervise *sv;
	struct sv_back *process, *file; /* @file: NULL if it is not one file that is shared */
	struct vmig_dma_io io;
	uint64_t iova, addr, file_offset;
	void *map; /* of the file, in this process */
	size_t map_len;
};

static int dma_read(void *opaque, uint64_t iova, void *buf, size_t len)
{
	struct dma *dma = opaque;
	ssize_t n = pread(dma->process->fd, buf, len, (off_t)(dma->addr + (iova - dma->iova)));

	return n == (ssize_t)len ? 0 : -EFAULT;
}

static int dma_write(void *opaque, uint64_t iova, const void *buf, size_t len)
{
	struct dma *dma = opaque;
	ssize_t n = pwrite(dma->process->fd, buf, len, (off_t)(dma->addr + (iova - dma->iova)));

	return n == (ssize_t)len ? 0 : -EFAULT;
}

void sv_release(void *release)
{
	struct dma *dma = release;

	if (dma->map)
		munmap(dma->map, dma->map_len);
	if (dma->file)
		back_unref(dma->sv, dma->file);
	if (dma->process)
		back_unref(dma->sv, dma->process);
	free(dma);
}

static int reach(struct sv_call *call, struct dma *dma, uint64_t len, struct vmig_dma *ret)
{
	struct area area;
	int r = find_area(call->task.tid, dma->addr, len, &area);

	if (r)
		return r;
	dma->process = process_back(call, dma->addr);
	if (!dma->process || !sv_call_valid(call))
		return -EFAULT;
	/* The kernel would not pin for writing what the program cannot write. */
	if ((ret->prot & VMIG_DMA_WRITE) && !area.writable)
		return -EFAULT;
	if (!area.shared || area.end - dma->addr < len)
		return 0;
	dma->file = file_back(call, &area, ret->prot & VMIG_DMA_WRITE);
	dma->file_offset = area.offset + (dma->addr - area.start);
	return 0;
}

/* Of a device in the kernel, and faster for those in this process. What lies behind the file's end would be a SIGBUS. */
static void map_file(struct dma *dma, uint64_t len, struct vmig_dma *ret)
{
	int prot = PROT_READ | (ret->prot & VMIG_DMA_WRITE ? PROT_WRITE : 0);
	struct stat st;
	void *map;

	if (fstat(dma->file->fd, &st) || (uint64_t)st.st_size < dma->file_offset ||
	    (uint64_t)st.st_size - dma->file_offset < len || len > SIZE_MAX)
		return;
	ret->fd = dma->file->fd;
	ret->fd_offset = dma->file_offset;
	map = mmap(NULL, (size_t)len, prot, MAP_SHARED, ret->fd, (off_t)ret->fd_offset);
	if (map == MAP_FAILED)
		return;
	ret->vaddr = dma->map = map;
	dma->map_len = (size_t)len;
}

/*
 * For a device that takes addresses only. What it only reads, as a VMM's ROMs, is there as it is now: the kernel would
 * show later changes too, but nothing else can be had of memory of the program's own.
 */
static int copy_here(struct dma *dma, uint64_t len, struct vmig_dma *ret)
{
	struct vmig_supervise *sv = dma->sv;
	void *map;

	if (!sv->needs_address || ret->vaddr || (ret->prot & VMIG_DMA_WRITE) ||
	    len > VMIG_LIMIT_SUPERVISE_COPY)
		return 0;
	map = mmap(NULL, (size_t)len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return -errno;
	dma->map = map;
	dma->map_len = (size_t)len;
	if (pread(dma->process->fd, map, (size_t)len, (off_t)dma->addr) != (ssize_t)len)
		return -EFAULT;
	ret->vaddr = map;
	if (!atomic_exchange(&sv->said_copy, true))
		vmig_log(VMIG_LOG_INFO, "seccomp: memory that a device only reads is given to it as it was "
					"when it was mapped");
	return 0;
}

int sv_memory(struct vmig_kabi_task *task, uint64_t addr, uint64_t len, struct vmig_dma *ret,
	      void **ret_release)
{
	struct sv_call *call = sv_call_of(task);
	struct dma *dma = calloc(1, sizeof(*dma));
	int r;

	if (!dma)
		return -ENOMEM;
	*dma = (struct dma){ .sv = call->sv, .iova = ret->iova, .addr = addr };
	dma->io = (struct vmig_dma_io){ .read = dma_read, .write = dma_write, .opaque = dma };
	r = reach(call, dma, len, ret);
	if (!r && dma->file)
		map_file(dma, len, ret);
	r = r ? r : copy_here(dma, len, ret);
	if (r) {
		sv_release(dma);
		return r;
	}
	ret->io = &dma->io;
	*ret_release = dma;
	return 0;
}
