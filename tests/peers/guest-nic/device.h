/* SPDX-License-Identifier: BSD-3-Clause */
/** device - a driver for vmig's reference devices: it checks every record that they send. */
#ifndef GUEST_DEVICE_H
#define GUEST_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#define DEVICES_MAX 4u
#define QUEUES_MAX  4u
#define SLOTS       512u
#define VECTORS     8u /* set apart for each device */

struct queue {
	uint8_t *ring, *area; /* records; jobs or frames */
	volatile uint32_t *index;
	uint64_t taken;    /* records that have been looked at */
	uint64_t expected; /* number of the next one */
	uint64_t jobs;     /* handed in */
	uint32_t seen;     /* interrupts, when last looked at */
	uint32_t waits;    /* ticks for which something is there and no interrupt came */
};

struct device {
	const struct nic_class *class;
	unsigned int number, slot, n_queues, n_vectors;
	uint32_t registers, doorbells; /* BAR 0 and 2 */
	struct queue queues[QUEUES_MAX];
	bool quiet; /* rings no doorbells */
	bool poll;
	/* What was found wrong. A record that comes too early counts as lost ones before it. */
	uint32_t lost, doubled, corrupt, overruns, bad_frames;
	uint32_t late; /* interrupts that did not come */
};

extern struct device devices[DEVICES_MAX];
extern unsigned int n_devices;

/** Find the devices on bus 0. */
void devices_find(void);
/** Set up the queues of all, and let them send. */
void devices_start(bool poll);
/** Disable the queues; returns when no DMA is under way. */
void devices_stop(void);
void devices_quiet(bool quiet);
/** Take what has come. @tick: the timer's number. Returns whether there was anything. */
bool devices_work(uint32_t tick);

/* Registers of 8 bytes. */
uint64_t device_read(const struct device *dev, uint32_t offset);
void device_write(const struct device *dev, uint32_t offset, uint64_t value);
/** NIC_CONTROL_*: returns NIC_RESULT. */
uint64_t device_control(const struct device *dev, uint32_t command);

const char *device_kind(const struct device *dev);

#endif
