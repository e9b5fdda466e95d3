/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * compress - all that goes through it is one zstd stream each way, flushed at the end of each send.
 *
 * What a peer can make of it is bounded: the window, and so the memory, by a limit; the output by the room of
 * who receives, since nothing is unpacked before it is asked for.
 */
#include "channel/compress.h"

#include <stdatomic.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/limits.h"

#include "channel/provider.h"

#define LEVEL    1 /* it has to keep up with a network */
#define OUT_SIZE (128u << 10)
#define IN_SIZE  (128u << 10)

/*
 * Both ends begin with this. It is as long as the head of a migration stream, so that an end that does not
 * compress finds at once that it is none.
 */
static const char preamble[32] = "VMIGzstd\1";

struct zstd_channel {
	struct vmig_channel *lower;
	/* the sender's */
	ZSTD_CCtx *pack;
	uint8_t *out;
	size_t out_len;
	/* the receiver's */
	ZSTD_DCtx *unpack;
	uint8_t *in;
	ZSTD_inBuffer from;
	bool more; /* it has output that did not fit */
	bool end;
	atomic_bool down;
};

/* --- the preamble --- */

static int expect(const char *where, const char *got, ssize_t n, struct vmig_error *error)
{
	if (n == -ETIMEDOUT)
		return vmig_fault(
			error, -ETIMEDOUT, where,
			"the other end does not say that it compresses, too: both have to, or neither");
	if (n < 0)
		return vmig_fault(error, (int)n, where, "the other end does not answer: %s",
				  strerror((int)-n));
	if (!n)
		return vmig_fault(error, -ECONNRESET, where,
				  "the other end has closed the connection: does it compress, too?");
	if (memcmp(got, preamble, (size_t)n))
		return vmig_fault(error, -EPROTO, where,
				  "the other end does not compress: both have to, or neither");
	return 0;
}

static int agree(struct zstd_channel *z, const char *where, uint32_t ms, struct vmig_error *error)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)preamble, .iov_len = sizeof(preamble) };
	uint64_t now, end = vmig_now_ns() + ms * NS_PER_MS;
	char got[sizeof(preamble)];
	size_t have = 0;
	int r;

	vmig_channel_set_timeout(z->lower, ms);
	r = vmig_channel_send(z->lower, &iov, 1);
	if (r)
		return expect(where, NULL, r, error);
	while (have < sizeof(got)) {
		ssize_t n;

		now = vmig_now_ns();
		vmig_channel_set_timeout(z->lower, now < end ? (uint32_t)((end - now) / NS_PER_MS + 1) : 1);
		iov = (struct iovec){ .iov_base = got + have, .iov_len = sizeof(got) - have };
		n = now < end ? vmig_channel_recv(z->lower, &iov, 1) : -ETIMEDOUT;
		if (n > 0)
			have += (size_t)n;
		r = expect(where, got, n > 0 ? (ssize_t)have : n, error);
		if (r)
			return r;
	}
	vmig_channel_set_timeout(z->lower, 0);
	return 0;
}

/* --- out --- */

static int flush(struct zstd_channel *z)
{
	struct iovec iov = { .iov_base = z->out, .iov_len = z->out_len };

	z->out_len = 0;
	return iov.iov_len ? vmig_channel_send(z->lower, &iov, 1) : 0;
}

static int pack(struct zstd_channel *z, const struct iovec *piece, ZSTD_EndDirective how)
{
	ZSTD_inBuffer from = { .src = piece->iov_base, .size = piece->iov_len };
	size_t left;

	do {
		ZSTD_outBuffer to = { .dst = z->out, .size = OUT_SIZE, .pos = z->out_len };
		int r = 0;

		left = ZSTD_compressStream2(z->pack, &to, &from, how);
		if (ZSTD_isError(left))
			return -ENOMEM; /* there is no other reason */
		z->out_len = to.pos;
		if (to.pos == to.size)
			r = flush(z);
		if (r)
			return r;
	} while (from.pos < from.size || (how != ZSTD_e_continue && left));
	return 0;
}

static int zstd_send(void *self, const struct iovec *iov, int n)
{
	static const struct iovec nothing;
	struct zstd_channel *z = self;
	int r = atomic_load(&z->down) ? -ECONNRESET : 0;

	for (int i = 0; !r && i < n; i++)
		if (iov[i].iov_len)
			r = pack(z, &iov[i], ZSTD_e_continue);
	if (!r)
		r = pack(z, &nothing, ZSTD_e_flush);
	return r ? r : flush(z);
}

/* --- in --- */

