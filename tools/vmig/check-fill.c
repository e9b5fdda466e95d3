/* SPDX-License-Identifier: BSD-3-Clause */
#include "check-fill.h"

#include <errno.h>
#include <time.h>

#include "models/nic.h"

#define PAGE        4096u
#define CONFIG      VMIG_REGION_PCI_CONFIG
#define COMMAND     0x04
#define MASTER      0x06 /* and memory */
#define WAIT_MS     5000
#define QUEUE(what) (NIC_QUEUE(0) + (what))

static int write_register(const struct check_bus *bus, uint32_t offset, uint64_t value)
{
	uint8_t buf[8];

	put_le64(buf, value);
	return bus->write(bus->opaque, NIC_BAR_REGISTERS, offset, buf, sizeof(buf));
}

static int is_nic(const struct check_bus *bus)
{
	uint8_t ids[4];

	if (bus->read(bus->opaque, CONFIG, 0, ids, sizeof(ids)))
		return -EOPNOTSUPP;
	return get_le32(ids) == (NIC_VENDOR | (uint32_t)NIC_DEVICE << 16) ? 0 : -EOPNOTSUPP;
}

/* A ring that nobody empties is written to once; its index is in the page behind it. */
static int fill(const struct check_bus *bus, uint64_t iova, uint32_t pages)
{
	const uint8_t master[2] = { MASTER };
	uint32_t ring = (pages - 1) * PAGE;
	int r = is_nic(bus);

	r = r ? r : write_register(bus, QUEUE(NIC_QUEUE_CONTROL), 0);
	r = r ? r : write_register(bus, QUEUE(NIC_QUEUE_BASE), iova);
	r = r ? r : write_register(bus, QUEUE(NIC_QUEUE_INDEX), iova + ring + 64);
	r = r ? r : write_register(bus, QUEUE(NIC_QUEUE_SLOTS), ring / NIC_RECORD);
	r = r ? r : bus->write(bus->opaque, CONFIG, COMMAND, master, sizeof(master));
	return r ? r : write_register(bus, QUEUE(NIC_QUEUE_CONTROL), 1);
}

static int calm(const struct check_bus *bus)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	uint8_t status[8] = { 0 };
	int r = is_nic(bus);

	r = r ? r : write_register(bus, QUEUE(NIC_QUEUE_CONTROL), 0);
	for (int i = 0; !r && i < WAIT_MS; i++) {
		r = bus->read(bus->opaque, NIC_BAR_REGISTERS, QUEUE(NIC_QUEUE_CONTROL), status,
			      sizeof(status));
		if (r || !(get_le64(status) & NIC_QUEUE_STATUS_ACTIVE))
			return r;
		nanosleep(&ms, NULL);
	}
	return r ? r : -EBUSY;
}

const struct check_filler check_fill_nic = { .fill = fill, .calm = calm };
