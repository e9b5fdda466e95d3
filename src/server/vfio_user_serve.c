/* SPDX-License-Identifier: BSD-3-Clause */
/* The life of one client: one command after another, from a table, until it goes. */
#include <string.h>

#include "base/log.h"
#include "server/vfio_user.h"

struct command {
	int (*serve)(struct vmig_served *s, struct vmig_slink_msg *m);
	uint32_t cap; /* VMIG_VU_CAP_*: only if it was agreed on */
};

static const struct command commands[] = {
	[VMIG_VU_VERSION] = { vmig_served_version },
	[VMIG_VU_DMA_MAP] = { vmig_served_dma_map },
	[VMIG_VU_DMA_UNMAP] = { vmig_served_dma_unmap },
	[VMIG_VU_DEVICE_GET_INFO] = { vmig_served_get_info },
	[VMIG_VU_DEVICE_GET_REGION_INFO] = { vmig_served_region_info },
	[VMIG_VU_DEVICE_GET_REGION_IO_FDS] = { vmig_served_region_io_fds },
	[VMIG_VU_DEVICE_GET_IRQ_INFO] = { vmig_served_irq_info },
	[VMIG_VU_DEVICE_SET_IRQS] = { vmig_served_set_irqs },
	[VMIG_VU_REGION_READ] = { vmig_served_region_read },
	[VMIG_VU_REGION_WRITE] = { vmig_served_region_write },
	[VMIG_VU_DEVICE_RESET] = { vmig_served_reset },
	[VMIG_VU_DIRTY_PAGES] = { vmig_served_dirty_pages },
	[VMIG_VU_REGION_WRITE_MULTI] = { vmig_served_write_multi, VMIG_VU_CAP_WRITE_MULTIPLE },
	[VMIG_VU_DEVICE_FEATURE] = { vmig_served_feature },
	[VMIG_VU_MIG_DATA_READ] = { vmig_served_data_read },
	[VMIG_VU_MIG_DATA_WRITE] = { vmig_served_data_write },
};

/* From VMIG_VU_MIG_PRECOPY_INFO on. */
static const struct command experimental[] = {
	{ vmig_served_precopy_info, VMIG_VU_CAP_PRECOPY_INFO },
	{ vmig_served_identity, VMIG_VU_CAP_DEVICE_INFO },
	{ vmig_served_descriptor, VMIG_VU_CAP_COMPAT },
	{ vmig_served_opaque, VMIG_VU_CAP_COMPAT },
	{ vmig_served_opaque_check, VMIG_VU_CAP_COMPAT },
	{ vmig_served_tag, VMIG_VU_CAP_TAG },
	{ vmig_served_set_tag, VMIG_VU_CAP_TAG },
};
_Static_assert(VMIG_VU_EXPERIMENTAL_END - VMIG_VU_MIG_PRECOPY_INFO == ARRAY_SIZE(experimental),
	       "in the order of the commands");

static const struct command *find_command(const struct vmig_served *s, uint16_t number)
{
	const struct command *c = NULL;

	if (number < ARRAY_SIZE(commands))
		c = &commands[number];
	else if (number >= VMIG_VU_MIG_PRECOPY_INFO && number < VMIG_VU_EXPERIMENTAL_END)
		c = &experimental[number - VMIG_VU_MIG_PRECOPY_INFO];
	return c && c->serve && (s->caps.present & c->cap) == c->cap ? c : NULL;
}

int vmig_served_reply(struct vmig_served *s, const struct vmig_slink_msg *m, const void *fixed, size_t len,
		      const struct iovec *iov, int n, const int *fds, int n_fds)
{
	struct vmig_vu_header h = { .id = m->h.id, .command = m->h.command, .flags = VMIG_VU_TYPE_REPLY };

	if (m->h.flags & VMIG_VU_NO_REPLY)
		return 0;
	/* A failure has killed the link, so that the loop ends at its next turn. */
	(void)vmig_slink_send(s->link, &h, fixed, len, iov, n, fds, n_fds);
	return 0;
}

