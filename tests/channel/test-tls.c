/* SPDX-License-Identifier: BSD-3-Clause */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vmig/channel.h>

#include "certificates.h"
#include "harness.h"

static char folder[64];

static void make_folder(void)
{
	snprintf(folder, sizeof(folder), "/tmp/vmig-tls-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
	DIR *d = opendir(folder);
	struct dirent *e;

	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	rmdir(folder);
	forget_certificates();
}

/* --- credentials --- */

static char paths[8][128];

static const char *in_folder(int i, const char *file, const char *suffix)
{
	snprintf(paths[i], sizeof(paths[i]), "%s/%s%s", folder, file, suffix);
	return paths[i];
}

static int load(const char *ca, const char *file, const char *peer, struct vmig_tls **ret,
		struct vmig_error *error)
{
	const struct vmig_tls_config config = {
		.ca = in_folder(0, ca, ".pem"),
		.cert = in_folder(1, file, ".pem"),
		.key = in_folder(2, file, ".key"),
		.peer = peer,
	};

	return vmig_tls_new(&config, ret, error);
}

static struct vmig_tls *with(const char *ca, const char *file, const char *peer)
{
	struct vmig_error error = { 0 };
	struct vmig_tls *tls = NULL;

	ck_assert_msg(!load(ca, file, peer, &tls, &error), "%s: %s", error.where, error.text);
	return tls;
}

static int load_psk(const char *text, unsigned int mode, struct vmig_tls **ret, struct vmig_error *error)
{
	const struct vmig_tls_config config = { .psk = in_folder(3, "psk", "") };

	make_file(folder, "psk", text, mode);
	return vmig_tls_new(&config, ret, error);
}

static struct vmig_tls *with_psk(const char *text)
{
	struct vmig_error error = { 0 };
	struct vmig_tls *tls = NULL;

	ck_assert_msg(!load_psk(text, 0600, &tls, &error), "%s: %s", error.where, error.text);
	return tls;
}

/* A CA, another one, and certificates of this host for both ends. */
static void make_all(void)
{
	static const struct certificate all[] = {
		{ .file = "ca", .ca = true },
		{ .file = "other-ca", .ca = true },
		{ .file = "here", .name = "localhost", .ip = "127.0.0.1", .signer = "ca" },
		{ .file = "there", .name = "there.example", .signer = "ca" },
		{ .file = "stranger", .name = "localhost", .ip = "127.0.0.1", .signer = "other-ca" },
		{ .file = "old",
		  .name = "localhost",
		  .ip = "127.0.0.1",
		  .signer = "ca",
		  .from_s = -7200,
		  .to_s = -3600 },
		{ .file = "young",
		  .name = "localhost",
		  .ip = "127.0.0.1",
		  .signer = "ca",
		  .from_s = 3600,
		  .to_s = 7200 },
		{ .file = "server",
		  .name = "localhost",
		  .ip = "127.0.0.1",
		  .signer = "ca",
		  .server_only = true },
		/* signed by what is no CA */
		{ .file = "forged", .name = "localhost", .ip = "127.0.0.1", .signer = "here" },
	};

	make_folder();
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		make_certificate(folder, &all[i]);
}

/* --- two ends --- */

struct end {
	struct vmig_listener *listener; /* NULL: connects */
	char address[128];
	const struct vmig_tls *tls;
	struct vmig_channel *channel;
	struct vmig_error error;
	int code;
};

static void *run_end(void *opaque)
{
	const uint32_t ms = 10000;
	struct end *e = opaque;
	struct vmig_channel_options options = { .timeout_ms = ms, .tls = e->tls };

	if (e->listener) {
		e->code = vmig_listener_accept(e->listener, ms, &e->channel);
		if (e->code)
			e->error = *vmig_listener_error(e->listener);
	} else {
		e->code = vmig_channel_connect_with(e->address, &options, &e->channel, &e->error);
	}
	return NULL;
}

/* Both are the caller's to free; what becomes of it is in the ends. */
static void meet(const char *address, const struct vmig_tls *listens, const struct vmig_tls *connects,
		 struct end *server, struct end *client)
{
	struct vmig_channel_options options = { .timeout_ms = 10000, .tls = listens };
	pthread_t thread;

	*server = (struct end){ .tls = listens };
	*client = (struct end){ .tls = connects };
	ck_assert_int_eq(vmig_listener_new_with(address, &options, &server->listener, &server->error), 0);
	snprintf(client->address, sizeof(client->address), "%s", vmig_listener_address(server->listener));
	pthread_create(&thread, NULL, run_end, server);
	run_end(client);
	pthread_join(thread, NULL);
	vmig_listener_free(server->listener);
}

static void part(struct end *server, struct end *client)
{
	if (!client->code)
		vmig_channel_close(client->channel);
	if (!server->code)
		vmig_channel_close(server->channel);
}

static int send_text(struct vmig_channel *channel, const char *text)
{
	struct iovec iov = { (void *)(uintptr_t)text, strlen(text) };

	return vmig_channel_send(channel, &iov, 1);
}

static ssize_t recv_text(struct vmig_channel *channel, char *text, size_t len)
{
	struct iovec iov = { text, len - 1 };

	memset(text, 0, len);
	return vmig_channel_recv(channel, &iov, 1);
}

static void ck_met(const struct end *server, const struct end *client)
{
	ck_assert_msg(!client->code, "connecting: %s", client->error.text);
	ck_assert_msg(!server->code, "listening: %s", server->error.text);
}

static void ck_words(const struct end *end, int code, const char *words)
{
	ck_assert_msg(end->code == code, "%d: %s", end->code, end->error.text);
	ck_assert_msg(strstr(end->error.text, words), "'%s' is not in '%s'", words, end->error.text);
}

/* What one says the other hears, both ways, and the end. */
static void talk(struct end *server, struct end *client)
{
	char text[16];

	ck_met(server, client);
	ck_assert_int_eq(send_text(client->channel, "there"), 0);
	ck_assert_int_eq(recv_text(server->channel, text, sizeof(text)), 5);
	ck_assert_str_eq(text, "there");
	ck_assert_int_eq(send_text(server->channel, "back"), 0);
	ck_assert_int_eq(recv_text(client->channel, text, sizeof(text)), 4);
	ck_assert_str_eq(text, "back");
	vmig_channel_close(client->channel);
	ck_assert_int_eq(recv_text(server->channel, text, sizeof(text)), 0);
	vmig_channel_close(server->channel);
}

TEST(certificates_both_ways)
{
	struct end server, client;
	struct vmig_tls *here, *there;

	make_all();
	here = with("ca", "here", NULL);
	there = with("ca", "there", NULL);
	meet("tcp:127.0.0.1:0", here, there, &server, &client);
	talk(&server, &client);
	vmig_tls_free(here);
	vmig_tls_free(there);
	/* By its name, and with the credentials gone before the first byte. */
	here = with("ca", "here", "there.example");
	there = with("ca", "there", "localhost");
	meet("tcp:127.0.0.1:0", here, there, &server, &client);
	vmig_tls_free(here);
	vmig_tls_free(there);
	talk(&server, &client);
	remove_folder();
}

TEST(a_unix_socket_has_no_name_of_a_host)
{
	struct end server, client;
	struct vmig_tls *here, *there;
	char address[96];

	make_all();
	snprintf(address, sizeof(address), "unix:%s/socket", folder);
	here = with("ca", "here", NULL);
	there = with("ca", "there", "localhost");
	meet(address, here, there, &server, &client);
	talk(&server, &client);
	client.tls = here;
	run_end(&client);
	ck_words(&client, -EINVAL, "has no host's name");
	vmig_tls_free(here);
	vmig_tls_free(there);
	remove_folder();
}

static void refused(const char *listens, const char *connects, const char *wanted, const char *server_words,
		    const char *client_words)
{
	struct vmig_tls *here = with("ca", listens, wanted), *there = with("ca", connects, NULL);
	struct end server, client;

	meet("tcp:127.0.0.1:0", here, there, &server, &client);
	ck_words(&server, -ECONNABORTED, server_words);
	ck_words(&client, -EACCES, client_words);
	vmig_tls_free(here);
	vmig_tls_free(there);
}

TEST(a_client_with_a_bad_certificate_is_told_why)
{
	make_all();
	refused("here", "stranger", NULL, "not signed by our CA", "not signed by its CA");
	refused("here", "old", NULL, "has expired", "our certificate has expired");
	refused("here", "young", NULL, "not valid yet", "not valid yet");
	refused("here", "server", NULL, "not for this purpose", "not for this purpose");
	refused("here", "forged", NULL, "not signed", "not signed by its CA");
	refused("here", "there", "else.example", "not for the name 'else.example'",
		"the name in our certificate");
	remove_folder();
}

TEST(a_server_with_a_bad_certificate_is_told_why)
{
	make_all();
	refused("stranger", "there", NULL, "not signed by its CA", "not signed by our CA");
	refused("old", "there", NULL, "our certificate has expired", "has expired");
	refused("young", "there", NULL, "not valid yet", "not valid yet");
	refused("there", "there", NULL, "the name in our certificate", "not for the name '127.0.0.1'");
	remove_folder();
}

TEST(a_key_that_both_ends_have)
{
	struct vmig_tls *same = NULL, *other, *name, *certificate;
	struct end server, client;

	make_all();
	same = with_psk("lab:000102030405060708090a0b0c0d0e0f\n");
	other = with_psk("lab:ff0102030405060708090a0b0c0d0e0f");
	name = with_psk("test:000102030405060708090a0b0c0d0e0f");
	certificate = with("ca", "there", NULL);
	meet("tcp:127.0.0.1:0", same, same, &server, &client);
	talk(&server, &client);
	meet("tcp:127.0.0.1:0", same, other, &server, &client);
	ck_words(&server, -ECONNABORTED, "its key is another one");
	ck_assert_int_eq(client.code, -EACCES);
	meet("tcp:127.0.0.1:0", same, name, &server, &client);
	ck_words(&server, -ECONNABORTED, "identity is another one");
	ck_assert_int_eq(client.code, -EACCES);
	meet("tcp:127.0.0.1:0", same, certificate, &server, &client);
	ck_words(&server, -ECONNABORTED, "at both ends");
	ck_assert_int_eq(client.code, -EACCES);
	meet("tcp:127.0.0.1:0", certificate, same, &server, &client);
	ck_words(&server, -ECONNABORTED, "at both ends");
	ck_assert_int_eq(client.code, -EACCES);
	vmig_tls_free(same);
	vmig_tls_free(other);
	vmig_tls_free(name);
	vmig_tls_free(certificate);
	remove_folder();
}

TEST(what_is_no_tls_is_told_at_once)
{
	const struct vmig_channel_options plain = { 0 };
	struct vmig_channel_options options = { 0 };
	struct vmig_listener *listener;
	struct vmig_channel *client, *server;
	struct vmig_tls *tls;

	make_folder();
	tls = with_psk("lab:000102030405060708090a0b0c0d0e0f");
	options.tls = tls;
	ck_assert_int_eq(vmig_listener_new_with("tcp:127.0.0.1:0", &options, &listener, NULL), 0);
	ck_assert_int_eq(vmig_channel_connect_with(vmig_listener_address(listener), &plain, &client, NULL),
			 0);
	ck_assert_int_eq(send_text(client, "VMIG"), 0);
	ck_assert_int_eq(vmig_listener_accept(listener, 0, &server), -ECONNABORTED);
	ck_assert_msg(strstr(vmig_listener_error(listener)->text, "not TLS"), "%s",
		      vmig_listener_error(listener)->text);
	vmig_channel_close(client);
	vmig_listener_free(listener);
	vmig_tls_free(tls);
	remove_folder();
}

/* --- files --- */

TEST(a_secret_that_others_can_read_is_refused)
{
	static const struct {
		unsigned int mode;
		int code;
	} rows[] = { { 0600, 0 },       { 0400, 0 },       { 0640, 0 },
		     { 0604, -EACCES }, { 0660, -EACCES }, { 0602, -EACCES } };
	struct vmig_error error;
	struct vmig_tls *tls;
	int r;

	make_all();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ck_assert_int_eq(chmod(in_folder(0, "here", ".key"), rows[i].mode), 0);
		r = load("ca", "here", NULL, &tls, &error);
		ck_assert_msg(r == rows[i].code, "%04o: %d", rows[i].mode, r);
		if (!r)
			vmig_tls_free(tls);
		else
			ck_assert(strstr(error.text, "chmod 600"));
		r = load_psk("lab:000102030405060708090a0b0c0d0e0f", rows[i].mode, &tls, &error);
		ck_assert_msg(r == rows[i].code, "%04o: %d", rows[i].mode, r);
		if (!r)
			vmig_tls_free(tls);
	}
	remove_folder();
}

