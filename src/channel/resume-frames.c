/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames in and out.
 *
 * There is no thread. Whoever needs the peer's word reads: the receiver, or a sender whose buffer is full, who looks for
 * acknowledgements (and keeps a little of what else comes for the receiver).
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "base/io.h"
#include "channel/provider.h"
#include "channel/resume-inside.h"

#define ACK_EVERY (256u << 10)

void vmig_resume_put_header(uint8_t to[HEADER], uint32_t kind, uint32_t len, uint64_t number)
{
	kind = htole32(kind);
	len = htole32(len);
	number = htole64(number);
	memcpy(to, &kind, 4);
	memcpy(to + 4, &len, 4);
	memcpy(to + 8, &number, 8);
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
	vmig_resume_lose(r, lower, got ? (int)got : -ECONNRESET);
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
	vmig_resume_put_header(header, ACK, 0, received);
	r->tx = true;
	pthread_mutex_unlock(&r->lock);
	err = vmig_channel_send(lower, &iov, 1);
	pthread_mutex_lock(&r->lock);
	r->tx = false;
	pthread_cond_broadcast(&r->wake);
	if (err)
		vmig_resume_lose(r, lower, err);
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
		err = vmig_resume_settle(r);
		if (err)
			return err;
		if (r->rx) {
			pthread_cond_wait(&r->wake, &r->lock);
			continue;
		}
		got = read_step(r, iov, n);
		if (got < 0)
			vmig_resume_fall(r, (int)got);
	}
	if (r->received - r->acked >= ACK_EVERY)
		send_ack(r);
	return got;
}

ssize_t vmig_resume_recv(void *self, const struct iovec *iov, int n)
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
		vmig_resume_fall(r, (int)got);
	else
		r->stash_end += (size_t)got;
}

static int wait_to_send(struct vmig_resume *r, size_t len)
{
	for (;;) {
		int err = vmig_resume_settle(r);

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
	vmig_resume_put_header(header, DATA, (uint32_t)len, r->end);
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
		vmig_resume_lose(r, lower, err);
	else if (r->ack_due)
		send_ack(r);
	return r->state == DOWN ? r->error : 0;
}

int vmig_resume_send(void *self, const struct iovec *iov, int n)
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
