/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/out.h"

#include <string.h>

#include "base/clock.h"
#include "base/io.h"
#include "channel/provider.h"

void vmig_out_init(struct vmig_out *out, struct vmig_channel *channel, uint64_t bandwidth)
{
	memset(out, 0, sizeof(*out));
	out->channel = channel;
	out->bandwidth = bandwidth;
	out->piece = VMIG_OUT_PIECE_FIRST;
	pthread_mutex_init(&out->lock, NULL);
	pthread_cond_init(&out->turn, NULL);
}

void vmig_out_done(struct vmig_out *out)
{
	pthread_cond_destroy(&out->turn);
	pthread_mutex_destroy(&out->lock);
}

/* A limited stream goes in small pieces, so that it is even. */
#define PIECES_A_SECOND 64u
#define PIECE_MIN       (16u << 10)

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

/* Under the lock. Behind @more something follows soon, or vmig_out_flush(). */
static int put(struct vmig_out *out, const struct vmig_record *record, const struct iovec *iov, int n,
	       bool more)
{
	const struct vmig_stream_head head = { .major = VMIG_STREAM_MAJOR, .minor = VMIG_STREAM_MINOR };
	uint8_t own[VMIG_STREAM_TRAILER_LEN + VMIG_STREAM_HEAD_LEN + VMIG_STREAM_HEADER_LEN];
	struct iovec all[VMIG_SESSION_IOV_MAX + 1] = { { .iov_base = own } };
	struct vmig_record numbered = *record;
	struct vmig_stream_head mine = head;

	if (out->owes) {
		memcpy(own, out->trailer, sizeof(out->trailer));
		all[0].iov_len = sizeof(out->trailer);
		out->owes = false;
	}
	if (!out->begun) {
		memcpy(mine.attempt, out->attempt, sizeof(mine.attempt));
		vmig_stream_put_head(own, &mine);
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
	if (only_if_free) {
		if (pthread_mutex_trylock(&out->lock))
			return 0;
	} else {
		atomic_fetch_add(&out->controls, 1);
		pthread_mutex_lock(&out->lock);
		atomic_fetch_sub(&out->controls, 1);
	}
	r = put(out, &whole, &iov, record->length ? 1 : 0, false);
	pthread_cond_broadcast(&out->turn);
	pthread_mutex_unlock(&out->lock);
	return r;
}

int vmig_out_data(struct vmig_out *out, uint32_t device, const struct iovec *iov, int n, uint64_t *ret_digest)
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
	while (atomic_load(&out->controls))
		pthread_cond_wait(&out->turn, &out->lock);
	r = put(out, &record, iov, n, out->trailers && !out->bandwidth);
	if (!r && out->trailers) {
		*ret_digest = vmig_digest_of_iov(iov, n);
		vmig_stream_put_trailer(out->trailer, *ret_digest);
		out->owes = true;
	}
	pthread_mutex_unlock(&out->lock);
	return r;
}

int vmig_out_flush(struct vmig_out *out)
{
	struct iovec iov = { .iov_base = out->trailer, .iov_len = sizeof(out->trailer) };
	int r = 0;

	pthread_mutex_lock(&out->lock);
	if (out->owes)
		r = vmig_channel_send(out->channel, &iov, 1);
	out->owes = false;
	pthread_mutex_unlock(&out->lock);
	return r;
}

uint64_t vmig_out_delay(struct vmig_out *out, size_t len)
{
	uint64_t now, start;

	if (!out->bandwidth)
		return 0;
	now = vmig_now_ns();
	pthread_mutex_lock(&out->lock);
	start = MAX(out->next_ns, now);
	out->next_ns = start + (uint64_t)((double)len * NS_PER_S / (double)out->bandwidth);
	pthread_mutex_unlock(&out->lock);
	return start - now;
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
	default:
		return strerror(-code);
	}
}
