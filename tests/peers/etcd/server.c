/* SPDX-License-Identifier: BSD-3-Clause */
#include "server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <vmig/owner.h>

#include "harness.h"

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static int bind_any(uint16_t *ret)
{
	struct sockaddr_in at = loopback(0);
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	*ret = ntohs(at.sin_port);
	return fd;
}

uint16_t free_port(void)
{
	uint16_t port;

	close(bind_any(&port));
	return port;
}

/* --- etcd ----------------------------------------------------------------------------------------- */

static void members(const struct cluster *c, char *ret, size_t size)
{
	size_t len = 0;

	for (int i = 0; i < c->n; i++)
		len += (size_t)snprintf(ret + len, size - len, "%sm%d=http://127.0.0.1:%u", i ? "," : "", i,
					c->peer[i]);
}

__attribute__((noreturn)) static void be_etcd(const struct cluster *c, int i)
{
	char name[16], dir[96], client[64], peer[64], all[256], log[96];

	snprintf(name, sizeof(name), "m%d", i);
	snprintf(dir, sizeof(dir), "%s/m%d", c->folder, i);
	snprintf(log, sizeof(log), "%s/m%d.log", c->folder, i);
	snprintf(client, sizeof(client), "%s://127.0.0.1:%u", c->tls ? "https" : "http", c->client[i]);
	snprintf(peer, sizeof(peer), "http://127.0.0.1:%u", c->peer[i]);
	members(c, all, sizeof(all));
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!freopen(log, "a", stderr) || !freopen(log, "a", stdout))
		_exit(126);
	if (c->tls) {
		/* Of the environment, as everything that is not on its command line. */
		setenv("ETCD_CERT_FILE", "cert.pem", 1);
		setenv("ETCD_KEY_FILE", "key.pem", 1);
		if (chdir(c->folder))
			_exit(126);
	}
	execlp("etcd", "etcd", "--name", name, "--data-dir", dir, "--listen-client-urls", client,
	       "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls",
	       peer, "--initial-cluster", all, "--heartbeat-interval", "50", "--election-timeout", "500",
	       "--log-level", "error", NULL);
	_exit(127);
}

void cluster_start_one(struct cluster *c, int i)
{
	c->pid[i] = fork();
	ck_assert_int_ge(c->pid[i], 0);
	if (!c->pid[i])
		be_etcd(c, i);
}

const char *cluster_url(const struct cluster *c, char ret[256])
{
	int len = snprintf(ret, 256, "etcd:");

	for (int i = 0; i < c->n; i++)
		len += snprintf(ret + len, 256 - (size_t)len, "%s127.0.0.1:%u",
				i        ? ","
				: c->tls ? "https://"
					 : "http://",
				c->client[i]);
	if (c->tls)
		snprintf(ret + len, 256 - (size_t)len, "?ca=%s/ca.pem", c->folder);
	return ret;
}

/* Until it answers a read, which needs a leader. */
void cluster_wait(const struct cluster *c)
{
	struct vmig_uuid device = { { 1 } };
	struct vmig_ownership record;
	struct vmig_error error = { 0 };
	struct vmig_owner *owner;
	char url[256];
	int r = -1;

	ck_assert_int_eq(vmig_owner_open(cluster_url(c, url), 2000, &owner, &error), 0);
	for (int i = 0; i < 600 && r; i++) {
		r = vmig_owner_read(owner, &device, 1, &record, &error);
		if (r)
			usleep(50000);
		for (int k = 0; k < c->n; k++)
			ck_assert_msg(!c->pid[k] || waitpid(c->pid[k], NULL, WNOHANG) == 0, "etcd has ended");
	}
	ck_assert_msg(!r, "etcd does not answer: %s", error.text);
	vmig_owner_close(owner);
}

static void start(struct cluster *c)
{
	for (int i = 0; i < c->n; i++) {
		c->client[i] = free_port();
		c->peer[i] = free_port();
	}
	for (int i = 0; i < c->n; i++)
		cluster_start_one(c, i);
	cluster_wait(c);
}

