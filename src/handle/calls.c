/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The calls of a handle that may run beside a transition: regions, interrupts, DMA. The arguments are
 * checked here, so that each provider sees good ones only; the rest is the provider's.
 */
#include <string.h>

#include "handle/handle.h"

static int unoffered(struct vmig_device *dev, const char *where)
{
	return vmig_device_fault(dev, -EOPNOTSUPP, where, "the device does not offer it");
}

/* --- regions ------------------------------------------------------------------------------ */

static int check_region(struct vmig_device *dev, uint32_t index, const char *where)
{
	if (index >= dev->info.n_regions)
		return vmig_device_fault(dev, -EINVAL, where, "there is no region %u, only %u of them", index,
					 dev->info.n_regions);
	return 0;
}

static int check_access(struct vmig_device *dev, uint32_t index, uint64_t offset, size_t len,
			const char *where)
{
	int r = check_region(dev, index, where);

	if (r < 0)
		return r;
	if (!add_fits(offset, len))
		return vmig_device_fault(dev, -EINVAL, where, "offset %#llx and length %zu wrap",
					 (unsigned long long)offset, len);
	return 0;
}

int vmig_device_query_region(struct vmig_device *dev, uint32_t index, struct vmig_region *ret)
{
	struct vmig_error error = { 0 };
	int r = check_region(dev, index, "REGION_INFO");

	if (r < 0)
		return r;
	if (!dev->ops->query_region)
		return unoffered(dev, "REGION_INFO");
	r = dev->ops->query_region(dev->p, index, ret, &error);
	return r < 0 ? vmig_device_keep_error(dev, r, &error, "REGION_INFO") : 0;
}

int vmig_device_region_read(struct vmig_device *dev, uint32_t index, uint64_t offset, void *buf, size_t len)
{
	struct vmig_error error;
	int r = check_access(dev, index, offset, len, "REGION_READ");

	if (r < 0 || !len)
		return r;
	if (!dev->ops->region_read)
		return unoffered(dev, "REGION_READ");
	error.code = 0;
	r = dev->ops->region_read(dev->p, index, offset, buf, len, &error);
	return r < 0 ? vmig_device_keep_error(dev, r, &error, "REGION_READ") : 0;
}

int vmig_device_region_write(struct vmig_device *dev, uint32_t index, uint64_t offset, const void *buf,
			     size_t len)
{
	struct vmig_error error;
	int r = check_access(dev, index, offset, len, "REGION_WRITE");

	if (r < 0 || !len)
		return r;
	if (!dev->ops->region_write)
		return unoffered(dev, "REGION_WRITE");
	error.code = 0;
	r = dev->ops->region_write(dev->p, index, offset, buf, len, &error);
	return r < 0 ? vmig_device_keep_error(dev, r, &error, "REGION_WRITE") : 0;
}

int vmig_device_query_ioeventfds(struct vmig_device *dev, uint32_t index, struct vmig_ioeventfd *ret, int max)
{
	struct vmig_error error = { 0 };
	int r = check_region(dev, index, "REGION_IO_FDS");

	if (r < 0)
		return r;
	if (max < 0)
		return vmig_device_fault(dev, -EINVAL, "REGION_IO_FDS", "room for %d of them", max);
	/* A device without them is an ordinary one. */
	if (!dev->ops->query_ioeventfds)
		return 0;
	r = dev->ops->query_ioeventfds(dev->p, index, ret, max, &error);
	return r < 0 ? vmig_device_keep_error(dev, r, &error, "REGION_IO_FDS") : r;
}

/* --- interrupts --------------------------------------------------------------------------- */

int vmig_device_query_irq(struct vmig_device *dev, uint32_t index, struct vmig_irq *ret)
{
	struct vmig_error error = { 0 };
	int r;

	if (index >= dev->info.n_irqs)
		return vmig_device_fault(dev, -EINVAL, "IRQ_INFO",
					 "there is no interrupt index %u, only %u of them", index,
					 dev->info.n_irqs);
	if (!dev->ops->query_irq)
		return unoffered(dev, "IRQ_INFO");
	r = dev->ops->query_irq(dev->p, index, ret, &error);
	return r < 0 ? vmig_device_keep_error(dev, r, &error, "IRQ_INFO") : 0;
}

