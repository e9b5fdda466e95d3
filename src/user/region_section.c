/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The registers of a migration region, and its data section, which can be reached in three ways: mapped; through the
 * descriptor by pread and pwrite, where a mapping could lose its ground (a file that somebody else may shorten is a
 * SIGBUS to whoever has mapped it); and by accesses to the region, which always works.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "user/region.h"

/* --- registers ---------------------------------------------------------------------------- */

static const char *register_name(uint32_t offset)
{
	switch (offset) {
	case VMIG_V1U_DEVICE_STATE:
		return "v1 device_state";
	case VMIG_V1U_PENDING_BYTES:
		return "v1 pending_bytes";
	case VMIG_V1U_DATA_OFFSET:
		return "v1 data_offset";
	default:
		return "v1 data_size";
	}
}

/* What the device said, as an error of the register. */
static int failed(struct vmig_v1u *v, uint32_t offset, const char *what, int r, struct vmig_error *error)
{
	struct vmig_error said = { 0 };

	vmig_v1u_keep(v, r, &said);
	return vmig_fault(error, r, register_name(offset), "the device fails the %s: %.200s", what,
			  said.text);
}

static int get(struct vmig_v1u *v, uint32_t offset, void *ret, size_t width, struct vmig_error *error)
{
	int r = vmig_device_region_read(v->dev, v->region.index, offset, ret, width);

	return r < 0 ? failed(v, offset, "read", r, error) : 0;
}

static int put(struct vmig_v1u *v, uint32_t offset, const void *value, size_t width, struct vmig_error *error)
{
	int r = vmig_device_region_write(v->dev, v->region.index, offset, value, width);

	return r < 0 ? failed(v, offset, "write", r, error) : 0;
}

int vmig_v1u_read_state(struct vmig_v1u *v, uint32_t *ret, struct vmig_error *error)
{
	return get(v, VMIG_V1U_DEVICE_STATE, ret, sizeof(*ret), error);
}

int vmig_v1u_write_state(struct vmig_v1u *v, uint32_t value, struct vmig_error *error)
{
	return put(v, VMIG_V1U_DEVICE_STATE, &value, sizeof(value), error);
}

int vmig_v1u_read(struct vmig_v1u *v, uint32_t offset, uint64_t *ret, struct vmig_error *error)
{
	return get(v, offset, ret, sizeof(*ret), error);
}

int vmig_v1u_write(struct vmig_v1u *v, uint32_t offset, uint64_t value, struct vmig_error *error)
{
	return put(v, offset, &value, sizeof(value), error);
}

int vmig_v1u_pending(struct vmig_v1u *v, uint64_t *ret, struct vmig_error *error)
{
	int r = vmig_v1u_read(v, VMIG_V1U_PENDING_BYTES, ret, error);

	if (r < 0)
		return r;
	v->untold = false;
	if (*ret > INT64_MAX)
		return vmig_fault(error, -EPROTO, "v1 pending_bytes", "%#llx bytes cannot be",
				  (unsigned long long)*ret);
	return 0;
}

int vmig_v1u_data_offset(struct vmig_v1u *v, uint64_t *ret, struct vmig_error *error)
{
	int r = vmig_v1u_read(v, VMIG_V1U_DATA_OFFSET, ret, error);

	if (r < 0)
		return r;
	if (*ret < VMIG_V1U_REGISTERS || *ret >= v->region.size)
		return vmig_fault(error, -EPROTO, "v1 data_offset",
				  "offset %#llx is not in the data section: the region has %#llx bytes",
				  (unsigned long long)*ret, (unsigned long long)v->region.size);
	return 0;
}

/* --- areas -------------------------------------------------------------------------------- */

/* A device's own file does not shrink; a file in memory does, unless that is sealed. */
static bool may_shrink(int fd)
{
	struct stat st;
	int seals;

	if (fstat(fd, &st) < 0)
		return true;
	if (!S_ISREG(st.st_mode))
		return false;
	seals = fcntl(fd, F_GET_SEALS);
	return seals < 0 || !(seals & F_SEAL_SHRINK);
}

static void add_area(struct vmig_v1u *v, uint64_t offset, uint64_t size)
{
	const struct vmig_region *region = &v->region;
	struct vmig_v1u_area *area = &v->areas[v->n_areas];
	uint64_t at;

	if (!size || offset > region->size || size > region->size - offset || size > SIZE_MAX / 2 ||
	    __builtin_add_overflow(region->fd_offset, offset, &at) || at > (uint64_t)INT64_MAX - size)
		return;
	*area = (struct vmig_v1u_area){ .offset = offset, .size = size };
	if (!may_shrink(region->fd)) {
		void *mem =
			mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, region->fd, (off_t)at);

		/* What cannot be mapped can still be read and written. */
		if (mem == MAP_FAILED)
			return;
		area->mem = mem;
	}
	v->n_areas++;
}

