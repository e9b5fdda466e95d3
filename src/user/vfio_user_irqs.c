/* SPDX-License-Identifier: BSD-3-Clause */
/* Interrupts of a vfio-user server. */
#include "user/vfio_user.h"

int vmig_vuc_query_irq(void *p, uint32_t index, struct vmig_irq *ret, struct vmig_error *error)
{
	struct vmig_vuc *v = p;
	uint8_t out[VMIG_VU_HEADER_SIZE + VMIG_VU_IRQ_INFO_SIZE], in[64];
	struct vmig_vu_irq_info m = { .argsz = VMIG_VU_IRQ_INFO_SIZE, .index = index }, got;
	struct vmig_vuc_call call = { .command = VMIG_VU_DEVICE_GET_IRQ_INFO,
				      .fixed = in,
				      .fixed_max = sizeof(in) };
	struct vmig_cursor c = vmig_vuc_request(out, sizeof(out));
	int r;

	if (index >= v->info.n_irqs)
		return vmig_fault(error, -EINVAL, "DEVICE_GET_IRQ_INFO", "there is no interrupt index %u",
				  index);
	vmig_vu_irq_info_encode(&c, &m);
	vmig_vuc_request_end(&call, out, &c);
	r = vmig_vuc_call(v, &call, error);
	if (r < 0)
		return r;
	c = vmig_cursor_over(in, call.fixed_len);
	if (vmig_vu_irq_info_decode(&c, &got) < 0 || got.index != index)
		return vmig_vuc_broken(v, error, "DEVICE_GET_IRQ_INFO",
				       "what the server says of interrupt index %u contradicts itself",
				       index);
	*ret = (struct vmig_irq){ .index = index, .flags = got.flags, .count = got.count };
	return 0;
}

/* One message: descriptors that all exist, or none at all. */
static int set_some(struct vmig_vuc *v, const struct vmig_irq_set *set, uint32_t first, uint32_t n,
		    const int *fds, struct vmig_error *error)
{
	uint8_t out[VMIG_VU_HEADER_SIZE + VMIG_VU_SET_IRQS_SIZE];
	bool bools = set->flags & VMIG_IRQ_DATA_BOOL;
	struct vmig_vu_set_irqs m = { .argsz = VMIG_VU_SET_IRQS_SIZE + (bools ? n : 0),
				      .flags = set->flags,
				      .index = set->index,
				      .start = set->start + first,
				      .count = n };
	struct iovec iov = { bools ? (void *)(uintptr_t)(set->bools + first) : NULL, n };
	struct vmig_vuc_call call = { .command = VMIG_VU_DEVICE_SET_IRQS,
				      .data = &iov,
				      .n_data = bools,
				      .send_fds = fds,
				      .n_send_fds = fds ? n : 0 };
	struct vmig_cursor c = vmig_vuc_request(out, sizeof(out));

	vmig_vu_set_irqs_encode(&c, &m);
	vmig_vuc_request_end(&call, out, &c);
	return vmig_vuc_call(v, &call, error);
}

/* How many from @at on go into one message. */
static uint32_t run_of(const struct vmig_irq_set *set, uint32_t at, uint32_t max)
{
	bool armed = set->fds[at] >= 0;
	uint32_t n = 1;

	while (at + n < set->count && (set->fds[at + n] >= 0) == armed && (!armed || n < max))
		n++;
	return n;
}

int vmig_vuc_set_irqs(void *p, const struct vmig_irq_set *set, struct vmig_error *error)
{
	struct vmig_vuc *v = p;
	int r = 0;

	if (set->count > VMIG_LIMIT_IRQS)
		return vmig_fault(error, -E2BIG, "DEVICE_SET_IRQS", "%u interrupts at once", set->count);
	if (!(set->flags & VMIG_IRQ_DATA_EVENTFD))
		return set_some(v, set, 0, set->count, NULL, error);
	for (uint32_t at = 0, n; at < set->count && !r; at += n) {
		n = run_of(set, at, v->caps.max_msg_fds);
		r = set_some(v, set, at, n, set->fds[at] >= 0 ? set->fds + at : NULL, error);
	}
	return r;
}
