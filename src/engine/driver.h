/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * driver - runs the core: devices, threads, a channel, the clock. Private to the engine.
 *
 * Threads:
 *   the caller's  the core, the user's callbacks, control records out
 *   one worker a device  its state calls and, at the source, its data: a long transition blocks no other device
 *   one asker     where a record decides: asks it
 *   one receiver a connection  all that comes in; at the destination it puts data straight into the devices
 *   one that lets further connections in, at the destination, until all are there
 *
 * driver->lock guards what they share. A record is handed from the receiver to the caller's thread one
 * at a time: there is no queue that a peer could fill. Nothing that blocks is called under it.
 */
#ifndef VMIG_ENGINE_DRIVER_H
#define VMIG_ENGINE_DRIVER_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/asker.h"
#include "engine/core.h"
#include "engine/intake.h"
#include "engine/out.h"

#define VMIG_DRIVER_TEXT 256
#define VMIG_DRIVER_END  16u /* bytes of a DEVICE_END that mean something */

struct vmig_driver;

/** What a device is said to be: descriptor and version data. At the source its own, at the destination what was offered. */
struct vmig_papers {
	char *descriptor; /* NULL: none */
	uint8_t *opaque;  /* NULL: none */
	size_t opaque_len;
};

struct vmig_worker {
	struct vmig_driver *driver;
	struct vmig_device *dev;
	uint32_t index;
	pthread_t thread;
	bool started;
	pthread_cond_t wake;

	/* under driver->lock */
	bool busy, ended, quit;
	struct vmig_core_action task;
	struct vmig_core_event end; /* of the last task */
	char text[VMIG_DRIVER_TEXT];
	char note[VMIG_IDENTITY_MAX + VMIG_NOTE_MAX + 2]; /* the device's, as it was last told */
	char reasons[VMIG_REASON_MAX];                    /* of JUDGE */
	struct vmig_papers papers; /* whoever runs: the worker in its job, else the caller's thread */

	atomic_bool stop; /* end the pump soon */

	/* The session, and who may use it: the worker at the source, the receiver at the destination. */
	pthread_mutex_t data_lock;
	struct vmig_session *session;
	uint64_t length, chain; /* of the data sent or received; whoever uses the session */
	bool data_ended;        /* destination: DEVICE_END has come; the receiver's own */

	/* Its DEVICE_END, for the caller's thread: the one record that nobody waits for. Of many devices they come at once, and each
	 * would wake two threads. Under driver->lock. */
	bool end_waits;
	uint8_t end_payload[VMIG_DRIVER_END];
	uint32_t end_len;
};

/** A fault that a thread reports to the caller's thread. */
struct vmig_driver_fault {
	bool set, told;
	int code;
	uint32_t device;
	uint64_t wait_ns; /* not to be told before: the peer's own word may be on its way */
	char text[VMIG_DRIVER_TEXT];
};

/**
 * One connection. The first carries everything; others, where there are some, the data of their devices, what belongs to
 * these, and nothing back.
 */
struct vmig_conn {
	struct vmig_driver *driver;
	uint32_t index;
	struct vmig_channel *channel;
	struct vmig_out out;
	struct vmig_intake in;
	pthread_t receiver;
	bool receiver_started;
	uint8_t *bounce; /* of a data record that does not fit into one room; the receiver's own */

	/* under driver->lock */
	uint64_t marked; /* the number of the last MARK: what came before it is loaded */
	struct {
		bool full;
		struct vmig_record record;
		uint64_t length, chain;
	} inbox;
	uint8_t control[VMIG_LIMIT_RECORD_CONTROL]; /* the payload of the record in the inbox */
};

struct vmig_driver {
	struct vmig_core core;
	bool source, one_way;
	uint32_t n;
	struct vmig_worker *workers;
	struct vmig_core_device *devices;
	struct vmig_ownership *scratch; /* NULL: there is no record */
	struct vmig_asker asker;
	const struct vmig_migrate_user *user;
	const struct vmig_migrate_options *options;
	struct vmig_conn *conns[VMIG_LIMIT_CONNECTIONS]; /* the first is there from the start */
	uint32_t n_conns;                                /* that were agreed on */
	struct vmig_pace pace;
	atomic_uint_least64_t heard_ns, bytes;

	pthread_mutex_t lock;
	pthread_cond_t main_wake; /* the caller's thread */
	pthread_cond_t receiver_wake;

