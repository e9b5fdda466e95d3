/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * sim - both ends' cores, without I/O: pretended devices, a pretended channel, virtual time.
 *
 * What may happen next (a job ends, a record arrives, the channel's end is seen) is chosen by a seed; when
 * nothing may, time goes on to the next deadline. A fault of a kind is made to happen at a step. What must hold at every
 * instant is checked at every step, what must hold at the end by sim_check().
 */
#ifndef VMIG_TESTS_ENGINE_SIM_H
#define VMIG_TESTS_ENGINE_SIM_H

#include "engine/core.h"

#define SIM_DEVICES 5u
#define SIM_QUEUE   512u

enum sim_fault {
	SIM_NONE,
	SIM_JOB_FAILS,    /* the next job to end fails, the device stays where it is */
	SIM_JOB_TO_ERROR, /* fails, and the device is in ERROR */
	SIM_CHANNEL_LOST, /* what is under way is lost, both ends see it */
	SIM_SOURCE_DIES,  /* its process: its devices stay where they are */
	SIM_DESTINATION_DIES,
	SIM_BOTH_DIE,
	SIM_SILENCE, /* nothing arrives any more, and nobody is told */
	SIM_CANCEL_SOURCE,
	SIM_CANCEL_DESTINATION,
	SIM_USER_FAILS,         /* the next callback */
	SIM_DATA_FAILS,         /* the next data are not taken by the device */
	SIM_BAD_STREAM,         /* the next record is damaged */
	SIM_DATA_VANISH,        /* the next data are dropped on the way, and nobody sees that */
	SIM_WRONG_RECORD,       /* the next record to the destination is one that only a destination sends */
	SIM_SOURCE_SERVER_DIES, /* of its first device: all state is gone */
	SIM_SOURCE_CUT_OFF,     /* that, and the channel is lost with it */
	SIM_DESTINATION_SERVER_DIES,
	/* of owned ones: the next question to the record, of whichever side */
	SIM_RECORD_UNKNOWN_DONE, /* a swap is done, and that is not learnt */
	SIM_RECORD_UNKNOWN_NOT,  /* it is not, and that is not learnt */
	SIM_RECORD_LATE,         /* it is done at some later time */
	SIM_RECORD_AWAY,         /* the record cannot be asked for a while */
	SIM_RECORD_GONE,         /* nor ever again */
	SIM_RECORD_BUMPED,       /* somebody ends the attempt */
	SIM_FAULTS,
};

struct sim_device {
	uint64_t features;
	uint32_t state;
	uint64_t initial, dirty, rest; /* bytes that it still has; rest: only in STOP_COPY */
	uint64_t dirties;              /* bytes that change between two looks */
	uint64_t sent, chain;          /* source: given; destination: taken */
	uint32_t looks, reinit_at;     /* the look at its sizes at which new initial data appear; 0: never */
	bool was_reset;
	bool calms; /* half as much changes each time */
	struct vmig_tag tag;
	bool gone; /* its server; a new process finds a new one, which is blank */
};

/** A question to the record that is under way. */
struct sim_question {
	enum vmig_owner_ask ask;
	uint32_t n;
	struct vmig_uuid ids[SIM_DEVICES];
	struct vmig_ownership now[SIM_DEVICES], next[SIM_DEVICES];
};

struct sim_message {
	uint32_t type, device, len;
	uint64_t data; /* bytes of a DATA record */
	uint8_t payload[1200];
};

struct sim_side {
	struct vmig_core core;
	struct vmig_core_device devices[SIM_DEVICES];
	struct sim_device real[SIM_DEVICES];
	struct vmig_core_action pending[SIM_DEVICES];
	bool stop[SIM_DEVICES];
	uint64_t ready_ns[SIM_DEVICES]; /* when the job may end */
	bool finished, dead, down, told_end, discard;
	struct sim_message in[SIM_QUEUE]; /* a ring */
	uint32_t first, used;
	uint64_t bytes, heard;
	int quiesced, resumed, started, saved, loaded, events;
	struct sim_question question;
	struct vmig_ownership answer[SIM_DEVICES], scratch[SIM_DEVICES];
};

struct sim {
	struct sim_side side[2]; /* 0: source */
	uint32_t n;
	uint64_t now;
	unsigned int seed;
	uint32_t step, fault_at;
	enum sim_fault fault;
	bool fault_done, faulty_device, silent, one_way;
	int commits;
	bool must_give;   /* it was seen in time that a device has gone there */
	bool ran;         /* the destination has issued a command to run */
	uint64_t slow_ns; /* how long a transition takes */
	/* the record */
	bool owned, gone;
	uint32_t away;                             /* so many questions are not answered */
	struct vmig_ownership record[SIM_DEVICES]; /* of each device, by its place */
	struct sim_question late;                  /* a swap that is still to be done, or not */
};

/** Features of the devices, repeated as needed. */
void sim_init(struct sim *sim, uint32_t n, const uint64_t *features, uint32_t n_features, unsigned int seed);
void sim_set_config(struct sim *sim, const struct vmig_core_config *config);
/** To the end of both. Fails the test if that does not come. */
void sim_run(struct sim *sim);
/** The outcomes agree with each other and with where the devices are. */
void sim_check(struct sim *sim);
/** From here on a record decides. The source's devices carry their identities and have records, or, @fresh, are new. */
void sim_set_owned(struct sim *sim, bool fresh);
/** New processes on both sides, which apply the restart rule; the record can be asked. */
void sim_resolve(struct sim *sim);
/** Does a device of this side run as the logical device that it is? */
bool sim_owner_runs(const struct sim *sim, int s);
bool sim_all_in(const struct sim_side *side, uint32_t n, uint32_t state);

#endif
