/* SPDX-License-Identifier: BSD-3-Clause */
/* The caller's thread in its loop: what happens is told to the core, what the core then wants is done. */
#include "engine/driver.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"

/* How often *options->cancel is looked at. */
#define CANCEL_NS (20 * NS_PER_MS)
/* Once the devices are where they should be, nobody waits long for a peer that does not read its last word. */
#define LAST_WORD_MS 2000u

/* --- what the other threads report --- */

void vmig_driver_lost(struct vmig_driver *driver, int code, const char *text, uint64_t wait_ns)
{
	struct vmig_driver_fault *f = &driver->lost;

	pthread_mutex_lock(&driver->lock);
	/* The receiver knows more than a sender, which sees only that the connection is gone. */
	if (!f->set || (!f->told && !wait_ns)) {
		f->set = true;
		f->code = code;
		f->wait_ns =
			wait_ns && !driver->receiver_ended && !driver->one_way ? vmig_now_ns() + wait_ns : 0;
		snprintf(f->text, sizeof(f->text), "%s", text ? text : "");
	}
	pthread_cond_signal(&driver->main_wake);
	pthread_mutex_unlock(&driver->lock);
}

void vmig_driver_data_failed(struct vmig_driver *driver, uint32_t device, int code, const char *text)
{
	struct vmig_driver_fault *f = &driver->data_fault;

	pthread_mutex_lock(&driver->lock);
	if (!f->set) {
		f->set = true;
		f->code = code;
		f->device = device;
		snprintf(f->text, sizeof(f->text), "%s", text);
	}
	driver->discard = true;
	pthread_cond_signal(&driver->main_wake);
	pthread_mutex_unlock(&driver->lock);
}

/* --- events --- */

static bool record_waits(struct vmig_driver *driver)
{
	const struct vmig_conn *first = driver->conns[0];
	bool waits;

	pthread_mutex_lock(&driver->lock);
	/* But not for what other connections still have to bring. */
	waits = first->inbox.full && (vmig_driver_may_take(driver, 0, first->inbox.record.type) ||
				      !vmig_core_wants_record(&driver->core, first->inbox.record.type));
	pthread_mutex_unlock(&driver->lock);
	return waits;
}

void vmig_driver_feed(struct vmig_driver *driver, struct vmig_core_event *ev)
{
	bool away = vmig_driver_note_away(driver);

	ev->now_ns = vmig_now_ns();
	ev->heard_ns = away || record_waits(driver)
			       ? ev->now_ns
			       : atomic_load_explicit(&driver->heard_ns, memory_order_relaxed);
	ev->bytes = atomic_load_explicit(&driver->bytes, memory_order_relaxed);
	vmig_core_event(&driver->core, ev);
	vmig_driver_hold(driver);
	pthread_mutex_lock(&driver->lock);
	driver->wants_data = vmig_core_wants_data(&driver->core);
	driver->discard |= driver->core.phase != VMIG_PHASE_GO;
	pthread_cond_broadcast(&driver->receiver_wake);
	pthread_mutex_unlock(&driver->lock);
}

static void feed_record(struct vmig_driver *driver, struct vmig_conn *conn)
{
	const struct vmig_record *record = &conn->inbox.record;
	struct vmig_core_event ev = {
		.kind = VMIG_EV_RECORD,
		.type = record->type,
		.device = record->device,
		.payload = conn->control,
		.payload_len = record->length,
		.length = conn->inbox.length,
		.chain = conn->inbox.chain,
		.attempt = conn->in.decoder.head.attempt,
	};
	bool piece = record->type == VMIG_RECORD_USER_RECORD;
	int r;

	/* The destination's own stream has the attempt's id from the first record on. */
	if (!driver->source &&
	    memcmp(driver->conns[0]->out.attempt, conn->in.decoder.head.attempt, sizeof(conn->out.attempt)))
		memcpy(driver->conns[0]->out.attempt, conn->in.decoder.head.attempt,
		       sizeof(conn->out.attempt));
	vmig_driver_feed(driver, &ev);
	if (record->type == VMIG_RECORD_HELLO && driver->core.phase == VMIG_PHASE_GO)
		vmig_driver_open_more(driver);
	if (driver->core.phase != VMIG_PHASE_GO || record->device >= driver->n)
		return;
	r = 0;
	if (piece)
		r = vmig_driver_keep_piece(driver, record->device, conn->control, record->length);
	else if (record->type == VMIG_RECORD_OFFER && !driver->source)
		r = vmig_driver_keep_offer(driver, record->device, conn->control, record->length);
	if (r)
		vmig_driver_data_failed(driver, record->device, r, "no memory for what is said of it");
}

static bool lost_due(const struct vmig_driver *driver)
{
	const struct vmig_driver_fault *f = &driver->lost;

	return f->set && !f->told && (!f->wait_ns || driver->receiver_ended || vmig_now_ns() >= f->wait_ns);
}

