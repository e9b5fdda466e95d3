/* SPDX-License-Identifier: BSD-3-Clause */
/* GET_INFO, RESET, and the regions: their description, their ioeventfds, their bytes. */
#include <string.h>

#include "server/vfio_user.h"

int vmig_served_get_info(struct vmig_served *s, struct vmig_slink_msg *m)
{
	struct vmig_cursor c = vmig_cursor_over(m->body, m->body_len);
	struct vmig_vu_device_info req, info = {
		.argsz = VMIG_VU_DEVICE_INFO_SIZE,
		.flags = s->info.flags,
		.num_regions = s->info.n_regions,
		.num_irqs = s->info.n_irqs,
	};
	uint8_t out[VMIG_VU_DEVICE_INFO_SIZE];
	struct vmig_cursor o = vmig_cursor_into(out, sizeof(out));
	int r = vmig_vu_device_info_decode(&c, &req);

	if (r < 0)
		return r;
	if (req.argsz < sizeof(out))
		return -EINVAL;
	vmig_vu_device_info_encode(&o, &info);
	return vmig_served_reply_to(s, m, out, &o);
}

/* A reset leads to RUNNING: the session and the log are gone whatever they were. */
int vmig_served_reset(struct vmig_served *s, struct vmig_slink_msg *m)
{
	int r;

	if (m->body_len)
		return -EINVAL;
	r = vmig_device_reset(s->dev);
	if (r < 0)
		return r;
	vmig_served_end_session(s);
	s->log.on = false;
	return vmig_served_reply(s, m, NULL, 0, NULL, 0, NULL, 0);
}

/* --- what the regions are ---------------------------------------------------------------------- */

static void describe(const struct vmig_served *s, const struct vmig_region *region,
		     struct vmig_vu_region_info *ret)
{
	*ret = (struct vmig_vu_region_info){
		.flags = region->flags & (VMIG_REGION_READ | VMIG_REGION_WRITE | VMIG_REGION_MMAP),
		.index = region->index,
		.size = region->size,
		.offset = region->fd_offset,
		.type = region->cap_type,
		.subtype = region->cap_subtype,
	};
	/* What cannot be handed over cannot be mapped. */
	if (region->fd < 0 || !s->caps.max_msg_fds)
		ret->flags &= ~VMIG_REGION_MMAP;
	if (region->cap_type)
		ret->caps |= VMIG_VU_HAS_TYPE;
	if (!(ret->flags & VMIG_REGION_MMAP) || !region->n_areas)
		return;
	ret->caps |= VMIG_VU_HAS_SPARSE;
	ret->n_areas = region->n_areas;
	memcpy(ret->areas, region->areas, region->n_areas * sizeof(region->areas[0]));
}

/* The descriptor goes with the whole answer only, so that a client that asks twice does not get it twice. */
int vmig_served_region_info(struct vmig_served *s, struct vmig_slink_msg *m)
{
	struct vmig_cursor c = vmig_cursor_over(m->body, m->body_len);
	struct vmig_vu_region_info req, info;
	uint8_t out[VMIG_VU_REGION_INFO_MAX];
	struct vmig_cursor o = vmig_cursor_into(out, sizeof(out));
	struct vmig_region region;
	bool whole;
	int r = vmig_vu_region_info_decode(&c, &req);

	if (r < 0)
		return r;
	if (req.argsz < VMIG_VU_REGION_INFO_SIZE || req.index >= s->info.n_regions)
		return -EINVAL;
	r = vmig_device_query_region(s->dev, req.index, &region);
	if (r < 0)
		return r;
	describe(s, &region, &info);
	vmig_vu_region_info_fit(&info, req.argsz);
	whole = info.argsz <= req.argsz;
	vmig_vu_region_info_encode(&o, &info);
	return vmig_served_reply(s, m, out, sizeof(out) - o.left, NULL, 0, &region.fd,
				 whole && (info.flags & VMIG_REGION_MMAP));
}

