/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vmig/channel.h>

#include "harness.h"

static char folder[64], path[128];

static void make_folder(void)
{
	snprintf(folder, sizeof(folder), "/tmp/vmig-channel-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/file", folder);
}

static void remove_folder(void)
{
	unlink(path);
	/* Fails if anything else was left there. */
	ck_assert_int_eq(rmdir(folder), 0);
}

static int send_text(struct vmig_channel *channel, const char *text)
{
	struct iovec iov = { (void *)(uintptr_t)text, strlen(text) };

	return vmig_channel_send(channel, &iov, 1);
}

static ssize_t recv_text(struct vmig_channel *channel, char *text, size_t len)
{
	struct iovec iov = { text, len - 1 };
	ssize_t n;

	memset(text, 0, len);
	n = vmig_channel_recv(channel, &iov, 1);
	return n;
}

static void pair(struct vmig_channel **a, struct vmig_channel **b)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_int_eq(vmig_channel_socket(fds[0], a), 0);
	ck_assert_int_eq(vmig_channel_socket(fds[1], b), 0);
}

/* --- addresses --- */

static void talk(const char *address)
{
	struct vmig_channel *a, *b;
	struct vmig_listener *listener;
	struct vmig_error error;
	char text[16];

	ck_assert_msg(!vmig_listener_new(address, &listener, &error), "%s: %s", address, error.text);
	ck_assert_int_eq(vmig_channel_connect(vmig_listener_address(listener), 5000, &a, &error), 0);
	ck_assert_int_eq(vmig_listener_accept(listener, 5000, &b), 0);
	vmig_listener_free(listener);
	ck_assert(!vmig_channel_one_way(a));
	ck_assert_int_eq(vmig_channel_rewind(a), -ESPIPE);
	ck_assert_int_eq(send_text(a, "there"), 0);
	ck_assert_int_eq(recv_text(b, text, sizeof(text)), 5);
	ck_assert_str_eq(text, "there");
	ck_assert_int_eq(send_text(b, "back"), 0);
	ck_assert_int_eq(recv_text(a, text, sizeof(text)), 4);
	ck_assert_int_eq(vmig_channel_commit(a), 0);
	vmig_channel_close(a);
	ck_assert_int_eq(recv_text(b, text, sizeof(text)), 0);
	vmig_channel_close(b);
}

TEST(tcp_and_unix_connect)
{
	char address[160];

	make_folder();
	snprintf(address, sizeof(address), "unix:%s", path);
	talk(address);
	ck_assert_int_ne(access(path, F_OK), 0);
	talk("tcp:127.0.0.1:0");
	talk("tcp:localhost:0");
	remove_folder();
}

TEST(what_is_no_address_is_refused)
{
	static const char *const bad[] = { "",
					   "tcp:",
					   "tcp:host",
					   "tcp:host:",
					   "tcp:host:port",
					   "tcp:h:65536",
					   "tcp:h:-1",
					   "tcp:::1:80",
					   "tcp:[::1:80",
					   "unix:",
					   "udp:h:1",
					   "127.0.0.1:80",
					   "tcp:h:1 ",
					   "tcp:h:99999999999999999999" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct vmig_error error = { 0 };
		struct vmig_listener *listener;
		struct vmig_channel *channel;

		ck_assert_msg(vmig_channel_connect(bad[i], 100, &channel, &error) == -EINVAL, "%s", bad[i]);
		ck_assert_int_eq(error.code, EINVAL);
		ck_assert(strlen(error.text) > 5);
		ck_assert_int_eq(vmig_listener_new(bad[i], &listener, NULL), -EINVAL);
	}
}

TEST(a_unix_path_has_a_limit)
{
	char address[256] = "unix:/tmp/";
	struct vmig_channel *channel;

	/* 107 bytes fit into a sockaddr_un, 108 do not. */
	memset(address + 10, 'x', 102);
	ck_assert_int_eq(vmig_channel_connect(address, 100, &channel, NULL), -ENOENT);
	address[112] = 'x';
	ck_assert_int_eq(vmig_channel_connect(address, 100, &channel, NULL), -EINVAL);
}

