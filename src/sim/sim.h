/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * sim - hosts, device servers, links and migrations in virtual time, around the very core that migrates real devices.
 *
 * There is no I/O, no clock and no thread here: all that happens is an event of one queue, and all that is left to chance
 * comes from one seed. So a run can be had again, step by step.
 *
 *	unit	the devices that move as one, wherever they are
 *	place	the device servers of one unit on one host
 *	end	a process that has a place's devices in hand: one side of a migration, or an operator's "resolve"
 *	conn	a connection of two ends
 *
 * What must hold is looked at after each event (check.c). Two kinds of content: chunks that have versions, so that a lost,
 * doubled or stale one is seen (for faults); or just bytes that flow (for planning).
 */
#ifndef VMIG_SIM_SIM_H
#define VMIG_SIM_SIM_H

#include <vmig/device.h>
#include <vmig/uuid.h>

#include "engine/core.h"
#include "sim/queue.h"
#include "sim/random.h"

#define VMIG_SIM_CHUNKS     8u
#define VMIG_SIM_FAULTS_MAX 4u
#define VMIG_SIM_LATE_SWAPS 8u
#define VMIG_SIM_NONE       UINT32_MAX
#define VMIG_SIM_SAY_MAX    512u

/** What may go wrong. */
enum vmig_sim_fault {
	VMIG_SIM_KILL_SOURCE, /* kill -9 of vmig; a command or a swap that was under way may be done much later */
	VMIG_SIM_KILL_DESTINATION,
	VMIG_SIM_KILL_SERVER, /* of one device, at either side: its state is gone, a new one takes its place */
	VMIG_SIM_FREEZE,      /* one end does nothing for a while, longer than a peer's patience or not */
	VMIG_SIM_CUT,         /* the connection, both see it */
	VMIG_SIM_HALF_OPEN,   /* nothing arrives any more, and nobody is told */
	VMIG_SIM_DELAY,       /* what is sent now takes long */
	VMIG_SIM_DROP,        /* one record vanishes */
	VMIG_SIM_DOUBLE,      /* one record comes twice */
	VMIG_SIM_DAMAGE,      /* one record's bytes */
	VMIG_SIM_REPLAY,      /* an older session, as it was, to the destination */
	VMIG_SIM_RECORD_AWAY,    /* the store cannot be asked for a while */
	VMIG_SIM_RECORD_UNKNOWN, /* a swap's outcome is not learnt: done, not done, or done later */
	VMIG_SIM_JOB_FAILS,      /* a device's command; it stays where it is */
	VMIG_SIM_JOB_TO_ERROR,
	VMIG_SIM_USER_FAILS,
	VMIG_SIM_CANCEL,
	VMIG_SIM_FAULTS,
};

/** A rule that is broken on purpose, to see it found out. */
enum vmig_sim_broken {
	VMIG_SIM_SOUND,
	VMIG_SIM_NO_EPOCH,   /* the store does not compare what it should */
	VMIG_SIM_RUN_FIRST,  /* the destination runs before its commit is answered */
	VMIG_SIM_NO_RAISE,   /* a source in doubt runs again without asking */
	VMIG_SIM_NO_FENCE,   /* a new controller does not drain what the old one had under way */
	VMIG_SIM_NO_BUMP,    /* a destination forgets an attempt without ending it in the record */
	VMIG_SIM_REUSE,      /* a new attempt has the number of the old one */
	VMIG_SIM_NO_BARRIER, /* devices stop while others do DMA to them */
	VMIG_SIM_BROKEN_NR,
};

