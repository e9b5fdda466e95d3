/* SPDX-License-Identifier: BSD-3-Clause */
/* VERSION: what is proposed, what may come back. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "wire.h"
#include "vu.h"

/* The capabilities of a reply; NULL: it has none. What is no JSON ends the check. */
static json_t *capabilities(struct vu *vu)
{
	const char *text = (const char *)vu->in.body + 4;
	size_t len = vu->in.len > 4 ? vu->in.len - 4 : 0;
	json_t *root, *all;

	if (vu->in.len < 4)
		check_fail(vu->c, "the reply has a version", "%zu bytes", vu->in.len);
	if (!len)
		return NULL;
	if (strnlen(text, len) != len - 1)
		check_fail(vu->c, "version data with a terminating NUL", "none at the end of %zu bytes", len);
	if (len == 1)
		return NULL;
	root = json_loadb(text, len - 1, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(root))
		check_fail(vu->c, "version data that are a JSON object", "%.200s", text);
	all = json_object_get(root, "capabilities");
	if (all && !json_is_object(all))
		check_fail(vu->c, "capabilities that are an object", "%.200s", text);
	return all; /* the root stays for as long as the process */
}

/* VERSION as the first thing that is said. */
static int propose(struct vu *vu, uint16_t major, uint16_t minor, const char *json)
{
	struct vu_body b = vu_version_body(major, minor, json);

	check_did(vu->c, "proposed version %u.%u, %s", major, minor, json ? json : "without data");
	return vu_call(vu, VU_VERSION, &b);
}

static void agreed(struct vu *vu, int r, const char *expected)
{
	if (r)
		check_fail(vu->c, expected, "%s", strerror(-r));
}

static uint32_t answered_minor(struct vu *vu)
{
	return vu_u32(vu, 0) >> 16;
}

void vu_version_first(struct check_context *c)
{
	struct vu_body b = { 0 };
	struct vu vu;
	int r;

	vu_bare(c, &vu);
	vu_32(&b, 16);
	vu_32(&b, 0);
	vu_64(&b, 0);
	check_did(c, "sent DEVICE_GET_INFO before VERSION");
	r = vu_call(&vu, VU_GET_INFO, &b);
	if (!r)
		check_observe(c, "an error, or the end of the connection", "it was served");
	vu_must_live(&vu);
}

void vu_version_major(struct check_context *c)
{
	struct vu vu;
	int r;

	vu_bare(c, &vu);
	r = propose(&vu, 0x7ffe, 0, NULL);
	if (!r && (vu_u32(&vu, 0) & 0xffff) != 0x7ffe)
		check_fail(c, "the same major version, or the end of the connection", "a reply with major %u",
			   vu_u32(&vu, 0) & 0xffff);
	if (!r)
		check_observe(c, "the end of the connection", "it supports a major version of %u", 0x7ffe);
	if (!vu_again(&vu))
		return;
	agreed(&vu, propose(&vu, 0, 0, NULL), "version 0.0 is agreed on");
	if (vu_u32(&vu, 0) & 0xffff)
		check_fail(c, "the same major version", "%u", vu_u32(&vu, 0) & 0xffff);
}

/* Each minor version that it says it has, and those below. */
void vu_version_minor(struct check_context *c)
{
	struct vu vu;
	uint32_t most;

	vu_bare(c, &vu);
	agreed(&vu, propose(&vu, 0, 0, NULL), "version 0.0 is agreed on");
	if (answered_minor(&vu))
		check_fail(c, "a minor version of 0", "%u", answered_minor(&vu));
	if (!vu_again(&vu))
		return;
	agreed(&vu, propose(&vu, 0, 0xffff, NULL), "a lower minor version is agreed on");
	most = answered_minor(&vu);
	for (uint16_t minor = 1; minor <= most && minor < 16; minor++) {
		if (!vu_again(&vu))
			return;
		agreed(&vu, propose(&vu, 0, minor, NULL), "all minor versions up to its own are supported");
		if (answered_minor(&vu) > minor)
			check_fail(c, "a minor version that is not above the proposed one", "%u",
				   answered_minor(&vu));
	}
}

void vu_version_subset(struct check_context *c)
{
	struct vu vu;
	const char *key;
	json_t *all, *value;

	vu_bare(c, &vu);
	agreed(&vu, propose(&vu, 0, 0, "{\"capabilities\":{\"max_msg_fds\":4}}"),
	       "it is agreed on, or the connection is closed");
	all = capabilities(&vu);
	json_object_foreach(all, key, value) if (strcmp(key, "max_msg_fds") != 0)
		check_fail(c, "a subset of the capabilities that were proposed", "%s", key);
}

