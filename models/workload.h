/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * workload - the driver of a nic, an accel or a vgpu: takes its records all the time (gives it jobs, looks at its frames)
 * and notices one that is lost, doubled, out of order or damaged. Public API only: it drives any such device, in this
 * process or behind a socket.
 *
 * Who carries what across a migration: the device's stream has the device's registers (rings, indices,
 * counters) and its internal memory. The user's record, made here, has what is the user's: the PCI
 * configuration space (BARs, command, MSI-X), that the interrupts are armed, the place in the rings and
 * the records in them that are still to be taken, and what the workload has counted.
 *
 * A life:	workload_new(), workload_bind(), workload_start()
 * migration:	workload_quiesce() before the device leaves RUNNING, workload_save()
 *		workload_load() on the new device in STOP, then workload_start() once it is in RUNNING;
 *		or back: workload_resume() once the old one is in RUNNING again
 * Within one process the same workload does both: it loads what it saved, on the same memory. Calls are
 * for one thread at a time, but workload_report() and workload_mark() are for any.
 */
#ifndef MODELS_WORKLOAD_H
#define MODELS_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vmig/device.h>
#include <vmig/memory.h>
#include <vmig/space.h>

struct workload;

/** @space must outlive the workload, which maps its memory there and attaches its devices. -ENOMEM, -EMFILE, ... */
int workload_new(struct vmig_space *space, struct workload **ret);
/** Stops, and lets go of the devices, which must still be open. NULL is allowed. */
void workload_free(struct workload *w);

/**
 * For who watches what the device does, before it is bound: the device sees the memory in pieces. What it is only to read
 * (jobs) it may not write. With @peer a part of what it writes, the ring of the last queue, stands for a region of another
 * device (VMIG_DMA_REGION). Not for a workload that is saved, or whose memory another moves.
 */
void workload_split(struct workload *w, bool peer);

/** Is @dev one that it can drive, by its PCI ids? Blocks. */
bool workload_drives(struct vmig_device *dev);

/**
 * Take a device that runs and set it up from nothing: configuration space, interrupts, queues. Blocks.
 * Returns 0; -EOPNOTSUPP: not one that it can drive; -EBUSY: bound already, or the device does not let go of its old
 * queues; or what the device reported.
 */
int workload_bind(struct workload *w, struct vmig_device *dev);

/** Begin to take records: of the device of the last bind or load, which now is the workload's only one.
 *  Returns 0, -EINVAL (neither bound nor loaded), -EAGAIN (no thread), or what the device reported. */
int workload_start(struct workload *w);
/** On return nobody touches the device. Returns 0, or the error that ended the workload before. */
int workload_quiesce(struct workload *w);
/** The interrupts that have come since, or since this was asked last. Between workload_quiesce() and a start only. */
uint64_t workload_interrupts(struct workload *w);
/** Set all queues up anew, of a device that runs: what was on its way is dropped. The workload is quiesced then. */
int workload_set_up_again(struct workload *w);
/** Undo workload_quiesce(): go on with the device of before, whatever has been loaded since. Returns as workload_start(). */
int workload_resume(struct workload *w);

/** The user's record. After workload_quiesce(), and once the device has stopped: what it writes to the memory
 *  later is not in it. Does not touch the device. free(*ret). -EINVAL, -ENOMEM. */
int workload_save(struct workload *w, void **ret, size_t *ret_len);
/**
 * Check and take a record: restore configuration space and interrupts of @dev, map and fill the ring
 * memory; where that is the memory that was saved, it is left as it is.
 * A second load takes the place of the first.
 * Returns 0; -EBADMSG: not a record, or a damaged one; -EBUSY: it runs, or drives another device than
 * the record is of; -EOPNOTSUPP: not such a device, or another number of queues; -EEXIST: its memory's IOVA is
 * taken in the space; or what the device reported.
 */
int workload_load(struct workload *w, struct vmig_device *dev, const void *data, size_t len);

/**
 * Somebody else moves the memory: map it now, at a free place if it is not yet, and say where it is. From now on
 * the record has nothing of it. The fd stays the workload's. Errors as vmig_space_map().
 */
int workload_give_memory(struct workload *w, struct vmig_memory_region *ret);
/** What the workload itself has written to that memory since it was asked last: see struct vmig_memory_config. Any thread. */
int workload_dirty(struct workload *w, uint64_t iova, uint64_t length, uint64_t page_size, uint64_t *bitmap);

enum workload_phase { WORKLOAD_BEFORE, WORKLOAD_DURING, WORKLOAD_AFTER, WORKLOAD_PHASES };

/** What is counted from now on belongs to @phase (BEFORE at birth). */
void workload_mark(struct workload *w, enum workload_phase phase);

struct workload_report {
	uint64_t records, phase_records[WORKLOAD_PHASES];
	uint64_t lost, doubled, reordered, corrupt;
	/* The longest time without a record, between two of them: the downtime as a user sees it. A gap counts
	 * for the phase in which it ends. Across hosts it is as good as their wall clocks. */
	uint64_t longest_gap_ns, phase_gap_ns[WORKLOAD_PHASES];
	int error;  /* positive errno: the device failed the workload; 0 */
	bool whole; /* nothing lost, doubled, reordered or corrupt, and no error */
};

void workload_report(struct workload *w, struct workload_report *ret);

/** For a person: "412 records before, 95 during, 301 after: none lost, doubled, reordered or corrupt". */
void workload_verdict(const struct workload_report *report, char *ret, size_t size);

/**
 * Ask the device for its own view. It must be in RUNNING; it checks all of its internal memory.
 * Returns 0; -EBADMSG: its memory is not what its sequence numbers imply, or it has seen bad doorbells;
 * -EINVAL: not bound; or what the device reported.
 */
int workload_verify_device(struct workload *w);

#endif
