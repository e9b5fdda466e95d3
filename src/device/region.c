/* SPDX-License-Identifier: BSD-3-Clause */
/* The migration region: birth and end, its layout, and what is passed on to the device beneath. */
#include "device/region.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/limits.h"

#define PAGE         4096ull
#define SECTION_SIZE (1ull << 20)

int vmig_v1_passed(struct vmig_v1 *v, int r, struct vmig_error *error)
{
	if (r < 0 && error)
		vmig_device_query_error(v->inner, error);
	return r;
}

/* --- passed on ---------------------------------------------------------------------------- */

static void set_timeout(void *p, uint32_t ms)
{
	vmig_device_set_timeout(((struct vmig_v1 *)p)->inner, ms);
}

static int reset(void *p, struct vmig_error *error)
{
	struct vmig_v1 *v = p;
	int r;

	pthread_mutex_lock(&v->lock);
	r = vmig_v1_reset(v, error);
	pthread_mutex_unlock(&v->lock);
	return r;
}

static int query_region(void *p, uint32_t index, struct vmig_region *ret, struct vmig_error *error)
{
	struct vmig_v1 *v = p;

	if (index != v->region.index)
		return vmig_v1_passed(v, vmig_device_query_region(v->inner, index, ret), error);
	*ret = v->region;
	return 0;
}

static int region_read(void *p, uint32_t index, uint64_t offset, void *buf, size_t len,
		       struct vmig_error *error)
{
	struct vmig_v1 *v = p;

	if (index == v->region.index)
		return vmig_v1_read(v, offset, buf, len, error);
	return vmig_v1_passed(v, vmig_device_region_read(v->inner, index, offset, buf, len), error);
}

static int region_write(void *p, uint32_t index, uint64_t offset, const void *buf, size_t len,
			struct vmig_error *error)
{
	struct vmig_v1 *v = p;

	if (index == v->region.index)
		return vmig_v1_write(v, offset, buf, len, error);
	return vmig_v1_passed(v, vmig_device_region_write(v->inner, index, offset, buf, len), error);
}

static int query_ioeventfds(void *p, uint32_t index, struct vmig_ioeventfd *ret, int max,
			    struct vmig_error *error)
{
	struct vmig_v1 *v = p;

	if (index == v->region.index)
		return 0;
	return vmig_v1_passed(v, vmig_device_query_ioeventfds(v->inner, index, ret, max), error);
}

static int query_irq(void *p, uint32_t index, struct vmig_irq *ret, struct vmig_error *error)
{
	struct vmig_v1 *v = p;

	return vmig_v1_passed(v, vmig_device_query_irq(v->inner, index, ret), error);
}

static int set_irqs(void *p, const struct vmig_irq_set *set, struct vmig_error *error)
{
	struct vmig_v1 *v = p;

	return vmig_v1_passed(v, vmig_device_set_irqs(v->inner, set), error);
}

static int map_dma(void *p, const struct vmig_dma *map, struct vmig_error *error)
{
	struct vmig_v1 *v = p;

	return vmig_v1_passed(v, vmig_device_map_dma(v->inner, map), error);
}

static int unmap_dma(void *p, uint64_t iova, uint64_t size, struct vmig_error *error)
{
	struct vmig_v1 *v = p;

	return vmig_v1_passed(v, vmig_device_unmap_dma(v->inner, iova, size), error);
}

static int dma_log_start(void *p, uint64_t *page_size, const struct vmig_range *ranges, uint32_t n,
			 struct vmig_error *error)
{
	struct vmig_v1 *v = p;

	return vmig_v1_passed(v, vmig_device_dma_log_start(v->inner, page_size, ranges, n), error);
}

static int dma_log_stop(void *p, struct vmig_error *error)
{
	struct vmig_v1 *v = p;

	return vmig_v1_passed(v, vmig_device_dma_log_stop(v->inner), error);
}

static int dma_log_report(void *p, uint64_t iova, uint64_t length, uint64_t page_size, uint64_t *bitmap,
			  struct vmig_error *error)
{
	struct vmig_v1 *v = p;

	return vmig_v1_passed(v, vmig_device_dma_log_report(v->inner, iova, length, page_size, bitmap),
			      error);
}

static int query_descriptor(void *p, char **ret, struct vmig_error *error)
{
	struct vmig_v1 *v = p;

	return vmig_v1_passed(v, vmig_device_query_descriptor(v->inner, ret), error);
}

