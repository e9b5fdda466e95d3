/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * client - a small VMM that uses nothing of vmig's but the layouts of the uAPI: system calls of the C library on
 * /dev/vfio, a nic, and guest memory. A program for tests; whatever fails ends it with a line on stderr.
 */
#ifndef VMIG_TESTS_VMM_CLIENT_H
#define VMIG_TESTS_VMM_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLIENT_MEMORY (1u << 20)
#define CLIENT_IOVA   0x100000ull
#define CLIENT_SLOTS  64u
#define CLIENT_INDEX  0x10000u /* in memory: the ring is at 0 */

struct client {
	int container, group, fd, irq_fd;
	bool memfd;
	unsigned int groups_before; /* of devices that are another's */
	const char *iommufd, *cdev; /* numbers of descriptors that were passed; NULL: by the container */
	uint8_t *memory;
	uint64_t consumer;
	uint64_t config_offset, bar0, doorbells; /* of the device's descriptor */
};

__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *format, ...);
/** Fails with errno unless @ok. */
void need(bool ok, const char *what);

/* --- the device: client-device.c ----------------------------------------------------------------- */

void client_open(struct client *c);
void client_close(struct client *c);
/** What is the user's own: bus master, interrupts. */
void client_arm(struct client *c);
void client_start_queue(struct client *c);
/** Take @n records, and check each. */
void client_take(struct client *c, unsigned int n);
/** Take no more until the ring is full: then the device's state stays as it is. */
void client_fill(struct client *c);
uint64_t client_digest(struct client *c);
uint64_t client_read(struct client *c, uint32_t reg);
void client_region(struct client *c, uint32_t index, uint64_t *ret_offset, uint64_t *ret_size,
		   uint32_t *ret_type);

/* --- migration: client-v2.c, client-v1.c; the data in pieces on a descriptor ------------------------ */

void client_put(int fd, const void *data, size_t len);
void client_get(int fd, void *data, size_t len);

/** From RUNNING to STOP, and from RUNNING to RUNNING. */
void client_save_v2(struct client *c, int to);
void client_load_v2(struct client *c, int from);
void client_save_v1(struct client *c, int to);
void client_load_v1(struct client *c, int from);
uint32_t client_state_v2(struct client *c);

#endif
