/* SPDX-License-Identifier: BSD-3-Clause */
/* Experimental: what tells compatibility before anything moves, and whose state a device holds. The device answers; here it is put into messages. */
#include <string.h>

#include "server/vfio_user.h"

/** The bytes go from where they lie. */
static int reply_blob(struct vmig_served *s, const struct vmig_slink_msg *m, uint32_t code, const void *bytes,
		      size_t len)
{
	const struct vmig_vu_blob head = { .argsz = (uint32_t)(VMIG_VU_BLOB_SIZE + len),
					   .code = code,
					   .len = (uint32_t)len };
	uint8_t out[VMIG_VU_BLOB_SIZE];
	struct vmig_cursor o = vmig_cursor_into(out, sizeof(out));
	struct iovec iov = { (void *)bytes, len };

	vmig_vu_blob_encode(&o, &head);
	return vmig_served_reply(s, m, out, sizeof(out), &iov, len != 0, NULL, 0);
}

static int check_query(struct vmig_slink_msg *m, uint32_t *ret_argsz)
{
	struct vmig_cursor c = vmig_cursor_over(m->body, m->body_len);
	struct vmig_vu_query req;
	int r = vmig_vu_query_decode(&c, &req);

	if (r < 0)
		return r;
	*ret_argsz = req.argsz;
	return req.flags ? -EINVAL : 0;
}

int vmig_served_descriptor(struct vmig_served *s, struct vmig_slink_msg *m)
{
	_autofree_ char *json = NULL;
	uint32_t argsz;
	int r = check_query(m, &argsz);

	if (!r)
		r = vmig_device_query_descriptor(s->dev, &json);
	if (r < 0)
		return r;
	if (argsz < VMIG_VU_BLOB_SIZE + strlen(json))
		return -EINVAL;
	return reply_blob(s, m, 0, json, strlen(json));
}

int vmig_served_opaque(struct vmig_served *s, struct vmig_slink_msg *m)
{
	uint8_t data[VMIG_DEVICE_OPAQUE_MAX];
	uint32_t argsz;
	size_t len;
	int r = check_query(m, &argsz);

	if (!r)
		r = vmig_device_query_opaque(s->dev, data, &len);
	if (r < 0)
		return r;
	return argsz < VMIG_VU_BLOB_SIZE + len ? -EINVAL : reply_blob(s, m, 0, data, len);
}

int vmig_served_opaque_check(struct vmig_served *s, struct vmig_slink_msg *m)
{
	struct vmig_cursor c = vmig_cursor_over(m->body, m->body_len);
	struct vmig_error why = { 0 };
	struct vmig_vu_blob req;
	int r = vmig_vu_blob_decode(&c, VMIG_DEVICE_OPAQUE_MAX, &req);

	if (r < 0)
		return r;
	if (req.code)
		return -EINVAL;
	r = vmig_device_check_opaque(s->dev, req.bytes, req.len);
	if (r == -EOPNOTSUPP)
		return r;
	if (r < 0)
		vmig_device_query_error(s->dev, &why);
	return reply_blob(s, m, (uint32_t)-r, why.text, strlen(why.text));
}

int vmig_served_tag(struct vmig_served *s, struct vmig_slink_msg *m)
{
	struct vmig_vu_tag reply = { .argsz = VMIG_VU_TAG_SIZE };
	uint8_t out[VMIG_VU_TAG_SIZE];
	struct vmig_cursor o = vmig_cursor_into(out, sizeof(out));
	uint32_t argsz;
	int r = check_query(m, &argsz);

	if (!r)
		r = vmig_device_query_tag(s->dev, &reply.tag);
	if (r < 0)
		return r;
	if (argsz < VMIG_VU_TAG_SIZE)
		return -EINVAL;
	vmig_vu_tag_encode(&o, &reply);
	return vmig_served_reply_to(s, m, out, &o);
}

int vmig_served_set_tag(struct vmig_served *s, struct vmig_slink_msg *m)
{
	struct vmig_cursor c = vmig_cursor_over(m->body, m->body_len);
	struct vmig_vu_tag req;
	int r = vmig_vu_tag_decode(&c, &req);

	if (!r)
		r = vmig_device_set_tag(s->dev, &req.tag);
	return r < 0 ? r : vmig_served_reply(s, m, NULL, 0, NULL, 0, NULL, 0);
}
