/* SPDX-License-Identifier: BSD-3-Clause */
/* A device is taken from its user, who may be frozen, flooding, half way through something, or gone. */
#include "harness.h"
#include "peer.h"

#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <vmig/model.h>

#define PAGE       4096ull
#define IOVA       0x40000000ull
#define HELLO_TAKE "{\"capabilities\":{\"max_msg_fds\":16,\"x-vmig\":{\"take\":true}}}"

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

/* @host's device has been made. */
static void start(struct host *host, bool plain)
{
	struct vmig_server_config config = { .socket_path = host->path, .plain = plain };

	strcpy(host->folder, "/tmp/vmig-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(host->folder));
	snprintf(host->path, sizeof(host->path), "%s/s", host->folder);
	ck_assert_int_eq(vmig_server_new(host->dev, &config, &host->server), 0);
	ck_assert_int_eq(pthread_create(&host->thread, NULL, run, host), 0);
}

static void host_start(struct host *host)
{
	*host = (struct host){ 0 };
	host->toy = toy_new(NULL, &host->dev);
	start(host, false);
}

static void host_end(struct host *host)
{
	vmig_server_stop(host->server);
	ck_assert_int_eq(pthread_join(host->thread, NULL), 0);
	ck_assert_int_eq(host->result, 0);
	vmig_server_free(host->server);
	vmig_device_close(host->dev);
	ck_assert_int_eq(rmdir(host->folder), 0);
}

static void come(struct host *host, struct peer *p)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, host->path);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	*p = (struct peer){ .fd = fd };
}

static void join(struct host *host, struct peer *p, const char *hello)
{
	come(host, p);
	ck_assert_int_eq(peer_hello(p, hello), 0);
}

/* VERSION, and no wait for the answer. */
static void say_take(struct peer *p)
{
	struct bytes b = { 0 };

	put32(&b, 0);
	put(&b, HELLO_TAKE, sizeof(HELLO_TAKE));
	peer_send(p, C_VERSION, 0, &b, NULL, 0);
}

static void wait_answer(struct peer *p)
{
	ck_assert(peer_recv(p));
	ck_assert_uint_eq(p->in.command, C_VERSION);
	ck_assert_uint_eq(p->in.flags, F_REPLY);
}

static void send_state(struct peer *p, uint32_t state)
{
	struct bytes b = { 0 };

	put32(&b, 16);
	put32(&b, SET | 2);
	put32(&b, state);
	put32(&b, 0);
	peer_send(p, C_FEATURE, 0, &b, NULL, 0);
}

/* Whatever has come before; then the end. */
static void expect_end(struct peer *p)
{
	while (peer_recv(p))
		;
	peer_close(p);
}

TEST(the_user_before_is_cut_off)
{
	struct peer first, second, third;
	struct host host;

	host_start(&host);
	join(&host, &first, HELLO);
	ck_assert_int_eq(peer_set_state(&first, VMIG_STATE_PRE_COPY), 0);
	join(&host, &second, HELLO_TAKE);
	ck_assert_ptr_nonnull(memmem(second.in.body.at, second.in.body.len, "\"take\":true", 11));
	expect_end(&first);
	ck_assert_uint_eq(peer_state(&second), VMIG_STATE_PRE_COPY);
	come(&host, &third);
	ck_assert_int_eq(peer_hello(&third, HELLO), -EBUSY);
	peer_close(&third);
	peer_close(&second);
	host_end(&host);
}

/* It has said nothing yet, or is in the midst of a message. */
TEST(a_user_that_is_late_is_not_waited_for)
{
	for (size_t len = 0; len < 40; len += 13) {
		struct bytes b = { 0 };
		struct peer first, second;
		struct host host;

		host_start(&host);
		come(&host, &first);
		if (len)
			ck_assert_int_eq(peer_hello(&first, HELLO), 0);
		peer_put(&b, 1, C_REGION_WRITE, 0, "0123456789012345678901234567", 28);
		peer_send_bytes(first.fd, b.at, len, NULL, 0);
		join(&host, &second, HELLO_TAKE);
		expect_end(&first);
		ck_assert_uint_eq(peer_state(&second), VMIG_STATE_RUNNING);
		peer_close(&second);
		bytes_done(&b);
		host_end(&host);
	}
}

