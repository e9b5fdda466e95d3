/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench.h"

#include <models.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct self {
	struct vmig_device *dev;
	int control, raw, device;
	uint8_t *mem;
	uint64_t mem_len;
};

static void *serve(void *opaque)
{
	struct self *self = opaque;

	CHECK(vmig_server_serve(self->dev, &(struct vmig_server_config){ .plain = 1 }, self->device));
	return NULL;
}

static void send_raw(struct self *self, const struct order *order)
{
	int fd = order->arg ? raw_connect((uint16_t)order->arg) : self->raw;

	raw_send(fd, self->mem, self->mem_len);
	if (order->arg)
		close(fd);
}

static int64_t migrate_source(struct self *self, const struct order *order)
{
	struct vmig_channel *channel = NULL;
	struct vmig_migrate_result result = { 0 };
	struct vmig_migrate_options options = { .no_precopy = true };

	CHECK(vmig_channel_connect(order->address, 10000, &channel, NULL));
	CHECK(vmig_migrate_source(&self->dev, 1, channel, NULL, &options, &result));
	vmig_channel_close(channel);
	if (result.outcome != VMIG_DONE)
		die("the source: %s", result.reason);
	/* A source that has handed over stands still; here it has to run again for the next round. */
	CHECK(vmig_device_set_state(self->dev, VMIG_STATE_RUNNING, VMIG_STATE_NONE, NULL));
	return (int64_t)result.bytes;
}

static int64_t obey(struct self *self, const struct order *order)
{
	switch (order->op) {
	case OP_MEMORY:
		self->mem = raw_memory(order->n);
		self->mem_len = order->n;
		return 0;
	case OP_SEND:
		send_raw(self, order);
		return 0;
	case OP_RECEIVE:
		raw_receive(self->raw, self->mem, self->mem_len, self->mem_len);
		return 0;
	case OP_PING:
		raw_serve(self->raw, order->n, 32, 36);
		return 0;
	case OP_REPLY:
		raw_serve(self->raw, order->n, 48, 131120);
		return 0;
	case OP_DIRTY:
		bench_device_dirty(order->arg);
		return 0;
	case OP_TLS_RAW:
		tls_raw_send((uint16_t)order->arg, self->mem, self->mem_len);
		return 0;
	case OP_TLS_CHANNEL:
		tls_channel_send(order->address, self->mem, self->mem_len);
		return 0;
	case OP_SOURCE:
		return migrate_source(self, order);
	case OP_FORGET_PEAK:
		forget_peak();
		return 0;
	case OP_PEAK:
		return (int64_t)peak_rss();
	default:
		die("no such order: %u", order->op);
	}
}

static void run(struct self *self, const char *spec)
{
	struct vmig_error error = { 0 };
	struct order order;
	pthread_t thread;

	if (!strcmp(spec, "bench"))
		bench_device_open(&self->dev);
	else if (models_open(spec, &self->dev, &error) < 0)
		die("%s: %s", spec, error.text);
	if (pthread_create(&thread, NULL, serve, self))
		die("no thread");
	while (read(self->control, &order, sizeof(order)) == sizeof(order) && order.op != OP_END) {
		struct answer answer = { obey(self, &order) };

		CHECK_ERRNO(write(self->control, &answer, sizeof(answer)));
	}
	pthread_join(thread, NULL); /* the user has closed its end */
	vmig_device_close(self->dev);
}

static void pair(int fds[2])
{
	CHECK_ERRNO(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
}

void peer_start(struct peer *peer, const char *spec)
{
	int control[2], raw[2], device[2];

	pair(control);
	pair(raw);
	pair(device);
	peer->pid = CHECK_ERRNO(fork());
	if (!peer->pid) {
		struct self self = { .control = control[1], .raw = raw[1], .device = device[1] };

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(control[0]);
		close(raw[0]);
		close(device[0]);
		run(&self, spec);
		_exit(0);
	}
	close(control[1]);
	close(raw[1]);
	close(device[1]);
	peer->control = control[0];
	peer->raw = raw[0];
	peer->device = device[0];
}

void peer_order(const struct peer *peer, const struct order *order)
{
	CHECK_ERRNO(write(peer->control, order, sizeof(*order)));
}

int64_t peer_answer(const struct peer *peer)
{
	struct answer answer;

	if (read(peer->control, &answer, sizeof(answer)) != sizeof(answer))
		die("the peer is gone");
	return answer.value;
}

int64_t peer_do(const struct peer *peer, uint32_t op, uint32_t arg, uint64_t n)
{
	struct order order = { .op = op, .arg = arg, .n = n };

	peer_order(peer, &order);
	return peer_answer(peer);
}

void peer_stop(struct peer *peer)
{
	struct order order = { .op = OP_END };
	int status;

	peer_order(peer, &order);
	CHECK_ERRNO(waitpid(peer->pid, &status, 0));
	if (status)
		die("the peer ended with status %#x", (unsigned int)status);
	close(peer->control);
	close(peer->raw);
}
