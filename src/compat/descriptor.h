/* SPDX-License-Identifier: BSD-3-Clause */
/** descriptor - what a descriptor says, once it has been read. Private to the folder. */
#ifndef VMIG_COMPAT_DESCRIPTOR_H
#define VMIG_COMPAT_DESCRIPTOR_H

#include <vmig/compat.h>

#include "base/limits.h"
#include "base/util.h"

struct vmig_version {
	uint64_t major, minor, bugfix;
};

/** What an attribute has, or what is accepted of it. */
struct vmig_value {
	enum vmig_value_kind {
		VMIG_VALUE_SET,     /* @items, sorted, each once; a plain value is a set of one */
		VMIG_VALUE_VERSION, /* @version */
		VMIG_VALUE_RANGE,   /* @min to @max, both included */
		VMIG_VALUE_ANY,
	} kind;
	char **items;
	size_t n_items;
	struct vmig_version version;
	int64_t min, max;
	char *text; /* as a person reads it */
};

struct vmig_attribute {
	char *name;
	struct vmig_value value;
};

/** One device, or one kind of device that is accepted. */
struct vmig_entry {
	struct vmig_attribute *attributes; /* sorted by name */
	size_t n;
};

struct vmig_entries {
	struct vmig_entry *entries;
	size_t n;
	bool published; /* the list is there, perhaps empty */
};

struct vmig_descriptor {
	struct vmig_entries self, compatible;
};

/** "1.4.2", "1.4" or "1", with or without a leading v. False: it is none. */
bool vmig_version_parse(const char *text, struct vmig_version *ret);
/** The whole of @text is a decimal number. */
bool vmig_number_parse(const char *text, int64_t *ret);
const struct vmig_attribute *vmig_entry_find(const struct vmig_entry *entry, const char *name);

#endif