enum found { NOTHING, JOB_ENDED, ANSWERED, DEVICE_END, RECORD, DATA_FAULT, LOST };

/* Under the lock: a connection whose record the core may have; NULL: there is none. */
static struct vmig_conn *full_inbox(struct vmig_driver *driver)
{
	for (uint32_t i = 0; i < driver->n_conns; i++)
		if (driver->conns[i] && driver->conns[i]->inbox.full &&
		    vmig_driver_may_take(driver, i, driver->conns[i]->inbox.record.type))
			return driver->conns[i];
	return NULL;
}

/* Under the lock: before what came after it. */
static bool end_waits(struct vmig_driver *driver, struct vmig_core_event *ret)
{
	for (uint32_t i = 0; i < driver->n; i++) {
		struct vmig_worker *w = &driver->workers[i];

		if (!w->end_waits ||
		    !vmig_driver_may_take(driver, i % driver->n_conns, VMIG_RECORD_DEVICE_END))
			continue;
		w->end_waits = false;
		*ret = (struct vmig_core_event){
			.kind = VMIG_EV_RECORD,
			.type = VMIG_RECORD_DEVICE_END,
			.device = i,
			.payload = w->end_payload,
			.payload_len = w->end_len,
			.length = w->length,
			.chain = w->chain,
			.attempt = driver->conns[0]->in.decoder.head.attempt,
		};
		return true;
	}
	return false;
}

/* Under the lock: what is there to be told to the core? @ret gets a copy; a text stays valid until its owner's next task. */
static enum found look(struct vmig_driver *driver, struct vmig_core_event *ret, struct vmig_conn **ret_conn)
{
	struct vmig_driver_fault *data = &driver->data_fault, *lost = &driver->lost;

	for (uint32_t i = 0; i < driver->n; i++) {
		struct vmig_worker *w = &driver->workers[i];

		if (!w->ended)
			continue;
		w->ended = false;
		*ret = w->end;
		return JOB_ENDED;
	}
	if (vmig_asker_answer(&driver->asker, ret))
		return ANSWERED;
	if (data->set && !data->told) {
		data->told = true;
		*ret = (struct vmig_core_event){ .kind = VMIG_EV_DATA_FAILED,
						 .device = data->device,
						 .code = data->code,
						 .text = data->text };
		return DATA_FAULT;
	}
	if (end_waits(driver, ret))
		return DEVICE_END;
	*ret_conn = full_inbox(driver);
	if (*ret_conn)
		return RECORD;
	if (!driver->conns[0]->inbox.full && lost_due(driver)) {
		lost->told = true;
		*ret = (struct vmig_core_event){ .kind = VMIG_EV_LOST,
						 .code = lost->code,
						 .text = lost->text[0] ? lost->text : NULL };
		return LOST;
	}
	return NOTHING;
}

/* When to look again though nothing has been reported. */
static uint64_t wake_at(const struct vmig_driver *driver)
{
	uint64_t at = vmig_core_deadline(&driver->core);

	if (driver->options->cancel && !driver->cancelled)
		at = MIN(at, vmig_now_ns() + CANCEL_NS);
	if (driver->lost.set && !driver->lost.told && driver->lost.wait_ns)
		at = MIN(at, driver->lost.wait_ns);
	return at;
}

static bool cancel_wanted(struct vmig_driver *driver)
{
	if (driver->cancelled || !driver->options->cancel ||
	    !__atomic_load_n(driver->options->cancel, __ATOMIC_RELAXED))
		return false;
	driver->cancelled = true;
	return true;
}

static enum found wait_for(struct vmig_driver *driver, struct vmig_core_event *ret,
			   struct vmig_conn **ret_conn)
{
	enum found found;
	uint64_t at;

	pthread_mutex_lock(&driver->lock);
	at = wake_at(driver);
	while (!(found = look(driver, ret, ret_conn)) && vmig_now_ns() < at) {
		struct timespec t = { .tv_sec = (time_t)(at / NS_PER_S), .tv_nsec = (long)(at % NS_PER_S) };

		if (at == UINT64_MAX)
			pthread_cond_wait(&driver->main_wake, &driver->lock);
		else
			pthread_cond_timedwait(&driver->main_wake, &driver->lock, &t);
	}
	pthread_mutex_unlock(&driver->lock);
	return found;
}

static void next_event(struct vmig_driver *driver)
{
	struct vmig_core_event ev = { 0 };
	struct vmig_conn *conn = NULL;
	enum found found = wait_for(driver, &ev, &conn);

	if (cancel_wanted(driver)) {
		struct vmig_core_event cancel = { .kind = VMIG_EV_CANCEL };

		vmig_driver_feed(driver, &cancel);
	}
	if (found == RECORD) {
		feed_record(driver, conn);
		pthread_mutex_lock(&driver->lock);
		conn->inbox.full = false;
		pthread_cond_broadcast(&driver->receiver_wake);
		pthread_mutex_unlock(&driver->lock);
	} else if (found != NOTHING) {
		vmig_driver_feed(driver, &ev);
	} else if (vmig_now_ns() >= vmig_core_deadline(&driver->core)) {
		ev.kind = VMIG_EV_TICK;
		vmig_driver_feed(driver, &ev);
	}
}

