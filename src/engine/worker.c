/* SPDX-License-Identifier: BSD-3-Clause */
/* A device's own thread: its state calls and, at the source, its data. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/util.h"
#include "engine/driver.h"
#include "handle/provider.h"

/* After a send has failed the peer's own reason may still be on its way: so long it is waited for. */
#define LAST_WORD_NS (500 * NS_PER_MS)
/* How long one sleep under a bandwidth limit may be, so that a stop is soon seen. */
#define NAP_NS (20 * NS_PER_MS)

void vmig_driver_words(struct vmig_device *dev, int code, char ret[VMIG_DRIVER_TEXT])
{
	struct vmig_error error;

	vmig_device_query_error(dev, &error);
	if (error.code == -code && error.text[0])
		snprintf(ret, VMIG_DRIVER_TEXT, "%.60s: %.180s", error.where, error.text);
	else
		snprintf(ret, VMIG_DRIVER_TEXT, "%s", strerror(-code));
}

/* A new session, or none: the old one ends. */
static void change_session(struct vmig_worker *w, struct vmig_session *session)
{
	struct vmig_session *old;

	pthread_mutex_lock(&w->data_lock);
	old = w->session;
	w->session = session;
	pthread_mutex_unlock(&w->data_lock);
	vmig_session_close(old);
}

static bool has_session(uint32_t state)
{
	return state == VMIG_STATE_PRE_COPY || state == VMIG_STATE_PRE_COPY_P2P ||
	       state == VMIG_STATE_STOP_COPY || state == VMIG_STATE_RESUMING;
}

/* After a failure the state is asked for, not assumed. */
static void ask_state(struct vmig_worker *w, struct vmig_core_event *end)
{
	if (vmig_device_query_state(w->dev, &end->state))
		end->state = VMIG_STATE_NONE;
}

static void do_state(struct vmig_worker *w, const struct vmig_core_action *task, struct vmig_core_event *end)
{
	struct vmig_session *session = NULL;

	end->code = vmig_device_set_state(w->dev, task->target, task->recover, &session);
	if (end->code) {
		vmig_driver_words(w->dev, end->code, w->text);
		ask_state(w, end);
	} else {
		end->state = task->target;
	}
	if (session)
		change_session(w, session);
	else if (!has_session(end->state))
		change_session(w, NULL);
}

/* Told once: what a source's device cannot do as well as it might. */
static void look_for_note(struct vmig_worker *w, struct vmig_core_event *end)
{
	char note[VMIG_NOTE_MAX], text[sizeof(w->note)];
	struct vmig_device_info info;

	vmig_device_query_note(w->dev, note);
	if (!w->driver->source || !note[0])
		return;
	vmig_device_query_info(w->dev, &info);
	snprintf(text, sizeof(text), "%s: %s", info.name, note);
	if (!strcmp(text, w->note))
		return;
	memcpy(w->note, text, sizeof(w->note));
	end->note = w->note;
}

/* Where it stands, and whose state it holds. */
static void do_query(struct vmig_worker *w, struct vmig_core_event *end)
{
	ask_state(w, end);
	end->tagged = !vmig_device_query_tag(w->dev, &end->tag);
}

static void do_tag(struct vmig_worker *w, const struct vmig_core_action *task, struct vmig_core_event *end)
{
	end->tag = task->tag;
	end->code = vmig_device_set_tag(w->dev, &task->tag);
	if (end->code)
		vmig_driver_words(w->dev, end->code, w->text);
}

static void do_reset(struct vmig_worker *w, struct vmig_core_event *end)
{
	change_session(w, NULL);
	end->code = vmig_device_reset(w->dev);
	if (end->code)
		vmig_driver_words(w->dev, end->code, w->text);
	ask_state(w, end);
}

static void do_sizes(struct vmig_worker *w, struct vmig_core_event *end)
{
	end->code = w->session ? vmig_session_query_precopy(w->session, &end->sizes) : -EINVAL;
	if (end->code)
		vmig_driver_words(w->dev, end->code, w->text);
}

/* --- data --- */

static void nap(struct vmig_worker *w, uint64_t ns)
{
	uint64_t end = vmig_now_ns() + ns, now;

	while (!atomic_load(&w->stop) && (now = vmig_now_ns()) < end) {
		uint64_t part = MIN(end - now, NAP_NS);
		struct timespec t = { .tv_nsec = (long)part };

		nanosleep(&t, NULL);
	}
}

