/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * vmm - a program that does with its devices what a VMM does, by the system calls alone: opens them, maps memory,
 * drives a nic, migrates it. Failures fail the test; what may fail returns -errno.
 */
#ifndef VMIG_TESTS_VMM_H
#define VMIG_TESTS_VMM_H

#include "tests/common/toy.h"
#include "way.h"

#define VMM_DEVICES 4

struct vmm {
	struct way way;
	struct vmig_device *devices[VMM_DEVICES];
	struct toy *toys[VMM_DEVICES]; /* of the devices that are one */
	struct vmig_kabi_status status[VMM_DEVICES];
	int n, container, iommufd;
	uint32_t ioas, dev_id[VMM_DEVICES], hwpt[VMM_DEVICES];
	int group[VMM_DEVICES], fd[VMM_DEVICES]; /* of each device; -1 */
	uint8_t *memory;                         /* VMM_MEMORY bytes, of the guest */
	int memory_fd;
};

#define VMM_MEMORY (16u << 20)

/**
 * Models of the specs, up to a NULL; @config's devices are made of them, if it is not NULL. Opens nothing.
 * "toy" is one of those, "toy-no-log", "toy-stays" (does not migrate) and "toy-no-reset" others; "v1+" before a spec
 * shows it through a migration region.
 */
void vmm_init(struct vmm *vmm, const struct vmig_kabi_config *config, ...);
void vmm_done(struct vmm *vmm);

/** Container, groups, devices, in the order of QEMU. */
void vmm_open_container(struct vmm *vmm);
/** The same by iommufd; each device gets a page table with dirty tracking. */
void vmm_open_iommufd(struct vmm *vmm);
/** Map [@offset, @offset + @size) of the guest's memory at @iova; by either. */
int vmm_map(struct vmm *vmm, uint64_t iova, uint64_t offset, uint64_t size);
/** Returns the bytes unmapped, or -errno. */
int64_t vmm_unmap(struct vmm *vmm, uint64_t iova, uint64_t size);

/* Of one device, by its file descriptor. */
int64_t vmm_feature(struct vmm *vmm, int fd, uint32_t flags, void *data, size_t len);
/** *ret_fd (may be NULL) is data_fd. */
int64_t vmm_set_state(struct vmm *vmm, int fd, uint32_t state, int *ret_fd);
uint32_t vmm_state(struct vmm *vmm, int fd);
uint64_t vmm_register(struct vmm *vmm, int fd, uint32_t offset);
void vmm_write_register(struct vmm *vmm, int fd, uint32_t offset, uint64_t value);
uint64_t vmm_digest(struct vmm *vmm, int fd);

/** The toy writes a byte at each of the pages of [@iova, @iova + @pages pages), by DMA. */
void vmm_dirty(struct vmm *vmm, int device, uint64_t iova, uint64_t pages);

/** Read from @data_fd in pieces of @piece until there is no more: 0 or -errno. Appends to *ret, which is malloc'ed. */
int64_t vmm_save(struct vmm *vmm, int data_fd, size_t piece, uint8_t **ret, size_t *ret_len);
int64_t vmm_load(struct vmm *vmm, int data_fd, const uint8_t *data, size_t len, size_t piece);

#endif