/* It sends and never reads: the server is blocked in its reply. */
TEST(a_user_that_floods_and_is_frozen)
{
	struct peer first, second;
	struct host host;

	host_start(&host);
	join(&host, &first, HELLO);
	ck_assert_int_eq(peer_set_state(&first, VMIG_STATE_STOP_COPY), 0);
	for (int i = 0; i < 100; i++) {
		struct bytes b = { 0 };

		put32(&b, 8 + (1u << 20));
		put32(&b, 1u << 20);
		peer_send(&first, C_MIG_READ, 0, &b, NULL, 0);
	}
	poll(&(struct pollfd){ .fd = first.fd, .events = POLLIN }, 1, -1);
	join(&host, &second, HELLO_TAKE);
	ck_assert_uint_eq(peer_state(&second), VMIG_STATE_STOP_COPY);
	peer_close(&first);
	peer_close(&second);
	host_end(&host);
}

/* The device waits for the user's memory, in a register's write or in a thread of its own, and a transition for that. */
TEST(a_user_that_does_not_answer)
{
	for (uint64_t command = TOY_COMMAND_READ; command <= TOY_COMMAND_WRITE_LATER; command++) {
		struct bytes b = { 0 };
		struct peer first, second;
		struct host host;

		host_start(&host);
		join(&host, &first, HELLO);
		ck_assert_int_eq(peer_map(&first, 3, IOVA, PAGE, -1, 0), 0);
		ck_assert_int_eq(peer_set_register(&first, TOY_REG_ADDRESS, IOVA), 0);
		ck_assert_int_eq(peer_set_register(&first, TOY_REG_LENGTH, 8), 0);
		put64(&b, TOY_REG_COMMAND);
		put32(&b, TOY_REGISTERS);
		put32(&b, 8);
		put64(&b, command);
		peer_send(&first, C_REGION_WRITE, 0, &b, NULL, 0);
		do
			ck_assert(peer_recv(&first));
		while (first.in.flags & F_REPLY);
		send_state(&first, VMIG_STATE_STOP);
		join(&host, &second, HELLO_TAKE);
		peer_state(&second);
		peer_close(&first);
		peer_close(&second);
		host_end(&host);
	}
}

/* All that was its own is released: mappings, interrupts, the log, the session. */
TEST(nothing_of_the_user_before_is_left)
{
	struct bytes b = { 0 };
	struct peer first, second;
	struct host host;
	uint8_t *mem;
	eventfd_t v;
	int fd = shared_memory(PAGE, &mem), event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	host_start(&host);
	join(&host, &first, HELLO);
	ck_assert_int_eq(peer_map(&first, 3, IOVA, PAGE, fd, 0), 0);
	ck_assert_int_eq(peer_map(&first, 3, 2 * IOVA, PAGE, -1, 0), 0);
	ck_assert_int_eq(peer_set_irqs(&first, 0x24, 1, 0, 1, &event, 1), 0);
	put64(&b, PAGE);
	put64(&b, 0);
	ck_assert_int_eq(peer_feature(&first, 24, SET | 6, &b), 0);
	ck_assert_int_eq(peer_set_state(&first, VMIG_STATE_PRE_COPY), 0);

	join(&host, &second, HELLO_TAKE);
	ck_assert_int_eq(peer_mig_read(&second, 100), -EINVAL);
	ck_assert_int_eq(peer_set_state(&second, VMIG_STATE_RUNNING), 0);
	ck_assert_int_eq(peer_set_register(&second, TOY_REG_RAISE, 1ull << 32), 0);
	ck_assert_int_ne(eventfd_read(event, &v), 0);
	put64(&b, PAGE);
	put64(&b, 0);
	ck_assert_int_eq(peer_feature(&second, 24, SET | 6, &b), 0);
	ck_assert_int_eq(peer_map(&second, 3, IOVA, PAGE, fd, 0), 0);
	ck_assert_int_eq(peer_map(&second, 3, 2 * IOVA, PAGE, -1, 0), 0);
	peer_close(&first);
	peer_close(&second);
	host_end(&host);
	munmap(mem, PAGE);
	close(fd);
	close(event);
}

/* --- a command in hand ------------------------------------------------------------------------------- */

/* A device whose transitions take until they are let. */
static struct {
	sem_t entered, may_go;
	int steps, resets;
} gate;

static int gate_step(void *opaque, uint32_t from, uint32_t to, uint32_t *ret_state)
{
	gate.steps++;
	sem_post(&gate.entered);
	while (sem_wait(&gate.may_go))
		;
	return 0;
}

static int gate_reset(void *opaque)
{
	gate.resets++;
	return 0;
}

static ssize_t gate_read(void *opaque, void *buf, size_t len)
{
	return 0;
}

static int gate_write(void *opaque, const void *buf, size_t len)
{
	return 0;
}

