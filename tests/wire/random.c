/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages with random contents: every field anything that is valid in it. */
#include "messages.h"

#include <string.h>

static uint32_t r32(unsigned int *seed)
{
	return (uint32_t)rand_r(seed) << 16 ^ (uint32_t)rand_r(seed);
}

static uint64_t r64(unsigned int *seed)
{
	return (uint64_t)r32(seed) << 32 | r32(seed);
}

/* 0 to @most. */
static uint32_t upto(unsigned int *seed, uint32_t most)
{
	return r32(seed) % (most + 1);
}

static uint32_t argsz(unsigned int *seed, uint32_t least)
{
	return least + upto(seed, UINT32_MAX - least - 1);
}

/* A range that does not wrap and is not empty. */
static struct vmig_range some_range(unsigned int *seed)
{
	struct vmig_range range = { r64(seed), 1 + (r64(seed) >> upto(seed, 63)) };

	if (!add_fits(range.iova, range.length - 1))
		range.iova = 0 - range.length;
	return range;
}

static void some_caps(unsigned int *seed, struct vmig_vu_caps *caps)
{
	*caps = vmig_vu_caps_default;
	caps->present = r32(seed) & 0x3ff;
	if (caps->present & VMIG_VU_CAP_MAX_MSG_FDS)
		caps->max_msg_fds = upto(seed, VMIG_LIMIT_MSG_FDS);
	if (caps->present & VMIG_VU_CAP_MAX_DATA_XFER_SIZE)
		caps->max_data_xfer_size = 1 + upto(seed, VMIG_LIMIT_XFER - 1);
	if (caps->present & VMIG_VU_CAP_MAX_DMA_MAPS)
		caps->max_dma_maps = upto(seed, VMIG_LIMIT_DMA_MAPS);
	if (caps->present & VMIG_VU_CAP_PGSIZES)
		caps->pgsizes = r64(seed) >> 1 | 1;
	caps->twin_socket = caps->present & VMIG_VU_CAP_TWIN_SOCKET && r32(seed) & 1;
	if (caps->present & VMIG_VU_CAP_TWIN_FD_INDEX)
		caps->twin_fd_index = r32(seed);
	caps->write_multiple = caps->present & VMIG_VU_CAP_WRITE_MULTIPLE && r32(seed) & 1;
	if (caps->present & VMIG_VU_CAP_MIGRATION) {
		caps->migration_pgsize = r64(seed) >> 1;
		caps->migration_max_bitmap_size = r64(seed) >> 1;
	}
	caps->precopy_info = caps->present & VMIG_VU_CAP_PRECOPY_INFO && r32(seed) & 1;
	caps->device_info = caps->present & VMIG_VU_CAP_DEVICE_INFO && r32(seed) & 1;
}

static void some_region_info(unsigned int *seed, struct vmig_vu_region_info *m)
{
	*m = (struct vmig_vu_region_info){ .flags = r32(seed) & ~VMIG_VU_REGION_CAPS,
					   .index = r32(seed),
					   .size = r64(seed),
					   .offset = r64(seed),
					   .caps = r32(seed) & 3 };
	m->argsz = argsz(seed, VMIG_VU_REGION_INFO_SIZE);
	if (m->caps & VMIG_VU_HAS_SPARSE)
		m->n_areas = upto(seed, VMIG_REGION_AREAS_MAX);
	for (uint32_t i = 0; i < m->n_areas; i++) {
		m->areas[i].offset = r64(seed) % (m->size | 1);
		m->areas[i].size = r64(seed) % (m->size - m->areas[i].offset + 1);
	}
	if (m->caps & VMIG_VU_HAS_TYPE) {
		m->type = r32(seed);
		m->subtype = r32(seed);
	}
	if (m->caps)
		m->flags |= VMIG_VU_REGION_CAPS;
}

static void some_set_irqs(unsigned int *seed, const uint8_t *data, struct vmig_vu_set_irqs *m)
{
	m->argsz = r32(seed);
	m->flags = 1u << upto(seed, 2) | VMIG_IRQ_ACTION_MASK << upto(seed, 2);
	m->index = r32(seed);
	m->start = upto(seed, VMIG_LIMIT_IRQS);
	m->count = upto(seed, VMIG_LIMIT_IRQS - m->start);
	m->bools = m->flags & VMIG_IRQ_DATA_BOOL ? data : NULL;
}

