/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Records as keys of an etcd: PREFIX "device/" UUID, whose value is the record's one form as text. A swap is one transaction
 * that compares values, so that nothing but the very records that were read is replaced.
 *
 * What etcd's JSON does not tell: "succeeded" is absent when it is false; numbers of 64 bits are strings; bytes are in base64;
 * a field that it does not know is ignored, so that a wrong word would make a transaction write whatever it finds.
 * Nothing here is "serializable", which would be old data.
 */
#include "owner/etcd.h"

#include <stdio.h>
#include <string.h>

#include "owner/base64.h"

struct etcd {
	struct vmig_etcd_http *http;
	char *prefix;
};

static int store_open(const char *rest, uint32_t timeout_ms, void **ret, struct vmig_error *error)
{
	struct etcd *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return vmig_fault(error, -ENOMEM, "etcd", "no memory");
	r = vmig_etcd_http_new(rest, timeout_ms, &s->http, &s->prefix, error);
	if (r)
		free(s);
	else
		*ret = s;
	return r;
}

static void store_close(void *store)
{
	struct etcd *s = store;

	vmig_etcd_http_free(s->http);
	free(s->prefix);
	free(s);
}

/* --- requests ------------------------------------------------------------------------------------- */

static json_t *base64(const void *data, size_t len)
{
	_autofree_ char *text = vmig_base64_encode(data, len);

	return text ? json_string(text) : NULL;
}

static json_t *key_json(const struct etcd *s, const char *folder, const char *name)
{
	_autofree_ char *key = NULL;
	int len = asprintf(&key, "%s%s%s", s->prefix, folder, name);

	if (len < 0) {
		key = NULL;
		return NULL;
	}
	return base64(key, (size_t)len);
}

static json_t *device_key(const struct etcd *s, const struct vmig_uuid *device)
{
	char text[VMIG_UUID_TEXT_MAX];

	return key_json(s, "device/", vmig_uuid_text(device, text));
}

static json_t *value_json(const struct vmig_ownership *record)
{
	char text[VMIG_OWNER_TEXT_MAX];
	size_t len = vmig_ownership_encode(record, text);

	return len ? base64(text, len) : NULL;
}

/* json_pack() takes what it is given, and fails if a part of it is NULL. */
static json_t *compare_json(const struct etcd *s, const struct vmig_ownership *now)
{
	json_t *key = device_key(s, &now->device);

	if (!now->phase)
		return json_pack("{s:o, s:s, s:s, s:s}", "key", key, "result", "EQUAL", "target", "VERSION",
				 "version", "0");
	return json_pack("{s:o, s:s, s:s, s:o}", "key", key, "result", "EQUAL", "target", "VALUE", "value",
			 value_json(now));
}

static json_t *range_json(const struct etcd *s, const struct vmig_uuid *device)
{
	return json_pack("{s:{s:o}}", "request_range", "key", device_key(s, device));
}

static json_t *put_json(const struct etcd *s, const struct vmig_ownership *next)
{
	json_t *key = device_key(s, &next->device);

	return json_pack("{s:{s:o, s:o}}", "request_put", "key", key, "value", value_json(next));
}

/* --- answers -------------------------------------------------------------------------------------- */

static int odd(struct vmig_error *error, const char *what)
{
	return vmig_fault(error, -EPROTO, "etcd", "its answer cannot be right: %s", what);
}

/* Does this key have these bytes? */
static bool is_key(const json_t *kv, json_t *key)
{
	const char *a = json_string_value(json_object_get(kv, "key")), *b = json_string_value(key);
	bool same = a && b && !strcmp(a, b);

	json_decref(key);
	return same;
}

