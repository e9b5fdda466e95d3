/* SPDX-License-Identifier: BSD-3-Clause */
/* VERSION: the one message with JSON in it. Strict, since it comes from a peer of which nothing is known yet. */
#include "wire/vfio_user.h"

#include <jansson.h>
#include <string.h>

const struct vmig_vu_caps vmig_vu_caps_default = {
	.max_msg_fds = 1,
	.max_data_xfer_size = VMIG_LIMIT_XFER_DEFAULT,
	.max_dma_maps = VMIG_LIMIT_DMA_MAPS,
	.pgsizes = 4096,
};

static void json_unref(json_t **json)
{
	json_decref(*json);
}
#define _autojson_ _cleanup_(json_unref)

/* --- decode ------------------------------------------------------------------------------- */

/* The members of an object, one function each; a key that is not there leaves *ret alone. 1: it was there. */

static int get_u64(const json_t *object, const char *key, uint64_t least, uint64_t most, uint64_t *ret)
{
	const json_t *v = json_object_get(object, key);
	json_int_t i;

	if (!v)
		return 0;
	i = json_integer_value(v);
	if (!json_is_integer(v) || i < 0 || (uint64_t)i < least || (uint64_t)i > most)
		return -EPROTO;
	*ret = (uint64_t)i;
	return 1;
}

/* Fits 32 bits, but more than @limit is a wish that is not granted. */
static int get_limited(const json_t *object, const char *key, uint32_t least, uint32_t limit, uint32_t *ret)
{
	uint64_t v;
	int r = get_u64(object, key, least, UINT32_MAX, &v);

	if (r > 0)
		*ret = (uint32_t)MIN(v, limit);
	return r;
}

static int get_bool(const json_t *object, const char *key, bool *ret)
{
	const json_t *v = json_object_get(object, key);

	if (!v)
		return 0;
	if (!json_is_boolean(v))
		return -EPROTO;
	*ret = json_is_true(v);
	return 1;
}

static int get_object(const json_t *object, const char *key, const json_t **ret)
{
	const json_t *v = json_object_get(object, key);

	if (!v)
		return 0;
	if (!json_is_object(v))
		return -EPROTO;
	*ret = v;
	return 1;
}

/* Note a key that was there; hand an error up. */
static int note(struct vmig_vu_caps *caps, uint32_t cap, int r)
{
	if (r > 0)
		caps->present |= cap;
	return MIN(r, 0);
}

static int twin_socket_decode(const json_t *all, struct vmig_vu_caps *caps)
{
	const json_t *twin = NULL;
	int r = get_object(all, "twin_socket", &twin);

	if (r <= 0)
		return r;
	r = note(caps, VMIG_VU_CAP_TWIN_SOCKET, get_bool(twin, "supported", &caps->twin_socket));
	if (r < 0)
		return r;
	return note(caps, VMIG_VU_CAP_TWIN_FD_INDEX,
		    get_limited(twin, "fd_index", 0, UINT32_MAX, &caps->twin_fd_index));
}

static int migration_decode(const json_t *all, struct vmig_vu_caps *caps)
{
	const json_t *migration = NULL;
	int r = note(caps, VMIG_VU_CAP_MIGRATION, get_object(all, "migration", &migration));

	if (r < 0 || !migration)
		return r;
	r = get_u64(migration, "pgsize", 1, INT64_MAX, &caps->migration_pgsize);
	if (r < 0)
		return r;
	r = get_u64(migration, "max_bitmap_size", 1, INT64_MAX, &caps->migration_max_bitmap_size);
	return MIN(r, 0);
}

