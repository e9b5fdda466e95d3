/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A session: what is sent and received over one connection after another.
 *
 * There is no thread of its own. Whoever needs the peer's word reads: the receiver, or a sender whose buffer is full, who
 * looks for acknowledgements (and keeps a little of what else comes for the receiver). Whoever finds the connection lost, or
 * waits for it, brings it back; the others wait for him.
 *
 * A frame: u32 kind, u32 length, u64 number, then the bytes of DATA. All is little-endian.
 */
#include "channel/resume.h"

#include <endian.h>
#include <errno.h>
#include <gnutls/crypto.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/io.h"
#include "base/limits.h"
#include "channel/listener.h"
#include "channel/provider.h"

#define RING       VMIG_LIMIT_REPLAY
#define FRAME_MAX  (1u << 20)
#define ACK_EVERY  (256u << 10)
#define STASH      (128u << 10)
#define PIECES_MAX 32
#define HEADER     16u
/* How long to wait before dialling once more. */
#define AGAIN_NS (50 * NS_PER_MS)
#define PUMP_MS  50u
/* A word of farewell is not worth more. */
#define BYE_MS 100u
/* While a connection may be waited for, silence for this part of the timeout says that it is lost. */
#define SILENCE_PART 3u
#define SILENCE_MIN  1000u

enum { DATA = 1, ACK = 2, BYE = 3 };

struct vmig_resume {
	atomic_uint refs;
	struct vmig_stack *stack;
	struct vmig_listener *listener; /* NULL: we dial */
	struct vmig_resume *next;       /* in the book */
	uint8_t id[VMIG_RESUME_ID], key[VMIG_RESUME_KEY];

	pthread_mutex_t lock;
	pthread_cond_t wake;
	/* All below under lock. */
	enum { UP, AWAY, DOWN } state;
	int error;  /* DOWN: what every call says */
	bool final; /* a lost connection is not waited for */
	bool reviving;
	uint64_t away_ns;
	struct vmig_channel *lower; /* used outside the lock by who is tx or rx */
	struct vmig_channel *come;  /* the peer's next connection, when it is he who dials */
	uint64_t come_has;
	bool tx, rx;
	uint32_t timeout_ms;

	uint8_t *ring;
	uint64_t kept, end; /* the numbers of the first byte that is kept, and of the next to be sent */

	uint64_t received, acked; /* so far; of that, what the peer has been told */
	bool ack_due, ended;
	uint8_t header[HEADER];
	uint32_t have, left, skip; /* of the header; of the frame; of that, what we have already */
	uint8_t stash[STASH];
	size_t stash_at, stash_end;
};

static void put_header(uint8_t to[HEADER], uint32_t kind, uint32_t len, uint64_t number)
{
	kind = htole32(kind);
	len = htole32(len);
	number = htole64(number);
	memcpy(to, &kind, 4);
	memcpy(to + 4, &len, 4);
	memcpy(to + 8, &number, 8);
}

/* --- the connection is lost, and comes back: all under the lock --- */

static void fall(struct vmig_resume *r, int error)
{
	if (r->state == DOWN)
		return;
	r->state = DOWN;
	r->error = error;
	if (r->lower)
		vmig_channel_shutdown(r->lower);
	pthread_cond_broadcast(&r->wake);
}

static void lose(struct vmig_resume *r, const struct vmig_channel *lower, int error)
{
	if (r->state != UP || r->lower != lower)
		return;
	if (r->final) {
		fall(r, error);
		return;
	}
	r->state = AWAY;
	r->away_ns = vmig_now_ns();
	vmig_channel_shutdown(r->lower);
	pthread_cond_broadcast(&r->wake);
}

static uint32_t lower_timeout(const struct vmig_resume *r)
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

		put_header(header, DATA, (uint32_t)len, from);
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
		fall(r, -EPROTO);
		return;
	}
	r->kept = has;
	r->have = r->left = r->skip = 0;
	r->acked = r->received;
	r->ack_due = false;
	vmig_channel_set_timeout(lower, lower_timeout(r));
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
		fall(r, err);
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

/* Wait until there is a connection. 0; or there will be none. */
static int settle(struct vmig_resume *r)
{
	while (r->state == AWAY) {
		uint64_t end = r->away_ns + r->stack->reconnect_ms * NS_PER_MS;

		if (vmig_now_ns() >= end)
			fall(r, -ETIMEDOUT);
		else if (r->reviving)
			wait_until(r, end);
		else
			revive(r);
	}
	return r->state == UP ? 0 : r->error;
}

