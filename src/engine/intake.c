/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/intake.h"

#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/io.h"
#include "channel/provider.h"
#include "engine/out.h"

#define SKIP_PIECE 4096u

void vmig_intake_init(struct vmig_intake *in, struct vmig_channel *channel, const uint8_t *attempt,
		      atomic_uint_least64_t *heard_ns)
{
	memset(in, 0, sizeof(*in));
	in->channel = channel;
	in->heard_ns = heard_ns;
	vmig_stream_decoder_init(&in->decoder, attempt);
}

static ssize_t receive_sure(struct vmig_intake *in, const struct iovec *iov, int n, size_t sure,
			    struct vmig_error *error)
{
	ssize_t got = vmig_channel_recv_sure(in->channel, iov, n, sure);

	if (got > 0)
		atomic_store_explicit(in->heard_ns, vmig_now_ns(), memory_order_relaxed);
	if (got < 0)
		vmig_fault(error, (int)got, "channel", "%s",
			   got == -ETIMEDOUT ? "the other end is silent" : vmig_out_words((int)got));
	return got;
}

static ssize_t receive(struct vmig_intake *in, const struct iovec *iov, int n, struct vmig_error *error)
{
	return receive_sure(in, iov, n, 0, error);
}

static int cut_short(struct vmig_intake *in, struct vmig_error *error)
{
	return vmig_fault(error, -ENODATA, "stream", "the stream is cut short after byte %llu",
			  (unsigned long long)in->decoder.offset);
}

int vmig_intake_next(struct vmig_intake *in, struct vmig_record *ret, struct vmig_error *error)
{
	int r = in->ready;

	in->ready = 0;
	if (r < 0)
		*error = in->later;
	while (!r) {
		struct iovec room;
		ssize_t got;

		vmig_stream_room(&in->decoder, &room);
		got = receive(in, &room, 1, error);
		if (got < 0)
			return (int)got;
		if (!got)
			return vmig_stream_may_end(&in->decoder) ? 0 : cut_short(in, error);
		r = vmig_stream_filled(&in->decoder, (size_t)got, error);
	}
	if (r > 0)
		*ret = in->decoder.record;
	return r;
}

/* The digest of the @len bytes that were put at the start of @iov. */
static int judge(struct vmig_intake *in, const struct iovec *iov, int n, size_t len, struct vmig_error *error)
{
	int r = 0;

	for (int i = 0; i < n && len && !r; i++) {
		size_t part = MIN(len, iov[i].iov_len);

		r = part ? vmig_stream_payload(&in->decoder, iov[i].iov_base, part, error) : 0;
		len -= part;
	}
	return r;
}

/* A payload is whole, and @extra bytes behind it are in the decoder's room: its trailer, if it has one, and then the next
 * header, about which nothing is said before it is asked for. */
static int finish(struct vmig_intake *in, size_t extra, struct vmig_error *error)
{
	struct vmig_stream_decoder *d = &in->decoder;

	while (d->at == VMIG_STREAM_IN_TRAILER) {
		struct iovec room;
		ssize_t got = (ssize_t)extra;
		int r;

		if (!got) {
			vmig_stream_room(d, &room);
			got = receive(in, &room, 1, error);
		}
		if (got <= 0)
			return got < 0 ? (int)got : cut_short(in, error);
		r = vmig_stream_filled(d, (size_t)got, error);
		if (r < 0)
			return r;
		extra = 0;
	}
	in->digest = d->record.digest;
	in->ready = vmig_stream_filled(d, extra, &in->later);
	return 0;
}

int vmig_intake_payload(struct vmig_intake *in, struct iovec *iov, int n, struct vmig_error *error)
{
	struct iovec all[VMIG_SESSION_IOV_MAX + 2], *at = all;
	size_t left = vmig_iov_len(iov, n);
	int r = 0;

	if (!left)
		return 0;
	memcpy(all, iov, (size_t)n * sizeof(*iov));
	n++;
	while (left) {
		ssize_t got;
		size_t mine;

		vmig_stream_room(&in->decoder, &at[n - 1]);
		got = receive_sure(in, at, n, left, error);
		if (got <= 0)
			return got < 0 ? (int)got : cut_short(in, error);
		mine = MIN((size_t)got, left);
		r = judge(in, at, n - 1, mine, error);
		if (r < 0)
			return r;
		left -= mine;
		if (!left)
			return finish(in, (size_t)got - mine, error);
		vmig_iov_skip(&at, &n, mine);
	}
	return 0;
}

int vmig_intake_skip(struct vmig_intake *in, struct vmig_error *error)
{
	uint8_t piece[SKIP_PIECE];
	uint32_t left = in->decoder.record.length;

	if (in->decoder.at != VMIG_STREAM_IN_PAYLOAD)
		return 0;
	while (left) {
		struct iovec iov = { .iov_base = piece, .iov_len = MIN(left, SKIP_PIECE) };
		ssize_t got = receive(in, &iov, 1, error);
		int r;

		if (got <= 0)
			return got < 0 ? (int)got : cut_short(in, error);
		r = vmig_stream_payload(&in->decoder, piece, (size_t)got, error);
		if (r < 0)
			return r;
		left -= (uint32_t)got;
	}
	return finish(in, 0, error);
}
