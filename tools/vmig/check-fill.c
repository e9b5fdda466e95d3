/* SPDX-License-Identifier: BSD-3-Clause */
#include "check-fill.h"

#include <errno.h>
#include <time.h>

#include "models/accel.h"

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

/* 0, or the device's id. */
static uint32_t id_of(const struct check_bus *bus)
{
	uint8_t ids[4];

	if (bus->read(bus->opaque, CONFIG, 0, ids, sizeof(ids)) || (get_le32(ids) & 0xffff) != NIC_VENDOR)
		return 0;
	return get_le32(ids) >> 16;
}

static int read_register(const struct check_bus *bus, uint32_t offset, uint64_t *ret)
{
	uint8_t buf[8];
	int r = bus->read(bus->opaque, NIC_BAR_REGISTERS, offset, buf, sizeof(buf));

	if (!r)
		*ret = get_le64(buf);
	return r;
}

/* A ring that nobody empties is written to once; its index is in the page behind it. */
static int set_up(const struct check_bus *bus, uint64_t iova, uint32_t ring, uint64_t area)
{
	const uint8_t master[2] = { MASTER };
	int r = write_register(bus, QUEUE(NIC_QUEUE_CONTROL), 0);

	r = r ? r : write_register(bus, QUEUE(NIC_QUEUE_BASE), iova);
	r = r ? r : write_register(bus, QUEUE(NIC_QUEUE_INDEX), iova + ring + 64);
	r = r ? r : write_register(bus, QUEUE(NIC_QUEUE_AREA), area);
	r = r ? r : write_register(bus, QUEUE(NIC_QUEUE_SLOTS), ring / NIC_RECORD);
	r = r ? r : bus->write(bus->opaque, CONFIG, COMMAND, master, sizeof(master));
	return r ? r : write_register(bus, QUEUE(NIC_QUEUE_CONTROL), 1);
}

static int give_jobs(const struct check_bus *bus, uint64_t last)
{
	uint8_t doorbell[4];

	put_le32(doorbell, (uint32_t)last);
	return bus->write(bus->opaque, NIC_BAR_DOORBELLS, ACCEL_DOORBELL_JOBS(0), doorbell, sizeof(doorbell));
}

/* An accel's jobs are its own results here, which are none; it says so in each, and goes on. */
static int fill(const struct check_bus *bus, uint64_t iova, uint32_t pages)
{
	uint32_t id = id_of(bus), ring = (pages - 1) * PAGE;
	uint64_t producer = 0;
	int r;

	if (id != NIC_DEVICE && id != ACCEL_DEVICE)
		return -EOPNOTSUPP;
	r = set_up(bus, iova, ring, iova);
	if (r || id == NIC_DEVICE)
		return r;
	r = read_register(bus, QUEUE(NIC_QUEUE_PRODUCER), &producer);
	return r ? r : give_jobs(bus, producer + ring / NIC_RECORD);
}

static int work(const struct check_bus *bus, uint64_t iova, uint32_t pages, uint64_t from, uint8_t *at)
{
	uint32_t ring = (pages - 1) * PAGE, slots = ring / NIC_RECORD;
	uint64_t producer = 0;
	int r;

	if (id_of(bus) != ACCEL_DEVICE)
		return -EOPNOTSUPP;
	r = set_up(bus, iova, ring, from);
	r = r ? r : read_register(bus, QUEUE(NIC_QUEUE_PRODUCER), &producer);
	for (uint64_t n = producer; !r && n < producer + slots; n++)
		accel_job_make(at + n % slots * ACCEL_JOB, 0, n);
	return r ? r : give_jobs(bus, producer + slots);
}

static int has_read(const struct check_bus *bus)
{
	uint64_t bad = 0;
	int r = read_register(bus, ACCEL_BAD_JOBS, &bad);

	return r ? r : !bad;
}

static int calm(const struct check_bus *bus)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	uint8_t status[8] = { 0 };
	uint32_t id = id_of(bus);
	int r = id == NIC_DEVICE || id == ACCEL_DEVICE ? 0 : -EOPNOTSUPP;

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

const struct check_filler check_fill_nic = { .fill = fill, .work = work, .has_read = has_read, .calm = calm };
