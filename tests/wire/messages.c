/* SPDX-License-Identifier: BSD-3-Clause */
#include "messages.h"

#include <string.h>

#define GET   VMIG_VU_FEATURE_GET
#define SET   VMIG_VU_FEATURE_SET
#define PROBE VMIG_VU_FEATURE_PROBE

const struct kind message_kinds[] = {
	{ "version", VMIG_VU_VERSION, false },
	{ "version-reply", VMIG_VU_VERSION, true },
	{ "dma-map", VMIG_VU_DMA_MAP, false },
	{ "dma-map-reply", VMIG_VU_DMA_MAP, true },
	{ "dma-unmap", VMIG_VU_DMA_UNMAP, false },
	{ "dma-unmap-reply", VMIG_VU_DMA_UNMAP, true },
	{ "device-info", VMIG_VU_DEVICE_GET_INFO, false },
	{ "device-info-reply", VMIG_VU_DEVICE_GET_INFO, true },
	{ "region-info", VMIG_VU_DEVICE_GET_REGION_INFO, false },
	{ "region-info-reply", VMIG_VU_DEVICE_GET_REGION_INFO, true },
	{ "io-fds", VMIG_VU_DEVICE_GET_REGION_IO_FDS, false },
	{ "io-fds-reply", VMIG_VU_DEVICE_GET_REGION_IO_FDS, true },
	{ "irq-info", VMIG_VU_DEVICE_GET_IRQ_INFO, false },
	{ "irq-info-reply", VMIG_VU_DEVICE_GET_IRQ_INFO, true },
	{ "set-irqs", VMIG_VU_DEVICE_SET_IRQS, false },
	{ "set-irqs-reply", VMIG_VU_DEVICE_SET_IRQS, true },
	{ "region-read", VMIG_VU_REGION_READ, false },
	{ "region-read-reply", VMIG_VU_REGION_READ, true },
	{ "region-write", VMIG_VU_REGION_WRITE, false },
	{ "region-write-reply", VMIG_VU_REGION_WRITE, true },
	{ "dma-read", VMIG_VU_DMA_READ, false },
	{ "dma-read-reply", VMIG_VU_DMA_READ, true },
	{ "dma-write", VMIG_VU_DMA_WRITE, false },
	{ "dma-write-reply", VMIG_VU_DMA_WRITE, true },
	{ "reset", VMIG_VU_DEVICE_RESET, false },
	{ "reset-reply", VMIG_VU_DEVICE_RESET, true },
	{ "write-multi", VMIG_VU_REGION_WRITE_MULTI, false },
	{ "write-multi-reply", VMIG_VU_REGION_WRITE_MULTI, true },
	{ "migration", VMIG_VU_DEVICE_FEATURE, false, GET | VMIG_VU_FEATURE_MIGRATION },
	{ "migration-reply", VMIG_VU_DEVICE_FEATURE, true, GET | VMIG_VU_FEATURE_MIGRATION },
	{ "mig-state-get", VMIG_VU_DEVICE_FEATURE, false, GET | VMIG_VU_FEATURE_MIG_DEVICE_STATE },
	{ "mig-state-get-reply", VMIG_VU_DEVICE_FEATURE, true, GET | VMIG_VU_FEATURE_MIG_DEVICE_STATE },
	{ "mig-state-set", VMIG_VU_DEVICE_FEATURE, false, SET | VMIG_VU_FEATURE_MIG_DEVICE_STATE },
	{ "mig-state-set-reply", VMIG_VU_DEVICE_FEATURE, true, SET | VMIG_VU_FEATURE_MIG_DEVICE_STATE },
	{ "log-start", VMIG_VU_DEVICE_FEATURE, false, SET | VMIG_VU_FEATURE_DMA_LOGGING_START },
	{ "log-start-reply", VMIG_VU_DEVICE_FEATURE, true, SET | VMIG_VU_FEATURE_DMA_LOGGING_START },
	{ "log-stop", VMIG_VU_DEVICE_FEATURE, false, SET | VMIG_VU_FEATURE_DMA_LOGGING_STOP },
	{ "log-stop-reply", VMIG_VU_DEVICE_FEATURE, true, SET | VMIG_VU_FEATURE_DMA_LOGGING_STOP },
	{ "log-report", VMIG_VU_DEVICE_FEATURE, false, GET | VMIG_VU_FEATURE_DMA_LOGGING_REPORT },
	{ "log-report-reply", VMIG_VU_DEVICE_FEATURE, true, GET | VMIG_VU_FEATURE_DMA_LOGGING_REPORT },
	{ "mig-data-size", VMIG_VU_DEVICE_FEATURE, false, GET | VMIG_VU_FEATURE_MIG_DATA_SIZE },
	{ "mig-data-size-reply", VMIG_VU_DEVICE_FEATURE, true, GET | VMIG_VU_FEATURE_MIG_DATA_SIZE },
	{ "precopy-info-v2", VMIG_VU_DEVICE_FEATURE, false, SET | VMIG_VU_FEATURE_MIG_PRECOPY_INFO_V2 },
	{ "precopy-info-v2-reply", VMIG_VU_DEVICE_FEATURE, true, SET | VMIG_VU_FEATURE_MIG_PRECOPY_INFO_V2 },
	{ "probe", VMIG_VU_DEVICE_FEATURE, false, GET | SET | PROBE | VMIG_VU_FEATURE_MIG_DEVICE_STATE },
	{ "probe-reply", VMIG_VU_DEVICE_FEATURE, true, GET | SET | PROBE | VMIG_VU_FEATURE_MIG_DEVICE_STATE },
	{ "mig-data-read", VMIG_VU_MIG_DATA_READ, false },
	{ "mig-data-read-reply", VMIG_VU_MIG_DATA_READ, true },
	{ "mig-data-write", VMIG_VU_MIG_DATA_WRITE, false },
	{ "mig-data-write-reply", VMIG_VU_MIG_DATA_WRITE, true },
	{ "precopy-info", VMIG_VU_MIG_PRECOPY_INFO, false },
	{ "precopy-info-reply", VMIG_VU_MIG_PRECOPY_INFO, true },
	{ "identity", VMIG_VU_DEVICE_IDENTITY, false },
	{ "identity-reply", VMIG_VU_DEVICE_IDENTITY, true },
	{ "descriptor", VMIG_VU_DEVICE_DESCRIPTOR, false },
	{ "descriptor-reply", VMIG_VU_DEVICE_DESCRIPTOR, true },
	{ "opaque", VMIG_VU_DEVICE_OPAQUE, false },
	{ "opaque-reply", VMIG_VU_DEVICE_OPAQUE, true },
	{ "opaque-check", VMIG_VU_DEVICE_OPAQUE_CHECK, false },
	{ "opaque-check-reply", VMIG_VU_DEVICE_OPAQUE_CHECK, true },
	{ "tag", VMIG_VU_DEVICE_TAG, false },
	{ "tag-reply", VMIG_VU_DEVICE_TAG, true },
	{ "set-tag", VMIG_VU_DEVICE_SET_TAG, false },
	{ "set-tag-reply", VMIG_VU_DEVICE_SET_TAG, true },
	/* At the end: the fuzzers' corpora name kinds by their places. */
	{ "dirty-start", VMIG_VU_DIRTY_PAGES, false, VMIG_VU_DIRTY_START },
	{ "dirty-stop", VMIG_VU_DIRTY_PAGES, false, VMIG_VU_DIRTY_STOP },
	{ "dirty-stop-reply", VMIG_VU_DIRTY_PAGES, true, 0 },
	{ "dirty-get", VMIG_VU_DIRTY_PAGES, false, VMIG_VU_DIRTY_GET_BITMAP },
	{ "dirty-get-reply", VMIG_VU_DIRTY_PAGES, true, VMIG_VU_DIRTY_GET_BITMAP },
};
const unsigned int message_n_kinds = ARRAY_SIZE(message_kinds);

