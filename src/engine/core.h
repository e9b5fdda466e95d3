/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * core - one end of a migration as a machine: events in, actions out. Pure.
 *
 * It does no I/O, reads no clock, starts no thread and allocates nothing, so that it runs under the
 * driver (driver.c: threads, devices, a channel) and under tests and simulators in virtual time.
 * Every event carries the time and the count of bytes moved; vmig_core_deadline() says when a tick is due.
 *
 * For each device at most one job is outstanding; its end is an event. Devices are known by index,
 * the same on both ends.
 */
#ifndef VMIG_ENGINE_CORE_H
#define VMIG_ENGINE_CORE_H

#include <stdbool.h>
#include <stdint.h>

#include <vmig/migrate.h>
#include <vmig/owner.h>

#include "base/limits.h"
#include "wire/stream.h"

/** What a device may be told to do. The driver's workers do these, one at a time for each device. */
enum vmig_job {
	VMIG_JOB_NONE,
	VMIG_JOB_STATE, /* walk to @target, failing that to @recover */
	VMIG_JOB_QUERY_STATE,
	VMIG_JOB_DESCRIBE, /* source: what it is, its driver's version data, the estimate of its size */
	VMIG_JOB_JUDGE,    /* destination: the descriptor and the version data that were offered */
	VMIG_JOB_SIZES,    /* ask for the sizes of pre-copy */
	VMIG_JOB_PUMP,     /* send data until drained, at the end, @budget is used up, or told to stop */
	VMIG_JOB_RESET,
	VMIG_JOB_TAG, /* set its tag: @tag */
};

/** What the ownership record may be asked, one question at a time. */
enum vmig_owner_ask {
	VMIG_OWNER_ASK_NONE,
	VMIG_OWNER_ASK_READ, /* of each device with @in_unit: its @identity; of none: the store's id alone */
	VMIG_OWNER_ASK_SWAP, /* their @record for their @next, all or none */
};

struct vmig_core_action {
	enum vmig_core_action_kind {
		VMIG_ACT_NONE,
		VMIG_ACT_SEND, /* a record of @type about @device; vmig_core_payload() gives its payload */
		VMIG_ACT_JOB,  /* @device starts @job */
		VMIG_ACT_PUMP_STOP,        /* end @device's PUMP soon */
		VMIG_ACT_QUIESCE,          /* the user: answer with VMIG_EV_USER */
		VMIG_ACT_RESUME,           /* the user; no answer */
		VMIG_ACT_SAVE_RECORD,      /* the user's record of @device, sent in pieces; VMIG_EV_USER */
		VMIG_ACT_LOAD_RECORD,      /* VMIG_EV_USER */
		VMIG_ACT_START,            /* the user; no answer */
		VMIG_ACT_CHANNEL_COMMIT,   /* make what was sent durable; VMIG_EV_USER */
		VMIG_ACT_CHANNEL_SHUTDOWN, /* nothing more is to be sent or received */
		VMIG_ACT_OWNER,            /* the record: @ask, @step; answer with VMIG_EV_OWNER */
		VMIG_ACT_EVENT,            /* tell the user: @event */
		VMIG_ACT_FINISH,           /* all is over: core->result */
	} kind;
	uint32_t device, type;
	enum vmig_job job;
	uint32_t target, recover;
	uint64_t budget;
	struct vmig_tag tag;
	enum vmig_owner_ask ask;
	enum vmig_owner_step step; /* of a swap */
	struct vmig_migrate_event event;
};

