/* SPDX-License-Identifier: BSD-3-Clause */
#include "device/dma.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/limits.h"

/* The most that is copied under the read lock at once: an unmap waits no longer than that takes. */
#define PIECE (256u << 10)

struct vmig_mapping {
	uint64_t iova, last; /* inclusive: the last mapping may end at 2^64 */
	uint32_t prot;
	uint8_t *mem;                 /* in this process, or NULL: */
	const struct vmig_dma_io *io; /* ask */
	void *own;                    /* mem, if it was mapped here */
	unsigned int calls;           /* of io that are out; under drain_lock */
	bool gone;                    /* no longer in the table; under drain_lock */
};

void vmig_dma_init(struct vmig_dma_table *table, void (*changed)(void *opaque), void *opaque)
{
	pthread_rwlockattr_t attr;

	*table = (struct vmig_dma_table){ .changed = changed, .opaque = opaque };
	pthread_mutex_init(&table->call_lock, NULL);
	pthread_mutex_init(&table->drain_lock, NULL);
	pthread_cond_init(&table->drained, NULL);
	/* A device that accesses memory all the time must not keep an unmap waiting. */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&table->lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	vmig_dma_log_init(&table->log);
}

static void free_mapping(struct vmig_mapping *m)
{
	if (m->own)
		munmap(m->own, (size_t)(m->last - m->iova) + 1);
	free(m);
}

void vmig_dma_done(struct vmig_dma_table *table)
{
	for (size_t i = 0; i < table->n_maps; i++)
		free_mapping(table->maps[i]);
	free(table->maps);
	vmig_dma_log_done(&table->log);
	pthread_rwlock_destroy(&table->lock);
	pthread_cond_destroy(&table->drained);
	pthread_mutex_destroy(&table->drain_lock);
	pthread_mutex_destroy(&table->call_lock);
}

