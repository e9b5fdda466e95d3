/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/out.h"

#include <string.h>

#include "base/clock.h"
#include "base/io.h"
#include "channel/provider.h"

/* A limited stream goes in small pieces, so that it is even. */
#define PIECES_A_SECOND 64u
#define PIECE_MIN       (16u << 10)

/* --- the pace --- */

void vmig_pace_init(struct vmig_pace *pace, uint64_t bandwidth)
{
	*pace = (struct vmig_pace){ .bandwidth = bandwidth };
	pthread_mutex_init(&pace->lock, NULL);
}

void vmig_pace_done(struct vmig_pace *pace)
{
	pthread_mutex_destroy(&pace->lock);
}

uint64_t vmig_pace_delay(struct vmig_pace *pace, size_t len)
{
	uint64_t now, start;

	if (!pace->bandwidth)
		return 0;
	now = vmig_now_ns();
	pthread_mutex_lock(&pace->lock);
	start = MAX(pace->next_ns, now);
	pace->next_ns = start + (uint64_t)((double)len * NS_PER_S / (double)pace->bandwidth);
	pthread_mutex_unlock(&pace->lock);
	return start - now;
}

/* --- life --- */

void vmig_out_init(struct vmig_out *out, struct vmig_channel *channel, uint64_t bandwidth)
{
	memset(out, 0, sizeof(*out));
	out->channel = channel;
	out->bandwidth = bandwidth;
	out->piece = VMIG_OUT_PIECE_FIRST;
	out->keeper = VMIG_RECORD_ALL;
	out->last = &out->first;
	pthread_mutex_init(&out->lock, NULL);
	pthread_cond_init(&out->free, NULL);
}

void vmig_out_done(struct vmig_out *out)
{
	pthread_cond_destroy(&out->free);
	pthread_mutex_destroy(&out->lock);
}

void vmig_out_peer(struct vmig_out *out, uint16_t minor, uint32_t max_data)
{
	size_t most;

	pthread_mutex_lock(&out->lock);
	out->trailers = minor >= VMIG_STREAM_MINOR_TRAILER;
	most = out->trailers ? VMIG_OUT_PIECE : VMIG_OUT_PIECE_FIRST;
	if (out->bandwidth)
		most = MIN(most, out->bandwidth / PIECES_A_SECOND);
	out->piece = MAX(MIN(MAX(most, PIECE_MIN), max_data), 1);
	pthread_mutex_unlock(&out->lock);
}

/* --- turns: all under the lock --- */

static void begin_turn(struct vmig_out *out, uint32_t device)
{
	out->busy = true;
	if (device == out->keeper)
		return;
	out->keeper = device;
	out->turn_end_ns = vmig_now_ns() + VMIG_OUT_TURN_NS;
}

/* Nobody sends: who is next? */
static void pass_on(struct vmig_out *out)
{
	struct vmig_out_waiter *next = out->first;

	if (out->controls) {
		pthread_cond_signal(&out->free);
		return;
	}
	if (!next || (out->keeper != VMIG_RECORD_ALL && out->keeper != next->device))
		return;
	out->first = next->next;
	if (!out->first)
		out->last = &out->first;
	next->granted = true;
	begin_turn(out, next->device);
	pthread_cond_signal(&next->wake);
}

static void wait_for_turn(struct vmig_out *out, uint32_t device)
{
	struct vmig_out_waiter self = { .device = device };

	pthread_cond_init(&self.wake, NULL);
	if (out->keeper == device) { /* his turn goes on when a control record has gone */
		self.next = out->first;
		out->first = &self;
	} else {
		*out->last = &self;
	}
	if (!self.next)
		out->last = &self.next;
	while (!self.granted)
		pthread_cond_wait(&self.wake, &out->lock);
	pthread_cond_destroy(&self.wake);
}

static void take_turn(struct vmig_out *out, uint32_t device)
{
	bool mine = out->keeper == device, open = out->keeper == VMIG_RECORD_ALL && !out->first;

	if (!out->busy && !out->controls && (mine || open))
		begin_turn(out, device);
	else
		wait_for_turn(out, device);
}

static void give_turn(struct vmig_out *out, bool stays)
{
	out->busy = false;
	if (!stays || (out->first && vmig_now_ns() >= out->turn_end_ns))
		out->keeper = VMIG_RECORD_ALL;
	pass_on(out);
}

/* --- records --- */

