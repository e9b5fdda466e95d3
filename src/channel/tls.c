/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tls - a channel in TLS 1.3, over another.
 *
 * GnuTLS does no input or output here: it takes records from one buffer and puts them into another, under a
 * lock that is held for no longer than that. So one thread may send while another receives, whatever either
 * direction asks of the other (key updates), and many records go to the socket in one call.
 *
 * There are no tickets and no early data: nothing of an older connection is good for a new one.
 */
#include "channel/tls.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/limits.h"
#include "channel/provider.h"

#define PRIORITY_CERT "NORMAL:-VERS-ALL:+VERS-TLS1.3"
#define PRIORITY_PSK  "NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+ECDHE-PSK:+DHE-PSK"

/* Bytes of records that go out, and come in, with one call. */
#define BATCH    (128u << 10)
#define IN_SIZE  (256u << 10)
#define OUT_SIZE (BATCH + (32u << 10)) /* the last record, and what a receiver has to say */
/* How long a full socket may hold up the last word, "the end". */
#define BYE_MS 1u

/* Who has let in the peer says so: in TLS 1.3 who connects learns otherwise only later that it was not. */
static const char welcome_byte = 'v';

struct buffer {
	uint8_t *data;
	size_t len;
};

struct tls_channel {
	struct vmig_tls_trouble trouble; /* first: the session's pointer */
	struct vmig_channel *lower;
	struct vmig_tls *tls;
	gnutls_session_t session;
	pthread_mutex_t lock;    /* the session and out */
	pthread_mutex_t sending; /* one batch after the other */
	struct buffer out, going;
	/* The receiver's own; the session looks at it only while it receives. */
	uint8_t *in;
	size_t in_at, in_len;
	bool in_end, heard;
	int failed; /* how receiving did; GnuTLS forgets it */
	_Atomic uint32_t timeout_ms;
	atomic_bool down;
	bool said_bye; /* under sending */
};

/* --- the session's transport: our buffers --- */

static ssize_t push(gnutls_transport_ptr_t ptr, const giovec_t *iov, int n)
{
	struct tls_channel *t = ptr;
	size_t all = 0;

	for (int i = 0; i < n; i++) {
		if (iov[i].iov_len > OUT_SIZE - t->out.len) {
			gnutls_transport_set_errno(t->session, ENOBUFS);
			return -1;
		}
		memcpy(t->out.data + t->out.len, iov[i].iov_base, iov[i].iov_len);
		t->out.len += iov[i].iov_len;
		all += iov[i].iov_len;
	}
	return (ssize_t)all;
}

static ssize_t pull(gnutls_transport_ptr_t ptr, void *data, size_t len)
{
	struct tls_channel *t = ptr;
	size_t n = MIN(len, t->in_len - t->in_at);

	if (!n && t->in_end)
		return 0;
	if (!n) {
		gnutls_transport_set_errno(t->session, EAGAIN);
		return -1;
	}
	memcpy(data, t->in + t->in_at, n);
	t->in_at += n;
	return (ssize_t)n;
}

static int pull_timeout(gnutls_transport_ptr_t ptr, unsigned int ms)
{
	const struct tls_channel *t = ptr;

	return t->in_at < t->in_len || t->in_end;
}

static int refill(struct tls_channel *t)
{
	struct iovec room = { .iov_base = t->in, .iov_len = IN_SIZE };
	ssize_t n = vmig_channel_recv(t->lower, &room, 1);

	if (n < 0)
		return (int)n;
	t->in_at = 0;
	t->in_len = (size_t)n;
	t->in_end = !n;
	return 0;
}

/* Under sending. What is in out is sent while others may use the session. */
static int flush(struct tls_channel *t)
{
	struct iovec iov;

	pthread_mutex_lock(&t->lock);
	iov = (struct iovec){ .iov_base = t->out.data, .iov_len = t->out.len };
	t->out.data = t->going.data;
	t->out.len = 0;
	t->going.data = iov.iov_base;
	pthread_mutex_unlock(&t->lock);
	return iov.iov_len ? vmig_channel_send(t->lower, &iov, 1) : 0;
}

/* --- handshake --- */

static int left_ms(uint64_t end, uint32_t *ret)
{
	uint64_t now = vmig_now_ns();

	*ret = now < end ? (uint32_t)((end - now) / NS_PER_MS + 1) : 0;
	return *ret ? 0 : -ETIMEDOUT;
}

