/* SPDX-License-Identifier: BSD-3-Clause */
/* A model's birth and end, its regions, and the table through which the handle reaches all of it. */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "device/core.h"

/* --- the provider's side ------------------------------------------------------------------ */

static int query_state(void *p, uint32_t *ret_state, struct vmig_error *error)
{
	struct vmig_model *model = p;

	*ret_state = atomic_load(&model->state);
	return 0;
}

static int set_state(void *p, uint32_t target, struct vmig_session_half *ret, struct vmig_error *error)
{
	return vmig_model_walk(p, target, ret, error);
}

static int reset(void *p, struct vmig_error *error)
{
	return vmig_model_reset(p, error);
}

static int query_stop_copy_size(void *p, uint64_t *ret, struct vmig_error *error)
{
	struct vmig_model *model = p;
	int r;

	vmig_model_lock(model);
	r = model->ops.stop_copy_size(model->opaque, ret);
	vmig_model_unlock(model);
	return r < 0 ? r : 0;
}

static int query_descriptor(void *p, char **ret, struct vmig_error *error)
{
	struct vmig_model *model = p;

	if (!model->descriptor)
		return vmig_fault(error, -EOPNOTSUPP, "DESCRIPTOR", "the device publishes no descriptor");
	*ret = strdup(model->descriptor);
	return *ret ? 0 : -ENOMEM;
}

static int query_opaque(void *p, void *buf, size_t *ret_len, struct vmig_error *error)
{
	struct vmig_model *model = p;
	ssize_t len;

	if (!model->ops.opaque)
		return vmig_fault(error, -EOPNOTSUPP, "OPAQUE", "the device has no version data");
	len = model->ops.opaque(model->opaque, buf);
	if (len < 0)
		return (int)len;
	*ret_len = (size_t)len;
	return 0;
}

static int check_opaque(void *p, const void *data, size_t len, struct vmig_error *error)
{
	struct vmig_model *model = p;
	char why[160] = "it is not what the driver takes";
	int r;

	if (!model->ops.check_opaque)
		return vmig_fault(error, -EOPNOTSUPP, "OPAQUE_CHECK", "the device cannot tell");
	r = model->ops.check_opaque(model->opaque, data, len, why, sizeof(why));
	return r < 0 ? vmig_fault(error, r, "OPAQUE_CHECK", "the driver refuses it: %s", why) : 0;
}

static int query_region(void *p, uint32_t index, struct vmig_region *ret, struct vmig_error *error)
{
	*ret = ((struct vmig_model *)p)->regions[index];
	return 0;
}

static int check_access(const struct vmig_model *model, uint32_t index, uint64_t offset, size_t len,
			uint32_t need, const char *where, struct vmig_error *error)
{
	const struct vmig_region *region = &model->regions[index];

	if (offset > region->size || len > region->size - offset)
		return vmig_fault(error, -EINVAL, where, "offset %#llx, %zu bytes: region %u ends at %#llx",
				  (unsigned long long)offset, len, index, (unsigned long long)region->size);
	if (!(region->flags & need))
		return vmig_fault(error, -EINVAL, where, "region %u cannot be %s", index,
				  need == VMIG_REGION_READ ? "read" : "written");
	return 0;
}

static int region_read(void *p, uint32_t index, uint64_t offset, void *buf, size_t len,
		       struct vmig_error *error)
{
	struct vmig_model *model = p;
	int r = check_access(model, index, offset, len, VMIG_REGION_READ, "REGION_READ", error);

	if (r < 0)
		return r;
	pthread_mutex_lock(&model->region_lock);
	r = model->ops.region_read(model->opaque, index, offset, buf, len);
	pthread_mutex_unlock(&model->region_lock);
	return r < 0 ? r : 0;
}

static int region_write(void *p, uint32_t index, uint64_t offset, const void *buf, size_t len,
			struct vmig_error *error)
{
	struct vmig_model *model = p;
	int r = check_access(model, index, offset, len, VMIG_REGION_WRITE, "REGION_WRITE", error);

	if (r < 0)
		return r;
	pthread_mutex_lock(&model->region_lock);
	r = model->ops.region_write(model->opaque, index, offset, buf, len);
	pthread_mutex_unlock(&model->region_lock);
	return r < 0 ? r : 0;
}

