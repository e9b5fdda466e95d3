/* SPDX-License-Identifier: BSD-3-Clause */
/** parts - what the files of the simulator share. Private to them. */
#ifndef VMIG_SIM_PARTS_H
#define VMIG_SIM_PARTS_H

#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "sim/sim.h"

enum {
	VMIG_SIM_EV_JOB,       /* a: end, b: device: its job is done */
	VMIG_SIM_EV_PIECE,     /* a: end, b: device: its pump sends on */
	VMIG_SIM_EV_LOOK,      /* a: end: a record may have come */
	VMIG_SIM_EV_TICK,      /* a: end */
	VMIG_SIM_EV_USER,      /* a: end, b: fails */
	VMIG_SIM_EV_OPERATOR,  /* a: unit */
	VMIG_SIM_EV_IMPATIENT, /* a: unit, b: host: "vmig owner resolve" there, whoever else is at it */
	VMIG_SIM_EV_LATE,      /* a: place, b: device: what a dead controller had under way is done now */
	VMIG_SIM_EV_STORE,     /* a: end: its question reaches the record */
	VMIG_SIM_EV_ANSWER,    /* a: end */
	VMIG_SIM_EV_LATE_SWAP, /* a: of sim->late */
};

/** Write into the trace. */
#define SAY(sim, ...)                                                                                        \
	do {                                                                                                 \
		if ((sim)->say)                                                                              \
			vmig_sim_say(sim, __VA_ARGS__);                                                      \
	} while (0)

__attribute__((format(printf, 2, 3))) void vmig_sim_say(struct vmig_sim *sim, const char *format, ...);
/** A rule is broken: the first one is kept. */
__attribute__((format(printf, 2, 3))) void vmig_sim_wrong(struct vmig_sim *sim, const char *format, ...);
void vmig_sim_at(struct vmig_sim *sim, uint64_t at_ns, uint32_t kind, uint32_t a, uint32_t b, uint32_t life);
/** @ns, or with chance up to twice as long. */
uint64_t vmig_sim_takes(struct vmig_sim *sim, uint64_t ns);
/** May a fault of this kind, that was made to happen where the thing is done, happen now? */
bool vmig_sim_fault_due(struct vmig_sim *sim, uint32_t unit, enum vmig_sim_fault kind);

static inline struct vmig_sim_place *vmig_sim_place_of(struct vmig_sim *sim, uint32_t unit, uint32_t host)
{
	return &sim->places[(size_t)unit * sim->slots + (sim->config.fluid ? host - 2 * unit : host)];
}

/* --- device.c --- */

/** The logical device's name: the same wherever it is. */
static inline struct vmig_uuid vmig_sim_identity(const struct vmig_sim *sim, uint32_t unit, uint32_t device)
{
	struct vmig_uuid u = { { 0xd0 } };

	memcpy(u.bytes + 4, &unit, sizeof(unit));
	memcpy(u.bytes + 8, &device, sizeof(device));
	memcpy(u.bytes + 12, &sim->units[unit].names[device], sizeof(uint32_t));
	return u;
}

void vmig_sim_device_init(struct vmig_sim *sim, uint32_t unit, uint32_t host, uint32_t i);
/** The server dies and another begins. */
void vmig_sim_device_reborn(struct vmig_sim *sim, uint32_t unit, uint32_t host, uint32_t i);
void vmig_sim_device_reset(struct vmig_sim *sim, uint32_t unit, uint32_t host, uint32_t i);
/** Walk to @target: 0; -EINVAL: there is no way, or what was loaded is not whole. */
int vmig_sim_device_walk(struct vmig_sim *sim, uint32_t unit, uint32_t host, uint32_t i, uint32_t target);
/** What time changes: a device that runs writes into itself. */
void vmig_sim_device_work(struct vmig_sim *sim, uint32_t unit, uint32_t i, struct vmig_sim_device *d);
void vmig_sim_device_sizes(struct vmig_sim *sim, struct vmig_sim_device *d, struct vmig_precopy *ret);
/** Take at most @max bytes of what is to be read: into @m. False: there is nothing now. */
bool vmig_sim_device_read(struct vmig_sim *sim, struct vmig_sim_device *d, uint64_t max,
			  struct vmig_sim_message *m);
void vmig_sim_device_write(struct vmig_sim_device *d, const struct vmig_sim_message *m);
bool vmig_sim_has_identity(const struct vmig_sim_device *d);
/** It has the name of the logical device from now on. */
void vmig_sim_device_name(struct vmig_sim *sim, uint32_t unit, uint32_t i, struct vmig_sim_device *d);
/** Has it never been given one, at any host? */
bool vmig_sim_nameless(struct vmig_sim *sim, uint32_t unit, uint32_t device);
/** It has the identity, and runs. */
bool vmig_sim_runs(const struct vmig_sim_device *d);

/* --- link.c --- */

/** An older session, as it was, to this destination, which has nobody else at the other end. */
void vmig_sim_replay(struct vmig_sim *sim, uint32_t destination);
void vmig_sim_tape_clear(struct vmig_sim_tape *tape);
uint32_t vmig_sim_connect(struct vmig_sim *sim, uint32_t source, uint32_t destination);
/** The payload of @m is copied. Returns when the link has taken it. */
uint64_t vmig_sim_send(struct vmig_sim *sim, struct vmig_sim_end *from, const struct vmig_sim_message *m,
		       const void *payload);
