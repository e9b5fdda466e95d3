/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who reads the socket, and questions to the client.
 *
 *   serving thread   next(): takes the role, blocks in recvmsg, gives the role up, serves the command
 *   any thread       ask(): sends, then waits until its answer has come; if nobody reads, it reads,
 *                    by poll(), so that it can be woken when its question is cancelled or when the
 *                    serving thread wants the role back
 */
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>

#include "server/vfio_user_link.h"

/* How long a question waits while the serving thread is behind with the commands that have come. */
#define WAIT_FOR_ROOM_S 5

/* Called with the lock. */
static void kick(struct vmig_slink *link)
{
	if (link->reading && link->reader_polls)
		eventfd_write(link->wake_fd, 1);
	pthread_cond_broadcast(&link->changed);
}

/* Called with the lock. The one place that ends a question. */
static void answer(struct vmig_slink_ask *ask, int status)
{
	if (ask->done)
		return;
	ask->done = true;
	ask->status = status;
}

void vmig_slink_kill(struct vmig_slink *link, int error)
{
	pthread_mutex_lock(&link->lock);
	if (!link->dead)
		link->dead = error;
	for (struct vmig_slink_ask *a = link->asks; a; a = a->next)
		answer(a, -ECONNRESET);
	shutdown(link->fd, SHUT_RDWR);
	kick(link);
	pthread_mutex_unlock(&link->lock);
	if (link->main)
		vmig_slink_kill(link->main, error);
}

void vmig_slink_release(struct vmig_slink *link)
{
	pthread_mutex_lock(&link->lock);
	link->reading = false;
	if (link->asks)
		pthread_cond_broadcast(&link->changed);
	pthread_mutex_unlock(&link->lock);
}

/* --- the answers of the client ------------------------------------------------------------------ */

static bool id_used(const struct vmig_slink *link, uint16_t id)
{
	return link->id_used[id / 8] & (1u << (id % 8));
}

/* An id is free again when its answer has come, not when its question is cancelled: a late answer must find nobody. */
static int choose_id(struct vmig_slink *link, uint16_t *ret)
{
	for (uint32_t i = 1; i <= 65536; i++) {
		uint16_t id = (uint16_t)(link->last_id + i);

		if (id_used(link, id))
			continue;
		link->id_used[id / 8] |= (uint8_t)(1u << (id % 8));
		link->last_id = id;
		*ret = id;
		return 0;
	}
	return -ENOBUFS;
}

static int check_answer(const struct vmig_slink *link, const struct vmig_slink_ask *ask,
			const struct vmig_slink_msg *msg, struct vmig_cursor *c)
{
	struct vmig_vu_dma_rw rw;

	if (msg->h.command != ask->command || vmig_vu_dma_rw_decode(c, &msg->h, link->max, &rw))
		return -EPROTO;
	if (rw.address != ask->rw.address || rw.count != ask->rw.count)
		return -EPROTO;
	return 0;
}

int vmig_slink_reply_came(struct vmig_slink *link, struct vmig_slink_msg *msg)
{
	struct vmig_cursor c = vmig_cursor_over(msg->body, msg->body_len);
	struct vmig_slink_ask *ask;
	int r = 0;

	pthread_mutex_lock(&link->lock);
	for (ask = link->asks; ask && (ask->id != msg->h.id || ask->done); ask = ask->next)
		;
	link->id_used[msg->h.id / 8] &= (uint8_t) ~(1u << (msg->h.id % 8));
	if (ask && (msg->h.flags & VMIG_VU_ERROR)) {
		answer(ask, vmig_vu_header_errno(&msg->h));
	} else if (ask) {
		r = check_answer(link, ask, msg, &c);
		if (!r && ask->command == VMIG_VU_DMA_READ)
			vmig_cursor_copy(&c, ask->buf, ask->rw.count);
		answer(ask, r);
	}
	pthread_cond_broadcast(&link->changed);
	pthread_mutex_unlock(&link->lock);
	return r;
}