/** The place of the first mapping that ends at or behind @iova. */
static size_t find(const struct vmig_dma_table *table, uint64_t iova)
{
	size_t low = 0, high = table->n_maps;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (table->maps[mid]->last < iova)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* --- map ---------------------------------------------------------------------------------- */

/** Map the file here. What lies behind its end would be a SIGBUS at the first access. */
static int map_file(struct vmig_mapping *m, const struct vmig_dma *map, struct vmig_error *error)
{
	int prot =
		(map->prot & VMIG_DMA_READ ? PROT_READ : 0) | (map->prot & VMIG_DMA_WRITE ? PROT_WRITE : 0);
	struct stat st;
	void *mem;

	if (fstat(map->fd, &st) < 0)
		return vmig_fault(error, -errno, "DMA_MAP", "the file descriptor is no good");
	if (S_ISREG(st.st_mode) && map->fd_offset + map->size > (uint64_t)st.st_size)
		return vmig_fault(error, -EINVAL, "DMA_MAP",
				  "offset %#llx and size %#llx: the file ends at %#llx",
				  (unsigned long long)map->fd_offset, (unsigned long long)map->size,
				  (unsigned long long)st.st_size);
	if (map->size > SIZE_MAX || map->fd_offset > INT64_MAX)
		return vmig_fault(error, -EINVAL, "DMA_MAP", "size or offset is too large for this process");
	mem = mmap(NULL, (size_t)map->size, prot, MAP_SHARED, map->fd, (off_t)map->fd_offset);
	if (mem == MAP_FAILED)
		return vmig_fault(error, -errno, "DMA_MAP", "the file cannot be mapped");
	m->mem = m->own = mem;
	return 0;
}

static int new_mapping(const struct vmig_dma *map, struct vmig_mapping **ret, struct vmig_error *error)
{
	struct vmig_mapping *m = calloc(1, sizeof(*m));
	int r = 0;

	if (!m)
		return vmig_fault(error, -ENOMEM, "DMA_MAP", "no memory");
	m->iova = map->iova;
	m->last = map->iova + (map->size - 1);
	m->prot = map->prot;
	m->mem = map->vaddr;
	m->io = map->io;
	if (!m->mem && map->fd >= 0)
		r = map_file(m, map, error);
	if (r < 0 && !m->io) {
		free(m);
		return r;
	}
	*ret = m;
	return 0;
}

static int make_room(struct vmig_dma_table *table)
{
	size_t room = table->room ? 2 * table->room : 32;
	struct vmig_mapping **maps;

	if (table->n_maps < table->room)
		return 0;
	maps = reallocarray(table->maps, room, sizeof(*maps));
	if (!maps)
		return -ENOMEM;
	table->maps = maps;
	table->room = room;
	return 0;
}

static int insert(struct vmig_dma_table *table, struct vmig_mapping *m)
{
	size_t at = find(table, m->iova);
	int r;

	pthread_rwlock_wrlock(&table->lock);
	r = make_room(table);
	if (!r) {
		memmove(&table->maps[at + 1], &table->maps[at],
			(table->n_maps - at) * sizeof(table->maps[0]));
		table->maps[at] = m;
		table->n_maps++;
	}
	pthread_rwlock_unlock(&table->lock);
	return r;
}

static int map_locked(struct vmig_dma_table *table, const struct vmig_dma *map, struct vmig_error *error)
{
	size_t at = find(table, map->iova);
	struct vmig_mapping *m = NULL;
	int r;

	if (table->n_maps >= VMIG_LIMIT_DMA_MAPS)
		return vmig_fault(error, -ENOSPC, "DMA_MAP", "there are %u mappings already",
				  VMIG_LIMIT_DMA_MAPS);
	if (at < table->n_maps && table->maps[at]->iova <= map->iova + (map->size - 1))
		return vmig_fault(error, -EEXIST, "DMA_MAP", "%#llx + %#llx overlaps the mapping at %#llx",
				  (unsigned long long)map->iova, (unsigned long long)map->size,
				  (unsigned long long)table->maps[at]->iova);
	/* The log first: once it is in the table it may be written to. */
	r = vmig_dma_log_cover(&table->log, map->iova, map->size, error);
	if (!r)
		r = new_mapping(map, &m, error);
	if (r < 0)
		return r;
	r = insert(table, m);
	if (r < 0) {
		free_mapping(m);
		return vmig_fault(error, r, "DMA_MAP", "no memory");
	}
	if (table->changed)
		table->changed(table->opaque);
	return 0;
}

int vmig_dma_map(struct vmig_dma_table *table, const struct vmig_dma *map, struct vmig_error *error)
{
	int r;

	pthread_mutex_lock(&table->call_lock);
	r = map_locked(table, map, error);
	pthread_mutex_unlock(&table->call_lock);
	return r;
}

/* --- unmap -------------------------------------------------------------------------------- */

static struct vmig_mapping *take_out(struct vmig_dma_table *table, uint64_t iova, uint64_t size)
{
	size_t at = find(table, iova);
	struct vmig_mapping *m;

	if (at == table->n_maps || table->maps[at]->iova != iova || table->maps[at]->last - iova != size - 1)
		return NULL;
	m = table->maps[at];
	/* With the write lock nobody copies; from here on nobody finds it. */
	pthread_rwlock_wrlock(&table->lock);
	table->n_maps--;
	memmove(&table->maps[at], &table->maps[at + 1], (table->n_maps - at) * sizeof(table->maps[0]));
	pthread_rwlock_unlock(&table->lock);
	pthread_mutex_lock(&table->drain_lock);
	m->gone = true;
	pthread_mutex_unlock(&table->drain_lock);
	return m;
}

int vmig_dma_unmap(struct vmig_dma_table *table, uint64_t iova, uint64_t size, struct vmig_error *error)
{
	struct vmig_mapping *m;

	pthread_mutex_lock(&table->call_lock);
	m = take_out(table, iova, size);
	if (m && table->changed)
		table->changed(table->opaque);
	pthread_mutex_unlock(&table->call_lock);
	if (!m)
		return vmig_fault(error, -ENOENT, "DMA_UNMAP", "there is no mapping %#llx + %#llx",
				  (unsigned long long)iova, (unsigned long long)size);
	pthread_mutex_lock(&table->drain_lock);
	while (m->calls)
		pthread_cond_wait(&table->drained, &table->drain_lock);
	pthread_mutex_unlock(&table->drain_lock);
	free_mapping(m);
	return 0;
}

/* --- the log ------------------------------------------------------------------------------ */

int vmig_dma_start_log(struct vmig_dma_table *table, uint64_t page_size, const struct vmig_range *ranges,
		       uint32_t n, struct vmig_error *error)
{
	int r;

	/* Mappings that come meanwhile wait, or they would be in neither list. */
	pthread_mutex_lock(&table->call_lock);
	r = vmig_dma_log_start(&table->log, page_size, ranges, n, error);
	if (!r) {
		for (size_t i = 0; i < table->n_maps && !r; i++)
			r = vmig_dma_log_cover(&table->log, table->maps[i]->iova,
					       table->maps[i]->last - table->maps[i]->iova + 1, error);
		if (r < 0)
			(void)vmig_dma_log_stop(&table->log, NULL);
	}
	pthread_mutex_unlock(&table->call_lock);
	return r;
}

/* --- access ------------------------------------------------------------------------------- */

struct access {
	uint64_t iova;
	void *to;         /* read */
	const void *from; /* write */
	size_t len;
};

/*
 * The user reads and writes the same memory at any time, as with any DMA: what orders the two is in the
 * device's protocol. The thread sanitizer is not to take that for a mistake of this process.
 */
#ifdef __SANITIZE_THREAD__
__attribute__((no_sanitize_thread)) static void copy_bytes(void *to, const void *from, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((volatile uint8_t *)to)[i] = ((const volatile uint8_t *)from)[i];
}
#else
#define copy_bytes memcpy
#endif

static void copy(const struct vmig_mapping *m, const struct access *a)
{
	uint8_t *mem = m->mem + (a->iova - m->iova);

	if (a->to)
		copy_bytes(a->to, mem, a->len);
	else
		copy_bytes(mem, a->from, a->len);
}

/** Ask the user for it, without a lock. The mapping has been held. */
static int ask(struct vmig_dma_table *table, struct vmig_mapping *m, const struct access *a)
{
	int r;

	if (a->to)
		r = m->io->read(m->io->opaque, a->iova, a->to, a->len);
	else
		r = m->io->write(m->io->opaque, a->iova, a->from, a->len);
	/* A failed write may have been done in part. */
	if (!a->to)
		vmig_dma_log_mark(&table->log, a->iova, a->len);
	pthread_mutex_lock(&table->drain_lock);
	/* What was answered before the unmap was seen is done. */
	if (m->gone && r < 0)
		r = -ECANCELED;
	if (!--m->calls && m->gone)
		pthread_cond_broadcast(&table->drained);
	pthread_mutex_unlock(&table->drain_lock);
	return r < 0 ? r : 0;
}

/** The part of *@a that lies in one mapping; its length is set to what was done. */
static int access_part(struct vmig_dma_table *table, struct access *a)
{
	uint32_t need = a->to ? VMIG_DMA_READ : VMIG_DMA_WRITE;
	struct vmig_mapping *m = NULL;
	bool asks = false;
	size_t at;

	pthread_rwlock_rdlock(&table->lock);
	at = find(table, a->iova);
	if (at < table->n_maps && table->maps[at]->iova <= a->iova && (table->maps[at]->prot & need)) {
		m = table->maps[at];
		a->len = MIN(a->len - 1, m->last - a->iova) + 1;
		asks = !m->mem;
	}
	if (asks) {
		/* Within the read lock, so that an unmap either sees this call or has hidden the mapping. */
		pthread_mutex_lock(&table->drain_lock);
		m->calls++;
		pthread_mutex_unlock(&table->drain_lock);
	} else if (m) {
		a->len = MIN(a->len, PIECE);
		copy(m, a);
		/* Still within the read lock: once an unmap has returned, the log knows it all. */
		if (!a->to)
			vmig_dma_log_mark(&table->log, a->iova, a->len);
	}
	pthread_rwlock_unlock(&table->lock);
	if (!m)
		return -EFAULT;
	return asks ? ask(table, m, a) : 0;
}

static int access_all(struct vmig_dma_table *table, uint64_t iova, void *to, const void *from, size_t len)
{
	size_t done = 0;

	while (done < len) {
		struct access a = {
			.iova = iova + done,
			.to = to ? (char *)to + done : NULL,
			.from = from ? (const char *)from + done : NULL,
			.len = len - done,
		};
		int r;

		if (!add_fits(iova, done))
			return -EFAULT;
		r = access_part(table, &a);
		if (r < 0)
			return r;
		done += a.len;
	}
	return 0;
}

int vmig_dma_read(struct vmig_dma_table *table, uint64_t iova, void *buf, size_t len)
{
	return access_all(table, iova, buf, NULL, len);
}

int vmig_dma_write(struct vmig_dma_table *table, uint64_t iova, const void *buf, size_t len)
{
	return access_all(table, iova, NULL, buf, len);
}