/* --- frames in: under the lock --- */

static int take_header(struct vmig_resume *r)
{
	uint32_t kind, len;
	uint64_t number;

	memcpy(&kind, r->header, 4);
	memcpy(&len, r->header + 4, 4);
	memcpy(&number, r->header + 8, 8);
	kind = le32toh(kind);
	len = le32toh(len);
	number = le64toh(number);
	r->have = 0;
	if (kind == ACK && !len && number >= r->kept && number <= r->end) {
		r->kept = number;
	} else if (kind == BYE && !len) {
		r->ended = true;
	} else if (kind == DATA && len && len <= FRAME_MAX && number <= r->received) {
		r->left = len;
		r->skip = (uint32_t)MIN(r->received - number, len);
	} else {
		return -EPROTO;
	}
	return 0;
}

/* Receive once, without the lock. The connection's end is its loss: who ends for good says so. */
static ssize_t read_once(struct vmig_resume *r, const struct iovec *iov, int n)
{
	struct vmig_channel *lower = r->lower;
	ssize_t got;

	r->rx = true;
	pthread_mutex_unlock(&r->lock);
	got = vmig_channel_recv(lower, iov, n);
	pthread_mutex_lock(&r->lock);
	r->rx = false;
	pthread_cond_broadcast(&r->wake);
	if (got > 0)
		return got;
	lose(r, lower, got ? (int)got : -ECONNRESET);
	return 0;
}

/* A step on: the number of bytes of data that lie in @iov now, or 0; -EPROTO. */
static ssize_t read_step(struct vmig_resume *r, const struct iovec *iov, int n)
{
	struct iovec part[PIECES_MAX];
	uint8_t waste[4096];
	ssize_t got;
	int n_part = 0;

	if (!r->left) {
		part[0] = (struct iovec){ r->header + r->have, HEADER - r->have };
		r->have += (uint32_t)read_once(r, part, 1);
		return r->have == HEADER ? take_header(r) : 0;
	}
	if (r->skip) {
		part[0] = (struct iovec){ waste, MIN(r->skip, sizeof(waste)) };
		got = read_once(r, part, 1);
		r->skip -= (uint32_t)got;
		r->left -= (uint32_t)got;
		return 0;
	}
	for (size_t room = r->left; n_part < n && n_part < PIECES_MAX && room; n_part++) {
		part[n_part] = iov[n_part];
		part[n_part].iov_len = MIN(part[n_part].iov_len, room);
		room -= part[n_part].iov_len;
	}
	got = read_once(r, part, n_part);
	r->left -= (uint32_t)got;
	r->received += (uint64_t)got;
	return got;
}

static void send_ack(struct vmig_resume *r)
{
	struct vmig_channel *lower = r->lower;
	uint64_t received = r->received;
	uint8_t header[HEADER];
	struct iovec iov = { header, HEADER };
	int err;

	r->ack_due = r->tx;
	if (r->tx || r->state != UP)
		return;
	put_header(header, ACK, 0, received);
	r->tx = true;
	pthread_mutex_unlock(&r->lock);
	err = vmig_channel_send(lower, &iov, 1);
	pthread_mutex_lock(&r->lock);
	r->tx = false;
	pthread_cond_broadcast(&r->wake);
	if (err)
		lose(r, lower, err);
	else
		r->acked = received;
}

static ssize_t take_stash(struct vmig_resume *r, const struct iovec *iov, int n)
{
	size_t got = vmig_iov_from_buf(iov, n, r->stash + r->stash_at, r->stash_end - r->stash_at);

	r->stash_at += got;
	pthread_cond_broadcast(&r->wake);
	return (ssize_t)got;
}

static ssize_t receive(struct vmig_resume *r, const struct iovec *iov, int n)
{
	ssize_t got = 0;
	int err;

	while (got <= 0) {
		if (r->stash_at < r->stash_end)
			return take_stash(r, iov, n);
		if (r->ended)
			return 0;
		err = settle(r);
		if (err)
			return err;
		if (r->rx) {
			pthread_cond_wait(&r->wake, &r->lock);
			continue;
		}
		got = read_step(r, iov, n);
		if (got < 0)
			fall(r, (int)got);
	}
	if (r->received - r->acked >= ACK_EVERY)
		send_ack(r);
	return got;
}

static ssize_t resume_recv(void *self, const struct iovec *iov, int n)
{
	struct vmig_resume *r = self;
	ssize_t got;

	if (!vmig_iov_len(iov, n))
		return 0;
	pthread_mutex_lock(&r->lock);
	got = receive(r, iov, n);
	pthread_mutex_unlock(&r->lock);
	return got;
}