static int query_ioeventfds(void *p, uint32_t index, struct vmig_ioeventfd *ret, int max,
			    struct vmig_error *error)
{
	struct vmig_model *model = p;
	int n = 0;

	for (uint32_t i = 0; i < model->n_ioeventfds; i++) {
		if (model->ioeventfd_regions[i] != index)
			continue;
		if (n < max)
			ret[n] = model->ioeventfds[i];
		n++;
	}
	return n;
}

static int query_irq(void *p, uint32_t index, struct vmig_irq *ret, struct vmig_error *error)
{
	*ret = ((struct vmig_model *)p)->irqs.info[index];
	return 0;
}

static int set_irqs(void *p, const struct vmig_irq_set *set, struct vmig_error *error)
{
	return vmig_irqs_set(&((struct vmig_model *)p)->irqs, set, error);
}

static int map_dma(void *p, const struct vmig_dma *map, struct vmig_error *error)
{
	return vmig_dma_map(&((struct vmig_model *)p)->dma, map, error);
}

static int unmap_dma(void *p, uint64_t iova, uint64_t size, struct vmig_error *error)
{
	return vmig_dma_unmap(&((struct vmig_model *)p)->dma, iova, size, error);
}

static int dma_log_start(void *p, uint64_t *page_size, const struct vmig_range *ranges, uint32_t n,
			 struct vmig_error *error)
{
	return vmig_dma_start_log(&((struct vmig_model *)p)->dma, *page_size, ranges, n, error);
}

static int dma_log_stop(void *p, struct vmig_error *error)
{
	return vmig_dma_log_stop(&((struct vmig_model *)p)->dma.log, error);
}

static int dma_log_report(void *p, uint64_t iova, uint64_t length, uint64_t page_size, uint64_t *bitmap,
			  struct vmig_error *error)
{
	return vmig_dma_log_report(&((struct vmig_model *)p)->dma.log, iova, length, page_size, bitmap,
				   error);
}

/* --- birth and end ------------------------------------------------------------------------ */

static void free_model(struct vmig_model *model)
{
	vmig_irqs_done(&model->irqs);
	vmig_dma_done(&model->dma);
	pthread_mutex_destroy(&model->region_lock);
	pthread_mutex_destroy(&model->tag_lock);
	pthread_mutex_destroy(&model->lock);
	pthread_mutex_destroy(&model->turnstile);
	free(model->ioeventfd_regions);
	free(model->ioeventfds);
	free(model->regions);
	free(model->descriptor);
	free(model);
}

/** Regions may share a descriptor: it is closed with the first that has it. */
static void close_fds(struct vmig_model *model)
{
	for (uint32_t i = 0; i < model->n_regions; i++) {
		int fd = model->regions[i].fd;

		if (fd < 0)
			continue;
		close(fd);
		for (uint32_t k = i; k < model->n_regions; k++)
			if (model->regions[k].fd == fd)
				model->regions[k].fd = -1;
	}
	for (uint32_t i = 0; i < model->n_ioeventfds; i++) {
		int fd = model->ioeventfds[i].fd;

		if (fd < 0)
			continue;
		close(fd);
		for (uint32_t k = i; k < model->n_ioeventfds; k++)
			if (model->ioeventfds[k].fd == fd)
				model->ioeventfds[k].fd = -1;
	}
}

static void provider_close(void *p)
{
	struct vmig_model *model = p;

	if (model->ops.close)
		model->ops.close(model->opaque);
	close_fds(model);
	free_model(model);
}

static const struct vmig_provider_ops provider_ops = {
	.close = provider_close,
	.query_state = query_state,
	.set_state = set_state,
	.reset = reset,
	.query_stop_copy_size = query_stop_copy_size,
	.query_descriptor = query_descriptor,
	.query_opaque = query_opaque,
	.check_opaque = check_opaque,
	.query_tag = vmig_model_query_tag,
	.set_tag = vmig_model_set_tag,
	.query_region = query_region,
	.region_read = region_read,
	.region_write = region_write,
	.query_ioeventfds = query_ioeventfds,
	.query_irq = query_irq,
	.set_irqs = set_irqs,
	.map_dma = map_dma,
	.unmap_dma = unmap_dma,
	.dma_log_start = dma_log_start,
	.dma_log_stop = dma_log_stop,
	.dma_log_report = dma_log_report,
};

