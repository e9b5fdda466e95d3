/* SPDX-License-Identifier: BSD-3-Clause */
/* vgpu - a mediated GPU as i915 GVT-g has them: it draws frames. Types, and several of one type as one device. */
#include <errno.h>
#include <stdio.h>

#include "models.h"
#include "rings.h"

#define STATE_OF_V5_4 (4u << 20)

static int vgpu_make(struct rings *rings, struct rings_batch *batch, uint8_t *records)
{
	uint8_t frame[VGPU_FRAME];
	int r = 0;

	for (uint32_t i = 0; !r && i < batch->n; i++) {
		uint64_t place = (batch->producer + i) % batch->slots;

		vgpu_frame_make(frame, batch->queue, batch->seq[i]);
		r = vmig_model_dma_write(rings->base.model, batch->area + place * VGPU_FRAME, frame,
					 sizeof(frame));
	}
	return r ? r : rings_make(rings, batch, records);
}

static uint64_t vgpu_read(const struct rings *rings, uint32_t offset)
{
	switch (offset) {
	case VGPU_TYPE:
		return rings->base.options.type;
	case VGPU_AGGREGATOR:
		return rings->base.options.aggregator;
	}
	return 0;
}

/* So many of a V5_4 are one of this type. */
static uint32_t weight(uint32_t type)
{
	return type == 2 ? 2 : 1;
}

int vgpu_open(const struct model_options *options, struct vmig_device **ret)
{
	struct model_options o = *options;
	char identity[VMIG_IDENTITY_MAX];
	const struct rings_setup setup = {
		.class = nic_class_of(VGPU_DEVICE),
		.name = "vgpu",
		.identity = identity,
		/* Another type, or another number of them, is another device. */
		.device = (uint64_t)o.aggregator << 40 | (uint64_t)o.type << 32 | VGPU_DEVICE << 16 |
			  NIC_VENDOR,
		.class_code = 0x038000,
		.queues = weight(o.type) * o.aggregator,
		.log = VMIG_HAS_IOMMU_LOG,
		.make = vgpu_make,
		.read = vgpu_read,
	};

	o.state = (o.state ? o.state : (uint64_t)STATE_OF_V5_4 * weight(o.type)) * o.aggregator;
	if (o.state > IMAGE_SIZE_MAX)
		return -EINVAL;
	snprintf(identity, sizeof(identity),
		 o.aggregator > 1 ? "mdev:i915-GVTg_V5_%u,aggregator=%u" : "mdev:i915-GVTg_V5_%u", o.type,
		 o.aggregator);
	return rings_open(&setup, &o, ret);
}
