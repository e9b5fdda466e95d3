/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0 */
#ifndef SAMPLE_H
#define SAMPLE_H

#include <linux/mutex.h>
#include <linux/vfio.h>

#define NAME   "vmig_sample"
#define N_REGS 16

struct sample_session;

struct sample {
	struct vfio_device vdev;
	struct mutex lock; /* of all below */
	__le32 regs[N_REGS];
	enum vfio_device_mig_state state;
	struct sample_session *session; /* or NULL; with a reference to its file */
};

static inline struct sample *sample_of(struct vfio_device *vdev)
{
	return container_of(vdev, struct sample, vdev);
}

void sample_migration_init(struct sample *sample);

/* Back to RUNNING, without a session. With the lock held. */
void sample_migration_reset(struct sample *sample);

#endif
