/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory as a device: its birth and end, its arcs, and a batch of pages as both directions see it. */
#include "memory/pages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "handle/provider.h"

void memory_mark_all(struct memory *memory)
{
	memory->pending = 0;
	for (uint32_t i = 0; i < memory->n_regions; i++) {
		bits_set(memory->regions[i].bits, 0, memory->regions[i].n_pages - 1);
		memory->pending += memory->regions[i].size;
	}
}

/* --- a batch ------------------------------------------------------------------------------- */

size_t memory_pieces(const struct memory_batch *batch, size_t max, struct iovec *ret_iov, int *ret_n)
{
	uint64_t at = batch->run_at;
	size_t len = 0;

	*ret_n = 0;
	for (uint32_t i = batch->run; i < batch->n_runs && len < max && *ret_n < VMIG_SESSION_IOV_MAX;
	     i++, at = 0) {
		const struct memory_run *run = &batch->runs[i];
		size_t part = (size_t)MIN(run->length - at, max - len);

		if (run->zero)
			continue;
		ret_iov[(*ret_n)++] = (struct iovec){ run->region->view + run->offset + at, part };
		len += part;
	}
	return len;
}

void memory_advance(struct memory_batch *batch, size_t used)
{
	uint64_t before = batch->at, bytes;

	batch->at += used;
	if (batch->at <= batch->table_len)
		return;
	bytes = batch->at - MAX(before, batch->table_len);
	while (bytes) {
		const struct memory_run *run = &batch->runs[batch->run];
		uint64_t part = run->zero ? 0 : MIN(run->length - batch->run_at, bytes);

		batch->run_at += part;
		bytes -= part;
		if (run->zero || batch->run_at == run->length) {
			batch->run++;
			batch->run_at = 0;
		}
	}
}

/* --- arcs ---------------------------------------------------------------------------------- */

static bool saves(uint32_t state)
{
	return state == VMIG_STATE_PRE_COPY || state == VMIG_STATE_PRE_COPY_P2P ||
	       state == VMIG_STATE_STOP_COPY;
}

static int step(void *opaque, uint32_t from, uint32_t to, uint32_t *ret_state)
{
	struct memory *memory = opaque;

	if (from == VMIG_STATE_RESUMING)
		return memory_load_end(memory);
	if (to == VMIG_STATE_RESUMING) {
		memory_load_begin(memory);
	} else if (saves(to) && !saves(from)) {
		memory_save_begin(memory, to == VMIG_STATE_STOP_COPY);
	} else if (to == VMIG_STATE_STOP_COPY) {
		/* All that writes has stopped before: what is dirty now is the rest. */
		memory_ask_dirty(memory);
		memory_stop_tracking(memory);
		memory->still = true;
	} else if (saves(from) && !saves(to)) {
		memory_stop_tracking(memory);
	}
	return 0;
}

/* The content is the user's, and stays. */
static int reset(void *opaque)
{
	memory_stop_tracking(opaque);
	return 0;
}

static int stop_copy_size(void *opaque, uint64_t *ret_bytes)
{
	struct memory *memory = opaque;
	uint32_t state = vmig_model_state(memory->model);

	*ret_bytes = memory->pending;
	if (saves(state))
		return 0;
	*ret_bytes = 0;
	for (uint32_t i = 0; i < memory->n_regions; i++)
		*ret_bytes += memory->regions[i].size;
	return 0;
}

/* --- birth and end ------------------------------------------------------------------------- */

static void free_memory(struct memory *memory)
{
	memory_stop_tracking(memory);
	for (uint32_t i = 0; memory->regions && i < memory->n_regions; i++) {
		if (memory->regions[i].mapped)
			munmap(memory->regions[i].view, memory->regions[i].size);
		free(memory->regions[i].bits);
	}
	free(memory->regions);
	free(memory->devices);
	free(memory->report);
	free(memory->copy);
	free(memory);
}

static void close_memory(void *opaque)
{
	free_memory(opaque);
}

/* A view of our own, so that nothing is asked of the user's but to stay. */
static int map_view(struct memory_region *region, const struct vmig_memory_region *from)
{
	void *view;

	if (from->fd < 0) {
		region->view = from->vaddr;
		return region->view ? 0 : -EINVAL;
	}
	view = mmap(NULL, from->size, PROT_READ | PROT_WRITE, MAP_SHARED, from->fd, (off_t)from->fd_offset);
	if (view == MAP_FAILED)
		return -errno;
	region->view = view;
	region->mapped = true;
	return 0;
}

