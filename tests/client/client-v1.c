/* SPDX-License-Identifier: BSD-3-Clause */
/* The migration region of v1. The file: the size of a transaction, its data; and so on; then a size of 0. */
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client.h"

#define REGION_MAX (16u << 20)

struct section {
	uint64_t offset, size; /* of the region, in the device's file */
	uint64_t map_offset, map_size;
	uint8_t *map; /* NULL: the data section cannot be mapped */
	int device;
};

static void look_at_caps(struct section *section, uint8_t *buf, uint32_t at, bool *ret_is_v1)
{
	while (at) {
		struct vmig_uapi_info_cap_header *head = (void *)(buf + at);

		if (head->id == VMIG_UAPI_REGION_INFO_CAP_TYPE) {
			struct vmig_uapi_region_info_cap_type *type = (void *)head;

			*ret_is_v1 = type->type == VMIG_UAPI_REGION_TYPE_MIGRATION_DEPRECATED &&
				     type->subtype == VMIG_UAPI_REGION_SUBTYPE_MIGRATION_DEPRECATED;
		} else if (head->id == VMIG_UAPI_REGION_INFO_CAP_SPARSE_MMAP) {
			struct vmig_uapi_region_sparse_mmap_area *area =
				(void *)(buf + at + sizeof(struct vmig_uapi_region_info_cap_sparse_mmap));

			section->map_offset = area->offset;
			section->map_size = area->size;
		}
		at = head->next;
	}
}

static bool is_v1(struct section *section, uint32_t index)
{
	uint8_t buf[4096] __attribute__((aligned(8))) = { 0 };
	struct vmig_uapi_region_info *info = (void *)buf;
	bool found = false;

	info->argsz = sizeof(buf);
	info->index = index;
	if (ioctl(section->device, VMIG_UAPI_DEVICE_GET_REGION_INFO, info) ||
	    !(info->flags & VMIG_UAPI_REGION_INFO_FLAG_CAPS))
		return false;
	section->offset = info->offset;
	section->size = info->size;
	look_at_caps(section, buf, info->cap_offset, &found);
	return found;
}

static void find(struct section *section, int device)
{
	struct vmig_uapi_device_info info = { .argsz = sizeof(info) };
	uint32_t i;

	*section = (struct section){ .device = device };
	MUST(!ioctl(device, VMIG_UAPI_DEVICE_GET_INFO, &info));
	for (i = 0; i < info.num_regions && !is_v1(section, i); i++)
		;
	MUST(i < info.num_regions);
	if (!section->map_size)
		return;
	section->map = mmap(NULL, section->map_size, PROT_READ | PROT_WRITE, MAP_SHARED, device,
			    (off_t)(section->offset + section->map_offset));
	MUST(section->map != MAP_FAILED);
}

#define REGISTER(name) offsetof(struct vmig_uapi_device_migration_info, name)

static uint64_t get(const struct section *section, size_t reg, size_t len)
{
	uint64_t value = 0;

	MUST(pread(section->device, &value, len, (off_t)(section->offset + reg)) == (ssize_t)len);
	return value;
}

static void put(const struct section *section, size_t reg, uint64_t value, size_t len)
{
	MUST(pwrite(section->device, &value, len, (off_t)(section->offset + reg)) == (ssize_t)len);
}

static void set_state(const struct section *section, uint32_t state)
{
	put(section, REGISTER(device_state), state, 4);
}

static bool is_mapped(const struct section *section, uint64_t offset, uint64_t size)
{
	return section->map && offset >= section->map_offset &&
	       offset + size <= section->map_offset + section->map_size;
}

static void move(const struct section *section, uint64_t offset, uint8_t *data, uint64_t size, bool out)
{
	uint8_t *mapped = section->map + (offset - section->map_offset);
	uint64_t at = section->offset + offset;

	if (is_mapped(section, offset, size) && out)
		memcpy(data, mapped, size);
	else if (is_mapped(section, offset, size))
		memcpy(mapped, data, size);
	else if (out)
		MUST(pread(section->device, data, size, (off_t)at) == (ssize_t)size);
	else
		MUST(pwrite(section->device, data, size, (off_t)at) == (ssize_t)size);
}

/* One iteration of the text; false: there is nothing now. */
static bool save_one(const struct section *section, uint8_t *data, FILE *to)
{
	uint64_t offset, size;

	if (!get(section, REGISTER(pending_bytes), 8))
		return false;
	offset = get(section, REGISTER(data_offset), 8);
	size = get(section, REGISTER(data_size), 8);
	MUST(size && size <= section->size && offset <= section->size - size && size <= REGION_MAX);
	move(section, offset, data, size, true);
	MUST(fwrite(&size, sizeof(size), 1, to) == 1 && fwrite(data, size, 1, to) == 1);
	return true;
}

void v1_save(struct client *client, FILE *to)
{
	uint8_t *data = malloc(REGION_MAX);
	struct section section;
	uint64_t end = 0;
	int rounds = 0;

	MUST(data);
	find(&section, client->device);
	set_state(&section, VMIG_UAPI_DEVICE_STATE_V1_RUNNING | VMIG_UAPI_DEVICE_STATE_V1_SAVING);
	while (rounds++ < 100 && save_one(&section, data, to))
		;
	set_state(&section, VMIG_UAPI_DEVICE_STATE_V1_SAVING);
	while (save_one(&section, data, to))
		;
	set_state(&section, VMIG_UAPI_DEVICE_STATE_V1_STOP);
	MUST(fwrite(&end, sizeof(end), 1, to) == 1);
	if (section.map)
		munmap(section.map, section.map_size);
	free(data);
}

void v1_load(struct client *client, FILE *from)
{
	uint8_t *data = malloc(REGION_MAX);
	struct section section;
	uint64_t size;

	MUST(data);
	find(&section, client->device);
	set_state(&section, VMIG_UAPI_DEVICE_STATE_V1_RESUMING);
	while (fread(&size, sizeof(size), 1, from) == 1 && size) {
		uint64_t offset = get(&section, REGISTER(data_offset), 8);

		MUST(size <= section.size && offset <= section.size - size && size <= REGION_MAX);
		MUST(fread(data, size, 1, from) == 1);
		move(&section, offset, data, size, false);
		put(&section, REGISTER(data_size), size, 8);
	}
	if (section.map)
		munmap(section.map, section.map_size);
	free(data);
}

void v1_run(struct client *client)
{
	struct section section;

	find(&section, client->device);
	set_state(&section, VMIG_UAPI_DEVICE_STATE_V1_RUNNING);
	if (section.map)
		munmap(section.map, section.map_size);
}
