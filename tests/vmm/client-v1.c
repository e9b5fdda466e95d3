/* SPDX-License-Identifier: BSD-3-Clause */
/* The migration region: the order of saving and of resuming as the v1 text has it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <vmig/uapi.h>

#include "client.h"

#define SECTION_MAX (16u << 20)

#define STATE   offsetof(struct vmig_uapi_device_migration_info, device_state)
#define PENDING offsetof(struct vmig_uapi_device_migration_info, pending_bytes)
#define OFFSET  offsetof(struct vmig_uapi_device_migration_info, data_offset)
#define SIZE    offsetof(struct vmig_uapi_device_migration_info, data_size)

static uint64_t find_region(struct client *c)
{
	struct vmig_uapi_device_info info = { .argsz = sizeof(info) };
	uint64_t offset, size;
	uint32_t type;

	need(!ioctl(c->fd, VMIG_UAPI_DEVICE_GET_INFO, &info), "GET_INFO");
	for (uint32_t i = VMIG_UAPI_PCI_NUM_REGIONS; i < info.num_regions; i++) {
		client_region(c, i, &offset, &size, &type);
		if (type == VMIG_UAPI_REGION_TYPE_MIGRATION_DEPRECATED)
			return offset;
	}
	fail("there is no migration region");
}

static uint64_t get(struct client *c, uint64_t region, size_t at)
{
	uint64_t value;

	need(pread(c->fd, &value, sizeof(value), (off_t)(region + at)) == sizeof(value),
	     "read a v1 register");
	return value;
}

static void set_state(struct client *c, uint64_t region, uint32_t state)
{
	need(pwrite(c->fd, &state, sizeof(state), (off_t)(region + STATE)) == sizeof(state), "device_state");
}

static void save_once(struct client *c, uint64_t region, int to)
{
	uint64_t offset = get(c, region, OFFSET), size = get(c, region, SIZE);
	uint8_t *buf = malloc(size);

	if (!size || size > SECTION_MAX)
		fail("a data_size of %llu", (unsigned long long)size);
	need(buf && pread(c->fd, buf, size, (off_t)(region + offset)) == (ssize_t)size,
	     "read the data section");
	client_put(to, &size, sizeof(size));
	client_put(to, buf, size);
	free(buf);
}

void client_save_v1(struct client *c, int to)
{
	uint64_t region = find_region(c), end = 0;

	set_state(c, region, VMIG_UAPI_DEVICE_STATE_V1_RUNNING | VMIG_UAPI_DEVICE_STATE_V1_SAVING);
	for (int i = 0; i < 4 && get(c, region, PENDING); i++)
		save_once(c, region, to);
	set_state(c, region, VMIG_UAPI_DEVICE_STATE_V1_SAVING);
	while (get(c, region, PENDING))
		save_once(c, region, to);
	client_put(to, &end, sizeof(end));
	set_state(c, region, VMIG_UAPI_DEVICE_STATE_V1_STOP);
}

void client_load_v1(struct client *c, int from)
{
	uint64_t region = find_region(c), len, offset;
	uint8_t *buf = malloc(SECTION_MAX);

	need(buf, "memory");
	set_state(c, region, VMIG_UAPI_DEVICE_STATE_V1_RESUMING);
	for (client_get(from, &len, sizeof(len)); len; client_get(from, &len, sizeof(len))) {
		if (len > SECTION_MAX)
			fail("a transaction of %llu bytes", (unsigned long long)len);
		client_get(from, buf, len);
		offset = get(c, region, OFFSET);
		need(pwrite(c->fd, buf, len, (off_t)(region + offset)) == (ssize_t)len,
		     "write the data section");
		need(pwrite(c->fd, &len, sizeof(len), (off_t)(region + SIZE)) == sizeof(len), "data_size");
	}
	set_state(c, region, VMIG_UAPI_DEVICE_STATE_V1_RUNNING);
	free(buf);
}
