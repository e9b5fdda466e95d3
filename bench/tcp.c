/* SPDX-License-Identifier: BSD-3-Clause */
/* tcp: a whole migration between two processes with a nic each, digests and all, against a plain TCP stream. */
#include "bench.h"

#include <models.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct tcp {
	struct peer peer;
	struct vmig_device *dev;
	uint8_t *mem;
};

static double tcp_limit(void *group)
{
	struct tcp *t = group;
	struct order order = { .op = OP_SEND };
	uint16_t port;
	int listener = raw_listen(&port), fd;
	uint64_t start = now_ns();

	order.arg = port;
	peer_order(&t->peer, &order);
	fd = raw_accept(listener);
	raw_receive(fd, t->mem, settings.state, settings.state);
	start = now_ns() - start;
	peer_answer(&t->peer);
	close(fd);
	close(listener);
	return (double)settings.state / (double)start;
}

/* From the order to the moment at which the destination runs and both ends know it. */
static double tcp_candidate(void *group)
{
	struct tcp *t = group;
	struct vmig_migrate_options options = { 0 };
	struct vmig_migrate_result result = { 0 };
	struct vmig_listener *listener;
	struct vmig_channel *channel;
	struct order order = { .op = OP_SOURCE };
	uint64_t start;

	CHECK(vmig_listener_new("tcp:127.0.0.1:0", &listener, NULL));
	snprintf(order.address, sizeof(order.address), "%s", vmig_listener_address(listener));
	start = now_ns();
	peer_order(&t->peer, &order);
	CHECK(vmig_listener_accept(listener, 10000, &channel));
	CHECK(vmig_migrate_destination(&t->dev, 1, channel, NULL, &options, &result));
	start = now_ns() - start;
	if (result.outcome != VMIG_DONE || result.bytes < settings.state)
		die("the destination: %s", result.reason);
	peer_answer(&t->peer);
	for (int i = 0; settings.verbose && i < VMIG_STAGE_NR; i++)
		printf("    %-12s %8.2f ms %8.2f MiB\n", vmig_stage_name((enum vmig_stage)i),
		       (double)result.stage_ns[i] / 1e6, (double)result.stage_bytes[i] / (double)MIB);
	vmig_channel_close(channel);
	vmig_listener_free(listener);
	return (double)result.bytes / (double)start;
}

void bench_tcp(void)
{
	static const struct row row = {
		"tcp", "GB/s", false, 0.95, tcp_limit, tcp_candidate, "TCP loopback stream of 1 MiB writes"
	};
	struct vmig_error error = { 0 };
	struct tcp t = { 0 };
	char spec[64];

	if (!wanted("tcp"))
		return;
	snprintf(spec, sizeof(spec), "nic,records=1,state=%llu", (unsigned long long)settings.state);
	peer_start(&t.peer, spec);
	peer_do(&t.peer, OP_MEMORY, 0, settings.state);
	if (models_open(spec, &t.dev, &error) < 0)
		die("%s: %s", spec, error.text);
	t.mem = raw_memory(settings.state);
	measure(&row, &t);
	vmig_device_close(t.dev);
	close(t.peer.device); /* it has no user here */
	peer_stop(&t.peer);
}
