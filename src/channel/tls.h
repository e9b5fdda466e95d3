/* SPDX-License-Identifier: BSD-3-Clause */
/** tls - credentials, and a channel that protects another. Private to the library. */
#ifndef VMIG_CHANNEL_TLS_H
#define VMIG_CHANNEL_TLS_H

#include <gnutls/gnutls.h>
#include <stdatomic.h>

#include <vmig/channel.h>

#include "base/util.h"

/** Certificates, or a key that both ends have. Nothing of it changes once it is made. */
struct vmig_tls {
	atomic_uint refs;
	char *peer; /* the name that the peer must have; NULL: see vmig_tls_wrap() */
	gnutls_certificate_credentials_t cert; /* NULL: a pre-shared key */
	gnutls_psk_client_credentials_t psk_client;
	gnutls_psk_server_credentials_t psk_server;
	char *identity; /* of the key */
	gnutls_datum_t key;
};

struct vmig_tls *vmig_tls_ref(const struct vmig_tls *tls);

/** What is known of a handshake. It is the session's pointer as long as that lasts. */
struct vmig_tls_trouble {
	const struct vmig_tls *tls;
	gnutls_session_t session;
	int code;              /* GnuTLS's */
	unsigned int status;   /* of the peer's certificate */
	const char *name;      /* that it should have had */
	bool server;           /* we are */
	bool unknown_identity; /* of the peer's key */
	bool welcome;          /* it failed after our own handshake was done */
};

/** The errno, and the words for a person. */
MUST_USE int vmig_tls_say(const struct vmig_tls_trouble *trouble, const char *where,
			  struct vmig_error *ret_error);
/** The alert that tells the peer, for a certificate's @status. */
gnutls_alert_description_t vmig_tls_alert(unsigned int status);

/**
 * Protect @lower: handshake, within @ms. @server: we have accepted it. @host: where we have connected to;
 * its name counts where tls->peer says none. Takes @lower over, also when it fails.
 */
MUST_USE int vmig_tls_wrap(const struct vmig_tls *tls, const char *where, const char *host, bool server,
			   uint32_t ms, struct vmig_channel *lower, struct vmig_channel **ret,
			   struct vmig_error *ret_error);

#endif