static int refill(struct zstd_channel *z)
{
	struct iovec room = { .iov_base = z->in, .iov_len = IN_SIZE };
	ssize_t n = vmig_channel_recv(z->lower, &room, 1);

	if (n < 0)
		return (int)n;
	z->from = (ZSTD_inBuffer){ .src = z->in, .size = (size_t)n };
	z->end = !n;
	return 0;
}

static ssize_t unpack(struct zstd_channel *z, const struct iovec *iov, int n)
{
	ssize_t got = 0;

	for (int i = 0; i < n; i++) {
		ZSTD_outBuffer to = { .dst = iov[i].iov_base, .size = iov[i].iov_len };
		size_t r;

		while (to.pos < to.size && (z->from.pos < z->from.size || z->more)) {
			size_t before = to.pos, at = z->from.pos;

			r = ZSTD_decompressStream(z->unpack, &to, &z->from);
			if (ZSTD_isError(r))
				return ZSTD_getErrorCode(r) == ZSTD_error_memory_allocation ? -ENOMEM
											    : -EBADMSG;
			z->more = to.pos == to.size;
			if (to.pos == before && z->from.pos == at)
				break;
		}
		got += (ssize_t)to.pos;
	}
	return got;
}

static ssize_t zstd_recv(void *self, const struct iovec *iov, int n)
{
	struct zstd_channel *z = self;

	for (;;) {
		ssize_t got = unpack(z, iov, n);
		int r;

		if (atomic_load(&z->down))
			return -ECONNRESET;
		if (got || z->end)
			return got;
		r = refill(z);
		if (r)
			return r;
	}
}

/* --- the rest --- */

static void zstd_set_timeout(void *self, uint32_t ms)
{
	struct zstd_channel *z = self;

	vmig_channel_set_timeout(z->lower, ms);
}

static void zstd_shutdown(void *self)
{
	struct zstd_channel *z = self;

	atomic_store(&z->down, true);
	vmig_channel_shutdown(z->lower);
}

static void zstd_hold(void *self, bool wait_for_it)
{
	struct zstd_channel *z = self;

	vmig_channel_hold(z->lower, wait_for_it);
}

static bool zstd_away(const void *self)
{
	const struct zstd_channel *z = self;

	return vmig_channel_away(z->lower);
}

static void zstd_free(struct zstd_channel *z)
{
	ZSTD_freeCCtx(z->pack);
	ZSTD_freeDCtx(z->unpack);
	free(z->out);
	free(z->in);
	free(z);
}

static void zstd_close(void *self)
{
	struct zstd_channel *z = self;

	vmig_channel_close(z->lower);
	zstd_free(z);
}

static const struct vmig_channel_ops zstd_ops = {
	.send = zstd_send,
	.recv = zstd_recv,
	.set_timeout = zstd_set_timeout,
	.shutdown = zstd_shutdown,
	.hold = zstd_hold,
	.away = zstd_away,
	.close = zstd_close,
};

static struct zstd_channel *new_channel(struct vmig_channel *lower)
{
	struct zstd_channel *z = calloc(1, sizeof(*z));

	if (!z)
		return NULL;
	z->lower = lower;
	z->pack = ZSTD_createCCtx();
	z->unpack = ZSTD_createDCtx();
	z->out = malloc(OUT_SIZE);
	z->in = malloc(IN_SIZE);
	if (z->pack && z->unpack && z->out && z->in &&
	    !ZSTD_isError(ZSTD_CCtx_setParameter(z->pack, ZSTD_c_compressionLevel, LEVEL)) &&
	    !ZSTD_isError(ZSTD_CCtx_setParameter(z->pack, ZSTD_c_windowLog, VMIG_LIMIT_ZSTD_WINDOW_LOG)) &&
	    !ZSTD_isError(ZSTD_DCtx_setParameter(z->unpack, ZSTD_d_windowLogMax, VMIG_LIMIT_ZSTD_WINDOW_LOG)))
		return z;
	zstd_free(z);
	return NULL;
}

int vmig_zstd_wrap(const char *where, uint32_t ms, struct vmig_channel **channel, struct vmig_error *error)
{
	struct zstd_channel *z = new_channel(*channel);
	int r;

	if (!z)
		return vmig_fault(error, -ENOMEM, where, "no memory");
	r = agree(z, where, ms, error);
	if (!r && vmig_channel_new(&zstd_ops, z, false, channel))
		r = vmig_fault(error, -ENOMEM, where, "no memory");
	if (r)
		zstd_free(z);
	return r;
}