/* The channel is gone. The job ends when the core has been told and says stop, so that it does not begin again. */
static void wait_for_stop(struct vmig_worker *w)
{
	struct vmig_driver *driver = w->driver;

	pthread_mutex_lock(&driver->lock);
	while (!atomic_load(&w->stop) && !w->quit)
		pthread_cond_wait(&w->wake, &driver->lock);
	pthread_mutex_unlock(&driver->lock);
}

/* One piece: 1; 0: the end or drained (*ret_code tells); negative: the device's error. */
static int pump_piece(struct vmig_worker *w, bool stays, int *ret_sent)
{
	struct vmig_out *out = &vmig_driver_conn(w->driver, w->index)->out;
	struct iovec iov[VMIG_SESSION_IOV_MAX];
	uint64_t digest;
	ssize_t len;
	int n;

	len = vmig_session_lend(w->session, out->piece, iov, &n);
	if (len <= 0)
		return (int)len;
	nap(w, vmig_pace_delay(&w->driver->pace, (size_t)len));
	*ret_sent = vmig_out_data(out, w->index, iov, n, stays, &digest);
	vmig_session_return(w->session, (size_t)len);
	w->length += (uint64_t)len;
	w->chain = vmig_digest_chain(w->chain, (uint64_t)len, digest);
	atomic_fetch_add_explicit(&w->driver->bytes, (uint64_t)len, memory_order_relaxed);
	return 1;
}

static void do_pump(struct vmig_worker *w, const struct vmig_core_action *task, struct vmig_core_event *end)
{
	struct vmig_out *out = &vmig_driver_conn(w->driver, w->index)->out;
	bool stays = w->session && vmig_session_has_loans(w->session) && !w->driver->pace.bandwidth;
	int sent = 0, left, r = w->session ? 1 : -EINVAL;
	uint64_t first = w->length;

	end->pump = VMIG_PUMP_STOPPED;
	while (r == 1 && !sent && !atomic_load(&w->stop) && w->length - first < task->budget)
		r = pump_piece(w, stays, &sent);
	/* At the end of a device's data the record that says so is behind them at once. */
	left = vmig_out_leave(out, w->index, !sent && (r || task->budget != UINT64_MAX));
	sent = sent ? sent : left;
	end->length = w->length;
	end->chain = w->chain;
	if (sent) {
		vmig_driver_lost(w->driver, sent, vmig_out_words(sent), LAST_WORD_NS);
		wait_for_stop(w);
	} else if (!r) {
		end->pump = VMIG_PUMP_END;
	} else if (r == -ENOMSG) {
		end->pump = VMIG_PUMP_DRAINED;
	} else if (r < 0) {
		end->code = r;
		vmig_driver_words(w->dev, r, w->text);
	}
}

/* --- the thread --- */

static void perform(struct vmig_worker *w, const struct vmig_core_action *task, struct vmig_core_event *end)
{
	w->text[0] = '\0';
	switch (task->job) {
	case VMIG_JOB_STATE:
		do_state(w, task, end);
		look_for_note(w, end);
		break;
	case VMIG_JOB_QUERY_STATE:
		do_query(w, end);
		break;
	case VMIG_JOB_TAG:
		do_tag(w, task, end);
		break;
	case VMIG_JOB_DESCRIBE:
		vmig_worker_describe(w, end);
		look_for_note(w, end);
		break;
	case VMIG_JOB_JUDGE:
		vmig_worker_judge(w, end);
		break;
	case VMIG_JOB_SIZES:
		do_sizes(w, end);
		break;
	case VMIG_JOB_PUMP:
		do_pump(w, task, end);
		break;
	case VMIG_JOB_RESET:
		do_reset(w, end);
		break;
	case VMIG_JOB_NONE:
		break;
	}
}

void *vmig_worker_run(void *arg)
{
	struct vmig_worker *w = arg;
	struct vmig_driver *driver = w->driver;

	pthread_mutex_lock(&driver->lock);
	for (;;) {
		struct vmig_core_action task;
		struct vmig_core_event end;

		while (!w->busy && !w->quit)
			pthread_cond_wait(&w->wake, &driver->lock);
		if (!w->busy)
			break;
		task = w->task;
		pthread_mutex_unlock(&driver->lock);
		end = (struct vmig_core_event){ .kind = VMIG_EV_JOB, .device = w->index, .job = task.job };
		end.text = w->text;
		perform(w, &task, &end);
		pthread_mutex_lock(&driver->lock);
		w->end = end;
		w->busy = false;
		w->ended = true;
		pthread_cond_signal(&driver->main_wake);
	}
	pthread_mutex_unlock(&driver->lock);
	change_session(w, NULL);
	return NULL;
}