TEST(nobody_there_is_told)
{
	struct vmig_listener *listener;
	struct vmig_channel *channel;
	struct vmig_error error;
	char address[160];

	make_folder();
	snprintf(address, sizeof(address), "unix:%s", path);
	ck_assert_int_eq(vmig_channel_connect(address, 100, &channel, &error), -ENOENT);
	ck_assert_int_eq(vmig_listener_new("tcp:127.0.0.1:0", &listener, NULL), 0);
	snprintf(address, sizeof(address), "%s", vmig_listener_address(listener));
	ck_assert_int_eq(vmig_listener_accept(listener, 10, &channel), -ETIMEDOUT);
	vmig_listener_free(listener);
	ck_assert_int_eq(vmig_channel_connect(address, 100, &channel, &error), -ECONNREFUSED);
	ck_assert(strstr(error.where, "tcp:127.0.0.1:"));
	remove_folder();
}

TEST(an_address_in_use_is_told_and_a_stale_socket_is_replaced)
{
	struct vmig_listener *a, *b;
	struct vmig_error error;
	char address[160];
	struct stat st;

	make_folder();
	snprintf(address, sizeof(address), "unix:%s", path);
	ck_assert_int_eq(vmig_listener_new(address, &a, &error), 0);
	ck_assert_int_eq(vmig_listener_new(address, &b, &error), -EADDRINUSE);
	ck_assert_int_eq(access(path, F_OK), 0);
	/* As a killed process leaves it: the file is there, and nobody listens. */
	ck_assert_int_eq(rename(path, "/tmp/vmig-stale"), 0);
	vmig_listener_free(a);
	ck_assert_int_eq(rename("/tmp/vmig-stale", path), 0);
	ck_assert_int_eq(vmig_listener_new(address, &b, &error), 0);
	vmig_listener_free(b);
	ck_assert_int_ne(stat(path, &st), 0);
	/* Some other file of that name stays. */
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	ck_assert_int_eq(vmig_listener_new(address, &b, &error), -EADDRINUSE);
	ck_assert_int_eq(stat(path, &st), 0);
	remove_folder();
}

TEST(plain_tcp_is_for_this_host_unless_it_is_allowed)
{
	static const char *const beyond[] = {
		"tcp:192.0.2.1:9", "tcp:[2001:db8::1]:9", "tcp:[::ffff:192.0.2.1]:9",
		"tcp:128.0.0.1:9", "tcp:0.0.0.0:0",       "tcp:[::]:0",
		"tcp::0"
	};
	const struct vmig_channel_options allowed = { .insecure = true };
	struct vmig_listener *listener;
	struct vmig_channel *channel;
	struct vmig_error error;

	for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
		ck_assert_msg(vmig_listener_new(beyond[i], &listener, &error) == -EPERM, "%s", beyond[i]);
		ck_assert(strstr(error.text, "TLS"));
		if (i < 6) /* connecting, no host is this host */
			ck_assert_msg(vmig_channel_connect(beyond[i], 100, &channel, &error) == -EPERM, "%s",
				      beyond[i]);
	}
	ck_assert_int_eq(vmig_listener_new("tcp:127.255.0.1:0", &listener, NULL), 0);
	vmig_listener_free(listener);
	ck_assert_int_eq(vmig_listener_new_with("tcp:0.0.0.0:0", &allowed, &listener, NULL), 0);
	vmig_listener_free(listener);
}

TEST(a_datagram_socket_is_no_channel)
{
	struct vmig_channel *channel;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(vmig_channel_socket(fd, &channel), -EINVAL);
	close(fd);
	ck_assert_int_eq(vmig_channel_socket(-1, &channel), -EBADF);
}

/* --- timeouts, shutdown, lost peers --- */

TEST(a_silent_peer_times_out)
{
	struct vmig_channel *a, *b;
	static char much[1 << 20];
	struct iovec iov = { much, sizeof(much) };
	char text[16];
	int r = 0;

	pair(&a, &b);
	vmig_channel_set_timeout(a, 20);
	ck_assert_int_eq(recv_text(a, text, sizeof(text)), -ETIMEDOUT);
	for (int i = 0; i < 100 && !r; i++)
		r = vmig_channel_send(a, &iov, 1);
	ck_assert_int_eq(r, -ETIMEDOUT);
	vmig_channel_close(a);
	vmig_channel_close(b);
}

static void *receive_one(void *channel)
{
	char text[16];

	return (void *)(intptr_t)recv_text(channel, text, sizeof(text));
}