int vmig_served_reply_to(struct vmig_served *s, const struct vmig_slink_msg *m, const void *start,
			 const struct vmig_cursor *end)
{
	return vmig_served_reply(s, m, start, (size_t)(end->at - (const uint8_t *)start), NULL, 0, NULL, 0);
}

static void reply_error(struct vmig_served *s, const struct vmig_slink_msg *m, int error)
{
	struct vmig_vu_header h = { .id = m->h.id,
				    .command = m->h.command,
				    .flags = VMIG_VU_TYPE_REPLY | VMIG_VU_ERROR,
				    .error = (uint32_t)-error };

	if (error == -EPROTO)
		h.error = EINVAL; /* a bad argument, in the protocol's words */
	if (!(m->h.flags & VMIG_VU_NO_REPLY))
		(void)vmig_slink_send(s->link, &h, NULL, 0, NULL, 0, NULL, 0);
}

void *vmig_served_data(struct vmig_served *s, size_t len)
{
	if (len > s->data_size) {
		free(s->data);
		s->data = malloc(len);
		s->data_size = s->data ? len : 0;
	}
	return s->data;
}

/* An unknown command is ENOSYS: there is no such call, whatever its arguments. The stream stays in step. */
static int serve_one(struct vmig_served *s, struct vmig_slink_msg *m)
{
	const struct command *c = find_command(s, m->h.command);
	int r = c ? c->serve(s, m) : -ENOSYS;
	int skipped = vmig_slink_skip(s->link, m);

	if (skipped < 0)
		return skipped;
	if (r < 0)
		reply_error(s, m, r);
	/* Without an agreement on the version there is nothing more to say. */
	return r < 0 && m->h.command == VMIG_VU_VERSION && !s->link->versioned ? -EPROTO : 0;
}

static int serve_all(struct vmig_served *s)
{
	for (;;) {
		struct vmig_slink_msg *m;
		int r = vmig_slink_next(s->link, &m);

		if (r < 0)
			return r;
		r = serve_one(s, m);
		vmig_slink_done(s->link, m);
		if (r < 0)
			return r;
	}
}

int vmig_served_run(struct vmig_served *s)
{
	int r;

	s->link->server = pthread_self();
	r = serve_all(s);
	vmig_slink_kill(s->link, r);
	if (s->twin)
		vmig_slink_kill(s->twin, r);
	vmig_served_drop_irqs(s);
	vmig_served_drop_log(s);
	vmig_served_drop_maps(s);
	vmig_served_end_session(s);
	if (r == -ENODATA)
		return 0;
	vmig_log(VMIG_LOG_INFO, "vfio-user: a client was dropped: %s", strerrordesc_np(-r));
	return r;
}

void vmig_served_abort(struct vmig_served *s)
{
	struct vmig_slink *twin;

	vmig_slink_kill(s->link, -ECONNABORTED);
	pthread_mutex_lock(&s->link->lock);
	twin = s->twin;
	pthread_mutex_unlock(&s->link->lock);
	if (twin)
		vmig_slink_kill(twin, -ECONNABORTED);
}

int vmig_served_new(struct vmig_device *dev, const struct vmig_server_config *config, int fd,
		    struct vmig_served **ret)
{
	struct vmig_served *s = calloc(1, sizeof(*s));
	int r = s ? vmig_slink_new(fd, &s->link) : -ENOMEM;

	if (r < 0) {
		free(s);
		return r;
	}
	s->dev = dev;
	s->plain = config->plain;
	s->dma_by_message = config->dma_by_message;
	s->max_xfer = config->max_data_xfer_size ? config->max_data_xfer_size : VMIG_LIMIT_XFER_DEFAULT;
	s->caps = vmig_vu_caps_default;
	vmig_device_query_info(dev, &s->info);
	*ret = s;
	return 0;
}

void vmig_served_free(struct vmig_served *s)
{
	if (!s)
		return;
	vmig_slink_free(s->twin);
	vmig_slink_free(s->link);
	free(s->maps);
	free(s->data);
	free(s->bitmap);
	free(s);
}