TEST(what_is_no_certificate_is_told)
{
	struct vmig_error error;
	struct vmig_tls *tls;

	make_all();
	make_file(folder, "junk.pem", "this is none\n", 0600);
	make_file(folder, "junk.key", "this is none\n", 0600);
	ck_assert_int_eq(load("absent", "here", NULL, &tls, &error), -ENOENT);
	ck_assert_int_eq(load("junk", "here", NULL, &tls, &error), -EINVAL);
	ck_assert(strstr(error.text, "CA"));
	ck_assert_int_eq(load("ca", "junk", NULL, &tls, &error), -EINVAL);
	ck_assert_int_eq(rename(in_folder(0, "there", ".key"), in_folder(1, "here", ".key")), 0);
	ck_assert_int_eq(load("ca", "here", NULL, &tls, &error), -EINVAL);
	ck_assert(strstr(error.text, "not the key of"));
	ck_assert_int_eq(vmig_tls_new(&(struct vmig_tls_config){ .ca = "x" }, &tls, &error), -EINVAL);
	ck_assert_int_eq(vmig_tls_new(&(struct vmig_tls_config){ .psk = "x", .peer = "y" }, &tls, &error),
			 -EINVAL);
	ck_assert_int_eq(vmig_tls_new(&(struct vmig_tls_config){ .psk = folder }, &tls, &error), -EINVAL);
	remove_folder();
}

