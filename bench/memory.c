/* SPDX-License-Identifier: BSD-3-Clause */
/* memory-*: the peak of resident memory of each process, beyond the device's own, for a small and a large state. */
#include "bench.h"

#include <models.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BOUND_MIB 64.0

static void note(const char *what, const char *size, uint64_t peak, uint64_t own)
{
	char name[64];

	snprintf(name, sizeof(name), "memory-%s-%s", what, size);
	note_bound(name, "MiB", (double)(int64_t)(peak - own) / (double)MIB, BOUND_MIB);
}

static void copy(struct vmig_device *from, struct vmig_device *to)
{
	static uint8_t piece[PIECE];
	struct vmig_session *out, *in;

	CHECK(vmig_device_set_state(to, VMIG_STATE_RESUMING, VMIG_STATE_NONE, &in));
	CHECK(vmig_device_set_state(from, VMIG_STATE_STOP_COPY, VMIG_STATE_NONE, &out));
	for (;;) {
		struct iovec iov = { piece, sizeof(piece) };

		iov.iov_len = (size_t)CHECK(vmig_session_readv(out, &iov, 1));
		if (!iov.iov_len)
			break;
		CHECK(vmig_session_writev(in, &iov, 1));
	}
	CHECK(vmig_session_flush(in));
	vmig_session_close(out);
	vmig_session_close(in);
	CHECK(vmig_device_set_state(to, VMIG_STATE_RUNNING, VMIG_STATE_NONE, NULL));
}

/* A user between two servers: three processes. */
static void vfio_user(const char *size, const char *spec, uint64_t state)
{
	struct vmig_vfio_user_config config = { .plain = 1 };
	struct peer peers[2];
	struct vmig_device *devs[2];

	for (int i = 0; i < 2; i++) {
		peer_start(&peers[i], spec);
		CHECK(vmig_open_vfio_user_fd(peers[i].device, &config, &devs[i], NULL));
		peer_do(&peers[i], OP_FORGET_PEAK, 0, 0);
	}
	forget_peak();
	copy(devs[0], devs[1]);
	note("client", size, peak_rss(), 0);
	note("server-save", size, (uint64_t)peer_do(&peers[0], OP_PEAK, 0, 0), state);
	note("server-load", size, (uint64_t)peer_do(&peers[1], OP_PEAK, 0, 0), state);
	for (int i = 0; i < 2; i++) {
		vmig_device_close(devs[i]);
		peer_stop(&peers[i]);
	}
}

/* The engine, between two processes with a device each. */
static void tcp(const char *size, const char *spec, uint64_t state)
{
	struct vmig_migrate_options options = { 0 };
	struct vmig_migrate_result result = { 0 };
	struct order order = { .op = OP_SOURCE };
	struct vmig_listener *listener;
	struct vmig_channel *channel;
	struct vmig_device *dev;
	struct peer peer;

	peer_start(&peer, spec);
	CHECK(models_open(spec, &dev, NULL));
	CHECK(vmig_listener_new("tcp:127.0.0.1:0", &listener, NULL));
	snprintf(order.address, sizeof(order.address), "%s", vmig_listener_address(listener));
	peer_do(&peer, OP_FORGET_PEAK, 0, 0);
	forget_peak();
	peer_order(&peer, &order);
	CHECK(vmig_listener_accept(listener, 10000, &channel));
	CHECK(vmig_migrate_destination(&dev, 1, channel, NULL, &options, &result));
	if (result.outcome != VMIG_DONE)
		die("the destination: %s", result.reason);
	peer_answer(&peer);
	note("destination", size, peak_rss(), state);
	note("source", size, (uint64_t)peer_do(&peer, OP_PEAK, 0, 0), state);
	vmig_channel_close(channel);
	vmig_listener_free(listener);
	vmig_device_close(dev);
	close(peer.device);
	peer_stop(&peer);
}

static void one_size(const char *size, uint64_t state)
{
	char spec[64];

	snprintf(spec, sizeof(spec), "nic,records=1,state=%s", size);
	vfio_user(size, spec, state);
	tcp(size, spec, state);
}

void bench_memory(void)
{
	if (!wanted("memory"))
		return;
	one_size("256M", 256 * MIB);
	one_size("1G", 1024 * MIB);
}