/* An ioeventfd is a short cut: one that the client cannot be given is left out, and its writes come as messages. */
int vmig_served_region_io_fds(struct vmig_served *s, struct vmig_slink_msg *m)
{
	struct vmig_cursor c = vmig_cursor_over(m->body, m->body_len);
	uint8_t out[VMIG_VU_IO_FDS_SIZE + VMIG_VU_IO_FDS_MAX * VMIG_VU_IO_FD_SIZE];
	struct vmig_cursor o = vmig_cursor_into(out, sizeof(out));
	struct vmig_ioeventfd all[VMIG_VU_IO_FDS_MAX];
	int fds[VMIG_VU_IO_FDS_MAX], n;
	struct vmig_vu_io_fds req, head;
	int r = vmig_vu_io_fds_decode(&c, &req);

	if (r < 0)
		return r;
	if (req.argsz < VMIG_VU_IO_FDS_SIZE || req.flags || req.count || req.index >= s->info.n_regions)
		return -EINVAL;
	n = vmig_device_query_ioeventfds(s->dev, req.index, all, VMIG_VU_IO_FDS_MAX);
	if (n < 0)
		return n;
	n = MIN(n, (int)s->caps.max_msg_fds);
	head = (struct vmig_vu_io_fds){ .index = req.index, .count = (uint32_t)n };
	head.argsz = VMIG_VU_IO_FDS_SIZE + head.count * VMIG_VU_IO_FD_SIZE;
	vmig_vu_io_fds_encode(&o, &head);
	if (head.argsz > req.argsz)
		return vmig_served_reply_to(s, m, out, &o);
	for (int i = 0; i < n; i++) {
		struct vmig_vu_io_fd e = { all[i].offset,           all[i].size,  (uint32_t)i,
					   VMIG_VU_IO_FD_IOEVENTFD, all[i].flags, all[i].datamatch };

		vmig_vu_io_fd_encode(&o, &e);
		fds[i] = all[i].fd;
	}
	return vmig_served_reply(s, m, out, sizeof(out) - o.left, NULL, 0, fds, n);
}

/* --- their bytes ------------------------------------------------------------------------------- */

int vmig_served_region_read(struct vmig_served *s, struct vmig_slink_msg *m)
{
	struct vmig_cursor c = vmig_cursor_over(m->body, m->body_len);
	uint8_t out[VMIG_VU_REGION_RW_SIZE], small[64];
	struct vmig_cursor o = vmig_cursor_into(out, sizeof(out));
	struct vmig_vu_region_rw rw;
	struct iovec iov;
	int r = vmig_vu_region_rw_decode(&c, &m->h, s->link->max, &rw);

	if (r < 0)
		return r;
	iov.iov_len = rw.count;
	iov.iov_base = rw.count <= sizeof(small) ? small : vmig_served_data(s, rw.count);
	if (!iov.iov_base)
		return -ENOMEM;
	r = vmig_device_region_read(s->dev, rw.region, rw.offset, iov.iov_base, rw.count);
	if (r < 0)
		return r;
	vmig_vu_region_rw_encode(&o, &rw);
	return vmig_served_reply(s, m, out, sizeof(out), &iov, 1, NULL, 0);
}

int vmig_served_region_write(struct vmig_served *s, struct vmig_slink_msg *m)
{
	struct vmig_cursor c = vmig_cursor_over(m->body, m->body_len);
	uint8_t out[VMIG_VU_REGION_RW_SIZE];
	struct vmig_cursor o = vmig_cursor_into(out, sizeof(out));
	struct vmig_vu_region_rw rw;
	int r = vmig_vu_region_rw_decode(&c, &m->h, s->link->max, &rw);

	if (r < 0)
		return r;
	r = vmig_device_region_write(s->dev, rw.region, rw.offset, vmig_cursor_bytes(&c, rw.count), rw.count);
	if (r < 0)
		return r;
	vmig_vu_region_rw_encode(&o, &rw);
	return vmig_served_reply_to(s, m, out, &o);
}

/* As write(2): a failure behind the first one is a short count. All are checked before the first is done. */
static int write_all(struct vmig_served *s, struct vmig_cursor c, uint32_t count, bool dry,
		     uint32_t *ret_done)
{
	for (*ret_done = 0; *ret_done < count; (*ret_done)++) {
		struct vmig_vu_write_one w;
		int r = vmig_vu_write_one_decode(&c, &w);

		if (!r && !dry)
			r = vmig_device_region_write(s->dev, w.region, w.offset, w.data, w.count);
		if (r < 0)
			return r;
	}
	return 0;
}

int vmig_served_write_multi(struct vmig_served *s, struct vmig_slink_msg *m)
{
	struct vmig_cursor c = vmig_cursor_over(m->body, m->body_len);
	uint8_t out[VMIG_VU_WRITE_MULTI_SIZE];
	struct vmig_cursor o = vmig_cursor_into(out, sizeof(out));
	uint32_t count, done;
	int r = vmig_vu_write_multi_decode(&c, &m->h, &count);

	if (!r)
		r = write_all(s, c, count, true, &done);
	if (r < 0)
		return r;
	r = write_all(s, c, count, false, &done);
	if (r < 0 && !done)
		return r;
	vmig_vu_write_multi_encode(&o, done);
	return vmig_served_reply_to(s, m, out, &o);
}
