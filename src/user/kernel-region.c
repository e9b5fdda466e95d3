/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "user/kernel.h"

/* The capabilities look like those on the wire of vfio-user, but in this machine's byte order. */

/* Longest chain of capabilities that is followed: a chain that goes round has no end. */
#define CAPS_MAX 64

struct bytes {
	const uint8_t *data;
	size_t len;
};

static bool take(const struct bytes *from, size_t at, void *to, size_t len)
{
	if (at > from->len || len > from->len - at)
		return false;
	memcpy(to, from->data + at, len);
	return true;
}

static int parse_areas(const struct bytes *info, size_t at, struct vmig_region *region)
{
	struct vmig_uapi_region_info_cap_sparse_mmap cap;

	if (!take(info, at, &cap, sizeof(cap)))
		return -EPROTO;
	/* More areas than a region can name: then none may be mapped, and all is reached by read and write. */
	if (cap.nr_areas > VMIG_REGION_AREAS_MAX) {
		region->flags &= ~VMIG_REGION_MMAP;
		return 0;
	}
	for (uint32_t i = 0; i < cap.nr_areas; i++) {
		struct vmig_uapi_region_sparse_mmap_area area;

		if (!take(info, at + sizeof(cap) + i * sizeof(area), &area, sizeof(area)))
			return -EPROTO;
		if (area.offset > region->size || area.size > region->size - area.offset)
			return -EPROTO;
		region->areas[i] = (struct vmig_area){ .offset = area.offset, .size = area.size };
	}
	/* No area at all is not the same as no capability: nothing may be mapped. */
	if (!cap.nr_areas)
		region->flags &= ~VMIG_REGION_MMAP;
	region->n_areas = cap.nr_areas;
	return 0;
}

static int parse_type(const struct bytes *info, size_t at, struct vmig_region *region)
{
	struct vmig_uapi_region_info_cap_type cap;

	if (!take(info, at, &cap, sizeof(cap)))
		return -EPROTO;
	region->cap_type = cap.type;
	region->cap_subtype = cap.subtype;
	return 0;
}

static int parse_caps(const struct bytes *info, size_t at, struct vmig_region *region)
{
	for (int i = 0; at; i++) {
		struct vmig_uapi_info_cap_header head;
		int r = 0;

		if (i == CAPS_MAX || !take(info, at, &head, sizeof(head)))
			return -EPROTO;
		if (head.id == VMIG_UAPI_REGION_INFO_CAP_SPARSE_MMAP && head.version == 1)
			r = parse_areas(info, at, region);
		else if (head.id == VMIG_UAPI_REGION_INFO_CAP_TYPE && head.version == 1)
			r = parse_type(info, at, region);
		if (r)
			return r;
		at = head.next;
	}
	return 0;
}

int vmig_kernel_parse_region(const void *data, size_t len, struct vmig_region *ret)
{
	const struct bytes bytes = { .data = data, .len = len };
	struct vmig_uapi_region_info info;
	int r = 0;

	if (!take(&bytes, 0, &info, sizeof(info)))
		return -EPROTO;
	if (!add_fits(info.offset, info.size) || info.offset + info.size > INT64_MAX)
		return -EPROTO;
	*ret = (struct vmig_region){
		.index = info.index,
		.flags = info.flags & (VMIG_REGION_READ | VMIG_REGION_WRITE | VMIG_REGION_MMAP),
		.size = info.size,
		.fd = -1,
		.fd_offset = info.offset,
	};
	if (info.flags & VMIG_UAPI_REGION_INFO_FLAG_CAPS)
		r = parse_caps(&bytes, info.cap_offset, ret);
	return r;
}