#define IRQ_DATA   (VMIG_IRQ_DATA_NONE | VMIG_IRQ_DATA_BOOL | VMIG_IRQ_DATA_EVENTFD)
#define IRQ_ACTION (VMIG_IRQ_ACTION_MASK | VMIG_IRQ_ACTION_UNMASK | VMIG_IRQ_ACTION_TRIGGER)

/** What is wrong with the form of @set, or NULL. Whether the device has such interrupts it says itself. */
static const char *irq_set_fault(const struct vmig_irq_set *set)
{
	uint32_t data = set->flags & IRQ_DATA, action = set->flags & IRQ_ACTION;

	if (set->flags & ~(IRQ_DATA | IRQ_ACTION))
		return "unknown flags";
	if (!is_pow2(data) || !is_pow2(action))
		return "it takes one kind of data and one action";
	if (set->start > UINT32_MAX - set->count)
		return "start and count wrap";
	if (!set->count && set->flags != (VMIG_IRQ_DATA_NONE | VMIG_IRQ_ACTION_TRIGGER))
		return "a count of 0 is for disabling: DATA_NONE and ACTION_TRIGGER";
	if (data == VMIG_IRQ_DATA_EVENTFD && !set->fds)
		return "the eventfds are missing";
	if (data == VMIG_IRQ_DATA_BOOL && !set->bools)
		return "the booleans are missing";
	return NULL;
}

int vmig_device_set_irqs(struct vmig_device *dev, const struct vmig_irq_set *set)
{
	struct vmig_error error = { 0 };
	const char *why = irq_set_fault(set);
	int r;

	if (!why && set->index >= dev->info.n_irqs)
		why = "there is no such interrupt index";
	if (why)
		return vmig_device_fault(dev, -EINVAL, "SET_IRQS",
					 "index %u, start %u, count %u, flags %#x: %s", set->index,
					 set->start, set->count, set->flags, why);
	if (!dev->ops->set_irqs)
		return unoffered(dev, "SET_IRQS");
	r = dev->ops->set_irqs(dev->p, set, &error);
	return r < 0 ? vmig_device_keep_error(dev, r, &error, "SET_IRQS") : 0;
}

/* --- DMA mappings ------------------------------------------------------------------------- */

/* The least page size of an IOMMU, and vfio-user's pgsizes. */
#define DMA_PAGE 4096ull

static const char *range_fault(uint64_t iova, uint64_t size)
{
	if (!size)
		return "it is empty";
	if ((iova | size) % DMA_PAGE)
		return "not a multiple of a page of 4096 bytes";
	if (!add_fits(iova, size - 1))
		return "it wraps at the end of the address space";
	return NULL;
}

static const char *map_fault(const struct vmig_dma *map)
{
	if (!(map->prot & (VMIG_DMA_READ | VMIG_DMA_WRITE)) ||
	    (map->prot & ~(VMIG_DMA_READ | VMIG_DMA_WRITE | VMIG_DMA_REGION)))
		return "prot is VMIG_DMA_READ, VMIG_DMA_WRITE or both";
	if (map->fd >= 0 && !add_fits(map->fd_offset, map->size))
		return "it wraps at the end of the file";
	return range_fault(map->iova, map->size);
}

static uint32_t map_kinds(const struct vmig_dma *map)
{
	return (map->fd >= 0 ? VMIG_DMA_KIND_FD : 0) | (map->vaddr ? VMIG_DMA_KIND_ADDRESS : 0) |
	       (map->io ? VMIG_DMA_KIND_MESSAGE : 0);
}

int vmig_device_map_dma(struct vmig_device *dev, const struct vmig_dma *map)
{
	struct vmig_error error = { 0 };
	const char *why = map_fault(map);
	uint32_t kinds = map_kinds(map);
	struct vmig_dma plain = *map;
	int r;

	if (!why && !kinds)
		why = "there is no way to the memory: no fd, no address, no io";
	if (why)
		return vmig_device_fault(dev, -EINVAL, "DMA_MAP", "iova %#llx, size %#llx: %s",
					 (unsigned long long)map->iova, (unsigned long long)map->size, why);
	if (!dev->ops->map_dma)
		return unoffered(dev, "DMA_MAP");
	if (!(kinds & dev->info.dma_kinds))
		return vmig_device_fault(dev, -EOPNOTSUPP, "DMA_MAP",
					 "the memory can be had by kinds %#x, the device takes kinds %#x "
					 "(1 fd, 2 address, 4 message)",
					 kinds, dev->info.dma_kinds);
	/* Whose memory it is, is the user's business. */
	plain.prot &= VMIG_DMA_READ | VMIG_DMA_WRITE;
	r = dev->ops->map_dma(dev->p, &plain, &error);
	return r < 0 ? vmig_device_keep_error(dev, r, &error, "DMA_MAP") : 0;
}