/* --- frames out --- */

/* The ring is full: look for an acknowledgement, or wait for who does. */
static void seek_ack(struct vmig_resume *r)
{
	struct iovec rest;
	ssize_t got;

	if (!r->rx && r->stash_at == r->stash_end)
		r->stash_at = r->stash_end = 0;
	rest = (struct iovec){ r->stash + r->stash_end, STASH - r->stash_end };
	if (r->rx || !rest.iov_len || r->ended) {
		pthread_cond_wait(&r->wake, &r->lock);
		return;
	}
	/* Nobody else reads into the stash while we are rx. */
	got = read_step(r, &rest, 1);
	if (got < 0)
		fall(r, (int)got);
	else
		r->stash_end += (size_t)got;
}

static int wait_to_send(struct vmig_resume *r, size_t len)
{
	for (;;) {
		int err = settle(r);

		if (err)
			return err;
		if (r->tx)
			pthread_cond_wait(&r->wake, &r->lock);
		else if (RING - (r->end - r->kept) >= len)
			return 0;
		else
			seek_ack(r);
	}
}

static void keep(struct vmig_resume *r, const struct iovec *iov, int n)
{
	for (int i = 0; i < n; i++) {
		size_t at = r->end % RING, first = MIN(iov[i].iov_len, RING - at);

		memcpy(r->ring + at, iov[i].iov_base, first);
		memcpy(r->ring, (uint8_t *)iov[i].iov_base + first, iov[i].iov_len - first);
		r->end += iov[i].iov_len;
	}
}

/* @iov[0] is for the header. Once the bytes are kept they have been sent, sooner or later. */
static int send_frame(struct vmig_resume *r, struct iovec *iov, int n, size_t len)
{
	struct vmig_channel *lower;
	uint8_t header[HEADER];
	int err;

	err = wait_to_send(r, len);
	if (err)
		return err;
	put_header(header, DATA, (uint32_t)len, r->end);
	iov[0] = (struct iovec){ header, HEADER };
	keep(r, iov + 1, n - 1);
	lower = r->lower;
	r->tx = true;
	pthread_mutex_unlock(&r->lock);
	err = vmig_channel_send(lower, iov, n);
	pthread_mutex_lock(&r->lock);
	r->tx = false;
	pthread_cond_broadcast(&r->wake);
	if (err)
		lose(r, lower, err);
	else if (r->ack_due)
		send_ack(r);
	return r->state == DOWN ? r->error : 0;
}

static int resume_send(void *self, const struct iovec *iov, int n)
{
	struct vmig_resume *r = self;
	struct iovec all[PIECES_MAX], *at = all, frame[PIECES_MAX + 1];
	int err = 0;

	if (n < 0 || n >= PIECES_MAX)
		return -EINVAL;
	memcpy(all, iov, (size_t)n * sizeof(*iov));
	pthread_mutex_lock(&r->lock);
	while (vmig_iov_skip(&at, &n, 0), n && !err) {
		size_t len = 0;
		int n_frame = 1;

		for (; n_frame <= n && len < FRAME_MAX; n_frame++) {
			frame[n_frame] = at[n_frame - 1];
			frame[n_frame].iov_len = MIN(frame[n_frame].iov_len, FRAME_MAX - len);
			len += frame[n_frame].iov_len;
		}
		err = send_frame(r, frame, n_frame, len);
		vmig_iov_skip(&at, &n, len);
	}
	pthread_mutex_unlock(&r->lock);
	return err;
}

/* --- the rest of a channel --- */

static void resume_set_timeout(void *self, uint32_t ms)
{
	struct vmig_resume *r = self;

	pthread_mutex_lock(&r->lock);
	r->timeout_ms = ms;
	if (r->lower)
		vmig_channel_set_timeout(r->lower, lower_timeout(r));
	pthread_mutex_unlock(&r->lock);
}

static void resume_hold(void *self, bool wait_for_it)
{
	struct vmig_resume *r = self;

	pthread_mutex_lock(&r->lock);
	r->final = !wait_for_it;
	if (r->final && r->state == AWAY)
		fall(r, -ECONNRESET);
	if (r->lower)
		vmig_channel_set_timeout(r->lower, lower_timeout(r));
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
	put_header(header, BYE, 0, r->end);
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
	fall(r, -ECONNRESET);
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
	.send = resume_send,
	.recv = resume_recv,
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
		lose(r, r->lower, -ECONNRESET);
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