	/* under lock */
	bool wants_data, discard, quit;
	struct vmig_driver_fault lost, data_fault;
	bool receiver_ended;

	pthread_t joiner;
	bool joiner_started;
	bool away, held; /* vmig_driver_note_away(), vmig_driver_hold() */
	bool cancelled;  /* the core was told */
	bool finished;
	struct iovec *records; /* destination: the users' records, one a device */
};

/** The connection of a device's data. */
static inline struct vmig_conn *vmig_driver_conn(struct vmig_driver *driver, uint32_t device)
{
	return driver->conns[device % driver->n_conns];
}

/* --- connections (conns.c) --- */

/** NULL: no memory. @attempt: the stream's that comes in; NULL: not known. */
struct vmig_conn *vmig_conn_new(struct vmig_driver *driver, uint32_t index, struct vmig_channel *channel,
				const uint8_t *attempt);
/** Its receiver. 0 or a negative errno. */
int vmig_conn_start(struct vmig_conn *conn);
/** All but its channel. */
void vmig_conn_free(struct vmig_conn *conn);
/** Both have said HELLO: make the other connections, or begin to let them in. */
void vmig_driver_open_more(struct vmig_driver *driver);
/** A record that concerns the other connections, too: MARK before INITIAL, PROGRESS. Before it goes over the first. */
int vmig_driver_send_beside(struct vmig_driver *driver, const struct vmig_record *record,
			    const void *payload);
/** May a record of @type that came over connection @index be given to the core now? */
bool vmig_driver_may_take(const struct vmig_driver *driver, uint32_t index, uint32_t type);
/** Is a connection lost and being waited for? That is said once, and is not the peer's silence. */
bool vmig_driver_note_away(struct vmig_driver *driver);
/** Once the devices stop, or it will not happen, a lost connection is not waited for. */
void vmig_driver_hold(struct vmig_driver *driver);
/** Of the first, and of the others. The threads that use them must have been told to quit. */
void vmig_driver_shut_down(struct vmig_driver *driver);
void vmig_driver_close_more(struct vmig_driver *driver);

/** The jobs DESCRIBE and JUDGE (judge.c). */
void vmig_worker_describe(struct vmig_worker *w, struct vmig_core_event *end);
void vmig_worker_judge(struct vmig_worker *w, struct vmig_core_event *end);
/** Keep what the core has accepted of an OFFER. 0 or -ENOMEM. */
int vmig_driver_keep_offer(struct vmig_driver *driver, uint32_t device, const void *payload, uint32_t len);
void vmig_papers_done(struct vmig_papers *papers);

/** The worker of a device, until told to quit. */
void *vmig_worker_run(void *worker);
/** The receiver of a connection, until the channel ends or it is told to quit. */
void *vmig_receiver_run(void *conn);

/** The channel is gone, or what comes through it is bad. The first one counts. Any thread. */
void vmig_driver_lost(struct vmig_driver *driver, int code, const char *text, uint64_t wait_ns);
/** A device did not take its data. The receiver. */
void vmig_driver_data_failed(struct vmig_driver *driver, uint32_t device, int code, const char *text);

/** The last error of a device in words. */
void vmig_driver_words(struct vmig_device *dev, int code, char ret[VMIG_DRIVER_TEXT]);

/** Read a file that can be rewound to its end, and check all of it. 0 (at the start again), or what is wrong with it. */
int vmig_driver_scan(struct vmig_channel *channel, struct vmig_error *ret_error);

/** The user's part: each feeds its end to the core. */
void vmig_driver_quiesce(struct vmig_driver *driver);
void vmig_driver_save_record(struct vmig_driver *driver, uint32_t device);
void vmig_driver_load_record(struct vmig_driver *driver, uint32_t device);
/** Keep a piece that the core has accepted. 0 or -ENOMEM. */
int vmig_driver_keep_piece(struct vmig_driver *driver, uint32_t device, const void *payload, uint32_t len);
void vmig_driver_free_records(struct vmig_driver *driver);

/** The caller's thread, from the first event to the last action (driver-loop.c). The threads that it needs have been started. */
void vmig_driver_loop(struct vmig_driver *driver);
/** Give the core an event; the time and the counts are filled in here. */
void vmig_driver_feed(struct vmig_driver *driver, struct vmig_core_event *ev);
/** VMIG_EV_USER. @text NULL: the errno's words. */
void vmig_driver_feed_user(struct vmig_driver *driver, int code, const char *text);

#endif