static void *send_much(void *channel)
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
	struct vmig_channel *a, *b;
	pthread_t receiver, sender;
	void *received, *sent;
	char text[16];

	pair(&a, &b);
	pthread_create(&receiver, NULL, receive_one, a);
	pthread_create(&sender, NULL, send_much, a);
	vmig_channel_shutdown(a);
	pthread_join(receiver, &received);
	pthread_join(sender, &sent);
	ck_assert_int_eq((intptr_t)received, -ECONNRESET);
	ck_assert_int_eq((intptr_t)sent, -ECONNRESET);
	ck_assert_int_eq(recv_text(a, text, sizeof(text)), -ECONNRESET);
	ck_assert_int_eq(send_text(a, "x"), -ECONNRESET);
	vmig_channel_close(a);
	vmig_channel_close(b);
}

TEST(what_was_sent_before_a_shutdown_arrives)
{
	struct vmig_channel *a, *b;
	char text[16];

	pair(&a, &b);
	ck_assert_int_eq(send_text(a, "last words"), 0);
	vmig_channel_shutdown(a);
	vmig_channel_close(a);
	ck_assert_int_eq(recv_text(b, text, sizeof(text)), 10);
	ck_assert_int_eq(recv_text(b, text, sizeof(text)), 0);
	vmig_channel_close(b);
}

/* With the default action of SIGPIPE: a signal would end the test. */
TEST(a_closed_peer_is_an_error_and_no_signal)
{
	struct vmig_channel *a, *b;
	sigset_t pending;
	int r = 0;

	signal(SIGPIPE, SIG_DFL);
	pair(&a, &b);
	vmig_channel_close(b);
	ck_assert_int_eq(send_text(a, "x"), -EPIPE);
	vmig_channel_close(a);
	make_folder();
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	r = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(vmig_channel_file(path, true, &a, NULL), 0);
	close(r);
	ck_assert_int_eq(send_text(a, "x"), -EPIPE);
	vmig_channel_close(a);
	sigpending(&pending);
	ck_assert(!sigismember(&pending, SIGPIPE));
	remove_folder();
}

/* --- files --- */

static size_t read_file(char *text, size_t len)
{
	FILE *f = fopen(path, "r");
	size_t n = f ? fread(text, 1, len - 1, f) : 0;

	text[n] = '\0';
	if (f)
		fclose(f);
	return n;
}

TEST(a_file_has_its_name_only_after_the_commit)
{
	struct vmig_channel *channel;
	struct stat st;
	char text[32];

	make_folder();
	ck_assert_int_eq(vmig_channel_file(path, true, &channel, NULL), 0);
	ck_assert(vmig_channel_one_way(channel));
	ck_assert_int_eq(send_text(channel, "one"), 0);
	ck_assert_int_ne(access(path, F_OK), 0);
	vmig_channel_close(channel);
	ck_assert_int_ne(access(path, F_OK), 0);
	ck_assert_int_eq(vmig_channel_file(path, true, &channel, NULL), 0);
	ck_assert_int_eq(send_text(channel, "two"), 0);
	ck_assert_int_eq(vmig_channel_commit(channel), 0);
	vmig_channel_close(channel);
	ck_assert_uint_eq(read_file(text, sizeof(text)), 3);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0600);
	/* And an older one stays until then. */
	ck_assert_int_eq(vmig_channel_file(path, true, &channel, NULL), 0);
	ck_assert_int_eq(send_text(channel, "three"), 0);
	read_file(text, sizeof(text));
	ck_assert_str_eq(text, "two");
	ck_assert_int_eq(vmig_channel_commit(channel), 0);
	vmig_channel_close(channel);
	read_file(text, sizeof(text));
	ck_assert_str_eq(text, "three");
	remove_folder();
}

TEST(a_file_is_read_and_rewound)
{
	struct vmig_channel *channel;
	char text[32];
	FILE *f;

	make_folder();
	f = fopen(path, "w");
	fputs("content", f);
	fclose(f);
	ck_assert_int_eq(vmig_channel_file(path, false, &channel, NULL), 0);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(recv_text(channel, text, sizeof(text)), 7);
		ck_assert_str_eq(text, "content");
		ck_assert_int_eq(recv_text(channel, text, sizeof(text)), 0);
		ck_assert_int_eq(vmig_channel_rewind(channel), 0);
	}
	vmig_channel_shutdown(channel);
	ck_assert_int_eq(recv_text(channel, text, sizeof(text)), -ECONNRESET);
	vmig_channel_close(channel);
	remove_folder();
}

TEST(files_that_cannot_be_opened_are_told)
{
	struct vmig_channel *channel;
	struct vmig_error error;

	make_folder();
	ck_assert_int_eq(vmig_channel_file(path, false, &channel, &error), -ENOENT);
	ck_assert_str_eq(error.where, path);
	ck_assert_int_eq(vmig_channel_file("/nowhere/at/all", true, &channel, &error), -ENOENT);
	ck_assert_int_eq(vmig_channel_file(folder, true, &channel, &error), -EISDIR);
	ck_assert_int_eq(vmig_channel_file(folder, false, &channel, &error), -EISDIR);
	remove_folder();
}

