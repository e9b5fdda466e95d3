/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * owner - who owns a device: a record in a store decides who may run it (docs/ownership.md).
 *
 * A store is dumb: it reads the records of a unit, and swaps all of them for others if all are exactly as said. The
 * rules are pure functions beside it: vmig_owner_next() makes of a record what one step makes of it, and
 * vmig_owner_decide() is the restart rule. Their names are those of the checked model (tests/handover/handover.pml).
 *
 * Stores:
 *	sqlite:PATH                             one file on a local disk, for the programs of one machine
 *	etcd:http://HOST:PORT[,HOST:PORT...]    etcd 3.4 or newer, by its JSON gateway; also https.
 *	        ?prefix=/vmig/                    of its keys
 *	        &ca=FILE                          whose certificates are taken (https)
 *	        &cert=FILE&key=FILE               one's own certificate (https)
 *	        &user=NAME&password-file=FILE     of etcd's own users
 *
 * Threads: one handle may be used by several; calls are done one after the other.
 */
#ifndef VMIG_OWNER_H
#define VMIG_OWNER_H

#include <stdbool.h>
#include <stdint.h>

#include <vmig/error.h>
#include <vmig/uuid.h>

#ifdef __cplusplus
extern "C" {
#endif

enum vmig_owner_phase {
	/* 0: there is no record */
	VMIG_OWNER_STABLE = 1, /* the owner may run it; no attempt is open */
	VMIG_OWNER_OPEN,       /* an attempt is open: the peer may take it over */
	VMIG_OWNER_TAKEN,      /* the owner has taken it over and has not yet written that it runs */
	VMIG_OWNER_RUNNING,    /* and it has: whoever had it before may free the copy */
};

/** Bytes of a name with its end. A name is not empty, and has no control characters. */
#define VMIG_OWNER_NAME_MAX 256
/** The highest epoch: stores keep it as a signed number. */
#define VMIG_OWNER_EPOCH_MAX INT64_MAX

/** The record of one logical device. */
struct vmig_ownership {
	struct vmig_uuid device;
	char owner[VMIG_OWNER_NAME_MAX]; /* host and endpoint */
	char peer[VMIG_OWNER_NAME_MAX];  /* who may take it over; "": nobody */
	uint64_t epoch;                  /* raised by every write that decides */
	struct vmig_uuid attempt;        /* the open one, or the last */
	enum vmig_owner_phase phase;
	struct vmig_uuid writer;   /* a nonce for each write, to recognise one's own */
	struct vmig_uuid instance; /* of the owner's device server */
};

/** "none" (0), "stable", "open", "taken", "running". NULL: there is no such phase. */
const char *vmig_owner_phase_name(enum vmig_owner_phase phase);
/** In every field. */
bool vmig_ownership_equal(const struct vmig_ownership *a, const struct vmig_ownership *b);

/* --- stores ------------------------------------------------------------------------------------------- */

struct vmig_owner;

/**
 * Get ready to ask the store at @url. A file that does not exist is made; no other machine is asked yet.
 * @timeout_ms: of each later call; 0: 5 s.
 * Returns 0, or with *ret_error (may be NULL):
 *   -EINVAL      the URL                     -EOPNOTSUPP  the file is of a newer vmig, or on a network's file system
 *   -EBADMSG     the file is no store        or the errno of the file
 */
int vmig_owner_open(const char *url, uint32_t timeout_ms, struct vmig_owner **ret,
		    struct vmig_error *ret_error);
/** NULL is allowed. */
void vmig_owner_close(struct vmig_owner *owner);

/**
 * The store's own id, made at its first use, by which two ends tell whether they mean the same one; and the most
 * devices that one swap takes. Asks the store.
 * Returns 0, or as vmig_owner_read().
 */
int vmig_owner_query(struct vmig_owner *owner, struct vmig_uuid *ret_store, uint32_t *ret_unit_max,
		     struct vmig_error *ret_error);

/**
 * The records of @n devices at one moment, never older than the last swap that was done by anybody. Of a device
 * without a record the phase is 0, and only @device is set.
 * Returns 0; or the store cannot be asked: -ETIMEDOUT, -ECONNREFUSED, -EHOSTUNREACH, -EREMOTEIO (it says why not), -EIO ...;
 * -EPROTO or -EBADMSG: what it says cannot be right; -EINVAL, -E2BIG: @devices.
 */
int vmig_owner_read(struct vmig_owner *owner, const struct vmig_uuid *devices, uint32_t n,
		    struct vmig_ownership *ret, struct vmig_error *ret_error);

/**
 * Write @next[0..@n-1], all or none, if each record is exactly @now[i] (phase 0: absent). Records that are exactly @next
 * already count as written: a call may be repeated.
 * Returns 0: it is done, and durable.
 *   -EAGAIN       lost: a record is neither
 *   -EINPROGRESS  it is not known whether it was done, and it may take effect later still: repeat it, or go by what
 *                 vmig_owner_read() says and by the restart rule
 *   others        it was not done: -EINVAL (a record that none can be), -E2BIG (too many), or as vmig_owner_read()
 */
int vmig_owner_swap(struct vmig_owner *owner, const struct vmig_ownership *now,
		    const struct vmig_ownership *next, uint32_t n, struct vmig_error *ret_error);

/** Call @each for every record. It ends when that returns non-zero, and returns it. Else 0, or as vmig_owner_read(). */
int vmig_owner_list(struct vmig_owner *owner, int (*each)(const struct vmig_ownership *record, void *opaque),
		    void *opaque, struct vmig_error *ret_error);

/* --- the rules ---------------------------------------------------------------------------------------- */

/** What may be done to a record. (VMIG_OWNER_OPEN is a phase, so the step that leads to it has another name.) */
enum vmig_owner_step {
	VMIG_OWNER_CREATE,   /* a device that has no record: it is mine */
	VMIG_OWNER_DO_OPEN,  /* the owner opens an attempt: the peer may take over */
	VMIG_OWNER_RAISE,    /* the owner ends an attempt before it runs again */
	VMIG_OWNER_COMMIT,   /* the peer takes over */
	VMIG_OWNER_BUMP,     /* anyone ends an open attempt; the owner stays */
	VMIG_OWNER_GIVEBACK, /* who took over and has run nothing gives it back */
	VMIG_OWNER_DONE,     /* who took over writes that it runs */
	VMIG_OWNER_STEP_NR,
};

/** "create", "open", "raise", "commit", "bump", "giveback", "done". NULL: there is no such step. */
const char *vmig_owner_step_name(enum vmig_owner_step step);

/** Who does it. */
struct vmig_owner_actor {
	const char *me;
	const char *peer;          /* DO_OPEN: who may take over; COMMIT, GIVEBACK: whose it was */
	struct vmig_uuid attempt;  /* DO_OPEN, COMMIT, GIVEBACK */
	struct vmig_uuid instance; /* of my server of this device */
	struct vmig_uuid writer;   /* new for each write */
};

/**
 * *ret becomes @now (CREATE: its @device counts) after the step. Pure.
 * Returns 0; -EPERM: the rules do not allow that step to this actor from this record; -EINVAL: a name.
 */
int vmig_owner_next(enum vmig_owner_step step, const struct vmig_owner_actor *actor,
		    const struct vmig_ownership *now, struct vmig_ownership *ret);

/** What is found of a unit's devices, after they have been taken for this process alone. */
struct vmig_owner_found {
	bool tagged;       /* they carry tags; without them nothing of the rest can be known */
	bool any_runs;     /* one has its identity and is in RUNNING or RUNNING_P2P */
	bool all_intact;   /* each has its identity, complete */
	bool stopped_copy; /* each has its identity, and is in STOP or STOP_COPY */
	bool same_life;    /* this very process has committed, and has run nothing since */
};

enum vmig_owner_verdict {
	VMIG_OWNER_RUN_ALL,        /* no promise is out: bring all to RUNNING */
	VMIG_OWNER_RAISE_THEN_RUN, /* RAISE; won: run */
	VMIG_OWNER_GIVE_BACK,      /* GIVEBACK; won: discard */
	VMIG_OWNER_LOST_DEVICE,    /* mine, and not all of it is here: the operator decides; nothing is run */
	VMIG_OWNER_FENCE,          /* BUMP the records that name me as peer; won: discard; lost: read again */
	VMIG_OWNER_DISCARD,        /* another's: reset what is here */
	VMIG_OWNER_KEEP,  /* another's, which has not written that it runs: leave the copy as it is */
	VMIG_OWNER_DOUBT, /* it cannot be said: change nothing */
};

/** "run-all", "raise-then-run", "give-back", "lost-device", "fence", "discard", "keep", "doubt". NULL: no verdict. */
const char *vmig_owner_verdict_name(enum vmig_owner_verdict verdict);

/**
 * The restart rule, also the rule when in doubt: what @me has to do, by the records of the unit's @n devices, read a moment
 * ago, and by what is found here. After a step that it asks for has lost, read and ask again. Pure.
 */
enum vmig_owner_verdict vmig_owner_decide(const char *me, const struct vmig_ownership *records, uint32_t n,
					  const struct vmig_owner_found *found);

#ifdef __cplusplus
}
#endif
#endif