static void gate_start(struct host *host)
{
	const struct vmig_model_ops ops = {
		.step = gate_step, .reset = gate_reset, .read = gate_read, .write = gate_write
	};
	const struct vmig_model_config config = { .name = "gate",
						  .identity = "test:gate",
						  .migration_flags = VMIG_MIGRATION_STOP_COPY };
	struct vmig_model *model;

	*host = (struct host){ 0 };
	sem_init(&gate.entered, 0, 0);
	sem_init(&gate.may_go, 0, 0);
	gate.steps = gate.resets = 0;
	ck_assert_int_eq(vmig_model_new(&ops, NULL, &config, &model, &host->dev), 0);
	start(host, false);
}

/* One that is being done, and others behind it that would run the device again and reset it. */
static void begin_to_stop(struct peer *p)
{
	send_state(p, VMIG_STATE_STOP);
	send_state(p, VMIG_STATE_RUNNING);
	peer_send(p, C_RESET, 0, NULL, NULL, 0);
	while (sem_wait(&gate.entered))
		;
}

TEST(the_command_in_hand_is_done_and_the_others_never)
{
	struct peer first, second;
	struct host host;

	gate_start(&host);
	join(&host, &first, HELLO);
	begin_to_stop(&first);
	come(&host, &second);
	say_take(&second);
	expect_end(&first); /* at once, though its command is under way */
	sem_post(&gate.may_go);
	wait_answer(&second);
	ck_assert_uint_eq(peer_state(&second), VMIG_STATE_STOP);
	ck_assert_int_eq(gate.steps, 1);
	ck_assert_int_eq(gate.resets, 0);
	peer_close(&second);
	host_end(&host);
}

/* Dead or not, what it had sent is not done for a successor to meet. */
TEST(the_commands_of_a_dead_user_are_dropped)
{
	struct peer first, second, third;
	struct host host;

	gate_start(&host);
	join(&host, &first, HELLO);
	begin_to_stop(&first);
	peer_close(&first);
	come(&host, &second);
	say_take(&second);
	come(&host, &third);
	say_take(&third);
	expect_end(&second); /* the last one wins, before it is served, too; now both have been heard */
	sem_post(&gate.may_go);
	wait_answer(&third);
	ck_assert_uint_eq(peer_state(&third), VMIG_STATE_STOP);
	ck_assert_int_eq(gate.steps, 1);
	ck_assert_int_eq(gate.resets, 0);
	peer_close(&third);
	host_end(&host);
}

/* --- many ---------------------------------------------------------------------------------------------- */

struct taker {
	struct host *host;
	pthread_t thread;
};

static void *take_again_and_again(void *arg)
{
	struct taker *t = arg;

	for (int i = 0; i < 50; i++) {
		struct peer p;

		come(t->host, &p);
		say_take(&p);
		/* It has it, until somebody else does. */
		if (peer_recv(&p))
			for (int k = 0; k < 3 && p.in.flags == F_REPLY; k++) {
				send_state(&p, k % 2 ? VMIG_STATE_RUNNING : VMIG_STATE_STOP);
				if (!peer_recv(&p))
					break;
			}
		peer_close(&p);
	}
	return NULL;
}

TEST(many_take_it_from_each_other)
{
	struct taker takers[4];
	struct host host;
	struct peer p;

	host_start(&host);
	for (int i = 0; i < 4; i++) {
		takers[i].host = &host;
		ck_assert_int_eq(pthread_create(&takers[i].thread, NULL, take_again_and_again, &takers[i]),
				 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(takers[i].thread, NULL);
	join(&host, &p, HELLO_TAKE);
	ck_assert_int_eq(peer_set_state(&p, VMIG_STATE_RUNNING), 0);
	peer_close(&p);
	host_end(&host);
}

TEST(a_plain_server_does_not_know_it)
{
	struct host host = { 0 };
	struct peer first, second;

	host.toy = toy_new(NULL, &host.dev);
	start(&host, true);
	join(&host, &first, HELLO);
	come(&host, &second);
	ck_assert_int_eq(peer_hello(&second, HELLO_TAKE), -EBUSY);
	ck_assert_uint_eq(peer_state(&first), VMIG_STATE_RUNNING);
	peer_close(&second);
	peer_close(&first);
	join(&host, &second, HELLO_TAKE);
	ck_assert_ptr_null(memmem(second.in.body.at, second.in.body.len, "take", 4));
	peer_close(&second);
	host_end(&host);
}

HARNESS("server-take", T(the_user_before_is_cut_off), T(a_user_that_is_late_is_not_waited_for),
	T(a_user_that_floods_and_is_frozen), T(a_user_that_does_not_answer),
	T(nothing_of_the_user_before_is_left), T(the_command_in_hand_is_done_and_the_others_never),
	T(the_commands_of_a_dead_user_are_dropped), T_SLOW(many_take_it_from_each_other, 60),
	T(a_plain_server_does_not_know_it))
