/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The one thread that reads a connection. A record that is not data is handed to the caller's thread, and
 * nothing more is read until that has taken it. Data go straight to where the device wants them; what fails its
 * digest is never given to the device.
 */
#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "base/io.h"
#include "engine/driver.h"
#include "handle/provider.h"

/* True: the record was taken and the next may be read. */
static bool hand_over(struct vmig_conn *conn, const struct vmig_record *record)
{
	struct vmig_driver *driver = conn->driver;
	struct vmig_worker *w = record->device < driver->n ? &driver->workers[record->device] : NULL;
	bool taken;

	/* A device of another connection has another receiver: of its data nothing is said here. */
	if (w && vmig_driver_conn(driver, record->device) != conn)
		w = NULL;
	pthread_mutex_lock(&driver->lock);
	conn->inbox.record = *record;
	conn->inbox.length = w ? w->length : 0;
	conn->inbox.chain = w ? w->chain : 0;
	conn->inbox.full = true;
	pthread_cond_signal(&driver->main_wake);
	while (conn->inbox.full && !driver->quit)
		pthread_cond_wait(&driver->receiver_wake, &driver->lock);
	taken = !conn->inbox.full;
	pthread_mutex_unlock(&driver->lock);
	return taken;
}

static void flush(struct vmig_driver *driver, struct vmig_worker *w)
{
	char text[VMIG_DRIVER_TEXT];
	int r = 0;

	pthread_mutex_lock(&w->data_lock);
	if (w->session)
		r = vmig_session_flush(w->session);
	pthread_mutex_unlock(&w->data_lock);
	if (!r)
		return;
	vmig_driver_words(w->dev, r, text);
	vmig_driver_data_failed(driver, w->index, r, text);
}

static void flush_all(struct vmig_conn *conn)
{
	struct vmig_driver *driver = conn->driver;

	for (uint32_t i = conn->index; i < driver->n; i += driver->n_conns)
		flush(driver, &driver->workers[i]);
}

/* INITIAL asks for what came over all connections before it: each of the others has its mark. */
static int wait_for_marks(struct vmig_conn *conn, uint64_t number)
{
	struct vmig_driver *driver = conn->driver;
	bool all = false;

	pthread_mutex_lock(&driver->lock);
	while (!all && !driver->quit) {
		all = true;
		for (uint32_t i = 1; i < driver->n_conns; i++)
			all = all && driver->conns[i] && driver->conns[i]->marked >= number;
		if (!all)
			pthread_cond_wait(&driver->receiver_wake, &driver->lock);
	}
	pthread_mutex_unlock(&driver->lock);
	return all ? 0 : -ECANCELED;
}

static uint64_t number_in(const struct vmig_conn *conn, const struct vmig_record *record)
{
	struct vmig_cursor c = vmig_cursor_over(conn->control, record->length);
	uint64_t number;

	return vmig_number_get(&c, &number) ? 0 : number;
}

/* What is acknowledged, or judged to be whole, must have been taken by the devices. */
static int settle(struct vmig_conn *conn, const struct vmig_record *record)
{
	struct vmig_driver *driver = conn->driver;

	if (driver->source)
		return 0;
	if (record->type == VMIG_RECORD_INITIAL) {
		flush_all(conn);
		return wait_for_marks(conn, number_in(conn, record));
	}
	if (record->type == VMIG_RECORD_DEVICE_END && record->device < driver->n) {
		flush(driver, &driver->workers[record->device]);
		driver->workers[record->device].data_ended = true;
	}
	return 0;
}

/* The first one of a device goes to the caller's thread without waiting for it. */
static bool take_end(struct vmig_conn *conn, const struct vmig_record *record)
{
	struct vmig_driver *driver = conn->driver;
	struct vmig_worker *w = record->device < driver->n ? &driver->workers[record->device] : NULL;

	if (driver->source || record->type != VMIG_RECORD_DEVICE_END || !w || w->data_ended)
		return false;
	(void)settle(conn, record);
	pthread_mutex_lock(&driver->lock);
	w->end_len = MIN(record->length, VMIG_DRIVER_END);
	memcpy(w->end_payload, conn->control, w->end_len);
	w->end_waits = true;
	pthread_cond_signal(&driver->main_wake);
	pthread_mutex_unlock(&driver->lock);
	return true;
}

