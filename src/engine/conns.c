/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The connections of a migration beside the first. The source makes them when both have said HELLO, and each begins
 * with JOIN; the destination lets in whoever knows the attempt. They carry the data of their devices; everything else
 * goes over the first, and waits there for what it speaks of:
 *
 *	INITIAL   for a MARK on each of the others
 *	FIN       for the end of every device
 *
 * and a device's end that comes over another connection than what goes before it waits for that.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/util.h"
#include "engine/driver.h"
#include "engine/stages.h"

/* A stranger who says nothing is not waited for longer. */
#define JOIN_MS 1000u
/* How often it is seen that nobody else is needed. */
#define POLL_MS 100u

/* --- one --- */

struct vmig_conn *vmig_conn_new(struct vmig_driver *driver, uint32_t index, struct vmig_channel *channel,
				const uint8_t *attempt)
{
	/* The digest's state has vector registers' alignment, which malloc() does not promise. */
	struct vmig_conn *conn = aligned_alloc(_Alignof(struct vmig_conn), sizeof(*conn));

	if (!conn)
		return NULL;
	memset(conn, 0, sizeof(*conn));
	conn->driver = driver;
	conn->index = index;
	conn->channel = channel;
	vmig_out_init(&conn->out, channel, driver->pace.bandwidth);
	vmig_intake_init(&conn->in, channel, attempt, &driver->heard_ns);
	return conn;
}

void vmig_conn_free(struct vmig_conn *conn)
{
	if (!conn)
		return;
	vmig_out_done(&conn->out);
	free(conn->bounce);
	free(conn);
}

int vmig_conn_start(struct vmig_conn *conn)
{
	int r = pthread_create(&conn->receiver, NULL, vmig_receiver_run, conn);

	conn->receiver_started = !r;
	if (!r)
		pthread_setname_np(conn->receiver, "vmig-receiver");
	return -r;
}

static uint32_t timeout_ms(const struct vmig_driver *driver)
{
	return (uint32_t)MIN(MAX(driver->core.config.timeout_ns / NS_PER_MS, 1), UINT32_MAX);
}

/* --- source --- */

static int send_join(struct vmig_conn *conn)
{
	const struct vmig_join join = { .index = conn->index, .of = conn->driver->n_conns };
	struct vmig_record record = { .type = VMIG_RECORD_JOIN, .device = VMIG_RECORD_ALL };
	uint8_t payload[sizeof(join)];
	struct vmig_cursor c = vmig_cursor_into(payload, sizeof(payload));

	vmig_join_put(&c, &join);
	record.length = (uint32_t)(sizeof(payload) - c.left);
	return vmig_out_control(&conn->out, &record, payload, false);
}

static int dial(struct vmig_driver *driver, uint32_t index)
{
	const struct vmig_migrate_options *o = driver->options;
	const struct vmig_conn *first = driver->conns[0];
	struct vmig_channel *channel;
	struct vmig_conn *conn;
	int r = o->more(o->more_opaque, timeout_ms(driver), &channel);

	if (r)
		return r;
	conn = vmig_conn_new(driver, index, channel, first->out.attempt);
	if (!conn) {
		vmig_channel_close(channel);
		return -ENOMEM;
	}
	memcpy(conn->out.attempt, first->out.attempt, sizeof(conn->out.attempt));
	vmig_channel_set_timeout(channel, timeout_ms(driver));
	driver->conns[index] = conn;
	r = send_join(conn);
	/* The other end says nothing over it, but who does not read does not find that it is lost. */
	return r ? r : vmig_conn_start(conn);
}

static int dial_all(struct vmig_driver *driver)
{
	int r = 0;

	for (uint32_t i = 1; !r && i < driver->n_conns; i++)
		r = dial(driver, i);
	return r;
}

/* --- destination --- */

/* A new connection's first record. 0: it belongs to this migration. */
static int read_join(struct vmig_conn *conn)
{
	struct vmig_driver *driver = conn->driver;
	struct vmig_error error = { 0 };
	struct iovec iov = { .iov_base = conn->control };
	struct vmig_record record;
	struct vmig_join join;
	struct vmig_cursor c;

	if (vmig_intake_next(&conn->in, &record, &error) <= 0 || record.type != VMIG_RECORD_JOIN)
		return -EPROTO;
	iov.iov_len = record.length;
	if (vmig_intake_payload(&conn->in, &iov, 1, &error))
		return -EPROTO;
	c = vmig_cursor_over(conn->control, record.length);
	if (vmig_join_get(&c, &join) || join.of != driver->n_conns || driver->conns[join.index])
		return -EPROTO;
	conn->index = join.index;
	return 0;
}

static bool quits(struct vmig_driver *driver)
{
	bool quit;

	pthread_mutex_lock(&driver->lock);
	quit = driver->quit;
	pthread_mutex_unlock(&driver->lock);
	return quit;
}

/* Takes @channel over. True: it is one of ours. */
static bool let_in(struct vmig_driver *driver, struct vmig_channel *channel)
{
	struct vmig_conn *conn = vmig_conn_new(driver, 0, channel, driver->conns[0]->out.attempt);
	bool ours;

	vmig_channel_set_timeout(channel, JOIN_MS);
	ours = conn && !read_join(conn);
	if (!ours) {
		vmig_channel_close(channel);
		vmig_conn_free(conn);
		return false;
	}
	vmig_channel_set_timeout(channel, timeout_ms(driver));
	pthread_mutex_lock(&driver->lock);
	driver->conns[conn->index] = conn;
	pthread_mutex_unlock(&driver->lock);
	if (vmig_conn_start(conn))
		vmig_driver_lost(driver, -EAGAIN, "no thread for a connection", 0);
	return true;
}

