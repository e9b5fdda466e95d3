/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * migrate - the engine: N devices as one unit, from here to the other end of a channel.
 *
 * The stages are those of docs/architecture.md: hello, offer, precopy, quiesce, switchover, verify,
 * commit, run. A fault before the commit rolls the source back to RUNNING and resets the destination.
 */
#ifndef VMIG_MIGRATE_H
#define VMIG_MIGRATE_H

#include <stdbool.h>
#include <stdint.h>

#include <vmig/channel.h>
#include <vmig/device.h>
#include <vmig/owner.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VMIG_MIGRATE_DEVICES_MAX 256

enum vmig_stage {
	VMIG_STAGE_HELLO,
	VMIG_STAGE_OFFER,
	VMIG_STAGE_PRECOPY,
	VMIG_STAGE_QUIESCE,
	VMIG_STAGE_SWITCHOVER,
	VMIG_STAGE_VERIFY,
	VMIG_STAGE_COMMIT,
	VMIG_STAGE_RUN,
	VMIG_STAGE_NR,
};

/** "hello", "offer", ... */
const char *vmig_stage_name(enum vmig_stage stage);

/**
 * What the user of the devices does at its stages. All may be NULL. Called from the thread that runs
 * the migration; negative errno on failure, which fails the migration.
 */
struct vmig_migrate_user {
	/** Stop touching the devices (pause the vCPUs, the workload). Source only. */
	int (*quiesce)(void *opaque);
	/** Undo quiesce: the devices run here again. Source, on rollback and after a live save. */
	void (*resume)(void *opaque);
	/** The user's own record for device @index: config space, interrupt set-up, anything it needs to go on.
	 *  Source, when all devices have stopped. *ret is freed with free(); at most 16 MiB. */
	int (*save_record)(void *opaque, uint32_t index, void **ret, size_t *ret_len);
	/** Check and take the record. Destination, before READY; the device is in STOP. */
	int (*load_record)(void *opaque, uint32_t index, const void *record, size_t len);
	/** The devices run here now. Destination. */
	void (*start)(void *opaque);
	void *opaque;
};

/** A moment in the life of a migration, for progress lines and events. Zero where it does not apply. */
struct vmig_migrate_event {
	enum {
		VMIG_EVENT_STAGE,    /* a stage begins: @stage */
		VMIG_EVENT_STATE,    /* device @device is now in @state */
		VMIG_EVENT_PROGRESS, /* about ten a second */
		VMIG_EVENT_ROUND,    /* a pre-copy round has ended: @round, @bytes so far */
		VMIG_EVENT_WARNING,  /* @text */
	} kind;
	enum vmig_stage stage;
	uint32_t device, state, round;
	uint64_t time_ns;    /* since the start */
	uint64_t bytes;      /* device data moved so far, all devices */
	uint64_t remaining;  /* initial + dirty bytes, all devices */
	uint64_t bandwidth;  /* bytes a second */
	uint64_t dirty_rate; /* bytes a second */
	uint64_t expected_downtime_ns;
	const char *text;
};

/**
 * What becomes of a pre-copy that does not converge: the rest does not fit the downtime, and more rounds leave no less; or
 * max_rounds or max_time_ns are used up. Why, and what would help, is said by a warning, or is the reason. In no case is the
 * user throttled, or switched over before the destination has loaded the initial data.
 */
enum vmig_no_converge {
	VMIG_NO_CONVERGE_SWITCH, /* the default: what was asked for is done; its downtime is longer than wished for */
	VMIG_NO_CONVERGE_ABORT, /* roll back: VMIG_NOT_DONE */
	VMIG_NO_CONVERGE_WAIT, /* go on until it fits; max_rounds and max_time_ns, if given, then roll back */
};

/** Zero is a default for all. */
struct vmig_migrate_options {
	uint64_t downtime_ns; /* switch over when the rest is expected to fit; 300 ms */
	uint64_t bandwidth;   /* most bytes a second; 0: no limit */
	uint32_t
		max_rounds; /* of pre-copy, then on_no_converge; 30, or with VMIG_NO_CONVERGE_WAIT no limit */
	uint64_t timeout_ns; /* of a silent peer; 30 s */
	bool no_precopy;
	bool keep_source; /* save --live: the source runs on when done; one-way channels only */
	/* Only ask the destination: outcome VMIG_DONE is yes, VMIG_NOT_DONE no, with every reason. Nothing leaves RUNNING (but as
	 * vmig_device_query_opaque() says), the destination does not move either. Source, two-way channels only. */
	bool probe;
	bool paper; /* with @probe: the devices have only their descriptors: nothing else of them is judged */
	/** Over how many connections data go: device i's over connection i modulo their number. At most 16; 0: one. The
	 *  source asks for so many; the destination takes that, or fewer if it says so, where it has @more. */
	uint32_t connections;
	/** One more connection to the same peer: the source makes it, the destination waits for one, not much longer
	 *  than @timeout_ms (-ETIMEDOUT: asked again. -ECONNABORTED: likewise). Called from a thread of the
	 *  engine's, which closes what it is given. Two-way channels only. */
	int (*more)(void *more_opaque, uint32_t timeout_ms, struct vmig_channel **ret);
	void *more_opaque;
	void (*event)(const struct vmig_migrate_event *event, void *opaque);
	void *opaque;
	const bool *cancel;   /* polled; true: abort */
	uint64_t max_time_ns; /* of pre-copy, then on_no_converge; no limit */
	enum vmig_no_converge on_no_converge;
	/* Several devices, and one has no P2P: it stops in one step, while others may still do DMA to it. Refused without this. */
	bool allow_no_p2p;
	/*
	 * The record that decides who may run the devices (owner.h); stays the caller's. NULL: there is none, and ownership is the
	 * source's word. Both ends must mean the same one. Not over a one-way channel, nor with @probe.
	 */
	struct vmig_owner *owner;
	const char *me;      /* with @owner: this end's name in it, host and endpoint */
	bool name_by_server; /* a source takes the owner's name in the record where its devices are the owner's (by
					 * their server's tag), whatever @me says */
	const struct vmig_uuid
		*ids; /* source: which logical devices these are; NULL, or one is none: by the tags */
};