static void ck_psk(const char *text, int code)
{
	struct vmig_error error;
	struct vmig_tls *tls;
	int r = load_psk(text, 0600, &tls, &error);

	ck_assert_msg(r == code, "'%s': %d", text, r);
	if (!r)
		vmig_tls_free(tls);
}

TEST(a_key_has_its_limits)
{
	char text[512];

	make_folder();
	for (int bytes = 15; bytes <= 65; bytes++) {
		snprintf(text, sizeof(text), "lab:%0*d\r\n", 2 * bytes, 1);
		ck_psk(text, bytes < 16 || bytes > 64 ? -EINVAL : 0);
	}
	for (int bytes = 127; bytes <= 129; bytes++) {
		snprintf(text, sizeof(text), "%0*d:%032d", bytes, 1, 1);
		ck_psk(text, bytes > 128 ? -EINVAL : 0);
	}
	ck_psk("", -EINVAL);
	ck_psk(":000102030405060708090a0b0c0d0e0f", -EINVAL);
	ck_psk("lab", -EINVAL);
	ck_psk("000102030405060708090a0b0c0d0e0f", -EINVAL);
	ck_psk("two words:000102030405060708090a0b0c0d0e0f", -EINVAL);
	ck_psk("lab:000102030405060708090a0b0c0d0e0g", -EINVAL);
	ck_psk("lab:000102030405060708090a0b0c0d0e0f\nlab:00", -EINVAL);
	remove_folder();
}

