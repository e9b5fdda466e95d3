/* SPDX-License-Identifier: BSD-3-Clause */
/** rig - what the tests of the models share: devices, sessions moved by hand, a driver. Failures fail the test. */
#ifndef VMIG_TESTS_RIG_H
#define VMIG_TESTS_RIG_H

#include <vmig/vmig.h>

#include "harness.h"
#include "models/models.h"
#include "models/workload.h"

struct bytes {
	uint8_t *data;
	size_t len, room;
};

void bytes_add(struct bytes *b, const void *data, size_t len);
void bytes_free(struct bytes *b);

/** One that migrates by v1 only comes as vmig_drive_v1() drives it. */
struct vmig_device *rig_open(const char *spec);
void rig_set(struct vmig_device *dev, uint32_t state);
struct vmig_session *rig_start(struct vmig_device *dev, uint32_t state);
uint32_t rig_state(struct vmig_device *dev);

/** Read pieces of random sizes up to @most, by lend and by readv in turn, until there is no more; returns 0 or -ENOMSG. */
int rig_save(struct vmig_session *session, struct bytes *to, size_t most);
/** Write @len bytes in pieces of random sizes up to @most, by room and by writev in turn. 0 or the first error. */
int rig_load(struct vmig_session *session, const uint8_t *data, size_t len, size_t most);

/** The whole stream of a device in STOP. It is in STOP again afterwards. */
void rig_save_all(struct vmig_device *dev, struct bytes *to);
/** Load and go to STOP. 0, or the first error of writing or of the last step. */
int rig_load_all(struct vmig_device *dev, const uint8_t *data, size_t len);

/* Of a nic. */
uint64_t rig_register(struct vmig_device *dev, uint32_t offset);
void rig_write_register(struct vmig_device *dev, uint32_t offset, uint64_t value);
uint64_t rig_digest(struct vmig_device *dev);
/** Wrong pages of the internal memory. */
uint64_t rig_wrong(struct vmig_device *dev);

/** A nic with its driver at work. */
struct rig {
	struct vmig_space *space;
	struct workload *w;
	struct vmig_device *dev;
};

void rig_init(struct rig *rig, const char *spec);
void rig_done(struct rig *rig);
/** Until @n more records have come: some, or all of them, may have been in the ring before. */
void rig_wait(struct workload *w, uint64_t n);
/** Until the device has made @n more, and as many changes of its memory. */
void rig_made(struct vmig_device *dev, uint64_t n);
/** The device does wrong once (NIC_INJECT of @what): until it has been noticed, and 500 records more have come. */
struct workload_report rig_inject(struct rig *rig, uint64_t what);
/** Long enough for a device that runs to do something: its worker's tick is a millisecond. */
void rig_ticks(void);
struct workload_report rig_report(struct workload *w);

#endif
