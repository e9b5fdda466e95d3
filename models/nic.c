/* SPDX-License-Identifier: BSD-3-Clause */
/* nic - a network card as an mlx5 virtual function. It is a device of rings, with nothing of its own. */
#include "models.h"
#include "rings.h"

int nic_open(const struct model_options *options, struct vmig_device **ret)
{
	const struct rings_setup setup = {
		.class = nic_class_of(NIC_DEVICE),
		.name = "nic",
		.identity = "pci:1b36:0fe0/nic",
		.device = NIC_DEVICE << 16 | NIC_VENDOR,
		.class_code = 0x020000,
		.queues = options->queues,
		.log = VMIG_HAS_DMA_LOG,
		.make = rings_make,
	};

	return rings_open(&setup, options, ret);
}
