/* SPDX-License-Identifier: BSD-3-Clause */
/* tls: the channel in TLS against GnuTLS alone, as its manual uses it, over a TCP socket of the same kind. */
#include "bench.h"

#include <gnutls/gnutls.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY  "000102030405060708090a0b0c0d0e0f"
#define NAME "bench"

struct tls {
	struct peer peer;
	uint8_t *mem;
};

/* --- GnuTLS alone --- */

/* What is common to both ends, and the same as vmig asks for. */
static gnutls_session_t raw_session(int fd, unsigned int flags)
{
	gnutls_session_t session;
	int r = gnutls_init(&session, flags | GNUTLS_NO_TICKETS);

	if (r >= 0)
		r = gnutls_priority_set_direct(
			session, "NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+ECDHE-PSK:+DHE-PSK", NULL);
	if (r < 0)
		die("GnuTLS: %s", gnutls_strerror(r));
	gnutls_transport_set_int(session, fd);
	return session;
}

static void raw_handshake(gnutls_session_t session)
{
	int r;

	do {
		r = gnutls_handshake(session);
	} while (r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED);
	if (r < 0)
		die("the handshake: %s", gnutls_strerror(r));
}

static int give_key(gnutls_session_t session, const char *name, gnutls_datum_t *ret)
{
	const gnutls_datum_t hex = { .data = (unsigned char *)KEY, .size = sizeof(KEY) - 1 };

	return gnutls_hex_decode2(&hex, ret);
}

void tls_raw_send(uint16_t port, const uint8_t *mem, uint64_t len)
{
	const gnutls_datum_t key = { .data = (unsigned char *)KEY, .size = sizeof(KEY) - 1 };
	gnutls_psk_client_credentials_t credentials;
	int fd = raw_connect(port);
	gnutls_session_t session = raw_session(fd, GNUTLS_CLIENT);

	gnutls_psk_allocate_client_credentials(&credentials);
	gnutls_psk_set_client_credentials(credentials, NAME, &key, GNUTLS_PSK_KEY_HEX);
	gnutls_credentials_set(session, GNUTLS_CRD_PSK, credentials);
	raw_handshake(session);
	for (uint64_t at = 0; at < len;) {
		uint64_t piece = len - at < PIECE ? len - at : PIECE;
		ssize_t n = gnutls_record_send(session, mem + at, piece);

		if (n < 0)
			die("send: %s", gnutls_strerror((int)n));
		at += (uint64_t)n;
	}
	gnutls_bye(session, GNUTLS_SHUT_WR);
	gnutls_deinit(session);
	gnutls_psk_free_client_credentials(credentials);
	close(fd);
}

static uint64_t tls_raw_receive(int fd, uint8_t *mem, uint64_t len)
{
	gnutls_session_t session = raw_session(fd, GNUTLS_SERVER);
	gnutls_psk_server_credentials_t credentials;
	uint64_t start;

	gnutls_psk_allocate_server_credentials(&credentials);
	gnutls_psk_set_server_credentials_function(credentials, give_key);
	gnutls_credentials_set(session, GNUTLS_CRD_PSK, credentials);
	raw_handshake(session);
	start = now_ns();
	for (uint64_t at = 0; at < len;) {
		ssize_t n = gnutls_record_recv(session, mem + at, len - at < PIECE ? len - at : PIECE);

		if (n <= 0)
			die("receive: %s", gnutls_strerror((int)n));
		at += (uint64_t)n;
	}
	start = now_ns() - start;
	gnutls_deinit(session);
	gnutls_psk_free_server_credentials(credentials);
	return start;
}

static double tls_limit(void *group)
{
	struct tls *t = group;
	struct order order = { .op = OP_TLS_RAW };
	uint16_t port;
	int listener = raw_listen(&port), fd;
	uint64_t ns;

	order.arg = port;
	peer_order(&t->peer, &order);
	fd = raw_accept(listener);
	ns = tls_raw_receive(fd, t->mem, settings.state);
	peer_answer(&t->peer);
	close(fd);
	close(listener);
	return (double)settings.state / (double)ns;
}

/* --- vmig --- */

static struct vmig_tls *credentials(void)
{
	static const char line[] = NAME ":" KEY "\n";
	struct vmig_error error = { 0 };
	struct vmig_tls *tls;
	char path[64];
	int fd = CHECK_ERRNO(memfd_create("psk", MFD_CLOEXEC));

	CHECK_ERRNO(fchmod(fd, 0600));
	CHECK_ERRNO(write(fd, line, sizeof(line) - 1));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (vmig_tls_new(&(struct vmig_tls_config){ .psk = path }, &tls, &error))
		die("%s", error.text);
	close(fd);
	return tls;
}

void tls_channel_send(const char *address, const uint8_t *mem, uint64_t len)
{
	struct vmig_tls *tls = credentials();
	const struct vmig_channel_options options = { .tls = tls };
	struct vmig_channel *channel;

	CHECK(vmig_channel_connect_with(address, &options, &channel, NULL));
	for (uint64_t at = 0; at < len; at += PIECE) {
		struct iovec iov = { (void *)(uintptr_t)(mem + at), len - at < PIECE ? len - at : PIECE };

		CHECK(vmig_channel_send(channel, &iov, 1));
	}
	vmig_channel_close(channel);
	vmig_tls_free(tls);
}

static double tls_candidate(void *group)
{
	struct tls *t = group;
	struct vmig_tls *tls = credentials();
	const struct vmig_channel_options options = { .tls = tls };
	struct order order = { .op = OP_TLS_CHANNEL };
	struct vmig_listener *listener;
	struct vmig_channel *channel;
	uint64_t start;

	CHECK(vmig_listener_new_with("tcp:127.0.0.1:0", &options, &listener, NULL));
	snprintf(order.address, sizeof(order.address), "%s", vmig_listener_address(listener));
	peer_order(&t->peer, &order);
	CHECK(vmig_listener_accept(listener, 10000, &channel));
	start = now_ns();
	for (uint64_t at = 0; at < settings.state;) {
		struct iovec iov = { t->mem + at, settings.state - at < PIECE ? settings.state - at : PIECE };

		at += (uint64_t)CHECK(vmig_channel_recv(channel, &iov, 1));
	}
	start = now_ns() - start;
	peer_answer(&t->peer);
	vmig_channel_close(channel);
	vmig_listener_free(listener);
	vmig_tls_free(tls);
	return (double)settings.state / (double)start;
}

void bench_tls(void)
{
	static const struct row row = {
		"tls", "GB/s", false, 1, tls_limit, tls_candidate, "GnuTLS alone, 1 MiB at a time"
	};
	struct tls t = { 0 };

	if (!wanted("tls"))
		return;
	peer_start(&t.peer, "serial");
	peer_do(&t.peer, OP_MEMORY, 0, settings.state);
	t.mem = raw_memory(settings.state);
	measure(&row, &t);
	close(t.peer.device);
	peer_stop(&t.peer);
}
