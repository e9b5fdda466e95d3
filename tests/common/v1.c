/* SPDX-License-Identifier: BSD-3-Clause */
#include "v1.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/util.h"
#include "harness.h"

static void map_areas(struct v1 *v)
{
	for (uint32_t i = 0; i < v->region.n_areas; i++) {
		const struct vmig_area *area = &v->region.areas[i];

		v->maps[i] = mmap(NULL, area->size, PROT_READ | PROT_WRITE, MAP_SHARED, v->region.fd,
				  (off_t)(v->region.fd_offset + area->offset));
		ck_assert_ptr_ne(v->maps[i], MAP_FAILED);
	}
}

void v1_open(struct v1 *v, struct vmig_device *dev)
{
	struct vmig_device_info info;
	uint32_t found = UINT32_MAX;

	*v = (struct v1){ .dev = dev };
	vmig_device_query_info(dev, &info);
	for (uint32_t i = 0; i < info.n_regions; i++) {
		ck_assert_int_eq(vmig_device_query_region(dev, i, &v->region), 0);
		if (v->region.cap_type == 3 && v->region.cap_subtype == 1)
			found = i;
	}
	ck_assert_uint_ne(found, UINT32_MAX);
	ck_assert_int_eq(vmig_device_query_region(dev, found, &v->region), 0);
	if (v->region.flags & VMIG_REGION_MMAP)
		map_areas(v);
}

void v1_show(struct v1 *v, struct vmig_device *inner, const struct vmig_v1_config *config)
{
	struct vmig_device *dev;

	ck_assert_int_eq(vmig_show_v1(inner, config, &dev), 0);
	v1_open(v, dev);
}

void v1_close(struct v1 *v)
{
	for (uint32_t i = 0; i < v->region.n_areas; i++)
		if (v->maps[i])
			munmap(v->maps[i], v->region.areas[i].size);
	vmig_device_close(v->dev);
}

/* --- registers ---------------------------------------------------------------------------- */

int v1_get32(struct v1 *v, uint64_t offset, uint32_t *ret)
{
	return vmig_device_region_read(v->dev, v->region.index, offset, ret, sizeof(*ret));
}

int v1_get64(struct v1 *v, uint64_t offset, uint64_t *ret)
{
	return vmig_device_region_read(v->dev, v->region.index, offset, ret, sizeof(*ret));
}

int v1_put32(struct v1 *v, uint64_t offset, uint32_t value)
{
	return vmig_device_region_write(v->dev, v->region.index, offset, &value, sizeof(value));
}

int v1_put64(struct v1 *v, uint64_t offset, uint64_t value)
{
	return vmig_device_region_write(v->dev, v->region.index, offset, &value, sizeof(value));
}

uint32_t v1_state(struct v1 *v)
{
	uint32_t state;

	ck_assert_int_eq(v1_get32(v, V1_DEVICE_STATE, &state), 0);
	return state;
}

void v1_write_state(struct v1 *v, uint32_t state)
{
	struct vmig_error error;
	int r = v1_put32(v, V1_DEVICE_STATE, state);

	vmig_device_query_error(v->dev, &error);
	ck_assert_msg(!r, "device_state %u: %d: %s", state, r, error.text);
}

static uint64_t get(struct v1 *v, uint64_t offset)
{
	struct vmig_error error;
	uint64_t value;
	int r = v1_get64(v, offset, &value);

	vmig_device_query_error(v->dev, &error);
	ck_assert_msg(!r, "register %u: %d: %s", (unsigned int)offset, r, error.text);
	return value;
}

uint64_t v1_pending(struct v1 *v)
{
	return get(v, V1_PENDING_BYTES);
}

uint64_t v1_offset(struct v1 *v)
{
	return get(v, V1_DATA_OFFSET);
}

uint64_t v1_size(struct v1 *v)
{
	return get(v, V1_DATA_SIZE);
}

/* --- the data section --------------------------------------------------------------------- */

