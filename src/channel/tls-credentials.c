/* SPDX-License-Identifier: BSD-3-Clause */
/* tls-credentials - certificates and keys, from files that only their owner should read. */
#include <ctype.h>
#include <fcntl.h>
#include <string.h>
#include <gnutls/x509.h>
#include <sys/stat.h>

#include "base/fault.h"
#include "base/io.h"
#include "base/limits.h"
#include "channel/tls.h"

/* --- files --- */

static void wipe(gnutls_datum_t *data)
{
	if (data->data)
		gnutls_memset(data->data, 0, data->size);
	free(data->data);
	*data = (gnutls_datum_t){ 0 };
}

#define _wipe_ _cleanup_(wipe)

static int check_file(const char *path, const struct stat *st, bool secret, struct vmig_error *error)
{
	if (!S_ISREG(st->st_mode))
		return vmig_fault(error, -EINVAL, path, "not a file");
	if (st->st_size > VMIG_LIMIT_TLS_FILE)
		return vmig_fault(error, -E2BIG, path, "larger than %u bytes", VMIG_LIMIT_TLS_FILE);
	if (secret && (st->st_mode & (S_IRWXO | S_IWGRP)))
		return vmig_fault(error, -EACCES, path,
				  "others can read or change this secret (mode %04o): chmod 600 it",
				  (unsigned int)st->st_mode & 07777);
	return 0;
}

/* Ends with a 0 that is not counted. */
static int read_file(const char *path, bool secret, gnutls_datum_t *ret, struct vmig_error *error)
{
	_autoclose_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	_wipe_ gnutls_datum_t data = { 0 };
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return vmig_fault(error, -errno, path, "cannot be read: %s", strerror(errno));
	r = check_file(path, &st, secret, error);
	if (r)
		return r;
	data.size = (unsigned int)st.st_size;
	data.data = calloc(1, (size_t)data.size + 1);
	if (!data.data)
		return vmig_fault(error, -ENOMEM, path, "no memory");
	r = vmig_read_all(fd, data.data, data.size);
	if (r)
		return vmig_fault(error, r, path, "cannot be read: %s", strerror(-r));
	*ret = data;
	data = (gnutls_datum_t){ 0 };
	return 0;
}

/* --- certificates --- */

static int verify(gnutls_session_t session)
{
	struct vmig_tls_trouble *trouble = gnutls_session_get_ptr(session);
	gnutls_typed_vdata_st data[2] = { 0 };
	int r;

	data[0].type = GNUTLS_DT_KEY_PURPOSE_OID;
	data[0].data = (unsigned char *)(uintptr_t)(trouble->server ? GNUTLS_KP_TLS_WWW_CLIENT
								    : GNUTLS_KP_TLS_WWW_SERVER);
	data[1].type = GNUTLS_DT_DNS_HOSTNAME;
	data[1].data = (unsigned char *)(uintptr_t)trouble->name;
	r = gnutls_certificate_verify_peers(session, data, trouble->name ? 2 : 1, &trouble->status);
	return r < 0 || trouble->status ? -1 : 0;
}

static int load_ca(struct vmig_tls *tls, const char *path, struct vmig_error *error)
{
	_wipe_ gnutls_datum_t pem = { 0 };
	int r = read_file(path, false, &pem, error);

	if (r)
		return r;
	r = gnutls_certificate_set_x509_trust_mem(tls->cert, &pem, GNUTLS_X509_FMT_PEM);
	return r > 0 ? 0 : vmig_fault(error, -EINVAL, path, "no certificate of a CA (PEM) is in it");
}