/* --- commands that are put by -------------------------------------------------------------------- */

/* Called with the lock. */
static bool queue_full(const struct vmig_slink *link)
{
	return link->n_queued >= VMIG_LIMIT_PENDING || link->queued_bytes >= VMIG_LIMIT_PENDING_BYTES;
}

static void put_by(struct vmig_slink *link, struct vmig_slink_msg *msg)
{
	pthread_mutex_lock(&link->lock);
	*link->queue_end = msg;
	link->queue_end = &msg->next;
	link->n_queued++;
	link->queued_bytes += msg->body_len;
	pthread_cond_broadcast(&link->changed);
	pthread_mutex_unlock(&link->lock);
}

/* Called with the lock. */
static struct vmig_slink_msg *pop(struct vmig_slink *link)
{
	struct vmig_slink_msg *msg = link->queue;

	link->queue = msg->next;
	if (!link->queue)
		link->queue_end = &link->queue;
	link->n_queued--;
	link->queued_bytes -= msg->body_len;
	if (link->asks)
		pthread_cond_broadcast(&link->changed);
	return msg;
}

/* --- the serving thread -------------------------------------------------------------------------- */

/* A command that was put by: *ret; or the role: NULL. */
static int wait_turn(struct vmig_slink *link, struct vmig_slink_msg **ret)
{
	int r = 0;

	*ret = NULL;
	pthread_mutex_lock(&link->lock);
	while (!link->dead && !link->queue && link->reading) {
		link->wanted = true;
		kick(link);
		pthread_cond_wait(&link->changed, &link->lock);
	}
	link->wanted = false;
	if (link->dead)
		r = link->dead;
	else if (link->queue)
		*ret = pop(link);
	else
		link->reading = true;
	pthread_mutex_unlock(&link->lock);
	return r;
}

static int receive_message(struct vmig_slink *link, struct vmig_slink_msg **ret)
{
	int r;

	while (!(r = vmig_slink_parse(link, false))) {
		r = vmig_slink_receive(link, 0);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	*ret = vmig_slink_take(link);
	return *ret ? 0 : -ENOMEM;
}

int vmig_slink_next(struct vmig_slink *link, struct vmig_slink_msg **ret)
{
	for (;;) {
		struct vmig_slink_msg *msg;
		int r = wait_turn(link, &msg);

		if (r < 0)
			return r;
		if (!msg) {
			r = receive_message(link, &msg);
			if (r < 0)
				vmig_slink_kill(link, r); /* nobody else can follow this stream either */
			link->payload_role = !r && msg->unread;
			if (!link->payload_role)
				vmig_slink_release(link);
			if (r < 0)
				return r;
		}
		if (!vmig_vu_is_reply(&msg->h)) {
			*ret = msg;
			return 0;
		}
		r = vmig_slink_reply_came(link, msg);
		vmig_slink_recycle(link, msg);
		if (r < 0)
			return r;
	}
}

/* --- those who ask -------------------------------------------------------------------------------- */

static int take_message(struct vmig_slink *link)
{
	struct vmig_slink_msg *msg = vmig_slink_take(link);
	int r;

	if (!msg)
		return -ENOMEM;
	if (!vmig_vu_is_reply(&msg->h)) {
		put_by(link, msg);
		return 0;
	}
	r = vmig_slink_reply_came(link, msg);
	vmig_slink_recycle(link, msg);
	return r;
}

/* Read one message, or less if somebody wakes us. */
static int read_until_woken(struct vmig_slink *link)
{
	struct pollfd p[2] = { { .fd = link->fd, .events = POLLIN },
			       { .fd = link->wake_fd, .events = POLLIN } };
	eventfd_t drop;
	int r;

	while (!(r = vmig_slink_parse(link, true))) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return -errno;
		if (p[1].revents) {
			eventfd_read(link->wake_fd, &drop);
			return 0;
		}
		r = vmig_slink_receive(link, MSG_DONTWAIT);
		if (r < 0 && r != -EAGAIN)
			return r == -ENODATA ? -ECONNRESET : r;
	}
	return r < 0 ? r : take_message(link);
}