static int decode_value(const json_t *kv, struct vmig_ownership *ret, struct vmig_error *error)
{
	const char *text = json_string_value(json_object_get(kv, "value"));
	_autofree_ char *value = NULL;
	size_t len = 0;
	int r = text ? vmig_base64_decode(text, &value, &len) : -EBADMSG;

	if (!r)
		r = vmig_ownership_decode(value, len, ret);
	if (r == -EOPNOTSUPP)
		return vmig_fault(error, r, "etcd", "a record is of a newer form: use a newer vmig");
	if (r)
		return vmig_fault(error, r, "etcd", "a key holds what is no record");
	return 0;
}

/* The one record that a range of one key gives, or that there is none. */
static int decode_range(const struct etcd *s, const json_t *response, const struct vmig_uuid *device,
			struct vmig_ownership *ret, struct vmig_error *error)
{
	const json_t *range = json_object_get(response, "response_range"),
		     *kvs = json_object_get(range, "kvs");
	int r;

	if (!json_is_object(range) || (kvs && !json_is_array(kvs)) || json_array_size(kvs) > 1)
		return odd(error, "not one range for each device");
	if (!json_array_size(kvs)) {
		*ret = (struct vmig_ownership){ .device = *device };
		return 0;
	}
	if (!is_key(json_array_get(kvs, 0), device_key(s, device)))
		return odd(error, "another key than was asked for");
	r = decode_value(json_array_get(kvs, 0), ret, error);
	if (!r && !vmig_uuid_equal(&ret->device, device))
		r = odd(error, "another device's record");
	return r;
}

/* 1, 0, or -EPROTO */
static int succeeded(const json_t *reply, uint32_t n_responses, struct vmig_error *error)
{
	const json_t *flag = json_object_get(reply, "succeeded"),
		     *responses = json_object_get(reply, "responses");

	if (!json_is_object(json_object_get(reply, "header")))
		return odd(error, "no header");
	if (flag && !json_is_boolean(flag))
		return odd(error, "\"succeeded\" is neither true nor false");
	if (!json_is_array(responses) || json_array_size(responses) != n_responses)
		return odd(error, "not one response for each device");
	return json_is_true(flag);
}

/* --- read ----------------------------------------------------------------------------------------- */

struct read {
	const struct etcd *s;
	const struct vmig_uuid *devices;
	uint32_t n;
	struct vmig_ownership *ret;
};

static int judge_read(const json_t *reply, void *opaque, struct vmig_error *error)
{
	struct read *read = opaque;
	int r = succeeded(reply, read->n, error);

	if (r <= 0)
		return r ? r : odd(error, "a transaction without conditions has not succeeded");
	r = 0;
	for (uint32_t i = 0; i < read->n && !r; i++)
		r = decode_range(read->s, json_array_get(json_object_get(reply, "responses"), i),
				 &read->devices[i], &read->ret[i], error);
	return r;
}

static int store_read(void *store, const struct vmig_uuid *devices, uint32_t n, struct vmig_ownership *ret,
		      struct vmig_error *error)
{
	const struct etcd *s = store;
	struct read read = { .s = s, .devices = devices, .n = n, .ret = ret };
	json_t *ranges = json_array(), *request;
	int r = 0;

	for (uint32_t i = 0; i < n; i++)
		r |= json_array_append_new(ranges, range_json(s, &devices[i]));
	request = json_pack("{s:o}", "success", ranges);
	if (r || !request)
		r = vmig_fault(error, -ENOMEM, "etcd", "no memory");
	else
		r = vmig_etcd_call(s->http, "/v3/kv/txn", request, judge_read, &read, NULL, error);
	json_decref(request);
	return r;
}

/* --- swap ----------------------------------------------------------------------------------------- */

struct swap {
	const struct etcd *s;
	const struct vmig_ownership *next;
	uint32_t n;
};

static bool all_put(const json_t *responses)
{
	const json_t *response;
	size_t i;

	json_array_foreach(
		(json_t *)responses, i,
		response) if (!json_is_object(json_object_get(response, "response_put"))) return false;
	return true;
}

/*
 * A transaction that has not succeeded tells what is there instead. If that is what was to be written, it was this very
 * write, by its nonce: the first answer was lost, by us or within curl, which repeats what a connection ate.
 */