/* Does the feature's own struct follow in this message? */
static bool feature_has_struct(uint32_t flags, bool reply)
{
	if (flags & PROBE)
		return false;
	switch (flags & VMIG_VU_FEATURE_INDEX) {
	case VMIG_VU_FEATURE_DMA_LOGGING_REPORT:
		return flags & GET;
	case VMIG_VU_FEATURE_MIGRATION:
	case VMIG_VU_FEATURE_MIG_DATA_SIZE:
		return flags & GET && reply;
	case VMIG_VU_FEATURE_DMA_LOGGING_START:
		return flags & SET;
	case VMIG_VU_FEATURE_MIG_DEVICE_STATE:
		return flags & SET || reply;
	default:
		return false;
	}
}

/* --- decode ------------------------------------------------------------------------------- */

/* What follows is bulk data, of exactly this length. */
static int take_data(struct vmig_cursor *c, uint64_t len, struct message *m)
{
	if (c->left != len)
		return -EPROTO;
	m->data_len = c->left;
	m->data = vmig_cursor_bytes(c, c->left);
	return 0;
}

static int log_start_decode(struct vmig_cursor *c, struct message *m)
{
	int r = vmig_vu_log_start_decode(c, &m->log_start);

	for (uint32_t i = 0; !r && i < m->log_start.num_ranges; i++)
		r = vmig_vu_log_range_decode(c, &m->range[i]);
	return r;
}