int vmig_device_unmap_dma(struct vmig_device *dev, uint64_t iova, uint64_t size)
{
	struct vmig_error error = { 0 };
	int r;

	if (!dev->ops->unmap_dma)
		return unoffered(dev, "DMA_UNMAP");
	r = dev->ops->unmap_dma(dev->p, iova, size, &error);
	return r < 0 ? vmig_device_keep_error(dev, r, &error, "DMA_UNMAP") : 0;
}

/* --- the DMA log -------------------------------------------------------------------------- */

static const char *ranges_fault(uint64_t page_size, const struct vmig_range *ranges, uint32_t n)
{
	if (!is_pow2(page_size))
		return "the page size is no power of two";
	if (!n)
		return "there is no range";
	for (uint32_t i = 0; i < n; i++) {
		if (!ranges[i].length)
			return "a range is empty";
		if ((ranges[i].iova | ranges[i].length) & (page_size - 1))
			return "a range is not a multiple of the page size";
		if (!add_fits(ranges[i].iova, ranges[i].length - 1))
			return "a range wraps at the end of the address space";
	}
	return NULL;
}

/* The device's own, or the IOMMU's: for who asks through the handle it is the same. */
static bool has_log(const struct vmig_device *dev)
{
	return dev->info.has & (VMIG_HAS_DMA_LOG | VMIG_HAS_IOMMU_LOG);
}

int vmig_device_dma_log_start(struct vmig_device *dev, uint64_t *page_size, const struct vmig_range *ranges,
			      uint32_t n_ranges)
{
	struct vmig_error error = { 0 };
	const char *why;
	int r;

	if (!dev->ops->dma_log_start || !has_log(dev))
		return unoffered(dev, "DMA_LOGGING_START");
	why = ranges_fault(*page_size, ranges, n_ranges);
	if (why)
		return vmig_device_fault(dev, -EINVAL, "DMA_LOGGING_START", "page size %llu, %u ranges: %s",
					 (unsigned long long)*page_size, n_ranges, why);
	r = dev->ops->dma_log_start(dev->p, page_size, ranges, n_ranges, &error);
	return r < 0 ? vmig_device_keep_error(dev, r, &error, "DMA_LOGGING_START") : 0;
}

int vmig_device_dma_log_stop(struct vmig_device *dev)
{
	struct vmig_error error = { 0 };
	int r;

	if (!dev->ops->dma_log_stop || !has_log(dev))
		return unoffered(dev, "DMA_LOGGING_STOP");
	r = dev->ops->dma_log_stop(dev->p, &error);
	return r < 0 ? vmig_device_keep_error(dev, r, &error, "DMA_LOGGING_STOP") : 0;
}

int vmig_device_dma_log_report(struct vmig_device *dev, uint64_t iova, uint64_t length, uint64_t page_size,
			       uint64_t *bitmap)
{
	struct vmig_error error = { 0 };
	int r;

	if (!dev->ops->dma_log_report || !has_log(dev))
		return unoffered(dev, "DMA_LOGGING_REPORT");
	if (!is_pow2(page_size) || !length || !add_fits(iova, length - 1))
		return vmig_device_fault(
			dev, -EINVAL, "DMA_LOGGING_REPORT",
			"iova %#llx, length %#llx, page size %llu: empty, wraps, or no power of two",
			(unsigned long long)iova, (unsigned long long)length, (unsigned long long)page_size);
	r = dev->ops->dma_log_report(dev->p, iova, length, page_size, bitmap, &error);
	return r < 0 ? vmig_device_keep_error(dev, r, &error, "DMA_LOGGING_REPORT") : 0;
}