/** The next that has come and may be given: the caller takes it with vmig_sim_pop(). */
struct vmig_sim_message *vmig_sim_head(struct vmig_sim *sim, const struct vmig_sim_end *end);
void vmig_sim_pop(struct vmig_sim *sim, const struct vmig_sim_end *end);
/** Has the peer more to read than it should? */
bool vmig_sim_full(struct vmig_sim *sim, const struct vmig_sim_end *from);
void vmig_sim_shut(struct vmig_sim *sim, struct vmig_sim_end *end);
void vmig_sim_cut(struct vmig_sim *sim, uint32_t conn);
void vmig_sim_conn_free(struct vmig_sim *sim, uint32_t conn);
bool vmig_sim_end_is_seen(struct vmig_sim *sim, const struct vmig_sim_end *end);

/* --- record.c --- */

/** The record of the unit's first device. */
static inline struct vmig_ownership *vmig_sim_record(struct vmig_sim *sim, uint32_t unit)
{
	return &sim->records[(size_t)unit * sim->config.devices];
}

void vmig_sim_ask(struct vmig_sim *sim, uint32_t index, const struct vmig_core_action *a);
void vmig_sim_store_event(struct vmig_sim *sim, const struct vmig_sim_event *e);
void vmig_sim_answer(struct vmig_sim *sim, struct vmig_sim_end *end, struct vmig_core_event *ret);
/** The swap that a killed end had under way may be done later. */
void vmig_sim_leave_swap(struct vmig_sim *sim, const struct vmig_sim_end *end);
void vmig_sim_late_swap(struct vmig_sim *sim, const struct vmig_sim_event *e);

/* --- end.c --- */

uint32_t vmig_sim_end_new(struct vmig_sim *sim, enum vmig_sim_role role, uint32_t unit, uint32_t host);
/** Its devices become this end's alone: what an earlier one had under way is done now, or never. */
void vmig_sim_end_start(struct vmig_sim *sim, uint32_t index);
void vmig_sim_end_kill(struct vmig_sim *sim, uint32_t index);
void vmig_sim_end_event(struct vmig_sim *sim, const struct vmig_sim_event *e);
void vmig_sim_end_cancel(struct vmig_sim *sim, uint32_t index);
void vmig_sim_end_free(struct vmig_sim_end *end);
struct vmig_uuid vmig_sim_some_uuid(struct vmig_sim *sim);
/** Give the slot back. */
void vmig_sim_end_done(struct vmig_sim *sim, uint32_t index);

static inline const char *vmig_sim_role_name(const struct vmig_sim_end *end)
{
	return end->role == VMIG_SIM_SOURCE        ? "source"
	       : end->role == VMIG_SIM_DESTINATION ? "destination"
						   : "resolve";
}

static inline struct vmig_sim_device *vmig_sim_device_of(struct vmig_sim *sim, const struct vmig_sim_end *end,
							 uint32_t i)
{
	return &vmig_sim_place_of(sim, end->unit, end->host)->devices[i];
}

static inline bool vmig_sim_holds(struct vmig_sim *sim, uint32_t index)
{
	const struct vmig_sim_end *end = sim->ends[index];

	return vmig_sim_place_of(sim, end->unit, end->host)->holder == index;
}

/** Give it an event, and do what it then wants. */
void vmig_sim_feed(struct vmig_sim *sim, uint32_t index, struct vmig_core_event *ev);
/** Give it what has come for it and is wanted. */
void vmig_sim_look(struct vmig_sim *sim, uint32_t index);
/** True: it is frozen, and the event will come again. */
bool vmig_sim_later_if_frozen(struct vmig_sim *sim, struct vmig_sim_end *end, const struct vmig_sim_event *e);

/* --- jobs.c --- */

void vmig_sim_start_job(struct vmig_sim *sim, uint32_t index, const struct vmig_core_action *a);
void vmig_sim_job_done(struct vmig_sim *sim, const struct vmig_sim_event *e);
/** A pump sends on. */
void vmig_sim_piece(struct vmig_sim *sim, const struct vmig_sim_event *e);
void vmig_sim_stop_pump(struct vmig_sim *sim, uint32_t index, uint32_t i);

/* --- faults.c --- */

/** Choose what goes wrong in the migration that begins. */
void vmig_sim_plan_faults(struct vmig_sim *sim, uint32_t unit);
/** Another step of the unit's migration: is it time for one? */
void vmig_sim_fault_step(struct vmig_sim *sim, uint32_t unit);
void vmig_sim_device_error(struct vmig_sim *sim, uint32_t unit, uint32_t host, uint32_t i);
/** The command that a killed end's device was at may be done later. */
void vmig_sim_leave_job(struct vmig_sim *sim, const struct vmig_sim_end *end, uint32_t i);
void vmig_sim_late_job(struct vmig_sim *sim, const struct vmig_sim_event *e);
/** A new end takes the place's devices. */
void vmig_sim_take(struct vmig_sim *sim, uint32_t unit, uint32_t host);

/* --- world.c --- */

/** The end is finished, or dead: its unit's operator will see. */
void vmig_sim_end_over(struct vmig_sim *sim, uint32_t index);

/* --- check.c --- */

/** What must hold at every instant, of one unit. */
void vmig_sim_check(struct vmig_sim *sim, uint32_t unit);
/** What must hold when all is over. */
void vmig_sim_check_end(struct vmig_sim *sim);

#endif