/** Where @offset is mapped, or NULL; *len is cut to what is alike. */
static uint8_t *find_map(struct v1 *v, uint64_t offset, size_t *len)
{
	for (uint32_t i = 0; i < v->region.n_areas; i++) {
		const struct vmig_area *area = &v->region.areas[i];

		if (!v->maps[i])
			continue;
		if (offset >= area->offset && offset < area->offset + area->size) {
			*len = MIN(*len, area->offset + area->size - offset);
			return v->maps[i] + (offset - area->offset);
		}
		if (offset < area->offset)
			*len = MIN(*len, area->offset - offset);
	}
	if (v->piece)
		*len = MIN(*len, v->piece);
	return NULL;
}

void v1_section_read(struct v1 *v, uint64_t offset, void *buf, size_t len)
{
	for (size_t done = 0, n; done < len; done += n) {
		uint8_t *to = (uint8_t *)buf + done, *map;

		n = len - done;
		map = find_map(v, offset + done, &n);
		if (map)
			memcpy(to, map, n);
		else
			ck_assert_int_eq(
				vmig_device_region_read(v->dev, v->region.index, offset + done, to, n), 0);
	}
}

void v1_section_write(struct v1 *v, uint64_t offset, const void *buf, size_t len)
{
	for (size_t done = 0, n; done < len; done += n) {
		const uint8_t *from = (const uint8_t *)buf + done;
		uint8_t *map;

		n = len - done;
		map = find_map(v, offset + done, &n);
		if (map)
			memcpy(map, from, n);
		else
			ck_assert_int_eq(
				vmig_device_region_write(v->dev, v->region.index, offset + done, from, n), 0);
	}
}

/* --- the sequences ------------------------------------------------------------------------ */

void v1_stream_free(struct v1_stream *s)
{
	free(s->data);
	free(s->sizes);
	*s = (struct v1_stream){ 0 };
}

static uint8_t *add_transaction(struct v1_stream *s, size_t len)
{
	if (s->len + len > s->room) {
		s->room = 2 * (s->len + len);
		s->data = realloc(s->data, s->room);
	}
	if (s->n == s->n_room) {
		s->n_room = 2 * s->n + 16;
		s->sizes = reallocarray(s->sizes, s->n_room, sizeof(*s->sizes));
	}
	ck_assert(s->data && s->sizes);
	s->sizes[s->n++] = len;
	s->len += len;
	return s->data + s->len - len;
}

size_t v1_save(struct v1 *v, struct v1_stream *s, size_t max)
{
	size_t n = 0;

	while (n < max) {
		uint64_t pending = v1_pending(v), offset, size;

		if (!pending)
			break;
		offset = v1_offset(v);
		size = v1_size(v);
		ck_assert_uint_gt(size, 0);
		ck_assert_uint_le(size, pending);
		ck_assert_uint_ge(offset, 32);
		ck_assert_uint_le(offset, v->region.size);
		ck_assert_uint_le(size, v->region.size - offset);
		v1_section_read(v, offset, add_transaction(s, size), size);
		n++;
	}
	return n;
}

/** One transaction; if the section is smaller than the source's was, in several, as QEMU 7.2 does it. */
static int load_transaction(struct v1 *v, const uint8_t *data, size_t len)
{
	int r;

	do {
		uint64_t offset = v1_offset(v);
		size_t n = MIN(len, v->region.size - offset);

		v1_section_write(v, offset, data, n);
		r = v1_put64(v, V1_DATA_SIZE, n);
		data += n;
		len -= n;
	} while (len && !r);
	return r;
}

int v1_try_load(struct v1 *v, const struct v1_stream *s)
{
	const uint8_t *data = s->data;
	int r = 0;

	for (size_t i = 0; i < s->n && !r; i++) {
		r = load_transaction(v, data, s->sizes[i]);
		data += s->sizes[i];
	}
	return r;
}

void v1_load(struct v1 *v, const struct v1_stream *s)
{
	int r = v1_try_load(v, s);
	struct vmig_error error;

	vmig_device_query_error(v->dev, &error);
	ck_assert_msg(!r, "data_size: %d: %s", r, error.text);
}