struct vmig_core_event {
	enum vmig_core_event_kind {
		VMIG_EV_ENTER,  /* the stage begins; made by the core itself */
		VMIG_EV_START,  /* the first event */
		VMIG_EV_RECORD, /* @type, @device, @payload: every record but DATA */
		VMIG_EV_JOB,    /* @device's @job has ended */
		VMIG_EV_USER,   /* what was asked of the user, or of the channel, has ended: @code, @text */
		VMIG_EV_TICK,   /* the deadline is reached */
		VMIG_EV_LOST,   /* the channel: @code (negative; 0: the peer ended it), @text */
		VMIG_EV_DATA_FAILED, /* @device did not take data: @code, @text */
		VMIG_EV_CANCEL,
		VMIG_EV_OWNER, /* what the record says: @owner; @code, @text */
	} kind;
	uint64_t now_ns;   /* never 0 */
	uint64_t bytes;    /* of device data that this end has moved so far */
	uint64_t heard_ns; /* when the peer was last heard */
	uint32_t device;
	int code;         /* 0 or a negative errno */
	const char *text; /* a sentence for a person; valid during the call; may be NULL */
	/* VMIG_EV_RECORD */
	uint32_t type;
	const void *payload;
	uint32_t payload_len;
	uint64_t length, chain; /* of the data of @device that was received so far */
	const uint8_t *attempt; /* 16 bytes, of the stream it came by */
	/* VMIG_EV_OWNER */
	enum vmig_owner_answer {
		VMIG_OWNER_RECORDS,     /* of a READ: @records, @store, @unit_max */
		VMIG_OWNER_WON,         /* of a SWAP: done, and durable */
		VMIG_OWNER_LOST,        /* a record was not as said; nothing was done */
		VMIG_OWNER_UNKNOWN,     /* it may have been done, or may be done later still */
		VMIG_OWNER_UNREACHABLE, /* it was not done, and will not be */
	} owner;
	const struct vmig_ownership *records; /* in the order of the devices with @in_unit */
	struct vmig_uuid store;
	uint32_t unit_max; /* the most devices that one SWAP takes */
	/* VMIG_EV_JOB */
	enum vmig_job job;
	uint32_t state; /* of the device now; VMIG_STATE_NONE: not known */
	bool tagged;    /* QUERY_STATE: it carries a tag: @tag */
	struct vmig_tag tag;
	uint64_t size; /* DESCRIBE: VMIG_OFFER_SIZE_UNKNOWN */
	/* DESCRIBE: valid as long as the core. NULL: there is none. */
	const char *descriptor;
	const uint8_t *opaque;
	uint32_t descriptor_len, opaque_len;
	uint32_t resets; /* JUDGE: of the device, by asking its driver */
	/* JUDGE: with NO the text is the reasons, one a line, valid as long as the core. */
	enum vmig_verdict { VMIG_VERDICT_NONE, VMIG_VERDICT_YES, VMIG_VERDICT_NO } verdict;
	struct vmig_precopy sizes;
	/* STATE, DESCRIBE: what the device says it cannot do as well as it might; valid until its next job. NULL: nothing new. */
	const char *note;
	enum vmig_pump_end { VMIG_PUMP_STOPPED, VMIG_PUMP_DRAINED, VMIG_PUMP_END } pump;
};

/** What the core knows of a device of this end. */
struct vmig_core_device {
	struct vmig_device_info info;
	uint32_t state;         /* last known; VMIG_STATE_NONE */
	enum vmig_job job;      /* outstanding */
	uint32_t target;        /* of VMIG_JOB_STATE */
	uint64_t job_ns;        /* when the job began */
	bool moved;             /* may have left RUNNING since the start: to be brought back */
	bool ended;             /* DEVICE_END was sent or received */
	uint64_t length, chain; /* of all its data; final when @ended */
	/* source */
	uint64_t stop_copy_size; /* VMIG_OFFER_SIZE_UNKNOWN */
	uint64_t left;           /* bytes that it still has for us, as far as we know */
	uint64_t job_length;     /* @length when the job began */
	uint64_t round_ns;       /* when the dirty round began */
	uint64_t ask_ns;         /* when to look at it again; 0: not now */
	uint64_t dirty_rate, last_left;
	uint32_t rounds, judged_rounds, worse_rounds;
	const char *descriptor; /* what is offered with it */
	const uint8_t *opaque;
	uint32_t descriptor_len, opaque_len;
	bool known; /* @left has been asked for or seen */
	bool initial_sent;
	/* destination */
	struct vmig_offer offer; /* what the source says of its own, but for descriptor and opaque */
	bool judged;             /* by descriptors: then "the same identity" is not asked for */
	const char *refusal; /* of a judge that says no: the reasons, one a line; valid as long as the core */
	uint32_t record_total, record_have;
	bool has_record;
	/* ownership */
	struct vmig_uuid given; /* its identity, said by whoever makes the core; none: by its tag */
	struct vmig_uuid fresh; /* its identity if it has none yet; given by whoever makes the core */
	bool tagged;            /* it carries a tag */
	bool held; /* a stopped copy of a device that may run elsewhere: not to be run, but by the record's word */
	bool is_new;               /* source: it has no record yet */
	bool in_unit;              /* what the record is asked is about it */
	struct vmig_tag tag;       /* last known */
	struct vmig_uuid identity; /* of the logical device; none: not in the record */
	struct vmig_ownership record,
		next; /* as last read or written; what a SWAP makes of it (an offer: what is claimed) */
};

