/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * run-shared - what `vmig run` and the program that it runs have in common: one file, mapped by both.
 *
 * The first part is written by `vmig run` before the program starts and is constant. The rest is written by whoever
 * has the devices: the preload library within the program, or `vmig run` itself as the supervisor. So `vmig run`
 * believes nothing of the rest.
 */
#ifndef VMIG_TOOLS_RUN_SHARED_H
#define VMIG_TOOLS_RUN_SHARED_H

#include <sys/types.h>

#include "run-ring.h"

#define RUN_ENV         "VMIG_RUN"        /* in the program's environment: the path of the file */
#define RUN_ENV_PASSED  "VMIG_RUN_PASSED" /* set where descriptors are passed: look at once */
#define RUN_MAGIC       0x6e75722d67696d76ull
#define RUN_DEVICES_MAX 16u
#define RUN_SPEC_MAX    1024u
#define RUN_FAULTS_MAX  8u
#define RUN_FAULT_MAX   128u
#define RUN_PASSED_MAX  (RUN_DEVICES_MAX + 1u)
#define RUN_GROUP       90u /* of the first device */

struct run_device_spec {
	char spec[RUN_SPEC_MAX];
	uint32_t n_faults;
	char faults[RUN_FAULTS_MAX][RUN_FAULT_MAX]; /* as models/fault.h has it */
};

/** A descriptor that the program has from the start. It is open there already, as a file that only holds its place. */
struct run_passed {
	char path[64]; /* what it stands for: "/dev/iommu", "/dev/vfio/devices/vfio0" */
	int32_t fd;
	uint64_t dev, ino; /* of the place holder */
};

struct run_shared {
	uint64_t magic, size; /* of this structure: both sides are of one build */
	uint32_t n_devices, n_passed, no_mmap, digest;
	uint64_t more_flags; /* see struct vmig_kabi_device */
	struct run_device_spec devices[RUN_DEVICES_MAX];
	struct run_passed passed[RUN_PASSED_MAX];

	/* Not constant. */
	int32_t owner;    /* the process that has the devices; 0: none yet */
	uint32_t watched; /* by `vmig run` alone: somebody looks on, so all calls are traced */
	uint8_t fired[RUN_DEVICES_MAX]
		     [RUN_FAULTS_MAX]; /* faults; "once" holds for all processes, one after the other */
	struct vmig_kabi_status status[RUN_DEVICES_MAX];
	struct run_ring ring;
};

/** Make the file at @path and map it. NULL: errno tells. */
struct run_shared *run_shared_new(const char *path);
/** Map the file at @path. NULL: errno tells; EPROTO: it is of another build. */
struct run_shared *run_shared_open(const char *path);
void run_shared_done(struct run_shared *shared);

#endif