static void some_io_fds(unsigned int *seed, struct message *m)
{
	m->io_fds = (struct vmig_vu_io_fds){ argsz(seed, VMIG_VU_IO_FDS_SIZE), r32(seed), r32(seed),
					     upto(seed, VMIG_VU_IO_FDS_MAX), 0 };
	m->io_fds.n_here = r32(seed) & 1 ? m->io_fds.count : 0;
	for (uint32_t i = 0; i < m->io_fds.n_here; i++) {
		struct vmig_range at = some_range(seed);

		m->io_fd[i] = (struct vmig_vu_io_fd){ at.iova,   at.length - 1, r32(seed),
						      r32(seed), r32(seed),     r64(seed) };
	}
}

static void some_write_multi(unsigned int *seed, struct message *m)
{
	m->write_count = upto(seed, VMIG_LIMIT_WRITE_MULTI);
	for (uint32_t i = 0; i < m->write_count; i++) {
		uint64_t v = r64(seed);

		m->one[i] = (struct vmig_vu_write_one){ r64(seed) >> 1, r32(seed), upto(seed, 8), { 0 } };
		memcpy(m->one[i].data, &v, sizeof(v));
	}
}

/* A range with its bitmap, in the words of a REPORT; the bitmap is in a reply. */
static void some_report(unsigned int *seed, const struct kind *kind, const uint8_t *data, struct message *m)
{
	struct vmig_range range = some_range(seed);

	range.length = range.length >> 44 | 1; /* at most 1 MiB: bitmaps that fit the data */
	m->log_report = (struct vmig_vu_log_report){ range.iova, range.length, 1ull << (3 + upto(seed, 60)) };
	m->log_report.bitmap_len = vmig_vu_bitmap_len(range.length, m->log_report.page_size);
	m->data = kind->reply ? data : NULL;
	m->data_len = kind->reply ? m->log_report.bitmap_len : 0;
}

static void some_dirty_pages(unsigned int *seed, const struct kind *kind, const uint8_t *data,
			     struct message *m)
{
	if (!kind->feature)
		return;
	m->dirty_pages = (struct vmig_vu_dirty_pages){ argsz(seed, VMIG_VU_DIRTY_PAGES_SIZE), kind->feature };
	if (kind->feature == VMIG_VU_DIRTY_GET_BITMAP)
		some_report(seed, kind, data, m);
}

static void some_feature(unsigned int *seed, const struct kind *kind, const uint8_t *data, struct message *m)
{
	m->feature = (struct vmig_vu_feature){ argsz(seed, VMIG_VU_FEATURE_SIZE), kind->feature };
	switch (kind->feature & VMIG_VU_FEATURE_INDEX) {
	case VMIG_VU_FEATURE_MIG_DEVICE_STATE:
		m->mig_state = (struct vmig_vu_mig_state){ r32(seed), (int32_t)r32(seed) };
		break;
	case VMIG_VU_FEATURE_DMA_LOGGING_START:
		m->log_start = (struct vmig_vu_log_start){ 1ull << upto(seed, 63),
							   upto(seed, VMIG_LIMIT_LOG_RANGES) };
		for (uint32_t i = 0; i < m->log_start.num_ranges; i++)
			m->range[i] = some_range(seed);
		break;
	case VMIG_VU_FEATURE_DMA_LOGGING_REPORT:
		some_report(seed, kind, data, m);
		break;
	default:
		m->u64 = r64(seed);
	}
}

/* Reads and writes of regions, DMA and migration data. */
static void some_bulk(unsigned int *seed, const struct kind *kind, const uint8_t *data, struct message *m)
{
	bool is_read = kind->command == VMIG_VU_REGION_READ || kind->command == VMIG_VU_DMA_READ ||
		       kind->command == VMIG_VU_MIG_DATA_READ;
	uint32_t count = upto(seed, MESSAGE_RANDOM_DATA);

	if (is_read == kind->reply) {
		m->data = data;
		m->data_len = count;
	}
	if (kind->command == VMIG_VU_REGION_READ || kind->command == VMIG_VU_REGION_WRITE)
		m->region_rw = (struct vmig_vu_region_rw){ r64(seed) >> 1, r32(seed), count };
	else if (kind->command == VMIG_VU_DMA_READ || kind->command == VMIG_VU_DMA_WRITE)
		m->dma_rw = (struct vmig_vu_dma_rw){ r64(seed) >> 1, count };
	else
		m->mig_data = (struct vmig_vu_mig_data){ r32(seed), count, (uint32_t)m->data_len };
	/* A padded reply. */
	if (kind->command == VMIG_VU_MIG_DATA_READ && kind->reply && r32(seed) & 1)
		m->mig_data.size = upto(seed, count);
}