/* Called with the lock. The queue is full: the serving thread must take something off it first. */
static int wait_for_room(struct vmig_slink *link, bool serving)
{
	struct timespec until;

	if (serving)
		return -ENOBUFS; /* that is us */
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_FOR_ROOM_S;
	while (!link->dead && queue_full(link) && !link->reading)
		if (pthread_cond_timedwait(&link->changed, &link->lock, &until))
			return -ENOBUFS;
	return 0;
}

/* Called with the lock. Wait for something to happen, or make it happen. */
static int wait_or_read(struct vmig_slink *link, bool serving)
{
	int r;

	if (link->reading || link->wanted) {
		pthread_cond_wait(&link->changed, &link->lock);
		return 0;
	}
	if (queue_full(link))
		return wait_for_room(link, serving);
	link->reading = true;
	link->reader_polls = true;
	pthread_mutex_unlock(&link->lock);
	r = read_until_woken(link);
	if (r < 0)
		vmig_slink_kill(link, r);
	pthread_mutex_lock(&link->lock);
	link->reading = false;
	link->reader_polls = false;
	pthread_cond_broadcast(&link->changed);
	return 0;
}

/* Called with the lock. */
static void wait_answer(struct vmig_slink *link, struct vmig_slink_ask *ask)
{
	bool serving = pthread_equal(link->server, pthread_self());
	struct vmig_slink_ask **p = &link->asks;

	while (!ask->done) {
		int r = wait_or_read(link, serving);

		if (r < 0)
			answer(ask, r);
	}
	while (*p != ask)
		p = &(*p)->next;
	*p = ask->next;
}

/* Called with the lock. */
static int enter(struct vmig_slink *link, struct vmig_slink_ask *ask)
{
	if (link->dead)
		return -ECONNRESET;
	if (ask->target->gone)
		return -ECANCELED;
	if (pthread_equal(link->server, pthread_self()) && link->payload_role)
		return -EBUSY;
	if (choose_id(link, &ask->id))
		return -ENOBUFS;
	ask->next = link->asks;
	link->asks = ask;
	return 0;
}

static void send_ask(struct vmig_slink *link, const struct vmig_slink_ask *ask)
{
	struct vmig_vu_header h = { .id = ask->id, .command = ask->command };
	struct iovec iov = { ask->buf, ask->rw.count };
	uint8_t fixed[VMIG_VU_DMA_RW_SIZE];
	struct vmig_cursor c = vmig_cursor_into(fixed, sizeof(fixed));

	vmig_vu_dma_rw_encode(&c, &ask->rw);
	/* If it fails, that has killed the link and so answered the question. */
	(void)vmig_slink_send(link, &h, fixed, sizeof(fixed), &iov, ask->command == VMIG_VU_DMA_WRITE, NULL,
			      0);
}

int vmig_slink_ask(struct vmig_slink *link, struct vmig_slink_target *target, uint16_t command,
		   uint64_t address, void *buf, size_t len)
{
	struct vmig_slink_ask ask = {
		.target = target,
		.command = command,
		.rw = { address, len },
		.buf = buf,
	};
	int r;

	pthread_mutex_lock(&link->lock);
	r = enter(link, &ask);
	pthread_mutex_unlock(&link->lock);
	if (r < 0)
		return r;
	send_ask(link, &ask);
	pthread_mutex_lock(&link->lock);
	wait_answer(link, &ask);
	pthread_mutex_unlock(&link->lock);
	return ask.status;
}

void vmig_slink_cancel(struct vmig_slink *link, struct vmig_slink_target *target)
{
	pthread_mutex_lock(&link->lock);
	target->gone = true;
	for (struct vmig_slink_ask *a = link->asks; a; a = a->next)
		if (a->target == target)
			answer(a, -ECANCELED);
	kick(link);
	pthread_mutex_unlock(&link->lock);
}
