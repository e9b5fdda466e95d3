/* SPDX-License-Identifier: BSD-3-Clause */
/* tls-words - what became of a handshake, for a person who has to mend it. */
#include <stdio.h>

#include "base/fault.h"
#include "channel/tls.h"

static const struct {
	unsigned int status;
	gnutls_alert_description_t alert;
	const char *words;
} certificates[] = {
	/* Why it is not believed comes first; that it is not believed would be true of all. */
	{ GNUTLS_CERT_EXPIRED, GNUTLS_A_CERTIFICATE_EXPIRED, "its certificate has expired" },
	{ GNUTLS_CERT_NOT_ACTIVATED, GNUTLS_A_CERTIFICATE_EXPIRED,
	  "its certificate is not valid yet: compare both clocks" },
	{ GNUTLS_CERT_REVOKED, GNUTLS_A_CERTIFICATE_REVOKED, "its certificate was revoked" },
	{ GNUTLS_CERT_SIGNER_NOT_FOUND, GNUTLS_A_UNKNOWN_CA, "its certificate is not signed by our CA" },
	{ GNUTLS_CERT_SIGNER_NOT_CA, GNUTLS_A_UNKNOWN_CA, "its certificate is signed by what is no CA" },
	{ GNUTLS_CERT_SIGNATURE_FAILURE, GNUTLS_A_UNKNOWN_CA, "its certificate is not signed by our CA" },
	{ GNUTLS_CERT_PURPOSE_MISMATCH, GNUTLS_A_UNSUPPORTED_CERTIFICATE,
	  "its certificate is not for this purpose: who connects needs a client's, who listens a server's" },
	{ GNUTLS_CERT_INSECURE_ALGORITHM, GNUTLS_A_BAD_CERTIFICATE,
	  "its certificate is signed by an algorithm that is not secure" },
};

static const struct {
	gnutls_alert_description_t alert;
	const char *words;
} alerts[] = {
	{ GNUTLS_A_CERTIFICATE_EXPIRED, "our certificate has expired, or is not valid yet" },
	{ GNUTLS_A_CERTIFICATE_REVOKED, "our certificate was revoked" },
	{ GNUTLS_A_UNKNOWN_CA, "our certificate is not signed by its CA" },
	{ GNUTLS_A_UNSUPPORTED_CERTIFICATE, "our certificate is not for this purpose" },
	{ GNUTLS_A_ACCESS_DENIED, "the name in our certificate is not the one that it wants" },
	{ GNUTLS_A_CERTIFICATE_REQUIRED, "it wants a certificate of ours" },
	{ GNUTLS_A_UNKNOWN_PSK_IDENTITY, "it has no key of our identity" },
	{ GNUTLS_A_DECRYPT_ERROR, "its key is another one than ours" },
	{ GNUTLS_A_HANDSHAKE_FAILURE,
	  "it takes nothing that we offer: are certificates, or a pre-shared key, given at both ends?" },
	{ GNUTLS_A_MISSING_EXTENSION,
	  "it takes nothing that we offer: are certificates, or a pre-shared key, given at both ends?" },
	{ GNUTLS_A_PROTOCOL_VERSION, "it does not speak TLS 1.3" },
};

gnutls_alert_description_t vmig_tls_alert(unsigned int status)
{
	if (status & GNUTLS_CERT_UNEXPECTED_OWNER)
		return GNUTLS_A_ACCESS_DENIED;
	for (size_t i = 0; i < ARRAY_SIZE(certificates); i++)
		if (status & certificates[i].status)
			return certificates[i].alert;
	return GNUTLS_A_BAD_CERTIFICATE;
}

static int say_certificate(const struct vmig_tls_trouble *t, const char *where, struct vmig_error *error)
{
	for (size_t i = 0; i < ARRAY_SIZE(certificates); i++)
		if (t->status & certificates[i].status)
			return vmig_fault(error, -EACCES, where, "the other end is not let in: %s",
					  certificates[i].words);
	if (t->status & GNUTLS_CERT_UNEXPECTED_OWNER)
		return vmig_fault(error, -EACCES, where,
				  "the other end is not let in: its certificate is not for the name '%s'",
				  t->name);
	return vmig_fault(error, -EACCES, where, "the other end is not let in: its certificate is not valid");
}

static int say_alert(const struct vmig_tls_trouble *t, const char *where, struct vmig_error *error)
{
	gnutls_alert_description_t alert = gnutls_alert_get(t->session);
	const char *name = gnutls_alert_get_name(alert);

	for (size_t i = 0; i < ARRAY_SIZE(alerts); i++)
		if (alerts[i].alert == alert)
			return vmig_fault(error, -EACCES, where, "the other end does not let us in: %s",
					  alerts[i].words);
	return vmig_fault(error, -EACCES, where, "the other end does not let us in: it says '%s'",
			  name ? name : "?");
}

int vmig_tls_say(const struct vmig_tls_trouble *t, const char *where, struct vmig_error *error)
{
	if (t->status)
		return say_certificate(t, where, error);
	if (t->unknown_identity)
		return vmig_fault(error, -EACCES, where,
				  "the other end is not let in: its key's identity is another one");
	switch (t->code) {
	case GNUTLS_E_FATAL_ALERT_RECEIVED:
		return say_alert(t, where, error);
	case GNUTLS_E_NO_CERTIFICATE_FOUND:
	case GNUTLS_E_CERTIFICATE_REQUIRED:
		return vmig_fault(error, -EACCES, where,
				  "the other end is not let in: it shows no certificate");
	case GNUTLS_E_RECEIVED_ILLEGAL_PARAMETER:
	case GNUTLS_E_ERROR_IN_FINISHED_PACKET:
		if (!t->tls->cert)
			return vmig_fault(error, -EACCES, where,
					  "the other end is not let in: its key is another one than ours");
		break;
	case GNUTLS_E_NO_CIPHER_SUITES:
	case GNUTLS_E_UNKNOWN_CIPHER_SUITE:
	case GNUTLS_E_INSUFFICIENT_CREDENTIALS:
		return vmig_fault(error, -EACCES, where,
				  "the other end is not let in: certificates, or a pre-shared key, are "
				  "needed at both ends");
	case GNUTLS_E_UNSUPPORTED_VERSION_PACKET:
	case GNUTLS_E_UNEXPECTED_PACKET_LENGTH:
	case GNUTLS_E_UNEXPECTED_PACKET:
	case GNUTLS_E_RECORD_OVERFLOW:
		if (!t->welcome)
			return vmig_fault(error, -EPROTO, where,
					  "what the other end says is not TLS: has it been told to use it?");
		break;
	case GNUTLS_E_PREMATURE_TERMINATION:
		return vmig_fault(
			error, -ECONNRESET, where,
			"the other end has closed the connection during the handshake: does it use TLS?");
	}
	return vmig_fault(error, -EPROTO, where, "no TLS with the other end: %s", gnutls_strerror(t->code));
}
