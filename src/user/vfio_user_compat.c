/* SPDX-License-Identifier: BSD-3-Clause */
/* Experimental: a device's descriptor, its driver's version data, and its verdict; whose state it holds; by message. */
#include <string.h>

#include "user/vfio_user.h"

#define WHERE_DESCRIPTOR "DEVICE_DESCRIPTOR"
#define WHERE_OPAQUE     "DEVICE_OPAQUE"
#define WHERE_CHECK      "DEVICE_OPAQUE_CHECK"

static int unagreed(struct vmig_error *error, const char *where)
{
	return vmig_fault(error, -EOPNOTSUPP, where, "the server does not offer it");
}

/** Ask for bytes, at most @max of them. @in has room for the blob's head too. */
static int ask_bytes(struct vmig_vuc *v, uint16_t command, const char *where, uint8_t *in, uint32_t max,
		     struct vmig_vu_blob *ret, struct vmig_error *error)
{
	struct vmig_vu_query m = { .argsz = VMIG_VU_BLOB_SIZE + max };
	uint8_t out[VMIG_VU_HEADER_SIZE + VMIG_VU_QUERY_SIZE];
	struct vmig_vuc_call call = { .command = command, .fixed = in, .fixed_max = VMIG_VU_BLOB_SIZE + max };
	struct vmig_cursor c = vmig_vuc_request(out, sizeof(out));
	int r;

	vmig_vu_query_encode(&c, &m);
	vmig_vuc_request_end(&call, out, &c);
	r = vmig_vuc_call(v, &call, error);
	if (r < 0)
		return r;
	c = vmig_cursor_over(in, call.fixed_len);
	if (vmig_vu_blob_decode(&c, max, ret) < 0 || ret->code)
		return vmig_vuc_broken(v, error, where, "the reply cannot be read");
	return 0;
}

int vmig_vuc_query_descriptor(void *p, char **ret, struct vmig_error *error)
{
	const uint32_t max = VMIG_DEVICE_DESCRIPTOR_MAX - 1;
	_autofree_ uint8_t *in = NULL;
	struct vmig_vuc *v = p;
	struct vmig_vu_blob blob;
	int r;

	if (!v->caps.compat)
		return unagreed(error, WHERE_DESCRIPTOR);
	in = malloc(VMIG_VU_BLOB_SIZE + max);
	if (!in)
		return -ENOMEM;
	r = ask_bytes(v, VMIG_VU_DEVICE_DESCRIPTOR, WHERE_DESCRIPTOR, in, max, &blob, error);
	if (r < 0)
		return r;
	if (memchr(blob.bytes, 0, blob.len))
		return vmig_fault(error, -EPROTO, WHERE_DESCRIPTOR, "the descriptor has a NUL in it");
	*ret = strndup((const char *)blob.bytes, blob.len);
	return *ret ? 0 : -ENOMEM;
}

int vmig_vuc_query_opaque(void *p, void *buf, size_t *ret_len, struct vmig_error *error)
{
	uint8_t in[VMIG_VU_BLOB_SIZE + VMIG_DEVICE_OPAQUE_MAX];
	struct vmig_vuc *v = p;
	struct vmig_vu_blob blob;
	int r;

	if (!v->caps.compat)
		return unagreed(error, WHERE_OPAQUE);
	r = ask_bytes(v, VMIG_VU_DEVICE_OPAQUE, WHERE_OPAQUE, in, VMIG_DEVICE_OPAQUE_MAX, &blob, error);
	if (r < 0)
		return r;
	memcpy(buf, blob.bytes, blob.len);
	*ret_len = blob.len;
	return 0;
}

/* What a server says is shown to a person: no control characters. */
static int refusal(const struct vmig_vu_blob *blob, struct vmig_error *error)
{
	char text[sizeof(error->text)];
	size_t len = MIN(blob->len, sizeof(text) - 1);

	for (size_t i = 0; i < len; i++)
		text[i] = blob->bytes[i] >= ' ' && blob->bytes[i] <= '~' ? (char)blob->bytes[i] : '?';
	text[len] = '\0';
	return vmig_fault(error, -(int)blob->code, WHERE_CHECK, "%s", len ? text : "the driver refuses it");
}

int vmig_vuc_check_opaque(void *p, const void *data, size_t len, struct vmig_error *error)
{
	const struct vmig_vu_blob m = { .argsz = (uint32_t)(VMIG_VU_BLOB_SIZE + len),
					.len = (uint32_t)len,
					.bytes = data };
	uint8_t out[VMIG_VU_HEADER_SIZE + VMIG_VU_BLOB_SIZE + VMIG_DEVICE_OPAQUE_MAX];
	uint8_t in[VMIG_VU_BLOB_SIZE + VMIG_DEVICE_OPAQUE_MAX];
	struct vmig_vuc_call call = { .command = VMIG_VU_DEVICE_OPAQUE_CHECK,
				      .fixed = in,
				      .fixed_max = sizeof(in) };
	struct vmig_cursor c = vmig_vuc_request(out, sizeof(out));
	struct vmig_vuc *v = p;
	struct vmig_vu_blob blob;
	int r;

	if (!v->caps.compat)
		return unagreed(error, WHERE_CHECK);
	vmig_vu_blob_encode(&c, &m);
	vmig_vuc_request_end(&call, out, &c);
	r = vmig_vuc_call(v, &call, error);
	if (r < 0)
		return r;
	c = vmig_cursor_over(in, call.fixed_len);
	if (vmig_vu_blob_decode(&c, VMIG_DEVICE_OPAQUE_MAX, &blob) < 0)
		return vmig_vuc_broken(v, error, WHERE_CHECK, "the reply cannot be read");
	return blob.code ? refusal(&blob, error) : 0;
}

/* --- whose state it holds ----------------------------------------------------------------------- */

int vmig_vuc_query_tag(void *p, struct vmig_tag *ret, struct vmig_error *error)
{
	struct vmig_vu_query m = { .argsz = VMIG_VU_TAG_SIZE };
	uint8_t out[VMIG_VU_HEADER_SIZE + VMIG_VU_QUERY_SIZE], in[VMIG_VU_TAG_SIZE];
	struct vmig_vuc_call call = { .command = VMIG_VU_DEVICE_TAG, .fixed = in, .fixed_max = sizeof(in) };
	struct vmig_cursor c = vmig_vuc_request(out, sizeof(out));
	struct vmig_vuc *v = p;
	struct vmig_vu_tag got;
	int r;

	vmig_vu_query_encode(&c, &m);
	vmig_vuc_request_end(&call, out, &c);
	r = vmig_vuc_call(v, &call, error);
	if (r < 0)
		return r;
	c = vmig_cursor_over(in, call.fixed_len);
	if (vmig_vu_tag_decode(&c, &got) < 0)
		return vmig_vuc_broken(v, error, "DEVICE_TAG", "the reply cannot be read");
	*ret = got.tag;
	return 0;
}

int vmig_vuc_set_tag(void *p, const struct vmig_tag *tag, struct vmig_error *error)
{
	struct vmig_vu_tag m = { .argsz = VMIG_VU_TAG_SIZE, .tag = *tag };
	uint8_t out[VMIG_VU_HEADER_SIZE + VMIG_VU_TAG_SIZE];
	struct vmig_vuc_call call = { .command = VMIG_VU_DEVICE_SET_TAG };
	struct vmig_cursor c = vmig_vuc_request(out, sizeof(out));

	vmig_vu_tag_encode(&c, &m);
	vmig_vuc_request_end(&call, out, &c);
	return vmig_vuc_call(p, &call, error);
}
