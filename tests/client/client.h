/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * client - a small VMM of its own, by system calls alone: nothing of libvmig is in it. Linked statically too, it is a
 * program that takes no library. What does not go as it should ends it, with a line on stderr.
 *
 *	client.c           the commands
 *	client-open.c      opening, mapping, ioctls
 *	client-nic.c       a driver of the nic
 *	client-v1.c        the migration region, as v1's text has it
 *	client-fds.c       what becomes of descriptors: dup, fork, exec, close
 *	client-ways.c      what a program may do that is hard on a way in: signals, filters of its own, foreign calls
 */
#ifndef VMIG_TESTS_CLIENT_H
#define VMIG_TESTS_CLIENT_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vmig/uapi.h>

#define CLIENT_MEMORY (1u << 20)
#define CLIENT_SLOTS  64u

#define FAIL(...)                                                                                            \
	do {                                                                                                 \
		fprintf(stderr, "client: %s:%d: ", __FILE__, __LINE__);                                      \
		fprintf(stderr, __VA_ARGS__);                                                                \
		fputc('\n', stderr);                                                                         \
		exit(1);                                                                                     \
	} while (0)
#define MUST(condition)                                                                                      \
	do {                                                                                                 \
		if (!(condition))                                                                            \
			FAIL("%s (errno %d, %s)", #condition, errno, strerror(errno));                       \
	} while (0)
#define MUST_FAIL(call, error) MUST((call) == -1 && errno == (error))

struct client {
	bool iommufd, private; /* how; where the memory is the program's own */
	int number;            /* of the device: group 90 + number, vfio<number> */
	int container, group, iommu, device;
	uint32_t ioas;
	uint8_t *memory; /* CLIENT_MEMORY, at IOVA 0 */
	int irq;
	uint64_t consumer, interrupts; /* of the nic's first queue */
	uint64_t digest;               /* of the state that was sent */
};

void client_open(struct client *client);
void client_close(struct client *client);
void client_map(struct client *client);
/** Give the device memory that is shared, or the program's own. */
uint8_t *client_memory(const struct client *client);

int client_feature(int device, uint32_t flags, void *data, size_t len);
/** MIG_DEVICE_STATE; returns data_fd. */
int client_set_state(int device, uint32_t state);
uint32_t client_state(int device);
uint64_t client_region_offset(int device, uint32_t index);

void nic_start(struct client *client);
/** Take @n records: each is the one that is due, and each wait ends by an interrupt. */
void nic_take(struct client *client, uint64_t n);
void nic_must_have_interrupted(struct client *client);
/** What a VMM sends beside the device's own data: its memory, and the driver's place. */
void nic_save(struct client *client, FILE *to);
void nic_load(struct client *client, FILE *from);
void nic_check_arrived(struct client *client);

void v1_save(struct client *client, FILE *to);
/** To the end of the data: it is in _RESUMING still. */
void v1_load(struct client *client, FILE *from);
void v1_run(struct client *client);

/* An exit status. */
int fds_main(struct client *client, const char *what);
int ways_main(struct client *client, const char *what);

#endif