/* What is no TLS at all would be waited for to the end of a record that never ends. */
static int first_byte(struct tls_channel *t)
{
	const uint8_t alert = 21, hello = 22;

	if (t->heard || !t->in_len)
		return 0;
	t->heard = true;
	if (t->in[0] == hello || (t->in[0] == alert && !t->trouble.server))
		return 0;
	t->trouble.code = GNUTLS_E_UNEXPECTED_PACKET;
	return -EPROTO;
}

/* @call until it needs nothing more: what it says goes out, what it waits for comes in, until @end. */
static int converse(struct tls_channel *t, int (*call)(struct tls_channel *t), uint64_t end)
{
	uint32_t ms;
	int r, sent;

	for (;;) {
		pthread_mutex_lock(&t->lock);
		do {
			r = call(t);
		} while (r == GNUTLS_E_INTERRUPTED);
		t->trouble.code = r < 0 && r != GNUTLS_E_AGAIN && t->in_end && !t->trouble.status
					  ? GNUTLS_E_PREMATURE_TERMINATION
					  : r;
		/* Whoever is not let in is told why. */
		if (r < 0 && r != GNUTLS_E_AGAIN && t->trouble.status)
			gnutls_alert_send(t->session, GNUTLS_AL_FATAL, vmig_tls_alert(t->trouble.status));
		else if (r < 0 && r != GNUTLS_E_AGAIN && t->trouble.unknown_identity)
			gnutls_alert_send(t->session, GNUTLS_AL_FATAL, GNUTLS_A_UNKNOWN_PSK_IDENTITY);
		else if (r < 0 && r != GNUTLS_E_AGAIN && r != GNUTLS_E_FATAL_ALERT_RECEIVED)
			gnutls_alert_send_appropriate(t->session, r);
		pthread_mutex_unlock(&t->lock);
		if (left_ms(end, &ms))
			return -ETIMEDOUT;
		vmig_channel_set_timeout(t->lower, ms);
		sent = flush(t);
		if (r != GNUTLS_E_AGAIN)
			return r < 0 ? -EPROTO : sent;
		if (!sent && !left_ms(end, &ms)) {
			vmig_channel_set_timeout(t->lower, ms);
			sent = refill(t);
			if (!sent)
				sent = first_byte(t);
		}
		if (sent)
			return sent;
	}
}

static int shake(struct tls_channel *t)
{
	return gnutls_handshake(t->session);
}

static int say_welcome(struct tls_channel *t)
{
	return (int)MIN(gnutls_record_send(t->session, &welcome_byte, 1), 0);
}

static int hear_welcome(struct tls_channel *t)
{
	char byte = 0;
	ssize_t n = gnutls_record_recv(t->session, &byte, 1);

	if (!n)
		return GNUTLS_E_PREMATURE_TERMINATION;
	return n < 0 ? (int)n : byte == welcome_byte ? 0 : GNUTLS_E_UNEXPECTED_PACKET;
}

static int handshake(struct tls_channel *t, const char *where, uint32_t ms, struct vmig_error *error)
{
	uint64_t end = vmig_now_ns() + ms * NS_PER_MS;
	int r = converse(t, shake, end);

	if (!r) {
		t->trouble.welcome = true;
		r = converse(t, t->trouble.server ? say_welcome : hear_welcome, end);
	}
	vmig_channel_set_timeout(t->lower, t->timeout_ms);
	if (r == -ECONNRESET || r == -EPIPE)
		t->trouble.code = GNUTLS_E_PREMATURE_TERMINATION;
	if (r == -EPROTO || r == -ECONNRESET || r == -EPIPE)
		return vmig_tls_say(&t->trouble, where, error);
	if (r == -ETIMEDOUT)
		return vmig_fault(error, r, where,
				  "the other end did not end the handshake in %u ms: does it use TLS?", ms);
	return r ? vmig_fault(error, r, where, "no TLS with the other end: %s", strerror(-r)) : 0;
}

/* --- the channel --- */

static int channel_error(struct tls_channel *t, int code)
{
	if (atomic_load(&t->down))
		return -ECONNRESET;
	switch (code) {
	case GNUTLS_E_PREMATURE_TERMINATION: /* cut: who ends says so */
	case GNUTLS_E_FATAL_ALERT_RECEIVED:
	case GNUTLS_E_INVALID_SESSION: /* it has failed before */
		return -ECONNRESET;
	case GNUTLS_E_DECRYPTION_FAILED:
		return -EBADMSG;
	case GNUTLS_E_MEMORY_ERROR:
		return -ENOMEM;
	default:
		return -EPROTO;
	}
}