static int take_region(struct memory_region *region, const struct vmig_memory_region *from)
{
	uint64_t page_size = from->page_size ? from->page_size : 4096;

	if (!is_pow2(page_size) || page_size < MEMORY_UNIT || !from->size ||
	    ((from->iova | from->size) & (page_size - 1)) || !add_fits(from->iova, from->size - 1))
		return -EINVAL;
	*region = (struct memory_region){ .iova = from->iova, .size = from->size };
	region->shift = (unsigned int)__builtin_ctzll(page_size);
	region->n_pages = from->size >> region->shift;
	if (region->n_pages > VMIG_LIMIT_MEMORY_PAGES)
		return -E2BIG;
	region->bits = calloc(BITS_WORDS(region->n_pages), 8);
	return region->bits ? map_view(region, from) : -ENOMEM;
}

static int compare(const void *a, const void *b)
{
	const struct memory_region *x = a, *y = b;

	return (x->iova > y->iova) - (x->iova < y->iova);
}

static int take_regions(struct memory *memory, const struct vmig_memory_region *from, uint32_t n)
{
	int r = 0;

	if (!n)
		return -EINVAL;
	if (n > VMIG_MEMORY_REGIONS_MAX)
		return -E2BIG;
	memory->regions = calloc(n, sizeof(*memory->regions));
	if (!memory->regions)
		return -ENOMEM;
	for (uint32_t i = 0; !r && i < n; i++)
		r = take_region(&memory->regions[memory->n_regions++], &from[i]);
	if (r)
		return r;
	qsort(memory->regions, n, sizeof(*memory->regions), compare);
	for (uint32_t i = 1; i < n; i++)
		if (memory->regions[i].iova <=
		    memory->regions[i - 1].iova + (memory->regions[i - 1].size - 1))
			return -EINVAL;
	return 0;
}

static int take_space(struct memory *memory, const struct vmig_space *space)
{
	uint32_t n = vmig_space_query_maps(space, NULL, 0), kept = 0;
	_autofree_ struct vmig_dma *maps = calloc(n ? n : 1, sizeof(*maps));
	_autofree_ struct vmig_memory_region *regions = calloc(n ? n : 1, sizeof(*regions));

	if (!maps || !regions)
		return -ENOMEM;
	vmig_space_query_maps(space, maps, n);
	for (uint32_t i = 0; i < n; i++) {
		if (maps[i].prot & VMIG_DMA_REGION)
			continue;
		regions[kept++] = (struct vmig_memory_region){
			.iova = maps[i].iova,
			.size = maps[i].size,
			.vaddr = maps[i].vaddr,
			.fd = maps[i].fd,
			.fd_offset = maps[i].fd_offset,
		};
	}
	return take_regions(memory, regions, kept);
}

static int take_devices(struct memory *memory, struct vmig_device *const *devices, uint32_t n)
{
	memory->devices = calloc(n ? n : 1, sizeof(struct vmig_device *));
	if (!memory->devices)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		memory->devices[i] = devices[i];
	memory->n_devices = n;
	return 0;
}

static const struct vmig_model_ops ops = {
	.step = step,
	.lend = memory_lend,
	.give_back = memory_give_back,
	.room = memory_room,
	.filled = memory_filled,
	.precopy_sizes = memory_precopy_sizes,
	.stop_copy_size = stop_copy_size,
	.opaque = memory_layout,
	.check_opaque = memory_check_layout,
	.reset = reset,
	.close = close_memory,
};

static int make_device(struct memory *memory)
{
	char identity[VMIG_IDENTITY_MAX], why[VMIG_NOTE_MAX] = "";
	struct vmig_model_config config = {
		.name = "memory",
		.identity = identity,
		.format = MEMORY_FORMAT,
		.migration_flags = VMIG_MIGRATION_STOP_COPY | VMIG_MIGRATION_P2P,
		.traits = VMIG_TRAIT_MEMORY | VMIG_TRAIT_INFO_STARTS_ROUND | VMIG_TRAIT_NO_POLL,
	};
	uint64_t bytes = 0;
	int r;

	for (uint32_t i = 0; i < memory->n_regions; i++)
		bytes += memory->regions[i].size;
	snprintf(identity, sizeof(identity), "memory:%u+%llu", memory->n_regions, (unsigned long long)bytes);
	if (memory_is_tracked(memory, why))
		config.migration_flags |= VMIG_MIGRATION_PRE_COPY;
	r = vmig_model_new(&ops, memory, &config, &memory->model, &memory->dev);
	if (!r)
		vmig_device_set_note(memory->dev, why);
	return r;
}

int vmig_memory_new(const struct vmig_memory_config *config, struct vmig_device **ret)
{
	struct memory *memory = calloc(1, sizeof(*memory));
	int r;

	if (!memory)
		return -ENOMEM;
	memory->dirty = config->dirty;
	memory->quiet = config->quiet;
	memory->opaque = config->opaque;
	if (config->n_regions || !config->space)
		r = take_regions(memory, config->regions, config->n_regions);
	else
		r = take_space(memory, config->space);
	r = r ? r : take_devices(memory, config->devices, config->n_devices);
	r = r ? r : make_device(memory);
	if (r) {
		free_memory(memory);
		return r;
	}
	*ret = memory->dev;
	return 0;
}