/** How it ended; the values are the exit statuses of the command. */
enum vmig_outcome {
	VMIG_DONE = 0,
	VMIG_NOT_DONE = 1,  /* it did not happen and the source runs (destination: reset, reusable) */
	VMIG_BAD_INPUT = 2, /* a stream that cannot be read */
	VMIG_IN_DOUBT =
		3, /* it is not known which side runs, or the record that decides it could not be asked */
	VMIG_SOURCE_LOST = 4 /* it did not happen and the source does not run either */
};

struct vmig_migrate_result {
	enum vmig_outcome outcome;
	int code;                            /* positive errno, 0: done */
	enum vmig_stage stage;               /* the stage reached, or in which it failed */
	uint64_t stage_ns[VMIG_STAGE_NR];    /* how long each took */
	uint64_t stage_bytes[VMIG_STAGE_NR]; /* device data moved in each */
	uint64_t total_ns,
		downtime_ns; /* downtime: from the first device leaving RUNNING to the last running again, as this side sees it */
	uint64_t expected_downtime_ns; /* source: as it was estimated when pre-copy ended; 0: it was not */
	uint64_t bytes;                /* device data */
	uint32_t rounds;               /* of pre-copy */
	uint32_t resets;               /* of devices, on this side */
	bool probed;                   /* destination: it was only asked (the outcome is VMIG_NOT_DONE) */
	/* ownership; all zero where no record decided */
	bool owned;
	uint64_t owner_ns; /* spent in the record while the devices were down: it is within the downtime */
	uint64_t owner_total_ns;  /* spent in the record in all */
	uint64_t epoch;           /* of the first device's record, as last seen */
	struct vmig_uuid attempt; /* of this migration */
	const char *verdict;      /* of the restart rule, where it was asked for; NULL */
	char reason[8192];        /* for a person: every reason, one a line; "" when done */
};

/** Run the source's side to the end. Blocks. Returns the outcome (>= 0), or -EINVAL for bad arguments. */
int vmig_migrate_source(struct vmig_device *const *devices, uint32_t n, struct vmig_channel *channel,
			const struct vmig_migrate_user *user, const struct vmig_migrate_options *options,
			struct vmig_migrate_result *ret);
/** And the destination's. */
int vmig_migrate_destination(struct vmig_device *const *devices, uint32_t n, struct vmig_channel *channel,
			     const struct vmig_migrate_user *user, const struct vmig_migrate_options *options,
			     struct vmig_migrate_result *ret);

/**
 * Apply the restart rule once to @devices, which no migration has in hand: find where they are, read their records, and do
 * what these say. @me and @ids as in struct vmig_migrate_options; @timeout_ns: how long the record may be away (0: 30 s).
 *
 * Returns an outcome, with ret->verdict and ret->reason:
 *   VMIG_DONE	       settled: they run here, or are another's and what was here has been reset
 *   VMIG_NOT_DONE     nothing to be done: the copy here is kept; or these devices are in no record
 *   VMIG_IN_DOUBT     the record cannot be asked, or does not fit what is here: nothing was changed
 *   VMIG_SOURCE_LOST  they are this end's by the record, but not all of their state is here
 * or -EINVAL, -ENOMEM.
 */
int vmig_owner_resolve(struct vmig_device *const *devices, uint32_t n, struct vmig_owner *owner,
		       const char *me, const struct vmig_uuid *ids, uint64_t timeout_ns,
		       struct vmig_migrate_result *ret);

/**
 * Find a device wherever a dead user left it and bring it back to RUNNING: from a state of the saving
 * group or STOP by walking, from RESUMING or ERROR by a reset.
 * *ret_was (may be NULL): the state it was found in. *ret_reset (may be NULL): its state was lost by a reset.
 * Returns 0; or -EIO: it could not be brought to RUNNING; -EPERM: it has stopped and carries an identity, so that it may run
 * elsewhere by now: vmig_owner_resolve() asks the record; or as vmig_device_set_state().
 */
int vmig_recover(struct vmig_device *dev, uint32_t *ret_was, bool *ret_reset);

#ifdef __cplusplus
}
#endif
#endif