/** Where the unit stands with the record (owning.c). */
struct vmig_core_owning {
	bool on;                       /* the record decides */
	enum vmig_owner_ask ask;       /* outstanding */
	enum vmig_owner_step step;     /* of the swap that is outstanding, or was the last */
	enum vmig_owner_answer answer; /* the last one */
	uint32_t at;                   /* within what is being done: each part has its own names */
	uint32_t writes;               /* number of the last nonce */
	uint32_t n_claims;             /* received */
	uint32_t unit_max;
	uint64_t asked_ns;
	uint64_t again_ns, pause_ns; /* when to ask again, 0: not; and how long to wait the next time */
	uint64_t until_ns;           /* not to be asked again after this */
	bool unknown;                /* a commit was sent whose outcome has not been learnt */
	bool opened;                 /* source: the attempt is open in the record */
	bool refuses;                /* destination: its devices are not free; the reasons are given */
	bool impatient;              /* source: cancelled after its promise: the record is not waited for */
	bool mine;                   /* the record says that this end is the owner */
	bool same_life;              /* destination: this process has committed, and has run nothing */
	bool arrived;                /* source: the record says that it runs elsewhere */
	struct vmig_uuid store, attempt;
	char me[VMIG_OWNER_NAME_MAX], peer[VMIG_OWNER_NAME_MAX];
	char text[128]; /* what the store said last, when it did not answer */
	int code;
};

struct vmig_core_config {
	bool source;
	bool one_way;
	bool keep_source;
	bool no_precopy;
	bool probe; /* the source only asks */
	bool paper; /* and has only descriptors */
	uint64_t downtime_ns, timeout_ns, bandwidth;
	uint64_t max_time_ns; /* of pre-copy; 0: no limit */
	uint32_t max_rounds;
	uint32_t connections; /* that data may go over; at least 1 */
	enum vmig_no_converge on_no_converge;
	bool allow_no_p2p; /* of several devices some may stop in one step */
	/* ownership */
	bool owned; /* there is a record */
	bool name_by_server; /* @me gives way to the owner's name in the record, if the device's server is the owner's */
	bool resolve;   /* only apply the restart rule; there is no peer */
	const char *me; /* valid during vmig_core_init() */
	struct vmig_ownership
		*scratch;         /* room for the records of all devices; the caller's, as long as the core */
	struct vmig_uuid attempt; /* the source's */
	struct vmig_uuid nonce;   /* random: what this end's writes are told by */
};

/* Why pre-copy does not converge, for a person. */
#define VMIG_PLAN_WORDS 640u

#define VMIG_CORE_ACTIONS (4u * VMIG_LIMIT_DEVICES + 64u)

struct vmig_core {
	struct vmig_core_config config;
	uint32_t n;
	struct vmig_core_device *devices;