static int judge_swap(const json_t *reply, void *opaque, struct vmig_error *error)
{
	const struct swap *swap = opaque;
	const json_t *responses = json_object_get(reply, "responses");
	struct vmig_ownership is;
	int r = succeeded(reply, swap->n, error);

	if (r < 0)
		return r;
	if (r)
		return all_put(responses) ? 0 : odd(error, "not one put for each device");
	r = 0;
	for (uint32_t i = 0; i < swap->n && !r; i++) {
		r = decode_range(swap->s, json_array_get(responses, i), &swap->next[i].device, &is, error);
		if (!r && !vmig_ownership_equal(&is, &swap->next[i]))
			r = vmig_store_lost(&is, error);
	}
	return r;
}

static json_t *swap_json(const struct etcd *s, const struct vmig_ownership *now,
			 const struct vmig_ownership *next, uint32_t n)
{
	json_t *compare = json_array(), *success = json_array(), *failure = json_array();
	int r = 0;

	for (uint32_t i = 0; i < n; i++) {
		r |= json_array_append_new(compare, compare_json(s, &now[i]));
		r |= json_array_append_new(success, put_json(s, &next[i]));
		r |= json_array_append_new(failure, range_json(s, &next[i].device));
	}
	if (!r)
		return json_pack("{s:o, s:o, s:o}", "compare", compare, "success", success, "failure",
				 failure);
	json_decref(compare);
	json_decref(success);
	json_decref(failure);
	return NULL;
}

static int store_swap(void *store, const struct vmig_ownership *now, const struct vmig_ownership *next,
		      uint32_t n, struct vmig_error *error)
{
	const struct etcd *s = store;
	struct swap swap = { .s = s, .next = next, .n = n };
	json_t *request = swap_json(s, now, next, n);
	bool sent = false;
	int r;

	if (!request)
		return vmig_fault(error, -ENOMEM, "etcd", "no memory");
	r = vmig_etcd_call(s->http, "/v3/kv/txn", request, judge_swap, &swap, &sent, error);
	json_decref(request);
	if (!r || r == -EAGAIN || !sent)
		return r;
	if (error)
		error->code = EINPROGRESS;
	return -EINPROGRESS;
}

/* --- the store's id ------------------------------------------------------------------------------- */

struct query {
	const struct etcd *s;
	struct vmig_uuid mine, *ret;
};

static int judge_query(const json_t *reply, void *opaque, struct vmig_error *error)
{
	struct query *query = opaque;
	const json_t *kvs, *kv;
	_autofree_ char *value = NULL;
	size_t len;
	int r = succeeded(reply, 1, error);

	if (r < 0)
		return r;
	if (r) {
		*query->ret = query->mine;
		return 0;
	}
	kvs = json_object_get(
		json_object_get(json_array_get(json_object_get(reply, "responses"), 0), "response_range"),
		"kvs");
	kv = json_array_get(kvs, 0);
	if (!is_key(kv, key_json(query->s, "store", "")) || !json_is_string(json_object_get(kv, "value")))
		return odd(error, "the store's id is neither absent nor there");
	r = vmig_base64_decode(json_string_value(json_object_get(kv, "value")), &value, &len);
	if (r || vmig_uuid_parse(value, query->ret))
		return vmig_fault(error, -EBADMSG, "etcd", "the store's id is damaged");
	return 0;
}