TEST(a_full_disk_is_told)
{
	struct vmig_channel *channel;

	if (access("/dev/full", W_OK))
		harness_skip("no /dev/full");
	ck_assert_int_eq(vmig_channel_file("/dev/full", true, &channel, NULL), 0);
	ck_assert_int_eq(send_text(channel, "x"), -ENOSPC);
	vmig_channel_close(channel);
}

/* A reader that does nothing: whoever writes can be woken. */
TEST(a_full_pipe_can_be_given_up)
{
	struct vmig_channel *out;
	pthread_t sender;
	void *sent;
	int fd;

	make_folder();
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	fd = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(vmig_channel_file(path, true, &out, NULL), 0);
	pthread_create(&sender, NULL, send_much, out);
	vmig_channel_shutdown(out);
	pthread_join(sender, &sent);
	ck_assert_int_eq((intptr_t)sent, -ECONNRESET);
	vmig_channel_close(out);
	close(fd);
	remove_folder();
}

TEST(standard_input_and_output_stay_open)
{
	struct vmig_channel *in, *out;
	int fds[2], saved[2] = { dup(0), dup(1) };
	char text[16];

	ck_assert_int_eq(pipe(fds), 0);
	dup2(fds[0], 0);
	dup2(fds[1], 1);
	close(fds[0]);
	close(fds[1]);
	ck_assert_int_eq(vmig_channel_file("-", true, &out, NULL), 0);
	ck_assert_int_eq(vmig_channel_file("-", false, &in, NULL), 0);
	ck_assert_int_eq(send_text(out, "through"), 0);
	ck_assert_int_eq(recv_text(in, text, sizeof(text)), 7);
	ck_assert_str_eq(text, "through");
	ck_assert_int_eq(vmig_channel_rewind(in), -ESPIPE);
	/* Others who hold the same pipe must not find it non-blocking. */
	ck_assert_int_eq(fcntl(1, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_eq(fcntl(0, F_GETFL) & O_NONBLOCK, 0);
	vmig_channel_close(in);
	vmig_channel_close(out);
	dup2(saved[0], 0);
	dup2(saved[1], 1);
	close(saved[0]);
	close(saved[1]);
}

/* More than a pipe holds, whole and in order, in pieces of all sizes. */
TEST(many_pieces_arrive_as_one_stream)
{
	static uint8_t out[300000], in[300000];
	struct vmig_channel *a, *b;
	struct iovec iov[20], all;
	unsigned int seed = harness_seed();
	size_t have = 0, at = 0;
	pid_t pid;

	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)rand_r(&seed);
	pair(&a, &b);
	pid = fork();
	for (int i = 0; i < 20; i++) {
		size_t n = i == 19 ? sizeof(out) - at : (size_t)rand_r(&seed) % 15000;

		iov[i] = (struct iovec){ out + at, n };
		at += n;
	}
	if (!pid)
		_exit(-vmig_channel_send(a, iov, 20));
	vmig_channel_close(a);
	while (have < sizeof(in)) {
		ssize_t n;

		all = (struct iovec){ in + have, sizeof(in) - have };
		n = vmig_channel_recv(b, &all, 1);
		ck_assert_int_gt(n, 0);
		have += (size_t)n;
	}
	ck_assert_int_eq(memcmp(in, out, sizeof(in)), 0);
	vmig_channel_close(b);
}

HARNESS("channel", T(tcp_and_unix_connect), T(what_is_no_address_is_refused), T(a_unix_path_has_a_limit),
	T(nobody_there_is_told), T(an_address_in_use_is_told_and_a_stale_socket_is_replaced),
	T(plain_tcp_is_for_this_host_unless_it_is_allowed), T(a_datagram_socket_is_no_channel),
	T(a_silent_peer_times_out), T(a_shutdown_wakes_both), T(what_was_sent_before_a_shutdown_arrives),
	T(a_closed_peer_is_an_error_and_no_signal), T(a_file_has_its_name_only_after_the_commit),
	T(a_file_is_read_and_rewound), T(files_that_cannot_be_opened_are_told), T(a_full_disk_is_told),
	T(a_full_pipe_can_be_given_up), T(standard_input_and_output_stay_open),
	T(many_pieces_arrive_as_one_stream))