static void take_mark(struct vmig_conn *conn, const struct vmig_record *record)
{
	flush_all(conn);
	pthread_mutex_lock(&conn->driver->lock);
	conn->marked = number_in(conn, record);
	pthread_cond_broadcast(&conn->driver->receiver_wake);
	pthread_mutex_unlock(&conn->driver->lock);
}

/* Is this the connection for it? */
static bool belongs(const struct vmig_conn *conn, const struct vmig_record *record)
{
	switch (record->type) {
	case VMIG_RECORD_DEVICE_END:
		return conn->driver->source || record->device % conn->driver->n_conns == conn->index;
	case VMIG_RECORD_PROGRESS:
		return true;
	case VMIG_RECORD_MARK:
		return conn->index;
	case VMIG_RECORD_JOIN:
		return false;
	default:
		return !conn->index;
	}
}

static int take_control(struct vmig_conn *conn, const struct vmig_record *record, struct vmig_error *error)
{
	struct iovec iov = { .iov_base = conn->control, .iov_len = record->length };
	int r;

	if (!belongs(conn, record))
		return vmig_fault(error, -EPROTO, "stream", "%s does not belong on connection %u",
				  vmig_record_name(record->type), conn->index);
	if (conn->index && record->type == VMIG_RECORD_PROGRESS)
		return vmig_intake_skip(&conn->in, error);
	r = vmig_intake_payload(&conn->in, &iov, 1, error);
	if (!r && take_end(conn, record))
		return 0;
	if (!r && record->type == VMIG_RECORD_MARK)
		take_mark(conn, record);
	else if (!r)
		r = settle(conn, record);
	if (r || record->type == VMIG_RECORD_MARK)
		return r;
	return hand_over(conn, record) ? 0 : -ECANCELED;
}

/* --- data --- */

/* Data may come before the devices are in RESUMING: over a file nobody waits for ACCEPT. False: they are not wanted any more. */
static bool wait_wanted(struct vmig_driver *driver)
{
	bool wanted;

	pthread_mutex_lock(&driver->lock);
	while (!driver->wants_data && !driver->discard && !driver->quit)
		pthread_cond_wait(&driver->receiver_wake, &driver->lock);
	wanted = driver->wants_data && !driver->discard;
	pthread_mutex_unlock(&driver->lock);
	return wanted;
}

/* A source that waits for ACCEPT has no data before it: this end has said it only when it wants them. */
static bool come_early(struct vmig_driver *driver)
{
	bool early;

	pthread_mutex_lock(&driver->lock);
	early = !driver->one_way && !driver->wants_data && !driver->discard && !driver->quit;
	pthread_mutex_unlock(&driver->lock);
	return early;
}

static bool have_bounce(struct vmig_conn *conn)
{
	if (!conn->bounce)
		conn->bounce = malloc(VMIG_LIMIT_RECORD_DATA);
	return conn->bounce;
}

/*
 * The device has no room for all of it at once: the digest must be known before it gets the first byte. What there is no
 * room for waits in the bounce buffer; one that has no rooms of its own is given the record in one piece.
 */
static int load_bounced(struct vmig_conn *conn, struct vmig_worker *w, uint32_t length, struct iovec *iov,
			int n, size_t room, struct vmig_error *error, int *ret_device)
{
	struct iovec rest = { .iov_base = conn->bounce, .iov_len = length - room };
	int r, device;

	iov[n] = rest;
	r = vmig_intake_payload(&conn->in, iov, n + 1, error);
	device = n ? vmig_session_filled(w->session, r ? 0 : room) : 0;
	*ret_device = r || device ? device : vmig_session_writev(w->session, &rest, 1);
	return r;
}

