/* SPDX-License-Identifier: BSD-3-Clause */
#include "open-v1.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <vmig/uapi.h>

#include "models/parse.h"

#define DRIVE         "v1+"
#define DRIVE_TRAPPED "v1-no-mmap+"
#define ERRNO_MAX     133 /* EHWPOISON, the last that Linux has */

/* --- v1-fault=REGISTER[=VALUE]:ERRNO[:once] ------------------------------------------------ */

struct v1_fault {
	struct v1_fault *next; /* of all that there are: they live as long as the process */
	uint64_t offset, value;
	bool writes, any_value;
	int code;
	bool once;
	atomic_bool fired;
};

static struct v1_fault *faults;

static const struct {
	const char *name;
	uint64_t offset;
} registers[] = {
	{ "device_state", offsetof(struct vmig_uapi_device_migration_info, device_state) },
	{ "reserved", offsetof(struct vmig_uapi_device_migration_info, reserved) },
	{ "pending_bytes", offsetof(struct vmig_uapi_device_migration_info, pending_bytes) },
	{ "data_offset", offsetof(struct vmig_uapi_device_migration_info, data_offset) },
	{ "data_size", offsetof(struct vmig_uapi_device_migration_info, data_size) },
};

static int check_fault(void *opaque, uint64_t offset, bool is_write, uint64_t value)
{
	struct v1_fault *fault = opaque;

	if (offset != fault->offset || (fault->writes && !is_write))
		return 0;
	if (fault->writes && !fault->any_value && value != fault->value)
		return 0;
	return atomic_exchange(&fault->fired, true) && fault->once ? 0 : fault->code;
}

static int errno_of(const char *name)
{
	for (int e = 1; e <= ERRNO_MAX; e++) {
		const char *known = strerrorname_np(e);

		if (known && !strcmp(known, name))
			return -e;
	}
	return 0;
}

static bool parse_where(char *where, struct v1_fault *ret)
{
	char *value = strchr(where, '=');

	ret->writes = value;
	if (value) {
		*value++ = '\0';
		ret->any_value = !*value;
		if (*value && parse_size(value, &ret->value))
			return false;
	}
	for (size_t i = 0; i < sizeof(registers) / sizeof(registers[0]); i++) {
		if (strcmp(where, registers[i].name) != 0)
			continue;
		ret->offset = registers[i].offset;
		return true;
	}
	return false;
}

static int set_fault(struct open_v1 *v1, char *text)
{
	char *what = strchr(text, ':'), *once;
	struct v1_fault *fault;

	if (!what)
		return -EINVAL;
	*what++ = '\0';
	once = strchr(what, ':');
	if (once)
		*once++ = '\0';
	if (once && strcmp(once, "once") != 0)
		return -EINVAL;
	fault = calloc(1, sizeof(*fault));
	if (!fault)
		return -ENOMEM;
	fault->code = errno_of(what);
	fault->once = once;
	if (!fault->code || !parse_where(text, fault)) {
		free(fault);
		return -EINVAL;
	}
	fault->next = faults;
	faults = fault;
	v1->config.fault = check_fault;
	v1->config.opaque = fault;
	return 0;
}

/* --- the other keys ------------------------------------------------------------------------ */

static int set_show(struct open_v1 *v1, char *text)
{
	v1->show = !strcmp(text, "on");
	return v1->show || !strcmp(text, "off") ? 0 : -EINVAL;
}

static int set_section(struct open_v1 *v1, char *text)
{
	static const struct {
		const char *name;
		enum vmig_v1_section section;
	} sections[] = { { "trapped", VMIG_V1_SECTION_TRAPPED },
			 { "mapped", VMIG_V1_SECTION_MAPPED },
			 { "partitioned", VMIG_V1_SECTION_PARTITIONED } };

	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		if (strcmp(text, sections[i].name) != 0)
			continue;
		v1->config.section = sections[i].section;
		return 0;
	}
	return -EINVAL;
}

static int set_size(struct open_v1 *v1, char *text)
{
	return parse_size(text, &v1->config.section_size);
}

