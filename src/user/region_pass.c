/* SPDX-License-Identifier: BSD-3-Clause */
/* Regions, interrupts and DMA are passed through; only the migration region is not there. */
#include "user/region.h"

int vmig_v1u_keep(struct vmig_v1u *v, int r, struct vmig_error *error)
{
	if (r < 0 && error)
		vmig_device_query_error(v->dev, error);
	return r;
}

int vmig_v1u_query_descriptor(void *p, char **ret, struct vmig_error *error)
{
	struct vmig_v1u *v = p;

	return vmig_v1u_keep(v, vmig_device_query_descriptor(v->dev, ret), error);
}

int vmig_v1u_query_opaque(void *p, void *buf, size_t *ret_len, struct vmig_error *error)
{
	struct vmig_v1u *v = p;

	return vmig_v1u_keep(v, vmig_device_query_opaque(v->dev, buf, ret_len), error);
}

int vmig_v1u_check_opaque(void *p, const void *data, size_t len, struct vmig_error *error)
{
	struct vmig_v1u *v = p;

	return vmig_v1u_keep(v, vmig_device_check_opaque(v->dev, data, len), error);
}

int vmig_v1u_query_tag(void *p, struct vmig_tag *ret, struct vmig_error *error)
{
	struct vmig_v1u *v = p;

	return vmig_v1u_keep(v, vmig_device_query_tag(v->dev, ret), error);
}

int vmig_v1u_set_tag(void *p, const struct vmig_tag *tag, struct vmig_error *error)
{
	struct vmig_v1u *v = p;

	return vmig_v1u_keep(v, vmig_device_set_tag(v->dev, tag), error);
}

static int hidden(struct vmig_error *error)
{
	return vmig_fault(error, -EINVAL, "region", "the migration region belongs to who drives it");
}

int vmig_v1u_query_region(void *p, uint32_t index, struct vmig_region *ret, struct vmig_error *error)
{
	struct vmig_v1u *v = p;

	if (index == v->region.index) {
		*ret = (struct vmig_region){ .index = index, .fd = -1 };
		return 0;
	}
	return vmig_v1u_keep(v, vmig_device_query_region(v->dev, index, ret), error);
}

int vmig_v1u_region_read(void *p, uint32_t index, uint64_t offset, void *buf, size_t len,
			 struct vmig_error *error)
{
	struct vmig_v1u *v = p;

	if (index == v->region.index)
		return hidden(error);
	return vmig_v1u_keep(v, vmig_device_region_read(v->dev, index, offset, buf, len), error);
}

int vmig_v1u_region_write(void *p, uint32_t index, uint64_t offset, const void *buf, size_t len,
			  struct vmig_error *error)
{
	struct vmig_v1u *v = p;

	if (index == v->region.index)
		return hidden(error);
	return vmig_v1u_keep(v, vmig_device_region_write(v->dev, index, offset, buf, len), error);
}

int vmig_v1u_query_ioeventfds(void *p, uint32_t index, struct vmig_ioeventfd *ret, int max,
			      struct vmig_error *error)
{
	struct vmig_v1u *v = p;

	if (index == v->region.index)
		return 0;
	return vmig_v1u_keep(v, vmig_device_query_ioeventfds(v->dev, index, ret, max), error);
}

int vmig_v1u_query_irq(void *p, uint32_t index, struct vmig_irq *ret, struct vmig_error *error)
{
	struct vmig_v1u *v = p;

	return vmig_v1u_keep(v, vmig_device_query_irq(v->dev, index, ret), error);
}

int vmig_v1u_set_irqs(void *p, const struct vmig_irq_set *set, struct vmig_error *error)
{
	struct vmig_v1u *v = p;

	return vmig_v1u_keep(v, vmig_device_set_irqs(v->dev, set), error);
}

int vmig_v1u_map_dma(void *p, const struct vmig_dma *map, struct vmig_error *error)
{
	struct vmig_v1u *v = p;

	return vmig_v1u_keep(v, vmig_device_map_dma(v->dev, map), error);
}

int vmig_v1u_unmap_dma(void *p, uint64_t iova, uint64_t size, struct vmig_error *error)
{
	struct vmig_v1u *v = p;

	return vmig_v1u_keep(v, vmig_device_unmap_dma(v->dev, iova, size), error);
}

int vmig_v1u_dma_log_start(void *p, uint64_t *page_size, const struct vmig_range *ranges, uint32_t n,
			   struct vmig_error *error)
{
	struct vmig_v1u *v = p;

	return vmig_v1u_keep(v, vmig_device_dma_log_start(v->dev, page_size, ranges, n), error);
}

int vmig_v1u_dma_log_stop(void *p, struct vmig_error *error)
{
	struct vmig_v1u *v = p;

	return vmig_v1u_keep(v, vmig_device_dma_log_stop(v->dev), error);
}

int vmig_v1u_dma_log_report(void *p, uint64_t iova, uint64_t length, uint64_t page_size, uint64_t *bitmap,
			    struct vmig_error *error)
{
	struct vmig_v1u *v = p;

	return vmig_v1u_keep(v, vmig_device_dma_log_report(v->dev, iova, length, page_size, bitmap), error);
}