static int log_report_decode(struct vmig_cursor *c, struct message *m)
{
	int r = vmig_vu_log_report_decode(c, &m->log_report);

	return r || !vmig_vu_is_reply(&m->h) ? r : take_data(c, m->log_report.bitmap_len, m);
}

/* The reply of a START and of a STOP has nothing in it. */
static int dirty_pages_decode(struct vmig_cursor *c, struct message *m)
{
	bool reply = vmig_vu_is_reply(&m->h);
	int r = reply && !c->left ? 0 : vmig_vu_dirty_pages_decode(c, &m->dirty_pages);

	if (r || m->dirty_pages.flags != VMIG_VU_DIRTY_GET_BITMAP)
		return r;
	r = vmig_vu_bitmap_range_decode(c, &m->log_report);
	return r || !reply ? r : take_data(c, m->log_report.bitmap_len, m);
}

static void dirty_pages_encode(struct vmig_cursor *c, const struct message *m)
{
	if (m->dirty_pages.flags)
		vmig_vu_dirty_pages_encode(c, &m->dirty_pages);
	if (m->dirty_pages.flags == VMIG_VU_DIRTY_GET_BITMAP)
		vmig_vu_bitmap_range_encode(c, &m->log_report);
}

static int feature_decode(struct vmig_cursor *c, struct message *m)
{
	int r = vmig_vu_feature_decode(c, &m->feature);

	if (r || !feature_has_struct(m->feature.flags, vmig_vu_is_reply(&m->h)))
		return r;
	switch (m->feature.flags & VMIG_VU_FEATURE_INDEX) {
	case VMIG_VU_FEATURE_MIGRATION:
		return vmig_vu_migration_decode(c, &m->u64);
	case VMIG_VU_FEATURE_MIG_DATA_SIZE:
		return vmig_vu_mig_data_size_decode(c, &m->u64);
	case VMIG_VU_FEATURE_MIG_DEVICE_STATE:
		return vmig_vu_mig_state_decode(c, &m->mig_state);
	case VMIG_VU_FEATURE_DMA_LOGGING_START:
		return log_start_decode(c, m);
	default:
		return log_report_decode(c, m);
	}
}

static int io_fds_decode(struct vmig_cursor *c, struct message *m)
{
	int r = vmig_vu_io_fds_decode(c, &m->io_fds);

	for (uint32_t i = 0; !r && i < m->io_fds.n_here; i++)
		r = vmig_vu_io_fd_decode(c, &m->io_fd[i]);
	return r;
}

static int write_multi_decode(struct vmig_cursor *c, struct message *m)
{
	int r = vmig_vu_write_multi_decode(c, &m->h, &m->write_count);

	for (uint32_t i = 0; !r && !vmig_vu_is_reply(&m->h) && i < m->write_count; i++)
		r = vmig_vu_write_one_decode(c, &m->one[i]);
	return r;
}