static void some_identity(unsigned int *seed, struct vmig_vu_identity *m)
{
	uint32_t len = upto(seed, VMIG_IDENTITY_MAX - 1);

	*m = (struct vmig_vu_identity){ argsz(seed, VMIG_VU_IDENTITY_SIZE), r32(seed), r64(seed), "" };
	for (uint32_t i = 0; i < len; i++)
		m->identity[i] = (char)(' ' + upto(seed, '~' - ' '));
}

static void some_tag(unsigned int *seed, struct vmig_vu_tag *m)
{
	uint8_t *bytes = (uint8_t *)&m->tag;

	m->argsz = argsz(seed, VMIG_VU_TAG_SIZE);
	for (size_t i = 0; i < sizeof(m->tag); i++)
		bytes[i] = (uint8_t)r32(seed);
}

void message_random(const struct kind *kind, unsigned int *seed, const uint8_t *data, struct message *m)
{
	memset(m, 0, sizeof(*m));
	m->h = (struct vmig_vu_header){ (uint16_t)r32(seed), kind->command, 0, kind->reply, r32(seed) };
	switch (kind->command) {
	case VMIG_VU_VERSION:
		m->version.major = (uint16_t)r32(seed);
		m->version.minor = (uint16_t)r32(seed);
		some_caps(seed, &m->version.caps);
		break;
	case VMIG_VU_DMA_MAP:
		m->dma_map =
			(struct vmig_vu_dma_map){ r32(seed), upto(seed, 3), r64(seed), r64(seed), r64(seed) };
		break;
	case VMIG_VU_DMA_UNMAP:
		m->dma_unmap = (struct vmig_vu_dma_unmap){ r32(seed), 0, r64(seed), r64(seed) };
		break;
	case VMIG_VU_DEVICE_GET_INFO:
		m->device_info = (struct vmig_vu_device_info){ argsz(seed, 16), r32(seed),
							       upto(seed, VMIG_LIMIT_REGIONS),
							       upto(seed, VMIG_LIMIT_IRQ_INDICES) };
		break;
	case VMIG_VU_DEVICE_GET_REGION_INFO:
		some_region_info(seed, &m->region_info);
		break;
	case VMIG_VU_DEVICE_GET_REGION_IO_FDS:
		some_io_fds(seed, m);
		break;
	case VMIG_VU_DEVICE_GET_IRQ_INFO:
		m->irq_info = (struct vmig_vu_irq_info){ argsz(seed, 16), r32(seed), r32(seed),
							 upto(seed, VMIG_LIMIT_IRQS) };
		break;
	case VMIG_VU_DEVICE_SET_IRQS:
		some_set_irqs(seed, data, &m->set_irqs);
		break;
	case VMIG_VU_DEVICE_RESET:
		break;
	case VMIG_VU_DIRTY_PAGES:
		some_dirty_pages(seed, kind, data, m);
		break;
	case VMIG_VU_REGION_WRITE_MULTI:
		some_write_multi(seed, m);
		break;
	case VMIG_VU_DEVICE_FEATURE:
		some_feature(seed, kind, data, m);
		break;
	case VMIG_VU_MIG_PRECOPY_INFO:
		m->precopy_info = (struct vmig_vu_precopy_info){ argsz(seed, 24), kind->reply ? r32(seed) : 0,
								 r64(seed), r64(seed) };
		break;
	case VMIG_VU_DEVICE_IDENTITY:
		if (kind->reply)
			some_identity(seed, &m->identity);
		else
			m->query.argsz = argsz(seed, VMIG_VU_QUERY_SIZE);
		break;
	case VMIG_VU_DEVICE_DESCRIPTOR:
	case VMIG_VU_DEVICE_OPAQUE:
	case VMIG_VU_DEVICE_OPAQUE_CHECK:
		if (!kind->reply && kind->command != VMIG_VU_DEVICE_OPAQUE_CHECK) {
			m->query.argsz = argsz(seed, VMIG_VU_QUERY_SIZE);
			break;
		}
		m->data_len = upto(seed, VMIG_DEVICE_OPAQUE_MAX);
		m->data = m->data_len ? data : NULL;
		m->blob = (struct vmig_vu_blob){ .argsz = argsz(seed, VMIG_VU_BLOB_SIZE),
						 .code = upto(seed, 4095),
						 .len = (uint32_t)m->data_len };
		break;
	case VMIG_VU_DEVICE_TAG:
	case VMIG_VU_DEVICE_SET_TAG:
		if (kind->reply == (kind->command == VMIG_VU_DEVICE_TAG))
			some_tag(seed, &m->tag);
		else if (!kind->reply)
			m->query.argsz = argsz(seed, VMIG_VU_QUERY_SIZE);
		break;
	default:
		some_bulk(seed, kind, data, m);
	}
}