static void prepare(struct cluster *c, int n)
{
	*c = (struct cluster){ .n = n };
	if (system("etcd --version >/dev/null 2>&1"))
		harness_skip("etcd is not installed");
	snprintf(c->folder, sizeof(c->folder), "/tmp/vmig-test-etcd.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(c->folder));
}

void cluster_start(struct cluster *c, int n)
{
	prepare(c, n);
	start(c);
}

void cluster_start_tls(struct cluster *c)
{
	static const char make[] =
		"cd '%s' && exec >certtool.log 2>&1 && set -e\n"
		"printf 'cn = a CA\\nca\\ncert_signing_key\\n' >ca.cfg\n"
		"printf 'cn = an etcd\\nip_address = "
		"127.0.0.1\\ntls_www_server\\ntls_www_client\\nsigning_key\\n' >cert.cfg\n"
		"certtool --generate-privkey --key-type ecdsa --outfile ca-key.pem\n"
		"certtool --generate-self-signed --load-privkey ca-key.pem --template ca.cfg --outfile "
		"ca.pem\n"
		"certtool --generate-privkey --key-type ecdsa --no-text --outfile key.pem\n"
		"certtool --generate-certificate --load-privkey key.pem --load-ca-certificate ca.pem "
		"--load-ca-privkey ca-key.pem --template cert.cfg --outfile cert.pem\n";
	char command[2048];

	if (system("certtool --version >/dev/null 2>&1"))
		harness_skip("certtool is not installed");
	prepare(c, 1);
	snprintf(command, sizeof(command), make, c->folder);
	ck_assert_int_eq(system(command), 0);
	c->tls = true;
	start(c);
}

void cluster_kill(struct cluster *c, int i)
{
	kill(c->pid[i], SIGKILL);
	ck_assert_int_eq(waitpid(c->pid[i], NULL, 0), c->pid[i]);
	c->pid[i] = 0;
}

void cluster_stop(struct cluster *c, int i)
{
	int status;

	kill(c->pid[i], SIGSTOP);
	ck_assert_int_eq(waitpid(c->pid[i], &status, WUNTRACED), c->pid[i]);
	ck_assert(WIFSTOPPED(status));
}

void cluster_end(struct cluster *c)
{
	char command[128];

	for (int i = 0; i < c->n; i++)
		if (c->pid[i])
			cluster_kill(c, i);
	snprintf(command, sizeof(command), "rm -rf '%s'", c->folder);
	ck_assert_int_eq(system(command), 0);
}

void cluster_post(const struct cluster *c, const char *path, const char *body)
{
	struct sockaddr_in at = loopback(c->client[0]);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char text[1024];
	ssize_t n;

	ck_assert_int_eq(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	dprintf(fd, "POST %s HTTP/1.0\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s", path,
		strlen(body), body);
	n = recv(fd, text, 12, MSG_WAITALL);
	ck_assert_int_eq(n, 12);
	ck_assert_msg(!memcmp(text + 8, " 200", 4), "%s: %.12s", path, text);
	close(fd);
}

/* --- a connection that eats the answer -------------------------------------------------------------- */

__attribute__((noreturn)) static void swallow(int listener, uint16_t port)
{
	struct sockaddr_in at = loopback(port);
	int in = accept(listener, NULL, NULL), out = socket(AF_INET, SOCK_STREAM, 0);
	char data[65536];
	ssize_t n;

	if (connect(out, (struct sockaddr *)&at, sizeof(at)))
		_exit(1);
	/* A request is one or two writes of a moment: it is passed on until etcd has begun to answer. */
	for (;;) {
		fd_set set;

		FD_ZERO(&set);
		FD_SET(in, &set);
		FD_SET(out, &set);
		select((in > out ? in : out) + 1, &set, NULL, NULL, NULL);
		if (FD_ISSET(out, &set))
			break;
		n = read(in, data, sizeof(data));
		if (n <= 0 || write(out, data, (size_t)n) != n)
			break;
	}
	_exit(0);
}

uint16_t forward_and_swallow(uint16_t port)
{
	uint16_t mine;
	int fd = bind_any(&mine);

	ck_assert_int_eq(listen(fd, 1), 0);
	if (!fork()) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		swallow(fd, port);
	}
	close(fd);
	return mine;
}
