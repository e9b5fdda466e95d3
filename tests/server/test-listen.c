/* SPDX-License-Identifier: BSD-3-Clause */
/* Who comes in: the socket file, one client at a time, clients that go at any moment, and the end. */
#include "harness.h"
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ull
#define IOVA 0x40000000ull

struct host {
	char folder[64], path[80];
	struct vmig_device *dev;
	struct toy *toy;
	struct vmig_server *server;
	pthread_t thread;
	int result;
};

static void *run(void *arg)
{
	struct host *host = arg;

	host->result = vmig_server_run(host->server);
	return NULL;
}

static void host_make(struct host *host)
{
	*host = (struct host){ 0 };
	strcpy(host->folder, "/tmp/vmig-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(host->folder));
	snprintf(host->path, sizeof(host->path), "%s/s", host->folder);
	host->toy = toy_new(NULL, &host->dev);
}

static void host_start(struct host *host)
{
	struct vmig_server_config config = { .socket_path = host->path };

	host_make(host);
	ck_assert_int_eq(vmig_server_new(host->dev, &config, &host->server), 0);
	ck_assert_int_eq(pthread_create(&host->thread, NULL, run, host), 0);
}

static void host_done(struct host *host)
{
	vmig_device_close(host->dev);
	ck_assert_int_eq(rmdir(host->folder), 0); /* so the socket file has gone */
}

static void host_end(struct host *host)
{
	vmig_server_stop(host->server);
	ck_assert_int_eq(pthread_join(host->thread, NULL), 0);
	ck_assert_int_eq(host->result, 0);
	vmig_server_free(host->server);
	host_done(host);
}

static int try_connect(const char *path, struct peer *p)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	ck_assert_int_ge(fd, 0);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		close(fd);
		return -errno;
	}
	*p = (struct peer){ .fd = fd };
	return 0;
}

static void join(struct host *host, struct peer *p)
{
	ck_assert_int_eq(try_connect(host->path, p), 0);
	ck_assert_int_eq(peer_hello(p, HELLO), 0);
}

/* --- the socket file --------------------------------------------------------------------------------- */

TEST(listens_serves_and_removes_its_file)
{
	struct host host;
	struct peer p;

	host_start(&host);
	join(&host, &p);
	ck_assert_uint_eq(peer_state(&p), VMIG_STATE_RUNNING);
	peer_close(&p);
	host_end(&host);
}

TEST(an_address_in_use)
{
	struct vmig_server_config config = { 0 };
	struct vmig_server *second = NULL;
	struct host host;
	struct peer p;

	host_start(&host);
	config.socket_path = host.path;
	ck_assert_int_eq(vmig_server_new(host.dev, &config, &second), -EADDRINUSE);
	ck_assert_ptr_null(second);
	join(&host, &p); /* the first one goes on */
	peer_close(&p);
	host_end(&host);
}

