/* SPDX-License-Identifier: BSD-3-Clause */
/* GET_IRQ_INFO, SET_IRQS. */
#include "server/vfio_user.h"

int vmig_served_irq_info(struct vmig_served *s, struct vmig_slink_msg *m)
{
	struct vmig_cursor c = vmig_cursor_over(m->body, m->body_len);
	uint8_t out[VMIG_VU_IRQ_INFO_SIZE];
	struct vmig_cursor o = vmig_cursor_into(out, sizeof(out));
	struct vmig_vu_irq_info req, info;
	struct vmig_irq irq;
	int r = vmig_vu_irq_info_decode(&c, &req);

	if (r < 0)
		return r;
	if (req.argsz < sizeof(out) || req.index >= s->info.n_irqs)
		return -EINVAL;
	r = vmig_device_query_irq(s->dev, req.index, &irq);
	if (r < 0)
		return r;
	info = (struct vmig_vu_irq_info){ sizeof(out), irq.flags, irq.index, irq.count };
	vmig_vu_irq_info_encode(&o, &info);
	return vmig_served_reply_to(s, m, out, &o);
}

/*
 * The descriptors of DATA_EVENTFD: one for each, or none at all, which disarms them. More than one message
 * can carry come in several messages.
 */
static int choose_fds(struct vmig_slink_msg *m, const struct vmig_vu_set_irqs *req, int *fds)
{
	if (m->fds_lost || (m->n_fds && !(req->flags & VMIG_IRQ_DATA_EVENTFD)))
		return -EINVAL;
	if (m->n_fds && (uint32_t)m->n_fds != req->count)
		return -EINVAL;
	for (uint32_t i = 0; i < req->count; i++)
		fds[i] = m->n_fds ? m->fds[i] : -1;
	return 0;
}

static int check(struct vmig_served *s, const struct vmig_vu_set_irqs *req)
{
	struct vmig_irq irq;
	int r;

	if (req->argsz < VMIG_VU_SET_IRQS_SIZE || req->index >= s->info.n_irqs)
		return -EINVAL;
	r = vmig_device_query_irq(s->dev, req->index, &irq);
	if (r < 0)
		return r;
	return req->start > irq.count || req->count > irq.count - req->start ? -EINVAL : 0;
}

int vmig_served_set_irqs(struct vmig_served *s, struct vmig_slink_msg *m)
{
	struct vmig_cursor c = vmig_cursor_over(m->body, m->body_len);
	struct vmig_vu_set_irqs req;
	struct vmig_irq_set set;
	int fds[VMIG_LIMIT_IRQS];
	int r = vmig_vu_set_irqs_decode(&c, &req);

	if (!r)
		r = check(s, &req);
	if (!r)
		r = choose_fds(m, &req, fds);
	if (r < 0)
		return r;
	set = (struct vmig_irq_set){ .flags = req.flags,
				     .index = req.index,
				     .start = req.start,
				     .count = req.count,
				     .bools = req.bools };
	if (req.flags & VMIG_IRQ_DATA_EVENTFD)
		set.fds = fds;
	r = vmig_device_set_irqs(s->dev, &set);
	return r < 0 ? r : vmig_served_reply(s, m, NULL, 0, NULL, 0, NULL, 0);
}

void vmig_served_drop_irqs(struct vmig_served *s)
{
	for (uint32_t i = 0; i < s->info.n_irqs; i++) {
		struct vmig_irq_set none = { .flags = VMIG_IRQ_DATA_NONE | VMIG_IRQ_ACTION_TRIGGER,
					     .index = i };
		struct vmig_irq irq;

		if (!vmig_device_query_irq(s->dev, i, &irq) && irq.count)
			(void)vmig_device_set_irqs(s->dev, &none);
	}
}