static const struct key {
	const char *name, *value, *summary, *why;
	int (*set)(struct open_v1 *v1, char *text);
} keys[] = {
	{ "v1", "on|off", "show it as a device of v1: through a migration region, and by that only (off)",
	  "v1 is on or off", set_show },
	{ "v1-section", "KIND", "how its data section is reached: trapped, mapped or partitioned (mapped)",
	  "v1-section is trapped, mapped or partitioned", set_section },
	{ "v1-size", "SIZE", "bytes of the data section; a multiple of 4K (1M)",
	  "v1-size is a size like 64K, a multiple of 4K", set_size },
	{ "v1-fault", "WHERE:ERRNO",
	  "fail on purpose: WHERE is device_state, pending_bytes, data_offset or data_size; with = behind it "
	  "its writes only, with =VALUE those of this value; :once",
	  "v1-fault is REGISTER:ERRNO, REGISTER=:ERRNO or REGISTER=VALUE:ERRNO, and :once behind it if "
	  "wanted",
	  set_fault },
};
#define N_KEYS (sizeof(keys) / sizeof(keys[0]))

void open_v1_print_keys(FILE *to)
{
	char left[40];

	for (size_t i = 0; i < N_KEYS; i++) {
		snprintf(left, sizeof(left), "%s=%s", keys[i].name, keys[i].value);
		fprintf(to, "    %-20s %s\n", left, keys[i].summary);
	}
}

/* "v1-size=64K" -> its key, and *ret_value. */
static const struct key *key_of(char *option, char **ret_value)
{
	size_t len = strcspn(option, "=");

	for (size_t i = 0; i < N_KEYS; i++) {
		if (strlen(keys[i].name) != len || strncmp(option, keys[i].name, len) != 0)
			continue;
		*ret_value = option[len] ? option + len + 1 : option + len;
		return &keys[i];
	}
	return NULL;
}

/* Take out of @spec what is ours; what is not stays in its place. */
static int take_keys(char *spec, struct open_v1 *v1, const char **ret_why)
{
	bool shown_how = false;
	char *at = strchr(spec, ',');

	while (at) {
		char *next = strchr(at + 1, ','), *value;
		size_t len = next ? (size_t)(next - at) : strlen(at);
		char option[512];
		const struct key *key;

		snprintf(option, sizeof(option), "%.*s", (int)len - 1, at + 1);
		key = key_of(option, &value);
		if (!key) {
			at = next;
			continue;
		}
		*ret_why = key->why;
		if (len >= sizeof(option) || key->set(v1, value))
			return -EINVAL;
		shown_how |= key != &keys[0];
		memmove(at, at + len, strlen(at + len) + 1);
		at = *at ? at : NULL;
	}
	*ret_why = "v1-section, v1-size and v1-fault need v1=on";
	return shown_how && !v1->show ? -EINVAL : 0;
}

const char *open_v1_after(const char *word)
{
	if (!strncmp(word, DRIVE_TRAPPED, strlen(DRIVE_TRAPPED)))
		return word + strlen(DRIVE_TRAPPED);
	return strncmp(word, DRIVE, strlen(DRIVE)) ? word : word + strlen(DRIVE);
}

int open_v1_parse(char *spec, bool show, struct open_v1 *ret, const char **ret_why)
{
	const char *rest = open_v1_after(spec);

	*ret = (struct open_v1){ .spec = rest, .drive = rest != spec, .show = show };
	/* Fast, and what most devices had. */
	ret->config.section = VMIG_V1_SECTION_MAPPED;
	ret->drive_config.no_mmap = !strncmp(spec, DRIVE_TRAPPED, strlen(DRIVE_TRAPPED));
	return take_keys(spec + (rest - spec), ret, ret_why);
}

/* --- to it --------------------------------------------------------------------------------- */

static int failed(int r, const char *text, struct vmig_error *error)
{
	*error = (struct vmig_error){
		.code = -r, .from = VMIG_STATE_NONE, .to = VMIG_STATE_NONE, .where = "v1"
	};
	snprintf(error->text, sizeof(error->text), "%s", text);
	return r;
}

int open_v1_apply(const struct open_v1 *v1, struct vmig_device **dev, struct vmig_error *error)
{
	struct vmig_device *above;
	int r;

	if (v1->show) {
		r = vmig_show_v1(*dev, &v1->config, &above);
		if (r)
			return failed(r,
				      r == -EINVAL ? "its data section cannot have that size"
						   : "it cannot be shown through a migration region",
				      error);
		*dev = above;
	}
	if (v1->drive) {
		r = vmig_drive_v1(*dev, &v1->drive_config, &above, error);
		if (r)
			return r;
		*dev = above;
	}
	return 0;
}