/* By who has the turn. Behind @more something follows soon, or vmig_out_leave(). */
static int put(struct vmig_out *out, const struct vmig_record *record, const struct iovec *iov, int n,
	       bool more)
{
	struct vmig_stream_head head = { .major = VMIG_STREAM_MAJOR, .minor = VMIG_STREAM_MINOR };
	uint8_t own[VMIG_STREAM_TRAILER_LEN + VMIG_STREAM_HEAD_LEN + VMIG_STREAM_HEADER_LEN];
	struct iovec all[VMIG_SESSION_IOV_MAX + 1] = { { .iov_base = own } };
	struct vmig_record numbered = *record;

	if (out->owes) {
		memcpy(own, out->trailer, sizeof(out->trailer));
		all[0].iov_len = sizeof(out->trailer);
		out->owes = false;
	}
	if (!out->begun) {
		memcpy(head.attempt, out->attempt, sizeof(head.attempt));
		vmig_stream_put_head(own, &head);
		all[0].iov_len = VMIG_STREAM_HEAD_LEN; /* nothing was before it */
		out->begun = true;
	}
	numbered.number = out->number++;
	vmig_stream_put_header(own + all[0].iov_len, &numbered, out->attempt);
	all[0].iov_len += VMIG_STREAM_HEADER_LEN;
	memcpy(all + 1, iov, (size_t)n * sizeof(*iov));
	return (more ? vmig_channel_send_more : vmig_channel_send)(out->channel, all, n + 1);
}

int vmig_out_control(struct vmig_out *out, const struct vmig_record *record, const void *payload,
		     bool only_if_free)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)payload, .iov_len = record->length };
	struct vmig_record whole = *record;
	int r;

	whole.digest = vmig_digest_of(payload, record->length);
	pthread_mutex_lock(&out->lock);
	if (only_if_free && out->busy) {
		pthread_mutex_unlock(&out->lock);
		return 0;
	}
	out->controls++;
	while (out->busy)
		pthread_cond_wait(&out->free, &out->lock);
	out->controls--;
	out->busy = true;
	pthread_mutex_unlock(&out->lock);
	r = put(out, &whole, &iov, record->length ? 1 : 0,
		record->type == VMIG_RECORD_DEVICE_END && out->ends_more);
	pthread_mutex_lock(&out->lock);
	give_turn(out, out->keeper != VMIG_RECORD_ALL);
	pthread_mutex_unlock(&out->lock);
	return r;
}

int vmig_out_data(struct vmig_out *out, uint32_t device, const struct iovec *iov, int n, bool stays,
		  uint64_t *ret_digest)
{
	struct vmig_record record = {
		.type = VMIG_RECORD_DATA,
		.flags = out->trailers ? VMIG_RECORD_TRAILER : 0,
		.device = device,
		.length = (uint32_t)vmig_iov_len(iov, n),
	};
	int r;

	if (n < 1 || n > VMIG_SESSION_IOV_MAX)
		return -EINVAL;
	if (!out->trailers)
		*ret_digest = record.digest = vmig_digest_of_iov(iov, n);
	pthread_mutex_lock(&out->lock);
	take_turn(out, device);
	pthread_mutex_unlock(&out->lock);
	r = put(out, &record, iov, n, out->trailers && !out->bandwidth);
	if (!r && out->trailers) {
		*ret_digest = vmig_digest_of_iov(iov, n);
		vmig_stream_put_trailer(out->trailer, *ret_digest);
		out->owes = true;
	}
	pthread_mutex_lock(&out->lock);
	give_turn(out, stays);
	pthread_mutex_unlock(&out->lock);
	return r;
}

/* By who has the turn. */
static int flush_trailer(struct vmig_out *out)
{
	struct iovec iov = { .iov_base = out->trailer, .iov_len = sizeof(out->trailer) };

	if (!out->owes)
		return 0;
	out->owes = false;
	return vmig_channel_send(out->channel, &iov, 1);
}

int vmig_out_leave(struct vmig_out *out, uint32_t device, bool flush)
{
	int r = 0;

	pthread_mutex_lock(&out->lock);
	/* Who sends now takes the trailer with him. */
	if (flush && !out->busy && out->owes) {
		out->busy = true;
		pthread_mutex_unlock(&out->lock);
		r = flush_trailer(out);
		pthread_mutex_lock(&out->lock);
		out->busy = false;
	}
	if (out->keeper == device)
		out->keeper = VMIG_RECORD_ALL;
	if (!out->busy)
		pass_on(out);
	pthread_mutex_unlock(&out->lock);
	return r;
}

const char *vmig_out_words(int code)
{
	switch (-code) {
	case ENOSPC:
		return "there is no space left where the file is written";
	case EPIPE:
		return "the other end has closed the connection";
	case ECONNRESET:
		return "the other end has closed the connection";
	case ETIMEDOUT:
		return "the other end does not read";
	case EBADMSG:
		return "what arrives is damaged: something on the way changes it";
	case EPROTO:
		return "what arrives is not what the other end of such a connection says";
	default:
		return strerror(-code);
	}
}
