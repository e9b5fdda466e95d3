/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory that the user has mapped, and what of it the server may reach by message.
 *
 * The server is not trusted: every address, size and direction is checked against the mappings. A
 * mapping leaves the table only after the server has let it go (until then it may be asked for), and
 * unmap returns when no access is under way.
 */
#include <string.h>

#include "user/vfio_user.h"

void vmig_vuc_maps_init(struct vmig_vuc_maps *maps)
{
	pthread_mutex_init(&maps->lock, NULL);
	pthread_cond_init(&maps->idle, NULL);
}

static void free_mapping(struct vmig_vuc_mapping *m)
{
	free(m->dirty);
	free(m);
}

void vmig_vuc_maps_done(struct vmig_vuc_maps *maps)
{
	for (uint32_t i = 0; i < maps->n; i++)
		free_mapping(maps->maps[i]);
	free(maps->maps);
	pthread_cond_destroy(&maps->idle);
	pthread_mutex_destroy(&maps->lock);
}

/* --- the table (maps->lock is held) ------------------------------------------------------- */

/* The first mapping that ends behind @iova; maps->n: none. */
static uint32_t find(const struct vmig_vuc_maps *maps, uint64_t iova)
{
	uint32_t low = 0, high = maps->n;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		const struct vmig_dma *m = &maps->maps[mid]->map;

		if (m->iova + (m->size - 1) < iova)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct vmig_vuc_mapping *find_holding(const struct vmig_vuc_maps *maps, uint64_t iova)
{
	uint32_t i = find(maps, iova);

	return i < maps->n && maps->maps[i]->map.iova <= iova ? maps->maps[i] : NULL;
}

static int make_place(struct vmig_vuc_maps *maps)
{
	uint32_t room = maps->room ? maps->room * 2 : 16;
	struct vmig_vuc_mapping **grown;

	if (maps->n < maps->room)
		return 0;
	grown = realloc(maps->maps, room * sizeof(grown[0]));
	if (!grown)
		return -ENOMEM;
	maps->maps = grown;
	maps->room = room;
	return 0;
}

static int insert(struct vmig_vuc_maps *maps, struct vmig_vuc_mapping *m, uint32_t max)
{
	uint32_t i = find(maps, m->map.iova);
	int r;

	if (i < maps->n && maps->maps[i]->map.iova <= m->map.iova + (m->map.size - 1))
		return -EEXIST;
	if (maps->n >= max)
		return -ENOSPC;
	r = make_place(maps);
	if (r < 0)
		return r;
	memmove(maps->maps + i + 1, maps->maps + i, (maps->n - i) * sizeof(maps->maps[0]));
	maps->maps[i] = m;
	maps->n++;
	return 0;
}

static void drop(struct vmig_vuc_maps *maps, uint64_t iova)
{
	uint32_t i = find(maps, iova);
	struct vmig_vuc_mapping *m = i < maps->n ? maps->maps[i] : NULL;

	if (!m || m->map.iova != iova)
		return;
	memmove(maps->maps + i, maps->maps + i + 1, (maps->n - i - 1) * sizeof(maps->maps[0]));
	maps->n--;
	while (m->busy)
		pthread_cond_wait(&maps->idle, &maps->lock);
	free_mapping(m);
}

struct vmig_vuc_mapping *vmig_vuc_hold_mapping(struct vmig_vuc_maps *maps, uint64_t iova)
{
	struct vmig_vuc_mapping *m = NULL;
	uint32_t i;

	pthread_mutex_lock(&maps->lock);
	i = find(maps, iova);
	if (i < maps->n) {
		m = maps->maps[i];
		m->busy++;
	}
	pthread_mutex_unlock(&maps->lock);
	return m;
}

void vmig_vuc_release_mapping(struct vmig_vuc_maps *maps, struct vmig_vuc_mapping *m)
{
	pthread_mutex_lock(&maps->lock);
	if (!--m->busy)
		pthread_cond_broadcast(&maps->idle);
	pthread_mutex_unlock(&maps->lock);
}

/* --- one access --------------------------------------------------------------------------- */

static int copy(const struct vmig_dma *m, uint64_t iova, uint8_t *buf, size_t len, bool write)
{
	uint8_t *at = m->vaddr ? (uint8_t *)m->vaddr + (iova - m->iova) : NULL;

	if (at && write)
		memcpy(at, buf, len);
	else if (at)
		memcpy(buf, at, len);
	else if (m->io)
		return write ? m->io->write(m->io->opaque, iova, buf, len)
			     : m->io->read(m->io->opaque, iova, buf, len);
	else
		return -EFAULT; /* only its descriptor is known here */
	return 0;
}

/* Up to the end of the mapping that holds @iova. The bytes done, or -EFAULT, or what the memory's owner says. */
static ssize_t access_part(struct vmig_vuc_maps *maps, uint64_t iova, uint8_t *buf, size_t len, bool write)
{
	struct vmig_vuc_mapping *m;
	size_t part;
	int r;

	pthread_mutex_lock(&maps->lock);
	m = find_holding(maps, iova);
	if (!m || !(m->map.prot & (write ? VMIG_DMA_WRITE : VMIG_DMA_READ))) {
		pthread_mutex_unlock(&maps->lock);
		return -EFAULT;
	}
	m->busy++;
	pthread_mutex_unlock(&maps->lock);
	part = (size_t)MIN(len, m->map.size - (iova - m->map.iova));
	r = copy(&m->map, iova, buf, part, write);
	vmig_vuc_release_mapping(maps, m);
	return r < 0 ? r : (ssize_t)part;
}

int vmig_vuc_access(struct vmig_vuc_maps *maps, uint64_t iova, uint8_t *buf, size_t len, bool write)
{
	if (!len || !add_fits(iova, len - 1))
		return -EINVAL;
	while (len) {
		ssize_t n = access_part(maps, iova, buf, len, write);

		if (n < 0)
			return (int)n;
		iova += (size_t)n;
		buf += n;
		len -= (size_t)n;
	}
	return 0;
}

/* --- map and unmap ------------------------------------------------------------------------ */

static int send_map(struct vmig_vuc *v, const struct vmig_dma *map, bool with_fd, struct vmig_error *error)
{
	uint8_t out[VMIG_VU_HEADER_SIZE + VMIG_VU_DMA_MAP_SIZE], in[VMIG_VU_DMA_MAP_SIZE];
	struct vmig_vu_dma_map m = { .argsz = VMIG_VU_DMA_MAP_SIZE,
				     .flags = map->prot,
				     .offset = with_fd ? map->fd_offset : 0,
				     .address = map->iova,
				     .size = map->size };
	struct vmig_vuc_call call = { .command = VMIG_VU_DMA_MAP,
				      .fixed = in,
				      .fixed_max = sizeof(in),
				      .send_fds = &map->fd,
				      .n_send_fds = with_fd };
	struct vmig_cursor c = vmig_vuc_request(out, sizeof(out));

	vmig_vu_dma_map_encode(&c, &m);
	vmig_vuc_request_end(&call, out, &c);
	return vmig_vuc_call(v, &call, error);
}

static int map_fault(struct vmig_error *error, int code, const struct vmig_dma *map)
{
	const char *why = "no memory for the mapping";

	if (code == -EEXIST)
		why = "it overlaps a mapping";
	else if (code == -ENOSPC)
		why = "the server takes no more mappings";
	return vmig_fault(error, code, "DMA_MAP", "0x%llx, size 0x%llx: %s", (unsigned long long)map->iova,
			  (unsigned long long)map->size, why);
}

static void forget(struct vmig_vuc *v, uint64_t iova)
{
	pthread_mutex_lock(&v->maps.lock);
	drop(&v->maps, iova);
	pthread_mutex_unlock(&v->maps.lock);
}

int vmig_vuc_map_dma(void *p, const struct vmig_dma *map, struct vmig_error *error)
{
	struct vmig_vuc *v = p;
	struct vmig_vuc_mapping *m = calloc(1, sizeof(*m));
	bool with_fd = map->fd >= 0 && v->caps.max_msg_fds;
	int r = m ? 0 : -ENOMEM;

	/* It is in the table before the server hears of it, who may use it at once. */
	if (m) {
		m->map = *map;
		m->map.fd = -1;
		pthread_mutex_lock(&v->maps.lock);
		r = insert(&v->maps, m, v->caps.max_dma_maps);
		pthread_mutex_unlock(&v->maps.lock);
	}
	if (r < 0) {
		free(m);
		return map_fault(error, r, map);
	}
	r = vmig_vuc_start_server(v, !with_fd);
	if (r < 0)
		vmig_fault(error, r, "DMA_MAP", "no thread can be started to serve the memory");
	else
		r = send_map(v, map, with_fd, error);
	if (r < 0)
		forget(v, map->iova);
	return r;
}

static int send_unmap(struct vmig_vuc *v, uint64_t iova, uint64_t size, struct vmig_error *error)
{
	uint8_t out[VMIG_VU_HEADER_SIZE + VMIG_VU_DMA_UNMAP_SIZE], in[64];
	struct vmig_vu_dma_unmap m = { .argsz = VMIG_VU_DMA_UNMAP_SIZE, .address = iova, .size = size },
				 reply;
	struct vmig_vuc_call call = { .command = VMIG_VU_DMA_UNMAP, .fixed = in, .fixed_max = sizeof(in) };
	struct vmig_cursor c = vmig_vuc_request(out, sizeof(out));
	int r;

	vmig_vu_dma_unmap_encode(&c, &m);
	vmig_vuc_request_end(&call, out, &c);
	r = vmig_vuc_call(v, &call, error);
	if (r < 0)
		return r;
	c = vmig_cursor_over(in, call.fixed_len);
	if (vmig_vu_dma_unmap_decode(&c, &reply) < 0 || reply.address != iova || reply.size != size)
		return vmig_vuc_broken(v, error, "DMA_UNMAP",
				       "the reply is not about the mapping that was asked for");
	return 0;
}

/* Whatever the server says, it reaches nothing there through us afterwards. */
int vmig_vuc_unmap_dma(void *p, uint64_t iova, uint64_t size, struct vmig_error *error)
{
	struct vmig_vuc *v = p;
	struct vmig_vuc_mapping *m;
	int r;

	pthread_mutex_lock(&v->maps.lock);
	m = find_holding(&v->maps, iova);
	r = m && m->map.iova == iova && m->map.size == size ? 0 : -ENOENT;
	pthread_mutex_unlock(&v->maps.lock);
	if (r < 0)
		return vmig_fault(error, r, "DMA_UNMAP", "there is no mapping at 0x%llx of size 0x%llx",
				  (unsigned long long)iova, (unsigned long long)size);
	r = send_unmap(v, iova, size, error);
	forget(v, iova);
	return r;
}