TEST(a_stale_socket_file_is_replaced)
{
	struct vmig_server_config config = { 0 };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct vmig_server *server;
	struct host host;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	host_make(&host);
	strcpy(address.sun_path, host.path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	config.socket_path = host.path;
	ck_assert_int_eq(vmig_server_new(host.dev, &config, &server), 0);
	vmig_server_free(server);
	host_done(&host);
}

TEST(a_file_that_is_no_socket_is_left_alone)
{
	struct vmig_server_config config = { 0 };
	struct vmig_server *server;
	struct host host;
	int fd;

	host_make(&host);
	fd = open(host.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	ck_assert_int_eq(write(fd, "x", 1), 1);
	close(fd);
	config.socket_path = host.path;
	ck_assert_int_eq(vmig_server_new(host.dev, &config, &server), -EADDRINUSE);
	ck_assert_int_eq(unlink(host.path), 0);
	host_done(&host);
}

TEST(paths_that_cannot_be)
{
	struct vmig_server_config config = { 0 };
	struct vmig_server *server;
	char path[200];
	struct host host;

	host_make(&host);
	memset(path, 'x', sizeof(path));
	path[199] = '\0';
	config.socket_path = path;
	ck_assert_int_eq(vmig_server_new(host.dev, &config, &server), -ENAMETOOLONG);
	config.socket_path = "";
	ck_assert_int_eq(vmig_server_new(host.dev, &config, &server), -EINVAL);
	config.socket_path = "/nonexistent/s";
	ck_assert_int_eq(vmig_server_new(host.dev, &config, &server), -ENOENT);
	config.socket_path = host.path;
	config.max_data_xfer_size = (16u << 20) + 1;
	ck_assert_int_eq(vmig_server_new(host.dev, &config, &server), -EINVAL);
	host_done(&host);
}

/* Somebody has put another socket there: it is not ours to remove. */
TEST(the_file_of_another_is_not_removed)
{
	struct vmig_server_config config = { 0 };
	struct vmig_server *first, *second;
	struct host host;
	struct stat st;

	host_make(&host);
	config.socket_path = host.path;
	ck_assert_int_eq(vmig_server_new(host.dev, &config, &first), 0);
	ck_assert_int_eq(unlink(host.path), 0);
	ck_assert_int_eq(vmig_server_new(host.dev, &config, &second), 0);
	vmig_server_free(first);
	ck_assert_int_eq(stat(host.path, &st), 0);
	vmig_server_free(second);
	host_done(&host);
}

/* --- given descriptors ---------------------------------------------------------------------------------- */

TEST(a_connected_socket_is_served_once)
{
	struct vmig_server_config config = { 0 };
	struct host host;
	struct peer p;
	int fds[2];

	host_make(&host);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	config.fd = fds[1];
	ck_assert_int_eq(vmig_server_new(host.dev, &config, &host.server), 0);
	ck_assert_int_eq(pthread_create(&host.thread, NULL, run, &host), 0);
	p = (struct peer){ .fd = fds[0] };
	ck_assert_int_eq(peer_hello(&p, HELLO), 0);
	peer_close(&p);
	ck_assert_int_eq(pthread_join(host.thread, NULL), 0); /* it ends by itself */
	ck_assert_int_eq(host.result, 0);
	vmig_server_free(host.server);
	host_done(&host);
}

TEST(a_listening_socket_is_taken_over)
{
	struct vmig_server_config config = { 0 };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct host host;
	struct peer p;

	host_make(&host);
	strcpy(address.sun_path, host.path);
	config.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(config.fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(config.fd, 5), 0);
	ck_assert_int_eq(vmig_server_new(host.dev, &config, &host.server), 0);
	ck_assert_int_eq(pthread_create(&host.thread, NULL, run, &host), 0);
	for (int i = 0; i < 3; i++) {
		join(&host, &p);
		peer_close(&p);
	}
	vmig_server_stop(host.server);
	ck_assert_int_eq(pthread_join(host.thread, NULL), 0);
	vmig_server_free(host.server);
	ck_assert_int_eq(unlink(host.path), 0); /* who made it removes it */
	host_done(&host);
}

TEST(not_a_socket)
{
	struct vmig_server_config config = { 0 };
	struct vmig_server *server;
	struct host host;

	host_make(&host);
	config.fd = eventfd(0, EFD_CLOEXEC);
	ck_assert_int_eq(vmig_server_new(host.dev, &config, &server), -ENOTSOCK);
	close(config.fd); /* it stays the caller's */
	host_done(&host);
}

/* --- one at a time ----------------------------------------------------------------------------------------- */

TEST(a_second_client_is_told_that_it_is_busy)
{
	struct peer first, second;
	struct host host;

	host_start(&host);
	join(&host, &first);
	for (int i = 0; i < 20; i++) {
		ck_assert_int_eq(try_connect(host.path, &second), 0);
		ck_assert_int_eq(peer_hello(&second, HELLO), -EBUSY);
		ck_assert(!peer_recv(&second));
		peer_close(&second);
	}
	ck_assert_uint_eq(peer_state(&first), VMIG_STATE_RUNNING);
	peer_close(&first);
	join(&host, &second);
	peer_close(&second);
	host_end(&host);
}

/* A guest that says nothing, or says it byte by byte, is nobody's trouble. */
TEST(silent_and_slow_guests)
{
	struct peer first, guests[20];
	struct bytes hello = { 0 };
	struct host host;

	host_start(&host);
	join(&host, &first);
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(try_connect(host.path, &guests[i]), 0);
	peer_put(&hello, 5, C_VERSION, 0, "\0\0\0\0", 4);
	for (size_t i = 0; i < hello.len; i++) {
		peer_send_bytes(guests[0].fd, hello.at + i, 1, NULL, 0);
		ck_assert_uint_eq(peer_state(&first), VMIG_STATE_RUNNING);
	}
	ck_assert(peer_recv(&guests[0]));
	ck_assert_uint_eq(guests[0].in.error, EBUSY);
	ck_assert_uint_eq(guests[0].in.id, 5);
	for (int i = 0; i < 20; i++)
		peer_close(&guests[i]);
	peer_close(&first);
	bytes_done(&hello);
	host_end(&host);
}

/* One after the other without a pause: the one that is about to go must not make the next one busy. */
TEST(clients_in_close_succession)
{
	struct host host;

	host_start(&host);
	for (int i = 0; i < 300; i++) {
		struct peer p;

		join(&host, &p);
		peer_close(&p);
	}
	host_end(&host);
}

/* --- clients that go ----------------------------------------------------------------------------------------- */

/* All of it is released: mappings, interrupts, the log; the device's state stays. */
TEST(what_a_client_leaves_behind)
{
	struct bytes b = { 0 };
	struct host host;
	struct peer p;
	uint8_t *mem;
	eventfd_t v;
	int fd = shared_memory(PAGE, &mem), event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	host_start(&host);
	join(&host, &p);
	ck_assert_int_eq(peer_map(&p, 3, IOVA, PAGE, fd, 0), 0);
	ck_assert_int_eq(peer_map(&p, 3, 2 * IOVA, PAGE, -1, 0), 0);
	ck_assert_int_eq(peer_set_irqs(&p, 0x24, 1, 0, 1, &event, 1), 0);
	put64(&b, PAGE);
	put64(&b, 0);
	ck_assert_int_eq(peer_feature(&p, 24, SET | 6, &b), 0);
	ck_assert_int_eq(peer_set_state(&p, VMIG_STATE_PRE_COPY), 0);
	ck_assert_int_eq(peer_mig_read(&p, 100), 100);
	peer_close(&p);

	join(&host, &p);
	ck_assert_uint_eq(peer_state(&p), VMIG_STATE_PRE_COPY);
	ck_assert_int_eq(peer_mig_read(&p, 100), -EINVAL); /* the session was the other's */
	ck_assert_int_eq(peer_set_state(&p, VMIG_STATE_RUNNING), 0);
	ck_assert_int_eq(peer_set_register(&p, TOY_REG_RAISE, 1ull << 32), 0);
	ck_assert_int_ne(eventfd_read(event, &v), 0);
	put64(&b, PAGE);
	put64(&b, 0);
	ck_assert_int_eq(peer_feature(&p, 24, SET | 6, &b), 0);  /* not EBUSY */
	ck_assert_int_eq(peer_map(&p, 3, IOVA, PAGE, fd, 0), 0); /* not EEXIST */
	ck_assert_int_eq(peer_map(&p, 3, 2 * IOVA, PAGE, -1, 0), 0);
	peer_close(&p);
	host_end(&host);
	munmap(mem, PAGE);
	close(fd);
	close(event);
}

/* What a client does, for ever, until it is killed. */
static void work_until_killed(const char *path)
{
	uint8_t *mem, data[5000] = { 0 };
	int fd = shared_memory(PAGE, &mem);
	struct peer p;

	if (try_connect(path, &p))
		_exit(1);
	peer_hello(&p, HELLO);
	for (;;) {
		peer_map(&p, 3, IOVA, PAGE, fd, 0);
		peer_map(&p, 3, 2 * IOVA, PAGE, -1, 0);
		peer_set_irqs(&p, 0x24, 1, 0, 1, &fd, 1);
		peer_set_state(&p, VMIG_STATE_STOP_COPY);
		peer_mig_read(&p, 5000);
		peer_set_state(&p, VMIG_STATE_RESUMING);
		peer_mig_write(&p, data, sizeof(data));
		peer_call(&p, C_RESET, NULL);
		peer_unmap(&p, IOVA, PAGE);
		peer_unmap(&p, 2 * IOVA, PAGE);
	}
}

TEST(killed_at_any_moment)
{
	unsigned int seed = harness_seed();
	struct host host;
	struct peer p;

	host_start(&host);
	for (int i = 0; i < 40; i++) {
		pid_t child = fork();
		int fds;

		if (!child)
			work_until_killed(host.path);
		/* Not to wait for anything, but to be killed anywhere. */
		usleep((useconds_t)(rand_r(&seed) % 4000));
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		join(&host, &p);
		fds = harness_count_fds();
		ck_assert_int_eq(peer_map(&p, 3, IOVA, PAGE, -1, 0), 0);
		ck_assert_int_eq(peer_call(&p, C_RESET, NULL), 0);
		ck_assert_uint_eq(peer_state(&p), VMIG_STATE_RUNNING);
		ck_assert_int_eq(harness_count_fds(), fds);
		peer_close(&p);
	}
	host_end(&host);
}

/* --- the end --------------------------------------------------------------------------------------------------- */

TEST(stop_before_run)
{
	struct vmig_server_config config = { 0 };
	struct host host;

	host_make(&host);
	config.socket_path = host.path;
	ck_assert_int_eq(vmig_server_new(host.dev, &config, &host.server), 0);
	vmig_server_stop(host.server);
	ck_assert_int_eq(vmig_server_run(host.server), 0);
	vmig_server_free(host.server);
	host_done(&host);
}

TEST(stop_without_a_client_and_with_an_idle_one)
{
	struct host host;
	struct peer p;

	host_start(&host);
	host_end(&host);
	host_start(&host);
	join(&host, &p);
	host_end(&host);
	ck_assert(!peer_recv(&p));
	peer_close(&p);
}

TEST(stop_with_a_client_that_has_said_nothing)
{
	struct host host;
	struct peer p;

	host_start(&host);
	ck_assert_int_eq(try_connect(host.path, &p), 0);
	host_end(&host);
	peer_close(&p);
}

TEST(stop_with_a_client_in_the_midst_of_a_message)
{
	struct bytes b = { 0 };
	struct host host;
	struct peer p;

	host_start(&host);
	join(&host, &p);
	peer_put(&b, 1, C_REGION_WRITE, 0, NULL, 0);
	b.at[4] = 200;
	peer_send_bytes(p.fd, b.at, b.len, NULL, 0);
	host_end(&host);
	peer_close(&p);
	bytes_done(&b);
}

/* It sends requests and never reads: the server is blocked in its reply. */
TEST(stop_with_a_client_that_does_not_read)
{
	struct host host;
	struct peer p;

	host_start(&host);
	join(&host, &p);
	ck_assert_int_eq(peer_set_state(&p, VMIG_STATE_STOP_COPY), 0);
	for (int i = 0; i < 4; i++) {
		struct bytes b = { 0 };

		put32(&b, 8 + (1u << 20));
		put32(&b, 1u << 20);
		peer_send(&p, C_MIG_READ, 0, &b, NULL, 0);
	}
	/* Once something has come, the server is at it. */
	poll(&(struct pollfd){ .fd = p.fd, .events = POLLIN }, 1, -1);
	host_end(&host);
	peer_close(&p);
}

/* The device waits for an answer that never comes: in a register's write, and in a transition. */
TEST(stop_while_the_client_is_asked)
{
	for (uint64_t command = TOY_COMMAND_READ; command <= TOY_COMMAND_WRITE_LATER; command++) {
		struct bytes b = { 0 };
		struct host host;
		struct peer p;

		host_start(&host);
		join(&host, &p);
		ck_assert_int_eq(peer_map(&p, 3, IOVA, PAGE, -1, 0), 0);
		ck_assert_int_eq(peer_set_register(&p, TOY_REG_ADDRESS, IOVA), 0);
		ck_assert_int_eq(peer_set_register(&p, TOY_REG_LENGTH, 8), 0);
		put64(&b, TOY_REG_COMMAND);
		put32(&b, TOY_REGISTERS);
		put32(&b, 8);
		put64(&b, command);
		peer_send(&p, C_REGION_WRITE, 0, &b, NULL, 0);
		do
			ck_assert(peer_recv(&p));
		while (p.in.flags & F_REPLY);
		put32(&b, 16);
		put32(&b, SET | 2);
		put32(&b, VMIG_STATE_STOP);
		put32(&b, 0);
		peer_send(&p, C_FEATURE, 0, &b, NULL, 0);
		host_end(&host);
		peer_close(&p);
	}
}

static struct vmig_server *signalled;

static void on_signal(int number)
{
	vmig_server_stop(signalled);
}

TEST(stop_from_a_signal_handler)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct vmig_server_config config = { 0 };
	struct host host;
	pid_t child;

	host_make(&host);
	config.socket_path = host.path;
	ck_assert_int_eq(vmig_server_new(host.dev, &config, &host.server), 0);
	signalled = host.server;
	ck_assert_int_eq(sigaction(SIGTERM, &action, NULL), 0);
	child = fork();
	if (!child) {
		struct peer p;

		if (!try_connect(host.path, &p) && !peer_hello(&p, HELLO))
			kill(getppid(), SIGTERM);
		peer_recv(&p);
		_exit(0);
	}
	ck_assert_int_eq(vmig_server_run(host.server), 0);
	waitpid(child, NULL, 0);
	vmig_server_free(host.server);
	host_done(&host);
}

HARNESS("server-listen", T(listens_serves_and_removes_its_file), T(an_address_in_use),
	T(a_stale_socket_file_is_replaced), T(a_file_that_is_no_socket_is_left_alone),
	T(paths_that_cannot_be), T(the_file_of_another_is_not_removed), T(a_connected_socket_is_served_once),
	T(a_listening_socket_is_taken_over), T(not_a_socket), T(a_second_client_is_told_that_it_is_busy),
	T(silent_and_slow_guests), T(clients_in_close_succession), T(what_a_client_leaves_behind),
	T_SLOW(killed_at_any_moment, 60), T(stop_before_run), T(stop_without_a_client_and_with_an_idle_one),
	T(stop_with_a_client_that_has_said_nothing), T(stop_with_a_client_in_the_midst_of_a_message),
	T(stop_with_a_client_that_does_not_read), T(stop_while_the_client_is_asked),
	T(stop_from_a_signal_handler))