/* Under sending: as much of it as makes a batch. Negative: -errno. */
static ssize_t fill_batch(struct tls_channel *t, const uint8_t *data, size_t len, bool *ret_full)
{
	size_t done = 0;
	ssize_t n = 0;

	pthread_mutex_lock(&t->lock);
	while (done < len && t->out.len < BATCH) {
		n = gnutls_record_send(t->session, data + done, len - done);
		if (n == GNUTLS_E_INTERRUPTED || n == GNUTLS_E_AGAIN)
			continue;
		if (n < 0)
			break;
		done += (size_t)n;
	}
	*ret_full = t->out.len >= BATCH;
	pthread_mutex_unlock(&t->lock);
	return n < 0 ? channel_error(t, (int)n) : (ssize_t)done;
}

static int send_piece(struct tls_channel *t, const struct iovec *piece)
{
	const uint8_t *data = piece->iov_base;
	size_t left = piece->iov_len;

	while (left) {
		bool full = false;
		ssize_t n = atomic_load(&t->down) ? -ECONNRESET : fill_batch(t, data, left, &full);
		int r;

		if (n < 0)
			return (int)n;
		data += n;
		left -= (size_t)n;
		r = full ? flush(t) : 0;
		if (r)
			return r;
	}
	return 0;
}

static int tls_send(void *self, const struct iovec *iov, int n)
{
	struct tls_channel *t = self;
	int r = 0;

	pthread_mutex_lock(&t->sending);
	for (int i = 0; !r && i < n; i++)
		r = send_piece(t, &iov[i]);
	if (!r)
		r = flush(t);
	pthread_mutex_unlock(&t->sending);
	return r && atomic_load(&t->down) ? -ECONNRESET : r;
}

/* What can be had without waiting. 0: nothing; *ret_end: the peer has said that this is all. */
static ssize_t take(struct tls_channel *t, const struct iovec *iov, int n, bool *ret_end)
{
	size_t got = 0;
	ssize_t r = 0;

	if (t->failed)
		return channel_error(t, t->failed);
	pthread_mutex_lock(&t->lock);
	for (int i = 0; i < n; i++) {
		size_t at = 0;

		while (at < iov[i].iov_len) {
			r = gnutls_record_recv(t->session, (uint8_t *)iov[i].iov_base + at,
					       iov[i].iov_len - at);
			if (r <= 0)
				goto out;
			at += (size_t)r;
			got += (size_t)r;
		}
	}
out:
	pthread_mutex_unlock(&t->lock);
	/* Cut within a record it is called a wrong length. */
	if (r < 0 && r != GNUTLS_E_AGAIN && r != GNUTLS_E_INTERRUPTED)
		t->failed = t->in_end && r == GNUTLS_E_UNEXPECTED_PACKET_LENGTH
				    ? GNUTLS_E_PREMATURE_TERMINATION
				    : (int)r;
	*ret_end = !got && !r && n > 0;
	if (got || r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED)
		return (ssize_t)got;
	return r < 0 ? channel_error(t, t->failed) : 0;
}

static ssize_t tls_recv(void *self, const struct iovec *iov, int n)
{
	struct tls_channel *t = self;

	for (;;) {
		bool end;
		ssize_t got = take(t, iov, n, &end);
		int r;

		if (atomic_load(&t->down))
			return -ECONNRESET;
		if (got || end)
			return got;
		/* What it needs is not whole yet. */
		r = t->in_at < t->in_len ? 0 : refill(t);
		if (r)
			return atomic_load(&t->down) ? -ECONNRESET : r;
	}
}

static void tls_set_timeout(void *self, uint32_t ms)
{
	struct tls_channel *t = self;

	t->timeout_ms = ms;
	vmig_channel_set_timeout(t->lower, ms);
}

/* "This is the end", where the connection can take it: without it the peer has to think that it was cut. */
static void say_bye(struct tls_channel *t)
{
	if (pthread_mutex_trylock(&t->sending))
		return; /* somebody sends: it is no end */
	if (!t->said_bye) {
		t->said_bye = true;
		pthread_mutex_lock(&t->lock);
		gnutls_bye(t->session, GNUTLS_SHUT_WR);
		pthread_mutex_unlock(&t->lock);
		vmig_channel_set_timeout(t->lower, BYE_MS);
		(void)!flush(t);
	}
	pthread_mutex_unlock(&t->sending);
}

static void tls_shutdown(void *self)
{
	struct tls_channel *t = self;

	if (atomic_exchange(&t->down, true))
		return;
	say_bye(t);
	vmig_channel_shutdown(t->lower);
}

