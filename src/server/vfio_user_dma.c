/* SPDX-License-Identifier: BSD-3-Clause */
/* DMA_MAP, DMA_UNMAP, and the way to memory of the client's that came without a descriptor. */
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "server/vfio_user.h"

/* --- access by messages: called from any thread of the device's --------------------------------- */

static int by_messages(struct vmig_served_map *map, uint16_t command, uint64_t iova, uint8_t *buf, size_t len)
{
	struct vmig_served *s = map->served;
	struct vmig_slink *link;

	if (atomic_load(&map->target.gone))
		return -ECANCELED;
	link = s->twin ? s->twin : s->link;
	if (iova < map->iova || iova - map->iova > map->size || len > map->size - (iova - map->iova))
		return -EFAULT;
	while (len) {
		size_t part = MIN(len, s->caps.max_data_xfer_size);
		int r = vmig_slink_ask(link, &map->target, command, iova, buf, part);

		if (r < 0)
			return r;
		iova += part;
		buf += part;
		len -= part;
	}
	return 0;
}

static int read_by_messages(void *opaque, uint64_t iova, void *buf, size_t len)
{
	struct vmig_served_map *map = opaque;

	return map->prot & VMIG_DMA_READ ? by_messages(map, VMIG_VU_DMA_READ, iova, buf, len) : -EFAULT;
}

static int write_by_messages(void *opaque, uint64_t iova, const void *buf, size_t len)
{
	struct vmig_served_map *map = opaque;

	if (!(map->prot & VMIG_DMA_WRITE))
		return -EFAULT;
	/* A write's buffer is only looked at. */
	return by_messages(map, VMIG_VU_DMA_WRITE, iova, (uint8_t *)(uintptr_t)buf, len);
}

/* --- the list of mappings, by address ------------------------------------------------------------- */

/* The first mapping that ends behind @iova. */
static uint32_t find_map(const struct vmig_served *s, uint64_t iova)
{
	uint32_t low = 0, high = s->n_maps;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (s->maps[mid]->iova + (s->maps[mid]->size - 1) < iova)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int make_room(struct vmig_served *s)
{
	uint32_t size = s->maps_size ? 2 * s->maps_size : 16;
	void *maps;

	if (s->n_maps >= s->caps.max_dma_maps)
		return -ENOSPC;
	if (s->n_maps < s->maps_size)
		return 0;
	maps = realloc(s->maps, size * sizeof(*s->maps));
	if (!maps)
		return -ENOMEM;
	s->maps = maps;
	s->maps_size = size;
	return 0;
}

static void insert_map(struct vmig_served *s, uint32_t at, struct vmig_served_map *map)
{
	memmove(s->maps + at + 1, s->maps + at, (s->n_maps - at) * sizeof(*s->maps));
	s->maps[at] = map;
	s->n_maps++;
}

static void map_free(struct vmig_served_map *map)
{
	if (!map)
		return;
	if (map->vaddr)
		munmap(map->vaddr, map->size);
	free(map);
}

static void map_freep(struct vmig_served_map **map)
{
	map_free(*map);
}

static void remove_map(struct vmig_served *s, uint32_t at)
{
	struct vmig_served_map *map = s->maps[at];

	s->n_maps--;
	memmove(s->maps + at, s->maps + at + 1, (s->n_maps - at) * sizeof(*s->maps));
	map_free(map);
}

/* --- DMA_MAP --------------------------------------------------------------------------------------- */

/* A file that ends before its mapping does would kill us at the first access behind its end. */
static int check_file(int fd, uint64_t offset, uint64_t size)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (!add_fits(offset, size))
		return -EINVAL;
	return S_ISREG(st.st_mode) && offset + size > (uint64_t)st.st_size ? -EINVAL : 0;
}

static int map_memory(struct vmig_served_map *map, int fd, uint64_t offset)
{
	int prot =
		(map->prot & VMIG_DMA_READ ? PROT_READ : 0) | (map->prot & VMIG_DMA_WRITE ? PROT_WRITE : 0);
	int r = check_file(fd, offset, map->size);
	void *p;

	if (r < 0)
		return r;
	p = mmap(NULL, map->size, prot, MAP_SHARED, fd, (off_t)offset);
	if (p == MAP_FAILED)
		return -errno;
	map->vaddr = p;
	return 0;
}