/* --- what a configuration must be --------------------------------------------------------- */

static bool good_migration(const struct vmig_model_ops *ops, const struct vmig_model_config *config)
{
	uint64_t known = VMIG_MIGRATION_STOP_COPY | VMIG_MIGRATION_P2P | VMIG_MIGRATION_PRE_COPY;
	bool lends = ops->lend || ops->give_back, rooms = ops->room || ops->filled;

	if (!config->migration_flags)
		return true;
	if ((config->migration_flags & ~known) || !(config->migration_flags & VMIG_MIGRATION_STOP_COPY) ||
	    !ops->step)
		return false;
	if (lends ? !ops->lend || !ops->give_back || ops->read : !ops->read)
		return false;
	if (rooms ? !ops->room || !ops->filled || ops->write : !ops->write)
		return false;
	return !(config->migration_flags & VMIG_MIGRATION_PRE_COPY) || ops->precopy_sizes;
}

static bool good_region(const struct vmig_model_ops *ops, const struct vmig_region *region)
{
	if ((region->flags & VMIG_REGION_READ) && !ops->region_read)
		return false;
	if ((region->flags & VMIG_REGION_WRITE) && !ops->region_write)
		return false;
	if ((region->flags & VMIG_REGION_MMAP) && region->fd < 0)
		return false;
	if (region->n_areas > VMIG_REGION_AREAS_MAX)
		return false;
	for (uint32_t i = 0; i < region->n_areas; i++) {
		const struct vmig_area *area = &region->areas[i];

		if (area->offset > region->size || area->size > region->size - area->offset)
			return false;
	}
	return true;
}

static bool good_config(const struct vmig_model_ops *ops, const struct vmig_model_config *config)
{
	if (!config->name || !config->identity || !good_migration(ops, config))
		return false;
	/* Cut short, two different devices might be taken for the same. */
	if (strlen(config->identity) >= VMIG_IDENTITY_MAX)
		return false;
	if (config->format && strlen(config->format) >= VMIG_IDENTITY_MAX)
		return false;
	if (config->descriptor && strlen(config->descriptor) >= VMIG_DEVICE_DESCRIPTOR_MAX)
		return false;
	if (!ops->opaque != !ops->check_opaque)
		return false;
	if ((config->has & ~(VMIG_HAS_REINIT | VMIG_HAS_DMA_LOG | VMIG_HAS_IOMMU_LOG)) ||
	    (config->traits & (VMIG_TRAIT_LENDS | VMIG_TRAIT_ROOMS)))
		return false;
	if ((config->has & VMIG_HAS_REINIT) && !(config->migration_flags & VMIG_MIGRATION_PRE_COPY))
		return false;
	if (config->n_regions > VMIG_LIMIT_REGIONS || config->n_irqs > VMIG_LIMIT_IRQ_INDICES)
		return false;
	for (uint32_t i = 0; i < config->n_regions; i++)
		if (!good_region(ops, &config->regions[i]))
			return false;
	for (uint32_t i = 0; i < config->n_irqs; i++)
		if (config->irqs[i].count > VMIG_LIMIT_IRQS)
			return false;
	for (uint32_t i = 0; i < config->n_ioeventfds; i++)
		if (config->ioeventfd_regions[i] >= config->n_regions)
			return false;
	return true;
}

static void *copy_array(const void *from, size_t n, size_t size)
{
	void *to = calloc(n ? n : 1, size);

	if (to && n)
		memcpy(to, from, n * size);
	return to;
}

