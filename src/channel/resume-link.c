/* SPDX-License-Identifier: BSD-3-Clause */
/* The connection of a session is lost, and comes back. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "channel/listener.h"
#include "channel/provider.h"
#include "channel/resume-inside.h"

/* How long to wait before dialling once more. */
#define AGAIN_NS (50 * NS_PER_MS)
#define PUMP_MS  50u
/* While a connection may be waited for, silence for this part of the timeout says that it is lost. */
#define SILENCE_PART 3u
#define SILENCE_MIN  1000u

void vmig_resume_fall(struct vmig_resume *r, int error)
{
	if (r->state == DOWN)
		return;
	r->state = DOWN;
	r->error = error;
	if (r->lower)
		vmig_channel_shutdown(r->lower);
	pthread_cond_broadcast(&r->wake);
}

void vmig_resume_lose(struct vmig_resume *r, const struct vmig_channel *lower, int error)
{
	if (r->state != UP || r->lower != lower)
		return;
	if (r->final) {
		vmig_resume_fall(r, error);
		return;
	}
	r->state = AWAY;
	r->away_ns = vmig_now_ns();
	vmig_channel_shutdown(r->lower);
	pthread_cond_broadcast(&r->wake);
}

uint32_t vmig_resume_lower_timeout(const struct vmig_resume *r)
{
	return r->final || !r->timeout_ms ? r->timeout_ms : MAX(r->timeout_ms / SILENCE_PART, SILENCE_MIN);
}

static void wait_until(struct vmig_resume *r, uint64_t ns)
{
	struct timespec t = { .tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S) };

	pthread_cond_timedwait(&r->wake, &r->lock, &t);
}

/* The bytes from @from to r->end once more. By who is tx; without the lock: nobody else changes the ring then. */
static int replay(struct vmig_resume *r, struct vmig_channel *lower, uint64_t from)
{
	int err = 0;

	while (!err && from < r->end) {
		size_t at = from % RING, len = MIN(MIN(r->end - from, FRAME_MAX), RING - at);
		uint8_t header[HEADER];
		struct iovec iov[2] = { { header, HEADER }, { r->ring + at, len } };

		vmig_resume_put_header(header, DATA, (uint32_t)len, from);
		err = vmig_channel_send(lower, iov, 2);
		from += len;
	}
	return err;
}

/* A new connection, whose peer has @has bytes of ours. */
static void attach(struct vmig_resume *r, struct vmig_channel *lower, uint64_t has)
{
	int err;

	r->lower = lower;
	if (r->state != AWAY) {
		vmig_channel_shutdown(lower);
		return;
	}
	if (has < r->kept || has > r->end) {
		vmig_resume_fall(r, -EPROTO);
		return;
	}
	r->kept = has;
	r->have = r->left = r->skip = 0;
	r->acked = r->received;
	r->ack_due = false;
	vmig_channel_set_timeout(lower, vmig_resume_lower_timeout(r));
	r->tx = true;
	pthread_mutex_unlock(&r->lock);
	err = replay(r, lower, has);
	pthread_mutex_lock(&r->lock);
	r->tx = false;
	if (!err && r->state == AWAY)
		r->state = UP;
}

static int dial(struct vmig_resume *r, struct vmig_resume_terms *terms, struct vmig_channel **ret)
{
	struct vmig_error error = { 0 };
	int err = vmig_stack_dial(r->stack, ret, &error);

	if (err)
		return err;
	err = vmig_resume_shake_out(*ret, r->stack->timeout_ms, terms, r->stack->address, &error);
	if (err)
		vmig_channel_close(*ret);
	return err;
}

static void dial_again(struct vmig_resume *r)
{
	struct vmig_resume_terms terms = { .again = true, .received = r->received };
	struct vmig_channel *lower;
	int err;

	memcpy(terms.id, r->id, sizeof(terms.id));
	memcpy(terms.key, r->key, sizeof(terms.key));
	pthread_mutex_unlock(&r->lock);
	err = dial(r, &terms, &lower);
	pthread_mutex_lock(&r->lock);
	if (!err)
		attach(r, lower, terms.has);
	else if (err == -ESTALE)
		vmig_resume_fall(r, err);
	else if (r->state == AWAY)
		wait_until(r, vmig_now_ns() + AGAIN_NS);
}

static void take_come(struct vmig_resume *r)
{
	struct vmig_channel *lower = r->come;

	if (!lower) {
		pthread_mutex_unlock(&r->lock);
		vmig_listener_pump(r->listener, PUMP_MS);
		pthread_mutex_lock(&r->lock);
		return;
	}
	r->come = NULL;
	attach(r, lower, r->come_has);
}

static void revive(struct vmig_resume *r)
{
	struct vmig_channel *old;

	r->reviving = true;
	while ((r->tx || r->rx) && r->state == AWAY)
		pthread_cond_wait(&r->wake, &r->lock);
	if (r->state == AWAY) {
		old = r->lower;
		r->lower = NULL;
		pthread_mutex_unlock(&r->lock);
		vmig_channel_close(old);
		pthread_mutex_lock(&r->lock);
	}
	if (r->state == AWAY && r->listener)
		take_come(r);
	else if (r->state == AWAY)
		dial_again(r);
	r->reviving = false;
	pthread_cond_broadcast(&r->wake);
}

int vmig_resume_settle(struct vmig_resume *r)
{
	while (r->state == AWAY) {
		uint64_t end = r->away_ns + r->stack->reconnect_ms * NS_PER_MS;

		if (vmig_now_ns() >= end)
			vmig_resume_fall(r, -ETIMEDOUT);
		else if (r->reviving)
			wait_until(r, end);
		else
			revive(r);
	}
	return r->state == UP ? 0 : r->error;
}