static int load_pair(struct vmig_tls *tls, const struct vmig_tls_config *config, struct vmig_error *error)
{
	_wipe_ gnutls_datum_t cert = { 0 }, key = { 0 };
	int r = read_file(config->cert, false, &cert, error);

	if (!r)
		r = read_file(config->key, true, &key, error);
	if (r)
		return r;
	r = gnutls_certificate_set_x509_key_mem2(tls->cert, &cert, &key, GNUTLS_X509_FMT_PEM, NULL, 0);
	if (r >= 0)
		return 0;
	if (r == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
		return vmig_fault(error, -EINVAL, config->key, "this is not the key of %s", config->cert);
	if (r == GNUTLS_E_DECRYPTION_FAILED)
		return vmig_fault(error, -EINVAL, config->key,
				  "it has a password: a key without one is needed");
	return vmig_fault(error, -EINVAL, config->cert, "not a certificate (PEM), or %s is not its key: %s",
			  config->key, gnutls_strerror(r));
}

static int load_certificates(struct vmig_tls *tls, const struct vmig_tls_config *config,
			     struct vmig_error *error)
{
	int r;

	if (!config->ca || !config->cert || !config->key)
		return vmig_fault(error, -EINVAL, "TLS",
				  "certificates go both ways: a CA, a certificate and its key are needed");
	if (gnutls_certificate_allocate_credentials(&tls->cert) < 0)
		return vmig_fault(error, -ENOMEM, "TLS", "no memory");
	gnutls_certificate_set_verify_limits(tls->cert, 16384, VMIG_LIMIT_TLS_CHAIN);
	gnutls_certificate_set_verify_function(tls->cert, verify);
	r = load_ca(tls, config->ca, error);
	return r ? r : load_pair(tls, config, error);
}

/* --- a pre-shared key --- */

/* "identity:hexkey", and nothing else but a newline. */
static int parse_psk(struct vmig_tls *tls, const char *path, char *text, struct vmig_error *error)
{
	char *colon = strchr(text, ':'), *key = colon ? colon + 1 : text;
	gnutls_datum_t hex = { .data = (unsigned char *)key, .size = (unsigned int)strcspn(key, " \t\r\n") };
	size_t rest = strspn(key + hex.size, " \t\r\n");
	int r;

	if (!colon || colon == text || key[hex.size + rest])
		return vmig_fault(error, -EINVAL, path, "one line is needed: IDENTITY:HEXKEY");
	*colon = '\0';
	for (const char *c = text; *c; c++)
		if (!isgraph((unsigned char)*c))
			return vmig_fault(error, -EINVAL, path,
					  "an identity has letters and digits, no blanks");
	if (colon - text > VMIG_LIMIT_TLS_IDENTITY)
		return vmig_fault(error, -EINVAL, path, "an identity has at most %u bytes",
				  VMIG_LIMIT_TLS_IDENTITY);
	tls->identity = strdup(text);
	if (!tls->identity)
		return vmig_fault(error, -ENOMEM, path, "no memory");
	r = gnutls_hex_decode2(&hex, &tls->key);
	if (r < 0)
		return vmig_fault(error, -EINVAL, path, "the key is not hexadecimal");
	if (tls->key.size < VMIG_TLS_KEY_MIN || tls->key.size > VMIG_TLS_KEY_MAX)
		return vmig_fault(error, -EINVAL, path, "a key has %u to %u bytes, this one %u",
				  VMIG_TLS_KEY_MIN, VMIG_TLS_KEY_MAX, tls->key.size);
	return 0;
}

static int find_key(gnutls_session_t session, const char *identity, gnutls_datum_t *ret)
{
	struct vmig_tls_trouble *trouble = gnutls_session_get_ptr(session);
	const struct vmig_tls *tls = trouble->tls;

	if (strcmp(identity, tls->identity)) {
		trouble->unknown_identity = true;
		return -1;
	}
	ret->data = gnutls_malloc(tls->key.size);
	if (!ret->data)
		return -1;
	memcpy(ret->data, tls->key.data, tls->key.size);
	ret->size = tls->key.size;
	return 0;
}

static int load_psk(struct vmig_tls *tls, const char *path, struct vmig_error *error)
{
	_wipe_ gnutls_datum_t text = { 0 };
	int r = read_file(path, true, &text, error);

	if (!r)
		r = parse_psk(tls, path, (char *)text.data, error);
	if (r)
		return r;
	if (gnutls_psk_allocate_client_credentials(&tls->psk_client) < 0 ||
	    gnutls_psk_allocate_server_credentials(&tls->psk_server) < 0 ||
	    gnutls_psk_set_client_credentials(tls->psk_client, tls->identity, &tls->key, GNUTLS_PSK_KEY_RAW) <
		    0)
		return vmig_fault(error, -ENOMEM, path, "no memory");
	gnutls_psk_set_server_credentials_function(tls->psk_server, find_key);
	return 0;
}

/* --- life --- */

static int load(struct vmig_tls *tls, const struct vmig_tls_config *config, struct vmig_error *error)
{
	if (config->psk && (config->ca || config->cert || config->key || config->peer))
		return vmig_fault(error, -EINVAL, "TLS", "either certificates or a pre-shared key, not both");
	if (config->peer) {
		tls->peer = strdup(config->peer);
		if (!tls->peer)
			return vmig_fault(error, -ENOMEM, "TLS", "no memory");
	}
	return config->psk ? load_psk(tls, config->psk, error) : load_certificates(tls, config, error);
}

int vmig_tls_new(const struct vmig_tls_config *config, struct vmig_tls **ret, struct vmig_error *error)
{
	struct vmig_tls *tls = calloc(1, sizeof(*tls));
	int r;

	if (!tls)
		return vmig_fault(error, -ENOMEM, "TLS", "no memory");
	atomic_init(&tls->refs, 1);
	r = load(tls, config, error);
	if (r)
		vmig_tls_free(tls);
	else
		*ret = tls;
	return r;
}

struct vmig_tls *vmig_tls_ref(const struct vmig_tls *tls)
{
	struct vmig_tls *t = (struct vmig_tls *)(uintptr_t)tls;

	atomic_fetch_add(&t->refs, 1);
	return t;
}

void vmig_tls_free(struct vmig_tls *tls)
{
	if (!tls || atomic_fetch_sub(&tls->refs, 1) > 1)
		return;
	if (tls->cert)
		gnutls_certificate_free_credentials(tls->cert);
	if (tls->psk_client)
		gnutls_psk_free_client_credentials(tls->psk_client);
	if (tls->psk_server)
		gnutls_psk_free_server_credentials(tls->psk_server);
	if (tls->key.data)
		gnutls_memset(tls->key.data, 0, tls->key.size);
	gnutls_free(tls->key.data);
	free(tls->identity);
	free(tls->peer);
	free(tls);
}