void vmig_v1u_section_open(struct vmig_v1u *v)
{
	const struct vmig_region *region = &v->region;

	if (!(region->flags & VMIG_REGION_MMAP) || region->fd < 0)
		return;
	if (!region->n_areas)
		add_area(v, 0, region->size);
	for (uint32_t i = 0; i < region->n_areas && i < VMIG_REGION_AREAS_MAX; i++)
		add_area(v, region->areas[i].offset, region->areas[i].size);
}

void vmig_v1u_section_close(struct vmig_v1u *v)
{
	for (uint32_t i = 0; i < v->n_areas; i++)
		if (v->areas[i].mem)
			munmap(v->areas[i].mem, (size_t)v->areas[i].size);
	v->n_areas = 0;
}

/* --- copies ------------------------------------------------------------------------------- */

/* The area at @offset, or NULL; *len is cut to what lies in one piece, in the area or out of all. */
static const struct vmig_v1u_area *find(const struct vmig_v1u *v, uint64_t offset, size_t *len)
{
	for (uint32_t i = 0; i < v->n_areas; i++) {
		const struct vmig_v1u_area *area = &v->areas[i];

		if (offset >= area->offset && offset - area->offset < area->size) {
			*len = (size_t)MIN(*len, area->size - (offset - area->offset));
			return area;
		}
		if (area->offset > offset)
			*len = (size_t)MIN(*len, area->offset - offset);
	}
	return NULL;
}

bool vmig_v1u_section_is_direct(const struct vmig_v1u *v, uint64_t offset, uint64_t len)
{
	size_t piece = (size_t)len;

	return find(v, offset, &piece) && piece == len;
}

/* All of it through the descriptor. */
static int file_copy(struct vmig_v1u *v, uint64_t offset, void *buf, size_t len, bool write,
		     struct vmig_error *error)
{
	off_t at = (off_t)(v->region.fd_offset + offset);

	for (size_t done = 0; done < len;) {
		char *to = (char *)buf + done;
		ssize_t n = write ? pwrite(v->region.fd, to, len - done, at + (off_t)done)
				  : pread(v->region.fd, to, len - done, at + (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return vmig_fault(error, n ? -errno : -EPROTO, "v1 data section",
					  "the file of the region gives out at %#llx",
					  (unsigned long long)(offset + done));
		done += (size_t)n;
	}
	return 0;
}

static int area_copy(struct vmig_v1u *v, const struct vmig_v1u_area *area, uint64_t offset, void *buf,
		     size_t len, bool write, struct vmig_error *error)
{
	char *mem;

	if (!area->mem)
		return file_copy(v, offset, buf, len, write, error);
	mem = (char *)area->mem + (offset - area->offset);
	if (write)
		memcpy(mem, buf, len);
	else
		memcpy(buf, mem, len);
	return 0;
}

static int region_copy(struct vmig_v1u *v, uint64_t offset, void *buf, size_t len, bool write,
		       struct vmig_error *error)
{
	int r = write ? vmig_device_region_write(v->dev, v->region.index, offset, buf, len)
		      : vmig_device_region_read(v->dev, v->region.index, offset, buf, len);

	return vmig_v1u_keep(v, r, error);
}

static int copy(struct vmig_v1u *v, uint64_t offset, void *buf, size_t len, bool write,
		struct vmig_error *error)
{
	char *at = buf;
	int r = 0;

	while (len && !r) {
		size_t piece = len;
		const struct vmig_v1u_area *area = find(v, offset, &piece);

		r = area ? area_copy(v, area, offset, at, piece, write, error)
			 : region_copy(v, offset, at, piece, write, error);
		at += piece;
		offset += piece;
		len -= piece;
	}
	return r;
}

int vmig_v1u_section_read(struct vmig_v1u *v, uint64_t offset, void *buf, size_t len,
			  struct vmig_error *error)
{
	return copy(v, offset, buf, len, false, error);
}

int vmig_v1u_section_write(struct vmig_v1u *v, uint64_t offset, const void *buf, size_t len,
			   struct vmig_error *error)
{
	return copy(v, offset, (void *)(uintptr_t)buf, len, true, error);
}