/** What a driver tells only at the head of its stream moves the device beneath: in RUNNING, and with the lock held. */
static int ask_driver(struct vmig_v1 *v, int (*ask)(struct vmig_v1 *v, void *opaque), void *opaque,
		      struct vmig_error *error)
{
	int r;

	if (!(v->info.traits & VMIG_TRAIT_MATCH_FIRST))
		return vmig_v1_passed(v, ask(v, opaque), error);
	pthread_mutex_lock(&v->lock);
	if (vmig_v1_bits(v) == V1_RUNNING) {
		r = vmig_v1_passed(v, ask(v, opaque), error);
		if (r < 0)
			vmig_v1_settle(v);
	} else {
		r = vmig_fault(error, -EOPNOTSUPP, "OPAQUE", "only in _RUNNING can the driver be asked");
	}
	pthread_mutex_unlock(&v->lock);
	return r;
}

static int query_tag(void *p, struct vmig_tag *ret, struct vmig_error *error)
{
	struct vmig_v1 *v = p;

	return vmig_v1_passed(v, vmig_device_query_tag(v->inner, ret), error);
}

static int set_tag(void *p, const struct vmig_tag *tag, struct vmig_error *error)
{
	struct vmig_v1 *v = p;

	return vmig_v1_passed(v, vmig_device_set_tag(v->inner, tag), error);
}

struct opaque_question {
	void *buf;
	size_t *ret_len;
	const void *data;
	size_t len;
};

static int ask_opaque(struct vmig_v1 *v, void *opaque)
{
	struct opaque_question *q = opaque;

	return vmig_device_query_opaque(v->inner, q->buf, q->ret_len);
}

static int ask_check(struct vmig_v1 *v, void *opaque)
{
	struct opaque_question *q = opaque;

	return vmig_device_check_opaque(v->inner, q->data, q->len);
}

static int query_opaque(void *p, void *buf, size_t *ret_len, struct vmig_error *error)
{
	return ask_driver(p, ask_opaque, &(struct opaque_question){ .buf = buf, .ret_len = ret_len }, error);
}

static int check_opaque(void *p, const void *data, size_t len, struct vmig_error *error)
{
	return ask_driver(p, ask_check, &(struct opaque_question){ .data = data, .len = len }, error);
}

/* --- the layout --------------------------------------------------------------------------- */

/*
 * Trapped, the section follows the registers. Mapped, it is one area behind their page. Partitioned, its first page
 * and one in the middle are trapped and what is behind each can be mapped; the transactions of saving go to a mapped
 * part, to an odd place of a trapped one, to the other mapped part, and across all of them. Loading always starts at
 * the section's start, so that what a source has put into one transaction has room in one.
 */
static void lay_out(struct vmig_v1 *v)
{
	uint64_t size = v->config.section_size, half = size / (2 * PAGE) * PAGE;
	bool trapped = v->config.section == VMIG_V1_SECTION_TRAPPED;

	v->data_at = trapped ? V1_REGISTERS_SIZE : PAGE;
	v->region = (struct vmig_region){
		.index = v->info.n_regions,
		.flags = VMIG_REGION_READ | VMIG_REGION_WRITE | (trapped ? 0 : VMIG_REGION_MMAP),
		.size = v->data_at + size,
		.fd = -1,
		.fd_offset = trapped ? 0 : (uint64_t)v->info.n_regions << 40,
		.cap_type = VMIG_UAPI_REGION_TYPE_MIGRATION_DEPRECATED,
		.cap_subtype = VMIG_UAPI_REGION_SUBTYPE_MIGRATION_DEPRECATED,
	};
	if (v->config.section != VMIG_V1_SECTION_PARTITIONED) {
		v->region.n_areas = trapped ? 0 : 1;
		v->region.areas[0] = (struct vmig_area){ PAGE, size };
		v->n_places = 1;
		v->places[0] = (struct vmig_v1_place){ 0, size };
		return;
	}
	v->region.n_areas = 2;
	v->region.areas[0] = (struct vmig_area){ 2 * PAGE, half - PAGE };
	v->region.areas[1] = (struct vmig_area){ 2 * PAGE + half, size - half - PAGE };
	v->n_places = 4;
	v->places[0] = (struct vmig_v1_place){ PAGE, half - PAGE };
	v->places[1] = (struct vmig_v1_place){ half + 72, PAGE - 72 };
	v->places[2] = (struct vmig_v1_place){ half + PAGE, size - half - PAGE };
	v->places[3] = (struct vmig_v1_place){ 0, size };
}

