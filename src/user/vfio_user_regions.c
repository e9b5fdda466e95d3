/* SPDX-License-Identifier: BSD-3-Clause */
/* Regions and ioeventfds of a vfio-user server. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "user/vfio_user.h"

/* Most regions' capabilities fit at the first asking. */
#define REGION_INFO_FIRST (VMIG_VU_REGION_INFO_MAX + 64u)

/* --- region info -------------------------------------------------------------------------- */

/* The descriptors that came with a region. */
struct region_fds {
	int fds[VMIG_LIMIT_MSG_FDS];
	uint32_t n;
};

static void close_fds(struct region_fds *fds)
{
	while (fds->n)
		close(fds->fds[--fds->n]);
}

/* Ask once, with room for @argsz bytes. *ret_fds may hold some on failure too. */
static int ask_region(struct vmig_vuc *v, uint32_t index, uint32_t argsz, struct vmig_vu_region_info *ret,
		      struct region_fds *ret_fds, struct vmig_error *error)
{
	_autofree_ uint8_t *in = malloc(argsz);
	uint8_t out[VMIG_VU_HEADER_SIZE + VMIG_VU_REGION_INFO_SIZE];
	struct vmig_vu_region_info m = { .argsz = argsz, .index = index };
	struct vmig_vuc_call call = { .command = VMIG_VU_DEVICE_GET_REGION_INFO,
				      .fixed = in,
				      .fixed_max = argsz,
				      .fds = ret_fds->fds,
				      .fds_max = ARRAY_SIZE(ret_fds->fds) };
	struct vmig_cursor c = vmig_vuc_request(out, sizeof(out));
	int r;

	if (!in)
		return vmig_fault(error, -ENOMEM, "DEVICE_GET_REGION_INFO", "no memory");
	vmig_vu_region_info_encode(&c, &m);
	vmig_vuc_request_end(&call, out, &c);
	r = vmig_vuc_call(v, &call, error);
	if (r < 0)
		return r;
	ret_fds->n = call.n_fds;
	c = vmig_cursor_over(in, call.fixed_len);
	r = vmig_vu_region_info_decode(&c, ret);
	if (r < 0 || ret->index != index)
		return vmig_vuc_broken(v, error, "DEVICE_GET_REGION_INFO",
				       "what the server says of region %u contradicts itself", index);
	return 0;
}