/* Under data_lock. What the device says goes to *ret_device; what the channel says is returned. */
static int load(struct vmig_conn *conn, struct vmig_worker *w, uint32_t length, struct vmig_error *error,
		int *ret_device)
{
	struct iovec iov[VMIG_SESSION_IOV_MAX + 1];
	ssize_t room;
	int n, r;

	if (!w->session)
		return vmig_intake_skip(&conn->in, error);
	room = vmig_session_room(w->session, length, iov, &n);
	if (room < 0) {
		*ret_device = (int)room;
		return vmig_intake_skip(&conn->in, error);
	}
	if ((size_t)room < length && (!have_bounce(conn) || !vmig_session_has_rooms(w->session))) {
		*ret_device = vmig_session_filled(w->session, 0);
		if (!*ret_device && !conn->bounce)
			*ret_device = -ENOMEM;
		if (*ret_device)
			return vmig_intake_skip(&conn->in, error);
		room = n = 0;
	}
	if ((size_t)room < length)
		return load_bounced(conn, w, length, iov, n, (size_t)room, error, ret_device);
	r = vmig_intake_payload(&conn->in, iov, n, error);
	*ret_device = vmig_session_filled(w->session, r ? 0 : length);
	return r;
}

static int take_data(struct vmig_conn *conn, const struct vmig_record *record, struct vmig_error *error)
{
	struct vmig_driver *driver = conn->driver;
	struct vmig_worker *w = record->device < driver->n ? &driver->workers[record->device] : NULL;
	char text[VMIG_DRIVER_TEXT];
	int r, device = 0;

	if (driver->source || !w || record->device % driver->n_conns != conn->index || w->data_ended) {
		snprintf(error->text, sizeof(error->text), "data that do not belong here: of device %u",
			 record->device);
		return -EPROTO;
	}
	if (come_early(driver)) {
		snprintf(error->text, sizeof(error->text),
			 "data before they were accepted, or after the end");
		return -EPROTO;
	}
	if (!record->length || !wait_wanted(driver))
		return vmig_intake_skip(&conn->in, error);
	pthread_mutex_lock(&w->data_lock);
	r = load(conn, w, record->length, error, &device);
	pthread_mutex_unlock(&w->data_lock);
	if (r)
		return r;
	w->length += record->length;
	w->chain = vmig_digest_chain(w->chain, record->length, conn->in.digest);
	atomic_fetch_add_explicit(&driver->bytes, record->length, memory_order_relaxed);
	if (device) {
		vmig_driver_words(w->dev, device, text);
		vmig_driver_data_failed(driver, w->index, device, text);
	}
	return 0;
}

/* --- the thread --- */

/* Over a one-way channel nothing follows PROMISE, and nobody waits for the end. */
static bool is_last(const struct vmig_driver *driver, const struct vmig_record *record)
{
	return driver->one_way && record->type == VMIG_RECORD_PROMISE;
}

void *vmig_receiver_run(void *arg)
{
	struct vmig_conn *conn = arg;
	struct vmig_driver *driver = conn->driver;
	struct vmig_error error = { 0 };
	struct vmig_record record;
	bool last = false, says_nothing = driver->source && conn->index;
	int r = 0;

	while (!last && !r) {
		r = vmig_intake_next(&conn->in, &record, &error);
		if (r <= 0 || says_nothing)
			break;
		last = is_last(driver, &record);
		if (record.type == VMIG_RECORD_DATA)
			r = take_data(conn, &record, &error);
		else if (vmig_record_name(record.type))
			r = take_control(conn, &record, &error);
		else
			r = vmig_intake_skip(&conn->in, &error);
	}
	/* Whether it was still needed, the next that is sent will tell. */
	if (!last && !says_nothing)
		vmig_driver_lost(driver, r, r ? error.text : NULL, 0);
	pthread_mutex_lock(&driver->lock);
	driver->receiver_ended |= !conn->index;
	pthread_cond_signal(&driver->main_wake);
	pthread_mutex_unlock(&driver->lock);
	return NULL;
}