/**
 * In a memory file the region lies where it lies in the descriptor of a VFIO device: a program that has this file
 * for such a descriptor can map it. Its size is sealed: a user who has the file cannot pull it from under us.
 */
static int make_file(struct vmig_v1 *v)
{
	_autoclose_ int fd = memfd_create("vmig-v1", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	off_t start = (off_t)v->region.fd_offset;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, start + (off_t)v->region.size) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	v->section = mmap(NULL, v->config.section_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			  start + (off_t)v->data_at);
	if (v->section == MAP_FAILED)
		return -errno;
	v->region.fd = steal_fd(&fd);
	return 0;
}

static int make_section(struct vmig_v1 *v)
{
	if (v->config.section != VMIG_V1_SECTION_TRAPPED)
		return make_file(v);
	v->section = mmap(NULL, v->config.section_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	return v->section == MAP_FAILED ? -errno : 0;
}

/* --- birth and end ------------------------------------------------------------------------ */

static void free_region(struct vmig_v1 *v)
{
	if (v->section && v->section != MAP_FAILED)
		munmap(v->section, v->config.section_size);
	vmig_closep(&v->region.fd);
	pthread_mutex_destroy(&v->lock);
	free(v);
}

static void provider_close(void *p)
{
	struct vmig_v1 *v = p;

	vmig_session_close(v->session);
	vmig_device_close(v->inner);
	free_region(v);
}

static const struct vmig_provider_ops provider_ops = {
	.close = provider_close,
	.set_timeout = set_timeout,
	.reset = reset,
	.query_descriptor = query_descriptor,
	.query_opaque = query_opaque,
	.check_opaque = check_opaque,
	.query_tag = query_tag,
	.set_tag = set_tag,
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

/** Of the device beneath it keeps what is not v2's. */
static struct vmig_device_info info_of(const struct vmig_device_info *inner)
{
	struct vmig_device_info info = *inner;

	info.n_regions++;
	info.migration_flags = 0;
	info.traits &= VMIG_TRAIT_KEEPS_STATE | VMIG_TRAIT_LATE_VALIDATION;
	info.has = inner->has & VMIG_HAS_TAG;
	info.has |= inner->has & (VMIG_HAS_DMA_LOG | VMIG_HAS_IOMMU_LOG) ? VMIG_HAS_IOMMU_LOG : 0;
	memset(info.format, 0, sizeof(info.format));
	/* A device that is driven by v1 itself has frames in its stream: not what another v1 device takes. */
	if (inner->traits & VMIG_TRAIT_TRANSACTION_SIZES)
		snprintf(info.format, sizeof(info.format), VMIG_FORMAT_V1 "+%.64s", inner->format);
	else
		snprintf(info.format, sizeof(info.format), VMIG_FORMAT_V1);
	return info;
}

static bool good_config(const struct vmig_v1_config *config)
{
	uint64_t least = config->section == VMIG_V1_SECTION_PARTITIONED ? 4 * PAGE : PAGE;

	return config->section <= VMIG_V1_SECTION_PARTITIONED && config->section_size >= least &&
	       config->section_size <= VMIG_LIMIT_V1_SECTION && config->section_size % PAGE == 0;
}

int vmig_show_v1(struct vmig_device *dev, const struct vmig_v1_config *config, struct vmig_device **ret)
{
	struct vmig_v1 *v = calloc(1, sizeof(*v));
	struct vmig_device_info info;
	int r;

	if (!v)
		return -ENOMEM;
	pthread_mutex_init(&v->lock, NULL);
	v->inner = dev;
	v->region.fd = -1;
	if (config)
		v->config = *config;
	if (!v->config.section_size)
		v->config.section_size = SECTION_SIZE;
	vmig_device_query_info(dev, &v->info);
	info = info_of(&v->info);
	if (!v->info.migration_flags)
		r = -EOPNOTSUPP;
	else if (!good_config(&v->config) || info.n_regions > VMIG_LIMIT_REGIONS)
		r = -EINVAL;
	else {
		lay_out(v);
		r = make_section(v);
	}
	if (!r)
		r = vmig_device_new(&provider_ops, v, &info, ret);
	if (r < 0)
		free_region(v);
	else
		v->state = vmig_v1_first_state(v);
	return r;
}