/* The first that asks gives it the id. */
static int store_query(void *store, struct vmig_uuid *ret, struct vmig_error *error)
{
	const struct etcd *s = store;
	struct query query = { .s = s, .ret = ret };
	char text[VMIG_UUID_TEXT_MAX];
	json_t *key = key_json(s, "store", ""), *request;
	int r;

	vmig_uuid_new(&query.mine);
	vmig_uuid_text(&query.mine, text);
	request = json_pack("{s:[{s:O, s:s, s:s, s:s}], s:[{s:{s:O, s:o}}], s:[{s:{s:O}}]}", "compare", "key",
			    key, "result", "EQUAL", "target", "VERSION", "version", "0", "success",
			    "request_put", "key", key, "value", base64(text, strlen(text)), "failure",
			    "request_range", "key", key);
	json_decref(key);
	if (!request)
		return vmig_fault(error, -ENOMEM, "etcd", "no memory");
	r = vmig_etcd_call(s->http, "/v3/kv/txn", request, judge_query, &query, NULL, error);
	json_decref(request);
	return r;
}

/* --- list ----------------------------------------------------------------------------------------- */

struct list {
	const struct etcd *s;
	struct vmig_uuid last; /* shown; none: nothing yet */
	uint32_t n;
	bool more;
	struct vmig_ownership page[VMIG_LIMIT_OWNER_UNIT_ETCD];
	uint32_t n_page;
};

/* Keys go up, so a listing ends. */
static int judge_list(const json_t *reply, void *opaque, struct vmig_error *error)
{
	struct list *list = opaque;
	const json_t *kvs = json_object_get(reply, "kvs"), *kv;
	struct vmig_uuid last = list->last;
	size_t i;

	list->n_page = 0;
	list->more = json_is_true(json_object_get(reply, "more"));
	if (!json_is_object(json_object_get(reply, "header")) || (kvs && !json_is_array(kvs)) ||
	    json_array_size(kvs) > ARRAY_SIZE(list->page) || (list->more && !json_array_size(kvs)))
		return odd(error, "not a page of records");
	json_array_foreach((json_t *)kvs, i, kv)
	{
		struct vmig_ownership *r = &list->page[i];
		int code = decode_value(kv, r, error);

		if (code)
			return code;
		if (!is_key(kv, device_key(list->s, &r->device)))
			return odd(error, "a record under another's key");
		if (memcmp(r->device.bytes, last.bytes, sizeof(last.bytes)) <= 0)
			return odd(error, "records out of order");
		last = r->device;
	}
	list->n_page = (uint32_t)json_array_size(kvs);
	return 0;
}

static int next_page(struct list *list, struct vmig_error *error)
{
	char from[VMIG_UUID_TEXT_MAX + 1] = "";
	json_t *request;
	int r;

	/* What follows on the last one is it with one more character; "device0" is the first that follows on all "device/...". */
	if (!vmig_uuid_is_none(&list->last)) {
		vmig_uuid_text(&list->last, from);
		strcat(from, " ");
	}
	request = json_pack("{s:o, s:o, s:i}", "key", key_json(list->s, "device/", from), "range_end",
			    key_json(list->s, "device0", ""), "limit", (int)ARRAY_SIZE(list->page));
	if (!request)
		return vmig_fault(error, -ENOMEM, "etcd", "no memory");
	r = vmig_etcd_call(list->s->http, "/v3/kv/range", request, judge_list, list, NULL, error);
	json_decref(request);
	return r;
}

static int store_list(void *store, int (*each)(const struct vmig_ownership *, void *), void *opaque,
		      struct vmig_error *error)
{
	struct list *list = calloc(1, sizeof(*list));
	int r = 0;

	if (!list)
		return vmig_fault(error, -ENOMEM, "etcd", "no memory");
	list->s = store;
	do {
		r = next_page(list, error);
		for (uint32_t i = 0; i < list->n_page && !r; i++) {
			list->last = list->page[i].device;
			r = each(&list->page[i], opaque);
		}
		list->n += list->n_page;
	} while (!r && list->more && list->n < VMIG_LIMIT_OWNER_LISTED);
	free(list);
	return r;
}

const struct vmig_store_ops vmig_store_etcd = {
	.scheme = "etcd",
	.open = store_open,
	.close = store_close,
	.unit_max = VMIG_LIMIT_OWNER_UNIT_ETCD,
	.query = store_query,
	.read = store_read,
	.swap = store_swap,
	.list = store_list,
};