/* Three structs say in the same way how much data follows them. */
static int bulk_decode(struct vmig_cursor *c, struct message *m)
{
	bool is_read = m->h.command == VMIG_VU_REGION_READ || m->h.command == VMIG_VU_DMA_READ ||
		       m->h.command == VMIG_VU_MIG_DATA_READ;
	uint64_t count;
	int r;

	if (m->h.command == VMIG_VU_REGION_READ || m->h.command == VMIG_VU_REGION_WRITE) {
		r = vmig_vu_region_rw_decode(c, &m->h, MESSAGE_MAX_XFER, &m->region_rw);
		count = m->region_rw.count;
	} else if (m->h.command == VMIG_VU_DMA_READ || m->h.command == VMIG_VU_DMA_WRITE) {
		r = vmig_vu_dma_rw_decode(c, &m->h, MESSAGE_MAX_XFER, &m->dma_rw);
		count = m->dma_rw.count;
	} else {
		r = vmig_vu_mig_data_decode(c, &m->h, MESSAGE_MAX_XFER, &m->mig_data);
		count = m->mig_data.data_len;
	}
	return r || is_read != vmig_vu_is_reply(&m->h) ? r : take_data(c, count, m);
}

static bool has_blob(const struct vmig_vu_header *h)
{
	return h->command == VMIG_VU_DEVICE_OPAQUE_CHECK ||
	       (vmig_vu_is_reply(h) &&
		(h->command == VMIG_VU_DEVICE_DESCRIPTOR || h->command == VMIG_VU_DEVICE_OPAQUE));
}

static bool has_tag(const struct vmig_vu_header *h)
{
	return h->command == (vmig_vu_is_reply(h) ? VMIG_VU_DEVICE_TAG : VMIG_VU_DEVICE_SET_TAG);
}

static int blob_decode(struct vmig_cursor *c, struct message *m)
{
	uint32_t max = m->h.command == VMIG_VU_DEVICE_DESCRIPTOR ? VMIG_DEVICE_DESCRIPTOR_MAX
								 : VMIG_DEVICE_OPAQUE_MAX;
	int r = vmig_vu_blob_decode(c, max, &m->blob);

	if (r)
		return r;
	m->data = m->blob.len ? m->blob.bytes : NULL;
	m->data_len = m->blob.len;
	m->blob.bytes = NULL;
	return 0;
}

static int query_or_reply_decode(struct vmig_cursor *c, struct message *m)
{
	if (has_blob(&m->h))
		return blob_decode(c, m);
	if (has_tag(&m->h))
		return vmig_vu_tag_decode(c, &m->tag);
	if (m->h.command == VMIG_VU_DEVICE_SET_TAG)
		return 0;
	if (!vmig_vu_is_reply(&m->h))
		return vmig_vu_query_decode(c, &m->query);
	if (m->h.command == VMIG_VU_MIG_PRECOPY_INFO)
		return vmig_vu_precopy_info_decode(c, &m->precopy_info);
	return vmig_vu_identity_decode(c, &m->identity);
}

