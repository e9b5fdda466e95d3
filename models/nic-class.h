/* SPDX-License-Identifier: BSD-3-Clause */
/** nic-class - in what nic, accel and vgpu differ for a driver. */
#ifndef MODELS_NIC_CLASS_H
#define MODELS_NIC_CLASS_H

#include <stdbool.h>

#include "accel.h"
#include "nic.h"
#include "vgpu.h"

struct nic_class {
	uint16_t device; /* PCI device id; the vendor is NIC_VENDOR */
	uint32_t magic;  /* the low half of NIC_MAGIC */
	bool msix;       /* an MSI-X vector for each queue; else one of MSI for all */
	bool has_jobs; /* a queue's area is a ring of jobs, which the driver writes; else what the device writes */
	uint32_t area_slot; /* bytes of a queue's area for each slot of its ring; 0: there is no area */
};

static const struct nic_class nic_classes[] = {
	{ .device = NIC_DEVICE, .magic = NIC_MAGIC_VALUE, .msix = true },
	{ .device = ACCEL_DEVICE,
	  .magic = ACCEL_MAGIC_VALUE,
	  .msix = true,
	  .has_jobs = true,
	  .area_slot = ACCEL_JOB },
	{ .device = VGPU_DEVICE, .magic = VGPU_MAGIC_VALUE, .area_slot = VGPU_FRAME },
};

/** NULL: none of them. */
static inline const struct nic_class *nic_class_of(uint16_t device)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(nic_classes); i++)
		if (nic_classes[i].device == device)
			return &nic_classes[i];
	return NULL;
}

#endif