static int check_map(const struct vmig_served *s, const struct vmig_slink_msg *m,
		     const struct vmig_vu_dma_map *req)
{
	uint64_t page = s->caps.pgsizes & -s->caps.pgsizes;

	if (m->n_fds > 1 || m->fds_lost || req->argsz < VMIG_VU_DMA_MAP_SIZE || !req->flags)
		return -EINVAL;
	if (!req->size || (req->address | req->size) % page || !add_fits(req->address, req->size))
		return -EINVAL;
	if ((!m->n_fds || s->dma_by_message) && !(s->info.dma_kinds & VMIG_DMA_KIND_MESSAGE))
		return -EOPNOTSUPP;
	return 0;
}

static int add_map(struct vmig_served *s, const struct vmig_vu_dma_map *req, int fd)
{
	_cleanup_(map_freep) struct vmig_served_map *map = calloc(1, sizeof(*map));
	struct vmig_dma dma = { .iova = req->address, .size = req->size, .prot = req->flags, .fd = fd };
	uint32_t at = find_map(s, req->address);
	int r = map ? make_room(s) : -ENOMEM;

	if (r < 0)
		return r;
	if (at < s->n_maps && s->maps[at]->iova < req->address + req->size)
		return -EEXIST;
	*map = (struct vmig_served_map){
		.served = s, .iova = req->address, .size = req->size, .prot = req->flags
	};
	map->io = (struct vmig_dma_io){ read_by_messages, write_by_messages, map };
	if (fd >= 0) {
		r = map_memory(map, fd, req->offset);
		dma.fd_offset = req->offset;
		dma.vaddr = map->vaddr;
	} else {
		dma.io = &map->io;
	}
	if (!r)
		r = vmig_device_map_dma(s->dev, &dma);
	if (!r)
		insert_map(s, at, steal_ptr(map));
	return r;
}

int vmig_served_dma_map(struct vmig_served *s, struct vmig_slink_msg *m)
{
	struct vmig_cursor c = vmig_cursor_over(m->body, m->body_len);
	struct vmig_vu_dma_map req;
	int r = vmig_vu_dma_map_decode(&c, &req);

	if (!r)
		r = check_map(s, m, &req);
	if (!r)
		r = add_map(s, &req, m->n_fds && !s->dma_by_message ? m->fds[0] : -1);
	return r < 0 ? r : vmig_served_reply(s, m, NULL, 0, NULL, 0, NULL, 0);
}

/* --- DMA_UNMAP ------------------------------------------------------------------------------------- */

/* What is under way is cancelled first: the device waits for it, and its answer comes behind this very command. */
static int drop_map(struct vmig_served *s, uint32_t at)
{
	struct vmig_served_map *map = s->maps[at];
	int r;

	if (!map->vaddr)
		vmig_slink_cancel(s->twin ? s->twin : s->link, &map->target);
	r = vmig_device_unmap_dma(s->dev, map->iova, map->size);
	if (r < 0 && r != -ENOENT)
		return r;
	remove_map(s, at);
	return 0;
}

static int unmap_all(struct vmig_served *s)
{
	while (s->n_maps) {
		int r = drop_map(s, s->n_maps - 1);

		if (r < 0)
			return r;
	}
	return 0;
}

static int unmap(struct vmig_served *s, const struct vmig_vu_dma_unmap *req)
{
	uint32_t at;

	if (req->argsz < VMIG_VU_DMA_UNMAP_SIZE)
		return -EINVAL;
	if (req->flags & VMIG_VU_DMA_UNMAP_ALL)
		return req->address || req->size ? -EINVAL : unmap_all(s);
	at = find_map(s, req->address);
	if (at == s->n_maps || s->maps[at]->iova != req->address || s->maps[at]->size != req->size)
		return -ENOENT;
	return drop_map(s, at);
}

int vmig_served_dma_unmap(struct vmig_served *s, struct vmig_slink_msg *m)
{
	struct vmig_cursor c = vmig_cursor_over(m->body, m->body_len);
	struct vmig_vu_dma_unmap req;
	uint8_t out[VMIG_VU_DMA_UNMAP_SIZE];
	struct vmig_cursor o = vmig_cursor_into(out, sizeof(out));
	int r = vmig_vu_dma_unmap_decode(&c, &req);

	if (!r)
		r = unmap(s, &req);
	if (r < 0)
		return r;
	req.argsz = sizeof(out);
	vmig_vu_dma_unmap_encode(&o, &req);
	return vmig_served_reply_to(s, m, out, &o);
}

/* What a device refuses to let go is left to it for ever: rather memory lost than memory used that is gone. */
void vmig_served_drop_maps(struct vmig_served *s)
{
	while (s->n_maps)
		if (drop_map(s, s->n_maps - 1))
			s->n_maps--;
}
