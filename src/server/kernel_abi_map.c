/* SPDX-License-Identifier: BSD-3-Clause */
/* The mappings of an address space. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/log.h"
#include "server/kernel_abi.h"

/* --- the list ----------------------------------------------------------------------------- */

static uint64_t last_of(const struct vmig_kabi_map *map)
{
	return map->iova + (map->size - 1);
}

uint32_t vmig_kabi_as_find(const struct vmig_kabi_as *as, uint64_t iova)
{
	uint32_t low = 0, high = as->n_maps;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (last_of(&as->maps[mid]) < iova)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

bool vmig_kabi_as_bounded(const struct vmig_kabi_as *as, uint64_t iova, uint64_t last)
{
	uint32_t at = vmig_kabi_as_find(as, iova);

	if (at < as->n_maps && as->maps[at].iova < iova)
		return false;
	at = vmig_kabi_as_find(as, last);
	return at == as->n_maps || as->maps[at].iova > last || last_of(&as->maps[at]) == last;
}

static int make_room(struct vmig_kabi_as *as)
{
	uint32_t room = as->room ? 2 * as->room : 16;
	struct vmig_kabi_map *maps;

	if (as->n_maps < as->room)
		return 0;
	maps = reallocarray(as->maps, room, sizeof(*maps));
	if (!maps)
		return -ENOMEM;
	as->maps = maps;
	as->room = room;
	return 0;
}

/* --- what a device takes ------------------------------------------------------------------ */

static uint32_t kinds_of(const struct vmig_dma *dma)
{
	return (dma->fd >= 0 ? VMIG_DMA_KIND_FD : 0) | (dma->vaddr ? VMIG_DMA_KIND_ADDRESS : 0) |
	       (dma->io ? VMIG_DMA_KIND_MESSAGE : 0);
}

static const char *kind_words(uint32_t kinds)
{
	static const char *const words[8] = {
		"nothing",
		"a file descriptor",
		"an address in this process",
		"a file descriptor or an address in this process",
		"messages",
		"a file descriptor or messages",
		"an address in this process or messages",
		"any means",
	};

	return words[kinds & 7];
}

/** Refused from the first mapping on, and in words: a device that is opened later could not have it. */
static int check_members(const struct vmig_kabi_as *as, const struct vmig_dma *dma)
{
	for (uint32_t i = 0; i < as->n_members; i++) {
		const struct vmig_kabi_slot *slot = as->members[i];

		if (slot->info.dma_kinds & kinds_of(dma))
			continue;
		vmig_log(
			VMIG_LOG_ERROR,
			"%s reaches memory by %s, but the program's memory for iova %#llx can be had by %s%s",
			slot->info.name, kind_words(slot->info.dma_kinds), (unsigned long long)dma->iova,
			kind_words(kinds_of(dma)),
			dma->fd < 0 ? ": give the program's memory a file that is mapped shared (a memfd)"
				    : "");
		return -EOPNOTSUPP;
	}
	return 0;
}

/* --- map ---------------------------------------------------------------------------------- */

/** Memory by its file. What lies behind the file's end would be a SIGBUS at the first access. */
static int reach_file(struct vmig_kabi_map *map, struct vmig_dma *dma)
{
	int prot = PROT_READ | (map->prot & VMIG_DMA_WRITE ? PROT_WRITE : 0);
	struct stat st;
	void *mem;

	if (fstat(map->fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || !add_fits(map->fd_offset, map->size) ||
	    map->fd_offset + map->size > (uint64_t)st.st_size || map->size > SIZE_MAX)
		return -EINVAL;
	mem = mmap(NULL, (size_t)map->size, prot, MAP_SHARED, map->fd, (off_t)map->fd_offset);
	if (mem == MAP_FAILED)
		return -errno;
	map->own = mem;
	dma->vaddr = mem;
	dma->fd = map->fd;
	dma->fd_offset = map->fd_offset;
	return 0;
}

static int reach(struct vmig_kabi_map *map, struct vmig_kabi_task *task, struct vmig_dma *dma)
{
	int r;

	*dma = (struct vmig_dma){ .iova = map->iova, .size = map->size, .prot = map->prot, .fd = -1 };
	if (map->fd >= 0)
		return reach_file(map, dma);
	r = task->ops->memory(task, map->vaddr, map->size, dma, &map->to_release);
	if (!r)
		map->release = task->ops->release;
	return r;
}

/** @map becomes the list's, whatever comes of it. */
static int map_locked(struct vmig_kabi_as *as, struct vmig_kabi_task *task, struct vmig_kabi_map *map)
{
	uint32_t at = vmig_kabi_as_find(as, map->iova);
	struct vmig_dma dma;
	int r;

	if (at < as->n_maps && as->maps[at].iova <= last_of(map))
		return -EEXIST;
	if (as->n_maps >= VMIG_LIMIT_DMA_MAPS)
		return -ENOSPC;
	r = make_room(as);
	if (!r)
		r = reach(map, task, &dma);
	if (!r)
		r = check_members(as, &dma);
	if (!r)
		r = vmig_space_map(as->space, &dma);
	if (r < 0)
		return r;
	memmove(&as->maps[at + 1], &as->maps[at], (as->n_maps - at) * sizeof(as->maps[0]));
	as->maps[at] = *map;
	as->n_maps++;
	return 0;
}

int vmig_kabi_as_map(struct vmig_kabi_as *as, struct vmig_kabi_task *task, const struct vmig_kabi_map *want)
{
	struct vmig_kabi_map map = *want;
	int r;

	if (map.fd >= 0) {
		map.fd = fcntl(map.fd, F_DUPFD_CLOEXEC, 0);
		if (map.fd < 0)
			return -errno;
	}
	pthread_mutex_lock(&as->lock);
	r = map_locked(as, task, &map);
	pthread_mutex_unlock(&as->lock);
	if (r < 0)
		vmig_kabi_map_free(&map);
	return r;
}

/** The first place for @size bytes within [@start, @last]; @align is a power of two. */
static bool find_gap(const struct vmig_kabi_as *as, uint64_t start, uint64_t last, uint64_t size,
		     uint64_t align, uint64_t *ret)
{
	for (uint32_t at = vmig_kabi_as_find(as, start);; at++) {
		uint64_t end = at < as->n_maps ? as->maps[at].iova : 0, first;

		if (!add_fits(start, align - 1))
			return false;
		first = (start + (align - 1)) & ~(align - 1);
		if (first > last || size - 1 > last - first)
			return false;
		if (at == as->n_maps || first + (size - 1) < end) {
			*ret = first;
			return true;
		}
		if (last_of(&as->maps[at]) == UINT64_MAX)
			return false;
		start = MAX(start, last_of(&as->maps[at]) + 1);
	}
}

/* Not at 0: a driver may take that for none. */
static const struct vmig_range anywhere = { VMIG_KABI_PAGE, UINT64_MAX - VMIG_KABI_PAGE };

int vmig_kabi_as_map_anywhere(struct vmig_kabi_as *as, struct vmig_kabi_task *task,
			      struct vmig_kabi_map *want)
{
	/* As the memory lies, so that large pages could be used. */
	uint64_t align = want->size >= (2u << 20) && !(want->vaddr % (2u << 20)) ? 2u << 20 : VMIG_KABI_PAGE;
	struct vmig_kabi_map map = *want;
	bool found = false;
	int r = -ENOSPC;

	if (map.fd >= 0) {
		map.fd = fcntl(map.fd, F_DUPFD_CLOEXEC, 0);
		if (map.fd < 0)
			return -errno;
	}
	pthread_mutex_lock(&as->lock);
	for (uint32_t i = 0; i < MAX(as->n_allowed, 1) && !found; i++) {
		const struct vmig_range *range = as->n_allowed ? &as->allowed[i] : &anywhere;

		found = find_gap(as, range->iova, range->iova + (range->length - 1), map.size, align,
				 &map.iova);
	}
	if (found)
		r = map_locked(as, task, &map);
	pthread_mutex_unlock(&as->lock);
	if (r < 0)
		vmig_kabi_map_free(&map);
	else
		want->iova = map.iova;
	return r;
}

/* --- unmap -------------------------------------------------------------------------------- */

void vmig_kabi_as_withdraw(struct vmig_kabi_as *as, uint64_t iova, uint64_t last)
{
	uint32_t first = vmig_kabi_as_find(as, iova), end = first;

	while (end < as->n_maps && as->maps[end].iova <= last)
		end++;
	/* From the end: what is behind a mapping has to move when that goes. */
	while (end-- > first) {
		const struct vmig_kabi_map *map = &as->maps[end];
		int r = vmig_space_unmap(as->space, map->iova, map->size);

		if (r < 0)
			vmig_log(VMIG_LOG_ERROR, "a device does not give up %#llx + %#llx: %s",
				 (unsigned long long)map->iova, (unsigned long long)map->size, strerror(-r));
	}
}

uint64_t vmig_kabi_as_drop(struct vmig_kabi_as *as, uint64_t iova, uint64_t last)
{
	uint32_t first = vmig_kabi_as_find(as, iova), end = first;
	uint64_t bytes = 0;

	for (; end < as->n_maps && as->maps[end].iova <= last; end++) {
		bytes += as->maps[end].size;
		vmig_kabi_map_free(&as->maps[end]);
	}
	if (end == first)
		return 0;
	memmove(&as->maps[first], &as->maps[end], (as->n_maps - end) * sizeof(as->maps[0]));
	as->n_maps -= end - first;
	return bytes;
}

int vmig_kabi_as_unmap(struct vmig_kabi_as *as, uint64_t iova, uint64_t last, uint64_t *ret_bytes)
{
	int r = 0;

	*ret_bytes = 0;
	pthread_mutex_lock(&as->lock);
	if (vmig_kabi_as_bounded(as, iova, last)) {
		vmig_kabi_as_withdraw(as, iova, last);
		*ret_bytes = vmig_kabi_as_drop(as, iova, last);
	} else {
		r = -EINVAL;
	}
	pthread_mutex_unlock(&as->lock);
	return r;
}