struct vmig_sim_config {
	uint64_t seed;
	uint32_t hosts, units, devices; /* devices of a unit */
	uint32_t migrations;            /* of each unit */
	uint32_t faults;                /* of each migration, at most */
	uint32_t kinds;                 /* of faults: a bit each */
	enum vmig_sim_broken broken;
	bool fluid;                   /* bytes only: for planning */
	bool unowned;                 /* no record decides */
	struct vmig_core_config core; /* timeouts, downtime, rounds */
	/* Time that things take; chance makes it up to twice as long where faults are allowed. */
	uint64_t latency_ns, bandwidth,
		shared_bandwidth; /* one way; of each host; of all together; 0: no limit */
	uint64_t arc_ns, store_ns, store_service_ns;
	/* fluid devices; planning */
	const struct vmig_sim_flow *flows; /* of the devices of a unit */
};

struct vmig_sim_flow {
	uint64_t features;
	uint64_t initial, rest,
		changing;    /* bytes: read in pre-copy; only when stopped; how many of them ever change */
	uint64_t dirty_rate; /* bytes a second */
};

struct vmig_sim_device {
	uint64_t features;
	uint32_t state;
	struct vmig_tag tag;
	uint32_t have[VMIG_SIM_CHUNKS]; /* the version of each chunk; 0: none */
	uint32_t todo, first_pass;      /* bits: to be read; of these, initial data */
	uint64_t length, chain;         /* of the session */
	double initial, dirty, rest;    /* fluid: bytes left */
	uint64_t flowed_ns;
};

struct vmig_sim_place {
	uint32_t holder; /* the end that has the devices in hand */
	uint64_t dead;   /* bits: the holder's connection to this device's server is gone with the server */
	struct vmig_sim_device *devices;
	struct vmig_sim_late {
		uint32_t job, target; /* enum vmig_job; NONE: nothing */
	} * late;                     /* of each device: what a dead end had under way */
};

struct vmig_sim_job {
	struct vmig_core_action action; /* kind VMIG_ACT_NONE: none */
	bool stop, done, waits;
	uint64_t sent;
	struct vmig_core_event end;
};

struct vmig_sim_message {
	uint64_t at_ns;
	struct vmig_uuid attempt;
	uint32_t type, device, number, len;
	uint32_t chunk, version;
	uint64_t bytes;
	bool damaged;
	uint8_t *payload;
};

/** A ring that grows. */
struct vmig_sim_flow_queue {
	struct vmig_sim_message *ring;
	uint32_t first, used, room;
	uint32_t next_number, expected; /* of the sender, of the receiver */
	uint64_t last_ns;
};

/** What a source once said, to be said again by somebody else. */
struct vmig_sim_tape {
	struct vmig_sim_message *messages;
	uint32_t used, room;
};

struct vmig_sim_conn {
	bool used, half_open;
	bool replayed; /* the source's side is a tape */
	bool shut[2];  /* this end will send no more */
	bool cut;
	bool told[2]; /* this end knows of the other's end */
	uint32_t ends[2];
	uint64_t extra_ns; /* a delay */
	struct vmig_sim_flow_queue to[2];
};

/** A swap of records under way. */
struct vmig_sim_swap {
	uint32_t n, unit;
	enum vmig_owner_step step;
	struct vmig_ownership *now, *next;
	char me[16];
};

enum vmig_sim_role { VMIG_SIM_SOURCE, VMIG_SIM_DESTINATION, VMIG_SIM_RESOLVER };

struct vmig_sim_end {
	uint32_t life; /* raised whenever the slot is taken or given up */
	bool alive, finished, down, discard;
	enum vmig_sim_role role;
	uint32_t unit, host, conn;
	uint64_t frozen_ns, tick_ns, began_ns;
	uint64_t bytes, heard_ns;
	struct vmig_uuid attempt; /* none: not known yet */
	struct vmig_core core;
	struct vmig_core_device *devices;
	struct vmig_sim_job *jobs;
	/* the record: what was asked, and what will be answered */
	bool asking, answered;
	enum vmig_owner_ask ask;
	enum vmig_owner_answer answer;
	struct vmig_sim_swap swap;
	struct vmig_ownership *records, *scratch;
};

