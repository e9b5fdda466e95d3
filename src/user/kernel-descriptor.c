/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A kernel device's descriptor, from sysfs: nothing in the kernel publishes one. What must be the same is what the driver
 * would not take from another device: ids, driver, mediated type and its attributes. The driver's version, where it has one
 * of x.y.z, goes by that rule; what only describes the instance is accepted in any form.
 */
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "user/kernel.h"

#define TEXT_MAX 200

/** The first line of a file; false: there is none, or it is no text. */
static bool read_line(const char *dir, const char *name, char ret[TEXT_MAX])
{
	char path[PATH_MAX];
	_autoclose_ int fd = -1;
	ssize_t n;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, name) >= sizeof(path))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, ret, TEXT_MAX - 1);
	if (n <= 0)
		return false;
	ret[n] = '\0';
	ret[strcspn(ret, "\n")] = '\0';
	for (const char *at = ret; *at; at++)
		if (*at < ' ' || *at > '~' || *at == ',')
			return false;
	return *ret;
}

/** Into both lists: what the device has is what it accepts. */
static void put(json_t *self, json_t *accepted, const char *name, const char *value)
{
	json_object_set_new(self, name, json_string(value));
	json_object_set_new(accepted, name, json_string(value));
}

/** What another device may have as it likes. */
static void put_any(json_t *self, json_t *accepted, const char *name, json_t *value)
{
	json_object_set_new(self, name, value);
	json_object_set_new(accepted, name, json_pack("{s:b}", "any", 1));
}

/* "0x15b3" and "0x101e" are 15b3101e. */
static void put_ids(const char *dir, json_t *self, json_t *accepted)
{
	static const char *const rows[][3] = { { "vendor", "device", "pciid" },
					       { "subsystem_vendor", "subsystem_device", "subsystem" } };
	char a[TEXT_MAX], b[TEXT_MAX], id[16];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (!read_line(dir, rows[i][0], a) || !read_line(dir, rows[i][1], b) || strlen(a) != 6 ||
		    strlen(b) != 6)
			continue;
		snprintf(id, sizeof(id), "%.4s%.4s", a + 2, b + 2);
		put(self, accepted, rows[i][2], id);
	}
}

static bool is_version(const char *text)
{
	for (unsigned int parts = 1; parts <= 3; parts++) {
		size_t digits = strspn(text, "0123456789");

		/* What does not fit is no number of a version: then it is a text. */
		if (!digits || digits > 9)
			return false;
		text += digits;
		if (!*text)
			return true;
		if (*text++ != '.')
			return false;
	}
	return false;
}

static void put_driver(const char *dir, json_t *self, json_t *accepted)
{
	char driver[NAME_MAX + 1], version[TEXT_MAX];

	if (!vmig_kernel_link_word(dir, "driver", driver, sizeof(driver)))
		put(self, accepted, "driver", driver);
	/* A mediated device's type is its parent's module's. */
	if (!read_line(dir, "driver/module/version", version) &&
	    !read_line(dir, "../driver/module/version", version))
		return;
	put(self, accepted, is_version(version) ? "version" : "driver_version", version);
}

/* The attributes of a mediated device that say how much of its type it is: i915 has had an aggregator. */
static void put_mdev(const char *dir, json_t *self, json_t *accepted)
{
	static const char *const rows[][2] = { { "mdev_type/device_api", "device_api" },
					       { "mdev_type/description", "description" },
					       { "aggregator", "aggregator" } };
	char text[TEXT_MAX];

	if (vmig_kernel_link_word(dir, "mdev_type", text, sizeof(text)))
		return;
	put(self, accepted, "mdev_type", text);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (read_line(dir, rows[i][0], text))
			put(self, accepted, rows[i][1], text);
}

static json_t *migration_json(uint64_t flags)
{
	static const char *const names[] = { "stop-copy", "p2p", "pre-copy" };
	json_t *array = json_array();

	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++)
		if (flags & 1ull << i)
			json_array_append_new(array, json_string(names[i]));
	return array;
}

int vmig_kernel_descriptor(const char *dir, uint64_t migration_flags, const uint64_t *stop_copy_size,
			   char **ret)
{
	json_t *self = json_object(), *accepted = json_object(), *root;

	put_ids(dir, self, accepted);
	put_driver(dir, self, accepted);
	put_mdev(dir, self, accepted);
	if (migration_flags & 7) /* those that have names: an empty set is none */
		put_any(self, accepted, "migration", migration_json(migration_flags));
	if (stop_copy_size && *stop_copy_size <= INT64_MAX)
		put_any(self, accepted, "stop-copy-size", json_integer((json_int_t)*stop_copy_size));
	root = json_pack("{s:[o], s:[o]}", "self", self, "compatible", accepted);
	*ret = root ? json_dumps(root, 0) : NULL;
	json_decref(root);
	return *ret ? 0 : -ENOMEM;
}