static struct vmig_model *new_model(const struct vmig_model_ops *ops, void *opaque,
				    const struct vmig_model_config *config)
{
	struct vmig_model *model = calloc(1, sizeof(*model));

	if (!model)
		return NULL;
	if (vmig_irqs_init(&model->irqs, config->irqs, config->n_irqs) < 0) {
		free(model);
		return NULL;
	}
	model->ops = *ops;
	model->opaque = opaque;
	model->migration_flags = config->migration_flags;
	atomic_init(&model->state, VMIG_STATE_RUNNING);
	pthread_mutex_init(&model->turnstile, NULL);
	pthread_mutex_init(&model->lock, NULL);
	vmig_model_tag_init(model);
	pthread_mutex_init(&model->region_lock, NULL);
	vmig_dma_init(&model->dma, ops->dma_changed, opaque);
	model->n_regions = config->n_regions;
	model->n_ioeventfds = config->n_ioeventfds;
	model->regions = copy_array(config->regions, config->n_regions, sizeof(*config->regions));
	model->ioeventfds = copy_array(config->ioeventfds, config->n_ioeventfds, sizeof(*config->ioeventfds));
	model->ioeventfd_regions =
		copy_array(config->ioeventfd_regions, config->n_ioeventfds, sizeof(uint32_t));
	if (config->descriptor)
		model->descriptor = strdup(config->descriptor);
	if (!model->regions || !model->ioeventfds || !model->ioeventfd_regions ||
	    !model->descriptor != !config->descriptor) {
		free_model(model);
		return NULL;
	}
	for (uint32_t i = 0; i < model->n_regions; i++) {
		model->regions[i].index = i;
		/* An author who left it 0 does not mean the program's standard input. */
		if (!(model->regions[i].flags & VMIG_REGION_MMAP))
			model->regions[i].fd = -1;
	}
	return model;
}

static struct vmig_device_info info_of(const struct vmig_model_ops *ops,
				       const struct vmig_model_config *config)
{
	struct vmig_device_info info = {
		.n_regions = config->n_regions,
		.n_irqs = config->n_irqs,
		.migration_flags = config->migration_flags,
		.traits = config->traits,
		.has = config->has | VMIG_HAS_TAG,
		.dma_kinds = VMIG_DMA_KIND_FD | VMIG_DMA_KIND_ADDRESS | VMIG_DMA_KIND_MESSAGE,
	};

	if (ops->reset)
		info.flags |= VMIG_DEVICE_FLAG_RESET;
	if (config->n_regions > VMIG_REGION_PCI_CONFIG && config->regions[VMIG_REGION_PCI_CONFIG].size)
		info.flags |= VMIG_DEVICE_FLAG_PCI;
	info.traits |= (ops->lend ? VMIG_TRAIT_LENDS : 0) | (ops->room ? VMIG_TRAIT_ROOMS : 0);
	if (config->migration_flags & VMIG_MIGRATION_PRE_COPY)
		info.has |= VMIG_HAS_PRECOPY_INFO;
	if (config->migration_flags && ops->stop_copy_size)
		info.has |= VMIG_HAS_STOP_COPY_SIZE;
	snprintf(info.identity, sizeof(info.identity), "%s", config->identity);
	snprintf(info.format, sizeof(info.format), "%s", config->format ? config->format : "v2");
	snprintf(info.name, sizeof(info.name), "model:%s", config->name);
	return info;
}

int vmig_model_new(const struct vmig_model_ops *ops, void *opaque, const struct vmig_model_config *config,
		   struct vmig_model **ret_model, struct vmig_device **ret_dev)
{
	struct vmig_device_info info;
	struct vmig_model *model;
	int r;

	if (!good_config(ops, config))
		return -EINVAL;
	model = new_model(ops, opaque, config);
	if (!model)
		return -ENOMEM;
	info = info_of(ops, config);
	r = vmig_device_new(&provider_ops, model, &info, ret_dev);
	if (r < 0) {
		free_model(model);
		return r;
	}
	*ret_model = model;
	return 0;
}

/* --- what a model calls ------------------------------------------------------------------- */

int vmig_model_dma_read(struct vmig_model *model, uint64_t iova, void *buf, size_t len)
{
	return vmig_dma_read(&model->dma, iova, buf, len);
}

int vmig_model_dma_write(struct vmig_model *model, uint64_t iova, const void *buf, size_t len)
{
	return vmig_dma_write(&model->dma, iova, buf, len);
}

void vmig_model_raise(struct vmig_model *model, uint32_t index, uint32_t sub)
{
	vmig_irqs_raise(&model->irqs, index, sub);
}

void vmig_model_lower(struct vmig_model *model, uint32_t index, uint32_t sub)
{
	vmig_irqs_lower(&model->irqs, index, sub);
}

uint32_t vmig_model_state(struct vmig_model *model)
{
	return atomic_load(&model->state);
}
