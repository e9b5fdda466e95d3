/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * plan - how long a migration will take, how long the devices will be down, and whether it converges, before anything moves.
 *
 * The answer comes from a simulation in virtual time of the very engine that migrates: its rounds, its choices and its
 * messages are those of vmig_migrate_source(). What it is told of devices and links it believes.
 */
#ifndef VMIG_PLAN_H
#define VMIG_PLAN_H

#include <stdint.h>

#include <vmig/migrate.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VMIG_PLAN_DEVICES_MAX 64
#define VMIG_PLAN_HOSTS_MAX   10000

struct vmig_plan_device {
	uint64_t migration_flags; /* VMIG_MIGRATION_* */
	uint64_t initial_bytes;   /* read in pre-copy; of a device without it, when all stand still */
	uint64_t final_bytes;     /* read only when it has stopped */
	uint64_t dirty_rate;      /* bytes a second that it writes anywhere in: */
	uint64_t changing_bytes;  /* so much of its state ever changes; 0: all of initial_bytes */
};

/** Zero is a default where one is said. */
struct vmig_plan_question {
	const struct vmig_plan_device *devices; /* that move as one */
	uint32_t n;                             /* 1 to VMIG_PLAN_DEVICES_MAX */
	uint32_t hosts;            /* drained at once, each with such devices and to one of its own; 1 */
	uint64_t bandwidth;        /* of a host's link, bytes a second; not 0 */
	uint64_t shared_bandwidth; /* of what all hosts have in common; no limit */
	uint64_t latency_ns;       /* of the link, one way */
	uint64_t transition_ns;    /* that a device takes from one state to the next; 100 us */
	uint64_t owner_ns;         /* to ask the ownership record; 1 ms */
	uint64_t owner_rate;       /* questions a second that it answers; 2000 */
	/* as in struct vmig_migrate_options */
	uint64_t downtime_ns, max_time_ns;
	uint32_t max_rounds;
	enum vmig_no_converge on_no_converge;
};

struct vmig_plan_answer {
	enum vmig_outcome outcome;                /* of the worst */
	uint32_t hosts, done;                     /* how many, and how many are drained in the end */
	uint32_t rounds;                          /* of pre-copy, the most */
	uint64_t total_ns;                        /* until the last is over */
	uint64_t median_ns;                       /* half of them are */
	uint64_t downtime_ns, downtime_median_ns; /* the longest; half are no longer */
	uint64_t owner_ns; /* the longest part of a downtime that was spent in the ownership record */
	uint64_t bytes;    /* of all hosts */
	char words[1024];  /* "": it converges; else why not, and what would help */
};

/**
 * Pure: no device, no clock, no I/O; the same question has the same answer. 10,000 hosts take some seconds.
 * Returns 0; -EINVAL: such a question cannot be asked; -ENOMEM.
 */
int vmig_plan(const struct vmig_plan_question *question, struct vmig_plan_answer *ret);

#ifdef __cplusplus
}
#endif
#endif
