/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a device is, before anything moves: its descriptor, and its driver's version data. Of a driver that tells these only
 * at the head of its stream, the head is read, and fed to an idle device of the destination.
 */
#include <string.h>

#include "handle/handle.h"

static int unoffered(struct vmig_device *dev, const char *where)
{
	return vmig_device_fault(dev, -EOPNOTSUPP, where, "the device does not offer it");
}

int vmig_device_query_descriptor(struct vmig_device *dev, char **ret_json)
{
	struct vmig_error error = { 0 };
	char *json = NULL;
	int r;

	if (!dev->ops->query_descriptor)
		return unoffered(dev, "DESCRIPTOR");
	r = dev->ops->query_descriptor(dev->p, &json, &error);
	if (r < 0)
		return vmig_device_keep_error(dev, r, &error, "DESCRIPTOR");
	if (strlen(json) >= VMIG_DEVICE_DESCRIPTOR_MAX) {
		free(json);
		return vmig_device_fault(dev, -E2BIG, "DESCRIPTOR", "longer than %u bytes",
					 VMIG_DEVICE_DESCRIPTOR_MAX);
	}
	*ret_json = json;
	return 0;
}

/* --- the head of the stream -------------------------------------------------------------------- */

/** The device is in RUNNING and tells by the head of its stream. */
static int check_idle(struct vmig_device *dev, uint64_t needs, const char *where)
{
	uint32_t state;
	int r;

	if (!(dev->info.traits & VMIG_TRAIT_MATCH_FIRST) || (dev->info.migration_flags & needs) != needs)
		return unoffered(dev, where);
	r = vmig_device_query_state(dev, &state);
	if (r < 0)
		return r;
	if (state != VMIG_STATE_RUNNING)
		return vmig_device_fault(dev, -EOPNOTSUPP, where, "only in RUNNING can the driver be asked");
	return 0;
}

/* All initial data, which of such a driver is its version data. */
static int read_head(struct vmig_device *dev, struct vmig_session *session, uint8_t *buf, size_t *ret_len)
{
	size_t len = 0;
	ssize_t n = 1;

	while (n > 0 && len < VMIG_DEVICE_OPAQUE_MAX) {
		struct iovec iov = { buf + len, VMIG_DEVICE_OPAQUE_MAX - len };

		n = vmig_session_readv(session, &iov, 1);
		if (n > 0)
			len += (size_t)n;
	}
	if (n < 0 && n != -ENOMSG)
		return (int)n;
	if (!len || len == VMIG_DEVICE_OPAQUE_MAX)
		return vmig_device_fault(dev, -EOPNOTSUPP, "OPAQUE", "the head of the stream is %s",
					 len ? "too long" : "empty");
	*ret_len = len;
	return 0;
}

static int query_head(struct vmig_device *dev, void *buf, size_t *ret_len)
{
	struct vmig_session *session = NULL;
	int r = check_idle(dev, VMIG_MIGRATION_PRE_COPY, "OPAQUE"), back;

	if (!r)
		r = vmig_device_set_state(dev, VMIG_STATE_PRE_COPY, VMIG_STATE_RUNNING, &session);
	if (r < 0)
		return r;
	r = read_head(dev, session, buf, ret_len);
	vmig_session_close(session);
	back = vmig_device_set_state(dev, VMIG_STATE_RUNNING, VMIG_STATE_NONE, NULL);
	/* A device that does not come back is worse than one that tells nothing. */
	if (back == -EOPNOTSUPP)
		back = -EIO;
	return back < 0 ? back : r;
}

static int feed_head(struct vmig_device *dev, const void *data, size_t len)
{
	struct iovec iov = { (void *)data, len };
	struct vmig_session *session = NULL;
	struct vmig_error why;
	int r = check_idle(dev, 0, "OPAQUE_CHECK"), back;

	if (!r && !(dev->info.flags & VMIG_DEVICE_FLAG_RESET))
		r = unoffered(dev, "OPAQUE_CHECK");
	if (r < 0)
		return r;
	r = vmig_device_set_state(dev, VMIG_STATE_RESUMING, VMIG_STATE_NONE, &session);
	if (!r)
		r = vmig_session_writev(session, &iov, 1);
	if (!r)
		r = vmig_session_flush(session);
	vmig_device_query_error(dev, &why);
	vmig_session_close(session);
	back = vmig_device_reset(dev);
	if (back < 0)
		return back;
	if (r == -EOPNOTSUPP)
		r = -EINVAL; /* which would mean that it cannot tell */
	return r < 0 ? vmig_device_keep_error(dev, r, &why, "OPAQUE_CHECK") : 0;
}

/* --- the driver's version data ------------------------------------------------------------------ */

int vmig_device_query_opaque(struct vmig_device *dev, void *buf, size_t *ret_len)
{
	struct vmig_error error = { 0 };
	size_t len = 0;
	int r;

	if (!dev->ops->query_opaque)
		return query_head(dev, buf, ret_len);
	r = dev->ops->query_opaque(dev->p, buf, &len, &error);
	if (r < 0)
		return vmig_device_keep_error(dev, r, &error, "OPAQUE");
	if (!len || len > VMIG_DEVICE_OPAQUE_MAX)
		return vmig_device_fault(dev, -EPROTO, "OPAQUE", "%zu bytes of version data", len);
	*ret_len = len;
	return 0;
}

int vmig_device_check_opaque(struct vmig_device *dev, const void *data, size_t len)
{
	struct vmig_error error = { 0 };
	int r;

	if (!len || len > VMIG_DEVICE_OPAQUE_MAX)
		return vmig_device_fault(dev, -EINVAL, "OPAQUE_CHECK",
					 "%zu bytes of version data: there are 1 to %u", len,
					 VMIG_DEVICE_OPAQUE_MAX);
	if (!dev->ops->check_opaque)
		return feed_head(dev, data, len);
	r = dev->ops->check_opaque(dev->p, data, len, &error);
	return r < 0 ? vmig_device_keep_error(dev, r, &error, "OPAQUE_CHECK") : 0;
}

/* --- whose state it holds ----------------------------------------------------------------------- */

static bool carries_tag(const struct vmig_device *dev)
{
	return (dev->info.has & VMIG_HAS_TAG) && dev->ops->query_tag && dev->ops->set_tag;
}

int vmig_device_query_tag(struct vmig_device *dev, struct vmig_tag *ret)
{
	struct vmig_error error = { 0 };
	int r;

	if (!carries_tag(dev))
		return vmig_device_fault(dev, -EOPNOTSUPP, "TAG", "the device carries no tag");
	r = dev->ops->query_tag(dev->p, ret, &error);
	return r < 0 ? vmig_device_keep_error(dev, r, &error, "TAG") : 0;
}

int vmig_device_set_tag(struct vmig_device *dev, const struct vmig_tag *tag)
{
	struct vmig_error error = { 0 };
	int r;

	if (!carries_tag(dev))
		return vmig_device_fault(dev, -EOPNOTSUPP, "SET_TAG", "the device carries no tag");
	/* A walk that begins to load takes the identity away: before or after this, not between. */
	pthread_mutex_lock(&dev->state_lock);
	r = dev->ops->set_tag(dev->p, tag, &error);
	pthread_mutex_unlock(&dev->state_lock);
	return r < 0 ? vmig_device_keep_error(dev, r, &error, "SET_TAG") : 0;
}