static int x_vmig_decode(const json_t *all, struct vmig_vu_caps *caps)
{
	const json_t *ours = NULL;
	int r = get_object(all, "x-vmig", &ours);

	if (r <= 0)
		return r;
	r = note(caps, VMIG_VU_CAP_PRECOPY_INFO, get_bool(ours, "precopy_info", &caps->precopy_info));
	if (r < 0)
		return r;
	r = note(caps, VMIG_VU_CAP_DEVICE_INFO, get_bool(ours, "device_info", &caps->device_info));
	if (r < 0)
		return r;
	r = note(caps, VMIG_VU_CAP_COMPAT, get_bool(ours, "compat", &caps->compat));
	if (r < 0)
		return r;
	r = note(caps, VMIG_VU_CAP_TAG, get_bool(ours, "tag", &caps->tag));
	if (r < 0)
		return r;
	return note(caps, VMIG_VU_CAP_TAKE, get_bool(ours, "take", &caps->take));
}

static int numbers_decode(const json_t *all, struct vmig_vu_caps *caps)
{
	int r;

	r = note(caps, VMIG_VU_CAP_MAX_MSG_FDS,
		 get_limited(all, "max_msg_fds", 0, VMIG_LIMIT_MSG_FDS, &caps->max_msg_fds));
	if (r < 0)
		return r;
	r = note(caps, VMIG_VU_CAP_MAX_DATA_XFER_SIZE,
		 get_limited(all, "max_data_xfer_size", 1, VMIG_LIMIT_XFER, &caps->max_data_xfer_size));
	if (r < 0)
		return r;
	r = note(caps, VMIG_VU_CAP_MAX_DMA_MAPS,
		 get_limited(all, "max_dma_maps", 0, VMIG_LIMIT_DMA_MAPS, &caps->max_dma_maps));
	if (r < 0)
		return r;
	return note(caps, VMIG_VU_CAP_PGSIZES, get_u64(all, "pgsizes", 1, INT64_MAX, &caps->pgsizes));
}

static int caps_decode(const json_t *all, struct vmig_vu_caps *caps)
{
	int r;

	r = numbers_decode(all, caps);
	if (r < 0)
		return r;
	r = note(caps, VMIG_VU_CAP_WRITE_MULTIPLE, get_bool(all, "write_multiple", &caps->write_multiple));
	if (r < 0)
		return r;
	r = twin_socket_decode(all, caps);
	if (r < 0)
		return r;
	r = migration_decode(all, caps);
	if (r < 0)
		return r;
	return x_vmig_decode(all, caps);
}

/* @text has @len bytes, of which the last, and only the last, is NUL. */
static int json_decode(const char *text, size_t len, struct vmig_vu_caps *caps)
{
	_autojson_ json_t *root = NULL;
	const json_t *all = NULL;
	json_error_t error;
	int r;

	root = json_loadb(text, len - 1, JSON_REJECT_DUPLICATES, &error);
	if (!root)
		return json_error_code(&error) == json_error_out_of_memory ? -ENOMEM : -EPROTO;
	if (!json_is_object(root))
		return -EPROTO;
	r = get_object(root, "capabilities", &all);
	return r > 0 ? caps_decode(all, caps) : r;
}

int vmig_vu_version_decode(struct vmig_cursor *c, struct vmig_vu_version *ret)
{
	struct vmig_vu_version v = { .caps = vmig_vu_caps_default };
	const char *text;
	size_t len;
	int r;

	v.major = vmig_cursor_u16(c);
	v.minor = vmig_cursor_u16(c);
	len = c->left;
	text = vmig_cursor_bytes(c, len);
	if (!vmig_cursor_ok(c))
		return -EPROTO;
	if (len > VMIG_LIMIT_VERSION_JSON)
		return -E2BIG;
	if (len && strnlen(text, len) != len - 1)
		return -EPROTO;
	/* An empty text is as good as none. */
	if (len > 1) {
		r = json_decode(text, len, &v.caps);
		if (r < 0)
			return r;
	}
	*ret = v;
	return 0;
}

/* --- encode ------------------------------------------------------------------------------- */

/* Put @value under @key if @wanted; takes the reference. */
static int put(json_t *object, const char *key, bool wanted, json_t *value)
{
	if (!wanted) {
		json_decref(value);
		return 0;
	}
	return json_object_set_new(object, key, value) ? -ENOMEM : 0;
}

static int put_int(json_t *object, const char *key, bool wanted, uint64_t value)
{
	return put(object, key, wanted, json_integer((json_int_t)value));
}

