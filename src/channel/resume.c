/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A session: what is sent and received over one connection after another. How it begins, and how a peer comes back to it.
 *
 * Whoever finds the connection lost, or waits for it, brings it back; the others wait for him.
 */
#include "channel/resume.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <string.h>
#include <time.h>

#include "base/fault.h"
#include "channel/listener.h"
#include "channel/provider.h"
#include "channel/resume-inside.h"

/* A word of farewell is not worth more. */
#define BYE_MS 100u

/* --- the rest of a channel --- */

static void resume_set_timeout(void *self, uint32_t ms)
{
	struct vmig_resume *r = self;

	pthread_mutex_lock(&r->lock);
	r->timeout_ms = ms;
	if (r->lower)
		vmig_channel_set_timeout(r->lower, vmig_resume_lower_timeout(r));
	pthread_mutex_unlock(&r->lock);
}

static void resume_hold(void *self, bool wait_for_it)
{
	struct vmig_resume *r = self;

	pthread_mutex_lock(&r->lock);
	r->final = !wait_for_it;
	if (r->final && r->state == AWAY)
		vmig_resume_fall(r, -ECONNRESET);
	if (r->lower)
		vmig_channel_set_timeout(r->lower, vmig_resume_lower_timeout(r));
	pthread_mutex_unlock(&r->lock);
}

static bool resume_away(const void *self)
{
	struct vmig_resume *r = (struct vmig_resume *)(uintptr_t)self;
	bool away;

	pthread_mutex_lock(&r->lock);
	away = r->state == AWAY;
	pthread_mutex_unlock(&r->lock);
	return away;
}

/* So that the peer does not take it for a loss. Not if that would have to wait for somebody. */
static void say_bye(struct vmig_resume *r)
{
	struct vmig_channel *lower = r->lower;
	uint8_t header[HEADER];
	struct iovec iov = { header, HEADER };

	if (r->state != UP || r->tx)
		return;
	vmig_resume_put_header(header, BYE, 0, r->end);
	vmig_channel_set_timeout(lower, BYE_MS);
	r->tx = true;
	pthread_mutex_unlock(&r->lock);
	(void)vmig_channel_send(lower, &iov, 1);
	pthread_mutex_lock(&r->lock);
	r->tx = false;
}

static void resume_shutdown(void *self)
{
	struct vmig_resume *r = self;

	pthread_mutex_lock(&r->lock);
	say_bye(r);
	vmig_resume_fall(r, -ECONNRESET);
	pthread_mutex_unlock(&r->lock);
}

static void unref(struct vmig_resume *r)
{
	if (atomic_fetch_sub(&r->refs, 1) > 1)
		return;
	vmig_channel_close(r->come);
	vmig_channel_close(r->lower);
	vmig_stack_unref(r->stack);
	pthread_cond_destroy(&r->wake);
	pthread_mutex_destroy(&r->lock);
	free(r->ring);
	free(r);
}

/* --- the book --- */

void vmig_resume_book_init(struct vmig_resume_book *book)
{
	pthread_mutex_init(&book->lock, NULL);
	book->first = NULL;
}

void vmig_resume_book_done(struct vmig_resume_book *book)
{
	pthread_mutex_destroy(&book->lock);
}

static struct vmig_resume **find(struct vmig_resume_book *book, const uint8_t id[VMIG_RESUME_ID])
{
	struct vmig_resume **at = &book->first;

	while (*at && memcmp((*at)->id, id, VMIG_RESUME_ID))
		at = &(*at)->next;
	return at;
}

/* False: there is one of that name. */
static bool enter(struct vmig_resume_book *book, struct vmig_resume *r)
{
	struct vmig_resume **at;
	bool is_new;

	pthread_mutex_lock(&book->lock);
	at = find(book, r->id);
	is_new = !*at;
	if (is_new)
		*at = r;
	pthread_mutex_unlock(&book->lock);
	return is_new;
}

static void strike_out(struct vmig_resume_book *book, struct vmig_resume *r)
{
	struct vmig_resume **at;

	pthread_mutex_lock(&book->lock);
	for (at = &book->first; *at && *at != r; at = &(*at)->next)
		;
	if (*at)
		*at = r->next;
	pthread_mutex_unlock(&book->lock);
}

static struct vmig_resume *look_up(struct vmig_resume_book *book, const uint8_t id[VMIG_RESUME_ID])
{
	struct vmig_resume *r;

	pthread_mutex_lock(&book->lock);
	r = *find(book, id);
	if (r)
		atomic_fetch_add(&r->refs, 1);
	pthread_mutex_unlock(&book->lock);
	return r;
}

/* The listener is not left to the last who has a reference: that may be a guest of its own, for whom it would wait. */
static void end_session(struct vmig_resume *r)
{
	strike_out(&r->stack->sessions, r);
	vmig_listener_unref(r->listener);
	unref(r);
}

static void resume_close(void *self)
{
	resume_shutdown(self);
	end_session(self);
}

/* --- a session begins, or goes on --- */