/* --- the stream --- */

static struct vmig_tls *meet_psk(struct end *server, struct end *client)
{
	struct vmig_tls *tls;

	make_folder();
	tls = with_psk("lab:000102030405060708090a0b0c0d0e0f");
	meet("tcp:127.0.0.1:0", tls, tls, server, client);
	ck_met(server, client);
	vmig_tls_free(tls);
	remove_folder();
	return NULL;
}

#define MUCH (3u << 20)

static uint8_t pattern(size_t i, unsigned int salt)
{
	return (uint8_t)(i * 7 + (i >> 8) + (i >> 16) * 3 + salt);
}

struct flow {
	struct vmig_channel *channel;
	unsigned int salt, seed;
};

/* All of it, in pieces of all sizes. */
static void *send_flow(void *opaque)
{
	struct flow *f = opaque;
	uint8_t *data = malloc(MUCH);
	size_t at = 0;

	for (size_t i = 0; i < MUCH; i++)
		data[i] = pattern(i, f->salt);
	while (at < MUCH) {
		struct iovec iov[3];

		for (int i = 0; i < 3; i++) {
			size_t len = (size_t)rand_r(&f->seed) % (i == 2 ? 300000 : 40);

			len = len < MUCH - at ? len : MUCH - at;
			iov[i] = (struct iovec){ data + at, len };
			at += len;
		}
		ck_assert_int_eq(vmig_channel_send(f->channel, iov, 3), 0);
	}
	free(data);
	return NULL;
}

