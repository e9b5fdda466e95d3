/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * vmm - a small VMM: a guest with 4 MiB of memory and two devices, one of which does DMA into the other.
 *
 * Each file has what a real VMM has in its place: machine.c opens devices and wires them, guest.c runs what runs, migrate.c
 * is all that has to be said to libvmig.
 */
#ifndef MINI_VMM_VMM_H
#define MINI_VMM_VMM_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <vmig/device.h>
#include <vmig/migrate.h>
#include <vmig/space.h>

#define VMM_DEVICES 2u
#define VMM_FIRST   0u /* generates, into the inbox of the second */
#define VMM_SECOND  1u /* forwards, into the guest's memory */

#define VMM_RAM_SIZE    (4u << 20)
#define VMM_RAM_IOVA    0x40000000ull
#define VMM_INBOX_IOVA  0x100000000ull /* where the second device's BAR 2 is */
#define VMM_RING        0u             /* in the RAM: what the second device writes */
#define VMM_DIARY       (1u << 20)     /* what the guest writes: one word for each record, round and round */
#define VMM_DIARY_WORDS (64u << 10)

/** How far the guest has come. It travels in the user's record. */
struct guest {
	uint64_t seen, lost, doubled, corrupt;
};

struct vmm {
	struct vmig_device *devices[VMM_DEVICES];
	int device_fds
		[VMM_DEVICES]
		[3]; /* what this VMM has open of a kernel device: device, group, container (or iommufd) */
	struct vmig_device *memory; /* the RAM, as a thing that moves */
	struct vmig_space *space;
	int ram_fd, irq_fd, kick_fd;
	uint8_t *ram, *ram_for_devices;           /* two views: the devices write beside the guest */
	uint8_t *inbox;                           /* the second device's BAR 2 */
	uint64_t dirty[VMM_RAM_SIZE / 4096 / 64]; /* pages that the guest has written; atomically */

	pthread_t thread;
	bool runs, stop; /* @stop: atomically */
	struct guest guest;
	pthread_mutex_t lock; /* of @guest, for who looks on */
	int error;
};

/* machine.c: 0 or a negative errno, which has been said. @specs: "relay", "vfio-user:PATH", "group:...", "cdev:...". */
int vmm_open(struct vmm *vmm, char **specs);
void vmm_close(struct vmm *vmm);
/** Set both devices up from nothing, as a guest's drivers do. */
int vmm_set_up(struct vmm *vmm);
/** Interrupts and PCI configuration are the user's, and are made anew where the devices have come to. */
int vmm_arm(struct vmm *vmm, uint32_t device);
int vmm_write(struct vmm *vmm, uint32_t device, uint32_t index, uint64_t offset, uint64_t value, size_t len);
int vmm_read(struct vmm *vmm, uint32_t device, uint64_t offset, uint64_t *ret);

/* guest.c */
void guest_start(struct vmm *vmm);
/** On return nothing of the guest runs. */
void guest_pause(struct vmm *vmm);
struct guest guest_look(struct vmm *vmm);
/** Wait until it has seen so many records. False: it does not come to that. */
bool guest_wait(struct vmm *vmm, uint64_t seen);
/** Is what the guest has written to its memory what it must have written? */
bool guest_diary_is_right(struct vmm *vmm);

/* migrate.c: an exit status. */
int migrate_to(struct vmm *vmm, const char *address);
int migrate_from(struct vmm *vmm, const char *address);

#endif