static const struct vmig_channel_ops resume_ops = {
	.send = vmig_resume_send,
	.recv = vmig_resume_recv,
	.set_timeout = resume_set_timeout,
	.shutdown = resume_shutdown,
	.hold = resume_hold,
	.away = resume_away,
	.close = resume_close,
};

static struct vmig_resume *new_session(struct vmig_stack *stack, const struct vmig_resume_terms *terms)
{
	struct vmig_resume *r = calloc(1, sizeof(*r));
	pthread_condattr_t attr;

	if (r)
		r->ring = malloc(RING);
	if (!r || !r->ring) {
		free(r);
		return NULL;
	}
	atomic_init(&r->refs, 1);
	r->stack = vmig_stack_ref(stack);
	memcpy(r->id, terms->id, sizeof(r->id));
	memcpy(r->key, terms->key, sizeof(r->key));
	r->state = UP;
	pthread_mutex_init(&r->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&r->wake, &attr);
	pthread_condattr_destroy(&attr);
	return r;
}

/* @r has *@channel now, and *@channel is @r. */
static int cover(struct vmig_resume *r, struct vmig_channel **channel)
{
	struct vmig_channel *lower = *channel;
	int err = vmig_channel_new(&resume_ops, r, false, channel);

	if (!err) {
		r->lower = lower;
		vmig_channel_set_timeout(lower, 0);
	}
	return err;
}

static int begin_out(struct vmig_stack *stack, struct vmig_channel **channel, struct vmig_error *error)
{
	struct vmig_resume_terms terms = { 0 };
	struct vmig_resume *r;
	int err;

	gnutls_rnd(GNUTLS_RND_NONCE, terms.id, sizeof(terms.id));
	gnutls_rnd(GNUTLS_RND_KEY, terms.key, sizeof(terms.key));
	err = vmig_resume_shake_out(*channel, stack->timeout_ms, &terms, stack->address, error);
	if (err)
		return err;
	r = new_session(stack, &terms);
	err = r ? cover(r, channel) : -ENOMEM;
	if (!err)
		return 0;
	if (r)
		unref(r);
	return vmig_fault(error, err, stack->address, "no memory for a session");
}

static int begin_in(struct vmig_stack *stack, const struct vmig_resume_guest *guest,
		    const struct vmig_resume_terms *terms, struct vmig_channel **channel,
		    struct vmig_error *error)
{
	struct vmig_resume *r = new_session(stack, terms);
	int err;

	if (!r)
		return vmig_fault(error, -ENOMEM, stack->address, "no memory for a session");
	/* Before the answer: its peer may be back before we are through here. */
	r->lower = *channel;
	if (atomic_load(&stack->closed) || !enter(&stack->sessions, r)) {
		r->lower = NULL;
		unref(r);
		return vmig_resume_shake_answer(*channel, guest, false, NULL, stack->address, error);
	}
	r->listener = vmig_listener_ref(stack->listener);
	err = vmig_resume_shake_answer(*channel, guest, true, terms, stack->address, error);
	if (!err) {
		err = cover(r, channel);
		if (!err)
			return 0;
		vmig_fault(error, err, stack->address, "no memory for a session");
	}
	pthread_mutex_lock(&r->lock);
	r->lower = NULL;
	pthread_mutex_unlock(&r->lock);
	end_session(r);
	return err;
}

/* Its old connection may be half open: it is lost now, but only when the peer has proved who it is. */
static int go_on(struct vmig_stack *stack, const struct vmig_resume_guest *guest,
		 struct vmig_resume_terms *terms, struct vmig_channel **channel, struct vmig_error *error)
{
	struct vmig_resume *r = look_up(&stack->sessions, terms->id);
	struct vmig_channel *before = NULL;
	bool known = false;
	int err;

	if (r) {
		pthread_mutex_lock(&r->lock);
		known = r->state != DOWN && !r->final;
		terms->received = r->received;
		pthread_mutex_unlock(&r->lock);
		memcpy(terms->key, r->key, sizeof(terms->key));
	}
	err = vmig_resume_shake_answer(*channel, guest, known, terms, stack->address, error);
	if (!err) {
		pthread_mutex_lock(&r->lock);
		vmig_resume_lose(r, r->lower, -ECONNRESET);
		before = r->come;
		r->come = *channel;
		r->come_has = terms->has;
		pthread_cond_broadcast(&r->wake);
		pthread_mutex_unlock(&r->lock);
		vmig_channel_close(before);
	}
	if (r)
		unref(r);
	return err ? err : -EALREADY;
}

int vmig_resume_wrap(struct vmig_stack *stack, bool dialled, struct vmig_channel **channel,
		     struct vmig_error *error)
{
	struct vmig_resume_guest guest;
	struct vmig_resume_terms terms;
	int err;

	if (dialled)
		return begin_out(stack, channel, error);
	err = vmig_resume_shake_in(*channel, stack->timeout_ms, &guest, &terms, stack->address, error);
	if (err)
		return err;
	return terms.again ? go_on(stack, &guest, &terms, channel, error)
			   : begin_in(stack, &guest, &terms, channel, error);
}