static void *recv_flow(void *opaque)
{
	struct flow *f = opaque;
	static __thread uint8_t data[200000];
	size_t at = 0;

	while (at < MUCH) {
		size_t len = 1 + (size_t)rand_r(&f->seed) % 100000;
		struct iovec iov[2] = { { data, len }, { data + len, len } };
		ssize_t n = vmig_channel_recv(f->channel, iov, 2);

		ck_assert_int_gt(n, 0);
		for (ssize_t i = 0; i < n; i++)
			if (data[i] != pattern(at + (size_t)i, f->salt))
				ck_abort_msg("byte %zu is another one", at + (size_t)i);
		at += (size_t)n;
	}
	return NULL;
}

TEST(much_both_ways_at_once)
{
	struct end server, client;
	struct flow flows[4];
	pthread_t threads[4];
	unsigned int seed = harness_seed();

	meet_psk(&server, &client);
	flows[0] = (struct flow){ client.channel, 1, seed };
	flows[1] = (struct flow){ server.channel, 1, seed + 1 };
	flows[2] = (struct flow){ server.channel, 2, seed + 2 };
	flows[3] = (struct flow){ client.channel, 2, seed + 3 };
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, i % 2 ? recv_flow : send_flow, &flows[i]);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	part(&server, &client);
}

TEST(a_silent_peer_times_out)
{
	struct end server, client;
	static char much[1 << 20];
	struct iovec iov = { much, sizeof(much) };
	char text[16];
	int r = 0;

	meet_psk(&server, &client);
	vmig_channel_set_timeout(client.channel, 20);
	ck_assert_int_eq(recv_text(client.channel, text, sizeof(text)), -ETIMEDOUT);
	for (int i = 0; i < 100 && !r; i++)
		r = vmig_channel_send(client.channel, &iov, 1);
	ck_assert_int_eq(r, -ETIMEDOUT);
	part(&server, &client);
}

