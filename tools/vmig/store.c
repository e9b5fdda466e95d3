/* SPDX-License-Identifier: BSD-3-Clause */
#include "store.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME "vmig/owner.db"

/* --- which record -------------------------------------------------------------------------- */

/* The folders above the file's name are made, for this user alone. */
static int make_folders(char *path)
{
	for (char *c = path + 1; *c; c++) {
		int r;

		if (*c != '/')
			continue;
		*c = '\0';
		r = mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
		*c = '/';
		if (r)
			return r;
	}
	return 0;
}

static int default_file(char ret[PATH_MAX])
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	int len;

	if (state && *state == '/')
		len = snprintf(ret, PATH_MAX, "%s/" FILE_NAME, state);
	else if (!geteuid())
		len = snprintf(ret, PATH_MAX, "/var/lib/" FILE_NAME);
	else if (home && *home == '/')
		len = snprintf(ret, PATH_MAX, "%s/.local/state/" FILE_NAME, home);
	else
		return -ENOENT;
	return len < PATH_MAX ? make_folders(ret) : -ENAMETOOLONG;
}

static int open_url(const char *url, uint64_t timeout_ns, struct vmig_owner **ret)
{
	struct vmig_error error = { 0 };
	uint32_t ms = timeout_ns ? tool_ms(timeout_ns) : 0;
	int r = vmig_owner_open(url, ms, ret, &error);

	if (!r)
		return 0;
	return tool_fail(r == -EINVAL ? VMIG_BAD_INPUT : VMIG_IN_DOUBT, "--owner %s: %s", url,
			 error.text[0] ? error.text : strerror(-r));
}

int tool_store_url(const char *url, char ret[TOOL_STORE_URL_MAX])
{
	char path[PATH_MAX];
	int r;

	if (!url)
		url = getenv("VMIG_OWNER");
	if (url && *url) {
		if (strlen(url) >= TOOL_STORE_URL_MAX)
			return tool_fail(VMIG_BAD_INPUT, "--owner: longer than %d bytes",
					 TOOL_STORE_URL_MAX - 1);
		strcpy(ret, strcmp(url, "none") != 0 ? url : "");
		return 0;
	}
	r = default_file(path);
	if (r)
		return tool_fail(
			VMIG_NOT_DONE,
			"the ownership record has no place (%s): name one with --owner sqlite:FILE, or go "
			"without with --owner none",
			strerror(-r));
	snprintf(ret, TOOL_STORE_URL_MAX, "sqlite:%s", path);
	return 0;
}

int tool_store_open(const char *url, uint64_t timeout_ns, struct vmig_owner **ret)
{
	char text[TOOL_STORE_URL_MAX];
	int r = tool_store_url(url, text);

	*ret = NULL;
	return r || !*text ? r : open_url(text, timeout_ns, ret);
}

/* --- who this end is ----------------------------------------------------------------------- */

/* A path that is given from here is the same one from elsewhere. */
static void full_path(const char *device, char ret[PATH_MAX + 32])
{
	const char *path = strchr(device, ':');
	char real[PATH_MAX];

	if (!path || path[1] == '/' || !realpath(path + 1, real))
		snprintf(ret, PATH_MAX + 32, "%s", device);
	else
		snprintf(ret, PATH_MAX + 32, "%.*s%s", (int)(path + 1 - device), device, real);
}

static bool is_control(char c)
{
	return (unsigned char)c < ' ' || c == 0x7f;
}

int tool_store_name(const char *as, const char *device, bool source, char ret[VMIG_OWNER_NAME_MAX])
{
	char host[128] = "localhost", where[PATH_MAX + 32];
	int len;

	if (as) {
		len = snprintf(ret, VMIG_OWNER_NAME_MAX, "%s", as);
	} else {
		gethostname(host, sizeof(host) - 1);
		full_path(device, where);
		/* What is in this process ends with it: no other process is meant by that name. */
		if (strstr(device, "model:"))
			len = snprintf(ret, VMIG_OWNER_NAME_MAX, "%s/%s@%ld-%s", host, where, (long)getpid(),
				       source ? "source" : "destination");
		else
			len = snprintf(ret, VMIG_OWNER_NAME_MAX, "%s/%s", host, where);
	}
	if (len <= 0 || len >= VMIG_OWNER_NAME_MAX)
		return tool_fail(VMIG_BAD_INPUT,
				 "a name in the record has 1 to %d bytes: give a shorter one with --as",
				 VMIG_OWNER_NAME_MAX - 1);
	for (char *c = ret; *c; c++)
		if (is_control(*c))
			*c = '?';
	return 0;
}

int tool_store_ids(const char *text, uint32_t n, struct vmig_uuid **ret)
{
	struct vmig_uuid *ids;
	uint32_t i = 0;

	*ret = NULL;
	if (!text)
		return 0;
	ids = calloc(n, sizeof(*ids));
	if (!ids)
		return tool_fail(VMIG_NOT_DONE, "out of memory");
	for (; text; i++) {
		size_t len = strcspn(text, ",");
		char one[VMIG_UUID_TEXT_MAX] = "";

		if (i < n && len < sizeof(one))
			memcpy(one, text, len);
		if (i >= n || len >= sizeof(one) || (len && vmig_uuid_parse(one, &ids[i]))) {
			free(ids);
			return tool_fail(VMIG_BAD_INPUT,
					 "--id: '%s' is not a UUID for each device, with commas between",
					 text);
		}
		text = text[len] ? text + len + 1 : NULL;
	}
	*ret = ids;
	return 0;
}

bool tool_store_identified(struct vmig_device *dev)
{
	struct vmig_tag tag;

	return !vmig_device_query_tag(dev, &tag) && !vmig_uuid_is_none(&tag.identity);
}
