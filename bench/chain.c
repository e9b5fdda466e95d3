/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * chain: a migration whose devices are in servers of their own: server, source, destination, server, four processes over
 * plain vfio-user sockets and loopback TCP, with digests, against a plain TCP stream between the two in the middle.
 */
#include "bench.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct chain {
	struct peer server; /* of the destination's device */
	struct vmig_device *dev;
	int control;
	pid_t pid;
	uint8_t *mem;
};

struct ask {
	uint32_t port; /* of the plain stream; 0: migrate */
	char address[64];
};

static const char *spec(char text[64])
{
	snprintf(text, 64, "nic,records=1,state=%llu", (unsigned long long)settings.state);
	return text;
}

static void open_device(struct peer *server, struct vmig_device **ret)
{
	struct vmig_vfio_user_config config = { .plain = 1 };
	char text[64];

	peer_start(server, spec(text));
	CHECK(vmig_open_vfio_user_fd(server->device, &config, ret, NULL));
}

/* --- the source's process --- */

static void migrate(struct vmig_device *dev, const char *address)
{
	struct vmig_migrate_options options = { .no_precopy = true };
	struct vmig_migrate_result r = { 0 };
	struct vmig_channel *channel;

	CHECK(vmig_channel_connect(address, 10000, &channel, NULL));
	CHECK(vmig_migrate_source(&dev, 1, channel, NULL, &options, &r));
	vmig_channel_close(channel);
	if (r.outcome != VMIG_DONE)
		die("the source: %s", r.reason);
	CHECK(vmig_device_set_state(dev, VMIG_STATE_RUNNING, VMIG_STATE_NONE, NULL));
}

static void stream(const uint8_t *mem, uint32_t port)
{
	int fd = raw_connect((uint16_t)port);

	raw_send(fd, mem, settings.state);
	close(fd);
}

static void serve(int control)
{
	uint8_t *mem = raw_memory(settings.state);
	struct vmig_device *dev;
	struct peer server;
	struct ask ask;

	open_device(&server, &dev);
	while (read(control, &ask, sizeof(ask)) == sizeof(ask)) {
		if (ask.port)
			stream(mem, ask.port);
		else
			migrate(dev, ask.address);
		CHECK_ERRNO(write(control, &ask, sizeof(ask)));
	}
	vmig_device_close(dev);
	peer_stop(&server);
}

/* --- the destination's --- */

static void wait_for_source(const struct chain *c)
{
	struct ask ask;

	if (read(c->control, &ask, sizeof(ask)) != sizeof(ask))
		die("the source is gone");
}

static double limit(void *group)
{
	struct chain *c = group;
	struct ask ask = { 0 };
	uint16_t port;
	int listener = raw_listen(&port), fd;
	uint64_t start = now_ns();

	ask.port = port;
	CHECK_ERRNO(write(c->control, &ask, sizeof(ask)));
	fd = raw_accept(listener);
	raw_receive(fd, c->mem, settings.state, settings.state);
	start = now_ns() - start;
	wait_for_source(c);
	close(fd);
	close(listener);
	return (double)settings.state / (double)start;
}

static double candidate(void *group)
{
	struct chain *c = group;
	struct vmig_migrate_options options = { 0 };
	struct vmig_migrate_result r = { 0 };
	struct vmig_listener *listener;
	struct vmig_channel *channel;
	struct ask ask = { 0 };
	uint64_t start;

	CHECK(vmig_listener_new("tcp:127.0.0.1:0", &listener, NULL));
	snprintf(ask.address, sizeof(ask.address), "%s", vmig_listener_address(listener));
	start = now_ns();
	CHECK_ERRNO(write(c->control, &ask, sizeof(ask)));
	CHECK(vmig_listener_accept(listener, 10000, &channel));
	CHECK(vmig_migrate_destination(&c->dev, 1, channel, NULL, &options, &r));
	start = now_ns() - start;
	if (r.outcome != VMIG_DONE || r.bytes < settings.state)
		die("the destination: %s", r.reason);
	wait_for_source(c);
	vmig_channel_close(channel);
	vmig_listener_free(listener);
	return (double)r.bytes / (double)start;
}

void bench_chain(void)
{
	static const struct row row = {
		"chain", "GB/s", false, 0.5, limit, candidate, "TCP loopback stream of 1 MiB writes"
	};
	struct chain c = { 0 };
	int control[2];

	if (!wanted("chain"))
		return;
	CHECK_ERRNO(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control));
	c.pid = CHECK_ERRNO(fork());
	if (!c.pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(control[0]);
		serve(control[1]);
		_exit(0);
	}
	close(control[1]);
	c.control = control[0];
	open_device(&c.server, &c.dev);
	c.mem = raw_memory(settings.state);
	measure(&row, &c);
	vmig_device_close(c.dev);
	peer_stop(&c.server);
	close(c.control);
	CHECK_ERRNO(waitpid(c.pid, NULL, 0));
}