	enum vmig_stage stage; /* one writer: vmig_core_enter() */
	enum vmig_core_phase {
		VMIG_PHASE_GO,       /* the stage's function has the events */
		VMIG_PHASE_ROLLBACK, /* back to RUNNING (source) or to a reset device (destination) */
		VMIG_PHASE_DOUBT,    /* source: it has promised and has no answer: the record decides */
		VMIG_PHASE_LINGER,   /* all done; the peer is given the time to read our last words */
		VMIG_PHASE_OVER,
	} phase;
	uint32_t step; /* within the stage or the rollback: each has its own names */

	bool lost;       /* the channel is gone: nothing can be sent */
	bool told;       /* the peer knows of the end: it told us */
	bool said_abort; /* we told it */
	bool last_word;  /* ours was sent: worth to linger for */
	bool quiesced;   /* the user was, and has not been resumed */
	bool promised;   /* PROMISE was sent (source), received (destination) */
	bool committed;  /* COMMITTED was received (source), sent (destination) */

	uint64_t now, start_ns, stage_ns, stage_bytes, bytes, heard_ns;
	uint64_t down_ns; /* when the first device left RUNNING; 0: none has */
	uint64_t beat_ns, progress_ns, linger_ns, stuck_ns; /* deadlines; 0: none */

	struct vmig_hello peer; /* n_devices 0: not heard yet */
	uint32_t n_offers;      /* received */
	bool memory_too;        /* of those for which there is no device here one is memory */
	uint32_t next_record;   /* the device whose user record is next */
	bool records_done;
	struct vmig_fin fin;
	struct vmig_core_owning own;

	struct vmig_plan {
		uint64_t initial_number, initial_asked, initial_acked; /* a REINIT raises the number */
		uint64_t sample_ns, sample_bytes; /* where the measurement of bandwidth began */
		uint64_t bandwidth, dirty_rate;   /* bytes a second; 0: not known */
		uint64_t remaining, expected_ns;  /* bytes; the downtime if it were switched over now */
		uint64_t fixed_ns;                /* what of it does not depend on the bytes */
		uint64_t arc_ns;                  /* the longest transition so far */
		uint64_t owner_ns;                /* the last write of the ownership record */
		uint64_t rtt_ns;                  /* there and back, the least so far; 0: not known */
		uint64_t asked_ns, asked_bytes;   /* the question that is out; 0: none */
		uint64_t burst_ns, loaded_bytes;  /* the first data since the last answer; what is loaded */
		uint64_t through;                 /* bytes a second that came to be loaded; 0: not known */
		uint64_t sent_bytes;              /* when INITIAL was sent last */
		uint32_t backlog_asks;
		bool warned; /* that it does not converge */
		char words[VMIG_PLAN_WORDS];
	} plan;

	struct vmig_core_action actions[VMIG_CORE_ACTIONS];
	uint32_t first, used;
	struct vmig_migrate_result result;
};

/**
 * @devices: @n of them, with @info filled in and all else zero; they stay the caller's and must stay.
 * The first event must be VMIG_EV_START.
 */
void vmig_core_init(struct vmig_core *core, const struct vmig_core_config *config,
		    struct vmig_core_device *devices, uint32_t n);

void vmig_core_event(struct vmig_core *core, const struct vmig_core_event *event);

/** Take the next action: false if there is none now. */
bool vmig_core_next(struct vmig_core *core, struct vmig_core_action *ret);

/** The payload of a VMIG_ACT_SEND, at once after it was taken. */
void vmig_core_payload(const struct vmig_core *core, const struct vmig_core_action *action,
		       struct vmig_cursor *c);

/** May the next record, of this type, be given? Not while the answer to the last ones is being worked out. A peer whose
 *  record waits is not silent: @heard_ns is now. */
bool vmig_core_wants_record(const struct vmig_core *core, uint32_t type);

/** May the devices of the destination be given data? */
bool vmig_core_wants_data(const struct vmig_core *core);

/** How many connections data go over, once both have said HELLO; until then 1. */
uint32_t vmig_core_connections(const struct vmig_core *core);

/** When the next VMIG_EV_TICK is due; UINT64_MAX: never. */
uint64_t vmig_core_deadline(const struct vmig_core *core);

#endif