struct vmig_sim_unit {
	uint32_t (*truth)[VMIG_SIM_CHUNKS]; /* of each device: the newest version of each chunk */
	uint32_t *names;                    /* of each device: a number, raised when it is given a new name */
	uint32_t version;
	uint64_t named;               /* bits: devices that have been given a name */
	uint32_t left;                /* migrations to come */
	uint32_t rounds;              /* of resolving, in the end */
	uint32_t source, destination; /* the ends at work; VMIG_SIM_NONE */
	uint32_t extra;               /* and one of an operator that has not the patience */
	uint32_t from, to;            /* hosts */
	/* What is to go wrong: at a step of the migration, or so many steps after its destination has come to a stage. */
	struct vmig_sim_planned {
		enum vmig_sim_fault kind;
		uint32_t stage; /* VMIG_STAGE_NR: it has been come to */
		uint32_t at;
	} faults[VMIG_SIM_FAULTS_MAX];
	uint32_t n_faults, steps;
	uint32_t armed;            /* bits: faults that wait for their occasion */
	bool lost;                 /* the owner's state is gone, by the death of a device server */
	struct vmig_sim_tape tape; /* of the last session */
	bool waited, over;
	uint32_t home;    /* where it began */
	uint64_t rest_ns; /* the operator does nothing before */
	uint64_t began_ns;
	struct vmig_sim_outcome {
		enum vmig_outcome outcome;
		uint32_t rounds;
		uint64_t total_ns, downtime_ns, owner_ns, bytes;
	} result; /* fluid: of the migration, as the source sees it */
};

struct vmig_sim_stats {
	uint64_t migrations, done, not_done, in_doubt, source_lost, bad_input, killed, faults, events,
		resolves;
	uint64_t fault_counts[VMIG_SIM_FAULTS];
};

struct vmig_sim {
	struct vmig_sim_config config;
	struct vmig_random random;
	uint64_t now;
	struct vmig_sim_queue queue;
	struct vmig_sim_unit *units;
	uint32_t slots;                /* places of each unit: at each host, or (fluid) at its own two */
	struct vmig_sim_place *places; /* unit * slots + slot */
	uint32_t next_end, next_conn;  /* where to look for a free one */
	struct vmig_sim_device *all_devices;
	struct vmig_sim_end **ends;
	uint32_t n_ends;
	struct vmig_sim_conn *conns;
	uint32_t n_conns;
	struct vmig_ownership *records, *old_attempts; /* unit * devices + device */
	struct vmig_sim_swap late[VMIG_SIM_LATE_SWAPS];
	struct vmig_ownership *all_swaps;
	struct vmig_ownership forgotten; /* of whatever has another name by now */
	uint64_t store_free, store_away_ns;
	uint64_t *up_free, *down_free, shared_free; /* when a host's link can take the next byte */
	bool calm;                                  /* no more faults */
	struct vmig_sim_late *all_late;
	uint32_t (*all_truth)[VMIG_SIM_CHUNKS];
	uint32_t *all_names;
	char wrong[VMIG_SIM_SAY_MAX];                /* the first rule that was broken; "" */
	void (*say)(const char *line, void *opaque); /* the trace; NULL */
	void *opaque;
	struct vmig_sim_stats stats;
	char words[VMIG_PLAN_WORDS + 256]; /* fluid: why one does not converge, or was not done */
	uint8_t scratch[32u << 10];
};

/* --- world.c --- */

/** -ENOMEM, -EINVAL. */
int vmig_sim_new(const struct vmig_sim_config *config, struct vmig_sim **ret);
void vmig_sim_free(struct vmig_sim *sim);
/** To the end: 0; -EPROTO: a rule was broken, see sim->wrong; -ENOMEM. */
int vmig_sim_run(struct vmig_sim *sim);
/** A world of chance for @seed, with faults. */
void vmig_sim_chance(uint64_t seed, struct vmig_sim_config *ret);
const char *vmig_sim_fault_name(enum vmig_sim_fault fault);
const char *vmig_sim_broken_name(enum vmig_sim_broken broken);

#endif