/* Wherever it is cut: what was not the end is none. */
TEST(a_cut_stream_has_no_end)
{
	struct vmig_tls *tls;
	char fault[32], text[4096];
	int welcomed = 0;

	make_folder();
	tls = with_psk("lab:000102030405060708090a0b0c0d0e0f");
	for (unsigned int at = 0; at < 1500; at += 100) {
		struct vmig_channel_options options = { .tls = tls, .timeout_ms = 10000, .fault = fault };
		struct end server = { 0 }, client = { 0 };
		pthread_t thread;

		snprintf(fault, sizeof(fault), "cut=%u", at);
		ck_assert_int_eq(vmig_listener_new_with("tcp:127.0.0.1:0", &options, &server.listener, NULL),
				 0);
		snprintf(client.address, sizeof(client.address), "%s",
			 vmig_listener_address(server.listener));
		client.tls = tls;
		pthread_create(&thread, NULL, run_end, &server);
		run_end(&client);
		pthread_join(thread, NULL);
		if (!server.code && !client.code) {
			memset(text, 'x', sizeof(text));
			text[sizeof(text) - 1] = '\0';
			ck_assert_int_eq(send_text(server.channel, text), -ECONNRESET);
			vmig_channel_close(server.channel);
			server.code = 1;
			ck_assert_int_eq(recv_text(client.channel, text, sizeof(text)), -ECONNRESET);
			welcomed++;
		} else if (client.code) {
			ck_words(&client, -ECONNRESET, "closed the connection during the handshake");
		}
		part(&server, &client);
		vmig_listener_free(server.listener);
	}
	ck_assert_int_gt(welcomed, 3);
	vmig_tls_free(tls);
	remove_folder();
}

static void *receive_one(void *channel)
{
	char text[16];

	return (void *)(intptr_t)recv_text(channel, text, sizeof(text));
}

static void *send_for_ever(void *channel)
{
	static char much[1 << 20];
	struct iovec iov = { much, sizeof(much) };
	intptr_t r = 0;

	while (!r)
		r = vmig_channel_send(channel, &iov, 1);
	return (void *)r;
}

TEST(a_shutdown_wakes_both)
{
	struct end server, client;
	pthread_t receiver, sender;
	void *received, *sent;

	meet_psk(&server, &client);
	pthread_create(&receiver, NULL, receive_one, client.channel);
	pthread_create(&sender, NULL, send_for_ever, client.channel);
	vmig_channel_shutdown(client.channel);
	pthread_join(receiver, &received);
	pthread_join(sender, &sent);
	ck_assert_int_eq((intptr_t)received, -ECONNRESET);
	ck_assert_int_eq((intptr_t)sent, -ECONNRESET);
	ck_assert_int_eq(send_text(client.channel, "x"), -ECONNRESET);
	part(&server, &client);
}

TEST(what_was_sent_before_a_shutdown_arrives)
{
	struct end server, client;
	char text[16];

	meet_psk(&server, &client);
	ck_assert_int_eq(send_text(client.channel, "last words"), 0);
	vmig_channel_shutdown(client.channel);
	ck_assert_int_eq(recv_text(server.channel, text, sizeof(text)), 10);
	ck_assert_int_eq(recv_text(server.channel, text, sizeof(text)), 0);
	ck_assert_int_eq(recv_text(server.channel, text, sizeof(text)), 0);
	part(&server, &client);
}

HARNESS("tls", T(certificates_both_ways), T(a_unix_socket_has_no_name_of_a_host),
	T(a_client_with_a_bad_certificate_is_told_why), T(a_server_with_a_bad_certificate_is_told_why),
	T(a_key_that_both_ends_have), T(what_is_no_tls_is_told_at_once),
	T(a_secret_that_others_can_read_is_refused), T(what_is_no_certificate_is_told),
	T(a_key_has_its_limits), T(much_both_ways_at_once), T(a_silent_peer_times_out),
	T(a_cut_stream_has_no_end), T(a_shutdown_wakes_both), T(what_was_sent_before_a_shutdown_arrives))