int message_decode_payload(const struct vmig_vu_header *h, struct vmig_cursor *c, struct message *m)
{
	bool reply = vmig_vu_is_reply(h);

	memset(m, 0, sizeof(*m));
	m->h = *h;
	if (h->flags & VMIG_VU_ERROR)
		return 0;
	switch (h->command) {
	case VMIG_VU_VERSION:
		return vmig_vu_version_decode(c, &m->version);
	case VMIG_VU_DMA_MAP:
		return reply ? 0 : vmig_vu_dma_map_decode(c, &m->dma_map);
	case VMIG_VU_DMA_UNMAP:
		return vmig_vu_dma_unmap_decode(c, &m->dma_unmap);
	case VMIG_VU_DEVICE_GET_INFO:
		return vmig_vu_device_info_decode(c, &m->device_info);
	case VMIG_VU_DEVICE_GET_REGION_INFO:
		return vmig_vu_region_info_decode(c, &m->region_info);
	case VMIG_VU_DEVICE_GET_REGION_IO_FDS:
		return io_fds_decode(c, m);
	case VMIG_VU_DEVICE_GET_IRQ_INFO:
		return vmig_vu_irq_info_decode(c, &m->irq_info);
	case VMIG_VU_DEVICE_SET_IRQS:
		return reply ? 0 : vmig_vu_set_irqs_decode(c, &m->set_irqs);
	case VMIG_VU_MIG_DATA_WRITE:
		return reply ? 0 : bulk_decode(c, m);
	case VMIG_VU_REGION_READ:
	case VMIG_VU_REGION_WRITE:
	case VMIG_VU_DMA_READ:
	case VMIG_VU_DMA_WRITE:
	case VMIG_VU_MIG_DATA_READ:
		return bulk_decode(c, m);
	case VMIG_VU_REGION_WRITE_MULTI:
		return write_multi_decode(c, m);
	case VMIG_VU_DEVICE_FEATURE:
		return feature_decode(c, m);
	case VMIG_VU_DIRTY_PAGES:
		return dirty_pages_decode(c, m);
	case VMIG_VU_MIG_PRECOPY_INFO:
	case VMIG_VU_DEVICE_IDENTITY:
	case VMIG_VU_DEVICE_DESCRIPTOR:
	case VMIG_VU_DEVICE_OPAQUE:
	case VMIG_VU_DEVICE_OPAQUE_CHECK:
	case VMIG_VU_DEVICE_TAG:
	case VMIG_VU_DEVICE_SET_TAG:
		return query_or_reply_decode(c, m);
	default:
		return 0;
	}
}

int message_decode(const void *bytes, size_t len, struct message *ret)
{
	struct vmig_cursor c = vmig_cursor_over(bytes, len);
	struct vmig_vu_header h;
	int r;

	r = vmig_vu_header_decode(&c, &h);
	if (!r)
		r = vmig_vu_header_check(&h, MESSAGE_MAX_XFER);
	if (r < 0)
		return r;
	if (c.left != vmig_vu_payload(&h))
		return -EPROTO;
	return message_decode_payload(&h, &c, ret);
}

/* --- encode ------------------------------------------------------------------------------- */

static void feature_encode(struct vmig_cursor *c, const struct message *m)
{
	vmig_vu_feature_encode(c, &m->feature);
	if (!feature_has_struct(m->feature.flags, vmig_vu_is_reply(&m->h)))
		return;
	switch (m->feature.flags & VMIG_VU_FEATURE_INDEX) {
	case VMIG_VU_FEATURE_MIGRATION:
		vmig_vu_migration_encode(c, m->u64);
		break;
	case VMIG_VU_FEATURE_MIG_DATA_SIZE:
		vmig_vu_mig_data_size_encode(c, m->u64);
		break;
	case VMIG_VU_FEATURE_MIG_DEVICE_STATE:
		vmig_vu_mig_state_encode(c, &m->mig_state);
		break;
	case VMIG_VU_FEATURE_DMA_LOGGING_START:
		vmig_vu_log_start_encode(c, &m->log_start);
		for (uint32_t i = 0; i < m->log_start.num_ranges; i++)
			vmig_vu_log_range_encode(c, &m->range[i]);
		break;
	default:
		vmig_vu_log_report_encode(c, &m->log_report);
	}
}

static void arrays_encode(struct vmig_cursor *c, const struct message *m)
{
	if (m->h.command == VMIG_VU_DEVICE_GET_REGION_IO_FDS) {
		vmig_vu_io_fds_encode(c, &m->io_fds);
		for (uint32_t i = 0; i < m->io_fds.n_here; i++)
			vmig_vu_io_fd_encode(c, &m->io_fd[i]);
		return;
	}
	vmig_vu_write_multi_encode(c, m->write_count);
	for (uint32_t i = 0; !vmig_vu_is_reply(&m->h) && i < m->write_count; i++)
		vmig_vu_write_one_encode(c, &m->one[i]);
}

