/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * record - what the user of a device sends along with it: sections, each with a type and a length. Little-endian.
 *
 *	"VMUR" u16 version u16 0, then sections of u32 type, u32 length and so many bytes
 */
#ifndef VMIG_TOOLS_RECORD_H
#define VMIG_TOOLS_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include <vmig/device.h>

enum tool_section {
	TOOL_SECTION_CONFIG = 1,   /* PCI config space */
	TOOL_SECTION_WORKLOAD = 2, /* what the workload needs to go on */
};

struct tool_record {
	uint8_t *bytes;
	size_t len;
};

/** Add a section; the first call makes the record. -ENOMEM: the record is as before. */
int tool_record_add(struct tool_record *record, enum tool_section type, const void *bytes, size_t len);
/** Find a section: 1, and where it lies; 0: there is none; -EBADMSG: not a record. */
int tool_record_find(const void *bytes, size_t len, enum tool_section type, const void **ret,
		     size_t *ret_len);

/** Add the config space of @dev, if it has one. 0 or what the device says. */
int tool_record_add_config(struct tool_record *record, struct vmig_device *dev);
/**
 * Write a config space back: addresses, interrupt line and command, where they differ. -EINVAL, with *ret_why:
 * it is another device's; else what the device says.
 */
int tool_record_load_config(const void *config, size_t len, struct vmig_device *dev, const char **ret_why);

#endif
