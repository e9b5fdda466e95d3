/* SPDX-License-Identifier: BSD-3-Clause */
#include "record.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_LEN    8u
#define SECTION_LEN 8u
#define VERSION     1u
#define CONFIG_MAX  4096u

/* Offsets in PCI config space. */
#define PCI_COMMAND        0x04u
#define PCI_BARS           0x10u
#define PCI_BARS_END       0x28u
#define PCI_ROM            0x30u
#define PCI_INTERRUPT_LINE 0x3cu
#define PCI_HEADER_LEN     0x40u

static void put32(uint8_t *to, uint32_t v)
{
	v = htole32(v);
	memcpy(to, &v, sizeof(v));
}

static uint32_t get32(const uint8_t *from)
{
	uint32_t v;

	memcpy(&v, from, sizeof(v));
	return le32toh(v);
}

int tool_record_add(struct tool_record *record, enum tool_section type, const void *bytes, size_t len)
{
	size_t at = record->len ? record->len : HEAD_LEN;
	uint8_t *more;

	if (len > UINT32_MAX)
		return -E2BIG;
	more = realloc(record->bytes, at + SECTION_LEN + len);
	if (!more)
		return -ENOMEM;
	if (!record->len) {
		memcpy(more, "VMUR", 4);
		put32(more + 4, VERSION);
	}
	put32(more + at, type);
	put32(more + at + 4, (uint32_t)len);
	if (len)
		memcpy(more + at + SECTION_LEN, bytes, len);
	record->bytes = more;
	record->len = at + SECTION_LEN + len;
	return 0;
}

int tool_record_find(const void *bytes, size_t len, enum tool_section type, const void **ret, size_t *ret_len)
{
	const uint8_t *at = bytes, *end = at + len;

	if (len < HEAD_LEN || memcmp(at, "VMUR", 4) || get32(at + 4) != VERSION)
		return -EBADMSG;
	for (at += HEAD_LEN; at < end;) {
		uint32_t section_len;

		if ((size_t)(end - at) < SECTION_LEN)
			return -EBADMSG;
		section_len = get32(at + 4);
		if (section_len > (size_t)(end - at) - SECTION_LEN)
			return -EBADMSG;
		if (get32(at) == (uint32_t)type) {
			*ret = at + SECTION_LEN;
			*ret_len = section_len;
			return 1;
		}
		at += SECTION_LEN + section_len;
	}
	return 0;
}

int tool_record_add_config(struct tool_record *record, struct vmig_device *dev)
{
	uint8_t config[CONFIG_MAX];
	struct vmig_region region;
	size_t len;
	int r;

	if (vmig_device_query_region(dev, VMIG_REGION_PCI_CONFIG, &region) || !region.size)
		return 0;
	len = region.size < CONFIG_MAX ? region.size : CONFIG_MAX;
	r = vmig_device_region_read(dev, VMIG_REGION_PCI_CONFIG, 0, config, len);
	return r ? r : tool_record_add(record, TOOL_SECTION_CONFIG, config, len);
}

/* A register that has its value already is left alone: some writes have an effect of their own. */
static int put_back(struct vmig_device *dev, const uint8_t *config, uint32_t offset, uint32_t len)
{
	uint8_t now[4];
	int r = vmig_device_region_read(dev, VMIG_REGION_PCI_CONFIG, offset, now, len);

	if (r || !memcmp(now, config + offset, len))
		return r;
	return vmig_device_region_write(dev, VMIG_REGION_PCI_CONFIG, offset, config + offset, len);
}

int tool_record_load_config(const void *bytes, size_t len, struct vmig_device *dev, const char **ret_why)
{
	const uint8_t *config = bytes;
	struct vmig_region region;
	uint8_t id[4];
	int r;

	*ret_why = "the config space cannot be written";
	if (len < PCI_HEADER_LEN || vmig_device_query_region(dev, VMIG_REGION_PCI_CONFIG, &region) ||
	    region.size < PCI_HEADER_LEN) {
		*ret_why = "a PCI config space came, and the device has none";
		return -EINVAL;
	}
	r = vmig_device_region_read(dev, VMIG_REGION_PCI_CONFIG, 0, id, sizeof(id));
	if (!r && memcmp(id, config, sizeof(id))) {
		*ret_why = "the PCI config space is one of another device";
		return -EINVAL;
	}
	for (uint32_t at = PCI_BARS; !r && at < PCI_BARS_END; at += 4)
		r = put_back(dev, config, at, 4);
	if (!r)
		r = put_back(dev, config, PCI_ROM, 4);
	if (!r)
		r = put_back(dev, config, PCI_INTERRUPT_LINE, 1);
	/* The command register last: it makes the addresses count. */
	return r ? r : put_back(dev, config, PCI_COMMAND, 2);
}
