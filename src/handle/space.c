/* SPDX-License-Identifier: BSD-3-Clause */
/* A space: one table of mappings, sorted by address, and the devices that all have it. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "handle/handle.h"

struct vmig_space {
	struct vmig_dma *maps; /* sorted by iova; the fds are the space's own */
	size_t n_maps, room;
	struct vmig_device **devices;
	size_t n_devices;
};

int vmig_space_new(struct vmig_space **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

void vmig_space_free(struct vmig_space *space)
{
	if (!space)
		return;
	while (space->n_devices)
		vmig_space_detach(space, space->devices[0]);
	for (size_t i = 0; i < space->n_maps; i++)
		vmig_closep(&space->maps[i].fd);
	free(space->maps);
	free(space->devices);
	free(space);
}

/** The place of the first mapping that ends at or behind @iova. */
static size_t find_place(const struct vmig_space *space, uint64_t iova)
{
	size_t low = 0, high = space->n_maps;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct vmig_dma *map = &space->maps[mid];

		if (map->iova + (map->size - 1) < iova)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int make_room(struct vmig_space *space)
{
	size_t room = space->room ? 2 * space->room : 16;
	struct vmig_dma *maps;

	if (space->n_maps < space->room)
		return 0;
	maps = reallocarray(space->maps, room, sizeof(*maps));
	if (!maps)
		return -ENOMEM;
	space->maps = maps;
	space->room = room;
	return 0;
}

static void remove_at(struct vmig_space *space, size_t at)
{
	vmig_closep(&space->maps[at].fd);
	space->n_maps--;
	memmove(&space->maps[at], &space->maps[at + 1], (space->n_maps - at) * sizeof(space->maps[0]));
}

/** The checks that do not need a device; without one nobody else makes them. */
static int check_map(const struct vmig_space *space, const struct vmig_dma *map, size_t at)
{
	if (!map->size || (map->iova | map->size) % 4096 || !add_fits(map->iova, map->size - 1))
		return -EINVAL;
	if (at < space->n_maps && space->maps[at].iova <= map->iova + (map->size - 1))
		return -EEXIST;
	return 0;
}

int vmig_space_map(struct vmig_space *space, const struct vmig_dma *map)
{
	struct vmig_dma own = *map;
	size_t at = find_place(space, map->iova), done;
	int r = check_map(space, map, at);

	if (!r)
		r = make_room(space);
	if (r < 0)
		return r;
	if (map->fd >= 0) {
		own.fd = fcntl(map->fd, F_DUPFD_CLOEXEC, 0);
		if (own.fd < 0)
			return -errno;
	}
	for (done = 0; done < space->n_devices && !r; done++)
		r = vmig_device_map_dma(space->devices[done], &own);
	if (r < 0) {
		/* The last one tried has refused; those before it have it. */
		while (--done > 0)
			(void)vmig_device_unmap_dma(space->devices[done - 1], own.iova, own.size);
		vmig_closep(&own.fd);
		return r;
	}
	memmove(&space->maps[at + 1], &space->maps[at], (space->n_maps - at) * sizeof(space->maps[0]));
	space->maps[at] = own;
	space->n_maps++;
	return 0;
}

int vmig_space_unmap(struct vmig_space *space, uint64_t iova, uint64_t size)
{
	size_t at = find_place(space, iova);
	int first = 0;

	if (at == space->n_maps || space->maps[at].iova != iova || space->maps[at].size != size)
		return -ENOENT;
	for (size_t i = 0; i < space->n_devices; i++) {
		int r = vmig_device_unmap_dma(space->devices[i], iova, size);

		if (!first)
			first = r;
	}
	remove_at(space, at);
	return first;
}

uint32_t vmig_space_query_maps(const struct vmig_space *space, struct vmig_dma *ret, uint32_t max)
{
	if (max)
		memcpy(ret, space->maps, MIN(space->n_maps, max) * sizeof(*ret));
	return (uint32_t)space->n_maps;
}

static size_t find_device(const struct vmig_space *space, const struct vmig_device *dev)
{
	size_t i = 0;

	while (i < space->n_devices && space->devices[i] != dev)
		i++;
	return i;
}

int vmig_space_attach(struct vmig_space *space, struct vmig_device *dev)
{
	struct vmig_device **devices;

	if (find_device(space, dev) < space->n_devices)
		return -EEXIST;
	devices = reallocarray(space->devices, space->n_devices + 1, sizeof(*devices));
	if (!devices)
		return -ENOMEM;
	space->devices = devices;
	for (size_t i = 0; i < space->n_maps; i++) {
		int r = vmig_device_map_dma(dev, &space->maps[i]);

		if (!r)
			continue;
		while (i-- > 0)
			(void)vmig_device_unmap_dma(dev, space->maps[i].iova, space->maps[i].size);
		return r;
	}
	devices[space->n_devices++] = dev;
	return 0;
}

void vmig_space_detach(struct vmig_space *space, struct vmig_device *dev)
{
	size_t at = find_device(space, dev);

	if (at == space->n_devices)
		return;
	/* From the end: what is behind a mapping has to move when that goes. */
	for (size_t i = space->n_maps; i-- > 0;)
		(void)vmig_device_unmap_dma(dev, space->maps[i].iova, space->maps[i].size);
	space->n_devices--;
	memmove(&space->devices[at], &space->devices[at + 1],
		(space->n_devices - at) * sizeof(*space->devices));
}