void vu_version_bare(struct check_context *c)
{
	static const char *const data[] = { NULL, "{}", "{\"capabilities\":{}}" };
	struct vu vu;

	vu_bare(c, &vu);
	for (size_t i = 0; i < sizeof(data) / sizeof(data[0]); i++) {
		if (i && !vu_again(&vu))
			return;
		agreed(&vu, propose(&vu, 0, 0, data[i]), "version data and capabilities are optional");
	}
}

static bool is_number(const json_t *v)
{
	return json_is_integer(v) && json_integer_value(v) >= 0;
}

static bool is_bool(const json_t *v)
{
	return json_is_boolean(v);
}

static bool is_object(const json_t *v)
{
	return json_is_object(v);
}

static const struct capability {
	const char *name;
	bool (*is)(const json_t *v);
} known[] = {
	{ "max_msg_fds", is_number },  { "max_data_xfer_size", is_number }, { "max_dma_maps", is_number },
	{ "pgsizes", is_number },      { "twin_socket", is_object },        { "migration", is_object },
	{ "write_multiple", is_bool },
};

void vu_version_data(struct check_context *c)
{
	struct vu vu;
	json_t *all;

	vu_bare(c, &vu);
	agreed(&vu,
	       propose(&vu, 0, 0,
		       "{\"capabilities\":{\"max_msg_fds\":8,\"max_data_xfer_size\":1048576,"
		       "\"max_dma_maps\":65535,\"pgsizes\":4096,\"write_multiple\":true,"
		       "\"migration\":{\"pgsize\":4096}}}"),
	       "the capabilities of the text are agreed on");
	all = capabilities(&vu);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		json_t *v = json_object_get(all, known[i].name);

		if (v && !known[i].is(v))
			check_fail(c, "each capability is of its type", "%s: %s", known[i].name,
				   json_dumps(v, JSON_ENCODE_ANY));
	}
}

void vu_version_unknown(struct check_context *c)
{
	struct vu vu;
	int r;

	vu_bare(c, &vu);
	r = propose(&vu, 0, 0,
		    "{\"capabilities\":{\"max_msg_fds\":4,\"x-check\":{\"a\":[1,null]},\"x-number\":-1},"
		    "\"x-more\":\"?\"}");
	if (r)
		check_observe(c, "capabilities that are not known are ignored", "%s", strerror(-r));
}

/* --- the twin socket ------------------------------------------------------------------------------- */

static void look_at_twin(struct vu *vu, const json_t *twin)
{
	const json_t *at = json_object_get(twin, "fd_index");
	struct stat st;

	if (!json_is_integer(at) || json_integer_value(at) < 0 || json_integer_value(at) >= vu->in.n_fds)
		check_fail(vu->c, "fd_index refers to a file descriptor of the reply", "%d descriptors, %s",
			   vu->in.n_fds, json_dumps(twin, 0));
	if (fstat(vu->in.fds[json_integer_value(at)], &st) || !S_ISSOCK(st.st_mode))
		check_fail(vu->c, "the descriptor is a socket", "it is none");
}

void vu_version_twin(struct check_context *c)
{
	struct vu vu;
	json_t *twin;

	vu_bare(c, &vu);
	agreed(&vu, propose(&vu, 0, 0, "{\"capabilities\":{\"max_msg_fds\":4}}"), "it is agreed on");
	twin = json_object_get(capabilities(&vu), "twin_socket");
	if (json_is_true(json_object_get(twin, "supported")) || vu.in.n_fds)
		check_fail(c, "no twin socket, as it was not proposed", "%d descriptors, %s", vu.in.n_fds,
			   twin ? json_dumps(twin, 0) : "no twin_socket");
	if (!vu_again(&vu))
		return;
	agreed(&vu,
	       propose(&vu, 0, 0,
		       "{\"capabilities\":{\"max_msg_fds\":4,\"twin_socket\":{\"supported\":true}}}"),
	       "it is agreed on");
	twin = json_object_get(capabilities(&vu), "twin_socket");
	if (!json_is_true(json_object_get(twin, "supported")))
		check_end(c, CHECK_NOT_APPLICABLE, "", "it has no twin socket, which is optional");
	look_at_twin(&vu, twin);
}