static void tls_free(struct tls_channel *t)
{
	if (t->session)
		gnutls_deinit(t->session);
	vmig_channel_close(t->lower);
	vmig_tls_free(t->tls);
	pthread_mutex_destroy(&t->lock);
	pthread_mutex_destroy(&t->sending);
	free(t->out.data);
	free(t->going.data);
	free(t->in);
	free(t);
}

static void tls_close(void *self)
{
	struct tls_channel *t = self;

	if (!atomic_load(&t->down))
		say_bye(t);
	tls_free(t);
}

static const struct vmig_channel_ops tls_ops = {
	.send = tls_send,
	.recv = tls_recv,
	.set_timeout = tls_set_timeout,
	.shutdown = tls_shutdown,
	.close = tls_close,
};

/* --- making one --- */

static bool is_number(const char *host)
{
	struct in6_addr addr;

	return inet_pton(AF_INET, host, &addr) == 1 || inet_pton(AF_INET6, host, &addr) == 1;
}

static int set_credentials(struct tls_channel *t, bool server)
{
	const struct vmig_tls *tls = t->tls;

	if (tls->cert)
		return gnutls_credentials_set(t->session, GNUTLS_CRD_CERTIFICATE, tls->cert);
	return gnutls_credentials_set(t->session, GNUTLS_CRD_PSK,
				      server ? (void *)tls->psk_server : (void *)tls->psk_client);
}

static int start_session(struct tls_channel *t, bool server)
{
	unsigned int flags = (server ? GNUTLS_SERVER : GNUTLS_CLIENT) | GNUTLS_NO_TICKETS | GNUTLS_NO_SIGNAL |
			     GNUTLS_NONBLOCK;
	int r = gnutls_init(&t->session, flags);

	if (r >= 0)
		r = gnutls_priority_set_direct(t->session, t->tls->cert ? PRIORITY_CERT : PRIORITY_PSK, NULL);
	if (r >= 0)
		r = set_credentials(t, server);
	if (r < 0)
		return r;
	t->trouble.session = t->session;
	gnutls_session_set_ptr(t->session, &t->trouble);
	gnutls_handshake_set_max_packet_length(t->session, VMIG_LIMIT_TLS_HANDSHAKE);
	gnutls_transport_set_ptr(t->session, t);
	gnutls_transport_set_vec_push_function(t->session, push);
	gnutls_transport_set_pull_function(t->session, pull);
	gnutls_transport_set_pull_timeout_function(t->session, pull_timeout);
	if (server) {
		gnutls_certificate_server_set_request(t->session, GNUTLS_CERT_REQUIRE);
		/* Who is told the CAs' names keeps a certificate of another back, and would be told that it has none. */
		gnutls_certificate_send_x509_rdn_sequence(t->session, 1);
	} else if (t->tls->cert && t->trouble.name && !is_number(t->trouble.name)) {
		return gnutls_server_name_set(t->session, GNUTLS_NAME_DNS, t->trouble.name,
					      strlen(t->trouble.name));
	}
	return 0;
}

static struct tls_channel *new_channel(const struct vmig_tls *tls, struct vmig_channel *lower)
{
	struct tls_channel *t = calloc(1, sizeof(*t));

	if (!t) {
		vmig_channel_close(lower);
		return NULL;
	}
	t->lower = lower;
	t->tls = vmig_tls_ref(tls);
	pthread_mutex_init(&t->lock, NULL);
	pthread_mutex_init(&t->sending, NULL);
	t->in = malloc(IN_SIZE);
	t->out.data = malloc(OUT_SIZE);
	t->going.data = malloc(OUT_SIZE);
	if (t->in && t->out.data && t->going.data)
		return t;
	tls_free(t);
	return NULL;
}

int vmig_tls_wrap(const struct vmig_tls *tls, const char *where, const char *host, bool server, uint32_t ms,
		  struct vmig_channel *lower, struct vmig_channel **ret, struct vmig_error *error)
{
	struct tls_channel *t = new_channel(tls, lower);
	int r;

	if (!t)
		return vmig_fault(error, -ENOMEM, where, "no memory");
	t->trouble.tls = t->tls;
	t->trouble.server = server;
	t->trouble.name = t->tls->peer ? t->tls->peer : server ? NULL : host;
	r = start_session(t, server);
	if (r < 0)
		r = vmig_fault(error, -ENOMEM, where, "cannot begin TLS: %s", gnutls_strerror(r));
	else
		r = handshake(t, where, ms, error);
	t->trouble.name = NULL; /* it was the caller's */
	if (!r)
		r = vmig_channel_new(&tls_ops, t, vmig_channel_one_way(lower), ret);
	if (r)
		tls_free(t);
	return r;
}