static bool same_file(int a, int b)
{
	struct stat x, y;

	return !fstat(a, &x) && !fstat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* One descriptor for all of the region, or one for each area of it that may be mapped, as libvfio-user has them.
 * The one to map by; -1: there is none, or the areas are of different files. */
static int choose_fd(const struct vmig_vu_region_info *info, struct region_fds *fds)
{
	for (uint32_t i = 1; i < fds->n; i++)
		if (!same_file(fds->fds[0], fds->fds[i]))
			return -1;
	return fds->n && (info->flags & VMIG_REGION_MMAP) ? fds->fds[0] : -1;
}

/* A mapped file that is shorter than the region kills whoever touches it: better said now. */
static bool fd_covers(int fd, const struct vmig_vu_region_info *info)
{
	uint64_t end = info->n_areas ? 0 : info->size;
	struct stat st;

	for (uint32_t i = 0; i < info->n_areas; i++)
		end = MAX(end, info->areas[i].offset + info->areas[i].size);
	if (fstat(fd, &st) < 0)
		return false;
	return !S_ISREG(st.st_mode) ||
	       (add_fits(info->offset, end) && info->offset + end <= (uint64_t)st.st_size);
}

static int check_region(struct vmig_vuc *v, const struct vmig_vu_region_info *info,
			const struct region_fds *fds, struct vmig_error *error)
{
	if (fds->n > 1 && fds->n != info->n_areas)
		return vmig_vuc_broken(v, error, "DEVICE_GET_REGION_INFO",
				       "region %u came with %u descriptors for %u areas", info->index, fds->n,
				       info->n_areas);
	if (!(info->flags & VMIG_REGION_MMAP) || !info->size)
		return 0;
	if (!fds->n)
		return vmig_vuc_broken(v, error, "DEVICE_GET_REGION_INFO",
				       "region %u may be mapped, but its descriptor did not come",
				       info->index);
	if (!fd_covers(fds->fds[0], info))
		return vmig_vuc_broken(v, error, "DEVICE_GET_REGION_INFO",
				       "the file of region %u is shorter than the region", info->index);
	return 0;
}

static void fill_region(struct vmig_region *ret, const struct vmig_vu_region_info *info, int fd)
{
	ret->index = info->index;
	ret->flags = info->flags & (VMIG_REGION_READ | VMIG_REGION_WRITE);
	/* Without one descriptor for all of it, it is not mapped; messages reach it. */
	if (fd >= 0)
		ret->flags |= VMIG_REGION_MMAP;
	ret->size = info->size;
	ret->fd = fd;
	ret->fd_offset = fd >= 0 ? info->offset : 0;
	ret->n_areas = info->n_areas;
	memcpy(ret->areas, info->areas, sizeof(ret->areas));
	ret->cap_type = info->type;
	ret->cap_subtype = info->subtype;
}

static int learn_region(struct vmig_vuc *v, uint32_t index, struct vmig_error *error)
{
	struct vmig_vu_region_info info;
	struct region_fds fds = { .n = 0 };
	int fd, r = ask_region(v, index, REGION_INFO_FIRST, &info, &fds, error);

	if (!r && info.argsz > VMIG_LIMIT_REGION_INFO)
		r = vmig_vuc_broken(v, error, "DEVICE_GET_REGION_INFO",
				    "region %u has %u bytes of capabilities", index, info.argsz);
	if (!r && info.argsz > REGION_INFO_FIRST) {
		close_fds(&fds);
		r = ask_region(v, index, info.argsz, &info, &fds, error);
	}
	if (!r)
		r = check_region(v, &info, &fds, error);
	if (!r) {
		fd = choose_fd(&info, &fds);
		fill_region(&v->regions[index].info, &info, fd);
		v->regions[index].known = true;
		/* The first is the region's now, unless it is of no use. */
		for (uint32_t i = fd >= 0; i < fds.n; i++)
			close(fds.fds[i]);
		fds.n = 0;
	}
	close_fds(&fds);
	return r;
}

static int no_region(struct vmig_error *error, uint32_t index)
{
	return vmig_fault(error, -EINVAL, "DEVICE_GET_REGION_INFO", "there is no region %u", index);
}

int vmig_vuc_query_region(void *p, uint32_t index, struct vmig_region *ret, struct vmig_error *error)
{
	struct vmig_vuc *v = p;
	int r = 0;

	if (index >= v->info.n_regions)
		return no_region(error, index);
	pthread_mutex_lock(&v->region_lock);
	if (!v->regions[index].known)
		r = learn_region(v, index, error);
	if (!r)
		*ret = v->regions[index].info;
	pthread_mutex_unlock(&v->region_lock);
	return r;
}

/* --- ioeventfds --------------------------------------------------------------------------- */

static int decode_io(struct vmig_vuc *v, struct vmig_vuc_region *region, uint32_t index,
		     struct vmig_cursor *c, int *fds, uint32_t n_fds)
{
	struct vmig_vu_io_fds head;
	int r = vmig_vu_io_fds_decode(c, &head);

	if (r < 0 || head.index != index || head.n_here != head.count)
		return -EPROTO;
	region->n_io = 0;
	for (uint32_t i = 0; i < head.n_here; i++) {
		struct vmig_vu_io_fd one;
		int fd;

		if (vmig_vu_io_fd_decode(c, &one) < 0 || one.fd_index >= n_fds)
			return -EPROTO;
		/* The other types are not of use here. */
		if (one.type != VMIG_VU_IO_FD_IOEVENTFD)
			continue;
		/* Entries may share a descriptor. */
		fd = fcntl(fds[one.fd_index], F_DUPFD_CLOEXEC, 0);
		if (fd < 0)
			return -errno;
		region->io[region->n_io++] = (struct vmig_ioeventfd){ .offset = one.offset,
								      .size = one.size,
								      .datamatch = one.datamatch,
								      .flags = one.flags,
								      .fd = fd };
	}
	return 0;
}

static void close_io(struct vmig_vuc_region *region)
{
	for (int i = 0; i < region->n_io; i++)
		close(region->io[i].fd);
	region->n_io = 0;
}

static int learn_io(struct vmig_vuc *v, uint32_t index, struct vmig_error *error)
{
	enum { ARGSZ = VMIG_VU_IO_FDS_SIZE + VMIG_VU_IO_FDS_MAX * VMIG_VU_IO_FD_SIZE };
	uint8_t out[VMIG_VU_HEADER_SIZE + VMIG_VU_IO_FDS_SIZE], in[ARGSZ];
	int fds[VMIG_LIMIT_MSG_FDS];
	struct vmig_vu_io_fds m = { .argsz = ARGSZ, .index = index };
	struct vmig_vuc_call call = { .command = VMIG_VU_DEVICE_GET_REGION_IO_FDS,
				      .fixed = in,
				      .fixed_max = sizeof(in),
				      .fds = fds,
				      .fds_max = ARRAY_SIZE(fds) };
	struct vmig_cursor c = vmig_vuc_request(out, sizeof(out));
	struct vmig_vuc_region *region = &v->regions[index];
	int r;

	vmig_vu_io_fds_encode(&c, &m);
	vmig_vuc_request_end(&call, out, &c);
	r = vmig_vuc_call(v, &call, error);
	/* A server without them may not know the command at all. */
	if (r < 0 && !call.refused)
		return r;
	if (!r) {
		c = vmig_cursor_over(in, call.fixed_len);
		r = decode_io(v, region, index, &c, fds, call.n_fds);
		for (uint32_t i = 0; i < call.n_fds; i++)
			close(fds[i]);
		if (r < 0)
			close_io(region);
		if (r < 0 && r != -EPROTO)
			return vmig_fault(error, r, "DEVICE_GET_REGION_IO_FDS", "no descriptor is left");
		if (r < 0) {
			return vmig_vuc_broken(v, error, "DEVICE_GET_REGION_IO_FDS",
					       "what the server says of region %u contradicts itself", index);
		}
	}
	region->io_known = true;
	return 0;
}

int vmig_vuc_query_ioeventfds(void *p, uint32_t index, struct vmig_ioeventfd *ret, int max,
			      struct vmig_error *error)
{
	struct vmig_vuc *v = p;
	int r = 0;

	if (index >= v->info.n_regions)
		return no_region(error, index);
	pthread_mutex_lock(&v->region_lock);
	if (!v->regions[index].io_known)
		r = learn_io(v, index, error);
	if (!r) {
		r = v->regions[index].n_io;
		for (int i = 0; i < MIN(r, max); i++)
			ret[i] = v->regions[index].io[i];
	}
	pthread_mutex_unlock(&v->region_lock);
	return r;
}

void vmig_vuc_regions_done(struct vmig_vuc *v)
{
	for (uint32_t i = 0; v->regions && i < v->info.n_regions; i++) {
		if (v->regions[i].known)
			vmig_closep(&v->regions[i].info.fd);
		close_io(&v->regions[i]);
	}
	free(v->regions);
}

/* --- access ------------------------------------------------------------------------------- */

static int check_rw(struct vmig_vuc *v, const struct vmig_vuc_call *call, const uint8_t *in,
		    const struct vmig_vu_region_rw *asked, struct vmig_error *error)
{
	struct vmig_cursor c = vmig_cursor_over(in, call->fixed_len);
	struct vmig_vu_region_rw got;
	const char *where = vmig_vu_command_name(call->command);

	if (vmig_vu_region_rw_decode(&c, &call->reply, asked->count, &got) < 0 ||
	    got.region != asked->region || got.offset != asked->offset || got.count > asked->count)
		return vmig_vuc_broken(v, error, where,
				       "the reply is not about region %u, offset 0x%llx, %u bytes",
				       asked->region, (unsigned long long)asked->offset, asked->count);
	if (got.count < asked->count)
		return vmig_fault(error, -EIO, where, "only %u of %u bytes at 0x%llx of region %u were done",
				  got.count, asked->count, (unsigned long long)asked->offset, asked->region);
	return 0;
}

static int read_part(struct vmig_vuc *v, const struct vmig_vu_region_rw *m, void *buf,
		     struct vmig_error *error)
{
	uint8_t out[VMIG_VU_HEADER_SIZE + VMIG_VU_REGION_RW_SIZE], in[VMIG_VU_REGION_RW_SIZE];
	struct iovec iov = { buf, m->count };
	struct vmig_vuc_call call = { .command = VMIG_VU_REGION_READ,
				      .fixed = in,
				      .fixed_max = sizeof(in),
				      .iov = &iov,
				      .n_iov = 1,
				      .data_max = m->count };
	struct vmig_cursor c = vmig_vuc_request(out, sizeof(out));
	int r;

	vmig_vu_region_rw_encode(&c, m);
	vmig_vuc_request_end(&call, out, &c);
	r = vmig_vuc_call(v, &call, error);
	return r < 0 ? r : check_rw(v, &call, in, m, error);
}

static int write_part(struct vmig_vuc *v, const struct vmig_vu_region_rw *m, const void *buf,
		      struct vmig_error *error)
{
	uint8_t out[VMIG_VU_HEADER_SIZE + VMIG_VU_REGION_RW_SIZE], in[VMIG_VU_REGION_RW_SIZE];
	struct iovec iov = { (void *)(uintptr_t)buf, m->count };
	struct vmig_vuc_call call = { .command = VMIG_VU_REGION_WRITE,
				      .fixed = in,
				      .fixed_max = sizeof(in),
				      .data = &iov,
				      .n_data = 1 };
	struct vmig_cursor c = vmig_vuc_request(out, sizeof(out));
	int r;

	vmig_vu_region_rw_encode(&c, m);
	vmig_vuc_request_end(&call, out, &c);
	r = vmig_vuc_call(v, &call, error);
	return r < 0 ? r : check_rw(v, &call, in, m, error);
}

int vmig_vuc_region_read(void *p, uint32_t index, uint64_t offset, void *buf, size_t len,
			 struct vmig_error *error)
{
	struct vmig_vuc *v = p;
	int r = 0;

	for (size_t done = 0; done < len && !r;) {
		struct vmig_vu_region_rw m = { offset + done, index,
					       (uint32_t)MIN(len - done, v->caps.max_data_xfer_size) };

		r = read_part(v, &m, (uint8_t *)buf + done, error);
		done += m.count;
	}
	return r;
}

int vmig_vuc_region_write(void *p, uint32_t index, uint64_t offset, const void *buf, size_t len,
			  struct vmig_error *error)
{
	struct vmig_vuc *v = p;
	int r = 0;

	for (size_t done = 0; done < len && !r;) {
		struct vmig_vu_region_rw m = { offset + done, index,
					       (uint32_t)MIN(len - done, v->caps.max_data_xfer_size) };

		r = write_part(v, &m, (const uint8_t *)buf + done, error);
		done += m.count;
	}
	return r;
}