static void *join_all(void *arg)
{
	struct vmig_driver *driver = arg;
	const struct vmig_migrate_options *o = driver->options;
	uint64_t end = vmig_now_ns() + driver->core.config.timeout_ns;
	uint32_t missing = driver->n_conns - 1;

	while (missing && !quits(driver)) {
		struct vmig_channel *channel;
		int r = o->more(o->more_opaque, POLL_MS, &channel);

		if (!r) {
			missing -= let_in(driver, channel);
		} else if ((r != -ETIMEDOUT && r != -ECONNABORTED) || vmig_now_ns() >= end) {
			vmig_driver_lost(driver, r, "not all connections of the migration have come", 0);
			break;
		}
	}
	return NULL;
}

/* --- both --- */

void vmig_driver_open_more(struct vmig_driver *driver)
{
	struct vmig_conn *first = driver->conns[0];
	char text[VMIG_DRIVER_TEXT];
	int r;

	driver->n_conns = vmig_core_connections(&driver->core);
	if (driver->source)
		r = dial_all(driver);
	else
		r = driver->n_conns > 1 ? -pthread_create(&driver->joiner, NULL, join_all, driver) : 0;
	driver->joiner_started = !driver->source && driver->n_conns > 1 && !r;
	if (r) {
		snprintf(text, sizeof(text), "one more connection could not be made: %s", vmig_out_words(r));
		vmig_driver_lost(driver, r, text, 0);
		driver->n_conns = 1;
	}
	/* Behind it something else comes over the same connection at once. */
	first->out.ends_more = driver->n_conns == 1 && !driver->pace.bandwidth;
	for (uint32_t i = 0; driver->source && i < driver->n_conns; i++)
		if (driver->conns[i])
			vmig_out_peer(&driver->conns[i]->out, first->in.decoder.head.minor,
				      driver->core.peer.max_data);
}

int vmig_driver_send_beside(struct vmig_driver *driver, const struct vmig_record *record, const void *payload)
{
	struct vmig_record beside = *record;
	int r = 0;

	if (!driver->source || (record->type != VMIG_RECORD_INITIAL && record->type != VMIG_RECORD_PROGRESS))
		return 0;
	if (record->type == VMIG_RECORD_INITIAL)
		beside.type = VMIG_RECORD_MARK;
	for (uint32_t i = 1; !r && i < driver->n_conns && driver->conns[i]; i++)
		r = vmig_out_control(&driver->conns[i]->out, &beside, payload,
				     record->type == VMIG_RECORD_PROGRESS);
	return r;
}

static bool all_ended(const struct vmig_core *core)
{
	for (uint32_t i = 0; i < core->n; i++)
		if (!core->devices[i].ended)
			return false;
	return true;
}

bool vmig_driver_may_take(const struct vmig_driver *driver, uint32_t index, uint32_t type)
{
	const struct vmig_core *core = &driver->core;

	if (!vmig_core_wants_record(core, type))
		return false;
	if (driver->source || core->phase != VMIG_PHASE_GO)
		return true;
	if (index)
		return core->stage >= VMIG_STAGE_SWITCHOVER;
	return type != VMIG_RECORD_FIN || driver->n_conns == 1 || all_ended(core);
}

/* Those that are there by now. */
static void get_conns(struct vmig_driver *driver, struct vmig_conn *ret[VMIG_LIMIT_CONNECTIONS])
{
	pthread_mutex_lock(&driver->lock);
	memcpy(ret, driver->conns, sizeof(driver->conns));
	pthread_mutex_unlock(&driver->lock);
}

bool vmig_driver_note_away(struct vmig_driver *driver)
{
	struct vmig_conn *conns[VMIG_LIMIT_CONNECTIONS];
	bool away = false;

	get_conns(driver, conns);
	for (uint32_t i = 0; i < VMIG_LIMIT_CONNECTIONS; i++)
		away = away || (conns[i] && vmig_channel_away(conns[i]->channel));
	if (away != driver->away)
		vmig_core_warn(&driver->core,
			       away ? "the connection was lost: waiting for it to come back"
				    : "the connection is back, or is not waited for any longer");
	driver->away = away;
	return away;
}

void vmig_driver_hold(struct vmig_driver *driver)
{
	struct vmig_conn *conns[VMIG_LIMIT_CONNECTIONS];

	if (driver->held || (driver->core.stage < VMIG_STAGE_QUIESCE && driver->core.phase == VMIG_PHASE_GO))
		return;
	driver->held = true;
	get_conns(driver, conns);
	for (uint32_t i = 0; i < VMIG_LIMIT_CONNECTIONS; i++)
		if (conns[i])
			vmig_channel_hold(conns[i]->channel, false);
}

void vmig_driver_shut_down(struct vmig_driver *driver)
{
	struct vmig_conn *conns[VMIG_LIMIT_CONNECTIONS];

	get_conns(driver, conns);
	for (uint32_t i = 0; i < VMIG_LIMIT_CONNECTIONS; i++)
		if (conns[i])
			vmig_channel_shutdown(conns[i]->channel);
}

void vmig_driver_close_more(struct vmig_driver *driver)
{
	/* It may let one more in until it is seen that nobody is needed any more. */
	if (driver->joiner_started)
		pthread_join(driver->joiner, NULL);
	vmig_driver_shut_down(driver);
	for (uint32_t i = 0; i < VMIG_LIMIT_CONNECTIONS; i++) {
		struct vmig_conn *conn = driver->conns[i];

		if (conn && conn->receiver_started)
			pthread_join(conn->receiver, NULL);
	}
}
