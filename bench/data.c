/* SPDX-License-Identifier: BSD-3-Clause */
/* save, restore: a nic's state over a plain vfio-user socket, against a stream between the same two processes. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct data {
	struct peer peer;
	struct vmig_device *dev;
	uint8_t *piece; /* what a save reads into */
	uint8_t *stream;
	uint64_t room, len; /* of the saved stream */
};

static double rate(uint64_t bytes, uint64_t start)
{
	return (double)bytes / (double)(now_ns() - start); /* bytes a ns are GB/s */
}

/* --- save --------------------------------------------------------------------------------- */

static double save_limit(void *group)
{
	struct data *d = group;
	struct order order = { .op = OP_SEND };
	uint64_t start = now_ns();

	peer_order(&d->peer, &order);
	raw_receive(d->peer.raw, d->piece, PIECE, settings.state);
	start = now_ns() - start;
	peer_answer(&d->peer);
	return (double)settings.state / (double)start;
}

/* All of the stream, each piece to @to or (@step 0) to the same place. Returns its length. */
static uint64_t read_all(struct vmig_session *session, uint8_t *to, size_t step)
{
	uint64_t total = 0;

	for (;;) {
		struct iovec iov = { to, PIECE };
		ssize_t got = CHECK(vmig_session_readv(session, &iov, 1));

		if (!got)
			return total;
		total += (uint64_t)got;
		if (step)
			to += got;
	}
}

static double save_candidate(void *group)
{
	struct data *d = group;
	struct vmig_session *session;
	uint64_t start, total;
	double result;

	CHECK(vmig_device_set_state(d->dev, VMIG_STATE_STOP_COPY, VMIG_STATE_NONE, &session));
	start = now_ns();
	total = read_all(session, d->piece, 0);
	result = rate(total, start);
	vmig_session_close(session);
	CHECK(vmig_device_set_state(d->dev, VMIG_STATE_RUNNING, VMIG_STATE_NONE, NULL));
	if (total < settings.state)
		die("only %llu bytes were saved", (unsigned long long)total);
	return result;
}

/* --- restore ------------------------------------------------------------------------------ */

static double restore_limit(void *group)
{
	struct data *d = group;
	struct order order = { .op = OP_RECEIVE };
	uint64_t start = now_ns();

	peer_order(&d->peer, &order);
	raw_send(d->peer.raw, d->stream, settings.state);
	peer_answer(&d->peer);
	return rate(settings.state, start);
}

static double restore_candidate(void *group)
{
	struct data *d = group;
	struct vmig_session *session;
	uint64_t start;
	double result;

	CHECK(vmig_device_set_state(d->dev, VMIG_STATE_RESUMING, VMIG_STATE_NONE, &session));
	start = now_ns();
	for (uint64_t at = 0; at < d->len; at += PIECE) {
		struct iovec iov = { d->stream + at, d->len - at < PIECE ? d->len - at : PIECE };

		CHECK(vmig_session_writev(session, &iov, 1));
	}
	CHECK(vmig_session_flush(session));
	result = rate(d->len, start);
	vmig_session_close(session);
	/* Validates: the bytes have arrived, all of them, in their places. */
	CHECK(vmig_device_set_state(d->dev, VMIG_STATE_RUNNING, VMIG_STATE_NONE, NULL));
	return result;
}

static void save_for_restore(struct data *d)
{
	struct vmig_session *session;

	d->room = settings.state + 64 * MIB;
	d->stream = raw_memory(d->room);
	CHECK(vmig_device_set_state(d->dev, VMIG_STATE_STOP_COPY, VMIG_STATE_NONE, &session));
	d->len = read_all(session, d->stream, PIECE);
	vmig_session_close(session);
	CHECK(vmig_device_set_state(d->dev, VMIG_STATE_RUNNING, VMIG_STATE_NONE, NULL));
}

void bench_data(void)
{
	static const struct row save = {
		"save", "GB/s", false, 0.9, save_limit, save_candidate, "AF_UNIX stream of 1 MiB writes"
	};
	static const struct row restore = { "restore",
					    "GB/s",
					    false,
					    0.9,
					    restore_limit,
					    restore_candidate,
					    "AF_UNIX stream of 1 MiB writes" };
	struct vmig_vfio_user_config config = { .plain = 1 };
	struct data d = { 0 };
	char spec[64];

	if (!wanted("save") && !wanted("restore"))
		return;
	snprintf(spec, sizeof(spec), "nic,records=1,state=%llu", (unsigned long long)settings.state);
	peer_start(&d.peer, spec);
	peer_do(&d.peer, OP_MEMORY, 0, settings.state);
	CHECK(vmig_open_vfio_user_fd(d.peer.device, &config, &d.dev, NULL));
	d.piece = raw_memory(PIECE);
	measure(&save, &d);
	if (wanted("restore"))
		save_for_restore(&d);
	measure(&restore, &d);
	vmig_device_close(d.dev);
	peer_stop(&d.peer);
}