/* Asked once with the plain struct, and again with as much room as the capabilities need. */
static int query_region(struct vmig_kernel *k, uint32_t index, struct vmig_error *error)
{
	struct vmig_uapi_region_info first = { .argsz = sizeof(first), .index = index };
	_autofree_ struct vmig_uapi_region_info *info = NULL;
	struct vmig_region *region = &k->regions[index];
	uint32_t room;
	int r;

	*region = (struct vmig_region){ .index = index, .fd = -1 };
	if (ioctl(k->device, VMIG_UAPI_DEVICE_GET_REGION_INFO, &first) < 0)
		return errno == EINVAL
			       ? 0 /* vfio-pci on the VGA region of what is no VGA device: not there */
			       : vmig_fault(error, -errno, "VFIO_DEVICE_GET_REGION_INFO",
					    "the kernel does not describe region %u", index);
	room = MAX(first.argsz, (uint32_t)sizeof(first));
	if (room > VMIG_LIMIT_REGION_INFO)
		return vmig_fault(error, -E2BIG, "VFIO_DEVICE_GET_REGION_INFO",
				  "region %u has %u bytes of capabilities; at most %u are taken", index, room,
				  VMIG_LIMIT_REGION_INFO);
	info = calloc(1, room);
	if (!info)
		return -ENOMEM;
	*info = (struct vmig_uapi_region_info){ .argsz = room, .index = index };
	if (ioctl(k->device, VMIG_UAPI_DEVICE_GET_REGION_INFO, info) < 0)
		return vmig_fault(error, -errno, "VFIO_DEVICE_GET_REGION_INFO",
				  "the kernel does not describe region %u", index);
	r = vmig_kernel_parse_region(info, room, region);
	if (r)
		return vmig_fault(error, r, "VFIO_DEVICE_GET_REGION_INFO",
				  "what the kernel says of region %u makes no sense", index);
	region->index = index;
	if (region->flags & VMIG_REGION_MMAP)
		region->fd = k->device;
	return 0;
}

int vmig_kernel_query_regions(struct vmig_kernel *k, struct vmig_error *error)
{
	k->regions = calloc(MAX(k->info.n_regions, 1u), sizeof(*k->regions));
	if (!k->regions)
		return -ENOMEM;
	for (uint32_t i = 0; i < k->info.n_regions; i++) {
		int r = query_region(k, i, error);

		if (r)
			return r;
	}
	return 0;
}

int vmig_kernel_query_region(void *p, uint32_t index, struct vmig_region *ret, struct vmig_error *error)
{
	struct vmig_kernel *k = p;

	*ret = k->regions[index];
	return 0;
}

/* The offset into the device's fd, or -EINVAL. */
static int64_t find(const struct vmig_region *region, uint64_t offset, size_t len, uint32_t wanted,
		    struct vmig_error *error)
{
	if (region->flags & wanted && offset <= region->size && len <= region->size - offset)
		return (int64_t)(region->fd_offset + offset);
	return vmig_fault(error, -EINVAL, "region",
			  "%zu bytes at %#llx of region %u (%llu bytes) cannot be %s", len,
			  (unsigned long long)offset, region->index, (unsigned long long)region->size,
			  wanted == VMIG_REGION_READ ? "read" : "written");
}

int vmig_kernel_region_read(void *p, uint32_t index, uint64_t offset, void *buf, size_t len,
			    struct vmig_error *error)
{
	struct vmig_kernel *k = p;
	int64_t at = find(&k->regions[index], offset, len, VMIG_REGION_READ, error);

	if (at < 0)
		return -EINVAL;
	for (size_t done = 0; done < len;) {
		ssize_t n = pread(k->device, (char *)buf + done, len - done, at + (int64_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return vmig_fault(error, n ? -errno : -EIO, "pread",
					  "region %u does not give %zu bytes at %#llx", index, len,
					  (unsigned long long)offset);
		done += (size_t)n;
	}
	return 0;
}

int vmig_kernel_region_write(void *p, uint32_t index, uint64_t offset, const void *buf, size_t len,
			     struct vmig_error *error)
{
	struct vmig_kernel *k = p;
	int64_t at = find(&k->regions[index], offset, len, VMIG_REGION_WRITE, error);

	if (at < 0)
		return -EINVAL;
	for (size_t done = 0; done < len;) {
		ssize_t n = pwrite(k->device, (const char *)buf + done, len - done, at + (int64_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return vmig_fault(error, n ? -errno : -EIO, "pwrite",
					  "region %u does not take %zu bytes at %#llx", index, len,
					  (unsigned long long)offset);
		done += (size_t)n;
	}
	return 0;
}
