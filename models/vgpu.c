/* SPDX-License-Identifier: BSD-3-Clause */
/* vgpu - a mediated GPU as i915 GVT-g has them: it draws frames. Types, and several of one type as one device. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "models.h"
#include "rings.h"

#define STATE_OF_V5_4  (4u << 20)
#define AGGREGATOR_MAX 8u

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

/* --- what it is ----------------------------------------------------------------------------------- */

struct text {
	char buf[4096];
	size_t len;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *text, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	text->len += (size_t)vsnprintf(text->buf + text->len, sizeof(text->buf) - text->len, format, ap);
	va_end(ap);
}

/* The attributes that the discussion of 2020 gave an i915 mediated device. */
static void put_entry(struct text *text, const struct model_options *o, uint32_t type, uint32_t aggregator,
		      uint32_t version)
{
	put(text,
	    "{\"pciid\": \"8086591d\", \"driver\": \"i915\", \"gvt-version\": \"v%u\", "
	    "\"mdev_type\": \"i915-GVTg_V5_%u\", \"aggregator\": \"%u\", \"pv-mode\": \"%s\"",
	    version, type, aggregator, o->pv ? "none, ppgtt, context" : "none");
	/* Only who has asked for another size than the type's has to say so. */
	if (o->state)
		put(text, ", \"state\": %llu", (unsigned long long)o->state * o->aggregator);
	put(text, "}");
}

/* As many engines and as much memory, in whatever pieces; its own release and the one before. */
static void describe(struct text *text, const struct model_options *o)
{
	uint32_t units = weight(o->type) * o->aggregator, version = o->version[1];
	const char *comma = "";

	put(text, "{\"self\": [");
	put_entry(text, o, o->type, o->aggregator, version);
	put(text, "], \"compatible\": [");
	for (uint32_t v = version > 1 ? version - 1 : version; v <= version; v++) {
		for (uint32_t type = 2; type <= 4; type += 2) {
			if (units % weight(type) || units / weight(type) > AGGREGATOR_MAX)
				continue;
			put(text, "%s", comma);
			put_entry(text, o, type, units / weight(type), v);
			comma = ", ";
		}
	}
	put(text, "]}");
}

int vgpu_open(const struct model_options *options, struct vmig_device **ret)
{
	uint32_t units = weight(options->type) * options->aggregator, version = options->version[1];
	char identity[VMIG_IDENTITY_MAX];
	struct text descriptor = { .len = 0 };
	struct model_options o = *options;
	const struct rings_setup setup = {
		.class = nic_class_of(VGPU_DEVICE),
		.name = "vgpu",
		.identity = identity,
		.device = VGPU_DEVICE << 16 | NIC_VENDOR,
		.class_code = 0x038000,
		.queues = units,
		.log = VMIG_HAS_IOMMU_LOG,
		.descriptor = descriptor.buf,
		.release = { .minor = (uint16_t)version,
			     .oldest = (uint16_t)(version > 1 ? version - 1 : version),
			     .features = o.pv },
		.make = vgpu_make,
		.read = vgpu_read,
	};

	/* The key is of one of the type. */
	o.state = o.state ? o.state * o.aggregator : (uint64_t)STATE_OF_V5_4 * units;
	if (o.state > IMAGE_SIZE_MAX)
		return -EINVAL;
	describe(&descriptor, options);
	snprintf(identity, sizeof(identity),
		 o.aggregator > 1 ? "mdev:i915-GVTg_V5_%u,aggregator=%u" : "mdev:i915-GVTg_V5_%u", o.type,
		 o.aggregator);
	return rings_open(&setup, &o, ret);
}