static json_t *twin_socket_encode(const struct vmig_vu_caps *caps)
{
	_autojson_ json_t *twin = json_object();
	int r;

	r = put(twin, "supported", caps->present & VMIG_VU_CAP_TWIN_SOCKET, json_boolean(caps->twin_socket));
	if (!r)
		r = put_int(twin, "fd_index", caps->present & VMIG_VU_CAP_TWIN_FD_INDEX, caps->twin_fd_index);
	return r ? NULL : steal_ptr(twin);
}

static json_t *migration_encode(const struct vmig_vu_caps *caps)
{
	_autojson_ json_t *migration = json_object();
	int r;

	r = put_int(migration, "pgsize", caps->migration_pgsize, caps->migration_pgsize);
	if (!r)
		r = put_int(migration, "max_bitmap_size", caps->migration_max_bitmap_size,
			    caps->migration_max_bitmap_size);
	return r ? NULL : steal_ptr(migration);
}

static json_t *x_vmig_encode(const struct vmig_vu_caps *caps)
{
	_autojson_ json_t *ours = json_object();
	int r;

	r = put(ours, "precopy_info", caps->present & VMIG_VU_CAP_PRECOPY_INFO,
		json_boolean(caps->precopy_info));
	if (!r)
		r = put(ours, "device_info", caps->present & VMIG_VU_CAP_DEVICE_INFO,
			json_boolean(caps->device_info));
	if (!r)
		r = put(ours, "compat", caps->present & VMIG_VU_CAP_COMPAT, json_boolean(caps->compat));
	if (!r)
		r = put(ours, "tag", caps->present & VMIG_VU_CAP_TAG, json_boolean(caps->tag));
	if (!r)
		r = put(ours, "take", caps->present & VMIG_VU_CAP_TAKE, json_boolean(caps->take));
	return r ? NULL : steal_ptr(ours);
}

static json_t *caps_encode(const struct vmig_vu_caps *caps)
{
	const uint32_t p = caps->present;
	_autojson_ json_t *all = json_object();
	int r = 0;

	r = r ?: put_int(all, "max_msg_fds", p & VMIG_VU_CAP_MAX_MSG_FDS, caps->max_msg_fds);
	r = r
		    ?: put_int(all, "max_data_xfer_size", p & VMIG_VU_CAP_MAX_DATA_XFER_SIZE,
			       caps->max_data_xfer_size);
	r = r ?: put_int(all, "max_dma_maps", p & VMIG_VU_CAP_MAX_DMA_MAPS, caps->max_dma_maps);
	r = r ?: put_int(all, "pgsizes", p & VMIG_VU_CAP_PGSIZES, caps->pgsizes & INT64_MAX);
	r = r
		    ?: put(all, "twin_socket", p & (VMIG_VU_CAP_TWIN_SOCKET | VMIG_VU_CAP_TWIN_FD_INDEX),
			   twin_socket_encode(caps));
	r = r
		    ?: put(all, "write_multiple", p & VMIG_VU_CAP_WRITE_MULTIPLE,
			   json_boolean(caps->write_multiple));
	r = r ?: put(all, "migration", p & VMIG_VU_CAP_MIGRATION, migration_encode(caps));
	r = r ?: put(all, "x-vmig", p & VMIG_VU_CAP_X_VMIG, x_vmig_encode(caps));
	return r ? NULL : steal_ptr(all);
}

int vmig_vu_version_encode(struct vmig_cursor *c, const struct vmig_vu_version *v)
{
	_autojson_ json_t *root = json_object();
	char *text;
	int r;

	r = put(root, "capabilities", true, caps_encode(&v->caps));
	if (r < 0)
		return r;
	text = json_dumps(root, JSON_COMPACT);
	if (!text)
		return -ENOMEM;
	vmig_cursor_put_u16(c, v->major);
	vmig_cursor_put_u16(c, v->minor);
	vmig_cursor_put(c, text, strlen(text) + 1);
	free(text);
	return 0;
}