/* --- actions --- */

static void send(struct vmig_driver *driver, const struct vmig_core_action *action)
{
	uint8_t payload[VMIG_OFFER_OPAQUE_MAX + VMIG_OFFER_DESCRIPTOR_MAX + VMIG_REASON_MAX + 4096];
	struct vmig_cursor c = vmig_cursor_into(payload, sizeof(payload));
	bool progress = action->type == VMIG_RECORD_PROGRESS;
	struct vmig_out *out = &driver->conns[0]->out;
	struct vmig_record record = {
		.type = (uint16_t)action->type,
		.flags = progress ? VMIG_RECORD_OPTIONAL : 0,
		.device = action->device,
	};
	int r;

	/* It would wait for the connection, and what it is for is to be heard in time. */
	if (progress && driver->away)
		return;
	/* A destination that has heard nothing yet has no attempt to speak of. */
	if (!driver->source && !driver->core.peer.n_devices && action->type != VMIG_RECORD_ABORT)
		return;
	if (action->type == VMIG_RECORD_ABORT || action->type == VMIG_RECORD_REFUSE)
		vmig_channel_set_timeout(driver->conns[0]->channel, LAST_WORD_MS);
	vmig_core_payload(&driver->core, action, &c);
	record.length = (uint32_t)(sizeof(payload) - c.left);
	if (action->type == VMIG_RECORD_DEVICE_END)
		out = &vmig_driver_conn(driver, action->device)->out;
	r = vmig_driver_send_beside(driver, &record, payload);
	if (!r)
		r = vmig_out_control(out, &record, payload, progress);
	if (r)
		vmig_driver_lost(driver, r, vmig_out_words(r), 500 * NS_PER_MS);
}

static void start_job(struct vmig_driver *driver, const struct vmig_core_action *action)
{
	struct vmig_worker *w = &driver->workers[action->device];

	pthread_mutex_lock(&driver->lock);
	w->task = *action;
	w->busy = true;
	atomic_store(&w->stop, false);
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&driver->lock);
}

static void stop_pump(struct vmig_driver *driver, uint32_t device)
{
	struct vmig_worker *w = &driver->workers[device];

	pthread_mutex_lock(&driver->lock);
	atomic_store(&w->stop, true);
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&driver->lock);
}

static void commit_channel(struct vmig_driver *driver)
{
	int r = vmig_channel_commit(driver->conns[0]->channel);

	vmig_driver_feed_user(driver, r, r ? vmig_out_words(r) : NULL);
}

static void perform(struct vmig_driver *driver, const struct vmig_core_action *action)
{
	const struct vmig_migrate_user *user = driver->user;

	switch (action->kind) {
	case VMIG_ACT_SEND:
		send(driver, action);
		break;
	case VMIG_ACT_JOB:
		start_job(driver, action);
		break;
	case VMIG_ACT_PUMP_STOP:
		stop_pump(driver, action->device);
		break;
	case VMIG_ACT_QUIESCE:
		vmig_driver_quiesce(driver);
		break;
	case VMIG_ACT_RESUME:
		if (user->resume)
			user->resume(user->opaque);
		break;
	case VMIG_ACT_SAVE_RECORD:
		vmig_driver_save_record(driver, action->device);
		break;
	case VMIG_ACT_LOAD_RECORD:
		vmig_driver_load_record(driver, action->device);
		break;
	case VMIG_ACT_START:
		if (user->start)
			user->start(user->opaque);
		break;
	case VMIG_ACT_CHANNEL_COMMIT:
		commit_channel(driver);
		break;
	case VMIG_ACT_CHANNEL_SHUTDOWN:
		vmig_driver_shut_down(driver);
		break;
	case VMIG_ACT_OWNER:
		vmig_asker_ask(&driver->asker, &driver->core, action);
		break;
	case VMIG_ACT_EVENT:
		if (driver->options->event)
			driver->options->event(&action->event, driver->options->opaque);
		break;
	case VMIG_ACT_FINISH:
		driver->finished = true;
		break;
	case VMIG_ACT_NONE:
		break;
	}
}

/* --- the loop --- */

void vmig_driver_loop(struct vmig_driver *driver)
{
	struct vmig_core_event start = { .kind = VMIG_EV_START };
	struct vmig_core_action action;

	vmig_driver_feed(driver, &start);
	for (;;) {
		while (vmig_core_next(&driver->core, &action))
			perform(driver, &action);
		if (driver->finished)
			break;
		next_event(driver);
	}
}
