/* SPDX-License-Identifier: BSD-3-Clause */
#include "certificates.h"

#include <arpa/inet.h>
#include <check.h>
#include <fcntl.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MADE_MAX 16

static struct {
	char file[32];
	gnutls_x509_crt_t cert;
	gnutls_x509_privkey_t key;
} made[MADE_MAX];
static int n_made;

#define OK(call) ck_assert_int_ge((call), 0)

void make_file(const char *folder, const char *file, const char *text, unsigned int mode)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, file);
	fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert_int_eq(fchmod(fd, mode), 0);
	close(fd);
}

static int find(const char *file)
{
	for (int i = 0; i < n_made; i++)
		if (!strcmp(made[i].file, file))
			return i;
	ck_abort_msg("no certificate %s", file);
}

static void write_pem(const char *folder, const char *file, const char *suffix, gnutls_datum_t *pem)
{
	char name[64];

	snprintf(name, sizeof(name), "%s.%s", file, suffix);
	make_file(folder, name, (char *)pem->data, 0600);
	gnutls_free(pem->data);
}

static void name_it(gnutls_x509_crt_t cert, const struct certificate *c)
{
	const char *common = c->name ? c->name : c->file;
	struct in_addr ip;

	OK(gnutls_x509_crt_set_dn_by_oid(cert, GNUTLS_OID_X520_COMMON_NAME, 0, common,
					 (unsigned int)strlen(common)));
	if (c->name)
		OK(gnutls_x509_crt_set_subject_alt_name(cert, GNUTLS_SAN_DNSNAME, c->name,
							(unsigned int)strlen(c->name), GNUTLS_FSAN_APPEND));
	if (c->ip) {
		ck_assert_int_eq(inet_pton(AF_INET, c->ip, &ip), 1);
		OK(gnutls_x509_crt_set_subject_alt_name(cert, GNUTLS_SAN_IPADDRESS, &ip, sizeof(ip),
							GNUTLS_FSAN_APPEND));
	}
}

static void limit_it(gnutls_x509_crt_t cert, const struct certificate *c)
{
	bool hour = !c->from_s && !c->to_s;
	time_t now = time(NULL);

	OK(gnutls_x509_crt_set_activation_time(cert, now + (hour ? -3600 : c->from_s)));
	OK(gnutls_x509_crt_set_expiration_time(cert, now + (hour ? 3600 : c->to_s)));
	OK(gnutls_x509_crt_set_ca_status(cert, c->ca));
	OK(gnutls_x509_crt_set_key_usage(cert,
					 c->ca ? GNUTLS_KEY_KEY_CERT_SIGN : GNUTLS_KEY_DIGITAL_SIGNATURE));
	if (c->server_only)
		OK(gnutls_x509_crt_set_key_purpose_oid(cert, GNUTLS_KP_TLS_WWW_SERVER, 0));
}

void make_certificate(const char *folder, const struct certificate *c)
{
	unsigned char serial[4] = { 0, 0, 1, (unsigned char)n_made };
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t cert;
	gnutls_datum_t pem;
	int signer;

	ck_assert_int_lt(n_made, MADE_MAX);
	OK(gnutls_x509_privkey_init(&key));
	OK(gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
					GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0));
	OK(gnutls_x509_crt_init(&cert));
	OK(gnutls_x509_crt_set_version(cert, 3));
	OK(gnutls_x509_crt_set_serial(cert, serial, sizeof(serial)));
	OK(gnutls_x509_crt_set_key(cert, key));
	name_it(cert, c);
	limit_it(cert, c);
	snprintf(made[n_made].file, sizeof(made[n_made].file), "%s", c->file);
	made[n_made].cert = cert;
	made[n_made].key = key;
	n_made++;
	signer = find(c->signer ? c->signer : c->file);
	OK(gnutls_x509_crt_sign2(cert, made[signer].cert, made[signer].key, GNUTLS_DIG_SHA256, 0));
	OK(gnutls_x509_crt_export2(cert, GNUTLS_X509_FMT_PEM, &pem));
	write_pem(folder, c->file, "pem", &pem);
	OK(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem));
	write_pem(folder, c->file, "key", &pem);
}

void forget_certificates(void)
{
	while (n_made) {
		n_made--;
		gnutls_x509_crt_deinit(made[n_made].cert);
		gnutls_x509_privkey_deinit(made[n_made].key);
	}
}