static void query_or_reply_encode(struct vmig_cursor *c, const struct message *m)
{
	if (has_blob(&m->h))
		vmig_vu_blob_encode(c, &m->blob);
	else if (has_tag(&m->h))
		vmig_vu_tag_encode(c, &m->tag);
	else if (m->h.command == VMIG_VU_DEVICE_SET_TAG)
		return;
	else if (!vmig_vu_is_reply(&m->h))
		vmig_vu_query_encode(c, &m->query);
	else if (m->h.command == VMIG_VU_MIG_PRECOPY_INFO)
		vmig_vu_precopy_info_encode(c, &m->precopy_info);
	else
		vmig_vu_identity_encode(c, &m->identity);
}

static void fixed_encode(struct vmig_cursor *c, const struct message *m)
{
	bool reply = vmig_vu_is_reply(&m->h);

	switch (m->h.command) {
	case VMIG_VU_VERSION:
		if (vmig_vu_version_encode(c, &m->version) < 0)
			c->bad = true;
		break;
	case VMIG_VU_DMA_MAP:
		if (!reply)
			vmig_vu_dma_map_encode(c, &m->dma_map);
		break;
	case VMIG_VU_DMA_UNMAP:
		vmig_vu_dma_unmap_encode(c, &m->dma_unmap);
		break;
	case VMIG_VU_DEVICE_GET_INFO:
		vmig_vu_device_info_encode(c, &m->device_info);
		break;
	case VMIG_VU_DEVICE_GET_REGION_INFO:
		vmig_vu_region_info_encode(c, &m->region_info);
		break;
	case VMIG_VU_DEVICE_GET_REGION_IO_FDS:
	case VMIG_VU_REGION_WRITE_MULTI:
		arrays_encode(c, m);
		break;
	case VMIG_VU_DEVICE_GET_IRQ_INFO:
		vmig_vu_irq_info_encode(c, &m->irq_info);
		break;
	case VMIG_VU_DEVICE_SET_IRQS:
		if (!reply)
			vmig_vu_set_irqs_encode(c, &m->set_irqs);
		break;
	case VMIG_VU_REGION_READ:
	case VMIG_VU_REGION_WRITE:
		vmig_vu_region_rw_encode(c, &m->region_rw);
		break;
	case VMIG_VU_DMA_READ:
	case VMIG_VU_DMA_WRITE:
		vmig_vu_dma_rw_encode(c, &m->dma_rw);
		break;
	case VMIG_VU_DIRTY_PAGES:
		dirty_pages_encode(c, m);
		break;
	case VMIG_VU_DEVICE_FEATURE:
		feature_encode(c, m);
		break;
	case VMIG_VU_MIG_DATA_READ:
	case VMIG_VU_MIG_DATA_WRITE:
		if (!reply || m->h.command == VMIG_VU_MIG_DATA_READ)
			vmig_vu_mig_data_encode(c, &m->mig_data);
		break;
	case VMIG_VU_MIG_PRECOPY_INFO:
	case VMIG_VU_DEVICE_IDENTITY:
	case VMIG_VU_DEVICE_DESCRIPTOR:
	case VMIG_VU_DEVICE_OPAQUE:
	case VMIG_VU_DEVICE_OPAQUE_CHECK:
	case VMIG_VU_DEVICE_TAG:
	case VMIG_VU_DEVICE_SET_TAG:
		query_or_reply_encode(c, m);
		break;
	}
}

size_t message_encode(const struct message *m, void *room, size_t room_len)
{
	struct vmig_cursor c = vmig_cursor_into(room, room_len), again = c;
	struct vmig_vu_header h = m->h;

	vmig_vu_header_encode(&c, &h);
	if (!(h.flags & VMIG_VU_ERROR))
		fixed_encode(&c, m);
	vmig_cursor_put(&c, m->data, m->data_len);
	if (!vmig_cursor_ok(&c))
		return 0;
	h.size = (uint32_t)(room_len - c.left);
	vmig_vu_header_encode(&again, &h);
	return h.size;
}
