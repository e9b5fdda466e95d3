/* SPDX-License-Identifier: BSD-3-Clause */
/* What a device at work may not do: anything in STOP and STOP_COPY, peer-to-peer DMA in the P2P states. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check/watch.h"

#define PIECE (64u << 10)

static const uint32_t stopped[] = { VMIG_STATE_STOP, VMIG_STATE_STOP_COPY };

static void watch_stopped(struct check_context *c, const struct check_watch *watch)
{
	for (size_t i = 0; i < sizeof(stopped) / sizeof(stopped[0]); i++) {
		struct vmig_session *session = check_enter(c, stopped[i]);

		check_watch(c, stopped[i], watch);
		vmig_session_close(session);
	}
}

void check_silent(struct check_context *c)
{
	struct check_memory memory;

	check_work_begin(c, &memory);
	check_work_must(c, &memory);
	check_work_pause(c);
	watch_stopped(c, &(struct check_watch){ "the memory of a device at work", .memory = &memory });
	check_memory_done(&memory);
}

void check_no_interrupts(struct check_context *c)
{
	struct check_memory memory;

	check_work_begin(c, &memory);
	check_work_must(c, &memory);
	check_interrupts_must(c);
	/* So that there is room again for what it has to give. */
	check_work_resume(c);
	check_work_pause(c);
	watch_stopped(c, &(struct check_watch){ "for interrupts of a device at work", .interrupts = true });
	check_memory_done(&memory);
}

/* Into STOP from RESUMING. Whether a stream is taken, and whether the device runs then, is what others look at. */
static void load_own(struct check_context *c)
{
	struct check_bytes stream;

	check_go(c, VMIG_STATE_STOP);
	check_save(c, PIECE, &stream);
	if (check_load(c, c->dev, stream.data, stream.len, PIECE))
		check_end(c, CHECK_SKIPPED, "", "the device does not load what it has saved");
	free(stream.data);
}

void check_silent_when_loaded(struct check_context *c)
{
	bool counts = c->target->driver->interrupts;
	struct check_memory memory;

	check_work_begin(c, &memory);
	check_work_must(c, &memory);
	check_work_pause(c);
	load_own(c);
	check_watch(c, VMIG_STATE_STOP,
		    &(struct check_watch){ "a device that was loaded with the state of one at work",
					   .memory = &memory, .interrupts = counts });
	if (check_ask(c, c->dev, VMIG_STATE_RUNNING, CHECK_WANT_EITHER, NULL))
		check_end(c, CHECK_SKIPPED, "", "the device does not run then, so its silence says nothing");
	check_work_resume(c);
	if (!check_work_seen(c, &memory))
		check_end(c, CHECK_SKIPPED, "",
			  "the device does no DMA when it runs then, so its silence says nothing");
	check_memory_done(&memory);
}

/* --- peer-to-peer DMA. Interrupts and DMA to memory may go on: they are not looked at. --------------- */

static void begin_peer(struct check_context *c, struct check_memory *peer)
{
	check_work_start(c, true);
	check_memory_find(c, VMIG_DMA_WRITE | VMIG_DMA_REGION, peer);
	if (!peer->n)
		check_end(c, CHECK_SKIPPED, "",
			  "its driver has nothing that stands for another device's region");
	if (!check_work_seen(c, peer))
		check_end(c, CHECK_SKIPPED, "", "the device does no peer-to-peer DMA, though it has work");
}

static struct vmig_session *enter_quiet(struct check_context *c, uint32_t state, struct check_memory *peer)
{
	struct vmig_session *session;

	check_work_pause(c);
	session = check_enter(c, state);
	check_watch(c, state,
		    &(struct check_watch){ "what stands for another device's region", .memory = peer });
	return session;
}

void check_p2p_quiet(struct check_context *c)
{
	struct check_memory peer;

	begin_peer(c, &peer);
	enter_quiet(c, VMIG_STATE_RUNNING_P2P, &peer);
	check_memory_done(&peer);
}

/* All the behaviours of PRE_COPY: the session goes on. */
static void must_read(struct check_context *c, struct vmig_session *session)
{
	uint8_t buf[4096];
	struct iovec iov = { buf, sizeof(buf) };
	ssize_t got = vmig_session_readv(session, &iov, 1);

	if (got < 0 && got != -ENOMSG)
		check_fail(c, "the session of PRE_COPY goes on in PRE_COPY_P2P", "read: %s",
			   strerror((int)-got));
}

void check_precopy_p2p_quiet(struct check_context *c)
{
	struct vmig_session *session;
	struct check_memory peer;

	begin_peer(c, &peer);
	session = check_enter(c, VMIG_STATE_PRE_COPY);
	vmig_session_close(enter_quiet(c, VMIG_STATE_PRE_COPY_P2P, &peer));
	must_read(c, session);
	vmig_session_close(session);
	check_memory_done(&peer);
}

void check_precopy_p2p_returns(struct check_context *c)
{
	struct vmig_session *session;
	struct check_memory peer;

	begin_peer(c, &peer);
	session = check_enter(c, VMIG_STATE_PRE_COPY);
	if (!check_work_seen(c, &peer))
		check_end(c, CHECK_SKIPPED, "", "the device does no peer-to-peer DMA in PRE_COPY");
	check_work_pause(c);
	check_go(c, VMIG_STATE_PRE_COPY_P2P);
	check_go(c, VMIG_STATE_PRE_COPY);
	check_work_resume(c);
	check_did(c, "took a device at work from PRE_COPY to PRE_COPY_P2P and back");
	if (!check_work_seen(c, &peer))
		check_fail(c, "it does peer-to-peer DMA again", "none within %u ms", check_patience(c));
	must_read(c, session);
	vmig_session_close(session);
	check_memory_done(&peer);
}
