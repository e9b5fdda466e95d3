/* SPDX-License-Identifier: BSD-3-Clause */
/* workload-map - how the device sees the workload's memory: as one mapping, or in pieces. */
#include "workload-private.h"

#include <errno.h>

#define IOVA_FIRST 0x100000000ull
#define IOVA_TRIES 4096u
#define PAGE       4096ull

static uint64_t page_up(uint64_t at)
{
	return (at + PAGE - 1) / PAGE * PAGE;
}

/* What the driver writes and the device only reads: from here on. */
static uint64_t jobs_at(const struct workload *w)
{
	return w->class && w->class->has_jobs ? page_up(workload_ring(w, w->n_queues)) : WORKLOAD_MEMORY;
}

static void add_piece(struct workload *w, uint64_t to, uint32_t prot)
{
	uint64_t at = w->n_pieces ? w->pieces[w->n_pieces - 1].to : 0;

	if (to > at)
		w->pieces[w->n_pieces++] = (struct workload_piece){ at, to, prot };
}

static void cut(struct workload *w)
{
	const uint32_t both = VMIG_DMA_READ | VMIG_DMA_WRITE;

	w->n_pieces = 0;
	if (w->split && w->peer)
		add_piece(w, page_up(workload_ring(w, w->n_queues - 1)), both);
	if (w->split)
		add_piece(w, jobs_at(w), both | (w->peer ? VMIG_DMA_REGION : 0));
	add_piece(w, WORKLOAD_MEMORY, w->split && jobs_at(w) < WORKLOAD_MEMORY ? VMIG_DMA_READ : both);
}

static int unmap_first(struct workload *w, unsigned int n, uint64_t iova)
{
	int r = 0;

	for (unsigned int i = 0; i < n; i++) {
		const struct workload_piece *p = &w->pieces[i];
		int one = vmig_space_unmap(w->space, iova + p->at, p->to - p->at);

		r = r ? r : one;
	}
	return r;
}

static int map_piece(struct workload *w, const struct workload_piece *p, uint64_t iova)
{
	const struct vmig_dma map = {
		.iova = iova + p->at,
		.size = p->to - p->at,
		.prot = p->prot,
		.fd = w->memory_fd,
		.fd_offset = p->at,
		.vaddr = w->device_view + p->at,
	};

	return vmig_space_map(w->space, &map);
}

static int map_at(struct workload *w, uint64_t iova)
{
	for (unsigned int i = 0; i < w->n_pieces; i++) {
		int r = map_piece(w, &w->pieces[i], iova);

		if (r) {
			(void)unmap_first(w, i, iova);
			return r;
		}
	}
	w->iova = iova;
	w->mapped = true;
	return 0;
}

int workload_unmap(struct workload *w)
{
	int r = w->mapped ? unmap_first(w, w->n_pieces, w->iova) : 0;

	w->mapped &= r != 0;
	return r;
}

int workload_map(struct workload *w, uint64_t iova)
{
	int r;

	if (w->mapped && (!iova || iova == w->iova))
		return 0;
	r = workload_unmap(w);
	if (r)
		return r;
	cut(w);
	if (iova)
		return map_at(w, iova);
	/* Other workloads may share the space. */
	r = -EEXIST;
	for (uint32_t i = 0; r == -EEXIST && i < IOVA_TRIES; i++)
		r = map_at(w, IOVA_FIRST + (uint64_t)i * WORKLOAD_MEMORY);
	return r;
}
